import math

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from agegender.labels import ADIENCE_8
from agegender.models.heads import GENDER, AgeBins, ClassHead
from agegender.models.lmtcnn import INPUT_PX, LMTCNN, SeparableStage
from agegender.models.multitask import MultiTaskModel
from agegender.models.normalisation import ShiftBatchNorm
from tests.models.adience_nets import (
    convolved,
    fully_connected,
    lmtcnn,
    num_parameters,
    pictures,
    pooled,
    response_normalised,
    shapes_of_parts,
    windows,
)


def with_two_heads(net):
    return MultiTaskModel(
        net, {"age": ClassHead(net.out_features, AgeBins(ADIENCE_8)), "gender": ClassHead(net.out_features, GENDER)}
    )


def shifted(x, layer, uses_batch):
    mean = x.mean((0, 2, 3)) if uses_batch else layer.running_mean
    variance = x.var((0, 2, 3), correction=0) if uses_batch else layer.running_var
    mean, variance, shift = (values.view(1, -1, 1, 1) for values in (mean, variance, layer.shift))
    return (x - mean) / (variance + 1e-3).sqrt() + shift


def separable(x, stage, stride, uses_batch):
    """Depthwise: each channel with its own nine weights, zeros around it. Pointwise: a matrix for every pixel."""
    taps = windows(functional.pad(x, (1, 1, 1, 1)), 3, stride)
    x = (taps * stage.depthwise.weight[None, :, 0, None, None]).sum((-2, -1)) + stage.depthwise.bias.view(1, -1, 1, 1)
    x = shifted(x.clamp(min=0), stage.depthwise_norm, uses_batch)
    x = torch.einsum("oc,bchw->bohw", stage.pointwise.weight[:, :, 0, 0], x) + stage.pointwise.bias.view(1, -1, 1, 1)
    return shifted(x.clamp(min=0), stage.pointwise_norm, uses_batch)


def written_out(net, images, radius, alpha, uses_batch):
    """LMTCNN from its description: convolution, ReLU, pooling, response normalisation, two stages, two full layers."""
    x = response_normalised(pooled(convolved(images, net.conv1, stride=4).clamp(min=0)), radius, alpha)
    x = separable(x, net.stage1, 1, uses_batch)
    return fully_connected(pooled(separable(x, net.stage2, 2, uses_batch)), net)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("variant", ["intended", "published"])
def test_the_encoder_equals_its_description_written_out(variant, mode):
    """In training, and at test with the moving averages or with those of the batch."""
    net = lmtcnn(variant == "published")
    radius, alpha = (5, 1e-4) if variant == "published" else (2, 1e-4 / 5)
    uses_batch = mode == "train" or variant == "published"
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "shift" in name or "bias" in name:
                parameter.normal_(std=0.1)
        net.conv1.weight.mul_(200)  # with its initial weights the response normalisation hardly does anything
        net.full2.weight.mul_(20)
        net.train()(pictures(2, seed=1))  # moving averages that are not the initial ones
        result = getattr(net, mode)()(pictures())
        expected = written_out(net, pictures(), radius, alpha, uses_batch)
        otherwise = written_out(net, pictures(), 7 - radius, alpha, uses_batch)
    assert_close(result, expected, rtol=1e-3, atol=1e-4)  # sums of up to 13,824 terms in another order
    assert (otherwise - expected).abs().max() > 0.01


@pytest.mark.parametrize(("width_multiplier", "total"), [(1, 7_488_426), (2, 7_614_634)])
def test_the_number_of_parameters_is_the_published_one(width_multiplier, total):
    assert num_parameters(with_two_heads(LMTCNN(width_multiplier))) == total


COUNTS = {
    "conv1": (14_208, 14_208),
    "stage1.depthwise": (960, 960),
    "stage1.depthwise_norm": (96, 96),
    "stage1.pointwise": (24_832, 49_664),
    "stage1.pointwise_norm": (256, 512),
    "stage2.depthwise": (2_560, 5_120),
    "stage2.depthwise_norm": (256, 512),
    "stage2.pointwise": (98_688, 196_992),
    "stage2.pointwise_norm": (384, 384),
    "full1": (7_078_400, 7_078_400),
    "full2": (262_656, 262_656),
}
"""Layer -> number of parameters in LMTCNN-1-1 and LMTCNN-2-1, from the description of the public code."""


