"""Reading a reader's own corpus: files in folders, and one table (CSV) that says what they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from agegender.corpora.contents import modality_of
from agegender.corpora.tables import LINE, read_table
from agegender.data.manifest import Manifest, build_manifest
from agegender.labels import SCHEMES, AgeScheme, check_age, parse_gender

COLUMNS = ("path", "subject", "age", "age_group", "gender", "split")
"""The columns that are read; further columns are kept as they are."""
TAKEN = ("corpus", "source_corpus", "modality", "published_split", "repeats", "fold_lines")
"""Columns that a manifest needs itself: a reader's table may not have them."""


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
    examples of a person), and at least one of ``age`` (years), ``age_group`` (a label of ``scheme``, in quotes if it
    has a comma) and ``gender``; ``split`` becomes ``published_split``. An empty cell means unknown. Other columns are
    kept as text. ``is_aligned`` says that every picture is filled by one upright face, so that none has to be found in
    it. The first bytes of the files say whether they are pictures (``modality`` ``face``) or recordings (``voice``);
    a ``modality`` that is given has to agree. With ``labels_only`` no file needs to be there, and it has to be given.

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
    )
    root = table_path.parent
    present = pd.Series([labels_only or (root / name).is_file() for name in rows["path"]], index=rows.index)
    if not labels_only:
        modality = modality_of([root / name for name in rows.loc[present, "path"]], modality)
    aside = rows.loc[~present, ["path"]].assign(row=rows.loc[~present, LINE], reason="missing file")
    return build_manifest(
        rows[present].assign(modality=modality).set_index(LINE).drop(columns="split", errors="ignore"),
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
    found = ", ".join(name for name in table.columns if name != LINE)
    if "subject" not in table:
        raise ValueError(
            f"{path} has no column 'subject' (found {found}): name or number each person, so that nobody is in both "
            "train and test; if nobody occurs twice, number the rows"
        )
    if not {"age", "age_group", "gender"} & set(table.columns):
        raise ValueError(f"{path} has no label column (found {found}): add 'age', 'age_group' or 'gender'")
    taken = sorted({*TAKEN} & set(table.columns))
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
    for line, text in zip(table[LINE], table[column].str.strip(), strict=True):
        try:
            values.append(parse(text) if text or column in ("path", "subject") else None)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}, column {column!r}: {error}; {advice}") from None
    return values


def _relative_path(text: str) -> str:
    if not text or Path(text).is_absolute() or ".." in Path(text).parts:
        raise ValueError(f"{text!r} is not a path inside the folder")
    return text


def _name(text: str) -> str:
    if not text:
        raise ValueError("the subject is empty")
    return text
