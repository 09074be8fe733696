"""From run folders to the committed results: no weights, no paths, and numbers in place of names of people."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from agegender import files
from agegender.evaluation.records import LAST_PREDICTIONS, OTHER_TESTS, Run, is_finished, read_run, write_run

IDENTIFIERS = ("subject", "user")
"""The columns that say who is on an example; each value is replaced by a number."""

NUMBER = "_number"
"""Ending of the column with the number of each identifier, the same in every run on one manifest. Not published."""


def stable_numbers(runs: Sequence[Run], column: str) -> dict[str, str]:
    """Return a number, as text, for each value of ``column``: that of the run, else the lowest example that bears it.

    So one person has one number in every fold, model and variant, and publishing again gives the same numbers, in
    whatever order the runs come. Runs that do not bring the numbers of their subjects have to be published together.
    """
    own = column + NUMBER
    tables = [run.predictions.rename(columns={own: "number"}) for run in runs if column in run.predictions]
    pairs = pd.concat([table if "number" in table else table.assign(number=table["example"]) for table in tables])
    return {str(name): str(first) for name, first in pairs.groupby(column)["number"].min().items()}


def without_numbers(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the table without the numbers of its identifiers."""
    return predictions.drop(columns=[column + NUMBER for column in IDENTIFIERS], errors="ignore")


def without_names(predictions: pd.DataFrame, numbers: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Return the table with the columns of ``numbers`` replaced; raise ``ValueError`` when a path is left in it."""
    if "path" in predictions:
        raise ValueError("the predictions hold a column 'path': paths are not published, leave it out")
    table = predictions.assign(**{column: predictions[column].map(numbers[column]) for column in numbers})
    for column in table.select_dtypes(["str", "object", "category"]):
        text = table[column].dropna().astype(str)
        pathlike = text[text.str.contains(r"[/\\]")]
        if len(pathlike):
            raise ValueError(f"column {column!r} holds {pathlike.iloc[0]!r}, which looks like a path: leave it out")
    return table


def without_folders(value: Any) -> Any:
    """Return a record, or a part of it, in which every absolute path is cut to its last name.

    >>> without_folders({"parameters": {"data": "/home/someone/packs/faces", "fold": 0}})
    {'parameters': {'data': 'faces', 'fold': 0}}
    """
    if isinstance(value, dict):
        return {key: without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_folders(inner) for inner in value]
    if isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~")):
        return Path(value).name
    return value


def _publish(runs: Sequence[Run], to: Path) -> list[Path]:
    published = []
    for run in runs:
        same_manifest = [other for other in runs if other.record["manifest_hash"] == run.record["manifest_hash"]]
        present = [column for column in IDENTIFIERS if column in run.predictions]
        numbers = {column: stable_numbers(same_manifest, column) for column in present}
        try:
            predictions = without_names(without_numbers(run.predictions), numbers)
        except ValueError as error:
            raise ValueError(f"{run.folder / 'predictions.parquet'}: {error}") from None
        target = Path(to) / run.record["preset"] / run.record["paper"] / run.record["run"]
        write_run(target, without_folders(run.record), predictions)
        for file in (LAST_PREDICTIONS, OTHER_TESTS):  # no name is in them: examples are numbers
            _copy_if_there(run.folder / file, target / file)
        published.append(target)
    return published


def _copy_if_there(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    if source.is_file():
        with files.replaced_atomically(target) as temporary:
            shutil.copyfile(source, temporary)


def publish_runs(folder: Path, to: Path) -> list[Path]:
    """Write all finished runs under ``folder`` to ``to/<preset>/<paper>/<run>`` and return those folders.

    A run is finished when it has a record; one that is still going on is left out. Subjects (and users) become numbers
    that are shared by all the runs, so that folds can still be resampled by person. Raises ``ValueError`` when no run
    has finished, for a damaged run, a column ``path``, or text that looks like a path.
    """
    finished = [run for run in sorted(Path(folder).glob("*")) if is_finished(run)]
    if not finished:
        raise ValueError(f"{folder} holds no finished run: none of its folders has a record.json")
    return _publish([read_run(run) for run in finished], to)


def publish_run(run_folder: Path, to: Path) -> Path:
    """Write one run as `publish_runs` does; its subjects agree with other runs only where each stays within a fold."""
    return _publish([read_run(run_folder)], to)[0]
