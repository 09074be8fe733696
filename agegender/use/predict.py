"""A trained model on a reader's own files: which one it is, and the faces; ``agegender.use.voices`` has the voices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from agegender.data.batches import EvaluationBatches
from agegender.data.cache import examples_in_memory
from agegender.data.face_alignment import aligned_face, find_faces
from agegender.data.images import CentreCrop, decode_image
from agegender.data.manifest import UnreadableFileError
from agegender.data.mtcnn import FaceDetector
from agegender.training.prediction import predict
from agegender.use.results import in_batches, table_of
from agegender.use.saved import SavedModel, load_model

if TYPE_CHECKING:
    from agegender.use.voices import VoicePredictor

CROP_OF_PACKS = "loose"
"""The alignment that comes nearest to faces as their corpus cut them, for a model whose training aligned none."""

BATCH_SIZE = 64


@dataclass(frozen=True)
class Predictor:
    """A model of faces that was read from a file."""

    saved: SavedModel

    def of_files(self, paths: Sequence[Path], detect: bool | None = None) -> pd.DataFrame:
        """Return one row for each file, in order: what the model says, or why the file could not be read.

        Columns: ``path``, those of ``agegender.use.results.table_of``, and ``problem`` (missing where there is none).

        With ``detect`` the pictures are photographs in which one face is found, turned upright and cut out as the
        model's training did (its fact ``alignment``); without, each is filled by one upright face already. ``None``
        does what the training did. Raises ``ImportError`` when the detector is needed and not installed.
        """
        prepare = self._preparation(paths, detect)

        def read(number: int) -> np.ndarray | str:
            try:
                return prepare(number)
            except UnreadableFileError as error:
                return str(error)

        return in_batches(paths, read, self._of_faces, BATCH_SIZE, "faces")

    def _preparation(self, paths: Sequence[Path], detect: bool | None) -> Callable[[int], np.ndarray]:
        """Return the function that makes the face of file number ``i``."""
        reads = self.saved.reads
        resize = reads["resize"]
        trained = self.saved.facts.get("alignment")  # None: the faces were taken as their corpus cut them
        crop, size_px = (trained["crop"], trained["size_px"]) if trained else (CROP_OF_PACKS, reads["decoded_px"])
        if not (trained is not None if detect is None else detect):
            return lambda number: decode_image(paths[number], size_px, resize)
        found = find_faces(paths, None, FaceDetector())
        return lambda number: aligned_face(paths[number], found[number], size_px, crop, resize)

    def _of_faces(self, faces: list[np.ndarray]) -> pd.DataFrame:
        saved = self.saved
        batches = EvaluationBatches(examples_in_memory(faces), {}, BATCH_SIZE, CentreCrop(saved.reads["crop_px"]))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return table_of(predict(saved.model, saved.prepare, batches, device), saved.scheme, len(faces))


def load_predictor(path: Path) -> "Predictor | VoicePredictor":
    """Read a ``model.safetensors`` that a run left in its folder: of a model of faces, or of one of voices.

    Raises ``FileNotFoundError``, or ``ValueError`` for a file without the facts that are needed to build the model, for
    weights that do not fit, and for a model whose answer about one face depends on the other faces of its batch; and
    ``ImportError`` for a model of voices when the packages that read recordings are not installed.
    """
    saved = load_model(path)
    if not saved.is_of_voices:
        return Predictor(saved)
    from agegender.use.voices import VoicePredictor  # here, so that faces need none of its packages

    return VoicePredictor(saved)
