"""A miniature of Common Voice: synthetic volunteers, ``.tsv`` tables as in some releases, and ``.mp3`` clips."""

import hashlib
from pathlib import Path

import numpy as np

from agegender.labels import COMMON_VOICE_6
from agegender.miniatures.recording import write_clip
from agegender.miniatures.voice_casting import cast_voices
from agegender.miniatures.voices import Voice, speak
from agegender.miniatures.writing import write_once, write_table

RELEASES = {
    "8.0": ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "locale", "segment"),
    "17.0": (
        "client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes", "age", "gender",
        "accents", "variant", "locale", "segment",
    ),
}  # fmt: skip
"""The columns of two releases, in their order; the later one also spells the genders otherwise."""

UNLABELLED_EVERY = 7
"""Of so many subjects the last one gave neither age nor gender."""

_RATE_HZ = 32_000
_PARTS = ("train", "train", "train", "dev", "test")


def write_commonvoice(folder: Path, num_subjects: int = 24, seed: int = 0, release: str = "8.0") -> Path:
    """Write ``validated.tsv``, ``train.tsv``, ``dev.tsv``, ``test.tsv`` and ``clips/common_voice_en_<number>.mp3``.

    Ages are the corpus' groups of ten years (``fourties``) and ``seventies``, who are in no group. A few subjects read
    most clips, as in the corpus: number n reads 12 / (n + 1) clips, two at least. Each subject is in one part; their
    second clip is in none. Returns ``folder``. Raises ``ValueError`` for an unknown release.
    """
    if release not in RELEASES:
        raise ValueError(f"unknown release {release!r}: expected one of {', '.join(RELEASES)}")

    def write(into: Path) -> None:
        rows: dict[str, list[list[str]]] = {"validated": [], "train": [], "dev": [], "test": []}
        clip = 0
        for number, voice in enumerate(cast_voices(num_subjects, seed, (13.0, 79.0), 0.3)):
            for take in range(max(2, 12 // (number + 1))):
                clip += 1
                name = f"common_voice_en_{17_000_000 + 37 * clip}.mp3"
                row = _row(release, voice, number, name, seed)
                for table in ("validated", *([_PARTS[number % len(_PARTS)]] if take != 1 else [])):
                    rows[table].append(row)
                seconds = float(np.random.default_rng([seed, 13, clip]).uniform(1.2, 2.4))
                samples = speak(voice, seconds, _RATE_HZ, seed=clip)
                write_clip(into / "clips" / name, samples, _RATE_HZ, "MP3", "MPEG_LAYER_III")
        for table, lines in rows.items():
            write_table(into / f"{table}.tsv", RELEASES[release], lines, "\t")

    parameters = {"layout": "commonvoice", "num_subjects": num_subjects, "seed": seed, "release": release}
    return write_once(Path(folder), parameters, write)


def _row(release: str, voice: Voice, number: int, path: str, seed: int) -> list[str]:
    is_unlabelled = number % UNLABELLED_EVERY == UNLABELLED_EVERY - 1
    decade = int(voice.age // 10) - 1
    age = "seventies" if decade >= len(COMMON_VOICE_6) else COMMON_VOICE_6.labels[decade]
    later = {"male": "male_masculine", "female": "female_feminine"}
    values = {
        "client_id": hashlib.sha512(f"{seed} {number}".encode()).hexdigest(),
        "path": path,
        "sentence": "Nobody said a word.",
        "sentence_id": hashlib.sha256(path.encode()).hexdigest(),
        "up_votes": "2",
        "down_votes": "0",
        "age": "" if is_unlabelled else age,
        "gender": "" if is_unlabelled else voice.gender if release == "8.0" else later[voice.gender],
        "locale": "en",
    }
    return [values.get(column, "") for column in RELEASES[release]]
