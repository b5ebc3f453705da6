"""What all networks promise: published counts, sizes, first weights, learning, wrong input."""

import inspect
import math
import pickle

import pytest
import torch
from network_tools import count, images_for, macs, of_kind, on_meta
from torch import nn
from torch.nn import functional

from utils import networks
from utils.networks import build
from utils.networks.common import initialise

FAMILIES = {  # in the order of the chapters
    "lenet": ["lenet5_1998", "lenet"],
    "alexnet": ["alexnet_2012", "alexnet", "alexnet_d2l", "alexnet_small"],
    "vgg": [
        *("vgg11", "vgg11_lrn", "vgg13", "vgg16", "vgg16_c", "vgg19"),
        *("vgg_d2l", "vgg_small"),
    ],
    "nin": ["nin_cifar10", "nin_imagenet", "nin_d2l", "nin_small"],
    "googlenet": ["googlenet", "googlenet_torchvision", "googlenet_d2l", "googlenet_small"],
    "resnet": [
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        *("resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
        *("plain20", "plain32", "plain44", "plain56", "plain110"),
        *("resnet18_d2l", "resnet_small"),
    ],
    "mobilenet": ["mobilenet_v1", "mobilenet_v2", "mobilenet_v1_small", "mobilenet_v2_small"],
    "squeezenet": ["squeezenet"],
    "efficientnet_lite": ["efficientnet_lite0"],
}
ALL = [name for family in FAMILIES.values() for name in family]
SMALL = [name for name in ALL if name.endswith("_small")]
every_network = pytest.mark.parametrize("name", ALL)


def function_of(name):
    family = next(family for family, names in FAMILIES.items() if name in names)
    return getattr(getattr(networks, family), name)


def without_dropout(name):
    options = inspect.signature(function_of(name)).parameters
    return {"dropout": 0.0} if "dropout" in options else {}


# --- what is there --------------------------------------------------------------------------------


def test_available():
    assert networks.available() == ALL
    for family, members in FAMILIES.items():
        assert networks.available(family) == members
    assert networks.available("NiN") == FAMILIES["nin"]
    with pytest.raises(ValueError, match=r'family must be .*"lenet", "alexnet", .*got "?.?lstm'):
        networks.available("lstm")


@pytest.mark.parametrize(
    ("name", "options", "size", "parameters", "millions"),
    [
        ("lenet5_1998", {}, None, 60_000, None),
        ("lenet", {}, None, 61_706, "0.416520"),
        ("alexnet_2012", {}, None, 60_965_224, "724.4"),
        ("alexnet", {}, None, 61_100_840, "714.2"),
        ("alexnet_d2l", {}, None, 46_764_746, "938.1"),
        ("alexnet_small", {}, None, 282_586, "7.197056"),
        ("vgg11", {}, None, 132_863_336, "7609"),
        ("vgg11_lrn", {}, None, 132_863_336, "7609"),
        ("vgg13", {}, None, 133_047_848, "11308"),
        ("vgg16_c", {}, None, 133_638_952, "11771"),
        ("vgg16", {}, None, 138_357_544, "15470"),
        ("vgg19", {}, None, 143_667_240, "19632"),
        ("vgg_d2l", {"divisor": 1}, None, 128_806_154, "7547"),
        ("vgg_d2l", {}, None, 43_093_322, "512.2"),
        ("vgg_d2l", {"image_size": 64}, None, 19_500_362, "57.3"),
        ("vgg_d2l", {"image_size": 32}, None, 17_927_498, "26.9"),
        ("nin_cifar10", {}, None, 966_986, "222.5"),
        ("nin_cifar10", {"ceil_mode": False}, None, 966_986, "200.4"),
        ("nin_imagenet", {}, None, 7_595_176, "1100"),
        ("nin_d2l", {}, None, 1_992_166, "762.3"),
        ("nin_d2l", {}, 112, 1_992_166, "157.3"),
        ("nin_d2l", {}, 96, 1_992_166, "108.0"),
        ("nin_d2l", {}, 67, 1_992_166, "53.9"),
        ("googlenet", {}, None, 6_998_552, "1582.7"),
        ("googlenet", {"auxiliary": True}, None, 13_378_280, None),
        ("googlenet_torchvision", {}, None, 6_624_904, "1498.4"),
        ("googlenet_torchvision", {"auxiliary": True}, None, 13_004_888, None),
        ("googlenet_d2l", {}, None, 5_977_530, "276.1"),
        ("googlenet_d2l", {}, 224, 5_977_530, "1503"),
        ("googlenet_d2l", {}, 64, 5_977_530, "122.7"),
        ("googlenet_d2l", {}, 32, 5_977_530, "30.7"),
        ("resnet18", {}, None, 11_689_512, "1814"),
        ("resnet34", {}, None, 21_797_672, "3664"),
        ("resnet50", {}, None, 25_557_032, "3858"),
        ("resnet50", {"stride_on": "3x3"}, None, 25_557_032, "4089"),
        ("resnet101", {}, None, 44_549_160, "7570"),
        ("resnet101", {"stride_on": "3x3"}, None, 44_549_160, "7801"),
        ("resnet152", {}, None, 60_192_808, "11282"),
        ("resnet152", {"stride_on": "3x3"}, None, 60_192_808, "11514"),
        ("resnet20", {}, None, 269_722, "40.6"),
        ("resnet20", {"shortcut": "B"}, None, 272_474, None),
        ("resnet32", {}, None, 464_154, "68.9"),
        ("resnet44", {}, None, 658_586, "97.2"),
        ("resnet56", {}, None, 853_018, "125.5"),
        ("resnet110", {}, None, 1_727_962, "252.9"),
        ("resnet110", {"width": 8, "in_channels": 1}, 14, None, "13.3"),
        ("plain20", {}, None, 269_722, "40.6"),
        ("plain32", {}, None, 464_154, "68.9"),
        ("plain44", {}, None, 658_586, "97.2"),
        ("plain56", {}, None, 853_018, "125.5"),
        ("plain110", {}, None, 1_727_962, "252.9"),
        ("resnet18_d2l", {}, None, 11_178_378, "318.7"),
        ("resnet18_d2l", {}, 224, 11_178_378, "1735"),
        ("resnet18_d2l", {}, 64, 11_178_378, "141.6"),
        ("resnet18_d2l", {}, 28, 11_178_378, "33.0"),
        ("mobilenet_v1", {}, None, 4_231_976, "568.7"),
        ("mobilenet_v1", {"width": 0.75}, None, 2_585_560, "325.4"),
        ("mobilenet_v1", {"width": 0.5}, None, 1_331_592, "149.5"),
        ("mobilenet_v1", {"width": 0.25}, None, 470_072, "41.0"),
        ("mobilenet_v1", {}, 192, 4_231_976, "418.1"),
        ("mobilenet_v1", {}, 160, 4_231_976, "290.7"),
        ("mobilenet_v1", {}, 128, 4_231_976, "186.4"),
        ("mobilenet_v1", {"width": 0.5}, 160, 1_331_592, "76.5"),
        ("mobilenet_v2", {"width": 1.4}, None, 6_108_776, "582.2"),
        ("mobilenet_v2", {}, None, 3_504_872, "300.8"),
        ("mobilenet_v2", {"width": 0.75}, None, 2_636_424, "209.1"),
        ("mobilenet_v2", {"width": 0.5}, None, 1_968_680, "97.1"),
        ("mobilenet_v2", {"width": 0.35}, None, 1_677_128, "59.3"),
        ("squeezenet", {}, None, 1_235_496, "349.2"),
        ("efficientnet_lite0", {}, None, 4_652_008, None),
    ],
)
def test_published_counts(name, options, size, parameters, millions):
    network = on_meta(name, **options)
    assert parameters is None or count(network) == parameters
    if millions:
        digits = len(millions.partition(".")[2])
        assert f"{macs(network, size) / 1e6:.{digits}f}" == millions


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_fit_a_cpu(name):
    network = on_meta(name)
    assert count(network) <= 2_000_000
    epochs = 9 if name == "nin_small" else 4  # at budget full, within 2e12 forward MACs
    assert macs(network) * epochs * 55_000 <= 2e12


CIFAR = ["nin_cifar10", *FAMILIES["resnet"][5:15]]
IMAGE_SIZES = {
    28: ["lenet", *(name for name in SMALL if name != "vgg_small")],
    32: ["lenet5_1998", "vgg_small", *CIFAR],
    96: ["googlenet_d2l", "resnet18_d2l"],
    227: ["alexnet_2012"],
}


@every_network
def test_name_channels_classes_and_size(name):
    network = on_meta(name)
    assert network.name == name and repr(network).startswith(f"{name}(")
    grey = name in FAMILIES["lenet"] or name.endswith(("_small", "_d2l"))
    assert network.in_channels == (1 if grey else 3)
    assert network.num_classes == (10 if grey or name in CIFAR else 1000)
    assert network.image_size == next((s for s in IMAGE_SIZES if name in IMAGE_SIZES[s]), 224)
    assert network(images_for(network, 2)).shape == (2, network.num_classes)


@every_network
def test_other_classes_and_channels(name):
    classes = 10 if name == "lenet5_1998" else 7
    network = on_meta(name, num_classes=classes, in_channels=2)
    assert network(images_for(network, 1)).shape == (1, classes)


@every_network
def test_parameters_come_in_the_order_of_the_layers(name):
    network, ran = on_meta(name), []
    for module in network.modules():
        if any(True for _ in module.parameters(recurse=False)):
            module.register_forward_hook(
                lambda module, *_: ran.extend(module.parameters(recurse=False))
            )
    network(images_for(network))
    assert all(a is b for a, b in zip(ran, network.parameters(), strict=True))


def test_dropout_is_an_option():
    for name in ALL:
        if without_dropout(name):
            rates = {layer.p for layer in of_kind(on_meta(name, dropout=0.125), nn.Dropout)}
            assert rates == {0.125}, name


# --- initialisation -------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", ["lenet", *FAMILIES["nin"][:3], *SMALL])
def test_initialisation_option(name):
    for how in ("torch", "xavier", "he"):
        torch.manual_seed(0)
        network = build(name, initialisation=how)
        layer = [m for m in of_kind(network, nn.Conv2d) if m.in_channels > 5][-1]
        fan_in, fan_out = layer.weight[0].numel(), layer.weight[:, 0].numel()
        variance = {"xavier": 2 / (fan_in + fan_out), "he": 2 / fan_in, "torch": 1 / 3 / fan_in}
        assert layer.weight.std().item() == pytest.approx(math.sqrt(variance[how]), rel=0.1)
    layers = of_kind(network, nn.Conv2d, nn.Linear)
    assert not any(layer.bias.any() for layer in layers if layer.bias is not None)
    with pytest.raises(ValueError, match=r'initialisation must be .*"torch", "xavier", "he"'):
        build(name, initialisation="glorot")


@every_network
def test_default_of_the_initialisation(name):
    function = function_of(name)
    option = inspect.signature(function).parameters.get("initialisation")
    from_he = name.startswith(("resnet", "plain")) and name != "resnet18_d2l"
    wanted = "he" if from_he or name == "alexnet_small" else "torch"
    assert option is None if name == "lenet5_1998" else option.default == wanted
    assert function.__name__ == name and function.__doc__


@pytest.mark.parametrize("name", ["lenet5_1998", "lenet", *FAMILIES["nin"][:3], *SMALL])
def test_same_seed_same_weights(name):
    drawn = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        drawn.append(torch.cat([p.detach().flatten() for p in build(name).parameters()]))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


# --- using them -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"initialisation": "he", "final_relu": False}) for name in FAMILIES["nin"]),
        *((name, {}) for name in ("lenet5_1998", "lenet", *SMALL) if name != "resnet_small"),
        ("resnet_small", {"zero_last_norm": False}),
        ("vgg_small", {"batch_norm": False, "initialisation": "he"}),
    ],
)
def test_gradients_reach_every_parameter(name, options):
    torch.manual_seed(0)
    network = build(name, **options, **without_dropout(name))
    images = images_for(network, 16, 67 if network.image_size == 224 else None)
    functional.cross_entropy(network(images), torch.arange(16) % network.num_classes).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        # batch norm subtracts any bias in front of it
        without_effect = (name, options) == ("vgg_small", {}) and "conv" in key and "bias" in key
        assert without_effect or parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize(
    ("name", "rate"),
    [("lenet5_1998", 0.003), ("lenet", 0.005), *((name, 0.003) for name in SMALL)],
)
def test_network_can_learn_twenty_images_by_heart(name, rate):
    torch.manual_seed(0)
    network = build(name, **without_dropout(name))
    images, labels = images_for(network, 20), torch.arange(20) % 10
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(60):
        optimizer.zero_grad()
        logits = network(images)
        functional.cross_entropy(logits, labels).backward()
        optimizer.step()
        right = (logits.argmax(dim=1) == labels).float().mean()
        if right >= 0.9:
            return
    pytest.fail(f"{right:.0%} are right")


