"""Drawing a person as a portrait: background, hair, clothes, head, features, light and grain.

The numbers below are places and sizes in head units (see ``canvas``), found by looking at the drawings.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageChops

from agegender.miniatures.canvas import Canvas, Colour, mix
from agegender.miniatures.people import Person, Photo

_WHITE: Colour = (250, 248, 244)
_DARK: Colour = (46, 32, 34)
_THICKNESS = {"buzz": 0.04, "curly": 0.17, "bob": 0.14}
_LOWEST = {"bob": 0.35, "long": 0.5, "ponytail": -0.1}
_FRINGE = {"bob": (0.24, 0.27), "long": (0.05, -0.15), "ponytail": (0.05, -0.15)}


def draw_face(person: Person, photo: Photo, size_px: int = 816) -> Image.Image:
    """Return a portrait of ``person`` under the conditions of ``photo``, RGB, ``size_px`` x ``size_px``.

    The same arguments give the same pixels.
    """
    canvas = Canvas(size_px, photo.background)
    _draw_background(canvas, photo)
    canvas.look(photo.yaw, photo.roll, photo.scale, photo.centre)
    _draw_hair_behind(canvas, person)
    _draw_body(canvas, person, photo)
    _draw_head(canvas, person)
    if person.beard > 0:
        _draw_beard(canvas, person)
    _draw_lines(canvas, person)
    _draw_nose(canvas, person)
    _draw_mouth(canvas, person, photo)
    for side in (-1, 1):
        _draw_eye(canvas, person, side)
    if person.has_glasses:
        _draw_glasses(canvas, person)
    _draw_hair_in_front(canvas, person)
    return _photographed(canvas.finished(), photo)


def _mirrored(right: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the outline of something with two equal sides from its points on the right, from one end to the other."""
    return [*right, *[(-x, y) for x, y in reversed(right) if x]]


def _eye_place(person: Person) -> tuple[float, float]:
    """Return how far the eyes are from the middle, and how far down: low in a child's face."""
    return 0.34 * person.eye_spacing * (person.face_width / 0.76), 0.22 * person.childness


def _mouth_height(person: Person) -> float:
    return 0.585 + 0.06 * person.childness


def _head_outline(person: Person) -> list[tuple[float, float]]:
    young, width = person.childness, person.face_width
    jaw, chin = width * (0.70 + 0.20 * person.jaw + 0.10 * young), width * (0.30 + 0.16 * person.jaw + 0.06 * young)
    bottom = 1.0 - 0.07 * young
    top = [(0.50 * width, -0.95), (0.92 * width, -0.55), (0.99 * width, -0.12), (width * (1 + 0.06 * young), 0.22)]
    return [(0, -1.06), *_mirrored([*top, (jaw, 0.66 - 0.04 * young), (chin, bottom - 0.06), (0, bottom)])]


def _draw_background(canvas: Canvas, photo: Photo) -> None:
    rng = np.random.default_rng(photo.seed)
    pattern = rng.integers(3)
    if pattern == 0:
        edge = rng.uniform(-0.3, 0.3)
        canvas.fill([(edge - 0.4, -2), (3, -2), (3, 3), (edge, 3)], mix(photo.background, photo.clothes, 0.16))
    for _ in range((0, 1, 7)[pattern]):
        radius = 1.45 if pattern == 1 else rng.uniform(0.1, 0.3)
        place = rng.uniform(-1.7, 1.7, 2) / (4 if pattern == 1 else 1)
        canvas.ellipse((place[0], place[1]), (radius, radius), mix(photo.background, _WHITE, rng.uniform(0.2, 0.5)))


def _draw_body(canvas: Canvas, person: Person, photo: Photo) -> None:
    neck = (0.36 + 0.1 * person.jaw) * (1 - 0.25 * person.childness)
    wide = (1.30 + 0.25 * person.jaw) * (1 - 0.2 * person.childness)
    shoulder = 1.42 - 0.12 * person.childness
    body = [(-wide, 3), (-wide, shoulder + 0.3), (-wide * 0.75, shoulder + 0.02), (-neck, shoulder - 0.14)]
    canvas.shape(_mirrored(body), photo.clothes, -0.15)
    canvas.fill(_mirrored([(-neck, 0.6), (-neck, shoulder - 0.1)]), mix(person.skin, _DARK, 0.18), -0.1)
    canvas.ellipse((0, shoulder - 0.12), (neck * 1.02, 0.2), mix(person.skin, _DARK, 0.08), -0.1)


