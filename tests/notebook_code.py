"""What a notebook computes: a test of a recipe runs the notebook's own lines, and not a copy of them."""

import ast
import json
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def values_of(notebook: str, names: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Run the notebook's imports, and in the order of the notebook the statements that assign ``names`` or define them.

    ``given`` stands for what those statements read: parameters, and results of cells that a test does not run.
    Raises ``ValueError`` for a name that the notebook never assigns.
    """
    statements = _statements(NOTEBOOKS / f"{notebook}.ipynb")
    wanted = [node for node in statements if _assigned(node) & set(names)]
    if missing := set(names) - {name for node in wanted for name in _assigned(node)}:
        raise ValueError(f"{notebook} assigns no {', '.join(sorted(missing))}")
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    space = dict(given)
    exec(compile(ast.Module([*imports, *wanted], []), notebook, "exec"), space)  # noqa: S102 - our own notebook
    return {name: space[name] for name in names}


def _statements(path: Path) -> list[ast.stmt]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    own = [source for source in code if "google.colab" not in source]
    return [node for source in own for node in ast.parse(source).body]


def _assigned(node: ast.stmt) -> set[str]:
    """The names that a statement binds or changes a part of, also inside an ``if`` or a ``for``."""
    stored = [child for child in ast.walk(node) if isinstance(getattr(child, "ctx", None), ast.Store)]
    parts = [child.value for child in stored if isinstance(child, ast.Subscript | ast.Attribute)]
    bound = {child.id for child in [*stored, *parts] if isinstance(child, ast.Name)}
    return bound | ({node.name} if isinstance(node, ast.FunctionDef) else set())