@pytest.mark.parametrize("name", ["lenet5_1998", "lenet", *FAMILIES["nin"][:3], *SMALL])
def test_state_dict_and_pickle_round_trip(name, tmp_path):
    network = build(name).eval()
    images = images_for(network, 1)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    again = build(name).eval()
    again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    twin = pickle.loads(pickle.dumps(network))
    with torch.no_grad():
        wanted = network(images)
        assert torch.equal(again(images), wanted) and torch.equal(twin(images), wanted)
    assert (twin.name, twin.smallest_size) == (name, network.smallest_size)


@pytest.mark.parametrize("name", ["lenet5_1998", "lenet", "nin_small", "alexnet_small"])
def test_the_check_of_images_allows_tracing_and_autocast(name):
    network = build(name).eval()
    images = images_for(network, 2)
    with torch.no_grad():
        assert torch.equal(torch.fx.symbolic_trace(network)(images), network(images))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert network(images).shape == (2, 10)
        batch = torch.export.Dim("batch", min=2, max=1024)  # torch 2.6 wants an upper bound
        exported = torch.export.export(network, (images,), dynamic_shapes={"images": {0: batch}})
        assert exported.module()(images_for(network, 5)).shape == (5, 10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(dtype):
    assert build("lenet").to(dtype)(torch.randn(2, 1, 28, 28).to(dtype)).dtype == dtype


# --- what wrong input gets ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        *(("alexnet", {}, 63), ("nin_cifar10", {}, 4), ("nin_cifar10", {"ceil_mode": False}, 7)),
        *(("nin_imagenet", {}, 39), ("nin_imagenet", {"ceil_mode": False}, 67)),
        *(("nin_d2l", {}, 67), ("nin_small", {}, 3)),
        *(("googlenet", {}, 31), ("googlenet_torchvision", {}, 15), ("googlenet_small", {}, 8)),
        *(("squeezenet", {}, 17), ("efficientnet_lite0", {}, 1)),
        *((name, {}, 1) for name in ("googlenet_d2l", *FAMILIES["resnet"], *FAMILIES["mobilenet"])),
    ],
)
def test_smallest_size_is_the_smallest(name, options, size):
    network = on_meta(name, **options)
    assert network.smallest_size == size and not network.fixed_size
    assert network(images_for(network, 1, size)).shape == (1, network.num_classes)
    if size > 1:
        with pytest.raises(RuntimeError):  # without our check torch gives up one pixel below
            network.classifier(network.features(images_for(network, 1, size - 1)))
        for shape in ((size - 1, size), (size, size - 1)):
            message = rf"^{name} expects .* at least {size}x{size} pixels, but got {shape[0]}x"
            with pytest.raises(ValueError, match=f"{message}{shape[1]}: enlarge them.*\\.$"):
                network(torch.randn(1, network.in_channels, *shape))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("lenet", 28), ("lenet5_1998", 32), ("vgg_small", 32)),
        *(("alexnet_2012", 227), ("alexnet_d2l", 224), ("alexnet_small", 28)),
        *((name, 224) for name in FAMILIES["vgg"][:-1]),
    ],
)
def test_fixed_size_networks_say_which_size(name, size):
    network = on_meta(name)
    assert network.fixed_size and network.smallest_size == network.image_size == size
    for other in (size - 4, size + 5):
        message = rf"^{name} expects .*but got {other}x{other} .*resize them to {size}.*\.$"
        with pytest.raises(ValueError, match=message):
            network(images_for(network, 1, other))


