"""Reading the text tables that corpora come with, and setting aside the rows that cannot be used.

Rows are indexed by their line in the file (the header is line 1), so that a fault can be named by file and line.
"""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd


class _Tabs(csv.excel_tab):
    quoting = csv.QUOTE_NONE


def read_table(
    path: Path, columns: Sequence[str], delimiter: str = ",", *, other_columns: bool = False
) -> pd.DataFrame:
    """Read a text table whose header must have ``columns``, all values as text, indexed by line.

    Without ``other_columns`` the header must be exactly ``columns``. A byte order mark, Windows line ends, empty
    lines and empty fields after the last column are accepted. In tab-separated files quotes are ordinary characters.
    Raises ``FileNotFoundError``, and ``ValueError`` naming file, line and what was found.
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
    return pd.DataFrame(rows, columns=header, index=[line for line, _ in lines[1:]], dtype="str")


def lines_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and fields (between blanks) of each line that is not blank, one at a time: lists can be long.

    Raises ``FileNotFoundError``, and ``ValueError`` for a file that is not UTF-8 text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, start=1):
                if fields := text.split():
                    yield line, fields
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}): is it the list, or an archive?") from error


def parse_rows(parse: Callable[..., dict], *columns: pd.Series) -> pd.DataFrame:
    """Return what ``parse`` makes of the cells of each row, as columns, and in ``reason`` its ``ValueError`` if any."""

    def parsed(*cells: str) -> dict:
        try:
            return {**parse(*cells), "reason": None}
        except ValueError as error:
            return {"reason": str(error)}

    rows = [parsed(*cells) for cells in zip(*columns, strict=True)]
    return pd.DataFrame(rows, index=columns[0].index).astype({"reason": "str"})


def first_reason(*faults: tuple[pd.Series, str | pd.Series]) -> pd.Series:
    """Return for each row the first reason whose condition holds, missing where none does."""
    reasons = pd.Series(None, index=faults[0][0].index, dtype="str")
    for holds, reason in faults:
        reasons = reasons.mask(reasons.isna() & holds, reason)
    return reasons


def set_aside(rows: pd.DataFrame, reasons: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows without a reason, and the quarantine of the others (``path``, ``row`` and ``reason``)."""
    is_good = reasons.isna().to_numpy()
    if is_good.all():  # without a copy: a corpus can have millions of rows
        return rows, quarantine_of(rows[:0], reasons[:0])
    return rows[is_good], quarantine_of(rows[~is_good], reasons[~is_good])


def quarantine_of(rows: pd.DataFrame, reasons: str | pd.Series) -> pd.DataFrame:
    """Return ``rows`` as a quarantine."""
    return pd.DataFrame({"path": rows["path"], "row": rows.index, "reason": reasons}).astype({"reason": "str"})


def leaves_folder(paths: pd.Series) -> pd.Series:
    """Say for each path whether it is absolute or climbs out of the folder that it should be in."""
    return paths.str.contains(r"^/|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)")


def is_present(root: Path, paths: pd.Series) -> pd.Series:
    """Say for each path whether it is a file below ``root``; each folder is listed once, which is fast."""
    inside = paths[~leaves_folder(paths)]
    files: set[str] = set()
    for parent in {path.rpartition("/")[0] for path in inside}:
        if (root / parent).is_dir():
            with os.scandir(root / parent) as entries:
                files |= {f"{parent}/{entry.name}" if parent else entry.name for entry in entries if entry.is_file()}
    return paths.isin(files)


def refuse_twice(path: Path, names: pd.Series, what: str) -> None:
    """Raise ``ValueError`` naming file and lines when a name, of a row in the table ``path``, stands in two rows."""
    twice = names.duplicated()
    if twice.any():
        line = twice.index[twice][0]
        name = names[twice].iloc[0]
        first = names.index[names == name][0]
        raise ValueError(
            f"{path}, line {line}: {what}{name} stands twice, in line {first} too: keep the right one of the two rows"
        )


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
