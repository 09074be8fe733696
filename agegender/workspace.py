"""Where a notebook finds its data and leaves its results, from whatever folder its kernel was started in.

JupyterLab starts a kernel in the notebook's own folder, papermill in the caller's, Colab in an empty one. What a
notebook makes by itself (miniatures, caches, runs by hand) lies below one *project folder*: the checkout in which it
is run, else the one that the library was installed from, else a folder in the user's cache.
"""

import ast
import difflib
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agegender.evaluation.records import has_run_name, is_finished, run_name
from agegender.miniatures.catalog import PACKS, WRITERS

MINIATURE = "miniature"
"""The parameter ``data`` that stands for drawn people."""

NUM_SUBJECTS = {"adience": 40, "celeba": 24, "timit": 24, "voxceleb": 20, "musan": 6, "rirs": 6, "voicepack": 40}
"""People of a miniature that a notebook makes for itself; 40 of the others. Enough for each notebook, in seconds."""

BY_HAND = "by-hand"
_INJECTED = "# Parameters\n"
"""The first line of the cell in which papermill assigns what it was given."""


def project_folder() -> Path:
    """Return the folder below which miniatures, caches and runs by hand lie.

    Relative to the working directory where that is in a checkout, so that no page shows the names of its folders.
    """
    checkout = _checkout_around()
    if checkout is not None:
        return checkout
    library = Path(__file__).resolve().parents[1]
    return library if _is_checkout(library) else _user_cache() / "agegender"


def cache_folder() -> Path:
    """Return the folder for whatever can be computed again: decoded pictures and clips, unpacked archives."""
    return project_folder() / "cache"


def data_folder(data: str | Path, *corpora: str) -> Path:
    """Return the folder of the corpora, or packs, that a notebook asks for by its parameter ``data``.

    ``"miniature"`` is a miniature of ``corpora``, drawn on first use. Anything else is a path; a relative one starts
    at the checkout around the working directory, if there is one. Raises ``FileNotFoundError`` for a path that does not
    exist, ``ValueError`` for a corpus without miniature, and ``NameError`` as ``check_parameters`` does.
    """
    check_parameters()
    if str(data) != MINIATURE:
        found = _given(data)
        if not found.exists():
            raise FileNotFoundError(f"data={str(data)!r}: {found.resolve()} does not exist")
        return found
    folder = project_folder() / "miniatures" / BY_HAND
    for corpus in corpora:
        _draw("voicepack" if corpus == "speechocean762" else corpus, folder)
    return folder


