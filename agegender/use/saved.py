"""A model built again from the file that its run saved: the weights, and the facts that travel with them.

The facts are all there is: no recipe is read, so that a file means tomorrow what it meant when it was written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from agegender.data.batches import EvaluationBatches
from agegender.data.cache import examples_in_memory
from agegender.data.face_augmentation import CentreResize
from agegender.data.images import CentreCrop
from agegender.labels import AgeScheme
from agegender.models.multitask import MultiTaskModel
from agegender.pipelines import SHIPPED, pipeline_of
from agegender.training.checkpoints import WEIGHTS, load_weights, read_facts
from agegender.training.prediction import Prepare
from agegender.use.faces import FaceReader

if TYPE_CHECKING:
    from agegender.use.recordings import RecordingReader

WEIGHTS_FOLDER = Path(__file__).parents[1] / "weights"
"""Of the models that ship with the package."""
FACES_AT_ONCE = 64
WINDOW_S = 10.0
"""A longer recording is heard in a crop for each of these, so that all of it counts."""


@dataclass(frozen=True)
class SavedModel:
    """A model, what makes its input of a batch, and ``facts``, what its file says of it.

    ``input`` of the facts says how a file becomes an example: of a face ``decoded_px``, ``crop_px`` (the side of the
    central crop; ``None``: the whole face) and ``resize``, and, if the crop is resized, ``resized`` (the arguments of
    ``agegender.data.face_augmentation.CentreResize``); of a clip ``rate_hz``, ``crop`` (the arguments of
    ``agegender.data.audio.Crop``), ``num_crops`` and ``batch_size``. ``uncertainty``, where it was measured, has
    ``age_temperature`` and ``gender_temperature`` (Guo and others, 2017), ``age_level``
    (``agegender.evaluation.age_distributions.conformal_level``), and of the embeddings of training the ``mean``
    (features,), ``whitening`` (features, directions) and ``far`` (a distance).
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
    def name(self) -> str:
        """What the column ``model`` says."""
        name = self.facts.get("name") or " ".join(
            str(self.facts[part]) for part in ("paper", "model", "variant") if part in self.facts
        )
        return f"{name} (learnt from synthetic people)" if self.is_synthetic else name

    @property
    def is_synthetic(self) -> bool:
        """Whether it has seen nobody but drawn people or synthetic voices, so that it knows nothing of real ones."""
        return bool(self.facts.get("is_synthetic"))

    @property
    def is_in_years(self) -> bool:
        """Whether its age head has a class for each year."""
        head = dict(self.model.heads.items()).get("age")
        return bool(getattr(getattr(head, "classes", None), "is_in_years", False))

    @property
    def reader(self) -> "FaceReader | RecordingReader":
        """What decodes files for it."""
        if not self.is_of_voices:
            return FaceReader(self.reads["decoded_px"], self.reads["resize"], self.facts.get("alignment"))
        from agegender.use.recordings import RecordingReader  # here, so that faces need none of its packages

        return RecordingReader(self.reads["rate_hz"])

    def num_crops(self, content: np.ndarray) -> int:
        """Return in how many crops an example is shown to the model: a long recording in more than in the test."""
        if not self.is_of_voices:
            return 1
        windows = int(np.ceil(len(content) / (WINDOW_S * self.reads["rate_hz"])))
        is_alone = self.reads["batch_size"] == 1  # a net that would hear the crops as one sequence
        return self.reads["num_crops"] if is_alone else max(self.reads["num_crops"], windows)

    def batches(self, contents: Sequence[np.ndarray], num_crops: int) -> EvaluationBatches:
        """Return examples as batches with the crops of the test, or with ``num_crops`` of each recording."""
        reads = self.reads
        if not self.is_of_voices:
            resized = reads.get("resized")
            crop = CentreResize(**resized) if resized else CentreCrop(reads["crop_px"])
            return EvaluationBatches(examples_in_memory(contents), {}, FACES_AT_ONCE, crop)
        from agegender.data.audio import Crop, EvenCrops

        crops = EvenCrops(Crop(**reads["crop"]), num_crops)
        return EvaluationBatches(examples_in_memory(contents, reads["rate_hz"]), {}, reads["batch_size"], crops)

    @cached_property
    def uncertainty(self) -> dict[str, Any]:
        """What was measured of its mistakes on people it had not seen; empty where nothing was."""
        return {
            name: np.array(value) if isinstance(value, list) else value
            for name, value in self.facts.get("uncertainty", {}).items()
        }

    def tempered(self, probabilities: np.ndarray, task: str) -> np.ndarray:
        """Return ``probabilities`` (examples, classes) at the temperature of ``task``, at which they are calibrated."""
        return heated(probabilities, self.uncertainty.get(f"{task}_temperature", 1.0))

    def is_far(self, embeddings: np.ndarray) -> np.ndarray:
        """Say of each of ``embeddings`` (examples, features) whether it lies beyond those of training.

        The Mahalanobis distance to their mean (Lee and others, 2018) is compared with ``far``.
        """
        if "far" not in self.uncertainty:
            return np.zeros(len(embeddings), bool)
        known = self.uncertainty
        distance = np.linalg.norm((embeddings - known["mean"]) @ known["whitening"], axis=1)
        return ~(distance <= known["far"])

    @property
    def scheme(self) -> AgeScheme | None:
        """The scheme of the age groups that the model knows; ``None`` if it predicts years, or no age."""
        head = dict(self.model.heads.items()).get("age")
        groups = getattr(getattr(head, "classes", None), "groups", None)
        return groups if isinstance(groups, AgeScheme) else None


def heated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return ``probabilities`` (examples, classes) at ``temperature``: above 1 they are less sure.

    >>> heated(np.array([[0.2, 0.8]]), 0.5).round(3).tolist()
    [[0.059, 0.941]]
    """
    warm = np.asarray(probabilities, np.float64) ** (1 / temperature)
    return warm / warm.sum(1, keepdims=True)


_FACE, _CLIP = ("decoded_px", "crop_px", "resize"), ("rate_hz", "crop", "num_crops", "batch_size")


def read_model(model: str | Path) -> SavedModel:
    """Read ``"face"`` or ``"voice"``, which ship with the package, a run folder, or a file of weights.

    Raises ``FileNotFoundError``, ``ImportError`` for a model of voices when the packages that read recordings are not
    installed, and ``ValueError`` as ``model_of`` does and for weights that do not fit.
    """
    path = WEIGHTS_FOLDER / f"{model}.safetensors" if str(model) in SHIPPED else Path(model)
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        told = (
            f"make it with: make model MODEL={model}" if str(model) in SHIPPED else "give a run folder or its weights"
        )
        raise FileNotFoundError(f"{path} does not exist: {told}")
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
