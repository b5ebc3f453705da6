"""Checks of chapter 01: convolution by hand, LeNet-5, the LeNet of today, a training step."""

import contextlib
import copy
import itertools
import re
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises import trace
from exercises.compare import (
    Unexplained,
    Wrong,
    call,
    close,
    count_parameters,
    describe,
    expect_numbers,
    expect_parameters,
    make,
    same_outputs,
    same_results,
)

IMAGE = "padded[padding : padding + height, padding : padding + width] = image"
LARGER = "torch.zeros(height + 2 * padding, width + 2 * padding)"
INSIDE = "slice(padding, -padding or None)"
FIRST = "height, width = image.shape"
PLACE = "row * stride, column * stride"
ROWS = "(padded.shape[0] - kernel.shape[0]) // stride + 1"
COLUMNS = "(padded.shape[1] - kernel.shape[1]) // stride + 1"
LAST = "            output[row, column] = (patch * kernel).sum()\n    return output"

PRODUCTS = "(patch * kernel).sum()"

SUMS = "4 * F.avg_pool2d(maps, kernel_size=2)"
# The four numbers of a square, in words and as a slice of all squares.
FOUR = {
    "upper left": "maps[..., ::2, ::2]",
    "upper right": "maps[..., ::2, 1::2]",
    "lower left": "maps[..., 1::2, ::2]",
    "lower right": "maps[..., 1::2, 1::2]",
}
RESULT = "self.coefficient * sums + self.bias"

CLEAR, BACK, STEP = "optimizer.zero_grad()", "loss.backward()", "optimizer.step()"
LOSS = "F.cross_entropy(logits, labels)"
ONE_HOT = "F.one_hot(labels, logits.shape[1]).float()"

UNIT = "maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]"
PAIR = "height.item(), width.item()"

