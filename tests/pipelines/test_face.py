"""The model of faces that ships: what a label says, and what training, validation and test are given."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from agegender.data.manifest import build_manifest
from agegender.data.splits import audit
from agegender.labels import FAIRFACE_9
from agegender.pipelines import face
from tests.pipelines.faces import ALONE, faces_in_memory, noise

SMALL = replace(face.RECIPE, batch_size=1)


def test_a_label_gives_its_neighbours_a_share_and_every_group_the_rest():
    soft = face.soft_groups(9, own_share=0.8, neighbour_share=0.1)
    rest = 0.1 / 9
    assert_close(soft.sum(1), torch.ones(9))
    assert_close(soft[4, 2:7], torch.tensor([rest, 0.05 + rest, 0.8 + rest, 0.05 + rest, rest]))
    assert_close(soft[0, :3], torch.tensor([0.8 + rest, 0.1 + rest, rest]))


def test_the_loss_is_the_cross_entropy_with_these_shares():
    logits, soft = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]]), face.soft_groups(3, 0.7, 0.2)
    positions = torch.tensor([1.0, 2.0])
    by_hand = -(soft[[1, 2]] * logits.log_softmax(1)).sum(1).mean()
    assert_close(face.soft_cross_entropy(logits, positions, soft), by_hand)


def test_the_net_has_nine_groups_and_gender_on_resnet_18():
    torch.manual_seed(0)
    net = face.build_model()
    assert sum(p.numel() for p in net.parameters()) == 11_176_512 + 513 * (9 + 2)
    decoded = net.eval().decode(net(face.prepare()({"images": torch.from_numpy(noise(2, 64))})))
    assert decoded["p_group"].shape == (2, len(FAIRFACE_9))
    assert decoded["p_female"].shape == (2,)


def test_the_labels_of_both_tasks_are_learnt_softly():
    net = face.build_model()
    sure = {"age": torch.full((1, 9), -50.0), "gender": torch.tensor([[50.0, -50.0]])}
    sure["age"][0, 3] = 50.0
    losses = net.losses(sure, {"age_group": torch.tensor([3]), "gender": torch.tensor([0])})
    assert_close(losses["age"], torch.tensor(100 * (0.1 + 0.1 * 8 / 9)))
    assert_close(losses["gender"], torch.tensor(100 * 0.05))


def test_training_warps_and_the_test_takes_the_centre_at_the_size_of_the_step():
    faces = faces_in_memory(noise(4, 64))
    seen, held, opened = face.batches(SMALL, faces, ALONE, side_px=48, seed=0)
    assert seen[0]["images"].shape == held[0]["images"].shape == opened[0]["images"].shape == (1, 48, 48, 3)
    assert not torch.equal(seen[0]["images"], seen[1]["images"])
    assert seen.transform == replace(SMALL.warp, side_px=48)
    assert held.transform == opened.transform == face.CentreResize(48, SMALL.test_share)
    assert [int(part[0]["age_group"][0]) for part in (seen, held, opened)] == [0, 1, 2]


def test_the_first_size_and_the_second_have_rates_of_their_own_and_the_last_step_counts():
    first, second = (face.training_config(face.RECIPE, side, 1280, 4, seed=3) for side in (64, 112))
    assert (first.learning_rate, second.learning_rate) == (face.RECIPE.first_rate, face.RECIPE.rate)
    assert (first.warmup_share, second.warmup_share) == (0.3, 0.1)
    for config in (first, second):
        assert (config.num_steps, config.validate_every, config.seed) == (40, 10, 3)
        assert (config.schedule, config.decays, config.selects_best) == ("one_cycle", "kernels", False)


def test_a_twentieth_of_the_subjects_is_tested_and_another_calibrates():
    rows = np.arange(2000)
    table = pd.DataFrame({"path": [f"{r}.png" for r in rows], "subject": [f"s{r // 2}" for r in rows]})
    table["age_group"], table["gender"] = pd.array(rows % 9, dtype="Int64"), np.where(rows % 4 < 2, "male", "female")
    examples = build_manifest(table.assign(corpus="c", modality="face"), scheme=FAIRFACE_9).examples
    parts = face.split(examples)
    assert len(parts.test) == pytest.approx(100, abs=20)
    assert len(parts.validation) == pytest.approx(95, abs=20)
    assert (audit(parts.parts(examples))["num_shared"] == 0).all()
