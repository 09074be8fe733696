import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from agegender.data.batches import EvaluationBatches
from agegender.data.images import CentreCrop, standardise
from agegender.labels import FAIRFACE_9, GENDERS
from agegender.models.heads import AgeBins, ClassHead
from agegender.training.fit import TrainingConfig, fit, predict
from tests.training.small_run import run, small_faces, small_model


def prepare(batch):
    return standardise(batch["images"], batch.get("contrast"))


def config(**changes):
    base = {"num_steps": 4, "validate_every": 2, "batch_size": 4, "precision": "32-true", "selects_best": False}
    base |= {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-6, "decays": "encoder"}
    base |= {} if "clip_value" in changes else {"clip_norm": 4.0}
    return TrainingConfig(**(base | changes))


def model_without_dropout():
    model = small_model()
    model.encoder.dropout.p = 0.0
    return model


def fitted(folder, **changes):
    model, (training, validation) = model_without_dropout(), small_faces()
    return model, fit(model, prepare, training, validation, config(**changes), folder, accelerator="cpu")


def written_by_hand(learning_rates, clip_norm, weight_decay, momentum=0.9):
    """SGD on the same batches in a plain loop; also the losses of each step."""
    model, (training, _) = model_without_dropout().train(), small_faces()
    velocity, losses = {}, []
    for step, learning_rate in enumerate(learning_rates):
        model.zero_grad()
        batch = training[step]
        by_task = model.losses(model(prepare(batch)), batch)
        sum(by_task.values()).backward()
        losses.append({task: loss.item() for task, loss in by_task.items()})
        norm = math.sqrt(sum(float(parameter.grad.double().square().sum()) for parameter in model.parameters()))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                gradient = parameter.grad * min(1.0, clip_norm / norm)
                if name == "encoder.conv.weight":  # the only kernel of the encoder; no bias, no shift, no head
                    gradient = gradient + weight_decay * parameter
                velocity[name] = momentum * velocity.get(name, 0) + gradient
                parameter -= learning_rate * velocity[name]
    return model, losses