# What learners make of the solutions, as changes of their texts.
SLIPS = {
    "lenet.1": {
        "You turn the kernel round before you lay it on. Mathematicians call that a convolution; "
        "torch, and this chapter, lay it on as it is.": ("* kernel)", "* kernel.flip(0, 1))"),
        "You do not use `stride`.": (FIRST, f"stride = 1; {FIRST}"),
        "You use neither `stride` nor `padding`.": (FIRST, f"stride, padding = 1, 0; {FIRST}"),
        "`stride` is between the pixels of a patch here (that is called dilation); it is the "
        "distance from one patch to the next.": (
            "    rows =",
            "    return F.conv2d(padded[None, None], kernel[None, None], dilation=stride)[0, 0]\n"
            "    rows =",
        ),
        "You use `stride` for the rows only; it holds for the columns too.": (
            *(COLUMNS, COLUMNS.replace(" // stride", "")),
            *(PLACE, "row * stride, column"),
        ),
        "You use `stride` for the columns only; it holds for the rows too.": (
            *(ROWS, ROWS.replace(" // stride", "")),
            *(PLACE, "row, column * stride"),
        ),
        "Your output is as large as for stride 1, with zeros between the sums. With a stride it is "
        "smaller: (n - k) // stride + 1 rows, and each place gets a sum.": (
            *(ROWS, ROWS.replace(" // stride", "")),
            *(COLUMNS, COLUMNS.replace(" // stride", "")),
            *("range(rows)", "range(0, rows, stride)"),
            *("range(columns)", "range(0, columns, stride)"),
            *(PLACE, "row, column"),
        ),
        "Your loops step over the output by the stride, so most of its places stay zero. They "
        "have to reach every place of the output; the stride belongs into where a patch begins.": (
            *("range(rows)", "range(0, rows, stride)"),
            *("range(columns)", "range(0, columns, stride)"),
            *(PLACE, "row, column"),
        ),
        "Zeros are above and on the left only, or the kernel never comes to those on the other "
        "sides: the padded image is larger by 2 · padding.": (
            *(LARGER, "torch.zeros(height + padding, width + padding)"),
        ),
        "You pad on the left and on the right only; above and below belong to it too.": (
            *(LARGER, "torch.zeros(height, width + 2 * padding)"),
            *(IMAGE, "padded[:, padding : padding + width] = image"),
        ),
        "You set the outer rows and columns of the image itself to zero. Padding puts new ones "
        "around the image, which makes it larger.": (
            *(LARGER, "torch.zeros(height, width)"),
            *(IMAGE, f"padded[{INSIDE}, {INSIDE}] = image[{INSIDE}, {INSIDE}]"),
        ),
        "The slice [padding:-padding] is empty where the padding is 0: write padding : padding + "
        "height.": (IMAGE, "padded[padding:-padding, padding:-padding] = image"),
        "Your last row and your last column are missing: n - k + 1 positions, not n - k.": (
            *("stride + 1", "stride"),
        ),
        "Your loops stop one position early: a patch may also begin at n - k itself, and "
        "range(n - k) ends before it. So the last row and the last column stay zero.": (
            *("range(rows)", "range(-(-(padded.shape[0] - kernel.shape[0]) // stride))"),
            *("range(columns)", "range(-(-(padded.shape[1] - kernel.shape[1]) // stride))"),
        ),
        "Your loops stop one position early: a patch may also begin at n - k itself, and "
        "`range(n - k)` ends before it: write `range(0, n - k + 1, stride)`.": (
            *(ROWS, "-(-(padded.shape[0] - kernel.shape[0]) // stride)"),
            *(COLUMNS, "-(-(padded.shape[1] - kernel.shape[1]) // stride)"),
        ),
        "The zeros are put around the result; padding puts them around the image, before the "
        "kernel is laid on.": (
            *(LARGER, "torch.zeros(height, width)"),
            *(IMAGE, "padded[:] = image"),
            *(LAST, f"{LAST[:-7]} F.pad(output, 4 * (padding,))"),
        ),
        "The + 1 belongs after the division: (n - k) // stride + 1 positions, not "
        "(n - k + 1) // stride.": (") // stride + 1", " + 1) // stride"),
        "You also count positions where the kernel hangs over the edge. They are left out: round "
        "the number of steps down, with `//`.": (
            *(f"rows = {ROWS[:-4]}", "rows = -(-(padded.shape[0] - kernel.shape[0]) // stride)"),
            *(
                f"columns = {COLUMNS[:-4]}",
                "columns = -(-(padded.shape[1] - kernel.shape[1]) // stride)",
            ),
            *(PRODUCTS, "(patch * kernel[: patch.shape[0], : patch.shape[1]]).sum()"),
        ),
        "You make as many rows and columns as the image has; near its end a patch no longer fits "
        "into it.": (ROWS, "height", COLUMNS, "width"),
        "The sums pile up from place to place: begin each place with a sum of 0.": (
            *(PRODUCTS, f"{PRODUCTS} + output.flatten()[: row * columns + column][-1:].sum()"),
        ),
        "Only the first number is there: the `return` is inside the loops.": (
            *(LAST, f"{LAST[:-18]}\n            return output"),
        ),
    },
    "lenet.2": {
        "You take the mean of the four numbers; the paper takes their sum.": (SUMS, SUMS[4:]),
        "You take twice the mean of the four numbers; their sum is four times the mean.": (
            *(SUMS, f"2{SUMS[1:]}"),
        ),
        "You take the largest of the four numbers (the maximum); the paper takes their sum.": (
            *(SUMS, "F.max_pool2d(maps, 2)"),
        ),
        "You take four times the largest of the four numbers (the maximum); the paper takes their "
        "sum.": (SUMS, "4 * F.max_pool2d(maps, 2)"),
        "You use only two of the four numbers, those of the diagonal; all four are added up.": (
            *(SUMS, "(maps[..., ::2, ::2] + maps[..., 1::2, 1::2])"),
        ),
        "You use twice the two numbers of the diagonal; all four are added up.": (
            *(SUMS, "2 * (maps[..., ::2, ::2] + maps[..., 1::2, 1::2])"),
        ),
        "You use only two of the four numbers, those of one row; all four are added up.": (
            *(SUMS, "(maps[..., ::2, ::2] + maps[..., ::2, 1::2])"),
        ),
        "You use only two of the four numbers, those of one column; all four are added up.": (
            *(SUMS, "(maps[..., ::2, ::2] + maps[..., 1::2, ::2])"),
        ),
        "You use only one of the four numbers, the first; all four are added up.": (
            *(SUMS, "maps[..., ::2, ::2]"),
        ),
        "You use four times one of the four numbers, the first; all four are added up.": (
            *(SUMS, "4 * maps[..., ::2, ::2]"),
        ),
        **{
            f"The {one} number of each square is left out; all four are added up.": (
                *(SUMS, f"({' + '.join(text for name, text in FOUR.items() if name != one)})"),
            )
            for one in FOUR
        },
        **{
            f"The {one} number of each square is left out, and the {other} one is added twice.": (
                SUMS,
                f"({' + '.join(FOUR[other if name == one else name] for name in FOUR)})",
            )
            for one, other in itertools.permutations(FOUR, 2)
        },
        "The squares begin at (i, j), not at (2 · i, 2 · j), and so they overlap; only a quarter "
        "of the map is read.": (
            SUMS,
            "4 * F.avg_pool2d(maps, 2, 1)[..., : maps.shape[2] // 2, : maps.shape[3] // 2]",
        ),
        "The squares overlap, for they move on by one pixel (stride 1), not by two.": (
            *(SUMS, "4 * F.avg_pool2d(maps, 2, 1)"),
        ),
        "The reshape puts four neighbours of one row together, not the four numbers of a 2×2 "
        "square: with `reshape(N, C, H // 2, 2, W // 2, 2)` they are in the axes 3 and 5.": (
            SUMS,
            "maps.reshape(*maps.shape[:2], maps.shape[2] // 2, maps.shape[3] // 2, 4).sum(-1)",
        ),
        "The reshape puts numbers together that lie half a map apart: with `reshape(N, C, H // 2, "
        "2, W // 2, 2)` they are neighbours.": (
            SUMS,
            "maps.unflatten(3, (2, -1)).unflatten(2, (2, -1)).sum((2, 4))",
        ),
        "You multiply the bias by the coefficient as well: multiply the sum first, then add.": (
            *(RESULT, "self.coefficient * (sums + self.bias)"),
        ),
        "The squashing function is in it; here it is a layer of its own, after this one.": (
            *(RESULT, f"1.7159 * torch.tanh(2 / 3 * ({RESULT}))"),
        ),
        "A tanh is in it; the squashing function is a layer of its own, after this one.": (
            *(RESULT, f"torch.tanh({RESULT})"),
        ),
        "A sigmoid is in it; the squashing function is a layer of its own, after this one.": (
            *(RESULT, f"torch.sigmoid({RESULT})"),
        ),
        "You do not use the bias.": (RESULT, "self.coefficient * sums"),
        "You do not use the coefficient.": (RESULT, "sums + self.bias"),
        "You add coefficient and sum; they are multiplied.": ("t * sums", "t + sums"),
        "Your coefficient multiplies columns, not maps: give it the shape (C, 1, 1).": (
            *(RESULT, "self.coefficient.view(-1) * sums + self.bias.view(-1)"),
        ),
        "A batch norm is in it. Its weight and bias have the right shapes, but it also normalises "
        "each map by mean and spread of the batch, which the formula does not.": (
            "self.coefficient = nn.Parameter(torch.full((channels, 1, 1), 0.25))",
            "self.norm = nn.BatchNorm2d(channels)",
            *("self.bias = nn.Parameter(torch.zeros(channels, 1, 1))", "pass"),
            *(RESULT, "self.norm(sums)"),
        ),
    },
    "lenet.5": {
        "There is still a softmax before `F.cross_entropy`, which applies one itself.": (
            *("model(images)", "model(images).softmax(dim=1)"),
        ),
        "There is still a softmax before `F.cross_entropy`, which applies one itself, and it runs "
        "along the images (dim=0).": ("model(images)", "model(images).softmax(dim=0)"),
        "There is a sigmoid before `F.cross_entropy`, which expects the logits as they are.": (
            *("model(images)", "model(images).sigmoid()"),
        ),
        "Nobody calls `optimizer.zero_grad()`: the gradients of all batches add up.": (CLEAR, ""),
        "The weights do not move: `zero_grad()` is between `backward()` and `step()` and leaves "
        "no gradient to step along.": (f"{CLEAR}\n    {BACK}", f"{BACK}\n    {CLEAR}"),
        "`zero_grad()` comes only after the step. Gradients that are there before the first call "
        "are added to those of the first batch: clear them before `backward()`.": (
            *(CLEAR, "pass", STEP, f"{STEP}; {CLEAR}"),
        ),
        "The weights do not move: nobody calls `loss.backward()`, which computes the gradients "
        "that `step()` follows.": (BACK, ""),
        "The loss is computed after the step, not before it.": (
            *("return loss", "return F.cross_entropy(model(images), labels)"),
        ),
        # One of the three repairs is made: the way on that most people take.
        "Nobody calls `optimizer.zero_grad()`: the gradients of all batches add up. And the "
        "returned loss is still tied to the graph; return a number, loss.item().": (
            *(CLEAR, "", "loss.item()", "loss"),
        ),
        "There is still a softmax before `F.cross_entropy`, which applies one itself. And the "
        "returned loss is still tied to the graph; return a number, loss.item().": (
            *("model(images)", "model(images).softmax(dim=1)", "loss.item()", "loss"),
        ),
        "There is still a softmax before `F.cross_entropy`, which applies one itself. And nobody "
        "calls `optimizer.zero_grad()`: the gradients of all batches add up.": (
            *("model(images)", "model(images).softmax(dim=1)", CLEAR, ""),
        ),
        "You add up the losses of the images; `F.cross_entropy` takes their mean by itself "
        '(without `reduction="sum"`).': ("labels)", 'labels, reduction="sum")'),
        "You return the loss divided by the number of images once more; `F.cross_entropy` gives "
        "the mean.": ("loss.item()", "loss.item() / len(labels)"),
        "The sign has changed: a step now makes the loss larger.": ("= F.cross", "= -F.cross"),
        "The gradients are those of the negative loss: a step now makes the loss larger.": (
            *(BACK, "(-loss).backward()"),
        ),
        "`F.nll_loss` expects logarithms of probabilities. `F.cross_entropy` takes logits and does "
        "both.": ("cross_entropy", "nll_loss"),
        "`F.nll_loss` expects logarithms of probabilities, not probabilities. `F.cross_entropy` "
        "takes logits and does both.": (LOSS, "F.nll_loss(logits.softmax(1), labels)"),
        "The log-softmax goes along the images (dim=0); it has to go along the classes, as "
        "`F.cross_entropy` does by itself.": (LOSS, "F.nll_loss(logits.log_softmax(0), labels)"),
        "That is the squared error of the probabilities; the loss is the cross-entropy.": (
            *(LOSS, f"F.mse_loss(logits.softmax(1), {ONE_HOT})"),
        ),
        "That is the squared error of the logits; use `F.cross_entropy`.": (
            *(LOSS, f"F.mse_loss(logits, {ONE_HOT})"),
        ),
        "That is the cross-entropy of each output for itself (binary); use `F.cross_entropy`.": (
            *(LOSS, f"F.binary_cross_entropy_with_logits(logits, {ONE_HOT})"),
        ),
        "That is the accuracy; return the loss.": (
            *("return loss.item()", "return (logits.argmax(1) == labels).float().mean().item()"),
        ),
        "You clip the gradients, or scale them: nothing changes them between `backward()` and "
        "`step()`.": (STEP, f"nn.utils.clip_grad_norm_(model.parameters(), 0.1); {STEP}"),
        "The loss has a penalty for large weights in it: it is the cross-entropy alone.": (
            "labels)",
            "labels) + 0.01 * sum(p.square().sum() for p in model.parameters())",
        ),
    },
    "lenet.6": {
        "You ask for the gradient of all units together; ask for that of the middle one.": (
            *(UNIT, "maps"),
        ),
        "You took the unit in the corner: with padding it sees less than the others.": (
            *(UNIT, "maps[0, :, 0, 0]"),
        ),
        "Row and column of the unit are exchanged: the middle row is number shape[2] // 2, the "
        "middle column shape[3] // 2.": (
            *(UNIT, "maps[0, :, maps.shape[3] // 2, maps.shape[2] // 2]"),
        ),
        "From the first row to the last, both counted: one more than their difference.": (
            *(" + 1", ""),
        ),
        "Height and width are exchanged: the first number of a pair is the row.": (
            *("rows, columns =", "columns, rows ="),
        ),
        "You count rows and columns with a gradient; a kernel with gaps (dilation) skips some in "
        "between, and the rectangle holds those as well.": (
            *("rows.max() - rows.min() + 1", "rows.unique().numel()"),
            *("columns.max() - columns.min() + 1", "columns.unique().numel()"),
            *("height.item(), width.item()", "height, width"),
        ),
        "You count the pixels; asked for are height and width of the rectangle.": (
            *(PAIR, "rows.numel()"),
        ),
        "You take the square root of the number of pixels, cut to a whole number; the rectangle "
        "need not be square.": (PAIR, "2 * (int(len(rows) ** 0.5),)"),
        "The larger of the two is given for both, as if the rectangle were a square.": (
            *(PAIR, "2 * (max(height.item(), width.item()),)"),
        ),
        "You add up the gradients of a row, or of a column, before you look for zeros. Positive "
        "and negative ones can cancel: look at each pixel.": (
            "rows, columns = images.grad[0, 0].nonzero().T",
            "rows, columns = (images.grad[0, 0].sum(axis).nonzero() for axis in (1, 0))",
        ),
        **{
            f"You measure from the middle of the image {way}, and double it. The unit need not see "
            "equally far on both sides: count from the first row to the last.": (
                PAIR,
                f"*(2 * ({distance}) + 1 for places in (rows, columns)),",
            )
            for way, distance in {
                "down and to the right": "places.max().item() - size // 2",
                "up and to the left": "size // 2 - places.min().item()",
            }.items()
        },
        "Those are the first and the last row, and the first and the last column; asked for is how "
        "many there are from one to the other.": (
            PAIR,
            "*((places.min().item(), places.max().item()) for places in (rows, columns)),",
        ),
        "Those are the first place and the last; asked for is how many rows and columns there are "
        "from one to the other.": (
            PAIR,
            "(rows.min().item(), columns.min().item()), (rows.max().item(), columns.max().item())",
        ),
        "That is the height alone; return (height, width).": (PAIR, "height.item()"),
        "That is the size of the output, not of what one unit sees.": (
            PAIR,
            "tuple(maps.shape[2:])",
        ),
        "That is the size of the image, not of what one unit sees. Look at the gradient of the "
        "pixels, not at the pixels.": (PAIR, "size, size"),
    },
}


