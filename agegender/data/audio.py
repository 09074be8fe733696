"""Recordings as numbers: decoding a file to one channel at one rate, and the part of it that a model gets."""

from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import soxr

from agegender.data.cache import ExampleCache, cache_examples
from agegender.data.manifest import Manifest, UnreadableFileError
from agegender.data.missing_bytes import cut_short
from agegender.data.samplers import Draws

if TYPE_CHECKING:
    from agegender.data.audio_augmentation import AudioAugmentation, ChannelAugmentation

MIN_S = 0.1
"""A recording must last at least this long: four frames of 25 ms."""
MAX_S = 3600
"""A longer recording is refused before it is decoded."""
SILENT = 1e-4
"""What never leaves its mean by more than this is silent: 80 dB below full scale, three steps of 16 bits."""
LOUDEST = 8.0
"""Decoders of lossy formats go a little beyond full scale; a float file beyond this is in other units."""


def read_clip(path: Path, rate_hz: int = 16_000) -> np.ndarray:
    """Decode whatever libsndfile knows into (samples,) float32 in [-1, 1] at ``rate_hz``.

    Channels are averaged, another rate is resampled (soxr, high quality), and what then lies outside is cut. Raises
    ``UnreadableFileError`` for a file that is missing, empty, cut short, in no known format, shorter than ``MIN_S`` or
    longer than ``MAX_S`` seconds, silent, or with values that are no numbers or beyond ``LOUDEST``.
    """
    channels, source_rate_hz = _decoded(Path(path))
    if not np.isfinite(channels).all():
        raise UnreadableFileError(f"{path}: {np.sum(~np.isfinite(channels))} values are not finite numbers")
    peak = float(np.abs(channels).max())
    if peak > LOUDEST:
        raise UnreadableFileError(f"{path}: values up to {peak:g}, where full scale is 1: other units?")
    samples = channels.mean(1)
    if np.abs(samples - samples.mean()).max() <= SILENT:
        raise UnreadableFileError(f"{path}: silent")
    if source_rate_hz != rate_hz:
        samples = soxr.resample(samples, source_rate_hz, rate_hz)
    return np.clip(samples, -1, 1)


def as_float(samples: np.ndarray) -> np.ndarray:
    """Return int16 samples as float32 in [-1, 1)."""
    return samples.astype(np.float32) / np.float32(32768)


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Return samples in [-1, 1] as int16, rounded to the nearest of 32768 steps; 1 becomes 32767."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def cache_clips(manifest: Manifest, folder: Path, rate_hz: int = 16_000) -> ExampleCache:
    """Cache the clips of ``manifest`` in ``folder`` as ``read_clip`` reads them; all else as ``cache_examples``."""
    key = f"{rate_hz} Hz, at least {MIN_S} s"
    return cache_examples(manifest, folder, lambda _: lambda path: as_int16(read_clip(path, rate_hz)), key, rate_hz)


@dataclass(frozen=True)
class Crop:
    """The ``num_samples`` of a clip that a net gets.

    In training it begins at a random place, with ``is_random=False`` at the first sample. A shorter clip is looped;
    with ``is_looped=False`` zeros follow.
    """

    num_samples: int
    is_looped: bool = True
    is_random: bool = True

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {self.num_samples}")

    def of(self, clip: np.ndarray, start: int = 0) -> np.ndarray:
        """Return the crop of a clip (samples,) from ``start`` on: (num_samples,). A shorter clip begins at its first.

        >>> Crop(5).of(np.arange(3)).tolist(), Crop(5, is_looped=False).of(np.arange(3)).tolist()
        ([0, 1, 2, 0, 1], [0, 1, 2, 0, 0])
        """
        if len(clip) >= self.num_samples:
            return clip[start : start + self.num_samples]
        return np.resize(clip, self.num_samples) if self.is_looped else np.pad(clip, (0, self.num_samples - len(clip)))


