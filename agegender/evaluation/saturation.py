"""The arithmetic of a softmax in front of a cross-entropy: where such a loss ends, and what a printed one was made of.

A network whose last layer is a softmax, trained with a cross-entropy that applies a softmax of its own, is scored on
the softmax of *probabilities*. These lie in 0 to 1, so for K classes the loss of an example, whatever the network says,
lies between

    low = log(1 + (K - 1) / e)    (all probability on the right class)    and    low + 1    (all of it on a wrong one).

The loss is never near 0 and its range is 1 whatever K is. For 2 classes it ends at 0.3133; for 101 it goes from 3.63
to 4.63, and a network that says the same about everybody has log 101 = 4.62.

When the network is sure of every answer (*saturated*), the mean loss is ``low + 1 - accuracy``: accuracy and loss say
the same thing. So a loss that was printed for two tasks together can be taken apart. Nothing here is an estimate from
data; the assumption is that the network is saturated, and a printed number can speak against it.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from agegender.evaluation.metrics import Floats, groups_of


def twice_softmaxed_loss(logits: ArrayLike, target: ArrayLike) -> Floats:
    """Return the cross-entropy of softmaxed values taken as logits: (examples, classes), (examples,) to (examples,).

    With p = softmax(logits): ``log sum_k exp(p_k) - p_target``. Raises ``ValueError`` for shapes that do not fit, NaN,
    and targets that are no class.

    >>> twice_softmaxed_loss([[0.0, 0.0], [100.0, 0.0]], [0, 0]).round(4)
    array([0.6931, 0.3133])
    """
    scores = np.asarray(logits, dtype=np.float64)
    true, _ = groups_of(target, target)
    if scores.ndim != 2 or len(scores) != len(true) or true.max() >= scores.shape[1]:
        raise ValueError(f"logits must have the shape ({len(true)}, more than {true.max()}), got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"logits are not finite in row {np.flatnonzero(~np.isfinite(scores).all(axis=1))[0]}")
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = raised / raised.sum(axis=1, keepdims=True)
    return np.log(np.exp(probabilities).sum(axis=1)) - probabilities[np.arange(len(true)), true]


def loss_bounds(num_classes: int) -> tuple[float, float]:
    """Return the smallest and the largest loss that an example can have behind two softmaxes; they differ by 1.

    Raises ``ValueError`` for fewer than 2 classes.

    >>> [round(bound, 4) for bound in loss_bounds(2)]
    [0.3133, 1.3133]
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    low = math.log1p((num_classes - 1) / math.e)
    return low, low + 1


def saturated_loss(accuracy: float, num_classes: int) -> float:
    """Return the mean loss of a network that is sure of every answer and right in the share ``accuracy`` of them.

    That is ``accuracy * low + (1 - accuracy) * high`` with `loss_bounds`. Raises ``ValueError`` unless ``accuracy``
    lies in 0 to 1 (a share, not %).

    >>> round(saturated_loss(0.90756, num_classes=2), 3)
    0.406
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy is a share between 0 and 1, got {accuracy}")
    low, high = loss_bounds(num_classes)
    return accuracy * low + (1 - accuracy) * high


def remaining_age_loss(total_loss: float, gender_accuracy: float, age_weight: float) -> float:
    """Return the age loss inside ``total_loss = gender loss + age_weight * age loss``, for a saturated gender loss.

    In years for an age loss of absolute errors, in squared years for one of squared errors. Raises ``ValueError`` for
    a weight that is not positive or a total below the gender loss.

    >>> round(remaining_age_loss(1.121, gender_accuracy=0.9014, age_weight=0.01), 1)
    70.9
    """
    if age_weight <= 0:
        raise ValueError(f"age_weight must be positive, got {age_weight}")
    of_gender = saturated_loss(gender_accuracy, num_classes=2)
    if total_loss < of_gender:
        raise ValueError(f"a total loss of {total_loss} is below the {of_gender:.4f} of gender alone")
    return (total_loss - of_gender) / age_weight
