"""The machinery of the book is a folder of scripts, not a package: tests import it from where it lies."""

import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "tools"))


@pytest.fixture
def write_notebook(tmp_path):
    """Write a notebook whose first cell is tagged ``parameters``; return its path."""

    def write(parameters, *cells, path=tmp_path / "notebook.ipynb"):
        first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        code = [nbformat.v4.new_code_cell(cell) for cell in cells]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        path.parent.mkdir(parents=True, exist_ok=True)
        heading = nbformat.v4.new_markdown_cell("# A notebook\n\nIt tests.")
        nbformat.write(nbformat.v4.new_notebook(cells=[heading, first, *code], metadata=kernel), path)
        return path

    return write
