"""Answers to the exercises of chapter 06."""

import torch
from torch import nn


def heads(flatten, pooled=513_000, large=431_924_200):
    return f'heads = {{"flatten": {flatten}, "pooled": {pooled}, "flatten_448": {large}}}'


FLATTEN, POOLED = 123_642_856, 513_000
LARGE = 431_924_200


def network(*head, body=4, before=""):
    """Source of the network of gap.2 with these layers after its first `body` layers."""
    layers = [
        "nn.Conv2d(1, 16, kernel_size=5, stride=2, padding=2)",
        "nn.ReLU()",
        "nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1)",
        "nn.ReLU()",
    ]
    lines = "".join(f"        {layer},\n" for layer in (*layers[:body], *head))
    return f"{before}def any_size(num_classes=10):\n    return nn.Sequential(\n{lines}    )\n"


def layer(line):
    """Source of a layer with this line in its forward."""
    return f"class Pool(nn.Module):\n    def forward(self, maps):\n        {line}\n\n\n"


LINEAR = "nn.Linear(32, num_classes)"
AVERAGE, FLAT = "nn.AdaptiveAvgPool2d(1)", "nn.Flatten()"


def experiment(condition="(shifted - centred).abs().max() < 1e-6", **changes):
    """Source of the experiment of gap.3."""
    last = changes.get("last", 13)
    start = changes.get("start", "torch.manual_seed(0)")
    build = changes.get("build", "network = localisation.network().eval()")
    inside = changes.get("inside", "pass")
    pad = changes.get("pad", "(34 + shift, 34 - shift, 34, 34)")
    first = changes.get("first", "(34, 34, 34, 34)")
    call = changes.get("call", "network")
    return f"""
{start}
{build}
with torch.no_grad():
    centred = {call}(F.pad(garments[:1], {first}))
    same_shifts = []
    for shift in range(1, {last}):
        {inside}
        shifted = {call}(F.pad(garments[:1], {pad}))
        if {condition}:
            same_shifts.append(shift)
"""


def mapped(line, before="pass"):
    """Source of a class_map that returns this."""
    return f"def class_map(features, weight, classes):\n    {before}\n    return {line}\n"


MIX = "(weight[classes][:, :, None, None] * features).sum(dim=1)"


def exchanged(weight="linear.weight[:, :, None, None]", bias="linear.bias", **changes):
    """Source of a class_map_layer with these values."""
    make = changes.get("make", "nn.Conv2d(linear.in_features, linear.out_features, 1)")
    result = changes.get("result", "layer")
    return f"""
def class_map_layer(linear):
    layer = {make}
    with torch.no_grad():
        layer.weight.copy_({weight})
        layer.bias.copy_({bias})
    return {result}
"""


def boxed(**changes):
    """Source of a box_from_map with these lines."""
    get = changes.get
    return f"""
from scipy import ndimage


def box_from_map(one, threshold=0.2):
    values = one.numpy()
    inside = {get("inside", "values > threshold * values.max()")}
    parts, count = {get("label", "ndimage.label(inside)")}
    n = {get("n", "max(range(1, count + 1), key=lambda n: (parts == n).sum())")}
    rows, columns = ({get("kept", "parts == n")}).nonzero()
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return {get("result", "int(left), int(top), int(right), int(bottom)")}
"""


def divided(result="common / (area(a) + area(b) - common)", **changes):
    """Source of an iou that returns this."""
    width = changes.get("width", "max(min(a[2], b[2]) - max(a[0], b[0]), 0)")
    height = changes.get("height", "max(min(a[3], b[3]) - max(a[1], b[1]), 0)")
    return f"""
def area(box):
    return {changes.get("area", "(box[2] - box[0]) * (box[3] - box[1])")}


def iou(a, b):
    width = {width}
    height = {height}
    common = width * height
    return {result}
"""


