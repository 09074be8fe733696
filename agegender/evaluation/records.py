"""Run folders: ``record.json`` and ``predictions.parquet`` of one finished run, written, read and checked.

Beside them may lie ``predictions_last.parquet``, what the weights of the last step say of the same examples, and
``other_tests.parquet``, what the selected weights say when they are asked in another way than the recipe's.

A run folder is named ``<model>-<variant>-fold<k>-seed<s>``, or freely by whoever runs a notebook by hand. Its record
is written last, so a folder with a record is a finished run. Both directions check the same schema (`schemas`): what
cannot be read back is not written.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from agegender import files
from agegender.evaluation.schemas import Record, check_predictions, check_record
from agegender.evaluation.scores import group_columns

LAST_PREDICTIONS = "predictions_last.parquet"
OTHER_TESTS = "other_tests.parquet"
Weights = Literal["selected", "last"]

_RUN_NAME = re.compile(r".+-fold\d+-seed\d+")
_BEFORE = ".before"  # ending of a folder that a run of other code or parameters has left


@dataclass(frozen=True)
class Run:
    """A finished run: where it lies, its record and its predictions (one row per test example, in test order)."""

    folder: Path
    record: Record
    predictions: pd.DataFrame


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

    An older record is removed first, so that a kill in between leaves an unfinished run and never a record beside
    another run's predictions. Raises ``ValueError`` (and writes nothing) when either breaks its schema.
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
    """Return what a model said of each ``example``: the table without what was known of the examples before."""
    return predictions[["example", "age", *group_columns(predictions), "p_female"]]


def read_run(folder: Path, weights: Weights = "selected") -> Run:
    """Return the run in ``folder``; raise ``ValueError`` naming file and field when it is unfinished or damaged.

    With ``weights="last"`` the predictions are those of the last step. A run that diverged has none, nor has a record
    from before they were kept: ``ValueError``.
    """
    folder = Path(folder)
    try:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder / 'record.json'}: missing, so this run has not finished") from None
    except ValueError as error:
        raise ValueError(f"{folder / 'record.json'}: no JSON ({error})") from None
    try:
        predictions = pd.read_parquet(folder / "predictions.parquet")
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / 'predictions.parquet'}: cannot be read ({error})") from None
    _check_run(folder, record, predictions)
    if weights == "last":
        predictions = _of_last_step(folder, predictions)
        _check_run(folder, record, predictions)
    return Run(folder, record, predictions)


def _of_last_step(folder: Path, predictions: pd.DataFrame) -> pd.DataFrame:
    file = folder / LAST_PREDICTIONS
    if not file.is_file():
        raise ValueError(f"{file}: missing: the run diverged, or is older than predictions of the last step")
    last, selected = pd.read_parquet(file), answers_of(predictions)
    if list(last) != list(selected) or last["example"].tolist() != selected["example"].tolist():
        raise ValueError(f"{file}: has other examples or columns than predictions.parquet: run it again")
    return predictions.drop(columns=list(selected)[1:]).merge(last, on="example")[list(predictions)]


def read_runs(folder: Path, weights: Weights = "selected") -> list[Run]:
    """Return the runs in the run folders directly under ``folder``, in the order of their names.

    Only folders named ``...-fold<k>-seed<s>``, and folders with a record, are runs. Raises one ``ValueError`` that
    lists every unfinished or damaged run, so that none is left out of a table in silence, and when there is no run.
    """
    runs, problems = [], []
    for candidate in sorted(Path(folder).glob("*")):
        if candidate.is_dir() and (has_run_name(candidate) or is_finished(candidate)):
            try:
                runs.append(read_run(candidate, weights))
            except ValueError as error:
                problems.append(str(error))
    if problems:
        raise ValueError(f"{len(problems)} of {len(runs) + len(problems)} runs cannot be used:\n" + "\n".join(problems))
    if not runs:
        raise ValueError(f"{folder} holds no run folder (<model>-<variant>-fold<k>-seed<s>)")
    return runs


def predictions_together(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the predictions of all runs as one table with the added columns ``model``, ``variant`` and ``seed``.

    Rows keep their order within a run; runs are ordered by model, variant, seed and fold. Raises ``ValueError`` when
    within one (model, variant, seed) an example occurs twice or the runs come from different manifests.
    """
    if not runs:
        raise ValueError("there are no runs to put together")
    keys = ["model", "variant", "seed"]
    ordered = sorted(runs, key=lambda run: tuple(run.record[key] for key in [*keys, "fold"]))
    manifests = {(*(run.record[key] for key in keys), run.record["manifest_hash"]) for run in ordered}
    mixed = [key for key, count in Counter(manifest[:3] for manifest in manifests).items() if count > 1]
    if mixed:
        raise ValueError(f"the folds of {mixed[0]} come from different manifests: run them again on one")
    tables = [run.predictions.assign(**{key: run.record[key] for key in keys}) for run in ordered]
    together = pd.concat(tables, ignore_index=True)
    twice = together[together.duplicated([*keys, "example"])]
    if len(twice):
        model, variant, seed, example = twice.iloc[0][[*keys, "example"]]
        raise ValueError(f"{len(twice)} examples occur twice in {model} {variant} seed {seed}, the first is {example}")
    return together
