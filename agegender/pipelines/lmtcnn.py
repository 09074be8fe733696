"""LMTCNN: Lee, Chan, Chen and Chen (2018), joint age groups and gender of Adience with a lightweight net.

The port behind the published table of five folds is re-run in two settings: as published, and as its text intends.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from torch import Tensor

from agegender.data import splits
from agegender.data.batches import Batch, EvaluationBatches, TrainingBatches
from agegender.data.cache import ExampleCache
from agegender.data.images import Augmentation, CentreCrop, Resize, cache_images, sampled, standardise
from agegender.data.manifest import Manifest
from agegender.data.parts import num_other_lines, repeats_of
from agegender.evaluation.published_arithmetic import Denominator
from agegender.labels import AgeScheme
from agegender.models.heads import GENDER, AgeBins, ClassHead
from agegender.models.lmtcnn import INPUT_PX, LMTCNN
from agegender.models.multitask import MultiTaskModel
from agegender.pipelines.recipes import config_of, evaluation_batches, training_batches
from agegender.training.config import Precision, TrainingConfig
from agegender.training.prediction import Prepare
from agegender.training.protocol import Protocol

DECODED_PX = 256
AUGMENTATION = Augmentation(crop_px=227, flips=True, contrast=(0.2, 1.8))


@dataclass(frozen=True)
class Recipe:
    """Every decision in which the published LMTCNN code and its intent, the defaults, differ.

    ``lrn`` and ``uses_batch_statistics_at_test`` are explained in ``agegender.models.lmtcnn``, ``resize`` in
    ``agegender.data.images``. ``test_geometry`` takes the whole face squashed from 256 to 227 pixels, or the central
    227 of 256; without ``augmentation`` a net trains on squashed faces too. ``validation`` images are drawn by image
    from the training subjects, or are of subjects of their own. ``repairs_25_23`` reads Adience's label ``(25, 23)`` as
    the group (25, 32) instead of leaving it out. ``keeps_repeated_lines`` counts a face as often as the fold files list
    it, ``filters_last`` cuts the published lists out of all lines and drops those without labels afterwards:
    ``agegender.data.parts``. ``denominator`` is how the published tables divide
    (``agegender.evaluation.published_arithmetic``).

    The learning rate falls by ``decay_factor`` after each ``decay_share`` of the run: as published after 10,000 of
    50,000 steps. What both share is published: the rate of a batch of 128 (scaled to the size of the batch), momentum,
    a weight decay on the kernels of the encoder, the norm at which the gradient is clipped, and no ``dropout``.
    ``initial_weights`` names the ``model.safetensors`` with which a run starts.
    """

    precision: Precision = "bf16-mixed"
    lrn: Literal["tensorflow", "caffe"] = "caffe"
    uses_batch_statistics_at_test: bool = False
    test_geometry: Literal["whole", "centre"] = "centre"
    resize: Resize = "filtered"
    augmentation: Augmentation | None = AUGMENTATION
    validation: Literal["images", "subjects"] = "subjects"
    is_off_by_one: bool = False
    keeps_repeated_lines: bool = False
    filters_last: bool = False
    repairs_25_23: bool = True
    selects_best: bool = True
    denominator: Denominator = "each_once"
    decay_share: float = 2 / 3
    test_batch_size: int = 128
    learning_rate_of_128: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-6
    clip_norm: float = 4.0
    optimizer: Literal["sgd", "adam"] = "sgd"
    decays: Literal["encoder", "kernels", "all"] = "encoder"
    decay_factor: float = 0.1
    best_by: Literal["accuracy", "loss", "every_task"] = "accuracy"
    dropout: float = 0.0
    initial_weights: str | None = None

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common."""
        return Protocol(shares_subjects="train and validation" if self.validation == "images" else "no parts")


RECIPES = {
    "as_published": Recipe(
        precision="32-true",
        lrn="tensorflow",
        uses_batch_statistics_at_test=True,
        test_geometry="whole",
        resize="tensorflow_1",
        augmentation=None,
        validation="images",
        is_off_by_one=True,
        keeps_repeated_lines=True,
        filters_last=True,
        repairs_25_23=False,
        selects_best=False,
        denominator="last_batch_dropped",
        decay_share=1 / 5,
    ),
    "as_intended": Recipe(),
}
"""``as_published`` is the code behind the published table of five folds (the port, which trains without augmentation);
the authors' own code differs from it in one switch, ``augmentation``."""


