"""GoogLeNet in small: do auxiliary classifiers help, and which branches does a trained one use?

- "auxiliary", "auxiliary_he", "auxiliary_torch": all nine Inception modules at an eighth of the
  paper's width, 28 pixels, no batch norm, classifiers behind 4a and 4d, three ways of drawing the
  first weights. The same weights, images and steps, with the auxiliary losses and without them:
  gradients module by module at the start and early in training (dropout off), loss and accuracy
  on validation images by step.
- "scales": small networks with the same stem, depth and number of modules, and the same MACs to
  1 %. Their modules have all four branches, or one of them alone, made wider. The controls have as
  many maps as all four: with a 3x3 in the place of the 5x5, without the max pooling before the
  projection, both, or a 3x3 alone behind a narrower 1x1. Learning rates from a search on validation
  images with other seeds; then test accuracy, paired by seed.
- "branches": a trained `googlenet_small`. One branch of one module (or of all modules) is
  replaced by zeros or by the mean of each of its feature maps; accuracy as it is then, and after
  the batch norms behind it have been re-estimated on training images.

Writes results/inception.json, and "scales" into results/inception/scales.json. Finished runs are
kept; a changed recipe starts its experiment anew.

    python -m benchmarks.inception
    python -m benchmarks.inception auxiliary --seeds 5
    python -m benchmarks.inception scales --processes 2
"""

from __future__ import annotations

import copy
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import common
from utils import data, device, networks, training
from utils.networks.common import average_and_linear, initialise, named
from utils.networks.googlenet import MODULES, SMALL_MODULES, GoogLeNet, Inception, convolution

FILE = "inception.json"
AUXILIARY = dict(
    train_images=10_000,
    validation_images=500,
    batch_size=50,
    steps=150,
    loss_weight=0.3,
)
RECIPES = {
    # Xavier's first weights, as in Caffe's copy of GoogLeNet. Several rates, since what suits one
    # arm may not suit the other.
    "auxiliary": AUXILIARY | dict(initialisation="xavier", learning_rates=[0.025, 0.05, 0.1]),
    "auxiliary_he": AUXILIARY | dict(initialisation="he", learning_rates=[0.01, 0.02]),
    # The weights that torch gives a convolution if nobody asks for others.
    "auxiliary_torch": AUXILIARY | dict(initialisation="torch", learning_rates=[0.02]),
    "branches": dict(
        train_images=7_000,
        epochs=2,
        batch_size=100,
        learning_rate=0.1,
        validation_images=1_000,
        estimation_images=1_000,
    ),
}
LOOK_AT = (0, 50)  # steps before which gradients are measured
MEASURE_EVERY = 25  # steps
BRANCHES = {"branch1": "1x1", "branch2": "3x3", "branch3": "5x5", "branch4": "pooling"}
WAYS = ("zero", "mean", "mean_re_estimated")


# --- auxiliary classifiers ------------------------------------------------------------------------


def thin_googlenet(initialisation: str) -> GoogLeNet:
    """The published body at an eighth of its width, for 28 pixels, with both auxiliary heads.

    3a and 3b work at 14x14, 4a to 4e at 7x7, 5a and 5b at 3x3; the heads average over 3x3 windows
    with stride 2, which leaves 3x3 of the 7x7 positions.
    """

    def eighth(widths):
        return tuple(eighth(w) if isinstance(w, tuple) else w // 8 for w in widths)

    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, stride=2, ceil_mode=True)

    layers: dict[str, nn.Module] = {
        "conv1": convolution(1, 8, 3),
        "pool1": pool(),
        "conv2": convolution(8, 24, 3),
    }
    channels, heads = 24, {}
    for name, widths in MODULES.items():
        if name in ("4a", "5a"):
            layers[f"pool{int(name[0]) - 1}"] = pool()
        module = Inception(channels, *eighth(widths))
        layers[f"inception{name}"], channels = module, module.out_channels
        if name in ("4a", "4d"):
            heads[f"inception{name}"] = named(
                average=nn.AvgPool2d(3, stride=2),
                conv=convolution(channels, 16, 1),
                flatten=nn.Flatten(),
                fc1=nn.Linear(16 * 3 * 3, 128),
                relu=nn.ReLU(),
                dropout=nn.Dropout(0.7),
                fc2=nn.Linear(128, 10),
            )
    classifier = named(
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        dropout=nn.Dropout(0.4),
        linear=nn.Linear(channels, 10),
    )
    sizes = dict(in_channels=1, num_classes=10, image_size=28, smallest_size=8)
    network = GoogLeNet(named(**layers), classifier, heads, **sizes)
    initialise(network, initialisation)
    return network


