"""Runs side by side: what was trained, and scores beside the best constant and the published numbers.

Tables are long, one row for each metric of each system; `readable` and `side_by_side` make of them what a page shows.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from agegender.evaluation.baselines import best_constant_across_folds, labels_of_training
from agegender.evaluation.intervals import pooled_and_by_fold
from agegender.evaluation.metrics import HEADINGS, Metric, applicable
from agegender.evaluation.records import Run
from agegender.evaluation.systems import (
    SCORED_TOGETHER,
    by_seed,
    by_system,
    dataset_of,
    is_trained,
    marked_title,
    predictions_together,
    scheme_of,
    system_name,
)

Curves = dict[str, dict[int, list[dict[str, float]]]]

_WORDS = {"num_runs": "pairs of runs", "sd_over_folds": "SD over folds", "excludes_zero": "excludes 0"}


def _extent(values: Sequence[int]) -> str:
    """The lowest and the highest value as text; nothing for no value."""
    return " to ".join(str(value) for value in sorted({min(values), max(values)})) if values else ""


def overview(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row for each system: what was trained, for how long, and how its weights were chosen.

    ``epochs`` counts validations and ``kept`` is the one whose weights were tested, from 1 (0: the initial weights),
    empty for what was not trained in epochs; ``minutes`` adds up.
    """
    rows = []
    for system, own in by_system(runs).items():
        records = [run.record for run in own]
        trained = [record for record in records if is_trained(record)]
        kept = [[0, *(line["step"] for line in each["history"])].index(each["selected_step"]) for each in trained]
        rows.append(
            {
                "system": marked_title(system, own),
                "dataset": dataset_of(pd.concat([run.predictions for run in own])),
                "folds": ", ".join(str(fold) for fold in sorted({record["fold"] for record in records})),
                "seeds": len({record["seed"] for record in records}),
                "parameters": records[0]["num_parameters"],
                "epochs": _extent([len(record["history"]) for record in records]),
                "kept": _extent(kept),
                "minutes": sum(record["seconds"] for record in records) / 60,
                "selection": "; ".join(sorted({record["selection"] for record in records})),
                "reduced": "; ".join(sorted({record["reduced"] or "nothing" for record in records})),
            }
        )
    return pd.DataFrame(rows)


def curves(runs: Sequence[Run]) -> Curves:
    """Return the history of each fold of each system that was trained in steps, its lines numbered as ``epoch`` from 1.

    Systems are named by `marked_title`; of several seeds the lowest counts.
    """
    return {
        marked_title(system, own): {
            run.record["fold"]: [line | {"epoch": epoch} for epoch, line in enumerate(run.record["history"], 1)]
            for run in _of_lowest_seed(own)
        }
        for system, own in by_system(runs).items()
        if any(is_trained(run.record) for run in own)
    }


def _of_lowest_seed(runs: Sequence[Run]) -> list[Run]:
    lowest = min(run.record["seed"] for run in runs)
    return [run for run in runs if run.record["seed"] == lowest]


