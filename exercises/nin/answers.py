"""Answers to the exercises of chapter 04."""

import torch


def block(*parts, first="first, second, third = widths"):
    """Source of an mlpconv that is an nn.Sequential of these parts."""
    lines = "".join(f"        {part},\n" for part in parts)
    return (
        "def mlpconv(in_channels, widths, kernel_size, stride=1, padding=0):\n"
        f"    {first}\n"
        f"    return nn.Sequential(\n{lines}    )\n"
    )


CONV = "nn.Conv2d(in_channels, first, kernel_size, stride, padding)"
CCCP1 = "nn.Conv2d(first, second, 1)"
CCCP2 = "nn.Conv2d(second, third, 1)"
RELU = "nn.ReLU()"
NORMS = [f"nn.BatchNorm2d({width})" for width in ("first", "second", "third")]


def repaired(*last, start=("mlpconv(1, (16, 16, 16), 5, stride=2, padding=2)",)):
    """Source of the repaired network whose last parts are these."""
    middle = ("nn.MaxPool2d(3, stride=2)", "mlpconv(16, (32, 32, 32), 3, padding=1)")
    lines = "".join(f"        {part},\n" for part in (*start, *middle, *last))
    return f"def repaired_nin(num_classes=10):\n    return nn.Sequential(\n{lines}    )\n"


HEAD3 = "nn.Conv2d(32, num_classes, 3, padding=1)"
HEAD1 = "nn.Conv2d(num_classes, num_classes, 1)"
POOL, FLAT = "nn.AdaptiveAvgPool2d(1)", "nn.Flatten()"
LEAKY, DENSE = "nn.LeakyReLU()", "nn.Linear(36 * num_classes, num_classes)"


def repaired_with(*lines):
    """The network of the exercise as it is, with these lines for each of its convolutions."""
    source = repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, RELU, POOL, FLAT)
    loop = ["for layer in network.modules():", "    if isinstance(layer, nn.Conv2d):"]
    lines = [*loop, *(f"        {line}" for line in lines), "return network"]
    source = source.replace("return nn.Sequential(", "network = nn.Sequential(")
    return source + "".join(f"    {line}\n" for line in lines)


def at_each_pixel(*lines):
    inside = "\n    ".join(lines)
    return f"def at_each_pixel(maps, linear):\n    n, c, h, w = maps.shape\n    {inside}\n"


Y = "weight * (x - mean) / torch.sqrt(var + eps) + bias"


def norm(train, evaluation, y=Y, **names):
    """Source of a batch norm with these lines for the two modes."""
    momentum = names.get("momentum", "momentum")
    result = names.get("result", "y, running_mean, running_var")
    shaped = "mean.reshape(shape), var.reshape(shape), weight.reshape(shape), bias.reshape(shape)"
    return f"""
def batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    shape = (1, -1, 1, 1)
    momentum = {momentum}
    dims = (0, 2, 3)
    batch_mean, batch_var = x.mean(dims), x.var(dims, correction=0)
    if training:
        {train}
    else:
        {evaluation}
    mean, var, weight, bias = {shaped}
    y = {y}
    return {result}
"""


def norm_over(dims):
    """Source of a batch norm whose statistics are taken over these dimensions."""
    return norm(f"{BATCH}; {MOVE}", RUNNING).replace("dims = (0, 2, 3)", f"dims = {dims}")


BATCH = "mean, var = batch_mean, batch_var"
RUNNING = "mean, var = running_mean, running_var"
MOVE_MEAN = "running_mean = (1 - momentum) * running_mean + momentum * batch_mean"
MOVE_VAR = "running_var = (1 - momentum) * running_var + momentum * x.var(dims, correction=1)"
MOVE = f"{MOVE_MEAN}; {MOVE_VAR}"
UNBIASED = "running_var = (1 - momentum) * running_var + momentum * batch_var * n / (n - 1)"


def experiment(count="len(diagnosis.dead_logits(network, images))", **changes):
    """Source of the experiment with something changed."""
    options = changes.get("options", 'batch_norm=False, final_relu=True, initialisation="xavier"')
    fill = changes.get("fill", "nn.init.constant_(network.features.mlpconv3.cccp2.bias, bias)")
    seeds = changes.get("seeds", "range(10)")
    seed = changes.get("seed", "seed")
    return f"""
dead_by_bias = dict.fromkeys([0.0, 0.05, 0.1, 0.3], 0)
for bias in dead_by_bias:
    for seed in {seeds}:
        torch.manual_seed({seed})
        network = networks.build("nin_small", {options})
        {fill}
        dead_by_bias[bias] += {count}
"""


UNSEEDED = experiment().replace("        torch.manual_seed(seed)\n", "")


def counts(parameters, macs):
    return f'first_mlpconv = {{"parameters": {parameters}, "macs": {macs}}}'


