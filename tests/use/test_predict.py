import numpy as np
import pytest
import torch
from PIL import Image

from agegender.cli import main
from agegender.data.images import decode_image, standardise
from agegender.labels import ADIENCE_8
from agegender.models.heads import AgeGroupHead, GenderHead
from agegender.models.lmtcnn import LMTCNN
from agegender.models.multitask import MultiTaskModel
from agegender.training.checkpoints import save_weights
from agegender.use.predict import load_predictor


def write_model(path, uses_batch_statistics_at_test=False, **changes):
    torch.manual_seed(0)
    architecture = {
        "width_multiplier": 1,
        "lrn": "caffe",
        "uses_batch_statistics_at_test": uses_batch_statistics_at_test,
    }
    encoder = LMTCNN(**architecture)
    model = MultiTaskModel(encoder, {"age": AgeGroupHead(512, ADIENCE_8), "gender": GenderHead(512)})
    for layer in (encoder.full1, encoder.full2, model.heads["age"].linear, model.heads["gender"].linear):
        torch.nn.init.normal_(layer.weight, std=0.05)  # so that faces are told apart without training
    save_weights(model, path, {"name": "LMTCNN", "architecture": architecture, "scheme": "adience-8"} | changes)
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


def test_a_model_that_needs_company_is_refused(folder):
    write_model(folder / "published.safetensors", uses_batch_statistics_at_test=True)
    with pytest.raises(ValueError, match="no answer for a face alone"):
        load_predictor(folder / "published.safetensors")


def test_a_file_of_another_make_is_refused(folder):
    write_model(folder / "other.safetensors", name="ResNet")
    with pytest.raises(ValueError, match="does not say how its model is built"):
        load_predictor(folder / "other.safetensors")
    with pytest.raises(ValueError, match=r"broken\.jpg is no safetensors file"):
        load_predictor(folder / "broken.jpg")


def test_the_command_writes_a_table_and_counts_what_it_could_not_read(folder, tmp_path, capsys):
    write_model(folder / "model.safetensors")
    model, out = str(folder / "model.safetensors"), tmp_path / "out.csv"
    assert main(["predict", model, str(folder / "0.png"), str(folder / "broken.jpg"), "-o", str(out)]) == 0
    assert "2 faces, 1 unreadable" in capsys.readouterr().out
    assert out.read_text().startswith("path,age_group,age,")


def test_the_command_names_a_missing_model(folder, capsys):
    assert main(["predict", str(folder / "none.safetensors"), str(folder / "0.png")]) == 2
    assert "none.safetensors does not exist" in capsys.readouterr().err
