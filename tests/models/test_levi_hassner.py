import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from agegender.labels import ADIENCE_8
from agegender.models.heads import GENDER, AgeBins, ClassHead, SigmoidHead
from agegender.models.levi_hassner import LeviHassner
from tests.models.adience_nets import (
    KERAS,
    MEANT,
    PAPER,
    awake,
    convolved,
    fully_connected,
    levi_hassner,
    num_parameters,
    pictures,
    pooled,
    response_normalised,
    shapes_of_parts,
)

VARIANTS = pytest.mark.parametrize("options", [PAPER, KERAS, MEANT], ids=["paper", "keras", "meant"])
KERAS_MOMENTUM = 0.9997


def num_in_keras(*modules):
    """Keras counts the moving averages as parameters that are not trained."""
    moving = [b for module in modules for n, b in module.named_buffers() if n.endswith(("running_mean", "running_var"))]
    return num_parameters(*modules) + sum(buffer.numel() for buffer in moving)


def batch_normalised(x, layer, axis, uses_batch):
    others = tuple(a for a in range(4) if a != axis)
    mean = x.mean(others) if uses_batch else layer.running_mean
    variance = x.var(others, correction=0) if uses_batch else layer.running_var
    shape = [-1 if a == axis else 1 for a in range(4)]
    mean, variance, scale, shift = (v.view(shape) for v in (mean, variance, layer.weight, layer.bias))
    return scale * (x - mean) / (variance + 1e-3).sqrt() + shift


def written_out(net, images, normalisation, pooling, uses_batch):
    """The net from its description: convolution, ReLU, pooling and normalisation; then two full layers."""

    def norm(x, layer):
        if normalisation == "caffe":
            return response_normalised(x, 2, 1e-4 / 5)  # over five channels, alpha divided by five
        return batch_normalised(x, layer, 2 if normalisation == "rows" else 1, uses_batch)

    rounds_up = pooling == "ceil"
    x = norm(pooled(convolved(images, net.conv1, stride=4).clamp(min=0), rounds_up), net.norm1)
    x = norm(pooled(convolved(x, net.conv2, padding=2).clamp(min=0), rounds_up), net.norm2)
    return fully_connected(pooled(convolved(x, net.conv3, padding=1).clamp(min=0), rounds_up), net)


@pytest.mark.parametrize("mode", ["train", "eval"])
@VARIANTS
def test_the_encoder_equals_its_description_written_out(options, mode):
    """In training (without dropout, which is drawn), and at test with the moving averages."""
    net = awake(**options, dropout=0.0)
    description = options["normalisation"], options["pooling"], mode == "train"
    with torch.no_grad():
        for _ in range(3):
            net.train()(pictures(2, seed=1))  # moving averages that are not the initial ones
        result = getattr(net, mode)()(pictures())
        expected = written_out(net, pictures(), *description)
    assert_close(result, expected, rtol=1e-3, atol=1e-4)  # sums of up to 18,816 terms in another order


def test_the_normalisations_differ_by_more_than_rounding():
    nets = [awake(normalisation=name, pooling="floor", init="caffe") for name in ("rows", "channels")]
    rows, channels = (net.eval()(pictures()) for net in nets)
    assert (rows - channels).abs().max() > 0.01
    net = awake()
    outputs = [net.eval()(pictures())]
    net.norm1 = net.norm2 = nn.Identity()
    assert (net(pictures()) - outputs[0]).abs().max() > 0.01


def test_the_published_joint_model_has_as_many_parameters_as_keras_counts():
    net = LeviHassner(**KERAS)
    age, gender = ClassHead(net.out_features, AgeBins(ADIENCE_8)), SigmoidHead(net.out_features, GENDER)
    assert num_in_keras(net, age, gender) == 8_859_817
    assert num_in_keras(net, age) == 8_859_304
    assert num_in_keras(net, gender) == 8_855_713
    assert num_in_keras(net) == 8_855_200
    assert num_in_keras(net) - num_parameters(net) == 80


def test_the_papers_nets_have_as_many_parameters_as_their_description():
    net = LeviHassner()
    assert num_parameters(net, ClassHead(net.out_features, AgeBins(ADIENCE_8))) == 11_415_048
    assert num_parameters(net, ClassHead(net.out_features, GENDER)) == 11_411_970
    assert num_in_keras(net) == num_parameters(net)


def test_with_pooling_that_rounds_down_the_papers_net_has_the_ports_size():
    net = LeviHassner(pooling="floor")
    assert num_parameters(net, ClassHead(net.out_features, AgeBins(ADIENCE_8))) == 8_859_144
    assert num_parameters(net, ClassHead(net.out_features, GENDER)) == 8_856_066


COUNTS = {
    "conv1": (14_208, 14_208),
    "norm1": (108, 0),
    "conv2": (614_656, 614_656),
    "norm2": (52, 0),
    "conv3": (885_120, 885_120),
    "full1": (7_078_400, 9_634_304),
    "full2": (262_656, 262_656),
}
"""Layer -> what Keras counts in the published net, and what the paper's net has."""


