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

from chapters import not_ended, pages_of_records, pages_of_runs
from corpora_found import missing, state_of_stage, states
from lifeline import end_with_parent
from plan import BEFORE, PRESETS, RESULTS, Preset, PresetError, Stage, read_preset, recorded_runs
from progress import in_words, queue, table_of_runs, targets_to_run
from publish_records import publish_new
from snakemake_call import on_a_cluster, on_this_machine, say, snakemake
from stamps import move_to_before, read_stamp, why_of_another_run, write_stamp

ROOT = Path(__file__).resolve().parents[2]
LOCK = Path(".snakemake/make-book.lock")
WHAT_DATA = "The chapter 'Reproduce' of the book (book/reproduce.md) says what the folder holds."


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


def papers_to_run(preset: Preset, target: str, data: str) -> tuple[list[str], list[str]]:
    """Return the papers whose corpora are there, and a line about each of the others.

    ``data`` is the folder that the reader gave, empty for none. Ends the program if nothing can be done.
    """
    papers = list(dict.fromkeys(stage.paper for stage in preset.stages))
    if preset.corpora:
        return papers, []
    has_records = any(recorded_runs(preset.name, paper) for paper in papers)
    if not data and target == "book" and has_records:
        print(f"preset {preset.name}, no AGEGENDER_DATA: only the pages from committed records are built", flush=True)
        return [], []
    if not data:
        sys.exit(
            f"preset {preset.name} needs data: make {target} PRESET={preset.name} AGEGENDER_DATA=<folder>\n{WHAT_DATA}"
        )
    lacking = {paper: "; ".join(reasons) for paper, reasons in missing(preset, Path(data).expanduser()).items()}
    if len(lacking) == len(papers):
        reasons = "\n".join(f"  {paper}: {reason}" for paper, reason in lacking.items())
        sys.exit(
            f"AGEGENDER_DATA={data}: no paper of preset {preset.name} has its corpora there\n{reasons}\n{WHAT_DATA}"
        )
    left_out = [f"note: {paper} is left out: {reason}" for paper, reason in lacking.items()]
    return [paper for paper in papers if paper not in lacking], left_out


def set_aside_foreign_runs(preset: Preset) -> None:
    """Move run folders that the preset does not list out of the way: tables read every run of their folder."""
    for paper in {stage.paper for stage in preset.stages}:
        known = {run for stage in preset.stages if stage.paper == paper for run in stage.runs}
        for folder in sorted(Path("runs", preset.name, paper).glob("[!.]*")):
            if folder.name.removesuffix(BEFORE) not in known:
                target = Path("runs/set-aside", preset.name, paper, f"{folder.name}-{time.time_ns()}")
                target.parent.mkdir(parents=True, exist_ok=True)
                folder.rename(target)
                print(f"note: {folder} is no run of preset {preset.name}: moved to {target}", flush=True)


def set_aside_runs_of_others(preset: Preset, stages: list[Stage], known: dict[str, str]) -> None:
    """Move runs that have ended, but not as the preset has them, to ``<run>.before``: they are run again.

    Their parameters or data have changed, or somebody else has written into their folder. ``known`` has the states of
    the corpora. A run of an earlier version, which did not note the state of its data, is taken to be of this one.
    """
    for stage, run in [(each, run) for each in stages for run in each.runs]:
        folder, data = Path(stage.folder(run)), state_of_stage(stage, known)
        if not (folder / "notebook.ipynb").is_file():
            continue
        reason = why_of_another_run(folder, {"parameters": preset.parameters_of(stage, run), "data": data})
        if reason:
            print(f"note: {folder} is run again: {reason}; it is now {move_to_before(folder)}", flush=True)
        elif data and "data" not in (stamp := read_stamp(folder)):
            write_stamp(folder, stamp | {"data": data})


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


def failed_runs(stages: list[Stage]) -> list[str]:
    """Return the notebooks of runs that stopped with an error."""
    files = [Path(stage.folder(run), "notebook.failed.ipynb") for stage in stages for run in stage.runs]
    return [str(file) for file in files if file.is_file()]


def conclude(preset: Preset, status: int, target: str, seconds: float, has_book: bool) -> None:
    """Print the last lines: where the book is or how to go on, and which runs an edit of the library has outdated."""
    for commit, runs in outdated_runs(preset).items():
        print(f"note: {len(runs)} runs were made with agegender/ as of {commit} and it has changed since;")
        print(f"      to repeat them: rm -r runs/{preset.name}")
    sys.stdout.flush()
    if status:
        print(
            f"stopped after {seconds:.0f} s; what has ended is kept: the next call goes on from there", file=sys.stderr
        )
    if target == "book" and has_book:
        print(f"the book is ready after {seconds:.0f} s: {(ROOT / 'book/_build/html/index.html').as_uri()}")
    elif target == "runs" and not status:
        print(f"all runs have ended after {seconds:.0f} s: runs/{preset.name}")


