"""How each notebook fits its model: the settings of its own lines, compared with the publications, written out."""

from dataclasses import asdict

import pytest

from tests.training import notebook_configs as configs

PLAIN = {
    "optimizer": "sgd", "momentum": 0.0, "decay_every": None, "decay_factor": 0.1, "plateau": None, "bias_factor": 1.0,
    "head_factor": 1.0, "weight_decay": 0.0, "decays": "all", "clip_norm": None, "clip_value": None,
    "selects_best": True, "best_by": "accuracy", "patience": None,
}  # fmt: skip
"""What the libraries of the originals do when nobody asks for anything."""


def check(config, **expected):
    """Compare all settings but the durations, the precision and the seed with ``PLAIN`` and what is ``expected``."""
    found = asdict(config)
    for name in ("num_steps", "validate_every", "precision", "seed"):
        found.pop(name)
    assert found == PLAIN | expected
    steps = max(1, 1000 // config.batch_size)
    assert (config.num_steps, config.validate_every) == (10 * steps, steps)


LMTCNN = {
    "batch_size": 128, "learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-6, "decays": "encoder",
    "clip_norm": 4.0,
}  # fmt: skip


def test_lmtcnn_falls_five_times_as_published_and_once_as_intended():
    check(configs.lmtcnn("as_published"), **LMTCNN, decay_every=14, selects_best=False)  # a fifth of 70 steps
    check(configs.lmtcnn("as_intended"), **LMTCNN, decay_every=47)


def test_the_published_pretraining_of_levi_hassner_is_plain_gradient_descent():
    """Nothing of it is clipped, nothing decays, and its rate stays."""
    kernels = {"batch_size": 128, "learning_rate": 0.01, "decays": "kernels"}
    check(configs.pretraining_of_levi_hassner("as_published"), **kernels)
    check(configs.pretraining_of_levi_hassner("as_intended"), **kernels, momentum=0.9, weight_decay=5e-4)


@pytest.mark.parametrize("task", ["both", "age", "gender"])
def test_levi_hassner_is_plain_gradient_descent_as_published_and_that_of_the_paper_as_intended(task):
    published = {"batch_size": 8, "learning_rate": 0.01, "decays": "kernels", "best_by": "every_task"}
    check(configs.levi_hassner("as_published", task), **published, patience=None if task == "both" else 5)
    intended = {"batch_size": 32, "learning_rate": 0.0025, "momentum": 0.9, "weight_decay": 5e-4, "decays": "kernels"}
    check(configs.levi_hassner("as_intended", task), **intended, decay_every=207)  # two thirds of 310 steps


def test_imdb_is_adam_with_entries_of_the_gradient_cut_at_five():
    shared = {
        "batch_size": 32, "optimizer": "adam", "learning_rate": 1e-4, "plateau": 8, "weight_decay": 5e-4,
        "clip_value": 5.0, "best_by": "loss", "patience": 20,
    }  # fmt: skip
    check(configs.imdb("as_published"), **shared)
    check(configs.imdb("as_intended"), **shared, decay_every=207)
    check(configs.imdb("as_published", weights="none"), **shared | {"learning_rate": 1e-3})  # ours: untrained trunk


@pytest.mark.parametrize(("net_name", "rate"), [("cnn", 1e-4), ("rnn", 1e-3)])
def test_common_voice_is_adam_with_one_rate_and_an_early_end(net_name, rate):
    shared = {"optimizer": "adam", "weight_decay": 1e-6, "best_by": "loss", "patience": 4}
    check(configs.commonvoice("as_published", net_name), **shared, batch_size=2, learning_rate=1e-3)
    check(configs.commonvoice("as_intended", net_name), **shared, batch_size=32, learning_rate=rate)


def test_the_pretraining_of_timit_has_the_published_momentum_and_decay():
    shared = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4, "decay_factor": 0.2, "selects_best": False}
    check(configs.pretraining_of_timit(), **shared, batch_size=500, decay_every=14)


def test_timit_has_two_rates_as_published_and_one_as_intended():
    shared = {"batch_size": 24, "learning_rate": 0.001, "weight_decay": 1e-4, "decay_every": 41, "best_by": "mae"}
    check(configs.timit("as_published"), **shared, momentum=0.9, head_factor=10.0, decay_factor=0.9)
    check(configs.timit("as_intended"), **shared, momentum=0.9, optimizer="adam", decay_factor=0.7)  # ours


@pytest.mark.parametrize(("variant", "precision"), [("as_published", "32-true"), ("as_intended", "bf16-mixed")])
def test_as_published_trains_in_the_32_bits_of_the_originals(variant, precision):
    found = [
        configs.lmtcnn(variant),
        configs.pretraining_of_levi_hassner(variant),
        configs.levi_hassner(variant, "both"),
        configs.imdb(variant),
        configs.commonvoice(variant, "cnn"),
        configs.timit(variant),
    ]
    assert [config.precision for config in found] == [precision] * 6
