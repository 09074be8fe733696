"""Speed of the training step of the Levi-Hassner net against the plain way."""

from pathlib import Path

import torch

from agegender.models.levi_hassner import INPUT_PX, LeviHassner
from benchmarks.harness import Comparison
from benchmarks.plain import plain_levi_hassner
from benchmarks.steps import BATCH, TrainedModel, compare_steps


def measure(folder: Path, num_subjects: int, rounds: int) -> list[Comparison]:
    """Compare the steps of the paper's net; it needs no drawn faces."""
    encoder = LeviHassner()
    ours = TrainedModel(encoder, encoder.out_features)
    name = "Levi-Hassner training step (bf16 NHWC vs fp32 NCHW)"
    return [compare_steps(name, ours, plain_levi_hassner(), torch.randn(BATCH, 3, INPUT_PX, INPUT_PX), 2 * rounds)]
