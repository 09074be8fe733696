"""Heads for age that learn a whole distribution over the classes: label distribution (DLDL-v2) and mean-variance.

Their losses measure distance in classes: in years where the classes are years, in groups where they are groups.
"""

import torch
from torch import Tensor
from torch.nn import functional

from agegender.labels import AgeScheme
from agegender.models.heads import AgeGroupHead, Init, class_loss


class LabelDistributionHead(AgeGroupHead):
    """Label distribution learning with its expectation, DLDL-v2.

    With ``p`` the softmax of the logits and ``y`` the position of the label among the classes ``k``, the loss is

        ``sum_k q_k log(q_k / p_k) + expectation_weight * |sum_k k p_k - y|``

    where ``q`` is the normal density with mean ``y`` and standard deviation ``label_std`` at the classes, made to sum
    to 1. ``label_std`` is in classes: ``None`` for the paper's 2 years, or for half a group (the paper has no groups).

    Reference: Gao, Zhou, Wu and Geng (2018), "Age estimation using expectation of label distribution learning".
    """

    def __init__(
        self,
        in_features: int,
        groups: AgeScheme | range,
        hidden_features: int | None = None,
        label_std: float | None = None,
        expectation_weight: float = 1.0,
        init: Init = "normal",
    ) -> None:
        super().__init__(in_features, groups, hidden_features, init=init)
        if label_std is not None and not label_std > 0:
            raise ValueError(f"label_std must be above 0 classes, got {label_std}")
        self.label_std = label_std or (2.0 if self.classes.is_in_years else 0.5)
        self.expectation_weight = expectation_weight

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``logits`` (batch, classes) for the labels ``target`` (batch,), mean over the batch.

        Raises ``ValueError`` for a label that is NaN or in no class.
        """
        position = self.classes.positions(target, len(logits))
        distance = _classes_of(logits) - position[:, None]
        log_q = (-(distance.square()) / (2 * self.label_std**2)).log_softmax(1)
        log_p = logits.float().log_softmax(1)
        divergence = functional.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
        return divergence + self.expectation_weight * (_mean_class(log_p.exp()) - position).abs().mean()


class MeanVarianceHead(AgeGroupHead):
    """Cross-entropy, and a distribution whose mean is near the label and whose variance is small.

    With ``p`` the softmax of the logits, ``m = sum_k k p_k`` and ``y`` the position of the label among the classes
    ``k``, the loss is

        ``-log p_y + mean_weight * (m - y)^2 / 2 + variance_weight * sum_k p_k (k - m)^2``

    The first term takes the class of completed years, the second the age with its decimals.

    Reference: Pan, Han, Shan and Chen (2018), "Mean-variance loss for deep age estimation from a face".
    """

    def __init__(
        self,
        in_features: int,
        groups: AgeScheme | range,
        hidden_features: int | None = None,
        mean_weight: float = 0.2,
        variance_weight: float = 0.05,
        init: Init = "normal",
    ) -> None:
        super().__init__(in_features, groups, hidden_features, init=init)
        self.mean_weight, self.variance_weight = mean_weight, variance_weight

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``logits`` (batch, classes) for the labels ``target`` (batch,), mean over the batch.

        Raises ``ValueError`` for a label that is NaN or in no class.
        """
        position = self.classes.positions(target, len(logits))
        p = logits.float().softmax(1)
        mean = _mean_class(p)
        variance = (p * (_classes_of(logits) - mean[:, None]).square()).sum(1)
        penalty = self.mean_weight * (mean - position).square() / 2 + self.variance_weight * variance
        return class_loss(logits, position) + penalty.mean()


def _classes_of(logits: Tensor) -> Tensor:
    """The positions 0, 1, ... of the classes of ``logits`` (batch, classes)."""
    return torch.arange(logits.shape[1], device=logits.device)


def _mean_class(p: Tensor) -> Tensor:
    """The mean position (batch,) of ``p`` (batch, classes)."""
    return (p * _classes_of(p)).sum(1)
