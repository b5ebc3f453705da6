"""Networks drawn from themselves: the boxes are what a forward pass and the layer table say."""

import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from utils import networks, plotting, summary
from utils.plotting.networks import short, stages

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def draw_and_close():
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def kinds(boxes):
    return [box.kind for box in boxes]


NETWORKS = (
    *("lenet5_1998", "lenet", "alexnet_small", "vgg_small", "nin_small", "googlenet_small"),
    *("resnet_small", "resnet50", "googlenet", "mobilenet_v1_small", "mobilenet_v2_small"),
)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_of_a_network_is_lost(name):
    model = networks.build(name)
    shape = (model.in_channels, model.image_size, model.image_size)
    boxes, table = stages(model, shape), summary.table(model, shape)
    assert sum(box.parameters for box in boxes) == table.parameters
    assert sum(box.macs for box in boxes) == table.macs
    joined = {box.shape for box in boxes if box.kind == "branches"}
    layers = {row.output_shape for row in table.rows} | {shape}
    assert {box.shape for box in boxes} - joined <= layers
    assert boxes[-1].shape == (model.num_classes,)


def test_the_drawing_writes_what_the_forward_pass_gives():
    model = networks.build("lenet")
    figure = plotting.network(model, (1, 28, 28))
    maps, expected = torch.zeros(1, 1, 28, 28), ["1×28×28"]
    for layer in (*model.features, *model.classifier):
        maps = layer(maps)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            expected.append("×".join(map(str, maps.shape[1:])))
    written = texts(figure)
    assert [text for text in written if text in expected] == expected
    assert "lenet: 61.7 k parameters, 417 k MACs" in written
    assert {"5×5", "max 2×2 /2", "linear", "2.42 k", "240 k"} <= set(written)


def test_the_names_of_the_rows_are_outside_the_boxes():
    """Below the input, readers took them for the parameters and MACs of the input."""
    figure = plotting.network(networks.build("resnet_small"), (1, 28, 28))
    figure.canvas.draw()
    places = [(text.get_text(), text.get_window_extent()) for text in figure.axes[0].texts]
    names = [place for text, place in places if text in ("parameters", "MACs")]
    first = min(place.x0 for text, place in places[1:] if "×" in text)  # [0] is the title
    assert len(names) == 4, "two in each of two rows"
    assert all(place.x0 >= 0 and place.x1 < first for place in names)
    without = plotting.network(networks.build("resnet_small"), (1, 28, 28), numbers=False)
    assert not {"parameters", "MACs"} & set(texts(without))


def test_a_network_without_numbers_is_drawn_too():
    with torch.device("meta"):
        model = networks.build("vgg16")
    boxes = stages(model, (3, 224, 224))
    assert [box.count for box in boxes if box.kind == "layers"] == [2, 2, 3, 3, 3]
    assert sum(box.parameters for box in boxes) == 138_357_544
    assert boxes[-4].shape == (512, 7, 7)


def test_pooling_down_to_one_pixel_is_global_only_where_it_averages_all():
    for layer, kind in ((nn.MaxPool2d(2), "pool"), (nn.AvgPool2d(2), "global")):
        assert kinds(stages(layer, (3, 2, 2))) == ["input", kind]


class Block(nn.Module):
    """A learner's own residual block."""

    def __init__(self, channels, out, stride=1):
        super().__init__()
        self.one = nn.Conv2d(channels, out, 3, stride, padding=1)
        self.two = nn.Conv2d(out, out, 3, padding=1)
        same = stride == 1 and channels == out
        self.beside = nn.Identity() if same else nn.Conv2d(channels, out, 1, stride)

    def forward(self, x):
        y = self.two(torch.relu(self.one(x)))
        y += self.beside(x)
        return torch.relu(y)


def test_equal_residual_blocks_are_one_stage():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), Block(8, 16, 2), Block(16, 16), Block(16, 16))
    boxes = stages(model, (3, 11, 11))
    assert kinds(boxes) == ["input", "layers", "residual"]
    assert (boxes[2].count, boxes[2].shape) == (3, (16, 5, 5))
    assert boxes[2].shortcuts == ["projection", "identity", "identity"]
    assert sum(box.parameters for box in boxes) == summary.count_parameters(model)
    written = texts(plotting.network(model, (3, 11, 11)))
    assert {"×3", "(first /2)", "16×5×5"} <= set(written)


def test_a_chain_is_no_residual_block():
    layers = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)]
    assert kinds(stages(nn.Sequential(*layers), (4, 8, 8))) == ["input", "layers"]


