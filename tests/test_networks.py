"""The reference networks against published counts, torch, d2l, and wrong input."""

import math
import pickle

import pytest
import torch
from network_tools import copy_by_position, count
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from utils import networks
from utils.networks import build
from utils.networks.common import initialise
from utils.networks.lenet import (
    C3_TABLE,
    PartialConvolution,
    RBFOutput,
    ScaledTanh,
    Subsampling,
    connections,
    digit_codes,
)
from utils.networks.nin import mlpconv

FAMILIES = {  # in the order of the chapters
    "lenet": ("lenet5_1998", "lenet"),
    "alexnet": ("alexnet_2012", "alexnet", "alexnet_d2l", "alexnet_small"),
    "vgg": (
        *("vgg11", "vgg11_lrn", "vgg13", "vgg16", "vgg16_c", "vgg19"),
        *("vgg_d2l", "vgg_small"),
    ),
    "nin": ("nin_cifar10", "nin_imagenet", "nin_d2l", "nin_small"),
}
NINS = FAMILIES["nin"]
ALL = FAMILIES["lenet"] + NINS  # tested here; the larger families have files of their own


def images_for(network, count=2, size=None):
    size = size or network.image_size
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, network.in_channels, size, size, generator=generator)


def macs(network, size):
    """Counted by torch: its FLOPs are twice the multiply-accumulates."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.eval()(images_for(network, 1, size))
    return counter.get_total_flops() // 2


def size_after(network, layer):
    """Height of the feature maps after one layer of ``features``."""
    maps = images_for(network, 1)
    for name, module in network.eval().features.named_children():
        maps = module(maps)
        if name == layer:
            return maps.shape[-1]


# --- what is there -------------------------------------------------------------------------------


def test_available():
    names = networks.available()
    known = [name for family in FAMILIES.values() for name in family]
    assert [name for name in names if name in known] == known
    for family, members in FAMILIES.items():
        assert networks.available(family) == list(members)
    assert networks.available("NiN") == list(NINS)
    with pytest.raises(ValueError, match=r'family must be .*"lenet", "alexnet", .*got "?.?lstm'):
        networks.available("lstm")


@pytest.mark.parametrize(
    ("name", "parameters", "channels", "classes", "size"),
    [
        ("lenet5_1998", 60_000, 1, 10, 32),
        ("lenet", 61_706, 1, 10, 28),
        ("nin_cifar10", 966_986, 3, 10, 32),
        ("nin_imagenet", 7_595_176, 3, 1000, 224),
        ("nin_d2l", 1_992_166, 1, 10, 224),
    ],
)
def test_published_parameter_counts(name, parameters, channels, classes, size):
    network = build(name)
    assert count(network) == parameters
    assert network.name == name and repr(network).startswith(f"{name}(")
    assert (network.in_channels, network.num_classes) == (channels, classes)
    assert network.image_size == size
    with torch.no_grad():
        assert network(images_for(network)).shape == (2, classes)


@pytest.mark.parametrize(
    ("name", "options", "size", "millions"),
    [
        ("lenet", {}, 28, "0.416520"),
        ("nin_cifar10", {}, 32, "222.5"),
        ("nin_cifar10", {"ceil_mode": False}, 32, "200.4"),
        ("nin_imagenet", {}, 224, "1100"),
        ("nin_d2l", {}, 224, "762.3"),
        ("nin_d2l", {}, 112, "157.3"),
        ("nin_d2l", {}, 96, "108.0"),
        ("nin_d2l", {}, 67, "53.9"),
    ],
)
def test_published_macs(name, options, size, millions):
    digits = len(millions.partition(".")[2])
    assert f"{macs(build(name, **options), size) / 1e6:.{digits}f}" == millions


def test_nin_small_fits_a_cpu():
    network = build("nin_small")
    assert count(network) <= 2_000_000
    # nine epochs over 55,000 images within 2e12 forward MACs
    assert macs(network, 28) * 9 * 55_000 <= 2e12
    assert network.features(images_for(network)).shape[2:] == (7, 7)
    kinds = {type(m) for m in network.modules() if not any(m.children())}
    allowed = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Dropout)
    assert kinds == {*allowed, nn.AdaptiveAvgPool2d, nn.Flatten}


def test_parameters_come_in_the_order_of_the_layers():
    for name in ALL:
        network = build(name)
        order = []
        for module in network.modules():
            if any(True for _ in module.parameters(recurse=False)):
                module.register_forward_hook(lambda module, *_, ran=order: ran.append(module))
        with torch.no_grad():
            network(images_for(network))
        ran = [parameter for module in order for parameter in module.parameters()]
        assert all(a is b for a, b in zip(ran, network.parameters(), strict=True))


# --- LeNet -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["d2l", "max_relu"])
def test_lenet_equals_d2l(name):
    d2l = pytest.importorskip("d2l.torch")
    book = d2l.LeNet()
    images = torch.randn(3, 1, 28, 28)
    book(images)  # its layers are lazy
    if name == "d2l":
        ours = build("lenet", activation="sigmoid", pooling="average")
    else:
        ours = build("lenet")
        for i in (1, 4, 8, 10):
            book.net[i] = nn.ReLU()
        book.net[2] = book.net[5] = nn.MaxPool2d(2)
    copy_by_position(book, ours)
    torch.testing.assert_close(ours(images), book(images))


def test_lenet_options():
    kinds = {type(m) for m in build("lenet", activation="tanh").modules()}
    assert nn.Tanh in kinds and nn.MaxPool2d in kinds and nn.ReLU not in kinds
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


# --- NiN -------------------------------------------------------------------------------------


def d2l_nin(classes=10):
    """NiN as the book builds it, in torch's own layers (the d2l package does not export it)."""

    def block(channels, out, kernel_size, stride, padding):
        return nn.Sequential(
            nn.Conv2d(channels, out, kernel_size, stride, padding),
            nn.ReLU(),
            nn.Conv2d(out, out, 1),
            nn.ReLU(),
            nn.Conv2d(out, out, 1),
            nn.ReLU(),
        )

    return nn.Sequential(
        block(1, 96, 11, 4, 0),
        nn.MaxPool2d(3, stride=2),
        block(96, 256, 5, 1, 2),
        nn.MaxPool2d(3, stride=2),
        block(256, 384, 3, 1, 1),
        nn.MaxPool2d(3, stride=2),
        nn.Dropout(0.5),
        block(384, classes, 3, 1, 1),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
    )