def run_folder(given: str | Path, paper: str, parameters: Mapping[str, Any], name: str = "") -> Path:
    """Return the folder of a run, made and found fit for it before anything is trained.

    ``given`` is any folder, relative as in ``data_folder``; ``""`` is ``runs/by-hand/``, ``paper`` and ``name`` below
    the project folder. ``name`` is by default that of a run with ``parameters``. Raises ``ValueError`` when the folder
    has the name of another run, holds a finished run of other ``parameters`` or cannot be written.
    """
    name = name or run_name(parameters)
    folder = _given(given) if str(given) else project_folder() / "runs" / BY_HAND / paper / name
    if has_run_name(folder) and folder.name != name:
        raise ValueError(
            f"run_folder={str(given)!r} has the name of another run: this one is {name}. Give it that name, or one "
            "that does not end like a run, or leave run_folder empty"
        )
    if changes := _differences(folder, parameters):
        raise ValueError(
            f"{folder} holds a finished run with {'; '.join(changes)}: delete it, or name another folder by run_folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"run_folder={str(given)!r}: {folder} cannot be written ({error.strerror})") from None
    if not str(given):
        print(f"this run is kept in {folder}")
    return folder


def pretrained_weights(folder: Path, notebook: str, parameters: Mapping[str, Any]) -> Path:
    """Return the file of weights in the run folder ``folder``, which ``notebook`` makes with ``parameters``.

    Raises ``FileNotFoundError`` with the command that makes it.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        given = "".join(f" -p {name} {value}" for name, value in {**parameters, "run_folder": folder.resolve()}.items())
        raise FileNotFoundError(
            f"{weights} does not exist, and this model starts from it. Run {notebook} first, with the same data:\n"
            f"    papermill {notebook} out.ipynb{given}"
        )
    return weights


def records_folder(given: str | Path, paper: str) -> Path:
    """Return the folder with the runs of ``paper`` that a page is to read.

    ``given`` is a path as in ``run_folder``. ``""`` is the first of these that holds a finished run: the runs by hand,
    those of the miniature book, the committed records of real runs. Raises ``FileNotFoundError`` that says which
    notebook to run first when there is none, and ``NameError`` as ``check_parameters`` does.
    """
    check_parameters()
    if str(given):
        return _given(given)
    project = project_folder()
    places = [f"runs/{BY_HAND}/{paper}", f"runs/miniature/{paper}", f"book/results/open/{paper}"]
    for folder in (project / place for place in places):
        if any(is_finished(run) for run in folder.glob("*")):
            print(f"runs in {folder}")
            return folder
    raise FileNotFoundError(
        f"no finished run of {paper} in {', '.join(places)} below {project.resolve()}: run "
        f"notebooks/{paper}/3_train.ipynb first, or name a folder of runs by the parameter records"
    )


def check_parameters() -> None:
    """Raise ``NameError`` when papermill was given a parameter that the notebook does not declare: it only warns.

    What it was given stands in a cell of assignments behind the notebook's own; each name in it has to be assigned in
    a cell before. Without a kernel nothing is checked.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    declared: set[str] = set()
    for cell in shell.user_ns.get("In", ()) if shell else ():
        names = _assigned(cell)
        for name in sorted(names - declared) if cell.startswith(_INJECTED) else ():
            near = difflib.get_close_matches(name, declared, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise NameError(
                f"this notebook has no parameter {name!r}.{hint} It declares: {', '.join(sorted(declared))}"
            )
        declared |= names


def _assigned(cell: str) -> set[str]:
    try:
        body = ast.parse(cell).body
    except SyntaxError:  # a cell that failed
        return set()
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _differences(folder: Path, parameters: Mapping[str, Any]) -> list[str]:
    """Say in what the finished run in ``folder`` differs, if there is one; only what its record knows is compared."""
    try:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    old, new = record.get("parameters", {}), json.loads(json.dumps(dict(parameters)))
    return [f"{name} {old[name]!r}, not {new[name]!r}" for name in new if name in old and old[name] != new[name]]


def _draw(corpus: str, folder: Path) -> None:
    """Draw the miniature of ``corpus`` below ``folder`` unless it is there; of two notebooks at once, one waits."""
    if corpus not in WRITERS or corpus == "folder":
        raise ValueError(
            f"there is no miniature of corpus {corpus!r}: give the folder of it by the parameter data, or one of "
            f"{', '.join(sorted(WRITERS.keys() - {'folder'}))} by the parameter corpus"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{corpus}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / PACKS.get(corpus, corpus)).exists():
            print(f"drawing a miniature of {corpus}, once, into {folder}", flush=True)
        WRITERS[corpus](folder if corpus in PACKS else folder / corpus, NUM_SUBJECTS.get(corpus, 40), 0)


def _given(path: str | Path) -> Path:
    """A path that a parameter names; a relative one starts at the checkout around the working directory."""
    return (_checkout_around() or Path()) / Path(path).expanduser()


def _checkout_around() -> Path | None:
    """The checkout that holds the working directory, relative to it."""
    here = Path.cwd()
    for depth, folder in enumerate((here, *here.parents)):
        if _is_checkout(folder):
            return Path(*[".."] * depth)
    return None


def _is_checkout(folder: Path) -> bool:
    about = folder / "pyproject.toml"
    return (folder / "presets").is_dir() and about.is_file() and '\nname = "agegender"\n' in about.read_text("utf-8")


def _user_cache() -> Path:
    """The folder that the system has for caches; ``XDG_CACHE_HOME`` goes first."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
