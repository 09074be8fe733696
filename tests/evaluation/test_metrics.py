import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from numpy.testing import assert_allclose

from agegender.evaluation.metrics import (
    AGE_SLOPE,
    BIAS,
    CS5,
    EXACT,
    GENDER_ACCURACY,
    GENDER_UAR,
    GROUP_UAR,
    HEADINGS,
    MAE,
    METRICS,
    ONE_OFF,
    RMSE,
    TOP_TWO,
    applicable,
    exact_correct,
    group_columns,
    top_two_correct,
)

KINDS = [np.int64, np.uint8, np.float64, np.float32]


def of_ages(true, predicted):
    return pd.DataFrame({"true_age": np.asarray(true), "age": np.asarray(predicted)})


def of_groups(true, probabilities):
    scores = np.asarray(probabilities, dtype=float)
    table = pd.DataFrame({f"p_group_{group}": column for group, column in enumerate(scores.T)})
    return table.assign(true_group=np.asarray(true))


def said(true, predicted, num_groups=8):
    """Predictions that are sure of a group."""
    return of_groups(true, np.eye(num_groups)[np.asarray(predicted, dtype=int)])


def of_genders(true, p_female):
    return pd.DataFrame({"true_gender": true, "p_female": p_female})


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
    table, floats = of_ages(true.astype(kind), predicted.astype(kind)), (true.astype(float), predicted.astype(float))
    assert_allclose(MAE.value(table), sklearn.metrics.mean_absolute_error(*floats))
    assert_allclose(RMSE.value(table), sklearn.metrics.root_mean_squared_error(*floats))


@pytest.mark.parametrize("kind", KINDS)
def test_bias_is_predicted_minus_true_and_negative_for_uint8_too(kind):
    assert BIAS.value(of_ages(np.array([30, 40], dtype=kind), np.array([20, 36], dtype=kind))) == -7.0


@pytest.mark.parametrize("kind", KINDS)
def test_exact_and_uar_equal_scikit_learn(groups, kind):
    true, probabilities = groups
    table, predicted = of_groups(true.astype(kind), probabilities), probabilities.argmax(axis=1)
    assert_allclose(EXACT.value(table), 100 * sklearn.metrics.accuracy_score(true, predicted))
    assert_allclose(GROUP_UAR.value(table), 100 * sklearn.metrics.recall_score(true, predicted, average="macro"))


def test_top_two_equals_scikit_learn_where_nothing_ties(groups):
    assert_allclose(TOP_TWO.value(of_groups(*groups)), 100 * sklearn.metrics.top_k_accuracy_score(*groups, k=2))


def test_gender_accuracy_and_uar_equal_scikit_learn():
    generator = np.random.default_rng(2)
    p_female = generator.random(100)
    true = np.where(generator.random(100) < 0.5, "female", "male")
    predicted = np.where(p_female > 0.5, "female", "male")
    for table in (of_genders(true, p_female), of_genders(pd.Series(true, dtype="str"), p_female.astype(np.float32))):
        assert_allclose(GENDER_ACCURACY.value(table), 100 * sklearn.metrics.accuracy_score(true, predicted))
        expected = 100 * sklearn.metrics.recall_score(true, predicted, average="macro")
        assert_allclose(GENDER_UAR.value(table), expected)


def test_rmse_is_pooled_and_not_the_mean_over_batches():
    table = of_ages(np.zeros(4), [0.0, 0.0, 2.0, 2.0])
    assert RMSE.value(table) == pytest.approx(np.sqrt(2))
    assert np.mean([RMSE.value(table[:2]), RMSE.value(table[2:])]) == 1.0


def test_the_order_of_examples_does_not_matter(predictions):
    shuffled = predictions.sample(frac=1, random_state=3)
    for metric in (*METRICS, AGE_SLOPE):
        assert_allclose(metric.value(shuffled), metric.value(predictions), err_msg=metric.name)


def test_logits_and_their_softmax_give_the_same_groups(groups):
    true, probabilities = groups
    for metric in (EXACT, ONE_OFF, TOP_TWO):
        assert metric.value(of_groups(true, np.log(probabilities))) == metric.value(of_groups(true, probabilities))


@pytest.mark.parametrize(("predicted", "counted"), [(3, 100), (2, 100), (4, 100), (1, 0), (5, 0)])
def test_one_off_counts_the_group_and_its_neighbours(predicted, counted):
    assert ONE_OFF.value(said([3], [predicted])) == counted


def test_top_two_is_not_one_off():
    far_second = of_groups([0], [[0.4, 0.0, 0.0, 0.6]])  # group 0 is second, but three groups away from the first
    assert TOP_TWO.value(far_second) == 100
    assert ONE_OFF.value(far_second) == 0


def test_ties_go_to_the_lower_group_so_that_two_of_eight_equal_groups_count():
    equal = of_groups(range(8), np.full((8, 8), 1 / 8))
    assert top_two_correct(equal).tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert exact_correct(equal).tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def test_uar_leaves_out_a_group_that_no_example_has():
    assert GROUP_UAR.value(said([0, 0, 2], [0, 1, 2])) == 75


