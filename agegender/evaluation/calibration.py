"""Whether a probability means what it says: reliability, its diagram, and the expected calibration error.

Reference: Guo et al. (2017), "On calibration of modern neural networks", arXiv 1706.04599, equations 2 and 3.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from agegender.evaluation.metrics import Floats, checked_column, exact_correct, gender_correct, true_and_probabilities
from agegender.evaluation.plots import FONT_PT, GREY, SERIES, SHAPES, plain_axes

NUM_BINS = 15
"""Bins of equal width over 0 to 1; the error depends on their number."""


def group_confidence(predictions: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the probability of the predicted age group and whether it is correct, both (examples,)."""
    return true_and_probabilities(predictions)[1].max(axis=1), exact_correct(predictions)


def gender_confidence(predictions: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return the probability of the predicted gender and whether it is correct, both (examples,)."""
    p_female = checked_column(predictions["p_female"], "p_female")
    return np.maximum(p_female, 1 - p_female), gender_correct(predictions)


def reliability(confidence: ArrayLike, correct: ArrayLike) -> pd.DataFrame:
    """Return one row for each of the `NUM_BINS` bins that holds an example.

    ``confidence`` (examples,) are probabilities, ``correct`` (examples,) is 1 where the prediction is correct. Columns:
    ``confidence`` and ``accuracy`` (means in the bin) and ``share`` of the examples. A bin holds low < confidence <=
    high, and the first also 0. Raises ``ValueError`` for a confidence outside 0 to 1.

    >>> reliability([0.2, 0.9, 0.9], [0, 1, 0])["accuracy"].tolist()
    [0.0, 0.5]
    """
    said, came = checked_column(confidence, "confidence"), checked_column(correct, "correct")
    if said.shape != came.shape:
        raise ValueError(f"confidence has {len(said)} examples and correct has {len(came)}")
    if said.min() < 0 or said.max() > 1 + 1e-6:
        raise ValueError(f"confidence must lie in 0 to 1, got {said.min():g} to {said.max():g}")
    bins = np.searchsorted(np.linspace(0, 1, NUM_BINS + 1)[1:-1], said)
    table = pd.DataFrame({"confidence": said, "accuracy": came, "share": 1 / len(said)})
    return table.groupby(bins).agg({"confidence": "mean", "accuracy": "mean", "share": "sum"})


def ece(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Return the expected calibration error, sum over bins of share * |accuracy - confidence|, in 0 to 1.

    Equation 3 of the reference. Inputs as in `reliability`.

    >>> round(ece([0.8, 0.8, 0.8, 0.8, 0.8], [1, 1, 1, 1, 0]), 6)
    0.0
    """
    bins = reliability(confidence, correct)
    return float(((bins["accuracy"] - bins["confidence"]).abs() * bins["share"]).sum())


def reliability_diagram(confidences: Mapping[str, tuple[Floats, Floats]], label: str) -> Axes:
    """Draw accuracy against confidence, both (examples,), for each system, of what ``label`` says: ``"age group"``.

    The area of a dot is the share of the system's examples in its bin; on the dashed line probabilities mean what
    they say.
    """
    ax = plain_axes(None, 4.6)
    ax.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1)
    for (system, said), colour, marker in zip(confidences.items(), SERIES, SHAPES, strict=False):
        bins = reliability(*said)
        dots = {"data": bins, "x": "confidence", "y": "accuracy", "color": colour, "ax": ax}
        areas = (15 + 400 * bins["share"]).to_numpy()
        sns.lineplot(**dots, linewidth=1.2, marker=marker, markersize=4, markeredgewidth=0, label=system)
        sns.scatterplot(**dots, s=areas, marker=marker, alpha=0.85, clip_on=False, legend=False)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.set_xlabel(f"predicted probability of the {label} (mean in bin)", fontsize=FONT_PT)
    ax.set_ylabel("share that was right (in bin)", fontsize=FONT_PT)
    ax.legend(frameon=False, fontsize=FONT_PT, loc="upper left")
    return ax
