import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from agegender.labels import ADIENCE_8, FAIRFACE_9, GENDERS
from agegender.models.heads import GENDER, AgeBins, ClassHead, RegressionHead, SigmoidHead, TwoClasses, hidden_layers
from agegender.models.losses import cross_entropy, double_softmax_cross_entropy

LOGITS = torch.tensor([[2.0, 0.5], [-1.0, 3.0], [0.0, 0.0]])


def head(kind):
    torch.manual_seed(0)
    return ClassHead(5, AgeBins(ADIENCE_8)) if kind == "age" else ClassHead(5, GENDER)


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
    decoded = ClassHead(5, AgeBins(scheme)).decode(logits)
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
    for linear, groups in ((ClassHead(4000, AgeBins(ADIENCE_8)).linear, 8), (ClassHead(4000, GENDER).linear, 2)):
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


@pytest.mark.parametrize("target", [-100, -1, 8])
def test_a_group_that_the_scheme_does_not_have_is_refused(target):
    with pytest.raises(
        ValueError, match=f"the age group of example 0 of the batch is {target}, not in 0 <= age group < 8"
    ):
        head("age").loss(age_logits(), torch.full((6,), target))


YEARS = range(101)


def year_logits(num_examples=5):
    return 3 * torch.randn(num_examples, 101, generator=torch.Generator().manual_seed(2))


def ages(logits_of_age):
    """Regressed ages as a head gives them: (batch, 1)."""
    return torch.tensor(logits_of_age)[:, None]


def test_an_age_in_years_belongs_to_the_class_of_its_completed_years():
    logits = year_logits()
    whole = torch.tensor([0.0, 30.0, 30.0, 99.0, 100.0])
    decimal = whole + torch.tensor([0.0, 0.0, 0.99, 0.5, 0.9])
    years = ClassHead(5, AgeBins(YEARS))
    assert_close(years.loss(logits, decimal), years.loss(logits, whole))
    assert_close(years.loss(logits, whole), torch.nn.functional.cross_entropy(logits, whole.long()))


def test_a_range_of_years_may_start_anywhere():
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    years = ClassHead(5, AgeBins(range(16, 20)))
    assert_close(years.loss(logits, torch.tensor([16.0, 19.5])), -logits.log_softmax(1)[[0, 1], [0, 3]].mean())
    assert_close(years.decode(torch.eye(4) * 1e3)["age"], torch.tensor([16.0, 17.0, 18.0, 19.0]))


def test_a_head_in_years_says_the_expected_age_and_no_group():
    logits = year_logits()
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    decoded = ClassHead(5, AgeBins(YEARS)).decode(logits)
    assert decoded.keys() == {"age"}
    assert_close(decoded["age"], sum(probabilities[:, year] * year for year in YEARS))


def test_a_head_is_scored_by_what_it_learns():
    years = ClassHead(5, AgeBins(YEARS))
    assert (years.target, years.metric) == ("age", "mae")
    assert (head("age").target, head("age").metric) == ("age_group", "accuracy")
    assert (RegressionHead(5).target, RegressionHead(5).metric) == ("age", "mae")
    assert (SigmoidHead(5, GENDER).target, SigmoidHead(5, GENDER).metric) == ("gender", "accuracy")


def test_errors_in_years_are_absolute_and_summed():
    logits = year_logits(3)
    expected = (ClassHead(5, AgeBins(YEARS)).decode(logits)["age"] - torch.tensor([20.5, 30.0, 80.0])).abs().sum()
    assert_close(ClassHead(5, AgeBins(YEARS)).measure(logits, torch.tensor([20.5, 30.0, 80.0])), expected)
    assert_close(RegressionHead(5).measure(ages([20.0, 33.5]), torch.tensor([21.0, 30.0])), torch.tensor(4.5))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (functional.l1_loss, (0.5 + 10 + 3) / 3),
        (functional.mse_loss, (0.25 + 100 + 9) / 3),
        (partial(functional.huber_loss, delta=2.0), (0.25 / 2 + 2 * (10 - 1) + 2 * (3 - 1)) / 3),
    ],
    ids=["l1", "l2", "huber"],
)
def test_the_loss_of_a_regressed_age_is_that_of_its_error_in_years(loss, expected):
    layer = RegressionHead(5, loss=loss)
    assert_close(layer.loss(ages([20.5, 40.0, 27.0]), torch.tensor([20.0, 30.0, 30.0])), torch.tensor(expected))
    assert_close(layer.decode(ages([20.5, 40.0]))["age"], torch.tensor([20.5, 40.0]))


