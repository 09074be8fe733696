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
from agegender.models.heads import GENDER, AgeBins, ClassHead, RegressionHead, SigmoidHead, TwoClasses, hidden_layers
from agegender.models.ir_resnet import IRResNet
from agegender.models.label_distribution import label_distribution_loss, mean_variance_loss
from agegender.models.levi_hassner import LeviHassner
from agegender.models.losses import double_softmax_cross_entropy
from agegender.models.multitask import MultiTaskModel
from agegender.models.ordinal import CoralHead, CornHead
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
    gender = SigmoidHead(512, GENDER) if sigmoid else ClassHead(512, GENDER)
    heads = {"age": ClassHead(512, AgeBins(ADIENCE_8)), "gender": gender}
    trained = MultiTaskModel(LeviHassner(**KERAS), {task: heads[task] for task in tasks})
    facts = saved(trained, {"name": "LeviHassner", **KERAS}, STANDARDISED)
    net = assert_same_answers(facts, trained, 227, standardise)
    assert (net.decoded_px, net.crop_px) == (256, 227)
    assert net.scheme == (ADIENCE_8 if "age" in tasks else None)


def test_a_scheme_is_saved_with_its_labels_and_bounds():
    """Whoever changes a scheme of the library changes no saved model."""
    own = AgeScheme("of-one's-own", ("young", "old"), (0, 30), (30, 101))
    trained = MultiTaskModel(LeviHassner(**KERAS), {"age": ClassHead(512, AgeBins(own))})
    net = net_of(saved(trained, {"name": "LeviHassner", **KERAS}, STANDARDISED))
    assert net.scheme == own


HEADS = {
    "regression": lambda hidden: RegressionHead(512, hidden, initial_age=33.0),
    "in hundreds": lambda hidden: RegressionHead(512, hidden, unit_years=100.0),
    "ce": lambda hidden: ClassHead(512, AgeBins(YEARS), hidden, double_softmax_cross_entropy),
    "dldl": lambda hidden: ClassHead(512, AgeBins(YEARS), hidden, label_distribution_loss),
    "meanvariance": lambda hidden: ClassHead(512, AgeBins(YEARS), hidden, mean_variance_loss),
    "coral": lambda hidden: CoralHead(512, AgeBins(YEARS), hidden),
    "corn": lambda hidden: CornHead(512, AgeBins(YEARS), hidden),
}


def one_layer(width=512):
    return hidden_layers(width, [512])


@pytest.mark.parametrize("head", HEADS)
def test_a_resnet_predicts_ages_as_its_saved_head_does(head):
    torch.manual_seed(0)
    heads = {"age": HEADS[head](one_layer()), "gender": ClassHead(512, GENDER, one_layer())}
    trained = MultiTaskModel(ResNetEncoder(18), heads)
    facts = saved(trained, {"name": "ResNetEncoder", "depth": 18}, normalised(64, "bgr"))
    net = assert_same_answers(facts, trained, 64, lambda faces: normalise(faces, "bgr"))
    assert (net.decoded_px, net.crop_px, net.scheme) == (64, None, None)


def test_the_net_with_which_the_published_code_ends_is_built_with_narrow_heads():
    torch.manual_seed(0)
    heads = {"age": HEADS["ce"](one_layer(25_088)), "gender": ClassHead(512, GENDER, one_layer(25_088))}
    trained = MultiTaskModel(IRResNet(18), heads)
    assert_same_answers(saved(trained, {"name": "IRResNet", "depth": 18}, normalised()), trained, 112, normalise)


def test_a_head_that_tells_neither_age_nor_gender_is_not_saved():
    with pytest.raises(ValueError, match="predicts age or gender, and the head of 'young' predicts neither"):
        facts_of_heads(MultiTaskModel(ResNetEncoder(18), {"young": ClassHead(512, TwoClasses("young", "young"))}))


ALIKE = {"first": 0, "last": 100}
EARLIER = [
    ("AgeGroupHead", {"groups": ALIKE}, "ce"),
    ("LabelDistributionHead", {"groups": ALIKE}, "dldl"),
    ("MeanVarianceHead", {"groups": ALIKE}, "meanvariance"),
    ("CoralHead", {"groups": ALIKE}, "coral"),
    ("CornHead", {"groups": ALIKE}, "corn"),
    ("AgeRegressionHead", {}, "regression"),
]


@pytest.mark.parametrize(("name", "rest", "head"), EARLIER, ids=[name for name, *_ in EARLIER])
def test_a_file_of_version_0_1_is_read_as_the_model_that_it_was(name, rest, head):
    torch.manual_seed(0)
    heads = {"age": HEADS[head](one_layer()), "gender": ClassHead(512, GENDER)}
    trained = MultiTaskModel(ResNetEncoder(18), heads)
    written = {
        "age": {"name": name, "hidden_features": 512, **rest},
        "gender": {"name": "GenderHead", "hidden_features": None},
    }
    facts = {"encoder": {"name": "ResNetEncoder", "depth": 18}, "heads": written, "input": normalised(64)}
    assert_same_answers(facts, trained, 64, normalise)


def test_a_file_of_version_0_1_with_a_sigmoid_or_with_two_hidden_layers_is_read_as_the_model_that_it_was():
    torch.manual_seed(0)
    layers = [hidden_layers(512, (1024, 512), has_batch_norm=True) for _ in range(2)]
    deep = {"age": RegressionHead(512, layers[0], unit_years=100.0), "gender": ClassHead(512, GENDER, layers[1])}
    named = {"age": {"name": "DeepAgeHead", "unit_years": 100.0}, "gender": {"name": "DeepGenderHead"}}
    sigmoid = {"name": "SigmoidGenderHead", "hidden_features": None}
    for heads, written in ((deep, named), ({"gender": SigmoidHead(512, GENDER)}, {"gender": sigmoid})):
        trained = MultiTaskModel(ResNetEncoder(18), heads)
        facts = {"encoder": {"name": "ResNetEncoder", "depth": 18}, "heads": written, "input": normalised(64)}
        assert_same_answers(facts, trained, 64, normalise)


def resnet_facts(encoder=("ResNetEncoder", 18), head="ClassHead", **changes):
    heads = {"gender": {"name": head, "hidden_features": [], "has_batch_norm": False}}
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
        (resnet_facts(heads={"gender": {"name": "ClassHead"}}), "'hidden_features' is missing or unknown"),
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
