"""Asking a model about batches; apart from fitting, so that whoever only asks need not import what fits."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
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

    Batch by batch as ``faces`` gives them, in evaluation mode and full precision.
    """
    model = model.to(device).eval()
    batches = [
        model.decode(model(prepare({name: value.to(device, non_blocking=True) for name, value in batch.items()})))
        for batch in evaluation_loader(faces, num_workers)
    ]
    return {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in batches[0]}
