"""The model of voices that ships: a distribution over ages in years, and gender, of one recording."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.linalg import block_diag

from agegender.data import splits
from agegender.data.audio import Crop, EvenCrops, RandomCrop
from agegender.data.audio_augmentation import ChannelAugmentation
from agegender.data.batches import EvaluationBatches, TrainingBatches, targets_of
from agegender.data.cache import ExampleCache
from agegender.data.samplers import DistinctSubjectSampler
from agegender.models.audio_frontend import RATE_HZ
from agegender.models.heads import GENDER, AgeBins, ClassHead
from agegender.models.losses import label_distribution_loss
from agegender.models.multitask import MultiTaskModel, ensemble_of
from agegender.models.resnet_se import SmallResNetSE
from agegender.pipelines.recipes import config_of, evaluation_batches
from agegender.training.checkpoints import load_weights, read_facts, save_weights
from agegender.training.config import Precision, TrainingConfig
from agegender.training.prediction import Prepare
from agegender.training.protocol import Protocol
from agegender.training.settings import plain

NUM_FOLDS = 5
"""Each fold has a net that never heard its subjects; all of them together are the model."""
TARGETS = ("age", "gender")
_OF_EMBEDDINGS = ("mean", "whitening")
"""What the fact ``uncertainty`` says of the embeddings one by one (``agegender.use.saved``)."""


@dataclass(frozen=True)
class Recipe:
    """Every decision of the training.

    A label is a normal distribution over years with ``label_std``, and its mean counts with ``expectation_weight``
    (``label_distribution_loss``). An epoch has at most ``most_per_subject`` clips of a subject, so that the few with
    many clips do not outweigh the many with one. Predictions for ``num_test_crops`` of a clip are averaged.
    """

    num_mels: int = 64
    widths: tuple[int, ...] = (16, 32, 64, 96)
    embedding_size: int = 128
    dropout: float = 0.2
    num_years: int = 101
    label_std: float = 3.0
    expectation_weight: float = 0.3
    gender_weight: float = 2.0
    crop_s: float = 2.0
    num_test_crops: int = 3
    most_per_subject: int = 8
    batch_size: int = 32
    optimizer: Literal["sgd", "adam"] = "adam"
    learning_rate: float = 0.002
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    warmup_share: float = 0.3
    selects_best: bool = False
    best_by: Literal["loss"] = "loss"
    validation_share: float = 0.05
    precision: Precision = "bf16-mixed"
    channel: ChannelAugmentation = field(default_factory=ChannelAugmentation)

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common: no subject."""
        return Protocol()

    @property
    def crop(self) -> Crop:
        """The part of a clip that the net hears at once."""
        return Crop(round(self.crop_s * RATE_HZ))


RECIPE = Recipe()


def split(recipe: Recipe, examples: pd.DataFrame, test_fold: int, seed: int = 0) -> splits.Split:
    """Return the parts of which ``test_fold`` is tested; folds are drawn within each source, by subject.

    A ``validation_share`` of the others is watched while the net learns; nothing is chosen by it.
    """
    source = examples["source_corpus" if "source_corpus" in examples else "corpus"].to_numpy()
    folds = np.empty(len(examples), dtype=np.int64)
    for name in np.unique(source):
        rows = np.flatnonzero(source == name)
        folds[rows] = splits.subject_folds(examples.iloc[rows], NUM_FOLDS)
    return splits.split_by_subject(examples, folds, test_fold, seed, recipe.validation_share)


