"""Which executed notebooks become pages of the book, and its table of contents."""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from plan import PRESETS, RECORDS, RESULTS, Preset, Stage, kept_notebook, preset_names, read_preset, recorded_runs

EXECUTED = "book/executed"
TOC = f"{EXECUTED}/_toc.yml"
CARDS = f"{EXECUTED}/cards"
"""Copies of the data cards, which lie outside of ``book/``."""

MINIATURE = """\
:::{{admonition}} Miniature: drawn people, no measurement
:class: warning
This page was computed in minutes from drawn people (preset `{preset}`). It shows that every step works and what each
step does. Its numbers say nothing about real voices or faces and are not comparable with published ones.
:::"""

OWN_RUN = """\
:::{{admonition}} Run on this machine
:class: note
This page was computed here with preset `{preset}`, from the corpora that the reader of the book provided.
:::"""

FROM_RECORDS = """\
:::{{admonition}} Real runs
:class: note
This page was computed from the committed records of {recorded} of {planned} runs of preset `{preset}`: one prediction
for each test example. `make records` writes such records; nothing else enters the numbers below.
:::

{open}"""

NOT_RUN = """\
:::{{dropdown}} What has not been run
{lines}
:::"""


KEPT = """\
:::{{admonition}} A real run
:class: note
This notebook was executed with preset `{preset}` on the corpora that it names, and is kept with the records. Its
tables and curves are of real examples; whoever is shown or heard is drawn or synthetic.
:::"""


@dataclass(frozen=True)
class Page:
    """One executed notebook in the book."""

    stage: Stage
    run: str
    mark: str
    """Added to the title of the page."""
    banner: str
    """Stands below the title: what kind of numbers these are."""
    recorded: bool = False
    kept: str = ""
    """The executed notebook, where it is kept with the records and nothing is computed."""

    @property
    def _folder(self) -> str:
        return f"{self.stage.preset}{RECORDS if self.recorded else ''}/{self.stage.paper}"

    @property
    def notebook(self) -> str:
        """The executed notebook that the page shows."""
        return self.kept or f"runs/{self._folder}/{self.run}/notebook.ipynb"

    @property
    def placed(self) -> str:
        """The copy of it below ``book/``."""
        return f"{EXECUTED}/{self._folder}/{self.run}.ipynb"

    def shown_notebook(self, missing: Container[str]) -> str:
        """What the page shows; the notebook as it was not run, if the page is one of the ``missing``."""
        return self.stage.notebook if self.placed in missing else self.notebook


def pages_of_runs(preset: Preset, papers: Container[str] | None = None) -> list[Page]:
    """Return the pages that a preset's runs fill: every stage without matrix, and of others the runs to be shown.

    Of ``papers`` only, if they are given.
    """
    banner = (MINIATURE if preset.corpora else OWN_RUN).format(preset=preset.name)
    return [
        Page(stage, run, f"{preset.name}: {run}" if stage.matrix else preset.name, banner)
        for stage in preset.stages
        if papers is None or stage.paper in papers
        for run in (stage.shown if stage.matrix else (stage.name,))
    ]


def pages_of_records(folder: Path = PRESETS, results: Path = RESULTS) -> list[Page]:
    """Return the pages that are computed from committed records or kept with them, for every preset that has any."""
    pages = []
    for preset in (read_preset(folder / f"{name}.yaml") for name in preset_names(folder)):
        for stage in preset.stages:
            if (kept := kept_notebook(stage, results)).is_file():
                mark, banner = f"real run, preset {preset.name}", KEPT.format(preset=preset.name)
                pages.append(Page(stage, stage.name, mark, banner, recorded=True, kept=str(kept)))
            if not stage.from_records:
                continue
            recorded = recorded_runs(preset.name, stage.source, results)
            writers = [s for s in preset.stages if s.paper == stage.source and "record.json" in s.writes]
            planned = [run for writer in writers for run in writer.runs]
            facts = {"preset": preset.name, "recorded": len(recorded), "planned": len(planned)}
            banner = FROM_RECORDS.format(**facts, open=_not_run(writers, recorded)).rstrip()
            if recorded:
                pages.append(Page(stage, stage.name, f"real runs, preset {preset.name}", banner, recorded=True))
    return pages


