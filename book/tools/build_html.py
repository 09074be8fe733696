"""Run Jupyter Book over ``book/`` with warnings as errors, and check that every chapter came out."""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from chapters import TOC

BUILD = Path("book/_build")
LOG = BUILD / "build.log"


def chapter_files(toc: Path) -> list[str]:
    """Return all pages of a table of contents, without suffix, relative to ``book/``."""
    content = yaml.safe_load(toc.read_text(encoding="utf-8"))
    chapters = [chapter for part in content["parts"] for chapter in part["chapters"]]
    pages = [page["file"] for chapter in chapters for page in (chapter, *chapter.get("sections", ()))]
    return [content["root"], *pages]


def forget_other_contents(toc: Path) -> None:
    """Remove the previous build if it had another table of contents: its pages would stay behind."""
    built = BUILD / "_toc.yml"
    if not built.is_file() or built.read_text() != toc.read_text():
        shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(toc, built)


def build(toc: Path) -> int:
    """Build the book; on failure print the warnings and the end of the log. Return the exit status."""
    forget_other_contents(toc)
    command = [str(Path(sys.executable).parent / "jupyter-book"), "build", "book", "--toc", str(toc.resolve())]
    with LOG.open("w") as log:
        status = subprocess.run([*command, "-W", "--keep-going"], stdout=log, stderr=subprocess.STDOUT).returncode
    lines = LOG.read_text(errors="replace").splitlines()
    problems = [line for line in lines if "WARNING" in line or "ERROR" in line]
    missing = [name for name in chapter_files(toc) if not (BUILD / "html" / f"{name}.html").is_file()]
    if status or problems or missing:
        print(*problems, *(lines[-15:] if not problems else []), sep="\n", file=sys.stderr)
        print(f"the book was not built: see {LOG}", *(f"no page {name}" for name in missing), sep="\n", file=sys.stderr)
        return 1
    print(f"book: {len(chapter_files(toc))} pages in {BUILD / 'html'}")
    return 0


if __name__ == "__main__":
    sys.exit(build(Path(TOC)))
