"""Answers to the exercises of chapter 03."""

import torch


def counts(three=442_752, one=802_944, saved=1_130_364_928):
    return f'stack = {{"three_3x3": {three}, "one_7x7": {one}, "macs_saved": {saved}}}'


def block(
    body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2), nn.ReLU()]",
    handed="channels = out_channels",
    end="parts.append(nn.MaxPool2d(2))",
    digits="map(int, kernel_sizes)",
    start="",
    result="nn.Sequential(*parts)",
):
    """Source of a block that is a loop over the kernel sizes."""
    return f"""
def vgg_block(in_channels, out_channels, kernel_sizes="33"):
    parts, channels = [], in_channels
    {start}
    for number, k in enumerate({digits}):
        {body}
        {handed}
    {end}
    return {result}
"""


def field(body, start="field, distance = 1, 1", result="field"):
    return f"""
def field_of_stack(layers):
    {start}
    for k, s in layers:
        {body}
    return {result}
"""


def network(
    classifier="""
        nn.Linear(in_channels * size * size, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, num_classes)""",
    handed="in_channels = width",
    size="image_size // 2 ** len(blocks)",
    block="vgg_block(in_channels, width, digits)",
    before="nn.Flatten()",
):
    return f"""
def vgg(blocks, widths=(64, 128, 256, 512, 512), in_channels=3, num_classes=1000,
        image_size=224, hidden=4096):
    parts = []
    for digits, width in zip(blocks, widths):
        parts.append({block})
        {handed}
    size = {size}
    return nn.Sequential(*parts, {before}, {classifier})
"""


NETWORK_CLASS = """
class vgg(nn.Module):
    def __init__(self, blocks, widths=(64, 128, 256, 512, 512), in_channels=3, num_classes=1000,
                 image_size=224, hidden=4096):
        super().__init__()
        channels = (in_channels, *widths)
        self.blocks = nn.ModuleList(
            vgg_block(i, o, kernels) for i, o, kernels in zip(channels, widths, blocks)
        )
        self.one, self.two = nn.LazyLinear(hidden), nn.Linear(hidden, hidden)
        self.three, self.drop = nn.Linear(hidden, num_classes), nn.Dropout()

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        x = F.relu(self.drop(self.one(x.flatten(1))))
        return self.three(F.relu(self.drop(self.two(x))))
"""

OWN_BLOCK = """
def own_block(channels, width, digits, norm=False, relu=True):
    parts = []
    for number, k in enumerate(map(int, digits)):
        parts.append(nn.Conv2d(channels, width, k, padding=k // 2))
        parts += [nn.BatchNorm2d(width)] if norm else []
        parts += [nn.ReLU()] if relu or number == len(digits) - 1 else []
        channels = width
    return nn.Sequential(*parts, nn.MaxPool2d(2))
"""

HIDDEN = "nn.Linear(in_channels * size * size, hidden)"
SECOND, LAST = "nn.Linear(hidden, hidden)", "nn.Linear(hidden, num_classes)"
RELU, DROP = "nn.ReLU()", "nn.Dropout(0.5)"


def classifier(*parts):
    return network(classifier=", ".join(parts))


def repaired(
    inner="parts += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]; channels = width",
    outer="parts.append(nn.MaxPool2d(2))",
    end="nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, num_classes)",
    table="((1, 8), (1, 16), (2, 24), (2, 32))",
):
    return f"""
def repaired_vgg(num_classes=10):
    parts, channels = [], 1
    for num_convs, width in {table}:
        for _ in range(num_convs):
            {inner}
        {outer}
    return nn.Sequential(*parts, nn.Flatten(), {end})
"""


def merged(expression):
    return f"def merge(first, second):\n    return {expression}\n"


FULL = (
    "F.conv2d(first.transpose(0, 1), second.flip(2, 3), padding=second.shape[-1] - 1)"
    ".transpose(0, 1)"
)


def experiment(
    result="logits.std(dim=0).mean().item()",
    options="batch_norm=False, dropout=0.0",
    seed="torch.manual_seed(0)",
    before="",
    mode="double()",
    given="images.double()",
):
    return f"""
spread = {{}}
{before}
for name in "ABDE":
    {seed}
    network = networks.build("vgg_small", blocks=CONFIGURATIONS[name], {options})
    with torch.no_grad():
        logits = network.{mode}({given})
    spread[name] = {result}
"""


IN_FORWARD = """
class vgg_block(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_sizes="33"):
        super().__init__()
        self.settings = in_channels, out_channels, kernel_sizes

    def forward(self, x):
        channels, out_channels, digits = self.settings
        for k in map(int, digits):
            x = nn.Conv2d(channels, out_channels, k, padding=k // 2)(x).relu()
            channels = out_channels
        return F.max_pool2d(x, 2)
"""

ALL_READ = """
class vgg_block(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_sizes="33"):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(in_channels, out_channels, int(k), padding=int(k) // 2) for k in kernel_sizes
        )

    def forward(self, x):
        for convolution in self.convolutions:
            y = convolution(x).relu()
        return F.max_pool2d(y, 2)
"""

SKIPPED = """
class vgg_block(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_sizes="33"):
        super().__init__()
        parts = []
        for k in map(int, kernel_sizes):
            parts += [nn.Conv2d(in_channels, out_channels, k, padding=k // 2), nn.ReLU()]
            in_channels = out_channels
        self.body = nn.Sequential(*parts)

    def forward(self, x):
        y = self.body(x)
        return F.max_pool2d(x + y if x.shape == y.shape else y, 2)
"""

FOURIER = """
def merge(first, second):
    n = first.shape[-1] + second.shape[-1] - 1
    ours, theirs = torch.fft.fft2(first{size}), torch.fft.fft2(second{size}){other}
    return torch.fft.ifft2(torch.einsum("omij,mcij->ocij", theirs, ours)){end}
"""


