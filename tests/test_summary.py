"""The layer table against torchvision's published counts, torch's counter and the gradient."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from utils import summary
from utils.networks import build


class Branches(nn.Module):
    """Two ways to the same sum, a skip, and functional calls: no layer order tells the story."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(4, 4, 1)
        self.wide = nn.Sequential(nn.Conv2d(4, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 4, (1, 7)))
        self.head = nn.Conv2d(8, 5, 3)

    def forward(self, x):
        x = torch.tanh(self.stem(x))
        x = x[..., 3:-3] + self.wide(functional.pad(x, (0, 0)))
        x = torch.cat([self.narrow(x), functional.max_pool2d(x, 3, 1, 1)], dim=1)
        return self.head(x)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.layer(torch.relu(self.layer(x)))


class Own(nn.Module):
    """Parameters and products of its own, next to a child."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.weight = nn.Parameter(torch.ones(4, 3, 3, 3))
        self.child = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return functional.conv2d(self.scale * self.child(x), self.weight)


class Functional(nn.Module):
    """As in many tutorials: pooling is a call, and its stride is left out."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        return functional.avg_pool2d(functional.relu(self.conv2(x)), 2)


# --- counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "googlenet", "resnet18", "mobilenet_v2"])
def test_torchvision_publishes_the_same_counts(name):
    meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):  # shapes only: nothing is drawn and nothing computed
        model = torchvision.models.get_model(name, weights=None, **options)
    table = summary.table(model, (3, 224, 224))
    assert table.parameters == meta["num_params"] == summary.count_parameters(model)
    assert sum(row.parameters for row in table.rows) == table.parameters
    assert round(table.macs / 1e9, 3) == meta["_ops"]


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Conv2d(6, 9, 3, stride=2, padding=1, groups=3), (6, 11, 8)),
        (nn.Conv2d(4, 4, 3, dilation=2, groups=4, bias=False), (4, 9, 9)),
        (nn.Conv2d(192, 32, 1), (192, 28, 28)),
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 7), nn.Linear(7, 2, bias=False)), (3, 4, 4)),
        (Branches(), (3, 40, 40)),
        (Twice(), (3, 10, 10)),
        (Own(), (3, 10, 10)),
        (build("lenet5_1998"), (1, 32, 32)),
        (build("lenet"), (1, 28, 28)),
        (build("nin_small"), (1, 28, 28)),
        (build("nin_d2l"), (1, 67, 67)),
    ],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_macs_are_half_of_torchs_flops(model, shape):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, *shape))
    assert summary.count_macs(model, shape) == counter.get_total_flops() // 2 > 0


def test_worked_examples():
    assert summary.count_macs(nn.Conv2d(192, 32, 1), (192, 28, 28)) == 4_816_896
    assert summary.count_parameters(nn.Conv2d(192, 32, 1)) == 6_176
    assert summary.count_macs(nn.Conv2d(50, 20, 1), (50, 200, 200)) == 40_000_000
    depthwise, pointwise = nn.Conv2d(3, 3, 3, groups=3, bias=False), nn.Conv2d(3, 5, 1, bias=False)
    separable = nn.Sequential(depthwise, pointwise)
    assert [row.macs for row in summary.table(separable, (3, 6, 6)).rows] == [432, 240]
    assert summary.count_parameters(separable) == 42


def test_layers_called_twice_shared_and_idle():
    table = summary.table(Twice(), (3, 10, 10))
    rows = [(row.name, row.parameters, row.macs) for row in table.rows]
    assert rows == [("layer", 84, 8100), ("layer", 0, 8100)]
    assert (table.parameters, table.macs) == (84, 16_200)

    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    model = nn.Sequential(nn.Flatten(), tied)
    assert [row.parameters for row in summary.table(model, (1, 2, 2)).rows] == [0, 20, 4]
    assert summary.count_parameters(model) == 24

    model.idle = nn.Linear(2, 2)
    model.forward = lambda x: model[1](model[0](x))
    table = summary.table(model, (1, 2, 2))
    assert table.parameters == 30 and sum(row.parameters for row in table.rows) == 24
    words = "6 of the parameters belong to layers that did not run."
    assert str(table).endswith(words) and words in table._repr_html_()


def test_parameters_and_products_of_a_module_with_children():
    rows = summary.table(Own(), (3, 10, 10)).rows
    counts = {row.name: (row.parameters, row.macs) for row in rows}
    assert counts == {"child": (12, 900), "(model)": (3 + 108, 64 * 108)}
    table = summary.table(build("lenet5_1998"), (1, 32, 32))
    counts = {row.name: row.parameters for row in table.rows}
    assert (counts["features.s2"], counts["features.c3"], table.parameters) == (12, 1516, 60_000)


