"""Weights as safetensors, with what is needed to build the model again; training checkpoints, and what ends them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from agegender.files import replaced_atomically, write_text
from agegender.training.config import TrainingConfig, is_better

WEIGHTS = "model.safetensors"
"""The selected weights; the notebook that tests them writes the file again, with the facts that describe them."""
LAST_WEIGHTS = "last.safetensors"
"""The weights of the last step of a run that did not diverge."""
CHECKPOINT = "last.ckpt"
PARTS = ("model", "optimizer", "schedule", "state")
"""What a checkpoint holds beside its step and the identity of its run."""
ENDED = "ended.json"
"""Takes the place of the checkpoint when nothing is left to train: it is three times as large as the weights."""


def save_weights(model: nn.Module, path: Path, facts: dict | None = None) -> None:
    """Write the weights and buffers of ``model``; ``facts`` (JSON) travel in the file's header."""
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    with replaced_atomically(path) as temporary:
        save_file(weights, temporary, {"agegender": json.dumps(facts or {})})


def has_finite_weights(model: nn.Module) -> bool:
    """Say whether no weight or buffer is NaN or infinite; the device is waited for once."""
    values = [value for value in model.state_dict().values() if value.is_floating_point()]
    return bool(torch.stack([torch.isfinite(value).all() for value in values]).all()) if values else True


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights that ``save_weights`` wrote into ``model``.

    Raises ``ValueError`` listing, sorted, the weights that only one side has or whose shapes differ, and when the
    file is no safetensors file.
    """
    with _weights_file(path):
        weights = load_file(path)
    _fill(model, weights, path)


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Load the weights of ``encoder`` out of those of a whole model, whose heads may be for other tasks.

    Raises ``ValueError`` as ``load_weights`` does.
    """
    with _weights_file(path):
        weights = load_file(path)
    own = {name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")}
    _fill(encoder, own, path)


def _fill(model: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    own = model.state_dict()
    problems = [f"{name} is missing in the file" for name in sorted(own.keys() - weights.keys())]
    problems += [f"{name} is not in the model" for name in sorted(weights.keys() - own.keys())]
    problems += [
        f"{name} is {tuple(weights[name].shape)} in the file and {tuple(own[name].shape)} in the model"
        for name in sorted(own.keys() & weights.keys())
        if weights[name].shape != own[name].shape
    ]
    if problems:
        raise ValueError(f"{path} does not fit the model: " + "; ".join(problems))
    model.load_state_dict(weights)


def read_facts(path: Path) -> dict:
    """Return the facts that ``save_weights`` was given; raise ``ValueError`` when the file is no safetensors file."""
    with _weights_file(path), safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get("agegender", "{}"))


@contextmanager
def _weights_file(path: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file, or half of one: {error}") from error


@dataclass
class TrainingState:
    """What a resumed run needs to know of the validations before, beside weights, optimiser and schedule.

    ``best`` is what the selection compares, of the best validation so far; the others are as in ``FitResult``.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    selected_step: int = 0
    num_since_best: int = 0
    num_drops: int = 0
    diverged_at_step: int | None = None
    seconds: float = 0.0
    peak_memory_mb: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)

    def load_state_dict(self, fields: dict[str, Any]) -> None:
        """Take over all fields."""
        vars(self).update(fields)

    def judge(self, scores: dict[str, float], step: int, config: TrainingConfig) -> bool:
        """Note what a validation found, and return whether the weights of this ``step`` are to be kept."""
        if is_better(scores, self.best):
            self.best, self.num_since_best = scores, 0
        else:
            self.num_since_best += 1
            self.num_drops += config.plateau is not None and self.num_since_best % config.plateau == 0
        is_kept = self.num_since_best == 0 or not config.selects_best
        self.selected_step = step if is_kept else self.selected_step
        return is_kept


def write_checkpoint(path: Path, step: int, identity: dict, parts: dict[str, Any]) -> None:
    """Write all from which a killed run goes on after ``step``; it takes the place of the checkpoint before.

    ``parts`` are the model, the optimiser, the schedule and the `TrainingState`, by the names in `PARTS`.
    """
    content = {"step": step, "identity": identity} | {name: part.state_dict() for name, part in parts.items()}
    with replaced_atomically(path) as temporary:
        torch.save(content, temporary)


def read_checkpoint(path: Path, parts: dict[str, Any]) -> None:
    """Change all ``parts`` to what they were when the checkpoint was written."""
    content = _opened(path)
    for name, part in parts.items():
        part.load_state_dict(content[name])


def step_to_go_on_from(folder: Path, identity: dict) -> int:
    """Return the step of the checkpoint of this run, 0 when there is none; that of another run is set aside.

    Raises ``ValueError`` for a file that is damaged: a run starts anew when it is deleted.
    """
    checkpoint = folder / CHECKPOINT
    if not checkpoint.exists():
        return 0
    content = _opened(checkpoint)
    return 0 if _is_set_aside(checkpoint, content["identity"], identity) else int(content["step"])


def write_end(path: Path, identity: dict, result: dict) -> None:
    """Write how the training of the run ``identity`` ended: all that it needs beside its weights, when it has ended."""
    write_text(path, json.dumps({"identity": identity, "result": result}))


def end_before(folder: Path, identity: dict) -> dict | None:
    """Return how the training of this run ended, if it has; the weights of another one are set aside."""
    ended, weights = folder / ENDED, folder / WEIGHTS
    if not (ended.is_file() and weights.is_file()):
        ended.unlink(missing_ok=True)
        return None
    end = json.loads(ended.read_text(encoding="utf-8"))
    if not _is_set_aside(weights, end["identity"], json.loads(json.dumps(identity))):
        return end["result"]
    ended.unlink()
    return None


def _is_set_aside(file: Path, saved: dict, identity: dict) -> bool:
    """Set ``file`` aside when it is of a run with another identity, and say in what that differs."""
    changes = [f"{name} {saved.get(name)!r}, not {new!r}" for name, new in identity.items() if saved.get(name) != new]
    if changes:
        before = file.with_stem(f"{file.stem}.before")
        file.replace(before)
        print(f"starting anew: {file.name} is of a run with {'; '.join(changes)}; kept as {before.name}", flush=True)
    return bool(changes)


def _opened(checkpoint: Path) -> dict:
    try:
        content = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        return {name: content[name] for name in ("step", "identity", *PARTS)}
    except Exception as error:
        kind = type(error).__name__  # torch's own message advises to run whatever code the file holds
        raise ValueError(f"{checkpoint} is damaged ({kind}): delete it to start this run anew") from error