wrong_answers = {
    "gap.1": [
        ("megabytes", heads(FLATTEN * 4 / 1e6, POOLED * 4 / 1e6, LARGE * 4 / 1e6), r"megabytes"),
        ("bytes", heads(4 * FLATTEN), r"These are bytes"),
        ("flattened image", heads(3 * 224 * 224 * 4096 + 4096 + 20_878_312), r"not the image"),
        ("one average", heads(FLATTEN, 2_000), r"512 numbers are left, not one"),
        ("no biases", heads(FLATTEN - 9_192, POOLED, LARGE), r'biases are missing.*"flatten":'),
        ("first layer alone", heads(102_764_544, POOLED, LARGE), r"first linear layer alone"),
        ("middle layer missing", heads(FLATTEN - 16_781_312), r"4096 to 4096, is missing"),
        ("last layer missing", heads(FLATTEN - 4_097_000), r"4096 to 1000, is missing"),
        ("one row", heads(512 * 7 * 4096 + 4096 + 20_878_312), r"7 · 7 values.*not 7"),
        ("one value a map", heads(512 * 4096 + 4096 + 20_878_312), r"keeps all 7 · 7"),
        ("one map", heads(49 * 4096 + 4096 + 20_878_312), r"512 maps, not one"),
        ("all of VGG-16", heads(138_357_544), r"whole of VGG-16"),
        (
            "pooled without bias",
            heads(FLATTEN, 512_000, LARGE),
            r'"pooled":.*bias of the linear layer',
        ),
        ("pooled keeps the map", heads(FLATTEN, 25_089_000, LARGE), r"as one number"),
        ("pooled has nothing", heads(FLATTEN, 0, LARGE), r"a linear layer follows it"),
        ("large as small", heads(FLATTEN, POOLED, FLATTEN), r'"flatten_448": .*7×7 maps'),
        ("large four times all", heads(FLATTEN, POOLED, 4 * FLATTEN), r"Only the first linear"),
        (
            "large, four times biases",
            heads(FLATTEN, POOLED, LARGE + 3 * 4096),
            r"still 4096 biases",
        ),
        ("large twice", heads(FLATTEN, POOLED, 226_403_304), r"make four times as many values"),
        ("in millions", heads(123.6), r'"flatten": 123\.6 .*in millions'),
        ("in thousands", heads(FLATTEN, 513.0), r'"pooled": 513 .*in thousands'),
        ("a tuple", "heads = (1, 2, 3)", r"A dictionary with the keys"),
        ("a text", heads("'many'"), r'"flatten": A number is expected'),
    ],
    "gap.2": [
        (
            "a sum",
            network("Pool()", LINEAR, before=layer("return maps.sum(dim=(2, 3))")),
            r"maps are summed",
        ),
        (
            "a sum over 49",
            network("Pool()", LINEAR, before=layer("return maps.sum(dim=(2, 3)) / 49")),
            r"divided by 49 always",
        ),
        ("max pooling", network("nn.AdaptiveMaxPool2d(1)", FLAT, LINEAR), r"highest value"),
        (
            "average and maximum",
            network(
                "Pool()",
                "nn.Linear(64, num_classes)",
                before=layer("return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)"),
            ),
            r"input is 64\. It should be 32",
        ),
        (
            "active positions",
            network(
                "Pool()",
                LINEAR,
                before=layer("return maps.sum((2, 3)) / (maps > 0).sum((2, 3)).clamp(min=1)"),
            ),
            r"Only the positions above zero",
        ),
        (
            "one row",
            network("Pool()", FLAT, LINEAR, before=layer("return maps.mean((0, 2, 3), True)")),
            r"One row is left for all images",
        ),
        (
            "pooled to 7x7",
            network("nn.AdaptiveAvgPool2d(7)", FLAT, "nn.Linear(32 * 49, num_classes)"),
            r"weight for each of the 7 · 7 positions",
        ),
        (
            "the image resized",
            network(
                FLAT,
                "nn.Linear(32 * 49, num_classes)",
            ).replace("Sequential(\n", "Sequential(\n        nn.Upsample(size=(28, 28)),\n"),
            r"weight for each of the 7 · 7",
        ),
        (
            "a lazy layer",
            network(FLAT, "nn.LazyLinear(num_classes)"),
            r"weight for each of the 7 · 7.*raised RuntimeError",
        ),
        ("a fixed window", network("nn.AvgPool2d(7)", FLAT, LINEAR), r"window of a fixed size"),
        (
            "the channels averaged",
            network("Pool()", LINEAR, before=layer("return maps.mean(1)")),
            r"runs over the channels",
        ),
        (
            "the channels averaged, flat",
            network(
                "Pool()",
                "nn.Linear(49, num_classes)",
                before=layer("return maps.mean(1).flatten(1)"),
            ),
            r"runs over the channels",
        ),
        (
            "everything averaged",
            network("Pool()", LINEAR, before=layer("return maps.mean()")),
            r"one number for the whole batch",
        ),
        (
            "images averaged",
            network("Pool()", LINEAR, before=layer("return maps.mean((1, 2, 3))")),
            r"one number for each image",
        ),
        (
            "another body",
            network(AVERAGE, FLAT, LINEAR).replace(
                "3, stride=2, padding=1", "5, stride=2, padding=2"
            ),
            r"convolutions are not those of the task",
        ),
        (
            "a network",
            network(AVERAGE, FLAT, LINEAR) + "\n\nany_size = any_size()\n",
            r"not a network",
        ),
        (
            "no last ReLU",
            network(AVERAGE, FLAT, LINEAR, body=3),
            r"last ReLU before the head is gone",
        ),
        (
            "a ReLU on the logits",
            network(AVERAGE, FLAT, LINEAR, "nn.ReLU()"),
            r"a ReLU after the linear layer",
        ),
        ("a softmax", network(AVERAGE, FLAT, LINEAR, "nn.Softmax(dim=1)"), r"softmax after"),
        ("no linear layer", network(AVERAGE, FLAT), r"shape \(2, 32\); \(2, 10\) is right"),
        ("not flat", network(AVERAGE, LINEAR), r"two axes of length 1 have to go"),
        ("ten always", network(AVERAGE, FLAT, "nn.Linear(32, 10)"), r"`num_classes` is not used"),
        (
            "no bias",
            network(AVERAGE, FLAT, "nn.Linear(32, num_classes, bias=False)"),
            r"5,376 are right|parameters",
        ),
        ("a number", "any_size = 3", r"A function or class that gives a module"),
        (
            "no return",
            "def any_size(num_classes=10):\n    nn.Linear(32, num_classes)\n",
            r"`return` missing",
        ),
    ],
    "gap.3": [
        ("one too large", "same_shifts = [5, 9, 13]", r"Every shift is one too large"),
        ("every shift", "same_shifts = list(range(1, 13))", r"Not all twelve"),
        ("a tolerance of 0.01", experiment("(shifted - centred).abs().max() < 0.01"), r"0\.000001"),
        (
            "the best class",
            experiment("shifted.argmax() == centred.argmax()"),
            r"not the best class alone",
        ),
        ("none", "same_shifts = []", r"Some shifts do leave the logits"),
        ("the maps compared", experiment(call="network.features"), r"Compare the logits, not the"),
        (
            "a canvas that grows",
            experiment(pad="(34 + shift, 34, 34, 34)"),
            r"added on the left is taken away on the right",
        ),
        ("steps of the maps", "same_shifts = [1, 2, 3]", r"one step is 4 pixels"),
        ("eights", "same_shifts = [8]", r"three layers with stride 2"),
        (
            "a new network each time",
            experiment(inside="torch.manual_seed(shift); network = localisation.network().eval()"),
            r"Use one network",
        ),
        ("twos", "same_shifts = [2, 4, 6, 8, 10, 12]", r"one layer with stride 2"),
        ("the others", "same_shifts = [1, 2, 3, 5, 6, 7, 9, 10, 11]", r"the others are asked for"),
        ("up to 11", experiment(last=12), r"`range\(1, 12\)` ends at 11"),
        (
            "training mode",
            experiment(build="network = localisation.network()"),
            r"in training mode: `\.eval\(\)`",
        ),
        ("normalised", "same_shifts = [4]", r"values from 0 to 1, and padded with 0"),
        ("up to 4", experiment(last=5), r"Some shifts are missing"),
        ("up to 16", experiment(last=17), r"asked for are 1 to 12"),
        ("with 0", "same_shifts = [0, 4, 8, 12]", r"A shift of 0 is none"),
        ("a loose tolerance", "same_shifts = [1, 4, 7, 8, 12]", r"A shift of 1 does change"),
        ("a sum of differences", experiment("(shifted - centred).sum() < 1"), r"not their sum"),
        ("a guess", "same_shifts = [3, 6, 9, 12]", r"multiples of 3"),
        ("a number", "same_shifts = 4", r"A list of shifts"),
        ("a text", "same_shifts = 'every fourth'", r"A list of shifts"),
        ("differences", "same_shifts = [0.1, 0.2]", r"whole numbers of pixels"),
    ],
    "gap.4": [
        (
            "the class as second index",
            "def class_map(features, weight, classes):\n"
            "    mix = weight[:, classes][:, :, None, None]\n"
            "    return (mix * features).sum(dim=1)",
            r"the class comes first, `weight\[classes\]`",
        ),
        (
            "ReLU in place",
            mapped(MIX.replace("features", "features.relu_()")),
            r"ReLU on the features.*changes its argument `features` in place",
        ),
        (
            "product of sums",
            mapped("weight[classes].sum(1)[:, None, None] * features.sum(1)"),
            r"sum of the weights times the sum of the features",
        ),
        (
            "one channel",
            mapped(
                "torch.stack([w.max() * f[w.argmax()] for w, f in zip(weight[classes], features)])"
            ),
            r"Only the channel with the largest weight",
        ),
        (
            "enlarged",
            mapped(f"nn.functional.interpolate({MIX}[:, None], size=28)[:, 0]"),
            r"map is enlarged",
        ),
        ("averaged channels", mapped(MIX.replace(".sum", ".mean")), r"channels are averaged"),
        (
            "ReLU before",
            mapped(MIX.replace("features", "features.relu()")),
            r"ReLU on the features",
        ),
        (
            "ReLU before the sum",
            mapped(MIX.replace(".sum", ".relu().sum")),
            r"ReLU on the products",
        ),
        (
            "divided by the maximum",
            mapped("m / m.amax((1, 2), keepdim=True)", before=f"m = {MIX}"),
            r"divided by its maximum",
        ),
        ("over positions", mapped(f"{MIX} / features[0, 0].numel()"), r"number of positions"),
        ("numpy", mapped(f"{MIX}.numpy()"), r"a NumPy array; a torch tensor is expected"),
        ("a list", mapped(f"{MIX}.tolist()"), r"a torch tensor is expected"),
        ("ReLU after", mapped(f"{MIX}.relu()"), r"ReLU on the map"),
        ("positive weights", mapped(MIX.replace("weight[", "weight.relu()[")), r"Negative weights"),
        (
            "absolute weights",
            mapped(MIX.replace("weight[", "weight.abs()[")),
            r"without their sign",
        ),
        (
            "scaled",
            mapped(
                "(m - m.amin((1, 2), keepdim=True)) / "
                "(m.amax((1, 2), keepdim=True) - m.amin((1, 2), keepdim=True))",
                before=f"m = {MIX}",
            ),
            r"scaled to 0…1",
        ),
        (
            "one class for all",
            mapped("torch.einsum('k,nkhw->nhw', weight[classes[0]], features)"),
            r"first image's class",
        ),
        ("class 0", mapped("torch.einsum('k,nkhw->nhw', weight[0], features)"), r"class 0"),
        (
            "the predicted class",
            mapped(MIX, before="classes = (features.mean((2, 3)) @ weight.T).argmax(dim=1)"),
            r"`classes` is not used",
        ),
        (
            "all classes",
            mapped("torch.einsum('ck,nkhw->nchw', weight, features)"),
            r"maps of all classes",
        ),
        ("no weights", mapped("features.sum(dim=1)"), r"weights are not used"),
        ("not summed", mapped(MIX.replace(".sum(dim=1)", "")), r"but not summed"),
        (
            "an axis too many",
            mapped(MIX.replace("dim=1", "dim=1, keepdim=True")),
            r"axis of length 1 too many",
        ),
        ("averaged", mapped(f"{MIX}.mean(dim=(1, 2))"), r"positions are averaged"),
        (
            "transposed weight",
            mapped(MIX.replace("weight[", "weight.T[")),
            r"Rows and columns of `weight`",
        ),
        ("a channel", mapped("features[:, 0]"), r"wrong values in it"),
        ("no axes", mapped("(weight[classes] * features).sum(1)"), r"^\W*The weights are \(N, K\)"),
        (
            "axes in the middle",
            mapped("(weight[classes][:, None, None] * features).sum(1)"),
            r"^\W*The weights are \(N, K\)",
        ),
        (
            "one axis",
            mapped("(weight[classes].unsqueeze(-1) * features).sum(1)"),
            r"two axes of length 1 at the end.*one is not enough",
        ),
        ("summed positions", mapped(MIX.replace("dim=1", "dim=(2, 3)")), r"positions are gone"),
        ("logits", mapped("features.mean((2, 3)) @ weight.T"), r"positions are gone.*all classes"),
        (
            "logits of each other's classes",
            mapped("features.mean((2, 3)) @ weight[classes].T"),
            r"positions are gone.*every other",
        ),
        ("channels picked", mapped("features[:, classes]"), r"`classes` picks channels"),
        (
            "a channel too few",
            """
def class_map(features, weight, classes):
    out = torch.zeros(features.shape[0], features.shape[2], features.shape[3])
    for n in range(features.shape[0]):
        for k in range(features.shape[1] - 1):
            out[n] += weight[classes[n], k] * features[n, k]
    return out
""",
            r"last channel is missing",
        ),
        ("standardised", mapped("(m - m.mean()) / m.std()", before=f"m = {MIX}"), r"standardised"),
        (
            "times the averages",
            mapped(MIX.replace("* features", "* features.mean((2, 3), True) * features")),
            r"averages F_k",
        ),
        (
            "7×7",
            mapped(
                "torch.bmm(weight[classes][:, None], features.flatten(2)).reshape(-1, 7, 7)"
            ).replace("-1", "len(features)"),
            r"7×7 is fixed",
        ),
        (
            "48 channels",
            mapped("(weight[classes].view(-1, 48, 1, 1) * features).sum(1)"),
            r"48 channels are fixed",
        ),
        (
            "no return",
            "def class_map(features, weight, classes):\n    features.sum()\n",
            r"`return`",
        ),
        ("a map", "class_map = torch.zeros(2, 3)", r"A function is expected"),
    ],
    "gap.5": [
        ("no bias", exchanged(bias="torch.zeros_like(linear.bias)"), r"bias is missing"),
        (
            "bias=False",
            "def class_map_layer(linear):\n"
            "    layer = nn.Conv2d(linear.in_features, linear.out_features, 1, bias=False)\n"
            "    layer.weight.data = linear.weight.data[:, :, None, None].clone()\n"
            "    return layer\n",
            r"bias is missing",
        ),
        (
            "weights over channels",
            exchanged("linear.weight[:, :, None, None] / linear.weight.shape[1]"),
            r"divided by the number of channels",
        ),
        (
            "another layer",
            "def class_map_layer(linear):\n    linear = nn.Linear(48, 10)\n"
            + exchanged()[len("\ndef class_map_layer(linear):\n") :],
            r"from 48 to 10 channels\. Take sizes",
        ),
        ("bias over positions", exchanged(bias="linear.bias / 12"), r"divided by the number"),
        ("bias over 49", exchanged(bias="linear.bias / 49"), r"weights are right, the bias is not"),
        (
            "3x3",
            "def class_map_layer(linear):\n"
            "    return nn.Conv2d(linear.in_features, linear.out_features, 3, padding=1)\n",
            r"kernel should be 1×1; yours is 3×3",
        ),
        (
            "the state_dict as it is",
            "def class_map_layer(linear):\n"
            "    layer = nn.Conv2d(linear.in_features, linear.out_features, 1)\n"
            "    layer.load_state_dict(linear.state_dict())\n"
            "    return layer\n",
            r"size mismatch for weight.*two axes more",
        ),
        (
            "shared memory",
            "def class_map_layer(linear):\n"
            "    layer = nn.Conv2d(linear.in_features, linear.out_features, 1)\n"
            "    layer.weight.data = linear.weight.data[:, :, None, None]\n"
            "    layer.bias.data = linear.bias.data\n"
            "    return layer\n",
            r"shares its memory",
        ),
        (
            "bias times positions",
            exchanged(bias="linear.bias * 12"),
            r"bias is multiplied by the number",
        ),
        ("bias twice", exchanged(bias="2 * linear.bias"), r"added twice"),
        ("bias subtracted", exchanged(bias="-linear.bias"), r"subtracted"),
        (
            "weight over positions",
            exchanged("linear.weight[:, :, None, None] / 12"),
            r"weights are divided by the number",
        ),
        (
            "transposed weight",
            exchanged("linear.weight.T[:, :, None, None]"),
            r"class_map_layer.* raised RuntimeError|changed places",
        ),
        ("no axes", exchanged("linear.weight"), r"^\W*The weight of `linear` is.*two axes more"),
        (
            "the weight itself",
            "def class_map_layer(linear):\n"
            "    layer = nn.Conv2d(linear.in_features, linear.out_features, 1)\n"
            "    layer.weight = linear.weight\n"
            "    layer.bias = linear.bias\n"
            "    return layer\n",
            r"two axes more",
        ),
        ("48 and 10", exchanged(make="nn.Conv2d(48, 10, 1)"), r"48 and 10 are fixed"),
        (
            "reshaped the wrong way",
            exchanged("linear.weight.T.reshape(layer.weight.shape)"),
            r"transposed and brought back",
        ),
        (
            "fresh weights",
            "def class_map_layer(linear):\n"
            "    return nn.Conv2d(linear.in_features, linear.out_features, 1)\n",
            r"fresh layer, which are random",
        ),
        ("a ReLU", exchanged(result="nn.Sequential(layer, nn.ReLU())"), r"after a ReLU"),
        (
            "pooled already",
            exchanged(result="nn.Sequential(nn.AdaptiveAvgPool2d(1), layer)"),
            r"the maps should be \(2, 4, 3, 4\)",
        ),
        (
            "linear destroyed",
            exchanged(result="(nn.init.zeros_(linear.bias), layer)[1]"),
            r"changes `linear`",
        ),
        (
            "linear itself",
            "def class_map_layer(linear):\n    return linear\n",
            r"raised RuntimeError",
        ),
        ("no return", "def class_map_layer(linear):\n    linear.weight\n", r"gives nothing"),
    ],
    "gap.6": [
        ("last pixel inside", boxed(result="left, top, right - 1, bottom - 1"), r"one further"),
        ("all parts", boxed(kept="inside"), r"box around everything above"),
        ("per cent", boxed(inside="values > threshold * values.max() / 100"), r"share already"),
        ("the map labelled", boxed(inside="values"), r"given the map itself"),
        (
            "the part of the maximum",
            boxed(n="parts.flat[values.argmax()]"),
            r"holds the maximum",
        ),
        (
            "the part with the largest box",
            """
from scipy import ndimage


def box_from_map(one, threshold=0.2):
    values = one.numpy()
    parts, count = ndimage.label(values > threshold * values.max())
    boxes = [(c.start, r.start, c.stop, r.stop) for r, c in ndimage.find_objects(parts)]
    return max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
""",
            r"part with the largest box",
        ),
        ("at the threshold", boxed(inside="values >= threshold * values.max()"), r"exactly at the"),
        (
            "one label off",
            boxed(
                n="[(parts == k).sum() for k in range(1, count + 1)].index("
                "max((parts == k).sum() for k in range(1, count + 1)))"
            ),
            r"one too small",
        ),
        ("the last part", boxed(n="count"), r"the part that comes last"),
        (
            "a quantile",
            boxed(inside="values > one.quantile(threshold).item()"),
            r"a quantile of the values",
        ),
        (
            "the top share",
            boxed(inside="values > one.quantile(1 - threshold).item()"),
            r"highest positions are kept",
        ),
        ("part 1", boxed(n="1"), r"part number 1"),
        (
            "the smallest part",
            boxed(n="min(range(1, count + 1), key=lambda n: (parts == n).sum())"),
            r"fewest positions",
        ),
        (
            "corners connect",
            boxed(label="ndimage.label(inside, [[1, 1, 1], [1, 1, 1], [1, 1, 1]])"),
            r"touch at a corner",
        ),
        ("absolute threshold", boxed(inside="values > threshold"), r"value of the map"),
        (
            "between minimum and maximum",
            boxed(inside="values > values.min() + threshold * (values.max() - values.min())"),
            r"share of the maximum alone",
        ),
        ("everything positive", boxed(inside="values > 0"), r"Everything positive"),
        ("always 0.2", boxed(inside="values > 0.2 * values.max()"), r"always 0\.2"),
        ("swapped", boxed(result="top, left, bottom, right"), r"changed places"),
        ("sides", boxed(result="left, top, right - left, bottom - top"), r"width and height"),
        ("paired", boxed(result="left, right, top, bottom"), r"yours is left, right"),
        (
            "0 is a part",
            boxed(n="max(range(count + 1), key=lambda n: (parts == n).sum())"),
            r"part 0, which is what lies outside",
        ),
        (
            "a count off by one",
            boxed(n="max(range(1, count), key=lambda n: (parts == n).sum())"),
            r"raised ValueError",
        ),
        ("a slice", boxed(result="slice(left, right)"), r"four whole numbers"),
        ("no return", "def box_from_map(one, threshold=0.2):\n    one.max()\n", r"`return`"),
        ("halves", boxed(result="left + 0.5, top, right, bottom"), r"whole numbers"),
    ],
    "gap.7": [
        (
            "upside down, never by zero",
            divided("(area(a) + area(b) - common) / max(common, 1)"),
            r"union divided by the shared area; it should be the other way",
        ),
        (
            "a height of at least one",
            divided(height="max(min(a[3], b[3]) - max(a[1], b[1]), 1)"),
            r"right is 0\.",
        ),
        (
            "a negative height",
            divided(height="min(a[3], b[3]) - max(a[1], b[1])"),
            r"Only the width is kept from going below zero",
        ),
        ("found or not", divided("2 * common >= area(a)"), r"The result is (True|False); the IoU"),
        (
            "smoothed",
            divided("(common + 1) / (area(a) + area(b) - common + 1)"),
            r"1 is added above and below",
        ),
        ("no brackets", divided("common / area(a) + area(b) - common"), r"Brackets are missing"),
        (
            "negative sides",
            divided(
                width="min(a[2], b[2]) - max(a[0], b[0])",
                height="min(a[3], b[3]) - max(a[1], b[1])",
            ),
            r"not overlap are not caught",
        ),
        ("counted twice", divided("common / (area(a) + area(b))"), r"counted twice"),
        (
            "clamped too late",
            divided(
                "max(common, 0) / (area(a) + area(b) - max(common, 0))",
                width="min(a[2], b[2]) - max(a[0], b[0])",
                height="min(a[3], b[3]) - max(a[1], b[1])",
            ),
            r"comes too late",
        ),
        ("percent", divided("100 * common / (area(a) + area(b) - common)"), r"in percent"),
        ("Dice", divided("2 * common / (area(a) + area(b))"), r"Dice"),
        ("not divided", divided("common"), r"shared area itself"),
        ("over the first", divided("common / area(a)"), r"first box alone"),
        ("over the second", divided("common / area(b)"), r"second box alone"),
        ("over the smaller", divided("common / min(area(a), area(b))"), r"smaller box"),
        ("over the larger", divided("common / max(area(a), area(b))"), r"larger box"),
        (
            "over the box around both",
            divided(
                "common / ((max(a[2], b[2]) - min(a[0], b[0]))"
                " * (max(a[3], b[3]) - min(a[1], b[1])))"
            ),
            r"box around both",
        ),
        ("one minus", divided("1 - common / (area(a) + area(b) - common)"), r"1 minus the IoU"),
        (
            "one pixel more",
            divided(
                area="(box[2] - box[0] + 1) * (box[3] - box[1] + 1)",
                width="max(min(a[2], b[2]) - max(a[0], b[0]) + 1, 0)",
                height="max(min(a[3], b[3]) - max(a[1], b[1]) + 1, 0)",
            ),
            r"one pixel too long",
        ),
        (
            "width and height",
            divided(
                area="box[2] * box[3]",
                width="max(min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]), 0)",
                height="max(min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]), 0)",
            ),
            r"\(left, top, width, height\)",
        ),
        (
            "whole numbers",
            divided("common // (area(a) + area(b) - common)"),
            r"`//` cuts the quotient",
        ),
        ("upside down", divided("(area(a) + area(b) - common) / common"), r"the other way round"),
        ("a number", "iou = 0.5", r"A function is expected"),
        ("no return", "def iou(a, b):\n    a + b\n", r"`return`"),
    ],
}

