"""Reading a reader's own corpus: files in folders, and one table (CSV) that says what they are."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from agegender.corpora.tables import first_reason, is_present, leaves_folder, read_table, set_aside
from agegender.data.manifest import Manifest, build_manifest
from agegender.labels import SCHEMES, AgeScheme, check_age, parse_gender

_TAKEN = ("corpus", "source_corpus", "modality", "published_split", "repeats", "fold_lines")
"""Columns that a manifest needs itself: a reader's table may not have them."""

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_RECORDINGS = (b"fLaC", b"OggS", b"ID3", b"caff", b".snd", b"NIST_1A")
_OF_CONTAINERS = {b"WEBP": "face", b"WAVE": "voice", b"AIFF": "voice", b"AIFC": "voice"}
_WORDS = {"face": "pictures", "voice": "recordings"}


def read(
    path: Path,
    scheme: AgeScheme | None = None,
    modality: str | None = None,
    is_aligned: bool = False,
    max_quarantined_share: float = 0.05,
    labels_only: bool = False,
) -> Manifest:
    """Read a table of one's own: ``path`` is a CSV file, or a folder that holds exactly one.

    Columns: ``path`` (relative to the folder of the table) and ``subject`` (any name or number, the same for all
    examples of a person), and at least one of ``age`` (years), ``age_group`` (a label of ``scheme``) and ``gender``;
    ``split`` becomes ``published_split``. An empty cell means unknown. Other columns are kept as text. The first bytes
    of the files say whether they are pictures (``modality`` ``face``) or recordings (``voice``); a ``modality`` that is
    given has to agree.

    Missing files and paths that stand twice are quarantined. Anything else that is wrong raises ``ValueError`` naming
    file, line, column, value and what to do; a missing table raises ``FileNotFoundError``.
    """
    table_path = _find_table(Path(path))
    table = read_table(table_path, ("path",), other_columns=True)
    _check_columns(table_path, table, scheme)

    def parsed(column: str, parse: Callable[[str], Any], advice: str) -> list[Any]:
        return _parsed(table_path, table, column, parse, advice)

    rows = table.assign(
        path=parsed("path", _relative_path, "paths are relative to the folder of the table"),
        subject=parsed("subject", _name, "say who is shown, or leave the example out"),
        age=parsed("age", lambda text: check_age(float(text)), "write the age in years, or nothing if it is unknown"),
        age_group=parsed("age_group", scheme.index if scheme else str, "write a label of the scheme, or nothing"),
        gender=parsed("gender", parse_gender, "write female or male, or nothing if it is unknown"),
        published_split=parsed("split", str, ""),
        corpus="folder",
    ).drop(columns="split", errors="ignore")
    if scheme is not None:
        groups = rows["age"].astype("float64").map(scheme.group_of, na_action="ignore")
        rows["age_group"] = rows["age_group"].astype("Int64").fillna(groups.astype("Int64"))
    root = table_path.parent
    present = is_present(root, rows["path"])
    modality = _modality_of([root / name for name in rows.loc[present, "path"]], modality)
    rows, aside = set_aside(rows, first_reason((~present & (not labels_only), "missing file")))
    return build_manifest(
        rows.assign(modality=modality),
        aside,
        scheme=scheme,
        root=root,
        is_aligned=is_aligned,
        max_quarantined_share=max_quarantined_share,
    )


def _find_table(path: Path) -> Path:
    if not path.is_dir():
        return path
    tables = sorted(path.glob("*.csv"))
    if len(tables) != 1:
        found = ", ".join(table.name for table in tables) or "none"
        raise ValueError(f"{path} should hold one CSV table, found {found}: give the path of the table itself")
    return tables[0]


def _check_columns(path: Path, table: pd.DataFrame, scheme: AgeScheme | None) -> None:
    found = ", ".join(table.columns)
    if "subject" not in table:
        raise ValueError(
            f"{path} has no column 'subject' (found {found}): name or number each person, so that nobody is in both "
            "train and test; if nobody occurs twice, number the rows"
        )
    if not {"age", "age_group", "gender"} & set(table.columns):
        raise ValueError(f"{path} has no label column (found {found}): add 'age', 'age_group' or 'gender'")
    taken = sorted({*_TAKEN} & set(table.columns))
    if taken:
        raise ValueError(
            f"{path} has a column {taken[0]!r}, a name that the manifest needs itself: give it another name"
        )
    if "age_group" in table and scheme is None:
        raise ValueError(
            f"{path} has a column 'age_group': say which scheme its labels are from, one of "
            f"{', '.join(sorted(SCHEMES))} ('agegender manifest folder' with --scheme, Python with scheme=), or leave "
            "the column out"
        )


def _parsed(path: Path, table: pd.DataFrame, column: str, parse: Callable[[str], Any], advice: str) -> list[Any]:
    """Return the parsed values of a column, ``None`` for an empty cell or an absent column."""
    if column not in table:
        return [None] * len(table)
    values = []
    for line, text in table[column].str.strip().items():
        try:
            values.append(parse(text) if text or column in ("path", "subject") else None)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}, column {column!r}: {error}; {advice}") from None
    return values


def _relative_path(text: str) -> str:
    if not text or leaves_folder(pd.Series([text])).any():
        raise ValueError(f"{text!r} is not a path inside the folder")
    return text


def _name(text: str) -> str:
    if not text:
        raise ValueError("the subject is empty")
    return text


def _modality_of(paths: Sequence[Path], expected: str | None) -> str:
    """Return ``face`` when the files are pictures, ``voice`` when they are recordings; if none tells, ``expected``.

    Raises ``ValueError`` when there are both kinds, and when they are not as ``expected``.
    """
    found: dict[str, list[Path]] = {}
    for path in paths:
        if kind := _kind(path):
            found.setdefault(kind, []).append(path)
    if len(found) > 1:
        each = " and ".join(f"{len(of)} {_WORDS[kind]} (first {of[0].name!r})" for kind, of in sorted(found.items()))
        raise ValueError(f"the table lists {each}: give each kind a table of its own")
    kind = next(iter(found), expected or "face")
    if expected not in (None, kind):
        first = found[kind][0]
        raise ValueError(f"{first} and the others are {_WORDS[kind]}, and {_WORDS[str(expected)]} are asked for")
    return kind


def _kind(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(12)
    if start.startswith(_PICTURES):
        return "face"
    if start[:4] in (b"RIFF", b"RF64", b"FORM"):
        return _OF_CONTAINERS.get(start[8:12])
    is_mpeg = len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0  # MP3 without a tag
    return "voice" if is_mpeg or start.startswith(_RECORDINGS) else None
