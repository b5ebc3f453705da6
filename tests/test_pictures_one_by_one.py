"""The figures of chapter 5 that draw runs: every run has its mark, at its number."""

import matplotlib.pyplot as plt
import pytest

from utils import results
from utils.pictures import one_by_one


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_each_way_shows_its_macs_and_every_seed():
    trained = {
        "direct": {"macs": 5_000_000, "seconds": [3.0, 2.0], "accuracy": [0.8, 0.9]},
        "detour": {"macs": 600_000, "seconds": [1.0, 1.5], "accuracy": [0.7, 0.75]},
    }
    macs, seconds, accuracy = one_by_one.ways(trained).axes
    assert [bar.get_width() for bar in macs.patches] == [5.0, 0.6]
    assert [list(line.get_xdata()) for line in seconds.lines] == [[3.0, 2.0], [1.0, 1.5]]
    assert list(accuracy.lines[1].get_xdata()) == pytest.approx([70, 75])
    assert [label.get_text() for label in macs.get_yticklabels()] == ["direct", "detour"]


def test_all_stored_runs_of_the_squeezes_are_drawn():
    found = results.load("one_by_one.json")["detour"]["found"]["head"]
    (axis,) = one_by_one.squeezes(found).axes
    marks = [y for line in axis.lines if line.get_linestyle() == "None" for y in line.get_ydata()]
    runs = [100 * value for way in found.values() for value in way["accuracy"]["runs"]]
    assert sorted(marks) == pytest.approx(sorted(runs))
