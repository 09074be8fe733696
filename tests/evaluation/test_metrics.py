import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from numpy.testing import assert_allclose

from agegender.evaluation import metrics

KINDS = [np.int64, np.uint8, np.float64, np.float32]


@pytest.fixture
def ages():
    generator = np.random.default_rng(0)
    return generator.integers(0, 90, 200), generator.integers(0, 90, 200)


@pytest.fixture
def groups():
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet(np.ones(8), size=300)
    return generator.integers(0, 8, 300), probabilities


@pytest.mark.parametrize("kind", KINDS)
def test_mae_and_rmse_equal_scikit_learn_on_float_whatever_the_kind_of_input(ages, kind):
    true, predicted = ages
    floats = true.astype(float), predicted.astype(float)
    assert_allclose(
        metrics.mae(true.astype(kind), predicted.astype(kind)), sklearn.metrics.mean_absolute_error(*floats)
    )
    expected = sklearn.metrics.root_mean_squared_error(*floats)
    assert_allclose(metrics.rmse(true.astype(kind), predicted.astype(kind)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_bias_is_predicted_minus_true_and_negative_for_uint8_too(kind):
    assert metrics.bias(np.array([30, 40], dtype=kind), np.array([20, 36], dtype=kind)) == -7.0


@pytest.mark.parametrize("kind", KINDS)
def test_exact_and_uar_equal_scikit_learn(groups, kind):
    true, probabilities = groups
    predicted = probabilities.argmax(axis=1)
    assert_allclose(
        metrics.exact(true.astype(kind), predicted.astype(kind)), sklearn.metrics.accuracy_score(true, predicted)
    )
    expected = sklearn.metrics.recall_score(true, predicted, average="macro")
    assert_allclose(metrics.uar(true.astype(kind), predicted.astype(kind)), expected)


def test_confusion_equals_scikit_learn(groups):
    true, probabilities = groups
    expected = sklearn.metrics.confusion_matrix(true, probabilities.argmax(axis=1))
    assert_allclose(metrics.confusion(true, probabilities, 8), expected)


def test_top_two_equals_scikit_learn_where_nothing_ties(groups):
    true, probabilities = groups
    expected = sklearn.metrics.top_k_accuracy_score(true, probabilities, k=2)
    assert_allclose(metrics.top_two(true, probabilities), expected)


def test_gender_accuracy_equals_scikit_learn():
    generator = np.random.default_rng(2)
    p_female = generator.random(100)
    true = np.where(generator.random(100) < 0.5, "female", "male")
    expected = sklearn.metrics.accuracy_score(true, np.where(p_female > 0.5, "female", "male"))
    assert_allclose(metrics.gender_accuracy(true, p_female), expected)
    assert_allclose(metrics.gender_accuracy(pd.Series(true, dtype="str"), p_female.astype(np.float32)), expected)


def test_rmse_is_pooled_and_not_the_mean_over_batches():
    true, predicted = np.zeros(4), np.array([0.0, 0.0, 2.0, 2.0])
    mean_of_batches = np.mean([metrics.rmse(true[:2], predicted[:2]), metrics.rmse(true[2:], predicted[2:])])
    assert metrics.rmse(true, predicted) == pytest.approx(np.sqrt(2))
    assert mean_of_batches == 1.0


def test_the_order_of_examples_does_not_matter(groups):
    true, probabilities = groups
    order = np.random.default_rng(3).permutation(len(true))
    for metric in (metrics.exact, metrics.one_off, metrics.top_two, metrics.uar):
        assert_allclose(metric(true[order], probabilities[order]), metric(true, probabilities))


def test_logits_and_their_softmax_give_the_same_groups(groups):
    true, probabilities = groups
    for metric in (metrics.exact, metrics.one_off, metrics.top_two):
        assert metric(true, np.log(probabilities)) == metric(true, probabilities)


@pytest.mark.parametrize(("predicted", "counted"), [(3, 1.0), (2, 1.0), (4, 1.0), (1, 0.0), (5, 0.0)])
def test_one_off_counts_the_group_and_its_neighbours(predicted, counted):
    assert metrics.one_off([3], [predicted]) == counted


def test_top_two_is_not_one_off():
    far_second = [[0.4, 0.0, 0.0, 0.6]]  # group 0 is second, but three groups away from the first
    assert metrics.top_two([0], far_second) == 1.0
    assert metrics.one_off([0], far_second) == 0.0


def test_ties_go_to_the_lower_group_so_that_two_of_eight_equal_groups_count():
    equal = np.full((8, 8), 1 / 8)
    assert metrics.top_two_hits(range(8), equal).tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert metrics.exact_hits(range(8), equal).tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def test_uar_leaves_out_a_group_that_no_example_has():
    assert metrics.uar([0, 0, 2], [0, 1, 2]) == 0.75


@pytest.mark.parametrize(("error", "counted"), [(4.99, 1.0), (5.0, 1.0), (5.01, 0.0), (-5.0, 1.0), (-5.01, 0.0)])
def test_cs5_counts_an_error_of_exactly_five_years(error, counted):
    assert metrics.cs([30.0], [30.0 + error]) == counted


def test_cs5_counts_five_years_that_floating_point_makes_a_little_more():
    assert 8.3 - 3.3 > 5
    assert metrics.cs([3.3], [8.3]) == 1.0


def test_cs_takes_its_tolerance_in_years():
    assert metrics.cs([20, 20], [23, 24], tolerance=3) == 0.5


def test_p_female_at_the_threshold_is_male():
    assert metrics.gender_accuracy(["male", "female"], [0.5, 0.5]) == 0.5
    assert metrics.gender_accuracy(["male", "female"], [0.25, 0.26], threshold=0.25) == 1.0


def test_names_the_first_age_that_is_nan():
    with pytest.raises(
        ValueError, match=r"1 of 3 values of true_age are not finite, the first is nan at position 1: drop"
    ):
        metrics.mae([20, np.nan, 30], [20, 20, 20])


def test_a_missing_group_of_a_nullable_column_is_refused_and_not_a_number():
    with pytest.raises(ValueError, match="true_group are not finite"):
        metrics.exact(pd.Series([1, None], dtype="Int64"), [1, 1])


def test_names_a_sentinel_in_place_of_a_group():
    with pytest.raises(ValueError, match="got -1 at position 2"):
        metrics.exact([0, 1, -1], [0, 1, 0])
    with pytest.raises(ValueError, match=r"got 1\.5 at position 0"):
        metrics.one_off([1.5], [1])


def test_refuses_an_empty_test_set():
    with pytest.raises(ValueError, match="true_age is empty"):
        metrics.mae([], [])


def test_names_both_lengths_when_they_differ():
    with pytest.raises(ValueError, match="true_age has 3 examples and age has 2"):
        metrics.mae([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match=r"shape \(3, groups\), got \(2, 4\)"):
        metrics.top_two([1, 2, 3], np.full((2, 4), 0.25))
    with pytest.raises(ValueError, match="true_gender has 1 examples and p_female has 2"):
        metrics.gender_accuracy(["male"], [0.1, 0.2])


def test_refuses_a_group_without_probability_and_a_probability_without_value():
    with pytest.raises(ValueError, match="holds group 8, but there are probabilities for 8 groups"):
        metrics.exact([8], np.full((1, 8), 1 / 8))
    with pytest.raises(ValueError, match="not finite in row 1"):
        metrics.exact([0, 0], [[1.0, 0.0], [np.nan, 1.0]])
    with pytest.raises(ValueError, match="group 7 is outside the 7 groups 0 to 6"):
        metrics.confusion([7], [0], num_groups=7)


def test_refuses_an_unknown_gender_and_a_logit_in_place_of_a_probability():
    with pytest.raises(ValueError, match="must be one of male, female, got u"):
        metrics.gender_accuracy(["u"], [0.1])
    with pytest.raises(ValueError, match="must lie in 0 to 1, got -2 to 3"):
        metrics.gender_accuracy(["male", "male"], [-2, 3])


def test_refuses_a_column_of_columns():
    with pytest.raises(ValueError, match=r"age must have the shape \(examples,\), got \(2, 1\)"):
        metrics.mae([1, 2], [[1], [2]])
