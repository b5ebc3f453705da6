"""Where the time of a training step goes, and how near the step is to what the processor can do.

A part of benchmarks.speed. The measure of the processor is a large matrix product in float32. A
training step counts as three times the forward MACs (forward, and backward for inputs and for
weights), two operations each.
"""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, record_function

from benchmarks import common
from benchmarks.speed_cases import Case
from benchmarks.speed_rivals import bare_step, batches
from utils import summary
from utils.runs.place import Place
from utils.runs.schedule import make_optimizer

SIZE = 2048
STEP = "## step"  # ranges of ours, beside those that torch records
DATA = "## data"
# The first that occurs in the name of an operation tells its part. Backward operations have names
# such as "autograd::engine::evaluate_function: ConvolutionBackward0".
NAMES = {
    "data": (DATA,),
    "optimizer": ("Optimizer.",),
    "convolution backward": ("convolution_backward", "ConvolutionBackward"),
    "convolution forward": ("aten::conv", "convolution"),
    "batch norm": ("batch_norm", "BatchNorm"),
    "pooling": ("pool", "Pool", "MeanBackward"),
    "activation": ("relu", "Relu", "hardtanh", "Hardtanh", "clamp", "Clamp", "igmoid"),
    "linear": ("aten::linear", "addmm", "AddmmBackward"),
}
PARTS = (*NAMES, "rest")


def matmul(seconds: float) -> dict[str, Any]:
    """GFLOP/s of a product of two float32 matrices of SIZE rows and columns."""
    a, b = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    for _ in range(3):
        a @ b
    rates, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(rates) < 3:
        before = time.perf_counter()
        a @ b
        rates.append(2 * SIZE**3 / (time.perf_counter() - before) / 1e9)
    median = common.summarise(rates, 1)["median"]
    return {"size": SIZE, "gflops": {"median": median, "best": round(max(rates), 1)}}


def profile(case: Case, device: str, seconds: float, best: float) -> dict[str, Any]:
    """Time of a step, its share of the matrix product's rate `best`, and of what it consists."""
    train = batches(case, device)
    with bare_step(case, 0, device, train) as step:
        for _ in range(2):
            step()
        taken, start = [], time.perf_counter()
        while time.perf_counter() - start < seconds / 2 or len(taken) < 3:
            before = time.perf_counter()
            step()
            taken.append(time.perf_counter() - before)
    milliseconds = common.summarise((1000 * t for t in taken), 3)
    shape = (1, case.image_size, case.image_size)
    macs = summary.count_macs(case.model(0), shape)
    gflops = 6 * macs * case.batch_size / milliseconds["median"] / 1e6
    return {
        "image_size": case.image_size,
        "batch_size": case.batch_size,
        "forward_macs": macs,
        "step_milliseconds": {k: milliseconds[k] for k in ("median", "min", "max")},
        "gflops": round(gflops, 1),
        "share_of_matmul": round(gflops / best, 4),
        "parts": parts(case, device, train, seconds / 2),
    }


def parts(case: Case, device: str, train: Iterable, seconds: float) -> dict[str, float]:
    """Share of each of PARTS in the time of steps as `fit` does them."""
    model = case.model(0)
    place = Place(model, device)
    with place.prepared(model):
        optimizer = make_optimizer(model, "sgd", case.learning_rate, 0.9, 5e-4)
        model.train()
        endless = itertools.chain.from_iterable(itertools.repeat(train))

        def step() -> None:
            with record_function(STEP):
                with record_function(DATA):
                    images, labels = place.move(*next(endless))
                loss = F.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        for _ in range(2):
            step()
        start = time.perf_counter()
        step()
        count = max(3, min(50, round(seconds / (time.perf_counter() - start))))
        with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profiler:
            for _ in range(count):
                step()
    steps = times(profiler.events())
    # Of each part the median step: a pause of the machine falls on one part of one step.
    middle = {part: common.summarise((s[part] for s in steps), 1)["median"] for part in PARTS}
    return {part: round(time / sum(middle.values()), 4) for part, time in middle.items()}


def times(events: Iterable[Any]) -> list[collections.Counter[str]]:
    """Microseconds of each part in each step. What an operation calls belongs to its part."""
    steps: dict[int, collections.Counter[str]] = {}
    for event in events:
        callers = [event]  # the event and those that called it, the outermost last
        while callers[-1].cpu_parent is not None:
            callers.append(callers[-1].cpu_parent)
        if callers[-1].name != STEP:
            continue
        known = [part for part in (part_of(c.name) for c in callers) if part != "rest"]
        step = steps.setdefault(id(callers[-1]), collections.Counter())
        step[known[-1] if known else "rest"] += event.self_cpu_time_total
    return list(steps.values())


def part_of(name: str) -> str:
    for part, marks in NAMES.items():
        if any(mark in name for mark in marks):
            return part
    return "rest"
