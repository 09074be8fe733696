"""The reported metrics, each defined once: name, heading, unit, direction, and its value for a table of predictions.

The *terms* of a metric are summed over examples and then *finished* (mean absolute error = sum of errors / number of
examples). So every value is pooled, and `intervals` resamples it by adding up subjects. Shares are in %, ages and
errors in years; columns are cast to float64, because the difference of two ``uint8`` ages wraps round.

All functions raise ``ValueError`` for a table without rows, NaN or infinity, and labels outside their range.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from agegender.labels import GENDERS

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # years: 8.3 - 3.3 is 5.000000000000001 in floating point, and is an error of 5 years all the same


@dataclass(frozen=True)
class Metric:
    """A metric of a table of predictions.

    ``needs`` is the column of labels without which an example cannot be scored, ``direction`` 1 where higher is better,
    -1 where lower is, 0 for neither. ``terms(predictions)`` gives an array (examples, terms); ``finish`` takes sums of
    it (..., terms) to values (...).
    """

    name: str
    label: str
    unit: str
    direction: int
    needs: str
    terms: Callable[[pd.DataFrame], Floats]
    finish: Callable[[Floats], Floats]

    @property
    def heading(self) -> str:
        """The label with its unit, as a table or an axis says it."""
        return f"{self.label} ({self.unit})"

    @property
    def digits(self) -> int:
        """How many digits behind the point a reader sees."""
        return 1 if self.unit == "%" else 2

    def value(self, predictions: pd.DataFrame) -> float:
        """Return the metric over all rows; raise ``ValueError`` when a row has no label for it."""
        return float(self.finish(self.terms(predictions).sum(axis=0)))


def checked_column(values: ArrayLike, name: str) -> Floats:
    """Return ``values`` (examples,) as float64; ``name`` stands in the message if they are refused."""
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"{name} must have the shape (examples,), got {column.shape}")
    if column.size == 0:
        raise ValueError(f"{name} is empty: there is no example to score")
    bad = np.flatnonzero(~np.isfinite(column))
    if bad.size:
        first = f"the first is {column[bad[0]]} at position {bad[0]}"
        raise ValueError(
            f"{bad.size} of {column.size} values of {name} are not finite, {first}: drop them before scoring"
        )
    return column


def checked_groups(values: ArrayLike, name: str = "true_group") -> NDArray[np.int64]:
    """Return group numbers (examples,) as int64; ``name`` stands in the message if they are refused."""
    column = checked_column(values, name)
    bad = np.flatnonzero((column < 0) | (column != np.floor(column)))
    if bad.size:
        raise ValueError(f"{name} must hold group numbers from 0 on, got {column[bad[0]]:g} at position {bad[0]}")
    return column.astype(np.int64)


def group_columns(predictions: pd.DataFrame) -> list[str]:
    """Return ``p_group_0`` .. ``p_group_{K-1}`` in order; raise ``ValueError`` when the numbers leave a gap.

    >>> group_columns(pd.DataFrame({"p_group_1": [0.5], "p_group_0": [0.5]}))
    ['p_group_0', 'p_group_1']
    """
    found = {str(name) for name in predictions.columns if str(name).startswith("p_group_")}
    expected = [f"p_group_{group}" for group in range(len(found))]
    if found != set(expected):
        raise ValueError(f"expected the columns {', '.join(expected)}, found {', '.join(sorted(found))}")
    return expected


def true_and_probabilities(predictions: pd.DataFrame) -> tuple[NDArray[np.int64], Floats]:
    """Return the true groups (examples,) and the probabilities of all groups (examples, groups).

    The predicted group is the one with the highest probability; of equal ones that with the lowest number.
    """
    columns = group_columns(predictions)
    if not columns:
        raise ValueError("the predictions hold no p_group_0, p_group_1, ...: this model predicts no age groups")
    true = checked_groups(predictions["true_group"])
    probabilities = predictions[columns].to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if bad.size:
        raise ValueError(f"probabilities are not finite in row {bad[0]}: {probabilities[bad[0]]}")
    if true.max() >= len(columns):
        raise ValueError(f"true_group holds group {true.max()}, but there are probabilities for {len(columns)} groups")
    return true, probabilities


def _distance(predictions: pd.DataFrame) -> Floats:
    """How many groups lie between the predicted and the true group (examples,)."""
    true, probabilities = true_and_probabilities(predictions)
    return np.abs(probabilities.argmax(axis=1) - true).astype(np.float64)


def exact_correct(predictions: pd.DataFrame) -> Floats:
    """Return 1.0 for each example whose predicted group is the true one (top-1), else 0.0."""
    return np.where(_distance(predictions) == 0, 1.0, 0.0)


def one_off_correct(predictions: pd.DataFrame) -> Floats:
    """Return 1.0 where the predicted group is the true one or its neighbour (Eidinger et al. 2014), else 0.0."""
    return np.where(_distance(predictions) <= 1, 1.0, 0.0)


def top_two_correct(predictions: pd.DataFrame) -> Floats:
    """Return 1.0 where the true group has one of the two highest probabilities, else 0.0.

    Ties go to the lower group number. (TensorFlow's ``in_top_k`` counts every group that ties for second place.)
    """
    true, probabilities = true_and_probabilities(predictions)
    two = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    return (two == true[:, None]).any(axis=1).astype(np.float64)


def gender_correct(predictions: pd.DataFrame) -> Floats:
    """Return 1.0 for each example whose predicted gender is the true one, else 0.0; 0.5 is predicted male."""
    genders = predictions["true_gender"].to_numpy(dtype=object)
    unknown = sorted({str(gender) for gender in genders} - set(GENDERS))
    if unknown:
        raise ValueError(f"true_gender must be one of {', '.join(GENDERS)}, got {', '.join(unknown[:3])}")
    p_female = checked_column(predictions["p_female"], "p_female")
    if p_female.min() < 0 or p_female.max() > 1:
        raise ValueError(f"p_female must lie in 0 to 1, got {p_female.min():g} to {p_female.max():g}")
    return ((genders == "female") == (p_female > 0.5)).astype(np.float64)


def errors(predictions: pd.DataFrame) -> Floats:
    """Return predicted minus true age in years (examples,)."""
    return checked_column(predictions["age"], "age") - checked_column(predictions["true_age"], "true_age")


def mean_terms(values: Floats) -> Floats:
    """Return terms (examples, 2) of which `ratio` makes the mean of ``values`` (examples,)."""
    return np.column_stack([values, np.ones_like(values)])


def ratio(sums: Floats) -> Floats:
    """Return first over second entry of the last axis: (..., 2) to (...)."""
    return sums[..., 0] / sums[..., 1]


def _recall_terms(true: NDArray[np.int64], correct: Floats, num_classes: int) -> Floats:
    """Return terms (examples, 2 * classes): whether found, by class, and membership of the class."""
    member = np.eye(num_classes)[true]
    return np.hstack([member * correct[:, None], member])


def _mean_recall(sums: Floats) -> Floats:
    """Return the mean over the classes that occur of found / occurring, in %: (..., 2 * classes) to (...)."""
    found, occurring = np.split(sums, 2, axis=-1)
    recall = np.divide(found, occurring, out=np.zeros_like(found), where=occurring > 0)
    return 100 * recall.sum(axis=-1) / (occurring > 0).sum(axis=-1)


def _group_recall(predictions: pd.DataFrame) -> Floats:
    true, probabilities = true_and_probabilities(predictions)
    return _recall_terms(true, exact_correct(predictions), probabilities.shape[1])


def _gender_recall(predictions: pd.DataFrame) -> Floats:
    is_female = predictions["true_gender"].eq("female").to_numpy().astype(np.int64)
    return _recall_terms(is_female, gender_correct(predictions), 2)


def _line_terms(predictions: pd.DataFrame) -> Floats:
    """Return 1, x, y, x * x, x * y of true (x) and predicted (y) ages; centred, so that the sums keep their digits."""
    x, y = (checked_column(predictions[name], name) for name in ("true_age", "age"))
    x, y = x - x.mean(), y - y.mean()
    return np.column_stack([np.ones_like(x), x, y, x * x, x * y])


def _slope(sums: Floats) -> Floats:
    """Return the least-squares slope of `_line_terms`; NaN where all true ages are equal."""
    count, x, y, xx, xy = np.moveaxis(sums, -1, 0)
    spread = count * xx - x * x
    return np.divide(count * xy - x * y, spread, out=np.full_like(spread, np.nan), where=spread > 0)


def _within_five(error: Floats) -> Floats:
    return np.where(np.abs(error) <= 5 + _ROUNDING, 100.0, 0.0)


def _percent(correct: Callable[[pd.DataFrame], Floats]) -> Callable[[pd.DataFrame], Floats]:
    return lambda predictions: mean_terms(100 * correct(predictions))


def _mean_of(value: Callable[[Floats], Floats]) -> Callable[[pd.DataFrame], Floats]:
    return lambda predictions: mean_terms(value(errors(predictions)))


EXACT = Metric("exact", "age group exact", "%", 1, "true_group", _percent(exact_correct), ratio)
ONE_OFF = Metric("one_off", "age group 1-off", "%", 1, "true_group", _percent(one_off_correct), ratio)
TOP_TWO = Metric("top_two", "age group top-2", "%", 1, "true_group", _percent(top_two_correct), ratio)
GROUP_UAR = Metric("group_uar", "age group UAR", "%", 1, "true_group", _group_recall, _mean_recall)
"""Unweighted average recall: the mean over the groups *that occur* of their share found."""
GENDER_ACCURACY = Metric("gender_accuracy", "gender accuracy", "%", 1, "true_gender", _percent(gender_correct), ratio)
GENDER_UAR = Metric("gender_uar", "gender UAR", "%", 1, "true_gender", _gender_recall, _mean_recall)
MAE = Metric("mae", "age MAE", "years", -1, "true_age", _mean_of(np.abs), ratio)
RMSE = Metric("rmse", "age RMSE", "years", -1, "true_age", _mean_of(np.square), lambda sums: np.sqrt(ratio(sums)))
BIAS = Metric("bias", "age bias", "years", 0, "true_age", _mean_of(np.asarray), ratio)
"""Above 0 when people are taken for older than they are."""
CS5 = Metric("cs5", "age CS(5)", "%", 1, "true_age", _mean_of(_within_five), ratio)
"""The share of examples with an error of *at most* five years."""
AGE_SLOPE = Metric("age_slope", "age slope", "years per year", 0, "true_age", _line_terms, _slope)
"""By how much the predicted age rises with the true one: 1 where ages are not drawn together, 0 for a constant."""

METRICS = (EXACT, ONE_OFF, TOP_TWO, GROUP_UAR, GENDER_ACCURACY, GENDER_UAR, MAE, RMSE, BIAS, CS5)

HEADINGS = {metric.name: metric.heading for metric in (*METRICS, AGE_SLOPE)}

_PREDICTED = {"true_age": "age", "true_gender": "p_female"}  # to each label the column of its prediction


def applicable(predictions: pd.DataFrame, metrics: Sequence[Metric]) -> list[Metric]:
    """Return the metrics for which at least one row has a label, and at least one a prediction."""
    predicted = {label: bool(predictions[column].notna().any()) for label, column in _PREDICTED.items()}
    predicted["true_group"] = bool(group_columns(predictions))
    return [metric for metric in metrics if predictions[metric.needs].notna().any() and predicted[metric.needs]]