def lenet_1(answer, reference):
    def case(height, width, *kernel, stride, padding):
        return torch.randn(height, width), torch.randn(*kernel), stride, padding

    def explain(case, mine, right):
        i, k, s, p = case
        if isinstance(mine, Tensor) and mine.shape == right.shape and right.numel() > 1:
            added = mine - right
            if added.std() < 1e-5 < added.abs().min():
                raise Wrong(
                    f"The same number, {added.mean():.3f}, is added to every sum, as a bias does. "
                    "Take it out; `nn.Conv2d` has none with bias=False."
                )
        if isinstance(mine, Exception):
            if not isinstance(mine.__cause__, (RuntimeError, IndexError)):
                return ""
        elif not isinstance(mine, Tensor) or mine.ndim != 2 or mine.shape == right.shape:
            return ""
        sums = [f"({n} + 2 · {p} - {m}) // {s} + 1" for n, m in zip(i.shape, k.shape)]
        return (
            f"Here there are {sums[0]} = {right.shape[0]} rows and {sums[1]} = {right.shape[1]} "
            "columns, and the patch of row r and column c begins at "
            f"({'r, c' if s == 1 else f'{s} · r, {s} · c'}) of the padded image."
        )

    cases = (
        case(6, 8, 3, 3, stride=1, padding=0),
        case(7, 6, 3, 2, stride=1, padding=1),
        case(8, 9, 3, 4, stride=2, padding=0),
        case(7, 10, 2, 3, stride=3, padding=2),
        case(5, 4, 5, 4, stride=1, padding=0),
        case(6, 6, 1, 1, stride=2, padding=0),
    )

    def torch_conv2d(image, kernel, stride, padding):
        maps = F.conv2d(image[None, None], kernel[None, None], stride=stride, padding=padding)
        return maps[0, 0]

    same_results(answer, torch_conv2d, *cases, explain=explain, lists=True)
    return f"The same numbers as torch for {len(cases)} combinations of sizes, stride and padding."


