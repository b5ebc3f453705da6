"""Answers to the exercises of chapter 01."""

import torch
from torch import nn


def conv2d(top="row * stride", left="column * stride", **changes):
    """The loops of the solution with some of its parts changed."""
    parts = {
        "pad": "F.pad(image, (padding, padding, padding, padding))",
        "rows": "(padded.shape[0] - kernel.shape[0]) // stride + 1",
        "columns": "(padded.shape[1] - kernel.shape[1]) // stride + 1",
        "value": "(patch * kernel).sum()",
    } | changes
    return f"""
def conv2d(image, kernel, stride, padding):
    padded = {parts["pad"]}
    rows = {parts["rows"]}
    columns = {parts["columns"]}
    output = torch.zeros(rows, columns)
    for row in range(rows):
        for column in range(columns):
            top, left = {top}, {left}
            patch = padded[top : top + kernel.shape[0], left : left + kernel.shape[1]]
            output[row, column] = {parts["value"]}
    return output
"""


def subsampling(
    coefficient="nn.Parameter(torch.full((channels, 1, 1), 0.25))",
    bias="nn.Parameter(torch.zeros(channels, 1, 1))",
    forward="self.coefficient * 4 * F.avg_pool2d(maps, 2) + self.bias",
):
    return f"""
class Subsampling(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.coefficient = {coefficient}
        self.bias = {bias}

    def forward(self, maps):
        return {forward}
"""


def counts(**changes):
    right = {
        "no_padding": 24,
        "padding_2": 28,
        "stride_2": 14,
        "window_3": 13,
        "all_six": 2416,
        "three_each": 1216,
    }
    return f"counts = {right | changes}"


def lenet(**changes):
    """The Sequential of the solution with some of its lines changed."""
    lines = {
        "conv1": "nn.Conv2d(1, 6, 5, padding=2)",
        "activation1": "activation()",
        "pool1": "pooling(2)",
        "conv2": "nn.Conv2d(6, 16, 5)",
        "activation2": "activation()",
        "pool2": "pooling(2)",
        "flatten": "nn.Flatten()",
        "linear1": "nn.Linear(400, 120)",
        "activation3": "activation()",
        "linear2": "nn.Linear(120, 84)",
        "activation4": "activation()",
        "linear3": "nn.Linear(84, 10)",
    } | changes
    inside = ", ".join(line for line in lines.values() if line)
    return f"""
def lenet(activation=nn.ReLU, pooling=nn.MaxPool2d):
    return nn.Sequential({inside})
"""


def training_step(*lines):
    inside = "\n    ".join(lines)
    return f"def training_step(model, images, labels, optimizer):\n    {inside}\n"


LOSS = "loss = F.cross_entropy(model(images), labels)"
SOFTMAX = "loss = F.cross_entropy(model(images).softmax(dim=1), labels)"
CLEAR, BACK, STEP = "optimizer.zero_grad()", "loss.backward()", "optimizer.step()"
RETURN = "return loss.item()"


MIDDLE = "maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum()"
EXTENT = (
    "rows, columns = images.grad[0, 0].nonzero().T",
    "height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1",
    "return height.item(), width.item()",
)


def receptive_field(unit=MIDDLE, result=EXTENT):
    inside = "\n    ".join(result)
    return f"""
def receptive_field(model, size):
    images = torch.randn(1, 1, size, size, requires_grad=True)
    maps = model(images)
    unit = {unit}
    unit.backward()
    {inside}
"""


