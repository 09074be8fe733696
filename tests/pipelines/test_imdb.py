"""Every switch in which the published pipeline of IMDB and its intent differ: its two settings, and their effect."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from agegender.corpora.imdb_wiki import ages
from agegender.data.balancing import cap_per_age
from agegender.data.images import normalise
from agegender.data.manifest import build_manifest
from agegender.data.splits import Split, audit, split_by_image, split_by_subject, subject_folds
from agegender.models.heads import GENDER, AgeBins, ClassHead, RegressionHead
from agegender.models.losses import (
    cross_entropy,
    double_softmax_cross_entropy,
    label_distribution_loss,
    mean_variance_loss,
)
from agegender.models.ordinal import CoralHead, CornHead
from agegender.pipelines import imdb
from agegender.pipelines.imdb import AGE_WEIGHTS
from tests.pipelines.faces import faces_in_memory, noise

PUBLISHED, INTENDED = imdb.RECIPES["as_published"], imdb.RECIPES["as_intended"]
AGES = pd.Series([1.0, 30.0, 90.0])


def celebrities(num_subjects=20, photos=30):
    """A table sorted by celebrity, as the corpus is, everyone 30 years old."""
    rows = num_subjects * photos
    subject = np.repeat(np.arange(num_subjects), photos)
    table = pd.DataFrame(
        {"path": [f"{row:04d}.jpg" for row in range(rows)], "subject": [f"nm{s:02d}" for s in subject]}
    )
    table["age"], table["gender"] = 30.0, np.where(subject % 2, "female", "male")
    return build_manifest(table.assign(corpus="imdb", modality="face"))


def test_there_are_two_settings_and_they_share_only_the_optimiser():
    assert imdb.RECIPES.keys() == {"as_published", "as_intended"}
    same = {f.name for f in fields(imdb.Recipe) if getattr(PUBLISHED, f.name) == getattr(INTENDED, f.name)}
    assert same == {
        "batch_size", "weight_decay", "clip_value", "plateau", "patience", "most_per_age", "learning_rate",
        "optimizer", "decays", "decay_factor", "best_by",
    }  # fmt: skip
    assert (PUBLISHED.batch_size, PUBLISHED.weight_decay, PUBLISHED.clip_value) == (32, 5e-4, 5.0)
    assert (PUBLISHED.plateau, PUBLISHED.patience) == (8, 20)


def test_the_weights_of_the_age_losses_are_the_published_ones_where_there_are_any():
    assert {name: AGE_WEIGHTS[name] for name in ("l1", "l2", "ce")} == {"l1": 0.1, "l2": 0.01, "ce": 1.0}


def test_our_weights_bring_the_first_loss_of_every_other_head_near_that_of_the_cross_entropy():
    torch.manual_seed(0)
    years = AgeBins(range(101))
    heads = {
        "huber": RegressionHead(8, loss=functional.huber_loss),
        "ce": ClassHead(8, years),
        "dldl": ClassHead(8, years, loss=label_distribution_loss),
        "meanvariance": ClassHead(8, years, loss=mean_variance_loss),
        "coral": CoralHead(8, years),
        "corn": CornHead(8, years),
    }
    assert heads.keys() | {"l1", "l2"} == AGE_WEIGHTS.keys()
    ages, faces = torch.linspace(1, 90, 256).floor(), torch.zeros(256, 8)
    first = {name: AGE_WEIGHTS[name] * head.loss(head(faces), ages).item() for name, head in heads.items()}
    assert first["ce"] == pytest.approx(np.log(101), rel=1e-3)
    assert all(2.5 < loss < 9 for loss in first.values()), first


@pytest.mark.parametrize(("recipe", "least"), [(PUBLISHED, 0.3133), (INTENDED, 0.0)], ids=["published", "intended"])
def test_the_least_loss_of_gender_is_not_zero_with_a_softmax_before_it(recipe, least):
    head = ClassHead(4, GENDER, loss=double_softmax_cross_entropy if recipe.softmax_before_loss else cross_entropy)
    sure = torch.tensor([[100.0, -100.0]])
    assert_close(head.loss(sure, torch.tensor([0])), torch.tensor(least), atol=1e-4, rtol=0)


def test_as_published_blue_gets_the_statistics_of_red():
    red = torch.zeros(1, 1, 1, 3, dtype=torch.uint8)
    red[..., 0] = 255
    published, intended = (normalise(red, recipe.channel_order)[0, :, 0, 0] for recipe in (PUBLISHED, INTENDED))
    assert_close(intended, torch.tensor([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225]))
    assert_close(published, torch.tensor([-0.485 / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225]))


def test_as_published_an_age_is_a_difference_of_years_and_as_intended_that_of_the_middle_of_the_year():
    born, photo = np.array(["1960-12-31"], dtype="datetime64[D]"), np.array([2000.0])
    published, intended = (ages(born, photo, recipe.age_of).item() for recipe in (PUBLISHED, INTENDED))
    assert published == 40
    assert 39.4 < intended < 39.6


def test_only_the_intended_filter_looks_whether_the_corpus_found_a_face():
    assert PUBLISHED.min_face_score is None
    assert INTENDED.min_face_score == 1.0


def test_the_published_cap_keeps_the_first_celebrities_and_the_intended_one_some_of_everyone():
    published, intended = (cap_per_age(celebrities(), 60, recipe.cap, seed=0) for recipe in (PUBLISHED, INTENDED))
    assert published.examples["subject"].value_counts().to_dict() == {"nm00": 30, "nm01": 30}
    assert set(intended.examples["subject"].value_counts()) == {3}
    assert intended.examples["subject"].nunique() == 20


def test_the_published_split_shares_celebrities_and_the_intended_one_does_not():
    assert (PUBLISHED.split, INTENDED.split) == ("photographs", "subjects")
    examples = celebrities().examples
    by_photo = split_by_image(len(examples), seed=0)
    by_subject = split_by_subject(examples, subject_folds(examples, seed=0), 0, seed=0)
    shares = [
        audit(split.parts(examples)).set_index(["part_a", "part_b"])["share_of_b"]["train", "test"]
        for split in (by_photo, by_subject)
    ]
    assert shares == [1.0, 0.0]
    assert len(by_photo.validation) == 0  # as published the test part selects, too
    assert (PUBLISHED.validation, INTENDED.validation) == ("test_part", "subjects")


def test_only_the_published_crop_of_224_px_is_loose():
    assert (PUBLISHED.crop_at_224, INTENDED.crop_at_224) == ("loose", "tight")


@pytest.mark.parametrize(("recipe", "first"), [(PUBLISHED, 0.0), (INTENDED, 33.0)], ids=["published", "intended"])
def test_a_regression_starts_at_zero_years_or_at_the_median(recipe, first):
    torch.manual_seed(0)
    head = RegressionHead(4, initial_age=33.0 if recipe.starts_at_median else 0.0)
    assert_close(head.decode(head(torch.zeros(1, 4)))["age"], torch.tensor([first]))


def built_heads(recipe, encoder="resnet18"):
    """The heads of every age loss, and that of gender."""
    torch.manual_seed(0)
    nets = {
        age: imdb.build_model(**imdb.model_facts(recipe, encoder, age), first_age=imdb.first_age(recipe, AGES))
        for age in AGE_WEIGHTS
    }
    return {age: net.heads["age"] for age, net in nets.items()} | {"gender": nets["l1"].heads["gender"]}


@pytest.mark.parametrize(("encoder_name", "width"), [("resnet18", 512), ("ir18", 25_088)])
def test_as_intended_every_head_starts_from_one_distribution_however_many_outputs_it_has(encoder_name, width):
    for name, head in built_heads(INTENDED, encoder_name).items():
        assert head.linear.weight.std().item() == pytest.approx(0.01, rel=0.15), name
        hidden = head.hidden[0]
        assert_close(hidden.weight.abs().max(), torch.tensor(width**-0.5), rtol=0.01, atol=0)
        assert 0.9 * width**-0.5 < hidden.bias.abs().max() <= width**-0.5
        if name in ("ce", "dldl", "meanvariance", "gender"):
            assert torch.equal(head.linear.bias, torch.zeros(len(head.linear.bias)))


def test_as_published_the_output_layers_are_xaviers_with_the_biases_that_torch_draws():
    heads = built_heads(PUBLISHED)
    for name in ("l1", "l2", "ce", "gender"):
        linear, bound = heads[name].linear, (6 / (512 + len(heads[name].linear.weight))) ** 0.5
        assert 0.9 * bound < linear.weight.abs().max() <= bound
        bias = linear.bias
        assert (bias != 0).all()
        assert bias.abs().max() <= 512**-0.5 + 1e-5
    assert heads["ce"].linear.bias.abs().max() > 0.8 * 512**-0.5


def test_as_published_the_heads_of_the_last_net_are_xaviers_normal_in_both_layers_without_biases():
    heads = built_heads(PUBLISHED, "ir18")
    for name in ("ce", "gender"):
        for layer in (heads[name].hidden[0], heads[name].linear):
            num_out, num_in = layer.weight.shape
            std = (2 / (num_in + num_out)) ** 0.5
            assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
            assert layer.weight.abs().max() > 2.5 * std  # not uniform
            assert torch.equal(layer.bias, torch.zeros(num_out))


def test_at_most_five_thousand_faces_of_an_age_are_kept_and_the_others_set_aside_as_published():
    faces = faces_in_memory(np.zeros((5100, 1, 1, 3), np.uint8))
    faces.manifest.examples["age"] = 30.0
    kept, manifest = imdb.capped(PUBLISHED, faces)
    assert kept.manifest.examples["path"].tolist() == manifest.examples["path"].tolist()
    assert (len(kept), len(manifest.quarantine)) == (5000, 100)


def test_as_published_the_part_that_selects_is_the_one_that_is_tested_and_shares_its_celebrities():
    manifest = celebrities()
    published, intended = (
        imdb.split(recipe, manifest, manifest.examples, fold=0, seed=0) for recipe in (PUBLISHED, INTENDED)
    )
    assert np.array_equal(published.validation, published.test)
    assert (len(published.train), len(published.test)) == (540, 60)
    subjects = {name: set(part["subject"]) for name, part in intended.parts(manifest.examples).items()}
    assert not (subjects["train"] | subjects["validation"]) & subjects["test"]
    assert not subjects["train"] & subjects["validation"]
    assert sum(len(rows) for rows in vars(intended).values()) == len(manifest)
    with pytest.raises(ValueError, match="there is one split and no fold 1"):
        imdb.split(PUBLISHED, manifest, manifest.examples, fold=1, seed=0)


def test_training_mirrors_whole_faces_and_nothing_else_and_the_test_sees_them_as_they_are():
    pictures = noise(3, 16)
    parts = Split(np.array([0]), validation=np.array([1]), test=np.array([2]))
    recipe = replace(PUBLISHED, batch_size=1)
    training, validation, test = imdb.batches(recipe, faces_in_memory(pictures), parts, seed=0)
    seen = {training[step]["images"][0].numpy().tobytes() for step in range(20)}
    assert seen == {pictures[0].tobytes(), pictures[0][:, ::-1].tobytes()}
    assert {training[step]["contrast"].item() for step in range(20)} == {1.0}
    for batches, row in ((validation, 1), (test, 2)):
        assert batches.batch_size == 128
        assert torch.equal(batches[0]["images"], torch.from_numpy(pictures[row : row + 1]))
        assert batches[0]["age"].tolist() == [float(row)]


@pytest.mark.parametrize(("recipe", "twice"), [(PUBLISHED, True), (INTENDED, False)], ids=["published", "intended"])
def test_both_heads_of_the_net_learn_through_two_softmaxes_as_published_and_one_as_intended(recipe, twice):
    heads = built_heads(recipe)
    for head, classes in ((heads["gender"], 2), (heads["ce"], 101)):
        sure = torch.full((1, classes), -100.0)
        sure[0, 0] = 100.0
        least = np.log(1 + (classes - 1) / np.e) if twice else 0.0
        assert head.loss(sure, torch.tensor([0])).item() == pytest.approx(least, abs=1e-4)


@pytest.mark.parametrize(("recipe", "red"), [(PUBLISHED, 2), (INTENDED, 0)], ids=["published", "intended"])
def test_the_net_gets_its_channels_in_the_order_of_the_recipe(recipe, red):
    face = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    face[..., 0] = 255
    prepared = imdb.prepare(recipe.channel_order)({"images": face})
    assert prepared.mean((0, 2, 3)).argmax() == red


def test_a_regression_of_the_net_starts_at_zero_as_published_and_at_the_median_as_intended():
    for recipe, first in ((PUBLISHED, 0.0), (INTENDED, 30.0)):
        heads = built_heads(recipe)
        for age in ("l1", "l2", "huber"):
            assert heads[age].linear.bias.item() == pytest.approx(first, abs=0.05)


@pytest.mark.parametrize(("encoder", "age"), [("vgg16", "l1"), ("resnet", "l1"), ("resnet18", "lucky")])
def test_an_unknown_encoder_or_age_head_is_refused_by_its_name(encoder, age):
    with pytest.raises(ValueError, match=repr(age if age == "lucky" else encoder)):
        imdb.build_model(**imdb.model_facts(INTENDED, encoder, age))


def test_the_size_of_a_face_says_how_it_is_cropped():
    assert [imdb.crop_of(PUBLISHED, side_px) for side_px in (112, 224)] == ["tight", "loose"]
    assert [imdb.crop_of(INTENDED, side_px) for side_px in (112, 224)] == ["tight", "tight"]
