"""Distributions over ages in years: from age groups, as quantiles, and as intervals that hold the true age.

A distribution is its cumulative form at the ages 0, 1, ..., 101: (examples, 102) float64, from 0 up to 1.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from agegender.evaluation.metrics import Floats
from agegender.labels import AgeScheme

AGES = np.arange(102)
_RISE = 1e-9  # a year, so that a quantile is one age also where nothing is probable


def of_groups(p_group: ArrayLike, scheme: AgeScheme) -> Floats:
    """Return the distributions that give the groups of ``scheme`` their probabilities ``p_group`` (examples, groups).

    Between the bounds of the groups a monotone cubic (Fritsch and Carlson, 1980) keeps the density smooth. The gap
    between two groups is shared by both.
    """
    probabilities = np.asarray(p_group, np.float64)
    middle = [(high + low) / 2 for high, low in zip(scheme.upper[:-1], scheme.lower[1:], strict=True)]
    bounds = [scheme.lower[0], *middle, scheme.upper[-1]]
    below = np.concatenate([np.zeros((len(probabilities), 1)), probabilities.cumsum(1)], 1)
    inside = PchipInterpolator(bounds, below / below[:, -1:], axis=1)(np.clip(AGES, bounds[0], bounds[-1]))
    return _rising(inside)


def of_years(p_year: ArrayLike) -> Floats:
    """Return the distributions of ``p_year`` (examples, 101), the probabilities of 0, 1, ..., 100 completed years."""
    probabilities = np.asarray(p_year, np.float64)
    return _rising(np.concatenate([np.zeros((len(probabilities), 1)), probabilities.cumsum(1)], 1))


def quantiles(distributions: Floats, levels: Sequence[float]) -> Floats:
    """Return the ages in years below which the shares ``levels`` lie: (examples, levels); 0.5 is the median.

    >>> quantiles(of_years(np.eye(101)[[30]]), [0.5]).round(3).tolist()
    [[30.5]]
    """
    return np.array([np.interp(levels, each, AGES) for each in distributions]).reshape(-1, len(levels))


def share_below(distributions: Floats, ages: ArrayLike) -> Floats:
    """Return what each distribution says lies below the true age of its example: (examples,), 0 to 1."""
    return np.array([np.interp(age, AGES, each) for each, age in zip(distributions, np.asarray(ages), strict=True)])


def conformal_level(below: ArrayLike, coverage: float = 0.9) -> float:
    """Return how far from 0.5 the bounds of a central interval have to lie to hold ``coverage`` of the true ages.

    ``below`` (examples,) is ``share_below`` of examples that the model has not learnt from. The level is the
    ``ceil((n + 1) * coverage)``-th smallest ``|below - 0.5|``: new examples of the same kind are then covered with at
    least that probability (Chernozhukov, Wuethrich and Zhu, 2021, Distributional conformal prediction, PNAS 118(48)).
    Raises ``ValueError`` for too few examples to tell.
    """
    distances = np.sort(np.abs(np.asarray(below, np.float64) - 0.5))
    rank = int(np.ceil((len(distances) + 1) * coverage))
    if rank > len(distances):
        raise ValueError(f"{len(distances)} examples are too few for intervals that hold {coverage:.0%} of the ages")
    return float(distances[rank - 1])


def central_interval(distributions: Floats, level: float) -> Floats:
    """Return the ages in years (examples, 2) below which the shares 0.5 - ``level`` and 0.5 + ``level`` lie."""
    return quantiles(distributions, [0.5 - level, 0.5 + level])


def _rising(below: Floats) -> Floats:
    rising = np.maximum.accumulate(below, 1) + _RISE * AGES
    return rising / rising[:, -1:]
