"""VGG against the paper's table, torchvision, the book's code, and wrong options."""

import pytest
import torch
import torchvision
from network_tools import count, macs, of_kind, on_meta, same_output
from torch import nn

from utils.networks import build
from utils.networks.alexnet import local_response_norm
from utils.networks.vgg import CONFIGURATIONS, vgg_block

COLUMNS = {
    "vgg11": "A",
    "vgg11_lrn": "A-LRN",
    "vgg13": "B",
    "vgg16_c": "C",
    "vgg16": "D",
    "vgg19": "E",
}
# Table 1 of the paper (arXiv 1409.1556), between the image and the linear layers.
TABLE_1 = """
    A        A-LRN    B        C        D        E
    conv3-64 conv3-64 conv3-64 conv3-64 conv3-64 conv3-64
    .        LRN      conv3-64 conv3-64 conv3-64 conv3-64
    maxpool
    conv3-128 conv3-128 conv3-128 conv3-128 conv3-128 conv3-128
    .         .         conv3-128 conv3-128 conv3-128 conv3-128
    maxpool
    conv3-256 conv3-256 conv3-256 conv3-256 conv3-256 conv3-256
    conv3-256 conv3-256 conv3-256 conv3-256 conv3-256 conv3-256
    .         .         .         conv1-256 conv3-256 conv3-256
    .         .         .         .         .         conv3-256
    maxpool
    conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
    conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
    .         .         .         conv1-512 conv3-512 conv3-512
    .         .         .         .         .         conv3-512
    maxpool
    conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
    conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
    .         .         .         conv1-512 conv3-512 conv3-512
    .         .         .         .         .         conv3-512
    maxpool
"""


# --- the paper, torchvision and the book ----------------------------------------------------------


@pytest.mark.parametrize("name", COLUMNS)
def test_table_1_of_the_paper(name):
    lines = [line.split() for line in TABLE_1.strip().splitlines()]
    number = lines[0].index(COLUMNS[name])
    printed = [line[number] if len(line) > 1 else "maxpool" for line in lines[1:]]
    printed = [cell for cell in printed if cell != "."]

    network = on_meta(name)
    found = []
    for module in of_kind(network.features, nn.Conv2d, nn.MaxPool2d, nn.LocalResponseNorm):
        if isinstance(module, nn.Conv2d):
            (side, _), padding = module.kernel_size, module.padding
            assert module.kernel_size == (side, side) and padding == (side // 2, side // 2)
            assert module.stride == module.dilation == (1, 1) and module.groups == 1
            assert module.bias is not None
            found.append(f"conv{side}-{module.out_channels}")
        elif isinstance(module, nn.MaxPool2d):
            assert (module.kernel_size, module.stride, module.padding) == (2, 2, 0)
            assert not module.ceil_mode
            found.append("maxpool")
        else:
            found.append("LRN")
    assert found == printed
    sizes = [(m.in_features, m.out_features) for m in of_kind(network, nn.Linear)]
    assert sizes == [(512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)]


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_equal_to_torchvision(name, batch_norm):
    variant = f"{name}_bn" if batch_norm else name
    published = torchvision.models.get_model_weights(variant).IMAGENET1K_V1.meta
    with torch.device("meta"):
        theirs = torchvision.models.get_model(variant, weights=None).eval()
    ours = on_meta(name, batch_norm=batch_norm)
    assert count(ours) == published["num_params"]
    assert f"{macs(ours) / 1e9:.3f}" == f"{published['_ops']:.3f}"
    assert same_output(theirs, name, batch_norm=batch_norm) < 1e-5


def book_block(num_convs, in_channels, out_channels):
    """`vgg_block` of "Dive into Deep Learning", which its package does not export."""
    layers = []
    for _ in range(num_convs):
        layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [32, 64, 224])
