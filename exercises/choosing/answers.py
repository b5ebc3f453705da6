"""Answers to the exercises of chapter 10."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from utils.topics import capstone

PARTS = {
    "choosing.1": {
        "weights": 553.43,
        "weights_int8": 138.36,
        "maps": 12.845,
        "most": 250_000,
    },
}


def megabytes(**changes):
    """Source of choosing.1 with these values."""
    values = {**PARTS["choosing.1"], **changes}
    return f"megabytes = {values}"


def front(condition, order="key=lambda n: points[n][0]", result="sorted(kept, {order})", before=""):
    """Source of a pareto_front that throws out what `condition` (of `a` over `b`) says."""
    return f"""
def pareto_front(points):
    {before or "pass"}
    kept = [
        name
        for name, b in points.items()
        if not any({condition} for key, a in points.items() if key != name)
    ]
    return {result.format(order=order)}
"""


RIGHT = "a[0] <= b[0] and a[1] >= b[1] and a != b"


def kept_in_a_loop(inner="pass", outer="pass"):
    """Source of a pareto_front with loops; `inner` is done for each other that does not dominate,
    `outer` after a network was compared."""
    own = "else:\n            out.append(name)" if inner == "pass" else ""
    return f"""
def pareto_front(points):
    out = []
    for name, b in points.items():
        for key, a in points.items():
            if key != name and {RIGHT}:
                break
            elif key != name:
                {inner}
        {own}
        {outer}
    return sorted(out, key=lambda n: points[n][0])
"""


def stopwatch(
    mode="network.eval()",
    context="torch.inference_mode()",
    warm_up="range(3)",
    result="1000 * statistics.median(times)",
    restore="network.train(before)",
    rounds="rounds",
    read="clock()",
):
    """Source of a latency with these parts."""
    return f"""
import contextlib
import statistics
import time


def latency(network, images, rounds=20, clock=time.perf_counter):
    before = network.training
    {mode}
    times = []
    with {context}:
        for _ in {warm_up}:
            network(images)
        for _ in range({rounds}):
            start = {read}
            network(images)
            times.append({read} - start)
    {restore}
    return {result}
"""


def flips(line, before="pass", ways="itertools.product((1, -1), repeat=len(differences))"):
    """Source of a sign_flip whose ways are judged by `line` (with `mean` and `measured`)."""
    return f"""
import itertools
import statistics


def sign_flip(differences):
    measured = sum(differences) / len(differences)
    {before}
    ways = list({ways})
    count = 0
    for signs in ways:
        mean = sum(s * d for s, d in zip(signs, differences)) / len(differences)
        count += {line}
    return count / len(ways)
"""


FAR = "abs(mean) >= abs(measured) - 1e-9"


def pick(**changes):
    """Source of choosing.5 with the right answers, but for `changes` (expressions over `table`)."""
    return f"""
from utils.topics import network_tables

table = network_tables.small_networks()


def best(fits, key, sign=1):
    names = [name for name, row in table.items() if fits(row)]
    return max(names, key=lambda name: sign * table[name][key])


def worst(fits, key, sign=1):
    return best(fits, key, -sign)


choice = {{
    "shelf": best(lambda row: row["weights_mb"] < 0.3 and row["one_ratio"] < 5, "accuracy"),
    "hour": best(lambda row: 24 * row["training_minutes"] < 60, "accuracy"),
    "night": best(lambda row: row["low"] > table["lenet"]["high"] + 0.005, "batch_ms", sign=-1),
}}
choice |= {{{", ".join(f'"{key}": {value}' for key, value in changes.items())}}}
"""


def phone(slow="(1.0, 128)", full="(0.5, 224)", tiny="(0.75, 224)"):
    return f'phone = {{"slow": {slow}, "slow_and_full": {full}, "tiny_download": {tiny}}}'


LAYERS = """
def block(i, o, k, s=1, groups=1):
    return nn.Sequential(
        nn.Conv2d(i, o, k, s, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o), nn.ReLU()
    )


def separable(i, o, s=1):
    return nn.Sequential(block(i, i, 3, s, i), block(i, o, 1))


OWN = (
    lambda: block(1, 14, 3, 2),
    lambda: separable(14, 28),
    lambda: separable(28, 56, 2),
    lambda: separable(56, 56),
    lambda: separable(56, 113, 2),
    lambda: separable(113, 113),
    lambda: nn.AdaptiveAvgPool2d(1),
    lambda: nn.Flatten(),
)


def own(*head):
    return nn.Sequential(*(make() for make in OWN), *(head or [nn.Linear(113, 10)]))


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.own = own()

    def forward(self, images):
        return self.own(images)


"""


def network(*layers, before="", after=""):
    """Source of a build() that returns an nn.Sequential of these layers."""
    inner = ", ".join(layers)
    return f"{LAYERS}{before}\ndef build():\n    return nn.Sequential({inner})\n{after}"


def wrapped(forward, init="pass", before=""):
    """Source of a build() whose module has this forward (and more in __init__)."""
    return f"""{LAYERS}
{before}

class Mine(Wrapped):
    def __init__(self):
        super().__init__()
        {init}

    def forward(self, images):
        {forward}


def build():
    return Mine()
