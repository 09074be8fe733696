"""The trunk of torchvision's ResNet as an encoder of faces.

References: He, Zhang, Ren and Sun (2016), "Deep Residual Learning for Image Recognition", CVPR, table 1. Joint
estimation of age and gender on the faces of IMDB puts two heads with a hidden layer on it.
"""

from typing import Literal

from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from agegender.models.imagenet import imagenet_weights

INPUT_PX = (112, 224)
"""The sides that faces were published with; the last map has 4 x 4 or 7 x 7 places, and is averaged in either case."""
MIN_INPUT_PX = 32
"""Below it nothing is left of the last map but padding."""


class ResNetEncoder(nn.Module):
    """ResNet-18 (512 features) or ResNet-50 (2,048) without its classifier.

    ``weights="imagenet"`` starts from torchvision's weights, fetched once (``agegender.models.imagenet``), and raises
    ``WeightsUnavailableError`` rather than starting from anything else; ``None`` starts from random weights.
    The trunk has 11,176,512 (18) or 23,508,032 (50) parameters.
    """

    def __init__(self, depth: Literal[18, 50] = 18, weights: Literal["imagenet"] | None = None) -> None:
        super().__init__()
        if depth not in (18, 50):
            raise ValueError(f"depth must be 18 or 50, got {depth!r}")
        if weights not in ("imagenet", None):
            raise ValueError(f"weights must be 'imagenet' or None, got {weights!r}")
        self.trunk = resnet18() if depth == 18 else resnet50()
        self.out_features = self.trunk.fc.in_features
        if weights == "imagenet":
            self.trunk.load_state_dict(imagenet_weights(depth))
        self.trunk.fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Encode normalised ``images`` (batch, 3, height, width), 32 px or more, as (batch, ``out_features``)."""
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < MIN_INPUT_PX:
            side = f"{MIN_INPUT_PX} px or more"
            raise ValueError(f"ResNet reads (batch, 3, height, width) of {side}, got {tuple(images.shape)}")
        return self.trunk(images)