def test_nin_d2l_equals_the_book():
    book = d2l_nin()
    ours = build("nin_d2l")
    copy_by_position(book, ours)
    images = images_for(ours, 2, 96)
    torch.testing.assert_close(ours.eval()(images), book.eval()(images))
    torch.manual_seed(1)
    with_dropout = ours.train()(images)
    torch.manual_seed(1)
    torch.testing.assert_close(with_dropout, book.train()(images))


@pytest.mark.parametrize(
    ("name", "options", "sizes"),
    [
        ("nin_imagenet", {}, {"mlpconv1": 54, "pool1": 27, "pool2": 13, "pool3": 6}),
        ("nin_imagenet", {"ceil_mode": False}, {"pool1": 26, "pool2": 12, "pool3": 5}),
        ("nin_d2l", {}, {"mlpconv1": 54, "pool1": 26, "pool2": 12, "mlpconv4": 5}),
        ("nin_cifar10", {}, {"pool1": 16, "pool2": 8, "mlpconv3": 8}),
        ("nin_cifar10", {"ceil_mode": False}, {"pool1": 15, "pool2": 7, "mlpconv3": 7}),
        ("nin_small", {}, {"mlpconv1": 14, "pool1": 7, "mlpconv2": 7, "mlpconv3": 7}),
    ],
)
def test_sizes_of_the_maps(name, options, sizes):
    network = build(name, **options)
    with torch.no_grad():
        assert {layer: size_after(network, layer) for layer in sizes} == sizes


def test_mlpconv_is_a_perceptron_slid_over_the_image():
    block = mlpconv(5, (6, 7, 8), kernel_size=3, padding=1)
    assert [name for name, _ in block.named_children()] == [
        "conv", "relu1", "cccp1", "relu2", "cccp2", "relu3",
    ]  # fmt: skip
    images = torch.randn(2, 5, 9, 9)
    patches = functional.unfold(images, 3, padding=1).transpose(1, 2)  # (N, 81, 45)
    perceptron = nn.Sequential(
        nn.Linear(45, 6), nn.ReLU(), nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 8), nn.ReLU()
    )
    with torch.no_grad():
        for a, b in zip(block.parameters(), perceptron.parameters(), strict=True):
            b.copy_(a.reshape(b.shape))
    pixelwise = perceptron(patches).transpose(1, 2).reshape(2, 8, 9, 9)
    torch.testing.assert_close(block(images), pixelwise)


def test_mlpconv_options():
    block = mlpconv(1, 4, kernel_size=5, stride=2, batch_norm=True, final_relu=False)
    kinds = [type(layer).__name__ for layer in block]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    assert block.conv.bias is None and block.cccp1.bias is None and block.cccp2.bias is not None
    assert block(torch.randn(2, 1, 11, 11)).shape == (2, 4, 4, 4)
    full = mlpconv(1, 4, 5, batch_norm=True)
    assert isinstance(full[-2], nn.BatchNorm2d) and isinstance(full[-1], nn.ReLU)


