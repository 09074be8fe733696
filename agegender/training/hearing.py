"""What the nets of the Common Voice pipeline hear of clips: spectrograms, shifted and masked, or waveforms."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from agegender.data.audio import Crop
from agegender.data.batches import Batch
from agegender.data.spec_augment import MASK_UNIFORMS, SHIFT_UNIFORMS, circular_shift, mask_spectrograms
from agegender.models.audio_frontend import PUBLISHED_HZ, PUBLISHED_SAMPLES, DecibelMel, raw_audio

NUM_UNIFORMS = SHIFT_UNIFORMS + MASK_UNIFORMS
"""Uniforms that a spectrogram needs to be augmented."""


@dataclass(frozen=True)
class Hearing:
    """How much of a clip is heard, at which rate, and the window and step of its spectrogram, all in samples."""

    rate_hz: int = PUBLISHED_HZ
    num_samples: int = PUBLISHED_SAMPLES
    n_fft: int = 1024
    hop: int = 512

    @property
    def crop(self) -> Crop:
        """The first ``num_samples`` of a clip, with silence behind a shorter one, as published."""
        return Crop(self.num_samples, is_looped=False, is_random=False)

    @property
    def num_frames(self) -> int:
        """Frames of a spectrogram.

        >>> [hearing.num_frames for hearing in HEARINGS.values()]
        [512, 512]
        """
        return 1 + self.num_samples // self.hop

    def spectrograms(self) -> Callable[[Batch], Tensor]:
        """Return the way from a batch to decibels (batch, 64 mels, frames).

        A batch with ``uniforms`` (batch, ``NUM_UNIFORMS``) is augmented as published: shifted round a circle before,
        masked after; one without is not.
        """
        decibels = DecibelMel(self.rate_hz, self.n_fft, self.hop)

        def prepare(batch: Batch) -> Tensor:
            clips, uniforms = _as_float(batch["clips"]), batch.get("uniforms")
            mels = decibels.to(clips.device)
            if uniforms is None:
                return mels(clips)
            shifted = circular_shift(clips, uniforms[:, :SHIFT_UNIFORMS].squeeze(1))
            return mask_spectrograms(mels(shifted), uniforms[:, SHIFT_UNIFORMS:])

        return prepare

    def waveforms(self) -> Callable[[Batch], Tensor]:
        """Return the way from a batch to waveforms at 8 kHz (batch, samples); as published they are not augmented."""
        return lambda batch: raw_audio(_as_float(batch["clips"]), self.rate_hz)


HEARINGS = {
    "commonvoice": Hearing(),
    "speechocean762": Hearing(rate_hz=16_000, num_samples=511 * 160, n_fft=512, hop=160),
}
"""The first is the published one. The other corpus has 16 kHz: 5.11 s of it give as many frames, as the net asks."""


def _as_float(clips: Tensor) -> Tensor:
    """Return int16 clips as float32 in [-1, 1)."""
    return clips.float() / 32768
