"""Finding copies of one picture in a corpus that does not say who is shown."""

import numpy as np
from PIL import Image

HASH_BITS = 256
"""Length of a difference hash: 16 rows of 16 comparisons."""


def difference_hash(image: Image.Image) -> np.ndarray:
    """Return the difference hash of an image as 4 ``uint64`` (256 bits).

    The image is made grey and 17 x 16 pixels small; each bit says whether a pixel is brighter than its left neighbour.
    Copies of a picture that differ in size, compression or brightness differ in few bits; two pictures that have
    nothing to do with each other differ in about half of them.
    """
    small = np.asarray(image.convert("L").resize((17, 16), Image.Resampling.LANCZOS), dtype=np.int16)
    return np.packbits((small[:, 1:] > small[:, :-1]).ravel()).view(np.uint64)


def near_duplicate_groups(hashes: np.ndarray, max_bits: int) -> np.ndarray:
    """Return for each hash the number of the first hash that it is a copy of, itself if it is none.

    ``hashes`` is ``(n, 4)`` ``uint64``. Two hashes that differ in at most ``max_bits`` bits belong together, and so do
    those that are connected by a chain of such pairs. The result is ``(n,)`` ``int64``. All pairs are compared
    (about one second for 11,000 hashes).
    """
    first = np.arange(len(hashes))
    for start in range(0, len(hashes), 256):
        block = hashes[start : start + 256]
        distance = np.zeros((len(block), len(hashes)), dtype=np.int16)
        for word in range(hashes.shape[1]):
            distance += np.bitwise_count(block[:, None, word] ^ hashes[None, :, word])
        for row, other in zip(*np.nonzero(distance <= max_bits), strict=True):
            _join(first, start + int(row), int(other))
    return np.array([_root(first, index) for index in range(len(hashes))], dtype=np.int64)


def _root(first: np.ndarray, index: int) -> int:
    while first[index] != index:
        index = int(first[index])
    return index


def _join(first: np.ndarray, a: int, b: int) -> None:
    low, high = sorted((_root(first, a), _root(first, b)))
    first[high] = low
