"""Batches as pure functions of a seed and a step, so that a run can stop anywhere and go on as if it had not.

The order of examples, the crops, flips and contrasts depend on (seed, epoch, example) alone: neither on the number of
workers nor on what was drawn before.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from agegender.data.cache_files import content_of
from agegender.data.epochs import ShuffledEpochs
from agegender.labels import GENDERS

Batch = dict[str, Tensor]


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


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training face; each draw is a function of (seed, epoch, example).

    ``crop_px`` side of the random square crop; ``flips`` mirrors half of the faces; ``contrast`` (low, high) is the
    range of the factor by which a channel is moved away from its mean, ``None`` for none.
    """

    crop_px: int
    flips: bool = True
    contrast: tuple[float, float] | None = (0.2, 1.8)


def _augmented(
    images: np.ndarray, rows: np.ndarray, draws: np.ndarray, augmentation: Augmentation | None
) -> tuple[Tensor, Tensor]:
    """Crop and mirror the faces in ``rows`` by their ``draws`` (batch, 4), and return the contrast factor of each."""
    side = augmentation.crop_px if augmentation else images.shape[1]
    faces = np.empty((len(rows), side, side, 3), dtype=np.uint8)
    for face, row, (top, left, _, _) in zip(faces, rows, draws, strict=True):
        source = images[row]
        room = source.shape[0] - side + 1  # 1 without augmentation: the whole face
        y, x = int(top * room), int(left * room)
        face[:] = source[y : y + side, x : x + side]
    crops = torch.from_numpy(faces)
    if augmentation is not None and augmentation.flips:
        mirrored = torch.from_numpy(draws[:, 2] < 0.5)
        crops[mirrored] = crops[mirrored].flip(2)  # NumPy takes 30 times as long for pixels of three bytes
    if augmentation is None or augmentation.contrast is None:
        return crops, torch.ones(len(crops))
    low, high = augmentation.contrast
    return crops, low + (high - low) * torch.from_numpy(draws[:, 3])


