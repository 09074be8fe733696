"""Decoded faces on disk: every file is decoded and checked once, then read as one array."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from agegender.data.cache_files import (
    cache_name,
    check_share,
    notes_if_whole,
    proof_of,
    without_unreadable,
    write_notes,
)
from agegender.data.images import Resize, UnreadableImageError, decode_image
from agegender.data.manifest import Manifest
from agegender.files import replaced_atomically


@dataclass(frozen=True)
class ImageCache:
    """The decoded faces of a manifest.

    ``manifest`` has only the examples that could be decoded (the others are in its quarantine, with the reason).
    ``images`` is a read-only uint8 array (files, size_px, size_px, 3), and example ``i`` of the manifest is
    ``images[rows[i]]``.
    """

    manifest: Manifest
    images: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Recipe:
    """How the pixels of a cache are made: ``label`` shows in its name, and other ``settings`` make another name.

    ``prepare`` gets the paths of all examples and returns the function that makes row ``i``: uint8 (``side_px``,
    ``side_px``, 3), or an ``UnreadableImageError`` whose text is the reason to set the row aside.
    """

    label: str
    settings: str
    side_px: int
    prepare: Callable[[Sequence[Path]], Callable[[int], np.ndarray]]


def cache_images(
    manifest: Manifest,
    folder: Path,
    size_px: int = 256,
    resize: Resize = "filtered",
    max_unreadable_share: float = 0.05,
    num_threads: int | None = None,
) -> ImageCache:
    """Decode the faces of ``manifest`` into ``folder``, or take them from there when they are there and whole.

    ``resize`` is explained in ``agegender.data.images``. The cache is named after it, the manifest, the size and the
    length and date of every file, so a changed file makes a new one; its checksum is compared whenever it is opened,
    and a damaged cache is made again. Raises ``TooManyQuarantinedError`` when more than ``max_unreadable_share`` of the
    files cannot be decoded (no cache is kept then), and ``OSError`` when the disk is full; either way nothing
    half-written stays behind.
    """

    def prepare(paths: Sequence[Path]) -> Callable[[int], np.ndarray]:
        def decode(row: int) -> np.ndarray:
            return decode_image(paths[row], size_px, resize)

        return decode

    recipe = Recipe(str(size_px), f"{size_px} {resize}", size_px, prepare)
    return cache_pixels(manifest, folder, recipe, max_unreadable_share, num_threads)


def cache_pixels(
    manifest: Manifest, folder: Path, recipe: Recipe, max_unusable_share: float, num_threads: int | None = None
) -> ImageCache:
    """Make the pixels of ``manifest`` by ``recipe``, or take them from ``folder``; all else as in ``cache_images``."""
    name = cache_name(manifest, recipe.label, recipe.settings)
    array_path, notes_path = Path(folder) / f"{name}.npy", Path(folder) / f"{name}.json"
    notes = notes_if_whole(array_path, notes_path, ("unreadable",))
    unreadable: dict[str, str] = dict(notes["unreadable"]) if notes is not None else {}
    if notes is None:
        unreadable = _write_cache(manifest, array_path, notes_path, recipe, max_unusable_share, num_threads)
    check_share(manifest, unreadable, max_unusable_share)
    kept, rows = without_unreadable(manifest, unreadable)
    return ImageCache(kept, np.load(array_path, mmap_mode="r"), rows)


def _write_cache(
    manifest: Manifest,
    array_path: Path,
    notes_path: Path,
    recipe: Recipe,
    max_unusable_share: float,
    num_threads: int | None,
) -> dict[str, str]:
    root, side = Path(str(manifest.root)), recipe.side_px
    make = recipe.prepare([root / path for path in manifest.examples["path"]])
    unreadable: dict[str, str] = {}
    with replaced_atomically(array_path) as temporary:
        shape = (len(manifest), side, side, 3)
        images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        _take_room(temporary)

        def fill(row: int) -> str | None:
            try:
                images[row] = make(row)
            except UnreadableImageError as error:
                return str(error)
            return None

        with ThreadPoolExecutor(num_threads or os.cpu_count()) as threads:
            reasons = threads.map(fill, range(len(manifest)))
            for row, reason in enumerate(tqdm(reasons, "decoding faces", len(manifest), mininterval=2, unit="face")):
                if reason is not None:
                    unreadable[str(row)] = reason
        check_share(manifest, unreadable, max_unusable_share)
        images.flush()
        proof = proof_of(temporary, {"unreadable": unreadable})
    write_notes(notes_path, proof, {"unreadable": unreadable})
    return unreadable


def _take_room(path: Path) -> None:
    """Claim the disk space of a new file now: a disk that fills up under mapped memory ends the process at once."""
    if not hasattr(os, "posix_fallocate"):
        return
    num_bytes = path.stat().st_size
    with path.open("rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, num_bytes)
        except OSError as error:
            reason = f"{error.strerror}: the decoded faces need {num_bytes / 2**20:,.0f} MiB"
            raise OSError(error.errno, reason, str(path.parent)) from error
