"""The speedrun is what it says, the clock counts training alone, and the medians are right."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import common, speedrun, time_to_accuracy, ways_to_train
from benchmarks.speedrun import Recipe
from utils import data, results

PAGE = Path(__file__).resolve().parent.parent / "docs" / "evidence.md"


@pytest.fixture(scope="module")
def raw():
    return data.read_raw()


# --- the recipe -----------------------------------------------------------------------------------


def test_a_short_speedrun_learns_and_a_seed_repeats_it(raw):
    images, labels = raw["train_images"][:1500], raw["train_labels"][:1500]
    recipe = Recipe(widths=(8, 16), epochs=6, batch_size=64)
    looks = []
    first = speedrun.train(recipe, 0, images, labels, lambda net, seen: looks.append(seen), looks=3)
    assert looks == [47 * 64, 94 * 64, 141 * 64]  # the steps that end a third of all 141
    assert speedrun.accuracy(first, raw["test_images"][:1000], raw["test_labels"][:1000]) > 0.7
    again = speedrun.train(recipe, 0, images, labels)
    other = speedrun.train(recipe, 1, images, labels)
    weights = [torch.cat([w.flatten() for w in net.parameters()]) for net in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_first_layer_whitens_patches_and_stays_as_it_is(raw):
    images = speedrun.standardised(raw["train_images"][:500])
    layer = speedrun.whitening(images)
    outputs = layer(images).transpose(0, 1).flatten(1)[:4]
    assert torch.allclose(outputs @ outputs.T / outputs.shape[1], torch.eye(4), atol=0.05)
    assert torch.equal(layer.weight[4:], -layer.weight[:4])
    assert not any(weight.requires_grad for weight in layer.parameters())


def test_a_convolution_starts_as_a_copy_of_its_inputs():
    images = torch.randn(2, 4, 5, 5)
    assert torch.equal(speedrun.convolution(4, 6)(images)[:, :4], images)


@pytest.mark.parametrize("shape", [(16, 72), (64, 16)])
def test_muons_direction_has_the_same_vectors_and_equal_lengths(shape):
    matrix = torch.randn(shape)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ speedrun.orthogonal(matrix, steps=5) @ right.T
    assert (inside - inside.diag().diag()).abs().max() < 1e-3
    assert inside.diag().min() > 0.5 and inside.diag().max() < 1.3
    assert values.max() / values.min() > 1.5  # they were not equal before


def test_muon_keeps_the_length_of_the_weights_and_lowers_the_loss():
    weight = nn.Parameter(torch.randn(8, 4, 3, 3))
    wanted = torch.randn(8, 4, 3, 3)
    optimizer, losses = speedrun.Muon([weight], lr=0.05), []
    for _ in range(30):
        loss = (weight / weight.norm() - wanted / wanted.norm()).square().sum()
        weight.grad = None
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert weight.norm().item() == pytest.approx(8**0.5, rel=0.1)


def test_in_two_epochs_every_image_is_seen_as_it_is_and_mirrored(monkeypatch):
    images = torch.randint(0, 256, (64, 1, 28, 28), dtype=torch.uint8)
    seen, original = [], speedrun.standardised
    monkeypatch.setattr(speedrun, "standardised", lambda x: seen.append(x.clone()) or original(x))
    recipe = Recipe(widths=(8,), epochs=2, batch_size=16, kept=1)
    speedrun.train(recipe, 0, images, torch.randint(0, 10, (64,)))
    batches = torch.cat(seen[1:])  # the first call is for whitening
    rows = {tuple(image.flatten().tolist()) for image in batches}
    assert len(batches) == 128
    assert rows == {tuple(i.flatten().tolist()) for i in torch.cat([images, images.flip(-1)])}


def test_a_later_pass_shows_the_images_with_the_largest_losses():
    recipe = Recipe(widths=(8,), epochs=2, kept=0.3, at_random=0.1)
    unknown = torch.full((1000,), torch.inf)
    assert speedrun.next_pass(unknown, recipe).unique().tolist() == list(range(1000))
    losses = torch.rand(1000)
    chosen = speedrun.next_pass(losses, recipe)
    assert len(chosen) == len(chosen.unique()) == 300
    hard = set(losses.topk(270).indices.tolist())
    assert hard < set(chosen.tolist())
    assert chosen.tolist() != sorted(chosen.tolist(), key=lambda i: -losses[i])
    unknown[:10] = (
        0.5  # the last images of the first pass wait for their batch: no second full pass
    )
    assert len(speedrun.next_pass(unknown, recipe)) == 300


def test_images_that_are_easy_are_seen_less_often(monkeypatch):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (200, 1, 28, 28), dtype=torch.uint8)
    seen, original = [], speedrun.next_pass
    monkeypatch.setattr(
        speedrun, "next_pass", lambda losses, r: seen.append(losses.clone()) or original(losses, r)
    )
    recipe = Recipe(widths=(8,), epochs=3, batch_size=16)
    speedrun.train(recipe, 0, images, torch.randint(0, 10, (200,)))
    assert seen[0].isinf().all()
    assert sum(len(s) for s in seen) == 200 * len(seen)
    assert len(seen) > 5  # passes of 60 images
    assert not seen[2].isinf().any()


# --- the clock ------------------------------------------------------------------------------------


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_clock_leaves_out_what_is_stopped_and_counts_workers():
    clock = ways_to_train.Clock()
    burn(0.2)
    clock.start()
    burn(0.3)
    with clock.stopped():
        burn(0.4)
    clock.look(1, lambda: burn(0.4) or 0.5)
    clock.look(2, lambda: 0.6)
    first, second = (point["processor_seconds"] for point in clock.curve)
    assert 0.3 <= first <= 0.5 and second - first <= 0.1
    if sys.platform != "win32":  # where nobody counts the time of ended processes
        script = "import time\nwhile time.process_time() < 0.5: pass"
        subprocess.run([sys.executable, "-c", script], check=True)
        clock.look(3, lambda: 0.7)
        assert clock.curve[-1]["processor_seconds"] - second >= 0.4
    assert [point["test_accuracy"] for point in clock.curve][:2] == [0.5, 0.6]


@pytest.mark.parametrize("name", ["plain_loop", "lenet_d2l", "resnet_small"])
def test_a_way_is_tested_after_each_epoch(name, monkeypatch):
    if name == "lenet_d2l":
        d2l = pytest.importorskip("d2l.torch", reason="d2l is not installed")
        monkeypatch.setattr(d2l, "evaluate_accuracy_gpu", d2l.evaluate_accuracy_gpu)
        monkeypatch.setattr(d2l, "Animator", d2l.Animator)
        few = torch.utils.data.TensorDataset(torch.rand(80, 1, 28, 28), torch.arange(80) % 10)
        loader = torch.utils.data.DataLoader(few, 8)
        monkeypatch.setattr(d2l, "load_data_fashion_mnist", lambda *a: (loader, loader))
    elif name == "plain_loop":
        datasets = pytest.importorskip("torchvision").datasets
        few = [(torch.rand(1, 28, 28), number % 10) for number in range(80)]
        monkeypatch.setattr(datasets, "FashionMNIST", lambda *a: few)
    else:
        from benchmarks import accuracy

        monkeypatch.setitem(accuracy.RECIPES, name, accuracy.RECIPES[name] | {"epochs": 2})
        whole = common.load
        few = dict(train_images=128, validation_images=10, test_images=100)
        monkeypatch.setattr(common, "load", lambda r, seed, **more: whole(r, seed, **more | few))
    monkeypatch.chdir(PAGE.parent)
    clock = ways_to_train.Clock()
    ways_to_train.WAYS[name](0, None if name == "resnet_small" else 2, clock)
    assert [point["epochs"] for point in clock.curve] == [1, 2]
    assert all(0 <= point["test_accuracy"] <= 1 for point in clock.curve)
    first, second = (point["processor_seconds"] for point in clock.curve)
    assert 0 <= first <= second


# --- the medians ----------------------------------------------------------------------------------


def curve(*points):
    keys = ("processor_seconds", "wall_seconds", "test_accuracy")
    points = [dict(zip(keys, (s, 2 * s, a))) for s, a in points]
    last = points[-1]["test_accuracy"]
    return {"seed": 0, "date": "2026-01-02", "curve": points, "test_accuracy": last}


def test_a_run_that_does_not_reach_a_target_counts_as_longer_than_any():
    runs = [curve((10, 0.89), (20, 0.93)), curve((12, 0.91), (22, 0.925)), curve((11, 0.93))]
    found = time_to_accuracy.reached(runs)
    assert found["88"] == {"runs": 3, "reached": 3, "processor_seconds": 11, "wall_seconds": 22}
    assert found["93"] == {"runs": 3, "reached": 2, "processor_seconds": 20, "wall_seconds": 40}
    assert found["94"] == {"runs": 3, "reached": 0}
    assert "processor_seconds" not in time_to_accuracy.reached(runs[:2])["93"]  # one of two


def test_the_lead_is_that_over_the_fastest_way_of_each_owner():
    ways = {
        "a": {"whose": "course", "runs": [curve((10, 0.89), (30, 0.93))]},
        "b": {"whose": "course", "runs": [curve((20, 0.89), (25, 0.94))]},
        "c": {"whose": "fastai", "runs": [curve((15, 0.89))]},
        "d": {"whose": "d2l", "runs": [curve((100, 0.8))]},
        "e": {"whose": "loop", "runs": []},
    }
    content = {"ways": ways}
    time_to_accuracy.report(content)
    best = content["best"]
    assert best["88"]["course"] == {"way": "a", "processor_seconds": 10}
    assert best["93"]["course"] == {"way": "b", "processor_seconds": 25}
    assert best["88"]["fastai"] == {"way": "c", "processor_seconds": 15, "times_ours": 1.5}
    assert best["88"]["d2l"] == {"way": None, "processor_seconds": None}
    assert "loop" not in best["88"]
    assert list(content["records"]) == ["88", "90", "92", "93", "94"]
    wanted = {"processor_seconds": 25, "way": "b", "date": "2026-01-02", "commit": None}
    assert content["records"]["93"] == wanted


def test_a_changed_recipe_starts_anew(monkeypatch):
    entry = time_to_accuracy.settings("speedrun_93") | {"runs": [{"seed": 0}]}
    entry = json.loads(json.dumps(entry))
    assert time_to_accuracy.same(entry, time_to_accuracy.settings("speedrun_93")) == entry
    monkeypatch.setitem(speedrun.RECIPES, "93", Recipe(widths=(4,), epochs=1))
    changed = time_to_accuracy.same(entry, time_to_accuracy.settings("speedrun_93"))
    assert changed["runs"] == [] and changed["recipe"]["widths"] == [4]


def test_the_table_of_records_is_that_of_the_results():
    """Seconds are bound numbers; this holds the rest: every target has a row, date and commit."""
    stored = common.read(time_to_accuracy.FILE)
    if stored is None:
        pytest.skip("not measured yet")
    rows = re.findall(r"^\| (\d\d) % \|.*\| ([-\d]+) \| `(\w+)` \|$", PAGE.read_text("utf-8"), re.M)
    records = stored["records"].items()
    assert rows == [(target, record["date"], record["commit"]) for target, record in records]


def test_every_way_can_be_started_and_is_drawn():
    from benchmarks import figures

    assert list(time_to_accuracy.WAYS) == list(ways_to_train.WAYS)
    others = [name for name in ways_to_train.WAYS if not name.startswith("speedrun_")]
    assert set(figures.TO_ACCURACY) == set(others)


def test_the_figure_shows_every_run(monkeypatch):
    from benchmarks import figures
    from utils import plotting

    curves = {
        "speedrun_88": [[[5, 0.86], [9, 0.881]], [[5, 0.85], [10, 0.883]]],
        "speedrun_93": [[[50, 0.9], [99, 0.931]]],
        "lenet_d2l": [[[10, 0.5], [20, 0.7]]],  # never as high as the figure begins
        "miniai": [[[100, 0.87], [300, 0.92]]],
    }
    with plotting.style():
        figure = figures.draw_time_to_accuracy({"curves": curves, "targets": [0.88, 0.93]})
    (axis,) = figure.axes
    dots = [tuple(map(float, dot)) for c in axis.collections for dot in c.get_offsets()]
    assert [dot for dot in dots if dot[0] > 1] == [(9, 0.881), (10, 0.883), (99, 0.931)]
    lines = [line.get_xydata().tolist() for line in axis.lines]
    assert [[100, 0.87], [300, 0.92]] in lines
    assert [[9.5, 0.882], [99, 0.931]] in lines  # through the medians
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "D2L, LeNet" in labels  # said, though it is not to be seen


def test_a_run_that_fails_does_not_lose_the_others(monkeypatch, tmp_path, capsys):
    def run(python, name, seed):
        if seed == 1:
            raise subprocess.CalledProcessError(1, [name])
        curve = [{"test_accuracy": 0.9, "processor_seconds": 3.0, "wall_seconds": 3.0}]
        return {"seed": seed, "date": "2026-01-01", "curve": curve} | curve[0]

    monkeypatch.setattr(time_to_accuracy, "run", run)
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["", "speedrun_90", "--seeds", "3"])
    time_to_accuracy.main()
    stored = json.loads((tmp_path / time_to_accuracy.FILE).read_text(encoding="utf-8"))
    assert [run["seed"] for run in stored["ways"]["speedrun_90"]["runs"]] == [0, 2]
    assert "A run failed and is left out" in capsys.readouterr().err
