"""Models built again from the facts that training runs write: they are those that the runs trained."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from agegender.data.images import normalise, standardise
from agegender.labels import ADIENCE_8
from agegender.models.distribution_heads import LabelDistributionHead, MeanVarianceHead
from agegender.models.heads import AgeGroupHead, AgeRegressionHead, GenderHead, SigmoidGenderHead
from agegender.models.ir_resnet import IRResNet
from agegender.models.levi_hassner import LeviHassner
from agegender.models.multitask import MultiTaskModel
from agegender.models.ordinal_heads import CoralHead, CornHead
from agegender.models.resnet import ResNetEncoder
from agegender.use.nets import net_of

KERAS = {"normalisation": "rows", "pooling": "floor", "init": "levi_hassner"}
YEARS = range(101)


def levi_hassner_facts(**changes):
    base = {"name": "LeviHassner", "architecture": KERAS, "scheme": "adience-8", "model": "both"}
    return base | {"variant": "as_published"} | changes


def resnet_facts(model="resnet18-l1-112", order="rgb"):
    return {"name": "ResNet", "model": model, "channel_order": order, "alignment": None}


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


@pytest.mark.parametrize("task", ["both", "age", "gender", "both-celeba-frozen"])
@pytest.mark.parametrize("variant", ["as_published", "as_intended"])
def test_a_levi_hassner_net_is_that_of_its_task_and_variant(task, variant):
    torch.manual_seed(0)
    gender = SigmoidGenderHead(512) if variant == "as_published" else GenderHead(512)
    heads = {"age": AgeGroupHead(512, ADIENCE_8), "gender": gender}
    wanted = {name: head for name, head in heads.items() if task.startswith(("both", name))}
    trained = MultiTaskModel(LeviHassner(**KERAS), wanted)
    net = assert_same_answers(levi_hassner_facts(model=task, variant=variant), trained, 227, standardise)
    assert (net.decoded_px, net.crop_px) == (256, 227)
    assert (net.scheme is None) == (task == "gender")


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
def test_a_resnet_says_ages_in_the_way_that_its_name_has(way):
    torch.manual_seed(0)
    trained = MultiTaskModel(ResNetEncoder(18), {"age": HEADS[way](512, 512), "gender": GenderHead(512, 512)})
    facts = resnet_facts(f"resnet18-{way}-64", order="bgr")
    net = assert_same_answers(facts, trained, 64, lambda faces: normalise(faces, "bgr"))
    assert (net.decoded_px, net.crop_px, net.scheme) == (64, None, None)


def test_the_net_with_which_the_published_code_ends_is_built_with_narrow_heads():
    torch.manual_seed(0)
    trained = MultiTaskModel(IRResNet(18), {"age": HEADS["ce"](25_088, 512), "gender": GenderHead(25_088, 512)})
    assert_same_answers(resnet_facts("ir18-ce-112"), trained, 112, normalise)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "does not say how its model is built"),
        ({"name": "VGG"}, "does not say how its model is built"),
        ({"name": "ResNet", "model": "resnet18-l1-112"}, "the fact 'channel_order' is missing"),
        (resnet_facts("resnet19-l1-112"), "depth must be 18 or 50, got 19"),
        (resnet_facts("resnet18-luck-112"), "the fact 'luck' is missing"),
    ],
)
def test_facts_that_describe_no_model_are_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        net_of(facts)
