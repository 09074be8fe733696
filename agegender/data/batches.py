"""Batches as pure functions of a seed and a step, so that a run can stop anywhere and go on as if it had not."""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from agegender.data.cache import ExampleCache
from agegender.data.samplers import Draws, ShuffledSampler
from agegender.labels import GENDERS

Batch = dict[str, Tensor]


class Transform(Protocol):
    """From a stored example and what is drawn for it to its entries of the batch, by name.

    The text of a transform (``repr``) says everything that it does; ``settings`` is what a record keeps of it.
    """

    @property
    def num_uniforms(self) -> int:
        """How many uniforms it needs of each example."""

    @property
    def settings(self) -> dict[str, Any]:
        """How it changes an example, as what JSON can hold."""

    def check(self, cache: ExampleCache) -> None:
        """Raise ``ValueError`` for examples that it cannot take."""

    def __call__(self, example: np.ndarray, draws: Draws, /) -> dict[str, Any]:
        """Return the entries of one example."""


def targets_of(examples: pd.DataFrame, names: Sequence[str] = ("age_group", "gender")) -> dict[str, np.ndarray]:
    """Return the labels to learn as arrays of length ``examples``.

    ``age`` is float32 in years; ``age_group``, ``gender`` (index into ``GENDERS``) and yes-or-no columns are int64.
    Raises ``ValueError`` naming the first example that lacks a label: select the labelled examples first.
    """
    targets = {}
    for name in names:
        unlabelled = examples[name].isna()
        if unlabelled.any():
            first = examples.loc[unlabelled, "path"].iloc[0]
            raise ValueError(f"{unlabelled.sum()} examples have no {name}, first {first!r}: leave them out first")
        values = examples[name].map(GENDERS.index) if name == "gender" else examples[name]
        targets[name] = values.to_numpy(dtype=np.float32 if name == "age" else np.int64)
    return targets


class _Batches(Dataset[Batch]):
    def __init__(
        self, cache: ExampleCache, targets: dict[str, np.ndarray], transform: Transform, *choices: object
    ) -> None:
        for name, values in targets.items():
            if len(values) != len(cache):
                raise ValueError(f"{len(values)} values of {name!r} for {len(cache)} examples")
        transform.check(cache)
        self.cache, self.targets, self.transform, self.choices = cache, targets, transform, choices

    def _batch(self, examples: np.ndarray, draws: Sequence[Draws]) -> Batch:
        changed = [self.transform(self.cache[example], own) for example, own in zip(examples, draws, strict=True)]
        entries = {name: torch.from_numpy(np.stack([each[name] for each in changed])) for name in changed[0]}
        return entries | {name: torch.from_numpy(values[examples]) for name, values in self.targets.items()}

    @property
    def fingerprint(self) -> str:
        """Twelve digits that change with whatever changes the batches."""
        digest = hashlib.sha256(repr((self.cache.fingerprint, self.transform, *self.choices)).encode())
        for name, values in sorted(self.targets.items()):
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:12]


class TrainingBatches(_Batches):
    """The endless stream of training batches: item ``step`` is the batch of that step.

    ``targets`` hold one value for each example of ``cache``, in its order (``targets_of``).
    """

    def __init__(
        self, cache: ExampleCache, targets: dict[str, np.ndarray], sampler: ShuffledSampler, transform: Transform
    ) -> None:
        super().__init__(cache, targets, transform, sampler)
        if sampler.num_examples != len(cache):
            raise ValueError(f"the sampler draws from {sampler.num_examples} examples, and there are {len(cache)}")
        self.sampler = sampler

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a step: what ``transform`` makes of its examples, and their targets (batch,)."""
        epochs, examples = self.sampler.examples_of(step)
        return self._batch(examples, self.sampler.draws_of(epochs, examples, self.transform.num_uniforms))

    @property
    def settings(self) -> dict[str, Any]:
        """How the examples become batches, as what JSON can hold."""
        return {"batch_size": self.sampler.batch_size, "seed": self.sampler.seed, **self.transform.settings}


class EvaluationBatches(_Batches):
    """The examples in their order, in batches of ``batch_size``; the last batch may be shorter.

    The draws of an example, for published code that augments what it evaluates, depend on ``seed`` alone.
    """

    def __init__(
        self, cache: ExampleCache, targets: dict[str, np.ndarray], batch_size: int, transform: Transform, seed: int = 0
    ) -> None:
        if len(cache) == 0:
            raise ValueError("no examples to evaluate: this part of the split is empty")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        super().__init__(cache, targets, transform, batch_size, seed if transform.num_uniforms else None)
        self.batch_size, self.seed = batch_size, seed
        self._uniforms = np.random.default_rng(seed).random((len(cache), transform.num_uniforms), dtype=np.float32)

    def __len__(self) -> int:
        return -(-len(self.cache) // self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        """Return what ``transform`` makes of the examples of batch ``step``, and their targets (batch,)."""
        if not 0 <= step < len(self):
            raise IndexError(step)
        examples = np.arange(len(self.cache))[step * self.batch_size : (step + 1) * self.batch_size]
        return self._batch(examples, [Draws(self._uniforms[e], (self.seed, 0, int(e))) for e in examples])

    @property
    def settings(self) -> dict[str, Any]:
        """How the examples become batches, as what JSON can hold; ``stored_px`` is a face's side before any crop."""
        stored = {"stored_px": int(self.cache.array.shape[1]), "crop_px": None} if self.cache.rate_hz is None else {}
        seed = self.seed if self.transform.num_uniforms else None
        return {"batch_size": self.batch_size, **stored, **self.transform.settings, "seed": seed}


def loader(batches: Dataset, steps: range | None = None, num_workers: int = 0) -> DataLoader:
    """Load the batches of ``steps``, or all; the number of workers does not change them."""
    return DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        prefetch_factor=4 if num_workers else None,
        pin_memory=torch.cuda.is_available(),
    )
