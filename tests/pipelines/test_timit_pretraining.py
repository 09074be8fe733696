"""The pretraining of the TIMIT pipeline: who is learnt, how, and that the fine-tuning may start from it."""

import numpy as np
import pandas as pd
import pytest
import torch

from agegender.data.audio import Crop
from agegender.data.parts import digest_of, parts_of_subjects
from agegender.models.margin import AAMSoftmaxHead
from agegender.pipelines import timit, timit_pretraining
from agegender.pipelines.recipes import with_overrides
from agegender.pipelines.timit_pretraining import Pretraining
from agegender.training.checkpoints import save_weights
from tests.pipelines.configs import check
from tests.pipelines.spoken import clips_of, people, shown

PUBLISHED = Pretraining()
SMALL = Pretraining(width=0.25, num_mels=8)
CROP = Crop(1_000)


def parts_of(table, recipe=PUBLISHED, fold=0):
    examples = clips_of(table, 1).manifest.examples
    held = parts_of_subjects(examples, fold, 0)
    return timit_pretraining.split(recipe, examples, held), examples, held


def batches_of(table, recipe=PUBLISHED, num_samples=2_000):
    parts, *_ = parts_of(table, recipe)
    return timit_pretraining.batches(recipe, clips_of(table, num_samples), parts, CROP, None, 0), parts


def test_the_settings_are_the_published_ones():
    published = {
        "width": 1.0, "num_mels": 80, "pooling": "asp", "embedding_size": 512, "loss": "am", "margin": 0.2,
        "scale": 32.0, "batch_size": 512, "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9,
        "weight_decay": 1e-4,
    }  # fmt: skip
    assert {name: getattr(PUBLISHED, name) for name in published} == published


@pytest.mark.parametrize("fold", [0, 3])
@pytest.mark.parametrize("variant", timit.RECIPES)
def test_nobody_who_is_learnt_is_selected_or_tested_by_in_the_same_fold(fold, variant):
    parts, examples, held = parts_of(people(40, 5), fold=fold)
    tuning = timit.split(timit.RECIPES[variant], examples, held)
    subjects = examples["subject"].to_numpy()
    learnt = set(subjects[parts.train]) | set(subjects[parts.validation])
    assert not learnt & (set(subjects[tuning.validation]) | set(subjects[tuning.test]))
    assert set(subjects[parts.test]) == set(subjects[tuning.test])
    other = parts_of(people(40, 5), fold=fold - 1 if fold else 1)[0]
    assert learnt & set(subjects[other.test])  # else the test could not fail


def test_the_last_clip_of_each_subject_is_kept_and_subjects_with_few_clips_are_left_out():
    table = pd.concat([people(40, 5), people(6, 3).assign(subject="few " + people(6, 3)["subject"])], ignore_index=True)
    parts, examples, _ = parts_of(table)
    kept = examples["subject"].iloc[parts.validation]
    assert kept.is_unique
    assert set(kept) == set(examples["subject"].iloc[parts.train])
    last = examples.index.to_series().groupby(examples["subject"]).max()
    assert sorted(parts.validation) == sorted(last[kept])
    used = np.concatenate([parts.train, parts.validation, parts.test])
    assert not examples["subject"].iloc[used].str.startswith("few").any()
    everybody, *_ = parts_of(table, with_overrides(PUBLISHED, {"least_clips": 2}))
    assert len(np.concatenate([everybody.train, everybody.test])) > len(np.concatenate([parts.train, parts.test]))


def test_without_parts_of_subjects_the_published_split_holds():
    table = people(20, 5)
    table["published_split"] = np.where(table["subject"].isin(["s3", "s7"]), "test", "train")
    examples = clips_of(table, 1).manifest.examples
    parts = timit_pretraining.split(PUBLISHED, examples, None)
    assert set(examples["subject"].iloc[parts.test]) == {"s3", "s7"}
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (18 * 4, 18, 10)


def test_each_part_is_shown_in_its_own_batches_and_a_subject_has_one_number_in_both():
    table = people(40, 5)
    (learnt, kept, strangers), parts = batches_of(table)
    names = np.array([f"{row}.wav" for row in range(len(table))])
    for stream, rows in ((learnt, parts.train), (kept, parts.validation), (strangers, parts.test)):
        assert shown(stream) == set(names[rows])
    number = dict(zip(table["subject"].iloc[parts.train], learnt.targets["subject_index"], strict=True))
    assert sorted(set(number.values())) == list(range(len(parts.validation)))
    assert kept.targets["subject_index"].tolist() == [number[s] for s in table["subject"].iloc[parts.validation]]
    first = learnt[0]["subject_index"].tolist()
    assert len(set(first)) == len(first) == learnt.sampler.batch_size == len(parts.validation)
    assert (kept.settings["num_crops"], strangers.settings["num_crops"]) == (1, 3)


def test_the_schedule_has_the_published_momentum_and_decay_and_a_fall_of_ours():
    recipe = with_overrides(PUBLISHED, {"batch_size": 20})
    (learnt, *_), parts = batches_of(people(60, 12), recipe, num_samples=1)
    config = timit_pretraining.training_config(recipe, learnt, 10, 7)
    steps = len(parts.train) // 20
    shared = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4, "decay_factor": 0.2, "selects_best": False}
    check(config, len(parts.train), **shared, batch_size=20, decay_every=steps * 7)
    assert (config.precision, config.seed) == ("bf16-mixed", 7)


def test_the_encoder_has_the_published_number_of_parameters_and_a_direction_for_each_subject():
    net = timit_pretraining.build_model(PUBLISHED, 11)
    assert sum(p.numel() for p in net.encoder.parameters()) == 8_684_364
    assert net.heads["subject"].directions.shape == (11, 512)
    assert (net.heads["subject"].margin, net.heads["subject"].scale) == (0.2, 32.0)


def test_the_other_margin_and_the_other_pooling_can_be_reached_by_name():
    changes = {"loss": "aam", "margin": 0.3, "scale": 15.0, "pooling": "sap", "embedding_size": 64}
    net = timit_pretraining.build_model(with_overrides(SMALL, changes), 5)
    head = net.heads["subject"]
    assert isinstance(head, AAMSoftmaxHead)
    assert (head.margin, head.scale, tuple(head.directions.shape)) == (0.3, 15.0, (5, 64))


def tuned(**changes):
    recipe = with_overrides(timit.RECIPES["as_intended"], {"width": 0.25, "num_mels": 8} | changes)
    torch.manual_seed(1)
    return timit.build_model(**timit.model_facts(recipe, pd.Series([30.0])))


def test_the_fine_tuning_starts_from_the_encoder_and_refuses_one_that_may_have_met_its_test(tmp_path):
    table = people(40, 5)
    _, examples, held = parts_of(table)
    pretrained, path = timit_pretraining.build_model(SMALL, 5), tmp_path / "model.safetensors"
    save_weights(pretrained, path, {"corpus": "voicepack", "fold": 0, "parts": digest_of(held), "num_clips": 3})
    net = tuned()
    assert timit_pretraining.load_pretrained(net.encoder, path, "voicepack", held)["num_clips"] == 3
    for name, value in pretrained.encoder.state_dict().items():
        assert torch.equal(net.encoder.state_dict()[name], value)
    with pytest.raises(ValueError, match="pretrained on voicepack with other people held back"):
        timit_pretraining.load_pretrained(net.encoder, path, "voicepack", parts_of_subjects(examples, 1, 0))
    with pytest.raises(ValueError, match=r"does not fit the model: .* in the file and .* in the model"):
        timit_pretraining.load_pretrained(tuned(width=0.5).encoder, path, "voicepack", held)
