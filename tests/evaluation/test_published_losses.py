import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from agegender.evaluation.published import load_published
from agegender.evaluation.published_losses import loss_bounds, remaining_age_loss, saturated_loss, twice_softmaxed_loss


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(scale=4, size=(50, 7))


def printed():
    """The rows of imdb that print a loss and its weight."""
    rows = load_published().query("pipeline == 'imdb'").pivot_table("value", "system", "metric")
    return rows.dropna(subset=["total_loss", "age_weight"])


def test_the_loss_is_that_of_torch_on_softmaxed_values(logits):
    target = np.arange(50) % 7
    there = cross_entropy(torch.tensor(logits).softmax(dim=1), torch.tensor(target), reduction="none")
    np.testing.assert_allclose(twice_softmaxed_loss(logits, target), there.numpy(), rtol=1e-12)


@pytest.mark.parametrize("num_classes", [2, 8, 101])
def test_the_bounds_are_the_losses_of_torch_for_certain_answers(num_classes):
    sure = torch.zeros(1, num_classes, dtype=torch.float64)
    sure[0, 0] = 1  # what a softmax gives for a very large logit
    low, high = loss_bounds(num_classes)
    assert low == pytest.approx(cross_entropy(sure, torch.tensor([0])).item())
    assert high == pytest.approx(cross_entropy(sure, torch.tensor([1])).item())


def test_no_logits_leave_the_bounds(logits):
    for scale in (0.01, 1, 1000):
        losses = twice_softmaxed_loss(scale * logits, np.zeros(50))
        low, high = loss_bounds(7)
        assert (losses >= low - 1e-12).all()
        assert (losses <= high + 1e-12).all()


def test_a_network_that_says_the_same_about_everybody_is_almost_at_the_upper_bound():
    assert twice_softmaxed_loss(np.zeros((1, 101)), [50]) == pytest.approx(math.log(101))
    low, high = loss_bounds(101)
    assert (high - math.log(101)) / (high - low) < 0.02


def test_a_saturated_loss_is_the_mean_over_certain_answers():
    right = np.arange(200) < 150
    logits = np.where(right[:, None], [[1e4, 0, 0]], [[0, 1e4, 0]])
    assert saturated_loss(0.75, 3) == pytest.approx(twice_softmaxed_loss(logits, np.zeros(200)).mean())


def test_a_constant_added_to_the_logits_changes_nothing(logits):
    target = np.zeros(50)
    np.testing.assert_allclose(twice_softmaxed_loss(logits + 300, target), twice_softmaxed_loss(logits, target))


def test_the_printed_losses_of_l1_are_a_saturated_gender_loss_and_a_tenth_of_the_mae():
    rows = printed().query("age_weight == 0.1")
    assert len(rows) == 2
    for row in rows.itertuples():
        found = remaining_age_loss(row.total_loss, row.gender_accuracy / 100, row.age_weight)
        assert found == pytest.approx(row.mae, abs=0.021)  # hundredths of a year: 0.002 in the printed loss


def test_the_printed_loss_of_l2_holds_squared_errors_above_the_square_of_the_mean_error():
    [row] = printed().query("age_weight == 0.01").itertuples()
    squared = remaining_age_loss(row.total_loss, row.gender_accuracy / 100, row.age_weight)
    assert math.sqrt(squared) == pytest.approx(8.42, abs=0.01)
    assert math.sqrt(squared) > row.mae


def test_gender_loss_as_it_should_be_would_not_fit_the_printed_ones():
    for row in printed().query("age_weight == 0.1").itertuples():
        of_gender = row.total_loss - row.age_weight * row.mae
        assert of_gender == pytest.approx(saturated_loss(row.gender_accuracy / 100, 2), abs=0.0021)
        assert of_gender > 0.40  # a cross-entropy of logits is about half of that at such an accuracy


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: loss_bounds(1), "num_classes must be at least 2, got 1"),
        (lambda: saturated_loss(90.756, 2), "accuracy is a share between 0 and 1, got 90.756"),
        (lambda: remaining_age_loss(1.0, 0.9, 0.0), "age_weight must be positive"),
        (lambda: remaining_age_loss(0.3, 0.9, 0.1), "below the 0.4133 of gender alone"),
        (lambda: twice_softmaxed_loss([[0.0, 1.0]], [2]), "more than 2"),
        (lambda: twice_softmaxed_loss([[0.0, 1.0]], [0, 1]), r"logits must have the shape \(2"),
        (lambda: twice_softmaxed_loss([[0.0, np.nan]], [0]), "logits are not finite in row 0"),
        (lambda: twice_softmaxed_loss([[0.0, 1.0]], [0.5]), "group numbers from 0 on"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
