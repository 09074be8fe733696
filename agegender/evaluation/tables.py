"""The tables of the book: scores with intervals, folds and their spread, published numbers beside ours, groups.

Every table is a plain DataFrame with one row for each metric of each system; a notebook chooses rows and styles them.
Column names say over what a spread is: ``sd_over_folds`` is the standard deviation of the values of the folds
(n - 1), ``low`` and ``high`` the 95 % interval by bootstrap over subjects (`intervals`).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agegender.evaluation.intervals import REPLICATES, Interval, paired_difference, percentile_interval, resampled_sums
from agegender.evaluation.records import Run, predictions_together
from agegender.evaluation.schemas import Record
from agegender.evaluation.scores import METRICS, Metric, applicable

SYSTEM = ("preset", "paper", "model", "variant", "seed")
"""The fields of a record that tell one system from another; its folds are summarised together."""


def with_interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """Return a value and its interval as text.

    >>> with_interval(43.81, 42.92, 44.7), with_interval(43.81, float("nan"), float("nan"))
    ('43.8 [42.9, 44.7]', '43.8')
    """
    if pd.isna(low) or pd.isna(high):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def score(
    predictions: pd.DataFrame,
    metrics: Sequence[Metric] = METRICS,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row for each metric.

    Columns: ``metric``, ``unit``, ``value``, ``low``, ``high``, ``num_examples``, ``num_subjects``. Metrics for which
    no row has a label are left out. Rows without the label of a metric do not enter it, and ``num_examples`` counts
    those that do. Values are pooled over all rows; ``low`` and ``high`` bound the 95 % interval over subjects and are
    NaN for a single subject. Raises ``ValueError`` when no metric can be scored.
    """
    chosen = applicable(predictions, metrics)
    if not chosen:
        raise ValueError(f"no row has a label for any of {', '.join(metric.name for metric in metrics)}")
    by_rows: dict[bytes, list[Metric]] = {}  # metrics that enter with the same rows share the draws of subjects
    for metric in chosen:
        by_rows.setdefault(predictions[metric.needs].notna().to_numpy().tobytes(), []).append(metric)
    rows: dict[str, Interval] = {}
    for together in by_rows.values():
        labelled = predictions[predictions[together[0].needs].notna()]
        found = _intervals(labelled, together, replicates, seed)
        rows |= {metric.name: interval for metric, interval in zip(together, found, strict=True)}
    return pd.DataFrame(
        [{"metric": metric.name, "unit": metric.unit, **_cells(rows[metric.name])} for metric in chosen]
    )


def _intervals(labelled: pd.DataFrame, metrics: list[Metric], replicates: int, seed: int) -> list[Interval]:
    """Bootstrap several metrics of the same rows on the same draws of subjects."""
    terms = [metric.terms(labelled) for metric in metrics]
    drawn = resampled_sums(np.hstack(terms), labelled["subject"], replicates, seed)
    found, start = [], 0
    for metric, own in zip(metrics, terms, strict=True):
        replicated = metric.finish(drawn[:, start : start + own.shape[1]])
        start += own.shape[1]
        found.append(percentile_interval(float(metric.finish(own.sum(axis=0))), replicated, labelled["subject"]))
    return found


def _cells(found: Interval) -> dict[str, float]:
    extent = {"num_examples": found.num_examples, "num_subjects": found.num_subjects}
    return {"value": found.value, "low": found.low, "high": found.high, **extent}


def over_folds(predictions: pd.DataFrame, metrics: Sequence[Metric] = METRICS) -> pd.DataFrame:
    """Return one row for each metric with its value in each fold, their mean and their standard deviation (n - 1).

    Columns: ``metric``, ``fold_0``, ``fold_1``, ... (NaN where a fold has no label for the metric),
    ``mean_over_folds``, ``sd_over_folds`` (NaN for one fold) and ``num_folds``.
    """
    rows = []
    for metric in applicable(predictions, metrics):
        labelled = predictions[predictions[metric.needs].notna()]
        values = {f"fold_{fold}": metric.value(part) for fold, part in labelled.groupby("fold")}
        each = pd.Series(values, dtype="float64")
        spread = {"mean_over_folds": each.mean(), "sd_over_folds": each.std(ddof=1), "num_folds": len(each)}
        rows.append({"metric": metric.name, **values, **spread})
    return pd.DataFrame(rows)


