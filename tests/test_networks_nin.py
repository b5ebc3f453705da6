"""Network in Network against the book, the paper's sizes, and what an mlpconv block is."""

import pytest
import torch
from network_tools import images_for, of_kind, on_meta, same_output, sizes
from torch import nn

from utils.networks import build
from utils.networks.nin import mlpconv

NAMES = ("nin_cifar10", "nin_imagenet", "nin_d2l", "nin_small")


@pytest.mark.parametrize("training", [False, True])
def test_nin_d2l_equals_the_book(training):
    """NiN as the book builds it, in torch's own layers (the d2l package does not export it)."""

    def block(channels, out, kernel_size, stride, padding):
        return [
            *(nn.Conv2d(channels, out, kernel_size, stride, padding), nn.ReLU()),
            *(nn.Conv2d(out, out, 1), nn.ReLU(), nn.Conv2d(out, out, 1), nn.ReLU()),
        ]

    with torch.device("meta"):
        book = nn.Sequential(
            *(*block(1, 96, 11, 4, 0), nn.MaxPool2d(3, stride=2)),
            *(*block(96, 256, 5, 1, 2), nn.MaxPool2d(3, stride=2)),
            *(*block(256, 384, 3, 1, 1), nn.MaxPool2d(3, stride=2), nn.Dropout(0.5)),
            *(*block(384, 10, 3, 1, 1), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()),
        )
    assert same_output(book, "nin_d2l", training) < 1e-5


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("nin_imagenet", {}, {"mlpconv1": 54, "pool1": 27, "pool2": 13, "pool3": 6}),
        ("nin_imagenet", {"ceil_mode": False}, {"pool1": 26, "pool2": 12, "pool3": 5}),
        ("nin_d2l", {}, {"mlpconv1": 54, "pool1": 26, "pool2": 12, "mlpconv4": 5}),
        ("nin_cifar10", {}, {"pool1": 16, "pool2": 8, "mlpconv3": 8}),
        ("nin_cifar10", {"ceil_mode": False}, {"pool1": 15, "pool2": 7, "mlpconv3": 7}),
        ("nin_small", {}, {"mlpconv1": 14, "pool1": 7, "mlpconv2": 7, "mlpconv3": 7}),
    ],
)
def test_sizes_of_the_maps(name, options, wanted):
    found = sizes(on_meta(name, **options))
    assert {layer: found[layer][1] for layer in wanted} == wanted


def test_mlpconv_options():
    block = mlpconv(1, 4, kernel_size=5, stride=2, batch_norm=True, final_relu=False)
    kinds = [type(layer).__name__ for layer in block]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    assert block.conv.bias is None and block.cccp1.bias is None and block.cccp2.bias is not None
    assert block(torch.randn(2, 1, 11, 11)).shape == (2, 4, 4, 4)
    full = mlpconv(1, 4, 5, batch_norm=True)
    assert isinstance(full[-2], nn.BatchNorm2d) and isinstance(full[-1], nn.ReLU)
    plain = mlpconv(5, (6, 7, 8), kernel_size=3, padding=1)
    assert list(plain._modules) == ["conv", "relu1", "cccp1", "relu2", "cccp2", "relu3"]
    assert plain(torch.randn(2, 5, 9, 9)).shape == (2, 8, 9, 9)
    assert [conv.out_channels for conv in of_kind(plain, nn.Conv2d)] == [6, 7, 8]


@pytest.mark.parametrize("name", NAMES)
def test_nin_options(name):
    network = build(name, final_relu=True, batch_norm=False, dropout=0.25).eval()
    with torch.no_grad():
        images = images_for(network, 2)
        assert network(images).min() >= 0
        maps = network.features(images)
        torch.testing.assert_close(maps.mean(dim=(2, 3)), network(images))
    assert {layer.p for layer in of_kind(network, nn.Dropout)} == {0.25}
    assert not of_kind(network, nn.BatchNorm2d)
    free = build(name, final_relu=False, batch_norm=True, initialisation="he").eval()
    with torch.no_grad():
        assert free(images).min() < 0
    blocks = sum(layer.startswith("mlpconv") for layer, _ in free.features.named_children())
    assert len(of_kind(free, nn.BatchNorm2d)) == 3 * blocks - 1


def test_dropout_is_where_the_source_has_it():
    def before(name):
        layers = [layer for layer, _ in on_meta(name).features.named_children()]
        return [layers[i - 1] for i, layer in enumerate(layers) if layer.startswith("dropout")]

    assert before("nin_cifar10") == ["pool1", "pool2"]
    assert before("nin_small") == ["pool1", "mlpconv2"]
    assert before("nin_imagenet") == before("nin_d2l") == ["pool3"]
    for name in NAMES:
        rates = {layer.p for layer in of_kind(on_meta(name), nn.Dropout)}
        assert rates == ({0.0} if name == "nin_small" else {0.5})


def test_second_pooling():
    assert isinstance(build("nin_cifar10").features.pool2, nn.MaxPool2d)
    assert isinstance(build("nin_cifar10", second_pooling="average").features.pool2, nn.AvgPool2d)
    with pytest.raises(ValueError, match="second_pooling must be one of"):
        build("nin_cifar10", second_pooling="lp")


def test_widths_of_nin_small():
    network = build("nin_small", widths=(8, 24, 48))
    blocks = (network.features.mlpconv1, network.features.mlpconv2, network.features.mlpconv3)
    assert [block.conv.out_channels for block in blocks] == [8, 24, 48]
    with pytest.raises(ValueError, match=r"widths must be three .* but got \(8, 24\)"):
        build("nin_small", widths=(8, 24))


def test_d2l_initialisation_kills_classes_and_the_repairs_do_not():
    # Facts of the book's NiN: logits that are zero for every image get no gradient.
    def dead(**options):
        total = 0
        for seed in range(3):
            torch.manual_seed(seed)
            network = build("nin_d2l", dropout=0.0, **options)
            with torch.no_grad():
                logits = network(torch.rand(16, 1, 67, 67))
            total += int((logits == 0).all(dim=0).sum())
        return total

    assert dead(initialisation="xavier") >= 2
    assert dead(initialisation="xavier", final_relu=False) == 0
    assert dead(initialisation="xavier", batch_norm=True) == 0


def test_only_known_layers_in_nin_small():
    kinds = {type(m) for m in on_meta("nin_small").modules() if not any(m.children())}
    allowed = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Dropout)
    assert kinds == {*allowed, nn.AdaptiveAvgPool2d, nn.Flatten}
