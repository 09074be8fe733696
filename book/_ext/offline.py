"""Take out of the pages what only works with a network or from a web server."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FONT_PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>\n?')


def drop_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Remove the scripts that run cells on a remote server; this book shows what has been run already."""
    for kind in ("script_files", "css_files"):
        kept = [file for file in context[kind] if "thebe" not in f"{file.filename} {file.attributes}".lower()]
        context[kind] = kept


def drop_font_preloads(app: Sphinx, exception: Exception | None) -> None:
    """Remove the early loading of icon fonts, which a browser refuses for a page opened from file://."""
    if exception is None:
        for path in Path(app.outdir).rglob("*.html"):
            text = path.read_text(encoding="utf-8")
            if FONT_PRELOAD.search(text):
                path.write_text(FONT_PRELOAD.sub("", text), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect both to the build; the first after the theme has filled the context."""
    app.connect("html-page-context", drop_thebe, priority=900)
    app.connect("build-finished", drop_font_preloads)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
