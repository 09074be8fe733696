import math

import pytest
import torch
from torch.testing import assert_close

from agegender.labels import ADIENCE_8
from agegender.models.heads import AgeBins
from agegender.models.ordinal import CoralHead, CornHead

YEARS = range(101)


def logits(num_examples, num_questions):
    return 3 * torch.randn(num_examples, num_questions, generator=torch.Generator().manual_seed(0))


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def coral_by_hand(rows, ranks):
    """The loss of a batch as the paper writes it, in plain Python."""
    terms = [
        math.log(sigmoid(value)) if rank > k else math.log(1 - sigmoid(value))
        for row, rank in zip(rows, ranks, strict=True)
        for k, value in enumerate(row)
    ]
    return -sum(terms) / len(rows)


def corn_by_hand(rows, ranks):
    terms = [
        math.log(sigmoid(value)) if rank > k else math.log(1 - sigmoid(value))
        for row, rank in zip(rows, ranks, strict=True)
        for k, value in enumerate(row)
        if rank > k - 1
    ]
    return -sum(terms) / len(terms)


@pytest.mark.parametrize(("head", "formula"), [(CoralHead, coral_by_hand), (CornHead, corn_by_hand)])
@pytest.mark.parametrize("groups", [ADIENCE_8, YEARS, range(16, 19)], ids=["groups", "years", "three years"])
def test_the_loss_is_that_of_the_paper(head, formula, groups):
    ranks = [0, 1, len(groups) - 1, len(groups) // 2]
    rows = logits(4, len(groups) - 1)
    target = torch.tensor(ranks) if groups is ADIENCE_8 else groups.start + torch.tensor(ranks).float()
    assert_close(head(5, AgeBins(groups)).loss(rows, target), torch.tensor(formula(rows.tolist(), ranks)))


def test_the_loss_of_coral_is_that_of_the_published_example_of_coral_pytorch():
    rows = torch.tensor([[2.1, 1.8, -2.1, -1.8], [1.9, -1.0, -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]])
    loss = CoralHead(5, AgeBins(range(5))).loss(rows, torch.tensor([2.0, 1.0, 4.0]))
    assert_close(loss, torch.tensor(0.6920), atol=5e-5, rtol=0)


def test_the_logits_of_coral_differ_from_question_to_question_by_the_same_for_everyone():
    torch.manual_seed(0)
    head = CoralHead(5, AgeBins(YEARS))
    answers = head(torch.randn(3, 5))
    assert answers.shape == (3, 100)
    assert_close(answers.diff(dim=1), head.biases.diff().expand(3, -1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("head", "num_parameters"), [(CoralHead, 512 + 100), (CornHead, 512 * 100 + 100)])
def test_a_head_has_the_weights_of_its_paper(head, num_parameters):
    assert sum(parameter.numel() for parameter in head(512, AgeBins(YEARS)).parameters()) == num_parameters


@pytest.mark.parametrize("head", [CoralHead, CornHead])
@pytest.mark.parametrize("groups", [ADIENCE_8, YEARS], ids=["groups", "years"])
def test_a_head_starts_with_every_class_equally_probable(head, groups):
    layer = head(5, AgeBins(groups))
    assert_close(layer.probabilities(layer(torch.zeros(1, 5))), torch.full((1, len(groups)), 1 / len(groups)))


def test_the_probabilities_of_coral_are_differences_of_its_ordered_answers():
    answers = torch.tensor([[2.0, 0.5, -1.0]])
    older = [sigmoid(value) for value in (2.0, 0.5, -1.0)]
    expected = [1 - older[0], older[0] - older[1], older[1] - older[2], older[2]]
    head = CoralHead(5, AgeBins(range(20, 24)))
    assert_close(head.probabilities(answers), torch.tensor([expected]))
    assert_close(head.decode(answers)["age"], torch.tensor([20 + sum(older)]))


def test_an_answer_of_coral_that_rises_is_read_as_the_smallest_so_far():
    expected = [1 - sigmoid(-0.5), 0.0, sigmoid(-0.5) - sigmoid(-1.0), sigmoid(-1.0)]
    head = CoralHead(5, AgeBins(range(4)))
    assert_close(head.probabilities(torch.tensor([[-0.5, 0.5, -1.0]])), torch.tensor([expected]))


def test_the_probabilities_of_corn_are_products_of_its_conditional_answers():
    answers = [2.0, -0.5, 1.0]
    older = [math.prod(sigmoid(value) for value in answers[: k + 1]) for k in range(3)]
    expected = [1 - older[0], older[0] - older[1], older[1] - older[2], older[2]]
    head = CornHead(5, AgeBins(range(20, 24)))
    assert_close(head.probabilities(torch.tensor([answers])), torch.tensor([expected]))
    assert_close(head.decode(torch.tensor([answers]))["age"], torch.tensor([20 + sum(older)]))


@pytest.mark.parametrize("head", [CoralHead, CornHead])
def test_the_score_is_not_rounded_by_autocast(head):
    torch.manual_seed(0)
    layer, embedding = head(5, AgeBins(YEARS), init="xavier"), torch.randn(4, 5)
    exact = layer(embedding)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(layer(embedding), exact)


@pytest.mark.parametrize("head", [CoralHead, CornHead])
@pytest.mark.parametrize("sure", [-1e4, 1e4])
def test_sure_answers_are_the_first_and_the_last_class(head, sure):
    age = head(5, AgeBins(range(20, 31))).decode(torch.full((1, 10), sure))["age"]
    assert_close(age, torch.tensor([20.0 if sure < 0 else 30.0]))


def test_the_loss_of_coral_for_a_decimal_age_lies_between_those_of_its_neighbours():
    head, rows = CoralHead(5, AgeBins(YEARS)), logits(1, 100)
    young, old = head.loss(rows, torch.tensor([30.0])), head.loss(rows, torch.tensor([31.0]))
    assert_close(head.loss(rows, torch.tensor([30.4])), 0.6 * young + 0.4 * old)


def test_the_questions_of_corn_for_a_decimal_age_are_asked_in_part():
    head, rows = CornHead(5, AgeBins(YEARS)), logits(1, 100)
    young, old = head.loss(rows, torch.tensor([30.0])), head.loss(rows, torch.tensor([31.0]))
    expected = (0.6 * 31 * young + 0.4 * 32 * old) / (0.6 * 31 + 0.4 * 32)  # 31 and 32 questions
    assert_close(head.loss(rows, torch.tensor([30.4])), expected)


@pytest.mark.parametrize("head", [CoralHead, CornHead])
def test_the_answer_to_decimal_ages_is_read_as_their_mean(head):
    """A head whose loss is least for one half at 30.2 and one half at 30.6 says 30.4: no half year is lost."""
    layer = head(1, AgeBins(range(28, 34)))
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=200)
    embedding, ages = torch.zeros(2, 1), torch.tensor([30.2, 30.6])

    def closure():
        optimiser.zero_grad()
        loss = layer.loss(layer(embedding), ages)
        loss.backward()
        return loss

    optimiser.step(closure)
    assert_close(layer.decode(layer(embedding))["age"], torch.full((2,), 30.4), atol=0.02, rtol=0)