def lenet_2(answer, reference):
    module = make(answer, 6)
    if not count_parameters(module):
        used = copy.deepcopy(module)
        with trace.unwatched(), contextlib.suppress(Wrong):
            call(used, torch.zeros(1, 6, 4, 4))
        if count_parameters(used):
            raise Wrong(
                "You make coefficient and bias in `forward`, anew in each call, so training cannot "
                "change them. Make them once, in `__init__`."
            )
    mixed = "A convolution mixes the maps: each output map is to read its own map only (groups)."
    own = "Each of the four numbers has a weight of its own; all four share one coefficient."
    expect_parameters(
        module,
        12,
        common={
            0: "Coefficient and bias are not trainable: they have to be `nn.Parameter`s and "
            f"attributes of the module.{_in_lists(module)}",
            2: "One coefficient and one bias serve all six maps; each map has its own.",
            7: "One number, coefficient or bias, serves all six maps; each map has its own.",
            1: "There is one number only, and it serves all six maps; each map has its own: a "
            "coefficient and a bias.",
            6: _one_of_two(module),
        }
        | dict.fromkeys((24, 30), own)
        | dict.fromkeys((36, 42, 144, 150), mixed),
    )
    if count_parameters(make(answer, 3)) == 12:
        raise Wrong("You do not use `channels`: for three maps there are still 12 parameters.")
    right = reference(6)
    with torch.no_grad():  # zeros would hide what becomes of the bias
        right.bias.fill_(0.25)
    # Six maps of 6×6: here a coefficient laid along the width runs through and is named.
    same_outputs(module, right, (2, 6, 12, 12))
    same_outputs(module, right, (1, 6, 10, 4), (3, 6, 2, 8))

    start = make(answer, 3)
    bias = call(start, torch.zeros(1, 3, 2, 2))
    coefficient = (call(start, torch.ones(1, 3, 2, 2)) - bias) / 4
    if not close(bias, torch.zeros_like(bias)):
        raise Wrong(
            "The formula is right, but the new module does not yet compute average pooling: let "
            "the coefficient start at 1/4 and the bias at 0."
            if not close(coefficient, torch.full_like(coefficient, 0.25))
            else "The formula is right, but the new module does not yet compute average pooling: "
            "let the bias start at 0."
        )
    if not close(coefficient, torch.full_like(coefficient, 0.25)):
        raise Wrong(
            "The formula is right, but the new module does not yet compute average pooling: let "
            "the coefficient start at 1/4."
        )
    return "12 parameters for 6 maps, and it starts as average pooling."


def _in_lists(module: nn.Module) -> str:
    """Which attribute hides parameters in a list of Python, in a sentence; or nothing."""
    for name, value in vars(module).items():
        if isinstance(value, (list, tuple)) and any(isinstance(v, nn.Parameter) for v in value):
            return (
                f" A module does not look into the list `self.{name}`: use `nn.ParameterList`, or "
                "one parameter with a number for each map."
            )
    return ""


def _one_of_two(module: nn.Module) -> str:
    """Whether the one number that a module has for each map is a coefficient or a bias."""
    module = copy.deepcopy(module)
    with torch.no_grad(), trace.unwatched(), contextlib.suppress(Exception):
        for parameter in module.parameters():
            parameter.fill_(1.0)
        if call(module, torch.zeros(1, 6, 4, 4)).any():
            return "The coefficient is missing, or is not an `nn.Parameter`."
        return "The bias is missing, or is not an `nn.Parameter`."
    return "Coefficient or bias is missing, or is not an `nn.Parameter`."


