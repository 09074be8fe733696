"""The check of the built book finds what it is there to find."""

import check_html
import pytest
from browser import faults_in_browser, find_chromium
from build_html import chapter_files
from check_html import NOT_RUN, check, css_addresses, is_elsewhere

PAGE = '<html><head><link rel="stylesheet" href="_static/a.css"></head><body><h1 id="top">T</h1>{}</body></html>'


@pytest.fixture
def book(tmp_path):
    """A book of two pages and a style sheet without any fault."""

    def write(body="", style=""):
        (tmp_path / "_static").mkdir(exist_ok=True)
        (tmp_path / "_static/a.css").write_text(style)
        (tmp_path / "index.html").write_text(
            PAGE.format('<a href="two.html#top">two</a> <a href="https://x.org">x</a>')
        )
        (tmp_path / "two.html").write_text(PAGE.format(body))
        return check(tmp_path, ["index", "two"])

    return write


def test_a_good_book_has_no_fault_and_may_link_to_other_hosts(book):
    assert book() == []


def test_a_chapter_without_a_page_is_a_fault(book, tmp_path):
    book()
    assert check(tmp_path, ["index", "two", "three"]) == ["three: in the table of contents, but there is no page"]


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script src="//cdn.example/x.js"></script>',
        '<img src="https://cdn.example/x.png">',
        '<img src="data:image/png;base64,AA" srcset="_static/a.css 1x, https://cdn.example/x.png 2x">',
        '<link rel="preconnect" href="https://cdn.example">',
        '<iframe src="https://cdn.example/x"></iframe>',
        '<video><source src="https://cdn.example/x.mp4"></video>',
        '<object data="https://cdn.example/x.svg"></object>',
        '<p style="background: url(https://cdn.example/x.png)">x</p>',
        '<style>@import "https://cdn.example/x.css";</style>',
        '<style>@font-face {src: url("//cdn.example/x.woff2")}</style>',
    ],
)
def test_a_page_that_loads_from_another_host_is_a_fault(book, body):
    [fault] = book(body)
    assert fault.startswith("two.html: loads ")
    assert "cdn.example" in fault


def test_a_style_sheet_that_loads_from_another_host_is_a_fault(book):
    assert book(style="@import url('https://cdn.example/x.css');") == ["_static/a.css: loads https://cdn.example/x.css"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="none.html">n</a>', "two.html: no file for none.html"),
        ('<img src="none.png">', "two.html: no file for none.png"),
        ('<a href="index.html#none">n</a>', "two.html: no anchor for index.html#none"),
        ('<a href="#none">n</a>', "two.html: no anchor for #none"),
    ],
)
def test_a_link_that_leads_nowhere_is_a_fault(book, body, fault):
    assert book(body) == [fault]


def test_addresses_of_style_sheets_are_found_in_every_spelling():
    text = """@import "a"; @import 'b'; x {y: url(c) url( "d" ) url('e')}"""
    assert css_addresses(text) == ["a", "b", "c", "d", "e"]


def test_an_address_without_a_host_is_local():
    assert not any(map(is_elsewhere, ("a.html", "../b.css", "#top", "data:text/plain,x", "mailto:a@b.org")))


@pytest.mark.parametrize(("chromium", "status"), [(None, NOT_RUN), ("/usr/bin/chromium", 0)])
def test_a_missing_browser_is_reported_by_a_status_of_its_own(monkeypatch, capsys, chromium, status):
    monkeypatch.setattr(check_html, "chapter_files", lambda _: ["index"])
    monkeypatch.setattr(check_html, "check", lambda *_: [])
    monkeypatch.setattr(check_html, "faults_of_records", lambda _: [])
    monkeypatch.setattr(check_html, "faults_in_browser", lambda *_: [])
    monkeypatch.setattr(check_html, "find_chromium", lambda: chromium)
    monkeypatch.setattr("sys.argv", ["check_html.py", "--browser"])
    assert check_html.main() == status
    assert ("NOT RUN" in capsys.readouterr().err) == (chromium is None)


def test_committed_records_without_a_page_are_a_fault(monkeypatch):
    class Recorded:
        placed = "book/executed/open-records/lmtcnn/5_results.ipynb"

    monkeypatch.setattr(check_html, "pages_of_records", lambda: [Recorded()])
    assert list(check_html.faults_of_records(["executed/open-records/lmtcnn/5_results"])) == []
    [fault] = check_html.faults_of_records(["index"])
    assert "no page of them" in fault


def test_the_chapters_of_a_table_of_contents_are_all_found(tmp_path):
    toc = tmp_path / "_toc.yml"
    toc.write_text(
        "{root: index, parts: [{chapters: [{file: a, sections: [{file: e}]}, {file: b/c}]}, {chapters: [{file: d}]}]}"
    )
    assert chapter_files(toc) == ["index", "a", "e", "b/c", "d"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("", None),
        ("<script>fetch('https://cdn.example/x')</script>", "asks for https://cdn.example/x"),
        ("<script>throw new Error('broken')</script>", "script error: broken"),
        ('<img src="none.png">', "failed request"),
        ("<script>document.querySelector('h1').remove()</script>", "has no visible title"),
    ],
)
def test_the_browser_sees_what_the_files_do_not_tell(book, tmp_path, body, found):
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    book(body)
    faults = list(faults_in_browser(tmp_path, ["two"], chromium))
    assert (faults == []) if found is None else any(found in fault for fault in faults)
