"""Models built again from the facts that training runs write: they are those that the runs trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from agegender import use
from agegender.data.images import normalise, standardise
from agegender.labels import ADIENCE_8, AgeScheme
from agegender.models.distribution_heads import LabelDistributionHead, MeanVarianceHead
from agegender.models.heads import AgeGroupHead, AgeRegressionHead, AttributeHead, GenderHead, SigmoidGenderHead
from agegender.models.ir_resnet import IRResNet
from agegender.models.levi_hassner import LeviHassner
from agegender.models.multitask import MultiTaskModel
from agegender.models.ordinal_heads import CoralHead, CornHead
from agegender.models.resnet import ResNetEncoder
from agegender.use.heads import facts_of_heads
from agegender.use.nets import net_of

KERAS = {"normalisation": "rows", "pooling": "floor", "init": "levi_hassner"}
YEARS = range(101)
STANDARDISED = {"decoded_px": 256, "crop_px": 227, "prepare": "standardise"}


def normalised(side=112, order="rgb"):
    return {"decoded_px": side, "crop_px": None, "prepare": "normalise", "channel_order": order}


def saved(model, encoder, reads):
    """The facts of a model as they are read from its file."""
    facts = {"encoder": encoder, "heads": facts_of_heads(model), "input": reads}
    return json.loads(json.dumps(facts))


def pictures(side, number=2):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (number, side, side, 3), dtype=np.uint8))


def assert_same_answers(facts, trained, side, prepare):
    """The built model with the trained weights says what the trained one says, about the same pixels."""
    net = net_of(facts)
    net.model.load_state_dict(trained.state_dict())
    faces = pictures(side)
    with torch.no_grad():
        expected = trained.eval().decode(trained(prepare(faces)))
        said = net.model.eval().decode(net.model(net.prepare({"images": faces})))
    assert said.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(said[name], value)
    return net


@pytest.mark.parametrize("tasks", [("age", "gender"), ("age",), ("gender",)])
@pytest.mark.parametrize("sigmoid", [True, False])
def test_a_levi_hassner_net_has_the_heads_that_were_saved(tasks, sigmoid):
    torch.manual_seed(0)
    gender = SigmoidGenderHead(512) if sigmoid else GenderHead(512)
    heads = {"age": AgeGroupHead(512, ADIENCE_8), "gender": gender}
    trained = MultiTaskModel(LeviHassner(**KERAS), {task: heads[task] for task in tasks})
    facts = saved(trained, {"name": "LeviHassner", **KERAS}, STANDARDISED)
    net = assert_same_answers(facts, trained, 227, standardise)
    assert (net.decoded_px, net.crop_px) == (256, 227)
    assert net.scheme == (ADIENCE_8 if "age" in tasks else None)


def test_a_scheme_is_saved_with_its_labels_and_bounds():
    """Whoever changes a scheme of the library changes no saved model."""
    own = AgeScheme("of-one's-own", ("young", "old"), (0, 30), (30, 101))
    trained = MultiTaskModel(LeviHassner(**KERAS), {"age": AgeGroupHead(512, own)})
    net = net_of(saved(trained, {"name": "LeviHassner", **KERAS}, STANDARDISED))
    assert net.scheme == own


HEADS = {
    "l1": lambda width, hidden: AgeRegressionHead(width, "l1", hidden, 33.0),
    "l2": lambda width, hidden: AgeRegressionHead(width, "l2", hidden),
    "huber": lambda width, hidden: AgeRegressionHead(width, "huber", hidden),
    "ce": lambda width, hidden: AgeGroupHead(width, YEARS, hidden, softmax_before_loss=True),
    "dldl": lambda width, hidden: LabelDistributionHead(width, YEARS, hidden),
    "meanvariance": lambda width, hidden: MeanVarianceHead(width, YEARS, hidden),
    "coral": lambda width, hidden: CoralHead(width, YEARS, hidden),
    "corn": lambda width, hidden: CornHead(width, YEARS, hidden),
}


@pytest.mark.parametrize("way", HEADS)
def test_a_resnet_says_ages_as_its_saved_head_does(way):
    torch.manual_seed(0)
    trained = MultiTaskModel(ResNetEncoder(18), {"age": HEADS[way](512, 512), "gender": GenderHead(512, 512)})
    facts = saved(trained, {"name": "ResNetEncoder", "depth": 18}, normalised(64, "bgr"))
    net = assert_same_answers(facts, trained, 64, lambda faces: normalise(faces, "bgr"))
    assert (net.decoded_px, net.crop_px, net.scheme) == (64, None, None)


def test_the_net_with_which_the_published_code_ends_is_built_with_narrow_heads():
    torch.manual_seed(0)
    trained = MultiTaskModel(IRResNet(18), {"age": HEADS["ce"](25_088, 512), "gender": GenderHead(25_088, 512)})
    assert_same_answers(saved(trained, {"name": "IRResNet", "depth": 18}, normalised()), trained, 112, normalise)


def test_a_head_that_tells_neither_age_nor_gender_is_not_saved():
    with pytest.raises(ValueError, match="answers with age or gender, and AttributeHead with neither"):
        facts_of_heads(MultiTaskModel(ResNetEncoder(18), {"young": AttributeHead(512, "young")}))


def resnet_facts(encoder=("ResNetEncoder", 18), head="GenderHead", **changes):
    heads = {"gender": {"name": head, "hidden_features": None}}
    facts = {"encoder": {"name": encoder[0], "depth": encoder[1]}, "heads": heads, "input": normalised()}
    return facts | changes


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "does not say how its model is built"),
        (
            {"name": "ResNet", "model": "resnet18-l1-112", "channel_order": "rgb"},
            r"earlier versions .* \(train it again\)",
        ),
        (resnet_facts(("VGG", 16)), "'VGG' is missing or unknown"),
        (resnet_facts(encoder=("ResNetEncoder", 19)), "depth must be 18 or 50, got 19"),
        (resnet_facts(encoder=("LMTCNN", 18)), "does not describe a model of this version: .*'depth'"),
        (resnet_facts(head="LuckyHead"), "has a head 'LuckyHead', which this version does not know"),
        (resnet_facts(heads={"gender": {"name": "GenderHead"}}), "'hidden_features' is missing or unknown"),
        (resnet_facts(input={"decoded_px": 112, "crop_px": None}), "becomes its input: 'prepare' is missing"),
        (resnet_facts(input=normalised() | {"prepare": "polish"}), "becomes its input: 'polish' is missing"),
    ],
)
def test_facts_that_describe_no_model_are_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        net_of(facts)


def test_no_saved_model_is_built_from_a_recipe():
    """Recipes change; what a file was trained as does not."""
    folder = Path(use.__file__).parent
    imported = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    assert len(imported) >= 6
    assert [name for name, text in imported.items() if "recipes" in text or "HEARINGS" in text] == []
