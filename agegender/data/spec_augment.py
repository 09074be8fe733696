"""Augmentation of the Common Voice pipeline: clips shifted round a circle, spectrograms with masked bands and frames.

The published code does this to training, validation and test clips alike. The masks follow Park and others (2019),
"SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", Interspeech, section 2.
"""

import torch
from torch import Tensor

MAX_SHIFT = 0.4
"""Largest shift as a share of the clip."""
MAX_MASKED = 0.1
"""Largest width of one mask as a share of the bands, or of the frames."""
MASKS_EACH = 2
"""Masks of bands, and as many of frames."""
SHIFT_UNIFORMS, MASK_UNIFORMS = 1, 4 * MASKS_EACH
"""Uniforms that a clip needs: one for the shift; a width and a place for each mask, of bands first."""


def circular_shift(clips: Tensor, uniforms: Tensor) -> Tensor:
    """Move each of ``clips`` (batch, samples) later by ``int(uniform * MAX_SHIFT * samples)``; its end comes first.

    ``uniforms`` is (batch,). Raises ``ValueError`` for uniforms of another shape or outside [0, 1).
    """
    shares = _checked(uniforms, (len(clips),))
    shifts = (shares * MAX_SHIFT * clips.shape[1]).long().tolist()
    return torch.stack([clip.roll(shift) for clip, shift in zip(clips, shifts, strict=True)])


def mask_spectrograms(mels: Tensor, uniforms: Tensor) -> Tensor:
    """Return ``mels`` (batch, num_mels, frames) with two masks of bands and two of frames in each.

    A mask is up to ``MAX_MASKED`` of the bands (or frames) wide and holds the mean of the spectrogram as it was before
    any mask. With its uniforms ``a, b`` and ``width = a * MAX_MASKED * size`` it covers ``int(width)`` places from
    ``int(b * (size - width))`` on, which is torchaudio's rule. ``uniforms`` is (batch, 8): ``MASK_UNIFORMS``. Raises
    ``ValueError`` for uniforms of another shape or outside [0, 1).
    """
    pairs = _checked(uniforms, (len(mels), MASK_UNIFORMS)).view(len(mels), 2, MASKS_EACH, 2)
    bands = _covered(pairs[:, 0], mels.shape[1]).to(mels.device)
    frames = _covered(pairs[:, 1], mels.shape[2]).to(mels.device)
    return torch.where(bands[:, :, None] | frames[:, None, :], mels.mean((1, 2), keepdim=True), mels)


def _covered(pairs: Tensor, size: int) -> Tensor:
    """Return which of ``size`` places the masks (batch, masks, 2) cover: bool (batch, size)."""
    width = pairs[..., 0] * MAX_MASKED * size
    start = (pairs[..., 1] * (size - width)).floor()[..., None]
    places = torch.arange(size)
    return ((places >= start) & (places < start + width.floor()[..., None])).any(1)


def _checked(uniforms: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return ``uniforms`` on the CPU in double precision."""
    if tuple(uniforms.shape) != shape:
        raise ValueError(f"uniforms must have the shape {shape}, got {tuple(uniforms.shape)}")
    uniforms = uniforms.detach().to("cpu", torch.float64)
    if not ((uniforms >= 0) & (uniforms < 1)).all():
        raise ValueError(f"uniforms must lie in [0, 1), got {uniforms.min():g} to {uniforms.max():g}")
    return uniforms
