"""Every switch in which the published Common Voice pipeline and its intent differ: both settings, and their effect."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from agegender.data import splits
from agegender.data.audio import Crop, EvenCrops
from agegender.data.balancing import balance_groups
from agegender.data.batches import EvaluationBatches
from agegender.data.cache import ExampleCache
from agegender.data.manifest import build_manifest
from agegender.labels import COMMON_VOICE_6
from agegender.models.heads import AgeBins, ClassHead
from agegender.models.multitask import MultiTaskModel
from agegender.models.speech_sequence import SpeechTCN
from agegender.training.commonvoice_recipes import COMMONVOICE_RECIPES, CommonVoiceRecipe
from agegender.training.config import optimizer_of
from agegender.training.hearing import NUM_UNIFORMS, Hearing
from tests.training import notebook_configs

PUBLISHED, INTENDED = COMMONVOICE_RECIPES["as_published"], COMMONVOICE_RECIPES["as_intended"]
SHARED = {"learning_rate", "weight_decay", "validation_share", "patience"}
BOTH = pytest.mark.parametrize("recipe", COMMONVOICE_RECIPES.values(), ids=COMMONVOICE_RECIPES)


def volunteers(clips_of):
    """A manifest in which subject ``number`` has ``clips_of[number]`` clips; subjects take the age groups in turns."""
    rows = [
        {"path": f"{number}_{clip}.mp3", "subject": f"s{number}", "age_group": number % len(COMMON_VOICE_6)}
        for number, clips in enumerate(clips_of)
        for clip in range(clips)
    ]
    table = pd.DataFrame(rows).assign(corpus="commonvoice", modality="voice", gender="female")
    return build_manifest(table, scheme=COMMON_VOICE_6)


def test_there_are_two_settings_and_they_differ_in_every_switch_but_the_published_schedule():
    assert COMMONVOICE_RECIPES.keys() == {"as_published", "as_intended"}
    same = {f.name for f in fields(CommonVoiceRecipe) if getattr(PUBLISHED, f.name) == getattr(INTENDED, f.name)}
    assert same == SHARED
    assert (PUBLISHED.weight_decay, PUBLISHED.patience, PUBLISHED.validation_share) == (1e-6, 4, 0.2)


def test_the_published_rate_and_sizes_of_a_batch_are_those_of_the_notebooks():
    assert (PUBLISHED.learning_rate, PUBLISHED.batch_size, PUBLISHED.batch_size_of_tcn) == (1e-3, 2, 1)
    assert INTENDED.batch_size == INTENDED.batch_size_of_tcn == 32
    assert (PUBLISHED.learning_rate_of_cnn, INTENDED.learning_rate_of_cnn) == (1e-3, 1e-4)


@BOTH
def test_a_first_step_of_the_cnn_changes_its_answers_by_tens_as_published_and_by_a_tenth_of_that_as_intended(recipe):
    """All features move at once: with Adam's first step each weight of the head moves by the learning rate."""
    torch.manual_seed(0)
    head = ClassHead(63_240, AgeBins(COMMON_VOICE_6), init="torch")
    features = torch.randn(4, 63_240)  # what the last batch normalisation of the net leaves
    adam = torch.optim.Adam(head.parameters(), recipe.learning_rate_of_cnn)
    before = head(features)
    head.loss(before, torch.tensor([0, 1, 2, 3])).backward()
    adam.step()
    moved = (head(features) - before).abs().max().item()
    assert recipe.learning_rate_of_cnn * 63_240 * 0.2 < moved < recipe.learning_rate_of_cnn * 63_240


@pytest.mark.parametrize("variant", ["as_published", "as_intended"])
def test_adam_acts_with_these_settings_on_every_parameter(variant):
    encoder = SpeechTCN(1)
    net = MultiTaskModel(encoder, {"age": ClassHead(encoder.out_features, AgeBins(COMMON_VOICE_6), init="torch")})
    [group] = optimizer_of(net, notebook_configs.commonvoice(variant, "tcn1")).param_groups
    assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-3, 1e-6, (0.9, 0.999))
    assert sum(p.numel() for p in group["params"]) == 12_854


