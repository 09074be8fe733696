"""A run whose loss stops being finite is a result. Here it is made so on purpose, at a step of our choice."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from agegender.data.images import standardise
from agegender.training.fit import TrainingConfig, fit
from tests.training.small_run import small_faces, small_model

NEVER = 1000


def run(folder, lost_at=NEVER, validation_lost_at=NEVER, broken_at=NEVER, **changes):
    """Train 20 steps, validated every 5, with a loss that is NaN, or a buffer that is infinite, from a step on.

    Returns the model, the result and the number of steps that were trained.
    """
    torch.set_num_threads(1)
    model, (training, validation), trained = small_model(), small_faces(), 0

    def prepare(batch):
        nonlocal trained
        is_training = "contrast" in batch
        trained += is_training
        if trained == broken_at and is_training:
            model.encoder.norm.running_var.fill_(math.inf)
        is_lost = trained >= lost_at if is_training else trained >= validation_lost_at
        return standardise(batch["images"], batch.get("contrast")) * (math.nan if is_lost else 1)

    settings = {
        "num_steps": 20,
        "validate_every": 5,
        "batch_size": 4,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "seed": 3,
    }
    config = TrainingConfig(**(settings | changes))
    return model, fit(model, prepare, training, validation, config, folder, accelerator="cpu"), trained


def assert_weights(model, expected):
    for name, value in model.state_dict().items():
        assert_close(value, expected[name], rtol=0, atol=0, msg=name)


def test_a_run_whose_loss_is_no_number_ends_at_the_next_validation_and_names_the_step(tmp_path):
    _, result, trained = run(tmp_path, lost_at=7)
    assert result.diverged_at_step == 7
    assert [line["step"] for line in result.history] == [5]
    assert trained == 10


def test_one_lost_step_is_enough_even_if_validation_is_sound(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, closure=None: None)  # weights stay finite
    _, result, _ = run(tmp_path, lost_at=8)
    assert result.diverged_at_step == 8
    assert [line["step"] for line in result.history] == [5]


@pytest.mark.parametrize("selects_best", [True, False])
def test_its_weights_are_those_of_the_validations_before(tmp_path, selects_best):
    model, result, _ = run(tmp_path / "lost", lost_at=7, selects_best=selects_best)
    assert result.selected_step == 5
    run(tmp_path / "short", num_steps=5, selects_best=selects_best)
    assert_weights(model, load_file(tmp_path / "short" / "model.safetensors"))


def test_before_the_first_validation_its_weights_are_the_initial_ones(tmp_path):
    model, result, _ = run(tmp_path, lost_at=2)
    assert (result.diverged_at_step, result.selected_step, result.history) == (2, 0, [])
    assert_weights(model, small_model().state_dict())


def test_a_validation_that_is_no_number_ends_the_run_too(tmp_path):
    _, result, trained = run(tmp_path, validation_lost_at=10)
    assert result.diverged_at_step == trained == 10
    assert [line["step"] for line in result.history] == [5]


def test_infinite_weights_are_never_kept_though_every_loss_be_finite(tmp_path):
    model, result, _ = run(tmp_path, broken_at=12)
    assert result.diverged_at_step == 15
    assert [line["step"] for line in result.history] == [5, 10]
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_it_is_not_trained_on_when_it_is_started_again_and_ends_the_same(tmp_path):
    first_model, first, _ = run(tmp_path, lost_at=7)
    model, again, trained = run(tmp_path)
    assert trained == 0
    assert again.diverged_at_step == 7
    assert (again.history, again.selected_step) == (first.history, first.selected_step)
    assert_weights(model, first_model.state_dict())


class StoppedError(BaseException):
    """Stands for a signal: nothing catches it."""


def test_nor_is_one_that_was_killed_after_its_last_validation(tmp_path, monkeypatch):
    def killed(*arguments):
        raise StoppedError

    with monkeypatch.context() as patched:
        patched.setattr("agegender.training.checkpoints.write_end", killed)
        with pytest.raises(StoppedError):
            run(tmp_path, lost_at=7)
    _, again, trained = run(tmp_path)
    assert (again.diverged_at_step, again.selected_step, trained) == (7, 5, 0)


def test_a_run_that_diverged_at_once_ends_the_same_when_it_is_started_again(tmp_path):
    run(tmp_path, lost_at=1)
    model, again, trained = run(tmp_path)
    assert (again.diverged_at_step, again.selected_step, trained) == (1, 0, 0)
    assert_weights(model, small_model().state_dict())


def test_a_run_that_does_not_diverge_says_so(tmp_path):
    assert run(tmp_path)[1].diverged_at_step is None


def test_the_step_is_printed(tmp_path, capfd):
    run(tmp_path, lost_at=7)
    assert "diverged at step 7" in capfd.readouterr().out.splitlines()[-1]
