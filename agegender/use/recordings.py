"""From recordings to clips as a model wants them, with what is to be said about their quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agegender.data.audio import as_int16, read_clip
from agegender.data.manifest import UnreadableFileError
from agegender.use.faces import Example

SHORT_S = 1.0
"""A recording shorter than this is flagged: about two syllables."""
QUIET_DB = -50.0
"""Below this level relative to full scale a recording is flagged: much of it is the noise of the microphone."""


@dataclass(frozen=True)
class RecordingReader:
    """Decodes recordings at the rate that a model hears."""

    rate_hz: int

    def of_array(self, samples: np.ndarray) -> Example:
        """Return a recording (samples,) at ``rate_hz``, float in [-1, 1] or int16, as an example."""
        if samples.ndim != 1 or not len(samples):
            raise ValueError(f"a recording is (samples,) at {self.rate_hz} Hz, got {samples.shape}")
        values = samples if samples.dtype == np.int16 else as_int16(np.clip(samples, -1, 1))
        return Example(values, self._flags(values))

    def read(self, paths: Sequence[Path]) -> list[list[Example] | str]:
        """Return the one example of each file, or why it cannot be used."""
        return [self._one(path) for path in paths]

    def _one(self, path: Path) -> list[Example] | str:
        try:
            return [self.of_array(read_clip(path, self.rate_hz))]
        except UnreadableFileError as error:
            return str(error).removeprefix(f"{path}: ")

    def _flags(self, values: np.ndarray) -> tuple[str, ...]:
        level_db = 20 * np.log10(max(np.sqrt(np.mean(np.square(values / 32768))), 1e-9))
        flags = {"too short": len(values) < SHORT_S * self.rate_hz, "too quiet": level_db < QUIET_DB}
        return tuple(flag for flag, is_raised in flags.items() if is_raised)
