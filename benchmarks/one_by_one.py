"""Questions about 1x1 convolutions: is PCA better, do they overfit less, are they faster?

pca          a trained network's 64 feature maps are squeezed to fewer channels, by principal
             component analysis or by a learned 1x1 convolution: what is lost of the features, and
             which accuracy does the rest of the network reach?
overfitting  three layers of 1x1 against three of 3x3, on 1,000 images with their own labels and
             with random ones, long enough to learn them by heart.
clock        5x5 from 192 to 32 channels on 28x28, directly and by way of 16 channels.
detour       a 5x5 layer on the 64 maps of trained first layers that stay fixed: directly, behind
             a 1x1 layer, or reading few of the maps. The same trained as a whole, and a network
             with few maps from the start, at equal MACs.
relu         the detour with the ReLU in its middle and without: trained as a whole, and as heads.

Runs with the same seed are pairs: same images, same order, same trained features. Writes
results/one_by_one.json; finished runs are kept. Accuracy is that on the validation images.

    python -m benchmarks.one_by_one
    python -m benchmarks.one_by_one clock      # one part
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks import common
from utils import data, device, summary, training

FILE = "one_by_one.json"


# --- PCA or learned -------------------------------------------------------------------------------

PCA_RECIPE = dict(
    train_images=5_000, features_epochs=6, epochs=8, batch_size=125, learning_rate=0.2, channels=64
)
WIDTHS = (1, 2, 4, 8)
SQUEEZES = {
    "pca": "principal components, fixed",
    "random": "random directions, fixed",
    "learned": "learned 1x1",
    "learned_from_pca": "learned 1x1, begun at the principal components",
}


def front() -> nn.Sequential:
    """Images (N, 1, 28, 28) to 64 maps of 7x7."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, PCA_RECIPE["channels"], 3, padding=1, bias=False),
        nn.BatchNorm2d(PCA_RECIPE["channels"]),
        nn.ReLU(),
    )


def head(channels: int) -> nn.Sequential:
    """Maps (N, channels, 7, 7) to logits. The batch norm in front makes all scales alike."""
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


class Features:
    """Feature maps that were computed once, as batches in an order that depends on the epoch."""

    def __init__(self, maps: Tensor, labels: Tensor, batch_size: int, seed: int | None) -> None:
        self.maps, self.labels, self.batch_size, self.seed = maps, labels, batch_size, seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.maps) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.arange(len(self.maps))
        if self.seed is not None:
            generator = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
            order = torch.randperm(len(self.maps), generator=generator)
        for part in order.split(self.batch_size):
            yield self.maps[part], self.labels[part]


@torch.no_grad()
def computed(network: nn.Module, batches: data.Batches) -> tuple[Tensor, Tensor]:
    maps, labels = zip(*[(network(images), labels) for images, labels in batches])
    return torch.cat(maps), torch.cat(labels)


