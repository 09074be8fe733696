"""The benchmark compares like with like."""

import torch
from torch.testing import assert_close

from agegender.models.levi_hassner import LeviHassner
from benchmarks.plain import plain_levi_hassner


def test_the_plain_net_of_levi_and_hassner_computes_what_ours_does():
    ours, plain = LeviHassner().eval(), plain_levi_hassner().eval()
    names = {"0": "conv1", "4": "conv2", "8": "conv3", "12": "full1", "15": "full2"}
    for place, name in names.items():
        plain.get_submodule(place).load_state_dict(ours.get_submodule(name).state_dict())
    images = torch.randn(2, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert_close(ours(images), plain[:18](images), rtol=1e-4, atol=1e-5)
