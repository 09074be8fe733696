"""Copy an executed notebook into the book, saying under its title what kind of numbers it shows."""

import sys
from pathlib import Path

import nbformat

from agegender.files import write_text


def marked(source: str, mark: str, banner: str) -> str:
    """Return a first cell with ``mark`` in its heading and ``banner`` below; raise ``ValueError`` without a heading.

    >>> marked("# Results\\nWhat came out.", "miniature", "Drawn people.")
    '# Results (miniature)\\n\\nDrawn people.\\n\\nWhat came out.'
    """
    heading, _, rest = source.lstrip().partition("\n")
    if not heading.startswith("# "):
        raise ValueError(f"a notebook must open with a heading '# ...', got {heading!r}")
    return f"{heading.rstrip()} ({mark})\n\n{banner}\n\n{rest.lstrip()}".rstrip()


def place(executed: Path, target: Path, mark: str, banner: str) -> None:
    """Write the marked copy of ``executed`` to ``target``."""
    notebook = nbformat.read(executed, 4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    first.source = marked(first.source, mark, banner)
    write_text(target, nbformat.writes(notebook))


if __name__ == "__main__":
    place(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
