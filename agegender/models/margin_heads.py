"""Heads that learn to tell subjects apart, so that the angle between two embeddings says whether they are one person's.

Their logits are cosines: of the angle between an embedding and the direction of each training subject. In the loss the
right subject has to win by a margin. There is nothing for a person to read: what is used afterwards is the encoder.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.models.age_classes import checked


class AMSoftmaxHead(nn.Module):
    """Additive margin on the cosine: the cross-entropy of ``scale * (cos - margin)`` against ``scale * cos``.

    The published pretraining has a margin of 0.2 and a scale of 32. Directions start as Xavier's normal distribution.

    Reference: Wang, Cheng, Liu and Liu (2018), "Additive margin softmax for face verification", equation 6.
    """

    target = "subject_index"
    metric = "accuracy"

    def __init__(self, in_features: int, num_subjects: int, margin: float = 0.2, scale: float = 32.0) -> None:
        super().__init__()
        if num_subjects < 2:
            raise ValueError(f"to tell subjects apart takes two or more, got {num_subjects}")
        self._check(margin, scale)
        self.margin, self.scale = margin, scale
        self.directions = nn.Parameter(torch.empty(num_subjects, in_features))
        nn.init.xavier_normal_(self.directions)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map ``embedding`` (batch, in_features) to float32 cosines (batch, num_subjects), also under autocast."""
        with torch.autocast(embedding.device.type, enabled=False):
            return functional.linear(functional.normalize(embedding.float()), functional.normalize(self.directions))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of the cosines ``logits`` (batch, num_subjects), mean over the batch.

        ``target`` (batch,) has the subjects' indices. Raises ``ValueError`` for an index that is no subject's.
        """
        label = checked(target, 0, logits.shape[1], len(logits), "subject")
        right = label.nan_to_num().long()[:, None]
        logits = logits.float()
        harder = logits.scatter(1, right, self.with_margin(logits.gather(1, right)))
        return functional.cross_entropy(self.scale * harder, right[:, 0]) + 0 * label.mean()  # NaN if one was refused

    def with_margin(self, cosine: Tensor) -> Tensor:
        """Return what the right subject's ``cosine`` counts as, of the same shape."""
        return cosine - self.margin

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the examples whose subject is the nearest one; the margin has no part in it."""
        return (logits.argmax(1) == target).sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return nothing: the subjects of the training part are not those that the model is used on."""
        return {}

    def _check(self, margin: float, scale: float) -> None:
        if not (0 <= margin < math.inf and 0 < scale < math.inf):
            raise ValueError(f"margin must be 0 or more and scale above 0, got {margin} and {scale}")


class AAMSoftmaxHead(AMSoftmaxHead):
    """Additive margin on the angle: ``scale * cos(angle + margin)`` for the right subject (ArcFace).

    Beyond ``pi - margin``, where the cosine of the sum would rise again, it goes on as
    ``cos(angle) - margin * sin(margin)``, which falls with the angle throughout, if with a step there.
    The published default is a margin of 0.3 (in radians) and a scale of 15.

    Reference: Deng, Guo, Xue and Zafeiriou (2019), "ArcFace: Additive angular margin loss for deep face recognition",
    CVPR, equation 3; the continuation is of the authors' code.
    """

    def __init__(self, in_features: int, num_subjects: int, margin: float = 0.3, scale: float = 15.0) -> None:
        super().__init__(in_features, num_subjects, margin, scale)

    def with_margin(self, cosine: Tensor) -> Tensor:
        """Return the cosine of the angle enlarged by the margin, of the same shape."""
        sine = (1 - cosine.square()).clamp(min=1e-12).sqrt()  # clamped so that an angle of 0 has a gradient
        enlarged = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine - self.margin * math.sin(math.pi - self.margin)
        return torch.where(cosine > math.cos(math.pi - self.margin), enlarged, beyond)

    def _check(self, margin: float, scale: float) -> None:
        if not (0 <= margin < math.pi and 0 < scale < math.inf):
            raise ValueError(f"margin must be an angle from 0 to pi and scale above 0, got {margin} and {scale}")
