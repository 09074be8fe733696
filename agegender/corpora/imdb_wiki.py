"""Reading IMDB-WIKI: a MATLAB table of when somebody was born and when a photograph was taken, and cropped faces.

Used are, as in the published pipeline, rows with one face in the photograph, an age of 0 to 100 completed years and a
known gender, and on request those whose face has a score.

Source: Rothe, Timofte and Van Gool (2018), Deep expectation of real and apparent age from a single image without facial
landmarks, IJCV 126; the corpus is that of their ICCV workshop paper of 2015.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import loadmat

from agegender.corpora.tables import first_reason, is_present, leaves_folder, quarantine_of, set_aside
from agegender.data.manifest import Manifest, build_manifest

CORPORA = ("imdb", "wiki")
AGES = ("years_apart", "mid_year")
OLDEST = 100

_FIRST, _END = 367, 3652426  # MATLAB's numbers of the first day of the years 1 and 10000; 1 is that of the year 0

_FIELDS = ("dob", "photo_taken", "full_path", "gender", "face_score", "second_face_score")
_PERSON = {"imdb": "celeb_id", "wiki": "name"}  # the field that says who is shown; only IMDB numbers its people


def read(
    root: Path,
    corpus: str = "imdb",
    age_of: str = "years_apart",
    min_face_score: float | None = None,
    labels_only: bool = False,
    max_quarantined_share: float = 0.05,
) -> Manifest:
    """Read ``imdb.mat`` or ``wiki.mat`` below ``root`` and find the pictures that it lists, in the order of the table.

    The table is looked for in ``root/imdb``, ``root/imdb_crop``, ``root/imdb/imdb_crop`` and ``root``, the pictures in
    an ``imdb_crop`` there and beside the table (``wiki`` likewise). With ``labels_only`` no picture is looked for.

    ``age_of="years_apart"`` takes the year of birth from the year of the photograph (published: whole years).
    ``"mid_year"`` is the age in years, with decimals, on 30 June of the photograph's year. With ``min_face_score`` the
    detector's score of the face has to be finite and above it; ``None`` keeps pictures without any face too.

    ``subject`` is the celebrity's number (IMDB) or a number for their name (WIKI); a row without one is its own
    subject. Extra columns: ``photo`` (IMDB: the photograph, of which several people can have been cut; WIKI: the path),
    ``photo_year`` and ``face_score``.

    What the filters leave out is quarantined and does not count for ``max_quarantined_share``. That is the share of
    faults among the other rows: no path or one that leaves the folder, no day of birth, no year, a gender that is
    neither 0 nor 1, a missing picture. Raises ``FileNotFoundError`` without a table, ``ValueError`` for a broken one or
    when no row is left.
    """
    if corpus not in CORPORA or age_of not in AGES:
        raise ValueError(f"expected one of {CORPORA} and one of {AGES}, got {corpus!r} and {age_of!r}")
    table, pictures = _find(Path(root), corpus)
    fields = struct_fields(table, corpus, (*_FIELDS, _PERSON[corpus]))
    rows = _rows(fields, corpus, age_of)
    faults, filtered = _faults(rows), _filtered(rows, min_face_score)
    wanted = faults.isna() & filtered.isna()
    if not labels_only:
        faults = faults.mask(wanted & ~is_present(pictures, rows["path"].where(wanted, "")), "missing file")
    if (wanted := faults.isna() & filtered.isna()).sum() == 0:
        counts = faults.fillna(filtered).value_counts().head(5).items()
        reasons = "; ".join(f"{number} x {reason}" for reason, number in counts)
        raise ValueError(f"{table}: none of {len(rows)} rows is left: {reasons}")
    _, aside = set_aside(rows, faults)
    manifest = build_manifest(
        _examples(rows[wanted], fields[_PERSON[corpus]][wanted], corpus),
        aside,
        root=pictures,
        max_quarantined_share=max_quarantined_share,
    )
    is_out = faults.isna() & filtered.notna()
    left_out = quarantine_of(rows[is_out], filtered[is_out])
    return replace(manifest, quarantine=pd.concat([left_out, manifest.quarantine], ignore_index=True))


def ages(birth: np.ndarray, photo_year: np.ndarray, age_of: str = "years_apart") -> np.ndarray:
    """Return ages in years from births (``datetime64[D]``) and years (float), NaN where either is unknown.

    ``mid_year``: completed years on 30 June, and the share of the year that has passed since the last birthday;
    somebody born on 29 February has it on 1 March in other years.
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
            "path": np.array(texts(fields["full_path"]), dtype=object),
            "age": ages(dates(fields["dob"]), year, age_of),
            "gender": fields["gender"],
            "dob": fields["dob"],
            "photo_year": year,
            "face_score": fields["face_score"],
            "second_face_score": fields["second_face_score"],
        },
        index=np.arange(1, len(year) + 1),  # MATLAB counts from 1
    )


def _faults(rows: pd.DataFrame) -> pd.Series:
    """Return for each row why it cannot be understood, missing where it can."""
    gender = rows["gender"]
    return first_reason(
        (rows["path"] == "", "no path"),
        (leaves_folder(rows["path"]), "path leaves the folder"),
        (rows["age"].isna() & rows["photo_year"].notna() & ~_is_ancient(rows), "no date of birth"),
        (rows["photo_year"].isna(), "no year of the photograph"),
        (gender.notna() & ~gender.isin((0, 1)), "gender is neither 0 nor 1 nor missing"),
    )


