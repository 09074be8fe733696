"""What LMTCNN and the Levi-Hassner net, the encoders of Adience faces, have in common."""

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from agegender.labels import ADIENCE_8
from agegender.models.heads import GENDER, AgeBins, ClassHead
from agegender.models.levi_hassner import LeviHassner
from agegender.models.lmtcnn import LMTCNN
from agegender.models.multitask import MultiTaskModel
from tests.models.adience_nets import KERAS, MEANT, PAPER, awake, lmtcnn, pictures

NETS = {
    "LMTCNN": lmtcnn,
    "LMTCNN as published": lambda: lmtcnn(published=True),
    "paper": lambda: awake(**PAPER, dropout=0.0),
    "keras": lambda: awake(**KERAS, dropout=0.0),
    "meant": lambda: awake(**MEANT, dropout=0.0),
}
EVERY = pytest.mark.parametrize("name", NETS)
AUTOCAST = pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])


@pytest.mark.parametrize("kind", [LMTCNN, LeviHassner])
def test_the_seed_decides_the_weights(kind):
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(kind().full1.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@EVERY
def test_at_test_a_face_is_read_alone_but_by_lmtcnn_as_published_and_the_order_never_matters(name):
    net, images = NETS[name]().eval(), pictures(3)
    with torch.no_grad():
        together = net(images)
        assert_close(net(images.flip(0)), together.flip(0), rtol=1e-4, atol=1e-5)
        if name != "LMTCNN as published":
            assert_close(net(images[:1]), together[:1], rtol=1e-4, atol=1e-5)


@EVERY
def test_the_layout_of_the_pixels_does_not_matter(name):
    net = NETS[name]().eval()
    with torch.no_grad():
        expected = net(pictures())
        found = net.to(memory_format=torch.channels_last)(pictures().contiguous(memory_format=torch.channels_last))
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["train", "eval"])
@EVERY
def test_bfloat16_gives_what_float32_gives_up_to_its_rounding(name, mode):
    net = getattr(NETS[name](), mode)()
    with torch.no_grad():
        exact = net(pictures())
        with torch.autocast("cpu", torch.bfloat16):
            rounded = net(pictures())
    assert rounded.dtype == torch.bfloat16
    scale = exact.abs().max()  # 8 bits are a relative error of 2**-9 a rounding; some ten roundings in a row
    assert (rounded.float() - exact).abs().max() < 2**-4 * scale
    assert (rounded.float() - exact).abs().mean() < 2**-7 * scale


@AUTOCAST
@EVERY
def test_the_gradient_reaches_every_parameter(name, autocast):
    encoder = NETS[name]()
    heads = {
        "age": ClassHead(encoder.out_features, AgeBins(ADIENCE_8)),
        "gender": ClassHead(encoder.out_features, GENDER),
    }
    net, targets = MultiTaskModel(encoder, heads), {"age_group": torch.tensor([0, 7]), "gender": torch.tensor([0, 1])}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        sum(net.losses(net(pictures()), targets).values()).backward()
    for part, parameter in net.named_parameters():
        assert parameter.grad is not None, part
        assert parameter.grad.isfinite().all(), part
        assert parameter.grad.abs().max() > 0, part


@EVERY
def test_the_gradient_in_bfloat16_points_where_that_of_float32_points(name):
    gradients = []
    for autocast in (False, True):
        net = NETS[name]()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            net(pictures()).float().square().sum().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in net.parameters()]))
    assert functional.cosine_similarity(*gradients, dim=0) > 0.99


@pytest.mark.parametrize("kind", [LMTCNN, LeviHassner])
@pytest.mark.parametrize(
    "shape", [(1, 3, 224, 224), (1, 1, 227, 227), (1, 227, 227, 3), (3, 227, 227), (1, 3, 227, 256)]
)
def test_pictures_of_another_size_are_refused_with_their_size(kind, shape):
    found = ", ".join(map(str, shape))
    with pytest.raises(ValueError, match=rf"{kind.__name__} reads \(batch, 3, 227, 227\), got \({found}\)"):
        kind()(torch.zeros(shape))
