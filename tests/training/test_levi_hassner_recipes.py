"""Every switch in which the published multi-task Levi-Hassner net and its intent differ: settings and effects."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from agegender.data.batches import EvaluationBatches, TrainingBatches
from agegender.data.cache import examples_in_memory
from agegender.data.images import CentreCrop
from agegender.data.samplers import ShuffledSampler
from agegender.labels import ADIENCE_8
from agegender.models.levi_hassner import INPUT_PX
from agegender.training.config import optimizer_of
from agegender.training.recipes import LEVI_HASSNER_RECIPES, LeviHassnerRecipe
from tests.notebook_code import values_of
from tests.training import notebook_configs

PUBLISHED, INTENDED = LEVI_HASSNER_RECIPES["as_published"], LEVI_HASSNER_RECIPES["as_intended"]
BOTH = pytest.mark.parametrize("recipe", [PUBLISHED, INTENDED], ids=["as_published", "as_intended"])


def net(recipe, scheme=ADIENCE_8):
    """The net of both tasks, built by the notebook's own lines."""
    torch.manual_seed(0)
    given = {"recipe": recipe, "scheme": scheme, "dropout": 0.5, "task": "both", "start": ""}
    given |= {"variant": "as_published" if recipe is PUBLISHED else "as_intended"}
    return values_of(
        "levihassner/3_train", ("architecture", "encoder", "age_loss", "gender_head", "initial", "heads", "net"), given
    )["net"]


def built_heads(recipe):
    return net(recipe).heads


def faces(number=4):
    return np.random.default_rng(0).integers(0, 256, (number, 256, 256, 3), dtype=np.uint8)


def test_there_are_two_settings_and_they_share_only_the_augmentation_of_training():
    assert LEVI_HASSNER_RECIPES.keys() == {"as_published", "as_intended"}
    same = {f.name for f in fields(LeviHassnerRecipe) if getattr(PUBLISHED, f.name) == getattr(INTENDED, f.name)}
    assert same == {"augmentation"}
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
    transform = recipe.test_augmentation or CentreCrop(INPUT_PX)
    batch = EvaluationBatches(examples_in_memory(list(faces())), {}, 4, transform)[0]
    centre = torch.from_numpy(faces()[:, 14:241, 14:241])
    assert torch.equal(batch["images"], centre) == (recipe is INTENDED)
    assert ("contrast" in batch) == (recipe is PUBLISHED)


def test_training_sees_another_crop_each_time_in_both():
    for recipe in (PUBLISHED, INTENDED):
        cache = examples_in_memory(list(faces(1)))
        stream = TrainingBatches(cache, {}, ShuffledSampler(1, 1, 0), recipe.augmentation)
        assert len({stream[step]["images"].numpy().tobytes() for step in range(3)}) == 3


def test_as_published_nothing_decays_and_nothing_has_momentum():
    """The published weight decay is attached to the layers and never added to the loss."""
    for recipe, momentum, decay in ((PUBLISHED, 0.0, 0.0), (INTENDED, 0.9, 5e-4)):
        variant = "as_published" if recipe is PUBLISHED else "as_intended"
        groups = optimizer_of(net(recipe), notebook_configs.levi_hassner(variant)).param_groups
        assert {group["momentum"] for group in groups} == {momentum}
        assert max(group["weight_decay"] for group in groups) == decay


def test_as_published_the_test_fold_selects_and_single_tasks_stop_early():
    assert (PUBLISHED.validation, INTENDED.validation) == ("test_fold", "subjects")
    assert (PUBLISHED.best_by, INTENDED.best_by) == ("every_task", "accuracy")
    assert (PUBLISHED.patience_of_single_tasks, INTENDED.patience_of_single_tasks) == (5, None)


@BOTH
def test_the_label_8_12_is_lost_as_published_and_kept_as_intended(recipe):
    """As the chapter applies it: the faces of the group are in no part, for gender neither."""
    groups = np.arange(80) % 8
    folds = np.arange(80) // 16
    if recipe.misspells_8_12:
        folds[groups == ADIENCE_8.labels.index("(8, 12)")] = -1
    kept = set(groups[folds >= 0])
    assert len(kept) == (7 if recipe is PUBLISHED else 8)


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
    for name, recipe in LEVI_HASSNER_RECIPES.items():
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
    body = values_of("levihassner/2_pretrain", ("how", "body"), {"recipe": recipe})["body"]
    for conv, bound in ((body.conv1, 0.177), (body.conv2, 0.108), (body.conv3, 0.088)):
        expected = pytest.approx(bound, rel=0.05) if recipe is PUBLISHED else 0
        assert conv.bias.abs().max().item() == expected
    he, glorot = (2 / (3 * 49)) ** 0.5, (2 / ((3 + 96) * 49)) ** 0.5
    assert body.conv1.weight.std().item() == pytest.approx(glorot if recipe is PUBLISHED else he, rel=0.03)
