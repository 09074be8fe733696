"""Systems: the runs of a model in one variant, grouped, filtered and named."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pandas as pd

from agegender.evaluation.records import Run
from agegender.evaluation.schemas import Record
from agegender.labels import SCHEMES, AgeScheme

Systems = dict[tuple[str, str], list[Run]]

SCORED_TOGETHER = ["preset", "paper", "model", "variant", "seed"]
"""The fields of a record that the folds of one row of scores have in common."""


def predictions_together(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the predictions of all runs as one table with the added columns ``model``, ``variant`` and ``seed``.

    Runs are ordered by model, variant, seed and fold. Raises ``ValueError`` when within one (model, variant, seed) an
    example occurs twice or the runs come from different manifests.
    """
    if not runs:
        raise ValueError("there are no runs to put together")
    keys = ["model", "variant", "seed"]
    for key, own in _grouped(runs, keys).items():
        if len({run.record["manifest_hash"] for run in own}) > 1:
            raise ValueError(f"the folds of {key} come from different manifests: run them again on one")
    ordered = sorted(runs, key=lambda run: tuple(run.record[key] for key in [*keys, "fold"]))
    tables = [run.predictions.assign(**{key: run.record[key] for key in keys}) for run in ordered]
    together = pd.concat(tables, ignore_index=True)
    twice = together[together.duplicated([*keys, "example"])]
    if len(twice):
        model, variant, seed, example = twice.iloc[0][[*keys, "example"]]
        raise ValueError(f"{len(twice)} examples occur twice in {model} {variant} seed {seed}, the first is {example}")
    return together


def _grouped(runs: Iterable[Run], fields: Sequence[str]) -> dict[tuple, list[Run]]:
    found: dict[tuple, list[Run]] = {}
    for run in runs:
        found.setdefault(tuple(run.record[field] for field in fields), []).append(run)
    return found


def by_system(runs: Iterable[Run]) -> Systems:
    """Return the runs of each (model, variant), in the order in which these first come."""
    return _grouped(runs, ["model", "variant"])


def by_seed(runs: Iterable[Run]) -> dict[tuple, list[Run]]:
    """Return the runs whose folds are scored together: those of one preset, paper, model, variant and seed."""
    return _grouped(runs, SCORED_TOGETHER)


def is_trained(record: Record) -> bool:
    """Say whether a run was trained in steps, also one that diverged before its first validation."""
    return bool(record["history"]) or record.get("diverged_at_step") is not None


def at_last_step(runs: Sequence[Run]) -> list[Run] | None:
    """Return the runs with the predictions of their last step; ``None`` where one has none.

    What was not trained in steps predicts as it does.
    """
    last = [(run, run.last if is_trained(run.record) else run.predictions) for run in runs]
    found = [replace(run, predictions=table) for run, table in last if table is not None]
    return found if len(found) == len(last) else None


def filter_runs(runs: Iterable[Run], is_kept: Callable[[pd.DataFrame], pd.Series]) -> list[Run]:
    """Return the runs with only the test examples for which ``is_kept(predictions)`` is true, if they have any."""
    kept = []
    for run in runs:
        rows = is_kept(run.predictions)
        last = None if run.last is None else run.last[rows].reset_index(drop=True)
        if rows.any():
            kept.append(replace(run, predictions=run.predictions[rows].reset_index(drop=True), last=last))
    return kept


def by_source(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs on the test examples of each corpus alone; before them all, as ``"all clips"``, of several."""
    sources = sorted({str(name) for run in runs for name in run.predictions["corpus"].unique()})

    def of(source: str) -> list[Run]:
        return filter_runs(runs, lambda predictions: predictions["corpus"].eq(source))

    parts = {source: of(source) for source in sources}
    return {"all clips": list(runs)} | parts if len(sources) > 1 else parts


def on_shared_folds(runs: Sequence[Run]) -> list[Run]:
    """Return the runs of the folds and seeds that all systems among them have, so that means are over the same."""
    places = [{(run.record["fold"], run.record["seed"]) for run in own} for own in by_system(runs).values()]
    shared = set.intersection(*places) if places else set()
    return [run for run in runs if (run.record["fold"], run.record["seed"]) in shared]


def predictions_by_title(runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Return the predictions of each system under its `title`, all folds together."""
    return {title(system): predictions_together(own) for system, own in by_system(runs).items()}


def intended_predictions(runs: Sequence[Run]) -> dict[str, pd.DataFrame]:
    """Return the predictions of each model as intended, all folds together; as published where none is intended."""
    systems = by_system(runs).items()
    intended = {model: own for (model, variant), own in systems if variant == "as_intended"}
    chosen = intended or {model: own for (model, _), own in systems}
    return {model: predictions_together(own) for model, own in chosen.items()}


def title(system: tuple[str, str]) -> str:
    """Return (model, variant) as a figure names it.

    >>> title(("both", "as_intended"))
    'both, as intended'
    """
    return ", ".join(system).replace("_", " ")


def diverged_at(runs: Sequence[Run]) -> str:
    """Return at which steps runs diverged, such as ``diverged at step 7``; nothing where none did."""
    steps = [str(run.record["diverged_at_step"]) for run in runs if run.record.get("diverged_at_step") is not None]
    return f"diverged at step {', '.join(steps)}" if steps else ""


def marked_title(system: tuple[str, str], runs: Sequence[Run]) -> str:
    """Return the `title`, and behind it the steps at which runs of the system diverged."""
    return ", ".join(filter(None, (title(system), diverged_at(runs))))


def system_name(runs: Sequence[Run]) -> str:
    """Return what a table calls the system of these runs, for example ``lmtcnn 1-1, as intended, seed 0, miniature``.

    What has to be known of one run, such as that it is reduced, is said of all.
    """
    record = runs[0].record
    marks = {
        "miniature": any(run.record["preset"] == "miniature" for run in runs),
        "selected on the test fold": any(run.record["selected_on_test"] for run in runs),
        "reduced": any(run.record["reduced"] is not None for run in runs),
        diverged_at(runs): bool(diverged_at(runs)),
    }
    name = f"{record['paper']} {record['model']}, {record['variant'].replace('_', ' ')}, seed {record['seed']}"
    return ", ".join([name, *(mark for mark, is_so in marks.items() if is_so)])


def dataset_of(predictions: pd.DataFrame) -> str:
    """Return the names of the tested corpora, joined by ``+``."""
    return " + ".join(sorted(predictions["corpus"].unique()))


def scheme_of(runs: Sequence[Run]) -> AgeScheme | None:
    """Return the age groups of the labels, or ``None`` where ages are in years; raise ``ValueError`` for several.

    Of models that predict no age groups, those of their corpus count, if any example is in one.
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
