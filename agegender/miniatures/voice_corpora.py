"""Miniatures of corpora of voices, and of what is added to them: synthetic people, music, noise and rooms."""

import hashlib
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from agegender.files import write_text
from agegender.labels import COMMON_VOICE_6
from agegender.miniatures.voices import Voice, band, random_voices, speak
from agegender.miniatures.writing import write_clip, write_table, written_once

NO_BIRTH_EVERY = 9
"""Of so many people the last one has ``??`` for a date of birth."""
UNLABELLED_EVERY = 7
"""Of so many subjects the last one gave neither age nor gender."""

_TIMIT_HEADER = """;
; Synthetic people, in the format of the corpus' own file.
;
; ID  Sex DR Use  RecDate   BirthDate  Ht    Race Edu  Comments
;
"""
COMMONVOICE_HEADER = (
    "client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "locale", "segment",
)  # fmt: skip
_COMMONVOICE_PARTS = ("train", "train", "train", "dev", "test")
_PACK_HEADER = ("file", "speaker", "age", "gender", "seconds", "split", "source", "language", "voice")
_VOXCELEB_HEADER = ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set")
_RATE_HZ = 16_000
_SECONDS = 4.0
_ROOMS = {"smallroom": (0.1, 0.3), "mediumroom": (0.3, 0.6), "largeroom": (0.6, 1.2)}  # reverberation times in s


