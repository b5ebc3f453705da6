"""Does a class activation map find the garment? Global average against global maximum pooling.

The network of `topics.localisation` is trained on canvases with labels only, with either pooling
and the same seeds. Measured on the canvases of the test images, after the last epoch: accuracy,
how often the highest value of the map lies in the true box, and mean intersection over union of
the true box and the box around what exceeds a share of the map's maximum (20 % is the paper's).
The map is that of the class the network predicts. Settings were chosen on validation canvases. A
centre box, brightness and a map of random pixels are measured on the same canvases. Where several
pixels are the highest, as the brightest ones of a canvas, the chance that one of them drawn at
random lies in the box is counted.

"covering": the same networks, trained again; a square around the highest value of the map is set to
black, or one of equal brightness away from the garment, and the logit of the predicted class is
measured. Writes results/localisation.json. Finished runs are kept; a changed recipe starts anew.

    python -m benchmarks.localisation --seeds 5
"""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import Tensor

from benchmarks import common
from utils import data
from utils.topics import localisation

FILE = "localisation.json"
RECIPE = dict(
    train_images=10_000,
    epochs=5,
    batch_size=64,
    learning_rate=0.1,
    size=localisation.SIZE,
    pieces=localisation.PIECES,
    noise=localisation.NOISE,
)
POOLINGS = {"average": "global average pooling", "max": "global max pooling"}
COVERED = 3  # seeds for "covering"
PARTS = ("validation", "test")
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of the map's maximum


def scores(maps: Tensor, boxes: Tensor) -> dict:
    """Pointing accuracy, and the mean IoU for each threshold."""
    result = {"pointing": share(localisation.pointing(maps, boxes))}
    for threshold in THRESHOLDS:
        overlap = localisation.iou(localisation.boxes_from_maps(maps, threshold), boxes)
        result[f"iou_{round(100 * threshold)}"] = share(overlap)
    return result


def share(values: Tensor) -> float:
    return round(values.float().mean().item(), 4)


def baselines(splits: localisation.CanvasSplits) -> dict:
    """Maps that need no network, on validation and test canvases."""
    result: dict[str, dict] = {}
    for part in PARTS:
        canvases, boxes = getattr(splits, part).images, getattr(splits, f"{part}_boxes")
        maps = {
            "centre": localisation.centre_map(len(boxes)),
            "random": localisation.random_map(len(boxes)),
            **{
                f"brightness_{blur}": localisation.brightness_map(canvases, blur)
                for blur in (1, 5, 13, 21)
            },
        }
        for name, drawn in maps.items():
            result.setdefault(name, {})[part] = scores(drawn, boxes)
    return result


def run(splits: localisation.CanvasSplits, pooling: str, seed: int) -> dict:
    """One network trained from one seed."""
    splits.train.seed = seed
    splits.train.set_epoch(0)
    start = time.perf_counter()
    model, history = common.train(lambda: localisation.network(pooling), splits.train, RECIPE, seed)
    result = {
        "seed": seed,
        "status": history.status,
        "seconds": round(time.perf_counter() - start, 1),
        "train_accuracy": round(history.train_accuracy[-1], 4),
    }
    for part in PARTS:
        batches, boxes = getattr(splits, part), getattr(splits, f"{part}_boxes")
        maps, predicted = localisation.predicted_maps(model, batches)
        right = predicted == batches.labels
        inside = localisation.pointing(maps, boxes)
        result[part] = {
            "accuracy": share(right),
            **scores(maps, boxes),
            "pointing_where_right": share(inside[right]),
            "pointing_where_wrong": share(inside[~right]),
        }
    return result


