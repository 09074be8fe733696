"""Which examples make up a step, and what is drawn for them: pure functions of a seed, an epoch and an example."""

import numpy as np


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


def generator_of(seed: int, epoch: int, example: int) -> np.random.Generator:
    """Return the generator of one example in one epoch, for draws whose number is not known beforehand.

    The 1 at the end keeps it apart from the generator of the epoch: seeds are filled up with zeros, so that without
    it example 0 would get the numbers of the epoch.
    """
    return np.random.default_rng((seed, epoch, example, 1))
