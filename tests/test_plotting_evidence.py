"""Class activation maps over images, and receptive fields: what is drawn is what was computed."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from utils import networks, plotting, summary
from utils.plotting.evidence import fields

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def draw_and_close():
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def test_titles_hold_peak_and_verdict():
    maps = torch.tensor([[[0.0, 12.34], [0, 0]], [[-3.0, -1.0], [-2, -2]]])
    figure = plotting.overlays(torch.rand(2, 1, 8, 8), maps, ["boot", "shirt"], right=[True, False])
    first, second = figure.axes[:2]
    assert first.get_title() == "✓ boot\npeak 12.3"
    assert second.get_title() == "✗ shirt\npeak −1.0"
    frames = [axis.spines["left"].get_visible() for axis in (first, second)]
    assert frames == [False, True]


def test_heat_is_where_the_map_is_high_and_clear_where_it_is_not_positive():
    map = torch.full((4, 4), -1.0)
    map[0, 3] = 5
    figure = plotting.overlays(torch.rand(1, 1, 8, 8), map[None])
    heat = figure.axes[0].images[1]
    values, alpha = heat.get_array(), heat.get_alpha()
    assert values.shape == (8, 8) and values[0, 7] == pytest.approx(1, abs=0.01)
    assert alpha[0, 7] > 0.5 and alpha[7, 0] == 0


def test_a_common_scale_compares_maps():
    maps = torch.stack([torch.ones(2, 2), 4 * torch.ones(2, 2)])
    for common, expected in ((False, [1, 1]), (True, [0.25, 1])):
        figure = plotting.overlays(torch.rand(2, 1, 4, 4), maps, common=common)
        heats = [float(axis.images[1].get_array().max()) for axis in figure.axes[:2]]
        assert heats == pytest.approx(expected)


def test_boxes_are_drawn_where_they_are():
    figure = plotting.overlays(
        torch.rand(1, 1, 9, 9), torch.rand(1, 3, 3), boxes=[(1, 2, 5, 8)], found=[(0, 0, 3, 3)]
    )
    drawn = [(p.get_bbox().bounds, p.get_linestyle()) for p in figure.axes[0].patches]
    assert ((0.5, 1.5, 4, 6), "--") in drawn and ((-0.5, -0.5, 3, 3), "-") in drawn


def measured(layers, image, position):
    """Rows and columns of the image that a unit depends on, by its gradient."""
    image = torch.ones_like(image[None], dtype=torch.float64, requires_grad=True)
    maps = image
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            weight = torch.ones_like(layer.weight, dtype=torch.float64)
            maps = nn.functional.conv2d(
                maps, weight, None, layer.stride, layer.padding, layer.dilation
            )
        else:
            k, s, p = layer.kernel_size, layer.stride, layer.padding
            maps = nn.functional.avg_pool2d(maps, k, s, p, layer.ceil_mode)
    row, column = (int(p * n) for p, n in zip(position, maps.shape[2:]))
    maps[0, 0, row, column].backward()
    return tuple(
        (int(places.min()), int(places.max()) + 1)
        for places in image.grad[0].sum(0).nonzero(as_tuple=True)
    )


CHAINS = [
    [nn.Conv2d(1, 1, 5, padding=2), nn.MaxPool2d(2), nn.Conv2d(1, 1, 5), nn.MaxPool2d(2)],
    [nn.Conv2d(1, 1, 5, 2, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(1, 1, 3)],
    [nn.Conv2d(1, 1, 3, dilation=2), nn.Conv2d(1, 1, (1, 3), padding="same"), nn.Conv2d(1, 1, 1)],
]


@pytest.mark.parametrize("position", [(0.5, 0.5), (0, 0), (0.99, 0.3)])
@pytest.mark.parametrize("chain", CHAINS)
def test_the_formula_gives_what_gradients_give(chain, position):
    image = torch.rand(1, 28, 28)
    for number, field in enumerate(fields(chain, image, position), start=1):
        assert (field.rows, field.columns) == measured(chain[:number], image, position)


@pytest.mark.parametrize("name", ["lenet", "alexnet_small", "vgg_small", "nin_small"])
def test_sizes_and_jumps_are_those_of_the_layer_table(name):
    model = networks.build(name)
    shape = (1, model.image_size, model.image_size)
    rows = [
        row
        for row in summary.table(model.features, shape).rows
        if row.kind in ("Conv2d", "MaxPool2d")
    ]
    seen = fields(model, torch.rand(shape))
    assert [(f.size, f.jump) for f in seen] == [(row.receptive_field, row.stride) for row in rows]


def test_the_square_and_its_label_are_the_field():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3, 2, padding=1))
    image = torch.rand(1, 12, 12)
    figure = plotting.receptive_field(network, image, position=(0, 0))
    axes = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in axes] == [
        "1. conv 3×3\n3×3 pixels",
        "2. conv 3×3, stride 2\n5×5 pixels,\n4×4 in the image",
    ]
    assert axes[1].patches[0].get_bbox().bounds == (-0.5, -0.5, 4, 4)


def test_without_a_kernel_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match=r"needs layers with a kernel, such as nn\.Conv2d"):
        plotting.receptive_field(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.rand(1, 2, 2))
