"""The Common Voice pipeline: every switch between the published setting and its intent, and the wiring of a run."""

import json
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from agegender.data import splits
from agegender.data.balancing import balance_groups
from agegender.data.manifest import build_manifest
from agegender.data.spec_augment import circular_shift, mask_spectrograms
from agegender.labels import COMMON_VOICE_6
from agegender.models.audio_frontend import DecibelMel, raw_audio
from agegender.models.heads import AgeBins, ClassHead
from agegender.pipelines import commonvoice
from agegender.pipelines.commonvoice import NUM_UNIFORMS, RECIPES, AudioInput
from agegender.training.config import optimizer_of
from tests.pipelines.configs import check
from tests.pipelines.spoken import clips_of, people, shown

PUBLISHED, INTENDED = RECIPES["as_published"], RECIPES["as_intended"]
SHARED = {
    "learning_rate", "weight_decay", "validation_share", "patience", "has_equal_subjects", "optimizer", "best_by",
}  # fmt: skip
BOTH = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
SMALL = AudioInput(rate_hz=16_000, num_samples=4_000, n_fft=512, hop=160)


def net_of(recipe, encoder, audio=SMALL):
    torch.manual_seed(0)
    return commonvoice.build_model(**commonvoice.model_facts(recipe, encoder, audio, COMMON_VOICE_6))


def batches_of(recipe, encoder="cnn", seed=0, num_samples=4_000):
    table = people(60, 2)
    table["age_group"] = pd.array(np.arange(120) // 2 % 6, "Int64")
    clips = clips_of(table, num_samples, SMALL.rate_hz, COMMON_VOICE_6)
    parts = commonvoice.split(recipe, clips.manifest.examples, 0, seed)
    return commonvoice.batches(recipe, encoder, SMALL, clips, parts, seed), parts, clips.manifest.examples


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
    assert RECIPES.keys() == {"as_published", "as_intended"}
    same = {f.name for f in fields(commonvoice.Recipe) if getattr(PUBLISHED, f.name) == getattr(INTENDED, f.name)}
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


@BOTH
def test_adam_acts_with_these_settings_on_every_parameter(recipe):
    net, ((training, *_), *_) = net_of(recipe, "tcn1"), batches_of(recipe, "tcn1")
    [group] = optimizer_of(net, commonvoice.training_config(recipe, "tcn1", training, 10, 0)).param_groups
    assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-3, 1e-6, (0.9, 0.999))
    assert sum(p.numel() for p in group["params"]) == 12_854


@pytest.mark.parametrize(("encoder", "rate"), [("cnn", 1e-4), ("cnntext", 1e-4), ("rnn", 1e-3), ("tcn2", 1e-3)])
def test_training_is_adam_with_one_rate_and_an_early_end(encoder, rate):
    shared = {"optimizer": "adam", "weight_decay": 1e-6, "best_by": "loss", "patience": 4}
    own = {PUBLISHED: (1 if encoder == "tcn2" else 2, 1e-3, "32-true"), INTENDED: (32, rate, "bf16-mixed")}
    for recipe, (batch_size, learning_rate, precision) in own.items():
        (training, *_), parts, _ = batches_of(recipe, encoder)
        config = commonvoice.training_config(recipe, encoder, training, 10, 7)
        check(config, len(parts.train), **shared, batch_size=batch_size, learning_rate=learning_rate)
        assert (config.precision, config.seed) == (precision, 7)


def test_a_split_by_clip_tests_people_who_were_trained_on_and_one_by_subject_does_not():
    examples = volunteers([12] * 60).examples
    shared = {}
    for recipe in (PUBLISHED, INTENDED):
        split = commonvoice.split(recipe, examples, 0, 0)
        sizes = [len(part) / len(examples) for part in split.parts(examples).values()]
        assert sizes == pytest.approx([0.64, 0.16, 0.2], abs=0.04)
        found = splits.audit(split.parts(examples)).set_index(["part_a", "part_b"])
        shared[recipe.split] = found.loc[("train", "test"), "share_of_b"]
    assert shared == {"clip": pytest.approx(1.0, abs=0.02), "subject": 0.0}


def test_equal_subjects_are_those_who_train_in_the_split_by_subject():
    examples = volunteers([12] * 60).examples
    apart = commonvoice.split(INTENDED, examples, 1, 3)
    _, recipe = commonvoice.recipe_of("cnn-byclip-equal", "as_intended", {})
    equal = commonvoice.split(recipe, examples, 1, 3)
    known = set(examples["subject"].iloc[apart.train])
    train, validation, test = (set(part["subject"]) for part in equal.parts(examples).values())
    assert train == known
    assert validation | test <= known
    by_clip = commonvoice.split(replace(recipe, has_equal_subjects=False), examples, 1, 3)
    assert set(equal.test) < set(by_clip.test)


