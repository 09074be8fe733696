"""Recordings that are not as they should be, all in one folder: each is heard as meant, or set aside with a reason."""

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose

from agegender.data.audio import as_float, as_int16, cache_clips, read_clip
from agegender.data.cache import cache_examples
from agegender.data.manifest import TooManyQuarantinedError
from tests.data.conftest import manifest_of


def tone(rate_hz=16_000, seconds=0.5, peak=0.5):
    return peak * np.sin(2 * np.pi * 200 * np.arange(round(seconds * rate_hz)) / rate_hz)


def write_recordings(root):
    """Write a file for every fault, named after it."""
    root.mkdir()
    with_nan = tone()
    with_nan[[5, 77]] = np.nan
    for name, samples, rate_hz, subtype in [
        ("stereo", np.stack([1.5 * tone(), 0.5 * tone()], 1), 16_000, "PCM_16"),
        ("8 kHz", tone(8000), 8000, "PCM_16"),
        ("44.1 kHz", tone(44_100), 44_100, "PCM_16"),
        ("24-bit", tone(), 16_000, "PCM_24"),
        ("clipped", np.clip(tone(peak=2), -1, 1), 16_000, "PCM_16"),
        ("0.05 s", tone(seconds=0.05), 16_000, "PCM_16"),
        ("NaN", with_nan, 16_000, "FLOAT"),
        ("silent", np.zeros(8000), 16_000, "PCM_16"),
        ("truncated", tone(), 16_000, "PCM_16"),
    ]:
        soundfile.write(root / f"{name}.wav", samples, rate_hz, subtype)
    with (root / "renamed.mp3").open("wb") as file:
        soundfile.write(file, tone(), 16_000, format="WAV")
    (root / "truncated.wav").write_bytes((root / "truncated.wav").read_bytes()[:5044])
    (root / "empty.wav").write_bytes(b"")
    (root / "no recording.wav").write_text("a letter that somebody named .wav\n" * 30)
    (root / "unreadable.wav").mkdir()  # as a file without permission, which root could read
    return root


AS_MEANT = ["stereo.wav", "8 kHz.wav", "44.1 kHz.wav", "24-bit.wav", "renamed.mp3"]
REASONS = {
    "empty.wav": "an empty file",
    "0.05 s.wav": "0.05 s of sound, less than 0.1",
    "NaN.wav": "2 values are not finite numbers",
    "silent.wav": "silent",
    "truncated.wav": "cut short: 5,000 of 16,000 bytes",
    "no recording.wav": "not a recording that can be identified",
    "unreadable.wav": "Is a directory",
    "gone.wav": "no such file",
}


@pytest.fixture
def recordings(tmp_path):
    return manifest_of(write_recordings(tmp_path / "recordings"), [*AS_MEANT, "clipped.wav", *REASONS], "voice")


def decode(path):
    return as_int16(read_clip(path))


@pytest.mark.parametrize("opened", ["new", "again"])
def test_every_fault_is_either_repaired_or_set_aside_with_its_row_and_reason(recordings, folder, opened):
    for _ in range(1 if opened == "new" else 2):
        cache = cache_examples(recordings, folder, lambda _: decode, "16000 Hz", 16_000, max_unreadable_share=0.6)
    assert cache.manifest.examples["path"].tolist() == [*AS_MEANT, "clipped.wav"]
    assert cache.manifest.examples["age"].tolist() == [20, 21, 22, 23, 24, 25]  # each kept its labels
    for example in range(len(AS_MEANT)):
        assert abs(len(as_float(cache[example])) - 8000) <= 1
        assert_allclose(as_float(cache[example])[800:7200], tone()[800:7200], rtol=0, atol=1e-3)
    assert np.mean(np.abs(as_float(cache[5])) > 0.999) == pytest.approx(2 / 3, abs=0.01)  # clipped, and kept
    aside = cache.manifest.quarantine
    assert aside["path"].tolist() == list(REASONS)
    assert aside["row"].tolist() == list(range(6, 14))
    expected = [f"{recordings.root / name}: {reason}" for name, reason in REASONS.items()]
    assert aside["reason"].tolist() == expected


def test_unasked_so_many_faults_are_an_error(recordings, folder):
    with pytest.raises(TooManyQuarantinedError, match=r"8 of 14 files cannot be used, .* First: .*an empty file"):
        cache_clips(recordings, folder)