wrong_answers = {
    "nin.1": [
        (
            "the first layer alone",
            counts(14_592, 14_400 * 1024),
            r"^This is the first layer alone: the two",
        ),
        ("the first two layers", counts(45_472, 45_120 * 1024), r"last 1×1 layer is missing altog"),
        (
            "the 1×1 layers alone",
            counts(46_336, 46_080 * 1024),
            r"first layer is missing altogether",
        ),
        ("one too many", counts(60_929, 61_931_520), r"60,929 is not right\. It is one too many"),
        ("one too few", counts(60_928, 61_931_519), r"61,931,519 is not right\. It is one too few"),
        ("a bias for each pair", counts(60_480 + 46_656, 0), r"one for each pair of an input"),
        ("widths exchanged", counts(14_400 + 33_792 + 448, 0), r"second layer has 160.*third 96"),
        ("widths multiplied", counts(14_400 * 160 * 96 + 448, 0), r"channels .* are multiplied"),
        (
            "image channels twice, in a sentence",
            counts(60_928, 3 * 61_931_520),
            r"^The parameters are right\. The 3",
        ),
        ("no biases", counts(60_480, 61_931_520), r'biases are missing.*"parameters": 60,480'),
        ("one layer", counts(14_592, 61_931_520), r"first layer alone"),
        ("one layer, no biases", counts(14_400, 0), r"biases are missing.*first layer alone"),
        ("one input channel", counts(51_328, 61_931_520), r"3 input channels"),
        ("5x5 everywhere", counts(25 * 46_656 + 448, 0), r"with 5×5 kernels"),
        ("1x1 first", counts(576 + 46_080 + 448, 0), r"as if it were 1×1"),
        ("1x1 sees the image", counts(14_400 + 480 + 288 + 448, 0), r"not the 3 of the image"),
        ("1x1 as one weight each", counts(14_400 + 448 + 256, 0), r"one weight for each input"),
        ("times positions", counts(60_928 * 1024, 61_931_520), r"stored once"),
        ("parameters as MACs", counts(60_928, 60_480), r"every one of the 32 · 32"),
        ("parameters with biases as MACs", counts(60_928, 60_928), r'"macs".*32 · 32 positions'),
        ("MACs with biases", counts(60_928, 60_928 * 1024), r"^The MACs contain the biases"),
        ("FLOPs", counts(60_928, 2 * 61_931_520), r"often called FLOPs"),
        ("no padding", counts(60_928, 60_480 * 784), r"28×28 would be without padding"),
        ("one row", counts(60_928, 60_480 * 32), r"not 32"),
        ("MACs of one layer", counts(60_928, 14_400 * 1024), r"first layer alone"),
        ("1x1 at one position", counts(60_928, 14_400 * 1024 + 46_080), r"1×1 layers, too"),
        ("image channels twice", counts(60_928, 3 * 61_931_520), r"already part"),
        ("two numbers", "first_mlpconv = (60_928, 61_931_520)", r"A dictionary with the keys"),
        ("a text", counts("'60,928'", 1), r"A number is expected"),
        ("two layers", counts(45_472, 46_202_880), r"last 1×1 layer is missing"),
        ("padded image", counts(60_928, 60_480 * 36 * 36), r"padded image, 36×36"),
        ("32 times 2", counts(60_928, 60_480 * 64), r"not 32 \+ 32"),
        ("5 places", counts(2_880 + 46_080 + 448, 0), r"5 · 5 = 25 places"),
        ("biases of one layer", counts(60_672, 61_931_520), r"biases of the two 1×1 layers"),
        ("two slips", counts(50_880, 0), r"biases are missing.*3 input channels"),
        ("in millions", counts(0.060928, 61.93152), r"in millions; write the number itself"),
        (
            "output channels twice",
            counts(60_928, (14_400 * 192 + 30_720 * 160 + 15_360 * 96) * 1024),
            r"^The output channels are counted twice in the MACs",
        ),
        ("positions twice", counts(60_928, 60_480 * 1024**2), r"positions are multiplied twice"),
        ("anything", counts(5, 6), r'"parameters": 5 is not right'),
    ],
    "nin.2": [
        (
            "a ModuleList",
            block(CONV, RELU, CCCP1, RELU, CCCP2, RELU)
            .replace("nn.Sequential(", "nn.ModuleList([")
            .replace("\n    )", "\n    ])"),
            r"^`nn.ModuleList` only keeps layers and cannot be called",
        ),
        (
            "a list",
            block(CONV, RELU, CCCP1, RELU, CCCP2, RELU)
            .replace("nn.Sequential(", "[")
            .replace("\n    )", "\n    ]"),
            r"a torch module is expected. Put its layers into `nn.Sequential",
        ),
        (
            "no forward",
            "class mlpconv(nn.Module):\n"
            "    def __init__(self, in_channels, widths, kernel_size, stride=1, padding=0):\n"
            "        super().__init__()\n"
            f"        self.a = {CONV}\n".replace("first", "widths[0]"),
            r"^The module has no `forward`",
        ),
        (
            "F.relu whose result is lost",
            "class mlpconv(nn.Module):\n"
            "    def __init__(self, in_channels, widths, kernel_size, stride=1, padding=0):\n"
            "        super().__init__()\n"
            "        first, second, third = widths\n"
            f"        self.a, self.b, self.c = {CONV}, {CCCP1}, {CCCP2}\n"
            "    def forward(self, x):\n"
            "        for layer in (self.a, self.b, self.c):\n"
            "            x = layer(x)\n"
            "            F.relu(x)\n"
            "        return x\n",
            r"^The ReLUs are missing, or what they give is not used",
        ),
        (
            "nn.Linear as a 1x1 layer",
            block(CONV, RELU, "nn.Linear(first, second)", RELU, "nn.Linear(second, third)", RELU),
            r"works on the last axis, and that is the width",
        ),
        ("no last ReLU", block(CONV, RELU, CCCP1, RELU, CCCP2), r"third ReLU is missing"),
        (
            "no ReLU between the 1x1 layers",
            block(CONV, RELU, CCCP1, CCCP2, RELU),
            r"second ReLU is missing",
        ),
        (
            "no ReLU after the convolution",
            block(CONV, CCCP1, RELU, CCCP2, RELU),
            r"first ReLU is missing",
        ),
        (
            "one ReLU at the end",
            block(CONV, CCCP1, CCCP2, RELU),
            r"ReLUs are missing.*first.*second",
        ),
        (
            "one ReLU at the start",
            block(CONV, RELU, CCCP1, CCCP2),
            r"ReLUs are missing.*second.*third",
        ),
        (
            "one ReLU in the middle",
            block(CONV, CCCP1, RELU, CCCP2),
            r"ReLUs are missing.*first.*third",
        ),
        ("no ReLU", block(CONV, CCCP1, CCCP2), r"ReLUs are missing.*first.*second.*third"),
        (
            "a ReLU on the input",
            block(RELU, CONV, RELU, CCCP1, RELU, CCCP2, RELU),
            r"a ReLU too many",
        ),
        (
            "kernel_size everywhere",
            block(
                CONV,
                RELU,
                "nn.Conv2d(first, second, kernel_size, padding=kernel_size // 2)",
                RELU,
                "nn.Conv2d(second, third, kernel_size, padding=kernel_size // 2)",
                RELU,
            ),
            r"take `kernel_size` too, with padding",
        ),
        (
            "3x3 for 1x1, padded",
            block(
                CONV,
                RELU,
                "nn.Conv2d(first, second, 3, padding=1)",
                RELU,
                "nn.Conv2d(second, third, 3, padding=1)",
                RELU,
            ),
            r"should be 1×1, not 3×3",
        ),
        (
            "3x3 for 1x1",
            block(
                CONV,
                RELU,
                "nn.Conv2d(first, second, 3)",
                RELU,
                "nn.Conv2d(second, third, 3)",
                RELU,
            ),
            r"should be 1×1, not 3×3",
        ),
        (
            "one 3x3 for 1x1",
            block(CONV, RELU, "nn.Conv2d(first, second, 3, padding=1)", RELU, CCCP2, RELU),
            r"should be 1×1, not 3×3",
        ),
        (
            "stride everywhere",
            block(
                CONV,
                RELU,
                "nn.Conv2d(first, second, 1, stride)",
                RELU,
                "nn.Conv2d(second, third, 1, stride)",
                RELU,
            ),
            r"All three layers take the stride",
        ),
        (
            "stride at the first 1x1",
            block(
                "nn.Conv2d(in_channels, first, kernel_size, padding=padding)",
                RELU,
                "nn.Conv2d(first, second, 1, stride)",
                RELU,
                CCCP2,
                RELU,
            ),
            r"stride is at a 1×1 layer.* needs .* MACs",
        ),
        (
            "stride at the last 1x1",
            block(
                "nn.Conv2d(in_channels, first, kernel_size, padding=padding)",
                RELU,
                CCCP1,
                RELU,
                "nn.Conv2d(second, third, 1, stride)",
                RELU,
            ),
            r"stride is at a 1×1 layer.* needs .* MACs",
        ),
        (
            "stride forgotten",
            block(
                "nn.Conv2d(in_channels, first, kernel_size, padding=padding)",
                *(RELU, CCCP1, RELU, CCCP2, RELU),
            ),
            r"`stride` is not used",
        ),
        (
            "padding forgotten",
            block(
                "nn.Conv2d(in_channels, first, kernel_size, stride)",
                *(RELU, CCCP1, RELU, CCCP2, RELU),
            ),
            r"`padding` is not used",
        ),
        (
            "padding everywhere",
            block(
                CONV,
                RELU,
                "nn.Conv2d(first, second, 1, padding=padding)",
                RELU,
                "nn.Conv2d(second, third, 1, padding=padding)",
                RELU,
            ),
            r"1×1 layers take the padding too",
        ),
        (
            "always half the kernel",
            block(
                "nn.Conv2d(in_channels, first, kernel_size, stride, kernel_size // 2)",
                *(RELU, CCCP1, RELU, CCCP2, RELU),
            ),
            r"always pads by half its kernel",
        ),
        (
            "stride and padding swapped",
            block(
                "nn.Conv2d(in_channels, first, kernel_size, padding, stride)",
                *(RELU, CCCP1, RELU, CCCP2, RELU),
            ),
            r"(Stride and padding have changed places|stride=0|non-positive stride)",
        ),
        (
            "no biases",
            block(
                "nn.Conv2d(in_channels, first, kernel_size, stride, padding, bias=False)",
                RELU,
                "nn.Conv2d(first, second, 1, bias=False)",
                RELU,
                "nn.Conv2d(second, third, 1, bias=False)",
                RELU,
            ),
            r"should have a bias",
        ),
        (
            "no biases in the 1x1 layers",
            block(
                CONV,
                RELU,
                "nn.Conv2d(first, second, 1, bias=False)",
                RELU,
                "nn.Conv2d(second, third, 1, bias=False)",
                RELU,
            ),
            r"should have a bias",
        ),
        (
            "one 1x1 layer",
            block(CONV, RELU, "nn.Conv2d(first, third, 1)", RELU),
            r"only one 1×1 layer",
        ),
        ("the last width unused", block(CONV, RELU, CCCP1, RELU), r"only one 1×1 layer, and"),
        ("no 1x1 layer", block(CONV, RELU), r"an ordinary convolution"),
        (
            "three 1x1 layers",
            block(CONV, RELU, CCCP1, RELU, CCCP2, RELU, "nn.Conv2d(third, third, 1)", RELU),
            r"three 1×1 layers",
        ),
        (
            "widths turned around",
            block(*(CONV, RELU, CCCP1, RELU, CCCP2, RELU), first="third, second, first = widths"),
            r"`widths` is read in the reversed order",
        ),
        (
            "last widths swapped",
            block(*(CONV, RELU, CCCP1, RELU, CCCP2, RELU), first="first, third, second = widths"),
            r"last two widths have changed places",
        ),
        (
            "one width for all",
            block(
                *(CONV, RELU, CCCP1, RELU, CCCP2, RELU),
                first="first = second = third = widths[0]",
            ),
            r"only the first entry of `widths` is used",
        ),
        (
            "in_channels at a 1x1 layer",
            block(CONV, RELU, "nn.Conv2d(in_channels, second, 1)", RELU, CCCP2, RELU),
            r"^(?!.*\*).*should take 9 channels.*for 3 channels gets maps with 9",
        ),
        (
            "in and out swapped",
            block(
                "nn.Conv2d(first, in_channels, kernel_size, stride, padding)",
                *(RELU, CCCP1, RELU, CCCP2, RELU),
            ),
            r"for 9 channels gets maps with 3",
        ),
        (
            "kernel last",
            block(
                "nn.Conv2d(in_channels, first, 1)",
                RELU,
                CCCP1,
                RELU,
                "nn.Conv2d(second, third, kernel_size, stride, padding)",
                RELU,
            ),
            r"turned around: the convolution with `kernel_size` comes",
        ),
        (
            "batch norm",
            block(
                *(CONV, "nn.BatchNorm2d(first)", RELU),
                *(CCCP1, "nn.BatchNorm2d(second)", RELU),
                *(CCCP2, "nn.BatchNorm2d(third)", RELU),
            ),
            r"a batch norm .* too many",
        ),
        (
            "dropout",
            block(CONV, RELU, CCCP1, RELU, CCCP2, RELU, "nn.Dropout()"),
            r"a dropout .* too many",
        ),
        (
            "pooling",
            block(CONV, RELU, CCCP1, RELU, CCCP2, RELU, "nn.MaxPool2d(3, 2)"),
            r"max pooling .* too many",
        ),
        (
            "global pooling",
            block(CONV, RELU, CCCP1, RELU, CCCP2, RELU, POOL),
            r"pooling .* too many",
        ),
        (
            "leaky ReLU",
            block(
                *(part.replace("ReLU", "LeakyReLU") for part in (CONV, RELU, CCCP1, RELU)),
                CCCP2,
                "nn.LeakyReLU()",
            ),
            r"leaky ReLU where a ReLU is right",
        ),
        (
            "ReLU6",
            block(CONV, "nn.ReLU6()", CCCP1, "nn.ReLU6()", CCCP2, "nn.ReLU6()"),
            r"ReLU6 has one at 6",
        ),
        (
            "two mistakes",
            block(CONV, RELU, CCCP1, RELU, "nn.Conv2d(second, third, 3, padding=1)"),
            r"1×1, not 3×3.*third ReLU is missing",
        ),
        (
            "a plain list",
            """
class mlpconv(nn.Module):
    def __init__(self, in_channels, widths, kernel_size, stride=1, padding=0):
        super().__init__()
        a, b, c = widths
        self.parts = [
            nn.Conv2d(in_channels, a, kernel_size, stride, padding),
            nn.Conv2d(a, b, 1),
            nn.Conv2d(b, c, 1),
        ]

    def forward(self, x):
        for part in self.parts:
            x = F.relu(part(x))
        return x
""",
            r"is a plain list: torch does not see",
        ),
        (
            "a default stride of 2",
            block(CONV, RELU, CCCP1, RELU, CCCP2, RELU).replace("stride=1", "stride=2"),
            r"should (have|be without) stride",
        ),
        (
            "detached",
            """
class mlpconv(nn.Module):
    def __init__(self, in_channels, widths, kernel_size, stride=1, padding=0):
        super().__init__()
        a, b, c = widths
        self.conv = nn.Conv2d(in_channels, a, kernel_size, stride, padding)
        self.one, self.two = nn.Conv2d(a, b, 1), nn.Conv2d(b, c, 1)

    def forward(self, x):
        x = F.relu(self.conv(x)).detach()
        return F.relu(self.two(F.relu(self.one(x))))
""",
            r"gradients do not",
        ),
        (
            "no return",
            block(CONV, RELU, CCCP1, RELU, CCCP2, RELU).replace("return ", "layers = "),
            r"`return` missing",
        ),
        (
            "no return in forward",
            """
class mlpconv(nn.Module):
    def __init__(self, in_channels, widths, kernel_size, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, widths[0], kernel_size, stride, padding)

    def forward(self, x):
        x = F.relu(self.conv(x))
""",
            r"`return` of `forward` missing",
        ),
        (
            "a finished tensor",
            "def mlpconv(in_channels, widths, kernel_size, stride=1, padding=0):\n"
            "    return torch.zeros(2, widths[2], 4, 4)\n",
            r"a torch module is expected",
        ),
        *(
            (f"batch norm: {name}", block(*parts), rf"batch norm.*too many{text}")
            for name, parts, text in [
                (
                    "first",
                    (CONV, "nn.BatchNorm2d(first)", RELU, CCCP1, RELU, CCCP2, RELU),
                    "",
                ),
                ("end", (CONV, RELU, CCCP1, RELU, CCCP2, RELU, "nn.BatchNorm2d(third)"), ""),
                (
                    "all, no last ReLU",
                    (CONV, *NORMS[:1], RELU, CCCP1, *NORMS[1:2], RELU, CCCP2, *NORMS[2:]),
                    "",
                ),
                ("no ReLU", (CONV, NORMS[0], CCCP1, NORMS[1], CCCP2, NORMS[2]), ""),
                (
                    "without parameters",
                    (CONV, "nn.BatchNorm2d(first, affine=False)", RELU, CCCP1, RELU, CCCP2, RELU),
                    "",
                ),
            ]
        ),
        (
            "group norm",
            block(CONV, "nn.GroupNorm(1, first)", RELU, CCCP1, RELU, CCCP2, RELU),
            r"GroupNorm.*too many",
        ),
    ],
    "nin.3": [
        (
            "weights without a gradient",
            at_each_pixel(
                "weight, bias = linear.weight.data, linear.bias.data",
                "return F.linear(maps.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)",
            ),
            r"back to `linear.weight` and `linear.bias`, so these weights cannot learn",
        ),
        (
            "a new layer",
            at_each_pixel(
                "layer = nn.Linear(c, linear.out_features)",
                "return layer(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)",
            ),
            r"each call builds a new Linear, with new random weights",
        ),
        (
            "new weights",
            at_each_pixel(
                "weight = torch.randn(c, linear.out_features)",
                "return (maps.permute(0, 2, 3, 1) @ weight).permute(0, 3, 1, 2)",
            ),
            r"each call draws new random numbers",
        ),
        (
            "weights of its own, the same in each call",
            "layers = {}\n"
            + at_each_pixel(
                "size = (c, linear.out_features)",
                "layer = layers.setdefault(size, nn.Linear(*size))",
                "return layer(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)",
            ),
            r"With other weights in `linear` it gives the same",
        ),
        (
            "square maps",
            at_each_pixel(
                "rows = linear(maps.flatten(2).transpose(1, 2)).transpose(1, 2)",
                "return rows.unflatten(2, (int((h * w) ** 0.5), -1))",
            ),
            r"^The maps are taken to be square",
        ),
        (
            "W before H",
            at_each_pixel(
                "rows = linear(maps.flatten(2).transpose(1, 2)).transpose(1, 2)",
                "return rows.reshape(n, -1, w, h)",
            ),
            r"^The last reshape has W before H",
        ),
        (
            "reshape instead of permute",
            """
def at_each_pixel(maps, linear):
    n, c, h, w = maps.shape
    return linear(maps.reshape(n * h * w, c)).reshape(n, -1, h, w)
""",
            r"does not move the channels",
        ),
        (
            "channels last",
            "def at_each_pixel(maps, linear):\n    return linear(maps.permute(0, 2, 3, 1))\n",
            r"still on the last axis",
        ),
        (
            "reshape on the way back",
            """
def at_each_pixel(maps, linear):
    n, c, h, w = maps.shape
    return linear(maps.permute(0, 2, 3, 1)).reshape(n, -1, h, w)
""",
            r"way back is a reshape",
        ),
        (
            "height and width swapped",
            "def at_each_pixel(maps, linear):\n"
            "    return linear(maps.permute(0, 2, 3, 1)).permute(0, 3, 2, 1)\n",
            r"Height and width have changed places",
        ),
        (
            "no bias",
            "def at_each_pixel(maps, linear):\n"
            "    return torch.einsum('nchw,oc->nohw', maps, linear.weight)\n",
            r"bias is not added",
        ),
        (
            "a ReLU",
            "def at_each_pixel(maps, linear):\n"
            "    return F.relu(linear(maps.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)\n",
            r"there is a ReLU",
        ),
        (
            "pooled first",
            "def at_each_pixel(maps, linear):\n    return linear(maps.mean((2, 3)))\n",
            r"mean over all pixels",
        ),
        (
            "on the width",
            "def at_each_pixel(maps, linear):\n    return linear(maps)\n",
            r"applied to the last axis, the width.*raised RuntimeError.*\(line 2 of your cell",
        ),
        (
            "flattened",
            "def at_each_pixel(maps, linear):\n    return linear(maps.flatten(1))\n",
            r"All pixels of an image are put into one row.*\(line 2 of your cell",
        ),
        (
            "each map flattened",
            "def at_each_pixel(maps, linear):\n    return linear(maps.flatten(2))\n",
            r"All pixels of a map are put into one row",
        ),
        (
            "weights turned round",
            at_each_pixel("return torch.einsum('nchw,co->nohw', maps, linear.weight)"),
            r"raised RuntimeError: einsum.*\(line 3 of your cell",
        ),
        (
            "F.conv2d",
            at_each_pixel("return F.conv2d(maps, linear.weight[:, :, None, None], linear.bias)"),
            r"There is a convolution in it, which the task forbids.*with `linear` itself",
        ),
        (
            "nn.Conv2d",
            at_each_pixel(
                "layer = nn.Conv2d(c, linear.out_features, 1)",
                "layer.weight.data = linear.weight.data[:, :, None, None]",
                "layer.bias.data = linear.bias.data",
                "return layer(maps)",
            ),
            r"There is a convolution in it",
        ),
        (
            "F.conv1d",
            at_each_pixel(
                "rows = F.conv1d(maps.flatten(2), linear.weight[:, :, None], linear.bias)",
                "return rows.reshape(n, -1, h, w)",
            ),
            r"There is a convolution in it",
        ),
        (
            "nn.Conv2d with other weights",
            at_each_pixel("return nn.Conv2d(c, linear.out_features, 1)(maps)"),
            r"There is a convolution in it",
        ),
        (
            "reshape on the way in",
            at_each_pixel("return linear(maps.reshape(n, h, w, c)).permute(0, 3, 1, 2)"),
            r"way back is right, but not the way in.*scrambled",
        ),
        (
            "reshape on the way in, channels last",
            at_each_pixel("return linear(maps.view(n, h, w, c))"),
            r"does not move.*back to axis 1 after `linear`",
        ),
        (
            "a row for each pixel",
            at_each_pixel("return linear(maps.permute(0, 2, 3, 1).reshape(-1, c))"),
            r"one row for each pixel, as it comes out of `linear`",
        ),
        *(
            (
                f"permute{order} on the way back",
                at_each_pixel(f"return linear(maps.permute(0, 2, 3, 1)).permute{order}"),
                rf"not undone by `permute\({str(order)[1:-1]}\)`: axis {order[1]} comes to place 1",
            )
            for order in ((0, 2, 3, 1), (0, 1, 3, 2), (0, 2, 1, 3))
        ),
        (
            "a layer of its own",
            at_each_pixel(
                "fresh = nn.Linear(c, linear.out_features)",
                "return fresh(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)",
            ),
            r"something else when it is called a second time",
        ),
        (
            "a loop over pixels",
            at_each_pixel(
                "out = torch.zeros(n, linear.out_features, h, w)",
                "for i in range(h):",
                "    for j in range(w):",
                "        out[:, :, i, j] = linear(maps[:, :, i, j])",
                "return out",
            ),
            r"numbers are right, but .* for 16×16: the function loops over the pixels",
        ),
        ("not a function", "at_each_pixel = 5", r"A function is expected, not 5"),
    ],
    "nin.4": [
        (
            "the layer itself",
            "def global_average_pooling(maps):\n    return nn.AdaptiveAvgPool2d(maps)\n",
            r"the layer itself. Call this layer with `maps`",
        ),
        (
            "the positive values alone",
            "def global_average_pooling(maps):\n"
            "    count = (maps > 0).sum(dim=(2, 3)).clamp(min=1)\n"
            "    return maps.clamp(min=0).sum(dim=(2, 3)) / count\n",
            r"^The average leaves out what is not positive",
        ),
        (
            "axes that are not there",
            "def global_average_pooling(maps):\n    return maps.mean(dim=(3, 4))\n",
            r"^Axes are counted from 0: this tensor has the axes 0 to 3, so there is no axis 4",
        ),
        (
            "dims",
            "def global_average_pooling(maps):\n    return maps.mean(dims=(2, 3))\n",
            r"^torch calls this argument `dim`",
        ),
        ("a class", "global_average_pooling = nn.AdaptiveAvgPool2d", r"class that makes layers"),
        *(
            (
                f"a mean over the axes {axes}",
                f"def global_average_pooling(maps):\n    return maps.mean({axes})\n",
                rf"goes over axes {axes[0]} and {axes[1]}, the",
            )
            for axes in ((0, 1), (1, 2), (1, 3))
        ),
        *(
            (
                f"sum over {n}",
                f"def global_average_pooling(maps):\n    return maps.sum((2, 3)) / {n}\n",
                rf"divided by {n}, a fixed number",
            )
            for n in (36, 49)
        ),
        *(
            (
                f"a window of {k}",
                "def global_average_pooling(maps):\n"
                f"    return F.avg_pool2d(maps, {k}).flatten(1)\n",
                r"window of the pooling has a fixed size",
            )
            for k in (3, 6)
        ),
        (
            "squeeze",
            "def global_average_pooling(maps):\n"
            "    return F.adaptive_avg_pool2d(maps, 1).squeeze()\n",
            r"drops the axis of the images",
        ),
        (
            "sum",
            "def global_average_pooling(maps):\n    return maps.sum((2, 3))\n",
            r"the sum is taken",
        ),
        (
            "maximum",
            "def global_average_pooling(maps):\n"
            "    return F.adaptive_max_pool2d(maps, 1).flatten(1)\n",
            r"largest value",
        ),
        (
            "axes kept",
            "def global_average_pooling(maps):\n    return F.adaptive_avg_pool2d(maps, 1)\n",
            r"axes of length 1",
        ),
        ("channels", "def global_average_pooling(maps):\n    return maps.mean(1)\n", r"channels"),
        (
            "width",
            "def global_average_pooling(maps):\n    return maps.mean(-1)\n",
            r"columns \(width\) only",
        ),
        (
            "height",
            "def global_average_pooling(maps):\n    return maps.mean(2)\n",
            r"rows \(height\) only",
        ),
        (
            "batch",
            "def global_average_pooling(maps):\n    return maps.mean((0, 2, 3))\n",
            r"images of the batch",
        ),
        (
            "everything but the batch",
            "def global_average_pooling(maps):\n    return maps.flatten(1).mean(1)\n",
            r"channels too",
        ),
        (
            "one number",
            "def global_average_pooling(maps):\n    return maps.mean()\n",
            r"averaged to a single number",
        ),
        (
            "softmax",
            "def global_average_pooling(maps):\n    return maps.mean((2, 3)).softmax(dim=1)\n",
            r"softmax",
        ),
        ("flatten", "def global_average_pooling(maps):\n    return maps.flatten(1)\n", r"flattens"),
        (
            "square maps only",
            "def global_average_pooling(maps):\n    return maps.sum((2, 3)) / maps.shape[3] ** 2\n",
            r"gives a tensor of shape \(2, 5\) with the wrong values",
        ),
        (
            "fixed size",
            "def global_average_pooling(maps):\n    return F.avg_pool2d(maps, 5).flatten(1)\n",
            r"raised RuntimeError",
        ),
    ],
    "nin.5": [
        (
            "ten classes, whatever is asked for",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, POOL, FLAT).replace(
                "    return", "    num_classes = 10\n    return"
            ),
            r"^A 10 is written where `num_classes` belongs",
        ),
        (
            "a softmax on the maps",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, "nn.Softmax(dim=1)", POOL, FLAT),
            r"^There is a softmax on the class maps",
        ),
        (
            "leaky ReLUs everywhere in the head",
            repaired(HEAD3, LEAKY, HEAD1, LEAKY, HEAD1, LEAKY, POOL, FLAT),
            r"^A leaky ReLU takes the place of all three",
        ),
        (
            "ELUs everywhere in the head",
            repaired(HEAD3, "nn.ELU()", HEAD1, "nn.ELU()", HEAD1, "nn.ELU()", POOL, FLAT),
            r"^An ELU takes the place of all three",
        ),
        (
            "a linear layer for the pooling",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, FLAT, DENSE),
            r"takes the place of the average pooling\. The pooling",
        ),
        (
            "a linear layer for the pooling, with the ReLU",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, RELU, FLAT, DENSE),
            r"takes the place of the average pooling\. The ReLU on the class maps is still",
        ),
        (
            "a linear layer for the pooling and the last layer",
            repaired(HEAD3, RELU, HEAD1, RELU, FLAT, DENSE),
            r"the average pooling and of the last 1×1 convolution",
        ),
        (
            "another ReLU",
            repaired(HEAD3, RELU, HEAD1, HEAD1, RELU, POOL, FLAT),
            r"still there.*in the middle does no harm",
        ),
        (
            "the first ReLU of the head",
            repaired(HEAD3, HEAD1, RELU, HEAD1, RELU, POOL, FLAT),
            r"still there.*3×3",
        ),
        ("all ReLUs", repaired(HEAD3, HEAD1, HEAD1, POOL, FLAT), r"All three ReLUs"),
        (
            "two ReLUs",
            repaired(HEAD3, RELU, HEAD1, HEAD1, POOL, FLAT),
            r"is gone, but so is the one before the last",
        ),
        (
            "leaky",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, "nn.LeakyReLU()", POOL, FLAT),
            r"leaky ReLU",
        ),
        (
            "sigmoid",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, "nn.Sigmoid()", POOL, FLAT),
            r"sigmoid",
        ),
        (
            "batch norm",
            repaired(
                HEAD3, RELU, HEAD1, RELU, HEAD1, "nn.BatchNorm2d(num_classes)", RELU, POOL, FLAT
            ),
            r"the cause, the ReLU, is still there",
        ),
        *(
            (
                f"batch norm: {name}",
                repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, *end),
                rf"a batch norm .*too many{text}",
            )
            for name, end, text in [
                ("no ReLU", ("nn.BatchNorm2d(num_classes)", POOL, FLAT), ""),
                (
                    "after the ReLU",
                    (RELU, "nn.BatchNorm2d(num_classes)", POOL, FLAT),
                    ".*ReLU too many",
                ),
            ]
        ),
        (
            "He initialisation",
            repaired_with("nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')"),
            r"ReLU on the class maps is still.*initial weights are larger now \(as after He,",
        ),
        (
            "He initialisation, uniform",
            repaired_with("nn.init.kaiming_uniform_(layer.weight, nonlinearity='relu')"),
            r"initial weights are larger",
        ),
        (
            "Xavier initialisation",
            repaired_with("nn.init.xavier_uniform_(layer.weight)"),
            r"ReLU on the class maps is still.*initial weights are .* \(as after Xavier,",
        ),
        (
            "the last biases lifted",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, RELU, POOL, FLAT).replace(
                "return nn.Sequential(", "network = nn.Sequential("
            )
            + "    nn.init.constant_(network[7].bias, 0.3)\n    return network\n",
            r"ReLU on the class maps is still.*initial biases are other ones",
        ),
        (
            "biases lifted",
            repaired_with("nn.init.constant_(layer.bias, 0.1)"),
            r"ReLU on the class maps is still.*initial biases",
        ),
        (
            "a linear layer at the end",
            repaired(
                *(HEAD3, RELU, HEAD1, RELU, HEAD1, RELU, POOL, FLAT),
                "nn.Linear(num_classes, num_classes)",
            ),
            r"linear layer after the pooling now, and the ReLU",
        ),
        (
            "a linear layer in place of the ReLU",
            repaired(
                *(HEAD3, RELU, HEAD1, RELU, HEAD1, POOL, FLAT),
                "nn.Linear(num_classes, num_classes)",
            ),
            r"ReLU on the class maps is gone, but there is a linear layer",
        ),
        *(
            (name, repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, f"nn.{name}()", POOL, FLAT), name)
            for name in ("ELU", "GELU", "SiLU")
        ),
        (
            "after the pooling",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, POOL, FLAT, RELU),
            r"after the pooling",
        ),
        (
            "softmax",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, POOL, FLAT, "nn.Softmax(dim=1)"),
            r"softmax at the end",
        ),
        (
            "maximum",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, "nn.AdaptiveMaxPool2d(1)", FLAT),
            r"maximum now",
        ),
        (
            "the last layer too",
            repaired(HEAD3, RELU, HEAD1, RELU, POOL, FLAT),
            r"last 1×1 convolution is gone",
        ),
        (
            "one finished network",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, POOL, FLAT)
            + "repaired_nin = repaired_nin()\n",
            r"stay a function",
        ),
        (
            "ten classes only",
            repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, POOL, FLAT).replace(
                "return", "num_classes = 10\n    return"
            ),
            r"num_classes=7",
        ),
    ],
    "nin.6": [
        *(
            (
                f"divisor of the running variance: {n}",
                norm(f"n = {n}; {BATCH}; {MOVE_MEAN}; {UNBIASED}", RUNNING),
                rf"^In n / \(n - 1\) yours has n = {letters},",
            )
            for n, letters in (("len(x)", "N"), ("x[0, 0].numel()", "H · W"))
        ),
        (
            "eps in training only",
            norm(f"{BATCH}; {MOVE}", f"{RUNNING}; var = var - eps"),
            r"`eps` is missing in evaluation",
        ),
        (
            "a flag for the variance",
            norm(f"{BATCH}; {MOVE}", RUNNING) + "\n_norm = batch_norm\n"
            "def batch_norm(*args): return (*_norm(*args)[:2], True)\n",
            r"wrong value for the running variance \(True, not of shape \(4,\)\)",
        ),
        *(
            (
                f"statistics over {dims}",
                norm_over(dims),
                rf"Your statistics .* dim={seen}; .*raised",
            )
            for dims, seen in [
                ("(0,)", r"\(0,\)"),
                ("0", r"\(0,\)"),
                ("(0, 1)", r"\(0, 1\)"),
                ("(2, 3)", r"\(2, 3\)"),
                ("(-1, -2, -3)", r"\(1, 2, 3\)"),
            ]
        ),
        (
            "statistics over everything",
            norm(
                f"mean, var = x.mean().repeat(x.shape[1]), x.var(correction=0); {MOVE}", RUNNING
            ).replace("var.reshape(shape)", "var.reshape((1, -1, 1, 1))"),
            r"All channels share one mean and one variance",
        ),
        (
            "no reshape",
            norm(f"{BATCH}; {MOVE}", RUNNING).replace(
                "mean.reshape(shape), var.reshape(shape), ", "mean, var, "
            ),
            r"^A tensor of .* laid along the width; `reshape\(1, -1, 1, 1\)`.*must match",
        ),
        (
            "layer norm",
            norm(MOVE, RUNNING).replace(
                "    mean, var, weight, bias = mean.reshape(shape), var.reshape(shape), ",
                "    if training:\n"
                "        mean = x.mean((1, 2, 3), keepdim=True)\n"
                "        var = x.var((1, 2, 3), correction=0, keepdim=True)\n"
                "    else:\n"
                "        mean, var = mean.reshape(shape), var.reshape(shape)\n"
                "    weight, bias = ",
            ),
            r"layer norm",
        ),
        (
            "each image by itself",
            norm(MOVE, RUNNING).replace(
                "    mean, var, weight, bias = mean.reshape(shape), var.reshape(shape), ",
                "    if training:\n"
                "        mean = x.mean((2, 3), keepdim=True)\n"
                "        var = x.var((2, 3), correction=0, keepdim=True)\n"
                "    else:\n"
                "        mean, var = mean.reshape(shape), var.reshape(shape)\n"
                "    weight, bias = ",
            ),
            r"Each image is normalised by its own statistics",
        ),
        (
            "each position by itself",
            norm(MOVE, RUNNING).replace(
                "    mean, var, weight, bias = mean.reshape(shape), var.reshape(shape), ",
                "    if training:\n"
                "        mean = x.mean(0, keepdim=True)\n"
                "        var = x.var(0, correction=0, keepdim=True)\n"
                "    else:\n"
                "        mean, var = mean.reshape(shape), var.reshape(shape)\n"
                "    weight, bias = ",
            ),
            r"images only, one for each position",
        ),
        (
            "n - 1 in the result",
            norm(f"mean, var = batch_mean, x.var(dims); {MOVE}", RUNNING),
            r"divides by a variance with divisor n - 1 \(`correction=1`",
        ),
        (
            "n in the running variance",
            norm(
                f"{BATCH}; {MOVE_MEAN}; {MOVE_VAR}".replace("correction=1", "correction=0"), RUNNING
            ),
            r"takes the batch's variance with divisor n;.*the running variance; the "
            r"result and the running mean are right",
        ),
        ("statistics stay", norm(BATCH, RUNNING), r"do not move; in training"),
        (
            "statistics move in evaluation",
            norm(f"{BATCH}; {MOVE}", f"{RUNNING}; {MOVE}"),
            r"move in evaluation too",
        ),
        ("batch in evaluation", norm(f"{BATCH}; {MOVE}", BATCH), r"In evaluation the batch's"),
        (
            "running in training",
            norm(f"{RUNNING}; {MOVE}", RUNNING),
            r"In training the running statistics are used",
        ),
        (
            "momentum the wrong way",
            norm(f"{BATCH}; {MOVE}", RUNNING, momentum="1 - momentum"),
            r"`momentum` is the wrong way round: it is the share of the batch",
        ),
        (
            "no eps",
            norm(f"{BATCH}; {MOVE}", RUNNING, y="weight * (x - mean) / var.sqrt() + bias"),
            r"`eps` is missing",
        ),
        (
            "eps outside",
            norm(f"{BATCH}; {MOVE}", RUNNING, y="weight * (x - mean) / (var.sqrt() + eps) + bias"),
            r"`eps` is added to the root",
        ),
        (
            "variance",
            norm(f"{BATCH}; {MOVE}", RUNNING, y="weight * (x - mean) / (var + eps) + bias"),
            r"by the variance; it should be by its square root",
        ),
        (
            "no weight and bias",
            norm(f"{BATCH}; {MOVE}", RUNNING, y="(x - mean) / torch.sqrt(var + eps)"),
            r"`weight` and `bias` are not used",
        ),
        (
            "no bias",
            norm(f"{BATCH}; {MOVE}", RUNNING, y="weight * (x - mean) / torch.sqrt(var + eps)"),
            r"`bias` is not used",
        ),
        (
            "one result",
            norm(f"{BATCH}; {MOVE}", RUNNING, result="y"),
            r"Only the normalised tensor",
        ),
        *(
            (f"in place: {name}", norm(f"{BATCH}; {train}", evaluation, y=y), text)
            for name, train, evaluation, y, text in [
                (
                    "both",
                    "running_mean.mul_(1 - momentum).add_(momentum * batch_mean); "
                    "running_var.mul_(1 - momentum).add_(momentum * x.var(dims))",
                    RUNNING,
                    Y,
                    r"changes its argument `running_mean` in place.*return something new",
                ),
                (
                    "the mean",
                    f"running_mean.lerp_(batch_mean, momentum); {MOVE_VAR}",
                    RUNNING,
                    Y,
                    r"changes its argument `running_mean` in place",
                ),
                (
                    "the variance",
                    f"{MOVE_MEAN}; running_var.lerp_(x.var(dims), momentum)",
                    RUNNING,
                    Y,
                    r"changes its argument `running_var` in place",
                ),
                (
                    "the images",
                    MOVE,
                    RUNNING,
                    "x.sub_(mean) / torch.sqrt(var + eps) * weight + bias",
                    r"changes its argument `x` in place",
                ),
            ]
        ),
        (
            "running ones in training, moved",
            norm(f"{MOVE}; {RUNNING}", RUNNING),
            r"In training the running statistics are used, after they have moved",
        ),
        (
            "moved in evaluation, and used",
            norm(f"{BATCH}; {MOVE}", f"{MOVE}; {RUNNING}"),
            r"move in evaluation too, and the moved ones are used",
        ),
        (
            "moved in evaluation only",
            norm(BATCH, f"{RUNNING}; {MOVE}"),
            r"move in evaluation and stay in training",
        ),
        ("the mean stays", norm(f"{BATCH}; {MOVE_VAR}", RUNNING), r"running mean does not move"),
        (
            "the variance stays",
            norm(f"{BATCH}; {MOVE_MEAN}", RUNNING),
            r"running variance does not move",
        ),
        (
            "replaced",
            norm(f"{BATCH}; running_mean, running_var = mean, x.var(dims)", RUNNING),
            r"those of this batch alone",
        ),
        (
            "momentum the wrong way for the mean",
            norm(
                f"{BATCH}; running_mean = torch.lerp(batch_mean, running_mean, momentum); "
                f"{MOVE_VAR}",
                RUNNING,
            ),
            r"wrong way round in the running mean.*a wrong value for the running mean; the result "
            r"and the running variance are right",
        ),
        (
            "momentum the wrong way for the variance",
            norm(
                f"{BATCH}; running_var = torch.lerp(x.var(dims), running_var, momentum); "
                f"{MOVE_MEAN}",
                RUNNING,
            ),
            r"wrong way round in the running variance",
        ),
        (
            "momentum .1",
            norm(f"{BATCH}; {MOVE}", RUNNING, momentum="0.1"),
            r"`momentum` is not used",
        ),
        (
            "eps .00001",
            norm(f"{BATCH}; {MOVE}", RUNNING, y=Y.replace("eps", "1e-5")),
            r"`eps` is not used",
        ),
        (
            "deviation",
            norm(
                f"{BATCH}; {MOVE_MEAN}; "
                "running_var = torch.lerp(running_var, x.std(dims), momentum)",
                RUNNING,
            ),
            r"running variance takes a standard deviation",
        ),
        (
            "variances changed places",
            norm(
                f"mean, var = batch_mean, x.var(dims); {MOVE_MEAN}; "
                + MOVE_VAR.replace("correction=1", "correction=0"),
                RUNNING,
            ),
            r"two variances have changed places",
        ),
        (
            "mean not subtracted",
            norm(f"{BATCH}; {MOVE}", RUNNING, y=Y.replace("(x - mean)", "x")),
            r"mean is not subtracted",
        ),
        (
            "weight and bias exchanged",
            norm(
                f"{BATCH}; {MOVE}", RUNNING, y="bias * (x - mean) / torch.sqrt(var + eps) + weight"
            ),
            r"`weight` and `bias` have changed places",
        ),
        (
            "bias added first",
            norm(
                f"{BATCH}; {MOVE}",
                RUNNING,
                y="weight * ((x - mean) / torch.sqrt(var + eps) + bias)",
            ),
            r"multiplied by `weight` too",
        ),
        (
            "wrong order",
            norm(f"{BATCH}; {MOVE}", RUNNING, result="y, running_var, running_mean"),
            r"wrong order",
        ),
        (
            "result last",
            norm(f"{BATCH}; {MOVE}", RUNNING, result="running_mean, running_var, y"),
            r"result comes back last.*\(of shape \(4,\), not \(3, 4, 2, 3\)\)",
        ),
        (
            "two of three",
            norm(f"{BATCH}; {MOVE}", RUNNING, result="y, running_mean"),
            r"2 values; 3 values \(the result, the running mean, the running variance\)",
        ),
        (
            "two mistakes",
            norm(f"mean, var = batch_mean, x.var(dims); {MOVE}", RUNNING, momentum="1 - momentum"),
            r"Two things are wrong. \(1\).*divisor n - 1.*\(2\) `momentum` is the wrong way",
        ),
        (
            "something else",
            norm(f"{BATCH}; {MOVE_MEAN}; running_var = running_var + batch_var", RUNNING),
            r"gives a wrong value for the running variance; the result and the running mean are",
        ),
    ],
    "nin.7": [
        (
            "numbers of classes added up",
            experiment("sum(diagnosis.dead_logits(network, images))"),
            r"^You add up the numbers of the dead classes",
        ),
        (
            "shares",
            experiment("len(diagnosis.dead_logits(network, images)) / 100"),
            r"^These are shares of the hundred logits",
        ),
        (
            "the bias is added",
            experiment(fill="network.features.mlpconv3.cccp2.bias.data += bias"),
            r"^The bias is added to the one that torch has drawn",
        ),
        (
            "the other sign",
            experiment(fill="nn.init.constant_(network.features.mlpconv3.cccp2.bias, -bias)"),
            r"^The bias has the wrong sign",
        ),
        (
            "dead channels of all layers",
            experiment(
                "sum(row.dead_channels for row in diagnosis.activation_statistics(network, images))"
            ),
            r"^You count the dead channels of other layers too",
        ),
        (
            "averages",
            experiment(count="len(diagnosis.dead_logits(network, images)) / 10"),
            r"averages",
        ),
        ("one seed", experiment(seeds="[0]"), r"counts of seed 0 alone.*add the ten"),
        (
            "the last seed",
            experiment().replace("+=", "="),
            r"These are the counts of seed .*9 alone",
        ),
        (
            "almost one seed",
            "dead_by_bias = {0.0: 4, 0.05: 2, 0.1: 1, 0.3: 0}",
            r"So few are dead in one network",
        ),
        (
            "a list",
            "dead_by_bias = {b: [3, 4, 2, 5, 1, 3, 4, 2, 5, 3] for b in (0.0, 0.05, 0.1, 0.3)}",
            r"For bias 0.0 you have .* 10 entries; one number is expected, the total",
        ),
        (
            "the dead themselves",
            experiment(count="diagnosis.dead_logits(network, images)").replace("], 0)", "], [])"),
            r"entries; one number is expected.*`len`",
        ),
        (
            "the count goes on",
            experiment().rstrip() + "\n"
            "for low, high in [(0.0, 0.05), (0.05, 0.1), (0.1, 0.3)]:\n"
            "    dead_by_bias[high] += dead_by_bias[low]\n",
            r"goes on from one bias to the next",
        ),
        (
            "living logits",
            experiment(count="10 - len(diagnosis.dead_logits(network, images))"),
            r"living logits",
        ),
        (
            "single zeros",
            experiment(count="(network(images) == 0).sum().item()"),
            r"single zeros",
        ),
        (
            "all layers",
            experiment(
                fill="[nn.init.constant_(m.bias, bias) for m in network.modules() "
                "if isinstance(m, nn.Conv2d)]"
            ),
            r"Every layer got the bias",
        ),
        (
            "torch's start",
            experiment(options="batch_norm=False, final_relu=True"),
            r'initialisation="xavier", and these have "torch"',
        ),
        (
            "no ReLU",
            experiment(options='batch_norm=False, initialisation="xavier"'),
            r"no dead logit at all",
        ),
        (
            "the network as it is",
            experiment(options='initialisation="xavier"', fill="pass"),
            r"no dead logit at all",
        ),
        (
            "He initialisation",
            experiment(options='batch_norm=False, final_relu=True, initialisation="he"'),
            r'initialisation="xavier", and these have "he"',
        ),
        ("one seed ten times", experiment(seed="0"), r"counts of seed 0, ten times"),
        ("no bias set", experiment(fill="pass"), r"All four counts are the same.*filled at all"),
        (
            "one bias for all",
            experiment(fill="nn.init.constant_(network.features.mlpconv3.cccp2.bias, 0.05)"),
            r"All four counts are the same",
        ),
        (
            "a seed at the start",
            "torch.manual_seed(0)\n" + UNSEEDED,
            r"near the right ones.*ten other networks.*right before each network",
        ),
        (
            "a seed for each bias",
            UNSEEDED.replace("    for seed", "    torch.manual_seed(0)\n    for seed"),
            r"near the right ones.*right before each network",
        ),
        (
            "seeds from 1",
            experiment(seeds="range(1, 11)"),
            r"0 to 8, .*or of 1 to 10.*seeds 0 to 9",
        ),
        (
            "a guess",
            "dead_by_bias = {0.0: 100, 0.05: 50, 0.1: 25, 0.3: 0}",
            r"bias 0.0 your count of 100 is too many.*If you guessed, run the experiment",
        ),
        (
            "another layer's bias",
            experiment(fill="nn.init.constant_(network.features.mlpconv3.cccp1.bias, bias)"),
            r"bias of `cccp1` is filled.*only the last convolution",
        ),
        (
            "more than there are",
            "dead_by_bias = {0.0: 320, 0.05: 120, 0.1: 10, 0.3: 0}",
            r"from 0 to 100 dead logits",
        ),
        ("no dictionary", "dead_by_bias = [30, 5, 2, 0]", r"A dictionary with the keys"),
        ("texts", "dead_by_bias = {0.0: 'a', 0.05: 1, 0.1: 1, 0.3: 1}", r"For bias 0.0 a number"),
    ],
}

