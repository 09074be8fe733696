import numpy as np
import pandas as pd
import pytest

from agegender.data.clips import ClipCache
from agegender.data.manifest import build_manifest


@pytest.fixture(scope="session")
def cache_of():
    """A function from int16 clips to the cache that holds them, without files."""

    def made(clips, rate_hz=16_000):
        names = [f"{number}.wav" for number in range(len(clips))]
        table = pd.DataFrame({"path": names or ["none"], "subject": "s", "corpus": "spoken", "modality": "voice"})
        manifest = build_manifest(table)
        lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
        samples = np.concatenate([np.zeros(0, np.int16), *clips]).astype(np.int16)
        starts, clipped = np.cumsum(lengths) - lengths, np.zeros(len(clips), np.float32)
        return ClipCache(
            manifest.select(manifest.examples["path"].isin(names)), samples, starts, lengths, clipped, rate_hz
        )

    return made
