import hashlib
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.cache import examples_in_memory
from agegender.data.images import Augmentation, CentreCrop, standardise
from agegender.data.manifest import build_manifest
from agegender.data.samplers import ShuffledSampler
from agegender.evaluation.records import read_run
from agegender.labels import ADIENCE_8
from agegender.training.fit import FitResult, TrainingConfig
from agegender.training.protocol import Protocol
from agegender.training.provenance import commit, predictions_hash, weights_hash
from agegender.training.runs import begin_run, finish_run, predictions_table
from tests.training.small_run import small_model

ROWS = np.array([5, 0, 3])
PARAMETERS = {"data": "/somewhere", "run_folder": "/elsewhere", "corpus": "adience", "num_epochs": 3}
PARAMETERS |= {"model": "1-1", "variant": "as_intended", "fold": 2, "seed": 7}


def manifest():
    table = pd.DataFrame(
        {
            "path": [f"{row}.jpg" for row in range(6)],
            "subject": ["s0", "s1", "s1", "s2", "s3", "s4"],
            "age": [np.nan, 3.0, 4.0, 41.0, np.nan, 1.0],
            "age_group": [None, 1, 1, 5, 2, 0],
            "gender": ["male", "female", "female", None, "male", "female"],
            "corpus": "adience",
            "modality": "face",
            "race_label": list("abcdef"),
            "user": list("uvwxyz"),
        }
    )
    return build_manifest(table, scheme=ADIENCE_8)


def decoded(num_examples=3, seed=0):
    p_group = np.random.default_rng(seed).dirichlet(np.ones(8), num_examples).astype(np.float32)
    return {
        "p_group": p_group,
        "age": p_group @ np.float32(ADIENCE_8.midpoints),
        "p_female": np.linspace(0.1, 0.9, num_examples, dtype=np.float32),
    }


IMAGES = np.random.default_rng(0).integers(0, 255, (6, 20, 20, 3), dtype=np.uint8)
TRAIN, VALIDATION = np.array([2, 1]), np.array([4])


@dataclass(frozen=True)
class MadeUpRecipe:
    """A recipe with one decision."""

    protocol: Protocol
    augmentation: Augmentation


def batches_of(rows, is_training=False):
    cache, targets = (
        replace(examples_in_memory(list(IMAGES)), manifest=manifest()),
        {"gender": np.zeros(len(rows), int)},
    )
    if is_training:
        return TrainingBatches(cache.select(rows), targets, ShuffledSampler(len(rows), len(rows), 7), CentreCrop())
    return EvaluationBatches(cache.select(rows), targets, len(rows), CentreCrop(16))


def begin(folder, train=TRAIN, validation=VALIDATION, test=ROWS, parameters=PARAMETERS, protocol=Protocol()):  # noqa: B008 - frozen
    recipe = MadeUpRecipe(protocol, Augmentation(16))
    shown = batches_of(train, is_training=True), batches_of(validation), test
    return begin_run(folder, "lmtcnn", parameters, manifest(), recipe, shown)


def pixels(batch):
    return standardise(batch["images"], batch.get("contrast"))


def finish(folder, table=None, begun=None, **changes):
    arguments = {
        "model": small_model(),
        "prepare": pixels,
        "config": TrainingConfig(num_steps=20, validate_every=5, batch_size=4, learning_rate=0.01),
        "result": FitResult([{"step": 5, "train_loss_age": 2.0}], 12.5, 15, "cpu, 1 threads", 321.0, "bf16-mixed"),
        "test": batches_of(ROWS),
        "predictions": predictions_table(manifest().examples, ROWS, 2, decoded()) if table is None else table,
        "selection": "best validation score; validation by subject",
        "reduced": None,
    }
    finish_run(begun or begin(folder), **(arguments | changes))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "open" / "lmtcnn" / "1-1-as_intended-fold2-seed7"


def test_a_folder_with_a_finished_run_on_other_data_is_refused_before_the_training(folder, monkeypatch):
    finish(folder)
    begin(folder)  # the same data: the run is repeated
    examples = manifest().examples
    monkeypatch.setattr(
        "tests.training.test_runs.manifest", lambda: build_manifest(examples.drop(columns="user"), scheme=ADIENCE_8)
    )
    with pytest.raises(ValueError, match=r"fold2-seed7 holds a finished run on other data: delete it, or name another"):
        begin(folder)


