"""How often does a NiN fail to learn, and which single repair stops it?

A small NiN with the head, the start and the training recipe of d2l's network is trained many
times for a few epochs, each time from another seed; then again with one thing changed at a
time. Images are scaled to 0…1 and not normalised, as in D2L. Writes results/lottery_nin.json;
finished runs are kept, so an interrupted benchmark goes on where it stopped.

    python -m benchmarks.lottery            # 52 seeds of every variant
    python -m benchmarks.lottery he --seeds 5
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F

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
    "batch_norm": ("batch norm", {"batch_norm": True}),
}
CHANCE = math.log(10)


@functools.cache
def splits() -> data.Splits:
    """All images, loaded once in each process."""
    return data.load(batch_size=BATCH_SIZE, device="cpu")


def run(variant: str, seed: int) -> dict:
    """One training run: the loss of its last 100 steps, validation accuracy, dead logits."""
    options = {**D2L, **VARIANTS[variant][1]}
    learning_rate = options.pop("learning_rate")
    device.seed_everything(seed)
    model = networks.build(NETWORK, widths=WIDTHS, **options)
    train, validation = (
        common.batches_like(part, seed=seed) for part in (splits().train, splits().validation)
    )
    probe = next(iter(validation))[0]
    dead_at_start = len(diagnosis.dead_logits(model, probe))

    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    model.train()
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


def main() -> None:
    arguments = common.parser(__doc__, names=VARIANTS, seeds=52, processes=2).parse_args()
    head = common.header("Short runs of a small NiN from many seeds, one repair at a time")
    head |= {"network": NETWORK, "widths": list(WIDTHS)}
    recipe = {**D2L, "epochs": EPOCHS, "batch_size": BATCH_SIZE, "images": 55_000}
    stored = common.Stored(FILE, head, report=report, recipe=recipe)
    with common.processes(arguments.processes) as mapping:
        for name in arguments.names:
            label, change = VARIANTS[name]
            runs = stored.entry("variants", name, label=label, change=change)["runs"]
            stored.complete(name, runs, range(arguments.seeds), run, name, mapping=mapping)
    stored.save()


if __name__ == "__main__":
    main()
