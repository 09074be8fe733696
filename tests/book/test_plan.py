"""From a preset to runs and their order."""

import re
from pathlib import Path

import pytest
from plan import PresetError, pattern_of, preset_names, read_preset

ROOT = Path(__file__).resolve().parents[2]

TWO_STAGES = """
threads: 1
papers:
  timit:
    stages:
      2_pretrain:
        matrix: {model: [small, large], seed: [0, 1]}
        run: "pretrain-{model}-seed{seed}"
        writes: [record.json]
      3_train:
        matrix: {model: [small, large], fold: [0, 1, 2], seed: [0, 1]}
        run: "{model}-fold{fold}-seed{seed}"
        parameters: {data: "{data}/timit", run_folder: "{records}/{run}", num_epochs: 3}
        after: [2_pretrain]
        threads: all
      4_cross_validate:
        after: [3_train]
        parameters: {records: "{records}"}
  compare:
    stages:
      1_audit:
        after: [timit/4_cross_validate]
        reads: timit
"""


@pytest.fixture
def preset(tmp_path):
    def read(text=TWO_STAGES, name="tiny"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        return read_preset(path)

    return read


def test_every_combination_of_the_matrix_is_a_run_with_its_values(preset):
    runs = preset().stage("timit", "3_train").runs
    assert len(runs) == 2 * 3 * 2
    assert runs["large-fold2-seed1"] == {"model": "large", "fold": 2, "seed": 1}


def test_a_combination_is_left_out_when_it_agrees_with_all_values_of_an_entry(preset):
    folds = "matrix: {model: [small, large], fold: [0, 1, 2], seed: [0, 1]}"
    text = TWO_STAGES.replace(folds, f"{folds}\n        without: [{{model: large, fold: 2}}, {{seed: 1, fold: 0}}]")
    assert text != TWO_STAGES
    runs = preset(text).stage("timit", "3_train").runs
    assert len(runs) == 12 - 2 - 2
    assert not {"large-fold2-seed0", "large-fold2-seed1", "small-fold0-seed1", "large-fold0-seed1"} & set(runs)


@pytest.mark.parametrize("entry", ["{model: huge}", "{colour: red}"])
def test_leaving_out_what_is_not_in_the_matrix_is_refused(preset, entry):
    text = TWO_STAGES.replace('run: "{model}-fold', f'without: [{entry}]\n        run: "{{model}}-fold')
    assert text != TWO_STAGES
    with pytest.raises(PresetError, match="which is not in the matrix"):
        preset(text)


def test_a_run_gets_its_matrix_values_and_the_places_filled_in_with_types_kept(preset):
    stage = preset().stage("timit", "3_train")
    parameters = stage.parameters_of("small-fold0-seed1", {"data": "d", "records": "runs/tiny/timit"})
    assert parameters == {
        "model": "small", "fold": 0, "seed": 1, "num_epochs": 3, "data": "d/timit",
        "run_folder": "runs/tiny/timit/small-fold0-seed1",
    }  # fmt: skip


def test_what_presets_share_stands_once_and_a_preset_has_its_own_say(tmp_path):
    (tmp_path / "stages.yaml").write_text("""
lmtcnn:
  1_explore: {parameters: {data: "{data}", corpus: "{corpus}"}}
  2_pretrain: {run: pretrained, writes: [model.safetensors]}
  3_train:
    run: "fold{fold}"
    after: [1_explore]
    parameters: {data: "{data}", corpus: "{corpus}", num_epochs: 3}
    writes: [record.json]
""")
    (tmp_path / "own.yaml").write_text("""
papers:
  lmtcnn:
    corpus: adience
    stages:
      2_pretrain: false
      3_train: {matrix: {fold: [0, 1]}, after: [], parameters: {num_epochs: 5, batch_size: 8}}
      4_more: {run: more}
""")
    own = read_preset(tmp_path / "own.yaml")
    assert [stage.name for stage in own.stages] == ["1_explore", "3_train", "4_more"]
    explore, train, _ = own.stages
    assert explore.parameters == {"data": "{data}", "corpus": "adience"}
    assert train.parameters == {"data": "{data}", "corpus": "adience", "num_epochs": 5, "batch_size": 8}
    assert (train.after, train.writes, list(train.runs)) == ((), ("record.json",), ["fold0", "fold1"])
    assert preset_names(tmp_path) == ["own"]


def test_a_list_in_an_entry_of_what_is_not_run_is_any_of_its_values(preset):
    folds = "matrix: {model: [small, large], fold: [0, 1, 2], seed: [0, 1]}"
    text = TWO_STAGES.replace(folds, f"{folds}\n        without: [{{model: large, fold: [1, 2]}}]")
    runs = preset(text).stage("timit", "3_train").runs
    assert [run for run in runs if "large" in run] == ["large-fold0-seed0", "large-fold0-seed1"]
    with pytest.raises(PresetError, match="'without' names fold: 7, which is not in the matrix"):
        preset(text.replace("fold: [1, 2]}]", "fold: [1, 7]}]"))


def test_some_runs_have_other_parameters_and_the_last_entry_that_is_theirs_counts(preset):
    of_large = "where: [{runs: {model: large}, parameters: {num_epochs: 9, reduced: '{run}'}}, "
    of_fold_2 = "{runs: {fold: 2}, parameters: {num_epochs: 5}}]"
    stage = preset(TWO_STAGES.replace("        threads: all", f"        {of_large}{of_fold_2}")).stage(
        "timit", "3_train"
    )
    found = {run: stage.parameters_of(run, {"data": "d", "records": "r"}) for run in stage.runs}
    assert {run: values["num_epochs"] for run, values in found.items() if "seed0" in run} == {
        "small-fold0-seed0": 3, "small-fold1-seed0": 3, "small-fold2-seed0": 5,
        "large-fold0-seed0": 9, "large-fold1-seed0": 9, "large-fold2-seed0": 5,
    }  # fmt: skip
    assert found["large-fold2-seed1"]["reduced"] == "large-fold2-seed1"
    assert "reduced" not in found["small-fold2-seed1"]


def test_a_run_needs_the_earlier_runs_that_share_its_values(preset):
    preset = preset()
    needed = preset.needed_by(preset.stage("timit", "3_train"), "large-fold2-seed1")
    assert [run for _, run in needed] == ["pretrain-large-seed1"]


def test_a_stage_without_matrix_needs_all_runs_and_may_name_another_paper(preset):
    preset = preset()
    assert len(preset.needed_by(preset.stage("timit", "4_cross_validate"), "4_cross_validate")) == 12
    [(stage, run)] = preset.needed_by(preset.stage("compare", "1_audit"), "1_audit")
    assert (stage.paper, run) == ("timit", "4_cross_validate")


def test_a_stage_reads_the_runs_of_its_own_paper_unless_it_names_another(preset):
    preset = preset()
    assert preset.stage("compare", "1_audit").source == "timit"
    assert preset.stage("timit", "3_train").source == "timit"


def test_threads_come_from_the_stage_and_otherwise_from_the_preset(preset):
    preset = preset()
    assert preset.stage("timit", "2_pretrain").threads == 1
    assert preset.stage("timit", "3_train").threads is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "parameters: {data",
            "paramters: {data",
            "3_train: unknown key 'paramters'; did you mean 'parameters'?",
        ),
        ("threads: 1", "thread: 1", "unknown key 'thread'; did you mean 'threads'?"),
        ("after: [2_pretrain]", "after: [2_pretrian]", "timit has no stage '2_pretrian'"),
        ("{model}-fold{fold}-seed{seed}", "{model}-seed{seed}", "gives 4 names to 12 runs"),
        ("    threads: all", "    shown: [small-fold9-seed0]", "shown run 'small-fold9-seed0' is not one of"),
        ('run: "pretrain-{model}-seed{seed}"', "", "a matrix needs 'run'"),
        (
            "    threads: all",
            "    where: [{runs: {model: tiny}, parameters: {}}]",
            "no run is one 'where' {'model': 'tiny'}",
        ),
        (
            "    threads: all",
            "    where: [{run: {fold: 1}, parameters: {}}]",
            "unknown key 'run'; did you mean 'runs'?",
        ),
    ],
)
def test_a_fault_in_a_preset_is_named(preset, old, new, message):
    assert old in TWO_STAGES
    with pytest.raises(PresetError, match=re.escape(message)):
        preset(TWO_STAGES.replace(old, new))


