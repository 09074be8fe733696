"""Decoded examples on disk: every file is decoded and checked once, then all are read as one array."""

import hashlib
import json
import os
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from agegender.data.manifest import Manifest, TooManyQuarantinedError, UnreadableFileError, build_manifest
from agegender.files import replaced_atomically, write_text

Decode = Callable[[Path], np.ndarray]
"""From a file to its values, or an ``UnreadableFileError`` whose text is the reason to set the file aside."""

_AHEAD = 4  # decoded examples that may wait for their turn, for each thread
_SETTLED_NS = 1_000_000_000  # a file that was written later than this before it was checked may change within its date


@dataclass(frozen=True, repr=False)
class ExampleCache:
    """The decoded examples of a manifest, end to end: ``cache[i]`` is example ``i`` of ``manifest``.

    ``array`` is read-only, and ``cache[i]`` is ``array[starts[i] : starts[i] + lengths[i]]``: of faces uint8 RGB
    (height, width, 3), all of one shape; of clips int16 (samples,) at ``rate_hz``, full scale being 32768. Files that
    could not be decoded are in the manifest's quarantine. ``name`` is that of the cache's file, ``None`` in memory.
    """

    manifest: Manifest
    array: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    rate_hz: int | None = None
    name: str | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, example: int) -> np.ndarray:
        start = self.starts[example]
        return self.array[start : start + self.lengths[example]]

    def __repr__(self) -> str:
        return f"<ExampleCache of {len(self)} examples, {self.fingerprint}>"

    @property
    def fingerprint(self) -> str:
        """Twelve digits that change with the values and with the choice of examples."""
        content = self.name or hashlib.sha256(np.ascontiguousarray(self.array).data).hexdigest()
        digest = hashlib.sha256(repr((content, self.array.shape, self.array.dtype.str, self.rate_hz)).encode())
        digest.update(self.starts.tobytes() + self.lengths.tobytes())
        return digest.hexdigest()[:12]

    def select(self, rows: np.ndarray) -> "ExampleCache":
        """Return the cache of the examples with these row numbers, in the order given; no value is copied.

        Raises ``ValueError`` for anything but whole numbers.
        """
        chosen = np.asarray(rows)
        if not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError(f"rows must be row numbers (np.flatnonzero), got {chosen.dtype} values")
        examples = self.manifest.examples.iloc[chosen].reset_index(drop=True)
        manifest = replace(self.manifest, examples=examples)
        return replace(self, manifest=manifest, starts=self.starts[chosen], lengths=self.lengths[chosen])


def examples_in_memory(examples: Sequence[np.ndarray], rate_hz: int | None = None) -> ExampleCache:
    """Return faces, or clips at ``rate_hz``, as a cache that is on no disk and knows no labels."""
    names = [str(row) for row in range(len(examples))]
    modality = "face" if rate_hz is None else "voice"
    manifest = build_manifest(pd.DataFrame({"path": names, "subject": names, "corpus": "memory", "modality": modality}))
    lengths = np.array([len(example) for example in examples], dtype=np.int64)
    return ExampleCache(manifest, np.concatenate(examples), np.cumsum(lengths) - lengths, lengths, rate_hz)


def cache_examples(
    manifest: Manifest,
    folder: Path,
    decoder: Callable[[list[Path]], Decode],
    key: str,
    rate_hz: int | None = None,
    max_unreadable_share: float = 0.05,
) -> ExampleCache:
    """Decode the files of ``manifest`` into ``folder``, or take them from there when they are there and whole.

    ``decoder`` gets the paths of all files and returns the function that decodes one of them; it is called only when
    the cache has to be made. The values of all files have one type and one shape but for the first axis.

    The cache is named after ``key`` (everything that changes what ``decoder`` makes), the manifest, and the length and
    date of every file. Its checksum is compared once for each length, date and inode of its file, and a damaged cache
    is made again. Raises ``TooManyQuarantinedError`` when more than ``max_unreadable_share`` of the files cannot be
    used, ``OSError`` when the disk is full, and ``ValueError`` for a manifest without files.
    """
    name = _name_of(manifest, key)
    values_path, notes_path = Path(folder) / f"{name}.values", Path(folder) / f"{name}.json"
    notes = _read_if_whole(values_path, notes_path)
    if notes is None:
        notes = _write(manifest, values_path, decoder, max_unreadable_share)
        _write_notes(notes_path, notes)
    check_share(list(notes["unreadable"].values()), len(manifest), max_unreadable_share)
    lengths = np.array(notes["lengths"], dtype=np.int64)
    dtype, shape = np.dtype(notes["dtype"]), (-1, *notes["shape"])
    array = np.asarray(np.memmap(values_path, dtype, mode="r")).reshape(shape) if len(lengths) else np.zeros(0, dtype)
    reasons = pd.Series({int(row): reason for row, reason in notes["unreadable"].items()}, dtype="str")
    reasons = reasons.reindex(manifest.examples.index)
    readable = manifest.keep(reasons.isna(), reasons)
    return ExampleCache(readable, array, np.cumsum(lengths) - lengths, lengths, rate_hz, name)


