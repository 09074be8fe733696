"""The reported metrics, as plain functions of arrays over examples.

Every metric is pooled: sums and counts over all examples and one division at the end, never a mean of batch values,
because the mean of the RMSE of batches is not the RMSE. Every input is cast to float64 on entry, because the
difference of two ``uint8`` ages wraps round. Shares are fractions of 1; ages and errors are in years.

All functions raise ``ValueError`` for an empty input, for NaN or infinity, and for shapes that do not fit.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agegender.labels import GENDERS

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # years: 8.3 - 3.3 is 5.000000000000001 in floating point, and is an error of 5 years all the same


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


def _checked_classes(values: ArrayLike, name: str) -> NDArray[np.int64]:
    column = checked_column(values, name)
    bad = np.flatnonzero((column < 0) | (column != np.floor(column)))
    if bad.size:
        raise ValueError(f"{name} must hold group numbers from 0 on, got {column[bad[0]]:g} at position {bad[0]}")
    return column.astype(np.int64)


def _checked_probabilities(true_group: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    true = _checked_classes(true_group, "true_group")
    scores = np.asarray(probabilities, dtype=np.float64)
    if scores.ndim != 2 or len(scores) != len(true):
        raise ValueError(f"probabilities must have the shape ({len(true)}, groups), got {scores.shape}")
    if not np.isfinite(scores).all():
        row = np.flatnonzero(~np.isfinite(scores).all(axis=1))[0]
        raise ValueError(f"probabilities are not finite in row {row}: {scores[row]}")
    if true.max() >= scores.shape[1]:
        raise ValueError(
            f"true_group holds group {true.max()}, but there are probabilities for {scores.shape[1]} groups"
        )
    return true, scores


def groups_of(true_group: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return true and predicted groups, both int64 (examples,).

    ``predicted`` holds groups (examples,), or probabilities or logits (examples, groups), whose highest is taken;
    of equal highest ones the lowest group number.
    """
    if np.ndim(predicted) == 2:
        true, scores = _checked_probabilities(true_group, predicted)
        return true, scores.argmax(axis=1)
    true, groups = _checked_classes(true_group, "true_group"), _checked_classes(predicted, "predicted group")
    _check_same_length(true, groups, "true_group", "predicted group")
    return true, groups


def _check_same_length(first: NDArray, second: NDArray, first_name: str, second_name: str) -> None:
    if first.shape != second.shape:
        raise ValueError(f"{first_name} has {len(first)} examples and {second_name} has {len(second)}")


def exact_hits(true_group: ArrayLike, predicted: ArrayLike) -> Floats:
    """Return 1.0 for each example whose predicted group is the true one, else 0.0; inputs as in `groups_of`."""
    true, groups = groups_of(true_group, predicted)
    return (groups == true).astype(np.float64)


def one_off_hits(true_group: ArrayLike, predicted: ArrayLike) -> Floats:
    """Return 1.0 where the predicted group is the true one or its neighbour, |predicted - true| <= 1, else 0.0."""
    true, groups = groups_of(true_group, predicted)
    return (np.abs(groups - true) <= 1).astype(np.float64)


def top_two_hits(true_group: ArrayLike, probabilities: ArrayLike) -> Floats:
    """Return 1.0 where the true group has one of the two highest probabilities (or logits), else 0.0.

    Ties go to the lower group number, as in `groups_of`, so exactly two groups of each example count and a constant
    prediction earns nothing from its ties. (TensorFlow's ``in_top_k`` counts every group that ties for second place.)
    """
    true, scores = _checked_probabilities(true_group, probabilities)
    own = np.take_along_axis(scores, true[:, None], axis=1)  # (examples, 1)
    goes_first = np.arange(scores.shape[1]) < true[:, None]  # (examples, groups): would win a tie with the true group
    rank = ((scores > own) | ((scores == own) & goes_first)).sum(axis=1)
    return (rank < 2).astype(np.float64)


