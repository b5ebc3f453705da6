"""AlexNet in its four forms against published counts, torchvision, the d2l book and the paper.

Counts and sizes are taken on the meta device, which has shapes and no numbers.
"""

import pickle

import pytest
import torch
from network_tools import copy_by_position, macs, on_meta
from test_networks import FAMILIES
from torch import nn
from torch.nn import functional

from utils import networks
from utils.networks import build
from utils.networks.alexnet import initialise_as_in_2012, local_response_norm

NAMES = FAMILIES["alexnet"]


def meta_images(network, size=None):
    size = size or network.image_size
    return torch.empty(1, network.in_channels, size, size, device="meta")


def sizes(network):
    """Height of the maps after each layer of ``features``."""
    found, maps = {}, meta_images(network)
    for name, layer in network.features.named_children():
        maps = layer(maps)
        found[name] = maps.shape[-1]
    return found


def layers_of(network):
    parts = (network.features, network.classifier)
    return {name: layer for part in parts for name, layer in part.named_children()}


def parameters_of(network):
    counts = {k: sum(p.numel() for p in m.parameters()) for k, m in layers_of(network).items()}
    return {name: count for name, count in counts.items() if count}


# --- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "macs_in_millions", "shape"),
    [
        ("alexnet_2012", 60_965_224, "724.4", (3, 227, 1000)),
        ("alexnet", 61_100_840, "714.2", (3, 224, 1000)),
        ("alexnet_d2l", 46_764_746, "938.1", (1, 224, 10)),
    ],
)
def test_published_counts(name, parameters, macs_in_millions, shape):
    network = on_meta(name)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert f"{macs(network) / 1e6:.1f}" == macs_in_millions
    assert (network.in_channels, network.image_size, network.num_classes) == shape
    assert network(meta_images(network)).shape == (1, shape[2])
    assert network.name == name and repr(network).startswith(f"{name}(")


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
    assert parameters_of(network) == {
        "conv1": 34_944,
        "conv2": 307_456,
        "conv3": 885_120,
        "conv4": 663_936,
        "conv5": 442_624,
        "fc6": 37_752_832,
        "fc7": 16_781_312,
        "fc8": 4_097_000,
    }
    # The paper's neurons: 186,624, 64,896, 64,896, 43,264. Its first number, 253,440, is not
    # 55 x 55 x 96 = 290,400.
    maps, neurons = meta_images(network), {}
    for name, layer in network.features.named_children():
        maps = layer(maps)
        if name.startswith("conv"):
            neurons[name] = maps.numel()
    assert list(neurons.values()) == [290_400, 186_624, 64_896, 64_896, 43_264]


@pytest.mark.parametrize(
    ("name", "share"), [("alexnet", "96.0"), ("alexnet_2012", "96.2"), ("alexnet_d2l", "92.0")]
)
def test_most_parameters_are_in_the_linear_layers(name, share):
    counts = parameters_of(on_meta(name))
    linear = sum(count for layer, count in counts.items() if layer.startswith("fc"))
    assert f"{100 * linear / sum(counts.values()):.1f}" == share


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
    assert {layer: found[layer] for layer in wanted} == wanted


def test_one_group_costs_more():
    two, one = on_meta("alexnet_2012"), on_meta("alexnet_2012", groups=1)
    extra = 256 * 48 * 25 + 384 * 192 * 9 + 256 * 192 * 9
    assert sum(p.numel() for p in one.parameters()) == 60_965_224 + extra == 62_378_344
    spent = 256 * 48 * 25 * 27 * 27 + (384 + 256) * 192 * 9 * 13 * 13
    assert macs(one) - macs(two) == spent


# --- equal to others -----------------------------------------------------------------------------


def borrowing(name, other, **options):
    """Our network with the parameters of `other`, matched by position, without a copy."""
    network = on_meta(name, **options)
    keys = [key for key, _ in network.named_parameters()]
    values = dict(zip(keys, other.parameters(), strict=True))
    for key, parameter in network.named_parameters():
        assert values[key].shape == parameter.shape
    network.load_state_dict(values, assign=True)
    return network


