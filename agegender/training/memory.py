"""Keeping freed memory: on a CPU a training step asks for the same large blocks again and again."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # the names of malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
_MAX_MMAP_THRESHOLD = 32 * 1024 * 1024  # glibc refuses more


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks for the next step instead of handing them back to the kernel.

    A block that was handed back costs a page fault for every 4 KB when it is asked for again: standardising a batch of
    faces takes several times as long. Returns whether the C library is one that can be told so.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all([mallopt(_TRIM_THRESHOLD, 2**31 - 1), mallopt(_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD)])
