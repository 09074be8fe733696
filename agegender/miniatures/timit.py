"""A miniature of TIMIT: synthetic people reading ten sentences each, as NIST SPHERE files, and ``SPKRINFO.TXT``."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np

from agegender.files import write_text
from agegender.miniatures.recording import write_clip
from agegender.miniatures.voice_casting import cast_voices
from agegender.miniatures.voices import Voice, speak
from agegender.miniatures.writing import write_once

NO_BIRTH_EVERY = 9
"""Of so many people the last one has ``??`` for a date of birth."""

_FEMALE_SHARE = 192 / 630
_TEST_EVERY = 4  # 168 of 630 in the corpus
_SYLLABLES = 11
_HEADER = """;
; Synthetic people, in the format of the corpus' own file.
;
; ID  Sex DR Use  RecDate   BirthDate  Ht    Race Edu  Comments
;
"""


def write_timit(folder: Path, num_subjects: int = 24, seed: int = 0, is_sphere: bool = True) -> Path:
    """Write ``TRAIN`` and ``TEST`` with dialect folders, ten clips for each subject, and ``DOC/SPKRINFO.TXT``.

    Clips are at 16 kHz, two to four seconds long: SA1 and SA2, which everybody says, five SX and three SI.
    ``is_sphere`` writes SPHERE files, otherwise RIFF under the same names. Every fourth subject is in ``TEST``. Returns
    ``folder``.
    """

    def write(into: Path) -> None:
        lines = []
        for number, voice in enumerate(cast_voices(num_subjects, seed, (20.0, 68.0), _FEMALE_SHARE)):
            name, dialect, is_test = _name(number), 1 + number % 8, number % _TEST_EVERY == _TEST_EVERY - 1
            lines.append(_line(name, voice, dialect, is_test, number, seed))
            subject = into / ("TEST" if is_test else "TRAIN") / f"DR{dialect}" / (voice.gender[0].upper() + name)
            for take, (sentence, said) in enumerate(_sentences(number)):
                seconds = 0.3 + _SYLLABLES / voice.syllables_per_s
                samples = speak(voice, seconds, seed=100 * number + take, sentence=said)
                write_clip(subject / f"{sentence}.WAV", samples, 16_000, "NIST" if is_sphere else "WAV")
        write_text(into / "DOC/SPKRINFO.TXT", _HEADER + "\n".join(lines) + "\n")

    parameters = {"layout": "timit", "num_subjects": num_subjects, "seed": seed, "is_sphere": is_sphere}
    return write_once(Path(folder), parameters, write)


def _name(number: int) -> str:
    """Return the four characters that name a subject: three initials and a digit."""
    letters = [chr(ord("A") + number // 26**place % 26) for place in (2, 1, 0)]
    return "".join(letters) + "0"


def _line(name: str, voice: Voice, dialect: int, is_test: bool, number: int, seed: int) -> str:
    rng = np.random.default_rng([seed, 12, number])
    recorded = date(1986, 1, 5) + timedelta(days=int(rng.integers(0, 500)))
    born = recorded - timedelta(days=round(voice.age * 365.25))
    birth = "??" if number % NO_BIRTH_EVERY == NO_BIRTH_EVERY - 1 else f"{born:%m/%d/%y}"
    use, height = "TST" if is_test else "TRN", f"5'{int(rng.integers(1, 12))}\""
    return f"{name}  {voice.gender[0].upper()}  {dialect}  {use}  {recorded:%m/%d/%y}  {birth:<8}  {height:<6}  ???  ??"


def _sentences(number: int) -> list[tuple[str, int]]:
    """Return the names of a subject's sentences, and what is said in each, as a number."""
    compact = [(f"SX{3 + (number * 5 + place) % 450}", 1000 + (number * 5 + place) % 450) for place in range(5)]
    diverse = [(f"SI{453 + number * 3 + place}", 2000 + number * 3 + place) for place in range(3)]
    return [("SA1", 1), ("SA2", 2), *compact, *diverse]
