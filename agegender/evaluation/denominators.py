"""How a published accuracy was divided: test sets padded to whole batches, and batches that were never counted.

The LMTCNN evaluators take ``num_steps = ceil(n / batch_size)`` batches and divide by ``num_steps * batch_size``
whatever the number n of test examples. What they counted differs (see `Reading`).
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from agegender.evaluation.metrics import checked_column

Reading = Literal["each_once", "wrapped", "last_batch_dropped"]
"""``each_once``: every example counts once, divided by n (the documented intent).

``wrapped``: the input queue wraps round, so the first examples of the test set are counted again until the last
batch is full (the original code). ``last_batch_dropped``: the input does not wrap round, so only ``num_steps - 1``
batches are counted, but the division is by all of them (the evaluator of the port)."""


def num_batches(num_examples: int, batch_size: int) -> int:
    """Return ceil(``num_examples`` / ``batch_size``); raise ``ValueError`` if either is below 1."""
    if num_examples < 1 or batch_size < 1:
        raise ValueError(f"need at least 1 example and a batch size of at least 1, got {num_examples} and {batch_size}")
    return math.ceil(num_examples / batch_size)


def padded_accuracy(correct: ArrayLike, batch_size: int, reading: Reading, repeats: ArrayLike | None = None) -> float:
    """Return the share of right answers as the given reading divides it.

    ``correct`` (examples,) holds 0 or 1 (or booleans) in the order of the test set, because which examples are counted
    twice, or never, depends on it. ``repeats`` (examples,) says on how many lines of a published list each stands: the
    readings of the published code count lines, ``each_once`` does not. Raises ``ValueError`` for an unknown reading, an
    empty input or NaN.

    >>> right = [1, 1, 1, 0, 0]
    >>> [padded_accuracy(right, 3, reading) for reading in ("each_once", "wrapped", "last_batch_dropped")]
    [0.6, 0.6666666666666666, 0.5]
    """
    hits = checked_column(correct, "correct")
    if reading == "each_once":
        return float(hits.mean())
    hits = hits if repeats is None else np.repeat(hits, np.asarray(repeats))
    steps = num_batches(len(hits), batch_size)
    if reading == "wrapped":
        return float(np.resize(hits, steps * batch_size).mean())  # np.resize starts again from the first element
    if reading == "last_batch_dropped":
        return float(hits[: (steps - 1) * batch_size].sum() / (steps * batch_size))
    raise ValueError(f"unknown reading {reading!r}: expected each_once, wrapped or last_batch_dropped")


def restored_last_batch(accuracy: float, num_examples: int, batch_size: int) -> float:
    """Return what ``last_batch_dropped`` printed as ``accuracy``, divided by the batches that it counted.

    That is ``accuracy * num_steps / (num_steps - 1)``, the accuracy over the first ``num_steps - 1`` full batches.
    Raises ``ValueError`` when there is only one batch, of which nothing was counted.

    >>> restored_last_batch(30.0, num_examples=500, batch_size=128)
    40.0
    """
    steps = num_batches(num_examples, batch_size)
    if steps == 1:
        raise ValueError(f"{num_examples} examples are one batch of {batch_size}: without it nothing was counted")
    return accuracy * steps / (steps - 1)
