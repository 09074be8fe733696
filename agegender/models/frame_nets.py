"""Nets that read a mel spectrogram frame by frame: a recurrent net, a bidirectional GRU and a residual TCN.

The Common Voice pipeline names an RNN and a BiGRU but their layers were not published: these sizes are ours. Its TCN
is not the net that the name promises; ``ResidualTCN`` is, after Bai, Kolter and Koltun (2018), "An Empirical
Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling", section 3.

All read (batch, num_mels, frames) in decibels, as ``speech_inputs.DecibelMel`` makes them. These are not normalised
(-100 to 50 dB), so each net begins with a batch normalisation of every mel band.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class SpeechRNN(nn.Module):
    """Two layers of a plain recurrent net (tanh), averaged over the frames: 57,984 parameters with 64 mels.

    The mean is taken because clips end in silence where they were filled up: the last state has seen little else.
    """

    def __init__(self, num_mels: int = 64, hidden_features: int = 128, num_layers: int = 2) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(num_mels)
        self.recurrence = nn.RNN(num_mels, hidden_features, num_layers, batch_first=True)
        self.out_features = hidden_features

    def forward(self, mels: Tensor) -> Tensor:
        """Encode spectrograms (batch, num_mels, frames) of any length as (batch, ``out_features``)."""
        return _mean_state(self.norm, self.recurrence, mels)


class SpeechBiGRU(nn.Module):
    """Two layers of gated recurrent units read both ways, averaged over the frames: 445,568 parameters with 64 mels."""

    def __init__(self, num_mels: int = 64, hidden_features: int = 128, num_layers: int = 2) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(num_mels)
        self.recurrence = nn.GRU(num_mels, hidden_features, num_layers, batch_first=True, bidirectional=True)
        self.out_features = 2 * hidden_features

    def forward(self, mels: Tensor) -> Tensor:
        """Encode spectrograms (batch, num_mels, frames) of any length as (batch, ``out_features``)."""
        return _mean_state(self.norm, self.recurrence, mels)


def _mean_state(norm: nn.BatchNorm1d, recurrence: nn.RNNBase, mels: Tensor) -> Tensor:
    _check(mels, norm.num_features)
    return recurrence(norm(mels).transpose(1, 2))[0].mean(1)


class TemporalBlock(nn.Module):
    """Two causal dilated convolutions with weight normalisation, ReLU and dropout, added to the shortcut: figure 1b.

    Frame ``t`` of the output sees the frames ``t - 2 * (kernel_size - 1) * dilation`` to ``t`` of the input. Dropout
    sets whole channels to zero. The shortcut is a 1x1 convolution where the number of channels changes.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers += [
                nn.ConstantPad1d(((kernel_size - 1) * dilation, 0), 0.0),  # in front only: nothing of the future
                weight_norm(nn.Conv1d(channels, out_channels, kernel_size, dilation=dilation)),
                nn.ReLU(),
                nn.Dropout1d(dropout),
            ]
        self.branch = nn.Sequential(*layers)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv1d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, frames) to (batch, out_channels, frames)."""
        return torch.relu(self.branch(x) + self.shortcut(x))


class ResidualTCN(nn.Module):
    """Temporal convolutional net after Bai et al.: ``num_blocks`` blocks whose dilation doubles; the last frame counts.

    That frame sees 1 + 2 (kernel_size - 1) (2 ** num_blocks - 1) frames: 1,021 as it stands, which holds the 512 of
    the pipeline. 198,784 parameters with 64 mels.
    """

    def __init__(
        self,
        num_mels: int = 64,
        num_channels: int = 64,
        num_blocks: int = 8,
        kernel_size: int = 3,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(num_mels)
        widths = [num_mels] + num_blocks * [num_channels]
        self.blocks = nn.Sequential(
            *(
                TemporalBlock(widths[level], widths[level + 1], kernel_size, 2**level, dropout)
                for level in range(num_blocks)
            )
        )
        self.receptive_field = 1 + 2 * (kernel_size - 1) * (2**num_blocks - 1)
        self.out_features = num_channels

    def forward(self, mels: Tensor) -> Tensor:
        """Encode spectrograms (batch, num_mels, frames) as (batch, ``out_features``).

        Raises ``ValueError`` for more frames than the last one can see: the clip's beginning would be left out.
        """
        _check(mels, self.norm.num_features)
        if mels.shape[2] > self.receptive_field:
            raise ValueError(
                f"{mels.shape[2]} frames, but the last one sees {self.receptive_field}: cut the clips or add blocks"
            )
        return self.blocks(self.norm(mels))[:, :, -1]


def _check(mels: Tensor, num_mels: int) -> None:
    if mels.ndim != 3 or mels.shape[1] != num_mels or mels.shape[2] == 0:
        raise ValueError(f"expected spectrograms (batch, {num_mels}, frames), got {tuple(mels.shape)}")
