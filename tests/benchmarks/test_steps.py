"""A step of the benchmark trains, on faces as on clips, and both arms are given the same batch."""

import pytest
import torch
from torch import nn

from benchmarks import steps
from benchmarks.steps import TrainedModel, compare_steps


class Small(nn.Module):
    """Means of the channels, or of fifty pieces of a clip, and what it was given."""

    def __init__(self, out_features):
        super().__init__()
        self.linear, self.seen = nn.LazyLinear(out_features), []

    def forward(self, inputs):
        self.seen.append(inputs)
        return self.linear(inputs.flatten(1) if inputs.ndim == 2 else inputs.mean((2, 3)))


@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (4, 50)], ids=["faces", "clips"])
def test_both_arms_learn_from_the_same_batch_ours_with_the_channels_last(shape, monkeypatch):
    monkeypatch.setattr(steps, "DEVICE", "cpu")
    torch.manual_seed(0)
    encoder, plain, inputs = Small(6), Small(10), torch.randn(shape)
    for net in (encoder, plain):
        net(inputs)
    before = [net.linear.weight.detach().clone() for net in (encoder, plain)]
    result = compare_steps("step", TrainedModel(encoder, 6), plain, inputs, rounds=2)
    assert (result.rounds, result.at_least) == (2, 1.8)
    for net, weight in zip((encoder, plain), before, strict=True):
        assert len(net.seen) == 1 + 5  # three turns to warm up
        assert all(torch.equal(seen, inputs) for seen in net.seen)
        assert (net.linear.weight != weight).all()
    if len(shape) == 4:
        assert encoder.seen[1].is_contiguous(memory_format=torch.channels_last)
        assert plain.seen[1].is_contiguous()
