"""Notebooks run with their default parameters where a reader opens them: in JupyterLab or in a bare folder."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from jupyter_client import BlockingKernelClient

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
TOKEN = "a-token-of-the-test"  # noqa: S105
PAPERS = ("lmtcnn", "levihassner", "imdb", "timit", "commonvoice")


def environment(folder):
    """Of a process that finds this library, and keeps what belongs to a user in ``folder``."""
    own = {name: str(folder / name) for name in ("XDG_CACHE_HOME", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    own |= {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return os.environ | own


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what a kernel needs of a checkout, so that nothing is written into the real one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("notebooks", "presets"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


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
        client.start_channels()
        try:
            client.wait_for_ready(timeout=120)
            for cell in nbformat.reads(json.dumps(self.ask(f"contents/{notebook}")["content"]), 4).cells:
                if cell.cell_type == "code":
                    reply = client.execute_interactive(cell.source, timeout=300, output_hook=lambda message: None)
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
            ["/bin/sh", "-c", f"exec {command}"], cwd=checkout, env=environment(own), stdout=file, stderr=file
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
@pytest.mark.parametrize("paper", PAPERS)
def test_explore_and_train_run_from_their_own_folder_in_jupyterlab(lab, checkout, paper):
    lab.run(f"notebooks/{paper}/1_explore.ipynb")
    lab.run(f"notebooks/{paper}/3_train.ipynb")
    [record] = (checkout / "runs/by-hand" / paper).glob("*/record.json")
    assert record.parent.name == json.loads(record.read_text())["run"]
    assert {path.name for path in checkout.iterdir()} >= {"runs", "miniatures", "cache"}
    assert [path.name for path in (checkout / "notebooks" / paper).iterdir() if path.is_dir()] == []
