"""The TIMIT pipeline: every switch between the published setting and its intent, and the wiring of a run."""

import json
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from agegender.data import splits
from agegender.data.audio import Crop
from agegender.data.parts import parts_of_subjects
from agegender.evaluation.metrics import RMSE
from agegender.evaluation.published_arithmetic import mean_over_batches
from agegender.models.heads import RegressionHead, hidden_layers
from agegender.models.losses import focal_regression_loss
from agegender.models.resnet_se import ResNetSE34V2
from agegender.pipelines import timit
from agegender.training import reweighting
from agegender.training.config import optimizer_of
from tests.pipelines.configs import check
from tests.pipelines.spoken import clips_of, people, shown

PUBLISHED, INTENDED = timit.RECIPES["as_published"], timit.RECIPES["as_intended"]
BOTH = pytest.mark.parametrize("recipe", [PUBLISHED, INTENDED], ids=["published", "intended"])
SMALL = {"width": 0.25, "num_mels": 8}
AGES = pd.Series([40.0, 43.0])
CROP = Crop(1_000)


def net_of(recipe, **changes):
    torch.manual_seed(0)
    return timit.build_model(**timit.model_facts(replace(recipe, **(SMALL | changes)), AGES))


def age_head(recipe, **changes):
    return net_of(recipe, **changes).heads["age"]


def weighted_loss(recipe, error_years, gamma=1.0):
    net = net_of(recipe, gamma=gamma)
    answer = torch.tensor([[(30.0 + error_years) / recipe.unit_years]])
    return net.loss_weights["age"] * net.heads["age"].loss(answer, torch.tensor([30.0])).item()


def parts_of(table, recipe, fold=0):
    examples = clips_of(table, 2_000).manifest.examples
    return timit.split(recipe, examples, parts_of_subjects(examples, fold, 0)), examples


def batches_of(recipe, table=None, most=400, num_samples=2_000):
    clips = clips_of(people(60, 3) if table is None else table, num_samples)
    examples = clips.manifest.examples
    parts = timit.split(recipe, examples, parts_of_subjects(examples, 0, 0))
    return timit.batches(recipe, clips, parts, CROP, most, None, 0), parts, examples


def test_there_are_two_settings_and_they_share_the_encoder_and_the_first_rate():
    assert timit.RECIPES.keys() == {"as_published", "as_intended"}
    differ = {
        "precision", "unit_years", "truncates_counts", "folds_tails", "age_weight", "starts_at_mean", "scores",
        "validation", "num_test_crops", "optimizer", "head_factor", "decay_factor",
    }  # fmt: skip
    assert {f.name for f in fields(timit.Recipe) if getattr(PUBLISHED, f.name) != getattr(INTENDED, f.name)} == differ
    assert PUBLISHED.architecture == {
        "num_mels": 80, "pooling": "asp", "uses_log": True, "width": 1.0, "out_features": 512,
    }  # fmt: skip
    assert (PUBLISHED.batch_size, PUBLISHED.momentum, PUBLISHED.weight_decay) == (24, 0.9, 1e-4)
    assert (PUBLISHED.age_weight, PUBLISHED.unit_years, INTENDED.unit_years) == (7, 100, 1)


@BOTH
def test_a_squared_error_weighs_alike_in_either_unit(recipe):
    assert weighted_loss(recipe, 10.0, gamma=0.0) == pytest.approx(7 * 0.1**2, rel=1e-4)


def test_in_hundreds_of_years_the_focal_factor_of_five_years_is_next_to_nothing():
    factors = [weighted_loss(recipe, 5.0) / weighted_loss(recipe, 5.0, gamma=0.0) for recipe in (PUBLISHED, INTENDED)]
    assert factors == pytest.approx([np.tanh(0.2 * 0.05 / 2), np.tanh(0.2 * 5 / 2)], rel=1e-4)


def test_in_hundreds_of_years_lds_weighs_all_ages_alike_and_in_years_it_does_not():
    ages = np.concatenate([np.full(90, 25.3), np.linspace(26, 70, 10)])
    table = pd.DataFrame({"subject": [str(row) for row in range(100)], "age": ages})
    published, intended = (
        timit.year_weights(replace(r, has_lds=True), table, 400).numpy() for r in (PUBLISHED, INTENDED)
    )
    assert published == pytest.approx(np.ones(121))
    assert intended[60] > 3 * intended[25]
    assert intended == pytest.approx(reweighting.year_weights(ages, kernel=reweighting.gaussian_kernel()))
    assert timit.year_weights(INTENDED, table, 400) is None


