"""What the Makefile installs, and what it refuses."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.book.conftest import ROOT

TOOLS = ("sh", "make", "cksum", "cat", "tr", "rm", "touch", "cut", "awk")


@pytest.fixture
def wheel(tmp_path):
    """A package of one empty module, as a wheel in a folder of its own."""
    path = tmp_path / "wheels/nothing_much-1.0-py3-none-any.whl"
    path.parent.mkdir()
    about = "nothing_much-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nothing_much.py", "")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: nothing-much\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


def install(lock, wheel, target):
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", wheel.parent, "--target", target]
    return subprocess.run([*command, "--require-hashes", "-r", lock], capture_output=True, text=True)


@pytest.mark.slow
def test_a_lock_that_was_tampered_with_is_refused(tmp_path, wheel):
    lock, target = tmp_path / "requirements.lock", tmp_path / "installed"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock.write_text(f"nothing-much==1.0 \\\n    --hash=sha256:{digest}\n")
    assert install(lock, wheel, target).returncode == 0
    assert (target / "nothing_much.py").exists()
    lock.write_text(lock.read_text().replace(digest, digest[::-1]))
    shutil.rmtree(target)
    refused = install(lock, wheel, target)
    assert refused.returncode != 0
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not target.exists()


@pytest.fixture
def project(tmp_path):
    """The Makefile with a small lock, in an environment with a few tools and no Python."""
    root, tools = tmp_path / "project", tmp_path / "tools"
    root.mkdir()
    tools.mkdir()
    shutil.copy(ROOT / "Makefile", root)
    (root / "requirements.lock").write_text("# first\n")
    (root / "detector.lock").write_text("# detector\n")
    (root / "pyproject.toml").write_text("")
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name))
    return root


def make(root, *options):
    environment = {**os.environ, "PATH": str(root.parent / "tools")}
    make = str(root.parent / "tools/make")
    done = subprocess.run([make, "-C", root, *options], capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def add_python(root, name, script):
    path = root.parent / "tools" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_a_python_that_runs_make_says_which_it_needs(project):
    add_python(project, "python3.12", "echo 'no such version' >&2; exit 127")  # a name that a version manager left
    add_python(project, "python3", "exit 1")  # a Python of another version
    status, output = make(project, "book")
    assert status != 0
    assert "No usable Python 3.11, 3.12 or 3.13 was found" in output
    assert not (project / ".venv").exists()


def test_the_first_python_that_runs_makes_the_environment(project):
    add_python(project, "python3.13", "exit 127")
    add_python(
        project, "python3.12", f'case "$1" in --version) echo Python 3.12;; -m) echo "$@" > {project}/called;; esac'
    )
    status, output = make(project, "book")
    assert status != 0  # this Python makes no .venv
    assert "Making .venv with Python 3.12" in output
    assert (project / "called").read_text() == "-m venv --clear .venv\n"


def test_only_another_lock_or_other_metadata_installs_again(project):
    def stamp(kind, *names):
        content = b"".join((project / name).read_bytes() for name in names)
        checksum = subprocess.run([shutil.which("cksum")], input=content, capture_output=True, check=True).stdout
        return project / ".venv" / f".{kind}-{checksum.decode().strip().replace(' ', '-')}"

    (project / ".venv").mkdir()
    stamp("lock", "requirements.lock", "detector.lock").touch()
    stamp("library", "pyproject.toml").touch()
    assert "pip install" not in make(project, "-n", "book")[1]
    (project / "pyproject.toml").write_text("# changed\n")
    again = make(project, "-n", "book")[1]
    assert "--no-deps" in again
    assert "--require-hashes" not in again
    for name in ("requirements.lock", "detector.lock"):
        kept = (project / name).read_text()
        (project / name).write_text("# second\n")
        again = make(project, "-n", "book")[1]
        assert "--require-hashes -r requirements.lock" in again
        assert "--no-deps --require-hashes -r detector.lock" in again
        (project / name).write_text(kept)


def test_help_names_every_target(project):
    output = make(project, "help")[1]
    for target in ("book", "test", "lab", "bench", "lint", "lock", "clean"):
        assert f"  make {target} " in output
