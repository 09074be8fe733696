"""Systems side by side: their runs, their scores beside the best constant, and one minus another on the same
examples.

A *system* is a model in one variant. Two systems are compared on the folds and seeds that both have and on the examples
that both were asked about, example by example, so that an easy fold or a lucky seed cannot make the difference.
Systems whose folds were drawn otherwise, by clip and by subject, are paired over all these folds together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from agegender.evaluation.baselines import labels_of_training, summarise_constants
from agegender.evaluation.intervals import REPLICATES
from agegender.evaluation.records import Run, predictions_together
from agegender.evaluation.schemas import Record
from agegender.evaluation.scores import METRICS, Metric, applicable
from agegender.evaluation.tables import differences, diverged_at, over_folds, summary, with_interval
from agegender.labels import SCHEMES, AgeScheme

ENOUGH_RUNS = 3
"""Pairs of trained runs from which on a difference is claimed: of fewer nobody knows how much a run varies."""

Systems = dict[tuple[str, str], list[Run]]


def by_system(runs: Sequence[Run]) -> Systems:
    """Return the runs of each (model, variant), in the order in which these first come."""
    systems: Systems = {}
    for run in runs:
        systems.setdefault((run.record["model"], run.record["variant"]), []).append(run)
    return systems


def among(runs: Iterable[Run], chosen: Callable[[pd.DataFrame], pd.Series]) -> list[Run]:
    """Return the runs with only the test examples for which ``chosen`` (of the predictions) is true.

    Runs that were asked about none of them are left out. So everything here can be asked of one corpus, of one gender
    or of the rare ages alone.
    """
    parts = [replace(run, predictions=run.predictions[chosen(run.predictions)].reset_index(drop=True)) for run in runs]
    return [run for run in parts if len(run.predictions)]


def title(system: tuple[str, str]) -> str:
    """Return (model, variant) as a figure names it.

    >>> title(("both", "as_intended"))
    'both, as intended'
    """
    return ", ".join(system).replace("_", " ")


def marked_title(system: tuple[str, str], runs: Sequence[Run]) -> str:
    """Return the `title`, and behind it the steps at which runs of the system diverged."""
    return ", ".join(filter(None, (title(system), diverged_at([run.record for run in runs]))))


def _extent(values: Iterable[int]) -> str:
    """The lowest and the highest value as text; nothing for no value."""
    seen = list(values)
    if not seen:
        return ""
    low, high = min(seen), max(seen)
    return str(low) if low == high else f"{low} to {high}"


def overview(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row for each system: what was trained, for how long, and how its weights were chosen.

    ``epochs`` counts the validations of a run and ``kept`` is the one whose weights were tested (0: the initial ones,
    of a run that diverged), empty for what was not trained in epochs; ``minutes`` adds up. Which runs diverged is said
    beside the name.
    """
    rows = []
    for system, own in by_system(runs).items():
        records = [run.record for run in own]
        rows.append(
            {
                "system": marked_title(system, own),
                "dataset": " + ".join(sorted({name for run in own for name in run.predictions["corpus"].unique()})),
                "folds": ", ".join(str(fold) for fold in sorted({record["fold"] for record in records})),
                "seeds": len({record["seed"] for record in records}),
                "parameters": records[0]["num_parameters"],
                "epochs": _extent(len(record["history"]) for record in records),
                "kept": _extent(_kept(record) for record in records if _is_trained(record)),
                "minutes": sum(record["seconds"] for record in records) / 60,
                "selection": "; ".join(sorted({record["selection"] for record in records})),
                "reduced": "; ".join(sorted({record["reduced"] or "nothing" for record in records})),
            }
        )
    return pd.DataFrame(rows)


def _kept(record: Record) -> int:
    """Which validation it was whose weights were kept, from 1; 0 for the initial weights."""
    return [0, *(line["step"] for line in record["history"])].index(record["selected_step"])


def histories(runs: Sequence[Run]) -> dict[int, list[dict[str, float]]]:
    """Return the history of each fold of one system, its lines numbered as ``epoch`` from 1.

    Where there are several seeds, those of the lowest.
    """
    seed = min(run.record["seed"] for run in runs)
    return {
        run.record["fold"]: [{**line, "epoch": epoch} for epoch, line in enumerate(run.record["history"], start=1)]
        for run in runs
        if run.record["seed"] == seed
    }


def curves(found: Systems) -> dict[str, dict[int, list[dict[str, float]]]]:
    """Return the `histories` of each system that was trained in steps, under its `marked_title`: for `curve_grid`."""
    trained = {system: runs for system, runs in found.items() if any(_is_trained(run.record) for run in runs)}
    return {marked_title(system, runs): histories(runs) for system, runs in trained.items()}