"""


LENET = (
    "nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), "
    "nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 60), nn.ReLU(), nn.Linear(60, 30), nn.ReLU(), "
    "nn.Linear(30, 10)"
)
# In place of the course's own network, where a wrong answer gets as far as the training.
QUICK = "self.own = nn.Sequential(block(1, 16, 3, 4), nn.Flatten(), nn.Linear(784, 10))"
SMALL_CONV = "block(1, 16, 3, 2), block(16, 32, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()"

wrong_answers = {
    "choosing.1": [
        ("bytes", megabytes(weights=553_430_176), r'"weights": .*in bytes'),
        ("kilobytes", megabytes(weights=553_430.176), r'"weights": .*in kilobytes'),
        ("gigabytes", megabytes(weights=0.553430176), r'"weights": .*in gigabytes'),
        ("mebibytes", megabytes(weights=138_357_544 * 4 / 2**20), r'"weights": .*divides by 2²⁰'),
        ("mebibytes, rounded", megabytes(weights=527.8), r'"weights": .*divides by 2²⁰'),
        ("one decimal", megabytes(weights=553.4), r'"weights": .*rounded'),
        ("no decimals", megabytes(maps=13), r'"maps": 13 is not right. This is rounded'),
        ("none", megabytes(weights=None), r'"weights": A number is expected, not nothing'),
        ("bits", megabytes(weights=553.430176 * 8), r'"weights": .*in bits'),
        ("one byte", megabytes(weights=138.357544), r'"weights": .*takes 4 bytes'),
        ("float64", megabytes(weights=553.430176 * 2), r'"weights": .*float64'),
        ("float16", megabytes(weights=553.430176 / 2), r'"weights": .*2 bytes a number'),
        ("int8 as float32", megabytes(weights_int8=553.43), r'"weights_int8": .*size in float32'),
        ("int8 an eighth", megabytes(weights_int8=138.357544 / 8), r'"weights_int8": .*8 bits'),
        ("float32 by 8", megabytes(weights_int8=69.178772), r"an eighth of the float32 size"),
        ("int8 times 16", megabytes(weights_int8=2213.720704), r"multiplies the float32 size"),
        ("kernels alone", megabytes(maps=0.006912), r'"maps": .*weights of the kernels'),
        ("one map", megabytes(maps=0.200704), r'"maps": .*gives 64'),
        ("the image", megabytes(maps=0.602112), r'"maps": .*the image itself'),
        ("a row", megabytes(maps=0.057344), r'"maps": .*224 rows and 224 columns'),
        ("maps times 3", megabytes(maps=38.535168), r'"maps": .*image\'s channels'),
        ("kernels too", megabytes(maps=12.851968), r'"maps": .*weights of the kernels'),
        ("kernels and biases", megabytes(maps=12.852224), r'"maps": .*weights of the kernels'),
        ("maps in one byte", megabytes(maps=3.211264), r'"maps": .*4 bytes'),
        ("most in bytes", megabytes(most=1_000_000), r'"most": .*takes 4 of them'),
        ("most multiplied", megabytes(most=4_000_000), r'"most": .*Divide'),
        ("most in millions", megabytes(most=0.25), r'"most": .*in millions'),
        ("most in bits", megabytes(most=31_250), r'"most": .*32 are the bits'),
        ("most in mebibytes", megabytes(most=262_144), r'"most": .*2²⁰ bytes'),
        ("a text", megabytes(weights="553 MB"), r'"weights": A number is expected'),
        ("a tuple", "megabytes = (553.43, 138.36, 12.85, 250000)", r"A dictionary with the keys"),
        ("a key missing", 'megabytes = {"weights": 553.43}', r'^"weights_int8", .*are missing'),
    ],
    "choosing.2": [
        ("both strictly", front("a[0] < b[0] and a[1] > b[1]"), r"Equal in one and better"),
        ("high cost good", front("a[0] >= b[0] and a[1] >= b[1] and a != b"), r"high cost"),
        ("low accuracy good", front("a[0] <= b[0] and a[1] <= b[1] and a != b"), r"low accuracy"),
        ("all", front("False"), r"dominated ones have to go"),
        (
            "rounded",
            front(RIGHT, before="points = {n: (c, round(a, 2)) for n, (c, a) in points.items()}"),
            r"accuracies are rounded first",
        ),
        (
            "a sweep sorted by cost only",
            "def pareto_front(points):\n    out = []\n"
            "    for n in sorted(points, key=lambda n: points[n][0]):\n"
            "        if not out or points[n][1] > points[out[-1]][1]:\n"
            "            out.append(n)\n    return out",
            r"^Of networks with equal cost the first one stays",
        ),
        (
            "the convex hull",
            """
def pareto_front(points):
    out = []
    for n in sorted(points, key=lambda n: (points[n][0], -points[n][1])):
        if out and points[n][1] <= points[out[-1]][1] and points[n] != points[out[-1]]:
            continue
        while len(out) > 1:
            (a, b), (c, d), (e, f) = points[out[-2]], points[out[-1]], points[n]
            if (d - b) * (e - a) >= (f - b) * (c - a):
                break
            out.pop()
        out.append(n)
    return out
