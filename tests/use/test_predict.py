import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from agegender.cli import main
from agegender.data.face_alignment import cache_aligned_faces
from agegender.data.images import decode_image, normalise, standardise
from agegender.data.manifest import build_manifest
from agegender.labels import ADIENCE_8
from agegender.pipelines import imdb, levihassner, lmtcnn
from agegender.training.checkpoints import save_weights
from agegender.use import faces
from agegender.use.model import COLUMNS, load_model
from tests.photographs import draw, photo_of

STANDARDISED = {"decoded_px": 256, "crop_px": 227, "resize": "filtered"}


def of_weights(path):
    """The model in the precision of the test."""
    return load_model(path, precision="32-true")


def write_model(path, uses_batch_statistics_at_test=False, **changes):
    torch.manual_seed(0)
    built = lmtcnn.model_facts(lmtcnn.RECIPES["as_intended"], "1-1", ADIENCE_8)
    built |= {"uses_batch_statistics_at_test": uses_batch_statistics_at_test}
    model = lmtcnn.build_model(**built)
    encoder = model.encoder
    for layer in (encoder.full1, encoder.full2, model.heads["age"].linear, model.heads["gender"].linear):
        torch.nn.init.normal_(layer.weight, std=0.05)  # so that faces are told apart without training
    facts = {"paper": "lmtcnn", "build_model": built, "prepare": {}, "input": STANDARDISED}
    save_weights(model, path, facts | changes)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("use")
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((300, 300)).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_equals_the_model_called_by_hand_with_the_preprocessing_of_the_test(folder):
    model = write_model(folder / "model.safetensors").eval()
    face = torch.from_numpy(decode_image(folder / "1.png", 256)[14:241, 14:241].copy())[None]
    with torch.no_grad():
        said = model.decode(model(standardise(face)))
    table = of_weights(folder / "model.safetensors").predict(folder / "1.png", aligned=True)
    assert table["age"][0] == pytest.approx(float(said["age"]), abs=1e-4)
    assert table["p_female"][0] == pytest.approx(float(said["p_female"]), abs=1e-6)
    assert table["age_group"][0] == ADIENCE_8.labels[int(said["p_group"].argmax())]
    assert table[["path", "kind", "index", "box"]].iloc[0].tolist() == [str(folder / "1.png"), "face", 0, None]
    assert list(table) == list(COLUMNS)


def test_a_face_gets_the_same_answer_in_any_company(folder):
    write_model(folder / "model.safetensors")
    predictor = of_weights(folder / "model.safetensors")
    together = predictor.predict([folder / f"{number}.png" for number in range(3)], aligned=True)
    alone = predictor.predict(folder / "2.png", aligned=True)
    assert together["age"][0] != pytest.approx(together["age"][2], abs=1e-3)  # else the test could not fail
    assert alone["age"][0] == pytest.approx(together["age"][2], abs=1e-4)


@pytest.fixture
def photos(tmp_path):
    """A photograph of one drawn person, and one of nobody."""
    photo_of(draw(160)).save(tmp_path / "person.png")
    Image.new("RGB", (99, 80)).save(tmp_path / "nobody.png")
    return [tmp_path / "person.png", tmp_path / "nobody.png"]


def test_a_photograph_is_prepared_as_the_training_prepared_its_faces(photos, tmp_path):
    rows = pd.DataFrame({"path": [path.name for path in photos], "subject": ["p", "n"]})
    manifest = build_manifest(rows.assign(corpus="photos", modality="face"), root=tmp_path)
    trained_on = cache_aligned_faces(manifest, tmp_path / "cache", 240, "tight")
    write_model(tmp_path / "model.safetensors", alignment={"crop": "tight", "size_px": 240})
    predictor = of_weights(tmp_path / "model.safetensors")
    table = predictor.predict(photos)
    assert table["problem"].fillna("").tolist() == ["", "no face"]
    by_hand = predictor.predict(trained_on[0])
    assert table["age"][0] == pytest.approx(by_hand["age"][0], abs=1e-4)
    assert predictor.predict(photos, aligned=True)["problem"].isna().all()
    assert predictor.predict(photos[:1], aligned=True)["age"][0] != pytest.approx(table["age"][0], abs=1e-3)


def test_every_face_of_a_photograph_has_a_row_and_a_box_in_the_pixels_of_the_file(tmp_path):
    write_model(tmp_path / "model.safetensors")
    wide = Image.new("RGB", (1600, 640), (196, 205, 200))
    for number, left in enumerate((100, 960)):
        wide.paste(draw(480, number), (left, 80))
    wide.save(tmp_path / "two.png")
    table = of_weights(tmp_path / "model.safetensors").predict(tmp_path / "two.png")
    assert table["index"].tolist() == [0, 1]
    assert table["flags"].tolist() == ["several faces"] * 2
    for (left, top, right, bottom), start in zip(table["box"], (100, 960), strict=True):
        assert start < (left + right) / 2 < start + 480
        assert 80 < (top + bottom) / 2 < 560
        assert right - left > 150
    assert table["age"][0] != pytest.approx(table["age"][1], abs=1e-3)


