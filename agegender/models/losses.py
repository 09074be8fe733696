"""Losses that more than one head can use: functions of predictions and targets, a mean over the batch.

Losses of classes take ``logits`` (batch, classes) and ``positions`` (batch,): indices, or ages counted from the first
class, of which the whole part is the index. They are computed in float32.
"""

import torch
from torch import Tensor
from torch.nn import functional

KERAS_EPSILON = 1e-7
"""How near to 0 and 1 Keras lets a probability come."""


def checked(target: Tensor, low: float, high: float, num_examples: int, name: str) -> Tensor:
    """Return the labels ``target`` (batch,) as float32 if each lies in ``low <= label < high``.

    Raises ``ValueError`` when there is not one label for each example, and for the first label outside or NaN. On an
    accelerator, where the check would make every step wait, such a label becomes NaN, and with it the loss.
    """
    if target.shape != (num_examples,):
        raise ValueError(f"expected one {name} for each of {num_examples} examples, got shape {tuple(target.shape)}")
    labels = target.float()
    is_known = (labels >= low) & (labels < high)  # NaN is refused too
    if target.device.type == "cpu" and not is_known.all():
        row = int((~is_known).nonzero()[0])
        raise ValueError(
            f"the {name} of example {row} of the batch is {target[row].item()}, not in {low:g} <= {name} < {high:g}: "
            "leave such examples out first"
        )
    return labels.masked_fill(~is_known, torch.nan)


def cross_entropy(logits: Tensor, positions: Tensor) -> Tensor:
    """Return the cross-entropy of ``logits`` with the classes at ``positions``."""
    return functional.cross_entropy(logits.float(), positions.long())


def double_softmax_cross_entropy(logits: Tensor, positions: Tensor) -> Tensor:
    """Take the probabilities for logits, so that the softmax acts twice: a fault of the IMDB pipeline.

    A sure and correct prediction of K classes has a loss of ``log(1 + (K - 1) / e)``: 0.3133 for two, 3.6320 for 101.
    """
    return cross_entropy(logits.float().softmax(1), positions)


def clipped_cross_entropy(logits: Tensor, positions: Tensor) -> Tensor:
    """Return the cross-entropy that Keras computes from probabilities in eager mode: ``-log(c_y / sum_k c_k)``.

    ``c_k = min(max(p_k, e), 1 - e)`` with ``e`` of 1e-7. At most 16.12; a probability that is clipped has no gradient.
    """
    return cross_entropy(logits.float().softmax(1).clamp(KERAS_EPSILON, 1 - KERAS_EPSILON).log(), positions)


def clipped_binary_cross_entropy(logits: Tensor, positions: Tensor) -> Tensor:
    """Return Keras' binary cross-entropy of ``logits`` (batch, 1) with ``positions`` of 0 and 1.

    ``-t log(p + e) - (1 - t) log(1 - p + e)`` for ``p`` the sigmoid of the logit, clipped to ``[e, 1 - e]`` with ``e``
    of 1e-7. A prediction that is clipped has no gradient.
    """
    p = logits[:, 0].float().sigmoid().clamp(KERAS_EPSILON, 1 - KERAS_EPSILON)
    return -(positions * (p + KERAS_EPSILON).log() + (1 - positions) * (1 - p + KERAS_EPSILON).log()).mean()


def label_distribution_loss(
    logits: Tensor, positions: Tensor, label_std: float = 2.0, expectation_weight: float = 1.0
) -> Tensor:
    """Return the DLDL-v2 loss ``sum_k q_k log(q_k / p_k) + expectation_weight * |sum_k k p_k - y|``, batch mean.

    ``p`` is the softmax of the logits, ``y`` the position, and ``q`` the normal density with mean ``y`` and standard
    deviation ``label_std`` (2 years in the paper) at the bins, scaled to sum to 1. Raises ``ValueError`` for a
    ``label_std`` that is not above 0.

    Reference: Gao, Zhou, Wu and Geng (2018), "Age estimation using expectation of label distribution learning".
    """
    if not label_std > 0:
        raise ValueError(f"label_std must be above 0 bins, got {label_std}")
    distance = _bins(logits) - positions[:, None]
    log_q = (-(distance.square()) / (2 * label_std**2)).log_softmax(1)
    log_p = logits.float().log_softmax(1)
    divergence = functional.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
    return divergence + expectation_weight * (_mean_bin(log_p.exp()) - positions).abs().mean()


