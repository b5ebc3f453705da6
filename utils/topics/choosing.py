"""What chapter 10 chooses from: the table of all networks, and how the capstone is measured.

The tables are read from results/, so every answer that follows from them changes with them. The
capstone is to design a network within `LIMITS`; `measure` says what a network costs, however it is
written, and `short_run` trains it by a fixed recipe.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from utils import budget, data, device, diagnosis, networks, results, summary, training

aten = torch.ops.aten

# --- the tables ----------------------------------------------------------------------------------

# In the order of the chapters.
SMALL = (
    *("lenet", "alexnet_small", "vgg_small", "nin_small", "googlenet_small"),
    *("resnet_small", "mobilenet_v1_small", "mobilenet_v2_small"),
)
TRAINING_IMAGES = 55_000  # of one epoch


def small_networks() -> dict[str, dict[str, Any]]:
    """One row for each network that a CPU trains, from results/costs.json and results/accuracy/.

    A row holds `accuracy` (median over the seeds, test images), `low` and `high` (its range) and
    `runs`; `parameters`; `macs` of one image; `weights_mb` (float32, in 10⁶ bytes); `peak_kb` (the
    most memory in use while one image goes through, in 10³ bytes, weights aside); `one_ms` and
    `batch_ms` (one image, a batch of 64, on one thread) and the same in times of LeNet's,
    `one_ratio` and `batch_ratio`; `training_minutes` (a whole run of the recipe on one thread).
    """
    costs = results.load("costs.json")["small"]
    rows = {}
    for name in SMALL:
        if not (results.FOLDER / "accuracy" / f"{name}.json").is_file():
            continue  # its benchmark has not run yet
        found, cost = results.load(f"accuracy/{name}.json"), costs[name]
        accuracy, epochs = found["test_accuracy"], found["recipe"]["epochs"]
        milliseconds = cost["training_ms_per_image"]["median"] * TRAINING_IMAGES * epochs
        rows[name] = {
            "accuracy": accuracy["median"],
            "low": accuracy["min"],
            "high": accuracy["max"],
            "runs": accuracy["runs"],
            "parameters": cost["parameters"],
            "macs": cost["macs"],
            "weights_mb": cost["weight_bytes"] / 1e6,
            "peak_kb": cost["peak_bytes"] / 1e3,
            "one_ms": cost["latency_ms"]["median"],
            "one_ratio": cost["latency_ms"]["ratio"],
            "batch_ms": cost["batch_ms"]["median"],
            "batch_ratio": cost["batch_ms"]["ratio"],
            "training_minutes": milliseconds / 60_000,
        }
    return rows


# Year, torchvision's weights, and what the paper itself says of its network on ImageNet.
LARGE = {
    "alexnet": (2012, "AlexNet_Weights", "top-1 error 40.7, 10 crops, of the two-column network"),
    "vgg16": (2014, "VGG16_Weights", "top-1 error 27.0, one scale, whole image"),
    "googlenet": (2014, "GoogLeNet_Weights", "top-5 error 10.07, one crop"),
    "resnet50": (2015, "ResNet50_Weights", "top-1 error 22.85, 10 crops"),
    "mobilenet_v1": (2017, None, "top-1 accuracy 70.6"),
    "mobilenet_v2": (2018, "MobileNet_V2_Weights", "top-1 accuracy 72.0"),
}


def large_networks() -> dict[str, dict[str, Any]]:
    """One row for each network for ImageNet at 224 pixels, from results/costs.json.

    `parameters`, `macs`, `weights_mb`, `peak_mb` (10⁶ bytes); `one_ms` and `one_ratio` (one image
    on one thread, and the same in times of MobileNet v2's); `year`; `paper` (what the paper says,
    with its protocol). `top1` is the accuracy in percent of torchvision's first weights, one crop
    of 224 pixels, as torchvision states it; None where it has no such network. Nothing is
    downloaded.
    """
    import torchvision

    costs = results.load("costs.json")["large"]
    rows = {}
    for name, (year, weights, paper) in LARGE.items():
        cost, top1 = costs[name], None
        if weights:
            meta = torchvision.models.get_weight(f"{weights}.IMAGENET1K_V1").meta
            top1 = meta["_metrics"]["ImageNet-1K"]["acc@1"]
        rows[name] = {
            "year": year,
            "parameters": cost["parameters"],
            "macs": cost["macs"],
            "weights_mb": cost["weight_bytes"] / 1e6,
            "peak_mb": cost["peak_bytes"] / 1e6,
            "one_ms": cost["latency_ms"]["median"],
            "one_ratio": cost["latency_ms"]["ratio"],
            "top1": top1,
            "paper": paper,
        }
    return rows


# Top-1 accuracy (%) on ImageNet by width and image size, from arXiv 1704.04861: validation images,
# one network, trained at this width and size.
PHONE = {
    (1.0, 224): 70.6,
    (0.75, 224): 68.4,
    (0.5, 224): 63.7,
    (0.25, 224): 50.6,
    (1.0, 192): 69.1,
    (1.0, 160): 67.2,
    (1.0, 128): 64.4,
    (0.5, 160): 60.2,
}


def phone_networks() -> dict[tuple[float, int], dict[str, float]]:
    """MobileNet v1 by (width, pixels): the paper's `top1`, and `parameters` and `macs`, counted."""
    return {key: dict(row) for key, row in _phone_networks().items()}