class Functional(nn.Module):
    """Everything that can be called without a layer is."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 1), nn.Conv2d(1, 6, 3, padding=1)
        self.deep, self.point = nn.Conv2d(10, 10, 3, groups=10), nn.Conv2d(10, 12, 1)
        self.norm, self.last = nn.BatchNorm2d(12), nn.Linear(12, 5)

    def forward(self, x):
        x = torch.cat([self.one(x), self.two(x)], dim=1)
        x = nn.functional.max_pool2d(x, 3, 2)
        x = self.norm(self.point(self.deep(x))).relu()
        return self.last(x.mean(dim=(2, 3)))


def test_functional_calls_are_seen_and_the_model_stays_as_it_was():
    model = Functional().train()
    boxes = stages(model, (1, 13, 13))
    assert kinds(boxes) == ["input", "branches", "pool", "layers", "global", "linear"]
    shapes = [(1, 13, 13), (10, 13, 13), (10, 6, 6), (12, 4, 4), (12,), (5,)]
    assert [box.shape for box in boxes] == shapes
    assert [step.kind for step in boxes[3].branches[0]] == ["depthwise", "1x1"]
    assert sum(box.parameters for box in boxes) == summary.count_parameters(model)
    assert model.training and not model._forward_hooks


class Filled(nn.Module):
    """Two branches whose maps are joined with `torch.cat`, or written into one tensor."""

    def __init__(self, cat, in_channels=3):
        super().__init__()
        self.cat = cat
        self.one = nn.Conv2d(in_channels, 4, 1)
        self.two = nn.Sequential(nn.Conv2d(in_channels, 2, 1), nn.Conv2d(2, 6, 3, padding=1))

    def forward(self, x):
        parts = self.one(x), self.two(x)
        if self.cat:
            return torch.cat(parts, dim=1)
        joined, start = x.new_empty(len(x), 10, *x.shape[2:]), 0
        for part in parts:
            joined[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        return joined


@pytest.mark.parametrize("more", [[], [nn.ReLU()], [nn.ReLU(inplace=True), nn.MaxPool2d(2)]])
def test_branches_written_into_one_tensor_are_drawn_as_those_of_cat(more):
    def facts(cat):
        model = nn.Sequential(Filled(cat), Filled(cat, 10), *more, nn.AdaptiveAvgPool2d(1))
        boxes = stages(model, (3, 8, 8))
        assert sum(box.parameters for box in boxes) == summary.count_parameters(model)
        return [(b.kind, b.shape, b.pattern, b.parameters, b.macs, b.count) for b in boxes]

    assert facts(cat=False) == facts(cat=True)
    assert [kind for kind, *_ in facts(cat=True)][1] == "branches"


def test_maps_in_a_frame_written_by_hand_come_from_the_layer_before():
    class Framed(nn.Module):
        def forward(self, x):
            framed = torch.zeros(len(x), 4, 10, 10)
            framed[:, :, 1:-1, 1:-1] = x
            return framed

    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Framed(), nn.Conv2d(4, 5, 3))
    assert [box.shape for box in stages(model, (3, 8, 8))][-1] == (5, 8, 8)
    assert kinds(stages(model, (3, 8, 8)))[:2] == ["input", "layers"]


def test_long_networks_take_several_rows_and_no_box_is_lost():
    model = nn.Sequential(*(nn.Conv2d(n, n + 1, 3, padding=1) for n in range(1, 18)))
    written = texts(plotting.network(model, (1, 6, 6), per_row=5))
    assert [f"{n}×6×6" for n in range(1, 19)] == [text for text in written if "×6×6" in text]


def test_the_height_follows_the_side_of_the_maps():
    model = nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2))
    figure = plotting.network(model, (1, 32, 32), numbers=False)
    fronts = [p for p in figure.axes[0].patches if type(p) is plt.Rectangle]
    heights = [front.get_height() for front in fronts]
    assert heights == pytest.approx([heights[0] / math.sqrt(2**n) for n in range(3)])


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (9995, "10.0 k"), (61_706, "61.7 k"), (999_999, "1.00 M")],
)
def test_numbers_are_short(number, text):
    assert short(number) == text


def test_drawings_beside_each_other_have_bars_on_one_scale():
    def longest(figure):
        bars = [p for p in figure.axes[0].patches if getattr(p, "get_height", lambda: 0)() == 0.045]
        return max(bar.get_width() for bar in bars)

    large, small = nn.Sequential(nn.Conv2d(8, 80, 1)), nn.Sequential(nn.Conv2d(8, 8, 1))
    alone = longest(plotting.network(small, (8, 6, 6)))
    beside = longest(plotting.network(small, (8, 6, 6), beside=[large, small]))
    assert alone == longest(plotting.network(large, (8, 6, 6), beside=[large, small]))
    assert beside == pytest.approx(alone / 10)


def test_layers_with_weights_have_their_names_above_the_box():
    with torch.device("meta"):
        alexnet = networks.build("alexnet_2012")
    figure = plotting.network(alexnet, (3, 227, 227), numbers=False, names=True)
    above = texts(figure)
    named = ["conv1: 11×11 /4", "conv2: 5×5", "conv3: 3×3", "conv4: 3×3", "conv5: 3×3"]
    assert {text for text in above if "conv" in text} == set(named)
    assert {"fc6: linear", "fc7: linear", "fc8: linear", "max 3×3 /2"} <= set(above)
    plain = texts(plotting.network(alexnet, (3, 227, 227), numbers=False))
    assert not any("conv" in text for text in plain)


def test_the_legend_explains_every_stride():
    with torch.device("meta"):
        figures = {
            name: plotting.network(networks.build(name), (3, side, side))
            for name, side in (("alexnet_2012", 227), ("vgg16", 224))
        }
    legends = {
        name: [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        for name, figure in figures.items()
    }
    assert "/2: with stride 2, /4: with stride 4" in legends["alexnet_2012"]
    assert "/2: with stride 2" in legends["vgg16"]
