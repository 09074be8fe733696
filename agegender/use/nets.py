"""Building a model again from the facts that its file carries, with what has to happen to a face before it.

The facts are all there is: no recipe is read, so that a file means tomorrow what it meant when it was written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from agegender.data.batches import Batch
from agegender.data.images import normalise, standardise
from agegender.labels import AgeScheme
from agegender.models.ir_resnet import IRResNet
from agegender.models.levi_hassner import LeviHassner
from agegender.models.lmtcnn import LMTCNN
from agegender.models.multitask import MultiTaskModel
from agegender.models.resnet import ResNetEncoder
from agegender.use.heads import Facts, heads_of, scheme_of

_ENCODERS = {kind.__name__: kind for kind in (LMTCNN, LeviHassner, ResNetEncoder, IRResNet)}


@dataclass(frozen=True)
class Net:
    """A model without its weights; ``scheme`` is that of its age groups, ``None`` for ages in years or no ages.

    A face is decoded to ``decoded_px``, its central ``crop_px`` are cut out (``None``: it is taken whole), and
    ``prepare`` makes the input of the model of a batch of them.
    """

    model: MultiTaskModel
    scheme: AgeScheme | None
    decoded_px: int
    crop_px: int | None
    prepare: Callable[[Batch], Tensor]


def net_of(facts: Facts) -> Net:
    """Build the model that a training run described in ``facts``.

    They have ``encoder`` (``name`` and the arguments of its class), ``heads`` (``facts_of_heads``) and ``input``:
    ``decoded_px``, ``crop_px``, and ``prepare``, ``"standardise"`` (each face) or ``"normalise"`` (as ImageNet, with
    ``channel_order``). Raises ``ValueError`` for facts that describe no model of this library, and for a model whose
    answer about one face depends on the other faces of its batch.
    """
    model = built(facts, _ENCODERS)
    try:
        reads = facts["input"]
        prepare = _preparation(reads)
        return Net(model, scheme_of(facts["heads"]), reads["decoded_px"], reads["crop_px"], prepare)
    except KeyError as missing:
        raise ValueError(f"does not say how a face becomes its input: {missing} is missing or unknown") from None


def built(facts: Facts, encoders: Mapping[str, type]) -> MultiTaskModel:
    """Build encoder and heads from ``facts``; ``encoders`` has the classes by name. Raises as ``net_of`` does."""
    if not isinstance(facts.get("encoder"), dict):
        raise ValueError(
            "does not say how its model is built: only files written by a training run can be used, and those of "
            "earlier versions did not say enough (train it again)"
        )
    try:
        arguments = dict(facts["encoder"])
        name = arguments.pop("name")
        if arguments.get("uses_batch_statistics_at_test"):
            raise ValueError(
                "was trained as published: it normalises a face by the other faces of its batch, so it has no answer "
                "for a face alone. Use a run of the variant as_intended."
            )
        encoder = encoders[name](**arguments)
        return MultiTaskModel(encoder, heads_of(facts["heads"], encoder.out_features))
    except KeyError as missing:
        raise ValueError(f"does not say how its model is built: {missing} is missing or unknown") from None
    except TypeError as error:
        raise ValueError(f"does not describe a model of this version: {error}") from None


def _preparation(reads: Facts) -> Callable[[Batch], Tensor]:
    if reads["prepare"] == "standardise":
        return lambda batch: standardise(batch["images"])
    order: Any = {"normalise": reads.get("channel_order")}[reads["prepare"]]
    return lambda batch: normalise(batch["images"], order)