def assert_equal_in_both_modes(ours, theirs, images):
    with torch.no_grad():
        wanted = theirs.eval()(images)
        assert wanted.std() > 0.001
        torch.testing.assert_close(ours.eval()(images), wanted, rtol=0, atol=1e-5)
        outputs = []
        for network in (ours, theirs):
            torch.manual_seed(1)  # the same units are dropped if dropout stands in the same places
            outputs.append(network.train()(images))
    assert (outputs[0] - wanted).abs().max() > 1e-3
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def torchvisions():
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    return torchvision.models.alexnet(weights=None)


def test_alexnet_equals_torchvision(torchvisions):
    ours = borrowing("alexnet", torchvisions)
    assert_equal_in_both_modes(ours, torchvisions, torch.randn(2, 3, 224, 224))
    # Other sizes go through the average pooling.
    for size in (63, 100):
        images = torch.randn(1, 3, size, size)
        with torch.no_grad():
            torch.testing.assert_close(ours.eval()(images), torchvisions.eval()(images))


def test_alexnet_d2l_equals_the_book():
    # As printed in the book (the d2l package does not export it).
    torch.manual_seed(0)
    book = nn.Sequential(
        nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(96, 256, kernel_size=5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(256, 384, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Flatten(),
        nn.Linear(6400, 4096),
        nn.ReLU(),
        nn.Dropout(p=0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(p=0.5),
        nn.Linear(4096, 10),
    )
    ours = borrowing("alexnet_d2l", book)
    assert_equal_in_both_modes(ours, book, torch.randn(1, 1, 224, 224))


# --- local response normalisation, groups, dropout -----------------------------------------------


def test_local_response_norm_is_the_papers_formula():
    # b_i = a_i / (k + alpha * sum of a_j squared) ** beta, j from i-2 to i+2 where there are maps;
    # k = 2, n = 5, alpha = 1e-4, beta = 0.75.
    maps = 30 * torch.randn(2, 9, 4, 3)
    wanted = torch.empty_like(maps)
    for i in range(9):
        near = maps[:, max(0, i - 2) : min(8, i + 2) + 1]
        wanted[:, i] = maps[:, i] / (2 + 1e-4 * near.square().sum(dim=1)) ** 0.75
    ours = local_response_norm()
    torch.testing.assert_close(ours(maps), wanted)
    for wrong in (nn.LocalResponseNorm(5, alpha=1e-4, k=2.0), nn.LocalResponseNorm(5, alpha=5e-4)):
        assert not torch.allclose(wrong(maps), wanted, rtol=0.01)


def test_norm_stands_between_relu_and_pooling_and_can_be_left_out():
    names = list(on_meta("alexnet_2012").features._modules)
    assert names[:8] == [
        *("conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"),
    ]
    assert [n for n in names if n.startswith("norm")] == ["norm1", "norm2"]
    without = list(on_meta("alexnet_2012", norm=False).features._modules)
    assert without == [name for name in names if not name.startswith("norm")]
    small = on_meta("alexnet_small", norm=True).features
    assert [n for n in small._modules if n.startswith("norm")] == ["norm1", "norm2"]
    assert list(small._modules).index("norm1") == list(small._modules).index("pool1") - 1


def test_two_groups_are_two_half_convolutions():
    torch.manual_seed(0)
    layer = nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2)
    described = on_meta("alexnet_2012").features.conv2
    assert repr(described) == repr(layer)
    maps = torch.randn(1, 96, 9, 9)
    halves = []
    for half in range(2):
        seen = maps[:, 48 * half : 48 * half + 48]
        kernels = slice(128 * half, 128 * half + 128)
        halves.append(functional.conv2d(seen, layer.weight[kernels], layer.bias[kernels], 1, 2))
    torch.testing.assert_close(layer(maps), torch.cat(halves, dim=1), rtol=1e-4, atol=1e-5)


def test_conv3_alone_sees_both_halves():
    groups = {
        name: layer.groups
        for name, layer in on_meta("alexnet_2012").features.named_children()
        if isinstance(layer, nn.Conv2d)
    }
    assert groups == {"conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2}


def test_dropout_stands_where_the_source_has_it():
    def neighbours(name, **options):
        network = on_meta(name, **options)
        assert not any(isinstance(layer, nn.Dropout) for layer in network.features)
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
    for name in NAMES:
        assert {p for *_, p in neighbours(name, dropout=0.25)} == {0.25}


# --- initialisation ------------------------------------------------------------------------------


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
        assert layer.bias.unique().numel() == 1
        if layer.bias[0] == 1:
            ones.add(name)
        else:
            assert layer.bias[0] == 0
    assert ones == {"conv2", "conv4", "conv5", "fc6", "fc7"}
    # The layers of all four have the same names, so the same biases are 1.
    assert all(list(parameters_of(on_meta(n))) == list(parameters_of(network)) for n in NAMES)
    whole = build("alexnet_small")
    initialise_as_in_2012(whole)
    assert whole.features.conv2.bias.mean() == whole.classifier.fc7.bias.mean() == 1


@pytest.mark.parametrize("how", ["torch", "xavier", "he"])
def test_initialisation_option(how):
    torch.manual_seed(0)
    layer = build("alexnet_small", initialisation=how).features.conv4
    fan = 64 * 9  # in and out alike
    wanted = {"xavier": 1 / fan, "he": 2 / fan, "torch": 1 / 3 / fan}[how]
    assert layer.weight.std().item() == pytest.approx(wanted**0.5, rel=0.05)
    with pytest.raises(ValueError, match=r'initialisation must be .*"he", "2012", but got'):
        build("alexnet_small", initialisation="2013")


def test_same_seed_same_weights():
    drawn = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        drawn.append(torch.cat([p.detach().flatten() for p in build("alexnet_small").parameters()]))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


# --- the small one -------------------------------------------------------------------------------


def test_alexnet_small_fits_a_cpu():
    network = on_meta("alexnet_small")
    assert sum(p.numel() for p in network.parameters()) == 282_586
    assert macs(network) == 7_197_056
    assert macs(network) * 4 * 55_000 <= 2e12  # a run at budget full
    kinds = [type(layer) for layer in layers_of(network).values()]
    assert [kinds.count(kind) for kind in (nn.Conv2d, nn.MaxPool2d, nn.Linear, nn.Dropout)] == [
        *(5, 3, 3, 2),
    ]
    assert set(kinds) == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear, nn.Dropout}


def test_options_of_alexnet_small():
    network = on_meta("alexnet_small", activation="tanh")
    kinds = [type(layer) for layer in network.modules()]
    assert kinds.count(nn.Tanh) == 7 and nn.ReLU not in kinds
    assert "tanh3" in layers_of(network)
    with pytest.raises(ValueError, match='activation must be one of "relu", "tanh", but got'):
        build("alexnet_small", activation="gelu")
    kept = on_meta("alexnet_small", num_classes=7, in_channels=3)
    assert kept(meta_images(kept)).shape == (1, 7)


def test_gradients_reach_every_parameter_and_it_learns_by_heart():
    torch.manual_seed(0)
    network = build("alexnet_small", dropout=0.0)
    images, labels = torch.randn(20, 1, 28, 28), torch.arange(20) % 10
    optimizer = torch.optim.SGD(network.parameters(), lr=0.003, momentum=0.9)
    for step in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels).backward()
        if step == 0:
            for key, parameter in network.named_parameters():
                assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 0, key
        optimizer.step()
    assert (network(images).argmax(dim=1) == labels).float().mean() >= 0.9


def test_state_dict_and_pickle_round_trip(tmp_path):
    network = build("alexnet_small", norm=True).eval()
    images = torch.randn(2, 1, 28, 28)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    again = build("alexnet_small", norm=True).eval()
    again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    twin = pickle.loads(pickle.dumps(network))
    copied = build("alexnet_small", norm=True).eval()
    copy_by_position(network, copied)
    with torch.no_grad():
        for other in (again, twin, copied):
            assert torch.equal(other(images), network(images))
    assert twin.name == "alexnet_small"


def test_checks_do_not_stand_in_the_way_of_tracing():
    network = build("alexnet_small").eval()
    images = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(torch.fx.symbolic_trace(network)(images), network(images))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert network(images).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_come_in_the_order_of_the_layers(name):
    network, ran = on_meta(name), []
    for module in network.modules():
        if any(True for _ in module.parameters(recurse=False)):
            module.register_forward_hook(lambda module, *_: ran.extend(module.parameters()))
    network(meta_images(network))
    assert all(a is b for a, b in zip(ran, network.parameters(), strict=True))


# --- what wrong input gets -----------------------------------------------------------------------


def test_sizes_that_are_allowed():
    network = on_meta("alexnet")
    assert network.smallest_size == 63 and not network.fixed_size
    assert network(meta_images(network, 63)).shape == (1, 1000)
    with pytest.raises(RuntimeError):  # without our check torch itself gives up one pixel below
        network.features(meta_images(network, 62))
    with pytest.raises(ValueError, match=r"at least 63x63 pixels, but got 62x62: enlarge them"):
        network(meta_images(network, 62))
    for name, size in (("alexnet_2012", 227), ("alexnet_d2l", 224), ("alexnet_small", 28)):
        network = on_meta(name)
        assert network.fixed_size and network.smallest_size == size
        for other in (size - 4, size + 5):
            with pytest.raises(ValueError, match=rf"but got {other}x{other} .*resize .* {size}"):
                network(meta_images(network, other))


@pytest.mark.parametrize(
    ("name", "images", "error", "words"),
    [
        ("alexnet_2012", torch.rand(3, 227, 227), ValueError, r"add the batch .*unsqueeze\(0\)"),
        ("alexnet_2012", torch.rand(1, 227, 227, 3), ValueError, r"permute\(0, 3, 1, 2\)"),
        ("alexnet_2012", torch.rand(1, 1, 227, 227), ValueError, r"with 1 channels: .*=1\)"),
        ("alexnet", torch.zeros(1, 3, 224, 224, dtype=torch.uint8), TypeError, r"divide by 255"),
        ("alexnet", torch.rand(1, 3, 224, 224).double(), TypeError, r"images.float\(\)"),
        ("alexnet_d2l", torch.rand(1, 1, 28, 28), ValueError, r"got 28x28 .*resize them to 224"),
        ("alexnet_small", torch.rand(8, 28, 28), ValueError, r"unsqueeze\(1\)"),
        ("alexnet_small", torch.rand(8, 784), ValueError, r"reshape it to \(N, C, H, W\)"),
        ("alexnet_small", torch.rand(8, 1, 28, 28).numpy(), TypeError, r"torch.as_tensor"),
    ],
)
def test_wrong_images_get_one_sentence(name, images, error, words):
    network = on_meta(name)
    with pytest.raises(error, match=words) as caught:
        network(images)
    message, size = str(caught.value), network.image_size
    wanted = f"{name} expects float images of shape (N, {network.in_channels}, {size}, {size})"
    assert message.startswith(wanted) and message.endswith(".") and "\n" not in message


def test_wrong_options_are_named():
    with pytest.raises(TypeError, match=r"alexnet has no option 'groups'; its options are dropout"):
        build("alexnet", groups=2)
    with pytest.raises(ValueError, match=r"called 'alexnet_smal'; near it: alexnet_small"):
        networks.build("alexnet_smal")
