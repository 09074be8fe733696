"""ResNetSE34V2, the encoder of the TIMIT pipeline: a residual net over time and frequency with squeeze-excitation.

Reference: Heo, Lee, Huh and Chung (2020), "Clova baseline system for the VoxCeleb Speaker Recognition Challenge 2020".
"""

from typing import Literal

import torch
from torch import Tensor, nn

from agegender.models.audio_frontend import LogMel
from agegender.models.heads import in_full_precision
from agegender.models.pooling import AttentiveStatisticsPooling, SelfAttentivePooling, SqueezeExcitation, shortcut

LAYERS = ((32, 3), (64, 4), (128, 6), (256, 3))
"""Channels and blocks of each layer; the first block of every layer but the first halves both axes."""


class SEBlock(nn.Module):
    """3x3 (with the stride), ReLU before its BN, 3x3, BN, squeeze-excitation, added to the shortcut, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.gate = SqueezeExcitation(out_channels, 8)
        self.shortcut = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, m, t) to (batch, out_channels, ceil(m / stride), ceil(t / stride))."""
        residual = self.norm1(self.conv1(x).relu())
        return (self.gate(self.norm2(self.conv2(residual))) + self.shortcut(x)).relu()


class ResNetSE34V2(nn.Module):
    """A clip as ``out_features`` numbers: ``LogMel``, 16 blocks, attention over time, one linear layer.

    Mel bands and channels of the last map, 256 * ceil(num_mels / 8), are pooled by their weighted mean (``"sap"``), or
    mean and standard deviation (``"asp"``, as published). ``uses_log`` is that of ``LogMel``; ``width`` multiplies the
    channels of every layer. Convolutions start as He's normal distribution over the outputs.

    With ``"asp"`` the net has 8,684,364 parameters at 80 mels, 8,028,492 at 64 and 7,044,684 at 40; at 80 mels and a
    width of 0.25 it has 1,160,547. Raises ``ValueError`` for an unknown pooling and for a width that leaves a layer
    without a whole number of channels, at least 8 (the gate has an eighth of them).
    """

    def __init__(
        self,
        num_mels: int = 80,
        pooling: Literal["sap", "asp"] = "asp",
        out_features: int = 512,
        uses_log: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        if pooling not in ("sap", "asp"):
            raise ValueError(f"unknown pooling {pooling!r}: expected 'sap' or 'asp'")
        narrowest = width * LAYERS[0][0]
        if not (narrowest >= 8 and narrowest == int(narrowest)):
            raise ValueError(
                f"width {width} gives {narrowest} channels in the first layer: a whole number of at least 8"
            )
        self.out_features = out_features
        self.front_end = LogMel(num_mels, uses_log)
        channels = int(narrowest)
        self.stem = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(channels))
        blocks = []
        for layer, (full_width, num_blocks) in enumerate(LAYERS):
            for block in range(num_blocks):
                wanted = int(width * full_width)
                blocks.append(SEBlock(channels, wanted, stride=2 if layer > 0 and block == 0 else 1))
                channels = wanted
        self.blocks = nn.Sequential(*blocks)
        kind = AttentiveStatisticsPooling if pooling == "asp" else SelfAttentivePooling
        self.pooling = kind(channels * -(-num_mels // 8))
        self.linear = nn.Linear(self.pooling.out_features, out_features)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, waveform: Tensor) -> Tensor:
        """Encode ``waveform`` (batch, samples), not padded, as float32 (batch, out_features); see ``LogMel``."""
        maps = self.blocks(self.stem(self.front_end(waveform)[:, None]))
        return in_full_precision(self.linear, self.pooling(torch.flatten(maps, 1, 2)))
