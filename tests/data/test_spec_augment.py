import pytest
import torch
from torch.testing import assert_close
from torchaudio.functional import mask_along_axis

from agegender.data.spec_augment import MASK_UNIFORMS, circular_shift, mask_spectrograms


def uniforms(number, columns=MASK_UNIFORMS, seed=0):
    return torch.rand(number, columns, generator=torch.Generator().manual_seed(seed))


def spectrograms(number=3, num_mels=64, frames=512):
    return torch.randn(number, num_mels, frames, generator=torch.Generator().manual_seed(1))


def test_a_shift_moves_a_clip_later_by_at_most_four_tenths_and_the_end_comes_round():
    clips = torch.arange(10.0).repeat(4, 1)
    shifted = circular_shift(clips, torch.tensor([0.0, 0.24, 0.25, 0.9999]))
    assert shifted[0].tolist() == shifted[1].tolist() == clips[0].tolist()  # int(0.96) samples
    assert shifted[2].tolist() == [9, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert shifted[3].tolist() == [7, 8, 9, 0, 1, 2, 3, 4, 5, 6]  # int(3.9996)


def masked_by_torchaudio(monkeypatch, mel, row):
    """The same masks by torchaudio, which draws from a generator: here it is handed the uniforms of the row."""
    values = iter(row)
    filling = mel.mean().item()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, **options: next(values).reshape(1).float())
        for axis, share in ((0, 0.1), (0, 0.1), (1, 0.1), (1, 0.1)):
            mel = mask_along_axis(mel[None], share * mel.shape[axis], filling, axis + 1)[0]
    return mel


def test_the_masks_are_torchaudio_s_for_the_same_uniforms(monkeypatch):
    mels, rows = spectrograms(8), uniforms(8)
    found = mask_spectrograms(mels, rows)
    for mel, row, masked in zip(mels, rows, found, strict=True):
        assert_close(masked, masked_by_torchaudio(monkeypatch, mel, row))


def test_masks_are_up_to_6_bands_and_51_frames_wide_and_hold_the_mean():
    widest = torch.full((1, MASK_UNIFORMS), 0.999)
    mels = spectrograms(1)
    covered = (mask_spectrograms(mels, widest) == mels.mean())[0]
    assert covered.all(1).sum() == 6
    assert covered.all(0).sum() == 51
    assert covered.all(1).nonzero().flatten().tolist() == list(range(57, 63))
    apart = torch.tensor([[0.999, 0.0, 0.999, 0.5, 0.999, 0.0, 0.999, 0.5]])
    covered = (mask_spectrograms(mels, apart) == mels.mean())[0]
    assert covered.all(1).sum() == 12
    assert covered.all(0).sum() == 102


def test_uniforms_of_zero_mask_nothing():
    assert torch.equal(mask_spectrograms(spectrograms(), torch.zeros(3, MASK_UNIFORMS)), spectrograms())


def test_what_happens_to_a_clip_depends_on_its_own_uniforms_alone():
    mels, rows, clips = spectrograms(), uniforms(3), torch.randn(3, 100)
    assert_close(mask_spectrograms(mels, rows)[1:2], mask_spectrograms(mels[1:2], rows[1:2]))
    assert_close(circular_shift(clips, rows[:, 0])[1:2], circular_shift(clips[1:2], rows[1:2, 0]))
    assert not torch.equal(mask_spectrograms(mels, rows)[:1], mask_spectrograms(mels, uniforms(3, seed=9))[:1])


def test_the_inputs_stay_as_they_were():
    mels, clips = spectrograms(), torch.randn(3, 100)
    before = clips.clone()
    mask_spectrograms(mels, uniforms(3))
    circular_shift(clips, uniforms(3)[:, 0])
    assert torch.equal(mels, spectrograms())
    assert torch.equal(clips, before)


def test_uniforms_of_another_shape_or_range_are_refused():
    with pytest.raises(ValueError, match=r"uniforms must have the shape \(3, 8\), got \(3, 4\)"):
        mask_spectrograms(spectrograms(), uniforms(3, 4))
    with pytest.raises(ValueError, match=r"uniforms must have the shape \(2,\), got \(2, 1\)"):
        circular_shift(torch.zeros(2, 10), uniforms(2, 1))
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"uniforms must lie in \[0, 1\)"):
            circular_shift(torch.zeros(1, 10), torch.tensor([wrong]))