def examples_of_constant(runs: Sequence[Run]) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Return the predictions that the best constant replaces, and for a single fold the labels of its training part.

    They are those of the system with the most examples, of one seed: of several folds before one fold, which needs the
    labels that it was trained on in its record, then as intended before as published. ``None`` where there is none.
    """
    candidates = []
    for (_, variant), own in by_system(runs).items():
        together = predictions_together(_of_lowest_seed(own))
        has_several = len(together["fold"].unique()) > 1
        training = None if has_several else labels_of_training(own[0].record, together["corpus"].unique())
        if has_several or training is not None:
            candidates.append(((has_several, variant == "as_intended", len(together)), together, training))
    return max(candidates, key=lambda found: found[0])[1:] if candidates else (None, None)


def scores(runs: Sequence[Run], metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return one row for each metric of each system and seed, and of the best constant at the end.

    Columns: ``system`` (a name), ``dataset``, `SCORED_TOGETHER`, ``origin`` (``ours`` or ``baseline``), and those of
    `intervals.pooled_and_by_fold`: value and interval pooled over folds, and each fold. Each metric has its own best
    constant. Raises ``ValueError`` for no runs, and as `systems.predictions_together` does.
    """
    if not runs:
        raise ValueError("there are no runs to score")
    tables = []
    for key, own in by_seed(runs).items():
        predictions = predictions_together(own)
        names = {"system": system_name(own), "dataset": dataset_of(predictions), "origin": "ours"}
        names |= dict(zip(SCORED_TOGETHER, key, strict=True))
        tables.append(pooled_and_by_fold(predictions, metrics).assign(**names))
    tested, training = examples_of_constant(runs)
    for metric in metrics:
        if tested is None:
            break
        constant = best_constant_across_folds(tested, scheme_of(runs), metric, training)
        if applicable(constant, [metric]):
            names = {"system": "best constant", "dataset": dataset_of(tested), "origin": "baseline"}
            tables.append(pooled_and_by_fold(constant, [metric]).assign(**names))
    return in_order(pd.concat(tables, ignore_index=True), ["system", "dataset", *SCORED_TOGETHER, "metric", "unit"])


def in_order(table: pd.DataFrame, first: list[str]) -> pd.DataFrame:
    """Return the table with the columns ``first``, then ``fold_0``, ``fold_1``, ... by number, then all others."""
    folds = sorted(table.filter(regex=r"^fold_\d"), key=lambda name: int(str(name).split("_")[1]))
    return table[[*first, *folds, *(name for name in table if name not in [*first, *folds])]]


def beside_published(scored: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Return our `scores` and the published numbers over all folds (`published.load_published`) in one long table.

    ``origin`` is ``ours``, ``published`` or ``baseline``. A published number has ``value`` and
    ``mean_over_folds`` as printed, that as text in ``score``, and no interval. Only metrics of ours are kept.
    """
    ours = scored.assign(protocol="as its name says; see the page before", source="this book")
    theirs = published[published["fold"].isna() & published["metric"].isin(scored["metric"])]
    origin = np.where(theirs["model"].eq("constant"), "baseline", "published")
    text = theirs["value"].map("{:g}".format)
    theirs = theirs.assign(origin=origin, mean_over_folds=theirs["value"], score=text)
    columns = ["origin", "system", "model", "dataset", "metric", "unit", "value", "low", "high", "score"]
    columns += ["mean_over_folds", "num_examples", "protocol", "source"]
    both = [table.reindex(columns=columns).astype({"num_examples": "Int64"}) for table in (ours, theirs)]
    return pd.concat(both, ignore_index=True).fillna({"model": ""})


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the headings and names of metrics that a reader sees, in its columns, index and cells."""

    def words(name: object) -> str | None:
        if name is None:
            return None
        return HEADINGS.get(str(name)) or _WORDS.get(str(name)) or str(name).removeprefix("num_").replace("_", " ")

    table = table.replace({"metric": HEADINGS}) if "metric" in table else table
    return table.rename(index=HEADINGS, columns=words).rename_axis(index=words, columns=words)


def side_by_side(
    table: pd.DataFrame, index: Sequence[str], columns: str | list[str] = "metric", values: str = "score"
) -> pd.DataFrame:
    """Return a long table as a reader sees it: ``index`` names the rows, the values of ``columns`` the columns."""
    wide = table.pivot_table(index=list(index), columns=columns, values=values, aggfunc="first", sort=False)
    return readable(wide.fillna("") if values == "score" else wide)


def by_fold(scored: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return `scores` as papers print them: each fold, the mean over folds and the standard deviation between them."""
    rows = scored[scored["metric"].isin([metric.name for metric in metrics])]
    return readable(rows[["system", "dataset", "metric", *rows.filter(regex=r"^fold_|_over_folds$")]])