def loss_of(network: GoogLeNet, images: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Loss of the last classifier, and of the auxiliary ones times `weight`."""
    if not weight:
        return F.cross_entropy(network(images), labels)
    logits, inner = network.all_logits(images)
    extra = sum(F.cross_entropy(other, labels) for other in inner.values())
    return F.cross_entropy(logits, labels) + weight * extra


def gradients(network: GoogLeNet, images: Tensor, labels: Tensor, weight: float) -> dict:
    """Euclidean norm of the gradient of each part that has parameters, dropout off."""
    network.eval()
    network.zero_grad()
    loss_of(network, images, labels, weight).backward()
    norms = {
        name: torch.cat([p.grad.flatten() for p in part.parameters()]).norm().item()
        for name, part in network.features.named_children()
        if any(True for _ in part.parameters())
    }
    network.zero_grad()
    return {name: float(f"{norm:.3e}") for name, norm in norms.items()}


def run_auxiliary(recipe: dict, rate: float, with_heads: bool, seed: int) -> dict:
    """One network trained with the auxiliary losses, or without."""
    splits = common.load(recipe, seed, validation_images=2_000)
    judge = data.load(validation_images=recipe["validation_images"], device="cpu").validation
    sample = next(iter(judge))  # gradients are compared on the same images everywhere
    device.seed_everything(seed)
    network = thin_googlenet(recipe["initialisation"]).to(memory_format=torch.channels_last)
    last_step = recipe["steps"]
    weight = recipe["loss_weight"] if with_heads else 0.0
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
    result = {"seed": seed, "gradients": {}, "steps": [], "loss": [], "accuracy": []}
    endless = itertools.chain.from_iterable(itertools.repeat(splits.train))  # epoch after epoch
    for step in range(last_step + 1):
        images, labels = next(endless)
        if step in LOOK_AT:
            result["gradients"][f"step_{step}"] = {
                "main": gradients(network, *sample, 0.0),
                "all": gradients(network, *sample, recipe["loss_weight"]),
            }
        if step % MEASURE_EVERY == 0:
            judged = training.evaluate(network, judge)
            result["steps"].append(step)
            result["loss"].append(round(judged.loss, 4))
            result["accuracy"].append(round(judged.accuracy, 4))
        if step == last_step:
            break
        network.train()
        for group in optimizer.param_groups:
            group["lr"] = rate * training.one_cycle(step, last_step)
        loss = loss_of(network, images, labels, weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    judged = training.evaluate(network, splits.validation)
    result["validation_accuracy"] = round(judged.accuracy, 4)
    result["validation_loss"] = round(judged.loss, 4)
    return result


# --- branches -------------------------------------------------------------------------------------


class Constant(nn.Module):
    """In place of a branch: the same maps for every image, whatever comes in."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values  # (channels,)

    def forward(self, maps: Tensor) -> Tensor:
        return self.values[:, None, None].expand(len(maps), -1, *maps.shape[2:])


def re_estimate(network: nn.Module, images: Tensor) -> None:
    """Mean and variance of every batch norm anew, from these images. In place."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()  # dropout stays off
    with torch.no_grad():
        for batch in images.split(100):
            network(batch)
    network.eval()


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        answers = [network(batch).argmax(dim=1) for batch in images.split(250)]
    return (torch.cat(answers) == labels).float().mean().item()


def means(network: nn.Module, images: Tensor) -> dict[tuple[str, str], Tensor]:
    """The mean of each feature map of each branch, by module and branch."""
    sums: dict[tuple[str, str], list[Tensor]] = {}
    handles = [
        getattr(part, branch).register_forward_hook(
            lambda _, __, maps, place=(name, branch): sums.setdefault(place, []).append(
                maps.mean(dim=(0, 2, 3))
            )
        )
        for name, part in network.features.named_children()
        if isinstance(part, Inception)
        for branch in BRANCHES
    ]
    with torch.no_grad():
        for batch in images.split(250):
            network(batch)
    for handle in handles:
        handle.remove()
    return {place: torch.stack(values).mean(dim=0) for place, values in sums.items()}


def tail(network: nn.Module, first: str) -> nn.Sequential:
    """A copy of the network from this module on."""
    layers = list(network.features.named_children())
    start = [name for name, _ in layers].index(first)
    return copy.deepcopy(named(**dict(layers[start:]), classifier=network.classifier))


def inputs(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The input of each layer of `features`, by name."""
    arriving, maps = {}, images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        for name, layer in network.features.named_children():
            arriving[name] = maps
            maps = layer(maps)
    return arriving


def gather(batches: data.Batches, count: int) -> tuple[Tensor, Tensor]:
    """The first images and labels of one epoch."""
    images, labels = zip(*batches)
    return torch.cat(images)[:count], torch.cat(labels)[:count]


def run_branches(seed: int) -> dict:
    """One `googlenet_small`, trained and then taken apart."""
    recipe = RECIPES["branches"]
    splits = common.load(recipe, seed, validation_images=None)
    network, history = common.train(
        lambda: networks.build("googlenet_small"), splits.train, recipe, seed
    )
    network.to(memory_format=torch.channels_last)
    result = {
        "seed": seed,
        "status": history.status,
        "validation_accuracy": common.accuracy(network, splits.validation),
    }
    judge = data.load(validation_images=recipe["validation_images"], device="cpu").validation
    images, labels = gather(judge, recipe["validation_images"])
    own, _ = gather(splits.train, recipe["estimation_images"])
    mean_maps, arriving, judged = means(network, own), inputs(network, own), inputs(network, images)

    def accuracy_of(rest: nn.Module, first: str, re_estimated: bool) -> float:
        """Of the network whose layers from `first` on are replaced by `rest`."""
        if re_estimated:
            re_estimate(rest, arriving[first])
        return accuracy(rest, judged[first], labels)

    result["accuracy"] = round(accuracy(network, images, labels), 4)
    untouched = tail(network, "inception3a")
    result["accuracy_re_estimated"] = round(accuracy_of(untouched, "inception3a", True), 4)
    modules = [name for name, _ in network.features.named_children() if "inception" in name]
    result["points_lost"] = {}
    for group, members in ({name: [name] for name in modules} | {"all": modules}).items():
        for branch in BRANCHES:
            entry = result["points_lost"].setdefault(group, {})[branch] = {}
            for way in WAYS:
                rest = tail(network, members[0])
                for module in members:
                    values = mean_maps[module, branch]
                    values = torch.zeros_like(values) if way.startswith("zero") else values
                    setattr(getattr(rest, module), branch, Constant(values))
                left = accuracy_of(rest, members[0], way.endswith("re_estimated"))
                before = "accuracy_re_estimated" if way.endswith("re_estimated") else "accuracy"
                entry[way] = round(100 * (result[before] - left), 2) + 0.0  # never -0.0
    return result


# --- scales ---------------------------------------------------------------------------------------

SCALES_FILE = "inception/scales.json"
SCALES = dict(train_images=4_000, validation_images=5_000, epochs=3, batch_size=100)
# What each network is called in figures, and its only kernel size; None: four branches.
SCALE_NETWORKS: dict[str, tuple[str, int | None]] = {
    "all": ("all four branches", None),
    "one": ("only 1×1", 1),
    "three": ("only 3×3", 3),
    "five": ("only 5×5", 5),
    "no_five": ("four branches, no 5×5", None),
    "no_pooling": ("no pooling: 1×1, 3×3, 5×5", None),
    "one_and_three": ("only 1×1 and 3×3", None),
    "three_as_many": ("only 3×3, as many maps", 3),
}
WITHOUT_FIVE = ("no_five", "one_and_three")
WITHOUT_POOLING = ("no_pooling", "one_and_three")
RATES = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
FIRST_TRIED = (0.05, 0.1, 0.2)  # then the next one beyond the best, while it is at an end
SEARCH_SEEDS = (100, 101)  # none of those that are reported
TIMED = dict(images=100, rounds=15)


def one_branch(in_channels: int, kernel_size: int, few: int, out_channels: int) -> nn.Sequential:
    """One branch of an Inception module alone; the 1x1 before it makes `few` maps."""
    return named(
        reduce=convolution(in_channels, few, 1, batch_norm=True),
        conv=convolution(few, out_channels, kernel_size, batch_norm=True),
    )


def widths(kernel_size: int) -> dict[str, int]:
    """Maps that come out of each module of one branch, if its MACs are those of all four."""
    channels, incoming, found = 16, 16, {}
    for place, given in SMALL_MODULES.items():
        module = Inception(channels, *given)
        wanted = sum(p.numel() for p in module.parameters() if p.ndim == 4)  # MACs at one position
        off = {n: abs((n // 2) * (incoming + kernel_size**2 * n) - wanted) for n in range(2, 400)}
        found[place] = incoming = min(off, key=off.__getitem__)
        channels = module.out_channels
    return found


def as_many_maps(kernel_size: int) -> dict[str, tuple[int, int]]:
    """Widths of the 1x1 and of the convolution if the latter makes as many maps as all four."""
    channels, found = 16, {}
    for place, given in SMALL_MODULES.items():
        module = Inception(channels, *given)
        wanted = sum(p.numel() for p in module.parameters() if p.ndim == 4)
        out = module.out_channels
        found[place] = (round(wanted / (channels + kernel_size**2 * out)), out)
        channels = out
    return found


def without_five() -> dict[str, tuple]:
    """Widths of the four branches if a 3x3 takes the place of the 5x5.

    As many maps come out of each branch; the reduction of the third is wider, so the MACs agree.
    """
    channels, found = 16, {}
    for place, (one, three, (few, out), pool) in SMALL_MODULES.items():
        wider = round(few * (channels + 25 * out) / (channels + 9 * out))
        found[place] = (one, three, (wider, out), pool)
        channels = one + three[1] + out + pool
    return found


def scale_widths(name: str) -> dict[str, tuple | int]:
    """What the modules of a network are made of."""
    kernel_size = SCALE_NETWORKS[name][1]
    if name == "three_as_many":
        return as_many_maps(kernel_size)
    if kernel_size is not None:
        return widths(kernel_size)
    return without_five() if name in WITHOUT_FIVE else SMALL_MODULES


def scale_network(name: str) -> networks.ImageClassifier:
    """`googlenet_small`, with other modules in the place of its own."""
    network, kernel_size = networks.build("googlenet_small"), SCALE_NETWORKS[name][1]
    channels = 16
    if name in WITHOUT_FIVE:
        for place, chosen in scale_widths(name).items():
            module = Inception(channels, *chosen, kernel_size_of_five=3, batch_norm=True)
            setattr(network.features, f"inception{place}", module)
            channels = module.out_channels
    if name in WITHOUT_POOLING:  # the projection becomes a second 1x1: maps and MACs stay
        for place in SMALL_MODULES:
            getattr(network.features, f"inception{place}").branch4.pool = nn.Identity()
    if kernel_size is None:
        return network
    for place, chosen in scale_widths(name).items():
        few, out = chosen if isinstance(chosen, tuple) else (chosen // 2, chosen)
        setattr(network.features, f"inception{place}", one_branch(channels, kernel_size, few, out))
        channels = out
    network.classifier = average_and_linear(channels, 10, 0.2)
    return network


def run_scales(name: str, rate: float, judge: str, seed: int) -> dict:
    """One network trained from one seed, and its accuracy on the images called `judge`."""
    splits = common.load(SCALES, seed)
    recipe = SCALES | dict(learning_rate=rate)
    network, history = common.train(lambda: scale_network(name), splits.train, recipe, seed)
    return {
        "seed": seed,
        "status": history.status,
        "train_loss_last_epoch": round(history.train_loss[-1], 4),
        f"{judge}_accuracy": common.accuracy(network, getattr(splits, judge)),
    }


def search_rate(stored: common.Stored, name: str, mapping: Callable) -> float:
    """The learning rate with the best mean accuracy on the validation images."""
    trials = stored.content["networks"][name].setdefault("search", {})
    begun = [float(rate) for rate in trials]  # by an earlier start, and perhaps not ended
    tried = [*FIRST_TRIED, *(rate for rate in begun if rate not in FIRST_TRIED)]
    while tried:
        for rate in tried:
            runs = trials.setdefault(f"{rate:g}", {"runs": []})["runs"]
            given = (name, rate, "validation")
            stored.complete(
                f"{name} {rate}", runs, SEARCH_SEEDS, run_scales, *given, mapping=mapping
            )
            mean = statistics.mean(run["validation_accuracy"] for run in runs)
            trials[f"{rate:g}"]["mean"] = round(mean, 4)
        best = RATES.index(float(max(trials, key=lambda rate: trials[rate]["mean"])))
        near = RATES[max(best - 1, 0) : best + 2]
        tried = [rate for rate in near if f"{rate:g}" not in trials]
    return RATES[best]


def step_times() -> dict[str, dict]:
    """Seconds of forward and backward for 100 images, the networks taking turns."""
    images, labels = torch.randn(TIMED["images"], 1, 28, 28), torch.arange(TIMED["images"]) % 10
    rivals = {name: scale_network(name) for name in SCALE_NETWORKS}
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(TIMED["rounds"] + 1):
        for name, network in rivals.items():
            start = time.perf_counter()
            F.cross_entropy(network(images), labels).backward()
            seconds[name].append(time.perf_counter() - start)
    summed = {name: common.summarise(values[1:]) for name, values in seconds.items()}
    for entry in summed.values():
        entry["times_all"] = round(entry["median"] / summed["all"]["median"], 2)
    return summed


def report_scales(content: dict) -> None:
    """Summaries of the runs so far, and the pairs of runs with the same seed."""
    for entry in content["networks"].values():
        entry |= common.summaries(entry["runs"], "test_accuracy")
    against = [("all", name) for name in SCALE_NETWORKS if name != "all"]
    against += [("no_five", "three"), ("one_and_three", "three"), ("three_as_many", "three")]
    against.append(("one_and_three", "three_as_many"))
    content["pairs"] = common.pairs(content["networks"], against, "test_accuracy")


def measure_scales(seeds: int, mapping: Callable) -> None:
    head = common.header("Small networks with the same MACs: four branches, or one of them")
    same = dict(recipe=SCALES, rates=RATES, search_seeds=SEARCH_SEEDS)
    stored = common.Stored(SCALES_FILE, head, report=report_scales, **same)
    for name, (label, _) in SCALE_NETWORKS.items():
        chosen = scale_widths(name)
        fields = {"label": label, "widths": chosen, **common.size(scale_network(name))}
        stored.entry("networks", name, **fields)
    for name, entry in stored.content["networks"].items():
        entry["learning_rate"] = search_rate(stored, name, mapping)
    for first in range(0, seeds, 2):  # two seeds of all networks, so an end leaves whole pairs
        some = range(first, min(first + 2, seeds))
        for name, entry in stored.content["networks"].items():
            given = (name, entry["learning_rate"], "test")
            stored.complete(name, entry["runs"], some, run_scales, *given, mapping=mapping)
    stored.once(stored.content, "seconds_forward_backward", step_times)
    stored.save()


# --- reports --------------------------------------------------------------------------------------


def by_step(runs: common.Runs, key: str) -> list[dict]:
    return [common.summarise(values) for values in zip(*(run[key] for run in runs))]


def gradient_ratios(runs: common.Runs) -> dict[str, dict]:
    """Gradients of all losses together over those of the main one, part by part of the network."""

    def ratio(run: dict, when: str, part: str) -> float:
        norms = run["gradients"][when]
        return norms["all"][part] / max(norms["main"][part], 1e-30)

    return {
        when: {
            part: common.summarise((ratio(run, when, part) for run in runs), digits=2)
            for part in norms["main"]
        }
        for when, norms in runs[0]["gradients"].items()
    }


def report_auxiliary(content: dict) -> None:
    """Summaries over the seeds, and the pairs of runs with the same seed, rate by rate."""
    for rate in content["rates"].values():
        arms = [rate[arm]["runs"] for arm in ("with", "without")]
        if not all(arms):
            continue
        for arm, runs in zip((rate["with"], rate["without"]), arms):
            arm |= common.summaries(runs, "validation_accuracy", "validation_loss")
            arm["failed"] = sum(run["validation_accuracy"] < 0.2 for run in runs)
            arm["loss_by_step"] = by_step(runs, "loss")
            arm["accuracy_by_step"] = by_step(runs, "accuracy")
            arm["gradient_ratio"] = gradient_ratios(runs)
        points = common.differences(*arms, "validation_accuracy")
        lower = [[x < y for x, y in zip(a["loss"], b["loss"])] for a, b in zip(*arms)]
        rate["with_minus_without"] = {
            "validation_accuracy": common.summarise(points, digits=2),
            "higher": sum(value > 0 for value in points),
            "lower_loss_by_step": [sum(column) for column in zip(*lower)],
        }


def report_branches(content: dict) -> None:
    runs = content["runs"]
    content |= common.summaries(runs, "validation_accuracy", "accuracy", "accuracy_re_estimated")
    content["points_lost"] = {
        group: {
            branch: {
                way: common.summarise((run["points_lost"][group][branch][way] for run in runs), 2)
                for way in WAYS
            }
            for branch in BRANCHES
        }
        for group in runs[0]["points_lost"]
    }


def main() -> None:
    names = [*RECIPES, "scales"]
    arguments = common.parser(__doc__, names=names, seeds=5, processes=1).parse_args()
    if "scales" in arguments.names:
        with common.processes(arguments.processes) as mapping:
            measure_scales(arguments.seeds, mapping)
    head = common.header("A small GoogLeNet: auxiliary classifiers; branches taken away")
    for experiment in (name for name in arguments.names if name in RECIPES):
        recipe, branches = RECIPES[experiment], experiment == "branches"
        report = report_branches if branches else report_auxiliary
        stored = common.Stored(FILE, head, experiment, report=report, recipe=recipe)
        network = networks.build("googlenet_small") if branches else thin_googlenet("torch")
        stored.content |= common.size(nn.Sequential(network.features, network.classifier))
        jobs = [(stored.entry()["runs"], run_branches)] if branches else []
        for rate in recipe.get("learning_rates", ()):
            place = ("rates", f"{rate:g}".replace("0.", "rate_"))
            for arm in ("without", "with"):
                runs = stored.entry(*place, arm)["runs"]
                jobs.append((runs, partial(run_auxiliary, recipe, rate, arm == "with")))
            stored.content["rates"][place[1]]["learning_rate"] = rate
        for seed in range(arguments.seeds):
            for runs, run in jobs:
                stored.complete(experiment, runs, [seed], run)
        stored.save()


if __name__ == "__main__":
    main()
