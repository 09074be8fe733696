"""Reading the text lists of CelebA: columns between blanks, with a fault named by file, line and value."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from agegender.corpora.tables import LINE

_VALUES = {"1", "-1"}


def attribute_list(path: Path, wanted: Sequence[str]) -> pd.DataFrame:
    """Read a list of attributes: the number of images, the names of the attributes, one row for each image.

    Returns ``file``, one column of text (``1`` or ``-1``) for each of the ``wanted`` attributes, ``reason`` (what is
    wrong with the values of the row, missing if nothing is) and `LINE`. Attributes are found by their names.

    Raises ``FileNotFoundError`` for a missing file, and ``ValueError`` naming file and line for a first line that is
    not a number or not the number of rows, names that stand twice, a wanted name that is missing, a row with another
    number of values than there are names, and an image that stands twice.
    """
    lines = _lines(path)
    number, names = _header(path, lines, wanted)
    places = [names.index(name) + 1 for name in wanted]
    rows = []
    for line, fields in lines:
        if len(fields) != len(names) + 1:
            raise ValueError(
                f"{path}, line {line}: expected a file and {len(names)} values, one for each name in line 2; "
                f"found {len(fields) - 1} values after {fields[0]!r}"
            )
        reason = None if _VALUES.issuperset(fields[1:]) else _reason(names, fields[1:])
        rows.append((fields[0], *(fields[place] for place in places), reason, line))
    if len(rows) != number:
        raise ValueError(
            f"{path}, line 1: says {number:,} images, but {len(rows):,} rows follow: is the file cut off, or was it "
            "edited? Get it anew, or correct the number"
        )
    return _checked(path, pd.DataFrame(rows, columns=["file", *wanted, "reason", LINE]))


def value_list(path: Path) -> pd.DataFrame:
    """Read a list of one value for each image: the columns ``file``, ``value`` (text) and `LINE`.

    Raises ``FileNotFoundError`` for a missing file, and ``ValueError`` naming file and line for a row that does not
    have two fields and for an image that stands twice.
    """
    rows = []
    for line, fields in _lines(path):
        if len(fields) != 2:
            raise ValueError(f"{path}, line {line}: expected a file and one value, found {' '.join(fields)!r}")
        rows.append((*fields, line))
    return _checked(path, pd.DataFrame(rows, columns=["file", "value", LINE]))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each line that is not blank."""
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, start=1):
                if fields := text.split():
                    yield line, fields
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}): is it the list, or an archive?") from error


def _header(path: Path, lines: Iterator[tuple[int, list[str]]], wanted: Sequence[str]) -> tuple[int, list[str]]:
    _, number = next(lines, (1, []))
    if len(number) != 1 or not number[0].isdecimal():
        raise ValueError(f"{path}, line 1: expected the number of images, found {' '.join(number[:5])!r}")
    _, names = next(lines, (2, []))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}, line 2: the attribute {twice[0]!r} stands twice")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(f"{path}, line 2: no attribute {missing[0]!r} among {' '.join(names)!r}")
    return int(number[0]), names


def _reason(names: list[str], values: list[str]) -> str:
    name, value = next(pair for pair in zip(names, values, strict=True) if pair[1] not in _VALUES)
    return f"attribute {name} is {value!r}, not 1 or -1"


def _checked(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    if table.empty:
        raise ValueError(f"{path} lists no image")
    twice = table["file"].duplicated()
    if twice.any():
        file, line = table.loc[twice, ["file", LINE]].iloc[0]
        first = table.loc[table["file"] == file, LINE].iloc[0]
        raise ValueError(f"{path}, line {line}: {file} stands in line {first} too: keep the right one of the two rows")
    return table.astype({name: "str" for name in table.columns if name != LINE})
