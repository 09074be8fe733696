"""A trained model on a reader's own recordings, with the very preprocessing of its test."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from agegender.data.audio import Crop, EvenCrops, as_int16, read_clip
from agegender.data.batches import EvaluationBatches
from agegender.data.cache import examples_in_memory
from agegender.data.manifest import UnreadableFileError
from agegender.training.prediction import predict
from agegender.use.results import in_batches, table_of
from agegender.use.saved import SavedModel


@dataclass(frozen=True)
class VoicePredictor:
    """A model of voices that was read from a file."""

    saved: SavedModel

    def of_files(self, paths: Sequence[Path], detect: bool | None = None) -> pd.DataFrame:
        """Return one row for each recording, in order: what the model says, or why the file could not be read.

        Columns: ``path``, those of ``agegender.use.results.table_of``, and ``problem`` (missing where there is none).
        WAV, FLAC, Ogg, MP3 and the others of ``read_clip`` are read, at any rate, with any number of channels. Raises
        ``ValueError`` when asked to ``detect``: there are no faces in a recording.
        """
        if detect:
            raise ValueError("this model is asked about recordings: there is no face to detect")

        def read(number: int) -> np.ndarray | str:
            try:
                return as_int16(read_clip(Path(paths[number]), self.saved.reads["rate_hz"]))
            except UnreadableFileError as error:
                return str(error)

        return in_batches(paths, read, self._of_recordings, self.saved.reads["batch_size"], "voices")

    def _of_recordings(self, recordings: list[np.ndarray]) -> pd.DataFrame:
        saved, reads = self.saved, self.saved.reads
        crops = EvenCrops(Crop(**reads["crop"]), reads["num_crops"])
        batches = EvaluationBatches(examples_in_memory(recordings, reads["rate_hz"]), {}, reads["batch_size"], crops)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return table_of(predict(saved.model, saved.prepare, batches, device), saved.scheme, len(recordings))
