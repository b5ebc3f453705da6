"""The meter of the capstone against counts that are not its own, and the limits and the bar."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from utils import networks, results, summary
from utils.topics import capstone
from utils.topics.network_tables import SMALL


class Functional(nn.Module):
    """A function of images as a module; `numbers` become its attributes as they are."""

    def __init__(self, forward, **numbers):
        super().__init__()
        for name, value in numbers.items():
            setattr(self, name, value)
        self.function = forward

    def forward(self, images):
        return self.function(self, images)


def parameter(*shape):
    return nn.Parameter(torch.randn(shape))


@pytest.mark.parametrize("name", SMALL)
def test_ordinary_networks_are_counted_as_torch_counts_them(name):
    network = networks.build(name)
    shape = (1, network.image_size, network.image_size)
    cost = capstone.measure(network, shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, *shape))
    assert 2 * cost.macs == counter.get_total_flops()
    assert cost.parameters == summary.count_parameters(network)
    assert cost.hidden == 0 and not cost.uncounted


def unfolded(module, images):
    """A convolution as a product that is larger than both factors."""
    patches = F.unfold(images, 3, padding=1)[:, None]
    return (patches * module.w[None, :, :, None]).sum(2)


@pytest.mark.parametrize(
    ("network", "parameters", "macs"),
    [
        (Functional(lambda m, x: F.conv2d(x, m.w, padding=1), w=parameter(4, 1, 3, 3)), 36, 28_224),
        # weights in a list, where parameters() does not see them
        (Functional(lambda m, x: F.conv2d(x, m.w[0]), w=[torch.randn(4, 1, 3, 3)]), 36, 24_336),
        (Functional(unfolded, w=parameter(4, 9)), 36, 28_224),
        # a depthwise convolution, shift by shift
        (
            Functional(
                lambda m, x: sum(w * x.roll(k, 3) for k, w in enumerate(m.w)), w=parameter(9)
            ),
            9,
            9 * 784,
        ),
        (
            Functional(lambda m, x: torch.einsum("nchw,kc->nkhw", x, m.w), w=parameter(5, 1)),
            5,
            3920,
        ),
        # a transposed convolution: every input meets every weight
        (nn.ConvTranspose2d(1, 2, 3, stride=2, bias=False), 18, 18 * 784),
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), 7850, 7840),
        (nn.Sequential(nn.BatchNorm2d(1), nn.ReLU(), nn.Hardswish(), nn.Dropout()), 2, 0),
        (Functional(lambda m, x: x * x.sigmoid()), 0, 0),
    ],
)
def test_disguises_are_counted(network, parameters, macs):
    cost = capstone.measure(network)
    assert (cost.parameters, cost.macs) == (parameters, macs)


def test_hidden_numbers_are_told_apart():
    network = Functional(lambda m, x: x.flatten(1) @ m.kept[0] + m.own, own=parameter(10))
    network.kept = [torch.randn(784, 10)]
    assert capstone.measure(network).hidden == 7840
    assert capstone.measure(network).parameters == 7850


def test_the_dearer_mode_counts():
    network = Functional(
        lambda m, x: m.linear(x.flatten(1)) if m.training else x.flatten(1)[:, :10]
    )
    network.linear = nn.Linear(784, 10)
    assert capstone.measure(network.eval()).macs == 7840
    assert not network.training


def test_measuring_leaves_frozen_layers_frozen():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    network.train()
    network[1].eval()
    capstone.measure(network)
    assert [module.training for module in network] == [True, False, True]
    network.append(nn.Linear(3, 3))  # does not fit
    with pytest.raises(RuntimeError):
        capstone.measure(network)
    assert [module.training for module in network] == [True, False, True, True]


def test_what_cannot_be_counted_is_named():
    cost = capstone.measure(Functional(lambda m, x: torch.fft.rfft2(x).abs()))
    assert any("fft" in name for name in cost.uncounted)


def test_the_courses_own_network_keeps_within_the_limits():
    cost = capstone.measure(capstone.own_network())
    assert cost.macs <= capstone.LIMITS["macs"]
    assert cost.parameters <= capstone.LIMITS["parameters"]


def test_the_bar_lies_between_careless_designs_and_the_courses_own():
    stored = results.load("capstone.json")
    assert stored["limits"] == capstone.LIMITS
    for name, recipe in capstone.RECIPES.items():
        found = stored["recipes"][name]
        assert found["recipe"] == recipe
        assert len(found["designs"]["own"]["accuracy"]["runs"]) >= 10
        assert found["bar"] < found["worst_own"]
    assert stored["recipes"]["cpu"]["best_careless"] < stored["recipes"]["cpu"]["bar"]