@pytest.mark.parametrize("clip_norm", [4.0, 0.05], ids=["far away", "reached"])
def test_four_steps_equal_sgd_written_by_hand(tmp_path, clip_norm):
    model, _ = fitted(tmp_path, learning_rate=0.1, decay_every=2, clip_norm=clip_norm, weight_decay=0.3)
    expected, _ = written_by_hand([0.1, 0.1, 0.01, 0.01], clip_norm, weight_decay=0.3)
    for name, value in expected.state_dict().items():
        assert_close(
            model.state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_the_history_holds_the_learning_rate_of_the_steps_to_come_and_the_mean_loss_since_the_last_line(tmp_path):
    _, result = fitted(tmp_path, learning_rate=0.1, decay_every=3)
    _, losses = written_by_hand([0.1, 0.1, 0.1, 0.01], clip_norm=4.0, weight_decay=5e-6)
    assert [line["step"] for line in result.history] == [2, 4]
    assert [line["learning_rate"] for line in result.history] == pytest.approx([0.1, 0.01])
    for line, steps in zip(result.history, (losses[:2], losses[2:]), strict=True):
        for task in ("age", "gender"):
            assert line[f"train_loss_{task}"] == pytest.approx(np.mean([step[task] for step in steps]), rel=1e-4)


def test_validation_values_are_pooled_over_the_examples_and_no_means_of_batches(tmp_path):
    """21 faces in batches of 8, 8 and 5."""
    model, result = fitted(tmp_path, learning_rate=0.1)
    _, validation = small_faces()
    batches = [validation[step] for step in range(3)]
    assert [len(batch["images"]) for batch in batches] == [8, 8, 5]
    images, targets = (torch.cat([batch[name] for batch in batches]) for name in ("images", "age_group"))
    with torch.no_grad():
        probabilities = model.eval()(prepare({"images": images}))["age"].softmax(1)
    losses = -probabilities[torch.arange(21), targets].log()
    line = result.history[-1]
    assert line["validation_loss_age"] == pytest.approx(losses.mean().item(), rel=1e-5)
    assert line["validation_accuracy_age"] == pytest.approx((probabilities.argmax(1) == targets).float().mean().item())
    mean_of_batches = np.mean([part.mean().item() for part in losses.split(8)])
    assert abs(mean_of_batches - line["validation_loss_age"]) > 1e-4  # so that the two can be told apart here


def test_the_selected_validation_is_what_prediction_says_of_the_same_examples(tmp_path):
    model, (training, validation) = small_model(), small_faces()
    result = fit(model, prepare, training, validation, config(precision="bf16-mixed"), tmp_path, accelerator="cpu")
    p_female = predict(model, prepare, validation)["p_female"]
    probability = np.where(validation.targets["gender"] == GENDERS.index("female"), p_female, 1 - p_female)
    expected = -np.log(probability.astype(np.float64)).mean()
    assert result.history[-1]["validation_loss_gender"] == pytest.approx(expected, rel=1e-5)


def test_the_score_is_the_mean_accuracy_of_the_tasks(tmp_path):
    for line in fitted(tmp_path)[1].history:
        accuracies = [line["validation_accuracy_age"], line["validation_accuracy_gender"]]
        assert line["validation_score"] == pytest.approx(sum(accuracies) / 2)


def test_training_is_in_training_mode_with_gradients_and_validation_is_not(tmp_path):
    model, (training, validation), seen = small_model(), small_faces(), []
    model.encoder.register_forward_pre_hook(
        lambda module, inputs: seen.append((module.training, torch.is_grad_enabled()))
    )
    fit(model, prepare, training, validation, config(), tmp_path, accelerator="cpu")
    learning, judging = (True, True), (False, False)
    assert seen == 2 * ([learning] * 2 + [judging] * 3)  # two steps, then three batches of validation


def test_prediction_is_in_evaluation_mode_without_gradients_and_in_full_precision():
    model, seen = small_model().train(), []
    model.encoder.register_forward_pre_hook(
        lambda module, inputs: seen.append((module.training, torch.is_grad_enabled(), inputs[0].dtype))
    )
    predict(model, prepare, small_faces()[1])
    assert seen == [(False, False, torch.float32)] * 3


def test_every_example_is_predicted_once_and_in_order():
    model, (_, validation) = small_model(), small_faces()
    predicted = predict(model, prepare, validation)
    alone = EvaluationBatches(validation.cache, validation.targets, 1, CentreCrop(16))
    with torch.no_grad():
        each = [model.decode(model.eval()(prepare(alone[step]))) for step in range(21)]
    assert predicted.keys() == {"p_group", "age", "p_female"}
    assert predicted["p_group"].shape == (21, 8)
    for name, values in predicted.items():
        assert values.dtype == np.float32
        assert_close(torch.from_numpy(values), torch.cat([one[name] for one in each]), rtol=1e-4, atol=1e-5)


def test_predictions_follow_the_order_of_the_rows():
    model, (_, validation) = small_model(), small_faces()
    order = np.random.default_rng(0).permutation(21)
    targets = {name: values[order] for name, values in validation.targets.items()}
    shuffled = EvaluationBatches(validation.cache.select(order), targets, 8, CentreCrop(16))
    ages = predict(model, prepare, validation)["age"]
    assert_close(predict(model, prepare, shuffled)["age"], ages[order], rtol=1e-4, atol=1e-5)
    assert len(np.unique(ages)) > 10


@pytest.mark.parametrize("has_bf16", [True, False])
@pytest.mark.parametrize("asked", ["bf16-mixed", "32-true"])
def test_training_is_in_the_precision_asked_for_where_the_processor_has_it_and_validation_as_exact_as_the_test(
    tmp_path, monkeypatch, asked, has_bf16
):
    pretend_bf16(monkeypatch, has_bf16)
    model, (training, validation), seen = small_model(), small_faces(), set()
    model.encoder.conv.register_forward_hook(lambda module, inputs, output: seen.add((module.training, output.dtype)))
    result = fit(model, prepare, training, validation, config(precision=asked), tmp_path, accelerator="cpu")
    is_bf16 = asked == "bf16-mixed" and has_bf16
    assert seen == {(True, torch.bfloat16 if is_bf16 else torch.float32), (False, torch.float32)}
    assert result.precision == ("bf16-mixed" if is_bf16 else "32-true")


def test_a_training_in_bf16_is_not_gone_on_from_where_bf16_is_emulated(tmp_path, monkeypatch, capsys):
    for has_bf16 in (True, False):
        pretend_bf16(monkeypatch, has_bf16)
        fit(small_model(), prepare, *small_faces(), config(precision="bf16-mixed"), tmp_path, accelerator="cpu")
    assert "starting anew: model.safetensors is of a run with precision" in capsys.readouterr().out


def pretend_bf16(monkeypatch, has_bf16):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_bf16)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_bf16})


