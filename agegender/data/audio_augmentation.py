"""Noise and rooms: music, other voices and noises added at a drawn ratio, and the reverberation of rooms; channels.

Most of it after the augmentation of the published TIMIT pipeline, with the recordings of MUSAN (Snyder, Chen and Povey
2015, "MUSAN: A Music, Speech, and Noise Corpus") and simulated responses of rooms (Ko and others 2017, "A Study on Data
Augmentation of Reverberant Speech for Robust Speech Recognition", ICASSP).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.fft import irfft, rfft
from scipy.signal import fftconvolve

from agegender.data.audio import Crop, as_float
from agegender.data.cache import ExampleCache

MUSIC_SNR_DB, BABBLE_SNR_DB, NOISE_SNR_DB = (5.0, 10.0), (10.0, 15.0), (0.0, 10.0)
NUM_BABBLING = (3, 7)
"""How many voices talk in the background."""

_POWER_FLOOR = 1e-4 / 32768**2  # published as 1e-4 for samples that are whole numbers of 16 bits


@dataclass(frozen=True)
class AddedSound:
    """Some of ``sounds`` added to a clip, each at a ratio of its own, uniform in decibels within ``snr_db``.

    ``num_at_once`` (least, most) different recordings are drawn. Raises ``ValueError`` for an empty cache or range.
    """

    sounds: ExampleCache
    snr_db: tuple[float, float]
    num_at_once: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        _check_any(self.sounds)
        if self.snr_db[0] > self.snr_db[1] or not 1 <= self.num_at_once[0] <= self.num_at_once[1]:
            raise ValueError(f"not from low to high: snr_db {self.snr_db}, num_at_once {self.num_at_once}")

    def apply(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return ``clip`` (samples,) float32 with the sounds in it, each from a random place on, short ones looped."""
        least, most = (min(number, len(self.sounds)) for number in self.num_at_once)
        chosen = rng.choice(len(self.sounds), rng.integers(least, most + 1), replace=False)
        level_db, mixed = _level_db(clip), clip.copy()
        for sound in chosen:
            room = max(0, int(self.sounds.lengths[sound]) - len(clip))
            added = as_float(Crop(len(clip)).of(self.sounds[sound], int(rng.random() * room)))
            gain_db = level_db - _level_db(added) - rng.uniform(*self.snr_db)
            mixed += np.float32(10 ** (gain_db / 20)) * added
        return mixed


@dataclass(frozen=True)
class Reverberation:
    """A clip as it sounds in one of ``rooms``, which are responses to an impulse of any strength."""

    rooms: ExampleCache

    def __post_init__(self) -> None:
        _check_any(self.rooms)

    def apply(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return ``clip`` (samples,) float32 convolved with a response of energy 1; what rings on is cut off."""
        response = as_float(self.rooms[int(rng.integers(len(self.rooms)))])
        return fftconvolve(clip, response / np.linalg.norm(response))[: len(clip)]


@dataclass(frozen=True)
class AudioAugmentation:
    """One of ``effects`` for each clip, or none, all with the same probability."""

    effects: tuple[AddedSound | Reverberation, ...]

    def apply(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return ``clip`` (samples,) float32 as it is or augmented; then it may go beyond [-1, 1]."""
        chosen = rng.integers(len(self.effects) + 1)
        return clip if chosen == 0 else self.effects[chosen - 1].apply(clip, rng)

    @property
    def caches(self) -> list[ExampleCache]:
        """The recordings of all effects."""
        return [effect.rooms if isinstance(effect, Reverberation) else effect.sounds for effect in self.effects]


@dataclass(frozen=True)
class ChannelAugmentation:
    """A clip as another microphone in another place might have recorded it; no recordings are needed.

    A share ``noisy`` of the clips gets steady noise at a ratio that is uniform within ``snr_db``; its level changes
    over the frequencies, evenly from 0 Hz to the highest, by up to ``tilt_db`` in either direction. A share
    ``band_limited`` loses what lies above a frequency uniform within ``highest_hz``, and half as many what lies below
    one of up to ``lowest_hz``.
    """

    rate_hz: int = 16_000
    noisy: float = 0.5
    snr_db: tuple[float, float] = (3.0, 33.0)
    tilt_db: float = 20.0
    band_limited: float = 0.2
    highest_hz: tuple[float, float] = (3_400.0, 8_000.0)
    lowest_hz: float = 300.0

    caches: ClassVar[tuple[ExampleCache, ...]] = ()

    def apply(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return ``clip`` (samples,) float32 as it is or changed; then it may go beyond [-1, 1]."""
        is_noisy, is_low, is_high = rng.random(3) < (self.noisy, self.band_limited, self.band_limited / 2)
        spectrum = rfft(clip)
        hz = np.linspace(0, self.rate_hz / 2, len(spectrum), dtype=np.float32)
        if is_noisy:
            spectrum = spectrum + self._noise(spectrum, hz, rng)
        if is_low:
            spectrum = spectrum * (hz <= rng.uniform(*self.highest_hz))
        if is_high:
            spectrum = spectrum * (hz >= rng.uniform(0, self.lowest_hz))
        return irfft(spectrum, len(clip)).astype(np.float32) if is_noisy or is_low or is_high else clip

    def _noise(self, spectrum: np.ndarray, hz: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the spectrum of noise at a drawn ratio to the clip of ``spectrum``."""
        level_db = rng.uniform(-self.tilt_db, self.tilt_db) * hz / hz[-1]
        white = rng.standard_normal((2, len(hz)), dtype=np.float32)
        noise = (white[0] + 1j * white[1]) * np.float32(10) ** (level_db / 20)
        ratio = np.sum(np.abs(spectrum) ** 2) / np.sum(np.abs(noise) ** 2)
        return noise * np.float32(np.sqrt(ratio * 10 ** (-rng.uniform(*self.snr_db) / 10)))


def published_augmentation(
    rooms: ExampleCache, music: ExampleCache, speech: ExampleCache, noise: ExampleCache
) -> AudioAugmentation:
    """Return the published choice: as it is, in a room, with music, babble, or one noise, a fifth of the clips each."""
    return AudioAugmentation(
        (
            Reverberation(rooms),
            AddedSound(music, MUSIC_SNR_DB),
            AddedSound(speech, BABBLE_SNR_DB, NUM_BABBLING),
            AddedSound(noise, NOISE_SNR_DB),
        )
    )


def _level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples), dtype=np.float64) + _POWER_FLOOR))


def _check_any(recordings: ExampleCache) -> None:
    if len(recordings) == 0:
        raise ValueError(
            "no recordings to draw from: leave the effect out, or look at the quarantine of their manifest"
        )
