"""Tools for writing checks of modules: the same weights in both, then the same behaviour.

It does not matter how a learner names, orders or shapes the parameters: `correspondence` finds
which of them plays the part of which.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exercises import correspondence, trace
from exercises.compare_values import (
    Unexplained,
    Wrong,
    call,
    close,
    count_parameters,
    describe,
    layers,
    shared_layer,
    sixth_argument,
    tensors,
)

MODES = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)  # the mode changes these
MOST_ORDERS = 24  # in which parameters of equal shape are tried
MOST_PROBED = 20_000  # parameters whose partners are looked for by what they do


@contextmanager
def one_thread() -> Iterator[None]:
    """Tensors as small as those of a check take longer with a team of threads than without one,
    and many times longer where other programs keep the processor busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def same_outputs(
    answer: nn.Module,
    reference: nn.Module,
    *shapes: tuple[int, ...],
    mistakes: Mapping[str, Callable[[], nn.Module]] | None = None,
    gradients: bool = True,
    tolerance: float = 1e-4,
) -> None:
    """Two modules with the same weights must compute the same, in train and in eval mode.

    The weights of both are set to the same random values (matched in the order in which the layers
    are called, then in the order of registration, then in any order that fits the shapes), so it
    does not matter how the learner named or ordered layers and parameters. Then outputs and
    gradients are compared on a random input of each of `shapes`, for example (2, 3, 8, 8).

    mistakes: {message: function that builds a module with this mistake}. An answer that computes
    the same as one of them gets its message.
    """
    if not isinstance(answer, nn.Module):
        raise Wrong(f"A torch module is expected, not {describe(answer)}.")
    _materialise(answer, shapes[0])
    trace.see(trace.Compared(answer, shapes))
    if trace.is_following():
        return  # the answer that is followed went on here, and what is watched does the same
    before = trace.postponed()
    with trace.unwatched():
        if lost := unregistered(answer, shapes[0]):
            raise Wrong(lost)
        try:
            difference = _difference(answer, reference, shapes, gradients, tolerance)
        except Wrong as error:  # it cannot run; what would make it run may say more
            difference = str(error)
        if difference is None and not before:
            return
        if _changes_input(answer, shapes[0]) and not _changes_input(reference, shapes[0]):
            raise Wrong(
                "Your module changes its input in place (`inplace=True`, `+=`, `relu_`); others "
                "need the maps as they were."
            )
        parameters = _parameter_shapes(answer)
        for message, build in (mistakes or {}).items():
            try:
                mistaken = build()
                if parameters and parameters != _parameter_shapes(mistaken):
                    continue  # it need not be run
                if _difference(answer, mistaken, shapes, gradients, tolerance) is None:
                    raise Wrong(f"{message} {_made_of(answer)}")
            except (RuntimeError, ValueError):  # the mistaken module cannot run on these shapes
                continue
    if difference and "`return` of `forward`" in difference:
        raise Wrong(difference)
    shared = "" if shared_layer(reference) else shared_layer(answer)
    raise before or Unexplained(difference, shared)


def _materialise(module: nn.Module, shape: Sequence) -> None:
    """Give the lazy layers of a module their weights; they cannot be copied before."""
    values = itertools.chain(module.parameters(), module.buffers())
    if any(map(nn.parameter.is_lazy, values)):
        training = module.training
        with torch.no_grad():
            call(module.eval(), torch.randn(tuple(shape)))
        module.train(training)


def _changes_input(module: nn.Module, shape: Sequence) -> bool:
    images = torch.randn(tuple(shape))
    given = images.clone()
    try:
        with torch.no_grad():
            copy.deepcopy(module)(given)
    except Exception:
        return False
    return not torch.equal(images, given)


class _Weights(TorchFunctionMode):
    """Collects the parameters that layers are called with."""

    def __init__(self) -> None:
        super().__init__()
        self.used: dict[int, Tensor] = {}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        for value in (*args, *(kwargs or {}).values()):
            if isinstance(value, nn.Parameter):
                self.used[id(value)] = value
        return function(*args, **(kwargs or {}))