def test_the_best_weights_are_kept_or_the_last(tmp_path):
    best, last = run(tmp_path / "best"), run(tmp_path / "last", selects_best=False)
    scores = [line["validation_score"] for line in best.history]
    assert [line["validation_score"] for line in last.history] == scores
    assert best.selected_step == best.history[int(np.argmax(scores))]["step"]
    assert last.selected_step == 20
    assert best.selected_step < 20  # so that the two can be told apart here
    short = run(tmp_path / "short", selects_best=False, num_steps=best.selected_step)
    assert short.selected_step == best.selected_step
    kept, same, others = (load_file(tmp_path / name / "model.safetensors") for name in ("best", "short", "last"))
    for name, value in same.items():
        assert torch.equal(kept[name], value), name
    assert not torch.equal(kept["encoder.conv.weight"], others["encoder.conv.weight"])


def test_the_model_is_left_with_the_selected_weights(tmp_path):
    model, (training, validation) = small_model(), small_faces()
    fit(model, prepare, training, validation, config(selects_best=True, num_steps=8), tmp_path, accelerator="cpu")
    for name, value in load_file(tmp_path / "model.safetensors").items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.fixture
def scores(monkeypatch):
    """Every validation of a run that follows finds this many correct answers of 21, whatever the model says."""
    script, asked = [], []

    def scripted(head, logits, target):
        asked.append(len(target))
        validation = (len(asked) - 1) // 6  # two heads are asked about three batches
        return torch.tensor(script[validation] * len(target) / 21)

    monkeypatch.setattr(ClassHead, "measure", scripted)
    return script


@pytest.mark.parametrize(
    ("correct", "selected"),
    [([5, 9, 9, 7], 10), ([9, 9, 9, 9], 5), ([1, 2, 3, 4], 20), ([4, 3, 2, 4], 5), ([0, 0, 1, 1], 15)],
)
def test_the_first_of_the_best_scores_is_selected(tmp_path, scores, correct, selected):
    scores.extend(correct)
    result = run(tmp_path)
    assert [line["validation_score"] for line in result.history] == pytest.approx([count / 21 for count in correct])
    assert result.selected_step == selected


@pytest.mark.parametrize(
    ("patience", "correct", "steps"),
    [
        (1, [5, 9, 9, 10], [5, 10, 15]),
        (1, [5, 6, 7, 8], [5, 10, 15, 20]),
        (2, [5, 4, 6, 5, 7], [5, 10, 15, 20, 25]),
        (2, [5, 4, 5, 9], [5, 10, 15]),
        (None, [5, 4, 3, 2], [5, 10, 15, 20]),
    ],
)
def test_training_stops_after_so_many_validations_in_a_row_without_a_better_score(
    tmp_path, scores, patience, correct, steps
):
    scores.extend(correct)
    result = run(tmp_path, patience=patience, num_steps=5 * len(correct))
    assert [line["step"] for line in result.history] == steps


def test_a_run_that_lost_its_patience_is_not_trained_on_when_it_is_started_again(tmp_path, scores):
    scores.extend([5, 4])
    first = run(tmp_path, patience=1)
    again = run(tmp_path, kill_after=1, stop=AssertionError("trained on"), patience=1)
    assert [line["step"] for line in first.history] == [5, 10]
    assert again.history == first.history
    assert again.selected_step == first.selected_step == 5


