"""Intervals by bootstrap over subjects: people are drawn with replacement, and all examples of a person go together.

Ten pictures of one person are not ten independent observations, so a bootstrap over examples gives intervals that are
too narrow. Reference: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13 (percentile
interval); Field and Welsh (2007), "Bootstrapping clustered data" (cluster bootstrap). Where every subject has one
example this is the ordinary bootstrap.

A difference between two systems was measured on a few trained runs, and other folds or seeds would have given another
one. Its interval therefore draws on two levels: runs with replacement, and people within each drawn run. Reference:
Davison and Hinkley (1997), "Bootstrap Methods and their Application", section 3.8 (hierarchical data).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from agegender.evaluation.metrics import Floats
from agegender.evaluation.scores import Metric

REPLICATES = 1000
_DRAWS_AT_ONCE = 2**20  # subjects x replicates held in memory together: 8 MB


@dataclass(frozen=True)
class Interval:
    """A value with its percentile interval over subjects; ``low`` and ``high`` are NaN when there is one subject."""

    value: float
    low: float
    high: float
    level: float
    num_examples: int
    num_subjects: int


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


def resampled_counts(num_subjects: int, replicates: int = REPLICATES, seed: int = 0) -> Iterator[Floats]:
    """Yield blocks (replicates of this block, subjects): how often each replicate drew each subject.

    Each row sums to ``num_subjects``. The same arguments give the same blocks, so systems that are scored on the same
    subjects are compared on the same draws. Raises ``ValueError`` when a number is below 1.
    """
    if num_subjects < 1 or replicates < 1:
        raise ValueError(f"need at least 1 subject and 1 replicate, got {num_subjects} and {replicates}")
    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // num_subjects)
    for start in range(0, replicates, at_once):
        rows = min(at_once, replicates - start)
        drawn = generator.integers(num_subjects, size=(rows, num_subjects))
        drawn += num_subjects * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * num_subjects)
        yield counts.reshape(rows, num_subjects).astype(np.float64)


def resampled_sums(terms: Floats, subjects: ArrayLike, replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """Return sums (replicates, terms) of ``terms`` (examples, terms) over resampled ``subjects`` (examples,)."""
    codes, num_subjects = subject_codes(subjects)
    if terms.ndim != 2 or len(terms) != len(codes):
        raise ValueError(f"terms must have the shape ({len(codes)}, terms), got {terms.shape}")
    of_subject = np.stack([np.bincount(codes, column, minlength=num_subjects) for column in terms.T], axis=1)
    return np.concatenate([counts @ of_subject for counts in resampled_counts(num_subjects, replicates, seed)])


def two_level_sums(
    terms: Floats, subjects: ArrayLike, runs: ArrayLike, replicates: int = REPLICATES, seed: int = 0
) -> Floats:
    """Return sums (replicates, terms) of ``terms`` (examples, terms) over resampled runs and subjects within them.

    ``runs`` (examples,) says from which trained run each answer is. A replicate draws as many runs as there are, with
    replacement, and for each time that a run was drawn as many subjects as it has. Of one run only subjects are drawn.
    """
    of_run, num_runs = subject_codes(runs)
    if num_runs == 1:
        return resampled_sums(terms, subjects, replicates, seed)
    generator = np.random.default_rng(seed)
    times = generator.multinomial(num_runs, np.full(num_runs, 1 / num_runs), size=replicates)
    names = np.asarray(subjects)
    sums = np.zeros((replicates, terms.shape[1]))
    for run in range(num_runs):
        own = of_run == run
        codes, num_subjects = subject_codes(names[own])
        of_subject = np.stack([np.bincount(codes, column, minlength=num_subjects) for column in terms[own].T], axis=1)
        at_once = max(1, _DRAWS_AT_ONCE // num_subjects)
        for start in range(0, replicates, at_once):
            block = slice(start, start + at_once)
            draws = times[block, run] * num_subjects
            sums[block] += generator.multinomial(draws, np.full(num_subjects, 1 / num_subjects)) @ of_subject
    return sums


def percentile_interval(value: float, replicated: Floats, subjects: ArrayLike, level: float = 0.95) -> Interval:
    """Return ``value`` with the middle ``level`` of ``replicated`` (replicates,) around it."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.95 gives a 95 % interval")
    codes, num_subjects = subject_codes(subjects)
    tail = (1 - level) / 2
    low, high = np.quantile(replicated, [tail, 1 - tail]) if num_subjects > 1 else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high), level, len(codes), num_subjects)