def exact(true_group: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of examples in the right group (top-1); inputs as in `groups_of`.

    >>> exact([0, 1, 7], [0, 2, 7])
    0.6666666666666666
    """
    return float(exact_hits(true_group, predicted).mean())


def one_off(true_group: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of examples in the right group or a neighbour of it (Eidinger et al. 2014); not `top_two`.

    >>> one_off([0, 1, 7], [0, 2, 5])
    0.6666666666666666
    """
    return float(one_off_hits(true_group, predicted).mean())


def top_two(true_group: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the share of examples whose group is among the two most probable ones; not `one_off`.

    >>> top_two([0, 2], [[0.3, 0.1, 0.6], [0.5, 0.3, 0.2]])
    0.5
    """
    return float(top_two_hits(true_group, probabilities).mean())


def confusion(true_group: ArrayLike, predicted: ArrayLike, num_groups: int) -> NDArray[np.int64]:
    """Return counts (groups, groups): entry (i, j) counts the examples of group i that were put into group j.

    >>> confusion([0, 1, 1], [0, 0, 1], num_groups=2).tolist()
    [[1, 0], [1, 1]]
    """
    true, groups = groups_of(true_group, predicted)
    highest = max(true.max(), groups.max())
    if highest >= num_groups:
        raise ValueError(f"group {highest} is outside the {num_groups} groups 0 to {num_groups - 1}")
    return np.bincount(true * num_groups + groups, minlength=num_groups**2).reshape(num_groups, num_groups)


def uar(true_group: ArrayLike, predicted: ArrayLike) -> float:
    """Return the unweighted average recall: the mean over the groups *present in* ``true_group`` of their share found.

    >>> uar([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """
    true, groups = groups_of(true_group, predicted)
    return float(np.mean([(groups[true == group] == group).mean() for group in np.unique(true)]))


def gender_hits(true_gender: ArrayLike, p_female: ArrayLike, threshold: float = 0.5) -> Floats:
    """Return 1.0 for each example whose gender is predicted rightly, else 0.0.

    ``true_gender`` (examples,) holds ``"female"`` or ``"male"``; ``p_female`` (examples,) lies in 0 to 1. An example
    is predicted female when ``p_female > threshold``; at the threshold itself male, as argmax over (male, female) does.
    """
    genders = np.asarray(true_gender, dtype=object)
    unknown = sorted({str(gender) for gender in genders.tolist()} - set(GENDERS))
    if unknown:
        raise ValueError(f"true_gender must be one of {', '.join(GENDERS)}, got {', '.join(unknown[:3])}")
    share = checked_column(p_female, "p_female")
    _check_same_length(genders, share, "true_gender", "p_female")
    if share.min() < 0 or share.max() > 1:
        raise ValueError(f"p_female must lie in 0 to 1, got {share.min():g} to {share.max():g}")
    return ((genders == "female") == (share > threshold)).astype(np.float64)


def gender_accuracy(true_gender: ArrayLike, p_female: ArrayLike, threshold: float = 0.5) -> float:
    """Return the share of examples whose gender is predicted rightly; inputs as in `gender_hits`.

    >>> gender_accuracy(["female", "male"], [0.9, 0.7])
    0.5
    """
    return float(gender_hits(true_gender, p_female, threshold).mean())


def errors(true_age: ArrayLike, age: ArrayLike) -> Floats:
    """Return predicted minus true age in years (examples,)."""
    true, predicted = checked_column(true_age, "true_age"), checked_column(age, "age")
    _check_same_length(true, predicted, "true_age", "age")
    return predicted - true


def within(error: Floats, tolerance: float = 5.0) -> Floats:
    """Return 1.0 where an error (examples,) is at most ``tolerance`` years either way, else 0.0."""
    return (np.abs(error) <= tolerance + _ROUNDING).astype(np.float64)


def mae(true_age: ArrayLike, age: ArrayLike) -> float:
    """Return the mean absolute error in years, pooled over examples.

    >>> mae(np.array([20, 30], dtype=np.uint8), np.array([22, 26], dtype=np.uint8))
    3.0
    """
    return float(np.abs(errors(true_age, age)).mean())


def rmse(true_age: ArrayLike, age: ArrayLike) -> float:
    """Return the root mean squared error in years, pooled over examples."""
    return float(np.sqrt(np.square(errors(true_age, age)).mean()))


def bias(true_age: ArrayLike, age: ArrayLike) -> float:
    """Return the mean of predicted minus true age in years: above 0 when people are taken for older than they are."""
    return float(errors(true_age, age).mean())


def cs(true_age: ArrayLike, age: ArrayLike, tolerance: float = 5.0) -> float:
    """Return the cumulative score CS(tolerance): the share of examples with an error of *at most* ``tolerance`` years.

    >>> cs([20, 20, 20], [25, 15, 25.1])
    0.6666666666666666
    """
    return float(within(errors(true_age, age), tolerance).mean())
