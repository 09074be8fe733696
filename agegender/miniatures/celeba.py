"""A miniature of CelebA: drawn celebrities, with three text lists and pictures as the release's archives unpack."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from agegender.files import write_text
from agegender.miniatures.casting import Face, Subject
from agegender.miniatures.faces import random_person, random_photo
from agegender.miniatures.writing import draw_photo, write_once

YOUNG_BELOW = 40.0
"""Years; a drawn person is ``Young`` below this age, without exception."""

_ASPECT = 178 / 218
_FEMALE_SHARE = 0.58
_YOUNG_SHARE = 0.77
_MEAN_PHOTOS = 6
_PARTS = ("train", "validation", "test")

_CHANCES = {  # of being noted for a woman and for a man, by the names and in the order of the release
    "5_o_Clock_Shadow": (0.00, 0.26),
    "Arched_Eyebrows": (0.43, 0.04),
    "Attractive": (0.68, 0.28),
    "Bags_Under_Eyes": (0.10, 0.35),
    "Bald": (0.00, 0.05),
    "Bangs": (0.20, 0.09),
    "Big_Lips": (0.30, 0.15),
    "Big_Nose": (0.10, 0.43),
    "Black_Hair": (0.20, 0.30),
    "Blond_Hair": (0.24, 0.02),
    "Blurry": (0.05, 0.06),
    "Brown_Hair": (0.25, 0.15),
    "Bushy_Eyebrows": (0.07, 0.25),
    "Chubby": (0.01, 0.12),
    "Double_Chin": (0.01, 0.10),
    "Eyeglasses": (0.02, 0.12),
    "Goatee": (0.00, 0.15),
    "Gray_Hair": (0.01, 0.09),
    "Heavy_Makeup": (0.66, 0.00),
    "High_Cheekbones": (0.56, 0.31),
    "Male": (0.00, 1.00),
    "Mouth_Slightly_Open": (0.53, 0.42),
    "Mustache": (0.00, 0.10),
    "Narrow_Eyes": (0.11, 0.12),
    "No_Beard": (1.00, 0.61),
    "Oval_Face": (0.33, 0.22),
    "Pale_Skin": (0.06, 0.02),
    "Pointy_Nose": (0.34, 0.19),
    "Receding_Hairline": (0.05, 0.12),
    "Rosy_Cheeks": (0.11, 0.00),
    "Sideburns": (0.00, 0.13),
    "Smiling": (0.54, 0.40),
    "Straight_Hair": (0.19, 0.23),
    "Wavy_Hair": (0.45, 0.14),
    "Wearing_Earrings": (0.31, 0.02),
    "Wearing_Hat": (0.02, 0.08),
    "Wearing_Lipstick": (0.80, 0.01),
    "Wearing_Necklace": (0.20, 0.01),
    "Wearing_Necktie": (0.00, 0.17),
    "Young": (0.88, 0.63),
}
ATTRIBUTES = tuple(_CHANCES)
"""The forty names in the second line of ``list_attr_celeba.txt``, in the order of the release."""


def write_celeba(folder: Path, num_subjects: int = 48, seed: int = 0, size_px: int = 218) -> Path:
    """Write a CelebA tree: lists in ``Anno`` and ``Eval``, pictures in ``Img/img_align_celeba``.

    About six pictures for each person, ``size_px`` high and 178/218 of that wide, upright and centred as aligned faces
    are. The first people are of the training part, a tenth of them each (at least one) of the other two; files are
    numbered part after part, and in each part the people are mixed. ``Male``, ``Young`` (below `YOUNG_BELOW`) and
    what else can be seen in a drawing are true; the other attributes are drawn at random. Returns ``folder``. Raises
    ``ValueError`` for fewer than 3 subjects.
    """
    faces = list(_numbered(_cast(num_subjects, seed), seed))
    names = [f"{number:06d}.jpg" for number in range(1, len(faces) + 1)]
    celebrities = 1 + np.random.default_rng([seed, 6]).permutation(num_subjects)  # numbers that say nothing of the part

    def write(into: Path) -> None:
        rows = [f"{name} {_attributes(face)}" for name, face in zip(names, faces, strict=True)]
        write_text(into / "Anno/list_attr_celeba.txt", _text([str(len(rows)), " ".join(ATTRIBUTES) + " ", *rows]))
        identities = [celebrities[face.subject.number] for face in faces]
        parts = [face.subject.fold for face in faces]
        for name, values in (("Anno/identity_CelebA.txt", identities), ("Eval/list_eval_partition.txt", parts)):
            write_text(into / name, _text([f"{file} {value}" for file, value in zip(names, values, strict=True)]))
        for name, face in zip(names, faces, strict=True):
            draw_photo(face, into / "Img/img_align_celeba" / name, size_px, round(size_px * _ASPECT))

    parameters = {"layout": "celeba", "num_subjects": num_subjects, "seed": seed, "size_px": size_px}
    return write_once(Path(folder), parameters, write)


def _cast(num_subjects: int, seed: int) -> list[Subject]:
    """Return grown people; in each part ages and genders are spread as evenly as their shares allow.

    The fold of a subject is the number of its part.
    """
    if num_subjects < len(_PARTS):
        raise ValueError(f"a miniature of CelebA needs at least {len(_PARTS)} subjects, got {num_subjects}")
    num_held_out = max(1, round(num_subjects / 10))
    sizes = (num_subjects - 2 * num_held_out, num_held_out, num_held_out)
    rng = np.random.default_rng([seed, 4])
    subjects: list[Subject] = []
    for part, size in enumerate(sizes):
        ranks = [(rng.permutation(size) + rng.random(size)) / size for _ in range(2)]
        for age_rank, gender_rank in zip(*ranks, strict=True):
            number, gender = len(subjects), "female" if gender_rank < _FEMALE_SHARE else "male"
            low, high = (16.0, YOUNG_BELOW) if age_rank < _YOUNG_SHARE else (YOUNG_BELOW, 80.0)
            person = random_person(np.random.default_rng([seed, 1, number]), rng.uniform(low, high), gender)
            subjects.append(Subject(number, number, part, person, "", gender[0]))
    return subjects


def _numbered(subjects: list[Subject], seed: int) -> Iterator[Face]:
    """Yield the photographs part after part, in each part in random order; at least two for each subject."""
    rng = np.random.default_rng([seed, 5])
    for part in range(len(_PARTS)):
        shown = [one for one in subjects if one.fold == part for _ in range(2 + rng.poisson(_MEAN_PHOTOS - 2))]
        for place in rng.permutation(len(shown)):
            subject = shown[place]
            photo = random_photo(np.random.default_rng([seed, 3, part, int(place)]))
            yield Face(subject, int(place), replace(photo, roll=0.0, centre=(0.5, 0.51)))


def _attributes(face: Face) -> str:
    person, photo = face.subject.person, face.photo
    rng = np.random.default_rng(photo.seed)
    noted = {name: rng.random() < chances[person.gender == "male"] for name, chances in _CHANCES.items()}
    noted |= {
        "Bald": person.hair_style == "bald",
        "Eyeglasses": person.has_glasses,
        "Male": person.gender == "male",
        "Mouth_Slightly_Open": photo.is_mouth_open,
        "No_Beard": person.beard == 0,
        "Smiling": photo.smile > 0.3,
        "Young": person.age < YOUNG_BELOW,
    }
    return " ".join(f"{1 if noted[name] else -1:2d}" for name in ATTRIBUTES)


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