class TrainingFaces(Dataset[Batch]):
    """The endless stream of training batches: item ``step`` is the batch of that step.

    Epoch after epoch is shuffled anew and laid end to end, so every batch is full and every example is seen once an
    epoch. ``rows[i]`` is the row of ``images`` (files, side, side, 3) that shows example ``i`` of ``targets``.
    """

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        targets: dict[str, np.ndarray],
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.epochs = ShuffledEpochs(len(rows), batch_size, seed, num_draws=4)
        _check_lengths(rows, targets, batch_size)
        _check_crop(augmentation.crop_px if augmentation else None, images)
        self.images, self.rows, self.targets, self.augmentation = images, rows, targets, augmentation

    def __getitem__(self, step: int) -> Batch:
        """Return ``images`` (batch, side, side, 3) uint8, ``contrast`` (batch,) and the targets (batch,)."""
        epochs, examples = self.epochs.examples_of(step)
        draws = self.epochs.draws_of(epochs, examples)
        images, contrast = _augmented(self.images, self.rows[examples], draws, self.augmentation)
        targets = {name: torch.from_numpy(values[examples]) for name, values in self.targets.items()}
        return {"images": images, "contrast": contrast, **targets}

    @property
    def fingerprint(self) -> str:
        """Twelve digits that change with any label, choice of examples or augmentation, and with the images."""
        return _fingerprint(self.images, self.settings, {"rows": self.rows, **self.targets})

    @property
    def settings(self) -> dict[str, Any]:
        """How the faces become batches, as what JSON can hold."""
        augmentation = asdict(self.augmentation) if self.augmentation else None
        return {"batch_size": self.epochs.batch_size, "seed": self.epochs.seed, "augmentation": augmentation}

    def examples_of(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs and the examples, each (batch,), that make up a step."""
        return self.epochs.examples_of(step)


class EvaluationFaces(Dataset[Batch]):
    """The examples in their order, in batches of ``batch_size``; the last batch may be shorter.

    ``crop_px`` cuts the centre; without it the face is taken whole. Nothing is random, unless an ``augmentation`` takes
    the place of ``crop_px``, as in published code that augments what it evaluates: each example then has draws of its
    own, which depend on ``seed`` and are the same whenever it is evaluated.
    """

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        targets: dict[str, np.ndarray],
        batch_size: int,
        crop_px: int | None = None,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        if crop_px is not None and augmentation is not None:
            raise ValueError("give crop_px or an augmentation, which crops by itself, not both")
        if len(rows) == 0:
            raise ValueError("no examples to evaluate: this part of the split is empty")
        _check_lengths(rows, targets, batch_size)
        _check_crop(augmentation.crop_px if augmentation else crop_px, images)
        self.images, self.rows, self.targets = images, rows, targets
        self.batch_size, self.augmentation = batch_size, augmentation
        self._draws = np.random.default_rng(seed).random((len(rows), 4), dtype=np.float32)
        self.crop_px, self._seed = crop_px, seed
        margin = 0 if crop_px is None else (images.shape[1] - crop_px) // 2
        self._inside = slice(margin, images.shape[1] if crop_px is None else margin + crop_px)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    @property
    def fingerprint(self) -> str:
        """Twelve digits that change with whatever changes the batches."""
        return _fingerprint(self.images, self.settings, {"rows": self.rows, **self.targets})

    @property
    def settings(self) -> dict[str, Any]:
        """How the faces become batches, as what JSON can hold; ``stored_px`` is the side of a face before any crop."""
        augmentation = asdict(self.augmentation) if self.augmentation else None
        crop = {"stored_px": int(self.images.shape[1]), "crop_px": self.crop_px, "augmentation": augmentation}
        return {"batch_size": self.batch_size, **crop, "seed": self._seed if augmentation else None}

    def __getitem__(self, step: int) -> Batch:
        """Return ``images`` (batch, side, side, 3) uint8 and the targets (batch,) of batch ``step``."""
        if not 0 <= step < len(self):
            raise IndexError(step)
        part = slice(step * self.batch_size, (step + 1) * self.batch_size)
        targets = {name: torch.from_numpy(values[part]) for name, values in self.targets.items()}
        if self.augmentation is not None:
            crops, contrast = _augmented(self.images, self.rows[part], self._draws[part], self.augmentation)
            return {"images": crops, "contrast": contrast, **targets}
        faces = self.images[self.rows[part]][:, self._inside, self._inside]
        return {"images": torch.from_numpy(np.ascontiguousarray(faces)), **targets}


class Steps(Sampler[int]):
    """The steps ``start`` to ``stop`` - 1, with the length of the whole run, as a resumed trainer counts it."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop


def _fingerprint(images: np.ndarray, settings: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(repr((content_of(images), images.shape, settings)).encode())
    for name, values in sorted(arrays.items()):
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:12]


def _check_lengths(rows: np.ndarray, targets: dict[str, np.ndarray], batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    for name, values in targets.items():
        if len(values) != len(rows):
            raise ValueError(f"{len(values)} values of {name!r} for {len(rows)} examples")


def _check_crop(crop_px: int | None, images: np.ndarray) -> None:
    if crop_px is not None and crop_px > images.shape[1]:
        raise ValueError(f"a crop of {crop_px} px does not fit into faces of {images.shape[1]} px")


def training_loader(faces: Dataset, start: int, stop: int, num_workers: int = 0) -> DataLoader:
    """Load the batches of steps ``start`` to ``stop`` - 1; the number of workers does not change them."""
    return DataLoader(
        faces, batch_size=None, sampler=Steps(start, stop), num_workers=num_workers, **_extras(num_workers)
    )


def evaluation_loader(faces: Dataset, num_workers: int = 0) -> DataLoader:
    """Load the batches of an evaluation in order."""
    return DataLoader(faces, batch_size=None, shuffle=False, num_workers=num_workers, **_extras(num_workers))


def _extras(num_workers: int) -> dict:
    extras: dict = {"pin_memory": torch.cuda.is_available()}
    return extras | {"persistent_workers": True, "prefetch_factor": 4} if num_workers else extras
