"""The five published pipelines, one module for each: its recipe, parts, model, input, batches and optimisation."""

from importlib import import_module
from types import ModuleType

PAPERS = ("lmtcnn", "levihassner", "imdb", "timit", "commonvoice")


def pipeline_of(paper: str) -> ModuleType:
    """Return the module of ``paper``; ``ValueError`` for one that is not in ``PAPERS``.

    It is imported only here, since the pipelines of voices need packages that those of faces do not.
    """
    if paper not in PAPERS:
        raise ValueError(f"unknown pipeline {paper!r}: expected {', '.join(PAPERS)}")
    return import_module(f"agegender.pipelines.{paper}")