def test_predictions_stand_beside_the_truth_in_the_order_of_the_test_set():
    table, said = predictions_table(manifest().examples, ROWS, 2, decoded()), decoded()
    assert table["example"].tolist() == [5, 0, 3]
    assert table["subject"].tolist() == ["s4", "s0", "s2"]
    assert table["subject_number"].tolist() == [5, 0, 3]
    assert table["true_group"].tolist() == [0, pd.NA, 5]
    assert table["true_age"].fillna(-1).tolist() == [1.0, -1, 41.0]
    assert table["true_gender"].fillna("unknown").tolist() == ["female", "male", "unknown"]
    assert table["age"].tolist() == said["age"].astype(float).tolist()
    assert table["p_female"].tolist() == said["p_female"].tolist()
    assert np.array_equal(table[[f"p_group_{group}" for group in range(8)]].to_numpy(), said["p_group"])
    assert (table["fold"] == 2).all()


def test_the_number_of_a_subject_is_its_first_row_in_the_whole_table():
    table = predictions_table(manifest().examples, np.array([2, 4]), 2, decoded(2))
    assert table["subject_number"].tolist() == [1, 4]


def test_predictions_that_the_table_would_lose_are_refused():
    with pytest.raises(ValueError, match="no column for what the heads call p_smiling"):
        predictions_table(manifest().examples, ROWS, 2, decoded() | {"p_smiling": np.zeros(len(ROWS))})


def test_predictions_have_the_types_of_the_contract():
    table = predictions_table(manifest().examples, ROWS, 2, decoded())
    types = {name: str(dtype) for name, dtype in table.dtypes.items()}
    expected = {"example": "int64", "subject": "str", "fold": "int64", "corpus": "str", "true_age": "float64"}
    expected |= {"true_group": "Int64", "true_gender": "str", "age": "float64", "p_female": "float32"}
    assert {name: types[name] for name in expected} == expected
    assert {types[f"p_group_{group}"] for group in range(8)} == {"float32"}


def test_a_column_of_a_reader_that_is_called_source_is_no_corpus():
    examples = manifest().examples.assign(source=["web", "web", "phone", "phone", "web", "phone"])
    table = predictions_table(examples, ROWS, 2, decoded())
    assert table["corpus"].tolist() == examples["corpus"].iloc[ROWS].tolist()


def test_of_a_pack_of_several_corpora_the_source_is_the_corpus():
    examples = manifest().examples.assign(source_corpus=["svd", "x", "x", "speechocean762", "x", "svd"])
    assert predictions_table(examples, ROWS, 2, decoded())["corpus"].tolist() == ["svd", "svd", "speechocean762"]


def test_no_path_and_no_album_is_kept():
    columns = predictions_table(manifest().examples, ROWS, 2, decoded()).columns
    assert not {"path", "user", "photo", "face_id"} & set(columns)


def test_no_label_that_nothing_is_computed_from_is_kept():
    assert "race_label" not in predictions_table(manifest().examples, ROWS, 2, decoded())


def test_a_model_of_years_has_no_group_probabilities():
    said = {name: values for name, values in decoded().items() if name != "p_group"}
    assert not predictions_table(manifest().examples, ROWS, 2, said).filter(like="p_group").columns.tolist()


@pytest.mark.parametrize("num_predictions", [2, 4])
def test_predictions_of_other_examples_are_refused(num_predictions):
    with pytest.raises(ValueError, match=f"{num_predictions} predictions of 'p_group' for 3 test examples"):
        predictions_table(manifest().examples, ROWS, 2, decoded(num_predictions))


def test_a_finished_run_can_be_read_back(folder):
    finish(folder)
    run = read_run(folder)
    assert_frame_equal(run.predictions, predictions_table(manifest().examples, ROWS, 2, decoded()), check_dtype=False)
    record = run.record
    assert (record["preset"], record["paper"], record["run"]) == ("open", "lmtcnn", "1-1-as_intended-fold2-seed7")
    assert (record["model"], record["variant"], record["fold"], record["seed"]) == ("1-1", "as_intended", 2, 7)
    assert (record["scheme"], record["manifest_hash"]) == ("adience-8", manifest().hash())
    assert record["manifest"] == manifest().describe()
    assert record["history"] == [{"step": 5, "train_loss_age": 2.0}]
    assert (record["seconds"], record["selected_step"], record["peak_memory_mb"]) == (12.5, 15, 321.0)
    assert record["selected_on_test"] is False
    assert record["training"]["num_steps"] == 20
    assert record["reduced"] is None
    assert record["precision"] == {"trained": "bf16-mixed", "selected": "32-true", "tested": "32-true"}


