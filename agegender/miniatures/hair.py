"""Drawing hair: what falls behind the head, and what lies on it. Places are in head units (see ``canvas``)."""

import numpy as np

from agegender.miniatures.canvas import Canvas, Colour, mix
from agegender.miniatures.faces import Person

_DARK: Colour = (30, 22, 26)
_THICKNESS = {"wisp": 0.02, "bald": 0, "buzz": 0.04, "short": 0.13, "side": 0.15, "curly": 0.17, "bob": 0.14}
_LONG = ("long", "ponytail", "bun")


def draw_hair_behind(canvas: Canvas, person: Person) -> None:
    """Draw the hair that is seen behind neck and ears."""
    shade, width = mix(person.hair, _DARK, 0.22), person.face_width
    if person.hair_style == "long":
        _mirrored(
            canvas, [(0.5, -1.12), (width + 0.2, -0.6), (width + 0.26, 0.3), (width + 0.34, 1.1), (0.75, 1.62)], shade
        )
    elif person.hair_style == "bob":
        _mirrored(
            canvas, [(0.5, -1.1), (width + 0.17, -0.55), (width + 0.22, 0.2), (width + 0.14, 0.78), (0.5, 0.86)], shade
        )
    elif person.hair_style == "curly":
        _curls(canvas, [(angle, 0.2) for angle in np.linspace(-0.35, np.pi + 0.35, 13)], shade, width)
    elif person.hair_style == "bun":
        canvas.ellipse((0, -1.28), (0.3, 0.27), shade, -0.2)
    elif person.hair_style == "ponytail":
        tail = [(0.3, -0.95), (width + 0.35, -0.75), (width + 0.48, 0.0), (width + 0.22, 0.75), (width + 0.12, 0.1)]
        canvas.shape(tail, shade, -0.35)


def draw_hair_in_front(canvas: Canvas, person: Person) -> None:
    """Draw the hair on the head, down to the hairline."""
    style, colour = person.hair_style, person.hair
    if style == "bald":
        _draw_rim(canvas, person)
        return
    if style == "wisp":
        _draw_wisps(canvas, person)
        return
    if style == "buzz":
        colour = mix(person.skin, person.hair, 0.62)
    if style == "curly":
        _curls(canvas, [(angle, 0.06) for angle in np.linspace(0.25, np.pi - 0.25, 9)], colour, person.face_width)
    _draw_cap(canvas, person, colour)


def _mirrored(canvas: Canvas, right: list[tuple[float, float]], colour: Colour) -> None:
    canvas.shape([*right, *[(-x, y) for x, y in reversed(right)]], colour, -0.2)


def _curls(canvas: Canvas, places: list[tuple[float, float]], colour: Colour, width: float) -> None:
    for number, (angle, out) in enumerate(places):
        at = ((width + out) * np.cos(angle), -0.30 - (0.78 + out) * np.sin(angle))
        radius = 0.21 + 0.04 * (number % 2)
        canvas.ellipse(at, (radius, radius), mix(colour, _DARK, 0.08 * (number % 2)), -0.1)


def _draw_cap(canvas: Canvas, person: Person, colour: Colour) -> None:
    width, style = person.face_width, person.hair_style
    out = _THICKNESS.get(style, 0.13)
    low = {"bob": 0.35, "long": 0.5, "ponytail": -0.1, "bun": -0.1}.get(style, -0.12)
    side = width + out * 0.6
    top = [
        (0, -1.06 - out),
        (0.50 * side, -0.98 - 0.9 * out),
        (0.86 * side, -0.76 - 0.5 * out),
        (0.99 * side, -0.48),
        (side, -0.15),
        (width * 0.99, low),
    ]
    back = 0.26 * person.hairline
    line = -0.62 - back - 0.05 * person.childness
    temple = 0.80 * width - 0.12 * person.hairline
    inner = _fringe(style, width, line, temple, low)
    outer = [*[(-x, y) for x, y in reversed(top[1:])], *top]
    canvas.shape([*outer, *inner], colour, 0.02)
    shine = mix(colour, (255, 250, 240), 0.16)
    canvas.stroke(
        [(-0.42 * width, -0.86 - out * 0.5), (-0.1, -0.97 - out * 0.5), (0.2, -0.97 - out * 0.5)], 0.05, shine, 0.1
    )


def _fringe(style: str, width: float, line: float, temple: float, low: float) -> list[tuple[float, float]]:
    """Return the hairline from the right side of the head to the left."""
    right, left = [(width * 0.9, low), (temple + 0.06, -0.3)], [(-temple - 0.06, -0.3), (-width * 0.9, low)]
    if style == "side":
        return [
            *right,
            (temple - 0.1, line + 0.12),
            (0.1, line + 0.06),
            (-0.25, line - 0.14),
            (-temple + 0.1, line + 0.1),
            *left,
        ]
    if style == "bob":
        return [
            *right,
            (temple - 0.05, line + 0.24),
            (0.2, line + 0.27),
            (-0.2, line + 0.27),
            (-temple + 0.05, line + 0.24),
            *left,
        ]
    if style in _LONG:
        return [
            *right,
            (temple - 0.12, line + 0.05),
            (0.12, line - 0.18),
            (-0.2, line - 0.02),
            (-temple + 0.08, line + 0.14),
            *left,
        ]
    return [
        *right,
        (temple - 0.06, line + 0.06),
        (0.2, line),
        (-0.2, line + 0.02),
        (-temple + 0.06, line + 0.06),
        *left,
    ]


def _draw_rim(canvas: Canvas, person: Person) -> None:
    if person.age < 35:
        return
    for side in (-1, 1):
        rim = [(0.92, -0.5), (1.0, -0.1), (0.96, 0.12), (0.88, 0.0), (0.84, -0.35)]
        canvas.shape([(side * x * person.face_width * 1.03, y) for x, y in rim], person.hair, 0.0)


def _draw_wisps(canvas: Canvas, person: Person) -> None:
    colour = mix(person.skin, person.hair, 0.45)
    width = person.face_width
    canvas.shape(
        [
            (-0.8 * width, -0.72),
            (-0.4 * width, -1.03),
            (0, -1.08),
            (0.4 * width, -1.03),
            (0.8 * width, -0.72),
            (0, -0.84),
        ],
        mix(person.skin, person.hair, 0.28),
        0.02,
    )
    for x, lean in ((-0.12, -0.16), (0.0, 0.05), (0.12, 0.2)):
        canvas.stroke([(x, -1.0), (x + lean * 0.4, -1.14), (x + lean, -1.18)], 0.05, colour, 0.1)
