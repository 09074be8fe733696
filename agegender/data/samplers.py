"""Which examples make up a step, and what is drawn for them: pure functions of a seed, an epoch and an example."""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Draws:
    """What is random about one example in one epoch: ``uniforms`` (num_uniforms,) float32 in [0, 1)."""

    uniforms: np.ndarray
    key: tuple[int, int, int]  # seed, epoch, example

    def generator(self) -> np.random.Generator:
        """Return the generator of this example in this epoch, for draws whose number is not known beforehand."""
        return np.random.default_rng((*self.key, 1))  # 1: else example 0 would get the numbers of the epoch


class ShuffledSampler:
    """Epoch after epoch, each in an order of its own, laid end to end and cut into full batches."""

    def __init__(self, num_examples: int, batch_size: int, seed: int) -> None:
        if num_examples == 0:
            raise ValueError("no training examples: the training part of the split is empty")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.num_examples, self.batch_size, self.seed = num_examples, batch_size, seed
        self.num_drawn = num_examples  # in an epoch
        self._drawn: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_examples}, {self.batch_size}, {self.seed})"

    def examples_of(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs and the examples, each (batch,), that make up a step."""
        epochs, places = np.divmod(np.arange(step * self.batch_size, (step + 1) * self.batch_size), self.num_examples)
        examples = [self._epoch(int(epoch))[0][place] for epoch, place in zip(epochs, places, strict=True)]
        return epochs, np.array(examples)

    def draws_of(self, epochs: np.ndarray, examples: np.ndarray, num_uniforms: int) -> list[Draws]:
        """Return what is random about each example in its epoch."""
        pairs = [(int(epoch), int(example)) for epoch, example in zip(epochs, examples, strict=True)]
        uniforms = [self._epoch(epoch, num_uniforms)[1][example] for epoch, example in pairs]
        return [Draws(own, (self.seed, *pair)) for own, pair in zip(uniforms, pairs, strict=True)]

    def _epoch(self, epoch: int, num_uniforms: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The order of the examples in an epoch, and the uniforms of each example."""
        known = self._drawn.get(epoch)
        if known is None or num_uniforms not in (0, known[1].shape[1]):
            rng = np.random.default_rng((self.seed, epoch))
            known = rng.permutation(self.num_examples), rng.random((self.num_examples, num_uniforms), np.float32)
            self._drawn = {**{e: d for e, d in self._drawn.items() if e == epoch - 1}, epoch: known}
        return known


class DistinctSubjectSampler(ShuffledSampler):
    """Epochs in whose batches no subject comes twice, for losses that tell the subjects of a batch apart.

    As published: of each subject at most ``most_per_subject`` examples are drawn, all are shuffled, and an example
    whose subject is in the batch already is left out of that epoch, as is an incomplete batch at its end.

    ``subjects`` (examples,) are any codes. Raises ``ValueError`` when there are fewer subjects than places in a batch.
    """

    def __init__(self, subjects: np.ndarray, batch_size: int, seed: int, most_per_subject: int = 400) -> None:
        super().__init__(len(subjects), batch_size, seed)
        if most_per_subject < 1:
            raise ValueError(f"most_per_subject must be at least 1, got {most_per_subject}")
        if len(np.unique(subjects)) < batch_size:
            raise ValueError(
                f"{len(np.unique(subjects))} subjects cannot fill a batch of {batch_size} in which each comes once: "
                "lower the batch size"
            )
        self.subjects, self.most_per_subject = subjects, most_per_subject
        counts = np.unique(subjects, return_counts=True)[1]
        self.num_drawn = int(counts.clip(max=most_per_subject).sum())  # before some are left out
        self._ends: list[int] = []  # of each epoch so far, the step after its last
        self._batches: dict[int, np.ndarray] = {}

    def __repr__(self) -> str:
        codes = hashlib.sha256(np.ascontiguousarray(self.subjects).tobytes()).hexdigest()[:12]
        return f"{super().__repr__()[:-1]}, {self.most_per_subject}, {codes})"

    def examples_of(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs, all the same, and the examples, each (batch,), that make up a step."""
        while not self._ends or self._ends[-1] <= step:
            start = self._ends[-1] if self._ends else 0
            self._ends.append(start + len(self._batches_of(len(self._ends))))
        epoch = bisect_right(self._ends, step)
        start = self._ends[epoch - 1] if epoch else 0
        return np.full(self.batch_size, epoch), self._batches_of(epoch)[step - start]

    def _batches_of(self, epoch: int) -> np.ndarray:
        """Return the examples of the batches of an epoch: (batches, batch)."""
        if epoch not in self._batches:
            order = self._epoch(epoch)[0]
            turn = pd.Series(self.subjects[order]).groupby(self.subjects[order]).cumcount().to_numpy()
            chosen: list[int] = []
            present: set = set()
            for example in order[turn < self.most_per_subject]:
                if len(chosen) % self.batch_size == 0:
                    present = set()
                if self.subjects[example] not in present:
                    present.add(self.subjects[example])
                    chosen.append(example)
            whole = len(chosen) // self.batch_size
            batches = np.array(chosen[: whole * self.batch_size]).reshape(whole, self.batch_size)
            self._batches = {**{e: b for e, b in self._batches.items() if e == epoch - 1}, epoch: batches}
        return self._batches[epoch]
