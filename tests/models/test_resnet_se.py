import functools

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from agegender.models.heads import GENDER, ClassHead, RegressionHead, hidden_layers
from agegender.models.multitask import MultiTaskModel
from agegender.models.resnet_se import ResNetSE34V2, SEBlock, SmallResNetSE


def clips(number=2, samples=2_400, seed=0):
    return 0.1 * torch.randn(number, samples, generator=torch.Generator().manual_seed(seed))


@functools.cache
def net(num_mels=80, pooling="asp", uses_log=True):
    torch.manual_seed(0)
    encoder = ResNetSE34V2(num_mels, pooling, uses_log=uses_log)
    with torch.no_grad():
        encoder.train()(clips(4, seed=7))  # moving averages that are not the initial ones
    return encoder.eval()


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("num_mels", "expected"), [(80, 8_684_364), (64, 8_028_492), (40, 7_044_684)])
def test_the_number_of_parameters_is_the_published_one(num_mels, expected):
    assert num_parameters(ResNetSE34V2(num_mels)) == expected


def counted_from_the_layer_table(first, num_mels=80):
    """Parameters of a net whose first layer has ``first`` channels, added up from the published table of layers."""
    total, before = first * 9 + first + 2 * first, first
    for channels, num_blocks in ((first, 3), (2 * first, 4), (4 * first, 6), (8 * first, 3)):
        for _ in range(num_blocks):
            inner = channels // 8
            total += 9 * before * channels + 9 * channels**2 + 2 * 2 * channels
            total += 2 * inner * channels + inner + channels
            total += before * channels + 2 * channels if before != channels else 0
            before = channels
    features = before * num_mels // 8
    attention = 128 * features + 128 + 2 * 128 + 128 * features + features
    return total + attention + 512 * 2 * features + 512


@pytest.mark.parametrize("width", [1.0, 0.5, 0.25])
def test_a_narrower_net_has_so_many_channels_fewer_in_every_layer(width):
    encoder = ResNetSE34V2(width=width)
    assert num_parameters(encoder) == counted_from_the_layer_table(round(32 * width))
    assert encoder(clips()).shape == (2, 512)


@pytest.mark.parametrize("width", [0.1, 0.3, 0.2, 0.0, -1.0, float("nan")])
def test_refuses_a_width_without_whole_channels(width):
    with pytest.raises(ValueError, match="a whole number of at least 8"):
        ResNetSE34V2(width=width)


def test_each_part_has_the_published_number_of_parameters():
    blocks = [num_parameters(block) for block in net().blocks]
    layers = [sum(blocks[:3]), sum(blocks[3:7]), sum(blocks[7:13]), sum(blocks[13:])]
    assert num_parameters(net().stem) == 384
    assert layers == [56_556, 284_064, 1_732_704, 3_330_400]
    assert num_parameters(net().pooling) == 658_304
    assert num_parameters(net().linear) == 2_621_952


def test_without_deviations_the_last_layer_has_half_its_inputs():
    assert num_parameters(net()) - num_parameters(net(pooling="sap")) == 2_560 * 512


def test_with_its_two_heads_it_is_the_published_model():
    layers = [hidden_layers(512, (1024, 512), has_batch_norm=True) for _ in range(2)]
    heads = {"age": RegressionHead(512, layers[0]), "gender": ClassHead(512, GENDER, layers[1])}
    assert [num_parameters(head) for head in heads.values()] == [1_053_697, 1_054_210]
    assert num_parameters(MultiTaskModel(net(), heads)) == 10_792_271


def test_the_maps_are_as_large_as_published():
    shapes = []
    watched = [net().stem, net().blocks[2], net().blocks[6], net().blocks[12], net().blocks[15], net().pooling]
    hooks = [m.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:]))) for m in watched]
    with torch.no_grad():
        embedding = net()(torch.randn(1, 80_240))
    for hook in hooks:
        hook.remove()
    assert shapes == [(32, 80, 502), (32, 80, 502), (64, 40, 251), (128, 20, 126), (256, 10, 63), (5_120,)]
    assert embedding.shape == (1, net().out_features) == (1, 512)


