import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from agegender.labels import COMMON_VOICE_6
from agegender.models.heads import AgeBins, ClassHead
from agegender.models.multitask import MultiTaskModel
from agegender.models.speech_cnn import SpeechCNN
from agegender.models.speech_sequence import SpeechTCN

PUBLISHED_CLIP = 51_840
"""Samples at 8 kHz of the clip whose lengths the published notebook shows."""


def seeded(make, *arguments, **options):
    torch.manual_seed(0)
    return make(*arguments, **options)


def spectrograms(number=2, num_mels=64, frames=512):
    return 20 * torch.randn(number, num_mels, frames, generator=torch.Generator().manual_seed(1)) - 30


SHORTEST = {1: 544, 2: 8_320}


def voices(version, number=3):
    """Noise, a little longer than the shortest clip that the version reads."""
    return noise(number, SHORTEST[version] + 130)


def noise(number, samples):
    return torch.rand(number, samples, generator=torch.Generator().manual_seed(2)) * 2 - 1


def with_a_head(encoder):
    return MultiTaskModel(encoder, {"age": ClassHead(encoder.out_features, AgeBins(COMMON_VOICE_6), init="torch")})


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("encoder", "total"),
    [
        (SpeechCNN(), 393_182),
        (SpeechCNN(is_as_described=True), 320 + 64 + 12_816 + 520 + 16 + 6 * 8 * 15 * 127 + 6),
        (SpeechTCN(1, "batch"), 12_854),
        (SpeechTCN(1, "time"), 12_854),
        (SpeechTCN(2, "batch"), 116_854),
        (SpeechTCN(2, "time"), 116_854),
    ],
    ids=["cnn", "cnn as described", "tcn1-batch", "tcn1-time", "tcn2-batch", "tcn2-time"],
)
def test_with_a_head_of_six_groups_the_number_of_parameters_is_the_published_one(encoder, total):
    assert num_parameters(with_a_head(encoder)) == total


def test_the_parameters_of_each_layer_of_the_cnn_are_the_published_ones():
    net = with_a_head(SpeechCNN())
    counts = {name: num_parameters(module) for name, module in net.encoder.named_children()}
    assert counts == {"conv1": 320, "norm1": 64, "conv2": 12_816, "conv3": 520, "norm3": 16}
    assert num_parameters(net.heads["age"]) == 379_446
    assert net.encoder.out_features == 63_240


def test_every_layer_of_the_cnn_has_its_published_size():
    net, shapes = SpeechCNN().eval(), {}
    for name, module in net.named_children():
        module.register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    with torch.no_grad():
        assert net(spectrograms(1)).shape == (1, 63_240)
    assert shapes["conv1"] == shapes["norm1"] == (32, 64, 512)
    assert shapes["conv2"] == (16, 32, 256)
    assert shapes["conv3"] == shapes["norm3"] == (8, 31, 255)


def cnn_of_torch_layers(net):
    """CNN v1 as its notebook or its text lists it, with torch's own "same" padding, and the weights of ``net``."""
    described = net.is_as_described
    layers = nn.Sequential(
        nn.Conv2d(1, 32, 3, stride=2, padding=1) if described else nn.Conv2d(1, 32, 3, stride=1, padding="same"),
        nn.ReLU(),
        nn.BatchNorm2d(32),
        nn.MaxPool2d(2, stride=2),
        nn.Conv2d(32, 16, 5, stride=1, padding="same"),
        nn.ReLU() if described else nn.Identity(),
        nn.MaxPool2d(2, stride=1),
        nn.Conv2d(16, 8, 2, stride=1, padding="same"),
        nn.ReLU() if described else nn.Identity(),
        nn.BatchNorm2d(8),
        nn.Flatten(),
    )
    for mine, theirs in zip((0, 2, 4, 7, 9), (net.conv1, net.norm1, net.conv2, net.conv3, net.norm3), strict=True):
        layers[mine].load_state_dict(theirs.state_dict())
    return layers


