import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import agegender.training.fit
from agegender.data.images import Augmentation, standardise
from agegender.data.manifest import Manifest
from agegender.evaluation.records import LAST_PREDICTIONS, OTHER_TESTS
from agegender.labels import ADIENCE_8
from agegender.training.fit import TrainingConfig, fit
from agegender.training.prediction import predict
from agegender.training.runs import BegunRun
from agegender.training.testing import OtherTest, open_test, other_tests_of_faces
from tests.training.small_run import small_faces, small_model

NUM = 21


def prepare(batch):
    return standardise(batch["images"], batch.get("contrast"))


def begun(folder):
    examples = pd.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(NUM)],
            "subject": [f"s{i}" for i in range(NUM)],
            "age": np.full(NUM, 30.0),
            "age_group": pd.array(np.arange(NUM) % 8, "Int64"),
            "gender": pd.Series(["female", "male"] * 10 + ["male"], dtype="str"),
            "corpus": "adience",
        }
    )
    manifest = Manifest(examples, "adience", "face", ADIENCE_8, None, True, pd.DataFrame({"path": [], "reason": []}))
    parts = {"test": np.arange(NUM)}
    return BegunRun(folder, "lmtcnn", {"fold": 2}, manifest, parts, {})


def trained(folder, learning_rate=0.05):
    model, (training, validation) = small_model(), small_faces()
    config = TrainingConfig(12, 2, 4, learning_rate=learning_rate, precision="32-true")
    result = fit(model, prepare, training, validation, config, folder, accelerator="cpu")
    return model, validation, result


def asked(folder, other):
    model, test, _ = trained(folder)
    open_test(begun(folder), model, prepare, test, {"other": other(model, test)}, "cpu")
    return pd.read_parquet(folder / OTHER_TESTS), model, test


def test_the_selected_weights_are_tested_and_those_of_the_last_step_beside_them(tmp_path, monkeypatch):
    scores = iter(range(100, 0, -1))  # the first validation is the best
    monkeypatch.setattr(agegender.training.fit, "goodness", lambda *given: {"score": next(scores)})
    model, test, result = trained(tmp_path, learning_rate=0.5)
    assert result.selected_step == 2
    predictions = open_test(begun(tmp_path), model, prepare, test, {}, "cpu")
    assert predictions["p_female"].to_numpy() == pytest.approx(predict(model, prepare, test)["p_female"])
    longer = small_model()
    training, validation = small_faces()
    config = TrainingConfig(12, 2, 4, learning_rate=0.5, precision="32-true", selects_best=False)
    fit(longer, prepare, training, validation, config, tmp_path / "last", accelerator="cpu")
    last = pd.read_parquet(tmp_path / LAST_PREDICTIONS)
    assert list(last) == ["example", "age", *(f"p_group_{k}" for k in range(8)), "p_female"]
    assert last["p_female"].to_numpy() == pytest.approx(predict(longer, prepare, test)["p_female"], rel=1e-4)
    assert (last["p_female"] - predictions["p_female"]).abs().max() > 1e-3


def test_a_run_that_diverged_has_no_last_step_to_test(tmp_path):
    model, test, result = trained(tmp_path, learning_rate=float("inf"))
    assert result.diverged_at_step
    open_test(begun(tmp_path), model, prepare, test, {}, "cpu")
    assert not (tmp_path / LAST_PREDICTIONS).exists()


def test_with_batch_statistics_an_answer_depends_on_its_batch_and_the_moving_averages_stay(tmp_path):
    def other(model, test):
        test.batch_size = NUM
        return OtherTest(test, (prepare,), has_batch_statistics=True)

    table, model, test = asked(tmp_path, other)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.encoder.norm.uses_batch_statistics_at_test = True
    expected = predict(model, prepare, test)["p_female"]
    assert table["p_female"].to_numpy() == pytest.approx(expected, abs=1e-4)
    model.encoder.norm.uses_batch_statistics_at_test = False
    assert np.abs(predict(model, prepare, test)["p_female"] - expected).max() > 1e-3
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_answers_about_several_inputs_are_averaged(tmp_path):
    def dark(batch):
        return prepare(batch) * 0 - 1

    table, model, test = asked(tmp_path, lambda model, test: OtherTest(test, (prepare, dark)))
    both = [predict(model, way, test) for way in (prepare, dark)]
    assert table["p_female"].to_numpy() == pytest.approx((both[0]["p_female"] + both[1]["p_female"]) / 2, abs=1e-4)
    group = (both[0]["p_group"] + both[1]["p_group"]).argmax(1)
    assert table["group"].tolist() == group.tolist()
    assert table["test"].unique().tolist() == ["other"]


def test_every_other_way_shows_the_net_what_its_name_says():
    """A model that answers with what it sees: the mean of red, of blue, of the left half and of the upper half."""

    class Seen(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0].mean((1, 2)), x[:, 2].mean((1, 2)), x[..., :8].mean((1, 2, 3))], 1)

    def raw(batch):
        return batch["images"].permute(0, 3, 1, 2).float()

    _, test = small_faces()
    images = test.cache.array.reshape(-1, 20, 20, 3).astype(np.float32)
    ways = other_tests_of_faces(small_model(), raw, test, 16, Augmentation(16))
    assert set(ways) == {
        "in bfloat16", "mirrored too", "augmented as in training", "blue for red", "pixels from 0 to 1", "centre crop",
        "squashed", "ten crops", *(f"batch statistics, {size} at once" for size in (1, 8, 32, 128)),
    }  # fmt: skip

    def seen(name):
        other = ways[name]
        inputs = [[way(other.examples[step]) for step in range(len(other.examples))] for way in other.inputs]
        return [Seen()(torch.cat(batches)).numpy() for batches in inputs]

    centre = images[:, 2:18, 2:18]
    expected = np.stack([centre[..., 0].mean((1, 2)), centre[..., 2].mean((1, 2)), centre[:, :, :8].mean((1, 2, 3))], 1)
    mirrored = np.stack([expected[:, 0], expected[:, 1], centre[:, :, 8:].mean((1, 2, 3))], 1)
    assert seen("centre crop")[0] == pytest.approx(expected, rel=1e-5)
    assert seen("mirrored too")[0] == pytest.approx(expected, rel=1e-5)
    assert seen("mirrored too")[1] == pytest.approx(mirrored, rel=1e-5)
    assert seen("blue for red")[0][:, :2] == pytest.approx(expected[:, 1::-1], rel=1e-5)
    assert seen("pixels from 0 to 1")[0] == pytest.approx(expected / 255, rel=1e-5)
    ten = seen("ten crops")
    assert len(ten) == 10
    assert ten[0][:, 0] == pytest.approx(images[:, :16, :16, 0].mean((1, 2)), rel=1e-5)
    assert ten[3][:, 0] == pytest.approx(images[:, 4:, 4:, 0].mean((1, 2)), rel=1e-5)
    assert ten[9] == pytest.approx(mirrored, rel=1e-5)
    assert seen("squashed")[0][:, 0] == pytest.approx(images[:, :, :, 0].mean((1, 2)), abs=12)
    assert ways["batch statistics, 8 at once"].has_batch_statistics
    assert not ways["centre crop"].has_batch_statistics
    assert ways["in bfloat16"].is_bf16
