"""Check the built book as a reader meets it: every chapter is there, no page loads anything from another host.

    python book/tools/check_html.py              pages, addresses and links, read from the files
    python book/tools/check_html.py --browser    the same, then open every chapter in headless Chromium from file://

Exit status: 0 good, 1 a fault was found, 3 (with ``--browser``) there is no Chromium, so that part was not run.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from browser import faults_in_browser, find_chromium
from build_html import BUILD, chapter_files
from chapters import TOC, pages_of_records

NOT_RUN = 3
LOADING = {
    "script": ("src",), "img": ("src", "srcset"), "source": ("src", "srcset"), "iframe": ("src",), "embed": ("src",),
    "audio": ("src",), "video": ("src", "poster"), "track": ("src",), "object": ("data",), "input": ("src",),
    "image": ("href", "xlink:href"), "use": ("href", "xlink:href"),
}  # fmt: skip
"""Attributes whose address a browser fetches by itself. An ``a`` is only followed when the reader clicks it."""
PASSIVE_LINKS = {"search", "index", "next", "prev", "canonical", "author", "license", "genindex"}
IN_CSS = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


class Addresses(HTMLParser):
    """Collects what a page loads, where it links to, and which anchors it has."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses and the anchor of one element."""
        values = {name: value for name, value in attrs if value is not None}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        self._style = tag == "style"
        self.loaded += css_addresses(values.get("style", ""))
        for name in LOADING.get(tag, ()):
            for part in values.get(name, "").split(",") if name == "srcset" else [values.get(name, "")]:
                self.loaded += part.split()[:1] if name == "srcset" else [part] * bool(part)
        if tag == "link" and not set(values.get("rel", "").split()) <= PASSIVE_LINKS:
            self.loaded.append(values.get("href", ""))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])

    def handle_data(self, data: str) -> None:
        """Note the addresses in a ``style`` element."""
        if self._style:
            self.loaded += css_addresses(data)

    def handle_endtag(self, tag: str) -> None:
        """Leave a ``style`` element."""
        self._style = self._style and tag != "style"


def css_addresses(text: str) -> list[str]:
    """Return what a style sheet loads.

    >>> css_addresses("@import 'a.css'; p {background: url(b.png)}")
    ['a.css', 'b.png']
    """
    return [first or second for first, second in IN_CSS.findall(text)]


def is_elsewhere(address: str) -> bool:
    """Return whether an address names a host.

    >>> [is_elsewhere(a) for a in ("//cdn.example/x.js", "https://example.org", "a/b.css#c", "data:image/png;base64,x")]
    [True, True, False, False]
    """
    return bool(urlsplit(address.strip()).netloc)


def read_page(path: Path) -> Addresses:
    """Parse one page."""
    page = Addresses()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def faults_of_chapters(html: Path, chapters: list[str]) -> Iterator[str]:
    """Yield a line for each chapter without a page."""
    for name in chapters:
        if not (html / f"{name}.html").is_file():
            yield f"{name}: in the table of contents, but there is no page"


def faults_of_addresses(html: Path, pages: dict[Path, Addresses]) -> Iterator[str]:
    """Yield a line for each address on another host that a page or a style sheet loads."""
    for path, page in pages.items():
        yield from (f"{path.relative_to(html)}: loads {address}" for address in page.loaded if is_elsewhere(address))
    for sheet in sorted(html.rglob("*.css")):
        found = css_addresses(sheet.read_text(encoding="utf-8", errors="replace"))
        yield from (f"{sheet.relative_to(html)}: loads {address}" for address in found if is_elsewhere(address))


def faults_of_links(html: Path, pages: dict[Path, Addresses]) -> Iterator[str]:
    """Yield a line for each file that is loaded or linked to and does not exist, and each anchor that is not there."""
    for path, page in pages.items():
        for address in page.loaded + page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{path.relative_to(html)}: no file for {address}"
            elif (
                address in page.links
                and target in pages
                and unquote(parts.fragment) not in {"", *pages[target].anchors}
            ):
                yield f"{path.relative_to(html)}: no anchor for {address}"


def faults_of_records(chapters: list[str]) -> Iterator[str]:
    """Yield a line for each page that committed records call for and the book lacks."""
    for page in pages_of_records():
        if page.placed.removeprefix("book/").removesuffix(".ipynb") not in chapters:
            yield f"{page.placed}: there are committed records, but the book has no page of them"


def check(html: Path, chapters: list[str]) -> list[str]:
    """Return all faults that can be found without a browser."""
    html = html.resolve()
    pages = {path: read_page(path) for path in sorted(html.rglob("*.html")) if "_static" not in path.parts}
    found = [*faults_of_chapters(html, chapters), *faults_of_addresses(html, pages), *faults_of_links(html, pages)]
    return list(dict.fromkeys(found))


def main() -> int:
    """Parse the command line, check, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", action="store_true", help="also open the pages in headless Chromium")
    arguments = parser.parse_args()
    html, chapters = BUILD / "html", chapter_files(Path(TOC))
    faults = check(html, chapters) + list(faults_of_records(chapters))
    print(f"{len(chapters)} chapters read: {len(faults)} faults")
    chromium = find_chromium() if arguments.browser else None
    if chromium and not faults:
        faults = list(faults_in_browser(html, chapters, chromium))
        print(f"{len(chapters)} chapters opened in {chromium}: {len(faults)} faults")
    print(*faults, sep="\n", file=sys.stderr, end="\n" if faults else "")
    if arguments.browser and not chromium:
        print("NOT RUN: no Chromium was found, so no page was opened in a browser", file=sys.stderr)
    return 1 if faults else NOT_RUN if arguments.browser and not chromium else 0


if __name__ == "__main__":
    sys.exit(main())
