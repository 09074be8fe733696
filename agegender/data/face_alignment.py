"""Faces found in pictures, turned upright and cut out, so that eyes, nose and mouth lie where a model expects them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from agegender.data.cache import ExampleCache, cache_examples, check_share
from agegender.data.images import Resize, cache_images, decode_whole
from agegender.data.known_files import Row, look_up
from agegender.data.manifest import Manifest, UnreadableFileError
from agegender.data.mtcnn import FaceDetector, Faces
from agegender.files import sha256_of

LONGEST_PX = 1000
"""Larger pictures are reduced to this before faces are looked for; a face a tenth as wide then still has 100 pixels."""

NO_FACE = "no face"
SEVERAL_FACES = "two or more faces"
OUTSIDE = "face not fully inside the picture"
SMALL = "face smaller than a tenth of the picture"

MAX_UNREADABLE_SHARE, MAX_FACELESS_SHARE = 0.05, 0.5

_AT_ONCE = 32  # pictures in memory
_REFERENCE = {  # crop -> the size in pixels that it was published for, and where the five landmarks lie
    "tight": (112, ((38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20))),
    "loose": (224, ((88.39, 106.26), (135.38, 106.00), (112.03, 132.98), (92.73, 160.49), (131.64, 160.27))),
    "chip": (128, ((40.6, 38.6), (86.8, 38.1), (63.1, 66.1), (43.8, 89.3), (84.0, 88.9))),
}


def reference_points(size_px: int, crop: str) -> np.ndarray:
    """Return where the landmarks lie in an aligned face: (5, 2) x and y, the centre of the first pixel being 0.

    ``tight`` shows a face from brow to chin, ``loose`` at two thirds of that size, with hair and neck. The published
    points are those of ``tight`` at 112 pixels and of ``loose`` at 224. ``chip`` is how the faces of FairFace with a
    margin of 0.25 were cut: the medians of the landmarks that our detector finds in them. Raises
    ``ValueError`` for an unknown crop.
    """
    if crop not in _REFERENCE:
        raise ValueError(f"unknown crop {crop!r}: expected {' or '.join(_REFERENCE)}")
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

    What lies outside the picture is black. ``"filtered"`` reduces a face that has to shrink by the same factor before
    it is turned by bilinear interpolation; any other ``resize`` only interpolates, as OpenCV's ``warpAffine`` does in
    the published code.
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
    back[:2, 2] -= low
    if scale < 1 and resize == "filtered":
        width, height = (max(1, round(side * scale)) for side in part.size)
        back[:2] *= (np.array([width, height]) / part.size)[:, None]
        part = part.resize((width, height), Image.Resampling.BILINEAR)
    numbers = tuple(back[:2].ravel().tolist())
    bands = [Image.fromarray(np.asarray(band, np.float32)) for band in part.split()]  # PIL cuts whole numbers downwards
    size, bilinear = (size_px, size_px), Image.Resampling.BILINEAR
    turned = [np.asarray(band.transform(size, Image.Transform.AFFINE, numbers, bilinear)) for band in bands]
    return np.rint(np.stack(turned, -1)).astype(np.uint8)


def aligned_face(path: Path, found: Faces | str, size_px: int, crop: str, resize: Resize) -> np.ndarray:
    """Return the one face of a file, aligned: uint8 RGB (size_px, size_px, 3).

    ``found`` is what ``find_faces`` says of the file. Raises ``UnreadableFileError`` with the reason when it cannot be
    read or does not show one usable face.
    """
    if isinstance(found, str):
        raise UnreadableFileError(found)
    if problem := problem_of(found):
        raise UnreadableFileError(problem)
    return align_face(decode_whole(path, LONGEST_PX), found.landmarks[0], size_px, crop, resize)


def cache_aligned_faces(
    manifest: Manifest, folder: Path, size_px: int, crop: str, resize: Resize = "filtered"
) -> ExampleCache:
    """Find, align and cache the faces of ``manifest`` in ``folder``, or take them from there.

    A picture without one usable face (``problem_of``) goes to the quarantine. A manifest that is aligned
    already needs no detection. Raises ``TooManyQuarantinedError`` when more than ``MAX_UNREADABLE_SHARE`` of the files
    cannot be decoded or more than ``MAX_FACELESS_SHARE`` cannot be used, ``ImportError`` without the detector.
    """
    if manifest.is_aligned:
        return cache_images(manifest, folder, size_px, resize)
    reference_points(size_px, crop)
    detector = FaceDetector("cuda" if torch.cuda.is_available() else "cpu")

    def decoder(paths: list[Path]) -> Callable[[Path], np.ndarray]:
        found = dict(zip(paths, find_faces(paths, folder, detector), strict=True))
        unreadable = [each for each in found.values() if isinstance(each, str)]
        check_share(unreadable, len(found), MAX_UNREADABLE_SHARE, "decoded")
        return lambda path: aligned_face(path, found[path], size_px, crop, resize)

    key = f"{crop} {size_px}, {resize}, {LONGEST_PX} px, {detector.name}"
    return cache_examples(manifest, folder, decoder, key, max_unreadable_share=MAX_FACELESS_SHARE)


def problem_of(faces: Faces) -> str | None:
    """Return why a picture does not show one usable face, ``None`` if it does, as published for the IMDB faces.

    One face is exactly one box, fully inside the picture, and wider and higher than a tenth of it.
    """
    if len(faces) != 1:
        return SEVERAL_FACES if len(faces) else NO_FACE
    left, top, right, bottom = faces.boxes[0]
    if left < 0 or top < 0 or right > faces.width_px or bottom > faces.height_px:
        return OUTSIDE
    return SMALL if right - left <= faces.width_px / 10 or bottom - top <= faces.height_px / 10 else None


def find_faces(paths: Sequence[Path], folder: Path | None, detector: FaceDetector) -> list[Faces | str]:
    """Return for each file, in order, the faces in it (in pixels of ``decode_whole``), or why it cannot be read.

    What was found is kept in ``folder`` under the SHA-256 of the file's bytes (``look_up``).
    """
    with ThreadPoolExecutor() as threads:

        def look(rows: list[int]) -> list[Row | str]:
            pictures = list(threads.map(_decoded, [paths[row] for row in rows]))
            faces = iter(detector.find([picture for picture in pictures if not isinstance(picture, str)]))
            return [each if isinstance(each, str) else _row(next(faces)) for each in pictures]

        setting = f"{detector.name}, pictures of at most {LONGEST_PX} px"
        progress = f"finding faces, {_AT_ONCE} pictures at once"
        found = look_up(folder, "faces", setting, list(threads.map(_key, paths)), look, _AT_ONCE, progress)
    return [each if isinstance(each, str) else _faces(each) for each in found]


def _key(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return f"unreadable {path}"


def _decoded(path: Path) -> np.ndarray | str:
    try:
        return decode_whole(path, LONGEST_PX)
    except UnreadableFileError as error:
        return str(error)


def _row(faces: Faces) -> Row:
    return {
        name: values.ravel().tolist() if isinstance(values, np.ndarray) else values
        for name, values in vars(faces).items()
    }


def _faces(row: Row) -> Faces:
    boxes, scores, landmarks = (np.array(row[name], np.float64) for name in ("boxes", "scores", "landmarks"))
    return Faces(boxes.reshape(-1, 4), scores, landmarks.reshape(-1, 5, 2), row["width_px"], row["height_px"])
