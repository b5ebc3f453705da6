"""Exercises of chapter 05: 1×1 convolution."""

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises.compare import Wrong, call, close, describe, expect_number, layers, same_results
from exercises.engine import exercise, question

CHAPTER = "05_one_by_one_convolution"


def _expect_keys(answer: Any, keys: tuple[str, ...]) -> None:
    listed = ", ".join(f'"{key}"' for key in keys)
    if not isinstance(answer, Mapping):
        raise Wrong(f"A dictionary with the keys {listed} is expected, not {describe(answer)}.")
    missing = [f'"{key}"' for key in keys if key not in answer]
    if missing:
        raise Wrong(f"The dictionary should have the keys {listed}; missing: {', '.join(missing)}.")


def _expect_numbers(
    answer: Mapping, right: Mapping, common: Mapping, tolerance: float = 0, otherwise: str = ""
) -> None:
    for key, number in right.items():
        try:
            expect_number(answer[key], number, common.get(key), tolerance, otherwise)
        except Wrong as error:
            raise Wrong(f'"{key}": {error}') from None


@dataclass
class _Given:
    """What one call of the learner's function gets, and how a message shows it."""

    text: str
    values: tuple
    images: tuple[Tensor, ...]

    def __repr__(self) -> str:
        return self.text


class _Output(list):
    """What a layer gives for one batch; in a message it shows as its shape."""

    def __repr__(self) -> str:
        return f"an output of shape {tuple(self[0].shape)}"


_NO_GRAD = (
    "Weights are filled inside `with torch.no_grad():`, for example by `layer.weight.copy_(…)`."
)


def _unchanged(old: Any, new: Any) -> bool:
    """Weights, settings (stride, padding, whether there is a bias) and tensors are as before."""
    if isinstance(old, Tensor):
        return torch.equal(old, new)
    if not isinstance(old, nn.Module):
        return True
    settings = [
        (repr(module), module.training, [p.requires_grad for p in module.parameters()])
        for module in (old, new)
    ]
    return settings[0] == settings[1] and all(
        torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters())
    )


def _behaviour(name: str, function: Any, finish: Callable) -> Callable[[_Given], Any]:
    """The learner's function as one of a `_Given`, whose result `finish` tries on its images."""

    def run(given: _Given) -> Any:
        before = copy.deepcopy(given.values)
        try:
            result = call(function, *given.values, what=f"{name}({given})")
        except Wrong as error:
            text = str(error.__cause__)
            if "leaf Variable" in text or "as parameter" in text:
                raise Wrong(f"{error} {_NO_GRAD}") from error.__cause__
            raise
        for old, new in zip(before, given.values):
            if not _unchanged(old, new):
                what = "layer that it is given" if isinstance(old, nn.Module) else "maps it gets"
                raise Wrong(f"{name}({given}) changes the {what}. Leave it as it is.")
        return finish(result, given)

    run.__name__ = name
    return run


def _is_convolution(value: Any, what: str) -> nn.Conv2d:
    if isinstance(value, nn.Conv2d):
        return value
    if value is None:
        raise Wrong(f"{what} gives nothing (None). Is the `return` missing?")
    if isinstance(value, nn.Module):
        raise Wrong(
            f"{what} gives {layers(value)}; one `nn.Conv2d` that does the same work alone is asked "
            "for."
        )
    if isinstance(value, Tensor):
        raise Wrong(
            f"{what} gives {describe(value)}. A layer is asked for: build an `nn.Conv2d` and copy "
            "the numbers into its weight and bias."
        )
    raise Wrong(f"{what} gives {describe(value)}; an `nn.Conv2d` is expected.")


