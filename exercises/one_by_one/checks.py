"""Checks of chapter 05: 1×1 convolution."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
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
    describe,
    expect_keys,
    expect_numbers,
    layers,
    make,
    plain,
    same_outputs,
    same_results,
)

SUM = "second.weight.sum(dim=(2, 3)) @ first.bias"
EINSUM = 'torch.einsum("omhw,mi->oihw", second.weight, matrix)'
ADDED = "merged.bias.copy_(second.bias)"

PIXELS = "maps.permute(0, 2, 3, 1).reshape(-1, channels)"
MEAN = "pixels.mean(dim=0)"
OVER_ALL = "maps.mean((0, 2, 3))"
VECTORS = "_, vectors = torch.linalg.eigh(torch.cov(pixels.T))"
EIG = "vectors = torch.linalg.eig(torch.cov(pixels.T))[1].real"
CHOSEN = "vectors[:, -width:].T"
THERE = "-directions @ mean"
WEIGHT = "(directions.T[:, :, None, None]"
NO_BACK = ("restore.bias.copy_(mean)", "restore.bias.zero_()")
WAY_IN = ("photo.permute(2, 0, 1)[None]", "photo.reshape(1, 3, *photo.shape[:2])")
WAY_BACK = ("mixed[0].permute(1, 2, 0)", "mixed.reshape(photo.shape)")
TURNED = ("matrix[:", "matrix.T[:")
_TO = "On the way in, the photograph is reshaped; the channels have to be moved with permute."
_FRO = "On the way back, the result is reshaped; the channels have to be moved with permute."
_TURNED = (
    "The matrix is transposed: the weight has the shape (out, in, 1, 1), and each row of the "
    "matrix belongs to one channel that comes out."
)
FIRST, LAST = "between, kernel_size=1)", "between, out_channels, kernel_size=5, padding=2)"
RESHAPED = "linear.weight.reshape(convolution.weight.shape)"
_PERMUTE = (
    "`reshape` alone does not put the channels of a pixel into one row: neighbouring pixels of one "
    "map are in it. Move the channels to the end with permute first."
)
_RESHAPED = (
    "`maps.reshape(C, -1)` mixes images and channels as soon as there is more than one image: the "
    "axis of the images comes first. Move the channels to the front with permute or transpose "
    "before."
)

# What learners make of the solutions, as changes of their texts.
SLIPS = {
    "one_by_one.2": {
        "The bias of the first layer is lost. It goes through the second kernel.": (
            *(f"bias.add_({SUM})", "bias.add_(0)"),
        ),
        "The bias of the second layer is lost.": (ADDED, "merged.bias.zero_()"),
        "Both biases are lost.": (
            ADDED,
            "merged.bias.zero_()",
            f"bias.add_({SUM})",
            "bias.add_(0)",
        ),
        "The matrix of the first layer is transposed: its weight has the shape (out, in, 1, 1), "
        "and `second` reads what it gives out.": ("mi->oihw", "im->oihw"),
        "The matrices are multiplied in the wrong order. The second layer works on what the first "
        "one gives: its matrix is on the left.": (
            *(EINSUM, 'torch.einsum("om,mihw->oihw", matrix, second.weight)'),
        ),
        "The matrix of the first layer is transposed where it is square: its weight has the shape "
        "(out, in, 1, 1), and `second` reads what it gives out.": (
            "  # (between, in)",
            "\n        matrix = matrix.T if first.in_channels == first.out_channels else matrix",
        ),
        "The bias of the first layer is added as it is. It has to go through the second kernel, "
        "which may have another number of channels.": (SUM, "first.bias"),
        "The bias of the first layer goes through the middle of the kernel only. It is there at "
        "every pixel, so it comes in through all k · k places: sum the kernel over height and "
        "width.": (
            "second.weight.sum(dim=(2, 3))",
            "second.weight[:, :, second.kernel_size[0] // 2, second.kernel_size[1] // 2]",
        ),
        "The bias of the first layer goes through one corner of the kernel only. It comes in "
        "through all k · k places: sum the kernel over height and width.": (
            *("second.weight.sum(dim=(2, 3))", "second.weight[:, :, 0, 0]"),
        ),
        "The bias of the first layer goes through the last corner of the kernel only. It comes in "
        "through all k · k places: sum the kernel over height and width.": (
            *("second.weight.sum(dim=(2, 3))", "second.weight[:, :, -1, -1]"),
        ),
        "The bias of the first layer goes through the mean of the kernel; it should go through "
        "the sum over height and width.": (".sum(dim", ".mean(dim"),
        "The sum of the first bias is added to every output. Each number of it has to go through "
        "its own places of the second kernel.": (SUM, "first.bias.sum()"),
        "The mean of the first bias is added to every output. Each number of it has to go through "
        "its own places of the second kernel.": (SUM, "first.bias.mean()"),
        "The kernel is summed over its channels too, before the first bias goes through it.": (
            *(SUM, "second.weight.sum((1, 2, 3)) * first.bias.sum()"),
        ),
        "The bias of the first layer is subtracted, not added.": ("bias.add_", "bias.sub_"),
        "The bias of the first layer goes through the diagonal of the kernel only. It comes in "
        "through all k · k places: sum the kernel over height and width.": (
            *("second.weight.sum(dim=(2, 3))", 'torch.einsum("omhh->om", second.weight)'),
        ),
        "Only the middle of the kernel is merged, and the rest is zero. Each of the k · k places "
        "is a matrix of its own: multiply all of them.": (
            ADDED,
            "middle = merged.kernel_size[0] // 2\n"
            "        kept = merged.weight[:, :, middle, middle].clone()\n"
            "        merged.weight.zero_()[:, :, middle, middle] = kept\n"
            f"        {ADDED}",
        ),
        "The matrix of the first layer is reshaped, where nothing has to move: its weight has the "
        "shape (between, in, 1, 1) already.": (
            *("first.weight[:, :, 0, 0]", "first.weight.reshape(first.in_channels, -1).T"),
        ),
        "The bias of the second layer is multiplied by k · k. It is added once.": (
            ADDED,
            "merged.bias.copy_(second.kernel_size[0] ** 2 * second.bias)",
        ),
        "The kernel is turned around by 180 degrees; torch's convolution does not flip it.": (
            *(EINSUM, EINSUM.replace("weight,", "weight.flip(2, 3),")),
        ),
        "Height and width of the kernel have changed places.": ("oihw", "oiwh"),
        "The bias of the second layer is added twice.": (
            ADDED,
            "merged.bias.copy_(2 * second.bias)",
        ),
        "`*` (and `@` on the whole weights) multiplies numbers at the same place. Here the "
        "matrices (out, between) and (between, in) are multiplied, for each place of the kernel.": (
            *(EINSUM, "second.weight * first.weight"),
        ),
    },
    "one_by_one.3": {
        f"{_TO} And on the way back too. And: {_TURNED}": (*WAY_IN, *WAY_BACK, *TURNED),
        f"{_TO} And on the way back too.": (*WAY_IN, *WAY_BACK),
        _TO: WAY_IN,
        _FRO: WAY_BACK,
        _TURNED: TURNED,
        "The channels of `photo` are read in the reversed order, blue first. They come as red, "
        "green, blue.": ("photo.permute(2, 0, 1)", "photo.flip(2).permute(2, 0, 1)"),
        "The matrix is used as a kernel over 3×3 neighbouring pixels. It mixes the three channels "
        "of one pixel: its weight has the shape (3, 3, 1, 1).": (
            "mixed = F.conv2d(image, weight)",
            "mixed = F.conv2d(image[0, :, None], matrix[None, None], padding=1)[None, :, 0]",
        ),
        "Height and width have changed places.": ("mixed[0].permute(1,", "mixed[0].mT.permute(1,"),
        "The channels are still first: the result should be (H, W, 3).": (
            *("mixed[0].permute(1, 2, 0)", "mixed[0]"),
        ),
        "There is still a batch axis in front: the result should be (H, W, 3).": (
            *("mixed[0].permute(1, 2, 0)", "mixed.permute(0, 2, 3, 1)"),
        ),
        "The result is cut off at 0 and 1; `recolour` gives the mixture as it is.": (
            *("mixed[0]", "mixed[0].clamp(0, 1)"),
        ),
    },
    "one_by_one.4": {
        "These are the directions with the smallest eigenvalues: torch.linalg.eigh gives them in "
        "ascending order, so the largest are the last.": (CHOSEN, "vectors[:, :width].T"),
        "The mean pixel is neither subtracted before nor added afterwards: both layers lack their "
        "bias. (Or `restore` adds only what the directions keep of the mean; add all of it.)": (
            *(THERE, "0 * mean[:width]", *NO_BACK),
        ),
        "The mean pixel is subtracted, but not added again: `restore` needs it as its bias.": (
            NO_BACK
        ),
        "The mean pixel is added at the end, but not subtracted before: `reduce` needs the bias "
        "−V m.": (THERE, "0 * mean[:width]"),
        "The mean pixel is added before instead of subtracted: the bias of `reduce` is −V m, with "
        "a minus.": (THERE, THERE[1:]),
        "The bias of `reduce` is the mean pixel as it is (its first entries); it has to go through "
        "the directions too: −V m.": (THERE, "-mean[:width]"),
        "The bias of `reduce` is made of entries of the mean pixel; the mean pixel has to go "
        "through the directions: −V m.": (
            *(CHOSEN, "vectors.flip(1)[:, :width].T"),
            *(THERE, "-mean[:width]"),
        ),
        "The directions are computed from pixels without the mean taken away, so the first one "
        "points at the mean. Use the covariance.": ("torch.cov(pixels.T)", "pixels.T @ pixels"),
        "The directions are those of the pixels as they are, and the mean is left out altogether; "
        "PCA counts from the mean pixel.": (
            *("torch.cov(pixels.T)", "pixels.T @ pixels"),
            *(THERE, "0 * mean[:width]"),
            *NO_BACK,
        ),
        "Rows of the matrix of eigenvectors are taken; the eigenvectors are its columns.": (
            *(CHOSEN, "vectors[-width:]"),
        ),
        "The first rows of the matrix of eigenvectors are taken; the eigenvectors are its columns, "
        "and the largest come last.": (CHOSEN, "vectors[:width]"),
        "Rows of the matrix of eigenvectors are taken, after turning the columns around; the "
        "eigenvectors are its columns.": (CHOSEN, "vectors.flip(1)[:width]"),
        "Rows of the matrix of eigenvectors are taken, in the reversed order; the eigenvectors "
        "are its columns.": (CHOSEN, "vectors.flip(0)[:width]"),
        _PERMUTE: (PIXELS, "maps.reshape(-1, channels)", MEAN, OVER_ALL),
        f"{_PERMUTE[:-1]}; the mean pixel is wrong too.": (PIXELS, "maps.reshape(-1, channels)"),
        _RESHAPED: (PIXELS, "maps.reshape(channels, -1).T", MEAN, OVER_ALL),
        f"{_RESHAPED} The mean pixel is wrong for the same reason.": (
            *(PIXELS, "maps.reshape(channels, -1).T"),
        ),
        "Mean and directions come from the first image only; all pixels of all images are "
        "samples.": (PIXELS, PIXELS.replace("maps", "maps[:1]")),
        "The maps are averaged over height and width first, one sample for each image; every "
        "pixel is a sample.": (
            *(PIXELS, "maps.mean((2, 3))"),
            *("torch.cov(pixels.T)", "torch.cov(pixels.T, correction=0)"),
        ),
        "The maps are averaged over the images first; every pixel of every image is a sample.": (
            *(PIXELS, "maps.mean(0).flatten(1).T"),
        ),
        "torch.linalg.eig gives the eigenvalues in no order, so the last columns are just any "
        "directions. Use torch.linalg.eigh, or sort.": (VECTORS, EIG),
        "torch.linalg.eig gives the eigenvalues in no order, so the first columns are just any "
        "directions. Use torch.linalg.eigh, or sort.": (
            VECTORS,
            EIG,
            CHOSEN,
            "vectors[:, :width].T",
        ),
        "The directions are those of the correlations (torch.corrcoef), in which all channels "
        "count alike. PCA's best copy needs the covariance (torch.cov).": ("cov(", "corrcoef("),
        "Every channel is divided by its standard deviation first. That is another analysis (of "
        "the correlations); its squared error is not the smallest.": (
            *("cov(", "corrcoef("),
            *(THERE, "-directions / pixels.std(0) @ mean"),
            *(WEIGHT, "((pixels.std(0)[:, None] * directions.T)[:, :, None, None]"),
            *("(directions[:", "((directions / pixels.std(0))[:"),
        ),
        "The channels that `restore` gives are in the reversed order (flipped).": (
            *(WEIGHT, WEIGHT.replace(".T", ".T.flip(0)")),
        ),
        "The directions of `restore` are not transposed, only reshaped. (They come with the "
        "largest eigenvalue first, which is allowed.)": (
            *(CHOSEN, "vectors.flip(1)[:, :width].T"),
            *(WEIGHT, "(directions.reshape(channels, width, 1, 1)"),
        ),
        "Channels with the largest variance are chosen. PCA's directions mix all channels: they "
        "are eigenvectors of the covariance matrix.": (
            *(CHOSEN, "torch.eye(channels)[pixels.var(dim=0).topk(width).indices]"),
        ),
    },
    "one_by_one.5": {
        "Height and width of the kernel have changed places.": (RESHAPED, f"{RESHAPED}.mT"),
        "The kernel is turned around by 180 degrees; torch's convolution does not flip it.": (
            *(RESHAPED, f"{RESHAPED}.flip(2, 3)"),
        ),
        "The kernel is flipped, left to right; torch's convolution does not flip it.": (
            *(RESHAPED, f"{RESHAPED}.flip(3)"),
        ),
        "The weights are taken apart in the wrong order, with the channels last. `flatten` goes "
        "channel by channel: (channels, k, k).": (
            RESHAPED,
            "linear.weight.reshape(-1, kernel_size, kernel_size, channels).permute(0, 3, 1, 2)",
        ),
        "The weights are taken apart in the wrong order, with the channels between the rows and "
        "the columns. `flatten` goes channel by channel: (channels, k, k).": (
            RESHAPED,
            "linear.weight.reshape(-1, kernel_size, channels, kernel_size).transpose(1, 2)",
        ),
        "The weight of the linear layer is transposed first. It has the shape (out_features, "
        "in_features) already, as a convolution wants it.": ("weight.reshape", "weight.T.reshape"),
        "The bias is missing.": ("copy_(linear.bias)", "zero_()"),
        "The bias is divided by k · k. It is added once to each output: copy it as it is.": (
            *("copy_(linear.bias)", "copy_(linear.bias / kernel_size**2)"),
        ),
        "The bias is multiplied by k · k. It is added once to each output: copy it as it is.": (
            *("copy_(linear.bias)", "copy_(linear.bias * kernel_size**2)"),
        ),
        "The bias has the wrong sign.": ("copy_(linear.bias)", "copy_(-linear.bias)"),
        "The stride is the size of the kernel; on larger maps it should slide one pixel at a "
        "time.": ("kernel_size)", "kernel_size, stride=kernel_size)"),
    },
    "one_by_one.9": {
        "The ReLU between the two convolutions is missing.": ("        nn.ReLU(),\n", ""),
        "There is a ReLU after the second convolution too; the task has one, between the two.": (
            *(f"{LAST},", f"{LAST},\n        nn.ReLU(),"),
        ),
        "The ReLU comes after both convolutions; it belongs between them.": (
            *("        nn.ReLU(),\n", ""),
            *(f"{LAST},", f"{LAST},\n        nn.ReLU(),"),
        ),
        "The ReLU comes first; it belongs between the two convolutions.": (
            *("        nn.ReLU(),\n", ""),
            *("nn.Sequential(\n", "nn.Sequential(\n        nn.ReLU(),\n"),
        ),
        "The 5×5 convolution has no padding, so its maps are smaller than those that come in.": (
            *(", padding=2", ""),
        ),
        "The 1×1 convolution is padded too: it puts a frame around the maps.": (
            *(FIRST, "between, kernel_size=1, padding=2)"),
        ),
        "The padding is at the 1×1 convolution; it belongs to the 5×5.": (
            *(FIRST, "between, kernel_size=1, padding=2)"),
            *(", padding=2),\n    )", "),\n    )"),
        ),
        "The two kernels have changed places: first comes the 1×1, then the 5×5.": (
            *(FIRST, "between, kernel_size=5, padding=2)"),
            *(LAST, "between, out_channels, kernel_size=1)"),
        ),
        "Both kernels are 1×1; the second should be 5×5.": (
            *(LAST, "between, out_channels, kernel_size=1)"),
        ),
        "Both kernels are 5×5; the first should be 1×1.": (
            *(FIRST, "between, kernel_size=5, padding=2)"),
        ),
        "The second kernel is 3×3; it should be 5×5.": (
            *("kernel_size=5, padding=2", "kernel_size=3, padding=1"),
        ),
        "The 5×5 convolution alone is there: the 1×1 before it is missing.": (
            *("        nn.Conv2d(in_channels, between, kernel_size=1),\n", ""),
            *("        nn.ReLU(),\n", ""),
            *(LAST, "in_channels, out_channels, kernel_size=5, padding=2)"),
        ),
    },
}


@dataclass
class _Given:
    """What one call of the learner's function gets, and how a message shows it."""

    text: str
    values: tuple
    images: tuple[Tensor, ...]

    def __repr__(self) -> str:
        return self.text


