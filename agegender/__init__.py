"""Age and gender from voice and face: five published pipelines over one thin library.

>>> from agegender import load_model  # doctest: +SKIP
>>> load_model("face").predict("portrait.jpg")  # doctest: +SKIP
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import ``load_model`` when it is asked for: the rest of the package does without torch."""
    if name == "load_model":
        return import_module("agegender.use.model").load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