def test_the_number_of_parameters_is_that_of_the_model(folder):
    finish(folder)
    convolution, shift, age, gender = 3 * 3 * 3 * 8 + 8, 8, 8 * 8 + 8, 8 * 2 + 2
    assert read_run(folder).record["num_parameters"] == convolution + shift + age + gender


def test_where_data_and_run_lay_on_the_machine_is_not_recorded(folder):
    finish(folder)
    parameters = read_run(folder).record["parameters"]
    assert parameters == {name: value for name, value in PARAMETERS.items() if name not in ("data", "run_folder")}
    assert "/somewhere" not in (folder / "record.json").read_text()


def test_the_record_says_with_which_versions_it_was_made(folder):
    finish(folder)
    versions = read_run(folder).record["versions"]
    assert {"python", "agegender", "torch", "numpy", "pandas"} <= versions.keys()
    assert versions["numpy"] == np.__version__


def test_a_folder_may_be_given_relative_to_where_one_stands(folder, monkeypatch):
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    finish(Path())
    assert read_run(folder).record["preset"] == "open"


def test_a_run_in_a_folder_of_a_free_name_is_one_by_hand(tmp_path):
    finish(tmp_path / "a first try")
    record = read_run(tmp_path / "a first try").record
    assert (record["preset"], record["paper"], record["run"]) == ("by-hand", "lmtcnn", "1-1-as_intended-fold2-seed7")


def test_a_run_in_a_folder_of_another_name_is_refused_and_leaves_no_record(tmp_path):
    folder = tmp_path / "open" / "lmtcnn" / "1-1-as_intended-fold3-seed7"
    with pytest.raises(ValueError, match="1-1-as_intended-fold3-seed7"):
        finish(folder)
    assert not (folder / "record.json").exists()


def test_a_loss_that_is_no_number_is_not_recorded(folder):
    with pytest.raises(ValueError, match="nan"):
        finish(folder, result=FitResult([{"step": 5, "train_loss_age": float("nan")}], 1.0, 5, "cpu", 1.0, "32-true"))
    assert not (folder / "record.json").exists()


def test_an_example_that_is_tested_twice_and_listed_once_is_refused():
    with pytest.raises(ValueError, match="example 5 is in the test part more often than its corpus lists it"):
        predictions_table(manifest().examples, np.array([5, 5, 3]), 2, decoded())


def test_predictions_with_an_example_twice_are_not_recorded(folder):
    table = predictions_table(manifest().examples, np.array([5, 4, 3]), 2, decoded())
    table.loc[1, "example"] = 5
    with pytest.raises(ValueError, match="example"):
        finish(folder, table=table)
    assert not (folder / "record.json").exists()


def git(folder, *arguments):
    settings = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


def test_the_commit_is_that_of_the_library_with_a_plus_when_it_was_changed(tmp_path, monkeypatch):
    module = tmp_path / "provenance.py"
    module.write_text("first")
    for arguments in (["init"], ["add", "."], ["commit", "-m", "x"], ["tag", "-a", "v1", "-m", "x"]):
        git(tmp_path, *arguments)
    monkeypatch.setattr("agegender.training.provenance.__file__", str(module))
    clean = commit()
    assert len(clean) == 12
    assert int(clean, 16)
    module.write_text("second")
    assert commit() == clean + "+"


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.CalledProcessError(128, "git")])
def test_without_git_the_commit_is_unknown(monkeypatch, error):
    def fails(*arguments, **options):
        raise error

    monkeypatch.setattr(subprocess, "run", fails)
    assert commit() == "unknown"


@pytest.mark.parametrize("task", ["age", "gender"])
def test_a_run_of_one_task_leaves_the_answers_of_the_other_empty(tmp_path, task):
    said = decoded()
    kept = {"p_female"} if task == "gender" else {"age", "p_group"}
    table = predictions_table(manifest().examples, ROWS, 2, {name: said[name] for name in kept})
    folder = tmp_path / "open" / "levihassner" / f"{task}-as_intended-fold2-seed7"
    finish(folder, table, begin(folder, parameters=PARAMETERS | {"model": task}))
    run = read_run(folder)
    assert run.record["scheme"] == ("adience-8" if task == "age" else None)
    assert run.predictions["p_female"].isna().all() == (task == "age")
    assert run.predictions["age"].isna().all() == (task == "gender")
    assert ("p_group_0" in run.predictions) == (task == "age")
    assert run.predictions["true_group"].notna().any()