wrong_answers = {
    "vgg.1": [
        (
            "^ is no power",
            counts((3 ^ 2) * 3 * 128**2 + 384, (7 ^ 2) * 128**2 + 128, 2 * 128**2 * 56**2),
            r"the power is `3 \*\* 2`",
        ),
        ("^ in the MACs", counts(saved=2 * 128**2 * 56**2), r"`7 \^ 2` is 5"),
        ("no biases", counts(three=442_368), r'"three_3x3": 442,368.*has a bias too'),
        ("biases of one layer", counts(three=442_496), r"not one of them"),
        ("one layer", counts(three=147_584), r"one layer. There are three"),
        ("weights of one layer", counts(three=147_456), r"weights of one layer"),
        ("one input channel", counts(three=27 * 128 + 384), r"all 128 input channels"),
        ("nine times nine", counts(three=81 * 16_384 + 384), r"9 · 3 is 27"),
        ("the image's channels", counts(three=81 * 128 + 384), r"not the 3 of an image"),
        ("times positions", counts(three=442_752 * 3136), r"stored once"),
        ("swapped", counts(three=802_944, one=442_752), r"This is the 7×7 layer"),
        ("anything", counts(three=7), r"9 · 128 weights for each of its 128 outputs"),
        ("7x7 without biases", counts(one=802_816), r'"one_7x7": 802,816.*has a bias too'),
        ("7x7 with one input", counts(one=49 * 128 + 128), r"all 128 input channels"),
        ("7 for 49", counts(one=7 * 16_384 + 128), r"49 weights for each pair"),
        ("5x5", counts(one=25 * 16_384 + 128), r"a 5×5 layer"),
        ("the stack twice", counts(one=442_752), r"stack of three"),
        ("weights saved", counts(saved=360_448), r"used at every one of the 56 · 56"),
        ("parameters saved", counts(saved=360_192), r"difference of the parameters"),
        ("with biases", counts(saved=360_192 * 3136), r"Biases are added"),
        ("negative", counts(saved=-1_130_364_928), r"take its MACs from"),
        ("MACs of the stack", counts(saved=442_368 * 3136), r"MACs of the stack"),
        ("MACs of the other", counts(saved=802_816 * 3136), r"MACs of the 7×7"),
        ("FLOPs", counts(saved=2 * 1_130_364_928), r"often called FLOPs"),
        ("one row", counts(saved=360_448 * 56), r"not 56"),
        ("against one 3x3", counts(saved=40 * 16_384 * 3136), r"three layers, not one"),
        ("no padding", counts(saved=49 * 16_384 * 2500 - 9 * 16_384 * 8120), r"With the padding"),
        ("in millions", counts(saved="1130.4"), r"This is in millions"),
        ("in billions", counts(saved="1.13"), r"This is in billions"),
        ("rounded", counts(saved="1.13e9"), r"This is rounded"),
        ("any number saved", counts(saved="1e5"), r"weights times positions"),
        ("not a number", counts(saved="float('nan')"), r"not a number \(nan\)"),
        ("a text", counts(one="'802,944'"), r"A number is expected"),
        ("three numbers", "stack = (442_752, 802_944, 1)", r"A dictionary with the keys"),
        ("None", counts(three=None), r"A number is expected, not nothing"),
        ("an image first", counts(three=298_752), r"The first of the three layers"),
        ("two biases", counts(three=443_136), r"one bias, not two"),
        ("bias in the kernel", counts(three=445_824), r"once for each output"),
        ("layers multiplied", counts(three=147_456**3 + 384), r"added, not multiplied"),
        ("channels again", counts(saved=128 * 1_130_364_928), r"counted once more"),
        ("a batch", counts(saved=64 * 1_130_364_928), r"This is for 64 images"),
        ("bytes", counts(three=4 * 442_752), r"bytes of float32"),
        (
            "biases at positions",
            counts(three=442_368 + 384 * 3136),
            r"not to each of its positions",
        ),
        ("percent", counts(saved=44.9), r"a share, or percent"),
        (
            "two mistakes",
            counts(saved=40 * 128 * 3136),
            r"three layers, not one.*128 · 128 pairs of channels, not 128",
        ),
    ],
    "vgg.2": [
        (
            "one convolution at two places",
            """
def vgg_block(in_channels, out_channels, kernel_sizes="33"):
    first, *rest = map(int, kernel_sizes)
    parts, made = [nn.Conv2d(in_channels, out_channels, first, padding=first // 2), nn.ReLU()], {}
    for k in rest:
        conv = made.setdefault(k, nn.Conv2d(out_channels, out_channels, k, padding=k // 2))
        parts += [conv, nn.ReLU()]
    return nn.Sequential(*parts, nn.MaxPool2d(2))
""",
            r"one for each digit.*used twice shares its weights",
        ),
        (
            "a list outside",
            "parts = []\n"
            + block(
                "parts.extend((nn.Conv2d(channels, out_channels, k, padding=k // 2), nn.ReLU()))"
            ).replace("parts, channels = [], in", "channels = in"),
            r"layers of an earlier call.*inside the function",
        ),
        (
            "a set of digits",
            block(digits="map(int, set(kernel_sizes))"),
            r"comes twice is taken once",
        ),
        ("a list", block(result="parts"), r"gives a list.*Put its layers into"),
        (
            "detached",
            """
class vgg_block(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_sizes="33"):
        super().__init__()
        wide = [in_channels, *9 * [out_channels]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(c, out_channels, int(k), padding=int(k) // 2)
            for k, c in zip(kernel_sizes, wide)
        )

    def forward(self, x):
        for convolution in self.convolutions:
            x = convolution(x).relu().detach()
        return F.max_pool2d(x, 2)
""",
            r"^vgg_block\(3, 8, '33'\): The outputs agree, but the gradients do not",
        ),
        (
            "linear layers on patches",
            """
class vgg_block(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_sizes="33"):
        super().__init__()
        self.sizes, wide = [int(k) for k in kernel_sizes], [in_channels, *9 * [out_channels]]
        pairs = zip(self.sizes, wide)
        self.linear = nn.ModuleList(nn.Linear(c * k * k, out_channels) for k, c in pairs)

    def forward(self, x):
        n, _, h, w = x.shape
        for k, layer in zip(self.sizes, self.linear):
            patches = F.unfold(x, k, padding=k // 2).transpose(1, 2)
            x = layer(patches).relu().transpose(1, 2).reshape(n, -1, h, w)
        return F.max_pool2d(x, 2)
""",
            r"has no `nn.Conv2d`.*counts these layers later",
        ),
        (
            "reflected borders",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2, "
                "padding_mode='reflect'), nn.ReLU()]"
            ),
            r"reflect",
        ),
        (
            "dilated",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2 * 2, "
                "dilation=2), nn.ReLU()]"
            ),
            r"dilat",
        ),
        (
            "groups",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2, "
                "groups=1 if number == 0 else out_channels), nn.ReLU()]"
            ),
            r"groups",
        ),
        ("softmax", block(end="parts += [nn.MaxPool2d(2), nn.Softmax(1)]"), r"[Ss]oftmax"),
        ("no pooling", block(end="pass"), r"a max pooling is missing"),
        (
            "average",
            block(end="parts.append(nn.AvgPool2d(2))"),
            r"AvgPool2d.*should be a MaxPool2d",
        ),
        ("AlexNet's pooling", block(end="parts.append(nn.MaxPool2d(3, 2))"), r"overlap"),
        (
            "pooling of stride 1",
            block(end="parts.append(nn.MaxPool2d(2, 1))"),
            r"should have stride 2, not 1",
        ),
        (
            "rounding up",
            block(end="parts.append(nn.MaxPool2d(2, ceil_mode=True))"),
            r"rounds an odd size up",
        ),
        (
            "pooling in the loop",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2), nn.ReLU(), "
                "nn.MaxPool2d(2)]",
                end="pass",
            ),
            r"pooling is inside the loop",
        ),
        (
            "no ReLU",
            block(body="parts.append(nn.Conv2d(channels, out_channels, k, padding=k // 2))"),
            r"no ReLU at all",
        ),
        (
            "one ReLU at the end",
            block(
                body="parts.append(nn.Conv2d(channels, out_channels, k, padding=k // 2))",
                end="parts += [nn.ReLU(), nn.MaxPool2d(2)]",
            ),
            r"one ReLU only, at the end",
        ),
        (
            "no last ReLU",
            block(end="parts.pop(); parts.append(nn.MaxPool2d(2))"),
            r"last convolution has no ReLU",
        ),
        (
            "no padding",
            block(body="parts += [nn.Conv2d(channels, out_channels, k), nn.ReLU()]"),
            r"no padding, so the maps get smaller",
        ),
        (
            "padding 1 always",
            block(body="parts += [nn.Conv2d(channels, out_channels, k, padding=1), nn.ReLU()]"),
            r"padding is always 1",
        ),
        (
            "3x3 always",
            block(body="parts += [nn.Conv2d(channels, out_channels, 3, padding=1), nn.ReLU()]"),
            r"digits of `kernel_sizes` are not used",
        ),
        (
            "one convolution",
            block(digits="[int(kernel_sizes[0])]"),
            r"has 1 convolution; 2 are right: one for each digit",
        ),
        ("reverse", block(digits="map(int, kernel_sizes[::-1])"), r"reverse order"),
        (
            "first kernel for all",
            block(digits="[int(kernel_sizes[0])] * len(kernel_sizes)"),
            r"first kernel size",
        ),
        (
            "two convolutions",
            block(digits="(list(map(int, kernel_sizes)) * 2)[:2]"),
            r"has 2 convolutions; 3 are right: one for each digit",
        ),
        (
            "one layer used twice",
            """
class vgg_block(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_sizes="33"):
        super().__init__()
        self.digits = kernel_sizes
        self.first = nn.Conv2d(in_channels, out_channels, int(kernel_sizes[0]), padding="same")
        self.next = nn.Conv2d(out_channels, out_channels, 3, padding=1)

    def forward(self, x):
        x = self.first(x).relu()
        for _ in self.digits[1:]:
            x = self.next(x).relu()
        return F.max_pool2d(x, 2)
""",
            r"has 2 convolutions; 3 are right.*shares its weights",
        ),
        (
            "a finished block",
            block() + 'vgg_block = vgg_block(3, 8, "33")\n',
            r"a function or a class that builds",
        ),
        (
            "channels not handed on",
            block(handed="pass"),
            r"Convolution 2 of .* takes 3 channels, but convolution 1 gives 8",
        ),
        (
            "in and out swapped",
            block(
                body="parts += [nn.Conv2d(out_channels, channels, k, padding=k // 2), nn.ReLU()]",
                handed="pass",
            ),
            r"Convolution 1 of .* takes 8 channels, but the images have 3",
        ),
        (
            "widens last",
            block(
                body="width = out_channels if number == len(kernel_sizes) - 1 else in_channels; "
                "parts += [nn.Conv2d(in_channels, width, k, padding=k // 2), nn.ReLU()]"
            ),
            r"Only the last convolution widens",
        ),
        (
            "batch norm",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2), "
                "nn.BatchNorm2d(out_channels), nn.ReLU()]"
            ),
            r"^There is a batch norm after each",
        ),
        (
            "no bias",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2, bias=False), "
                "nn.ReLU()]"
            ),
            r"should have a bias",
        ),
        (
            "sigmoid",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2), nn.Sigmoid()]"
            ),
            r"[Ss]igmoid",
        ),
        (
            "ReLU6",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2), nn.ReLU6()]"
            ),
            r"ceiling",
        ),
        (
            "stride for pooling",
            block(
                body="last = number == len(kernel_sizes) - 1; parts += [nn.Conv2d(channels, "
                "out_channels, k, 2 if last else 1, padding=k // 2), nn.ReLU()]",
                end="pass",
            ),
            r"has stride 2, and there is no pooling",
        ),
        (
            "dropout",
            block(end="parts += [nn.MaxPool2d(2), nn.Dropout()]"),
            r"a dropout \(`Dropout\(0.5\)`\) is too many",
        ),
        (
            "two mistakes",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k), nn.ReLU()]",
                end="parts.append(nn.AvgPool2d(2))",
            ),
            r"should have padding 1.*should be a MaxPool2d|AvgPool2d.*padding 1, not 0",
        ),
        ("a list", block(result="parts"), r"a torch module is expected"),
        ("no return", block(result="None"), r"Is the `return` missing"),
        (
            "digits as text",
            block(digits="kernel_sizes"),
            r"raised TypeError.*line",
        ),
        (
            "layers in a list",
            """
class vgg_block(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_sizes="33"):
        super().__init__()
        self.convs = []
        for k in map(int, kernel_sizes):
            self.convs.append(nn.Conv2d(in_channels, out_channels, k, padding=k // 2))
            in_channels = out_channels

    def forward(self, x):
        for conv in self.convs:
            x = F.relu(conv(x))
        return F.max_pool2d(x, 2)
""",
            r"is a plain list",
        ),
        ("digits as text", block(digits="kernel_sizes"), r"^`kernel_sizes` is a text"),
        (
            "digits as text, padding 1",
            block(
                digits="kernel_sizes",
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=1), nn.ReLU()]",
            ),
            r"^`kernel_sizes` is a text",
        ),
        ("a number of layers", block(digits="range(kernel_sizes)"), r"^`kernel_sizes` is a text"),
        ("codes of characters", block(digits="map(ord, kernel_sizes)"), r"^`ord` gives the code"),
        ("a list of modules", block(result="nn.ModuleList(parts)"), r"does not call them"),
        (
            "return too early",
            block(handed="return nn.Sequential(*parts)"),
            r"^The `return` is inside the loop",
        ),
        ("another default", block().replace('"33"', '"3"'), r'Without `kernel_sizes` .* "33"'),
        ("sorted", block(digits="map(int, sorted(kernel_sizes))"), r"^The kernel sizes are sorted"),
        (
            "stride in place of the pooling",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, 2 - (number > 0), k // 2), "
                "nn.ReLU()]",
                end="pass",
            ),
            r"Convolution 1 has stride 2",
        ),
        (
            "ReLU of a convolution",
            block(body="parts += [nn.ReLU(nn.Conv2d(channels, out_channels, k, padding=k // 2))]"),
            r"to the argument `inplace`",
        ),
        (
            "two mistakes",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=k // 2), "
                "nn.MaxPool2d(2)]",
                end="parts.append(nn.ReLU())",
            ),
            r"There are 2 poolings; a block has one",
        ),
        ("flattened", block(end="parts += [nn.MaxPool2d(2), nn.Flatten()]"), r"[Ff]latten"),
        ("maps of one axis", block(end="parts.append(nn.MaxPool1d(2))"), r"`MaxPool1d` is there"),
        (
            "normalised",
            block(end="parts += [nn.LocalResponseNorm(5), nn.MaxPool2d(2)]"),
            r"`LocalResponseNorm` is there",
        ),
        (
            "zeros",
            block(
                end="parts += [nn.MaxPool2d(2)]; [nn.init.zeros_(m.weight) for m in parts[:-1:2]]"
            ),
            r"all weights of the convolutions are 0",
        ),
        (
            "indices",
            block(end="parts.append(nn.MaxPool2d(2, return_indices=True))"),
            r"gives its indices too",
        ),
        (
            "another name",
            block().replace("kernel_sizes", "kernels"),
            r"`kernel_sizes` is not among",
        ),
        (
            "half a padding",
            block(
                body="parts += [nn.Conv2d(channels, out_channels, k, padding=(k - 1) / 2), "
                "nn.ReLU()]"
            ),
            r"^A size or place has to be a whole number",
        ),
        ("places", block(digits="range(len(kernel_sizes))"), r"Convolution 1 has a 0×0 kernel"),
        ("their number", block(digits="[len(kernel_sizes)]"), r"a 2×2 kernel.*1 convolution; 2 "),
        ("one number", block(digits="[3] * int(kernel_sizes)"), r"^The whole text becomes one"),
        (
            "one 5x5 for two 3x3",
            block(digits='map(int, "5" if kernel_sizes == "33" else kernel_sizes)'),
            r"1 convolution; 2 are right: one for each digit",
        ),
        (
            "gaps in the pooling",
            block(end="parts.append(nn.MaxPool2d(2, dilation=2))"),
            r"should have dilation 1, not 2",
        ),
        ("made in forward", IN_FORWARD, r"made anew in each call"),
        ("all read the image", ALL_READ, r"Convolution 2 .* takes 3 channels"),
        ("a skip connection", SKIPPED, r"skip connection"),
    ],
    "vgg.3": [
        (
            "return inside the loop",
            field("field += (k - 1) * distance; distance *= s; return field"),
            r"Leave out.*return field",
        ),
        (
            "k - s",
            field("field += (k - s) * distance; distance *= s"),
            r"write `k - 1` in place of `k - s`",
        ),
        (
            "k // 2",
            field("field += k // 2 * distance; distance *= s"),
            r"write `\(k - 1\)` in place of `k // 2`",
        ),
        (
            "field * s",
            field("field = field * s + k - 1"),
            r"Two changes.*field \+= \(k - 1\) \* distance",
        ),
        (
            "both",
            field("field += (k - 1) * distance; distance *= s", result="(field, distance)"),
            r"write `field` in place of `\(field, distance\)`",
        ),
        ("no strides", field("field += k - 1"), r"Two changes.*distance \*= s"),
        (
            "own stride",
            field("distance *= s; field += (k - 1) * distance"),
            r"own stride is counted for its own kernel",
        ),
        (
            "last stride only",
            field("field += (k - 1) * distance; distance = s"),
            r"write.*distance \*= s",
        ),
        (
            "strides added",
            field("field += (k - 1) * max(distance, 1); distance += s", "field, distance = 1, 0"),
            r"strides are added up",
        ),
        (
            "stride added to the distance",
            field("field += (k - 1) * distance; distance += s"),
            r"write.*distance \*= s",
        ),
        (
            "always 2",
            field("field += (k - 1) * distance; distance *= 2"),
            r"write.*distance \*= s",
        ),
        (
            "2 where it is not 1",
            field("field += (k - 1) * distance; distance *= 2 if s > 1 else 1"),
            r"write `s` in place of `2 if s > 1 else 1`",
        ),
        (
            "starts at 0",
            field("field += (k - 1) * distance; distance *= s", "field, distance = 0, 1"),
            r"write.*\(1, 1\)",
        ),
        ("k steps", field("field += k * distance; distance *= s"), r"write.*\(k - 1\) \* distance"),
        (
            "k steps from 0",
            field("field += k * distance; distance *= s", "field, distance = 0, 1"),
            r"Two changes.*\(1, 1\)",
        ),
        (
            "recursion upwards",
            field("field = (field - 1) * s + k"),
            r"Two changes.*field \+= \(k - 1\) \* distance",
        ),
        ("product", field("field *= k"), r"Two changes.*field \+= \(k - 1\) \* distance"),
        ("sum", field("field += k", "field = 0"), r"kernel sizes are added up"),
        (
            "squared",
            field("field += (k - 1) * distance; distance *= s", result="field ** 2"),
            r"write `field` in place of `field \*\* 2`",
        ),
        (
            "two numbers",
            field("field += (k - 1) * distance; distance *= s", result="(field, field)"),
            r"write `field` in place of `\(field, field\)`",
        ),
        (
            "distance",
            field("field += (k - 1) * distance; distance *= s", result="distance"),
            r"write `field` in place of `distance`",
        ),
        (
            "swapped",
            field("k, s = s, k; field += (k - 1) * distance; distance *= s"),
            r"Leave out.*k, s = \(s, k\)",
        ),
        (
            "printed",
            field("field += (k - 1) * distance; distance *= s", result="print(field)"),
            r"Is the `return` missing",
        ),
        ("a number", "field_of_stack = 5", r"A function is expected, not 5"),
        ("a constant", "def field_of_stack(layers):\n    return 5\n", r"gives 5; right is 8"),
        (
            "strides less one added",
            field("field += (k - 1) * distance; distance += s - 1"),
            r"write.*distance \*= s",
        ),
        (
            "twice",
            field("field += 2 * (k - 1) * distance; distance *= s"),
            r"write `\(k - 1\)` in place of `2 \* \(k - 1\)`",
        ),
        (
            "no poolings",
            field("field += (k - 1) * distance * (s == 1); distance *= s"),
            r"write.*\(k - 1\) \* distance",
        ),
        ("3x3", field("field += 2 * distance; distance *= s"), r"write.*\(k - 1\) \* distance"),
        (
            "3x3 and 2x2",
            field("field += (2 if s == 1 else 1) * distance; distance *= s"),
            r"write `k - 1` in place of `2 if s == 1 else 1`",
        ),
        (
            "poolings of 2",
            field("field += (k - 1) * distance; distance *= 2 if k == 2 else 1"),
            r"write `s` in place of `2 if k == 2 else 1`",
        ),
        (
            "divided",
            field("field += (k - 1) * distance; distance /= s"),
            r"is divided by the stride",
        ),
        (
            "one distance",
            field("distance *= s", result="1 + sum(k - 1 for k, s in layers) * distance"),
            r"Two changes.*field \+= \(k - 1\) \* distance",
        ),
        (
            "less one for each layer",
            field("field += k * distance; distance *= s", "field, distance = 1 - len(layers), 1"),
            r"A 1 is taken away for every layer",
        ),
        (
            "downwards",
            field("field = field * s + k").replace("in layers", "in layers[::-1]"),
            r"Two changes.*for k, s in layers:",
        ),
        (
            "first kernel twice",
            field(
                "field += (k - 1) * distance; distance *= s", "field, distance = layers[0][0], 1"
            ),
            r"write `1` in place of `layers\[0\]\[0\]`",
        ),
        (
            "layers alone",
            field("pass", result="2 * len(layers) + 1"),
            r"counted as 3×3 with stride 1",
        ),
        (
            "largest kernel",
            field("pass", result="max(k for k, s in layers) + 2 * (len(layers) - 1)"),
            r"The largest kernel counts",
        ),
        (
            "size of the map",
            field("field = (field - k) // s + 1", "field = 224"),
            r"last map for images",
        ),
        (
            "radius",
            field("field += (k - 1) * distance; distance *= s", result="field // 2"),
            r"write `field` in place of `field // 2`",
        ),
        (
            "all fields",
            field(
                "field += (k - 1) * distance; distance *= s; fields.append(field)",
                "field, distance, fields = 1, 1, []",
                "fields",
            ),
            r"fields of all layers",
        ),
        (
            "cut",
            field("field += (k - 1) * distance; distance *= s", result="min(field, 224)"),
            r"write `field` in place of `min\(field, 224\)`",
        ),
        (
            "return too early",
            field("field += (k - 1) * distance; return field"),
            r"write.*distance \*= s",
        ),
        (
            "a star",
            field("field += (k - 1) * distance; distance *= s").replace("(layers)", "(*layers)"),
            r"without a star",
        ),
        ("one pair", "def field_of_stack(layers):\n    k, s = layers\n    return k\n", r"one pair"),
        (
            "modules",
            "def field_of_stack(layers):\n"
            "    field = 1\n"
            "    for layer in layers:\n"
            "        field += layer.kernel_size - 1\n"
            "    return field\n",
            r"A layer is a pair of numbers",
        ),
    ],
    "vgg.4": [
        (
            "equal blocks are one",
            "from functools import cache\nmade_once = cache(vgg_block)\n"
            + network(block="made_once(in_channels, width, digits)"),
            r"share",
        ),
        (
            "the three dots",
            network(classifier="nn.Linear(..., hidden), nn.ReLU(), nn.Linear(hidden, num_classes)"),
            r"three dots are still there",
        ),
        (
            "dropout after each block",
            network(block="vgg_block(in_channels, width, digits), nn.Dropout(0.5)").replace(
                "parts.append(", "parts += ("
            ),
            r"^There is a dropout after each block",
        ),
        (
            "4096 in the second layer",
            classifier(
                HIDDEN,
                RELU,
                DROP,
                "nn.Linear(hidden, 4096)",
                RELU,
                DROP,
                "nn.Linear(4096, num_classes)",
            ),
            r"Linear layer 2 of .* has 4096 outputs",
        ),
        (
            "a list as default value",
            network().replace("hidden=4096", "hidden=4096, parts=[]").replace("parts = []", "pass"),
            r"layers of an earlier call",
        ),
        (
            "four hidden layers",
            classifier(*(HIDDEN, RELU, DROP), *3 * (SECOND, RELU, DROP), LAST),
            r"four hidden layers; two",
        ),
        (
            "dropout on the logits",
            classifier(HIDDEN, RELU, DROP, SECOND, RELU, LAST, DROP),
            r"logits",
        ),
        (
            "channels not handed on",
            network(handed="pass"),
            r"takes 2 channels, but convolution 1 gives 7",
        ),
        ("no dropout", classifier(HIDDEN, RELU, SECOND, RELU, LAST), r"There is no dropout"),
        (
            "one dropout",
            classifier(HIDDEN, RELU, DROP, SECOND, RELU, LAST),
            r"second hidden layer has no dropout",
        ),
        (
            "dropout of the inputs",
            classifier(DROP, HIDDEN, RELU, DROP, SECOND, RELU, LAST),
            r"drops their inputs",
        ),
        (
            "weak dropout",
            classifier(HIDDEN, RELU, "nn.Dropout(0.2)", SECOND, RELU, "nn.Dropout(0.2)", LAST),
            r"dropout is 0.2; 0.5",
        ),
        (
            "no ReLU",
            classifier(HIDDEN, DROP, SECOND, DROP, LAST),
            r"one linear layer",
        ),
        (
            "no first ReLU",
            classifier(HIDDEN, DROP, SECOND, RELU, DROP, LAST),
            r"first linear layer has no ReLU",
        ),
        (
            "no second ReLU",
            classifier(HIDDEN, RELU, DROP, SECOND, DROP, LAST),
            r"second linear layer has no ReLU",
        ),
        (
            "ReLU on the logits",
            classifier(HIDDEN, RELU, DROP, SECOND, RELU, DROP, LAST, RELU),
            r"ReLU on the logits",
        ),
        (
            "softmax",
            classifier(HIDDEN, RELU, DROP, SECOND, RELU, DROP, LAST, "nn.Softmax(dim=1)"),
            r"softmax at the end",
        ),
        (
            "one hidden layer",
            classifier(HIDDEN, RELU, DROP, LAST),
            r"only one hidden layer",
        ),
        (
            "no hidden layer",
            classifier("nn.Linear(in_channels * size * size, num_classes)"),
            r"no hidden layer",
        ),
        (
            "size always 7",
            network(size="7"),
            r"^The last maps are 7×7 for images of 224 only.*takes 245 values, but it gets 45",
        ),
        (
            "size of the image",
            network(size="image_size"),
            r"this is the size of the images.*Linear layer 1 .* takes 720 values",
        ),
        (
            "size halved once",
            network(size="image_size // 2"),
            r"^Every block halves the size.*takes 180 values",
        ),
        (
            "no square",
            classifier(
                *("nn.Linear(in_channels * size, hidden)", RELU, DROP, SECOND, RELU, DROP, LAST)
            ),
            r"size · size positions.*takes 15 values, but it gets 45",
        ),
        (
            "global average",
            network(
                classifier="nn.Linear(in_channels, hidden), nn.ReLU(), nn.Dropout(0.5), "
                f"{SECOND}, {RELU}, {DROP}, {LAST}",
                before="nn.AdaptiveAvgPool2d(1), nn.Flatten()",
            ),
            r"maps are averaged",
        ),
        (
            "always two convolutions",
            network(block="vgg_block(in_channels, width)"),
            r"has 4 convolutions; 3 are right",
        ),
        (
            "one convolution a block",
            network(block="vgg_block(in_channels, width, digits[0])"),
            r"^Only the first kernel of each block.*has 2 convolutions; 3 are right",
        ),
        (
            "constants",
            network(
                classifier="nn.Linear(in_channels * size * size, 4096), nn.ReLU(), nn.Dropout(0.5)"
                ", nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 1000)"
            ),
            r"1000 logits: num_classes=4 is not used",
        ),
        (
            "hidden not used",
            network(
                classifier="nn.Linear(in_channels * size * size, 4096), nn.ReLU(), nn.Dropout(0.5)"
                ", nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5)"
                ", nn.Linear(4096, num_classes)"
            ),
            r"hidden=11 is not used",
        ),
        (
            "features only",
            network(classifier="nn.Identity()", before="nn.Identity()"),
            r"classifier is missing",
        ),
        (
            "always five blocks",
            network(size="image_size // 32"),
            r"not always 5.*takes 0 values, but it gets 45",
        ),
        ("no flatten", network(before="nn.Identity()"), r"gets maps of shape .* flattened"),
        (
            "dropout in eval mode too",
            NETWORK_CLASS.replace("self.drop(", "F.dropout("),
            r"dropout is still active in eval mode",
        ),
        (
            "a class with its own activation",
            NETWORK_CLASS.replace("self.three(F.relu(", "self.three(torch.sigmoid("),
            r"there is a sigmoid where a ReLU is right",
        ),
        (
            "batch norm in the blocks",
            network(block="own_block(in_channels, width, digits, norm=True)") + OWN_BLOCK,
            r"In the blocks: there is a batch norm after each convolution",
        ),
        (
            "one ReLU in a block",
            network(block="own_block(in_channels, width, digits, relu=False)") + OWN_BLOCK,
            r"In the blocks: the last convolution alone has a ReLU",
        ),
        (
            "always 3x3",
            network(block="vgg_block(in_channels, width, '3' * len(digits))"),
            r"digits of `blocks` are not used",
        ),
        (
            "a head of convolutions",
            classifier(
                "nn.Conv2d(in_channels, hidden, size), nn.ReLU(), nn.Dropout(0.5)",
                "nn.Conv2d(hidden, hidden, 1), nn.ReLU(), nn.Dropout(0.5)",
                "nn.Conv2d(hidden, num_classes, 1), nn.Flatten()",
            ).replace("nn.Flatten(), nn.Conv2d", "nn.Conv2d"),
            r"should be linear layers",
        ),
        (
            "a list",
            "def vgg(blocks, widths, in_channels, num_classes, image_size, hidden):\n"
            "    return [vgg_block(in_channels, widths[0], blocks[0])]\n",
            r"a torch module is expected",
        ),
        (
            "no defaults",
            network()
            .replace("widths=(64, 128, 256, 512, 512)", "widths")
            .replace("in_channels=3, num_classes=1000", "in_channels, num_classes")
            .replace("image_size=224, hidden=4096", "image_size, hidden"),
            r"vgg\(blocks\) alone.*would get no value",
        ),
        (
            "other defaults",
            network().replace("num_classes=1000", "num_classes=10"),
            r"defaults of the stub.*Yours has 128,",
        ),
        (
            "one finished network",
            network() + 'vgg = vgg(("3",), (4,), 1, 10, 8, 5)\n',
            r"already built|has 1 convolution; 3 are right",
        ),
        (
            "a float",
            network(size="image_size / 2 ** len(blocks)"),
            r"^A size or place has to be a whole number",
        ),
        (
            "always five blocks",
            network().replace("zip(blocks, widths)", "[(blocks[i], widths[i]) for i in range(5)]"),
            r"number of blocks is not fixed",
        ),
        (
            "number of kernels",
            network(block="vgg_block(in_channels, width, len(digits))"),
            r"takes the kernel sizes as a text",
        ),
        ("no kernels", network(block="vgg_block(in_channels, width)"), r"are not handed on"),
        (
            "own widths",
            network().replace("zip(blocks, widths)", "zip(blocks, [64, 128, 256, 512, 512])"),
            r"^`widths` is not used",
        ),
        (
            "512 channels",
            classifier("nn.Linear(512 * size**2, hidden)", RELU, DROP, SECOND, RELU, DROP, LAST),
            r"does not always have 512 channels",
        ),
        ("rounded up", network(size="-(-image_size // 2 ** len(blocks))"), r"rounds the size down"),
        (
            "2 times n",
            network(size="image_size // (2 * len(blocks))"),
            r"5 blocks halve the size 5 times",
        ),
        (
            "pooled to 7x7",
            network(size="7", before="nn.AdaptiveAvgPool2d(7), nn.Flatten()"),
            r"The maps are pooled to 7×7",
        ),
        (
            "one more pooling",
            network(
                size="image_size // 2 ** len(blocks) // 2", before="nn.MaxPool2d(2), nn.Flatten()"
            ),
            r"one more pooling after the blocks",
        ),
        (
            "softmax and no dropout",
            classifier(HIDDEN, RELU, SECOND, RELU, LAST, "nn.Softmax(1)"),
            r"no dropout.*softmax|softmax.*no dropout|`Softmax` is there",
        ),
        (
            "one layer twice",
            network(
                before="nn.Flatten()",
                classifier=f"{HIDDEN}, nn.ReLU(), nn.Dropout(), *2 * [{SECOND}, nn.ReLU()], {LAST}",
            ),
            r"share its weights|both share their weights",
        ),
        (
            "a plain list",
            NETWORK_CLASS.replace("nn.ModuleList(", "list("),
            r"`self.blocks` is a plain list",
        ),
        (
            "other names",
            network().replace("num_classes", "classes"),
            r"the task's name `num_classes` is not among",
        ),
        (
            "another dropout",
            classifier(HIDDEN, RELU, "nn.AlphaDropout()", SECOND, RELU, "nn.AlphaDropout()", LAST),
            r"should be a Dropout, not an AlphaDropout",
        ),
        (
            "blocks reversed",
            network().replace("zip(blocks, widths)", "zip(blocks[::-1], widths)"),
            r"^`blocks` is in reverse order",
        ),
        (
            "first block missing",
            network(size="12 // 4").replace("zip(blocks, widths)", "zip(blocks[1:], widths[1:])"),
            r"^The first block is missing",
        ),
        (
            "rounded once",
            classifier(
                *("nn.Linear(in_channels * (image_size**2 // 4 ** len(blocks)), hidden)", RELU),
                *(DROP, SECOND, RELU, DROP, LAST),
            ),
            r"^Every block rounds the size down, before it is squared",
        ),
        (
            "another size",
            network(size="(image_size - 2) // 2 ** len(blocks)"),
            r"^Your layer is made for maps of 2×2; they are 3×3",
        ),
        (
            "widths added up",
            classifier(
                *("nn.Linear(sum(widths) * size**2, hidden)", RELU, DROP, SECOND, RELU, DROP),
                LAST,
            ),
            r"not added up",
        ),
        (
            "three layers twice",
            classifier(f"*2 * [{HIDDEN}, nn.ReLU(), nn.Dropout()]", LAST),
            r"^The same layer, Linear\(45→11\), is at 2 places",
        ),
        (
            "the classes too early",
            classifier(
                *(HIDDEN, RELU, DROP, "nn.Linear(hidden, num_classes)", RELU, DROP),
                "nn.Linear(num_classes, num_classes)",
            ),
            r"should give 11 values \(the argument `hidden`\), not 4",
        ),
        (
            "flattened with the channels last",
            NETWORK_CLASS.replace("x.flatten(1)", "x.permute(0, 2, 3, 1).flatten(1)"),
            r"flattened in another order",
        ),
    ],
    "vgg.5": [
        (
            "one pooling at the end",
            repaired(outer="pass").replace("nn.Flatten()", "nn.AdaptiveMaxPool2d(2), nn.Flatten()"),
            r"one at the end of each.*does not take their place",
        ),
        (
            "stride 2, no pooling",
            repaired(
                "step = 1 + (_ == num_convs - 1); channels = width; "
                "parts += [nn.LazyConv2d(width, 3, step, 1), nn.ReLU()]",
                "pass",
            ),
            r"4 of the 6 convolutions have stride 2",
        ),
        (
            "vgg of vgg.4",
            """
def repaired_vgg(num_classes=10):
    blocks, widths = ("3", "3", "33", "33"), (8, 16, 24, 32)
    return vgg(blocks, widths, 1, num_classes, image_size=32, hidden=64)
""",
            r"3 linear layers now.*a dropout",
        ),
        (
            "only the channels",
            repaired(
                "parts.append(nn.Conv2d(channels, width, 3)); parts.append(nn.MaxPool2d(2)); "
                "channels = width",
                "parts.append(nn.ReLU())",
            ),
            r"6 of the 6 convolutions have no padding.*here there are 6",
        ),
        (
            "padding still missing",
            repaired("parts += [nn.Conv2d(channels, width, 3), nn.ReLU()]; channels = width"),
            r"have no padding",
        ),
        (
            "pooling still inside",
            repaired(
                "parts += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)];"
                " channels = width",
                "pass",
            ),
            r"Four blocks have four poolings.*here there are 6",
        ),
        (
            "ReLU still outside",
            repaired(
                "parts.append(nn.Conv2d(channels, width, 3, padding=1)); channels = width",
                "parts += [nn.ReLU(), nn.MaxPool2d(2)]",
            ),
            r"comes once for each block, after its convolutions",
        ),
        (
            "ReLU still outside, after the pooling",
            repaired(
                "parts.append(nn.Conv2d(channels, width, 3, padding=1)); channels = width",
                "parts += [nn.MaxPool2d(2), nn.ReLU()]",
            ),
            r"comes once for each block, after its convolutions",
        ),
        (
            "ReLU gone",
            repaired("parts.append(nn.Conv2d(channels, width, 3, padding=1)); channels = width"),
            r"no ReLU between the convolutions",
        ),
        (
            "channels too late",
            repaired(
                "parts += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]",
                "parts.append(nn.MaxPool2d(2)); channels = width",
            ),
            r"Convolution 4 takes 16 channels but gets 24",
        ),
        (
            "classifier made to fit",
            repaired(
                "parts += [nn.Conv2d(channels, width, 3), nn.ReLU()]; channels = width",
                "parts.append(nn.MaxPool2d(2)) if width < 32 else None",
                "nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, num_classes)",
            ),
            r"have no padding",
        ),
        (
            "one convolution a block",
            repaired(table="((1, 8), (1, 16), (1, 24), (1, 32))"),
            r"has 4 convolutions",
        ),
        (
            "average pooling",
            repaired(outer="parts.append(nn.AvgPool2d(2))"),
            r"takes the average now",
        ),
        (
            "batch norm",
            repaired(
                "parts += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), "
                "nn.ReLU()]; channels = width"
            ),
            r"batch norm",
        ),
        (
            "padding 2",
            repaired(
                "parts += [nn.Conv2d(channels, width, 3, padding=2), nn.ReLU()]; channels = width"
            ),
            r"^6 of the 6 convolutions have padding 2.*1 to keep the size. It consists of",
        ),
        (
            "pooling that moves by one",
            repaired(outer="parts.append(nn.MaxPool2d(2, 1))"),
            r"moves by one position only",
        ),
        (
            "dropout",
            repaired(end="nn.Linear(128, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, num_classes)"),
            r"There is a dropout now",
        ),
        (
            "last width",
            repaired(table="((1, 8), (1, 16), (2, 24), (2, 64))"),
            r"Convolution 5 gives 64 channels; the table says 32",
        ),
        (
            "classifier for other maps",
            repaired(end="nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, num_classes)"),
            r"repaired_vgg\(\) \(given a tensor of shape \(2, 1, 32, 32\)\) raised",
        ),
        (
            "softmax",
            repaired(
                end="nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, num_classes), nn.Softmax(1)"
            ),
            r"softmax at the end",
        ),
        (
            "ten classes only",
            repaired(end="nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)"),
            r"num_classes=7",
        ),
        (
            "one finished network",
            repaired() + "repaired_vgg = repaired_vgg()\n",
            r"stay a function",
        ),
        (
            "1x1",
            repaired("parts += [nn.Conv2d(channels, width, 1), nn.ReLU()]; channels = width"),
            r"^6 of the 6 convolutions are 1×1 now; 3×3 was right\. (?!.*padding and)",
        ),
        (
            "5x5",
            repaired("parts += [nn.Conv2d(channels, width, 5, 1, 2), nn.ReLU()]; channels = width"),
            r"^6 of the 6 convolutions are 5×5 now; 3×3 was right\. (?!.*grow)",
        ),
        (
            "channels too early",
            repaired("channels = width; parts += [nn.Conv2d(channels, width, 3, 1, 1), nn.ReLU()]"),
            r"takes 8 channels but gets 1\. `channels = width` comes too early",
        ),
        (
            "images of three channels",
            repaired().replace("parts, channels = [], 1", "parts, channels = [], 3"),
            r"The images have one channel",
        ),
        (
            "ReLU first",
            repaired("parts += [nn.ReLU(), nn.Conv2d(channels, width, 3, 1, 1)]; channels = width"),
            r"Each ReLU is before its convolution",
        ),
        (
            "pooling first",
            repaired(outer="pass").replace(
                "        for _", "        parts.append(nn.MaxPool2d(2))\n        for _"
            ),
            r"The pooling comes first in each block",
        ),
        ("not flattened", repaired().replace("nn.Flatten(), ", ""), r"flattened into one vector"),
        (
            "averaged",
            repaired(end="nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, num_classes)").replace(
                "nn.Flatten()", "nn.AdaptiveAvgPool2d(1), nn.Flatten()"
            ),
            r"There is a global pooling now",
        ),
        (
            "one layer twice",
            repaired(
                "conv = nn.Conv2d(channels, width, 3, padding=1); channels = width; "
                "parts += [conv, nn.ReLU()] if len(parts) < 9 else [conv, conv, nn.ReLU()]"
            ),
            r"they share its weights",
        ),
    ],
    "vgg.6": [
        (
            "the middle weight alone",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    middle = torch.einsum("om,mcxy->ocxy", second[:, :, r // 2, r // 2], first)
    b = (r - 1) // 2
    return F.pad(middle, (b, r - 1 - b, b, r - 1 - b))
""",
            r"Nothing of `second` counts in your result but second\[:, :, 1, 1\]\.",
        ),
        (
            "one loop for rows and columns",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + r - 1, k + r - 1)
    for i in range(r):
        there = merged[:, :, i : i + k, i : i + k]
        there += torch.einsum("om,mcxy->ocxy", second[:, :, i, i], first)
    return merged
""",
            r"but second\[:, :, 0, 0\], second\[:, :, 1, 1\], second\[:, :, 2, 2\]\.",
        ),
        (
            "no shifts",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + r - 1, k + r - 1)
    merged[:, :, :k, :k] = torch.einsum("om,mcxy->ocxy", second.sum((2, 3)), first)
    return merged
""",
            r"all copies lie at the same place, \[0, 0\]",
        ),
        (
            "an FFT one too small",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    n = k + r - 2
    a, b = torch.fft.rfft2(first, s=(n, n)), torch.fft.rfft2(second, s=(n, n))
    found = torch.fft.irfft2(torch.einsum("omxy,mcxy->ocxy", b, a), s=(n, n))
    return F.pad(found, (0, 1, 0, 1))
""",
            r"goes around the border",
        ),
        (
            "interpolated",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    large = F.interpolate(first, size=(k + r - 1, k + r - 1), mode="bilinear")
    return torch.einsum("om,mcxy->ocxy", second.mean((2, 3)), large)
""",
            r"single 1 should give a shifted copy",
        ),
        (
            "the diagonal alone",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + r - 1, k + r - 1)
    for i in range(r):
        product = torch.einsum("om,mcxy->ocxy", second[:, :, i, i], first)
        merged[:, :, i : i + k, i : i + k] += product
    return merged
""",
            r"^Nothing of `second` counts in your result but .*second\[:, :, 2, 2\]",
        ),
        (
            "axes of the second",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + r - 1, k + r - 1)
    for i in range(r):
        for j in range(r):
            product = torch.einsum("mo,mcxy->ocxy", second[:, :, i, j], first)
            merged[:, :, i : i + k, j : j + k] += product
    return merged
""",
            r"write.*'om,mcxy->ocxy'",
        ),
        (
            "matrices over height and width",
            merged("(second[:, :, None] @ first[None]).sum(1)"),
            r"^The kernels are multiplied as matrices",
        ),
        (
            "a layer",
            f"""
def merge(first, second):
    layer = nn.Conv2d(1, 1, 1, bias=False)
    layer.weight = nn.Parameter({FULL})
    return layer
""",
            r"weight alone is asked for",
        ),
        (
            "not shifted by (i, j) but against it",
            merged(FULL.replace(".flip(2, 3)", "")),
            r"One of the two kernels is turned around",
        ),
        ("turned around", merged(f"{FULL}.flip(2, 3)"), r"result is turned around"),
        ("axes swapped", merged(f"{FULL}.transpose(2, 3)"), r"Height and width"),
        (
            "channels swapped",
            merged(FULL.removesuffix(".transpose(0, 1)")),
            r"Input and output channels have changed places",
        ),
        (
            "too small",
            merged(FULL.replace("shape[-1] - 1", "shape[-1] // 2")),
            r"write.*second\.shape\[-1\] - 1",
        ),
        (
            "channels by themselves",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + r - 1, k + r - 1)
    for i in range(r):
        for j in range(r):
            merged[:, :, i : i + k, j : j + k] += (
                second[:, :, i, j].sum(1)[:, None, None, None] * first.sum(0)
            )
    return merged
""",
            r"write.*torch\.einsum\('om,mcxy->ocxy', second\[:, :, i, j\], first\)",
        ),
        ("mean over channels", merged(f"{FULL} / first.shape[0]"), r"averaged"),
        ("added", merged("first + second"), r"raised RuntimeError|\(O, C, k \+ r - 1"),
        (
            "without shifts",
            """
def merge(first, second):
    return torch.einsum("omij,mcxy->ocxy", second, first)
""",
            r"should have the shape \(O, C, k \+ r - 1, k \+ r - 1\)",
        ),
        (
            "a product at the same place",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + r - 1, k + r - 1)
    for i in range(r):
        for j in range(r):
            merged[:, :, :k, :k] += torch.einsum("om,mcxy->ocxy", second[:, :, i, j], first)
    return merged
""",
            r"write.*merged\[:, :, i:i \+ k, j:j \+ k\]",
        ),
        (
            "copies replaced",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + r - 1, k + r - 1)
    for i in range(r):
        for j in range(r):
            copy = torch.einsum("om,mcxy->ocxy", second[:, :, i, j], first)
            merged[:, :, i : i + k, j : j + k] = copy
    return merged
""",
            r"write.*merged\[:, :, i:i \+ k, j:j \+ k\] \+= copy",
        ),
        (
            "rows and columns swapped",
            """
def merge(first, second):
    k, r = first.shape[-1], second.shape[-1]
    merged = torch.zeros(second.shape[0], first.shape[1], k + r - 1, k + r - 1)
    for i in range(r):
        for j in range(r):
            copy = torch.einsum("om,mcxy->ocxy", second[:, :, i, j], first)
            merged[:, :, j : j + k, i : i + k] += copy
    return merged
""",
            r"write.*merged\[:, :, i:i \+ k, j:j \+ k\]",
        ),
        (
            "arguments swapped",
            merged(
                "F.conv2d(second.transpose(0, 1), first.flip(2, 3), padding=first.shape[-1] - 1)"
                ".transpose(0, 1)"
            ),
            r"raised RuntimeError|Input and output",
        ),
        ("nothing", merged("None").replace("return None", "F.relu(first)"), r"`return` missing"),
        ("5x5 only", merged("torch.zeros(second.shape[0], first.shape[1], 5, 5)"), r"wrong values"),
        ("no padding", merged(FULL.replace(", padding=second.shape[-1] - 1", "")), r"no padding"),
        (
            "padding of the other",
            merged(FULL.replace("padding=second", "padding=first")),
            r"The padding is r - 1",
        ),
        ("quarter turn", merged(FULL.replace(".flip(2, 3)", ".rot90(1, (2, 3))")), r"degrees"),
        (
            "one channel between",
            merged("F.conv_transpose2d(second[:, :1], first[:1])"),
            r"write.*F\.conv_transpose2d\(second, first\)",
        ),
        (
            "sums of the kernel",
            merged(
                'F.pad(torch.einsum("om,mcxy->ocxy", second.sum((2, 3)), first), '
                "4 * [second.shape[-1] // 2])"
            ),
            r"are added up before anything is shifted",
        ),
        (
            "side by side",
            merged(
                'torch.einsum("omij,mckl->ocikjl", second, first).reshape(second.shape[0], '
                "first.shape[1], second.shape[-1] * first.shape[-1], -1)"
            ),
            r"lie side by side",
        ),
        (
            "channels",
            merged("F.conv_transpose2d(second, first).transpose(0, 1)[:4]"),
            r"channels|O and C",
        ),
        ("FFT", FOURIER.format(size="", other="", end=".real"), r"as small as `first`"),
        (
            "conjugate",
            FOURIER.format(size=", (n, n)", other=".conj()", end=".real"),
            r"write.*torch\.fft\.fft2\(second, \(n, n\)\)",
        ),
        ("complex", FOURIER.format(size=", (n, n)", other="", end=""), r"take `.real`"),
    ],
    "vgg.7": [
        (
            "D is built as C",
            experiment()
            .replace(
                'for name in "ABDE"', 'for name, blocks in zip("ABDE", CONFIGURATIONS.values())'
            )
            .replace("CONFIGURATIONS[name]", "blocks"),
            r"number for D is that of configuration C",
        ),
        ("standard error", experiment("logits.std(0).mean().item() / 8"), r"standard error"),
        (
            "images from 0 to 1",
            experiment(given="data.load(image_size=32).denormalize(images).double()"),
            r"values from 0 to 1",
        ),
        ("over the classes", experiment("logits.std(dim=1).mean().item()"), r"over the classes"),
        ("over everything", experiment("logits.std().item()"), r"images and classes together"),
        ("variance", experiment("logits.var(dim=0).mean().item()"), r"This is the variance"),
        ("sum", experiment("logits.std(dim=0).sum().item()"), r"sum over the ten classes"),
        ("largest", experiment("logits.std(dim=0).max().item()"), r"largest of the ten"),
        ("mean", experiment("logits.mean().item()"), r"mean of the logits"),
        ("ten numbers", experiment("logits.std(dim=0)"), r"their mean is asked for"),
        (
            "He",
            experiment(options='batch_norm=False, dropout=0.0, initialisation="he"'),
            r'initialisation="he"',
        ),
        ("batch norm", experiment(options="dropout=0.0"), r"have batch norm"),
        ("batch norm and dropout", experiment(options=""), r"have batch norm"),
        (
            "batch norm in eval mode",
            experiment(options="dropout=0.0", mode="eval().double()"),
            r"have batch norm.*In eval mode",
        ),
        (
            "one seed",
            experiment(seed="pass", before="torch.manual_seed(0)"),
            r"seed was set once",
        ),
        (
            "another seed",
            experiment(seed="torch.manual_seed(1)"),
            r"The seed is 1; 0 is asked for",
        ),
        ("other images", experiment(given="images[:8].double()"), r"first 8 images only"),
        ("not a number", "spread = dict.fromkeys('ABDE', float('nan'))", r"is a finite number"),
        ("float32", experiment(mode="train()", given="images"), r"(F|f)loat32"),
        ("dropout on", experiment(options="batch_norm=False"), r"Is dropout=0.0 given"),
        (
            "softmax",
            experiment("logits.softmax(1).std(dim=0).mean().item()"),
            r"probabilities, after a softmax",
        ),
        ("one class", experiment("logits.std(dim=0)[3].item()"), r"class 3 alone"),
        ("logarithm", experiment("logits.std(dim=0).mean().log10()"), r"logarithm \(base 10\)"),
        ("a list", "spread = [1e-5, 1e-6, 1e-7, 1e-8]", r"A dictionary with the keys"),
        ("no E", experiment().replace('"ABDE"', '"ABD"'), r'"E" is missing'),
        ("None", "spread = {'A': None, 'B': 1, 'D': 1, 'E': 1}", r"For A a number is expected"),
        ("zeros", "spread = {'A': 0, 'B': 0, 'D': 0, 'E': 0}", r"small but not zero"),
        (
            "rounded",
            experiment("round(logits.std(dim=0).mean().item(), 6)"),
            r"small but not zero",
        ),
        ("negative", experiment("-logits.std(dim=0).mean()"), r"never negative"),
        ("the last network's", experiment() + "spread = dict.fromkeys('ABDE', 1e-5)", r"are equal"),
        (
            "reversed",
            experiment() + "spread = dict(zip('ABDE', reversed(list(spread.values()))))",
            r"reverse order",
        ),
        ("a text", experiment("f'{logits.std(dim=0).mean():.2e}'"), r"For A there is the text"),
        ("half of the images", experiment(given="images[:32].double()"), r"first 32 images only"),
        ("median", experiment("logits.std(dim=0).median()"), r"median of the ten classes"),
        ("range", experiment("(logits.amax(0) - logits.amin(0)).mean()"), r"This is the range"),
        ("mean size", experiment("logits.abs().mean()"), r"mean size of the logits"),
        ("percent", experiment("100 * logits.std(dim=0).mean()"), r"Every number is 100 times"),
        (
            "divided by the mean",
            experiment("(logits.std(dim=0) / logits.mean(dim=0).abs()).mean()"),
            r"divided by the mean",
        ),
        (
            "relative",
            experiment() + "spread = {name: s / spread['A'] for name, s in spread.items()}",
            r"shares of A's spread",
        ),
        (
            "factors",
            experiment() + "spread = {name: spread['A'] / s for name, s in spread.items()}",
            r"by which A's spread is larger",
        ),
        (
            "two swapped",
            experiment() + "spread['A'], spread['E'] = spread['E'], spread['A']",
            r"numbers of A and E have changed places",
        ),
        (
            "built in double precision",
            experiment(
                seed="torch.manual_seed(0); torch.set_default_dtype(torch.float64)",
                mode="train()",
            )
            + "torch.set_default_dtype(torch.float32)\n",
            r"built in double precision",
        ),
        (
            "no seed",
            experiment(seed="torch.manual_seed(77)"),
            r"The size is right, but other weights",
        ),
        (
            "seed after the build",
            experiment(seed="pass", before="torch.manual_seed(5)").replace(
                "    with", "    torch.manual_seed(0)\n    with"
            ),
            r"Is the seed set after the build",
        ),
        (
            "one seed, over everything",
            experiment("logits.std()", seed="pass", before="torch.manual_seed(0)"),
            r"seed was set once.*images and classes together",
        ),
    ],
}

