"""Decoded recordings on disk: every file is decoded and checked once, then all are read as one array."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from agegender.data.audio import MIN_S, UnreadableClipError, decode_clip
from agegender.data.cache_files import (
    Notes,
    cache_name,
    check_share,
    content_of,
    notes_if_whole,
    proof_of,
    without_unreadable,
    write_notes,
)
from agegender.data.manifest import Manifest, build_manifest
from agegender.files import replaced_atomically

_NOTES = ("unreadable", "lengths", "clipped_shares")
_Decoded = tuple[np.ndarray, float] | str
"""The int16 samples and the clipped share of a clip, or why it has none."""
_AHEAD = 4  # decoded clips that may wait for their turn, for each thread


@dataclass(frozen=True)
class ClipCache:
    """The decoded clips of a manifest, end to end.

    ``manifest`` has only the examples that could be decoded (the others are in its quarantine, with the reason).
    ``samples`` is a read-only int16 array (all samples,) at ``rate_hz``, full scale being 32768, and example ``i`` of
    the manifest is ``samples[starts[i] : starts[i] + lengths[i]]``. ``clipped_shares`` (examples,) says which share of
    a recording stood at full scale: clipped recordings are kept, and counted here.
    """

    manifest: Manifest
    samples: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    clipped_shares: np.ndarray
    rate_hz: int

    def __len__(self) -> int:
        return len(self.lengths)

    def clip(self, example: int) -> np.ndarray:
        """Return one clip as float32 in [-1, 1), (samples,)."""
        start = self.starts[example]
        return as_float(self.samples[start : start + self.lengths[example]])

    def crop(self, example: int, num_samples: int, start: int = 0, is_looped: bool = True) -> np.ndarray:
        """Return ``num_samples`` of a clip from ``start`` on, int16.

        A shorter clip begins at its first sample, and again and again until the crop is full; with
        ``is_looped=False`` zeros follow it instead.
        """
        clip = self.samples[self.starts[example] :][: self.lengths[example]]
        if len(clip) >= num_samples:
            return clip[start : start + num_samples]
        return np.resize(clip, num_samples) if is_looped else np.pad(clip, (0, num_samples - len(clip)))

    @property
    def fingerprint(self) -> str:
        """Twelve digits that change with the samples and with the choice of clips."""
        digest = hashlib.sha256(repr((content_of(self.samples), self.samples.shape, self.rate_hz)).encode())
        digest.update(self.starts.tobytes() + self.lengths.tobytes())
        return digest.hexdigest()[:12]

    def select(self, rows: np.ndarray) -> "ClipCache":
        """Return the cache of the examples with these row numbers, in the order given; no sample is copied.

        Raises ``ValueError`` for anything but whole numbers (of true and false ``np.flatnonzero`` makes some).
        """
        chosen = np.asarray(rows)
        if not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError(f"rows must be row numbers (np.flatnonzero), got {chosen.dtype} values")
        return replace(
            self,
            manifest=replace(self.manifest, examples=self.manifest.examples.iloc[chosen].reset_index(drop=True)),
            starts=self.starts[chosen],
            lengths=self.lengths[chosen],
            clipped_shares=self.clipped_shares[chosen],
        )


def as_float(samples: np.ndarray) -> np.ndarray:
    """Return int16 samples as float32 in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32768)


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Return samples in [-1, 1] as int16, rounded to the nearest of 32768 steps; 1 becomes 32767."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def clips_in_memory(recordings: Sequence[np.ndarray], rate_hz: int) -> ClipCache:
    """Return int16 ``recordings``, each (samples,), as a ``ClipCache`` that is on no disk and knows no labels."""
    lengths = np.array([len(recording) for recording in recordings], dtype=np.int64)
    names = [str(row) for row in range(len(recordings))]
    rows = pd.DataFrame({"path": names, "subject": names}).assign(corpus="in memory", modality="voice")
    samples, none_clipped = np.concatenate(recordings), np.zeros(len(recordings), np.float32)
    return ClipCache(build_manifest(rows), samples, np.cumsum(lengths) - lengths, lengths, none_clipped, rate_hz)