def test_a_regressed_age_starts_where_it_is_told_to():
    torch.manual_seed(0)
    assert_close(RegressionHead(5, initial_age=33.0)(torch.zeros(2, 5)), torch.full((2, 1), 33.0))


def test_the_loss_of_the_sigmoid_is_the_cross_entropy_of_two_answers():
    logits = torch.tensor([[2.0], [-1.0], [0.3]])
    expected = (
        -sum(math.log(p) for p in (1 / (1 + math.exp(-2)), 1 - 1 / (1 + math.e), 1 - 1 / (1 + math.exp(-0.3)))) / 3
    )
    assert_close(SigmoidHead(5, GENDER).loss(logits, torch.tensor([1, 0, 0])), torch.tensor(expected))
    assert_close(SigmoidHead(5, GENDER).decode(logits)["p_female"], logits[:, 0].sigmoid())


def test_a_sure_and_wrong_answer_of_the_sigmoid_costs_what_it_costs_in_keras_and_teaches_nothing():
    logits = torch.tensor([[-40.0]], requires_grad=True)
    loss = SigmoidHead(5, GENDER).loss(logits, torch.tensor([1]))
    assert_close(loss, torch.tensor(-math.log(1e-7 + 1e-7)))
    loss.backward()
    assert logits.grad == 0


def test_the_sigmoid_counts_a_logit_of_zero_as_male():
    logits = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    assert SigmoidHead(5, GENDER).measure(logits, torch.tensor([1, 1, 0, 0])) == 3


@pytest.mark.parametrize(("classes", "least"), [(2, 0.3133), (101, 3.6320)])
def test_a_second_softmax_leaves_a_loss_when_the_answer_is_sure_and_right(classes, least):
    sure, target = torch.zeros(1, classes).index_fill(1, torch.tensor([1]), 1e4), torch.tensor([1.0])
    assert cross_entropy(sure, target) == 0
    assert double_softmax_cross_entropy(sure, target).item() == pytest.approx(least, abs=5e-5)


@pytest.mark.parametrize("kind", ["age", "gender"])
def test_a_second_softmax_changes_the_loss_and_not_what_is_read(kind):
    torch.manual_seed(0)
    classes = AgeBins(ADIENCE_8) if kind == "age" else GENDER
    twice = ClassHead(5, classes, loss=double_softmax_cross_entropy)
    logits = age_logits() if kind == "age" else LOGITS
    target = torch.ones(len(logits), dtype=torch.int64)
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    assert_close(twice.loss(logits, target), -(p[:, 1].exp() / p.exp().sum(1)).log().mean())
    for name, value in head(kind).decode(logits).items():
        assert_close(twice.decode(logits)[name], value)


@pytest.mark.parametrize(
    ("layer", "num_parameters"),
    [
        (RegressionHead(512, hidden_layers(512, [512])), 512 * 512 + 512 + 512 + 1),
        (ClassHead(512, GENDER, hidden_layers(512, [512])), 512 * 512 + 512 + 2 * 512 + 2),
        (ClassHead(512, AgeBins(YEARS), hidden_layers(512, [512])), 512 * 512 + 512 + 101 * 512 + 101),
        (SigmoidHead(512, GENDER), 513),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_head_has_the_layers_that_its_paper_counts(layer, num_parameters):
    assert sum(parameter.numel() for parameter in layer.parameters()) == num_parameters


def test_a_hidden_layer_stands_before_a_relu():
    torch.manual_seed(0)
    layer, embedding = ClassHead(7, GENDER, hidden_layers(5, [7])), torch.randn(3, 5)
    hidden = layer.hidden[0]
    features = (embedding @ hidden.weight.T + hidden.bias).clamp(min=0)
    assert_close(layer(embedding), features @ layer.linear.weight.T + layer.linear.bias)


def test_xavier_weights_fill_their_bounds_evenly_and_the_bias_is_zero():
    torch.manual_seed(0)
    layer, bound = ClassHead(4000, AgeBins(YEARS), init="xavier").linear, math.sqrt(6 / (4000 + 101))
    assert layer.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert (layer.bias == 0).all()


def test_the_weights_of_torch_are_those_of_its_linear_layer():
    torch.manual_seed(0)
    layer = ClassHead(4000, AgeBins(YEARS), init="torch").linear
    torch.manual_seed(0)
    expected = nn.Linear(4000, 101)
    assert torch.equal(layer.weight, expected.weight)
    assert torch.equal(layer.bias, expected.bias)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32, torch.float64])
