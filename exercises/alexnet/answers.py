"""Answers to the exercises of chapter 02."""

import torch

# --- alexnet.1 ------------------------------------------------------------------------------------


def sizes(formula="(size + 2 * p - k) // s + 1", layers=None, start="[]", result="found"):
    """Source of map_sizes with something changed."""
    plan = layers or (
        "[(11, 4, padding), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1),"
        " (3, 2, 0)]"
    )
    return f"""
def map_sizes(pixels, padding):
    size, found = pixels, {start}
    for k, s, p in {plan}:
        size = {formula}
        found.append(size)
    return {result}
"""


def plan(conv1="(11, 4, padding)", pool="(3, 2, 0)", conv2="(5, 1, 2)", conv="(3, 1, 1)"):
    return f"[{conv1}, {pool}, {conv2}, {pool}, {conv}, {conv}, {conv}, {pool}]"


# --- alexnet.2 ------------------------------------------------------------------------------------


def linear(fc6=37_752_832, all_three=58_631_144, percent=96.2):
    return f'linear_layers = {{"fc6": {fc6}, "all_three": {all_three}, "percent": {percent}}}'


# --- alexnet.3 ------------------------------------------------------------------------------------


def grouped(
    maps="maps[:, :half], maps[:, half:]",
    kernels="weight[:out], weight[out:]",
    biases="bias[:out], bias[out:]",
    result="torch.cat([one, two], 1)",
    padding="padding=padding",
):
    """Source of two_groups with something changed."""
    return f"""
def two_groups(maps, weight, bias, padding):
    half, out = maps.shape[1] // 2, weight.shape[0] // 2
    (a, b), (v, w), (p, q) = ({maps}), ({kernels}), ({biases})
    one = F.conv2d(a, v, p, {padding})
    two = F.conv2d(b, w, q, {padding})
    return {result}
"""


# --- alexnet.4 ------------------------------------------------------------------------------------

PARAMETERS = {1: 62_378_344, 2: 60_965_224, 4: 60_258_664}
MACS = {1: 1_135_256_096, 2: 724_406_816, 4: 518_982_176}


def costs(parameters=PARAMETERS, macs=MACS, keys=(1, 2, 4)):
    entries = ", ".join(f"{key}: ({parameters[key]}, {macs[key]})" for key in keys)
    return f"cost_of_groups = {{{entries}}}"


def times(values, factor):
    return {key: factor * value for key, value in values.items()}


# --- alexnet.5 ------------------------------------------------------------------------------------


def lrn(
    window="max(0, i - n // 2) : i + n // 2 + 1",
    total="near.square().sum(1)",
    value="maps[:, i] / (k + alpha * total) ** beta",
    first="",
    result="torch.stack(results, 1)",
):
    """Source of local_response_norm with something changed."""
    return f"""
def local_response_norm(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    results = []
    {first}
    for i in range(maps.shape[1]):
        near = maps[:, {window}]
        total = {total}
        results.append({value})
    return {result}
"""


# --- alexnet.6 ------------------------------------------------------------------------------------


def dropout(*body, init="self.p = p"):
    """Source of Dropout with these lines in forward."""
    lines = "\n        ".join(body)
    return f"""
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        {init}

    def forward(self, x):
        {lines}
"""


EVAL = "if not self.training: return x"
KEPT = "kept = torch.rand_like(x) >= self.p"
SCALED = "return x * kept / (1 - self.p)"


# --- alexnet.7 ------------------------------------------------------------------------------------


def repaired(
    conv3="nn.Conv2d(32, 48, kernel_size=3, padding=1)",
    conv4="nn.Conv2d(48, 48, kernel_size=3, padding=1, groups=2)",
    fc5="nn.Linear(48 * 2 * 2, 64)",
    fc6="nn.Linear(64, num_classes)",
    pool="nn.MaxPool2d(3, stride=2)",
    hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), 0.5, self.training)",
    last="self.fc6(hidden)",
    extra="pass",
):
    """Source of RepairedAlexNet with something changed."""
    return f"""
class RepairedAlexNet(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.pool = {pool}
        self.conv1 = nn.Conv2d(1, 16, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=5, padding=2)
        self.conv3 = {conv3}
        self.conv4 = {conv4}
        self.fc5 = {fc5}
        self.fc6 = {fc6}
        {extra}

    def forward(self, images):
        maps = self.pool(F.relu(self.conv1(images)))
        maps = self.pool(F.relu(self.conv2(maps)))
        maps = F.relu(self.conv3(maps))
        maps = self.pool(F.relu(self.conv4(maps)))
        hidden = {hidden}
        return {last}
"""