@functools.cache  # building and counting them takes seconds
def _phone_networks() -> dict[tuple[float, int], dict[str, float]]:
    rows = {}
    for (width, pixels), top1 in PHONE.items():
        with torch.device("meta"):
            network = networks.build("mobilenet_v1", width=width)
        rows[width, pixels] = {
            "top1": top1,
            "parameters": summary.count_parameters(network),
            "macs": summary.count_macs(network, (3, pixels, pixels)),
        }
    return rows


# --- the capstone: what a network costs ----------------------------------------------------------

LIMITS = {"macs": 1_000_000, "parameters": 30_000}  # of one image of 28×28 pixels
SHAPE = (1, 28, 28)


class Cost(NamedTuple):
    """What `measure` found for one image.

    `parameters` holds `hidden`: numbers that the network computes with and that do not stand in
    `parameters()`. `uncounted` names operations whose multiplications cannot be counted.
    """

    parameters: int
    macs: int
    hidden: int
    uncounted: tuple[str, ...]


def measure(network: nn.Module, shape: tuple[int, int, int] = SHAPE) -> Cost:
    """Parameters and MACs of a network for one image, in evaluation or training mode, whichever
    is more. The network is left as it was, but for batch norm's statistics.

    It sees every operation, so it makes no difference whether a convolution is a layer, a function
    or a product of matrices, nor whether its weights are parameters, buffers or something else.
    """
    meters = []
    with diagnosis.modes_kept(network), torch.no_grad():
        for training_mode, images in ((False, 1), (True, 2)):  # batch norm trains on two or more
            network.train(training_mode)
            with Meter(torch.randn(images, *shape)) as meter:
                network(meter.images)
            meters.append((meter, meter.macs // images))
    own = {id(p): p.numel() for p in network.parameters()}
    storages = {p.untyped_storage().data_ptr() for p in network.parameters()}
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            storages |= {b.untyped_storage().data_ptr() for b in module.buffers()}
    hidden = max(
        sum(size for place, size in meter.read.items() if place not in storages)
        for meter, _ in meters
    )
    uncounted = sorted({name for meter, _ in meters for name in meter.uncounted})
    macs = max(macs for _, macs in meters)
    return Cost(sum(own.values()) + hidden, macs, hidden, tuple(uncounted))


class Meter(TorchDispatchMode):
    """Sees every operation of torch: adds up the MACs, and notes which numbers are only read.

    A tensor that no operation made is a number that the network brings along. Like
    `summary.count_macs` it counts convolutions and products of matrices; beyond those it counts
    what stands in for them: products of a weight with a map, number by number, and products that
    are larger than both factors.
    """

    PRODUCTS = (aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.addbmm)
    WITH_VECTORS = (aten.mv, aten.addmv, aten.dot, aten.vdot)
    BY_NUMBERS = (aten.mul, aten.mul_, aten.addcmul, aten.addcmul_)
    UNCOUNTED = ("fft", "scaled_dot_product", "rnn", "lstm", "gru", "cdist", "trilinear", "sparse")

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images
        self.macs = 0
        self.read: dict[int, int] = {}  # numbers by the place of their memory
        self.uncounted: set[str] = set()
        # Whether a tensor comes from the images or from weights alone; kept, so that ids stay.
        self.known: dict[int, tuple[Tensor, bool]] = {id(images): (images, False)}

    def is_weight(self, tensor: Tensor) -> bool:
        if id(tensor) not in self.known:
            self.known[id(tensor)] = (tensor, True)
            if tensor.is_floating_point():
                place = tensor.untyped_storage().data_ptr()
                self.read[place] = max(tensor.numel(), self.read.get(place, 0))
        return self.known[id(tensor)][1]

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        operation = function.overloadpacket
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        are_weights = [self.is_weight(tensor) for tensor in given]
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self.known.setdefault(id(leaf), (leaf, bool(given) and all(are_weights)))
        if operation is aten.convolution:
            larger = given[0] if args[6] else output  # a transposed one spreads every input
            self.macs += larger.numel() * args[1][0].numel()
        elif operation in self.PRODUCTS:
            self.macs += given[-2].numel() * given[-1].shape[-1]
        elif operation in self.WITH_VECTORS:
            self.macs += given[-2].numel()
        elif operation in self.BY_NUMBERS and len(given) > 1:
            outer = output.numel() > max(tensor.numel() for tensor in given)
            if outer or any(are_weights) != all(are_weights):
                self.macs += output.numel()
        elif any(name in operation.__name__ for name in self.UNCOUNTED):
            self.uncounted.add(operation.__name__)
        return output


# --- the capstone: how well it learns ------------------------------------------------------------

# Short, the same for everybody, and never on the test images. The bar of each recipe stands in
# results/capstone.json, with the runs behind it.
RECIPES = {
    "smoke": dict(train_images=1_000, epochs=4, batch_size=32, learning_rate=0.1),
    "cpu": dict(train_images=8_000, epochs=4, batch_size=32, learning_rate=0.1),
}
SEED = 0  # of the check


def recipe_name() -> str:
    """The recipe of the budget in force."""
    return budget.choose(smoke="smoke", cpu="cpu")


def own_network() -> nn.Module:
    """The course's own network within `LIMITS`: a narrow MobileNet v1."""
    return networks.build("mobilenet_v1_small", width=0.59)


class Run(NamedTuple):
    """How a short run ended: fit's status and message, and accuracies."""

    status: str
    message: str
    training_accuracy: float
    accuracy: float  # on the 5,000 validation images, in evaluation mode


def short_run(
    build: Callable[[], nn.Module], name: str, seed: int, learning_rate: float | None = None
) -> Run:
    """Build a network from one seed, train it by one of `RECIPES`, and score it.

    `learning_rate` replaces that of the recipe.
    """
    recipe = RECIPES[name]
    splits = data.load(
        batch_size=recipe["batch_size"],
        train_images=recipe["train_images"],
        device="cpu",
        seed=seed,
    )
    device.seed_everything(seed)
    network = build().cpu().eval()
    with torch.no_grad():
        network(
            torch.zeros(1, *SHAPE)
        )  # what is made at first use has to be there for the training
    with contextlib.redirect_stdout(io.StringIO()):  # the message of a failed run is in the history
        history = training.fit(
            network,
            splits.train,
            epochs=recipe["epochs"],
            learning_rate=learning_rate or recipe["learning_rate"],
            device="cpu",
            seed=seed,
            progress=False,
        )
    accuracy = training.evaluate(network, splits.validation).accuracy
    reached = history.train_accuracy[-1] if history.train_accuracy else 0.0
    return Run(history.status, history.message, reached, accuracy)