def main() -> int:
    """Parse the command line, run, conclude, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=["book", "runs"])
    parser.add_argument("--preset", default="miniature")
    parser.add_argument(
        "--jobs", default="", help="cores to use; all that there are by default. On a cluster: jobs at once"
    )
    parser.add_argument("--repeat", default="", help="anything: also repeat runs whose records are committed")
    parser.add_argument("--profile", default="", help="run on a cluster: the name of a folder of profiles/")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    end_with_parent()
    started = time.monotonic()
    try:
        preset = read_preset(PRESETS / f"{arguments.preset}.yaml")
    except PresetError as error:
        sys.exit(str(error))
    lock = take_lock()
    data = os.environ.get("AGEGENDER_DATA", "")
    has_data = link_data(preset, data)
    papers, left_out = papers_to_run(preset, arguments.target, data)
    stages = [stage for stage in preset.stages if stage.paper in papers]
    known = states(preset, Path(preset.data)) if has_data and not preset.corpora else {}
    if papers:
        print(f"preset {preset.name}: {sum(len(stage.runs) for stage in stages)} notebook runs", flush=True)
    say(left_out)
    set_aside_foreign_runs(preset)
    set_aside_runs_of_others(preset, stages, known)
    where = on_a_cluster(arguments.profile, arguments.jobs) if arguments.profile else on_this_machine(arguments.jobs)
    call = {"papers": papers, "runs": facts_of_runs(stages, known), "missing": {}}
    if arguments.target == "runs" and not preset.corpora:
        status, has_book = run_queue(preset, call, where, bool(arguments.repeat), lock), False
    else:
        status, has_book = run_all(preset, call, where, arguments.target, lock)
    say([f"failed: {file}" for file in failed_runs(stages)] if status else [], sys.stderr)
    say(left_out)
    conclude(preset, status, arguments.target, time.monotonic() - started, has_book)
    return status


def facts_of_runs(stages: list[Stage], known: dict[str, str]) -> dict[str, dict]:
    """Return executed notebook -> what is no parameter of its run: the state of its data, and if its weights stay."""
    return {
        f"{stage.folder(run)}/notebook.ipynb": {
            "data": state_of_stage(stage, known),
            "keeps_weights": stage.keeps_weights_of is None or run in stage.keeps_weights_of,
        }
        for stage in stages
        for run in stage.runs
    }


def run_queue(preset: Preset, call: dict, where: list[str], repeats: bool, lock: IO[str]) -> int:
    """Run what real data are run for, in a balanced order, and publish each run as it ends; return the exit status.

    Runs of which the committed records are here, with these parameters, are not repeated unless it ``repeats`` them.
    """
    known = [planned for planned in queue(preset) if planned.stage.paper in call["papers"]]
    skipped = [planned for planned in known if planned.is_only_published() and not repeats]
    if skipped:
        print(f"{len(skipped)} runs are published in {RESULTS} with these parameters and not repeated (REPEAT=1 does)")
    targets = targets_to_run(preset, call["papers"], skipped.__contains__)

    def publish_ended() -> list[str]:
        return [*publish_new(known), in_words(table_of_runs(preset))]

    say(publish_ended())
    return snakemake(preset, call, where, targets, lock, publish_ended) if targets else 0


def run_all(preset: Preset, call: dict, where: list[str], target: str, lock: IO[str]) -> tuple[int, bool]:
    """Run what is asked for; return the exit status, and whether there is a book.

    When notebooks have failed, the book is built from those that have not, and says on the other pages why.
    """
    status = snakemake(preset, call, where, [target], lock)
    pages = not_ended(preset, [*pages_of_records(), *pages_of_runs(preset, call["papers"])])
    if target != "book" or status != 1 or not pages:
        return status, target == "book" and not status
    print(f"building the book without {len(pages)} pages that could not be computed", flush=True)
    has_book = not snakemake(preset, call | {"missing": pages}, where, [target], lock)
    say([f"not in the book: {page}: {reason}" for page, reason in pages.items()], sys.stderr)
    return status, has_book


if __name__ == "__main__":
    sys.exit(main())