def _is_trained(record: Record) -> bool:
    return bool(record["history"]) or record.get("diverged_at_step") is not None


def scheme_of(runs: Sequence[Run]) -> AgeScheme | None:
    """Return the age groups of the labels, or ``None`` where ages are in years; raise ``ValueError`` for several.

    A model that says no age has no scheme in its record; the groups of its corpus then tell it, if any example is in
    one: a table of one's own may have ages in years only.
    """
    known = {tuple(scheme.labels): name for name, scheme in SCHEMES.items()}
    names = {run.record["scheme"] for run in runs}
    if names == {None}:
        counts = [run.record["manifest"].get("age_groups", {}) for run in runs]
        names = {known.get(tuple(groups)) for groups in counts if any(groups.values())}
    names -= {None}
    if len(names) > 1:
        raise ValueError(f"the runs have several schemes of age groups: {', '.join(sorted(names))}")
    return SCHEMES[names.pop()] if names else None


def asked_of_constant(runs: Sequence[Run]) -> pd.DataFrame | None:
    """Return the predictions whose examples a constant is asked about, or ``None`` where no system can have one.

    They are those of the system with the most examples, of one seed; as intended before as published. A system of one
    fold has a constant only if its record counts the labels that it was trained on, and then after those of several.
    """
    return _asked_of_constant(runs)[0]


def _asked_of_constant(runs: Sequence[Run]) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """The same, and for a single fold the labels of its training part."""
    candidates = []
    for (_, variant), folds in by_system(runs).items():
        seed = min(run.record["seed"] for run in folds)
        own = [run for run in folds if run.record["seed"] == seed]
        together = predictions_together(own)
        training = labels_of_training(own[0].record, together["corpus"].unique())
        has_several = len(together["fold"].unique()) > 1
        if has_several or training is not None:
            rank = (has_several, variant == "as_intended", len(together))
            candidates.append((rank, together, None if has_several else training))
    return max(candidates, key=lambda found: found[0])[1:] if candidates else (None, None)


def scores_beside_constant(
    runs: Sequence[Run], metrics: Sequence[Metric] = METRICS, replicates: int = REPLICATES
) -> pd.DataFrame:
    """Return the ``tables.summary`` of the runs with the rows of the best constant at its end.

    Each metric has the constant that is best for it, by the labels of the other folds (``summarise_constants``). Two
    columns are added: ``score``, the pooled value with its interval as text, and ``origin``: ``ours`` or ``baseline``.
    """
    rows = [summary(runs, metrics, replicates).assign(origin="ours")]
    asked, training = _asked_of_constant(runs)
    if asked is not None:
        trivial = summarise_constants(asked, scheme_of(runs), metrics, replicates, training)
        trivial = trivial.assign(system="best constant", origin="baseline")
        rows.append(trivial.assign(dataset=" + ".join(sorted(asked["corpus"].unique()))))
    table = pd.concat(rows, ignore_index=True)
    digits = table["unit"].map(lambda unit: 1 if unit == "%" else 2)
    bounds = zip(table["pooled"], table["low"], table["high"], digits, strict=True)
    return table.assign(score=[with_interval(*values) for values in bounds])


def why_not_paired(first: Sequence[Run], second: Sequence[Run]) -> str | None:
    """Return why two systems cannot be compared example by example, or ``None`` when they can."""
    ours, theirs = _shared(first, second)
    if not ours:
        return "no fold and seed that both have run"
    hashes = {run.record["manifest_hash"] for run in [*ours, *theirs]}
    if len(hashes) > 1:
        return "they read the corpus differently, so that row numbers do not mean the same examples"
    if not set(predictions_together(ours)["example"]) & set(predictions_together(theirs)["example"]):
        return "no example that both were asked about"
    return None


