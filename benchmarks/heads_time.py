"""The time of fully connected layers: networks with their own head and with a pooled one.

AlexNet (torchvision's) and VGG-16, each as published and with average pooling over the whole maps
and one linear layer in place of its three. What is timed is a forward pass in evaluation mode and a
training step (forward, backward, SGD with momentum and weight decay), for several batch sizes, on
random images. The clock is the processor time of one thread: other programs disturb it less than
the wall clock, which shows the same on a quiet machine. The two of a pair take turns in one process
and change places from pair to pair; what counts is the ratio within a pair. Writes
results/heads_time.json; finished pairs are kept.

    python -m benchmarks.heads_time                     # both networks, five pairs each
    python -m benchmarks.heads_time alexnet --seeds 9
"""

from __future__ import annotations

import functools
import time

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import common
from utils import networks
from utils.networks.common import average_and_linear

FILE = "heads_time.json"
RECIPE = dict(
    batch_sizes={"alexnet": [1, 4, 16, 64], "vgg16": [1, 4]},
    pooled_channels={"alexnet": 256, "vgg16": 512},
    threads=1,
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=5e-4,
)
KINDS = ("forward", "step")


@functools.cache
def pair_of(name: str) -> dict[str, nn.Module]:
    """The network with its own head, and with average pooling and one linear layer."""
    torch.manual_seed(0)
    own, pooled = networks.build(name), networks.build(name)
    pooled.classifier = average_and_linear(RECIPE["pooled_channels"][name], own.num_classes)
    return {"own": own, "pooled": pooled}


@functools.cache
def optimizer_of(name: str, head: str) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        pair_of(name)[head].parameters(),
        RECIPE["learning_rate"],
        RECIPE["momentum"],
        weight_decay=RECIPE["weight_decay"],
    )


def seconds(name: str, head: str, kind: str, images: torch.Tensor, labels: torch.Tensor) -> float:
    """One forward pass without gradients, or one training step."""
    model, optimizer = pair_of(name)[head], optimizer_of(name, head)
    model.train(kind == "step")
    start = time.process_time()
    with torch.set_grad_enabled(kind == "step"):
        logits = model(images)
        if kind == "step":
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
    return time.process_time() - start


def pair(name: str, kind: str, batch_size: int, seed: int) -> dict:
    """Seconds with both heads, one after the other, and their ratio."""
    torch.manual_seed(seed)
    pixels = pair_of(name)["own"].image_size
    images = torch.randn(batch_size, 3, pixels, pixels)
    labels = torch.randint(1000, (batch_size,))
    order = ("own", "pooled") if seed % 2 else ("pooled", "own")
    if seed == 0:  # the first time of a shape is slower
        for head in order:
            seconds(name, head, kind, images, labels)
    taken = {head: seconds(name, head, kind, images, labels) for head in order}
    return {
        "seed": seed,
        "own_seconds": round(taken["own"], 4),
        "pooled_seconds": round(taken["pooled"], 4),
        "ratio": round(taken["own"] / taken["pooled"], 4),
    }


def report(content: dict) -> None:
    for entry in content.get("networks", {}).values():
        for kind in KINDS:
            for measured in entry.get(kind, {}).values():
                keys = ("own_seconds", "pooled_seconds", "ratio")
                measured |= common.summaries(measured["runs"], *keys)


def main() -> None:
    arguments = common.parser(__doc__, names=RECIPE["batch_sizes"], seeds=5).parse_args()
    torch.set_num_threads(1)
    head = common.header("Time with three linear layers and with average pooling and one, in pairs")
    stored = common.Stored(FILE, head, report=report, recipe=RECIPE)
    for name in arguments.names:
        for which, model in pair_of(name).items():
            size = common.size(model, (3, model.image_size, model.image_size))
            stored.entry("networks", name)[which] = size
        del stored.content["networks"][name]["runs"]
        for batch_size in RECIPE["batch_sizes"][name]:
            for kind in KINDS:
                entry = stored.entry("networks", name, kind, str(batch_size))
                label = f"{name}, {kind}, batch of {batch_size}"
                measure = functools.partial(pair, name, kind, batch_size)
                stored.complete(label, entry["runs"], range(arguments.seeds), measure)
    stored.save()


if __name__ == "__main__":
    main()
