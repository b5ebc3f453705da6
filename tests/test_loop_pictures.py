"""The figures of chapter 11: what they hold is what they were given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

from utils.pictures import loop as pictures

pytestmark = pytest.mark.filterwarnings("error")


def entry(batch_size, rate, rise, *accuracies):
    runs = [
        {"accuracy": value, "losses": [2.3, 2.0 - place]} for place, value in enumerate(accuracies)
    ]
    return {"batch_size": batch_size, "rate": rate, "rise": rise, "runs": runs}


def test_every_run_of_every_way_is_drawn_and_so_is_yours():
    found = {"ways": {"small": entry(64, 0.02, 0, 0.8, 0.7), "up": entry(1_024, 0.32, 0.2, 0.1)}}
    figure = pictures.warm_up(found, {"small": 0.75, "up": 0.5})
    figure.canvas.draw()
    above, below = figure.axes
    assert [list(line.get_ydata()) for line in above.lines] == [[2.3, 1.5], [2.3, 2.0]]
    names = [text.get_text() for text in below.get_yticklabels()]
    assert names == ["64 images, rate 0.02", "1,024 images, rate 0.32, warm-up"]
    drawn = [list(line.get_xdata()) for line in below.lines[:4]]
    assert drawn == [pytest.approx(x) for x in ([80, 70], [75], [10], [50])]
    plt.close(figure)
