"""What a printed loss was made of, where a softmax stands in front of a cross-entropy that applies another.

The loss of an example then lies, whatever its prediction, between ``low = log(1 + (K - 1) / e)`` (all probability on
the right one of K classes) and ``low + 1`` (all of it on a wrong one). For a network that is sure of every prediction
(*saturated*) the mean loss is ``low + 1 - accuracy``, so a loss that was printed for two tasks together can be taken
apart. That the network is saturated is an assumption; a printed number can speak against it.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from agegender.evaluation.metrics import Floats, checked_groups


def twice_softmaxed_loss(logits: ArrayLike, target: ArrayLike) -> Floats:
    """Return the cross-entropy of softmaxed values taken as logits: (examples, classes), (examples,) to (examples,).

    ``log sum_k exp(p_k) - p_target`` with p = softmax(logits). Raises ``ValueError`` for shapes that do not fit, NaN,
    and targets that are no class.

    >>> twice_softmaxed_loss([[0.0, 0.0], [100.0, 0.0]], [0, 0]).round(4)
    array([0.6931, 0.3133])
    """
    scores, true = np.asarray(logits, dtype=np.float64), checked_groups(target, "target")
    if scores.ndim != 2 or len(scores) != len(true) or true.max() >= scores.shape[1]:
        raise ValueError(f"logits must have the shape ({len(true)}, more than {true.max()}), got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"logits are not finite in row {np.flatnonzero(~np.isfinite(scores).all(axis=1))[0]}")
    probabilities = special.softmax(scores, axis=1)
    return special.logsumexp(probabilities, axis=1) - probabilities[np.arange(len(true)), true]


def loss_bounds(num_classes: int) -> tuple[float, float]:
    """Return the smallest and the largest loss that an example can have behind two softmaxes; they differ by 1.

    >>> [round(bound, 4) for bound in loss_bounds(2)]
    [0.3133, 1.3133]
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    low = math.log1p((num_classes - 1) / math.e)
    return low, low + 1


def saturated_loss(accuracy: float, num_classes: int) -> float:
    """Return the mean loss of a saturated network that is correct in the share ``accuracy`` (0 to 1, not %).

    Raises ``ValueError`` for an accuracy outside 0 to 1.

    >>> round(saturated_loss(0.90756, num_classes=2), 3)
    0.406
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy is a share between 0 and 1, got {accuracy}")
    return loss_bounds(num_classes)[1] - accuracy


def remaining_age_loss(total_loss: float, gender_accuracy: float, age_weight: float) -> float:
    """Return the age loss inside ``total_loss = gender loss + age_weight * age loss``, for a saturated gender loss.

    In years for absolute errors, in squared years for squared ones. Raises ``ValueError`` for a weight that is not
    positive or a total below the gender loss.

    >>> round(remaining_age_loss(1.121, gender_accuracy=0.9014, age_weight=0.01), 1)
    70.9
    """
    if age_weight <= 0:
        raise ValueError(f"age_weight must be positive, got {age_weight}")
    of_gender = saturated_loss(gender_accuracy, num_classes=2)
    if total_loss < of_gender:
        raise ValueError(f"a total loss of {total_loss} is below the {of_gender:.4f} of gender alone")
    return (total_loss - of_gender) / age_weight
