"""From a fitted model to a run record: the table of predictions, and where it all came from."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.manifest import Manifest
from agegender.data.parts import repeats_of
from agegender.evaluation.records import LAST_PREDICTIONS, OTHER_TESTS, is_finished, read_run, run_name, write_run
from agegender.models.multitask import MultiTaskModel
from agegender.training import protocol
from agegender.training.fit import FitResult, TrainingConfig
from agegender.training.prediction import PRECISION, Prepare
from agegender.training.provenance import circumstances, predictions_hash, weights_hash
from agegender.training.settings import plain, red_channel, settings_of_heads


def predictions_table(
    examples: pd.DataFrame, rows: np.ndarray, fold: int, decoded: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Return one row for each test example, in the order of ``rows``, without its path.

    ``examples`` is the whole manifest, ``rows`` are the row numbers of the test part, ``decoded`` is what ``predict``
    returns for them; what the model has no head for stays empty. ``corpus`` is the ``source_corpus`` of an example of a
    pack. ``subject_number`` takes the place of the name when the run is published. An example that its corpus lists
    several times (``agegender.data.parts``) stands there once, with its first prediction, and ``repeats`` says how
    often. Raises ``ValueError`` when there are more or fewer predictions than rows, for predictions of anything but
    age, group and gender, and for an example that is there more often than it is listed.
    """
    if unknown := sorted(set(decoded) - {"age", "p_group", "p_female"}):
        raise ValueError(f"the table has no column for what the heads call {', '.join(unknown)}: it would be lost")
    for name, values in decoded.items():
        if len(values) != len(rows):
            raise ValueError(f"{len(values)} predictions of {name!r} for {len(rows)} test examples")
    own, first, repeats = np.unique(rows, return_index=True, return_counts=True)
    if (repeats > repeats_of(examples)[own]).any():
        example = own[np.argmax(repeats > repeats_of(examples)[own])]
        raise ValueError(f"example {example} is in the test part more often than its corpus lists it: split again")
    in_order = np.argsort(first)
    rows, decoded = rows[first[in_order]], {name: values[first[in_order]] for name, values in decoded.items()}
    first_row = pd.Series(np.arange(len(examples))).groupby(examples["subject"].to_numpy()).transform("min")
    test, missing = examples.iloc[rows], np.full(len(rows), np.nan)
    table = pd.DataFrame(
        {
            "example": rows.astype(np.int64),
            "subject": test["subject"].to_numpy(),
            "subject_number": first_row.to_numpy()[rows],
            "fold": np.int64(fold),
            "corpus": test["source_corpus" if "source_corpus" in test else "corpus"].to_numpy(),
            "true_age": test["age"].to_numpy(),
            "true_group": test["age_group"].array,
            "true_gender": test["gender"].array,
            "age": decoded.get("age", missing).astype(np.float64),
        }
    )
    for group, probabilities in enumerate(decoded.get("p_group", np.empty((len(test), 0))).T):
        table[f"p_group_{group}"] = probabilities.astype(np.float32)
    table["p_female"] = decoded.get("p_female", missing).astype(np.float32)
    return table.assign(repeats=repeats[in_order]) if repeats.max() > 1 else table


@dataclass(frozen=True)
class BegunRun:
    """A run before its training: where it goes, and the examples that its batches really show."""

    folder: Path
    paper: str
    parameters: dict[str, Any]
    manifest: Manifest
    parts: protocol.Parts
    facts: dict[str, Any]


def begin_run(
    folder: Path,
    paper: str,
    parameters: dict[str, Any],
    manifest: Manifest,
    recipe: Any,
    shown: tuple[TrainingBatches, EvaluationBatches, np.ndarray],
) -> BegunRun:
    """Return the run that is to be trained, unless its parts have more in common than ``recipe.protocol`` allows.

    ``parameters`` are those of the notebook, with ``model``, ``variant``, ``fold`` and ``seed`` among them. ``recipe``
    is a dataclass of decisions. ``shown`` are the batches of training and of validation that ``fit`` gets, and the rows
    of ``manifest`` that will be tested. Raises ``ValueError`` naming the subjects that parts share, and when ``folder``
    holds a finished run on other data.
    """
    if is_finished(folder) and read_run(folder).record["manifest_hash"] != manifest.hash():
        raise ValueError(f"{folder} holds a finished run on other data: delete it, or name another run_folder")
    training, validation, test = shown
    seen = {"train": protocol.rows_of(training, manifest), "validation": protocol.rows_of(validation, manifest)}
    parts = seen | {"test": np.asarray(test)}
    facts = {
        "recipe": plain(recipe),
        "parts": protocol.describe_parts(parts, manifest.examples),
        "overlaps": protocol.checked_overlaps(parts, manifest.examples, recipe.protocol),
        "selected_on_test": bool(np.isin(parts["validation"], parts["test"]).any()),
        "batches": {"train": training.settings, "validation": validation.settings},
    }
    return BegunRun(Path(folder), paper, parameters, manifest, parts, facts)