def _draw_head(canvas: Canvas, person: Person) -> None:
    skin, (eye_x, eye_y) = person.skin, _eye_place(person)
    for side in (-1, 1):
        canvas.ellipse((side * person.face_width, eye_y + 0.13), (0.12, 0.2), mix(skin, _DARK, 0.12), -0.1)
    outline = _head_outline(person)
    canvas.shape(outline, mix(skin, _DARK, 0.10))
    canvas.shape([(x * 0.95 - 0.02, y * 0.98 - 0.02) for x, y in outline], skin, 0.03)
    blush = mix(skin, (224, 104, 96), (0.16 + 0.14 * person.childness) * (1 - 0.09 * person.tone))
    radius = 0.15 + 0.06 * person.childness
    for side in (-1, 1):
        canvas.ellipse((side * eye_x * 1.25, eye_y + 0.38), (radius, radius * 0.72), blush, 0.12)


def _draw_beard(canvas: Canvas, person: Person) -> None:
    lower = [(x * 0.985, y * 0.995) for x, y in _head_outline(person) if y > 0.1 and x >= 0]
    lip = _mouth_height(person)
    inner = [(0, lip - 0.13), (0.16, lip - 0.16), (0.30, lip - 0.06), (lower[0][0] * 0.87, lower[0][1])]
    colour = mix(person.skin, person.hair, 0.16 if person.beard < 0.4 else 0.85)
    canvas.shape(_mirrored([*inner, *lower]), colour, 0.05)


def _draw_lines(canvas: Canvas, person: Person) -> None:
    """Draw the lines that come with age: forehead, eyes, from the nose to the mouth."""
    eye_x, eye_y = _eye_place(person)
    colour = mix(person.skin, _DARK, 0.14 + 0.24 * min(1.0, person.wrinkles))
    width = 0.014 + 0.014 * person.wrinkles
    for level in (-0.40, -0.51, -0.62, -0.73)[: round(3.2 * person.wrinkles)]:
        canvas.stroke([(-0.34, level + 0.02), (0, level - 0.015), (0.34, level + 0.02)], width, colour, 0.16)
    for side in (-1, 1) if person.wrinkles > 0.1 else ():
        fold = [(0.19, 0.34), (0.31, 0.5), (0.34, 0.5 + 0.3 * min(1.0, person.wrinkles))]
        bag = [(eye_x + dx, eye_y + 0.17 + dy) for dx, dy in ((-0.12, 0), (0, 0.04), (0.1, 0))]
        feet = [[(eye_x + 0.19, eye_y + slope / 2), (eye_x + 0.31, eye_y + slope)] for slope in (-0.07, 0.02, 0.1)]
        for line in (fold, bag, *feet[: round(3 * person.wrinkles)]):
            canvas.stroke([(side * x, y) for x, y in line], width * 1.2, colour, 0.14)


def _draw_nose(canvas: Canvas, person: Person) -> None:
    _, eye_y = _eye_place(person)
    size, tip = person.nose * (1 - 0.35 * person.childness), 0.34 + 0.07 * person.childness + 0.02 * person.nose
    ridge = [(0.035, eye_y), (0.11 * size, tip - 0.06), (0.03, tip + 0.02), (0.0, eye_y + 0.1)]
    canvas.shape(ridge, mix(person.skin, _DARK, 0.06), 0.26)
    wings = _mirrored([(-0.13 * size, tip - 0.03), (-0.09 * size, tip + 0.035), (0, tip + 0.05)])
    canvas.stroke(wings, 0.038, mix(person.skin, _DARK, 0.20), 0.32, taper=0.7)


