"""Faces found in pictures, turned upright and cut out, so that eyes, nose and mouth lie where a model expects them.

What is found is kept in one table on disk, once for each content of a file.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import torch
from PIL import Image
from tqdm import tqdm

from agegender.data.cache import ExampleCache, cache_examples
from agegender.data.images import Resize, cache_images, decode_whole
from agegender.data.manifest import Manifest, TooManyQuarantinedError, UnreadableFileError
from agegender.data.mtcnn import FaceDetector, Faces
from agegender.files import replaced_atomically, sha256_of

CROPS = ("tight", "loose")
"""``tight`` shows a face from brow to chin, ``loose`` at two thirds of that size, with hair and neck."""

LONGEST_PX = 1000
"""Larger pictures are reduced to this before faces are looked for; a face a tenth as wide then still has 100 pixels."""

NO_FACE = "no face"
SEVERAL_FACES = "two or more faces"
OUTSIDE = "face not fully inside the picture"
SMALL = "face smaller than a tenth of the picture"

MAX_UNREADABLE_SHARE, MAX_FACELESS_SHARE = 0.05, 0.5

_AT_ONCE = 32  # pictures in memory
_WRITE_AFTER = 2000  # pictures, and at least a twentieth of the table
_REFERENCE = {
    "tight": (112, ((38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20))),
    "loose": (224, ((88.39, 106.26), (135.38, 106.00), (112.03, 132.98), (92.73, 160.49), (131.64, 160.27))),
}  # crop -> the size in pixels that it was published for, and where the five landmarks lie


def reference_points(size_px: int, crop: str) -> np.ndarray:
    """Return where the landmarks lie in an aligned face: (5, 2) x and y, the centre of the first pixel being 0.

    The published points are those of ``tight`` at 112 pixels and of ``loose`` at 224; other sizes show the same part
    of the face at another resolution. Raises ``ValueError`` for an unknown crop.
    """
    if crop not in _REFERENCE:
        raise ValueError(f"unknown crop {crop!r}: expected {' or '.join(CROPS)}")
    published_px, points = _REFERENCE[crop]
    return (np.array(points) + 0.5) * (size_px / published_px) - 0.5


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the rotation, scaling and shift that bring ``points`` nearest to ``targets``, both (n, 2), as (2, 3).

    Least squares without reflection (Umeyama 1991, IEEE TPAMI 13(4)): in the plane one complex factor and a shift.
    Raises ``ValueError`` when all points are one.
    """
    here, there = points @ (1, 1j), targets @ (1, 1j)
    centred = here - here.mean()
    spread = np.sum(np.abs(centred) ** 2)
    if spread < 1e-12:
        raise ValueError(f"the {len(points)} points are all at {points[0]}: no direction can be told from them")
    factor = np.sum(centred.conj() * (there - there.mean())) / spread
    shift = there.mean() - factor * here.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def align_face(
    image: np.ndarray, landmarks: np.ndarray, size_px: int, crop: str, resize: Resize = "filtered"
) -> np.ndarray:
    """Cut the face with ``landmarks`` (5, 2) out of ``image``: uint8 RGB (height, width, 3) -> (size_px, size_px, 3).

    What lies outside the picture is black. A face that has to shrink is first reduced by the same factor with a filter
    as wide as that takes, so that fine patterns do not turn into false ones, then turned by bilinear interpolation.
    Any other ``resize`` only interpolates, as OpenCV's ``warpAffine`` does in the published code.
    """
    to_face = similarity(landmarks, reference_points(size_px, crop))
    back = np.linalg.inv(np.vstack([to_face, (0, 0, 1)]))
    back[:2, 2] += 0.5 - back[:2, :2] @ (0.5, 0.5)  # from here on the first pixel reaches from 0 to 1
    corners = np.array([(0, 0, 1), (size_px, 0, 1), (0, size_px, 1), (size_px, size_px, 1)]) @ back[:2].T
    scale = min(1.0, float(np.hypot(*to_face[:, 0])))
    margin = 2 / scale
    low = np.maximum(np.floor(corners.min(0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0) + margin), image.shape[1::-1]).astype(int)
    if (high <= low).any():
        return np.zeros((size_px, size_px, 3), np.uint8)
    part = Image.fromarray(np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]]))
    if scale < 1 and resize == "filtered":
        width, height = (max(1, round(side * scale)) for side in part.size)
        back[:2, 2] -= low
        back[:2] *= (np.array([width, height]) / part.size)[:, None]
        part = part.resize((width, height), Image.Resampling.BILINEAR)
    else:
        back[:2, 2] -= low
    numbers = tuple(back[:2].ravel().tolist())
    bands = [Image.fromarray(np.asarray(band, np.float32)) for band in part.split()]  # PIL cuts whole numbers downwards
    size, bilinear = (size_px, size_px), Image.Resampling.BILINEAR
    turned = [np.asarray(band.transform(size, Image.Transform.AFFINE, numbers, bilinear)) for band in bands]
    return np.rint(np.stack(turned, -1)).astype(np.uint8)