def test_equal_to_the_book(size, training):
    arch = ((1, 16), (1, 32), (2, 64), (2, 128), (2, 128))  # the book's channels divided by four
    channels = (1, 16, 32, 64, 128)
    with torch.device("meta"):
        book = nn.Sequential(
            *(book_block(n, i, o) for i, (n, o) in zip(channels, arch)),
            nn.Flatten(),
            *(nn.Linear(128 * (size // 32) ** 2, 4096), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)),
            nn.Linear(4096, 10),
        )
    assert same_output(book, "vgg_d2l", training, image_size=size) < 1e-5


# --- the parts ------------------------------------------------------------------------------------


def test_batch_norm_is_between_convolution_and_relu():
    kinds = [type(m) for m in vgg_block(3, 8, "33", batch_norm=True)]
    group = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds == [*group, *group, nn.MaxPool2d]
    for name in ("vgg11", "vgg13", "vgg16_c", "vgg16", "vgg19"):
        network = on_meta(name, batch_norm=True)
        channels = [m.out_channels for m in of_kind(network, nn.Conv2d)]
        assert [m.num_features for m in of_kind(network, nn.BatchNorm2d)] == channels
        assert not of_kind(network.classifier, nn.BatchNorm2d)
        assert not of_kind(on_meta(name), nn.BatchNorm2d)


def test_lrn_is_the_papers_and_comes_after_the_first_relu():
    network = on_meta("vgg11_lrn")
    kinds = [type(m) for m in network.features.block1]
    assert kinds == [nn.Conv2d, nn.ReLU, nn.LocalResponseNorm, nn.MaxPool2d]
    (layer,) = of_kind(network, nn.LocalResponseNorm)
    assert repr(layer) == repr(local_response_norm())  # tested with AlexNet
    plain = [p.shape for p in on_meta("vgg11").parameters()]
    assert [p.shape for p in network.parameters()] == plain


def test_classifier_and_dropout():
    for name in (*COLUMNS, "vgg_d2l", "vgg_small"):
        kinds = [type(m) for m in on_meta(name).classifier]
        group = [nn.Linear, nn.ReLU, nn.Dropout]
        assert kinds == [nn.Flatten, *group, *group, nn.Linear]
        default = 0.2 if name == "vgg_small" else 0.5
        assert [m.p for m in of_kind(on_meta(name), nn.Dropout)] == [default] * 2


def test_a_relu_behind_every_layer_but_the_last():
    for name in (*COLUMNS, "vgg_d2l", "vgg_small"):
        network = on_meta(name)
        layers = of_kind(network, nn.Conv2d, nn.Linear, nn.ReLU)
        weighted = [not isinstance(m, nn.ReLU) for m in layers]
        assert weighted == [True, False] * (len(layers) // 2) + [True]


# --- the small one --------------------------------------------------------------------------------


def test_layers_of_vgg_small():
    network = on_meta("vgg_small")
    allowed = {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear, nn.Dropout}
    assert {type(m) for m in network.modules() if not any(m.children())} == allowed
    convolutions = of_kind(network, nn.Conv2d)
    assert len(convolutions) == 8 and all(m.kernel_size == (3, 3) for m in convolutions)


@pytest.mark.parametrize("blocks", [*CONFIGURATIONS.values(), ("3", "3", "5", "5", "5")])
def test_vgg_small_takes_every_configuration(blocks):
    network = build("vgg_small", blocks=blocks, widths=(4, 6, 8, 10, 12), hidden=20).eval()
    wanted = [(width, int(k)) for width, ks in zip((4, 6, 8, 10, 12), blocks) for k in ks]
    found = [(m.out_channels, m.kernel_size[0]) for m in of_kind(network, nn.Conv2d)]
    assert found == wanted
    linear = [(m.in_features, m.out_features) for m in of_kind(network, nn.Linear)]
    assert linear == [(12, 20), (20, 20), (20, 10)]
    with torch.no_grad():
        assert network.features(torch.randn(2, 1, 32, 32)).shape == (2, 12, 1, 1)
        assert network(torch.randn(2, 1, 32, 32)).shape == (2, 10)
    assert not of_kind(on_meta("vgg_small", blocks=blocks, batch_norm=False), nn.BatchNorm2d)


def test_vgg_block_is_torchs_convolutions_relus_and_pooling():
    torch.manual_seed(0)
    block = vgg_block(3, 8, "315").eval()
    images = torch.randn(2, 3, 11, 8)
    maps = images
    for number, side in enumerate((3, 1, 5), start=1):
        layer = getattr(block, f"conv{number}")
        assert layer.kernel_size == (side, side)
        maps = nn.functional.conv2d(maps, layer.weight, layer.bias, padding=side // 2).relu()
    torch.testing.assert_close(block(images), nn.functional.max_pool2d(maps, 2))


# --- wrong input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel_sizes", ["", "32", "3a", "0", 33, None, ("3", "3")])
def test_wrong_kernel_sizes(kernel_sizes):
    with pytest.raises(ValueError, match=r"one odd digit for each convolution.*but got .*\.$"):
        vgg_block(3, 8, kernel_sizes)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg_small", {"blocks": ("3",) * 4}, r"blocks must have five entries.*\('3', '3', '3', '"),
        ("vgg_small", {"blocks": ("3", "3", "4", "3", "3")}, r"one odd digit .*but got '4'"),
        ("vgg_small", {"widths": (8, 8)}, r"blocks and widths must be equally many.*\(8, 8\)"),
        ("vgg_small", {"widths": (0, 8, 8, 8, 8)}, r"widths and hidden must be whole numbers"),
        ("vgg_small", {"widths": (8.0,) * 5}, r"widths and hidden must be whole numbers"),
        ("vgg_small", {"hidden": 0}, r"widths and hidden must be .* of at least 1.* and 0"),
        ("vgg_small", {"dropout": 2}, r"between 0 and 1, but got 2"),
        ("vgg_d2l", {"divisor": 0}, r"divisor must be a whole number from 1 to 64, but got 0"),
        ("vgg_d2l", {"divisor": 128}, r"divisor must be a whole number from 1 to 64, but got 128"),
        ("vgg_d2l", {"image_size": 48}, r"image_size must be a multiple of 32, but got 48"),
        ("vgg_d2l", {"image_size": 64.0}, r"image_size must be a multiple of 32, but got 64.0"),
        ("vgg_d2l", {"image_size": 0}, r"image_size must be a multiple of 32, but got 0"),
    ],
)
def test_wrong_options_get_one_sentence(name, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        on_meta(name, **options)
    assert "\n" not in str(caught.value)
