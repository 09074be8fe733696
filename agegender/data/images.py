"""Faces as numbers: decoding a file, resizing as published code does, augmenting, standardising."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from agegender.data.cache import ExampleCache, cache_examples
from agegender.data.manifest import Manifest, UnreadableFileError
from agegender.data.samplers import Draws

MAX_PIXELS = 64_000_000
"""A picture of more pixels than this is refused before it is decoded."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Red, green and blue of ImageNet's pictures, for values in [0, 1]."""
_REASONS: dict[type[Exception], str] = {
    FileNotFoundError: "no such file", UnidentifiedImageError: "not a picture that can be identified"
}  # fmt: skip

Resize = Literal["filtered", "tensorflow_1", "tensorflow_2", "opencv"]
"""How pictures shrink: by a filter as wide as that takes, or as in published code, which reads two neighbours in each
direction whatever the size (``sampled``). TensorFlow's data preparation then cuts the values to whole numbers and
writes a JPEG of quality 100 once more; OpenCV rounds."""


def decode_image(path: Path, size_px: int, resize: Resize = "filtered") -> np.ndarray:
    """Decode a picture and resize it to a square: uint8 RGB of shape (``size_px``, ``size_px``, 3).

    It is turned as its EXIF data say. Of 16 bits a pixel the upper eight are taken; transparency is ignored. Raises
    ``UnreadableFileError`` for a file that is missing, half-written, no picture, of more than ``MAX_PIXELS``, or of
    32-bit pixels.
    """
    if resize not in get_args(Resize):
        raise ValueError(f"resize must be one of {', '.join(map(repr, get_args(Resize)))}, got {resize!r}")
    with _decoded(path, size_px if resize == "filtered" else None) as image:
        if resize == "filtered":
            return np.asarray(image.resize((size_px, size_px), Image.Resampling.BILINEAR, reducing_gap=2.0))
        pixels = sampled(torch.from_numpy(np.array(image))[None], size_px, resize != "tensorflow_1")[0]
    if resize == "opencv":
        return pixels.round().to(torch.uint8).numpy()
    jpeg = BytesIO()
    Image.fromarray(pixels.to(torch.uint8).numpy()).save(jpeg, "JPEG", quality=100)
    return np.asarray(Image.open(jpeg))


def decode_whole(path: Path, longest_px: int) -> np.ndarray:
    """Decode a picture, reduced to ``longest_px`` if it is larger: uint8 RGB of shape (height, width, 3).

    Turned, converted and refused as by ``decode_image``.
    """
    with _decoded(path, longest_px) as image:
        scale = longest_px / max(image.size)
        if scale >= 1:
            return np.asarray(image)
        width, height = (max(1, round(side * scale)) for side in image.size)
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))


def cache_images(manifest: Manifest, folder: Path, size_px: int, resize: Resize = "filtered") -> ExampleCache:
    """Cache the faces of ``manifest`` in ``folder`` as ``decode_image`` makes them; all else as ``cache_examples``."""
    key = f"{size_px} {resize}"
    return cache_examples(manifest, folder, lambda _: lambda path: decode_image(path, size_px, resize), key)


