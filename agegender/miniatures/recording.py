"""Writing synthetic clips to audio files."""

from pathlib import Path

import numpy as np


def write_clip(path: Path, samples: np.ndarray, rate_hz: int, container: str = "WAV", encoding: str = "PCM_16") -> None:
    """Write ``samples`` (within -1 and 1) to a file of libsndfile's ``container`` and ``encoding``, whatever its name.

    Used here are ``WAV``, ``NIST`` (SPHERE; little-endian, as in TIMIT), ``MP3`` with ``MPEG_LAYER_III`` and ``OGG``
    with ``OPUS``.
    """
    import soundfile  # here, so that the miniatures of faces do without it

    path.parent.mkdir(parents=True, exist_ok=True)
    endian = "LITTLE" if container == "NIST" else None
    soundfile.write(path, samples, rate_hz, format=container, subtype=encoding, endian=endian)
