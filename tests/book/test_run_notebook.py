"""One notebook run: only a whole one is a result, and nothing survives its parent."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from run_notebook import NotebookError, Progress, check_parameters, prepare_folder
from stamps import STAMP

from tests.book.conftest import ROOT

SCRIPT = str(ROOT / "book/tools/run_notebook.py")


def execute(notebook, output, *options, **parameters):
    command = [sys.executable, SCRIPT, str(notebook), str(output), "--parameters", json.dumps(parameters), *options]
    return subprocess.run(command, capture_output=True, text=True)


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_of_a_line_rewritten_by_a_progress_bar_only_the_last_form_is_printed(capsys):
    progress = Progress("run 1")
    progress.write("epoch 1/3\r\nepo")
    progress.write("ch 1\repoch 2/3\n\n")
    assert capsys.readouterr().out == "run 1: epoch 1/3\nrun 1: epoch 2/3\n"


def test_a_misspelt_parameter_is_refused_with_the_nearest_name(write_notebook):
    notebook = write_notebook("num_epochs = 3\nseed = 0")
    check_parameters(notebook, {"num_epochs": 1, "seed": 2})
    with pytest.raises(NotebookError, match=re.escape("no parameter 'num_epoch'. Did you mean 'num_epochs'? It decl")):
        check_parameters(notebook, {"num_epoch": 1})


def test_a_notebook_without_a_tagged_cell_takes_no_parameters(write_notebook):
    notebook = write_notebook("seed = 0")
    content = nbformat.read(notebook, 4)
    content.cells[1].metadata = {}
    nbformat.write(content, notebook)
    with pytest.raises(NotebookError, match="no cell of it is tagged 'parameters'"):
        check_parameters(notebook, {"seed": 1})


def test_a_run_folder_is_kept_for_the_same_run_and_moved_away_for_another(tmp_path, write_notebook):
    folder, notebook = tmp_path / "run", write_notebook("seed = 0", "print(seed)")
    prepare_folder(folder, notebook, {"seed": 1})
    (folder / "checkpoint").touch()
    prepare_folder(folder, notebook, {"seed": 1})
    assert (folder / "checkpoint").exists()
    prepare_folder(folder, notebook, {"seed": 2})
    assert not (folder / "checkpoint").exists()
    assert (tmp_path / "run.before" / "checkpoint").exists()
    (folder / "checkpoint").write_text("newer")
    write_notebook("seed = 0", "print(seed + 1)")
    prepare_folder(folder, notebook, {"seed": 2})
    assert not (folder / "checkpoint").exists()
    assert (tmp_path / "run.before" / "checkpoint").read_text() == "newer"


def test_an_edit_of_prose_does_not_throw_a_half_trained_model_away(tmp_path, write_notebook):
    folder, notebook = tmp_path / "run", write_notebook("seed = 0")
    prepare_folder(folder, notebook, {})
    (folder / "checkpoint").touch()
    content = nbformat.read(notebook, 4)
    content.cells[0].source = "# Another heading"
    nbformat.write(content, notebook)
    prepare_folder(folder, notebook, {})
    assert (folder / "checkpoint").exists()


@pytest.mark.slow
def test_a_whole_run_leaves_the_notebook_and_says_where_it_is(tmp_path, write_notebook):
    notebook = write_notebook("seed = 0", "print(f'epoch {seed}/9')", "import sys; print('noise', file=sys.stderr)")
    done = execute(notebook, tmp_path / "out/notebook.ipynb", "--name", "timit run", seed=4)
    assert done.returncode == 0, done.stderr
    assert "timit run: cell 2/4" in done.stdout
    assert "timit run: epoch 4/9" in done.stdout
    assert "noise" not in done.stdout
    metadata = nbformat.read(tmp_path / "out/notebook.ipynb", 4).metadata.papermill
    assert metadata.end_time
    assert not metadata.exception
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["notebook.ipynb", STAMP]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/autogroup").is_file(), reason="this system has no priorities of sessions")
def test_a_run_at_low_priority_holds_its_kernel_back_too(tmp_path, write_notebook):
    notebook, output = (
        write_notebook("seed = 0", "print(open('/proc/self/autogroup').read())"),
        tmp_path / "out/n.ipynb",
    )
    command = [sys.executable, SCRIPT, str(notebook), str(output)]
    subprocess.run(command, check=True, preexec_fn=lambda: os.nice(7))
    assert "nice 7" in output.read_text()


@pytest.mark.slow
def test_a_failed_run_is_kept_apart_and_names_cell_and_error(tmp_path, write_notebook):
    notebook = write_notebook("seed = 0", "print('before')", "raise ValueError('3 subjects are in both')")
    failed = execute(notebook, tmp_path / "out/notebook.ipynb")
    assert failed.returncode == 1
    assert "cell 3 raised ValueError: 3 subjects are in both" in failed.stderr
    assert not (tmp_path / "out/notebook.ipynb").exists()
    assert (tmp_path / "out/notebook.failed.ipynb").exists()


@pytest.mark.slow
def test_a_run_that_does_not_write_its_record_has_failed(tmp_path, write_notebook):
    failed = execute(write_notebook("seed = 0"), tmp_path / "out/notebook.ipynb", "--writes", "record.json")
    assert failed.returncode == 1
    assert "ended without writing record.json" in failed.stderr
    assert not (tmp_path / "out/notebook.ipynb").exists()


@pytest.mark.slow
def test_a_kernel_that_is_killed_is_a_failure_and_not_a_result(tmp_path, write_notebook):
    notebook = write_notebook("seed = 0", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    failed = execute(notebook, tmp_path / "out/notebook.ipynb")
    assert failed.returncode == 1
    assert "FAILED: the kernel died" in failed.stderr
    assert not (tmp_path / "out/notebook.ipynb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_kernel_survives_its_run(tmp_path, write_notebook, number):
    told = tmp_path / "pid"
    cell = f"import os, time, pathlib; pathlib.Path({str(told)!r}).write_text(str(os.getpid())); time.sleep(300)"
    notebook = write_notebook("seed = 0", cell)
    process = subprocess.Popen(
        [sys.executable, SCRIPT, str(notebook), str(tmp_path / "out/notebook.ipynb")],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert wait_for(lambda: told.exists() and told.read_text())
    kernel = int(told.read_text())
    process.send_signal(number)
    assert process.wait(120) != 0
    assert wait_for(lambda: not psutil.pid_exists(kernel))
    assert not (tmp_path / "out/notebook.ipynb").exists()


@pytest.mark.slow
def test_a_run_ends_when_its_parent_is_killed(tmp_path, write_notebook):
    told = tmp_path / "pid"
    cell = f"import os, time, pathlib; pathlib.Path({str(told)!r}).write_text(str(os.getpid())); time.sleep(300)"
    command = [sys.executable, SCRIPT, str(write_notebook("seed = 0", cell)), str(tmp_path / "out/notebook.ipynb")]
    parent = subprocess.Popen([sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"])
    assert wait_for(lambda: told.exists() and told.read_text())
    everyone = [*psutil.Process(parent.pid).children(recursive=True)]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert len(everyone) >= 2  # the run and its kernel
    assert psutil.wait_procs(everyone, timeout=120)[1] == []
