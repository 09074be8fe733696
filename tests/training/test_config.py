import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from agegender.labels import ADIENCE_8
from agegender.models.heads import GENDER, AgeBins, ClassHead, RegressionHead, hidden_layers
from agegender.models.multitask import MultiTaskModel
from agegender.training import fit as fitting
from agegender.training.config import TrainingConfig, goodness, is_better, optimizer_of, rate_factor
from agegender.training.fit import fit
from tests.training.small_run import small_faces, small_model
from tests.training.test_fit import config, model_without_dropout, prepare


def rates_and_decays(model, **changes):
    """Learning rate and weight decay of each parameter by name."""
    optimizer = optimizer_of(model, config(**changes))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}


def model_with_hidden_layer():
    encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4, 8))
    return MultiTaskModel(encoder, {"gender": ClassHead(5, GENDER, hidden_layers(8, [5]))})


def test_only_kernels_of_the_encoder_decay_unless_asked_otherwise():
    kernels = {"encoder.0.weight", "encoder.2.weight", "heads.gender.hidden.0.weight", "heads.gender.linear.weight"}
    expected = {
        "encoder": {"encoder.0.weight", "encoder.2.weight"},
        "kernels": kernels,
        "all": kernels | {name.replace("weight", "bias") for name in kernels},
    }
    for decays, names in expected.items():
        found = rates_and_decays(model_with_hidden_layer(), decays=decays, weight_decay=0.5)
        assert len(found) == 8
        assert {name for name, (_, decay) in found.items() if decay == 0.5} == names
        assert {decay for _, decay in found.values()} <= {0.0, 0.5}


def test_biases_and_heads_have_their_own_learning_rates_and_the_bias_of_a_head_has_both_factors():
    found = rates_and_decays(model_with_hidden_layer(), learning_rate=0.01, bias_factor=2.0, head_factor=10.0)
    rates = {name: rate for name, (rate, _) in found.items()}
    assert rates == pytest.approx(
        {
            "encoder.0.weight": 0.01,
            "encoder.0.bias": 0.02,
            "encoder.2.weight": 0.01,
            "encoder.2.bias": 0.02,
            "heads.gender.hidden.0.weight": 0.1,
            "heads.gender.hidden.0.bias": 0.2,
            "heads.gender.linear.weight": 0.1,
            "heads.gender.linear.bias": 0.2,
        }
    )


def test_frozen_parameters_are_not_trained_and_a_frozen_model_is_refused():
    model = model_with_hidden_layer()
    model.encoder.requires_grad_(False)
    assert rates_and_decays(model).keys() == {n for n, _ in model.named_parameters() if n.startswith("heads")}
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        optimizer_of(model, config())


def test_frozen_layers_keep_their_weights_in_training(tmp_path):
    model, (training, validation) = small_model(), small_faces()
    model.encoder.conv.requires_grad_(False)
    before = model.encoder.conv.weight.clone()
    fit(model, prepare, training, validation, config(weight_decay=0.5, decays="all"), tmp_path, accelerator="cpu")
    assert torch.equal(model.encoder.conv.weight, before)
    assert not torch.equal(model.heads["age"].linear.bias, torch.zeros(8))


def test_two_steps_of_adam_equal_the_formula_with_its_gradient_cut_entry_by_entry(tmp_path):
    """Kingma and Ba (2015), algorithm 1, with the L2 term added to the gradient."""
    model, (training, validation) = model_without_dropout(), small_faces()
    settings = {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.1, "decays": "all"}
    changes = {"num_steps": 2, "validate_every": 2, "clip_norm": None, "clip_value": 0.01} | settings
    fit(model, prepare, training, validation, config(**changes), tmp_path, accelerator="cpu")
    hand = model_without_dropout().train()
    first, second, was_cut = {}, {}, False
    for step in (0, 1):
        hand.zero_grad()
        batch = training[step]
        hand.total(hand.losses(hand(prepare(batch)), batch)).backward()
        with torch.no_grad():
            for name, p in hand.named_parameters():
                was_cut |= bool(p.grad.abs().max() > 0.01)
                gradient = p.grad.clamp(-0.01, 0.01) + 0.1 * p
                first[name] = 0.9 * first.get(name, 0) + 0.1 * gradient
                second[name] = 0.999 * second.get(name, 0) + 0.001 * gradient**2
                mean, square = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.999 ** (step + 1))
                p -= 0.01 * mean / (square.sqrt() + 1e-8)
    assert was_cut
    for name, value in hand.named_parameters():
        assert_close(dict(model.named_parameters())[name].data, value.data, rtol=1e-3, atol=2e-5)


def test_what_is_not_asked_for_is_not_done():
    """Plain gradient descent with one rate: no momentum, no decay, no clipping, no fall of the rate, no early end."""
    plain = TrainingConfig(4, 2, 4, learning_rate=0.01)
    [group] = optimizer_of(model_with_hidden_layer(), plain).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.0, 0.0)
    assert {rate_factor(plain, lambda: 0)(step) for step in (0, 9_999, 10_000, 10**9)} == {1.0}
    assert (plain.clip_norm, plain.clip_value, plain.plateau, plain.patience) == (None, None, None, None)


@pytest.mark.parametrize("missing", ["batch_size", "learning_rate"])
def test_what_no_one_can_guess_has_to_be_named(missing):
    needed = {"num_steps": 4, "validate_every": 2, "batch_size": 4, "learning_rate": 0.01}
    with pytest.raises(TypeError, match=missing):
        TrainingConfig(**{name: value for name, value in needed.items() if name != missing})


