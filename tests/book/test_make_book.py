"""The run matrix as a whole, on a project of three small notebooks: what reruns, and what a kill leaves behind."""

import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest

from tests.book.conftest import ROOT
from tests.book.test_run_notebook import wait_for

pytestmark = pytest.mark.slow

PRESET = """
threads: 1
papers:
  tiny:
    stages:
      1_explore: {parameters: {data: "{data}"}}
      3_train:
        matrix: {fold: [0, 1]}
        run: "fold{fold}"
        parameters: {run_folder: "{records}/{run}", num_epochs: 2}
        writes: [record.json]
      5_results: {after: [3_train], parameters: {records: "{records}"}}
"""
TRAIN = """
import time
from pathlib import Path
checkpoint = Path(run_folder, "checkpoint")
done = int(checkpoint.read_text()) if checkpoint.exists() else 0
for epoch in range(done, num_epochs):
    print(f"epoch {epoch + 1}/{num_epochs}", flush=True)
    time.sleep(0.5)
    checkpoint.write_text(str(epoch + 1))
Path(run_folder, "record.json").write_text("{}")
"""


@pytest.fixture
def project(tmp_path, write_notebook):
    """A copy of the machinery with notebooks of its own, and a function that calls it."""
    root = tmp_path / "project"
    shutil.copytree(ROOT / "book/tools", root / "book/tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", root)
    shutil.copytree(ROOT / "profiles", root / "profiles")
    (root / "presets").mkdir()
    (root / "presets/tiny.yaml").write_text(PRESET)
    (tmp_path / "data").mkdir()
    notebooks = root / "notebooks/tiny"
    write_notebook("data = ''", "print(data)", path=notebooks / "1_explore.ipynb")
    write_notebook("run_folder = ''\nfold = 0\nnum_epochs = 1", TRAIN, path=notebooks / "3_train.ipynb")
    write_notebook("records = ''", "print(records)", path=notebooks / "5_results.ipynb")
    return root


def command(root, target="runs", profile=""):
    program = [sys.executable, str(root / "book/tools/make_book.py")]
    return [*program, target, "--preset", "tiny", "--jobs", "2", "--profile", profile]


