"""Every switch in which the published pipeline of TIMIT and its intent differ: its two settings, and their effect."""

from dataclasses import fields
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from agegender.data import splits
from agegender.evaluation.metrics import RMSE
from agegender.evaluation.published_arithmetic import mean_over_batches
from agegender.models.heads import GENDER, ClassHead, RegressionHead, hidden_layers
from agegender.models.losses import focal_regression_loss
from agegender.models.multitask import MultiTaskModel
from agegender.models.resnet_se import ResNetSE34V2
from agegender.training import reweighting
from agegender.training.config import optimizer_of
from agegender.training.reweighting import gaussian_kernel, year_weights
from agegender.training.timit_recipes import TIMIT_RECIPES, TimitRecipe
from tests.notebook_code import values_of
from tests.training import notebook_configs

PUBLISHED, INTENDED = TIMIT_RECIPES["as_published"], TIMIT_RECIPES["as_intended"]
BOTH = pytest.mark.parametrize("recipe", [PUBLISHED, INTENDED], ids=["published", "intended"])


def age_head(recipe, in_features=4, gamma=1.0, initial_age=0.0):
    loss = partial(focal_regression_loss, gamma=gamma, unit_years=recipe.unit_years)
    hidden = hidden_layers(in_features, (1024, 512), has_batch_norm=True)
    return RegressionHead(512, hidden, loss, "torch", initial_age, recipe.unit_years)


def gender_head(in_features=4):
    return ClassHead(512, GENDER, hidden_layers(in_features, (1024, 512), has_batch_norm=True), init="torch")


def weighted_loss(recipe, error_years, gamma=1.0):
    head = age_head(recipe, gamma=gamma)
    answer = torch.tensor([[(30.0 + error_years) / recipe.unit_years]])
    return recipe.age_weight * head.loss(answer, torch.tensor([30.0])).item()


def test_there_are_two_settings_and_they_share_the_first_rate_and_the_logarithm():
    assert TIMIT_RECIPES.keys() == {"as_published", "as_intended"}
    same = {f.name for f in fields(TimitRecipe) if getattr(PUBLISHED, f.name) == getattr(INTENDED, f.name)}
    assert same == {"uses_log", "width", "batch_size", "learning_rate", "momentum", "weight_decay"}
    assert PUBLISHED.width == 1
    assert (PUBLISHED.batch_size, PUBLISHED.momentum, PUBLISHED.weight_decay) == (24, 0.9, 1e-4)
    assert PUBLISHED.age_weight == 7


@BOTH
def test_a_squared_error_weighs_alike_in_either_unit(recipe):
    assert weighted_loss(recipe, 10.0, gamma=0.0) == pytest.approx(7 * 0.1**2, rel=1e-4)


def test_in_hundreds_of_years_the_focal_factor_of_five_years_is_next_to_nothing():
    factors = [weighted_loss(recipe, 5.0) / weighted_loss(recipe, 5.0, gamma=0.0) for recipe in (PUBLISHED, INTENDED)]
    assert factors == pytest.approx([np.tanh(0.2 * 0.05 / 2), np.tanh(0.2 * 5 / 2)], rel=1e-4)


def test_in_hundreds_of_years_lds_weighs_all_ages_alike():
    ages = np.concatenate([np.full(90, 25.3), np.linspace(26, 70, 10)])
    published, intended = (
        year_weights(ages, kernel=gaussian_kernel(), unit_years=r.unit_years) for r in TIMIT_RECIPES.values()
    )
    assert published == pytest.approx(np.ones(121))
    assert intended[60] > 3 * intended[25]


@pytest.mark.parametrize(("recipe", "first"), [(PUBLISHED, 0.0), (INTENDED, 41.5)], ids=["published", "intended"])
def test_answers_begin_at_nothing_or_at_the_mean_age(recipe, first):
    head = age_head(recipe, initial_age=41.5 if recipe.starts_at_mean else 0.0)
    torch.nn.init.zeros_(head.linear.weight)
    head.linear.bias.data -= head.linear.bias.data - first / recipe.unit_years  # without its small random part
    assert_close(head.decode(head.eval()(torch.zeros(3, 4)))["age"], torch.full((3,), first))


def test_a_mean_over_batches_is_another_number_than_the_pooled_one():
    errors = np.tile(np.r_[np.zeros(24), np.full(24, 10.0)], 2)
    table = pd.DataFrame({"true_age": 30.0, "age": 30.0 + errors, "subject": [str(n) for n in range(96)]})
    found = {"batch_means": mean_over_batches(RMSE, table, PUBLISHED.batch_size), "pooled": RMSE.value(table)}
    assert found[PUBLISHED.scores] == pytest.approx(5.0)
    assert found[INTENDED.scores] == pytest.approx(np.sqrt(50))


