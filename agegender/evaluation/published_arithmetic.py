"""What follows from published numbers by arithmetic: which epoch, denominator or average, and how far they are known.

*Epochs.* Where the fold that is reported also chooses the epoch, the rule of the choice is a part of the score: see
`READINGS`. *Denominators.* The LMTCNN evaluators take ``ceil(n / batch_size)`` batches and divide by all of their
places: see `Denominator`. *Means over batches.* The published TIMIT code averages over batches of 24, men and women
apart. The mean of square roots is at most the root of the mean, so an RMSE comes out too small.
"""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from agegender.evaluation.metrics import Floats, Metric, checked_column

History = Sequence[Mapping[str, float]]

Denominator = Literal["each_once", "wrapped", "last_batch_dropped"]
"""``each_once``: every example counts once (the documented intent). ``wrapped``: the first examples are counted again
until the last batch is full (the original code). ``last_batch_dropped``: the last batch is not counted, but the
division is by the places of all batches (the evaluator of the port)."""

BATCH_SIZE = 24
"""Utterances in a batch of the published TIMIT code."""


def _values(history: History, names: Sequence[str]) -> np.ndarray:
    if not history:
        raise ValueError("the history has no line, so no epoch can be read")
    missing = [name for name in names if name not in history[0]]
    if missing:
        raise ValueError(f"the history has no {missing[0]!r}: it holds {', '.join(map(str, history[0]))}")
    return np.array([[line[name] for name in names] for line in history], dtype=np.float64)


def last_epoch(history: History, names: Sequence[str]) -> list[float]:
    """Return the values of ``names`` in the last line of the history."""
    return _values(history, names)[-1].tolist()


def best_of_each(history: History, names: Sequence[str]) -> list[float]:
    """Return the largest value of each name, whose epochs may differ."""
    return _values(history, names).max(axis=0).tolist()


def kept_epoch(history: History, names: Sequence[str]) -> list[float]:
    """Return the values of the epoch that is kept when only one that is better in *every* name replaces it.

    >>> kept_epoch([{"a": 1, "b": 5}, {"a": 2, "b": 4}, {"a": 3, "b": 6}, {"a": 4, "b": 6}], ["a", "b"])
    [3.0, 6.0]
    """
    return reduce(lambda kept, new: new if (new > kept).all() else kept, _values(history, names)).tolist()


READINGS = {"last epoch": last_epoch, "kept epoch": kept_epoch, "best epoch of each task": best_of_each}
"""As the published numbers name them: the Levi-Hassner code reports the last epoch of its single-task runs and the kept
one of its multi-task runs; the best of each is the most favourable reading."""


def mean_of_few(values: ArrayLike) -> tuple[float, float, float]:
    """Return the mean of the values of a few folds and the ends of Student's 95 % interval, NaN for a single value.

    Folds share most of their training examples, so the interval is narrower than it should be.

    >>> [round(float(end), 2) for end in mean_of_few([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    folds = checked_column(values, "values")
    if len(folds) == 1:
        return float(folds[0]), float("nan"), float("nan")
    low, high = stats.ttest_1samp(folds, 0).confidence_interval(0.95)
    return float(folds.mean()), float(low), float(high)


def interval_of_mae(mae: float, rmse: float, num_independent: int) -> tuple[float, float]:
    """Return the ends of the normal 95 % interval around a printed MAE, from the RMSE that is printed beside it.

    The standard deviation of the absolute errors is ``sqrt(rmse ** 2 - mae ** 2)``; ``num_independent`` lies between
    the number of subjects and that of examples. Raises ``ValueError`` for fewer than 1 and an RMSE below the MAE.

    >>> [round(end, 2) for end in interval_of_mae(5.0, 7.0, 100)]
    [4.04, 5.96]
    """
    _check_printed(rmse, num_independent)
    if not 0 <= mae <= rmse:
        raise ValueError(f"no errors have an MAE of {mae} and an RMSE of {rmse}: is one of them misread?")
    half = float(stats.norm.ppf(0.975) * np.sqrt((rmse**2 - mae**2) / num_independent))
    return mae - half, mae + half


def interval_of_rmse(rmse: float, num_independent: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval around a printed RMSE, if the errors are normal with mean 0.

    Then ``num_independent * rmse ** 2`` over the variance is chi-square with that many degrees of freedom. Raises
    ``ValueError`` for fewer than 1 and for a negative RMSE.

    >>> [round(end, 2) for end in interval_of_rmse(7.0, 100)]
    [6.15, 8.13]
    """
    _check_printed(rmse, num_independent)
    most, least = stats.chi2.ppf([0.975, 0.025], num_independent)
    return float(rmse * np.sqrt(num_independent / most)), float(rmse * np.sqrt(num_independent / least))


def _check_printed(rmse: float, num_independent: int) -> None:
    if not (rmse >= 0 and num_independent >= 1):
        raise ValueError(f"expected an RMSE of at least 0 and 1 error or more, got {rmse} and {num_independent}")


