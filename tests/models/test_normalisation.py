import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from agegender.models.normalisation import LocalResponseNorm, RowBatchNorm, ShiftBatchNorm

TENSORFLOW = LocalResponseNorm(24, radius=5, alpha=1e-4), nn.LocalResponseNorm(11, alpha=1.1e-3, beta=0.75, k=1)
CAFFE = LocalResponseNorm(24, radius=2, alpha=1e-4 / 5), nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)
SETTINGS = pytest.mark.parametrize(("ours", "theirs"), [TENSORFLOW, CAFFE], ids=["tensorflow", "caffe"])


def activations(channels=24, seed=0, size=7):
    """As large as after the first convolution, so that the denominator is far from 1."""
    return 40 * torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(seed))


@SETTINGS
def test_local_response_equals_that_of_torch_whose_alpha_is_divided_by_the_window(ours, theirs):
    x = activations()
    assert_close(ours(x), theirs(x))
    assert (x / theirs(x)).mean() > 1.02  # the normalisation does something here


@SETTINGS
def test_the_gradient_of_local_response_equals_that_of_torch(ours, theirs):
    gradients = []
    for layer in (ours, theirs):
        x = activations().requires_grad_()
        (layer(x) * activations(seed=1)).sum().backward()
        gradients.append(x.grad)
    assert_close(*gradients, rtol=1e-5, atol=1e-3)  # sums of terms of up to 1e3, whose order of addition differs


@pytest.mark.parametrize("channel", [0, 1, 3, 6])
def test_at_the_edges_only_the_channels_that_exist_are_summed(channel):
    x = activations(channels=7)
    neighbours = [x[:, c] ** 2 for c in range(7) if abs(c - channel) <= 2]
    expected = x[:, channel] / (1 + 0.01 * sum(neighbours)) ** 0.75
    assert_close(LocalResponseNorm(7, radius=2, alpha=0.01)(x)[:, channel], expected)


@SETTINGS
def test_local_response_in_bfloat16_is_that_of_float32_up_to_rounding(ours, theirs):
    x = activations().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        result = ours(x)
    assert result.dtype == torch.bfloat16
    # 8 bits, 2**-9 a rounding: of squares, energy, root and product, but not of 1 + energy, which would double it
    assert_close(result.float(), theirs(x.float()), rtol=5 * 2**-9, atol=0)


@SETTINGS
def test_local_response_keeps_the_channels_last_layout(ours, theirs):
    x = activations().contiguous(memory_format=torch.channels_last)
    result = ours(x)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert_close(result, theirs(x.contiguous()))


def test_local_response_treats_every_pixel_alone():
    x = activations()
    assert_close(TENSORFLOW[0](x)[:1, :, 2:3, 3:4], TENSORFLOW[0](x[:1, :, 2:3, 3:4]))


def test_the_gradient_of_local_response_is_right_in_double_precision():
    x = activations(channels=4, size=1).double().requires_grad_()
    layer = LocalResponseNorm(4, radius=1, alpha=0.01).double()
    assert layer(x).dtype == torch.double
    assert torch.autograd.gradcheck(layer, x)


def test_local_response_has_nothing_to_save():
    assert not TENSORFLOW[0].state_dict()


def batch_of(size=5, seed=0):
    return 3 + 2 * torch.randn(size, 4, 3, 3, generator=torch.Generator().manual_seed(seed))


def shifted(uses_batch_statistics_at_test, **options):
    layer = ShiftBatchNorm(4, uses_batch_statistics_at_test, **options)
    nn.init.normal_(layer.shift, generator=torch.Generator().manual_seed(1))
    return layer


def normalised(x, mean, variance, shift):
    """Slim's batch normalisation: no scale, epsilon 0.001."""
    mean, variance, shift = (values.view(1, -1, 1, 1) for values in (mean, variance, shift))
    return (x - mean) / torch.sqrt(variance + 1e-3) + shift


@pytest.mark.parametrize("published", [True, False])
def test_in_training_the_statistics_of_the_batch_are_used(published):
    x, layer = batch_of(), shifted(published)
    expected = normalised(x, x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0), layer.shift)
    assert_close(layer.train()(x), expected)


@pytest.mark.parametrize("published", [True, False])
def test_the_moving_averages_take_their_share_of_each_batch(published):
    layer = shifted(published).train()
    mean, variance = torch.zeros(4), torch.ones(4)
    for seed in range(3):
        x = batch_of(seed=seed)
        layer(x)
        mean = 0.9 * mean + 0.1 * x.mean((0, 2, 3))
        variance = 0.9 * variance + 0.1 * x.var((0, 2, 3))
    assert_close(layer.running_mean, mean)
    assert_close(layer.running_var, variance)


def test_at_test_the_intended_net_uses_the_moving_averages():
    layer = shifted(uses_batch_statistics_at_test=False)
    layer.train()(batch_of())
    x = batch_of(seed=1)
    assert_close(layer.eval()(x), normalised(x, layer.running_mean, layer.running_var, layer.shift))


def test_at_test_the_published_net_uses_the_statistics_of_the_batch():
    layer = shifted(uses_batch_statistics_at_test=True)
    layer.train()(batch_of())
    x = batch_of(seed=1)
    expected = normalised(x, x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0), layer.shift)
    assert_close(layer.eval()(x), expected)


