import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import convolve1d, gaussian_filter1d
from scipy.signal.windows import triang

from agegender.training.reweighting import (
    gaussian_kernel,
    laplace_kernel,
    smoothed,
    triangular_kernel,
    year_weights,
)

HISTOGRAM = {20: 4, 21: 9, 23: 1, 40: 16, 78: 2, 79: 1, 85: 1}
"""Completed years -> examples."""
KERNELS = {
    "gaussian": gaussian_kernel(), "laplace": laplace_kernel(), "triangular": triangular_kernel(), "none": None
}  # fmt: skip


def ages_of(histogram=HISTOGRAM):
    """Ages in decimal years, in no order."""
    rng = np.random.default_rng(0)
    return rng.permutation([year + rng.uniform(0, 0.99) for year, number in histogram.items() for _ in range(number)])


def written_out(how, kernel):
    """The weight of each year of the histogram, by sums over its years."""
    counts = [float(HISTOGRAM.get(year, 0)) for year in range(121)]
    sizes = [math.sqrt(n) if how == "sqrt_inverse" else min(max(n, 5.0), 1000.0) for n in counts]
    if kernel is not None:
        half = len(kernel) // 2
        sizes = [sum(kernel[i - j + half] * sizes[j] for j in range(121) if abs(i - j) <= half) for i in range(121)]
    weights = {year: 1 / sizes[year] for year in HISTOGRAM}
    mean = sum(HISTOGRAM[year] * weight for year, weight in weights.items()) / sum(HISTOGRAM.values())
    return {year: weight / mean for year, weight in weights.items()}


