import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from agegender.labels import COMMON_VOICE_6
from agegender.models.heads import AgeBins, ClassHead
from agegender.models.multitask import MultiTaskModel
from agegender.models.speech_sequence import ResidualTCN, SpeechBiGRU, SpeechRNN, TemporalBlock

ENCODERS = {"rnn": SpeechRNN, "bigru": SpeechBiGRU, "tcn": ResidualTCN}
EVERY = pytest.mark.parametrize("kind", ENCODERS)


def seeded(kind):
    torch.manual_seed(0)
    return ENCODERS[kind]()


def spectrograms(number=3, num_mels=64, frames=20, seed=1):
    return 20 * torch.randn(number, num_mels, frames, generator=torch.Generator().manual_seed(seed)) - 30


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_numbers_of_parameters_are_those_that_the_docstrings_state():
    layers = [64 * 128 + 128 * 128 + 2 * 128, 2 * 128 * 128 + 2 * 128]
    assert num_parameters(SpeechRNN()) == 128 + sum(layers) == 57_984
    first, second = 3 * 128 * (64 + 128 + 2), 3 * 128 * (256 + 128 + 2)
    assert num_parameters(SpeechBiGRU()) == 128 + 2 * (first + second) == 445_568
    convolution = 64 * 64 * 3 + 64 + 64  # directions, lengths and biases
    assert num_parameters(ResidualTCN()) == 128 + 16 * convolution == 198_784


@pytest.mark.parametrize(
    ("make", "width"), [(SpeechRNN, 128), (SpeechBiGRU, 256), (ResidualTCN, 64)], ids=["rnn", "bigru", "tcn"]
)
def test_a_spectrogram_of_512_frames_becomes_one_embedding(make, width):
    net = make().eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 64, 512)).shape == (1, width) == (1, net.out_features)


def standardised(net, mels):
    """What the first layer makes of the decibels with its moving statistics."""
    mean, variance = net.norm.running_mean[:, None], net.norm.running_var[:, None]
    return (mels - mean) / (variance + 1e-5).sqrt()


