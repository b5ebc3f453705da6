"""What all benchmarks have in common: an interrupted run is no result."""

import dataclasses
import json
import re

import pytest

from benchmarks import accuracy, common
from utils import data


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


def test_ctrl_c_during_a_seed_stores_only_the_seeds_before(monkeypatch, tmp_path):
    load, press = data.load, [True]

    def few_images(seed, **given):
        given |= dict(train_images=100, validation_images=50, test_images=50)
        splits = load(seed=seed, **given)
        if seed == 1 and press:
            press.clear()
            splits = dataclasses.replace(splits, train=Interrupting(splits.train))
        return splits

    def seeds():
        found = json.loads((tmp_path / "accuracy/lenet.json").read_text(encoding="utf-8"))
        return [one["seed"] for one in found["runs"]]

    monkeypatch.setattr(data, "load", few_images)
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setitem(accuracy.RECIPES, "lenet", accuracy.RECIPES["lenet"] | {"epochs": 2})
    monkeypatch.setattr("sys.argv", ["accuracy.py", "lenet", "--seeds", "2"])
    with pytest.raises(KeyboardInterrupt):
        accuracy.main()
    assert seeds() == [0]
    accuracy.main()
    assert seeds() == [0, 1]


def test_every_benchmark_asks_whether_its_runs_were_completed():
    """`fit` and `short_run` return after Ctrl-C as after any other end."""
    folder, found = common.RESULTS.parent / "benchmarks", []
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for call in re.finditer(r"training\.fit\b|choosing\.short_run\b", text):
            found.append(path.stem)
            before = text[: call.start()].rstrip()
            line = text.count("\n", 0, call.start()) + 1
            assert before.endswith("common.completed("), f"{path.name}, line {line}"
    assert {"accuracy", "capstone", "gpu", "growth", "resnet"} <= set(found)
