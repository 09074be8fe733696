"""The inputs of the voice encoders: log-mel features (TIMIT), mel spectrograms in dB and 8 kHz audio (Common Voice)."""

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks, resample
from torchaudio.transforms import MelSpectrogram

RATE_HZ = 16_000
FFT_SAMPLES = 512
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
"""A frame of 25 ms every 10 ms."""
FULL_SCALE = 32_768.0
"""The amplitude that 1.0 stands for: the published code keeps the numbers of 16-bit files."""
POWER_FLOOR = 1e-6
VARIANCE_FLOOR = 1e-5
PUBLISHED_HZ = 48_000
PUBLISHED_SAMPLES = 262_080
"""5.46 s at 48 kHz, of which the published code of Common Voice makes 512 frames; nothing is normalised."""
RAW_HZ = 8_000
NUM_MELS = 64
DECIBEL_POWER_FLOOR = 1e-10
TOP_DB = 100.0
"""Values further below the loudest one of a clip are raised to this distance."""


class LogMel(nn.Module):
    """Pre-emphasis, mel spectrogram, logarithm, and normalisation of each mel band over the clip.

    As in the published code of TIMIT: ``y[t] = x[t] - 0.97 x[t-1]``, where the second sample stands before the first;
    the power of Hamming windows of 400 samples every 160, centred on their frames, with reflected ends; ``num_mels``
    triangles of height 1 on the mel scale of HTK from 0 to 8 kHz; ``log(power + 1e-6)``; and
    ``(v - mean) / sqrt(variance + 1e-5)`` with the population's variance. The module has no parameters.

    ``uses_log=False`` leaves the logarithm out, as the published text has it; its code reads ``--log_input False`` as
    true. torchaudio's ``MelSpectrogram`` agrees to 1e-6 and is slower on a CPU.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, num_mels: int = 80, uses_log: bool = True) -> None:
        super().__init__()
        self.uses_log = uses_log
        filters = melscale_fbanks(FFT_SAMPLES // 2 + 1, 0.0, RATE_HZ / 2, num_mels, RATE_HZ).T.contiguous()
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hamming_window(WINDOW_SAMPLES), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map ``waveform`` (batch, samples) at 16 kHz to float32 (batch, num_mels, 1 + samples // 160).

        The waveform is in [-1, 1], or the int16 of a file, which means the same. Autocast is disabled inside. Raises
        ``ValueError`` for another shape or integer type, and for 256 samples or fewer: too few to reflect.
        """
        return normalised_over_time(self.before_normalisation(waveform))

    def before_normalisation(self, waveform: Tensor) -> Tensor:
        """Return the mel spectrogram, or its logarithm, before it is normalised; see ``forward``."""
        samples = _as_float(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            sizes = FFT_SAMPLES, HOP_SAMPLES, WINDOW_SAMPLES  # the window stands in the middle of the transform
            spectrum = torch.stft(pre_emphasised(samples * FULL_SCALE), *sizes, self.window, return_complex=True)
            mel = self.filters @ (spectrum.real.square() + spectrum.imag.square()) + POWER_FLOOR
            return mel.log() if self.uses_log else mel


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


class DecibelMel(nn.Module):
    """Mel spectrogram in dB; the defaults are the published ones of Common Voice.

    Hann window of ``n_fft`` samples every ``hop`` samples, centred frames with reflected ends, 64 mels on HTK's scale
    from 0 Hz to half of ``rate_hz`` without area normalisation, ``10 log10(max(power, 1e-10))``. The floor is 100 dB
    below the loudest value of the *same* clip, so that a clip does not depend on its batch.
    """

    def __init__(self, rate_hz: int = PUBLISHED_HZ, n_fft: int = 1024, hop: int = 512) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.power = MelSpectrogram(rate_hz, n_fft, hop_length=hop, n_mels=NUM_MELS)

    def forward(self, clips: Tensor) -> Tensor:
        """Map ``clips`` (batch, samples) in [-1, 1] to float32 dB (batch, 64, 1 + samples // hop), without gradient.

        Raises ``ValueError`` for clips of at most half a window: nothing is left to reflect.
        """
        if clips.ndim != 2 or clips.shape[1] <= self.n_fft // 2:
            found = tuple(clips.shape)
            raise ValueError(f"expected clips (batch, samples) of more than {self.n_fft // 2} samples, got {found}")
        with torch.no_grad(), torch.autocast(clips.device.type, enabled=False):
            decibels = 10 * self.power(clips.float()).clamp(min=DECIBEL_POWER_FLOOR).log10()
            return torch.maximum(decibels, decibels.amax((1, 2), keepdim=True) - TOP_DB)


def raw_audio(clips: Tensor, rate_hz: int = PUBLISHED_HZ) -> Tensor:
    """Resample ``clips`` (batch, samples) from ``rate_hz`` to 8 kHz: (batch, ceil(samples * 8000 / rate_hz)).

    What lies above 4 kHz is filtered out (torchaudio's windowed sinc).
    """
    with torch.no_grad(), torch.autocast(clips.device.type, enabled=False):
        return resample(clips.float(), rate_hz, RAW_HZ)


def _as_float(waveform: Tensor) -> Tensor:
    if waveform.ndim != 2 or waveform.shape[1] <= FFT_SAMPLES // 2:
        found = tuple(waveform.shape)
        raise ValueError(f"expected a waveform (batch, samples) of more than {FFT_SAMPLES // 2} samples, got {found}")
    if waveform.dtype == torch.int16:
        return waveform.float() / 32_768
    if not waveform.is_floating_point():
        raise ValueError(f"expected a waveform of floats in [-1, 1] or of int16, got {waveform.dtype}")
    return waveform.float()
