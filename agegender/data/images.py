"""Faces as numbers: decoding a file, resizing as TensorFlow 1 does, standardising by the picture or by ImageNet."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

MAX_PIXELS = 64_000_000
"""A picture of more pixels than this is refused before it is decoded."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Red, green and blue of ImageNet's pictures, for values in [0, 1]."""


class UnreadableImageError(ValueError):
    """A file that cannot be decoded as a picture; the message names the file and says why."""


def decode_image(path: Path, size_px: int) -> np.ndarray:
    """Decode a picture and resize it to a square: uint8 RGB of shape (``size_px``, ``size_px``, 3).

    The picture is turned as its EXIF data say. A JPEG that is much larger than asked for is decoded at a half,
    a quarter or an eighth of its size, which the format gives at a fraction of the cost. Of 16 bits a pixel the upper
    eight are taken; transparency is ignored. Raises ``UnreadableImageError`` for a file that is missing, half-written,
    no picture, of more than ``MAX_PIXELS``, or of 32-bit pixels, whose range no one states.
    """
    with _decoded(path, size_px) as image:
        return np.asarray(image.resize((size_px, size_px), Image.Resampling.BILINEAR, reducing_gap=2.0))


def decode_whole(path: Path, longest_px: int) -> np.ndarray:
    """Decode a picture in its own proportions: uint8 RGB of shape (height, width, 3), neither above ``longest_px``.

    A larger picture is reduced to ``longest_px``, a smaller one stays as it is. Turned, converted and refused as by
    ``decode_image``.
    """
    with _decoded(path, longest_px) as image:
        scale = longest_px / max(image.size)
        if scale >= 1:
            return np.asarray(image)
        width, height = (max(1, round(side * scale)) for side in image.size)
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))


@contextmanager
def _decoded(path: Path, wanted_px: int) -> Iterator[Image.Image]:
    """Give the upright RGB picture; a JPEG that is much larger than ``wanted_px`` each way in a smaller size."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImageError(f"{path}: {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
            image.draft("RGB", (wanted_px, wanted_px))
            yield _as_rgb(ImageOps.exif_transpose(image), path)
    except UnreadableImageError:
        raise
    except Exception as error:  # the decoders of damaged files raise whatever they come upon
        raise UnreadableImageError(f"{path}: {_without_path(error)}") from error


def _as_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I;16"):  # convert() would cut everything above 255 to white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UnreadableImageError(f"{path}: 32-bit pixels, whose range no one states")
    return image.convert("RGB")


def _without_path(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that can be identified"
    return str(error) or type(error).__name__


def resize_as_tensorflow_1(images: np.ndarray, size_px: int) -> np.ndarray:
    """Resize square uint8 ``images`` (..., height, width, 3) as ``tf.image.resize_images`` of TensorFlow 1 does.

    Bilinear without the half-pixel shift and without antialiasing: pixel ``i`` of the result lies at
    ``i * old / new`` of the source. The result is rounded to uint8 (..., ``size_px``, ``size_px``, 3).
    """
    resized = images.astype(np.float32)
    for axis in (-3, -2):
        old = images.shape[axis]
        position = np.arange(size_px, dtype=np.float32) * (old / size_px)
        low = np.floor(position).astype(np.int64)
        high = np.minimum(low + 1, old - 1)
        weight = (position - low).reshape((-1, 1, 1) if axis == -3 else (-1, 1))
        resized = np.take(resized, low, axis) * (1 - weight) + np.take(resized, high, axis) * weight
    return np.rint(resized).astype(np.uint8)


def standardise(images: Tensor, contrast: Tensor | None = None) -> Tensor:
    """Give each picture zero mean and unit standard deviation over all its pixels and channels.

    ``images`` (batch, height, width, 3) uint8 -> float (batch, 3, height, width) in the channels-last layout. As
    TensorFlow's ``per_image_standardization`` the divisor is ``max(std, 1 / sqrt(num_values))`` for values in [0, 1],
    with the population standard deviation.

    ``contrast`` (batch,) first moves each channel away from its own mean by that factor (``random_contrast``): all of
    this is one affine map for each picture and channel, so that the pixels are touched once. A random brightness would
    cancel exactly, and is therefore not offered.
    """
    batch, height, width, channels = images.shape
    rows = images.reshape(batch, height, width * channels).to(torch.float32)  # long rows: channels alone are too short
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


def normalise(images: Tensor, order: Literal["rgb", "bgr"] = "rgb", is_standardised: bool = True) -> Tensor:
    """Give the pixels the scale that nets trained on ImageNet know: ``(value / 255 - mean) / std`` for each channel.

    ``images`` (batch, height, width, 3) uint8 RGB -> float (batch, 3, height, width) in the channels-last layout.
    ``order="bgr"`` turns the channels round and leaves the statistics as they are, so that blue meets the mean of red:
    what a net has learned whose faces came from OpenCV. ``is_standardised=False`` leaves it at ``value / 255``.
    Raises ``ValueError`` for pixels that are not uint8 or not of three channels.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"faces are (batch, height, width, 3) uint8, got {tuple(images.shape)} {images.dtype}")
    if order not in ("rgb", "bgr"):
        raise ValueError(f"order must be 'rgb' or 'bgr', got {order!r}")
    if order == "bgr":
        images = images.index_select(-1, torch.tensor([2, 1, 0], device=images.device))  # flip takes twice as long
    batch, height, width, channels = images.shape
    rows = images.reshape(batch, height, width * channels).to(torch.float32)  # long rows: channels alone are too short
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if is_standardised else ((0.0,) * 3, (1.0,) * 3)
    shift = torch.tensor([255 * value for value in mean], device=images.device).repeat(width)
    scale = torch.tensor([1 / (255 * value) for value in std], device=images.device).repeat(width)
    return rows.sub_(shift).mul_(scale).view(batch, height, width, channels).permute(0, 3, 1, 2)
