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
    ``"rows"`` is batch normalisation over the rows of the image, as published in Keras, where the axis was mistaken;
    ``"channels"`` is that over channels. ``pooling`` rounds the size ``"ceil"``, up (the paper), or ``"floor"``, down
    (Keras). ``init``: ``"caffe"`` as in the paper, for pixels of 0 to 255; ``"levi_hassner"`` and ``"glorot"`` are the
    default and the pretraining of the Keras code, where Keras draws the biases of convolutions (within 0.177, 0.108 and
    0.088); ``"he"`` (He and others, 2015, equation 10) keeps the size of the signal of standardised faces.

    The paper's net has 11,415,048 parameters with an age head of 8 outputs and 11,411,970 with a gender head of 2; the
    published Keras net (``"rows"``, ``"floor"``) 8,859,817 with heads of 8 and 1, 80 of them moving statistics.
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
        self._initialise(init)

    def _initialise(self, init: Init) -> None:
        layers: tuple[nn.Conv2d | nn.Linear, ...] = (self.conv1, self.conv2, self.conv3, self.full1, self.full2)
        for layer in layers:
            if init == "glorot":
                nn.init.xavier_uniform_(layer.weight)
            elif init == "he":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.normal_(layer.weight, std=0.005 if init == "caffe" and isinstance(layer, nn.Linear) else 0.01)
        for layer, caffe_bias in zip(layers, (0.0, 1.0, 0.0, 1.0, 1.0), strict=True):
            bias = layer.get_parameter("bias")
            if init in ("caffe", "he"):
                nn.init.constant_(bias, caffe_bias if init == "caffe" else 0.0)
            else:  # where the code names no initialiser (``None``), Keras has Glorot's uniform, of an n x n matrix
                bound = math.sqrt(3 / len(bias)) if isinstance(layer, nn.Conv2d) else 0.0
                nn.init.uniform_(bias, -bound, bound)

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