def summarise(
    predictions: pd.DataFrame, metrics: Sequence[Metric] = METRICS, replicates: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """Return `over_folds` and, as ``pooled``, ``low`` and ``high``, the `score` of all folds together.

    ``predictions`` holds the folds of one system: a model or a baseline.
    """
    pooled = score(predictions, metrics, replicates, seed).rename(columns={"value": "pooled"})
    return pooled[["metric", "unit"]].merge(over_folds(predictions, metrics)).merge(pooled)


def system_name(folds: Sequence[Run]) -> str:
    """Return what a table calls the system of these runs, for example ``lmtcnn 1-1, as intended, seed 0, miniature``.

    A miniature, a selection on the test fold, a reduced run and one that diverged are always said, also if one fold
    only was so.
    """
    record = folds[0].record
    marks = {
        "miniature": any(run.record["preset"] == "miniature" for run in folds),
        "selected on the test fold": any(run.record["selected_on_test"] for run in folds),
        "reduced": any(run.record["reduced"] is not None for run in folds),
    }
    name = f"{record['paper']} {record['model']}, {record['variant'].replace('_', ' ')}, seed {record['seed']}"
    diverged = diverged_at([run.record for run in folds])
    return ", ".join([name, *(mark for mark, is_so in marks.items() if is_so), *([diverged] if diverged else [])])


def diverged_at(records: Sequence[Record]) -> str:
    """Return at which steps these runs diverged, in the order in which they come; nothing where none did.

    >>> diverged_at([{"diverged_at_step": 7}, {"diverged_at_step": None}, {}])
    'diverged at step 7'
    """
    steps = [str(step) for record in records if (step := record.get("diverged_at_step")) is not None]
    return f"diverged at step {', '.join(steps)}" if steps else ""


def summary(
    runs: Sequence[Run], metrics: Sequence[Metric] = METRICS, replicates: int = REPLICATES, seed: int = 0
) -> pd.DataFrame:
    """Return `summarise` for each system among the runs, in the order in which the systems first come.

    The columns ``system`` (a name), ``dataset`` and those of `SYSTEM` come first. All systems are resampled with the
    same seed. Raises ``ValueError`` as `records.predictions_together` does.
    """
    systems: dict[tuple, list[Run]] = {}
    for run in runs:
        systems.setdefault(tuple(run.record[field] for field in SYSTEM), []).append(run)
    if not systems:
        raise ValueError("there are no runs to summarise")
    tables = []
    for key, folds in systems.items():
        predictions = predictions_together(folds)
        table = summarise(predictions, metrics, replicates, seed)
        names = {"system": system_name(folds), "dataset": " + ".join(sorted(predictions["corpus"].unique()))}
        names |= dict(zip(SYSTEM, key, strict=True))
        for position, (column, value) in enumerate(names.items()):
            table.insert(position, column, value)
        tables.append(table)
    return _folds_first(pd.concat(tables, ignore_index=True))


def _folds_first(table: pd.DataFrame) -> pd.DataFrame:
    """Put ``fold_0``, ``fold_1``, ... side by side after the unit, also where systems have different folds."""
    names = [str(name) for name in table]
    folds = sorted((name for name in names if name.startswith("fold_")), key=lambda name: int(name.split("_")[1]))
    others = [name for name in names if name not in folds]
    after = others.index("unit") + 1
    return table[[*others[:after], *folds, *others[after:]]]


def beside_published(ours: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Return our systems and the published ones in one long table.

    ``ours`` is the outcome of `summary` (or of `summarise`, with the columns ``system`` and ``dataset`` added);
    ``published`` that of `published.load_published`. Columns: ``origin`` (``ours`` or ``published``), ``system``,
    ``dataset``, ``metric``, ``unit``, ``value`` (the mean over folds, or what was printed), ``spread`` and
    ``spread_over``, ``pooled`` with ``low`` and ``high`` over subjects (ours only), ``num_examples``, ``protocol``,
    ``source``. Only metrics that ours has are kept, and only the published rows over all folds.
    Compare across rows only with ``dataset`` and ``protocol`` in view.
    """
    own = ours.rename(columns={"mean_over_folds": "value", "sd_over_folds": "spread"})
    own = own.assign(origin="ours", spread_over="folds", protocol="see the chapter", source="this book")
    whole = published[published["fold"].isna() & published["metric"].isin(ours["metric"])]
    columns = ["origin", "system", "dataset", "metric", "unit", "value", "spread", "spread_over"]
    columns += ["pooled", "low", "high", "num_examples", "protocol", "source"]
    both = [own.reindex(columns=columns), whole.assign(origin="published").reindex(columns=columns)]
    return pd.concat([table.astype({"num_examples": "Int64"}) for table in both], ignore_index=True)


def by_group(
    predictions: pd.DataFrame,
    column: str,
    metrics: Sequence[Metric] = METRICS,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> pd.DataFrame:
    """Return `score` for the rows of each value of ``column`` (``true_group``, ``true_gender``, ...), counts included.

    The first column, ``group``, holds the value; rows without one are scored together as ``"missing"`` and not left
    out. Subjects are resampled within a group. Groups in which nothing can be scored are left out.
    """
    if column not in predictions:
        raise ValueError(f"no column {column!r} to group by: there are {', '.join(map(str, predictions.columns))}")
    tables = []
    for value, part in predictions.groupby(column, dropna=False, observed=True):
        if applicable(part, metrics):
            table = score(part, metrics, replicates, seed)
            table.insert(0, "group", "missing" if pd.isna(value) else value)
            tables.append(table)
    if not tables:
        raise ValueError(f"no row has a label for any of {', '.join(metric.name for metric in metrics)}")
    return pd.concat(tables, ignore_index=True)


def differences(
    first: pd.DataFrame,
    second: pd.DataFrame,
    metrics: Sequence[Metric] = METRICS,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the `intervals.paired_difference` (first minus second) of each metric that both tables can be scored by.

    Columns as in `score`, with ``difference`` for ``value``. Raises ``ValueError`` when the examples do not agree.
    """
    rows = []
    usable = {metric.name for metric in applicable(second, metrics)}
    for metric in applicable(first, metrics):
        if metric.name in usable:
            pair = [table[table[metric.needs].notna()] for table in (first, second)]
            found = paired_difference(pair[0], pair[1], metric, replicates, seed)
            rows.append({"metric": metric.name, "unit": metric.unit, **_cells(found)})
    return pd.DataFrame(rows).rename(columns={"value": "difference"})
