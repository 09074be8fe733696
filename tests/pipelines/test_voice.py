"""The model of voices that ships: who is in which part, what the net is given, and how its folds become one model."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from agegender.data.splits import audit
from agegender.models.losses import label_distribution_loss
from agegender.pipelines import voice
from agegender.training.checkpoints import load_weights, read_facts, save_weights
from agegender.use.saved import read_model
from tests.pipelines.spoken import clips_of, people, shown

SMALL = replace(voice.RECIPE, num_mels=16, widths=(8, 8), embedding_size=8, crop_s=0.1)
FACTS = {"paper": "voice", "prepare": {}, "input": voice.input_facts(SMALL)}


def two_sources(num_subjects=60, clips_of_each=4):
    table = people(num_subjects, clips_of_each)
    return table.assign(source_corpus=np.where(table["subject"].str[1:].astype(int) < 45, "svd", "speechocean762"))


def net_of(recipe=SMALL, seed=0):
    torch.manual_seed(seed)
    net = voice.build_net(**voice.model_facts(recipe)["net"])
    for head in net.heads.values():
        torch.nn.init.normal_(head.linear.weight, std=10)  # untrained heads say the same of everybody
    return net


def saved(folder, seed, num_nets=1, **more):
    """The file that a run of one fold leaves."""
    path, built = folder / f"{seed}.safetensors", voice.model_facts(SMALL) | {"num_nets": num_nets}
    save_weights(net_of(seed=seed), path, FACTS | {"build_model": built, "fold": seed} | more)
    return path


@pytest.mark.parametrize("fold", [0, 4])
def test_a_fold_has_a_fifth_of_the_subjects_of_each_source_and_shares_none(fold):
    examples = clips_of(two_sources(), 1).manifest.examples
    parts = voice.split(voice.RECIPE, examples, fold)
    assert (audit(parts.parts(examples))["num_shared"] == 0).all()
    assert sum(map(len, vars(parts).values())) == len(examples)
    of_source = examples.iloc[parts.test].groupby("source_corpus")["subject"].nunique()
    assert of_source["svd"] == pytest.approx(9, abs=1)
    assert of_source["speechocean762"] == pytest.approx(3, abs=1)


def test_every_subject_is_tested_in_one_fold():
    examples = clips_of(two_sources(), 1).manifest.examples
    tested = np.concatenate([voice.split(voice.RECIPE, examples, fold).test for fold in range(voice.NUM_FOLDS)])
    assert sorted(tested) == list(range(len(examples)))


def test_training_changes_a_random_crop_and_the_test_takes_even_ones():
    clips = clips_of(two_sources(), 2_000)
    parts = voice.split(SMALL, clips.manifest.examples, 0)
    training, validation, test = voice.batches(SMALL, clips, parts, seed=0)
    for batches, rows in ((training, parts.train), (validation, parts.validation), (test, parts.test)):
        assert shown(batches) == set(clips.manifest.examples["path"].iloc[rows])
    assert training[0]["clips"].shape == (32, 1_600)
    assert validation[0]["clips"].shape[1:] == (1_600,)
    assert test[0]["clips"].shape == (16, SMALL.num_test_crops, 1_600)
    assert training[0]["clips"].dtype == torch.float32  # augmented
    assert training.sampler.most_per_subject == SMALL.most_per_subject


def test_the_net_is_small_enough_for_five_of_them_in_eight_megabytes():
    num_numbers = sum(value.numel() for value in net_of(voice.RECIPE).state_dict().values())
    assert sum(p.numel() for p in net_of(voice.RECIPE).parameters()) == 704_635
    assert 2 * voice.NUM_FOLDS * num_numbers < 8e6


def test_an_age_is_learnt_as_a_distribution_over_years_and_gender_counts_more():
    net, logits = net_of(), {"age": torch.randn(4, 101), "gender": torch.randn(4, 2)}
    age, gender = torch.tensor([20.0, 33.0, 61.0, 8.0]), torch.tensor([0, 1, 1, 0])
    losses = net.losses(logits, {"age": age, "gender": gender})
    assert_close(losses["age"], label_distribution_loss(logits["age"], age, SMALL.label_std, SMALL.expectation_weight))
    assert_close(net.total(losses), losses["age"] + SMALL.gender_weight * losses["gender"])


def test_the_last_step_of_one_cycle_counts():
    clips = clips_of(two_sources(), 2_000)
    training, *_ = voice.batches(SMALL, clips, voice.split(SMALL, clips.manifest.examples, 0), seed=0)
    config = voice.training_config(SMALL, training, num_epochs=4, seed=3)
    an_epoch = training.sampler.num_drawn // 32
    assert (config.num_steps, config.validate_every, config.seed) == (4 * an_epoch, an_epoch, 3)
    assert (config.schedule, config.selects_best, config.optimizer) == ("one_cycle", False, "adam")
    assert (config.learning_rate, config.warmup_share) == (SMALL.learning_rate, SMALL.warmup_share)


def test_a_net_is_built_again_from_facts_that_were_written_as_json():
    expected, facts = net_of(), json.loads(json.dumps(voice.model_facts(SMALL)))
    again = voice.build_model(**facts)
    again.load_state_dict(expected.state_dict())
    clips = torch.randn(2, 1_600)
    assert_close(again.eval()(clips), expected.eval()(clips))


def test_the_gathered_nets_answer_with_their_mean_probabilities_and_are_read_like_any_model(tmp_path):
    files = [saved(tmp_path, seed) for seed in range(3)]
    voice.gather(files, tmp_path / "voice.safetensors")
    model = read_model(tmp_path / "voice.safetensors").model.eval()
    clips, nets = torch.randn(2, 1_600), [net_of(seed=seed).eval() for seed in range(3)]
    with torch.no_grad():
        alone = [net.decode(net(clips)) for net in nets]
        together = model.decode(model(clips))
    for name in ("age", "p_female"):
        answers = torch.stack([answer[name] for answer in alone])
        assert (answers.std(0) > 0.05 * answers.mean(0)).all()
        assert_close(together[name], answers.mean(0), rtol=1e-2, atol=1e-3)  # half precision


def test_gathered_weights_are_in_half_precision_and_say_how_many_they_are(tmp_path):
    files, path = [saved(tmp_path, seed) for seed in range(2)], tmp_path / "voice.safetensors"
    voice.gather(files, path)
    facts = read_facts(path)
    assert facts == FACTS | {"build_model": voice.model_facts(SMALL) | {"num_nets": 2}}
    model = voice.build_model(**facts["build_model"])
    load_weights(model, path)
    weight = model.heads["age"].heads[1].linear.weight
    assert torch.equal(weight, net_of(seed=1).heads["age"].linear.weight.half().float())


def test_nets_that_were_built_in_other_ways_are_not_gathered(tmp_path):
    files = [saved(tmp_path, 0), saved(tmp_path, 1, num_nets=7)]
    with pytest.raises(ValueError, match=r"1\.safetensors is another model than .*0\.safetensors"):
        voice.gather(files, tmp_path / "voice.safetensors")


def test_the_distance_of_gathered_nets_is_the_root_mean_square_of_their_own(tmp_path):
    rng, files, own = np.random.default_rng(0), [], []
    for seed in range(2):
        mean, whitening = rng.normal(size=8).round(3), rng.normal(size=(8, 3)).round(3)
        own.append((mean, whitening))
        known = {
            "age_level": 0.4 + seed / 10,
            "far": 3.0 + seed,
            "mean": mean.tolist(),
            "whitening": whitening.tolist(),
        }
        files.append(saved(tmp_path, seed, uncertainty=known))
    voice.gather(files, tmp_path / "voice.safetensors")
    known = read_model(tmp_path / "voice.safetensors").uncertainty
    assert (known["age_level"], known["far"]) == (pytest.approx(0.45), pytest.approx(3.5))
    embedding = rng.normal(size=16)
    alone = [np.linalg.norm((embedding[8 * n : 8 * n + 8] - mean) @ white) for n, (mean, white) in enumerate(own)]
    together = np.linalg.norm((embedding - known["mean"]) @ known["whitening"])
    assert together == pytest.approx(np.sqrt(np.mean(np.square(alone))), rel=1e-3)