@pytest.mark.parametrize("how", ["inverse", "sqrt_inverse"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_weights_are_the_papers_formula_on_a_known_histogram(how, kernel):
    found = year_weights(ages_of(), how, KERNELS[kernel])
    expected = written_out(how, KERNELS[kernel])
    assert_allclose(found[list(expected)], list(expected.values()), rtol=1e-12)


def test_by_hand_four_of_one_age_and_one_of_another():
    found = year_weights(np.array([20.1, 20.2, 20.3, 20.4, 50.0]))
    assert_allclose(found[[20, 50]], np.array([1 / 2, 1.0]) / ((4 * 0.5 + 1) / 5))


def test_by_hand_a_neighbour_lends_half_of_itself():
    found = year_weights(np.array([20.1, 20.2, 20.3, 20.4, 21.0]), kernel=np.array([0.5, 1.0, 0.5]))
    first, second = 1 / (2 + 0.5 * 1), 1 / (1 + 0.5 * 2)
    assert_allclose(found[[20, 21]], np.array([first, second]) / ((4 * first + second) / 5))


@pytest.mark.parametrize("how", ["inverse", "sqrt_inverse"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("unit_years", [1.0, 5.0, 100.0])
def test_over_the_examples_the_weights_have_the_mean_1(how, kernel, unit_years):
    weights = year_weights(ages_of(), how, KERNELS[kernel], unit_years)
    assert weights[ages_of().astype(int)].mean() == pytest.approx(1, rel=1e-12)
    assert weights.shape == (121,)
    assert (np.isfinite(weights) & (weights > 0)).all()


@pytest.mark.parametrize("how", ["inverse", "sqrt_inverse"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_ages_divided_by_100_as_published_all_fall_into_one_bin_and_nothing_is_weighed(how, kernel):
    published = year_weights(ages_of(), how, KERNELS[kernel], unit_years=100.0)
    assert_allclose(published, np.ones(121), rtol=1e-12)
    meant = year_weights(ages_of(), how, KERNELS[kernel], unit_years=1.0)
    assert np.ptp(meant) > 0.2


def test_the_rarer_of_two_ages_weighs_more():
    weights = year_weights(ages_of())
    assert weights[23] > weights[20] > weights[21] > weights[40]


def test_smoothing_brings_a_rare_age_beside_a_frequent_one_nearer_to_it():
    plain, lds = year_weights(ages_of()), year_weights(ages_of(), kernel=gaussian_kernel())
    assert lds[20] / lds[21] < plain[20] / plain[21]
    assert lds[23] / lds[40] < plain[23] / plain[40]


def test_only_the_completed_years_count():
    whole = year_weights(np.array([20.0, 20.0, 31.0]))
    assert_allclose(year_weights(np.array([20.99, 20.0, 31.5])), whole)
    assert (year_weights(np.array([20.0, 21.0, 31.0])) != whole).any()


def test_the_order_of_the_examples_does_not_matter():
    assert_allclose(year_weights(np.sort(ages_of())), year_weights(ages_of()), rtol=1e-12)


def test_ages_above_the_last_bin_are_counted_in_it():
    weights = year_weights(ages_of(), unit_years=0.5)  # 121 bins of half a year
    assert weights[78] == weights[85] == weights[120]
    assert year_weights(ages_of())[78] != year_weights(ages_of())[85]


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_age_without_examples_has_the_weight_of_the_nearest_with_some(kernel):
    weights = year_weights(ages_of(), kernel=KERNELS[kernel])
    assert weights[0] == weights[20]
    assert weights[22] == weights[21]  # as near to 23: the younger
    assert weights[29] == weights[23]
    assert weights[60] == weights[78]
    assert weights[120] == weights[85]


def test_the_held_counts_of_the_plain_inverse():
    few_and_many = np.repeat([20.0, 30.0, 40.0, 50.0], [1, 5, 1000, 3000])
    weights = year_weights(few_and_many, "inverse")
    assert weights[20] == weights[30]
    assert weights[40] == weights[50]
    assert weights[30] / weights[40] == pytest.approx(200)


def test_an_age_of_exactly_120_counts_and_is_weighed():
    weights = year_weights(np.array([120.0, 0.0, 0.5, 0.25, 0.75]))
    assert weights[120] == 2 * weights[0]


def test_the_published_gaussian_kernel_is_that_of_scipys_filter():
    impulse = gaussian_filter1d([0.0, 0, 0, 0, 1, 0, 0, 0, 0], sigma=1)
    assert_allclose(gaussian_kernel(9, 1.0), impulse / impulse.max(), rtol=1e-12)


@pytest.mark.parametrize(("size", "std"), [(5, 2.0), (9, 1.0), (9, 2.0), (7, 0.5), (5, 1.0), (3, 5.0), (1, 2.0)])
def test_as_published_the_tails_of_the_gaussian_are_folded_in_as_scipys_filter_mirrors_them(size, std):
    impulse = np.zeros(size)
    impulse[size // 2] = 1.0
    blurred = gaussian_filter1d(impulse, sigma=std)
    assert_allclose(gaussian_kernel(size, std, folds_tails=True), blurred / blurred.max(), rtol=1e-12)


def test_at_five_and_two_the_outer_weight_is_0_858_as_published_and_0_607_by_the_formula():
    assert gaussian_kernel(5, 2.0, folds_tails=True)[[0, 4]] == pytest.approx([0.858] * 2, abs=5e-4)
    assert gaussian_kernel(5, 2.0)[[0, 4]] == pytest.approx([math.exp(-0.5)] * 2)


@pytest.mark.parametrize("kernel", ["gaussian", "laplace", "triangular"])
def test_as_published_counts_are_convolved_as_integers_and_lose_their_decimals(kernel):
    counts = np.zeros(121)
    for year, number in HISTOGRAM.items():
        counts[year] += number
    whole = convolve1d(counts.clip(5, 1000).astype(np.int64), KERNELS[kernel], mode="constant")
    years, numbers = list(HISTOGRAM), np.array(list(HISTOGRAM.values()))
    raw = 1 / whole[years]
    found = year_weights(ages_of(), "inverse", KERNELS[kernel], truncates_counts=True)[years]
    assert_allclose(found, raw / np.average(raw, weights=numbers), rtol=1e-12)
    exact = year_weights(ages_of(), "inverse", KERNELS[kernel])[years]
    assert 0.001 < np.abs(found / exact - 1).max() < 0.1


def test_square_roots_are_not_truncated_as_published_either():
    arguments = (ages_of(), "sqrt_inverse", gaussian_kernel())
    assert_allclose(year_weights(*arguments, truncates_counts=True), year_weights(*arguments), rtol=1e-12)


def test_the_kernels_are_their_formulas():
    assert_allclose(gaussian_kernel(5, 2.0), [math.exp(-x * x / 8) for x in (-2, -1, 0, 1, 2)])
    assert_allclose(laplace_kernel(5, 2.0), [math.exp(-abs(x) / 2) for x in (-2, -1, 0, 1, 2)])
    assert_allclose(triangular_kernel(5), triang(5))


def test_kernels_are_nine_years_long_and_one_year_wide_as_published():
    assert_allclose(gaussian_kernel(), [math.exp(-x * x / 2) for x in range(-4, 5)])
    assert_allclose(laplace_kernel(), [math.exp(-abs(x)) for x in range(-4, 5)])
    assert_allclose(triangular_kernel(), triang(9))


def test_the_smallest_kernel_changes_nothing():
    for kernel in (gaussian_kernel(1), laplace_kernel(1), triangular_kernel(1)):
        assert kernel.tolist() == [1]
        assert_allclose(year_weights(ages_of(), kernel=kernel), year_weights(ages_of()))


@pytest.mark.parametrize("size", [1, 3, 9, 41])
def test_smoothing_is_scipys_convolution_with_nothing_beyond_the_ends(size):
    counts, kernel = np.random.default_rng(0).random(20), np.random.default_rng(1).random(size)
    if size <= 20:
        assert_allclose(smoothed(counts, kernel), convolve1d(counts, kernel, mode="constant"))
    half = size // 2
    typed = [sum(kernel[i - j + half] * counts[j] for j in range(20) if abs(i - j) <= half) for i in range(20)]
    assert_allclose(smoothed(counts, kernel), typed)


@pytest.mark.parametrize("age", [math.nan, -0.1, 121.0, math.inf])
def test_an_impossible_age_is_refused_with_its_row(age):
    with pytest.raises(ValueError, match=f"the age of example 2 is {age}, not from 0 to 120"):
        year_weights(np.array([20.0, 30.0, age]))


@pytest.mark.parametrize("ages", [[], [[20.0]], 20.0])
def test_no_ages_are_refused(ages):
    with pytest.raises(ValueError, match="expected the ages of one or more examples, got shape"):
        year_weights(np.array(ages))


@pytest.mark.parametrize("unit_years", [0.0, -1.0, math.nan])
def test_bins_of_no_width_are_refused(unit_years):
    with pytest.raises(ValueError, match=f"bins need unit_years above 0, got {unit_years}"):
        year_weights(np.array([20.0]), unit_years=unit_years)


def test_an_unknown_weighting_is_refused():
    with pytest.raises(ValueError, match="unknown weighting 'sqrt': expected 'inverse' or 'sqrt_inverse'"):
        year_weights(np.array([20.0]), "sqrt")


@pytest.mark.parametrize("kernel", [np.ones(4), np.ones((3, 3)), np.ones(0)])
def test_a_kernel_without_a_middle_is_refused(kernel):
    with pytest.raises(ValueError, match="a kernel needs an odd number of values, got shape"):
        smoothed(np.ones(10), kernel)


@pytest.mark.parametrize(
    "make",
    [
        lambda: gaussian_kernel(4),
        lambda: gaussian_kernel(9, 0.0),
        lambda: laplace_kernel(0),
        lambda: triangular_kernel(-1),
    ],
)
def test_a_kernel_of_no_shape_is_refused(make):
    with pytest.raises(ValueError, match="a kernel needs an odd size and a width above 0, got"):
        make()
