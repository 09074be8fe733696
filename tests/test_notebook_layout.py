"""Notebooks and presets agree with each other and with the style of the house."""

import ast
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "tools"))

from plan import preset_names, read_preset  # noqa: E402

NOTEBOOKS = sorted(path.relative_to(ROOT) for path in (ROOT / "notebooks").glob("*/*.ipynb"))
PRESETS = [read_preset(ROOT / "presets" / f"{name}.yaml") for name in preset_names(ROOT / "presets")]
PLACES = {"data": "data", "records": "records"}


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parameter_names(notebook):
    """Names that the cells tagged ``parameters`` assign constants (or an empty dictionary) to."""
    [cell] = [cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])]
    tree = ast.parse(cell.source).body
    assert all(isinstance(node, ast.Assign) for node in tree)
    assert all(isinstance(node.value, ast.Constant) or ast.unparse(node.value) == "{}" for node in tree)
    return [node.targets[0].id for node in tree]


def faults_of(notebook):
    """What breaks the style of the house in one notebook."""
    faults = []
    tagged = [cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        faults.append(f"{len(tagged)} cells are tagged 'parameters'")
    elif not 1 <= len(parameter_names(notebook)) <= 11:
        faults.append(f"{len(parameter_names(notebook))} parameters")
    if not notebook.cells or not notebook.cells[0].source.startswith("# "):
        faults.append("does not open with a heading")
    if {"name", "language"} - notebook.metadata.get("kernelspec", {}).keys():
        faults.append("no kernel named: papermill refuses it")
    for number, cell in enumerate(code_cells(notebook), start=1):
        lines = cell.source.splitlines()
        faults += [f"cell {number} has {len(lines)} lines"] * (len(lines) > 25)
        faults += [f"cell {number} holds outputs"] * bool(cell.outputs or cell.execution_count)
        plain = "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
        faults += [f"cell {number} defines a class"] * any(
            isinstance(n, ast.ClassDef) for n in ast.walk(ast.parse(plain))
        )
    return faults


def blocks(notebook, length=5):
    """All runs of ``length`` lines of code in the cells of a notebook, without blank lines and imports."""
    found = set()
    for cell in code_cells(notebook):
        lines = [line.strip() for line in cell.source.splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith(("import ", "from ", "#"))]
        found |= {tuple(lines[start : start + length]) for start in range(len(lines) - length + 1)}
    return found


def copied_blocks(notebooks):
    """Pairs of notebooks that share a block."""
    seen = {name: blocks(notebook) for name, notebook in notebooks.items()}
    return [(a, b) for a in seen for b in seen if a < b and seen[a] & seen[b]]


def test_there_are_notebooks_and_presets():
    assert len(NOTEBOOKS) >= 4
    assert {"miniature", "open", "paper", "smallest"} <= {preset.name for preset in PRESETS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_a_notebook_keeps_the_style_of_the_house(path):
    assert faults_of(nbformat.read(ROOT / path, 4)) == []


def test_no_two_notebooks_share_a_block_of_code():
    assert copied_blocks({str(path): nbformat.read(ROOT / path, 4) for path in NOTEBOOKS}) == []


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_injects_only_what_its_notebooks_declare(preset):
    for stage in preset.stages:
        declared = parameter_names(nbformat.read(ROOT / stage.notebook, 4))
        for run in stage.runs:
            assert set(stage.parameters_of(run, PLACES)) <= set(declared), (stage.notebook, run)


def test_the_presets_differ_in_their_values_and_not_in_their_stages():
    named = [preset for preset in PRESETS if preset.name in {"miniature", "open", "paper", "smallest"}]
    stages = [{(stage.paper, stage.name) for stage in preset.stages} for preset in named]
    for found in stages:
        found.discard(("levihassner", "2_pretrain"))  # CelebA is in none of the open packs
    assert all(first == second for first, second in pairwise(stages))


def test_the_smallest_preset_executes_every_notebook():
    [smallest] = [preset for preset in PRESETS if preset.name == "smallest"]
    assert sorted(stage.notebook for stage in smallest.stages) == [str(path) for path in NOTEBOOKS]


def small_notebook(*cells, kernel=True):
    heading = nbformat.v4.new_markdown_cell("# Heading")
    first = nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]})
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}} if kernel else {}
    code = [nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return nbformat.v4.new_notebook(cells=[heading, first, *code], metadata=metadata)


def test_a_good_notebook_has_no_fault():
    assert faults_of(small_notebook("x = 1", "%matplotlib inline\nx")) == []


@pytest.mark.parametrize(
    ("notebook", "fault"),
    [
        (small_notebook("\n".join(["x = 1"] * 26)), "cell 2 has 26 lines"),
        (small_notebook("class A:\n    pass"), "cell 2 defines a class"),
        (small_notebook(nbformat.v4.new_code_cell("x", execution_count=3)), "cell 2 holds outputs"),
        (small_notebook(kernel=False), "no kernel named: papermill refuses it"),
        (
            nbformat.v4.new_notebook(cells=small_notebook().cells[1:], metadata=small_notebook().metadata),
            "does not open",
        ),
        (small_notebook(nbformat.v4.new_code_cell("a = 1", metadata={"tags": ["parameters"]})), "2 cells are tagged"),
    ],
)
def test_a_fault_of_a_notebook_is_found(notebook, fault):
    assert any(line.startswith(fault) for line in faults_of(notebook))


def test_a_copied_block_is_found_whatever_stands_between_its_lines():
    five, four = "\n".join("abcde"), "\n".join("abcd")
    assert copied_blocks({"1": small_notebook(five), "2": small_notebook(f"x\n{five.replace('c', 'c  ')}")}) == [
        ("1", "2")
    ]
    assert copied_blocks({"1": small_notebook(five), "2": small_notebook(four)}) == []