def test_the_rnn_is_two_layers_of_elman_s_equation_and_a_mean():
    net, mels = seeded("rnn").eval(), spectrograms()
    sequence = standardised(net, mels).permute(2, 0, 1)
    for layer in range(2):
        w_in, w_back, b_in, b_back = (
            getattr(net.recurrence, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        hidden, states = torch.zeros(3, 128), []
        for frame in sequence:
            hidden = (frame @ w_in.T + b_in + hidden @ w_back.T + b_back).tanh()
            states.append(hidden)
        sequence = torch.stack(states)
    assert_close(net(mels), sequence.mean(0), rtol=1e-4, atol=1e-5)


def test_the_bigru_reads_both_ways():
    net = seeded("bigru").eval()
    halves = net.recurrence(standardised(net, spectrograms()).transpose(1, 2))[0]
    assert_close(net(spectrograms()), halves.mean(1))
    late = spectrograms()
    late[:, :, 10:] += 5
    states = [net.recurrence(standardised(net, mels).transpose(1, 2))[0] for mels in (spectrograms(), late)]
    assert (states[0] - states[1])[:, 0].abs().max() > 1e-6  # the first frame has heard of the last ones


def block_written_out(block, x, dilation):
    """Bai et al., figure 1b: causal convolution with weights g v / |v|, ReLU; twice; plus the input; ReLU."""
    hidden = x
    for convolution in (block.branch[1], block.branch[5]):
        parts = convolution.parametrizations.weight
        length, direction = parts.original0, parts.original1
        weight = length * direction / direction.pow(2).sum((1, 2), keepdim=True).sqrt()
        taps = weight.shape[2]
        past = functional.pad(hidden, (dilation * (taps - 1), 0))
        terms = [
            torch.einsum("oc,bct->bot", weight[:, :, tap], past[:, :, tap * dilation :][:, :, : x.shape[2]])
            for tap in range(taps)
        ]
        hidden = (torch.stack(terms).sum(0) + convolution.bias[:, None]).clamp(min=0)
    return (hidden + x).clamp(min=0)


@pytest.mark.parametrize("dilation", [1, 4])
def test_a_temporal_block_equals_its_description_written_out(dilation):
    torch.manual_seed(0)
    block = TemporalBlock(8, dilation).eval()
    x = torch.randn(2, 8, 15)
    assert_close(block(x), block_written_out(block, x, dilation), rtol=1e-4, atol=1e-5)


def test_a_frame_of_the_residual_tcn_sees_its_receptive_field_and_nothing_later():
    torch.manual_seed(0)
    net = ResidualTCN().eval()
    assert net.receptive_field == 1021
    mels = spectrograms(1, frames=1100).requires_grad_()
    net.blocks(net.norm(mels))[0, :, 1060].sum().backward()
    seen = mels.grad[0].abs().sum(0) > 0
    assert seen.nonzero().flatten().tolist() == list(range(1060 - 1020, 1061))


def test_the_answer_of_the_residual_tcn_is_that_of_the_last_frame_which_has_seen_the_whole_clip():
    net, mels = seeded("tcn").eval(), spectrograms().requires_grad_()
    assert_close(net(mels), net.blocks(net.norm(mels))[:, :, -1])
    net(mels).sum().backward()
    assert (mels.grad.abs().sum(1) > 0).all()


def test_more_frames_than_the_residual_tcn_sees_are_refused():
    net = seeded("tcn")
    assert net(torch.zeros(2, 64, 1021)).shape == (2, 64)
    with pytest.raises(ValueError, match="1022 frames, but the last one sees 1021: cut the clips"):
        net(torch.zeros(2, 64, 1022))


def test_dropout_takes_whole_channels():
    torch.manual_seed(0)
    dropout = TemporalBlock(400, 1).branch[3]
    kept = dropout(torch.ones(1, 400, 30))[0]
    assert_close(kept, kept[:, :1].expand(400, 30))
    assert (kept == 0).float().mean().item() == pytest.approx(0.2, abs=0.1)
    assert {module.p for module in ResidualTCN().modules() if isinstance(module, nn.Dropout1d)} == {0.2}


@EVERY
def test_at_test_a_clip_is_read_alone(kind):
    net = seeded(kind)
    net.train()(spectrograms(6))
    net.eval()
    assert_close(net(spectrograms()[1:2]), net(spectrograms())[1:2], rtol=1e-4, atol=1e-5)
    assert_close(net(spectrograms().flip(0)), net(spectrograms()).flip(0), rtol=1e-4, atol=1e-5)


@EVERY
def test_louder_and_softer_bands_are_brought_to_one_scale_in_training(kind):
    torch.manual_seed(0)
    net = ENCODERS[kind]()
    for block in net.modules():
        if isinstance(block, nn.Dropout1d):
            block.p = 0.0
    shifted = 3 * spectrograms() + 40 * torch.arange(64.0)[:, None]
    assert_close(net(shifted), net(spectrograms()), rtol=1e-3, atol=1e-4)


@EVERY
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_the_gradient_reaches_every_parameter(kind, autocast):
    encoder = seeded(kind)
    net = MultiTaskModel(encoder, {"age": ClassHead(encoder.out_features, AgeBins(COMMON_VOICE_6))})
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        net.total(net.losses(net(spectrograms(6)), {"age_group": torch.arange(6)})).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@EVERY
@pytest.mark.parametrize("shape", [(2, 9, 20), (2, 64), (2, 1, 64, 20), (2, 64, 0)])
def test_other_shapes_are_refused_with_their_shape(kind, shape):
    with pytest.raises(ValueError, match=rf"\(batch, 64, frames\), got \({', '.join(map(str, shape))}\)"):
        seeded(kind)(torch.zeros(shape))
