"""Heads: from an embedding to logits, from logits to a loss, and from logits to predictions.

A head takes its hidden layers and its loss (of ``losses``, or any other) as arguments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.labels import GENDERS, AgeScheme
from agegender.models.losses import checked, clipped_binary_cross_entropy, cross_entropy

Init = Literal["normal", "xavier", "xavier_weight", "xavier_normal", "torch"]
"""Initial weights of the last layer. ``"normal"``: N(0, 0.01), bias 0. ``"xavier"``: uniform after Glorot and Bengio
(2010), bias 0. ``"torch"``: weights and bias uniform within ``1 / sqrt(in_features)``. ``"xavier_weight"``: weights of
``"xavier"``, bias of ``"torch"``. ``"xavier_normal"``: Xavier's normal, bias 0, in the hidden layers too."""


class AgeBins(nn.Module):
    """The classes of an age head: the groups of a scheme, or single years.

    Groups are learnt from the target ``"age_group"`` (indices), years from ``"age"``: an age falls into the bin of its
    completed years. Raises ``ValueError`` for fewer than two bins, and for a range with other steps than a year.
    """

    years: Tensor
    target: Literal["age_group", "age"]
    metric: Literal["accuracy", "mae"]

    def __init__(self, groups: AgeScheme | range) -> None:
        super().__init__()
        if len(groups) < 2 or (isinstance(groups, range) and groups.step != 1):
            raise ValueError(f"an age head needs two or more groups, or years in steps of one, got {groups}")
        self.groups, self.is_in_years = groups, isinstance(groups, range)
        self.target, self.metric = ("age", "mae") if self.is_in_years else ("age_group", "accuracy")
        self.first = groups[0] if isinstance(groups, range) else 0
        years = tuple(groups) if isinstance(groups, range) else groups.midpoints
        self.register_buffer("years", torch.tensor(years, dtype=torch.float32), persistent=False)

    def __len__(self) -> int:
        return len(self.years)

    def positions(self, target: Tensor, num_examples: int) -> Tensor:
        """Return indices of groups, or years since the first bin, as float32 (batch,); see ``checked``."""
        name = "age in years" if self.is_in_years else "age group"
        return checked(target, self.first, self.first + len(self), num_examples, name) - self.first

    def decode(self, probabilities: Tensor) -> dict[str, Tensor]:
        """Return ``age`` (batch,), the mean in years, and of a scheme ``p_group`` (batch, groups).

        The mean is that of Rothe, Timofte and Van Gool (2018), "Deep expectation of real and apparent age" (DEX).
        """
        age = {"age": (probabilities * self.years).sum(1)}  # no matrix product: autocast would round it
        return age if self.is_in_years else {"p_group": probabilities, **age}


@dataclass(frozen=True)
class TwoClasses:
    """A binary column ``target`` of the manifest; class 1 is the ``positive`` one."""

    target: str
    positive: str
    metric: Literal["accuracy"] = "accuracy"

    def __len__(self) -> int:
        return 2

    def positions(self, target: Tensor, num_examples: int) -> Tensor:
        """Return the indices of ``target`` (batch,) as float32 (batch,); raises what ``checked`` raises."""
        return checked(target, 0, 2, num_examples, self.target)

    def decode(self, probabilities: Tensor) -> dict[str, Tensor]:
        """Return ``p_<positive>`` (batch,)."""
        return {f"p_{self.positive}": probabilities[:, 1]}


GENDER = TwoClasses("gender", GENDERS[1])
"""Gender as the corpus labels it: indices into ``GENDERS``, read as ``p_female``."""


def hidden_layers(in_features: int, widths: Sequence[int], has_batch_norm: bool = False) -> nn.Sequential:
    """Return linear, BN (if asked for) and ReLU for each of ``widths``; in training, BN needs two examples or more."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(in_features, width), *([nn.BatchNorm1d(width)] if has_batch_norm else []), nn.ReLU()]
        in_features = width
    return nn.Sequential(*layers)


class LinearHead(nn.Module):
    """The hidden layers ``hidden``, if any, and a linear layer on their ``in_features`` outputs."""

    def __init__(self, in_features: int, out_features: int, hidden: nn.Module | None, init: Init) -> None:
        super().__init__()
        self.hidden = nn.Identity() if hidden is None else hidden
        self.linear = nn.Linear(in_features, out_features)
        if init not in get_args(Init):
            raise ValueError(f"unknown init {init!r}: expected {', '.join(map(repr, get_args(Init)))}")
        if init == "normal":
            nn.init.normal_(self.linear.weight, std=0.01)
        elif init in ("xavier", "xavier_weight"):
            nn.init.xavier_uniform_(self.linear.weight)
        for layer in self.modules() if init == "xavier_normal" else ():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        if init in ("normal", "xavier"):
            nn.init.zeros_(self.linear.bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map the embedding (batch, features) to logits (batch, out_features)."""
        return self.linear(self.hidden(embedding))