def lenet_3(answer, reference):
    plus_one = "There is one position more than there are steps from the first to the last."
    both_sides = "Padding is added on both sides, so it counts twice."
    down = "A last position that hangs over the edge is left out, so round down."
    biases = "Each of the 16 maps has a bias."
    one_bias = "There is one bias for each of the 16 maps, not for each grid of 25 weights."
    kernels = "A map has a grid of 25 weights for each map that it reads, not one for all."
    small = "A grid of 5×5 has 25 weights, not 5."
    common = {
        "no_padding": {
            23: plus_one,
            26: "A kernel of 3 pixels takes 2 away; this one has 5 pixels and takes 4.",
            28: "That is the size with padding 2.",
        },
        "padding_2": {27: plus_one, 26: both_sides, 24: "That is the size without padding."},
        "stride_2": {
            13: plus_one,
            13.5: f"{down} {plus_one}",
            14.5: down,
            15: down,
            12: "That is the size without padding.",
            28: "That is the size with stride 1.",
        },
        "window_3": {
            12: plus_one,
            12.5: f"{down} {plus_one}",
            13.5: down,
            14: f"{down} (Half of 28 would be right for a window of 2 pixels; this one has 3.)",
            26: "That is the size with stride 1.",
            9: "That is the size with stride 3; with stride 2 the windows overlap.",
            5: "You gave the window the output of the line before; it reads an image of 28 × 28.",
        },
        "all_six": {
            2400: biases,
            2401: biases,
            2496: one_bias,
            400: kernels,
            416: kernels,
            496: small,
            1516: "That is the published table, where most maps read three or four.",
        },
        "three_each": {
            1200: biases,
            1201: biases,
            1248: one_bias,
            400: kernels,
            416: kernels,
            256: small,
            1208: "Half of the maps are read, so half of the weights are left, but all 16 biases.",
            1516: "That is the published table, where nine maps read four and one reads six.",
        },
    }
    sizes = {
        "no_padding": (0, 5, 1),
        "padding_2": (2, 5, 1),
        "stride_2": (2, 5, 2),
        "window_3": (0, 3, 2),
    }
    for name, (padding, kernel, stride) in sizes.items():
        rows = reference[name]
        common[name] = {
            28 * 28: "That is the number of pixels in the image; the rows are asked for.",
            rows * rows: "That is the number of places in the output; the rows are asked for.",
            28 + 2 * padding: f"That is the height of the image{', with its zeros' * (padding > 0)}"
            "; count the places where the kernel fits.",
            28 - kernel + 2: "Add 1 once: n - k + 1 positions.",
            (28 - kernel) / stride: f"Padding is not in it, nor the last position. {plus_one}",
            (28 - kernel) // stride: f"Padding is not in it, nor the last position. {plus_one}",
            (28 - kernel) / stride + 1: f"Padding is not in it. {down}",
            rows // stride: "The stride is used twice.",
        } | common[name]
        common[name].pop(rows, None)  # some of these mistakes make no difference here
    for name, maps in {"all_six": 6, "three_each": 3}.items():
        per_map = "That is one map of the output; there are 16."
        common[name] |= {
            maps * 25: f"{per_map} {biases}",
            maps * 25 + 1: per_map,
            16 * maps: "That is the number of grids; each has 25 weights.",
            6 * 26: "Those are the parameters of LeNet's first convolution: 6 maps from 1.",
            100 * reference[name]: "A weight is stored once, however many places it is used at.",
            maps * (16 * 25 + 1): "The maps have changed places: 16 maps are made, and each of "
            f"them has a bias; {maps} are read.",
        }
    multiplied = "Those are multiplications, at all 10 × 10 places; a weight is counted once."
    common["all_six"][240_000] = common["three_each"][120_000] = multiplied
    if isinstance(answer, dict) and (answer.get("stride_2"), answer.get("window_3")) == (12, 5):
        raise Wrong(
            "You took the four lines as a chain, in which each layer reads the output of the line "
            "before. Each of them is a layer of its own, on an image of 28 × 28 pixels."
        )
    formula = "The formula of this chapter is floor((n + 2 · padding − k) / stride) + 1;"
    otherwise = {
        name: f"{formula} here n is 28, the padding {padding}, k is {kernel}, the stride {stride}."
        for name, (padding, kernel, stride) in sizes.items()
    }
    one_map = (
        "Begin with one map of the output: 25 weights for each map that it reads, and one bias."
    )
    otherwise |= {"all_six": one_map, "three_each": one_map}
    expect_numbers(answer, reference, common, otherwise=otherwise)
    return "All six."


