"""Every switch in which the published multi-task Levi-Hassner net and its intent differ: settings and effects."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from agegender.labels import ADIENCE_8
from agegender.models.levi_hassner import INPUT_PX
from agegender.pipelines import levihassner
from agegender.pipelines import levihassner_pretraining as pretraining
from agegender.training.config import optimizer_of
from tests.pipelines.faces import ALONE, faces_in_memory, noise

PUBLISHED, INTENDED = levihassner.RECIPES["as_published"], levihassner.RECIPES["as_intended"]
BOTH = pytest.mark.parametrize("recipe", [PUBLISHED, INTENDED], ids=["as_published", "as_intended"])


def net(recipe, task="both"):
    torch.manual_seed(0)
    return levihassner.build_model(**levihassner.model_facts(recipe, task, 0.5, ADIENCE_8))


def built_heads(recipe):
    return net(recipe).heads


def test_there_are_two_settings_and_they_share_only_the_augmentation_of_training():
    assert levihassner.RECIPES.keys() == {"as_published", "as_intended"}
    same = {f.name for f in fields(levihassner.Recipe) if getattr(PUBLISHED, f.name) == getattr(INTENDED, f.name)}
    assert same == {
        "augmentation", "optimizer", "decays", "decay_factor", "pretraining_batch_size", "pretraining_learning_rate",
        "initial_weights",
    }  # fmt: skip
    assert PUBLISHED.augmentation.crop_px == INPUT_PX
    assert PUBLISHED.augmentation.contrast == (0.2, 1.8)


@pytest.mark.parametrize(
    ("recipe", "num_parameters"),
    [(PUBLISHED, 8_859_817 - 80), (INTENDED, 9_634_304 + 14_208 + 614_656 + 885_120 + 262_656 + 513 * 10)],
    ids=["as_published", "as_intended"],
)
def test_the_nets_have_the_published_numbers_of_parameters(recipe, num_parameters):
    """80 of the published count are moving statistics, which torch does not count as parameters."""
    assert sum(parameter.numel() for parameter in net(recipe).parameters()) == num_parameters


@BOTH
def test_rows_are_normalised_as_published_and_channels_as_intended(recipe):
    """A change of one row of the picture's map reaches other channels of the row, or other rows of the channel."""
    norm = net(recipe).encoder.norm1.eval()
    if recipe is PUBLISHED:
        assert [buffer.numel() for buffer in (norm.running_mean, norm.running_var)] == [27, 27]
    else:
        x = 30 * torch.randn(2, 96, 3, 3, generator=torch.Generator().manual_seed(0))
        assert_close(norm(x), nn.LocalResponseNorm(5, 1e-4, 0.75, 1)(x))


@BOTH
def test_the_published_net_rounds_its_poolings_down_and_the_intended_one_up(recipe):
    assert net(recipe).encoder.full1.in_features == 384 * (36 if recipe is PUBLISHED else 49)


@BOTH
def test_what_is_evaluated_is_augmented_as_published_and_the_centre_as_intended(recipe):
    pictures = noise()
    _, validation, test = levihassner.batches(recipe, faces_in_memory(pictures), ALONE, seed=0)
    for batches, row in ((validation, 1), (test, 2)):
        centre = torch.from_numpy(pictures[row : row + 1, 14:241, 14:241])
        assert torch.equal(batches[0]["images"], centre) == (recipe is INTENDED)
        assert ("contrast" in batches[0]) == (recipe is PUBLISHED)
        assert batches[0]["age_group"].tolist() == [row]
        assert batches.batch_size == 128


@BOTH
def test_training_sees_another_crop_each_time_in_both(recipe):
    training, *_ = levihassner.batches(replace(recipe, batch_size=1), faces_in_memory(noise(3)), ALONE, seed=0)
    assert len({training[step]["images"].numpy().tobytes() for step in range(3)}) == 3
    assert training[0]["images"].shape == (1, INPUT_PX, INPUT_PX, 3)
    assert training[0]["age_group"].tolist() == [0]


def test_a_face_is_standardised_with_the_contrast_that_was_drawn():
    face = torch.from_numpy(noise(1, INPUT_PX))
    plain = levihassner.prepare()({"images": face})
    assert plain.shape == (1, 3, INPUT_PX, INPUT_PX)
    assert_close(plain.std(correction=0), torch.tensor(1.0))
    moved = levihassner.prepare()({"images": face, "contrast": torch.tensor([0.2])})
    assert (moved - plain).abs().max() > 0.01


