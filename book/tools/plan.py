"""From a preset to the list of notebooks to run: which, with which parameters, after which others.

A preset (``presets/<name>.yaml``) has for each paper its stages, one per notebook. A stage with a ``matrix`` is
run once for every combination of its values; each combination is a run with a folder of its own.
`CONTRIBUTING.md` describes every key.
"""

import difflib
import itertools
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

PRESETS = Path("presets")
STAGES = "stages.yaml"
"""What all presets share, beside them: the stages of each paper, what each needs and writes. It is no preset."""
RESULTS = Path("book/results")
RECORDS = "-records"
"""Ending of the folder in ``runs/`` whose notebooks were computed from committed records."""

BEFORE = ".before"
"""Ending of a run folder that other code or parameters have made; no table reads it."""

Values = dict[str, Any]


class PresetError(ValueError):
    """A preset that cannot be read; the message names the file, the place and what is expected."""


@dataclass(frozen=True)
class Stage:
    """One notebook of one paper in one preset."""

    preset: str
    paper: str
    name: str
    corpora: tuple[str, ...]
    threads: int | None
    """Threads of each run; ``None`` means all cores, one run at a time."""
    run: str
    matrix: dict[str, list[Any]] = field(default_factory=dict)
    parameters: Values = field(default_factory=dict)
    after: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    from_records: bool = False
    reads: str = ""
    """The paper whose runs ``{records}`` names, if it is another one."""
    without: tuple[Values, ...] = ()
    """Combinations of the matrix that are not run: those that agree with one entry in all of its values (or lists)."""
    where: tuple[Values, ...] = ()
    """Other parameters of some runs: entries with ``runs``, matrix values that a run has to agree with, and
    ``parameters``, which take the place of the stage's. Of several entries the last counts."""
    rank: int = 0
    """Of runs that have the same turn, those of a lower rank come first."""
    weights: str = "all"
    """Of which runs the weights stay: ``all``, or ``shown`` (and those that later runs start from)."""
    resources: dict[str, int] = field(default_factory=dict)
    """What a run asks a cluster for: ``gpu``, ``mem_mb``, ``runtime`` in minutes. On one machine they are not read."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Runs that a reader would expect and that are not in the matrix -> why."""

    @property
    def notebook(self) -> str:
        """Path of the notebook, relative to the root of the project."""
        return f"notebooks/{self.paper}/{self.name}.ipynb"

    @property
    def source(self) -> str:
        """The paper whose runs are read."""
        return self.reads or self.paper

    @property
    def runs(self) -> dict[str, Values]:
        """Name of each run -> the values of the matrix that it stands for."""
        return {self.run.format(**values): values for values in self.combinations}

    @property
    def combinations(self) -> list[Values]:
        """Every combination of the values of the matrix, less those that ``without`` takes out."""
        every = [dict(zip(self.matrix, row, strict=True)) for row in itertools.product(*self.matrix.values())]
        return [values for values in every if not any(agrees(values, entry) for entry in self.without)]

    @property
    def keeps_weights_of(self) -> tuple[str, ...] | None:
        """The runs whose weights stay; ``None`` for all."""
        return None if self.weights == "all" or "model.safetensors" in self.writes else self.shown

    def folder(self, run: str, root: str = "runs") -> str:
        """Return the folder of one run."""
        return f"{root}/{self.preset}/{self.paper}/{run}"

    def parameters_of(self, run: str, places: dict[str, str]) -> Values:
        """Return what is injected into the notebook: the matrix values and the parameters with ``{names}`` filled in.

        ``places`` has the paths that a preset may name: ``data``, the folder of corpora, and ``records``, the folder
        of all runs of the paper (or of the paper that the stage ``reads``). Beside them it may name ``{preset}``,
        ``{paper}``, ``{run}`` and the matrix values.
        """
        values = self.runs[run]
        known = {**values, **places, "preset": self.preset, "paper": self.paper, "run": run}
        own = dict(self.parameters)
        for entry in self.where:
            own |= entry["parameters"] if agrees(values, entry["runs"]) else {}
        filled = {key: value.format(**known) if isinstance(value, str) else value for key, value in own.items()}
        return {**values, **filled}


