"""Losses that more than one head can use: functions of logits and targets, a mean over the batch."""

from torch import Tensor
from torch.nn import functional


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


def _focused(cross_entropy: Tensor, gamma: float) -> Tensor:
    if not (gamma == 0 or gamma >= 1):
        raise ValueError(f"gamma must be 0 or at least 1, got {gamma}: the gradient of a sure example would not exist")
    return (-(-cross_entropy).expm1()).pow(gamma) * cross_entropy  # expm1 keeps the digits of 1 - p where p is near 1
