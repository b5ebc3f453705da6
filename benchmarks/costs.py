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

import torch
from torch import Tensor, nn

from benchmarks import common
from utils import data, device, networks, summary
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
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(count + 1):
        for name, task in tasks.items():
            value = task()
            if number:
                found[name].append(value)
    return found


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
        "parameters": summary.count_parameters(network),
        "macs": summary.count_macs(network, shape),
        "weight_bytes": sum(t.numel() * t.element_size() for t in tensors if t.ndim),
        "peak_bytes": image.nbytes + memory.peak(network, image).bytes,
    }


def training_task(name: str, images: int) -> Callable[[], float]:
    """One epoch of `fit` over `images` images; ms per image."""
    size = networks.build(name).image_size
    batches = data.load(
        batch_size=TRAIN_BATCH, image_size=size, train_images=images, device="cpu"
    ).train

    def run() -> float:
        network = networks.build(name)
        start = time.process_time()
        common.fit(
            network,
            batches,
            epochs=1,
            learning_rate=0.02,
        )
        return 1000 * (time.process_time() - start) / images

    return run


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--small-only", action="store_true", help="leave the large networks out")
    parser.add_argument("--quick", action="store_true", help="two rounds, to see that it runs")
    arguments = parser.parse_args()
    counted = {key: 2 if arguments.quick else count for key, count in ROUNDS.items()}
    device.seed_everything(0)
    torch.set_num_threads(1)
    result = common.header("What the networks of the course cost, measured in one run")
    result |= {"rounds": counted, "batch": BATCH, "train_batch": TRAIN_BATCH}

    small = {name: networks.build(name).eval() for name in SMALL}
    result["small"] = {name: counts(net, net.image_size) for name, net in small.items()}
    single = {name: noise(network, 1) for name, network in small.items()}
    many = {name: noise(network, BATCH) for name, network in small.items()}
    one = rounds(
        counted["small"],
        {n: lambda n=n: milliseconds(small[n], single[n], REPEATS) for n in SMALL},
    )
    batch = rounds(
        counted["small"], {n: lambda n=n: milliseconds(small[n], many[n]) for n in SMALL}
    )
    train = rounds(counted["training"], {n: training_task(n, 2_560) for n in SMALL})
    for name in SMALL:
        result["small"][name] |= {
            "latency_ms": timing(one[name], one["lenet"]),
            "batch_ms": timing(batch[name], batch["lenet"]),
            "training_ms_per_image": timing(train[name], train["lenet"]),
        }
        print(name, result["small"][name], flush=True)

    if not arguments.small_only:
        large = {name: build().eval() for name, build in LARGE.items()}
        result["large"] = {name: counts(net, net.image_size) for name, net in large.items()}
        images = {name: noise(network, 1) for name, network in large.items()}
        times = rounds(
            counted["large"], {n: lambda n=n: milliseconds(large[n], images[n]) for n in LARGE}
        )
        for name in LARGE:
            result["large"][name]["latency_ms"] = timing(times[name], times["mobilenet_v2"], 2)
            print(name, result["large"][name], flush=True)
    common.write(FILE if not arguments.quick else "costs_quick.json", result)


if __name__ == "__main__":
    main()