_SIZES = (
    "The weight of the convolution has the shape (linear.out_features, channels, kernel_size, "
    "kernel_size), and its bias (linear.out_features,). Take all of them from the arguments: no "
    "size is fixed, and none is the batch."
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
            if name == "as_convolution" and re.search(
                "invalid for input of size|must match the size", text
            ):
                raise Wrong(f"{_SIZES} {error}") from error.__cause__
            if name == "merge" and given.values[0].bias is None and "NoneType" in text:
                raise Wrong(
                    "Here `first` has no bias: `first.bias` is None. Ask for it (`if first.bias is "
                    f"not None:`), and leave its part out then. {error}"
                ) from error.__cause__
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
    inside = list(value.children()) if isinstance(value, nn.Module) else []
    if len(inside) == 1 and isinstance(inside[0], nn.Conv2d):
        raise Wrong(
            f"{what} gives {type(value).__name__}({layers(value)}). The `nn.Conv2d` itself is "
            f"asked for, without the {type(value).__name__} around it."
        )
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


def _copies(pair: Any, maps: Tensor) -> bool:
    """Whether two layers lose less than half of the variance, as untrained ones never do."""
    with torch.no_grad():
        left = (pair[1](pair[0](maps)) - maps).square().sum()
    return bool(left < (maps - maps.mean((0, 2, 3), keepdim=True)).square().sum() / 2)


def _random_parts(answer: Callable, given: _Given) -> str:
    """A sentence on weights or biases that two calls draw differently, or nothing."""
    pairs = []
    for _ in range(2):
        with trace.unwatched():
            result = call(answer, *copy.deepcopy(given.values))
        pairs.append(result if isinstance(result, (tuple, list)) else (result,))
    for number, (one, two) in enumerate(zip(*pairs)):
        where = f" of {('reduce', 'restore')[number]}" if len(pairs[0]) == 2 else ""
        if one.weight.shape == two.weight.shape and not torch.equal(one.weight, two.weight):
            if len(pairs[0]) == 2 and _copies(pairs[0], given.values[0]):
                return (
                    "Your layers copy well, but their weights differ from call to call, as those "
                    "of trained layers do. PCA's come from a formula: take the eigenvectors."
                )
            return f"The weights{where} are new random numbers each time: nothing is copied there."
        if one.bias is not None and not torch.equal(one.bias, two.bias):
            return (
                f"The bias{where} is a new random one each time: nothing is copied there. A new "
                "nn.Conv2d draws weights and biases at random."
            )
    return ""


def _look_for_random_parts(answer: Callable) -> Callable[[tuple, Any, Any], str]:
    def explain(case: tuple, got: Any, right: Any) -> str:
        if isinstance(got, Exception):
            return ""
        if random := _random_parts(answer, *case):
            raise Wrong(random)
        if got[0].shape == right[0].shape:
            off = (got[0] - right[0]).detach()
            if close(off, off[:1, :, :1, :1].expand_as(off)) and not close(off, 0 * off):
                return "The kernel is right; only the bias is wrong."
        return ""

    return explain


# --- one_by_one.1: counting -----------------------------------------------------------------------


def one_by_one_1(answer):
    positions, one, five, detour = 28 * 28, 192 * 32, 25 * 192 * 32, (192 * 16, 25 * 16 * 32)
    no_positions = "Each weight is used at every one of the 28 · 28 positions."
    common = {
        "weights": {
            192: "This is one kernel. There is one for each of the 32 channels that come out.",
            32: "Each of the 32 kernels has a weight for every one of the 192 channels.",
            192 + 32: "Channels in and out are multiplied: each of the 32 kernels has 192 weights.",
            positions * one: "A weight is stored once, however many positions it is used at.",
            five: "This is a 5×5 kernel; the first two counts are for the 1×1 convolution.",
            4 * one: "Those are bytes, four for each weight; count the weights.",
        },
        "macs": {
            one: no_positions,
            28 * one: "There are 28 · 28 positions, not 28.",
            positions * 32: "Every output is a sum of 192 products, one for each channel.",
            positions * 192: "This is one kernel; there are 32.",
            positions * five: "This is the 5×5 convolution; here the kernel is 1×1.",
        },
        "direct": {
            five: no_positions,
            positions * one: "The kernel is 5×5: each output is a sum of 5 · 5 · 192 products.",
            positions * 5 * 192 * 32: "The kernel has 5 · 5 places, not 5.",
            24 * 24 * five: "24×24 would be without padding; padding 2 keeps 28×28 positions.",
            positions * 25 * 32: "Every kernel sees all 192 channels: 5 · 5 · 192 products.",
            positions * 25 * 192: "This is one kernel; there are 32.",
            positions * (25 * 192 + one): (
                "This is a 5×5 for each channel alone, and a 1×1 after it. In an ordinary 5×5 "
                "convolution every kernel sees all 192 channels."
            ),
        },
        "detour": {
            sum(detour): no_positions,
            positions * detour[0]: "This is the 1×1 layer alone. The 5×5 after it is missing.",
            positions * detour[1]: "This is the 5×5 layer alone. The 1×1 before it costs too.",
            positions * (detour[0] + five): (
                "After the 1×1 layer there are 16 channels left; the 5×5 reads those, not 192."
            ),
            positions * (one + detour[1]): "The 1×1 layer goes from 192 to 16 channels, not to 32.",
            positions * (one + 25 * 32 * 32): (  # a coincidence: both mistakes give this
                "The 1×1 layer squeezes to 16 channels, not to 32. (Or is one multiply-accumulate "
                "counted as two?)"
            ),
            positions * (one + five): (
                "The detour squeezes to 16 channels: 192 → 16 by 1×1, then 16 → 32 by 5×5."
            ),
            positions * (detour[0] + 25 * 16 * 16): "The 5×5 layer gives 32 channels, not 16.",
            positions * (detour[0] + 16 * 32): "The second layer is 5×5: 5 · 5 · 16 products each.",
            positions * detour[0] + 24 * 24 * detour[1]: (
                "24×24 would be without padding; padding 2 keeps 28×28 positions."
            ),
            positions * (25 * 192 * 16 + 16 * 32): (
                "The two layers come in the other order: first the 1×1, then the 5×5, which then "
                "reads 16 channels."
            ),
            positions
            * (25 * detour[0] + detour[1]): "Only the second layer is 5×5; the first is 1×1.",
            positions * detour[0] * detour[1]: "The two layers run one after the other: add them.",
        },
    }
    right = {"weights": one, "macs": positions * one, "direct": positions * five}
    right["detour"] = positions * sum(detour)
    for part, whole in (("detour", "direct"), ("direct", "detour")):
        ratio = right[part] / right[whole]
        common["detour"] |= dict.fromkeys(
            [ratio, *(round(ratio, digits) for digits in range(4)), int(ratio)],
            "That compares the two ways; the number of MACs itself is asked for.",
        )
    common["detour"].pop(0.0, None)
    common["detour"][positions * detour[0] + 32 * 32 * detour[1]] = (
        "The 5×5 layer gives 28 · 28 outputs. Count those, not the 32 · 32 pixels of its padded "
        "input."
    )
    for key in ("macs", "direct", "detour"):
        common[key] |= {
            right[key] * 32 * 32 // positions: "Count the positions of the output, 28 · 28, not "
            "the 32 · 32 pixels of the padded image.",
            right[key] * 29 * 29 // positions: "There are 28 · 28 positions, not 29 · 29.",
        } | {right[key] * n: f"This is for a batch of {n} images; count one." for n in (16, 32, 64)}
    expect_numbers(
        answer,
        right,
        common,
        macs=("macs", "direct", "detour"),
        with_biases={
            "weights": one + 32,
            "macs": positions * (one + 32),
            "direct": positions * (five + 32),
            "detour": positions * (sum(detour) + 16 + 32),
        },
    )
    times = right["direct"] / right["detour"]
    return f"The detour takes {times:.1f} times fewer MACs than the direct way."


# --- one_by_one.2: merging ------------------------------------------------------------------------


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


def one_by_one_2(answer):
    def right(given: _Given) -> tuple[Tensor, ...]:
        first, second = given.values
        return tuple(second(first(images)) for images in given.images)

    def finish(result: Any, given: _Given) -> tuple[Tensor, ...]:
        layer = _is_convolution(result, f"merge({given})")
        outputs = tuple(call(layer, images) for images in given.images)
        wanted = given.values[1]
        if [one.shape for one in outputs] != [one.shape for one in right(given)]:
            for name in ("kernel_size", "stride", "padding", "dilation"):
                mine, its = getattr(layer, name), getattr(wanted, name)
                if mine != its:
                    raise Wrong(
                        f"The {name} of your layer is {mine}, that of `second` is {its}. The "
                        f"merged layer needs that of `second`. merge({given}) gives "
                        f"{layers(layer)}."
                    )
        return outputs

    same_results(
        _behaviour("merge", answer, finish) if callable(answer) else answer,
        right,
        (_two((4, 4, 4), 1, (2, 4, 3, 2)),),
        (_two((3, 6, 5), 1, (2, 3, 4, 3)),),
        (_two((3, 4, 2), 5, (2, 3, 8, 7)),),
        (_two((2, 5, 3), 3, (1, 2, 9, 8), stride=2),),
        (_two((3, 2, 4), 3, (2, 3, 5, 6), padding=1, first_bias=False),),
        parts=("the output",),
        explain=_look_for_random_parts(answer),
    )
    return "One layer gives what the two gave."


# --- one_by_one.3: repair -------------------------------------------------------------------------


def one_by_one_3(answer):
    def explain(case: tuple, got: Any, right: Tensor) -> str:
        if not isinstance(got, Tensor):
            return ""
        if got.shape != right.shape:
            if (
                got.ndim == 3
                and got.numel() == right.numel()
                and close(got.flatten(), right.flatten())
            ):
                raise Wrong(
                    "The numbers are right and in the right order, but a last reshape cuts them "
                    "into another shape: leave it out."
                )
            return ""
        photo, matrix = case
        low, high = right.min(), right.max()
        if close(got, (right - low) / (high - low)):
            raise Wrong(
                "The result is stretched to the range from 0 to 1; `recolour` gives the mixture "
                "as it is."
            )
        mixed = photo.clone()
        for channel in range(3):
            mixed[..., channel] = mixed @ matrix[channel]
        if close(got, mixed):
            raise Wrong(
                "A channel is mixed from channels that are new already: you write into the tensor "
                "that you read. Keep the photo as it is, and write into another tensor."
            )
        off = (got - right).detach().flatten(0, 1)
        if close(off, off[:1].expand_as(off)):
            raise Wrong(
                "Each channel is off by the same number at all pixels. That is a bias: "
                "nn.Conv2d draws one at random unless it gets bias=False."
            )
        times = ((got * right).sum() / right.square().sum()).item()
        if not 0.99 < times < 1.01 and abs(times) > 1e-3 and close(got / times, right, 0.01):
            raise Wrong(
                f"All numbers are about {times:.4g} times the right ones. Leave them as the "
                "mixture gives them."
            )
        return ""

    same_results(
        answer,
        lambda photo, matrix: photo @ matrix.T,
        (torch.rand(4, 5, 3), torch.randn(3, 3)),
        (torch.rand(3, 3, 3), torch.randn(3, 3)),
        (torch.rand(6, 2, 3), torch.randn(3, 3)),
        explain=explain,
    )
    return (
        "Every pixel is mixed from its own three colours. `photo @ matrix.T` gives the same: a 1×1 "
        "convolution is that product at each pixel, with the channels in another place."
    )


# --- one_by_one.4: principal components -----------------------------------------------------------


def _maps(shape: tuple[int, ...], width: int) -> _Given:
    """Maps whose channels are related, far from zero, and of very different size."""
    channels = shape[1]
    mixing = torch.randn(channels, channels) * torch.logspace(0.6, -0.6, channels)

    def draw() -> Tensor:
        pure = torch.randn(shape).movedim(1, -1)
        return (pure @ mixing.T + 2 + torch.arange(channels)).movedim(-1, 1)

    known, new = draw(), draw()
    return _Given(f"maps of shape {shape}, {width}", (known, width), (known, new))


def _how_other(reduce: nn.Conv2d) -> str:
    lengths = reduce.weight.detach().flatten(1).norm(dim=1)
    if close(lengths, torch.ones_like(lengths), 1e-3):
        return "the rows of its weight are other directions in the same subspace."
    return (
        "the rows of its weight are not of length 1. Do not divide the coordinates by anything, "
        "also not by their standard deviation."
    )


def one_by_one_4(answer, reference):
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
        copies = tuple(restore(reduce(images)) for images in given.images)
        trace.see(copies)
        return copies

    def right(given: _Given) -> tuple[Tensor, ...]:
        reduce, restore = reference(*copy.deepcopy(given.values))
        return tuple(restore(reduce(images)) for images in given.images)

    def explain(case: tuple, got: Any, _: Any) -> str:
        (given,) = case
        if isinstance(got, Exception):
            maps = given.values[0]
            if re.search(rf"(?<!\d){maps.numel() // maps.shape[1]}(?!\d)", str(got.__cause__)):
                raise Wrong(
                    "A matrix has as many rows as there are pixels. torch.cov wants one row for "
                    "each channel (pixels.T), and gives (C, C). "
                    f"{got}"
                )
            if any(text in str(got) for text in ("must match", "doesn't match", "be multiplied")):
                raise Wrong(
                    "`reduce` has `width` biases, `restore` has C. The mean pixel has C numbers; "
                    "in the new coordinates it is V m, with V of the shape (width, C). "
                    f"{got}"
                )
            return ""
        if random := _random_parts(answer, given):
            raise Wrong(random)
        return ""

    cases = [(_maps((2, 3, 5, 4), 1),), (_maps((1, 6, 7, 5), 4),), (_maps((3, 5, 4, 4), 2),)]
    same_results(
        _behaviour("pca_layers", answer, finish) if callable(answer) else answer,
        right,
        *cases,
        tolerance=2e-3,
        parts=("`restore(reduce(maps))`", "the same two layers on new maps"),
        explain=explain,
    )
    for (given,) in cases:
        maps, width = copy.deepcopy(given.values)
        with torch.no_grad():
            found, wanted = (
                layers_of(maps, width)[0](maps).transpose(0, 1).flatten(1)
                for layers_of in (answer, reference)
            )
        if found.mean(dim=1).abs().max() > 1e-2 * wanted.std(dim=1).max():
            raise Wrong(
                "The copy is PCA's, but `reduce` does not count from the mean pixel: the mean "
                "pixel has to get the coordinates 0. Its bias is −V m."
            )
        spread = torch.cov(found).reshape(width, width).diagonal().sort().values
        if not close(spread, wanted.var(dim=1).sort().values, 1e-2):
            raise Wrong(
                "The copy is PCA's, but `reduce` does not give the coordinates along the "
                f"eigenvectors: {_how_other(answer(maps, width)[0])}"
            )
    return "No other pair of linear 1×1 layers of this width gives a smaller squared error."


# --- one_by_one.5: a linear layer as a convolution ------------------------------------------------


def _slid(linear: nn.Linear, maps: Tensor, k: int) -> Tensor:
    """`linear` on every k×k window, by cutting the windows out."""
    windows = F.unfold(maps, k).transpose(1, 2)  # (N, places, C·k·k)
    height, width = maps.shape[2] - k + 1, maps.shape[3] - k + 1
    return linear(windows).transpose(1, 2).reshape(len(maps), -1, height, width)


def one_by_one_5(answer):
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
        wanted = (linear.out_features, channels, k, k)
        if layer.kernel_size == (k, k) and layer.weight.shape != wanted:
            raise Wrong(
                f"as_convolution({given}) gives a layer whose weight has the shape "
                f"{tuple(layer.weight.shape)}. The convolution needs {wanted}: out, in, height, "
                "width."
            )
        if layer.dilation != (1, 1):
            raise Wrong("Your layer has gaps between the pixels of its kernel (dilation).")
        if layer.padding not in ((0, 0), 0, "valid"):
            raise Wrong(
                f"Your layer is {layers(layer)}. With padding a {k}×{k} kernel has more than one "
                "place on a map of its own size; none is needed."
            )
        return tuple(call(layer, images) for images in given.images)

    def case(channels: int, k: int, out: int) -> tuple[_Given]:
        linear = nn.Linear(channels * k * k, out)
        maps, larger = torch.randn(2, channels, k, k), torch.randn(2, channels, k + 2, k + 1)
        text = f"{layers(linear)}, channels={channels}, kernel_size={k}"
        return (_Given(text, (linear, channels, k), (maps, larger)),)

    def right(given: _Given) -> tuple[Tensor, ...]:
        linear, _, k = given.values
        return tuple(_slid(linear, images, k) for images in given.images)

    same_results(
        _behaviour("as_convolution", answer, finish) if callable(answer) else answer,
        right,
        *(case(4, 3, 5), case(3, 7, 6), case(8, 2, 32), case(5, 1, 4)),
        parts=("the output for maps of the kernel's size", "the output for larger maps"),
        explain=_look_for_random_parts(answer),
    )
    return "The same weights, now able to slide."


# --- one_by_one.6: an experiment ------------------------------------------------------------------

_LOOKS = {
    "1x1, stride 2": 3 / 4,
    "1x1, stride 3": 8 / 9,
    "1x1, stride 2, twice": 15 / 16,
    "2x2 average, then 1x1": 0.0,
    "3x3, then 1x1, stride 2": 0.0,
}

_HOW = {  # a sentence that leads to the number
    "1x1, stride 2": "Think of a square of 2×2 pixels: how many of the four does the kernel read?",
    "1x1, stride 3": "Think of a square of 3×3 pixels: how many of the nine does the kernel read?",
    "1x1, stride 2, twice": "Follow one row: which of its pixels 0, 1, 2, 3 reach the second "
    "layer, and which of those does that one read?",
    "2x2 average, then 1x1": "All four pixels of each 2×2 square go into its mean, and every mean "
    "is read.",
    "3x3, then 1x1, stride 2": "The stride keeps every second window in both directions. But the "
    "windows are 3×3 pixels, so those that are left still touch: is any pixel in none of them?",
}


def one_by_one_6(answer):
    common = {}
    for name, share in _LOOKS.items():
        common[name] = {
            144 * share: "This is a number of pixels; the share of the 144 is asked for.",
            100 * share: "This is a percentage; shares go from 0 to 1.",
            1 - share: "This is the share that is read; asked for is the share that is not.",
            576
            * share: "This is a number of entries in all four channels; asked for is the share of "
            "the 144 pixels.",
            4 * share: "In this number every pixel is counted four times, once for each channel. "
            "Ask first for each pixel whether all four gradients are zero: `.all(dim=1)`.",
            share / 4: "Divide by the 144 pixels, not by the 576 numbers of the four channels.",
        }
        for rounded in {round(share, 1), round(share, 2)} - {share}:
            common[name][rounded] = "This is rounded too much; give three decimals, or a fraction."
        if share == 0:
            common[name] = {
                1 / 4: _HOW[name],
                1.0: "This is the share that is read; asked for is the share that is not.",
                3 / 4: (
                    "The output is smaller by three quarters, but that does not tell what was "
                    "read: a pixel counts as read when it has been mixed into one that is."
                ),
            }
        else:
            common[name][0.0] = (
                "This says that every pixel is read. (If it was measured: `image.grad` is what has "
                "to be zero, and `.all(dim=1)` asks each pixel on its own.)"
            )
            for channels in (1, 2, 3):  # of four
                common[name].setdefault(
                    share + (1 - share) * channels / 4,
                    "This is more than the pixels that are skipped. (If it was measured: compare "
                    "the gradient with `== 0`, because a negative one is read too.)",
                )
        # what is behind one output: 1 pixel, 4 under a mean, 4, 6 or 9 under a 3×3 kernel
        behind = (4, 6, 9) if "3x3" in name else (4,) if "average" in name else (1,)
        for left in {1 - pixels / 144 for pixels in behind}:
            common[name].setdefault(
                left,
                "That is all but what one output reads. Take the gradient of everything that comes "
                "out, all outputs summed up.",
            )
    twice = common["1x1, stride 2, twice"]
    twice |= dict.fromkeys(
        (9 / 16, 3 / 2),
        "The shares that are read multiply, not those that are never read: 1/4 of 1/4 is read.",
    )
    twice[1 / 2] = (
        "Each of the two layers keeps one row of two and one column of two, so a quarter of what "
        "it gets. A quarter of a quarter is read."
    )
    twice[7 / 8] = "Along height and along width only every fourth pixel is read: one of 16."
    common["1x1, stride 2"][1 / 2] = (
        "The kernel skips every other row and every other column. (If this was measured: does "
        "`.all` run over rows or columns? `.all(dim=1)` runs over the channels.)"
    )
    for name, stride in (("1x1, stride 2", 2), ("1x1, stride 3", 3)):
        common[name][1 - (12 // stride + 1) ** 2 / 144] = (
            f"With stride {stride} there are {12 // stride} positions on a side, not "
            f"{12 // stride + 1}."
        )
    common["1x1, stride 3"][1 - 10**2 / 28**2] = (
        "This is the share for an image of 28×28. The maps here are 12×12."
    )
    common["3x3, then 1x1, stride 2"][1 - 10**2 / 12**2] = (
        "The pixels at the border are read too: with padding 1 the windows reach over it."
    )
    common["1x1, stride 3"][2 / 3] = (  # a coincidence: both mistakes give 2/3
        "Of three rows two are skipped, and of three columns too: one pixel of nine is read. (Or "
        "did all layers get the same image? Then the gradients of the layers before it are still "
        "in it.)"
    )
    twice[3 / 4] = "The second layer skips three quarters of what the first has left."
    for name, share in _LOOKS.items():
        if share:
            common[name][1.0] = (
                "Then nothing would be read. (If this was measured: is the gradient compared with "
                "`== 0`? A pixel with a negative gradient is read too.)"
            )
    if isinstance(answer, dict):
        for name in _LOOKS.keys() & answer.keys():
            share = plain(answer[name])
            if isinstance(share, (int, float)) and not 0 <= share <= 1:
                common[name].setdefault(
                    share,
                    "A share lies between 0 and 1: the number of pixels that are never read, "
                    "divided by 144. `.all(dim=1)` says of each pixel whether it is one of them.",
                )
    start = "Build one image, call backward() and look at where its gradient is exactly zero."
    otherwise = {name: f"{how} {start}" for name, how in _HOW.items()}
    expect_numbers(answer, _LOOKS, common, tolerance=1e-3, otherwise=otherwise)
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
        "Every pixel goes through the same layers, whatever is beside it, and an average does "
        "not ask for the order."
    ),
    "1x1, maximum": "The largest of all values is the same in any order.",
    "1x1, 2x2 average, 1x1, average": (
        "There is a ReLU before the 2x2 average and none after it, so all that follows is linear, "
        "and the mean of the means of 2×2 blocks is the mean of all pixels."
    ),
    "1x1, 2x2 maximum, 1x1, average": (
        "Which four pixels share a block changes when they are shuffled, and so do the maxima. "
        "(Were they shuffled, not only mirrored or moved?)"
    ),
    "1x1, stride 2, average": (
        "It reads a quarter of the places. After the shuffle other pixels are there."
    ),
    "1x1, flatten, linear": "The linear layer has a weight of its own for every place.",
}


