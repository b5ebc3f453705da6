"""utils.topics.layers: the order of calls, MACs and times by kind of layer."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from utils import networks, results, summary
from utils.topics import layers


def network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 4, 1)),
        nn.AdaptiveAvgPool2d(1),
    )


def test_calls_are_in_order_with_what_layers_get_and_give():
    model, images = network(), torch.randn(2, 3, 5, 5)
    found = layers.calls(model, images)
    assert [layers.kind(call.layer) for call in found] == (
        ["full 3x3", "batch norm", "ReLU", "depthwise", "1x1", "rest"]
    )
    assert found[0].input is images
    assert all(a.output is b.input for a, b in pairwise(found))
    assert not any(layer._forward_hooks for layer in model.modules())


def test_macs_by_kind_add_up():
    with torch.device("meta"):
        model = networks.build("mobilenet_v1")
    found = layers.macs(model, (3, 224, 224))
    assert round(sum(found.values()) * 1e6) == summary.count_macs(model, (3, 224, 224))
    assert round(found["depthwise"] / sum(found.values()), 4) == 0.0306  # Table 2 of the paper


def test_times_of_every_kind_and_threads_as_before():
    threads = torch.get_num_threads()
    found = layers.fastest({"a": network(), "b": network()}, torch.randn(1, 3, 8, 8), rounds=2)
    assert list(found) == ["a", "b"]
    assert set(found["a"]) == {"full 3x3", "batch norm", "ReLU", "depthwise", "1x1", "rest"}
    assert all(value >= 0 for value in found["b"].values())
    assert torch.get_num_threads() == threads


def test_time_of_a_call_is_the_mean_without_the_first(monkeypatch):
    threads, seen = torch.get_num_threads(), []
    times = iter([2.0, 2.5])
    monkeypatch.setattr(layers, "clock", lambda: next(times))
    found = layers.milliseconds_a_call(
        lambda images: seen.append((images.sum().item(), torch.get_num_threads())),
        torch.ones(2, 3),
        calls=5,
    )
    assert found == pytest.approx(100)
    assert seen == [(6.0, 1)] * 6
    assert torch.get_num_threads() == threads


def test_divided_of_all_kinds_and_of_some():
    found = {"a": {"1x1": 6.0, "ReLU": 2.0}, "b": {"1x1": 3.0, "depthwise": 1.0}}
    assert layers.divided(found, "a", "b") == 2
    assert layers.divided(found, "a", "b", ["1x1"]) == 2
    assert layers.divided(found, "a", "b", ["1x1", "depthwise"]) == 1.5


def test_stored_factors_are_those_of_which_chapter_9_speaks():
    found = layers.stored_factors(results.load("mobilenet.json"))
    assert 2 < found["small network: a training step"] < found["small network: MACs"] - 5
    time, folded = found["full 3×3 to v1: time"], found["- batch norm folded"]
    assert 4.5 < time < folded < 6 < found["- convolutions alone"] < 7.5
    assert found["full 3×3 to v1: MACs"] == pytest.approx(8.56, abs=0.01)
    assert found["v1 to v2: time"] < 1.1 < 1.6 < found["- in onnxruntime"] < found["v1 to v2: MACs"]


@pytest.mark.parametrize(
    ("name", "width", "pixels", "most"),
    [
        ("mobilenet_v1", 1, 224, (32 + 64) * 112**2),
        ("mobilenet_v1", 0.25, 96, (8 + 16) * 48**2),
        ("mobilenet_v2", 1, 224, 96 * 112**2 + 96 * 56**2),
    ],
)
def test_input_and_output_of_one_convolution(name, width, pixels, most):
    """As chapter 9 counts RAM. No block with a shortcut needs as much, its input included."""
    with torch.device("meta"):
        model = networks.build(name, width=width)
        found = layers.calls(model, torch.empty(1, 3, pixels, pixels))
    found = [call for call in found if isinstance(call.layer, nn.Conv2d)]
    assert max(call.input.numel() + call.output.numel() for call in found) == most
    if name == "mobilenet_v2":
        assert most > (24 + 144 + 144) * 56**2
