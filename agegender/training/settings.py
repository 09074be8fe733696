"""What a run really does, asked of its model, its batches and their way into the model; and which run it is."""

import dataclasses
import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from agegender.data.batches import Batch
from agegender.models.multitask import MultiTaskModel
from agegender.training.config import TrainingConfig
from agegender.training.prediction import PRECISION, Prepare
from agegender.training.provenance import weights_hash


def settings_of_heads(model: MultiTaskModel) -> dict[str, dict[str, Any]]:
    """Return for each task the kind of its head, its plain settings, and the range of each small table of numbers.

    Small tables are such as the weights by age, which are not learnt: buffers of one dimension. ``loss`` is the name of
    the loss that the head was given, whose settings stand beside it.
    """
    return {task: _settings(head) | {"loss_weight": model.loss_weights[task]} for task, head in model.heads.items()}


def _loss(function: Callable[..., Tensor]) -> dict[str, Any]:
    """Return the name of a loss, or of that in a ``functools.partial``, and the plain values of its options."""
    options = inspect.signature(function).parameters
    plain = {name: o.default for name, o in options.items() if isinstance(o.default, bool | int | float | str)}
    return {"loss": getattr(function, "func", function).__name__, **plain}


def _settings(module: nn.Module) -> dict[str, Any]:
    plain = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and not name.startswith("_") and name != "training"
    }
    tables = {
        name: {"least": value.min().item(), "most": value.max().item(), "length": len(value)}
        for name, value in module.named_buffers()
        if value.ndim == 1 and len(value) and "running" not in name
    }
    loss = getattr(module, "loss_function", None)
    return {"head": type(module).__name__, **plain, **tables, **(_loss(loss) if loss else {})}


def red_channel(prepare: Prepare, side_px: int) -> int:
    """Return which channel of the model's input a red face is brightest in: 0, or 2 where blue comes first."""
    red = torch.zeros(1, side_px, side_px, 3, dtype=torch.uint8)
    red[..., 0] = 255
    return int(prepare({"images": red, "contrast": torch.ones(1)}).mean((0, 2, 3)).argmax())


def plain(value: Any) -> Any:
    """Return a recipe, or a part of it, as what JSON can hold.

    >>> plain({"crop": (0.2, 1.8), "none": None})
    {'crop': [0.2, 1.8], 'none': None}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.item() if isinstance(value, Tensor) else value


def identity_of(
    model: MultiTaskModel,
    prepare: Prepare,
    training: Dataset,
    validation: Dataset,
    config: TrainingConfig,
    recipe: object = None,
) -> dict[str, Any]:
    """Return, by name, everything that the weights at the end of a training depend on, as what JSON can hold.

    A checkpoint of a run that differs in any of it is not gone on from. ``model`` is untrained. Of ``prepare`` only
    the shape of what it makes of the first batch is seen; what else it does stands in the ``recipe`` (any dataclass of
    decisions, or ``None``).
    """
    first: Batch = validation[0]
    structure = [f"{name} {type(m).__name__} {m.extra_repr()} {_settings(m)}" for name, m in model.named_modules()]
    structure += [f"{name} {tuple(value.shape)} {value.requires_grad}" for name, value in model.named_parameters()]
    return {
        **dataclasses.asdict(config),
        "validation_precision": PRECISION,
        "training_faces": getattr(training, "fingerprint", None),
        "validation_part": getattr(validation, "fingerprint", None),
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "heads": settings_of_heads(model),
        "structure": hashlib.sha256("\n".join(structure).encode()).hexdigest()[:16],
        "initial_weights": weights_hash(model),
        "input_shape": list(prepare({name: values[:1] for name, values in first.items()}).shape[1:]),
        "recipe": plain(recipe),
    }
