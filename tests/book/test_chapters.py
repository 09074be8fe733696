"""Which pages the book has, and how they are marked."""

import doctest
import importlib
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml
from build_html import chapter_files
from chapters import pages_of_records, pages_of_runs, table_of_contents
from place_pages import marked, placed, write_all
from plan import read_preset

from tests.book.conftest import ROOT

TOOLS = sorted(path.stem for path in (ROOT / "book/tools").glob("*.py"))
PRESET = """
corpora: {adience: {seed: 0}}
papers:
  lmtcnn:
    stages:
      3_train: {matrix: {fold: [0, 1]}, run: "fold{fold}", writes: [record.json], shown: [fold1]}
      5_results: {after: [3_train], from_records: true}
"""


@pytest.fixture
def presets(tmp_path):
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "miniature.yaml").write_text(PRESET)
    (folder / "open.yaml").write_text(PRESET.replace("corpora: {adience: {seed: 0}}", ""))
    return folder


@pytest.fixture
def results(tmp_path):
    run = tmp_path / "results/open/lmtcnn/fold0"
    run.mkdir(parents=True)
    (run / "record.json").touch()
    (run / "predictions.parquet").touch()
    return tmp_path / "results"


def test_a_preset_fills_a_page_for_each_shown_run_and_each_summary(presets):
    pages = pages_of_runs(read_preset(presets / "miniature.yaml"))
    assert [page.notebook for page in pages] == [
        "runs/miniature/lmtcnn/fold1/notebook.ipynb",
        "runs/miniature/lmtcnn/5_results/notebook.ipynb",
    ]
    assert all("drawn people" in page.banner for page in pages)


def test_only_drawn_people_are_called_a_miniature(presets):
    assert not any("drawn" in page.banner for page in pages_of_runs(read_preset(presets / "open.yaml")))


def test_committed_records_call_for_pages_that_say_how_many_runs_they_hold(presets, results):
    [page] = pages_of_records(presets, results)
    assert (page.recorded, page.stage.preset, page.run) == (True, "open", "5_results")
    assert "1 of 2 runs of preset `open`" in page.banner
    [line] = [line for line in page.banner.splitlines() if line.startswith("- ")]
    assert line == (
        "- 1 planned runs of `notebooks/lmtcnn/3_train.ipynb`, which `make runs PRESET=open AGEGENDER_DATA=<folder>` "
        "runs: `fold1`"
    )


def test_a_page_says_what_is_left_out_and_nothing_where_all_is_recorded(presets, results):
    shutil.copytree(results / "open/lmtcnn/fold0", results / "open/lmtcnn/fold1")
    [page] = pages_of_records(presets, results)
    assert "dropdown" not in page.banner
    text = (presets / "open.yaml").read_text()
    (presets / "open.yaml").write_text(
        text.replace("shown: [fold1]}", 'shown: [fold1], left_out: {fold 2: "too slow"}}')
    )
    [page] = pages_of_records(presets, results)
    assert "- fold 2: too slow" in page.banner.splitlines()


def test_an_executed_notebook_that_is_kept_with_the_records_is_shown_as_it_is(presets, results):
    kept = results / "open/lmtcnn/3_train.ipynb"
    kept.touch()
    training, summary = pages_of_records(presets, results)
    assert (training.notebook, training.placed) == (str(kept), "book/executed/open-records/lmtcnn/3_train.ipynb")
    assert "A real run" in training.banner
    assert summary.notebook == "runs/open-records/lmtcnn/5_results/notebook.ipynb"


def test_a_page_that_reads_another_paper_is_computed_from_the_records_of_that_paper(presets, results):
    text = (presets / "open.yaml").read_text()
    more = "  compare:\n    stages: {heads: {after: [lmtcnn/3_train], reads: lmtcnn, from_records: true}}\n"
    (presets / "open.yaml").write_text(text + more)
    own, other = pages_of_records(presets, results)
    assert (own.stage.paper, other.stage.paper) == ("lmtcnn", "compare")
    assert "1 of 2 runs" in other.banner


def test_without_records_or_with_half_a_record_there_is_no_such_page(presets, results):
    assert pages_of_records(presets, results / "nowhere") == []
    (results / "open/lmtcnn/fold0/predictions.parquet").unlink()
    assert pages_of_records(presets, results) == []


def test_real_runs_stand_before_miniatures_in_the_contents(presets, results, monkeypatch):
    monkeypatch.chdir(ROOT)
    pages = [*pages_of_runs(read_preset(presets / "miniature.yaml")), *pages_of_records(presets, results)]
    content = yaml.safe_load(table_of_contents(pages, []))
    [lmtcnn] = [part for part in content["parts"] if part["caption"] == "lmtcnn"]
    assert [chapter["file"] for chapter in lmtcnn["chapters"]] == [
        "lmtcnn/intro",
        "executed/open-records/lmtcnn/5_results",
        "executed/miniature/lmtcnn/fold1",
        "executed/miniature/lmtcnn/5_results",
    ]


def test_each_data_card_has_a_page_below_the_chapter_on_data():
    content = yaml.safe_load(table_of_contents([], ["adience"]))
    [data] = [chapter for chapter in content["parts"][0]["chapters"] if chapter["file"] == "data"]
    assert data["sections"] == [{"file": "executed/cards/adience"}]


def test_every_page_of_prose_in_the_contents_exists(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    (tmp_path / "_toc.yml").write_text(table_of_contents([], []))
    files = chapter_files(tmp_path / "_toc.yml")
    assert len(files) > 4
    assert [name for name in files if not Path(f"book/{name}.md").is_file()] == []


def test_a_placed_notebook_is_marked_in_its_heading(write_notebook):
    first = nbformat.reads(placed(write_notebook("seed = 0"), "miniature", "Drawn people."), 4).cells[0]
    assert first.source == "# A notebook (miniature)\n\nDrawn people.\n\nIt tests."


def test_pages_and_cards_are_placed_what_did_not_change_is_left_alone_and_what_is_no_page_removed(
    presets, tmp_path, write_notebook, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    pages = pages_of_runs(read_preset(presets / "miniature.yaml"))
    for page in pages:
        write_notebook("seed = 0", path=tmp_path / page.notebook)
    cards = tmp_path / "cards"
    cards.mkdir()
    (cards / "adience.md").write_text("# Adience")
    write_all(pages, {}, cards)
    first, second = (tmp_path / page.placed for page in pages)
    times = {path: path.stat().st_mtime_ns for path in (first, second)}
    (first.parent / "gone.ipynb").touch()
    write_notebook("seed = 1", path=tmp_path / pages[1].notebook)
    write_all(pages, {}, cards)
    assert first.stat().st_mtime_ns == times[first]
    assert "seed = 1" in second.read_text()
    assert not (first.parent / "gone.ipynb").exists()
    assert (tmp_path / "book/executed/cards/adience.md").read_text() == "# Adience"
    assert "cards/adience" in (tmp_path / "book/executed/_toc.yml").read_text()


def test_a_notebook_without_a_heading_is_refused():
    with pytest.raises(ValueError, match="must open with a heading"):
        marked("No heading.", "miniature", "Drawn people.")


@pytest.mark.parametrize("name", TOOLS)
def test_the_examples_in_the_docstrings_of_the_tools_hold(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_tools_with_examples():
    assert len(TOOLS) >= 8
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in TOOLS) >= 3
