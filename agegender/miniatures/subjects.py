"""Who is in a miniature, and in which photographs: albums of drawn people, with labels as Adience has them."""

from dataclasses import dataclass

import numpy as np

from agegender.labels import ADIENCE_8
from agegender.miniatures.people import Person, Photo, random_person, random_photo

GROUP_WEIGHTS = (0.14, 0.12, 0.12, 0.10, 0.28, 0.13, 0.05, 0.06)
"""How common the eight age groups of Adience are in a miniature: about as uneven as in the corpus."""

NUM_FOLDS = 5
_FEMALE_SHARE = 0.53
_SUBJECTS_PER_USER = 3
_OTHER_LABELS = (  # the label as written, and the ages it is written for
    ("35", 35, 36), ("None", 1, 80), ("(25, 23)", 25, 33), ("13", 13, 14), ("(38, 42)", 38, 43), ("22", 22, 23),
    ("(27, 32)", 27, 33), ("(8, 23)", 8, 24), ("45", 45, 46), ("(38, 48)", 38, 49), ("3", 3, 4), ("57", 57, 58),
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """One person of a miniature: the album they are in, and the labels that their rows carry as text."""

    number: int
    user: int
    fold: int
    person: Person
    age_label: str
    gender_label: str


@dataclass(frozen=True)
class Face:
    """One face in one photograph: ``photo_number`` is shared by the faces that the photograph shows."""

    subject: Subject
    photo_number: int
    photo: Photo


def random_subjects(num_subjects: int, seed: int) -> list[Subject]:
    """Return people whose ages and genders are as unevenly spread as Adience's, a few of them with its odd labels.

    Every eighth subject has a label that is none of the eight groups, every eleventh the gender ``u``. Subjects of one
    user share an album and a fold. Raises ``ValueError`` for fewer than 5 subjects.
    """
    if num_subjects < NUM_FOLDS:
        raise ValueError(f"a miniature needs at least {NUM_FOLDS} subjects, got {num_subjects}")
    rng = np.random.default_rng([seed, 0])
    users = np.arange(num_subjects) % max(NUM_FOLDS, num_subjects // _SUBJECTS_PER_USER)
    users = users[np.argsort(users % NUM_FOLDS, kind="stable")]  # fold after fold
    age_ranks, gender_ranks = (
        np.concatenate([even_ranks(rng, np.sum(users % NUM_FOLDS == fold)) for fold in range(NUM_FOLDS)]) for _ in "ab"
    )
    subjects = []
    for number, user in enumerate(users):
        label, low, high = _age_label(number, age_ranks[number])
        gender = "female" if gender_ranks[number] < _FEMALE_SHARE else "male"
        person = random_person(np.random.default_rng([seed, 1, number]), rng.uniform(low, high), gender)
        gender_label = "" if label == "None" else "u" if number % 11 == 10 else gender[0]
        subjects.append(Subject(number, int(user), int(user) % NUM_FOLDS, person, label, gender_label))
    return subjects


def even_ranks(rng: np.random.Generator, num: int) -> np.ndarray:
    """Return ``num`` numbers between 0 and 1 in random order, one in each ``num``-th part of the interval."""
    return (rng.permutation(num) + rng.random(num)) / num


def _age_label(number: int, rank: float) -> tuple[str, float, float]:
    """Return a subject's age label and the range of its age in years."""
    if number % 8 == 7:
        return _OTHER_LABELS[number // 8 % len(_OTHER_LABELS)]
    edges = np.cumsum(GROUP_WEIGHTS)
    group = int(np.searchsorted(edges, rank * edges[-1]))
    return ADIENCE_8.labels[group], ADIENCE_8.lower[group], min(ADIENCE_8.upper[group], 88.0)


def take_photos(subjects: list[Subject], seed: int, mean_per_subject: float = 6.0) -> list[Face]:
    """Return the faces in the photographs, about a quarter of which show two people of one album.

    Each subject is in at least two photographs, and in ``mean_per_subject`` on average.
    """
    rng = np.random.default_rng([seed, 2])
    faces: list[Face] = []
    photo_number = 0
    for subject in subjects:
        others = [other for other in subjects if other.user == subject.user and other is not subject]
        for _ in range(2 + rng.poisson(max(0.0, mean_per_subject / 1.25 - 2))):
            shown = [subject]
            if others and rng.random() < 0.25:
                shown.append(others[int(rng.integers(len(others)))])
            for one in shown:
                photo = random_photo(np.random.default_rng([seed, 3, photo_number, one.number]))
                faces.append(Face(one, photo_number, photo))
            photo_number += 1
    return faces
