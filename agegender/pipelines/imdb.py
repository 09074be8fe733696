"""Joint age in years and gender of the faces of IMDB, as published and as intended: age heads compared."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor, nn
from torch.nn import functional

from agegender.data import splits
from agegender.data.balancing import cap_per_age
from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.cache import ExampleCache
from agegender.data.face_alignment import cache_aligned_faces
from agegender.data.images import Augmentation, CentreCrop, Resize, normalise
from agegender.data.manifest import Manifest
from agegender.models import losses
from agegender.models.heads import GENDER, AgeBins, ClassHead, Init, RegressionHead, hidden_layers
from agegender.models.ir_resnet import IRResNet
from agegender.models.multitask import MultiTaskModel
from agegender.models.ordinal import CoralHead, CornHead
from agegender.models.resnet import ResNetEncoder
from agegender.pipelines.recipes import config_of, evaluation_batches, training_batches
from agegender.training.config import Precision, TrainingConfig
from agegender.training.prediction import Prepare
from agegender.training.protocol import Protocol, Shared

TEST_BATCH_SIZE = 128
AGE_WEIGHTS = {
    "l1": 0.1, "l2": 0.01, "huber": 0.1, "ce": 1.0, "dldl": 0.2, "meanvariance": 0.05, "coral": 0.1, "corn": 50.0,
}  # fmt: skip
"""The weight of the age loss beside that of gender. Those of ``l1``, ``l2`` and ``ce`` are published; the others, ours,
bring the first loss of a net that knows nothing to about that of the cross-entropy of 101 classes."""
Loss = Callable[[Tensor, Tensor], Tensor]
_LOSSES: dict[str, Loss] = {
    "l1": functional.l1_loss,
    "l2": functional.mse_loss,
    "huber": functional.huber_loss,
    "dldl": losses.label_distribution_loss,
    "meanvariance": losses.mean_variance_loss,
}


class Model(NamedTuple):
    """What a run's ``model`` says, as ``"resnet18-l1-112"``, or ``"ir34-ce-112-lr0.001"`` with a rate of its own."""

    encoder: str
    age: str
    side_px: int
    learning_rate: float | None


def parse_model(model: str) -> Model:
    """Read the name of a run's model.

    >>> parse_model("ir34-ce-112-lr0.001")
    Model(encoder='ir34', age='ce', side_px=112, learning_rate=0.001)
    """
    encoder, age, side, *rate = model.split("-", 3)
    return Model(encoder, age, int(side), float(rate[0].removeprefix("lr")) if rate else None)


