"""How often does a NiN fail to learn, and which single repair stops it?

A small NiN with the head, the start and the training recipe of d2l's network is trained many
times for a few epochs, each time from another seed; then again with one thing changed at a
time. Images are scaled to 0…1 and not normalised, as in D2L. Some seeds that got stuck are trained
once more, and looked into on the way; two more variants show there which half of He's start helps,
the weights or the biases. Writes results/lottery_nin.json; finished runs are kept, so an
interrupted benchmark goes on where it stopped.

    python -m benchmarks.lottery            # 52 seeds of every variant
    python -m benchmarks.lottery he --seeds 5
    python -m benchmarks.lottery inside     # only the look into runs that got stuck
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import common
from utils import data, device, diagnosis, networks

FILE = "lottery_nin.json"
NETWORK = "nin_small"
WIDTHS = (16, 32, 10)
EPOCHS, BATCH_SIZE = 2, 128
D2L = dict(
    learning_rate=0.1, batch_norm=False, final_relu=True, dropout=0.5, initialisation="xavier"
)
VARIANTS = {
    "d2l": ("as in D2L", {}),
    "no_last_relu": ("no ReLU on the logits", {"final_relu": False}),
    "he": ("He initialisation", {"initialisation": "he"}),
    "he_no_last_relu": (
        "He initialisation, no ReLU on the logits",
        {"initialisation": "he", "final_relu": False},
    ),
    "batch_norm": ("batch norm", {"batch_norm": True}),
}
CHANCE = math.log(10)

INSIDE = {  # what the look into stuck runs compares: the change, and whose biases the start has
    "d2l": ("as in D2L", {}, "torch"),
    "he_weights": ("He's weights", {"initialisation": "he"}, "torch"),
    "no_last_relu": ("no ReLU on the logits", {"final_relu": False}, "torch"),
    "zero_biases": ("biases of zero", {}, "zero"),
    "batch_norm": ("batch norm", {"batch_norm": True}, "torch"),
}
INSIDE_SEEDS = 1  # the first of those that got stuck
LOOK_EVERY = 43  # steps: ten times in each epoch


@functools.cache
def splits() -> data.Splits:
    """All images, loaded once in each process."""
    return data.load(batch_size=BATCH_SIZE, device="cpu")


def batches(seed: int) -> tuple[data.Batches, data.Batches]:
    """Training and validation images, from 0 to 1, in the order that belongs to this seed."""
    train, validation = splits().train, splits().validation
    return common.batches_like(train, seed=seed), common.batches_like(validation, seed=seed)


def start(seed: int, **change: Any) -> tuple[nn.Module, torch.optim.Optimizer]:
    """D2L's network with one thing changed, as it starts from this seed, and its optimizer."""
    options = {**D2L, **change}
    learning_rate = options.pop("learning_rate")
    device.seed_everything(seed)
    model = networks.build(NETWORK, widths=WIDTHS, **options)
    return model.train(), torch.optim.SGD(model.parameters(), lr=learning_rate)


def run(variant: str, seed: int) -> dict:
    """One training run: the loss of its last 100 steps, validation accuracy, dead logits."""
    model, optimizer = start(seed, **VARIANTS[variant][1])
    train, validation = batches(seed)
    probe = next(iter(validation))[0]
    dead_at_start = len(diagnosis.dead_logits(model, probe))

    losses: list[float] = []
    for epoch in range(EPOCHS):
        train.set_epoch(epoch)
        for images, labels in train:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            break

    accuracy = common.accuracy(model, validation)
    last = sum(losses[-100:]) / 100
    if not math.isfinite(last):
        status = "diverged"
    elif abs(last - CHANCE) < 0.005:
        status = "stuck"
    else:
        status = "slow" if accuracy < 0.5 else "learned"
    return {
        "seed": seed,
        "loss": round(last, 4) if math.isfinite(last) else None,
        "accuracy": accuracy,
        "dead_at_start": dead_at_start,
        "dead_logits": len(diagnosis.dead_logits(model, probe)) if math.isfinite(last) else None,
        "status": status,
    }


def set_biases(model: nn.Module, seed: int, whose: str) -> None:
    """Biases of zero, or those that torch has drawn for D2L's network from this seed."""
    drawn = start(seed)[0].state_dict()
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.copy_(drawn[f"{name}.bias"] if whose == "torch" else 0 * module.bias)


