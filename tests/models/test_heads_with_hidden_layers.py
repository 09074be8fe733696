import itertools
import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from agegender.models.heads import GENDER, ClassHead, RegressionHead, hidden_layers
from agegender.models.losses import focal_regression_loss

AGES = torch.tensor([0.0, 21.9, 22.0, 58.6, 120.0])
YEAR_WEIGHTS = 1 + torch.arange(121) / 10
LOSSES = {"l1": (1, 0.0), "l2": (2, 0.0), "focal_l1": (1, 1.0), "focal_l2": (2, 1.0)}
"""Loss -> power and gamma."""
UNITS = pytest.mark.parametrize("unit_years", [1.0, 100.0])


def age_head(loss="focal_l2", unit_years=1.0, year_weights=None, initial_age=0.0, in_features=6):
    torch.manual_seed(0)
    hidden = hidden_layers(in_features, (1024, 512), has_batch_norm=True)
    power, gamma = LOSSES[loss]
    function = partial(focal_regression_loss, power=power, gamma=gamma, unit_years=unit_years)
    return RegressionHead(512, hidden, function, "torch", initial_age, unit_years, year_weights)


def gender_head(in_features=6):
    torch.manual_seed(0)
    return ClassHead(512, GENDER, hidden_layers(in_features, (1024, 512), has_batch_norm=True), init="torch")


def embeddings(number=5):
    return torch.randn(number, 6, generator=torch.Generator().manual_seed(1))


def answers(unit_years=1.0):
    return (torch.tensor([[3.0], [30.0], [22.0], [50.0], [90.0]])) / unit_years


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_number_of_parameters_is_the_published_one():
    age, gender = num_parameters(age_head(in_features=512)), num_parameters(gender_head(512))
    assert (age, gender, age + gender) == (1_053_697, 1_054_210, 2_107_907)


@pytest.mark.parametrize(("head", "outputs"), [(age_head, 1), (gender_head, 2)])
def test_two_hidden_layers_are_each_normalised_before_they_are_bent(head, outputs):
    kinds = [type(module) for module in head().hidden]
    assert kinds == 2 * [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [tuple(p.shape) for p in head().parameters() if p.ndim == 2] == [(1024, 6), (512, 1024), (outputs, 512)]
    assert head().eval()(embeddings()).shape == (5, outputs)


@pytest.mark.parametrize("head", [age_head, gender_head])
def test_the_layers_start_as_torch_starts_them(head):
    for module in head().modules():
        if isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)
            assert 0.98 * bound < module.weight.abs().max() <= bound
            assert 0 < module.bias.abs().max() <= bound


@pytest.mark.parametrize("kind", LOSSES)
@UNITS
@pytest.mark.parametrize("year_weights", [None, YEAR_WEIGHTS], ids=["alike", "weighted"])
def test_the_loss_is_that_of_the_ages_in_years_each_with_the_weight_of_its_year(kind, unit_years, year_weights):
    power, gamma = LOSSES[kind]
    weights = None if year_weights is None else torch.tensor([1.0, 3.1, 3.2, 6.8, 13.0])
    options = {"power": power, "gamma": gamma, "unit_years": unit_years}
    expected = focal_regression_loss(answers()[:, 0], AGES, weights, **options)
    head = age_head(kind, unit_years, year_weights)
    assert_close(head.loss(answers(unit_years), AGES), expected)


def test_the_four_losses_the_two_units_and_the_weights_are_told_apart():
    found = [
        age_head(kind, unit, weights).loss(answers(unit), AGES).item()
        for kind, unit, weights in itertools.product(LOSSES, (1.0, 100.0), (None, YEAR_WEIGHTS))
    ]
    assert len({f"{value:.4g}" for value in found}) == 16


def test_weights_of_1_change_nothing():
    plain, weighted = age_head(), age_head(year_weights=torch.ones(121))
    assert_close(weighted.loss(answers(), AGES), plain.loss(answers(), AGES))