@torch.no_grad()
def cover(splits: localisation.CanvasSplits, seed: int) -> dict:
    """What covering the highest place of the map changes, and covering as much elsewhere."""
    splits.train.seed = seed
    splits.train.set_epoch(0)
    with torch.enable_grad():
        model, history = common.train(localisation.network, splits.train, RECIPE, seed)
    maps, predicted = localisation.predicted_maps(model, splits.test)
    squares = localisation.square_on_peak(maps)
    images, boxes = splits.test.images, splits.test_boxes
    others = localisation.as_bright_elsewhere(images, squares, boxes)
    result = {"seed": seed, "status": history.status}
    if seed == 0:
        result["examples"] = examples(model)
    mean, std = localisation.STATISTICS
    kinds = {"nothing": torch.zeros_like(squares), "spot": squares, "elsewhere": others}
    for kind, covered in kinds.items():
        changed = localisation.covered(images, covered)
        batches = common.batches_like(splits.test, images=changed, mean=mean, std=std)
        logits = torch.cat([model(inputs) for inputs, _ in batches])
        own = logits.gather(1, predicted[:, None])
        result[f"{kind}_logit"] = round(own.median().item(), 3)
        result[f"{kind}_other_name"] = share(logits.argmax(dim=1) != predicted)
        dark = (images.float() - changed.float()).mean(dim=(1, 2, 3))
        result[f"{kind}_brightness"] = round(dark.mean().item(), 3)  # taken away, of a whole canvas
        result[f"{kind}_touches_garment"] = share(localisation.iou(covered, boxes) > 0)
    return result


@torch.no_grad()
def examples(model: torch.nn.Module) -> dict:
    """Predicted names and maps of `localisation.examples`, a row of a map as one text.

    The values are in percent of the map's highest value.
    """
    validation = data.load(device="cpu").validation
    shown = localisation.examples(validation.images, validation.labels)
    mean, std = localisation.STATISTICS
    batches = data.Batches(shown.images, shown.labels, batch_size=6, mean=mean, std=std)
    features = model.features(next(iter(batches))[0])
    predicted = model.linear(features.mean(dim=(2, 3))).argmax(dim=1)
    maps = localisation.class_map(features, model.linear.weight, predicted)
    percent = (100 * maps / maps.amax(dim=(1, 2), keepdim=True)).round().long()
    rows = [[" ".join(map(str, row)) for row in one.tolist()] for one in percent]
    return {"predicted": predicted.tolist(), "maps": rows}


def sum_up(content: dict) -> None:
    runs = content["runs"]
    numbers = sorted(key for key, value in runs[-1].items() if isinstance(value, float))
    content |= common.summaries(runs, *numbers)


def report(content: dict) -> None:
    """Summaries over the seeds, and the poolings' differences seed by seed."""
    on_test: dict[str, common.Runs] = {pooling: [] for pooling in POOLINGS}
    for pooling, entry in content["poolings"].items():
        runs = entry["runs"]
        entry |= common.summaries(runs, "seconds")
        for part in PARTS:
            scored = [{"seed": run["seed"], **run[part]} for run in runs]
            entry[part] = common.summaries(scored, *(runs[0][part] if runs else ()))
        on_test[pooling] = scored
    for first, second in (("average", "max"), ("max", "average")):
        content[f"{first}_minus_{second}"] = {
            key: common.summarise(points, digits=2)
            for key in ("accuracy", "pointing", "iou_20")
            if (points := common.differences(on_test[first], on_test[second], key))
        }


def main() -> None:
    seeds = range(common.parser(__doc__, seeds=5).parse_args().seeds)
    splits = localisation.load(
        batch_size=RECIPE["batch_size"], train_images=RECIPE["train_images"], device="cpu"
    )
    size = common.size(localisation.network(), (1, RECIPE["size"], RECIPE["size"]))
    spent = size["macs"] * RECIPE["train_images"] * RECIPE["epochs"]
    head = common.header("Localisation from labels: class activation maps on canvases")
    head |= {**size, "forward_macs_of_a_run": spent, "test_canvases": len(splits.test_boxes)}
    stored = common.Stored(FILE, head, report=report, recipe=RECIPE)
    stored.content.setdefault("poolings", {})
    stored.once(stored.content, "baselines", baselines, splits)
    fields = {pooling: {"label": label} for pooling, label in POOLINGS.items()}
    stored.fill("poolings", fields, partial(run, splits), seeds)
    more = {"recipe": RECIPE, "square": localisation.SQUARE}
    covering = common.Stored(FILE, head, "covering", report=sum_up, **more)
    runs = covering.entry()["runs"]
    covering.complete("covering", runs, seeds[:COVERED], partial(cover, splits))
    covering.save()


if __name__ == "__main__":
    main()
