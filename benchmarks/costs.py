"""What the networks of the course cost: parameters, MACs, memory and time, measured in one run.

All networks take turns: in each round every one of them is timed once, so that whatever else the
machine does falls on all alike, and a ratio to LeNet is taken within a round. Times are medians
over the rounds, on one thread, by the clock that counts only while the processor works for this
program: on an idle machine that is the time one waits, and on a busy one it leaves out the
waiting for others.

- latency: one image, and a batch of 64, in evaluation mode without gradients, float32;
- training: one epoch of `fit` over a few thousand images, per image;
- memory: the bytes of the weights (with batch norm's statistics), and the most that all tensors
  held at one time while one image went through, the image included, scratch memory inside an
  operation not.

The small networks get 28 pixels (32 where they were made for it), the large ones 224.
Writes results/costs.json once, at its end, and keeps nothing when interrupted: turns taken on two
occasions would not have met the same machine.

    python -m benchmarks.costs
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import common
from utils import device, networks
from utils.topics import memory

FILE = "costs.json"
SMALL = (
    *("lenet", "alexnet_small", "vgg_small", "nin_small", "googlenet_small"),
    *("resnet_small", "mobilenet_v1_small", "mobilenet_v2_small"),
)
# The forms that torchvision has weights of, so that counts and accuracy belong together; it has no
# MobileNet v1.
LARGE = {
    "alexnet": lambda: networks.build("alexnet"),
    "vgg16": lambda: networks.build("vgg16"),
    "googlenet": lambda: networks.build("googlenet_torchvision"),
    "resnet50": lambda: networks.build("resnet50", stride_on="3x3"),
    "mobilenet_v1": lambda: networks.build("mobilenet_v1"),
    "mobilenet_v2": lambda: networks.build("mobilenet_v2"),
}
BATCH = 64
TRAIN_BATCH = 128
ROUNDS = {"small": 41, "large": 9, "training": 5}
REPEATS = 5  # calls that are timed together, of a small network


def noise(network: nn.Module, count: int) -> Tensor:
    """Images for this network; what is in them does not change the time."""
    return torch.randn(count, network.in_channels, network.image_size, network.image_size)


@torch.inference_mode()
def milliseconds(network: nn.Module, images: Tensor, repeats: int = 1) -> float:
    """Time of one call, in ms."""
    start = time.process_time()
    for _ in range(repeats):
        network(images)
    return 1000 * (time.process_time() - start) / repeats


def rounds(count: int, tasks: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Every task once a round, after one round for warming up."""
    measured: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(count + 1):
        for name, task in tasks.items():
            measured[name].append(task())
    return {name: values[1:] for name, values in measured.items()}


def in_turns(
    count: int, models: dict[str, nn.Module], images: int, repeats: int = 1
) -> dict[str, list[float]]:
    """Milliseconds of one call of each network in each round."""
    given = {name: noise(model, images) for name, model in models.items()}
    tasks = {n: partial(milliseconds, model, given[n], repeats) for n, model in models.items()}
    return rounds(count, tasks)


def timing(values: list[float], reference: list[float], digits: int = 4) -> dict:
    """Median and quartiles of the rounds, and the median of the ratios within the rounds."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    ratios = [a / b for a, b in zip(values, reference, strict=True)]
    return {
        "median": round(statistics.median(values), digits),
        "quartiles": [round(low, digits), round(high, digits)],
        "ratio": round(statistics.median(ratios), 2),
    }


def counts(network: nn.Module, size: int) -> dict[str, int]:
    """What can be counted or weighed without a clock."""
    shape = (network.in_channels, size, size)
    image = torch.randn(1, *shape)
    tensors = network.state_dict().values()
    return {
        "image_size": size,
        **common.size(network, shape),
        "weight_bytes": sum(t.numel() * t.element_size() for t in tensors if t.ndim),
        "peak_bytes": image.nbytes + memory.peak(network, image).bytes,
    }


def training_task(name: str, images: int) -> Callable[[], float]:
    """One epoch of `fit` over `images` images; ms per image."""
    recipe = {"batch_size": TRAIN_BATCH, "train_images": images}
    batches = common.load(recipe, seed=0, image_size=networks.build(name).image_size).train

    def run() -> float:
        network = networks.build(name)
        start = time.process_time()
        common.fit(network, batches, epochs=1, learning_rate=0.02)
        return 1000 * (time.process_time() - start) / images

    return run


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds, to see that it runs")
    arguments = parser.parse_args()
    counted = {key: 2 if arguments.quick else count for key, count in ROUNDS.items()}
    device.seed_everything(0)
    torch.set_num_threads(1)
    result = common.header("What the networks of the course cost, measured in one run")
    result |= {"rounds": counted, "batch": BATCH, "train_batch": TRAIN_BATCH}

    small = {name: networks.build(name).eval() for name in SMALL}
    result["small"] = {name: counts(net, net.image_size) for name, net in small.items()}
    times = {
        "latency_ms": in_turns(counted["small"], small, 1, REPEATS),
        "batch_ms": in_turns(counted["small"], small, BATCH),
        "training_ms_per_image": rounds(
            counted["training"], {name: training_task(name, 2_560) for name in SMALL}
        ),
    }
    for name in SMALL:
        result["small"][name] |= {
            key: timing(values[name], values["lenet"]) for key, values in times.items()
        }
        print(name, result["small"][name], flush=True)
    large = {name: build().eval() for name, build in LARGE.items()}
    result["large"] = {name: counts(net, net.image_size) for name, net in large.items()}
    latency = in_turns(counted["large"], large, 1)
    for name in LARGE:
        result["large"][name]["latency_ms"] = timing(latency[name], latency["mobilenet_v2"], 2)
        print(name, result["large"][name], flush=True)
    common.write(FILE if not arguments.quick else "costs_quick.json", result)


if __name__ == "__main__":
    main()