def model_facts(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of ``build_model`` for the net of one fold, as what JSON can hold."""
    names = ("num_mels", "widths", "embedding_size", "dropout", "num_years", "label_std", "expectation_weight")
    return {"net": {name: plain(getattr(recipe, name)) for name in (*names, "gender_weight")}, "num_nets": 1}


def input_facts(recipe: Recipe) -> dict[str, Any]:
    """Return how a file becomes an example, as what JSON can hold."""
    return {"rate_hz": RATE_HZ, "crop": asdict(recipe.crop), "num_crops": recipe.num_test_crops, "batch_size": 16}


def build_net(
    num_mels: int,
    widths: Sequence[int],
    embedding_size: int,
    dropout: float,
    num_years: int,
    label_std: float,
    expectation_weight: float,
    gender_weight: float,
) -> MultiTaskModel:
    """Return the untrained net of one fold; the arguments are decisions of the ``Recipe``."""
    encoder = SmallResNetSE(num_mels, widths, embedding_size, dropout)
    loss = partial(label_distribution_loss, label_std=label_std, expectation_weight=expectation_weight)
    age, gender = ClassHead(embedding_size, AgeBins(range(num_years)), loss=loss), ClassHead(embedding_size, GENDER)
    return MultiTaskModel(encoder, {"age": age, "gender": gender}, {"gender": gender_weight})


def build_model(net: Mapping[str, Any], num_nets: int) -> MultiTaskModel:
    """Return the untrained model: one net, or those of several folds; ``net`` are the arguments of ``build_net``."""
    return build_net(**net) if num_nets == 1 else ensemble_of([build_net(**net) for _ in range(num_nets)])


def gather(weights: Sequence[Path], path: Path) -> None:
    """Write the nets of several folds as one model in half precision into ``path``: what ships.

    ``weights`` are files of runs of this pipeline. Where each says its ``uncertainty``, measured on people whom it had
    never heard, the model has that of all of them. Raises ``ValueError`` when they were built or read in other ways.
    """
    names = ("paper", "build_model", "prepare", "input")
    facts = [{name: read_facts(each)[name] for name in names} for each in weights]
    nets = []
    for each, own in zip(weights, facts, strict=True):
        if own != facts[0]:
            raise ValueError(f"{each} is another model than {weights[0]}: {own}, not {facts[0]}")
        net = build_net(**own["build_model"]["net"])
        load_weights(net, each)
        nets.append(net)
    more: dict[str, Any] = {"build_model": facts[0]["build_model"] | {"num_nets": len(nets)}}
    known = [read_facts(each).get("uncertainty") for each in weights]
    if all(known):
        more["uncertainty"] = _together(known)
    save_weights(ensemble_of(nets).half(), path, facts[0] | more)


def _together(known: Sequence[Any]) -> dict[str, Any]:
    """Return the uncertainty of several nets: means, and as distance the root mean square of their own distances."""
    mean = {name: float(np.mean([each[name] for each in known])) for name in known[0] if name not in _OF_EMBEDDINGS}
    whitening = block_diag(*(each["whitening"] for each in known)) / np.sqrt(len(known))
    centre = np.concatenate([each["mean"] for each in known]).tolist()
    short = [[number or 0 for number in row] for row in whitening.round(4).tolist()]  # most are 0: "0", not "0.0"
    return mean | {"mean": centre, "whitening": short}


def prepare() -> Prepare:
    """Return the function from a batch to the input of the encoder: its ``clips`` (batch, samples)."""
    return lambda batch: batch["clips"]


def batches(
    recipe: Recipe, clips: ExampleCache, parts: splits.Split, seed: int
) -> tuple[TrainingBatches, EvaluationBatches, EvaluationBatches]:
    """Return the batches of training, in which no subject is twice, of validation and of test."""
    train = clips.select(parts.train)
    examples = train.manifest.examples
    subjects = pd.factorize(examples["subject"])[0]
    size = min(recipe.batch_size, len(np.unique(subjects)))
    sampler = DistinctSubjectSampler(subjects, size, seed, recipe.most_per_subject)
    shown = RandomCrop(recipe.crop, recipe.channel)
    return (
        TrainingBatches(train, targets_of(examples, TARGETS), sampler, shown),
        evaluation_batches(clips, parts.validation, TARGETS, 32, EvenCrops(recipe.crop)),
        evaluation_batches(clips, parts.test, TARGETS, 16, EvenCrops(recipe.crop, recipe.num_test_crops)),
    )


def training_config(recipe: Recipe, training: TrainingBatches, num_epochs: int, seed: int) -> TrainingConfig:
    """Return how a net is fitted to ``training`` for ``num_epochs``; the last step counts."""
    sampler = training.sampler
    own = {"batch_size": sampler.batch_size, "seed": seed}
    return config_of(recipe, sampler.num_drawn // sampler.batch_size, num_epochs, own)
