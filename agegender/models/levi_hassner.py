"""The net of Levi and Hassner: three convolutions and two full layers, in the paper's form and in its Keras port's.

Reference: Levi and Hassner (2015), "Age and Gender Classification using Convolutional Neural Networks", CVPR Workshops.
Layer sizes follow the authors' Caffe description; the port's follow the public code of a multi-task re-implementation.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.models.normalisation import LocalResponseNorm, RowBatchNorm

INPUT_PX = 227

Normalisation = Literal["caffe", "channels", "rows"]
Pooling = Literal["ceil", "floor"]
Init = Literal["caffe", "levi_hassner", "glorot", "he"]


class LeviHassner(nn.Module):
    """The shared encoder; the defaults are the net of the paper.

    ``normalisation`` after the first two poolings: ``"caffe"`` divides by the response of 5 channels, as in the paper;
    ``"rows"`` is batch normalisation over the rows of the picture, as published in Keras, where the axis of the
    channels was mistaken; ``"channels"`` is batch normalisation over channels, which that code meant.
    ``pooling`` rounds the size ``"ceil"``, up, as Caffe does (the paper), or ``"floor"``, down (Keras).
    ``init`` names the initial weights: ``"caffe"`` as in the paper; ``"levi_hassner"`` and ``"glorot"`` are the two
    of the Keras code, of which the first is its default and the second served for pre-training; both leave the biases
    of the convolutions to Keras, which draws them within 0.177, 0.108 and 0.088. The paper's weights are
    made for pixels of 0 to 255; ``"he"`` (He and others, 2015, equation 10) keeps the size of the signal from layer to
    layer also where faces are standardised.

    As published: ``LeviHassner(normalisation="rows", pooling="floor", init="levi_hassner")``.
    The paper's net has 11,415,048 parameters with an age head of 8 outputs and 11,411,970 with a gender head of 2;
    the published Keras net 8,859,817 with heads of 8 and 1, of which Keras counts 80 that are moving statistics.
    """

    def __init__(
        self,
        normalisation: Normalisation = "caffe",
        pooling: Pooling = "ceil",
        init: Init = "caffe",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        _refuse_unknown("normalisation", normalisation, Normalisation)
        _refuse_unknown("pooling", pooling, Pooling)
        _refuse_unknown("init", init, Init)
        is_ceil = pooling == "ceil"
        side1, side2, side3 = (28, 14, 7) if is_ceil else (27, 13, 6)
        self.conv1 = nn.Conv2d(3, 96, 7, stride=4)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=is_ceil)
        self.norm1 = _norm(normalisation, 96, side1)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=is_ceil)
        self.norm2 = _norm(normalisation, 256, side2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.pool3 = nn.MaxPool2d(3, 2, ceil_mode=is_ceil)
        self.full1 = nn.Linear(384 * side3 * side3, 512)
        self.full2 = nn.Linear(512, 512)
        self.dropout = nn.Dropout(dropout)
        self.out_features = 512
        {
            "caffe": self._init_caffe,
            "levi_hassner": self._init_levi_hassner,
            "glorot": self._init_glorot,
            "he": self._init_he,
        }[init]()

    def _init_caffe(self) -> None:
        """Gaussian weights; a bias of 1 where the authors' description has it."""
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.normal_(conv.weight, std=0.01)
        for full in (self.full1, self.full2):
            nn.init.normal_(full.weight, std=0.005)
        for layer, bias in zip(self._weighted(), (0.0, 1.0, 0.0, 1.0, 1.0), strict=True):
            nn.init.constant_(layer.get_parameter("bias"), bias)

    def _init_levi_hassner(self) -> None:
        """Gaussian weights, and the biases that Keras draws."""
        for layer in self._weighted():
            nn.init.normal_(layer.get_parameter("weight"), std=0.01)
        self._draw_biases_of_keras()

    def _init_glorot(self) -> None:
        """Glorot's uniform weights, and the biases that Keras draws."""
        for layer in self._weighted():
            nn.init.xavier_uniform_(layer.get_parameter("weight"))
        self._draw_biases_of_keras()

    def _draw_biases_of_keras(self) -> None:
        """0, but for convolutions: the code names no initialiser (``None``), for which Keras takes Glorot's uniform.

        A vector of n is a matrix with n inputs and n outputs to it: biases lie within ``sqrt(3 / n)``.
        """
        for layer in self._weighted():
            bias = layer.get_parameter("bias")
            bound = math.sqrt(3 / len(bias)) if isinstance(layer, nn.Conv2d) else 0.0
            nn.init.uniform_(bias, -bound, bound)

    def _init_he(self) -> None:
        """Gaussian weights of the variance 2 / fan-in, biases 0."""
        for layer in self._weighted():
            nn.init.kaiming_normal_(layer.get_parameter("weight"), nonlinearity="relu")
            nn.init.zeros_(layer.get_parameter("bias"))

    def _weighted(self) -> tuple[nn.Module, ...]:
        return self.conv1, self.conv2, self.conv3, self.full1, self.full2

    def forward(self, images: Tensor) -> Tensor:
        """Encode standardised RGB ``images`` (batch, 3, 227, 227) as (batch, 512)."""
        if images.shape[1:] != (3, INPUT_PX, INPUT_PX):
            raise ValueError(f"LeviHassner reads (batch, 3, {INPUT_PX}, {INPUT_PX}), got {tuple(images.shape)}")
        # ReLU commutes with the maximum, and has four times fewer values to touch after it
        x = self.norm1(functional.relu(self.pool1(self.conv1(images))))  # (batch, 96, 28, 28), floor: 27
        x = self.norm2(functional.relu(self.pool2(self.conv2(x))))  # (batch, 256, 14, 14), floor: 13
        x = functional.relu(self.pool3(self.conv3(x)))  # (batch, 384, 7, 7), floor: 6
        x = self.dropout(functional.relu(self.full1(torch.flatten(x, 1))))
        return self.dropout(functional.relu(self.full2(x)))


def _norm(normalisation: Normalisation, num_channels: int, num_rows: int) -> nn.Module:
    if normalisation == "caffe":
        return LocalResponseNorm(num_channels, 2, 1e-4 / 5)
    if normalisation == "channels":
        return nn.BatchNorm2d(num_channels, eps=1e-3, momentum=1 - 0.9997)
    return RowBatchNorm(num_rows, eps=1e-3, momentum=1 - 0.9997)


def _refuse_unknown(name: str, value: str, known: object) -> None:
    if value not in get_args(known):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, get_args(known)))}, got {value!r}")
