"""Synthetic voices: people who do not exist, with age and gender in how they sound and an identity that persists.

A voice has two halves: a source (vocal folds and breath) and a filter (the tube above them). Source: Fant (1960),
Acoustic Theory of Speech Production; the shape of the pulse is that of Rosenberg (1971), Effect of glottal pulse shape
on the quality of natural vowels, JASA 49.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from agegender.labels import GENDERS, check_age
from agegender.miniatures.subjects import even_ranks

TYPICAL: dict[str, tuple[tuple[float, ...], ...]] = {
    "pitch_hz": (
        (3, 5, 8, 11, 13, 15, 18, 30, 45, 60, 80, 95),
        (300, 270, 250, 232, 200, 135, 121, 112, 108, 115, 138, 148),
        (305, 275, 255, 237, 224, 219, 214, 209, 203, 189, 186, 186),
    ),
    "tract_cm": (
        (3, 5, 8, 11, 13, 15, 18, 25, 60, 95),
        (9.6, 10.6, 11.8, 12.9, 13.8, 15.4, 16.4, 16.9, 17.1, 17.5),
        (9.5, 10.5, 11.6, 12.7, 13.4, 13.9, 14.2, 14.5, 14.7, 15.1),
    ),
    "jitter": ((12, 20, 50, 70, 95), (0.008, 0.006, 0.007, 0.012, 0.022), (0.008, 0.007, 0.008, 0.011, 0.018)),
    "shimmer": ((3, 20, 50, 70, 95), (0.06, 0.035, 0.04, 0.06, 0.10), (0.06, 0.03, 0.035, 0.05, 0.08)),
    "breathiness": ((3, 20, 50, 70, 95), (0.20, 0.07, 0.09, 0.16, 0.30), (0.20, 0.15, 0.16, 0.19, 0.28)),
    "syllables_per_s": ((3, 10, 18, 60, 80, 95), (2.8, 4.2, 5.1, 4.6, 3.9, 3.4), (2.8, 4.3, 5.0, 4.5, 3.8, 3.3)),
}
"""Ages in years, and the mean of each feature of men and of women at them; in between on straight lines.

Pitch: Eichhorn et al. (2018) and Lee, Potamianos and Narayanan (1999) for children, Stoicheff (1981) for women,
Hollien and Shipp (1972) for men, whose pitch falls by an octave around 14 and rises again in old age. Length of the
vocal tract: Fitch and Giedd (1999); Xue and Hao (2003) for the old. Jitter, shimmer and breath: after Linville (2001),
Vocal Aging, and Klatt and Klatt (1990), whose women are the breathier. Rate: children and the old speak more slowly.
"""

_SPREAD = {  # of single people around the mean, in natural logarithms
    "pitch_hz": 0.11, "tract_cm": 0.035, "jitter": 0.25, "shimmer": 0.25, "breathiness": 0.35, "syllables_per_s": 0.11,
}  # fmt: skip

OPEN_SHARE = 0.6
SOUND_CM_PER_S = 35_000.0
REFERENCE_CM = 16.9
"""The vocal tract, in cm, of the men whose formants stand in `VOWELS_HZ`."""

VOWELS_HZ = (
    (270.0, 2290.0, 3010.0), (390.0, 1990.0, 2550.0), (660.0, 1720.0, 2410.0), (730.0, 1090.0, 2440.0),
    (570.0, 840.0, 2410.0), (300.0, 870.0, 2240.0), (490.0, 1350.0, 1690.0),
)  # fmt: skip
"""First three formants of men in heed, hid, had, hod, hawed, who'd and heard (Peterson and Barney, 1952, JASA 24)."""

_SHORTEST_S = 0.05


