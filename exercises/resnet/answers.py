"""Answers to the exercises of chapter 08."""

import torch
from torch import nn

from utils import networks


def counts(parameters=230_144, macs=179_830_784, blocks=27, option_b=2_752):
    return (
        f'counts = {{"parameters": {parameters}, "macs": {macs}, "blocks": {blocks}, '
        f'"option_b": {option_b}}}'
    )


def basic(result="(z + maps).relu()", **changes):
    """Source of a BasicBlock with these lines."""
    get = changes.get
    return f"""
class BasicBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = {get("conv1", "nn.Conv2d(channels, channels, 3, padding=1, bias=False)")}
        self.norm1 = {get("norm1", "nn.BatchNorm2d(channels)")}
        self.conv2 = {get("conv2", "nn.Conv2d(channels, channels, 3, padding=1, bias=False)")}
        self.norm2 = {get("norm2", "nn.BatchNorm2d(channels)")}
        {get("more", "pass")}

    def forward(self, maps):
        {get("before", "pass")}
        first = {get("first", "self.norm1(self.conv1(maps)).relu()")}
        z = {get("z", "self.norm2(self.conv2(first))")}
        {get("last", "return")} {result}
"""


CONV1 = "nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)"
CONV2 = "nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)"
NORM, RELU = "nn.BatchNorm2d(out_channels)", "nn.ReLU()"
ONE = "nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)"


def down(
    result="(self.branch(maps) + self.shortcut(maps)).relu()",
    branch=(CONV1, NORM, RELU, CONV2, NORM),
    shortcut=(ONE, NORM),
    default=2,
):
    """Source of a DownBlock with these layers."""
    return f"""
class DownBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride={default}):
        super().__init__()
        self.branch = nn.Sequential({", ".join(branch)})
        self.shortcut = nn.Sequential({", ".join(shortcut)})

    def forward(self, maps):
        return {result}
"""


def padded(line, kept="maps[:, :, ::stride, ::stride]"):
    """Source of a zero_pad that returns this."""
    return f"""
def zero_pad(maps, out_channels, stride=2):
    kept = {kept}
    missing = out_channels - maps.shape[1]
    return {line}
"""


PAD = "F.pad(kept, (0, 0, 0, 0, 0, missing))"


def bottleneck(result="(self.branch(maps) + self.shortcut(maps)).relu()", **changes):
    """Source of a Bottleneck with these settings."""
    get = changes.get
    middle = get("middle", "nn.Conv2d(width, width, 3, stride, padding=1, bias=False)")
    return f"""
class Bottleneck(nn.Module):
    def __init__(self, in_channels, width, stride=1):
        super().__init__()
        out_channels = {get("out", "4 * width")}
        self.branch = nn.Sequential(
            {get("first", "nn.Conv2d(in_channels, width, 1, bias=False)")},
            {get("norm1", "nn.BatchNorm2d(width)")},
            {get("relu1", "nn.ReLU()")},
            {middle},
            {get("norm2", "nn.BatchNorm2d(width)")},
            {get("relu2", "nn.ReLU()")},
            {get("last", "nn.Conv2d(width, out_channels, 1, bias=False)")},
            {get("norm3", "nn.BatchNorm2d(out_channels)")},
        )
        self.shortcut = nn.Identity()
        if {get("when", "stride != 1 or in_channels != out_channels")}:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, {get("stride", "stride")}, bias=False),
                {get("norm", "nn.BatchNorm2d(out_channels)")},
            )

    def forward(self, maps):
        return {result}
"""


def pre(result="z + maps", **changes):
    """Source of a PreActivation with these lines."""
    get = changes.get
    return f"""
class PreActivation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = {get("conv1", "nn.Conv2d(channels, channels, 3, padding=1, bias=False)")}
        self.norm2 = {get("norm2", "nn.BatchNorm2d(channels)")}
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, maps):
        {get("before", "pass")}
        active = {get("active", "self.norm1(maps).relu()")}
        z = {get("z", "self.conv2(self.norm2(self.conv1(active)).relu())")}
        return {result}
"""


def longer(*lines, result="nn.Sequential(*stage, ResidualBlock(branch, nn.Identity()))"):
    """Source of a lengthen with these lines."""
    body = "\n    ".join(("branch = basic_branch(channels, channels)", *lines))
    return f"""
import copy
from utils.networks.resnet import ResidualBlock, basic_branch


def lengthen(stage, channels):
    {body}
    return {result}
"""


ZERO = "nn.init.zeros_(branch.norm2.weight)"


def without(**changes):
    """Source of an accuracy_without with these lines."""
    get = changes.get
    return f"""
import copy


def accuracy_without(network, images, labels):
    {get("copied", "network = copy.deepcopy(network)")}
    {get("mode", "network.eval()")}
    found = {{}}
    for stage_name in {get("stages", '("stage1", "stage2", "stage3")')}:
        stage = getattr(network.features, stage_name)
        for name, block in list(stage.named_children()):
            if {get("skip", "not isinstance(block.shortcut, nn.Identity)")}:
                continue
            {get("take", "setattr(stage, name, nn.Identity())")}
            with torch.no_grad():
                right = network(images).argmax(dim=1) == labels
            value = {get("value", "right.float().mean().item()")}
            found[{get("key", 'f"{stage_name}.{name}"')}] = value
            {get("back", "setattr(stage, name, block)")}
    {get("last", "return found")}
"""


