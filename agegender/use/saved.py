"""A model built again from the file that its run saved: the weights, and the facts that travel with them.

The facts are all there is: no recipe is read, so that a file means tomorrow what it meant when it was written.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from agegender.labels import AgeScheme
from agegender.models.multitask import MultiTaskModel
from agegender.pipelines import pipeline_of
from agegender.training.checkpoints import load_weights, read_facts
from agegender.training.prediction import Prepare


@dataclass(frozen=True)
class SavedModel:
    """A model, what makes its input of a batch, and ``facts``, what its file says of it.

    ``input`` of the facts says how a file becomes an example: of a face ``decoded_px``, ``crop_px`` (the side of the
    central crop; ``None``: the whole face) and ``resize``; of a clip ``rate_hz``, ``crop`` (the arguments of
    ``agegender.data.audio.Crop``), ``num_crops`` and ``batch_size``.
    """

    model: MultiTaskModel
    prepare: Prepare
    facts: dict[str, Any]

    @property
    def reads(self) -> dict[str, Any]:
        """How a file becomes an example."""
        return self.facts["input"]

    @property
    def is_of_voices(self) -> bool:
        """Whether it is asked about recordings, and not about faces."""
        return "rate_hz" in self.reads

    @property
    def scheme(self) -> AgeScheme | None:
        """The scheme of the age groups that the model knows; ``None`` if it predicts years, or no age."""
        head = dict(self.model.heads.items()).get("age")
        groups = getattr(getattr(head, "classes", None), "groups", None)
        return groups if isinstance(groups, AgeScheme) else None


_FACE, _CLIP = ("decoded_px", "crop_px", "resize"), ("rate_hz", "crop", "num_crops", "batch_size")


def load_model(path: Path) -> SavedModel:
    """Read a ``model.safetensors`` that a run left in its folder.

    Raises ``FileNotFoundError``, ``ImportError`` for a model of voices when the packages that read recordings are not
    installed, and ``ValueError`` as ``model_of`` does and for weights that do not fit.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist: give the model.safetensors of a run folder")
    try:
        saved = model_of(read_facts(path))
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    load_weights(saved.model, path)
    return saved


def model_of(facts: dict[str, Any]) -> SavedModel:
    """Return the model that a run described in ``facts``, with weights that are still random.

    ``paper`` names a module of ``agegender.pipelines``, ``build_model`` and ``prepare`` are the arguments of its two
    functions. Raises ``ValueError`` for facts that do not describe a model of this version, and for a model whose
    answer about one face depends on the other faces of its batch.
    """
    if any(name not in facts for name in ("paper", "build_model", "prepare", "input")):
        raise ValueError(
            "does not say how its model is built: it was saved by an older version, or by no training run. Train it "
            "again"
        )
    if facts["build_model"].get("uses_batch_statistics_at_test"):
        raise ValueError(
            "was trained as published: it normalises a face by the other faces of its batch, so it has no answer "
            "for a face alone. Use a run of the variant as_intended."
        )
    pipeline = _pipeline(facts["paper"])
    try:
        saved = SavedModel(pipeline.build_model(**facts["build_model"]), pipeline.prepare(**facts["prepare"]), facts)
    except TypeError as error:
        raise ValueError(f"does not describe a model of this version: {error}. Train it again") from None
    if missing := set(_CLIP if saved.is_of_voices else _FACE) - set(saved.reads):
        raise ValueError(f"does not say how a file becomes the model's input: {', '.join(sorted(missing))} is missing")
    return saved


def _pipeline(paper: str) -> ModuleType:
    try:
        return pipeline_of(paper)
    except ImportError as error:
        raise ImportError(
            f"a model of {paper} needs more packages ({error}): pip install 'agegender[voice]'"
        ) from error
