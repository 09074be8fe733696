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
from agegender.use import predict as use
from agegender.use.predict import load_predictor
from tests.photographs import draw, photo_of

STANDARDISED = {"decoded_px": 256, "crop_px": 227, "resize": "filtered"}


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
    table = load_predictor(folder / "model.safetensors").of_files([folder / "1.png"])
    assert table["age"][0] == pytest.approx(float(said["age"]), abs=1e-4)
    assert table["p_female"][0] == pytest.approx(float(said["p_female"]), abs=1e-6)
    assert table["age_group"][0] == ADIENCE_8.labels[int(said["p_group"].argmax())]
    assert table["p (25, 32)"][0] == pytest.approx(float(said["p_group"][0, 4]), abs=1e-6)


def test_a_face_gets_the_same_answer_in_any_company(folder):
    write_model(folder / "model.safetensors")
    predictor = load_predictor(folder / "model.safetensors")
    together = predictor.of_files([folder / f"{number}.png" for number in range(3)])
    alone = predictor.of_files([folder / "2.png"])
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
    predictor = load_predictor(tmp_path / "model.safetensors")
    table = predictor.of_files(photos)
    assert table["problem"].fillna("").tolist() == ["", "no face"]
    by_hand = predictor._of_faces([trained_on[0]])
    assert table["age"][0] == pytest.approx(by_hand["age"][0], abs=1e-4)
    assert predictor.of_files(photos, detect=False)["problem"].isna().all()
    assert predictor.of_files(photos[:1], detect=False)["age"][0] != pytest.approx(table["age"][0], abs=1e-3)


def test_a_model_that_was_trained_without_alignment_finds_faces_only_when_asked(photos, tmp_path, capsys):
    write_model(tmp_path / "model.safetensors")
    command = ["predict", str(tmp_path / "model.safetensors"), *map(str, photos), "-o", str(tmp_path / "out.csv")]
    assert main(command) == 0
    assert "2 files, 0 not usable" in capsys.readouterr().out
    assert main([*command, "--detect"]) == 0
    assert "2 files, 1 not usable" in capsys.readouterr().out
    assert "no face" in (tmp_path / "out.csv").read_text()


def test_without_the_detector_the_command_says_what_to_install(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "facenet_pytorch.models.mtcnn", None)
    write_model(tmp_path / "model.safetensors")
    assert main(["predict", str(tmp_path / "model.safetensors"), str(photos[0]), "--detect"]) == 2
    assert "pip install --no-deps facenet-pytorch==" in capsys.readouterr().err


def test_an_unreadable_file_keeps_its_row_and_says_why(folder):
    write_model(folder / "model.safetensors")
    files = [folder / "broken.jpg", folder / "0.png", folder / "missing.png"]
    table = load_predictor(folder / "model.safetensors").of_files(files)
    assert table["path"].tolist() == [str(file) for file in files]
    assert table["problem"].notna().tolist() == [True, False, True]
    assert "no such file" in table["problem"][2]
    assert table["age"].isna().tolist() == [True, False, True]


def test_only_unreadable_files_make_a_table_of_problems(folder):
    write_model(folder / "model.safetensors")
    table = load_predictor(folder / "model.safetensors").of_files([folder / "broken.jpg"])
    assert table.columns.tolist() == ["path", "problem"]


def test_few_faces_are_in_memory_at_once_and_the_table_is_that_of_all(folder, monkeypatch):
    """However many files are given: unreadable ones keep their places between batches."""
    write_model(folder / "model.safetensors")
    names = ["0.png", "broken.jpg", "1.png", "2.png", "missing.png", "0.png", "1.png", "broken.jpg"]
    predictor, files = load_predictor(folder / "model.safetensors"), [folder / name for name in names]
    whole = predictor.of_files(files)
    asked = []

    def noted(self, faces, answer=use.Predictor._of_faces):
        asked.append(len(faces))
        return answer(self, faces)

    monkeypatch.setattr(use.Predictor, "_of_faces", noted)
    monkeypatch.setattr(use, "BATCH_SIZE", 2)
    parts = predictor.of_files(files)
    assert asked == [2, 2, 1]
    assert parts["path"].tolist() == [str(file) for file in files]
    assert parts["problem"].notna().tolist() == [name in ("broken.jpg", "missing.png") for name in names]
    pd.testing.assert_frame_equal(parts, whole, rtol=1e-4)
    assert parts["age"][0] == pytest.approx(parts["age"][5], abs=1e-4)
    assert whole["age"].std() > 0  # else the order could not be told


def test_a_model_that_needs_company_is_refused(folder):
    write_model(folder / "published.safetensors", uses_batch_statistics_at_test=True)
    with pytest.raises(ValueError, match="no answer for a face alone"):
        load_predictor(folder / "published.safetensors")


def test_a_file_of_another_make_is_refused(folder):
    write_model(folder / "other.safetensors", paper="vgg")
    with pytest.raises(ValueError, match=r"other\.safetensors .*unknown pipeline 'vgg': expected lmtcnn"):
        load_predictor(folder / "other.safetensors")
    earlier = {"encoder": {"name": "LMTCNN"}, "heads": {}, "input": STANDARDISED}
    save_weights(torch.nn.Linear(1, 1), folder / "other.safetensors", earlier)
    with pytest.raises(ValueError, match=r"saved by an older version, or by no training run\. Train it again"):
        load_predictor(folder / "other.safetensors")
    with pytest.raises(ValueError, match=r"broken\.jpg is no safetensors file"):
        load_predictor(folder / "broken.jpg")


def test_the_command_writes_a_table_and_counts_what_it_could_not_read(folder, tmp_path, capsys):
    write_model(folder / "model.safetensors")
    model, out = str(folder / "model.safetensors"), tmp_path / "out.csv"
    assert main(["predict", model, str(folder / "0.png"), str(folder / "broken.jpg"), "-o", str(out)]) == 0
    assert "2 files, 1 not usable" in capsys.readouterr().out
    assert out.read_text().startswith("path,age_group,age,")


def test_the_command_names_a_missing_model(folder, capsys):
    assert main(["predict", str(folder / "none.safetensors"), str(folder / "0.png")]) == 2
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
    table = load_predictor(tmp_path / "years.safetensors").of_files([folder / "1.png"])
    assert list(table) == ["path", "age", "p_female", "problem"]
    assert table["age"][0] == pytest.approx(float(said["age"]), abs=1e-3)
    assert table["p_female"][0] == pytest.approx(float(said["p_female"]), abs=1e-5)


@pytest.mark.parametrize(("task", "columns"), [("age", {"age_group", "age"}), ("gender", {"p_female"})])
def test_a_model_of_one_task_says_nothing_about_the_other(folder, tmp_path, task, columns):
    built = levihassner.model_facts(levihassner.RECIPES["as_intended"], task, 0.5, ADIENCE_8)
    facts = {"paper": "levihassner", "build_model": built, "prepare": {}, "input": STANDARDISED}
    save_weights(levihassner.build_model(**built), tmp_path / "single.safetensors", facts)
    table = load_predictor(tmp_path / "single.safetensors").of_files([folder / "1.png"])
    said = {name for name in table if not name.startswith("p (")} - {"path", "problem"}
    assert said == columns
    assert any(name.startswith("p (") for name in table) == (task == "age")
