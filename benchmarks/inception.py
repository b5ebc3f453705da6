"""GoogLeNet in small: do auxiliary classifiers help, and which branches does a trained one use?

- "auxiliary", "auxiliary_he", "auxiliary_torch": all nine Inception modules at an eighth of the
  paper's width, 28 pixels, no batch norm, classifiers behind 4a and 4d, three ways of drawing the
  first weights. The same weights, images and steps, with the auxiliary losses and without them:
  gradients module by module at the start and early in training (dropout off), loss and accuracy
  on validation images by step.
- "branches": a trained `googlenet_small`. One branch of one module (or of all modules) is
  replaced by zeros or by the mean of each of its feature maps; accuracy as it is then, and after
  the batch norms behind it have been re-estimated on training images.

Writes results/inception.json. Finished runs are kept; a changed recipe starts its experiment anew.

    python -m benchmarks.inception
    python -m benchmarks.inception auxiliary --seeds 5
"""

from __future__ import annotations

import copy
import itertools
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import common
from utils import data, device, networks, training
from utils.networks.common import initialise, named
from utils.networks.googlenet import MODULES, GoogLeNet, Inception, convolution

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
    arguments = common.parser(__doc__, names=RECIPES, seeds=5).parse_args()
    head = common.header("A small GoogLeNet: auxiliary classifiers; branches taken away")
    for experiment in arguments.names:
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