def _name_of(manifest: Manifest, key: str) -> str:
    if manifest.root is None:
        files = "images" if manifest.modality == "face" else "clips"
        raise ValueError(f"this manifest was read from labels only: read it again with the folder of its {files}")
    digest = hashlib.sha256(f"{manifest.hash()} {key}".encode())
    for path in manifest.examples["path"]:
        try:
            status = os.stat(os.path.join(str(manifest.root), path))  # noqa: PTH116, PTH118 - a third of Path's time
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{path} missing\n".encode())
    return f"{manifest.corpus}-{manifest.modality}s-{digest.hexdigest()[:16]}"


def _write(
    manifest: Manifest, path: Path, decoder: Callable[[list[Path]], Decode], max_unreadable_share: float
) -> dict[str, Any]:
    """Write all values to ``path`` and return the notes about them."""
    decode = decoder([Path(str(manifest.root)) / name for name in manifest.examples["path"]])
    unreadable: dict[str, str] = {}
    lengths: list[int] = []
    kinds: set[tuple[str, tuple[int, ...]]] = set()
    num_threads = os.cpu_count() or 1
    unit = "face" if manifest.modality == "face" else "clip"
    with replaced_atomically(path) as temporary, ThreadPoolExecutor(num_threads) as threads:
        with temporary.open("wb") as file:  # not mapped: a full disk is an error then, and not the end of the process
            decoded = _in_order(threads, decode, manifest, _AHEAD * num_threads)
            for row, values in enumerate(tqdm(decoded, f"decoding {unit}s", len(manifest), mininterval=2, unit=unit)):
                if isinstance(values, str):
                    unreadable[str(row)] = values
                    continue
                file.write(np.ascontiguousarray(values).data)
                lengths.append(len(values))
                kinds.add((values.dtype.str, values.shape[1:]))
        check_share(list(unreadable.values()), len(manifest), max_unreadable_share)
        assert len(kinds) <= 1, f"examples of several kinds: {kinds}"
        dtype, shape = kinds.pop() if kinds else ("|u1", ())
        notes = {"unreadable": unreadable, "lengths": lengths, "dtype": dtype, "shape": list(shape)}
        return notes | {"num_bytes": temporary.stat().st_size, "crc32": _checksum(temporary)}


def _in_order(
    threads: ThreadPoolExecutor, decode: Decode, manifest: Manifest, num_ahead: int
) -> Iterator[np.ndarray | str]:
    """Map like ``threads.map``, with at most ``num_ahead`` examples in memory: a corpus does not fit into it."""
    root = Path(str(manifest.root))

    def values_or_reason(name: str) -> np.ndarray | str:
        try:
            return decode(root / name)
        except UnreadableFileError as error:
            return str(error)

    waiting: deque[Future[np.ndarray | str]] = deque()
    for name in manifest.examples["path"]:
        waiting.append(threads.submit(values_or_reason, name))
        if len(waiting) >= num_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read_if_whole(values_path: Path, notes_path: Path) -> dict[str, Any] | None:
    """Return the notes of a cache that is whole, ``None`` for one that is missing or damaged."""
    try:
        stored = json.loads(notes_path.read_text())
        notes, status = stored["notes"], values_path.stat()
        state = [status.st_size, status.st_mtime_ns, status.st_ino]
        if stored["notes_crc32"] != _checksum_of(notes) or status.st_size != notes["num_bytes"]:
            return None
        if stored.get("checked") != state:
            if _checksum(values_path) != notes["crc32"]:
                return None
            if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
                with suppress(OSError):  # a folder that cannot be written to is checked each time
                    _write_notes(notes_path, notes, state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return notes


def _write_notes(path: Path, notes: dict[str, Any], checked: list[int] | None = None) -> None:
    """Write the notes, last of all, so that values without notes are made again."""
    write_text(path, json.dumps({"notes": notes, "notes_crc32": _checksum_of(notes), "checked": checked}))


def _checksum_of(notes: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(notes).encode())


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            crc = zlib.crc32(block, crc)
    return crc


def check_share(reasons: Sequence[str], num_files: int, max_share: float, fault: str = "used") -> None:
    """Raise ``TooManyQuarantinedError`` when more than ``max_share`` of the files cannot be used, or decoded."""
    if len(reasons) > max_share * num_files:
        raise TooManyQuarantinedError(
            f"{len(reasons)} of {num_files} files cannot be {fault}, more than the {max_share:.0%} allowed. First: "
            f"{reasons[0]}. Repair these files, or take their rows out of the table."
        )
