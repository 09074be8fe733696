"""LMTCNN: the lightweight multi-task convolutional net with two depthwise-separable stages.

Reference: Lee, Chan, Chen and Chen (2018), "Joint Estimation of Age and Gender from Unconstrained Face Images using
Lightweight Multi-task CNN for Mobile Applications", MIPR. Layer sizes follow the authors' public code.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.models.normalisation import LocalResponseNorm, ShiftBatchNorm

INPUT_PX = 227


class SeparableStage(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolution, each followed by ReLU and then batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, uses_batch_statistics_at_test: bool) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels)
        self.depthwise_norm = ShiftBatchNorm(in_channels, uses_batch_statistics_at_test)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)
        self.pointwise_norm = ShiftBatchNorm(out_channels, uses_batch_statistics_at_test)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, h, w) to (batch, out_channels, ceil(h / stride), ceil(w / stride))."""
        x = self.depthwise_norm(functional.relu(self._depthwise(x)))
        return self.pointwise_norm(functional.relu(self.pointwise(x)))

    def _depthwise(self, x: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16 and x.device.type == "cpu" and self.depthwise.stride[0] > 1:
            with torch.autocast("cpu", enabled=False):  # oneDNN's strided bf16 backward is 8 times slower than fp32
                return self.depthwise(x.float()).to(x.dtype)
        return self.depthwise(x)


class LMTCNN(nn.Module):
    """The shared encoder of LMTCNN-1-1 (``width_multiplier=1``) and LMTCNN-2-1 (``width_multiplier=2``).

    ``lrn="tensorflow"`` normalises over 11 channels with alpha 1e-4 undivided, as the published code does;
    ``lrn="caffe"`` over 5 channels with alpha 1e-4 / 5, as the net that it follows (Levi and Hassner, 2015).
    ``uses_batch_statistics_at_test`` is explained in ``ShiftBatchNorm``; the published code does so.
    With age and gender heads of 8 and 2 outputs the model has 7,488,426 (1-1) or 7,614,634 (2-1) parameters.
    """

    def __init__(
        self,
        width_multiplier: int = 1,
        lrn: Literal["tensorflow", "caffe"] = "caffe",
        uses_batch_statistics_at_test: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if lrn not in ("tensorflow", "caffe"):
            raise ValueError(f"lrn must be 'tensorflow' or 'caffe', got {lrn!r}")
        self.conv1 = nn.Conv2d(3, 96, 7, stride=4)
        self.pool1 = nn.MaxPool2d(3, 2)
        self.norm1 = LocalResponseNorm(96, *((5, 1e-4) if lrn == "tensorflow" else (2, 1e-4 / 5)))
        self.stage1 = SeparableStage(96, 256 * width_multiplier, 1, uses_batch_statistics_at_test)
        self.stage2 = SeparableStage(256 * width_multiplier, 384, 2, uses_batch_statistics_at_test)
        self.pool3 = nn.MaxPool2d(3, 2)
        self.full1 = nn.Linear(6 * 6 * 384, 512)
        self.full2 = nn.Linear(512, 512)
        self.dropout = nn.Dropout(dropout)
        self.out_features = 512
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.get_parameter("bias"), 0)
        for full in (self.full1, self.full2):
            nn.init.normal_(full.weight, std=0.005)
            nn.init.ones_(full.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Encode standardised RGB ``images`` (batch, 3, 227, 227) as (batch, 512)."""
        if images.shape[1:] != (3, INPUT_PX, INPUT_PX):
            raise ValueError(f"LMTCNN reads (batch, 3, {INPUT_PX}, {INPUT_PX}), got {tuple(images.shape)}")
        x = self.norm1(functional.relu(self.pool1(self.conv1(images))))  # (batch, 96, 27, 27); ReLU commutes with max
        x = self.stage1(x)  # (batch, 256 or 512, 27, 27)
        x = self.pool3(self.stage2(x))  # (batch, 384, 6, 6)
        x = self.dropout(functional.relu(self.full1(torch.flatten(x, 1))))
        return self.dropout(functional.relu(self.full2(x)))
