import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from agegender.evaluation.metrics import GENDER_ACCURACY, MAE, RMSE
from agegender.evaluation.published import load_published
from agegender.evaluation.published_arithmetic import (
    READINGS,
    best_of_each,
    interval_of_mae,
    interval_of_rmse,
    kept_epoch,
    last_epoch,
    mean_of_few,
    mean_over_batches,
    num_batches,
    over_orders,
    padded_accuracy,
    restored_last_batch,
    share_of_rmse,
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


ADIENCE_JOINT_TEST = (3879, 3005, 3121, 2866, 3387)
"""Faces of each Adience fold that have both an age group and a gender."""


def published_folds(system):
    rows = load_published().query("system == @system and fold.notna()")
    assert len(rows) == 15
    return [(row.metric, ADIENCE_JOINT_TEST[int(row.fold)], row.value) for row in rows.itertuples()]


def test_wrapped_counts_the_first_examples_again():
    correct = np.array([1, 0, 0, 1, 1])
    queue = np.concatenate([correct, correct[:3]])  # 5 examples in batches of 4 are 8
    assert padded_accuracy(correct, 4, "wrapped") == queue.mean()


def test_a_test_set_shorter_than_half_a_batch_wraps_more_than_once():
    assert padded_accuracy([1, 0], 5, "wrapped") == 3 / 5


def test_last_batch_dropped_keeps_it_in_the_denominator():
    assert padded_accuracy(np.ones(100), 40, "last_batch_dropped") == 80 / 120


def test_each_once_is_the_plain_mean_whatever_the_batch_size():
    correct = np.random.default_rng(0).random(97) < 0.6
    assert {padded_accuracy(correct, size, "each_once") for size in (1, 7, 128)} == {correct.mean()}


@pytest.mark.parametrize("batch_size", [1, 5, 25])
def test_whole_batches_need_no_wrapping(batch_size):
    correct = np.random.default_rng(0).random(25) < 0.6
    assert padded_accuracy(correct, batch_size, "wrapped") == correct.mean()


def test_order_matters_for_wrapped_and_not_for_each_once():
    assert padded_accuracy([1, 0, 0], 2, "wrapped") != padded_accuracy([0, 0, 1], 2, "wrapped")
    assert padded_accuracy([1, 0, 0], 2, "each_once") == padded_accuracy([0, 0, 1], 2, "each_once")


def test_restoring_the_last_batch_gives_the_accuracy_of_the_batches_that_were_counted():
    correct = np.random.default_rng(1).random(1000) < 0.4
    printed = padded_accuracy(correct, 128, "last_batch_dropped")
    assert_allclose(restored_last_batch(printed, 1000, 128), correct[: 7 * 128].mean())


def test_the_padded_test_folds_of_the_papers_batch_size():
    assert [num_batches(n, 128) * 128 for n in ADIENCE_JOINT_TEST] == [3968, 3072, 3200, 2944, 3456]


GPU, NPU = "LMTCNN-1-1 (Ascend port, GPU)", "LMTCNN-1-1 (Ascend port, NPU)"
ORIGINAL, LEVI = "LMTCNN-2-1 (original result files)", "Levi-Hassner net, single task (original result files)"


def is_whole_count(value, denominator):
    """Say whether some count over ``denominator`` prints as ``value`` %, rounded to two digits."""
    return abs(round(value / 100 * denominator) / denominator * 100 - value) <= 0.00501


@pytest.mark.parametrize("system", [NPU, ORIGINAL, LEVI])
def test_published_accuracies_are_whole_counts_over_padded_test_folds_and_not_over_the_examples(system):
    folds = published_folds(system)
    assert all(is_whole_count(value, num_batches(n, 128) * 128) for _, n, value in folds)
    assert not all(is_whole_count(value, n) for _, n, value in folds)


def test_the_gpu_column_of_the_port_is_padded_in_folds_1_to_4_and_not_in_fold_0():
    for _, n, value in published_folds(GPU):
        assert is_whole_count(value, num_batches(n, 128) * 128) == (n != ADIENCE_JOINT_TEST[0])
        assert is_whole_count(value, n) or n != ADIENCE_JOINT_TEST[0]


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (GPU, {"exact": 43.81, "top_two": 69.41, "gender_accuracy": 83.69}),
        (NPU, {"exact": 42.53, "top_two": 67.26, "gender_accuracy": 82.53}),
    ],
)
def test_the_ports_means_if_its_evaluator_dropped_the_last_batch(system, expected):
    restored = {metric: [] for metric in expected}
    for metric, n, value in published_folds(system):
        restored[metric].append(restored_last_batch(value, n, 128))
    assert {metric: round(float(np.mean(values)), 2) for metric, values in restored.items()} == expected


def test_names_an_unknown_denominator():
    with pytest.raises(ValueError, match="unknown denominator 'rounded'"):
        padded_accuracy([1], 2, "rounded")


def test_refuses_a_batch_of_nothing_and_a_single_batch_that_was_dropped():
    with pytest.raises(ValueError, match="got 1 and 0"):
        padded_accuracy([1], 0, "wrapped")
    with pytest.raises(ValueError, match="100 examples are one batch of 128"):
        restored_last_batch(0.0, 100, 128)


