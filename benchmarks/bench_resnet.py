"""Speed of the training step of ResNet-18 on faces of 112 px against the plain way."""

from pathlib import Path

import torch
from torchvision.models import resnet18

from agegender.labels import ADIENCE_8, GENDERS
from agegender.models.resnet import ResNetEncoder
from benchmarks.harness import Comparison
from benchmarks.steps import BATCH, TrainedModel, compare_steps

SIDE_PX = 112


def measure(folder: Path, num_subjects: int, rounds: int) -> list[Comparison]:
    """Compare the steps; it needs no drawn faces. The plain net is torchvision's own, its classifier the two heads."""
    encoder = ResNetEncoder(18)
    ours = TrainedModel(encoder, encoder.out_features)
    plain = resnet18(num_classes=len(ADIENCE_8) + len(GENDERS))
    name = "ResNet-18 training step at 112 px (bf16 NHWC vs fp32 NCHW)"
    return [compare_steps(name, ours, plain, torch.randn(BATCH, 3, SIDE_PX, SIDE_PX), 2 * rounds)]
