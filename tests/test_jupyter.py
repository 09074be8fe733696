"""Notebooks run with their default parameters where a reader opens them: in JupyterLab or in a bare folder."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from jupyter_client import BlockingKernelClient

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
TOKEN = "a-token-of-the-test"  # noqa: S105
PAPERS = ("lmtcnn", "levihassner", "imdb", "timit", "commonvoice")


def environment_of(folder):
    """Of a process that finds this library, and keeps what belongs to a user in ``folder``."""
    own = {name: str(folder / name) for name in ("XDG_CACHE_HOME", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    own |= {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return os.environ | own


class Lab:
    """A running server: asked over HTTP, its kernels over their own channels."""

    def __init__(self, port, runtime):
        self.address, self.runtime = f"http://127.0.0.1:{port}", runtime

    def ask(self, path, method="GET", content=None):
        body = json.dumps(content).encode() if content else None
        headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/api/{path}", body, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read() or "null")

    def run(self, notebook):
        """Run the code cells of a notebook, in a session that the server starts for its path."""
        wanted = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
        session = self.ask("sessions", "POST", wanted)
        client = BlockingKernelClient(connection_file=str(self.runtime / f"kernel-{session['kernel']['id']}.json"))
        client.load_connection_file()
        client.start_channels(hb=False)  # a kernel that is slow to start may miss a heartbeat, and is not dead
        try:
            client.wait_for_ready(timeout=120)
            for cell in nbformat.reads(json.dumps(self.ask(f"contents/{notebook}")["content"]), 4).cells:
                if cell.cell_type == "code":
                    reply = client.execute_interactive(cell.source, timeout=1800, output_hook=lambda message: None)
                    problem = "\n".join(reply["content"].get("traceback", []))
                    assert reply["content"]["status"] == "ok", f"{notebook}\n{cell.source}\n{problem}"
        finally:
            client.stop_channels()
            self.ask(f"sessions/{session['id']}", "DELETE")


@pytest.fixture(scope="module")
def lab(checkout, tmp_path_factory):
    """The server that ``make lab`` starts, without a browser, in the copy of the checkout."""
    own = tmp_path_factory.mktemp("own")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--no-browser --allow-root --ServerApp.ip=127.0.0.1 --ServerApp.port={port} --port-retries=0"
    made = ["make", "--dry-run", "--silent", "lab", f"LAB_ARGS={options} --IdentityProvider.token={TOKEN}"]
    printed = subprocess.run(made, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    command = printed.splitlines()[-1].replace(".venv/bin/", f"{BIN}/")
    log = own / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"], cwd=checkout, env=environment_of(own), stdout=file, stderr=file
        )
    try:
        running = Lab(port, own / "JUPYTER_RUNTIME_DIR")
        for _ in range(240):
            assert server.poll() is None, f"{command}\n{log.read_text()}"
            try:
                running.ask("status")
                break
            except OSError:
                time.sleep(0.25)
        yield running
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.slow
def test_a_training_of_every_paper_runs_from_its_own_folder_in_jupyterlab(lab, checkout):
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lab.run, [f"notebooks/{paper}/3_train.ipynb" for paper in PAPERS]))
    records = list((checkout / "runs/by-hand").glob("*/*/record.json"))
    assert sorted(path.parts[-3] for path in records) == sorted(PAPERS)
    assert [path.parts[-2] for path in records] == [json.loads(path.read_text())["run"] for path in records]
    assert [path for path in checkout.glob("notebooks/*/*") if path.suffix != ".ipynb"] == []


@pytest.fixture
def call_papermill(tmp_path):
    """Call papermill in an empty folder, with a library that lies in no checkout."""
    shutil.copytree(ROOT / "agegender", tmp_path / "site/agegender", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "empty").mkdir()
    environment = environment_of(tmp_path) | {"PYTHONPATH": str(tmp_path / "site")}

    def call(notebook, *options):
        command = [BIN / "papermill", ROOT / "notebooks" / notebook, "out.ipynb", "--no-progress-bar", *options]
        return subprocess.run(command, cwd=tmp_path / "empty", env=environment, capture_output=True, text=True)

    return call


@pytest.mark.slow
def test_notebooks_run_in_an_empty_folder_without_a_checkout(call_papermill, tmp_path):
    for page in ("3_train", "4_cross_validate"):
        done = call_papermill(f"commonvoice/{page}.ipynb")
        assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["out.ipynb"]
    made = tmp_path / "XDG_CACHE_HOME/agegender"
    assert sorted(path.name for path in made.iterdir()) == ["cache", "miniatures", "runs"]
    assert (made / "runs/by-hand/commonvoice/cnn-as_intended-fold0-seed0/record.json").is_file()


@pytest.mark.slow
def test_a_misspelt_parameter_ends_a_notebook_before_anything_runs(call_papermill, tmp_path):
    done = call_papermill("lmtcnn/3_train.ipynb", "-p", "flod", "1")
    assert done.returncode != 0
    assert "this notebook has no parameter 'flod'. Did you mean 'fold'?" in done.stderr
    assert not (tmp_path / "XDG_CACHE_HOME/agegender").exists()
