"""To which run a folder in ``runs/`` belongs: a small file beside the notebook that says what it was made from.

``started.json`` holds the hash of the notebook's code, the parameters, the state of the data (``corpora_found``) and,
when the run has ended, the hashes of the files that it wrote. A folder that does not belong to the run that is planned
is moved to ``<run>.before``: nobody's results are overwritten in silence, and none of another run are shown.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from plan import BEFORE

from agegender.files import sha256_of, write_text

STAMP = "started.json"


def code_hash(sources: list[str]) -> str:
    """Return the hash of the code cells of a notebook."""
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def read_stamp(folder: Path) -> dict[str, Any]:
    """Return the stamp of a run folder; nothing where there is none or half of one."""
    try:
        return dict(json.loads((folder / STAMP).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def write_stamp(folder: Path, stamp: dict[str, Any]) -> None:
    """Write the stamp of a run folder."""
    write_text(folder / STAMP, json.dumps(stamp))


def written(folder: Path, files: tuple[str, ...]) -> dict[str, str | None]:
    """Return name -> SHA-256 of the files of a run that has ended, ``None`` for one that is not there."""
    return {name: sha256_of(folder / name) if (folder / name).is_file() else None for name in files}


def why_of_another_run(folder: Path, planned: dict[str, Any], has_ended: bool = True) -> str | None:
    """Say why what lies in a run folder is not of the run ``planned`` (parameters, data, perhaps code), or ``None``.

    What an older stamp does not hold is not held against it, nor files that are missing against a run that goes on.
    """
    stamp = read_stamp(folder)
    if not stamp:
        return "it was not made by make book"
    old, new = stamp.get("parameters", {}), planned["parameters"]
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            return f"it was made with {name} {old.get(name)!r}, not {new.get(name)!r}"
    if planned.get("code") and stamp.get("code") != planned["code"]:
        return "the code of its notebook was another"
    if planned["data"] and stamp.get("data", planned["data"]) != planned["data"]:
        return "the data have changed since"
    for name, digest in stamp.get("written", {}).items():
        now = written(folder, (name,))[name]
        if now != digest and (now or has_ended):
            return f"its {name} is not the one that it wrote"
    return None


def move_to_before(folder: Path) -> Path:
    """Move a run folder to ``<run>.before``, in the place of an older one, and return where it is now."""
    before = folder.with_name(folder.name + BEFORE)
    shutil.rmtree(before, ignore_errors=True)
    folder.rename(before)
    return before
