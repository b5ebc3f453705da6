"""AlexNet in its four forms against published numbers, torchvision, the d2l book and the paper."""

import pytest
import torch
import torchvision
from network_tools import count, images_for, macs, of_kind, on_meta, same_output, sizes
from torch import nn

from utils.networks import build
from utils.networks.alexnet import initialise_as_in_2012, local_response_norm

NAMES = ("alexnet_2012", "alexnet", "alexnet_d2l", "alexnet_small")


def layers_of(network):
    parts = (network.features, network.classifier)
    return {name: layer for part in parts for name, layer in part.named_children()}


def parameters_of(network):
    return {name: count(layer) for name, layer in layers_of(network).items() if count(layer)}


# --- the paper ------------------------------------------------------------------------------------


def test_the_2012_network_layer_by_layer():
    # The kernels of the paper's section 3.5: 96 of 11x11x3, 256 of 5x5x48, 384 of 3x3x256,
    # 384 of 3x3x192, 256 of 3x3x192, then 4096, 4096 and 1000 neurons.
    network = on_meta("alexnet_2012")
    layers = layers_of(network)
    kernels = {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (4096, 9216),
        "fc7": (4096, 4096),
        "fc8": (1000, 4096),
    }
    assert {name: tuple(layers[name].weight.shape) for name in kernels} == kernels
    assert [count(layers[name]) for name in kernels] == [
        *(34_944, 307_456, 885_120, 663_936, 442_624),
        *(37_752_832, 16_781_312, 4_097_000),
    ]
    # The paper's neurons: 186,624, 64,896, 64,896, 43,264. Its first number, 253,440, is not
    # 55 x 55 x 96 = 290,400.
    found = sizes(network)
    neurons = [found[f"conv{i}"][0] * found[f"conv{i}"][1] ** 2 for i in range(1, 6)]
    assert neurons == [290_400, 186_624, 64_896, 64_896, 43_264]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("alexnet_2012", {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "pool5": 6}),
        ("alexnet", {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "pool5": 6}),
        ("alexnet_d2l", {"conv1": 54, "pool1": 26, "conv2": 26, "pool2": 12, "pool5": 5}),
        ("alexnet_small", {"conv1": 28, "pool1": 14, "conv2": 14, "pool2": 7, "pool5": 3}),
    ],
)
def test_sizes_of_the_maps(name, wanted):
    found = sizes(on_meta(name))
    assert {layer: found[layer][1] for layer in wanted} == wanted


def test_one_group_costs_more():
    two, one = on_meta("alexnet_2012"), on_meta("alexnet_2012", groups=1)
    extra = 256 * 48 * 25 + 384 * 192 * 9 + 256 * 192 * 9
    assert count(one) == 60_965_224 + extra == 62_378_344
    spent = 256 * 48 * 25 * 27 * 27 + (384 + 256) * 192 * 9 * 13 * 13
    assert macs(one) - macs(two) == spent


# --- equal to others ------------------------------------------------------------------------------


@pytest.mark.parametrize(("training", "size"), [(False, 224), (True, 224), (False, 63)])
def test_alexnet_equals_torchvision(training, size):
    with torch.device("meta"):
        theirs = torchvision.models.alexnet()
    assert same_output(theirs, "alexnet", training, size) < 1e-5


@pytest.mark.parametrize("training", [False, True])
def test_alexnet_d2l_equals_the_book(training):
    # As printed in the book (the d2l package does not export it).
    with torch.device("meta"):
        book = nn.Sequential(
            *(nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1), nn.ReLU()),
            nn.MaxPool2d(kernel_size=3, stride=2),
            *(nn.Conv2d(96, 256, kernel_size=5, padding=2), nn.ReLU()),
            nn.MaxPool2d(kernel_size=3, stride=2),
            *(nn.Conv2d(256, 384, kernel_size=3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 384, kernel_size=3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU()),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Flatten(),
            *(nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(p=0.5)),
            *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(p=0.5)),
            nn.Linear(4096, 10),
        )
    assert same_output(book, "alexnet_d2l", training) < 1e-5


# --- local response normalisation, groups, dropout ------------------------------------------------