wrong_answers = {
    "alexnet.1": [
        (
            "a pooling after every convolution",
            sizes(layers=plan() + "[:4] + 3 * [(3, 1, 1), (3, 2, 0)]"),
            r"a pooling after every convolution",
        ),
        (
            "'same' in conv1",
            sizes("-(-size // s) if k == 11 else (size + 2 * p - k) // s + 1"),
            r"divided by 4, rounded up, as with padding 'same'",
        ),
        (
            "convolutions, then poolings",
            sizes(result="[found[i] for i in (0, 2, 4, 5, 6, 1, 3, 7)]"),
            r"convolutions come first here",
        ),
        (
            "all convolutions first",
            sizes(layers="[(11, 4, padding), (5, 1, 2)] + 3 * [(3, 1, 1)] + 3 * [(3, 2, 0)]"),
            r"All convolutions come first",
        ),
        (
            "not rounded",
            sizes("(size + 2 * p - k) / s + 1"),
            r"not rounded.*\(224, 1\)|not rounded",
        ),
        ("rounded up", sizes("-(-(size + 2 * p - k) // s) + 1"), r"rounded up; they should"),
        ("rounded to the nearest", sizes("round((size + 2 * p - k) / s) + 1"), r"to the nearest"),
        ("no + 1", sizes("(size + 2 * p - k) // s"), r"The \+ 1 is missing"),
        ("padding once", sizes("(size + p - k) // s + 1"), r"zeros on both sides"),
        (
            "pool stride 3",
            sizes(layers=plan(pool="(3, 3, 0)")),
            r"stride of the poolings is 3; it should be 2",
        ),
        (
            "pool 2x2",
            sizes(layers=plan(pool="(2, 2, 0)")),
            r"kernel size of the poolings is 2; it should be 3",
        ),
        (
            "pool stride 1",
            sizes(layers=plan(pool="(3, 1, 0)")),
            r"stride of the poolings is 1",
        ),
        (
            "conv2 without padding",
            sizes(layers=plan(conv2="(5, 1, 0)")),
            r"padding of conv2 is 0; it should be 2",
        ),
        (
            "conv2 padding 1",
            sizes(layers=plan(conv2="(5, 1, 1)")),
            r"padding of conv2 is 1; it should be 2",
        ),
        (
            "conv3 without padding",
            sizes(layers=plan(conv="(3, 1, 0)")),
            r"padding of conv3, conv4 and conv5 is 0",
        ),
        (
            "no paddings",
            sizes(layers=plan(conv2="(5, 1, 0)", conv="(3, 1, 0)")),
            r"\(1\) The padding of conv2 is 0.*\(2\) The padding of conv3, conv4 and",
        ),
        (
            "conv3 padding 2",
            sizes(layers=plan(conv="(3, 1, 2)")),
            r"padding of conv3, conv4 and conv5 is 2",
        ),
        (
            "conv1 stride 1",
            sizes(layers=plan(conv1="(11, 1, padding)")),
            r"stride of conv1 is 1; it should be 4",
        ),
        ("padding unused", sizes(layers=plan(conv1="(11, 4, 0)")), r"`padding` is not used"),
        ("no poolings", sizes(result="[found[i] for i in (0, 2, 4, 5, 6)]"), r"eight numbers"),
        ("input too", sizes(start="[pixels]"), r"begins with the size of the image"),
        ("the last alone", sizes(result="found[-1]"), r"This is one number"),
        ("returns nothing", sizes(result="None"), r"`return` missing"),
        ("a list", "map_sizes = [55, 27, 27, 13, 13, 13, 13, 6]", r"A function is expected"),
        (
            "one pooling forgotten",
            sizes(layers="[(11, 4, padding), (3, 2, 0), (5, 1, 2), (3, 1, 1), (3, 1, 1)]"),
            r"pool5|Eight sizes are expected, and 5 came back",
        ),
        ("size over stride", sizes("size // s"), r"kernel size and padding are missing"),
        ("padding four times", sizes("(size + 4 * p - k) // s + 1"), r"added four times"),
        (
            "padding for conv2 too",
            sizes(layers=plan(conv2="(5, 1, padding)")),
            r"padding of conv2 is the one that is meant for conv1",
        ),
        (
            "conv3 alone without padding",
            sizes(layers=plan().replace("(3, 1, 1)", "(3, 1, 0)", 1)),
            r"padding of conv3 is 0; it should be 1.*kernel size of conv3 is 5",
        ),
        (
            "poolings rounded up",
            sizes("-(-(size - k) // s) + 1 if s == 2 else (size + 2 * p - k) // s + 1"),
            r"sizes after the poolings are rounded up",
        ),
        (
            "stride and padding exchanged",
            sizes("(size + 2 * s - k) // max(p, 1) + 1"),
            r"Stride and padding have changed places",
        ),
        (
            "a pooling too many",
            sizes(layers=plan().replace("(3, 1, 1)", "(3, 1, 1), (3, 2, 0)", 1)),
            r"pooling too many, after conv3",
        ),
        ("pairs", sizes(result="[(n, n) for n in found]"), r"One number .* the height alone"),
        ("texts", sizes(result="[str(n) for n in found]"), r"should be numbers, .* text '55'"),
        (
            "a table of known cases",
            "def map_sizes(pixels, padding):\n"
            "    if pixels == 227 or padding == 2:\n"
            "        return [55, 27, 27, 13, 13, 13, 13, 6]\n"
            "    return [54, 26, 26, 12, 12, 12, 12, 5]",
            r"224 and 98 pixels give the same sizes",
        ),
        (
            "pool2 skipped",
            sizes("size if len(found) == 3 else (size + 2 * p - k) // s + 1"),
            r"pool2 leaves the size as it is",
        ),
        (
            "three mistakes",
            sizes("(size + 2 * p - k) // s + (0 if len(found) in (3, 5, 6) else 1)"),
            r"first wrong size is that after pool2\. The size after conv2, before it, is right",
        ),
        ("1 inside", sizes("(size + 2 * p - k + 1) // s"), r"The \+ 1 is inside the brackets"),
        ("no brackets", sizes("size + 2 * p - k // s + 1"), r"brackets are missing"),
        ("from the image", sizes("(pixels + 2 * p - k) // s + 1"), r"from the size of the image"),
        (
            "padding for all",
            sizes(layers=plan(conv2="(5, 1, padding)", conv="(3, 1, padding)")),
            r"`padding` is used for all five convolutions",
        ),
        (
            "a list outside",
            "found = []\n" + sizes().replace("size, found = pixels, []", "size = pixels") + "\n",
            r"remembers something between two calls",
        ),
        (
            "always the same",
            "def map_sizes(pixels, padding):\n    return [55]",
            r"is the same what",
        ),
    ],
    "alexnet.2": [
        ("of sixty million", linear(percent=97.7), r"divided by 60 million"),
        ("added to the whole", linear(percent=49.02), r"in the 60,965,224 already"),
        ("millions", linear(fc6=37.75), r'"fc6": 37.75 .*in millions'),
        ("all in millions", linear(all_three=58.63), r'"all_three".*in millions'),
        ("no biases", linear(fc6=37_748_736), r'"fc6": 37,748,736.*bias'),
        ("no weights of fc6", linear(all_three=20_882_408), "The weights of fc6 are missing"),
        ("biases of inputs", linear(fc6=37_757_952), r"4,096 of them, not 9,216"),
        ("maps as one number", linear(fc6=256 * 4096 + 4096), r"6 · 6 values; all"),
        ("6 not 36", linear(fc6=256 * 6 * 4096 + 4096), r"6 · 6 values, not 6"),
        ("one map", linear(fc6=36 * 4096 + 4096), r"256 maps, not one"),
        ("before pool5", linear(fc6=256 * 169 * 4096 + 4096), r"before pool5"),
        ("5x5", linear(fc6=6400 * 4096 + 4096), r"maps of 5×5, as in the AlexNet of the book"),
        ("the image", linear(fc6=154_587 * 4096 + 4096), r"connects fc6 to the image"),
        ("a bias too many", linear(fc6=9217 * 4097), r"\(inputs \+ 1\) \* outputs"),
        ("one card", linear(fc6=18_876_416), r"one of the two cards"),
        ("ten classes", linear(all_three=54_534_144 + 40_970), r"one for each class, not 10"),
        ("fc7 twice", linear(all_three=58_631_144 + 16_781_312), r"fc7 is counted twice"),
        ("added wrongly", linear(all_three=59_531_144), r"fc6 is right\. Work out fc7 and fc8"),
        ("divided wrongly", linear(percent=71.3), r"three layers together are right"),
        ("fc7", linear(fc6=16_781_312), r"This is fc7"),
        ("bytes", linear(fc6=4 * 37_752_832), r"bytes"),
        ("inputs", linear(fc6=9216), r"its inputs"),
        ("all weights", linear(all_three=58_621_952), r'"all_three".*every output has a bias'),
        ("fc8 forgotten", linear(all_three=54_534_144), r"fc8.*is missing"),
        ("fc6 forgotten", linear(all_three=20_878_312), r"fc6 is missing"),
        ("three times fc6", linear(all_three=3 * 37_752_832), r"not alike"),
        ("fc8 like fc7", linear(all_three=37_752_832 + 2 * 16_781_312), r"fc8 has 1,000"),
        ("the whole network", linear(all_three=60_965_224), r"whole network"),
        ("a fraction", linear(percent=58_631_144 / 60_965_224), r"in percent"),
        ("a rounded fraction", linear(percent=0.96), r"in percent"),
        ("fc6 alone", linear(percent=100 * 37_752_832 / 60_965_224), r"fc6 alone"),
        ("the rest", linear(percent=100 * (1 - 58_631_144 / 60_965_224)), r"of the convolutions"),
        ("no decimal", linear(percent=96), r"one decimal"),
        ("a text", linear(percent="'96.2 %'"), r"A number is expected"),
        ("three numbers", "linear_layers = (1, 2, 3)", r"A dictionary with the keys"),
        ("a key is missing", 'linear_layers = {"fc6": 37_752_832}', r'"percent" are missing'),
        ("cut off", linear(percent=96.1), r"cut off \(rounded to one decimal"),
        ("part to rest", linear(percent=2511.96), r"with the rest of the network"),
        ("three of eight", linear(percent=37.5), r"Three of eight layers"),
        ("a share of the MACs", linear(percent=8.09), r"share of the MACs"),
        ("384 maps", linear(fc6=384 * 36 * 4096 + 4096), r"pool5 gives 256 maps"),
        ("biases twice", linear(fc6=37_756_928), r"biases are counted twice"),
        ("biases of fc7 twice", linear(all_three=58_635_240), r"biases of fc6 or of fc7 .* twice"),
        ("biases of fc8", linear(all_three=58_634_240), r"1,000 biases, not 4,096"),
        ("product", linear(all_three="37_752_832 * 16_781_312 * 4_097_000"), r"are multiplied"),
        ("anything", linear(fc6=5), r'"fc6": 5 is not right'),
        ("a slip of the pen", linear(fc6=37_752_823), r"Two digits have changed places"),
        ("one bias", linear(fc6=37_748_737), r"Every one of the 4,096 outputs has a bias"),
        ("whole over part", linear(percent=103.98), r"whole is divided by the part"),
        ("inputs and outputs added", linear(fc6=13_312), r"multiplied, not added"),
    ],
    "alexnet.3": [
        ("second card first", grouped(result="torch.cat([two, one], 1)"), r"come first"),
        (
            "both see the first half",
            grouped(maps="maps[:, :half], maps[:, :half]"),
            r"Both halves of the kernels see the first half",
        ),
        (
            "both see the second half",
            grouped(maps="maps[:, half:], maps[:, half:]"),
            r"Both halves of the kernels see the second half",
        ),
        ("crossed", grouped(maps="maps[:, half:], maps[:, :half]"), r"crossed"),
        (
            "the same kernels",
            grouped(kernels="weight[:out], weight[:out]"),
            r"Both cards use the first half of the kernels\.",
        ),
        (
            "the same kernels and biases",
            grouped(kernels="weight[:out], weight[:out]", biases="bias[:out], bias[:out]"),
            r"first half of the kernels and of the biases",
        ),
        ("added", grouped(result="one + two"), r"are added"),
        ("one card", grouped(result="one"), r"Only the first card"),
        (
            "in turns",
            grouped(result="torch.stack([one, two], 2).flatten(1, 2)"),
            r"take turns",
        ),
        ("along the batch", grouped(result="torch.cat([one, two])"), r"along the batch"),
        ("along the height", grouped(result="torch.cat([one, two], 2)"), r"along the height"),
        ("no bias", grouped(biases="None, None"), r"bias is missing"),
        ("biases swapped", grouped(biases="bias[out:], bias[:out]"), r"bias have changed places"),
        ("one bias", grouped(biases="bias[:out], bias[:out]"), r"add the first half of the bias"),
        ("bias not halved", grouped(biases="bias, bias"), r"raised RuntimeError.*bias"),
        ("no padding", grouped(padding="padding=0"), r"padding is not used"),
        ("padding as stride", grouped(padding="stride=1"), r"padding is not used"),
        ("maps dealt out", grouped(maps="maps[:, ::2], maps[:, 1::2]"), r"maps are dealt out"),
        (
            "kernels dealt out",
            grouped(kernels="weight[::2], weight[1::2]", biases="bias[::2], bias[1::2]"),
            r"kernels are dealt out",
        ),
        (
            "torch's groups",
            "def two_groups(maps, weight, bias, padding):\n"
            "    return F.conv2d(maps, weight, bias, padding=padding, groups=2)",
            r"groups=2 does the whole job",
        ),
        (
            "torch's groups by position",
            "def two_groups(maps, weight, bias, padding):\n"
            "    return F.conv2d(maps, weight, bias, 1, padding, 1, 2)",
            r"groups=2 does the whole job",
        ),
        (
            "a layer with groups",
            "def two_groups(maps, weight, bias, padding):\n"
            "    layer = nn.Conv2d(maps.shape[1], len(bias), weight.shape[2], padding=padding,"
            " groups=2)\n"
            "    layer.weight.data, layer.bias.data = weight, bias\n"
            "    return layer(maps)",
            r"groups=2 does the whole job",
        ),
        (
            "all maps",
            "def two_groups(maps, weight, bias, padding):\n"
            "    return F.conv2d(maps, weight, bias, padding=padding)",
            r"maps are not halved: a convolution gets all 8",
        ),
        ("halved along the batch", grouped(maps="maps.chunk(2)[0], maps.chunk(2)[-1]"), r"axis 0"),
        (
            "halved along the height",
            grouped(maps="maps.chunk(2, 2)[0], maps.chunk(2, 2)[1]"),
            r"halved along the height \(axis 2\)",
        ),
        ("48 maps", grouped(maps="maps[:, :48], maps[:, 48:]"), r"a number such as 48"),
        (
            "no padding on the second card",
            grouped().replace("w, q, padding=padding", "w, q"),
            r"convolution of the second card has no padding",
        ),
        ("same", grouped(padding="padding='same'"), r"The padding is always 'same'"),
        ("stride 2", grouped(padding="padding=padding, stride=2"), r"The stride is 2; it should"),
        (
            "cut at half the maps",
            grouped(kernels="weight[:half], weight[half:]", biases="bias[:half], bias[half:]"),
            r"cut at half the number of maps",
        ),
        (
            "split(2)",
            "def two_groups(maps, weight, bias, padding):\n"
            "    a, b = maps.split(2, dim=1)\n"
            "    (v, w), (p, q) = weight.split(2), bias.split(2)\n"
            "    one, two = F.conv2d(a, v, p, 1, padding), F.conv2d(b, w, q, 1, padding)\n"
            "    return torch.cat([one, two], 1)",
            r"pieces of 2; `chunk\(2\)` cuts into 2 pieces",
        ),
        (
            "bias along the width",
            grouped(biases="None, None", result="torch.cat([one, two], 1) + bias"),
            r"bias is added along the wrong axis",
        ),
        (
            "another order",
            grouped().replace("maps, weight, bias, padding", "weight, maps, bias, padding"),
            r"the task's order is maps, weight, bias, padding",
        ),
        (
            "one bias only",
            grouped(biases="bias[:out], None"),
            r"bias of the second card is missing",
        ),
        ("a list", grouped(result="[one, two]"), r"two tensors; join them"),
        ("float64", grouped(result="torch.cat([one, two], 1).double()"), r"float64"),
        ("detached", grouped(result="torch.cat([one, two], 1).detach()"), r"no gradient flows"),
        (
            "another name",
            grouped().replace("padding)", "pad)").replace("padding=padding", "padding=pad"),
            r"the task's name `padding` is not among them",
        ),
        (
            "new layers",
            "def two_groups(maps, weight, bias, padding):\n"
            "    card = nn.Conv2d(maps.shape[1] // 2, len(bias) // 2, weight.shape[2], "
            "padding=padding)\n"
            "    return torch.cat([card(half) for half in maps.chunk(2, 1)], 1)",
            r"each call builds a new \w+, with new random weights",
        ),
        (
            "weights doubled",
            "def two_groups(maps, weight, bias, padding):\n"
            "    return F.conv2d(maps, torch.cat([weight, weight], 1), bias, padding=padding)",
            r"sees both halves of the maps, with the same weights",
        ),
    ],
    "alexnet.4": [
        (
            "three times the same network",
            costs(dict.fromkeys((1, 2, 4), 60_965_224), dict.fromkeys((1, 2, 4), 724_406_816)),
            r"All three are the network with two groups",
        ),
        (
            "from small to large",
            costs(
                {1: PARAMETERS[4], 2: PARAMETERS[2], 4: PARAMETERS[1]},
                {1: MACS[4], 2: MACS[2], 4: MACS[1]},
            ),
            r"groups=1 and groups=4 have changed places",
        ),
        ("MiB", costs(times(PARAMETERS, 4 / 2**20)), r"the size in MiB"),
        ("MB, rounded", costs({1: 250, 2: 244, 4: 241}), r"the size in MB"),
        (
            "ten classes",
            costs(
                {g: n - 990 * 4097 for g, n in PARAMETERS.items()},
                {g: n - 990 * 4096 for g, n in MACS.items()},
            ),
            r"for 10 classes",
        ),
        (
            "conv1 with stride 1",
            costs(macs={g: n + 34_848 * (227**2 - 55**2) for g, n in MACS.items()}),
            r"conv1 is counted at 227×227 places",
        ),
        (
            "conv2 before pool1",
            costs(macs={g: n + 614_400 // g * (55**2 - 27**2) for g, n in MACS.items()}),
            r"conv2 is counted at 55×55 places",
        ),
        ("millions", costs(macs=times(MACS, 1e-6)), r"in millions"),
        ("rounded millions", costs(parameters={1: 62.4, 2: 61.0, 4: 60.3}), r"in millions"),
        (
            "rounded MACs",
            costs(macs={1: 1_135_000_000, 2: 724_000_000, 4: 519_000_000}),
            r"This is rounded",
        ),
        (
            "conv3 grouped too",
            costs(
                parameters={1: 62_378_344, 2: 60_522_856, 4: 59_595_112},
                macs={1: 1_135_256_096, 2: 649_646_624, 4: 406_841_888},
            ),
            r"conv3 has been grouped too",
        ),
        (
            "texts as keys",
            costs() + "\ncost_of_groups = {str(k): v for k, v in cost_of_groups.items()}",
            r"keys are texts",
        ),
        ("only twice", costs(parameters=PARAMETERS | {1: 2 * PARAMETERS[2]}), r"does not double"),
        ("MACs twice", costs(macs=MACS | {1: 2 * MACS[2]}), r"does not double"),
        ("FLOPs", costs(macs=times(MACS, 2)), r"often called FLOPs"),
        (
            "turned around",
            costs(parameters={1: PARAMETERS[4], 2: PARAMETERS[2], 4: PARAMETERS[1]}),
            r"parameters for groups=1.*of 4 groups",
        ),
        (
            "always two",
            costs(parameters=dict.fromkeys((1, 2, 4), 60_965_224)),
            r"parameters of 2 groups",
        ),
        ("swapped", costs(parameters=MACS, macs=PARAMETERS), r"have changed places"),
        (
            "three layers",
            costs(parameters={1: 2_826_240, 2: 1_413_120, 4: 706_560}),
            r"These are the three layers",
        ),
        ("no biases", costs(parameters={g: v - 10_568 for g, v in PARAMETERS.items()}), r"a bias"),
        ("a key is missing", costs(keys=(1, 2)), r"keys 1, 2 and 4"),
        ("ratios", costs(PARAMETERS | {1: 1.023179116}), r"This is a ratio"),
        ("torchvision's", costs(PARAMETERS | {1: 61_100_840}), r"torchvision's network"),
        ("numbers alone", "cost_of_groups = {1: 5, 2: 6, 4: 7}", r"For groups=1 two numbers"),
        ("a text", costs(macs=dict.fromkeys((1, 2, 4), "'724 M'")), r"A number is expected"),
        ("parameters twice", costs(macs=PARAMETERS), r"groups=1 the parameters are there twice"),
        ("MACs twice over", costs(parameters=MACS), r"groups=1 the MACs are there twice"),
        (
            "convolutions alone",
            costs(parameters={g: v - 58_631_144 for g, v in PARAMETERS.items()}),
            r"convolutions alone; the linear layers are missing",
        ),
        (
            "linear layers alone",
            costs(macs=dict.fromkeys((1, 2, 4), 58_621_952)),
            r"linear layers alone; the convolutions are missing",
        ),
        ("64 images", costs(macs=times(MACS, 64)), r"is it for 64 images"),
        (
            "savings",
            costs({g: PARAMETERS[1] - v for g, v in PARAMETERS.items()}),
            r"These are the savings",
        ),
        (
            "grey images",
            costs(macs={g: v - 2 * 96 * 121 * 3025 for g, v in MACS.items()}),
            r"grey image",
        ),
        (
            "bias additions",
            costs(macs={g: v + 659_272 for g, v in MACS.items()}),
            r"Biases are added, not multiplied",
        ),
        (
            "all divided",
            costs(macs={g: MACS[1] // g for g in (1, 2, 4)}),
            r"Not the whole network gets smaller",
        ),
        (
            "a straight line",
            costs(parameters=PARAMETERS | {4: 2 * PARAMETERS[2] - PARAMETERS[1]}),
            r"in a straight line",
        ),
        (
            "only conv2",
            costs(macs={g: MACS[1] - 447_897_600 + 447_897_600 // g for g in (1, 2, 4)}),
            r"MACs for groups=2.*no groups in conv4 and in conv5",
        ),
        (
            "two layers",
            costs(macs={g: MACS[1] - 672_178_176 + 672_178_176 // g for g in (1, 2, 4)}),
            r"There are no groups in conv5",
        ),
        (
            "divided by the square",
            costs(
                parameters={
                    g: PARAMETERS[1] - 2_826_240 + 2_826_240 // g**2 + 0 * g for g in (1, 2, 4)
                }
            ),
            r"divided by groups twice",
        ),
        ("anything", costs(macs=MACS | {4: 7}), r'"MACs for groups=4": 7 is not right'),
    ],
    "alexnet.5": [
        ("beta multiplies", lrn(value="maps[:, i] / ((k + alpha * total) * beta)"), r"is a power"),
        (
            "k multiplied",
            lrn(value="maps[:, i] / (k * alpha * total) ** beta"),
            r"`k` is multiplied",
        ),
        ("power of the sum", lrn(value="maps[:, i] / (k + alpha * total**beta)"), r"the sum alone"),
        (
            "k is 2",
            lrn(value="maps[:, i] / (2 + alpha * total) ** beta"),
            r"`k` is not used: it is always 2",
        ),
        (
            "alpha is 1e-4",
            lrn(value="maps[:, i] / (k + 1e-4 * total) ** beta"),
            r"`alpha` is not used: it is always 1e-4",
        ),
        (
            "torch's two",
            lrn(value="maps[:, i] / (1 + alpha / n * total) ** beta"),
            r"Two things are as in torch",
        ),
        (
            "squared above",
            lrn(value="maps[:, i] ** 2 / (k + alpha * total) ** beta"),
            r"write.*maps\[:, i\]",
        ),
        (
            "a square root",
            lrn(value="maps[:, i] / (k + alpha * total).sqrt()"),
            r"0.5, a square root",
        ),
        (
            "alpha after the power",
            lrn(value="maps[:, i] / (k + total) ** beta * alpha"),
            r"Alpha multiplies the whole result",
        ),
        ("k in the sum", lrn(total="(k + near.square()).sum(1)"), r"write.*near\.square\(\)"),
        (
            "over the images",
            "def local_response_norm(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):\n"
            "    results = []\n"
            "    for i in range(len(maps)):\n"
            "        total = maps[max(0, i - n // 2) : i + n // 2 + 1].square().sum(0)\n"
            "        results.append(maps[i] / (k + alpha * total) ** beta)\n"
            "    return torch.stack(results)",
            r"goes over neighbouring images",
        ),
        ("the largest", lrn(total="near.square().amax(1)"), r"write.*near\.square\(\)\.sum"),
        (
            "over the images too",
            lrn(total="near.square().sum((0, 1))"),
            r"write `1` in place of `\(0, 1\)`",
        ),
        ("n + 2 maps", lrn("max(0, i - n // 2 - 1) : i + n // 2 + 2"), r"two maps too wide"),
        (
            "power of the fraction",
            lrn(value="(maps[:, i] / (k + alpha * total)) ** beta"),
            r"write.*maps\[:, i\] / \(k \+ alpha \* total\) \*\* beta",
        ),
        ("detached", lrn(total="near.detach().square().sum(1)"), r"another gradient"),
        ("sum squared", lrn(total="near.sum(1) ** 2"), r"write.*near\.square\(\)\.sum\(1\)"),
        ("sum of everything", lrn(total="near.square().sum()"), r"add.*1"),
        (
            "torch's layer",
            "def local_response_norm(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):\n"
            "    return F.local_response_norm(maps, n, n * alpha, beta, k)",
            r"torch's own layer",
        ),
        (
            "torch's layer as a module",
            "def local_response_norm(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):\n"
            "    return nn.LocalResponseNorm(n, n * alpha, beta, k)(maps)",
            r"torch's own layer",
        ),
        ("divided by n", lrn(total="near.square().sum(1) / n"), r"divided by n.*what torch does"),
        ("alpha over n", lrn(first="alpha = alpha / n"), r"Alpha is divided by n"),
        ("mean", lrn(total="near.square().mean(1)"), r"write.*near\.square\(\)\.sum"),
        ("alpha times n", lrn(first="alpha = alpha * n"), r"Alpha is multiplied by n"),
        (
            "k is 1",
            lrn(value="maps[:, i] / (1 + alpha * total) ** beta"),
            r"`k` is not used: there is a 1",
        ),
        (
            "over space",
            "def local_response_norm(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):\n"
            "    total = n * n * F.avg_pool2d(maps.square(), n, 1, n // 2)\n"
            "    return maps / (k + alpha * total) ** beta",
            r"neighbouring positions of the same map",
        ),
        ("last missing", lrn("max(0, i - n // 2) : i + n // 2"), r"last neighbour is missing"),
        ("first missing", lrn("max(0, i - n // 2 + 1) : i + n // 2 + 1"), r"first neighbour is"),
        ("n to either side", lrn("max(0, i - n) : i + n + 1"), r"n maps to either side"),
        ("ahead only", lrn("i : i + n"), r"begins at the map itself"),
        ("backwards only", lrn("max(0, i - n + 1) : i + 1"), r"looks backwards only"),
        (
            "wraps around",
            lrn("[j % maps.shape[1] for j in range(i - n // 2, i + n // 2 + 1)]"),
            r"write.*max\(0, i - n // 2\):i \+ n // 2 \+ 1",
        ),
        (
            "border repeated",
            lrn("[min(max(j, 0), maps.shape[1] - 1) for j in range(i - n // 2, i + n // 2 + 1)]"),
            r"border map is counted again",
        ),
        ("negative slice", lrn("i - n // 2 : i + n // 2 + 1"), r"write.*max\(0, i - n // 2\)"),
        ("all maps", lrn(":"), r"write.*maps\[:, max\(0, i - n // 2\):i \+ n // 2 \+ 1\]"),
        ("always five", lrn("max(0, i - 2) : i + 3"), r"window always has 5"),
        ("itself alone", lrn("i : i + 1"), r"write.*max\(0, i - n // 2\):i \+ n // 2 \+ 1"),
        (
            "without itself",
            lrn(total="near.square().sum(1) - maps[:, i].square()"),
            r"write.*near\.square\(\)\.sum\(1\)",
        ),
        ("not squared", lrn(total="near.sum(1)"), r"write.*near\.square\(\)"),
        ("absolute", lrn(total="near.abs().sum(1)"), r"write.*near\.square"),
        ("no beta", lrn(value="maps[:, i] / (k + alpha * total)"), r"power beta is missing"),
        (
            "a root",
            lrn(value="maps[:, i] / (k + alpha * total.sqrt()) ** beta"),
            r"root of the sum",
        ),
        (
            "k outside",
            lrn(value="maps[:, i] / (k + (alpha * total) ** beta)"),
            r"`k` is outside",
        ),
        (
            "multiplied",
            lrn(value="maps[:, i] * (k + alpha * total) ** beta"),
            r"write.*maps\[:, i\] / \(k \+ alpha \* total\) \*\* beta",
        ),
        (
            "divisor alone",
            lrn(value="(k + alpha * total) ** beta"),
            r"write.*maps\[:, i\] / \(k \+ alpha \* total\) \*\* beta",
        ),
        (
            "the paper's numbers",
            lrn(first="n, k, alpha, beta = 5, 2.0, 1e-4, 0.75"),
            r"Leave out.*n, k, alpha, beta = \(5, 2\.0, 0\.0001, 0\.75\)",
        ),
        ("joined along the batch", lrn(result="torch.cat(results)"), r"gives a tensor of shape"),
        ("stacked in front", lrn(result="torch.stack(results)"), r"gives a tensor of shape"),
        ("returns nothing", lrn(result="None"), r"`return` missing"),
        (
            "in place",
            "def local_response_norm(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):\n"
            "    old = maps.clone()\n"
            "    for i in range(maps.shape[1]):\n"
            "        total = old[:, max(0, i - n // 2) : i + n // 2 + 1].square().sum(1)\n"
            "        maps[:, i] /= (k + alpha * total) ** beta\n"
            "    return maps",
            r"changes its argument .*in place",
        ),
    ],
    "alexnet.6": [
        (
            "asks for the gradient, not for the mode",
            dropout("if not torch.is_grad_enabled(): return x", KEPT, SCALED),
            r"Whether gradients are computed decides",
        ),
        (
            "asks the input for its gradient",
            dropout("if not x.requires_grad: return x", KEPT, SCALED),
            r"Whether gradients are computed decides",
        ),
        (
            "switches training on",
            dropout("if not self.train(): return x", KEPT, SCALED),
            r"switches the mode itself, as `self.train\(\)`",
        ),
        (
            "a seed in forward",
            dropout(EVAL, "torch.manual_seed(0)", KEPT, SCALED),
            r"`forward` sets the seed",
        ),
        (
            "one mask for each shape",
            dropout(
                EVAL,
                "if x.shape not in self.masks: self.masks[x.shape] = torch.rand_like(x) >= self.p",
                "return x * self.masks[x.shape] / (1 - self.p)",
                init="self.p, self.masks = p, {}",
            ),
            r"kept in the module and used again",
        ),
        (
            "no super().__init__()",
            dropout(EVAL, KEPT, SCALED).replace("super().__init__()", "pass"),
            r"has to begin with `super\(\).__init__\(\)`",
        ),
        (
            "an instance",
            dropout(EVAL, KEPT, SCALED) + "Dropout = Dropout()",
            r"A class is expected, not a module",
        ),
        (
            "exactly the share",
            dropout(
                EVAL,
                "kept = torch.ones(x.numel())",
                "kept[torch.randperm(x.numel())[: round(self.p * x.numel())]] = 0",
                "return x * kept.reshape(x.shape) / (1 - self.p)",
            ),
            r"Exactly 4,000 values are dropped in every call",
        ),
        ("self.eval", dropout("if self.eval: return x", KEPT, SCALED), r"`self.eval` are methods"),
        (
            "training called",
            dropout("if not self.training(): return x", KEPT, SCALED),
            r"True or False and no function: write `self.training`",
        ),
        (
            "float32 always",
            dropout(EVAL, KEPT, "return x.float() * kept / (1 - self.p)"),
            r"In training mode it gives float32 numbers for float64 ones",
        ),
        (
            "a float32 mask",
            dropout(EVAL, KEPT, "return x * kept.float() / (1 - self.p)"),
            r"In training mode it gives float32 numbers for float16 ones",
        ),
        (
            "minus infinity",
            dropout(EVAL, KEPT, "return x.masked_fill(~kept, -torch.inf) / (1 - self.p)"),
            r"values that are dropped become -inf, not zero",
        ),
        (
            "the mask subtracted",
            dropout(EVAL, KEPT, "return (x - (~kept).float()).clamp(min=0) / (1 - self.p)"),
            r"Every negative value becomes zero",
        ),
        (
            "a mask from the start",
            dropout(
                EVAL, "return x * self.kept / (1 - self.p)", init="self.kept = torch.rand(100) >= p"
            ),
            r"another shape than the input\. Draw it in `forward`",
        ),
        (
            "in place",
            dropout(EVAL, KEPT, "x *= kept", "return x / (1 - self.p)"),
            r"in place, as `x \*= …`",
        ),
        (
            "no argument",
            "class Dropout(nn.Module):\n    def forward(self, x):\n"
            "        return 2 * x * (torch.rand_like(x) > 0.5) if self.training else x",
            r"hands over `p` alone, and yours takes nothing",
        ),
        (
            "one draw",
            dropout(EVAL, "kept = torch.rand(1) >= self.p", SCALED),
            r"one draw for the wh",
        ),
        (
            "minus one where dropped",
            dropout(EVAL, KEPT, "return torch.where(kept, x / (1 - self.p), -1.0)"),
            r"become -1, not zero",
        ),
        (
            "by the share kept",
            dropout(EVAL, KEPT, "return x * kept / kept.float().mean()"),
            r"share that happens to be kept",
        ),
        ("torch's module", "Dropout = nn.Dropout", r"torch's own dropout"),
        ("torch's function", dropout("return F.dropout(x, self.p, self.training)"), r"torch's own"),
        (
            "keeps with probability p",
            dropout(EVAL, "kept = torch.rand_like(x) < self.p", SCALED),
            r"80% of the values are zero.*probability to drop",
        ),
        ("not scaled", dropout(EVAL, KEPT, "return x * kept"), r"they are not scaled"),
        (
            "multiplied",
            dropout(EVAL, KEPT, "return x * kept * (1 - self.p)"),
            r"Divide by it instead of multiplying",
        ),
        ("divided by p", dropout(EVAL, KEPT, "return x * kept / self.p"), r"1 / p"),
        ("times two", dropout(EVAL, KEPT, "return 2 * x * kept"), r"right for p = 0.5 only"),
        ("on in evaluation", dropout(KEPT, SCALED), r"drops values in evaluation mode too"),
        (
            "as in 2012",
            dropout("if not self.training: return x * (1 - self.p)", KEPT, "return x * kept"),
            r"how the paper of 2012 did it",
        ),
        (
            "scaled twice",
            dropout("if not self.training: return x * (1 - self.p)", KEPT, SCALED),
            r"In evaluation mode the values are multiplied by 0.8",
        ),
        (
            "modes swapped",
            dropout("if self.training: return x", KEPT, SCALED),
            r"modes have changed places",
        ),
        ("p is not used", dropout(EVAL, "kept = torch.rand_like(x) >= 0.5", SCALED), r"p were not"),
        (
            "normal numbers",
            dropout(EVAL, "kept = torch.randn_like(x) >= self.p", SCALED),
            r"normal distribution \(`randn`\) is compared",
        ),
        (
            "one draw for all images",
            dropout(EVAL, "kept = torch.rand(x.shape[1:]) >= self.p", SCALED),
            r"same values are dropped in every image",
        ),
        (
            "whole images",
            dropout(
                EVAL,
                "kept = torch.rand(len(x), *[1] * (x.ndim - 1)) >= self.p",
                SCALED,
            ),
            r"Whole images are dropped",
        ),
        (
            "whole maps",
            dropout(
                EVAL,
                "size = x.shape[:2] + (1,) * (x.ndim - 2)",
                "kept = torch.rand(size) >= self.p",
                SCALED,
            ),
            r"Whole maps are dropped",
        ),
        (
            "a fixed seed",
            dropout(
                EVAL,
                "g = torch.Generator().manual_seed(0)",
                "kept = torch.rand(x.shape, generator=g) >= self.p",
                SCALED,
            ),
            r"second call drops the same values",
        ),
        (
            "in place",
            dropout(EVAL, "x[torch.rand_like(x) < self.p] = 0", "return x / (1 - self.p)"),
            r"changes its input in place",
        ),
        (
            "detached",
            dropout(EVAL, KEPT, "return x.detach() * kept / (1 - self.p)"),
            r"no gradient",
        ),
        (
            "drops small values",
            dropout(EVAL, "return x * (x.abs() > self.p)"),
            r"small values are dropped",
        ),
        ("the mask, not scaled", dropout(EVAL, KEPT, "return kept"), r"mask itself comes back"),
        (
            "the mask alone",
            dropout(EVAL, KEPT, "return kept / (1 - self.p)"),
            r"mask itself comes back",
        ),
        ("returns nothing", dropout(EVAL, KEPT, "x * kept / (1 - self.p)"), r"`return` missing"),
        ("compares x", dropout(EVAL, "kept = x >= self.p", SCALED), r"the input that is compared"),
        (
            "normal, the other way round",
            dropout(EVAL, "kept = torch.randn_like(x) < 1 - self.p", SCALED),
            r"normal distribution",
        ),
        (
            "percent",
            dropout(EVAL, "kept = 100 * torch.rand_like(x) >= self.p", SCALED),
            r"p taken for percent",
        ),
        ("float64", dropout(EVAL, KEPT, "return x.double() * kept / (1 - self.p)"), r"float64"),
        ("no brackets", dropout(EVAL, KEPT, "return x * kept / 1 - self.p"), r"brackets missing"),
        ("divided by the mask", dropout(EVAL, KEPT, "return x / kept"), r"divided by 0"),
        ("two axes", dropout(EVAL, "n, m = x.shape", KEPT, SCALED), r"of any shape"),
        (
            "the mode as an argument",
            dropout(EVAL, KEPT, SCALED).replace("(self, x)", "(self, x, training)"),
            r"`forward` takes `x` and `training`.*`self.training`",
        ),
        ("only where kept", dropout(EVAL, KEPT, "return x[kept]"), r"keeps the shape"),
        (
            "a function",
            "def Dropout(x):\n    return x * (torch.rand_like(x) > 0.5) * 2",
            r"A class is expected.*a function that gets the tensor itself",
        ),
    ],
    "alexnet.7": [
        (
            "maps of 3×3 made to fit",
            repaired(
                fc5="nn.Linear(48 * 3 * 3, 64)",
                hidden="F.dropout(F.relu(self.fc5(F.adaptive_avg_pool2d(maps, 3).flatten(1))), "
                "0.5, self.training)",
            ),
            "brought to 3×3 in front of fc5",
        ),
        (
            "fc5 wider",
            repaired(fc5="nn.Linear(48 * 2 * 2, 128)", fc6="nn.Linear(128, num_classes)"),
            r"write `nn.Linear\(48 \* 2 \* 2, 64\)`.*In line \d+, write `nn.Linear\(64, num_cl",
        ),
        *(
            (
                f"dropout by hand, {name}",
                repaired(
                    hidden="F.relu(self.fc5(maps.flatten(1)))\n"
                    "        if self.training:\n"
                    f"            hidden = hidden * {mask}"
                ),
                "",
            )
            for name, mask in (
                ("one draw for all images", "2 * torch.randint(0, 2, hidden.shape[1:])"),
                ("whole images", "2 * torch.randint(0, 2, (len(hidden), 1))"),
                ("not doubled", "torch.randint(0, 2, hidden.shape)"),
            )
        ),
        (
            "the mode asked once",
            repaired(
                extra="self.drop = self.training",
                hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), 0.5, self.drop)",
            ),
            r"`self.drop` is set once, in `__init__`",
        ),
        (
            "poolings of 2x2",
            repaired(pool="nn.MaxPool2d(2, stride=2)", fc5="nn.Linear(48 * 3 * 3, 64)"),
            r"poolings are 2×2 now.*were right",
        ),
        (
            "poolings of 2x2, dropout on",
            repaired(
                pool="nn.MaxPool2d(2, stride=2)",
                fc5="nn.Linear(48 * 3 * 3, 64)",
                hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), p=0.5)",
            ),
            r"were right, 3×3.*still on",
        ),
        (
            "the mode for p",
            repaired(hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), float(self.training))"),
            r"the mode is taken for p",
        ),
        (
            "a dropout made in forward",
            repaired(hidden="nn.Dropout(0.5)(F.relu(self.fc5(maps.flatten(1))))"),
            r"made in `forward`: it is new in each call",
        ),
        (
            "an own dropout made in forward",
            dropout(EVAL, KEPT, SCALED)
            + repaired(hidden="Dropout(0.5)(F.relu(self.fc5(maps.flatten(1))))"),
            r"made in `forward`: it is new in each call",
        ),
        (
            "a seed in forward",
            repaired(
                hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))) + 0 * len("
                "str(torch.manual_seed(0))), p=0.5)"
            ),
            r"`forward` sets the seed",
        ),
        (
            "eval in forward",
            repaired(last="self.eval().fc6(hidden)"),
            r"forward` switches the mode",
        ),
        (
            "training set in forward",
            repaired(last="self.train().fc6(hidden)"),
            r"forward` switches the mode itself, as by `self.train",
        ),
        (
            "the dropout of 2012",
            repaired(
                hidden="F.relu(self.fc5(maps.flatten(1)))\n"
                "        kept = torch.rand_like(hidden) > 0.5\n"
                "        hidden = hidden * kept if self.training else hidden / 2"
            ),
            r"dropout of 2012",
        ),
        (
            "no ReLU",
            repaired().replace("F.relu(self.conv3(maps))", "self.conv3(maps)"),
            r"conv3 is",
        ),
        (
            "no ReLU after conv4",
            repaired().replace("F.relu(self.conv4(maps))", "self.conv4(maps)"),
            r"ReLU after conv4 is gone",
        ),
        (
            "tanh",
            repaired(hidden="F.dropout(self.fc5(maps.flatten(1)).tanh(), 0.5, self.training)"),
            r"a tanh after fc5; the ReLU was right",
        ),
        (
            "half of the maps",
            repaired(conv4="nn.Conv2d(24, 48, kernel_size=3, padding=1, groups=2)").replace(
                "self.conv4(maps)", "self.conv4(maps[:, :24])"
            ),
            r"only the first 24 of the 48 maps",
        ),
        (
            "averaged",
            repaired(
                fc5="nn.Linear(48, 64)",
                hidden="F.dropout(F.relu(self.fc5(maps.mean((2, 3)))), 0.5, self.training)",
            ),
            r"averaged to one number",
        ),
        (
            "dropout twice",
            repaired(
                extra="self.drop = nn.Dropout(0.5)",
                hidden="self.drop(F.dropout(F.relu(self.fc5(maps.flatten(1))), 0.5))",
            ),
            r"there twice, and the `F.dropout`",
        ),
        (
            "groups and dropout gone",
            repaired(
                conv4="nn.Conv2d(48, 48, kernel_size=3, padding=1)",
                hidden="F.relu(self.fc5(maps.flatten(1)))",
            ),
            r"lost its two groups, and dropout is gone",
        ),
        (
            "four groups",
            repaired(conv4="nn.Conv2d(48, 48, kernel_size=3, padding=1, groups=4)"),
            r"groups 2, not (groups )?4",
        ),
        (
            "ReLU on the logits",
            repaired(last="self.fc6(hidden).relu()"),
            r"a ReLU at the end|ReLU too many",
        ),
        (
            "softmax",
            repaired(last="self.fc6(hidden).softmax(1)"),
            r"a softmax over the last axis .*at the end",
        ),
        (
            "p = 0.3",
            repaired(hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), 0.3, self.training)"),
            r"changed to 0.3",
        ),
        (
            "dropout still on",
            repaired(hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), p=0.5)"),
            r"still on in evaluation mode",
        ),
        (
            "dropout reversed",
            repaired(hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), 0.5, not self.training)"),
            r"on in evaluation and off in training",
        ),
        ("dropout gone", repaired(hidden="F.relu(self.fc5(maps.flatten(1)))"), r"gone altogether"),
        (
            "dropout off",
            repaired(hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), 0.5, False)"),
            r"gone altogether",
        ),
        (
            "dropout on the input",
            repaired(hidden="F.relu(self.fc5(F.dropout(maps.flatten(1), 0.5, self.training)))"),
            r"moved to the input of fc5",
        ),
        (
            "dropout on the logits",
            repaired(
                hidden="F.relu(self.fc5(maps.flatten(1)))",
                last="F.dropout(self.fc6(hidden), 0.5, self.training)",
            ),
            r"is on the logits",
        ),
        (
            "groups gone",
            repaired(conv4="nn.Conv2d(48, 48, kernel_size=3, padding=1)"),
            r"conv4 has lost its two groups",
        ),
        (
            "conv3 cut",
            repaired(
                conv3="nn.Conv2d(32, 24, kernel_size=3, padding=1)",
                conv4="nn.Conv2d(24, 48, kernel_size=3, padding=1, groups=2)",
            ),
            r"conv3 gives 24 maps now; it should give 48",
        ),
        (
            "poolings round up",
            repaired(pool="nn.MaxPool2d(3, stride=2, ceil_mode=True)", fc5="nn.Linear(432, 64)"),
            r"poolings round up now",
        ),
        (
            "poolings round up, dropout on",
            repaired(
                pool="nn.MaxPool2d(3, stride=2, ceil_mode=True)",
                fc5="nn.Linear(432, 64)",
                hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), p=0.5)",
            ),
            r"round up now, and dropout is still on",
        ),
        (
            "fc5 unchanged",
            repaired(fc5="nn.Linear(48 * 3 * 3, 64)"),
            r"raised RuntimeError.*fc5|mat1 and mat2",
        ),
        (
            "conv4 unchanged",
            repaired(conv4="nn.Conv2d(24, 48, kernel_size=3, padding=1, groups=2)"),
            r"raised RuntimeError.*48 channels",
        ),
        (
            "another share",
            repaired(hidden="F.dropout(F.relu(self.fc5(maps.flatten(1))), 0.2, self.training)"),
            r"share that is dropped",
        ),
        (
            "ReLU gone",
            repaired(hidden="F.dropout(self.fc5(maps.flatten(1)), 0.5, self.training)"),
            r"ReLU after fc5 is gone",
        ),
        ("ten classes always", repaired(fc6="nn.Linear(64, 10)"), r"7 logits each"),
        (
            "no padding",
            repaired(conv4="nn.Conv2d(48, 48, kernel_size=3, groups=2)", fc5="nn.Linear(48, 64)"),
            r"parameters",
        ),
        (
            "one network, not the class",
            repaired() + "RepairedAlexNet = RepairedAlexNet()",
            r"should stay the class",
        ),
        ("a tensor", "RepairedAlexNet = torch.zeros(3)", r"function or class that gives a module"),
    ],
}

