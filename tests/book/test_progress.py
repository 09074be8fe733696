"""What a preset has done, and in which order the rest follows."""

import json
from pathlib import Path

import pytest
from plan import read_preset
from progress import hours_left, in_turns, in_words, left_out, queue, table_of_runs, targets_to_run

PRESET = """
threads: all
papers:
  timit:
    stages:
      1_explore: {}
      2_pretrain:
        matrix: {fold: [0, 1], seed: [0]}
        run: "encoder_fold{fold}_seed{seed}"
        writes: [model.safetensors]
      3_train:
        after: [2_pretrain]
        matrix: {model: [scratch, frozen], fold: [0, 1], seed: [0, 1]}
        without: [{model: frozen, seed: 1}]
        left_out: {wide at folds 1 to 4: "eleven hours each"}
        run: "{model}-fold{fold}-seed{seed}"
        parameters: {data: "{data}", run_folder: "{records}/{run}", reduced: few, num_epochs: 3}
        writes: [record.json]
      4_cross_validate:
        after: [3_train]
"""


@pytest.fixture
def preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(PRESET)
    return read_preset(path)


def finish(run, seconds=60.0, root="runs", **parameters):
    folder = Path(root) / "tiny" / "timit" / run
    folder.mkdir(parents=True, exist_ok=True)
    model, fold, seed = (part.removeprefix("fold").removeprefix("seed") for part in run.split("-"))
    own = {"model": model, "fold": int(fold), "seed": int(seed), "num_epochs": 3} | parameters
    (folder / "record.json").write_text(json.dumps({"parameters": own, "seconds": seconds}))


def counted(preset, model):
    table = table_of_runs(preset, Path("results")).set_index("model")
    return table.loc[model, ["ended", "begun", "failed", "to do"]].tolist()


def test_the_queue_takes_one_fold_of_everything_and_then_the_next_and_the_seeds_last(preset):
    assert [planned.run for planned in queue(preset)] == [
        *("encoder_fold0_seed0", "scratch-fold0-seed0", "frozen-fold0-seed0"),
        *("encoder_fold1_seed0", "scratch-fold1-seed0", "frozen-fold1-seed0"),
        *("scratch-fold0-seed1", "scratch-fold1-seed1"),
    ]


def test_the_turns_follow_the_queue_with_explorations_before_and_pages_over_runs_behind(preset):
    turns = {run: turn for _, runs, turn in in_turns(preset, preset.stages) for run in runs}
    assert turns["1_explore"] == 0
    assert [turns[planned.run] for planned in queue(preset)] == [1, 1, 1, 2, 2, 2, 3, 4]
    assert turns["4_cross_validate"] == 5
    assert sum(len(runs) for _, runs, _ in in_turns(preset, preset.stages)) == len(turns) == 10


def targets(preset, published=(), papers=("timit",)):
    found = targets_to_run(preset, papers, lambda planned: planned.run in published)
    return {target.removeprefix("runs/tiny/timit/").removesuffix("/notebook.ipynb") for target in found}


def test_what_leaves_a_record_and_every_page_is_asked_for_and_the_rest_comes_where_it_is_needed(preset):
    trained = {planned.run for planned in queue(preset)} - {"encoder_fold0_seed0", "encoder_fold1_seed0"}
    assert targets(preset) == trained | {"1_explore", "4_cross_validate"}
    assert targets(preset, papers=()) == set()


def test_a_published_run_is_not_asked_for_and_neither_is_a_page_that_would_need_it(preset):
    assert targets(preset) - targets(preset, ["scratch-fold1-seed1", "frozen-fold0-seed0"]) == {
        *("scratch-fold1-seed1", "frozen-fold0-seed0", "4_cross_validate")
    }


def test_a_run_is_only_published_where_its_folder_is_gone_and_its_parameters_are_the_same(preset):
    frozen = next(each for each in queue(preset) if each.run == "frozen-fold0-seed0")
    assert not frozen.is_only_published(Path("results"))
    finish(frozen.run, root="results", num_epochs=2)
    assert not frozen.is_only_published(Path("results"))
    finish(frozen.run, root="results")
    assert frozen.is_only_published(Path("results"))
    frozen.folder.mkdir(parents=True)
    assert not frozen.is_only_published(Path("results"))


def test_each_run_is_counted_in_the_state_that_its_folder_shows(preset):
    assert counted(preset, "scratch") == [0, 0, 0, 4]
    finish("scratch-fold0-seed0")
    Path("runs/tiny/timit/scratch-fold1-seed0").mkdir(parents=True)
    failed = Path("runs/tiny/timit/scratch-fold0-seed1/notebook.failed.ipynb")
    failed.parent.mkdir(parents=True)
    failed.touch()
    assert counted(preset, "scratch") == [1, 1, 1, 1]
    assert counted(preset, "frozen") == [0, 0, 0, 2]


def test_a_run_that_leaves_no_record_has_ended_when_its_files_are_there(preset):
    encoder = Path("runs/tiny/timit/encoder_fold0_seed0")
    encoder.mkdir(parents=True)
    (encoder / "notebook.ipynb").touch()
    assert counted(preset, "pretrain") == [0, 1, 0, 1]
    (encoder / "model.safetensors").touch()
    assert counted(preset, "pretrain") == [1, 0, 0, 1]


def test_a_published_record_counts_where_the_run_folder_is_gone(preset):
    finish("frozen-fold0-seed0", root="results")
    assert counted(preset, "frozen") == [1, 0, 0, 1]


def test_a_record_of_other_parameters_does_not_count(preset):
    finish("frozen-fold0-seed0", root="results", num_epochs=2)
    assert counted(preset, "frozen") == [0, 0, 0, 2]


def test_a_record_counts_whatever_folders_and_words_it_was_made_with(preset):
    finish("frozen-fold0-seed0", root="results", reduced="other words", data="elsewhere")
    assert counted(preset, "frozen") == [1, 0, 0, 1]


def test_the_time_left_is_that_of_the_same_model_or_else_of_its_paper(preset):
    assert hours_left(table_of_runs(preset, Path("results"))) is None
    assert "nobody knows" in in_words(table_of_runs(preset, Path("results")))
    finish("scratch-fold0-seed0", seconds=3600.0)
    table = table_of_runs(preset, Path("results"))
    assert hours_left(table) == pytest.approx(3 + 2 + 2)  # scratch, frozen and the pretraining, an hour each
    assert in_words(table) == "1 of 8 runs have ended; the rest takes about 7.0 h"
    finish("frozen-fold0-seed0", seconds=7200.0)
    assert hours_left(table_of_runs(preset, Path("results"))) == pytest.approx(3 * 1 + 1 * 2 + 2 * 1.5)


def test_what_the_preset_leaves_out_is_named_with_its_reason(preset):
    assert list(left_out(preset)) == ["timit: wide at folds 1 to 4 is left out: eleven hours each"]