def test_lds_counts_the_clips_that_an_epoch_draws():
    table = pd.DataFrame({"subject": ["a"] * 9 + ["b"], "age": [20.0] * 9 + [70.0]})
    weights = timit.year_weights(replace(INTENDED, has_lds=True), table, most=1)
    assert weights[20] == weights[70]


@pytest.mark.parametrize("kernel", ["gaussian", "laplace", "triangular"])
@pytest.mark.parametrize("inverse", ["inverse", "sqrt_inverse"])
def test_lds_has_the_kernels_and_weights_of_its_authors(kernel, inverse):
    ages = np.repeat([20.0, 22.0, 60.0], [30, 20, 10])
    table = pd.DataFrame({"subject": [str(row) for row in range(60)], "age": ages})
    recipe = replace(INTENDED, has_lds=True, lds_kernel=kernel, lds_weights=inverse)
    weights = reweighting.year_weights(ages, inverse, getattr(reweighting, f"{kernel}_kernel")())
    assert timit.year_weights(recipe, table, 400).numpy() == pytest.approx(weights)


@pytest.mark.parametrize(("recipe", "first"), [(PUBLISHED, 0.0), (INTENDED, 41.5)], ids=["published", "intended"])
def test_predictions_begin_at_nothing_or_at_the_mean_age(recipe, first):
    head = age_head(recipe)
    torch.nn.init.zeros_(head.linear.weight)
    begun = head.decode(head.eval()(torch.zeros(3, 512)))["age"]
    small = recipe.unit_years / 512**0.5  # the bound of the random part of the bias
    assert_close(begun, torch.full((3,), first), atol=small, rtol=0)
    assert small < 41.5 / 5


def test_a_mean_over_batches_is_another_number_than_the_pooled_one():
    errors = np.tile(np.r_[np.zeros(24), np.full(24, 10.0)], 2)
    table = pd.DataFrame({"true_age": 30.0, "age": 30.0 + errors, "subject": [str(n) for n in range(96)]})
    found = {"batch_means": mean_over_batches(RMSE, table, batch_size=24), "pooled": RMSE.value(table)}
    assert found[PUBLISHED.scores] == pytest.approx(5.0)
    assert found[INTENDED.scores] == pytest.approx(np.sqrt(50))


@BOTH
@pytest.mark.parametrize("fold", [0, 3])
def test_what_selects_the_epoch_shares_subjects_with_the_test_only_as_published(recipe, fold):
    parts, examples = parts_of(people(40, 5), recipe, fold)
    audited = splits.audit(parts.parts(examples)).set_index(["part_a", "part_b"])["num_shared"]
    assert audited["train", "test"] == audited["train", "validation"] == 0
    assert audited["validation", "test"] == (8 if recipe is PUBLISHED else 0)
    assert set(examples["subject"].iloc[parts.test]) == set(examples["subject"][splits.folds_of(examples) == fold])
    assert sum(map(len, (parts.train, parts.test))) + (0 if recipe is PUBLISHED else len(parts.validation)) == 200


@BOTH
def test_each_part_is_shown_in_its_own_batches(recipe):
    (training, validation, test), parts, examples = batches_of(recipe)
    for batches, rows in ((training, parts.train), (validation, parts.validation), (test, parts.test)):
        assert shown(batches) == set(examples["path"].iloc[rows])
        assert batches.targets["age"].tolist() == examples["age"].iloc[rows].tolist()
        genders = ["male", "female"]
        assert [genders[code] for code in batches.targets["gender"]] == examples["gender"].iloc[rows].tolist()


@BOTH
def test_three_crops_are_averaged_in_the_intended_test_alone(recipe):
    (training, validation, test), *_ = batches_of(recipe)
    num_crops = 1 if recipe is PUBLISHED else 3
    assert (validation.settings["num_crops"], test.settings["num_crops"]) == (1, num_crops)
    assert test[0]["clips"].shape == ((16, 1_000) if num_crops == 1 else (16, 3, 1_000))
    assert not torch.equal(training[0]["clips"], training[3]["clips"])
    assert_close(validation[0]["clips"], validation[0]["clips"])
    assert timit.input_facts(recipe, CROP)["num_crops"] == num_crops