def test_an_answer_depends_on_the_company_with_the_published_switch_only():
    x, others = batch_of(2), batch_of(2, seed=1)
    intended, published = shifted(False).eval(), shifted(True).eval()
    assert torch.equal(intended(x), intended(torch.cat([x, others]))[:2])
    assert (published(x) - published(torch.cat([x, others]))[:2]).abs().max() > 0.1


@pytest.mark.parametrize("published", [True, False])
def test_nothing_is_learned_at_test(published):
    layer = shifted(published)
    layer.train()(batch_of())
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.eval()(batch_of(seed=1))
    assert before.keys() == {"shift", "running_mean", "running_var"}
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_only_the_shift_is_learned():
    layer = shifted(uses_batch_statistics_at_test=False)
    assert {name: tuple(value.shape) for name, value in layer.named_parameters()} == {"shift": (4,)}


def test_a_picture_alone_uses_the_statistics_of_its_own_pixels():
    x, layer = batch_of(1), shifted(uses_batch_statistics_at_test=True).eval()
    expected = normalised(x, x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0), layer.shift)
    assert_close(layer(x), expected)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("published", [True, False])
def test_the_gradient_of_batch_normalisation_is_right_in_double_precision(mode, published):
    layer = getattr(shifted(published).double(), mode)()
    x = batch_of(2).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, shift: torch.func.functional_call(layer, {"shift": shift}, x), (x, layer.shift)
    )


def test_one_value_for_each_channel_has_no_statistics():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        shifted(uses_batch_statistics_at_test=False).train()(torch.zeros(1, 4, 1, 1))


def keras_rows(x, scale, shift, mean, variance, eps=1e-3):
    """Keras' formula for axis 1 of (batch, height, width, channels), on (batch, channels, height, width)."""
    x = np.moveaxis(x, 1, 3)
    row = (slice(None), None, None)
    return np.moveaxis(scale[row] * (x - mean[row]) / np.sqrt(variance[row] + eps) + shift[row], 3, 1)


def awkward(seed=0):
    """Rows of quite different means and sizes, a constant one, and fewer rows than columns and channels."""
    x = np.random.default_rng(seed).normal(size=(3, 6, 4, 5))
    return x * np.array([1, 100, 1e-3, 0])[:, None] + np.array([-50, 3, 1e-3, 7])[:, None]


def row_norm(momentum=0.3):
    layer = RowBatchNorm(4, eps=1e-3, momentum=momentum).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 0.5, -2.0, 3.0]))
        layer.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 0.25]))
    return layer, layer.weight.detach().numpy(), layer.bias.detach().numpy()


def test_in_training_rows_are_normalised_with_their_own_mean_and_population_variance():
    layer, scale, shift = row_norm()
    x = awkward()
    expected = keras_rows(x, scale, shift, x.mean((0, 1, 3)), x.var((0, 1, 3)))
    assert_close(layer(torch.tensor(x)).detach().numpy(), expected, rtol=1e-9, atol=1e-9)


def test_the_moving_averages_of_rows_follow_keras_and_serve_at_test():
    """moving = moving * m + batch * (1 - m); the variance that enters has n - 1, as in Keras' fused kernel."""
    layer, scale, shift = row_norm(momentum=0.3)
    mean, variance = np.zeros(4), np.ones(4)
    for step in range(4):
        x = awkward(step)
        layer(torch.tensor(x))
        mean = 0.7 * mean + 0.3 * x.mean((0, 1, 3))
        variance = 0.7 * variance + 0.3 * x.var((0, 1, 3), ddof=1)
    assert_close(layer.running_mean.numpy(), mean)
    assert_close(layer.running_var.numpy(), variance)
    x = awkward(9)
    expected = keras_rows(x, scale, shift, mean, variance)
    assert_close(layer.eval()(torch.tensor(x)).detach().numpy(), expected, rtol=1e-9, atol=1e-9)


def test_rows_in_bfloat16_are_those_of_float32_up_to_rounding():
    layer = RowBatchNorm(4, eps=1e-3)
    x = torch.tensor(awkward(), dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(x)
    assert rounded.dtype == torch.bfloat16
    assert_close(rounded.float(), RowBatchNorm(4, eps=1e-3)(x.float()), rtol=2**-8, atol=1e-3)


def test_rows_keep_the_channels_last_layout():
    x = torch.tensor(awkward(), dtype=torch.float32)
    layer = RowBatchNorm(4)
    result = layer(x.contiguous(memory_format=torch.channels_last))
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert_close(result, layer(x), rtol=1e-5, atol=1e-4)  # the constant row is rounding times 1 over the root of eps


def test_the_gradient_of_row_normalisation_is_right_in_double_precision():
    layer, _, _ = row_norm()
    x = torch.tensor(np.random.default_rng(0).normal(size=(2, 3, 4, 2)), requires_grad=True)
    torch.autograd.gradcheck(layer, x)


def test_pictures_with_another_number_of_rows_are_refused():
    with pytest.raises((ValueError, RuntimeError), match="4"):
        RowBatchNorm(4)(torch.zeros(2, 6, 5, 4))
