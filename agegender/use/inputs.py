"""What a reader names (files, folders, patterns, lists) as a list of pictures and recordings, told apart by content."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["face", "voice"]

_HEAD_BYTES = 64
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_RECORDINGS = (b"fLaC", b"OggS", b"ID3", b"NIST_1A", b".snd", b"caff", b"RIFX", b"RF64")
_INSIDE_RIFF: dict[bytes, Kind] = {b"WEBP": "face", b"WAVE": "voice", b"AIFF": "voice", b"AIFC": "voice"}


@dataclass(frozen=True)
class Input:
    """One file as it was named, whether it is a picture or a recording, or why it can be neither."""

    path: str
    kind: Kind | None = None
    problem: str | None = None


def inputs_of(named: Iterable[str]) -> tuple[list[Input], int]:
    """Return the files of ``named``, in order, and how many files in folders are neither picture nor recording.

    A folder stands for all pictures and recordings in it, sorted by path; links to folders are not followed, so that no
    folder is entered twice. A name that does not exist and holds ``*``, ``?`` or ``[`` is a pattern. Whatever else
    cannot be used stays in its place with the problem.
    """
    inputs: list[Input] = []
    num_others = 0
    for name in named:
        path = Path(name)
        if path.is_dir():
            found = [looked_at(str(file)) for file in _files_below(path)]
            used = [each for each in found if each.kind]
            inputs += used or [Input(name, None, "a folder without pictures or recordings")]
            num_others += len(found) - len(used)
        elif "://" not in name and not path.is_symlink() and not path.exists() and set(name) & set("*?["):
            matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
            inputs += [looked_at(str(match)) for match in matches] or [Input(name, None, "no file has such a name")]
        else:
            inputs.append(looked_at(name))
    return inputs, num_others


def looked_at(name: str) -> Input:
    """Return the file ``name`` with its kind, as its first bytes tell, or with the reason why it has none."""
    if "://" in name:
        return Input(name, None, "an address: download the file first")
    path = Path(name)
    if not path.exists():
        return Input(name, None, "a link to nothing" if path.is_symlink() else "no such file")
    if not path.is_file():
        return Input(name, None, "a folder" if path.is_dir() else "not a regular file")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        return Input(name, None, str(error.strerror or error))
    kind = kind_of(head)
    return Input(name, kind, None if kind else "an empty file" if not head else "neither a picture nor a recording")


def kind_of(head: bytes) -> Kind | None:
    """Return what the first bytes of a file say it is; ``None`` for neither.

    >>> kind_of(b"RIFF....WAVEfmt "), kind_of(b"%PDF-1.7")
    ('voice', None)
    """
    if head[:4] in (b"RIFF", b"FORM"):
        return _INSIDE_RIFF.get(head[8:12])
    if head.startswith(_PICTURES):
        return "face"
    is_mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 == 0x02  # layer III
    return "voice" if head.startswith(_RECORDINGS) or is_mpeg else None


def _files_below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(here) / file for file in sorted(files))