@pytest.mark.parametrize("name", NINS)
def test_nin_options(name):
    network = build(name, final_relu=True, batch_norm=False, dropout=0.25)
    network.eval()
    with torch.no_grad():
        images = images_for(network)
        assert network(images).min() >= 0
        maps = network.features(images)
        torch.testing.assert_close(maps.mean(dim=(2, 3)), network(images))
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} == {0.25}
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    free = build(name, final_relu=False, batch_norm=True, initialisation="he").eval()
    with torch.no_grad():
        assert free(images).min() < 0
    blocks = sum(layer.startswith("mlpconv") for layer, _ in free.features.named_children())
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in free.modules())
    assert norms == 3 * blocks - 1


def test_dropout_stands_where_the_source_has_it():
    def before(name):
        layers = [layer for layer, _ in build(name).features.named_children()]
        return [layers[i - 1] for i, layer in enumerate(layers) if layer.startswith("dropout")]

    assert before("nin_cifar10") == ["pool1", "pool2"]
    assert before("nin_small") == ["pool1", "mlpconv2"]
    assert before("nin_imagenet") == before("nin_d2l") == ["pool3"]
    for name in NINS:
        rates = {m.p for m in build(name).modules() if isinstance(m, nn.Dropout)}
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


# --- initialisation ----------------------------------------------------------------------------


def test_initialisation_is_d2ls_xavier():
    def xavier_of_d2l(module):
        if type(module) in (nn.Linear, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)

    for name in ("lenet", "nin_small"):
        torch.manual_seed(3)
        ours = build(name)
        theirs = pickle.loads(pickle.dumps(ours))
        torch.manual_seed(4)
        initialise(ours, "xavier")
        torch.manual_seed(4)
        theirs.apply(xavier_of_d2l)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["lenet", *NINS])
def test_initialisation_option(name):
    drawn = {how: list(build(name, initialisation=how).modules()) for how in ("xavier", "he")}
    drawn["torch"] = list(build(name).modules())
    for how, modules in drawn.items():
        layer = next(m for m in reversed(modules) if isinstance(m, nn.Conv2d) and m.in_channels > 5)
        fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
        xavier = math.sqrt(2 / (fan_in + fan_out))
        wanted = {"xavier": xavier, "he": math.sqrt(2 / fan_in), "torch": math.sqrt(1 / 3 / fan_in)}
        assert layer.weight.std().item() == pytest.approx(wanted[how], rel=0.1)
    assert all(not m.bias.any() for m in drawn["he"] if getattr(m, "bias", None) is not None)
    with pytest.raises(ValueError, match=r'initialisation must be .*"torch", "xavier", "he"'):
        build(name, initialisation="glorot")


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_weights(name):
    drawn = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        drawn.append(torch.cat([p.detach().flatten() for p in build(name).parameters()]))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


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


# --- using them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_gradients_reach_every_parameter(name):
    options = {"initialisation": "he", "final_relu": False} if name in NINS else {}
    torch.manual_seed(0)
    network = build(name, **options)
    size = 67 if network.image_size == 224 else None
    images = images_for(network, 8, size)
    labels = torch.arange(8) % network.num_classes
    functional.cross_entropy(network(images), labels).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", ["lenet5_1998", "lenet", "nin_small"])
def test_network_can_learn_twenty_images_by_heart(name):
    torch.manual_seed(0)
    network = build(name)
    images, labels = images_for(network, 20), torch.arange(20) % 10
    rate = 0.01 if name == "lenet5_1998" else 0.05
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    assert (network(images).argmax(dim=1) == labels).float().mean() >= 0.9


@pytest.mark.parametrize("name", ALL)
def test_state_dict_and_pickle_round_trip(name, tmp_path):
    network = build(name).eval()
    images = images_for(network, 1)
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    again = build(name).eval()
    again.load_state_dict(torch.load(path, weights_only=True))
    twin = pickle.loads(pickle.dumps(network))
    with torch.no_grad():
        wanted = network(images)
        assert torch.equal(again(images), wanted) and torch.equal(twin(images), wanted)
    assert (twin.name, twin.smallest_size) == (name, network.smallest_size)


def test_num_classes_and_in_channels():
    for name in ("lenet", *NINS):
        network = build(name, num_classes=7, in_channels=2).eval()
        with torch.no_grad():
            assert network(images_for(network, 1)).shape == (1, 7)
    assert build("lenet5_1998", in_channels=3)(torch.randn(1, 3, 32, 32)).shape == (1, 10)


