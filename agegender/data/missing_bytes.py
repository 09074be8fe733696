"""Recordings that end too soon: what a file says of its own length, against the bytes that are there.

The decoder takes what is left of a half-copied file for the whole of it.
"""

import math
import re
from typing import Literal

_UNKNOWN_BYTES = 0x7FFF_0000
"""A writer that cannot go back to state the length, as at the end of a pipe, states this or more, or 0."""


def cut_short(content: bytes) -> str | None:
    """Return how much of a recording is missing, ``None`` when nothing is or when the file does not say.

    RIFF (WAV), AIFF, AU, NIST SPHERE, Ogg and MP3 with a Xing header are known. The decoder of FLAC finds it out by
    itself; of the rarer formats (W64, RF64, CAF) and of an MP3 without that header nobody can tell.
    """
    for reading in (_riff_or_aiff, _au, _sphere, _xing):
        found = reading(content)
        if found is not None:
            present, stated = found
            return f"cut short: {max(present, 0):,} of {stated:,} bytes" if present < stated else None
    return "cut short: the last page of the Ogg stream is incomplete" if _has_half_a_page(content) else None


def _riff_or_aiff(content: bytes) -> tuple[int, int] | None:
    """The bytes present and stated of the chunk that holds the samples, ``None`` when its size is not known."""
    order: Literal["little", "big"]
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        name, order = b"data", "little"
    elif content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        name, order = b"SSND", "big"
    else:
        return None
    start = 12
    while start + 8 <= len(content):
        size = int.from_bytes(content[start + 4 : start + 8], order)
        start += 8
        if content[start - 8 : start - 4] == name:
            return (len(content) - start, size) if 0 < size < _UNKNOWN_BYTES else None
        start += size + size % 2
    return None


def _au(content: bytes) -> tuple[int, int] | None:
    if content[:4] != b".snd":
        return None
    start, size = int.from_bytes(content[4:8], "big"), int.from_bytes(content[8:12], "big")
    return (len(content) - start, size) if size < _UNKNOWN_BYTES else None


def _sphere(content: bytes) -> tuple[int, int] | None:
    if content[:8] != b"NIST_1A\n":
        return None
    head = content[:16].split()
    start = int(head[1]) if len(head) > 1 and head[1].isdigit() else 1024
    found = re.findall(rb"(\w+) -i (\d+)", content[:start].split(b"end_head")[0])
    fields = {name: int(value) for name, value in found}
    wanted = {b"sample_count", b"channel_count", b"sample_n_bytes"}
    if not wanted <= fields.keys() or re.search(rb"sample_coding -s\d+ \S*embedded", content[:start]):
        return None  # compressed: the sizes are those of what comes out
    return len(content) - start, math.prod(fields[name] for name in wanted)


def _xing(content: bytes) -> tuple[int, int] | None:
    """The bytes of an MP3 stream. Writers count a frame more or less, so the last hundredth is not asked for."""
    start = 0
    if content[:3] == b"ID3" and len(content) > 10:  # sizes there are of 7 bits a byte
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=True))
    head = re.search(rb"(?:Xing|Info)\0\0\0([\x02\x03\x06\x07\x0a\x0b\x0e\x0f])", content[start : start + 64])
    if head is None or content[start : start + 1] != b"\xff":
        return None
    at = start + head.end() + (4 if head[1][0] & 1 else 0)
    stated = int.from_bytes(content[at : at + 4], "big")
    present = len(content) - start
    return None if 0.99 * stated <= present else (present, stated)


def _has_half_a_page(content: bytes) -> bool:
    if content[:4] != b"OggS":
        return False
    start = content.rfind(b"OggS")
    table_at = start + 27
    if table_at > len(content):
        return True
    body_at = table_at + content[table_at - 1]
    return body_at > len(content) or body_at + sum(content[table_at:body_at]) > len(content)
