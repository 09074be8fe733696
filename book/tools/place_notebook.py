"""Copy an executed notebook into the book; under its title stands what kind of numbers it shows, or why it has none."""

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


def place(executed: Path, target: Path, mark: str, banner: str, missing: str = "") -> None:
    """Write the marked copy of ``executed`` to ``target``.

    With ``missing``, the reason why there is nothing to show, ``executed`` is the notebook as it was not run, and of it
    only the heading is shown.
    """
    notebook = nbformat.read(executed, 4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    if missing:
        note = f":::{{admonition}} This page could not be computed\n:class: error\n{missing}\n:::"
        first.source = marked(first.source.lstrip().partition("\n")[0], mark, note)
        notebook.cells = [first]
    else:
        first.source = marked(first.source, mark, banner)
    write_text(target, nbformat.writes(notebook))


if __name__ == "__main__":
    place(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
