"""MobileNet v1 and v2 against the papers' tables and torchvision."""

import pytest
import torch
import torchvision
from network_tools import count, of_kind, on_meta, same_output, sizes
from torch import nn

from utils.networks import build
from utils.networks.mobilenet import InvertedResidual, depthwise_separable


@pytest.mark.parametrize("width", [1.4, 1.0, 0.75, 0.5, 0.35])
def test_v2_equals_torchvision(width):
    with torch.device("meta"):
        theirs = torchvision.models.mobilenet_v2(weights=None, width_mult=width)
    assert same_output(theirs, "mobilenet_v2", width=width) < 1e-5


def test_v1_has_28_layers_and_its_sizes():
    network = on_meta("mobilenet_v1")
    convs = of_kind(network, nn.Conv2d)
    assert len(convs) == 1 + 2 * 13
    assert sum(conv.groups == conv.in_channels for conv in convs) == 13
    found = list(sizes(network).values())
    assert found[0] == (32, 112) and found[-1] == (1024, 7)
    assert [size for _, size in found] == [112, 112, 56, 56, 28, 28] + [14] * 6 + [7, 7]
    full = convs[0].weight.numel() * 112**2
    shares = {"1x1": 0, "depthwise": 0}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels != 3:
            kind = "1x1" if module.kernel_size == (1, 1) else "depthwise"
            side = found[int(name.split(".")[1].removeprefix("block"))][1]
            shares[kind] += module.weight.numel() * side**2
    total = full + sum(shares.values()) + 1024 * 1000
    percent = {kind: f"{100 * value / total:.2f}" for kind, value in shares.items()}
    assert percent == {"1x1": "94.86", "depthwise": "3.06"}
    assert f"{100 * full / total:.2f}" == "1.91"  # the paper prints 1.19


def test_v2_has_17_blocks_and_10_skips():
    network = on_meta("mobilenet_v2")
    blocks = of_kind(network, InvertedResidual)
    assert len(blocks) == 17 and sum(block.skip for block in blocks) == 10
    assert len(of_kind(network, nn.Conv2d)) == 52
    assert not hasattr(blocks[0].branch, "expand")
    assert all(not hasattr(block.branch.project, "relu") for block in blocks)


def test_separable_block_is_a_filter_for_each_channel_and_then_a_mixture():
    torch.manual_seed(0)
    block = depthwise_separable(3, 5, stride=2).eval()
    maps = torch.randn(2, 3, 8, 8)
    weight = block.depthwise.conv.weight
    filtered = torch.cat(
        [
            nn.functional.conv2d(maps[:, c : c + 1], weight[c : c + 1], stride=2, padding=1)
            for c in range(3)
        ],
        dim=1,
    )
    hidden = block.depthwise.norm(filtered).relu()
    mixed = torch.einsum("oc,nchw->nohw", block.pointwise.conv.weight[:, :, 0, 0], hidden)
    assert torch.allclose(block(maps), block.pointwise.norm(mixed).relu(), atol=1e-5)
    assert weight.numel() + block.pointwise.conv.weight.numel() == 27 + 15


def test_a_bottleneck_that_is_not_linear():
    torch.manual_seed(0)
    maps = torch.randn(2, 4, 6, 6)
    linear, nonlinear = (
        InvertedResidual(4, 5, 1, 6, linear_bottleneck=linear).eval()(maps)
        for linear in (True, False)
    )
    assert (linear < 0).any() and (nonlinear >= 0).all()


@pytest.mark.parametrize("name", ["mobilenet_v1_small", "mobilenet_v2_small"])
def test_half_the_width_is_less_than_half_the_parameters(name):
    assert count(on_meta(name, width=0.5)) < count(on_meta(name)) / 2


@pytest.mark.parametrize("width", [0, -1, 5])
def test_wrong_width_gets_one_sentence(width):
    with pytest.raises(ValueError, match="width must be a number above 0 and at most 4, but got"):
        build("mobilenet_v1", width=width)
