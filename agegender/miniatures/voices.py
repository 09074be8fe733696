"""Synthetic voices: people who do not exist, with age and gender in how they sound and an identity that persists.

`TYPICAL` says how voices change over a life, after the literature; single people differ from it by about as much as
real ones do, so that age and gender can be heard, and neither perfectly.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter, sosfilt

from agegender.labels import GENDERS, check_age
from agegender.miniatures.vocal_tract import (
    REFERENCE_CM,
    VOWELS_HZ,
    band,
    formants_hz,
    glottal_pulses,
    resonator,
)

TYPICAL: dict[str, dict[str, tuple[float, ...]]] = {
    "pitch_hz": {
        "age": (3, 5, 8, 11, 13, 15, 18, 30, 45, 60, 80, 95),
        "male": (300, 270, 250, 232, 200, 135, 121, 112, 108, 115, 138, 148),
        "female": (305, 275, 255, 237, 224, 219, 214, 209, 203, 189, 186, 186),
    },
    "tract_cm": {
        "age": (3, 5, 8, 11, 13, 15, 18, 25, 60, 95),
        "male": (9.6, 10.6, 11.8, 12.9, 13.8, 15.4, 16.4, 16.9, 17.1, 17.5),
        "female": (9.5, 10.5, 11.6, 12.7, 13.4, 13.9, 14.2, 14.5, 14.7, 15.1),
    },
    "jitter": {
        "age": (3, 12, 20, 50, 70, 95),
        "male": (0.011, 0.008, 0.006, 0.007, 0.012, 0.022),
        "female": (0.011, 0.008, 0.007, 0.008, 0.011, 0.018),
    },
    "shimmer": {
        "age": (3, 20, 50, 70, 95),
        "male": (0.06, 0.035, 0.04, 0.06, 0.10),
        "female": (0.06, 0.03, 0.035, 0.05, 0.08),
    },
    "breathiness": {
        "age": (3, 12, 20, 50, 70, 95),
        "male": (0.20, 0.13, 0.07, 0.09, 0.16, 0.30),
        "female": (0.20, 0.17, 0.15, 0.16, 0.19, 0.28),
    },
    "syllables_per_s": {
        "age": (3, 6, 10, 18, 30, 60, 80, 95),
        "male": (2.8, 3.4, 4.2, 5.0, 5.2, 4.6, 3.9, 3.4),
        "female": (2.8, 3.5, 4.3, 5.0, 5.0, 4.5, 3.8, 3.3),
    },
}
"""Mean of each feature at some ages (years), straight lines between them, constant beyond the first and the last.

