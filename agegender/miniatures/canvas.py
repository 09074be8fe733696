"""A small drawing board: smooth shapes in the coordinates of a head, seen from a little to the left or right."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]] | np.ndarray
"""Points ``(x, y)`` in head units: the middle of the face is (0, 0), the chin about (0, 1), y points down."""

_CORNERS = 6
_T = np.linspace(0, 1, _CORNERS, endpoint=False)[:, None]
_CATMULL_ROM = np.hstack(
    [
        (-_T + 2 * _T**2 - _T**3) / 2,
        (2 - 5 * _T**2 + 3 * _T**3) / 2,
        (_T + 4 * _T**2 - 3 * _T**3) / 2,
        (_T**3 - _T**2) / 2,
    ]
)
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 40, endpoint=False)) for f in (np.cos, np.sin)], axis=1)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour that lies the given share (0 to 1) of the way from ``one`` to ``other``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def smooth(points: Points, closed: bool = True) -> np.ndarray:
    """Return a Catmull-Rom curve through ``points``, as points with six steps between two given ones."""
    points = np.asarray(points, dtype=np.float64)
    if closed:
        around = np.concatenate([points[-1:], points, points[:2]])
    else:
        around = np.concatenate([points[:1], points, points[-1:]])
    pieces = [_CATMULL_ROM @ around[i : i + 4] for i in range(len(around) - 3)]
    return np.concatenate(pieces if closed else [*pieces, points[-1:]])


class Canvas:
    """A picture of ``size_px`` that is drawn larger and made smaller at the end, which smooths its edges."""

    def __init__(self, size_px: int, background: Colour) -> None:
        self.size_px = size_px
        self.factor = 2 if size_px >= 200 else 4
        self.image = Image.new("RGB", (size_px * self.factor,) * 2, background)
        self.pen = ImageDraw.Draw(self.image)
        self.look()

    def look(
        self, yaw: float = 0, roll: float = 0, scale: float = 0.29, centre: tuple[float, float] = (0.5, 0.5)
    ) -> None:
        """Set how the head is seen: turned and tilted (radians), its size and middle as shares of the picture."""
        side = self.size_px * self.factor
        self.sin_yaw, self.cos_yaw = np.sin(yaw), np.cos(yaw)
        self.unit = scale * side
        self.turn = self.unit * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        self.middle = np.asarray(centre) * side

    def fill(self, points: Points, colour: Colour, depth: float = 0) -> None:
        """Fill a polygon; ``depth`` is how far in front of the head's axis it lies, in head units."""
        xy = np.array(points, dtype=np.float64)
        xy[:, 0] = xy[:, 0] * self.cos_yaw + depth * self.sin_yaw
        self.pen.polygon((xy @ self.turn + self.middle).ravel().tolist(), fill=colour)

    def shape(self, points: Points, colour: Colour, depth: float = 0) -> None:
        """Fill the smooth closed curve through ``points``."""
        self.fill(smooth(points), colour, depth)

    def ellipse(
        self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour, depth: float = 0
    ) -> None:
        """Fill an ellipse."""
        self.fill(_CIRCLE * radii + centre, colour, depth)

    def stroke(self, points: Points, width: float, colour: Colour, depth: float = 0, taper: float = 1) -> None:
        """Draw a brush stroke along a smooth curve: ``width`` in its middle, ``1 - taper`` of it at its ends."""
        line = smooth(points, closed=False)
        along = np.gradient(line, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / (np.hypot(*along.T)[:, None] + 1e-9)
        swell = 1 - taper * np.abs(np.linspace(-1, 1, len(line))[:, None]) ** 2
        half = normal * swell * width / 2
        self.fill(np.concatenate([line + half, (line - half)[::-1]]), colour, depth)

    def finished(self) -> Image.Image:
        """Return the picture at ``size_px``."""
        return self.image.reduce(self.factor)
