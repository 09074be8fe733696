"""Drawing a person as a portrait: background, hair, clothes, head, features, light and grain.

The numbers below are places and sizes in head units (see ``canvas``), found by looking at the drawings.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageChops

from agegender.miniatures.canvas import Canvas, Colour, mix
from agegender.miniatures.faces import Person, Photo
from agegender.miniatures.features import (
    draw_beard,
    draw_eye,
    draw_glasses,
    draw_lines,
    draw_mouth,
    draw_nose,
    eye_place,
    head_outline,
)
from agegender.miniatures.hair import draw_hair_behind, draw_hair_in_front

_WHITE: Colour = (250, 248, 244)
_DARK: Colour = (46, 32, 34)


def draw_face(person: Person, photo: Photo, size_px: int = 816) -> Image.Image:
    """Return a portrait of ``person`` under the conditions of ``photo``, RGB, ``size_px`` x ``size_px``.

    The same arguments give the same pixels.
    """
    canvas = Canvas(size_px, photo.background)
    _draw_background(canvas, photo)
    canvas.look(photo.yaw, photo.roll, photo.scale, photo.centre)
    draw_hair_behind(canvas, person)
    _draw_body(canvas, person, photo)
    _draw_head(canvas, person)
    draw_beard(canvas, person)
    draw_lines(canvas, person)
    draw_nose(canvas, person)
    draw_mouth(canvas, person, photo)
    for side in (-1, 1):
        draw_eye(canvas, person, photo, side)
    if person.has_glasses:
        draw_glasses(canvas, person)
    draw_hair_in_front(canvas, person)
    return _photographed(canvas.finished(), photo)


def _draw_background(canvas: Canvas, photo: Photo) -> None:
    rng = np.random.default_rng(photo.seed)
    base = photo.background
    tint = mix(base, photo.clothes, 0.16)
    if photo.pattern == 0:
        canvas.ellipse((rng.uniform(-0.4, 0.4), 0), (1.45, 1.45), mix(base, _WHITE, 0.45))
    elif photo.pattern == 1:
        edge = rng.uniform(-0.3, 0.3)
        canvas.fill([(edge - 0.4, -2), (3, -2), (3, 3), (edge, 3)], tint)
    elif photo.pattern == 2:
        level = rng.uniform(0.1, 0.7)
        canvas.shape([(-3, level), (-1, level - 0.3), (0.5, level + 0.1), (3, level - 0.25), (3, 4), (-3, 4)], tint)
    else:
        for _ in range(7):
            radius = rng.uniform(0.1, 0.3)
            canvas.ellipse(tuple(rng.uniform(-1.7, 1.7, 2)), (radius, radius), mix(base, _WHITE, rng.uniform(0.2, 0.5)))


def _draw_body(canvas: Canvas, person: Person, photo: Photo) -> None:
    young = person.childness
    neck = (0.36 + 0.1 * person.jaw) * (1 - 0.25 * young)
    wide = (1.30 + 0.25 * person.jaw) * (1 - 0.2 * young)
    shoulder = 1.42 - 0.12 * young
    shade = mix(person.skin, _DARK, 0.18)
    cloth = photo.clothes
    body = [(-wide, 3), (-wide, shoulder + 0.3), (-wide * 0.75, shoulder + 0.02), (-neck, shoulder - 0.14)]
    canvas.shape([*body, *[(-x, y) for x, y in reversed(body)]], cloth, -0.15)
    canvas.fill([(-neck, 0.6), (neck, 0.6), (neck, shoulder - 0.1), (-neck, shoulder - 0.1)], shade, -0.1)
    canvas.ellipse((0, shoulder - 0.12), (neck * 1.02, 0.2), mix(person.skin, _DARK, 0.08), -0.1)
    collar = [
        (-neck, shoulder - 0.14),
        (-neck * 0.6, shoulder),
        (0, shoulder + 0.1),
        (neck * 0.6, shoulder),
        (neck, shoulder - 0.14),
    ]
    canvas.stroke(collar, 0.09, mix(cloth, _DARK, 0.22), -0.12, taper=0.75)


def _draw_head(canvas: Canvas, person: Person) -> None:
    skin, width = person.skin, person.face_width
    eye_x, eye_y = eye_place(person)
    for side in (-1, 1):
        canvas.ellipse((side * width * 1.0, eye_y + 0.13), (0.12, 0.2), mix(skin, _DARK, 0.08), -0.1)
        canvas.ellipse((side * width * 1.01, eye_y + 0.13), (0.06, 0.11), mix(skin, _DARK, 0.22), -0.1)
    outline = head_outline(person)
    canvas.shape(outline, mix(skin, _DARK, 0.10))
    canvas.shape([(x * 0.95 - 0.02, y * 0.98 - 0.02) for x, y in outline], skin, 0.03)
    blush = mix(skin, (224, 104, 96), (0.16 + 0.14 * person.childness) * (1 - 0.09 * person.tone))
    radius = 0.15 + 0.06 * person.childness
    for side in (-1, 1):
        canvas.ellipse((side * eye_x * 1.25, eye_y + 0.38), (radius, radius * 0.72), blush, 0.12)
    rng = np.random.default_rng(person.freckles)
    for _ in range(person.freckles):
        at = (rng.normal(0, 0.3), eye_y + 0.3 + rng.normal(0, 0.07))
        canvas.ellipse(at, (0.013, 0.013), mix(skin, (150, 84, 50), 0.5), 0.2)


def _photographed(image: Image.Image, photo: Photo) -> Image.Image:
    """Return the drawing with light from one side, a colour cast and grain."""
    size = image.size
    down, across = np.mgrid[-1:1:24j, -1:1:24j]
    light = photo.exposure + across * photo.light[0] + down * photo.light[1] - 0.05 * (across**2 + down**2)
    cast = np.array([1 + photo.warmth, 1.0, 1 - photo.warmth])
    shade = np.clip(light[..., None] * cast * 250, 0, 255).astype(np.uint8)
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