def _draw_mouth(canvas: Canvas, person: Person, photo: Photo) -> None:
    level, rise = _mouth_height(person), 0.075 * photo.smile
    half = 0.25 * person.mouth * (1 - 0.22 * person.childness) * (1 + 0.12 * photo.smile)
    full, middle = 0.062 * person.lip_fullness, level + 0.3 * rise
    opening = 0.075 * max(0.35, photo.smile) if photo.is_mouth_open else 0.0
    corner, below = (half, level - rise), middle + opening
    upper = [(0.0, middle - full * 0.6), (half * 0.45, middle - full * 0.9), corner]
    lower = [(half * 0.5, below + full * 0.95), (0.0, below + full * 1.25)]
    canvas.shape(_mirrored([*upper, *lower]), person.lips, 0.22)
    dark = mix(person.lips, _DARK, 0.55)
    if opening:
        inside = [(0.0, middle), (half * 0.86, level - rise), (half * 0.4, below), (0.0, below + opening * 0.25)]
        canvas.shape(_mirrored(inside), dark, 0.22)
        canvas.ellipse((0, middle + opening * 0.3), (half * 0.5, opening * 0.3), _WHITE, 0.22)
    else:
        canvas.stroke([(-half, level - rise), (0, middle), corner], 0.026, dark, 0.22, taper=0.6)


def _draw_eye(canvas: Canvas, person: Person, side: int) -> None:
    """Draw the eye and brow of one side (-1 or 1)."""
    eye_x, y = _eye_place(person)
    x, young = side * eye_x, person.childness
    wide = 0.15 * person.eye_size * (1 + 0.14 * young)
    high = 0.078 * person.eye_size * (1 + 0.55 * young) * (1 - 0.22 * person.wrinkles)
    lid = [(x + wide * dx, y - high * dy) for dx, dy in ((-1, -0.1), (-0.5, 0.85), (0, 1), (0.5, 0.85), (1, -0.1))]
    below = [(x + wide * dx, y + high * dy) for dx, dy in ((0.5, 0.75), (0, 1), (-0.5, 0.75))]
    canvas.shape([*lid, *below], _WHITE, 0.15)
    iris = min(high * 0.98, 0.085)
    for share, colour in ((1, mix(person.eyes, _DARK, 0.25)), (0.86, person.eyes), (0.45, (22, 18, 20))):
        canvas.ellipse((x, y), (iris * share, iris * share), colour, 0.15)
    canvas.ellipse((x + iris * 0.3, y - iris * 0.35), (iris * 0.22, iris * 0.22), _WHITE, 0.15)
    line = mix(_DARK, person.skin, 0.15 * (1 - person.lashes))
    canvas.stroke(lid, 0.024 + 0.022 * person.lashes, line, 0.15, taper=0.5)
    if person.lashes > 0.55:
        canvas.stroke([(x + side * wide * 0.9, y), (x + side * wide * 1.22, y - high * 0.6)], 0.026, _DARK, 0.15)
    level, arch = y - high - 0.125 + 0.03 * (person.brow - 1), 0.035 + 0.02 * (1.2 - person.brow)
    brow = [(x - side * 0.17, level + 0.03), (x + side * 0.04, level - arch), (x + side * 0.21, level + 0.03)]
    colour = mix(person.brow_colour, person.skin, 0.1 + 0.35 * young)
    canvas.stroke(brow, 0.058 * person.brow * (1 - 0.35 * young), colour, 0.15, taper=0.85)


def _draw_glasses(canvas: Canvas, person: Person) -> None:
    eye_x, y = _eye_place(person)
    frame, around = mix(_DARK, person.eyes, 0.25), np.linspace(0, 2 * np.pi, 13)
    for side in (-1, 1):
        ring = np.stack([side * eye_x + 0.225 * np.cos(around), y + 0.03 + 0.185 * np.sin(around)], axis=1)
        canvas.stroke(ring, 0.03, frame, 0.24, taper=0)
        temple = [(side * (eye_x + 0.22), y), (side * person.face_width * 0.92, y - 0.03)]
        canvas.stroke(temple, 0.028, frame, 0.08, taper=0)
    canvas.stroke([(-eye_x + 0.22, y), (0, y - 0.035), (eye_x - 0.22, y)], 0.03, frame, 0.24, taper=0)


