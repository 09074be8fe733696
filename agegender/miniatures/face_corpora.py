"""Miniatures of Adience, CelebA, the two open packs of faces and a table of one's own: drawn people."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from agegender.files import write_text
from agegender.labels import FAIRFACE_9
from agegender.miniatures.people import random_person, random_photo
from agegender.miniatures.subjects import NUM_FOLDS, Face, Subject, even_ranks, random_subjects, take_photos
from agegender.miniatures.writing import draw_photo, write_table, written_once

_ADIENCE_HEADER = (
    "user_id", "original_image", "face_id", "age", "gender", "x", "y", "dx", "dy", "tilt_ang", "fiducial_yaw_angle",
    "fiducial_score",
)  # fmt: skip

YOUNG_BELOW = 40.0
"""Years; a drawn person is ``Young`` below this age, without exception."""

ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip
"""The forty names in the second line of ``list_attr_celeba.txt``, in the order of the release."""


@written_once()
def write_adience(into: Path, num_subjects: int = 48, seed: int = 0, size_px: int = 816) -> None:
    """Write an Adience tree: five fold files and ``aligned/<user>/landmark_aligned_face.<face_id>.<photo>.jpg``.

    Users, and with them subjects, are in one fold each. About six faces for each subject.
    """
    faces = take_photos(random_subjects(num_subjects, seed), seed)
    rows = [_adience_row(face) for face in faces]
    for fold in range(NUM_FOLDS):
        listed = [row for row, face in zip(rows, faces, strict=True) if face.subject.fold == fold]
        write_table(into / f"fold_{fold}_data.txt", _ADIENCE_HEADER, listed, "\t")
    for (user, image, face_id, *_), face in zip(rows, faces, strict=True):
        draw_photo(face, into / "aligned" / user / f"landmark_aligned_face.{face_id}.{image}", size_px)


@written_once("face-fairface")
def write_fairface(into: Path, num_subjects: int = 200, seed: int = 0, size_px: int = 128) -> None:
    """Write the pack ``face-fairface`` below a folder: nine age groups, one face for each subject, no identities.

    The label in the column ``race_label`` is the number of the drawing's skin tone.
    """

    def age(years: float) -> str:
        return FAIRFACE_9.labels[np.searchsorted(FAIRFACE_9.upper, years, side="right")]

    _write_pack(into, "fairface", age, ("age_lo", "age_hi"), (num_subjects, seed, size_px))


@written_once("face-utkface")
def write_utkface(into: Path, num_subjects: int = 200, seed: int = 0, size_px: int = 128) -> None:
    """Write the pack ``face-utkface`` below a folder: age in whole years from 1 on, the rest as in FairFace."""
    _write_pack(into, "utkface", lambda years: str(max(1, int(years))), (), (num_subjects, seed, size_px))


@written_once()
def write_folder(into: Path, num_subjects: int = 48, seed: int = 0, size_px: int = 256) -> None:
    """Write ``images/<subject>/<number>.jpg`` and ``faces.csv`` (path, subject, age in years, gender, split)."""
    rows = []
    for number, face in enumerate(take_photos(random_subjects(num_subjects, seed), seed)):
        person, name = face.subject.person, f"person {face.subject.number:03d}"  # with a space, as people have them
        path = f"images/{name}/{number:05d}.jpg"
        split = ("train", "train", "train", "validation", "test")[face.subject.number % 5]
        rows.append((path, name, f"{person.age:.1f}", person.gender, split))
        draw_photo(face, into / path, size_px)
    write_table(into / "faces.csv", ("path", "subject", "age", "gender", "split"), rows)


def _write_pack(
    into: Path, corpus: str, age: Callable[[float], str], more: Sequence[str], numbers: tuple[int, int, int]
) -> None:
    num_subjects, seed, size_px = numbers
    photos = take_photos(random_subjects(num_subjects, seed), seed, mean_per_subject=2)
    faces = {face.subject.number: face for face in photos}.values()
    labels, extra = [], []
    for number, face in enumerate(faces):
        person, file = face.subject.person, f"img/{number // 1000:02d}/{number:05d}.jpg"
        labels.append((file, "", age(person.age), person.gender[0], f"drawn-{corpus}"))
        extra.append((file, f"drawn-{corpus}", *("" for _ in more), f"tone {person.tone}"))
        draw_photo(face, into / file, size_px)
    write_table(into / "faces.csv", ("file", "subject", "age", "gender", "source"), labels)
    write_table(into / "extra.csv", ("file", "origin", *more, "race_label"), extra)


def _adience_row(face: Face) -> tuple[str, ...]:
    subject, photo = face.subject, face.photo
    rng = np.random.default_rng(photo.seed)
    place = (*rng.integers(0, 2000, 2), *rng.integers(200, 900, 2))
    tilt, yaw = 5 * round(np.degrees(photo.roll) / 5), 15 * round(np.degrees(photo.yaw) / 15)
    user, image = f"{10_000_000 + subject.user}@N00", f"{20_000_000 + face.photo_number}_drawn_o.jpg"
    numbers = (str(int(value)) for value in (*place, tilt, yaw, rng.integers(20, 150)))
    return user, image, str(subject.number + 1), subject.age_label, subject.gender_label, *numbers


@written_once()
def write_celeba(into: Path, num_subjects: int = 48, seed: int = 0, size_px: int = 218) -> None:
    """Write a CelebA tree: lists in ``Anno`` and ``Eval``, pictures in ``Img/img_align_celeba``.

    About six pictures for each person, ``size_px`` high and 178/218 of that wide, upright and centred. A tenth of the
    people each (at least one) is in the validation and in the test part. ``Male``, ``Young`` (below `YOUNG_BELOW`) and
    what else can be seen in a drawing are true; the other attributes are drawn at random. Raises ``ValueError`` for
    fewer than 3 subjects.
    """
    people = _celebrities(num_subjects, seed)
    faces = {f"{n:06d}.jpg": face for n, face in enumerate(_photographed(people, seed), start=1)}
    numbers = 1 + np.random.default_rng([seed, 6]).permutation(num_subjects)  # that say nothing of the part
    lists = {
        "Anno/list_attr_celeba.txt": [_attributes(face) for face in faces.values()],
        "Anno/identity_CelebA.txt": [numbers[face.subject.number] for face in faces.values()],
        "Eval/list_eval_partition.txt": [face.subject.fold for face in faces.values()],
    }
    for name, values in lists.items():
        header = [str(len(faces)), " ".join(ATTRIBUTES) + " "] if name.startswith("Anno/list") else []
        rows = [f"{file} {value}" for file, value in zip(faces, values, strict=True)]
        write_text(into / name, "\n".join([*header, *rows]) + "\n")
    for file, face in faces.items():
        draw_photo(face, into / "Img/img_align_celeba" / file, size_px, round(size_px * 178 / 218))


def _celebrities(num_subjects: int, seed: int) -> list[Subject]:
    """Return grown people; the fold of a subject is the number of its part."""
    if num_subjects < 3:
        raise ValueError(f"a miniature of CelebA needs at least 3 subjects, got {num_subjects}")
    num_held_out = max(1, round(num_subjects / 10))
    rng = np.random.default_rng([seed, 4])
    subjects: list[Subject] = []
    for part, size in enumerate((num_subjects - 2 * num_held_out, num_held_out, num_held_out)):
        for age_rank, gender_rank in zip(even_ranks(rng, size), even_ranks(rng, size), strict=True):
            number, gender = len(subjects), "female" if gender_rank < 0.58 else "male"
            low, high = (16.0, YOUNG_BELOW) if age_rank < 0.77 else (YOUNG_BELOW, 80.0)
            person = random_person(np.random.default_rng([seed, 1, number]), rng.uniform(low, high), gender)
            subjects.append(Subject(number, number, part, person, "", gender[0]))
    return subjects


def _photographed(subjects: list[Subject], seed: int) -> list[Face]:
    """Return the photographs part after part, in each part in random order; at least two for each subject."""
    rng = np.random.default_rng([seed, 5])
    faces = []
    for part in range(3):
        shown = [one for one in subjects if one.fold == part for _ in range(2 + rng.poisson(4))]
        for place in rng.permutation(len(shown)).tolist():
            photo = random_photo(np.random.default_rng([seed, 3, part, place]))
            faces.append(Face(shown[place], place, replace(photo, roll=0.0, centre=(0.5, 0.51))))
    return faces


def _attributes(face: Face) -> str:
    person, photo = face.subject.person, face.photo
    rng = np.random.default_rng(photo.seed)
    seen = {
        "Bald": person.hair_style == "bald",
        "Eyeglasses": person.has_glasses,
        "Male": person.gender == "male",
        "Mouth_Slightly_Open": photo.is_mouth_open,
        "No_Beard": person.beard == 0,
        "Smiling": photo.smile > 0.3,
        "Young": person.age < YOUNG_BELOW,
    }
    return " ".join(f"{1 if seen.get(name, rng.random() < 0.2) else -1:2d}" for name in ATTRIBUTES)
