"""The papers' and the field's numbers as data: ``published.toml``, checked and laid out as one row per number."""

import tomllib
from pathlib import Path
from typing import Any

import pandas as pd

from agegender.evaluation.metrics import METRICS

PUBLISHED_FILE = Path(__file__).with_name("published.toml")

_OF_SYSTEM = ("pipeline", "system", "model", "dataset", "protocol", "source", "note")
_OF_RESULT = ("metric", "published_as", "unit")

COLUMNS = (*_OF_SYSTEM[:5], *_OF_RESULT, "fold", "value", "spread", "spread_over", "num_examples", *_OF_SYSTEM[5:])
"""``fold`` is missing in the row over all folds; ``spread`` and ``num_examples`` are missing where none was printed."""

PRINTED_ONLY = {"total_loss": "loss", "age_weight": "factor", "group_loss": "loss"}
"""Numbers printed beside metrics, with their units: ``total_loss`` is the loss of gender plus ``age_weight`` times that
of age in training; ``group_loss`` is the cross-entropy of age groups on the part that was scored."""

_UNITS = {metric.name: metric.unit for metric in METRICS} | PRINTED_ONLY


def load_published(path: Path = PUBLISHED_FILE) -> pd.DataFrame:
    """Return the published numbers with the columns `COLUMNS`, one row for each number that was printed.

    Raises ``ValueError`` naming the system and the field when one has no source, no protocol, an unknown metric,
    another unit than that metric's, a share outside 0 to 100 (%), or no number at all.
    """
    with Path(path).open("rb") as file:
        systems = tomllib.load(file).get("system", [])
    if not systems:
        raise ValueError(f"{path} holds no [[system]]")
    rows = []
    for number, system in enumerate(systems, start=1):
        try:
            rows.extend(_rows(system))
        except ValueError as error:
            raise ValueError(f"{Path(path).name}: system {system.get('system', number)!r}: {error}") from None
    types = {"fold": "Int64", "num_examples": "Int64", "value": "float64", "spread": "float64"}
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)
    twice = table[table.duplicated(["system", "dataset", "metric", "fold"])]
    if len(twice):
        raise ValueError(f"{Path(path).name}: {twice['system'].iloc[0]!r} gives {twice['metric'].iloc[0]!r} twice")
    return table


def _rows(system: dict[str, Any]) -> list[dict[str, Any]]:
    """Lay out one ``[[system]]``: for each result a row over all folds, if it has one, and a row for each fold."""
    _check_text(system, _OF_SYSTEM)
    if not system.get("results"):
        raise ValueError("it has no results")
    rows = []
    for result in system["results"]:
        _check_result(result)
        row = {field: system[field] for field in _OF_SYSTEM} | {field: result[field] for field in _OF_RESULT}
        if "value" in result:
            extent = result.get("num_examples", system.get("num_examples"))
            spread = {"spread": result.get("spread"), "spread_over": result.get("spread_over")}
            rows.append(row | spread | {"value": result["value"], "num_examples": extent})
        rows.extend(row | {"fold": fold, "value": value} for fold, value in enumerate(result.get("folds", [])))
    return rows


def _check_text(table: dict[str, Any], fields: tuple[str, ...]) -> None:
    for field in fields:
        if not isinstance(table.get(field), str) or not table[field].strip():
            raise ValueError(f"the field {field!r} is missing or empty: every number states its {field}")


def _check_result(result: dict[str, Any]) -> None:
    _check_text(result, _OF_RESULT)
    metric = result["metric"]
    if metric not in _UNITS:
        raise ValueError(f"unknown metric {metric!r}: expected one of {', '.join(_UNITS)}")
    if result["unit"] != _UNITS[metric]:
        raise ValueError(f"{metric} is in {result['unit']!r}, expected {_UNITS[metric]!r}")
    numbers = [*result.get("folds", []), *([result["value"]] if "value" in result else [])]
    if not numbers:
        raise ValueError(f"{metric} has neither a value nor folds")
    if result["unit"] == "%" and not all(0 <= number <= 100 for number in numbers):
        raise ValueError(f"{metric} holds {numbers}: a share lies in 0 to 100 %")
    if ("spread" in result) != ("spread_over" in result):
        raise ValueError(f"{metric} needs both spread and spread_over, or neither: a ± says over what")