right_answers = {
    "alexnet.1": [
        (
            "rounded down at the end only, which is the same",
            """
def map_sizes(pixels, padding):
    import math

    found, size = [], (pixels + 2 * padding - 11) / 4 + 1
    for shrinks in (False, True, False, True, False, False, False, True):
        size = (size - 3) / 2 + 1 if shrinks else size
        found.append(math.floor(size))
    return found
""",
        ),
        (
            "places counted",
            sizes("len(range(0, size + 2 * p - k + 1, s))"),
        ),
        (
            "a function inside",
            """
def map_sizes(pixels, padding):
    def after(size, k, s=1, p=0):
        return int((size - k + 2 * p) / s + 1)

    conv1 = after(pixels, 11, 4, padding)
    pool1 = after(conv1, 3, 2)
    pool2 = after(pool1, 3, 2)
    return [conv1, pool1, pool1, pool2, pool2, pool2, pool2, after(pool2, 3, 2)]
""",
        ),
        (
            "another formula",
            sizes("(size + 2 * p - k + s) // s", result="tuple(found)"),
        ),
        (
            "by torch",
            """
def map_sizes(pixels, padding):
    with torch.device("meta"):
        x, pool = torch.empty(1, 1, pixels, pixels), nn.MaxPool2d(3, 2)
        layers = [nn.Conv2d(1, 1, 11, 4, padding), pool, nn.Conv2d(1, 1, 5, padding=2), pool]
        layers += [nn.Conv2d(1, 1, 3, padding=1)] * 3 + [pool]
        sizes = []
        for layer in layers:
            x = layer(x)
            sizes.append(x.shape[2])
    return sizes
""",
        ),
    ],
    "alexnet.2": [
        ("rounded", linear()),
        ("two decimals", linear(percent=96.17)),
        ("a decimal", "from decimal import Decimal\n" + linear(percent="Decimal('96.2')")),
        (
            "tensors",
            "fc6 = torch.tensor(37_752_832)\n"
            'linear_layers = {"fc6": fc6, "all_three": fc6 + 20_878_312, "percent": 96.1715}',
        ),
    ],
    "alexnet.3": [
        ("slices", grouped()),
        (
            "by hand with unfold",
            """
def two_groups(maps, weight, bias, padding):
    n, c, h, w = maps.shape
    o, _, k, _ = weight.shape
    out = []
    for g in range(2):
        part = F.unfold(maps[:, g * c // 2 : (g + 1) * c // 2], k, padding=padding)
        rows = weight[g * o // 2 : (g + 1) * o // 2].flatten(1)
        out.append(rows @ part + bias[g * o // 2 : (g + 1) * o // 2, None])
    side = h + 2 * padding - k + 1
    return torch.cat(out, 1).reshape(n, o, side, -1)
""",
        ),
        (
            "one convolution with zeros",
            """
def two_groups(maps, weight, bias, padding):
    o, i, k, _ = weight.shape
    full = torch.zeros(o, 2 * i, k, k)
    full[: o // 2, :i], full[o // 2 :, i:] = weight[: o // 2], weight[o // 2 :]
    return F.conv2d(maps, full, bias, padding=padding)
""",
        ),
    ],
    "alexnet.4": [
        ("written down", costs()),
        (
            "tensors",
            costs() + "\ncost_of_groups = {g: torch.tensor(v) for g, v in cost_of_groups.items()}",
        ),
        (
            "by formula",
            """
layers = [(96, 256, 5, 27), (384, 384, 3, 13), (384, 256, 3, 13)]
cost_of_groups = {}
for g in (1, 2, 4):
    weights = [(i * o * k * k // g - i * o * k * k // 2, s * s) for i, o, k, s in layers]
    cost_of_groups[g] = [
        60_965_224 + sum(w for w, _ in weights),
        724_406_816 + sum(w * s for w, s in weights),
    ]
""",
        ),
    ],
    "alexnet.5": [
        ("slices", lrn()),
        (
            "padded and unfolded",
            """
def local_response_norm(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    padded = F.pad(maps**2, (0, 0, 0, 0, n // 2, n // 2))
    total = padded.unfold(1, n, 1).sum(-1)
    return maps * (k + alpha * total).pow(-beta)
""",
        ),
        (
            "as a convolution over the channels",
            """
def local_response_norm(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    squares = maps.pow(2).unsqueeze(1)
    total = F.conv3d(squares, torch.ones(1, 1, n, 1, 1), padding=(n // 2, 0, 0)).squeeze(1)
    return maps / (k + alpha * total) ** beta
""",
        ),
        (
            "average pooling over the padded channels",
            """
def local_response_norm(maps, n=5, k=2.0, alpha=1e-4, beta=0.75):
    padded = F.pad(maps.square()[:, None], (0, 0, 0, 0, n // 2, n // 2))
    mean = F.avg_pool3d(padded, (n, 1, 1), 1)[:, 0]
    return maps / (k + n * alpha * mean) ** beta
""",
        ),
    ],
    "alexnet.6": [
        (
            "its own backward",
            """
class Mask(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, mask):
        ctx.mask = mask
        return x * mask

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.mask, None


class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        return Mask.apply(x, (torch.rand_like(x) >= self.p).to(x.dtype) / (1 - self.p))
""",
        ),
        ("where", dropout(EVAL, KEPT, "return torch.where(kept, x / (1 - self.p), 0.0)")),
        (
            "bernoulli",
            dropout(
                "if self.training:",
                "    mask = torch.bernoulli(torch.full_like(x, 1 - self.p))",
                "    x = x * mask / (1 - self.p)",
                "return x",
            ),
        ),
        (
            "another name and empty_like",
            dropout(
                EVAL,
                "mask = torch.empty(x.size()).uniform_() > self.rate",
                "return mask.to(x.dtype) * (x * (1 / (1 - self.rate)))",
                init="self.rate = p",
            ),
        ),
    ],
    "alexnet.7": [
        ("a flag that nobody asks for", repaired(extra="self.grouped = True")),
        ("the function", repaired()),
        (
            "a module",
            repaired(
                extra="self.dropout = nn.Dropout(0.5)",
                hidden="self.dropout(F.relu(self.fc5(maps.flatten(1))))",
            ),
        ),
        (
            "before the ReLU, which is the same",
            repaired(
                hidden="F.relu(F.dropout(self.fc5(maps.flatten(1)), 0.5, training=self.training))"
            ),
        ),
        ("a lazy layer", repaired(fc5="nn.LazyLinear(64)")),
        (
            "its own dropout",
            dropout(EVAL, KEPT, SCALED)
            + repaired(
                extra="self.drop = Dropout(0.5)",
                hidden="self.drop(F.relu(self.fc5(maps.flatten(1))))",
            ),
        ),
        (
            "dropout by hand",
            repaired(
                hidden="F.relu(self.fc5(maps.flatten(1)))\n"
                "        if self.training:\n"
                "            hidden = hidden * (torch.rand_like(hidden) > 0.5) * 2"
            ),
        ),
        (
            "dropout by bernoulli",
            repaired(
                hidden="F.relu(self.fc5(maps.flatten(1)))\n"
                "        if self.training:\n"
                "            hidden = 2 * hidden * torch.bernoulli(torch.full_like(hidden, 0.5))"
            ),
        ),
        *(
            (
                f"dropout by {name}",
                repaired(
                    hidden="F.relu(self.fc5(maps.flatten(1)))\n"
                    "        if self.training:\n"
                    f"            hidden = {doubled}"
                ),
            )
            for name, doubled in (
                ("randint", "hidden * torch.randint(0, 2, hidden.shape) * 2"),
                ("round", "2 * hidden * torch.rand(hidden.shape).round()"),
                ("where", "torch.where(torch.randn_like(hidden) > 0, hidden / 0.5, 0.0)"),
            )
        ),
        (
            "as a Sequential",
            """
def RepairedAlexNet(num_classes=10):
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(32, 48, 3, padding=1), nn.ReLU(),
        nn.Conv2d(48, 48, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Linear(192, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, num_classes),
    )
""",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "alexnet.5": [
        (
            "n enters as n // 2 only, and 4 // 2 is 5 // 2; max does not mind the order.",
            "`5` becomes `4`",
            "`0` and `i - n // 2` exchanged",
        ),
    ],
    "alexnet.6": [
        (
            "A number may be stored before `super().__init__()`; in evaluation the mask is "
            "drawn and thrown away.",
            "`super().__init__()` and `self.p = p` exchanged",
            "`if not self.training: return x` and `kept = torch.rand_li … = self.p` exchanged",
        ),
        (
            "A random number that equals p exactly comes once in millions.",
            "`torch.rand_like(x) >= self.p` becomes `torch.rand_like(x) > self.p`",
        ),
    ],
}
accepted = {
    "alexnet.6": [
        (
            "The task asks for `Dropout(p)`; the default is the stub's, and the chapter "
            "never relies on it.",
            "without `0.5`",
            "`0.5` becomes `1.0`",
            "`0.5` becomes `0.25`",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------


def probe_alexnet_5(local_response_norm):
    maps = 20 * torch.randn(2, 9, 3, 4)
    return local_response_norm(maps), local_response_norm(maps, 3, 1.0, 0.01, 0.5)


def probe_alexnet_6(dropout):
    layer, x = dropout(0.3), torch.randn(60, 70)
    silent = layer.eval()(x)
    torch.manual_seed(21)  # a draw in evaluation mode changes nothing
    return silent, layer.train()(x), dropout(0.6)(x[0])