def _convolution(weight: Tensor, bias: Tensor | None, **options: Any) -> nn.Conv2d:
    layer = nn.Conv2d(
        weight.shape[1], weight.shape[0], weight.shape[2:], bias=bias is not None, **options
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def _random_parts(answer: Callable, given: _Given) -> str:
    """A sentence on weights or biases that two calls draw differently, or nothing."""
    pairs = []
    for _ in range(2):
        result = call(answer, *copy.deepcopy(given.values))
        pairs.append(result if isinstance(result, (tuple, list)) else (result,))
    for number, (one, two) in enumerate(zip(*pairs)):
        where = f" of {('reduce', 'restore')[number]}" if len(pairs[0]) == 2 else ""
        if one.weight.shape == two.weight.shape and not torch.equal(one.weight, two.weight):
            return f"The weights{where} are new random numbers each time: nothing is copied there."
        if one.bias is not None and not torch.equal(one.bias, two.bias):
            return (
                f"The bias{where} is a new random one each time: nothing is copied there. A new "
                "nn.Conv2d draws weights and biases at random."
            )
    return ""


# --- one_by_one.1: counting ----------------------------------------------------------------------


@exercise(
    "one_by_one.1",
    title="Count a layer, and a detour",
    answer="counts",
    difficulty=1,
    minutes=8,
    task="""
        A layer of a network gets 192 maps of 28×28. Count without building anything; leave biases
        out everywhere.

        - `"weights"` and `"macs"` of a 1×1 convolution from 192 to 32 channels;
        - `"direct"`: the MACs of a 5×5 convolution from 192 to 32 channels, with padding 2;
        - `"detour"`: the MACs of two layers that also end at 32 maps: a 1×1 convolution from 192
          to 16 channels, and then a 5×5 convolution from 16 to 32 channels, with padding 2.
    """,
    stub="""
        counts = {
            "weights": ...,
            "macs": ...,
            "direct": ...,
            "detour": ...,
        }
    """,
    hints=[
        """
        One kernel has k · k · in_channels weights, and there are out_channels kernels.
        """,
        """
        Every weight is used once at each position. There are 28 · 28 positions, because padding
        2 keeps the size under a 5×5 kernel.
        """,
        """
        The detour is a sum of two products: 28 · 28 · 192 · 16, and 28 · 28 · 5 · 5 · … · ….
        """,
    ],
    solution="""
        positions = 28 * 28
        counts = {
            "weights": 192 * 32,
            "macs": positions * 192 * 32,
            "direct": positions * 5 * 5 * 192 * 32,
            "detour": positions * 192 * 16 + positions * 5 * 5 * 16 * 32,
        }
    """,
    explanation="""
        The detour costs about a tenth. The 1×1 layer itself is not free, it takes 2,408,448 of the
        12,443,648 MACs; what it saves is in the 5×5 layer after it, which reads 16 channels
        instead of 192.
    """,
)
def _(answer):
    positions, one, five, detour = 28 * 28, 192 * 32, 25 * 192 * 32, (192 * 16, 25 * 16 * 32)
    _expect_keys(answer, ("weights", "macs", "direct", "detour"))
    flops = (
        "One multiply-accumulate is one MAC. Counting the multiplication and the addition apart "
        "gives twice as much (often called FLOPs)."
    )
    no_positions = "Each weight is used at every one of the 28 · 28 positions."
    common = {
        "weights": {
            one + 32: "These are the parameters; the 32 biases are left out here.",
            192: "This is one kernel. There is one for each of the 32 channels that come out.",
            32: "Each of the 32 kernels has a weight for every one of the 192 channels.",
            192 + 32: "Channels in and out are multiplied: each of the 32 kernels has 192 weights.",
            positions * one: "A weight is stored once, however many positions it is used at.",
            five: "This is a 5×5 kernel; the first two counts are for the 1×1 convolution.",
        },
        "macs": {
            one: no_positions,
            2 * positions * one: flops,
            positions * (one + 32): "Biases are added, not multiplied; MACs leave them out.",
            28 * one: "There are 28 · 28 positions, not 28.",
            positions * 32: "Every output is a sum of 192 products, one for each channel.",
            positions * 192: "This is one kernel; there are 32.",
            positions * five: "This is the 5×5 convolution; here the kernel is 1×1.",
        },
        "direct": {
            five: no_positions,
            2 * positions * five: flops,
            positions * one: "The kernel is 5×5: each output is a sum of 5 · 5 · 192 products.",
            positions * 5 * 192 * 32: "The kernel has 5 · 5 places, not 5.",
            24 * 24 * five: "24×24 would be without padding; padding 2 keeps 28×28 positions.",
            positions * 25 * 32: "Every kernel sees all 192 channels: 5 · 5 · 192 products.",
            positions * 25 * 192: "This is one kernel; there are 32.",
        },
        "detour": {
            sum(detour): no_positions,
            2 * positions * sum(detour): flops,
            positions * detour[0]: "This is the 1×1 layer alone. The 5×5 after it is missing.",
            positions * detour[1]: "This is the 5×5 layer alone. The 1×1 before it costs too.",
            positions * (detour[0] + five): (
                "After the 1×1 layer there are 16 channels left; the 5×5 reads those, not 192."
            ),
            positions * (one + detour[1]): "The 1×1 layer goes from 192 to 16 channels, not to 32.",
            positions * (one + five): (
                "The detour squeezes to 16 channels: 192 → 16 by 1×1, then 16 → 32 by 5×5."
            ),
            positions * (detour[0] + 25 * 16 * 16): "The 5×5 layer gives 32 channels, not 16.",
            positions * (detour[0] + 16 * 32): "The second layer is 5×5: 5 · 5 · 16 products each.",
            positions * detour[0] + 24 * 24 * detour[1]: (
                "24×24 would be without padding; padding 2 keeps 28×28 positions."
            ),
            positions * detour[0] * detour[1]: "The two layers run one after the other: add them.",
        },
    }
    right = {"weights": one, "macs": positions * one, "direct": positions * five}
    _expect_numbers(answer, right | {"detour": positions * sum(detour)}, common)
    return "The detour takes 9.7 times fewer MACs than the direct way."


# --- one_by_one.2: merging -----------------------------------------------------------------------


def _merged(
    first: nn.Conv2d,
    second: nn.Conv2d,
    *,
    weights: str = "right",
    first_bias: str = "right",
    second_bias: bool = True,
    stride: bool = True,
    padding: bool = True,
) -> nn.Conv2d:
    """One layer for two, with the mistakes that the options describe."""
    matrix, kernels = first.weight[:, :, 0, 0], second.weight  # (M, I), (O, M, k, k)
    if weights == "flipped":
        kernels = kernels.flip(2, 3)
    elif weights == "turned":
        kernels = kernels.transpose(2, 3)
    if weights == "transposed":
        weight = torch.einsum("omhw,im->oihw", kernels, matrix)
    elif weights == "order":
        weight = torch.einsum("om,mihw->oihw", matrix, kernels)
    else:
        weight = torch.einsum("omhw,mi->oihw", kernels, matrix)
    bias = second.bias if second_bias else torch.zeros(len(weight))
    if first.bias is not None and first_bias != "none":
        middle = kernels.shape[2] // 2
        through = {
            "right": kernels.sum((2, 3)),
            "centre": kernels[:, :, middle, middle],
            "corner": kernels[:, :, 0, 0],
            "mean": kernels.mean((2, 3)),
        }
        if first_bias == "plain":
            bias = bias + first.bias
        else:
            bias = bias + through[first_bias] @ first.bias
    return _convolution(
        weight,
        bias,
        stride=second.stride if stride else 1,
        padding=second.padding if padding else 0,
    )


def _two(channels: tuple[int, int, int], k: int, shape: tuple, **options: Any) -> _Given:
    given, between, last = channels
    bias = options.pop("first_bias", True)
    first = nn.Conv2d(given, between, 1, bias=bias)
    second = nn.Conv2d(between, last, k, **options)
    with torch.no_grad():
        for layer in (first, second):  # biases as large as what else adds up
            if layer.bias is not None:
                layer.bias.normal_()
    return _Given(f"{layers(first)}, {layers(second)}", (first, second), (torch.randn(shape),))


@exercise(
    "one_by_one.2",
    title="Two layers become one",
    answer="merge",
    difficulty=3,
    minutes=20,
    task="""
        Write `merge(first, second)`. `first` is a 1×1 convolution, `second` the convolution that
        comes right after it, with a square kernel of any size (1×1 is one of them). Return one
        `nn.Conv2d` that gives what `second(first(images))` gives. Keep the stride and the padding
        of `second`, and leave both layers as they are.

        Every `second` has a bias. Where `second` has padding, `first` has no bias
        (`first.bias is None`); after the exercise you will see why.
    """,
    stub="""
        def merge(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
            # Your code here.
            ...
    """,
    hints=[
        """
        Begin with kernels of one pixel. At a pixel $x$ the first layer gives $W_1 x + b_1$, the
        second $W_2 (W_1 x + b_1) + b_2$. Multiply out: what is the matrix in front of $x$, and
        what is left?
        """,
        """
        A k×k kernel is k · k such matrices, one for each place of the kernel. Each of them is
        multiplied by $W_1$. `torch.einsum("omhw,mi->oihw", …)` does all of them at once: o, m and
        i are the channels going out, in the middle and coming in.
        """,
        """
        $b_1$ is there at every pixel, so it comes in through every place of the kernel: sum the
        second kernel over its height and width, multiply by $b_1$, and add $b_2$.
        """,
    ],
    solution="""
        def merge(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
            merged = nn.Conv2d(
                first.in_channels,
                second.out_channels,
                second.kernel_size,
                stride=second.stride,
                padding=second.padding,
            )
            with torch.no_grad():
                matrix = first.weight[:, :, 0, 0]  # (between, in)
                merged.weight.copy_(torch.einsum("omhw,mi->oihw", second.weight, matrix))
                merged.bias.copy_(second.bias)
                if first.bias is not None:
                    merged.bias.add_(second.weight.sum(dim=(2, 3)) @ first.bias)
            return merged
    """,
    explanation="""
        Both layers are linear, so one after the other is linear too: a product of matrices, one
        for each place of the kernel. The bias of the first layer is the same number at every
        pixel; the second layer sees it at all k · k places at once.
    """,
)
def _(answer):
    def finish(result: Any, given: _Given) -> _Output:
        layer = _is_convolution(result, f"merge({given})")
        return _Output(call(layer, images) for images in given.images)

    def variant(**options: Any) -> Callable:
        return _behaviour("merge", lambda a, b: _merged(a, b, **options), finish)

    def right(given: _Given) -> _Output:
        first, second = given.values
        return _Output(second(first(images)) for images in given.images)

    first_plain = (
        "The bias of the first layer is added as it is. It has to go through the second kernel, "
        "which may have another number of channels."
    )
    first_lost = "The bias of the first layer is lost. It goes through the second kernel."
    second_lost = "The bias of the second layer is lost."
    transposed = (
        "The matrix of the first layer is transposed: its weight has the shape (out, in, 1, 1), "
        "and `second` reads what it gives out."
    )
    order = (
        "The matrices are multiplied in the wrong order. The second layer works on what the first "
        "one gives: its matrix stands on the left."
    )

    def explain(case: tuple, got: Any, _: Any) -> str:
        """What the first case that differs tells alone: the others may raise, or differ more."""
        (given,) = case
        if isinstance(got, Exception):
            return ""
        if random := _random_parts(answer, given):
            return random
        weights = {"right": "", "transposed": transposed, "order": order}
        biases = {"right": "", "none": first_lost, "plain": first_plain}
        for (w, w_text), (b, b_text), second in itertools.product(
            weights.items(), biases.items(), (True, False)
        ):
            try:
                other = variant(weights=w, first_bias=b, second_bias=second)(copy.deepcopy(given))
            except (Wrong, RuntimeError):  # this mistake is not possible with these shapes
                continue
            if close(got, other):
                return " ".join(filter(None, (w_text, b_text, "" if second else second_lost)))
        return ""

    same_results(
        _behaviour("merge", answer, finish) if callable(answer) else answer,
        right,
        (_two((4, 4, 4), 1, (2, 4, 3, 2)),),
        (_two((3, 6, 5), 1, (2, 3, 4, 3)),),
        (_two((3, 4, 2), 5, (2, 3, 8, 7)),),
        (_two((2, 5, 3), 3, (1, 2, 9, 8), stride=2),),
        (_two((3, 2, 4), 3, (2, 3, 5, 6), padding=1, first_bias=False),),
        mistakes={
            first_lost: variant(first_bias="none"),
            second_lost: variant(second_bias=False),
            "Both biases are lost.": variant(first_bias="none", second_bias=False),
            "The bias of the first layer goes through the middle of the kernel only. It is there "
            "at every pixel, so it comes in through all k · k places: sum the kernel over height "
            "and width.": variant(first_bias="centre"),
            "The bias of the first layer goes through one corner of the kernel only. It comes in "
            "through all k · k places: sum the kernel over height and width.": variant(
                first_bias="corner"
            ),
            "The bias of the first layer goes through the mean of the kernel; it should go "
            "through the sum over height and width.": variant(first_bias="mean"),
            first_plain: variant(first_bias="plain"),
            "The stride of the second layer is lost.": variant(stride=False),
            "The padding of the second layer is lost.": variant(padding=False),
            "Stride and padding of the second layer are lost.": variant(
                stride=False, padding=False
            ),
            transposed: variant(weights="transposed"),
            order: variant(weights="order"),
            "The kernel is turned around by 180 degrees; torch's convolution does not flip "
            "it.": variant(weights="flipped"),
            "Height and width of the kernel have changed places.": variant(weights="turned"),
        },
        explain=explain,
    )
    return "One layer gives what the two gave."


# --- one_by_one.3: repair ------------------------------------------------------------------------


def _recoloured(
    photo: Tensor, matrix: Tensor, moved: bool = True, turned: bool = False, back: bool = True
) -> Tensor:
    height, width, channels = photo.shape
    image = photo.permute(2, 0, 1)[None] if moved else photo.reshape(1, channels, height, width)
    mixed = F.conv2d(image, (matrix.T if turned else matrix)[:, :, None, None])
    return mixed[0].permute(1, 2, 0) if back else mixed.reshape(height, width, -1)


@exercise(
    "one_by_one.3",
    title="Repair a recolouring",
    answer="recolour",
    difficulty=2,
    minutes=10,
    task="""
        `recolour(photo, matrix)` should give a photograph other colours with a 1×1 convolution.
        `photo` has the shape (H, W, 3), as image files are read: the channels are last. Each row
        of `matrix` (3, 3) says how one new channel is mixed from red, green and blue. The result
        has the shape (H, W, 3) again.

        The function below runs, its shapes are right, and its pictures are wrong. It has more than
        one mistake. Repair it.

        `plt.imshow(recolour(photo, torch.eye(3)))` should show the photograph as it is: the
        matrix with ones on the diagonal changes nothing. That test finds some of the mistakes, but
        not all.
    """,
    stub="""
        def recolour(photo: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
            height, width, channels = photo.shape
            image = photo.reshape(1, channels, height, width)  # (N, C, H, W)
            weight = matrix.T[:, :, None, None]  # (out, in, 1, 1)
            mixed = F.conv2d(image, weight)
            return mixed.reshape(height, width, channels)
    """,
    given="""
        import torch.nn.functional as F
    """,
    hints=[
        """
        `reshape` keeps the numbers in their order and only cuts them into other rows. Where do the
        first three numbers of `photo` end up?
        """,
        """
        `permute` moves axes. From (H, W, C) to (C, H, W) it takes `permute(2, 0, 1)`. Which one
        leads back?
        """,
        """
        The weight of a convolution has the shape (out, in, 1, 1). Each row of `matrix` belongs to
        one channel that comes out. Is there anything to transpose?
        """,
    ],
    solution="""
        def recolour(photo: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
            image = photo.permute(2, 0, 1)[None]  # (1, 3, H, W)
            weight = matrix[:, :, None, None]  # (out, in, 1, 1)
            mixed = F.conv2d(image, weight)
            return mixed[0].permute(1, 2, 0)  # (H, W, 3)
    """,
    explanation="""
        A reshape to the right shape is the most common mistake with images: nothing complains. Two
        such mistakes even cancel for the matrix that changes nothing, and the transposed matrix
        shows only if the matrix is not symmetric.
    """,
)
def _(answer):
    def variant(*options: bool) -> Callable:
        return lambda photo, matrix: _recoloured(photo, matrix, *options)

    to = "On the way in, the photograph is reshaped; the channels have to be moved with permute."
    fro = "On the way back, the result is reshaped; the channels have to be moved with permute."
    transposed = (
        "The matrix is transposed: the weight has the shape (out, in, 1, 1), and each row of the "
        "matrix belongs to one channel that comes out."
    )

    def explain(case: tuple, got: Any, right: Tensor) -> str:
        if not isinstance(got, Tensor) or got.shape != right.shape:
            return ""
        off = (got - right).detach().flatten(0, 1)
        if close(off, off[:1].expand_as(off)):
            return (
                "Each channel is off by the same number at all pixels. That is a bias: "
                "nn.Conv2d draws one at random unless it gets bias=False."
            )
        if not close(call(answer, *copy.deepcopy(case)), got):
            return "It gives something else each time: a new nn.Conv2d draws its weights at random."
        return ""

    cases = [
        (torch.rand(4, 5, 3), torch.randn(3, 3)),
        (torch.rand(3, 3, 3), torch.randn(3, 3)),
        (torch.rand(6, 2, 3), torch.randn(3, 3)),
    ]
    same_results(
        answer,
        _recoloured,
        *cases,
        mistakes={
            f"{to} And on the way back too. And: {transposed}": variant(False, True, False),
            f"{to} And on the way back too.": variant(False, False, False),
            f"{to} And: {transposed}": variant(False, True, True),
            f"{fro} And: {transposed}": variant(True, True, False),
            to: variant(False, False, True),
            fro: variant(True, False, False),
            transposed: variant(True, True, True),
            "Height and width have changed places.": lambda photo, matrix: _recoloured(
                photo, matrix
            ).transpose(0, 1),
            "The channels are still first: the result should be (H, W, 3).": lambda photo, matrix: (
                _recoloured(photo, matrix).permute(2, 0, 1)
            ),
            "There is still a batch axis in front: the result should be (H, W, 3).": (
                lambda photo, matrix: _recoloured(photo, matrix)[None]
            ),
            "The result is cut off at 0 and 1; `recolour` gives the mixture as it is.": (
                lambda photo, matrix: _recoloured(photo, matrix).clamp(0, 1)
            ),
        },
        explain=explain,
    )
    result = call(answer, *copy.deepcopy(cases[0]))
    if not isinstance(result, Tensor):
        raise Wrong(
            "The numbers are right, but recolour gives a value of the type "
            f"{type(result).__name__}; the chapter goes on with a torch tensor."
        )
    return (
        "Every pixel is mixed from its own three colours. `photo @ matrix.T` gives the same: a 1×1 "
        "convolution is that product at each pixel, with the channels in another place."
    )


# --- one_by_one.4: principal components ----------------------------------------------------------


def _pca(
    maps: Tensor,
    width: int,
    *,
    which: str = "largest",
    rows: str = "permuted",
    subtract: str = "projected",
    add: bool = True,
    centred: bool = True,
    scaled: str = "no",
    solver: str = "eigh",
    rows_mean: bool = False,
) -> tuple[nn.Conv2d, nn.Conv2d]:
    """The two layers, with the mistakes that the options describe."""
    channels = maps.shape[1]
    if rows == "first image":
        maps = maps[:1]
    pixels = {
        "permuted": lambda: maps.permute(0, 2, 3, 1).reshape(-1, channels),
        "first image": lambda: maps.permute(0, 2, 3, 1).reshape(-1, channels),
        "reshaped": lambda: maps.reshape(-1, channels),
        "reshaped to channels": lambda: maps.reshape(channels, -1).T,
    }[rows]()
    mean = pixels.mean(0) if rows_mean else maps.mean((0, 2, 3))
    around = pixels - pixels.mean(0) if centred else pixels
    scale = torch.ones(channels) if scaled == "no" else pixels.std(0)
    matrix = (around / scale).T @ (around / scale)
    if scaled == "directions only":
        scale = torch.ones(channels)
    if solver == "eigh":
        vectors = torch.linalg.eigh(matrix)[1]
    else:
        vectors = torch.linalg.eig(matrix / len(around))[1].real
    chosen = {
        "largest": vectors[:, -width:].T,
        "first columns": vectors[:, :width].T,  # of the smallest eigenvalues
        "rows": vectors[-width:],
        "first rows": vectors[:width],
        "flipped rows": vectors.flip(1)[:width],
    }[which]
    there, back = chosen / scale, chosen.T * scale[:, None]
    before = {
        "projected": -there @ mean,
        "added": there @ mean,
        "as it is": -mean[:width],
        "no": torch.zeros(width),
    }[subtract]
    return (
        _convolution(there[:, :, None, None], before),
        _convolution(back[:, :, None, None], mean * add),
    )


_RESHAPED = (
    "`maps.reshape(C, -1)` mixes images and channels as soon as there is more than one image: the "
    "axis of the images comes first. Move the channels to the front with permute or transpose "
    "before."
)


def _maps(shape: tuple[int, ...], width: int) -> _Given:
    """Maps whose channels are related, far from zero, and of very different size."""
    channels = shape[1]
    mixing = torch.randn(channels, channels) * torch.logspace(0.6, -0.6, channels)

    def draw() -> Tensor:
        pure = torch.randn(shape).movedim(1, -1)
        return (pure @ mixing.T + 2 + torch.arange(channels)).movedim(-1, 1)

    known, new = draw(), draw()
    return _Given(f"maps of shape {shape}, {width}", (known, width), (known, new))


@exercise(
    "one_by_one.4",
    title="Principal components as a 1×1 convolution",
    answer="pca_layers",
    difficulty=3,
    minutes=25,
    task="""
        **Principal component analysis** (PCA) looks for the `width` directions in the space of the
        channels along which the pixels differ most. Kept are only the coordinates along them,
        counted from the mean pixel. Among all ways to squeeze pixels linearly to `width` numbers
        and to stretch them back, this one has the smallest squared error.

        Write `pca_layers(maps, width)`. `maps` has the shape (N, C, H, W); every pixel is one
        sample of C numbers. Return two 1×1 convolutions: `reduce`, from C to `width` channels,
        and `restore`, from `width` back to C, so that `restore(reduce(maps))` is PCA's best copy
        of `maps`. The mean pixel belongs into the biases.

        The directions are the eigenvectors of the covariance matrix (C, C) of the pixels with the
        largest eigenvalues. `torch.cov` wants one row for each channel;
        `torch.linalg.eigh(matrix)` gives eigenvalues in **ascending** order, and the eigenvectors
        as the **columns** of its second result.
    """,
    stub="""
        def pca_layers(maps: torch.Tensor, width: int) -> tuple[nn.Conv2d, nn.Conv2d]:
            # Your code here.
            ...
    """,
    hints=[
        """
        `pixels = maps.permute(0, 2, 3, 1).reshape(-1, C)` has one row for each pixel. Its mean
        over axis 0 is the mean pixel $m$, `torch.cov(pixels.T)` the covariance matrix.
        """,
        """
        Put the `width` eigenvectors of the largest eigenvalues into the rows of a matrix $V$. The
        coordinates of a pixel are $V(x - m) = Vx - Vm$: a weight and a bias.
        """,
        """
        The way back is $V^\\top z + m$. Copy with `layer.weight.copy_(…[:, :, None, None])` inside
        `torch.no_grad()`.
        """,
    ],
    solution="""
        def pca_layers(maps: torch.Tensor, width: int) -> tuple[nn.Conv2d, nn.Conv2d]:
            channels = maps.shape[1]
            pixels = maps.permute(0, 2, 3, 1).reshape(-1, channels)
            mean = pixels.mean(dim=0)
            _, vectors = torch.linalg.eigh(torch.cov(pixels.T))
            directions = vectors[:, -width:].T  # (width, C)

            reduce = nn.Conv2d(channels, width, kernel_size=1)
            restore = nn.Conv2d(width, channels, kernel_size=1)
            with torch.no_grad():
                reduce.weight.copy_(directions[:, :, None, None])
                reduce.bias.copy_(-directions @ mean)
                restore.weight.copy_(directions.T[:, :, None, None])
                restore.bias.copy_(mean)
            return reduce, restore
    """,
    explanation="""
        PCA is a 1×1 convolution whose weights come from a formula instead of from training. No
        label takes part in it: it keeps what differs most, whether or not that is what the task
        needs.
    """,
)
def _(answer):
    def finish(result: Any, given: _Given) -> tuple[Tensor, ...]:
        what, (maps, width) = f"pca_layers({given})", given.values
        if result is None:
            raise Wrong(f"{what} gives nothing (None). Is the `return` missing?")
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise Wrong(
                f"{what} gives {describe(result)}; two layers, reduce and restore, are expected."
            )
        reduce, restore = (_is_convolution(layer, what) for layer in result)
        channels = maps.shape[1]
        for name, layer, i, o in (
            ("reduce", reduce, channels, width),
            ("restore", restore, width, channels),
        ):
            if (layer.in_channels, layer.out_channels) == (o, i) != (i, o):
                raise Wrong(f"{what}: reduce and restore have changed places.")
            if (layer.in_channels, layer.out_channels) != (i, o) or layer.kernel_size != (1, 1):
                raise Wrong(
                    f"{what}: {name} is {layers(layer)}; a 1×1 convolution from {i} to {o} "
                    "channels is expected."
                )
        return tuple(restore(reduce(images)) for images in given.images)

    def variant(**options: Any) -> Callable:
        return _behaviour("pca_layers", lambda m, w: _pca(m, w, **options), finish)

    def explain(case: tuple, got: Any, _: Any) -> str:
        (given,) = case
        if isinstance(got, Exception):
            if any(text in str(got) for text in ("must match", "doesn't match", "be multiplied")):
                return (
                    "`reduce` has `width` biases, `restore` has C. The mean pixel has C numbers; "
                    "in the new coordinates it is V m, with V of the shape (width, C)."
                )
            return ""
        return _random_parts(answer, given)

    same_results(
        _behaviour("pca_layers", answer, finish) if callable(answer) else answer,
        variant(),
        (_maps((2, 3, 5, 4), 1),),
        (_maps((1, 6, 7, 5), 4),),
        (_maps((3, 5, 4, 4), 2),),
        mistakes={
            "These are the directions with the smallest eigenvalues: torch.linalg.eigh gives them "
            "in ascending order, so the largest are the last.": variant(which="first columns"),
            "Rows of the matrix of eigenvectors are taken; the eigenvectors are its columns.": (
                variant(which="rows")
            ),
            "The first rows of the matrix of eigenvectors are taken; the eigenvectors are its "
            "columns, and the largest come last.": variant(which="first rows"),
            "Rows of the matrix of eigenvectors are taken, after turning the columns around; the "
            "eigenvectors are its columns.": variant(which="flipped rows"),
            "`reshape` alone does not put the channels of a pixel into one row: neighbouring "
            "pixels of one map stand in it. Move the channels to the end with permute first.": (
                variant(rows="reshaped")
            ),
            _RESHAPED: variant(rows="reshaped to channels"),
            _RESHAPED + " The mean pixel is wrong for the same reason.": variant(
                rows="reshaped to channels", rows_mean=True
            ),
            "`reshape` alone does not put the channels of a pixel into one row, and so the mean "
            "pixel is wrong too. Move the channels to the end with permute first.": variant(
                rows="reshaped", rows_mean=True
            ),
            "The mean pixel is neither subtracted before nor added afterwards: both layers lack "
            "their bias.": variant(subtract="no", add=False),
            "The mean pixel is subtracted, but not added again: `restore` needs it as its "
            "bias.": variant(add=False),
            "The mean pixel is added at the end, but not subtracted before: `reduce` needs the "
            "bias −V m.": variant(subtract="no"),
            "The directions are those of the pixels as they are, and the mean is left out "
            "altogether; PCA counts from the mean pixel.": variant(
                centred=False, subtract="no", add=False
            ),
            "The directions are computed from pixels without the mean taken away, so the first "
            "one points at the mean. Use the covariance.": variant(centred=False),
            "The mean pixel is added before instead of subtracted: the bias of `reduce` is −V m, "
            "with a minus.": variant(subtract="added"),
            "The bias of `reduce` is the mean pixel as it is; it has to go through the directions "
            "too: −V m.": variant(subtract="as it is"),
            "Mean and directions come from the first image only; all pixels of all images are "
            "samples.": variant(rows="first image"),
            "torch.linalg.eig gives the eigenvalues in no order, so the first columns are just any "
            "directions. Use torch.linalg.eigh, or sort.": variant(
                solver="eig", which="first columns"
            ),
            "torch.linalg.eig gives the eigenvalues in no order, so the last columns are just any "
            "directions. Use torch.linalg.eigh, or sort.": variant(solver="eig"),
            "The directions are those of the correlations (torch.corrcoef), in which all channels "
            "count alike. PCA's best copy needs the covariance (torch.cov).": variant(
                scaled="directions only"
            ),
            "Every channel is divided by its standard deviation first. That is another analysis "
            "(of the correlations); its squared error is not the smallest.": variant(
                scaled="both ways"
            ),
        },
        tolerance=2e-3,
        parts=("`restore(reduce(maps))`", "the same two layers on new maps"),
        explain=explain,
    )
    return "No other pair of linear 1×1 layers of this width gives a smaller squared error."


# --- one_by_one.5: a linear layer as a convolution -----------------------------------------------


def _as_convolution(
    linear: nn.Linear,
    channels: int,
    k: int,
    *,
    order: str = "channels first",
    bias: bool = True,
    stride: int | None = None,
    padding: int = 0,
) -> nn.Conv2d:
    out = linear.out_features
    weight = {
        "channels first": lambda w: w.reshape(out, channels, k, k),
        "channels last": lambda w: w.reshape(out, k, k, channels).permute(0, 3, 1, 2),
        "turned": lambda w: w.reshape(out, channels, k, k).transpose(2, 3),
        "flipped": lambda w: w.reshape(out, channels, k, k).flip(2, 3),
        "transposed": lambda w: w.T.reshape(out, channels, k, k),
    }[order](linear.weight)
    return _convolution(
        weight,
        linear.bias if bias else None,
        stride=k if stride is None else stride,
        padding=padding,
    )


def _slid(linear: nn.Linear, maps: Tensor, k: int) -> Tensor:
    """`linear` on every k×k window, by cutting the windows out."""
    windows = F.unfold(maps, k).transpose(1, 2)  # (N, places, C·k·k)
    height, width = maps.shape[2] - k + 1, maps.shape[3] - k + 1
    return linear(windows).transpose(1, 2).reshape(len(maps), -1, height, width)


def _explain_layer(answer: Any, given: _Given) -> None:
    """Raises `Wrong` where a look at the layer tells more than its outputs do."""
    layer = call(answer, *copy.deepcopy(given.values)) if callable(answer) else None
    linear, channels, k = given.values
    if not isinstance(layer, nn.Conv2d):
        return
    if layer.padding not in ((0, 0), 0, "valid"):
        raise Wrong(
            f"Your layer is {layers(layer)}. With padding a {k}×{k} kernel has more than one place "
            "on a map of its own size; none is needed."
        )
    if layer.weight.shape != (linear.out_features, channels, k, k):
        return
    again = call(answer, *copy.deepcopy(given.values))
    if not torch.equal(layer.weight, again.weight):
        raise Wrong(
            f"Your layer is {layers(layer)}, as it should be, but its weights are new random "
            "numbers each time: copy those of the linear layer into it."
        )
    if layer.bias is not None and not torch.equal(layer.bias, again.bias):
        raise Wrong("The bias is a new random one each time: copy that of the linear layer too.")


@exercise(
    "one_by_one.5",
    title="A linear layer becomes a convolution",
    answer="as_convolution",
    difficulty=2,
    minutes=12,
    task="""
        `linear` reads maps of the shape (channels, kernel_size, kernel_size), flattened. Write
        `as_convolution(linear, channels, kernel_size)`. It returns an `nn.Conv2d` with the same
        weights, so that for `maps` (N, channels, kernel_size, kernel_size) the values of
        `convolution(maps)` are those of `linear(maps.flatten(1))`, in the shape
        (N, out_features, 1, 1). On larger maps the convolution slides, one pixel at a time, and
        gives at every place what `linear` says of the window there.
    """,
    stub="""
        def as_convolution(linear: nn.Linear, channels: int, kernel_size: int) -> nn.Conv2d:
            # Your code here.
            ...
    """,
    hints=[
        """
        `linear.weight` has the shape (out_features, channels · k · k), the weight of the
        convolution (out_features, channels, k, k). Is anything more than a reshape needed?
        """,
        """
        `flatten` puts a map row by row, channel after channel, into one line. A reshape undoes
        exactly that. And which padding leaves one single place for a k×k kernel on a k×k map?
        """,
    ],
    solution="""
        def as_convolution(linear: nn.Linear, channels: int, kernel_size: int) -> nn.Conv2d:
            convolution = nn.Conv2d(channels, linear.out_features, kernel_size)
            with torch.no_grad():
                convolution.weight.copy_(linear.weight.reshape(convolution.weight.shape))
                convolution.bias.copy_(linear.bias)
            return convolution
    """,
    explanation="""
        The same numbers in another shape. The kernel is as large as the map, so on that map there
        is one place for it. Where the map is 1×1, after the first linear layer, the kernel is
        1×1 too.
    """,
)
def _(answer):
    def finish(result: Any, given: _Given) -> tuple[Tensor, ...]:
        linear, channels, k = given.values
        layer = _is_convolution(result, f"as_convolution({given})")
        if layer.kernel_size == (1, 1) and k > 1 and layer.in_channels == linear.in_features:
            raise Wrong(
                f"as_convolution({given}) gives {layers(layer)}: a 1×1 kernel sees one pixel, and "
                f"this layer looks at {k}×{k} pixels of {channels} channels at once. Only maps of "
                "1×1 need a 1×1 kernel."
            )
        if layer.in_channels == channels and layer.kernel_size != (k, k):
            raise Wrong(
                f"as_convolution({given}) gives {layers(layer)}; the kernel has to be as large as "
                f"the map, {k}×{k}."
            )
        return tuple(call(layer, images) for images in given.images)

    def case(channels: int, k: int, out: int) -> tuple[_Given]:
        linear = nn.Linear(channels * k * k, out)
        maps, larger = torch.randn(2, channels, k, k), torch.randn(2, channels, k + 2, k + 1)
        text = f"{layers(linear)}, channels={channels}, kernel_size={k}"
        return (_Given(text, (linear, channels, k), (maps, larger)),)

    def variant(**options: Any) -> Callable:
        options = {"stride": 1, **options}
        return _behaviour(
            "as_convolution", lambda *given: _as_convolution(*given, **options), finish
        )

    def right(given: _Given) -> tuple[Tensor, ...]:
        linear, _, k = given.values
        return tuple(_slid(linear, images, k) for images in given.images)

    cases = [case(4, 3, 5), case(3, 7, 6), case(8, 2, 32), case(5, 1, 4)]
    try:
        same_results(
            _behaviour("as_convolution", answer, finish) if callable(answer) else answer,
            right,
            *cases,
            mistakes={
                "Height and width of the kernel have changed places.": variant(order="turned"),
                "The kernel is turned around by 180 degrees; torch's convolution does not flip "
                "it.": variant(order="flipped"),
                "The weights are taken apart in the wrong order, with the channels last. `flatten` "
                "goes channel by channel: (channels, k, k).": variant(order="channels last"),
                "The weight of the linear layer is transposed first. It has the shape "
                "(out_features, in_features) already, as a convolution wants it.": variant(
                    order="transposed"
                ),
                "The bias is missing.": variant(bias=False),
                "The stride is the size of the kernel; on larger maps it should slide one pixel at "
                "a time.": variant(stride=None),
            },
            parts=("maps of the kernel's size", "larger maps"),
        )
    except Wrong as error:
        _explain_layer(answer, cases[0][0])
        raise error
    return "The same weights, now able to slide."


# --- one_by_one.6: an experiment -----------------------------------------------------------------

_LOOKS = {
    "1x1, stride 2": 3 / 4,
    "1x1, stride 3": 8 / 9,
    "1x1, stride 2, twice": 15 / 16,
    "2x2 average, then 1x1": 0.0,
    "3x3, then 1x1, stride 2": 0.0,
}


@exercise(
    "one_by_one.6",
    title="An experiment: pixels that are never read",
    answer="never_read",
    difficulty=2,
    minutes=15,
    task="""
        Five ways to make a map of 12×12 smaller. For each of them: which share of the 144 pixels
        has no influence on the result? Write down what you expect, then measure it.

        Whether a pixel is read shows in the gradient. Give the layer a random image
        `torch.randn(1, 4, 12, 12, requires_grad=True)`, sum up what comes out, and call
        `backward()`. A pixel is never read if the gradient of all its four channels is exactly
        zero. Enter shares from 0 to 1, with at least three decimals.
    """,
    stub="""
        looks = {
            "1x1, stride 2": nn.Conv2d(4, 4, 1, stride=2),
            "1x1, stride 3": nn.Conv2d(4, 4, 1, stride=3),
            "1x1, stride 2, twice": nn.Sequential(
                nn.Conv2d(4, 4, 1, stride=2), nn.Conv2d(4, 4, 1, stride=2)
            ),
            "2x2 average, then 1x1": nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 4, 1)),
            "3x3, then 1x1, stride 2": nn.Sequential(
                nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, stride=2)
            ),
        }
        never_read = dict.fromkeys(looks, ...)
    """,
    hints=[
        """
        `image.grad` has the shape (1, 4, 12, 12). `(image.grad == 0).all(dim=1)` says for each
        pixel whether all four channels have gradient zero.
        """,
        """
        Make a new image for each layer, or the gradients of all layers add up in the same
        `image.grad`.
        """,
        """
        The share of a tensor of True and False is `.float().mean().item()`.
        """,
    ],
    solution="""
        looks = {
            "1x1, stride 2": nn.Conv2d(4, 4, 1, stride=2),
            "1x1, stride 3": nn.Conv2d(4, 4, 1, stride=3),
            "1x1, stride 2, twice": nn.Sequential(
                nn.Conv2d(4, 4, 1, stride=2), nn.Conv2d(4, 4, 1, stride=2)
            ),
            "2x2 average, then 1x1": nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 4, 1)),
            "3x3, then 1x1, stride 2": nn.Sequential(
                nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, stride=2)
            ),
        }
        never_read = {}
        for name, layer in looks.items():
            image = torch.randn(1, 4, 12, 12, requires_grad=True)
            layer(image).sum().backward()
            unread = (image.grad == 0).all(dim=1)  # (1, 12, 12)
            never_read[name] = unread.float().mean().item()
    """,
    explanation="""
        With stride s a 1×1 kernel reads one pixel of s · s. Two of them with stride 2 read one of
        16. A mean, or a 3×3 convolution, in front of the stride lets every pixel take part: its
        value has been mixed into a neighbour that is read.
    """,
)
def _(answer):
    _expect_keys(answer, tuple(_LOOKS))
    common = {}
    for name, share in _LOOKS.items():
        common[name] = {
            144 * share: "This is a number of pixels; the share of the 144 is asked for.",
            100 * share: "This is a percentage; shares go from 0 to 1.",
            1 - share: "This is the share that is read; asked for is the share that is not.",
            share / 4: "Divide by the 144 pixels, not by the 576 numbers of the four channels.",
            round(share, 2): "This is rounded too much; give four decimals, or a fraction.",
        }
        if share == 0:
            common[name] = {
                1.0: "This is the share that is read; asked for is the share that is not.",
                3 / 4: (
                    "After the first layer three quarters are skipped, or averaged away. But a "
                    "pixel counts as read when it has been mixed into one that is."
                ),
            }
    common["1x1, stride 2"][1 / 2] = "The kernel skips every other row and every other column."
    common["1x1, stride 3"][2 / 3] = (  # a coincidence: both mistakes give 2/3
        "Of three rows two are skipped, and of three columns too: one pixel of nine is read. (Or "
        "did all layers get the same image? Then the gradients of the layers before it are still "
        "in it.)"
    )
    common["1x1, stride 2, twice"][3 / 4] = (
        "The second layer skips three quarters of what the first has left."
    )
    start = "Build one image, call backward() and look at where its gradient is exactly zero."
    _expect_numbers(answer, _LOOKS, common, tolerance=1e-3, otherwise=start)
    return "A stride alone throws pixels away; a mean or a larger kernel before it does not."


# --- one_by_one.7: who notices that the pixels are shuffled? --------------------------------------

_NOTICES = {
    "1x1, average": False,
    "1x1, maximum": False,
    "1x1, 2x2 average, 1x1, average": False,
    "1x1, 2x2 maximum, 1x1, average": True,
    "1x1, stride 2, average": True,
    "1x1, flatten, linear": True,
}
_WHY = {
    "1x1, average": (
        "Every pixel goes through the same layers, whatever stands beside it, and an average does "
        "not ask for the order."
    ),
    "1x1, maximum": "The largest of all values is the same in whatever order they stand.",
    "1x1, 2x2 average, 1x1, average": (
        "There is a ReLU before the 2x2 average and none after it, so all that follows is linear, "
        "and the mean of the means of 2×2 blocks is the mean of all pixels."
    ),
    "1x1, 2x2 maximum, 1x1, average": (
        "Which four pixels share a block changes when they are shuffled, and so do the maxima."
    ),
    "1x1, stride 2, average": (
        "It reads a quarter of the places. After the shuffle other pixels stand there."
    ),
    "1x1, flatten, linear": "The linear layer has a weight of its own for every place.",
}
_SHUFFLED_STUB = """
    def network(*parts: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), *parts)


    average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    maximum = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
    candidates = {
        "1x1, average": network(nn.Conv2d(8, 10, 1), average),
        "1x1, maximum": network(nn.Conv2d(8, 10, 1), maximum),
        "1x1, 2x2 average, 1x1, average": network(nn.AvgPool2d(2), nn.Conv2d(8, 10, 1), average),
        "1x1, 2x2 maximum, 1x1, average": network(nn.MaxPool2d(2), nn.Conv2d(8, 10, 1), average),
        "1x1, stride 2, average": network(nn.Conv2d(8, 10, 1, stride=2), average),
        "1x1, flatten, linear": network(nn.Flatten(), nn.Linear(8 * 28 * 28, 10)),
    }
"""


@exercise(
    "one_by_one.7",
    title="Who notices that the pixels are shuffled?",
    answer="notices",
    difficulty=2,
    minutes=15,
    task="""
        Six small networks whose only convolutions are 1×1. Which of them give an image the same
        logits when its 784 pixels are shuffled? Write down what you expect, then test it: shuffle
        the pixels inside each image of `images` (64, 1, 28, 28), all with one and the same random
        order, and compare the logits with `torch.allclose(…, atol=1e-5)`: sums in another order
        differ in their last digit. Enter `True` for a network that notices (its logits change) and
        `False` for one that does not.
    """,
    stub=_SHUFFLED_STUB
    + """
    notices = dict.fromkeys(candidates, ...)
    """,
    given="""
        from utils import data

        images, labels = next(iter(data.load(batch_size=64).validation))
    """,
    hints=[
        """
        `order = torch.randperm(784)` is a random order. `images.flatten(2)[:, :, order]` are the
        shuffled pixels in one line; `.reshape(images.shape)` makes images of them again.
        """,
        """
        `torch.allclose(candidate(images), candidate(shuffled), atol=1e-5)` is True where the
        logits stay. True stands for the opposite here: `not torch.allclose(…)`.
        """,
    ],
    solution=_SHUFFLED_STUB
    + """
    order = torch.randperm(28 * 28)
    shuffled = images.flatten(2)[:, :, order].reshape(images.shape)
    notices = {
        name: not torch.allclose(candidate(images), candidate(shuffled), atol=1e-5)
        for name, candidate in candidates.items()
    }
    """,
    explanation="""
        After a 1×1 convolution everything depends on what is done with the positions. Averages
        and maxima over the whole map forget the order altogether. Pooling of 2×2 maxima, a stride
        and a linear layer on the flattened maps do not; but none of them can bring a 1×1
        convolution to compare two neighbours. The 2×2 average changes nothing here, because no
        ReLU follows it: the mean of the means is the mean of all pixels.
    """,
)
def _(answer):
    _expect_keys(answer, tuple(_NOTICES))
    given = {}
    for name in _NOTICES:
        value = answer[name]
        value = value.item() if hasattr(value, "item") and getattr(value, "size", 0) != 0 else value
        if not isinstance(value, bool):
            raise Wrong(f'"{name}": True or False is expected, not {describe(value)}.')
        given[name] = value
    if given == _NOTICES:
        return "The first three cannot tell an image from its shuffled pixels."
    exactly = (
        "Did you compare with == or torch.equal? Sums in another order differ in their last digit; "
        "use torch.allclose with atol=1e-5."
    )
    if all(given.values()):
        raise Wrong(
            f"You have True everywhere. {exactly} (Or was every image of the batch shuffled into "
            "another place? The order of the images stays.)"
        )
    if given == dict.fromkeys(_NOTICES, True) | {"1x1, maximum": False}:
        raise Wrong(
            f"You have True everywhere but for the maximum. {exactly} A maximum alone is the same "
            "to the last digit."
        )
    if not any(given.values()):
        raise Wrong(
            "You have False everywhere. Are the images really shuffled? Does the comparison allow "
            "too large a difference? At least one network has a weight for every place."
        )
    if all(given[name] is not _NOTICES[name] for name in _NOTICES):
        raise Wrong(
            "All six are the wrong way round. True stands for a network whose logits change."
        )
    name = next(name for name in _NOTICES if given[name] is not _NOTICES[name])
    raise Wrong(f'"{name}": {given[name]} is not right. {_WHY[name]}')


# --- one_by_one.8: an open question --------------------------------------------------------------

question(
    "one_by_one.8",
    title="Three rows of VGG's table",
    difficulty=2,
    minutes=15,
    task="""
        The VGG paper compares three configurations at one image size (top-1 and top-5 error on
        ImageNet's validation set, %): **B**, ten convolutions of 3×3: 28.7 and 9.9. **C**, as B
        with a 1×1 convolution, with ReLU, added in three blocks: 28.1 and 9.4. **D**, as C with
        3×3 in place of those 1×1: 27.0 and 8.8.

        Chapter 3 read the paper's conclusions from these rows: C against B, and D against C. What
        else differs between C and D besides what the kernels see? Describe a network that would
        take that difference away, and say how many runs you would need to believe the result.
    """,
    hints=[
        "Count weights: 1×1 and 3×3 from 512 to 512 channels.",
        "One could leave D as it is and make C's extra layers more expensive, or make D's "
        "cheaper. Which changes fewer other things?",
    ],
    discussion="""
        C against B: three more layers that see no neighbour, each with a ReLU, and the error
        falls. The paper reads it so: the added nonlinearity helps. D against C: the same number of
        layers, and the ones that see neighbours are better; so it is worth looking at more than
        one pixel.

        But D's three layers also have nine times as many weights and MACs as C's, and C has more
        of both than B. Part of each gain may be size alone. One could give C's 1×1 layers more
        channels, until both cost the same, for example 1×1 to a larger number of channels and 1×1
        back. Then depth differs; or make the 3×3 of D cheaper by splitting channels into groups,
        and then each output sees fewer channels. There is no way to change one thing only; one
        can report several such networks.

        The differences are .6 and 1.1 points in single runs, on 50,000 images. Without the
        spread between seeds one cannot tell how much of it is chance. Five or more seeds of each,
        compared in pairs, would be a start.
    """,
)