def finish_run(
    run: BegunRun,
    *,
    model: MultiTaskModel,
    prepare: Prepare,
    config: TrainingConfig,
    result: FitResult,
    test: EvaluationBatches,
    predictions: pd.DataFrame,
    selection: str,
    reduced: str | None,
) -> None:
    """Write ``predictions.parquet`` and then ``record.json`` into the run folder.

    The preset stands in the path of a run of the book, ``runs/<preset>/<paper>/<run>``; any other is ``by-hand``.
    ``model``, ``prepare`` and ``config`` are what ``fit`` got, ``test`` the batches that were predicted. ``selection``
    says in words which weights were kept and on which examples that was decided; for a run that diverged, what was left
    to select from is added. ``reduced`` says what was made smaller than in the publication. Raises ``ValueError`` when
    other examples were predicted than the run began with.
    """
    tested = protocol.rows_of(test, run.manifest)
    is_as_begun = np.array_equal(np.sort(tested), np.sort(run.parts["test"]))
    if not is_as_begun or list(dict.fromkeys(tested)) != predictions["example"].tolist():
        raise ValueError("the batches that were predicted, the table and the test part have other examples")
    last, others = run.folder / LAST_PREDICTIONS, run.folder / OTHER_TESTS
    if result.diverged_at_step is not None:
        last.unlink(missing_ok=True)  # of a training before
    learnt = {
        "batches": run.facts["batches"] | {"test": test.settings},
        "heads": settings_of_heads(model),
        "red_channel": red_channel(prepare, test.cache.array.shape[1]) if run.manifest.modality == "face" else None,
        "num_epochs": config.num_steps * config.batch_size / len(run.parts["train"]),
        "weights_hash": weights_hash(model),
        "training": asdict(config) | {"precision": result.precision},
        "precision": {"trained": result.precision, "selected": PRECISION, "tested": PRECISION},
        "selection": selection + _of_diverged(result),
        "diverged_at_step": result.diverged_at_step,
        "selected_step": result.selected_step,
        "last_step": int(result.history[-1]["step"]) if result.diverged_at_step is None else None,
        "last_predictions_hash": predictions_hash(pd.read_parquet(last)) if last.is_file() else None,
        "other_tests": list(pd.read_parquet(others)["test"].cat.categories) if others.is_file() else [],
        "device": result.device,
        "seconds": result.seconds,
        "peak_memory_mb": result.peak_memory_mb,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "history": result.history,
        "reduced": reduced,
    }
    _write(run, predictions, learnt)


def _of_diverged(result: FitResult) -> str:
    """What the selection of a run that diverged had to choose from."""
    if result.diverged_at_step is None:
        return ""
    if not result.history:
        return f"; diverged at step {result.diverged_at_step}, before the first validation: the initial weights"
    last = int(result.history[-1]["step"])
    return f"; diverged at step {result.diverged_at_step}: among the validations up to step {last}"


def finish_run_without_net(
    folder: Path,
    *,
    paper: str,
    parameters: dict[str, Any],
    manifest: Manifest,
    settings: dict[str, Any],
    train: np.ndarray,
    predictions: pd.DataFrame,
    seconds: float,
    reduced: str | None,
) -> None:
    """Write the run of a baseline that learns at once: nothing is selected, its history is empty, it has no weights.

    ``settings`` are those of the learner, ``train`` the rows of ``manifest`` that it learnt from, ``seconds`` is what
    learning and answering took. The rest is as for ``finish_run``. Raises ``ValueError`` when somebody was learnt from
    and tested.
    """
    parts = {"train": train, "test": predictions["example"].to_numpy()}
    facts = {
        "parts": protocol.describe_parts(parts, manifest.examples),
        "overlaps": protocol.checked_overlaps(parts, manifest.examples, protocol.Protocol()),
    }
    learnt: dict[str, Any] = {
        "training": settings,
        "selection": "nothing is selected",
        "diverged_at_step": None,
        "selected_on_test": False,
        "device": "cpu",
        "seconds": seconds,
        "peak_memory_mb": None,
        "num_parameters": 0,
        "history": [],
        "reduced": reduced,
    }
    _write(BegunRun(Path(folder), paper, parameters, manifest, parts, facts), predictions, learnt)


def _write(run: BegunRun, predictions: pd.DataFrame, learnt: dict[str, Any]) -> None:
    """Write a run of which ``learnt`` says how it was learnt; the folder, the manifest and the code say the rest."""
    folder, manifest = run.folder.resolve(), run.manifest
    record = {
        "schema": 1,
        "preset": folder.parent.parent.name if folder.parent.name == run.paper else "by-hand",
        "paper": run.paper,
        "run": run_name(run.parameters),
        **{name: run.parameters[name] for name in ("model", "variant", "fold", "seed")},
        "parameters": {name: value for name, value in run.parameters.items() if name not in ("data", "run_folder")},
        "scheme": manifest.scheme.name if manifest.scheme and "p_group_0" in predictions else None,
        "manifest_hash": manifest.hash(),
        "manifest": manifest.describe(),
        "predictions_hash": predictions_hash(predictions),
        **circumstances(),
        **run.facts,
        **learnt,
    }
    write_run(folder, record, predictions)