@pytest.mark.parametrize(("error", "counted"), [(4.99, 100), (5.0, 100), (5.01, 0), (-5.0, 100), (-5.01, 0)])
def test_cs5_counts_an_error_of_exactly_five_years(error, counted):
    assert CS5.value(of_ages([30.0], [30.0 + error])) == counted


def test_cs5_counts_five_years_that_floating_point_makes_a_little_more():
    assert 8.3 - 3.3 > 5
    assert CS5.value(of_ages([3.3], [8.3])) == 100


def test_a_p_female_of_one_half_is_male():
    assert GENDER_ACCURACY.value(of_genders(["male", "female"], [0.5, 0.5])) == 50


def test_every_metric_has_a_heading_with_its_unit_and_a_direction():
    assert HEADINGS["exact"] == "age group exact (%)"
    assert HEADINGS["mae"] == "age MAE (years)"
    assert list(HEADINGS) == [metric.name for metric in (*METRICS, AGE_SLOPE)]
    assert {metric.direction for metric in METRICS if metric.unit == "%"} == {1}
    assert [metric.direction for metric in (MAE, RMSE, BIAS)] == [-1, -1, 0]


def test_a_model_of_years_has_no_group_metrics(predictions):
    without = predictions.drop(columns=group_columns(predictions))
    assert {metric.needs for metric in applicable(without, METRICS)} == {"true_gender", "true_age"}


@pytest.mark.parametrize(("empty", "lacking"), [("age", "true_age"), ("p_female", "true_gender")])
def test_a_task_without_a_head_has_no_metrics_though_its_labels_are_there(predictions, empty, lacking):
    single = predictions.assign(**{empty: np.nan}).astype({empty: predictions[empty].dtype})
    needed = {metric.needs for metric in applicable(single, METRICS)}
    assert needed == {"true_group", "true_age", "true_gender"} - {lacking}


def ages_on_a_line(slope, offset=0.0, noise=0.0, num_subjects=60):
    generator = np.random.default_rng(0)
    true = generator.uniform(0, 90, num_subjects)
    return of_ages(true, 30 + slope * (true - 30) + offset + generator.normal(0, 1, num_subjects) * noise)


def test_the_age_slope_is_that_of_least_squares():
    table = ages_on_a_line(0.7, noise=5.0)
    assert_allclose(AGE_SLOPE.value(table), np.polyfit(table["true_age"], table["age"], 1)[0])


@pytest.mark.parametrize("slope", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("offset", [0.0, 12.0])
def test_ages_drawn_to_the_middle_have_a_slope_below_one_wherever_the_middle_lies(slope, offset):
    assert_allclose(AGE_SLOPE.value(ages_on_a_line(slope, offset)), slope, atol=1e-9)


def test_people_of_one_age_have_no_slope():
    assert np.isnan(AGE_SLOPE.value(ages_on_a_line(0.5).assign(true_age=30.0)))


def test_names_the_first_age_that_is_nan():
    with pytest.raises(
        ValueError, match=r"1 of 3 values of true_age are not finite, the first is nan at position 1: drop"
    ):
        MAE.value(of_ages([20, np.nan, 30], [20, 20, 20]))


def test_a_missing_group_of_a_nullable_column_is_refused_and_not_a_number():
    with pytest.raises(ValueError, match="true_group are not finite"):
        EXACT.value(said([1, 1], [1, 1]).assign(true_group=pd.array([1, None], dtype="Int64")))


def test_names_a_sentinel_in_place_of_a_group():
    with pytest.raises(ValueError, match="got -1 at position 2"):
        EXACT.value(said([0, 1, -1], [0, 1, 0]))
    with pytest.raises(ValueError, match=r"got 1\.5 at position 0"):
        ONE_OFF.value(said([1.5], [1]))


def test_refuses_an_empty_test_set():
    with pytest.raises(ValueError, match="age is empty"):
        MAE.value(of_ages([], []))


def test_refuses_a_group_without_probability_and_a_probability_without_value():
    with pytest.raises(ValueError, match="holds group 8, but there are probabilities for 8 groups"):
        EXACT.value(of_groups([8], np.full((1, 8), 1 / 8)))
    with pytest.raises(ValueError, match="not finite in row 1"):
        EXACT.value(of_groups([0, 0], [[1.0, 0.0], [np.nan, 1.0]]))
    with pytest.raises(ValueError, match="this model predicts no age groups"):
        EXACT.value(pd.DataFrame({"true_group": [0]}))


def test_refuses_an_unknown_gender_and_a_logit_in_place_of_a_probability():
    with pytest.raises(ValueError, match="must be one of male, female, got u"):
        GENDER_ACCURACY.value(of_genders(["u"], [0.1]))
    with pytest.raises(ValueError, match="must lie in 0 to 1, got -2 to 3"):
        GENDER_ACCURACY.value(of_genders(["male", "male"], [-2, 3]))


def test_refuses_a_column_of_columns():
    with pytest.raises(ValueError, match=r"age must have the shape \(examples,\), got \(2, 2\)"):
        MAE.value(pd.concat([of_ages([1, 2], [1, 2]), of_ages([1, 2], [1, 2])[["age"]]], axis=1))
