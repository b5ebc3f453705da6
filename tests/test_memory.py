"""utils.topics.memory against sums that can be written down, and against torch's own profiler."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile

from utils.networks import build
from utils.topics import memory

X = torch.ones(100)


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (lambda x: x + 1, 100),
        (lambda x: (x + 1) + 1, 200),  # a result, and what it is made of
        (lambda x: ((x + 1) + 1) + 1, 200),  # the first is gone by then
        (lambda x: (x + 1).add_(1).mul_(2), 100),  # in place
        (lambda x: (x + 1).view(10, 10).t()[2:], 100),  # views
        (lambda x: x[5:], 0),
        (lambda x: torch.cat([x, x, x]), 300),
        (lambda x: [x + 1, x + 2, x + 3], 300),  # all kept
        (lambda x: sum((x + i).sum() for i in range(5)), 102),
        (lambda x: x.split(50), 0),
    ],
)
def test_what_is_alive(function, values):
    assert memory.peak(function, X).values == values


def test_bytes_and_the_largest():
    found = memory.peak(lambda x: (torch.cat([x, x]).double() + 1, x.to(torch.int8)), X)
    assert found.largest == 200
    # float32 and float64 side by side, then two float64 and the int8 beside one of them
    assert found.bytes == max(200 * 4 + 200 * 8, 200 * 8 * 2, 200 * 8 + 100)


def test_a_network_is_left_as_it_was_and_nothing_is_recorded():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    network[1].eval()
    modes = [m.training for m in network.modules()]
    maps = torch.randn(2, 1, 6, 6, requires_grad=True)
    memory.peak(network, maps)
    assert [m.training for m in network.modules()] == modes and maps.grad is None
    assert network(maps).requires_grad


def test_weights_and_inputs_do_not_count():
    linear = nn.Linear(1000, 3)
    assert memory.peak(linear, torch.randn(2, 1000)).values == 6


def test_errors_come_through_and_leave_nothing_behind():
    with pytest.raises(RuntimeError):
        memory.peak(lambda x: x.reshape(7), X)
    assert memory.peak(lambda x: x + 1, X).values == 100


@pytest.mark.parametrize(("name", "channels"), [("mobilenet_v1", 64), ("mobilenet_v2", 96)])
def test_largest_tensor_of_the_mobilenets_without_computing(name, channels):
    with torch.device("meta"):
        network = build(name).eval()
    found = memory.peak(network, torch.empty(1, 3, 224, 224, device="meta"))
    assert found.largest == channels * 112**2  # 802,816 and 1,204,224
    assert 2 * found.largest < found.values < 3.01 * found.largest


def test_against_the_profiler(tmp_path):
    """What torch's allocator hands out, where no operation takes scratch memory."""

    def function(x):
        for width in (300, 20, 500, 4):
            x = F.relu(x @ torch.ones(x.shape[1], width))
        return x

    x = torch.randn(64, 64)
    with torch.no_grad():
        function(x)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            result = function(x)
    del result
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    events = sorted(
        (e for e in trace["traceEvents"] if e.get("name") == "[memory]"), key=lambda e: e["ts"]
    )
    living = most = 0
    for event in events:
        living += event["args"]["Bytes"]
        most = max(most, living)
    found = memory.peak(function, x).bytes
    assert found <= most <= 1.05 * found