SMALL_IMAGES = [
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
]


@pytest.mark.parametrize(
    ("name", "images", "error", "words"),
    [
        *(("lenet", *case) for case in SMALL_IMAGES),
        *(("nin_small", *case) for case in SMALL_IMAGES),
        ("alexnet_2012", torch.rand(3, 227, 227), ValueError, r"add the batch .*unsqueeze\(0\)"),
        ("alexnet_2012", torch.rand(1, 227, 227, 3), ValueError, r"permute\(0, 3, 1, 2\)"),
        ("alexnet_2012", torch.rand(1, 1, 227, 227), ValueError, r"with 1 channels: .*=1\)"),
    ],
)
def test_wrong_images_get_one_sentence(name, images, error, words):
    network = on_meta(name)
    with pytest.raises(error, match=words) as caught:
        network(images)
    message, size = str(caught.value), network.image_size
    wanted = f"{name} expects float images of shape (N, {network.in_channels}, {size}, {size})"
    assert message.startswith(wanted) and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("nin_smal", {}, ValueError, r"no network called 'nin_smal'; near it: nin_small"),
        ("LeNet", {}, ValueError, r"called 'LeNet'; near it: lenet"),
        ("VGG16", {}, ValueError, r"no network called 'VGG16'; near it: vgg16"),
        ("xyz", {}, ValueError, r"called 'xyz'; known: lenet5_1998, lenet, alexnet_2012"),
        ("lenet", {"dropout": 0.5}, TypeError, r"no option 'dropout'; its options are activat"),
        ("lenet5_1998", {"pooling": "max"}, TypeError, r"no option 'pooling'; it has none"),
        ("alexnet", {"groups": 2}, TypeError, r"no option 'groups'; its options are dropout"),
        ("vgg16", {"blocks": ("3",)}, TypeError, r"no option 'blocks'; its options are batch_n"),
        ("vgg11_lrn", {"batch_norm": True}, TypeError, r"no option 'batch_norm'; .* are dropout"),
        ("resnet18", {"stride_on": "1x1"}, TypeError, r"no option 'stride_on'; .* are shortcut"),
        ("plain20", {"shortcut": "A"}, TypeError, r"no option 'shortcut'; .* are width"),
        *(
            ("lenet", {"num_classes": value}, ValueError, r"num_classes must be a whole number of")
            for value in (0, -1, 2.0, True, "10")
        ),
        ("lenet", {"in_channels": 0}, ValueError, r"in_channels must be a whole number"),
        ("lenet5_1998", {"num_classes": 5}, ValueError, r"ten digits, but got num_classes=5: use"),
    ],
)
def test_wrong_arguments_of_build(name, options, error, words):
    with pytest.raises(error, match=words):
        build(name, **options)
