"""VGG against the paper's table, torchvision, the book's code, and wrong options.

The large networks are built on the meta device, which has shapes but no numbers, and only those
whose outputs are compared get numbers: once, for both sides.
"""

import math

import pytest
import torch
import torchvision
from network_tools import count, macs, on_meta
from torch import nn
from torch.nn import functional

from utils import networks
from utils.networks import build
from utils.networks.vgg import CONFIGURATIONS, WIDTHS, vgg_block

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


def of_kind(network, *kinds):
    return [module for module in network.modules() if isinstance(module, kinds)]


def fill(network):
    """Numbers for a network on the meta device: cheap ones, but no two layers are alike.

    Weights are as large as He initialisation makes them, so that the signal reaches the end; batch
    norm gets statistics, scales and shifts of its own.
    """
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2**20 + 7, generator=generator)  # of no round length: no pattern repeats
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            tensor.fill_(1)
            continue
        flat = tensor.flatten()
        for start in range(0, len(flat), len(noise)):
            piece = flat[start : start + len(noise)]
            piece.copy_(noise[: len(piece)])
        noise = noise.roll(12_345)
        if tensor.ndim > 1:
            tensor.mul_(math.sqrt(2 / tensor[0].numel()))
        elif name.endswith("running_var"):
            tensor.abs_().add_(0.5)
        else:  # biases, running means, and scales around 1
            scale_of_a_norm = name.endswith("weight")
            tensor.mul_(0.1).add_(1.0 if scale_of_a_norm else 0.0)


def share_by_position(source, target):
    """Let ``target`` have the very tensors of ``source``, matched by their order alone."""
    pairs = zip(target.state_dict(), source.state_dict().values(), strict=True)
    target.load_state_dict(dict(pairs), assign=True)  # complains about every wrong shape


# --- what is there -------------------------------------------------------------------------------


def test_available():
    assert sorted(networks.available("vgg")) == sorted([*COLUMNS, "vgg_d2l", "vgg_small"])


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

    # The paper's name of a column counts the layers with weights.
    depth = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19}[COLUMNS[name]]
    assert len(of_kind(network, nn.Conv2d, nn.Linear)) == depth
    sizes = [(m.in_features, m.out_features) for m in of_kind(network, nn.Linear)]
    assert sizes == [(512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)]


@pytest.mark.parametrize(
    ("name", "options", "parameters", "giga"),
    [
        ("vgg11", {}, 132_863_336, "7.609"),
        ("vgg11_lrn", {}, 132_863_336, "7.609"),
        ("vgg13", {}, 133_047_848, "11.308"),
        ("vgg16_c", {}, 133_638_952, "11.771"),
        ("vgg16", {}, 138_357_544, "15.470"),
        ("vgg19", {}, 143_667_240, "19.632"),
        ("vgg_d2l", {"divisor": 1}, 128_806_154, "7.547"),
        ("vgg_d2l", {}, 43_093_322, "0.5122"),
        ("vgg_d2l", {"image_size": 64}, 19_500_362, "0.0573"),
        ("vgg_d2l", {"image_size": 32}, 17_927_498, "0.0269"),
    ],
)
def test_published_counts(name, options, parameters, giga):
    network = on_meta(name, **options)
    assert count(network) == parameters
    digits = len(giga.partition(".")[2])
    assert f"{macs(network) / 1e9:.{digits}f}" == giga
    assert network.name == name and network.fixed_size
    expected = (1, 10) if name == "vgg_d2l" else (3, 1000)
    assert (network.in_channels, network.num_classes) == expected


def test_table_2_of_the_paper():
    printed = {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}  # millions
    assert {c: round(count(on_meta(n)) / 1e6) for n, c in COLUMNS.items()} == printed


# --- torchvision and the book --------------------------------------------------------------------


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

    fill(theirs)
    share_by_position(theirs, ours)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mine, right = ours(image), theirs(image)
    assert 0.1 < right.std() < 100  # the comparison would say nothing about a dead network
    torch.testing.assert_close(mine, right, rtol=0, atol=1e-5)


def book_block(num_convs, in_channels, out_channels):
    """``vgg_block`` of "Dive into Deep Learning", which its package does not export."""
    layers = []
    for _ in range(num_convs):
        layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1))
        layers.append(nn.ReLU())
        in_channels = out_channels
    layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


