"""EfficientNet-Lite0 against the package whose weights it has, and TensorFlow's padding."""

import json
import math

import pytest
import torch
from network_tools import count, macs, of_kind, on_meta, sizes
from torch import nn
from torch.nn import functional

from tools import pretrained
from utils.networks import build
from utils.networks.efficientnet_lite import SameConv2d
from utils.networks.mobilenet import InvertedResidual
from utils.networks.pretrained import FOLDER


def test_logits_are_those_of_the_package():
    """Those of its own definition with its own weights; ours have been halved in between."""
    stored = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))
    theirs = torch.tensor(stored["efficientnet_lite0"]["logits"])
    with torch.no_grad():
        ours = build("efficientnet_lite0", pretrained=True)(pretrained.waves())[0]
    assert theirs.std() > 0.5
    assert (ours - theirs).abs().max() < 0.01 * theirs.abs().max()
    assert torch.equal(ours.topk(5).indices, theirs.topk(5).indices)


def test_published_counts():
    """4.7M parameters and 407M multiply-adds, with those of batch norm and the like."""
    network = on_meta("efficientnet_lite0")
    assert round(count(network) / 1e6, 1) == 4.7
    assert 0.9 * 407e6 < macs(network) < 407e6
    assert len(of_kind(network, InvertedResidual)) == 16
    kernels = [
        block.branch.depthwise.conv.kernel_size[0] for block in of_kind(network, InvertedResidual)
    ]
    assert kernels == [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3]


def test_sizes_of_the_maps():
    found = list(sizes(on_meta("efficientnet_lite0")).values())
    assert [size for _, size in found] == [112, 112, 56, 56, 28, 28] + [14] * 6 + [7] * 6
    assert found[-1] == (1280, 7)


@pytest.mark.parametrize("size", [1, 6, 7, 8, 15])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_same_padding_is_tensorflows(size, kernel, stride):
    """Its rule: output size is ceil(size / stride); what is odd goes below and to the right."""
    layer = SameConv2d(2, 3, kernel, stride)
    maps = torch.randn(1, 2, size, size + 1)
    edges = []
    for edge in (size + 1, size):
        out = math.ceil(edge / stride)
        total = max((out - 1) * stride + kernel - edge, 0)
        edges += [total // 2, total - total // 2]
    padded = functional.pad(maps, edges)
    wanted = functional.conv2d(padded, layer.weight, layer.bias, stride)
    assert wanted.shape[-2:] == (math.ceil(size / stride), math.ceil((size + 1) / stride))
    assert torch.equal(layer(maps), wanted)


def test_with_stride_1_it_is_torchs_own_same_padding():
    layer, maps = SameConv2d(2, 3, 5), torch.randn(1, 2, 9, 6)
    theirs = nn.functional.conv2d(maps, layer.weight, layer.bias, padding="same")
    assert torch.allclose(layer(maps), theirs, atol=1e-6)
