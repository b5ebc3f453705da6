"""Answers to the exercises of chapter 09."""

import torch
from torch import nn

STANDARD, DEEP, POINT, WEIGHTS = 231_211_008, 451_584, 25_690_112, 133_376


def counts(standard=STANDARD, depthwise=DEEP, pointwise=POINT, weights=WEIGHTS):
    return (
        f'counts = {{"standard": {standard}, "depthwise": {depthwise}, '
        f'"pointwise": {pointwise}, "weights": {weights}}}'
    )


DEPTHWISE = (
    "nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False)"
)
SIXTH = "nn.Conv2d(in_channels, in_channels, 3, stride, 1, in_channels, bias=False)"
POINTWISE = "nn.Conv2d(in_channels, out_channels, 1, bias=False)"
FIRST, LAST = "nn.BatchNorm2d(in_channels)", "nn.BatchNorm2d(out_channels)"
RELU = "nn.ReLU()"


def separable(*layers, head="def separable(in_channels, out_channels, stride=1):"):
    """Source of a block of v1 made of these layers."""
    lines = "".join(f"        {layer},\n" for layer in layers)
    return f"{head}\n    return nn.Sequential(\n{lines}    )\n"


def v1(**changes):
    """The block of v1 with some of its six layers replaced, or left out (None)."""
    layers = dict(a=DEPTHWISE, b=FIRST, c=RELU, d=POINTWISE, e=LAST, f=RELU) | changes
    return separable(*[layer for layer in layers.values() if layer])


def shrunk(result, filters="self.filters(x)"):
    """A block of v1 whose convolutions have stride 1, and which shrinks y in another way."""
    return f"""
class separable(nn.Module):
    def __init__(self, i, o, stride=1):
        super().__init__()
        self.stride, self.filters = stride, nn.Conv2d(i, i, 3, 1, 1, groups=i, bias=False)
        self.mix = nn.Conv2d(i, o, 1, bias=False)
        self.one, self.two = nn.BatchNorm2d(i), nn.BatchNorm2d(o)

    def forward(self, x):
        y = self.two(self.mix(self.one({filters}).relu())).relu()
        return {result} if self.stride == 2 else y
"""


def normed(mode):
    """A block of v1 that calls `F.batch_norm` with this mode."""
    return f"""
class separable(nn.Module):
    def __init__(self, i, o, stride=1):
        super().__init__()
        self.filters = nn.Conv2d(i, i, 3, stride, 1, groups=i, bias=False)
        self.mix = nn.Conv2d(i, o, 1, bias=False)
        self.one, self.two = nn.BatchNorm2d(i), nn.BatchNorm2d(o)

    def norm(self, x, n):
        mean, var = n.running_mean, n.running_var
        return F.batch_norm(x, mean, var, n.weight, n.bias, {mode}).relu()

    def forward(self, x):
        return self.norm(self.mix(self.norm(self.filters(x), self.one)), self.two)
"""


def recount(one=94.857, deep=3.058, full=1.906, linear=0.18, misprint='"full"'):
    return (
        f'recount = {{"1x1": {one}, "depthwise": {deep}, "full": {full}, "linear": {linear}, '
        f'"misprint": {misprint}}}'
    )


def inverted(**changes):
    """Source of a block of v2 with these lines."""
    get = changes.get
    return f"""
class InvertedResidual(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        wide = {get("wide", "in_channels * expansion")}
        parts = []
        if {get("condition", "expansion != 1")}:
            parts += [
                nn.Conv2d(in_channels, wide, 1, {get("expand", "")} bias={get("bias", False)}),
                {get("norm1", "nn.BatchNorm2d(wide),")}
                {get("act1", "nn.ReLU6(),")}
            ]
        parts += [
            nn.Conv2d(wide, wide, 3, {get("deep", "stride, padding=1, groups=wide,")}
                      bias={get("bias", False)}),
            {get("norm2", "nn.BatchNorm2d(wide),")}
            {get("act2", "nn.ReLU6(),")}
            nn.Conv2d(wide, out_channels, 1, {get("project", "")} bias={get("bias", False)}),
            {get("norm3", "nn.BatchNorm2d(out_channels),")}
            {get("act3", "")}
        ]
        self.branch = nn.Sequential(*parts)
        self.skip = {get("skip", "stride == 1 and in_channels == out_channels")}

    def forward(self, maps):
        {get("forward", "return maps + self.branch(maps) if self.skip else self.branch(maps)")}
"""


ELSE_INPUT = "return maps + self.branch(maps) if self.skip else maps"
SMALLER = """y = self.branch(maps)
        if not self.skip and maps.shape[1] == y.shape[1]:
            maps = {}
        return maps + y if maps.shape == y.shape else y"""
TWICE = "maps + self.branch(self.branch(maps))"
CLAMPED = """

class Clamped(nn.Module):
    def forward(self, maps):
        return maps.relu().clamp({})
"""
LAST_LAYERS = "nn.Conv2d(channels, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU6()"


def repaired(**changes):
    """Source of mobilenet.5 with these lines."""
    get = changes.get
    return f"""
def repaired_features(in_channels=1):
    parts = [
        nn.Conv2d({get("given", "in_channels")}, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
    ]
    channels = 16
    for expansion, out_channels, repeats, stride in ((1, 8, 1, 1), (4, 12, 2, 2), (4, 16, 3, 2)):
        for number in range({get("repeats", "repeats")}):
            first = {get("first", "stride if number == 0 else 1")}
            parts.append(InvertedResidual(channels, out_channels, first, expansion))
            {get("after", "pass")}
            {get("inner", "channels = out_channels")}
        {get("outer", "pass")}
    parts += [{get("last", LAST_LAYERS)}]
    return {get("result", "nn.Sequential(*parts)")}
"""


AT_END = {"bias": "None", "result": "total + project.bias[:, None, None]"}


def sliced(more=(), **changes):
    """Source of mobilenet.6 with these lines."""
    get = (dict(more) | changes).get
    return f"""
def in_slices(maps, expand, depthwise, project, slices):
    size = expand.out_channels // slices
    total = {get("start", "0")}
    {get("before", "pass")}
    for start in range(0, expand.out_channels, size):
        part = slice(start, start + size)
        wide = F.conv2d(maps, expand.weight[part], {get("bias1", "expand.bias[part]")})
        wide = {get("act1", "F.relu6(wide)")}
        wide = F.conv2d(
            wide, depthwise.weight[part], depthwise.bias[part],
            {get("stride", "stride=depthwise.stride, padding=depthwise.padding,")}
            groups={get("groups", "size")},
        )
        wide = {get("act2", "F.relu6(wide)")}
        bias = {get("bias", "project.bias if start == 0 else None")}
        thin = F.conv2d(wide, {get("weight", "project.weight[:, part]")}, bias)
        {get("add", "total = total + thin")}
    return {get("result", "total")}
"""


SIGNED = {"scale": "weight.flatten(1).amax(1) / 127", "zero": "torch.where(scale > 0, scale, 1.0)"}


def quantised(more=(), **changes):
    """Source of mobilenet.7 with these lines."""
    get = (dict(more) | changes).get
    return f"""
def quantise(weight):
    {get("before", "pass")}
    scale = {get("scale", "weight.abs().flatten(1).amax(dim=1) / 127")}
    scale = {get("zero", "torch.where(scale == 0, 1.0, scale)")}
    steps = {get("steps", "weight / scale.reshape(-1, *[1] * (weight.ndim - 1))")}
    return {get("result", "steps.round().to(torch.int8), scale")}
"""


