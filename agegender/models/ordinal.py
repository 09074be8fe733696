"""Ordinal age heads, which ask of every bin but the last "is this person older than that?": CORAL and CORN.

A decimal age answers in part: 30.4 is older than 29 (1), 0.4 older than 30 and not older than 31 (0). Both heads start
with all bins equally probable.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.models.heads import AgeBins, ClassHead, Init, in_full_precision


def coral_loss(logits: Tensor, positions: Tensor) -> Tensor:
    """Return ``-sum_k [y_k log sigmoid(f_k) + (1 - y_k) log(1 - sigmoid(f_k))]``, batch mean.

    ``f`` are the ``logits`` (batch, bins - 1) and ``y_k`` the answer of ``positions`` (batch,) to "older than bin k?".
    """
    is_older = _answers(positions, logits)
    return functional.binary_cross_entropy_with_logits(logits.float(), is_older, reduction="sum") / len(logits)


def corn_loss(logits: Tensor, positions: Tensor) -> Tensor:
    """Return ``-sum_k sum_{S_k} [y_k log sigmoid(f_k) + (1 - y_k) log(1 - sigmoid(f_k))] / sum_k |S_k|``.

    ``f`` are the ``logits`` (batch, bins - 1) and ``y_k`` the answer of ``positions`` (batch,) to "older than bin k?".
    ``S_k`` are the examples older than bin ``k - 1``; an age between two bins is in the set in part. So this is a mean
    over the questions asked, more of the old than of the young.
    """
    logits = logits.float()
    is_older, is_asked = _answers(positions, logits), _answers(positions + 1, logits)
    yes, no = is_older * functional.logsigmoid(logits), (is_asked - is_older) * functional.logsigmoid(-logits)
    return -(yes + no).sum() / is_asked.sum()


class CoralHead(ClassHead):
    """Consistent rank logits, CORAL: one score for each example and one bias for each question.

    The biases of a minimum fall with ``k`` (theorem 1). Before, an answer is read as the smallest one so far.

    Reference: Cao, Mirjalili and Raschka (2020), "Rank consistent ordinal regression for neural networks with
    application to age estimation".
    """

    def __init__(
        self, in_features: int, classes: AgeBins, hidden: nn.Module | None = None, init: Init = "normal"
    ) -> None:
        super().__init__(in_features, classes, hidden, coral_loss, init, num_outputs=1)
        self.linear.register_parameter("bias", None)  # each question has its own
        self.biases = nn.Parameter(torch.logit(1 - torch.arange(1, len(classes)) / len(classes)))

    def forward(self, embedding: Tensor) -> Tensor:
        """Map the embedding to logits of being older (batch, bins - 1), in float32 also under autocast."""
        return in_full_precision(self.linear, self.hidden(embedding)) + self.biases

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities (batch, bins)."""
        return _of_bins(logits.float().sigmoid().cummin(1).values)


class CornHead(ClassHead):
    """Conditional ordinal regression, CORN: logits of "older than bin k, if older than the one before?".

    The probability of being older than bin ``k`` is the product of ``sigmoid(f_0)`` to ``sigmoid(f_k)``.

    Reference: Shi, Cao and Raschka (2021), "Deep neural networks for rank-consistent ordinal regression based on
    conditional probabilities".
    """

    def __init__(
        self, in_features: int, classes: AgeBins, hidden: nn.Module | None = None, init: Init = "normal"
    ) -> None:
        super().__init__(in_features, classes, hidden, corn_loss, init, num_outputs=len(classes) - 1)
        num_left = torch.arange(len(classes) - 1, 0, -1.0)  # bins above the one that is asked about
        self.linear.bias.data.copy_(num_left.log())

    def forward(self, embedding: Tensor) -> Tensor:
        """Map the embedding to conditional logits (batch, bins - 1), in float32 also under autocast."""
        return in_full_precision(self.linear, self.hidden(embedding))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities (batch, bins)."""
        return _of_bins(logits.float().sigmoid().cumprod(1))


def _of_bins(p_older: Tensor) -> Tensor:
    """The probabilities (batch, bins): at least as old as a bin, less older than it."""
    return -p_older.diff(prepend=torch.ones_like(p_older[:, :1]), append=torch.zeros_like(p_older[:, :1]))


def _answers(positions: Tensor, logits: Tensor) -> Tensor:
    """How far each of ``positions`` (batch,) is above bin k, from 0 to 1, in the shape of ``logits``."""
    return (positions[:, None] - torch.arange(logits.shape[1], device=logits.device)).clamp(0, 1)
