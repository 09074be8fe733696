"""What ``make book`` and ``make runs`` do: run the Snakefile for one preset, alone, and say what came of it.

Only one call at a time works in a checkout. A call that was killed leaves nothing to clean up: the lock goes with
its process, and Snakemake repeats the jobs that had not ended.
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from lifeline import end_with_parent
from plan import BEFORE, PRESETS, Preset, PresetError, read_preset, recorded_runs

ROOT = Path(__file__).resolve().parents[2]
LOCK = Path(".snakemake/make-book.lock")


def take_lock() -> IO[str]:
    """Return the open lock file of this checkout, or end the program if another live process holds it."""
    LOCK.parent.mkdir(exist_ok=True)
    file = LOCK.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        sys.exit(
            f"another 'make book' is at work in this folder (process {file.read().strip()}): wait for it or stop it"
        )
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def link_data(preset: Preset, data: str) -> bool:
    """Make ``cache/data/<preset>`` point to the reader's data; return whether there are any.

    The link keeps the names of the reader's folders out of run records and pages.
    """
    if not data:
        return False
    folder = Path(data).expanduser().resolve()
    if not folder.is_dir():
        sys.exit(f"AGEGENDER_DATA={data}: no such folder")
    link = Path("cache/data") / preset.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return True


def explain_data(preset: Preset, has_data: bool) -> None:
    """Say what will be computed; end the program if it is nothing."""
    papers = {stage.paper for stage in preset.stages}
    if preset.corpora or has_data:
        print(f"preset {preset.name}: {sum(len(stage.runs) for stage in preset.stages)} notebook runs", flush=True)
    elif any(recorded_runs(preset.name, paper) for paper in papers):
        print(f"preset {preset.name}, no AGEGENDER_DATA: only the pages from committed records are built", flush=True)
    else:
        sys.exit(
            f"preset {preset.name} needs data: make book PRESET={preset.name} AGEGENDER_DATA=<folder>\n"
            "The chapter 'Reproduce' of the book (book/reproduce.md) says what the folder holds."
        )


def set_aside_foreign_runs(preset: Preset) -> None:
    """Move run folders that the preset does not list out of the way: tables read every run of their folder."""
    for paper in {stage.paper for stage in preset.stages}:
        known = {run for stage in preset.stages if stage.paper == paper for run in stage.runs}
        for folder in sorted(Path("runs", preset.name, paper).glob("*")):
            if folder.name.removesuffix(BEFORE) not in known:
                target = Path("runs/set-aside", preset.name, paper, f"{folder.name}-{time.time_ns()}")
                target.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(target)
                print(f"note: {folder} is no run of preset {preset.name}: moved to {target}", flush=True)


def snakemake(preset: Preset, has_data: bool, jobs: int, target: str, lock: IO[str]) -> int:
    """Run Snakemake and return its exit status; the lock is held until it ends, even if this process does not live."""
    program = str(Path(sys.executable).parent / "snakemake")
    config = ["--config", f"preset={preset.name}", f"data={has_data}", "lifeline=True"]
    options = ["--nolock", "--rerun-incomplete", "--keep-going", "--rerun-triggers", "mtime", "params", "input"]
    quiet = ["--quiet", "host", "reason", "rules"]
    command = [program, "--cores", str(jobs), *options, *quiet, *config, "--", target]
    try:
        return subprocess.run(command, pass_fds=[lock.fileno()]).returncode
    except KeyboardInterrupt:
        return 130


def outdated_runs(preset: Preset) -> dict[str, list[str]]:
    """Return commit -> runs that were made with a state of ``agegender/`` that differs from the present one."""
    by_commit: dict[str, list[str]] = {}
    for stage in preset.stages:
        for run in stage.runs:
            record = Path(stage.folder(run)) / "record.json"
            commit = json.loads(record.read_text()).get("commit") if record.is_file() else None
            if commit:
                by_commit.setdefault(commit, []).append(run)
    same = {commit for commit in by_commit if _same_library(commit)}
    return {commit: runs for commit, runs in by_commit.items() if commit not in same}


def _same_library(commit: str) -> bool:
    command = ["git", "diff", "--quiet", commit.rstrip("+"), "--", "agegender"]  # "+": there were uncommitted edits
    return subprocess.run(command, capture_output=True).returncode != 1  # 128: no git here, or no such commit


def conclude(preset: Preset, status: int, target: str, seconds: float) -> None:
    """Print the last lines: where the book is or how to go on, and which runs an edit of the library has outdated."""
    for commit, runs in outdated_runs(preset).items():
        print(f"note: {len(runs)} runs were made with agegender/ as of {commit} and it has changed since;")
        print(f"      to repeat them: rm -r runs/{preset.name}")
    if status:
        print(
            f"stopped after {seconds:.0f} s; what has ended is kept: the next call goes on from there", file=sys.stderr
        )
    elif target == "book":
        print(f"the book is ready after {seconds:.0f} s: {(ROOT / 'book/_build/html/index.html').as_uri()}")
    else:
        print(f"all runs have ended after {seconds:.0f} s: runs/{preset.name}")


def main() -> int:
    """Parse the command line, run, conclude, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=["book", "runs"])
    parser.add_argument("--preset", default="miniature")
    parser.add_argument("--jobs", default="", help="cores to use; all that there are by default")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    end_with_parent()
    started = time.monotonic()
    try:
        preset = read_preset(PRESETS / f"{arguments.preset}.yaml")
    except PresetError as error:
        sys.exit(str(error))
    lock = take_lock()
    has_data = link_data(preset, os.environ.get("AGEGENDER_DATA", ""))
    explain_data(preset, has_data)
    set_aside_foreign_runs(preset)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    status = snakemake(preset, has_data, int(arguments.jobs or cores), arguments.target, lock)
    conclude(preset, status, arguments.target, time.monotonic() - started)
    return status


if __name__ == "__main__":
    sys.exit(main())
