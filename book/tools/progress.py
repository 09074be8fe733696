"""What a preset of real runs has done, and in which order the rest follows.

python book/tools/progress.py open     # what `make status PRESET=open` prints
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pandas as pd
from plan import PRESETS, RESULTS, Preset, PresetError, Stage, read_preset

PLACES = ("data", "records", "run_folder", "reduced")
"""Parameters that say where a run lies or describe it in words: they do not change what it computes."""


@dataclass(frozen=True)
class Planned:
    """One run of a preset."""

    stage: Stage
    run: str

    @property
    def target(self) -> str:
        """The executed notebook that ends the run."""
        return f"{self.stage.folder(self.run)}/notebook.ipynb"

    @property
    def turn(self) -> tuple[int, int]:
        """Its seed and its fold, 0 where the matrix has none: the order of the queue."""
        values = self.stage.runs[self.run]
        return int(values.get("seed", 0)), int(values.get("fold", 0))

    def settings(self) -> dict:
        """Return the parameters that decide what the run computes."""
        parameters = self.stage.parameters_of(self.run, {"data": "", "records": ""})
        return {name: value for name, value in parameters.items() if name not in PLACES}

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.stage.folder(self.run))

    def published(self, results: Path = RESULTS) -> Path:
        """The folder of its committed record."""
        return results / self.stage.preset / self.stage.paper / self.run

    def record_in(self, folder: Path) -> dict | None:
        """Return the record in ``folder`` if it is one of this run, with these parameters."""
        file = folder / "record.json"
        record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        own = record.get("parameters", {})
        return record if record and all(own.get(name) == value for name, value in self.settings().items()) else None

    def record(self, results: Path = RESULTS) -> dict | None:
        """Return the record of this run, published or not yet; ``None`` when it has none with these parameters."""
        return self.record_in(self.folder) or self.record_in(self.published(results))

    def is_only_published(self, results: Path = RESULTS) -> bool:
        """Whether the run was made elsewhere, or before, and its committed record is all that is here."""
        return not self.folder.is_dir() and self.record_in(self.published(results)) is not None

    def state(self, results: Path = RESULTS) -> str:
        """Return ``ended``, ``failed``, ``begun`` (it goes on where it was stopped) or ``to do``."""
        folder = self.folder
        if "record.json" in self.stage.writes and self.record(results):
            return "ended"
        if (folder / "notebook.ipynb").is_file() and all((folder / file).is_file() for file in self.stage.writes):
            return "ended" if "record.json" not in self.stage.writes else "to do"
        if (folder / "notebook.failed.ipynb").is_file():
            return "failed"
        return "begun" if folder.is_dir() else "to do"


def queue(preset: Preset) -> list[Planned]:
    """Return the runs in their order: fold 0 of everything, then the next fold, and the next seed after all folds.

    So what has ended is balanced wherever the queue is stopped. What is no training (exploration and the pages over
    all runs) is not in it.
    """
    runs = [Planned(stage, run) for stage in preset.stages for run in stage.runs if stage.matrix]
    return sorted(runs, key=lambda planned: planned.turn)


def in_turns(preset: Preset, stages: Sequence[Stage]) -> list[tuple[Stage, list[str], int]]:
    """Return each of ``stages`` with those of its runs that have the same turn, and the number of that turn.

    Explorations have the turn 0, the folds and seeds of the queue those from 1 on, and pages over runs the last.
    """
    turns = sorted({planned.turn for planned in queue(preset)})
    grouped: list[tuple[Stage, list[str], int]] = []
    for stage in stages:
        if not stage.matrix:
            grouped.append((stage, list(stage.runs), len(turns) + 1 if stage.after else 0))
            continue
        for number, turn in enumerate(turns, 1):
            own = [run for run in stage.runs if Planned(stage, run).turn == turn]
            grouped += [(stage, own, number)] if own else []
    return grouped


def targets_to_run(preset: Preset, papers: Sequence[str], is_published: Callable[[Planned], bool]) -> list[str]:
    """Return the notebooks to execute for ``papers``, less those whose results are here already.

    A training that ``is_published`` is not among them, and no page that would need it: `make book` computes such pages
    from the records. Nor is a run that leaves no record: it is made when another starts from it.
    """
    gone = {planned.target for planned in queue(preset) if is_published(planned)}
    targets = []
    for stage in (each for each in preset.stages if each.paper in papers):
        for run in stage.runs:
            target = Planned(stage, run).target
            needed = {Planned(*other).target for other in preset.needed_by(stage, run)}
            is_own_result = "record.json" in stage.writes if stage.matrix else not needed & gone
            targets += [target] if is_own_result and target not in gone else []
    return targets


def table_of_runs(preset: Preset, results: Path = RESULTS) -> pd.DataFrame:
    """Return one row for each paper, model and variant: its runs, how many are in each state, and minutes of one."""
    rows = []
    for planned in queue(preset):
        values, record = planned.stage.runs[planned.run], planned.record(results)
        model = values.get("model", planned.stage.name.partition("_")[2])
        minutes = record["seconds"] / 60 if record else None
        rows.append((planned.stage.paper, model, values.get("variant", ""), planned.state(results), minutes))
    table = pd.DataFrame(rows, columns=["paper", "model", "variant", "state", "minutes"])
    keys = ["paper", "model", "variant"]
    counts = pd.crosstab([table[key] for key in keys], table["state"])
    counts = counts.reindex(columns=["ended", "begun", "failed", "to do"], fill_value=0)
    counts["minutes"] = table.groupby(keys)["minutes"].median()
    order = list(dict.fromkeys(zip(*(table[key] for key in keys), strict=True)))
    return counts.loc[order].reset_index()


def hours_left(table: pd.DataFrame) -> float | None:
    """Return how long the runs that have not ended take one after the other; ``None`` before the first has ended.

    A model of which no run has ended is taken to be as long as the others of its paper, or of all papers.
    """
    if table["minutes"].isna().all():
        return None
    of_paper = table.groupby("paper")["minutes"].transform("median").fillna(median(table["minutes"].dropna()))
    left = table[["begun", "failed", "to do"]].sum(axis=1)
    return float((left * table["minutes"].fillna(of_paper)).sum() / 60)


def in_words(table: pd.DataFrame) -> str:
    """Return one line: how many runs have ended, and how long the rest takes on a machine like the one before."""
    ended, total = int(table["ended"].sum()), int(table[["ended", "begun", "failed", "to do"]].sum().sum())
    hours = hours_left(table)
    rest = "nobody knows yet how long the rest takes" if hours is None else f"the rest takes about {hours:.1f} h"
    return f"{ended} of {total} runs have ended; " + (rest if ended < total else "nothing is left to do")


def left_out(preset: Preset) -> Iterable[str]:
    """Return a line for each run that the preset leaves out, with the reason that it gives."""
    for stage in preset.stages:
        for what, reason in stage.left_out.items():
            yield f"{stage.paper}: {what} is left out: {reason}"


def main() -> None:
    """Print the table of a preset."""
    preset = read_preset(PRESETS / f"{sys.argv[1]}.yaml")
    table = table_of_runs(preset)
    print(table.to_string(index=False, float_format=lambda minutes: f"{minutes:.0f}", na_rep="?"))
    for line in (*left_out(preset), in_words(table)):
        print(line)


if __name__ == "__main__":
    try:
        main()
    except PresetError as error:
        sys.exit(str(error))
