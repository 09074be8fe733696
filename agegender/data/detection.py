"""Which faces are in which file: found once for each content of a file, and kept in one table on disk."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
from tqdm import tqdm

from agegender.data.images import UnreadableImageError, decode_whole
from agegender.data.mtcnn import FaceDetector, Faces
from agegender.files import replaced_atomically, sha256_of

LONGEST_PX = 1000
"""Larger pictures are reduced to this before faces are looked for; a face a tenth as wide then still has 100 pixels."""

NO_FACE = "no face"
SEVERAL_FACES = "two or more faces"
OUTSIDE = "face not fully inside the picture"
SMALL = "face smaller than a tenth of the picture"

_AT_ONCE = 32  # pictures in memory
_WRITE_AFTER = 2000  # pictures, and at least a twentieth of the table


@dataclass(frozen=True)
class Detection:
    """The faces in one picture, in pixels of the upright picture of the stated size (``decode_whole``)."""

    width_px: int
    height_px: int
    faces: Faces

    @property
    def problem(self) -> str | None:
        """Why the picture does not show one usable face, ``None`` if it does.

        As published for the IMDB faces: exactly one box, fully inside the picture, and wider and higher than a tenth
        of it.
        """
        if len(self.faces) != 1:
            return SEVERAL_FACES if len(self.faces) else NO_FACE
        left, top, right, bottom = self.faces.boxes[0]
        if left < 0 or top < 0 or right > self.width_px or bottom > self.height_px:
            return OUTSIDE
        if right - left <= self.width_px / 10 or bottom - top <= self.height_px / 10:
            return SMALL
        return None


def find_faces(
    paths: Sequence[Path], folder: Path | None, detector: FaceDetector, longest_px: int = LONGEST_PX
) -> list[Detection | str]:
    """Return for each file, in order, the faces in it, or as text why it cannot be read.

    What was found is kept in ``folder`` under the SHA-256 of the file's bytes, in one table for each setting of the
    detector: neither a second call nor another place of the files looks again, and an interrupted call goes on where
    the table was last written. Without ``folder`` nothing is kept. Unreadable files are tried anew each time. Raises
    ``OSError`` when the disk is full.
    """
    setting = f"{detector.name}, pictures of at most {longest_px} px"
    table = folder and Path(folder) / f"faces-{hashlib.sha256(setting.encode()).hexdigest()[:12]}.parquet"
    known = _read(table) if table else {}
    with ThreadPoolExecutor() as threads:
        keys = list(threads.map(_key, paths))
        missing = [(key, path) for key, path in dict(zip(keys, paths, strict=True)).items() if key not in known]
        unreadable: dict[str, str] = {}
        new = 0
        for batch in _batches(missing):
            pictures = list(threads.map(lambda item: _decoded(item[1], longest_px), batch))
            good = [(key, image) for (key, _), image in zip(batch, pictures, strict=True) if not isinstance(image, str)]
            for (key, image), faces in zip(good, detector.find([image for _, image in good]), strict=True):
                known[key] = Detection(image.shape[1], image.shape[0], faces)
            unreadable |= {key: why for (key, _), why in zip(batch, pictures, strict=True) if isinstance(why, str)}
            new += len(good)
            if table and new >= max(_WRITE_AFTER, len(known) // 20):
                _write(table, known, setting)
                new = 0
    if table and new:
        _write(table, known, setting)
    return [known[key] if key in known else unreadable[key] for key in keys]


def _key(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return f"unreadable {path}"


def _decoded(path: Path, longest_px: int) -> np.ndarray | str:
    try:
        return decode_whole(path, longest_px)
    except UnreadableImageError as error:
        return str(error)


def _batches(items: list[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
    with tqdm(None, "finding faces", len(items), mininterval=2, unit="picture", disable=not items) as bar:
        for first in range(0, len(items), _AT_ONCE):
            batch = items[first : first + _AT_ONCE]
            yield batch
            bar.update(len(batch))


def _read(path: Path) -> dict[str, Detection]:
    """Read what is known already; a table that is missing or damaged knows nothing."""
    try:
        rows = parquet.read_table(path).to_pylist()
        return {
            row["sha256"]: Detection(
                row["width_px"],
                row["height_px"],
                Faces(
                    np.array(row["boxes"], np.float64).reshape(-1, 4),
                    np.array(row["scores"], np.float64),
                    np.array(row["landmarks"], np.float64).reshape(-1, 5, 2),
                ),
            )
            for row in rows
        }
    except (OSError, arrow.ArrowException, KeyError):
        return {}


def _write(path: Path, known: dict[str, Detection], setting: str) -> None:
    found = known.values()
    numbers = arrow.list_(arrow.float64())
    columns = {
        "sha256": arrow.array(known),
        "width_px": arrow.array([each.width_px for each in found]),
        "height_px": arrow.array([each.height_px for each in found]),
        "boxes": arrow.array([each.faces.boxes.ravel() for each in found], numbers),
        "scores": arrow.array([each.faces.scores for each in found], numbers),
        "landmarks": arrow.array([each.faces.landmarks.ravel() for each in found], numbers),
    }
    table = arrow.table(columns).replace_schema_metadata({"setting": setting})
    with replaced_atomically(path) as temporary:
        parquet.write_table(table, temporary)