def test_an_unknown_preset_is_refused_with_those_that_exist(tmp_path):
    (tmp_path / "open.yaml").touch()
    with pytest.raises(PresetError, match=r"no preset 'opne': .* has open"):
        read_preset(tmp_path / "opne.yaml")


def test_a_pattern_matches_its_names_and_nothing_else():
    pattern = re.compile(pattern_of(["1-1-fold0", "1.1"]))
    assert [bool(pattern.fullmatch(text)) for text in ("1-1-fold0", "1.1", "1x1", "")] == [True, True, False, False]
    assert not re.fullmatch(pattern_of([]), "")


def test_weights_stay_of_all_runs_or_of_those_that_are_shown_or_started_from(tmp_path):
    text = """
papers:
  tiny:
    stages:
      2_pretrain: {matrix: {seed: [0]}, run: "encoder{seed}", writes: [model.safetensors]}
      3_train: {matrix: {fold: [0, 1]}, run: "fold{fold}", writes: [record.json], shown: [fold1]}
"""
    (tmp_path / "own.yaml").write_text(text)
    assert [stage.keeps_weights_of for stage in read_preset(tmp_path / "own.yaml").stages] == [None, None]
    (tmp_path / "own.yaml").write_text("weights: shown" + text)
    assert [stage.keeps_weights_of for stage in read_preset(tmp_path / "own.yaml").stages] == [None, ("fold1",)]
    (tmp_path / "own.yaml").write_text("weights: some" + text)
    with pytest.raises(PresetError, match="'weights' is 'some': expected all or shown"):
        read_preset(tmp_path / "own.yaml")


WORDS = {"one": 1, "two": 2, "three": 3}


@pytest.mark.parametrize("name", ["open", "miniature"])
def test_what_a_preset_says_of_its_epochs_is_what_it_trains(name):
    said = []
    for stage in read_preset(ROOT / f"presets/{name}.yaml").stages:
        for run in stage.runs if stage.notebook.endswith("/3_train.ipynb") else ():
            parameters = stage.parameters_of(run, {"data": "", "records": ""})
            [number] = re.findall(r"\b(\w+) epochs\b(?= instead|,|$)", parameters["reduced"])
            said.append((WORDS.get(number) or int(number), parameters["num_epochs"]))
    assert len(said) >= 10
    assert all(words == trained for words, trained in said)
