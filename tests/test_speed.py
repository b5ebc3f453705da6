"""The speed benchmark compares like with like, keeps what it measured, and adds up."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import common, speed, speed_cases, speed_profile, speed_rivals
from benchmarks.speed_cases import Case
from utils import data, results

TINY = Case("lenet", 28, 8, 40, 0.05)


class Counting(nn.Module):
    """A network that counts the images it is shown, in training and in evaluation."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(28 * 28, 10)
        self.shown = {True: 0, False: 0}
        self.pixels = set()

    def forward(self, images):
        self.shown[self.training] += len(images)
        self.pixels.add(tuple(images.shape[1:]))
        return self.linear(nn.functional.adaptive_avg_pool2d(images, 28).flatten(1))


@pytest.mark.parametrize("size", [28, 32])
@pytest.mark.parametrize("rival", speed.RIVALS)
def test_every_rival_does_the_same_work(rival, size, monkeypatch):
    if rival == "d2l":
        pytest.importorskip("d2l.torch", reason="d2l is not installed")
    data.unpack()
    network, optimizers = Counting(), []

    class Sgd(torch.optim.SGD):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            optimizers.append(self.defaults)

    monkeypatch.setattr(speed_cases, "build", lambda name: network)
    monkeypatch.setattr(torch.optim, "SGD", Sgd)
    monkeypatch.chdir(speed_rivals.ROOT / "benchmarks")
    monkeypatch.setattr("d2l.torch.get_dataloader_workers", lambda: 0, raising=False)
    seconds = speed_rivals.measure(rival, replace(TINY, image_size=size), 0, "cpu", 0)
    assert seconds > 0
    assert network.shown == {True: 40, False: 6}
    assert network.pixels == {(1, size, size)}
    assert len(optimizers) == 1
    wanted = {"lr": 0.05, "momentum": 0, "weight_decay": 0, "nesterov": False}
    assert {key: optimizers[0][key] for key in wanted} == wanted


def test_fit_and_bare_steps_alternate_and_are_as_many(monkeypatch):
    order, networks = [], iter("bf")  # the network of the bare steps is built first

    def build(name):
        network, letter = Counting(), next(networks)
        network.register_forward_hook(lambda *_: order.append(letter))
        return network

    monkeypatch.setattr(speed_cases, "build", build)
    case = replace(TINY, images=4 * TINY.batch_size)
    seconds = speed_rivals.measure("loop", case, 0, "cpu", 0)
    assert "".join(order) == "fbfbfbfb"
    assert seconds["fit"] > 0 and seconds["bare"] > 0


def test_the_time_of_bare_steps_is_not_that_of_fit(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(speed_rivals.time, "perf_counter", lambda: clock[0])

    def step():
        clock[0] += 100

    between = speed_rivals.Between(range(7), step, every=3, device="cpu")
    for _ in between:
        clock[0] += 1  # what a loop over these batches does
    assert len(between) == 7 and between.seconds == 700 and clock[0] == 707


def test_our_settings_stay_out_of_the_other_rivals():
    script = "import sys, benchmarks.speed_rivals; print('utils.device' in sys.modules)"
    answer = subprocess.check_output([sys.executable, "-c", script], cwd=speed.ROOT, text=True)
    assert answer.strip() == "False"


def test_a_process_answers_jobs_and_one_that_ends_is_named():
    rival = speed.Rival("ours", "cpu")
    try:
        assert 0 < rival.measure("loop", TINY)["bare"] < 100
        with pytest.raises(RuntimeError, match="loop of no_such_net ended without an answer"):
            rival.measure("loop", replace(TINY, network="no_such_net"))
    finally:
        rival.close()


def test_turns_change_who_is_first_and_end_in_time(monkeypatch):
    clock, order = [0.0], []
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])

    def measure(name, seconds):
        def run(turn):
            order.append(name)
            clock[0] += seconds
            return seconds + turn

        return run

    measures = {"a": measure("a", 1), "b": measure("b", 2), "c": measure("c", 1)}
    taken = speed.turns(measures, seconds=21, least=2, most=9)
    assert "".join(order) == "abcbcacababcbca"  # five turns of 4 seconds; a sixth would be late
    assert taken == {"a": [1, 2, 3, 4, 5], "b": [2, 3, 4, 5, 6], "c": [1, 2, 3, 4, 5]}
    assert len(speed.turns(measures, seconds=0, least=3, most=9)["a"]) == 3
    assert len(speed.turns(measures, seconds=1e9, least=3, most=4)["a"]) == 4


