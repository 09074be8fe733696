"""Open the pages of the book in headless Chromium, as a reader without a network does."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Request, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find_chromium() -> str | None:
    """Return the path of an installed Chromium, or ``None``."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


def faults_of_page(browser: Browser, file: Path) -> list[str]:
    """Open one page from file:// and return its failed or outgoing requests, script errors, and a missing title."""
    faults: list[str] = []

    def on_request(request: Request) -> None:
        if request.url.startswith(("http:", "https:", "ws:", "wss:")):
            faults.append(f"asks for {request.url}")

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(f"console: {message.text}")

    page = browser.new_page()
    page.on("request", on_request)
    page.on("requestfailed", lambda request: faults.append(f"failed request {request.url}"))
    page.on("console", on_console)
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.goto(file.resolve().as_uri(), wait_until="load")
    title = page.locator("h1").first
    if not title.count() or not title.inner_text().strip():
        faults.append("has no visible title")
    page.close()
    return faults


def faults_in_browser(html: Path, chapters: list[str], chromium: str) -> Iterator[str]:
    """Yield a line for each fault of each chapter."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(FLAGS))
        for name in chapters:
            yield from (f"{name}: {fault}" for fault in faults_of_page(browser, html / f"{name}.html"))
        browser.close()
