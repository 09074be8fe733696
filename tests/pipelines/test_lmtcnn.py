"""Every switch in which the published LMTCNN and its intent differ: what it is set to, and that it has an effect."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.testing import assert_close

from agegender.corpora import adience
from agegender.data.images import decode_image, sampled, standardise
from agegender.data.manifest import build_manifest
from agegender.data.splits import audit, split_as_published
from agegender.evaluation.published_arithmetic import padded_accuracy
from agegender.labels import ADIENCE_8
from agegender.models.lmtcnn import INPUT_PX
from agegender.pipelines import imdb, levihassner, lmtcnn
from agegender.pipelines.recipes import with_overrides
from tests.pipelines.faces import ALONE, faces_in_memory, noise

PUBLISHED, INTENDED = lmtcnn.RECIPES["as_published"], lmtcnn.RECIPES["as_intended"]


def net(recipe):
    torch.manual_seed(0)
    return lmtcnn.build_model(**lmtcnn.model_facts(recipe, "1-1", ADIENCE_8)).encoder.eval()


def test_there_are_two_settings_and_they_share_only_the_optimiser_and_the_size_of_a_test_batch():
    assert lmtcnn.RECIPES.keys() == {"as_published", "as_intended"}
    same = {f.name for f in fields(lmtcnn.Recipe) if getattr(PUBLISHED, f.name) == getattr(INTENDED, f.name)}
    assert same == {
        "test_batch_size", "learning_rate_of_128", "momentum", "weight_decay", "clip_norm", "optimizer", "decays",
        "decay_factor", "best_by", "dropout", "initial_weights",
    }  # fmt: skip
    assert PUBLISHED.test_batch_size == 128


@pytest.mark.parametrize(
    ("recipe", "literally"),
    [
        (PUBLISHED, nn.LocalResponseNorm(11, alpha=11 * 1e-4, beta=0.75, k=1)),
        (INTENDED, nn.LocalResponseNorm(5, 1e-4, 0.75, 1)),
    ],
    ids=["as_published", "as_intended"],
)
def test_response_is_normalised_over_11_channels_as_published_and_over_5_as_intended(recipe, literally):
    x = 30 * torch.randn(2, 96, 3, 3, generator=torch.Generator().manual_seed(0))
    assert_close(net(recipe).norm1(x), literally(x))


def test_a_published_prediction_depends_on_the_batch_and_an_intended_one_does_not():
    images = torch.from_numpy(noise()[:, :INPUT_PX, :INPUT_PX]).permute(0, 3, 1, 2) / 127.5 - 1
    images[1:] *= torch.tensor([0.1, 0.5, 2.0]).view(3, 1, 1, 1)
    moved = {}
    for name, recipe in lmtcnn.RECIPES.items():
        with torch.no_grad():
            moved[name] = (net(recipe)(images)[:1] - net(recipe)(images[:1])).abs().max().item()
    assert moved["as_published"] > 0.01
    assert moved["as_intended"] < 1e-4


@pytest.mark.parametrize("recipe", [PUBLISHED, INTENDED], ids=["whole", "centre"])
def test_the_published_test_sees_the_edge_of_the_face_and_the_intended_one_does_not(recipe):
    framed = noise(3)
    framed[:, 14:241, 14:241] = 0  # only a frame of 14 and 15 pixels around the centre is left
    _, validation, test = lmtcnn.batches(recipe, faces_in_memory(framed), ALONE, batch_size=1, seed=0)
    for batches, row in ((validation, 1), (test, 2)):
        seen = lmtcnn.prepare()(batches[0])
        assert seen.shape == (1, 3, INPUT_PX, INPUT_PX)
        assert (seen.std() > 0) == (recipe is PUBLISHED)
        assert (batches.batch_size, batches[0]["age_group"].tolist()) == (128, [row])


def test_the_published_training_sees_the_test_faces_squashed_in_decimals_and_the_intended_one_always_another_crop():
    pictures, prepare = noise(3), lmtcnn.prepare()
    exact = sampled(torch.from_numpy(pictures[:1]), INPUT_PX, has_half_pixels=False)[0].double()
    published, intended = (
        lmtcnn.batches(recipe, faces_in_memory(pictures), ALONE, batch_size=1, seed=0)[0]
        for recipe in (PUBLISHED, INTENDED)
    )
    expected = ((exact - exact.mean()) / exact.std(correction=0)).permute(2, 0, 1).float()
    for step in range(3):
        assert_close(prepare(published[step])[0], expected, rtol=1e-4, atol=1e-4)
    rounded = exact.round()
    rounded = ((rounded - rounded.mean()) / rounded.std(correction=0)).permute(2, 0, 1).float()
    assert (rounded - expected).abs().max() > 2e-3  # half a grey level: the comparison above would see it
    assert prepare(intended[0]).shape == (1, 3, INPUT_PX, INPUT_PX)
    assert len({intended[step]["images"].numpy().tobytes() for step in range(3)}) == 3
    contrasts = [intended[step]["contrast"].item() for step in range(200)]
    assert 0.2 <= min(contrasts) < 0.25
    assert 1.75 < max(contrasts) <= 1.8
    assert INTENDED.augmentation.flips


def test_a_crop_of_the_size_of_the_input_is_not_resampled():
    face = torch.from_numpy(noise(1, INPUT_PX))
    assert torch.equal(lmtcnn.prepare()({"images": face}), standardise(face))


@pytest.mark.parametrize("model", ["1-2", "3-1", "", "1-1-celeba"])
def test_only_the_two_published_models_are_built(model):
    with pytest.raises(ValueError, match="model must be '1-1' or '2-1', got"):
        lmtcnn.build_model(**lmtcnn.model_facts(INTENDED, model, ADIENCE_8))


@pytest.mark.parametrize(
    ("pipeline", "published"), [(lmtcnn, "tensorflow_1"), (levihassner, "tensorflow_2"), (imdb, "opencv")]
)
def test_pictures_shrink_as_in_the_published_code_or_by_a_filter(pipeline, published, tmp_path):
    Image.fromarray(noise(1, 300)[0]).save(tmp_path / "face.png")
    row = {"path": ["face.png"], "subject": ["s"], "corpus": ["drawn"], "modality": ["face"]}
    manifest = build_manifest(pd.DataFrame(row), root=tmp_path, is_aligned=True)
    size = (112,) if pipeline is imdb else ()
    for variant, resize in (("as_published", published), ("as_intended", "filtered")):
        faces = pipeline.cache_faces(pipeline.RECIPES[variant], manifest, tmp_path / "cache", *size)
        expected = decode_image(tmp_path / "face.png", 112 if size else 256, resize)
        assert np.array_equal(faces[0], expected)


def test_the_published_lists_lose_one_image_and_share_subjects_with_their_validation():
    subjects = pd.DataFrame({"subject": [f"s{row // 8}" for row in range(400)]})
    folds = np.arange(400) // 80
    lossy, whole = (split_as_published(folds, 0, 0, recipe.is_off_by_one) for recipe in (PUBLISHED, INTENDED))
    assert (len(lossy.train), len(whole.train)) == (320 - 32 - 1, 320 - 32)
    shared = audit(lossy.parts(subjects)).set_index(["part_a", "part_b"])["share_of_b"]
    assert shared["train", "validation"] > 0.5
    assert (PUBLISHED.validation, INTENDED.validation) == ("images", "subjects")


@pytest.mark.parametrize(("recipe", "group"), [(PUBLISHED, None), (INTENDED, 4)], ids=["as_published", "as_intended"])
def test_the_slip_25_23_is_left_out_as_published_and_repaired_as_intended(tmp_path, recipe, group):
    for fold in range(5):
        ages = ["(25, 23)" if fold == 3 else "(4, 6)", "(0, 2)"]
        lines = [f"{fold}@N0\tp{row}.jpg\t{fold}{row}\t{age}\tf" + "\t0" * 7 for row, age in enumerate(ages)]
        text = "\n".join(["\t".join(adience.COLUMNS), *lines])
        (tmp_path / f"fold_{fold}_data.txt").write_text(text + "\n")
    examples = adience.read(tmp_path, labels_only=True, subset="all", repair_25_23=recipe.repairs_25_23).examples
    slip = examples.loc[examples["age_label"] == "(25, 23)", "age_group"].item()
    assert (slip if pd.notna(slip) else None) == group


def test_the_published_denominator_counts_no_face_of_the_last_batch_and_divides_by_it_all_the_same():
    right = np.arange(300) < 100
    published, intended = (padded_accuracy(right, 128, recipe.denominator) for recipe in (PUBLISHED, INTENDED))
    assert published == pytest.approx(100 / 384)
    assert intended == pytest.approx(100 / 300)


def test_the_published_run_keeps_the_last_weights_and_the_intended_one_the_best():
    assert (PUBLISHED.selects_best, INTENDED.selects_best) == (False, True)


def test_dropout_is_a_decision_of_the_recipe_and_published_is_none():
    dropped = with_overrides(INTENDED, {"dropout": 0.7})
    assert [net(recipe).dropout.p for recipe in (PUBLISHED, INTENDED, dropped)] == [0.0, 0.0, 0.7]
