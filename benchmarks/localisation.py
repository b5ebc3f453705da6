"""Does a class activation map find the garment? Global average against global maximum pooling.

The network of `topics.localisation` is trained on canvases with labels only, with either pooling
and the same seeds. Measured on the canvases of the test images, after the last epoch: accuracy,
how often the highest value of the map lies in the true box, and mean intersection over union of
the true box and the box around what exceeds a share of the map's maximum (20 % is the paper's).
The map is that of the class the network says. Settings were chosen on validation canvases. A
centre box, brightness and a random map are measured on the same canvases. Writes
results/localisation.json. Finished runs are kept; a changed recipe starts anew.

    python -m benchmarks.localisation --seeds 5
"""

from __future__ import annotations

import time

from torch import Tensor

from benchmarks import common
from utils import device, summary
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
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of the map's maximum


def scores(maps: Tensor, boxes: Tensor) -> dict:
    """Pointing accuracy, and the mean IoU for each threshold."""
    found = {"pointing": round(localisation.pointing(maps, boxes).float().mean().item(), 4)}
    for threshold in THRESHOLDS:
        boxes_found = localisation.boxes_from_maps(maps, threshold)
        share = localisation.iou(boxes_found, boxes).mean().item()
        found[f"iou_{round(100 * threshold)}"] = round(share, 4)
    return found


def baselines(splits: localisation.Splits) -> dict:
    """Maps that need no network, on validation and test canvases."""
    result = {}
    for part in ("validation", "test"):
        canvases, boxes = getattr(splits, part).images, getattr(splits, f"{part}_boxes")
        maps = {
            "centre": localisation.centre_map(len(boxes)),
            "random": localisation.random_map(len(boxes)),
            **{
                f"brightness_{blur}": localisation.brightness_map(canvases, blur)
                for blur in (1, 5, 13, 21)
            },
        }
        for name, one in maps.items():
            result.setdefault(name, {})[part] = scores(one, boxes)
    return result


def run(pooling: str, seed: int, splits: localisation.Splits) -> dict:
    """One network trained from one seed."""
    splits.train.seed = seed
    splits.train.set_epoch(0)
    device.seed_everything(seed)
    model = localisation.network(pooling)
    start = time.perf_counter()
    history = common.fit(
        model,
        splits.train,
        epochs=RECIPE["epochs"],
        learning_rate=RECIPE["learning_rate"],
        seed=seed,
    )
    result = {
        "seed": seed,
        "status": history.status,
        "seconds": round(time.perf_counter() - start, 1),
        "train_accuracy": round(history.train_accuracy[-1], 4),
    }
    for part in ("validation", "test"):
        batches, boxes = getattr(splits, part), getattr(splits, f"{part}_boxes")
        maps, said = localisation.predicted_maps(model, batches)
        right = said == batches.labels
        inside = localisation.pointing(maps, boxes)
        result[part] = {
            "accuracy": round(right.float().mean().item(), 4),
            **scores(maps, boxes),
            "pointing_where_right": round(inside[right].float().mean().item(), 4),
            "pointing_where_wrong": round(inside[~right].float().mean().item(), 4),
        }
    return result


def report(result: dict) -> None:
    """Summaries over the seeds, and the poolings' differences seed by seed."""
    for entry in result["poolings"].values():
        for part in ("validation", "test"):
            entry[part] = {
                key: common.summarise(one[part][key] for one in entry["runs"])
                for key in entry["runs"][0][part]
            }
        entry["seconds"] = common.summarise(one["seconds"] for one in entry["runs"])
    average, other = (result["poolings"][pooling]["runs"] for pooling in POOLINGS)
    for name, first, second in (
        ("average_minus_max", average, other),
        ("max_minus_average", other, average),
    ):
        result[name] = {}
        for key in ("accuracy", "pointing", "iou_20"):
            points = [100 * (a["test"][key] - b["test"][key]) for a, b in zip(first, second)]
            result[name][key] = common.summarise(points, digits=2)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    splits = localisation.load(
        batch_size=RECIPE["batch_size"], train_images=RECIPE["train_images"], device="cpu"
    )
    model = localisation.network()
    macs = summary.count_macs(model, (1, RECIPE["size"], RECIPE["size"]))
    result = common.header("Localisation from labels: class activation maps on canvases")
    result |= {
        "recipe": RECIPE,
        "parameters": summary.count_parameters(model),
        "macs": macs,
        "forward_macs_of_a_run": macs * RECIPE["train_images"] * RECIPE["epochs"],
        "test_canvases": len(splits.test_boxes),
    }
    earlier = common.read(FILE)
    same = earlier is not None and earlier["recipe"] == RECIPE
    result["baselines"] = earlier["baselines"] if same else baselines(splits)
    result["poolings"] = earlier["poolings"] if same else {}
    for seed in seeds:
        for pooling, label in POOLINGS.items():
            entry = result["poolings"].setdefault(pooling, {"label": label, "runs": []})
            if any(one["seed"] == seed for one in entry["runs"]):
                continue
            entry["runs"].append(run(pooling, seed, splits))
            print(pooling, entry["runs"][-1], flush=True)
            common.write(FILE, result)
    report(result)
    common.write(FILE, result)


if __name__ == "__main__":
    main()
