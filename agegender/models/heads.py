"""Heads: from an embedding to logits, from logits to a loss, and from logits to what a person reads.

Here are the heads of the published pipelines; ``distribution_heads`` and ``ordinal_heads`` have newer ones for age.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.labels import GENDERS, AgeScheme
from agegender.models.age_classes import AgeClasses, checked
from agegender.models.losses import KERAS_EPSILON, clipped_log_probabilities

Init = Literal["normal", "xavier", "xavier_weight", "xavier_normal", "torch"]
"""First weights of the last layer: N(0, 0.01) (``"normal"``), or uniform after Glorot and Bengio (2010) (``"xavier"``),
and its bias 0; or both as torch starts a linear layer, uniform within ``1 / sqrt(in_features)`` (``"torch"``). Of
``"xavier_weight"`` the weight is Xavier's and the bias torch's. ``"xavier_normal"`` draws weights from Xavier's normal
distribution and sets biases to 0, in the hidden layer too."""


class LinearHead(nn.Module):
    """Linear, or with ``hidden_features`` Linear -> ReLU -> Linear.

    ``init`` is about the last layer; a hidden layer starts as torch starts a linear layer, but for ``"xavier_normal"``.
    """

    def __init__(
        self, in_features: int, out_features: int, hidden_features: int | None = None, init: Init = "normal"
    ) -> None:
        super().__init__()
        self.hidden: nn.Module = nn.Identity()
        if hidden_features is not None:
            self.hidden = nn.Sequential(nn.Linear(in_features, hidden_features), nn.ReLU())
        self.linear = nn.Linear(hidden_features or in_features, out_features)
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
        """Map (batch, in_features) to logits (batch, out_features)."""
        return self.linear(self.hidden(embedding))


class AgeGroupHead(LinearHead):
    """Age as one of the groups of a scheme, or as one of the years of a range: logits and the cross-entropy.

    The age in years is the mean under the softmax, ``sum_k p_k * years_k``, as in Rothe, Timofte and Van Gool (2018),
    "Deep expectation of real and apparent age" (DEX). ``softmax_before_loss`` repeats a fault of the IMDB
    pipeline (see ``class_loss``), ``clips_probabilities`` the loss of Keras (see
    ``agegender.models.losses.clipped_log_probabilities``).
    """

    def __init__(
        self,
        in_features: int,
        groups: AgeScheme | range,
        hidden_features: int | None = None,
        softmax_before_loss: bool = False,
        init: Init = "normal",
        clips_probabilities: bool = False,
    ) -> None:
        classes = AgeClasses(groups)
        super().__init__(in_features, len(classes), hidden_features, init)
        self.classes, self.softmax_before_loss = classes, softmax_before_loss
        self.clips_probabilities = clips_probabilities
        self.target, self.metric = classes.target, classes.metric

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of ``logits`` (batch, classes) with the labels ``target`` (batch,), mean over the batch.

        Raises ``ValueError`` for a label that is NaN or in no class.
        """
        positions = self.classes.positions(target, len(logits))
        scores = clipped_log_probabilities(logits) if self.clips_probabilities else logits
        return class_loss(scores, positions, self.softmax_before_loss)

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the examples whose group is the most probable one; of years, sum the absolute errors."""
        return self.classes.measure(logits.float().softmax(1), target)

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``age`` (batch,), the mean in years, and of a scheme ``p_group`` (batch, groups)."""
        return self.classes.decode(logits.float().softmax(1))


class AgeRegressionHead(LinearHead):
    """Age in years as one number, which starts at ``initial_age`` (and a bias that ``init`` draws).

    With the error ``d = age - target`` the loss of an example is ``|d|`` ("l1"), ``d^2`` ("l2"), or Huber's (1964):
    ``d^2 / 2`` up to ``huber_delta`` years and ``huber_delta * (|d| - huber_delta / 2)`` above.
    """

    target = "age"
    metric = "mae"

    def __init__(
        self,
        in_features: int,
        loss: Literal["l1", "l2", "huber"] = "l1",
        hidden_features: int | None = None,
        initial_age: float = 0.0,
        init: Init = "normal",
        huber_delta: float = 1.0,
    ) -> None:
        if loss not in ("l1", "l2", "huber"):
            raise ValueError(f"unknown loss {loss!r}: expected 'l1', 'l2' or 'huber'")
        super().__init__(in_features, 1, hidden_features, init)
        with torch.no_grad():
            self.linear.bias.add_(initial_age)
        self.kind, self.huber_delta = loss, huber_delta

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (batch, in_features) to years (batch, 1), never in bfloat16: at 40 years it steps by 0.25."""
        return in_full_precision(self.linear, self.hidden(embedding))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of the ages ``logits`` (batch, 1) for ``target`` (batch,), both in years.

        Raises ``ValueError`` for an age that is not between 0 and 120 years, or NaN.
        """
        age = checked(target, 0, 121, len(logits), "age in years")
        if self.kind == "l1":
            return functional.l1_loss(logits[:, 0].float(), age)
        if self.kind == "l2":
            return functional.mse_loss(logits[:, 0].float(), age)
        return functional.huber_loss(logits[:, 0].float(), age, delta=self.huber_delta)

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Sum the absolute errors in years."""
        return (logits[:, 0].float() - target).abs().sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``age`` (batch,) in years."""
        return {"age": logits[:, 0].float()}


