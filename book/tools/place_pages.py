"""Copy the executed notebooks and the data cards into the book, and write its table of contents.

    python book/tools/place_pages.py miniature .snakemake/make-book.json

Under the title of a page stands what kind of numbers it shows, or why it has none. What is there already and would not
change is left alone, so that the book is built again only where it has to be.
"""

import json
import sys
from pathlib import Path

import nbformat
from chapters import CARDS, EXECUTED, TOC, Page, pages_of_records, pages_of_runs, table_of_contents
from plan import PRESETS, read_preset

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


def placed(executed: Path, mark: str, banner: str, missing: str = "") -> str:
    """Return the marked copy of ``executed`` as text.

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
    return nbformat.writes(notebook)


def write_all(pages: list[Page], missing: dict[str, str], cards: Path = Path("data_cards")) -> None:
    """Write the copies of all pages and cards, and last the table of contents; remove what else is there."""
    files = {
        Path(page.placed): placed(
            Path(page.shown_notebook(missing)), page.mark, page.banner, missing.get(page.placed, "")
        )
        for page in pages
    }
    files |= {Path(CARDS) / path.name: path.read_text(encoding="utf-8") for path in sorted(cards.glob("*"))}
    for old in Path(EXECUTED).rglob("*"):
        if old.is_file() and old not in files and old != Path(TOC):
            old.unlink()
    for path, text in files.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    write_text(Path(TOC), table_of_contents(pages, [path.stem for path in files if path.suffix == ".md"]))


def main(preset: str, call: str) -> None:
    """Write the pages of a preset, and of all committed records."""
    facts = json.loads(Path(call).read_text(encoding="utf-8"))
    pages = [*pages_of_records(), *pages_of_runs(read_preset(PRESETS / f"{preset}.yaml"), facts["papers"])]
    write_all(list({page.placed: page for page in pages}.values()), facts["missing"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
