"""The residual net of face recognition: BN before each first convolution, PReLU, and no pooling at the end.

Reference: Deng, Guo, Xue and Zafeiriou (2019), "ArcFace: Additive Angular Margin Loss for Deep Face Recognition",
CVPR, section 3.1.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from agegender.models.pooling import shortcut

INPUT_PX = 112
LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Depth -> blocks in each of the four layers. All are made of the same block of two convolutions."""


class IRBlock(nn.Module):
    """BN, 3x3, BN, PReLU, 3x3 (with the stride), BN, added to the shortcut, and the same PReLU once more.

    The PReLU has one slope for all channels and both places.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.norm0 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.activation = nn.PReLU()
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, h, w) to (batch, out_channels, ceil(h / stride), ceil(w / stride))."""
        residual = self.activation(self.norm1(self.conv1(self.norm0(x))))
        return self.activation(self.norm2(self.conv2(residual)) + self.shortcut(x))


class IRResNet(nn.Module):
    """The net that the published code of the IMDB faces ends with; no result of it was published.

    The first convolution has no padding, so that faces of 112 px give maps of 110, 55, 55, 28, 14 and 7 places a side;
    the last, 512 x 7 x 7, is normalised, passed through a dropout of 0.5 and flattened to ``out_features`` = 25,088.
    Weights start as Xavier's normal distribution.

    With the published heads (25,088 -> 512 -> 101 and -> 2) the net has 34.59 (18), 44.71 (34) and 64.79 (101) million
    parameters. The published code calls its ResNet-34 ResNet-50.
    """

    def __init__(self, depth: Literal[18, 34, 101] = 18) -> None:
        super().__init__()
        if depth not in LAYERS:
            raise ValueError(f"depth must be one of {sorted(LAYERS)}, got {depth!r}; the published 50 is 34 here")
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 3, bias=False), nn.BatchNorm2d(64), nn.PReLU(), nn.MaxPool2d(2, 2)
        )  # (batch, 64, 55, 55)
        blocks, channels = [], 64
        for layer, num_blocks in enumerate(LAYERS[depth]):
            for block in range(num_blocks):
                stride = 2 if layer > 0 and block == 0 else 1
                blocks.append(IRBlock(channels, 64 * 2**layer, stride))
                channels = 64 * 2**layer
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(0.5)
        self.out_features = channels * 7 * 7
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Encode normalised ``images`` (batch, 3, 112, 112) as (batch, 25088)."""
        if images.shape[1:] != (3, INPUT_PX, INPUT_PX):
            raise ValueError(
                f"IRResNet reads (batch, 3, {INPUT_PX}, {INPUT_PX}), got {tuple(images.shape)}: it has no pooling that "
                f"other sizes could pass through; crop to {INPUT_PX} px, or use ResNetEncoder"
            )
        return torch.flatten(self.dropout(self.norm(self.blocks(self.stem(images)))), 1)