def tcn_of_torch_layers(net, version):
    """The convolutions of TCN v1 or v2, each with its pooling and every second one with its normalisation."""
    layers = []
    for level, convolution in enumerate(net.convolutions):
        channels = convolution.in_channels, convolution.out_channels
        layer = nn.Conv1d(*channels, 2, padding="same", dilation=2**level)
        layer.load_state_dict(convolution.state_dict())
        layers += [layer, *([nn.ReLU()] if version == 2 else []), nn.MaxPool1d(2)]
        if level in (1, 3, 5, 7):
            layers.append(nn.BatchNorm1d(channels[1]))
            layers[-1].load_state_dict(net.norms[level // 2].state_dict())
    return nn.Sequential(*layers)


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same'")  # torch copies the input where a kernel is even
        yield


@pytest.mark.parametrize("is_as_described", [False, True], ids=["code", "description"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_cnn_equals_its_published_list_of_layers(quiet, mode, is_as_described):
    net = seeded(SpeechCNN, 24, is_as_described)
    net.train()(spectrograms(4, 64, 24))  # moving averages that are not the initial ones
    published = getattr(cnn_of_torch_layers(net), mode)()
    getattr(net, mode)()
    mels = spectrograms(2, 64, 24)
    assert_close(net(mels), published(mels[:, None]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("version", [1, 2])
def test_the_convolutions_of_the_tcn_equal_their_published_list(quiet, version, mode):
    net = seeded(SpeechTCN, version)
    net.train()(voices(version))
    published = getattr(tcn_of_torch_layers(net, version), mode)()
    getattr(net, mode)()
    assert_close(net._frames(voices(version)[:, None]), published(voices(version)[:, None]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("version", "shape"), [(1, (32, 810)), (2, (64, 202))])
def test_the_published_clip_gives_the_published_number_of_frames(version, shape):
    with torch.no_grad():
        assert SpeechTCN(version).eval()._frames(torch.zeros(1, 1, PUBLISHED_CLIP)).shape == (1, *shape)


def lstm_step(lstm, x, hidden, cell):
    """One step of Hochreiter and Schmidhuber's cell with a forget gate, in torch's order of the gates."""
    gates = x @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + hidden @ lstm.weight_hh_l0.T + lstm.bias_hh_l0
    write, keep, candidate, show = gates.chunk(4, 1)
    cell = keep.sigmoid() * cell + write.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("recurrence", ["batch", "time"])
def test_the_recurrence_runs_over_the_clips_as_published_and_over_the_frames_as_intended(version, recurrence):
    net = seeded(SpeechTCN, version, recurrence).eval()
    frames = net._frames(voices(version)[:, None]).transpose(1, 2)  # (batch, frames, channels)
    steps = frames.transpose(0, 1) if recurrence == "time" else frames  # (steps, rows, channels)
    hidden = cell = torch.zeros(steps.shape[1], net.out_features)
    answers = []
    for step in steps:
        hidden, cell = lstm_step(net.lstm, step, hidden, cell)
        answers.append(hidden)
    expected = answers[-1] if recurrence == "time" else torch.stack([rows[-1] for rows in answers])
    assert_close(net(voices(version)), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("version", [1, 2])
def test_as_published_a_clip_is_read_with_the_clips_before_it_and_as_intended_alone(version):
    clips = voices(version)
    published, intended = (seeded(SpeechTCN, version, recurrence).eval() for recurrence in ("batch", "time"))
    assert_close(intended(clips[2:]), intended(clips)[2:])
    assert_close(published(clips[:1]), published(clips)[:1])  # nothing was before the first
    assert (published(clips[2:]) - published(clips)[2:]).abs().max() > 1e-3
    assert (published(clips.flip(0)).flip(0) - published(clips)).abs().max() > 1e-3
    assert_close(intended(clips.flip(0)).flip(0), intended(clips))


def influence(net, samples):
    """How much each sample of a single clip changes the answer."""
    clip = noise(1, samples).requires_grad_()
    net(clip).sum().backward()
    return clip.grad[0].abs()


def test_as_published_only_the_end_of_a_lone_clip_counts_and_as_intended_all_of_it():
    published, intended = (seeded(SpeechTCN, 1, recurrence).eval() for recurrence in ("batch", "time"))
    assert influence(published, 6400)[:3200].max() == 0
    assert influence(intended, 6400)[:3200].max() > 0
    assert influence(published, 6400).max() > 0


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: SpeechCNN(24), spectrograms(4, 64, 24)),
        (lambda: SpeechTCN(1, "batch"), voices(1)),
        (lambda: SpeechTCN(1, "time"), voices(1)),
        (lambda: SpeechTCN(2, "batch"), voices(2)),
        (lambda: SpeechTCN(2, "time"), voices(2)),
    ],
    ids=["cnn", "tcn1-batch", "tcn1-time", "tcn2-batch", "tcn2-time"],
)
def test_the_gradient_reaches_every_parameter(make, inputs, autocast):
    net = with_a_head(seeded(make))
    target = {"age_group": torch.arange(len(inputs)) % 6}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        net.total(net.losses(net(inputs), target)).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all(), name
        if "conv" not in name or "bias" not in name:  # a bias before a batch normalisation has none but rounding
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("shape", [(2, 64, 469), (2, 80, 512), (2, 1, 64, 512), (64, 512)])
def test_a_spectrogram_of_another_size_is_refused_with_its_size(shape):
    with pytest.raises(ValueError, match=rf"reads \(batch, 64, 512\), got \({', '.join(map(str, shape))}\)"):
        SpeechCNN()(torch.zeros(shape))


@pytest.mark.parametrize(("version", "shortest"), SHORTEST.items())
def test_a_clip_is_refused_where_the_last_convolution_would_see_nothing_but_padding(version, shortest):
    net = seeded(SpeechTCN, version).eval()
    silence, sound = torch.zeros(1, shortest), noise(1, shortest)
    assert (net(silence) - net(sound)).abs().max() > 0
    short = net._frames(silence[:, None, :-1]), net._frames(sound[:, None, :-1])
    assert_close(*short, rtol=0, atol=0)  # whatever was said
    with pytest.raises(
        ValueError, match=rf"TCN v{version} .* of {shortest} samples or more, got \(1, {shortest - 1}\)"
    ):
        net(sound[:, :-1])
    with pytest.raises(ValueError, match=r"reads \(batch, samples\)"):
        net(sound[:, None])


def test_unknown_variants_are_refused_with_their_name():
    with pytest.raises(ValueError, match="version must be 1 or 2, got 3"):
        SpeechTCN(3)
    with pytest.raises(ValueError, match=r"recurrence must be 'batch' \(as published\) or 'time', got 'frames'"):
        SpeechTCN(2, "frames")


def test_the_shortest_spectrogram_of_the_cnn_has_4_frames():
    net = SpeechCNN(4).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 64, 4)).shape == (1, 8 * 31) == (1, net.out_features)
    with pytest.raises(ValueError, match="4 frames or more, got 3"):
        SpeechCNN(3)
    assert SpeechCNN(7, is_as_described=True).out_features == 8 * 15
    with pytest.raises(ValueError, match="7 frames or more, got 6"):
        SpeechCNN(6, is_as_described=True)


def test_the_second_version_and_the_recurrence_over_time_are_what_one_gets_unasked():
    net = SpeechTCN()
    assert (net.version, net.out_features, net.lstm.batch_first) == (2, 128, True)
    assert not SpeechTCN(recurrence="batch").lstm.batch_first
