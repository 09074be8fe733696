"""Batches of clips as pure functions of a seed and a step.

The order of examples, the crops and the surroundings depend on (seed, epoch, example) alone: neither on the number of
workers nor on what was drawn before. ``training_loader`` and ``evaluation_loader`` of ``agegender.data.loading`` load
the batches.
"""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from agegender.data.clips import ClipCache, as_float
from agegender.data.epochs import EpochsOfDistinctSubjects, ShuffledEpochs, generator_of
from agegender.data.loading import Batch
from agegender.data.noise import Surroundings


@dataclass(frozen=True)
class Crop:
    """The part of a clip that a net hears: ``num_samples`` of it.

    In training it begins at a random place; with ``is_random=False`` at the first sample. A shorter clip is looped,
    as in the published TIMIT pipeline; with ``is_looped=False`` zeros follow it, as in that of Common Voice.
    """

    num_samples: int
    is_looped: bool = True
    is_random: bool = True

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {self.num_samples}")

    def of(self, clips: ClipCache, example: int, start: int) -> np.ndarray:
        """Return the crop of an example from ``start`` on: (num_samples,) int16."""
        return clips.crop(example, self.num_samples, start, self.is_looped)


class TrainingClips(Dataset[Batch]):
    """The endless stream of training batches: item ``step`` is the batch of that step.

    ``targets`` hold one value for each example of ``clips``, in its order (``targets_of``). ``surroundings`` put noise
    and rooms around the crops. ``num_draws`` uniform numbers for each clip go along as ``draws``, for whatever else is
    random about it (masks, shifts) and is done on the device.

    As published, a crop begins at ``int(u * (length - num_samples))`` for a uniform ``u``.
    """

    def __init__(
        self,
        clips: ClipCache,
        targets: dict[str, np.ndarray],
        batch_size: int,
        seed: int,
        crop: Crop,
        surroundings: Surroundings | None = None,
        num_draws: int = 0,
    ) -> None:
        _check_lengths(clips, targets)
        for cache in surroundings.caches if surroundings else []:
            if cache.rate_hz != clips.rate_hz:
                raise ValueError(f"sounds at {cache.rate_hz} Hz cannot surround clips at {clips.rate_hz} Hz")
        self.clips, self.targets, self.crop, self.surroundings = clips, targets, crop, surroundings
        self.epochs = ShuffledEpochs(len(clips), batch_size, seed, 1 + num_draws)

    def __getitem__(self, step: int) -> Batch:
        """Return ``clips`` (batch, samples), the targets (batch,) and, if asked for, ``draws`` (batch, num_draws).

        The clips are int16 with full scale at 32768, and in surroundings float32 with full scale at 1.
        """
        epochs, examples = self.epochs.examples_of(step)
        draws = self.epochs.draws_of(epochs, examples)
        room = np.maximum(0, self.clips.lengths[examples] - self.crop.num_samples)
        starts = (draws[:, 0].astype(np.float64) * room * self.crop.is_random).astype(np.int64)
        crops = [self.crop.of(self.clips, e, start) for e, start in zip(examples, starts, strict=True)]
        if self.surroundings is not None:
            seed = self.epochs.seed
            crops = [
                self.surroundings.apply(as_float(crop), generator_of(seed, int(epoch), int(example)))
                for crop, epoch, example in zip(crops, epochs, examples, strict=True)
            ]
        batch = {"clips": torch.from_numpy(np.stack(crops)), **_part(self.targets, examples)}
        return batch | {"draws": torch.from_numpy(draws[:, 1:])} if draws.shape[1] > 1 else batch

    def examples_of(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs and the examples, each (batch,), that make up a step."""
        return self.epochs.examples_of(step)

    @property
    def fingerprint(self) -> str:
        """Twelve digits that change with whatever changes the batches."""
        around = self.surroundings.settings if self.surroundings else None
        return _fingerprint(self.clips, (self.epochs.settings, self.settings, around), self.targets)

    @property
    def settings(self) -> dict[str, Any]:
        """How the clips become batches, as what JSON can hold."""
        order = {"batch_size": self.epochs.batch_size, "seed": self.epochs.seed, "num_draws": self.epochs.num_draws - 1}
        return order | {"crop": asdict(self.crop), "has_surroundings": self.surroundings is not None}


class ClipsOfDistinctSubjects(TrainingClips):
    """The endless stream of batches in which no subject comes twice: ``EpochsOfDistinctSubjects``.

    ``targets`` hold ``subject_index`` (examples,), the number of each example's subject.
    """

    def __init__(
        self,
        clips: ClipCache,
        targets: dict[str, np.ndarray],
        batch_size: int,
        seed: int,
        crop: Crop,
        surroundings: Surroundings | None = None,
        most_per_subject: int = 400,
    ) -> None:
        super().__init__(clips, targets, batch_size, seed, crop, surroundings)
        subjects = targets["subject_index"]
        self.epochs = EpochsOfDistinctSubjects(subjects, batch_size, seed, 1, most_per_subject)


class EvaluationClips(Dataset[Batch]):
    """The examples in their order, in batches of ``batch_size``; the last batch may be shorter. No crop is random.

    With a ``crop``, ``num_crops`` of them are spread evenly from the first sample to the last; one alone begins at the
    first. Without, clips are whole, followed by zeros up to the longest of the batch. ``num_draws`` is as in training,
    for published code that augments what it evaluates: the draws of an example depend on ``seed`` and are the same
    whenever it is evaluated.
    """

    def __init__(
        self,
        clips: ClipCache,
        targets: dict[str, np.ndarray],
        batch_size: int,
        crop: Crop | None = None,
        num_crops: int = 1,
        num_draws: int = 0,
        seed: int = 0,
    ) -> None:
        if len(clips) == 0:
            raise ValueError("no examples to evaluate: this part of the split is empty")
        if batch_size < 1 or num_crops < 1:
            raise ValueError(f"batch_size and num_crops must be at least 1, got {batch_size} and {num_crops}")
        if crop is None and num_crops > 1:
            raise ValueError(f"{num_crops} crops of whole clips: say how long a crop is")
        _check_lengths(clips, targets)
        self.clips, self.targets, self.batch_size = clips, targets, batch_size
        self.crop, self.num_crops = crop, num_crops
        self._draws = np.random.default_rng(seed).random((len(clips), num_draws), dtype=np.float32)
        self._seed = seed if num_draws else None

    @property
    def fingerprint(self) -> str:
        """Twelve digits that change with whatever changes the batches."""
        return _fingerprint(self.clips, self.settings, self.targets)

    @property
    def settings(self) -> dict[str, Any]:
        """How the clips become batches, as what JSON can hold."""
        crop = asdict(self.crop) if self.crop else None
        drawn = {"num_draws": self._draws.shape[1], "seed": self._seed}
        return {"batch_size": self.batch_size, "crop": crop, "num_crops": self.num_crops, **drawn}

    def __len__(self) -> int:
        return -(-len(self.clips) // self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        """Return ``clips`` int16, their ``lengths`` in samples (batch,), the targets (batch,) and ``draws`` if any.

        ``clips`` is (batch, samples), for several crops (batch, num_crops, samples). ``lengths`` says how many samples
        of a clip come from the recording; a looped crop counts as full.
        """
        if not 0 <= step < len(self):
            raise IndexError(step)
        examples = np.arange(len(self.clips))[step * self.batch_size : (step + 1) * self.batch_size]
        lengths, longest = self.clips.lengths[examples], int(self.clips.lengths[examples].max())
        crop = self.crop or Crop(longest, is_looped=False)
        heard = np.full_like(lengths, crop.num_samples) if crop.is_looped else np.minimum(lengths, crop.num_samples)
        crops = np.stack([self._crops(crop, int(example)) for example in examples])
        batch = {
            "clips": torch.from_numpy(crops[:, 0] if self.num_crops == 1 else crops),
            "lengths": torch.from_numpy(heard),
            **_part(self.targets, examples),
        }
        return batch | {"draws": torch.from_numpy(self._draws[examples])} if self._draws.shape[1] else batch

    def _crops(self, crop: Crop, example: int) -> np.ndarray:
        room = max(0, int(self.clips.lengths[example]) - crop.num_samples)
        starts = np.linspace(0, room, self.num_crops).astype(np.int64)
        return np.stack([crop.of(self.clips, example, int(start)) for start in starts])


def _part(targets: dict[str, np.ndarray], examples: np.ndarray) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values[examples]) for name, values in targets.items()}


def _fingerprint(clips: ClipCache, settings: object, targets: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(repr((clips.fingerprint, settings)).encode())
    for name, values in sorted(targets.items()):
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:12]


def _check_lengths(clips: ClipCache, targets: dict[str, np.ndarray]) -> None:
    for name, values in targets.items():
        if len(values) != len(clips):
            raise ValueError(f"{len(values)} values of {name!r} for {len(clips)} examples")
