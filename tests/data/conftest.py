import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from agegender.data import audio, images
from agegender.data.cache import ExampleCache
from agegender.data.manifest import build_manifest


def manifest_of(root, names, modality):
    """The manifest of some files: the subjects are as many, and aged 20, 21, 22 and so on."""
    labels = {"subject": names, "age": np.arange(20.0, 20 + len(names)), "corpus": "made", "modality": modality}
    return build_manifest(pd.DataFrame({"path": names, **labels}), root=root)


@pytest.fixture
def faces(tmp_path):
    """A manifest of eight small pictures that are all different."""
    root, rng = tmp_path / "faces", np.random.default_rng(0)
    root.mkdir()
    names = [f"{number}.png" for number in range(8)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(root / name)
    return manifest_of(root, names, "face")


@pytest.fixture
def voices(tmp_path):
    """A manifest of eight short recordings that are all different, in length too: 1,700 to 2,400 samples at 16 kHz."""
    root, rng = tmp_path / "voices", np.random.default_rng(0)
    root.mkdir()
    names = [f"{number}.wav" for number in range(8)]
    for number, name in enumerate(names):
        soundfile.write(root / name, 0.2 * rng.standard_normal(1700 + 100 * number), 16_000, "FLOAT")
    return manifest_of(root, names, "voice")


@pytest.fixture
def folder(tmp_path):
    """Where caches are put; it is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded for a cache since the test began."""
    names = []

    def noting(decode):
        def noted(path, *rest):
            names.append(path.name)
            return decode(path, *rest)

        return noted

    monkeypatch.setattr(images, "decode_image", noting(images.decode_image))
    monkeypatch.setattr(audio, "read_clip", noting(audio.read_clip))
    return names


@pytest.fixture(scope="session")
def cache_of():
    """A function from int16 clips to the cache that holds them, without files."""

    def made(clips, rate_hz=16_000):
        names = [f"{number}.wav" for number in range(len(clips))]
        table = pd.DataFrame({"path": names or ["none"], "subject": "s", "corpus": "spoken", "modality": "voice"})
        manifest = build_manifest(table)
        lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
        samples = np.concatenate([np.zeros(0, np.int16), *clips]).astype(np.int16)
        manifest = manifest.select(manifest.examples["path"].isin(names))
        return ExampleCache(manifest, samples, np.cumsum(lengths) - lengths, lengths, rate_hz)

    return made
