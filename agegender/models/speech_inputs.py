"""What the nets of the Common Voice pipeline read: mel spectrograms in decibels, and waveforms at 8 kHz.

The published code makes both from clips at 48 kHz. It takes 5.46 s of each (``PUBLISHED_SAMPLES``; a shorter clip is
followed by silence) for 512 frames of 64 mels, and the whole clip for the waveform. Nothing is normalised.
"""

import torch
from torch import Tensor, nn
from torchaudio.functional import resample
from torchaudio.transforms import MelSpectrogram

PUBLISHED_HZ = 48_000
PUBLISHED_SAMPLES = 262_080
"""5.46 s at 48 kHz."""
RAW_HZ = 8_000
QUIETEST_POWER = 1e-10
TOP_DB = 100.0
"""Whatever is further below the loudest place of a clip is raised to this distance."""


class DecibelMel(nn.Module):
    """Mel spectrogram in decibels; the defaults are the published ones.

    Hann window of ``n_fft`` samples every ``hop`` samples, frames centred (reflected at the ends), mel scale of HTK
    from 0 Hz to half of ``rate_hz`` without area normalisation, ``10 log10(max(power, 1e-10))``. A clip is raised to
    100 dB below *its own* loudest place, so what a clip looks like does not depend on the batch that it is in.
    """

    def __init__(self, rate_hz: int = PUBLISHED_HZ, n_fft: int = 1024, hop: int = 512, num_mels: int = 64) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.power = MelSpectrogram(rate_hz, n_fft, hop_length=hop, n_mels=num_mels)

    def forward(self, clips: Tensor) -> Tensor:
        """Map ``clips`` (batch, samples) in [-1, 1] to decibels (batch, num_mels, frames), always in float32.

        There are ``1 + samples // hop`` frames. Raises ``ValueError`` for clips of at most half a window: nothing is
        left to reflect.
        """
        if clips.ndim != 2 or clips.shape[1] <= self.n_fft // 2:
            found = tuple(clips.shape)
            raise ValueError(f"expected clips (batch, samples) of more than {self.n_fft // 2} samples, got {found}")
        with torch.no_grad(), torch.autocast(clips.device.type, enabled=False):
            decibels = 10 * self.power(clips.float()).clamp(min=QUIETEST_POWER).log10()
            return torch.maximum(decibels, decibels.amax((1, 2), keepdim=True) - TOP_DB)

    def num_frames(self, num_samples: int) -> int:
        """Return how many frames a clip of ``num_samples`` gives.

        >>> DecibelMel().num_frames(PUBLISHED_SAMPLES)
        512
        """
        return 1 + num_samples // self.hop


def raw_audio(clips: Tensor, rate_hz: int = PUBLISHED_HZ) -> Tensor:
    """Resample ``clips`` (batch, samples) from ``rate_hz`` to 8 kHz: (batch, ceil(samples * 8000 / rate_hz)).

    What lies above 4 kHz is filtered out (torchaudio's windowed sinc). Clips that are cached at 8 kHz need no more.
    """
    with torch.no_grad(), torch.autocast(clips.device.type, enabled=False):
        return resample(clips.float(), rate_hz, RAW_HZ)