@dataclass(frozen=True)
class Voice:
    """How one person sounds, in every clip of them.

    ``pitch_hz`` is the mean and ``pitch_range_semitones`` the standard deviation of the pitch; ``tract_cm`` the length
    of the vocal tract; ``formant_shifts`` what single formants differ by; ``jitter`` and ``shimmer`` how much single
    cycles of the folds vary, as shares; ``breathiness`` the noise of the breath as a share of the voiced sound.
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
    syllables_per_s: float


def typical(feature: str, age: float, gender: str) -> float:
    """Return the mean of a feature in `TYPICAL` for an age in years and a gender.

    >>> round(typical("pitch_hz", 30, "male")), round(typical("pitch_hz", 30, "female"))
    (112, 209)
    """
    return float(np.interp(age, TYPICAL[feature][0], TYPICAL[feature][1 + (gender == "female")]))


def random_voice(rng: np.random.Generator, age: float, gender: str) -> Voice:
    """Draw a person's voice around what is typical of an age in years and a gender.

    Raises ``ValueError`` for an age that nobody has and for an unknown gender.
    """
    if gender not in GENDERS:
        raise ValueError(f"unknown gender {gender!r}: expected one of {', '.join(GENDERS)}")
    drawn = {
        feature: typical(feature, age, gender) * float(np.exp(spread * np.clip(rng.standard_normal(), -2.5, 2.5)))
        for feature, spread in _SPREAD.items()
    }
    return Voice(
        age=check_age(age),
        gender=gender,
        pitch_range_semitones=float(rng.uniform(1.0, 2.5)),
        formant_shifts=tuple(np.exp(rng.normal(0, 0.045, 5)).tolist()),
        **drawn,
    )


def random_voices(num_subjects: int, seed: int, ages: tuple[float, float], female_share: float = 0.5) -> list[Voice]:
    """Return ``num_subjects`` people between the two ages in years; the same arguments, the same people.

    Ages and genders are spread evenly and independently. Raises ``ValueError`` for fewer than 2 subjects.
    """
    if num_subjects < 2:
        raise ValueError(f"a miniature needs at least 2 subjects, got {num_subjects}")
    rng = np.random.default_rng([seed, 10])
    years = ages[0] + even_ranks(rng, num_subjects) * (ages[1] - ages[0])
    genders = np.where(even_ranks(rng, num_subjects) < female_share, "female", "male")
    people = enumerate(zip(years, genders, strict=True))
    return [random_voice(np.random.default_rng([seed, 11, n]), float(age), str(gender)) for n, (age, gender) in people]


def speak(
    voice: Voice, seconds: float, rate_hz: int = 16_000, seed: int = 0, sentence: int | None = None
) -> np.ndarray:
    """Return a clip of ``voice``: ``(seconds * rate_hz,)`` float32 within -1 and 1; the same arguments, the same clip.

    ``sentence`` is the number of what is said; without it ``seed`` decides that too, as it does the melody, the
    loudness, and the channel: a tilt of the spectrum and noise 20 to 45 dB below the voice. Raises ``ValueError`` for
    less than 0.05 s and for a rate below 8 kHz.
    """
    if not seconds >= _SHORTEST_S or rate_hz < 8000:
        raise ValueError(f"expected at least {_SHORTEST_S} s at 8000 Hz or more, got {seconds} s at {rate_hz} Hz")
    own = int.from_bytes(np.float64(voice.pitch_hz).tobytes(), "little")  # two people have different noise in one seed
    rng = np.random.default_rng([seed, own])
    text = np.random.default_rng([0, seed] if sentence is None else [1, sentence])
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    voiced, vowels = _tracks(_syllables(voice, seconds, text), time)
    pulses = glottal_pulses(_melody(voice, seconds, time, rng), rate_hz, voice.jitter, voice.shimmer, rng)
    breath = band(rng.standard_normal(len(time)), 500, 7500, rate_hz)
    excitation = voiced * (_of_unit_power(pulses) + voice.breathiness * _of_unit_power(breath))
    formants = [formants_hz(vowel, voice.tract_cm, voice.formant_shifts, rate_hz) for vowel in range(len(VOWELS_HZ))]
    if len(formants[0]) > 3:  # above the third, all vowels have the same
        excitation = sosfilt(resonator(formants[0][3:], rate_hz), excitation)
    spoken = np.zeros(len(time))
    for vowel in np.flatnonzero(vowels.any(axis=1)):
        spoken += vowels[vowel] * sosfilt(resonator(formants[vowel][:3], rate_hz), excitation)
    return _recorded(spoken, rng)


def _syllables(voice: Voice, seconds: float, text: np.random.Generator) -> np.ndarray:
    """Return ``(syllables, 4)``: start and end in seconds, vowel, loudness."""
    draws = text.random((int(seconds * voice.syllables_per_s) + 2, 4))  # a longer clip begins with the same syllables
    lengths = np.exp(0.6 * draws[:, 0] - 0.3) / voice.syllables_per_s
    pauses = np.where(draws[:, 1] < 0.1, 0.3, 0.0)
    starts = min(0.1, seconds / 10) + np.concatenate([[0.0], np.cumsum(lengths + pauses)[:-1]])
    vowels = np.floor(draws[:, 2] * len(VOWELS_HZ))
    table = np.stack([starts, starts + lengths, vowels, 0.5 + draws[:, 3] / 2], axis=1)
    return table[starts < max(seconds - 0.1, starts[0] + 1e-3)]


def _tracks(said: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the strength of the voice, ``(samples,)``, and the shares of the vowels, ``(vowels, samples)``."""
    starts, ends, vowel, loudness = said.T
    share = np.array([0.0, 0.12, 0.3, 0.85, 1.0])  # of a syllable: consonant, rise, vowel, fall
    knots = (starts[:, None] + (ends - starts)[:, None] * share).ravel()
    voiced = np.interp(time, knots, (loudness[:, None] * [0.05, 0.1, 1.0, 0.9, 0.05]).ravel(), left=0, right=0)
    held = np.stack([0.7 * starts + 0.3 * ends, 0.25 * starts + 0.75 * ends], axis=1).ravel()  # then the tongue moves
    shares = np.arange(len(VOWELS_HZ))[:, None] == np.repeat(vowel, 2)
    return voiced, np.stack([np.interp(time, held, each.astype(float)) for each in shares])


