"""Losses that more than one head can use: functions of answers and targets, a mean over the batch."""

from torch import Tensor
from torch.nn import functional

KERAS_EPSILON = 1e-7
"""How near to 0 and 1 Keras lets a probability come."""


def clipped_log_probabilities(logits: Tensor) -> Tensor:
    """Return what Keras makes of probabilities in eager mode: logarithms of the softmax, once that is clipped.

    ``logits`` and the result are (batch, classes). TensorFlow takes the result for logits again: with the softmax ``p``
    and ``c_k = min(max(p_k, e), 1 - e)`` the cross-entropy of an example becomes ``-log(c_y / sum_k c_k)``. With Keras'
    ``e`` of 1e-7 it is at most 16.12, and a probability that is clipped has no gradient.
    """
    return logits.float().softmax(1).clamp(KERAS_EPSILON, 1 - KERAS_EPSILON).log()


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Cross-entropy that counts an example less the surer the net is of it: mean of ``(1 - p) ** gamma * -log p``.

    ``p`` is the probability of the right class; ``logits`` (batch, classes), ``target`` (batch,) indices. With
    ``gamma`` of 0 it is the cross-entropy. Raises ``ValueError`` for a ``gamma`` that has no finite gradient.

    Reference: Lin, Goyal, Girshick, He and Dollar (2017), "Focal Loss for Dense Object Detection", ICCV, equation 4.

    >>> import torch
    >>> focal_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([0]))  # 1/4 of log 2
    tensor(0.1733)
    """
    return _focused(functional.cross_entropy(logits.float(), target, reduction="none"), gamma).mean()


def focal_loss_of_mean(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """The focal loss as the code of the IMDB faces has it: ``(1 - exp(-L)) ** gamma * L`` with ``L`` the batch mean.

    It weighs whole batches and no example against another: within a batch its gradient is that of the cross-entropy,
    longer or shorter. Shapes and errors as in ``focal_loss``, which it equals for a batch of one.
    """
    return _focused(functional.cross_entropy(logits.float(), target), gamma)


def focal_regression_loss(
    prediction: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    power: int = 2,
    beta: float = 0.2,
    gamma: float = 1.0,
    unit_years: float = 1.0,
) -> Tensor:
    """An error to a power that counts less the smaller it is: mean of ``w |d|^power (2 s(beta |d|) - 1)^gamma``.

    ``d`` is the error of ``prediction`` (batch,) against ``target`` (batch,), both in years, counted in units of
    ``unit_years`` years; ``s`` is the logistic function and ``w`` the example's weight of ``weights`` (batch,), 1
    without them. The sum is divided by the number of examples, not by that of their weights. A ``power`` of 2 is the
    focal MSE and 1 the focal L1; with ``gamma`` of 0 they are the squared and the absolute error. (The other form of
    the focal factor, ``tanh(beta |d|)``, is this one with twice the ``beta``.)

    The published TIMIT code counts in units of 100 years: an error of 5 years has a focal factor of 0.005 and not of
    0.462, and the focal MSE is nearly the cube of the error. Raises ``ValueError`` for unequal shapes, for another
    power, and for a ``gamma`` that has no finite gradient.

    Reference: Yang, Zha, Chen, Wang and Katabi (2021), "Delving into deep imbalanced regression", ICML, "Focal-R".

    >>> import torch
    >>> focal_regression_loss(torch.tensor([35.0]), torch.tensor([30.0]))  # 25 * 0.462
    tensor(11.5529)
    >>> focal_regression_loss(torch.tensor([35.0]), torch.tensor([30.0]), power=1)
    tensor(2.3106)
    >>> focal_regression_loss(torch.tensor([35.0]), torch.tensor([30.0]), unit_years=100.0)
    tensor(1.2500e-05)
    """
    if power not in (1, 2):
        raise ValueError(f"power must be 1 (focal L1) or 2 (focal MSE), got {power}")
    error = _error(prediction, target, unit_years).abs()
    return _weighted_mean(error.pow(power) * _focal_factor(error, beta, gamma), weights)


def _error(prediction: Tensor, target: Tensor, unit_years: float) -> Tensor:
    if prediction.ndim != 1 or prediction.shape != target.shape:
        shapes = f"{tuple(prediction.shape)} and {tuple(target.shape)}"
        raise ValueError(f"prediction and target must both be (batch,), got {shapes}")
    return (prediction.float() - target.float()) / unit_years


def _focal_factor(error: Tensor, beta: float, gamma: float) -> Tensor:
    """``(2 s(beta d) - 1) ** gamma``; what is in the brackets is ``tanh(beta d / 2)``, which keeps its digits."""
    _check_gamma(gamma)
    return (beta * error / 2).tanh().pow(gamma)


def _weighted_mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return losses.mean()
    if weights.shape != losses.shape:
        raise ValueError(f"expected one weight for each of {len(losses)} examples, got shape {tuple(weights.shape)}")
    return (weights.float() * losses).mean()


def _focused(cross_entropy: Tensor, gamma: float) -> Tensor:
    _check_gamma(gamma)
    return (-(-cross_entropy).expm1()).pow(gamma) * cross_entropy  # expm1 keeps the digits of 1 - p where p is near 1


def _check_gamma(gamma: float) -> None:
    if not (gamma == 0 or gamma >= 1):
        raise ValueError(f"gamma must be 0 or at least 1, got {gamma}: the gradient of a sure example would not exist")
