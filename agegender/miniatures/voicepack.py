"""A miniature of the open pack of voices: synthetic people, ``clips.csv`` and Opus files."""

from pathlib import Path

from agegender.miniatures.recording import write_clip
from agegender.miniatures.voice_casting import cast_voices
from agegender.miniatures.voices import speak
from agegender.miniatures.writing import write_once, write_table

_HEADER = ("file", "speaker", "age", "gender", "seconds", "split", "source", "language", "voice")
_SO762_EVERY = 3


def write_voicepack(folder: Path, num_subjects: int = 24, seed: int = 0, clips_per_subject: int = 4) -> Path:
    """Write the pack ``voice-svd-so762`` below ``folder``: ``clips.csv`` and clips at 16 kHz.

    Every third subject is of the source ``so762``: 6 to 43 years old, ``clips_per_subject`` sentences of 1.5 to 3 s.
    The others are of ``svd``: 18 to 90, one phrase that all say, those above 50 noted as ``disordered`` voices. Every
    ninth subject is in the part ``val``. Returns ``folder``. Raises ``ValueError`` for fewer than 4 subjects.
    """
    num_so762 = max(2, num_subjects // _SO762_EVERY)
    if num_subjects < 4:
        raise ValueError(f"expected at least 4 subjects, two of each source, got {num_subjects}")

    def write(into: Path) -> None:
        people = {
            "svd": cast_voices(num_subjects - num_so762, seed, (18.0, 90.0)),
            "so762": cast_voices(num_so762, seed + 1, (6.0, 43.0)),
        }
        rows, number = [], 0
        for source, voices in people.items():
            for voice in voices:
                number += 1
                name = f"{source[:2]}{number:04d}"
                split = "val" if number % 9 == 0 else "train"
                noted = "disordered" if source == "svd" and voice.age > 50 else "normal"
                for take in range(1 if source == "svd" else clips_per_subject):
                    seconds = 9 / voice.syllables_per_s
                    sentence = 1 if source == "svd" else None
                    samples = speak(voice, seconds, seed=100 * number + take, sentence=sentence)
                    path = f"{source}/{name}_{take + 1}.opus"
                    write_clip(into / path, samples, 16_000, "OGG", "OPUS")
                    labels = (str(int(voice.age)), voice.gender, f"{seconds:.2f}", split, source)
                    rows.append((path, name, *labels, "de" if source == "svd" else "en", noted))
        write_table(into / "clips.csv", _HEADER, rows)

    parameters = {
        "layout": "voicepack", "num_subjects": num_subjects, "seed": seed, "clips_per_subject": clips_per_subject,
    }  # fmt: skip
    write_once(Path(folder) / "voice-svd-so762", parameters, write)
    return Path(folder)
