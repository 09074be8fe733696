"""From a fitted model to a run record: the table of predictions, and where it all came from."""

import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agegender.data.fold_lines import repeats_of
from agegender.data.manifest import Manifest
from agegender.evaluation.records import run_name, write_run
from agegender.models.multitask import MultiTaskModel
from agegender.training.fit import FitResult, TrainingConfig
from agegender.training.prediction import PRECISION

_PACKAGES = ("agegender", "torch", "torchvision", "lightning", "numpy", "pandas", "pillow", "scikit-learn")


def predictions_table(
    examples: pd.DataFrame, rows: np.ndarray, fold: int, decoded: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Return one row for each test example, in the order of ``rows``.

    ``examples`` is the whole manifest and ``rows`` the row numbers of the test part; ``decoded`` is what
    ``agegender.training.fit.predict`` returns for them; what the model has no head for stays empty. ``corpus`` is the
    ``source`` of an example where the manifest is a pack of several corpora. No path is kept.
    Where ``rows`` holds an example as often as its corpus lists it (``agegender.data.fold_lines``), the table has it
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
            "fold": np.int64(fold),
            "corpus": test["source" if "source" in test else "corpus"].to_numpy(),
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


def finish_run(
    folder: Path,
    *,
    paper: str,
    parameters: dict[str, Any],
    manifest: Manifest,
    model: MultiTaskModel,
    config: TrainingConfig,
    result: FitResult,
    predictions: pd.DataFrame,
    selection: str,
    reduced: str | None,
    selected_on_test: bool = False,
) -> None:
    """Write ``predictions.parquet`` and then ``record.json`` into the run folder.

    The preset stands in the path of a run of the book, ``runs/<preset>/<paper>/<run>``; any other is ``by-hand``.
    ``parameters`` are those of the notebook, with ``model``, ``variant``, ``fold`` and ``seed`` among them.
    ``selection`` says in words which weights were kept and on which examples that was decided; for a run that diverged,
    what was left to select from is added. ``reduced`` says what was made smaller than in the publication.
    ``selected_on_test`` confesses a published protocol that selects on the very examples on which it reports.
    """
    learnt = {
        "training": asdict(config),
        "precision": {"trained": config.precision, "selected": PRECISION, "tested": PRECISION},
        "selection": selection + _of_diverged(result),
        "diverged_at_step": result.diverged_at_step,
        "selected_step": result.selected_step,
        "selected_on_test": selected_on_test,
        "device": result.device,
        "seconds": result.seconds,
        "peak_memory_mb": result.peak_memory_mb,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "history": result.history,
        "reduced": reduced,
    }
    _write(folder, paper, parameters, manifest, predictions, learnt)


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
    predictions: pd.DataFrame,
    seconds: float,
    reduced: str | None,
) -> None:
    """Write the run of a baseline that learns at once: nothing is selected, and its history is empty.

    ``settings`` are those of the learner, ``seconds`` is what learning and answering took. No weights are counted
    (``num_parameters`` is 0). The rest is as for ``finish_run``.
    """
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