def lenet_4(answer, reference):
    def build(*arguments: type) -> nn.Module:
        network = make(answer, *arguments)
        try:
            with torch.no_grad():
                copy.deepcopy(network)(torch.zeros(2, 1, 28, 28))
                if any(map(nn.parameter.is_lazy, network.parameters())):
                    network(torch.zeros(2, 1, 28, 28))  # lazy layers learn their sizes
        except RuntimeError as error:  # shapes that do not fit: say why, where it is plain
            if re.search(r"mat1 .*x[45] and \d+x120\)", str(error)):
                raise Wrong(
                    "`nn.Flatten()` is missing before the first linear layer, which gets maps "
                    "and not one long vector for each image."
                ) from None
            found = [m.padding for m in network.modules() if isinstance(m, nn.Conv2d)]
            if len(found) == 2 and found[0] in (0, (0, 0)):
                raise Wrong(f"The first convolution has no padding. {padding}") from None
            if len(found) == 2 and found[1] in (2, (2, 2), "same"):
                raise Wrong(
                    "The second convolution has padding too; in the table it makes 10 × 10 of "
                    "14 × 14."
                ) from None
        return _with_linear_c5(network)

    padding = (
        "Without padding the first convolution gives 24 rows, and 16 maps of 4 × 4 are left for "
        "the first linear layer."
    )
    if isinstance(answer, nn.Module):
        make(answer, nn.ReLU)  # which says that a function is asked for
    network = build(nn.ReLU, nn.MaxPool2d)
    expect_parameters(
        network,
        61_706,
        common={
            44_426: padding,
            61_684: "The biases of the convolutions are missing.",
            61_492: "The biases of the linear layers are missing.",
            61_470: "All biases are missing.",
            60_856: "The last linear layer, from 84 to 10, is missing.",
            51_902: "The linear layer from 120 to 84 is missing; the table has three of them.",
            37_106: "The linear layer with 120 outputs is missing; the table has three of them.",
            6_582: "The linear layers with 120 and 84 outputs are missing.",
            1_119_626: "Both poolings are missing: without them the maps stay large.",
            290_186: "The first pooling is missing: without it the maps stay large.",
            205_706: "The second pooling is missing: without it the maps stay large.",
            15_626: "Your first linear layer reads 16 numbers, one for each map, as after global "
            "average pooling. `nn.Flatten()` alone keeps all 16 · 5 · 5 = 400 of them.",
        },
    )
    one_more = "An activation comes after each convolution and linear layer; yours also follows"
    no_softmax = "the last layer gives logits, and cross-entropy applies the softmax itself"
    places = {
        1: "after the first convolution",
        4: "after the second convolution",
        8: "after the linear layer of 120",
        10: "after the linear layer of 84",
    }

    def without(*missing: int) -> Callable[[], nn.Module]:
        return lambda: nn.Sequential(*(m for i, m in enumerate(reference()) if i not in missing))

    def more_after(*places: int) -> Callable[[], nn.Module]:
        parts = list(reference(nn.Sigmoid, nn.AvgPool2d))
        for place in reversed(places):
            parts.insert(place + 1, nn.Sigmoid())
        return lambda: nn.Sequential(*parts)

    def followed_by(layer: nn.Module) -> Callable[[], nn.Module]:
        return lambda: nn.Sequential(*reference(), layer)

    def strided(*places: int) -> Callable[[], nn.Module]:
        parts = list(reference())
        for place in reversed(places):
            parts[place].stride = (2, 2)
            del parts[place + 2]
        return lambda: nn.Sequential(*parts)

    def in_order(*axes: int) -> Callable[[], nn.Module]:
        return lambda: nn.Sequential(
            *reference()[:6], _Permuted(axes), nn.Flatten(), *reference()[7:]
        )

    same_outputs(
        network,
        reference(),
        (2, 1, 28, 28),
        (1, 1, 28, 28),
        mistakes={f"The activation {where} is missing.": without(i) for i, where in places.items()}
        | {
            "The activations after both convolutions are missing.": without(1, 4),
            "The activations after the linear layers are missing.": without(8, 10),
            "All activations are missing.": without(1, 4, 8, 10),
            f"A softmax comes last; {no_softmax}.": followed_by(nn.Softmax(dim=1)),
            f"A log-softmax comes last; {no_softmax}.": followed_by(nn.LogSoftmax(dim=1)),
            "An activation comes last; a logit may be negative.": followed_by(nn.ReLU()),
            "A sigmoid comes last; a logit may be any number.": followed_by(nn.Sigmoid()),
            "The channels are moved last before the maps are flattened, so the numbers come in "
            "another order than torch's `nn.Flatten` gives: map by map.": in_order(0, 2, 3, 1),
            "Height and width change places before the maps are flattened, so the numbers come in "
            "another order than torch's `nn.Flatten` gives: row by row.": in_order(0, 1, 3, 2),
            "Your network pools by averaging, although `pooling` is nn.MaxPool2d.": (
                lambda: reference(nn.ReLU, nn.AvgPool2d)
            ),
            "Both convolutions have stride 2 in place of the poolings after them. Use stride 1, "
            "and add `pooling(2)` after each.": strided(0, 3),
            "The first convolution has stride 2 in place of the pooling after it. Use stride 1, "
            "and add `pooling(2)`.": strided(0),
            "The second convolution has stride 2 in place of the pooling after it. Use stride 1, "
            "and add `pooling(2)`.": strided(3),
            "Your network has sigmoids, although `activation` is nn.ReLU.": (
                lambda: reference(nn.Sigmoid, nn.MaxPool2d)
            ),
            "Your network has sigmoids and averages, whatever `activation` and `pooling` say.": (
                lambda: reference(nn.Sigmoid, nn.AvgPool2d)
            ),
        },
    )
    same_outputs(
        build(nn.Sigmoid, nn.AvgPool2d),
        reference(nn.Sigmoid, nn.AvgPool2d),
        (2, 1, 28, 28),
        mistakes={
            f"{one_more} both poolings.": more_after(2, 5),
            f"{one_more} the first pooling.": more_after(2),
            f"{one_more} the second pooling.": more_after(5),
            _POOLED_FIRST.format("in both places"): _pooled_first(reference, nn.Sigmoid, 1, 4),
            _POOLED_FIRST.format("after the first convolution"): (
                _pooled_first(reference, nn.Sigmoid, 1)
            ),
            "You do not use the argument `activation`: asked for sigmoids, it has ReLUs.": (
                lambda: reference(nn.ReLU, nn.AvgPool2d)
            ),
            "You do not use the argument `pooling`: asked for averages, it takes maxima.": (
                lambda: reference(nn.Sigmoid, nn.MaxPool2d)
            ),
            "You use neither `activation` nor `pooling`: the network is always the same.": (
                reference
            ),
        },
    )
    same_outputs(  # sigmoids hardly bend where the logits are made: ReLUs and averages show it
        build(nn.ReLU, nn.AvgPool2d),
        reference(nn.ReLU, nn.AvgPool2d),
        (2, 1, 28, 28),
        mistakes={
            _POOLED_FIRST.format(f"after the {which} convolution"): (
                _pooled_first(reference, nn.ReLU, place)
            )
            for place, which in ((1, "first"), (4, "second"))
        },
    )
    try:
        same_outputs(build(), reference(), (2, 1, 28, 28))
    except Wrong as error:
        raise Wrong(
            "With both arguments given, all is right. But the chapter also calls lenet() without "
            "arguments, which should give ReLUs and max pooling, as the first line of the stub "
            f"says: activation=nn.ReLU, pooling=nn.MaxPool2d. {error}"
        ) from None
    return "The right number of parameters, and the logits of the reference with both kinds."


