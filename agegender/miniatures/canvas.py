"""A small drawing board: smooth shapes in the coordinates of a head, seen from a little to the left or right."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]] | np.ndarray
"""Points ``(x, y)`` in head units: the middle of the face is (0, 0), the chin about (0, 1), y points down."""

_T = np.linspace(0, 1, 6, endpoint=False)[:, None]
_CATMULL_ROM = (_T ** np.arange(4)) @ np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 40, endpoint=False)) for f in (np.cos, np.sin)], axis=1)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour that lies the given share (0 to 1) of the way from ``one`` to ``other``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def smooth(points: Points, closed: bool = True) -> np.ndarray:
    """Return a Catmull-Rom curve through ``points``, as points with six steps between two given ones."""
    points = np.asarray(points, dtype=np.float64)
    before, after = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    around = np.concatenate([before, points, after])
    pieces = [_CATMULL_ROM @ around[i : i + 4] for i in range(len(around) - 3)]
    return np.concatenate(pieces if closed else [*pieces, points[-1:]])


class Canvas:
    """A picture of ``size_px`` that is drawn larger and made smaller at the end, which smooths its edges."""

    def __init__(self, size_px: int, background: Colour) -> None:
        self.factor = 2 if size_px >= 200 else 4
        self.side = size_px * self.factor
        self.image = Image.new("RGB", (self.side, self.side), background)
        self.pen = ImageDraw.Draw(self.image)
        self.look()

    def look(
        self, yaw: float = 0, roll: float = 0, scale: float = 0.29, centre: tuple[float, float] = (0.5, 0.5)
    ) -> None:
        """Set how the head is seen: turned and tilted (radians), its size and middle as shares of the picture."""
        self.sin_yaw, self.cos_yaw = np.sin(yaw), np.cos(yaw)
        turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        self.turn, self.middle = scale * self.side * turn, np.asarray(centre) * self.side

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
        half = normal * (1 - taper * np.linspace(-1, 1, len(line))[:, None] ** 2) * width / 2
        self.fill(np.concatenate([line + half, (line - half)[::-1]]), colour, depth)

    def finished(self) -> Image.Image:
        """Return the picture at ``size_px``."""
        return self.image.reduce(self.factor)