wrong_answers = {
    "mobilenet.1": [
        (
            "dw 512, in the weights too",
            counts(depthwise=2 * DEEP, weights=9 * 512 + 131_072),
            r"it does not give 512",
        ),
        ("no dictionary", "counts = (1, 2, 3, 4)", r"A dictionary with the keys"),
        ("a key missing", 'counts = {"standard": 231211008}', r'^"depthwise", .*are missing'),
        ("input positions", counts(4 * STANDARD), r'"standard": .*28 · 28 positions of the input'),
        ("weights only", counts(STANDARD // 196), r'"standard": .*number of weights'),
        ("FLOPs", counts(2 * STANDARD), r"often called FLOPs"),
        ("one side", counts(STANDARD // 14), r"14 · 14 positions, not 14"),
        ("kernel 3", counts(STANDARD // 3), r"3 · 3 places"),
        ("one channel", counts(196 * 9 * 512), r"sees all 256 channels"),
        ("one filter", counts(DEEP), r"one filter; there are 512"),
        ("no padding", counts(169 * 9 * 256 * 512), r"for 13 · 13 positions"),
        ("12 positions", counts(144 * 9 * 256 * 512), r"for 12 · 12 positions"),
        ("padded map", counts(256 * 9 * 256 * 512), r"for 16 · 16 positions"),
        ("15 positions", counts(225 * 9 * 256 * 512), r"for 15 · 15 positions"),
        ("5×5", counts(STANDARD // 9 * 25), r"not 5 · 5"),
        ("dw without 9", counts(depthwise=DEEP // 9), r"factor 9 is missing"),
        ("dw FLOPs", counts(depthwise=2 * DEEP), r"keeps its 256 channels.*count it once"),
        ("weights 512 to 512", counts(weights=9 * 256 + 512 * 512), r"1×1 layer gets 256"),
        ("weights 3×3 twice", counts(weights=9 * 256 + 9 * 131_072), r"one place, not 9"),
        ("weights without 9", counts(weights=256 + 131_072), r"has 3 · 3 places"),
        ("weights multiplied", counts(weights=9 * 256 * 131_072), r"added, not multiplied"),
        ("bytes", counts(weights=4 * WEIGHTS), r"bytes"),
        ("a ratio", counts(weights=1 / 512 + 1 / 9), r"ratio of the MACs"),
        ("other weights", counts(weights=133_379), r"weights of each of the two layers"),
        ("pair for standard", counts(DEEP + POINT), r"one ordinary layer"),
        ("in millions", counts(231.2), r'"standard": 231\.2 .*in millions'),
        ("dw as standard", counts(depthwise=STANDARD), r'"depthwise": .*sees one channel'),
        ("dw and pw swapped", counts(depthwise=POINT, pointwise=DEEP), r"value of the pointwise"),
        ("pw is dw", counts(pointwise=DEEP), r"value of the depthwise"),
        ("dw 512", counts(depthwise=2 * DEEP), r'"depthwise": '),
        ("dw at the input", counts(depthwise=4 * DEEP), r'"depthwise": .*stride is 2'),
        ("dw all channels", counts(depthwise=256 * DEEP), r"one channel, its own"),
        ("dw one channel", counts(depthwise=196 * 9), r"This is one channel"),
        ("pw 3x3", counts(pointwise=9 * POINT), r"pointwise layer is 1×1"),
        ("pw at the input", counts(pointwise=4 * POINT), r'"pointwise": .*28 · 28'),
        ("pw added", counts(pointwise=196 * 768), r"multiplied, not added"),
        ("pw both", counts(pointwise=DEEP + POINT), r"the 1×1 alone"),
        ("pw 512 to 512", counts(pointwise=2 * POINT), r'"pointwise": '),
        ("weights of pw", counts(weights=131_072), r'"weights": .*depthwise layer has some too'),
        ("weights times positions", counts(weights=DEEP + POINT), r"stored once"),
        ("weights with biases", counts(weights=WEIGHTS + 768), r"batch norm"),
        ("weights of one filter", counts(weights=9 + 131_072), r"for each of the 256 channels"),
        ("weights 512 filters", counts(weights=9 * 512 + 131_072), r"has 256 filters"),
        ("a text", counts(weights="'many'"), r'"weights": A number is expected'),
        ("None", counts(weights=None), r'"weights": A number is expected'),
    ],
    "mobilenet.2": [
        ("pooled at the end", shrunk("F.max_pool2d(y, 2, ceil_mode=True)"), r"Something else than"),
        ("every second position", shrunk("y[:, :, ::2, ::2]"), r"depthwise .* have the stride 2"),
        ("always training", normed("training=True"), r"does not know the mode"),
        ("never training", normed("training=False"), r"does not know the mode"),
        (
            "no running statistics",
            v1(b="nn.BatchNorm2d(in_channels, track_running_stats=False)"),
            r"should have track_running_stats True",
        ),
        (
            "padded right and below",
            """
def separable(in_channels, out_channels, stride=1):
    edges = (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1)
    deep = nn.Conv2d(in_channels, in_channels, 3, stride, groups=in_channels, bias=False)
    pad = nn.ZeroPad2d(edges)
    ends = [nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)]
    return nn.Sequential(pad, deep, nn.BatchNorm2d(in_channels), nn.ReLU(), *ends, nn.ReLU())
""",
            r"padding 1 on every side",
        ),
        (
            "a matrix product for the 1×1",
            """
class separable(nn.Module):
    def __init__(self, i, o, stride=1):
        super().__init__()
        self.filters, self.mix = nn.Conv2d(i, i, 3, stride, 1, groups=i, bias=False), nn.Linear(
            i, o, bias=False
        )
        self.one, self.two = nn.BatchNorm2d(i), nn.BatchNorm2d(o)

    def forward(self, x):
        x = self.one(self.filters(x)).relu()
        return self.two(self.mix(x.movedim(1, -1)).movedim(-1, 1)).relu()
""",
            r"with 1 `nn.Conv2d`; the task asks for 2",
        ),
        ("another eps", v1(b="nn.BatchNorm2d(in_channels, eps=1e-3)"), r"eps"),
        ("5×5", v1(a=DEPTHWISE.replace("3, stride, padding=1", "5, stride, padding=2")), r"5×5"),
        ("not depthwise", v1(a=DEPTHWISE.replace("groups=in_channels, ", "")), r"groups=in_chan"),
        (
            "groups 1 off",
            v1(a=DEPTHWISE.replace("groups=in_channels", "groups=in_channels // 2")),
            r"groups",
        ),
        ("groups out", v1(a=DEPTHWISE.replace("groups=in_", "groups=out_")), r"raised ValueError"),
        (
            "depthwise changes the channels",
            v1(a=DEPTHWISE.replace("in_channels, 3", "out_channels, 3")),
            r"keeps the number of channels",
        ),
        (
            "first norm after ReLU",
            v1(b=RELU, c=FIRST),
            r"first batch norm comes after the first ReLU",
        ),
        (
            "last norm after ReLU",
            v1(e=RELU, f=LAST),
            r"second batch norm comes after the second ReLU",
        ),
        (
            "depthwise gives out_channels",
            separable(
                DEPTHWISE.replace("in_channels, 3", "out_channels, 3"),
                LAST,
                RELU,
                POINTWISE.replace("in_", "out_"),
                LAST,
                RELU,
            ),
            r"raised ValueError",
        ),
        ("no first ReLU", v1(c=None), r"first ReLU is missing"),
        ("no last ReLU", v1(f=None), r"second ReLU is missing"),
        ("no ReLU at all", v1(c=None, f=None), r"ReLUs are missing"),
        ("no first norm", v1(b=None), r"after `self.0` a batch norm is missing"),
        ("no last norm", v1(e=None), r"after `self.3` a batch norm is missing"),
        ("no norms", v1(b=None, e=None), r"There is no batch norm"),
        (
            "biases for norms",
            v1(
                a=DEPTHWISE.replace(", bias=False", ""),
                b=None,
                d=POINTWISE.replace(", bias=False", ""),
                e=None,
            ),
            r"no batch norm, and",
        ),
        (
            "one norm for both",
            v1(b=None, c=None),
            r"a batch norm is missing; besides, the first ReLU is missing",
        ),
        (
            "biases",
            v1(a=DEPTHWISE.replace(", bias=False", ""), d=POINTWISE.replace(", bias=False", "")),
            r"should have no bias",
        ),
        (
            "a bias",
            v1(d=POINTWISE.replace(", bias=False", "")),
            r"`self.3` \(`Conv2d\(4→6, 1×1\)`\) should have no bias",
        ),
        (
            "stride at the 1x1",
            v1(
                a=DEPTHWISE.replace("stride", "1"),
                d=POINTWISE.replace("1, bias", "1, stride, bias"),
            ),
            r"should have stride 2.*should have stride 1, not 2",
        ),
        (
            "stride at both",
            v1(d=POINTWISE.replace("1, bias", "1, stride, bias")),
            r"stride belongs to one layer",
        ),
        ("stride not used", v1(a=DEPTHWISE.replace("stride", "1")), r"Is `stride` used"),
        ("no padding", v1(a=DEPTHWISE.replace("padding=1, ", "")), r"padding 1"),
        (
            "pointwise first",
            separable(
                POINTWISE, LAST, RELU, DEPTHWISE.replace("in_channels", "out_channels"), LAST, RELU
            ),
            r"comes first",
        ),
        (
            "norm after ReLU",
            v1(b=RELU, c=FIRST, e=RELU, f=LAST),
            r"batch norms come after the ReLUs",
        ),
        (
            "second is 3x3",
            v1(d=POINTWISE.replace("1, bias", "3, padding=1, bias")),
            r"should be 1×1, not 3×3",
        ),
        ("ReLU6", v1(c="nn.ReLU6()", f="nn.ReLU6()"), r"There is a ReLU6 where a ReLU is right"),
        (
            "shortcut",
            v1().replace("nn.Sequential", "Added")
            + """
class Added(nn.Sequential):
    def forward(self, maps):
        y = super().forward(maps)
        return y + maps if y.shape == maps.shape else y
""",
            r"v1 has no shortcut",
        ),
        (
            "norm and ReLU first",
            separable(FIRST, RELU, DEPTHWISE, FIRST, RELU, POINTWISE),
            r"come before each convolution",
        ),
        (
            "one ordinary convolution",
            separable(POINTWISE.replace("1, b", "3, stride, 1, b"), LAST, RELU),
            r"one ordinary 3×3 convolution",
        ),
        ("groups in the sixth place", v1(a=SIXTH), r"sixth argument .* is `dilation`"),
        (
            "dilation for stride",
            v1(a=DEPTHWISE.replace("stride,", "dilation=stride,")),
            r"gaps in its kernel",
        ),
        (
            "depthwise only",
            v1(d=None, e=None, f=None),
            r"2 convolutions are right.*this block has 1",
        ),
        (
            "maps as an argument",
            "def separable(maps, out_channels, stride=1):\n    return F.relu(maps)",
            r"plain number \(`int`\).*the maps come later",
        ),
        (
            "a convolution for each channel",
            """
class separable(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.filters = nn.ModuleList(
            nn.Conv2d(1, 1, 3, stride, 1, bias=False) for _ in range(in_channels)
        )
        self.mix = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.one, self.two = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)

    def forward(self, maps):
        each = zip(self.filters, maps.split(1, dim=1))
        y = torch.cat([layer(channel) for layer, channel in each], dim=1)
        return self.two(self.mix(self.one(y).relu())).relu()
""",
            r"with 5 `nn.Conv2d`; the task asks for 2",
        ),
        (
            "one filter for all channels",
            """
class separable(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.filter = nn.Conv2d(1, 1, 3, stride, 1, bias=False)
        self.mix = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.one, self.two = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)

    def forward(self, maps):
        y = self.filter(maps.flatten(0, 1)[:, None])
        y = self.one(y.reshape(*maps.shape[:2], *y.shape[2:])).relu()
        return self.two(self.mix(y)).relu()
""",
            r"One 3×3 filter serves all channels",
        ),
        (
            "groups on the 1×1",
            v1(d=POINTWISE.replace("1, bias", "1, groups=in_channels, bias")),
            r"The 1×1 convolution has groups",
        ),
        ("norm for other channels", v1(b=LAST), r"batch norm of its own"),
        ("pooling", v1(a=DEPTHWISE.replace("stride", "1") + ", nn.MaxPool2d(stride)"), r"No pool"),
        ("stride always 2", v1(a=DEPTHWISE.replace("stride", "2")), r"although `stride` is 1"),
        (
            "arguments exchanged",
            v1().replace(
                "(in_channels, out_channels, stride=1)", "(out_channels, in_channels, stride=1)"
            ),
            r"in the order out_channels, in_channels",
        ),
        ("another default", v1().replace("stride=1)", "stride=2)"), r"default of `stride` is 2"),
        (
            "one block for all",
            v1() + "\nfrom functools import cache\nseparable = cache(separable)\n",
            r"would share their weights",
        ),
        ("ReLU6 at the end", v1(f="nn.ReLU6()"), r"there is a ReLU6 where a ReLU is right"),
        ("leaky", v1(c="nn.LeakyReLU()"), r"there is a leaky ReLU where a ReLU is right"),
        ("ReLU6, no helper", v1(c="nn.ReLU6()"), r"consists of Conv2d"),
        (
            "padding at the 1x1",
            v1(d=POINTWISE.replace("1, bias", "1, padding=1, bias")),
            r"1×1 none",
        ),
        ("a finished block", "separable = nn.Sequential(nn.Conv2d(3, 3, 3))", r"function or a cl"),
        (
            "no return",
            "def separable(in_channels, out_channels, stride=1):\n    nn.ReLU()",
            r"`return` missing",
        ),
        ("a number", "separable = 3", r"A function or class"),
    ],
    "mobilenet.3": [
        ("full: one channel", recount(full=0.63521), r"27 products"),
        ("share of the pair", recount(one=96.878), r"start and the linear layer belong to it"),
        ("a share twice", recount(one=189.715), r"twice the share"),
        ("no dictionary", "recount = [94.86, 3.06, 1.91, .18]", r"A dictionary"),
        (
            "no misprint",
            'recount = {"1x1": 1, "depthwise": 2, "full": 3, "linear": 4}',
            r'^"misprint" is missing',
        ),
        ("the printed value", recount(full=1.19), r'"full": .*printed value'),
        ("fractions", recount(0.94857, 0.03058, 0.01906, 0.0018), r'"1x1": .*fraction'),
        ("parameters", recount(74.28, 1.06, 0.02, 24.22), r'"1x1": .*share of the parameters'),
        ("MACs", recount(539_492_352), r'"1x1": .*share of all MACs'),
        ("without the linear layer", recount(95.03), r'"1x1": .*belongs to the whole'),
        ("one digit", recount(94.9), r'"1x1": .*one digit'),
        (
            "1x1 with linear",
            recount(95.037),
            r'"1x1": .*convolutions and the linear layer together',
        ),
        ("full and linear swapped", recount(full=0.18, linear=1.906), r'"full": .*for "linear"'),
        ("parameters of convolutions", recount(74.57), r'"1x1": .*share of the parameters'),
        ("parameters without norms", recount(74.19), r'"1x1": .*share of the parameters'),
        ("other row", recount(misprint='"depthwise"'), r'"misprint": your own count'),
        ("a number for a row", recount(misprint="1.91"), r'"misprint": one of'),
        ("a text", recount("'many'"), r'"1x1": A number'),
        ("None", recount(linear=None), r'"linear": A number'),
        ("all 3×3", recount(deep=4.9625), r"depthwise convolutions and the full .* together"),
        ("full: all 3×3", recount(full=4.9625), r"depthwise convolutions and the full .* together"),
        ("full: all", recount(full=99.81995), r"1×1 .* and the full .* together"),
        ("both of the pair", recount(deep=97.9143), r"1×1 .* and the depthwise .* together"),
        ("one layer", recount(deep=0.6352058), r"one layer; add up all 13"),
        ("the last 1×1", recount(9.034038788), r"one layer; add up all 13"),
        ("a layer left out", recount(85.82336848), r"One of the 13 layers is left out"),
        ("millions", recount(539.492352), r"in millions"),
        ("128 pixels", recount(94.5064604), r"at 128 pixels"),
        ("32 pixels", recount(87.31170571), r"at 32 pixels"),
        ("width 0.5", recount(90.21786966), r"at width 0.5"),
        ("v2", recount(89.08336415), r"MobileNet v2"),
        ("no stride", recount(full=7.62247), r"first convolution has stride 2"),
        ("whole numbers", recount(94), r"whole number"),
        ("rounded", recount(95), r"whole number"),
        ("per mille", recount(948.574), r"per mille"),
        ("number of layers", recount(46.42857), r"number of layers"),
        ("the whole without full", recount(96.70014), r"full convolution .* belongs to the whole"),
        ("all filters", recount(deep=752.0837291), r"sees one channel"),
        ("distance", recount(full=0.7156175567), r"distance to the printed value"),
        ("pooling counted", recount(linear=0.1890451409), r"Pooling and biases"),
        ("full as fraction", recount(full=0.01905617557), r'"full": .*fraction'),
        (
            "fractions.Fraction",
            "from fractions import Fraction\n" + recount("Fraction(9)"),
            r"Add up",
        ),
        ("linear as fraction", recount(linear=0.0018), r'"linear": .*fraction'),
    ],
    "mobilenet.4": [
        (
            "added where shapes agree",
            inverted(
                forward="y = self.branch(maps)\n"
                "        return maps + y if maps.shape == y.shape else y"
            ),
            r"wherever the shapes agree",
        ),
        ("divided", inverted(wide="max(1, in_channels // expansion)"), r"are divided by"),
        ("multiple of 8", inverted(wide="-(-in_channels * expansion // 8) * 8"), r"multiple of 8"),
        (
            "a function",
            inverted() + "\nBlock = InvertedResidual\n"
            "def InvertedResidual(*arguments):\n    return Block(*arguments)\n",
            r"should be a class",
        ),
        ("no shortcut", inverted(skip="False"), r"shortcut is missing"),
        (
            "the input where there is no shortcut",
            inverted(forward=ELSE_INPUT),
            r"gives its input back",
        ),
        (
            "a smaller input at stride 2",
            inverted(forward=SMALLER.format("maps[:, :, ::2, ::2]")),
            r"made with .*stride=2.*there is an addition too many\.",
        ),
        (
            "a pooled input at stride 2",
            inverted(forward=SMALLER.format("F.avg_pool2d(maps, 2, ceil_mode=True)")),
            r"there is an addition too many\.",
        ),
        (
            "the expansion is always used",
            inverted(
                skip="stride == 1 and in_channels == out_channels\n"
                "        if expansion != 1:\n            self.expand = nn.Identity()",
                forward="maps = self.expand(maps)\n"
                "        return maps + self.branch(maps) if self.skip else self.branch(maps)",
            ),
            r"`self.expand` does not exist here: no line assigns it, or only one in an `if`",
        ),
        (
            "the projection is not called",
            inverted(
                forward="y = self.branch[:-2](maps)\n"
                "        return maps + y if self.skip else self.branch(maps)"
            ),
            r"different numbers of channels: the last 1×1 .*Is it called",
        ),
        (
            "a clamp from below",
            inverted(act1="Clamped(),", act2="Clamped(),") + CLAMPED.format("min=6"),
            r"there is a clamp where a ReLU6 is right",
        ),
        (
            "the branch twice",
            inverted(forward=f"return {TWICE} if self.skip else self.branch(maps)"),
            r"`self.branch` is called 2 times; one call is right",
        ),
        (
            "the branch and the branch",
            inverted(forward="return self.branch(maps) + (self.branch(maps) if self.skip else 0)"),
            r"`self.branch` is called 2 times; one call is right",
        ),
        (
            "shortcut in training",
            inverted(
                forward="both = self.skip and self.training\n"
                "        return maps + self.branch(maps) if both else self.branch(maps)"
            ),
            r"in one mode only \(`self.training`\)",
        ),
        ("groups in the sixth place", inverted(deep="stride, 1, wide,"), r"sixth argument"),
        (
            "no depthwise layer",
            inverted().replace(
                "[\n            nn.Conv2d(wide, wide", "[\n            nn.Identity(wide"
            ),
            r"3 convolutions are right .*this block has 2 \(1×1, 1×1\)",
        ),
        (
            "two convolutions, the second 3×3",
            """
class InvertedResidual(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        wide = in_channels * expansion
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels),
        )

    def forward(self, maps):
        return self.branch(maps)
""",
            r"3 convolutions are right .*this block has 2 \(1×1, 3×3\)",
        ),
        (
            "forward calls itself",
            inverted(forward="return maps + self(maps)"),
            r"calls itself again and again",
        ),
        ("shortcut always", inverted(skip="True"), r"cannot be added"),
        ("shortcut at stride 2", inverted(skip="in_channels == out_channels"), r"cannot be added"),
        ("shortcut where channels change", inverted(skip="stride == 1"), r"cannot be added"),
        ("ReLU6 on the projection", inverted(act3="nn.ReLU6(),"), r"bottleneck is linear"),
        ("ReLU on the projection", inverted(act3="nn.ReLU(),"), r"bottleneck is linear"),
        (
            "ReLU6 after the sum",
            inverted(
                forward="return F.relu6(maps + self.branch(maps)) if self.skip else "
                "F.relu6(self.branch(maps))"
            ),
            r"after the sum",
        ),
        (
            "ReLU after the sum only",
            inverted(
                forward="return F.relu(maps + self.branch(maps)) if self.skip else "
                "self.branch(maps)"
            ),
            r"after the sum",
        ),
        ("no first activation", inverted(act1=""), r"first ReLU6"),
        ("no second activation", inverted(act2=""), r"second ReLU6 is missing"),
        ("no activation", inverted(act1="", act2=""), r"ReLU6s are missing"),
        (
            "ReLU for ReLU6",
            inverted(act1="nn.ReLU(),", act2="nn.ReLU(),"),
            r"ReLU where a ReLU6 is right",
        ),
        ("first ReLU for ReLU6", inverted(act1="nn.ReLU(),"), r"ReLU where a ReLU6 is right"),
        (
            "second ReLU for ReLU6",
            inverted(act2="nn.ReLU(),"),
            r"ReLU where a ReLU6 is right",
        ),
        ("always expands", inverted(condition="True"), r"expansion=1"),
        ("not depthwise", inverted(deep="stride, padding=1,"), r"should have groups 12"),
        (
            "groups in_channels",
            inverted(deep="stride, padding=1, groups=in_channels,"),
            r"should have groups 12.*, not 4",
        ),
        (
            "no first norm",
            inverted(norm1=""),
            r"after the first convolution .*a batch norm is missing",
        ),
        (
            "no second norm",
            inverted(norm2=""),
            r"after the second convolution .*batch norm is missing",
        ),
        ("no last norm", inverted(norm3=""), r"`self.branch` ends without a batch norm"),
        (
            "no norm",
            inverted(norm1="", norm2="", norm3=""),
            r"three batch norms are missing",
        ),
        ("biases", inverted(bias=True), r"should have no bias"),
        (
            "one bias",
            inverted().replace("1,  bias=False", "1, bias=True", 1),
            r"first convolution .*should have no bias",
        ),
        (
            "a projection in the shortcut",
            inverted(
                skip="stride == 1 and in_channels == out_channels\n"
                "        self.shortcut = nn.Sequential() if self.skip else nn.Conv2d("
                "in_channels, out_channels, 1, stride, bias=False)",
                forward="return self.shortcut(maps) + self.branch(maps)",
            ),
            r"3 convolutions are right.*this block has 4 .*has no shortcut",
        ),
        ("wide of out_channels", inverted(wide="out_channels * expansion"), r"in_channels \* exp"),
        ("always six times", inverted(wide="in_channels * 6"), r"expansion is always 6"),
        ("wide is the expansion", inverted(wide="expansion"), r"."),
        (
            "stride not used",
            inverted(deep="1, padding=1, groups=wide,"),
            r"Is `stride` given|be add",
        ),
        (
            "stride at the expansion",
            inverted(expand="stride,", deep="1, padding=1, groups=wide,"),
            r"first convolution .*should have stride 1, not 2",
        ),
        (
            "stride at the projection",
            inverted(project="stride,", deep="1, padding=1, groups=wide,"),
            r"third convolution .*should have stride 1, not 2",
        ),
        ("no padding", inverted(deep="stride, groups=wide,"), r"padding 1"),
        ("no return", inverted(forward="self.branch(maps)"), r"`return` of `forward`"),
        (
            "minus",
            inverted(forward="return maps - self.branch(maps) if self.skip else self.branch(maps)"),
            r"subtracted",
        ),
        (
            "in place",
            inverted(
                forward="return maps.add_(self.branch(maps)) if self.skip else self.branch(maps)"
            ),
            r"in place|raised",
        ),
        ("a text", "InvertedResidual = 'block'", r"should be a class"),
        (
            "arguments exchanged",
            inverted().replace("stride=1, expansion=6", "expansion=6, stride=1"),
            r"in the order in_channels, out_channels, expansion, stride",
        ),
        (
            "default 1",
            inverted().replace("expansion=6", "expansion=1"),
            r"default of `expansion` is 1",
        ),
        (
            "joined",
            inverted(
                forward="y = self.branch(maps)\n"
                "        return torch.cat([maps, y], 1) if self.skip else y"
            ),
            r"joined as channels",
        ),
        (
            "half",
            inverted(
                forward="y = self.branch(maps)\n        return (maps + y) / 2 if self.skip else y"
            ),
            r"divided by two",
        ),
        (
            "no shortcut, and a ReLU6",
            inverted(act3="nn.ReLU6(),", skip="False"),
            r"activation after the last 1×1, and the shortcut is missing",
        ),
        (
            "expands six times only",
            inverted(condition="expansion == 6"),
            r"first 1×1 .* is missing",
        ),
        (
            "depthwise first",
            """
class InvertedResidual(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        wide = in_channels * expansion
        parts = [
            nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False),
            nn.BatchNorm2d(in_channels), nn.ReLU6(),
            nn.Conv2d(in_channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels),
        ]
        self.branch = nn.Sequential(*parts)
        self.skip = stride == 1 and in_channels == out_channels

    def forward(self, maps):
        return maps + self.branch(maps) if self.skip else self.branch(maps)
""",
            r"before the expansion, as in v1",
        ),
        (
            "wide shortcut",
            inverted(
                forward="n = len(self.branch) - 5\n        wide = self.branch[:n](maps)\n"
                "        y = self.branch[n:-2](wide)\n"
                "        return self.branch[-2:](wide + y if self.skip else y)"
            ),
            r"joins the wide tensors",
        ),
    ],
    "mobilenet.5": [
        (
            "norm after a block",
            repaired(after="parts.append(nn.BatchNorm2d(out_channels))"),
            r"a batch norm after a block",
        ),
        (
            "a classifier",
            repaired(last=f"{LAST_LAYERS}, nn.Flatten(), nn.Linear(1024, 10)"),
            r"no flatten and no linear layer",
        ),
        ("pooled", repaired(last=f"{LAST_LAYERS}, nn.AvgPool2d(2)"), r"There is a pooling"),
        (
            "a plain ReLU first",
            repaired().replace("nn.ReLU6()", "nn.ReLU()", 1),
            r"first ReLU6 is a plain ReLU",
        ),
        (
            "a plain ReLU last",
            repaired(last="nn.Conv2d(channels, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()"),
            r"last ReLU6 is a plain ReLU",
        ),
        ("stride in every block", repaired(first="stride"), r"of the 6 blocks have stride 2"),
        (
            "channels late",
            repaired(inner="pass", outer="channels = out_channels"),
            r"handed on too",
        ),
        ("channels never", repaired(inner="pass"), r"handed on too|raised"),
        ("ReLU6 after blocks", repaired(after="parts.append(nn.ReLU6())"), r"after each block"),
        ("ReLU after blocks", repaired(after="parts.append(nn.ReLU())"), r"bottleneck is linear"),
        (
            "no last norm",
            repaired(last="nn.Conv2d(channels, 64, 1, bias=False), nn.ReLU6()"),
            r"batch norm of the last",
        ),
        ("bias for norm", repaired(last="nn.Conv2d(channels, 64, 1), nn.ReLU6()"), r"a bias in pl"),
        (
            "bias and norm",
            repaired(last="nn.Conv2d(channels, 64, 1), nn.BatchNorm2d(64), nn.ReLU6()"),
            r"last convolution has a bias; batch norm",
        ),
        (
            "no last ReLU6",
            repaired(last="nn.Conv2d(channels, 64, 1, bias=False), nn.BatchNorm2d(64)"),
            r"last ReLU6 is gone",
        ),
        (
            "two of four",
            repaired(
                after="parts.append(nn.ReLU6())",
                last="nn.Conv2d(channels, 64, 1, bias=False), nn.ReLU6()",
            ),
            r"after each block.*12,224 parameters",
        ),
        (
            "the stride left in",
            repaired(
                first="stride",
                after="parts.append(nn.ReLU6())",
                last="nn.Conv2d(channels, 64, 1, bias=False), nn.ReLU6()",
            ),
            r"of the 6 blocks have stride 2[^→]*$",
        ),
        ("no stride 2", repaired(first="1"), r"0 of the 6 blocks"),
        (
            "stride at the last",
            repaired(first="stride if number == repeats - 1 else 1"),
            r"first block of a row",
        ),
        (
            "ReLU6 after rows",
            repaired(outer="parts.append(nn.ReLU6())"),
            r"after 3 of the 6 blocks",
        ),
        (
            "no first ReLU6",
            repaired().replace("        nn.ReLU6(),\n", "", 1),
            r"first ReLU6 is gone",
        ),
        (
            "norm after ReLU6",
            repaired(last="nn.Conv2d(channels, 64, 1, bias=False), nn.ReLU6(), nn.BatchNorm2d(64)"),
            r"comes after the ReLU6",
        ),
        (
            "first stride 1",
            repaired().replace("stride=2", "stride=1"),
            r"first convolution was right",
        ),
        ("a ModuleList", repaired(result="nn.ModuleList(parts)"), r"only keeps layers"),
        (
            "the channels of the output twice",
            repaired().replace("(channels, out_channels, f", "(out_channels, out_channels, f"),
            r"made for 8 channels and gets 16",
        ),
        (
            "expansion and stride exchanged",
            repaired().replace("first, expansion)", "expansion, first)"),
            r"`stride` and `expansion` have changed places",
        ),
        ("no expansion", repaired().replace("first, expansion)", "first)"), r"Hand `expansion` on"),
        (
            "a block twice",
            repaired(after="parts[-1] = parts[-2] if number == 2 else parts[-1]"),
            r"One block is used in two places",
        ),
        ("one block a row", repaired(repeats="1"), r"There are 3 blocks"),
        ("no input channels", repaired(given="1"), r"in_channels"),
        ("a list", repaired(result="parts"), r"torch module is expected"),
        ("None", repaired(result="None"), r"`return` missing"),
        ("a network", repaired() + "\nrepaired_features = repaired_features()", r"stay a function"),
    ],
    "mobilenet.6": [
        ("first biases", sliced(bias1="expand.bias[:size]"), r"take `expand.bias\[part\]`"),
        (
            "projection of other channels",
            sliced(weight="project.weight[:, start // size :: slices]"),
            r"The projection takes every `slices`-th channel",
        ),
        (
            "channels in are sliced",
            """
def in_slices(maps, expand, depthwise, project, slices):
    size, wide = maps.shape[1] // slices, expand.bias[:, None, None]
    for start in range(0, size * slices, size):
        part = slice(start, start + size)
        wide = wide + F.conv2d(maps[:, part], expand.weight[:, part])
    return project(F.relu6(depthwise(F.relu6(wide))))
""",
            r"that the expansion takes in are sliced",
        ),
        ("bias each time", sliced(bias="project.bias"), r"with every slice"),
        ("no bias", sliced(bias="None"), r"bias of the projection is missing"),
        (
            "bias each time and at the end",
            sliced(bias="project.bias", result="total + project.bias[:, None, None]"),
            r"once more at the end",
        ),
        ("ReLU6 on each", sliced(AT_END, add="total = total + F.relu6(thin)"), r"on the projected"),
        ("padding 1", sliced(stride="stride=depthwise.stride, padding=1,"), r"padding is always 1"),
        ("no groups", sliced().replace("groups=size,", ""), r"of a slice needs groups"),
        ("groups are slices", sliced(groups="slices"), r"not the number of slices"),
        ("groups are all", sliced(groups="depthwise.groups"), r"those of all wide channels"),
        ("first axis", sliced(AT_END, weight="project.weight[part]"), r"along its second axis"),
        ("whole weight", sliced(AT_END, weight="project.weight"), r"cut the weight\s+too"),
        ("whole weight, bias", sliced(weight="project.weight"), r"cut the weight\s+too"),
        (
            "second axis",
            sliced().replace("expand.weight[part]", "expand.weight[:, part]"),
            r"expansion along its first axis",
        ),
        (
            "concatenated",
            sliced(
                AT_END,
                start="[]",
                add="total.append(thin)",
                result="torch.cat(total, dim=1) + project.bias[:, None, None]",
            ),
            r"joined as channels",
        ),
        (
            "no last slice",
            sliced().replace("expand.out_channels, size)", "expand.out_channels - size, size)"),
            r"last slice is left out",
        ),
        (
            "no last slice, bias at the end",
            sliced(AT_END).replace(
                "expand.out_channels, size)", "expand.out_channels - size, size)"
            ),
            r"last slice is left out",
        ),
        (
            "no first slice",
            sliced(AT_END).replace("range(0,", "range(size,"),
            r"first slice is left out",
        ),
        (
            "rows",
            "def in_slices(maps, expand, depthwise, project, slices):\n"
            "    cut = maps.chunk(slices, 2)\n"
            "    every = [project(F.relu6(depthwise(F.relu6(expand(m))))) for m in cut]\n"
            "    return torch.cat(every, 2)",
            r"rows of the maps are sliced",
        ),
        (
            "images",
            "def in_slices(maps, expand, depthwise, project, slices):\n"
            "    cut = maps.chunk(slices)\n"
            "    every = [project(F.relu6(depthwise(F.relu6(expand(m))))) for m in cut]\n"
            "    return torch.cat(every)",
            r"images of the batch are sliced",
        ),
        (
            "input channels",
            """
def in_slices(maps, expand, depthwise, project, slices):
    size, total = expand.in_channels // slices, 0
    for i in range(slices):
        p = slice(i * size, i * size + size)
        wide = F.relu6(F.conv2d(maps[:, p], expand.weight[:, p], expand.bias))
        total = total + project(F.relu6(depthwise(wide)))
    return total
""",
            r"input channels are sliced",
        ),
        (
            "zeros of the input's size",
            sliced(AT_END, start="torch.zeros(len(maps), project.out_channels, *maps.shape[2:])"),
            r"as large as the input",
        ),
        (
            "bias after ReLU6",
            sliced(bias1="None", act1="F.relu6(wide) + expand.bias[part][:, None, None]"),
            r"added after its ReLU6",
        ),
        ("no first bias", sliced(bias1="None"), r"bias of the expansion is missing"),
        (
            "no second bias",
            sliced().replace("depthwise.bias[part]", "None"),
            r"bias of the depthwise convolution is missing",
        ),
        ("a cut bias", sliced(bias="project.bias[part]"), r"for the thin channels"),
        (
            "a bias without axes",
            sliced(bias="None", result="total + project.bias"),
            r"needs two more axes",
        ),
        ("no first ReLU6", sliced(act1="wide"), r"after the expansion is missing"),
        ("no second ReLU6", sliced(act2="wide"), r"depthwise convolution is missing"),
        ("no ReLU6", sliced(act1="wide", act2="wide"), r"Both ReLU6"),
        ("ReLU", sliced(act1="wide.relu()", act2="wide.relu()"), r"plain ReLUs"),
        ("first ReLU", sliced(act1="wide.relu()"), r"first activation is a plain"),
        ("second ReLU", sliced(act2="wide.relu()"), r"second activation is a plain"),
        ("only the first slice", sliced(add="return thin"), r"Only the first slice"),
        (
            "first depthwise filters",
            sliced().replace("depthwise.weight[part]", "depthwise.weight[:size]"),
            r"depthwise filters of the first",
        ),
        (
            "first depthwise filters and biases",
            sliced().replace(
                "depthwise.weight[part], depthwise.bias[part]",
                "depthwise.weight[:size], depthwise.bias[:size]",
            ),
            r"depthwise filters and biases of the first",
        ),
        (
            "slices is a size",
            sliced().replace("size = expand.out_channels // slices", "size = slices"),
            r"not the size of one",
        ),
        (
            "empties a bias at the end",
            sliced(result="(total, project.bias.data.zero_())[0]"),
            r"changes its argument `project` in place",
        ),
        ("no stride", sliced(stride="padding=depthwise.padding,"), r"stride of the depthwise"),
        ("last slice", sliced(add="total = thin", bias="project.bias"), r"Only the last slice"),
        ("mean", sliced(result="total / slices", bias="project.bias"), r"averaged"),
        ("first weights", sliced(weight="project.weight[:, :size]"), r"first slice"),
        ("groups 1", sliced(groups="1"), r"raised RuntimeError"),
        ("groups of all", sliced(groups="depthwise.groups"), r"raised"),
        (
            "joined",
            sliced(
                start="[]",
                add="total.append(thin)",
                result="torch.cat(total, dim=1)",
                bias="project.bias",
            ),
            r"shape",
        ),
        ("no padding", sliced(stride="stride=depthwise.stride,"), r"shape"),
        (
            "adds the input",
            sliced(result="total + maps if total.shape == maps.shape else total"),
            r"input is added too",
        ),
        ("no return", sliced(result="None"), r"`return` missing"),
        (
            "whole",
            "def in_slices(maps, expand, depthwise, project, slices):\n"
            "    return project(F.relu6(depthwise(F.relu6(expand(maps)))))",
            r"A tensor with all wide channels",
        ),
        (
            "whole expansion",
            sliced(before="everything = F.relu6(expand(maps))", act1="everything[:, part]"),
            r"A tensor with all wide channels",
        ),
        (
            "keeps the slices",
            sliced(before="kept = []", add="kept.append(wide); total = total + thin"),
            r"slices are kept until the end",
        ),
        ("an array", sliced(result="total.numpy()"), r"torch tensor is expected"),
        ("a module", "in_slices = nn.Conv2d(3, 3, 1)", r"A function is expected"),
        (
            "changes the layers",
            sliced(before="project.bias.data.mul_(2)"),
            r"argument `project` in place|wrong values",
        ),
    ],
    "mobilenet.7": [
        (
            "no signs",
            quantised(steps="weight.abs() / scale.reshape(-1, *[1] * (weight.ndim - 1))"),
            r"signs are lost",
        ),
        (
            "one scale",
            quantised(scale="weight.abs().max() / 127 * torch.ones(len(weight))"),
            r"one scale for the whole tensor",
        ),
        (
            "one number",
            "def quantise(weight):\n    scale = weight.abs().max() / 127\n"
            "    return (weight / scale).round().to(torch.int8), scale",
            r"one scale for the whole tensor",
        ),
        (
            "input channels",
            "def quantise(weight):\n"
            "    scale = weight.abs().transpose(0, 1).flatten(1).amax(dim=1) / 127\n"
            "    steps = weight / scale.reshape(1, -1, *[1] * (weight.ndim - 2))\n"
            "    return steps.round().to(torch.int8), scale",
            r"each input channel",
        ),
        ("cut off", quantised(result="steps.to(torch.int8), scale"), r"cut off, not rounded"),
        ("rounded down", quantised(result="steps.floor().to(torch.int8), scale"), r"rounded down"),
        (
            "a sum of zero",
            quantised(zero="torch.where(weight.flatten(1).sum(1) == 0, 1.0, scale)"),
            r"write `scale` in place of",
        ),
        ("128", quantised(scale="weight.abs().flatten(1).amax(dim=1) / 128"), r"divides by 128"),
        ("255", quantised(scale="weight.abs().flatten(1).amax(dim=1) / 255"), r"divides by 255"),
        (
            "range",
            quantised(scale="(weight.flatten(1).amax(1) - weight.flatten(1).amin(1)) / 255"),
            r"range",
        ),
        ("no abs", quantised(scale="weight.flatten(1).amax(dim=1) / 127"), r"absolute"),
        ("inverse", quantised(result="steps.round().to(torch.int8), 1 / scale"), r"inverse"),
        ("floats", quantised(result="steps.round(), scale"), r"torch.int8 is asked for"),
        ("uint8", quantised(result="(steps.round() + 128).to(torch.uint8), scale"), r"torch.uint8"),
        ("order", quantised(result="scale, steps.round().to(torch.int8)"), r"wrong order"),
        (
            "flat",
            quantised(result="steps.round().to(torch.int8).flatten(1), scale"),
            r"keep that of the weights",
        ),
        (
            "scale keeps its axes",
            quantised(
                result="steps.round().to(torch.int8), scale.reshape(-1, *[1] * (weight.ndim - 1))"
            ),
            r"scales have shape",
        ),
        ("integers only", quantised(result="steps.round().to(torch.int8)"), r"two tensors"),
        ("zeros", quantised(zero="scale"), r"A channel of zeros"),
        ("zeros with epsilon", quantised(zero="scale.clamp(min=1e-8)"), r"A channel of zeros"),
        ("no return", quantised(result="None"), r"two tensors"),
        (
            "scale is a list",
            quantised(result="steps.round().to(torch.int8), scale.tolist()"),
            r"scales are .*tensor is asked",
        ),
        ("in place", quantised(before="weight.mul_(2)"), r"`weight` in place"),
        ("no abs, zeros", quantised(SIGNED), r"Take the absolute values"),
        (
            "abs of max",
            quantised(SIGNED, scale="weight.flatten(1).amax(1).abs() / 127"),
            r"Take the ab",
        ),
        ("4 bits", quantised(scale="weight.abs().flatten(1).amax(1) / 7"), r"divides by 7\."),
        ("3 deviations", quantised(scale="3 * weight.flatten(1).std(1) / 127"), r"standard dev"),
        (
            "smallest",
            quantised(scale="weight.abs().flatten(1).amin(1) / 127"),
            r"smallest absolute",
        ),
        (
            "power of two",
            quantised(zero="2 ** (scale + (scale == 0)).log2().ceil()"),
            r"powers of two",
        ),
        (
            "rounded",
            quantised(result="steps.round().to(torch.int8), scale.round(decimals=2)"),
            r"rounded",
        ),
        (
            "int8",
            quantised(result="steps.round().to(torch.int8), scale.to(torch.int8)"),
            r"scales have t",
        ),
        (
            "half",
            quantised(result="steps.round().to(torch.int8), scale.half()"),
            r"torch.float32 is",
        ),
        (
            "weights",
            quantised(result="steps.round() * scale[:, None, None, None], scale"),
            r"weights ag",
        ),
        ("no axes", quantised(steps="weight / scale"), r"three axes of length 1"),
        ("second axis", quantised(steps="weight / scale[None, :, None, None]"), r"second axis"),
        ("times", quantised(steps="weight * scale[:, None, None, None]"), r"divided by it"),
        ("if", quantised(zero="1.0 if scale == 0 else scale"), r"`if` decides once"),
        ("max", quantised(scale="weight.abs().flatten(1).max(dim=1) / 127"), r"gives two tensors"),
        ("16", quantised(scale="weight.abs().view(16, -1).amax(dim=1) / 127"), r"typed in"),
        ("a layer", quantised(before="weight = weight.weight"), r"not a layer"),
        (
            "kept scales",
            quantised(zero="kept.setdefault(weight.shape, torch.where(scale == 0, 1.0, scale))")
            + "\nkept = {}\n",
            r"scales of the first one",
        ),
        ("a class", "class quantise(nn.Module):\n    pass", r"A function is expected"),
        ("a tensor", "quantise = torch.zeros(3)", r"A function is expected"),
    ],
}

right_answers = {
    "mobilenet.1": [
        ("as numbers", counts()),
        (
            "by torch",
            """
deep = nn.Conv2d(256, 256, 3, 2, 1, groups=256, bias=False).weight.numel()
point = nn.Conv2d(256, 512, 1, bias=False).weight.numel()
counts = {
    "standard": 196.0 * nn.Conv2d(256, 512, 3, bias=False).weight.numel(),
    "depthwise": 196 * deep,
    "pointwise": 196 * point,
    "weights": torch.tensor(deep + point),
}
""",
        ),
    ],
    "mobilenet.2": [
        (
            "the stride in the call",
            shrunk(
                "y",
                "F.conv2d(x, self.filters.weight, None, self.stride, 1, 1, self.filters.groups)",
            ),
        ),
        ("the mode in the call", normed("training=self.training")),
        (
            "lazy layers",
            separable(
                DEPTHWISE,
                "nn.LazyBatchNorm2d()",
                RELU,
                "nn.LazyConv2d(out_channels, 1, bias=False)",
                "nn.LazyBatchNorm2d()",
                RELU,
            ),
        ),
        (
            "a class",
            """
class separable(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.mix = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.filters = nn.Conv2d(
            in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False
        )

    def forward(self, maps):
        return self.norm2(self.mix(self.norm1(self.filters(maps)).relu())).relu()
""",
        ),
        (
            "nested",
            separable(
                f"nn.Sequential({DEPTHWISE}, {FIRST}, nn.ReLU(inplace=True))",
                f"nn.Sequential({POINTWISE}, {LAST}, nn.ReLU(inplace=True))",
            ),
        ),
    ],
    "mobilenet.3": [
        ("as numbers", recount()),
        ("two digits", recount(94.86, 3.06, 1.91, 0.18)),
        (
            "as fractions",
            "from fractions import Fraction as F\n"
            + recount("F(94857, 1000)", "F(3057, 1000)", "F(1906, 1000)", "F(18, 100)"),
        ),
        (
            "by formula",
            """
blocks = [(32, 64, 112, 112), (64, 128, 112, 56), (128, 128, 56, 56), (128, 256, 56, 28),
          (256, 256, 28, 28), (256, 512, 28, 14), *[(512, 512, 14, 14)] * 5, (512, 1024, 14, 7),
          (1024, 1024, 7, 7)]
point = sum(a * b * s * s for a, b, _, s in blocks)
deep = sum(9 * a * s * s for a, _, _, s in blocks)
full, linear = 27 * 32 * 112**2, 1024 * 1000
whole = point + deep + full + linear
recount = {"1x1": 100 * point / whole, "depthwise": 100 * deep / whole,
           "full": 100 * full / whole, "linear": 100 * linear / whole, "misprint": "full"}
""",
        ),
    ],
    "mobilenet.4": [
        (
            "lazy batch norms",
            inverted(norm1="nn.LazyBatchNorm2d(),", norm2="nn.LazyBatchNorm2d(),"),
        ),
        (
            "another order",
            inverted(
                forward="result = self.branch(maps)\n"
                "        return result + maps if self.skip else result"
            ),
        ),
        (
            "functional",
            """
class InvertedResidual(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        wide = in_channels * expansion
        self.expand = nn.Identity()
        if expansion > 1:
            self.expand = nn.Sequential(
                nn.Conv2d(in_channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(True)
            )
        self.depthwise = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False)
        self.norm = nn.BatchNorm2d(wide)
        self.project = nn.Conv2d(wide, out_channels, 1, bias=False)
        self.last = nn.BatchNorm2d(out_channels)

    def forward(self, maps):
        wide = self.norm(self.depthwise(self.expand(maps))).clamp(0, 6)
        thin = self.last(self.project(wide))
        return thin + maps if self.depthwise.stride == (1, 1) and same(thin, maps) else thin


def same(one, other):
    return one.shape == other.shape
""",
        ),
    ],
    "mobilenet.5": [
        ("as it should be", repaired()),
        (
            "strides as a list",
            repaired(first="[stride, 1, 1][number]", outer="assert channels == out_channels"),
        ),
    ],
    "mobilenet.6": [
        (
            "with += and del",
            sliced(
                start="project.bias[:, None, None]",
                bias="None",
                add="total = total + thin; del wide, thin",
            ),
        ),
        (
            "a name for every step",
            """
def in_slices(maps, expand, depthwise, project, slices):
    size = expand.out_channels // slices
    parts = [slice(i * size, (i + 1) * size) for i in range(slices)]
    total = project.bias[None, :, None, None]
    for part in parts:
        a = F.conv2d(maps, expand.weight[part], expand.bias[part])
        b = F.relu6(a)
        c = F.conv2d(b, depthwise.weight[part], depthwise.bias[part], depthwise.stride,
                     depthwise.padding, groups=size)
        d = F.relu6(c)
        e = F.conv2d(d, project.weight[:, part])
        total = total + e
    return total
""",
        ),
        (
            "with chunk",
            """
def in_slices(maps, expand, depthwise, project, slices):
    result = None
    for part in torch.arange(expand.out_channels).chunk(slices):
        wide = F.relu6(F.conv2d(maps, expand.weight[part], expand.bias[part]))
        wide = F.conv2d(wide, depthwise.weight[part], depthwise.bias[part], depthwise.stride,
                        depthwise.padding, groups=len(part)).clamp(0, 6)
        thin = F.conv2d(wide, project.weight[:, part])
        result = thin if result is None else result + thin
    return result + project.bias.reshape(1, -1, 1, 1)
""",
        ),
    ],
    "mobilenet.7": [
        (
            "four axes only",
            "def quantise(weight):\n    scale = weight.abs().amax(dim=(1, 2, 3)) / 127\n"
            "    scale = torch.where(scale == 0, 1.0, scale)\n"
            "    return (weight / scale[:, None, None, None]).round().to(torch.int8), scale",
        ),
        (
            "with view",
            """
def quantise(weight):
    flat = weight.reshape(len(weight), -1)
    scale = flat.abs().max(dim=1).values.div(127)
    scale[scale == 0] = 1
    return (flat / scale[:, None]).round().clamp(-127, 127).to(torch.int8).view_as(weight), scale
""",
        ),
        (
            "a loop",
            """
def quantise(weight):
    integers, scales = [], []
    for channel in weight:
        scale = channel.abs().max().item() / 127 or 1.0
        integers.append(torch.round(channel / scale).to(torch.int8))
        scales.append(scale)
    return torch.stack(integers), torch.tensor(scales)
""",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "mobilenet.4": [
        (
            "The list is empty before it; a number may be computed before `super().__init__()`.",
            "`super().__init__()` and `wide = in_channels * expansion` exchanged",
            "`parts += [nn.Conv2d( … ReLU6()]` becomes `parts = [nn.Conv2d(i … ReLU6()]`",
        ),
    ],
    "mobilenet.6": [
        (
            "The expansion and the depthwise layer have as many channels.",
            "`expand` becomes `depthwise` in `size = expand.out_ch … / slices`",
            "`expand` becomes `depthwise` in `for start in range(0 … ], bias)`",
        ),
    ],
}
accepted = {
    "mobilenet.7": [
        (
            "For an output channel of zeros it computes 0/0, and what int8 makes of NaN is "
            "0 on common machines: the result is right there.",
            "`scale = torch.where( … , scale)` and `steps = weight / sca … e, None]` exchanged",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------

probe_arguments = {  # how a network is built, and the shape of its input
    "mobilenet.4": (
        ((3, 5, 2, 4), (2, 3, 7, 9)),
        ((4, 4, 1, 3), (2, 4, 5, 6)),
        ((2, 2, 1, 1), (2, 2, 4, 4)),
    ),
}


def probe_mobilenet_6(in_slices):
    expand, project = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 5, 1)
    depthwise = nn.Conv2d(12, 12, 5, stride=2, padding=2, groups=12)
    maps = 4 * torch.randn(2, 3, 9, 7)
    return [in_slices(maps, expand, depthwise, project, n).detach() for n in (1, 3, 4, 12)]
