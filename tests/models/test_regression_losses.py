"""The focal losses of ages as numbers."""

import math
import re

import pytest
import torch
from torch.testing import assert_close

from agegender.models.losses import focal_regression_loss

BOTH = pytest.mark.parametrize("power", [1, 2], ids=["focal L1", "focal MSE"])
PREDICTION = torch.tensor([31.0, 20.0, 77.5, 40.0, 18.25])
AGE = torch.tensor([30.0, 25.0, 60.0, 40.0, 26.25])
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 3.0, 0.0])


def written_out(power, weights=None, beta=0.2, gamma=1.0, unit_years=1.0):
    """The paper's formula with the logistic function, example by example."""
    total = 0.0
    for row, (prediction, age) in enumerate(zip(PREDICTION.tolist(), AGE.tolist(), strict=True)):
        d = abs(prediction / unit_years - age / unit_years)
        factor = (2 / (1 + math.exp(-beta * d)) - 1) ** gamma
        total += (1.0 if weights is None else weights[row].item()) * d**power * factor
    return torch.tensor(total / len(AGE))


@BOTH
@pytest.mark.parametrize("unit_years", [1.0, 100.0])
@pytest.mark.parametrize(("beta", "gamma"), [(0.2, 1.0), (0.2, 0.0), (1.0, 2.0), (0.05, 1.5)])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_the_focal_loss_is_the_papers_formula_in_years_and_in_hundreds(power, unit_years, beta, gamma, weights):
    found = focal_regression_loss(PREDICTION, AGE, weights, beta=beta, gamma=gamma, unit_years=unit_years, power=power)
    assert_close(found, written_out(power, weights, beta, gamma, unit_years), rtol=1e-5, atol=0)


def test_the_defaults_are_the_published_beta_and_gamma_in_years():
    assert_close(focal_regression_loss(PREDICTION, AGE), written_out(2, beta=0.2, gamma=1.0, unit_years=1.0))
    assert_close(focal_regression_loss(PREDICTION, AGE, power=1), written_out(1, beta=0.2, gamma=1.0, unit_years=1.0))


def test_the_other_form_of_the_factor_is_twice_the_beta():
    d = (PREDICTION - AGE).abs()
    assert_close(focal_regression_loss(PREDICTION, AGE, power=1, beta=0.4), (d * (0.2 * d).tanh()).mean())


@pytest.mark.parametrize(("years", "factor"), [(5, 0.462), (10, 0.762), (20, 0.964)])
def test_in_years_the_factor_of_an_error_is_what_the_paper_means(years, factor):
    error = torch.tensor([float(years)])
    assert (focal_regression_loss(error, torch.zeros(1)) / years**2).item() == pytest.approx(factor, abs=5e-4)


def test_in_hundreds_of_years_next_to_nothing_is_left_of_it():
    five = focal_regression_loss(torch.tensor([35.0]), torch.tensor([30.0]), unit_years=100.0).item()
    assert five == pytest.approx(1.25e-5, rel=1e-3)
    assert five / 0.05**2 == pytest.approx(0.0050, rel=1e-3)
    ten = focal_regression_loss(torch.tensor([40.0]), torch.tensor([30.0]), unit_years=100.0).item()
    assert ten / five == pytest.approx(8, rel=1e-3)  # a cube


@BOTH
def test_without_gamma_it_is_the_plain_loss(power):
    plain = {1: torch.nn.functional.l1_loss, 2: torch.nn.functional.mse_loss}[power]
    assert_close(focal_regression_loss(PREDICTION, AGE, gamma=0.0, power=power), plain(PREDICTION, AGE))


@BOTH
def test_an_example_of_weight_0_does_not_count_and_one_of_2_counts_twice(power):
    alone = torch.stack(
        [focal_regression_loss(PREDICTION[row : row + 1], AGE[row : row + 1], power=power) for row in range(5)]
    )
    assert_close(focal_regression_loss(PREDICTION, AGE, WEIGHTS, power=power), (alone * WEIGHTS).sum() / 5)


@BOTH
@pytest.mark.parametrize("unit_years", [1.0, 100.0])
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_the_gradient_is_that_of_small_differences_and_finite_at_no_error(power, unit_years, gamma):
    options = {"power": power, "gamma": gamma, "unit_years": unit_years}
    prediction = PREDICTION.clone().requires_grad_()
    focal_regression_loss(prediction, AGE, WEIGHTS, **options).backward()
    assert prediction.grad.isfinite().all()
    assert prediction.grad[3] == 0  # there the error is 0
    for place in (0, 1, 2):
        step = torch.zeros(5)
        step[place] = 0.05
        up, down = (
            focal_regression_loss(
                PREDICTION + sign * step, AGE, WEIGHTS, gamma=gamma, unit_years=unit_years, power=power
            )
            for sign in (1, -1)
        )
        assert_close(prediction.grad[place], (up - down) / 0.1, rtol=2e-2, atol=1e-7)


@BOTH
def test_half_precision_answers_are_weighed_in_full(power):
    found = focal_regression_loss(PREDICTION.bfloat16(), AGE.bfloat16(), WEIGHTS.bfloat16(), power=power)
    assert found.dtype == torch.float32
    assert_close(
        found, focal_regression_loss(PREDICTION.bfloat16().float(), AGE.bfloat16().float(), WEIGHTS, power=power)
    )


@BOTH
@pytest.mark.parametrize(
    ("prediction", "target"), [(PREDICTION[:, None], AGE), (PREDICTION, AGE[:1]), (PREDICTION[:, None], AGE[:, None])]
)
def test_answers_that_are_no_vector_as_long_as_the_ages_are_refused(power, prediction, target):
    """A column or a single age would otherwise be set against all of the others."""
    shapes = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
    with pytest.raises(ValueError, match=re.escape(f"must both be (batch,), got {shapes}")):
        focal_regression_loss(prediction, target, power=power)


@pytest.mark.parametrize("power", [0, 3])
def test_another_power_is_refused(power):
    with pytest.raises(ValueError, match=rf"power must be 1 \(focal L1\) or 2 \(focal MSE\), got {power}"):
        focal_regression_loss(PREDICTION, AGE, power=power)


@BOTH
def test_another_number_of_weights_is_refused(power):
    with pytest.raises(ValueError, match=r"one weight for each of 5 examples, got shape \(1,\)"):
        focal_regression_loss(PREDICTION, AGE, torch.ones(1), power=power)


@BOTH
@pytest.mark.parametrize("gamma", [-1.0, 0.5, math.nan])
def test_a_gamma_without_a_finite_gradient_is_refused(power, gamma):
    with pytest.raises(ValueError, match=f"gamma must be 0 or at least 1, got {gamma}"):
        focal_regression_loss(PREDICTION, AGE, gamma=gamma, power=power)