class GenderHead(LinearHead):
    """Gender as the corpus labels it, in two classes: two logits, in the order of ``GENDERS``, and the cross-entropy.

    ``softmax_before_loss`` repeats a fault of the IMDB pipeline; see ``class_loss``.
    """

    target = "gender"
    metric = "accuracy"

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        softmax_before_loss: bool = False,
        init: Init = "normal",
    ) -> None:
        super().__init__(in_features, len(GENDERS), hidden_features, init)
        self.softmax_before_loss = softmax_before_loss

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of ``logits`` (batch, 2) with ``target`` (batch,), indices into ``GENDERS``; batch mean.

        Raises ``ValueError`` for an index that ``GENDERS`` does not have.
        """
        gender = checked(target, 0, len(GENDERS), len(logits), "gender")
        return class_loss(logits, gender, self.softmax_before_loss)

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the examples whose gender is the more probable one."""
        return (logits.argmax(1) == target).sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``p_female`` (batch,)."""
        return {"p_female": logits.float().softmax(1)[:, GENDERS.index("female")]}


class SigmoidGenderHead(LinearHead):
    """Gender as the corpus labels it, with one logit: that of female. Keras' Dense(1, sigmoid) and its cross-entropy.

    With ``p`` the sigmoid of the logit, clipped to ``[e, 1 - e]``, and ``t`` = 1 for female, the loss of an example is
    ``-t log(p + e) - (1 - t) log(1 - p + e)``, where ``e`` is Keras' 1e-7. An answer that is clipped has no gradient.
    """

    target = "gender"
    metric = "accuracy"

    def __init__(self, in_features: int, hidden_features: int | None = None, init: Init = "normal") -> None:
        super().__init__(in_features, 1, hidden_features, init)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy of ``logits`` (batch, 1) with ``target`` (batch,), indices into ``GENDERS``; batch mean.

        Raises ``ValueError`` for an index that ``GENDERS`` does not have.
        """
        is_female = checked(target, 0, len(GENDERS), len(logits), "gender")
        p_female = self.decode(logits)["p_female"].clamp(KERAS_EPSILON, 1 - KERAS_EPSILON)
        log_female, log_male = (p_female + KERAS_EPSILON).log(), (1 - p_female + KERAS_EPSILON).log()
        return -(is_female * log_female + (1 - is_female) * log_male).mean()

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the examples whose gender is the more probable one; a logit of 0 is read as male."""
        return ((logits[:, 0] > 0) == target).sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``p_female`` (batch,)."""
        return {"p_female": logits[:, 0].float().sigmoid()}


class AttributeHead(LinearHead):
    """A yes-or-no column of the manifest, such as CelebA's ``young``: two logits and the cross-entropy."""

    metric = "accuracy"

    def __init__(self, in_features: int, target: str, init: Init = "normal") -> None:
        super().__init__(in_features, 2, init=init)
        self.target = target

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of ``logits`` (batch, 2) with ``target`` (batch,) of 0 and 1; batch mean.

        Raises ``ValueError`` for another value.
        """
        return class_loss(logits, checked(target, 0, 2, len(logits), self.target))

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the examples whose answer is the more probable one."""
        return (logits.argmax(1) == target).sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return ``p_<target>`` (batch,)."""
        return {f"p_{self.target}": logits.float().softmax(1)[:, 1]}


def class_loss(logits: Tensor, positions: Tensor, softmax_before_loss: bool = False) -> Tensor:
    """Return the cross-entropy of ``logits`` (batch, classes) with the classes below ``positions`` (batch,), a mean.

    ``softmax_before_loss`` takes the probabilities for logits, so that the softmax acts twice. The loss of a sure and
    right answer among K classes is then not 0 but ``log(1 + (K - 1) / e)``: 0.3133 for two, 3.6320 for 101.
    """
    scores = logits.float().softmax(1) if softmax_before_loss else logits.float()
    loss = functional.cross_entropy(scores, positions.nan_to_num().long())
    return loss + 0 * positions.mean()  # NaN when a label was refused on an accelerator, otherwise unchanged


def in_full_precision(linear: nn.Linear, features: Tensor) -> Tensor:
    """Return ``linear(features)`` in the precision of its weights, also where autocast would round it."""
    with torch.autocast(features.device.type, enabled=False):
        return linear(features.to(linear.weight.dtype))