@pytest.mark.parametrize("width_multiplier", [1, 2])
def test_the_number_of_parameters_of_each_layer_is_the_published_one(width_multiplier):
    net = with_two_heads(LMTCNN(width_multiplier))
    for name, counts in COUNTS.items():
        assert num_parameters(net.encoder.get_submodule(name)) == counts[width_multiplier - 1], name
    assert num_parameters(net.heads["age"]) == 4_104
    assert num_parameters(net.heads["gender"]) == 1_026
    assert sum(counts[width_multiplier - 1] for counts in COUNTS.values()) + 4_104 + 1_026 == num_parameters(net)


@pytest.mark.parametrize(("width_multiplier", "width"), [(1, 256), (2, 512)])
def test_every_stage_has_its_published_size(width_multiplier, width):
    assert shapes_of_parts(LMTCNN(width_multiplier).eval(), pictures(1)) == {
        "conv1": (96, 56, 56),
        "pool1": (96, 27, 27),
        "norm1": (96, 27, 27),
        "stage1": (width, 27, 27),
        "stage2": (384, 14, 14),
        "pool3": (384, 6, 6),
        "full1": (512,),
        "full2": (512,),
        "dropout": (512,),
    }


@pytest.mark.parametrize(("size", "expected"), [(27, 14), (28, 14), (1, 1)])
def test_stride_two_keeps_half_of_the_pixels_rounded_up_as_same_padding_does(size, expected):
    stage = SeparableStage(2, 3, stride=2, uses_batch_statistics_at_test=False).eval()
    assert stage(torch.zeros(1, 2, size, size)).shape == (1, 3, expected, expected)


def test_weights_start_as_in_the_published_code():
    intended = lmtcnn()
    for name, module in intended.named_modules():
        if isinstance(module, nn.Conv2d):
            num_out, num_in, height, width = module.weight.shape
            bound = math.sqrt(6 / ((num_in + num_out) * height * width))  # Glorot and Bengio (2010), equation 16
            assert module.weight.abs().max() <= bound, name
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1), name
            assert (module.bias == 0).all(), name
    for full in (intended.full1, intended.full2):
        assert full.weight.std().item() == pytest.approx(0.005, rel=0.02)
        assert full.weight.mean().abs() < 1e-4
        assert (full.bias == 1).all()


def test_the_published_code_has_no_dropout():
    assert LMTCNN().dropout.p == 0


def test_as_published_a_face_is_read_with_its_batch_also_at_test():
    net, images = lmtcnn(published=True).eval(), pictures(3)
    assert (net(images[:1]) - net(images)[:1]).abs().max() > 0.01


def test_the_strided_depthwise_convolution_in_bfloat16_is_exact_before_it_is_rounded():
    torch.manual_seed(0)
    stage = SeparableStage(4, 8, stride=2, uses_batch_statistics_at_test=False)
    x = torch.randn(2, 4, 9, 9).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        result = stage._depthwise(x)
    assert torch.equal(result, stage.depthwise(x.float()).bfloat16())


def test_an_unknown_response_normalisation_is_refused_with_its_name():
    with pytest.raises(ValueError, match="lrn must be 'tensorflow' or 'caffe', got 'torch'"):
        LMTCNN(lrn="torch")


def test_in_the_moving_averages_of_each_stage_the_newest_batch_weighs_a_tenth():
    """``m <- 0.9 m + 0.1 batch``, from a mean of 0 and a variance of 1; the batch's variance is that with n - 1."""
    model, seen = LMTCNN().train(), {}
    norms = {name: module for name, module in model.named_modules() if isinstance(module, ShiftBatchNorm)}
    for name, norm in norms.items():
        norm.register_forward_pre_hook(lambda module, inputs, name=name: seen.update({name: inputs[0].detach()}))
    model(torch.randn(2, 3, INPUT_PX, INPUT_PX, generator=torch.Generator().manual_seed(0)))
    assert len(norms) == len(seen) == 4
    for name, norm in norms.items():
        variance, mean = torch.var_mean(seen[name], dim=(0, 2, 3), correction=1)
        assert_close(norm.running_mean, 0.1 * mean, msg=lambda text, name=name: f"{name}: {text}")
        assert_close(norm.running_var, 0.9 + 0.1 * variance, msg=lambda text, name=name: f"{name}: {text}")
