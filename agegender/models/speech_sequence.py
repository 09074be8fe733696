"""The sequence encoders of the Common Voice pipeline: RNN, BiGRU and TCN on mel spectrograms, TCN v1 and v2 on audio.

Layer sizes of ``SpeechTCN`` follow the public notebooks of that project; of its RNN and BiGRU they were not published
and are ours. The published TCN is neither causal nor residual; ``ResidualTCN`` is, after Bai, Kolter and Koltun (2018),
"An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling", section 3.

Spectrograms are (batch, 64, frames) in dB (``audio_frontend.DecibelMel``), not normalised: their encoders begin with a
batch normalisation of every mel band.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from agegender.models.audio_frontend import NUM_MELS

HIDDEN_FEATURES = 128
NUM_BLOCKS, KERNEL_SIZE, DROPOUT = 8, 3, 0.2

Recurrence = Literal["batch", "time"]


class _RecurrentEncoder(nn.Module):
    """Two recurrent layers, averaged over the frames: clips end in silence, and the last state has seen little else."""

    def __init__(self, recurrence: nn.RNNBase) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(NUM_MELS)
        self.recurrence = recurrence
        self.out_features = HIDDEN_FEATURES * (2 if recurrence.bidirectional else 1)

    def forward(self, mels: Tensor) -> Tensor:
        """Encode spectrograms (batch, 64, frames) of any length as (batch, ``out_features``)."""
        _check(mels)
        return self.recurrence(self.norm(mels).transpose(1, 2))[0].mean(1)


class SpeechRNN(_RecurrentEncoder):
    """Two layers of a plain recurrent net (tanh) of 128 units: 57,984 parameters."""

    def __init__(self) -> None:
        super().__init__(nn.RNN(NUM_MELS, HIDDEN_FEATURES, 2, batch_first=True))


class SpeechBiGRU(_RecurrentEncoder):
    """Two layers of 128 gated recurrent units in both directions: 445,568 parameters."""

    def __init__(self) -> None:
        super().__init__(nn.GRU(NUM_MELS, HIDDEN_FEATURES, 2, batch_first=True, bidirectional=True))


class TemporalBlock(nn.Module):
    """Two causal dilated convolutions with weight normalisation, ReLU and dropout, added to the input: figure 1b.

    Frame ``t`` of the output sees the frames ``t - 4 * dilation`` to ``t`` of the input. Dropout sets whole channels to
    zero.
    """

    def __init__(self, num_channels: int, dilation: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [
                nn.ConstantPad1d(((KERNEL_SIZE - 1) * dilation, 0), 0.0),  # in front only: nothing of the future
                weight_norm(nn.Conv1d(num_channels, num_channels, KERNEL_SIZE, dilation=dilation)),
                nn.ReLU(),
                nn.Dropout1d(DROPOUT),
            ]
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, num_channels, frames) to the same shape."""
        return torch.relu(self.branch(x) + x)


class ResidualTCN(nn.Module):
    """Temporal convolutional net after Bai et al.: 8 blocks whose dilation doubles, and of them the last frame.

    That frame sees 1 + 2 (3 - 1) (2 ** 8 - 1) = 1,021 frames, which holds the 512 of the pipeline. 198,784 parameters.
    """

    receptive_field = 1 + 2 * (KERNEL_SIZE - 1) * (2**NUM_BLOCKS - 1)
    out_features = NUM_MELS

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(NUM_MELS)
        self.blocks = nn.Sequential(*(TemporalBlock(NUM_MELS, 2**level) for level in range(NUM_BLOCKS)))

    def forward(self, mels: Tensor) -> Tensor:
        """Encode spectrograms (batch, 64, frames) as (batch, ``out_features``).

        Raises ``ValueError`` for more frames than the last one can see: the clip's beginning would be left out.
        """
        _check(mels)
        if mels.shape[2] > self.receptive_field:
            raise ValueError(f"{mels.shape[2]} frames, but the last one sees {self.receptive_field}: cut the clips")
        return self.blocks(self.norm(mels))[:, :, -1]


class SpeechTCN(nn.Module):
    """TCN v1 and v2: dilated convolutions of two samples on the waveform, each halved in length, and an LSTM.

    Version 1 has six convolutions and no activation function; version 2 has eight, with a ReLU after each.

    ``recurrence="batch"`` is the published code: its LSTM takes the clips of the batch for steps, so that a clip
    depends on those before it, and with a batch of one, as published, there is no recurrence. ``"time"`` runs over the
    frames of each clip. With a head of six classes there are 12,854 (version 1) or 116,854 (version 2) parameters.
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
        would find nothing but padding, and every clip would have the same embedding.
        """
        if waveforms.ndim != 2 or waveforms.shape[1] < self.min_samples:
            expected, found = f"(batch, samples) of {self.min_samples} samples or more", tuple(waveforms.shape)
            raise ValueError(f"TCN v{self.version} reads {expected}, got {found}")
        return self.lstm(self._frames(waveforms[:, None]).transpose(1, 2))[0][:, -1]  # of (batch, frames, channels)

    def _frames(self, x: Tensor) -> Tensor:
        """Map (batch, 1, samples) to (batch, channels, frames); a level halves the length, rounding down."""
        for level, convolution in enumerate(self.convolutions):
            before = 2**level // 2  # "same" padding of 2 ** level zeros: the odd one goes behind
            x = convolution(functional.pad(x, (before, 2**level - before)))
            x = functional.max_pool1d(functional.relu(x) if self.version == 2 else x, 2)
            if level % 2:
                x = self.norms[level // 2](x)
        return x


def _check(mels: Tensor) -> None:
    if mels.ndim != 3 or mels.shape[1] != NUM_MELS or mels.shape[2] == 0:
        raise ValueError(f"expected spectrograms (batch, {NUM_MELS}, frames), got {tuple(mels.shape)}")