def _shared(first: Sequence[Run], second: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of both whose fold and seed the other has too."""

    def places(runs: Sequence[Run]) -> set[tuple[int, int]]:
        return {(run.record["fold"], run.record["seed"]) for run in runs}

    both = places(first) & places(second)
    kept = [[run for run in runs if (run.record["fold"], run.record["seed"]) in both] for runs in (first, second)]
    return kept[0], kept[1]


def paired_predictions(first: Sequence[Run], second: Sequence[Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the predictions of two systems for the same examples, in the same order.

    Of the folds and seeds that both have, the examples that both were asked about, in whichever of these folds (the
    column ``fold`` is each system's own). Where there are several seeds, ``example`` is numbered anew so that an answer
    of each seed is a row of its own. Raises ``ValueError`` with the reason of `why_not_paired`.
    """
    reason = why_not_paired(first, second)
    if reason:
        raise ValueError(f"these systems cannot be paired: {reason}")
    tables = [predictions_together(runs) for runs in _shared(first, second)]
    key = ["seed", "example"]
    keys = [pd.MultiIndex.from_frame(table[key]) for table in tables]
    common = keys[0].intersection(keys[1]).sort_values()
    paired = []
    for table in tables:
        own = table.set_index(key).loc[common].reset_index()
        numbers = own["example"] if len(own["seed"].unique()) == 1 else np.arange(len(own))
        paired.append(own.assign(example=numbers))
    return paired[0], paired[1]


def compare(
    first: Sequence[Run],
    second: Sequence[Run],
    metrics: Sequence[Metric] = METRICS,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row for each metric that both can be scored by: first minus second, on the same examples.

    Columns: ``metric``, ``unit``, ``dataset``, ``difference`` with ``low`` and ``high`` (95 % interval over pairs of
    runs and over the subjects of each), ``told_from_none`` (whether there are ``ENOUGH_RUNS`` pairs and the interval
    leaves out 0), ``num_runs`` (pairs), ``fold_0``, ... with
    ``mean_over_folds`` and ``sd_over_folds`` of the differences (between unlike examples where the two draw their folds
    otherwise), ``num_folds``, ``num_seeds``, ``num_examples`` and ``num_subjects``; ``diverged`` says in words which of
    the runs that were compared did. Empty when no metric scores both.
    Raises ``ValueError`` as `paired_predictions` does.
    """
    one, other = paired_predictions(first, second)
    shared = [metric for metric in applicable(one, metrics) if metric in applicable(other, metrics)]
    if not shared:
        return pd.DataFrame()
    one = one.assign(run=one.groupby(["seed", "fold"]).ngroup())
    table = differences(one, other, shared, replicates, seed)
    values = [over_folds(answers, shared).filter(like="fold_") for answers in (one, other)]
    each = values[0] - values[1]
    spread = {"mean_over_folds": each.mean(axis=1), "sd_over_folds": each.std(axis=1, ddof=1)}
    table = pd.concat([table, each.assign(**spread, num_folds=each.notna().sum(axis=1))], axis=1)
    num_runs = one["run"].nunique()
    excludes = ((table["low"] > 0) | (table["high"] < 0)) & (num_runs >= ENOUGH_RUNS)
    table.insert(2, "dataset", " + ".join(sorted(one["corpus"].unique())))
    diverged = diverged_at([run.record for runs in _shared(first, second) for run in runs])
    return table.assign(told_from_none=excludes, num_runs=num_runs, num_seeds=one["seed"].nunique(), diverged=diverged)


def in_words(row: pd.Series) -> str:
    """Return a row of `compare` as a phrase: the difference, its interval, the pairs of runs, and the verdict.

    >>> row = {"difference": 0.62, "low": -0.4, "high": 1.5, "unit": "%", "num_folds": 3, "num_runs": 3}
    >>> row |= {"fold_0": 1.0, "fold_1": -0.1, "fold_2": 0.9}
    >>> in_words(pd.Series(row))
    '+0.6 [-0.4, +1.5] points of %, 3 pairs of runs, above 0 in 2 of 3 folds: cannot be told from none'
    >>> in_words(pd.Series(row | {"num_runs": 1, "low": 0.1}))
    '+0.6 [+0.1, +1.5] points of %, 1 pair of runs, above 0 in 2 of 3 folds: too few runs to tell'
    """
    unit = "points of %" if row["unit"] == "%" else row["unit"]
    digits = 1 if row["unit"] == "%" else 2
    value, low, high = (f"{row[name]:+.{digits}f}" for name in ("difference", "low", "high"))
    above = sum(row[name] > 0 for name in row.index if str(name).startswith("fold_"))
    verdict = "cannot be told from none"
    if row["low"] > 0 or row["high"] < 0:
        verdict = "above 0" if row["low"] > 0 else "below 0"
    if row["num_runs"] < ENOUGH_RUNS:
        verdict = "too few runs to tell"
    pairs = f"{row['num_runs']} pair{'s' if row['num_runs'] > 1 else ''} of runs"
    mark = f"; {row['diverged']}" if row.get("diverged") else ""
    return f"{value} [{low}, {high}] {unit}, {pairs}, above 0 in {above} of {row['num_folds']} folds: {verdict}{mark}"
