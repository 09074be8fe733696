"""The benchmark of the voice pipeline compares like with like, and runs."""

import numpy as np
import soundfile
import torch
from numpy.testing import assert_allclose

from agegender.data.audio import Crop
from agegender.models.audio_frontend import LogMel
from benchmarks import bench_audio
from benchmarks.bench_audio import CROP, PlainClips, plain_log_mel, recordings


def test_the_plain_features_are_ours():
    clip = np.random.default_rng(0).standard_normal(CROP.num_samples).astype(np.float32) / 10
    ours = LogMel()(torch.from_numpy(clip / 32_768)[None])[0].numpy()
    plain = plain_log_mel(clip)
    assert ours.shape == plain.shape
    assert_allclose(ours, plain, rtol=0, atol=2e-3)


def test_the_plain_loader_gives_crops_also_of_short_clips(tmp_path):
    manifest = recordings(tmp_path / "clips", 3, (1, 3))
    clips = PlainClips([manifest.root / path for path in manifest.examples["path"]])
    assert soundfile.info(clips.paths[0]).samplerate == 16_000
    assert {tuple(clips[index].shape) for index in range(len(clips))} == {(80, 201)}


def test_every_comparison_runs_on_five_clips(tmp_path, monkeypatch, capsys):
    tiny = {"BATCH": 2, "CLIPS_EACH": 5, "NUM_SOUNDS": 1, "CROP": Crop(2_400)}
    for name, value in tiny.items():
        monkeypatch.setattr(bench_audio, name, value)
    found = bench_audio.measure(tmp_path, num_subjects=1, rounds=1)
    assert [result.at_least for result in found] == [2, 1.8, 10, 0.909]
    assert all(result.ours_s > 0 and result.plain_s > 0 for result in found)
    assert "5 clips, batches of 2" in capsys.readouterr().out
    assert len(list((tmp_path / "voices").iterdir())) == 5