@pytest.mark.parametrize("size", [32, 64, 224])
def test_equal_to_the_book(size):
    arch = ((1, 16), (1, 32), (2, 64), (2, 128), (2, 128))  # the book's channels divided by four
    channels = (1, 16, 32, 64, 128)
    with torch.device("meta"):
        book = nn.Sequential(
            *(book_block(n, i, o) for i, (n, o) in zip(channels, arch)),
            nn.Flatten(),
            nn.Linear(128 * (size // 32) ** 2, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 10),
        )
    fill(book)
    ours = on_meta("vgg_d2l", image_size=size)
    share_by_position(book, ours)
    images = torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(1))
    for training in (False, True):  # in training the same seed draws the same dropout
        results = []
        for network in (ours, book):
            torch.manual_seed(5)
            with torch.no_grad():
                results.append(network.train(training)(images))
        assert results[1].std() > 0.1
        torch.testing.assert_close(*results, rtol=0, atol=1e-5)


# --- the parts -----------------------------------------------------------------------------------


def test_block_against_torch():
    block = vgg_block(3, 8, "315").eval()
    images = torch.randn(2, 3, 11, 8)
    maps = images
    for number, side in enumerate((3, 1, 5), start=1):
        layer = getattr(block, f"conv{number}")
        assert layer.kernel_size == (side, side)
        maps = functional.conv2d(maps, layer.weight, layer.bias, padding=side // 2).relu()
    assert maps.shape == (2, 8, 11, 8)
    torch.testing.assert_close(block(images), functional.max_pool2d(maps, 2))
    assert block(images).shape == (2, 8, 5, 4)


def test_batch_norm_stands_between_convolution_and_relu():
    kinds = [type(m) for m in vgg_block(3, 8, "33", batch_norm=True)]
    group = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds == [*group, *group, nn.MaxPool2d]
    for name in ("vgg11", "vgg13", "vgg16_c", "vgg16", "vgg19"):
        network = on_meta(name, batch_norm=True)
        channels = [m.out_channels for m in of_kind(network, nn.Conv2d)]
        assert [m.num_features for m in of_kind(network, nn.BatchNorm2d)] == channels
        assert count(network) == count(on_meta(name)) + 2 * sum(channels)
        assert not of_kind(network.classifier, nn.BatchNorm2d)
        assert not of_kind(on_meta(name), nn.BatchNorm2d)


def test_lrn_is_the_papers_and_stands_behind_the_first_relu():
    network = on_meta("vgg11_lrn")
    kinds = [type(m) for m in network.features.block1]
    assert kinds == [nn.Conv2d, nn.ReLU, nn.LocalResponseNorm, nn.MaxPool2d]
    (layer,) = of_kind(network, nn.LocalResponseNorm)
    maps = torch.rand(2, 9, 3, 4) * 10
    squares = functional.pad(maps**2, (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(-1)
    torch.testing.assert_close(layer(maps), maps / (2 + 1e-4 * squares) ** 0.75)
    plain = [p.shape for p in on_meta("vgg11").parameters()]
    assert [p.shape for p in network.parameters()] == plain


def test_classifier_and_dropout():
    for name in (*COLUMNS, "vgg_d2l", "vgg_small"):
        kinds = [type(m) for m in on_meta(name).classifier]
        group = [nn.Linear, nn.ReLU, nn.Dropout]
        assert kinds == [nn.Flatten, *group, *group, nn.Linear]
        default = 0.2 if name == "vgg_small" else 0.5
        assert [m.p for m in of_kind(on_meta(name), nn.Dropout)] == [default] * 2
        other = on_meta(name, dropout=0.125)
        assert [m.p for m in of_kind(other, nn.Dropout)] == [0.125] * 2


def test_a_relu_behind_every_layer_but_the_last():
    for name in (*COLUMNS, "vgg_d2l", "vgg_small"):
        network = on_meta(name)
        layers = of_kind(network, nn.Conv2d, nn.Linear, nn.ReLU)
        weighted = [not isinstance(m, nn.ReLU) for m in layers]
        assert weighted == [True, False] * (len(layers) // 2) + [True]


def test_parameters_come_in_the_order_of_the_layers():
    for name in (*COLUMNS, "vgg_d2l", "vgg_small"):
        network, order = on_meta(name), []
        for module in network.modules():
            if any(True for _ in module.parameters(recurse=False)):
                module.register_forward_hook(lambda module, *_, ran=order: ran.append(module))
        macs(network)
        ran = [parameter for module in order for parameter in module.parameters()]
        assert all(a is b for a, b in zip(ran, network.parameters(), strict=True))


# --- the small one -------------------------------------------------------------------------------


def test_vgg_small_fits_a_cpu():
    network = on_meta("vgg_small")
    assert count(network) <= 2_000_000 and network.image_size == 32
    # at least four epochs over 55,000 images within 2e12 forward MACs
    assert macs(network) * 4 * 55_000 <= 2e12
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
    plain = build("vgg_small", blocks=blocks, batch_norm=False)
    assert not of_kind(plain, nn.BatchNorm2d)


def test_gradients_reach_every_parameter():
    for options in ({}, {"batch_norm": False, "initialisation": "he"}):
        torch.manual_seed(0)
        network = build("vgg_small", dropout=0.0, **options)
        images, labels = torch.randn(16, 1, 32, 32), torch.arange(16) % 10
        functional.cross_entropy(network(images), labels).backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), key
            behind_norm = "conv" in key and key.endswith("bias") and not options
            assert behind_norm or parameter.grad.abs().max() > 0, key


def test_vgg_small_can_learn_twenty_images_by_heart():
    torch.manual_seed(0)
    network = build("vgg_small", dropout=0.0, widths=(8, 16, 24, 32, 32))
    images, labels = torch.randn(20, 1, 32, 32), torch.arange(20) % 10
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(30):
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    assert (network(images).argmax(dim=1) == labels).float().mean() >= 0.9


def test_initialisation_option():
    for how in ("torch", "xavier", "he"):
        torch.manual_seed(0)
        network = build("vgg_small", initialisation=how)
        for layer in (network.features.block4.conv2, network.classifier.fc1):
            fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
            variance = {"torch": 1 / 3 / fan_in, "xavier": 2 / (fan_in + fan_out)}
            wanted = math.sqrt(variance.get(how, 2 / fan_in))
            assert layer.weight.std().item() == pytest.approx(wanted, rel=0.05)
    with pytest.raises(ValueError, match=r'initialisation must be one of "torch", "xavier", "he"'):
        on_meta("vgg16", initialisation="glorot")


def test_state_dict_round_trip(tmp_path):
    network = build("vgg_small").eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    again = build("vgg_small").eval()
    again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(images), again(images))


# --- wrong input ---------------------------------------------------------------------------------


def test_num_classes_in_channels_and_wrong_images():
    network = build("vgg_small", num_classes=7, in_channels=2).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 2, 32, 32)).shape == (1, 7)
    network = on_meta("vgg16", num_classes=7, in_channels=1)
    assert network.features.block1.conv1.in_channels == 1
    assert network.classifier.fc3.out_features == 7
    for name, size, other in (("vgg_small", 32, 28), ("vgg16", 224, 227)):
        network = on_meta(name)
        message = rf"^{name} expects .*but got {other}x{other} .*resize them to {size}.*\.$"
        with pytest.raises(ValueError, match=message):
            network(torch.randn(1, network.in_channels, other, other))


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


def test_unknown_options_are_named():
    with pytest.raises(TypeError, match=r"vgg16 has no option 'blocks'; its options are batch_n"):
        on_meta("vgg16", blocks=("3",) * 5)
    with pytest.raises(TypeError, match=r"vgg11_lrn has no option 'batch_norm'; its options are d"):
        on_meta("vgg11_lrn", batch_norm=True)
    with pytest.raises(ValueError, match=r"no network called 'VGG16'; near it: vgg16"):
        build("VGG16")


def test_small_and_large_share_their_table():
    assert WIDTHS == (64, 128, 256, 512, 512)
    for name, column in COLUMNS.items():
        if column in CONFIGURATIONS:
            found = [m.kernel_size[0] for m in of_kind(on_meta(name), nn.Conv2d)]
            assert found == [int(k) for block in CONFIGURATIONS[column] for k in block]
