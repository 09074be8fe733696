"""A model: one encoder, and a head for each task."""

from collections.abc import ItemsView
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn


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
