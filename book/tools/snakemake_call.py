"""Calling Snakemake, and telling a reader what matters of what it says."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from plan import Preset

CALL = Path(".snakemake/make-book.json")
"""What the Snakefile and the runs have to know of this call."""

NOISE = re.compile(
    r"$|\[\w{3} \w{3} [ \d]\d |Assuming unrestricted|Building DAG|Using shell|Provided cores|Rules claiming|"
    r"Select jobs|Execute \d+ jobs|Finished jobid|Complete log|Elapsed time|Exiting because|WorkflowError:|"
    r"At least one job did not|RuleException:|CalledProcessError in file|Command 'set -euo pipefail"
)
"""Lines of Snakemake's that tell a reader nothing: a run that fails has said why by itself."""


STEP = re.compile(r"(\d+) of (\d+) steps .* done$")


def snakemake(
    preset: Preset,
    call: dict,
    where: list[str],
    targets: list[str],
    lock: IO[str],
    at_each_step: Callable[[], list[str]] | None = None,
) -> int:
    """Run Snakemake and return its exit status; the lock is held until it ends, even if this process does not live.

    ``where`` are the options of `on_this_machine` or `on_a_cluster`. ``at_each_step`` is called when a run has ended
    and returns the lines to print then, in the place of how many steps are done.
    """
    CALL.write_text(json.dumps(call), encoding="utf-8")
    program = str(Path(sys.executable).parent / "snakemake")
    config = ["--config", f"preset={preset.name}", f"call={CALL}"]
    options = ["--nolock", "--rerun-incomplete", "--keep-going", "--rerun-triggers", "mtime", "params", "input"]
    quiet = ["--quiet", "host", "reason", "rules"]
    command = [program, *where, *options, *quiet, *config, "--", *targets]
    started = time.monotonic()
    with subprocess.Popen(
        command, pass_fds=[lock.fileno()], stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        try:
            for line in process.stderr or ():
                if at_each_step and STEP.match(line):
                    say(at_each_step())
                else:
                    say(told(line.rstrip(), time.monotonic() - started), sys.stderr)
            return process.wait()
        except KeyboardInterrupt:
            process.kill()
            return 130


def on_this_machine(jobs: str) -> list[str]:
    """Return Snakemake's options for running on as many cores as ``jobs`` says; empty: all that there are."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ["--cores", jobs or str(cores)]


def on_a_cluster(profile: str, jobs: str) -> list[str]:
    """Return Snakemake's options for handing each run to the queue that ``profiles/<profile>`` describes."""
    known = sorted(path.parent.name for path in Path("profiles").glob("*/config.yaml"))
    if profile not in known:
        sys.exit(f"PROFILE={profile}: there is no profiles/{profile}/config.yaml; there are {', '.join(known)}")
    return ["--profile", f"profiles/{profile}", *(["--jobs", jobs] if jobs else [])]


def told(line: str, seconds: float) -> list[str]:
    """Return what a reader is told of a line of Snakemake's, which came ``seconds`` after its start.

    >>> told("14 of 56 steps (25%) done", 600)
    ['14 of 56 steps done; at this pace about 30 min left']
    >>> told("Select jobs to execute...", 600)
    []
    """
    if steps := STEP.match(line):
        done, total = int(steps[1]), int(steps[2])
        left = seconds / 60 * (total - done) / done
        return [f"{done} of {total} steps done" + (f"; at this pace about {left:.0f} min left" if left >= 1 else "")]
    return [] if NOISE.match(line) else [line]


def say(lines: list[str], stream: IO[str] | None = None) -> None:
    """Print lines at once, if there are any."""
    for line in lines:
        print(line, file=stream or sys.stdout, flush=True)
