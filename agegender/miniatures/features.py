"""The features of a face, and where they are. Places and sizes are in head units (see ``canvas``)."""

import numpy as np

from agegender.miniatures.canvas import Canvas, Colour, mix
from agegender.miniatures.faces import Person, Photo

_WHITE: Colour = (250, 248, 244)
_DARK: Colour = (46, 32, 34)


def eye_place(person: Person) -> tuple[float, float]:
    """Return how far the eyes are from the middle, and how far down: low in a child's face."""
    return 0.34 * person.eye_spacing * (person.face_width / 0.76), 0.0 + 0.22 * person.childness


def mouth_height(person: Person) -> float:
    """Return how far down the mouth is."""
    return 0.585 + 0.06 * person.childness


def head_outline(person: Person) -> list[tuple[float, float]]:
    """Return the outline of the head without hair, as corners of a smooth curve."""
    young, width = person.childness, person.face_width
    cheek = width * (1 + 0.06 * young)
    jaw = width * (0.70 + 0.20 * person.jaw + 0.10 * young)
    chin = width * (0.30 + 0.16 * person.jaw + 0.06 * young)
    bottom = 1.0 - 0.07 * young
    right = [
        (0.50 * width, -0.95),
        (0.92 * width, -0.55),
        (0.99 * width, -0.12),
        (cheek, 0.22),
        (jaw, 0.66 - 0.04 * young),
        (chin, bottom - 0.06),
    ]
    return [(0, -1.06), *right, (0, bottom), *[(-x, y) for x, y in reversed(right)]]


def draw_beard(canvas: Canvas, person: Person) -> None:
    """Draw stubble or a beard, if there is one."""
    if person.beard == 0:
        return
    strength = 0.16 if person.beard < 0.4 else 0.85
    colour = mix(person.skin, person.hair, strength)
    lower = [(x * 0.985, y * 0.995) for x, y in head_outline(person) if y > 0.1]
    sideburn = [(x * 0.86, y) for x, y in lower[:1]]
    lip = mouth_height(person)
    inner = [(0.30, lip - 0.06), (0.16, lip - 0.16), (0, lip - 0.13), (-0.16, lip - 0.16), (-0.30, lip - 0.06)]
    canvas.shape([*lower, (-sideburn[0][0], sideburn[0][1]), *reversed(inner), *sideburn], colour, 0.05)


def draw_lines(canvas: Canvas, person: Person) -> None:
    """Draw the lines that come with age: forehead, eyes, from the nose to the mouth."""
    eye_x, eye_y = eye_place(person)
    line = mix(person.skin, _DARK, 0.14 + 0.24 * min(1.0, person.wrinkles))
    deep = 0.014 + 0.014 * person.wrinkles
    for number in range(round(3.2 * person.wrinkles)):
        level = -0.40 - 0.11 * number
        canvas.stroke([(-0.34, level + 0.02), (0, level - 0.015), (0.34, level + 0.02)], deep, line, 0.16)
    for side in (-1, 1):
        if person.wrinkles > 0.1:  # from the nose to the corner of the mouth
            fold = [(0.19, 0.34), (0.31, 0.5), (0.34, 0.5 + 0.3 * min(1.0, person.wrinkles))]
            canvas.stroke([(side * x, y) for x, y in fold], deep * 1.3, line, 0.16)
            canvas.stroke(
                [(side * (eye_x + dx), eye_y + 0.17 + dy) for dx, dy in ((-0.12, 0), (0, 0.04), (0.1, 0))],
                deep,
                line,
                0.16,
            )
        for number in range(round(3 * person.wrinkles)):  # crow's feet
            slope = (-0.07, 0.02, 0.1)[number % 3]
            start = eye_x + 0.19
            canvas.stroke(
                [(side * start, eye_y + slope * 0.4), (side * (start + 0.12), eye_y + slope)], deep, line, 0.05, 0.6
            )


def draw_nose(canvas: Canvas, person: Person) -> None:
    """Draw the nose."""
    _, eye_y = eye_place(person)
    size = person.nose * (1 - 0.35 * person.childness)
    tip = 0.36 + 0.07 * person.childness + 0.02 * (person.nose - 1)
    shade = mix(person.skin, _DARK, 0.20)
    canvas.shape(
        [(0.035, eye_y), (0.11 * size, tip - 0.06), (0.03, tip + 0.02), (0.0, eye_y + 0.1)],
        mix(person.skin, _DARK, 0.06),
        0.26,
    )
    wings = [
        (-0.13 * size, tip - 0.03),
        (-0.09 * size, tip + 0.035),
        (0, tip + 0.05),
        (0.09 * size, tip + 0.035),
        (0.13 * size, tip - 0.03),
    ]
    canvas.stroke(wings, 0.038, shade, 0.32, taper=0.7)


