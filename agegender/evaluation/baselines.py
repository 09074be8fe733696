"""What anyone scores without looking: the best constant of each metric and guessing, as tables of predictions.

They go through the same metrics and the same intervals as a model. Reference for why: a constant can come close to a
published system when ages are narrowly spread.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from agegender.evaluation.intervals import REPLICATES
from agegender.evaluation.schemas import Record
from agegender.evaluation.scores import BIAS, CS5, METRICS, ONE_OFF, RMSE, Metric, applicable, group_columns
from agegender.evaluation.tables import summarise
from agegender.labels import GENDERS, AgeScheme


def labels_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the labels in a table of predictions under the names that a manifest has: age, age_group, gender."""
    names = {"true_age": "age", "true_group": "age_group", "true_gender": "gender"}
    return predictions[list(names)].rename(columns=names)


def labels_of_training(record: Record, sources: Iterable[str]) -> pd.DataFrame | None:
    """Return the labels that a run learnt from: age, age_group and gender, one value for each example that has one.

    Of the examples of ``sources`` alone (values of ``corpus`` in a table of predictions). The columns are lists by
    themselves: a row is not a person. ``None`` for a record that does not hold the counts, as older ones.
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
    """Return ``test`` with the same predictions in every row: of all constants the one that is best for ``metric``.

    It is made of the labels of ``training`` alone, with the columns ``age`` (years, NaN unknown), ``age_group`` and
    ``gender`` of a manifest (`labels_of` makes them of predictions). Group probabilities are the shares of the groups
    in training, so the predicted group is the majority and the top two are the two largest; for ``one_off`` all of it
    is on the group that has the most examples with its neighbours. ``p_female`` is the share of women. The age is the
    median in years, for ``rmse`` and ``bias`` the mean, for ``cs5`` the middle of the ten years with the most examples;
    where no age is known, the midpoint of the predicted group of ``scheme``. Without ``scheme`` there are no group
    probabilities. Any constant has the same recall per class (UAR).

    Raises ``ValueError`` when training has no example with the label.
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

    ``predictions`` holds all folds of one system, so the other folds are what it could train on. For a single fold
    ``training`` is (`labels_of_training`). Raises ``ValueError`` for a single fold without it: there is nothing else to
    take the constant from.
    """
    folds = predictions["fold"].unique()
    if len(folds) < 2 and training is not None:
        return best_constant(training, predictions, scheme, metric)
    if len(folds) < 2:
        raise ValueError(f"only fold {folds.tolist()} is there: use best_constant with the labels of its training part")
    parts = []
    for fold in folds:
        is_test = predictions["fold"] == fold
        training = labels_of(predictions[~is_test])
        parts.append(best_constant(training, predictions[is_test], scheme, metric))
    return pd.concat(parts).loc[predictions.index]


def summarise_constants(
    predictions: pd.DataFrame,
    scheme: AgeScheme | None,
    metrics: Sequence[Metric] = METRICS,
    replicates: int = REPLICATES,
    training: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return ``tables.summarise`` of the best constants across folds: each metric has the one that is best for it.

    Metrics that no constant has an answer for are left out; otherwise as `best_constant_across_folds`.
    """
    constants = [(best_constant_across_folds(predictions, scheme, metric, training), metric) for metric in metrics]
    rows = [summarise(table, [metric], replicates) for table, metric in constants if applicable(table, [metric])]
    return pd.concat(rows, ignore_index=True)


def guesses(training: pd.DataFrame, test: pd.DataFrame, scheme: AgeScheme | None, seed: int = 0) -> pd.DataFrame:
    """Return ``test`` with random predictions: chance.

    Group and gender are drawn evenly, the age is that of a random training example (the midpoint of the guessed group
    where no age is known). The same seed gives the same guesses. Raises ``ValueError`` when there is neither an age
    nor a scheme.
    """
    generator = np.random.default_rng(seed)
    table = test.drop(columns=group_columns(test))
    ages = training["age"].dropna().to_numpy(dtype=np.float64)
    if not len(ages) and scheme is None:
        raise ValueError("no training example has an age or a scheme of age groups, so there is no age to guess")
    drawn = np.empty(0)
    if scheme is not None:
        scores = generator.dirichlet(np.ones(len(scheme)), size=len(test)).astype(np.float32)
        table = table.assign(**{f"p_group_{group}": scores[:, group] for group in range(len(scheme))})
        drawn = np.array(scheme.midpoints)[scores.argmax(axis=1)]
    if len(ages):
        drawn = generator.choice(ages, size=len(test))
    return table.assign(age=drawn, p_female=generator.random(len(test), dtype=np.float32))


def best_age_by_group(
    predictions: pd.DataFrame, by: Sequence[str], statistic: Literal["median", "mean"] = "median"
) -> pd.DataFrame:
    """Return ``predictions`` as a guesser answers who knows the columns ``by`` of each example, and else nothing.

    Its age for an example is the median (least MAE) or the mean (least RMSE) of the true ages, in the *other* folds,
    of the examples that agree with it in all of ``by`` (``["true_gender"]``: one age for men, one for women); of all
    examples of the other folds where none agrees, or where ``by`` is empty. It answers nothing but an age:
    ``p_female`` is empty and there are no group probabilities. Rows keep their order.

    Raises ``ValueError`` when a fold is the only one with a known age, and for a column that is not there.
    """
    missing = [name for name in by if name not in predictions]
    if missing:
        raise ValueError(f"no column {missing[0]!r} to guess by: there are {', '.join(map(str, predictions.columns))}")
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
