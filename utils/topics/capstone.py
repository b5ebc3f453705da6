"""The capstone of chapter 10: design a network within `LIMITS`, and see how well it learns.

`measure` says what a network costs, however it is written; `short_run` trains it by a fixed recipe.
The bar of each recipe, and the runs behind it, are in results/capstone.json.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from utils import budget, data, device, diagnosis, networks, training

aten = torch.ops.aten

LIMITS = {"macs": 1_000_000, "parameters": 30_000}  # of one image of 28×28 pixels
SHAPE = (1, 28, 28)

# Short, the same for everybody, and never on the test images.
RECIPES = {
    "smoke": dict(train_images=1_000, epochs=4, batch_size=32, learning_rate=0.1),
    "cpu": dict(train_images=8_000, epochs=4, batch_size=32, learning_rate=0.1),
}
SEED = 0  # of the check


# --- what a network costs -------------------------------------------------------------------------


class Cost(NamedTuple):
    """What `measure` counts for one image.

    `parameters` includes `hidden`: numbers that the network computes with and that are not in
    `parameters()`. `uncounted` names operations whose multiplications cannot be counted.
    """

    parameters: int
    macs: int
    hidden: int
    uncounted: tuple[str, ...]


def measure(network: nn.Module, shape: tuple[int, int, int] = SHAPE) -> Cost:
    """Parameters and MACs of a network for one image of `shape` (C, H, W).

    Counted in evaluation and in training mode; the larger number is the answer. It sees every
    operation, so a convolution may be a layer, a function or a product of matrices, and its weights
    may be parameters, buffers or something else. The network is left as it was, except for the
    statistics of batch norm.
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
    `summary.count_macs` it counts convolutions and products of matrices. It also counts what can
    replace them: products of a weight with a map, number by number, and products that are larger
    than both factors.
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


# --- how well it learns ---------------------------------------------------------------------------


def recipe_name() -> str:
    """The name of the recipe for the current budget."""
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
    """Build a network from one seed, train it by the recipe `name`, and score it.

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
        network(torch.zeros(1, *SHAPE))  # lazy layers get their weights before the optimizer
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