wrong_answers = {
    "resnet.1": [
        ("no norms", counts(229_376), r"batch norms are missing"),
        ("two norms", counts(229_888), r"three batch norms; the shortcut"),
        ("one number a channel", counts(229_760), r"a weight and a bias for each channel"),
        ("biases", counts(230_528), r"no biases"),
        ("running statistics", counts(230_912), r"no parameters"),
        ("no shortcut", counts(221_696), r"1×1 convolution is missing"),
        ("shortcut without its convolution", counts(221_952), r"1×1 convolution is missing"),
        ("first as second", counts(2 * 147_456 + 8_192 + 768), r"first convolution takes 64"),
        ("shortcut 3x3", counts(221_184 + 9 * 8_192 + 768), r"1×1, not 3×3"),
        ("first convolution alone", counts(73_984), r"second one and the shortcut are missing"),
        ("1×1 as 2×2", counts(254_720), r"stride adds no weights"),
        ("channels added", counts(4_992), r"multiplied, not added"),
        ("biases in place of norms", counts(229_760), r"count biases of convolutions"),
        ("norms of 256", counts(229_632), r"room for one batch norm; there are three"),
        ("in thousands", counts(230.144), r'"parameters": 230\.144 .*in thousands'),
        ("macs without stride", counts(macs=229_376 * 56 * 56), r'"macs": .*28 · 28 positions'),
        (
            "first at full size",
            counts(macs=73_728 * 3136 + 155_648 * 784),
            r"first convolution has stride 2",
        ),
        ("macs without shortcut", counts(macs=221_184 * 784), r'"macs": .*1×1 convolution'),
        ("macs twice", counts(macs=2 * 179_830_784), r"One multiply-accumulate"),
        ("macs with norms", counts(macs=230_144 * 784), r"Only the MACs of the convolutions"),
        ("macs with norms, once", counts(macs=229_760 * 784), r"Only the MACs of the convolutions"),
        ("macs and parameters", counts(macs=229_376 * 784 + 768), r"Only the MACs of the conv"),
        ("macs with the addition", counts(macs=179_931_136), r"The addition .* is no MAC"),
        ("macs at 27·27", counts(macs=167_215_104), r"not 27 · 27"),
        ("macs for one output", counts(macs=1_354_752), r"128 output channels are missing"),
        ("macs in millions", counts(macs=179.8), r'"macs": 179\.8 .*in millions'),
        ("n", counts(blocks=9), r'"blocks": .*three stages'),
        ("layers", counts(blocks=54), r"each block has two"),
        ("half", counts(blocks=28), r"linear layer as a block"),
        ("without - 2", counts(blocks=9.33), r"Take 2 from 56"),
        ("one too few", counts(blocks=26), r"54 of the 56 layers are in blocks"),
        ("3×3 of the branch", counts(option_b=13_824), r"3×3 convolutions of the branch"),
        ("1×1 as 2×2 in B", counts(option_b=10_432), r"stride adds no weights"),
        ("the block above", counts(option_b=8_448), r"shortcut of the block above"),
        ("channels added in B", counts(option_b=144), r"multiplied, not added"),
        ("no norms in B", counts(option_b=2_560), r'"option_b": .*batch norm as well'),
        ("one shortcut", counts(option_b=576), r"first of the two"),
        ("option C", counts(option_b=14_240), r"option C"),
        ("three projections", counts(option_b=3_040), r"keeps the shape"),
        ("whole network", counts(option_b=272_474), r"how many more"),
        ("ResNet-18's channels", counts(option_b=41_728), r"channels of ResNet-18"),
        ("ResNet-18's channels, no norms", counts(option_b=40_960), r"batch norms are missing"),
        ("channels changed later", counts(119_424), r"The first convolution changes the channels"),
        ("both strides 2", counts(macs=93_126_656), r"it has stride 1 and computes 28 · 28"),
        ("a list", "counts = [230144, 179830784, 27, 2752]", r"A dictionary with the keys"),
        ("a text", counts("'many'"), r'"parameters": A number is expected'),
    ],
    "resnet.2": [
        ("no shortcut", basic("z.relu()"), r"shortcut is missing: this is a plain block"),
        (
            "a call without maps",
            basic(first="self.norm1(self.conv1()).relu()"),
            r"your BasicBlock \(given a tensor .*\) raised TypeError: .*line \d+ of your cell",
        ),
        ("nothing but z", basic("z"), r"shortcut and the last ReLU are missing"),
        ("no last ReLU", basic("z + maps"), r"ReLU after the addition is missing"),
        ("ReLU before", basic("z.relu() + maps"), r"comes before the addition"),
        ("ReLU before and after", basic("(z.relu() + maps).relu()"), r"One ReLU too many"),
        ("ReLU on both", basic("z.relu() + maps.relu()"), r"ReLUs on both sides"),
        ("ReLU on shortcut", basic("(z + maps.relu()).relu()"), r"ReLU of its own"),
        ("minus", basic("(z - maps).relu()"), r"subtracted"),
        ("times", basic("(z * maps).relu()"), r"multiplied"),
        ("twice", basic("(z + z).relu()"), r"added to itself"),
        ("mean", basic("((z + maps) / 2).relu()"), r"divided by two"),
        ("doubled", basic("2 * (z + maps).relu()"), r"multiplied by two"),
        ("shortcut alone", basic("maps.relu()"), r"shortcut alone"),
        ("from the first ReLU", basic("(z + first).relu()"), r"begins after the first ReLU"),
        ("no middle ReLU", basic(first="self.norm1(self.conv1(maps))"), r"first ReLU is missing"),
        (
            "norm after ReLU",
            basic(first="self.norm1(self.conv1(maps).relu())"),
            r"first batch norm comes after the first ReLU",
        ),
        (
            "biases",
            basic(
                conv1="nn.Conv2d(channels, channels, 3, padding=1)",
                conv2="nn.Conv2d(channels, channels, 3, padding=1)",
            ),
            r"no bias",
        ),
        (
            "one norm for both",
            basic(z="self.norm1(self.conv2(first))", norm2="None"),
            r"a layer of its own",
        ),
        (
            "one convolution",
            basic(conv2="self.conv1"),
            r"the one layer `self.conv1` is called 2 times",
        ),
        ("a tuple", basic("(z + maps).relu(),"), r"gives a tuple; a tensor is right"),
        ("a list", basic("[(z + maps).relu()]"), r"gives a list; a tensor is right"),
        (
            "first convolution twice",
            basic(z="self.norm2(self.conv1(first))"),
            r"`self.conv2` is never used: the one layer `self.conv1` is called 2 times",
        ),
        (
            "first norm twice",
            basic(z="self.norm1(self.conv2(first))"),
            r"`self.norm2` is never used",
        ),
        (
            "norm after the addition",
            basic("self.norm2(z + maps).relu()", z="self.conv2(first)"),
            r"batch norm comes after the addition",
        ),
        (
            "F.relu, no shortcut",
            basic("F.relu(z)"),
            r"missing.*functions that `forward` calls are not listed",
        ),
        (
            "no norms",
            basic(
                norm1="None", norm2="None", first="self.conv1(maps).relu()", z="self.conv2(first)"
            ),
            r"two batch norms are missing",
        ),
        (
            "a projection",
            basic(
                "(z + self.one(maps)).relu()", more="self.one = nn.Conv2d(channels, channels, 1)"
            ),
            r"a convolution .* is too many",
        ),
        (
            "a projection without bias",
            basic(
                "(z + self.one(maps)).relu()",
                more="self.one = nn.Conv2d(channels, channels, 1, bias=False)",
            ),
            r"a convolution .* is too many",
        ),
        (
            "no padding",
            basic(conv1="nn.Conv2d(channels, channels, 3, bias=False)"),
            r"padding 1",
        ),
        ("in place", basic(before="maps = maps.relu_()"), r"changes its input in place"),
        (
            "four channels always",
            basic().replace("channels, channels", "4, 4"),
            r"the argument `channels`",
        ),
        ("no forward result", basic(last="out ="), r"`return`|nothing"),
        (
            "pre-activation",
            basic(
                "z + maps",
                first="self.conv1(self.norm1(maps).relu())",
                z="self.conv2(self.norm2(first).relu())",
            ),
            r"pre-activation block",
        ),
        (
            "pre-activation, then a ReLU",
            basic(
                "(z + maps).relu()",
                first="self.conv1(self.norm1(maps).relu())",
                z="self.conv2(self.norm2(first).relu())",
            ),
            r"pre-activation block \(with a ReLU at the end\)",
        ),
        ("ReLU6", basic("F.relu6(z + maps)"), r"cut at 6, as by a ReLU6"),
        (
            "ReLU6 in the middle",
            basic(first="F.relu6(self.norm1(self.conv1(maps)))"),
            r"cut at 6, as by a ReLU6",
        ),
        ("cut at 6", basic("(z + maps).clamp(0, 6)"), r"cut at 6, as by a ReLU6"),
        ("second norm not called", basic(z="self.conv2(first)"), r"norm2` .* never called: it be"),
        (
            "first norm not called",
            basic(first="self.conv1(maps).relu()"),
            r"norm1` .* never called: it belongs after the first convolution",
        ),
        (
            "always the batch's statistics",
            basic(
                first="F.batch_norm(self.conv1(maps), self.norm1.running_mean, "
                "self.norm1.running_var, self.norm1.weight, self.norm1.bias, training=True).relu()"
            ),
            r"does not know the mode",
        ),
        (
            "always the running statistics",
            basic(
                z="F.batch_norm(self.conv2(first), self.norm2.running_mean, "
                "self.norm2.running_var, self.norm2.weight, self.norm2.bias)"
            ),
            r"does not know the mode",
        ),
        ("a layer not called", basic("nn.ReLU(z + maps)"), r"made and not called"),
        ("finished block", basic() + "\n\nBasicBlock = BasicBlock(4)\n", r"already built"),
        ("a number", "BasicBlock = 4", r"A function or class"),
    ],
    "resnet.3": [
        ("another default", down().replace("stride=2", "stride=1"), r"should be stride=2"),
        ("no default", down().replace("stride=2", "stride"), r"`stride` would get no value"),
        (
            "no stride",
            down(shortcut=(ONE.replace(", stride", ""), NORM)),
            r"should have stride",
        ),
        ("no norm", down(shortcut=(ONE,)), r"shortcut has no batch norm"),
        (
            "no norm and no stride",
            down(shortcut=(ONE.replace(", stride", ""),)),
            r"1×1 convolution needs the stride",
        ),
        (
            "the branch's norm in the shortcut",
            down(
                "(self.branch(maps) + self.branch[4](self.shortcut(maps))).relu()", shortcut=(ONE,)
            ),
            r"uses the branch's batch norm",
        ),
        (
            "one norm, after the addition",
            down(
                "self.shortcut[1](self.branch(maps) + self.shortcut[0](maps)).relu()",
                branch=(CONV1, NORM, RELU, CONV2),
            ),
            r"One batch norm comes after the addition",
        ),
        ("branch without its last norm", down(branch=(CONV1, NORM, RELU, CONV2)), r"last batch n"),
        ("branch without its first norm", down(branch=(CONV1, RELU, CONV2, NORM)), r"first batch"),
        (
            "averaged, sizes that do not fit",
            down(shortcut=("nn.AvgPool2d(stride)", ONE.replace(", stride", ""), NORM)),
            r"averages the pixels that the stride skips; it",
        ),
        (
            "averaged after the norm",
            down(shortcut=(ONE.replace(", stride", ""), NORM, "nn.AvgPool2d(stride)")),
            r"averages the pixels .* after its batch norm",
        ),
        (
            "max pooled, sizes that do not fit",
            down(shortcut=("nn.MaxPool2d(stride)", ONE.replace(", stride", ""), NORM)),
            r"highest of the pixels",
        ),
        (
            "skips after the norm",
            down(shortcut=(ONE.replace(", stride", ""), NORM, "nn.MaxPool2d(1, stride)")),
            r"skips pixels after its batch norm",
        ),
        (
            "a bias for the norm",
            down(shortcut=(ONE.replace(", bias=False", ""),)),
            r"bias in place of a batch norm",
        ),
        (
            "bias and norm",
            down(shortcut=(ONE.replace(", bias=False", ""), NORM)),
            r"should have no bias",
        ),
        (
            "ReLU still before",
            down(
                "self.branch(maps) + self.shortcut(maps)",
                branch=(CONV1, NORM, RELU, CONV2, NORM, RELU),
            ),
            r"comes before the addition",
        ),
        (
            "ReLU twice",
            down(branch=(CONV1, NORM, RELU, CONV2, NORM, RELU)),
            r"One ReLU too many",
        ),
        (
            "no ReLU",
            down("self.branch(maps) + self.shortcut(maps)"),
            r"after the addition is miss",
        ),
        (
            "ReLU in the shortcut",
            down(shortcut=(ONE, NORM, RELU)),
            r"ReLU of its own; the only ReLU outside the branch is after the addition",
        ),
        (
            "norm of the input's channels, after the convolution",
            down(shortcut=(ONE, "nn.BatchNorm2d(in_channels)")),
            r"comes after the convolution, so it needs `out_channels`",
        ),
        (
            "norm before the convolution",
            down(shortcut=("nn.BatchNorm2d(in_channels)", ONE)),
            r"channels of the input; it should be after the convolution",
        ),
        (
            "the input itself is added",
            down("(self.branch(maps) + maps).relu()"),
            r"made and never called: `forward` adds the block's input",
        ),
        (
            "channels swapped in the shortcut",
            down(shortcut=("nn.Conv2d(out_channels, in_channels, 1, stride, bias=False)", NORM)),
            r"takes 6 channels and gives 4; it should take 4",
        ),
        ("doubled", down("2 * (self.branch(maps) + self.shortcut(maps)).relu()"), r"by two"),
        (
            "averaged",
            down(
                shortcut=(
                    "nn.AvgPool2d(stride, ceil_mode=True)",
                    ONE.replace(", stride", ""),
                    NORM,
                )
            ),
            r"averages the pixels",
        ),
        (
            "max pooled",
            down(
                shortcut=(
                    "nn.MaxPool2d(stride, ceil_mode=True)",
                    ONE.replace(", stride", ""),
                    NORM,
                )
            ),
            r"highest of the pixels",
        ),
        (
            "stride 2 always",
            down(shortcut=(ONE.replace("stride", "2"), NORM)),
            r"shortcut's stride is always 2",
        ),
        (
            "stride taken from the branch",
            down(
                branch=(CONV1.replace("3, stride", "3, 1"), NORM, RELU, CONV2, NORM),
                shortcut=(ONE.replace(", stride", ""), NORM),
            ),
            r"shape",
        ),
        (
            "stride on the second",
            down(
                branch=(
                    CONV1.replace("3, stride", "3"),
                    NORM,
                    RELU,
                    CONV2.replace("3,", "3, stride,"),
                    NORM,
                )
            ),
            r"should have stride 2 \(the argument `stride`\), not 1",
        ),
        ("3x3 shortcut", down(shortcut=(CONV1, NORM)), r"should be 1×1"),
        ("no shortcut", down("self.branch(maps).relu()", shortcut=()), r"has no parameters"),
        ("shortcut unused", down("self.branch(maps).relu()"), r"shortcut is missing"),
        ("no middle ReLU", down(branch=(CONV1, NORM, CONV2, NORM)), r"first ReLU is missing"),
        ("norm before", down(shortcut=("nn.BatchNorm2d(in_channels)", ONE)), r"channels of the in"),
        ("a finished block", down() + "\n\nDownBlock = DownBlock(4, 6)\n", r"already built"),
        ("a tuple", down("(self.branch(maps) + self.shortcut(maps)).relu(),"), r"gives a tuple"),
    ],
    "resnet.4": [
        (
            "channels and rows",
            padded("F.pad(kept, (0, 0, 0, 0, 0, out_channels - kept.shape[1]))").replace(
                "maps[:, :, ::stride, ::stride]", "maps[:, ::stride, ::stride]"
            ),
            r"skips channels and rows",
        ),
        (
            "pixels set to zero",
            """
def zero_pad(maps, out_channels, stride=2):
    mask = torch.zeros_like(maps)
    mask[:, :, ::stride, ::stride] = 1
    return F.pad(maps * mask, (0, 0, 0, 0, 0, out_channels - maps.shape[1]))
""",
            r"set to zero and stay",
        ),
        (
            "whole with stride 1",
            padded(f"{PAD} if stride > 1 else maps"),
            r"With stride 1 `maps` comes back",
        ),
        (
            "whole where none is missing",
            padded(f"{PAD} if missing else maps"),
            r"should be skipped there too",
        ),
        (
            "zeros as large as maps",
            padded("torch.cat([kept, maps.new_zeros(len(maps), missing, *maps.shape[2:])], 1)"),
            r"zeros have the height and width of `maps`",
        ),
        (
            "zeros rounded down",
            padded(
                "torch.cat([kept, maps.new_zeros(len(maps), missing, maps.shape[2] // stride, "
                "maps.shape[3] // stride)], 1)"
            ),
            r"zeros are rounded down",
        ),
        (
            "zeros of another type",
            padded("torch.cat([kept, torch.zeros(len(kept), missing, *kept.shape[2:])], dim=1)"),
            r"float32 numbers; what goes in is float16",
        ),
        (
            "zeros under the images",
            padded("torch.cat([kept, torch.zeros_like(kept)])"),
            r"axis of the images",
        ),
        (
            "resized",
            padded(PAD, "F.interpolate(maps, scale_factor=1 / stride, mode='bilinear')"),
            r"resized",
        ),
        ("in front", padded("F.pad(kept, (0, 0, 0, 0, missing, 0))"), r"before the channels"),
        (
            "both sides",
            padded("F.pad(kept, (0, 0, 0, 0, missing // 2, missing - missing // 2))"),
            r"both sides",
        ),
        (
            "both sides, more in front",
            padded("F.pad(kept, (0, 0, 0, 0, missing - missing // 2, missing // 2))"),
            r"both sides.*more are in front",
        ),
        (
            "half on each side",
            padded("F.pad(kept, (0, 0, 0, 0, missing // 2, missing // 2))"),
            r"both sides.*rounded down",
        ),
        (
            "zeros between",
            """
def zero_pad(maps, out_channels, stride=2):
    kept = maps[:, :, ::stride, ::stride]
    result = kept.new_zeros(len(maps), out_channels, *kept.shape[2:])
    result[:, ::2] = kept
    return result
""",
            r"at the places \[0, 2, 4\].*should come first",
        ),
        (
            "numpy",
            """
def zero_pad(maps, out_channels, stride=2):
    kept = maps.detach().numpy()[:, :, ::stride, ::stride]
    missing = out_channels - maps.shape[1]
    return __import__("numpy").pad(kept, ((0, 0), (0, missing), (0, 0), (0, 0)))
""",
            r"a NumPy array; a torch tensor",
        ),
        ("from one", padded(PAD, "maps[:, :, 1::stride, 1::stride]"), r"begin with the first"),
        (
            "last of each",
            padded(PAD, "maps[:, :, stride - 1 :: stride, stride - 1 :: stride]"),
            r"from the last of each",
        ),
        (
            "a small corner",
            padded(PAD, "maps[:, :, : maps.shape[2] // stride, : maps.shape[3] // stride]"),
            r"corner",
        ),
        ("average", padded(PAD, "F.avg_pool2d(maps, stride, ceil_mode=True)"), r"averaged"),
        ("average, cut", padded(PAD, "F.avg_pool2d(maps, stride)"), r"average pooling"),
        ("max", padded(PAD, "F.max_pool2d(maps, stride, ceil_mode=True)"), r"max pooling"),
        ("rows only", padded(PAD, "maps[:, :, ::stride]"), r"rows only"),
        ("columns only", padded(PAD, "maps[..., ::stride]"), r"columns only"),
        ("no stride", padded(PAD, "maps"), r"stride is missing"),
        ("two always", padded(PAD, "maps[:, :, ::2, ::2]"), r"always 2"),
        (
            "second first",
            padded(PAD, "maps[:, :, 1 % stride::stride, 1 % stride::stride]"),
            r"begin with the first",
        ),
        (
            "a corner",
            padded(PAD, "maps[:, :, :-(-maps.shape[2] // stride), :-(-maps.shape[3] // stride)]"),
            r"corner",
        ),
        ("repeated", padded("torch.cat([kept] * out_channels, 1)[:, :out_channels]"), r"repeated"),
        ("ones", padded("F.pad(kept, (0, 0, 0, 0, 0, missing), value=1.0)"), r"ones"),
        ("no zeros", padded("kept"), r"channels of zeros are missing"),
        ("too many", padded("F.pad(kept, (0, 0, 0, 0, 0, out_channels))"), r"only those that are"),
        ("doubled", padded("torch.cat([kept, torch.zeros_like(kept)], 1)"), r"As many channels"),
        ("beside the pixels", padded("F.pad(kept, (0, missing))"), r"counts axes from the last"),
        ("detached", padded(PAD.replace("kept,", "kept.detach(),")), r"no gradient"),
        ("nothing", padded("None"), r"`return` missing"),
        ("a number", "zero_pad = 3", r"A function is expected"),
    ],
    "resnet.5": [
        ("another default", bottleneck().replace("stride=1", "stride=2"), r"should be stride=1"),
        (
            "stride on the first",
            bottleneck(
                first="nn.Conv2d(in_channels, width, 1, stride, bias=False)",
                middle="nn.Conv2d(width, width, 3, padding=1, bias=False)",
            ),
            r"stride is on the first 1×1",
        ),
        (
            "stride on the last",
            bottleneck(
                last="nn.Conv2d(width, out_channels, 1, stride, bias=False)",
                middle="nn.Conv2d(width, width, 3, padding=1, bias=False)",
            ),
            r"stride is on the last 1×1",
        ),
        ("shortcut without stride", bottleneck(stride="1"), r"should have stride"),
        (
            "shortcut without norm",
            bottleneck(norm="nn.Identity()"),
            r"`self.shortcut` a batch norm is missing",
        ),
        (
            "bias in the shortcut",
            bottleneck().replace(
                "stride, bias=False),\n                nn.B", "stride),\n                nn.B"
            ),
            r"should have no bias",
        ),
        ("a tuple", bottleneck("(self.branch(maps) + self.shortcut(maps)).relu(),"), r"a tuple"),
        ("projection always", bottleneck(when="True"), r"the shape stays, so the shortcut"),
        ("only with stride", bottleneck(when="stride != 1"), r"cannot be the identity"),
        (
            "only with channels",
            bottleneck(when="in_channels != out_channels"),
            r"cannot be the identity",
        ),
        (
            "no middle ReLU",
            bottleneck(relu2="nn.Identity()"),
            r"second ReLU is missing",
        ),
        ("no first ReLU", bottleneck(relu1="nn.Identity()"), r"first ReLU is missing"),
        (
            "no ReLUs",
            bottleneck(relu1="nn.Identity()", relu2="nn.Identity()"),
            r"ReLUs are missing",
        ),
        (
            "no last norm",
            bottleneck(norm3="nn.Identity()"),
            r"third convolution in `self.branch` a batch norm",
        ),
        (
            "no first norm",
            bottleneck(norm1="nn.Identity()"),
            r"first convolution in `self.branch` a batch norm",
        ),
        ("middle 1x1", bottleneck(middle="nn.Conv2d(width, width, 1, stride, bias=False)"), r"3×3"),
        ("twice as wide", bottleneck(out="2 * width"), r"4 \* width = "),
        ("as wide as it came", bottleneck(out="in_channels"), r"4 \* width = "),
        ("no shortcut", bottleneck("self.branch(maps).relu()"), r"shortcut is missing"),
        (
            "three ReLUs",
            bottleneck("(self.branch(maps).relu() + self.shortcut(maps)).relu()"),
            r"One ReLU too many",
        ),
        (
            "ReLU before",
            bottleneck("self.branch(maps).relu() + self.shortcut(maps)"),
            r"comes before the addition",
        ),
        (
            "no last ReLU",
            bottleneck("self.branch(maps) + self.shortcut(maps)"),
            r"after the addition is missing",
        ),
        (
            "no padding",
            bottleneck(middle="nn.Conv2d(width, width, 3, stride, bias=False)"),
            r"padding 1",
        ),
        ("biases", bottleneck().replace(", bias=False", ""), r"no bias"),
        (
            "averaged on the shortcut",
            bottleneck(stride="1", norm="nn.BatchNorm2d(out_channels), nn.AvgPool2d(1)").replace(
                "nn.Conv2d(in_channels, out_channels, 1, 1,",
                "nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(in_channels, out_channels, 1, 1,",
            ),
            r"averages the pixels",
        ),
        (
            "pre-activation",
            bottleneck(
                first="nn.BatchNorm2d(in_channels), nn.ReLU(), "
                "nn.Conv2d(in_channels, width, 1, bias=False)",
                norm3="nn.Identity()",
            ),
            r"Norm and ReLU come before each convolution",
        ),
        (
            "projection not used",
            bottleneck("(self.branch(maps) + (maps if len(self.branch) == 0 else 0)).relu()"),
            r"made and never called|shortcut is missing",
        ),
        (
            "a finished block",
            bottleneck() + "\n\nBottleneck = Bottleneck(8, 2)\n",
            r"already built",
        ),
    ],
    "resnet.6": [
        ("ReLU at the end", pre("(z + maps).relu()"), r"ReLU after the addition"),
        ("a tuple", pre("z + maps,"), r"gives a tuple; a tensor is right"),
        (
            "one norm twice",
            pre(z="self.conv2(self.norm1(self.conv1(active)).relu())"),
            r"`self.norm2` is never used",
        ),
        (
            "one half twice",
            pre(z="self.conv1(self.norm1(self.conv1(active)).relu())"),
            r"not used at all: `self.norm2` and `self.conv2`",
        ),
        (
            "added too early",
            pre("z", z="self.conv2(self.norm2(self.conv1(active)).relu() + maps)"),
            r"comes before the last convolution",
        ),
        (
            "added before the second norm",
            pre("z", z="self.conv2(self.norm2(self.conv1(active) + maps).relu())"),
            r"comes before the second batch norm",
        ),
        ("norm not called", pre(z="self.conv2(self.conv1(active).relu())"), r"never called: it b"),
        ("shortcut too late", pre("z + active"), r"begins after the first batch norm and ReLU"),
        (
            "shortcut after the norm",
            pre(before="maps = self.norm1(maps)", active="maps.relu()"),
            r"begins after the first batch norm; it",
        ),
        ("ReLU on the shortcut", pre("z + maps.relu()"), r"ReLU on the shortcut"),
        ("no shortcut", pre("z"), r"shortcut is missing"),
        ("half the sum", pre("(z + maps) / 2"), r"divided by two"),
        ("no shortcut but a ReLU", pre("z.relu()"), r"shortcut is missing, and a ReLU"),
        ("no first ReLU", pre(active="self.norm1(maps)"), r"first ReLU is missing"),
        ("no second ReLU", pre(z="self.conv2(self.norm2(self.conv1(active)))"), r"second ReLU"),
        (
            "no ReLUs",
            pre(active="self.norm1(maps)", z="self.conv2(self.norm2(self.conv1(active)))"),
            r"ReLUs are missing",
        ),
        (
            "the first paper's",
            pre(
                "(z + maps).relu()",
                active="self.norm1(self.conv1(maps)).relu()",
                z="self.norm2(self.conv2(active))",
            ),
            r"block of the first paper",
        ),
        (
            "post without the ReLU",
            pre(active="self.norm1(self.conv1(maps)).relu()", z="self.norm2(self.conv2(active))"),
            r"come after the convolutions",
        ),
        (
            "ReLU then norm",
            pre(
                active="self.norm1(maps.relu())",
                z="self.conv2(self.norm2(self.conv1(active).relu()))",
            ),
            r"second batch norm comes after the second ReLU",
        ),
        ("in place", pre(before="maps = maps.relu_()"), r"changes its input in place"),
        ("one norm", pre(norm2="self.norm1"), r"a layer of its own"),
        (
            "biases",
            pre(conv1="nn.Conv2d(channels, channels, 3, padding=1)"),
            r"should have no bias",
        ),
        ("a number", "PreActivation = 8", r"A function or class"),
    ],
    "resnet.7": [
        (
            "an identity",
            longer(result="nn.Sequential(*stage, nn.Identity())"),
            r"nothing that could",
        ),
        ("nothing zero", longer(), r"last batch norm's weight is 1"),
        (
            "the first norm",
            longer("nn.init.zeros_(branch.norm1.weight)"),
            r"not moved|outputs differ",
        ),
        (
            "everything zero",
            longer("for p in branch.parameters(): nn.init.zeros_(p)"),
            r"too much of the block is zero",
        ),
        (
            "the convolutions zero",
            longer("nn.init.zeros_(branch.conv1.weight); nn.init.zeros_(branch.conv2.weight)"),
            r"not moved",
        ),
        ("frozen", longer(ZERO, "branch.requires_grad_(False)"), r"frozen"),
        ("the old one frozen", longer(ZERO, "stage.requires_grad_(False)"), r"frozen"),
        ("the old one in evaluation mode", longer(ZERO, "stage.eval()"), r"was in training mode"),
        ("the old one in training mode", longer(ZERO, "stage.train()"), r"was in evaluation mode"),
        (
            "no shortcut",
            longer(ZERO, result="nn.Sequential(*stage, ResidualBlock(branch, None))"),
            r"does the new block have its shortcut",
        ),
        (
            "in front",
            longer(ZERO, result="nn.Sequential(ResidualBlock(branch, nn.Identity()), *stage)"),
            r"is the new block in front",
        ),
        (
            "appended to the old one",
            longer(ZERO, "stage.append(ResidualBlock(branch, nn.Identity()))", result="stage"),
            r"has been changed",
        ),
        (
            "appended and copied",
            longer(
                ZERO,
                "stage.append(ResidualBlock(branch, nn.Identity()))",
                result="copy.deepcopy(stage)",
            ),
            r"has been changed",
        ),
        ("the old one", longer(result="stage"), r"has been changed|nothing that could"),
        (
            "the bias too",
            longer(ZERO, "nn.init.ones_(branch.norm2.bias)"),
            r"last batch norm's bias is not 0",
        ),
        (
            "the old one's zeroed",
            longer(ZERO, "nn.init.zeros_(stage[-1].branch.norm2.weight)"),
            r"Weights of the stage",
        ),
        ("only the block", longer(ZERO, result="nn.Sequential(branch)"), r"convolutions more"),
        (
            "two blocks",
            longer(
                ZERO,
                result="nn.Sequential(*stage, *[ResidualBlock(branch, "
                "nn.Identity()), ResidualBlock(copy.deepcopy(branch), nn.Identity())])",
            ),
            r"2 blocks more",
        ),
        (
            "the last one replaced",
            longer(ZERO, result="nn.Sequential(*stage[:-1], ResidualBlock(branch, nn.Identity()))"),
            r"as many blocks as the old one",
        ),
        (
            "a 1×1 shortcut",
            longer(
                ZERO,
                "one = nn.Conv2d(channels, channels, 1, bias=False)",
                result="nn.Sequential(*stage, ResidualBlock(branch, one))",
            ),
            r"its shortcut is `nn.Identity\(\)`",
        ),
        (
            "a plain block",
            longer(
                "nn.init.dirac_(branch.conv1.weight); nn.init.dirac_(branch.conv2.weight)",
                result="nn.Sequential(*stage, ResidualBlock(branch, None))",
            ),
            r"it has no shortcut",
        ),
        ("a list", longer(ZERO, result="[*stage]"), r"a new `nn.Sequential`"),
        ("nothing", longer(ZERO, result="None"), r"`return` missing"),
        ("a number", "lengthen = 3", r"A function is expected"),
    ],
    "resnet.8": [
        (
            "the first 100 images",
            without(
                value="right[:100].float().mean().item()",
            ),
            r"",
        ),
        ("training mode", without(mode="network.train()"), r"training mode"),
        ("as it comes", without(mode="pass"), r"training mode"),
        ("never put back", without(back="pass"), r"stay away"),
        ("not taken", without(take="pass"), r"block is still there"),
        ("zero", without(take="setattr(stage, name, nn.Threshold(float('inf'), 0.0))"), r"zero;"),
        (
            "shortcut taken",
            without(take="block.shortcut = None", back="block.shortcut = nn.Identity()"),
            r"branch kept",
        ),
        ("percent", without(value="100 * right.float().mean().item()"), r"percent"),
        ("counted", without(value="right.sum().item()"), r"divide by how many"),
        ("error", without(value="1 - right.float().mean().item()"), r"This is the error"),
        (
            "loss",
            without(
                mode="network.eval(); whole = (network(images).argmax(1) == labels).float().mean()",
                value="(whole - right.float().mean()).item()",
            ),
            r"loss of accuracy",
        ),
        (
            "the probability",
            without(value="network(images).softmax(1)[range(len(labels)), labels].mean().item()"),
            r"mean probability",
        ),
        (
            "the branch alone",
            without(take="setattr(stage, name, block.branch)"),
            r"only the branch",
        ),
        (
            "the norm's weight",
            without(
                take="norm = block.branch.norm2; kept = norm.weight.data; "
                "norm.weight.data = torch.zeros_like(kept)",
                back="norm.weight.data = kept",
            ),
            r"its bias is still added",
        ),
        (
            "cross-entropy",
            without(value="F.cross_entropy(network(images), labels).item()"),
            r"This is the loss",
        ),
        (
            "50 images",
            without(mode="network.eval(); images, labels = images[:50], labels[:50]"),
            r"Only the first 50 images",
        ),
        (
            "7 images",
            without(mode="network.eval(); images, labels = images[:7], labels[:7]"),
            r"Only the first 7 images",
        ),
        (
            "a new block",
            without(
                take="new = copy.deepcopy(block); setattr(stage, name, new); "
                "nn.init.normal_(new.branch.conv1.weight)"
            ),
            r"in a second try",
        ),
        (
            "three blocks each",
            without(skip="block not in [*stage][:3] or type(block.shortcut) is not nn.Identity"),
            r"has 5 blocks in each stage",
        ),
        ("short names", without(key="name"), r"no block called 'block1'"),
        (
            "without the first block",
            without(skip='name == "block1"'),
            r"stage1\.block1.* is missing",
        ),
        ("two stages", without(stages='("stage1", "stage2")'), r"stage3\.block2.* is missing"),
        (
            "changed shapes as well",
            without(
                skip="False",
                take="setattr(stage, name, nn.Identity() if isinstance(block.shortcut, "
                "nn.Identity) else block)",
            ),
            r"changes the shape",
        ),
        ("all of them", without(skip="False"), r"changes the shape, such as stage2.block1"),
        ("left in evaluation mode", without(copied="pass"), r"was in training mode"),
        (
            "frozen by the way",
            without(
                copied="was = network.training; network.requires_grad_(False)",
                last="network.train(was); return found",
            ),
            r"frozen now",
        ),
        (
            "left in training mode",
            without(copied="pass", last="network.train(); return found"),
            r"was in evaluation mode",
        ),
        ("left broken", without(copied="pass", mode="network.eval()", back="pass"), r"stay away"),
        (
            "the last one not put back",
            without(
                copied="pass",
                back="setattr(stage, name, block if stage_name != 'stage3' or name != 'block3' "
                "else nn.Identity())",
            ),
            r"not as it was",
        ),
        ("a list", without(last="return list(found.values())"), r"a dictionary is expected"),
        ("nothing", without(last="pass"), r"`return` missing"),
        ("empty", without(last="return {}"), r"empty"),
        (
            "statistics changed",
            without(copied="pass", mode="network.train(); network(images); network.eval()"),
            r"without this block, and with all others",
        ),
        ("a number", "accuracy_without = 0.5", r"A function is expected"),
    ],
}

