import numpy as np
import pytest
from numpy.testing import assert_allclose

from agegender.evaluation import age_distributions as ages
from agegender.labels import ADIENCE_8, FAIRFACE_9


def dirichlet(num_examples, num_classes, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(num_classes, 0.5), num_examples)


def test_groups_keep_their_probabilities():
    p_group = dirichlet(20, 9)
    below = ages.of_groups(p_group, FAIRFACE_9)
    assert below.shape == (20, 102)
    edges = [int(edge) for edge in (*FAIRFACE_9.lower, FAIRFACE_9.upper[-1])]
    assert_allclose(np.diff(below[:, edges], axis=1), p_group, atol=1e-6)
    assert (np.diff(below, axis=1) > 0).all()


def test_a_gap_between_groups_is_shared_by_both():
    sure = np.eye(8)[[3]]  # 15 to 20 years; the group before ends at 13 and the next one begins at 25
    assert_allclose(ages.of_groups(sure, ADIENCE_8)[0, [14, 23]], [0, 1], atol=1e-6)
    low, high = ages.quantiles(ages.of_groups(sure, ADIENCE_8), [0.001, 0.999])[0]
    assert 14 < low < 15
    assert 22 < high < 23


def test_years_that_are_equally_probable_are_a_straight_line():
    below = ages.of_years(np.full((1, 101), 1 / 101))
    assert_allclose(below[0], np.arange(102) / 101, atol=1e-6)
    assert_allclose(ages.quantiles(below, [0.25, 0.5]), [[25.25, 50.5]], atol=1e-4)


def test_a_quantile_is_where_that_share_lies_below():
    below = ages.of_groups(dirichlet(50, 9), FAIRFACE_9)
    for level in (0.05, 0.5, 0.9):
        assert_allclose(ages.share_below(below, ages.quantiles(below, [level])[:, 0]), level, atol=1e-6)


def test_the_level_is_the_published_order_statistic():
    below = 0.5 + np.array([0.4, -0.1, 0.2, -0.3, 0.05, 0.15, -0.25, 0.35, -0.45])
    assert ages.conformal_level(below, 0.9) == pytest.approx(0.45)  # ceil(10 * 0.9) = 9th of nine
    assert ages.conformal_level(below, 0.5) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="9 examples are too few for intervals that hold 95%"):
        ages.conformal_level(below, 0.95)


def test_intervals_hold_the_stated_share_of_new_ages_also_of_an_overconfident_model():
    rng = np.random.default_rng(1)
    centre = rng.uniform(20, 80, 4000)
    true = (centre + rng.normal(0, 10, 4000)).clip(0, 100)
    years = np.arange(101) + 0.5
    p_year = np.exp(-0.5 * ((years - centre[:, None]) / 4) ** 2)  # sure to 4 years, wrong by 10
    below = ages.of_years(p_year / p_year.sum(1, keepdims=True))
    level = ages.conformal_level(ages.share_below(below[:2000], true[:2000]))
    low, high = ages.central_interval(below[2000:], level).T
    assert np.mean((low <= true[2000:]) & (true[2000:] <= high)) == pytest.approx(0.9, abs=0.03)
    assert np.mean(np.abs(ages.share_below(below, true) - 0.5) <= 0.45) < 0.7  # what it says of itself