@BOTH
def test_all_folds_test_each_clip_once_whatever_the_seed(recipe):
    examples = volunteers([12] * 60).examples
    tested = [commonvoice.split(recipe, examples, fold, seed=fold).test for fold in range(5)]
    assert sorted(np.concatenate(tested)) == list(range(len(examples)))
    first, second = (commonvoice.split(recipe, examples, 0, seed) for seed in (0, 1))
    assert np.array_equal(first.test, second.test)
    assert not np.array_equal(first.validation, second.validation)


@BOTH
def test_each_part_is_shown_in_its_own_batches(recipe):
    batches, parts, examples = batches_of(recipe)
    for stream, rows in zip(batches, (parts.train, parts.validation, parts.test), strict=True):
        assert shown(stream) == set(examples["path"].iloc[rows])
        assert stream.targets["age_group"].tolist() == examples["age_group"].iloc[rows].tolist()


@BOTH
@pytest.mark.parametrize("encoder", ["cnn", "bigru", "tcn1"])
def test_training_is_augmented_and_the_rest_only_as_published_and_waveforms_never(recipe, encoder):
    batches, _, _ = batches_of(recipe, encoder)
    is_augmented = ["uniforms" in stream[0] for stream in batches]
    of_spectrograms = [True, recipe is PUBLISHED, recipe is PUBLISHED]
    assert is_augmented == ([False] * 3 if encoder == "tcn1" else of_spectrograms)
    assert commonvoice.num_uniforms(encoder) == (0 if encoder == "tcn1" else NUM_UNIFORMS)


def test_a_clip_is_alone_wherever_it_would_hear_the_others():
    _, test = batches_of(PUBLISHED, "tcn1")[0][1:]
    assert test.batch_size == commonvoice.input_facts(PUBLISHED, "tcn1", SMALL)["batch_size"] == 1
    for recipe, encoder in ((PUBLISHED, "cnn"), (INTENDED, "tcn1")):
        assert batches_of(recipe, encoder)[0][2].batch_size == 64
        assert commonvoice.input_facts(recipe, encoder, SMALL)["batch_size"] == 32


def test_balancing_by_clip_lets_prolific_subjects_be_prolific_and_a_cap_does_not():
    found = volunteers([300] * 6 + [5] * 120)
    most = {}
    for name, recipe in RECIPES.items():
        kept = balance_groups(found, most_per_subject=recipe.most_per_subject).examples
        sizes = kept["age_group"].value_counts()
        assert sizes.min() == sizes.max()
        most[name] = kept.groupby("subject").size().max()
    assert most["as_published"] == 300
    assert most["as_intended"] == 12 == INTENDED.most_per_subject


def test_what_is_tested_is_distorted_as_published_and_left_alone_as_intended():
    heard = prepare()
    moved = {}
    for name, recipe in RECIPES.items():
        test = batches_of(recipe)[0][2]
        plain = heard({"clips": test[0]["clips"]})
        assert_close(heard(test[0]), heard(test[0]))  # the same whenever it is asked
        moved[name] = (heard(test[0]) - plain).abs().mean()
    assert moved["as_intended"] == 0
    assert moved["as_published"] > 1


def tcn(recipe):
    return net_of(recipe, "tcn1").encoder.eval()


