"""Intervals by bootstrap over subjects: people are drawn with replacement, and all examples of a person go together.

Ten pictures of one person are not ten independent observations: a bootstrap over examples gives too narrow intervals.
Reference: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13 (percentile interval); Field and
Welsh (2007), "Bootstrapping clustered data" (cluster bootstrap).

The interval of a difference between two systems draws on two levels: trained runs, and people within each drawn run.
Reference: Davison and Hinkley (1997), "Bootstrap Methods and their Application", section 3.8 (hierarchical data).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from agegender.evaluation.metrics import Floats, Metric, applicable

REPLICATES = 1000
_DRAWS_AT_ONCE = 2**20  # subjects x replicates held in memory together: 8 MB

DECADES = (*(f"{low}-{low + 9}" for low in range(0, 80, 10)), "80+")
"""Names of the groups of `with_decade`, in years."""


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval over subjects; ``low`` and ``high`` are NaN when there is one subject."""

    value: float
    low: float
    high: float
    num_examples: int
    num_subjects: int


def with_interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """Return a value and its interval as text.

    >>> with_interval(43.81, 42.92, 44.7), with_interval(43.81, float("nan"), float("nan"))
    ('43.8 [42.9, 44.7]', '43.8')
    """
    ends = "" if pd.isna(low) or pd.isna(high) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{ends}"


def subject_codes(subjects: ArrayLike) -> tuple[NDArray[np.int64], int]:
    """Number the subjects (examples,) in sorted order; return the numbers (examples,) and how many subjects there are.

    Raises ``ValueError`` for a missing subject or no example.
    """
    codes, names = pd.factorize(pd.Series(subjects), sort=True)
    if len(codes) == 0:
        raise ValueError("there is no example, so there are no subjects to resample")
    if (codes < 0).any():
        raise ValueError(f"the example at position {np.flatnonzero(codes < 0)[0]} has no subject")
    return codes.astype(np.int64), len(names)


def resampled_counts(num_subjects: int, replicates: int) -> Iterator[Floats]:
    """Yield blocks (replicates of this block, subjects): how often each replicate drew each subject.

    Each row sums to ``num_subjects``. The same arguments give the same blocks, so systems that are scored on the same
    subjects are compared on the same draws. Raises ``ValueError`` when a number is below 1.
    """
    if num_subjects < 1 or replicates < 1:
        raise ValueError(f"need at least 1 subject and 1 replicate, got {num_subjects} and {replicates}")
    generator = np.random.default_rng(0)
    at_once = max(1, _DRAWS_AT_ONCE // num_subjects)
    for start in range(0, replicates, at_once):
        rows = min(at_once, replicates - start)
        drawn = generator.integers(num_subjects, size=(rows, num_subjects))
        drawn += num_subjects * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * num_subjects)
        yield counts.reshape(rows, num_subjects).astype(np.float64)


def _sums_of_subjects(terms: Floats, subjects: ArrayLike) -> Floats:
    """Return sums (subjects, terms) of ``terms`` (examples, terms) over the examples of each subject."""
    codes, num_subjects = subject_codes(subjects)
    if terms.ndim != 2 or len(terms) != len(codes):
        raise ValueError(f"terms must have the shape ({len(codes)}, terms), got {terms.shape}")
    return np.stack([np.bincount(codes, column, minlength=num_subjects) for column in terms.T], axis=1)


def resampled_sums(terms: Floats, subjects: ArrayLike, runs: ArrayLike | None = None) -> Floats:
    """Return sums (`REPLICATES`, terms) of ``terms`` (examples, terms) over resampled ``subjects`` (examples,).

    ``runs`` (examples,) says from which trained run each prediction is. A replicate then draws as many runs as there
    are, with replacement, and for each time that a run was drawn as many subjects as it has. Of one run only subjects
    are drawn.
    """
    of_run, num_runs = (None, 1) if runs is None else subject_codes(runs)
    if num_runs == 1:
        of_subject = _sums_of_subjects(terms, subjects)
        return np.concatenate([counts @ of_subject for counts in resampled_counts(len(of_subject), REPLICATES)])
    generator, names = np.random.default_rng(0), np.asarray(subjects)
    times = generator.multinomial(num_runs, np.full(num_runs, 1 / num_runs), size=REPLICATES)
    sums = np.zeros((REPLICATES, terms.shape[1]))
    for run in range(num_runs):
        of_subject = _sums_of_subjects(terms[of_run == run], names[of_run == run])
        num_subjects = len(of_subject)
        at_once = max(1, _DRAWS_AT_ONCE // num_subjects)
        for start in range(0, REPLICATES, at_once):
            block = slice(start, start + at_once)
            draws = times[block, run] * num_subjects
            sums[block] += generator.multinomial(draws, np.full(num_subjects, 1 / num_subjects)) @ of_subject
    return sums


def percentile_interval(value: float, replicated: Floats, subjects: ArrayLike) -> Interval:
    """Return ``value`` with the middle 95 % of ``replicated`` (replicates,) around it."""
    codes, num_subjects = subject_codes(subjects)
    low, high = np.quantile(replicated, [0.025, 0.975]) if num_subjects > 1 else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high), len(codes), num_subjects)


