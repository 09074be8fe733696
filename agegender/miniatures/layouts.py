"""Writing drawn people to disk in the formats of the real corpora, so that the same reading code runs on both.

Every writer takes a folder that does not exist yet (or holds an earlier miniature), and the same arguments write the
same bytes. A miniature is complete when its ``miniature.json`` says so; one that is already there is not drawn again,
and what a killed run left behind is written anew.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from agegender.labels import FAIRFACE_9
from agegender.miniatures.casting import NUM_FOLDS, Face, cast_subjects, take_photos
from agegender.miniatures.writing import MARKER as MARKER
from agegender.miniatures.writing import draw_photo, write_once, write_table

_ADIENCE_HEADER = (
    "user_id",
    "original_image",
    "face_id",
    "age",
    "gender",
    "x",
    "y",
    "dx",
    "dy",
    "tilt_ang",
    "fiducial_yaw_angle",
    "fiducial_score",
)


def write_adience(folder: Path, num_subjects: int = 48, seed: int = 0, size_px: int = 816) -> Path:
    """Write an Adience tree: five fold files and ``aligned/<user>/landmark_aligned_face.<face_id>.<photo>.jpg``.

    Users, and with them subjects, are in one fold each. About six faces for each subject. Returns ``folder``.
    """

    def write(into: Path) -> None:
        faces = take_photos(cast_subjects(num_subjects, seed), seed)
        for fold in range(NUM_FOLDS):
            rows = [_adience_row(face) for face in faces if face.subject.fold == fold]
            write_table(into / f"fold_{fold}_data.txt", _ADIENCE_HEADER, rows, "\t")
        for face in faces:
            user, image, face_id = _adience_row(face)[:3]
            draw_photo(face, into / "aligned" / user / f"landmark_aligned_face.{face_id}.{image}", size_px)

    parameters = {"layout": "adience", "num_subjects": num_subjects, "seed": seed, "size_px": size_px}
    return write_once(Path(folder), parameters, write)


def write_fairface(folder: Path, num_subjects: int = 200, seed: int = 0, size_px: int = 128) -> Path:
    """Write the pack ``face-fairface`` below ``folder``: nine age groups, one face for each subject, no identities.

    The label in the column ``race_label`` is the number of the drawing's skin tone. Returns ``folder``.
    """

    def age(years: float) -> str:
        group = FAIRFACE_9.group_of(years)
        assert group is not None
        return FAIRFACE_9.labels[group]

    _write_pack(Path(folder), "fairface", age, ("age_lo", "age_hi"), num_subjects, seed, size_px)
    return Path(folder)


def write_utkface(folder: Path, num_subjects: int = 200, seed: int = 0, size_px: int = 128) -> Path:
    """Write the pack ``face-utkface`` below ``folder``: age in whole years from 1 on, the rest as in FairFace."""
    _write_pack(Path(folder), "utkface", lambda years: str(max(1, int(years))), (), num_subjects, seed, size_px)
    return Path(folder)


def write_folder(folder: Path, num_subjects: int = 48, seed: int = 0, size_px: int = 256) -> Path:
    """Write ``images/<subject>/<number>.jpg`` and ``faces.csv`` (path, subject, age in years, gender, split)."""

    def write(into: Path) -> None:
        rows = []
        for number, face in enumerate(take_photos(cast_subjects(num_subjects, seed), seed)):
            person, name = face.subject.person, f"person {face.subject.number:03d}"  # with a space, as people have them
            path = f"images/{name}/{number:05d}.jpg"
            split = ("train", "train", "train", "validation", "test")[face.subject.number % 5]
            rows.append((path, name, f"{person.age:.1f}", person.gender, split))
            draw_photo(face, into / path, size_px)
        write_table(into / "faces.csv", ("path", "subject", "age", "gender", "split"), rows)

    parameters = {"layout": "folder", "num_subjects": num_subjects, "seed": seed, "size_px": size_px}
    return write_once(Path(folder), parameters, write)


def _write_pack(
    folder: Path,
    corpus: str,
    age: Callable[[float], str],
    more: Sequence[str],
    num_subjects: int,
    seed: int,
    size_px: int,
) -> None:
    def write(into: Path) -> None:
        subjects = cast_subjects(num_subjects, seed)
        faces = list({face.subject.number: face for face in take_photos(subjects, seed, mean_per_subject=2)}.values())
        files = [f"img/{number // 1000:02d}/{number:05d}.jpg" for number in range(len(faces))]
        people = [face.subject.person for face in faces]
        source = f"drawn-{corpus}"
        labels = [(file, "", age(one.age), one.gender[0], source) for file, one in zip(files, people, strict=True)]
        extra = [
            (file, source, *("" for _ in more), f"tone {one.tone}") for file, one in zip(files, people, strict=True)
        ]
        write_table(into / "faces.csv", ("file", "subject", "age", "gender", "source"), labels)
        write_table(into / "extra.csv", ("file", "origin", *more, "race_label"), extra)
        for file, face in zip(files, faces, strict=True):
            draw_photo(face, into / file, size_px)

    parameters = {"layout": corpus, "num_subjects": num_subjects, "seed": seed, "size_px": size_px}
    write_once(folder / f"face-{corpus}", parameters, write)


def _adience_row(face: Face) -> tuple[str, ...]:
    subject, photo = face.subject, face.photo
    rng = np.random.default_rng(photo.seed)
    place = [str(int(value)) for value in (*rng.integers(0, 2000, 2), *rng.integers(200, 900, 2))]
    tilt, yaw = 5 * round(np.degrees(photo.roll) / 5), 15 * round(np.degrees(photo.yaw) / 15)
    return (
        f"{10_000_000 + subject.user}@N00",
        f"{20_000_000 + face.photo_number}_drawn_o.jpg",
        str(subject.number + 1),
        subject.age_label,
        subject.gender_label,
        *place,
        str(tilt),
        str(yaw),
        str(int(rng.integers(20, 150))),
    )
