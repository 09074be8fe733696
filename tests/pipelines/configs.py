"""Comparing a ``TrainingConfig`` with a publication, written out."""

from dataclasses import asdict

PLAIN = {
    "optimizer": "sgd", "momentum": 0.0, "schedule": "constant", "warmup_share": 0.3,
    "decay_every": None, "decay_factor": 0.1, "plateau": None, "bias_factor": 1.0, "head_factor": 1.0,
    "weight_decay": 0.0, "decays": "all", "clip_norm": None, "clip_value": None, "selects_best": True,
    "best_by": "accuracy", "patience": None,
}  # fmt: skip
"""What the libraries of the originals do when nobody asks for anything."""


def check(config, num_examples=1000, **expected):
    """Compare all settings but the precision and the seed: ten epochs of ``num_examples``, the rest as ``expected``."""
    found = asdict(config)
    for name in ("num_steps", "validate_every", "precision", "seed"):
        found.pop(name)
    assert found == PLAIN | expected
    steps = max(1, num_examples // config.batch_size)
    assert (config.num_steps, config.validate_every) == (10 * steps, steps)
