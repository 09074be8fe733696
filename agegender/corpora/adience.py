"""Reading Adience: five tab-separated fold files, and one aligned photograph of 816 x 816 pixels for each row.

Source: Eidinger, Enbar and Hassner (2014), Age and gender estimation of unfiltered faces, IEEE TIFS 9(12); the folds
and the file format are those of the corpus's own release.
"""

from pathlib import Path

import pandas as pd

from agegender.corpora.tables import first_reason, is_present, read_table, set_aside
from agegender.data.manifest import Manifest, build_manifest
from agegender.labels import ADIENCE_8

NUM_FOLDS = 5
COLUMNS = (
    "user_id", "original_image", "face_id", "age", "gender", "x", "y", "dx", "dy", "tilt_ang", "fiducial_yaw_angle",
    "fiducial_score",
)  # fmt: skip
"""The header of a fold file."""

EXACT_AGES = tuple(str(age) for age in (2, 3, 13, 22, 23, 29, 32, 34, 35, 36, 42, 45, 46, 55, 56, 57, 58))
"""Labels that are one age in years; no published protocol uses them as one of the eight groups."""

OTHER_LABELS = ("None", "(25, 23)", "(27, 32)", "(38, 42)", "(38, 48)", "(8, 23)")
"""Labels that are neither one of the eight groups nor an exact age; ``(25, 23)`` is a slip for ``(25, 32)``."""

SUBSETS = ("joint", "age", "gender", "all")

_GENDERS = {"m": "male", "f": "female", "u": None, "": None}


def read(
    root: Path,
    labels_only: bool = False,
    subset: str = "joint",
    repair_25_23: bool = False,
    max_quarantined_share: float = 0.05,
) -> Manifest:
    """Read the Adience tree below ``root``: ``fold_0_data.txt`` to ``fold_4_data.txt`` and ``aligned/<user>/*.jpg``.

    ``subset`` says which rows are wanted: those with one of the eight groups (``age``), with a gender (``gender``),
    with both (``joint``) or ``all``. ``repair_25_23`` reads the label ``(25, 23)`` as ``(25, 32)``.

    ``subject`` is ``user/face_id`` and ``published_split`` the fold, ``"0"`` to ``"4"``. ``age`` (years) is known
    only for the labels in `EXACT_AGES`; these rows have no ``age_group``. Extra columns: ``user`` (the album's owner),
    ``photo`` (``user/original_image``, can show several subjects), ``face_id``, ``age_label`` (as written), ``repeats``
    (on how many lines the face stands; 117 lines of the release repeat an earlier one) and ``fold_lines`` (how many
    lines the file of its fold has).

    Quarantined are rows with an unknown label or a missing picture, and rows listed twice. Raises ``ValueError`` for
    another number of columns, an empty fold, or a user or face in two folds, and ``FileNotFoundError``.
    """
    if subset not in SUBSETS:
        raise ValueError(f"unknown subset {subset!r}: expected one of {', '.join(SUBSETS)}")
    root = Path(root)
    if not labels_only and not (root / "aligned").is_dir():
        raise FileNotFoundError(
            f"{root / 'aligned'} does not exist: unpack the aligned faces there, or read labels only (--labels-only)"
        )
    folds = [read_table(root / f"fold_{fold}_data.txt", COLUMNS, delimiter="\t") for fold in range(NUM_FOLDS)]
    rows = _rows(pd.concat([table.assign(published_split=str(fold)) for fold, table in enumerate(folds)]), repair_25_23)
    _check_folds(rows)
    rows, aside = set_aside(rows, _reasons(rows, None if labels_only else root))
    share = max_quarantined_share
    rows = rows.drop(columns="gender_label")
    everything = build_manifest(rows, aside, scheme=ADIENCE_8, root=root, is_aligned=True, max_quarantined_share=share)
    wanted = {"joint": ["age_group", "gender"], "age": ["age_group"], "gender": ["gender"], "all": []}[subset]
    return everything.select(everything.examples[wanted].notna().all(axis=1))


def _rows(table: pd.DataFrame, repair_25_23: bool) -> pd.DataFrame:
    user, image, face_id, age, gender = (table[name].str.strip() for name in COLUMNS[:5])
    group_label = age.replace("(25, 23)", "(25, 32)") if repair_25_23 else age
    groups = {label: group for group, label in enumerate(ADIENCE_8.labels)}
    return pd.DataFrame(
        {
            "path": "aligned/" + user + "/landmark_aligned_face." + face_id + "." + image,
            "subject": user + "/" + face_id,
            "age": age.where(age.isin(EXACT_AGES)).astype("float64"),
            "age_group": group_label.map(groups).astype("Int64"),
            "gender": gender.map(_GENDERS),
            "corpus": "adience",
            "modality": "face",
            "published_split": table["published_split"],
            "user": user,
            "photo": user + "/" + image,
            "face_id": face_id,
            "age_label": age,
            "gender_label": gender,
        }
    ).assign(
        repeats=lambda rows: rows.groupby("path")["path"].transform("size").astype("Int64"),
        fold_lines=lambda rows: rows.groupby("published_split")["path"].transform("size").astype("Int64"),
    )


def _check_folds(rows: pd.DataFrame) -> None:
    for column, what in (("user", "users"), ("face_id", "face ids")):
        folds = rows.groupby(column)["published_split"].nunique()
        shared = folds.index[folds > 1]
        if len(shared):
            where = rows.loc[rows[column] == shared[0], "published_split"].unique()
            raise ValueError(
                f"{len(shared)} {what} are in more than one fold: {', '.join(map(repr, shared[:5]))} "
                f"(the first in folds {', '.join(where)}). Are these fold files of one release?"
            )


def _reasons(rows: pd.DataFrame, root: Path | None) -> pd.Series:
    """Say for each row why it cannot be used, missing where it can; ``root`` is ``None`` if pictures do not matter."""
    face_id, age, gender = rows["face_id"], rows["age_label"], rows["gender_label"]
    is_name = rows["photo"].str.fullmatch(r"[^/]+/[^/]+") & ~rows["user"].isin([".", ".."])
    faults: list[tuple[pd.Series, str | pd.Series]] = [
        (~face_id.str.isdecimal(), "face_id " + face_id.map(repr) + " is not a number"),
        (~is_name, "user or image name is empty or a path"),
        (~age.isin([*ADIENCE_8.labels, *EXACT_AGES, *OTHER_LABELS]), "unknown age label " + age.map(repr)),
        (~gender.isin(list(_GENDERS)), "unknown gender " + gender.map(repr)),
    ]
    if root is not None:
        faults.append((~is_present(root, rows["path"]), "missing file"))
    return first_reason(*faults)