@dataclass(frozen=True)
class Recipe:
    """Every decision in which the joint estimation on IMDB as published and its intent, the defaults, differ.

    ``softmax_before_loss`` takes the cross-entropy of values that are probabilities already. ``channel_order`` is that
    of the pixels to which the statistics of red, green and blue are applied. ``age_of`` and ``min_face_score`` are
    explained in ``agegender.corpora.imdb_wiki``, ``cap`` (at ``most_per_age`` faces of an age in years) in
    ``agegender.data.balancing``, ``resize`` in ``agegender.data.images``. ``split`` parts photographs or people;
    ``validation`` is the test part itself, or people of their own. ``crop_at_224`` tells whether faces of 224 px are
    cropped as tightly as those of 112. With ``starts_at_median`` a regression starts from the median age of training.

    ``head_init`` and ``head_init_of_ir`` (of the nets with which the published code ends) are the first weights of the
    heads (``agegender.models.heads``). As intended every head starts from N(0, 0.01), which does not depend on how many
    outputs it has: heads that are compared differ in their loss alone.

    ``learning_rate`` of ``None`` is 1e-4 with ImageNet's weights, as published, and 1e-3 without (ours). It falls by
    ``decay_factor`` when ``plateau`` epochs have brought nothing better, and after each ``decay_share`` of the run.
    """

    precision: Precision = "bf16-mixed"
    softmax_before_loss: bool = False
    channel_order: Literal["bgr", "rgb"] = "rgb"
    age_of: Literal["years_apart", "mid_year"] = "mid_year"
    min_face_score: float | None = 1.0
    cap: Literal["first_come", "spread"] = "spread"
    split: Literal["photographs", "subjects"] = "subjects"
    validation: Literal["test_part", "subjects"] = "subjects"
    crop_at_224: Literal["loose", "tight"] = "tight"
    resize: Resize = "filtered"
    starts_at_median: bool = True
    head_init: Init = "normal"
    head_init_of_ir: Init = "normal"
    decay_share: float | None = 2 / 3
    batch_size: int = 32
    weight_decay: float = 5e-4
    most_per_age: int = 5000
    clip_value: float = 5.0
    plateau: int = 8
    patience: int = 20
    learning_rate: float | None = None
    optimizer: Literal["sgd", "adam"] = "adam"
    decays: Literal["encoder", "kernels", "all"] = "all"
    decay_factor: float = 0.1
    best_by: Literal["accuracy", "loss", "mae"] = "loss"

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common."""
        shared: Shared = "all parts" if self.split == "photographs" else "no parts"
        return Protocol(self.validation == "test_part", shared)


RECIPES = {
    "as_published": Recipe(
        precision="32-true",
        softmax_before_loss=True,
        channel_order="bgr",
        age_of="years_apart",
        min_face_score=None,
        cap="first_come",
        split="photographs",
        validation="test_part",
        crop_at_224="loose",
        resize="opencv",
        starts_at_median=False,
        head_init="xavier_weight",
        head_init_of_ir="xavier_normal",
        decay_share=None,
    ),
    "as_intended": Recipe(),
}
"""``as_published`` is the code behind the first row of the published table (ResNet-18, the L1 loss, 112 px)."""


def crop_of(recipe: Recipe, side_px: int) -> str:
    """Return how tightly faces are cropped, by the name that ``agegender.data.face_alignment`` gives it."""
    return recipe.crop_at_224 if side_px == 224 else "tight"


def cache_faces(recipe: Recipe, manifest: Manifest, folder: Path, side_px: int) -> ExampleCache:
    """Return the faces of ``manifest``, aligned and ``side_px`` wide; what cannot be used is in the quarantine."""
    return cache_aligned_faces(manifest, folder, side_px, crop_of(recipe, side_px), recipe.resize)


def capped(recipe: Recipe, faces: ExampleCache) -> tuple[ExampleCache, Manifest]:
    """Return at most ``most_per_age`` faces of an age in years, and their manifest with the others set aside."""
    kept = cap_per_age(faces.manifest, recipe.most_per_age, recipe.cap, seed=0)
    return faces.select(np.flatnonzero(faces.manifest.examples["path"].isin(kept.examples["path"]))), kept


def split(recipe: Recipe, manifest: Manifest, table: pd.DataFrame, fold: int, seed: int) -> splits.Split:
    """Return the parts of a run that tests ``fold``; ``table`` is the whole table of which ``manifest`` was decoded.

    The published split has fold 0 alone; ``ValueError`` for another.
    """
    examples = manifest.examples
    if recipe.split == "photographs":
        if fold != 0:
            raise ValueError(f"as published there is one split and no fold {fold}")
        drawn = splits.split_by_image(len(examples), seed=0)
        return splits.Split(drawn.train, validation=drawn.test, test=drawn.test)
    return splits.split_by_subject(examples, splits.folds_of(examples, seed=0, table=table), fold, seed)


def model_facts(recipe: Recipe, encoder: str, age: str) -> dict[str, Any]:
    """Return the arguments of ``build_model``, for JSON, without those that only training needs."""
    init = recipe.head_init_of_ir if encoder.startswith("ir") else recipe.head_init
    return {"encoder": encoder, "age": age, "init": init, "softmax_before_loss": recipe.softmax_before_loss}


def first_age(recipe: Recipe, ages: pd.Series) -> float:
    """Return the age in years from which a regression starts; ``ages`` are those of training."""
    return float(ages.median()) if recipe.starts_at_median else 0.0


def _trunk_of(encoder: str, weights: Literal["none", "imagenet"]) -> ResNetEncoder | IRResNet:
    """Return the encoder of that name, or raise ``ValueError``."""
    depth: Any = int("".join(filter(str.isdigit, encoder)) or 0)
    if encoder in ("ir18", "ir34", "ir101"):
        return IRResNet(depth)
    if encoder in ("resnet18", "resnet50"):
        return ResNetEncoder(depth, None if weights == "none" else weights)
    raise ValueError(f"unknown encoder {encoder!r}: expected resnet18, resnet50, ir18, ir34 or ir101")


def _age_head_of(age: str, width: int, hidden: nn.Module, class_loss: Loss, init: Init, first_age: float) -> nn.Module:
    """Return the age head of that name behind the layers ``hidden`` with ``width`` outputs, or raise ``ValueError``.

    ``class_loss`` is that of ``"ce"``, ``first_age`` (years) is where a regression starts.
    """
    if age not in AGE_WEIGHTS:
        raise ValueError(f"unknown age head {age!r}: expected {', '.join(AGE_WEIGHTS)}")
    if age in ("l1", "l2", "huber"):
        return RegressionHead(width, hidden, _LOSSES[age], init, first_age)
    years = AgeBins(range(101))
    if age in ("coral", "corn"):
        return (CoralHead if age == "coral" else CornHead)(width, years, hidden, init)
    return ClassHead(width, years, hidden, _LOSSES.get(age, class_loss), init)


def build_model(
    encoder: str,
    age: str,
    init: Init,
    softmax_before_loss: bool,
    weights: Literal["none", "imagenet"] = "none",
    first_age: float = 0.0,
) -> MultiTaskModel:
    """Return the untrained net: a trunk, and one branch with a hidden layer for age and one for gender.

    ``weights`` are those of the trunk: a residual net, or the one with which the published code ends and of which no
    result is published (``"ir34"``). Raises ``ValueError`` for an unknown encoder or age head.
    """
    trunk = _trunk_of(encoder, weights)
    width = trunk.out_features
    hidden = 512 if isinstance(trunk, IRResNet) else width
    class_loss = losses.double_softmax_cross_entropy if softmax_before_loss else losses.cross_entropy
    gender = ClassHead(hidden, GENDER, hidden_layers(width, [hidden]), class_loss, init)
    age_head = _age_head_of(age, hidden, hidden_layers(width, [hidden]), class_loss, init, first_age)
    return MultiTaskModel(trunk, {"age": age_head, "gender": gender}, {"age": AGE_WEIGHTS[age]})


def prepare(channel_order: Literal["rgb", "bgr"]) -> Prepare:
    """Return what gives the pixels of a batch the scale of ImageNet, with the channels in that order."""
    return lambda batch: normalise(batch["images"], channel_order)


def batches(
    recipe: Recipe, faces: ExampleCache, parts: splits.Split, seed: int
) -> tuple[TrainingBatches, EvaluationBatches, EvaluationBatches]:
    """Return the batches of training, where faces are mirrored, and of validation and test."""
    targets, mirrored = ("age", "gender"), Augmentation(faces.array.shape[1], contrast=None)
    return (
        training_batches(faces, parts.train, targets, recipe.batch_size, mirrored, seed),
        evaluation_batches(faces, parts.validation, targets, TEST_BATCH_SIZE, CentreCrop()),
        evaluation_batches(faces, parts.test, targets, TEST_BATCH_SIZE, CentreCrop()),
    )


def training_config(
    recipe: Recipe, weights: Literal["none", "imagenet"], num_examples: int, num_epochs: int, seed: int
) -> TrainingConfig:
    """Return how the net is fitted to ``num_examples``; every epoch is validated."""
    rate = recipe.learning_rate or (1e-4 if weights == "imagenet" else 1e-3)
    return config_of(recipe, num_examples // recipe.batch_size, num_epochs, {"learning_rate": rate, "seed": seed})