@BOTH
def test_what_selects_the_epoch_shares_subjects_with_the_test_only_as_published(recipe):
    examples = pd.DataFrame(
        {"path": [f"{row:03d}" for row in range(200)], "subject": [str(row // 5) for row in range(200)], "age": 30.0}
    )
    examples["age_group"], examples["gender"] = pd.array([None] * 200, "Int64"), "male"
    folds = np.arange(200) // 40
    test, others = splits.test_and_pool(folds, 0)
    split = splits.split_by_subject(examples, folds, 0, 0)
    train, validation = (others, test) if recipe.validation == "test_part" else (split.train, split.validation)
    parts = {"train": train, "validation": validation, "test": test}
    shared = splits.audit({name: examples.iloc[rows] for name, rows in parts.items()}).set_index(["part_a", "part_b"])[
        "num_shared"
    ]
    assert shared["train", "test"] == shared["train", "validation"] == 0
    assert shared["validation", "test"] == (8 if recipe is PUBLISHED else 0)


@pytest.mark.parametrize("uses_log", [True, False])
def test_the_logarithm_of_the_features_is_on_or_off(uses_log):
    encoder = ResNetSE34V2(num_mels=8, uses_log=uses_log)
    clip = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)) / 10
    louder = clip * torch.linspace(0.1, 10, 8000)
    mel = encoder.front_end(louder)
    assert mel.abs().amax() < 4 if uses_log else mel.amax() > 4  # without it, loud frames stand out


@pytest.mark.parametrize(("variant", "rate"), [("as_published", 0.01), ("as_intended", 0.001)])
def test_the_heads_learn_ten_times_as_fast_as_the_encoder_as_published_only(variant, rate):
    encoder = torch.nn.Linear(4, 4)
    encoder.out_features = 4
    net = MultiTaskModel(encoder, {"age": age_head(INTENDED), "gender": gender_head()})
    groups = optimizer_of(net, notebook_configs.timit(variant)).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert {rates[id(p)] for p in net.encoder.parameters()} == {0.001}
    assert {rates[id(p)] for p in net.heads.parameters()} == {rate}


def test_the_whole_net_has_the_published_number_of_parameters():
    encoder = ResNetSE34V2()
    heads = {"age": age_head(INTENDED, 512), "gender": gender_head(512)}
    assert sum(p.numel() for p in MultiTaskModel(encoder, heads).parameters()) == 10_792_271


def errors_in_training(recipe, ages, seed, num_steps=60):
    """Mean errors in years, step by step, of an age head on embeddings that say nothing about the age."""
    torch.manual_seed(seed)
    head = age_head(recipe, 512, initial_age=ages.mean().item() if recipe.starts_at_mean else 0)
    optimizer = torch.optim.SGD(head.parameters(), recipe.learning_rate * recipe.head_factor, recipe.momentum)
    errors = []
    for _ in range(num_steps):
        target, logits = ages[torch.randint(len(ages), (24,))], head(torch.randn(24, 512))
        optimizer.zero_grad()
        (recipe.age_weight * head.loss(logits, target)).backward()
        optimizer.step()
        errors.append(head.measure(logits.detach(), target).item() / 24)
    return np.array(errors)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_ages_reach_far_the_published_cube_runs_away_and_the_intended_loss_does_not(seed):
    ages = torch.linspace(6, 94, 200)
    assert not errors_in_training(PUBLISHED, ages, seed)[-1] < 1e6  # or no number at all
    assert errors_in_training(INTENDED, ages, seed).max() < 40


def weights_by_age(recipe, monkeypatch):
    """What the notebook gives to ``year_weights`` as kernel and as switches, by its own lines."""
    asked = {}
    monkeypatch.setattr(reweighting, "gaussian_kernel", lambda **switches: asked.update(switches))
    monkeypatch.setattr(reweighting, "year_weights", lambda *_, **switches: asked.update(switches) or np.ones(121))
    examples = pd.DataFrame({"subject": ["a", "b"], "age": [20.0, 30.0]})
    given = {"recipe": recipe, "options": ["lds"], "examples": examples, "train": [0, 1], "corpus": "timit"}
    values_of("timit/3_train", ("ages", "most", "by_age"), given)
    return asked


def test_the_weights_by_age_have_the_habits_of_the_code_as_published_and_none_as_intended(monkeypatch):
    assert weights_by_age(PUBLISHED, monkeypatch) == {"folds_tails": True, "truncates_counts": True}
    assert weights_by_age(INTENDED, monkeypatch) == {"folds_tails": False, "truncates_counts": False}
