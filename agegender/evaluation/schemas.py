"""What a record and a table of predictions must look like, checked when they are written and when they are read."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from agegender.evaluation.metrics import group_columns
from agegender.labels import GENDERS, scheme_named

Record = dict[str, Any]
Types = tuple[type, ...]

_SUM_TOLERANCE = 1e-3  # group probabilities are float32 softmax outputs


def _fields(names: str, *types: type) -> dict[str, Types]:
    return dict.fromkeys(names.split(), types)


RECORD_FIELDS: dict[str, Types] = {
    **_fields("schema seed fold num_parameters", int),
    **_fields("preset paper run variant model selection commit manifest_hash device", str),
    **_fields("parameters manifest versions", dict),
    **_fields("scheme reduced", str, type(None)),
    **_fields("selected_on_test", bool),
    **_fields("seconds", int, float),
    **_fields("peak_memory_mb", int, float, type(None)),
    **_fields("history", list),
}
"""The fields of ``record.json`` and the types each may have; more fields may follow, none may be missing."""

LATER_FIELDS: dict[str, Types] = {
    **_fields("diverged_at_step last_step red_channel", int, type(None)),
    **_fields("precision recipe parts overlaps batches heads", dict),
    **_fields("num_epochs", int, float),
    **_fields("last_predictions_hash", str, type(None)),
    **_fields("other_tests", list),
    **_fields("weights_hash predictions_hash library_hash date processor", str),
}
"""Fields that records of today have and older ones may lack."""

_PREDICTIONS = pa.DataFrameSchema(
    {
        "example": pa.Column("int64", pa.Check.ge(0), unique=True),
        "subject": pa.Column(str),
        "subject_number": pa.Column("int64", pa.Check.ge(0), required=False),
        "fold": pa.Column("int64", pa.Check.ge(0)),
        "corpus": pa.Column(str),
        "true_age": pa.Column("float64", pa.Check.in_range(0, 120), nullable=True),
        "true_group": pa.Column("Int64", pa.Check.ge(0), nullable=True),
        "true_gender": pa.Column(str, pa.Check.isin(GENDERS), nullable=True),
        "age": pa.Column("float64", nullable=True),
        "p_group_[0-9]+": pa.Column("float32", pa.Check.in_range(0, 1.001), regex=True, required=False),
        "p_female": pa.Column("float32", pa.Check.in_range(0, 1), nullable=True),
        "repeats": pa.Column("int64", pa.Check.ge(1), required=False),
    }
)


def check_record(record: Record) -> None:
    """Raise ``ValueError`` naming the field when one is missing, has a wrong type, or holds NaN or infinity."""
    known = RECORD_FIELDS | {field: types for field, types in LATER_FIELDS.items() if field in record}
    for field, types in known.items():
        if field not in record:
            raise ValueError(f"field {field!r} is missing")
        value = record[field]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in types)
            raise ValueError(f"field {field!r} is {value!r}, expected {expected}")
    if record["schema"] != 1:
        raise ValueError(f"field 'schema' is {record['schema']}, this code reads schema 1")
    if record["scheme"] is not None:
        scheme_named(record["scheme"])
    _check_plain(record, "record")


def _check_plain(value: object, where: str) -> None:
    """Refuse what JSON cannot hold, deep inside a record, with the way to it."""
    if isinstance(value, dict | list | tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _check_plain(inner, f"{where}[{key!r}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}: write null for a number that is not there")
    elif not isinstance(value, str | int | float | bool | type(None)) or isinstance(value, np.generic):
        raise ValueError(f"{where} is a {type(value).__name__}: a record holds text, numbers, lists and dicts only")


def check_predictions(predictions: pd.DataFrame, scheme: str | None) -> None:
    """Raise ``ValueError`` naming columns and rows unless the table is that of a run with this age-group scheme.

    Without ``scheme`` there must be no column ``p_group_*``. ``age`` or ``p_female`` is empty in every row or in none.
    """
    if predictions.empty:
        raise ValueError("the table of predictions has no row")
    try:
        _PREDICTIONS.validate(predictions, lazy=True)
    except pa.errors.SchemaErrors as found:
        raise ValueError(_described(found.failure_cases)) from None
    for column in ("age", "p_female"):
        empty = predictions[column].isna()
        if empty.any() and not empty.all():
            raise ValueError(f"column {column!r} is empty in {empty.sum()} rows, the first is row {empty.argmax()}")
    num_groups = len(scheme_named(scheme)) if scheme is not None else 0
    columns = group_columns(predictions)
    if len(columns) != num_groups:
        raise ValueError(f"{len(columns)} columns p_group_*, but the scheme {scheme!r} has {num_groups} groups")
    if num_groups and predictions["true_group"].ge(num_groups).any():
        highest = predictions["true_group"].max()
        raise ValueError(f"column 'true_group' holds {highest}: {scheme} ends at {num_groups - 1}")
    off = (predictions[columns].sum(axis=1) - 1).abs()
    if num_groups and off.max() > _SUM_TOLERANCE:
        raise ValueError(f"the p_group_* of example {predictions['example'].iloc[off.argmax()]} do not sum to 1")


def _described(failures: pd.DataFrame) -> str:
    """One line for each failed (column, check) of pandera, with one value and row."""
    lines: list[str] = []
    for _, cases in failures.groupby(["column", "check"], dropna=False, sort=False):
        first = cases.iloc[0].to_dict()
        if first["check"] == "column_in_dataframe":
            lines.extend(f"column {name!r} is missing" for name in cases["failure_case"])
        else:
            row = "" if pd.isna(first["index"]) else f" in {len(cases)} rows, the first is row {first['index']}"
            lines.append(f"column {first['column']!r} fails {first['check']}: got {first['failure_case']!r}{row}")
    return "; ".join(lines)
