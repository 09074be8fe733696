import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from agegender.labels import ADIENCE_8
from agegender.models.heads import AgeBins, ClassHead
from agegender.models.losses import label_distribution_loss, mean_variance_loss

YEARS = range(101)


def logits(num_examples, num_classes=101):
    return 3 * torch.randn(num_examples, num_classes, generator=torch.Generator().manual_seed(0))


def softmax(row):
    exponentials = [math.exp(value) for value in row]
    return [value / sum(exponentials) for value in exponentials]


def label_distribution_of_one(row, position, std, weight):
    """The loss of one example as the paper writes it, in plain Python."""
    p = softmax(row)
    density = [math.exp(-((k - position) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi)) for k in range(len(p))]
    q = [value / sum(density) for value in density]
    divergence = sum(qk * math.log(qk / pk) for qk, pk in zip(q, p, strict=True) if qk > 0)
    return divergence + weight * abs(sum(k * pk for k, pk in enumerate(p)) - position)


def mean_variance_of_one(row, position, mean_weight, variance_weight):
    p = softmax(row)
    mean = sum(k * pk for k, pk in enumerate(p))
    variance = sum(pk * (k - mean) ** 2 for k, pk in enumerate(p))
    return -math.log(p[int(position)]) + mean_weight * (mean - position) ** 2 / 2 + variance_weight * variance


@pytest.mark.parametrize("ages", [[0.0, 30.0, 64.0, 100.0], [0.5, 30.25, 64.75, 100.9]], ids=["whole", "decimal"])
def test_the_label_distribution_loss_in_years_is_that_of_the_paper(ages):
    expected = [
        label_distribution_of_one(row, age, 2.0, 1.0) for row, age in zip(logits(4).tolist(), ages, strict=True)
    ]
    loss = ClassHead(5, AgeBins(YEARS), loss=label_distribution_loss).loss(logits(4), torch.tensor(ages))
    assert_close(loss, torch.tensor(sum(expected) / 4))


def test_the_label_distribution_loss_in_groups_counts_in_groups():
    head = ClassHead(
        5, AgeBins(ADIENCE_8), loss=partial(label_distribution_loss, label_std=0.8, expectation_weight=0.3)
    )
    rows, target = logits(3, 8), torch.tensor([0, 7, 3])
    expected = [
        label_distribution_of_one(row, t, 0.8, 0.3) for row, t in zip(rows.tolist(), target.tolist(), strict=True)
    ]
    assert_close(head.loss(rows, target), torch.tensor(sum(expected) / 3))


def test_the_width_of_a_label_is_the_papers_two_years_if_none_is_given():
    position = torch.tensor([30.0, 31.5])
    expected = label_distribution_loss(logits(2), position, label_std=2.0)
    assert_close(label_distribution_loss(logits(2), position), expected)
    assert (label_distribution_loss(logits(2), position, label_std=0.5) - expected).abs() > 0.1


def test_years_may_start_above_zero():
    rows = logits(2, 10)
    expected = [
        label_distribution_of_one(row, age - 16, 2.0, 1.0) for row, age in zip(rows.tolist(), (16, 25), strict=True)
    ]
    loss = ClassHead(5, AgeBins(range(16, 26)), loss=label_distribution_loss).loss(rows, torch.tensor([16.0, 25.0]))
    assert_close(loss, torch.tensor(sum(expected) / 2))


def test_predicting_the_label_distribution_itself_costs_nothing():
    distance = torch.arange(101) - 50.0
    perfect = -(distance**2) / (2 * 2.0**2)
    assert_close(
        ClassHead(5, AgeBins(YEARS), loss=label_distribution_loss).loss(perfect[None], torch.tensor([50.0])),
        torch.tensor(0.0),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize("ages", [[0.0, 30.0, 64.0, 100.0], [0.5, 30.25, 64.75, 100.9]], ids=["whole", "decimal"])
def test_the_mean_variance_loss_in_years_is_that_of_the_paper(ages):
    expected = [mean_variance_of_one(row, age, 0.2, 0.05) for row, age in zip(logits(4).tolist(), ages, strict=True)]
    assert_close(
        ClassHead(5, AgeBins(YEARS), loss=mean_variance_loss).loss(logits(4), torch.tensor(ages)),
        torch.tensor(sum(expected) / 4),
    )


def test_the_mean_variance_loss_in_groups_counts_in_groups():
    rows, target = logits(3, 8), torch.tensor([0, 7, 3])
    expected = [mean_variance_of_one(row, t, 0.4, 0.1) for row, t in zip(rows.tolist(), target.tolist(), strict=True)]
    head = ClassHead(5, AgeBins(ADIENCE_8), loss=partial(mean_variance_loss, mean_weight=0.4, variance_weight=0.1))
    assert_close(head.loss(rows, target), torch.tensor(sum(expected) / 3))


def test_a_sure_and_right_answer_has_no_mean_variance_loss():
    sure = torch.full((1, 101), -1e4).index_fill(1, torch.tensor([30]), 1e4)
    assert ClassHead(5, AgeBins(YEARS), loss=mean_variance_loss).loss(sure, torch.tensor([30.0])) == 0


@pytest.mark.parametrize("width", [0.0, -1.0, math.nan])
def test_a_label_without_width_is_refused(width):
    with pytest.raises(ValueError, match=f"label_std must be above 0 bins, got {width}"):
        label_distribution_loss(logits(1), torch.tensor([30.0]), label_std=width)
