"""The house keeps its shape: who may import whom, what stands where, and what no file may hold."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from agegender.corpora.catalog import CORPORA

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "labels": set(),
    "files": set(),
    "data": {"labels", "files"},
    "models": {"labels"},
    "evaluation": {"labels", "files"},
    "corpora": {"data", "labels", "files"},
    "miniatures": {"labels", "files"},
    "workspace": {"evaluation", "miniatures", "files"},
    "training": {"data", "models", "evaluation", "labels", "files"},
    "pipelines": {"training", "data", "models", "evaluation", "labels", "files"},
    "use": {"pipelines", "training", "data", "models", "evaluation", "labels", "files"},
    "cli": {"use", "pipelines", "training", "data", "models", "evaluation", "corpora", "miniatures", "labels", "files"},
    "__init__": set(),
}
"""Room -> the other rooms that it may import. It always knows itself."""
WITHOUT_TORCH = re.compile(r"agegender\.(evaluation|corpora)(\..*)?|agegender\.data\.(manifest|splits|audio)")
TORCH = {"torch", "torchvision", "torchaudio"}
TREE = (
    "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "Snakefile",
    "pyproject.toml", "requirements.lock", "detector.lock", "constraints.txt", "environment.yml", ".ci/run",
    ".github/workflows/ci.yml", ".pre-commit-config.yaml", "presets/miniature.yaml", "presets/open.yaml",
    "presets/paper.yaml", "book/_config.yml", "book/index.md", "book/references.bib", "notebooks", "agegender",
    "data_cards", "tests", "benchmarks",
)  # fmt: skip
REGISTRIES = ("py" + "pi.org", "python" + "hosted.org", "download.py" + "torch.org", "ana" + "conda.org", "npm" + "js.")
MACHINE_PATHS = re.compile(r"(?<![\w./-])/(?:root|work|tmp|Users|home)/(?!someone\b)[\w.-]+")
CARDS = {"imdb": "imdb_wiki", "wiki": "imdb_wiki", "voicepack": "svd"}
"""The card of a corpus, where it has not the name of the corpus."""


def tracked_files():
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def library():
    """Module name -> source of everything in ``agegender``."""
    found = {}
    for path in sorted((ROOT / "agegender").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def imports_of(source):
    """Every module that a source imports, wherever in it; of ``from a import b`` both ``a`` and ``a.b``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def room_of(module):
    return [*module.split("."), "__init__"][1]


def forbidden_imports(modules):
    """One line for each arrow that the house does not have."""
    faults = []
    for module, source in modules.items():
        room = room_of(module)
        for name in sorted(imports_of(source)):
            is_foreign = name.startswith("agegender.") and room_of(name) not in MAY_IMPORT[room] | {room}
            if is_foreign or name.startswith(".") or name.split(".")[0] == "notebooks":
                faults.append(f"{module} -> {name}")
    return faults


def modules_with_torch(modules):
    """The modules that import torch, directly or through others, though they must not."""
    direct = {name: imports_of(source) for name, source in modules.items()}

    def reaches(module, seen):
        names = direct[module] | {".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)}
        if any(name.split(".")[0] in TORCH for name in names):
            return True
        return any(reaches(name, seen | names) for name in names & direct.keys() - seen)

    return [name for name in modules if WITHOUT_TORCH.fullmatch(name) and reaches(name, {name})]


def test_every_room_of_the_library_has_a_rule():
    modules = library()
    assert len(modules) > 20
    assert {room_of(module) for module in modules} == set(MAY_IMPORT)


def test_imports_point_down_the_order_of_the_house():
    assert forbidden_imports(library()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("agegender.models.lmtcnn", "from agegender.data.manifest import Manifest"),
        ("agegender.models.lmtcnn", "from agegender import files"),
        ("agegender.evaluation.metrics", "import agegender.models.heads"),
        ("agegender.data.splits", "def f():\n    from agegender.corpora import adience"),
        ("agegender.training.fit", "from agegender.use.model import load_model"),
        ("agegender.training.fit", "from agegender.pipelines import lmtcnn"),
        ("agegender.pipelines.lmtcnn", "from agegender.corpora import adience"),
        ("agegender.labels", "from agegender.files import write_text"),
        ("agegender.data.splits", "from .manifest import Manifest"),
        ("agegender.training.fit", "import notebooks.lmtcnn"),
    ],
)
def test_an_arrow_against_the_order_is_found(module, source):
    assert len(forbidden_imports({module: source})) >= 1