def fake(monkeypatch, tmp_path, stop_at=None):
    """The benchmark without measurements; returns the list of what it was asked for."""
    asked = []

    def epochs(self, name):
        asked.append(name)
        if name == stop_at:
            raise KeyboardInterrupt
        ratio = {rival: common.summarise([3.0, 2.5]) for rival in ("d2l", "torchvision")}
        return {"ratio": ratio, "our_seconds": common.summarise([1.0])}

    monkeypatch.setattr(speed.Benchmark, "epochs", epochs)
    monkeypatch.setattr(speed, "UNFINISHED", tmp_path / "unfinished" / "speed.json")
    monkeypatch.setattr(speed, "ROOT", tmp_path)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    return asked


def test_an_interrupted_run_goes_on_and_is_stored_at_its_end(monkeypatch, tmp_path, capsys):
    arguments = ["speed", "--parts", "epochs", "--networks", "lenet", "nin_small"]
    monkeypatch.setattr(sys, "argv", arguments)
    fake(monkeypatch, tmp_path, stop_at="nin_small")
    with pytest.raises(KeyboardInterrupt):
        speed.main()
    assert not (tmp_path / "results").exists()
    asked = fake(monkeypatch, tmp_path)
    speed.main()
    assert asked == ["nin_small"]
    stored = json.loads((tmp_path / "results" / "speed.json").read_text(encoding="utf-8"))
    assert sorted(stored["epochs"]) == ["lenet", "nin_small"]
    assert stored["epochs"]["lenet"]["load_at_start"] is not None or sys.platform == "win32"
    assert not speed.UNFINISHED.exists()
    asked = fake(monkeypatch, tmp_path)
    speed.main()
    assert asked == ["lenet", "nin_small"], "a finished run is not gone on with"
    # Other settings begin anew, and a trial stores nothing.
    other = {"settings": {"command": "another"}, "done": {"epochs": {"lenet": {}}}}
    speed.UNFINISHED.write_text(json.dumps(other), encoding="utf-8")
    asked = fake(monkeypatch, tmp_path)
    speed.main()
    assert asked == ["lenet", "nin_small"]
    (tmp_path / "results" / "speed.json").unlink()
    monkeypatch.setattr(sys, "argv", [*arguments, "--trial"])
    asked = fake(monkeypatch, tmp_path)
    speed.main()
    assert asked == ["lenet", "nin_small"]
    assert not (tmp_path / "results" / "speed.json").exists()
    assert "nothing is stored" in capsys.readouterr().out


def test_parts_are_put_together_if_the_machine_is_the_same(monkeypatch, tmp_path):
    fake(monkeypatch, tmp_path)

    def loop(self, name):
        return {"overhead": common.summarise([0.02])}

    monkeypatch.setattr(speed.Benchmark, "loop", loop)
    monkeypatch.setattr(sys, "argv", ["speed", "--parts", "loop", "--networks", "nin_small"])
    old = common.header("what") | {
        "loop": {"lenet": loop(0, 0), "nin_small": 1},
        "imports": {"a": 1},
    }
    for machine, loops, parts in (
        (common.machine(), ["lenet", "nin_small"], {"loop", "imports"}),
        ({"threads": 99}, ["nin_small"], {"loop"}),
    ):
        versions = common.versions("numpy", "d2l")
        common.write("speed.json", old | {"machine": machine, "versions": versions})
        speed.main()
        merged = common.read("speed.json")
        assert list(merged["loop"]) == loops and merged.keys() & set(speed.PARTS) == parts
        assert merged["loop"]["nin_small"]["overhead"]["median"] == 0.02
        assert merged["machine"] == common.machine()
        assert merged["summary"]["most_overhead"]["overhead"] == 0.02


def test_the_summary_names_the_least_favourable():
    def ratio(d2l, torchvision):
        return {"ratio": {"d2l": {"median": d2l}, "torchvision": {"median": torchvision}}}

    content = {"epochs": {"a": ratio(3, 1.1), "b": ratio(1.2, 1.4)}}
    speed.add_summary(content)
    assert content["summary"] == {
        "least_ratio_to_d2l": {"network": "b", "ratio": 1.2},
        "least_ratio_to_torchvision": {"network": "a", "ratio": 1.1},
    }


