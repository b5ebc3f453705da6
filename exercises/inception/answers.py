"""Answers to the exercises of chapter 07."""

import torch

from utils import networks

# --- inception.1 ----------------------------------------------------------------------------------


def naive(
    paddings=("0", "1", "2"),
    pool="nn.MaxPool2d(3, stride=1, padding=1)",
    join="torch.cat(branches, dim=1)",
    branches=("F.relu(self.a(maps))", "F.relu(self.b(maps))", "F.relu(self.c(maps))", None),
    kernels=(1, 3, 5),
    extra="",
    bias="True",
):
    listed = ", ".join(one or "self.pool(maps)" for one in branches)
    return f"""
class NaiveInception(nn.Module):
    def __init__(self, in_channels, one, three, five):
        super().__init__()
        self.a = nn.Conv2d(in_channels, one, {kernels[0]}, padding={paddings[0]}, bias={bias})
        self.b = nn.Conv2d(in_channels, three, {kernels[1]}, padding={paddings[1]}, bias={bias})
        self.c = nn.Conv2d(in_channels, five, {kernels[2]}, padding={paddings[2]}, bias={bias})
        self.pool = {pool}

    def forward(self, maps):
        branches = [{listed}]
        return {join}
{extra}
"""


A, B, C = (f"F.relu(self.{name}(maps))" for name in "abc")
POOL = "self.pool(maps)"


# --- inception.2 ----------------------------------------------------------------------------------

NAIVE = 480 * (192 + 9 * 208 + 25 * 48)
REDUCED = 480 * (192 + 96 + 16 + 64) + 9 * 96 * 208 + 25 * 16 * 48


def costs(naive=196 * NAIVE, channels=928, reduced=196 * REDUCED, out=512):
    return (
        f'costs = {{"naive_macs": {naive}, "naive_channels": {channels}, '
        f'"reduced_macs": {reduced}, "reduced_channels": {out}}}'
    )


# --- inception.3 ----------------------------------------------------------------------------------


def module(**changes):
    get = changes.get
    return f"""
def conv(i, o, k, relu=True):
    layers = [nn.Conv2d(i, o, k, padding={get("padding", "k // 2")}, bias={get("bias", "True")})]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class Inception(nn.Module):
    def __init__(self, in_channels, one, three, five, pool):
        super().__init__()
        self.b1 = {get("b1", "conv(in_channels, one, 1)")}
        self.b2 = nn.Sequential({get("b2", "conv(in_channels, three[0], 1), conv(*three, 3)")})
        self.b3 = nn.Sequential({get("b3", "conv(in_channels, five[0], 1), conv(*five, 5)")})
        self.b4 = nn.Sequential(
            {get("b4", "nn.MaxPool2d(3, stride=1, padding=1), conv(in_channels, pool, 1)")}
        )

    def forward(self, maps):
        b1, b2, b3, b4 = self.b1(maps), self.b2(maps), self.b3(maps), self.b4(maps)
        {get("result", "return torch.cat([b1, b2, b3, b4], dim=1)")}
"""


MERGED = """
class Inception(nn.Module):
    def __init__(self, in_channels, one, three, five, pool):
        super().__init__()
        self.sizes = [one, three[0], five[0]]
        self.first = nn.Conv2d(in_channels, sum(self.sizes), 1)
        self.three = nn.Conv2d(*three, 3, padding=1)
        self.five = nn.Conv2d(*five, 5, padding=2)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.project = nn.Conv2d(in_channels, pool, 1)

    def forward(self, maps):
        a, b, c = self.first(maps).relu().split(self.sizes, dim=1)
        d = self.project(self.pool(maps))
        return torch.cat([a, self.three(b).relu(), self.five(c).relu(), d.relu()], dim=1)
"""


# --- inception.4 ----------------------------------------------------------------------------------


def widths(step="in_channels += one + three[1] + five[1]", result="found", before="found = []"):
    return f"""
def channels_without_projection(modules, in_channels):
    start = in_channels
    {before}
    for one, three, five, pool in modules.values():
        {step}
        found.append(in_channels)
    return {result}
"""


# --- inception.7 ----------------------------------------------------------------------------------


def loss(
    line="loss = loss + 0.3 * F.cross_entropy(other, labels)",
    start="loss = F.cross_entropy(logits, labels)",
    result="loss",
    others="auxiliary.values()",
):
    return f"""
def training_loss(logits, auxiliary, labels):
    {start}
    for other in {others}:
        {line}
    return {result}
"""


# --- inception.8 ----------------------------------------------------------------------------------


def thin(*lines):
    body = "".join(f"        {line},\n" for line in lines)
    return (
        "def factorised(in_channels, out_channels, kernel_size):\n"
        "    n, p = kernel_size, kernel_size // 2\n"
        f"    return nn.Sequential(\n{body}    )\n"
    )


ROW = "nn.Conv2d(in_channels, out_channels, (1, n), padding=(0, p))"
COLUMN = "nn.Conv2d(out_channels, out_channels, (n, 1), padding=(p, 0))"
RELU = "nn.ReLU()"
BOTH = (ROW, RELU, COLUMN, RELU)


# --- inception.6 ----------------------------------------------------------------------------------


def taken(**changes):
    get = changes.get
    constant = get("constant", "self.values[:, None, None].expand(len(maps), -1, *maps.shape[2:])")
    mean = get("mean", "maps.mean(dim=(0, 2, 3))")
    return f"""
import copy


class Constant(nn.Module):
    def __init__(self, values):
        super().__init__()
        self.values = values

    def forward(self, maps):
        return {constant}


@torch.no_grad()
def take_away(network, module, branch, images):
    changed = {get("copied", "copy.deepcopy(network)")}
    changed.{get("mode", "eval()")}
    part = getattr(changed.features, module)
    seen = []
    handle = getattr(part, branch).register_forward_hook(lambda m, i, maps: seen.append(maps))
    {get("run", "changed(images)")}
    handle.remove()
    maps = seen[0]
    {get("replace", f"setattr(part, branch, Constant({mean}))")}
    changed.eval()
    for layer in changed.modules():
        if isinstance(layer, nn.BatchNorm2d):
            {get("norm", "layer.reset_running_stats(); layer.momentum = None; layer.train()")}
    {get("again", "changed(images)")}
    return {get("result", "changed.eval()")}
"""