""",
            r"below the straight line",
        ),
        ("ties out", front("a[0] <= b[0] and a[1] >= b[1]"), r"neither dominates the other"),
        (
            "with itself",
            "def pareto_front(points):\n    return [n for n, b in points.items() if not any("
            "a[0] <= b[0] and a[1] >= b[1] for a in points.values())]",
            r"compared with itself",
        ),
        ("not sorted", front(RIGHT, result="kept"), r"cheapest comes first|another order"),
        (
            "by accuracy, best first",
            front(RIGHT, order="key=lambda n: -points[n][1]"),
            r"most expensive comes first",
        ),
        ("by name", front(RIGHT, result="sorted(kept)"), r"cheapest comes first"),
        ("a set", front(RIGHT, result="set(kept)"), r"return them as a list"),
        ("lists of names", front(RIGHT, result="[[n] for n in kept]"), r"list of names"),
        ("twice", front(RIGHT, result="sorted(kept * 2)"), r"appears 2 times"),
        ("how many", front(RIGHT, result="len(kept)"), r"list of names"),
        ("the points", front(RIGHT, result="[points[n] for n in kept]"), r"list of names"),
        (
            "a dictionary",
            front(RIGHT, result="{{n: points[n] for n in kept}}"),
            r"return them as a list",
        ),
        (
            "the ends",
            "def pareto_front(points):\n    if not points:\n        return []\n"
            "    ends = {min(points, key=lambda n: points[n][0]),"
            " max(points, key=lambda n: points[n][1])}\n"
            "    return sorted(ends, key=lambda n: points[n][0])",
            r"Only the cheapest and the most accurate",
        ),
        (
            "the best only",
            "def pareto_front(points):\n    return [max(points, key=lambda n: points[n][1])]",
            r"missing, and nobody dominates it|raised ValueError",
        ),
        (
            "empty fails",
            front(RIGHT, before="first = next(iter(points))"),
            r"For an empty dictionary return `\[\]`",
        ),
        ("no return", "def pareto_front(points):\n    sorted(points)", r"Is the `return` missing"),
        (
            "the argument emptied",
            "def pareto_front(points):\n    out = []\n    while points:\n"
            "        n = min(points, key=lambda n: (points[n][0], -points[n][1]))\n"
            "        p = points.pop(n)\n"
            "        if all(p[1] > q[1] or p == q for _, q in out):\n"
            "            out.append((n, p))\n"
            "    return [n for n, _ in out]",
            r"changes its argument `points` in place",
        ),
        ("the result", 'pareto_front = ["a", "b"]', r"A function is expected"),
        (
            "the cheapest only",
            "def pareto_front(points):\n    return sorted(points, key=lambda n: points[n][0])[:1]",
            r"^Only the cheapest is there",
        ),
        (
            "the best ratio only",
            "def pareto_front(points):\n    return sorted(points, key=lambda n: "
            "points[n][1] / points[n][0], reverse=True)[:1]",
            r"^Only the network with the most accuracy for its cost",
        ),
        ("return in the loop", kept_in_a_loop(outer="return out"), r"`return` is inside the loop"),
        ("append in the inner loop", kept_in_a_loop(inner="out.append(name)"),
         r"appears \d times in .*`append` in the inner loop"),
        (
            "append if one does not dominate",
            "def pareto_front(points):\n    out = []\n    for name, b in points.items():\n"
            f"        for a in points.values():\n            if not ({RIGHT}):\n"
            "                out.append(name)\n                break\n"
            "    return sorted(out, key=lambda n: points[n][0])",
            r"dominated ones have to go.*after that loop",
        ),
    ],
    "choosing.3": [
        (
            "a clock of nanoseconds",
            stopwatch().replace("1000 * statistics", "1e-6 * statistics"),
            r"The clock gives seconds, not nanoseconds",
        ),
        ("no default", stopwatch().replace("rounds=20", "rounds"), r"`rounds` would get no value"),
        ("other rounds", stopwatch().replace("rounds=20", "rounds=10"), r"13 times.*should be 23"),
        ("no warm-up", stopwatch(warm_up="range(0)"), r"called 20 times.*3 calls that are not"),
        ("one warm-up call", stopwatch(warm_up="range(1)"), r"called 21 times"),
        ("too many calls", stopwatch(warm_up="range(10)"), r"called 30 times"),
        ("the mean", stopwatch(result="1000 * statistics.mean(times)"), r"500 ms spoils it"),
        ("seconds", stopwatch(result="statistics.median(times)"), r"in seconds; milli"),
        ("microseconds", stopwatch(result="1e6 * statistics.median(times)"), r"microseconds"),
        (
            "the fastest",
            stopwatch(result="1000 * min(times)"),
            r"calls take 2\.375 ms, it gives 1\.3\. 2\.375 is right\. This is the shortest time",
        ),
        (
            "the mean, numbers",
            stopwatch(result="1000 * statistics.mean(times)"),
            r"it gives 27\.8\d+\. 2\.375 is right\. This is the mean",
        ),
        (
            "one start for all",
            stopwatch().replace("            start = clock()\n", "").replace(
                "        for _ in range(rounds):", "        start = clock()\n"
                "        for _ in range(rounds):"
            ),
            r"read once before the loop",
        ),
        (
            "whole milliseconds",
            stopwatch(result="statistics.median([int(1000 * t) for t in times])"),
            r"rounded to whole milliseconds",
        ),
        (
            "for each image",
            stopwatch(result="1000 * statistics.median(times) / len(images)"),
            r"divided by the number of images",
        ),
        (
            "requires_grad off",
            stopwatch(mode="network.eval().requires_grad_(False)",
                      context="contextlib.nullcontext()"),
            r"left with `requires_grad` False",
        ),
        (
            "network.training set",
            stopwatch(restore="network.training = before"),
            r"`network.training` is set, but the layers",
        ),
        (
            "the mode read too late",
            stopwatch(mode="network.eval(); before = network.training"),
            r"The old mode has to be read before",
        ),
        ("the slowest", stopwatch(result="1000 * max(times)"), r"the longest time"),
        ("the sum", stopwatch(result="1000 * sum(times)"), r"the sum of all calls"),
        ("training mode", stopwatch(mode="pass"), r"calls were made in training mode"),
        ("train() on purpose", stopwatch(mode="network.train()"), r"made in training mode"),
        ("gradients", stopwatch(context="contextlib.nullcontext()"), r"record gradients"),
        ("left in eval mode", stopwatch(restore="pass"), r"was in training mode and is left"),
        (
            "always put into training mode",
            stopwatch(restore="network.train()"),
            r"was in evaluation mode and is left in training",
        ),
        ("another clock", stopwatch(read="time.perf_counter()"), r"not read from `clock\(\)`"),
        ("rounds ignored", stopwatch(rounds="20"), r"called 23 times\..*use `rounds`"),
        ("a text", stopwatch(result="f'{1000 * statistics.median(times)} ms'"), r"A number is"),
        ("no return", stopwatch(result="None"), r"Is the `return` missing"),
        (
            "never called",
            "def latency(network, images, rounds=20, clock=None):\n    return 2.0",
            r"never called",
        ),
        (
            "one time for all",
            stopwatch(rounds="0", result="1000 * total / rounds").replace(
                "    network.train(before)",
                "        start = clock()\n        for _ in range(rounds):\n"
                "            network(images)\n        total = clock() - start\n"
                "    network.train(before)",
            ),
            r"500 ms spoils it",
        ),
        ("a number", "latency = 2.0", r"A function is expected"),
    ],
    "choosing.5": [
        (
            "too large",
            pick(shelf='best(lambda row: row["one_ratio"] < 5, "accuracy")'),
            r'"shelf": the weights of resnet_small take 0\.31 MB',
        ),
        (
            "too slow",
            pick(shelf='best(lambda r: r["weights_mb"] < 0.3, "accuracy")'),
            r'"shelf": mobilenet_v2_small takes [\d.]+ times as long as LeNet',
        ),
        (
            "fits, not the best",
            pick(
                shelf='worst(lambda r: r["weights_mb"] < 0.3 and r["one_ratio"] < 5, "accuracy")'
            ),
            r'"shelf": nin_small fits, but another .*higher `accuracy`',
        ),
        (
            "19 runs",
            pick(hour='best(lambda row: 19 * row["training_minutes"] < 60, "accuracy")'),
            r'"hour": 24 runs of \w+ take \d+ minutes',
        ),
        (
            "the quickest",
            pick(hour='worst(lambda row: row["training_minutes"], "training_minutes")'),
            r'"hour": lenet fits, but .*Take the highest',
        ),
        ("LeNet itself", pick(night='"lenet"'), r"has LeNet already"),
        (
            "better, but not by half a point",
            pick(night='"mobilenet_v2_small"'),
            r'"night": the worst run of mobilenet_v2_small .*not 0\.5 points more',
        ),
        (
            "the fastest for one image",
            pick(night='worst(lambda r: r["low"] > table["lenet"]["high"], "one_ms")'),
            r'"night": resnet_small fits, but .*Take the lowest',
        ),
        (
            "the slowest",
            pick(night='best(lambda r: r["low"] > table["lenet"]["high"], "batch_ms")'),
            r'"night": googlenet_small fits, but',
        ),
        ("a strange name", pick(shelf='"lenet5"'), r"no 'lenet5' in the table"),
        ("the name in the figures", pick(hour='"VGG"'), r"its key is 'vgg_small'"),
        ("without its ending", pick(hour='"vgg"'), r"its key is 'vgg_small'"),
        ("a place", pick(hour="2"), r"2 is a place in the table"),
        ("the row", pick(hour='table["vgg_small"]'), r"the row of 'vgg_small'"),
        ("a pair", pick(hour='(0.923, "vgg_small")'), r"give the key alone, 'vgg_small'"),
        ("a number", pick(hour="0.5"), r'"hour": the key of one network is expected.*not 0\.5'),
        ("all that fit", pick(hour='["lenet", "vgg_small"]'), r"several keys. Give one"),
        (
            "two customers exchanged",
            pick(shelf='"vgg_small"', hour='"lenet"'),
            r'"shelf" and "hour" have changed places',
        ),
        ("a key missing", 'choice = {"shelf": "lenet"}', r'^"hour" and "night" are missing'),
        ("one name", 'choice = "lenet"', r"A dictionary with the keys"),
    ],
    "choosing.4": [
        ("nearer", flips("abs(mean) <= abs(measured) + 1e-9"), r"nearer to zero count"),
        (
            "one side doubled",
            flips("2 * (mean >= measured - 1e-9)"),
            r"One side is counted, and doubled|doubled",
        ),
        (
            "divided by n",
            flips(FAR).replace("/ len(ways)", "/ len(differences)"),
            r"divided by the number of differences",
        ),
        (
            "n squared ways",
            flips(FAR).replace("/ len(ways)", "/ len(differences) ** 2"),
            r"2ⁿ ways .*not n²",
        ),
        (
            "always five signs",
            flips(FAR, ways="list(itertools.product((1, -1), repeat=5))"),
            r"fixed at 5",
        ),
        (
            "one flip at a time",
            flips(
                FAR,
                ways="[[-1 if k == i else 1 for k in range(len(differences))] "
                "for i in range(len(differences))]",
            ),
            r"Only one sign is flipped",
        ),
        (
            "another order, not other signs",
            flips(FAR).replace(
                "sum(s * d for s, d in zip(signs, differences))", "sum(signs)"
            ).replace("itertools.product((1, -1), repeat=len(differences))",
                      "itertools.permutations(differences)"),
            r"not the order of the numbers",
        ),
        (
            "one flip at most",
            flips(
                FAR,
                ways="[[-1 if k == i else 1 for k in range(len(differences))] "
                "for i in range(-1, len(differences))]",
            ),
            r"One sign at most is flipped",
        ),
        (
            "one added",
            flips(FAR).replace("count / len(ways)", "(count + 1) / (len(ways) + 1)"),
            r"One is added to both numbers",
        ),
        (
            "flips that pile up",
            flips(FAR).replace(
                "        mean = sum(s * d for s, d in zip(signs, differences))",
                "        for i, s in enumerate(signs):\n            differences[i] *= s\n"
                "        mean = sum(differences)",
            ),
            r"The flips pile up",
        ),
        (
            "a set of means",
            flips("0").replace(
                "count / len(ways)",
                "sum(m >= abs(measured) - 1e-9 for m in means) / len(means)",
            ).replace("        count += 0", "        means.add(round(abs(mean), 9))").replace(
                "count = 0", "means = set()"
            ),
            r"count once only, as in a set",
        ),
        (
            "the normal distribution",
            "import statistics\n\n\ndef sign_flip(differences):\n"
            "    error = statistics.pstdev(differences) / len(differences) ** 0.5\n"
            "    z = abs(statistics.fmean(differences)) / error if error else 0\n"
            "    return 2 * (1 - statistics.NormalDist().cdf(z))",
            r"from the normal distribution",
        ),
        (
            "at random, always the same",
            "import random\n"
            + flips(
                FAR,
                before="random.seed(1)",
                ways="[random.choice((1, -1)) for _ in differences] for _ in range(500)",
            ),
            r"as if ways were drawn at random",
        ),
        ("one side", flips("mean >= measured - 1e-9"), r"on the same side"),
        ("farther only", flips("abs(mean) > abs(measured) + 1e-9"), r"farther from zero"),
        (
            "without the measured one",
            flips(FAR).replace("len(ways)\n", "(len(ways) - 1)\n").replace(
                "count = 0", "count = -1"
            ),
            r"without any flip is left out|ZeroDivisionError",
        ),
        ("the count", flips(FAR).replace(" / len(ways)\n", "\n"), r"number of ways is returned"),
        (
            "turned round",
            flips("abs(mean) < abs(measured) - 1e-9"),
            r"1 minus the share",
        ),
        (
            "percent",
            flips(FAR).replace("count / len(ways)", "100 * count / len(ways)"),
            r"in percent",
        ),
        (
            "absolute values first",
            flips(FAR, before="differences = [abs(d) for d in differences]\n"
                  "    measured = sum(differences) / len(differences)").replace(
                "s * d for", "abs(s * d) for"
            ),
            r"absolute value is that of the mean, not of each number",
        ),
        (
            "the sign test",
            flips(FAR, before="differences = [(d > 0) - (d < 0) for d in differences]\n"
                  "    measured = sum(differences) / len(differences)"),
            r"This is the sign test",
        ),
        ("the mean", "def sign_flip(differences):\n    return sum(differences) / len(differences)",
         r"mean of the differences, not the share"),
        ("no allowance", flips("abs(mean) >= abs(measured)"), r"differ by less than 1e-9 count"),
        (
            "scipy's test of ranks",
            "from scipy import stats\n\n\ndef sign_flip(differences):\n"
            "    return float(stats.wilcoxon(differences).pvalue)",
            r"This is a test of ranks|ranks",
        ),
        (
            "ranks by hand",
            flips(FAR, before="sizes = sorted(abs(d) for d in differences)\n"
                  "    differences = [(sizes.index(abs(d)) + 1) * ((d > 0) - (d < 0)) "
                  "for d in differences]\n    measured = sum(differences) / len(differences)"),
            r"ranks",
        ),
        (
            "a sum against means",
            flips("abs(mean) >= abs(sum(differences)) - 1e-9"),
            r"^Means are compared with a sum",
        ),
        (
            "half plus, half minus",
            flips(FAR, ways="itertools.permutations([1] * (len(differences) // 2) + "
                  "[-1] * (len(differences) - len(differences) // 2))"),
            r"^Half of the signs are plus",
        ),
        (
            "combinations",
            flips(FAR, ways="itertools.combinations((1, -1) * len(differences), "
                  "len(differences))").replace("/ len(ways)", "/ 2 ** len(differences)"),
            r"`itertools.combinations` takes some ways several times",
        ),
        (
            "repeat= forgotten",
            flips(FAR, ways="itertools.product((1, -1), len(differences))"),
            r"`itertools.product\(\(1, -1\), repeat=n\)`",
        ),
        (
            "the t-test",
            "from scipy import stats\n\n\ndef sign_flip(differences):\n"
            "    return float(stats.ttest_1samp(differences, 0).pvalue)",
            r"This is the t-test",
        ),
        (
            "drawn at random",
            """