def test_every_step_draws_its_dropout_anew(tmp_path):
    model, (training, validation), masks = small_model(), small_faces(), []
    model.encoder.dropout.register_forward_hook(
        lambda module, inputs, output: (
            masks.append(tuple((output == 0).flatten().tolist())) if module.training else None
        )
    )
    fit(model, prepare, training, validation, config(), tmp_path, accelerator="cpu")
    assert len(set(masks)) == 4


def test_other_seeds_of_dropout_give_other_weights(tmp_path):
    for seed in (3, 4):
        run(tmp_path / str(seed), seed=seed, num_steps=5)
    first, other = (load_file(tmp_path / seed / "model.safetensors") for seed in "34")
    assert not torch.equal(first["encoder.conv.weight"], other["encoder.conv.weight"])


def test_the_state_of_the_global_generator_does_not_matter(tmp_path):
    for start in (1, 2):
        model, (training, validation) = small_model(), small_faces()
        torch.manual_seed(start)
        fit(model, prepare, training, validation, config(), tmp_path / str(start), accelerator="cpu")
    first, other = (load_file(tmp_path / start / "model.safetensors") for start in "12")
    for name, value in first.items():
        assert torch.equal(other[name], value), name


def test_a_folder_receives_weights_what_ended_them_and_events(tmp_path):
    run(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.safetensors",
        "last.safetensors",
        "ended.json",
        "events",
    }
    assert any((tmp_path / "events").glob("events.out.tfevents.*"))


def test_progress_is_printed_with_step_and_scores_and_nothing_else_is_said(tmp_path, capfd):
    result = run(tmp_path)
    printed = capfd.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines] == ["step"] * 4
    assert printed.err == ""
    assert lines[-1].split()[1] == "20/20"
    assert f"gender {result.history[-1]['validation_accuracy_gender']:.1%}" in lines[-1]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_steps": 30}, "num_steps 20, not 30"),
        ({"num_steps": 10}, "num_steps 20, not 10"),
        ({"seed": 4, "learning_rate": 0.1}, "learning_rate 0.01, not 0.1; seed 3, not 4"),
    ],
)
def test_a_run_of_another_configuration_starts_anew_and_loses_nothing(tmp_path, capfd, changes, named):
    run(tmp_path / "a")
    before = (tmp_path / "a" / "model.safetensors").read_bytes()
    capfd.readouterr()
    result = run(tmp_path / "a", **changes)
    said = f"starting anew: model.safetensors is of a run with {named}; kept as model.before.safetensors"
    assert capfd.readouterr().out.splitlines()[0] == said
    assert (tmp_path / "a" / "model.before.safetensors").read_bytes() == before
    assert result.history == run(tmp_path / "b", **changes).history


@pytest.mark.parametrize("change", ["a label", "the faces", "the model"])
def test_a_run_on_other_data_or_with_another_model_starts_anew(tmp_path, capfd, change):
    model, (training, validation) = small_model(), small_faces()
    fit(model, prepare, training, validation, config(), tmp_path, accelerator="cpu")
    model, (training, validation) = small_model(), small_faces()
    if change == "a label":
        training.targets["gender"][7] = 1 - training.targets["gender"][7]
    elif change == "the faces":
        training, _ = small_faces(num_examples=20)
    else:
        model.heads["age"] = ClassHead(8, AgeBins(FAIRFACE_9))
    capfd.readouterr()
    fit(model, prepare, training, validation, config(), tmp_path, accelerator="cpu")
    name = "num_parameters" if change == "the model" else "training_faces"
    assert f"starting anew: model.safetensors is of a run with {name} " in capfd.readouterr().out


@pytest.mark.parametrize("name", ["num_steps", "validate_every", "batch_size", "decay_every"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_duration_of_nothing_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got {value}"):
        config(**{name: value})


@pytest.mark.parametrize(("num_steps", "validate_every"), [(17, 5), (4, 5)])
def test_steps_after_the_last_validation_are_refused(num_steps, validate_every):
    message = f"num_steps must be a multiple of validate_every, got {num_steps} and {validate_every}"
    with pytest.raises(ValueError, match=message):
        config(num_steps=num_steps, validate_every=validate_every)


def test_a_patience_of_nothing_is_refused():
    with pytest.raises(ValueError, match="patience must be at least 1 validation, or None, got 0"):
        config(patience=0)