class _Permuted(nn.Module):
    def __init__(self, axes: tuple[int, ...]):
        super().__init__()
        self.axes = axes

    def forward(self, maps: Tensor) -> Tensor:
        return maps.permute(self.axes)


_POOLED_FIRST = (
    "Pooling comes before the activation ({}); the task puts the activation right after the "
    "convolution. With ReLU and maxima the order makes no difference, with averages it does."
)


def _pooled_first(
    reference: Callable, activation: type[nn.Module], *places: int
) -> Callable[[], nn.Module]:
    """Builds the network with averages, the layers at `places` and after them exchanged."""

    def build() -> nn.Module:
        parts = list(reference(activation, nn.AvgPool2d))
        for place in places:
            parts[place], parts[place + 1] = parts[place + 1], parts[place]
        return nn.Sequential(*parts)

    return build


def _with_linear_c5(network: nn.Module) -> nn.Module:
    """C5 may be a 5×5 convolution, as in 1998: the same numbers as a linear layer, other shapes."""
    for module in list(network.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, nn.Conv2d) and layer.weight.shape == (120, 16, 5, 5):
                linear = (nn.Flatten(), nn.Linear(400, 120), nn.Unflatten(1, (120, 1, 1)))
                setattr(module, name, nn.Sequential(*linear))
    return network