def test_without_the_detector_the_command_says_what_to_install(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "facenet_pytorch.models.mtcnn", None)
    faces.detector.cache_clear()
    write_model(tmp_path / "model.safetensors")
    assert main(["predict", str(photos[0]), "--model", str(tmp_path / "model.safetensors")]) == 2
    assert "pip install --no-deps facenet-pytorch==" in capsys.readouterr().err


def test_an_unreadable_file_keeps_its_row_and_says_why(folder):
    write_model(folder / "model.safetensors")
    files = [folder / "broken.jpg", folder / "0.png", folder / "missing.png"]
    table = of_weights(folder / "model.safetensors").predict(files, aligned=True)
    assert table["path"].tolist() == [str(file) for file in files]
    assert table["problem"].notna().tolist() == [True, False, True]
    assert "neither a picture nor a recording" in table["problem"][0]
    assert "no such file" in table["problem"][2]
    assert table["age"].isna().tolist() == [True, False, True]


def test_only_unreadable_files_make_a_table_of_problems(folder):
    write_model(folder / "model.safetensors")
    table = of_weights(folder / "model.safetensors").predict(folder / "broken.jpg")
    assert list(table) == list(COLUMNS)
    assert table[["age", "p_female", "age_group"]].isna().all(axis=None)


def test_few_files_are_in_memory_at_once_and_the_table_is_that_of_all(folder):
    """However many files are given: unreadable ones keep their places between batches."""
    write_model(folder / "model.safetensors")
    names = ["0.png", "broken.jpg", "1.png", "2.png", "missing.png", "0.png", "1.png", "broken.jpg"]
    predictor, files = of_weights(folder / "model.safetensors"), [folder / name for name in names]
    whole = predictor.predict(files, aligned=True)
    chunks = list(predictor.chunks(files, aligned=True, batch_size=3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 2]
    parts = pd.concat(chunks, ignore_index=True)
    assert parts["path"].tolist() == [str(file) for file in files]
    assert parts["problem"].notna().tolist() == [name in ("broken.jpg", "missing.png") for name in names]
    pd.testing.assert_frame_equal(parts, whole, rtol=1e-4)
    assert parts["age"][0] == pytest.approx(parts["age"][5], abs=1e-4)
    assert whole["age"].std() > 0  # else the order could not be told


def test_a_model_that_needs_company_is_refused(folder):
    write_model(folder / "published.safetensors", uses_batch_statistics_at_test=True)
    with pytest.raises(ValueError, match="no answer for a face alone"):
        of_weights(folder / "published.safetensors")


def test_a_file_of_another_make_is_refused(folder):
    write_model(folder / "other.safetensors", paper="vgg")
    with pytest.raises(ValueError, match=r"other\.safetensors .*unknown pipeline 'vgg': expected lmtcnn"):
        of_weights(folder / "other.safetensors")
    earlier = {"encoder": {"name": "LMTCNN"}, "heads": {}, "input": STANDARDISED}
    save_weights(torch.nn.Linear(1, 1), folder / "other.safetensors", earlier)
    with pytest.raises(ValueError, match=r"saved by an older version, or by no training run\. Train it again"):
        of_weights(folder / "other.safetensors")
    with pytest.raises(ValueError, match=r"broken\.jpg is no safetensors file"):
        of_weights(folder / "broken.jpg")


def test_the_command_names_a_missing_model(folder, capsys):
    assert main(["predict", str(folder / "0.png"), "--model", str(folder / "none.safetensors")]) == 2
    assert "none.safetensors does not exist" in capsys.readouterr().err


def write_years_model(path):
    torch.manual_seed(0)
    built = imdb.model_facts(imdb.RECIPES["as_published"], "resnet18", "l1")
    model = imdb.build_model(**built, first_age=33.0)
    facts = {"paper": "imdb", "build_model": built, "prepare": {"channel_order": "bgr"}, "alignment": None}
    save_weights(model, path, facts | {"input": {"decoded_px": 64, "crop_px": None, "resize": "filtered"}})
    return model.eval()


def test_a_model_of_years_says_years_and_no_groups(folder, tmp_path):
    model = write_years_model(tmp_path / "years.safetensors")
    face = torch.from_numpy(decode_image(folder / "1.png", 64).copy())[None]
    with torch.no_grad():
        said = model.decode(model(normalise(face, "bgr")))
    table = of_weights(tmp_path / "years.safetensors").predict(folder / "1.png", aligned=True)
    assert table[["age_low", "age_high", "age_group"]].isna().all(axis=None)
    assert table["age"][0] == pytest.approx(float(said["age"]), abs=1e-3)
    assert table["p_female"][0] == pytest.approx(float(said["p_female"]), abs=1e-5)


@pytest.mark.parametrize(("task", "columns"), [("age", {"age_group", "age"}), ("gender", {"p_female"})])
def test_a_model_of_one_task_says_nothing_about_the_other(folder, tmp_path, task, columns):
    built = levihassner.model_facts(levihassner.RECIPES["as_intended"], task, 0.5, ADIENCE_8)
    facts = {"paper": "levihassner", "build_model": built, "prepare": {}, "input": STANDARDISED}
    save_weights(levihassner.build_model(**built), tmp_path / "single.safetensors", facts)
    table = of_weights(tmp_path / "single.safetensors").predict(folder / "1.png", aligned=True)
    assert {name for name in ("age_group", "age", "p_female") if table[name].notna().all()} == columns
