"""Any network as its feature maps shrink and deepen, drawn from one forward pass.

`stages` runs one image through a network and follows it from operation to operation, so a network
may be written in any way. `network` draws the result. What branches and joins again is one block;
equal blocks one after the other are one stage.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch, Polygon, Rectangle
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from utils import diagnosis, summary
from utils.plotting.look import style

aten = torch.ops.aten
MAXIMA = (aten.max_pool2d, aten.max_pool2d_with_indices, aten.adaptive_max_pool2d, aten.amax)
AVERAGES = (aten.avg_pool2d, aten._adaptive_avg_pool2d, aten.mean)
PRODUCTS = (aten.mm, aten.addmm, aten.bmm, aten.baddbmm)
JOINTS = {aten.cat: "cat", aten.add: "+", aten.add_: "+", aten.mul: "×", aten.mul_: "×"}
MAPS = ("conv", "1x1", "depthwise")


# --- what one image goes through ------------------------------------------------------------------


@dataclass(eq=False)
class Step:
    """One operation: a convolution, a pooling, a linear layer, or a place where branches meet."""

    kind: str
    label: str
    shape: tuple[int, ...]
    inputs: list[int]
    modules: tuple[nn.Module, ...] = ()
    stride: int = 1
    parameters: int = 0
    macs: int = 0
    name: str = ""

    @property
    def text(self) -> str:
        named = f"{self.name}: {self.label}" if self.name else self.label
        return f"{named} /{self.stride}" if self.stride > 1 else named


class _Trace(TorchDispatchMode):
    """Writes down the steps; every tensor knows the step that it comes from."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.steps = [Step("input", "input", tuple(image.shape[1:]), [])]
        self.modules: list[nn.Module] = []
        self.begun: list[int] = []
        self.counted: set[int] = set()
        self.filled: dict[int, tuple[Tensor, list[int]]] = {}
        image._step = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func.overloadpacket is aten.copy_:
            self._fill(*tensors[:2])
        elif not func.is_view:
            for tensor in tensors:
                self.join(tensor)
        sources = list(dict.fromkeys(t._step for t in tensors if hasattr(t, "_step")))
        if sources:
            results = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
            step = self._seen(func.overloadpacket, args, tensors, results[0], sources)
            number = max(sources) if step is None else self._add(step)
            for result in results:
                result._step = number
        return output

    def _fill(self, part: Tensor, source: Tensor) -> None:
        """Part of a larger tensor gets its values, as in `maps[:, :4] = …`."""
        storage = part.untyped_storage()
        if part.numel() * part.element_size() < storage.nbytes() and hasattr(source, "_step"):
            self.filled.setdefault(storage._cdata, (part, []))[1].append(source._step)

    def join(self, whole: Tensor) -> None:
        """Where a tensor that was filled part by part is used, its parts meet, as by `cat`."""
        storage = whole.untyped_storage()
        if whole.numel() * whole.element_size() == storage.nbytes():
            _, parts = self.filled.pop(storage._cdata, (None, []))
            sources = list(dict.fromkeys(parts))
            if len(sources) > 1:
                whole._step = self._add(Step("cat", "cat", tuple(whole.shape[1:]), sources))
            elif sources:
                whole._step = sources[0]

    def _add(self, step: Step) -> int:
        step.modules = tuple(self.modules)
        self.steps.append(step)
        return len(self.steps) - 1

    def _seen(
        self, op: Any, args: Sequence, tensors: list[Tensor], output: Tensor, sources: list[int]
    ) -> Step | None:
        """The step that an operation is, or None where it changes nothing that is drawn."""
        before, shape = tensors[0].shape, tuple(output.shape[1:])
        if op is aten.convolution:
            weight, kernel = args[1], args[1].shape[2:]
            depthwise = args[8] > 1 and weight.shape[1] == 1
            label = "×".join(map(str, kernel))
            kind = "depthwise" if depthwise else "1x1" if set(kernel) == {1} else "conv"
            label = f"dw {label}" if depthwise else label
            label += f"\n{args[8]} groups" if args[8] > 1 and not depthwise else ""
            macs = output.numel() * weight[0].numel()
            return Step(kind, label, shape, sources[-1:], stride=args[3][0], macs=macs)
        if op in PRODUCTS:
            macs = output.numel() * tensors[-1].shape[-2]
            return Step("linear", "linear", shape, sources[-1:], macs=macs)
        if op in JOINTS and (len(sources) > 1 or op is aten.cat):
            return Step(JOINTS[op], JOINTS[op], shape, sources)
        if op in (*MAXIMA, *AVERAGES) and len(before) > 2 and math.prod(before[2:]) > 1:
            name = "max" if op in MAXIMA else "average"
            if op in (aten.mean, aten.amax):
                dims = {d % len(before) for d in args[1]} if len(args) > 1 else {0}
                if dims != set(range(2, len(before))):
                    return None
                return Step("global", f"global\n{name}", (before[1],), sources)
            adaptive = op in (aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d)
            if math.prod(shape[1:]) == 1 and (adaptive or op is aten.avg_pool2d):
                return Step("global", f"global\n{name}", (before[1],), sources)
            if adaptive and before[2:] == output.shape[2:]:
                return None
            kernel = [math.ceil(a / b) for a, b in zip(before[2:], shape[1:])]
            stride = kernel
            if not adaptive:
                kernel = args[1]
                stride = args[2] if len(args) > 2 and args[2] else kernel
            label = f"{name.replace('average', 'avg')} {kernel[0]}×{kernel[-1]}"
            return Step("pool", label, shape, sources, stride=stride[0])
        return None

    def begin(self, module: nn.Module, inputs: Any) -> None:
        self.modules.append(module)
        self.begun.append(len(self.steps))

    def end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        first = self.begun.pop()
        result = next((leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)), None)
        if result is not None:
            self.join(result)
        last = getattr(result, "_step", len(self.steps) - 1)
        if first == len(self.steps) and not any(module.children()) and hasattr(result, "_step"):
            # A layer of another kind is drawn where it changes more than how numbers are arranged.
            old, new = self.steps[last].shape, tuple(result.shape[1:])
            if old != new and (len(old) == len(new) or math.prod(old) != math.prod(new)):
                last = self._add(Step("other", type(module).__name__, new, [last]))
                result._step = last
        self.modules.pop()
        own = [p for p in module.parameters(recurse=False) if id(p) not in self.counted]
        self.counted.update(map(id, own))
        inside = [s for s in self.steps[first:] if s.modules and s.modules[-1] is module]
        (inside or [self.steps[last]])[0].parameters += sum(p.numel() for p in own)


