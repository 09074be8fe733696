"""Blocks that several encoders share: the shortcut of a residual block, squeeze-excitation, pooling by attention."""

import torch
from torch import Tensor, nn

MIN_VARIANCE = 1e-5


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return the identity, or where the shape changes a 1x1 convolution with ``stride`` and BN."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate: mean over the map, linear, ReLU, linear, sigmoid.

    (``torchvision.ops.SqueezeExcitation`` has convolutions instead: another initialisation and other saved weights.)

    Reference: Hu, Shen and Sun (2018), "Squeeze-and-Excitation Networks", CVPR.
    """

    def __init__(self, num_channels: int, reduction: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(num_channels, num_channels // reduction),
            nn.ReLU(),
            nn.Linear(num_channels // reduction, num_channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``x`` (batch, channels, height, width); the shape stays."""
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


class SelfAttentivePooling(nn.Module):
    """The mean over the frames, weighted by attention (SAP).

    ``mu = sum_t w_t x_t`` with ``w`` the softmax over the frames of linear, ReLU, BN, linear of a frame. Every channel
    has weights of its own, as in the TIMIT pipeline; in the paper all channels share one.

    Reference: Cai, Chen and Li (2018), "Exploring the encoding layer and loss function in end-to-end speaker and
    language recognition system", Odyssey.
    """

    def __init__(self, num_channels: int, hidden_features: int = 128) -> None:
        super().__init__()
        self.out_features = num_channels
        self.attention = nn.Sequential(
            nn.Conv1d(num_channels, hidden_features, 1),
            nn.ReLU(),
            nn.BatchNorm1d(hidden_features),
            nn.Conv1d(hidden_features, num_channels, 1),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Pool ``frames`` (batch, channels, frames) to float32 (batch, ``out_features``)."""
        return self.pooled(frames.float(), self.attention(frames).float().softmax(2))

    def pooled(self, frames: Tensor, weights: Tensor) -> Tensor:
        """Return the mean of ``frames`` under ``weights``, both (batch, channels, frames)."""
        return (weights * frames).sum(2)


class AttentiveStatisticsPooling(SelfAttentivePooling):
    """The weighted mean and standard deviation over the frames, concatenated (ASP).

    The weights are those of ``SelfAttentivePooling``, and ``sigma = sqrt(max(sum_t w_t x_t^2 - mu^2, 1e-5))``, which is
    finite for a single frame as well.

    Reference: Okabe, Koshinaka and Shinoda (2018), "Attentive statistics pooling for deep speaker embedding",
    Interspeech.
    """

    def __init__(self, num_channels: int, hidden_features: int = 128) -> None:
        super().__init__(num_channels, hidden_features)
        self.out_features = 2 * num_channels

    def pooled(self, frames: Tensor, weights: Tensor) -> Tensor:
        """Return mean and standard deviation (batch, 2 * channels) of ``frames`` under ``weights``."""
        mean = super().pooled(frames, weights)
        variance = super().pooled((frames - mean[:, :, None]).square(), weights)  # keeps more digits than the formula
        return torch.cat([mean, variance.clamp(min=MIN_VARIANCE).sqrt()], 1)