right_answers = {
    "resnet.1": [
        ("as numbers", counts()),
        ("as floats", counts(230144.0, 179830784.0, 27.0, 2752.0)),
    ],
    "resnet.2": [
        ("other names and order", basic().replace("conv1", "a").replace("norm1", "b")),
        ("added in place", basic("z.add_(maps).relu_()")),
        (
            "functional batch norm",
            basic(
                z="F.batch_norm(self.conv2(first), self.norm2.running_mean, "
                "self.norm2.running_var, self.norm2.weight, self.norm2.bias, "
                "training=self.training, momentum=0.1)"
            ),
        ),
        (
            "F.relu and nn.Identity",
            basic("F.relu(z + self.same(maps))", more="self.same = nn.Identity()"),
        ),
        (
            "a Sequential",
            """
class BasicBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        norms = [nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)]
        convs = [nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in range(2)]
        self.net = nn.Sequential(convs[0], norms[0], nn.ReLU(inplace=True), convs[1], norms[1])

    def forward(self, x):
        return torch.clamp(x + self.net(x), min=0)
""",
        ),
        (
            "the course's own",
            """
from utils.networks.resnet import ResidualBlock, basic_branch


def BasicBlock(channels):
    return ResidualBlock(basic_branch(channels, channels), nn.Identity())
""",
        ),
    ],
    "resnet.3": [
        (
            "paths in a ModuleDict, the shortcut first",
            """
class DownBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=2):
        super().__init__()

        def conv_norm(c, k, s):
            conv = nn.Conv2d(c, out_channels, k, stride=s, padding=k // 2, bias=False)
            return [conv, nn.BatchNorm2d(out_channels)]

        shortcut = nn.Sequential(*conv_norm(in_channels, 1, stride))
        branch = [*conv_norm(in_channels, 3, stride), nn.ReLU(), *conv_norm(out_channels, 3, 1)]
        self.paths = nn.ModuleDict({"shortcut": shortcut, "branch": nn.Sequential(*branch)})

    def forward(self, maps):
        return F.relu(sum(path(maps) for path in self.paths.values()))
""",
        ),
        ("repaired", down()),
        (
            "sliced",
            down(
                "(self.branch(maps) + self.shortcut(maps[:, :, ::s, ::s])).relu()".replace(
                    "::s", "::self.branch[0].stride[0]"
                ),
                shortcut=(ONE.replace(", stride", ""), NORM),
            ),
        ),
        (
            "torchvision's",
            """
import torchvision


def DownBlock(in_channels, out_channels, stride=2):
    beside = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )
    return torchvision.models.resnet.BasicBlock(in_channels, out_channels, stride, beside)
""",
        ),
    ],
    "resnet.4": [
        (
            "with cat",
            padded("torch.cat([kept, kept.new_zeros(len(kept), missing, *kept.shape[2:])], dim=1)"),
        ),
        (
            "into zeros",
            """
def zero_pad(maps, out_channels, stride=2):
    rows, columns = range(0, maps.shape[2], stride), range(0, maps.shape[3], stride)
    out = maps.new_zeros(len(maps), out_channels, len(rows), len(columns))
    out[:, :maps.shape[1]] = maps[:, :, list(rows)][..., list(columns)]
    return out
""",
        ),
        ("max pooling of one pixel", padded(PAD, "F.max_pool2d(maps, 1, stride)")),
    ],
    "resnet.5": [
        (
            "a lazy layer",
            bottleneck().replace("nn.Conv2d(in_channels, width, 1", "nn.LazyConv2d(width, 1"),
        ),
        (
            "the shortcut's convolution by hand",
            bottleneck(
                "F.relu(self.branch(maps) + (maps if isinstance(self.shortcut, nn.Identity) else "
                "self.shortcut[1](F.conv2d(maps, self.shortcut[0].weight, "
                "stride=self.shortcut[0].stride))))"
            ),
        ),
        ("one by one", bottleneck("F.relu(self.shortcut(maps) + self.branch(maps))")),
        (
            "torchvision's",
            """
import torchvision


def Bottleneck(in_channels, width, stride=1):
    beside = None
    if stride != 1 or in_channels != 4 * width:
        beside = nn.Sequential(
            nn.Conv2d(in_channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
        )
    return torchvision.models.resnet.Bottleneck(in_channels, width, stride, beside)
""",
        ),
    ],
    "resnet.6": [
        ("step by step", pre()),
        ("shortcut first", pre("maps.clone().add_(z)")),
    ],
    "resnet.7": [
        ("the second convolution", longer("nn.init.zeros_(branch.conv2.weight)")),
        (
            "all copied",
            longer(
                "with torch.no_grad(): branch.norm2.weight.fill_(0)",
                result="nn.Sequential(*copy.deepcopy(stage), ResidualBlock(branch, nn.Identity()))",
            ),
        ),
    ],
    "resnet.8": [
        ("on a copy", without()),
        (
            "with a hook",
            """
def accuracy_without(network, images, labels):
    was = network.training
    network.eval()
    found = {}
    for stage, blocks in network.features.named_children():
        if not stage.startswith("stage"):
            continue
        for name, block in blocks.named_children():
            if type(block.shortcut) is nn.Identity:
                hook = block.register_forward_hook(lambda module, given, out: given[0])
                with torch.no_grad():
                    found[stage + "." + name] = (network(images).argmax(1) == labels).float().mean()
                hook.remove()
    network.train(was)
    return found
""",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "resnet.5": [
        (
            "A number may be computed before `super().__init__()`.",
            "`super().__init__()` and `out_channels = 4 * width` exchanged",
        ),
    ],
    "resnet.7": [
        (
            "The block adds branch and shortcut, in either order.",
            "`branch` and `nn.Identity()` exchanged",
        ),
    ],
    "resnet.8": [
        (
            "A dictionary with the same entries, in another order or with tensors without "
            "dimensions as numbers; replacing a block does not change the list of names.",
            "`network.eval()` and `found = {}` exchanged",
            "`'stage1'` and `'stage2'` exchanged",
            "`'stage2'` and `'stage3'` exchanged",
            "`list(stage.named_children())` becomes `stage.named_children()`",
            "`found[f'{stage_name} … ).item()` and `setattr(stage, name, block)` exchanged",
            "`right.float().mean().item()` becomes `right.float().mean()`",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------

probe_arguments = {  # how a network is built, and the shape of its input
    "resnet.5": (((4, 3, 2), (2, 4, 7, 5)), ((8, 2), (2, 8, 6, 6))),
}


def probe_resnet_7(lengthen):
    blocks = [networks.resnet.basic_branch(6, 6) for _ in range(2)]
    stage = nn.Sequential(*(networks.resnet.ResidualBlock(b, nn.Identity()) for b in blocks))
    longer, maps = lengthen(stage, 6), torch.randn(2, 6, 5, 7)
    results = [longer.train(mode)(maps).detach() for mode in (True, False)]
    return results, len(list(longer.parameters()))


def probe_resnet_8(accuracy_without):
    network = networks.build("resnet20", in_channels=1, width=4).train()
    images = torch.randn(200, 1, 14, 14)
    with torch.no_grad():  # as after a training: running statistics, and predictions that differ
        for _ in range(20):
            network(images)
        logits = network.eval()(images)
        network.classifier.linear.bias -= logits.mean(dim=0)
    labels = (logits - logits.mean(dim=0)).argmax(dim=1)
    seen = []
    for mode in (False, True):
        found = accuracy_without(network.train(mode), images, labels)
        seen += [dict(sorted(found.items())), network.training]
    return seen, network.eval()(images).detach()
