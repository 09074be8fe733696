"""Weights by age: the fewer training examples there are of an age, the more each of them counts.

Label distribution smoothing (LDS) lends every age some of its neighbours' examples before it counts. Reference: Yang,
Zha, Chen, Wang and Katabi (2021), "Delving into deep imbalanced regression", ICML, section 3.1, equation 1.
"""

from typing import Literal

import numpy as np

YEARS = 121
"""Ages are from 0 to 120 completed years."""


def gaussian_kernel(size: int = 9, std: float = 1.0, folds_tails: bool = False) -> np.ndarray:
    """Return ``exp(-x^2 / (2 std^2))`` for ``size`` whole numbers ``x`` around 0. The defaults are published.

    The published code blurs an impulse of ``size`` numbers with a filter that goes on to 4 ``std`` and is mirrored at
    the ends. With ``folds_tails`` what lies outside of ``size`` is folded in likewise; the middle is 1 again. Of 9
    numbers and a ``std`` of 1 nothing lies outside.

    >>> gaussian_kernel(5, 2.0).round(3)[:3]
    array([0.607, 0.882, 1.   ])
    >>> gaussian_kernel(5, 2.0, folds_tails=True).round(3)[:3]
    array([0.858, 0.946, 1.   ])
    """
    offsets = _around_zero(size, std)
    if not folds_tails:
        return np.exp(-(offsets**2) / (2 * std**2))
    reach = np.arange(-int(4 * std + 0.5), int(4 * std + 0.5) + 1)
    place = (np.arange(size)[:, None] + reach) % (2 * size)  # mirrored, the picture repeats after two lengths
    meets_impulse = np.minimum(place, 2 * size - 1 - place) == size // 2
    kernel = (meets_impulse * np.exp(-(reach**2) / (2 * std**2))).sum(1)
    return kernel / kernel.max()


def laplace_kernel(size: int = 9, scale: float = 1.0) -> np.ndarray:
    """Return ``exp(-|x| / scale)`` for ``size`` whole numbers ``x`` around 0."""
    return np.exp(-np.abs(_around_zero(size, scale)) / scale)


def triangular_kernel(size: int = 9) -> np.ndarray:
    """Return a triangle of ``size`` numbers that falls in equal steps from 1 to 0, just outside of it, either way.

    >>> triangular_kernel(3)
    array([0.5, 1. , 0.5])
    """
    return 1 - np.abs(_around_zero(size, 1.0)) / ((size + 1) / 2)


def smoothed(counts: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return ``sum_j kernel(i - j) counts_j`` for each ``i``: equation 1. Beyond the ends there are no examples.

    ``kernel`` has an odd length and its middle belongs to ``i - j = 0``; it is used as it is, whatever its sum.
    """
    if kernel.ndim != 1 or len(kernel) % 2 == 0:
        raise ValueError(f"a kernel needs an odd number of values, got shape {kernel.shape}")
    half = len(kernel) // 2
    return np.convolve(counts, kernel)[half : half + len(counts)]


def year_weights(
    ages: np.ndarray,
    how: Literal["inverse", "sqrt_inverse"] = "sqrt_inverse",
    kernel: np.ndarray | None = None,
    unit_years: float = 1.0,
    truncates_counts: bool = False,
) -> np.ndarray:
    """Return the weight of an example by its completed years, (121,), from the ``ages`` in years of the training part.

    The ages are counted in 121 bins of ``unit_years`` years; the last also takes all that is above it. A bin with the
    count ``n`` weighs ``1 / sqrt(n)`` (``"sqrt_inverse"``) or ``1 / n`` with ``n`` held between 5 and 1,000
    (``"inverse"``). With a ``kernel`` the square root, or the held count, is ``smoothed`` first (LDS).
    ``truncates_counts`` then cuts the smoothed counts of ``"inverse"`` to whole numbers, as the published code does,
    which convolves integers. The weights have a mean of 1 over the training examples. A bin without an example has the
    weight of the nearest one with examples, so that a validation part may hold other ages.

    The published TIMIT code bins ages divided by 100: ``unit_years=100`` puts everybody into the first bin, so that
    every weight is 1. Raises ``ValueError`` for no ages at all, and for the first that is NaN or not from 0 to 120.

    >>> weights = year_weights(np.array([20.5, 20.0, 20.9, 20.1, 60.0]))
    >>> weights[[20, 60, 61]].round(3)
    array([0.833, 1.667, 1.667])
    >>> year_weights(np.array([20.5, 20.0, 60.0]), unit_years=100.0)[[20, 60]]
    array([1., 1.])
    """
    if how not in ("inverse", "sqrt_inverse"):
        raise ValueError(f"unknown weighting {how!r}: expected 'inverse' or 'sqrt_inverse'")
    if not unit_years > 0:
        raise ValueError(f"bins need unit_years above 0, got {unit_years}")

    def bins_of(years: np.ndarray) -> np.ndarray:
        return np.minimum((years / unit_years).astype(np.int64), YEARS - 1)

    bins = bins_of(_checked(ages))
    counts = np.bincount(bins, minlength=YEARS).astype(np.float64)
    sizes = np.sqrt(counts) if how == "sqrt_inverse" else counts.clip(5, 1000)
    if kernel is not None:
        sizes = smoothed(sizes, kernel)
        if truncates_counts and how == "inverse":
            sizes = np.trunc(sizes)
    known = np.flatnonzero(counts)
    nearest = known[np.abs(np.arange(YEARS)[:, None] - known).argmin(1)]  # of two as near, the younger
    weights = 1 / sizes[nearest]
    weights /= weights[bins].mean()
    return weights[bins_of(np.arange(float(YEARS)))]


def _checked(ages: np.ndarray) -> np.ndarray:
    ages = np.asarray(ages, dtype=np.float64)
    if ages.ndim != 1 or len(ages) == 0:
        raise ValueError(f"expected the ages of one or more examples, got shape {ages.shape}")
    is_known = (ages >= 0) & (ages < YEARS)  # written this way round so that NaN is none
    if not is_known.all():
        row = int(np.flatnonzero(~is_known)[0])
        raise ValueError(f"the age of example {row} is {ages[row]}, not from 0 to 120: leave such examples out first")
    return ages


def _around_zero(size: int, width: float) -> np.ndarray:
    if size < 1 or size % 2 == 0 or not width > 0:
        raise ValueError(f"a kernel needs an odd size and a width above 0, got {size} and {width}")
    return np.arange(size, dtype=np.float64) - size // 2
