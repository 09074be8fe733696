import subprocess
import sys
import types

import nbformat
import pytest
from colab import ROOT, cell_of, colab_cell, detector, write_cell

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*/*.ipynb"))


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_notebook_has_the_cell_with_the_address_of_the_project(path):
    marked = [cell for cell in nbformat.read(path, 4).cells if "colab" in cell.metadata.get("tags", [])]
    assert [cell.source for cell in marked] == [cell_of(path)]


def test_the_address_is_renewed_in_place_and_only_once(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A")]), path)
    assert write_cell(path, colab_cell("https://old.example/a"))
    assert write_cell(path, colab_cell("https://new.example/a"))
    assert not write_cell(path, colab_cell("https://new.example/a"))
    cells = nbformat.read(path, 4).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code"]
    assert "git+https://new.example/a" in cells[1].source


def test_notebooks_that_find_faces_install_the_detector_without_its_outdated_dependencies():
    source = cell_of(ROOT / "notebooks/imdb/3_train.ipynb")
    assert source.startswith(cell_of(ROOT / "notebooks/lmtcnn/3_train.ipynb"))
    assert f'"--no-deps", "{detector()}"' in source
    assert f"{detector()} " in (ROOT / "detector.lock").read_text()


@pytest.mark.parametrize(("on_colab", "calls"), [(True, 1), (False, 0)])
def test_the_cell_installs_on_colab_and_nowhere_else(monkeypatch, on_colab, calls):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    if on_colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    exec(colab_cell("https://a.example/b"), {})  # noqa: S102
    assert len(commands) == calls
    assert all("agegender[book,voice] @ git+https://a.example/b" in command for command in commands)
