"""Losses that learn a distribution over age bins: label distribution (DLDL-v2) and mean-variance.

For ``heads.ClassHead`` with ``heads.AgeBins``. ``logits`` are (batch, bins); ``positions`` (batch,) are those of the
labels among the bins ``k`` = 0, 1, ..., with decimals. Distances are in bins: years, or groups.
"""

import torch
from torch import Tensor
from torch.nn import functional

from agegender.models.losses import cross_entropy


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


def _bins(logits: Tensor) -> Tensor:
    """The positions 0, 1, ... of the bins of ``logits`` (batch, bins)."""
    return torch.arange(logits.shape[1], device=logits.device)


def _mean_bin(p: Tensor) -> Tensor:
    """The mean position (batch,) of ``p`` (batch, bins)."""
    return (p * _bins(p)).sum(1)
