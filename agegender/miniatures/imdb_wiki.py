"""Writing drawn people as IMDB-WIKI has them: a MATLAB table of births and years, with faults, and cropped faces."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from agegender.miniatures.people import Person, random_person
from agegender.miniatures.subjects import Face, Subject, random_subjects, take_photos
from agegender.miniatures.writing import draw_photo, written_once

FAULTS = {"second face": 0.25, "no face": 0.08, "no gender": 0.03, "no birth": 0.02, "somebody else": 0.04}
"""The share of rows with each fault: at most one in a row, and none in the first photograph of a person."""

_DATENUM_AHEAD = 366  # MATLAB counts days from the year 0, Python from the year 1
_NO_BIRTH = 213  # 31 July of the year 0, a day that the real tables have
_HEADER = b"MATLAB 5.0 MAT-file of drawn people who do not exist".ljust(116)


@dataclass(frozen=True)
class _Row:
    face: Face
    path: str
    name: str
    birth: int  # MATLAB's day number
    year: int
    fault: str


@written_once("imdb_crop")
def write_imdb(into: Path, num_subjects: int = 48, seed: int = 0, size_px: int = 224) -> None:
    """Write ``imdb_crop`` below a folder: ``imdb.mat`` and ``14/nm0000114_rm100004096_1960-5-1_1999.jpg`` etc.

    About six photographs of each person from several years. The table has ten fields, sorted rows and `FAULTS`.
    """

    def path(face: Face, birth: str, year: int) -> str:
        number, photo = 100 + 7 * face.subject.number, 100_000_000 + 4096 * face.photo_number
        year_month_day = "-".join(str(int(part)) for part in birth.split("-"))  # without leading zeros
        return f"{number % 100:02d}/nm{number:07d}_rm{photo}_{year_month_day}_{year}.jpg"

    _write(into, "imdb", path, 6, (num_subjects, seed, size_px))


@written_once("wiki_crop")
def write_wiki(into: Path, num_subjects: int = 48, seed: int = 0, size_px: int = 224) -> None:
    """Write ``wiki_crop`` below a folder: ``wiki.mat``, which does not number people, and a few faces each.

    Files are called ``37/10000037_1960-05-01_1999.jpg``, by the number of a page. The rest is as for ``write_imdb``.
    """

    def path(face: Face, birth: str, year: int) -> str:
        page = 10_000_000 + 37 * face.subject.number
        return f"{page % 100:02d}/{page}_{birth}_{year}.jpg"

    _write(into, "wiki", path, 2, (num_subjects, seed, size_px))


def _write(
    into: Path, corpus: str, path: Callable[[Face, str, int], str], mean_per_subject: int, numbers: tuple[int, int, int]
) -> None:
    num_subjects, seed, size_px = numbers
    faces = take_photos(random_subjects(num_subjects, seed), seed, mean_per_subject)
    first = {face.subject.number: face for face in reversed(faces)}
    drawn = [_row(face, seed, path, face is first[face.subject.number]) for face in faces]
    found = {row.path: row for row in reversed(drawn)}
    rows = sorted(found.values(), key=lambda row: (row.face.subject.number, row.path))
    _write_table(into / f"{corpus}.mat", corpus, rows, size_px)
    for row in rows:
        _draw(row, into / row.path, size_px, seed)


def _row(face: Face, seed: int, path: Callable[[Face, str, int], str], is_first: bool) -> _Row:
    subject = face.subject
    first_year = int(np.random.default_rng([seed, 4, subject.number]).integers(1970, 1995))
    born = date(first_year, 6, 30) - timedelta(days=round(subject.person.age * 365.2425))
    rng = np.random.default_rng([seed, 5, face.photo_number, subject.number])
    later = int(rng.integers(0, 1 + min(20, 95 - int(subject.person.age))))  # years; nobody grows older than 95
    fault = "" if is_first else str(rng.choice([*FAULTS, ""], p=[*FAULTS.values(), 1 - sum(FAULTS.values())]))
    written = "0000-07-31" if fault == "no birth" else born.isoformat()
    return _Row(
        face=replace(face, subject=_grown(subject, subject.person.age + later, seed)),
        path=path(face, written, first_year + later),
        name=f"Drawn Person {subject.number:04d}",
        birth=_NO_BIRTH if fault == "no birth" else born.toordinal() + _DATENUM_AHEAD,
        year=first_year + later,
        fault=fault,
    )


def _grown(subject: Subject, age: float, seed: int) -> Subject:
    """Return the subject ``age`` years old: the same face, with that age's hair, lines and beard."""

    def drawn(years: float) -> Person:
        return random_person(np.random.default_rng([seed, 6, subject.number]), years, subject.person.gender)

    then, now = drawn(subject.person.age), drawn(age)
    names = ("age", "hair", "brow_colour", "wrinkles", "hairline", "beard")
    return replace(subject, person=replace(then, **{name: getattr(now, name) for name in names}))


def _draw(row: _Row, path: Path, size_px: int, seed: int) -> None:
    face = row.face
    if row.fault == "no face":
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size_px, size_px), face.photo.background).save(path, "JPEG")
        return
    if row.fault == "somebody else":
        other = face.subject.number + 1
        gender = "male" if other % 2 else "female"
        person = random_person(np.random.default_rng([seed, 7, other]), 20 + other % 50, gender)
        face = replace(face, subject=replace(face.subject, person=person))
    draw_photo(face, path, size_px)


def _write_table(path: Path, corpus: str, rows: Sequence[_Row], size_px: int) -> None:
    faults = np.array([row.fault for row in rows])
    scores = np.array([1.2 + row.face.photo.exposure * 4 for row in rows])
    genders = np.array([float(row.face.subject.person.gender == "male") for row in rows])
    fields = {
        "dob": np.array([[row.birth for row in rows]], dtype=np.int32),
        "photo_taken": np.array([[row.year for row in rows]], dtype=np.uint16),
        "full_path": _cells([row.path for row in rows]),
        "gender": np.where(faults == "no gender", np.nan, genders)[None],
        "name": _cells([row.name for row in rows]),
        "face_location": _cells([_location(row, size_px) for row in rows]),
        "face_score": np.where(faults == "no face", -np.inf, scores)[None],
        "second_face_score": np.where(faults == "second face", scores - 1, np.nan)[None],
    }
    if corpus == "imdb":
        names = sorted({row.name for row in rows})
        fields["celeb_names"] = _cells(names)
        fields["celeb_id"] = np.array([[1 + names.index(row.name) for row in rows]], dtype=np.uint16)
    savemat(path, {corpus: fields})
    with path.open("r+b") as file:  # the header would say when it was written
        file.write(_HEADER)


def _cells(values: Sequence) -> np.ndarray:
    cells = np.empty((1, len(values)), dtype=object)
    cells[0, :] = values
    return cells


def _location(row: _Row, size_px: int) -> np.ndarray:
    """Return left, top, right and bottom of the face in pixels, ``(1, 4)``; the whole picture if there is none."""
    if row.fault == "no face":
        return np.array([[1.0, 1.0, size_px, size_px]])
    (x, y), half = row.face.photo.centre, row.face.photo.scale
    return np.array([[x - half, y - half, x + half, y + half]]) * size_px
