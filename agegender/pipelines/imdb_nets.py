"""The trunks and age heads that ``agegender.pipelines.imdb`` compares, and the weights of the age losses."""

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from agegender.models.heads import AgeBins, ClassHead, Init, RegressionHead
from agegender.models.ir_resnet import IRResNet
from agegender.models.label_distribution import label_distribution_loss, mean_variance_loss
from agegender.models.ordinal import CoralHead, CornHead
from agegender.models.resnet import ResNetEncoder

ClassLoss = Callable[[Tensor, Tensor], Tensor]

AGE_WEIGHTS = {
    "l1": 0.1, "l2": 0.01, "huber": 0.1, "ce": 1.0, "dldl": 0.2, "meanvariance": 0.05, "coral": 0.1, "corn": 50.0,
}  # fmt: skip
"""The weight of the age loss beside that of gender. Those of ``l1``, ``l2`` and ``ce`` are published; the others, ours,
bring the first loss of a net that knows nothing to about that of the cross-entropy of 101 classes."""


def trunk_of(encoder: str, weights: Literal["none", "imagenet"]) -> ResNetEncoder | IRResNet:
    """Return the encoder of that name, or raise ``ValueError``."""
    depth: Any = int("".join(filter(str.isdigit, encoder)) or 0)
    if encoder in ("ir18", "ir34", "ir101"):
        return IRResNet(depth)
    if encoder in ("resnet18", "resnet50"):
        return ResNetEncoder(depth, None if weights == "none" else weights)
    raise ValueError(f"unknown encoder {encoder!r}: expected resnet18, resnet50, ir18, ir34 or ir101")


def age_head_of(
    age: str, width: int, hidden: nn.Module, class_loss: ClassLoss, init: Init, first_age: float
) -> nn.Module:
    """Return the age head of that name behind the layers ``hidden`` with ``width`` outputs.

    ``class_loss`` is that of ``"ce"``, ``first_age`` (years) is where a regression starts. Raises ``ValueError`` for a
    name that is not in ``AGE_WEIGHTS``.
    """
    years = AgeBins(range(101))
    match age:
        case "l1" | "l2" | "huber":
            loss: Any = {"l1": functional.l1_loss, "l2": functional.mse_loss, "huber": functional.huber_loss}[age]
            return RegressionHead(width, hidden, loss, init, first_age)
        case "ce" | "dldl" | "meanvariance":
            loss = {"ce": class_loss, "dldl": label_distribution_loss, "meanvariance": mean_variance_loss}[age]
            return ClassHead(width, years, hidden, loss, init)
        case "coral" | "corn":
            return (CoralHead if age == "coral" else CornHead)(width, years, hidden, init)
    raise ValueError(f"unknown age head {age!r}: expected {', '.join(AGE_WEIGHTS)}")
