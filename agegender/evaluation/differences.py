"""One system minus another on the same examples, with an interval over runs and subjects and a verdict in words.

Two systems are compared on the folds and seeds that both have, example by example. Systems whose folds were drawn
otherwise, by clip and by subject, are paired over all these folds together. A difference is claimed if it holds for
the selected weights and for those of the last step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from agegender.evaluation.comparison import in_order, readable
from agegender.evaluation.intervals import Interval, bootstrap, over_folds
from agegender.evaluation.metrics import HEADINGS, Floats, Metric, applicable
from agegender.evaluation.published_arithmetic import mean_of_few
from agegender.evaluation.records import Run
from agegender.evaluation.systems import at_last_step, by_system, dataset_of, diverged_at, predictions_together

Row = Mapping[Any, Any] | pd.Series

ENOUGH_RUNS = 3
"""Pairs of trained runs from which on a difference is claimed: fewer do not tell how much a run varies."""


def why_not_paired(first: Sequence[Run], second: Sequence[Run]) -> str | None:
    """Return why two systems cannot be compared example by example, or ``None`` when they can."""
    ours, theirs = _shared(first, second)
    if not ours:
        return "no fold and seed that both have run"
    if len({run.record["manifest_hash"] for run in [*ours, *theirs]}) > 1:
        return "they read the corpus differently, so that row numbers do not mean the same examples"
    if not set(predictions_together(ours)["example"]) & set(predictions_together(theirs)["example"]):
        return "no example that both were tested on"
    return None


def _shared(first: Sequence[Run], second: Sequence[Run]) -> list[list[Run]]:
    """The runs of both whose fold and seed the other has too."""
    places = [[(run.record["fold"], run.record["seed"]) for run in runs] for runs in (first, second)]
    both = set(places[0]) & set(places[1])
    return [[run for run in runs if (run.record["fold"], run.record["seed"]) in both] for runs in (first, second)]


def paired_predictions(first: Sequence[Run], second: Sequence[Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the predictions of two systems for the examples that both were tested on, in the same order.

    ``fold`` is each system's own; ``run`` numbers the runs of the first. Where there are several seeds, ``example`` is
    numbered anew, so that each seed has rows of its own. Raises ``ValueError`` with the reason of `why_not_paired`.
    """
    if reason := why_not_paired(first, second):
        raise ValueError(f"these systems cannot be paired: {reason}")
    tables = [predictions_together(runs).set_index(["seed", "example"]) for runs in _shared(first, second)]
    common = tables[0].index.intersection(tables[1].index).sort_values()
    one, other = (table.loc[common].reset_index() for table in tables)
    numbers = one["example"] if len(one["seed"].unique()) == 1 else np.arange(len(one))
    return one.assign(example=numbers, run=one.groupby(["seed", "fold"]).ngroup()), other.assign(example=numbers)


def _check_same_examples(first: pd.DataFrame, second: pd.DataFrame, needs: str) -> None:
    """Raise ``ValueError`` unless two tables, sorted by example, hold the same examples, subjects and labels."""
    differing = sorted(set(first["example"]) ^ set(second["example"]))
    if differing:
        some = ", ".join(str(example) for example in differing[:5])
        raise ValueError(f"{len(differing)} examples are in one system only: {some}; compare them on the same test set")
    for table in (first, second):
        if table["example"].duplicated().any():
            twice = table.loc[table["example"].duplicated(), "example"].iloc[0]
            raise ValueError(f"example {twice} occurs twice in one system")
    for column in ("subject", needs):
        is_same = first[column].eq(second[column]).fillna(False) | (first[column].isna() & second[column].isna())
        if not is_same.all():
            example = first["example"][~is_same].iloc[0]
            raise ValueError(f"example {example} has another {column} in the second system: not the same manifest")