def test_other_precisions():
    images = torch.randn(2, 1, 28, 28)
    assert build("lenet").double()(images.double()).dtype == torch.float64
    assert build("lenet").bfloat16()(images.bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert build("nin_small")(images).shape == (2, 10)
        assert build("lenet5_1998")(torch.randn(2, 1, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", ["lenet5_1998", "lenet", "nin_small"])
def test_checks_do_not_stand_in_the_way_of_tracing(name):
    network = build(name).eval()
    images = images_for(network)
    with torch.no_grad():
        wanted = network(images)
        assert torch.equal(torch.fx.symbolic_trace(network)(images), wanted)
        batch = torch.export.Dim("batch", min=2, max=1024)  # torch 2.6 wants an upper bound
        exported = torch.export.export(network, (images,), dynamic_shapes={"images": {0: batch}})
        assert exported.module()(images_for(network, 5)).shape == (5, 10)


# --- what wrong input gets -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_smallest_size_is_the_smallest(name):
    options = [{}, {"ceil_mode": False}] if name in ("nin_cifar10", "nin_imagenet") else [{}]
    for chosen in options:
        network = build(name, **chosen).eval()
        size = network.smallest_size
        with torch.no_grad():
            assert network(images_for(network, 1, size)).shape == (1, network.num_classes)
            # Without our check torch itself would give up one pixel below.
            with pytest.raises(RuntimeError):
                network.classifier(network.features(images_for(network, 1, size - 1)))
            for shape in ((size - 1, size), (size, size - 1)):
                with pytest.raises(
                    ValueError, match=rf"{name} expects .*{size}.*but got {shape[0]}x"
                ):
                    network(torch.randn(1, network.in_channels, *shape))


def test_nin_d2l_needs_67_pixels():
    assert build("nin_d2l").smallest_size == 67
    with pytest.raises(ValueError, match=r"at least 67x67 pixels, but got 28x28: enlarge them"):
        build("nin_d2l")(torch.randn(1, 1, 28, 28))


def test_fixed_size_networks_say_which_size():
    for name, size in (("lenet", 28), ("lenet5_1998", 32)):
        network = build(name)
        assert network.fixed_size and network.smallest_size == size
        for other in (size - 4, size + 4):
            with pytest.raises(
                ValueError, match=rf"but got {other}x{other} .*resize them to {size}"
            ):
                network(torch.randn(2, 1, other, other))
    assert not build("nin_small").fixed_size
    assert build("nin_small")(torch.randn(2, 1, 40, 33)).shape == (2, 10)


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.rand(1, 28, 28), ValueError, r"shape \(1, 28, 28\): add the batch .*unsqueeze\(0\)"),
        (torch.rand(8, 28, 28), ValueError, r"add the channel dimension with .*unsqueeze\(1\)"),
        (torch.rand(28, 28), ValueError, r"images\[None, None\]"),
        (torch.rand(8, 784), ValueError, r"shape \(8, 784\): reshape it to \(N, C, H, W\)"),
        (torch.rand(8, 3, 28, 28), ValueError, r"with 3 channels: build\(.*in_channels=3\)"),
        (torch.rand(8, 28, 28, 1), ValueError, r"with 28 channels: .*permute\(0, 3, 1, 2\)"),
        (torch.zeros(8, 1, 28, 28, dtype=torch.uint8), TypeError, r"uint8: divide by 255.*utils"),
        (torch.zeros(8, 1, 28, 28, dtype=torch.int64), TypeError, r"int64: divide by 255"),
        (torch.rand(8, 1, 28, 28).double(), TypeError, r"float64: convert .* images.float\(\)"),
        (torch.rand(8, 1, 28, 28).numpy(), TypeError, r"ndarray: convert it with torch.as_tensor"),
    ],
)
@pytest.mark.parametrize("name", ["lenet", "nin_small"])
def test_wrong_images_get_one_sentence(name, images, error, words):
    with pytest.raises(error, match=words) as caught:
        build(name)(images)
    message = str(caught.value)
    assert message.startswith(f"{name} expects float images of shape (N, 1, 28, 28)")
    assert message.endswith(".") and "\n" not in message


def test_wrong_arguments_of_build():
    with pytest.raises(ValueError, match=r"no network called 'nin_smal'; near it: nin_small"):
        build("nin_smal")
    with pytest.raises(ValueError, match=r"called 'LeNet'; near it: lenet"):
        build("LeNet")
    with pytest.raises(ValueError, match=r"called 'xyz'; known: lenet5_1998, lenet, alexnet_2012"):
        build("xyz")
    with pytest.raises(TypeError, match=r"lenet has no option 'dropout'; its options are activat"):
        build("lenet", dropout=0.5)
    with pytest.raises(TypeError, match=r"lenet5_1998 has no option 'pooling'; it has none"):
        build("lenet5_1998", pooling="max")
    for value in (0, -1, 2.0, True, "10"):
        with pytest.raises(ValueError, match=r"num_classes must be a whole number of at least 1"):
            build("lenet", num_classes=value)
    with pytest.raises(ValueError, match=r"in_channels must be a whole number"):
        build("lenet", in_channels=0)
    with pytest.raises(ValueError, match=r"codes for ten digits, but got num_classes=5: use"):
        build("lenet5_1998", num_classes=5)
