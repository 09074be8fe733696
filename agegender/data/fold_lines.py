"""Published lists count lines: a file of a fold can list an example twice, and lists others that no protocol uses.

A corpus with such files says so in two columns of its manifest: ``repeats``, on how many lines an example stands, and
``fold_lines``, how many lines the file of its fold has. Where they are missing, each example is one line of its own.
"""

import numpy as np
import pandas as pd

from agegender.data.splits import test_and_pool


def repeats_of(examples: pd.DataFrame) -> np.ndarray:
    """Return on how many lines each example stands: whole numbers of at least 1, (examples,)."""
    if "repeats" not in examples:
        return np.ones(len(examples), np.int64)
    return examples["repeats"].to_numpy(np.int64)


def as_listed(rows: np.ndarray, examples: pd.DataFrame) -> np.ndarray:
    """Return the row numbers ``rows`` of a part, each as often as the corpus lists it; copies stand side by side."""
    return np.repeat(rows, repeats_of(examples)[rows])


def num_other_lines(examples: pd.DataFrame, folds: np.ndarray, test_fold: int) -> int:
    """Count the lines of all folds but one that show no example of the pool: unlabelled ones, or left out by ``folds``.

    ``folds`` are published ones. Raises what ``test_and_pool`` raises.
    """
    _, pool = test_and_pool(folds, test_fold)
    if "fold_lines" not in examples:
        return 0
    files = examples[examples["published_split"] != str(test_fold)].drop_duplicates("published_split")
    return int(files["fold_lines"].sum() - repeats_of(examples)[pool].sum())
