"""Building a model of voices again from the facts that its file carries, with how much of a clip it hears, and how."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from agegender.data.audio import Crop
from agegender.data.batches import Batch
from agegender.labels import AgeScheme
from agegender.models.multitask import MultiTaskModel
from agegender.models.resnet_se import ResNetSE34V2
from agegender.models.speech_cnn import SpeechCNN
from agegender.models.speech_sequence import ResidualTCN, SpeechBiGRU, SpeechRNN, SpeechTCN
from agegender.training.hearing import Hearing
from agegender.use.heads import Facts, scheme_of
from agegender.use.nets import built

_ENCODERS = {kind.__name__: kind for kind in (ResNetSE34V2, SpeechCNN, SpeechRNN, SpeechBiGRU, ResidualTCN, SpeechTCN)}


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


def voice_net_of(facts: Facts) -> VoiceNet:
    """Build the model that a training run described in ``facts``.

    ``encoder`` and ``heads`` are as for ``agegender.use.nets.net_of``; ``input`` has ``num_crops``, and either
    ``prepare`` ``"samples"`` with ``rate_hz`` and ``crop_samples``, or ``"decibels"`` or ``"waveform"`` with the values
    of a ``Hearing``. As published, what is tested may be distorted at random; here no clip is. Raises ``ValueError``
    for facts that describe no model of voices of this library.
    """
    model = built(facts, _ENCODERS)
    try:
        reads = dict(facts["input"])
        kind, num_crops = reads.pop("prepare"), reads.pop("num_crops")
        scheme = scheme_of(facts["heads"])
        if kind == "samples":
            crop = Crop(reads["crop_samples"])
            return VoiceNet(model, scheme, reads["rate_hz"], crop, num_crops, 16, lambda batch: batch["clips"])
        hearing = Hearing(**reads)
        prepare = {"decibels": hearing.spectrograms, "waveform": hearing.waveforms}[kind]()
        # recurrent over its batch, as one net was published: a clip has to be alone in it
        batch_size = 1 if facts["encoder"].get("recurrence") == "batch" else 32
        return VoiceNet(model, scheme, hearing.rate_hz, hearing.crop, num_crops, batch_size, prepare)
    except (KeyError, TypeError) as error:
        raise ValueError(f"does not say how a clip becomes its input: {error} is missing or unknown") from None
