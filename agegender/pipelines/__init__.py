"""The five published pipelines and the two models that ship: recipe, parts, model, input, batches, optimisation."""

from importlib import import_module
from types import ModuleType

PAPERS = ("lmtcnn", "levihassner", "imdb", "timit", "commonvoice")


SHIPPED = ("face", "voice")
"""The models whose weights come with the package."""


def pipeline_of(name: str) -> ModuleType:
    """Return the module of that name; ``ValueError`` for one that is neither in ``PAPERS`` nor in ``SHIPPED``.

    It is imported only here, since the pipelines of voices need packages that those of faces do not.
    """
    if name not in PAPERS + SHIPPED:
        raise ValueError(f"unknown pipeline {name!r}: expected {', '.join(PAPERS + SHIPPED)}")
    return import_module(f"agegender.pipelines.{name}")
