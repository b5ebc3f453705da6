"""The layer table: shape, parameters, MACs and receptive field of every layer of a network.

MACs are multiply-accumulates of convolutions and matrix products for one image: no bias, no
batch norm, no activation. torchvision prints the same number as "GFLOPS", and many papers call
it FLOPs.
"""

import copy
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from utils import text_table

aten = torch.ops.aten
HEADER = ("layer", "kind", "output shape", "parameters", "MACs", "receptive field", "stride")


@dataclass(frozen=True)
class LayerRow:
    """One layer, or one group of layers, in the order in which they run.

    `output_shape` leaves the batch out: (C, H, W) or (features,). `parameters` counts shared
    ones where they first occur. `receptive_field` is the (height, width) in input pixels that
    one unit depends on, by the formula, so it may be larger than the image; `stride` is the
    distance in input pixels between neighbouring units. Both are None for the whole image.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: tuple[int, int] | None
    stride: tuple[int, int] | None

    def cells(self) -> tuple[str, ...]:
        numbers = [f"{n:,}" if n else "" for n in (self.parameters, self.macs)]
        field = "{} x {}".format(*self.receptive_field) if self.receptive_field else "whole image"
        stride = str(max(self.stride)) if self.stride else ""
        return (self.name, self.kind, _times(self.output_shape), *numbers, field, stride)


@dataclass(frozen=True)
class LayerTable:
    """Rows and totals. Prints as plain text; notebooks show it as an HTML table.

    `parameters` counts the whole model, layers that did not run included.
    """

    rows: tuple[LayerRow, ...]
    parameters: int
    macs: int

    def _rows(self) -> list[tuple[str, ...]]:
        total = ("total", "", "", f"{self.parameters:,}", f"{self.macs:,}", "", "")
        return [HEADER, *(row.cells() for row in self.rows), total]

    def _note(self) -> str:
        idle = self.parameters - sum(row.parameters for row in self.rows)
        return f"{idle:,} of the parameters belong to layers that did not run." if idle else ""

    def __repr__(self) -> str:
        head, *body, total = text_table.lines(self._rows(), left=3)
        rule = "-" * len(head)
        return "\n".join([head, rule, *body, rule, total, self._note()]).rstrip()

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            sides = ["left"] * 3 + ["right"] * 4
            columns = [
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
                for cell, side in zip(cells, sides)
            ]
            return f"<tr>{''.join(columns)}</tr>"

        head, *body, total = self._rows()
        middle = "".join(row(cells, "td") for cells in body)
        ends = f"<thead>{row(head, 'th')}</thead><tfoot>{row(total, 'th')}</tfoot>"
        return f"<table>{ends}<tbody>{middle}</tbody></table>{self._note()}"


def table(model: nn.Module, input_shape: Sequence[int], *, depth: int | None = None) -> LayerTable:
    """Run one image through the model in eval mode and describe every layer that ran.

    `input_shape` is (C, H, W); a batch dimension in front of it is ignored. `depth` groups
    layers: 2 gives one row to the whole of `features.mlpconv1`. A layer that runs twice has
    two rows; its MACs count twice, its parameters once. The receptive field follows convolution
    and pooling through branches (the largest counts) and becomes the whole image after global
    pooling, or after a linear layer on flattened maps.

    Raises ValueError for an `input_shape` of another kind and NotImplementedError for a
    transposed convolution; errors of the model itself pass through.
    """
    model = getattr(model, "_orig_mod", model)  # torch.compile wraps the model
    image = blank_image(model, input_shape)
    image._view = _View((1, 1), (1, 1))
    names = {module: name for name, module in model.named_modules()}
    levels = {module: name.count(".") + 1 if name else 0 for module, name in names.items()}
    trace = _Trace()
    rows: list[LayerRow] = []
    outer_macs: list[int] = []  # of the layers that have begun and not ended
    counted: set[int] = set()  # parameters, by id

    def begin(module: nn.Module, inputs: Any) -> None:
        outer_macs.append(trace.macs)
        trace.macs = 0

    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        macs, trace.macs = trace.macs, outer_macs.pop()
        is_row = levels[module] == depth or not any(module.children())
        sizes = {id(p): p.numel() for p in module.parameters(recurse=is_row)}
        if not (is_row or sizes or macs):
            return  # only a container: its layers have had their rows
        parameters = sum(size for key, size in sizes.items() if key not in counted)
        counted.update(sizes)
        result = next(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
        view = getattr(result, "_view", _WHOLE)
        name, kind = names[module] or "(model)", type(module).__name__
        shape = tuple(result.shape[1:])
        rows.append(LayerRow(name, kind, shape, parameters, macs, view.field, view.stride))

    modes = {module: module.training for module in names}
    shown = [module for module in names if depth is None or levels[module] <= depth]
    hooks = [module.register_forward_pre_hook(begin) for module in shown]
    hooks += [module.register_forward_hook(end) for module in shown]
    try:
        model.eval()
        with torch.no_grad(), trace:
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return LayerTable(tuple(rows), count_parameters(model), sum(row.macs for row in rows))


def count_parameters(model: nn.Module) -> int:
    """All parameters, each counted once; buffers such as batch-norm statistics do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-accumulates for one image of shape (C, H, W)."""
    return table(model, input_shape, depth=0).macs


def receptive_field(
    model: nn.Module, input_shape: Sequence[int], layer: str | nn.Module | None = None
) -> tuple[int, int]:
    """(height, width) in pixels of the part of the image that one unit depends on, measured.

    The unit is the middle one of the output of `layer` (a module or its name; the whole model if
    left out). The part is where its gradient is not zero, in a copy of the model in which nothing
    cancels: weights positive, biases zero, averages in place of maxima. What would reach over the
    border of the image does not count. Raises ValueError for an unknown layer.
    """
    model = getattr(model, "_orig_mod", model)
    names = {module: name for name, module in model.named_modules()}
    name = names.get(layer) if isinstance(layer, nn.Module) else layer or ""
    if name not in names.values():
        raise ValueError(f"The model has no layer {layer!r}: summary.table(...) lists its layers.")
    table(model, input_shape, depth=0)  # raises the model's own errors, gives lazy layers a shape
    twin = copy.deepcopy(model).cpu().double().eval()
    for key, tensor in (*twin.named_parameters(), *twin.named_buffers()):
        if tensor.is_floating_point():
            weight = 1 / tensor[0].numel() if tensor.ndim > 1 else 1
            tensor.data.fill_(0 if key.endswith(("bias", "running_mean")) else weight)
    outputs: list[Tensor] = []
    twin.get_submodule(name).register_forward_hook(lambda *call: outputs.append(call[-1]))
    image = torch.ones(1, *tuple(input_shape)[-3:], dtype=torch.float64, requires_grad=True)
    with _AverageForMax():
        twin(image)
    positions = outputs[-1].shape[2 if outputs[-1].ndim == 4 else 1 :]
    unit = outputs[-1][(..., *(size // 2 for size in positions))]
    unit.sum().backward()
    rows, columns = image.grad.abs().sum(dim=(0, 1)).nonzero().T
    return (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1)


class _View(NamedTuple):
    """How a tensor looks at the image: what each of its units sees, how far apart they are."""

    field: tuple[int, int] | None
    stride: tuple[int, int] | None
    flat: bool = False  # positions are mixed with channels, so a linear layer sees all of them

    def slide(self, kernel: Sequence[int], step: Sequence[int], dilation: Sequence[int]) -> "_View":
        if self.field is None:
            return self
        reach = [(k - 1) * d for k, d in zip(_pair(kernel), _pair(dilation))]
        field = tuple(f + r * s for f, r, s in zip(self.field, reach, self.stride))
        return _View(field, tuple(a * s for a, s in zip(_pair(step), self.stride)))


_WHOLE = _View(None, None)


class _Trace(TorchDispatchMode):
    """Sees every operation below the modules: adds up MACs and hands views from input to output.

    Looking at operations rather than modules covers functional calls and branches of any kind.
    """

    macs = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        op = func.overloadpacket
        if op is aten.convolution:
            self.macs += output.numel() * args[1][0].numel()
        elif op in (aten.mm, aten.addmm, aten.bmm, aten.baddbmm):
            self.macs += output.numel() * tensors[-1].shape[-2]
        views = [tensor._view for tensor in tensors if hasattr(tensor, "_view")]
        if views:
            view = _follow(op, args, output, _join(views))
            for leaf in tree_leaves(output):
                if isinstance(leaf, Tensor):
                    leaf._view = view
        return output


def _join(views: list[_View]) -> _View:
    """Where branches meet, a unit sees what the branch with the widest view sees."""
    if any(view.field is None for view in views):
        return _WHOLE
    fields, strides, flat = zip(*views)
    return _View(tuple(map(max, zip(*fields))), tuple(map(max, zip(*strides))), any(flat))


def _follow(op: Any, args: Sequence[Any], output: Any, view: _View) -> _View:
    """The view of the output of one operation, from the view of its inputs."""
    shape = args[0].shape if isinstance(args[0], Tensor) else ()
    is_map = len(shape) == 4 and shape[2] * shape[3] > 1
    if op is aten.convolution:
        if args[6]:
            raise NotImplementedError("summary.table does not know transposed convolutions.")
        return view.slide(args[1].shape[2:], args[3], args[5])
    if op in (aten.max_pool2d, aten.max_pool2d_with_indices, aten.avg_pool2d):
        step = args[2] if len(args) > 2 and args[2] else args[1]
        dilation = args[4] if op is not aten.avg_pool2d and len(args) > 4 else (1, 1)
        return view.slide(args[1], step, dilation)
    if op in (aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d):
        wanted = _pair(args[1])
        step = [n // w for n, w in zip(shape[-2:], wanted)]
        kernel = [n - (w - 1) * s for n, w, s in zip(shape[-2:], wanted, step)]
        return view.slide(kernel, step, (1, 1)) if max(wanted) > 1 else _WHOLE
    if op in (aten.mean, aten.sum, aten.amax) and (is_map or view.flat):
        dims = [d % len(shape) for d in args[1]] if len(args) > 1 else [2, 1]
        return _WHOLE if {2, 3, 1 if view.flat else 2} & set(dims) else view
    if op in (aten.mm, aten.addmm) and view.flat:
        return _WHOLE
    if op in (aten.view, aten._unsafe_view) and is_map:
        # (N, C, H, W) to (N, C*H*W) is flattening; (N*H*W, C) keeps one row for each position
        return view._replace(flat=len(output.shape) == 2 and output.shape[0] == shape[0])
    return view


class _AverageForMax(TorchFunctionMode):
    """The gradient of a maximum reaches one input only, that of an average all of them."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (nn.functional.max_pool2d, torch.max_pool2d):
            func = _average_pool
        elif func is nn.functional.adaptive_max_pool2d:
            func = _adaptive_average_pool
        elif func in (torch.amax, Tensor.amax):
            func = torch.mean
        return func(*args, **(kwargs or {}))


def _average_pool(
    image, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    return nn.functional.avg_pool2d(image, kernel_size, stride, padding, ceil_mode)


def _adaptive_average_pool(image, output_size, return_indices=False):
    return nn.functional.adaptive_avg_pool2d(image, output_size)


def _pair(numbers: Sequence[int]) -> tuple[int, int]:
    return (numbers[0], numbers[-1])  # torch hands over (3,) as well as (3, 3)


def _times(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))


def blank_image(model: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """One image of this shape, of the model's type and on its device."""
    shape = tuple(input_shape)
    if len(shape) not in (3, 4) or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(
            f"input_shape must be (channels, height, width), such as (1, 28, 28), but got {shape}."
        )
    like = next(model.parameters(), torch.zeros(()))
    return torch.zeros(1, *shape[-3:], dtype=like.dtype, device=like.device)
