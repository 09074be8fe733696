import pytest
from numpy.testing import assert_allclose
from scipy import stats

from agegender.evaluation.readings import READINGS, best_of_each, kept_epoch, last_epoch, mean_of_few

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
