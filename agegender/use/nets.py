"""Building a model again from the facts that its file carries, with what has to happen to a face before it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from agegender.data.images import normalise, standardise
from agegender.data.loading import Batch
from agegender.labels import AgeScheme, scheme_named
from agegender.models import levi_hassner, lmtcnn
from agegender.models.distribution_heads import LabelDistributionHead, MeanVarianceHead
from agegender.models.heads import AgeGroupHead, AgeRegressionHead, GenderHead, SigmoidGenderHead
from agegender.models.ir_resnet import IRResNet
from agegender.models.multitask import MultiTaskModel
from agegender.models.ordinal_heads import CoralHead, CornHead
from agegender.models.resnet import ResNetEncoder

DECODED_PX = 256
"""Faces of the nets that crop are decoded to this size and their centre is cut out, as in the intended test."""


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


def net_of(facts: dict) -> Net:
    """Build the model that a training run described in ``facts``.

    Raises ``ValueError`` for facts that describe no model of this library, and for a model whose answer about one face
    depends on the other faces of its batch.
    """
    builders = {"LMTCNN": _lmtcnn, "LeviHassner": _levi_hassner, "ResNet": _resnet}
    if facts.get("name") not in builders:
        raise ValueError("does not say how its model is built: only files written by a training run can be used")
    try:
        return builders[facts["name"]](facts)
    except KeyError as missing:
        raise ValueError(f"does not say how its model is built: the fact {missing} is missing") from None


def _lmtcnn(facts: dict) -> Net:
    if facts["architecture"]["uses_batch_statistics_at_test"]:
        raise ValueError(
            "was trained as published: it normalises a face by the other faces of its batch, so it has no answer for a "
            "face alone. Use a run of the variant as_intended."
        )
    encoder, scheme = lmtcnn.LMTCNN(**facts["architecture"]), scheme_named(facts["scheme"])
    heads: dict[str, nn.Module] = {
        "age": AgeGroupHead(encoder.out_features, scheme),
        "gender": GenderHead(encoder.out_features),
    }
    return Net(MultiTaskModel(encoder, heads), scheme, DECODED_PX, lmtcnn.INPUT_PX, _standardised)


def _levi_hassner(facts: dict) -> Net:
    encoder, scheme = levi_hassner.LeviHassner(**facts["architecture"]), scheme_named(facts["scheme"])
    gender = SigmoidGenderHead if facts["variant"] == "as_published" else GenderHead
    heads: dict[str, nn.Module] = {
        "age": AgeGroupHead(encoder.out_features, scheme),
        "gender": gender(encoder.out_features),
    }
    task = facts["model"].split("-")[0]
    heads = {name: head for name, head in heads.items() if task in ("both", name)}
    groups = scheme if "age" in heads else None
    return Net(MultiTaskModel(encoder, heads), groups, DECODED_PX, levi_hassner.INPUT_PX, _standardised)


def _resnet(facts: dict) -> Net:
    name, age_by, side = facts["model"].split("-")
    encoder: IRResNet | ResNetEncoder
    if name.startswith("ir"):
        encoder = IRResNet(int(name.removeprefix("ir")))  # type: ignore[arg-type]  # refuses another depth
        hidden = 512
    else:
        encoder = ResNetEncoder(int(name.removeprefix("resnet")))  # type: ignore[arg-type]  # likewise
        hidden = encoder.out_features
    width = encoder.out_features
    heads = {"age": _age_in_years(age_by, width, hidden), "gender": GenderHead(width, hidden)}
    model, order = MultiTaskModel(encoder, heads), facts["channel_order"]
    return Net(model, None, int(side), None, lambda batch: normalise(batch["images"], order))


def _age_in_years(way: str, width: int, hidden: int) -> nn.Module:
    """The head of a way to say an age, as the run's model name has it."""
    if way in ("l1", "l2", "huber"):
        return AgeRegressionHead(width, way, hidden)  # type: ignore[arg-type]  # one of the three
    classes = {
        "ce": AgeGroupHead,
        "dldl": LabelDistributionHead,
        "meanvariance": MeanVarianceHead,
        "coral": CoralHead,
        "corn": CornHead,
    }
    return classes[way](width, range(101), hidden)


def _standardised(batch: Batch) -> Tensor:
    return standardise(batch["images"])
