"""Answers to the exercises of chapter 05."""

import torch
from torch import nn


def counts(weights=6_144, macs=4_816_896, direct=120_422_400, detour=12_443_648):
    return f"""counts = {{
    "weights": {weights}, "macs": {macs}, "direct": {direct}, "detour": {detour},
}}
"""


def merge(
    weight='torch.einsum("omhw,mi->oihw", second.weight, first.weight[:, :, 0, 0])',
    bias="second.bias + second.weight.sum((2, 3)) @ first.bias",
    options="stride=second.stride, padding=second.padding",
    result="merged",
):
    """Source of a merge with something changed."""
    return f"""
def merge(first, second):
    weight = {weight}
    bias = second.bias if first.bias is None else {bias}
    merged = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], {options})
    with torch.no_grad():
        merged.weight.copy_(weight)
        merged.bias.copy_(bias)
    return {result}
"""


def recolour(
    image="photo.permute(2, 0, 1)[None]", weight="matrix", back="mixed[0].permute(1, 2, 0)"
):
    return f"""
def recolour(photo, matrix):
    height, width, channels = photo.shape
    image = {image}
    mixed = F.conv2d(image, {weight}[:, :, None, None])
    return {back}
"""


CUT, PASTE = "photo.reshape(1, channels, height, width)", "mixed.reshape(height, width, channels)"


def pca(
    pixels="maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])",
    vectors="torch.linalg.eigh(torch.cov(pixels.T))[1]",
    chosen="vectors[:, -width:].T",
    there="-v @ mean",
    back="mean",
    result="reduce, restore",
):
    """Source of pca_layers with something changed."""
    return f"""
def pca_layers(maps, width):
    channels = maps.shape[1]
    pixels = {pixels}
    mean = pixels.mean(0)
    vectors = {vectors}
    v = {chosen}
    reduce, restore = nn.Conv2d(channels, width, 1), nn.Conv2d(width, channels, 1)
    with torch.no_grad():
        reduce.weight.copy_(v[:, :, None, None])
        reduce.bias.copy_({there})
        restore.weight.copy_(v.T[:, :, None, None])
        restore.bias.copy_({back})
    return {result}
"""


def convolution(
    weight="linear.weight.reshape(-1, channels, kernel_size, kernel_size)",
    layer="nn.Conv2d(channels, linear.out_features, kernel_size)",
    bias="layer.bias.copy_(linear.bias)",
    result="layer",
):
    return f"""
def as_convolution(linear, channels, kernel_size):
    layer = {layer}
    with torch.no_grad():
        layer.weight.copy_({weight})
        {bias}
    return {result}
"""


ONE, FIVE = "nn.Conv2d(in_channels, between, 1)", "nn.Conv2d(between, out_channels, 5, padding=2)"


def detour(*parts):
    """Source of a detour that is an nn.Sequential of these parts."""
    lines = "".join(f"        {part},\n" for part in parts)
    return (
        "def detour(in_channels, out_channels, between):\n"
        f"    return nn.Sequential(\n{lines}    )\n"
    )


SHARES = [
    ("1x1, stride 2", 0.75),
    ("1x1, stride 3", 8 / 9),
    ("1x1, stride 2, twice", 15 / 16),
    ("2x2 average, then 1x1", 0.0),
    ("3x3, then 1x1, stride 2", 0.0),
]


def never_read(**changes):
    """`a` to `e` change the five numbers."""
    shares = [changes.get(letter, share) for letter, (_, share) in zip("abcde", SHARES)]
    return f"never_read = {dict(zip([name for name, _ in SHARES], shares))}"


MEASURE = """
looks = {
    "1x1, stride 2": nn.Conv2d(4, 4, 1, stride=2),
    "1x1, stride 3": nn.Conv2d(4, 4, 1, stride=3),
    "1x1, stride 2, twice": nn.Sequential(
        nn.Conv2d(4, 4, 1, stride=2), nn.Conv2d(4, 4, 1, stride=2)
    ),
    "2x2 average, then 1x1": nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 4, 1)),
    "3x3, then 1x1, stride 2": nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, stride=2)
    ),
}
"""

KINDS = [
    "1x1, average",
    "1x1, maximum",
    "1x1, 2x2 average, 1x1, average",
    "1x1, 2x2 maximum, 1x1, average",
    "1x1, stride 2, average",
    "1x1, flatten, linear",
]


def notices(values):
    """`values` is six letters, t or f."""
    return f"notices = {dict(zip(KINDS, [letter == 't' for letter in values]))}"


