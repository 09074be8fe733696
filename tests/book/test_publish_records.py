"""Publishing the records of finished runs."""

import json

import nbformat
import publish_records
import pytest
from plan import read_preset
from progress import queue
from publish_records import check_size, megabytes, publish, publish_notebooks, unfinished

PRESET = """
papers:
  lmtcnn:
    stages:
      3_train: {matrix: {fold: [0, 1]}, run: "fold{fold}", writes: [record.json]}
      5_results: {after: [3_train]}
"""


@pytest.fixture
def preset(tmp_path):
    (tmp_path / "open.yaml").write_text(PRESET)
    return read_preset(tmp_path / "open.yaml")


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "runs/open/lmtcnn/fold0").mkdir(parents=True)
    (tmp_path / "runs/open/lmtcnn/fold0/record.json").touch()
    return tmp_path / "runs"


def test_finished_runs_are_published_and_the_others_named(preset, runs, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(publish_records, "anonymise_runs", lambda folder, to: asked.append((folder, to)) or [folder])
    publish(preset, runs, tmp_path / "results")
    assert asked == [(runs / "open/lmtcnn", tmp_path / "results")]
    assert "not finished, not published: fold1" in capsys.readouterr().out
    assert unfinished(preset, "lmtcnn", runs) == ["fold1"]


def test_a_folder_of_exactly_the_limit_passes_and_one_byte_more_does_not(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a").write_bytes(b"x" * 1_000_000)
    assert megabytes(tmp_path) == 1
    check_size(tmp_path, limit_mb=1)
    (tmp_path / "b").write_bytes(b"x")
    with pytest.raises(ValueError, match="the limit is 1 MB"):
        check_size(tmp_path, limit_mb=1)


def test_without_a_finished_run_nothing_is_published(preset, tmp_path):
    with pytest.raises(ValueError, match="no finished run in"):
        publish(preset, tmp_path / "nowhere", tmp_path / "results")


def test_records_of_drawn_people_are_not_published(tmp_path, runs):
    (tmp_path / "open.yaml").write_text("corpora: {adience: {seed: 0}}" + PRESET)
    with pytest.raises(ValueError, match="drawn people"):
        publish(read_preset(tmp_path / "open.yaml"), runs, tmp_path / "results")


def test_a_run_is_published_once_it_has_ended_and_again_when_it_was_repeated(preset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    planned = queue(preset)
    asked = []

    def publish_one(folder, results):
        asked.append(folder.name)
        if folder.name == "fold1":
            raise ValueError(f"{folder}: damaged")
        published = results / "open/lmtcnn" / folder.name / "record.json"
        published.parent.mkdir(parents=True, exist_ok=True)
        published.write_text((folder / "record.json").read_text())

    monkeypatch.setattr(publish_records, "anonymise_run", publish_one)
    record = tmp_path / "runs/open/lmtcnn/fold0/record.json"
    record.parent.mkdir(parents=True)
    for seconds in (1, 1, 2):
        record.write_text(json.dumps({"parameters": {"fold": 0}, "seconds": seconds}))
        assert publish_records.publish_new(planned, tmp_path / "results") == []
    assert asked == ["fold0", "fold0"]
    damaged = record.parents[1] / "fold1/record.json"
    damaged.parent.mkdir()
    damaged.write_text(json.dumps({"parameters": {"fold": 1}}))
    [problem] = publish_records.publish_new(planned, tmp_path / "results")
    assert problem == "not published: runs/open/lmtcnn/fold1: damaged"


EXPLORED = """
papers:
  timit:
    stages:
      1_explore:
      3_train: {matrix: {fold: [0, 1]}, run: "fold{fold}", writes: [record.json], shown: [fold1]}
      5_results: {after: [3_train]}
"""


def executed(folder, *outputs):
    cell = nbformat.v4.new_code_cell("1", outputs=list(outputs), metadata={"papermill": {"duration": 1}})
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": {"input_path": "/home/someone/a.ipynb"}})
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "notebook.ipynb")


def text(name, words):
    return nbformat.v4.new_output("stream", name=name, text=words)


def test_the_exploration_and_the_shown_training_are_kept_without_what_they_say_of_the_machine(tmp_path):
    (tmp_path / "open.yaml").write_text(EXPLORED)
    preset, runs = read_preset(tmp_path / "open.yaml"), tmp_path / "runs"
    for run in ("1_explore", "fold0", "fold1", "5_results"):
        executed(runs / "open/timit" / run, text("stdout", run), text("stderr", "a warning of /usr/lib/python3/x.py"))
    kept = publish_notebooks(preset, runs, tmp_path / "results")
    assert [path.relative_to(tmp_path / "results/open").as_posix() for path in kept] == [
        "timit/1_explore.ipynb", "timit/3_train.ipynb",
    ]  # fmt: skip
    for path, run in zip(kept, ("1_explore", "fold1"), strict=True):
        notebook = nbformat.read(path, 4)
        assert [output.text for output in notebook.cells[0].outputs] == [run]
        assert "papermill" not in path.read_text()


@pytest.mark.parametrize("words", ["see /home/someone/packs/face 1.jpg", "wrote /wo" + "rk/runs/a"])
def test_a_path_in_an_output_is_refused(tmp_path, words):
    (tmp_path / "open.yaml").write_text(EXPLORED)
    executed(tmp_path / "runs/open/timit/1_explore", text("stdout", words))
    with pytest.raises(ValueError, match=r"1_explore/notebook.ipynb: an output names the path '/(home/someone|work)/"):
        publish_notebooks(read_preset(tmp_path / "open.yaml"), tmp_path / "runs", tmp_path / "results")


def test_a_table_in_html_and_a_fraction_are_no_paths(tmp_path):
    (tmp_path / "open.yaml").write_text(EXPLORED)
    data = {"text/html": "<td>3/4 of 1/2</td></tr>", "image/png": "iVBOR/w0K/Ggo"}
    executed(tmp_path / "runs/open/timit/1_explore", nbformat.v4.new_output("display_data", data))
    assert len(publish_notebooks(read_preset(tmp_path / "open.yaml"), tmp_path / "runs", tmp_path / "results")) == 1
