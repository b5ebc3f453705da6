"""What all benchmarks have in common: an interrupted run is no result."""

import contextlib
import dataclasses
import json
import re

import pytest

from benchmarks import accuracy, common, shuffled_pixels
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
    """`training.fit` and `short_run` return after Ctrl-C as after any other end."""
    folder, found = common.RESULTS.parent / "benchmarks", []
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        found += [path.stem] * len(re.findall(r"common\.fit\(", text))
        for call in re.finditer(r"training\.fit\(|choosing\.short_run\(", text):
            found.append(path.stem)
            before = text[: call.start()].rstrip()
            line = text.count("\n", 0, call.start()) + 1
            assert before.endswith("completed("), f"{path.name}, line {line}"
    assert {"accuracy", "capstone", "common", "gpu", "growth", "resnet"} <= set(found)


def test_ctrl_c_during_further_seeds_loses_no_finished_run(monkeypatch, tmp_path):
    class Alone(contextlib.ExitStack):
        """Like a ProcessPoolExecutor, in this process."""

        def map(self, *given):
            return map(*given)

    asked = []

    def run(network, pixels, seed):
        asked.append((network, pixels, seed))
        if len(asked) == 6:
            raise KeyboardInterrupt
        return {"seed": seed, "status": "finished", "validation_accuracy": 0.5}

    def seeds():
        stored = json.loads((tmp_path / shuffled_pixels.FILE).read_text(encoding="utf-8"))
        return [[one["seed"] for one in found["runs"]] for found in stored["conditions"]]

    monkeypatch.setattr(common, "RESULTS", tmp_path)
    monkeypatch.setattr(shuffled_pixels, "run", run)
    monkeypatch.setattr(shuffled_pixels, "ProcessPoolExecutor", lambda *_, **__: Alone())
    monkeypatch.setattr("sys.argv", ["shuffled_pixels.py", "--seeds", "1"])
    shuffled_pixels.main()
    assert seeds() == [[0], [0], [0], [0]]
    monkeypatch.setattr("sys.argv", ["shuffled_pixels.py", "--seeds", "3"])
    with pytest.raises(KeyboardInterrupt):
        shuffled_pixels.main()
    assert seeds() == [[0, 1], [0], [0], [0]]
    shuffled_pixels.main()
    assert seeds() == [[0, 1, 2]] * 4
    assert len(set(asked)) == 12 and len(asked) == 13  # only the interrupted one came twice
