"""A trained model on a reader's own faces, with the very preprocessing of its test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from agegender.data.alignment import aligned_face
from agegender.data.detection import find_faces
from agegender.data.images import UnreadableImageError, decode_image, standardise
from agegender.data.loading import EvaluationFaces
from agegender.data.mtcnn import FaceDetector
from agegender.labels import AgeScheme, scheme_named
from agegender.models.heads import AgeGroupHead, GenderHead
from agegender.models.lmtcnn import INPUT_PX, LMTCNN
from agegender.models.multitask import MultiTaskModel
from agegender.training.checkpoints import load_weights, read_facts
from agegender.training.prediction import predict

DECODED_PX = 256
"""Faces are decoded to this size and their centre is cut out, as in the intended test."""

FACES_OF_PACKS = {"crop": "loose", "size_px": DECODED_PX}
"""The alignment that comes nearest to faces as their corpus cut them, for a model whose training aligned none."""

BATCH_SIZE = 64


@dataclass(frozen=True)
class Predictor:
    """A model that was read from a file, and what its file says of it."""

    model: MultiTaskModel
    scheme: AgeScheme
    facts: dict

    def of_files(self, paths: Sequence[Path], detect: bool | None = None) -> pd.DataFrame:
        """Return one row for each file, in order: what the model says, or why the file could not be read.

        Columns: ``path``, ``age_group`` (the most probable label), ``age`` (years, the expected midpoint), one
        probability ``p <label>`` for each group, ``p_female``, and ``problem`` (missing where there is none).

        With ``detect`` the pictures are photographs in which one face is found, turned upright and cut out as the
        model's training did (its fact ``alignment``); without, each is filled by one upright face already. ``None``
        does what the training did. Raises ``ImportError`` when the detector is needed and not installed.
        """
        faces: list[np.ndarray] = []
        problems: list[str | None] = []
        prepare = self._preparation(paths, detect)
        for number in range(len(paths)):
            try:
                faces.append(prepare(number))
                problems.append(None)
            except UnreadableImageError as error:
                problems.append(str(error))
        table = pd.DataFrame({"path": [str(path) for path in paths]})
        said = self._of_faces(np.stack(faces)) if faces else pd.DataFrame()
        said.index = pd.Index([row for row, problem in enumerate(problems) if problem is None], dtype="int64")
        return table.join(said).assign(problem=pd.Series(problems, dtype="str"))

    def _preparation(self, paths: Sequence[Path], detect: bool | None) -> Callable[[int], np.ndarray]:
        """Return the function that makes the face of file number ``i``."""
        trained = self.facts.get("alignment")  # None: the faces were taken as their corpus cut them
        alignment = trained or FACES_OF_PACKS
        size_px = int(alignment["size_px"])
        if not (trained is not None if detect is None else detect):
            return lambda number: decode_image(paths[number], size_px)
        found = find_faces(paths, None, FaceDetector())
        return lambda number: aligned_face(paths[number], found[number], size_px, alignment["crop"])

    def _of_faces(self, faces: np.ndarray) -> pd.DataFrame:
        batches = EvaluationFaces(faces, np.arange(len(faces)), {}, BATCH_SIZE, crop_px=INPUT_PX)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        decoded = predict(self.model, lambda batch: standardise(batch["images"]), batches, device)
        groups = decoded["p_group"]
        table = pd.DataFrame({"age_group": [self.scheme.labels[group] for group in groups.argmax(1)]})
        table["age"] = decoded["age"]
        for label, probabilities in zip(self.scheme.labels, groups.T, strict=True):
            table[f"p {label}"] = probabilities
        return table.assign(p_female=decoded["p_female"])


def load_predictor(path: Path) -> Predictor:
    """Read a ``model.safetensors`` that a run left in its folder.

    Raises ``FileNotFoundError``, or ``ValueError`` for a file without the facts that are needed to build the model, for
    weights that do not fit, and for a model whose answer about one face depends on the other faces of its batch.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist: give the model.safetensors of a run folder")
    facts = read_facts(path)
    if "architecture" not in facts or facts.get("name") != "LMTCNN":
        raise ValueError(f"{path} does not say how its model is built: only files written by a run can be used")
    if facts["architecture"]["uses_batch_statistics_at_test"]:
        raise ValueError(
            f"{path} was trained as published: it normalises a face by the other faces of its batch, so it has no "
            "answer for a face alone. Use a run of the variant as_intended."
        )
    scheme = scheme_named(facts["scheme"])
    encoder = LMTCNN(**facts["architecture"])
    heads: dict[str, nn.Module] = {
        "age": AgeGroupHead(encoder.out_features, scheme),
        "gender": GenderHead(encoder.out_features),
    }
    model = MultiTaskModel(encoder, heads)
    load_weights(model, path)
    return Predictor(model, scheme, facts)