def _is_ancient(rows: pd.DataFrame) -> pd.Series:
    return np.isfinite(rows["dob"]) & (rows["dob"] < _FIRST)


def _filtered(rows: pd.DataFrame, min_face_score: float | None) -> pd.Series:
    """Return for each row which filter leaves it out, missing where none does."""
    years, score = np.floor(rows["age"]), rows["face_score"]
    left_out: list[tuple[pd.Series, str | pd.Series]] = [
        (rows["second_face_score"].notna(), "more than one face"),
        (rows["gender"].isna(), "no gender"),
        (_is_ancient(rows), "born before the year 1"),
        (years < 0, "age below 0"),
        (years > OLDEST, f"age above {OLDEST}"),
    ]
    if min_face_score is not None:
        has_face = np.isfinite(score) & (score > min_face_score)
        left_out.append((~has_face, f"face score not above {min_face_score:g}"))
    return first_reason(*left_out)


def _examples(rows: pd.DataFrame, person: np.ndarray, corpus: str) -> pd.DataFrame:
    if corpus == "wiki":  # which has names and no numbers
        names = pd.Series(texts(person), dtype="str")
        person = pd.factorize(names.mask(names == ""))[0] + 1.0
    number = pd.Series(person, index=rows.index)
    is_known = np.isfinite(number) & (number >= 1)
    photo = rows["path"].str.extract(r"_(rm\d+)_", expand=False) if corpus == "imdb" else rows["path"]
    return pd.DataFrame(
        {
            "path": rows["path"],
            "subject": number.where(is_known, 0).astype("int64").astype("str").where(is_known, rows["path"]),
            "age": rows["age"],
            "gender": rows["gender"].map({0.0: "female", 1.0: "male"}),
            "corpus": corpus,
            "modality": "face",
            "photo": photo.fillna(rows["path"]),
            "photo_year": rows["photo_year"].astype("Int64"),
            "face_score": rows["face_score"],
        }
    )


def struct_fields(path: Path, variable: str, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """Return ``fields`` of the struct ``variable`` in a MATLAB file, each as a one-dimensional array of equal length.

    Numbers come as float64, cells as objects (see ``texts``). Raises ``ValueError`` naming the file and what was found
    for one that is damaged, cut short or of version 7.3 (HDF5), and for a variable or field that is missing, is not
    what it should be or has another length than the first field.
    """
    struct = _load(Path(path), variable)
    if struct.dtype.names is None or struct.size != 1:
        raise ValueError(f"{path}: {variable!r} is not one struct but {struct.dtype} of shape {struct.shape}")
    missing = [name for name in fields if name not in struct.dtype.names]
    if missing:
        found = ", ".join(struct.dtype.names)
        raise ValueError(f"{path}: {variable!r} lacks the fields {', '.join(missing)}; it has {found}")
    arrays = {name: np.ravel(struct.ravel()[0][name]) for name in fields}
    if len({len(values) for values in arrays.values()}) != 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in arrays.items())
        raise ValueError(f"{path}: the fields of {variable!r} differ in length: {lengths}")
    for name, values in arrays.items():
        if values.dtype.kind not in "Obiuf":
            raise ValueError(f"{path}: the field {name!r} holds neither numbers nor cells but {values.dtype}")
    return {name: values if values.dtype.kind == "O" else values.astype("float64") for name, values in arrays.items()}


def texts(cells: np.ndarray) -> list[str]:
    """Return the text of each cell, ``""`` for a cell that is empty or holds no text."""
    is_text = [isinstance(cell, np.ndarray) and cell.dtype.kind == "U" and cell.size > 0 for cell in cells]
    return [str(cell.flat[0]).strip() if has_text else "" for cell, has_text in zip(cells, is_text, strict=True)]


def dates(datenums: np.ndarray) -> np.ndarray:
    """Return MATLAB's day numbers as ``datetime64[D]``, ``NaT`` for what is no day in the years 1 to 9999.

    >>> dates(np.array([736330.0, 0.0]))
    array(['2016-01-01',        'NaT'], dtype='datetime64[D]')
    """
    is_date = (datenums >= _FIRST) & (datenums < _END)
    days = np.floor(np.where(is_date, datenums, 1)).astype("int64")
    return np.where(is_date, np.datetime64("0000-01-01", "D") + (days - 1), np.datetime64("NaT", "D"))


def _load(path: Path, variable: str) -> np.ndarray:
    try:
        contents = loadmat(path, variable_names=[variable])
    except NotImplementedError as error:
        advice = "save it as version 7, with save(..., '-v7')"
        raise ValueError(f"{path} is a MATLAB file of version 7.3 (HDF5): {advice}") from error
    except Exception as error:  # of a damaged file scipy raises whatever it stumbles over
        raise ValueError(f"{path} is damaged, cut short or no MATLAB file ({error}): unpack it again") from error
    if variable not in contents:
        raise ValueError(f"{path} holds no variable {variable!r}: is it the file of another corpus?")
    return np.asarray(contents[variable])