wrong_answers = {
    "lenet.1": [
        (
            "stops before the last position",
            """
def conv2d(image, kernel, stride, padding):
    padded = F.pad(image, 4 * (padding,))
    (rows, columns), (height, width) = padded.shape, kernel.shape
    lines = []
    for r in range(0, rows - height, stride):
        line = [
            (padded[r : r + height, c : c + width] * kernel).sum()
            for c in range(0, columns - width, stride)
        ]
        lines.append(torch.stack(line))
    return torch.stack(lines)
""",
            r"^Your loops stop one position early",
        ),
        (
            "the result is padded",
            """
def conv2d(image, kernel, stride, padding):
    patches = image.unfold(0, kernel.shape[0], stride).unfold(1, kernel.shape[1], stride)
    return F.pad((patches * kernel).sum(dim=(2, 3)), 4 * (padding,))
""",
            r"^The zeros are put around the result",
        ),
        (
            "normalised",
            conv2d(value="(patch * kernel).sum() / kernel.sum()"),
            r"write.*\(patch \* kernel\)\.sum\(\)",
        ),
        (
            "kernel turned round",
            conv2d(value="(patch * kernel.flip(0, 1)).sum()"),
            r"turn the kernel round.*wrong values",
        ),
        (
            "no stride",
            conv2d(
                "row",
                "column",
                rows="padded.shape[0] - kernel.shape[0] + 1",
                columns="padded.shape[1] - kernel.shape[1] + 1",
            ),
            r"do not use `stride`",
        ),
        (
            "stride in the size alone",
            conv2d("row", "column"),
            r"write.*\(row \* stride, column \* stride\)",
        ),
        ("no padding", conv2d(pad="image"), r"write.*F\.pad\(image, \[padding\] \* 4\)"),
        (
            "padding on two sides",
            conv2d(pad="F.pad(image, (0, padding, 0, padding))"),
            r"write.*\[padding\] \* 4",
        ),
        (
            "all padding on two sides",
            conv2d(pad="F.pad(image, (0, 2 * padding, 0, 2 * padding))"),
            r"write.*\[padding\] \* 4",
        ),
        (
            "padding of ones",
            conv2d(pad="F.pad(image, (padding, padding, padding, padding), value=1.0)"),
            r"leave out.*value=1\.0",
        ),
        (
            "padding repeats the edge",
            conv2d(pad="F.pad(image[None], (padding,) * 4, mode='replicate')[0]"),
            r"leave out.*mode='replicate'",
        ),
        (
            "one position too few",
            conv2d(
                rows="(padded.shape[0] - kernel.shape[0]) // stride",
                columns="(padded.shape[1] - kernel.shape[1]) // stride",
            ),
            r"last row and your last column are missing",
        ),
        ("a mean", conv2d(value="(patch * kernel).mean()"), r"write.*\(patch \* kernel\)\.sum"),
        ("no kernel", conv2d(value="patch.sum()"), r"write.*patch \* kernel"),
        (
            "square kernels only",
            conv2d(columns="(padded.shape[1] - kernel.shape[0]) // stride + 1"),
            r"\(6 \+ 2 · 1 - 2\) // 1 \+ 1 = 7 columns",
        ),
        (
            "rows rounded up",
            conv2d(rows="-(-(padded.shape[0] - kernel.shape[0]) // stride) + 1"),
            r"raised RuntimeError.*of your cell.*// 2 \+ 1 = 3 rows",
        ),
        (
            "works in place",
            "def conv2d(image, kernel, stride, padding):\n"
            "    out = F.conv2d(image[None, None], kernel[None, None], None, stride, padding)\n"
            "    image.zero_()\n"
            "    return out[0, 0]",
            r"changes its argument `image` in place",
        ),
        (
            "batch dimensions left",
            "def conv2d(image, kernel, stride, padding):\n"
            "    return F.conv2d(image[None, None], kernel[None, None], None, stride, padding)",
            r"gives a tensor of shape \(1, 1, 4, 6\)",
        ),
        ("no return", conv2d().replace("    return output", ""), r"Is the `return` missing"),
        (
            "rows and columns exchanged",
            conv2d(
                rows="(padded.shape[1] - kernel.shape[1]) // stride + 1",
                columns="(padded.shape[0] - kernel.shape[0]) // stride + 1",
            ),
            r"raised RuntimeError.*\(6 \+ 2 · 0 - 3\) // 1 \+ 1 = 4 rows.*= 6 columns",
        ),
        (
            "turned round left to right",
            conv2d(value="(patch * kernel.flip(1)).sum()"),
            r"write.*kernel",
        ),
        (
            "turned round top to bottom",
            conv2d(value="(patch * kernel.flip(0)).sum()"),
            r"write.*kernel",
        ),
        ("a matrix product", conv2d(value="(patch @ kernel).sum()"), r"write.*patch \* kernel"),
        (
            "a matrix product with the kernel transposed",
            conv2d(value="(patch @ kernel.T).sum()"),
            r"write.*patch \* kernel",
        ),
        (
            "the kernel cut to a square",
            conv2d().replace(
                "padded =",
                "side = min(kernel.shape)\n    kernel = kernel[:side, :side]\n    padded =",
            ),
            r"cut to a square, as small as its shorter side",
        ),
        (
            "sums of a strided loop in an output for stride 1",
            conv2d(
                "row",
                "column",
                rows="padded.shape[0] - kernel.shape[0] + 1",
                columns="padded.shape[1] - kernel.shape[1] + 1",
            )
            .replace("range(rows)", "range(0, rows, stride)")
            .replace("range(columns)", "range(0, columns, stride)"),
            r"^Your output is as large as for stride 1, with zeros between",
        ),
        (
            "positions that hang over the edge, with the kernel cut",
            conv2d(
                rows="-(-(padded.shape[0] - kernel.shape[0]) // stride) + 1",
                columns="-(-(padded.shape[1] - kernel.shape[1]) // stride) + 1",
                value="(patch * kernel[: patch.shape[0], : patch.shape[1]]).sum()",
            ),
            r"^You also count positions where the kernel hangs over the edge",
        ),
        (
            "the image's own border overwritten",
            conv2d(pad="image").replace(
                "    rows =",
                "    for axis in (0, 1):\n"
                "        image.narrow(axis, 0, padding).zero_()\n"
                "        image.narrow(axis, image.shape[axis] - padding, padding).zero_()\n"
                "    rows =",
            ),
            r"^You set the outer rows and columns of the image itself to zero",
        ),
        (
            "the patch multiplied in place",
            conv2d(value="patch.mul_(kernel).sum()"),
            r"write.*patch \* kernel",
        ),
        (
            "sums that pile up",
            conv2d(value="total")
            .replace(
                "            output[row",
                "            total = total + (patch * kernel).sum()\n            output[row",
            )
            .replace("    for row", "    total = 0\n    for row"),
            r"^The sums pile up from place to place",
        ),
        (
            "a new layer with its bias",
            """
def conv2d(image, kernel, stride, padding):
    layer = nn.Conv2d(1, 1, tuple(kernel.shape), stride=stride, padding=padding)
    with torch.no_grad():
        layer.weight.copy_(kernel[None, None])
        return layer(image[None, None])[0, 0]
""",
            r"^The same number, .*, is added to every sum, as a bias does",
        ),
        ("no sum", conv2d(value="patch * kernel"), r"write.*\(patch \* kernel\)\.sum\(\)"),
        ("a product", conv2d(value="(patch * kernel).prod()"), r"write.*\(patch \* kernel\)\.sum"),
        ("the largest", conv2d(value="(patch * kernel).max()"), r"write.*\(patch \* kernel\)\.sum"),
        (
            "sum times sum",
            conv2d(value="patch.sum() * kernel.sum()"),
            r"write.*\(patch \* kernel\)\.sum\(\)",
        ),
        ("added", conv2d(value="(patch + kernel).sum()"), r"write.*patch \* kernel"),
        ("a ReLU", conv2d(value="(patch * kernel).sum().relu()"), r"there is a ReLU at the end"),
        (
            "neither stride nor padding",
            "def conv2d(i, k, s, p):\n    return F.conv2d(i[None, None], k[None, None])[0, 0]\n",
            r"neither `stride` nor `padding`",
        ),
        (
            "stride for the rows",
            conv2d(left="column", columns="padded.shape[1] - kernel.shape[1] + 1"),
            r"`stride` for the rows only",
        ),
        (
            "stride for the columns",
            conv2d("row", rows="padded.shape[0] - kernel.shape[0] + 1"),
            r"`stride` for the columns only",
        ),
        (
            "dilation",
            "def conv2d(i, k, s, p):\n"
            "    return F.conv2d(i[None, None], k[None, None], None, 1, p, s)[0, 0]\n",
            r"called dilation",
        ),
        (
            "padding above and on the left",
            conv2d(pad="F.pad(image, (padding, 0, padding, 0))"),
            r"above and on the left only, or",
        ),
        (
            "padding counted once",
            conv2d(
                rows="(image.shape[0] + padding - kernel.shape[0]) // stride + 1",
                columns="(image.shape[1] + padding - kernel.shape[1]) // stride + 1",
            ),
            r"larger by 2 · padding",
        ),
        (
            "padding on the left and on the right",
            conv2d(pad="F.pad(image, (padding, padding))"),
            r"on the left and on the right only",
        ),
        (
            "padding above and below",
            conv2d(pad="F.pad(image, (0, 0, padding, padding))"),
            r"write.*\[padding\] \* 4",
        ),
        ("twice the padding", conv2d(pad="F.pad(image, [2 * padding] * 4)"), r"write.*padding"),
        (
            "a row too few",
            conv2d(rows="(padded.shape[0] - kernel.shape[0]) // stride"),
            r"write.*\(padded\.shape\[0\] - kernel\.shape\[0\]\) // stride \+ 1",
        ),
        (
            "a column too few",
            conv2d(columns="(padded.shape[1] - kernel.shape[1]) // stride"),
            r"write.*\(padded\.shape\[1\] - kernel\.shape\[1\]\) // stride \+ 1",
        ),
        (
            "positions without padding",
            conv2d(
                rows="(image.shape[0] - kernel.shape[0]) // stride + 1",
                columns="(image.shape[1] - kernel.shape[1]) // stride + 1",
            ),
            r"write.*padded",
        ),
        (
            "+ 1 before the division",
            conv2d(
                rows="(padded.shape[0] - kernel.shape[0] + 1) // stride",
                columns="(padded.shape[1] - kernel.shape[1] + 1) // stride",
            ),
            r"\+ 1 belongs after the division",
        ),
        (
            "both rounded up",
            conv2d(
                rows="-(-(padded.shape[0] - kernel.shape[0]) // stride) + 1",
                columns="-(-(padded.shape[1] - kernel.shape[1]) // stride) + 1",
            ),
            r"positions where the kernel hangs over the edge",
        ),
        (
            "as large as the image",
            conv2d(rows="image.shape[0]", columns="image.shape[1]"),
            r"as many rows and columns as the image",
        ),
        (
            "divided with /",
            conv2d(rows="(padded.shape[0] - kernel.shape[0]) / stride + 1"),
            r"has to be a whole number",
        ),
        (
            "patches without padding",
            conv2d().replace("patch = padded[", "patch = image["),
            r"write.*padded",
        ),
        (
            "return in the loop",
            conv2d().replace("    return output", "            return output"),
            r"`return` is inside the loops",
        ),
        (
            "written to the patch's place",
            conv2d().replace("output[row, column]", "output[top, left]"),
            r"raised IndexError.*begins at \(2 · r, 2 · c\) of the padded image",
        ),
    ],
    "lenet.2": [
        (
            "parameters in a plain list",
            """
class Subsampling(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.numbers = [nn.Parameter(torch.tensor([0.25, 0.0])) for _ in range(channels)]

    def forward(self, maps):
        sums = 4 * F.avg_pool2d(maps, 2)
        each = [a * sums[:, c] + b for c, (a, b) in enumerate(self.numbers)]
        return torch.stack(each, dim=1)
""",
            r"does not look into the list `self\.numbers`",
        ),
        (
            "twice the mean",
            subsampling(forward="self.coefficient * 2 * F.avg_pool2d(maps, 2) + self.bias"),
            r"twice the mean",
        ),
        (
            "a mean",
            subsampling(forward="self.coefficient * F.avg_pool2d(maps, 2) + self.bias"),
            r"take the mean of the four",
        ),
        (
            "a maximum",
            subsampling(forward="self.coefficient * F.max_pool2d(maps, 2) + self.bias"),
            r"largest of the four",
        ),
        (
            "bias multiplied",
            subsampling(forward="self.coefficient * (4 * F.avg_pool2d(maps, 2) + self.bias)"),
            r"multiply the bias",
        ),
        (
            "squashed",
            subsampling(
                forward="1.7159 * torch.tanh("
                "2 / 3 * (self.coefficient * 4 * F.avg_pool2d(maps, 2) + self.bias))"
            ),
            r"squashing function is in it",
        ),
        (
            "with a sigmoid",
            subsampling(
                forward="(self.coefficient * 4 * F.avg_pool2d(maps, 2) + self.bias).sigmoid()"
            ),
            r"A sigmoid is in it",
        ),
        (
            "one coefficient for all maps",
            subsampling("nn.Parameter(torch.tensor(0.25))", "nn.Parameter(torch.tensor(0.0))"),
            r"2 parameters.*serve all six maps",
        ),
        (
            "not trainable",
            subsampling("torch.full((channels, 1, 1), 0.25)", "torch.zeros(channels, 1, 1)"),
            r"0 parameters.*not trainable",
        ),
        (
            "no bias",
            subsampling(bias="0.0"),
            r"6 parameters.*The bias is missing",
        ),
        (
            "a grouped convolution",
            """
class Subsampling(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 2, stride=2, groups=channels)

    def forward(self, maps):
        return self.convolution(maps)
""",
            r"30 parameters.*weight of its own",
        ),
        (
            "along the width",
            subsampling(
                "nn.Parameter(torch.full((channels,), 0.25))",
                "nn.Parameter(torch.zeros(channels))",
            ),
            r"multiplies columns, not maps",
        ),
        (
            "squares overlap",
            subsampling(
                forward="self.coefficient * 4 * F.avg_pool2d(maps, 2, stride=1) + self.bias"
            ),
            r"shape \(2, 6, 11, 11\); \(2, 6, 6, 6\) is right",
        ),
        (
            "starts as a sum",
            subsampling("nn.Parameter(torch.ones(channels, 1, 1))"),
            r"start at 1/4",
        ),
        (
            "coefficient forgotten in forward",
            subsampling(forward="4 * F.avg_pool2d(maps, 2) + self.bias"),
            r"coefficient",
        ),
        (
            "one number twice, another left out",
            subsampling(
                forward="self.coefficient * (maps[..., ::2, ::2] + 2 * maps[..., ::2, 1::2]"
                " + maps[..., 1::2, 1::2]) + self.bias"
            ),
            r"^The lower left number .* left out, and the upper right one is added twice",
        ),
        (
            "four neighbours of one row",
            subsampling(
                forward="self.coefficient * maps.reshape(*maps.shape[:2], maps.shape[2] // 2, "
                "maps.shape[3] // 2, 4).sum(-1) + self.bias"
            ),
            r"^The reshape puts four neighbours of one row together",
        ),
        (
            "a random bias",
            subsampling(bias="nn.Parameter(torch.randn(channels, 1, 1))"),
            r"let the bias start at 0",
        ),
        (
            "made in forward",
            """
class Subsampling(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, maps):
        self.a = nn.Parameter(torch.full((self.channels, 1, 1), 0.25))
        self.b = nn.Parameter(torch.zeros(self.channels, 1, 1))
        return self.a * 4 * F.avg_pool2d(maps, 2) + self.b
""",
            r"^You make coefficient and bias in `forward`",
        ),
    ],
    "lenet.3": [
        ("no + 1", counts(no_padding=23), r'"no_padding": 23 .*one position more'),
        ("padded once", counts(padding_2=26), r'"padding_2": 26 .*both sides'),
        ("not rounded", counts(stride_2=14.5), r'"stride_2": 14\.5 .*round down'),
        ("rounded up", counts(window_3=14), r'"window_3": 14 .*round down'),
        ("stride forgotten", counts(window_3=26), r'"window_3": 26 .*stride 1'),
        ("padding forgotten", counts(stride_2=12), r'"stride_2": 12 .*without padding'),
        ("no biases", counts(all_six=2400), r'"all_six": 2,400 .*has a bias'),
        (
            "a bias for each kernel",
            counts(all_six=2496),
            r"2,496 .*not for each grid of 25 weights",
        ),
        ("one input map", counts(three_each=416), r"416 .*a grid of 25 weights for each map"),
        ("half of all", counts(three_each=1208), r"half of the weights are left, but all 16"),
        ("5 weights", counts(all_six=496), r"25 weights, not 5"),
        ("the published table", counts(three_each=1516), r'"three_each": 1,516 .*published'),
        ("a text", counts(all_six="2416"), r'"all_six": A number is expected'),
        (
            "anything else",
            counts(padding_2=7),
            r'"padding_2": 7 is not right.*here n is 28, the padding 2, k is 5, the stride 1',
        ),
        ("any other count", counts(all_six=7), r'"all_six": 7 is not right.*Begin with one map'),
        ("pixels", counts(window_3=784), r"number of pixels in the image"),
        ("places", counts(no_padding=576), r"number of places in the output"),
        ("the padded image", counts(stride_2=32), r"height of the image, with its zeros;"),
        ("+ 2", counts(no_padding=25), r"Add 1 once"),
        ("neither padding nor + 1", counts(stride_2=11), r"Padding is not in it, nor the last"),
        ("stride twice", counts(stride_2=7), r"stride is used twice"),
        ("one map", counts(all_six=151), r"one map of the output; there are 16\.$"),
        (
            "one map without bias",
            counts(three_each=75),
            r"there are 16\. Each of the 16 maps has a bias",
        ),
        ("kernels", counts(three_each=48), r"number of grids; each has 25"),
        ("C1", counts(all_six=156), r"parameters of LeNet's first convolution"),
        ("at all places", counts(all_six=241_600), r"stored once"),
        ("multiplications", counts(three_each=120_000), r"multiplications, at all 10 × 10 places"),
        (
            "a chain",
            counts(padding_2=24, stride_2=12, window_3=5),
            r"^You took the four .* a chain",
        ),
        ("stride of the window's size", counts(window_3=9), r"size with stride 3; with stride 2"),
        ("maps exchanged", counts(all_six=2406), r"changed places: 16 maps are made"),
        ("an entry less", "counts = {'no_padding': 24}", r'^"padding_2", .*are missing'),
        ("a list", "counts = [24, 28, 14, 13, 2416, 1216]", r"A dictionary with the keys"),
    ],
    "lenet.4": [
        (
            "frozen",
            lenet().replace("return nn", "network = nn")
            + "    return network.requires_grad_(False)\n",
            r"requires_grad is False",
        ),
        ("all in a row", lenet(flatten="nn.Flatten(0)"), r"one single row.*axis of the images"),
        (
            "no padding",
            lenet(conv1="nn.Conv2d(1, 6, 5)", linear1="nn.Linear(256, 120)"),
            r"44,426 parameters.*Without padding",
        ),
        (
            "no padding, 400 numbers all the same",
            lenet(conv1="nn.Conv2d(1, 6, 5)"),
            r"first convolution has no padding",
        ),
        (
            "padding twice",
            lenet(conv2="nn.Conv2d(6, 16, 5, padding=2)"),
            r"second convolution has padding too",
        ),
        (
            "pooling before the activation",
            """
def lenet(activation=nn.ReLU, pooling=nn.MaxPool2d):
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), pooling(2), activation(),
        nn.Conv2d(6, 16, 5), pooling(2), activation(), nn.Flatten(),
        nn.Linear(400, 120), activation(), nn.Linear(120, 84), activation(), nn.Linear(84, 10),
    )
""",
            r"Pooling comes before the activation",
        ),
        (
            "pooling before the second activation",
            lenet(activation2="pooling(2)", pool2="activation()"),
            r"Pooling comes before the activation \(after the second convolution\)",
        ),
        ("a network", f"{lenet()}\nlenet = lenet()", r"already built"),
        (
            "a class for a layer",
            lenet(pool1="pooling"),
            r"`.*MaxPool2d` is a class here; a layer is made by calling it",
        ),
        (
            "channels last",
            """
class ChannelsLast(nn.Module):
    def forward(self, maps):
        return maps.permute(0, 2, 3, 1).flatten(1)
"""
            + lenet(flatten="ChannelsLast()"),
            r"channels are moved last before the maps are flattened",
        ),
        (
            "no defaults",
            lenet().replace("activation=nn.ReLU, pooling=nn.MaxPool2d", "activation, pooling"),
            r"without arguments.*is not possible",
        ),
        (
            "other defaults",
            lenet().replace("pooling=nn.MaxPool2d", "pooling=nn.AvgPool2d"),
            r"without arguments.*gives other values",
        ),
        ("softmax at the end", lenet(end="nn.Softmax(dim=1)"), r"A softmax comes last"),
        ("log-softmax", lenet(end="nn.LogSoftmax(dim=1)"), r"A log-softmax comes last"),
        ("ReLU at the end", lenet(end="activation()"), r"An activation comes last"),
        ("no activation 1", lenet(activation1=""), r"after the first convolution is missing"),
        ("no activation 2", lenet(activation2=""), r"after the second convolution is missing"),
        ("no activation 3", lenet(activation3=""), r"after the linear layer of 120 is missing"),
        ("no activation 4", lenet(activation4=""), r"after the linear layer of 84 is missing"),
        (
            "convolutions without activation",
            lenet(activation1="", activation2=""),
            r"after both convolutions are missing",
        ),
        (
            "always ReLU",
            lenet(**{f"activation{n}": "nn.ReLU()" for n in (1, 2, 3, 4)}),
            r"do not use the argument `activation`",
        ),
        (
            "always max pooling",
            lenet(pool1="nn.MaxPool2d(2)", pool2="nn.MaxPool2d(2)"),
            r"do not use the argument `pooling`",
        ),
        (
            "always sigmoid and average",
            lenet(
                **{f"activation{n}": "nn.Sigmoid()" for n in (1, 2, 3, 4)},
                pool1="nn.AvgPool2d(2)",
                pool2="nn.AvgPool2d(2)",
            ),
            r"sigmoids and averages, whatever",
        ),
        (
            "a layer less",
            lenet(linear2="nn.Linear(120, 10)", activation4="", linear3=""),
            r"linear layer from 120 to 84 is missing",
        ),
        (
            "global average pooling",
            lenet(flatten="nn.AdaptiveAvgPool2d(1), nn.Flatten()", linear1="nn.Linear(16, 120)"),
            r"first linear layer reads 16 numbers",
        ),
        (
            "strides in place of poolings",
            lenet(
                conv1="nn.Conv2d(1, 6, 5, stride=2, padding=2)",
                conv2="nn.Conv2d(6, 16, 5, stride=2)",
                pool1="",
                pool2="",
            ),
            r"^Both convolutions have stride 2 in place of the poolings",
        ),
        (
            "no second pooling",
            lenet(pool2="", linear1="nn.Linear(1600, 120)"),
            r"The second pooling is missing",
        ),
        ("no flatten", lenet(flatten=""), r"^`nn.Flatten\(\)` is missing"),
        (
            "activations after the poolings too",
            lenet(pool1="pooling(2), activation()", pool2="pooling(2), activation()"),
            r"yours also follows both poolings",
        ),
        (
            "an activation after the second pooling too",
            lenet(pool2="pooling(2), activation()"),
            r"yours also follows the second pooling",
        ),
        (
            "batch lost",
            lenet(flatten="nn.Flatten(0)"),
            r"raised RuntimeError|shape",
        ),
        ("no return", lenet().replace("return ", ""), r"Is the `return` missing"),
        (
            "dropout",
            lenet(activation4="activation(), nn.Dropout(0.5)"),
            r"dropout.*too many",
        ),
    ],
    "lenet.5": [
        (
            "uphill",
            training_step(LOSS, CLEAR, "(-loss).backward()", STEP, RETURN),
            r"negative loss",
        ),
        (
            "perplexity",
            training_step(LOSS, CLEAR, BACK, STEP, "return loss.exp().item()"),
            r"the exponential function",
        ),
        ("softmax kept", training_step(SOFTMAX, CLEAR, BACK, STEP, RETURN), r"still a softmax"),
        (
            "softmax along the images",
            training_step(SOFTMAX.replace("dim=1", "dim=0"), CLEAR, BACK, STEP, RETURN),
            r"^There is still a softmax.*along the images",
        ),
        ("never cleared", training_step(LOSS, BACK, STEP, RETURN), r"Nobody calls"),
        (
            "cleared too late",
            training_step(LOSS, BACK, CLEAR, STEP, RETURN),
            r"weights do not move: `zero_grad\(\)` is between",
        ),
        (
            "step first",
            training_step(LOSS, STEP, CLEAR, BACK, RETURN),
            r"optimizer.step\(\)` \(which moves the weights\).*of your cell",
        ),
        (
            "two of three left",
            training_step(SOFTMAX, BACK, STEP, RETURN),
            r"(?i)still a softmax.*nobody calls",
        ),
        (
            "the other two of three left",
            training_step(LOSS, BACK, STEP, "return loss"),
            r"(?i)nobody calls.*tied to the graph",
        ),
        (
            "only cleared",
            training_step(SOFTMAX, CLEAR, BACK, STEP, "return loss"),
            r"(?i)^there is still a softmax.*tied to the graph",
        ),
        (
            "labels first, and cleared",
            training_step(CLEAR, "loss = F.cross_entropy(labels, model(images))", BACK, STEP),
            r"^The logits come first",
        ),
        (
            "argmax, as decimals",
            training_step(
                "best = model(images).argmax(dim=1)",
                "loss = F.cross_entropy(best.float(), labels.float())",
                *(CLEAR, BACK, STEP, RETURN),
            ),
            r"gets the logits themselves: `argmax`",
        ),
        (
            "item without brackets",
            training_step(LOSS, CLEAR, BACK, STEP, "return loss.item"),
            r"brackets are missing",
        ),
        (
            "the loss cleared",
            training_step(LOSS, "loss.zero_grad()", BACK, STEP, RETURN),
            r"^`zero_grad\(\)` belongs to the optimizer",
        ),
        (
            "ten classes, one-hot",
            training_step(
                "loss = F.cross_entropy(model(images), F.one_hot(labels, 10).float())",
                *(CLEAR, BACK, STEP, RETURN),
            ),
            r"need no `F.one_hot`",
        ),
        (
            "training mode",
            training_step("model.train()", LOSS, CLEAR, BACK, STEP, RETURN),
            r"changes the mode.*sets the training mode",
        ),
        (
            "training mode, then evaluation",
            training_step("model.train()", LOSS, CLEAR, BACK, STEP, "model.eval()", RETURN),
            r"changes the mode.*in evaluation mode",
        ),
        (
            "images in rows",
            training_step(LOSS.replace("images", "images.flatten(1)"), CLEAR, BACK, STEP, RETURN),
            r"^Give the network the images as they are",
        ),
        (
            "a tensor",
            training_step(LOSS, CLEAR, BACK, STEP, "return loss.detach()"),
            r"^The returned loss is a tensor",
        ),
        (
            "loss after the step",
            training_step(LOSS, CLEAR, BACK, STEP, LOSS, RETURN),
            r"after the step, not before",
        ),
        (
            "log-softmax along the images",
            training_step(
                CLEAR,
                "loss = F.nll_loss(model(images).log_softmax(dim=0), labels)",
                *(BACK, STEP, RETURN),
            ),
            r"^The log-softmax goes along the images",
        ),
        (
            "a list",
            training_step(LOSS, CLEAR, BACK, STEP, "return [loss.item()]"),
            r"should come back as one number",
        ),
        (
            "a sum",
            training_step(
                LOSS.replace("labels)", "labels, reduction='sum')"), CLEAR, BACK, STEP, RETURN
            ),
            r"add up the losses of the images",
        ),
        (
            "graph kept",
            training_step(LOSS, CLEAR, BACK, STEP, "return loss"),
            r"^The returned loss is still tied to the graph",
        ),
        ("no return", training_step(LOSS, CLEAR, BACK, STEP), r"Is the `return` missing"),
        (
            "nll of logits",
            training_step("loss = F.nll_loss(model(images), labels)", CLEAR, BACK, STEP, RETURN),
            r"`F.nll_loss` expects logarithms of probabilities\. .*right is",
        ),
        (
            "nll of probabilities",
            training_step(
                "loss = F.nll_loss(model(images).softmax(1), labels)", CLEAR, BACK, STEP, RETURN
            ),
            r"logarithms of probabilities, not probabilities",
        ),
        (
            "steps twice",
            training_step(LOSS, CLEAR, BACK, STEP, STEP, RETURN),
            r"`optimizer.step\(\)` runs 2 times for one batch",
        ),
        (
            "backward twice",
            training_step(LOSS, CLEAR, "loss.backward(retain_graph=True)", BACK, STEP, RETURN),
            r"`loss.backward\(\)` runs 2 times for one batch",
        ),
        (
            "backward twice, graph gone",
            training_step(LOSS, CLEAR, BACK, BACK, STEP, RETURN),
            r"`backward\(\)` runs twice.*of your cell",
        ),
        (
            "no step",
            training_step(LOSS, CLEAR, BACK, RETURN),
            r"^Nobody calls `optimizer.step\(\)`: the optimizer that",
        ),
        (
            "an optimizer of its own",
            training_step(
                "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
                *(LOSS, CLEAR, BACK, STEP, RETURN),
            ),
            r"^Your function moves the weights without the optimizer that it is given",
        ),
        (
            "no backward",
            training_step(LOSS, CLEAR, STEP, RETURN),
            r"nobody calls `loss.backward\(\)`",
        ),
        (
            "backward without brackets",
            training_step(LOSS, CLEAR, "loss.backward", STEP, RETURN),
            r"nobody calls `loss.backward\(\)`",
        ),
        (
            "one loss an image",
            training_step(
                LOSS.replace("labels)", "labels, reduction='none')"), CLEAR, BACK, STEP, RETURN
            ),
            r"`backward\(\)` needs one number.*of your cell",
        ),
        (
            "divided again",
            training_step(LOSS, CLEAR, BACK, STEP, "return loss.item() / len(labels)"),
            r"divided? by the number of images once more",
        ),
        (
            "cleared afterwards",
            training_step(LOSS, BACK, STEP, CLEAR, RETURN),
            r"comes only after the step",
        ),
        (
            "evaluation mode",
            training_step("model.eval()", LOSS, CLEAR, BACK, STEP, RETURN),
            r"in evaluation mode",
        ),
        (
            "without a graph",
            training_step("with torch.no_grad():", "    " + LOSS, CLEAR, BACK, STEP, RETURN),
            r"cuts the result off from.*of your cell",
        ),
        (
            "item before backward",
            training_step(LOSS, CLEAR, "loss.item().backward()", STEP, RETURN),
            r"`.item\(\)` makes a plain number.*of your cell",
        ),
        (
            "labels first",
            training_step("loss = F.cross_entropy(labels, model(images))", BACK, STEP, RETURN),
            r"The logits come first",
        ),
        (
            "argmax",
            training_step(
                LOSS.replace("(images)", "(images).argmax(1)"), CLEAR, BACK, STEP, RETURN
            ),
            r"not the class that `argmax` finds",
        ),
        (
            "a sigmoid",
            training_step(
                LOSS.replace("(images)", "(images).sigmoid()"), CLEAR, BACK, STEP, RETURN
            ),
            r"a sigmoid before `F.cross_entropy`",
        ),
        (
            "squared error",
            training_step(
                "chances = model(images).softmax(1)",
                "loss = F.mse_loss(chances, F.one_hot(labels, 4).float())",
                *(CLEAR, BACK, STEP, RETURN),
            ),
            r"squared error",
        ),
        (
            "the accuracy",
            training_step(
                "logits = model(images)",
                "loss = F.cross_entropy(logits, labels)",
                *(CLEAR, BACK, STEP),
                "return (logits.argmax(1) == labels).float().mean().item()",
            ),
            r"That is the accuracy",
        ),
        (
            "the logits",
            training_step(
                "logits = model(images)",
                "loss = F.cross_entropy(logits, labels)",
                *(CLEAR, BACK, STEP, "return logits"),
            ),
            r"one number, not as a tensor of shape \(6, 4\)",
        ),
        (
            "a text",
            training_step(LOSS, CLEAR, BACK, STEP, "return f'{loss.item():.3f}'"),
            r"one number, not as the text",
        ),
        (
            "rounded",
            training_step(LOSS, CLEAR, BACK, STEP, "return round(loss.item(), 1)"),
            r"rounded to 1 place",
        ),
        (
            "uphill",
            training_step(LOSS, "loss = -loss", CLEAR, BACK, STEP, RETURN),
            r"The sign has changed",
        ),
        (
            "gradients clipped",
            training_step(
                LOSS,
                *(CLEAR, BACK, "nn.utils.clip_grad_norm_(model.parameters(), 0.1)", STEP, RETURN),
            ),
            r"You clip the gradients.*nothing else changes gradients",
        ),
        (
            "the first loss kept",
            "first = []\n"
            + training_step(
                LOSS, CLEAR, BACK, STEP, "first.append(loss.item())", "return first[0]"
            ),
            r"weights are right after 4 steps, but the returned losses",
        ),
    ],
    "lenet.6": [
        (
            "looks at the layers",
            "def receptive_field(model, size):\n"
            "    kernels = [m.kernel_size for m in model.modules() if isinstance(m, nn.Conv2d)]\n"
            "    return 2 * (1 + sum(kernel[0] - 1 for kernel in kernels),)",
            r"never gives an image to the network",
        ),
        (
            "a threshold that nothing reaches",
            receptive_field().replace(
                "grad[0, 0]", "grad[0, 0].where(images.grad.abs() > 0.1, 0)[0, 0]"
            ),
            r"Small gradients count as zero",
        ),
        (
            "a threshold of its own largest",
            receptive_field().replace(
                "grad[0, 0]",
                "grad.where(images.grad.abs() > 0.1 * images.grad.abs().max(), 0)[0, 0]",
            ),
            r"^Small gradients count as zero",
        ),
        (
            "negative ones only",
            receptive_field().replace("grad[0, 0]", "grad[0, 0].clamp(max=0)"),
            r"^You count negative gradients only",
        ),
        (
            "sums of rows and columns",
            receptive_field(
                result=(
                    "rows, columns = (images.grad[0, 0].sum(axis).nonzero() for axis in (1, 0))",
                    *EXTENT[1:],
                )
            ),
            r"^You add up the gradients of a row, or of a column, before",
        ),
        (
            "the largest output",
            receptive_field("maps[0].sum(0).max()"),
            r"^You look at another unit or channel for each random image",
        ),
        (
            "one unit before the middle",
            receptive_field("maps[0, :, (maps.shape[2] - 1) // 2, (maps.shape[3] - 1) // 2].sum()"),
            r"maps.shape\[2\] // 2, maps.shape\[3\] // 2\]` in place of",
        ),
        (
            "an image without its first axis",
            receptive_field()
            .replace("randn(1, 1,", "randn(1,")
            .replace("grad[0, 0]", "grad[0]")
            .replace(
                "[0, :, maps.shape[2] // 2, maps.shape[3] // 2]",
                "[:, maps.shape[1] // 2, maps.shape[2] // 2]",
            ),
            r"^The network gets an image of shape \(1, 18, 18\)",
        ),
        (
            "doubled from the middle",
            receptive_field(
                result=(
                    EXTENT[0],
                    "return tuple(2 * int(p.max() - size // 2) + 1 for p in (rows, columns))",
                )
            ),
            r"^You measure from the middle of the image down",
        ),
        (
            "first and last place",
            receptive_field(
                result=(
                    EXTENT[0],
                    "return (rows.min().item(), columns.min().item()), "
                    "(rows.max().item(), columns.max().item())",
                )
            ),
            r"^Those are the first place and the last",
        ),
        (
            "the pixels themselves",
            receptive_field().replace("images.grad[0, 0]", "images[0, 0]"),
            r"^That is the size of the image.*not at the pixels",
        ),
        ("all units", receptive_field("maps.sum()"), r"gradient of all units together"),
        ("the corner", receptive_field("maps[0, :, 0, 0].sum()"), r"unit in the corner"),
        (
            "row and column exchanged",
            receptive_field("maps[0, :, maps.shape[3] // 2, maps.shape[2] // 2].sum()"),
            r"Row and column of the unit are exchanged",
        ),
        (
            "not quite the middle",
            receptive_field("maps[0, :, 2, maps.shape[3] // 2].sum()"),
            r"gives \(7, 5\); right is \(9, 5\)",
        ),
        (
            "no + 1",
            receptive_field(result=[line.replace(" + 1", "") for line in EXTENT]),
            r"one more than their difference.*gives \(2, 4\); right is \(3, 5\)",
        ),
        (
            "exchanged",
            receptive_field(
                result=[line.replace("rows, columns =", "columns, rows =") for line in EXTENT]
            ),
            r"Height and width are exchanged",
        ),
        (
            "distinct rows and columns",
            receptive_field(
                result=[
                    "seen = images.grad[0, 0] != 0",
                    "return seen.any(dim=1).sum().item(), seen.any(dim=0).sum().item()",
                ]
            ),
            r"kernel with gaps",
        ),
        (
            "pixels counted",
            receptive_field(result=["return (images.grad != 0).sum().item()"]),
            r"You count the pixels.*gives 15; right is \(3, 5\)",
        ),
        (
            "height alone",
            receptive_field(result=[*EXTENT[:2], "return height.item()"]),
            r"height alone",
        ),
        (
            "the size of the output",
            "def receptive_field(model, size):\n"
            "    return tuple(model(torch.zeros(1, 1, size, size)).shape[2:])",
            r"size of the output",
        ),
        (
            "not one number",
            receptive_field("maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2]"),
            r"grad can be implicitly created only for scalar outputs \(line \d+ of your cell",
        ),
        (
            "no gradient asked for",
            receptive_field().replace(", requires_grad=True", ""),
            r"raised",
        ),
        (
            "the kernel size of the first layer",
            "def receptive_field(model, size):\n    return next(model.parameters()).shape[2:]",
            r"never gives an image to the network",
        ),
    ],
}

