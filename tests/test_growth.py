"""How the cost grows: the counts against sums that can be written down, the stored file against
the networks, and a measurement that goes on where it stopped."""

import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import classroom, common, growth
from tools import authoring
from utils import networks, results, summary
from utils.topics import memory


def test_slope_and_doubling_of_a_power():
    points = {x: 3 * x**1.7 for x in (7, 20, 56, 110)}
    assert growth.slope(points) == pytest.approx(1.7)
    assert growth.doubling(points) == pytest.approx(2**1.7)
    assert growth.doubling({1: 1, 2: 5, 4: 15}) == pytest.approx(3)


class Net(nn.Sequential):
    in_channels = 3


def net():
    return Net(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 25, 10))


def test_what_is_saved_for_the_backward_pass():
    """The maps after ReLU (once, for ReLU and for the linear layer), the logarithms of softmax,
    the sum of the class weights; not the images, labels and weights."""
    counted = growth.live_bytes(net(), size=5, batch=4)
    assert counted["saved_bytes"] == 4 * (4 * 8 * 25 + 4 * 10 + 1)


def test_what_is_counted_without_computing_is_what_a_real_step_holds():
    counted = growth.live_bytes(networks.build("nin_small"), size=28, batch=4)
    network = networks.build("nin_small").train()
    images, labels = growth.noise(network, 28, 4)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def step():
        with torch.enable_grad():
            loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    real = memory.peak(lambda: [step(), step()]).bytes
    real += sum(t.nbytes for t in [*network.parameters(), *network.buffers(), images, labels])
    assert counted["live_bytes"] == pytest.approx(real, rel=0.02)
    weights = 4 * summary.count_parameters(network)
    assert counted["live_bytes"] > 3 * weights + counted["saved_bytes"]  # gradients and momentum


def test_the_clock_leaves_the_first_step_out(monkeypatch):
    times = iter([0.0, 10.0, 12.0, 15.0])  # 10 s to warm up, then 2 s and 3 s
    monkeypatch.setattr(growth.time, "perf_counter", lambda: next(times))
    steps = growth.Steps((torch.ones(1), torch.ones(1)), steps=2)
    assert len(list(steps)) == len(steps) == 3
    assert steps.seconds() == 2.5


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell what a process held")
def test_the_memory_of_a_process_is_its_peak():
    script = (
        "import torch; from benchmarks.growth import most_resident as most\n"
        "before = most(); torch.ones(75_000_000); print(before, most())"
    )
    printed = subprocess.check_output([sys.executable, "-c", script], cwd=common.ROOT, text=True)
    before, after = map(int, printed.split())
    assert 270e6 < after - before < 400e6 and before > 50e6


def test_the_estimate_is_images_by_speed():
    estimate = growth.estimate(100.0)
    assert estimate["hours"] == pytest.approx(1_281_167 * 90 / 100 / 3600, abs=0.05)
    assert estimate["days"] == pytest.approx(estimate["hours"] / 24, abs=0.06)


def test_an_interrupted_measurement_goes_on(tmp_path, monkeypatch):
    """Nothing is measured twice, and the results are whole at any time."""
    asked = []

    def seconds(*case):
        if len(asked) == 5:
            asked.append("stop")
            raise KeyboardInterrupt
        asked.append(case)
        return 2.0

    fake = {"macs": 10, "live_bytes": 4_000_000, "saved_bytes": 2_000_000, "data_bytes": 1_000_000}
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(growth, "counts", lambda case: fake)
    monkeypatch.setattr(growth, "step_seconds", seconds)
    monkeypatch.setattr(growth, "epoch_seconds", lambda images, batch: images / 1000)
    monkeypatch.setattr(growth.sys, "argv", ["growth", "--quick"])
    with pytest.raises(KeyboardInterrupt):
        growth.main()
    assert list(tmp_path.glob("*.json")) == []
    growth.main()
    stepped = [c for c in growth.all_cases(growth.QUICK_SERIES) if c[0] != "images"]
    assert [case for case in asked if case != "stop"] == stepped
    (file,) = tmp_path.iterdir()
    written = json.loads(file.read_text(encoding="utf-8"))
    point = written["image_size"]["resnet18"]["points"]["28"]
    assert point["live_mb"] == 4.0 and point["images_per_second"] == 8.0
    assert written["images"]["lenet"]["seconds"]["slope"] == 1.0


def test_the_stored_file_belongs_to_these_networks_and_follows_from_its_points():
    stored = results.load("growth.json")
    for case in growth.all_cases(growth.SERIES):
        series, name, x, batch = case
        point = stored[series][name]["points"][str(x)]
        with torch.device("meta"):
            network, size = growth.build(series, name, x)
        assert point["macs"] == summary.count_macs(network, (1, network.in_channels, size, size))
        assert point["parameters"] == summary.count_parameters(network)
        median = point["seconds"]["median"]
        assert median == pytest.approx(sorted(point["seconds"]["runs"])[stored["rounds"] // 2])
        if series != "images":
            assert point["images_per_second"] == pytest.approx(batch / median, rel=0.01)
            assert point["live_mb"] > point["saved_mb"] > 0
    speed = stored["imagenet"]["resnet50"]["points"]["224"]["images_per_second"]
    assert stored["imagenet"]["estimate"] == growth.estimate(speed)


# --- what one learner needs -----------------------------------------------------------------------


def test_chapters_are_summed_up():
    chapters = {
        "a": {"seconds": 10.0, "processor_seconds": 15.0, "peak_mb": 900.0, "mapped_mb": None},
        "b": {"seconds": 30.0, "processor_seconds": 45.0, "peak_mb": 700.0, "mapped_mb": None},
    }
    summed = classroom.summed_up(chapters)
    assert summed["chapters"] == 2 and summed["seconds"]["sum"] == 40.0
    assert summed["peak_mb"] == {"sum": 1600.0, "median": 800.0, "min": 700.0, "max": 900.0}
    assert "mapped_mb" not in summed


def test_a_kernel_says_what_it_held(monkeypatch):
    """A chapter of one cell, run as a real one is."""
    code = authoring.code("import torch\nx = torch.ones(50_000_000)\ndel x")
    nb = authoring.notebook([code], title="A", minutes=1, needs=[])
    monkeypatch.setattr(authoring, "load", lambda stem: nb)
    measured = classroom.measure("00_start_here", "smoke")
    assert measured["seconds"] > 0.5 and measured["processor_seconds"] > 0
    if sys.platform == "linux":
        assert measured["peak_bytes"] > 250e6
        assert 0 < measured["mapped_bytes"] < measured["peak_bytes"]


def test_the_stored_file_has_every_chapter():
    stored = results.load("classroom.json")
    for name, budget in stored["budgets"].items():
        assert set(budget["each"]) == set(authoring.stems()), name
        assert budget["all"] == classroom.summed_up(budget["each"])