def _steps(model: nn.Module, input_shape: Sequence[int]) -> list[Step]:
    """The steps on the way from the image to the result; the last one is the result."""
    model = getattr(model, "_orig_mod", model)
    image = summary.blank_image(model, input_shape)
    trace = _Trace(image)
    hooks = [m.register_forward_pre_hook(trace.begin) for m in model.modules()]
    hooks += [m.register_forward_hook(trace.end) for m in model.modules()]
    try:
        with diagnosis.modes_kept(model), torch.no_grad(), trace:
            model.eval()
            output = model(image)
    finally:
        for hook in hooks:
            hook.remove()
    last = next(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
    needed, wanted = {0}, [getattr(last, "_step", 0)]
    while wanted:
        number = wanted.pop()
        if number not in needed:
            needed.add(number)
            wanted += trace.steps[number].inputs
    order = sorted(needed)
    places = {number: place for place, number in enumerate(order)}
    steps = [trace.steps[number] for number in order]
    for step in steps:
        step.inputs = [places[number] for number in step.inputs]
    return steps


# --- stages ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class Stage:
    """One box of the drawing: equal blocks, or layers with maps of one shape.

    `kind` is "input", "layers", "residual", "branches", "pool", "global", "linear" or "other".
    `shape` is that of the output, (C, H, W) or (features,). `branches` holds the steps of one
    block, branch by branch; `count` says how many such blocks there are. `shortcuts` has one
    entry for each block: "identity", "projection" or None.
    """

    kind: str
    shape: tuple[int, ...]
    branches: list[list[Step]]
    parameters: int
    macs: int
    shortcuts: list[str | None] = field(default_factory=list)
    strides: list[int] = field(default_factory=list)
    count: int = 1

    @property
    def pattern(self) -> list[list[str]]:
        return [[step.label for step in branch] for branch in self.branches]


def stages(model: nn.Module, input_shape: Sequence[int]) -> list[Stage]:
    """The boxes that `network` draws, from the image to the result.

    >>> from utils import networks
    >>> for stage in stages(networks.build("lenet"), (1, 28, 28)):
    ...     print(stage.kind, stage.shape, stage.parameters)
    """
    steps = _steps(model, input_shape)
    found: list[Stage] = []
    for unit in _separable(_inside_blocks(_units(steps), steps)):
        last = found[-1] if found else None
        same = last and last.kind == unit.kind and last.shape == unit.shape
        if same and unit.kind in ("layers", "residual", "branches"):
            last.parameters += unit.parameters
            last.macs += unit.macs
            if last.pattern == unit.pattern:
                last.count += 1
                last.shortcuts += unit.shortcuts
                last.strides += unit.strides
                continue
            if unit.kind == "layers" and len(last.branches) == 1:
                # Other kernels on maps of the same shape, as in an mlpconv layer.
                last.branches = [last.branches[0] * last.count + unit.branches[0]]
                last.count, last.strides = 1, last.strides[:1]
                continue
            last.parameters -= unit.parameters
            last.macs -= unit.macs
        found.append(unit)
    return found


def _stage(kind: str, branches: list[list[Step]], end: Step, shortcuts=(None,)) -> Stage:
    members = [step for branch in branches for step in branch]
    members += [] if end in members else [end]
    stride = max((math.prod(step.stride for step in branch) for branch in branches), default=1)
    parameters, macs = (
        sum(getattr(step, what) for step in members) for what in ("parameters", "macs")
    )
    return Stage(kind, end.shape, branches, parameters, macs, list(shortcuts), [stride])


def _units(steps: list[Step]) -> list[Stage]:
    """Single layers, and what lies between a fork and the place where its branches meet."""
    last = len(steps) - 1
    down, up = [1] + [0] * last, [0] * last + [1]  # ways from the image here, from here to the end
    for number, step in enumerate(steps):
        for source in step.inputs:
            down[number] += down[source]
    for number in range(last, -1, -1):
        for source in steps[number].inputs:
            up[source] += up[number]
    trunk = [number for number in range(last + 1) if down[number] * up[number] == down[last]]
    units = [_stage("input", [[steps[0]]], steps[0])]
    for fork, joint in itertools.pairwise(trunk):
        end = steps[joint]
        if end.kind not in JOINTS.values():
            kind = "layers" if end.kind in MAPS else end.kind
            units.append(_stage(kind, [[end]], end))
            continue
        branches = [_branch(steps, source, fork) for source in end.inputs]
        if end.kind == "cat":
            units.append(_stage("branches", branches, end))
            continue
        main = max(branches, key=len)
        beside = [branch for branch in branches if branch is not main]
        shortcut = "projection" if any(beside) else "identity"
        unit = _stage("residual", [main], end, [shortcut])
        for step in (step for branch in beside for step in branch if step not in main):
            unit.parameters += step.parameters
            unit.macs += step.macs
        units.append(unit)
    return units


def _branch(steps: list[Step], source: int, fork: int) -> list[Step]:
    """The steps between the fork and one input of the joint, in the order in which they run."""
    found, wanted = set(), [source]
    while wanted:
        number = wanted.pop()
        if number > fork and number not in found:
            found.add(number)
            wanted += steps[number].inputs
    return [steps[number] for number in sorted(found) if steps[number].kind not in ("+", "×")]


def _inside_blocks(units: list[Stage], steps: list[Step]) -> list[Stage]:
    """Blocks of a class that has shortcuts elsewhere are blocks where they have none, too."""
    kinds = {
        type(step.modules[-1]) for step in steps if step.kind == "+" and len(step.modules) > 1
    } - {nn.Sequential}
    found: list[Stage] = []
    block = None
    for unit in units:
        step = unit.branches[0][0] if unit.branches[0] else None
        owner = next((m for m in step.modules if type(m) in kinds), None) if step else None
        if unit.kind != "layers" or owner is None:
            block = None
            found.append(unit)
        elif owner is block:
            merged = _stage("residual", [found[-1].branches[0] + unit.branches[0]], step)
            found[-1] = merged
        else:
            block = owner
            found.append(_stage("residual", unit.branches, step))
    return found


def _separable(units: list[Stage]) -> list[Stage]:
    """A depthwise convolution and the 1x1 after it are one block."""
    found: list[Stage] = []
    for unit in units:
        before = found[-1] if found else None
        if (
            before
            and before.kind == unit.kind == "layers"
            and [step.kind for step in before.branches[0]] == ["depthwise"]
            and unit.branches[0][0].kind == "1x1"
        ):
            step = unit.branches[0][0]
            found[-1] = _stage("layers", [before.branches[0] + [step]], step)
        else:
            found.append(unit)
    return found


# --- the drawing ----------------------------------------------------------------------------------

# Face and hatch of each kind; without colour they differ by hatch and by lightness.
LOOKS = {
    "input": ("#FFFFFF", ""),
    "conv": ("#BFDDF2", ""),
    "1x1": ("#F4C28F", "////"),
    "depthwise": ("#D9CBEA", "----"),
    "pool": ("#7F7F7F", ""),
    "global": ("#FFFFFF", "...."),
    "linear": ("#A8D5BA", "xxxx"),
    "other": ("#FFFFFF", "\\\\\\\\"),
}
NAMES = {
    "conv": "convolution",
    "1x1": "1×1 convolution",
    "depthwise": "depthwise convolution (dw)",
    "pool": "pooling",
    "global": "global pooling",
    "linear": "linear",
    "other": "another layer",
}
PITCH, LINE = 0.9, 0.15  # inches: from box to box, from line to line
EDGE, NAMED = 0.1, 0.7  # inches left of the first box: without and with the rows' names
INK = "#222222"
PARAMETERS, MACS = {"facecolor": "#333333"}, {"facecolor": "white", "hatch": "/////"}


def network(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    title: str | None = None,
    per_row: int = 5,
    numbers: bool = True,
    names: bool = False,
    beside: Sequence[nn.Module] = (),
) -> Figure:
    """Draw any network as its feature maps shrink and deepen.

    The height of a box follows the side of the maps, its width their channels. Above it are the
    kernels ("3×3 /2" has stride 2, "×4" means four such blocks), below it the shape of its output,
    its parameters and its MACs, in rows that are named at the left; the bars compare them across
    the network. An arc is a shortcut. A box in layers, one above the other, is a block of parallel
    branches.

    Args:
        model: any network that takes one image. It runs once, on zeros, and stays as it was.
        input_shape: (C, H, W) of the image.
        title: above the drawing; left out, the name of the network and its sums.
        per_row: how many boxes a row has at most.
        numbers: parameters and MACs below the boxes.
        names: what the network calls its layers with weights ("conv1"), above boxes of such layers.
        beside: networks for the same image whose drawings are read beside this one. The bars of all
            of them have one scale then.

    `plotting.network(networks.build("lenet"), (1, 28, 28))` draws LeNet. A large network is drawn
    at once, and without its memory, if it is built without numbers:

        with torch.device("meta"):
            network = networks.build("vgg16")
        plotting.network(network, (3, 224, 224))
    """
    boxes = stages(model, input_shape)
    if names:
        _name(boxes, model)
    rows = -(-len(boxes) // per_row)
    columns = -(-len(boxes) // rows)
    cut = [boxes[first : first + columns] for first in range(0, len(boxes), columns)]
    if title is None:
        name = getattr(model, "name", type(model).__name__)
        sums = (sum(getattr(box, what) for box in boxes) for what in ("parameters", "macs"))
        title = f"{name}: {{}} parameters, {{}} MACs".format(*map(short, sums))
    scale = _Scale(boxes, *(stages(other, input_shape) for other in beside))
    heights = [_row_height(row, scale, numbers) for row in cut]
    legend = _legend(boxes, numbers)
    legend_columns = 2 if columns < 6 else 3
    below = 0.19 * -(-len(legend) // legend_columns) + 0.1
    left = NAMED if numbers else EDGE
    width, height = left + PITCH * columns + EDGE, sum(heights) + below + 0.3
    with style():
        figure = plt.figure(figsize=(width, height))
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set(xlim=(0, width), ylim=(0, height))
        axis.set_axis_off()
        axis.text(width / 2, height - 0.17, title, ha="center", va="center", fontsize=10)
        top = height - 0.3
        for number, (row, tall) in enumerate(zip(cut, heights)):
            base = top - tall + (0.72 if numbers else 0.28)
            _draw_row(axis, row, left, base, scale, numbers, goes_on=number < rows - 1)
            top -= tall
        axis.legend(
            handles=legend, loc="lower center", ncols=legend_columns, fontsize=8, borderpad=0.2,
            handlelength=1.9, columnspacing=1.2, labelspacing=0.35,
        )  # fmt: skip
    return figure


def _name(boxes: list[Stage], model: nn.Module) -> None:
    """Give the layers with weights their names; a box of several equal blocks keeps its kernels."""
    found = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    for step in (step for box in boxes if box.count == 1 for b in box.branches for step in b):
        if step.parameters and step.modules:
            step.name = found.get(id(step.modules[-1]), "")


def short(number: int) -> str:
    """A number in at most four digits: 61.7 k, 4.23 M, 15.5 G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            value = number / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    return str(number)


class _Scale:
    """From shapes to inches."""

    def __init__(self, boxes: list[Stage], *others: list[Stage]) -> None:
        everywhere = [*boxes, *itertools.chain(*others)]
        self.side = max(boxes[0].shape[1:], default=1)
        self.parameters = max(box.parameters for box in everywhere) or 1
        self.macs = max(box.macs for box in everywhere) or 1

    def size(self, shape: tuple[int, ...]) -> tuple[float, float, float]:
        """Width, height and depth of the box of these maps (or of this vector)."""
        if len(shape) != 3:
            return 0.13, 0.1 + 0.07 * math.log2(max(2, shape[-1])), 0.0
        channels, height, width = shape
        high, deep = (1.15 * math.sqrt(side / self.side) for side in (height, width))
        return 0.035 + 0.02 * math.log2(channels), max(0.09, high), 0.22 * deep


def _slabs(box: Stage) -> list[Step]:
    """The feature maps that are drawn: those of one block, or of a few layers."""
    if box.kind in ("branches", "input"):
        return []
    steps = [step for step in box.branches[0] if step.kind != "cat"]
    return (steps * box.count)[:4] if box.kind == "layers" and len(steps) == 1 else steps[:4]


def _lines(box: Stage) -> list[str]:
    """What is written above a box: its kernels, and how often there are such blocks."""
    if box.kind == "input":
        return ["input"]
    varied = len(set(box.strides)) > 1
    lines = []
    for branch in box.branches[:5]:
        texts = [step.label if varied else step.text for step in branch if step.kind != "cat"]
        if box.kind == "branches":
            kinds = [step.kind for step in branch if step.kind != "cat"]
            texts = ["pool" if kind == "pool" else text for kind, text in zip(kinds, texts)]
            texts = [", ".join(texts) or "identity"]
        lines += texts
    lines = [line for text in lines for line in text.split("\n")]
    if len(box.branches) > 5:
        lines = [f"{len(box.branches)} branches"]
    elif box.kind != "branches" and len(set(lines)) == 1 < len(lines) and box.count == 1:
        lines = [lines[0], f"×{len(lines)}"]
    elif len(lines) > 5:
        lines = [*lines[:3], f"… {len(lines) - 3} more"]
    if box.count > 1:
        lines.append(f"×{box.count}")
    if varied:
        lines.append(f"(first /{max(box.strides)})")
    return lines


def _row_height(row: list[Stage], scale: _Scale, numbers: bool) -> float:
    return max(_top(box, scale) + LINE * len(_lines(box)) for box in row) + (
        0.82 if numbers else 0.4
    )


def _top(box: Stage, scale: _Scale) -> float:
    """How high the box is, shortcuts included."""
    shapes = [step.shape for step in _slabs(box)] or [box.shape]
    high = max(height + 0.5 * depth for _, height, depth in map(scale.size, shapes))
    return high + (0.17 if any(box.shortcuts) else 0.03)


def _draw_row(
    axis: Axes,
    row: list[Stage],
    first: float,
    base: float,
    scale: _Scale,
    numbers: bool,
    goes_on: bool,
) -> None:
    edges = []
    if numbers and any(box.parameters + box.macs for box in row):
        # Outside the boxes: below the input they were taken for what the input has.
        for y, name in ((0.33, "parameters"), (0.55, "MACs")):
            axis.text(EDGE, base - y, name, ha="left", va="center", fontsize=8, color=INK)
    for column, box in enumerate(row):
        middle = first + PITCH * (column + 0.5)
        left, right = _draw_box(axis, box, middle, base, scale)
        edges.append((left, right))
        top = base + _top(box, scale)
        for number, line in enumerate(reversed(_lines(box))):
            axis.text(
                middle, top + LINE * (number + 0.5), line, ha="center", va="center", fontsize=8.5,
                fontweight="bold" if line.startswith("×") else "normal",
            )  # fmt: skip
        shape = "×".join(map(str, box.shape))
        size = 9 if len(shape) < 10 else 8
        axis.text(middle, base - 0.14, shape, ha="center", va="center", fontsize=size)
        if numbers and box.parameters + box.macs:
            _draw_number(axis, middle, base - 0.33, box.parameters, scale.parameters, PARAMETERS)
            _draw_number(axis, middle, base - 0.55, box.macs, scale.macs, MACS)
    for (_, start), (end, _) in itertools.pairwise(edges):
        _arrow(axis, start + 0.02, end - 0.02, base + 0.05)
    if goes_on:
        _arrow(axis, edges[-1][1] + 0.02, first + PITCH * len(row) + 0.05, base + 0.05)


def _draw_number(
    axis: Axes, middle: float, y: float, value: int, largest: int, look: dict[str, str]
) -> None:
    """A number and, below it, a bar that compares it with the largest of its kind."""
    axis.text(middle, y, short(value), ha="center", va="center", fontsize=8, color=INK)
    _draw_bar(axis, middle, y - 0.125, (PITCH - 0.12) * value / largest, look)


def _draw_bar(axis: Axes, middle: float, y: float, width: float, look: dict[str, str]) -> None:
    corner = (middle - width / 2, y)
    axis.add_patch(Rectangle(corner, width, 0.045, edgecolor=INK, linewidth=0.6, **look))


def _arrow(axis: Axes, start: float, end: float, y: float) -> None:
    axis.add_patch(
        FancyArrowPatch(
            (start, y), (end, y), arrowstyle="-|>", mutation_scale=7, linewidth=0.9, color=INK,
            shrinkA=0, shrinkB=0, zorder=1,
        )
    )  # fmt: skip


def _draw_box(
    axis: Axes, box: Stage, middle: float, base: float, scale: _Scale
) -> tuple[float, float]:
    """Draw the maps of a stage side by side; return where the box begins and ends."""
    steps = _slabs(box)
    sizes = [scale.size(step.shape) for step in steps] or [scale.size(box.shape)]
    room = PITCH - (0.42 if any(box.shortcuts) else 0.2)
    wide, deep = sum(size[0] for size in sizes), sizes[-1][2]
    squeeze = min(1.0, (room - deep) / wide)
    left = middle - (wide * squeeze + deep) / 2
    right = left + wide * squeeze + deep
    x = left
    for step, (width, height, depth) in zip(steps or [None], sizes):
        width *= squeeze
        if box.kind == "branches":
            _draw_branches(axis, box, x, base, width, height, depth)
        else:
            _prism(axis, x, base, width, height, depth, step.kind if step else "input")
        x += width
    if any(box.shortcuts):
        _draw_shortcuts(axis, box, left, right, base, base + _top(box, scale))
        return left - 0.08, right + 0.12
    return left, right - deep + min(deep, 0.1)  # where the floor is free again


def _prism(
    axis: Axes, x: float, y: float, width: float, height: float, depth: float, kind: str
) -> None:
    """A box seen from the front left; its side faces are darker and lighter than the front."""
    face, hatch = LOOKS[kind]
    look = {"edgecolor": INK, "linewidth": 0.7}
    rise = 0.5 * depth
    roof = [(x, y + height), (x + depth, y + height + rise)]
    roof += [(x + depth + width, y + height + rise), (x + width, y + height)]
    side = [(x + width, y), (x + width, y + height), (x + width + depth, y + height + rise)]
    side += [(x + width + depth, y + rise)]
    if depth:
        axis.add_patch(Polygon(roof, facecolor=_shade(face, 1.1), **look))
        axis.add_patch(Polygon(side, facecolor=_shade(face, 0.78), **look))
    axis.add_patch(Rectangle((x, y), width, height, facecolor=face, hatch=hatch, **look))


def _shade(colour: str, factor: float) -> tuple[float, ...]:
    return tuple(min(1.0, factor * part) for part in to_rgb(colour))


def _draw_branches(
    axis: Axes, box: Stage, x: float, y: float, width: float, height: float, depth: float
) -> None:
    """The maps of the branches on top of each other, as high as their shares of the channels."""
    _prism(axis, x, y, width, height, depth, "input")
    last = [branch[-1].shape[0] if branch else 1 for branch in box.branches]
    top = y + height
    for branch, channels in zip(box.branches, last):
        kinds = [step.kind for step in branch]
        kind = "pool" if "pool" in kinds else "conv" if "conv" in kinds else "1x1"
        kind = kind if set(kinds) & {*MAPS, "pool"} else "other"
        share = height * channels / sum(last)
        top -= share
        face, hatch = LOOKS[kind]
        axis.add_patch(
            Rectangle(
                (x, top), width, share, facecolor=face, hatch=hatch, edgecolor=INK, linewidth=0.7
            )
        )


def _draw_shortcuts(
    axis: Axes, box: Stage, left: float, right: float, base: float, top: float
) -> None:
    """A line over the box to the plus behind it; dashed where it is more than the identity."""
    start, end, y = left - 0.07, right + 0.06, base + 0.05
    for shortcut, high, dash in (("identity", top - 0.09, "-"), ("projection", top - 0.04, "--")):
        if shortcut in box.shortcuts:
            axis.plot(
                [start, start, end, end], [y, high, high, y + 0.05], dash, color=INK, linewidth=1.0
            )
    axis.add_patch(plt.Circle((end, y), 0.055, facecolor="white", edgecolor=INK, linewidth=0.9))
    axis.plot([end - 0.035, end + 0.035], [y, y], color=INK, linewidth=0.9)
    axis.plot([end, end], [y - 0.035, y + 0.035], color=INK, linewidth=0.9)


def _legend(boxes: list[Stage], numbers: bool) -> list[Any]:
    every = [step for box in boxes for branch in box.branches for step in branch]
    used = {step.kind for step in every}
    look = {"edgecolor": INK, "linewidth": 0.7}
    handles: list[Any] = [
        Patch(facecolor=LOOKS[kind][0], hatch=LOOKS[kind][1], label=name, **look)
        for kind, name in NAMES.items()
        if kind in used
    ]
    shortcuts = {shortcut for box in boxes for shortcut in box.shortcuts}
    if "identity" in shortcuts:
        handles.append(Line2D([], [], color=INK, linewidth=1.0, label="shortcut"))
    if "projection" in shortcuts:
        text = "shortcut that changes the shape"
        handles.append(Line2D([], [], color=INK, linewidth=1.0, linestyle="--", label=text))
    strides = sorted({step.stride for step in every} - {1})
    if strides:
        text = ", ".join(f"/{stride}: with stride {stride}" for stride in strides[:2])
        handles.append(Line2D([], [], linestyle="none", label=text))
    if numbers:
        handles.append(Patch(label="parameters", **PARAMETERS, **look))
        handles.append(Patch(label="MACs", **MACS, **look))
    return handles