def paired_difference(first: pd.DataFrame, second: pd.DataFrame, metric: Metric) -> Interval:
    """Return ``metric`` of the first minus that of the second system; a replicate draws the same subjects for both.

    Examples without the label do not enter. Where the first table has a column ``run``, runs are drawn too. Raises
    ``ValueError`` when they do not hold the same examples with the same subjects and labels.
    """
    first, second = (table.sort_values("example").reset_index(drop=True) for table in (first, second))
    _check_same_examples(first, second, metric.needs)
    first, second = (table[table[metric.needs].notna()] for table in (first, second))
    both = np.hstack([metric.terms(first), metric.terms(second)])

    def difference(sums: Floats) -> Floats:
        of_first, of_second = np.split(sums, 2, axis=-1)
        return metric.finish(of_first) - metric.finish(of_second)

    return bootstrap(both, first["subject"], difference, runs=first.get("run"))


def difference(first: Sequence[Run], second: Sequence[Run], metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return one row for each metric that both can be scored by: first minus second, on the same examples.

    Columns: ``dataset``, ``metric``, ``unit``, ``difference`` with ``low`` and ``high`` (95 % interval over pairs of
    runs and over the subjects of each), ``last_epoch`` with ``last_low`` and ``last_high`` (the same for the weights of
    the last step, NaN if a run has none), ``excludes_zero`` (whether a difference is claimed), ``fold_0``, ... with
    ``mean_over_folds`` and ``sd_over_folds`` of the differences, ``num_folds``, ``num_runs`` (pairs), ``num_seeds``,
    ``num_examples``, ``num_subjects``, ``diverged`` (which runs did), ``score`` and ``verdict`` (`in_words`). Raises
    ``ValueError`` as `paired_predictions` does.
    """
    one, other = paired_predictions(first, second)
    shared = _shared(first, second)
    ours, theirs = (at_last_step(runs) for runs in shared)
    last = paired_predictions(ours, theirs) if ours and theirs else None
    diverged, rows = diverged_at([run for runs in shared for run in runs]), []
    for metric in applicable(other, applicable(one, metrics)):
        found = paired_difference(one, other, metric)
        at_last = paired_difference(*last, metric) if last else None
        folds = [over_folds(table, [metric]).filter(regex=r"^fold_").iloc[0] for table in (one, other)]
        each = folds[0] - folds[1]
        row = {"dataset": dataset_of(one), "metric": metric.name, "unit": metric.unit, "difference": found.value}
        row |= {"low": found.low, "high": found.high, "last_epoch": at_last.value if at_last else np.nan}
        row |= {"last_low": at_last.low, "last_high": at_last.high} if at_last else {}
        row |= {**each, "mean_over_folds": each.mean(), "sd_over_folds": each.std(ddof=1)}
        row |= {"num_folds": each.notna().sum(), "num_runs": one["run"].nunique(), "num_seeds": one["seed"].nunique()}
        row |= {"num_examples": found.num_examples, "num_subjects": found.num_subjects, "diverged": diverged}
        rows.append(_judged(row))
    return pd.DataFrame(rows)


def differences(
    runs: Sequence[Run], questions: Mapping[str, tuple[tuple[str, str], tuple[str, str]]], metrics: Sequence[Metric]
) -> pd.DataFrame:
    """Return the `difference` of each pair of systems, (model, variant) minus (model, variant).

    Its question stands in the column ``comparison``. A pair that cannot be compared has one row without a metric, with
    the reason for a verdict.
    """
    systems, tables = by_system(runs), []
    for question, (first, second) in questions.items():
        pair = systems.get(first, []), systems.get(second, [])
        reason = why_not_paired(*pair)
        table = pd.DataFrame() if reason else difference(*pair, metrics)
        if table.empty:
            table = pd.DataFrame({"verdict": [f"not compared: {reason or 'no metric that both can be scored by'}"]})
        tables.append(table.assign(comparison=question))
    return _together(tables)


def printed_differences(printed: pd.DataFrame, questions: Mapping[str, tuple[tuple, tuple]]) -> pd.DataFrame:
    """Return `differences` of published scores in % that are known by one number for each fold.

    ``printed`` has a column for each fold and rows (metric, ...); ``questions`` holds pairs of its rows, of which those
    that it lacks are left out. The interval is that of `published_arithmetic.mean_of_few`.
    """
    tables = []
    for question, (first, second) in questions.items():
        if first in printed.index and second in printed.index:
            each = printed.loc[first] - printed.loc[second]
            row = dict(zip(("difference", "low", "high"), mean_of_few(each), strict=True)) | {"metric": first[0]}
            row |= {"unit": "%", "num_folds": len(each), "num_runs": len(each), **each.add_prefix("fold_")}
            tables.append(pd.DataFrame([_judged(row) | {"comparison": question}]))
    return _together(tables)


def _judged(row: dict[str, Any]) -> dict[str, Any]:
    """Add ``excludes_zero``, the ``score`` as text and the ``verdict`` to a row."""
    is_claimed = _verdict(row).split(";")[0] in ("above 0", "below 0")
    return row | {"excludes_zero": is_claimed, "score": _signed(row), "verdict": in_words(row)}


def _verdict(row: Row) -> str:
    if row["num_runs"] < ENOUGH_RUNS:
        return "too few runs to tell"
    if not (row["low"] > 0 or row["high"] < 0):
        return "the interval includes 0"
    verdict = "above 0" if row["low"] > 0 else "below 0"
    if "last_epoch" not in row:
        return verdict
    if np.isnan(row["last_epoch"]):
        return f"{verdict}; last epoch not recorded"
    holds = row["last_low"] > 0 if row["low"] > 0 else row["last_high"] < 0
    return verdict if holds else "only for the selected epoch"


def _together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    named = ["comparison", "dataset", "metric", "unit", "difference", "low", "high", "score", "excludes_zero"]
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*named, "verdict"])
    return in_order(found.reindex(columns=[*named, *(name for name in found if name not in named)]), named)


def _signed(row: Row) -> str:
    digits = 1 if row["unit"] == "%" else 2
    value, low, high = (f"{row[name]:+.{digits}f}" for name in ("difference", "low", "high"))
    return f"{value} [{low}, {high}]"


def in_words(row: Row) -> str:
    """Return a row of `difference` as a phrase: the difference, its interval, the pairs of runs, and the verdict.

    >>> row = {"difference": 0.62, "low": -0.4, "high": 1.5, "unit": "%", "num_folds": 3, "num_runs": 3}
    >>> row |= {"fold_0": 1.0, "fold_1": -0.1, "fold_2": 0.9}
    >>> in_words(row)
    '+0.6 [-0.4, +1.5] points of %, 3 pairs of runs, above 0 in 2 of 3 folds: the interval includes 0'
    >>> in_words(row | {"num_runs": 1, "low": 0.1})
    '+0.6 [+0.1, +1.5] points of %, 1 pair of runs, above 0 in 2 of 3 folds: too few runs to tell'
    """
    unit = "points of %" if row["unit"] == "%" else row["unit"]
    above = sum(row[name] > 0 for name in row.keys() if str(name).startswith("fold_"))  # noqa: SIM118
    pairs = f"{row['num_runs']} pair{'s' if row['num_runs'] > 1 else ''} of runs"
    mark = f"; {row['diverged']}" if row.get("diverged") else ""
    return f"{_signed(row)} {unit}, {pairs}, above 0 in {above} of {row['num_folds']} folds: {_verdict(row)}{mark}"


def sentences(found: pd.DataFrame, metrics: Sequence[Metric]) -> str:
    """Return a line for each row of `differences` that is of one of ``metrics``, or of systems not compared."""
    rows = found[found["metric"].isin([metric.name for metric in metrics]) | found["metric"].isna()]
    names = rows["comparison"].str.replace("\n", ", ") + (", " + rows["metric"].map(HEADINGS)).fillna("")
    return "\n".join(names + ": " + rows["verdict"])


def difference_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return `differences` in numbers as a reader sees them, one row for each comparison and metric."""
    hidden = ["unit", "score", "mean_over_folds", "num_folds", "diverged", "verdict", "last_low", "last_high"]
    shown = found[found["metric"].notna()].drop(columns=hidden, errors="ignore").convert_dtypes()
    if "last_epoch" in shown:
        shown["last_epoch"] = shown["last_epoch"].astype(object).fillna("not recorded")
    return readable(shown)
