"""Photographs of drawn people in which the detector finds the face: no picture of a real person is in this project."""

import numpy as np
from PIL import Image

from agegender.miniatures.people import random_person, random_photo
from agegender.miniatures.portrait import draw_face


def draw(size_px, number=0):
    """A square portrait of one of several grown women and men."""
    rng = np.random.default_rng([6, number])
    person = random_person(rng, 30, ("female", "male")[number % 2])
    return draw_face(person, random_photo(rng), size_px)


def photo_of(face, width=320, height=260):
    """A photograph in which ``face`` is a part of a plain wall."""
    photo = Image.new("RGB", (width, height), (196, 205, 200))
    photo.paste(face, ((width - face.width) // 2, (height - face.height) // 2))
    return photo
