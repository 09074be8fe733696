"""Miniatures of MUSAN and of simulated room impulse responses: synthetic music, noise, babble and rooms."""

from pathlib import Path

import numpy as np

from agegender.miniatures.recording import write_clip
from agegender.miniatures.vocal_tract import band
from agegender.miniatures.voice_casting import cast_voices
from agegender.miniatures.voices import speak
from agegender.miniatures.writing import write_once

_RATE_HZ = 16_000
_SECONDS = 4.0
_ROOMS = {"smallroom": (0.1, 0.3), "mediumroom": (0.3, 0.6), "largeroom": (0.6, 1.2)}  # reverberation times in s


def write_musan(folder: Path, num_subjects: int = 6, seed: int = 0) -> Path:
    """Write ``music/fma``, ``noise/free-sound`` and ``speech/librivox``, ``num_subjects`` recordings of 4 s each.

    At 16 kHz: chords that change, bands of noise that swell, and synthetic voices. Returns ``folder``.
    """

    def write(into: Path) -> None:
        voices = cast_voices(max(2, num_subjects), seed, (20.0, 80.0))
        for number in range(num_subjects):
            rng = np.random.default_rng([seed, 16, number])
            sounds = {
                "music/fma/music-fma": _music(rng),
                "noise/free-sound/noise-free-sound": _noise(rng),
                "speech/librivox/speech-librivox": speak(voices[number], _SECONDS, _RATE_HZ, seed=number),
            }
            for name, samples in sounds.items():
                write_clip(into / f"{name}-{number:04d}.wav", samples, _RATE_HZ)

    return write_once(Path(folder), {"layout": "musan", "num_subjects": num_subjects, "seed": seed}, write)


def write_rirs(folder: Path, num_subjects: int = 6, seed: int = 0) -> Path:
    """Write ``simulated_rirs/<size>/Room<number>/*.wav``: ``num_subjects`` rooms of three sizes, two places in each.

    A response is a direct sound and noise that decays by 60 dB in the reverberation time of the room. Returns
    ``folder``. Raises ``ValueError`` for fewer than 3 rooms.
    """
    if num_subjects < len(_ROOMS):
        raise ValueError(f"expected at least {len(_ROOMS)} rooms, one of each size, got {num_subjects}")

    def write(into: Path) -> None:
        for number in range(num_subjects):
            size, (shortest, longest) = list(_ROOMS.items())[number % len(_ROOMS)]
            rng = np.random.default_rng([seed, 17, number])
            decay_s = float(rng.uniform(shortest, longest))
            for place in range(2):
                room = f"Room{number // len(_ROOMS) + 1:03d}"
                path = into / "simulated_rirs" / size / room / f"{room}-{place + 1:05d}.wav"
                write_clip(path, _response(decay_s, rng), _RATE_HZ)

    return write_once(Path(folder), {"layout": "rirs", "num_subjects": num_subjects, "seed": seed}, write)


def _music(rng: np.random.Generator) -> np.ndarray:
    time = np.arange(int(_SECONDS * _RATE_HZ)) / _RATE_HZ
    chord = np.floor(time / 0.5).astype(int)
    sound = np.zeros(len(time))
    for _ in range(3):
        pitch = 220 * 2 ** (rng.integers(-5, 19, chord.max() + 1) / 12)
        phase = 2 * np.pi * np.cumsum(pitch[chord]) / _RATE_HZ
        sound += sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 6))
    return _scaled(sound * np.exp(-3 * (time % 0.5)))


def _noise(rng: np.random.Generator) -> np.ndarray:
    num = int(_SECONDS * _RATE_HZ)
    low = float(rng.uniform(100, 2500))
    swell = np.interp(np.arange(num), np.linspace(0, num, 12), rng.uniform(0.1, 1, 12))
    return _scaled(band(rng.standard_normal(num), low, 2.5 * low, _RATE_HZ) * swell)


def _response(decay_s: float, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(int(1.2 * decay_s * _RATE_HZ)) / _RATE_HZ
    tail = 0.15 * rng.standard_normal(len(time)) * 10 ** (-3 * time / decay_s)
    tail[0] = 1.0
    return _scaled(np.concatenate([np.zeros(int(rng.integers(20, 200))), tail]))


def _scaled(sound: np.ndarray) -> np.ndarray:
    return (0.7 * sound / np.abs(sound).max()).astype(np.float32)