wrong_answers = {
    "inception.1": [
        ("1x1 padded", naive(("1", "1", "2")), r"Conv2d\(9→4, 1×1, padding 1\) gives 10×11"),
        ("5x5 padded by 1", naive(("0", "1", "1")), r"5×5, padding 1\) gives 6×7"),
        ("all padded by 2", naive(("2", "2", "2")), r"gives 12×13"),
        ("pool without padding", naive(pool="nn.MaxPool2d(3, stride=1)"), r"MaxPool2d.*gives 6×7"),
        ("pool without stride", naive(pool="nn.MaxPool2d(3, padding=1)"), r"stride 3.*gives 3×3"),
        (
            "still stacked",
            naive(join="torch.cat(branches, dim=0)"),
            r"joined along the axis of the channels, `dim=1`",
        ),
        ("joined in height", naive(join="torch.cat(branches, dim=2)"), r"axis of the channels"),
        (
            "all cropped",
            naive(
                ("1", "1", "1"),
                "nn.MaxPool2d(3, stride=1)",
                "torch.cat([b[:, :, :6, :6] for b in branches], dim=1)",
            ),
            r"[Hh]eight and width should stay|raised",
        ),
        ("summed", naive(join="sum(branches)"), r"^The branches.*neither added"),
        ("5x5 became 3x3", naive(("0", "1", "1"), kernels=(1, 3, 3)), r"has become 3×3"),
        (
            "average pooling",
            naive(pool="nn.AvgPool2d(3, stride=1, padding=1)"),
            r"takes averages now",
        ),
        ("no bias", naive(bias="False"), r"have no biases"),
        ("5x5 before 3x3", naive(branches=(A, C, B, POOL)), r"3×3 and 5×5 have changed places"),
        ("pool 1x1", naive(pool="nn.MaxPool2d(1, stride=1)"), r"one position alone"),
        ("pool first", naive(branches=(POOL, A, B, C)), r"another order"),
        ("turned round", naive(branches=(POOL, C, B, A)), r"turned round"),
        ("ReLU on pool", naive(branches=(A, B, C, "F.relu(self.pool(maps))")), r"ReLU on the pool"),
        (
            "no ReLU",
            naive(branches=("self.a(maps)", "self.b(maps)", "self.c(maps)", POOL)),
            r"ReLUs are gone",
        ),
        ("three branches", naive(branches=(A, B, C, "maps[:, :0]")), r"shape"),
        ("no return", naive(join="None"), r"`return` of `forward` missing"),
        ("a list", naive(join="branches"), r"not joined: `forward` gives a list"),
        (
            "an instance",
            naive(extra="NaiveInception = NaiveInception(5, 2, 3, 4)"),
            r"class itself",
        ),
        ("a text", "NaiveInception = 'padding'", r"function or class"),
        ("5x5 padded by 1, no origin", naive(("0", "1", "1")), r"padding 2, not 1"),
        (
            "zeros round the pool",
            naive(pool="nn.MaxPool2d(3, stride=1)").replace(
                "self.pool(maps)", "self.pool(F.pad(maps, (1, 1, 1, 1)))"
            ),
            r"^The frame round the pooled maps is zeros",
        ),
        ("stacked", naive(join="torch.stack(branches, 1)"), r"neither added nor stacked"),
        (
            "zeros round the pooled maps",
            naive(
                pool="nn.MaxPool2d(3, stride=1)",
                branches=(A, B, C, "F.pad(self.pool(maps), (1, 1, 1, 1))"),
            ),
            r"^The pooling shrinks the maps, and a frame of zeros",
        ),
        (
            "averaged over channels",
            naive(join="torch.stack([b.mean(dim=1) for b in branches], dim=1)"),
            r"^Only one map of each branch comes out",
        ),
    ],
    "inception.2": [
        ("naive weights", costs(naive=NAIVE), r'"naive_macs": .*14 · 14 positions'),
        ("naive one row", costs(naive=14 * NAIVE), r"14 · 14 positions, not 14"),
        ("no kernels", costs(naive=196 * 480 * 448), r"has 9 weights for each channel"),
        ("pool projected", costs(naive=196 * (NAIVE + 480 * 64)), r"no projection"),
        ("pool counted", costs(naive=196 * (NAIVE + 9 * 480)), r"Pooling compares"),
        ("one channel", costs(naive=196 * NAIVE // 480), r"sees all 480"),
        ("the other", costs(naive=196 * REDUCED), r'number for "reduced_macs"'),
        ("flops", costs(naive=392 * NAIVE), r"often called FLOPs"),
        ("naive channels projected", costs(channels=512), r"pooled maps are 480"),
        ("no pool channels", costs(channels=448), r"pooled maps are joined too"),
        ("one pooled map", costs(channels=449), r"480 maps come out"),
        ("reduced weights", costs(reduced=REDUCED), r'"reduced_macs": .*14 · 14 positions'),
        (
            "no reductions counted",
            costs(reduced=196 * (REDUCED - 480 * 112)),
            r"reductions, 1×1 to 96",
        ),
        ("no projection", costs(reduced=196 * (REDUCED - 480 * 64)), r"projection.*missing"),
        ("no 1x1 branch", costs(reduced=196 * (REDUCED - 480 * 192)), r"1×1 alone is missing"),
        ("same as naive", costs(reduced=196 * NAIVE), r'number for "naive_macs"'),
        ("reduced as naive channels", costs(out=928), r"makes 64 channels"),
        ("all channels", costs(out=624), r"do not come out"),
        ("without pool", costs(out=448), r"projected maps"),
        ("in millions", costs(naive=307.08), r"in millions"),
        ("a list", "costs = [1, 2, 3, 4]", r"A dictionary with the keys"),
        ("a key missing", 'costs = {"naive_macs": 1}', r"A dictionary with the keys"),
        ("a text", costs(naive="'many'"), r'"naive_macs": A number is expected'),
        ("a guess", costs(naive=1), r'"naive_macs": 1 is not right'),
        ("192 in", costs(naive=196 * 192 * 3264), r"192 maps go into module 3a"),
        ("192 in, channels", costs(channels=640), r"192 maps go into module 3a"),
        (
            "192 in, reduced",
            costs(reduced=196 * (192 * 368 + 9 * 96 * 208 + 25 * 16 * 48)),
            r"192 maps go into module 3a",
        ),
        (
            "96 and 16 in the naive form",
            costs(naive=196 * 480 * (192 + 9 * 96 + 25 * 16)),
            r"right\. 96 and 16 are the reductions",
        ),
        ("96 and 16, channels", costs(channels=784), r"96 and 16 are the reductions"),
        (
            "both inputs",
            costs(reduced=196 * (480 * 256 + 9 * 576 * 208 + 25 * 496 * 48)),
            r"reduction alone, not 480",
        ),
        (
            "projection 3x3",
            costs(reduced=196 * (REDUCED + 480 * 64 * 8)),
            r"projection after the pooling is 1×1",
        ),
        (
            "96 and 16 exchanged",
            costs(reduced=196 * (480 * 368 + 9 * 16 * 208 + 25 * 96 * 48)),
            r"Or, which is the same: .*96 and 16 have changed places",
        ),
        (
            "projection of the first branch",
            costs(reduced=196 * (480 * 304 + 192 * 64 + 9 * 96 * 208 + 25 * 16 * 48)),
            r"is not right\. The projection reads the 480 pooled.*which is the same: A 5×5",
        ),
        (
            "2 k in place of k * k",
            costs(naive=196 * 480 * (192 + 6 * 208 + 10 * 48)),
            r"9 and 25, not 6 and 10",
        ),
        ("2 k, reduced", costs(reduced=196 * (480 * 368 + 6 * 96 * 208 + 10 * 16 * 48)), r"and 10"),
        ("k", costs(naive=196 * 480 * (192 + 3 * 208 + 5 * 48)), r"9 and 25, not 3 and 5"),
        ("not added up", costs(channels=[192, 208, 48, 480]), r"not \[192, 208.*Add them up"),
        (
            "projection of 448",
            costs(reduced=196 * (REDUCED - 32 * 64)),
            r"projection reads the 480 pooled maps, not 448",
        ),
        ("weights and biases", costs(naive=NAIVE + 448), r"Biases are added.*all 14 · 14"),
        ("biases, reduced", costs(reduced=196 * (REDUCED + 624)), r"Biases are added"),
        ("3a", costs(naive=303_464_448), r"number of module 3a"),
        ("3a, channels", costs(channels=416), r"number of module 3a"),
        ("3a, reduced", costs(reduced=128_049_152), r"number of module 3a"),
        ("3a, reduced channels", costs(out=256), r"number of module 3a"),
        ("512 in", costs(naive=196 * 512 * 3264), r"512 maps come out of module 4a"),
        (
            "without padding",
            costs(naive=480 * (196 * 192 + 144 * 9 * 208 + 100 * 25 * 48)),
            r"Your maps shrink",
        ),
        (
            "5x5 reads 96",
            costs(reduced=196 * (REDUCED + 25 * 80 * 48)),
            r"Your 5×5 reads those of the 3×3",
        ),
        (
            "both read 112",
            costs(reduced=196 * (480 * 368 + 9 * 112 * 208 + 25 * 112 * 48)),
            r"read both, 96 \+ 16",
        ),
        ("pooled maps and projected", costs(out=992), r"take the place of the 480 pooled"),
    ],
    "inception.3": [
        (
            "no ReLU after reductions",
            module(
                b2="conv(in_channels, three[0], 1, False), conv(*three, 3)",
                b3="conv(in_channels, five[0], 1, False), conv(*five, 5)",
            ),
            r"no ReLU after the reductions",
        ),
        (
            "one reduction without",
            module(b3="conv(in_channels, five[0], 1, False), conv(*five, 5)"),
            r"reduction before the 5×5",
        ),
        (
            "projection without",
            module(b4="nn.MaxPool2d(3, 1, 1), conv(in_channels, pool, 1, False)"),
            r"no ReLU after the projection",
        ),
        ("first without", module(b1="conv(in_channels, one, 1, False)"), r"first branch's 1×1"),
        (
            "none",
            module().replace("relu=True", "relu=False"),
            r"There are no ReLUs",
        ),
        (
            "projection first",
            module(b4="conv(in_channels, pool, 1), nn.MaxPool2d(3, 1, 1)"),
            r"belongs after it",
        ),
        (
            "average",
            module(b4="nn.AvgPool2d(3, 1, 1), conv(in_channels, pool, 1)"),
            r"takes averages",
        ),
        (
            "torchvision's",
            module(b3="conv(in_channels, five[0], 1), conv(*five, 3)"),
            r"3×3 where the paper has a 5×5",
        ),
        (
            "pool first",
            module(result="return torch.cat([b4, b1, b2, b3], dim=1)"),
            r"another order",
        ),
        (
            "changed places",
            module(result="return torch.cat([b1, b3, b2, b4], dim=1)"),
            r"changed places",
        ),
        (
            "pool without stride",
            module(b4="nn.MaxPool2d(3, padding=1), conv(in_channels, pool, 1)"),
            r"stride 3, padding 1\) gives 3×3",
        ),
        ("padding 1 always", module(padding="1"), r"gives"),
        ("no padding", module(padding="0"), r"padding 2, not 0.*gives"),
        (
            "no reductions",
            module(b2="conv(in_channels, three[1], 3)", b3="conv(in_channels, five[1], 5)"),
            r"^The reductions before the 3×3 and the 5×5 are missing",
        ),
        ("one reduction", module(b2="conv(in_channels, three[1], 3)"), r"^The reduction.* the 3×3"),
        ("the other", module(b3="conv(in_channels, five[1], 5)"), r"^The reduction.* the 5×5"),
        (
            "naive",
            module(
                b2="conv(in_channels, three[1], 3)",
                b3="conv(in_channels, five[1], 5)",
                b4="nn.MaxPool2d(3, 1, 1)",
            ),
            r"^This is the naive module",
        ),
        (
            "projection of the first branch",
            module(b4="nn.MaxPool2d(3, 1, 1), conv(one, pool, 1)").replace(
                "self.b4(maps)", "self.b4(self.b1(maps))"
            ),
            r"^The projection reads the maps of the first branch",
        ),
        (
            "one reduction for two",
            module(b3="nn.Identity(), conv(three[0], five[1], 5)").replace(
                "self.b3(maps)", "self.b3(self.b2[0](maps))"
            ),
            r"^The 5×5 reads the reduction of the 3×3.*reads what comes in\.",
        ),
        (
            "one reduction for two, the other unused",
            module(b3="conv(in_channels, five[0], 1), conv(three[0], five[1], 5)").replace(
                "self.b3(maps)", "self.b3[1](self.b2[0](maps))"
            ),
            r"^The 5×5 reads the reduction of the 3×3.*is there already",
        ),
        (
            "two 3x3",
            module(b3="conv(in_channels, five[0], 1), conv(*five, 3), conv(five[1], five[1], 3)"),
            r"two 3×3 in place of its 5×5",
        ),
        (
            "ReLUs first",
            module().replace("(*layers, *([nn.ReLU()] if relu else []))", "(nn.ReLU(), *layers)"),
            r"^The ReLUs come before the convolutions",
        ),
        (
            "pooled twice",
            module(b4="*[nn.MaxPool2d(3, 1, 1)] * 2, conv(in_channels, pool, 1)"),
            r"^The pooling looks at 5×5 values, as two",
        ),
        (
            "zeros round the pool",
            module(b4="nn.ZeroPad2d(1), nn.MaxPool2d(3, 1), conv(in_channels, pool, 1)"),
            r"^The frame round the pooled maps is zeros",
        ),
        (
            "mirrored frame, functional pooling",
            module(b4="conv(in_channels, pool, 1)")
            .replace(
                "padding=k // 2", 'padding=k // 2, padding_mode="reflect" if k > 3 else "zeros"'
            )
            .replace("self.b4(maps)", "self.b4(F.max_pool2d(maps, 3, 1, 1))"),
            r"should have padding_mode zeros, not reflect",
        ),
        (
            "a larger pooling",
            module(b4="nn.MaxPool2d(5, 1, 2), conv(in_channels, pool, 1)"),
            r"^The pooling looks at 5×5 values, as two",
        ),
        (
            "the input too",
            module(result="return torch.cat([maps, b1, b2, b3, b4], 1)"),
            r"^The input",
        ),
        ("one branch", module(result="return b3"), r"^Only the third branch comes out"),
        (
            "a shortcut",
            module(
                result="y = torch.cat([b1, b2, b3, b4], dim=1)\n"
                "        return y + maps if y.shape == maps.shape else y"
            ),
            r"^The input is added to the output",
        ),
        (
            "pairs turned round",
            module(
                b2="conv(in_channels, three[1], 1), conv(three[1], three[0], 3)",
                b3="conv(in_channels, five[1], 1), conv(five[1], five[0], 5)",
            ),
            r"^The two numbers of each pair",
        ),
        (
            "batch norms for biases",
            module(bias="False").replace("nn.ReLU()] if", "nn.BatchNorm2d(o), nn.ReLU()] if"),
            r"batch norms in place of biases",
        ),
        ("three", module(result="return torch.cat([b1, b2, b3], 1)"), r"^The fourth branch is not"),
        (
            "no list",
            module(result="return torch.cat(b1, b2, b3, b4, dim=1)"),
            r"one list of tensors",
        ),
        (
            "a function of maps",
            "def Inception(maps, one, three, five, pool):\n"
            "    return F.relu(nn.Conv2d(maps.shape[1], one, 1)(maps))\n",
            r"^Maps are expected where the task gives numbers",
        ),
        (
            "no kernel size",
            module().replace("(i, o, k, padding", "(i, o, padding"),
            r"^A layer is made without one of its arguments: `Conv2d` needs `kernel_size` too\.",
        ),
        (
            "no projection",
            module(b4="nn.MaxPool2d(3, 1, 1)"),
            r"^The projection after the pooling, a 1×1 .* is missing",
        ),
        (
            "projection made and not used",
            module(result="return torch.cat([b1, b2, b3, self.b4[0](maps)], dim=1)"),
            r"projection.*is missing after",
        ),
        ("no pooling", module(b4="conv(in_channels, pool, 1)"), r"is no pooling before the proj"),
        (
            "pooled for all",
            module(b4="conv(in_channels, pool, 1)").replace(
                "        b1, b2", "        maps = F.max_pool2d(maps, 3, 1, 1)\n        b1, b2"
            ),
            r"All four branches read the pooled maps",
        ),
        (
            "pooled for all, and again",
            module().replace(
                "        b1, b2", "        maps = F.max_pool2d(maps, 3, 1, 1)\n        b1, b2"
            ),
            r"All four branches read the pooled maps",
        ),
        (
            "in series",
            module(result="return self.b4(self.b3(self.b2(b1)))"),
            r"gets maps with 4: Conv2d\(8→6, 1×1\)",
        ),
        (
            "reductions not used",
            module().replace("self.b2(maps)", "self.b2[1](maps)"),
            r"gets maps with 8: Conv2d\(6→7, 3×3, padding 1\)",
        ),
        (
            "3x3 built for the input",
            module(b2="conv(in_channels, three[0], 1), conv(in_channels, three[1], 3)"),
            r"Conv2d\(8→7, 3×3.*should take 6 channels",
        ),
        ("a list", module(result="return [b1, b2, b3, b4]"), r"gives a list of four"),
        ("no bias", module(bias="False"), r"have no biases"),
        ("merged 1x1", MERGED, r"merged into one.*keep them apart"),
        (
            "a Python list",
            module()
            .replace("self.b1 = ", "self.b1 = conv(1, 1, 1)\n        self.listed = [")
            .replace("\n        self.b2", "]\n        self.b2")
            .replace("self.b1(maps)", "self.listed[0](maps)"),
            r"`self\.listed` is a plain list",
        ),
        (
            "no super",
            module().replace("super().__init__()", "pass"),
            r"has to begin with `super\(\).__init__\(\)`",
        ),
        (
            "no super, in a list",
            module(b1="[conv(in_channels, one, 1)]").replace(
                "super().__init__()", "self.x = 1; return"
            ),
            r"has to begin with `super\(\).__init__\(\)`",
        ),
        (
            "3x3 before its 1x1",
            module(b2="conv(in_channels, three[0], 3), conv(*three, 1)"),
            r"reduction comes first.*the 3×3 is",
        ),
        (
            "5x5 before its 1x1",
            module(b3="conv(in_channels, five[0], 5), conv(*five, 1)"),
            r"reduction comes first.*the 5×5 is",
        ),
        (
            "both before their 1x1",
            module(
                b2="conv(in_channels, three[0], 3), conv(*three, 1)",
                b3="conv(in_channels, five[0], 5), conv(*five, 1)",
            ),
            r"reduction comes first.*5×5 are before",
        ),
        (
            "a pair as a number",
            module(b2="conv(in_channels, three, 3)"),
            r"`three` and `five` are pairs",
        ),
        ("summed", module(result="return b1 + b2 + b3 + b4"), r"^The branches.*neither added"),
        ("no return", module(result="torch.cat([b1, b2, b3, b4], dim=1)"), r"`return`"),
        (
            "joined as images",
            module(result="return torch.cat([b1, b2, b3, b4])"),
            r"axis of the channels",
        ),
        (
            "an instance",
            module() + "\n\nInception = Inception(6, 2, (3, 4), (2, 3), 5)\n",
            r"already built",
        ),
        ("a number", "Inception = 5", r"function or class"),
    ],
    "inception.4": [
        (
            "with projection",
            widths("in_channels = one + three[1] + five[1] + pool"),
            r"with the projection",
        ),
        ("no pool", widths("in_channels = one + three[1] + five[1]"), r"not counted"),
        ("the first", widths("in_channels = start + one + three[1] + five[1]"), r"the first one"),
        ("the reductions", widths("in_channels += one + three[0] + five[0]"), r"stays inside"),
        ("both", widths("in_channels += one + sum(three) + sum(five)"), r"reduction stays inside"),
        (
            "pool too",
            widths("in_channels += one + three[1] + five[1] + pool"),
            r"no projection now",
        ),
        ("input too", widths(before="found = [in_channels]"), r"front of the list"),
        (
            "going in",
            widths("found.append(in_channels); in_channels += one + three[1] + five[1]").replace(
                "        found.append(in_channels)\n", ""
            ),
            r"those that come out",
        ),
        ("the last", widths(result="in_channels"), r"last module alone"),
        ("the last of the list", widths(result="found[-1]"), r"last module alone"),
        ("a dictionary", widths(result="dict(zip(modules, found))"), r"list is.*not a dictionary"),
        ("texts", widths(result="[str(n) for n in found]"), r"numbers are texts"),
        ("names", widths().replace("modules.values()", "modules"), r"^A loop over a dictionary"),
        (
            "names, one variable",
            widths("in_channels += w[0] + w[1][1] + w[2][1]").replace(
                "one, three, five, pool in modules.values()", "w in modules"
            ),
            r"^A loop over a dictionary",
        ),
        (
            "names and numbers",
            widths("one, three, five, pool = w; in_channels += one + three[1] + five[1]").replace(
                "one, three, five, pool in modules.values()", "name, w in modules"
            ),
            r"^A loop over a dictionary",
        ),
        ("pairs", widths("in_channels += one + three + five"), r"^`three` and `five` are pairs"),
        (
            "the next gets the projected",
            widths("out = in_channels + one + three[1] + five[1]").replace(
                "found.append(in_channels)",
                "found.append(out); in_channels = one + three[1] + five[1] + pool",
            ),
            r"projection of the module before",
        ),
        ("twice", widths("in_channels = 2 * in_channels + one + three[1] + five[1]"), r"twice"),
        ("no 5x5", widths("in_channels += one + three[1]"), r"maps of the 5×5 are missing"),
        (
            "anew for each group",
            widths().replace(
                "one, three, five, pool in modules.values():",
                "name, (one, three, five, pool) in modules.items():\n"
                "        if name[0] not in [n[0] for n in list(modules)[: len(found)]]:\n"
                "            in_channels = start",
            ),
            r"^Each group of modules begins with `in_channels` again",
        ),
        (
            "halved between groups",
            widths().replace(
                "one, three, five, pool in modules.values():",
                "name, (one, three, five, pool) in modules.items():\n"
                "        if found and name[0] != list(modules)[len(found) - 1][0]:\n"
                "            in_channels //= 2",
            ),
            r"^The channels are halved between the groups",
        ),
        (
            "backwards",
            widths().replace("modules.values()", "reversed(modules.values())"),
            r"^The modules are taken from the last to the first",
        ),
        ("lists", widths().replace("(in_channels)\n", "([in_channels])\n"), r"list of its own"),
        (
            "widest",
            widths("in_channels = max(one, three[1], five[1], in_channels)"),
            r"^The widest",
        ),
        (
            "return in the loop",
            widths().replace("    return found", "        return found"),
            r"`return` is inside the loop, so",
        ),
        (
            "exchanged",
            widths().replace("modules, in_channels", "in_channels, modules"),
            r"arguments.*order",
        ),
        ("only one", widths(result="found[:1]"), r"right is"),
        ("the list itself", "channels_without_projection = [416]", r"A function is expected"),
        (
            "no return",
            "def channels_without_projection(modules, in_channels):\n    sum([1])\n",
            r"`return`",
        ),
        (
            "192 always",
            widths("in_channels += one + three[1] + five[1]").replace(
                "    start = in_channels\n", "    in_channels = 192\n"
            ),
            r"`in_channels` is not used",
        ),
        (
            "begins with 0",
            widths().replace("    start = in_channels\n", "    in_channels = 0\n"),
            r"`in_channels` that go into the first module are missing",
        ),
        (
            "the global table",
            "from utils.networks.googlenet import MODULES\n"
            + widths().replace("in modules.values()", "in MODULES.values()"),
            r"`modules` is not used",
        ),
    ],
    "inception.5": [
        ("K = 1000", 'wrong_rows = ["4c"]', r"K is 1024"),
        ("only 5a", 'wrong_rows = ["5a"]', r"6\.9 % too small.*`abs`"),
        ("none", "wrong_rows = []", r"An empty list is not right.*5 % is 0\.05"),
        ("5 K", 'wrong_rows = ["4c", "4d", "4e", "5a", "5b"]', r"more than 5 K"),
        ("1 %", 'wrong_rows = ["4c", "4d", "5a", "5b"]', r"more than 1 %"),
        ("late", 'wrong_rows = ["3a", "3b", "4c", "4e", "5a", "5b"]', r"channels that it gives"),
        (
            "192 for all",
            'wrong_rows = ["3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]',
            r"every module reads 192",
        ),
        (
            "reductions passed on",
            'wrong_rows = ["4a", "4b", "4d", "4e", "5a", "5b"]',
            r"You pass on the reductions",
        ),
        ("one missing", 'wrong_rows = ["4d", "4c"]', r"1018\.0K.*1072K is more than 5 % off"),
        (
            "all",
            'wrong_rows = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]',
            r"two of them reductions, have 192 · \(64 \+ 96 \+ 16 \+ 32\).*within 5 %",
        ),
        ("the right ones", 'wrong_rows = ["3a", "3b", "4a", "4b", "4d", "4e", "5b"]', r"agree"),
        (
            "three",
            'wrong_rows = ["4c", "5a", "4d"]',
            r"count of 4d, which reads 512 channels.*590\.5K",
        ),
        ("inception4c", 'wrong_rows = ["inception4c"]', r"not the name of a module"),
        ("numbers", "wrong_rows = [463, 1072]", r"463 is not the name"),
        ("a text", 'wrong_rows = "4c, 5a"', r"A list of names"),
        ("a number", "wrong_rows = 2", r"A list of names"),
        (
            "a generator",
            'wrong_rows = (name for name in ["4c", "5a"])',
            r"cannot be copied: .*Make a list of it",
        ),
        ("a dictionary", 'wrong_rows = {"4c": 463, "5a": 1072}', r"not a dictionary"),
    ],
    "inception.7": [
        ("weight 1", loss("loss = loss + F.cross_entropy(other, labels)"), r"weight 1"),
        (
            "0.3 of all",
            loss(result="0.3 * loss", line=loss.__defaults__[0].replace("0.3 * ", "")),
            r"main loss is multiplied by 0\.3",
        ),
        (
            "wrong way round",
            loss(
                "loss = loss + F.cross_entropy(other, labels)",
                "loss = 0.3 * F.cross_entropy(logits, labels)",
            ),
            r"wrong way round",
        ),
        ("0.7", loss(start="loss = 0.7 * F.cross_entropy(logits, labels)"), r"weight 0\.7"),
        (
            "averaged",
            loss("loss = loss + 0.3 * F.cross_entropy(other, labels) / len(auxiliary)"),
            r"are averaged",
        ),
        ("none", loss("pass"), r"^No auxiliary loss is counted. Add one"),
        (
            "known names alone",
            loss(others="[v for n, v in auxiliary.items() if n.startswith('inception')]"),
            r"^No auxiliary loss is counted where the names are \['a', 'b', 'c'\]",
        ),
        ("brackets", loss("loss = 0.3 * (loss + F.cross_entropy(other, labels))"), r"the brackets"),
        (
            "brackets, added",
            loss("loss = loss + 0.3 * (loss + F.cross_entropy(other, labels))"),
            r"^The loss so far is multiplied by 0\.3 and added again",
        ),
        (
            "last",
            loss("loss = F.cross_entropy(logits, labels) + 0.3 * F.cross_entropy(other, labels)"),
            r"^Only the last auxiliary",
        ),
        ("logits", loss("loss = loss + F.cross_entropy(0.3 * other, labels)"), r"^0\.3 multiplies"),
        (
            "answers of the main one",
            loss("loss = loss + 0.3 * F.cross_entropy(other, logits.argmax(1))"),
            r"answers of the main one",
        ),
        (
            "over the images",
            loss(
                "loss = loss + 0.3 * F.nll_loss(other.log_softmax(0), labels)",
                "loss = F.nll_loss(logits.log_softmax(0), labels)",
            ),
            r"over the images \(`dim=0`\)",
        ),
        (
            "stacked",
            loss(
                "pass",
                result="loss + 0.3 * torch.stack([F.cross_entropy(o, labels) "
                "for o in auxiliary.values()]).sum()",
            ),
            r"^With an empty dictionary nothing is added",
        ),
        ("no main", loss(start="loss = torch.zeros(())"), r"main loss is missing"),
        ("two names", loss(others="list(auxiliary.values())[:2]"), r"first two"),
        ("one", loss(others="list(auxiliary.values())[:1]"), r"Only the first auxiliary"),
        (
            "fixed names",
            loss(others='(auxiliary["inception4a"], auxiliary["inception4d"])'),
            r"may hold others, fewer or none.*KeyError",
        ),
        ("0.03", loss("loss = loss + 0.03 * F.cross_entropy(other, labels)"), r"weight 0\.03"),
        (
            "label smoothing",
            loss(
                "loss = loss + 0.3 * F.cross_entropy(other, labels, label_smoothing=0.1)",
                "loss = F.cross_entropy(logits, labels, label_smoothing=0.1)",
            ),
            r"label smoothing in it",
        ),
        (
            "item of the auxiliary",
            loss("loss = loss + 0.3 * F.cross_entropy(other, labels).item()"),
            r"does not reach inception4a.*`\.item\(\)`",
        ),
        (
            "logits added",
            loss("logits = logits + 0.3 * other", "pass", "F.cross_entropy(logits, labels)"),
            r"own loss",
        ),
        (
            "softmax",
            loss(
                "loss = loss + 0.3 * F.cross_entropy(other.softmax(1), labels)",
                "loss = F.cross_entropy(logits.softmax(1), labels)",
            ),
            r"softmax before",
        ),
        (
            "sums",
            loss(
                "loss = loss + 0.3 * F.cross_entropy(other, labels, reduction='sum')",
                "loss = F.cross_entropy(logits, labels, reduction='sum')",
            ),
            r"mean is asked for",
        ),
        (
            "unreduced",
            loss(
                "loss = loss + 0.3 * F.cross_entropy(other, labels, reduction='none')",
                "loss = F.cross_entropy(logits, labels, reduction='none')",
            ),
            r"one number is expected",
        ),
        ("divided", loss(result="loss / (1 + len(auxiliary))"), r"divided by the number"),
        ("item", loss(result="loss.item()"), r"a float; a torch tensor"),
        (
            "detached",
            loss("loss = loss + 0.3 * F.cross_entropy(other.detach(), labels)"),
            r"does not reach inception4a.*`\.detach\(\)`",
        ),
        (
            "main detached",
            loss(start="loss = F.cross_entropy(logits.detach(), labels)"),
            r"does not reach logits",
        ),
        ("no return", loss(result="None"), r"`return` missing"),
        ("a pair", loss(result="loss, 0.3"), r"right is"),
        ("keys", loss(others="auxiliary"), r"^A loop over a dictionary gives its names"),
        ("a number", "training_loss = 0.3", r"A function is expected"),
    ],
    "inception.8": [
        ("no ReLU between", thin(ROW, COLUMN, RELU), r"no ReLU between"),
        ("half a pair", thin(ROW.replace("(1, n)", "(n,)"), RELU, COLUMN, RELU), r"raised "),
        ("no last ReLU", thin(ROW, RELU, COLUMN), r"after the second convolution is missing"),
        ("no ReLU", thin(ROW, COLUMN), r"There are no ReLUs"),
        (
            "turned",
            thin(
                ROW.replace("(1, n)", "(n, 1)").replace("(0, p)", "(p, 0)"),
                RELU,
                COLUMN.replace("(n, 1)", "(1, n)").replace("(p, 0)", "(0, p)"),
                RELU,
            ),
            r"changed places",
        ),
        (
            "channels change second",
            thin(ROW.replace("out_ch", "in_ch"), RELU, COLUMN.replace("(out", "(in", 1), RELU),
            r"channels change in the second",
        ),
        (
            "both square",
            thin(
                "nn.Conv2d(in_channels, out_channels, n, padding=p)",
                RELU,
                "nn.Conv2d(out_channels, out_channels, n, padding=p)",
                RELU,
            ),
            r"Both kernels are n×n",
        ),
        (
            "one square",
            thin("nn.Conv2d(in_channels, out_channels, n, padding=p)", RELU),
            r"one n×n convolution",
        ),
        (
            "padding on both sides",
            thin(ROW.replace("(0, p)", "p"), RELU, COLUMN.replace("(p, 0)", "p"), RELU),
            r"1×7, padding 3\) gives 15×12",
        ),
        (
            "paddings swapped",
            thin(ROW.replace("(0, p)", "(p, 0)"), RELU, COLUMN.replace("(p, 0)", "(0, p)"), RELU),
            r"paddings have changed places",
        ),
        ("no padding", thin(ROW.replace("(0, p)", "0"), RELU, COLUMN, RELU), r"gives 9×6"),
        (
            "three always",
            thin(ROW, RELU, COLUMN, RELU).replace(
                "n, p = kernel_size, kernel_size // 2", "n, p = 3, 1"
            ),
            r"always of length 3",
        ),
        (
            "seven always",
            thin(ROW, RELU, COLUMN, RELU).replace(
                "n, p = kernel_size, kernel_size // 2", "n, p = 7, 3"
            ),
            r"always of length 7",
        ),
        (
            "no biases",
            thin(ROW[:-1] + ", bias=False)", RELU, COLUMN[:-1] + ", bias=False)", RELU),
            r"no biases",
        ),
        (
            "first without bias",
            thin(ROW[:-1] + ", bias=False)", RELU, COLUMN, RELU),
            r"first.*no bias",
        ),
        (
            "both one row",
            thin(ROW, RELU, COLUMN.replace("(n, 1)", "(1, n)").replace("(p, 0)", "(0, p)"), RELU),
            r"Both kernels have one row",
        ),
        (
            "both one column",
            thin(ROW.replace("(1, n)", "(n, 1)").replace("(0, p)", "(p, 0)"), RELU, COLUMN, RELU),
            r"Both kernels have one column",
        ),
        (
            "padding in the first",
            thin(ROW.replace("(0, p)", "p"), RELU, COLUMN.replace("(p, 0)", "0"), RELU),
            r"padding is in the first",
        ),
        *(
            (
                f"padded by {mode}",
                thin(*(f'{c[:-1]}, padding_mode="{mode}")' if c != RELU else c for c in BOTH)),
                rf'of the kind "{mode}"',
            )
            for mode in ("reflect", "replicate", "circular")
        ),
        ("only the row", thin(ROW, RELU), r"parameters"),
        (
            "side by side",
            """
class factorised(nn.Module):
    def __init__(self, i, o, k):
        super().__init__()
        self.row = nn.Conv2d(i, o, (1, k), padding=(0, k // 2))
        self.column = nn.Conv2d(i, o, (k, 1), padding=(k // 2, 0))

    def forward(self, maps):
        return self.row(maps).relu() + self.column(maps).relu()
""",
            r"^The two kernels are side by side",
        ),
        (
            "batch norms for biases",
            thin(
                *(
                    f"{c[:-1]}, bias=False), nn.BatchNorm2d(out_channels)" if c != RELU else c
                    for c in BOTH
                )
            ),
            r"batch norms in place of biases",
        ),
        ("grouped", thin(ROW, RELU, COLUMN[:-1] + ", groups=out_channels)", RELU), r"`groups`"),
        ("no return", "def factorised(a, b, c):\n    nn.Conv2d(a, b, c)\n", r"`return`"),
        ("a module", "factorised = nn.Conv2d(3, 4, (1, 7))", r"already built"),
        ("a text", "factorised = '1xn'", r"function or class"),
    ],
    "inception.6": [
        ("zeros", taken(mean="0 * maps.mean(dim=(0, 2, 3))"), r"gives zeros"),
        ("one mean", taken(mean="maps.mean().expand(maps.shape[1])"), r"each map has its own"),
        (
            "mean by position",
            taken(
                mean="maps.mean(dim=0)",
                constant="self.values.expand(len(maps), -1, -1, -1)",
            ),
            r"position by position",
        ),
        ("first image", taken(mean="maps[0].mean(dim=(1, 2))"), r"first image alone"),
        ("highest", taken(mean="maps.amax(dim=(0, 2, 3))"), r"highest values"),
        ("sums", taken(mean="maps.sum(dim=(0, 2, 3))"), r"sums, not means"),
        ("measured in training mode", taken(mode="train()"), r"Dropout was on, so these"),
        ("measured in the mode given", taken(mode="requires_grad_()"), r"means in training mode"),
        (
            "all in training mode",
            taken(again="changed.train(); changed(images)"),
            r"Dropout was on",
        ),
        (
            "the network put in eval mode",
            taken(copied="copy.deepcopy(network.eval())"),
            r"given in training mode and has been left",
        ),
        ("not estimated anew", taken(norm="pass"), r"estimate them anew"),
        ("momentum 0.1, no reset", taken(norm="layer.train()"), r"with momentum 0\.1 one pass"),
        (
            "momentum 0.1",
            taken(norm="layer.reset_running_stats(); layer.train()"),
            r"only a tenth of the way",
        ),
        ("reset alone", taken(again="pass"), r"got no new ones"),
        (
            "momentum None, no reset",
            taken(norm="layer.momentum = None; layer.train()"),
            r"training",
        ),
        ("batches", taken(again="[changed(b) for b in images.split(16)]"), r"8 and 16 images at"),
        ("mirrored too", taken(again="changed(images); changed(images.flip(3))"), r"mirrored ones"),
        (
            "norms of the module alone",
            taken().replace("in changed.modules()", "in part.modules()"),
            r"^Only the batch norms of the changed module",
        ),
        (
            "constant at the end",
            taken(
                replace="means = maps.mean(dim=(0, 2, 3))",
                result="setattr(part, branch, Constant(means)) or changed.eval()",
            ),
            r"^The statistics are those of the network with the branch",
        ),
        (
            "medians",
            taken(mean="maps.flatten(2).median(dim=2).values.mean(dim=0)"),
            r"medians over",
        ),
        ("mean of the highest", taken(mean="maps.amax(dim=(2, 3)).mean(dim=0)"), r"of the highest"),
        (
            "a bias",
            taken(mean="[m for m in part.modules() if isinstance(m, nn.BatchNorm2d)][4].bias"),
            r"^This is the bias of the branch's last batch norm",
        ),
        ("estimated on noise", taken(again="changed(torch.rand_like(images))"), r"other logits"),
        ("left in training mode", taken(result="changed.train()"), r"in training mode"),
        ("norms left in training mode", taken(result="changed"), r"in training mode"),
        ("the network itself", taken(copied="network"), r"change a copy"),
        ("a shallow copy", taken(copied="copy.copy(network)"), r"change a copy"),
        ("still the branch", taken(replace="pass"), r"still depends on its input"),
        (
            "another branch",
            taken(replace='setattr(part, "branch1", Constant(maps.mean((0, 2, 3))))'),
            r"raised RuntimeError",
        ),
        ("deleted", taken(replace="delattr(part, branch)"), r"has no|raised"),
        ("the mean alone", taken(result="maps.mean(dim=(0, 2, 3))"), r"a network is expected"),
        ("no return", taken(result="None"), r"`return` missing"),
        ("a network", "take_away = nn.ReLU()", r"A function is expected"),
        (
            "weights trained",
            taken(again="changed(images); changed.classifier.linear.weight.add_(0.1)"),
            r"weight classifier\.linear\.weight has changed",
        ),
    ],
}

right_answers = {
    "inception.1": [
        ("same", naive(('"same"', '"same"', '"same"'))),
        ("pairs", naive(("(0, 0)", "(1, 1)", "(2, 2)"), join="torch.concat(branches, 1)")),
        (
            "functional",
            """
class NaiveInception(nn.Module):
    def __init__(self, in_channels, one, three, five):
        super().__init__()
        sizes = {1: one, 3: three, 5: five}
        self.convs = nn.ModuleList(
            nn.Conv2d(in_channels, out, k, padding=(k - 1) // 2) for k, out in sizes.items()
        )

    def forward(self, maps):
        found = [torch.relu(conv(maps)) for conv in self.convs]
        found.append(F.max_pool2d(maps, 3, stride=1, padding=1))
        return torch.cat(found, dim=-3)
""",
        ),
    ],
    "inception.2": [
        ("numbers", costs()),
        ("floats", costs(naive=float(196 * NAIVE), out=512.0)),
        ("tensors", costs(channels="torch.tensor(928)")),
    ],
    "inception.3": [
        ("a class", module()),
        (
            "a function",
            """
class Join(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, maps):
        return torch.hstack([branch(maps) for branch in self.branches])


def Inception(in_channels, one, three, five, pool):
    conv, relu = nn.Conv2d, nn.ReLU
    return Join(
        nn.Sequential(conv(in_channels, one, 1), relu()),
        nn.Sequential(
            conv(in_channels, three[0], 1), relu(), conv(*three, 3, padding=1), relu(True)
        ),
        nn.Sequential(conv(in_channels, five[0], 1), relu(), conv(*five, 5, padding=2), relu()),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(in_channels, pool, 1), relu()),
    )
""",
        ),
        (
            "one ReLU at the end",
            module().replace(
                "return torch.cat([b1, b2, b3, b4], dim=1)",
                "return torch.cat([b4, b1, b2, b3], dim=1).roll(-b4.shape[1], 1).relu()",
            ),
        ),
        ("the course's", "from utils.networks.googlenet import Inception\n"),
    ],
    "inception.4": [
        ("a tensor", widths(result="torch.tensor(found)")),
        ("an array", "import numpy as np\n" + widths(result="np.array(found)")),
        (
            "accumulated",
            "import itertools\n\n\ndef channels_without_projection(modules, in_channels):\n"
            "    steps = [m[0] + m[1][1] + m[2][1] for m in modules.values()]\n"
            "    return list(itertools.accumulate(steps, initial=in_channels))[1:]\n",
        ),
        ("a tuple", widths(result="tuple(found)")),
        ("plain", widths()),
    ],
    "inception.5": [
        ("a list", 'wrong_rows = ["5a", "4c"]'),
        ("a set", 'wrong_rows = {"4c", "5a"}'),
        ("a tuple", 'wrong_rows = ("4c", "5a")'),
    ],
    "inception.7": [
        (
            "a sum",
            "def training_loss(logits, auxiliary, labels):\n"
            "    ce, others = nn.CrossEntropyLoss(), auxiliary.values()\n"
            "    return ce(logits, labels) + 0.3 * sum(ce(other, labels) for other in others)\n",
        ),
        (
            "by hand",
            "def training_loss(logits, auxiliary, labels):\n"
            "    def one(x):\n"
            "        return -x.log_softmax(1).gather(1, labels[:, None]).mean()\n"
            "    return one(logits) + sum([0.3 * one(x) for x in auxiliary.values()])\n",
        ),
        ("items", loss(others="[v for _, v in auxiliary.items()]")),
    ],
    "inception.8": [
        ("plain", thin(ROW, RELU, COLUMN, RELU)),
        (
            "same",
            thin(
                'nn.Conv2d(in_channels, out_channels, (1, n), padding="same")',
                RELU,
                'nn.Conv2d(out_channels, out_channels, (n, 1), padding="same")',
                RELU,
            ),
        ),
        (
            "a class",
            """
class factorised(nn.Module):
    def __init__(self, i, o, k):
        super().__init__()
        self.down = nn.Conv2d(o, o, (k, 1), padding=(k // 2, 0))
        self.across = nn.Conv2d(i, o, (1, k), padding=(0, k // 2))

    def forward(self, maps):
        return self.down(self.across(maps).relu()).relu()
""",
        ),
    ],
    "inception.6": [
        ("plain", taken()),
        (
            "momentum 1",
            taken(norm="layer.momentum = 1.0; layer.train()"),
        ),
        (
            "a parameter-free expand",
            taken(constant="self.values.view(1, -1, 1, 1) + 0 * maps[:, :1]"),
        ),
        (
            "measured piece by piece",
            """
import copy


class Constant(nn.Module):
    def __init__(self, values):
        super().__init__()
        self.register_buffer("values", values)

    def forward(self, maps):
        return self.values[None, :, None, None].repeat(len(maps), 1, *maps.shape[2:])


def take_away(network, module, branch, images):
    network = copy.deepcopy(network).eval()
    maps = images
    with torch.no_grad():
        for name, layer in network.features.named_children():
            if name == module:
                mean = getattr(layer, branch)(maps).mean(dim=(0, 2, 3))
                setattr(layer, branch, Constant(mean))
                break
            maps = layer(maps)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1
            norm.train()
        network(images)
        for norm in norms:
            norm.eval()
    return network
""",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "inception.4": [
        (
            "Both are used in the same way, in a sum.",
            "`three` and `five` exchanged",
        ),
    ],
    "inception.6": [
        (
            "The import and the class are given by the exercise already; a tensor may be "
            "stored before `super().__init__()`.",
            "without `import copy`",
            "without `class Constant(nn.Mo … , width)`",
            "`super().__init__()` and `self.values = values` exchanged",
        ),
        (
            "Images and maps of this network are square.",
            "`height` and `width` exchanged in `count, _, height, wi … ps.shape`",
            "`height` and `width` exchanged in `return self.values[: … , width)`",
        ),
        (
            "The branch with the hook leaves the network, and the order of these steps does"
            " not matter; one batch was seen; gradients would be recorded and not used; a "
            "mean does not mind the order of its dimensions.",
            "`seen = []` and `handle = getattr(par … 2, 3))))` exchanged",
            "without `handle.remove()`",
            "`handle.remove()` and `setattr(part, branch … een[0]))` exchanged",
            "`setattr(part, branch … een[0]))` and `for layer in changed … .train()` exchanged",
            "without `torch.no_grad()`",
            "`0` and `2` exchanged",
            "`2` and `3` exchanged",
            "`handle.remove()` becomes `handle`",
            "`0` becomes `-1` in `setattr(part, branch … een[0]))`",
            "`layer.reset_running_stats()` and `layer.momentum = None` exchanged",
            "`layer.momentum = None` and `layer.train()` exchanged",
        ),
    ],
}
accepted = {
    "inception.5": [
        (
            "Which rows are wrong is asked for, not their order; a set is right as well.",
            "answer: [0] and [1] exchanged",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------


def probe_inception_4(channels_without_projection):
    modules = {
        "a": (5, (1, 7), (2, 3), 4),
        "b": (8, (3, 2), (6, 9), 1),
        "c": (1, (1, 1), (1, 2), 3),
    }
    return list(channels_without_projection(modules, 11))


def probe_inception_6(take_away):
    network, images = networks.build("googlenet_small", dropout=0.3), torch.randn(12, 1, 28, 28)
    found = []
    for place in (("inception4a", "branch2"), ("inception4a", "branch4")):
        changed = take_away(network, *place, images)
        with torch.no_grad():
            found += [changed(torch.randn(5, 1, 28, 28)), changed.training, network.training]
        found += [b.detach() for b in changed.buffers()]
    return found