def test_as_published_nothing_decays_and_nothing_has_momentum():
    """The published weight decay is attached to the layers and never added to the loss."""
    for recipe, momentum, decay in ((PUBLISHED, 0.0, 0.0), (INTENDED, 0.9, 5e-4)):
        config = levihassner.training_config(recipe, "both", 1000, num_epochs=10, seed=0)
        groups = optimizer_of(net(recipe), config).param_groups
        assert {group["momentum"] for group in groups} == {momentum}
        assert max(group["weight_decay"] for group in groups) == decay


def test_as_published_the_test_fold_selects_and_single_tasks_stop_early():
    assert (PUBLISHED.validation, INTENDED.validation) == ("test_fold", "subjects")
    assert (PUBLISHED.best_by, INTENDED.best_by) == ("every_task", "accuracy")
    assert (PUBLISHED.patience_of_single_tasks, INTENDED.patience_of_single_tasks) == (5, None)


@BOTH
def test_the_label_8_12_is_lost_as_published_and_kept_as_intended(recipe):
    """The faces of the group are in no part, for gender neither."""
    manifest = faces_in_memory(np.zeros((400, 1, 1, 3), np.uint8)).manifest
    parts = levihassner.split(recipe, manifest, manifest.examples, fold=0, seed=0)
    rows = np.concatenate([parts.train, parts.validation, parts.test])
    kept = set(manifest.examples["age_group"].iloc[rows])
    assert set(range(8)) - kept == ({2} if recipe is PUBLISHED else set())


@BOTH
def test_the_test_fold_is_the_validation_part_as_published_and_nobody_stands_twice_as_intended(recipe):
    manifest = faces_in_memory(np.zeros((400, 1, 1, 3), np.uint8)).manifest
    parts = levihassner.split(recipe, manifest, manifest.examples, fold=1, seed=0)
    assert np.array_equal(parts.validation, parts.test) == (recipe is PUBLISHED)
    assert len(np.intersect1d(parts.train, parts.test)) == len(np.intersect1d(parts.train, parts.validation)) == 0
    every = np.concatenate([parts.train, parts.test] + ([parts.validation] if recipe is INTENDED else []))
    assert len(every) == (350 if recipe is PUBLISHED else 400)  # without the 50 faces of (8, 12)


@pytest.mark.parametrize("task", ["age", "gender"])
@BOTH
def test_a_single_task_starts_from_the_weights_that_it_has_beside_the_other(recipe, task):
    alone, together = net(recipe, task), net(recipe)
    assert list(alone.heads) == [task]
    assert torch.equal(alone.heads[task].linear.weight, together.heads[task].linear.weight)
    assert torch.equal(alone.encoder.full1.weight, together.encoder.full1.weight)


@pytest.mark.parametrize(("recipe", "std"), [(PUBLISHED, None), (INTENDED, 0.01)], ids=["published", "intended"])
def test_the_heads_start_as_glorots_uniform_as_published_and_small_as_intended(recipe, std):
    weight = net(recipe).heads["age"].linear.weight
    if std is None:
        bound = (6 / (512 + 8)) ** 0.5
        assert 0.95 * bound < weight.abs().max().item() <= bound
    else:
        assert weight.std().item() == pytest.approx(std, rel=0.05)


def test_frozen_convolutions_are_not_trained_and_all_else_is():
    frozen = net(INTENDED)
    levihassner.freeze_convolutions(frozen)
    still = {name for name, value in frozen.named_parameters() if not value.requires_grad}
    assert still == {f"encoder.conv{n}.{kind}" for n in (1, 2, 3) for kind in ("weight", "bias")}


def test_another_task_than_age_and_gender_is_refused():
    with pytest.raises(ValueError, match="'both', 'age' or 'gender', got 'height'"):
        net(INTENDED, "height")


@BOTH
def test_gender_has_one_logit_as_published_and_two_as_intended(recipe):
    images = torch.zeros(2, 3, INPUT_PX, INPUT_PX)
    with torch.no_grad():
        assert net(recipe).eval()(images)["gender"].shape == (2, 1 if recipe is PUBLISHED else 2)


