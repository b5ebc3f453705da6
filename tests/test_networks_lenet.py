"""LeNet against the paper of 1998 and the d2l book."""

import pytest
import torch
from network_tools import count, of_kind, share_by_position
from torch import nn
from torch.nn import functional

from utils.networks import build
from utils.networks.lenet import (
    C3_TABLE,
    PartialConvolution,
    RBFOutput,
    ScaledTanh,
    Subsampling,
    connections,
    digit_codes,
)


@pytest.mark.parametrize("name", ["d2l", "max_relu"])
def test_lenet_equals_d2l(name):
    d2l = pytest.importorskip("d2l.torch")
    book, images = d2l.LeNet(), torch.randn(3, 1, 28, 28)
    book(images)  # its layers are lazy
    if name == "d2l":
        ours = build("lenet", activation="sigmoid", pooling="average")
    else:
        ours = build("lenet")
        for i in (1, 4, 8, 10):
            book.net[i] = nn.ReLU()
        book.net[2] = book.net[5] = nn.MaxPool2d(2)
    share_by_position(book, ours)
    torch.testing.assert_close(ours(images), book(images))


def test_lenet_options():
    network = build("lenet", activation="tanh")
    assert of_kind(network, nn.Tanh) and of_kind(network, nn.MaxPool2d)
    assert not of_kind(network, nn.ReLU)
    with pytest.raises(ValueError, match=r'activation must be .*"relu", "sigmoid", "tanh".*gelu'):
        build("lenet", activation="gelu")
    with pytest.raises(ValueError, match=r'pooling must be one of "max", "average".*mean'):
        build("lenet", pooling="mean")


def test_lenet5_counts_layer_by_layer():
    network = build("lenet5_1998")
    layers = (*network.features.named_children(), *network.classifier.named_children())
    sizes = {name: count(layer) for name, layer in layers if count(layer)}
    assert sizes == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert connections(network) == {
        "c1": 122_304,
        "s2": 5_880,
        "c3": 151_600,
        "s4": 2_000,
        "c5": 48_120,
        "f6": 10_164,
        "output": 840,
    }
    assert sum(connections(network).values()) == 340_908
    assert network.classifier.output.codes.numel() == 840


def test_c3_table_is_table_one_of_the_paper():
    # Rows are the maps of S2, columns the maps of C3, as the paper prints it.
    printed = """
        X . . . X X X . . X X X X . X X
        X X . . . X X X . . X X X X . X
        X X X . . . X X X . . X . X X X
        . X X X . . X X X X . . X . X X
        . . X X X . . X X X X . X X . X
        . . . X X X . . X X X X . X X X
    """
    crosses = [line.split() for line in printed.strip().splitlines()]
    seen = tuple(tuple(i for i in range(6) if crosses[i][o] == "X") for o in range(16))
    assert seen == C3_TABLE


def test_partial_convolution_is_a_convolution_with_missing_kernels():
    layer = PartialConvolution()
    maps = torch.randn(2, 6, 14, 14)
    full = layer(maps)
    kernels = iter(layer.weight)
    for out, row in enumerate(C3_TABLE):
        kernel = torch.stack([next(kernels) for _ in row])[None]
        alone = functional.conv2d(maps[:, row], kernel, layer.bias[out : out + 1])
        torch.testing.assert_close(full[:, out : out + 1], alone)
    assert next(kernels, None) is None
    # The last map of C3 aside, a map does not change with a map of S2 that it does not see.
    maps[:, 5] += 1
    changed = (layer(maps) != full).flatten(2).any(dim=2).all(dim=0)
    assert changed.tolist() == [5 in row for row in C3_TABLE]


def test_subsampling_and_squashing():
    layer = Subsampling(3)
    maps = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(layer(maps), functional.avg_pool2d(maps, 2))
    with torch.no_grad():
        layer.coefficient.copy_(torch.tensor([1.0, 2.0, -1.0])[:, None, None])
        layer.bias[2] = 5.0
    out = layer(maps)
    torch.testing.assert_close(out[:, 1], 8 * functional.avg_pool2d(maps, 2)[:, 1])
    torch.testing.assert_close(out[0, 2, 1, 3], 5 - maps[0, 2, 2:4, 6:8].sum())
    squash = ScaledTanh()
    a = torch.tensor([-1.0, 0.0, 1.0, 100.0])
    expected = torch.tensor([-1.0, 0.0, 1.0, 1.7159])
    torch.testing.assert_close(squash(a), expected, atol=1e-4, rtol=0)


def test_rbf_output_measures_distances_to_ten_different_bitmaps():
    codes = digit_codes()
    assert codes.shape == (10, 84) and set(codes.unique().tolist()) == {-1.0, 1.0}
    x = torch.randn(5, 84)
    torch.testing.assert_close(RBFOutput()(x), -torch.cdist(x, codes).square())
    differing = (codes[:, None] != codes).sum(dim=2) + 84 * torch.eye(10, dtype=torch.int64)
    assert differing.min() >= 8
    assert RBFOutput()(codes).argmax(dim=1).tolist() == list(range(10))
    # The 7 is drawn upright: more ink in its top rows than in its bottom rows.
    seven = codes[7].reshape(12, 7)
    assert (seven[1] == 1).all() and (seven[-2] == 1).sum() == 2


def test_lenet5_starts_as_in_the_paper():
    network = build("lenet5_1998")
    c1, c3, f6 = network.features.c1, network.features.c3, network.classifier.f6
    for values, inputs in ((c1.weight, 25), (f6.weight, 120), (c3.weight[-6:], 150)):
        assert 0.9 * 2.4 / inputs < values.abs().max() <= 2.4 / inputs
    assert 2.4 / 100 < c3.weight[:18].abs().max() <= 2.4 / 75
