"""What a run that is started again has to have in common with the checkpoint that it finds."""

import json
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch

from agegender.data.batches import EvaluationBatches
from agegender.data.images import Augmentation, CentreCrop, standardise
from agegender.labels import ADIENCE_8
from agegender.models.heads import GENDER, AgeBins, ClassHead, RegressionHead
from agegender.models.losses import (
    cross_entropy,
    double_softmax_cross_entropy,
    focal_regression_loss,
    label_distribution_loss,
)
from agegender.models.multitask import MultiTaskModel
from agegender.training.config import TrainingConfig
from agegender.training.settings import identity_of
from tests.training.small_run import SmallEncoder, small_faces


@dataclass(frozen=True)
class Decisions:
    """A recipe with one decision."""

    channel_order: str = "rgb"


def identity(recipe=None, side=16, faces=None, frozen=False, **model_changes):
    torch.manual_seed(0)
    options = {"loss": cross_entropy, "age_weight": 1.0, "padding": 0, "dropout": 0.5, "init": "normal"}
    options |= model_changes
    encoder = SmallEncoder()
    encoder.conv.padding = (options["padding"], options["padding"])
    encoder.dropout.p = options["dropout"]
    encoder.requires_grad_(not frozen)
    age = ClassHead(8, AgeBins(ADIENCE_8), None, options["loss"], options["init"])
    model = MultiTaskModel(encoder, {"age": age, "gender": ClassHead(8, GENDER)}, {"age": options["age_weight"]})
    training, validation = faces or small_faces()
    config = TrainingConfig(num_steps=20, validate_every=5, batch_size=4, learning_rate=0.01)

    def prepare(batch):
        return standardise(batch["images"], batch.get("contrast"))[..., :side, :side]

    return identity_of(model, prepare, training, validation, config, recipe)


def differing(first, second):
    return {name for name in first if first[name] != second[name]}


def test_the_same_run_has_the_same_identity_and_json_can_hold_it():
    assert identity(Decisions()) == json.loads(json.dumps(identity(Decisions())))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"loss": double_softmax_cross_entropy}, {"heads", "structure"}),
        ({"age_weight": 0.1}, {"heads"}),
        ({"padding": 1}, {"structure"}),
        ({"dropout": 0.0}, {"structure"}),
        ({"frozen": True}, {"structure"}),
        ({"init": "xavier"}, {"initial_weights"}),
        ({"side": 8}, {"input_shape"}),
        ({"recipe": Decisions()}, {"recipe"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_another_run_is_told_by_name(changes, named):
    assert differing(identity(), identity(**changes)) == named


def test_another_decision_of_the_recipe_is_another_run():
    assert differing(identity(Decisions()), identity(Decisions("bgr"))) == {"recipe"}


def test_another_validation_part_or_crop_is_another_run():
    training, validation = small_faces()
    fewer = {name: values[:8] for name, values in validation.targets.items()}
    for other in (
        EvaluationBatches(validation.cache.select(np.arange(8)), fewer, 8, CentreCrop(16)),
        EvaluationBatches(validation.cache, validation.targets, 8, Augmentation(16)),
    ):
        assert differing(identity(), identity(faces=(training, other))) == {"validation_part"}


def test_the_weights_by_age_of_a_head_are_a_part_of_it():
    encoder, (training, validation) = SmallEncoder(), small_faces()
    config = TrainingConfig(num_steps=20, validate_every=5, batch_size=4, learning_rate=0.01)
    found = []
    for unit in (1.0, 2.0):
        torch.manual_seed(0)
        head = RegressionHead(8, loss=focal_regression_loss, year_weights=torch.linspace(1, unit, 121))
        model = MultiTaskModel(encoder, {"age": head})
        found.append(identity_of(model, lambda batch: standardise(batch["images"]), training, validation, config))
    assert "heads" in differing(*found)
    assert found[1]["heads"]["age"]["year_weights"] == {"least": 1.0, "most": 2.0, "length": 121}


def test_the_settings_of_a_loss_are_a_part_of_its_head():
    described = [identity(loss=partial(label_distribution_loss, label_std=std))["heads"]["age"] for std in (0.5, 2.0)]
    expected = {"loss": "label_distribution_loss", "label_std": 0.5, "expectation_weight": 1.0}
    assert {name: described[0][name] for name in expected} == expected
    assert differing(*described) == {"label_std"}


def test_pictures_in_memory_are_told_apart_by_what_they_show():
    """Both have the same shape, rows and labels, and neither has a file."""
    training, validation = small_faces()
    before = training.fingerprint, validation.fingerprint
    other = training.cache.array.copy()
    other[-1, 19, 2] ^= 1
    training.cache = validation.cache = replace(training.cache, array=other)
    assert training.fingerprint != before[0]
    assert validation.fingerprint != before[1]