def unregistered(module: nn.Module, shape: Sequence[int] | None = None) -> str:
    """Whether `module` works with parameters that are not its own, in a sentence; or nothing.

    shape: that of an input (N, C, H, W); without it, only what is kept in a list can be found.
    """
    kept = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and isinstance(value, (list, tuple, dict))
        and any(
            isinstance(v, (nn.Module, nn.Parameter))
            for v in (value.values() if isinstance(value, dict) else value)
        )
    ]
    if kept:
        kind = type(getattr(module, kept[0])).__name__
        right = "nn.ModuleDict" if kind == "dict" else "nn.ModuleList"
        return (
            f"`self.{kept[0]}` is a plain {kind}: torch does not see the layers in it, so they are "
            f"not registered and an optimizer never trains them. Use `{right}`."
        )
    if shape is None:
        return ""
    copied = copy.deepcopy(module)
    used = []
    for _ in range(2):
        try:
            with torch.no_grad(), _Weights() as weights:
                copied(torch.randn(tuple(shape)))
        except Exception:
            return ""
        used.append(weights.used)
    own = {id(p) for p in copied.parameters()}
    foreign = [p for key, p in used[1].items() if key not in own]
    if not foreign:
        return ""
    if used[0].keys() & {id(p) for p in foreign}:
        return (
            f"Your module works with a parameter of shape {tuple(foreign[0].shape)} that is not "
            "its own: it is not registered, so an optimizer never trains it. Assign layers and "
            "parameters to `self` in `__init__`."
        )
    return (
        f"A layer (its weight has the shape {tuple(foreign[0].shape)}) is made anew in each call "
        "of `forward`: it has other random weights every time and is never trained. Make it once, "
        "in `__init__`, and keep it in `self`."
    )


def alike_modules(ours: trace.Compared, theirs: trace.Compared) -> bool:
    """Whether two modules compute the same once they have the same weights.

    Where one of them is gone, False is certain and True is not.
    """
    shape = tuple(ours.shapes[0])
    try:
        for fact in ("parameters", (0.3, shape), (-0.2, shape)):  # whether they differ is seen soon
            mine, other = (_fact(compared, fact) for compared in (ours, theirs))
            exact = fact == "parameters"
            if not (mine is None or other is None or close(mine, other, 0.0 if exact else 1e-3)):
                return False
        if ours.module is None or theirs.module is None:
            return True
        pair = ours.module, theirs.module
        return _difference(*pair, ours.shapes, False, 1e-4, thorough=False) is None
    except Exception:
        return False


def _fact(compared: trace.Compared, fact: Any) -> Any:
    """The number of parameters, or the outputs with equal weights; None if nobody can tell now."""
    if fact not in compared.facts and compared.module is not None:
        module = compared.module
        count = fact == "parameters"
        found = count_parameters(module) if count else _with_equal_weights(module, *fact)
        compared.facts[fact] = found
    return compared.facts.get(fact)


def _with_equal_weights(
    module: nn.Module, value: float, shape: Sequence, training: bool = True
) -> list[Tensor]:
    """The outputs if all weights have this value. Where those of two modules differ, no pairing of
    the weights of the one with those of the other makes the modules alike."""
    images = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0))
    values = {name: torch.full_like(p, value) for name, p in module.named_parameters()}
    values |= {name: _at_first(name, buffer) for name, buffer in module.named_buffers()}
    module.train(training)
    with torch.no_grad(), _SameMasks():
        torch.default_generator.manual_seed(1)
        return tensors(torch.func.functional_call(module, values, (images,)))


def _at_first(name: str, buffer: Tensor) -> Tensor:
    """The buffer before training, if it is a running statistic, or a copy of it."""
    first = {"running_mean": torch.zeros_like, "running_var": torch.ones_like}
    return first.get(name.rpartition(".")[2], torch.clone)(buffer)


def _may_be_alike(ours: nn.Module, theirs: nn.Module, shape: Sequence) -> bool:
    """False if it is certain that two modules differ, whatever their weights are.

    Dropout is left out (evaluation mode), as its masks depend on how a module is written.
    """
    try:
        return all(
            close(*(_with_equal_weights(m, value, shape, False) for m in (ours, theirs)), 1e-3)
            for value in (0.3, -0.2)
        )
    except Exception:
        return True  # it is for the comparison itself to say what is wrong


def _without_ones(tensor: Tensor) -> tuple[int, ...]:
    # A 1×1 convolution and a linear layer differ only by entries of 1 in the weight's shape.
    return tuple(n for n in tensor.shape if n != 1)


def _essential(tensor: Tensor) -> tuple[int, ...]:
    # `x @ A` keeps the transposed weight of a linear layer.
    shape = _without_ones(tensor)
    return tuple(sorted(shape)) if len(shape) == 2 else shape


