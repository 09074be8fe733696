"""The published surroundings of voices, from the recordings of MUSAN and of simulated rooms."""

from pathlib import Path

import numpy as np

from agegender.corpora.musan_rirs import read_musan, read_rirs
from agegender.data.clips import cache_clips
from agegender.data.noise import Surroundings, published_surroundings


def read_surroundings(data: Path, cache: Path) -> Surroundings | None:
    """Read ``data / "musan"`` and ``data / "rirs"``, decoded into ``cache``; ``None`` when neither folder is there.

    Raises ``FileNotFoundError`` when only one of them is, and otherwise as their readers and ``cache_clips`` do.
    """
    folders = [Path(data) / name for name in ("musan", "rirs")]
    missing = [folder for folder in folders if not folder.is_dir()]
    if len(missing) == 2:
        return None
    if missing:
        raise FileNotFoundError(
            f"{missing[0]} does not exist: what surrounds voices is made of both musan and rirs; put it there, or take "
            "the other folder away to train without"
        )
    sounds, rooms = cache_clips(read_musan(folders[0]), cache), cache_clips(read_rirs(folders[1]), cache)
    kind = sounds.manifest.examples["kind"].to_numpy()
    of_kind = (sounds.select(np.flatnonzero(kind == name)) for name in ("music", "speech", "noise"))
    return published_surroundings(rooms, *of_kind)
