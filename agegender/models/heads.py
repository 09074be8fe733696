"""Heads: from an embedding to logits, from logits to a loss, and from logits to what a person reads."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.labels import GENDERS, AgeScheme


class AgeGroupHead(nn.Module):
    """Age as one of the groups of a scheme: a linear layer and the cross-entropy."""

    target = "age_group"
    metric = "accuracy"
    midpoints: Tensor

    def __init__(self, in_features: int, scheme: AgeScheme) -> None:
        super().__init__()
        self.linear = _linear(in_features, len(scheme))
        self.register_buffer("midpoints", torch.tensor(scheme.midpoints), persistent=False)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (batch, in_features) to logits (batch, groups)."""
        return self.linear(embedding)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of ``logits`` (batch, groups) with the groups ``target`` (batch,), mean over the batch."""
        return functional.cross_entropy(logits.float(), target)

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the examples whose group is the most probable one."""
        return (logits.argmax(1) == target).sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``p_group`` (batch, groups) and ``age`` (batch,): the expected midpoint in years."""
        probabilities = logits.float().softmax(1)
        return {"p_group": probabilities, "age": probabilities @ self.midpoints}


class GenderHead(nn.Module):
    """Gender as the corpus labels it, in two classes: a linear layer with two logits and the cross-entropy."""

    target = "gender"
    metric = "accuracy"

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = _linear(in_features, len(GENDERS))

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (batch, in_features) to logits (batch, 2), in the order of ``GENDERS``."""
        return self.linear(embedding)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of ``logits`` (batch, 2) with ``target`` (batch,), indices into ``GENDERS``; batch mean."""
        return functional.cross_entropy(logits.float(), target)

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the examples whose gender is the more probable one."""
        return (logits.argmax(1) == target).sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``p_female`` (batch,)."""
        return {"p_female": logits.float().softmax(1)[:, GENDERS.index("female")]}


def _linear(in_features: int, out_features: int) -> nn.Linear:
    """A linear layer with the initial weights of the face papers: N(0, 0.01), bias 0."""
    linear = nn.Linear(in_features, out_features)
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    return linear