right_answers = {
    "vgg.1": [
        ("numbers", counts()),
        (
            "counted by torch",
            """
def count(k):
    return sum(p.numel() for p in nn.Conv2d(128, 128, k).parameters())
stack = {
    "macs_saved": torch.tensor((count(7) - 128 - 3 * (count(3) - 128)) * 56**2),
    "three_3x3": 3 * count(3),
    "one_7x7": float(count(7)),
}
""",
        ),
    ],
    "vgg.2": [
        (
            "one ReLU for all",
            "relu = nn.ReLU()\n" + block().replace("nn.ReLU()]", "relu]"),
        ),
        ("a loop", block()),
        (
            "as a class",
            """
class vgg_block(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_sizes="33"):
        super().__init__()
        channels = [in_channels] + [out_channels] * len(kernel_sizes)
        self.pool = nn.MaxPool2d(2)
        self.convs = nn.ModuleList(
            nn.Conv2d(i, out_channels, int(k), padding="same")
            for i, k in zip(channels, kernel_sizes)
        )

    def forward(self, x):
        for conv in self.convs:
            x = conv(x).relu()
        return self.pool(x)
""",
        ),
        (
            "pooling before the last ReLU, which is the same",
            block(end="parts.pop(); parts += [nn.MaxPool2d(2), nn.ReLU(inplace=True)]"),
        ),
        (
            "lazy",
            """
def vgg_block(in_channels, out_channels, kernel_sizes="33"):
    parts = []
    for k in kernel_sizes:
        parts += [nn.LazyConv2d(out_channels, int(k), padding=int(k) // 2), nn.ReLU()]
    return nn.Sequential(*parts, nn.MaxPool2d(2))
""",
        ),
    ],
    "vgg.3": [
        ("the formula", field("field += (k - 1) * distance; distance *= s")),
        (
            "from the top down",
            "def field_of_stack(layers):\n"
            "    size = 1\n"
            "    for k, s in reversed(layers):\n"
            "        size = (size - 1) * s + k\n"
            "    return size\n",
        ),
        (
            "measured by gradient",
            """
def field_of_stack(layers):
    size = 400
    x = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
    y = x
    for k, s in layers:
        y = F.conv1d(y, torch.ones(1, 1, k, dtype=torch.float64), stride=s)
    y[0, 0, 0].backward()
    return int((x.grad != 0).sum())
""",
        ),
    ],
    "vgg.4": [
        ("a loop", network()),
        (
            "the size halved block by block, a pooling that changes nothing",
            """
def vgg(blocks, widths=(64, 128, 256, 512, 512), in_channels=3, num_classes=1000,
        image_size=224, hidden=4096):
    net, size = nn.Sequential(), image_size
    for i, block in enumerate(blocks):
        net.append(vgg_block(([in_channels] + list(widths))[i], widths[i], block))
        size //= 2
    sizes = [widths[-1] * size**2, hidden, hidden]
    net.append(nn.AdaptiveAvgPool2d(size))
    net.append(nn.Flatten())
    for a, b in zip(sizes, sizes[1:]):
        net.extend([nn.Linear(a, b), nn.ReLU(), nn.Dropout()])
    return net.append(nn.Linear(hidden, num_classes))
""",
        ),
        (
            "arguments in another order, given by their names",
            network().replace("in_channels=3, num_classes=1000", "num_classes=1000, in_channels=3"),
        ),
        (
            "a class with a lazy layer, dropout before the ReLU, which is the same",
            NETWORK_CLASS,
        ),
    ],
    "vgg.5": [
        (
            "blocks of vgg.2",
            """
def repaired_vgg(num_classes=10):
    blocks = [vgg_block(1, 8, "3"), vgg_block(8, 16, "3"), vgg_block(16, 24), vgg_block(24, 32)]
    head = nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, num_classes)
    return nn.Sequential(*blocks, *head)
""",
        ),
        ("repaired", repaired()),
        (
            "with vgg_block's pattern",
            """
def repaired_vgg(num_classes=10):
    blocks, channels = [], 1
    for num_convs, width in ((1, 8), (1, 16), (2, 24), (2, 32)):
        block = nn.Sequential()
        for i in range(num_convs):
            block.append(nn.Conv2d(width if i else channels, width, 3, padding="same"))
            block.append(nn.ReLU(inplace=True))
        block.append(nn.MaxPool2d(2))
        blocks.append(block)
        channels = width
    head = nn.Sequential(nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, num_classes))
    return nn.Sequential(*blocks, head)
""",
        ),
    ],
    "vgg.6": [
        ("a parameter", merged(f"nn.Parameter({FULL})")),
        ("one convolution", merged(FULL)),
        ("a transposed convolution", merged("F.conv_transpose2d(second, first)")),
        (
            "in double precision",
            merged("F.conv_transpose2d(second.double(), first.double())"),
        ),
        (
            "what the layers do to single pixels",
            """
def merge(first, second):
    c, size = first.shape[1], first.shape[-1] + second.shape[-1] - 1
    images = torch.zeros(c, c, 2 * size - 1, 2 * size - 1)
    for channel in range(c):
        images[channel, channel, size - 1, size - 1] = 1
    maps = F.conv2d(F.conv2d(images, first), second)
    return maps.flip(2, 3).transpose(0, 1)
""",
        ),
    ],
    "vgg.7": [
        (
            "tensors with a history",
            experiment("logits.std(dim=0).mean()").replace(
                "with torch.no_grad()", "with torch.enable_grad()"
            ),
        ),
        ("the loop", experiment()),
        (
            "tensors, gradients on, divisor n",
            experiment("logits.detach().std(0, correction=0).mean()").replace(
                "with torch.no_grad()", "with torch.enable_grad()"
            ),
        ),
        ("eval mode, where nothing differs", experiment(mode="eval().double()")),
        ("two digits, as printed", experiment("float(f'{logits.std(dim=0).mean():.1e}')")),
        (
            "double before eval, another order",
            """
spread = {}
for name in "EDBA":
    torch.manual_seed(0)
    net = networks.build("vgg_small", blocks=CONFIGURATIONS[name], batch_norm=False).double()
    net.train(False)
    spread[name] = float(net(images.double()).detach().std(axis=0).mean())
""",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "vgg.2": [
        (
            "The ReLU has no channels; a pooling's stride is its kernel size unless it is given.",
            "`parts.append(nn.ReLU())` and `in_channels = out_channels` exchanged",
            "without `stride=2`",
        ),
    ],
    "vgg.3": [
        (
            "Both names get the same 1.",
            "`field` and `distance` exchanged",
        ),
    ],
    "vgg.4": [
        (
            "There are as many widths as blocks; 0.5 is the default of nn.Dropout; 225 // 2"
            " is 224 // 2.",
            "`224` becomes `225`",
            "without `strict=True`",
            "`True` becomes `False`",
            "`blocks` becomes `widths` in `size = image_size // … (blocks)`",
            "without `0.5` in `return nn.Sequential … lasses))`",
            "without `0.5` in `return nn.Sequential … lasses))` #2",
        ),
        (
            "Dropout leaves a value, doubles it or makes it zero; so it may be before a "
            "ReLU or behind it.",
            "`nn.ReLU()` and `nn.Dropout(0.5)` exchanged in `return nn.Sequential … lasses))`",
            "`nn.ReLU()` and `nn.Dropout(0.5)` exchanged in `return nn.Sequential … lasses))` #2",
        ),
    ],
    "vgg.5": [
        (
            "The ReLU has no channels.",
            "`parts.append(nn.ReLU())` and `channels = width` exchanged",
        ),
    ],
    "vgg.6": [
        (
            "Kernels are square: the last two sizes are equal.",
            "`1` becomes `2` in `k, r = (first.shape[ … ape[-1])`",
            "`1` becomes `2` in `k, r = (first.shape[ … ape[-1])` #2",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------

probe_arguments = {  # how a network is built, and the shape of its input
    "vgg.2": (((2, 3, "131"), (2, 2, 7, 9)), ((1, 4), (2, 1, 6, 6))),
    "vgg.4": (((("3", "31", "1"), (3, 5, 4), 2, 4, 17, 30), (2, 2, 17, 17)),),
    "vgg.5": (((7,), (2, 1, 32, 32)),),
}


def probe_vgg_3(field_of_stack):
    return [field_of_stack(layers) for layers in ([], [(2, 2), (5, 1), (7, 3), (4, 1)])]


def probe_vgg_4(vgg):
    """The network that the defaults give, without its memory."""
    with torch.device("meta"):
        network = vgg(("1", "1", "1", "1", "1"))
    return {name: tuple(values.shape) for name, values in network.state_dict().items()}


def probe_vgg_6(merge):
    return merge(torch.randn(3, 2, 7, 7), torch.randn(4, 3, 2, 2))