def normalised(x, layer):
    mean, variance, scale, shift = (
        values.view(1, -1, 1, 1) for values in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / (variance + layer.eps).sqrt() * scale + shift


def gated(x, gate):
    first, _, second, _ = gate.gate
    hidden = (x.mean((2, 3)) @ first.weight.T + first.bias).clamp(min=0)
    return x * (1 / (1 + (-(hidden @ second.weight.T + second.bias)).exp()))[:, :, None, None]


@pytest.mark.parametrize(("out_channels", "stride"), [(32, 1), (64, 2), (64, 1), (32, 2)])
def test_a_block_equals_its_description_written_out(out_channels, stride):
    torch.manual_seed(0)
    block, x = SEBlock(32, out_channels, stride), torch.randn(3, 32, 9, 7)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        block.train()(torch.randn(3, 32, 9, 7) + 0.3)
        result = block.eval()(x)
        inner = functional.conv2d(x, block.conv1.weight, stride=stride, padding=1).clamp(min=0)
        inner = functional.conv2d(normalised(inner, block.norm1), block.conv2.weight, padding=1)
        inner = gated(normalised(inner, block.norm2), block.gate)
        beside = x
        if (out_channels, stride) != (32, 1):
            beside = normalised(functional.conv2d(x, block.shortcut[0].weight, stride=stride), block.shortcut[1])
        expected = (inner + beside).clamp(min=0)
    assert result.shape == (3, out_channels, -(-9 // stride), -(-7 // stride))
    assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_the_stem_bends_before_it_normalises():
    assert [type(module) for module in net().stem] == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]
    assert net().stem[0].bias is not None


def test_a_gate_has_an_eighth_of_the_channels_inside():
    assert [module.out_features for module in SEBlock(64, 64, 1).gate.gate[::2]] == [8, 64]


def test_every_channel_and_mel_band_of_the_last_map_is_pooled_on_its_own():
    with torch.no_grad():
        features = net().front_end(clips())
        maps = net().blocks(net().stem(features[:, None]))
        rows = torch.cat([maps[:, channel] for channel in range(256)], 1)
        expected = net().pooling(rows) @ net().linear.weight.T + net().linear.bias
        assert_close(net()(clips()), expected, rtol=1e-4, atol=1e-5)


def test_the_convolutions_start_as_hes_normal_distribution_over_their_outputs():
    torch.manual_seed(1)
    for module in ResNetSE34V2().modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 2_000:
            outputs, _, height, width = module.weight.shape
            assert abs(module.weight.std().item() / (2 / (outputs * height * width)) ** 0.5 - 1) < 0.08


@pytest.mark.parametrize(("num_mels", "bands"), [(41, 6), (44, 6), (47, 6), (48, 6), (49, 7)])
def test_the_bands_of_the_last_map_are_an_eighth_of_the_mels_rounded_up(num_mels, bands):
    encoder = ResNetSE34V2(num_mels, "sap", out_features=3).eval()
    assert encoder.pooling.out_features == 256 * bands
    with torch.no_grad():
        assert encoder(clips(1, 1_600)).shape == (1, 3) == (1, encoder.out_features)


@pytest.mark.parametrize("pooling", ["sap", "asp"])
@pytest.mark.parametrize("uses_log", [True, False])
def test_each_clip_is_encoded_alone_when_the_net_is_used(pooling, uses_log):
    encoder = net(40, pooling, uses_log)
    with torch.no_grad():
        assert_close(encoder(clips()[1:]), encoder(clips())[1:], rtol=1e-3, atol=1e-4)


def test_the_logarithm_is_a_switch():
    assert net(40).front_end.uses_log
    assert not net(40, uses_log=False).front_end.uses_log


def test_clips_of_any_length_are_encoded():
    with torch.no_grad():
        for samples in (257, 1_600, 7_777):
            assert net(40)(clips(1, samples)).isfinite().all()


def test_the_layout_in_memory_changes_nothing():
    with torch.no_grad():
        expected = net(40)(clips())
        found = ResNetSE34V2(40).eval().to(memory_format=torch.channels_last)
        found.load_state_dict(net(40).state_dict())
        assert_close(found(clips()), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pooling", ["sap", "asp"])
def test_the_gradient_reaches_every_parameter(pooling):
    torch.manual_seed(0)
    encoder = ResNetSE34V2(40, pooling)
    (encoder(clips(4)) * torch.randn(4, 512)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.isfinite().all(), name
        if name not in ("pooling.attention.2.bias", "pooling.attention.3.bias"):  # they shift all frames alike
            assert parameter.grad.abs().max() > 0, name


def test_bfloat16_gives_nearly_the_same_embedding_in_float32():
    with torch.no_grad():
        plain = net(40)(clips())
        with torch.autocast("cpu", torch.bfloat16):
            rounded = net(40)(clips())
    assert rounded.dtype == torch.float32
    assert functional.cosine_similarity(plain, rounded).min() > 0.99


def test_an_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="unknown pooling 'tap': expected 'sap' or 'asp'"):
        ResNetSE34V2(pooling="tap")


def test_the_small_net_pools_both_axes_and_hides_parts_of_a_clip_in_training_only():
    torch.manual_seed(0)
    net = SmallResNetSE(num_mels=16, widths=(8, 8), out_features=6, dropout=0.0)
    clips = torch.randn(4, 8_000)
    assert net.pooling.out_features == 2 * 8 * 4  # 16 bands halved twice
    assert_close(net.eval()(clips), net(clips))
    hidden = []
    net.train().blocks.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    net(clips)
    whole = net.front_end(clips)[:, None]
    is_hidden = (hidden[0] == 0) & (whole != 0)
    assert is_hidden.any()
    assert torch.equal(hidden[0][~is_hidden], whole[~is_hidden])


def test_a_small_net_needs_eight_channels_in_each_layer():
    with pytest.raises(ValueError, match="at least 8"):
        SmallResNetSE(widths=(16, 4))


def test_the_small_net_has_the_parameters_that_it_says():
    assert sum(p.numel() for p in SmallResNetSE().parameters()) == 691_348