def test_ages_of_every_number_type_are_the_same_ages(dtype):
    target = torch.tensor([20, 35]).to(dtype)
    assert_close(RegressionHead(5).loss(ages([30.0, 30.0]), target), torch.tensor(7.5))
    assert_close(RegressionHead(5).measure(ages([30.0, 30.0]), target).float(), torch.tensor(15.0))


def test_a_regressed_age_is_not_rounded_by_autocast():
    torch.manual_seed(0)
    layer, embedding = RegressionHead(5, initial_age=40.1, init="xavier"), torch.randn(4, 5)
    exact = embedding @ layer.linear.weight.T + layer.linear.bias
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(layer(embedding), exact)
        assert layer(embedding.bfloat16()).dtype == torch.float32


def test_an_expected_age_is_not_rounded_by_autocast():
    exact = ClassHead(5, AgeBins(YEARS)).decode(year_logits())["age"]
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(ClassHead(5, AgeBins(YEARS)).decode(year_logits())["age"], exact)


@pytest.mark.parametrize("layer", [ClassHead(5, AgeBins(YEARS)), RegressionHead(5)], ids=["classes", "regression"])
@pytest.mark.parametrize("age", [math.nan, -1.0, 121.0, math.inf])
def test_an_age_that_is_none_is_refused_with_its_row(layer, age):
    with pytest.raises(
        ValueError, match=f"the age in years of example 1 of the batch is {age}, not in 0 <= .* leave such"
    ):
        layer.loss(layer(torch.zeros(3, 5)), torch.tensor([20.0, age, 30.0]))


@pytest.mark.parametrize(
    "layer", [ClassHead(5, GENDER), SigmoidHead(5, GENDER)], ids=lambda layer: type(layer).__name__
)
@pytest.mark.parametrize("gender", [-100, -1, 2])
def test_a_gender_that_is_none_is_refused(layer, gender):
    with pytest.raises(ValueError, match=f"the gender of example 0 of the batch is {gender}, not in 0 <= gender < 2"):
        layer.loss(layer(torch.zeros(2, 5)), torch.tensor([gender, 0]))


@pytest.mark.parametrize(
    "layer",
    [ClassHead(5, AgeBins(YEARS)), RegressionHead(5), ClassHead(5, GENDER), SigmoidHead(5, GENDER)],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("shape", [(2,), (3, 1), ()])
def test_targets_that_would_broadcast_are_refused(layer, shape):
    with pytest.raises(ValueError, match="for each of 3 examples, got shape"):
        layer.loss(layer(torch.zeros(3, 5)), torch.ones(shape))


@pytest.mark.parametrize("groups", [range(1), range(0, 100, 10), range(10, 0, -1)])
def test_years_that_do_not_go_up_one_by_one_are_refused(groups):
    with pytest.raises(ValueError, match="two or more groups, or years in steps of one, got range"):
        AgeBins(groups)


def test_an_unknown_init_is_refused():
    with pytest.raises(ValueError, match="unknown init 'kaiming'"):
        ClassHead(5, GENDER, init="kaiming")


def test_a_yes_or_no_attribute_is_a_cross_entropy_of_two_and_is_read_as_the_probability_of_yes():
    head = ClassHead(5, TwoClasses("young", "young"))
    assert (head.target, head.metric) == ("young", "accuracy")
    target = torch.tensor([0, 1, 1])
    chosen = [math.exp(row[t]) / sum(map(math.exp, row)) for row, t in zip(LOGITS.tolist(), target, strict=True)]
    assert_close(head.loss(LOGITS, target), torch.tensor(-sum(map(math.log, chosen)) / 3))
    assert head.measure(LOGITS, target) == 2  # the first two: equal logits are read as no
    assert_close(head.decode(LOGITS)["p_young"], LOGITS.softmax(1)[:, 1])
    with pytest.raises(ValueError, match="2"):
        head.loss(LOGITS, torch.tensor([0, 1, 2]))
