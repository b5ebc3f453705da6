"""What all benchmarks have in common: every one runs, an interrupted run is no result, a finished
one is kept, and what the stored files say follows from their runs."""

import dataclasses
import importlib
import itertools
import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch

from benchmarks import (
    accuracy,
    alexnet,
    capstone,
    common,
    inception,
    mobilenet,
    resnet,
    shuffled_pixels,
)
from utils import data, results, training
from utils.topics import localisation

STORED = results.FOLDER
HEAD = ("what", "command", "date", "machine", "versions")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty folder for results."""
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    return tmp_path


def start(name, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", [f"{name}.py", *arguments])
    importlib.import_module(f"benchmarks.{name}").main()


def content_of(path):
    """A results file without what differs from day to day."""

    def lasting(value):
        if not isinstance(value, dict):
            return value
        return {key: lasting(inner) for key, inner in value.items() if key not in HEAD}

    return lasting(json.loads(path.read_text(encoding="utf-8")))


# --- every benchmark ------------------------------------------------------------------------------

FILES = {
    "accuracy": "accuracy/lenet.json",
    **{name: f"{name}.json" for name in ("alexnet", "capstone", "gap", "inception")},
    **{name: f"{name}.json" for name in ("localisation", "mobilenet", "one_by_one", "recipe")},
    **{name: f"{name}.json" for name in ("resnet", "vgg", "without_1x1")},
    "loss_log": "loss_log_lenet.json",
    "lottery": "lottery_nin.json",
    "shuffled_pixels": "shuffled_pixels_lenet.json",
}
# Parts without a clock, and no further process.
ARGUMENTS = {
    "accuracy": ["lenet"],
    "mobilenet": ["twins", "blocks", "int8"],
    "one_by_one": ["pca", "overfitting", "detour", "relu"],
    **{name: ["--processes", "1"] for name in ("loss_log", "lottery", "shuffled_pixels")},
}
# The parts that are tried.
FEW = ARGUMENTS | {
    "inception": ["auxiliary_torch", "branches"],
    "recipe": ["lenet", "nin_small"],
    "resnet": ["depth"],
    "vgg": ["A", "A_five"],
}


@pytest.mark.parametrize("name", FILES)
def test_the_stored_file_follows_from_its_runs(name, monkeypatch, folder):
    """Started again, a benchmark trains nothing and writes the same summaries."""

    def train(*_, **__):
        raise AssertionError("a run that is stored is repeated")

    shutil.copytree(STORED, folder, dirs_exist_ok=True)
    monkeypatch.setattr(training, "fit", train)
    monkeypatch.setattr(torch.Tensor, "backward", train)
    canvases = SimpleNamespace(test_boxes=range(10_000))  # which take long to draw
    monkeypatch.setattr(localisation, "load", lambda **_: canvases)
    start(name, monkeypatch, *ARGUMENTS.get(name, []))
    assert content_of(folder / FILES[name]) == content_of(STORED / FILES[name])


def unknown_keys(new, stored, place=""):
    """Where `new` has keys that `stored` has not; of a list the first element counts."""
    if isinstance(new, dict) and isinstance(stored, dict):
        for key, value in new.items():
            if key in stored:
                yield from unknown_keys(value, stored[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}"
    elif isinstance(new, list) and new and stored:
        yield from unknown_keys(new[0], stored[0], place)


@pytest.fixture
def tiny(monkeypatch, folder):
    """Few images, one epoch, few networks."""
    load, fit = data.load, training.fit

    def few(*given, **settings):
        for key in ("train_images", "validation_images", "test_images"):
            if settings.get(key) != 0:
                settings[key] = min(settings.get(key) or 50, 50)
        return load(*given, **settings)

    monkeypatch.setattr(data, "load", few)
    monkeypatch.setattr(training, "fit", lambda *g, **settings: fit(*g, **settings | {"epochs": 1}))
    monkeypatch.setattr(capstone, "OTHERS", 1)
    monkeypatch.setattr(inception, "LOOK_AT", (0,))
    monkeypatch.setattr(mobilenet, "SMALL", ("mobilenet_v2_small",))
    changes = [
        (alexnet.ACTIVATION, {"epochs": 1, "searched_rates": {"he": [0.01]}}),
        (capstone.SEEDS, {"own": 1}),
        *((recipe, {"steps": 1}) for recipe in inception.RECIPES.values() if "steps" in recipe),
    ]
    for experiment in resnet.EXPERIMENTS.values():
        few_networks = {
            n: v for n, v in experiment["networks"].items() if not re.search("56|110", n)
        }
        few_seeds = experiment["recipe"] | {"seeds": [0, 1]}
        changes.append((experiment, {"recipe": few_seeds, "networks": few_networks}))
    for where, values in changes:
        for key, value in values.items():
            monkeypatch.setitem(where, key, value)
    for place in ("published", "accuracy"):  # which benchmarks.recipe reads
        shutil.copytree(STORED / place, folder / place)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_every_benchmark_runs_and_writes_what_is_stored(name, monkeypatch, tiny):
    (tiny / FILES[name]).unlink(missing_ok=True)
    seeds = [] if name in ("capstone", "resnet") else ["--seeds", "1"]
    start(name, monkeypatch, *FEW.get(name, []), *seeds)
    new, stored = content_of(tiny / FILES[name]), content_of(STORED / FILES[name])
    assert not list(unknown_keys(new, stored))
    assert not [key for key in stored if key not in new and name not in FEW]


def test_networks_of_one_scale_cost_as_much_and_follow_from_their_runs(monkeypatch, folder):
    """`benchmarks.inception` has a second file."""
    shutil.copytree(STORED, folder, dirs_exist_ok=True)
    monkeypatch.delattr(training, "fit")
    start("inception", monkeypatch, "scales")
    content = content_of(folder / inception.SCALES_FILE)
    assert content == content_of(STORED / inception.SCALES_FILE)
    for entry in content["networks"].values():
        assert entry["macs"] == pytest.approx(content["networks"]["all"]["macs"], rel=0.01)
        means = {rate: trial["mean"] for rate, trial in entry["search"].items()}
        assert means[f"{entry['learning_rate']:g}"] == max(means.values())


def test_networks_of_one_scale_are_searched_trained_and_stored(monkeypatch, tiny):
    few = {name: inception.SCALE_NETWORKS[name] for name in ("all", "five")}
    monkeypatch.setattr(inception, "SCALE_NETWORKS", few)
    for name, value in {
        "RATES": (0.1,),
        "FIRST_TRIED": (0.1,),
        "TIMED": {"images": 2, "rounds": 1},
    }.items():
        monkeypatch.setattr(inception, name, value)
    start("inception", monkeypatch, "scales", "--seeds", "1")
    new, known = (
        content_of(tiny / inception.SCALES_FILE),
        content_of(STORED / inception.SCALES_FILE),
    )
    assert not list(unknown_keys(new, known))
    assert [len(entry["runs"]) for entry in new["networks"].values()] == [1, 1]


# --- Ctrl-C ---------------------------------------------------------------------------------------


class Interrupting:
    """Batches during whose second epoch somebody presses Ctrl-C."""

    def __init__(self, batches):
        self.batches, self.epochs = batches, 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.epochs += 1
        for batch in self.batches:
            if self.epochs == 2:
                raise KeyboardInterrupt
            yield batch


def test_ctrl_c_during_a_seed_stores_only_the_seeds_before(monkeypatch, folder):
    load, press = data.load, [True]

    def few_images(seed, **given):
        given |= dict(train_images=100, validation_images=50, test_images=50)
        splits = load(seed=seed, **given)
        if seed == 1 and press:
            press.clear()
            splits = dataclasses.replace(splits, train=Interrupting(splits.train))
        return splits

    def seeds():
        return [run["seed"] for run in content_of(folder / "accuracy/lenet.json")["runs"]]

    monkeypatch.setattr(data, "load", few_images)
    monkeypatch.setitem(accuracy.RECIPES, "lenet", accuracy.RECIPES["lenet"] | {"epochs": 2})
    with pytest.raises(KeyboardInterrupt):
        start("accuracy", monkeypatch, "lenet", "--seeds", "2")
    assert seeds() == [0]
    start("accuracy", monkeypatch, "lenet", "--seeds", "2")
    assert seeds() == [0, 1]


def test_every_benchmark_asks_whether_its_runs_were_completed():
    """`training.fit` and `short_run` return after Ctrl-C as after any other end."""
    trained = []
    for path in (common.ROOT / "benchmarks").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        trained += [path.stem] * len(re.findall(r"common\.(?:fit|train)\(", text))
        for call in re.finditer(r"training\.fit\(|= capstone\.short_run\(", text):
            trained.append(path.stem)
            before, after = text[: call.start()].rstrip(), text[call.end() :]
            line = text.count("\n", 0, call.start()) + 1
            assert before.endswith("completed(") or "common.completed(run)" in after[:150], (
                f"{path.name}, line {line}"
            )
    assert {"accuracy", "capstone", "common", "gpu", "growth", "resnet"} <= set(trained)


def test_ctrl_c_during_further_seeds_loses_no_finished_run(monkeypatch, folder):
    asked = []

    def run(network, pixels, seed):
        asked.append((network, pixels, seed))
        if len(asked) == 6:
            raise KeyboardInterrupt
        return {"seed": seed, "status": "finished", "validation_accuracy": 0.5}

    def seeds():
        conditions = content_of(folder / shuffled_pixels.FILE)["conditions"]
        return [[run["seed"] for run in condition["runs"]] for condition in conditions]

    def measure(count):
        start("shuffled_pixels", monkeypatch, "--processes", "1", "--seeds", count)

    monkeypatch.setattr(shuffled_pixels, "run", run)
    measure("1")
    assert seeds() == [[0], [0], [0], [0]]
    with pytest.raises(KeyboardInterrupt):
        measure("3")
    assert seeds() == [[0, 1], [0], [0], [0]]
    measure("3")
    assert seeds() == [[0, 1, 2]] * 4
    assert len(set(asked)) == 12 and len(asked) == 13  # only the interrupted one came twice


# --- what a results file keeps --------------------------------------------------------------------


def run_of(value, seed):
    return {"seed": seed, "value": value + seed}


def mean(content):
    content["mean"] = sum(run["value"] for run in content["runs"]) / len(content["runs"])


def stored(*place, head=None, recipe=(1, 2)):
    return common.Stored("a.json", head or {"command": "x y z"}, *place, report=mean, recipe=recipe)


@pytest.mark.parametrize("place", [(), ("part",), ("networks", "lenet")])
def test_a_part_is_filled_and_the_others_stay(folder, place):
    own = stored(*place)
    common.write("a.json", {"other": 1, "networks": {"vgg": 2}})  # written by another process
    own.complete("", own.entry()["runs"], [1, 0], run_of, 5)
    part = content = content_of(folder / "a.json")
    for key in place:
        part = part[key]
    values = [{"seed": 0, "value": 5}, {"seed": 1, "value": 6}]
    assert part == {"recipe": [1, 2], "runs": values, "mean": 5.5}
    if place:
        assert content["other"] == 1 and content["networks"]["vgg"] == 2
    again = stored(*place)
    again.complete("", again.entry()["runs"], range(3), run_of, 7)
    assert [run["value"] for run in again.content["runs"]] == [5, 6, 9], "two are kept"
    assert stored(*place, recipe=(1, 3)).entry()["runs"] == [], "those of another recipe are not"


def test_values_that_are_there_are_not_measured_again(folder):
    asked = []
    own = common.Stored("a.json", {})

    def measure(name, seed=0):
        asked.append((name, seed))
        return len(asked)

    assert [own.once(own.content, "x", measure, "x") for _ in range(2)] == [1, 1]
    own.extend(own.content, "y", 2, measure, "y")
    again = common.Stored("a.json", {})
    again.extend(again.content, "y", 3, measure, "y")
    assert asked == [("x", 0), ("y", 0), ("y", 1), ("y", 2)]
    assert content_of(folder / "a.json")["y"] == {
        "median": 3,
        "min": 2,
        "max": 4,
        "runs": [2, 3, 4],
    }


def test_differences_are_those_of_the_same_seed():
    first, second = ([{"seed": s, "a": a} for s, a in enumerate(v)] for v in ((0.5, 0.6), (0.4,)))
    assert common.differences(first, second, "a") == pytest.approx([10])
    assert common.differences(second, first, "a", factor=1) == pytest.approx([-0.1])
    entries = {"x": {"runs": first}, "y": {"runs": second[::-1]}}
    pairs = common.pairs(entries, [("x", "y"), ("y", "z")], "a", higher="better")
    expected = {"median": 10.0, "min": 10.0, "max": 10.0, "runs": [10.0], "better": 1}
    assert pairs == {"x_minus_y": {"a": expected}}
    pairs = common.pairs(entries, [("x", "y")], "a", more=lambda points: {"all": len(points)})
    assert pairs["x_minus_y"]["a"]["all"] == 1


def test_several_processes_give_the_same_in_the_same_order():
    with common.processes(2) as several, common.processes(1) as alone:
        given = (pow, [2, 3, 4], itertools.repeat(2))
        assert list(several(*given)) == list(alone(*given)) == [4, 9, 16]


def test_stored_commands_hold_no_path_of_a_machine():
    stored = [path.read_text(encoding="utf-8") for path in results.FOLDER.rglob("*.json")]
    commands = [command for text in stored for command in re.findall(r'"command": "(.*)"', text)]
    assert len(commands) > 10
    assert [command for command in commands if re.search(r"[/\\\\]|\w:", command)] == []