import random


def sign_flip(differences):
    measured, count = abs(sum(differences) / len(differences)), 0
    for _ in range(1000):
        mean = sum(random.choice((1, -1)) * d for d in differences) / len(differences)
        count += abs(mean) >= measured - 1e-9
    return count / 1000
""",
            r"ways are drawn at random",
        ),
        (
            "the sign test, from a formula",
            """
import math


def sign_flip(differences):
    n = len(differences)
    positive = sum(d > 0 for d in differences)
    k = max(positive, n - positive)
    return min(1, 2 * sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n)
""",
            r"sign test",
        ),
        (
            "no allowance, fmean",
            flips("abs(mean) >= abs(measured)").replace(
                "sum(s * d for s, d in zip(signs, differences)) / len(differences)",
                "statistics.fmean([s * d for s, d in zip(signs, differences)])",
            ),
            r"differ by less than 1e-9 count",
        ),
        ("a wide allowance", flips("abs(mean) >= abs(measured) - 1e-2"), r"more than rounding"),
        ("no abs, measured", flips("abs(mean) >= measured - 1e-9"), r"measured can be negative"),
        ("no abs, flipped", flips("mean >= abs(measured) - 1e-9"), r"flipped mean can be far"),
        (
            "the first way left out",
            flips(FAR).replace("in ways:", "in ways[1:]:"),
            r"without any flip is not counted",
        ),
        (
            "at random",
            "import random\n"
            + flips(
                FAR,
                ways="([random.choice((1, -1)) for _ in differences] for _ in range(999))",
            ),
            r"ways are drawn at random",
        ),
        (
            "shuffled, not flipped",
            flips(FAR, ways="itertools.permutations([1] * len(differences))"),
            r"right is",
        ),
        ("signs 1 and 0", flips(FAR, ways="itertools.product((1, 0), repeat=len(differences))"),
         r"right is"),
        (
            "three seeds only",
            flips(FAR, ways="itertools.product((1, -1), repeat=3)"),
            r"fixed at 3",
        ),
        ("always .0625", "def sign_flip(differences):\n    return 0.0625", r"right is"),
        ("no return", "def sign_flip(differences):\n    len(differences)", r"`return` missing"),
        ("a number", "sign_flip = 0.0625", r"A function is expected"),
    ],
    "choosing.6": [
        ("too many MACs", phone(slow="(1.0, 160)"), r'"slow": \(1\.0, 160\) needs 290\.7 million'),
        ("the most accurate", phone(slow="(1.0, 224)"), r'"slow": .*568\.7 million'),
        ("only 224 pixels", phone(slow="(0.5, 224)"), r'"slow": .*with 224 pixels only'),
        ("two operations a MAC", phone(slow="(0.5, 160)"), r'"slow": .*counts as two operations'),
        ("200 million MACs", phone(tiny="(0.5, 224)"), r"This phone has no such limit"),
        ("in percent", phone(slow="(100, 128)"), r"its key is \(1\.0, 128\)"),
        ("the width", phone(slow="1.0"), r"1\.0 is a width"),
        (
            "two phones exchanged",
            phone(slow="(0.5, 224)", full="(1.0, 128)"),
            r'"slow" and "slow_and_full" have changed places',
        ),
        ("weights forgotten", phone(full="(1.0, 128)"), r"take 16\.9 MB.*does not make them fewer"),
        ("smaller than needed", phone(full="(0.25, 224)"), r'"slow_and_full": .*higher `top1`'),
        ("smaller image too", phone(full="(0.5, 160)"), r'"slow_and_full": .*higher `top1`|two op'),
        ("too many MACs, full", phone(full="(0.75, 224)"), r'"slow_and_full": .*325\.4 million'),
        ("int8 taken for float32", phone(tiny="(0.25, 224)"), r'"tiny_.*best in float32'),
        ("int8 too large", phone(tiny="(1.0, 192)"), r'"tiny_download": the int8 weights .* 4\.2'),
        ("turned round", phone(slow="(128, 1.0)"), r"turned round"),
        ("not in the paper", phone(slow="(0.75, 128)"), r"there is no \(0\.75, 128\) in"),
        ("the accuracy", phone(slow="64.4"), r"64\.4 is a `top1`. Give the key"),
        ("a name", phone(slow="'mobilenet_v1'"), r"such as \(1\.0, 224\), not the text"),
        ("a key missing", 'phone = {"slow": (1.0, 128)}', r'^"slow_and_full" and .* are missing'),
        ("a tuple", "phone = (1.0, 128)", r"A dictionary with the keys"),
    ],
    "choosing.7": [
        (
            "copies of one network",
            """