def answers(errors, genders=None):
    """Predictions of people of 40 with these errors in years; every p_female is 0.9."""
    genders = ["female"] * len(errors) if genders is None else genders
    columns = {"true_age": 40.0, "age": 40.0 + np.array(errors, dtype=float), "true_gender": genders, "p_female": 0.9}
    return pd.DataFrame(columns)


def test_the_mean_of_two_batches_added_up_by_hand():
    table = answers([3, 4, 0, 2])  # batches (3, 4) and (0, 2)
    assert mean_over_batches(MAE, table, batch_size=2) == pytest.approx((3.5 + 1.0) / 2)
    assert mean_over_batches(RMSE, table, batch_size=2) == pytest.approx((np.sqrt(12.5) + np.sqrt(2.0)) / 2)
    assert mean_over_batches(RMSE, table, batch_size=2) < RMSE.value(table)


def test_a_last_short_batch_counts_as_much_as_a_full_one():
    table = answers([3, 4, 12])  # batches (3, 4) and (12)
    assert mean_over_batches(MAE, table, batch_size=2) == pytest.approx((3.5 + 12) / 2)
    assert MAE.value(table) == pytest.approx(19 / 3)


def test_batches_are_cut_from_all_rows_also_where_only_some_are_scored():
    table = answers([3, 1, 5, 7, 9, 2], ["male", "female", "male", "male", "female", "female"])
    is_male = table["true_gender"].eq("male")
    assert mean_over_batches(MAE, table, batch_size=3, only=is_male) == pytest.approx(((3 + 5) / 2 + 7) / 2)
    assert mean_over_batches(GENDER_ACCURACY, table, batch_size=3) == pytest.approx((100 / 3 + 200 / 3) / 2)


def test_a_batch_in_which_nobody_is_scored_does_not_count():
    table = answers([3, 5, 1, 1, 7, 9], ["male"] * 2 + ["female"] * 2 + ["male"] * 2)
    assert mean_over_batches(MAE, table, only=table["true_gender"].eq("male"), batch_size=2) == 6
    table.loc[0, "true_age"] = np.nan
    assert mean_over_batches(MAE, table, only=table["true_gender"].eq("male"), batch_size=2) == 6.5


def test_one_batch_of_everything_has_the_value_itself(predictions):
    for metric in (MAE, RMSE, GENDER_ACCURACY):
        assert mean_over_batches(metric, predictions, batch_size=len(predictions)) == pytest.approx(
            metric.value(predictions)
        )


def test_in_equal_batches_the_mean_of_rmse_is_at_most_the_rmse_and_that_of_mae_is_the_mae(predictions):
    table = predictions.iloc[:192]
    found = over_orders(RMSE, table)
    assert (found < RMSE.value(table)).all()
    np.testing.assert_allclose(over_orders(MAE, table), MAE.value(table))


def test_the_smaller_the_batches_the_smaller_the_mean_of_rmse(predictions):
    table = predictions.iloc[:192]
    values = [mean_over_batches(RMSE, table, batch_size=size) for size in (192, 24, 6, 1)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(MAE.value(table))


def test_an_order_is_the_order_of_the_rows():
    table = answers(np.arange(60.0) ** 1.5)
    order = np.random.default_rng(0).permutation(60)
    shuffled = table.iloc[np.argsort(order)]  # row i goes to place order[i]
    assert over_orders(RMSE, table)[0] == pytest.approx(mean_over_batches(RMSE, shuffled))
    np.testing.assert_array_equal(over_orders(RMSE, table), over_orders(RMSE, table))


def test_the_share_left_of_normal_errors_is_that_of_the_chi_distribution_and_of_a_simulation():
    assert share_of_rmse(1680, 1680) == pytest.approx(stats.chi(24).mean() / np.sqrt(24))
    rng = np.random.default_rng(0)
    table = answers(rng.normal(0, 7, 4800), np.where(np.arange(4800) % 3 == 0, "female", "male"))
    is_female = table["true_gender"].eq("female")
    found = over_orders(RMSE, table, only=is_female) / RMSE.value(table[is_female])
    assert found.mean() == pytest.approx(share_of_rmse(1600, 4800), abs=0.003)


@pytest.mark.parametrize("heavy", [stats.t(5), stats.laplace()])
def test_heavier_tails_leave_less_than_normal_errors(heavy):
    table = answers(heavy.rvs(4800, random_state=np.random.default_rng(0)))
    assert over_orders(RMSE, table).mean() < share_of_rmse(4800, 4800) * RMSE.value(table)


def test_what_cannot_be_averaged_is_refused():
    table = answers([1, 2])
    with pytest.raises(ValueError, match="at least 1 example, got 0"):
        mean_over_batches(MAE, table, batch_size=0)
    with pytest.raises(ValueError, match="none of 2 rows can be scored by mae"):
        mean_over_batches(MAE, table, only=table["true_gender"].eq("male"))
    for num_scored, num_examples in ((0, 100), (101, 100), (5, 23)):
        with pytest.raises(ValueError, match=f"expected 24 examples or more, some scored, got {num_examples}"):
            share_of_rmse(num_scored, num_examples)