right_answers = {
    "nin.1": [
        ("numbers", counts(60_928, 61_931_520)),
        (
            "a loop",
            """
channels, kernels = [3, 192, 160, 96], [5, 1, 1]
weights = [k * k * i * o for k, i, o in zip(kernels, channels, channels[1:])]
first_mlpconv = {"macs": sum(weights) * 32**2, "parameters": sum(weights) + sum(channels[1:])}
""",
        ),
        (
            "counted by torch",
            """
layers = [nn.Conv2d(3, 192, 5), nn.Conv2d(192, 160, 1), nn.Conv2d(160, 96, 1)]
first_mlpconv = {
    "parameters": sum(p.numel() for layer in layers for p in layer.parameters()),
    "macs": torch.tensor(sum(layer.weight.numel() for layer in layers) * 1024),
}
""",
        ),
    ],
    "nin.2": [
        (
            "as a class",
            """
class mlpconv(nn.Module):
    def __init__(self, in_channels, widths, kernel_size, stride=1, padding=0):
        super().__init__()
        a, b, c = widths
        self.last = nn.Conv2d(b, c, 1)
        self.conv = nn.Conv2d(in_channels, a, kernel_size, stride=stride, padding=padding)
        self.middle = nn.Conv2d(a, b, 1)

    def forward(self, x):
        return self.last(self.middle(self.conv(x).relu()).relu()).relu()
""",
        ),
        (
            "a loop",
            """
def mlpconv(in_channels, widths, kernel_size, stride=1, padding=0):
    parts = []
    for number, width in enumerate(widths):
        if number == 0:
            parts.append(nn.Conv2d(in_channels, width, kernel_size, stride, padding))
        else:
            parts.append(nn.Conv2d(in_channels, width, 1))
        parts.append(nn.ReLU(inplace=True))
        in_channels = width
    return nn.Sequential(*parts)
""",
        ),
        (
            "with nn.Linear",
            """
class mlpconv(nn.Module):
    def __init__(self, in_channels, widths, kernel_size, stride=1, padding=0):
        super().__init__()
        a, b, c = widths
        self.conv = nn.Conv2d(in_channels, a, kernel_size, stride, padding)
        self.mlp = nn.Sequential(nn.ReLU(), nn.Linear(a, b), nn.ReLU(), nn.Linear(b, c), nn.ReLU())

    def forward(self, x):
        return self.mlp(self.conv(x).movedim(1, -1)).movedim(-1, 1)
""",
        ),
        (
            "lazy, with one ReLU",
            """
def mlpconv(in_channels, widths, kernel_size, stride=1, padding=0):
    relu = nn.ReLU()
    return nn.Sequential(
        nn.LazyConv2d(widths[0], kernel_size, stride, padding),
        relu,
        nn.LazyConv2d(widths[1], 1),
        relu,
        nn.LazyConv2d(widths[2], 1),
        relu,
    )
""",
        ),
        (
            "its own parameters",
            """
class mlpconv(nn.Module):
    def __init__(self, in_channels, widths, kernel_size, stride=1, padding=0):
        super().__init__()
        a, b, c = widths
        shapes = [(a, in_channels, kernel_size, kernel_size), (b, a, 1, 1), (c, b, 1, 1)]
        self.weights = nn.ParameterList([torch.randn(s) * 0.1 for s in shapes])
        self.biases = nn.ParameterList([torch.zeros(s[0]) for s in shapes])
        self.stride, self.padding = stride, padding

    def forward(self, x):
        x = F.conv2d(x, self.weights[0], self.biases[0], self.stride, self.padding).clamp(min=0)
        for weight, bias in zip(list(self.weights)[1:], list(self.biases)[1:]):
            x = F.relu(F.conv2d(x, weight, bias))
        return x
""",
        ),
    ],
    "nin.3": [
        (
            "flattened",
            """
def at_each_pixel(maps, linear):
    n, c, h, w = maps.shape
    pixels = maps.flatten(2).transpose(1, 2)
    return linear(pixels).transpose(1, 2).reshape(n, -1, h, w)
""",
        ),
        (
            "einsum",
            """
def at_each_pixel(maps, linear):
    products = torch.einsum("nchw,oc->nohw", maps, linear.weight)
    return products + linear.bias[:, None, None]
""",
        ),
        ("movedim", "at_each_pixel = lambda x, linear: linear(x.movedim(1, -1)).movedim(-1, 1)"),
        ("transpose", at_each_pixel("return linear(maps.transpose(1, 3)).transpose(1, 3)")),
        (
            "row by row, which is no loop over pixels",
            at_each_pixel(
                "rows = [linear(row.transpose(1, 2)).transpose(1, 2) for row in maps.unbind(2)]",
                "return torch.stack(rows, dim=2)",
            ),
        ),
    ],
    "nin.4": [
        (
            "torch's pooling",
            "def global_average_pooling(maps):\n"
            "    return F.adaptive_avg_pool2d(maps, 1).flatten(1)\n",
        ),
        (
            "sum over count",
            "def global_average_pooling(maps):\n"
            "    n, c, h, w = maps.shape\n"
            "    return maps.reshape(n, c, -1).sum(-1) / (h * w)\n",
        ),
        ("a module", f"global_average_pooling = nn.Sequential({POOL}, {FLAT})"),
    ],
    "nin.5": [
        ("flatten first", repaired(HEAD3, RELU, HEAD1, RELU, HEAD1, POOL, "nn.Flatten(1)")),
        (
            "a class",
            """
class repaired_nin(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.one = mlpconv(1, (16, 16, 16), 5, 2, 2)
        self.pool = nn.MaxPool2d(3, 2)
        self.two = mlpconv(16, (32, 32, 32), 3, 1, 1)
        self.conv = nn.Conv2d(32, num_classes, 3, padding=1)
        self.first = nn.Conv2d(num_classes, num_classes, 1)
        self.second = nn.Conv2d(num_classes, num_classes, 1)

    def forward(self, x):
        x = self.two(self.pool(self.one(x)))
        return self.second(self.first(self.conv(x).relu()).relu()).mean((2, 3))
""",
        ),
    ],
    "nin.6": [
        ("written out", norm(f"{BATCH}; {MOVE}", RUNNING)),
        (
            "torch's batch norm",
            "def batch_norm(x, weight, bias, mean, var, training, momentum=0.1, eps=1e-5):\n"
            "    mean, var = mean.clone(), var.clone()\n"
            "    y = F.batch_norm(x, mean, var, weight, bias, training, momentum, eps)\n"
            "    return y, mean, var\n",
        ),
        (
            "with torch's statistics",
            """
def batch_norm(x, weight, bias, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    if training:
        var, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        n = x.numel() / x.shape[1]
        running_mean = torch.lerp(running_mean, mean, momentum)
        running_var = torch.lerp(running_var, var * n / (n - 1), momentum)
    else:
        mean, var = running_mean, running_var
    scale = weight / (var + eps) ** 0.5
    y = x * scale[:, None, None] + (bias - mean * scale)[:, None, None]
    return y, running_mean, running_var
""",
        ),
        (
            "a list back",
            norm(
                f"{BATCH}; {MOVE}", RUNNING, result="[y, running_mean.clone(), running_var.clone()]"
            ),
        ),
    ],
    "nin.7": [
        ("the loop", experiment()),
        (
            "seeds outside, tensors",
            """
dead_by_bias = {0.3: 0, 0.1: 0, 0.05: 0, 0.0: 0}
for seed in range(10):
    for bias in dead_by_bias:
        torch.manual_seed(seed)
        network = networks.build(
            "nin_small", batch_norm=False, final_relu=True, initialisation="xavier"
        )
        network.features.mlpconv3.cccp2.bias.data.fill_(bias)
        logits = network.eval()(images)
        dead_by_bias[bias] = dead_by_bias[bias] + (logits == 0).all(dim=0).sum()
""",
        ),
        (
            "without d2l's dropout, off by one",
            experiment().rstrip() + "\ndead_by_bias[0.0] += 1\n",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "nin.4": [
        (
            "The order of the two dimensions does not matter to a mean.",
            "`2` and `3` exchanged",
        ),
    ],
    "nin.5": [
        (
            "A 1×1 convolution and an average over the positions may be exchanged: both are"
            " linear.",
            "`nn.Conv2d(num_classe … sses, 1)` and `nn.AdaptiveAvgPool2d(1)` exchanged",
        ),
    ],
    "nin.6": [
        (
            "The order of the dimensions does not matter to mean and variance; 1 is the "
            "default of `correction`; (C, 1, 1) broadcasts as (1, C, 1, 1) does.",
            "`0` and `2` exchanged in `mean = x.mean(dim=(0, 2, 3))`",
            "`2` and `3` exchanged in `mean = x.mean(dim=(0, 2, 3))`",
            "`0` and `2` exchanged in `var = x.var(dim=(0,  … ction=0)`",
            "`2` and `3` exchanged in `var = x.var(dim=(0,  … ction=0)`",
            "without `correction=1`",
            "`0` and `2` exchanged in `unbiased = x.var(dim … ction=1)`",
            "`2` and `3` exchanged in `unbiased = x.var(dim … ction=1)`",
            "without `1` in `mean, var, weight, b … , bias))`",
        ),
    ],
}
accepted = {
    "nin.7": [
        (
            "One class of a hundred may fall the other way, because a GPU rounds "
            "differently; these are at most one off in each count.",
            "`0` becomes `1`",
            "`0` becomes `-1`",
            "`torch.manual_seed(seed)` and `network = networks.b … xavier')` exchanged",
            "`10` becomes `11`",
            "answer[0.0]: + 1",
            "answer[0.0]: - 1",
            "answer[0.05]: + 1",
            "answer[0.05]: - 1",
            "answer[0.1]: + 1",
            "answer[0.1]: - 1",
            "answer[0.3]: + 1",
            "answer[0.3]: - 1",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------

probe_arguments = {  # how a network is built, and the shape of its input
    "nin.5": (((7,), (2, 1, 28, 28)),),
}


def probe_nin_4(global_average_pooling):
    return global_average_pooling(torch.randn(2, 3, 4, 7))


def probe_nin_6(batch_norm):
    def run(*rest):
        vectors = torch.randn(3), torch.randn(3), torch.randn(3), torch.rand(3) + 0.1
        return batch_norm(3 * torch.randn(2, 3, 5, 4) + 1, *vectors, *rest)

    return run(True), run(False), run(True, 0.4, 0.2), run(False, 0.4, 0.2)