def _melody(voice: Voice, seconds: float, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the pitch at each sample in Hz: falling over the clip, with smooth ups and downs."""
    knots = np.linspace(0, seconds, max(3, int(4 * seconds)))
    offset = rng.normal(0, 0.4)  # nobody speaks at the same pitch every day
    melody = rng.standard_normal(len(knots)) + np.linspace(0.6, -0.6, len(knots))
    semitones = offset + voice.pitch_range_semitones * melody
    return voice.pitch_hz * 2 ** (np.interp(time, knots, np.clip(semitones, -9, 9)) / 12)


def _of_unit_power(signal: np.ndarray) -> np.ndarray:
    return signal / max(float(np.sqrt(np.mean(signal**2))), 1e-9)


def _recorded(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what a microphone makes of it: another tilt and another loudness in each clip, and noise."""
    tilted = _of_unit_power(lfilter([1, -rng.uniform(0.0, 0.2)], [1], signal))
    noise = lfilter([1], [1, -rng.uniform(0.0, 0.9)], rng.standard_normal(len(signal)))
    noisy = tilted + 10 ** (-rng.uniform(20, 45) / 20) * _of_unit_power(noise)
    return (noisy * rng.uniform(0.3, 0.95) / np.abs(noisy).max()).astype(np.float32)


def glottal_pulses(
    pitch_hz: np.ndarray, rate_hz: int, jitter: float, shimmer: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the derivative of the flow through the vocal folds, ``(samples,)``, for a pitch at each sample.

    ``jitter`` and ``shimmer`` are the standard deviations of the length and of the strength of single cycles, as shares
    of their mean. The folds are open for `OPEN_SHARE` of a cycle; two thirds of it they open.
    """
    phase = np.cumsum(pitch_hz / rate_hz)
    num_cycles = int(phase[-1] / 0.5) + 2  # more than there can be: no cycle is shorter than a half of its mean
    lengths = 1 + np.clip(jitter * rng.standard_normal(num_cycles), -0.5, 0.5)
    ends = np.cumsum(lengths)
    cycle = np.searchsorted(ends, phase, side="right")
    place = 1 - (ends[cycle] - phase) / lengths[cycle]
    opening, closing = OPEN_SHARE * 2 / 3, OPEN_SHARE / 3
    rising = np.sin(np.pi * place / opening) / (2 * opening)
    falling = -np.sin(np.pi / 2 * (place - opening) / closing) / (2 * closing)
    pulse = np.where(place < opening, rising, np.where(place < OPEN_SHARE, falling, 0.0))
    return pulse * (1 + shimmer * rng.standard_normal(num_cycles))[cycle]


def formants_hz(vowel: int, tract_cm: float, shifts: tuple[float, ...], rate_hz: int) -> np.ndarray:
    """Return the formants of a vowel below the highest frequency that ``rate_hz`` can hold, in Hz.

    A tube of another length scales all formants. ``shifts`` multiplies the first ones. Above the third, formants are
    those of an even tube.
    """
    even = SOUND_CM_PER_S / (4 * tract_cm) * (2 * np.arange(1, 40) - 1)
    found = np.concatenate([np.array(VOWELS_HZ[vowel]) * REFERENCE_CM / tract_cm, even[3:]])
    found[: len(shifts)] *= shifts
    return found[found < 0.47 * rate_hz]


def resonator(formants: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the filter with these formants (Hz) as second-order sections, with an impulse response of energy 1."""
    widths = 45 + 0.035 * formants  # about those of Fant's measurements, and wider above
    radius, angle = np.exp(-np.pi * widths / rate_hz), 2 * np.pi * formants / rate_hz
    sections = np.zeros((len(formants), 6))
    sections[:, 3], sections[:, 4], sections[:, 5] = 1, -2 * radius * np.cos(angle), radius**2
    sections[:, 0] = sections[:, 3:].sum(axis=1)  # a gain of 1 at 0 Hz
    impulse = np.zeros(rate_hz // 10)
    impulse[0] = 1
    sections[0, 0] /= np.sqrt(np.sum(sosfilt(sections, impulse) ** 2))
    return sections


def band(noise: np.ndarray, low_hz: float, high_hz: float, rate_hz: int) -> np.ndarray:
    """Return ``noise`` with only the frequencies between the two (in Hz), as far as ``rate_hz`` can hold them."""
    highest = 0.49 * rate_hz
    edges = min(low_hz, 0.8 * highest), min(high_hz, highest)
    return sosfilt(butter(2, edges, "bandpass", fs=rate_hz, output="sos"), noise)