def _draw_hair_behind(canvas: Canvas, person: Person) -> None:
    """Draw the hair that is seen behind neck and ears."""
    shade, width = mix(person.hair, _DARK, 0.22), person.face_width
    if person.hair_style in ("long", "bob"):
        is_long = person.hair_style == "long"
        ends = [(width + 0.34, 1.1), (0.75, 1.62)] if is_long else [(width + 0.14, 0.8), (0.5, 0.86)]
        canvas.shape(_mirrored([(0.5, -1.12), (width + 0.2, -0.6), (width + 0.24, 0.25), *ends]), shade, -0.2)
    elif person.hair_style == "curly":
        _draw_curls(canvas, person, np.linspace(-0.35, np.pi + 0.35, 13), 0.2, shade)
    elif person.hair_style == "ponytail":
        tail = [(0.3, -0.95), (width + 0.35, -0.75), (width + 0.48, 0.0), (width + 0.22, 0.75), (width + 0.12, 0.1)]
        canvas.shape(tail, shade, -0.35)


def _draw_hair_in_front(canvas: Canvas, person: Person) -> None:
    """Draw the hair on the head, down to the hairline."""
    style, colour, width = person.hair_style, person.hair, person.face_width
    if style == "bald":
        rim = [(0.92, -0.5), (1.0, -0.1), (0.96, 0.12), (0.88, 0.0), (0.84, -0.35)]
        for side in (-1, 1) if person.age > 35 else ():
            canvas.shape([(side * x * width * 1.03, y) for x, y in rim], colour)
        return
    if style == "buzz":
        colour = mix(person.skin, person.hair, 0.62)
    if style == "curly":
        _draw_curls(canvas, person, np.linspace(0.25, np.pi - 0.25, 9), 0.06, colour)
    out, low = _THICKNESS.get(style, 0.13), _LOWEST.get(style, -0.12)
    reach = width + out * 0.6
    crown = [(reach / 2, -0.98 - 0.9 * out), (0.86 * reach, -0.76 - 0.5 * out), (0.99 * reach, -0.48), (reach, -0.15)]
    level, temple = -0.62 - 0.26 * person.hairline - 0.05 * person.childness, 0.80 * width - 0.12 * person.hairline
    outer, inner = _FRINGE.get(style, (0.06, 0.0))
    fringe = [(width * 0.9, low), (temple + 0.06, -0.3), (temple - 0.06, level + outer), (0.2, level + inner)]
    canvas.shape(_mirrored([(0, -1.06 - out), *crown, (width * 0.99, low), *fringe]), colour, 0.02)


def _draw_curls(canvas: Canvas, person: Person, angles: np.ndarray, out: float, colour: Colour) -> None:
    for number, angle in enumerate(angles.tolist()):
        at = ((person.face_width + out) * np.cos(angle), -0.30 - (0.78 + out) * np.sin(angle))
        radius = 0.21 + 0.04 * (number % 2)
        canvas.ellipse(at, (radius, radius), mix(colour, _DARK, 0.08 * (number % 2)), -0.1)


def _photographed(image: Image.Image, photo: Photo) -> Image.Image:
    """Return the drawing with light from one side, a colour cast and grain."""
    size = image.size
    down, across = np.mgrid[-1:1:24j, -1:1:24j]
    light = photo.exposure + across * photo.light[0] + down * photo.light[1] - 0.05 * (across**2 + down**2)
    tint = np.array([1 + photo.warmth, 1.0, 1 - photo.warmth])
    shade = np.clip(light[..., None] * tint * 250, 0, 255).astype(np.uint8)
    lit = ImageChops.multiply(image, Image.fromarray(shade).resize(size, Image.Resampling.BILINEAR))
    rng = np.random.default_rng(photo.seed)
    left, top = (int(value) for value in rng.integers(0, 1024 - min(size[0], 1023), 2))
    grain = _grain(round(photo.grain)).crop((left, top, left + size[0], top + size[1]))
    return ImageChops.add(lit, grain, offset=-128)


@cache
def _grain(strength: int) -> Image.Image:
    """Return 1024 x 1024 pixels of grey noise around 128 with a standard deviation of ``strength``."""
    noise = np.random.default_rng(strength).normal(128, strength, (1024, 1024))
    return Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).convert("RGB")