wrong_answers = {
    "one_by_one.1": [
        ("bytes", counts(weights=24_576), r"bytes"),
        ("a share", counts(detour=12_443_648 / 120_422_400), r"compares the two ways"),
        ("with biases", counts(weights=6_176), r'"weights": 6,176 is not right.*biases'),
        ("one kernel", counts(weights=192), r"one kernel"),
        ("kernels of one weight", counts(weights=32), r"every one of the 192 channels"),
        ("a sum", counts(weights=224), r"multiplied"),
        ("weights at positions", counts(weights=4_816_896), r"stored once"),
        ("5x5 weights", counts(weights=153_600), r"This is a 5×5 kernel"),
        ("no positions", counts(macs=6_144), r'"macs": .*every one of the 28 · 28'),
        ("FLOPs", counts(macs=9_633_792), r"often called FLOPs"),
        ("biases as MACs", counts(macs=4_841_984), r"Biases are added"),
        ("one row", counts(macs=28 * 6_144), r"not 28"),
        ("one channel", counts(macs=784 * 32), r"sum of 192 products"),
        ("one map", counts(macs=784 * 192), r"there are 32"),
        ("direct without positions", counts(direct=153_600), r'"direct": .*28 · 28 positions'),
        ("direct as 1x1", counts(direct=4_816_896), r"5 · 5 · 192 products"),
        ("5 for 25", counts(direct=784 * 5 * 6_144), r"5 · 5 places, not 5"),
        ("no padding", counts(direct=576 * 153_600), r"24×24 would be without padding"),
        ("direct FLOPs", counts(direct=240_844_800), r"often called FLOPs"),
        ("only 1x1", counts(detour=2_408_448), r'"detour": .*1×1 layer alone'),
        ("only 5x5", counts(detour=10_035_200), r"5×5 layer alone"),
        ("5x5 on 192", counts(detour=122_830_848), r"16 channels left"),
        ("1x1 to 32", counts(detour=4_816_896 + 10_035_200), r"192 to 16 channels, not to 32"),
        ("no squeeze", counts(detour=4_816_896 + 120_422_400), r"squeezes to 16"),
        ("5x5 to 16", counts(detour=2_408_448 + 5_017_600), r"gives 32 channels, not 16"),
        ("both 1x1", counts(detour=2_408_448 + 401_408), r"second layer is 5×5"),
        ("a product", counts(detour=784 * 3_072 * 12_800), r"add them"),
        ("a squeeze to 32", counts(detour=24_887_296), r"squeezes to 16 channels, not to 32"),
        ("biases of the detour", counts(detour=784 * (3_072 + 12_800 + 48)), r"Biases are added"),
        ("biases of the direct way", counts(direct=784 * 153_632), r"Biases are added"),
        ("a list", "counts = [6_144, 4_816_896]", r"A dictionary with the keys"),
        (
            "a key is missing",
            'counts = {"weights": 6_144}',
            r'^"macs", "direct" and "detour" are missing',
        ),
        ("a text", counts(weights="'6,144'"), r"A number is expected"),
        ("nothing", counts(macs="None"), r"A number is expected, not nothing"),
        ("anything", counts(macs=7), r'"macs": 7 is not right'),
        (
            "depthwise and 1x1",
            counts(direct=784 * 25 * 192 + 784 * 192 * 32),
            r'"direct": .*5×5 for each channel alone, and a 1×1',
        ),
        (
            "the detour on the padded map",
            counts(detour=784 * 192 * 16 + 32 * 32 * 25 * 16 * 32),
            r'"detour": .*not the 32 · 32 pixels of its padded input',
        ),
        ("a rounded ratio", counts(detour=9.7), r'"detour": .*compares the two ways'),
        ("a rounded share", counts(detour=0.103), r'"detour": .*compares the two ways'),
    ],
    "one_by_one.2": [
        (
            "twice the bias",
            merge().replace("copy_(bias)", "copy_(bias + second.bias)"),
            r"bias of the second layer is added twice",
        ),
        ("place by place", merge("second.weight * first.weight"), r"numbers at the same place"),
        ("first bias lost", merge(bias="second.bias"), r"bias of the first layer is lost"),
        (
            "second bias lost",
            merge(bias="second.weight.sum((2, 3)) @ first.bias")
            .replace("second.bias if first.bias is None", "0 if first.bias is None")
            .replace("copy_(bias)", "copy_(torch.as_tensor(bias))"),
            r"bias of the second layer is lost",
        ),
        (
            "middle of the kernel",
            merge(
                bias="second.bias + second.weight[:, :, second.kernel_size[0] // 2, "
                "second.kernel_size[1] // 2] @ first.bias"
            ),
            r"middle of the kernel only",
        ),
        (
            "corner of the kernel",
            merge(bias="second.bias + second.weight[:, :, 0, 0] @ first.bias"),
            r"one corner of the kernel",
        ),
        (
            "mean of the kernel",
            merge(bias="second.bias + second.weight.mean((2, 3)) @ first.bias"),
            r"mean of the kernel",
        ),
        ("biases added", merge(bias="second.bias + first.bias"), r"added as it is|must match"),
        ("no stride", merge(options="padding=second.padding"), r"stride of your layer is \(1, 1\)"),
        ("no padding", merge(options="stride=second.stride"), r"padding of your layer is \(0, 0\)"),
        ("neither", merge(options="bias=True"), r"stride of your layer is \(1, 1\)"),
        (
            "padding of half the kernel",
            merge(options="stride=second.stride, padding=second.kernel_size[0] // 2"),
            r"padding of your layer is \(2, 2\), that of `second` is \(0, 0\)",
        ),
        (
            "strides added",
            merge(options="stride=first.stride[0] + second.stride[0], padding=second.padding"),
            r"stride of your layer is \(2, 2\)",
        ),
        (
            "one place of the kernel",
            merge("(second.weight[:, :, 0, 0] @ first.weight[:, :, 0, 0])[:, :, None, None]"),
            r"kernel_size of your layer is \(1, 1\)",
        ),
        (
            "reshaped matrix",
            merge(
                'torch.einsum("omhw,im->oihw", second.weight, '
                "first.weight.reshape(first.in_channels, -1))"
            ),
            r"matrix of the first layer is reshaped",
        ),
        (
            "second bias in all places",
            merge(bias="second.bias + second.weight.sum((2, 3)) @ first.bias").replace(
                "copy_(bias)", "copy_(bias + (second.kernel_size[0] ** 2 - 1) * second.bias)"
            ),
            r"second layer is multiplied by k · k",
        ),
        (
            "diagonal",
            merge(bias='second.bias + torch.einsum("omhh,m->o", second.weight, first.bias)'),
            r"diagonal of the kernel only",
        ),
        (
            "no bias to add",
            merge().replace("second.bias if first.bias is None else ", ""),
            r"`first\.bias` is None",
        ),
        (
            "flipped",
            merge(
                'torch.einsum("omhw,mi->oihw", second.weight.flip(2, 3), first.weight[..., 0, 0])'
            ),
            r"turned around by 180",
        ),
        (
            "height and width",
            merge('torch.einsum("omhw,mi->oiwh", second.weight, first.weight[..., 0, 0])'),
            r"Height and width of the kernel",
        ),
        (
            "transposed",
            merge('torch.einsum("omhw,im->oihw", second.weight, first.weight[..., 0, 0])'),
            r"matrix of the first layer is transposed",
        ),
        (
            "two layers",
            "def merge(first, second):\n    return nn.Sequential(first, second)\n",
            r"Conv2d\(4→4, 1×1\) → Conv2d.*one `nn.Conv2d` that does the same work alone",
        ),
        ("weights alone", merge(result="weight"), r"A layer is asked for"),
        ("no return", merge(result="None"), r"gives nothing \(None\)\. Is the `return` missing"),
        ("a layer", "merge = nn.Conv2d(3, 4, 1)", r"could not be checked|raised|expected"),
        ("a number", "merge = 3", r"A function is expected"),
        (
            "new weights",
            "def merge(first, second):\n"
            "    return nn.Conv2d(first.in_channels, second.out_channels, second.kernel_size,"
            " second.stride, second.padding)\n",
            r"weights are new random numbers",
        ),
        (
            "random bias",
            merge().replace("merged.bias.copy_(bias)", "pass"),
            r"The bias is a new random one each time",
        ),
        (
            "biases added where there are two",
            merge(bias="second.bias + first.bias").replace(
                "bias = second.bias if first.bias is None else", "bias ="
            ),
            r"added as it is",
        ),
        (
            "order, for one pixel",
            merge("(first.weight[:, :, 0, 0] @ second.weight[:, :, 0, 0])[:, :, None, None]"),
            r"matrices are multiplied in the wrong order",
        ),
        (
            "second bias lost, no question asked",
            merge(bias="second.weight.sum((2, 3)) @ first.bias").replace(
                "bias = second.bias if first.bias is None else", "bias ="
            ),
            r"bias of the second layer is lost",
        ),
        (
            "transposed and without the first bias",
            merge(
                'torch.einsum("omhw,im->oihw", second.weight, first.weight[:, :, 0, 0])',
                bias="second.bias",
            ),
            r"bias of the first layer is lost.*is transposed",
        ),
        (
            "no no_grad",
            merge().replace("with torch.no_grad():", "if True:"),
            r"^Weights are filled inside `with torch\.no_grad.*leaf Variable",
        ),
        (
            "a tensor as weight",
            merge().replace("merged.weight.copy_(weight)", "merged.weight = weight"),
            r"^A weight of a layer is an `nn\.Parameter`.*cannot assign",
        ),
        (
            "takes the bias of the first layer away",
            merge().replace("    return", "    first.bias = None\n    return"),
            r"changes the layer that it is given",
        ),
        (
            "takes the padding of the second layer away",
            merge().replace("    return", "    second.padding = (0, 0)\n    return"),
            r"changes the layer that it is given",
        ),
        (
            "in place",
            """
def merge(first, second):
    matrix = first.weight[:, :, 0, 0]
    with torch.no_grad():
        if first.bias is not None:
            second.bias.add_(second.weight.sum((2, 3)) @ first.bias)
    merged = nn.Conv2d(
        first.in_channels,
        second.out_channels,
        second.kernel_size,
        stride=second.stride,
        padding=second.padding,
    )
    with torch.no_grad():
        merged.weight.copy_(torch.einsum("omhw,mi->oihw", second.weight, matrix))
        merged.bias.copy_(second.bias)
    return merged
""",
            r"changes the layer that it is given",
        ),
    ],
    "one_by_one.3": [
        (
            "written into the photo that is read",
            """
def recolour(photo, matrix):
    result = photo.clone()
    for channel in range(3):
        result[..., channel] = (result * matrix[channel]).sum(dim=-1)
    return result
""",
            r"^A channel is mixed from channels that are new already",
        ),
        (
            "stretched",
            """
def recolour(photo, matrix):
    mixed = photo @ matrix.T
    return (mixed - mixed.min()) / (mixed.max() - mixed.min())
""",
            r"^The result is stretched to the range from 0 to 1",
        ),
        (
            "cut into another shape at the end",
            """
def recolour(photo, matrix):
    mixed = photo @ matrix.T
    return mixed.reshape(3, *photo.shape[:2])
""",
            r"^The numbers are right and in the right order",
        ),
        ("padding", recolour(back="F.pad(mixed[0], 4 * [1]).permute(1, 2, 0)"), r"a padding"),
        ("softmax", recolour(weight="matrix.softmax(1)"), r"a softmax.*over the rows of `matrix`"),
        ("inverse", recolour(weight="matrix.inverse()"), r"the inverse of `matrix`"),
        ("no matrix", recolour(weight="torch.eye(3)"), r"`photo` is returned as it is"),
        ("bytes", recolour(back="mixed[0].permute(1, 2, 0).byte()"), r"whole ones \(torch.uint8"),
        ("way back", recolour(back=PASTE), r"On the way back, the result is reshaped"),
        ("way in", recolour(CUT), r"On the way in, the photograph is reshaped"),
        ("both ways", recolour(CUT, back=PASTE), r"On the way in.*And on the way back too"),
        ("transposed", recolour(weight="matrix.T"), r"^.*The matrix is transposed"),
        ("in and transposed", recolour(CUT, "matrix.T"), r"On the way in.*The matrix"),
        (
            "back and transposed",
            recolour(weight="matrix.T", back=PASTE),
            r"On the way back.*The matrix",
        ),
        (
            "all three, written differently",
            recolour("photo.view(1, channels, height, width)", "matrix.t()", PASTE),
            r"And on the way back too\. And: The matrix is transposed",
        ),
        ("channels first", recolour(back="mixed[0]"), r"channels are still first"),
        ("a batch axis", recolour(back="mixed.permute(0, 2, 3, 1)"), r"batch axis"),
        (
            "turned",
            recolour("photo.permute(2, 1, 0)[None]"),
            r"Height and width have changed places",
        ),
        ("cut off", recolour(back="mixed[0].permute(1, 2, 0).clamp(0, 1)"), r"cut off at 0 and 1"),
        ("no return", recolour(back="None"), r"Is the `return` missing"),
        ("no channels", recolour("photo[None]"), r"raised RuntimeError"),
        (
            "numpy",
            "def recolour(photo, matrix):\n    return photo.numpy() @ matrix.T.numpy()\n",
            r"a NumPy array; a torch tensor is expected",
        ),
        (
            "random bias",
            """
def recolour(photo, matrix):
    layer = nn.Conv2d(3, 3, 1)
    layer.weight.data = matrix[:, :, None, None]
    return layer(photo.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
""",
            r"That is a bias.*draws one at random",
        ),
        (
            "random weights",
            """
def recolour(photo, matrix):
    layer = nn.Conv2d(3, 3, 1, bias=False)
    return layer(photo.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
""",
            r"something else when it is called a second|draws random numbers",
        ),
        ("nothing changes", "def recolour(photo, matrix):\n    return photo\n", r"wrong values"),
        (
            "bytes",
            recolour(back="(255 * mixed[0].permute(1, 2, 0)).round()"),
            r"about 25\d.* times the right ones",
        ),
        ("blue first", recolour("photo.flip(2).permute(2, 0, 1)[None]"), r"blue first"),
        (
            "a 3x3 kernel",
            """
def recolour(photo, matrix):
    maps = photo.permute(2, 0, 1)[:, None]
    return F.conv2d(maps, matrix[None, None], padding="same")[:, 0].permute(1, 2, 0)
""",
            r"kernel over 3×3 neighbouring pixels",
        ),
    ],
    "one_by_one.4": [
        ("smallest", pca(chosen="vectors[:, :width].T"), r"smallest eigenvalues"),
        ("rows", pca(chosen="vectors[-width:]"), r"Rows of the matrix of eigenvectors"),
        ("first rows", pca(chosen="vectors[:width]"), r"first rows of the matrix"),
        ("turned, rows", pca(chosen="vectors.flip(1)[:width]"), r"after turning the columns"),
        (
            "reshaped",
            pca("maps.reshape(-1, channels)", there="-v @ m", back="m").replace(
                "    vectors", "    m = maps.mean((0, 2, 3))\n    vectors", 1
            ),
            r"reshape.*permute",
        ),
        (
            "no mean",
            pca(there="0", back="torch.zeros(channels)").replace("copy_(0)", "zero_()"),
            r"neither subtracted before nor added",
        ),
        (
            "the mean at the end alone",
            pca(there="0 * v @ mean", back="mean - v.T @ v @ mean"),
            r"does not count from the mean pixel",
        ),
        (
            "scaled coordinates",
            pca()
            .replace("reduce.weight.copy_(v", "reduce.weight.copy_(2 * v")
            .replace("-v @ mean", "-2 * v @ mean")
            .replace("restore.weight.copy_(v.T", "restore.weight.copy_((v.T / 2)"),
            r"not of length 1",
        ),
        (
            "channels of restore in reversed order",
            pca().replace("copy_(v.T[", "copy_(v.T.flip(0)["),
            r"reversed order",
        ),
        (
            "averaged over the images",
            pca(pixels="maps.mean(0).flatten(1).T"),
            r"averaged over the images",
        ),
        (
            "the covariance of pixels",
            pca(vectors="torch.linalg.eigh(torch.cov(pixels))[1]"),
            r"torch.cov wants one row for each channel",
        ),
        ("mean not added", pca(back="0 * mean"), r"subtracted, but not added"),
        ("mean not subtracted", pca(there="0 * v @ mean"), r"added at the end, but not subtracted"),
        (
            "not centred",
            pca(vectors="torch.linalg.eigh(pixels.T @ pixels)[1]"),
            r"the first one points at the mean",
        ),
        (
            "not centred at all",
            pca(
                vectors="torch.linalg.eigh(pixels.T @ pixels)[1]",
                there="0 * v @ mean",
                back="0 * mean",
            ),
            r"left out altogether",
        ),
        ("swapped", pca(result="restore, reduce"), r"have changed places"),
        ("one layer", pca(result="reduce"), r"two layers, reduce and restore, are expected"),
        ("no return", pca(result="None"), r"Is the `return` missing"),
        (
            "matrices",
            pca(result="v, v.T"),
            r"A layer is asked for",
        ),
        (
            "fixed width",
            pca(chosen="vectors[:, -3:].T"),
            r"raised RuntimeError|must match|expected",
        ),
        (
            "3x3 layers",
            """
def pca_layers(maps, width):
    return nn.Conv2d(maps.shape[1], width, 3), nn.Conv2d(width, maps.shape[1], 3)
""",
            r"reduce is Conv2d\(3→1, 3×3\); a 1×1 convolution from 3 to 1",
        ),
        (
            "untrained",
            """
def pca_layers(maps, width):
    return nn.Conv2d(maps.shape[1], width, 1), nn.Conv2d(width, maps.shape[1], 1)
""",
            r"weights of reduce are new random",
        ),
        (
            "reshaped to channels",
            pca("maps.reshape(channels, -1).T"),
            r"mixes images and channels.*The mean pixel is wrong for the same reason",
        ),
        (
            "reshaped to channels for the directions",
            pca(
                vectors="torch.linalg.eigh(torch.cov(maps.reshape(channels, -1)))[1]",
            ),
            r"mixes images and channels",
        ),
        (
            "reshaped, mean and all",
            pca("maps.reshape(-1, channels)"),
            r"the mean pixel is wrong too",
        ),
        ("plus", pca(there="v @ mean"), r"added before instead of subtracted"),
        ("not projected, cut", pca(there="-mean[:width]"), r"mean pixel as it is"),
        ("not projected", pca(there="-mean"), r"it is V m.*match"),
        (
            "correlations",
            pca(vectors="torch.linalg.eigh(torch.corrcoef(pixels.T))[1]"),
            r"those of the correlations",
        ),
        (
            "first image",
            pca("maps[0].permute(1, 2, 0).reshape(-1, channels)"),
            r"come from the first image only",
        ),
        (
            "unsorted",
            pca(vectors="torch.linalg.eig(torch.cov(pixels.T))[1].real"),
            r"in no order, so the last columns",
        ),
        (
            "unsorted, first",
            pca(
                vectors="torch.linalg.eig(torch.cov(pixels.T))[1].real",
                chosen="vectors[:, :width].T",
            ),
            r"in no order, so the first columns",
        ),
        (
            "random bias before",
            pca().replace("reduce.bias.copy_", "str"),
            r"The bias of reduce is a new random one",
        ),
        (
            "random bias after",
            pca().replace("restore.bias.copy_", "str"),
            r"The bias of restore is a new random one",
        ),
        ("no no_grad", pca().replace("with torch.no_grad():", "if True:"), r"with torch\.no_grad"),
        (
            "reshaped back",
            pca(chosen="vectors.flip(1)[:, :width].T").replace(
                "v.T[:, :, None, None]", "v.reshape(channels, width, 1, 1)"
            ),
            r"not transposed, only reshaped",
        ),
        (
            "channels chosen",
            pca(chosen="torch.eye(channels)[pixels.var(0).argsort()[-width:]]"),
            r"Channels with the largest variance are chosen",
        ),
        (
            "a sample for each image",
            pca(
                "maps.mean((2, 3))",
                vectors="torch.linalg.eigh((pixels - mean).T @ (pixels - mean))[1]",
            ),
            r"one sample for each image",
        ),
        (
            "whitened",
            """
def pca_layers(maps, width):
    pixels = maps.movedim(1, -1).flatten(0, -2)
    mean = pixels.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(pixels.T))
    v, scale = vectors[:, -width:].T, values[-width:].sqrt()[:, None]
    reduce, restore = nn.Conv2d(len(mean), width, 1), nn.Conv2d(width, len(mean), 1)
    with torch.no_grad():
        reduce.weight.copy_((v / scale)[:, :, None, None])
        reduce.bias.copy_(-(v / scale) @ mean)
        restore.weight.copy_((v * scale).T[:, :, None, None])
        restore.bias.copy_(mean)
    return reduce, restore
""",
            r"not of length 1\. Do not divide",
        ),
        (
            "trained",
            """
def pca_layers(maps, width):
    channels = maps.shape[1]
    pair = nn.Sequential(nn.Conv2d(channels, width, 1), nn.Conv2d(width, channels, 1))
    optimizer = torch.optim.Adam(pair.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (pair(maps) - maps).square().mean().backward()
        optimizer.step()
    return pair[0], pair[1]
""",
            r"as those of trained layers do",
        ),
        ("in place", pca(pixels="maps.sub_(1).permute(0, 2, 3, 1).reshape(-1, channels)"), r"maps"),
    ],
    "one_by_one.5": [
        (
            "64 bits",
            convolution(result="layer.double()"),
            r"^Numbers of 64 bits",
        ),
        (
            "dilation",
            convolution(layer="nn.Conv2d(channels, linear.out_features, kernel_size, dilation=2)"),
            r"gaps between the pixels of its kernel",
        ),
        (
            "other number of outputs",
            convolution(layer="nn.Conv2d(channels, 10, kernel_size)"),
            r"no size is fixed.*as_convolution\(.*raised RuntimeError: The size",
        ),
        (
            "a part of the bias",
            convolution(bias="layer.bias.copy_(linear.bias / kernel_size)"),
            r"kernel is right; only the bias is wrong",
        ),
        (
            "minus the bias",
            convolution(bias="layer.bias.copy_(-linear.bias)"),
            r"The bias has the wrong sign",
        ),
        (
            "1x1",
            convolution(
                "linear.weight[:, :, None, None]",
                "nn.Conv2d(linear.in_features, linear.out_features, 1)",
            ),
            r"a 1×1 kernel sees one pixel, and this layer looks at 3×3",
        ),
        (
            "channels last",
            convolution(
                "linear.weight.reshape(-1, kernel_size, kernel_size, channels).permute(0, 3, 1, 2)"
            ),
            r"wrong order, with the channels last",
        ),
        (
            "turned",
            convolution(
                "linear.weight.reshape(-1, channels, kernel_size, kernel_size).transpose(2, 3)"
            ),
            r"Height and width of the kernel",
        ),
        (
            "flipped",
            convolution("linear.weight.reshape(-1, channels, kernel_size, kernel_size).flip(2, 3)"),
            r"turned around by 180",
        ),
        (
            "transposed",
            convolution("linear.weight.T.reshape(-1, channels, kernel_size, kernel_size)"),
            r"transposed first",
        ),
        ("zero bias", convolution(bias="layer.bias.zero_()"), r"The bias is missing"),
        (
            "no bias",
            convolution(
                layer="nn.Conv2d(channels, linear.out_features, kernel_size, bias=False)",
                bias="pass",
            ),
            r"The bias is missing",
        ),
        ("bias not copied", convolution(bias="pass"), r"bias is a new random one"),
        (
            "random weights",
            "def as_convolution(linear, channels, kernel_size):\n"
            "    return nn.Conv2d(channels, linear.out_features, kernel_size)\n",
            r"new random numbers each time",
        ),
        (
            "padding",
            convolution(
                layer="nn.Conv2d(channels, linear.out_features, kernel_size, "
                "padding=kernel_size // 2)"
            ),
            r"With padding a 3×3 kernel has more than one place",
        ),
        (
            "stride",
            convolution(
                layer="nn.Conv2d(channels, linear.out_features, kernel_size, stride=kernel_size)"
            ),
            r"slide one pixel at a time.*the output for maps of the kernel's size is right",
        ),
        (
            "the wrong kernel",
            "def as_convolution(linear, channels, kernel_size):\n"
            "    return nn.Conv2d(channels, linear.out_features, 2)\n",
            r"kernel has to be as large as the map, 3×3",
        ),
        ("no return", convolution(result="None"), r"Is the `return` missing"),
        (
            "the linear layer",
            "def as_convolution(linear, channels, kernel_size):\n"
            "    return nn.Sequential(nn.Flatten(), linear)\n",
            r"Flatten → Linear.*one `nn.Conv2d`",
        ),
        (
            "no reshape",
            "def as_convolution(linear, channels, kernel_size):\n"
            "    layer = nn.Conv2d(channels, linear.out_features, kernel_size)\n"
            "    layer.weight.data, layer.bias.data = linear.weight.data, linear.bias.data\n"
            "    return layer\n",
            r"weight has the shape \(5, 36\)\. The convolution needs \(5, 4, 3, 3\)",
        ),
        (
            "a parameter with the channels last",
            "def as_convolution(linear, channels, kernel_size):\n"
            "    layer, k = nn.Conv2d(channels, linear.out_features, kernel_size), kernel_size\n"
            "    layer.weight = nn.Parameter(linear.weight.detach().reshape(-1, k, k, channels))\n"
            "    layer.bias = nn.Parameter(linear.bias.detach())\n"
            "    return layer\n",
            r"weight has the shape \(5, 3, 3, 4\)",
        ),
        (
            "LeNet's channels",
            convolution(
                "linear.weight.reshape(layer.weight.shape)",
                "nn.Conv2d(16, linear.out_features, 5)",
            ),
            r"no size is fixed",
        ),
        (
            "LeNet's outputs",
            convolution(
                "linear.weight.reshape(layer.weight.shape)", "nn.Conv2d(channels, 120, kernel_size)"
            ),
            r"no size is fixed",
        ),
        (
            "in a Sequential",
            convolution(result="nn.Sequential(layer)"),
            r"gives Sequential\(Conv2d\(4→5, 3×3\)\)\. .* without the Sequential around it",
        ),
        (
            "groups",
            convolution(
                layer="nn.Conv2d(channels, linear.out_features, kernel_size, groups=channels)"
            ),
            r"^Without `groups` every kernel sees all channels",
        ),
        (
            "no parameter",
            convolution().replace("layer.weight.copy_(", "layer.weight = ("),
            r"^A weight of a layer is an `nn\.Parameter`",
        ),
        ("weights", convolution(result="layer.weight"), r"A layer is asked for"),
        ("a module", "as_convolution = 5", r"A function is expected"),
    ],
    "one_by_one.6": [
        ("entries", never_read(a=432), r"entries in all four channels"),
        ("zero everywhere", never_read(a=0.0, b=0.0, c=0.0), r"says that every pixel is read"),
        ("one position too many", never_read(a=1 - 49 / 144), r"6 positions on a side, not 7"),
        ("of 28 pixels", never_read(b=1 - 100 / 784), r"share for an image of 28×28"),
        ("inner pixels", never_read(e=1 - 100 / 144), r"border are read too"),
        ("negative gradients", never_read(a=0.875), r"compare the gradient with `== 0`"),
        ("one decimal", never_read(a=0.8), r"rounded too much"),
        ("share that is read", never_read(a=0.25), r"0.25 is not right.*share that is read"),
        ("pixels", never_read(a=108), r"number of pixels"),
        ("per cent", never_read(b=800 / 9), r"percentage"),
        ("numbers of channels", never_read(a=0.1875), r"not by the 576 numbers"),
        ("rounded", never_read(c=0.94), r"0.94 is not right.*rounded too much"),
        ("rounded ninths", never_read(b=0.89), r"rounded too much"),
        ("one axis", never_read(a=0.5), r"every other row and every other column"),
        (
            "all over rows",
            MEASURE
            + """
never_read = {}
for name, layer in looks.items():
    image = torch.randn(1, 4, 12, 12, requires_grad=True)
    layer(image).sum().backward()
    never_read[name] = (image.grad == 0).all(dim=2).float().mean().item()
""",
            r'"1x1, stride 2": 0\.5 .*does `\.all` run over rows or columns',
        ),
        (
            "a sum of the wrong axis",
            MEASURE
            + """
never_read = {}
for name, layer in looks.items():
    image = torch.randn(1, 4, 12, 12, requires_grad=True)
    layer(image).sum().backward()
    never_read[name] = (image.grad == 0).all(dim=-1).sum().item() / 12
""",
            r'"1x1, stride 2": 2 is not right\. A share lies between 0 and 1',
        ),
        ("two halves", never_read(c=0.5), r"A quarter of a quarter is read"),
        ("not above zero", never_read(c=1.0), r"negative gradient is read too"),
        ("one axis of three", never_read(b=2 / 3), r"one pixel of nine is read"),
        ("once", never_read(c=0.75), r"three quarters of what the first has left"),
        ("average", never_read(d=0.75), r"mixed into one that is"),
        ("read by the average", never_read(d=1.0), r"share that is read"),
        ("3x3 forgotten", never_read(e=0.75), r"mixed into one that is"),
        (
            "all in one image",
            MEASURE
            + """
image = torch.randn(1, 4, 12, 12, requires_grad=True)
never_read = {}
for name, layer in looks.items():
    layer(image).sum().backward()
    never_read[name] = (image.grad == 0).all(dim=1).float().mean().item()
""",
            r'"1x1, stride 3": .*gradients of the layers before it',
        ),
        (
            "a missing key",
            "never_read = {'1x1, stride 2': 0.75}",
            r'^"1x1, stride 3", .*are missing',
        ),
        ("a list", "never_read = [0.75, 8 / 9]", r"A dictionary with the keys"),
        ("None", never_read(e=None), r"A number is expected, not nothing"),
        ("channels counted", never_read(a=3.0), r"counted four times.*all\(dim=1\)"),
        ("channels counted, ninths", never_read(b=32 / 9), r"counted four times"),
        ("half of a mean", never_read(d=0.5), r"All four pixels of each 2×2 square"),
        ("a quarter of stride 3", never_read(b=0.25), r"square of 3×3 pixels"),
        ("a third", never_read(b=1 / 3), r"square of 3×3 pixels"),
        ("a quarter of twice", never_read(c=0.25), r"Follow one row"),
        ("a quarter after 3x3", never_read(e=0.25), r"windows are 3×3.*none of them"),
        ("anything", never_read(e=0.3), r"0.3 is not right\. The stride keeps .* Build one image"),
    ],
    "one_by_one.7": [
        ("compared exactly", notices("tttttt"), r"randperm .*atol=1e-5"),
        ("torch.equal", notices("tftttt"), r"everywhere but for the maximum.*torch.equal"),
        ("not shuffled", notices("ffffff"), r"really shuffled"),
        ("turned around", notices("tttfff"), r"wrong way round"),
        ("average", notices("tffttt"), r"an average does not ask for the order"),
        ("maximum", notices("ftfttt"), r"largest of all values"),
        ("average of averages", notices("fftttt"), r"mean of the means"),
        ("maxima", notices("fffftt"), r"so do the maxima"),
        ("stride", notices("ffftft"), r"reads a quarter"),
        ("linear", notices("fffttf"), r"a weight of its own for every place"),
        ("a list", "notices = [False, False]", r"A dictionary with the keys"),
        ("a missing key", "notices = {'1x1, average': False}", r'^"1x1, maximum", .*are missing'),
        (
            "differences",
            f"notices = dict.fromkeys({KINDS}, 0.3)",
            r"True or False is expected, not 0.3",
        ),
        ("texts", f"notices = dict.fromkeys({KINDS}, 'no')", r"True or False is expected"),
    ],
    "one_by_one.9": [
        (
            "three convolutions",
            detour(
                ONE,
                "nn.ReLU()",
                "nn.Conv2d(between, between, 5, padding=2)",
                "nn.ReLU()",
                "nn.Conv2d(between, out_channels, 1)",
            ),
            r"^Your detour has 3 convolutions",
        ),
        ("no ReLU", detour(ONE, FIVE), r"ReLU between the two convolutions is missing"),
        ("two ReLUs", detour(ONE, "nn.ReLU()", FIVE, "nn.ReLU()"), r"after the second convolution"),
        ("a ReLU at the end", detour(ONE, FIVE, "nn.ReLU()"), r"after both"),
        (
            "no padding",
            detour(ONE, "nn.ReLU()", FIVE.replace(", padding=2", "")),
            r"5×5 convolution has no padding",
        ),
        (
            "5x5 first",
            detour(
                "nn.Conv2d(in_channels, between, 5, padding=2)",
                "nn.ReLU()",
                "nn.Conv2d(between, out_channels, 1)",
            ),
            r"two kernels have changed places",
        ),
        (
            "direct",
            detour("nn.Conv2d(in_channels, out_channels, 5, padding=2)"),
            r"1×1 before it is missing",
        ),
        (
            "no biases",
            detour(
                ONE.replace("1)", "1, bias=False)"),
                "nn.ReLU()",
                FIVE.replace("2)", "2, bias=False)"),
            ),
            r"bias",
        ),
        ("3x3", detour(ONE, "nn.ReLU()", FIVE.replace("5, padding=2", "3, padding=1")), r"3×3"),
        (
            "channels of the image",
            detour(ONE, "nn.ReLU()", FIVE.replace("between", "in_channels")),
            r"channels",
        ),
        (
            "no return",
            "def detour(in_channels, out_channels, between):\n"
            f"    nn.Sequential({ONE}, nn.ReLU(), {FIVE})\n",
            r"return",
        ),
        (
            "a list",
            "def detour(in_channels, out_channels, between):\n"
            f"    return [{ONE}, nn.ReLU(), {FIVE}]\n",
            r"nn.Sequential",
        ),
    ],
}

