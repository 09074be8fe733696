"""What is measured of a model's mistakes, and what a prediction then says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from agegender.data.cache import examples_in_memory
from agegender.data.manifest import build_manifest
from agegender.evaluation import age_distributions
from agegender.labels import FAIRFACE_9
from agegender.models.heads import GENDER, AgeBins, ClassHead
from agegender.models.multitask import MultiTaskModel
from agegender.use.model import FAR, Model
from agegender.use.saved import SavedModel, heated
from agegender.use.uncertainty import LEAST_HELD, familiarity, measure, temperature

MIDDLES = np.array(FAIRFACE_9.midpoints)


class Brightness(nn.Module):
    """An encoder whose two features are the mean of a picture's red and green channels, from -1 to 1."""

    def forward(self, images):
        return images.mean((2, 3))[:, :2] / 127.5 - 1


def net_of_brightness():
    """Red says the age and green the gender, far too surely."""
    age, gender = ClassHead(2, AgeBins(FAIRFACE_9)), ClassHead(2, GENDER)
    with torch.no_grad():
        middles = torch.from_numpy(np.linspace(-1, 1, 9)).float()
        age.linear.weight.copy_(400 * torch.stack([middles, 0 * middles], 1))
        age.linear.bias.copy_(-200 * middles**2)
        gender.linear.weight.copy_(torch.tensor([[0.0, -50.0], [0.0, 50.0]]))
    return MultiTaskModel(Brightness(), {"age": age, "gender": gender})


def faces(number, seed, noise=0.25):
    """Plain pictures whose red is the group and whose green is the gender, both noisy, with their labels."""
    rng = np.random.default_rng(seed)
    group, female = rng.integers(0, 9, number), rng.integers(0, 2, number)
    red = (group / 4 - 1 + rng.normal(0, noise, number)).clip(-1, 1)
    green = (female * 2 - 1) * 0.3 + rng.normal(0, noise, number)
    colours = np.stack([red, green.clip(-1, 1), np.zeros(number)], 1)
    pixels = np.broadcast_to((colours * 127 + 127).astype(np.uint8)[:, None, None], (number, 8, 8, 3)).copy()
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(number)], "subject": [f"{r}" for r in range(number)]})
    table["age_group"], table["gender"] = pd.array(group, dtype="Int64"), np.where(female, "female", "male")
    manifest = build_manifest(table.assign(corpus="plain", modality="face"), scheme=FAIRFACE_9)
    return replace(examples_in_memory(list(pixels)), manifest=manifest)


@pytest.fixture(scope="module")
def saved():
    reads = {"decoded_px": 8, "crop_px": None, "resize": "filtered"}
    facts = {"paper": "plain", "input": reads}
    net = SavedModel(net_of_brightness(), lambda batch: batch["images"].permute(0, 3, 1, 2).float(), facts)
    return replace(net, facts=facts | {"uncertainty": measure(net, faces(500, 0), faces(800, 1))})


def test_the_temperature_is_the_one_at_which_probabilities_mean_what_they_say():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(5), 20_000)
    classes = (rng.random((20_000, 1)) > honest.cumsum(1)).sum(1)
    assert temperature(honest, classes) == pytest.approx(1, abs=0.03)
    assert temperature(heated(honest, 0.5), classes) == pytest.approx(2, abs=0.06)


def test_a_model_that_is_too_sure_is_cooled(saved):
    known = saved.uncertainty
    assert known["age_temperature"] > 2
    assert known["gender_temperature"] > 2
    probabilities = np.array([[0.001, 0.999]])
    assert saved.tempered(probabilities, "gender")[0, 1] < 0.98


def test_the_interval_holds_nine_of_ten_ages_of_others(saved):
    others = faces(2000, 2)
    table = Model(saved, torch.device("cpu"), "32-true").predict([others[row] for row in range(2000)])
    groups = others.manifest.examples["age_group"].to_numpy(np.int64)
    rng = np.random.default_rng(3)
    true = rng.uniform(np.array(FAIRFACE_9.lower)[groups], np.array(FAIRFACE_9.upper)[groups])
    assert np.mean((table["age_low"] <= true) & (true <= table["age_high"])) == pytest.approx(0.9, abs=0.04)
    assert (table["age_low"] < table["age"]).all()
    assert (table["age"] < table["age_high"]).all()


def test_with_few_held_back_people_there_is_no_interval(saved):
    facts = {name: value for name, value in saved.facts.items() if name != "uncertainty"}
    known = measure(replace(saved, facts=facts), faces(60, 0), faces(LEAST_HELD - 1, 1))
    assert "age_level" not in known
    assert known["age_temperature"] > 1


def test_far_is_measured_in_the_spread_of_the_training():
    rng = np.random.default_rng(0)
    training = rng.normal(5, 1, (2000, 3)) * (1, 10, 0.1)
    known = familiarity(training, rng.normal(5, 1, (2000, 3)) * (1, 10, 0.1))
    whitening = np.array(known["whitening"])
    inverse = np.linalg.inv(np.cov(training.T))
    points = rng.normal(5, 3, (20, 3)) * (1, 10, 0.1)
    by_hand = [np.sqrt((p - training.mean(0)) @ inverse @ (p - training.mean(0))) for p in points]
    assert np.linalg.norm((points - known["mean"]) @ whitening, axis=1) == pytest.approx(by_hand, rel=2e-3)
    assert known["far"] == pytest.approx(3.58, abs=0.4)  # of three independent directions, 99.5 % lie below


def test_what_lies_far_from_the_training_is_flagged_and_the_rest_is_not(saved):
    model = Model(saved, torch.device("cpu"), "32-true")
    usual = faces(400, 5)
    assert np.mean([FAR in flags for flags in model.predict([usual[row] for row in range(400)])["flags"]]) < 0.03
    odd = saved.facts["uncertainty"] | {"mean": [9.0, 9.0]}
    elsewhere = replace(saved, facts=saved.facts | {"uncertainty": odd})
    assert Model(elsewhere, torch.device("cpu"), "32-true").predict(usual[0])["flags"].tolist() == [FAR]


def test_an_embedding_that_is_no_number_is_far(saved):
    assert saved.is_far(np.array([[np.nan, 0.0]])).tolist() == [True]


def test_the_age_is_the_median_of_the_cooled_distribution(saved):
    face = faces(1, 7)[0]
    table = Model(saved, torch.device("cpu"), "32-true").predict(face, distributions=True)
    below = np.array(table["p_age_below"].to_list())
    assert table["age"].tolist() == pytest.approx(age_distributions.quantiles(below, [0.5])[:, 0].tolist())
    level = saved.uncertainty["age_level"]
    bounds = age_distributions.central_interval(below, level)[0]
    assert table[["age_low", "age_high"]].iloc[0].tolist() == pytest.approx(bounds.tolist())
