"""Writing a miniature to disk in the format of a real corpus: whole or not at all, and the same bytes each time.

A miniature is complete when its ``miniature.json`` says so; what a killed run left behind is written anew.
"""

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from agegender.files import write_text
from agegender.miniatures.portrait import draw_face
from agegender.miniatures.subjects import Face

MARKER = "miniature.json"

_JPEG_QUALITY = 85
_VERSION = 2  # to be raised when the drawings change, so that miniatures on disk are drawn anew


def written_once(inside: str = "") -> Callable[[Callable[..., None]], Callable[..., Path]]:
    """Make a function that fills an empty folder the writer of a miniature: whole or not at all, and only once.

    The writer takes a folder that does not exist yet (or is empty, or holds an earlier miniature), fills it, or its
    folder ``inside``, and returns it. Raises ``FileExistsError`` when there is something else.
    """

    def writer(write: Callable[..., None]) -> Callable[..., Path]:
        @wraps(write)
        def written(folder: Path, *arguments: Any, **options: Any) -> Path:
            given = signature(partial(write, folder)).bind(*arguments, **options)
            given.apply_defaults()
            parameters = {"layout": write.__name__.removeprefix("write_"), "version": _VERSION, **given.arguments}
            target = Path(folder) / inside
            if not is_complete(target, parameters):
                _replace(target, parameters, lambda empty: write(empty, *arguments, **options))
            return Path(folder)

        return written

    return writer


def is_complete(folder: Path, parameters: dict | None = None) -> bool:
    """Say whether ``folder`` holds a whole miniature (and, if given, one that was written with ``parameters``)."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    is_asked_for = parameters is None or marker.get("parameters") == parameters
    return is_asked_for and marker.get("files") == _count_files(folder)


def _replace(folder: Path, parameters: dict, write: Callable[[Path], None]) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise FileExistsError(f"{folder} holds something that is not a miniature: choose a new or an empty folder")
    partial = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write(partial)
        marker = {"parameters": parameters, "files": _count_files(partial)}
        write_text(partial / MARKER, json.dumps(marker, indent=1, sort_keys=True) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _count_files(folder: Path) -> dict[str, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != MARKER]
    return {"number": len(sizes), "bytes": sum(sizes)}


def draw_photo(face: Face, path: Path, size_px: int, width_px: int | None = None) -> None:
    """Draw ``face`` into the JPEG file ``path``: a square of ``size_px``, or the ``width_px`` in its middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left = (size_px - (width_px or size_px)) // 2
    image = draw_face(face.subject.person, face.photo, size_px)
    image.crop((left, 0, left + (width_px or size_px), size_px)).save(path, "JPEG", quality=_JPEG_QUALITY)


def write_clip(path: Path, samples: np.ndarray, rate_hz: int, container: str = "WAV", encoding: str = "PCM_16") -> None:
    """Write ``samples`` (within -1 and 1) in libsndfile's ``container`` and ``encoding``, whatever the file's name."""
    import soundfile  # here, so that the miniatures of faces do without it

    path.parent.mkdir(parents=True, exist_ok=True)
    endian = "LITTLE" if container == "NIST" else None
    soundfile.write(path, samples, rate_hz, format=container, subtype=encoding, endian=endian)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]], delimiter: str = ",") -> None:
    """Write a table with its header as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
