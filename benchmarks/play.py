"""Trained networks for the page to play with, stored so that a browser can run them.

Each network is trained by its recipe of benchmarks.accuracy from seed 0. Its weights are rounded to
half precision, and the test accuracy is that of the rounded network. Writes results/play/.

    python -m benchmarks.play          # all networks and the test images
    python -m benchmarks.play lenet

`NETWORK.json` has the steps of the network in their order, `NETWORK.f16` the tensors of its state
dict one after another, little-endian. `images.json` has the test images. SqueezeNet is trained
already: `squeezenet.json` has its steps, and its tensors are in data/pretrained/.
"""

from __future__ import annotations

import base64
import dataclasses
import operator
from typing import Any

import torch
import torch.fx
from torch import Tensor, nn

from benchmarks import accuracy, common
from utils import atomic, data, networks, results
from utils.networks import pretrained
from utils.topics import network_tables

NAMES = ("lenet", "nin_small", "resnet_small", "mobilenet_v1_small")
PRETRAINED = "squeezenet"
SEED = 0
IMAGES_PER_CLASS = 4
NOT_STORED = "num_batches_tracked"  # counts batches in training; nothing is computed with it

# --- a network as a list of steps -----------------------------------------------------------------


def steps(model: networks.ImageClassifier) -> list[dict[str, Any]]:
    """What `model` computes in evaluation mode, step by step, as a browser needs it.

    A step has a name, an operation `op`, the numbers of the steps it takes its input from (-1 is
    the image), the shape of its output without N, and what its operation needs: `kernel_size`,
    `stride`, `padding` and `groups` of a convolution, those and `ceil_mode` of a pooling, `eps` of
    a batch norm.

    Raises:
        ValueError: the network has an operation that the page does not know.
    """
    traced = torch.fx.symbolic_trace(model.eval())
    shapes = _Shapes(traced)
    size = model.image_size
    shapes.run(torch.zeros(1, model.in_channels, size, size))
    numbers: dict[torch.fx.Node, int] = {}
    found: list[dict[str, Any]] = []
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            numbers[node] = -1
            continue
        if node.op == "output":
            break
        module = traced.get_submodule(node.target) if node.op == "call_module" else None
        inputs = [numbers[argument] for argument in node.all_input_nodes]
        if isinstance(module, nn.Identity | nn.Dropout):
            numbers[node] = inputs[0]
            continue
        name = str(node.target) if module is not None else _name_of_function(node)
        found.append(
            {"name": name, "inputs": inputs, "shape": shapes.of[node]} | _settings(node, module)
        )
        numbers[node] = len(found) - 1
    return found


class _Shapes(torch.fx.Interpreter):
    """Runs a traced network and remembers the shape of every result, without N."""

    def __init__(self, traced: torch.fx.GraphModule) -> None:
        super().__init__(traced)
        self.of: dict[torch.fx.Node, list[int]] = {}

    def run_node(self, node: torch.fx.Node) -> Any:
        result = super().run_node(node)
        if isinstance(result, Tensor):
            self.of[node] = list(result.shape[1:])
        return result


def _name_of_function(node: torch.fx.Node) -> str:
    """A sum belongs to its block: "features.stage1.block1.sum"; maps that are joined as well."""
    (branch, *_) = node.all_input_nodes
    if node.target is torch.cat:
        return f"{str(branch.target).rsplit('.', 2)[0]}.cat"
    return f"{str(branch.target).partition('.branch')[0]}.sum"


def _pair(value: int | tuple[int, int]) -> int:
    first, second = value if isinstance(value, tuple) else (value, value)
    if first != second:
        raise ValueError(f"The page takes square kernels and equal strides only, not {value}.")
    return first


def _window(module: nn.Module) -> dict[str, int]:
    names = ("kernel_size", "stride", "padding")
    return {name: _pair(getattr(module, name)) for name in names}


def _settings(node: torch.fx.Node, module: nn.Module | None) -> dict[str, Any]:
    """The operation of a step and what it needs."""
    if isinstance(module, nn.Conv2d) and _pair(module.dilation) == 1:
        return {"op": "conv", **_window(module), "groups": module.groups}
    if isinstance(module, nn.BatchNorm2d):
        return {"op": "norm", "eps": module.eps}
    if isinstance(module, nn.ReLU):
        return {"op": "relu"}
    if isinstance(module, nn.MaxPool2d) and _pair(module.dilation) == 1:
        rounding = {"ceil_mode": True} if module.ceil_mode else {}
        return {"op": "max_pool", **_window(module), **rounding}
    if isinstance(module, nn.AdaptiveAvgPool2d) and _pair(module.output_size) == 1:
        return {"op": "average"}
    if isinstance(module, nn.Flatten):
        return {"op": "flatten"}
    if isinstance(module, nn.Linear):
        return {"op": "linear"}
    if node.op == "call_function" and node.target is operator.add:
        return {"op": "add"}
    dimension = (node.kwargs.get("dim"), *node.args[1:])
    if node.op == "call_function" and node.target is torch.cat and 1 in dimension:
        return {"op": "concatenate"}
    raise ValueError(
        f"The page knows no {module or node.target}: add it to tools/site/play/operations.js."
    )


