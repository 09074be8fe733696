"""Execute one notebook with papermill and keep the result only if it is whole.

    python book/tools/run_notebook.py notebooks/lmtcnn/1_explore.ipynb out/notebook.ipynb --parameters '{"seed": 1}'

The executed copy is written beside its target and moved into place at the end. A notebook that fails stays as
``<name>.failed.ipynb``, with its traceback, and is never taken for a result.
"""

import argparse
import difflib
import fcntl
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill
from lifeline import end_with_parent, yield_with_us
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from stamps import code_hash, move_to_before, read_stamp, why_of_another_run, write_stamp, written
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ("model.safetensors", "ended.json")
"""The weights of a run, and the note that they are all that is left of its training."""
LAST_WEIGHTS = "last.safetensors"
"""Those of the last step: a notebook tests them, and nobody needs them afterwards."""


class NotebookError(Exception):
    """The notebook cannot be run as asked, or did not run to its end; the message says why."""


class Progress:
    """A text stream that prints whole lines with the name of the run before each."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rest = ""

    def write(self, text: str) -> None:
        """Print the lines that ``text`` completes; of a line rewritten by carriage returns only its last form."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.say(line.rstrip().rpartition("\r")[2])

    def say(self, line: str) -> None:
        """Print one line."""
        if line.strip():
            print(f"{self.name}: {line}", flush=True)

    def flush(self) -> None:
        """Do nothing: a line is printed when it is complete."""


class VisibleClient(PapermillNotebookClient):
    """Papermill's client that says which cell it starts."""

    def execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
        """Print ``cell 3/12`` for a code cell, then execute it."""
        code = [index for index, each in enumerate(self.nb.cells) if each.cell_type == "code"]
        if cell_index == 0:
            yield_with_us()
        if cell_index in code:
            self.stdout_file.say(f"cell {code.index(cell_index) + 1}/{len(code)}")
        return super().execute_cell(cell, cell_index, *args, **kwargs)