def pixels(maps: Tensor) -> Tensor:
    """(N, C, H, W) to one row of C numbers for each pixel."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def directions(kind: str, maps: Tensor, width: int) -> Tensor:
    """`width` directions in the space of the channels, one a row."""
    if kind == "random":
        return torch.linalg.qr(torch.randn(maps.shape[1], width))[0].T
    rows = pixels(maps)
    return torch.linalg.eigh(torch.cov(rows.T))[1].flip(1).T[:width]


def lost(weight: Tensor, train: Tensor, validation: Tensor) -> float:
    """Share of the variance of the features that the best linear way back does not return.

    The way back is fitted by least squares on the training pixels, judged on the others.
    """
    mean = pixels(train).mean(0)
    known, new = pixels(train) - mean, pixels(validation) - mean
    back = torch.linalg.lstsq((known @ weight.T).double(), known.double()).solution.float()
    return ((new - new @ weight.T @ back).square().sum() / new.square().sum()).item()


def pca_runs(seed: int) -> list[dict]:
    """All squeezes of all widths, on the features of one trained network."""
    recipe = PCA_RECIPE
    splits = common.load(recipe, seed)
    whole, _ = common.train(
        lambda: nn.Sequential(front(), head(recipe["channels"])),
        splits.train,
        recipe | {"epochs": recipe["features_epochs"]},
        seed,
    )
    features = whole[0].eval()
    known, known_labels = computed(features, splits.train)
    new, new_labels = computed(features, splits.validation)
    train = Features(known, known_labels, recipe["batch_size"], seed)
    validation = Features(new, new_labels, 500, None)

    def finish(kind: str, width: int, *layers: nn.Module) -> dict:
        # The head is drawn first, so that all kinds begin with the same weights.
        model, history = common.train(
            lambda: nn.Sequential(*layers, head(width)), train, recipe, seed
        )
        return {
            "seed": seed,
            "kind": kind,
            "width": width,
            "status": history.status,
            "accuracy": common.accuracy(model, validation),
        }

    runs = [finish("all", recipe["channels"]) | {"lost": 0.0}]
    for width in WIDTHS:
        for kind in SQUEEZES:
            device.seed_everything(seed)
            squeeze = nn.Conv2d(recipe["channels"], width, 1, bias=False)
            if kind != "learned":
                rows = directions("random" if kind == "random" else "pca", known, width)
                with torch.no_grad():
                    squeeze.weight.copy_(rows[:, :, None, None])
            squeeze.weight.requires_grad_(kind.startswith("learned"))
            run = finish(kind, width, squeeze)
            weight = squeeze.weight.detach().flatten(1)
            runs.append(run | {"lost": round(lost(weight, known, new), 4)})
    return runs


# --- overfitting ----------------------------------------------------------------------------------

FIT_RECIPE = dict(train_images=1_000, epochs=60, batch_size=50, learning_rate=0.1, weight_decay=0.0)
STEM = 32


def stacked(kernel_size: int, width: int) -> nn.Sequential:
    """The same first layer for all, three layers of one kernel size, average and classifier."""
    layers = [nn.Conv2d(1, STEM, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(STEM)]
    layers += [nn.ReLU(), nn.MaxPool2d(2)]
    for channels in (STEM, width, width):
        padding = kernel_size // 2
        layers += [nn.Conv2d(channels, width, kernel_size, padding=padding, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


STACKS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "3x3": ("3x3, 32 channels", lambda: stacked(3, 32)),
    "1x1": ("1x1, 32 channels", lambda: stacked(1, 32)),
    "1x1_wide": ("1x1, as many parameters", lambda: stacked(1, 105)),
}
LABELS = ("own", "random")


def fitting_run(stack: str, labels: str, seed: int) -> dict:
    splits = common.load(FIT_RECIPE, seed)
    train = splits.train
    if labels == "random":
        generator = torch.Generator().manual_seed(seed)
        train.labels = torch.randint(0, 10, train.labels.shape, generator=generator)
    model, history = common.train(STACKS[stack][1], train, FIT_RECIPE, seed)
    known = training.evaluate(model, train).accuracy
    new = training.evaluate(model, splits.validation).accuracy
    return {
        "seed": seed,
        "status": history.status,
        "train_accuracy": round(known, 4),
        "validation_accuracy": round(new, 4),
        "gap": round(100 * (known - new), 2),
    }


# --- clock ----------------------------------------------------------------------------------------

CLOCK_RECIPE = dict(images=16, repeats=101)


def clock() -> dict:
    """Forward passes on one thread, in processor time: what else runs here does not count."""
    torch.manual_seed(0)
    x = torch.randn(CLOCK_RECIPE["images"], 192, 28, 28)
    squeezed = torch.randn(CLOCK_RECIPE["images"], 16, 28, 28)
    direct = nn.Conv2d(192, 32, 5, padding=2)
    reduce, small = nn.Conv2d(192, 16, 1), nn.Conv2d(16, 32, 5, padding=2)
    ways = {
        "direct": (direct, x),
        "by_way_of_16": (nn.Sequential(reduce, nn.ReLU(), small), x),
        "the_1x1": (reduce, x),
        "the_small_5x5": (small, squeezed),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for _ in range(CLOCK_RECIPE["repeats"] + 3):  # the first three warm up
            for name, (layer, given) in ways.items():
                layer(given)  # so that each finds its input in the cache, whoever ran before
                start = time.thread_time()
                layer(given)
                seconds[name].append(time.thread_time() - start)
    torch.set_num_threads(threads)
    result: dict = {"recipe": CLOCK_RECIPE, "threads": 1}
    for name, (layer, given) in ways.items():
        macs = summary.count_macs(layer, given.shape[1:])
        median = statistics.median(seconds[name][3:])
        result[name] = {
            "macs": macs,
            "milliseconds": round(1000 * median / CLOCK_RECIPE["images"], 4),
            "gmacs_per_second": round(macs * CLOCK_RECIPE["images"] / median / 1e9, 1),
        }
    turns = list(zip(seconds["direct"][3:], seconds["by_way_of_16"][3:]))
    result["times_fewer_macs"] = round(result["direct"]["macs"] / result["by_way_of_16"]["macs"], 2)
    result["times_faster"] = round(statistics.median(a / b for a, b in turns), 2)
    return result


# --- detour ---------------------------------------------------------------------------------------

DETOUR_RECIPE = dict(
    train_images=4_000, epochs=4, batch_size=50, learning_rate=0.1, channels=64, kernel_size=5
)
DETOUR_WIDTHS = (4, 8, 16, 32)
NARROW = 17  # maps that make the narrow network's MACs about those of the detour by way of 8


def first_layers(channels: int) -> nn.Sequential:
    """Images (N, 1, 28, 28) to `channels` maps of 7x7."""
    layers = list(front())[:4]
    layers += [nn.Conv2d(32, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
    return nn.Sequential(*layers, nn.ReLU())


def last_layers(middle: nn.Module) -> nn.Sequential:
    """A layer that makes 64 maps, and what makes logits of them."""
    channels = DETOUR_RECIPE["channels"]
    return nn.Sequential(
        middle,
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 10),
    )


def detour(in_channels: int, out_channels: int, between: int) -> nn.Sequential:
    """Exercise one_by_one.9."""
    first = nn.Conv2d(in_channels, between, 1)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(between, out_channels, 5, padding=2))


class Pick(nn.Module):
    """Some of the maps, as they are."""

    def __init__(self, chosen: Tensor) -> None:
        super().__init__()
        self.chosen = chosen

    def forward(self, maps: Tensor) -> Tensor:
        return maps[:, self.chosen]


def five(given: int) -> nn.Conv2d:
    return nn.Conv2d(given, DETOUR_RECIPE["channels"], 5, padding=2)


def middle(way: str, width: int, seed: int) -> nn.Module:
    """The layer from 64 to 64 maps: direct, your detour, or a 5x5 that reads `width` maps only."""
    channels = DETOUR_RECIPE["channels"]
    if way == "direct":
        return five(channels)
    if way == "detour":
        return detour(channels, channels, width)
    if way == "no_relu":
        reduce, _, large = detour(channels, channels, width)
        return nn.Sequential(reduce, large)
    generator = torch.Generator().manual_seed(seed)
    return nn.Sequential(Pick(torch.randperm(channels, generator=generator)[:width]), five(width))


WHOLE = {  # everything is trained together: maps of the first layers, and the layer behind them
    "direct": (DETOUR_RECIPE["channels"], lambda: five(DETOUR_RECIPE["channels"])),
    "detour_8": (
        DETOUR_RECIPE["channels"],
        lambda: detour(DETOUR_RECIPE["channels"], DETOUR_RECIPE["channels"], 8),
    ),
    "narrow": (NARROW, lambda: five(NARROW)),
}


def whole(name: str) -> nn.Sequential:
    maps, layer = WHOLE[name]
    return nn.Sequential(first_layers(maps), last_layers(layer()))


def headed(way: str, width: int, seed: int) -> nn.Sequential:
    return last_layers(middle(way, width, seed))


def timed(build: Callable[[], nn.Module], train, validation, seed: int) -> tuple[nn.Module, dict]:
    start = time.process_time()
    model, history = common.train(build, train, DETOUR_RECIPE, seed)
    seconds = round(time.process_time() - start, 2)
    right = common.accuracy(model, validation)
    return model, {"status": history.status, "seconds": seconds, "accuracy": right}


def computed_once(features: nn.Module, splits: data.Splits, seed: int) -> tuple[Features, Features]:
    """The maps of these first layers, for training and for validation."""
    train = Features(*computed(features, splits.train), DETOUR_RECIPE["batch_size"], seed)
    return train, Features(*computed(features, splits.validation), 500, None)


def detour_runs(seed: int) -> list[dict]:
    """Whole networks; and heads on the maps of the direct one, whose first layers then stay."""
    recipe, runs = DETOUR_RECIPE, []
    splits = common.load(recipe, seed)
    features = None
    for name in WHOLE:
        model, run = timed(partial(whole, name), splits.train, splits.validation, seed)
        runs.append({"seed": seed, "part": "whole", "way": name} | run)
        features = features or model[0].eval()
    train, validation = computed_once(features, splits, seed)
    ways = [("direct", recipe["channels"])]
    ways += [(way, width) for way in ("detour", "pick") for width in DETOUR_WIDTHS]
    for way, width in ways:
        build = partial(headed, way, width, seed)
        _, run = timed(build, train, validation, seed)
        runs.append({"seed": seed, "part": "head", "way": f"{way}_{width}"} | run)
    return runs


# --- the ReLU in the middle of the detour ---------------------------------------------------------

RELU_WIDTH = 8  # maps between the two layers
RELU_PARTS = ("whole", "head")


def relu_runs(part: str, seed: int) -> list[dict]:
    """With and without the ReLU, from the same first weights.

    The heads stand on the maps of a network with a direct layer, as in `detour_runs`.
    """
    splits, runs = common.load(DETOUR_RECIPE, seed), []
    train, validation = splits.train, splits.validation
    if part == "head":
        direct, _ = common.train(partial(whole, "direct"), train, DETOUR_RECIPE, seed)
        train, validation = computed_once(direct[0].eval(), splits, seed)
    for way in ("detour", "no_relu"):
        build = partial(relu_network, part, way, seed)
        model, history = common.train(build, train, DETOUR_RECIPE, seed)
        run = {"seed": seed, "way": way, "status": history.status}
        runs.append(run | {"accuracy": common.accuracy(model, validation)})
    return runs


def relu_network(part: str, way: str, seed: int) -> nn.Sequential:
    first = [first_layers(DETOUR_RECIPE["channels"])] if part == "whole" else []
    return nn.Sequential(*first, headed(way, RELU_WIDTH, seed))


# --- results --------------------------------------------------------------------------------------


def report_pca(content: dict) -> None:
    runs = [run for seed in sorted(content["runs"], key=int) for run in content["runs"][seed]]
    content["labels"], content["found"] = SQUEEZES, {}
    for kind in ("all", *SQUEEZES):
        for width in (PCA_RECIPE["channels"],) if kind == "all" else WIDTHS:
            own = [run for run in runs if (run["kind"], run["width"]) == (kind, width)]
            pca = [run for run in runs if (run["kind"], run["width"]) == ("pca", width)]
            entry = common.summaries(own, "lost", "accuracy")
            if kind not in ("all", "pca"):
                gains = common.differences(own, pca, "accuracy")
                entry["points_ahead_of_pca"] = common.summarise(gains, digits=2)
            content["found"].setdefault(kind, {})[f"width_{width}"] = entry


def report_fits(content: dict) -> None:
    content["found"] = {labels: {} for labels in LABELS}
    for labels in LABELS:
        for stack, (label, build) in STACKS.items():
            own, other = (content["runs"].get(f"{labels} {name}") for name in (stack, "3x3"))
            if own:
                gaps = common.differences(own, other, "gap", factor=1)
                content["found"][labels][stack] = {
                    "label": label,
                    "parameters": summary.count_parameters(build()),
                    **common.summaries(own, "train_accuracy", "validation_accuracy", "gap"),
                    "gap_above_3x3": common.summarise(gaps, digits=2),
                }


def report_detour(content: dict) -> None:
    runs = [run for seed in sorted(content["runs"], key=int) for run in content["runs"][seed]]
    content["found"] = {"head": {}, "whole": {}}
    for part, found in content["found"].items():
        for way in dict.fromkeys(run["way"] for run in runs if run["part"] == part):
            own = [run for run in runs if (run["part"], run["way"]) == (part, way)]
            kind, _, width = way.partition("_")
            network = whole(way) if part == "whole" else headed(kind, int(width), 0)
            shape = (1, 28, 28) if part == "whole" else (DETOUR_RECIPE["channels"], 7, 7)
            found[way] = {
                "macs": summary.count_macs(network, shape),
                **common.summaries(own, "accuracy"),
                "seconds": common.summarise([run["seconds"] for run in own], digits=2),
            }


def report_relu(content: dict) -> None:
    content["found"] = {}
    for part, own in content["runs"].items():
        runs = [run for seed in sorted(own, key=int) for run in own[seed]]
        detours, without = ([r for r in runs if r["way"] == way] for way in ("detour", "no_relu"))
        points = common.summarise(common.differences(without, detours, "accuracy"), digits=2)
        content["found"][part] = {
            "detour": common.summaries(detours, "accuracy"),
            "no_relu": common.summaries(without, "accuracy"),
            "points_ahead_without": points | {"higher": sum(v > 0 for v in points["runs"])},
        }


def run_relu(head: dict, seeds: range) -> None:
    recipe = DETOUR_RECIPE | {"width": RELU_WIDTH}
    stored = common.Stored(FILE, head, "relu", report=report_relu, recipe=recipe)
    runs = stored.content.setdefault("runs", {})
    for seed in seeds:
        for part in RELU_PARTS:
            stored.once(runs.setdefault(part, {}), str(seed), relu_runs, part, seed)
    stored.save()


def run_detour(head: dict, seeds: range) -> None:
    stored = common.Stored(FILE, head, "detour", report=report_detour, recipe=DETOUR_RECIPE)
    runs = stored.content.setdefault("runs", {})
    for seed in seeds:
        stored.once(runs, str(seed), detour_runs, seed)
    stored.save()


def run_clock(head: dict, seeds: range) -> None:
    stored = common.Stored(FILE, head, "clock")
    stored.content |= clock()
    print("clock", stored.content, flush=True)
    stored.save()


def run_pca(head: dict, seeds: range) -> None:
    stored = common.Stored(FILE, head, "pca", report=report_pca, recipe=PCA_RECIPE)
    runs = stored.content.setdefault("runs", {})
    for seed in seeds:
        stored.once(runs, str(seed), pca_runs, seed)
    stored.save()


def run_overfitting(head: dict, seeds: range) -> None:
    stored = common.Stored(FILE, head, "overfitting", report=report_fits, recipe=FIT_RECIPE)
    by_name = stored.content.setdefault("runs", {})
    for seed in seeds:
        for labels in LABELS:
            for stack in STACKS:
                name = f"{labels} {stack}"
                runs = by_name.setdefault(name, [])
                stored.complete(name, runs, [seed], fitting_run, stack, labels)
    stored.save()


PARTS = {
    "clock": run_clock,
    "pca": run_pca,
    "overfitting": run_overfitting,
    "detour": run_detour,
    "relu": run_relu,
}


def main() -> None:
    arguments = common.parser(__doc__, names=PARTS, seeds=5).parse_args()
    head = common.header("1x1 convolutions: against PCA, over-fitting, the clock")
    for part in arguments.names:
        PARTS[part](head, range(arguments.seeds))


if __name__ == "__main__":
    main()