def _not_run(writers: list[Stage], recorded: Container[str]) -> str:
    """Return what is planned and has no record, with the command that runs it, and what is left out and why."""
    lines = []
    for writer in writers:
        if missing := [run for run in writer.runs if run not in recorded]:
            names = ", ".join(f"`{run}`" for run in missing)
            command = f"make runs PRESET={writer.preset} AGEGENDER_DATA=<folder>"
            lines.append(f"- {len(missing)} planned runs of `{writer.notebook}`, which `{command}` runs: {names}")
        lines += [f"- {what}: {reason}" for what, reason in writer.left_out.items()]
    return NOT_RUN.format(lines="\n".join(lines)) if lines else ""


def prose(cards: list[str]) -> dict[str, Any]:
    """Return the first part of the table of contents; the data cards stand below the chapter on data."""
    sections = [{"file": f"{CARDS.removeprefix('book/')}/{name}"} for name in cards]
    data = {"file": "data", "sections": sections} if sections else {"file": "data"}
    chapters = [{"file": "how-to-read"}, data, {"file": "responsible-use"}, {"file": "reproduce"}]
    return {"caption": "Before the results", "chapters": chapters}


def table_of_contents(pages: list[Page], cards: list[str]) -> str:
    """Return the text of ``_toc.yml``: the prose, a part for each paper (real runs first), the references."""
    parts = [prose(cards)]
    for paper in dict.fromkeys(page.stage.paper for page in pages):
        own = sorted((page for page in pages if page.stage.paper == paper), key=lambda page: not page.recorded)
        files = [page.placed.removeprefix("book/").removesuffix(".ipynb") for page in own]
        intro = [f"{paper}/intro"] if Path(f"book/{paper}/intro.md").is_file() else []
        parts.append({"caption": paper, "chapters": [{"file": file} for file in intro + files]})
    parts.append({"caption": "At the end", "chapters": [{"file": "references"}]})
    return yaml.safe_dump({"format": "jb-book", "root": "index", "parts": parts}, sort_keys=False)


def not_ended(preset: Preset, pages: list[Page]) -> dict[str, str]:
    """Return the pages whose notebook has not been run to its end since what it needs has: page -> why."""
    return {page.placed: reason for page in pages if (reason := _why_not_ended(preset, page))}


def _why_not_ended(preset: Preset, page: Page) -> str:
    executed = Path(page.notebook)
    earlier = [] if page.recorded else preset.needed_by(page.stage, page.run)
    waits_for = [other.folder(run) for other, run in earlier if not _has_ended(preset, other, run)]
    if waits_for:
        rest = f" and {len(waits_for) - 3} more" if len(waits_for) > 3 else ""
        return f"It needs runs that did not end: {', '.join(f'`{folder}`' for folder in waits_for[:3])}{rest}."
    if executed.is_file() and (page.recorded or _has_ended(preset, page.stage, page.run)):
        return ""
    failed = executed.with_suffix(".failed.ipynb")
    where = f"see `{failed}`, which ends with the error" if failed.is_file() else "the messages of `make` say why"
    return f"Its notebook did not run to its end: {where}."


def _has_ended(preset: Preset, stage: Stage, run: str) -> bool:
    """Whether a run has ended, later than all runs that it needs."""
    own = Path(stage.folder(run)) / "notebook.ipynb"
    earlier = preset.needed_by(stage, run)
    return own.is_file() and all(
        _has_ended(preset, other, each) and _time_of(other, each) <= own.stat().st_mtime_ns for other, each in earlier
    )


def _time_of(stage: Stage, run: str) -> int:
    return (Path(stage.folder(run)) / "notebook.ipynb").stat().st_mtime_ns
