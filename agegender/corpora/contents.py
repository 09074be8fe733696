"""Telling pictures from recordings by the first bytes of a file, whatever its name says."""

from collections.abc import Sequence
from pathlib import Path

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_RECORDINGS = (b"fLaC", b"OggS", b"ID3", b"caff", b".snd", b"NIST_1A")
_OF_CONTAINERS = {b"WEBP": "face", b"WAVE": "voice", b"AIFF": "voice", b"AIFC": "voice"}
_WORDS = {"face": "pictures", "voice": "recordings"}


def modality_of(paths: Sequence[Path], expected: str | None = None) -> str:
    """Return ``face`` when the files are pictures, ``voice`` when they are recordings.

    Files whose kind their first bytes do not tell are left to whoever decodes them; where no file tells, it is
    ``expected``, or ``face``. Raises ``ValueError`` when there are both kinds, and when they are not as ``expected``.
    """
    found: dict[str, list[Path]] = {}
    for path in paths:
        kind = _kind(path)
        if kind:
            found.setdefault(kind, []).append(path)
    if len(found) > 1:
        each = " and ".join(f"{len(of)} {_WORDS[kind]} (first {of[0].name!r})" for kind, of in sorted(found.items()))
        raise ValueError(f"the table lists {each}: give each kind a table of its own")
    kind = next(iter(found), expected or "face")
    if expected not in (None, kind):
        first = found[kind][0]
        raise ValueError(f"{first} and the others are {_WORDS[kind]}, and {_WORDS[str(expected)]} are asked for")
    return kind


def _kind(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(12)
    if start.startswith(_PICTURES):
        return "face"
    if start[:4] in (b"RIFF", b"RF64", b"FORM"):
        return _OF_CONTAINERS.get(start[8:12])
    is_mpeg = len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0  # MP3 without a tag
    return "voice" if is_mpeg or start.startswith(_RECORDINGS) else None
