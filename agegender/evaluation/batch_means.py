"""Scores as a loop over batches prints them: the mean of the values of the batches.

For a mean of errors that is the score itself, as long as all batches are of one size. For the root of a mean it is not:
the mean of square roots is at most the root of the mean, so an RMSE comes out too small, by more the smaller the
batches are and the more they differ. The published TIMIT code reports such means, in batches of 24, and men and women
apart, so that what is averaged is the error of the 16 or so men of a batch.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from agegender.evaluation.metrics import Floats
from agegender.evaluation.scores import Metric

BATCH_SIZE = 24
"""Utterances in a batch of the published TIMIT code."""


def mean_over_batches(
    metric: Metric, predictions: pd.DataFrame, batch_size: int = BATCH_SIZE, only: pd.Series | None = None
) -> float:
    """Return the mean over batches of the value of ``metric`` in each, in its unit.

    Batches are cut from all rows of ``predictions``, one after the other in their order; the last may be shorter and
    counts as much as the others. ``only`` (boolean, for each row) says which rows are scored, for example those of men;
    rows without the label are not. A batch in which no row is scored does not count. Raises ``ValueError`` when that
    is every batch, and for a batch size below 1.
    """
    terms, rows = _terms(metric, predictions, batch_size, only)
    return _mean_of(metric, terms, rows // batch_size)


def over_orders(
    metric: Metric,
    predictions: pd.DataFrame,
    batch_size: int = BATCH_SIZE,
    only: pd.Series | None = None,
    num_orders: int = 100,
    seed: int = 0,
) -> Floats:
    """Return `mean_over_batches` for ``num_orders`` random orders of the rows, (orders,).

    Whoever prints a mean over batches prints a number that depends on the order of the test list; here is how much.
    The same seed gives the same orders.
    """
    terms, rows = _terms(metric, predictions, batch_size, only)
    generator = np.random.default_rng(seed)
    orders = (generator.permutation(len(predictions)) for _ in range(num_orders))
    return np.array([_mean_of(metric, terms, order[rows] // batch_size) for order in orders])


def share_of_rmse(num_scored: int, num_examples: int, batch_size: int = BATCH_SIZE) -> float:
    """Return which share of the RMSE of independent, normally distributed errors a mean over batches shows.

    Of ``num_examples`` in random order ``num_scored`` are scored (those of men, say). The expected root mean square of
    ``n`` such errors is ``sqrt(2 / n) * Gamma((n + 1) / 2) / Gamma(n / 2)`` of their standard deviation (the mean of
    the chi distribution over ``sqrt(n)``), and ``n`` is hypergeometric. Errors with heavier tails, and batches of few
    people, leave a smaller share. Raises ``ValueError`` unless ``1 <= num_scored <= num_examples`` and the batch size
    is from 1 to ``num_examples``.

    >>> round(share_of_rmse(1120, 1680), 3), round(share_of_rmse(560, 1680), 3)
    (0.984, 0.966)
    """
    if not 1 <= num_scored <= num_examples or not 1 <= batch_size <= num_examples:
        raise ValueError(
            f"expected batches of 1 to {num_examples} examples and some of these scored, "
            f"got batches of {batch_size} and {num_scored} scored"
        )
    sizes = np.arange(1, batch_size + 1)
    shares = np.sqrt(2 / sizes) * np.exp(special.gammaln((sizes + 1) / 2) - special.gammaln(sizes / 2))
    weights = stats.hypergeom(num_examples, num_scored, batch_size).pmf(sizes)
    return float((weights * shares).sum() / weights.sum())


def _terms(
    metric: Metric, predictions: pd.DataFrame, batch_size: int, only: pd.Series | None
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the terms of the scored rows, and the places of these rows in the table."""
    if batch_size < 1:
        raise ValueError(f"a batch has at least 1 example, got {batch_size}")
    is_scored = predictions[metric.needs].notna().to_numpy(dtype=bool)
    if only is not None:
        is_scored = is_scored & only.to_numpy(dtype=bool)
    if not is_scored.any():
        raise ValueError(f"none of {len(predictions)} rows can be scored by {metric.name}")
    return metric.terms(predictions[is_scored]), np.flatnonzero(is_scored)


def _mean_of(metric: Metric, terms: Floats, batches: NDArray[np.int64]) -> float:
    sums = np.stack([np.bincount(batches, column).astype(np.float64) for column in terms.T], axis=1)
    return float(metric.finish(sums[np.unique(batches)]).mean())
