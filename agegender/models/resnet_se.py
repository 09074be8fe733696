"""Residual nets over time and frequency with squeeze-excitation: ResNetSE34V2 of the TIMIT pipeline, and a small one.

Reference: Heo, Lee, Huh and Chung (2020), "Clova baseline system for the VoxCeleb Speaker Recognition Challenge 2020".
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchaudio.transforms import FrequencyMasking, TimeMasking

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
        _start_convolutions(self)

    def forward(self, waveform: Tensor) -> Tensor:
        """Encode ``waveform`` (batch, samples), not padded, as float32 (batch, out_features); see ``LogMel``."""
        maps = self.blocks(self.stem(self.front_end(waveform)[:, None]))
        return in_full_precision(self.linear, self.pooling(torch.flatten(maps, 1, 2)))


class SmallResNetSE(nn.Module):
    """A clip as ``out_features`` numbers: ``LogMel``, a 5x5 stem with stride 2, blocks, attentive statistics, linear.

    ``widths`` are the channels of the layers, two ``SEBlock`` each; every layer but the first halves both axes. The
    linear layer is followed by BN, ReLU and ``dropout``. In training two bands of up to ``masked_mels`` and two
    stretches of up to ``masked_frames`` of each clip are hidden by its mean (Park and others, 2019, SpecAugment);
    torch's global generator draws them, as it does dropout. At the defaults it has 691,000 parameters and needs a third
    of the time of ``ResNetSE34V2`` at a width of 0.25. Convolutions start as there. Raises ``ValueError`` for a width
    below 8.
    """

    def __init__(
        self,
        num_mels: int = 64,
        widths: Sequence[int] = (16, 32, 64, 96),
        out_features: int = 128,
        dropout: float = 0.2,
        masked_mels: int = 8,
        masked_frames: int = 25,
    ) -> None:
        super().__init__()
        if min(widths) < 8:
            raise ValueError(f"widths must be at least 8 (the gate has an eighth of them), got {list(widths)}")
        self.out_features, self.front_end = out_features, LogMel(num_mels)
        masks = FrequencyMasking(masked_mels, iid_masks=True), TimeMasking(masked_frames, iid_masks=True)
        self.masks = nn.Sequential(*masks, *masks)
        channels = widths[0]
        layers: list[nn.Module] = [nn.Conv2d(1, channels, 5, 2, padding=2), nn.ReLU(), nn.BatchNorm2d(channels)]
        for number, width in enumerate(widths):
            layers += [SEBlock(channels, width, stride=2 if number else 1), SEBlock(width, width, stride=1)]
            channels = width
        self.blocks = nn.Sequential(*layers)
        self.pooling = AttentiveStatisticsPooling(channels * -(-num_mels // 2 ** len(widths)))
        self.linear = nn.Linear(self.pooling.out_features, out_features)
        self.last = nn.Sequential(nn.BatchNorm1d(out_features), nn.ReLU(), nn.Dropout(dropout))
        _start_convolutions(self)

    def forward(self, waveform: Tensor) -> Tensor:
        """Encode ``waveform`` (batch, samples) at 16 kHz as float32 (batch, out_features); see ``LogMel``."""
        features = self.front_end(waveform)[:, None]
        maps = self.blocks(self.masks(features) if self.training else features)
        embedding = in_full_precision(self.linear, self.pooling(torch.flatten(maps, 1, 2)))
        with torch.autocast(waveform.device.type, enabled=False):
            return self.last(embedding)


def _start_convolutions(net: nn.Module) -> None:
    """Draw the weights of all convolutions over time and frequency from He's normal distribution over the outputs."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