class VisibleEngine(NBClientEngine):
    """Papermill's engine with the client above."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """Execute the notebook; ``options`` are those that papermill gives to every engine.

        The kernel is reached through files, not through network ports, for which runs side by side would compete.
        """
        with tempfile.TemporaryDirectory(prefix="agegender-") as sockets:  # a short path: names of sockets are limited
            files = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})
            fixed = {"kernel_name": kernel_name, "startup_timeout": 180, "config": files}
            return VisibleClient(nb_man, stdout_file=options["stdout_file"], **fixed).execute()


papermill_engines.register("visible", VisibleEngine)


def check_parameters(notebook: Path, parameters: dict[str, Any]) -> None:
    """Raise `NotebookError` if the notebook does not declare one of ``parameters`` in its tagged cell.

    Papermill itself only warns, and would run with the defaults.
    """
    declared = sorted(papermill.inspect_notebook(str(notebook)))
    for name in parameters:
        if name not in declared:
            near = difflib.get_close_matches(name, declared, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(declared) or "none: no cell of it is tagged 'parameters'"
            raise NotebookError(f"{notebook} has no parameter {name!r}.{hint} It declares: {known}")


def prepare_folder(folder: Path, notebook: Path, parameters: dict[str, Any], data: str = "") -> None:
    """Start with an empty run folder if it belongs to another run; otherwise keep it: the run resumes.

    Another run is one of other code, parameters or data (``data`` is the state of the corpora, empty if unknown), or
    one that was not started here. What was there is not lost: it becomes ``<run>.before``, in the place of an older
    one, until the next such change.
    """
    sources = [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    planned = {"code": code_hash(sources), "parameters": parameters, "data": data}
    if folder.is_dir() and any(folder.iterdir()) and (reason := why_of_another_run(folder, planned, has_ended=False)):
        print(f"note: {folder}: {reason}; moved to {move_to_before(folder)}", flush=True)
    write_stamp(folder, planned)


def finish_folder(folder: Path, writes: tuple[str, ...], keeps_weights: bool) -> None:
    """Note which files a run that has ended wrote; remove the weights that are not to be kept."""
    write_stamp(folder, read_stamp(folder) | {"written": written(folder, writes)})
    for name in (LAST_WEIGHTS, *(() if keeps_weights else WEIGHTS)):
        (folder / name).unlink(missing_ok=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process works in ``folder``, and keep others out until the block ends.

    On a cluster, a job of a call that was killed may still be at work when the next call submits it again.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder}: another process is at work here; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_complete(executed: Path) -> None:
    """Raise `NotebookError` unless an executed notebook ran to its end without an exception."""
    notebook = nbformat.read(executed, 4)
    about = notebook.metadata.get("papermill", {})
    if not about.get("end_time") or about.get("exception"):
        raise NotebookError(f"{executed} did not run to its end")


def describe(error: PapermillExecutionError) -> str:
    """Return what failed, and the lines of the traceback that failed, innermost last, without terminal colours."""
    trace = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", "\n".join(error.traceback)).splitlines()
    places = [line for line in trace if line.startswith(("Cell In", "File "))]
    arrows = [line for line in trace if re.match(r"-+> *\d", line)]
    where = [f"  {place}\n    {arrow}" for place, arrow in zip(places, arrows, strict=False)]
    return "\n".join([f"cell {error.exec_count} raised {error.ename}: {error.evalue}", *where[:1], *where[1:][-3:]])


def run(
    notebook: Path,
    output: Path,
    parameters: dict[str, Any],
    name: str,
    writes: tuple[str, ...] = (),
    data: str = "",
    keeps_weights: bool = True,
) -> None:
    """Execute ``notebook`` into ``output``; raise `NotebookError` if it fails or leaves out a file of ``writes``.

    ``writes`` are names of files in the folder of ``output``; ``name`` stands before each line of progress. ``data`` is
    the state of the corpora that it reads, empty if unknown.
    """
    check_parameters(notebook, parameters)
    prepare_folder(output.parent, notebook, parameters, data)
    running, failed = output.with_suffix(".running.ipynb"), output.with_suffix(".failed.ipynb")
    started = time.monotonic()
    try:
        papermill.execute_notebook(
            str(notebook), str(running), parameters=parameters, engine_name="visible",
            stdout_file=Progress(name), progress_bar=False, cwd=str(ROOT),
        )  # fmt: skip
        check_complete(running)
        missing = [file for file in writes if not (output.parent / file).is_file()]
        if missing:
            raise NotebookError(f"{notebook} ended without writing {', '.join(missing)} to {output.parent}")
    except DeadKernelError:
        raise NotebookError(f"the kernel died (out of memory, or killed); see {running}") from None
    except PapermillExecutionError as error:
        running.replace(failed)
        raise NotebookError(f"{describe(error)}\nsee {failed}") from None
    failed.unlink(missing_ok=True)
    finish_folder(output.parent, writes, keeps_weights)
    running.replace(output)
    print(f"{name}: done in {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    """Parse the command line, run, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--parameters", type=json.loads, default={}, help="a JSON object")
    parser.add_argument("--name", default="", help="stands before each line of progress")
    parser.add_argument("--writes", nargs="*", default=[], help="files that the notebook must leave beside its output")
    parser.add_argument("--call", type=Path, help="what make_book.py has found out about all runs")
    given = parser.parse_args()
    end_with_parent()
    name = given.name or given.notebook.stem
    facts = json.loads(given.call.read_text())["runs"].get(str(given.output), {}) if given.call else {}
    data, keeps_weights = facts.get("data", ""), facts.get("keeps_weights", True)
    try:
        with alone_in(given.output.parent):
            run(given.notebook, given.output, given.parameters, name, tuple(given.writes), data, keeps_weights)
    except NotebookError as error:
        print(f"{name}: FAILED: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
