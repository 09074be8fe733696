"""The metrics over a table of predictions, each as *terms* that are summed over examples and then *finished*.

A metric that is a function of sums (mean absolute error = sum of errors / number of examples) can be resampled by
adding up people in place of examples, thousands of times in one matrix product: `intervals` does that. The values are
those of `metrics`, in the unit that a reader sees: shares in %, ages in years.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agegender.evaluation import metrics
from agegender.evaluation.metrics import Floats


@dataclass(frozen=True)
class Metric:
    """A metric of a table of predictions.

    ``terms(predictions)`` gives an array (examples, terms); ``finish`` takes sums of it (..., terms) to values (...).
    ``needs`` is the column of labels without which an example cannot be scored. ``name`` is also its name in
    `published`; ``label`` is for people; ``unit`` is ``"%"`` or ``"years"``.
    """

    name: str
    label: str
    unit: str
    needs: str
    terms: Callable[[pd.DataFrame], Floats]
    finish: Callable[[Floats], Floats]

    def value(self, predictions: pd.DataFrame) -> float:
        """Return the metric over all rows; raise ``ValueError`` when a row has no label for it."""
        return float(self.finish(self.terms(predictions).sum(axis=0)))


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


def group_probabilities(predictions: pd.DataFrame) -> Floats:
    """Return the probabilities of the age groups (examples, groups) as float64."""
    columns = group_columns(predictions)
    if not columns:
        raise ValueError("the predictions hold no p_group_0, p_group_1, ...: this model predicts no age groups")
    return predictions[columns].to_numpy(dtype=np.float64)


def mean_terms(values: Floats) -> Floats:
    """Return terms (examples, 2) of which `ratio` makes the mean of ``values`` (examples,)."""
    return np.column_stack([values, np.ones_like(values)])


def ratio(sums: Floats) -> Floats:
    """Return first over second entry of the last axis: (..., 2) to (...)."""
    return sums[..., 0] / sums[..., 1]


def _root_of_ratio(sums: Floats) -> Floats:
    return np.sqrt(ratio(sums))


def recall_terms(true: NDArray[np.int64], hits: Floats, num_classes: int) -> Floats:
    """Return terms (examples, 2 * classes): whether found, in the column of its class; then membership of the class."""
    member = np.eye(num_classes)[true]
    return np.hstack([member * hits[:, None], member])


def mean_recall(sums: Floats) -> Floats:
    """Return the mean over the classes that occur of found / occurring, in %: (..., 2 * classes) to (...)."""
    found, occurring = np.split(sums, 2, axis=-1)
    recall = np.divide(found, occurring, out=np.zeros_like(found), where=occurring > 0)
    return 100 * recall.sum(axis=-1) / (occurring > 0).sum(axis=-1)


def _exact(predictions: pd.DataFrame) -> Floats:
    return mean_terms(100 * metrics.exact_hits(predictions["true_group"], group_probabilities(predictions)))


def _one_off(predictions: pd.DataFrame) -> Floats:
    return mean_terms(100 * metrics.one_off_hits(predictions["true_group"], group_probabilities(predictions)))


def _top_two(predictions: pd.DataFrame) -> Floats:
    return mean_terms(100 * metrics.top_two_hits(predictions["true_group"], group_probabilities(predictions)))


def _group_uar(predictions: pd.DataFrame) -> Floats:
    probabilities = group_probabilities(predictions)
    hits = metrics.exact_hits(predictions["true_group"], probabilities)
    return recall_terms(predictions["true_group"].to_numpy(dtype=np.int64), hits, probabilities.shape[1])


def _gender_accuracy(predictions: pd.DataFrame) -> Floats:
    return mean_terms(100 * metrics.gender_hits(predictions["true_gender"], predictions["p_female"]))


def _gender_uar(predictions: pd.DataFrame) -> Floats:
    hits = metrics.gender_hits(predictions["true_gender"], predictions["p_female"])
    is_female = np.array([gender == "female" for gender in predictions["true_gender"]], dtype=np.int64)
    return recall_terms(is_female, hits, 2)


def _errors(predictions: pd.DataFrame) -> Floats:
    return metrics.errors(predictions["true_age"], predictions["age"])


EXACT = Metric("exact", "age group exact", "%", "true_group", _exact, ratio)
ONE_OFF = Metric("one_off", "age group 1-off", "%", "true_group", _one_off, ratio)
TOP_TWO = Metric("top_two", "age group top-2", "%", "true_group", _top_two, ratio)
GROUP_UAR = Metric("group_uar", "age group UAR", "%", "true_group", _group_uar, mean_recall)
GENDER_ACCURACY = Metric("gender_accuracy", "gender accuracy", "%", "true_gender", _gender_accuracy, ratio)
GENDER_UAR = Metric("gender_uar", "gender UAR", "%", "true_gender", _gender_uar, mean_recall)
MAE = Metric("mae", "age MAE", "years", "true_age", lambda table: mean_terms(np.abs(_errors(table))), ratio)
RMSE = Metric("rmse", "age RMSE", "years", "true_age", lambda t: mean_terms(np.square(_errors(t))), _root_of_ratio)
BIAS = Metric("bias", "age bias", "years", "true_age", lambda table: mean_terms(_errors(table)), ratio)
CS5 = Metric("cs5", "age CS(5)", "%", "true_age", lambda t: mean_terms(100 * metrics.within(_errors(t))), ratio)

METRICS = (EXACT, ONE_OFF, TOP_TWO, GROUP_UAR, GENDER_ACCURACY, GENDER_UAR, MAE, RMSE, BIAS, CS5)


_PREDICTED = {"true_age": "age", "true_gender": "p_female"}
"""The column in which a model's answer stands to each label, beside the group probabilities."""


def applicable(predictions: pd.DataFrame, chosen: Sequence[Metric] = METRICS) -> list[Metric]:
    """Return the metrics for which the table has a label and an answer in at least one row."""
    answered = {label: bool(predictions[column].notna().any()) for label, column in _PREDICTED.items()}
    answered["true_group"] = bool(group_columns(predictions))
    return [m for m in chosen if predictions[m.needs].notna().any() and answered[m.needs]]
