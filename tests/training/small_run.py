"""A run of a second, which can end itself or its process at a given step."""

import multiprocessing
import os
import sys

import numpy as np
import torch
from torch import nn

from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.cache import examples_in_memory
from agegender.data.images import Augmentation, CentreCrop, standardise
from agegender.data.samplers import ShuffledSampler
from agegender.labels import ADIENCE_8
from agegender.models.heads import GENDER, AgeBins, ClassHead
from agegender.models.multitask import MultiTaskModel
from agegender.models.normalisation import ShiftBatchNorm
from agegender.training.fit import TrainingConfig, fit


class SmallEncoder(nn.Module):
    """Convolution, batch statistics and dropout: everything whose state a resumed run could lose."""

    out_features = 8

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = ShiftBatchNorm(8, uses_batch_statistics_at_test=False)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        return self.dropout(self.norm(torch.relu(self.conv(images)))).mean((2, 3))


def small_model():
    torch.manual_seed(0)
    return MultiTaskModel(SmallEncoder(), {"age": ClassHead(8, AgeBins(ADIENCE_8)), "gender": ClassHead(8, GENDER)})


def small_faces(batch_size=4, num_examples=21):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (num_examples, 20, 20, 3), dtype=np.uint8)
    targets = {"age_group": np.arange(num_examples) % 8, "gender": np.arange(num_examples) % 2}
    cache, sampler = examples_in_memory(list(images)), ShuffledSampler(num_examples, batch_size, seed=3)
    training = TrainingBatches(cache, targets, sampler, Augmentation(16))
    return training, EvaluationBatches(cache, targets, 8, CentreCrop(16))


def run(folder, num_workers=0, kill_after=0, stop=None, **changes):
    """Train; at the training step ``kill_after`` raise ``stop``, or end the process without a word if that is None."""
    torch.set_num_threads(1)
    trained = 0

    def prepare(batch):
        nonlocal trained
        if "contrast" in batch:
            trained += 1
            if trained == kill_after and stop is not None:
                raise stop
            if trained == kill_after:
                os._exit(9)
        return standardise(batch["images"], batch.get("contrast"))

    settings = {"num_steps": 20, "validate_every": 5, "batch_size": 4, "learning_rate": 0.01, "momentum": 0.9}
    config = TrainingConfig(**(settings | {"seed": 3} | changes))
    training, validation = small_faces()
    return fit(small_model(), prepare, training, validation, config, folder, num_workers, "cpu")


def run_with_output(output, *arguments):
    """The same in a process of its own, which writes what it says to the file ``output``."""
    multiprocessing.set_start_method(None, force=True)  # workers start as in any process, not as this one did
    with output.open("w") as sys.stdout:
        run(*arguments)
