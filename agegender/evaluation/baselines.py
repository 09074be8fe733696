"""Baselines that look at no example: the best constants of each metric, as tables of predictions."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from agegender.evaluation.metrics import BIAS, CS5, ONE_OFF, RMSE, Metric, group_columns
from agegender.evaluation.schemas import Record
from agegender.labels import GENDERS, AgeScheme


def labels_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the labels in a table of predictions under the names that a manifest has: age, age_group, gender."""
    names = {"true_age": "age", "true_group": "age_group", "true_gender": "gender"}
    return predictions[list(names)].rename(columns=names)


def labels_of_training(record: Record, sources: Iterable[str]) -> pd.DataFrame | None:
    """Return the labels that a run was trained on: age, age_group and gender, of the corpora ``sources``.

    The columns are independent lists: a row is not a person. ``None`` for an older record, without the counts.
    """
    counts = record.get("parts", {}).get("train", {}).get("labels")
    if counts is None:
        return None
    kinds: dict[str, Callable[[str], float | int | str]] = {"age": float, "age_group": int, "gender": str}
    known = {
        name: [read(label) for s in sources for label, n in counts.get(s, {}).get(name, {}).items() for _ in range(n)]
        for name, read in kinds.items()
    }
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in known.items()}).astype(
        {"age": "float64", "age_group": "Int64", "gender": "str"}
    )


def _shares(values: pd.Series, kinds: list, name: str) -> np.ndarray:
    known = values.dropna()
    if known.empty:
        raise ValueError(f"no training example has {name}, so there is no best constant for it")
    return known.value_counts(normalize=True).reindex(kinds, fill_value=0.0).to_numpy(dtype=np.float64)


def best_constant(training: pd.DataFrame, test: pd.DataFrame, scheme: AgeScheme | None, metric: Metric) -> pd.DataFrame:
    """Return ``test`` with the same predictions in every row: of all constants the best for ``metric``.

    It comes from the labels of ``training`` alone: ``age`` (years, NaN unknown), ``age_group`` and ``gender``. Group
    probabilities are the shares of the groups; for ``one_off`` all is on the group that has the most examples with its
    neighbours. ``p_female`` is the share of women. The age is the median in years, for ``rmse`` and ``bias`` the mean,
    for ``cs5`` the middle of the ten years with the most examples; where no age is known, the midpoint of the predicted
    group. Without ``scheme`` there are no group probabilities. Raises ``ValueError`` when no example has the label.
    """
    table = test.drop(columns=group_columns(test))
    ages = training["age"].dropna()
    if ages.empty and scheme is None:
        raise ValueError("no training example has an age or a scheme of age groups, so there is no best constant age")
    if scheme is not None:
        shares = _shares(training["age_group"], list(range(len(scheme))), "an age group")
        if metric is ONE_OFF:
            near = np.convolve(shares, np.ones(3), mode="same") + 1e-9 * shares  # of equals the larger group
            shares = np.eye(len(shares))[near.argmax()]
        age = scheme.midpoints[int(shares.argmax())]
        table = table.assign(**{f"p_group_{group}": np.float32(share) for group, share in enumerate(shares)})
    if len(ages):
        age = _best_age(ages, metric)
    female = _shares(training["gender"], list(GENDERS), "a gender")[GENDERS.index("female")]
    return table.assign(age=age, p_female=np.float32(female))


def _best_age(ages: pd.Series, metric: Metric) -> float:
    if metric in (RMSE, BIAS):
        return float(ages.mean())
    if metric is not CS5:
        return float(ages.median())
    known = np.sort(ages.to_numpy(dtype=np.float64))
    ends = np.searchsorted(known, known + 10 + 1e-9, side="right")  # of the ten years that begin with each age
    first = int((ends - np.arange(len(known))).argmax())
    return float(known[first] + known[ends[first] - 1]) / 2


def best_constant_across_folds(
    predictions: pd.DataFrame, scheme: AgeScheme | None, metric: Metric, training: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the `best_constant` of each fold by the labels of the other folds, rows in the order of ``predictions``.

    For a single fold the constant comes from ``training`` (`labels_of_training`). Raises ``ValueError`` without it.
    """
    folds = predictions["fold"].unique()
    if len(folds) < 2:
        if training is not None:
            return best_constant(training, predictions, scheme, metric)
        raise ValueError(f"only fold {folds.tolist()} is there: use best_constant with the labels of its training part")
    parts = []
    for fold in folds:
        is_test = predictions["fold"] == fold
        training = labels_of(predictions[~is_test])
        parts.append(best_constant(training, predictions[is_test], scheme, metric))
    return pd.concat(parts).loc[predictions.index]


def best_age_by_group(
    predictions: pd.DataFrame, by: Sequence[str], statistic: Literal["median", "mean"] = "median"
) -> pd.DataFrame:
    """Return ``predictions`` with one constant age for each group that the columns ``by`` form.

    It is the median (least MAE) or the mean (least RMSE) of the true ages of the group in the *other* folds; of all
    their examples where the group has none, or where ``by`` is empty. ``p_female`` is empty and there are no group
    probabilities. Raises ``ValueError`` when a fold is the only one with a known age, and for a missing column.
    """
    missing = [name for name in by if name not in predictions]
    if missing:
        raise ValueError(f"no column {missing[0]!r} to group by: there are {', '.join(map(str, predictions.columns))}")
    table = predictions.drop(columns=group_columns(predictions)).assign(age=np.nan, p_female=np.float32("nan"))
    keys = table.groupby(list(by), dropna=False).ngroup() if by else pd.Series(0, index=table.index)
    for fold in table["fold"].unique():
        is_test = table["fold"] == fold
        known = ~is_test & table["true_age"].notna()
        if not known.any():
            raise ValueError(f"only fold {fold} has known ages: there is nothing else to take an age from")
        ages = table.loc[known, "true_age"]
        of_group = ages.groupby(keys[known]).agg(statistic)
        table.loc[is_test, "age"] = keys[is_test].map(of_group).astype("float64").fillna(ages.agg(statistic))
    return table