def test_no_subject_is_twice_in_a_batch_and_few_subjects_make_a_smaller_one():
    (training, *_), _, _ = batches_of(INTENDED)
    for step in range(4):
        assert len(set(training[step]["subject_index"].tolist())) == 24
    (few, *_), parts, examples = batches_of(INTENDED, people(20, 4))
    assert few.sampler.batch_size == examples["subject"].iloc[parts.train].nunique() < 20


def test_an_epoch_draws_400_clips_of_a_subject_of_timit_and_four_of_one_of_a_pack():
    assert [timit.most_per_subject(recipe, "timit") for recipe in (PUBLISHED, INTENDED)] == [400, 400]
    assert [timit.most_per_subject(recipe, "voicepack") for recipe in (PUBLISHED, INTENDED)] == [4, 4]
    (training, *_), parts, _ = batches_of(INTENDED, people(60, 9), most=4)
    assert training.sampler.num_drawn == len(parts.train) * 4 / 9
    config = timit.training_config(INTENDED, training, 5, 0)
    assert config.validate_every == training.sampler.num_drawn // 24


@pytest.mark.parametrize("uses_log", [True, False])
def test_the_logarithm_of_the_features_is_on_or_off(uses_log):
    encoder = net_of(INTENDED, uses_log=uses_log).encoder
    clip = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)) / 10
    louder = clip * torch.linspace(0.1, 10, 8000)
    mel = encoder.front_end(louder)
    assert mel.abs().amax() < 4 if uses_log else mel.amax() > 4  # without it, loud frames stand out


@pytest.mark.parametrize(("recipe", "rate"), [(PUBLISHED, 0.01), (INTENDED, 0.001)], ids=["published", "intended"])
def test_the_heads_learn_ten_times_as_fast_as_the_encoder_as_published_only(recipe, rate):
    net, ((training, *_), *_) = net_of(recipe), batches_of(recipe)
    groups = optimizer_of(net, timit.training_config(recipe, training, 10, 0)).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert {rates[id(p)] for p in net.encoder.parameters()} == {0.001}
    assert {rates[id(p)] for p in net.heads.parameters()} == {rate}


@BOTH
def test_two_rates_as_published_and_one_as_intended(recipe):
    (training, *_), parts, _ = batches_of(recipe, people(150, 4), num_samples=1)
    config = timit.training_config(recipe, training, 10, 7)
    shared = {"batch_size": 24, "learning_rate": 0.001, "weight_decay": 1e-4, "best_by": "mae", "momentum": 0.9}
    published, intended = {"head_factor": 10.0, "decay_factor": 0.9}, {"optimizer": "adam", "decay_factor": 0.7}
    steps = len(parts.train) // 24
    own = published if recipe is PUBLISHED else intended
    check(config, num_examples=len(parts.train), **shared, **own, decay_every=steps)
    assert (config.precision, config.seed) == ("32-true" if recipe is PUBLISHED else "bf16-mixed", 7)


