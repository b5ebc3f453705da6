"""The figure of networks with equal MACs: what is drawn is what was measured."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

from utils import results
from utils.pictures import inception

pytestmark = pytest.mark.filterwarnings("error")


def dots(axis):
    return [list(line.get_xdata()) for line in axis.lines if line.get_linestyle() == "None"]


def test_every_run_of_every_network_is_a_dot():
    report = results.load("inception/scales.json")
    figure = inception.scales(report)
    figure.canvas.draw()
    left, right = figure.axes
    accuracies = [entry["test_accuracy"]["runs"] for entry in report["networks"].values()]
    assert dots(left) == [[pytest.approx(100 * value) for value in runs] for runs in accuracies]
    pairs = [pair for name, pair in report["pairs"].items() if name.startswith("all_minus_")]
    assert dots(right) == [pair["test_accuracy"]["runs"] for pair in pairs]
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels[0] == "all four branches\n164,000 parameters"
    plt.close(figure)