Pitch: Eichhorn et al. (2018) and Lee, Potamianos and Narayanan (1999) for children, Stoicheff (1981) for women,
Hollien and Shipp (1972) for men, whose pitch falls by an octave around 14 and rises again in old age. Length of the
vocal tract: Fitch and Giedd (1999); Xue and Hao (2003) for the old. Jitter, shimmer and breath: after Linville (2001),
Vocal Aging, and Klatt and Klatt (1990), whose women are the breathier. Rate: children and the old speak more slowly.
"""

_SPREAD = {  # of single people around the mean, in natural logarithms
    "pitch_hz": 0.11,
    "tract_cm": 0.035,
    "jitter": 0.25,
    "shimmer": 0.25,
    "breathiness": 0.35,
    "syllables_per_s": 0.11,
}

_SHORTEST_S = 0.05


@dataclass(frozen=True)
class Voice:
    """How one person sounds, in every clip of them.

    ``pitch_hz`` is the mean and ``pitch_range_semitones`` the standard deviation of the pitch; ``tract_cm`` the length
    of the vocal tract; ``formant_shifts`` what single formants differ by; ``jitter`` and ``shimmer`` how much single
    cycles of the folds vary, as shares; ``breathiness`` the noise of the breath as a share of the voiced sound;
    ``open_quotient`` the share of a cycle in which the folds are open; ``tilt`` (0 to 0.6) how much the sound loses
    towards high frequencies, as in soft voices.
    """

    age: float
    gender: str
    pitch_hz: float
    pitch_range_semitones: float
    tract_cm: float
    formant_shifts: tuple[float, ...]
    jitter: float
    shimmer: float
    breathiness: float
    open_quotient: float
    tilt: float
    syllables_per_s: float


def typical(feature: str, age: float, gender: str) -> float:
    """Return the mean of a feature in `TYPICAL` for an age in years and a gender.

    >>> round(typical("pitch_hz", 30, "male")), round(typical("pitch_hz", 30, "female"))
    (112, 209)
    """
    return float(np.interp(age, TYPICAL[feature]["age"], TYPICAL[feature][gender]))


def random_voice(rng: np.random.Generator, age: float, gender: str) -> Voice:
    """Draw a person's voice around what is typical of an age in years and a gender.

    Raises ``ValueError`` for an age that nobody has and for an unknown gender.
    """
    if gender not in GENDERS:
        raise ValueError(f"unknown gender {gender!r}: expected one of {', '.join(GENDERS)}")
    check_age(age)
    drawn = {
        feature: typical(feature, age, gender) * float(np.exp(spread * np.clip(rng.standard_normal(), -2.5, 2.5)))
        for feature, spread in _SPREAD.items()
    }
    return Voice(
        age=float(age),
        gender=gender,
        pitch_range_semitones=float(rng.uniform(1.0, 2.5)),
        formant_shifts=tuple(np.exp(rng.normal(0, 0.045, 5)).tolist()),
        open_quotient=float(rng.uniform(0.5, 0.65) + (0.1 if gender == "female" else 0.0)),
        tilt=float(rng.uniform(0.0, 0.6)),
        **drawn,
    )


def speak(
    voice: Voice, seconds: float, rate_hz: int = 16_000, seed: int = 0, sentence: int | None = None
) -> np.ndarray:
    """Return a clip of ``voice``: ``(seconds * rate_hz,)`` float32 within -1 and 1; the same arguments, the same clip.

    ``sentence`` is the number of what is said: two people who say the same sentence make the same syllables; without it
    ``seed`` decides that too. ``seed`` decides the melody, the loudness, and the channel: a tilt of the spectrum and
    noise 20 to 45 dB below the voice. Raises ``ValueError`` for less than 0.05 s and for a rate below 8 kHz.
    """
    if not seconds >= _SHORTEST_S or rate_hz < 8000:
        raise ValueError(f"expected at least {_SHORTEST_S} s at 8000 Hz or more, got {seconds} s at {rate_hz} Hz")
    own = int.from_bytes(np.float64(voice.pitch_hz).tobytes(), "little")  # two people have different noise in one seed
    rng = np.random.default_rng([seed, own])
    text = np.random.default_rng([0, seed] if sentence is None else [1, sentence])
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    said = _syllables(voice, seconds, text)
    voiced, hissed, vowels = _tracks(said, time)
    pitch = _melody(voice, seconds, time, rng)
    pulses = glottal_pulses(pitch, rate_hz, voice.jitter, voice.shimmer, voice.open_quotient, rng)
    pulses = lfilter([1], [1, -voice.tilt], pulses)
    breath = band(rng.standard_normal(len(time)), 500, 7500, rate_hz)
    excitation = voiced * (_of_unit_power(pulses) + voice.breathiness * _of_unit_power(breath))
    formants = [formants_hz(vowel, voice.tract_cm, voice.formant_shifts, rate_hz) for vowel in range(len(VOWELS_HZ))]
    if len(formants[0]) > 3:  # above the third, all vowels have the same
        excitation = sosfilt(resonator(formants[0][3:], rate_hz), excitation)
    spoken = np.zeros(len(time))
    for vowel in np.flatnonzero(vowels.any(axis=1)):
        spoken += vowels[vowel] * sosfilt(resonator(formants[vowel][:3], rate_hz), excitation)
    scale = REFERENCE_CM / voice.tract_cm
    hiss = band(rng.standard_normal(len(time)), 2800 * scale, 5500 * scale, rate_hz)
    return _recorded(_of_unit_power(spoken) + 0.5 * hissed * _of_unit_power(hiss), rng)


def _syllables(voice: Voice, seconds: float, text: np.random.Generator) -> np.ndarray:
    """Return ``(syllables, 5)``: start and end in seconds, vowel, loudness, and 1 where it starts with a hiss."""
    num = int(seconds * voice.syllables_per_s) + 2
    lengths = np.exp(text.normal(0, 0.18, 400 + num)[:num]) / voice.syllables_per_s
    pauses = np.where(text.random(400 + num)[:num] < 0.1, 0.3, 0.0)
    starts = min(0.1, seconds / 10) + np.concatenate([[0.0], np.cumsum(lengths + pauses)[:-1]])
    choices = [text.integers(0, len(VOWELS_HZ), 400 + num), text.uniform(0.5, 1, 400 + num), text.random(400 + num)]
    vowel, loudness, hiss = (choice[:num] for choice in choices)
    table = np.stack([starts, starts + lengths, vowel, loudness, np.where(hiss < 0.35, 1.0, 0.0)], axis=1)
    return table[table[:, 0] < max(seconds - 0.1, table[0, 0] + 1e-3)]


def _tracks(said: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the strength of the voice and of hissing, and ``(vowels, samples)`` shares of the vowels, by sample."""
    starts, ends, vowel, loudness, hiss = said.T
    share = np.array([0.0, 0.12, 0.3, 0.85, 1.0])  # of a syllable: consonant, rise, vowel, fall
    knots = (starts[:, None] + (ends - starts)[:, None] * share).ravel()
    voiced = np.interp(time, knots, (loudness[:, None] * [0.05, 0.1, 1.0, 0.9, 0.05]).ravel(), left=0, right=0)
    hissed = np.interp(time, knots, (hiss[:, None] * [0.3, 1.0, 0.0, 0.0, 0.3]).ravel(), left=0, right=0)
    which = np.arange(len(VOWELS_HZ))[:, None] == vowel
    middles = (0.7 * starts + 0.3 * ends, 0.25 * starts + 0.75 * ends)  # between two, the tongue moves
    held = np.stack(middles, axis=1).ravel()
    return voiced, hissed, np.stack([np.interp(time, held, np.repeat(shares, 2).astype(float)) for shares in which])


