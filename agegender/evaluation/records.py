"""Run folders: the record and the predictions of one finished run, written, read and anonymised.

A folder is named ``<model>-<variant>-fold<k>-seed<s>``, or freely by whoever runs a notebook by hand. ``record.json``
is written last: a folder that has one is a finished run.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from agegender import files
from agegender.evaluation.metrics import group_columns
from agegender.evaluation.schemas import Record, check_predictions, check_record

LAST_PREDICTIONS = "predictions_last.parquet"
"""What the weights of the last step predict for the same examples."""
OTHER_TESTS = "other_tests.parquet"
"""What the selected weights predict with other crops, batch statistics, channels or precision."""

_RUN_NAME = re.compile(r".+-fold\d+-seed\d+")
_BEFORE = ".before"  # ending of a folder that a run of other code or parameters has left

IDENTIFIERS = ("subject", "user")
"""The columns that say who is on an example; each value is replaced by a number."""
NUMBER = "_number"
"""Ending of the column with the number of each identifier, the same in every run on one manifest. Not published."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    ``predictions`` are those of the selected weights, one row per test example in test order; ``last`` is the same
    table with those of the last step, ``None`` where the run diverged or did not record them.
    """

    folder: Path
    record: Record
    predictions: pd.DataFrame
    last: pd.DataFrame | None = None


def run_name(record: Mapping[str, Any]) -> str:
    """Return the name of a run from its ``model``, ``variant``, ``fold`` and ``seed``.

    >>> run_name({"model": "1-1", "variant": "as_intended", "fold": 0, "seed": 7})
    '1-1-as_intended-fold0-seed7'
    """
    return "{model}-{variant}-fold{fold}-seed{seed}".format_map(record)


def has_run_name(folder: Path) -> bool:
    """Say whether a folder is named like a run, and so has to be the folder of the run of that name."""
    return _RUN_NAME.fullmatch(Path(folder).name) is not None


def is_finished(folder: Path) -> bool:
    """Say whether a folder holds a finished run, and not one that another has taken the place of."""
    return (Path(folder) / "record.json").is_file() and not Path(folder).name.endswith(_BEFORE)


def write_run(folder: Path, record: Record, predictions: pd.DataFrame) -> None:
    """Write ``predictions.parquet`` and then ``record.json`` to ``folder``, each whole or not at all.

    An older record is removed first, so that a kill in between leaves no record beside another run's predictions.
    Raises ``ValueError`` (and writes nothing) when either breaks its schema.
    """
    folder = Path(folder)
    _check_run(folder, record, predictions)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").unlink(missing_ok=True)
    with files.replaced_atomically(folder / "predictions.parquet") as temporary:
        predictions.to_parquet(temporary, index=False)
    files.write_text(folder / "record.json", json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _check_run(folder: Path, record: Record, predictions: pd.DataFrame) -> None:
    try:
        check_record(record)
        expected = run_name(record)
        is_free = not (has_run_name(folder) or folder.name.endswith(_BEFORE))
        if record["run"] != expected or not (is_free or folder.name == expected):
            raise ValueError(f"field 'run' is {record['run']!r} in the folder {folder.name!r}, expected {expected!r}")
    except ValueError as error:
        raise ValueError(f"{folder / 'record.json'}: {error}") from None
    try:
        check_predictions(predictions, record["scheme"])
        if set(predictions["fold"]) != {record["fold"]}:
            raise ValueError(f"column 'fold' holds {sorted(set(predictions['fold']))}, the record {record['fold']}")
    except ValueError as error:
        raise ValueError(f"{folder / 'predictions.parquet'}: {error}") from None


def answers_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions for each ``example`` without its labels, subject and fold."""
    return predictions[["example", "age", *group_columns(predictions), "p_female"]]


def read_run(folder: Path) -> Run:
    """Return the run in ``folder``; raise ``ValueError`` naming file and field when it is unfinished or damaged."""
    folder = Path(folder)
    try:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder / 'record.json'}: missing, so this run has not finished") from None
    except ValueError as error:
        raise ValueError(f"{folder / 'record.json'}: no JSON ({error})") from None
    predictions = _read_table(folder / "predictions.parquet")
    _check_run(folder, record, predictions)
    if not (folder / LAST_PREDICTIONS).is_file():
        return Run(folder, record, predictions)
    last, selected = _read_table(folder / LAST_PREDICTIONS), answers_of(predictions)
    if list(last) != list(selected) or last["example"].tolist() != selected["example"].tolist():
        file = folder / LAST_PREDICTIONS
        raise ValueError(f"{file}: has other examples or columns than predictions.parquet: run it again")
    last = predictions.drop(columns=list(selected)[1:]).merge(last, on="example")[list(predictions)]
    _check_run(folder, record, last)
    return Run(folder, record, predictions, last)