def num_batches(num_examples: int, batch_size: int) -> int:
    """Return ceil(``num_examples`` / ``batch_size``); raise ``ValueError`` if either is below 1."""
    if num_examples < 1 or batch_size < 1:
        raise ValueError(f"need at least 1 example and a batch size of at least 1, got {num_examples} and {batch_size}")
    return math.ceil(num_examples / batch_size)


def padded_accuracy(
    correct: ArrayLike, batch_size: int, denominator: Denominator, repeats: ArrayLike | None = None
) -> float:
    """Return the share of correct predictions as the given denominator counts it.

    ``correct`` (examples,) holds 0 or 1 in the order of the test set. ``repeats`` (examples,) says on how many lines of
    a published list each stands: ``each_once`` does not count them. Raises ``ValueError`` for an unknown denominator,
    an empty input or NaN.

    >>> correct = [1, 1, 1, 0, 0]
    >>> [padded_accuracy(correct, 3, how) for how in ("each_once", "wrapped", "last_batch_dropped")]
    [0.6, 0.6666666666666666, 0.5]
    """
    each = checked_column(correct, "correct")
    if denominator == "each_once":
        return float(each.mean())
    each = each if repeats is None else np.repeat(each, np.asarray(repeats))
    places = num_batches(len(each), batch_size) * batch_size
    if denominator == "wrapped":
        return float(np.resize(each, places).mean())  # np.resize starts again from the first element
    if denominator == "last_batch_dropped":
        return float(each[: places - batch_size].sum() / places)
    raise ValueError(f"unknown denominator {denominator!r}: expected each_once, wrapped or last_batch_dropped")


def restored_last_batch(accuracy: float, num_examples: int, batch_size: int) -> float:
    """Return what ``last_batch_dropped`` printed as ``accuracy``, divided by the batches that it counted.

    Raises ``ValueError`` when there is only one batch, of which nothing was counted.

    >>> restored_last_batch(30.0, num_examples=500, batch_size=128)
    40.0
    """
    steps = num_batches(num_examples, batch_size)
    if steps == 1:
        raise ValueError(f"{num_examples} examples are one batch of {batch_size}: without it nothing was counted")
    return accuracy * steps / (steps - 1)


def mean_over_batches(
    metric: Metric,
    predictions: pd.DataFrame,
    only: pd.Series | None = None,
    batch_size: int = BATCH_SIZE,
    places: ArrayLike | None = None,
) -> float:
    """Return the mean over batches of the value of ``metric`` in each, in its unit.

    ``places`` (rows,) says where in the list each row stands, by default in their order. Scored are the rows with the
    label, of those for which ``only`` (boolean, for each row) is true; a batch counts if it has one, whatever its size.
    Raises ``ValueError`` when none has, and for a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"a batch has at least 1 example, got {batch_size}")
    is_scored = (predictions[metric.needs].notna() & (only is None or only)).to_numpy(dtype=bool)
    if not is_scored.any():
        raise ValueError(f"none of {len(predictions)} rows can be scored by {metric.name}")
    batches = (np.arange(len(predictions)) if places is None else np.asarray(places))[is_scored] // batch_size
    sums = pd.DataFrame(metric.terms(predictions[is_scored])).groupby(batches).sum()
    return float(metric.finish(sums.to_numpy()).mean())


def over_orders(metric: Metric, predictions: pd.DataFrame, only: pd.Series | None = None) -> Floats:
    """Return `mean_over_batches` for 100 random orders of the rows, the same at every call: (100,)."""
    generator = np.random.default_rng(0)
    orders = [generator.permutation(len(predictions)) for _ in range(100)]
    return np.array([mean_over_batches(metric, predictions, only, places=places) for places in orders])


def share_of_rmse(num_scored: int, num_examples: int) -> float:
    """Return which share of the RMSE of independent, normal errors a mean over batches of `BATCH_SIZE` shows.

    Of ``num_examples`` in random order ``num_scored`` are scored (those of men, say): a hypergeometric number ``n`` in
    each batch, whose root mean square is expected to be the mean of the chi distribution over ``sqrt(n)``. Raises
    ``ValueError`` unless ``1 <= num_scored <= num_examples`` and there is a whole batch.

    >>> round(share_of_rmse(1120, 1680), 3), round(share_of_rmse(560, 1680), 3)
    (0.984, 0.966)
    """
    if not 1 <= num_scored <= num_examples or num_examples < BATCH_SIZE:
        raise ValueError(f"expected {BATCH_SIZE} examples or more, some scored, got {num_examples} and {num_scored}")
    sizes = np.arange(1, BATCH_SIZE + 1)
    shares = stats.chi(sizes).mean() / np.sqrt(sizes)
    weights = stats.hypergeom(num_examples, num_scored, BATCH_SIZE).pmf(sizes)
    return float((weights * shares).sum() / weights.sum())
