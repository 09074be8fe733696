"""Writing a miniature to disk so that it is either whole or not there."""

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from agegender.files import write_text
from agegender.miniatures.casting import Face
from agegender.miniatures.drawing import draw_face

MARKER = "miniature.json"

_JPEG_QUALITY = 85
_VERSION = 1  # to be raised when the drawings change, so that miniatures on disk are drawn anew


def is_complete(folder: Path, parameters: dict | None = None) -> bool:
    """Say whether ``folder`` holds a whole miniature (and, if given, one that was written with ``parameters``)."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if parameters is not None and marker.get("parameters") != parameters:
        return False
    return marker.get("files") == _count_files(folder)


def draw_photo(face: Face, path: Path, size_px: int, width_px: int | None = None) -> None:
    """Draw ``face`` into the JPEG file ``path``: a square of ``size_px``, or the ``width_px`` in its middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = draw_face(face.subject.person, face.photo, size_px)
    if width_px is not None:
        left = (size_px - width_px) // 2
        image = image.crop((left, 0, left + width_px, size_px))
    image.save(path, "JPEG", quality=_JPEG_QUALITY)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]], delimiter: str = ",") -> None:
    """Write a table with its header as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])


def write_once(folder: Path, parameters: dict, write: Callable[[Path], None]) -> Path:
    """Call ``write`` with an empty folder that becomes ``folder`` when it is complete, unless that is there already."""
    parameters = {**parameters, "version": _VERSION}
    if is_complete(folder, parameters):
        return folder
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise FileExistsError(f"{folder} holds something that is not a miniature: choose a new or an empty folder")
    partial = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    marker = {"parameters": parameters, "files": _count_files(partial)}
    write_text(partial / MARKER, json.dumps(marker, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def _count_files(folder: Path) -> dict[str, int]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != MARKER]
    return {"number": len(sizes), "bytes": sum(sizes)}
