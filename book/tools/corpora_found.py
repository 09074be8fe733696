"""Which corpora of a preset lie in the reader's folder, and whether they have changed since the last call.

The state of a corpus is a hash of its tables, byte by byte, and of the names and sizes of its pictures and clips: some
seconds for half a million files. An archive counts by its size and its end, where a ``.tar.gz`` has its checksum.
Other files do not count, so that a note or a list put there repeats nothing.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from plan import Preset, Stage

from agegender.files import sha256_of

PLACES: dict[str, tuple[str, ...]] = {
    "fairface": ("face-fairface/faces.csv", "face-fairface.tar.gz"),
    "utkface": ("face-utkface/faces.csv", "face-utkface.tar.gz"),
    "voicepack": ("voice-svd-so762/clips.csv", "voice-svd-so762.tar.gz"),
    "speechocean762": ("voice-svd-so762/clips.csv", "voice-svd-so762.tar.gz"),
    "imdb": ("imdb/imdb.mat", "imdb_crop/imdb.mat", "imdb/imdb_crop/imdb.mat", "imdb.mat"),
    "wiki": ("wiki/wiki.mat", "wiki_crop/wiki.mat", "wiki/wiki_crop/wiki.mat", "wiki.mat"),
    "folder": ("*.csv",),
}
"""Corpus -> what of it is looked for in the reader's folder, in this order; of others, a folder of their name."""

OPTIONAL = ("musan", "rirs")
"""What voices are trained without where it is not there."""

TABLES = (".csv", ".tsv", ".txt", ".mat")
FILES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".sph")
_TABLE_DEPTH = 3  # tables lie near the top; text beside each clip counts by its size
_ARCHIVE_END = 2**16


def corpora_of(stage: Stage) -> list[str]:
    """Return the corpora that a stage reads: those of its paper, and the one that its parameters name."""
    if "data" not in stage.parameters:
        return []
    named = [stage.parameters.get("corpus"), *stage.matrix.get("corpus", [])]
    return list(dict.fromkeys([*stage.corpora, *(name for name in named if name)]))


def place_of(corpus: str, folder: Path) -> Path | None:
    """Return the table, folder or archive by which a corpus is known to be there, or ``None``."""
    for pattern in PLACES.get(corpus, (corpus,)):
        for path in sorted(folder.glob(pattern)):
            return path
    return None


def missing(preset: Preset, folder: Path) -> dict[str, list[str]]:
    """Return paper -> why it cannot run: the corpora that it lacks, or the paper whose runs it needs."""
    lacking: dict[str, list[str]] = {}
    for stage in preset.stages:
        for corpus in corpora_of(stage):
            if corpus not in OPTIONAL and place_of(corpus, folder) is None:
                looked_for = " or ".join(PLACES.get(corpus, (f"{corpus}/",)))
                lines = lacking.setdefault(stage.paper, [])
                lines += [line for line in [f"{corpus}: no {looked_for} in {folder}"] if line not in lines]
    while more := _waiting(preset, lacking):
        lacking |= more
    return lacking


def _waiting(preset: Preset, lacking: dict[str, list[str]]) -> dict[str, list[str]]:
    """The papers that need runs of one that cannot run, and are not known to."""
    needs = [(s.paper, name.rpartition("/")[0] or s.paper) for s in preset.stages for name in s.after]
    return {ours: [f"it needs the runs of {its}"] for ours, its in needs if its in lacking and ours not in lacking}


def states(preset: Preset, folder: Path) -> dict[str, str]:
    """Return corpus -> state, for those that are there."""
    corpora = dict.fromkeys(corpus for stage in preset.stages for corpus in corpora_of(stage))
    places = {corpus: place for corpus in corpora if (place := place_of(corpus, folder)) is not None}
    return {corpus: state_of(place) for corpus, place in places.items()}


def state_of_stage(stage: Stage, known: dict[str, str]) -> str:
    """Return the state of all corpora of a stage as one text; empty where nothing is known of any."""
    of_each = [f"{corpus} {known[corpus]}" for corpus in corpora_of(stage) if corpus in known]
    return _digest(of_each) if of_each else ""


def state_of(place: Path) -> str:
    """Return the state of the corpus at ``place``: an archive, its folder, or a table in its folder."""
    if place.is_file() and place.suffix not in TABLES:
        with place.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _ARCHIVE_END))
            return _digest([f"{place.name} {size}", hashlib.sha256(file.read()).hexdigest()])
    root = place if place.is_dir() else place.parent
    return _digest(sorted(_lines(root)))


def _lines(root: Path) -> Iterator[str]:
    """A line for each file that counts; folders that are links are followed, once."""
    seen = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        relative = Path(folder).relative_to(root)
        for name in names:
            path, suffix = Path(folder) / name, Path(name).suffix.lower()
            if suffix in (*TABLES, *FILES) and not name.startswith("."):
                is_table = suffix in TABLES and len(relative.parts) <= _TABLE_DEPTH
                yield f"{relative / name} {_content(path) if is_table else _size(path)}"


def _content(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return "unreadable"


def _size(path: Path) -> str:
    try:
        return str(path.stat().st_size)
    except OSError:  # a link to nowhere
        return "missing"


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]
