"""The figures of README and docs/evidence.md: all there, up to date, and every run is drawn."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.collections import PathCollection

from benchmarks import figures, speed_profile
from tools.site import build
from utils import plotting, results

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "evidence.md"
PICTURES = {
    (ROOT / page).parent.joinpath(address).resolve(): alt
    for page in ("README.md", "docs/evidence.md")
    for alt, address in re.findall(
        r"!\[([^\]]*)\]\(([^)]+)\)", (ROOT / page).read_text(encoding="utf-8")
    )
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def dots(*axes):
    """The accuracies of all dots, sorted."""
    drawn = [c for axis in axes for c in axis.collections if isinstance(c, PathCollection)]
    return sorted(round(float(x), 4) for c in drawn for x, _ in c.get_offsets())


def test_the_pages_show_every_figure_that_can_be_drawn():
    drawable = [name for name, figure in figures.FIGURES.items() if figure.data() is not None]
    assert sorted(path.stem for path in PICTURES) == sorted(drawable)


@pytest.mark.parametrize(("path", "alt"), PICTURES.items(), ids=[p.stem for p in PICTURES])
def test_a_figure_shows_the_results_as_they_are(path, alt):
    assert path.is_file(), f"{path} is missing: python -m benchmarks.figures"
    shown = figures.FIGURES[path.stem].data()
    assert figures.drawn_from(path) == figures.fingerprint(shown), (
        f"{path.stem} was drawn from other results: python -m benchmarks.figures"
    )
    assert len(alt.split()) > 15, "say in words what the figure shows"
    assert path.stat().st_size < 300_000


def test_a_figure_is_the_same_each_time_and_another_for_other_results(tmp_path, monkeypatch):
    stored = {"LeNet": {"ours": [0.91, 0.92], "d2l": [0.8, 0.1]}}
    drawn = figures.Drawn(lambda: stored, figures.draw_accuracy, "")
    monkeypatch.setitem(figures.FIGURES, "accuracy", drawn)
    first = figures.make("accuracy", tmp_path / "a").read_bytes()
    second = figures.make("accuracy", tmp_path / "b")
    assert second.read_bytes() == first
    assert figures.drawn_from(second) == figures.fingerprint(stored)
    before = figures.drawn_from(second)
    stored["LeNet"]["ours"][0] = 0.911
    assert figures.drawn_from(figures.make("accuracy", tmp_path / "a")) != before


def test_a_figure_without_results_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(figures.sys, "argv", ["figures", "recipe", "growth"])
    assert figures.main() == 0
    printed = capsys.readouterr().out
    assert "recipe is left out" in printed and "python -m benchmarks.growth" in printed


def test_all_runs_of_all_networks_are_dots():
    accuracies = figures.accuracy_data()
    with plotting.style():
        figure = figures.draw_accuracy(accuracies)
    runs = sorted(run for row in accuracies.values() for runs in row.values() for run in runs)
    assert dots(*figure.axes) == runs
    assert len(figure.axes) == 2  # some of D2L's runs failed
    d2l = results.load("published/d2l_runs.csv")
    assert len(accuracies["NiN"]["d2l"]) == sum(run["network"] == "NiN" for run in d2l)


def test_recipes_are_drawn_in_pairs(monkeypatch):
    runs = [{"seed": 0, "test_accuracy": 0.85}, {"seed": 1, "test_accuracy": 0.1}]
    stored = {"networks": {"nin_small": {"runs": runs, "difference": {"runs": [5.5, 80.25]}}}}
    monkeypatch.setattr(figures.common, "read", lambda name: stored)
    pairs = figures.recipe_data()
    assert pairs == {"NiN": [[0.85, 0.905], [0.1, 0.9025]]}
    with plotting.style():
        left, right = figures.draw_recipe(pairs).axes
    assert dots(left) == [0.1] and dots(right) == [0.85, 0.9025, 0.905]


def test_one_axis_is_enough_where_no_run_failed():
    with plotting.style():
        figure = figures.draw_recipe({"LeNet": [[0.88, 0.91]]})
    assert len(figure.axes) == 1 and dots(*figure.axes) == [0.88, 0.91]


def test_growth_draws_median_range_and_macs():
    point = {"seconds": [1.0, 3.0, 2.0], "macs": 10, "live_mb": 5, "saved_mb": 2}
    larger = {"seconds": [4.0, 8.0, 5.0], "macs": 40, "live_mb": 9, "saved_mb": 8}
    with plotting.style():
        figure = figures.draw_growth({"width": {"resnet20": {"8": point, "16": larger}}})
    time, memory = figure.axes[0], figure.axes[4]
    median, macs = (list(line.get_ydata()) for line in time.lines)
    assert median == [2.0, 5.0] and macs == [1.25, 5.0]
    (ranges,) = time.collections
    assert [segment[:, 1].tolist() for segment in ranges.get_segments()] == [[1, 3], [4, 8]]
    assert [list(line.get_ydata()) for line in memory.lines] == [[5, 9], [2, 8]]


def test_speed_draws_every_pair_and_its_median(monkeypatch):
    ratio = {"d2l": {"runs": [3.0, 2.0, 2.5]}, "torchvision": {"runs": [1.5, 0.9, 1.0]}}
    monkeypatch.setattr(
        figures.common, "read", lambda name: {"epochs": {"lenet": {"ratio": ratio}}}
    )
    ratios = figures.speed_data()
    assert ratios == {"LeNet": {"d2l": [3.0, 2.0, 2.5], "torchvision": [1.5, 0.9, 1.0]}}
    with plotting.style():
        (axis,) = figures.draw_speed(ratios).axes
    assert dots(axis) == [0.9, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert [float(line.get_xdata()[0]) for line in axis.lines] == [2.5, 1.0, 1.0]


def test_the_parts_of_a_step_fill_its_bar(monkeypatch):
    shares = [0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.03, 0.02]
    parts = dict(zip(speed_profile.PARTS, shares, strict=True))
    profile = {"parts": parts, "step_milliseconds": {"median": 12.3}, "share_of_matmul": 0.071}
    monkeypatch.setattr(figures.common, "read", lambda name: {"profile": {"nin_small": profile}})
    with plotting.style():
        (axis,) = figures.draw_step(figures.step_data()).axes
    widths = {bars.get_label(): bars[0].get_width() for bars in axis.containers}
    assert widths == pytest.approx({part: 100 * share for part, share in parts.items()})
    assert axis.texts[0].get_text() == "12 ms, 7%"
    last = axis.patches[-1]
    assert last.get_x() + last.get_width() == pytest.approx(100)
    monkeypatch.setattr(figures.common, "read", lambda name: {"lenet_epoch": {}})
    assert figures.step_data() is None and figures.speed_data() is None


def test_the_site_takes_the_pictures_along(tmp_path):
    picture = "../results/figures/accuracy.png"
    text = f"![dots\nand bars]({picture}) [text](x.md)"
    inside = build.copy_pictures(text, PAGE, Path("docs/evidence.md"), tmp_path)
    assert inside == f"![dots and bars]({picture}) [text](x.md)"
    # A page that the site has at another place.
    moved = build.copy_pictures(text, PAGE, Path("index.md"), tmp_path)
    assert moved == "![dots and bars](results/figures/accuracy.png) [text](x.md)"
    copied = (tmp_path / "docs" / picture).resolve()
    assert copied.read_bytes() == (PAGE.parent / picture).read_bytes()
    with pytest.raises(
        FileNotFoundError, match=r"docs/evidence\.md: there is no picture gone\.png"
    ):
        build.copy_pictures("![dots](gone.png)", PAGE, Path("docs/evidence.md"), tmp_path)
