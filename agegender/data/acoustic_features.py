"""A recording in 68 numbers: statistics of its cepstral coefficients (MFCC) and of its pitch (F0) over the frames.

Both are librosa's. MFCC: Davis and Mermelstein (1980), "Comparison of Parametric Representations for Monosyllabic Word
Recognition"; pitch: de Cheveigné and Kawahara (2002), "YIN, a fundamental frequency estimator for speech and music".
"""

import hashlib
from importlib.metadata import version
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from agegender.data.audio import as_float
from agegender.data.cache import ExampleCache
from agegender.data.known_files import Row, look_up

Floats = NDArray[np.float64]

NUM_MFCC = 21
WINDOW, HOP = 512, 256  # samples of the MFCC; 32 and 16 ms at 16 kHz
PITCH_WINDOW = 1024  # samples: holds two periods of the lowest pitch at up to 33 kHz
LOWEST_HZ, HIGHEST_HZ = 65.0, 500.0
QUIET_DB = 30.0
"""A frame that is further below the loudest frame of its clip has no pitch worth asking for."""
NUM_FEATURES = 3 * NUM_MFCC - 1 + 6
_MEDIAN_PITCH = NUM_FEATURES - 5  # the second of the pitch statistics, which stand last
_VERSION = 1  # counts the definitions of the statistics: older caches are made again
_AT_ONCE = 100  # clips


def acoustic_features(samples: np.ndarray, rate_hz: int) -> Floats:
    """Describe a clip (samples,) in [-1, 1] by ``NUM_FEATURES`` numbers, none of which depends on its loudness.

    Of the MFCC the means (without the first coefficient, which is the loudness), standard deviations, and standard
    deviations of their changes from frame to frame; then those of ``pitch_statistics``. Raises ``ValueError`` for a
    clip that is shorter than one pitch window or not finite.
    """
    if samples.ndim != 1 or len(samples) < PITCH_WINDOW or not np.isfinite(samples).all():
        raise ValueError(f"expected a clip of {PITCH_WINDOW} finite samples or more, got the shape {samples.shape}")
    mfcc = librosa.feature.mfcc(y=samples, sr=rate_hz, n_mfcc=NUM_MFCC, n_fft=WINDOW, hop_length=HOP, n_mels=40)
    changes = np.diff(mfcc, axis=1)
    found = [mfcc.mean(1)[1:], mfcc.std(1), changes.std(1), pitch_statistics(samples, rate_hz)]
    return np.concatenate(found).astype(np.float64)


def pitch_statistics(samples: np.ndarray, rate_hz: int) -> Floats:
    """Return the pitch of a clip (samples,): 10 %, 50 % and 90 % quantile, mean, standard deviation, mean change.

    In octaves above 55 Hz, over the frames within ``QUIET_DB`` of the loudest; YIN gives each of them a pitch.
    """
    pitch_hz = librosa.yin(
        samples, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=rate_hz, frame_length=PITCH_WINDOW, hop_length=HOP
    )
    loudness = librosa.feature.rms(y=samples, frame_length=PITCH_WINDOW, hop_length=HOP)[0]
    octaves = np.log2(pitch_hz / 55)[loudness >= loudness.max() * 10 ** (-QUIET_DB / 20)]
    change = np.abs(np.diff(octaves)).mean() if len(octaves) > 1 else 0.0
    return np.array([*np.quantile(octaves, [0.1, 0.5, 0.9]), octaves.mean(), octaves.std(), change])


def median_pitch_hz(features: Floats) -> Floats:
    """Return the middle pitch in Hz (examples,) out of the ``acoustic_features`` (examples, ``NUM_FEATURES``)."""
    if features.ndim != 2 or features.shape[1] != NUM_FEATURES:
        raise ValueError(f"expected the features (examples, {NUM_FEATURES}), got the shape {features.shape}")
    return 55 * 2 ** features[:, _MEDIAN_PITCH]


def cache_acoustic_features(clips: ExampleCache, folder: Path) -> Floats:
    """Return the ``acoustic_features`` of all clips (examples, ``NUM_FEATURES``), kept in ``folder`` (``look_up``)."""
    rate_hz = clips.rate_hz or 0

    def look(rows: list[int]) -> list[Row | str]:
        return [{"features": acoustic_features(as_float(clips[row]), rate_hz).tolist()} for row in rows]

    setting = f"version {_VERSION}, librosa {version('librosa')}, {rate_hz} Hz"
    keys = [hashlib.sha256(clips[row].data).hexdigest() for row in range(len(clips))]
    found = look_up(folder, "acoustic-features", setting, keys, look, _AT_ONCE, "acoustic features")
    return np.array([row["features"] for row in found if isinstance(row, dict)]).reshape(-1, NUM_FEATURES)