@dataclass(frozen=True)
class Preset:
    """One file of ``presets/``."""

    name: str
    corpora: dict[str, Values]
    """Miniature corpora to write: name -> arguments of ``agegender miniature``. Empty: the reader brings the data."""
    stages: tuple[Stage, ...]

    @property
    def data(self) -> str:
        """The folder of corpora: the miniatures, or a link to what the reader brings."""
        return f"miniatures/{self.name}" if self.corpora else f"cache/data/{self.name}"

    def parameters_of(self, stage: Stage, run: str) -> Values:
        """Return what is injected into the notebook of a run."""
        return stage.parameters_of(run, {"data": self.data, "records": f"runs/{self.name}/{stage.source}"})

    def stage(self, paper: str, name: str) -> Stage:
        """Return one stage; raise `PresetError` when there is none of that name."""
        for stage in self.stages:
            if (stage.paper, stage.name) == (paper, name):
                return stage
        raise PresetError(f"presets/{self.name}.yaml: {paper} has no stage {name!r}")

    def needed_by(self, stage: Stage, run: str) -> list[tuple[Stage, str]]:
        """Return the runs that must have ended before this one.

        Of a stage named in ``after``, these are the runs that agree with ours in every matrix value that both have:
        fold 2 of the training needs the pretraining of its own model and seed; a stage without matrix needs all.
        """
        values = stage.runs[run]
        needed = []
        for reference in stage.after:
            paper, _, name = reference.rpartition("/")
            earlier = self.stage(paper or stage.paper, name)
            for other, theirs in earlier.runs.items():
                if all(values[key] == theirs[key] for key in values.keys() & theirs.keys()):
                    needed.append((earlier, other))
        return needed


def agrees(values: Values, entry: Values) -> bool:
    """Say whether a run has the value of ``entry``, or one of its list of values, under every key that it names.

    >>> agrees({"model": "cnn", "fold": 1}, {"fold": [1, 2]})
    True
    """
    return all(key in values and values[key] in _as_list(wanted) for key, wanted in entry.items())


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def check_keys(where: str, given: Values, allowed: tuple[str, ...]) -> None:
    """Raise `PresetError` for a key that is not one of ``allowed``."""
    for key in given:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise PresetError(f"{where}: unknown key {key!r}{hint} Allowed: {', '.join(allowed)}")


def read_stage(where: str, preset: Values, paper: tuple[str, Values], stage: tuple[str, Values]) -> Stage:
    """Build one stage from its part of a preset."""
    name, given = stage[0], stage[1] or {}
    where = f"{where}: {paper[0]}: {name}"
    keys = tuple(each.name for each in fields(Stage) if each.name not in ("preset", "paper", "name", "corpora"))
    check_keys(where, given, keys)
    if given.get("matrix") and "run" not in given:
        raise PresetError(f"{where}: a matrix needs 'run', the pattern of the run names, e.g. 'fold{{fold}}'")
    threads: Any = given.get("threads", preset.get("threads", "all"))
    lists = {key: tuple(given.get(key) or ()) for key in ("after", "writes", "shown", "without", "where")}
    made = Stage(
        preset=preset["name"],
        paper=paper[0],
        name=name,
        corpora=tuple(paper[1].get("corpora") or ()),
        threads=None if threads == "all" else int(threads),
        run=given.get("run", name),
        matrix=given.get("matrix") or {},
        parameters=given.get("parameters") or {},
        from_records=bool(given.get("from_records")),
        reads=given.get("reads") or "",
        rank=given.get("rank", 0),
        weights=preset.get("weights", "all"),
        resources=given.get("resources") or {},
        left_out=given.get("left_out") or {},
        **lists,
    )
    check_runs(where, made)
    return made