def _laid_out(values: Tensor, other: Tensor) -> Tensor:
    """The values in the shape of another tensor, transposed if that one is."""
    if _without_ones(values) != _without_ones(other):
        values = values.reshape(_without_ones(values)).t()
    return values.reshape(other.shape)


def _parameter_shapes(module: nn.Module) -> list[tuple[int, ...]] | None:
    """The shapes of the parameters in an order that two equal modules share; None while a lazy
    layer has none yet."""
    parameters = list(module.parameters())
    if any(map(nn.parameter.is_lazy, parameters)):
        return None
    return sorted(map(_essential, parameters))


def _difference(
    answer: nn.Module,
    reference: nn.Module,
    shapes: Sequence,
    gradients: bool,
    tolerance: float,
    thorough: bool = True,
) -> str | None:
    """What differs between the two modules, in a sentence, or None.

    thorough: whether to look for other partners of parameters that fit each other by their shapes.
    """
    answer, reference = copy.deepcopy(answer).train(), copy.deepcopy(reference).train()
    for shape in shapes:
        images = torch.randn(shape)
        mine, right = call(answer, images.clone()), reference(images.clone())
        if text := _shapes_differ(mine, right, shape):
            if gives_back(mine, images):
                text = f"Your module gives its input back as it is. {text}"
            return f"{sixth_argument(answer)} {text} {_made_of(answer)}".strip()
    _randomise(reference)
    first = None
    for pairs in _matchings(answer, reference, torch.randn(shapes[0])):
        if first and not _may_be_alike(answer, reference, shapes[0]):
            thorough = False
            break
        for mine, right in pairs:
            with torch.no_grad():
                mine.copy_(_laid_out(right, mine))

        def both_gradients(pairs: list = pairs) -> list[tuple[Tensor | None, Tensor | None]]:
            return [
                (None if a.grad is None else _laid_out(a.grad, b), b.grad)
                for a, b in pairs
                if b.requires_grad
            ]

        grads = both_gradients if gradients else None
        text = _behaviour_differs(answer, reference, grads, shapes, tolerance)
        if text is None:
            return None
        first = first or text
    if (thorough or first is None) and count_parameters(reference) <= MOST_PROBED:
        order = correspondence.correspondence(answer, reference, shapes[0])
        if order is not None:
            correspondence.write(answer, correspondence.read(reference)[order])
            _copy_buffers(answer, reference, torch.randn(shapes[0]))

            def all_gradients() -> list[tuple[Tensor | None, Tensor | None]]:
                ours, theirs = map(correspondence.read_gradients, (answer, reference))
                return [(ours, theirs[order])]

            grads = all_gradients if gradients else None
            text = _behaviour_differs(answer, reference, grads, shapes, tolerance)
            if text is None:
                return None
            first = first or text
    if first is None:
        mine, right = count_parameters(answer), count_parameters(reference)
        count = f"Your module has {mine:,} parameters; {right:,} are right."
        if mine == right:
            count = (
                f"Your module has {mine:,} parameters, as it should, but computes something else "
                "with them."
            )
        return f"{count} It consists of {layers(answer)}."
    return f"{first} {_made_of(answer)}"


def _made_of(module: nn.Module) -> str:
    more = " (functions that `forward` calls are not listed)"
    return (
        f"Your module consists of {layers(module)}"
        f"{'' if isinstance(module, nn.Sequential) else more}."
    )


def _one_image_differs(
    answer: nn.Module, reference: nn.Module, image: Tensor, tolerance: float
) -> str:
    """Whether a batch of one image is treated otherwise, as after a bare `squeeze()`."""
    with torch.no_grad(), _SameMasks():
        runs = []
        for module in (answer, reference):
            torch.default_generator.manual_seed(1)  # for a dropout that is never switched off
            runs.append(tensors(call(module, image.clone())))
    mine, right = runs
    for a, b in zip(mine, right):
        if a.shape != b.shape:
            return (
                f"For a batch of one image your module gives the shape {tuple(a.shape)}; "
                f"{tuple(b.shape)} is right. Does a `squeeze()` without a number drop the axis of "
                "the images too?"
            )
        if not close(a, b, tolerance):
            return (
                "What your module gives for an image depends on the other images in the batch, in "
                "evaluation mode too."
            )
    return ""