def mean_variance_loss(
    logits: Tensor, positions: Tensor, mean_weight: float = 0.2, variance_weight: float = 0.05
) -> Tensor:
    """Return ``-log p_y + mean_weight * (m - y)^2 / 2 + variance_weight * sum_k p_k (k - m)^2``, batch mean.

    ``p`` is the softmax of the logits, ``m = sum_k k p_k`` and ``y`` the position: its whole part in the first term,
    with decimals in the second.

    Reference: Pan, Han, Shan and Chen (2018), "Mean-variance loss for deep age estimation from a face".
    """
    p = logits.float().softmax(1)
    mean = _mean_bin(p)
    variance = (p * (_bins(logits) - mean[:, None]).square()).sum(1)
    penalty = mean_weight * (mean - positions).square() / 2 + variance_weight * variance
    return cross_entropy(logits, positions) + penalty.mean()


def focal_regression_loss(
    prediction: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    power: int = 2,
    beta: float = 0.2,
    gamma: float = 1.0,
    unit_years: float = 1.0,
) -> Tensor:
    """Return the mean of ``w |d|^power (2 s(beta |d|) - 1)^gamma``: an error that counts less the smaller it is.

    ``d`` is the error of ``prediction`` (batch,) against ``target`` (batch,), both in years, counted in units of
    ``unit_years`` years; ``s`` is the logistic function and ``w`` the example's weight of ``weights`` (batch,), 1
    without them. The sum is divided by the number of examples. A ``power`` of 2 is the focal MSE and 1 the focal L1;
    with ``gamma`` of 0 they are the squared and the absolute error. The published TIMIT code counts in units of 100
    years, where the focal MSE is nearly the cube of the error. Raises ``ValueError`` for unequal shapes, another power,
    and a ``gamma`` that has no finite gradient.

    Reference: Yang, Zha, Chen, Wang and Katabi (2021), "Delving into deep imbalanced regression", ICML, "Focal-R".

    >>> focal_regression_loss(torch.tensor([35.0]), torch.tensor([30.0]))  # 25 * 0.462
    tensor(11.5529)
    >>> focal_regression_loss(torch.tensor([35.0]), torch.tensor([30.0]), power=1)
    tensor(2.3106)
    """
    if power not in (1, 2):
        raise ValueError(f"power must be 1 (focal L1) or 2 (focal MSE), got {power}")
    if not (gamma == 0 or gamma >= 1):
        raise ValueError(f"gamma must be 0 or at least 1, got {gamma}: the gradient of a sure example would not exist")
    if prediction.ndim != 1 or prediction.shape != target.shape:
        shapes = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
        raise ValueError(f"prediction and target must both be (batch,), got {shapes}")
    error = ((prediction.float() - target.float()) / unit_years).abs()
    losses = error.pow(power) * (beta * error / 2).tanh().pow(gamma)  # 2 s(x) - 1 = tanh(x / 2), which keeps its digits
    if weights is None:
        return losses.mean()
    if weights.shape != losses.shape:
        raise ValueError(f"expected one weight for each of {len(losses)} examples, got shape {tuple(weights.shape)}")
    return (weights.float() * losses).mean()


def _bins(logits: Tensor) -> Tensor:
    """The positions 0, 1, ... of the bins of ``logits`` (batch, bins)."""
    return torch.arange(logits.shape[1], device=logits.device)


def _mean_bin(p: Tensor) -> Tensor:
    """The mean position (batch,) of ``p`` (batch, bins)."""
    return (p * _bins(p)).sum(1)
