"""What a model's probabilities are worth on people it has not learnt from: temperatures, intervals, distances."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from agegender.data.batches import targets_of
from agegender.data.cache import ExampleCache
from agegender.evaluation import age_distributions
from agegender.evaluation.metrics import Floats
from agegender.labels import AgeScheme
from agegender.training.config import precision_here
from agegender.use.model import Model
from agegender.use.saved import SavedModel, heated

MOST_EMBEDDED = 4000
"""Of so many training examples the embeddings are described."""
LEAST_HELD = 50
NUM_DIRECTIONS = 64
FAR_SHARE = 0.995
"""This share of people who were not learnt from is not far from the training data."""


def measure(saved: SavedModel, training: ExampleCache, held: ExampleCache) -> dict[str, Any]:
    """Return the fact ``uncertainty`` of ``saved`` (``SavedModel``), for JSON.

    ``held`` are labelled examples of subjects that are neither in ``training`` nor in the test. An age that is only
    known as a group is drawn within it as the model distributes it. Fewer than ``LEAST_HELD`` give no ``age_level``.
    """
    device = next(saved.model.parameters()).device
    saved.model.eval()
    model = Model(saved, device, precision_here("bf16-mixed", device.type))
    outputs, labels = model.outputs_of(held), targets_of(held.manifest.examples, _targets(saved))
    known: dict[str, Any] = {}
    shares: Floats | None = None
    if "p_female" in outputs:
        female = outputs["p_female"].astype(np.float64)
        known["gender_temperature"] = temperature(np.stack([1 - female, female], 1), labels["gender"])
    if saved.is_in_years:
        ages = labels["age"]
        known["age_temperature"] = temperature(outputs["p_year"], np.floor(ages).clip(0, 100))
        below = age_distributions.of_years(heated(outputs["p_year"], known["age_temperature"]))
        shares = age_distributions.share_below(below, ages)
    elif saved.scheme is not None:
        groups = labels["age_group"].astype(np.int64)
        known["age_temperature"] = temperature(outputs["p_group"], groups)
        shares = _shares_below(heated(outputs["p_group"], known["age_temperature"]), groups, saved.scheme)
    if shares is not None and len(held) >= LEAST_HELD:
        known["age_level"] = age_distributions.conformal_level(shares)
    some = np.random.default_rng(0).permutation(len(training))[:MOST_EMBEDDED]
    return known | familiarity(model.outputs_of(training.select(np.sort(some)))["embedding"], outputs["embedding"])


def temperature(probabilities: np.ndarray, classes: np.ndarray) -> float:
    """Return the temperature at which the true ``classes`` (examples,) are the most probable (Guo and others, 2017)."""
    rows = np.arange(len(classes))

    def loss(log_temperature: float) -> float:
        return -float(np.log(heated(probabilities, np.exp(log_temperature))[rows, classes.astype(int)] + 1e-12).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def familiarity(embeddings: np.ndarray, held: np.ndarray) -> dict[str, Any]:
    """Return ``mean``, ``whitening`` and ``far`` (``SavedModel``) of the embeddings of training (examples, features).

    The distance is measured along the ``NUM_DIRECTIONS`` in which they vary most, each with unit variance.
    """
    mean = embeddings.mean(0, dtype=np.float64)
    _, scales, directions = np.linalg.svd(embeddings - mean, full_matrices=False)
    kept = min(NUM_DIRECTIONS, int((scales > 1e-6 * scales[0]).sum()))
    whitening = directions[:kept].T * (np.sqrt(len(embeddings)) / scales[:kept])
    far = np.quantile(np.linalg.norm((held - mean) @ whitening, axis=1), FAR_SHARE)
    return {"mean": mean.round(5).tolist(), "whitening": whitening.round(5).tolist(), "far": float(far)}


def _shares_below(p_group: Floats, groups: np.ndarray, scheme: AgeScheme) -> Floats:
    below = age_distributions.of_groups(p_group, scheme)
    low = age_distributions.share_below(below, np.array(scheme.lower)[groups])
    high = age_distributions.share_below(below, np.array(scheme.upper)[groups])
    return np.random.default_rng(0).uniform(low, high)


def _targets(saved: SavedModel) -> list[str]:
    age = ["age"] if saved.is_in_years else ["age_group"] if saved.scheme else []
    return age + (["gender"] if "gender" in saved.model.heads else [])
