"""Faces turned upright and cut out, so that their eyes, nose and mouth lie where a model expects them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from agegender.data.caches import ImageCache, Recipe, cache_images, cache_pixels
from agegender.data.detection import LONGEST_PX, Detection, find_faces
from agegender.data.images import Resize, UnreadableImageError, decode_whole
from agegender.data.manifest import Manifest, TooManyQuarantinedError
from agegender.data.mtcnn import FaceDetector

CROPS = ("tight", "loose")
"""``tight`` shows a face from brow to chin, ``loose`` at two thirds of that size, with hair and neck."""

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

    Least squares without reflection (Umeyama 1991, IEEE TPAMI 13(4)). In the plane that is one complex factor and a
    shift. Raises ``ValueError`` when all points are one.
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


def aligned_face(
    path: Path,
    found: Detection | str,
    size_px: int,
    crop: str,
    longest_px: int = LONGEST_PX,
    resize: Resize = "filtered",
) -> np.ndarray:
    """Return the one face of a file, aligned: uint8 RGB (size_px, size_px, 3); training and use both call this.

    ``found`` is what ``find_faces`` says of the file. Raises ``UnreadableImageError`` for a file that cannot be read,
    and for one that does not show exactly one face, with the reason.
    """
    problem = found if isinstance(found, str) else found.problem
    if problem is not None or isinstance(found, str):
        raise UnreadableImageError(problem)
    return align_face(decode_whole(path, longest_px), found.faces.landmarks[0], size_px, crop, resize)


def cache_aligned_faces(
    manifest: Manifest,
    folder: Path,
    size_px: int = 112,
    crop: str = "tight",
    detector: FaceDetector | None = None,
    resize: Resize = "filtered",
    max_unreadable_share: float = 0.05,
    max_faceless_share: float = 0.5,
) -> ImageCache:
    """Find, align and keep the faces of ``manifest`` in ``folder``, or take them from there when they are there.

    A manifest that is aligned already needs no detection: its pictures are only brought to ``size_px``
    (``cache_images``). In any other, a picture without a face, with several, with one that is not fully inside or that
    is small goes to the quarantine with that reason. The faces found are kept too (``find_faces``), so that another
    size or crop does not look again. Without ``detector`` the published settings apply, on the graphics card if there
    is one.

    Raises ``TooManyQuarantinedError`` when more than ``max_unreadable_share`` of the files cannot be decoded, or more
    than ``max_faceless_share`` cannot be used for any reason; ``ImportError`` when the detector is not installed;
    ``OSError`` when the disk is full.
    """
    if manifest.is_aligned:
        return cache_images(manifest, folder, size_px, resize, max_unreadable_share)
    reference_points(size_px, crop)
    finder = detector or FaceDetector(device="cuda" if torch.cuda.is_available() else "cpu")

    def prepare(paths: Sequence[Path]) -> Callable[[int], np.ndarray]:
        found = find_faces(paths, folder, finder)
        unreadable = [each for each in found if isinstance(each, str)]
        if len(unreadable) > max_unreadable_share * len(found):
            raise TooManyQuarantinedError(
                f"{len(unreadable)} of {len(found)} files cannot be decoded, more than the {max_unreadable_share:.0%} "
                f"allowed. First: {unreadable[0]}. Repair the files, or raise max_unreadable_share."
            )
        return lambda row: aligned_face(paths[row], found[row], size_px, crop, resize=resize)

    settings = f"{crop} {size_px}, {resize}, {LONGEST_PX} px, {finder.name}"
    return cache_pixels(manifest, folder, Recipe(f"{size_px}-{crop}", settings, size_px, prepare), max_faceless_share)
