"""``agegender predict``: which model answers, what is written, and what the exit status says."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from agegender.cli import main
from agegender.labels import ADIENCE_8
from agegender.pipelines import levihassner, timit
from agegender.training.checkpoints import save_weights
from agegender.use import command, saved
from agegender.use.model import COLUMNS, Model
from agegender.use.tables import table_writer

READS = {"decoded_px": 240, "crop_px": 227, "resize": "filtered"}


def write_face_model(path, **changes):
    torch.manual_seed(0)
    built = levihassner.model_facts(levihassner.RECIPES["as_intended"], "both", 0.5, ADIENCE_8)
    facts = {"paper": "levihassner", "build_model": built, "prepare": {}, "input": READS}
    save_weights(levihassner.build_model(**built), path, facts | changes)


def write_voice_model(path):
    torch.manual_seed(0)
    _, recipe = timit.recipe_of("scratch-mel", "as_intended", {"num_mels": 40, "width": 0.25})
    built = timit.model_facts(recipe, pd.Series([35.0]))
    reads = timit.input_facts(recipe, timit.Crop(4000))
    save_weights(
        timit.build_model(**built), path, {"paper": "timit", "build_model": built, "prepare": {}, "input": reads}
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Two models in the place of those that ship."""
    folder = tmp_path_factory.mktemp("weights")
    write_face_model(folder / "face.safetensors", name="a face model")
    write_voice_model(folder / "voice.safetensors")
    return folder


@pytest.fixture(autouse=True)
def shipped(weights, monkeypatch):
    monkeypatch.setattr(saved, "WEIGHTS_FOLDER", weights)


@pytest.fixture
def files(tmp_path):
    """Two faces, a recording and a note, by name."""
    rng = np.random.default_rng(0)
    for name in ("1.png", "2.png"):
        Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    soundfile.write(tmp_path / "voice.wav", 0.1 * rng.standard_normal(16_000), 16_000)
    (tmp_path / "notes.txt").write_text("nothing to see")
    return {path.name: str(path) for path in tmp_path.iterdir()}


def run(*arguments):
    return main(["predict", "--aligned", *map(str, arguments)])


def test_each_kind_of_file_is_answered_by_its_own_model_in_the_given_order(files, tmp_path):
    named = [files[name] for name in ("voice.wav", "1.png", "notes.txt", "2.png", "1.png")]
    assert run(*named, "-o", tmp_path / "out.csv", "--batch-size", 2) == 1
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table) == list(COLUMNS)
    assert table["path"].tolist() == named
    assert table["kind"].fillna("").tolist() == ["voice", "face", "", "face", "face"]
    assert table["model"].fillna("").tolist() == ["timit", "a face model", "", "a face model", "a face model"]
    assert table["problem"].notna().tolist() == [False, False, True, False, False]
    assert table["age"][1] == table["age"][4] != table["age"][3]


def test_a_given_model_is_asked_about_all_files_and_says_what_it_cannot_answer(files, weights, tmp_path):
    model = weights / "face.safetensors"
    assert run(files["1.png"], files["voice.wav"], "--model", model, "-o", tmp_path / "out.csv") == 1
    assert pd.read_csv(tmp_path / "out.csv")["problem"].fillna("").tolist() == [
        "", "this model is asked about pictures",
    ]  # fmt: skip


def test_the_format_follows_the_suffix_and_holds_the_same_rows(files, tmp_path):
    for suffix in ("csv", "parquet", "jsonl"):
        assert run(files["1.png"], files["voice.wav"], "-o", tmp_path / f"out.{suffix}") == 0
    csv, parquet = pd.read_csv(tmp_path / "out.csv"), pd.read_parquet(tmp_path / "out.parquet")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert list(csv) == list(parquet) == list(lines[0])
    assert csv["age"].tolist() == pytest.approx(parquet["age"].tolist(), abs=1e-4)
    assert [line["age"] for line in lines] == pytest.approx(parquet["age"].tolist(), abs=1e-6)
    assert lines[0]["box"] is None
    assert lines[0]["index"] == 0


