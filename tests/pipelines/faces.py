"""Faces in memory with labels, as a pipeline's cache of them would be."""

from dataclasses import replace

import numpy as np
import pandas as pd

from agegender.data.cache import examples_in_memory
from agegender.data.manifest import build_manifest
from agegender.data.splits import Split
from agegender.labels import ADIENCE_8

ALONE = Split(np.array([0]), validation=np.array([1]), test=np.array([2]))


def noise(number=4, side_px=256):
    return np.random.default_rng(0).integers(0, 256, (number, side_px, side_px, 3), dtype=np.uint8)


def faces_in_memory(pictures):
    """The cache of ``pictures`` (examples, side, side, 3), whose people are 0, 1, 2, ... years old."""
    rows = np.arange(len(pictures))
    table = pd.DataFrame({"path": [f"{row}.png" for row in rows], "subject": [f"s{row}" for row in rows]})
    table["age_group"] = pd.array(rows % 8, dtype="Int64")
    table["age"], table["gender"] = rows % 100 * 1.0, np.where(rows % 2, "female", "male")
    manifest = build_manifest(table.assign(corpus="drawn", modality="face"), scheme=ADIENCE_8)
    return replace(examples_in_memory(list(pictures)), manifest=manifest)
