"""How far predicted ages are drawn towards the middle: the slope of the predicted over the true age.

A model that is not sure answers near the mean of its training faces, so it takes the young for older and the old for
younger, which a mean error over everybody hides.
"""

import numpy as np
import pandas as pd

from agegender.evaluation.intervals import REPLICATES, Interval, bootstrap
from agegender.evaluation.metrics import Floats, checked_column


def _slope(sums: Floats) -> Floats:
    """Return the least-squares slope from sums (..., 5) of 1, x, y, x * x, x * y; NaN where all x are equal."""
    count, x, y, xx, xy = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    spread = count * xx - x * x
    return np.divide(count * xy - x * y, spread, out=np.full_like(spread, np.nan), where=spread > 0)


def age_slope(predictions: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0) -> Interval:
    """Return by how many years the predicted age rises with each year of the true one, with its interval over subjects.

    1 where ages are not drawn together, 0 for a constant. ``predictions`` needs ``subject``, ``true_age`` and ``age``;
    rows without a true age do not enter. Raises ``ValueError`` when no row has one.
    """
    known = predictions[predictions["true_age"].notna()]
    if known.empty:
        raise ValueError("no row has a true age, so there is no slope")
    true, said = checked_column(known["true_age"], "true_age"), checked_column(known["age"], "age")
    x, y = true - true.mean(), said - said.mean()  # the slope stays; the sums keep their digits
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y], axis=1)
    return bootstrap(terms, known["subject"], _slope, replicates, seed)