def _melody(voice: Voice, seconds: float, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the pitch at each sample in Hz: falling over the clip, with smooth ups and downs."""
    knots = np.linspace(0, seconds, max(3, int(4 * seconds)))
    offset = rng.normal(0, 0.4)  # nobody speaks at the same pitch every day
    semitones = offset + voice.pitch_range_semitones * (
        rng.standard_normal(len(knots)) + np.linspace(0.6, -0.6, len(knots))
    )
    return voice.pitch_hz * 2 ** (np.interp(time, knots, np.clip(semitones, -9, 9)) / 12)


def _of_unit_power(signal: np.ndarray) -> np.ndarray:
    return signal / max(float(np.sqrt(np.mean(signal**2))), 1e-9)


def _recorded(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what a microphone makes of it: another tilt and another loudness in each clip, and noise."""
    tilted = _of_unit_power(lfilter([1, -rng.uniform(0.0, 0.2)], [1], signal))
    noise = lfilter([1], [1, -rng.uniform(0.0, 0.9)], rng.standard_normal(len(signal)))
    noisy = tilted + 10 ** (-rng.uniform(20, 45) / 20) * _of_unit_power(noise)
    return (noisy * rng.uniform(0.3, 0.95) / np.abs(noisy).max()).astype(np.float32)
