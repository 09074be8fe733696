"""Pretraining of the net of ``agegender.pipelines.levihassner`` on CelebA: its parts, net, batches and optimisation."""

import numpy as np
import pandas as pd

from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.cache import ExampleCache
from agegender.data.images import CentreCrop
from agegender.models.heads import GENDER, ClassHead, TwoClasses
from agegender.models.levi_hassner import INPUT_PX, LeviHassner
from agegender.models.multitask import MultiTaskModel
from agegender.pipelines.levihassner import TEST_BATCH_SIZE, Recipe
from agegender.pipelines.recipes import config_of, evaluation_batches, training_batches
from agegender.training.config import TrainingConfig

TASKS = ("young", "gender")


def parts_of(recipe: Recipe, examples: pd.DataFrame, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers of training and validation."""
    if recipe.pretraining_split == "published":
        part = examples["published_split"].to_numpy()
        return np.flatnonzero(part == "train"), np.flatnonzero(part == "validation")
    is_held = np.random.default_rng(seed).random(len(examples)) < 0.3
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)


def build_model(recipe: Recipe) -> MultiTaskModel:
    """Return the untrained net with a head for ``young`` and one for gender."""
    encoder = LeviHassner(recipe.normalisation, recipe.pooling, recipe.pretraining_init)
    heads = {"young": ClassHead(512, TwoClasses("young", "young")), "gender": ClassHead(512, GENDER)}
    return MultiTaskModel(encoder, dict(heads))


def batches(
    recipe: Recipe, faces: ExampleCache, train: np.ndarray, validation: np.ndarray, seed: int
) -> tuple[TrainingBatches, EvaluationBatches]:
    """Return the batches of training and validation."""
    batch_size = _batch_size(recipe, len(train))
    return (
        training_batches(faces, train, TASKS, batch_size, recipe.augmentation, seed),
        evaluation_batches(faces, validation, TASKS, TEST_BATCH_SIZE, CentreCrop(INPUT_PX)),
    )


def training_config(recipe: Recipe, num_examples: int, num_epochs: int, seed: int) -> TrainingConfig:
    """Return how the net is fitted to ``num_examples``; every epoch is validated."""
    batch_size, rate = _batch_size(recipe, num_examples), recipe.pretraining_learning_rate
    own = {"batch_size": batch_size, "learning_rate": rate, "decay_every": None, "best_by": "accuracy", "seed": seed}
    return config_of(recipe, num_examples // batch_size, num_epochs, own)


def _batch_size(recipe: Recipe, num_examples: int) -> int:
    return min(recipe.pretraining_batch_size, max(1, num_examples // 4))
