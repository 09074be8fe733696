"""To which run a folder belongs."""

import pytest
from run_notebook import finish_folder, prepare_folder
from stamps import read_stamp, why_of_another_run

PLANNED = {"parameters": {"fold": 1, "num_epochs": 3}, "data": "aaaa"}


@pytest.fixture
def ended(tmp_path, write_notebook):
    """The folder of a run that has ended, as planned."""
    folder = tmp_path / "run"
    prepare_folder(folder, write_notebook("fold = 0\nnum_epochs = 1"), PLANNED["parameters"], PLANNED["data"])
    for name in ("record.json", "model.safetensors", "ended.json"):
        (folder / name).write_text("own")
    finish_folder(folder, ("record.json",), keeps_weights=True)
    return folder


def test_a_run_that_ended_as_planned_is_its_own(ended):
    assert why_of_another_run(ended, PLANNED) is None
    assert sorted(read_stamp(ended)) == ["code", "data", "parameters", "written"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"parameters": {"fold": 1, "num_epochs": 5}}, "it was made with num_epochs 3, not 5"),
        ({"parameters": {"fold": 1}}, "it was made with num_epochs 3, not None"),
        ({"data": "bbbb"}, "the data have changed since"),
    ],
)
def test_a_run_with_other_parameters_or_data_is_another(ended, change, reason):
    assert why_of_another_run(ended, PLANNED | change) == reason


def test_a_run_whose_record_was_written_over_or_removed_is_another(ended):
    (ended / "record.json").write_text("by hand")
    assert why_of_another_run(ended, PLANNED) == "its record.json is not the one that it wrote"
    (ended / "record.json").unlink()
    assert why_of_another_run(ended, PLANNED) == "its record.json is not the one that it wrote"
    assert why_of_another_run(ended, PLANNED, has_ended=False) is None  # before a run is repeated its files are removed


def test_a_folder_that_nobody_stamped_is_of_another_run(ended):
    (ended / "started.json").write_text("half a fi")
    assert why_of_another_run(ended, PLANNED) == "it was not made by make book"


def test_without_knowledge_of_the_data_a_run_is_not_doubted(ended):
    assert why_of_another_run(ended, PLANNED | {"data": ""}) is None


def test_what_lies_in_a_folder_of_nobody_is_moved_away_before_a_run_starts(tmp_path, write_notebook, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "last.ckpt").write_text("by hand")
    prepare_folder(folder, write_notebook("seed = 0"), {})
    assert [path.name for path in folder.iterdir()] == ["started.json"]
    assert (tmp_path / "run.before/last.ckpt").read_text() == "by hand"
    assert "it was not made by make book; moved to" in capsys.readouterr().out


def test_other_data_start_with_an_empty_folder(ended, write_notebook):
    prepare_folder(ended, write_notebook("fold = 0\nnum_epochs = 1"), PLANNED["parameters"], "aaaa")
    assert (ended / "model.safetensors").exists()
    prepare_folder(ended, write_notebook("fold = 0\nnum_epochs = 1"), PLANNED["parameters"], "bbbb")
    assert [path.name for path in ended.iterdir()] == ["started.json"]


def test_weights_that_nobody_shows_do_not_stay(ended):
    finish_folder(ended, ("record.json",), keeps_weights=False)
    assert sorted(path.name for path in ended.iterdir()) == ["record.json", "started.json"]
    assert why_of_another_run(ended, PLANNED) is None
