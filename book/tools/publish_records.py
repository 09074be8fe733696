"""Copy the records and predictions of finished runs into ``book/results/``, where they are committed.

    python book/tools/publish_records.py open

Only runs of the preset that have ended are published; which are missing is printed. The whole folder must stay small
enough to be cloned with the project.
"""

import sys
from pathlib import Path

from plan import PRESETS, RESULTS, Preset, PresetError, read_preset

from agegender.evaluation.publishing import publish_runs

LIMIT_MB = 50


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


def publish(preset: Preset, runs: Path = Path("runs"), results: Path = RESULTS) -> None:
    """Publish every paper of the preset that has finished runs; raise ``ValueError`` if there are none."""
    papers = dict.fromkeys(stage.paper for stage in preset.stages if "record.json" in stage.writes)
    done = [paper for paper in papers if any((runs / preset.name / paper).glob("*/record.json"))]
    if preset.corpora:
        raise ValueError(f"preset {preset.name} runs on drawn people: its records are not results")
    if not done:
        raise ValueError(f"no finished run in {runs / preset.name}: make runs PRESET={preset.name} AGEGENDER_DATA=...")
    for paper in done:
        published = publish_runs(runs / preset.name / paper, results)
        print(f"{paper}: {len(published)} runs published to {results / preset.name / paper}")
        for run in unfinished(preset, paper, runs):
            print(f"{paper}: not finished, not published: {run}")
    check_size(results)
    print(f"{results} holds {megabytes(results):.1f} MB of at most {LIMIT_MB}: git add {results}")


if __name__ == "__main__":
    try:
        publish(read_preset(PRESETS / f"{sys.argv[1]}.yaml"))
    except (PresetError, ValueError) as error:
        sys.exit(str(error))