def test_the_published_recurrence_runs_from_clip_to_clip_and_the_intended_one_does_not():
    clips = torch.randn(3, 1_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        moved = {n: (tcn(r)(clips)[1:2] - tcn(r)(clips[1:2])).abs().max() for n, r in RECIPES.items()}
    assert moved["as_published"] > 1e-4
    assert moved["as_intended"] < 1e-6


def test_with_the_published_batch_of_one_only_the_end_of_a_clip_is_heard():
    clip = torch.randn(PUBLISHED.batch_size_of_tcn, 4_000, generator=torch.Generator().manual_seed(0))
    other = clip.clone()
    other[:, :2_000] *= 20  # far before what the last frame can see
    with torch.no_grad():
        moved = {name: (tcn(r)(clip) - tcn(r)(other)).abs().max() for name, r in RECIPES.items()}
    assert moved["as_published"] == 0
    assert moved["as_intended"] > 0


PARAMETERS = {"cnn": 393_182, "cnntext": 105_182, "tcn1": 12_854}


@pytest.mark.parametrize("encoder", commonvoice.ENCODERS)
def test_every_net_is_built_again_from_facts_that_were_written_as_json(encoder):
    audio = commonvoice.AUDIO_INPUTS["speechocean762"]
    facts = commonvoice.model_facts(INTENDED, encoder, audio, COMMON_VOICE_6)
    net, again = net_of(INTENDED, encoder, audio), commonvoice.build_model(**json.loads(json.dumps(facts)))
    again.load_state_dict(net.state_dict())
    clips = torch.from_numpy(np.random.default_rng(0).integers(-9_000, 9_000, (2, audio.num_samples), dtype=np.int16))
    read = commonvoice.prepare(**json.loads(json.dumps(commonvoice.prepare_facts(encoder, audio))))
    with torch.no_grad():
        said = [model.eval().decode(model(read({"clips": clips})))["p_group"] for model in (net, again)]
    assert_close(*said)
    assert said[0].shape == (2, 6)
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS.get(
        encoder, sum(p.numel() for p in again.parameters())
    )


def test_an_unknown_encoder_is_refused():
    with pytest.raises(ValueError, match="unknown encoder 'lstm': expected one of cnn, cnntext"):
        net_of(INTENDED, "lstm")


@pytest.mark.parametrize(
    ("model", "encoder", "changes"),
    [
        ("cnn", "cnn", {}),
        ("cnntext", "cnntext", {}),
        ("tcn2-byclip", "tcn2", {"split": "clip"}),
        ("bigru-byclip-equal", "bigru", {"split": "clip", "has_equal_subjects": True}),
    ],
)
def test_the_name_of_a_model_says_its_encoder_and_its_split(model, encoder, changes):
    found = commonvoice.recipe_of(model, "as_intended", {"batch_size": 8})
    assert found == (encoder, replace(INTENDED, batch_size=8, **changes))
    assert commonvoice.recipe_of(model, "as_published", {}) == (encoder, replace(PUBLISHED, **changes))


@pytest.mark.parametrize("model", ["lstm", "cnn-equal", "cnn-byclip-equal-", "cnn-bysubject", ""])
def test_an_unknown_model_is_refused(model):
    with pytest.raises(ValueError, match=f"unknown model '{model}': cnn, cnntext, .* then nothing, -byclip or"):
        commonvoice.recipe_of(model, "as_intended", {})


def batch(num=3, seed=0, **more):
    clips = np.random.default_rng(seed).integers(-20_000, 20_000, (num, SMALL.num_samples), dtype=np.int16)
    return {"clips": torch.from_numpy(clips), **more}


def uniforms(num=3, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).random((num, NUM_UNIFORMS), dtype=np.float32))


def prepare(encoder="cnn", audio=SMALL):
    return commonvoice.prepare(**commonvoice.prepare_facts(encoder, audio))


def test_both_corpora_give_the_512_frames_of_the_published_net_and_the_published_one_5_46_s():
    assert set(commonvoice.AUDIO_INPUTS) == {"commonvoice", "speechocean762"}
    published = commonvoice.AUDIO_INPUTS["commonvoice"]
    assert (published.rate_hz, published.num_samples, published.n_fft, published.hop) == (48_000, 262_080, 1024, 512)
    assert published.num_samples / published.rate_hz == 5.46
    for audio in commonvoice.AUDIO_INPUTS.values():
        clips = torch.zeros(1, audio.num_samples, dtype=torch.int16)
        assert prepare(audio=audio)({"clips": clips}).shape == (1, 64, 512)


def test_a_clip_is_read_from_its_beginning_with_silence_behind():
    expected = {"num_samples": 4_000, "is_looped": False, "is_random": False}
    assert commonvoice.input_facts(INTENDED, "cnn", SMALL)["crop"] == vars(SMALL.crop) == expected


def test_without_uniforms_a_spectrogram_is_that_of_the_clip_in_decibels():
    heard = prepare()(batch())
    assert_close(heard, DecibelMel(16_000, 512, 160)(batch()["clips"].float() / 32768))
    assert heard.shape == (3, 64, SMALL.num_frames)


def test_with_uniforms_the_clip_is_shifted_by_the_first_and_its_spectrogram_masked_by_the_others():
    numbers = uniforms()
    heard = prepare()(batch(uniforms=numbers))
    shifted = circular_shift(batch()["clips"].float() / 32768, numbers[:, 0])
    assert_close(heard, mask_spectrograms(DecibelMel(16_000, 512, 160)(shifted), numbers[:, 1:]))
    assert not torch.allclose(heard, prepare()(batch()))


def test_what_is_heard_of_a_clip_does_not_depend_on_the_others():
    numbers, whole = uniforms(), batch()["clips"]
    together = prepare()({"clips": whole, "uniforms": numbers})
    assert_close(together[1:2], prepare()({"clips": whole[1:2], "uniforms": numbers[1:2]}))


@pytest.mark.parametrize("encoder", ["tcn1", "tcn2"])
def test_waveforms_are_at_8_khz_and_not_augmented(encoder):
    heard = prepare(encoder)(batch())
    assert heard.shape == (3, 2_000)
    assert_close(heard, raw_audio(batch()["clips"].float() / 32768, 16_000))
    assert_close(prepare(encoder)(batch(uniforms=uniforms())), heard)
    assert heard.abs().max() <= 1.5


def test_uniforms_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"uniforms must have the shape \(3, 8\)"):
        prepare()(batch(uniforms=uniforms()[:, :-1]))
