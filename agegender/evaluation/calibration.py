"""Whether a probability means what it says: reliability, expected calibration error, Brier score, temperature.

References: Guo et al. (2017), "On calibration of modern neural networks", arXiv 1706.04599, equations 2, 3, 9;
Brier (1950), "Verification of forecasts expressed in terms of probability".
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from agegender.evaluation.metrics import Floats, checked_column, groups_of

_SMALLEST = 1e-12  # below the smallest softmax output that matters; keeps the logarithm finite


def group_confidence(true_group: ArrayLike, probabilities: ArrayLike) -> tuple[Floats, Floats]:
    """Return the probability of the predicted group and whether it is right, both (examples,).

    ``probabilities`` is (examples, groups). Raises ``ValueError`` as `metrics.exact` does.
    """
    true, predicted = groups_of(true_group, probabilities)
    scores = np.asarray(probabilities, dtype=np.float64)
    return scores[np.arange(len(true)), predicted], (predicted == true).astype(np.float64)


def reliability(confidence: ArrayLike, hits: ArrayLike, num_bins: int = 15) -> pd.DataFrame:
    """Return one row for each of ``num_bins`` bins of equal width over 0 to 1, also for the empty ones.

    ``confidence`` (examples,) are probabilities, ``hits`` (examples,) is 1 where what was said came true. Columns:
    ``low``, ``high`` (a bin holds low < confidence <= high, and 0 lies in the first), ``count``, ``confidence`` and
    ``accuracy`` (means in the bin, NaN when it is empty). Raises ``ValueError`` for a confidence outside 0 to 1.

    >>> reliability([0.2, 0.9, 0.9], [0, 1, 0], num_bins=2)["accuracy"].tolist()
    [0.0, 0.5]
    """
    said, came = checked_column(confidence, "confidence"), checked_column(hits, "hits")
    if said.shape != came.shape:
        raise ValueError(f"confidence has {len(said)} examples and hits has {len(came)}")
    if said.min() < 0 or said.max() > 1 + 1e-6:
        raise ValueError(f"confidence must lie in 0 to 1, got {said.min():g} to {said.max():g}")
    if num_bins < 1:
        raise ValueError(f"need at least 1 bin, got {num_bins}")
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.clip(np.searchsorted(edges, said, side="left") - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    filled = np.where(count, count, np.nan)
    means = {
        name: np.bincount(bins, values, minlength=num_bins) / filled
        for name, values in (("confidence", said), ("accuracy", came))
    }
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": count, **means})


def ece(confidence: ArrayLike, hits: ArrayLike, num_bins: int = 15) -> float:
    """Return the expected calibration error, sum over bins of count / n * |accuracy - confidence|, in 0 to 1.

    Bins of equal width (Guo et al. 2017, equation 3); the value depends on ``num_bins`` and is never negative, so a
    few examples show an error even where there is none. Inputs as in `reliability`.

    >>> round(ece([0.8, 0.8, 0.8, 0.8, 0.8], [1, 1, 1, 1, 0]), 6)
    0.0
    """
    bins = reliability(confidence, hits, num_bins)
    gaps = (bins["accuracy"] - bins["confidence"]).abs() * bins["count"]
    return float(gaps.sum() / bins["count"].sum())


def brier(true_group: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean over examples of the squared distance of (examples, groups) from the true one-hot, in 0 to 2.

    For one event, such as ``p_female``, give the columns 1 - p and p; the value is then twice the usual mean of
    (p - outcome) ** 2.

    >>> brier([1], [[0.5, 0.5]])
    0.5
    """
    true, _ = groups_of(true_group, probabilities)
    scores = np.asarray(probabilities, dtype=np.float64)
    return float(np.square(scores - np.eye(scores.shape[1])[true]).sum(axis=1).mean())


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def tempered(probabilities: ArrayLike, temperature: float) -> Floats:
    """Return softmax(log p / temperature), (examples, groups): flatter above 1, sharper below; the order stays.

    Equal to dividing the logits by ``temperature`` (Guo et al. 2017, equation 9), because softmax ignores what is
    added to all of them. Raises ``ValueError`` for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature must be above 0, got {temperature}")
    scores = np.asarray(probabilities, dtype=np.float64)
    return _softmax(np.log(np.maximum(scores, _SMALLEST)) / temperature)


def fit_temperature(true_group: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the temperature in 0.05 to 20 with the least mean negative log likelihood of the true groups.

    Fit it on validation subjects and apply it with `tempered` to the test set, never on the test set itself.
    """
    true, _ = groups_of(true_group, probabilities)

    def loss(log_temperature: float) -> float:
        likelihood = tempered(probabilities, float(np.exp(log_temperature)))[np.arange(len(true)), true]
        return float(-np.log(np.maximum(likelihood, _SMALLEST)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))
