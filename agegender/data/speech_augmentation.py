"""Augmentation of the Common Voice pipeline: clips shifted round a circle, spectrograms with masked bands and frames.

Everything random comes in as uniform draws in [0, 1), a row for each clip, so that it can be a function of (seed,
epoch, example) wherever it is applied. The published code does this to training, validation and test clips alike.
The masks follow SpecAugment: Park and others (2019), "SpecAugment: A Simple Data Augmentation Method for Automatic
Speech Recognition", Interspeech, section 2, without time warping.
"""

import numpy as np
import torch
from torch import Tensor

MAX_SHIFT = 0.4
"""Largest shift as a share of the clip."""
MAX_MASKED = 0.1
"""Largest width of one mask as a share of the bands, or of the frames."""
MASKS_EACH = 2
"""Masks of bands, and as many of frames."""
SHIFT_DRAWS, MASK_DRAWS = 1, 4 * MASKS_EACH
"""Draws that a clip needs: one for the shift; a width and a place for each mask, of bands first."""


def cut_or_pad(samples: np.ndarray, num_samples: int) -> np.ndarray:
    """Return the first ``num_samples`` of a clip (samples,), with zeros behind it when it is shorter.

    >>> cut_or_pad(np.array([1, 2, 3]), 2).tolist(), cut_or_pad(np.array([1, 2]), 4).tolist()
    ([1, 2], [1, 2, 0, 0])
    """
    if samples.ndim != 1 or num_samples < 1:
        raise ValueError(f"expected a clip (samples,) and a length of 1 or more, got {samples.shape} and {num_samples}")
    return np.pad(samples[:num_samples], (0, max(0, num_samples - len(samples))))


def circular_shift(clips: Tensor, draws: Tensor, max_share: float = MAX_SHIFT) -> Tensor:
    """Move each of ``clips`` (batch, samples) later by ``int(draw * max_share * samples)``; its end comes first.

    ``draws`` is (batch,). Raises ``ValueError`` for draws of another shape or outside [0, 1).
    """
    shares = _checked(draws, (len(clips),))
    shifts = (shares * max_share * clips.shape[1]).long().tolist()
    return torch.stack([clip.roll(shift) for clip, shift in zip(clips, shifts, strict=True)])


def mask_spectrograms(mels: Tensor, draws: Tensor, max_share: float = MAX_MASKED) -> Tensor:
    """Return ``mels`` (batch, num_mels, frames) with two masks of bands and two of frames in each.

    A mask is up to ``max_share`` of the bands (or frames) wide and holds the mean of the spectrogram as it was before
    any mask. With its draws ``a, b`` and ``width = a * max_share * size`` it covers ``int(width)`` places from
    ``int(b * (size - width))`` on, which is torchaudio's rule. ``draws`` is (batch, 8): ``MASK_DRAWS``. Raises
    ``ValueError`` for draws of another shape or outside [0, 1).
    """
    pairs = _checked(draws, (len(mels), MASK_DRAWS)).view(len(mels), 2, MASKS_EACH, 2)
    bands = _covered(pairs[:, 0], mels.shape[1], max_share).to(mels.device)
    frames = _covered(pairs[:, 1], mels.shape[2], max_share).to(mels.device)
    return torch.where(bands[:, :, None] | frames[:, None, :], mels.mean((1, 2), keepdim=True), mels)


def _covered(pairs: Tensor, size: int, max_share: float) -> Tensor:
    """Return which of ``size`` places the masks (batch, masks, 2) cover: bool (batch, size)."""
    width = pairs[..., 0] * max_share * size
    start = (pairs[..., 1] * (size - width)).floor()[..., None]
    places = torch.arange(size)
    return ((places >= start) & (places < start + width.floor()[..., None])).any(1)


def _checked(draws: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return ``draws`` on the CPU in double precision."""
    if tuple(draws.shape) != shape:
        raise ValueError(f"draws must have the shape {shape}, got {tuple(draws.shape)}")
    draws = draws.detach().to("cpu", torch.float64)
    if not ((draws >= 0) & (draws < 1)).all():
        raise ValueError(f"draws must lie in [0, 1), got {draws.min():g} to {draws.max():g}")
    return draws
