"""The Common Voice pipeline: age groups of voices, from spectrograms or waveforms, as published and as intended."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd
from torch import Tensor

from agegender.data import splits
from agegender.data.audio import Crop, EvenCrops, RandomCrop
from agegender.data.batches import Batch, EvaluationBatches, TrainingBatches
from agegender.data.cache import ExampleCache
from agegender.data.spec_augment import MASK_UNIFORMS, SHIFT_UNIFORMS, circular_shift, mask_spectrograms
from agegender.labels import AgeScheme
from agegender.models.audio_frontend import PUBLISHED_HZ, PUBLISHED_SAMPLES, DecibelMel, raw_audio
from agegender.models.heads import AgeBins, ClassHead
from agegender.models.multitask import MultiTaskModel
from agegender.models.speech_cnn import SpeechCNN
from agegender.models.speech_sequence import Recurrence, ResidualTCN, SpeechBiGRU, SpeechRNN, SpeechTCN
from agegender.pipelines.recipes import config_of, evaluation_batches, training_batches, with_overrides
from agegender.training.config import Precision, TrainingConfig
from agegender.training.prediction import Prepare
from agegender.training.protocol import Protocol

ENCODERS = ("cnn", "cnntext", "rnn", "bigru", "tcn", "tcn1", "tcn2")
OF_WAVEFORMS = ("tcn1", "tcn2")
"""The encoders that read a waveform; the others read a spectrogram."""
NUM_UNIFORMS = SHIFT_UNIFORMS + MASK_UNIFORMS  # that augment one spectrogram


@dataclass(frozen=True)
class Recipe:
    """Every decision in which the published age groups from Common Voice and their intent, the defaults, differ.

    ``split`` parts clips or subjects. ``has_equal_subjects`` keeps of a split by clip those subjects alone who train in
    a split by subject, so that both learn from equally many. Age groups are made equally large by clip, or with at most
    ``most_per_subject`` clips of one subject (``agegender.data.balancing``). ``augments_evaluation`` shifts and masks
    what is validated and tested too. ``recurrence`` is explained in ``agegender.models.speech_sequence``; the published
    ``batch_size_of_tcn``, for the encoders of waveforms, leaves an LSTM over the batch with sequences of one step.

    What both share is published: Adam, its weight decay, the learning rate of all encoders but the CNN, five parts of
    the clips of which one is tested and a fifth of the rest (``validation_share``) selects the epoch by its loss, and
    ``patience`` in epochs. The head of the CNN reads 63,240 features, which all move at once with a step: hence its
    own rate as intended.
    """

    precision: Precision = "bf16-mixed"
    split: Literal["clip", "subject"] = "subject"
    most_per_subject: int | None = 12
    augments_evaluation: bool = False
    recurrence: Recurrence = "time"
    batch_size: int = 32
    batch_size_of_tcn: int = 32
    learning_rate_of_cnn: float = 1e-4
    has_equal_subjects: bool = False
    optimizer: Literal["sgd", "adam"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    validation_share: float = 0.2
    best_by: Literal["accuracy", "loss"] = "loss"
    patience: int = 4

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common."""
        return Protocol(shares_subjects="all parts" if self.split == "clip" else "no parts")


RECIPES = {
    "as_published": Recipe(
        precision="32-true",
        split="clip",
        most_per_subject=None,
        augments_evaluation=True,
        recurrence="batch",
        batch_size=2,
        batch_size_of_tcn=1,
        learning_rate_of_cnn=1e-3,
    ),
    "as_intended": Recipe(),
}
"""As intended, batch sizes, the rate of the CNN and the 12 clips of a subject (all of speechocean762's) are ours."""


def recipe_of(model: str, variant: str, overrides: Mapping[str, Any]) -> tuple[str, Recipe]:
    """Return the encoder and the recipe of ``model``: an encoder, then nothing, ``-byclip`` or ``-byclip-equal``.

    ``-byclip`` splits by clip, ``-equal`` sets ``has_equal_subjects``. ``overrides`` changes any decision by name.
    Raises ``ValueError`` for another model and as ``with_overrides`` does.
    """
    encoder, *options = model.split("-")
    if encoder not in ENCODERS or options not in ([], ["byclip"], ["byclip", "equal"]):
        raise ValueError(f"unknown model {model!r}: {', '.join(ENCODERS)}, then nothing, -byclip or -byclip-equal")
    named = {"split": "clip", "has_equal_subjects": "equal" in options} if options else {}
    return encoder, with_overrides(RECIPES[variant], named | dict(overrides))


def split(recipe: Recipe, examples: pd.DataFrame, fold: int, seed: int) -> splits.Split:
    """Return the parts of balanced ``examples``: one of five folds is tested, ``validation_share`` of the rest selects.

    The folds are the same for every ``seed``, which draws the validation part.
    """
    by = {"clip": (splits.split_by_clip, splits.clip_folds), "subject": (splits.split_by_subject, splits.subject_folds)}

    def drawn_by(unit: str) -> splits.Split:
        split_by, folds_by = by[unit]
        return split_by(examples, folds_by(examples, seed=0), fold, seed, recipe.validation_share)

    parts = drawn_by(recipe.split)
    if not recipe.has_equal_subjects:
        return parts
    return splits.of_subjects(parts, examples, examples["subject"].iloc[drawn_by("subject").train])


@dataclass(frozen=True)
class AudioInput:
    """How much of a clip an encoder gets, at which rate, and window and step of its spectrogram, all in samples."""

    rate_hz: int = PUBLISHED_HZ
    num_samples: int = PUBLISHED_SAMPLES
    n_fft: int = 1024
    hop: int = 512

    @property
    def crop(self) -> Crop:
        """The first ``num_samples`` of a clip, with silence behind a shorter one, as published."""
        return Crop(self.num_samples, is_looped=False, is_random=False)

    @property
    def num_frames(self) -> int:
        """Frames of a spectrogram.

        >>> [audio.num_frames for audio in AUDIO_INPUTS.values()]
        [512, 512]
        """
        return 1 + self.num_samples // self.hop