def test_the_learning_rate_falls_by_the_step_and_by_plateaus():
    drops = 0
    factor = rate_factor(config(decay_every=10, decay_factor=0.5), lambda: drops)
    assert [factor(step) for step in (0, 9, 10, 29)] == [1, 1, 0.5, 0.25]
    drops = 2
    assert factor(10) == 0.125


def test_a_plateau_lowers_the_learning_rate_each_time_it_lasts_as_long_again(tmp_path, monkeypatch):
    scripted = iter([0.5, 0.4, 0.4, 0.4, 0.4, 0.6, 0.4, 0.4, 0.4])
    monkeypatch.setattr(fitting, "goodness", lambda *_: {"score": next(scripted)})
    model, (training, validation) = small_model(), small_faces()
    changes = {"num_steps": 9, "validate_every": 1, "plateau": 2, "learning_rate": 0.1, "selects_best": True}
    result = fit(model, prepare, training, validation, config(**changes), tmp_path, accelerator="cpu")
    drops = [0, 0, 0, 1, 1, 2, 2, 2, 3]  # what a validation decides holds from the second step after it
    assert [line["learning_rate"] for line in result.history] == pytest.approx([0.1 * 0.1**n for n in drops])
    assert result.selected_step == 6


def test_better_means_every_value_and_nothing_is_worse_than_anything():
    assert is_better({"a": -5.0}, {})
    assert is_better({"a": 0.2, "b": 0.3}, {"a": 0.1, "b": 0.2})
    assert not is_better({"a": 0.2, "b": 0.2}, {"a": 0.1, "b": 0.2})  # equal is not better


SCORES = {
    "validation_loss_age": 2.0,
    "validation_loss_gender": 0.5,
    "validation_accuracy_age": 0.25,
    "validation_accuracy_gender": 0.75,
}


@pytest.mark.parametrize(
    ("best_by", "expected"),
    [
        ("accuracy", {"mean accuracy": 0.5}),
        ("loss", {"minus the loss": -0.7}),
        ("every_task", {"age": 0.25, "gender": 0.75}),
    ],
)
def test_what_is_compared_depends_on_best_by(best_by, expected):
    heads = {"age": ClassHead(3, AgeBins(ADIENCE_8)), "gender": ClassHead(3, GENDER)}
    model = MultiTaskModel(nn.Identity(), heads, {"age": 0.1})
    assert goodness(SCORES, model, config(best_by=best_by)) == pytest.approx(expected)


def test_ages_in_years_have_no_accuracy_to_select_by(tmp_path):
    model = MultiTaskModel(small_model().encoder, {"age": RegressionHead(8), "gender": ClassHead(8, GENDER)})
    scores = {name: value for name, value in SCORES.items() if name != "validation_accuracy_age"}
    with pytest.raises(ValueError, match=r"'age' has no accuracy.*best_by='loss'"):
        goodness(scores, model, config())
    assert goodness(scores, model, config(best_by="loss")) == pytest.approx({"minus the loss": -2.5})


def test_as_published_an_epoch_is_kept_only_when_both_tasks_improve_at_once(tmp_path, monkeypatch):
    by_epoch = iter([(0.3, 0.7), (0.5, 0.6), (0.2, 0.9), (0.4, 0.8), (0.45, 0.75)])
    monkeypatch.setattr(fitting, "goodness", lambda *_: dict(zip(("age", "gender"), next(by_epoch), strict=True)))
    model, (training, validation) = small_model(), small_faces()
    changes = {"num_steps": 5, "validate_every": 1, "selects_best": True, "best_by": "every_task"}
    result = fit(model, prepare, training, validation, config(**changes), tmp_path, accelerator="cpu")
    assert result.selected_step == 4  # neither the best of one task nor the first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_norm": 4.0, "clip_value": 5.0}, "clip_norm or clip_value"),
        ({"optimizer": "adamw"}, "optimizer must be one of sgd, adam, got 'adamw'"),
        ({"decays": "biases"}, "decays must be one of"),
        ({"best_by": "luck"}, "best_by must be one of"),
        ({"plateau": 0}, "plateau must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(4, 2, 4, learning_rate=0.01, **changes)


def test_the_weights_of_the_losses_enter_what_is_minimised():
    heads = {"age": RegressionHead(3), "gender": ClassHead(3, GENDER)}
    model = MultiTaskModel(nn.Identity(), heads, {"age": 0.1})
    assert_close(model.total({"age": torch.tensor(5.0), "gender": torch.tensor(0.4)}), torch.tensor(0.9))
    with pytest.raises(ValueError, match=r"without a head: .*'years'"):
        MultiTaskModel(nn.Identity(), {"gender": ClassHead(3, GENDER)}, {"years": 0.1})


def test_the_error_in_years_decides_if_it_is_asked_to_and_there_is_one():
    model = small_model()
    scores = {**SCORES, "validation_mae_age": 7.5}
    assert goodness(scores, model, config(best_by="mae")) == pytest.approx({"minus the mean absolute error": -7.5})
    with pytest.raises(ValueError, match="no task has an error in years"):
        goodness({k: v for k, v in SCORES.items() if "_mae_" not in k}, model, config(best_by="mae"))


def test_one_cycle_rises_from_a_25th_in_its_warm_up_and_falls_to_zero():
    one = TrainingConfig(100, 10, 4, learning_rate=0.1, schedule="one_cycle", warmup_share=0.2)
    factor = rate_factor(one, lambda: 0)
    expected = {0: 1 / 25, 10: (1 + 1 / 25) / 2, 20: 1.0, 60: 0.5, 40: (1 + np.cos(np.pi / 4)) / 2, 100: 0.0}
    assert {step: pytest.approx(value, abs=1e-12) for step, value in expected.items()} == {
        step: factor(step) for step in expected
    }
    assert rate_factor(one, lambda: 1)(60) == pytest.approx(0.05)
