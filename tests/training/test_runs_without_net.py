"""Runs of baselines that learn at once are recorded like those of nets."""

import numpy as np
import pandas as pd
import pytest

from agegender.data.manifest import build_manifest
from agegender.evaluation.comparison import overview
from agegender.evaluation.records import read_run
from agegender.training.runs import finish_run_without_net, predictions_table

PARAMETERS = {"data": "/somewhere", "run_folder": "/elsewhere", "corpus": "timit"}
PARAMETERS |= {"model": "svm", "variant": "as_intended", "fold": 1, "seed": 0}


def finish(folder, **changes):
    rows = pd.DataFrame({"path": ["a", "b", "c"], "subject": ["x", "y", "z"], "age": [20.0, np.nan, 30.0]})
    manifest = build_manifest(rows.assign(gender=["female", "male", "male"], corpus="timit", modality="voice"))
    said = {"age": np.array([21.0, 35.0]), "p_female": np.array([0.9, 0.2])}
    arguments = {
        "paper": "timit",
        "parameters": PARAMETERS,
        "manifest": manifest,
        "settings": {"age_cost": 10.0},
        "train": np.array([1]),
        "predictions": predictions_table(manifest.examples, np.array([0, 2]), 1, said),
        "seconds": 2.5,
        "reduced": None,
    }
    finish_run_without_net(folder, **(arguments | changes))
    return manifest


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "open" / "timit" / "svm-as_intended-fold1-seed0"


def test_the_record_can_be_read_back_and_says_how_the_run_was_made(folder):
    manifest = finish(folder)
    run = read_run(folder)
    assert run.predictions["age"].tolist() == [21.0, 35.0]
    assert (run.record["preset"], run.record["paper"], run.record["model"]) == ("open", "timit", "svm")
    assert run.record["training"] == {"age_cost": 10.0}
    assert (run.record["history"], run.record["num_parameters"], run.record["seconds"]) == ([], 0, 2.5)
    assert run.record["selected_on_test"] is False
    assert run.record["manifest_hash"] == manifest.hash()
    assert run.record["parameters"].keys() == PARAMETERS.keys() - {"data", "run_folder"}


def test_it_stands_in_the_overview_of_systems(folder):
    finish(folder, reduced="three clips")
    row = overview([read_run(folder)]).iloc[0]
    assert row["system"] == "svm, as intended"
    assert (row["selection"], row["reduced"]) == ("nothing is selected", "three clips")


def test_a_folder_of_another_name_is_refused(folder):
    with pytest.raises(ValueError, match="field 'run' is"):
        finish(folder.with_name("svm-as_intended-fold0-seed0"))


def test_somebody_who_is_learnt_from_and_tested_is_refused(folder):
    with pytest.raises(ValueError, match=r"1 subjects are in both train and test.*: 'x'"):
        finish(folder, train=np.array([0, 1]))
    assert not (folder / "record.json").exists()
