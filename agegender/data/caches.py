"""Decoded faces on disk: every file is decoded and checked once, then read as one array."""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from agegender.data.images import UnreadableImageError, decode_image, resize_as_tensorflow_1
from agegender.data.manifest import Manifest, TooManyQuarantinedError
from agegender.files import replaced_atomically, write_text


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
    squash_px: int | None = None,
    max_unreadable_share: float = 0.05,
    num_threads: int | None = None,
) -> ImageCache:
    """Decode the faces of ``manifest`` into ``folder``, or take them from there when they are there and whole.

    ``squash_px`` resizes the decoded face once more, as TensorFlow 1 does, which is how the published test images are
    made. The cache is named after the manifest, the sizes and the length and date of every file, so a changed file
    makes a new one; its checksum is compared whenever it is opened, and a damaged cache is made again. Raises
    ``TooManyQuarantinedError`` when more than ``max_unreadable_share`` of the files cannot be decoded (no cache is
    kept then), and ``OSError`` when the disk is full; either way nothing half-written stays behind.
    """

    def prepare(paths: Sequence[Path]) -> Callable[[int], np.ndarray]:
        def decode(row: int) -> np.ndarray:
            image = decode_image(paths[row], size_px)
            return image if squash_px is None else resize_as_tensorflow_1(image, squash_px)

        return decode

    label, side_px = f"{size_px}-{squash_px or size_px}", squash_px or size_px
    recipe = Recipe(label, f"{size_px} {squash_px}", side_px, prepare)
    return cache_pixels(manifest, folder, recipe, max_unreadable_share, num_threads)


def cache_pixels(
    manifest: Manifest, folder: Path, recipe: Recipe, max_unusable_share: float, num_threads: int | None = None
) -> ImageCache:
    """Make the pixels of ``manifest`` by ``recipe``, or take them from ``folder``; all else as in ``cache_images``."""
    if manifest.root is None:
        raise ValueError("this manifest was read from labels only: read it again with the folder of its images")
    name = _cache_name(manifest, recipe)
    array_path, facts_path = Path(folder) / f"{name}.npy", Path(folder) / f"{name}.json"
    unreadable = _unreadable_if_whole(array_path, facts_path)
    if unreadable is None:
        unreadable = _write_cache(manifest, array_path, facts_path, recipe, max_unusable_share, num_threads)
    _check_share(manifest, unreadable, max_unusable_share)
    bad_rows = np.array([int(row) for row in unreadable], dtype=np.int64)
    readable = np.setdiff1d(np.arange(len(manifest)), bad_rows)
    return ImageCache(_without(manifest, unreadable, readable), np.load(array_path, mmap_mode="r"), readable)


def _cache_name(manifest: Manifest, recipe: Recipe) -> str:
    digest = hashlib.sha256(f"{manifest.hash()} {recipe.settings}".encode())
    for path in manifest.examples["path"]:
        try:
            status = os.stat(os.path.join(str(manifest.root), path))  # noqa: PTH116, PTH118 - a third of Path's time
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{path} missing\n".encode())
    return f"{manifest.corpus}-{recipe.label}-{digest.hexdigest()[:16]}"


def _unreadable_if_whole(array_path: Path, facts_path: Path) -> dict[str, str] | None:
    """The unreadable rows of a cache that is whole, ``None`` for one that is missing or damaged."""
    try:
        facts = json.loads(facts_path.read_text())
        unreadable = facts["unreadable"]
        if array_path.stat().st_size == facts["num_bytes"] and _checksum(array_path, unreadable) == facts["crc32"]:
            return unreadable
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _checksum(path: Path, unreadable: dict[str, str]) -> int:
    """The checksum of the images, and of the list of those that are none."""
    crc = zlib.crc32(json.dumps(unreadable).encode()) if unreadable else 0
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            crc = zlib.crc32(block, crc)
    return crc


def _write_cache(
    manifest: Manifest,
    array_path: Path,
    facts_path: Path,
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
        _check_share(manifest, unreadable, max_unusable_share)
        images.flush()
        crc = _checksum(temporary, unreadable)
        facts = {"num_bytes": temporary.stat().st_size, "crc32": crc, "unreadable": unreadable}
    write_text(facts_path, json.dumps(facts))
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


def _check_share(manifest: Manifest, unreadable: dict[str, str], max_share: float) -> None:
    if len(unreadable) > max_share * len(manifest):
        raise TooManyQuarantinedError(
            f"{len(unreadable)} of {len(manifest)} files cannot be used, more than the {max_share:.0%} allowed. First: "
            f"{next(iter(unreadable.values()))}. Repair the files, or raise the share that is allowed."
        )


def _without(manifest: Manifest, unreadable: dict[str, str], readable: np.ndarray) -> Manifest:
    if not unreadable:
        return manifest
    bad = [int(row) for row in unreadable]
    aside = pd.DataFrame(
        {"path": manifest.examples["path"].iloc[bad].to_numpy(), "row": bad, "reason": list(unreadable.values())}
    )
    return replace(
        manifest,
        examples=manifest.examples.iloc[readable].reset_index(drop=True),
        quarantine=pd.concat([manifest.quarantine, aside], ignore_index=True),
    )
