"""The figures of chapter 09: what is drawn is what was measured."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

from utils.pictures import mobilenet as pictures

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def draw_and_close():
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def test_twins_show_the_time_that_would_follow_the_macs_and_a_line_for_each_seed():
    figure = pictures.twins(
        {"ordinary": 16.0, "pairs": 2.0},
        {"ordinary": [42.0, 40.0], "pairs": [20.0, 22.0]},
        {"ordinary": [0.8, 0.82], "pairs": [0.79, 0.78]},
    )
    work, clock, accuracy = figure.axes
    assert [bar.get_width() for bar in work.patches] == [16, 2]
    assert [bar.get_width() for bar in clock.patches] == [40, 20]  # the fastest of each
    assert list(clock.lines[0].get_xdata()) == [5, 5]  # an eighth of 40
    drawn = [list(line.get_xdata()) for line in accuracy.lines]
    assert drawn == [pytest.approx([80, 79]), pytest.approx([82, 78])]
    assert [text.get_text() for text in accuracy.get_yticklabels()] == ["ordinary", "pairs"]
