"""Parts that several notebooks share, and parts as published lists of lines.

Published lists count lines: a file of a fold can list an example twice, and lists others that no protocol uses. A
corpus with such files says so in two columns of its manifest: ``repeats``, on how many lines an example stands, and
``fold_lines``, how many lines the file of its fold has.
"""

import hashlib

import numpy as np
import pandas as pd

from agegender.data.splits import Split, by_subject, folds_of, split_by_subject, test_and_pool


def parts_of_subjects(table: pd.DataFrame, test_fold: int, seed: int) -> pd.Series:
    """Return ``train``, ``validation`` or ``test`` for each subject (the index) of a whole table.

    Arguments and errors are those of ``split_by_subject``.
    """
    split = split_by_subject(table, folds_of(table), test_fold, seed)
    parts = {subject: name for name, part in split.parts(table).items() for subject in part["subject"]}
    return pd.Series(parts, name="part", dtype="str").sort_index()


def split_of_subjects(examples: pd.DataFrame, parts: pd.Series) -> Split:
    """Return the rows of ``examples`` in the ``parts`` of their subjects; ``ValueError`` for a subject without one."""
    own = by_subject(examples, parts.to_dict()).to_numpy()
    return Split(*(np.flatnonzero(own == name) for name in ("train", "validation", "test")))


def digest_of(parts: pd.Series) -> str:
    """Return twelve digits that say who is in which part."""
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()[:12]


def check_pretraining(facts: dict, corpus: str, parts: pd.Series) -> None:
    """Raise ``ValueError`` for an encoder pretrained on ``corpus`` with other people held back than those of ``parts``.

    ``facts`` are those of its file, with ``corpus`` and ``parts`` (``digest_of``).
    """
    if facts.get("corpus") == corpus and facts.get("parts") != digest_of(parts):
        raise ValueError(
            f"the encoder of fold {facts.get('fold')} was pretrained on {corpus} with other people held back than are "
            "in this validation and this test, so it may have met them: pretrain it again (2_pretrain)"
        )


def repeats_of(examples: pd.DataFrame) -> np.ndarray:
    """Return on how many lines each example stands: whole numbers of at least 1, (examples,)."""
    if "repeats" not in examples:
        return np.ones(len(examples), np.int64)
    return examples["repeats"].to_numpy(np.int64)


def as_listed(rows: np.ndarray, examples: pd.DataFrame) -> np.ndarray:
    """Return the row numbers ``rows`` of a part, each as often as the corpus lists it, side by side."""
    return np.repeat(rows, repeats_of(examples)[rows])


def num_other_lines(examples: pd.DataFrame, folds: np.ndarray, test_fold: int) -> int:
    """Count the lines of all (published) folds but one that show no example of the pool."""
    _, pool = test_and_pool(folds, test_fold)
    if "fold_lines" not in examples:
        return 0
    files = examples[examples["published_split"] != str(test_fold)].drop_duplicates("published_split")
    return int(files["fold_lines"].sum() - repeats_of(examples)[pool].sum())
