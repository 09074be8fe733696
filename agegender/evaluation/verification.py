"""Speaker verification: how well scores of pairs of clips tell one subject from two.

A trial is a pair of clips and whether one subject speaks in both; it is accepted from a threshold of its score on. The
*miss* rate is the share of trials of one subject that are rejected, the *false alarm* rate the share of trials of two
subjects that are accepted; both are fractions of 1.

References: Martin and others (1997), "The DET Curve in Assessment of Detection Task Performance", Eurospeech; the
detection cost is that of NIST's speaker recognition evaluations, section 3.1 of the plan for 2016.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve

from agegender.evaluation.intervals import REPLICATES, Interval, percentile_interval, resampled_counts, subject_codes
from agegender.evaluation.metrics import Floats, checked_column

Measure = Callable[[Floats, NDArray[np.bool_], Floats], float]
"""A measure of scores, labels and weights, each (trials,): ``eer`` or ``min_dcf``."""

P_SAME = 0.05
"""Prior probability, in the detection cost, that one subject speaks in both clips."""
_MAX_UNDEFINED = 0.05  # share of the replicates that may lack one kind of trial before an interval is refused


def trial_scores(trials: pd.DataFrame, paths: Sequence[str], embeddings: Floats) -> Floats:
    """Return the cosine of the embeddings of each trial's two clips, (trials,).

    ``trials`` has entries of ``paths`` in ``first`` and ``second``; ``embeddings`` is (clips, features), or (clips,
    crops, features): then the score is the mean cosine over all pairs of crops. Raises ``ValueError`` for a clip that
    is not in ``paths`` or stands there twice, and an embedding that is zero or not finite.
    """
    clips = pd.Index(paths)
    if len(clips) != len(embeddings):
        raise ValueError(f"{len(clips)} paths for {len(embeddings)} embeddings")
    if clips.has_duplicates:
        raise ValueError(f"the clip {clips[clips.duplicated()][0]!r} has more than one embedding")
    first, second = (_positions(trials, name, clips) for name in ("first", "second"))
    crops = np.asarray(embeddings, dtype=np.float64).reshape(len(clips), -1, np.shape(embeddings)[-1])
    lengths = np.linalg.norm(crops, axis=2, keepdims=True)
    bad = ~(np.isfinite(lengths) & (lengths > 0)).all(axis=(1, 2))
    if bad.any():
        raise ValueError(f"{bad.sum()} embeddings are zero or not finite, the first of the clip {clips[bad][0]!r}")
    directions = (crops / lengths).mean(axis=1)  # the mean of all products is the product of the means
    return np.einsum("tf,tf->t", directions[first], directions[second])


def _positions(trials: pd.DataFrame, name: str, clips: pd.Index) -> NDArray[np.intp]:
    positions = clips.get_indexer(pd.Index(trials[name]))
    missing = np.flatnonzero(positions < 0)
    if missing.size:
        clip = trials[name].iloc[missing[0]]
        raise ValueError(
            f"{missing.size} of {len(trials)} trials name a {name} clip that has no embedding: "
            f"trial {missing[0]} names {clip!r}; read the clips of the list, or leave these trials out"
        )
    return positions


def error_rates(scores: ArrayLike, is_same: ArrayLike, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Return miss rates and false alarm rates at every threshold, from accepting no trial to accepting all.

    ``scores``, ``is_same`` and ``weights`` (how often each counts) are (trials,). Trials of equal score are accepted
    together. Raises ``ValueError`` for a score that is not finite, a label that is not true or false (1 or 0), and when
    there are no trials of one subject, or none of two.
    """
    values, same = _checked(scores, is_same)
    weight = np.ones(len(values)) if weights is None else checked_column(weights, "weights")
    for total, kind in ((weight[same].sum(), "one subject"), (weight[~same].sum(), "two subjects")):
        if not total > 0:
            raise ValueError(f"there is no trial of {kind}: error rates need trials of one and of two subjects")
    false_alarm, hit, _ = roc_curve(same, values, sample_weight=weight, drop_intermediate=False)
    return 1 - hit, false_alarm


def _checked(scores: ArrayLike, is_same: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values, labels = checked_column(scores, "scores"), checked_column(is_same, "is_same")
    if len(values) != len(labels):
        raise ValueError(f"{len(values)} scores for {len(labels)} labels")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"is_same must hold true and false, or 1 and 0, got {np.setdiff1d(labels, (0, 1))[0]:g}")
    return values, labels == 1


def eer(scores: ArrayLike, is_same: ArrayLike, weights: Floats | None = None) -> float:
    """Return the equal error rate, on the straight lines between the points of the ROC curve, as a fraction of 1.

    Inputs as in `error_rates`. Scores that are all equal have 0.5.

    >>> eer([0.9, 0.7, 0.6, 0.2], [1, 0, 1, 0])
    0.5
    """
    miss, false_alarm = error_rates(scores, is_same, weights)
    return float(np.interp(0, false_alarm - miss, false_alarm))


def min_dcf(scores: ArrayLike, is_same: ArrayLike, weights: Floats | None = None) -> float:
    """Return the least detection cost over all thresholds, ``(P_SAME * miss + (1 - P_SAME) * false_alarm) / P_SAME``.

    1 is what it costs to accept none. Inputs as in `error_rates`.

    >>> min_dcf([0.9, 0.7, 0.6, 0.2], [1, 0, 1, 0])
    0.5
    """
    miss, false_alarm = error_rates(scores, is_same, weights)
    return float((P_SAME * miss + (1 - P_SAME) * false_alarm).min() / P_SAME)


def verification_interval(
    measure: Measure,
    scores: ArrayLike,
    is_same: ArrayLike,
    first_subjects: ArrayLike,
    second_subjects: ArrayLike,
    replicates: int = REPLICATES,
) -> Interval:
    """Return ``measure`` with its interval over subjects; ``num_examples`` counts trials.

    ``first_subjects`` and ``second_subjects`` are (trials,). A subject drawn k times is k people with the same clips: a
    trial of one subject then counts k times, and one of two subjects the product of their numbers. Replicates in which
    one kind of trial does not occur are left out. Raises ``ValueError`` when they are more than 5 %, which few subjects
    cause, and when a label contradicts the subjects of its two clips.
    """
    values, same = _checked(scores, is_same)
    both = np.concatenate([np.asarray(first_subjects, dtype=object), np.asarray(second_subjects, dtype=object)])
    codes, num_subjects = subject_codes(both)
    first, second = np.split(codes, 2)
    if len(first) != len(same):
        raise ValueError(f"{len(first)} pairs of subjects for {len(same)} trials")
    for trial in np.flatnonzero(same != (first == second))[:1]:
        said, others = "one subject" if same[trial] else "two subjects", both[len(same) + trial]
        raise ValueError(f"trial {trial} is labelled as {said}, but its clips are of {both[trial]!r} and {others!r}")
    replicated = []
    for counts in resampled_counts(num_subjects, replicates):
        for drawn in counts:
            weights = drawn[first] * np.where(same, 1.0, drawn[second])
            if weights[same].any() and weights[~same].any():
                replicated.append(measure(values, same, weights))
    if len(replicated) < (1 - _MAX_UNDEFINED) * replicates:
        raise ValueError(
            f"{replicates - len(replicated)} of {replicates} replicates lack trials of one subject or of two: "
            f"{num_subjects} subjects are too few for an interval"
        )
    value = measure(values, same, np.ones(len(values)))
    return replace(percentile_interval(value, np.array(replicated), both), num_examples=len(values))