def _read_table(file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read ({error})") from None


def read_runs(folder: Path) -> list[Run]:
    """Return the runs in the run folders directly under ``folder``, in the order of their names.

    Only folders named ``...-fold<k>-seed<s>``, and folders with a record, are runs. Raises one ``ValueError`` that
    lists every unfinished or damaged run, and one when there is no run.
    """
    runs, problems = [], []
    for candidate in sorted(Path(folder).glob("*")):
        if candidate.is_dir() and (has_run_name(candidate) or is_finished(candidate)):
            try:
                runs.append(read_run(candidate))
            except ValueError as error:
                problems.append(str(error))
    if problems:
        raise ValueError(f"{len(problems)} of {len(runs) + len(problems)} runs cannot be used:\n" + "\n".join(problems))
    if not runs:
        raise ValueError(f"{folder} holds no run folder (<model>-<variant>-fold<k>-seed<s>)")
    return runs


def _numbers(runs: Sequence[Run], column: str) -> dict[str, str]:
    """Return a number, as text, for each value of ``column``: that of the run, else the lowest example that bears it.

    So one person has one number in every fold, model and variant, whenever a run is published. Runs without numbers of
    their own have to be published together.
    """
    own = column + NUMBER
    tables = [run.predictions.rename(columns={own: "number"}) for run in runs if column in run.predictions]
    pairs = pd.concat([table if "number" in table else table.assign(number=table["example"]) for table in tables])
    return {str(name): str(first) for name, first in pairs.groupby(column)["number"].min().items()}


def without_numbers(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the table without the numbers of its identifiers."""
    return predictions.drop(columns=[column + NUMBER for column in IDENTIFIERS], errors="ignore")


def _check_no_path(predictions: pd.DataFrame) -> None:
    if "path" in predictions:
        raise ValueError("the predictions hold a column 'path': paths are not published, leave it out")
    for column in predictions.select_dtypes(["str", "object", "category"]):
        text = predictions[column].dropna().astype(str)
        pathlike = text[text.str.contains(r"[/\\]")]
        if len(pathlike):
            raise ValueError(f"column {column!r} holds {pathlike.iloc[0]!r}, which looks like a path: leave it out")


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


def _anonymise(runs: Sequence[Run], to: Path) -> list[Path]:
    written = []
    for run in runs:
        same_manifest = [other for other in runs if other.record["manifest_hash"] == run.record["manifest_hash"]]
        present = [column for column in IDENTIFIERS if column in run.predictions]
        named = {column: run.predictions[column].map(_numbers(same_manifest, column)) for column in present}
        predictions = without_numbers(run.predictions).assign(**named)
        try:
            _check_no_path(predictions)
        except ValueError as error:
            raise ValueError(f"{run.folder / 'predictions.parquet'}: {error}") from None
        target = Path(to) / run.record["preset"] / run.record["paper"] / run.record["run"]
        write_run(target, without_folders(run.record), predictions)
        for file in (LAST_PREDICTIONS, OTHER_TESTS):  # no name is in them: examples are numbers
            (target / file).unlink(missing_ok=True)
            if (run.folder / file).is_file():
                with files.replaced_atomically(target / file) as temporary:
                    shutil.copyfile(run.folder / file, temporary)
        written.append(target)
    return written


def anonymise_runs(folder: Path, to: Path) -> list[Path]:
    """Write all finished runs under ``folder`` to ``to/<preset>/<paper>/<run>`` without names; return those folders.

    Subjects (and users) become numbers that all the runs share, so that folds can still be resampled by person; weights
    and paths stay behind. Raises ``ValueError`` when no run has finished, for a damaged run, a column ``path``, or text
    that looks like a path.
    """
    finished = [run for run in sorted(Path(folder).glob("*")) if is_finished(run)]
    if not finished:
        raise ValueError(f"{folder} holds no finished run: none of its folders has a record.json")
    return _anonymise([read_run(run) for run in finished], to)


def anonymise_run(run_folder: Path, to: Path) -> Path:
    """Write one run as `anonymise_runs` does; it shares subjects' numbers with others where each stays in one fold."""
    return _anonymise([read_run(run_folder)], to)[0]
