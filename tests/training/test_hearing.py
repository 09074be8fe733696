"""What the nets of the Common Voice pipeline hear, against its parts called one by one."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from agegender.data.spec_augment import circular_shift, mask_spectrograms
from agegender.models.audio_frontend import DecibelMel, raw_audio
from agegender.models.speech_cnn import SpeechCNN
from agegender.training.hearing import HEARINGS, NUM_UNIFORMS, Hearing

SMALL = Hearing(rate_hz=16_000, num_samples=4_000, n_fft=512, hop=160)


def batch(num=3, seed=0, **more):
    clips = np.random.default_rng(seed).integers(-20_000, 20_000, (num, SMALL.num_samples), dtype=np.int16)
    return {"clips": torch.from_numpy(clips), **more}


def uniforms(num=3, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).random((num, NUM_UNIFORMS), dtype=np.float32))


def test_both_corpora_give_the_512_frames_of_the_published_net_and_the_published_one_5_46_s():
    assert set(HEARINGS) == {"commonvoice", "speechocean762"}
    published = HEARINGS["commonvoice"]
    assert (published.rate_hz, published.num_samples, published.n_fft, published.hop) == (48_000, 262_080, 1024, 512)
    assert published.num_samples / published.rate_hz == 5.46
    for hearing in HEARINGS.values():
        clips = torch.zeros(1, hearing.num_samples, dtype=torch.int16)
        assert hearing.spectrograms()({"clips": clips}).shape == (1, 64, 512)
    assert sum(p.numel() for p in SpeechCNN(num_frames=512).parameters()) + 63_240 * 6 + 6 == 393_182


def test_a_clip_is_heard_from_its_beginning_with_silence_behind():
    crop = SMALL.crop
    assert (crop.num_samples, crop.is_looped, crop.is_random) == (4_000, False, False)


def test_without_uniforms_a_spectrogram_is_that_of_the_clip_in_decibels():
    heard = SMALL.spectrograms()(batch())
    expected = DecibelMel(16_000, 512, 160)(batch()["clips"].float() / 32768)
    assert_close(heard, expected)
    assert heard.shape == (3, 64, SMALL.num_frames)


def test_with_uniforms_the_clip_is_shifted_by_the_first_and_its_spectrogram_masked_by_the_others():
    numbers = uniforms()
    heard = SMALL.spectrograms()(batch(uniforms=numbers))
    shifted = circular_shift(batch()["clips"].float() / 32768, numbers[:, 0])
    assert_close(heard, mask_spectrograms(DecibelMel(16_000, 512, 160)(shifted), numbers[:, 1:]))
    assert not torch.allclose(heard, SMALL.spectrograms()(batch()))


def test_what_is_heard_of_a_clip_does_not_depend_on_the_others():
    numbers, whole = uniforms(), batch()["clips"]
    together = SMALL.spectrograms()({"clips": whole, "uniforms": numbers})
    alone = SMALL.spectrograms()({"clips": whole[1:2], "uniforms": numbers[1:2]})
    assert_close(together[1:2], alone)


def test_waveforms_are_at_8_khz_and_not_augmented():
    heard = SMALL.waveforms()(batch())
    assert heard.shape == (3, 2_000)
    assert_close(heard, raw_audio(batch()["clips"].float() / 32768, 16_000))
    assert_close(SMALL.waveforms()(batch(uniforms=uniforms())), heard)
    assert heard.abs().max() <= 1.5


def test_uniforms_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"uniforms must have the shape \(3, 8\)"):
        SMALL.spectrograms()(batch(uniforms=uniforms()[:, :-1]))
