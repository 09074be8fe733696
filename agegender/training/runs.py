"""From a fitted model to a run record: the table of predictions, and where it all came from."""

import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

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

_PACKAGES = ("agegender", "torch", "torchvision", "numpy", "pandas", "pillow", "scikit-learn")


def predictions_table(
    examples: pd.DataFrame, rows: np.ndarray, fold: int, decoded: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Return one row for each test example, in the order of ``rows``.

    ``examples`` is the whole manifest and ``rows`` the row numbers of the test part; ``decoded`` is what
    ``agegender.training.fit.predict`` returns for them; what the model has no head for stays empty. ``corpus`` is the
    ``source_corpus`` of an example where the manifest is a pack of several corpora. No path is kept.
    ``subject_number`` takes the place of the name when the run is published.
    Where ``rows`` holds an example as often as its corpus lists it (``agegender.data.parts``), the table has it
    once, with what was said first, and the column ``repeats`` says how often. Raises ``ValueError`` when there are more
    or fewer predictions than rows, and for an example that is there more often than it is listed.
    """
    for name, values in decoded.items():
        if len(values) != len(rows):
            raise ValueError(f"{len(values)} predictions of {name!r} for {len(rows)} test examples")
    own, first, repeats = np.unique(rows, return_index=True, return_counts=True)
    if (repeats > repeats_of(examples)[own]).any():
        example = own[np.argmax(repeats > repeats_of(examples)[own])]
        raise ValueError(f"example {example} is in the test part more often than its corpus lists it: split again")
    in_order = np.argsort(first)
    rows, decoded = rows[first[in_order]], {name: values[first[in_order]] for name, values in decoded.items()}
    test, missing = examples.iloc[rows], np.full(len(rows), np.nan)
    table = pd.DataFrame(
        {
            "example": rows.astype(np.int64),
            "subject": test["subject"].to_numpy(),
            "subject_number": first_rows(examples["subject"]).to_numpy()[rows],
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


def first_rows(subjects: pd.Series) -> pd.Series:
    """Return for each example the first row that bears its subject: a number for a name, the same in every run.

    >>> first_rows(pd.Series(["b", "a", "b"])).tolist()
    [0, 1, 0]
    """
    return pd.Series(np.arange(len(subjects)), subjects.index).groupby(subjects).transform("min")


class Recipe(Protocol):
    """What a run asks of a recipe: a dataclass of decisions that says what its parts may have in common."""

    @property
    def protocol(self) -> protocol.Protocol:
        """What the parts may share."""


@dataclass(frozen=True)
class BegunRun:
    """A run before its training: where it goes, and the examples that its batches really show."""

    folder: Path
    paper: str
    parameters: dict[str, Any]
    manifest: Manifest
    recipe: Recipe
    parts: protocol.Parts
    facts: dict[str, Any]


def begin_run(
    folder: Path,
    paper: str,
    parameters: dict[str, Any],
    manifest: Manifest,
    recipe: Recipe,
    shown: tuple[TrainingBatches, EvaluationBatches, np.ndarray],
) -> BegunRun:
    """Return the run that is to be trained, unless its parts have more in common than ``recipe`` allows.

    ``parameters`` are those of the notebook, with ``model``, ``variant``, ``fold`` and ``seed`` among them.
    ``shown`` are the batches of training and of validation that ``fit`` gets, and the rows of ``manifest`` that will be
    tested; who stands in which part is read from them. Raises
    ``ValueError`` naming the subjects, and when ``folder`` holds a finished run on other data.
    """
    if is_finished(folder) and read_run(folder).record["manifest_hash"] != manifest.hash():
        raise ValueError(f"{folder} holds a finished run on other data: delete it, or name another run_folder")
    training, validation, test = shown
    parts = {
        "train": protocol.rows_of(training, manifest),
        "validation": protocol.rows_of(validation, manifest),
        "test": np.asarray(test),
    }
    protocol.check_parts(parts, manifest.examples, recipe.protocol)
    facts = {
        "recipe": plain(recipe),
        "parts": protocol.describe_parts(parts, manifest.examples),
        "overlaps": protocol.overlaps(parts, manifest.examples),
        "selected_on_test": bool(np.isin(parts["validation"], parts["test"]).any()),
        "batches": {"train": training.settings, "validation": validation.settings},
    }
    return BegunRun(Path(folder), paper, parameters, manifest, recipe, parts, facts)


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
    if result.diverged_at_step is not None:
        (run.folder / LAST_PREDICTIONS).unlink(missing_ok=True)  # of a training before
    learnt = {
        **run.facts,
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
        **_of_other_files(run.folder),
        "device": result.device,
        "seconds": result.seconds,
        "peak_memory_mb": result.peak_memory_mb,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "history": result.history,
        "reduced": reduced,
    }
    _write(run.folder, run.paper, run.parameters, run.manifest, predictions, learnt)


def _of_other_files(folder: Path) -> dict[str, Any]:
    """What `open_test` wrote beside the predictions."""
    last, others = folder / LAST_PREDICTIONS, folder / OTHER_TESTS
    return {
        "last_predictions_hash": predictions_hash(pd.read_parquet(last)) if last.is_file() else None,
        "other_tests": list(pd.read_parquet(others)["test"].cat.categories) if others.is_file() else [],
    }


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
    """Write the run of a baseline that learns at once: nothing is selected, and its history is empty.

    ``settings`` are those of the learner, ``train`` the rows of ``manifest`` that it learnt from, ``seconds`` is what
    learning and answering took. No weights are counted (``num_parameters`` is 0). The rest is as for ``finish_run``.
    Raises ``ValueError`` when somebody was learnt from and tested.
    """
    parts = {"train": train, "test": predictions["example"].to_numpy()}
    protocol.check_parts(parts, manifest.examples, protocol.Protocol())
    learnt: dict[str, Any] = {
        "parts": protocol.describe_parts(parts, manifest.examples),
        "overlaps": protocol.overlaps(parts, manifest.examples),
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
    _write(folder, paper, parameters, manifest, predictions, learnt)


def _write(
    folder: Path,
    paper: str,
    parameters: dict[str, Any],
    manifest: Manifest,
    predictions: pd.DataFrame,
    learnt: dict[str, Any],
) -> None:
    """Write a run of which ``learnt`` says how it was learnt; the folder, the manifest and the code say the rest."""
    folder = Path(folder).resolve()
    record = {
        "schema": 1,
        "preset": folder.parent.parent.name if folder.parent.name == paper else "by-hand",
        "paper": paper,
        "run": run_name(parameters),
        **{name: parameters[name] for name in ("model", "variant", "fold", "seed")},
        "parameters": {name: value for name, value in parameters.items() if name not in ("data", "run_folder")},
        "scheme": manifest.scheme.name if manifest.scheme and "p_group_0" in predictions else None,
        "commit": commit(),
        "manifest_hash": manifest.hash(),
        "manifest": manifest.describe(),
        "predictions_hash": predictions_hash(predictions),
        **circumstances(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        **learnt,
    }
    write_run(folder, record, predictions)


def commit() -> str:
    """Return the commit of the library's checkout, with ``+`` when files differ from it, or ``"unknown"``."""
    try:
        command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        here = Path(__file__).parent
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
