"""Reading IMDB-WIKI: a MATLAB table of when somebody was born and when a photograph was taken, and cropped faces.

Nobody wrote an age down: it is the year of the photograph minus the birth. Much of the table is therefore wrong, and
what may be used is a choice, made here by `Filters`.

Source: Rothe, Timofte and Van Gool (2018), Deep expectation of real and apparent age from a single image without facial
landmarks, IJCV 126; the corpus is that of their ICCV workshop paper of 2015.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from agegender.corpora.matlab import dates, struct_fields, texts
from agegender.data.manifest import Manifest, build_manifest

CORPORA = ("imdb", "wiki")
AGES = ("years_apart", "mid_year")

_FIELDS = ("dob", "photo_taken", "full_path", "gender", "face_score", "second_face_score")
_PERSON = {"imdb": "celeb_id", "wiki": "name"}
"""The field that says who is shown; only IMDB numbers its people."""


@dataclass(frozen=True)
class Filters:
    """Which rows of the table are used.

    ``one_face_only``: the corpus' own detector found no second face in the photograph. ``ages``: the first and the last
    age, in completed years. ``needs_gender``: the gender is known. ``min_face_score``: the detector's score of the face
    is finite and above this; ``None`` does not look at it, so that pictures without any face (a score of minus
    infinity) stay in.
    """

    one_face_only: bool = True
    ages: tuple[int, int] = (0, 100)
    needs_gender: bool = True
    min_face_score: float | None = None


AS_PUBLISHED = Filters()
"""The filters of the published pipeline, which leaves it to its own detector to find out whether there is a face."""

AS_INTENDED = Filters(min_face_score=1.0)
"""The same without the pictures in which the corpus' detector saw no face, or hardly one."""


def read(
    root: Path,
    corpus: str = "imdb",
    age_of: str = "years_apart",
    filters: Filters = AS_PUBLISHED,
    labels_only: bool = False,
    max_quarantined_share: float = 0.05,
) -> Manifest:
    """Read ``imdb.mat`` or ``wiki.mat`` below ``root`` and find the pictures that it lists, in the order of the table.

    The table is looked for in ``root/imdb``, ``root/imdb_crop``, ``root/imdb/imdb_crop`` and ``root`` itself, the
    pictures in an ``imdb_crop`` there and beside the table (``wiki`` likewise). With ``labels_only`` no picture needs
    to be there.

    ``age_of="years_apart"`` takes the year of birth from the year of the photograph (published: whole years, one too
    many when the birthday was still to come). ``"mid_year"`` is the age in years, with decimals, on 30 June of the
    photograph's year: the best guess when only the year is known.

    ``subject`` is the celebrity's number (IMDB) or a number for their name (WIKI: one page for a person; the names
    themselves are not kept); a row without one is its own subject. Extra columns: ``photo`` (IMDB: the photograph, of
    which several people can have been cut; WIKI: the path), ``photo_year`` and ``face_score``.

    What the filters leave out is quarantined with the reason and is expected, so it does not count for
    ``max_quarantined_share``. That is the share of faults among the other rows: no path or one that leaves the folder,
    no day of birth, no year, a gender that is neither 0 nor 1, a missing picture. Births before the year 1 (a day
    number of 0, say) are filtered: the published rule makes people of about 2000 years of them.

    Raises ``FileNotFoundError`` without a table, ``ValueError`` for a broken one (see ``struct_fields``), for an
    unknown ``corpus`` or ``age_of`` and when no row is left, and ``TooManyQuarantinedError``.
    """
    if corpus not in CORPORA or age_of not in AGES:
        raise ValueError(f"expected one of {CORPORA} and one of {AGES}, got {corpus!r} and {age_of!r}")
    table, pictures = _find(Path(root), corpus)
    fields = struct_fields(table, corpus, (*_FIELDS, _PERSON[corpus]))
    rows = _rows(fields, corpus, age_of)
    faults, filtered = _faults(rows), _filtered(rows, filters)
    wanted = faults.isna() & filtered.isna()
    if not labels_only:
        faults = faults.mask(wanted & ~_present(pictures, rows["path"].where(wanted, "")), "missing file")
    if (wanted := faults.isna() & filtered.isna()).sum() == 0:
        counts = faults.fillna(filtered).value_counts().head(5)
        raise ValueError(
            f"{table}: none of {len(rows)} rows is left: {'; '.join(f'{n} x {reason}' for reason, n in counts.items())}"
        )
    manifest = build_manifest(
        _examples(rows[wanted], fields[_PERSON[corpus]][wanted], corpus),
        _aside(rows, faults),
        root=pictures,
        max_quarantined_share=max_quarantined_share,
    )
    aside = pd.concat([_aside(rows, filtered.where(faults.isna())), manifest.quarantine], ignore_index=True)
    return replace(manifest, quarantine=aside)


def ages(birth: np.ndarray, photo_year: np.ndarray, age_of: str = "years_apart") -> np.ndarray:
    """Return ages in years from births (``datetime64[D]``) and years (float), NaN where either is unknown.

    ``years_apart``: the difference of the years. ``mid_year``: completed years on 30 June, and the share of the year
    that has passed since the last birthday; somebody born on 29 February has it on 1 March in other years.
    """
    known = ~np.isnat(birth) & np.isfinite(photo_year)
    birth, year = birth[known], photo_year[known].astype("int64")
    apart = year - (birth.astype("datetime64[Y]").astype("int64") + 1970)
    found = np.full(known.shape, np.nan)
    if age_of == "years_apart":
        found[known] = apart
        return found
    months = birth.astype("datetime64[M]")
    month, days = months.astype("int64") % 12, birth - months.astype("datetime64[D]")
    is_later = month >= 6  # the birthday is after 30 June

    def birthday(years: np.ndarray) -> np.ndarray:
        return ((years - 1970) * 12 + month).astype("datetime64[M]").astype("datetime64[D]") + days

    middle = ((year - 1970) * 12 + 5).astype("datetime64[M]").astype("datetime64[D]") + np.timedelta64(29, "D")
    last, following = birthday(year - is_later), birthday(year - is_later + 1)
    found[known] = apart - is_later + (middle - last) / (following - last)
    return found


