"""Copy the records and predictions of finished runs into ``book/results/``, where they are committed.

With them go the executed notebooks of the explorations and of one training of each paper, the first of its ``shown``.

    python book/tools/publish_records.py open

Only runs of the preset that have ended are published; which are missing is printed. The whole folder must stay small
enough to be cloned with the project.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from plan import PRESETS, RESULTS, Preset, PresetError, Stage, kept_notebook, read_preset
from progress import Planned

from agegender.evaluation.records import anonymise_run, anonymise_runs, without_folders
from agegender.files import write_text

LIMIT_MB = 50
FULL_PATH = re.compile(r"(?<![\w.:/<-])/(?:[\w.~-]+/)+[\w.~-]+")


def megabytes(folder: Path) -> float:
    """Return the size of all files below ``folder`` in MB of 10^6 bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def check_size(folder: Path, limit_mb: float = LIMIT_MB) -> None:
    """Raise ``ValueError`` when the files below ``folder`` are larger than ``limit_mb`` together."""
    size = megabytes(folder)
    if not size <= limit_mb:
        raise ValueError(f"{folder} holds {size:.1f} MB, the limit is {limit_mb} MB: publish fewer runs")


def unfinished(preset: Preset, paper: str, runs: Path = Path("runs")) -> list[str]:
    """Return the planned runs of a paper that write a record and have none yet."""
    stages = [stage for stage in preset.stages if stage.paper == paper and "record.json" in stage.writes]
    planned = [run for stage in stages for run in stage.runs]
    return [run for run in planned if not (runs / preset.name / paper / run / "record.json").is_file()]


def publish_new(planned: Iterable[Planned], results: Path = RESULTS) -> list[str]:
    """Publish the runs that have ended since they were published last; return a line about each that is damaged."""
    problems = []
    for each in planned:
        own = each.record_in(each.folder)
        if own is not None and without_folders(own) != each.record_in(each.published(results)):
            try:
                anonymise_run(each.folder, results)
            except ValueError as error:
                problems.append(f"not published: {error}")
    return problems


def shown_of(stage: Stage) -> str | None:
    """Return the run of a stage whose executed notebook is kept with the records, if any is.

    Of an exploration, which has one run, it is that; of a stage with a matrix the first that is ``shown``.
    """
    if stage.matrix:
        return stage.shown[0] if stage.shown else None
    return stage.name if not stage.after else None


def without_machine(notebook: NotebookNode) -> NotebookNode:
    """Return an executed notebook without what it says of the machine: error streams, timings, folders.

    The notebooks themselves show nobody: faces and spectrograms are drawn ones on every corpus. Raises ``ValueError``
    when an output names a file or a folder by its full path.
    """
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
            if found := FULL_PATH.search(json.dumps([_text_of(each) for each in cell.outputs])):
                raise ValueError(f"an output names the path {found.group()!r}: it would be published, print no paths")
    notebook.metadata.pop("papermill", None)
    return notebook


def _text_of(output: NotebookNode) -> object:
    return [output.get("text"), [data for kind, data in output.get("data", {}).items() if not kind.startswith("image")]]


def publish_notebooks(preset: Preset, runs: Path = Path("runs"), results: Path = RESULTS) -> list[Path]:
    """Keep the executed notebooks that are shown with the records; return the files."""
    kept = []
    for stage in preset.stages:
        run = shown_of(stage)
        executed = Path(stage.folder(run, root=str(runs))) / "notebook.ipynb" if run else None
        if executed and executed.is_file():
            target = kept_notebook(stage, results)
            try:
                notebook = without_machine(nbformat.read(executed, 4))
            except ValueError as error:
                raise ValueError(f"{executed}: {error}") from None
            write_text(target, nbformat.writes(notebook) + "\n")
            kept.append(target)
    return kept


def publish(preset: Preset, runs: Path = Path("runs"), results: Path = RESULTS) -> None:
    """Publish every paper of the preset that has finished runs; raise ``ValueError`` if there are none."""
    papers = dict.fromkeys(stage.paper for stage in preset.stages if "record.json" in stage.writes)
    done = [paper for paper in papers if any((runs / preset.name / paper).glob("*/record.json"))]
    if preset.corpora:
        raise ValueError(f"preset {preset.name} runs on drawn people: its records are not results")
    if not done:
        raise ValueError(f"no finished run in {runs / preset.name}: make runs PRESET={preset.name} AGEGENDER_DATA=...")
    for paper in done:
        published = anonymise_runs(runs / preset.name / paper, results)
        print(f"{paper}: {len(published)} runs published to {results / preset.name / paper}")
        for run in unfinished(preset, paper, runs):
            print(f"{paper}: not finished, not published: {run}")
    for file in publish_notebooks(preset, runs, results):
        print(f"kept: {file}")
    check_size(results)
    print(f"{results} holds {megabytes(results):.1f} MB of at most {LIMIT_MB}: git add {results}")


if __name__ == "__main__":
    try:
        publish(read_preset(PRESETS / f"{sys.argv[1]}.yaml"))
    except (PresetError, ValueError) as error:
        sys.exit(str(error))
