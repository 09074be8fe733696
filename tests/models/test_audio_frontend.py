import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from agegender.models.audio_frontend import LogMel, normalised_over_time, pre_emphasised

BOTH = pytest.mark.parametrize("uses_log", [True, False])


def voices(number=2, samples=8_000, seed=0):
    """Buzzing at two pitches in a little noise, about as loud as speech."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16_000
    clips = []
    for clip in range(number):
        tones = [np.sin(2 * np.pi * (120 + 90 * clip) * k * time + k) / k for k in range(1, 25)]
        clips.append(0.1 * sum(tones) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)) + 0.01 * rng.normal(size=samples))
    return torch.from_numpy(np.array(clips)).float()


def normalised(features):
    mean, variance = features.mean(-1, keepdims=True), features.var(-1, keepdims=True)
    return (features - mean) / np.sqrt(variance + 1e-5)


@BOTH
@pytest.mark.parametrize("num_mels", [40, 64, 80])
def test_the_features_are_those_of_librosa_within_a_thousandth_of_a_standard_deviation(num_mels, uses_log):
    import librosa  # only this test pays for it

    for clip, features in zip(voices(), LogMel(num_mels, uses_log)(voices()), strict=True):
        samples = clip.double().numpy() * 32_768
        emphasised = samples - 0.97 * np.concatenate([samples[1:2], samples[:-1]])
        mel = librosa.feature.melspectrogram(
            y=emphasised, sr=16_000, n_fft=512, hop_length=160, win_length=400, window="hamming", center=True,
            pad_mode="reflect", power=2.0, n_mels=num_mels, fmin=0.0, fmax=8_000.0, htk=True, norm=None,
        )  # fmt: skip
        expected = normalised(np.log(mel + 1e-6) if uses_log else mel + 1e-6)
        assert_close(features.double(), torch.from_numpy(expected), rtol=0, atol=1e-3)


@BOTH
def test_the_features_are_those_of_the_published_torchaudio_chain(uses_log):
    from torchaudio.transforms import MelSpectrogram

    samples = voices() * 32_768
    kernel = torch.tensor([[[-0.97, 1.0]]])
    emphasised = functional.conv1d(functional.pad(samples[:, None], (1, 0), "reflect"), kernel)[:, 0]
    mel = MelSpectrogram(
        sample_rate=16_000, n_fft=512, win_length=400, hop_length=160, window_fn=torch.hamming_window, n_mels=80
    )(emphasised)
    mel = (mel + 1e-6).log() if uses_log else mel + 1e-6
    assert_close(LogMel(uses_log=uses_log)(voices()), nn.InstanceNorm1d(80)(mel), rtol=0, atol=1e-3)


def test_before_the_first_sample_comes_the_second():
    clip = [3.0, 5.0, -1.0, 2.0]
    expected = [3.0 - 0.97 * 5.0, 5.0 - 0.97 * 3.0, -1.0 - 0.97 * 5.0, 2.0 + 0.97 * 1.0]
    assert_close(pre_emphasised(torch.tensor([clip])), torch.tensor([expected]))


@pytest.mark.parametrize(("samples", "frames"), [(80_240, 502), (48_240, 302), (257, 2), (1_599, 10), (1_600, 11)])
def test_there_is_a_frame_every_ten_milliseconds(samples, frames):
    assert LogMel()(voices(1, samples)).shape == (1, 80, frames)


@BOTH
def test_each_band_has_mean_0_and_variance_1_over_the_clip(uses_log):
    features = LogMel(uses_log=uses_log)(voices())
    assert_close(features.mean(2), torch.zeros(2, 80), rtol=0, atol=1e-4)
    assert_close(features.var(2, unbiased=False), torch.ones(2, 80), rtol=0, atol=1e-3)


def test_a_single_frame_becomes_0():
    assert_close(normalised_over_time(torch.randn(2, 5, 1)), torch.zeros(2, 5, 1))


@BOTH
def test_silence_becomes_0(uses_log):
    assert LogMel(uses_log=uses_log)(torch.zeros(1, 1_600)).abs().max() < 1e-3


@BOTH
def test_how_loud_a_clip_is_does_not_matter(uses_log):
    front_end = LogMel(uses_log=uses_log)
    assert_close(front_end(voices() / 4), front_end(voices()), rtol=0, atol=1e-3)


def test_without_the_logarithm_a_clip_far_below_the_floor_of_the_variance_does_depend_on_it():
    front_end = LogMel(uses_log=False)
    assert (front_end(voices() / 2**17) - front_end(voices() / 2**15)).abs().max() > 0.1


def test_before_the_normalisation_loudness_is_a_shift_of_the_logarithm():
    front_end = LogMel()
    loud, quiet = (front_end.before_normalisation(voices() * gain) for gain in (1.0, 0.25))
    assert_close(loud - quiet, torch.full_like(loud, 2 * np.log(4)), rtol=0, atol=1e-3)
    assert_close(normalised_over_time(loud), front_end(voices()))


def test_the_floor_of_the_power_is_a_millionth_of_the_numbers_of_a_file():
    silence, logarithm = torch.zeros(1, 1_600), torch.log(torch.tensor(1e-6))
    assert_close(LogMel().before_normalisation(silence), logarithm.expand(1, 80, 11))
    assert_close(LogMel(uses_log=False).before_normalisation(silence), torch.full((1, 80, 11), 1e-6))


def test_full_scale_stands_for_the_numbers_of_a_16_bit_file():
    power = LogMel(uses_log=False).before_normalisation(voices()) - 1e-6
    assert_close(
        LogMel(uses_log=False).before_normalisation(voices() / 32_768) - 1e-6, power / 32_768**2, rtol=1e-2, atol=1e-6
    )


def test_a_variance_as_small_as_its_floor_is_halved_by_it():
    features = torch.tensor([[[1.0, -1.0, 1.0, -1.0]]]) * 1e-5**0.5
    assert_close(normalised_over_time(features + 3), features.sign() * 0.5**0.5, rtol=1e-3, atol=0)


def test_the_logarithm_is_a_switch():
    assert (LogMel(uses_log=True)(voices()) - LogMel(uses_log=False)(voices())).abs().max() > 0.5


@BOTH
def test_the_numbers_of_a_file_mean_the_same_as_its_waveform(uses_log):
    numbers = (voices() * 32_768).round().short()
    front_end = LogMel(uses_log=uses_log)
    assert_close(front_end(numbers), front_end(numbers.float() / 32_768))


def test_a_clip_is_read_without_its_batch():
    assert_close(LogMel()(voices()[1:]), LogMel()(voices())[1:], rtol=0, atol=1e-4)


def test_autocast_does_not_reach_the_inside():
    with torch.autocast("cpu", torch.bfloat16):
        features = LogMel()(voices())
    assert features.dtype == torch.float32
    assert_close(features, LogMel()(voices()))


def test_there_is_nothing_to_learn_or_to_save():
    assert list(LogMel().parameters()) == []
    assert LogMel().state_dict() == {}


@BOTH
def test_the_gradient_reaches_every_sample(uses_log):
    clip = voices(1, 1_600).requires_grad_()
    LogMel(uses_log=uses_log)(clip).square().mul(torch.randn(80, 11)).sum().backward()
    assert clip.grad.isfinite().all()
    assert (clip.grad != 0).float().mean() > 0.99


@pytest.mark.parametrize("shape", [(1, 256), (256,), (1_600,), (1, 1, 1_600), (1, 0)])
def test_another_shape_or_a_clip_too_short_to_reflect_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected a waveform \(batch, samples\) of more than 256 samples, got \("):
        LogMel()(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_integers_of_an_unknown_scale_are_refused(dtype):
    with pytest.raises(ValueError, match=rf"or of int16, got {dtype}"):
        LogMel()(torch.zeros(1, 1_600, dtype=dtype))