def test_a_split_by_clip_tests_people_who_were_trained_on_and_one_by_subject_does_not():
    examples = volunteers([12] * 60).examples
    shared = {}
    for recipe in (PUBLISHED, INTENDED):
        if recipe.split == "clip":
            split = splits.split_by_clip(examples, splits.clip_folds(examples), 0, 0, recipe.validation_share)
        else:
            split = splits.split_by_subject(examples, splits.subject_folds(examples), 0, 0, recipe.validation_share)
        sizes = [len(part) / len(examples) for part in split.parts(examples).values()]
        assert sizes == pytest.approx([0.64, 0.16, 0.2], abs=0.04)
        found = splits.audit(split.parts(examples)).set_index(["part_a", "part_b"])
        shared[recipe.split] = found.loc[("train", "test"), "share_of_b"]
    assert shared == {"clip": pytest.approx(1.0, abs=0.02), "subject": 0.0}


def test_balancing_by_clip_lets_prolific_subjects_be_prolific_and_a_cap_does_not():
    found = volunteers([300] * 6 + [5] * 120)
    most = {}
    for name, recipe in COMMONVOICE_RECIPES.items():
        kept = balance_groups(found, most_per_subject=recipe.most_per_subject).examples
        sizes = kept["age_group"].value_counts()
        assert sizes.min() == sizes.max()
        most[name] = kept.groupby("subject").size().max()
    assert most["as_published"] == 300
    assert most["as_intended"] == 12 == INTENDED.most_per_subject


def test_what_is_tested_is_distorted_as_published_and_left_alone_as_intended():
    hearing = Hearing(rate_hz=16_000, num_samples=4_000, n_fft=512, hop=160)
    samples = np.random.default_rng(0).integers(-9_000, 9_000, 6 * 4_000, dtype=np.int16)
    manifest = volunteers([1] * 6)
    cache = ExampleCache(manifest, samples, np.arange(6) * 4_000, np.full(6, 4_000), 16_000)
    plain = hearing.spectrograms()({"clips": torch.from_numpy(samples.reshape(6, 4_000))})
    heard = {}
    for name, recipe in COMMONVOICE_RECIPES.items():
        crops = EvenCrops(Crop(4_000), num_uniforms=NUM_UNIFORMS if recipe.augments_evaluation else 0)
        tested = EvaluationBatches(cache, {}, 6, crops)
        heard[name] = hearing.spectrograms()(tested[0])
        assert_close(heard[name], hearing.spectrograms()(tested[0]))  # the same whenever it is asked
    assert_close(heard["as_intended"], plain)
    assert (heard["as_published"] - plain).abs().mean() > 1


def tcn(recipe):
    torch.manual_seed(0)
    return SpeechTCN(1, recipe.recurrence).eval()


def test_the_published_recurrence_runs_from_clip_to_clip_and_the_intended_one_does_not():
    clips = torch.randn(3, 1_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        moved = {n: (tcn(r)(clips)[1:2] - tcn(r)(clips[1:2])).abs().max() for n, r in COMMONVOICE_RECIPES.items()}
    assert moved["as_published"] > 1e-4
    assert moved["as_intended"] < 1e-6


def test_with_the_published_batch_of_one_only_the_end_of_a_clip_is_heard():
    clip = torch.randn(PUBLISHED.batch_size_of_tcn, 4_000, generator=torch.Generator().manual_seed(0))
    other = clip.clone()
    other[:, :2_000] *= 20  # far before what the last frame can see
    with torch.no_grad():
        moved = {name: (tcn(r)(clip) - tcn(r)(other)).abs().max() for name, r in COMMONVOICE_RECIPES.items()}
    assert moved["as_published"] == 0
    assert moved["as_intended"] > 0