def test_every_network_has_its_share_of_the_minutes():
    benchmark = speed.Benchmark(minutes=10, trial=False)
    every = speed.cases(["epochs", "loop", "profile"], None, "cpu")
    assert sum(benchmark.share(part, name) for part, name in every) == pytest.approx(600)
    limits = benchmark.limits("epochs", "lenet")
    assert limits["seconds"] == benchmark.share("epochs", "lenet") > 30 and limits["least"] == 3
    assert not [part for part, _ in speed.cases(speed.PARTS, None, "cuda") if part == "profile"]
    assert all((case.images or 60_000) >= 5 * case.batch_size for case in speed.EPOCHS.values())
    assert all(case.images % case.batch_size == 0 for case in speed.LOOP.values())


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("aten::mkldnn_convolution", "convolution forward"),
        ("aten::convolution_backward", "convolution backward"),
        ("autograd::engine::evaluate_function: ConvolutionBackward0", "convolution backward"),
        ("aten::native_batch_norm_backward", "batch norm"),
        ("aten::avg_pool2d_backward", "pooling"),
        ("aten::threshold_backward", "rest"),
        ("Optimizer.step#SGD.step", "optimizer"),
        ("autograd::engine::evaluate_function: ReluBackward0", "activation"),
        ("aten::add_", "rest"),
    ],
)
def test_operations_belong_to_parts(name, part):
    assert speed_profile.part_of(name) == part


def test_a_profile_adds_up_and_finds_what_the_network_has():
    case = replace(speed.LOOP["nin_small"], images=64, batch_size=64)
    profile = speed_profile.profile(case, "cpu", 0.1, best=1000.0)
    parts, milliseconds = profile["parts"], profile["step_milliseconds"]["median"]
    assert set(parts) == set(speed_profile.PARTS)
    assert sum(parts.values()) == pytest.approx(1, abs=0.002)
    assert all(parts[part] > 0 for part in ("optimizer", "data", "pooling", "activation"))
    assert parts["convolution backward"] > 0.05
    assert parts["convolution forward"] + parts["convolution backward"] > 0.2
    assert parts["linear"] == 0  # NiN has none
    assert profile["gflops"] == pytest.approx(6 * 3_914_000 * 64 / milliseconds / 1e6, rel=0.02)
    assert profile["share_of_matmul"] == pytest.approx(profile["gflops"] / 1000, abs=1e-3)


def test_the_parts_of_a_step_are_its_time():
    lenet = replace(speed.LOOP["lenet"], images=64, batch_size=64)
    train = speed_rivals.batches(lenet, "cpu")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        with torch.profiler.record_function(speed_profile.STEP):
            with torch.profiler.record_function(speed_profile.DATA):
                images, _ = next(iter(train))
            lenet.model(0)(images).sum().backward()
        torch.ones(1000).add(1)  # outside
    (step,) = speed_profile.times(profiler.events())
    whole = next(e for e in profiler.events() if e.name == speed_profile.STEP)
    assert sum(step.values()) == pytest.approx(whole.cpu_time_total, rel=0.02)
    assert step["data"] == pytest.approx(
        next(e for e in profiler.events() if e.name == speed_profile.DATA).cpu_time_total,
        rel=0.02,
    )
    assert step["batch norm"] == 0 < step["activation"]


def test_a_matrix_product_is_as_fast_as_a_clock_says():
    rate = speed_profile.matmul(0.1)["gflops"]
    assert 0.1 < rate["median"] <= rate["best"] < 1e6


def test_what_an_operation_calls_belongs_to_the_operation():
    def event(name, microseconds, caller=None):
        return SimpleNamespace(name=name, self_cpu_time_total=microseconds, cpu_parent=caller)

    step = event(speed_profile.STEP, 1)
    convolution = event("aten::conv2d", 2, step)
    optimizer = event("Optimizer.step#SGD.step", 8, step)
    called = [event("aten::addmm", 4, convolution), event("aten::add_", 16, optimizer)]
    (times,) = speed_profile.times([step, convolution, optimizer, *called])
    assert times == {"rest": 1, "convolution forward": 6, "optimizer": 24}
