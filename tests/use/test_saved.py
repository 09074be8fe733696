"""Models built again from the facts that training runs write: they are those that the runs trained."""

import ast
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from agegender import use
from agegender.labels import ADIENCE_8, AgeScheme
from agegender.pipelines import commonvoice, imdb, levihassner, lmtcnn, timit
from agegender.pipelines.imdb import AGE_WEIGHTS
from agegender.use.saved import model_of

CROPPED = {"decoded_px": 256, "crop_px": 227, "resize": "filtered"}
WHOLE = {"decoded_px": 64, "crop_px": None, "resize": "filtered"}


def saved(paper, built, reads=CROPPED, **prepare):
    """The facts of a model as they are read from its file."""
    return json.loads(json.dumps({"paper": paper, "build_model": built, "prepare": prepare, "input": reads}))


def pictures(side, number=2):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (number, side, side, 3), dtype=np.uint8))


def assert_same_predictions(facts, trained, side, prepare):
    """The model that is built again, with the trained weights, says what the trained one says of the same pixels."""
    again = model_of(facts)
    again.model.load_state_dict(trained.state_dict())
    faces = {"images": pictures(side)}
    with torch.no_grad():
        expected = trained.eval().decode(trained(prepare(faces)))
        said = again.model.eval().decode(again.model(again.prepare(faces)))
    assert said.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(said[name], value)
    return again


@pytest.mark.parametrize("model", ["1-1", "2-1"])
@pytest.mark.parametrize("lrn", ["caffe", "tensorflow"])
def test_lmtcnn_is_built_again_as_it_was_trained(model, lrn):
    built = lmtcnn.model_facts(lmtcnn.RECIPES["as_intended"], model, ADIENCE_8) | {"lrn": lrn}
    torch.manual_seed(0)
    trained = lmtcnn.build_model(**built)
    again = assert_same_predictions(saved("lmtcnn", built), trained, 227, lmtcnn.prepare())
    assert again.scheme == ADIENCE_8
    assert again.facts["input"] == CROPPED


@pytest.mark.parametrize("task", ["both", "age", "gender"])
@pytest.mark.parametrize("variant", levihassner.RECIPES)
def test_a_levi_hassner_net_has_the_heads_that_were_saved(variant, task):
    built = levihassner.model_facts(levihassner.RECIPES[variant], task, 0.5, ADIENCE_8)
    torch.manual_seed(0)
    trained = levihassner.build_model(**built)
    again = assert_same_predictions(saved("levihassner", built), trained, 227, levihassner.prepare())
    assert again.scheme == (None if task == "gender" else ADIENCE_8)


def test_a_scheme_is_saved_with_its_labels_and_bounds():
    """Whoever changes a scheme of the library changes no saved model."""
    own = AgeScheme("of-one's-own", ("young", "old"), (0, 30), (30, 101))
    built = lmtcnn.model_facts(lmtcnn.RECIPES["as_intended"], "1-1", own)
    assert model_of(saved("lmtcnn", built)).scheme == own
    assert AgeScheme(**json.loads(json.dumps(asdict(own)))) == own


@pytest.mark.parametrize("age", AGE_WEIGHTS)
def test_a_resnet_predicts_ages_as_its_saved_head_does(age):
    built = imdb.model_facts(imdb.RECIPES["as_published"], "resnet18", age)
    torch.manual_seed(0)
    trained = imdb.build_model(**built, first_age=33.0)
    facts = saved("imdb", built, WHOLE, channel_order="bgr")
    assert assert_same_predictions(facts, trained, 64, imdb.prepare("bgr")).scheme is None


def test_the_net_with_which_the_published_code_ends_is_built_with_narrow_heads():
    built = imdb.model_facts(imdb.RECIPES["as_intended"], "ir18", "ce")
    torch.manual_seed(0)
    trained = imdb.build_model(**built)
    facts = saved("imdb", built, WHOLE | {"decoded_px": 112}, channel_order="rgb")
    assert_same_predictions(facts, trained, 112, imdb.prepare("rgb"))


def test_the_weights_of_imagenet_are_not_fetched_for_a_model_that_is_built_again():
    facts = saved("imdb", imdb.model_facts(imdb.RECIPES["as_intended"], "resnet18", "l1"), WHOLE, channel_order="rgb")
    assert "weights" not in facts["build_model"]


LMTCNN = lmtcnn.model_facts(lmtcnn.RECIPES["as_intended"], "1-1", ADIENCE_8)
IMDB = imdb.model_facts(imdb.RECIPES["as_intended"], "resnet18", "l1")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "does not say how its model is built"),
        ({"encoder": {"name": "LMTCNN"}, "heads": {}, "input": CROPPED}, "saved by an older version"),
        (saved("lmtcnn", LMTCNN) | {"paper": "vgg"}, "unknown pipeline 'vgg'"),
        (saved("lmtcnn", LMTCNN | {"model": "9-9"}), "model must be '1-1' or '2-1', got '9-9'"),
        (saved("lmtcnn", LMTCNN | {"depth": 18}), "does not describe a model of this version: .*'depth'"),
        (saved("imdb", IMDB, WHOLE), "does not describe a model of this version: .*'channel_order'"),
        (saved("imdb", IMDB | {"age": "lucky"}, WHOLE, channel_order="rgb"), "unknown age head 'lucky'"),
        (saved("imdb", IMDB, {"decoded_px": 64}, channel_order="rgb"), "model's input: crop_px, resize is missing"),
        (saved("imdb", IMDB, {"rate_hz": 8_000}, channel_order="rgb"), "input: batch_size, crop, num_crops is missing"),
        (
            saved("lmtcnn", LMTCNN | {"uses_batch_statistics_at_test": True}),
            "normalises a face by the other faces of its batch",
        ),
    ],
)
def test_facts_that_describe_no_model_are_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        model_of(facts)


def test_no_saved_model_is_built_from_a_recipe():
    """Recipes change; what a file was trained as does not."""
    for module in (lmtcnn, levihassner, imdb, timit, commonvoice):
        functions = [node for node in ast.parse(Path(module.__file__).read_text()).body if hasattr(node, "args")]
        rebuilt = [ast.unparse(node) for node in functions if node.name in ("build_model", "prepare")]
        assert len(rebuilt) == 2
        assert [text for text in rebuilt if "RECIPES" in text or "recipe." in text] == []
    imported = {path.name: path.read_text(encoding="utf-8") for path in Path(use.__file__).parent.glob("*.py")}
    assert len(imported) >= 4
    assert [name for name, text in imported.items() if "RECIPES" in text] == []
