"""Area resize of pictures and of boxes cut from them by an integral image (Crow 1984, Summed-area tables, SIGGRAPH).

A pixel of the result is the mean over the pixels that it covers, as in ``adaptive_avg_pool2d``: pixel ``i`` of ``n``
covers those from ``floor(i * length / n)`` to ``ceil((i + 1) * length / n)``.
"""

import numpy as np


def integral_image(image: np.ndarray) -> np.ndarray:
    """Return the sums of all pixels above and to the left: uint8 (height, width, 3) -> int32, one larger each way.

    Sums beyond 31 bits wrap around, which cancels in the difference of any area of fewer than 8 million pixels.
    """
    height, width, channels = image.shape
    sums = np.zeros((height + 1, width + 1, channels), np.int32)
    np.cumsum(image, axis=0, dtype=np.int32, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, dtype=np.int32, out=sums[1:, 1:])
    return sums


def area_resize(sums: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the whole picture of ``integral_image`` in another size: float32 (``height``, ``width``, 3)."""
    zero = np.zeros(1, np.int64)
    (top,), (bottom,) = _edges(zero, np.array([sums.shape[0] - 1]), height)
    (left,), (right,) = _edges(zero, np.array([sums.shape[1] - 1]), width)
    rows = sums[bottom] - sums[top]
    return _mean(rows[:, right] - rows[:, left], (bottom - top)[:, None] * (right - left))


def cut_out(sums: np.ndarray, boxes: np.ndarray, size_px: int) -> np.ndarray:
    """Return parts of the picture of ``integral_image`` in one size: float32 (boxes, ``size_px``, ``size_px``, 3).

    ``boxes`` (boxes, 4) integers: left, top, right, bottom, inside the picture and at least one pixel wide and high.
    """
    left, right = _edges(boxes[:, 0], boxes[:, 2] - boxes[:, 0], size_px)
    top, bottom = _edges(boxes[:, 1], boxes[:, 3] - boxes[:, 1], size_px)
    pixels, width = sums.reshape(-1, sums.shape[2]), sums.shape[1]

    def at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return pixels.take(rows[:, :, None] * width + columns[:, None, :], axis=0)

    total = at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)
    return _mean(total, (bottom - top)[:, :, None] * (right - left)[:, None, :])


def _mean(total: np.ndarray, area: np.ndarray) -> np.ndarray:
    return total.astype(np.float32) / area[..., None].astype(np.float32)


def _edges(start: np.ndarray, length: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each of ``num`` pixels starts and ends, both (boxes, ``num``)."""
    number = np.arange(num)
    first = number * length[:, None] // num
    last = -(-(number + 1) * length[:, None] // num)
    return start[:, None] + first, start[:, None] + last
