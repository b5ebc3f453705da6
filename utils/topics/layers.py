"""The layers of a network as they are called: what they get, their MACs and times by kind."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from utils import summary

# Processor time, so that other programs disturb it less. Windows measures it too coarsely.
clock = time.perf_counter if sys.platform == "win32" else time.process_time


class Call(NamedTuple):
    """A layer that ran, what it got and what it gave."""

    layer: nn.Module
    input: Tensor
    output: Tensor


def calls(network: nn.Module, images: Tensor) -> list[Call]:
    """Every layer without layers inside it, in the order in which they run, in evaluation mode."""
    found: list[Call] = []
    hooks = [
        layer.register_forward_hook(lambda layer, got, gave: found.append(Call(layer, *got, gave)))
        for layer in network.modules()
        if not list(layer.children())
    ]
    try:
        with torch.no_grad():
            network.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def kind(layer: nn.Module) -> str:
    """The kind of layer under which its MACs and its time are added up."""
    if isinstance(layer, nn.Conv2d):
        if layer.groups > 1:
            return "depthwise"
        return "1x1" if layer.kernel_size == (1, 1) else "full 3x3"
    names = {nn.BatchNorm2d: "batch norm", nn.ReLU: "ReLU", nn.ReLU6: "ReLU"}
    return names.get(type(layer), "rest")


def macs(network: nn.Module, input_shape: Sequence[int]) -> dict[str, float]:
    """Millions of MACs for one image of shape (C, H, W), by kind of layer."""
    layers = dict(network.named_modules())
    found: dict[str, float] = {}
    for row in summary.table(network, input_shape).rows:
        which = kind(layers[row.name])
        found[which] = found.get(which, 0) + row.macs / 1e6
    return found


def divided(
    found: Mapping[str, Mapping[str, float]],
    first: str,
    second: str,
    kinds: Sequence[str] | None = None,
) -> float:
    """How many times less `second` has than `first`, of these kinds of layer or of all."""
    both = [
        sum(value for kind, value in found[name].items() if kinds is None or kind in kinds)
        for name in (first, second)
    ]
    return both[0] / both[1]


def stored_factors(report: Mapping[str, Any]) -> dict[str, float]:
    """What results/mobilenet.json says of the rows of chapter 9's table: divided by how much."""
    speed, twins = report["speed"], report["twins"]
    network, parts = speed["network_224"], speed["kinds_224"]

    def faster(name: str) -> float:
        return float(network[name]["times_faster"]["median"])

    medians = {
        name: {kind: part["milliseconds"]["median"] for kind, part in parts[name].items()}
        for name in ("full", "v1")
    }
    v1, v2 = network["v1_channels_last"], network["v2_channels_last"]
    in_onnx = [speed[f"int8_{name}_224"]["float"]["milliseconds"] for name in ("v1", "v2")]
    return {
        "small network: MACs": twins["times_fewer_macs"],
        "small network: a training step": twins["times_faster"],
        "full 3×3 to v1: MACs": v1["times_fewer_macs"],
        "full 3×3 to v1: time": faster("v1_channels_last"),
        "- batch norm folded": faster("v1_folded_against_full_folded"),
        "- convolutions alone": divided(medians, "full", "v1", ["full", "depthwise", "pointwise"]),
        "v1 to v2: MACs": v1["macs"] / v2["macs"],
        "v1 to v2: time": faster("v2_channels_last_against_v1_channels_last"),
        "- in onnxruntime": in_onnx[0] / in_onnx[1],
    }


def milliseconds(network: nn.Module, images: Tensor) -> dict[str, float]:
    """Processor time of one run by kind of layer; what is between the layers is left out."""
    spent: dict[str, float] = {}
    started: dict[nn.Module, float] = {}

    def before(layer: nn.Module, got: object) -> None:
        started[layer] = clock()

    def after(layer: nn.Module, got: object, gave: object) -> None:
        spent[kind(layer)] = spent.get(kind(layer), 0) + 1000 * (clock() - started[layer])

    hooks = []
    for layer in network.modules():
        if not list(layer.children()):  # a layer, not a block of layers
            hooks += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    try:
        with torch.inference_mode():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return spent


def milliseconds_a_call(run: Callable[[Tensor], object], images: Tensor, calls: int) -> float:
    """Processor time of one `run(images)` on one thread: the mean of `calls` after a warm-up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            run(images)  # warms up
            start = clock()
            for _ in range(calls):
                run(images)
            return 1000 * (clock() - start) / calls
    finally:
        torch.set_num_threads(threads)


def fastest(
    networks: Mapping[str, nn.Module], images: Tensor, rounds: int
) -> dict[str, dict[str, float]]:
    """`milliseconds` of each network in its fastest round: one thread, channels last.

    The networks take turns. They stay in the memory format channels last.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        images = images.to(memory_format=torch.channels_last)
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in networks}
        for _ in range(rounds):
            for name, network in networks.items():
                network.to(memory_format=torch.channels_last)
                taken[name].append(milliseconds(network, images))
    finally:
        torch.set_num_threads(threads)
    return {
        name: min(found, key=lambda spent: sum(spent.values())) for name, found in taken.items()
    }