def test_boxes_are_kept_in_each_format(tmp_path):
    table = command.table_of([{"path": "a.jpg", "kind": "face", "index": 0, "box": (1, 2, 30, 40), "age": 3.0}])
    for suffix in ("csv", "parquet", "jsonl"):
        with table_writer(tmp_path / f"out.{suffix}") as writer:
            writer.append(table)
            writer.append(table)
    assert pd.read_csv(tmp_path / "out.csv")["box"].tolist() == ["1 2 30 40"] * 2
    assert [box.tolist() for box in pd.read_parquet(tmp_path / "out.parquet")["box"]] == [[1, 2, 30, 40]] * 2
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])["box"] == [1, 2, 30, 40]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.xlsx", "has to be one of .csv, .parquet, .jsonl"),
        ("1.png", "has to be one of .csv, .parquet, .jsonl"),
        ("none/out.csv", "does not exist"),
        ("folder.csv", "is a folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(files, tmp_path, capsys, output, message):
    (tmp_path / "folder.csv").mkdir()
    before = (tmp_path / "1.png").read_bytes()
    assert run(files["1.png"], "-o", tmp_path / output) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "1.png").read_bytes() == before


def test_an_output_never_replaces_an_input(files, tmp_path, capsys):
    (tmp_path / "list.csv").write_text("a,b")
    assert run(files["1.png"], tmp_path / "list.csv", "-o", tmp_path / "list.csv") == 2
    assert "is one of the inputs" in capsys.readouterr().err
    assert (tmp_path / "list.csv").read_text() == "a,b"


def test_the_status_is_zero_only_if_every_file_was_used(files, capsys):
    assert run(files["1.png"], files["voice.wav"]) == 0
    shown = capsys.readouterr()
    assert "2 files" in shown.err
    assert shown.out.count("p_female") == 1
    assert run(files["notes.txt"]) == 1
    assert "1 not usable" in capsys.readouterr().err


def test_names_come_from_the_standard_input(files, tmp_path, monkeypatch):
    (tmp_path / "names").write_text(f"{files['2.png']}\n\n{files['1.png']}\n")
    with (tmp_path / "names").open() as names:
        monkeypatch.setattr("sys.stdin", names)
        assert run("-", "-o", tmp_path / "out.csv") == 0
    assert pd.read_csv(tmp_path / "out.csv")["path"].tolist() == [files["2.png"], files["1.png"]]


def test_an_interrupt_keeps_what_is_done(files, tmp_path, monkeypatch, capsys):
    asked = []

    def interrupted(self, inputs, *options, rows=Model.rows):
        asked.append(inputs)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return rows(self, inputs, *options)

    monkeypatch.setattr(Model, "rows", interrupted)
    assert run(*[files["1.png"]] * 5, "--batch-size", 1, "-o", tmp_path / "out.parquet") == 130
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 2
    assert "interrupted after 2 rows" in capsys.readouterr().err


def test_a_model_of_synthetic_people_answers_only_when_told_to_and_says_what_it_is(files, tmp_path, capsys):
    write_face_model(tmp_path / "drawn.safetensors", is_synthetic=True)
    model = ("--model", tmp_path / "drawn.safetensors")
    assert run(files["1.png"], *model) == 2
    assert "Add --synthetic" in capsys.readouterr().err
    assert run(files["1.png"], *model, "--synthetic", "-o", tmp_path / "out.csv") == 0
    assert pd.read_csv(tmp_path / "out.csv")["model"].tolist() == ["levihassner (learnt from synthetic people)"]


def test_a_model_that_does_not_ship_yet_says_how_to_make_it(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(saved, "WEIGHTS_FOLDER", tmp_path / "none")
    assert run(files["1.png"]) == 2
    assert "make model MODEL=face" in capsys.readouterr().err


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("agegender ")