@written_once()
def write_timit(into: Path, num_subjects: int = 24, seed: int = 0) -> None:
    """Write ``TRAIN`` and ``TEST`` (every fourth subject) with dialect folders, and ``DOC/SPKRINFO.TXT``.

    Ten clips of each subject, SPHERE files at 16 kHz, two to four seconds long: SA1, SA2, five SX and three SI.
    """
    lines = []
    for number, voice in enumerate(random_voices(num_subjects, seed, (20.0, 68.0), 192 / 630)):
        name = "".join(chr(ord("A") + number // 26**place % 26) for place in (2, 1, 0)) + "0"
        dialect, part = 1 + number % 8, "TEST" if number % 4 == 3 else "TRAIN"
        gender, use = voice.gender[0].upper(), {"TEST": "TST", "TRAIN": "TRN"}[part]
        lines.append(f"{name}  {gender}  {dialect}  {use}  {_facts(voice, number, seed)}\n")
        for take, (sentence, said) in enumerate(_sentences(number)):
            samples = speak(voice, 0.3 + 11 / voice.syllables_per_s, seed=100 * number + take, sentence=said)
            write_clip(into / part / f"DR{dialect}" / (gender + name) / f"{sentence}.WAV", samples, 16_000, "NIST")
    write_text(into / "DOC/SPKRINFO.TXT", _TIMIT_HEADER + "".join(lines))


def _facts(voice: Voice, number: int, seed: int) -> str:
    rng = np.random.default_rng([seed, 12, number])
    recorded = date(1986, 1, 5) + timedelta(days=int(rng.integers(0, 500)))
    born = recorded - timedelta(days=round(voice.age * 365.25))
    birth = "??" if number % NO_BIRTH_EVERY == NO_BIRTH_EVERY - 1 else f"{born:%m/%d/%y}"
    height = f"5'{int(rng.integers(1, 12))}\""
    return f"{recorded:%m/%d/%y}  {birth:<8}  {height:<6}  ???  ??"


def _sentences(number: int) -> list[tuple[str, int]]:
    """Return the name of each sentence of a subject, and the number of what is said in it."""
    compact = [(f"SX{3 + (number * 5 + place) % 450}", 1000 + (number * 5 + place) % 450) for place in range(5)]
    diverse = [(f"SI{453 + number * 3 + place}", 2000 + number * 3 + place) for place in range(3)]
    return [("SA1", 1), ("SA2", 2), *compact, *diverse]


@written_once()
def write_commonvoice(into: Path, num_subjects: int = 24, seed: int = 0) -> None:
    """Write ``validated.tsv``, ``train.tsv``, ``dev.tsv``, ``test.tsv`` and ``clips/common_voice_en_<number>.mp3``.

    Number n reads 12 / (n + 1) clips, two at least, as a few people read most clips of the corpus. Each subject is in
    one part; their second clip is in none.
    """
    rows: dict[str, list[tuple[str, ...]]] = {"validated": [], "train": [], "dev": [], "test": []}
    for number, voice in enumerate(random_voices(num_subjects, seed, (13.0, 79.0), 0.3)):
        for take in range(max(2, 12 // (number + 1))):
            clip = len(rows["validated"]) + 1
            name = f"common_voice_en_{17_000_000 + 37 * clip}.mp3"
            for table in ("validated", *([_COMMONVOICE_PARTS[number % len(_COMMONVOICE_PARTS)]] if take != 1 else [])):
                rows[table].append(_row(voice, number, name, seed))
            seconds = float(np.random.default_rng([seed, 13, clip]).uniform(1.2, 2.4))
            samples = speak(voice, seconds, 32_000, seed=clip)
            write_clip(into / "clips" / name, samples, 32_000, "MP3", "MPEG_LAYER_III")
    for table, lines in rows.items():
        write_table(into / f"{table}.tsv", COMMONVOICE_HEADER, lines, "\t")


def _row(voice: Voice, number: int, path: str, seed: int) -> tuple[str, ...]:
    age = (*COMMON_VOICE_6.labels, "seventies")[int(voice.age // 10) - 1]
    client = hashlib.sha512(f"{seed} {number}".encode()).hexdigest()
    labels = ("", "") if number % UNLABELLED_EVERY == UNLABELLED_EVERY - 1 else (age, voice.gender)
    return client, path, "Nobody said a word.", "2", "0", *labels, "", "en", ""


@written_once("voice-svd-so762")
def write_voicepack(into: Path, num_subjects: int = 24, seed: int = 0) -> None:
    """Write the pack ``voice-svd-so762`` below a folder: ``clips.csv`` and clips at 16 kHz.

    Every third subject is of the source ``so762``: 6 to 43 years old, four sentences of 1.5 to 3 s. The others are of
    ``svd``: 18 to 90, one phrase that all say, those above 50 noted as ``disordered``. Every ninth subject is in the
    part ``val``. Raises ``ValueError`` for fewer than 4 subjects.
    """
    if num_subjects < 4:
        raise ValueError(f"expected at least 4 subjects, two of each source, got {num_subjects}")
    num_so762 = max(2, num_subjects // 3)
    svd = random_voices(num_subjects - num_so762, seed, (18.0, 90.0))
    so762 = random_voices(num_so762, seed + 1, (6.0, 43.0))
    rows = []
    for number, voice in enumerate([*svd, *so762], start=1):
        is_svd = number <= len(svd)
        source, language, sentence = ("svd", "de", 1) if is_svd else ("so762", "en", None)
        name, seconds = f"{source[:2]}{number:04d}", 9 / voice.syllables_per_s
        split, noted = "train" if number % 9 else "val", "disordered" if is_svd and voice.age > 50 else "normal"
        for take in range(1 if is_svd else 4):
            path = f"{source}/{name}_{take + 1}.opus"
            samples = speak(voice, seconds, seed=100 * number + take, sentence=sentence)
            write_clip(into / path, samples, 16_000, "OGG", "OPUS")
            labels = (str(int(voice.age)), voice.gender, f"{seconds:.2f}", split, source, language, noted)
            rows.append((path, name, *labels))
    write_table(into / "clips.csv", _PACK_HEADER, rows)


@written_once()
def write_voxceleb(into: Path, num_subjects: int = 24, seed: int = 0) -> None:
    """Write ``vox1_meta.csv``, ``wav/<id>/<video>/<clip>.wav`` (16 kHz, 2 to 3.5 s) and ``veri_test.txt``.

    Three videos of each subject, two clips of each. The last quarter of the subjects (two at least) are the set
    ``test``, on which the trials are made: half of them of the same subject, from another video. Raises ``ValueError``
    for fewer than 4 subjects.
    """
    if num_subjects < 4:
        raise ValueError(f"expected at least 4 subjects, got {num_subjects}")
    num_test = max(2, round(0.25 * num_subjects))
    meta, tested = [], []
    for number, voice in enumerate(random_voices(num_subjects, seed, (20.0, 75.0), 561 / 1251)):
        name, is_test = f"id{10_001 + number}", number >= num_subjects - num_test
        meta.append((name, f"Nobody_{number}", voice.gender[0], "None", "test" if is_test else "dev"))
        for video in range(3):
            rng = np.random.default_rng([seed, 14, number, video])
            for clip in range(2):
                path = f"{name}/v{number:04d}{video:03d}drawn/{clip + 1:05d}.wav"
                samples = speak(voice, float(rng.uniform(2.0, 3.5)), seed=1000 * number + 10 * video + clip)
                write_clip(into / "wav" / path, samples, 16_000)
                tested += [(name, video, path)] if is_test else []
    write_table(into / "vox1_meta.csv", _VOXCELEB_HEADER, meta, "\t")
    write_text(into / "veri_test.txt", _trials(tested, seed))


def _trials(clips: list[tuple[str, int, str]], seed: int) -> str:
    rng = np.random.default_rng([seed, 15])
    lines = []
    for name, video, path in clips:
        same = [other for who, where, other in clips if who == name and where != video]
        others = [other for who, _, other in clips if who != name]
        for place in range(4):
            pool = same if place % 2 == 0 else others
            lines.append(f"{1 - place % 2} {path} {pool[int(rng.integers(len(pool)))]}\n")
    return "".join(lines)


@written_once()
def write_musan(into: Path, num_subjects: int = 6, seed: int = 0) -> None:
    """Write ``music/fma``, ``noise/free-sound`` and ``speech/librivox``, ``num_subjects`` recordings of 4 s each.

    Chords that change, bands of noise that swell, and synthetic voices, at 16 kHz.
    """
    for number, voice in enumerate(random_voices(max(2, num_subjects), seed, (20.0, 80.0))[:num_subjects]):
        rng = np.random.default_rng([seed, 16, number])
        sounds = {
            "music/fma/music-fma": _music(rng),
            "noise/free-sound/noise-free-sound": _noise(rng),
            "speech/librivox/speech-librivox": speak(voice, _SECONDS, _RATE_HZ, seed=number),
        }
        for name, samples in sounds.items():
            write_clip(into / f"{name}-{number:04d}.wav", samples, _RATE_HZ)


@written_once()
def write_rirs(into: Path, num_subjects: int = 6, seed: int = 0) -> None:
    """Write ``simulated_rirs/<size>/Room<number>/*.wav``: ``num_subjects`` rooms of three sizes, two places in each.

    A response is a direct sound and noise that decays by 60 dB in the reverberation time of the room. Raises
    ``ValueError`` for fewer than 3 rooms.
    """
    if num_subjects < len(_ROOMS):
        raise ValueError(f"expected at least {len(_ROOMS)} rooms, one of each size, got {num_subjects}")
    for number in range(num_subjects):
        size, decays_s = list(_ROOMS.items())[number % len(_ROOMS)]
        rng = np.random.default_rng([seed, 17, number])
        decay_s, room = float(rng.uniform(*decays_s)), f"Room{number // len(_ROOMS) + 1:03d}"
        for place in range(2):
            path = into / "simulated_rirs" / size / room / f"{room}-{place + 1:05d}.wav"
            write_clip(path, _response(decay_s, rng), _RATE_HZ)


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
