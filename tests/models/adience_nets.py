"""What the tests of LMTCNN and of the Levi-Hassner net share: pictures, and the layers of both written out."""

import math

import torch
from torch.nn import functional

from agegender.models.levi_hassner import LeviHassner
from agegender.models.lmtcnn import LMTCNN

SIDE = 227
PAPER = {"normalisation": "caffe", "pooling": "ceil", "init": "caffe"}
KERAS = {"normalisation": "rows", "pooling": "floor", "init": "levi_hassner"}
MEANT = {"normalisation": "channels", "pooling": "floor", "init": "levi_hassner"}
"""The Levi-Hassner net of the paper, of the published code, and as the text of that code means it."""


def lmtcnn(published=False):
    """LMTCNN as intended, or as published."""
    torch.manual_seed(0)
    return LMTCNN(lrn="tensorflow", uses_batch_statistics_at_test=True) if published else LMTCNN()


def levi_hassner(**options):
    torch.manual_seed(0)
    return LeviHassner(**options)


def awake(**options):
    """The Levi-Hassner net with weights under which every normalisation changes what comes out."""
    net = levi_hassner(**options)
    with torch.no_grad():
        net.conv1.weight.mul_(200 if options.get("normalisation", "caffe") == "caffe" else 1)
        for name, parameter in net.named_parameters():
            if "norm" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif name in ("full1.weight", "full2.weight"):
                parameter.mul_(5)
    return net


def pictures(number=2, seed=0):
    """Standardised pictures: zero mean, unit standard deviation, and neighbouring pixels alike."""
    coarse = torch.randn(number, 3, 15, 15, generator=torch.Generator().manual_seed(seed))
    images = functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")
    return (images - images.mean((1, 2, 3), keepdim=True)) / images.std((1, 2, 3), keepdim=True)


def num_parameters(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def shapes_of_parts(net, images):
    """The shape of what each part of the net gives, without the batch."""
    shapes = {}
    for name, module in net.named_children():
        module.register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    net(images)
    return shapes


def windows(x, size, stride):
    """Every window of a (batch, channels, height, width) as (batch, channels, rows, columns, size, size)."""
    return x.unfold(2, size, stride).unfold(3, size, stride)


def convolved(x, layer, stride=1, padding=0):
    taps = windows(functional.pad(x, (padding,) * 4), layer.weight.shape[-1], stride)
    return torch.einsum("ocij,bchwij->bohw", layer.weight, taps) + layer.bias.view(1, -1, 1, 1)


def pooled(x, rounds_up=False):
    """A last window that reaches over the edge counts when Caffe rounds up: what is missing is minus infinity."""
    missing = (x.shape[-1] - 3) % 2 if rounds_up else 0
    return windows(functional.pad(x, (0, missing, 0, missing), value=-math.inf), 3, 2).amax((-2, -1))


def response_normalised(x, radius, alpha):
    """Over the channels up to ``radius`` away, ``alpha`` to each of them."""
    energy = [x[:, max(0, c - radius) : c + radius + 1].pow(2).sum(1) for c in range(x.shape[1])]
    return x / (1 + alpha * torch.stack(energy, 1)) ** 0.75


def fully_connected(x, net):
    """The two last layers of either net."""
    x = (x.reshape(len(x), -1) @ net.full1.weight.T + net.full1.bias).clamp(min=0)
    return (x @ net.full2.weight.T + net.full2.bias).clamp(min=0)