def one_by_one_7(answer):
    expect_keys(answer, _NOTICES)
    given = {}
    for name in _NOTICES:
        value = plain(answer[name])
        if not isinstance(value, int) or value not in (0, 1):
            raise Wrong(f'"{name}": True or False is expected, not {describe(value)}.')
        given[name] = bool(value)
    if given == _NOTICES:
        return "The first three cannot tell an image from its shuffled pixels."
    exactly = (
        "Did you compare with == or torch.equal? Sums in another order differ in their last digit; "
        "use torch.allclose with atol=1e-5."
    )
    if all(given.values()):
        raise Wrong(
            "You have True everywhere. An average does not ask for the order, so more has changed "
            "than the order, or the comparison is too strict. Three things to look at: each image "
            "keeps its place and its own pixels; torch.randperm takes every pixel once; "
            "torch.allclose with atol=1e-5 compares."
        )
    if given == dict.fromkeys(_NOTICES, True) | {"1x1, maximum": False}:
        raise Wrong(
            f"You have True everywhere but for the maximum. {exactly} A maximum alone is the same "
            "to the last digit."
        )
    if not any(given.values()):
        raise Wrong(
            "You have False everywhere. Are the images really shuffled? Is `images` still as it "
            "was? (`flatten` gives no copy: what is written into it changes the images too.) Does "
            "the comparison allow too large a difference? At least one network has a weight for "
            "every place."
        )
    if all(given[name] is not _NOTICES[name] for name in _NOTICES):
        raise Wrong(
            "All six are the wrong way round. True stands for a network whose logits change."
        )
    name = next(name for name in _NOTICES if given[name] is not _NOTICES[name])
    raise Wrong(f'"{name}": {given[name]} is not right. {_WHY[name]}')


# --- one_by_one.9: the detour ---------------------------------------------------------------------


def _detour(in_channels: int, out_channels: int, between: int) -> nn.Module:
    first = nn.Conv2d(in_channels, between, 1)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(between, out_channels, 5, padding=2))


def one_by_one_9(answer):
    for arguments, shape in (
        ((6, 4, 3), (2, 6, 7, 9)),
        ((5, 5, 2), (1, 5, 8, 6)),  # a shortcut would fit
        ((3, 7, 4), (2, 3, 5, 6)),
    ):
        block = make(answer, *arguments)
        try:
            same_outputs(block, _detour(*arguments), shape)
        except Unexplained:
            found = [m.bias for m in block.modules() if isinstance(m, nn.Conv2d)]
            if len(found) > 2:
                raise Wrong(
                    f"Your detour has {len(found)} convolutions; it should have two: a 1×1 layer, "
                    f"and the 5×5 layer, which gives out_channels itself. {layers(block)}"
                ) from None
            if found and any(bias is None for bias in found):
                raise Wrong(
                    "A convolution has no bias. Both have one here, as nn.Conv2d has without "
                    "`bias=False`."
                ) from None
            raise
    return "The 5×5 layer in your detour reads few channels."