def cache_faces(recipe: Recipe, manifest: Manifest, folder: Path) -> ExampleCache:
    """Return the faces of ``manifest``, ``DECODED_PX`` wide; what cannot be decoded is in the quarantine."""
    return cache_images(manifest, folder, DECODED_PX, recipe.resize)


def split(recipe: Recipe, manifest: Manifest, table: pd.DataFrame, fold: int, seed: int) -> splits.Split:
    """Return the parts of a run that tests ``fold``; ``table`` is the whole table of which ``manifest`` was decoded."""
    examples = manifest.examples
    folds = splits.folds_of(examples, seed=0, table=table)
    if not recipe.repairs_25_23 and "age_label" in examples:
        folds[examples["age_label"] == "(25, 23)"] = -1  # in no part
    if recipe.validation == "images":
        repeats = repeats_of(examples) if recipe.keeps_repeated_lines else None
        others = num_other_lines(examples, folds, fold) if recipe.filters_last else 0
        return splits.split_as_published(folds, fold, seed, recipe.is_off_by_one, repeats, others)
    album = "user" if "user" in examples else "subject"  # whole albums, as one photo can show two people
    return splits.split_by_subject(examples, folds, fold, seed, key=album)


def model_facts(recipe: Recipe, model: str, scheme: AgeScheme) -> dict[str, Any]:
    """Return the arguments of ``build_model`` for ``model``, ``"1-1"`` or ``"2-1"``, as what JSON can hold."""
    return {
        "model": model,
        "lrn": recipe.lrn,
        "uses_batch_statistics_at_test": recipe.uses_batch_statistics_at_test,
        "dropout": recipe.dropout,
        "scheme": asdict(scheme),
    }


def build_model(
    model: str,
    lrn: Literal["tensorflow", "caffe"],
    uses_batch_statistics_at_test: bool,
    dropout: float,
    scheme: dict[str, Any],
) -> MultiTaskModel:
    """Return the untrained net with one linear head for the age groups of ``scheme`` and one for gender."""
    if model not in ("1-1", "2-1"):
        raise ValueError(f"model must be '1-1' or '2-1', got {model!r}")
    encoder = LMTCNN(int(model[0]), lrn, uses_batch_statistics_at_test, dropout)
    heads = {
        "age": ClassHead(encoder.out_features, AgeBins(AgeScheme(**scheme))),
        "gender": ClassHead(encoder.out_features, GENDER),
    }
    return MultiTaskModel(encoder, dict(heads))


def prepare() -> Prepare:
    """Return what standardises each face of a batch; a face that is no crop is squashed as TensorFlow 1 does."""

    def to_input(batch: Batch) -> Tensor:
        images = batch["images"]
        if images.shape[1] != INPUT_PX:
            images = sampled(images, INPUT_PX, has_half_pixels=False)
        return standardise(images, batch.get("contrast"))

    return to_input


def batches(
    recipe: Recipe, faces: ExampleCache, parts: splits.Split, batch_size: int, seed: int
) -> tuple[TrainingBatches, EvaluationBatches, EvaluationBatches]:
    """Return the batches of training, validation and test."""
    targets, crop = ("age_group", "gender"), CentreCrop(INPUT_PX if recipe.test_geometry == "centre" else None)
    return (
        training_batches(faces, parts.train, targets, batch_size, recipe.augmentation or CentreCrop(), seed),
        evaluation_batches(faces, parts.validation, targets, recipe.test_batch_size, crop),
        evaluation_batches(faces, parts.test, targets, recipe.test_batch_size, crop),
    )


def training_config(recipe: Recipe, num_examples: int, num_epochs: int, batch_size: int, seed: int) -> TrainingConfig:
    """Return how the net is fitted to ``num_examples``; every epoch is validated."""
    rate = recipe.learning_rate_of_128 * batch_size / 128
    own = {"batch_size": batch_size, "learning_rate": rate, "seed": seed}
    return config_of(recipe, num_examples // batch_size, num_epochs, own)
