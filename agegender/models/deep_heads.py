"""The heads of the TIMIT pipeline: for age and for gender, each with two hidden layers of its own."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from agegender.models.age_classes import checked
from agegender.models.heads import GenderHead, in_full_precision
from agegender.models.losses import focal_regression_loss

HIDDEN_FEATURES = (1024, 512)
AgeLoss = Literal["l1", "l2", "focal_l1", "focal_l2"]


def hidden_layers(in_features: int, widths: Sequence[int] = HIDDEN_FEATURES) -> nn.Sequential:
    """Return linear, BN and ReLU for each of ``widths``; in training, BN needs two examples or more."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(in_features, width), nn.BatchNorm1d(width), nn.ReLU()]
        in_features = width
    return nn.Sequential(*layers)


class DeepAgeHead(nn.Module):
    """Age as one number, learnt by a focal loss, where examples may weigh by their age.

    The net counts in ``unit_years`` years, and so does the loss. The published code counts in hundreds (100), where the
    focal factor makes next to nothing of every error; its text means years (1). ``"focal_l1"`` and ``"focal_l2"`` are
    ``agegender.models.losses.focal_regression_loss`` with a power of 1 and of 2; ``"l1"`` and ``"l2"`` are the same
    without the focal factor. Answers start near ``initial_age`` years: in years, start at the mean age of the training
    part.

    ``year_weights`` (years,) holds the weight in the loss of an example of 0, 1, ... completed years (the last also
    that of all above it), as ``agegender.training.reweighting`` makes them. ``None`` weighs all alike. They are not
    saved with the weights of the net.

    With 512 features it has 1,053,697 parameters.
    """

    target = "age"
    metric = "mae"
    year_weights: Tensor | None

    def __init__(
        self,
        in_features: int,
        loss: AgeLoss = "focal_l2",
        unit_years: float = 1.0,
        year_weights: Tensor | None = None,
        initial_age: float = 0.0,
    ) -> None:
        super().__init__()
        if loss not in ("l1", "l2", "focal_l1", "focal_l2"):
            raise ValueError(f"unknown loss {loss!r}: expected 'l1', 'l2', 'focal_l1' or 'focal_l2'")
        if not unit_years > 0:
            raise ValueError(f"unit_years must be above 0, got {unit_years}")
        self.kind, self.unit_years = loss, unit_years
        self.hidden = hidden_layers(in_features)
        self.linear = nn.Linear(HIDDEN_FEATURES[-1], 1)
        with torch.no_grad():
            self.linear.bias.add_(initial_age / unit_years)
        self.register_buffer("year_weights", _checked_weights(year_weights), persistent=False)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (batch, in_features) to the age in units of ``unit_years`` (batch, 1), never in bfloat16."""
        return in_full_precision(self.linear, self.hidden(embedding))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean weighted loss of ``logits`` (batch, 1) for ``target`` (batch,) in years.

        Raises ``ValueError`` for an age that is not between 0 and 120 years, or NaN.
        """
        age = checked(target, 0, 121, len(logits), "age in years")
        weights = None
        if self.year_weights is not None:
            weights = self.year_weights[age.nan_to_num().long().clamp(max=len(self.year_weights) - 1)]
        return focal_regression_loss(
            self.decode(logits)["age"],
            age,
            weights,
            power=int(self.kind[-1]),
            gamma=1.0 if self.kind.startswith("focal") else 0.0,
            unit_years=self.unit_years,
        )

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Sum the absolute errors in years."""
        return (self.decode(logits)["age"] - target).abs().sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``age`` (batch,) in years."""
        return {"age": logits[:, 0].float() * self.unit_years}


class DeepGenderHead(GenderHead):
    """Gender as the corpus labels it: two logits in the order of ``GENDERS``, and the cross-entropy.

    The published code has the two the other way round, which changes nothing but their names. With 512 features it has
    1,054,210 parameters.
    """

    def __init__(self, in_features: int) -> None:
        super().__init__(HIDDEN_FEATURES[-1], init="torch")
        self.hidden = hidden_layers(in_features)


def _checked_weights(weights: Tensor | None) -> Tensor | None:
    if weights is None:
        return None
    weights = weights.float()
    if weights.ndim != 1 or len(weights) == 0 or not (weights.isfinite() & (weights >= 0)).all():
        raise ValueError("year_weights must be finite numbers of 0 or more, one for each year of age")
    return weights