def test_a_year_may_weigh_nothing_and_weights_may_be_whole_numbers():
    weights = torch.ones(121, dtype=torch.int64)
    weights[22] = 0
    expected = age_head("l1", year_weights=weights.double()).loss(answers(), AGES)
    assert_close(age_head("l1", year_weights=weights).loss(answers(), AGES), expected)
    assert_close(expected, torch.tensor((3 + 8.1 + 8.6 + 30) / 5))


def test_ages_above_the_last_weight_have_the_last_weight():
    short, long = age_head(year_weights=YEAR_WEIGHTS[:60]), age_head(year_weights=YEAR_WEIGHTS.clamp(max=6.9))
    assert_close(short.loss(answers(), AGES), long.loss(answers(), AGES))


@UNITS
def test_what_is_read_and_measured_is_in_years(unit_years):
    head = age_head(unit_years=unit_years)
    assert_close(head.decode(answers(unit_years)), {"age": answers()[:, 0]})
    assert_close(head.measure(answers(unit_years), AGES), torch.tensor(3 + 8.1 + 0 + 8.6 + 30))


@UNITS
def test_the_answers_start_near_the_age_that_is_given(unit_years):
    heads = [age_head(unit_years=unit_years, initial_age=age).eval() for age in (0.0, 40.0)]
    first, second = (head.decode(head(embeddings()))["age"] for head in heads)
    assert_close(second - first, torch.full((5,), 40.0), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", LOSSES)
@UNITS
def test_every_parameter_of_the_age_head_learns(kind, unit_years):
    head = age_head(kind, unit_years, YEAR_WEIGHTS)
    head.loss(head(embeddings()), AGES).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad.isfinite().all(), name
        if name not in ("hidden.0.bias", "hidden.3.bias"):  # the BN behind them takes them out
            assert parameter.grad.abs().max() > 0, name


def test_every_parameter_of_the_gender_head_learns():
    head = gender_head()
    head.loss(head(embeddings()), torch.tensor([0, 1, 1, 0, 1])).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad.isfinite().all(), name
        if name not in ("hidden.0.bias", "hidden.3.bias"):
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("head", [age_head, gender_head])
def test_an_example_is_answered_without_its_batch_when_the_head_is_used(head):
    layer = head().eval()
    assert_close(layer(embeddings())[2:3], layer(embeddings()[2:3]))


def test_a_year_more_or_less_is_not_rounded_under_autocast():
    head = age_head(initial_age=40.1).eval()
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(embeddings())
        loss = head.loss(logits, AGES)
    assert logits.dtype == loss.dtype == torch.float32
    assert_close(logits, head(embeddings()), rtol=0, atol=0.02)


def test_the_weights_of_the_years_are_moved_but_not_saved():
    head = age_head(year_weights=YEAR_WEIGHTS)
    assert "year_weights" not in head.state_dict()
    assert "year_weights" in dict(head.named_buffers())
    age_head().load_state_dict(head.state_dict())


@pytest.mark.parametrize("age", [-1.0, 121.0, math.nan])
def test_an_impossible_age_is_refused(age):
    with pytest.raises(ValueError, match=f"the age in years of example 1 of the batch is {age}"):
        age_head().loss(answers()[:2], torch.tensor([30.0, age]))


@pytest.mark.parametrize("weights", [[1.0, -0.1], [1.0, math.nan], [math.inf], [[1.0]], []])
def test_weights_that_weigh_nothing_sensible_are_refused(weights):
    with pytest.raises(ValueError, match="finite numbers of 0 or more, one for each year"):
        age_head(year_weights=torch.tensor(weights))


@pytest.mark.parametrize("unit_years", [0.0, -1.0, math.nan])
def test_a_unit_of_no_years_is_refused(unit_years):
    with pytest.raises(ValueError, match=f"unit_years must be above 0, got {unit_years}"):
        age_head(unit_years=unit_years)