def draw_mouth(canvas: Canvas, person: Person, photo: Photo) -> None:
    """Draw the lips, and the teeth of an open mouth."""
    level, smile = mouth_height(person), photo.smile
    half = 0.25 * person.mouth * (1 - 0.22 * person.childness) * (1 + 0.12 * smile)
    rise = 0.075 * smile
    full = 0.062 * person.lip_fullness
    left, right = (-half, level - rise), (half, level - rise)
    middle = level + 0.3 * rise
    opening = 0.075 * max(0.35, smile) if photo.is_mouth_open else 0.0
    lips, dark = person.lips, mix(person.lips, _DARK, 0.55)
    upper = [
        left,
        (-half * 0.45, middle - full * 0.9),
        (0, middle - full * 0.6),
        (half * 0.45, middle - full * 0.9),
        right,
    ]
    lower = [
        (half * 0.5, middle + opening + full * 0.95),
        (0, middle + opening + full * 1.25),
        (-half * 0.5, middle + opening + full * 0.95),
    ]
    canvas.shape([*upper, *lower], lips, 0.22)
    if opening:
        inside = [
            left,
            (0, middle),
            right,
            (half * 0.45, middle + opening),
            (0, middle + opening * 1.25),
            (-half * 0.45, middle + opening),
        ]
        canvas.shape([(x * 0.86, y) for x, y in inside], dark, 0.22)
        teeth = [
            (-half * 0.62, level - rise * 0.6),
            (0, middle),
            (half * 0.62, level - rise * 0.6),
            (half * 0.4, middle + opening * 0.45),
            (0, middle + opening * 0.6),
            (-half * 0.4, middle + opening * 0.45),
        ]
        canvas.shape(teeth, _WHITE, 0.22)
    else:
        canvas.stroke([left, (0, middle), right], 0.026, dark, 0.22, taper=0.6)


def draw_eye(canvas: Canvas, person: Person, photo: Photo, side: int) -> None:
    """Draw the eye and brow of one side (-1 or 1)."""
    eye_x, y = eye_place(person)
    x = side * eye_x
    wide = 0.15 * person.eye_size * (1 + 0.14 * person.childness)
    high = 0.078 * person.eye_size * (1 + 0.55 * person.childness) * (1 - 0.22 * person.wrinkles)
    lid = [
        (x - wide, y + 0.01),
        (x - wide * 0.5, y - high * 0.85),
        (x, y - high),
        (x + wide * 0.5, y - high * 0.85),
        (x + wide, y + 0.01),
    ]
    below = [(x + wide * 0.5, y + high * 0.75), (x, y + high), (x - wide * 0.5, y + high * 0.75)]
    canvas.shape([*lid, *below], _WHITE, 0.15)
    iris = min(high * 0.98, 0.085)
    look = x + photo.gaze * (wide - iris) * 0.8
    canvas.ellipse((look, y), (iris, iris), mix(person.eyes, _DARK, 0.25), 0.15)
    canvas.ellipse((look, y), (iris * 0.86, iris * 0.86), person.eyes, 0.15)
    canvas.ellipse((look, y), (iris * 0.45, iris * 0.45), (22, 18, 20), 0.15)
    canvas.ellipse((look + iris * 0.3, y - iris * 0.35), (iris * 0.22, iris * 0.22), _WHITE, 0.15)
    canvas.stroke(
        lid, 0.024 + 0.022 * person.lashes, mix(_DARK, person.skin, 0.15 * (1 - person.lashes)), 0.15, taper=0.5
    )
    if person.lashes > 0.55:
        canvas.stroke([(x + side * wide * 0.9, y), (x + side * wide * 1.22, y - high * 0.6)], 0.026, _DARK, 0.15)
    crease = [(px, py - 0.045) for px, py in lid[1:4]]
    canvas.stroke(crease, 0.014, mix(person.skin, _DARK, 0.3), 0.15)
    _draw_brow(canvas, person, x, side, y - high)


def _draw_brow(canvas: Canvas, person: Person, x: float, side: int, lid: float) -> None:
    thick = 0.058 * person.brow * (1 - 0.35 * person.childness)
    colour = mix(person.brow_colour, person.skin, 0.1 + 0.35 * person.childness)
    level = lid - 0.125 + 0.03 * (person.brow - 1)
    arch = 0.035 + 0.02 * (1.2 - person.brow)
    canvas.stroke(
        [(x - side * 0.17, level + 0.03), (x + side * 0.04, level - arch), (x + side * 0.21, level + 0.03)],
        thick,
        colour,
        0.15,
        0.85,
    )


def draw_glasses(canvas: Canvas, person: Person) -> None:
    """Draw round glasses."""
    eye_x, y = eye_place(person)
    frame = mix(_DARK, person.eyes, 0.25)
    for side in (-1, 1):
        ring = [(side * eye_x + 0.225 * np.cos(t), y + 0.03 + 0.185 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 13)]
        canvas.stroke(ring, 0.03, frame, 0.24, taper=0)
        canvas.stroke(
            [(side * (eye_x + 0.22), y), (side * person.face_width * 0.92, y - 0.03)], 0.028, frame, 0.08, taper=0
        )
    canvas.stroke([(-eye_x + 0.22, y), (0, y - 0.035), (eye_x - 0.22, y)], 0.03, frame, 0.24, taper=0)
