import functools
import hashlib
import http.server
import threading
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torchvision.models import resnet18, resnet50

from agegender.models.resnet import (
    ADDRESSES,
    ResNetEncoder,
    WeightsUnavailableError,
    imagenet_file,
    imagenet_weights,
)


def pictures(side=64, number=2, seed=0):
    return torch.randn(number, 3, side, side, generator=torch.Generator().manual_seed(seed))


def num_parameters(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def branch(in_features, out_features):
    return nn.Sequential(nn.Linear(in_features, in_features), nn.ReLU(), nn.Linear(in_features, out_features))


@functools.cache
def net(depth=18):
    torch.manual_seed(0)
    return ResNetEncoder(depth)


@pytest.mark.parametrize("side", [112, 224, 75])
@pytest.mark.parametrize(("depth", "theirs"), [(18, resnet18), (50, resnet50)])
def test_the_encoder_is_torchvisions_net_without_its_classifier(depth, theirs, side):
    reference = theirs()
    ours = ResNetEncoder(depth).eval()
    ours.trunk.load_state_dict(reference.state_dict(), strict=False)
    with torch.no_grad():
        embedding = ours(pictures(side))
        logits = reference.eval()(pictures(side))
    assert embedding.shape == (2, ours.out_features)
    assert ours.out_features == reference.fc.in_features
    assert_close(reference.fc(embedding), logits, rtol=1e-4, atol=1e-5)


def test_at_112_px_the_average_is_over_four_times_four_places_as_published():
    ours = net().eval()
    published = nn.Sequential(*list(ours.trunk.children())[:-2], nn.AvgPool2d(4), nn.Flatten())
    with torch.no_grad():
        assert_close(ours(pictures(112)), published(pictures(112)))


@pytest.mark.parametrize(
    ("depth", "num_ages", "total"),
    [(18, None, 11_176_512), (18, 1, 11_703_363), (18, 101, 11_754_663), (50, 101, 32_111_783)],
)
def test_the_number_of_parameters_is_the_published_one(depth, num_ages, total):
    encoder = net(depth)
    outputs = () if num_ages is None else (num_ages, 2)
    assert num_parameters(encoder, *(branch(encoder.out_features, number) for number in outputs)) == total


def test_each_picture_is_encoded_alone_when_the_net_is_used():
    encoder = net().eval()
    with torch.no_grad():
        together = encoder(pictures(number=5))
        assert_close(encoder(pictures(number=5)[3:4]), together[3:4], rtol=1e-4, atol=1e-5)


def test_in_bfloat16_the_embedding_stays_close():
    encoder = net().eval().to(memory_format=torch.channels_last)
    with torch.no_grad():
        exact = encoder(pictures(112))
        with torch.autocast("cpu", torch.bfloat16):
            rounded = encoder(pictures(112))
    # 20 layers, each rounding to a relative error of 2**-9, partly cancelling
    assert (rounded.float() - exact).norm() < 2**-5 * exact.norm()


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_the_gradient_reaches_every_parameter(autocast):
    torch.manual_seed(0)
    encoder = ResNetEncoder()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = encoder(pictures(number=4)).float().square().mean()
    loss.backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("shape", [(3, 112, 112), (1, 112, 112, 3), (1, 1, 112, 112), (1, 3, 31, 112)])
def test_pictures_of_another_shape_are_refused_with_it(shape):
    found = ", ".join(map(str, shape))
    with pytest.raises(
        ValueError, match=rf"ResNet reads \(batch, 3, height, width\) of 32 px or more, got \({found}\)"
    ):
        net()(torch.zeros(shape))


def test_an_unknown_depth_or_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="depth must be 18 or 50, got 34"):
        ResNetEncoder(34)
    with pytest.raises(ValueError, match="weights must be 'imagenet' or None, got 'places'"):
        ResNetEncoder(18, "places")


class Remembering(http.server.SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def log_message(self, *_):
        self.asked.append(self.command)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of this machine with a folder to lay weights into; torch.hub's own folder is empty."""
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    Remembering.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Remembering, directory=folder)) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{service.server_port}"
        service.shutdown()


def promised(monkeypatch, address):
    """Let the weights of ResNet-18 be those at ``address``."""
    monkeypatch.setitem(ADDRESSES, 18, address)


@pytest.fixture
def published(server, monkeypatch):
    """The state of a ResNet-18 that the server offers under its own hash."""
    folder, address = server
    torch.manual_seed(7)
    state = resnet18().state_dict()
    torch.save(state, folder / "new")
    digest = hashlib.sha256((folder / "new").read_bytes()).hexdigest()
    file = (folder / "new").rename(folder / f"resnet18-{digest[:8]}.pth")
    promised(monkeypatch, f"{address}/{file.name}")
    return state, file


def test_the_encoder_starts_from_the_weights_that_were_fetched_and_fetches_them_once(published):
    state, file = published
    assert not imagenet_file(18).exists()
    first = ResNetEncoder(18, "imagenet")
    file.unlink()
    second = ResNetEncoder(18, "imagenet")
    assert Remembering.asked == ["GET"]
    expected = {f"trunk.{name}": value for name, value in state.items() if not name.startswith("fc.")}
    for encoder in (first, second):
        assert encoder.state_dict().keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in encoder.state_dict().items())


def test_a_download_with_another_hash_is_refused_and_not_kept(published):
    _, file = published
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(WeightsUnavailableError, match="invalid hash value"):
        ResNetEncoder(18, "imagenet")
    assert list(imagenet_file(18).parent.iterdir()) == []


def test_a_file_put_there_by_hand_is_taken_if_its_hash_is_right(published):
    _, file = published
    imagenet_file(18).parent.mkdir(parents=True)
    file.rename(imagenet_file(18))
    assert imagenet_weights(18)["fc.bias"].shape == (1000,)
    imagenet_file(18).write_bytes(b"half a file")
    with pytest.raises(WeightsUnavailableError, match=rf"{file.name} is damaged.*begins {'[0-9a-f]{8}'}.*Delete it"):
        ResNetEncoder(18, "imagenet")


def test_without_the_file_and_without_its_server_it_is_said_what_to_do(server, monkeypatch):
    _, address = server
    for missing in (f"{address}/resnet18-00000000.pth", "http://127.0.0.1:9/resnet18-00000000.pth"):
        promised(monkeypatch, missing)
        with pytest.raises(WeightsUnavailableError, match=r"18 cannot be had \(.+\)\. Put a copy .* weights=None"):
            ResNetEncoder(18, "imagenet")
    assert list(imagenet_file(18).parent.iterdir()) == []


def test_a_file_that_is_more_than_numbers_is_not_opened(server, monkeypatch):
    folder, address = server
    torch.save(nn.Linear(1, 1), folder / "net")
    digest = hashlib.sha256((folder / "net").read_bytes()).hexdigest()
    (folder / "net").rename(folder / f"net-{digest[:8]}.pth")
    promised(monkeypatch, f"{address}/net-{digest[:8]}.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        imagenet_weights(18)


def test_the_promised_files_are_torchvisions():
    assert imagenet_file(18).name == "resnet18-f37072fd.pth"
    assert imagenet_file(50).name == "resnet50-0676ba61.pth"
    assert set(ADDRESSES) == {18, 50}
