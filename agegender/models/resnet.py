"""The trunk of torchvision's ResNet as a face encoder, from random weights or from those trained on ImageNet.

Reference: He, Zhang, Ren and Sun (2016), "Deep Residual Learning for Image Recognition", CVPR, table 1.
"""

import hashlib
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights, resnet18, resnet50

MIN_INPUT_PX = 32
"""Below it nothing is left of the last map but padding. Faces were published with 112 and 224 px."""
ADDRESSES: dict[int, str] = {18: ResNet18_Weights.IMAGENET1K_V1.url, 50: ResNet50_Weights.IMAGENET1K_V1.url}
"""Depth -> where torchvision's first ImageNet weights are published; their SHA-256 begins as their names end."""


class WeightsUnavailableError(RuntimeError):
    """The ImageNet weights are not here and cannot be fetched, or are not what they should be; says what to do."""


class ResNetEncoder(nn.Module):
    """ResNet-18 (512 features) or ResNet-50 (2,048) without its classifier.

    ``weights="imagenet"`` starts from ``imagenet_weights``, ``None`` from random weights. The trunk has 11,176,512 (18)
    or 23,508,032 (50) parameters. Raises ``ValueError`` for another depth or other weights, and what
    ``imagenet_weights`` raises.
    """

    def __init__(self, depth: Literal[18, 50] = 18, weights: Literal["imagenet"] | None = None) -> None:
        super().__init__()
        if depth not in (18, 50):
            raise ValueError(f"depth must be 18 or 50, got {depth!r}")
        if weights not in ("imagenet", None):
            raise ValueError(f"weights must be 'imagenet' or None, got {weights!r}")
        self.trunk = resnet18() if depth == 18 else resnet50()
        self.out_features = self.trunk.fc.in_features
        if weights == "imagenet":
            self.trunk.load_state_dict(imagenet_weights(depth))
        self.trunk.fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Encode normalised ``images`` (batch, 3, height, width), 32 px or more, as (batch, ``out_features``)."""
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < MIN_INPUT_PX:
            side = f"{MIN_INPUT_PX} px or more"
            raise ValueError(f"ResNet reads (batch, 3, height, width) of {side}, got {tuple(images.shape)}")
        return self.trunk(images)


def imagenet_file(depth: int) -> Path:
    """Return where torch.hub keeps the weights of ResNet-``depth``, there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / ADDRESSES[depth].rsplit("/", 1)[-1]


def imagenet_weights(depth: int) -> dict[str, Tensor]:
    """Return torchvision's state of a ResNet-``depth`` trained on ImageNet, classifier included.

    torch.hub downloads the file once; its SHA-256 is checked on every call. Raises ``WeightsUnavailableError`` when it
    cannot be fetched or is damaged.
    """
    file = imagenet_file(depth)
    expected = file.stem.rsplit("-", 1)[-1]
    if file.exists() and not (found := hashlib.sha256(file.read_bytes()).hexdigest()).startswith(expected):
        raise WeightsUnavailableError(
            f"{file} is damaged or another file: its SHA-256 begins {found[:8]}, not {expected}. Delete it"
        )
    try:
        return torch.hub.load_state_dict_from_url(
            ADDRESSES[depth], map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # no network, no such file; or contents that are not the promised ones
        raise WeightsUnavailableError(
            f"the ImageNet weights of ResNet-{depth} cannot be had ({getattr(error, 'reason', error)}). Put a copy of "
            f"{file.name} at {file}, or train from scratch with weights=None"
        ) from error