right_answers = {
    "one_by_one.1": [
        ("numbers", counts()),
        (
            "counted by torch",
            """
from torch.utils.flop_counter import FlopCounterMode


def macs(layer):
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(1, 192, 28, 28))
    return counter.get_total_flops() / 2


one = nn.Conv2d(192, 32, 1, bias=False)
counts = {
    "weights": one.weight.numel(),
    "macs": macs(one),
    "direct": macs(nn.Conv2d(192, 32, 5, padding=2)),
    "detour": macs(nn.Sequential(nn.Conv2d(192, 16, 1), nn.Conv2d(16, 32, 5, padding=2))),
}
""",
        ),
        ("tensors", counts(weights="torch.tensor(6144)")),
    ],
    "one_by_one.2": [
        ("a bias that asks", merge()),
        (
            "by probing",
            """
def merge(first, second):
    size = second.kernel_size[0]
    zero = torch.zeros(1, first.in_channels, size, size)
    plain = nn.Conv2d(
        second.in_channels, second.out_channels, second.kernel_size, bias=False
    )
    merged = nn.Conv2d(
        first.in_channels,
        second.out_channels,
        second.kernel_size,
        second.stride,
        second.padding,
    )
    with torch.no_grad():
        plain.weight.copy_(second.weight)
        base = second.bias[None, :, None, None] + plain(first(zero))
        merged.bias.copy_(base.flatten())
        for i in range(first.in_channels):
            for h in range(size):
                for w in range(size):
                    probe = zero.clone()
                    probe[0, i, h, w] = 1
                    change = plain(first(probe)) - plain(first(zero))
                    merged.weight[:, i, h, w] = change.flatten()
    return merged
""",
        ),
        (
            "by a convolution of kernels",
            """
def merge(first, second):
    merged = nn.Conv2d(
        first.in_channels,
        second.out_channels,
        second.kernel_size,
        second.stride,
        second.padding,
    )
    merged.weight = nn.Parameter(F.conv2d(second.weight, first.weight.transpose(0, 1)).detach())
    bias = second.bias.detach().clone()
    if first.bias is not None:
        bias += torch.einsum("omhw,m->o", second.weight, first.bias).detach()
    merged.bias = nn.Parameter(bias)
    return merged
""",
        ),
        (
            "a layer with gradients",
            """
class merge(nn.Conv2d):
    def __init__(self, first, second):
        k, s, p = second.kernel_size, second.stride, second.padding
        super().__init__(first.in_channels, second.out_channels, k, s, p)
        self.weight.data = torch.tensordot(
            second.weight.permute(0, 2, 3, 1), first.weight[:, :, 0, 0], dims=1
        ).permute(0, 3, 1, 2)
        self.bias.data = second.bias.data.clone()
        if first.bias is not None:
            self.bias.data += (second.weight.sum(3).sum(2) * first.bias).sum(1)
""",
        ),
    ],
    "one_by_one.3": [
        ("repaired", recolour()),
        ("without a convolution", "def recolour(photo, matrix):\n    return photo @ matrix.T\n"),
        (
            "einsum",
            'def recolour(photo, matrix):\n    return torch.einsum("hwc,oc->hwo", photo, matrix)\n',
        ),
        (
            "a layer",
            """
def recolour(photo, matrix):
    layer = nn.Conv2d(3, 3, 1, bias=False)
    layer.weight.data = matrix.reshape(3, 3, 1, 1).clone()
    return layer(photo.movedim(-1, 0).unsqueeze(0)).squeeze(0).movedim(0, -1)
""",
        ),
    ],
    "one_by_one.4": [
        ("eigh", pca()),
        (
            "svd",
            pca(
                vectors="torch.linalg.svd(pixels - mean, full_matrices=False)[2]",
                chosen="vectors[:width]",
            ),
        ),
        (
            "scikit-learn",
            pca(
                vectors="__import__('sklearn.decomposition').decomposition.PCA(width)"
                ".fit(pixels.numpy()).components_",
                chosen="torch.as_tensor(vectors)",
            ),
        ),
    ],
    "one_by_one.5": [
        ("reshape", convolution()),
        (
            "unflatten",
            convolution("linear.weight.unflatten(1, (channels, kernel_size, kernel_size))"),
        ),
        (
            "a new parameter",
            """
def as_convolution(linear, channels, kernel_size):
    layer = nn.Conv2d(channels, len(linear.weight), (kernel_size, kernel_size))
    layer.weight = nn.Parameter(linear.weight.detach().clone().view_as(layer.weight))
    layer.bias = nn.Parameter(linear.bias.detach().clone())
    return layer
""",
        ),
        (
            "index by index",
            """
def as_convolution(linear, channels, kernel_size):
    layer = nn.Conv2d(channels, linear.out_features, kernel_size)
    with torch.no_grad():
        layer.bias.copy_(linear.bias)
        for index in range(linear.in_features):
            c, rest = divmod(index, kernel_size * kernel_size)
            row, column = divmod(rest, kernel_size)
            layer.weight[:, c, row, column] = linear.weight[:, index]
    return layer
""",
        ),
    ],
    "one_by_one.6": [
        ("rounded to three decimals", never_read(b=0.889, c=0.938)),
        ("rounded to four decimals", never_read(b=0.8889)),
        ("by thinking", never_read()),
        (
            "by trying every pixel",
            MEASURE
            + """
never_read = {}
for name, layer in looks.items():
    image = torch.randn(1, 4, 12, 12)
    with torch.no_grad():
        before, unread = layer(image), 0
        for row in range(12):
            for column in range(12):
                other = image.clone()
                other[:, :, row, column] += 1
                unread += torch.equal(layer(other), before)
    never_read[name] = unread / 144
""",
        ),
        (
            "rounded as tensors",
            never_read(a="torch.tensor(0.75)").replace("'torch", "torch").replace("75)'", "75)"),
        ),
    ],
    "one_by_one.7": [
        ("by thinking", notices("fffttt")),
        ("zeros and ones", f"notices = dict(zip({KINDS}, [0, 0, 0, 1, 1, 1]))"),
        (
            "tensors",
            f"import torch\nnotices = dict(zip({KINDS}, torch.tensor([0, 0, 0, 1, 1, 1]).bool()))",
        ),
        (
            "numpy",
            "import numpy as np\n"
            f"notices = dict(zip({KINDS}, np.array([0, 0, 0, 1, 1, 1], dtype=bool)))",
        ),
    ],
    "one_by_one.9": [
        ("a Sequential", detour(ONE, "nn.ReLU()", FIVE)),
        (
            "as a class",
            """
class detour(nn.Module):
    def __init__(self, in_channels, out_channels, between):
        super().__init__()
        self.large = nn.Conv2d(between, out_channels, 5, padding="same")
        self.squeeze = nn.Conv2d(in_channels, between, 1)

    def forward(self, x):
        return self.large(torch.relu(self.squeeze(x)))
""",
        ),
        (
            "with nn.Linear",
            """
class detour(nn.Module):
    def __init__(self, in_channels, out_channels, between):
        super().__init__()
        self.squeeze = nn.Linear(in_channels, between)
        self.large = nn.Conv2d(between, out_channels, 5, padding=2)

    def forward(self, x):
        return self.large(self.squeeze(x.movedim(1, -1)).movedim(-1, 1).relu())
""",
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "one_by_one.2": [
        (
            "Weight and bias are filled in either order; a 1×1 kernel has one row and one "
            "column; a sum does not mind the order of its dimensions.",
            "`merged.weight.copy_( … matrix))` and `merged.bias.copy_(second.bias)` exchanged",
            "`0` becomes `-1` in `matrix = first.weigh … :, 0, 0]`",
            "`0` becomes `-1` in `matrix = first.weigh … :, 0, 0]` #2",
            "`2` and `3` exchanged",
        ),
    ],
    "one_by_one.3": [
        (
            "The batch has one image: the last is the first.",
            "`0` becomes `-1` in `return mixed[0].perm … 1, 2, 0)` #2",
        ),
    ],
    "one_by_one.4": [
        (
            "The pixels may come in any order as long as each keeps its channels; weights "
            "and biases are filled in any order.",
            "`0` and `2` exchanged",
            "`2` and `3` exchanged",
            "`reduce.weight.copy_( … , None])` and `reduce.bias.copy_(-d …  @ mean)` exchanged",
            "`reduce.bias.copy_(-d …  @ mean)` and `restore.weight.copy_ … , None])` exchanged",
            "`restore.weight.copy_ … , None])` and `restore.bias.copy_(mean)` exchanged",
        ),
    ],
    "one_by_one.5": [
        (
            "Weight and bias are filled in either order.",
            "`convolution.weight.c … .shape))` and `convolution.bias.cop … ar.bias)` exchanged",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------


def probe_one_by_one_2(merge):
    def run(first, second):
        merged, maps = merge(first, second), torch.randn(2, first.in_channels, 9, 8)
        return merged(maps).detach(), merged.weight.detach(), merged.bias.detach()

    return (
        run(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 4, (2, 3), stride=2)),
        run(nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 4, 3, padding=1)),
    )


def probe_one_by_one_3(recolour):
    return recolour(torch.rand(4, 7, 3), torch.randn(3, 3))


def probe_one_by_one_4(pca_layers):
    maps = torch.randn(3, 5, 4, 6) * torch.arange(1, 6)[:, None, None] + 2
    reduce, restore = pca_layers(maps, 3)
    return restore(reduce(maps)).detach(), reduce(maps).detach().abs()


def probe_one_by_one_5(as_convolution):
    layer = as_convolution(nn.Linear(5 * 3 * 3, 4), 5, 3)
    return layer(torch.randn(2, 5, 7, 6)).detach()
