"""The nets of the Common Voice pipeline that were published with their layers: CNN v1, TCN v1 and TCN v2.

Layer sizes follow the public notebooks of that project (Common Voice 8.0, six age groups). Each is an encoder here; a
linear head of six classes on it makes the published net, whose log-softmax and negative log-likelihood are the
cross-entropy of such a head (``AgeGroupHead(..., init="torch")``). ``frame_nets`` has the nets whose layers are ours.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Recurrence = Literal["batch", "time"]


class SpeechCNN(nn.Module):
    """CNN v1: three convolutions on a mel spectrogram, laid out as ``out_features`` numbers for the head.

    The published code and its description are two nets. In the code (``is_as_described=False``) the first convolution
    has stride 1 and only it is followed by a ReLU: on ``num_mels`` x ``num_frames`` = 64 x 512 there are 63,240
    features, and with a head of six classes 393,182 parameters, of which the head has 379,446. In the description the
    first convolution has stride 2 and each is followed by a ReLU: 15,240 features and 105,182 parameters.
    """

    def __init__(self, num_mels: int = 64, num_frames: int = 512, is_as_described: bool = False) -> None:
        super().__init__()
        stride = 2 if is_as_described else 1
        least = 3 * stride + 1
        if min(num_mels, num_frames) < least:
            raise ValueError(f"CNN v1 needs {least} mels and {least} frames or more, got {num_mels} and {num_frames}")
        self.num_mels, self.num_frames, self.is_as_described = num_mels, num_frames, is_as_described
        self.conv1 = nn.Conv2d(1, 32, 3, stride, padding=1)
        self.norm1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 16, 5, padding=2)
        self.conv3 = nn.Conv2d(16, 8, 2)
        self.norm3 = nn.BatchNorm2d(8)
        mels, frames = (-(-size // stride) // 2 - 1 for size in (num_mels, num_frames))
        self.out_features = 8 * mels * frames

    def forward(self, mels: Tensor) -> Tensor:
        """Encode spectrograms (batch, num_mels, num_frames) in decibels as (batch, ``out_features``)."""
        if mels.shape[1:] != (self.num_mels, self.num_frames):
            expected = f"(batch, {self.num_mels}, {self.num_frames})"
            raise ValueError(f"this SpeechCNN reads {expected}, got {tuple(mels.shape)}: cut or pad the clips to fit")
        x = self.norm1(functional.relu(self.conv1(mels[:, None])))
        x = self._bent(self.conv2(functional.max_pool2d(x, 2)))  # (batch, 16, 32, 256) with a stride of 1
        x = functional.max_pool2d(x, 2, stride=1)  # (batch, 16, 31, 255)
        x = self._bent(self.conv3(functional.pad(x, (0, 1, 0, 1))))  # an even kernel: "same" pads right and bottom
        return torch.flatten(self.norm3(x), 1)

    def _bent(self, x: Tensor) -> Tensor:
        return functional.relu(x) if self.is_as_described else x


class SpeechTCN(nn.Module):
    """TCN v1 and v2: dilated convolutions of two samples on the waveform, each halved in length, and an LSTM.

    Version 1 has six convolutions and no activation function, so that up to the LSTM it is linear but for the pooling;
    version 2 has eight, with a ReLU after each. Neither is causal or residual: ``frame_nets.ResidualTCN`` is.

    ``recurrence="batch"`` is the published code: the LSTM was not told that the batch comes first, takes the clips of
    the batch for its steps and the frames for its batch, and of these the last frame is kept. A clip is then read with
    what the clips before it in the batch left behind, and with a batch of one, as published, there is no recurrence at
    all. ``"time"`` runs over the frames of each clip. With a head of six classes there are 12,854 (version 1) or
    116,854 (version 2) parameters either way.
    """

    def __init__(self, version: Literal[1, 2] = 2, recurrence: Recurrence = "time") -> None:
        super().__init__()
        if version not in (1, 2):
            raise ValueError(f"version must be 1 or 2, got {version!r}")
        if recurrence not in ("batch", "time"):
            raise ValueError(f"recurrence must be 'batch' (as published) or 'time', got {recurrence!r}")
        widths = [8, 8, 16, 16, 32, 32] + ([64, 64] if version == 2 else [])
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, 2, dilation=2**level)
            for level, (before, after) in enumerate(zip([1, *widths], widths, strict=False))
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1::2])  # after every second one
        self.version = version
        last = len(widths) - 1
        self.min_samples = 2**last * (2**last // 2 + 1)
        self.out_features = 128 if version == 2 else 32
        self.lstm = nn.LSTM(widths[-1], self.out_features, batch_first=recurrence == "time")

    def forward(self, waveforms: Tensor) -> Tensor:
        """Encode ``waveforms`` (batch, samples) at 8 kHz, samples in [-1, 1], as (batch, ``out_features``).

        Raises ``ValueError`` for less than 544 (version 1) or 8,320 samples (version 2, 1.04 s): the last convolution
        looks that far to both sides and would find nothing but padding, so that every clip had the same answer.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] < self.min_samples:
            expected, found = f"(batch, samples) of {self.min_samples} samples or more", tuple(waveforms.shape)
            raise ValueError(f"TCN v{self.version} reads {expected}, got {found}")
        frames = self._frames(waveforms[:, None]).transpose(1, 2)  # (batch, frames, channels)
        return self.lstm(frames)[0][:, -1]

    def _frames(self, x: Tensor) -> Tensor:
        """Map (batch, 1, samples) to (batch, channels, frames); a level halves the length, rounding down."""
        for level, convolution in enumerate(self.convolutions):
            before = 2**level // 2  # "same" padding of 2 ** level zeros: the odd one goes behind
            x = convolution(functional.pad(x, (before, 2**level - before)))
            x = functional.max_pool1d(functional.relu(x) if self.version == 2 else x, 2)
            if level % 2:
                x = self.norms[level // 2](x)
        return x
