"""Speaker verification heads: the angle between two embeddings tells whether they are of one subject.

Logits are cosines between an embedding and the direction of each training subject, who has to win by a margin. Nothing
is decoded: what is used afterwards is the encoder.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from agegender.models.losses import checked


class AMSoftmaxHead(nn.Module):
    """Additive margin on the cosine: the cross-entropy of ``scale * (cos - margin)`` against ``scale * cos``.

    The defaults are those of the published pretraining. Directions start as Xavier's normal distribution. Raises
    ``ValueError`` for fewer than two subjects and for a margin or scale out of range.

    Reference: Wang, Cheng, Liu and Liu (2018), "Additive margin softmax for face verification", equation 6.
    """

    target = "subject_index"
    metric = "accuracy"
    limit = (math.inf, "0 or more")

    def __init__(self, in_features: int, num_subjects: int, margin: float = 0.2, scale: float = 32.0) -> None:
        super().__init__()
        if num_subjects < 2:
            raise ValueError(f"to tell subjects apart takes two or more, got {num_subjects}")
        largest, allowed = self.limit
        if not (0 <= margin < largest and 0 < scale < math.inf):
            raise ValueError(f"margin must be {allowed} and scale above 0, got {margin} and {scale}")
        self.margin, self.scale = margin, scale
        self.directions = nn.Parameter(torch.empty(num_subjects, in_features))
        nn.init.xavier_normal_(self.directions)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map ``embedding`` (batch, in_features) to float32 cosines (batch, num_subjects), also under autocast."""
        with torch.autocast(embedding.device.type, enabled=False):
            return functional.linear(functional.normalize(embedding.float()), functional.normalize(self.directions))

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of the cosines ``logits`` (batch, num_subjects), mean over the batch.

        ``target`` (batch,) has the subjects' indices. Raises ``ValueError`` for an index out of range.
        """
        label = checked(target, 0, logits.shape[1], len(logits), "subject")
        correct = label.nan_to_num().long()[:, None]
        logits = logits.float()
        harder = logits.scatter(1, correct, self.with_margin(logits.gather(1, correct)))
        return functional.cross_entropy(self.scale * harder, correct[:, 0]) + 0 * label.mean()  # NaN if one was refused

    def with_margin(self, cosine: Tensor) -> Tensor:
        """Return ``cosine`` of the correct subject less the margin, of the same shape."""
        return cosine - self.margin

    def measure(self, logits: Tensor, target: Tensor) -> Tensor:
        """Count the examples whose subject is the nearest one, without the margin."""
        return (logits.argmax(1) == target).sum()

    def decode(self, logits: Tensor) -> dict[str, Tensor]:
        """Return nothing: the model is used on other subjects than those of the training part."""
        return {}


class AAMSoftmaxHead(AMSoftmaxHead):
    """Additive margin on the angle: ``scale * cos(angle + margin)`` for the correct subject (ArcFace).

    Beyond ``pi - margin``, where the cosine of the sum would rise again, it is ``cos(angle) - margin * sin(margin)``.
    The published default is a margin of 0.3 (radians) and a scale of 15.

    Reference: Deng, Guo, Xue and Zafeiriou (2019), "ArcFace: Additive angular margin loss for deep face recognition",
    CVPR, equation 3; the continuation is of the authors' code.
    """

    limit = (math.pi, "an angle from 0 to pi")

    def __init__(self, in_features: int, num_subjects: int, margin: float = 0.3, scale: float = 15.0) -> None:
        super().__init__(in_features, num_subjects, margin, scale)

    def with_margin(self, cosine: Tensor) -> Tensor:
        """Return the cosine of the angle enlarged by the margin, of the same shape."""
        sine = (1 - cosine.square()).clamp(min=1e-12).sqrt()  # clamped so that an angle of 0 has a gradient
        enlarged = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine - self.margin * math.sin(math.pi - self.margin)
        return torch.where(cosine > math.cos(math.pi - self.margin), enlarged, beyond)
