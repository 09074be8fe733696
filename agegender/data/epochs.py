"""Which examples make up a step, and what is drawn for them: pure functions of a seed, an epoch and an example."""

from bisect import bisect_right

import numpy as np
import pandas as pd


class ShuffledEpochs:
    """Epoch after epoch, each in an order of its own, laid end to end and cut into batches.

    Every batch is full, every example comes once an epoch, and nothing depends on what was asked before.
    """

    def __init__(self, num_examples: int, batch_size: int, seed: int, num_draws: int) -> None:
        if num_examples == 0:
            raise ValueError("no training examples: the training part of the split is empty")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.num_examples, self.batch_size, self.seed, self.num_draws = num_examples, batch_size, seed, num_draws
        self._drawn: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @property
    def settings(self) -> tuple[int, ...]:
        """Everything that the order and the draws depend on, but the number of examples."""
        return self.batch_size, self.seed, self.num_draws

    def examples_of(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the epochs and the examples, each (batch,), that make up a step."""
        epochs, places = np.divmod(np.arange(step * self.batch_size, (step + 1) * self.batch_size), self.num_examples)
        examples = [self._epoch(int(epoch))[0][place] for epoch, place in zip(epochs, places, strict=True)]
        return epochs, np.array(examples)

    def draws_of(self, epochs: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """Return uniform draws in [0, 1) for each example in its epoch: (batch, num_draws) float32."""
        return np.stack([self._epoch(int(epoch))[1][example] for epoch, example in zip(epochs, examples, strict=True)])

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of the examples in an epoch, and the draws for each example."""
        if epoch not in self._drawn:
            rng = np.random.default_rng((self.seed, epoch))
            drawn = rng.permutation(self.num_examples), rng.random((self.num_examples, self.num_draws), np.float32)
            self._drawn = {**{e: d for e, d in self._drawn.items() if e == epoch - 1}, epoch: drawn}
        return self._drawn[epoch]


class EpochsOfDistinctSubjects(ShuffledEpochs):
    """Epochs in whose batches no subject comes twice, for losses that tell the subjects of a batch apart.

    As published: of each subject at most ``most_per_subject`` examples are drawn, all are shuffled, and an example
    whose subject is in the batch already is left out of that epoch, as is an incomplete batch at its end. Epochs have
    different numbers of batches, and batches do not reach from one into the next.

    ``subjects`` (examples,) are any codes. Raises ``ValueError`` when there are fewer subjects than places in a batch.
    """

    def __init__(
        self, subjects: np.ndarray, batch_size: int, seed: int, num_draws: int, most_per_subject: int = 400
    ) -> None:
        super().__init__(len(subjects), batch_size, seed, num_draws)
        if most_per_subject < 1:
            raise ValueError(f"most_per_subject must be at least 1, got {most_per_subject}")
        if len(np.unique(subjects)) < batch_size:
            raise ValueError(
                f"{len(np.unique(subjects))} subjects cannot fill a batch of {batch_size} in which each comes once: "
                "lower the batch size"
            )
        self.subjects, self.most_per_subject = subjects, most_per_subject
        self._ends: list[int] = []  # of each epoch so far, the step after its last
        self._batches: dict[int, np.ndarray] = {}

    @property
    def settings(self) -> tuple[int, ...]:
        """Everything that the order and the draws depend on, but the examples and their subjects."""
        return *super().settings, self.most_per_subject

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


def generator_of(seed: int, epoch: int, example: int) -> np.random.Generator:
    """Return the generator of one example in one epoch, for draws whose number is not known beforehand.

    The 1 at the end keeps it apart from the generator of the epoch: seeds are filled up with zeros, so that without
    it example 0 would get the numbers of the epoch.
    """
    return np.random.default_rng((seed, epoch, example, 1))
