"""Clips in memory whose labels are known, for the tests of the pipelines of voices."""

import numpy as np
import pandas as pd

from agegender.data.cache import ExampleCache
from agegender.data.manifest import build_manifest


def clips_of(table, num_samples, rate_hz=16_000, scheme=None):
    """A cache with ``num_samples`` of noise for each row of ``table``, which has at least subjects."""
    named = {"path": [f"{row}.wav" for row in range(len(table))], "corpus": "spoken", "modality": "voice"}
    manifest = build_manifest(table.assign(**named), scheme=scheme)
    samples = np.random.default_rng(0).integers(-9_000, 9_000, len(table) * num_samples, dtype=np.int16)
    starts = np.arange(len(table)) * num_samples
    return ExampleCache(manifest, samples, starts, np.full(len(table), num_samples), rate_hz)


def shown(batches):
    """The names of the examples of some batches."""
    return set(batches.cache.manifest.examples["path"])


def people(num_subjects, clips_of_each):
    """A table of subjects of both genders from 20 to 59 years."""
    number = np.repeat(np.arange(num_subjects), clips_of_each)
    gender = np.where(number % 2, "female", "male")
    return pd.DataFrame({"subject": [f"s{n}" for n in number], "age": 20.0 + number % 40, "gender": gender})
