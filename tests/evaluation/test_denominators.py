import numpy as np
import pytest
from numpy.testing import assert_allclose

from agegender.evaluation.denominators import num_batches, padded_accuracy, restored_last_batch
from agegender.evaluation.published import load_published

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


def test_names_an_unknown_reading():
    with pytest.raises(ValueError, match="unknown reading 'rounded'"):
        padded_accuracy([1], 2, "rounded")


def test_refuses_a_batch_of_nothing_and_a_single_batch_that_was_dropped():
    with pytest.raises(ValueError, match="got 1 and 0"):
        padded_accuracy([1], 0, "wrapped")
    with pytest.raises(ValueError, match="100 examples are one batch of 128"):
        restored_last_batch(0.0, 100, 128)
