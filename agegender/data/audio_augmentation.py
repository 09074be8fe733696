"""Noise and rooms: music, other voices and noises added at a drawn ratio, and the reverberation of rooms.

After the augmentation of the published TIMIT pipeline, with the recordings of MUSAN (Snyder, Chen and Povey 2015,
"MUSAN: A Music, Speech, and Noise Corpus") and simulated responses of rooms (Ko and others 2017, "A Study on Data
Augmentation of Reverberant Speech for Robust Speech Recognition", ICASSP).
"""

from dataclasses import dataclass

import numpy as np
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
