"""How each net of faces is fitted: the settings for 1,000 examples, compared with the publications, written out."""

import pytest

from agegender.pipelines import imdb, levihassner, lmtcnn
from agegender.pipelines import levihassner_pretraining as pretraining
from agegender.pipelines.recipes import with_overrides
from tests.pipelines.configs import check


def of_lmtcnn(variant, batch_size=128):
    return lmtcnn.training_config(lmtcnn.RECIPES[variant], 1000, num_epochs=10, batch_size=batch_size, seed=3)


def of_pretraining(variant):
    return pretraining.training_config(levihassner.RECIPES[variant], 1000, num_epochs=10, seed=3)


def of_levi_hassner(variant, task="both"):
    return levihassner.training_config(levihassner.RECIPES[variant], task, 1000, num_epochs=10, seed=3)


def of_imdb(variant, weights="imagenet"):
    return imdb.training_config(imdb.RECIPES[variant], weights, 1000, num_epochs=10, seed=3)


LMTCNN = {
    "batch_size": 128, "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-6, "decays": "encoder",
    "clip_norm": 4.0,
}  # fmt: skip


def test_lmtcnn_falls_five_times_as_published_and_once_as_intended():
    check(of_lmtcnn("as_published"), **LMTCNN, decay_every=14, selects_best=False)  # a fifth of 70 steps
    check(of_lmtcnn("as_intended"), **LMTCNN, decay_every=47)


def test_the_published_pretraining_of_levi_hassner_is_plain_gradient_descent():
    """Nothing of it is clipped, nothing decays, and its rate stays."""
    kernels = {"batch_size": 128, "learning_rate": 0.01, "decays": "kernels"}
    check(of_pretraining("as_published"), **kernels)
    check(of_pretraining("as_intended"), **kernels, momentum=0.9, weight_decay=5e-4)


@pytest.mark.parametrize("task", ["both", "age", "gender"])
def test_levi_hassner_is_plain_gradient_descent_as_published_and_that_of_the_paper_as_intended(task):
    published = {"batch_size": 8, "learning_rate": 0.01, "decays": "kernels", "best_by": "every_task"}
    check(of_levi_hassner("as_published", task), **published, patience=None if task == "both" else 5)
    intended = {"batch_size": 32, "learning_rate": 0.0025, "momentum": 0.9, "weight_decay": 5e-4, "decays": "kernels"}
    check(of_levi_hassner("as_intended", task), **intended, decay_every=207)  # two thirds of 310 steps


def test_imdb_is_adam_with_entries_of_the_gradient_cut_at_five():
    shared = {
        "batch_size": 32, "optimizer": "adam", "learning_rate": 1e-4, "plateau": 8, "weight_decay": 5e-4,
        "clip_value": 5.0, "best_by": "loss", "patience": 20,
    }  # fmt: skip
    check(of_imdb("as_published"), **shared)
    check(of_imdb("as_intended"), **shared, decay_every=207)
    check(of_imdb("as_published", weights="none"), **shared | {"learning_rate": 1e-3})  # ours: untrained trunk


@pytest.mark.parametrize(("variant", "precision"), [("as_published", "32-true"), ("as_intended", "bf16-mixed")])
def test_as_published_trains_in_the_32_bits_of_the_originals_and_every_run_with_its_own_seed(variant, precision):
    found = [of_lmtcnn(variant), of_pretraining(variant), of_levi_hassner(variant), of_imdb(variant)]
    assert [(config.precision, config.seed) for config in found] == [(precision, 3)] * 4


def test_the_rate_of_lmtcnn_is_that_of_128_faces_and_scales_with_the_batch():
    assert of_lmtcnn("as_published", 32).learning_rate == pytest.approx(0.01 / 4)


def test_a_rate_of_ones_own_takes_the_place_of_that_of_the_weights():
    recipe = with_overrides(imdb.RECIPES["as_intended"], {"learning_rate": 0.003})
    for weights in ("none", "imagenet"):
        assert imdb.training_config(recipe, weights, 1000, num_epochs=1, seed=0).learning_rate == 0.003


@pytest.mark.parametrize(
    ("config_of", "recipes"),
    [
        (lambda r: lmtcnn.training_config(r, 100, 1, 32, 0), lmtcnn.RECIPES),
        (lambda r: levihassner.training_config(r, "both", 100, 1, 0), levihassner.RECIPES),
        (lambda r: imdb.training_config(r, "none", 100, 1, 0), imdb.RECIPES),
    ],
    ids=["lmtcnn", "levihassner", "imdb"],
)
def test_optimiser_schedule_and_selection_are_decisions_of_the_recipe(config_of, recipes):
    other = {"optimizer": "adam", "decays": "kernels", "decay_factor": 0.5, "best_by": "loss", "precision": "32-true"}
    config = config_of(with_overrides(recipes["as_intended"], other | {"weight_decay": 0.25, "decay_share": 0.5}))
    assert {name: getattr(config, name) for name in other} == other
    assert (config.weight_decay, config.decay_every) == (0.25, round(config.num_steps / 2))
