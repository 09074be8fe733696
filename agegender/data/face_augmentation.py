"""Augmentation of faces in one warp: crop, scale, turn and mirror, then light, colour and a hole."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from agegender.data.cache import ExampleCache
from agegender.data.samplers import Draws

_GREY = 124  # the mean of ImageNet's pictures
_LEVELS = np.arange(256, dtype=np.float32)


@dataclass(frozen=True)
class CentreResize:
    """The central ``share`` of a face, resized to ``side_px``: a transform in which nothing is random."""

    side_px: int
    share: float = 1.0

    num_uniforms: ClassVar[int] = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"augmentation": None, "crop_px": self.side_px, "share": self.share}

    def check(self, cache: ExampleCache) -> None:
        """Take faces of any size."""

    def __call__(self, face: np.ndarray, draws: Draws) -> dict[str, Any]:
        """Return the face (height, width, 3) uint8 as ``images`` (side, side, 3)."""
        edge = (1 - self.share) / 2 * len(face)
        box = (edge, edge, len(face) - edge, len(face) - edge)
        size = (self.side_px, self.side_px)
        return {"images": np.asarray(Image.fromarray(face).resize(size, Image.Resampling.BILINEAR, box))}


@dataclass(frozen=True)
class FaceWarp:
    """What happens to a training face: a transform.

    The crop is a square whose side is between the two ``shares`` of the face's, anywhere in it, turned by up to
    ``turn_deg`` degrees, mirrored in half of the cases and resized to ``side_px`` (bilinear; black where it leaves the
    face). Contrast changes by a factor of up to 1 ± ``contrast`` and brightness by up to ± ``brightness`` (of 255);
    a share ``grey`` of the faces loses its colour, and in half of them a grey square of up to ``hole`` of the side
    hides a part (DeVries and Taylor, 2017, cutout).
    """

    side_px: int
    shares: tuple[float, float] = (0.75, 1.0)
    turn_deg: float = 10.0
    contrast: float = 0.3
    brightness: float = 0.15
    grey: float = 0.1
    hole: float = 0.4

    num_uniforms: ClassVar[int] = 11

    @property
    def settings(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"augmentation": asdict(self)}

    def check(self, cache: ExampleCache) -> None:
        """Take faces of any size."""

    def __call__(self, face: np.ndarray, draws: Draws) -> dict[str, Any]:
        """Return the face (height, width, 3) uint8 as ``images`` (side, side, 3)."""
        share, left, top, turn, flip, contrast, brightness, grey, hole, hole_left, hole_top = map(float, draws.uniforms)
        low, high = self.shares
        size = (low + (high - low) * share) * len(face)
        corner = np.array([left, top]) * (len(face) - size)
        angle = np.deg2rad(self.turn_deg) * (2 * turn - 1)
        warped = _warped(face, corner + size / 2, size / self.side_px, angle, flip < 0.5, self.side_px)
        factor = 1 + self.contrast * (2 * contrast - 1)
        shift = 255 * self.brightness * (2 * brightness - 1)
        levels = ((_LEVELS - 128) * factor + 128 + shift).clip(0, 255).astype(np.uint8)
        image = levels[warped]
        if grey < self.grey:
            image = np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, 2)
        if hole < 0.5:
            side = int(2 * hole * self.hole * self.side_px)
            x, y = (int(where * (self.side_px - side + 1)) for where in (hole_left, hole_top))
            image[y : y + side, x : x + side] = _GREY
        return {"images": image}


def _warped(
    face: np.ndarray, centre: np.ndarray, scale: float, angle: float, is_mirrored: bool, side_px: int
) -> np.ndarray:
    """Return the square of ``side_px`` around ``centre`` (x, y), of which a pixel is ``scale`` of the face's wide."""
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1.0 if is_mirrored else 1.0, 1.0])
    offset = centre - matrix @ (side_px / 2, side_px / 2)
    numbers = (*matrix[0], offset[0], *matrix[1], offset[1])
    size, bilinear = (side_px, side_px), Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(face).transform(size, Image.Transform.AFFINE, numbers, bilinear))