AUDIO_INPUTS = {
    "commonvoice": AudioInput(),
    "speechocean762": AudioInput(rate_hz=16_000, num_samples=511 * 160, n_fft=512, hop=160),
}
"""The first is the published one. The other corpus has 16 kHz: 5.11 s of it give the 512 frames that the CNN needs."""


def prepare_facts(encoder: str, audio: AudioInput) -> dict[str, Any]:
    """Return the arguments of ``prepare``, as what JSON can hold."""
    return {"encoder": encoder, "rate_hz": audio.rate_hz, "n_fft": audio.n_fft, "hop": audio.hop}


def prepare(encoder: str, rate_hz: int, n_fft: int, hop: int) -> Prepare:
    """Return the function from a batch with int16 ``clips`` to the input of ``encoder``.

    It is a dB mel spectrogram (batch, 64 mels, frames). With ``uniforms`` (batch, ``NUM_UNIFORMS``) in the batch it is
    augmented as published: the clip is shifted round a circle, its spectrogram masked. ``OF_WAVEFORMS`` get the
    waveform at 8 kHz (batch, samples), which is never augmented.
    """
    if encoder in OF_WAVEFORMS:
        return lambda batch: raw_audio(batch["clips"].float() / 32768, rate_hz)
    decibels = DecibelMel(rate_hz, n_fft, hop)

    def spectrograms(batch: Batch) -> Tensor:
        clips, uniforms = batch["clips"].float() / 32768, batch.get("uniforms")
        mels = decibels.to(clips.device)
        if uniforms is None:
            return mels(clips)
        shifted = circular_shift(clips, uniforms[:, :SHIFT_UNIFORMS].squeeze(1))
        return mask_spectrograms(mels(shifted), uniforms[:, SHIFT_UNIFORMS:])

    return spectrograms


def num_uniforms(encoder: str) -> int:
    """Return how many uniforms augment a clip in training."""
    return 0 if encoder in OF_WAVEFORMS else NUM_UNIFORMS


def input_facts(recipe: Recipe, encoder: str, audio: AudioInput) -> dict[str, Any]:
    """Return how a file becomes an example, as what JSON can hold."""
    batch_size = 1 if encoder in OF_WAVEFORMS and recipe.recurrence == "batch" else 32  # clips would hear each other
    return {"rate_hz": audio.rate_hz, "crop": asdict(audio.crop), "num_crops": 1, "batch_size": batch_size}


def model_facts(recipe: Recipe, encoder: str, audio: AudioInput, scheme: AgeScheme) -> dict[str, Any]:
    """Return the arguments of ``build_model``, as what JSON can hold."""
    facts = {"encoder": encoder, "scheme": asdict(scheme)}
    return facts | {"num_frames": audio.num_frames, "recurrence": recipe.recurrence}


def build_model(encoder: str, scheme: dict[str, Any], num_frames: int, recurrence: Recurrence) -> MultiTaskModel:
    """Return the untrained model: one of ``ENCODERS``, and a head for the age groups of ``scheme``.

    Only the CNN has ``num_frames``, only ``tcn1`` and ``tcn2`` a ``recurrence``. Raises ``ValueError`` for others.
    """
    match encoder:
        case "cnn" | "cnntext":
            net: Any = SpeechCNN(num_frames, is_as_described=encoder == "cnntext")
        case "tcn1" | "tcn2":
            net = SpeechTCN(1 if encoder == "tcn1" else 2, recurrence)
        case "rnn" | "bigru" | "tcn":
            net = {"rnn": SpeechRNN, "bigru": SpeechBiGRU, "tcn": ResidualTCN}[encoder]()
        case _:
            raise ValueError(f"unknown encoder {encoder!r}: expected one of {', '.join(ENCODERS)}")
    head = ClassHead(net.out_features, AgeBins(AgeScheme(**scheme)), init="torch")
    return MultiTaskModel(net, {"age": head})


def batches(
    recipe: Recipe, encoder: str, audio: AudioInput, clips: ExampleCache, parts: splits.Split, seed: int
) -> tuple[TrainingBatches, EvaluationBatches, EvaluationBatches]:
    """Return the batches of training, validation and test."""
    targets, of_waveforms = ("age_group",), encoder in OF_WAVEFORMS
    size = recipe.batch_size_of_tcn if of_waveforms else recipe.batch_size
    num_at_once = size if of_waveforms and recipe.recurrence == "batch" else 64
    augmented = RandomCrop(audio.crop, num_more_uniforms=num_uniforms(encoder))
    crops = EvenCrops(audio.crop, num_uniforms=num_uniforms(encoder) if recipe.augments_evaluation else 0)
    return (
        training_batches(clips, parts.train, targets, size, augmented, seed),
        evaluation_batches(clips, parts.validation, targets, num_at_once, crops, seed),
        evaluation_batches(clips, parts.test, targets, num_at_once, crops, seed),
    )


def training_config(
    recipe: Recipe, encoder: str, training: TrainingBatches, num_epochs: int, seed: int
) -> TrainingConfig:
    """Return how a model is fitted to ``training`` for at most ``num_epochs``, validated after each."""
    rate = recipe.learning_rate_of_cnn if encoder.startswith("cnn") else recipe.learning_rate
    own = {"batch_size": training.sampler.batch_size, "learning_rate": rate, "seed": seed}
    return config_of(recipe, training.sampler.num_drawn // training.sampler.batch_size, num_epochs, own)
