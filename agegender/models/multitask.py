"""A model: one encoder, and a head for each task."""

from torch import Tensor, nn


class MultiTaskModel(nn.Module):
    """An encoder with ``out_features`` and heads by task; one task makes it a single-task model.

    A head owns ``forward`` (embedding -> logits), ``loss(logits, target)``, ``num_correct(logits, target)``,
    ``decode(logits)`` and ``target``, the name of the label that it learns.
    """

    def __init__(self, encoder: nn.Module, heads: dict[str, nn.Module]) -> None:
        super().__init__()
        if not heads:
            raise ValueError("a model needs at least one head")
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Return the logits of each task for a batch of inputs."""
        embedding = self.encoder(inputs)
        return {task: head(embedding) for task, head in self.heads.items()}

    def losses(self, logits: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss of each task, a mean over the batch; ``targets`` is keyed by each head's ``target``."""
        return {task: head.loss(logits[task], targets[head.target]) for task, head in self.heads.items()}

    def decode(self, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what all heads read from their logits: years, group probabilities, P(female)."""
        return {name: value for task, head in self.heads.items() for name, value in head.decode(logits[task]).items()}