def make(root, data=True, target="runs", profile=""):
    environment = {**os.environ, "AGEGENDER_DATA": str(root.parent / "data") if data else ""}
    done = subprocess.run(command(root, target, profile), capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def executed(output):
    return sorted(line.split(": done")[0] for line in output.splitlines() if ": done in" in line)


def test_each_edit_reruns_what_depends_on_it_and_no_more(project):
    everything = ["tiny 1_explore", "tiny 3_train fold0", "tiny 3_train fold1", "tiny 5_results"]
    status, output = make(project)
    assert status == 0, output
    assert executed(output) == everything
    assert "tiny 3_train fold1: epoch 2/2" in output

    (project / "notebooks/tiny/3_train.ipynb").touch()
    assert executed(make(project)[1]) == []

    notebook = project / "notebooks/tiny/5_results.ipynb"
    notebook.write_text(notebook.read_text().replace("print(records)", "print(records, 1)"))
    assert executed(make(project)[1]) == ["tiny 5_results"]

    preset = project / "presets/tiny.yaml"
    preset.write_text(preset.read_text().replace("num_epochs: 2", "num_epochs: 1"))
    assert executed(make(project)[1]) == everything[1:]

    shutil.rmtree(project / "runs/tiny/tiny/fold1")
    assert executed(make(project)[1]) == ["tiny 3_train fold1", "tiny 5_results"]

    preset.write_text(preset.read_text().replace("fold: [0, 1]", "fold: [0]"))
    status, output = make(project)
    assert executed(output) == ["tiny 5_results"]
    assert "runs/tiny/tiny/fold1 is no run of preset tiny" in output
    assert not (project / "runs/tiny/tiny/fold1").exists()


def test_a_failing_run_does_not_stop_the_others_and_the_next_call_goes_on(project):
    notebook = project / "notebooks/tiny/3_train.ipynb"
    good = notebook.read_text()
    notebook.write_text(good.replace("import time", "assert fold == 0, 'fold 1 is empty'; import time"))
    status, output = make(project)
    assert status != 0
    assert "tiny 3_train fold1: FAILED: cell 3 raised AssertionError: fold 1 is empty" in output
    assert "the next call goes on from there" in output
    assert executed(output) == ["tiny 1_explore", "tiny 3_train fold0"]
    notebook.write_text(good)
    status, output = make(project)
    assert status == 0
    assert "tiny 1_explore" not in executed(output)


def test_of_a_book_with_a_failed_notebook_the_other_pages_are_built_and_its_own_say_why(project):
    for name in ("index.md", "_config.yml", "references.bib", "_static/tables.css", "_ext/offline.py"):
        (project / "book" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "book" / name).touch()
    # what a book is, is tested elsewhere
    built = "from pathlib import Path; Path('book/_build/html/index.html').touch()"
    (project / "book/tools/build_html.py").write_text(built)
    notebook, page = project / "notebooks/tiny/3_train.ipynb", project / "book/executed/tiny/tiny"
    edit(notebook, "import time", "assert fold == 0, 'fold 1 is empty'; import time")
    status, output = make(project, target="book")
    assert status != 0
    assert (project / "book/_build/html/index.html").is_file()
    assert "the book is ready" in output
    assert "not in the book: book/executed/tiny/tiny/5_results.ipynb: It needs runs that did not end" in output
    assert "failed: runs/tiny/tiny/fold1/notebook.failed.ipynb" in output
    assert output.count("AssertionError: fold 1 is empty") == 1
    assert "cache/data/tiny" in (page / "1_explore.ipynb").read_text()
    assert "This page could not be computed" in (page / "5_results.ipynb").read_text()
    assert "`runs/tiny/tiny/fold1`" in (page / "5_results.ipynb").read_text()
    edit(notebook, "assert fold == 0, 'fold 1 is empty'; import time", "import time")
    status, output = make(project, target="book")
    assert status == 0, output
    assert "tiny 1_explore" not in executed(output)
    assert "This page could not be computed" not in (page / "5_results.ipynb").read_text()


def test_a_run_that_somebody_else_wrote_over_is_kept_aside_and_run_again(project):
    assert make(project)[0] == 0
    folder = project / "runs/tiny/tiny/fold1"
    (folder / "record.json").write_text('{"by": "hand"}')
    status, output = make(project)
    assert status == 0, output
    assert "note: runs/tiny/tiny/fold1 is run again: its record.json is not the one that it wrote" in output
    assert executed(output) == ["tiny 3_train fold1", "tiny 5_results"]
    assert (folder / "record.json").read_text() == "{}"
    assert (folder.with_name("fold1.before") / "record.json").read_text() == '{"by": "hand"}'
    assert executed(make(project)[1]) == []


def test_an_edit_of_the_labels_repeats_what_reads_them_and_what_depends_on_it(project):
    edit(
        project / "presets/tiny.yaml",
        'run_folder: "{records}/{run}", ',
        'run_folder: "{records}/{run}", data: "{data}", ',
    )
    edit(project / "presets/tiny.yaml", "    stages:", "    corpora: [folder]\n    stages:")
    edit(project / "notebooks/tiny/3_train.ipynb", "num_epochs = 1", "num_epochs = 1\\ndata = ''")
    table = project.parent / "data/faces.csv"
    table.write_text("path,age\na.jpg,30\n")
    everything = ["tiny 1_explore", "tiny 3_train fold0", "tiny 3_train fold1", "tiny 5_results"]
    assert executed(make(project)[1]) == everything
    (table.parent / "note.md").write_text("mine")
    again = make(project)[1]
    assert executed(again) == [], again
    edit(table, "30", "31")
    status, output = make(project)
    assert status == 0, output
    assert "note: runs/tiny/tiny/fold0 is run again: the data have changed since" in output
    assert executed(output) == everything
    assert "tiny 3_train fold1: epoch 1/2" in output  # not from the checkpoint of the old labels


def test_papers_whose_corpora_are_not_there_are_named_and_the_others_run(project, write_notebook):
    preset = project / "presets/tiny.yaml"
    more = """  other:
    corpora: [utkface]
    stages: {1_explore: {parameters: {data: "{data}"}}}
"""
    preset.write_text(preset.read_text() + more)
    write_notebook("data = ''", path=project / "notebooks/other/1_explore.ipynb")
    status, output = make(project)
    assert status == 0, output
    assert output.count("note: other is left out: utkface: no face-utkface/faces.csv or face-utkface.tar.gz in ") == 2
    assert str(project.parent / "data") in output
    assert "preset tiny: 4 notebook runs" in output
    assert not (project / "runs/tiny/other").exists()


def test_a_folder_without_any_corpus_is_refused_before_anything_runs(project):
    edit(project / "presets/tiny.yaml", "    stages:", "    corpora: [utkface]\n    stages:")
    status, output = make(project)
    assert status != 0
    assert "no paper of preset tiny has its corpora there" in output
    assert "tiny: utkface: no face-utkface/faces.csv or face-utkface.tar.gz in " in output
    assert not (project / "runs").exists()


@pytest.mark.parametrize("killed", ["make", "make_book.py", "snakemake"])
def test_a_killed_call_leaves_no_process_and_the_next_goes_on_from_the_checkpoint(project, killed):
    preset = project / "presets/tiny.yaml"
    preset.write_text(preset.read_text().replace("num_epochs: 2", "num_epochs: 12").replace("[0, 1]", "[0]"))
    environment = {**os.environ, "AGEGENDER_DATA": str(project.parent / "data")}
    shell = [sys.executable, "-c", f"import subprocess; subprocess.run({command(project)!r})"]
    top = subprocess.Popen(shell, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = project / "runs/tiny/tiny/fold0/checkpoint"
    assert wait_for(lambda: checkpoint.exists() and checkpoint.read_text() >= "3")
    everyone = psutil.Process(top.pid).children(recursive=True)
    assert len(everyone) >= 4  # make_book.py, snakemake, run_notebook.py, the kernel
    victims = {"make": top.pid, "make_book.py": everyone[0].pid, "snakemake": everyone[1].pid}
    os.kill(victims[killed], signal.SIGKILL)
    assert psutil.wait_procs(everyone, timeout=120)[1] == []
    top.wait()
    assert not (checkpoint.parent / "record.json").exists()
    assert not (checkpoint.parent / "notebook.ipynb").exists()
    reached = int(checkpoint.read_text())

    status, output = make(project)
    assert status == 0, output
    assert f"epoch {reached}/12" not in output
    assert f"epoch {reached + 1}/12" in output


def test_on_a_cluster_each_run_is_a_job_that_outlives_a_killed_call_and_is_not_done_twice(project):
    edit(project / "presets/tiny.yaml", "num_epochs: 2", "num_epochs: 40")
    environment = {**os.environ, "AGEGENDER_DATA": str(project.parent / "data")}
    first = subprocess.Popen(
        command(project, profile="cluster-generic"),
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    checkpoints = [project / f"runs/tiny/tiny/fold{fold}/checkpoint" for fold in (0, 1)]
    assert wait_for(lambda: all(file.exists() and int(file.read_text() or 0) >= 2 for file in checkpoints))
    own = psutil.Process(first.pid).children(recursive=True)
    first.kill()
    first.wait()
    assert psutil.wait_procs(own, timeout=60)[1] == []
    one, _ = sorted((project / ".snakemake/submitted").glob("*3_train*.process"))
    os.killpg(int(one.read_text()), signal.SIGKILL)
    status, output = make(project, profile="cluster-generic")
    assert status == 0, output
    logs = "".join(file.read_text() for file in (project / ".snakemake/submitted").glob("*.log"))
    for fold in (0, 1):
        assert (project / f"runs/tiny/tiny/fold{fold}/record.json").is_file()
        assert logs.count(f"tiny 3_train fold{fold}: epoch 1/40") <= 1  # the second call went on, it did not begin anew
    assert (project / "runs/tiny/tiny/5_results/notebook.ipynb").is_file()


def test_an_unknown_cluster_is_refused_with_the_known_ones(project):
    status, output = make(project, profile="slrm")
    assert status != 0
    assert "there is no profiles/slrm/config.yaml; there are cluster-generic, kubernetes, slurm" in output


def test_a_second_call_in_the_same_folder_is_refused_while_the_first_lives(project):
    environment = {**os.environ, "AGEGENDER_DATA": str(project.parent / "data")}
    first = subprocess.Popen(command(project), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert wait_for(lambda: (project / "runs").exists())
    status, output = make(project)
    assert status != 0
    assert f"another 'make book' is at work in this folder (process {first.pid})" in output
    assert first.wait(300) == 0


def test_a_preset_without_data_and_records_says_what_it_needs(project):
    status, output = make(project, data=False)
    assert status != 0
    assert "preset tiny needs data: make runs PRESET=tiny AGEGENDER_DATA=<folder>" in output


def test_no_path_of_the_readers_data_enters_a_notebook(project):
    make(project)
    text = (project / "runs/tiny/tiny/1_explore/notebook.ipynb").read_text()
    assert "cache/data/tiny" in text
    assert str(project.parent / "data") not in text