def bootstrap(
    terms: Floats,
    subjects: ArrayLike,
    finish: Callable[[Floats], Floats],
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
    runs: ArrayLike | None = None,
) -> Interval:
    """Return a metric with its interval over subjects, and with ``runs`` over runs and the subjects of each.

    ``terms`` (examples, terms) and ``finish`` are those of a `scores.Metric`; ``subjects`` and ``runs`` (examples,) say
    to whom and to which trained run each example belongs.

    >>> from agegender.evaluation.scores import mean_terms, ratio
    >>> found = bootstrap(mean_terms(np.array([1.0, 1.0, 3.0, 3.0])), ["a", "a", "b", "b"], ratio)
    >>> found.value, found.low, found.high, found.num_subjects
    (2.0, 1.0, 3.0, 2)
    """
    if runs is None:
        sums = resampled_sums(terms, subjects, replicates, seed)
    else:
        sums = two_level_sums(terms, subjects, runs, replicates, seed)
    return percentile_interval(float(finish(terms.sum(axis=0))), finish(sums), subjects, level)


def weighted_bootstrap(
    metric: Callable[[Floats], float],
    subjects: ArrayLike,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return a metric that is no function of sums (a median, say) with its interval over subjects.

    ``metric`` takes the weight of each example (examples,), 1 for the value itself and in a replicate the number of
    times that its subject was drawn. It is called once for each replicate: use `bootstrap` where that will do.
    """
    codes, num_subjects = subject_codes(subjects)
    blocks = resampled_counts(num_subjects, replicates, seed)
    replicated = np.array([metric(weights[codes]) for counts in blocks for weights in counts])
    return percentile_interval(metric(np.ones(len(codes))), replicated, subjects, level)


def _check_same_examples(first: pd.DataFrame, second: pd.DataFrame, needs: str) -> None:
    """Raise ``ValueError`` unless two tables, sorted by example, hold the same examples, subjects and labels."""
    differing = sorted(set(first["example"]) ^ set(second["example"]))
    if differing:
        some = ", ".join(str(example) for example in differing[:5])
        raise ValueError(f"{len(differing)} examples are in one system only: {some}; compare them on the same test set")
    for table in (first, second):
        if table["example"].duplicated().any():
            twice = table.loc[table["example"].duplicated(), "example"].iloc[0]
            raise ValueError(f"example {twice} occurs twice in one system")
    for column in ("subject", needs):
        unequal = np.flatnonzero((first[column] != second[column]).fillna(True).to_numpy(dtype=bool))
        if unequal.size:
            example = first["example"].iloc[unequal[0]]
            raise ValueError(f"example {example} has another {column} in the second system: not the same manifest")


def paired_difference(
    first: pd.DataFrame,
    second: pd.DataFrame,
    metric: Metric,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return ``metric`` of the first minus that of the second system; a replicate draws the same subjects for both.

    The tables of predictions are aligned on ``example``. Where the first has a column ``run``, which says what pair of
    runs answered about an example, pairs are drawn too. Raises ``ValueError`` when they do not hold the same
    examples with the same subjects and labels, or when an example has no label for the metric.
    """
    first, second = first.sort_values("example"), second.sort_values("example")
    first, second = first.reset_index(drop=True), second.reset_index(drop=True)
    _check_same_examples(first, second, metric.needs)
    both = np.hstack([metric.terms(first), metric.terms(second)])

    def difference(sums: Floats) -> Floats:
        of_first, of_second = np.split(sums, 2, axis=-1)
        return metric.finish(of_first) - metric.finish(of_second)

    return bootstrap(both, first["subject"], difference, replicates, seed, level, first.get("run"))
