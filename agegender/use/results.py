"""What a model says about a reader's files, as a table: one row for each file, in order."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from agegender.labels import AgeScheme


def table_of(decoded: dict[str, np.ndarray], scheme: AgeScheme | None, num_examples: int) -> pd.DataFrame:
    """Return the answers that ``agegender.training.prediction.predict`` gave about ``num_examples`` faces or clips.

    Columns: of a model that knows the age groups of ``scheme`` ``age_group`` (the most probable label) and one
    probability ``p <label>`` for each group; of one that knows ages ``age`` (years; of groups the expected midpoint);
    of one that knows gender ``p_female``.
    """
    table = pd.DataFrame(index=pd.RangeIndex(num_examples))
    groups = decoded.get("p_group")
    if groups is not None and scheme is not None:
        table["age_group"] = [scheme.labels[group] for group in groups.argmax(1)]
    if "age" in decoded:
        table["age"] = decoded["age"]
    if groups is not None and scheme is not None:
        for label, probabilities in zip(scheme.labels, groups.T, strict=True):
            table[f"p {label}"] = probabilities
    return table.assign(p_female=decoded["p_female"]) if "p_female" in decoded else table


def in_batches(
    paths: Sequence[Path],
    read: Callable[[int], np.ndarray | str],
    answer: Callable[[list[np.ndarray]], pd.DataFrame],
    batch_size: int,
    what: str,
) -> pd.DataFrame:
    """Return ``path``, what is said of each file, and ``problem``: one row for each file, in order.

    ``read`` decodes file number ``i``, or says why it cannot be used. ``answer`` is asked about ``batch_size`` decoded
    files at a time, and no more are in memory at once, however many there are. On a terminal the progress of ``what``
    is shown from the start.
    """
    said, problems, waiting = [], [], []
    for number in tqdm(range(len(paths)), f"reading {what}", unit="file", disable=None):
        found = read(number)
        problems.append(found if isinstance(found, str) else None)
        if not isinstance(found, str):
            waiting.append(found)
        if len(waiting) == batch_size:
            said.append(answer(waiting))
            waiting = []
    if waiting:
        said.append(answer(waiting))
    rows = [row for row, problem in enumerate(problems) if problem is None]
    answers = pd.concat(said) if said else pd.DataFrame()
    table = pd.DataFrame({"path": [str(path) for path in paths]})
    return table.join(answers.set_axis(pd.Index(rows, dtype="int64"))).assign(problem=pd.Series(problems, dtype="str"))