# --- rows -----------------------------------------------------------------------------------------


LENET = """
layer                   kind       output shape  parameters     MACs  receptive field  stride
---------------------------------------------------------------------------------------------
features.conv1          Conv2d     6 x 28 x 28          156  117,600            5 x 5       1
features.activation1    ReLU       6 x 28 x 28                                  5 x 5       1
features.pool1          MaxPool2d  6 x 14 x 14                                  6 x 6       2
features.conv2          Conv2d     16 x 10 x 10       2,416  240,000          14 x 14       2
features.activation2    ReLU       16 x 10 x 10                               14 x 14       2
features.pool2          MaxPool2d  16 x 5 x 5                                 16 x 16       4
classifier.flatten      Flatten    400                                        16 x 16       4
classifier.linear1      Linear     120               48,120   48,000      whole image
classifier.activation3  ReLU       120                                    whole image
classifier.linear2      Linear     84                10,164   10,080      whole image
classifier.activation4  ReLU       84                                     whole image
classifier.linear3      Linear     10                   850      840      whole image
---------------------------------------------------------------------------------------------
total                                                61,706  416,520
"""


def test_text_of_lenet():
    assert str(summary.table(build("lenet"), (1, 28, 28))) == LENET.strip()


def test_table_is_the_same_every_time_and_in_every_form():
    network = build("nin_small")
    first, again = (summary.table(network, shape) for shape in ((1, 28, 28), (64, 1, 28, 28)))
    assert first == again and repr(first) == str(again)
    page = first._repr_html_()
    assert page == again._repr_html_()
    for row in first.rows:
        for cell in row.cells():
            assert cell in str(first) and f">{cell}</td>" in page
    odd = nn.Sequential()
    odd.add_module("<b>", nn.Conv2d(1, 1, 1))
    assert "&lt;b&gt;" in summary.table(odd, (1, 2, 2))._repr_html_()


def test_depth_groups_layers():
    network = build("nin_small")
    full = summary.table(network, (1, 28, 28))
    blocks = summary.table(network, (1, 28, 28), depth=2)
    parts = (*network.features.named_children(), *network.classifier.named_children())
    assert [row.name.split(".")[1] for row in blocks.rows] == [name for name, _ in parts]
    for row in blocks.rows:
        inside = [r for r in full.rows if f"{r.name}.".startswith(f"{row.name}.")]
        assert row.macs == sum(r.macs for r in inside)
        assert row.parameters == sum(r.parameters for r in inside)
        last = inside[-1].output_shape, inside[-1].receptive_field
        assert (row.output_shape, row.receptive_field) == last
    assert (blocks.macs, blocks.parameters) == (full.macs, full.parameters)
    (whole,) = summary.table(network, (1, 28, 28), depth=0).rows
    assert (whole.name, whole.macs, whole.parameters) == ("(model)", full.macs, full.parameters)


def test_the_model_is_left_as_it_was():
    network = build("nin_small").train()
    network.features.pool1.eval()  # somebody froze one layer
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    summary.table(network, (1, 28, 28))
    summary.receptive_field(network, (1, 28, 28), "features.mlpconv3")
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training and network.features.mlpconv1.training
    assert not network.features.pool1.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    with pytest.raises(ValueError, match="at least 3x3 pixels"):
        summary.table(network, (1, 2, 2))
    assert network.training and not network.features.pool1.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_lazy_layers_other_precisions_and_compiled_models():
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    assert summary.table(lazy, (1, 5, 5)).parameters == 40 + 74
    assert summary.count_macs(nn.Conv2d(1, 1, 3).double(), (1, 5, 5)) == 81
    network = build("lenet")
    assert summary.table(torch.compile(network), (1, 28, 28)) == summary.table(network, (1, 28, 28))


