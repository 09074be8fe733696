"""What all pipelines share: any decision of a recipe is changed by name, and rows become batches."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np

from agegender.data.batches import EvaluationBatches, TrainingBatches, Transform, targets_of
from agegender.data.cache import ExampleCache
from agegender.data.samplers import ShuffledSampler

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


def decay_every(num_steps: int, share: float | None) -> int | None:
    """Return after how many steps of ``num_steps`` a learning rate falls that falls after each ``share`` of a run.

    >>> decay_every(310, 2 / 3), decay_every(310, None)
    (207, None)
    """
    return None if share is None else max(1, round(num_steps * share))
