"""The pretraining of the TIMIT pipeline: an encoder of voices learns to tell subjects apart."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from torch import nn

from agegender.data.audio import Crop, EvenCrops, RandomCrop
from agegender.data.audio_augmentation import AudioAugmentation
from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.cache import ExampleCache
from agegender.data.parts import check_pretraining, split_of_subjects
from agegender.data.samplers import DistinctSubjectSampler
from agegender.data.splits import Split
from agegender.models.margin import AAMSoftmaxHead, AMSoftmaxHead
from agegender.models.multitask import MultiTaskModel
from agegender.models.resnet_se import ResNetSE34V2
from agegender.pipelines.recipes import config_of
from agegender.training.checkpoints import load_encoder, read_facts
from agegender.training.config import Precision, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class EncoderRecipe:
    """The decisions about ``agegender.models.resnet_se`` that pretraining and fine-tuning have to agree in."""

    width: float = 1.0
    num_mels: int = 80
    pooling: Literal["sap", "asp"] = "asp"
    embedding_size: int = 512
    uses_log: bool = True

    @property
    def architecture(self) -> dict[str, Any]:
        """The arguments of ``ResNetSE34V2``."""
        own = {"num_mels": self.num_mels, "pooling": self.pooling, "uses_log": self.uses_log, "width": self.width}
        return own | {"out_features": self.embedding_size}


@dataclass(frozen=True, kw_only=True)
class Pretraining(EncoderRecipe):
    """Every decision of the pretraining; the defaults are published, but for the fall of the learning rate.

    ``loss`` is AM-softmax or AAM-softmax (``agegender.models.margin``), with its ``margin`` and ``scale``. The learning
    rate falls by ``decay_factor`` after each ``decay_share`` of the run: ours. Subjects with fewer than ``least_clips``
    clips are left out. The momentum is that of SGD.
    """

    loss: Literal["am", "aam"] = "am"
    margin: float = 0.2
    scale: float = 32.0
    least_clips: int = 4
    batch_size: int = 512
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    decay_share: float = 0.7
    decay_factor: float = 0.2
    weight_decay: float = 1e-4
    precision: Precision = "bf16-mixed"


def split(recipe: Pretraining, examples: pd.DataFrame, people: pd.Series | None) -> Split:
    """Return the rows of ``examples`` that are learnt, those that show when training has settled, and the strangers.

    The last clip of each subject learnt is in ``validation``; the subjects in ``test`` are compared and never learnt.
    ``people`` are the parts of the fine-tuning (``parts.parts_of_subjects``): it tests on the strangers, and those who
    validate there are in no part here. With ``None`` the published split holds. Subjects with fewer than
    ``least_clips`` clips are left out.
    """
    if people is None:
        is_test = examples["published_split"].eq("test").to_numpy()
        learnt, strangers = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    else:
        own = split_of_subjects(examples, people)
        learnt, strangers = own.train, own.test
    has_enough = examples.groupby("subject")["path"].transform("size").ge(recipe.least_clips).to_numpy()
    learnt, strangers = learnt[has_enough[learnt]], strangers[has_enough[strangers]]
    is_last = ~examples["subject"].iloc[learnt].duplicated(keep="last").to_numpy()
    return Split(learnt[~is_last], learnt[is_last], strangers)


def build_model(recipe: Pretraining, num_subjects: int) -> MultiTaskModel:
    """Return the untrained model: ResNetSE34V2, and a head with a direction for each subject."""
    encoder, head = ResNetSE34V2(**recipe.architecture), {"am": AMSoftmaxHead, "aam": AAMSoftmaxHead}[recipe.loss]
    return MultiTaskModel(encoder, {"subject": head(recipe.embedding_size, num_subjects, recipe.margin, recipe.scale)})


def batches(
    recipe: Pretraining, clips: ExampleCache, parts: Split, crop: Crop, added: AudioAugmentation | None, seed: int
) -> tuple[TrainingBatches, EvaluationBatches, EvaluationBatches]:
    """Return the batches of training, of validation, and of the strangers with three crops of each clip.

    No subject is twice in a training batch, which has ``batch_size`` clips or as many as there are subjects.
    """
    learnt = np.sort(np.concatenate([parts.train, parts.validation]))
    codes = np.full(len(clips), -1)
    codes[learnt], subjects = pd.factorize(clips.manifest.examples["subject"].iloc[learnt])
    sampler = DistinctSubjectSampler(codes[parts.train], min(recipe.batch_size, len(subjects)), seed)
    learns, settles = ({"subject_index": codes[rows]} for rows in (parts.train, parts.validation))
    return (
        TrainingBatches(clips.select(parts.train), learns, sampler, RandomCrop(crop, added)),
        EvaluationBatches(clips.select(parts.validation), settles, 64, EvenCrops(crop)),
        EvaluationBatches(clips.select(parts.test), {}, 16, EvenCrops(crop, 3)),
    )


def training_config(recipe: Pretraining, training: TrainingBatches, num_epochs: int, seed: int) -> TrainingConfig:
    """Return how the model is fitted to ``training`` for ``num_epochs``; the weights of the last step are kept."""
    own = {"batch_size": training.sampler.batch_size, "selects_best": False, "seed": seed}
    return config_of(recipe, training.sampler.num_examples // training.sampler.batch_size, num_epochs, own)


def load_pretrained(encoder: nn.Module, weights: Path, corpus: str, people: pd.Series) -> dict[str, Any]:
    """Load the weights of a pretraining, and return its facts.

    Raises ``ValueError`` for an encoder that may have met who is selected or tested by, and for another architecture.
    """
    facts = read_facts(weights)
    check_pretraining(facts, corpus, people)
    load_encoder(encoder, weights)
    return facts