right_answers = {
    "gap.1": [
        (
            "one after the other",
            """
first = 25_088 * 4_096 + 4_096
second, third = 4_097 * 4_096, 4_097 * 1_000
heads = dict(flatten=first + second + third, pooled=513 * 1000,
             flatten_448=4 * 25_088 * 4096 + 4096 + second + third)
""",
        ),
        (
            "numpy numbers",
            f"import numpy\nheads = {{'flatten': numpy.int64({FLATTEN}), 'pooled': 513000.0,"
            f" 'flatten_448': torch.tensor({LARGE})}}",
        ),
    ],
    "gap.2": [
        ("torch's layers", network(AVERAGE, FLAT, LINEAR)),
        (
            "flattened first",
            network("nn.Flatten(2)", "Pool()", LINEAR, before=layer("return maps.mean(dim=-1)")),
        ),
        ("a 1x1 convolution first", network("nn.Conv2d(32, num_classes, 1)", AVERAGE, FLAT)),
        (
            "a module of its own",
            """
class any_size(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.first = nn.Conv2d(1, 16, 5, 2, 2)
        self.second = nn.Conv2d(16, 32, 3, 2, 1)
        self.linear = nn.Linear(32, num_classes)

    def forward(self, x):
        x = F.relu(self.second(F.relu(self.first(x))))
        return self.linear(x.sum((-1, -2)) / (x.shape[-1] * x.shape[-2]))
""",
        ),
    ],
    "gap.3": [
        ("measured otherwise", experiment("torch.allclose(shifted, centred, rtol=0, atol=1e-6)")),
        ("written down", "same_shifts = (4, 8, 12)"),
        ("a tensor", "same_shifts = torch.tensor([4, 8, 12])"),
        ("a set", "same_shifts = {12, 4, 8}"),
    ],
    "gap.4": [
        ("einsum", mapped("torch.einsum('nk,nkhw->nhw', weight[classes], features)")),
        (
            "a convolution",
            """
def class_map(features, weight, classes):
    maps = F.conv2d(features, weight[:, :, None, None])
    return maps[torch.arange(len(classes)), classes]
""",
        ),
        (
            "a loop",
            """
def class_map(features, weight, classes):
    maps = [
        sum(w * f for w, f in zip(weight[c], image)) for image, c in zip(features, classes)
    ]
    return torch.stack(maps)
""",
        ),
    ],
    "gap.5": [
        (
            "parameters replaced",
            """
def class_map_layer(linear):
    layer = nn.Conv2d(linear.in_features, linear.out_features, 1)
    layer.weight = nn.Parameter(linear.weight.detach().clone().reshape(layer.weight.shape))
    layer.bias = nn.Parameter(linear.bias.detach().clone())
    return layer
""",
        ),
        (
            "a state_dict",
            """
def class_map_layer(linear):
    layer = nn.Conv2d(linear.in_features, linear.out_features, 1)
    layer.load_state_dict({"weight": linear.weight[..., None, None], "bias": linear.bias})
    return layer
""",
        ),
    ],
    "gap.6": [
        (
            "bincount",
            """
from scipy import ndimage


def box_from_map(one, threshold=0.2):
    parts, _ = ndimage.label(one > one.max() * threshold)
    sizes = torch.bincount(torch.as_tensor(parts).flatten())
    sizes[0] = 0
    rows, columns = torch.nonzero(torch.as_tensor(parts == sizes.argmax().item()), as_tuple=True)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
""",
        ),
        (
            "find_objects",
            """
from scipy import ndimage


def box_from_map(one, threshold=0.2):
    parts, count = ndimage.label((one > threshold * one.max()).numpy())
    sizes = ndimage.sum_labels(parts > 0, parts, range(1, count + 1))
    rows, columns = ndimage.find_objects(parts)[sizes.argmax()]
    return [columns.start, rows.start, columns.stop, rows.stop]
""",
        ),
    ],
    "gap.7": [
        (
            "torchvision",
            """
from torchvision.ops import box_iou


def iou(a, b):
    return box_iou(torch.tensor([a]).float(), torch.tensor([b]).float()).item()
""",
        ),
        (
            "sets of pixels",
            """
def iou(a, b):
    first, second = (
        {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])} for box in (a, b)
    )
    return len(first & second) / len(first | second)
""",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "gap.2": [
        (
            "The order of the two dimensions does not matter to a mean.",
            "`2` and `3` exchanged",
        ),
    ],
    "gap.5": [
        (
            "Weight and bias are filled in either order.",
            "`layer.weight.copy_(l … , None])` and `layer.bias.copy_(linear.bias)` exchanged",
        ),
    ],
    "gap.6": [
        (
            "SciPy takes tensors too; a part with a number too high is empty; the largest "
            "sum has the largest mean; numpy's whole numbers are as good as Python's.",
            "`one.numpy()` becomes `one`",
            "`1` becomes `2` in `largest = max(range( … ).sum())` #2",
            "`(parts == n).sum` becomes `(parts == n).mean`",
            "`int(columns.min())` becomes `columns.min()`",
            "`int(rows.min())` becomes `rows.min()`",
            "`int(columns.max())` becomes `columns.max()`",
            "`int(rows.max())` becomes `rows.max()`",
        ),
    ],
    "gap.7": [
        (
            "min and max do not mind the order, and the two boxes may be exchanged.",
            "`min(a[2], b[2]) - ma … ], b[0])` and `0` exchanged",
            "`a[2]` and `b[2]` exchanged",
            "`a[0]` and `b[0]` exchanged",
            "`min(a[3], b[3]) - ma … ], b[1])` and `0` exchanged",
            "`a[3]` and `b[3]` exchanged",
            "`a[1]` and `b[1]` exchanged",
            "`a` and `b` exchanged",
        ),
    ],
}
accepted = {
    "gap.3": [
        (
            "Which shifts they are is asked for, not their order; a set is right as well.",
            "answer: [0] and [1] exchanged",
            "answer: [1] and [2] exchanged",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------

probe_arguments = {  # how a network is built, and the shape of its input
    "gap.2": (((7,), (2, 1, 17, 23)),),
}


def probe_gap_5(class_map_layer):
    return class_map_layer(nn.Linear(5, 3))(torch.randn(2, 5, 6, 4)).detach()


def probe_gap_6(box_from_map):
    smooth = nn.functional.avg_pool2d(torch.rand(6, 1, 40, 50), 5, stride=1)
    return [box_from_map(one[0] ** 3, share) for one in smooth for share in (0.3, 0.6, 0.8)]


def probe_gap_7(iou):
    corners = torch.randint(0, 9, (40, 2, 2))
    sizes = torch.randint(1, 9, (40, 2, 2))
    boxes = torch.cat([corners, corners + sizes], dim=2).tolist()
    return [iou(tuple(a), tuple(b)) for a, b in boxes]
