"""Levi and Hassner (2015), age groups and gender of Adience: the multi-task port in Keras, published and intended."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch import nn

from agegender.data import splits
from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.cache import ExampleCache
from agegender.data.images import Augmentation, CentreCrop, Resize, cache_images, standardise
from agegender.data.manifest import Manifest
from agegender.data.parts import as_listed
from agegender.labels import AgeScheme
from agegender.models import levi_hassner
from agegender.models.heads import GENDER, AgeBins, ClassHead, Init, SigmoidHead
from agegender.models.levi_hassner import INPUT_PX, LeviHassner
from agegender.models.losses import clipped_cross_entropy, cross_entropy
from agegender.models.multitask import MultiTaskModel
from agegender.pipelines.recipes import config_of, evaluation_batches, training_batches
from agegender.training.config import Precision, TrainingConfig
from agegender.training.prediction import Prepare
from agegender.training.protocol import Protocol

DECODED_PX = 256
AUGMENTATION = Augmentation(crop_px=227, flips=True, contrast=(0.2, 1.8))
TEST_BATCH_SIZE = 128


@dataclass(frozen=True)
class Recipe:
    """Every decision in which the multi-task net as published in Keras and its intent, the defaults, differ.

    ``normalisation``, ``pooling`` and both ``init`` are explained in ``agegender.models.levi_hassner``,
    ``clips_probabilities`` (in the loss of age) in ``agegender.models.losses``, ``head_init`` in
    ``agegender.models.heads``, ``resize`` in ``agegender.data.images``. ``gender_logits`` is 1 for a sigmoid and 2 for
    a softmax. ``misspells_8_12`` writes the label ``(8, 12)`` of Adience as ``(8, 13)``, so that its faces are in no
    part. ``repairs_25_23`` reads ``(25, 23)`` as the group (25, 32), ``keeps_repeated_lines`` counts a face as often as
    the fold files list it (``agegender.data.parts``). ``validation`` selects the epoch on the test fold itself, or on
    subjects of their own. Without ``test_augmentation`` the centre of a face is evaluated. The learning rate falls by
    ``decay_factor`` after each ``decay_share`` of the run, ``None``: never. ``pretraining_split`` is that of CelebA,
    which nobody stands twice in, or 30 % of its pictures, whoever is on them. ``initial_weights`` names the
    ``model.safetensors`` with whose encoder a run starts.
    """

    precision: Precision = "bf16-mixed"
    normalisation: Literal["caffe", "rows"] = "caffe"
    pooling: Literal["ceil", "floor"] = "ceil"
    init: levi_hassner.Init = "he"
    pretraining_init: Literal["glorot", "he"] = "he"
    gender_logits: Literal[1, 2] = 2
    clips_probabilities: bool = False
    misspells_8_12: bool = False
    repairs_25_23: bool = True
    keeps_repeated_lines: bool = False
    validation: Literal["test_fold", "subjects"] = "subjects"
    test_augmentation: Augmentation | None = None
    resize: Resize = "filtered"
    best_by: Literal["accuracy", "every_task"] = "accuracy"
    patience_of_single_tasks: int | None = None
    batch_size: int = 32
    learning_rate: float = 0.0025
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augmentation: Augmentation = AUGMENTATION
    head_init: Init = "normal"
    decay_share: float | None = 2 / 3
    pretraining_split: Literal["published", "images"] = "published"
    optimizer: Literal["sgd", "adam"] = "sgd"
    decays: Literal["encoder", "kernels", "all"] = "kernels"
    decay_factor: float = 0.1
    pretraining_batch_size: int = 128
    pretraining_learning_rate: float = 0.01
    initial_weights: str | None = None

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common."""
        return Protocol(selects_on_test=self.validation == "test_fold")


RECIPES = {
    "as_published": Recipe(
        precision="32-true",
        normalisation="rows",
        pooling="floor",
        init="levi_hassner",
        pretraining_init="glorot",
        gender_logits=1,
        clips_probabilities=True,
        misspells_8_12=True,
        repairs_25_23=False,
        keeps_repeated_lines=True,
        validation="test_fold",
        test_augmentation=AUGMENTATION,
        best_by="every_task",
        resize="tensorflow_2",
        patience_of_single_tasks=5,
        batch_size=8,
        learning_rate=0.01,
        momentum=0.0,
        weight_decay=0.0,
        head_init="xavier",
        decay_share=None,
        pretraining_split="images",
    ),
    "as_intended": Recipe(),
}
"""``as_intended`` is the net of Levi and Hassner (2015) with its momentum and its weight decay; the first weights, the
size of the batch and the learning rate are ours, since its own are made for pixels that are not standardised."""


