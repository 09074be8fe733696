import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from agegender.evaluation.readings import (
    READINGS,
    best_of_each,
    interval_of_mae,
    interval_of_rmse,
    kept_epoch,
    last_epoch,
    mean_of_few,
)

AGE, GENDER = "validation_accuracy_age", "validation_accuracy_gender"


@pytest.fixture
def history():
    pairs = [(0.40, 0.80), (0.45, 0.79), (0.44, 0.81), (0.50, 0.81), (0.42, 0.78)]
    return [{"step": step, AGE: age, GENDER: gender} for step, (age, gender) in enumerate(pairs)]


def test_the_last_epoch_is_the_last_line_and_the_best_of_each_is_taken_from_different_ones(history):
    assert last_epoch(history, [AGE, GENDER]) == [0.42, 0.78]
    assert best_of_each(history, [AGE, GENDER]) == [0.50, 0.81]


def test_the_kept_epoch_is_replaced_only_by_one_that_is_better_in_every_task(history):
    assert kept_epoch(history, [AGE, GENDER]) == [0.44, 0.81]  # the fourth is better at age and equal at gender


def test_of_one_task_the_kept_epoch_is_its_best(history):
    assert kept_epoch(history, [AGE]) == best_of_each(history, [AGE]) == [0.50]


def test_no_reading_is_better_than_the_best_of_each(history):
    for reading in READINGS.values():
        assert all(a <= b for a, b in zip(reading(history, [AGE, GENDER]), [0.50, 0.81], strict=True))


def test_the_mean_of_a_few_folds_has_the_interval_of_students_distribution():
    values = [1.0, -0.5, 2.5, 0.7, 1.1]
    mean, low, high = mean_of_few(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert_allclose([mean, low, high], [0.96, expected.low, expected.high])


def test_one_fold_has_a_mean_and_no_interval():
    assert_allclose(mean_of_few([3.0]), [3.0, float("nan"), float("nan")])


def test_refuses_an_empty_history_and_a_name_that_it_does_not_hold(history):
    with pytest.raises(ValueError, match="no line"):
        last_epoch([], [AGE])
    with pytest.raises(ValueError, match="no 'validation_mae_age': it holds step, validation_accuracy_age"):
        kept_epoch(history, ["validation_mae_age"])


def test_the_interval_of_a_printed_mae_is_that_of_the_absolute_errors_themselves():
    errors = np.random.default_rng(0).standard_t(4, 300) * 6
    mae, rmse = np.abs(errors).mean(), np.sqrt(np.square(errors).mean())
    expected = stats.norm.interval(0.95, mae, np.abs(errors).std() / np.sqrt(300))
    assert_allclose(interval_of_mae(mae, rmse, 300), expected)


def test_the_interval_of_a_printed_rmse_holds_the_truth_as_often_as_it_says():
    errors = np.random.default_rng(0).normal(0, 7, (4000, 30))
    found = [interval_of_rmse(rmse, 30) for rmse in np.sqrt(np.square(errors).mean(1))]
    assert np.mean([low < 7 < high for low, high in found]) == pytest.approx(0.95, abs=0.01)


def test_more_independent_errors_make_both_intervals_narrower():
    for interval in (lambda number: interval_of_mae(5, 7, number), lambda number: interval_of_rmse(7, number)):
        widths = [np.ptp(interval(number)) for number in (56, 560)]
        assert widths[1] < widths[0] / 3


def test_printed_errors_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="no errors have an MAE of 8 and an RMSE of 7"):
        interval_of_mae(8, 7, 100)
    with pytest.raises(ValueError, match="1 error or more, got 7 and 0"):
        interval_of_rmse(7, 0)
    with pytest.raises(ValueError, match="RMSE of at least 0"):
        interval_of_rmse(float("nan"), 10)
