"""ResNetSE34V2, the encoder of voices of the TIMIT pipeline: a residual net over time and frequency with gates.

References: Heo, Lee, Huh and Chung (2020), "Clova baseline system for the VoxCeleb Speaker Recognition Challenge 2020",
for the net; Hu, Shen and Sun (2018), "Squeeze-and-Excitation Networks", CVPR, for the gate.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from agegender.models.heads import in_full_precision
from agegender.models.log_mel import LogMel
from agegender.models.pooling import AttentiveStatisticsPooling, SelfAttentivePooling

LAYERS = ((32, 3), (64, 4), (128, 6), (256, 3))
"""Channels and blocks of each layer; the first block of every layer but the first halves both axes."""


class SqueezeExcitation(nn.Module):
    """Scale each channel by what two linear layers make of the channels' means."""

    def __init__(self, num_channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(num_channels, num_channels // reduction),
            nn.ReLU(),
            nn.Linear(num_channels // reduction, num_channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``x`` (batch, channels, mels, frames); the shape stays."""
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


class SEBlock(nn.Module):
    """3x3 (with the stride), ReLU, BN, 3x3, BN, gate, added to the shortcut, ReLU.

    The first ReLU stands before its BN. The shortcut is the input, or a 1x1 convolution of it with BN where the shape
    changes.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.gate = SqueezeExcitation(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, m, t) to (batch, out_channels, ceil(m / stride), ceil(t / stride))."""
        residual = self.norm1(self.conv1(x).relu())
        return (self.gate(self.norm2(self.conv2(residual))) + self.shortcut(x)).relu()


class ResNetSE34V2(nn.Module):
    """A clip as ``out_features`` numbers: ``LogMel``, 16 blocks, attention over time, one linear layer.

    The mel bands of the last map are laid out beside its channels, 256 * ceil(num_mels / 8) of them, and ``pooling``
    takes each one's weighted mean (``"sap"``), or its mean and standard deviation (``"asp"``, as published).
    ``uses_log`` is that of ``LogMel``. Convolutions start as He's normal distribution over the outputs. ``width``
    multiplies the channels of every layer: 0.25 makes a net that trains on a CPU.

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
        """Encode ``waveform`` (batch, samples) at 16 kHz, as ``LogMel`` reads it, as (batch, out_features).

        The clips of a batch have one length: a clip that was padded would be another clip.
        """
        return self.encode(self.front_end(waveform))

    def encode(self, features: Tensor) -> Tensor:
        """Encode the ``features`` (batch, num_mels, frames) of ``front_end`` as float32 (batch, out_features)."""
        maps = self.blocks(self.stem(features[:, None]))
        return in_full_precision(self.linear, self.pooling(torch.flatten(maps, 1, 2)))