def cache_faces(recipe: Recipe, manifest: Manifest, folder: Path) -> ExampleCache:
    """Return the faces of ``manifest``, ``DECODED_PX`` wide; what cannot be decoded is in the quarantine."""
    return cache_images(manifest, folder, DECODED_PX, recipe.resize)


def split(recipe: Recipe, manifest: Manifest, table: pd.DataFrame, fold: int, seed: int) -> splits.Split:
    """Return the parts of a run that tests ``fold``; ``table`` is the whole table of which ``manifest`` was decoded."""
    examples, scheme = manifest.examples, manifest.scheme
    folds = splits.folds_of(examples, seed=0, table=table)
    if recipe.misspells_8_12 and scheme is not None and scheme.name == "adience-8":
        folds[examples["age_group"] == scheme.index("(8, 12)")] = -1  # in no part, for gender neither
    if not recipe.repairs_25_23 and "age_label" in examples:
        folds[examples["age_label"] == "(25, 23)"] = -1
    if recipe.validation == "test_fold":
        test, train = splits.test_and_pool(folds, fold)
        parts = splits.Split(train, validation=test, test=test)
    else:
        album = "user" if "user" in examples else "subject"
        parts = splits.split_by_subject(examples, folds, fold, seed, key=album)
    if not recipe.keeps_repeated_lines:
        return parts
    return splits.Split(**{name: as_listed(rows, examples) for name, rows in vars(parts).items()})


def model_facts(recipe: Recipe, task: str, dropout: float, scheme: AgeScheme) -> dict[str, Any]:
    """Return the arguments of ``build_model`` for ``task``, ``"age"``, ``"gender"`` or ``"both"``, for JSON."""
    names = ("normalisation", "pooling", "init", "head_init", "gender_logits", "clips_probabilities")
    return {
        "task": task,
        "dropout": dropout,
        "scheme": asdict(scheme),
        **{name: getattr(recipe, name) for name in names},
    }


def build_model(
    task: str,
    dropout: float,
    scheme: dict[str, Any],
    normalisation: levi_hassner.Normalisation,
    pooling: levi_hassner.Pooling,
    init: levi_hassner.Init,
    head_init: Init,
    gender_logits: Literal[1, 2],
    clips_probabilities: bool,
) -> MultiTaskModel:
    """Return the untrained net with a head for each task; the decisions are explained in ``Recipe``."""
    if task not in ("both", "age", "gender"):
        raise ValueError(f"task must be 'both', 'age' or 'gender', got {task!r}")
    encoder = LeviHassner(normalisation, pooling, init, dropout)
    loss = clipped_cross_entropy if clips_probabilities else cross_entropy
    gender_head = ClassHead if gender_logits == 2 else SigmoidHead
    heads = {  # both are drawn, so that a single task starts from the weights that it has beside the other
        "age": ClassHead(encoder.out_features, AgeBins(AgeScheme(**scheme)), loss=loss, init=head_init),
        "gender": gender_head(encoder.out_features, GENDER, init=head_init),
    }
    return MultiTaskModel(encoder, {name: head for name, head in heads.items() if task in ("both", name)})


def freeze_convolutions(net: MultiTaskModel) -> None:
    """Keep the convolutions of ``net`` as they are in training."""
    for module in net.encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.requires_grad_(False)


def prepare() -> Prepare:
    """Return what standardises each face of a batch."""
    return lambda batch: standardise(batch["images"], batch.get("contrast"))


def batches(
    recipe: Recipe, faces: ExampleCache, parts: splits.Split, seed: int
) -> tuple[TrainingBatches, EvaluationBatches, EvaluationBatches]:
    """Return the batches of training, validation and test."""
    targets, transform = ("age_group", "gender"), recipe.test_augmentation or CentreCrop(INPUT_PX)
    return (
        training_batches(faces, parts.train, targets, recipe.batch_size, recipe.augmentation, seed),
        evaluation_batches(faces, parts.validation, targets, TEST_BATCH_SIZE, transform, seed),
        evaluation_batches(faces, parts.test, targets, TEST_BATCH_SIZE, transform, seed),
    )


def training_config(recipe: Recipe, task: str, num_examples: int, num_epochs: int, seed: int) -> TrainingConfig:
    """Return how the net is fitted to ``num_examples``; every epoch is validated."""
    own = {"patience": None if task == "both" else recipe.patience_of_single_tasks, "seed": seed}
    return config_of(recipe, num_examples // recipe.batch_size, num_epochs, own)
