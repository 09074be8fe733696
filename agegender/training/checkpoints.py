"""Weights as safetensors, with what is needed to build the model again; training checkpoints, and what ends them."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from agegender.files import replaced_atomically, write_text


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
    _fill(model, _read(path), path)


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Load the weights of ``encoder`` out of those of a whole model, whose heads may be for other tasks.

    Raises ``ValueError`` as ``load_weights`` does.
    """
    prefix = "encoder."
    own = {name.removeprefix(prefix): value for name, value in _read(path).items() if name.startswith(prefix)}
    _fill(encoder, own, path)


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file, or half of one: {error}") from error


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
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {}).get("agegender", "{}"))
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file, or half of one: {error}") from error


def step_of(checkpoint: Path) -> int:
    """Return the optimiser step at which a training checkpoint was written.

    Raises ``ValueError`` for a file that is damaged: a run starts anew when it is deleted.
    """
    return _opened(checkpoint)[0]


def differences(checkpoint: Path, identity: dict) -> list[str]:
    """Say in what the run that wrote a training checkpoint differs from the run ``identity``.

    A checkpoint that does not say of which run it is differs in nothing. Raises ``ValueError`` for a damaged one.
    """
    return _differences(_opened(checkpoint)[1].get("identity", identity), identity)


def write_end(path: Path, identity: dict, result: dict) -> None:
    """Write how the training of the run ``identity`` ended: all that it needs beside its weights, when it has ended."""
    write_text(path, json.dumps({"identity": identity, "result": result}))


def read_end(path: Path, identity: dict) -> tuple[dict, list[str]]:
    """Return what ``write_end`` wrote, and in what the run that wrote it differs from the run ``identity``."""
    end = json.loads(path.read_text(encoding="utf-8"))
    return end["result"], _differences(end["identity"], json.loads(json.dumps(identity)))


def _differences(saved: dict, identity: dict) -> list[str]:
    return [
        f"{name} {saved.get(name)!r}, not {value!r}" for name, value in identity.items() if saved.get(name) != value
    ]


def _opened(checkpoint: Path) -> tuple[int, dict]:
    try:
        content = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        return int(content["global_step"]), content["agegender"]
    except Exception as error:
        kind = type(error).__name__  # torch's own message advises to run whatever code the file holds
        raise ValueError(f"{checkpoint} is damaged ({kind}): delete it to start this run anew") from error
