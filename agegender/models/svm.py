"""Support vector machines on a few numbers for each example: the baseline that a network has to beat.

References: Cortes and Vapnik (1995), "Support-Vector Networks"; Drucker and others (1997), "Support Vector Regression
Machines". Numbers are standardised by the training examples; the kernel is a Gaussian. Nothing is tuned.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from agegender.labels import GENDERS, check_age

Floats = NDArray[np.float64]

AGE_COST = 10.0
"""Price of a year of error beyond ``TOLERATED_YEARS``; scikit-learn's 1 would hardly leave the middle of the ages."""
TOLERATED_YEARS = 1.0
GENDER_COST = 3.0


def predicted_ages(training: ArrayLike, ages: ArrayLike, test: ArrayLike) -> Floats:
    """Learn ``ages`` (examples,) in years from ``training`` (examples, numbers); return those of ``test``.

    Predictions are clipped to 0 to 120 years. Raises ``ValueError`` for an age that is missing or impossible, and for
    numbers that are not finite.
    """
    years = np.array([check_age(age) for age in np.asarray(ages, dtype=np.float64)])
    svm = make_pipeline(StandardScaler(), SVR(C=AGE_COST, epsilon=TOLERATED_YEARS))
    return np.clip(svm.fit(_checked(training, len(years)), years).predict(_checked(test)), 0, 120)


def predicted_p_female(training: ArrayLike, genders: ArrayLike, test: ArrayLike) -> Floats:
    """Learn ``genders`` (examples,) of ``GENDERS`` from ``training`` (examples, numbers); return P(female) of ``test``.

    Classes are weighted equally. P is the sigmoid of the distance from the boundary and is not calibrated. Raises
    ``ValueError`` for a label that is not in ``GENDERS``, when only one gender is there, and as ``predicted_ages``.
    """
    labels = np.asarray(genders, dtype=object)
    unknown = sorted({str(label) for label in labels.tolist()} - set(GENDERS))
    if unknown:
        raise ValueError(f"genders must be {' or '.join(GENDERS)}, got {', '.join(unknown)}: leave these examples out")
    svm = make_pipeline(StandardScaler(), SVC(C=GENDER_COST, class_weight="balanced"))
    svm.fit(_checked(training, len(labels)), labels == "female")
    return 1 / (1 + np.exp(-svm.decision_function(_checked(test))))


def _checked(numbers: ArrayLike, num_examples: int | None = None) -> Floats:
    table = np.asarray(numbers, dtype=np.float64)
    if table.ndim != 2 or (num_examples is not None and len(table) != num_examples):
        expected = "examples" if num_examples is None else str(num_examples)
        raise ValueError(f"expected numbers of the shape ({expected}, numbers), got {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"the numbers of example {np.flatnonzero(~np.isfinite(table).all(axis=1))[0]} are not finite")
    return table
