"""How a model is fitted: durations, optimiser, learning rate, and which weights are kept."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

import torch
from torch import nn

from agegender.models.multitask import MultiTaskModel

Precision = Literal["bf16-mixed", "32-true"]


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is fitted. Durations are in optimiser steps, ``patience`` and ``plateau`` in validations.

    No default is the decision of a paper: what is not asked for is not done, and every recipe names its own.

    The learning rate falls by ``decay_factor`` every ``decay_every`` steps and, with ``plateau``, whenever that many
    more validations have brought nothing better. With ``schedule="one_cycle"`` it also rises from a 25th to its full
    value in the first ``warmup_share`` of the run and falls to 0 at the end, along half a cosine each time (Smith and
    Topin, 2019, Super-Convergence). ``bias_factor`` and ``head_factor`` multiply it for biases and for heads (a bias of
    a head has both). ``momentum`` is that of SGD. ``weight_decay`` acts on the kernels of the encoder
    (``decays="encoder"``), on all kernels, or on all parameters. ``clip_norm`` bounds the global norm of the gradient,
    ``clip_value`` each of its entries.

    Every ``validate_every`` steps the validation part is scored and a checkpoint is written. ``selects_best`` keeps the
    weights of the best validation, otherwise those of the last step. ``best_by`` says what is best: the mean accuracy
    of the tasks, the sum of their weighted losses, the mean absolute error of the age in years (``"mae"``), or
    ``"every_task"``, where a validation is better only if the accuracy of each task is. ``patience`` stops after that
    many validations without a better one.

    ``precision`` is that of the training steps, where the processor has it (``precision_here``); validation is always
    in full precision, like the test.
    """

    num_steps: int
    validate_every: int
    batch_size: int
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = field(kw_only=True)
    momentum: float = 0.0
    schedule: Literal["constant", "one_cycle"] = "constant"
    warmup_share: float = 0.3
    decay_every: int | None = None
    decay_factor: float = 0.1
    plateau: int | None = None
    bias_factor: float = 1.0
    head_factor: float = 1.0
    weight_decay: float = 0.0
    decays: Literal["encoder", "kernels", "all"] = "all"
    clip_norm: float | None = None
    clip_value: float | None = None
    selects_best: bool = True
    best_by: Literal["accuracy", "loss", "every_task", "mae"] = "accuracy"
    patience: int | None = None
    precision: Precision = "bf16-mixed"
    seed: int = 0

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("num_steps", "validate_every", "batch_size", "decay_every"), "")
        counts |= dict.fromkeys(("patience", "plateau"), " validation, or None")
        for name, unit in counts.items():
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1{unit}, got {getattr(self, name)}")
        if self.num_steps % self.validate_every:
            raise ValueError(
                f"num_steps must be a multiple of validate_every, got {self.num_steps} and {self.validate_every}: "
                "what is learned after the last validation would be lost"
            )
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError("give clip_norm or clip_value, not both")
        for name, kind in get_type_hints(TrainingConfig).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")


def precision_here(precision: Precision, device: str = "cpu") -> Precision:
    """Return ``precision`` where the device (``"cpu"``, ``"cuda"``) has it; else ``"32-true"``: emulation is slower."""
    if precision == "32-true":
        return precision
    if device == "cuda":
        return precision if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # asks oneDNN, which may be told to use less than there is
    return precision if has_bf16 and torch.cpu.get_capabilities().get("avx512_bf16", True) else "32-true"


def optimizer_of(model: MultiTaskModel, config: TrainingConfig) -> torch.optim.Optimizer:
    """Return the optimiser of ``model``; parameters that need no gradient (frozen layers) are not in it.

    Raises ``ValueError`` when nothing is left to train.
    """
    encoder = {id(p) for p in model.encoder.parameters()}
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            is_kernel = parameter.ndim > 1
            decays = config.decays == "all" or (is_kernel and (config.decays == "kernels" or id(parameter) in encoder))
            factor = 1.0 if is_kernel else config.bias_factor
            factor *= 1.0 if id(parameter) in encoder else config.head_factor
            grouped.setdefault((factor, config.weight_decay if decays else 0.0), []).append(parameter)
    if not grouped:
        raise ValueError("every parameter of the model is frozen: there is nothing to train")
    groups = [
        {"params": parameters, "lr": factor * config.learning_rate, "weight_decay": decay}
        for (factor, decay), parameters in grouped.items()
    ]
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, config.learning_rate)
    return torch.optim.SGD(groups, config.learning_rate, config.momentum)


def is_better(found: dict[str, float], best: dict[str, float]) -> bool:
    """Say whether every value of ``found`` is greater than that of ``best``; anything is better than nothing.

    >>> is_better({"age": 0.5, "gender": 0.8}, {"age": 0.4, "gender": 0.9})
    False
    """
    return all(value > best[name] for name, value in found.items()) if best else True


def goodness(scores: dict[str, float], model: MultiTaskModel, config: TrainingConfig) -> dict[str, float]:
    """Return what ``best_by`` compares, greater is better, from the validation's losses and accuracies by name.

    Raises ``ValueError`` when a task has no accuracy, as ages in years, but the accuracy is to decide.
    """
    if config.best_by == "loss":
        losses = {task: scores[f"validation_loss_{task}"] for task in model.heads}
        return {"minus the loss": -sum(model.loss_weights[task] * loss for task, loss in losses.items())}
    if config.best_by == "mae":
        errors = [-value for name, value in scores.items() if name.startswith("validation_mae_")]
        if not errors:
            raise ValueError("no task has an error in years: select by the loss or the accuracy")
        return {"minus the mean absolute error": sum(errors) / len(errors)}
    names = {task: f"validation_accuracy_{task}" for task in model.heads}
    if missing := [task for task, name in names.items() if name not in scores]:
        raise ValueError(f"the task {missing[0]!r} has no accuracy: select by the loss (best_by='loss')")
    accuracies = {task: scores[name] for task, name in names.items()}
    if config.best_by == "every_task":
        return accuracies
    return {"mean accuracy": sum(accuracies.values()) / len(accuracies)}


def rate_factor(config: TrainingConfig, num_drops: Callable[[], int]) -> Callable[[int], float]:
    """Return the factor of the learning rate at a step; ``num_drops`` tells how often a plateau has lowered it."""
    every = config.decay_every

    def factor(step: int) -> float:
        drops = config.decay_factor ** ((step // every if every else 0) + num_drops())
        if config.schedule == "constant":
            return drops
        return drops * _one_cycle(step / config.num_steps, config.warmup_share)

    return factor


def _one_cycle(done: float, warmup_share: float) -> float:
    """Return the factor after the share ``done`` of a run: from 1/25 up to 1, then down to 0."""
    if done < warmup_share:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * done / warmup_share)) / 2
    return (1 + math.cos(math.pi * (done - warmup_share) / (1 - warmup_share))) / 2
