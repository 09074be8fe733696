"""Building a model of voices again from the facts that its file carries, with how much of a clip it hears, and how."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from agegender.data.clip_loading import Crop
from agegender.data.loading import Batch
from agegender.labels import AgeScheme, scheme_named
from agegender.models.deep_heads import DeepAgeHead, DeepGenderHead
from agegender.models.frame_nets import ResidualTCN, SpeechBiGRU, SpeechRNN
from agegender.models.heads import AgeGroupHead
from agegender.models.multitask import MultiTaskModel
from agegender.models.resnet_se import ResNetSE34V2
from agegender.models.speech_nets import SpeechCNN, SpeechTCN
from agegender.training.commonvoice_recipes import COMMONVOICE_RECIPES
from agegender.training.hearing import HEARINGS

HEARS_WAVEFORM = ("tcn1", "tcn2")
"""The nets of the Common Voice pipeline that read samples; the others read spectrograms."""


@dataclass(frozen=True)
class VoiceNet:
    """A model without its weights; ``scheme`` is that of its age groups, ``None`` for ages in years or no ages.

    A clip is decoded at ``rate_hz``; ``num_crops`` crops are spread evenly over it, and the answers about them are
    averaged. ``prepare`` makes the input of the model of a batch with ``clips``, at most ``batch_size`` at a time.
    """

    model: MultiTaskModel
    scheme: AgeScheme | None
    rate_hz: int
    crop: Crop
    num_crops: int
    batch_size: int
    prepare: Callable[[Batch], Tensor]


def voice_net_of(facts: dict) -> VoiceNet:
    """Build the model that a training run described in ``facts``.

    Raises ``ValueError`` for facts that describe no model of voices of this library.
    """
    if facts.get("name") not in _BUILDERS:
        raise ValueError("does not say how its model is built: only files written by a training run can be used")
    try:
        return _BUILDERS[facts["name"]](facts)
    except KeyError as missing:
        raise ValueError(f"does not say how its model is built: the fact {missing} is missing or unknown") from None


def _of_timit(facts: dict) -> VoiceNet:
    encoder = ResNetSE34V2(facts["num_mels"], facts["pooling"], uses_log=facts["uses_log"])
    width = encoder.out_features
    makers: dict[str, Callable[[], nn.Module]] = {
        "age": lambda: DeepAgeHead(width, unit_years=facts["unit_years"]),
        "gender": lambda: DeepGenderHead(width),
    }
    model = MultiTaskModel(encoder, {task: makers[task]() for task in facts["heads"]})
    crop = Crop(facts["crop_samples"])
    return VoiceNet(model, None, facts["rate_hz"], crop, facts["num_crops"], 16, lambda batch: batch["clips"])


def _of_commonvoice(facts: dict) -> VoiceNet:
    """As published, what is tested is distorted at random; here no clip is, whatever the variant."""
    hearing, scheme = HEARINGS[facts["corpus"]], scheme_named(facts["scheme"])
    recurrence = COMMONVOICE_RECIPES[facts["variant"]].recurrence
    name = facts["model"].partition("-")[0]
    makers: dict[str, Callable[[], nn.Module]] = {
        "cnn": lambda: SpeechCNN(num_frames=hearing.num_frames),
        "rnn": SpeechRNN,
        "bigru": SpeechBiGRU,
        "tcn": ResidualTCN,
        "tcn1": lambda: SpeechTCN(1, recurrence),
        "tcn2": lambda: SpeechTCN(2, recurrence),
    }
    encoder = makers[name]()
    model = MultiTaskModel(encoder, {"age": AgeGroupHead(encoder.out_features, scheme, init="torch")})  # type: ignore[arg-type]
    if name in HEARS_WAVEFORM:  # recurrent over its batch as published, so that a clip has to be alone in it
        batch_size = 1 if recurrence == "batch" else 32
        return VoiceNet(model, scheme, hearing.rate_hz, hearing.crop, 1, batch_size, hearing.waveforms())
    return VoiceNet(model, scheme, hearing.rate_hz, hearing.crop, 1, 32, hearing.spectrograms())


_BUILDERS = {"ResNetSE34V2": _of_timit, "speech net": _of_commonvoice}