def test_local_response_norm_is_the_papers_formula():
    # b_i = a_i / (k + alpha * sum of a_j squared) ** beta, j from i-2 to i+2 where there are maps;
    # k = 2, n = 5, alpha = 1e-4, beta = 0.75.
    maps = 30 * torch.randn(2, 9, 4, 3)
    wanted = torch.empty_like(maps)
    for i in range(9):
        near = maps[:, max(0, i - 2) : min(8, i + 2) + 1]
        wanted[:, i] = maps[:, i] / (2 + 1e-4 * near.square().sum(dim=1)) ** 0.75
    torch.testing.assert_close(local_response_norm()(maps), wanted)
    for wrong in (nn.LocalResponseNorm(5, alpha=1e-4, k=2.0), nn.LocalResponseNorm(5, alpha=5e-4)):
        assert not torch.allclose(wrong(maps), wanted, rtol=0.01)


def test_norm_is_between_relu_and_pooling_and_can_be_left_out():
    names = list(layers_of(on_meta("alexnet_2012")))
    assert names[:8] == [
        *("conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"),
    ]
    assert [n for n in names if n.startswith("norm")] == ["norm1", "norm2"]
    without = list(layers_of(on_meta("alexnet_2012", norm=False)))
    assert without == [name for name in names if not name.startswith("norm")]
    small = list(layers_of(on_meta("alexnet_small", norm=True)))
    assert [n for n in small if n.startswith("norm")] == ["norm1", "norm2"]
    assert small.index("norm1") == small.index("pool1") - 1


def test_conv3_alone_sees_both_halves():
    groups = [layer.groups for layer in of_kind(on_meta("alexnet_2012"), nn.Conv2d)]
    assert groups == [1, 2, 1, 2, 2]


def test_dropout_is_where_the_source_has_it():
    def neighbours(name, **options):
        network = on_meta(name, **options)
        assert not of_kind(network.features, nn.Dropout)
        layers = list(network.classifier.named_children())
        return [
            (layers[i - 1][0], layers[i + 1][0], layer.p)
            for i, (_, layer) in enumerate(layers)
            if isinstance(layer, nn.Dropout)
        ]

    outputs_of_fc6_and_fc7 = [("relu6", "fc7", 0.5), ("relu7", "fc8", 0.5)]
    for name in ("alexnet_2012", "alexnet_d2l", "alexnet_small"):
        assert neighbours(name) == outputs_of_fc6_and_fc7
    assert neighbours("alexnet") == [("flatten", "fc6", 0.5), ("relu6", "fc7", 0.5)]


# --- initialisation, the small one ----------------------------------------------------------------


def test_the_start_of_2012():
    torch.manual_seed(0)
    network = build("alexnet_small", initialisation="2012")
    ones = set()
    for name, layer in layers_of(network).items():
        if not hasattr(layer, "weight"):
            continue
        assert layer.weight.mean().abs() < 0.001
        tolerance = 4 * 0.01 / (2 * layer.weight.numel()) ** 0.5
        assert layer.weight.std().item() == pytest.approx(0.01, abs=tolerance)
        assert layer.bias.unique().tolist() in ([0], [1])
        if layer.bias[0] == 1:
            ones.add(name)
    assert ones == {"conv2", "conv4", "conv5", "fc6", "fc7"}
    # The layers of all four have the same names, so the same biases are 1.
    assert all(list(parameters_of(on_meta(n))) == list(parameters_of(network)) for n in NAMES)
    whole = build("alexnet_small")
    initialise_as_in_2012(whole)
    assert whole.features.conv2.bias.mean() == whole.classifier.fc7.bias.mean() == 1
    with pytest.raises(ValueError, match=r'initialisation must be .*"he", "2012", but got'):
        build("alexnet_small", initialisation="2013")


def test_alexnet_small():
    kinds = [type(layer) for layer in layers_of(on_meta("alexnet_small")).values()]
    counted = (nn.Conv2d, nn.MaxPool2d, nn.Linear, nn.Dropout)
    assert [kinds.count(kind) for kind in counted] == [5, 3, 3, 2]
    assert set(kinds) == {*counted, nn.ReLU, nn.Flatten}
    network = on_meta("alexnet_small", activation="tanh")
    assert len(of_kind(network, nn.Tanh)) == 7 and not of_kind(network, nn.ReLU)
    assert "tanh3" in layers_of(network)
    with pytest.raises(ValueError, match='activation must be one of "relu", "tanh", but got'):
        build("alexnet_small", activation="gelu")
    network = on_meta("alexnet_small", norm=True)
    assert network(images_for(network)).shape == (1, 10)
