"""The figures of chapter 10 show what they are given."""

import matplotlib.pyplot as plt
import pytest
import torch

from utils.pictures import choosing
from utils.topics import network_tables


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_equal_networks_share_a_place():
    columns = ("accuracy", "parameters", "macs", "one_ms", "training_minutes")
    numbers = {"lenet": (0.9, 1, 1, 1, 1), "vgg": (0.9, 2, 2, 2, 2), "nin": (0.8, 3, 3, 3, 3)}
    table = {name: dict(zip(columns, row)) for name, row in numbers.items()}
    axis = choosing.opening(table).axes[0]
    first_column = [text.get_text() for text in axis.texts if text.get_position()[0] == 0]
    assert sorted(first_column) == ["1", "1", "3"]


def test_tosses_show_the_lead_and_all_tosses():
    leads = torch.tensor([-0.2, 0.0, 0.0, 0.2])
    axis = choosing.tosses(leads, measured=1.0, band=0.3).axes[0]
    assert sum(bar.get_height() for bar in axis.containers[0]) == 4
    assert list(axis.lines[-1].get_xdata()) == [1.0, 1.0]
    low, high = axis.get_xlim()
    assert low < -1 and high > 1


def test_twice_draws_both_medians():
    first, second = {"a": [1.0, 2.0, 9.0]}, {"a": [-1.0, 0.5, 3.0]}
    axis = choosing.twice(first, second, band=0.6).axes[0]
    assert [list(line.get_xdata()) for line in axis.lines[-2:]] == [[2.0], [0.5]]


def test_photographs_blacken_the_front_only():
    rows = network_tables.photographs()
    axis = choosing.photographs(rows, ["efficientnet_b0", "efficientnet_b4"]).axes[0]
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert len(dots) == len(rows)
    assert sum(line.get_markerfacecolor() == "black" for line in dots) == 2
