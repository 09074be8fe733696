import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from agegender.models.losses import focal_loss, focal_loss_of_mean

BOTH = pytest.mark.parametrize("loss", [focal_loss, focal_loss_of_mean])


def batch(number=6, classes=101, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(number, classes, generator=generator, dtype=torch.float32) * 3
    return logits, torch.randint(0, classes, (number,), generator=generator)


def probabilities_of_the_right_class(logits, target):
    return [
        math.exp(row[t]) / sum(math.exp(value) for value in row) for row, t in zip(logits.tolist(), target, strict=True)
    ]


@pytest.mark.parametrize("gamma", [0, 1, 2, 3.5])
def test_the_focal_loss_is_equation_4_averaged(gamma):
    logits, target = batch()
    terms = [(1 - p) ** gamma * -math.log(p) for p in probabilities_of_the_right_class(logits, target)]
    assert_close(focal_loss(logits, target, gamma), torch.tensor(sum(terms) / len(terms)))


@pytest.mark.parametrize("gamma", [0, 1, 2, 3.5])
def test_the_published_focal_loss_is_that_of_the_mean_cross_entropy(gamma):
    logits, target = batch()
    mean = sum(-math.log(p) for p in probabilities_of_the_right_class(logits, target)) / len(target)
    assert_close(focal_loss_of_mean(logits, target, gamma), torch.tensor((1 - math.exp(-mean)) ** gamma * mean))


@BOTH
def test_without_gamma_it_is_the_cross_entropy(loss):
    logits, target = batch()
    assert_close(loss(logits, target, 0.0), functional.cross_entropy(logits, target))


def test_a_batch_of_one_has_the_same_loss_in_both_forms_and_a_larger_one_has_not():
    logits, target = batch()
    assert_close(focal_loss(logits[:1], target[:1]), focal_loss_of_mean(logits[:1], target[:1]))
    sure_and_unsure = torch.tensor([[9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 0])
    assert focal_loss(*sure_and_unsure) > 1.01 * focal_loss_of_mean(*sure_and_unsure)


def test_the_focal_loss_of_a_batch_is_the_mean_of_its_parts():
    logits, target = batch()
    parts = torch.stack([focal_loss(logits[:3], target[:3]), focal_loss(logits[3:], target[3:])])
    assert_close(focal_loss(logits, target), parts.mean())


def gradient_of(loss):
    logits, target = batch(classes=4)
    logits.requires_grad_()
    loss(logits, target).backward()
    return logits.grad


def test_the_published_form_weighs_no_example_against_another():
    plain = gradient_of(functional.cross_entropy)
    assert_close(
        functional.cosine_similarity(gradient_of(focal_loss_of_mean).flatten(), plain.flatten(), 0).item(), 1.0
    )
    assert functional.cosine_similarity(gradient_of(focal_loss).flatten(), plain.flatten(), 0) < 0.999


@BOTH
def test_the_gradient_is_that_of_small_differences(loss):
    logits, target = batch(number=2, classes=3)
    logits = (logits / 3).requires_grad_()
    loss(logits, target).backward()
    for place in range(logits.numel()):
        step = torch.zeros(logits.numel())
        step[place] = 1e-2
        up, down = (loss(logits.detach() + sign * step.view_as(logits), target) for sign in (1, -1))
        assert_close(logits.grad.flatten()[place], (up - down) / 2e-2, atol=1e-4, rtol=1e-2)


@BOTH
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_an_example_that_could_not_be_surer_costs_nothing_and_has_a_finite_gradient(loss, gamma):
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    value = loss(logits, torch.tensor([0]), gamma)
    value.backward()
    assert value.item() == 0
    assert logits.grad.isfinite().all()


@BOTH
def test_half_precision_logits_are_weighed_in_full(loss):
    logits, target = batch()
    halved = logits.bfloat16()
    assert loss(halved, target).dtype == torch.float32
    assert_close(loss(halved, target), loss(halved.float(), target))


@BOTH
@pytest.mark.parametrize("gamma", [-1.0, 0.5, math.nan])
def test_a_gamma_without_a_finite_gradient_is_refused(loss, gamma):
    with pytest.raises(ValueError, match=f"gamma must be 0 or at least 1, got {gamma}"):
        loss(*batch(), gamma)
