"""From pictures to faces as a model wants them: found, turned upright and cut out, or taken as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from agegender.data.face_alignment import LONGEST_PX, NO_FACE, align_face, find_faces
from agegender.data.images import decode_image, decode_whole
from agegender.data.manifest import UnreadableFileError
from agegender.data.mtcnn import FaceDetector, Faces

CROP_OF_PACKS = "chip"
"""The alignment that comes nearest to faces as their corpus cut them, for a model whose training aligned none."""
SMALL_FACE_PX = 40
"""A face whose box is narrower than this has too few pixels for an age."""


@dataclass(frozen=True)
class Example:
    """One face or recording, decoded for the model, with what is to be said of it beside the answer.

    ``content`` is a face (side, side, 3) uint8, or a recording (samples,) int16. ``box`` is left, top, right and bottom
    in pixels of the upright picture, ``None`` where no face was looked for.
    """

    content: np.ndarray
    flags: tuple[str, ...] = ()
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class FaceReader:
    """Decodes faces as the training of a model did: its facts ``input`` and ``alignment``."""

    decoded_px: int
    resize: Any
    alignment: dict[str, Any] | None

    def of_array(self, picture: np.ndarray) -> Example:
        """Return an upright face (height, width, 3) uint8 as an example."""
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(f"a face is (height, width, 3) uint8, got {picture.shape} {picture.dtype}")
        side = (self._size_px, self._size_px)
        return Example(np.asarray(Image.fromarray(picture).resize(side, Image.Resampling.BILINEAR, reducing_gap=2.0)))

    def read(self, paths: Sequence[Path], is_aligned: bool) -> list[list[Example] | str]:
        """Return the faces in each file, from left to right, or why there are none.

        With ``is_aligned`` a file is one upright face, and taken as it is.
        """
        if is_aligned:
            return [self._whole(path) for path in paths]
        found = find_faces(paths, None, detector())
        return [self._cut_out(path, each) for path, each in zip(paths, found, strict=True)]

    @property
    def _size_px(self) -> int:
        return self.alignment["size_px"] if self.alignment else self.decoded_px

    def _whole(self, path: Path) -> list[Example] | str:
        try:
            return [Example(decode_image(path, self._size_px, self.resize))]
        except UnreadableFileError as error:
            return _without(path, error)

    def _cut_out(self, path: Path, found: Faces | str) -> list[Example] | str:
        if isinstance(found, str):
            return _without(path, found)
        if not len(found):
            return NO_FACE
        crop = self.alignment["crop"] if self.alignment else CROP_OF_PACKS
        picture, scale = decode_whole(path, LONGEST_PX), _longest_px(path) / max(found.width_px, found.height_px)
        examples = []
        for number in np.argsort(found.boxes[:, 0], kind="stable"):
            box = found.boxes[number]
            face = align_face(picture, found.landmarks[number], self._size_px, crop, self.resize)
            left, top, right, bottom = (round(float(side) * scale) for side in box)
            examples.append(Example(face, _flags(box, found), (left, top, right, bottom)))
        return examples


@cache
def detector() -> FaceDetector:
    """Return the detector, built on first use; raises ``ImportError`` when it is not installed."""
    return FaceDetector()


def _longest_px(path: Path) -> int:
    with Image.open(path) as picture:
        return max(picture.size)


def _flags(box: np.ndarray, found: Faces) -> tuple[str, ...]:
    left, top, right, bottom = box
    is_cut = left < 0 or top < 0 or right > found.width_px or bottom > found.height_px
    flags = {
        "several faces": len(found) > 1,
        "small face": right - left < SMALL_FACE_PX,
        "face at the edge": is_cut,
    }
    return tuple(flag for flag, is_raised in flags.items() if is_raised)


def _without(path: Path, error: UnreadableFileError | str) -> str:
    """Return a reason without the path that the row names already."""
    return str(error).removeprefix(f"{path}: ")
