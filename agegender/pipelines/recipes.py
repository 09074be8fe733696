"""What all pipelines share: overrides by name, and the way from rows to batches and from a recipe to a fit.

A recipe has its intent for defaults, and ``RECIPES["as_published"]`` says all in which the published code differs. Its
``precision`` is that of training: the originals compute in 32 bits, and here validation and test always do.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from agegender.data.batches import EvaluationBatches, TrainingBatches, Transform, targets_of
from agegender.data.cache import ExampleCache
from agegender.data.samplers import ShuffledSampler
from agegender.training.config import TrainingConfig

R = TypeVar("R")


def with_overrides(recipe: R, overrides: Mapping[str, Any]) -> R:
    """Return ``recipe`` (any dataclass of decisions) with the decisions of ``overrides`` in the place of its own.

    A decision that is a dataclass itself, such as an augmentation, takes a dictionary of what changes in it. Raises
    ``ValueError`` for a name that the recipe does not have.

    >>> from agegender.data.images import Augmentation
    >>> with_overrides(Augmentation(crop_px=227), {"flips": False}).flips
    False
    """
    known = {field.name: getattr(recipe, field.name) for field in fields(recipe)}  # type: ignore[arg-type]
    for name in overrides:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{type(recipe).__name__} has no decision {name!r}.{hint} It has: {', '.join(known)}")
    changes = {
        name: with_overrides(known[name], value) if is_dataclass(known[name]) and isinstance(value, Mapping) else value
        for name, value in overrides.items()
    }
    return replace(recipe, **changes)  # type: ignore[type-var]


def training_batches(
    cache: ExampleCache, rows: np.ndarray, targets: Sequence[str], batch_size: int, transform: Transform, seed: int
) -> TrainingBatches:
    """Return the shuffled batches of these rows of ``cache``, with the labels named in ``targets``."""
    part = cache.select(rows)
    sampler = ShuffledSampler(len(part), batch_size, seed)
    return TrainingBatches(part, targets_of(part.manifest.examples, targets), sampler, transform)


def evaluation_batches(
    cache: ExampleCache, rows: np.ndarray, targets: Sequence[str], batch_size: int, transform: Transform, seed: int = 0
) -> EvaluationBatches:
    """Return the batches of these rows of ``cache`` in their order, with the labels named in ``targets``."""
    part = cache.select(rows)
    return EvaluationBatches(part, targets_of(part.manifest.examples, targets), batch_size, transform, seed)


def config_of(recipe: Any, steps_per_epoch: int, num_epochs: int, own: dict[str, Any]) -> TrainingConfig:
    """Return how a model is fitted for ``num_epochs`` of ``steps_per_epoch`` (at least 1), validated after each.

    A setting that ``own`` does not have is the decision of that name in ``recipe``, if there is one; the learning rate
    falls after each ``decay_share`` of the run.
    """
    steps_per_epoch = max(1, steps_per_epoch)
    num_steps = num_epochs * steps_per_epoch
    said = {field.name: getattr(recipe, field.name) for field in fields(TrainingConfig) if hasattr(recipe, field.name)}
    share = getattr(recipe, "decay_share", None)
    said["decay_every"] = None if share is None else max(1, round(num_steps * share))
    return TrainingConfig(num_steps, steps_per_epoch, **said | own)