@dataclass(frozen=True)
class RandomCrop:
    """A ``crop`` of a clip for training, with ``augmentation`` if there is one: a transform.

    It begins at ``int(u * (length - num_samples))`` for a uniform ``u``, or at the first sample where the crop is not
    random. ``num_more_uniforms`` numbers go along as ``uniforms``, for whatever is done on the device.
    """

    crop: Crop
    augmentation: "AudioAugmentation | ChannelAugmentation | None" = None
    num_more_uniforms: int = 0

    @property
    def num_uniforms(self) -> int:
        """One for the crop, and those that go along."""
        return 1 + self.num_more_uniforms

    @property
    def settings(self) -> dict[str, Any]:
        """What a record says of it."""
        has_augmentation = self.augmentation is not None
        return {"num_draws": self.num_more_uniforms, "crop": asdict(self.crop), "has_surroundings": has_augmentation}

    def check(self, cache: ExampleCache) -> None:
        """Raise ``ValueError`` for clips at another rate than the sounds that are added to them."""
        for sounds in self.augmentation.caches if self.augmentation else []:
            if sounds.rate_hz != cache.rate_hz:
                raise ValueError(f"sounds at {sounds.rate_hz} Hz cannot be added to clips at {cache.rate_hz} Hz")

    def __call__(self, clip: np.ndarray, draws: Draws) -> dict[str, Any]:
        """Return ``clips`` (num_samples,) int16, augmented float32 with full scale at 1, and ``uniforms`` if any."""
        room = max(0, len(clip) - self.crop.num_samples) if self.crop.is_random else 0
        samples = self.crop.of(clip, int(float(draws.uniforms[0]) * room))
        if self.augmentation is not None:
            samples = self.augmentation.apply(as_float(samples), draws.generator())
        entries = {"clips": samples}
        return entries | {"uniforms": draws.uniforms[1:]} if self.num_more_uniforms else entries


@dataclass(frozen=True)
class EvenCrops:
    """``num_crops`` of a clip, spread evenly from the first sample to the last; one alone begins at the first.

    A transform. ``num_uniforms`` numbers go along as ``uniforms``, for published code that augments what it evaluates.
    """

    crop: Crop
    num_crops: int = 1
    num_uniforms: int = 0

    def __post_init__(self) -> None:
        if self.num_crops < 1:
            raise ValueError(f"num_crops must be at least 1, got {self.num_crops}")

    @property
    def settings(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"crop": asdict(self.crop), "num_crops": self.num_crops, "num_draws": self.num_uniforms}

    def check(self, cache: ExampleCache) -> None:
        """Take any clip."""

    def __call__(self, clip: np.ndarray, draws: Draws) -> dict[str, Any]:
        """Return ``clips`` int16 (num_samples,), of several crops (num_crops, num_samples), and ``uniforms`` if any."""
        room = max(0, len(clip) - self.crop.num_samples)
        starts = np.linspace(0, room, self.num_crops).astype(np.int64)
        crops = np.stack([self.crop.of(clip, start) for start in starts])
        entries = {"clips": crops[0] if self.num_crops == 1 else crops}
        return entries | {"uniforms": draws.uniforms} if self.num_uniforms else entries


def _decoded(path: Path) -> tuple[np.ndarray, int]:
    """Decode into (samples, channels) float32, and the rate in Hz."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableFileError(f"{path}: no such file") from error
    except OSError as error:
        raise UnreadableFileError(f"{path}: {error.strerror or error}") from error
    if (missing := cut_short(content) if content else "an empty file") is not None:
        raise UnreadableFileError(f"{path}: {missing}")
    try:
        with soundfile.SoundFile(BytesIO(content)) as file:  # from memory: a name could suggest another format
            rate_hz = file.samplerate
            if file.frames > MAX_S * rate_hz:
                raise UnreadableFileError(f"{path}: {file.frames / rate_hz:.0f} s, more than {MAX_S}")
            channels = file.read(dtype="float32", always_2d=True)
            if len(channels) < file.frames and file.format != "MP3":  # an MP3 without a header states a guess
                raise UnreadableFileError(f"{path}: cut short: {len(channels):,} of {file.frames:,} samples")
    except soundfile.SoundFileError as error:
        raise UnreadableFileError(f"{path}: {_reason(content, error)}") from error
    if len(channels) < max(1, MIN_S * rate_hz):
        raise UnreadableFileError(f"{path}: {len(channels) / rate_hz:.3g} s of sound, less than {MIN_S:g}")
    return channels, rate_hz


def _reason(content: bytes, error: Exception) -> str:
    if content.startswith(b"NIST_1A"):
        return "a NIST SPHERE file in a coding that cannot be read, most likely compressed: unpack it with sph2pipe"
    said = getattr(error, "error_string", None) or str(error)
    return "not a recording that can be identified" if "not recognised" in said else said.strip().rstrip(".")
