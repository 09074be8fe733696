"""What caches of decoded files share: their names, the proof that one is whole, and the rows that it lacks.

A cache is one file of numbers, and beside it one of notes about them, with the length and the checksum of both.
"""

import hashlib
import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from agegender.data.manifest import Manifest, TooManyQuarantinedError
from agegender.files import write_text

Notes = dict[str, dict | list]


def cache_name(manifest: Manifest, label: str, settings: str) -> str:
    """Return a name that changes with the manifest, the settings, and the length and date of every file.

    Raises ``ValueError`` for a manifest without files.
    """
    if manifest.root is None:
        raise ValueError(
            f"this manifest was read from labels only: read it again with the folder of its {_files(manifest)}"
        )
    digest = hashlib.sha256(f"{manifest.hash()} {settings}".encode())
    for path in manifest.examples["path"]:
        try:
            status = os.stat(os.path.join(str(manifest.root), path))  # noqa: PTH116, PTH118 - a third of Path's time
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{path} missing\n".encode())
    return f"{manifest.corpus}-{label}-{digest.hexdigest()[:16]}"


def content_of(numbers: np.ndarray) -> str:
    """Return what tells an array from others: the name of its file, as a cache is named after what is in it.

    An array in memory has no file and is read as a whole: some seconds for a gigabyte.
    """
    name = Path(getattr(numbers, "filename", None) or "").name
    return name or f"{numbers.dtype} {hashlib.sha256(np.ascontiguousarray(numbers).data).hexdigest()[:16]}"


def notes_if_whole(numbers_path: Path, notes_path: Path, names: tuple[str, ...]) -> Notes | None:
    """Return the notes ``names`` of a cache that is whole, ``None`` for one that is missing or damaged."""
    try:
        facts = json.loads(notes_path.read_text())
        notes = {name: facts[name] for name in names}
        if numbers_path.stat().st_size == facts["num_bytes"] and _checksum(numbers_path, notes) == facts["crc32"]:
            return notes
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def proof_of(numbers_path: Path, notes: Notes) -> dict[str, int]:
    """Return the length and the checksum by which the numbers and their notes are known again."""
    return {"num_bytes": numbers_path.stat().st_size, "crc32": _checksum(numbers_path, notes)}


def write_notes(path: Path, proof: dict[str, int], notes: Notes) -> None:
    """Write what ``notes_if_whole`` reads; last of all, so that numbers without notes are made again."""
    write_text(path, json.dumps(proof | notes))


def _checksum(path: Path, notes: Notes) -> int:
    """The checksum of the numbers and of what the notes say."""
    crc = 0
    for value in notes.values():
        crc = zlib.crc32(json.dumps(value).encode(), crc) if value else crc
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            crc = zlib.crc32(block, crc)
    return crc


def check_share(manifest: Manifest, unreadable: dict[str, str], max_share: float) -> None:
    """Raise ``TooManyQuarantinedError`` when more than ``max_share`` of the files are in ``unreadable``."""
    if len(unreadable) > max_share * len(manifest):
        raise TooManyQuarantinedError(
            f"{len(unreadable)} of {len(manifest)} files cannot be used, more than the {max_share:.0%} allowed. First: "
            f"{next(iter(unreadable.values()))}. Repair these files, or take their rows out of the table."
        )


def without_unreadable(manifest: Manifest, unreadable: dict[str, str]) -> tuple[Manifest, np.ndarray]:
    """Move the ``unreadable`` rows (row -> reason) to the quarantine; return the manifest and the rows that stay."""
    bad = [int(row) for row in unreadable]
    readable = np.setdiff1d(np.arange(len(manifest)), np.array(bad, dtype=np.int64))
    if not unreadable:
        return manifest, readable
    aside = pd.DataFrame(
        {"path": manifest.examples["path"].iloc[bad].to_numpy(), "row": bad, "reason": list(unreadable.values())}
    )
    kept = replace(
        manifest,
        examples=manifest.examples.iloc[readable].reset_index(drop=True),
        quarantine=pd.concat([manifest.quarantine, aside], ignore_index=True),
    )
    return kept, readable


def _files(manifest: Manifest) -> str:
    return "images" if manifest.modality == "face" else "clips"