def bootstrap(
    terms: Floats, subjects: ArrayLike, finish: Callable[[Floats], Floats], runs: ArrayLike | None = None
) -> Interval:
    """Return a metric with its interval over subjects, and with ``runs`` over runs and the subjects of each.

    ``terms`` (examples, terms) and ``finish`` are those of a `Metric`; the others as in `resampled_sums`.

    >>> from agegender.evaluation.metrics import mean_terms, ratio
    >>> found = bootstrap(mean_terms(np.array([1.0, 1.0, 3.0, 3.0])), ["a", "a", "b", "b"], ratio)
    >>> found.value, found.low, found.high, found.num_subjects
    (2.0, 1.0, 3.0, 2)
    """
    replicated = finish(resampled_sums(terms, subjects, runs))
    return percentile_interval(float(finish(terms.sum(axis=0))), replicated, subjects)


def score(predictions: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return one row for each metric that is `applicable`, over the rows that have its label.

    Columns: ``metric``, ``unit``, the fields of `Interval`, and ``score``, the value with its interval as text. Raises
    ``ValueError`` when no metric can be scored.
    """
    chosen = applicable(predictions, metrics)
    if not chosen:
        raise ValueError(f"no row has a label for any of {', '.join(metric.name for metric in metrics)}")
    rows = {}
    for needs in dict.fromkeys(metric.needs for metric in chosen):  # metrics of the same rows share the draws
        labelled = predictions[predictions[needs].notna()]
        terms = {metric: metric.terms(labelled) for metric in chosen if metric.needs == needs}
        drawn = resampled_sums(np.hstack(list(terms.values())), labelled["subject"])
        for metric, own in terms.items():
            replicated, drawn = metric.finish(drawn[:, : own.shape[1]]), drawn[:, own.shape[1] :]
            found = percentile_interval(metric.value(labelled), replicated, labelled["subject"])
            text = with_interval(found.value, found.low, found.high, metric.digits)
            rows[metric] = {"metric": metric.name, "unit": metric.unit, **vars(found), "score": text}
    return pd.DataFrame([rows[metric] for metric in chosen])


def over_folds(predictions: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return one row for each metric with its value in each fold, their mean and their standard deviation (n - 1).

    Columns: ``metric``, ``fold_0``, ``fold_1``, ... (NaN where a fold has no label for the metric),
    ``mean_over_folds``, ``sd_over_folds`` (NaN for one fold) and ``num_folds``.
    """
    rows = []
    for metric in applicable(predictions, metrics):
        labelled = predictions[predictions[metric.needs].notna()]
        values = {f"fold_{fold}": metric.value(part) for fold, part in labelled.groupby("fold")}
        each = pd.Series(values, dtype="float64")
        spread = {"mean_over_folds": each.mean(), "sd_over_folds": each.std(ddof=1), "num_folds": len(each)}
        rows.append({"metric": metric.name, **values, **spread})
    return pd.DataFrame(rows)


def pooled_and_by_fold(predictions: pd.DataFrame, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return `over_folds` and the `score` of all folds together, of one system: a model or a baseline."""
    return over_folds(predictions, metrics).merge(score(predictions, metrics))


def by_group(systems: Mapping[str, pd.DataFrame], column: str, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Return `score` for each system's rows of each value of ``column`` (``true_group``, ``true_gender``).

    ``systems`` holds tables of predictions by name. The first columns are ``system`` and ``group``; rows without a
    value are scored together as ``"missing"``. Groups in which nothing can be scored are left out.
    """
    tables = []
    for system, predictions in systems.items():
        if column not in predictions:
            raise ValueError(f"no column {column!r} to group by: there are {', '.join(map(str, predictions.columns))}")
        for value, part in predictions.groupby(column, dropna=False, observed=True):
            if applicable(part, metrics):
                names = {"system": system, "group": "missing" if pd.isna(value) else value}
                tables.append(score(part, metrics).assign(**names))
    columns = ["system", "group", "metric", "unit", *Interval.__annotations__, "score"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def with_decade(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the column ``decade`` of the true age, a number into `DECADES`: 80 and above is one."""
    return predictions.assign(decade=np.minimum(predictions["true_age"] // 10, 8).astype("Int64"))


def of_subjects(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each subject: the means of ``age`` and ``p_female`` over its examples, the rest of its first.

    >>> of_subjects(pd.DataFrame({"subject": ["a", "a"], "age": [20.0, 30.0], "p_female": [0.2, 0.4]}))["age"].tolist()
    [25.0]
    """
    ways = {str(name): "mean" if name in ("age", "p_female") else "first" for name in predictions if name != "subject"}
    return predictions.groupby("subject", sort=False, as_index=False).agg(ways)