# --- receptive fields -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer", "field", "stride"),
    [("alexnet", "features.12", 195, 32), ("vgg16", "features.30", 212, 32)],
)
def test_known_receptive_fields(name, layer, field, stride):
    with torch.device("meta"):
        model = getattr(torchvision.models, name)()
    rows = {row.name: row for row in summary.table(model, (3, 224, 224)).rows}
    assert rows[layer].receptive_field == (field, field) and rows[layer].stride == (stride, stride)
    assert rows["avgpool"].receptive_field == (field, field)  # 7x7 to 7x7: nothing is averaged
    linear = [row for row in rows.values() if row.kind == "Linear"]
    assert len(linear) == 3 and all(row.receptive_field is None for row in linear)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Conv2d(2, 3, 1), (2, 9, 9)),
        (nn.Conv2d(2, 4, (3, 5), stride=(2, 1), padding=1, groups=2), (2, 15, 15)),
        (nn.Sequential(nn.Conv2d(1, 2, 3, dilation=3), nn.AvgPool2d(2)), (1, 20, 20)),
        (nn.Sequential(nn.MaxPool2d(3), nn.Conv2d(1, 1, 3), nn.MaxPool2d(3, 2)), (1, 60, 60)),
        (nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.AdaptiveAvgPool2d(5)), (1, 41, 41)),
        (Branches(), (3, 60, 60)),
        (Twice(), (3, 15, 15)),
        (Functional(), (1, 30, 30)),
        (build("nin_small").features, (1, 64, 64)),
        (build("nin_cifar10").features.mlpconv1, (3, 32, 32)),
        (torchvision.models.resnet18().layer1, (64, 30, 30)),
        (torchvision.models.mobilenet_v2().features[:5], (3, 64, 64)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_formula_agrees_with_the_gradient(model, shape):
    by_formula = summary.table(model, shape, depth=0).rows[-1].receptive_field
    assert max(by_formula) < min(shape[1:]), "the image must be larger, or its border cuts"
    assert summary.receptive_field(model, shape) == by_formula


class Largest(nn.Module):
    """One position has the largest value; equal ones would share the gradient of `amax`."""

    def __init__(self, largest):
        super().__init__()
        self.features, self.largest = nn.Conv2d(1, 2, 3, padding=1), largest

    def forward(self, x):
        maps = self.features(x)
        ramp = torch.linspace(1, 2, maps[0, 0].numel()).view_as(maps[0, 0])
        return self.largest(maps * ramp)


@pytest.mark.parametrize(
    "largest",
    [
        nn.AdaptiveMaxPool2d(1),
        lambda x: functional.adaptive_max_pool2d(x, output_size=(1, 1)),
        lambda x: x.amax((2, 3)),
        lambda x: torch.amax(x, dim=(2, 3), keepdim=True),
    ],
)
def test_a_maximum_over_all_positions_sees_all_of_the_image(largest):
    assert summary.receptive_field(Largest(largest), (1, 16, 20)) == (16, 20)


def test_adaptive_max_pooling_to_a_map_sees_what_average_pooling_sees():
    for pool in (nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d):
        assert summary.receptive_field(Largest(pool(5)), (1, 40, 40)) == (10, 10)


def test_receptive_field_of_layers_by_name_and_by_module():
    network = build("nin_d2l")
    table = {row.name: row for row in summary.table(network, (1, 224, 224), depth=2).rows}
    for name, field in (("features.mlpconv1", 11), ("features.pool2", 67)):
        assert table[name].receptive_field == (field, field)
        assert summary.receptive_field(network, (1, 224, 224), name) == (field, field)
    block = network.features.mlpconv1
    assert summary.receptive_field(network, (1, 67, 67), block) == (11, 11)
    assert table["classifier.average"].receptive_field is None
    assert summary.receptive_field(build("lenet"), (1, 28, 28)) == (28, 28)
    assert summary.receptive_field(build("lenet5_1998"), (1, 32, 32)) == (32, 32)
    for unknown in ("features.nothing", nn.ReLU()):
        with pytest.raises(ValueError, match="The model has no layer"):
            summary.receptive_field(network, (1, 67, 67), unknown)


def test_zero_weights_do_not_hide_the_receptive_field():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 1, 3))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    assert summary.receptive_field(model, (1, 12, 12)) == (5, 5)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=(-2, -1))


class PerPixel(nn.Module):
    """A linear layer on the channels of each position is a 1x1 convolution and sees no further."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x):
        return self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("layers", "field"),
    [
        ([nn.AdaptiveAvgPool2d(1)], None),
        ([nn.AdaptiveMaxPool2d(1)], None),
        ([Mean()], None),
        ([Mean(), nn.Linear(3, 2)], None),
        ([nn.Flatten(), nn.Linear(108, 2), nn.ReLU()], None),
        ([nn.Flatten()], (3, 3)),
        ([PerPixel()], (3, 3)),
    ],
)
def test_when_a_unit_sees_the_whole_image(layers, field):
    model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), *layers)
    assert summary.table(model, (3, 6, 6)).rows[-1].receptive_field == field
    if isinstance(layers[-1], PerPixel):
        assert summary.receptive_field(model, (3, 6, 6)) == field


# --- wrong input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(28, 28), (1, 28), (1, 1, 1, 28, 28), (1, 28.0, 28), (1, 0, 5)])
def test_wrong_input_shapes(shape):
    with pytest.raises(ValueError, match=r"input_shape must be \(channels, height, width\)"):
        summary.table(build("lenet"), shape)


def test_transposed_convolution_is_refused():
    with pytest.raises(NotImplementedError, match="transposed"):
        summary.table(nn.ConvTranspose2d(1, 1, 2, 2), (1, 4, 4))
