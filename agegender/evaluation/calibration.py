"""Whether a probability means what it says: reliability, its diagram, and the expected calibration error.

Reference: Guo et al. (2017), "On calibration of modern neural networks", arXiv 1706.04599, equations 2 and 3.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from agegender.evaluation.metrics import (
    Floats,
    checked_column,
    exact_correct,
    gender_correct,
    true_and_probabilities,
)
from agegender.evaluation.plots import FONT_PT, GREY, SERIES, SHAPES, plain_axes

NUM_BINS = 15


def group_confidence(predictions: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the probability of the predicted age group and whether it is correct, both (examples,)."""
    return true_and_probabilities(predictions)[1].max(axis=1), exact_correct(predictions)


def gender_confidence(predictions: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the probability of the predicted gender and whether it is correct, both (examples,)."""
    p_female = checked_column(predictions["p_female"], "p_female")
    return np.maximum(p_female, 1 - p_female), gender_correct(predictions)


def reliability(confidence: ArrayLike, correct: ArrayLike, num_bins: int = NUM_BINS) -> pd.DataFrame:
    """Return one row for each of ``num_bins`` bins of equal width over 0 to 1, also for the empty ones.

    ``confidence`` (examples,) are probabilities, ``correct`` (examples,) is 1 where what was said came true. Columns:
    ``low``, ``high`` (a bin holds low < confidence <= high, and 0 lies in the first), ``count``, ``confidence`` and
    ``accuracy`` (means in the bin, NaN when it is empty). Raises ``ValueError`` for a confidence outside 0 to 1.

    >>> reliability([0.2, 0.9, 0.9], [0, 1, 0], num_bins=2)["accuracy"].tolist()
    [0.0, 0.5]
    """
    said, came = checked_column(confidence, "confidence"), checked_column(correct, "correct")
    if said.shape != came.shape:
        raise ValueError(f"confidence has {len(said)} examples and correct has {len(came)}")
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


def ece(confidence: ArrayLike, correct: ArrayLike, num_bins: int = NUM_BINS) -> float:
    """Return the expected calibration error, sum over bins of count / n * |accuracy - confidence|, in 0 to 1.

    Bins of equal width (Guo et al. 2017, equation 3); the value depends on ``num_bins`` and is never negative, so a
    few examples show an error even where there is none. Inputs as in `reliability`.

    >>> round(ece([0.8, 0.8, 0.8, 0.8, 0.8], [1, 1, 1, 1, 0]), 6)
    0.0
    """
    bins = reliability(confidence, correct, num_bins)
    gaps = (bins["accuracy"] - bins["confidence"]).abs() * bins["count"]
    return float(gaps.sum() / bins["count"].sum())


def reliability_diagram(confidences: Mapping[str, tuple[Floats, Floats]], label: str) -> Axes:
    """Draw what came true against what was said, for each system's confidence and whether it was correct.

    The area of a dot is the share of the system's examples in its bin; on the dashed line probabilities mean what
    they say. ``label`` says of what, for example ``"age group"``.
    """
    ax = plain_axes(None, 4.6)
    ax.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    for (system, said), colour, marker in zip(confidences.items(), SERIES, SHAPES, strict=False):
        bins = reliability(*said)
        filled = bins[bins["count"] > 0]
        dots = {"data": filled, "x": "confidence", "y": "accuracy", "color": colour, "ax": ax}
        areas = (15 + 400 * filled["count"] / bins["count"].sum()).to_numpy()
        sns.lineplot(**dots, linewidth=1.2, marker=marker, markersize=4, markeredgewidth=0, label=system)
        sns.scatterplot(**dots, s=areas, marker=marker, alpha=0.85, clip_on=False, legend=False)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set_xlabel(f"predicted probability of the {label} (mean in bin)", fontsize=FONT_PT)
    ax.set_ylabel("share that was right (in bin)", fontsize=FONT_PT)
    ax.legend(frameon=False, fontsize=FONT_PT, loc="upper left")
    return ax
