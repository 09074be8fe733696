"""What ships is what a run learnt, smaller: one file in half precision that says where it comes from."""

import json

import numpy as np
import pytest
import torch
from make_model import LICENCE, ship

from agegender.pipelines import face
from agegender.training.checkpoints import read_facts, save_weights
from agegender.use.model import load_model

READS = {"decoded_px": 128, "crop_px": None, "resize": "filtered", "resized": {"side_px": 112, "share": 0.9}}


@pytest.fixture
def write_run(tmp_path):
    """Write what a run of the model of faces leaves behind."""

    def write(**changes):
        torch.manual_seed(0)
        facts = {"paper": "face", "build_model": {}, "prepare": {}, "input": READS, "alignment": None}
        save_weights(face.build_model(), tmp_path / "model.safetensors", facts | {"is_synthetic": False} | changes)
        record = {"commit": "0123456789abcdef", "manifest": {"num_examples": 30}}
        (tmp_path / "record.json").write_text(json.dumps(record))
        return tmp_path

    return write


def test_a_model_ships_in_half_precision_with_its_name_licence_and_data(write_run, tmp_path):
    run, target = write_run(), tmp_path / "weights/face.safetensors"
    ship([run], "face", target)
    assert target.stat().st_size < 0.51 * (run / "model.safetensors").stat().st_size
    facts = read_facts(target)
    assert (facts["name"], facts["licence"], facts["manifest"]) == ("face, 0123456", LICENCE, {"num_examples": 30})
    pictures = list(np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8))
    before, after = (load_model(path, precision="32-true").predict(pictures) for path in (run, target))
    assert after["age"].to_numpy() == pytest.approx(before["age"].to_numpy(), abs=0.05)
    assert set(after["model"]) == {"face, 0123456"}


def test_a_model_of_synthetic_people_does_not_ship(write_run, tmp_path):
    with pytest.raises(ValueError, match="only a model of real ones ships"):
        ship([write_run(is_synthetic=True)], "face", tmp_path / "weights/face.safetensors")
    assert not (tmp_path / "weights").exists()
