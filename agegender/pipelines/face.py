"""The model of faces that ships: one of nine age groups, and gender, for one upright face."""

from dataclasses import dataclass, field
from functools import partial

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from agegender.data import splits
from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.cache import ExampleCache
from agegender.data.face_augmentation import CentreResize, FaceWarp
from agegender.data.images import normalise
from agegender.labels import FAIRFACE_9
from agegender.models.heads import GENDER, AgeBins, ClassHead
from agegender.models.multitask import MultiTaskModel
from agegender.models.resnet import ResNetEncoder
from agegender.pipelines.recipes import config_of, evaluation_batches, training_batches
from agegender.training.config import Precision, TrainingConfig
from agegender.training.prediction import Prepare
from agegender.training.protocol import Protocol

TARGETS = ("age_group", "gender")


@dataclass(frozen=True)
class Recipe:
    """Every decision of the training.

    The net first sees faces of ``first_px``, which is faster, and then of ``side_px``; the learning
    rate runs through one cycle on each size (``TrainingConfig``). A label is trusted as far as ``own_share``, its two
    neighbours share ``neighbour_share``, and all groups the rest: two copies of a picture were often labelled
    differently. What is tested is the central ``test_share`` of a face.
    """

    first_px: int = 64
    side_px: int = 112
    first_rate: float = 0.1
    rate: float = 0.03
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    own_share: float = 0.8
    neighbour_share: float = 0.1
    test_share: float = 0.9
    precision: Precision = "bf16-mixed"
    warp: FaceWarp = field(default_factory=lambda: FaceWarp(112))

    @property
    def protocol(self) -> Protocol:
        """What the parts may have in common."""
        return Protocol(False, "no parts")


RECIPE = Recipe()


def soft_groups(num_groups: int, own_share: float, neighbour_share: float) -> Tensor:
    """Return what a label says of each group, (groups, groups): row ``i`` is the distribution learnt from group ``i``.

    >>> soft_groups(4, 0.5, 0.5)[1].tolist()
    [0.25, 0.5, 0.25, 0.0]
    """
    uniform = torch.full((num_groups, num_groups), (1 - own_share - neighbour_share) / num_groups)
    own = torch.eye(num_groups)
    beside = torch.diag(torch.ones(num_groups - 1), 1) + torch.diag(torch.ones(num_groups - 1), -1)
    return uniform + own_share * own + neighbour_share * beside / beside.sum(1, keepdim=True)


def soft_cross_entropy(logits: Tensor, positions: Tensor, soft: Tensor) -> Tensor:
    """Return the cross-entropy of ``logits`` (batch, classes) with row ``positions`` (batch,) of ``soft``."""
    return functional.cross_entropy(logits.float(), soft.to(logits.device)[positions.long()])


def build_model(recipe: Recipe = RECIPE) -> MultiTaskModel:
    """Return the untrained net: ResNet-18 (He and others, 2016), nine age groups and gender."""
    encoder = ResNetEncoder(18)
    groups = soft_groups(len(FAIRFACE_9), recipe.own_share, recipe.neighbour_share)
    genders = soft_groups(2, recipe.own_share + recipe.neighbour_share, 0.0)
    age = ClassHead(encoder.out_features, AgeBins(FAIRFACE_9), loss=partial(soft_cross_entropy, soft=groups))
    gender = ClassHead(encoder.out_features, GENDER, loss=partial(soft_cross_entropy, soft=genders))
    return MultiTaskModel(encoder, {"age": age, "gender": gender})


def prepare() -> Prepare:
    """Return what gives the pixels of a batch the scale of ImageNet."""
    return lambda batch: normalise(batch["images"])


def split(examples: pd.DataFrame, seed: int = 0) -> splits.Split:
    """Return the parts: a twentieth of the subjects is tested, and a twentieth of the others calibrates."""
    return splits.split_by_subject(examples, splits.subject_folds(examples, 20, seed=0), 0, seed, 0.05)


def batches(
    recipe: Recipe, faces: ExampleCache, parts: splits.Split, side_px: int, seed: int
) -> tuple[TrainingBatches, EvaluationBatches, EvaluationBatches]:
    """Return the batches of training, validation and test, of faces of ``side_px``."""
    shown = CentreResize(side_px, recipe.test_share)
    warp = FaceWarp(**(vars(recipe.warp) | {"side_px": side_px}))
    return (
        training_batches(faces, parts.train, TARGETS, recipe.batch_size, warp, seed),
        evaluation_batches(faces, parts.validation, TARGETS, 128, shown),
        evaluation_batches(faces, parts.test, TARGETS, 128, shown),
    )


def training_config(recipe: Recipe, side_px: int, num_examples: int, num_epochs: int, seed: int) -> TrainingConfig:
    """Return how the net is fitted to ``num_examples`` faces of ``side_px``; the last step counts."""
    is_first = side_px == recipe.first_px
    cycle = {
        "learning_rate": recipe.first_rate if is_first else recipe.rate,
        "warmup_share": 0.3 if is_first else 0.1,
        "schedule": "one_cycle",
        "decays": "kernels",
        "selects_best": False,
        "seed": seed,
    }
    return config_of(recipe, num_examples // recipe.batch_size, num_epochs, cycle)
