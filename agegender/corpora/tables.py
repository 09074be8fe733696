"""Reading the text tables that corpora come with, line by line, so that a fault can be named by file and line."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

LINE = "_line"
"""The column that holds the line number of a row in its file; the header is line 1."""


class _Tabs(csv.excel_tab):
    quoting = csv.QUOTE_NONE


def read_table(
    path: Path, columns: Sequence[str], delimiter: str = ",", *, other_columns: bool = False
) -> pd.DataFrame:
    """Read a text table whose header must have ``columns``, all values as text, and add the column `LINE`.

    Without ``other_columns`` the header must be exactly ``columns``. A byte order mark, Windows line ends, empty
    lines and empty fields after the last column are accepted. In tab-separated files quotes are ordinary characters.

    Raises ``FileNotFoundError`` for a missing file, and ``ValueError`` naming file, line and what was found for a wrong
    header, a wrong number of columns, a file that is not UTF-8 and a file without any row.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    dialect = _Tabs if delimiter == "\t" else csv.excel
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, dialect, delimiter=delimiter)
            lines = [(reader.line_num, fields) for fields in reader if fields]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    if not lines:
        raise ValueError(f"{path} is empty: expected a header with {', '.join(columns)}")
    header = _checked_header(path, lines[0][1], columns, other_columns)
    rows = [_checked_row(path, line, fields, header, delimiter) for line, fields in lines[1:]]
    if not rows:
        raise ValueError(f"{path} has a header and no rows")
    table = pd.DataFrame(rows, columns=header, dtype="str")
    return table.assign(**{LINE: [line for line, _ in lines[1:]]})


def _checked_header(path: Path, fields: list[str], columns: Sequence[str], other_columns: bool) -> list[str]:
    header = [name.strip() for name in _without_empty_tail(fields, len(columns))]
    missing = [name for name in columns if name not in header]
    if missing or (not other_columns and header != list(columns)):
        raise ValueError(f"{path}, line 1: expected the columns {', '.join(columns)}; found {', '.join(header)}")
    if len(set(header)) != len(header):
        raise ValueError(f"{path}, line 1: a column stands twice in {', '.join(header)}")
    return header


def _checked_row(path: Path, line: int, fields: list[str], header: list[str], delimiter: str) -> list[str]:
    fields = _without_empty_tail(fields, len(header))
    if len(fields) != len(header):
        hint = " (a value with a comma needs quotes)" if len(fields) > len(header) and delimiter == "," else ""
        raise ValueError(f"{path}, line {line}: expected {len(header)} columns, found {len(fields)}: {fields}{hint}")
    return fields


def _without_empty_tail(fields: list[str], width: int) -> list[str]:
    while len(fields) > width and not fields[-1].strip():
        fields = fields[:-1]
    return fields