def aligned_face(path: Path, found: "Detection | str", size_px: int, crop: str, resize: Resize) -> np.ndarray:
    """Return the one face of a file, aligned: uint8 RGB (size_px, size_px, 3); training and use both call this.

    ``found`` is what ``find_faces`` says of the file. Raises ``UnreadableFileError`` for a file that cannot be read,
    and for one that does not show exactly one face, with the reason.
    """
    problem = found if isinstance(found, str) else found.problem
    if problem is not None or isinstance(found, str):
        raise UnreadableFileError(problem)
    return align_face(decode_whole(path, LONGEST_PX), found.faces.landmarks[0], size_px, crop, resize)


def cache_aligned_faces(
    manifest: Manifest, folder: Path, size_px: int, crop: str, resize: Resize = "filtered"
) -> ExampleCache:
    """Find, align and cache the faces of ``manifest`` in ``folder``, or take them from there.

    A manifest that is aligned already needs no detection (``cache_images``). In any other, a picture without one
    usable face (``Detection.problem``) goes to the quarantine. What is found is kept too (``find_faces``).

    Raises ``TooManyQuarantinedError`` when more than ``MAX_UNREADABLE_SHARE`` of the files cannot be decoded, or more
    than ``MAX_FACELESS_SHARE`` cannot be used; ``ImportError`` when the detector is not installed.
    """
    if manifest.is_aligned:
        return cache_images(manifest, folder, size_px, resize)
    reference_points(size_px, crop)
    detector = FaceDetector("cuda" if torch.cuda.is_available() else "cpu")

    def decoder(paths: list[Path]) -> Callable[[Path], np.ndarray]:
        found = dict(zip(paths, find_faces(paths, folder, detector), strict=True))
        unreadable = [each for each in found.values() if isinstance(each, str)]
        if len(unreadable) > MAX_UNREADABLE_SHARE * len(found):
            raise TooManyQuarantinedError(
                f"{len(unreadable)} of {len(found)} files cannot be decoded, more than the {MAX_UNREADABLE_SHARE:.0%} "
                f"allowed. First: {unreadable[0]}. Repair the files, or take their rows out of the table."
            )
        return lambda path: aligned_face(path, found[path], size_px, crop, resize)

    key = f"{crop} {size_px}, {resize}, {LONGEST_PX} px, {detector.name}"
    return cache_examples(manifest, folder, decoder, key, max_unreadable_share=MAX_FACELESS_SHARE)


@dataclass(frozen=True)
class Detection:
    """The faces in one picture, in pixels of the upright picture of the stated size (``decode_whole``)."""

    width_px: int
    height_px: int
    faces: Faces

    @property
    def problem(self) -> str | None:
        """Why the picture does not show one usable face, ``None`` if it does, as published for the IMDB faces.

        One face is exactly one box, fully inside the picture, and wider and higher than a tenth of it.
        """
        if len(self.faces) != 1:
            return SEVERAL_FACES if len(self.faces) else NO_FACE
        left, top, right, bottom = self.faces.boxes[0]
        if left < 0 or top < 0 or right > self.width_px or bottom > self.height_px:
            return OUTSIDE
        if right - left <= self.width_px / 10 or bottom - top <= self.height_px / 10:
            return SMALL
        return None


def find_faces(paths: Sequence[Path], folder: Path | None, detector: FaceDetector) -> list[Detection | str]:
    """Return for each file, in order, the faces in it, or as text why it cannot be read.

    What was found is kept in ``folder`` under the SHA-256 of the file's bytes, in one table for each setting of the
    detector: neither a second call nor another place of the files looks again, and an interrupted call goes on where
    the table was last written. Without ``folder`` nothing is kept. Unreadable files are tried anew each time. Raises
    ``OSError`` when the disk is full.
    """
    setting = f"{detector.name}, pictures of at most {LONGEST_PX} px"
    table = folder and Path(folder) / f"faces-{hashlib.sha256(setting.encode()).hexdigest()[:12]}.parquet"
    known = _read(table) if table else {}
    with ThreadPoolExecutor() as threads:
        keys = list(threads.map(_key, paths))
        missing = [(key, path) for key, path in dict(zip(keys, paths, strict=True)).items() if key not in known]
        unreadable: dict[str, str] = {}
        new = 0
        starts = range(0, len(missing), _AT_ONCE)
        for first in tqdm(starts, f"finding faces, {_AT_ONCE} pictures at once", mininterval=2, disable=not missing):
            batch = missing[first : first + _AT_ONCE]
            pictures = list(threads.map(_decoded, batch))
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


def _decoded(item: tuple[str, Path]) -> np.ndarray | str:
    try:
        return decode_whole(item[1], LONGEST_PX)
    except UnreadableFileError as error:
        return str(error)


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
