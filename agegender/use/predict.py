"""A trained model on a reader's own faces, with the very preprocessing of its test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from agegender.data.alignment import aligned_face
from agegender.data.detection import find_faces
from agegender.data.images import UnreadableImageError, decode_image
from agegender.data.loading import EvaluationFaces
from agegender.data.mtcnn import FaceDetector
from agegender.training.checkpoints import load_weights, read_facts
from agegender.training.prediction import predict
from agegender.use.nets import Net, net_of

CROP_OF_PACKS = "loose"
"""The alignment that comes nearest to faces as their corpus cut them, for a model whose training aligned none."""

BATCH_SIZE = 64


@dataclass(frozen=True)
class Predictor:
    """A model that was read from a file, and what its file says of it."""

    net: Net
    facts: dict[str, Any]

    def of_files(self, paths: Sequence[Path], detect: bool | None = None) -> pd.DataFrame:
        """Return one row for each file, in order: what the model says, or why the file could not be read.

        Columns: ``path``; of a model that knows age groups ``age_group`` (the most probable label) and one probability
        ``p <label>`` for each group; of one that knows ages ``age`` (years; of groups the expected midpoint); of one
        that knows gender ``p_female``; and ``problem`` (missing where there is none).

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
        crop, size_px = (trained["crop"], trained["size_px"]) if trained else (CROP_OF_PACKS, self.net.decoded_px)
        if not (trained is not None if detect is None else detect):
            return lambda number: decode_image(paths[number], size_px)
        found = find_faces(paths, None, FaceDetector())
        return lambda number: aligned_face(paths[number], found[number], size_px, crop)

    def _of_faces(self, faces: np.ndarray) -> pd.DataFrame:
        batches = EvaluationFaces(faces, np.arange(len(faces)), {}, BATCH_SIZE, crop_px=self.net.crop_px)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        decoded = predict(self.net.model, self.net.prepare, batches, device)
        table = pd.DataFrame(index=pd.RangeIndex(len(faces)))
        groups, scheme = decoded.get("p_group"), self.net.scheme
        if groups is not None and scheme is not None:
            table["age_group"] = [scheme.labels[group] for group in groups.argmax(1)]
        if "age" in decoded:
            table["age"] = decoded["age"]
        if groups is not None and scheme is not None:
            for label, probabilities in zip(scheme.labels, groups.T, strict=True):
                table[f"p {label}"] = probabilities
        return table.assign(p_female=decoded["p_female"]) if "p_female" in decoded else table


def load_predictor(path: Path) -> Predictor:
    """Read a ``model.safetensors`` that a run left in its folder.

    Raises ``FileNotFoundError``, or ``ValueError`` for a file without the facts that are needed to build the model, for
    weights that do not fit, and for a model whose answer about one face depends on the other faces of its batch.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist: give the model.safetensors of a run folder")
    facts = read_facts(path)
    try:
        net = net_of(facts)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    load_weights(net.model, path)
    return Predictor(net, facts)
