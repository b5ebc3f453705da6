"""The figures of chapter 08: what they hold is what they were given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch

from utils.pictures import resnet as pictures

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def draw_and_close():
    """Render every figure, which is when matplotlib complains of glyphs and layouts."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def test_growth_draws_the_median_of_the_seeds_and_what_is_expected():
    runs = [torch.tensor([1.1, 1.2]), torch.tensor([1.3, 1.3]), torch.tensor([1.2, 1.4])]
    (axis,) = pictures.growth({"plain": runs, "yours": [[1.0, 0.8]]}, expected=1.21).axes
    plain, yours, *levels = axis.lines
    assert list(plain.get_xdata()) == [2, 3]
    assert list(plain.get_ydata()) == pytest.approx([1.2, 1.3])
    assert list(yours.get_ydata()) == pytest.approx([1.0, 0.8])
    assert [line.get_ydata()[0] for line in levels] == [1.21, 1]
    band = axis.collections[0].get_paths()[0].get_extents()
    assert (band.ymin, band.ymax) == pytest.approx((1.1, 1.4))
    assert "one layer: 1.21" in {text.get_text() for text in axis.texts}


def test_first_steps_begin_before_the_first_one():
    (axis,) = pictures.first_steps({"plain": [3000.0, 40.0, 2.0]}).axes
    assert list(axis.lines[0].get_xdata()) == [0, 1, 2]
    assert list(axis.lines[0].get_ydata()) == [3000.0, 40.0, 2.0]
    assert axis.get_yscale() == "log"


def test_neighbours_have_a_line_for_each_seed_in_percent():
    (axis,) = pictures.neighbours({"plain": [[0.7, 0.1], [0.8, 0.2]], "yours": [[0.7, 0.5]]}).axes
    drawn = [list(line.get_ydata()) for line in axis.lines[:3]]
    assert drawn == [pytest.approx([70, 10]), pytest.approx([80, 20]), pytest.approx([70, 50])]
