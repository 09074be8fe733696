"""Who trained, who selected and who was tested: read from what a run really uses, and held against its recipe."""

import hashlib
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.manifest import Manifest

Parts = dict[str, np.ndarray]
"""Row numbers of the manifest by part: ``train``, ``validation``, ``test``."""

Shared = Literal["no parts", "train and validation", "all parts"]


@dataclass(frozen=True)
class Protocol:
    """What the parts of a run may have in common. As intended: nothing.

    ``selects_on_test`` says that the validation part is the test part. ``shares_subjects`` names the parts among which
    a subject may stand twice.
    """

    selects_on_test: bool = False
    shares_subjects: Shared = "no parts"

    def may_share_examples(self, first: str, second: str) -> bool:
        """Say whether an example may be in both parts."""
        return self.selects_on_test and {first, second} == {"validation", "test"}

    def may_share_subjects(self, first: str, second: str) -> bool:
        """Say whether a subject may be in both parts."""
        if self.shares_subjects == "all parts" or self.may_share_examples(first, second):
            return True
        return self.shares_subjects == "train and validation" and "test" not in (first, second)


def rows_of(batches: TrainingBatches | EvaluationBatches, manifest: Manifest) -> np.ndarray:
    """Return which rows of ``manifest`` the examples of ``batches`` are, by their paths.

    Raises ``ValueError`` for an example that is not in the manifest.
    """
    rows = pd.Index(manifest.examples["path"]).get_indexer(batches.cache.manifest.examples["path"])
    if (rows < 0).any():
        raise ValueError(f"{(rows < 0).sum()} of {len(rows)} examples are not in the manifest of this run")
    return rows


def checked_overlaps(parts: Parts, examples: pd.DataFrame, protocol: Protocol) -> dict[str, dict[str, int]]:
    """Return for each pair of parts, as ``train and test``, how many ``examples`` and ``subjects`` are in both.

    Raises ``ValueError`` naming the subjects when parts have in common what ``protocol`` does not allow.
    """
    subjects, found = examples["subject"].to_numpy(), {}
    for first, second in combinations(parts, 2):
        both = f"{first} and {second}"
        shared = np.intersect1d(subjects[parts[first]].astype(str), subjects[parts[second]].astype(str))
        if len(shared) and not protocol.may_share_subjects(first, second):
            names = ", ".join(repr(str(name)) for name in shared[:5]) + (", ..." if len(shared) > 5 else "")
            raise ValueError(
                f"{len(shared)} subjects are in both {both}, which the recipe does not allow: {names}. "
                "Nothing was trained: draw the parts anew"
            )
        twice = np.intersect1d(parts[first], parts[second])
        if len(twice) and not protocol.may_share_examples(first, second):
            raise ValueError(
                f"{len(twice)} examples are in both {both}, which the recipe does not allow, the first is "
                f"{examples['path'].iloc[twice[0]]!r}. Nothing was trained: draw the parts anew"
            )
        found[both] = {"examples": len(twice), "subjects": len(shared)}
    if protocol.selects_on_test and set(parts["validation"]) != set(parts["test"]):
        raise ValueError("the recipe selects on the test part, but validation and test have other examples")
    return found


def describe_parts(parts: Parts, examples: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return for each part its size, a hash of its rows, and by corpus of its examples how often each label occurs.

    The hash does not depend on the order of the rows. No name is in it.
    """
    return {name: _described(np.sort(rows), examples) for name, rows in parts.items()}


def _described(rows: np.ndarray, examples: pd.DataFrame) -> dict[str, Any]:
    own = examples.iloc[rows]
    return {
        "num_examples": len(own),
        "num_subjects": int(own["subject"].nunique()),
        "rows_hash": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:16],
        "labels": {
            str(name): _label_counts(part)
            for name, part in own.groupby("source_corpus" if "source_corpus" in own else "corpus")
        },
    }


def _label_counts(examples: pd.DataFrame) -> dict[str, dict[str, int]]:
    columns = [name for name in ("age", "age_group", "gender", "age_label") if name in examples]
    counts = {name: examples[name].dropna().value_counts().sort_index() for name in columns}
    return {name: {str(label): int(n) for label, n in found.items()} for name, found in counts.items()}