def test_the_rate_falls_after_whole_steps_of_a_tenth_of_the_run():
    (training, *_), parts, _ = batches_of(INTENDED)
    steps = 3 * (len(parts.train) // 24)
    assert timit.training_config(INTENDED, training, 3, 0).decay_every == max(1, steps // 10)


def test_the_whole_net_has_the_published_number_of_parameters():
    net = timit.build_model(**timit.model_facts(INTENDED, AGES))
    assert sum(p.numel() for p in net.parameters()) == 10_792_271


@pytest.mark.parametrize("changes", [{"pooling": "sap"}, {"embedding_size": 64}, {"num_mels": 16}, {"width": 0.5}])
def test_every_option_of_the_encoder_can_be_reached_by_name(changes):
    _, recipe = timit.recipe_of("scratch", "as_intended", SMALL | changes)
    net = timit.build_model(**timit.model_facts(recipe, AGES))
    assert {name: getattr(recipe, name) for name in changes} == changes
    usual = sum(p.numel() for p in net_of(INTENDED).parameters())
    assert sum(p.numel() for p in net.parameters()) != usual
    assert net.eval()(torch.zeros(2, 1_000))["age"].shape == (2, 1)


def test_first_weights_are_drawn_as_in_the_recorded_runs():
    """The hidden layers of gender come after its last layer."""
    net = net_of(INTENDED)
    torch.manual_seed(0)
    ResNetSE34V2(**(INTENDED.architecture | SMALL))
    age_hidden, age = hidden_layers(512, (1024, 512), True), torch.nn.Linear(512, 1)
    gender, gender_hidden = torch.nn.Linear(512, 2), hidden_layers(512, (1024, 512), True)
    pairs = [(net.heads["age"].hidden, age_hidden), (net.heads["gender"].linear, gender)]
    for own, drawn in [*pairs, (net.heads["gender"].hidden, gender_hidden)]:
        for name, value in drawn.state_dict().items():
            assert torch.equal(own.state_dict()[name], value)
    assert torch.equal(net.heads["age"].linear.weight, age.weight)


def test_a_net_is_built_again_from_facts_that_were_written_as_json():
    facts = timit.model_facts(replace(PUBLISHED, **SMALL, gamma=1.0), AGES)
    again = timit.build_model(**json.loads(json.dumps(facts)))
    expected = net_of(PUBLISHED, gamma=1.0)
    again.load_state_dict(expected.state_dict())
    clips = torch.randn(2, 1_000)
    assert_close(again.eval()(clips), expected.eval()(clips))
    assert (again.heads["age"].unit_years, again.loss_weights["age"]) == (100.0, 7.0)


def test_a_clip_reaches_the_encoder_as_it_is():
    clips = torch.arange(6, dtype=torch.int16).reshape(2, 3)
    assert timit.prepare()({"clips": clips}) is clips


@pytest.mark.parametrize(
    ("model", "start", "changes"),
    [
        ("scratch", "scratch", {}),
        ("pretrained-lds-focal", "pretrained", {"has_lds": True, "gamma": 1.0}),
        ("frozen-mel", "frozen", {"uses_log": False}),
        ("scratch-width1", "scratch", {"width": 1.0}),
        (
            "pretrained-lds-focal-mel-width0.5",
            "pretrained",
            {"has_lds": True, "gamma": 1, "uses_log": False, "width": 0.5},
        ),
    ],
)
def test_the_name_of_a_model_says_where_it_starts_and_what_it_changes(model, start, changes):
    overrides = {"width": 0.25, "batch_size": 8}
    assert timit.recipe_of(model, "as_intended", overrides) == (start, replace(INTENDED, **(overrides | changes)))
    assert timit.recipe_of(model, "as_published", {}) == (start, replace(PUBLISHED, **changes))


@pytest.mark.parametrize("model", ["x", "scratch-", "scratch-ldf", "lds", "frozen-width", "frozen-widthx"])
def test_an_unknown_model_is_refused(model):
    with pytest.raises(ValueError, match=f"unknown model '{model}': scratch, pretrained, frozen, then -lds, -focal"):
        timit.recipe_of(model, "as_intended", {})


def errors_in_training(recipe, ages, seed, num_steps=60):
    """Mean errors in years, step by step, of an age head on embeddings that say nothing about the age."""
    torch.manual_seed(seed)
    loss = partial(focal_regression_loss, gamma=1.0, unit_years=recipe.unit_years)
    first = ages.mean().item() if recipe.starts_at_mean else 0.0
    head = RegressionHead(512, hidden_layers(512, timit.HIDDEN, True), loss, "torch", first, recipe.unit_years)
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


@BOTH
def test_the_weights_by_age_have_the_habits_of_the_code_as_published_and_none_as_intended(recipe, monkeypatch):
    asked = {}
    monkeypatch.setattr(reweighting, "gaussian_kernel", lambda **switches: asked.update(switches))
    monkeypatch.setattr(reweighting, "year_weights", lambda *_, **switches: asked.update(switches) or np.ones(121))
    timit.year_weights(replace(recipe, has_lds=True), people(2, 1), 400)
    has_habits = recipe is PUBLISHED
    assert asked == {"folds_tails": has_habits, "truncates_counts": has_habits}