def cache_clips(
    manifest: Manifest,
    folder: Path,
    rate_hz: int = 16_000,
    min_s: float = MIN_S,
    max_unreadable_share: float = 0.05,
    num_threads: int | None = None,
) -> ClipCache:
    """Decode the clips of ``manifest`` into ``folder``, or take them from there when they are there and whole.

    Decoded and refused as by ``decode_clip``, then rounded to 16 bits. The cache is named after the manifest, the rate,
    ``min_s`` and the length and date of every file, so a changed file makes a new one; its checksum is compared
    whenever it is opened, and a damaged cache is made again. Raises ``TooManyQuarantinedError`` when more than
    ``max_unreadable_share`` of the files cannot be used (no cache is kept then), and ``OSError`` when the disk is full;
    either way nothing half-written stays behind.
    """
    name = cache_name(manifest, f"{rate_hz}hz", f"{rate_hz} Hz, at least {min_s} s")
    samples_path, notes_path = Path(folder) / f"{name}.i16", Path(folder) / f"{name}.json"
    notes = notes_if_whole(samples_path, notes_path, _NOTES)
    if notes is None:

        def decode(path: str) -> _Decoded:
            try:
                clip = decode_clip(Path(str(manifest.root)) / path, rate_hz, min_s)
            except UnreadableClipError as error:
                return str(error)
            return as_int16(clip.samples), clip.clipped_share

        proof, notes = _write(manifest, samples_path, decode, max_unreadable_share, num_threads or os.cpu_count() or 1)
        write_notes(notes_path, proof, notes)
    unreadable = dict(notes["unreadable"])
    check_share(manifest, unreadable, max_unreadable_share)
    kept, _ = without_unreadable(manifest, unreadable)
    lengths = np.array(notes["lengths"], dtype=np.int64)
    return ClipCache(
        kept,
        np.memmap(samples_path, "<i2", mode="r") if len(lengths) else np.zeros(0, np.int16),
        np.cumsum(lengths) - lengths,
        lengths,
        np.array(notes["clipped_shares"], dtype=np.float32),
        rate_hz,
    )


def _write(
    manifest: Manifest,
    path: Path,
    decode: Callable[[str], _Decoded],
    max_unreadable_share: float,
    num_threads: int,
) -> tuple[dict[str, int], Notes]:
    """Write all samples to ``path``; return the proof and the notes."""
    unreadable: dict[str, str] = {}
    lengths, clipped_shares = [], []
    with replaced_atomically(path) as temporary, ThreadPoolExecutor(num_threads) as threads:
        with temporary.open("wb") as file:
            clips = _in_order(threads, decode, manifest.examples["path"], _AHEAD * num_threads)
            for row, clip in enumerate(tqdm(clips, "decoding clips", len(manifest), mininterval=2, unit="clip")):
                if isinstance(clip, str):
                    unreadable[str(row)] = clip
                    continue
                file.write(clip[0].astype("<i2").tobytes())
                lengths.append(len(clip[0]))
                clipped_shares.append(clip[1])
        check_share(manifest, unreadable, max_unreadable_share)
        notes: Notes = {"unreadable": unreadable, "lengths": lengths, "clipped_shares": clipped_shares}
        return proof_of(temporary, notes), notes


def _in_order(
    threads: ThreadPoolExecutor, decode: Callable[[str], _Decoded], paths: Iterable[str], num_ahead: int
) -> Iterator[_Decoded]:
    """Map like ``threads.map``, with at most ``num_ahead`` clips in memory: a corpus does not fit into it."""
    waiting: deque[Future[_Decoded]] = deque()
    for path in paths:
        waiting.append(threads.submit(decode, path))
        if len(waiting) >= num_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