def lenet_5(answer, reference):
    if not callable(answer):
        raise Wrong(f"A function is expected, not {describe(answer)}.")
    start = nn.Sequential(nn.Conv2d(1, 2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(8, 4))
    start = _with_weights(start, lambda w: 3 * w)  # so that it does not only guess
    batches = [(torch.randn(n, 1, 5, 5), torch.randint(0, 4, (n,))) for n in (6, 3, 8, 5)]
    left_over = [torch.randn_like(parameter) for parameter in start.parameters()]
    what = "training_step(model, images, labels, optimizer)"
    causes = {
        "mse": "Use `F.cross_entropy`, not a squared error.",
        "input to conv2d": "Give the network the images as they are, (N, C, H, W).",
        "does not require grad": "`backward()` does not find a way from the loss to the weights. "
        "`F.cross_entropy` gets the logits themselves: `argmax`, `.detach()`, `.data` and "
        "`torch.no_grad()` cut them off.",
    }
    mode = (
        "Your function changes the mode of the network, with `model.train()` or `model.eval()`; "
        "the task says to call neither."
    )

    class WatchedSGD(torch.optim.SGD):
        events: list[str]

        def step(self, closure=None):
            self.events.append("step")
            return super().step(closure)

    def outcome(step: Callable) -> tuple[list, list[Tensor], list[str]]:
        """The returned losses, the weights at the end, and what happened in the first step."""
        model, losses = copy.deepcopy(start), []
        for parameter, gradient in zip(model.parameters(), left_over):
            parameter.grad = gradient.clone()  # as somebody else's batch leaves it
        optimizer = WatchedSGD(model.parameters(), lr=0.5)
        optimizer.events = []
        model[0].bias.register_hook(lambda _: optimizer.events.append("backward"))
        model.register_forward_pre_hook(
            lambda m, _: None if m.training else optimizer.events.append("evaluation")
        )
        for images, labels in batches:
            try:
                loss = call(step, model, images.clone(), labels.clone(), optimizer, what=what)
            except Wrong as error:
                for sign, cause in causes.items():
                    if sign in str(error).lower():
                        raise Wrong(f"{cause} {error}") from error
                raise
            if not model.training and "evaluation" not in optimizer.events:
                raise Wrong(f"{mode} After it the network is in evaluation mode.")
            if loss is None:
                raise Wrong(f"{what} returns nothing (None). Is the `return` missing?")
            losses.append(loss)
            if len(losses) == 1:
                events = list(optimizer.events)
                trace.see(events)
        weights = [parameter.detach() for parameter in model.parameters()]
        trace.see(weights)
        return losses, weights, events

    losses, weights, events = outcome(answer)
    with trace.unwatched():
        right_losses, right_weights, _ = outcome(reference)
    if "evaluation" in events:
        raise Wrong(
            "The network is in evaluation mode (`model.eval()`) when it gets the batch. In "
            "training, dropout and batch norm have to work: leave the mode as it is."
        )
    if close(weights, right_weights) and close(losses, right_losses):
        if any(isinstance(loss, Tensor) for loss in losses):
            tied = "is still tied to the graph" if losses[0].requires_grad else "is a tensor"
            raise Wrong(f"The returned loss {tied}; return a number, loss.item().")
        model, modes = copy.deepcopy(start).eval(), []
        model.register_forward_pre_hook(lambda m, _: modes.append(m.training))
        with trace.unwatched():
            answer(model, *batches[0], torch.optim.SGD(model.parameters()))
        if any([*modes, model.training]):
            raise Wrong(f"{mode} Given one in evaluation mode, it sets the training mode.")
        return f"{len(batches)} steps move the weights exactly as they should."

    odd = isinstance(losses[0], (str, list, tuple, dict)) or callable(losses[0])
    if odd or (isinstance(losses[0], Tensor) and losses[0].numel() != 1):
        raise Wrong(f"The loss should come back as one number, not as {describe(losses[0])}.")
    for kind, name in {"step": "optimizer.step()", "backward": "loss.backward()"}.items():
        if events.count(kind) > 1:
            raise Wrong(f"`{name}` runs {events.count(kind)} times for one batch; once is right.")
    if not close(losses[0], right_losses[0]):
        raise Unexplained(
            f"The first batch gets the loss {describe(losses[0])} from your function; right is "
            f"{right_losses[0]:.4f}, the mean cross-entropy of its logits before the step."
        )
    if "step" not in events and "backward" in events:
        if not close(weights, [parameter.detach() for parameter in start.parameters()]):
            raise Wrong(
                "Your function moves the weights without the optimizer that it is given. Call "
                "`optimizer.step()` of this one, and make no other."
            )
        raise Wrong(
            "Nobody calls `optimizer.step()`: the optimizer that the function is given has to "
            "move the weights."
        )
    if not close(weights, right_weights):
        raise Unexplained(
            f"The first loss is right, but after {len(batches)} steps the weights are not where "
            "they should be: each step follows the gradient of its own batch, once, and nothing "
            "else changes gradients, weights or the learning rate."
        )
    raise Unexplained(
        f"The weights are right after {len(batches)} steps, but the returned losses {losses} are "
        f"not; right are {[round(loss, 4) for loss in right_losses]}, each of its own batch."
    )


def lenet_6(answer, reference):
    cases = (
        # With gaps between the units: all of them together see less than the whole image. The
        # gradients of the first row are negative, those of the last column small.
        (_with_weights(nn.Conv2d(1, 2, (3, 5), stride=(4, 6)), lambda w: w.abs() * SIGNS), 18),
        (nn.Conv2d(1, 2, (3, 5)), 16),
        (nn.Sequential(nn.Conv2d(1, 3, 5, padding=2), nn.AvgPool2d(2)), 24),
        (nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Conv2d(2, 3, (5, 3))), 40),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding=2, dilation=2), nn.Tanh()), 20),
        (nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 4, (3, 1)), nn.AvgPool2d(2)), 28),
        (nn.Sequential(nn.Conv2d(1, 2, 1), nn.Tanh(), nn.Conv2d(2, 1, 1)), 9),
        # Here only the row (or column) in the middle sees as much as the kernel is large.
        (nn.Conv2d(1, 2, (9, 5), padding=(4, 0)), 9),
        (nn.Conv2d(1, 2, (5, 9), padding=(0, 4)), 9),
        # All its gradients are small.
        (_with_weights(nn.Conv2d(1, 2, (4, 2), bias=False), lambda w: _alike(w, 2e-5)), 12),
        # One unit before the middle sees less, because the padding is on one side.
        (nn.Sequential(nn.ZeroPad2d((4, 0, 4, 0)), nn.Conv2d(1, 2, 5)), 8),
        # The weights of its first row and of its last column add up to 0, as for an edge.
        (_with_weights(nn.Conv2d(1, 2, 3), lambda w: EDGE.expand_as(w)), 11),
    )

    def images_of(model: nn.Module, size: int) -> list[Tensor]:
        """The images that the answer gives to a network."""
        given: list[Tensor] = []
        model = copy.deepcopy(model)
        model.register_forward_pre_hook(lambda _, images: given.append(images[0].detach().clone()))
        with trace.unwatched(), contextlib.suppress(Wrong):
            call(answer, model, size)
        if not given:
            raise Wrong(
                "Your function never gives an image to the network. It should not look at the "
                "layers; only what comes out, and its gradient, tells what a unit sees."
            )
        return given

    def explain(case: tuple, got: Any, right: tuple) -> str:
        """What the answer gives for the same layers with other weights tells what it looks at."""
        model, size = case
        images_of(model, size)
        results = set()
        with contextlib.suppress(Exception):
            results.add(tuple(map(int, got)))
            results |= {tuple(map(int, answer(model, size))) for _ in range(10)}
        if len(results) > 1 and size != 20:  # behind a tanh the gradient depends on the image
            raise Wrong(
                "You look at another unit or channel for each random image, such as the one with "
                "the largest output. Take row H // 2 and column W // 2, and add up over the "
                "channels."
            )
        if size == 11:  # no gradient is small
            return ""
        if isinstance(got, Exception) and isinstance(got.__cause__, IndexError):
            raise Wrong(
                "The output maps are smaller than the image: their middle is at "
                f"maps.shape[2] // 2 and maps.shape[3] // 2. {got}"
            )
        small = (
            "Small gradients count as zero in your function (a threshold, or rounding). Every "
            "gradient that is not exactly zero counts, however small."
        )

        def sees_all(change: Callable[[Tensor], Tensor]) -> bool:
            with contextlib.suppress(Exception):
                return close(tuple(map(int, answer(_with_weights(model, change), size))), right)
            return False

        signs = sees_all(torch.abs), sees_all(lambda w: -w.abs())
        if signs == (True, False):
            raise Wrong("You count positive gradients only; a negative gradient is not zero.")
        if signs == (False, True):
            raise Wrong("You count negative gradients only; a positive gradient is not zero.")
        if sees_all(lambda w: 1000 * w) or sees_all(lambda w: 1e5 * w) or sees_all(_same_size):
            raise Wrong(small)
        if sees_all(lambda w: 0.3 * torch.ones_like(w)):
            raise Wrong("Some gradients that are not zero do not count.")
        return ""

    same_results(answer, reference, *cases, explain=explain)
    given = images_of(*cases[0])
    if given[0].ndim != 4:
        raise Wrong(
            f"The network gets an image of shape {tuple(given[0].shape)}. Give it one of shape "
            "(1, 1, size, size): the first number counts the images, and many networks need it."
        )
    if all(images.unique().numel() <= 2 for images in given):
        raise Wrong(
            f"All pixels of your image are {describe(given[0].flatten()[0])}: a constant image, "
            "and a random one is asked for. Where all pixels are equal, the gradient of some "
            "layers is zero although they see the pixel."
        )
    return f"It measures {len(cases)} small networks rightly, one with gaps in its kernel."


SIGNS = torch.tensor([[-1.0], [1], [1]]) * torch.tensor([1, 1, 1, 1, 0.001])
EDGE = torch.tensor([[1.0, 0.5, -1.5], [2.0, 1.0, 0.5], [-1.0, 3.0, 1.0]])


def _same_size(weights: Tensor) -> Tensor:
    """Weights of either sign whose sums over the output channels are all of the same size."""
    return (0.3 * weights.sum(dim=0, keepdim=True).sign()).expand_as(weights)


def _alike(weights: Tensor, size: float) -> Tensor:
    """Weights with the same signs, of about the same size (sums of them do not cancel out)."""
    return weights.sign() * size * (1 + 0.1 * torch.rand_like(weights))


def _with_weights(model: nn.Module, change: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy with other weights; biases stay."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(change(parameter))
    return model