def _find(root: Path, corpus: str) -> tuple[Path, Path]:
    """Return the table of a corpus and the folder of its pictures."""
    crop = f"{corpus}_crop"
    places = [root / corpus, root / crop, root / corpus / crop, root]
    tables = [place / f"{corpus}.mat" for place in places if (place / f"{corpus}.mat").is_file()]
    if not tables:
        raise FileNotFoundError(f"no {corpus}.mat in {', '.join(map(str, places))}: unpack {crop}.tar there")
    beside = tables[0].parent
    crops = [folder for folder in (root / crop, beside / crop) if folder.is_dir()]
    return tables[0], crops[0] if crops else beside


def _rows(fields: dict[str, np.ndarray], corpus: str, age_of: str) -> pd.DataFrame:
    year = fields["photo_taken"]
    year = np.where((year >= 1) & (year <= 9999), np.floor(year), np.nan)
    return pd.DataFrame(
        {
            "path": pd.Series(texts(fields["full_path"]), dtype="str"),
            "age": ages(dates(fields["dob"]), year, age_of),
            "gender": fields["gender"],
            "dob": fields["dob"],
            "photo_year": year,
            "face_score": fields["face_score"],
            "second_face_score": fields["second_face_score"],
        }
    )


def _faults(rows: pd.DataFrame) -> pd.Series:
    """Return for each row why it cannot be understood, missing where it can."""
    reasons = pd.Series(None, index=rows.index, dtype="str")
    is_outside = rows["path"].str.contains(r"^/|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)")
    gender = rows["gender"]
    faults = {
        "gender is neither 0 nor 1 nor missing": gender.notna() & ~gender.isin((0, 1)),
        "no year of the photograph": rows["photo_year"].isna(),
        "no date of birth": rows["age"].isna() & rows["photo_year"].notna() & ~_is_ancient(rows),
        "path leaves the folder": is_outside,
        "no path": rows["path"] == "",
    }
    for reason, is_so in faults.items():
        reasons = reasons.mask(is_so, reason)  # the last reason that holds is the one that is written down
    return reasons


def _is_ancient(rows: pd.DataFrame) -> pd.Series:
    return np.isfinite(rows["dob"]) & (rows["dob"] < 367)


def _filtered(rows: pd.DataFrame, filters: Filters) -> pd.Series:
    """Return for each row which filter leaves it out, missing where none does."""
    reasons = pd.Series(None, index=rows.index, dtype="str")
    years, (first, last) = np.floor(rows["age"]), filters.ages
    left_out = {
        f"age above {last}": years > last,
        f"age below {first}": years < first,
        "born before the year 1": _is_ancient(rows),
        "no gender": rows["gender"].isna() & filters.needs_gender,
        "more than one face": rows["second_face_score"].notna() & filters.one_face_only,
    }
    if filters.min_face_score is not None:
        has_face = np.isfinite(rows["face_score"]) & (rows["face_score"] > filters.min_face_score)
        left_out = {f"face score not above {filters.min_face_score:g}": ~has_face, **left_out}
    for reason, is_so in left_out.items():
        reasons = reasons.mask(is_so, reason)
    return reasons


def _present(folder: Path, paths: pd.Series) -> np.ndarray:
    """Say for each path whether it is a file, listing each folder once: 200,000 single questions take long."""
    parents = paths.str.rpartition("/")[0].unique()
    files: set[str] = set()
    for parent in parents:
        if (folder / parent).is_dir():
            with os.scandir(folder / parent) as entries:
                files |= {f"{parent}/{entry.name}" if parent else entry.name for entry in entries if entry.is_file()}
    return paths.isin(files).to_numpy()


def _examples(rows: pd.DataFrame, person: np.ndarray, corpus: str) -> pd.DataFrame:
    number = pd.Series(person if corpus == "imdb" else pd.factorize(_names(person))[0] + 1.0, index=rows.index)
    is_known = np.isfinite(number) & (number >= 1)
    subject = number.where(is_known, 0).astype("int64").astype("str").where(is_known, rows["path"])
    photo = rows["path"].str.extract(r"_(rm\d+)_", expand=False) if corpus == "imdb" else rows["path"]
    return rows.assign(
        subject=subject,
        gender=rows["gender"].map({0.0: "female", 1.0: "male"}),
        corpus=corpus,
        modality="face",
        photo=photo.fillna(rows["path"]),
        photo_year=rows["photo_year"].astype("Int64"),
    ).drop(columns=["dob", "second_face_score"])[
        ["path", "subject", "age", "gender", "corpus", "modality", "photo", "photo_year", "face_score"]
    ]


def _names(cells: np.ndarray) -> pd.Series:
    names = pd.Series(texts(cells), dtype="str")
    return names.mask(names == "")


def _aside(rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """Return the quarantine of the rows that have a reason; ``row`` counts from 1, as MATLAB does."""
    return pd.DataFrame({"path": rows["path"], "row": rows.index + 1, "reason": reasons})[reasons.notna()]
