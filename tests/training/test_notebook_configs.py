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
        configs.commonvoice(variant, "cnn"),
        configs.timit(variant),
    ]
    assert [config.precision for config in found] == [precision] * 2
