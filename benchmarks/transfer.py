"""What are weights from photographs worth, where there are few images of something else?

Ten images of each garment to train on, 500 others to test on, the same ones for all ways and other
training images for each seed. The pretrained SqueezeNet gets them enlarged and in three channels:

- `frozen`: its convolutions stay, and a new linear layer after the average is trained;
- `fine_tuned`: from there, all layers are trained on with a small learning rate;
- `from_nothing`: `resnet_small`, the course's own best, starts from random weights at 28 pixels.

No learning rate was chosen on the images that are counted. Writes results/transfer.json, paired by
seed. Finished runs are kept; a changed recipe starts anew.

    python -m benchmarks.transfer --seeds 5
"""

from __future__ import annotations

import time

from torch import nn

from benchmarks import common
from utils import data, device, networks, training
from utils.topics import transfer

FILE = "transfer.json"
RECIPE = dict(
    each=10,  # training images of a class
    test_images=500,
    image_size=transfer.SIZE,  # for SqueezeNet
    head=dict(steps=300, learning_rate=0.003, weight_decay=0.01),
    fine_tuning=dict(epochs=15, batch_size=20, learning_rate=1e-4, optimizer="adamw"),
    from_nothing=dict(epochs=60, batch_size=20, learning_rate=1e-3, optimizer="adamw"),
)
WAYS = {
    "from_nothing": "resnet_small from nothing",
    "frozen": "SqueezeNet, new head",
    "fine_tuned": "SqueezeNet, fine-tuned",
}


def run(seed: int) -> dict[str, dict]:
    """The accuracy of all three ways for one seed, and the seconds of training."""
    counts = {key: RECIPE[key] for key in ("each", "test_images")}
    images, labels, *test = transfer.drawn(seed, **counts)
    found = {}

    def finish(way: str, model: nn.Module, test_batches: data.Batches, start: float) -> None:
        seconds = round(time.perf_counter() - start, 1)
        right = round(training.evaluate(model, test_batches).accuracy, 4)
        found[way] = {"seed": seed, "accuracy": right, "seconds": seconds}

    recipe = RECIPE["from_nothing"]
    fitted = {k: v for k, v in recipe.items() if k != "batch_size"}
    options = {"shuffle": True, "seed": seed, "batch_size": recipe["batch_size"]}
    start = time.perf_counter()
    device.seed_everything(seed)
    model = networks.build("resnet_small")
    mean, std = data.STATISTICS["fashion_mnist"]
    as_they_are = {"mean": mean, "std": std, "device": "cpu"}
    common.fit(model, data.Batches(images, labels, **as_they_are, **options), seed=seed, **fitted)
    finish("from_nothing", model, data.Batches(*test, batch_size=250, **as_they_are), start)

    enlarged = transfer.batches(images, labels, **options)
    large_test = transfer.batches(*test, batch_size=250)
    start = time.perf_counter()
    device.seed_everything(seed)
    model = transfer.Transferred()
    transfer.train_head(model, enlarged, **RECIPE["head"])
    finish("frozen", model, large_test, start)
    recipe = {k: v for k, v in RECIPE["fine_tuning"].items() if k != "batch_size"}
    common.fit(model, enlarged, seed=seed, **recipe)
    finish("fine_tuned", model, large_test, start)
    return found


def report(content: dict) -> None:
    """Bring the summaries up to date."""
    ways = content["ways"]
    for entry in ways.values():
        entry |= common.summaries(entry["runs"], "accuracy")
        entry |= common.summaries(entry["runs"], "seconds", digits=1)
    compared = [
        ("frozen", "from_nothing"),
        ("fine_tuned", "from_nothing"),
        ("fine_tuned", "frozen"),
    ]
    content["pairs"] = common.pairs(ways, compared, "accuracy")


def main() -> None:
    seeds = common.parser(__doc__, seeds=5).parse_args().seeds
    head = common.header("Ten images of a class: pretrained weights beside none, paired by seed")
    stored = common.Stored(FILE, head, report=report, recipe=RECIPE)
    entries = {way: stored.entry("ways", way, label=label) for way, label in WAYS.items()}
    for seed in range(seeds):
        if any(run["seed"] == seed for run in entries["fine_tuned"]["runs"]):
            continue
        for way, result in run(seed).items():
            entries[way]["runs"].append(result)
            print(way, result, flush=True)
        stored.save()


if __name__ == "__main__":
    main()
