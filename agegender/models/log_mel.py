"""What the nets of the TIMIT pipeline read: log-mel features, normalised over the time of each clip."""

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

RATE_HZ = 16_000
FFT_SAMPLES = 512
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
"""A frame of 25 ms every 10 ms."""
POWER_FLOOR = 1e-6
VARIANCE_FLOOR = 1e-5


class LogMel(nn.Module):
    """Pre-emphasis, mel spectrogram, logarithm, and each mel band brought to mean 0 and variance 1 over the clip.

    As the published code does it: ``y[t] = x[t] - 0.97 x[t-1]``, where the sample before the first is the second;
    the power of Hamming windows of 400 samples every 160, centred on their frames and reflected at the ends of the
    clip; ``num_mels`` triangles of height 1, evenly spaced on the mel scale of HTK from 0 to 8 kHz;
    ``log(power + 1e-6)``; and ``(v - mean) / sqrt(variance + 1e-5)`` with the variance divided by the number of
    frames. The module has no parameters.

    ``uses_log=False`` leaves the logarithm out. The published text means to do so; its code reads ``--log_input False``
    as true. ``full_scale`` is the amplitude that 1.0 in the waveform stands for. The published code keeps the numbers
    of 16-bit files (32,768), except of clips that it resamples (1.0). The normalisation takes the scale out again only
    where the two floors are small beside it: at 1.0 and without the logarithm, most variances are below theirs.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, num_mels: int = 80, uses_log: bool = True, full_scale: float = 32_768.0) -> None:
        super().__init__()
        self.num_mels, self.uses_log, self.full_scale = num_mels, uses_log, full_scale
        filters = melscale_fbanks(FFT_SAMPLES // 2 + 1, 0.0, RATE_HZ / 2, num_mels, RATE_HZ).T.contiguous()
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hamming_window(WINDOW_SAMPLES), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map ``waveform`` (batch, samples) at 16 kHz to float32 (batch, num_mels, ``num_frames(samples)``).

        The waveform is in [-1, 1], or the int16 of a file, which means the same. No autocast reaches the inside.
        Raises ``ValueError`` for another shape or integer type, and for 256 samples or fewer: too few to reflect.
        """
        with torch.autocast(waveform.device.type, enabled=False):
            return normalised_over_time(self.before_normalisation(waveform))

    def before_normalisation(self, waveform: Tensor) -> Tensor:
        """Return what is then normalised: the logarithm of the mel spectrogram, or the spectrogram; see ``forward``."""
        samples = _as_float(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            mel = self.filters @ _power(pre_emphasised(samples * self.full_scale), self.window) + POWER_FLOOR
            return mel.log() if self.uses_log else mel


def num_frames(num_samples: int) -> int:
    """Return how many frames ``LogMel`` makes of a clip.

    >>> num_frames(80_240)  # the published crop of five seconds
    502
    """
    return 1 + num_samples // HOP_SAMPLES


def pre_emphasised(waveform: Tensor, coefficient: float = 0.97) -> Tensor:
    """Return ``x[t] - coefficient * x[t-1]`` of ``waveform`` (batch, samples); before the first comes the second.

    >>> pre_emphasised(torch.tensor([[1.0, 2.0, 4.0]]), 0.5)
    tensor([[0.0000, 1.5000, 3.0000]])
    """
    before = torch.cat([waveform[:, 1:2], waveform[:, :-1]], dim=1)
    return waveform - coefficient * before


def normalised_over_time(features: Tensor) -> Tensor:
    """Bring each row of ``features`` (batch, rows, frames) to mean 0 and variance 1; a single frame becomes 0."""
    centred = features - features.mean(2, keepdim=True)
    return centred * (centred.square().mean(2, keepdim=True) + VARIANCE_FLOOR).rsqrt()


def _power(waveform: Tensor, window: Tensor) -> Tensor:
    """The power spectrum (batch, 257, frames); a window shorter than the transform stands in its middle."""
    spectrum = torch.stft(
        waveform, FFT_SAMPLES, HOP_SAMPLES, WINDOW_SAMPLES, window, center=True, pad_mode="reflect", return_complex=True
    )
    return spectrum.real.square() + spectrum.imag.square()


def _as_float(waveform: Tensor) -> Tensor:
    if waveform.ndim != 2 or waveform.shape[1] <= FFT_SAMPLES // 2:
        found = tuple(waveform.shape)
        raise ValueError(f"expected a waveform (batch, samples) of more than {FFT_SAMPLES // 2} samples, got {found}")
    if waveform.dtype == torch.int16:
        return waveform.float() / 32_768
    if not waveform.is_floating_point():
        raise ValueError(f"expected a waveform of floats in [-1, 1] or of int16, got {waveform.dtype}")
    return waveform.float()