@dataclass(frozen=True)
class CentreCrop:
    """The central ``crop_px`` of a face, or the whole face: a transform in which nothing is random."""

    crop_px: int | None = None

    num_uniforms: ClassVar[int] = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"augmentation": None} | ({} if self.crop_px is None else {"crop_px": self.crop_px})

    def check(self, cache: ExampleCache) -> None:
        """Raise ``ValueError`` for faces that are smaller than the crop."""
        _check_crop(self.crop_px or 1, cache)

    def __call__(self, face: np.ndarray, draws: Draws) -> dict[str, Any]:
        """Return the face (height, width, 3) uint8 as ``images`` (side, side, 3)."""
        side = self.crop_px or len(face)
        margin = (len(face) - side) // 2
        return {"images": face[margin : margin + side, margin : margin + side]}


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training face: a transform.

    ``crop_px`` is the side of the random square crop; ``flips`` mirrors half of the faces; ``contrast`` (low, high) is
    the range of the factor by which a channel is moved away from its mean, ``None`` for none.
    """

    crop_px: int
    flips: bool = True
    contrast: tuple[float, float] | None = (0.2, 1.8)

    num_uniforms: ClassVar[int] = 4

    @property
    def settings(self) -> dict[str, Any]:
        """What a record says of it."""
        return {"augmentation": asdict(self)}

    def check(self, cache: ExampleCache) -> None:
        """Raise ``ValueError`` for faces that are smaller than the crop."""
        _check_crop(self.crop_px, cache)

    def __call__(self, face: np.ndarray, draws: Draws) -> dict[str, Any]:
        """Return the crop as ``images`` (crop_px, crop_px, 3) uint8 and the factor as ``contrast``, float32."""
        top, left, flip, contrast = draws.uniforms
        room = len(face) - self.crop_px + 1
        y, x = int(top * room), int(left * room)
        crop = face[y : y + self.crop_px, x : x + self.crop_px]
        if self.flips and flip < 0.5:
            crop = torch.tensor(crop).flip(1).numpy()  # NumPy copies pixels of three bytes one by one
        low, high = self.contrast or (1.0, 1.0)
        return {"images": crop, "contrast": low + (high - low) * contrast}


def _check_crop(crop_px: int, cache: ExampleCache) -> None:
    if crop_px > cache.array.shape[1]:
        raise ValueError(f"a crop of {crop_px} px does not fit into faces of {cache.array.shape[1]} px")


@contextmanager
def _decoded(path: Path, wanted_px: int | None) -> Iterator[Image.Image]:
    """Give the upright RGB picture; a JPEG that is much larger than ``wanted_px``, if given, in a smaller size."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableFileError(f"{path}: {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            if wanted_px is not None:
                image.draft("RGB", (wanted_px, wanted_px))
            yield _as_rgb(ImageOps.exif_transpose(image), path)
    except UnreadableFileError:
        raise
    except Exception as error:  # the decoders of damaged files raise whatever they come upon
        reason = _REASONS.get(type(error)) or str(error) or type(error).__name__
        raise UnreadableFileError(f"{path}: {reason}") from error


def _as_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I;16"):  # convert() would cut everything above 255 to white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UnreadableFileError(f"{path}: 32-bit pixels, whose range no one states")
    return image.convert("RGB")


def sampled(images: Tensor, size_px: int, has_half_pixels: bool) -> Tensor:
    """Resize ``images`` (batch, height, width, 3) bilinearly, unfiltered: float (batch, size_px, size_px, 3).

    Pixel ``i`` of the result lies at ``(i + 0.5) * old / new - 0.5`` of the source (``tf.image.resize`` of
    TensorFlow 2, OpenCV), or without half pixels at ``i * old / new`` (``tf.image.resize_images`` of TensorFlow 1).
    """
    resized = images.to(torch.float32)
    for axis in (2, 1):
        old = resized.shape[axis]
        shift = 0.5 if has_half_pixels else 0.0
        position = (torch.arange(size_px, dtype=torch.float32, device=images.device) + shift) * (old / size_px) - shift
        low = position.floor().long()
        weight = (position - low).view((-1, 1) if axis == 2 else (-1, 1, 1))
        first = resized.index_select(axis, low.clamp(0, old - 1))
        second = resized.index_select(axis, (low + 1).clamp(0, old - 1))
        resized = first + (second - first) * weight
    return resized


def standardise(images: Tensor, contrast: Tensor | None = None) -> Tensor:
    """Give each picture zero mean and unit standard deviation over all its pixels and channels.

    ``images`` (batch, height, width, 3), values of 0 to 255 -> float (batch, 3, height, width) in the channels-last
    layout. As TensorFlow's ``per_image_standardization`` the divisor is ``max(std, 1 / sqrt(num_values))`` for values
    in [0, 1], with the population standard deviation. ``contrast`` (batch,) first moves each channel away from its own
    mean by that factor (``random_contrast``); a random brightness would cancel exactly.
    """
    batch, height, width, channels = images.shape
    rows = images.reshape(batch, height, width * channels)  # long rows: channels alone are too short
    rows = rows.to(torch.float32, copy=True)
    mean = rows.sum(1).view(batch, width, channels).sum(1) / (height * width)  # (batch, 3), values of 0 to 255
    square = rows.square().sum(1).view(batch, width, channels).sum(1) / (height * width)
    factor = torch.ones(batch, device=images.device) if contrast is None else contrast.to(images.device)
    centre = mean.mean(1)  # (batch,): contrast leaves the channels' means as they are
    variance = (square - mean.square()).mean(1)  # (batch,), within channels
    total = factor.square() * variance + (mean - centre[:, None]).square().mean(1)
    divisor = total.clamp_min(0).sqrt().clamp_min(255 / math.sqrt(height * width * channels))
    shift = (mean * (1 - factor[:, None]) - centre[:, None]) / divisor[:, None]  # (batch, 3)
    rows.mul_((factor / divisor)[:, None, None]).add_(shift.repeat(1, width)[:, None])
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


def normalise(images: Tensor, order: Literal["rgb", "bgr"] = "rgb") -> Tensor:
    """Give the pixels the scale that nets trained on ImageNet know: ``(value / 255 - mean) / std`` for each channel.

    ``images`` (batch, height, width, 3) uint8 RGB -> float (batch, 3, height, width) in the channels-last layout.
    ``order="bgr"`` turns the channels round and leaves the statistics as they are, so that blue meets the mean of red,
    as in pipelines that decode with OpenCV. Raises ``ValueError`` for pixels that are not uint8 RGB.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"faces are (batch, height, width, 3) uint8, got {tuple(images.shape)} {images.dtype}")
    if order not in ("rgb", "bgr"):
        raise ValueError(f"order must be 'rgb' or 'bgr', got {order!r}")
    if order == "bgr":
        images = images.index_select(-1, torch.tensor([2, 1, 0], device=images.device))  # flip takes twice as long
    batch, height, width, channels = images.shape
    rows = images.reshape(batch, height, width * channels).to(torch.float32)  # long rows: channels alone are too short
    shift = torch.tensor([255 * value for value in IMAGENET_MEAN], device=images.device).repeat(width)
    scale = torch.tensor([1 / (255 * value) for value in IMAGENET_STD], device=images.device).repeat(width)
    return rows.sub_(shift).mul_(scale).view(batch, height, width, channels).permute(0, 3, 1, 2)
