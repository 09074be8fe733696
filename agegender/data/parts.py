"""Who trains, who selects and who judges: drawn once, from all that a corpus lists, and handed on.

Two notebooks that must keep the same people apart, one that pretrains and one that tests, cannot each draw folds from
what they could decode: one clip fewer, and the folds are others. The table of labels is the same for both.
"""

import hashlib

import numpy as np
import pandas as pd

from agegender.data.splits import Split, by_subject, folds_of, split_by_subject


def parts_of_subjects(table: pd.DataFrame, test_fold: int, seed: int) -> pd.Series:
    """Return ``train``, ``validation`` or ``test`` for each subject (the index) of a whole table.

    The folds are those of ``folds_of``, the parts those of ``split_by_subject``; so are the arguments and errors.
    """
    split = split_by_subject(table, folds_of(table), test_fold, seed)
    parts = {subject: name for name, part in split.parts(table).items() for subject in part["subject"]}
    return pd.Series(parts, name="part", dtype="str").sort_index()


def split_of_subjects(examples: pd.DataFrame, parts: pd.Series) -> Split:
    """Return the rows of ``examples`` in each part, by the ``parts`` of their subjects.

    Raises ``ValueError`` for a subject that has none.
    """
    own = by_subject(examples, parts.to_dict()).to_numpy()
    return Split(*(np.flatnonzero(own == name) for name in ("train", "validation", "test")))


def digest_of(parts: pd.Series) -> str:
    """Return twelve digits that say who is in which part."""
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()[:12]


def check_pretraining(facts: dict, corpus: str, parts: pd.Series) -> None:
    """Refuse an encoder that was pretrained on ``corpus`` with other people held back than those of ``parts``.

    ``facts`` are those of its file, with ``corpus`` and ``parts`` (``digest_of``). An encoder of another corpus has
    met none of these people. Raises ``ValueError``.
    """
    if facts.get("corpus") == corpus and facts.get("parts") != digest_of(parts):
        raise ValueError(
            f"the encoder of fold {facts.get('fold')} was pretrained on {corpus} with other people held back than are "
            "in this validation and this test, so it may have met them: pretrain it again (2_pretrain)"
        )