def test_a_selection_on_the_test_examples_is_read_from_the_batches_and_not_from_the_notebook(folder):
    finish(folder)
    assert read_run(folder).record["selected_on_test"] is False
    finish(folder, begun=begin(folder, validation=ROWS, protocol=Protocol(selects_on_test=True)))
    record = read_run(folder).record
    assert record["selected_on_test"] is True
    assert record["overlaps"]["validation and test"] == {"examples": 3, "subjects": 3}


def test_a_validation_part_that_is_the_test_part_is_refused_before_training_where_the_recipe_does_not_say_so(folder):
    with pytest.raises(ValueError, match=r"3 subjects are in both validation and test.*: 's0', 's2', 's4'\. Nothing"):
        begin(folder, validation=ROWS)


def test_a_subject_in_train_and_test_is_refused_with_its_name(folder):
    with pytest.raises(ValueError, match=r"1 subjects are in both train and test.*: 's0'"):
        begin(folder, train=np.array([0, 1]), test=np.array([0, 3]))
    with pytest.raises(ValueError, match=r"1 examples are in both train and test.*the first is '0.jpg'"):
        begin(folder, train=np.array([0, 1]), test=np.array([0, 3]), protocol=Protocol(shares_subjects="all parts"))


def test_other_examples_than_the_run_began_with_are_not_recorded(folder):
    with pytest.raises(ValueError, match="have other examples"):
        finish(folder, test=batches_of(ROWS[::-1]))
    with pytest.raises(ValueError, match="have other examples"):
        finish(folder, test=batches_of(VALIDATION))
    assert not (folder / "record.json").exists()


def test_the_record_says_who_was_in_which_part_without_a_name(folder):
    finish(folder)
    train = read_run(folder).record["parts"]["train"]
    assert (train["num_examples"], train["num_subjects"]) == (2, 1)
    assert train["rows_hash"] == hashlib.sha256(np.array([1, 2], "<i8").tobytes()).hexdigest()[:16]
    assert train["labels"] == {"adience": {"age": {"3.0": 1, "4.0": 1}, "age_group": {"1": 2}, "gender": {"female": 2}}}


def test_the_record_holds_every_decision_and_what_the_batches_and_heads_really_did(folder):
    finish(folder)
    record = read_run(folder).record
    assert record["recipe"]["augmentation"] == {"crop_px": 16, "flips": True, "contrast": [0.2, 1.8]}
    assert record["batches"]["train"] == {"batch_size": 2, "seed": 7, "augmentation": None}
    assert record["batches"]["test"]["crop_px"] == 16
    assert record["heads"]["age"].pop("classes.years")["length"] == 8
    assert record["heads"]["age"] == {
        "head": "ClassHead", "loss": "cross_entropy", "target": "age_group", "metric": "accuracy", "loss_weight": 1.0,
    }  # fmt: skip
    assert record["num_epochs"] == 20 * 4 / 2


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]], ids=["rgb", "bgr"])
def test_the_channel_of_red_is_that_of_what_the_model_gets(folder, order):
    finish(folder, prepare=lambda batch: pixels(batch)[:, order])
    assert read_run(folder).record["red_channel"] == order.index(0)


def test_the_record_holds_hashes_of_weights_predictions_and_library_the_date_and_the_processor(folder):
    model = small_model()
    finish(folder, model=model)
    run = read_run(folder)
    assert run.record["weights_hash"] == weights_hash(model)
    assert run.record["predictions_hash"] == predictions_hash(run.predictions)
    assert len(run.record["library_hash"]) == 16
    assert datetime.now(UTC) - datetime.fromisoformat(run.record["date"]) < timedelta(days=1)
    assert run.record["processor"]


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ([], "diverged at step 7, before the first validation: the initial weights"),
        ([{"step": 5, "train_loss_age": 2.0}], "diverged at step 7: among the validations up to step 5"),
    ],
    ids=["at once", "later"],
)
def test_the_record_says_that_a_run_diverged_and_where_its_weights_come_from(folder, history, said):
    finish(folder, result=FitResult(history, 1.0, 5, "cpu", 1.0, "32-true", diverged_at_step=7))
    record = read_run(folder).record
    assert record["diverged_at_step"] == 7
    assert record["selection"] == f"best validation score; validation by subject; {said}"


def test_the_record_says_that_a_run_did_not_diverge(folder):
    finish(folder)
    assert read_run(folder).record["diverged_at_step"] is None
    assert "diverged" not in read_run(folder).record["selection"]