import copy

template = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    nn.Linear(16, 10),
)


def build():
    return copy.deepcopy(template)
""",
            r"or a copy of one network",
        ),
        (
            "one network is kept",
            """
import functools


@functools.cache
def build():
    return nn.Sequential(nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
""",
            r"such as `functools\.cache`",
        ),
        (
            "two axes are left",
            network("nn.Conv2d(1, 10, 3), nn.AdaptiveAvgPool2d(1)"),
            r"An `nn\.Flatten\(\)` at the end",
        ),
        (
            "a thousand classes",
            network("nn.Conv2d(1, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
                    "nn.Linear(16, 1000)"),
            r"There are ten classes",
        ),
        ("too many parameters", network(LENET.replace("60", "120")), r"parameters; at most 30,000"),
        (
            "too many MACs",
            network("block(1, 16, 3), block(16, 16, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
                    "nn.Linear(16, 10)"),
            r"1,9\d\d,\d+ MACs for one image; at most 1,000,000",
        ),
        (
            "depthwise without groups",
            network("block(1, 24, 3, 2), block(24, 24, 3), block(24, 48, 1), "
                    "nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)"),
            r"The most are in `1\.0`: Conv2d\(24→24.*it needs `groups=24`",
        ),
        (
            "all weights zero",
            network("nn.Conv2d(1, 8, 3, 2)", "nn.Flatten()", "nn.Linear(1352, 10)").replace(
                "return nn.Sequential(", "return zero("
            ).replace("\ndef build", "\ndef zero(*layers):\n    new = nn.Sequential(*layers)\n"
                      "    for p in new.parameters():\n        nn.init.zeros_(p)\n"
                      "    return new\n\n\ndef build", 1),
            r"All weights of `0\.weight` start with the value 0",
        ),
        (
            "functional convolution",
            wrapped("return self.own(images + F.conv2d(images, self.w, padding=5).mean(1, True))",
                    "self.w = nn.Parameter(torch.randn(16, 1, 11, 11))"),
            r"MACs for one image; at most",
        ),
        (
            "hidden in a list",
            wrapped("return self.own(images) + images.flatten(1) @ self.kept[0]",
                    "self.kept = [torch.randn(784, 10) / 100]"),
            r"7,840 of them are not in `parameters\(\)`",
        ),
        (
            "a buffer of weights",
            wrapped("return self.own(images) + images.flatten(1) @ self.kept",
                    "self.register_buffer('kept', torch.randn(784, 10) / 100)"),
            r"are not in `parameters\(\)`",
        ),
        (
            "a convolution in disguise",
            wrapped(
                "x = F.unfold(images, 5, padding=2)[:, None]\n"
                "        x = (x * self.w[None, :, :, None]).sum(2).mean(1)\n"
                "        return self.own(images + x.view(-1, 1, 28, 28))",
                "self.w = nn.Parameter(torch.randn(30, 25) / 25)",
            ),
            r"MACs for one image; at most",
        ),
        (
            "attention over all pixels",
            wrapped(
                "x = images.flatten(2).transpose(1, 2)[:, None]\n"
                "        x = F.scaled_dot_product_attention(x, x, x)[:, 0].mT\n"
                "        return self.own(images + x.reshape(images.shape))"
            ),
            r"MACs for one image; at most",
        ),
        (
            "in the frequency domain",
            wrapped(
                "x = torch.fft.irfft2(torch.fft.rfft2(images) * self.w, s=(28, 28))\n"
                "        return self.own(images + x)",
                "self.w = nn.Parameter(torch.randn(28, 15))",
            ),
            r"MACs of .*fft.* cannot be counted",
        ),
        (
            "made at first use",
            wrapped(
                "if self.head is None:\n            self.head = nn.Linear(784, 10)\n"
                "        return self.own(images) + self.head(images.flatten(1))",
                "self.head = None",
            ),
            r"37,006 parameters|Some weights are made only when",
        ),
        (
            "made at first use, small",
            wrapped(
                "if self.head is None:\n            self.head = nn.Linear(10, 10)\n"
                "        return self.head(self.own(images))",
                "self.head = None",
            ).replace("113", "100"),
            r"Some weights are made only when",
        ),
        ("not a function", f"{LAYERS}build = own()", r"This is one network"),
        (
            "the same network each time",
            f"{LAYERS}kept = own()\n\n\ndef build():\n    return kept\n",
            r"very same tensors",
        ),
        (
            "a seed inside",
            f"{LAYERS}\ndef build():\n    torch.manual_seed(0)\n    return own()\n",
            r"A seed is set inside build",
        ),
        (
            "weights loaded",
            f"{LAYERS}kept = own().state_dict()\n\n\ndef build():\n    new = own()\n"
            "    new.load_state_dict(kept)\n    return new\n",
            r"trained before",
        ),
        (
            "weights loaded, with noise",
            f"{LAYERS}kept = own().state_dict()\n\n\ndef build():\n    new = own()\n"
            "    new.load_state_dict(kept)\n    with torch.no_grad():\n"
            "        for p in new.parameters():\n            p += 0.01 * torch.randn_like(p)\n"
            "    return new\n",
            r"trained before",
        ),
        (
            "trained inside",
            f"""{LAYERS}
def build():
    from utils import data, training

    batches = data.load(train_images=1000, device="cpu", batch_size=32).train
    new = nn.Sequential(block(1, 16, 3, 4), nn.Flatten(), nn.Linear(784, 10))
    training.fit(new, batches, epochs=2, learning_rate=0.05, device="cpu", progress=False)
    return new
""",
            r"Before the training your network is already right on",
        ),
        ("11 classes", f"{LAYERS}\ndef build():\n    return own(nn.Linear(113, 11))\n",
         r"gives the shape \(8, 11\).*\(8, 10\) are expected"),
        ("maps, not logits", network("block(1, 10, 3, 2)"), r"gives the shape \(8, 10, 14, 14\)"),
        ("another size of image", network("nn.Flatten(), nn.Linear(1024, 10)"), r"raised Runtime"),
        ("a tuple", wrapped("return self.own(images), None"), r"gives .*; logits of shape"),
        ("no return in forward", wrapped("self.own(images)"), r"`return` of `forward` missing"),
        (
            "fails in evaluation mode",
            wrapped("return self.own(images) if self.training else self.missing"),
            r"In evaluation mode, given images .* raised AttributeError",
        ),
        (
            "nothing in evaluation mode",
            wrapped("return self.own(images) if self.training else None"),
            r"In evaluation mode your network gives nothing",
        ),
        (
            "other logits in evaluation mode",
            wrapped(
                "x = self.own(images)\n        return x if self.training else x.roll(1, 1)", QUICK
            ),
            r"in evaluation mode it is right on|does not learn",
        ),
        (
            "dropout always",
            wrapped("return self.own(F.dropout(images, 0.5))"),
            r"other logits each time",
        ),
        (
            "batch statistics always",
            network("block(1, 16, 3, 2), nn.BatchNorm2d(16, track_running_stats=False), "
                    "block(16, 32, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
                    "nn.Linear(32, 10)"),
            r"depend on the other images",
        ),
        ("softmax", network(SMALL_CONV, "nn.Linear(32, 10)", "nn.Softmax(dim=1)"), r"softmax at"),
        (
            "blind",
            wrapped("return self.own(images * 0)"),
            r"All images get the same logits",
        ),
        (
            "nothing to train",
            f"{LAYERS}\ndef build():\n    return own().requires_grad_(False)\n",
            r"no parameter that could be trained",
        ),
        (
            "does not learn",
            wrapped("return self.own(images).detach() + self.b",
                    QUICK + "; self.b = nn.Parameter(torch.zeros(10))"),
            r"does not learn|ended as stuck",
        ),
        ("LeNet, cut", network(LENET), r"the bar is|ended as stuck|does not learn"),
        (
            "two layers, batch norm",
            network("nn.Flatten(), nn.Linear(784, 37), nn.BatchNorm1d(37), nn.ReLU(), "
                    "nn.Linear(37, 10)"),
            r"on the training images\); the bar is .* It consists of",
        ),
        (
            "one linear layer",
            network("nn.Flatten(), nn.Linear(784, 10)"),
            r"the bar is .*linear in the pixels",
        ),
        ("takes an argument", f"{LAYERS}\ndef build(width):\n    return own()\n",
         r"your function takes `width`"),
        ("no return", f"{LAYERS}\ndef build():\n    own()\n", r"Is the `return` missing"),
        ("the class's name", "build = 'resnet_small'", r"A function that builds a network"),
    ],
}  # fmt: skip

right_answers = {
    "choosing.1": [
        (
            "from counts",
            "numbers = 138_357_544\nmegabytes = {'weights': numbers * 4 / 10**6, "
            "'weights_int8': numbers / 10**6, 'maps': 64 * 224**2 * 4 / 10**6, 'most': 10**6 // 4}",
        ),
        ("two decimals", megabytes(maps=12.85)),
    ],
    "choosing.2": [
        (
            "a sweep",
            """
def pareto_front(points):
    front, best = [], None
    for name in sorted(points, key=lambda n: (points[n][0], -points[n][1])):
        if best is None or points[name][1] > best[1] or points[name] == best:
            front.append(name)
            best = points[name]
    return front
""",
        ),
        ("with a condition", front(RIGHT)),
        (
            "a loop",
            """
def pareto_front(points):
    front = []
    for name, (cost, accuracy) in points.items():
        dominated = False
        for other_cost, other in points.values():
            if (other_cost < cost and other >= accuracy) or (
                other_cost <= cost and other > accuracy
            ):
                dominated = True
        if not dominated:
            front.append((cost, name))
    return [name for _, name in sorted(front)]
""",
        ),
    ],
    "choosing.3": [
        ("no_grad", stopwatch(context="torch.no_grad()")),
        (
            "sorted by hand",
            stopwatch(
                result="1e3 * (sorted(times)[(rounds - 1) // 2] + sorted(times)[rounds // 2]) / 2"
            ),
        ),
        (
            "requires_grad off and on",
            stopwatch(
                mode="network.eval().requires_grad_(False)",
                context="contextlib.nullcontext()",
                restore="network.train(before).requires_grad_(True)",
            ),
        ),
        ("as a tensor", stopwatch(result="1000 * float(torch.tensor(times).double().median())")),
    ],
    "choosing.5": [
        ("by code", pick()),
        (
            "by a loop",
            """
from utils.topics import network_tables

table = network_tables.small_networks()
ordered = sorted(table, key=lambda n: -table[n]["accuracy"])
choice = {}
for name in ordered:
    row = table[name]
    if row["weights_mb"] < 0.3 and row["one_ratio"] < 5:
        choice.setdefault("shelf", name)
    if row["training_minutes"] < 2.5:
        choice.setdefault("hour", name)
for name in sorted(table, key=lambda n: table[n]["batch_ms"]):
    if min(table[name]["runs"]) > max(table["lenet"]["runs"]) + 0.005:
        choice.setdefault("night", name)
""",
        ),
    ],
    "choosing.4": [
        (
            "binary numbers",
            """
def sign_flip(differences):
    n = len(differences)
    measured = abs(sum(differences))
    far = 0
    for way in range(2**n):
        total = sum(d if way >> k & 1 else -d for k, d in enumerate(differences))
        far += abs(total) > measured - 1e-9
    return far / 2**n
""",
        ),
        (
            "a fraction",
            "from fractions import Fraction\n"
            + flips(FAR).replace("count / len(ways)", "Fraction(count, len(ways))"),
        ),
        (
            "with torch",
            """
def sign_flip(differences):
    d = torch.tensor(differences, dtype=torch.float64)
    signs = torch.cartesian_prod(*[torch.tensor([1.0, -1.0], dtype=torch.float64)] * len(d))
    means = (signs.reshape(-1, len(d)) * d).mean(dim=1).abs()
    return (means >= d.mean().abs() - 1e-9).double().mean().item()
""",
        ),
        (
            "scipy's permutation test",
            """
import numpy as np
from scipy import stats


def sign_flip(differences):
    test = stats.permutation_test(
        (np.array(differences),), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    return float(test.pvalue)
""",
        ),
    ],
    "choosing.6": [
        ("by hand", phone()),
        ("lists", phone(slow="[1.0, 128]", full="[0.5, 224]", tiny="[0.75, 224]")),
    ],
    "choosing.7": [
        (
            "residual",
            f"""{LAYERS}
class Residual(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.branch = nn.Sequential(
            block(i, o, 3, s), nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o)
        )
        self.beside = nn.Conv2d(i, o, 1, s) if s > 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.beside(x) + self.branch(x))


def build():
    body = [block(1, 9, 3), nn.MaxPool2d(2), Residual(9, 9, 1), Residual(9, 18, 2)]
    return nn.Sequential(
        *body, Residual(18, 34, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(34, 10)
    )
""",
        ),
        (
            "NiN-like, as a class",
            f"""{LAYERS}
class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *(block(1, 24, 3, 2), block(24, 24, 1), block(24, 40, 3, 2), block(40, 40, 1)),
            *(block(40, 40, 3, 2), nn.Conv2d(40, 10, 1)),
        )

    def forward(self, images):
        return self.features(images).mean(dim=(2, 3))


build = Mine
""",
        ),
        (
            "plain, flattened",
            network(
                "block(1, 16, 3, 2), block(16, 24, 3), nn.MaxPool2d(2), block(24, 24, 3), "
                "nn.Flatten(), nn.Linear(24 * 7 * 7, 10)"
            ),
        ),
    ],
}


# --- mutants that the checks accept, and why they may ---------------------------------------------

equivalent = {
    "choosing.2": [
        (
            "-True is as true as True; on the front, whoever costs more is more accurate, "
            "so either number sorts it.",
            "`return as_good and better` becomes `return -(as_good and better)`",
            "`0` becomes `1` in `return sorted(front, … ame][0])`",
            "`0` becomes `-1` in `return sorted(front, … ame][0])`",
        ),
    ],
    "choosing.3": [
        (
            "The list of times does not depend on the mode.",
            "`network.eval()` and `times = []` exchanged",
        ),
    ],
    "choosing.4": [
        (
            "All signs are tried, in any order, a product does not mind the order of its "
            "factors, and the margin only has to be above rounding.",
            "`1` and `-1` exchanged",
            "`s` and `d` exchanged",
            "`signs` and `differences` exchanged",
            "`abs(mean) >= measured - 1e-09` becomes `abs(mean) > measured - 1e-09`",
            "`1e-09` becomes `2e-09`",
            "`1e-09` becomes `5e-10`",
        ),
    ],
}


# --- probes: what the equivalent ones are compared on ---------------------------------------------


def probe_choosing_2(pareto_front):
    def points(count, step):
        values = (step * torch.randint(0, 12, (count, 2))).tolist()
        return {f"n{i}": tuple(v) for i, v in enumerate(values)}

    found = [pareto_front(points(count, 0.5)) for count in (1, 5, 12) for _ in range(5)]
    return [list(front) for front in found]


def probe_choosing_3(latency):
    now, modes = [0.0], []

    class Slow(nn.Module):
        def forward(self, images):
            now[0] += 0.001 * len(modes) ** 2
            modes.append((self.training, tuple(images.shape)))
            return images

    network, results = Slow(), []
    for options in ({"rounds": 4}, {"rounds": 9}, {}):
        results.append(latency(network, torch.randn(1), clock=lambda: now[0], **options))
        results.append(network.training)
        network.train(not network.training)
    return results, modes


def probe_choosing_4(sign_flip):
    return [sign_flip(torch.randn(count).tolist()) for count in (2, 5, 8)] + [sign_flip([1, -1, 2])]


def against_the_limits(build: Any) -> str:
    """What keeps a network of choosing.7 from being a legal design, by torch's own counter of
    operations, or an empty text."""
    with torch.random.fork_rng(devices=[]):
        network, images = build().eval(), torch.randn(1, 1, 28, 28)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            logits = network(images)
        macs = counter.get_total_flops() // 2
        parameters = sum(p.numel() for p in network.parameters())
    if logits.shape != (1, 10):
        return f"it gives the shape {tuple(logits.shape)}"
    if macs > capstone.LIMITS["macs"] or parameters > capstone.LIMITS["parameters"]:
        return f"it needs {macs:,} MACs and {parameters:,} parameters"
    return ""
