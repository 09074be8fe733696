"""Asking a model about batches; apart from fitting, so that whoever only asks need not import what fits."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from agegender.data.batches import Batch, loader
from agegender.models.multitask import MultiTaskModel

PRECISION = "32-true"
"""Of every answer that selects weights or is reported, whatever the precision in which the weights were trained."""

Prepare = Callable[[Batch], Tensor]
"""From a batch to the input of the model, on the device of the batch."""


@torch.no_grad()
def predict(
    model: MultiTaskModel, prepare: Prepare, faces: Dataset, device: str | torch.device = "cpu"
) -> dict[str, np.ndarray]:
    """Return what the heads decode for every example, in order: arrays of length ``examples``, in float32.

    In evaluation mode and full precision. Where there are several crops of a clip, ``clips`` (batch, crops, samples),
    the answers about them (years, probabilities) are averaged.
    """
    model = model.to(device).eval()
    batches = []
    for crops, num_crops in crops_of(faces, device):
        answers = model.decode(model(prepare(crops)))
        batches.append({name: value.unflatten(0, (-1, num_crops)).mean(1) for name, value in answers.items()})
    return {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in batches[0]}


@torch.no_grad()
def embeddings(encoder: nn.Module, prepare: Prepare, clips: Dataset, device: str | torch.device = "cpu") -> np.ndarray:
    """Return what ``encoder`` makes of every crop of every example, in order: (examples, crops, features) float32.

    In evaluation mode and full precision; with one crop of each, ``crops`` is 1.
    """
    encoder = encoder.to(device).eval()
    found = [
        encoder(prepare(crops)).float().unflatten(0, (-1, num_crops)) for crops, num_crops in crops_of(clips, device)
    ]
    return torch.cat(found).cpu().numpy()


def on_device(batch: Batch, device: str | torch.device) -> Batch:
    """Return ``batch`` on ``device``."""
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}


def crops_of(examples: Dataset, device: str | torch.device) -> Iterator[tuple[Batch, int]]:
    """Return the batches on ``device``, one row for each crop of a clip, and how many crops a clip has."""
    for loaded in loader(examples):
        batch = on_device(loaded, device)
        clips = batch.get("clips")
        if clips is None or clips.ndim == 2:
            yield batch, 1
        else:
            yield batch | {"clips": clips.flatten(0, 1)}, clips.shape[1]
