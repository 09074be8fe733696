"""Every switch in which the published pipeline of IMDB and its intent differ: its two settings, and their effect."""

from dataclasses import fields
from types import SimpleNamespace

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
from agegender.data.splits import audit, split_by_image, split_by_subject, subject_folds
from agegender.models.heads import GENDER, AgeBins, ClassHead, RegressionHead
from agegender.models.label_distribution import label_distribution_loss, mean_variance_loss
from agegender.models.losses import cross_entropy, double_softmax_cross_entropy
from agegender.models.ordinal import CoralHead, CornHead
from agegender.training.recipes import IMDB_AGE_WEIGHTS, IMDB_RECIPES, ImdbRecipe
from tests.notebook_code import values_of

PUBLISHED, INTENDED = IMDB_RECIPES["as_published"], IMDB_RECIPES["as_intended"]


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
    assert IMDB_RECIPES.keys() == {"as_published", "as_intended"}
    same = {f.name for f in fields(ImdbRecipe) if getattr(PUBLISHED, f.name) == getattr(INTENDED, f.name)}
    assert same == {"batch_size", "weight_decay", "clip_value", "plateau", "patience", "most_per_age", "learning_rate"}
    assert (PUBLISHED.batch_size, PUBLISHED.weight_decay, PUBLISHED.clip_value) == (32, 5e-4, 5.0)
    assert (PUBLISHED.plateau, PUBLISHED.patience) == (8, 20)


def test_the_weights_of_the_age_losses_are_the_published_ones_where_there_are_any():
    assert {name: IMDB_AGE_WEIGHTS[name] for name in ("l1", "l2", "ce")} == {"l1": 0.1, "l2": 0.01, "ce": 1.0}


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
    assert heads.keys() | {"l1", "l2"} == IMDB_AGE_WEIGHTS.keys()
    ages, faces = torch.linspace(1, 90, 256).floor(), torch.zeros(256, 8)
    first = {name: IMDB_AGE_WEIGHTS[name] * head.loss(head(faces), ages).item() for name, head in heads.items()}
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


def built_heads(recipe, encoder_name="resnet18", width=512):
    """The heads that the notebook builds for every age loss, and that of gender, from one seed each."""
    given = {"recipe": recipe, "encoder_name": encoder_name, "width": width, "hidden": 512, "first_age": 30.0}
    torch.manual_seed(0)
    found = values_of("imdb/3_train", ("init", "years", "one_layer", "class_loss", "age_heads", "gender"), given)
    assert found["age_heads"].keys() == IMDB_AGE_WEIGHTS.keys()
    return {name: build() for name, build in found["age_heads"].items()} | {"gender": found["gender"]}


@pytest.mark.parametrize(("encoder_name", "width"), [("resnet18", 512), ("ir34", 25_088)])
def test_as_intended_every_head_starts_from_one_distribution_however_many_outputs_it_has(encoder_name, width):
    for name, head in built_heads(INTENDED, encoder_name, width).items():
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
        bias = linear.bias - (30.0 if name in ("l1", "l2") else 0.0)
        assert (bias != 0).all()
        assert bias.abs().max() <= 512**-0.5 + 1e-5
    assert heads["ce"].linear.bias.abs().max() > 0.8 * 512**-0.5


def test_as_published_the_heads_of_the_last_net_are_xaviers_normal_in_both_layers_without_biases():
    heads = built_heads(PUBLISHED, "ir34", 25_088)
    for name in ("ce", "gender"):
        for layer in (heads[name].hidden[0], heads[name].linear):
            num_out, num_in = layer.weight.shape
            std = (2 / (num_in + num_out)) ** 0.5
            assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
            assert layer.weight.abs().max() > 2.5 * std  # not uniform
            assert torch.equal(layer.bias, torch.zeros(num_out))


def test_the_notebook_keeps_five_thousand_faces_of_an_age_as_published():
    rows = pd.DataFrame({"path": [f"{row:04d}.jpg" for row in range(5100)], "subject": "s", "age": 30.0})
    manifest = build_manifest(rows.assign(gender="female", corpus="imdb", modality="face"))
    given = {"faces": SimpleNamespace(manifest=manifest), "recipe": PUBLISHED}
    assert len(values_of("imdb/3_train", ("capped",), given)["capped"]) == 5000