def check_runs(where: str, stage: Stage) -> None:
    """Raise `PresetError` when run names collide, or when a shown run is not one of them."""
    for entry in stage.without:
        for key, value in ((key, each) for key, wanted in entry.items() for each in _as_list(wanted)):
            if value not in stage.matrix.get(key, []):
                raise PresetError(f"{where}: 'without' names {key}: {value!r}, which is not in the matrix")
    for entry in stage.where:
        check_keys(f"{where}: where", entry, ("runs", "parameters"))
        if not any(agrees(values, entry.get("runs", {})) for values in stage.combinations):
            raise PresetError(f"{where}: no run is one 'where' {entry.get('runs')}")
    wanted = len(stage.combinations)
    if len(stage.runs) != wanted or not wanted:
        raise PresetError(f"{where}: the pattern {stage.run!r} gives {len(stage.runs)} names to {wanted} runs")
    for run in stage.shown:
        if run not in stage.runs:
            raise PresetError(f"{where}: shown run {run!r} is not one of {', '.join(stage.runs)}")


def together(shared: Values, own: Values, corpus: str | None) -> Values:
    """Return the stages of a paper: those of ``presets/stages.yaml``, with what a preset says of each over it.

    Parameters are put together, any other key of the preset takes the place of the shared one. A stage that the preset
    sets to ``false`` is not run. ``{corpus}`` in a shared parameter is the ``corpus`` of the paper.
    """
    stages = {}
    for name in [*shared, *(name for name in own if name not in shared)]:
        base, over = shared.get(name) or {}, own.get(name)
        if over is not False:
            parameters = {
                key: corpus if value == "{corpus}" else value for key, value in (base.get("parameters") or {}).items()
            }
            parameters |= (over or {}).get("parameters") or {}
            stages[name] = base | (over or {}) | ({"parameters": parameters} if parameters else {})
    return stages


def read_preset(path: Path) -> Preset:
    """Read a preset; raise `PresetError` for an unknown file, key, stage or run."""
    if not path.is_file():
        raise PresetError(f"no preset {path.stem!r}: {path.parent} has {', '.join(preset_names(path.parent))}")
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    check_keys(str(path), given, ("threads", "corpora", "papers", "weights"))
    if given.get("weights", "all") not in ("all", "shown"):
        raise PresetError(f"{path}: 'weights' is {given['weights']!r}: expected all or shown")
    given["name"] = path.stem
    shared = path.with_name(STAGES)
    graph = yaml.safe_load(shared.read_text(encoding="utf-8")) if shared.is_file() else {}
    stages = []
    for name, paper in given["papers"].items():
        paper = paper or {}
        check_keys(f"{path}: {name}", paper, ("corpora", "corpus", "stages"))
        merged = together(graph.get(name, {}), paper.get("stages") or {}, paper.get("corpus"))
        stages += [read_stage(str(path), given, (name, paper), each) for each in merged.items()]
    preset = Preset(path.stem, given.get("corpora") or {}, tuple(stages))
    for stage in stages:
        for run in stage.runs:
            preset.needed_by(stage, run)  # raises for a stage that does not exist
    return preset


def preset_names(folder: Path = PRESETS) -> list[str]:
    """Return the names of all presets."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.name != STAGES)


def kept_notebook(stage: Stage, results: Path = RESULTS) -> Path:
    """Where the executed notebook of a stage is kept with the records: a real exploration, one real training."""
    return results / stage.preset / stage.paper / f"{stage.name}.ipynb"


def recorded_runs(preset: str, paper: str, results: Path = RESULTS) -> list[str]:
    """Return the names of the committed runs of a paper, those with a record and predictions."""
    found = (path.parent for path in (results / preset / paper).glob("*/record.json"))
    return sorted(folder.name for folder in found if (folder / "predictions.parquet").is_file())


def pattern_of(names: list[str]) -> str:
    """Return a regular expression that matches exactly these names."""
    return "|".join(re.escape(name) for name in sorted(names)) or "(?!)"