right_answers = {
    "lenet.1": [
        (
            "padded by torch, the output as a list",
            """
def conv2d(image, kernel, stride=1, padding=0):
    image = F.pad(image, (padding, padding, padding, padding))
    (h, w), (k, l) = image.shape, kernel.shape
    return torch.tensor([
        [(image[r : r + k, c : c + l] * kernel).sum() for c in range(0, w - l + 1, stride)]
        for r in range(0, h - k + 1, stride)
    ])
""",
        ),
        (
            "loops over the kernel instead",
            """
def conv2d(image, kernel, stride, padding):
    image = F.pad(image, [padding] * 4)
    h = (image.shape[0] - kernel.shape[0]) // stride + 1
    w = (image.shape[1] - kernel.shape[1]) // stride + 1
    output = 0
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            part = image[i:, j:][: stride * h : stride, : stride * w : stride]
            output = output + kernel[i, j] * part[:h, :w]
    return output
""",
        ),
        (
            "as a matrix product",
            """
def conv2d(image, kernel, stride, padding):
    columns = F.unfold(image[None, None], kernel.shape, padding=padding, stride=stride)[0]
    rows = (image.shape[0] + 2 * padding - kernel.shape[0]) // stride + 1
    return (kernel.flatten() @ columns).reshape(rows, -1)
""",
        ),
    ],
    "lenet.2": [
        (
            "a 1x1 convolution in six groups",
            """
class Subsampling(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Conv2d(channels, channels, kernel_size=1, groups=channels)
        nn.init.constant_(self.scale.weight, 0.25)
        nn.init.zeros_(self.scale.bias)

    def forward(self, maps):
        sums = maps[:, :, ::2, ::2] + maps[:, :, 1::2, ::2]
        return self.scale(sums + maps[:, :, ::2, 1::2] + maps[:, :, 1::2, 1::2])
""",
        ),
        (
            "bias first, other shapes",
            """
class Subsampling(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.b = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.a = nn.Parameter(torch.ones(1, channels, 1, 1) / 4)

    def forward(self, x):
        n, c, h, w = x.shape
        return self.a * x.reshape(n, c, h // 2, 2, w // 2, 2).sum(dim=(3, 5)) + self.b
""",
        ),
        (
            "vectors, reshaped in forward",
            """
class Subsampling(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((channels,), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.sum = nn.AvgPool2d(2, divisor_override=1)

    def forward(self, maps):
        return self.coefficient[:, None, None] * self.sum(maps) + self.bias[:, None, None]
""",
        ),
    ],
    "lenet.3": [
        ("numbers", counts()),
        ("floats and tensors", counts(no_padding=24.0).replace("28", "torch.tensor(28)")),
        (
            "counted by torch",
            """
def rows(layer):
    return layer(torch.zeros(1, 1, 28, 28)).shape[2]

def parameters(maps):
    return 16 * sum(p.numel() for p in nn.Conv2d(maps, 1, 5).parameters())

counts = dict(
    no_padding=rows(nn.Conv2d(1, 1, 5)),
    padding_2=rows(nn.Conv2d(1, 1, 5, padding=2)),
    stride_2=rows(nn.Conv2d(1, 1, 5, padding=2, stride=2)),
    window_3=rows(nn.MaxPool2d(3, 2)),
    all_six=parameters(6),
    three_each=parameters(3),
)
""",
        ),
    ],
    "lenet.4": [
        (
            "a class",
            """
class lenet(nn.Module):
    def __init__(self, activation=nn.ReLU, pooling=nn.MaxPool2d):
        super().__init__()
        self.fc3, self.fc2 = nn.Linear(84, 10), nn.Linear(120, 84)
        self.fc1 = nn.Linear(400, 120)
        self.conv2, self.conv1 = nn.Conv2d(6, 16, 5), nn.Conv2d(1, 6, 5, padding=2)
        self.act, self.pool = activation(), pooling(2)

    def forward(self, x):
        x = self.pool(self.act(self.conv1(x)))
        x = self.pool(self.act(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        return self.fc3(self.act(self.fc2(self.act(self.fc1(x)))))
""",
        ),
        (
            "lazy layers",
            lenet(
                conv1="nn.LazyConv2d(6, 5, padding=2)",
                conv2="nn.LazyConv2d(16, 5)",
                linear1="nn.LazyLinear(120)",
                linear2="nn.LazyLinear(84)",
                linear3="nn.LazyLinear(10)",
            ),
        ),
        (
            "matrices from the right",
            """
class Right(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.matrix, self.bias = nn.Parameter(torch.randn(i, o)), nn.Parameter(torch.zeros(o))

    def forward(self, x):
        return x @ self.matrix + self.bias
"""
            + lenet(linear1="Right(400, 120)", linear2="Right(120, 84)", linear3="Right(84, 10)"),
        ),
        (
            "C5 as a convolution, as in 1998",
            """
def lenet(activation=nn.ReLU, pooling=nn.MaxPool2d):
    return nn.Sequential(
        nn.ZeroPad2d(2), nn.Conv2d(1, 6, (5, 5)), activation(), pooling(2, 2),
        nn.Conv2d(6, 16, (5, 5)), activation(), pooling(2, 2),
        nn.Conv2d(16, 120, 5), activation(), nn.Flatten(),
        nn.Linear(120, 84), activation(), nn.Linear(84, 10),
    )
""",
        ),
    ],
    "lenet.5": [
        (
            "gradients assigned, not added",
            training_step(
                LOSS,
                "weights = list(model.parameters())",
                "for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):",
                "    weight.grad = gradient",
                STEP,
                RETURN,
            ),
        ),
        (
            "a closure",
            """
def training_step(model, images, labels, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        return loss

    return optimizer.step(closure).item()
""",
        ),
        (
            "log-softmax and nll",
            training_step(
                "model.zero_grad()",
                "loss = F.nll_loss(model(images).log_softmax(dim=1), labels)",
                BACK,
                STEP,
                "return float(loss)",
            ),
        ),
        (
            "the mode set to what it was",
            training_step("model.train(model.training)", CLEAR, LOSS, BACK, STEP, RETURN),
        ),
        (
            "log-softmax before cross-entropy, which changes nothing",
            training_step(
                CLEAR,
                "loss = nn.CrossEntropyLoss()(model(images).log_softmax(1), labels)",
                BACK,
                STEP,
                "return loss.detach().item()",
            ),
        ),
    ],
    "lenet.6": [
        (
            "the jacobian of the unit",
            """
def receptive_field(model, size):
    def unit(image):
        maps = model(image)
        return maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum()

    gradient = torch.autograd.functional.jacobian(unit, torch.randn(1, 1, size, size))[0, 0]
    return tuple(int(p.max() - p.min()) + 1 for p in gradient.nonzero().T)
""",
        ),
        (
            "autograd.grad, tensors",
            """
def receptive_field(model, size):
    x = torch.rand(1, 1, size, size).requires_grad_()
    y = model(x)
    (gradient,) = torch.autograd.grad(y[:, :, y.size(2) // 2, y.size(3) // 2].sum(), x)
    seen = gradient[0, 0].abs().sum(dim=1).nonzero(), gradient[0, 0].abs().sum(dim=0).nonzero()
    return tuple(places.max() - places.min() + 1 for places in seen)
""",
        ),
        (
            "by changing one pixel after another",
            """
def receptive_field(model, size):
    with torch.no_grad():
        image = torch.randn(1, 1, size, size)
        middle = [n // 2 for n in model(image).shape[2:]]
        changed = image.repeat(size * size, 1, 1, 1)
        changed.view(size * size, -1).diagonal().add_(1)
        before = model(image)[:, :, middle[0], middle[1]]
        after = model(changed)[:, :, middle[0], middle[1]]
        seen = ((after - before).abs().amax(dim=1) > 1e-6).view(size, size).nonzero()
    return tuple((seen.amax(dim=0) - seen.amin(dim=0) + 1).tolist())
""",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "lenet.1": [
        (
            "Every value of the output is overwritten in the loop.",
            "`torch.zeros` becomes `torch.ones` in `output = torch.zeros … columns)`",
        ),
        (
            "The number of rows needs the padded image's size, not its values.",
            "`padded[padding:paddi …  = image` and `rows = (padded.shape … ride + 1` exchanged",
        ),
    ],
    "lenet.5": [
        (
            "Gradients are cleared before `backward()` in either place, and the model's are"
            " those of the optimizer.",
            "`loss = F.cross_entro …  labels)` and `optimizer.zero_grad()` exchanged",
            "`optimizer` becomes `model` in `optimizer.zero_grad()`",
        ),
    ],
    "lenet.6": [
        (
            "A second image in the batch is not looked at; index -1 is index 0 where there is one.",
            "`1` becomes `2` in `images = torch.randn … ad=True)`",
            "`0` becomes `-1` in `middle = maps[0, :,  … 3] // 2]`",
            "`0` becomes `-1` in `rows, columns = imag … zero().T`",
            "`0` becomes `-1` in `rows, columns = imag … zero().T` #2",
        ),
        (
            "Where a gradient is zero does not depend on its scale.",
            "`middle.sum` becomes `middle.mean`",
        ),
        (
            "The same numbers, as tensors without dimensions.",
            "`height.item()` becomes `height`",
            "`width.item()` becomes `width`",
        ),
    ],
}
accepted = {
    "lenet.6": [
        (
            "It takes one channel and not all; the channels of a convolution see the same pixels.",
            "`0` and `:` exchanged",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------


def probe_lenet_1(conv2d):
    return (
        conv2d(torch.randn(9, 11), torch.randn(2, 4), 3, 2),
        conv2d(torch.randn(6, 5), torch.randn(3, 3), 1, 1),
    )


def probe_lenet_5(training_step):
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    batches = [(torch.randn(8, 1, 3, 4), torch.randint(3, (8,))) for _ in range(5)]
    losses = [training_step(model, *batch, optimizer) for batch in batches]
    return losses, [p.detach() for p in model.parameters()]


def probe_lenet_6(receptive_field):
    layers = nn.Conv2d(1, 3, (3, 2)), nn.Sigmoid(), nn.Conv2d(3, 2, 5, stride=2, padding=1)
    return (
        receptive_field(nn.Sequential(*layers), 21),
        receptive_field(layers[0], 8),
        receptive_field(nn.Conv2d(1, 2, (11, 3), padding=(5, 0)), 11),
        receptive_field(nn.Conv2d(1, 2, (3, 11), padding=(0, 5)), 11),
    )
