import math

import pytest
import torch
from torch.testing import assert_close

from agegender.labels import ADIENCE_8, FAIRFACE_9, GENDERS
from agegender.models.heads import AgeGroupHead, GenderHead

LOGITS = torch.tensor([[2.0, 0.5], [-1.0, 3.0], [0.0, 0.0]])


def head(kind):
    torch.manual_seed(0)
    return AgeGroupHead(5, ADIENCE_8) if kind == "age" else GenderHead(5)


def age_logits(seed=0):
    return 3 * torch.randn(6, 8, generator=torch.Generator().manual_seed(seed))


def test_the_loss_of_gender_is_the_mean_of_minus_the_log_probability():
    target = torch.tensor([0, 0, 1])
    expected = sum(
        -math.log(math.exp(row[t]) / sum(map(math.exp, row))) for row, t in zip(LOGITS.tolist(), target, strict=True)
    )
    assert_close(head("gender").loss(LOGITS, target), torch.tensor(expected / 3))


def test_the_loss_of_age_is_the_mean_of_minus_the_log_probability():
    logits, target = age_logits(), torch.tensor([0, 7, 3, 3, 1, 5])
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    expected = -sum(probabilities[row, group].log() for row, group in enumerate(target)) / 6
    assert_close(head("age").loss(logits, target), expected)


@pytest.mark.parametrize("scheme", [ADIENCE_8, FAIRFACE_9], ids=lambda scheme: scheme.name)
def test_the_age_in_years_is_the_expected_midpoint(scheme):
    logits = 3 * torch.randn(6, len(scheme), generator=torch.Generator().manual_seed(0))
    decoded = AgeGroupHead(5, scheme).decode(logits)
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    assert_close(decoded["p_group"], probabilities)
    assert_close(decoded["age"], sum(probabilities[:, group] * middle for group, middle in enumerate(scheme.midpoints)))


def test_a_sure_answer_is_the_midpoint_of_its_group():
    logits = torch.full((8, 8), -1e3).fill_diagonal_(1e3)
    assert_close(head("age").decode(logits)["age"], torch.tensor(ADIENCE_8.midpoints))


def test_the_probability_of_female_is_that_of_the_second_logit():
    assert GENDERS[1] == "female"
    expected = [math.exp(female) / (math.exp(male) + math.exp(female)) for male, female in LOGITS.tolist()]
    assert_close(head("gender").decode(LOGITS)["p_female"], torch.tensor(expected))


def test_a_head_starts_with_small_normal_weights_and_no_bias():
    torch.manual_seed(0)
    for linear, groups in ((AgeGroupHead(4000, ADIENCE_8).linear, 8), (GenderHead(4000).linear, 2)):
        assert linear.weight.shape == (groups, 4000)
        assert linear.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert (linear.bias == 0).all()


@pytest.mark.parametrize("kind", ["age", "gender"])
def test_logits_are_a_linear_function_of_the_embedding(kind):
    layer, embedding = head(kind), torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    assert_close(layer(embedding), embedding @ layer.linear.weight.T + layer.linear.bias)


@pytest.mark.parametrize("kind", ["age", "gender"])
def test_a_constant_added_to_all_logits_changes_nothing(kind):
    layer = head(kind)
    logits = age_logits() if kind == "age" else LOGITS
    target = torch.ones(len(logits), dtype=torch.int64)
    assert_close(layer.loss(logits + 50, target), layer.loss(logits, target), rtol=1e-4, atol=1e-5)
    for name, value in layer.decode(logits + 50).items():
        assert_close(value, layer.decode(logits)[name], rtol=1e-4, atol=1e-5)


def test_the_loss_of_a_batch_is_the_mean_over_its_examples():
    logits, target = age_logits(), torch.arange(6)
    each = [head("age").loss(logits[i : i + 1], target[i : i + 1]) for i in range(6)]
    assert_close(head("age").loss(logits, target), torch.stack(each).mean())


def test_loss_and_probabilities_are_computed_in_float32_also_from_bfloat16():
    rounded = age_logits().bfloat16()
    assert head("age").loss(rounded, torch.zeros(6, dtype=torch.int64)).dtype == torch.float32
    assert {value.dtype for value in head("age").decode(rounded).values()} == {torch.float32}
    assert head("gender").loss(LOGITS.bfloat16(), torch.tensor([0, 1, 0])).dtype == torch.float32
    assert head("gender").decode(LOGITS.bfloat16())["p_female"].dtype == torch.float32


def test_the_most_probable_answers_are_counted():
    logits = torch.tensor([[0.0, 1.0, 0.5], [2.0, 1.0, 0.5], [0.0, 1.0, 1.5]])
    assert head("age").measure(logits, torch.tensor([1, 1, 2])) == 2
    assert head("gender").measure(LOGITS, torch.tensor([0, 0, 1])) == 1


def test_an_enormous_logit_is_no_overflow():
    logits = torch.tensor([[1e4, -1e4]])
    assert_close(head("gender").loss(logits, torch.tensor([1])), torch.tensor(2e4))
    assert_close(head("gender").decode(logits)["p_female"], torch.tensor([0.0]))


def test_the_gradient_of_the_loss_is_the_error_of_the_probabilities():
    logits = age_logits().requires_grad_()
    target = torch.tensor([0, 7, 3, 3, 1, 5])
    head("age").loss(logits, target).backward()
    error = logits.softmax(1).detach() - torch.nn.functional.one_hot(target, 8)
    assert_close(logits.grad, error / 6)


def test_the_midpoints_are_no_weights():
    assert head("age").state_dict().keys() == {"linear.weight", "linear.bias"}


@pytest.mark.parametrize("target", [-1, 8])
def test_a_group_that_the_scheme_does_not_have_is_refused(target):
    with pytest.raises(IndexError, match=f"Target {target} is out of bounds"):
        head("age").loss(age_logits(), torch.full((6,), target))