def test_tables_and_readers_do_not_wait_for_torch():
    modules = library()
    assert sum(bool(WITHOUT_TORCH.fullmatch(name)) for name in modules) > 10
    assert modules_with_torch(modules) == []


def test_torch_behind_another_module_is_found():
    modules = {
        "agegender": "", "agegender.data": "", "agegender.data.images": "import torch",
        "agegender.corpora.a": "from agegender.data import images", "agegender.data.splits": "import numpy",
    }  # fmt: skip
    assert modules_with_torch(modules) == ["agegender.corpora.a"]


@pytest.mark.parametrize("name", TREE)
def test_the_tree_is_whole(name):
    assert (ROOT / name).exists()


def faults_of_text(text):
    """Registry hosts and paths of somebody's machine in a text."""
    return [host for host in REGISTRIES if host in text] + [found.group() for found in MACHINE_PATHS.finditer(text)]


def test_no_file_names_a_registry_or_a_folder_of_somebodys_machine():
    files = tracked_files()
    assert len(files) > 50
    texts = {path: (ROOT / path).read_bytes().decode("utf-8", errors="ignore") for path in files}
    assert {str(path): faults_of_text(text) for path, text in texts.items() if faults_of_text(text)} == {}


@pytest.mark.parametrize(
    "text",
    [
        f"https://{REGISTRIES[0]}/simple",
        "see /ro" + "ot/x/y",
        "'/home/" + "anna/data/x'",
        "/t" + "mp/run/notebook.ipynb",
    ],
)
def test_a_registry_or_a_machine_path_is_found(text):
    assert faults_of_text(text) != []


@pytest.mark.parametrize("text", ["/home/someone/packs/faces", "a/root/b", "PyPI", "tmp_path / 'x'", "workflow/run"])
def test_what_only_looks_like_one_is_not(text):
    assert faults_of_text(text) == []


def test_every_corpus_has_a_card():
    assert {"adience", "fairface", "utkface", "speechocean762"} <= set(CORPORA)
    cards = {path.name for path in (ROOT / "data_cards").iterdir()}
    names = [CARDS.get(name, name) for name in CORPORA if name != "folder"]
    assert [f"{n}{end}" for n in [*names, "miniatures"] for end in (".md", ".json") if f"{n}{end}" not in cards] == []


def test_the_lock_holds_a_hash_for_every_version_and_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=\S)", lock.strip())
    assert len(entries) > 200
    assert [entry.split()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert "://" not in lock
    assert not re.search(r"^\s*(-i|--index-url|--extra-index-url|--find-links)", lock, re.MULTILINE)


def test_the_lock_holds_what_pyproject_and_constraints_ask_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    asked = {re.match(r"[\w.-]+", line).group().lower().replace("_", "-") for group in groups for line in group}
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert asked - locked == set()
    pinned = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert len(pinned) == 4
    assert [pin for pin in pinned if f"\n{pin} " not in "\n" + (ROOT / "requirements.lock").read_text()] == []


def test_the_lock_of_the_detector_holds_the_version_that_pyproject_names_and_its_hash():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["detection"]
    lock = (ROOT / "detector.lock").read_text()
    assert re.findall(r"^[\w.=-]+", lock, re.MULTILINE) == named
    assert re.search(r"--hash=sha256:[0-9a-f]{64}$", lock, re.MULTILINE)
    for file in ("Makefile", "environment.yml"):
        assert "--no-deps --require-hashes -r detector.lock" in (ROOT / file).read_text()


def test_environment_yml_installs_the_lock_with_a_supported_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert any(re.fullmatch(r"python=3\.1[123]", spec) for spec in conda)
    assert "pip" in conda
    assert pip == {"pip": ["-r requirements.lock"]}


TREE_LINE = re.compile(r"^(\S+)\s{2,}\S", re.MULTILINE)


def test_the_map_in_the_readme_shows_what_is_in_the_tree():
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"## Map\n.*?```(?:text)?\n(.*?)```", readme, re.DOTALL)
    drawn = {name.rstrip("/") for name in TREE_LINE.findall(block.group(1))}
    tracked = {path.parts[0] for path in tracked_files() if not path.parts[0].startswith(".")}
    assert len(drawn) > 10
    assert drawn == tracked
