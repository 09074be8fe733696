"""Every notebook is executed at its smallest size, in the order that the preset gives, by what the book uses too."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "tools"))

import run_notebook  # noqa: E402
from plan import read_preset  # noqa: E402

from tests.wiring import faults_of  # noqa: E402

SMALLEST = read_preset(ROOT / "presets/smallest.yaml")


def execute(stage, run, folder):
    """Execute one run with its folder below ``folder`` and return the executed notebook.

    In this process, as what the book starts for each run spends as long on its imports as on a small notebook.
    """
    places = {"data": str(folder / "corpora"), "records": f"{folder}/runs/{stage.preset}/{stage.source}"}
    output = Path(stage.folder(run, root=f"{folder}/runs")) / "notebook.ipynb"
    run_notebook.run(Path(stage.notebook), output, stage.parameters_of(run, places), run, stage.writes)
    return output


def waves(preset):
    """The runs of a preset, as lists in which none needs another one of the same list."""

    def depth(stage, run):
        return 1 + max((depth(*earlier) for earlier in preset.needed_by(stage, run)), default=0)

    runs = [(stage, run) for stage in preset.stages for run in stage.runs]
    depths = {(stage.paper, stage.name, run): depth(stage, run) for stage, run in runs}
    for wanted in sorted(set(depths.values())):
        yield [(stage, run) for stage, run in runs if depths[stage.paper, stage.name, run] == wanted]


@pytest.mark.slow
def test_every_notebook_runs_to_its_end_and_does_what_its_recipe_says(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the kernels
    for corpus, options in SMALLEST.corpora.items():
        flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        command = [sys.executable, "-m", "agegender.cli", "miniature", corpus, tmp_path / "corpora" / corpus, *flags]
        subprocess.run(command, cwd=ROOT, check=True)
    executed = set()
    for wave in waves(SMALLEST):
        with ThreadPoolExecutor(max_workers=2) as pool:
            for output in pool.map(lambda planned: execute(*planned, tmp_path), wave):
                assert nbformat.read(output, 4).metadata.papermill.end_time
        executed |= {stage.notebook for stage, _ in wave}
    assert executed == {str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").glob("*/*.ipynb")}
    assert len(executed) >= 4
    records = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("runs/*/*/*/record.json"))]
    trained = [record for record in records if record["num_parameters"] and record["paper"] != "use"]
    assert len(trained) == sum(
        len(stage.runs) for stage in SMALLEST.stages if stage.notebook.endswith("/3_train.ipynb")
    )
    assert {record["run"]: faults_of(record) for record in trained if faults_of(record)} == {}
