"""Pooling over time: from frames to one vector for each clip, by attention."""

import torch
from torch import Tensor, nn

MIN_VARIANCE = 1e-5


class SelfAttentivePooling(nn.Module):
    """The mean over the frames, weighted by what each channel attends to (SAP).

    With ``a`` = linear, ReLU, BN, linear of the channels of a frame and ``w`` the softmax of ``a`` over the frames, the
    answer is ``mu = sum_t w_t x_t``, channel by channel. Every channel has weights of its own, as the net of the
    TIMIT pipeline has it; in the paper all channels share one.

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

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool ``frames`` (batch, channels, frames) to float32 (batch, ``out_features``).

        ``lengths`` (batch,) says how many frames of each clip are its own, where clips were padded to one length: what
        comes after them is not looked at (in training the BN still is). Raises ``ValueError`` for a wrong shape, and on
        the CPU for a length that is not between 1 and the number of frames.
        """
        inside = None if lengths is None else _inside(frames, lengths)
        if inside is not None:
            frames = frames.masked_fill(~inside, 0)
        scores = self.attention(frames).float()
        if inside is not None:
            scores = scores.masked_fill(~inside, -torch.inf)
        return self.pooled(frames.float(), scores.softmax(2))

    def pooled(self, frames: Tensor, weights: Tensor) -> Tensor:
        """Return the mean of ``frames`` under ``weights``, both (batch, channels, frames)."""
        return (weights * frames).sum(2)


class AttentiveStatisticsPooling(SelfAttentivePooling):
    """The weighted mean and standard deviation over the frames, one after the other (ASP).

    The weights are those of ``SelfAttentivePooling``, and
    ``sigma = sqrt(max(sum_t w_t x_t^2 - mu^2, 1e-5))``, which is a number for a single frame as well.

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


def _inside(frames: Tensor, lengths: Tensor) -> Tensor:
    """True (batch, 1, frames) where a frame is one of the clip's own."""
    batch, _, most = frames.shape
    if lengths.shape != (batch,):
        raise ValueError(f"expected one length for each of {batch} clips, got shape {tuple(lengths.shape)}")
    if lengths.device.type == "cpu" and not ((lengths >= 1) & (lengths <= most)).all():
        raise ValueError(f"lengths must be from 1 to the {most} frames that there are, got {lengths.tolist()}")
    return (torch.arange(most, device=frames.device) < lengths[:, None].to(frames.device))[:, None]
