"""Recordings as numbers: decoding a file to one channel at one rate, or saying why that cannot be done."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import soxr

from agegender.data.truncation import cut_short

MIN_S = 0.1
"""A recording must last at least this long: four frames of 25 ms."""
MAX_S = 3600
"""A longer recording is refused before it is decoded."""
SILENT = 1e-4
"""What never leaves its mean by more than this is silent: 80 dB below full scale, three steps of 16 bits."""
LOUDEST = 8.0
"""Decoders of lossy formats go a little beyond full scale; a float file beyond this is in other units."""

_FULL_SCALE = 32767 / 32768


class UnreadableClipError(ValueError):
    """A file that cannot be used as a recording; the message names the file and says why."""


@dataclass(frozen=True)
class Clip:
    """A decoded recording.

    ``samples`` (samples,) float32 in [-1, 1] at ``rate_hz``; the file had ``source_rate_hz``. ``clipped_share`` is the
    share of its samples that stood at full scale or beyond (of 16 bits or more), before anything was resampled.
    """

    samples: np.ndarray
    rate_hz: int
    source_rate_hz: int
    clipped_share: float


def read_clip(path: Path, rate_hz: int = 16_000, min_s: float = MIN_S) -> np.ndarray:
    """Return the samples of a recording, (samples,) float32 in [-1, 1] at ``rate_hz``: ``decode_clip``'s samples."""
    return decode_clip(path, rate_hz, min_s).samples


def decode_clip(path: Path, rate_hz: int = 16_000, min_s: float = MIN_S) -> Clip:
    """Decode WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF, NIST SPHERE and whatever else libsndfile knows.

    What the file is, its content decides and not its ending. Channels are averaged, another rate is resampled (soxr,
    high quality), and what then lies outside [-1, 1] is cut to it. A recording that was clipped is no error: voices
    that are loud are voices too; ``clipped_share`` counts it.

    Raises ``UnreadableClipError`` for a file that is missing, empty, cut short (``cut_short``), in no known format,
    shorter than ``min_s`` or longer than ``MAX_S`` seconds, silent, with values that are no numbers, or with values
    beyond ``LOUDEST``, as of a float file that holds 16-bit units.
    """
    channels, source_rate_hz = _decoded(Path(path), min_s)
    if not np.isfinite(channels).all():
        raise UnreadableClipError(f"{path}: {np.sum(~np.isfinite(channels))} values are not finite numbers")
    peak = float(np.abs(channels).max())
    if peak > LOUDEST:
        raise UnreadableClipError(f"{path}: values up to {peak:g}, where full scale is 1: other units?")
    samples = channels.mean(1)
    if np.abs(samples - samples.mean()).max() <= SILENT:
        raise UnreadableClipError(f"{path}: silent")
    if source_rate_hz != rate_hz:
        samples = soxr.resample(samples, source_rate_hz, rate_hz)
    clipped_share = float(np.mean((np.abs(channels) >= _FULL_SCALE).any(1)))
    return Clip(np.clip(samples, -1, 1), rate_hz, source_rate_hz, clipped_share)


def _decoded(path: Path, min_s: float) -> tuple[np.ndarray, int]:
    """Decode into (samples, channels) float32, and the rate in Hz."""
    content = _content(path)
    try:
        with soundfile.SoundFile(BytesIO(content)) as file:  # from memory: a name could suggest another format
            rate_hz = file.samplerate
            if file.frames > MAX_S * rate_hz:
                raise UnreadableClipError(f"{path}: {file.frames / rate_hz:.0f} s, more than {MAX_S}")
            channels = file.read(dtype="float32", always_2d=True)
            if len(channels) < file.frames and file.format != "MP3":  # an MP3 without a header states a guess
                raise UnreadableClipError(f"{path}: cut short: {len(channels):,} of {file.frames:,} samples")
    except soundfile.SoundFileError as error:
        raise UnreadableClipError(f"{path}: {_reason(content, error)}") from error
    if len(channels) < max(1, min_s * rate_hz):
        raise UnreadableClipError(f"{path}: {len(channels) / rate_hz:.3g} s of sound, less than {min_s:g}")
    return channels, rate_hz


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableClipError(f"{path}: no such file") from error
    except OSError as error:
        raise UnreadableClipError(f"{path}: {error.strerror or error}") from error
    if not content:
        raise UnreadableClipError(f"{path}: an empty file")
    missing = cut_short(content)
    if missing is not None:
        raise UnreadableClipError(f"{path}: {missing}")
    return content


def _reason(content: bytes, error: Exception) -> str:
    if content.startswith(b"NIST_1A"):
        return "a NIST SPHERE file in a coding that cannot be read, most likely compressed: unpack it with sph2pipe"
    said = getattr(error, "error_string", None) or str(error)
    return "not a recording that can be identified" if "not recognised" in said else said.strip().rstrip(".")
