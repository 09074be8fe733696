"""Writing predictions while they are made: what is done stays, whatever happens next."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SUFFIXES = (".csv", ".parquet", ".jsonl")


class TableWriter(Protocol):
    """Appends tables to a file."""

    def append(self, table: pd.DataFrame) -> None:
        """Write the rows of ``table``."""

    def close(self) -> None:
        """Finish the file."""


class _TextWriter:
    def __init__(self, path: Path) -> None:
        self.file = path.open("w", encoding="utf-8", newline="")

    def close(self) -> None:
        self.file.close()


class _Csv(_TextWriter):
    def append(self, table: pd.DataFrame) -> None:
        boxes = table["box"].map(lambda box: " ".join(map(str, box)) if isinstance(box, tuple) else "")
        table.assign(box=boxes).to_csv(self.file, index=False, header=not self.file.tell(), float_format="%.4f")
        self.file.flush()


class _JsonLines(_TextWriter):
    def append(self, table: pd.DataFrame) -> None:
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        self.file.writelines(json.dumps(row, ensure_ascii=False, default=_plain) + "\n" for row in rows)
        self.file.flush()


class _Parquet:
    _SCHEMA = pa.schema(
        [("path", pa.string()), ("kind", pa.string()), ("index", pa.int64()), ("box", pa.list_(pa.int64()))]
        + [(name, pa.float64()) for name in ("age", "age_low", "age_high")]
        + [("age_group", pa.string()), ("p_female", pa.float64())]
        + [(name, pa.string()) for name in ("flags", "problem", "model")]
    )

    def __init__(self, path: Path) -> None:
        self.writer = pq.ParquetWriter(path, self._SCHEMA)

    def append(self, table: pd.DataFrame) -> None:
        self.writer.write_table(pa.Table.from_pandas(table, self._SCHEMA, preserve_index=False))

    def close(self) -> None:
        self.writer.close()


_WRITERS: dict[str, Callable[[Path], TableWriter]] = {".csv": _Csv, ".parquet": _Parquet, ".jsonl": _JsonLines}


def check_output(path: Path) -> None:
    """Raise ``ValueError`` for a suffix that is not in ``SUFFIXES``, or a folder that is not there or not writable."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"-o {path}: the suffix says the format, and has to be one of {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise ValueError(f"-o {path} is a folder: name a file")
    if not path.parent.is_dir():
        raise ValueError(f"-o {path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"-o {path}: the folder {path.parent} cannot be written")


@contextmanager
def table_writer(path: Path) -> Iterator[TableWriter]:
    """Give what appends to ``path``, in the format of its suffix; see ``check_output``.

    The rows go to a file beside it that takes its place at the end, also when the block is left by an exception: the
    rows until then are kept.
    """
    check_output(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    writer = _WRITERS[path.suffix](temporary)
    try:
        yield writer
    finally:
        writer.close()
        temporary.chmod(0o644)
        temporary.replace(path)


def _plain(value: object) -> object:
    return value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, tuple) else str(value)
