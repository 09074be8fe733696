"""A model: one encoder, and a head for each task; or several such models as one."""

from collections.abc import ItemsView, Sequence
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn

from agegender.models.heads import ClassHead


class Head(Protocol):
    """What a model needs of a head."""

    target: str
    metric: Literal["accuracy", "mae"]

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss, a mean over the batch."""

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the sum over the batch of what ``metric`` names: correct predictions, or errors in years."""

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return the predictions by name."""


class MultiTaskModel(nn.Module):
    """An encoder and a ``Head`` for each task, whose loss is weighted by ``loss_weights``, 1 where none is given."""

    def __init__(
        self, encoder: nn.Module, heads: dict[str, nn.Module], loss_weights: dict[str, float] | None = None
    ) -> None:
        super().__init__()
        if not heads:
            raise ValueError("a model needs at least one head")
        if unknown := set(loss_weights or {}) - set(heads):
            raise ValueError(f"loss weights for tasks without a head: {sorted(unknown)}; the heads are {list(heads)}")
        self.loss_weights = dict.fromkeys(heads, 1.0) | (loss_weights or {})
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def tasks(self) -> ItemsView[str, Head]:
        """Return the heads by task."""
        return cast("ItemsView[str, Head]", self.heads.items())

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the logits of each task for a batch of inputs."""
        embedding = self.encoder(inputs)
        return {task: head(embedding) for task, head in self.heads.items()}

    def losses(self, logits: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss of each task, a mean over the batch; ``targets`` is keyed by each head's ``target``."""
        return {task: head.loss(logits[task], targets[head.target]) for task, head in self.tasks()}

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of the tasks' losses: what is minimised."""
        return torch.stack([self.loss_weights[task] * loss for task, loss in losses.items()]).sum()

    def decode(self, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the predictions of all heads by name: years, group probabilities, P(female)."""
        return {name: value for task, head in self.tasks() for name, value in head.decode(logits[task]).items()}


class SideBySide(nn.Module):
    """Several encoders of the same input as one: their embeddings, one after the other."""

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the embeddings (batch, encoders * features)."""
        return torch.cat([encoder(inputs) for encoder in self.encoders], 1)


class MeanHead(nn.Module):
    """The heads of several nets as one, which averages their probabilities; each reads its share of the embedding.

    ``heads`` are ``agegender.models.heads.ClassHead`` of the same classes.
    """

    def __init__(self, heads: Sequence[ClassHead]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.classes, self.target, self.metric = heads[0].classes, heads[0].target, heads[0].metric
        self.probabilities, self.decode = heads[0].probabilities, heads[0].decode
        self.loss, self.measure = heads[0].loss, heads[0].measure

    def forward(self, embedding: Tensor) -> Tensor:
        """Map embeddings, one after the other, to the logarithms of the mean probabilities: (batch, classes)."""
        shares = embedding.chunk(len(self.heads), 1)
        logits = [head(share) for head, share in zip(self.heads, shares, strict=True)]
        return torch.stack([self.probabilities(each) for each in logits]).mean(0).log()


def ensemble_of(models: Sequence[MultiTaskModel]) -> MultiTaskModel:
    """Return ``models`` with the same heads of classes as one, whose probabilities are the means of theirs."""
    heads = {task: MeanHead([cast(ClassHead, each.heads[task]) for each in models]) for task in models[0].heads}
    return MultiTaskModel(SideBySide([each.encoder for each in models]), dict(heads))
