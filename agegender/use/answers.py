"""What a model says about a reader's files, as a table: one row for each file, in order."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

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


def beside_problems(paths: Sequence[Path], said: pd.DataFrame, problems: Sequence[str | None]) -> pd.DataFrame:
    """Return ``path``, what was ``said`` of the files without a problem (one row for each of them), and ``problem``."""
    rows = [row for row, problem in enumerate(problems) if problem is None]
    table = pd.DataFrame({"path": [str(path) for path in paths]})
    return table.join(said.set_axis(pd.Index(rows, dtype="int64"))).assign(problem=pd.Series(problems, dtype="str"))
