import math

import librosa
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from agegender.models.audio_frontend import PUBLISHED_HZ, PUBLISHED_SAMPLES, RAW_HZ, DecibelMel, raw_audio


def clips(number=2, samples=6_000, seed=0):
    return 0.1 * torch.randn(number, samples, generator=torch.Generator().manual_seed(seed))


def tone(hz, rate_hz, samples, amplitude=0.5):
    return amplitude * torch.sin(2 * math.pi * hz * torch.arange(samples) / rate_hz)[None]


def test_the_spectrogram_is_librosa_s_in_decibels():
    for clip in clips():
        power = librosa.feature.melspectrogram(
            y=clip.numpy(), sr=PUBLISHED_HZ, n_fft=1024, hop_length=512, n_mels=64, htk=True, norm=None,
            pad_mode="reflect",
        )  # fmt: skip
        expected = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=100)
        assert_close(DecibelMel()(clip[None])[0], torch.from_numpy(expected).float(), rtol=0, atol=1e-3)  # decibels


def test_the_published_clip_has_64_mels_and_512_frames():
    assert PUBLISHED_SAMPLES == 5.46 * PUBLISHED_HZ
    assert DecibelMel()(torch.zeros(1, PUBLISHED_SAMPLES)).shape == (1, 64, 512)
    for samples, frames in ((1024, 3), (1535, 3), (1536, 4)):
        assert DecibelMel()(torch.zeros(1, samples)).shape[2] == frames


def test_silence_is_100_decibels_below_the_loudest_place_of_its_own_clip():
    loud = torch.cat([tone(1_000, PUBLISHED_HZ, 20_000), torch.zeros(1, 20_000)], 1)
    mels = DecibelMel()(loud)
    assert_close(mels.amax() - mels.amin(), torch.tensor(100.0))
    assert mels[0, :, -5:].unique().numel() == 1


def test_a_clip_looks_the_same_alone_and_beside_a_louder_one():
    quiet = torch.cat([tone(1_000, PUBLISHED_HZ, 10_000, 1e-3), torch.zeros(1, 10_000)], 1)
    alone, beside = DecibelMel()(quiet), DecibelMel()(torch.cat([quiet, 900 * quiet]))
    assert_close(beside[:1], alone)


def test_ten_times_the_amplitude_is_20_decibels():
    assert_close(DecibelMel()(10 * clips()), DecibelMel()(clips()) + 20, rtol=1e-4, atol=1e-3)


def test_digital_silence_is_the_floor_and_finite():
    assert_close(DecibelMel()(torch.zeros(1, 2_000)), torch.full((1, 64, 4), -100.0))


@pytest.mark.parametrize("make", [DecibelMel(), raw_audio], ids=["decibels", "waveform"])
def test_autocast_changes_nothing_doubles_become_floats_and_there_is_no_gradient(make):
    expected = make(clips())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(make(clips()), expected)
    assert torch.equal(make(clips().double()), expected)
    assert expected.dtype == torch.float32
    assert not make(clips().requires_grad_()).requires_grad


def test_a_clip_too_short_for_one_window_is_refused():
    assert DecibelMel()(torch.zeros(1, 513)).shape == (1, 64, 2)
    with pytest.raises(ValueError, match=r"more than 512 samples, got \(1, 512\)"):
        DecibelMel()(torch.zeros(1, 512))
    with pytest.raises(ValueError, match=r"expected clips \(batch, samples\)"):
        DecibelMel()(torch.zeros(1, 1, 2_000))


def test_raw_audio_keeps_what_is_below_4_khz_and_drops_what_is_above():
    low, high = (raw_audio(tone(hz, PUBLISHED_HZ, 9_600))[:, 200:-200] for hz in (500, 6_000))
    assert raw_audio(clips(2, 9_601)).shape == (2, 1_601)
    assert_close(low, tone(500, RAW_HZ, 1_600)[:, 200:-200], rtol=0, atol=0.01)
    assert high.abs().max() < 0.01
    assert torch.equal(raw_audio(clips(), RAW_HZ), clips())


def test_raw_audio_is_librosa_s_resampling_up_to_the_filter():
    smooth = np.convolve(clips(1, 9_600)[0].numpy(), np.hanning(60) / 30, mode="same").astype(np.float32)
    expected = librosa.resample(smooth, orig_sr=PUBLISHED_HZ, target_sr=RAW_HZ, res_type="scipy")
    found = raw_audio(torch.from_numpy(smooth)[None])[0]
    assert (found - torch.from_numpy(expected))[100:-100].abs().max() < 0.05 * smooth.std()
