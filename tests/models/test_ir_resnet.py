import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from agegender.models.ir_resnet import IRBlock, IRResNet


def pictures(number=2, side=112, seed=0):
    return torch.randn(number, 3, side, side, generator=torch.Generator().manual_seed(seed))


@functools.cache
def net(depth=18):
    torch.manual_seed(0)
    return IRResNet(depth)


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def counted_by_hand(layers):
    """Convolutions without bias, two numbers for each channel of a BN, one for a PReLU."""
    total = 9 * 3 * 64 + 2 * 64 + 1
    channels = 64
    for layer, num_blocks in enumerate(layers):
        for _ in range(num_blocks):
            out = 64 * 2**layer
            total += 9 * channels * channels + 9 * channels * out + 2 * (channels + channels + out) + 1
            total += (channels * out + 2 * out) * (channels != out)
            channels = out
    return total + 2 * 512


@pytest.mark.parametrize(
    ("depth", "layers", "total", "in_millions"),
    [
        (18, (2, 2, 2, 2), 34_593_456, "34.59"),
        (34, (3, 4, 6, 3), 44_705_336, "44.71"),
        (101, (3, 4, 23, 3), 64_785_481, "64.79"),
    ],
)
def test_the_number_of_parameters_is_the_published_one(depth, layers, total, in_millions):
    heads = sum(25_088 * 512 + 512 + 512 * outputs + outputs for outputs in (101, 2))
    counted = num_parameters(IRResNet(depth))
    assert counted == counted_by_hand(layers)
    assert counted + heads == total
    assert f"{total / 1e6:.2f}" == in_millions


def test_the_maps_are_as_large_as_published():
    sides = []
    hooks = [
        module.register_forward_hook(lambda _, __, out: sides.append(tuple(out.shape[1:])))
        for module in (net().stem[0], net().stem, *net().blocks[1::2])
    ]
    with torch.no_grad():
        embedding = net().eval()(pictures())
    for hook in hooks:
        hook.remove()
    assert sides == [(64, 110, 110), (64, 55, 55), (64, 55, 55), (128, 28, 28), (256, 14, 14), (512, 7, 7)]
    assert embedding.shape == (2, net().out_features) == (2, 25_088)


def normalised(x, layer):
    mean, variance, scale, shift = (
        values.view(1, -1, 1, 1) for values in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / (variance + layer.eps).sqrt() * scale + shift


def bent(x, slope):
    return torch.where(x > 0, x, slope * x)


@pytest.mark.parametrize(("out_channels", "stride"), [(32, 1), (64, 2), (64, 1), (32, 2)])
def test_a_block_equals_its_description_written_out(out_channels, stride):
    torch.manual_seed(0)
    block = IRBlock(32, out_channels, stride)
    x = torch.randn(3, 32, 9, 9)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        block.train()(torch.randn(3, 32, 9, 9) + 0.3)  # moving averages that are not the initial ones
        result = block.eval()(x)
        slope = block.activation.weight
        inner = functional.conv2d(normalised(x, block.norm0), block.conv1.weight, padding=1)
        inner = functional.conv2d(
            bent(normalised(inner, block.norm1), slope), block.conv2.weight, stride=stride, padding=1
        )
        inner = normalised(inner, block.norm2)
        beside = x
        if (out_channels, stride) != (32, 1):
            beside = normalised(functional.conv2d(x, block.shortcut[0].weight, stride=stride), block.shortcut[1])
        expected = bent(inner + beside, slope)
    assert slope.numel() == 1
    assert result.shape == (3, out_channels, -(-9 // stride), -(-9 // stride))
    assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_the_end_is_a_normalisation_then_dropout_then_the_values_in_order():
    torch.manual_seed(0)
    encoder = copy.deepcopy(net())
    encoder.dropout.p = 0.25
    with torch.no_grad():
        maps = encoder.eval().blocks(encoder.stem(pictures(1)))
        assert_close(encoder(pictures(1)), normalised(maps, encoder.norm).reshape(1, -1), rtol=1e-4, atol=1e-5)
        encoder.dropout.train()
        thinned, kept = encoder(pictures(1)), encoder.norm(maps).flatten(1)
    share = (thinned == 0).float().mean()
    assert 0.23 < share < 0.27
    assert_close(thinned[thinned != 0], (kept / 0.75)[thinned != 0], rtol=1e-4, atol=1e-5)


def test_the_published_dropout_is_a_half():
    assert net().dropout.p == 0.5


def test_the_first_weights_are_xaviers_normal_ones():
    for module in net().modules():
        if isinstance(module, nn.Conv2d):
            outputs, inputs, height, width = module.weight.shape
            expected = (2 / ((inputs + outputs) * height * width)) ** 0.5
            assert module.bias is None
            assert abs(module.weight.std().item() / expected - 1) < 0.08


def test_each_picture_is_encoded_alone_when_the_net_is_used():
    encoder = net().eval()
    with torch.no_grad():
        assert_close(encoder(pictures()[1:]), encoder(pictures())[1:], rtol=1e-3, atol=1e-4)


def test_the_layout_in_memory_changes_nothing():
    encoder = copy.deepcopy(net()).eval().to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert_close(encoder(pictures(1)), net().eval()(pictures(1)), rtol=1e-3, atol=1e-4)


def test_the_gradient_reaches_every_parameter():
    encoder = copy.deepcopy(net())
    (encoder(pictures(2)) * torch.randn(2, encoder.out_features)).mean().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("shape", [(1, 3, 224, 224), (1, 112, 112, 3), (3, 112, 112), (1, 3, 111, 112)])
def test_pictures_of_another_size_are_refused_with_their_size(shape):
    found = ", ".join(map(str, shape))
    with pytest.raises(ValueError, match=rf"reads \(batch, 3, 112, 112\), got \({found}\): it has no pooling"):
        net()(torch.zeros(shape))


@pytest.mark.parametrize("depth", [50, 152])
def test_a_depth_that_the_published_code_has_in_name_only_is_refused(depth):
    with pytest.raises(ValueError, match=rf"one of \[18, 34, 101\], got {depth}; the published 50 is 34 here"):
        IRResNet(depth)
