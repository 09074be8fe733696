"""Write the first code cell of every notebook, which installs the library when the notebook runs on Colab.

    python book/tools/colab.py          # after the address in pyproject.toml has changed

The address of the repository stands in pyproject.toml and is copied from there; a test compares.
"""

import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
TAGS = ["colab", "remove-cell"]
FINDS_FACES = {"imdb"}
"""The folders of notebooks that find faces in photographs; there the cell installs the detector too."""


def repository(root: Path = ROOT) -> str:
    """Return the address of the repository, as pyproject.toml has it."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def detector(root: Path = ROOT) -> str:
    """Return name and version of the face detector, as pyproject.toml has them."""
    return tomllib.loads((root / "pyproject.toml").read_text())["dependency-groups"]["detection"][0]


def colab_cell(address: str, detector: str | None = None) -> str:
    """Return the source of the cell; ``detector`` is installed without its dependencies, which the library brings."""
    lines = [
        "import subprocess  # this cell acts on Colab only; book/tools/colab.py writes it",
        "import sys",
        "",
        'if "google.colab" in sys.modules:',
        f'    wanted = "agegender[book,voice] @ git+{address}"',
        '    subprocess.run([sys.executable, "-m", "pip", "install", "-q", wanted], check=True)',
    ]
    if detector:
        command = f'[sys.executable, "-m", "pip", "install", "-q", "--no-deps", "{detector}"]'
        lines.append(f"    subprocess.run({command}, check=True)")
    return "\n".join(lines)


def cell_of(notebook: Path) -> str:
    """Return the source of the cell of one notebook of this project."""
    return colab_cell(repository(), detector() if notebook.parent.name in FINDS_FACES else None)


def write_cell(notebook: Path, source: str) -> bool:
    """Put the cell under the heading of a notebook, or renew it there; return whether the file changed."""
    content = nbformat.read(notebook, as_version=4)
    marked = [cell for cell in content.cells if "colab" in cell.metadata.get("tags", [])]
    if marked:
        if marked[0].source == source:
            return False
        marked[0].source = source
    else:
        cell = nbformat.v4.new_code_cell(source, metadata={"tags": TAGS})
        cell.id = "colab"
        content.cells.insert(1, cell)
    nbformat.write(content, notebook)
    return True


def main() -> None:
    """Renew the cell of every notebook."""
    for notebook in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in notebook.parts and write_cell(notebook, cell_of(notebook)):
            print(f"{notebook.relative_to(ROOT)}: renewed")


if __name__ == "__main__":
    main()
