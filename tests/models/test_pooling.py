import math

import pytest
import torch
from torch.testing import assert_close

from agegender.models.pooling import AttentiveStatisticsPooling, SelfAttentivePooling

BOTH = pytest.mark.parametrize("kind", [SelfAttentivePooling, AttentiveStatisticsPooling])


def layer(kind, channels=6):
    torch.manual_seed(0)
    pooling = kind(channels, hidden_features=4)
    pooling.attention[2].running_mean.normal_()
    pooling.attention[2].running_var.uniform_(0.5, 2)
    with torch.no_grad():
        pooling.attention[3].weight.mul_(5)  # weights that are far from equal
    return pooling.eval()


def frames(batch=3, channels=6, number=7, seed=1):
    return torch.randn(batch, channels, number, generator=torch.Generator().manual_seed(seed))


def weights_written_out(pooling, clip):
    """The weight (channels, frames) of each frame of a clip (channels, frames)."""
    first, _, norm, last = pooling.attention
    scores = []
    for frame in clip.T:
        hidden = (first.weight[:, :, 0] @ frame + first.bias).clamp(min=0)
        hidden = (hidden - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        scores.append(last.weight[:, :, 0] @ hidden + last.bias)
    scores = torch.stack(scores, 1)
    return scores.exp() / scores.exp().sum(1, keepdim=True)


def test_sap_is_the_weighted_mean():
    pooling = layer(SelfAttentivePooling)
    with torch.no_grad():
        expected = [(weights_written_out(pooling, clip) * clip).sum(1) for clip in frames()]
        assert_close(pooling(frames()), torch.stack(expected))


def test_asp_is_the_weighted_mean_and_standard_deviation():
    pooling = layer(AttentiveStatisticsPooling)
    with torch.no_grad():
        for clip, found in zip(frames(), pooling(frames()), strict=True):
            weights = weights_written_out(pooling, clip)
            mean = (weights * clip).sum(1)
            std = ((weights * clip**2).sum(1) - mean**2).clamp(min=1e-5).sqrt()
            assert_close(found, torch.cat([mean, std]), rtol=1e-4, atol=1e-4)


@BOTH
def test_the_weights_are_not_equal_ones(kind):
    with torch.no_grad():
        assert (layer(kind)(frames())[:, :6] - frames().mean(2)).abs().max() > 0.1


@BOTH
def test_the_number_of_features_is_told(kind):
    pooling = layer(kind)
    assert pooling.out_features == {SelfAttentivePooling: 6, AttentiveStatisticsPooling: 12}[kind]
    assert pooling(frames()).shape == (3, pooling.out_features)
    assert kind(6).attention[0].out_channels == 128  # as published


@BOTH
def test_a_single_frame_is_its_own_mean_with_the_least_deviation_and_a_gradient(kind):
    one = frames(number=1).requires_grad_()
    pooled = layer(kind)(one)
    assert_close(pooled[:, :6], one[:, :, 0])
    assert_close(pooled[:, 6:], torch.full_like(pooled[:, 6:], math.sqrt(1e-5)))
    pooled.sum().backward()
    assert one.grad.isfinite().all()


def test_frames_that_are_all_the_same_have_the_least_deviation():
    pooled = layer(AttentiveStatisticsPooling)(frames(number=1).expand(-1, -1, 9))
    assert_close(pooled[:, 6:], torch.full((3, 6), math.sqrt(1e-5)), rtol=1e-2, atol=0)


@BOTH
def test_the_order_of_the_frames_does_not_matter(kind):
    with torch.no_grad():
        assert_close(layer(kind)(frames().flip(2)), layer(kind)(frames()))


@BOTH
def test_every_parameter_learns_but_those_that_shift_all_frames_alike(kind):
    pooling = layer(kind).train()
    (pooling(frames()) * torch.randn(3, pooling.out_features)).sum().backward()
    for name, parameter in pooling.named_parameters():
        if name in ("attention.2.bias", "attention.3.bias"):
            assert parameter.grad.abs().max() < 1e-4, name
        else:
            assert parameter.grad.abs().max() > 1e-4, name


@BOTH
def test_autocast_rounds_the_attention_and_not_the_statistics(kind):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        pooled = layer(kind)(frames() + 100)
    assert pooled.dtype == torch.float32
    with torch.no_grad():
        assert_close(pooled - 100, layer(kind)(frames() + 100) - 100, rtol=0, atol=0.6)  # bfloat16 steps by 0.5 there
