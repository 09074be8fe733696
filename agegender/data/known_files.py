"""What was found in files or clips, in one table on disk under a hash of each: each is looked at once."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
from tqdm import tqdm

from agegender.files import replaced_atomically

WRITE_AFTER = 2000
"""New files after which the table is written, when they are also a twentieth of it."""

Row = dict[str, Any]


def look_up(
    folder: Path | None,
    name: str,
    setting: str,
    keys: Sequence[str],
    look: Callable[[list[int]], list[Row | str]],
    num_at_once: int,
    progress: str = "",
) -> list[Row | str]:
    """Return what is known of the files with these ``keys`` (hashes), in order.

    ``look`` gets the row numbers of at most ``num_at_once`` unknown files and returns the columns of each, or as text
    why it cannot be read, which is not kept. What it returns is kept in ``folder``, in one table for each ``name`` and
    ``setting``, so that an interrupted call goes on where the table was last written; without ``folder`` nothing is
    kept. A damaged table is made again. Raises ``OSError`` when the disk is full.
    """
    table = folder and Path(folder) / f"{name}-{hashlib.sha256(setting.encode()).hexdigest()[:12]}.parquet"
    known: dict[str, Row | str] = _read(table) if table else {}
    missing = list({key: row for row, key in enumerate(keys) if key not in known}.values())
    new = 0
    for start in tqdm(range(0, len(missing), num_at_once), progress, mininterval=2, disable=not (missing and progress)):
        rows = missing[start : start + num_at_once]
        found = dict(zip((keys[row] for row in rows), look(rows), strict=True))
        known |= found
        new += sum(not isinstance(each, str) for each in found.values())
        is_last = start + num_at_once >= len(missing)
        if table and (new >= max(WRITE_AFTER, len(known) // 20) or (is_last and new)):
            _write(table, known, setting)
            new = 0
    return [known[key] for key in keys]


def _read(path: Path) -> dict[str, Row | str]:
    try:
        return {row.pop("sha256"): row for row in parquet.read_table(path).to_pylist()}
    except (OSError, arrow.ArrowException, KeyError):
        return {}


def _write(path: Path, known: dict[str, Row | str], setting: str) -> None:
    readable = [{"sha256": key, **row} for key, row in known.items() if not isinstance(row, str)]
    table = arrow.Table.from_pylist(readable)
    with replaced_atomically(path) as temporary:
        parquet.write_table(table.replace_schema_metadata({"setting": setting}), temporary)