def _shapes_differ(mine: Any, right: Any, shape: tuple) -> str | None:
    what = f"For an input of shape {tuple(shape)} your module gives"
    if isinstance(right, Tensor) and isinstance(mine, (tuple, list)):
        return f"{what} a {type(mine).__name__}; a tensor is right."
    if not isinstance(mine, type(right)) and not all(isinstance(v, Tensor) for v in tensors(mine)):
        missing = " Is the `return` of `forward` missing?" if mine is None else ""
        if isinstance(mine, nn.Module):
            missing = " The layer is made and not called: write `nn.ReLU()(maps)`, for example."
        return f"{what} {describe(mine)}, not a tensor.{missing}"
    mine_shapes = [tuple(value.shape) for value in tensors(mine)]
    right_shapes = [tuple(value.shape) for value in tensors(right)]
    if mine_shapes == right_shapes:
        return None
    got, wanted = (", ".join(map(str, s)) for s in (mine_shapes, right_shapes))
    return f"{what} the shape {got}; {wanted} is right."


def _randomise(module: nn.Module) -> None:
    """Random values everywhere: zero biases and unit scales would hide what is missing."""
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                value.add_(0.1 * torch.randn_like(value))
                if name.endswith("running_var"):
                    value.abs_().add_(0.1)


def _called(module: nn.Module, images: Tensor) -> list[nn.Module]:
    """All submodules in the order in which they are first called, uncalled ones last."""
    order: dict[nn.Module, None] = {}
    hooks = [
        m.register_forward_pre_hook(lambda m, _: order.setdefault(m)) for m in module.modules()
    ]
    try:
        module(images.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return list(order | dict.fromkeys(module.modules()))


def _copy_buffers(answer: nn.Module, reference: nn.Module, images: Tensor) -> None:
    """The running statistics of `reference`, where both have them in the same order of calls."""
    ours, theirs = (
        [b for m in _called(module, images) for b in m.buffers(recurse=False)]
        for module in (answer, reference)
    )
    if [b.numel() for b in ours] == [b.numel() for b in theirs]:
        for mine, right in zip(ours, theirs):
            mine.copy_(right.reshape(mine.shape))


def _matchings(
    answer: nn.Module, reference: nn.Module, images: Tensor
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Ways to pair the tensors of both modules so that the shapes agree, the likeliest first."""

    def tensors(modules: Sequence[nn.Module], kind: str) -> list[Tensor]:
        found = [t for m in modules for _, t in getattr(m, kind)(recurse=False)]
        return list({id(t): t for t in found if t.is_floating_point()}.values())

    def paired(mine: list[Tensor], right: list[Tensor]) -> list[tuple[Tensor, Tensor]] | None:
        if [_essential(t) for t in mine] != [_essential(t) for t in right]:
            return None
        return list(zip(mine, right))

    by_call = [_called(module, images) for module in (answer, reference)]
    by_registration = [list(module.modules()) for module in (answer, reference)]
    for orders in (by_call, by_registration):
        parameters = paired(*(tensors(modules, "named_parameters") for modules in orders))
        if parameters is not None:
            buffers = paired(*(tensors(modules, "named_buffers") for modules in orders))
            yield parameters + (buffers or [])

    # Any order among the layers of one shape, then among the parameters of one shape, as long as
    # there are few orders to try.
    def held(module: nn.Module) -> list[Tensor]:
        return tensors([module], "named_parameters") + tensors([module], "named_buffers")

    def shapes(module: nn.Module) -> list:
        return [_essential(t) for t in held(module)]

    ours, theirs = (sorted(filter(held, modules), key=shapes) for modules in by_call)
    if [*map(shapes, ours)] == [*map(shapes, theirs)]:
        groups = [list(group) for _, group in itertools.groupby(ours, shapes)]
        if math.prod(math.factorial(len(group)) for group in groups) <= MOST_ORDERS:
            for orders in itertools.product(*map(itertools.permutations, groups)):
                partners = zip(itertools.chain(*orders), theirs)
                yield [pair for a, b in partners for pair in zip(held(a), held(b))]
    buffers = paired(*(tensors(modules, "named_buffers") for modules in by_call)) or []
    mine, right = (
        sorted(tensors(modules, "named_parameters"), key=_essential) for modules in by_call
    )
    groups = [list(group) for _, group in itertools.groupby(mine, _essential)]
    if math.prod(math.factorial(len(group)) for group in groups) > MOST_ORDERS:
        groups = [[tensor] for tensor in mine]
    for orders in itertools.product(*map(itertools.permutations, groups)):
        parameters = paired(list(itertools.chain(*orders)), right)
        if parameters is not None:
            yield parameters + buffers


def gives_back(output: Any, images: Tensor) -> bool:
    """Whether an output is the input itself."""
    same = isinstance(output, Tensor) and output.shape == images.shape
    return same and torch.equal(output, images)


class _SameMasks(TorchFunctionMode):
    """Dropout draws its mask in the order of the memory, which equal tensors need not share."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if "dropout" in getattr(function, "__name__", "") and args:
            args = (args[0].contiguous(), *args[1:])
        return function(*args, **(kwargs or {}))


def _behaviour_differs(
    answer: nn.Module,
    reference: nn.Module,
    gradients: Callable[[], list[tuple[Tensor | None, Tensor | None]]] | None,
    shapes: Sequence[tuple[int, ...]],
    tolerance: float,
) -> str | None:
    """Outputs, then gradients, on random inputs; train mode first, so that eval mode sees the
    running statistics that training left behind. gradients: gives the pairs that must agree."""
    modes = any(isinstance(m, MODES) for part in (answer, reference) for m in part.modules())
    for mode in ("train", "eval"):
        for shape in shapes:
            images = torch.randn(shape)
            runs = []
            for module in (answer, reference):
                module.train(mode == "train").zero_grad()
                leaf = images.clone().requires_grad_()
                given = leaf * 1  # not a leaf, so that an in-place ReLU may change it
                torch.default_generator.manual_seed(1)  # the same dropout mask for both
                with _SameMasks():
                    outputs = tensors(call(module, given))
                runs.append((leaf, given, outputs))
            (leaf, given, mine), (right_leaf, right_given, right) = runs
            where = f"{f'in {mode} mode, ' if modes else ''}for an input of shape {tuple(shape)}"
            if text := _shapes_differ(mine, right, shape):
                return f"In {mode} mode: {text}"
            for a, b in zip(mine, right):
                if not close(a, b, tolerance):
                    gap = (a - b).abs().max().item()
                    scale = b.abs().max().item()
                    return (
                        f"With the same weights your module gives other values {where}: they differ"
                        f" by up to {gap:.2g}, and the right ones reach {scale:.2g}."
                    )
            if close(right_given, images, 0.0) and not close(given, images, 0.0):
                return "Your module changes its input in place."
            if mode == "eval" and shape[0] > 1:
                text = _one_image_differs(answer, reference, images[:1], tolerance)
                if text:
                    return text
            if gradients is None:
                continue
            loss = "The outputs agree, but the gradients do not"
            cause = "is something detached (detach, .data, no_grad)?"
            if not all(p.requires_grad for p in answer.parameters()):
                cause = "some parameters are frozen (`requires_grad=False`), so they never learn."
            for outputs in (mine, right):
                torch.default_generator.manual_seed(2)
                # randn_like fills in the order of the memory, which may differ between the two
                total = sum((output * torch.randn(output.shape)).sum() for output in outputs)
                if not total.requires_grad:
                    return f"{loss}: {cause}"
                try:
                    total.backward()
                except RuntimeError as error:
                    if "inplace" not in str(error):
                        raise
                    return (
                        "Your module changes numbers in place that the gradients still need "
                        "(`x -= …`, `x[…] = …`, `relu_`): write `x = x - …`."
                    )
            inputs = [(leaf.grad, right_leaf.grad)]
            for a, b in inputs + gradients():
                if (a is None) != (b is None):
                    return f"{loss}: {cause}"
                if a is not None and not close(a.reshape(b.shape), b, 10 * tolerance):
                    return f"{loss} {where}: {cause}"
    return None


def expect_parameters(
    module: nn.Module, right: int, common: Mapping[int, str] | None = None
) -> None:
    """`module` must have exactly `right` trainable values; `common` as in `expect_number`."""
    count = count_parameters(module)
    if count != right:
        text = f"Your module has {count:,} parameters; {right:,} are right."
        if frozen := sum(p.numel() for p in module.parameters() if not p.requires_grad):
            raise Wrong(
                f"Training cannot change {frozen:,} of the numbers in your module: their "
                f"requires_grad is False. Your module has {count:,} trainable parameters; "
                f"{right:,} are right."
            )
        if count in (common or {}):
            raise Wrong(f"{text} {common[count]}")
        if lost := unregistered(module):
            raise Wrong(f"{text} {lost}")
        error = Unexplained(f"{text} It consists of {layers(module)}.")
        if not trace.postpone(error):
            raise error
