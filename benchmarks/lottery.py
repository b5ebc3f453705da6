"""How often does a NiN fail to learn, and which single repair stops it?

A small NiN with the head, the start and the training recipe of d2l's network is trained many
times for a few epochs, each time from another seed; then again with one thing changed at a
time. Images are scaled to 0…1 and not normalised, as in D2L. Writes results/lottery_nin.json;
finished runs are kept, so an interrupted benchmark goes on where it stopped.

    python -m benchmarks.lottery            # 52 seeds of every variant
"""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor

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
_splits = None


def prepare() -> None:
    """One thread a process: the network is too small for two to help."""
    global _splits
    torch.set_num_threads(1)
    _splits = data.load(batch_size=BATCH_SIZE, device="cpu")


def run(variant: str, seed: int) -> dict:
    """One training run: the loss of its last 100 steps, validation accuracy, dead logits."""
    options = {**D2L, **VARIANTS[variant][1]}
    learning_rate = options.pop("learning_rate")
    device.seed_everything(seed)
    model = networks.build(NETWORK, widths=WIDTHS, **options)
    train, validation = (
        common.without_normalisation(part, BATCH_SIZE, seed)
        for part in (_splits.train, _splits.validation)
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

    model.eval()
    with torch.no_grad():
        right = sum(int((model(x).argmax(1) == y).sum()) for x, y in validation)
    accuracy = right / len(validation.labels)
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
        "accuracy": round(accuracy, 4),
        "dead_at_start": dead_at_start,
        "dead_logits": len(diagnosis.dead_logits(model, probe)) if math.isfinite(last) else None,
        "status": status,
    }


def summary(variant: str, runs: list[dict]) -> dict:
    label, change = VARIANTS[variant]
    runs = sorted(runs, key=lambda one: one["seed"])
    statuses = [one["status"] for one in runs]
    return {
        "label": label,
        "change": change,
        "count": len(runs),
        **{name: statuses.count(name) for name in ("stuck", "diverged", "slow", "learned")},
        "dead_at_start": common.summarise(one["dead_at_start"] for one in runs),
        "some_dead_at_start": sum(one["dead_at_start"] > 0 for one in runs),
        "some_dead_at_end": sum(bool(one["dead_logits"]) for one in runs),
        "fewer_dead_at_end": sum((one["dead_logits"] or 0) < one["dead_at_start"] for one in runs),
        "all_dead_at_end": sum(one["dead_logits"] == 10 for one in runs),
        "accuracy": common.summarise(one["accuracy"] for one in runs),
        "runs": runs,
    }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=52, help="runs of every variant")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    arguments = parser.parse_args()

    result = common.header("Short runs of a small NiN from many seeds, one repair at a time")
    result |= {
        "network": NETWORK,
        "widths": list(WIDTHS),
        "recipe": {**D2L, "epochs": EPOCHS, "batch_size": BATCH_SIZE, "images": 55_000},
    }
    earlier = common.read(FILE)
    if earlier is not None and earlier["recipe"] != result["recipe"]:
        earlier = None  # runs of another recipe are not comparable
    kept = {} if earlier is None else earlier["variants"]
    runs = {name: list(kept.get(name, {}).get("runs", [])) for name in VARIANTS}
    with ProcessPoolExecutor(arguments.processes, initializer=prepare) as pool:
        for variant in arguments.variants:
            done = {one["seed"] for one in runs[variant]}
            todo = [seed for seed in range(arguments.seeds) if seed not in done]
            for one in pool.map(run, [variant] * len(todo), todo):
                runs[variant].append(one)
                print(variant, one, flush=True)
                result["variants"] = {n: summary(n, r) for n, r in runs.items() if r}
                common.write(FILE, result)
    # Also where all runs were there already: what is said of them may be new.
    result["variants"] = {n: summary(n, r) for n, r in runs.items() if r}
    common.write(FILE, result)


if __name__ == "__main__":
    main()