def test_the_published_biases_of_convolutions_are_drawn_as_keras_draws_them():
    bias = net(PUBLISHED).encoder.conv1.bias
    assert 0.1 < bias.abs().max() <= (3 / 96) ** 0.5


def clipped_by_hand(logits, label):
    """Keras' sparse cross-entropy of probabilities in eager mode, in double precision."""
    e = np.exp(np.float64(logits) - max(logits))
    clipped = np.clip(e / e.sum(), 1e-7, 1 - 1e-7)
    return -np.log(clipped[label] / clipped.sum())


@pytest.mark.parametrize("gap", [-40.0, -16.5, -15.0, -1.0, 0.0, 3.0, 40.0])
@BOTH
def test_the_published_loss_of_age_is_that_of_clipped_probabilities_and_the_intended_one_that_of_logits(recipe, gap):
    head, rest = built_heads(recipe)["age"], [0.5, -1.0, 0.0, -2.0, 0.1, -0.7, 0.3]
    logits = torch.tensor([[gap, *rest]])
    plain = np.log(np.exp(np.float64(rest)).sum() + np.exp(gap)) - gap
    expected = clipped_by_hand([gap, *rest], 0) if recipe is PUBLISHED else plain
    assert head.loss(logits, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-5, abs=2e-6)


def test_a_hopeless_face_costs_16_12_and_teaches_nothing_as_published_and_goes_on_teaching_as_intended():
    losses, gradients = {}, {}
    for name, recipe in levihassner.RECIPES.items():
        logits = torch.tensor([[-30.0, 30.0, 0, 0, 0, 0, 0, 0]], requires_grad=True)
        losses[name] = built_heads(recipe)["age"].loss(logits, torch.tensor([0]))
        losses[name].backward()
        gradients[name] = logits.grad.abs().max().item()
    assert losses["as_published"].item() == pytest.approx(-np.log(1e-7), rel=1e-5)
    assert losses["as_intended"].item() == pytest.approx(60.0, rel=1e-5)
    assert gradients == {"as_published": 0.0, "as_intended": pytest.approx(1.0)}


@BOTH
def test_the_first_weights_of_pretraining_are_those_of_keras_as_published_and_he_as_intended(recipe):
    torch.manual_seed(0)
    body = pretraining.build_model(recipe).encoder
    for conv, bound in ((body.conv1, 0.177), (body.conv2, 0.108), (body.conv3, 0.088)):
        expected = pytest.approx(bound, rel=0.05) if recipe is PUBLISHED else 0
        assert conv.bias.abs().max().item() == expected
    he, glorot = (2 / (3 * 49)) ** 0.5, (2 / ((3 + 96) * 49)) ** 0.5
    assert body.conv1.weight.std().item() == pytest.approx(glorot if recipe is PUBLISHED else he, rel=0.03)


@BOTH
def test_celebrities_are_pretrained_on_as_the_corpus_parts_them_or_three_of_ten_are_drawn(recipe):
    published = np.repeat(["train", "validation", "test"], 1000)
    train, validation = pretraining.parts_of(recipe, pd.DataFrame({"published_split": published}), seed=0)
    assert len(np.intersect1d(train, validation)) == 0
    if recipe is INTENDED:
        assert (set(published[train]), set(published[validation])) == ({"train"}, {"validation"})
        assert len(train) == len(validation) == 1000
    else:
        assert len(train) + len(validation) == 3000
        assert 0.27 < len(validation) / 3000 < 0.33


@BOTH
def test_pretraining_sees_crops_and_validates_on_the_centre_of_other_faces(recipe):
    pictures = noise(5)
    faces = faces_in_memory(pictures)
    faces.manifest.examples["young"] = True
    training, validation = pretraining.batches(recipe, faces, np.array([0, 1, 2, 3]), np.array([4]), seed=0)
    assert torch.equal(validation[0]["images"], torch.from_numpy(pictures[4:, 14:241, 14:241]))
    assert training.sampler.batch_size == 1  # a quarter of the faces, where there are few
    assert len({training[step]["images"].numpy().tobytes() for step in range(8)}) == 8
    assert {"young", "gender", "contrast"} <= set(training[0])
