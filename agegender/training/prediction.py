"""Asking a model about batches; apart from fitting, so that whoever only asks need not import what fits."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from agegender.data.loading import Batch, evaluation_loader
from agegender.models.multitask import MultiTaskModel

Prepare = Callable[[Batch], Tensor]
"""From a batch to the input of the model, on the device of the batch."""


@torch.no_grad()
def predict(
    model: MultiTaskModel, prepare: Prepare, faces: Dataset, device: str | torch.device = "cpu", num_workers: int = 0
) -> dict[str, np.ndarray]:
    """Return what the heads decode for every example, in order: arrays of length ``examples``, in float32.

    Batch by batch as ``faces`` gives them (faces or clips), in evaluation mode and full precision. Where there are
    several crops of a clip, ``clips`` (batch, crops, samples), the answers about them (years, probabilities) are
    averaged.
    """
    model = model.to(device).eval()
    batches = []
    for batch in evaluation_loader(faces, num_workers):
        crops, num_crops = _crops_as_examples({name: value.to(device) for name, value in batch.items()})
        answers = model.decode(model(prepare(crops)))
        batches.append({name: value.unflatten(0, (-1, num_crops)).mean(1) for name, value in answers.items()})
    return {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in batches[0]}


@torch.no_grad()
def embeddings(
    encoder: nn.Module, prepare: Prepare, clips: Dataset, device: str | torch.device = "cpu", num_workers: int = 0
) -> np.ndarray:
    """Return what ``encoder`` makes of every crop of every example, in order: (examples, crops, features) float32.

    In evaluation mode and full precision; with one crop of each, ``crops`` is 1.
    """
    encoder = encoder.to(device).eval()
    found = []
    for batch in evaluation_loader(clips, num_workers):
        crops, num_crops = _crops_as_examples({name: value.to(device) for name, value in batch.items()})
        found.append(encoder(prepare(crops)).float().unflatten(0, (-1, num_crops)))
    return torch.cat(found).cpu().numpy()


def _crops_as_examples(batch: Batch) -> tuple[Batch, int]:
    """Return the batch with one row for each crop of a clip, and how many crops a clip has."""
    clips = batch.get("clips")
    if clips is None or clips.ndim == 2:
        return batch, 1
    return batch | {"clips": clips.flatten(0, 1)}, clips.shape[1]
