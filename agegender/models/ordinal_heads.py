"""Heads for age that ask of every class but the last "is this person older than that?": CORAL and CORN.

A label answers each question with 0 or 1. An age in decimal years between two classes answers in part: 30.4 is older
than 29 (1), 0.4 older than 30 and not older than 31 (0), so that the answers add up to the age. Both heads start from
the belief that every class is equally probable, as a softmax over logits of 0 does.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.labels import AgeScheme
from agegender.models.age_classes import AgeClasses
from agegender.models.heads import Init, LinearHead, in_full_precision


class _OrdinalHead(LinearHead):
    """What both heads share: how answers to the questions are read as a distribution over the classes."""

    def __init__(
        self, in_features: int, classes: AgeClasses, out_features: int, hidden_features: int | None, init: Init
    ) -> None:
        super().__init__(in_features, out_features, hidden_features, init)
        self.classes = classes
        self.target, self.metric = classes.target, classes.metric

    def p_older(self, logits: Tensor) -> Tensor:
        """Return the probabilities (batch, classes - 1) of being older than each class; they never rise."""
        raise NotImplementedError

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities (batch, classes): at least as old as a class, less older than it."""
        older = self.p_older(logits)
        return -older.diff(prepend=torch.ones_like(older[:, :1]), append=torch.zeros_like(older[:, :1]))

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the examples whose group is the most probable one; of years, sum the absolute errors."""
        return self.classes.measure(self.probabilities(logits), target)

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``age`` (batch,), the mean in years, and of a scheme ``p_group`` (batch, groups)."""
        return self.classes.decode(self.probabilities(logits))


class CoralHead(_OrdinalHead):
    """Consistent rank logits, CORAL: one score ``s`` for each example, and one bias ``b_k`` for each question.

    With ``y_k`` the label's answer to "older than class k?", the loss of an example is

        ``-sum_k [y_k log sigmoid(s + b_k) + (1 - y_k) log(1 - sigmoid(s + b_k))]``

    The biases of a minimum fall with ``k`` (theorem 1 of the paper). On the way there they need not: an answer is then
    read as the smallest one so far, which makes any answers a distribution and leaves ordered ones as they are.

    Reference: Cao, Mirjalili and Raschka (2020), "Rank consistent ordinal regression for neural networks with
    application to age estimation".
    """

    def __init__(
        self,
        in_features: int,
        groups: AgeScheme | range,
        hidden_features: int | None = None,
        init: Init = "normal",
    ) -> None:
        classes = AgeClasses(groups)
        super().__init__(in_features, classes, 1, hidden_features, init)
        self.linear.register_parameter("bias", None)  # each question has its own
        self.biases = nn.Parameter(torch.logit(1 - torch.arange(1, len(classes)) / len(classes)))

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (batch, in_features) to logits of being older (batch, classes - 1), also under autocast in float32."""
        return in_full_precision(self.linear, self.hidden(embedding)) + self.biases

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``logits`` (batch, classes - 1) for the labels ``target`` (batch,), mean over the batch.

        Raises ``ValueError`` for a label that is NaN or in no class.
        """
        is_older = _answers(self.classes.positions(target, len(logits)), logits)
        return functional.binary_cross_entropy_with_logits(logits.float(), is_older, reduction="sum") / len(logits)

    def p_older(self, logits: Tensor) -> Tensor:
        """Return the probabilities (batch, classes - 1) of being older than each class."""
        return logits.float().sigmoid().cummin(1).values


class CornHead(_OrdinalHead):
    """Conditional ordinal regression, CORN: the logits ``f_k`` of "older than class k, if older than the one before?".

    Question ``k`` learns only from the examples ``S_k`` that are older than class ``k - 1``. With ``y_k`` the label's
    answer to "older than class k?", the loss of a batch is

        ``-sum_k sum_{S_k} [y_k log sigmoid(f_k) + (1 - y_k) log(1 - sigmoid(f_k))] / sum_k |S_k|``

    so it is a mean over the questions that were asked, more of the old than of the young. The probability of being
    older than class ``k`` is the product of ``sigmoid(f_0)`` to ``sigmoid(f_k)``, which cannot rise. An age between
    two classes is in the set in part.

    Reference: Shi, Cao and Raschka (2021), "Deep neural networks for rank-consistent ordinal regression based on
    conditional probabilities".
    """

    def __init__(
        self,
        in_features: int,
        groups: AgeScheme | range,
        hidden_features: int | None = None,
        init: Init = "normal",
    ) -> None:
        classes = AgeClasses(groups)
        super().__init__(in_features, classes, len(classes) - 1, hidden_features, init)
        num_left = torch.arange(len(classes) - 1, 0, -1.0)  # classes above the one that is asked about
        self.linear.bias.data.copy_(num_left.log())

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (batch, in_features) to conditional logits (batch, classes - 1), also under autocast in float32."""
        return in_full_precision(self.linear, self.hidden(embedding))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``logits`` (batch, classes - 1) for the labels ``target`` (batch,).

        Raises ``ValueError`` for a label that is NaN or in no class.
        """
        position, logits = self.classes.positions(target, len(logits)), logits.float()
        is_older, is_asked = _answers(position, logits), _answers(position + 1, logits)
        yes, no = is_older * functional.logsigmoid(logits), (is_asked - is_older) * functional.logsigmoid(-logits)
        return -(yes + no).sum() / is_asked.sum()

    def p_older(self, logits: Tensor) -> Tensor:
        """Return the probabilities (batch, classes - 1) of being older than each class."""
        return logits.float().sigmoid().cumprod(1)


def _answers(positions: Tensor, logits: Tensor) -> Tensor:
    """How far each of ``positions`` (batch,) is above class k, from 0 to 1, in the shape of ``logits``."""
    return (positions[:, None] - torch.arange(logits.shape[1], device=logits.device)).clamp(0, 1)
