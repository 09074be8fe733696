"""From any folder a notebook finds the same project, and a run folder is refused before anything is trained."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from agegender import workspace
from agegender.corpora import catalog

PARAMETERS = {"corpus": "adience", "model": "1-1", "variant": "as_intended", "fold": 0, "seed": 0, "num_epochs": 2}
NAME = "1-1-as_intended-fold0-seed0"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with the working directory in one of its folders of notebooks."""
    folder = tmp_path / "somewhere" / "checkout"
    for name in ("presets", "notebooks/lmtcnn"):
        (folder / name).mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "agegender"\n')
    monkeypatch.chdir(folder / "notebooks" / "lmtcnn")
    return folder


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty working directory, a library that was not installed from a checkout, and a user's cache."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr(workspace, "__file__", str(tmp_path / "site-packages" / "agegender" / "workspace.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def finished(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(json.dumps({"parameters": PARAMETERS | changes}))
    return folder


def test_the_project_is_the_checkout_around_the_working_directory(checkout):
    assert workspace.project_folder() == Path("../..")
    assert workspace.cache_folder().resolve() == (checkout / "cache").resolve()


def test_in_the_root_of_a_checkout_paths_stay_as_they_are_written(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    (checkout / "miniatures/x").mkdir(parents=True)
    assert str(workspace.data_folder("miniatures/x", "adience")) == "miniatures/x"
    assert str(workspace.cache_folder() / "data") == "cache/data"


def test_elsewhere_the_project_is_the_checkout_of_the_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert workspace.project_folder() == Path(workspace.__file__).resolve().parents[1]


def test_another_project_with_presets_is_no_checkout(checkout, nowhere, monkeypatch):
    monkeypatch.chdir(checkout)
    (checkout / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert workspace.project_folder() == nowhere / "cache" / "agegender"


def test_without_a_checkout_the_project_lies_in_the_cache_of_the_user(nowhere, monkeypatch):
    assert workspace.project_folder() == nowhere / "cache" / "agegender"
    monkeypatch.setenv("HOME", str(nowhere / "home"))
    for unusable in ("", "relative/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        monkeypatch.setattr(sys, "platform", "linux")
        assert workspace.project_folder() == nowhere / "home/.cache/agegender"
        monkeypatch.setattr(sys, "platform", "darwin")
        assert workspace.project_folder() == nowhere / "home/Library/Caches/agegender"


def test_a_relative_path_starts_at_the_checkout_and_without_one_where_one_stands(checkout, nowhere, monkeypatch):
    monkeypatch.chdir(checkout / "notebooks" / "lmtcnn")
    for start in (checkout, nowhere / "empty"):
        (start / "packs").mkdir()
    assert workspace.data_folder("packs", "fairface").resolve() == checkout / "packs"
    monkeypatch.chdir(nowhere / "empty")
    assert workspace.data_folder("packs", "fairface").resolve() == nowhere / "empty" / "packs"


def test_data_that_does_not_exist_is_named_with_its_whole_path(checkout):
    with pytest.raises(FileNotFoundError, match=f"data='packs': {checkout}/packs does not exist"):
        workspace.data_folder("packs", "fairface")


def test_a_miniature_is_drawn_once_and_only_of_the_corpora_that_are_asked_for(checkout, monkeypatch, capsys):
    monkeypatch.setitem(workspace.NUM_SUBJECTS, "rirs", 3)
    folder = workspace.data_folder("miniature", "rirs")
    assert folder.resolve() == checkout / "miniatures/by-hand"
    assert "drawing a miniature of rirs" in capsys.readouterr().out
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["rirs"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")}
    assert workspace.data_folder("miniature", "rirs") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.wav")} == before
    assert len(before) > 0
    assert capsys.readouterr().out == ""


def test_the_miniature_of_a_pack_lies_where_its_reader_looks(checkout, monkeypatch):
    monkeypatch.setitem(workspace.NUM_SUBJECTS, "fairface", 9)
    folder = workspace.data_folder("miniature", "fairface")
    assert catalog.read("fairface", folder, workspace.cache_folder() / "data").corpus == "fairface"


@pytest.mark.parametrize("corpus", ["folder", "adiense"])
def test_a_corpus_that_nobody_draws_is_refused_with_what_to_do(checkout, corpus):
    with pytest.raises(ValueError, match=f"no miniature of corpus '{corpus}': give the folder of it by .* data"):
        workspace.data_folder("miniature", corpus)


def test_two_notebooks_that_need_the_same_miniature_at_once_draw_it_once(nowhere):
    line = "from agegender import workspace; workspace.data_folder('miniature', 'rirs')"
    call = [sys.executable, "-c", f"import agegender.workspace as w; w.__file__ = '/x/y/z'; {line}"]
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: subprocess.run(call, capture_output=True, text=True), range(2)))
    assert [done.returncode for done in ended] == [0, 0], ended
    assert sum("drawing a miniature" in done.stdout for done in ended) == 1


def test_a_run_by_hand_has_a_folder_of_its_own_and_says_where(checkout, capsys):
    folder = workspace.run_folder("", "lmtcnn", PARAMETERS)
    assert folder.resolve() == checkout / "runs/by-hand/lmtcnn" / NAME
    assert folder.is_dir()
    assert str(folder) in capsys.readouterr().out


@pytest.mark.parametrize("given", [f"runs/open/lmtcnn/{NAME}", "mine", "deep/er/first try"])
def test_a_folder_that_is_given_may_have_the_name_of_the_run_or_any_free_name(checkout, given):
    assert workspace.run_folder(given, "lmtcnn", PARAMETERS).resolve() == checkout / given


def test_a_folder_with_the_name_of_another_run_is_refused(checkout):
    with pytest.raises(ValueError, match=f"has the name of another run: this one is {NAME}"):
        workspace.run_folder("mine/1-1-as_published-fold0-seed0", "lmtcnn", PARAMETERS)
    assert not (checkout / "mine").exists()


def test_a_finished_run_of_other_parameters_is_not_overwritten(checkout):
    finished(checkout / "mine", num_epochs=20, fold=3)
    with pytest.raises(ValueError, match="a finished run with fold 3, not 0; num_epochs 20, not 2: delete it, or name"):
        workspace.run_folder("mine", "lmtcnn", PARAMETERS)


def test_a_finished_run_of_the_same_parameters_is_run_again(checkout):
    finished(checkout / "mine", recorded_since="x")
    assert workspace.run_folder("mine", "lmtcnn", PARAMETERS | {"new": 1}).resolve() == checkout / "mine"


def test_a_folder_that_cannot_be_written_is_refused(checkout):
    (checkout / "mine").write_text("a file")
    with pytest.raises(ValueError, match=r"run_folder='mine': .*mine cannot be written \(File exists\)"):
        workspace.run_folder("mine", "lmtcnn", PARAMETERS)


def test_a_folder_in_which_no_file_can_be_made_is_refused(checkout, monkeypatch):
    def refused(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(ValueError, match=r"run_folder='mine': .*mine cannot be written \(Permission denied\)"):
        workspace.run_folder("mine", "lmtcnn", PARAMETERS)


def test_missing_weights_are_named_with_the_command_that_makes_them(checkout):
    folder = workspace.run_folder("", "timit", PARAMETERS).parent / "encoder_fold0_seed0"
    given = {"fold": 0, "seed": 0}
    with pytest.raises(FileNotFoundError, match=r"papermill notebooks/timit/2_pretrain\.ipynb .* -p seed 0 -p"):
        workspace.pretrained_weights(folder, "notebooks/timit/2_pretrain.ipynb", given)
    folder.mkdir()
    (folder / "model.safetensors").touch()
    found = workspace.pretrained_weights(folder, "notebooks/timit/2_pretrain.ipynb", given)
    assert found == folder / "model.safetensors"


def test_a_page_reads_runs_by_hand_then_those_of_the_miniature_book_then_the_committed_ones(checkout):
    for place in ("book/results/open", "runs/miniature", "runs/by-hand"):
        (checkout / "runs/by-hand/lmtcnn/unfinished").mkdir(parents=True, exist_ok=True)
        finished(checkout / place / "lmtcnn" / NAME)
        assert workspace.records_folder("", "lmtcnn").resolve() == checkout / place / "lmtcnn"
    assert workspace.records_folder("runs/open/imdb", "lmtcnn").resolve() == checkout / "runs/open/imdb"


def test_a_page_without_any_run_says_which_notebook_to_run_first(checkout):
    with pytest.raises(FileNotFoundError, match=r"no finished run of timit .* notebooks/timit/3_train\.ipynb first"):
        workspace.records_folder("", "timit")


DECLARED = "fold = 0  # held out\nnum_epochs = 2\n"


@pytest.fixture
def kernel(monkeypatch):
    """Make the cells that a kernel has run so far."""

    def run(*cells):
        shell = SimpleNamespace(user_ns={"In": ["", "import sys", *cells]})
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))

    return run


def test_a_parameter_that_the_notebook_does_not_declare_is_refused_by_every_first_call(kernel, checkout):
    kernel(DECLARED, "# Parameters\nflod = 1\n")
    wanted = r"no parameter 'flod'\. Did you mean 'fold'\? It declares: fold, num_epochs"
    with pytest.raises(NameError, match=wanted):
        workspace.data_folder("miniature", "rirs")
    with pytest.raises(NameError, match=wanted):
        workspace.records_folder("", "lmtcnn")
    assert not (checkout / "miniatures").exists()


@pytest.mark.parametrize(
    "cells",
    [
        [DECLARED, "# Parameters\nfold = 1\n", "flod = 3"],
        [DECLARED, "later = 5"],
        [DECLARED, "this is no Python", "# Parameters\nnum_epochs = 5\nfold = 2"],
        [],
    ],
)
def test_parameters_that_are_declared_and_names_of_other_cells_are_not_refused(kernel, cells):
    kernel(*cells)
    workspace.check_parameters()


def test_outside_a_kernel_no_parameter_is_checked(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    workspace.check_parameters()
    monkeypatch.delitem(sys.modules, "IPython")
    workspace.check_parameters()