class ClassHead(LinearHead):
    """Logits for ``classes``, read by a softmax.

    ``in_features`` is what the last layer reads: the width of the embedding, or of the last layer of ``hidden``.
    ``loss`` maps logits (batch, outputs) and positions (batch,) to a scalar.
    """

    def __init__(
        self,
        in_features: int,
        classes: AgeBins | TwoClasses,
        hidden: nn.Module | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
        init: Init = "normal",
        num_outputs: int | None = None,
    ) -> None:
        super().__init__(in_features, num_outputs or len(classes), hidden, init)
        self.classes, self.loss_function = classes, loss
        self.target, self.metric = classes.target, classes.metric

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities (batch, classes) of ``logits``, in float32."""
        return logits.float().softmax(1)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``logits`` (batch, outputs) for the labels ``target`` (batch,), mean over the batch.

        Raises ``ValueError`` for a label that is NaN or in no class.
        """
        positions = self.classes.positions(target, len(logits))
        loss = self.loss_function(logits, positions.nan_to_num())
        return loss + 0 * positions.mean()  # NaN when a label was refused on an accelerator, otherwise unchanged

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Sum over the batch what ``metric`` names: correct classes, or absolute errors in years."""
        if self.metric == "mae":
            return (self.decode(logits)["age"] - target).abs().sum()
        return (self.probabilities(logits).argmax(1) == target).sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return predictions by name; see ``AgeBins`` and ``TwoClasses``."""
        return self.classes.decode(self.probabilities(logits))


class SigmoidHead(ClassHead):
    """One logit, that of the positive class: Keras' Dense(1, sigmoid) with its cross-entropy."""

    def __init__(self, in_features: int, classes: TwoClasses, init: Init = "normal") -> None:
        super().__init__(in_features, classes, None, clipped_binary_cross_entropy, init, num_outputs=1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities (batch, 2) of ``logits`` (batch, 1), in float32."""
        positive = logits.float().sigmoid()
        return torch.cat([1 - positive, positive], 1)


class RegressionHead(LinearHead):
    """Age as one number, in units of ``unit_years`` years, whose bias starts ``initial_age`` years higher.

    ``loss`` maps ages and targets, both (batch,) in years, to a scalar. Its third argument are the weights of the batch
    by ``year_weights`` (years,): of examples of 0, 1, ... completed years, the last also of all above; they are not
    saved. Raises ``ValueError`` for weights that are no finite numbers of 0 or more.
    """

    target = "age"
    metric = "mae"
    year_weights: Tensor | None

    def __init__(
        self,
        in_features: int,
        hidden: nn.Module | None = None,
        loss: Callable[..., Tensor] = functional.l1_loss,
        init: Init = "normal",
        initial_age: float = 0.0,
        unit_years: float = 1.0,
        year_weights: Tensor | None = None,
    ) -> None:
        super().__init__(in_features, 1, hidden, init)
        if not unit_years > 0:
            raise ValueError(f"unit_years must be above 0, got {unit_years}")
        weights = None if year_weights is None else year_weights.float()
        if weights is not None and not (
            weights.ndim == 1 and len(weights) and (weights >= 0).all() and weights.isfinite().all()
        ):
            raise ValueError("year_weights must be finite numbers of 0 or more, one for each year of age")
        with torch.no_grad():
            self.linear.bias.add_(initial_age / unit_years)
        self.loss_function, self.unit_years = loss, unit_years
        self.register_buffer("year_weights", weights, persistent=False)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map the embedding to ages (batch, 1), never in bfloat16: at 40 years it steps by 0.25."""
        return in_full_precision(self.linear, self.hidden(embedding))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of ``logits`` (batch, 1) for ``target`` (batch,) in years, from 0 to 120."""
        age, predicted = checked(target, 0, 121, len(logits), "age in years"), self.decode(logits)["age"]
        if self.year_weights is None:
            return self.loss_function(predicted, age)
        years = age.nan_to_num().long().clamp(max=len(self.year_weights) - 1)
        return self.loss_function(predicted, age, self.year_weights[years])

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Sum the absolute errors in years."""
        return (self.decode(logits)["age"] - target).abs().sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``age`` (batch,) in years."""
        return {"age": logits[:, 0].float() * self.unit_years}


def in_full_precision(linear: nn.Linear, features: Tensor) -> Tensor:
    """Return ``linear(features)`` in the precision of its weights, also under autocast."""
    with torch.autocast(features.device.type, enabled=False):
        return linear(features.to(linear.weight.dtype))
