"""What printed scores can say: which epoch they were read from, and how far they are known.

When the fold that is reported also chooses the epoch, the rule of the choice is a part of the score. The published
multi-task runs of the Levi-Hassner net keep an epoch that beats the kept one in every task, their single-task runs
report the last epoch, and the most favourable reading takes the best epoch of each task by itself. Where a score is
printed without an interval, what stands beside it (the folds, or both MAE and RMSE) gives one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from agegender.evaluation.metrics import checked_column

History = Sequence[Mapping[str, float]]


def _values(history: History, names: Sequence[str]) -> list[list[float]]:
    if not history:
        raise ValueError("the history has no line, so no epoch can be read")
    missing = [name for name in names if name not in history[0]]
    if missing:
        raise ValueError(f"the history has no {missing[0]!r}: it holds {', '.join(map(str, history[0]))}")
    return [[float(line[name]) for name in names] for line in history]


def last_epoch(history: History, names: Sequence[str]) -> list[float]:
    """Return the values of ``names`` in the last line of the history: nothing is selected."""
    return _values(history, names)[-1]


def best_of_each(history: History, names: Sequence[str]) -> list[float]:
    """Return the largest value of each name: the epochs of the names may differ, so no one net has them all."""
    return [max(column) for column in zip(*_values(history, names), strict=True)]


def kept_epoch(history: History, names: Sequence[str]) -> list[float]:
    """Return the values of the epoch that is kept when it is replaced only by one that is better in *every* name.

    >>> kept_epoch([{"a": 1, "b": 5}, {"a": 2, "b": 4}, {"a": 3, "b": 6}, {"a": 4, "b": 6}], ["a", "b"])
    [3.0, 6.0]
    """
    kept, *others = _values(history, names)
    for values in others:
        if all(new > old for new, old in zip(values, kept, strict=True)):
            kept = values
    return kept


READINGS = {"last epoch": last_epoch, "kept epoch": kept_epoch, "best epoch of each task": best_of_each}
"""Under the words by which the published numbers name them."""


def mean_of_few(values: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of the values of a few folds and the ends of Student's interval around it.

    For published scores, of which nothing but one number for each fold is known. The folds share most of their
    training examples, so the interval is narrower than it should be. The ends are NaN for a single value.

    >>> [round(float(end), 2) for end in mean_of_few([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    folds = checked_column(values, "values")
    mean = float(folds.mean())
    if len(folds) == 1:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf((1 + level) / 2, len(folds) - 1) * folds.std(ddof=1) / np.sqrt(len(folds)))
    return mean, mean - half, mean + half


def interval_of_mae(mae: float, rmse: float, num_independent: int, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the normal interval around a printed MAE, from the RMSE that is printed beside it.

    The absolute errors have the mean ``mae`` and the mean square ``rmse ** 2``, so their standard deviation is
    ``sqrt(rmse ** 2 - mae ** 2)``. ``num_independent`` is how many errors are independent: between the number of
    subjects (all errors of a person are alike) and that of examples. Raises ``ValueError`` when the RMSE is below the
    MAE, which no errors can have, and for fewer than 1.

    >>> [round(end, 2) for end in interval_of_mae(5.0, 7.0, 100)]
    [4.04, 5.96]
    """
    _check_printed(rmse, num_independent)
    if not 0 <= mae <= rmse:
        raise ValueError(f"no errors have an MAE of {mae} and an RMSE of {rmse}: is one of them misread?")
    half = float(stats.norm.ppf((1 + level) / 2)) * float(np.sqrt((rmse**2 - mae**2) / num_independent))
    return mae - half, mae + half


def interval_of_rmse(rmse: float, num_independent: int, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the interval around a printed RMSE, if the errors are normal with mean 0.

    Then ``num_independent * rmse ** 2`` over the variance is chi-square with that many degrees of freedom. Heavier
    tails make the interval wider. Raises ``ValueError`` for fewer than 1 and for a negative RMSE.

    >>> [round(end, 2) for end in interval_of_rmse(7.0, 100)]
    [6.15, 8.13]
    """
    _check_printed(rmse, num_independent)
    most, least = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], num_independent)
    return float(rmse * np.sqrt(num_independent / most)), float(rmse * np.sqrt(num_independent / least))


def _check_printed(rmse: float, num_independent: int) -> None:
    if not (rmse >= 0 and num_independent >= 1):
        raise ValueError(f"expected an RMSE of at least 0 and 1 error or more, got {rmse} and {num_independent}")