@pytest.mark.parametrize(("column", "options"), [(0, KERAS), (1, PAPER)], ids=["keras", "paper"])
def test_the_number_of_parameters_of_each_layer_is_the_published_one(column, options):
    net = LeviHassner(**options)
    for name, counts in COUNTS.items():
        assert num_in_keras(net.get_submodule(name)) == counts[column], name
    assert sum(counts[column] for counts in COUNTS.values()) == num_in_keras(net)


@pytest.mark.parametrize(("pooling", "sides"), [("floor", (27, 13, 6)), ("ceil", (28, 14, 7))])
@pytest.mark.parametrize("normalisation", ["caffe", "channels", "rows"])
def test_every_stage_has_the_size_to_which_its_pooling_rounds(normalisation, pooling, sides):
    net = LeviHassner(normalisation, pooling).eval()
    shapes = shapes_of_parts(net, pictures(1))
    first, second, third = sides
    expected = {
        "norm1": (96, first, first),
        "norm2": (256, second, second),
        "full1": (512,),
        "full2": (512,),
    }
    assert {name: shapes[name] for name in expected} == expected
    assert net.full1.in_features == 384 * third * third
    assert net.out_features == 512


def test_he_weights_have_the_variance_of_two_over_the_fan_in():
    net = levi_hassner(init="he")
    for layer in (net.conv1, net.conv2, net.conv3, net.full1, net.full2):
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
        assert layer.bias.abs().max() == 0


@pytest.mark.parametrize(("init", "std_full"), [("caffe", 0.005), ("levi_hassner", 0.01)])
def test_gaussian_weights_have_the_published_width(init, std_full):
    net = levi_hassner(init=init)
    for layer, std in ((net.conv1, 0.01), (net.conv2, 0.01), (net.conv3, 0.01), (net.full1, std_full)):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.03)
        assert layer.weight.mean().abs() < 3 * std / math.sqrt(layer.weight.numel())
        share = (layer.weight.abs() < std).float().mean().item()
        assert share == pytest.approx(0.6827, abs=0.02)  # within one standard deviation: a Gaussian
    assert net.full2.weight.std().item() == pytest.approx(std_full, rel=0.03)


def test_the_papers_biases_are_one_after_the_second_convolution_and_in_the_full_layers():
    net = levi_hassner()
    assert [
        (layer.bias == value).all().item()
        for layer, value in ((net.conv1, 0), (net.conv2, 1), (net.conv3, 0), (net.full1, 1), (net.full2, 1))
    ] == [True] * 5


@pytest.mark.parametrize("init", ["levi_hassner", "glorot"])
def test_the_biases_of_the_published_convolutions_are_glorots_uniform_of_a_vector(init):
    """A vector of n is a matrix with n inputs and n outputs to Keras: sqrt(6 / (n + n))."""
    net = levi_hassner(**KERAS | {"init": init})
    for conv, bound in ((net.conv1, 0.177), (net.conv2, 0.108), (net.conv3, 0.088)):
        assert conv.bias.abs().max().item() == pytest.approx(bound, rel=0.05)
        assert conv.bias.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
        assert conv.bias.abs().max() <= math.sqrt(3 / len(conv.bias))
    assert (net.full1.bias == 0).all()
    assert (net.full2.bias == 0).all()


def test_glorots_weights_are_uniform_within_their_bound():
    net = levi_hassner(init="glorot", pooling="floor")
    for layer in (net.conv1, net.conv2, net.conv3, net.full1, net.full2):
        num_out, num_in = layer.weight.shape[:2]
        bound = math.sqrt(6 / ((num_in + num_out) * layer.weight[0, 0].numel()))  # Glorot and Bengio (2010), eq. 16
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_the_norms_of_the_published_net_start_and_move_as_keras_has_them():
    for norm in (LeviHassner(**KERAS).norm1, LeviHassner(**MEANT).norm2):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
        assert norm.eps == 1e-3
        assert norm.momentum == pytest.approx(1 - KERAS_MOMENTUM, rel=1e-9)


def test_half_of_the_features_are_dropped_in_training_and_none_at_test():
    net = levi_hassner()
    with torch.no_grad():
        net.full2.bias.fill_(10)
        dropped = (net.train()(pictures(8)) == 0).float().mean().item()
        assert dropped == pytest.approx(0.5, abs=0.04)
        assert (net.eval()(pictures(1)) > 0).all()


@VARIANTS
def test_the_gradient_equals_that_of_the_description(options):
    """In double precision: in single precision the greatest of nearly equal values is at times another one."""
    ours, theirs = (awake(**options, dropout=0.0).double() for _ in range(2))
    images = pictures().double()
    ours(images).square().sum().backward()
    written_out(theirs, images, options["normalisation"], options["pooling"], True).square().sum().backward()
    for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(parameter.grad, other.grad, rtol=1e-6, atol=1e-9 * other.grad.abs().max().item())


@pytest.mark.parametrize("argument", ["normalisation", "pooling", "init"])
def test_an_unknown_setting_is_refused_with_its_name_and_the_known_ones(argument):
    with pytest.raises(ValueError, match=rf"{argument} must be one of '.+', '.+', got 'torch'"):
        LeviHassner(**{argument: "torch"})
