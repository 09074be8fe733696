"""The two halves of a synthetic voice: a source (vocal folds and breath) and a filter (the tube above them).

Source: Fant (1960), Acoustic Theory of Speech Production; the shape of the pulse is that of Rosenberg (1971), Effect of
glottal pulse shape on the quality of natural vowels, JASA 49.
"""

import numpy as np
from scipy.signal import butter, sosfilt

SOUND_CM_PER_S = 35_000.0
REFERENCE_CM = 16.9
"""The vocal tract, in cm, of the men whose formants stand in `VOWELS_HZ`."""

VOWELS_HZ = (
    (270.0, 2290.0, 3010.0),
    (390.0, 1990.0, 2550.0),
    (660.0, 1720.0, 2410.0),
    (730.0, 1090.0, 2440.0),
    (570.0, 840.0, 2410.0),
    (300.0, 870.0, 2240.0),
    (490.0, 1350.0, 1690.0),
)
"""First three formants of men in heed, hid, had, hod, hawed, who'd and heard (Peterson and Barney, 1952, JASA 24)."""


def glottal_pulses(
    pitch_hz: np.ndarray, rate_hz: int, jitter: float, shimmer: float, open_quotient: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the derivative of the flow through the vocal folds, ``(samples,)``, for a pitch at each sample.

    ``jitter`` and ``shimmer`` are the standard deviations of the length and of the strength of single cycles, as shares
    of their mean. ``open_quotient`` is the part of a cycle in which the folds are open; two thirds of it they open.
    """
    phase = np.cumsum(pitch_hz / rate_hz)
    num_cycles = int(phase[-1] / 0.5) + 2  # more than there can be: no cycle is shorter than a half of its mean
    lengths = 1 + np.clip(jitter * rng.standard_normal(num_cycles), -0.5, 0.5)
    ends = np.cumsum(lengths)
    cycle = np.searchsorted(ends, phase, side="right")
    place = 1 - (ends[cycle] - phase) / lengths[cycle]
    opening, closing = open_quotient * 2 / 3, open_quotient / 3
    rising = np.sin(np.pi * place / opening) / (2 * opening)
    falling = -np.sin(np.pi / 2 * (place - opening) / closing) / (2 * closing)
    pulse = np.where(place < opening, rising, np.where(place < open_quotient, falling, 0.0))
    return pulse * (1 + shimmer * rng.standard_normal(num_cycles))[cycle]


def formants_hz(vowel: int, tract_cm: float, shifts: tuple[float, ...], rate_hz: int) -> np.ndarray:
    """Return the formants of a vowel below the highest frequency that ``rate_hz`` can hold, in Hz.

    A tube of another length scales all formants by the same factor. ``shifts`` multiplies the first ones: what
    differs from person to person at the same length. Above the third, formants are those of an even tube.
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
