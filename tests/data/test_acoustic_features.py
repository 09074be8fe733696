import librosa
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from agegender.data import acoustic_features as module
from agegender.data.acoustic_features import (
    NUM_FEATURES,
    NUM_MFCC,
    acoustic_features,
    cache_acoustic_features,
    median_pitch_hz,
    pitch_statistics,
)
from agegender.data.audio import as_float
from agegender.data.cache import ExampleCache
from agegender.data.manifest import Manifest

RATE = 16_000


def buzz(hz, seconds=0.4, seed=0):
    """A voiced sound of ten harmonics with a little breath."""
    times = np.arange(int(seconds * RATE)) / RATE
    harmonics = sum(np.sin(2 * np.pi * hz * number * times) / number for number in range(1, 11))
    return (0.1 * harmonics + 1e-3 * np.random.default_rng(seed).normal(size=len(times))).astype(np.float32)


def test_the_first_features_are_mean_and_spread_of_librosa_s_mfcc():
    clip = buzz(150)
    mfcc = librosa.feature.mfcc(y=clip, sr=RATE, n_mfcc=21, n_fft=512, hop_length=256, n_mels=40)
    found = acoustic_features(clip, RATE)
    assert found.shape == (NUM_FEATURES,) == (68,)
    assert_allclose(found[:20], mfcc[1:].mean(axis=1), rtol=1e-5)
    assert_allclose(found[20:41], mfcc.std(axis=1), rtol=1e-5)
    assert_allclose(found[41:62], (mfcc[:, 1:] - mfcc[:, :-1]).std(axis=1), rtol=1e-5)
    assert_allclose(found[62:], pitch_statistics(clip, RATE))


@pytest.mark.parametrize("hz", [80, 110, 220, 440])
def test_the_pitch_is_read_in_octaves_above_55_hz(hz):
    low, middle, high, mean, spread, change = pitch_statistics(buzz(hz), RATE)
    assert middle == pytest.approx(np.log2(hz / 55), abs=0.03)
    assert mean == pytest.approx(middle, abs=0.05)
    assert low <= middle <= high
    assert max(spread, change) < 0.1


def test_the_middle_pitch_comes_back_in_hz():
    features = np.stack([acoustic_features(buzz(hz), RATE) for hz in (110, 220)])
    assert_allclose(median_pitch_hz(features), [110, 220], rtol=0.02)
    with pytest.raises(ValueError, match=r"\(examples, 68\), got the shape \(68,\)"):
        median_pitch_hz(features[0])


def test_a_gliding_voice_has_the_quantiles_of_its_glide():
    times = np.arange(RATE) / RATE
    glide = 0.3 * np.sin(2 * np.pi * np.cumsum(110 * 2**times) / RATE)  # from 110 to 220 Hz in a second
    low, middle, high, _, spread, _ = pitch_statistics(glide.astype(np.float32), RATE)
    assert [low, middle, high] == pytest.approx([1.1, 1.5, 1.9], abs=0.06)
    assert spread == pytest.approx(1 / np.sqrt(12), abs=0.03)


def test_quiet_frames_have_no_say_in_the_pitch():
    hiss = 1e-4 * np.random.default_rng(1).normal(size=RATE // 2)
    clip = np.concatenate([hiss, buzz(150), hiss]).astype(np.float32)
    assert pitch_statistics(clip, RATE)[1] == pytest.approx(np.log2(150 / 55), abs=0.03)
    assert pitch_statistics(clip, RATE)[4] < 0.3


@pytest.mark.parametrize(("db", "is_heard"), [(-20, True), (-27, True), (-33, False)])
def test_what_is_up_to_30_db_below_the_loudest_has_a_pitch(db, is_heard):
    clip = np.concatenate([buzz(110), 10 ** (db / 20) * buzz(220)]).astype(np.float32)
    low, _, high, *_ = pitch_statistics(clip, RATE)
    assert low == pytest.approx(1, abs=0.1)
    assert high == pytest.approx(2 if is_heard else 1, abs=0.1)


def test_loudness_does_not_matter():
    assert_allclose(acoustic_features(0.5 * buzz(150), RATE), acoustic_features(buzz(150), RATE), rtol=1e-3, atol=0.02)


def test_a_clip_that_is_too_short_or_no_number_is_refused():
    assert np.isfinite(acoustic_features(buzz(150)[:1024], RATE)).all()
    with pytest.raises(ValueError, match=r"1024 finite samples or more, got the shape \(1023,\)"):
        acoustic_features(buzz(150)[:1023], RATE)
    broken = buzz(150)
    broken[7] = np.nan
    with pytest.raises(ValueError, match="finite samples"):
        acoustic_features(broken, RATE)


@pytest.fixture
def clips(tmp_path):
    """Three clips of two subjects, end to end in a file."""
    path = tmp_path / "voices.i16"
    sounds = [np.round(20_000 * buzz(hz)).astype("<i2") for hz in (100, 150, 200)]
    np.concatenate(sounds).tofile(path)
    examples = pd.DataFrame(
        {"path": ["a", "b", "c"], "subject": ["x", "x", "y"], "age": [20.0, 20.0, 30.0], "age_group": pd.NA,
         "gender": ["female", "female", "male"], "published_split": None}
    ).astype({"age_group": "Int64"})  # fmt: skip
    lengths = np.array([len(sound) for sound in sounds])
    manifest = Manifest(examples, "made-up", "voice", None, tmp_path, True, pd.DataFrame())
    samples = np.memmap(path, "<i2", mode="r")
    return ExampleCache(manifest, samples, np.cumsum(lengths) - lengths, lengths, RATE)


def test_the_features_of_a_cache_are_those_of_its_clips_in_order(clips, tmp_path):
    found = cache_acoustic_features(clips, tmp_path / "cache")
    assert found.shape == (3, NUM_FEATURES)
    for row in range(3):
        start = clips.starts[row]
        clip = as_float(clips.array[start : start + clips.lengths[row]])
        assert_allclose(found[row], acoustic_features(clip, RATE))


def test_a_second_reading_computes_nothing(clips, tmp_path, monkeypatch):
    first = cache_acoustic_features(clips, tmp_path)
    monkeypatch.setattr(module, "acoustic_features", None)
    assert_allclose(cache_acoustic_features(clips, tmp_path), first, rtol=0)


def test_other_rows_and_damaged_files_are_computed_anew(clips, tmp_path):
    first = cache_acoustic_features(clips, tmp_path)
    (file,) = tmp_path.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    assert_allclose(cache_acoustic_features(clips, tmp_path), first)
    clips.lengths[2] -= 500
    assert not np.allclose(cache_acoustic_features(clips, tmp_path)[2], first[2])
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_a_clip_that_is_known_is_not_looked_at_again_among_others(clips, tmp_path, monkeypatch):
    first = cache_acoustic_features(clips.select(np.array([2, 0])), tmp_path)
    asked = []
    monkeypatch.setattr(module, "acoustic_features", lambda clip, rate_hz: asked.append(clip) or first[0])
    assert_allclose(cache_acoustic_features(clips, tmp_path)[[2, 0]], first, rtol=0)
    assert len(asked) == 1


def test_the_number_of_features_is_what_it_says():
    assert NUM_FEATURES == (NUM_MFCC - 1) + NUM_MFCC + NUM_MFCC + 6