@torch.no_grad()
def look(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """How far the logits differ from image to image, and how far they are from zero at all."""
    model.eval()
    logits = model(images)
    model.train()
    return {
        "loss": round(F.cross_entropy(logits, labels).item(), 5),
        "dead_logits": len(diagnosis.dead_logits(model, images)),
        "variation": float(f"{logits.std(dim=0, correction=0).mean().item():.3g}"),
        "constant": float(f"{logits.mean(dim=0).square().mean().sqrt().item():.3g}"),
    }


def layers(model: nn.Module, images: torch.Tensor) -> dict[str, list[float]]:
    """After each ReLU: root mean square of the values, and their variation over the images."""
    relus = [s for s in diagnosis.activation_statistics(model, images) if s.kind == "ReLU"]
    return {
        "root_mean_square": [float(f"{math.hypot(s.mean, s.std):.3g}") for s in relus],
        "variation": [float(f"{s.variation:.3g}") for s in relus],
    }


def look_inside(variant: str, seed: int) -> dict:
    """The run of this seed once more, step by step, with one change to how it starts."""
    _, change, biases = INSIDE[variant]
    model, optimizer = start(seed, **change)
    random_state = torch.get_rng_state()
    set_biases(model, seed, biases)
    torch.set_rng_state(random_state)  # dropout draws what it drew in the run of this seed
    train, validation = batches(seed)
    probe = next(iter(validation))
    at_start, steps, looks, losses = layers(model, probe[0]), [], [], []
    for epoch in range(EPOCHS):
        train.set_epoch(epoch)
        for images, labels in train:
            if len(losses) % LOOK_EVERY == 0:
                steps.append(len(losses))
                looks.append(look(model, *probe))
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    steps.append(len(losses))
    looks.append(look(model, *probe))
    last = sum(losses[-100:]) / 100
    return {
        "seed": seed,
        "loss": round(last, 4),
        "accuracy": common.accuracy(model, validation),
        "stuck": abs(last - CHANCE) < 0.005,
        "steps": steps,
        "looks": {key: [one[key] for one in looks] for key in looks[0]},
        "at_start": at_start,
        "at_end": layers(model, probe[0]),
    }


def stuck_seeds(content: dict) -> list[int]:
    runs = content["variants"].get("d2l", {}).get("runs", [])
    return [run["seed"] for run in runs if run["status"] == "stuck"]


def report_inside(content: dict) -> None:
    """The last look at each run, and which of the seeds that got stuck are so in the variants."""
    seeds = stuck_seeds(content)
    for entry in content["variants"].values():
        stuck = [run["dead_logits"] for run in entry["runs"] if run["status"] == "stuck"]
        if stuck:
            entry["dead_in_stuck"] = common.summarise(stuck)
        again = [run for run in entry["runs"] if run["seed"] in seeds]
        entry["of_d2ls_stuck"] = {
            status: sum(run["status"] == status for run in again)
            for status in ("stuck", "diverged", "slow", "learned")
        }
    for entry in content.get("inside", {}).values():
        runs = entry["runs"]
        ends = [{key: values[-1] for key, values in run["looks"].items()} for run in runs]
        starts = [{key: values[0] for key, values in run["looks"].items()} for run in runs]
        last_relu = [
            {
                f"{when}_{key}": run[f"at_{when}"][key][-1]
                for when in ("start", "end")
                for key in run["at_start"]
            }
            for run in runs
        ]
        entry |= {
            "count": len(runs),
            "stuck": sum(run["stuck"] for run in runs),
            **common.summaries(runs, "accuracy"),
            "at_start": common.summaries(starts, *(starts or [{}])[0], digits=6),
            "at_end": common.summaries(ends, *(ends or [{}])[0], digits=6),
            "last_relu": common.summaries(last_relu, *(last_relu or [{}])[0], digits=6),
        }


def report(content: dict) -> None:
    for entry in content["variants"].values():
        runs = entry["runs"]
        statuses = [run["status"] for run in runs]
        dead = [(run["dead_at_start"], run["dead_logits"] or 0) for run in runs]
        entry |= {
            "count": len(runs),
            **{name: statuses.count(name) for name in ("stuck", "diverged", "slow", "learned")},
            "some_dead_at_start": sum(before > 0 for before, _ in dead),
            "some_dead_at_end": sum(after > 0 for _, after in dead),
            "fewer_dead_at_end": sum(after < before for before, after in dead),
            "all_dead_at_end": sum(after == 10 for _, after in dead),
            **common.summaries(runs, "dead_at_start", "accuracy"),
        }
    report_inside(content)


def main() -> None:
    names = [*VARIANTS, "inside"]
    arguments = common.parser(__doc__, names=names, seeds=52, processes=2).parse_args()
    head = common.header("Short runs of a small NiN from many seeds, one repair at a time")
    head |= {"network": NETWORK, "widths": list(WIDTHS)}
    recipe = {**D2L, "epochs": EPOCHS, "batch_size": BATCH_SIZE, "images": 55_000}
    stored = common.Stored(FILE, head, report=report, recipe=recipe)
    with common.processes(arguments.processes) as mapping:
        for name in arguments.names:
            if name == "inside":
                continue
            label, change = VARIANTS[name]
            runs = stored.entry("variants", name, label=label, change=change)["runs"]
            stored.complete(name, runs, range(arguments.seeds), run, name, mapping=mapping)
        if "inside" in arguments.names:
            fields = {
                name: {"label": label, "change": change, "biases": biases}
                for name, (label, change, biases) in INSIDE.items()
            }
            stored.fill("inside", fields, look_inside, stuck_seeds(stored.content)[:INSIDE_SEEDS])
    stored.save()


if __name__ == "__main__":
    main()