# --- stored weights -------------------------------------------------------------------------------


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of the state dict that are stored, in their order."""
    state = model.state_dict()
    return {name: tensor for name, tensor in state.items() if not name.endswith(NOT_STORED)}


def round_to_half(model: nn.Module) -> None:
    """Round every stored tensor to half precision, in place; it stays float32.

    Raises:
        ValueError: a value is too large for half precision.
    """
    for name, tensor in tensors(model).items():
        tensor.copy_(tensor.half().float())
        if not tensor.isfinite().all():
            raise ValueError(f"{model.name}: {name} has a value that half precision cannot hold.")


def load(name: str) -> networks.ImageClassifier:
    """The stored network, in evaluation mode: what the page has to agree with."""
    if name == PRETRAINED:
        return networks.build(name, pretrained=True)
    return network_tables.trained(name)


def store(name: str) -> None:
    """Train one network, or go on where an interrupted training stopped; write its two files."""
    recipe = accuracy.RECIPES[name]
    splits = common.load(recipe, SEED)
    checkpoint = common.ROOT / "checkpoints" / f"play_{name}.pt"
    checkpoint.parent.mkdir(exist_ok=True)
    model, history = common.train(
        lambda: accuracy.network_of(name),
        splits.train,
        recipe,
        SEED,
        splits.validation,
        checkpoint=checkpoint,
    )
    full = common.accuracy(model, splits.test)
    round_to_half(model)
    stored = tensors(model)
    values = torch.cat([tensor.flatten() for tensor in stored.values()]).numpy().astype("<f2")
    atomic.write(results.FOLDER / "play" / f"{name}.f16", values.tobytes())
    content = common.header(f"{name} for the page to play with, trained on Fashion-MNIST")
    content |= {"network": name, "seed": SEED, "recipe": {"images": 55_000, **recipe}}
    content |= common.size(model) | {"status": history.status}
    content |= {"test_accuracy_in_float32": full}
    content |= {"test_accuracy": common.accuracy(model, splits.test)}
    content |= {"mean": splits.mean[0], "std": splits.std[0], "classes": list(splits.classes)}
    content["tensors"] = [[key, list(tensor.shape)] for key, tensor in stored.items()]
    content["steps"] = steps(model)
    common.write(f"play/{name}.json", content)
    for path in checkpoint.parent.glob(f"{checkpoint.name}*"):
        path.unlink()
    print(name, content["test_accuracy_in_float32"], content["test_accuracy"], flush=True)


def store_pretrained() -> None:
    """Write what the page needs of SqueezeNet besides its tensors."""
    model = load(PRETRAINED)
    content = common.header(f"{PRETRAINED} for photographs on the page to play with")
    content |= {"network": PRETRAINED, **common.size(model, (3, 224, 224))}
    content |= dataclasses.asdict(model.preprocessing)
    content["tensors"] = [
        [name, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for name, tensor in pretrained.stored(PRETRAINED).items()
    ]
    content["steps"] = steps(model)
    common.write(f"play/{PRETRAINED}.json", content)


def store_images() -> None:
    """Write the first test images of each class, in the order of the test set."""
    splits = data.load("fashion_mnist", device="cpu")
    labels = splits.test.labels.tolist()
    chosen: list[int] = []
    for label in range(len(splits.classes)):
        found = [index for index, value in enumerate(labels) if value == label]
        chosen += found[:IMAGES_PER_CLASS]
    chosen.sort()
    pixels = splits.test.images[chosen].numpy().tobytes()
    content = common.header("Test images of Fashion-MNIST for the page to play with")
    content |= {"index": chosen, "label": [labels[index] for index in chosen]}
    content["pixels"] = base64.b64encode(pixels).decode()
    common.write("play/images.json", content)


def main() -> None:
    arguments = common.parser(__doc__, names=(*NAMES, PRETRAINED)).parse_args()
    (results.FOLDER / "play").mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    store_images()
    for name in arguments.names:
        store_pretrained() if name == PRETRAINED else store(name)


if __name__ == "__main__":
    main()
