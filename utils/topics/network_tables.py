"""The tables of chapter 10: what every network of the course costs, and how well it does.

They are read from results/, so the answers of the exercises follow from the measurements.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from utils import networks, results, summary, text_table

# In the order of the chapters.
SMALL = (
    *("lenet", "alexnet_small", "vgg_small", "nin_small", "googlenet_small"),
    *("resnet_small", "mobilenet_v1_small", "mobilenet_v2_small"),
)
TRAINING_IMAGES = 55_000  # of one epoch


def small_networks() -> dict[str, dict[str, Any]]:
    """One row for each network that a CPU trains, from results/costs.json and results/accuracy/.

    A row holds `accuracy` (median over the seeds, validation images), `low` and `high` (its range)
    and `runs`; `test` and `test_runs`, the same of the test images, to be read after the choice;
    the `recipe`, its `epochs`, and whether it has `mirrored` images; `parameters`; `macs` of one
    image; `weights_mb` (float32, in 10⁶ bytes); `peak_kb` (the most memory in use while one image
    goes through, in 10³ bytes, without weights); `one_ms` and `batch_ms` (one image, a batch of 64,
    on one thread) and the same in times of LeNet's, `one_ratio` and `batch_ratio`;
    `training_minutes` (a whole run of the recipe on one thread).
    """
    costs = results.load("costs.json")["small"]
    rows = {}
    for name in SMALL:
        if not (results.FOLDER / "accuracy" / f"{name}.json").is_file():
            continue  # its benchmark has not run yet
        measured, cost = results.load(f"accuracy/{name}.json"), costs[name]
        accuracy, recipe = measured["validation_accuracy"], measured["recipe"]
        epochs = recipe["epochs"]
        milliseconds = cost["training_ms_per_image"]["median"] * TRAINING_IMAGES * epochs
        rows[name] = {
            "accuracy": accuracy["median"],
            "low": accuracy["min"],
            "high": accuracy["max"],
            "runs": accuracy["runs"],
            "test": measured["test_accuracy"]["median"],
            "test_runs": measured["test_accuracy"]["runs"],
            "epochs": epochs,
            "recipe": recipe,
            "mirrored": recipe["augment"] == "flip",
            "parameters": cost["parameters"],
            "macs": cost["macs"],
            "weights_mb": cost["weight_bytes"] / 1e6,
            "peak_kb": cost["peak_bytes"] / 1e3,
            "one_ms": cost["latency_ms"]["median"],
            "one_ratio": cost["latency_ms"]["ratio"],
            "batch_ms": cost["batch_ms"]["median"],
            "batch_ratio": cost["batch_ms"]["ratio"],
            "training_minutes": milliseconds / 60_000,
        }
    return rows


def card(table: dict[str, dict[str, Any]]) -> str:
    """The columns of `small_networks` as text that can be printed, less than 90 characters wide."""
    quality = [("", "recipe also has", "epochs", "rate", "validation (%)", "test")]
    costs = [("", "params", "MACs", "weights", "peak", "one", "ratio", "batch", "training")]
    costs += [("", "(k)", "(M)", "(MB)", "(kB)", "(ms)", "", "(ms)", "(min)")]
    for name, row in table.items():
        recipe = row["recipe"]
        also = [f"batch {recipe['batch_size']}"] if recipe["batch_size"] != 128 else []
        also += ["mirrored"] if row["mirrored"] else []
        also += ["smoothed"] if recipe["label_smoothing"] else []
        also += list(recipe.get("options", {}))
        settings = (", ".join(also), recipe["epochs"], recipe["learning_rate"])
        low, middle, high, test = (100 * row[key] for key in ("low", "accuracy", "high", "test"))
        quality.append((name, *settings, f"{middle:.1f} ({low:.1f} to {high:.1f})", f"{test:.1f}"))
        numbers = (row["parameters"] / 1e3, row["macs"] / 1e6, row["weights_mb"], row["peak_kb"])
        times = (row["one_ms"], row["one_ratio"], row["batch_ms"], row["training_minutes"])
        forms = (".1f", ".2f", ".2f", ".0f", ".2f", ".2f", ".1f", ".2f")
        costs.append((name, *map(format, numbers + times, forms)))
    return "\n".join([*text_table.lines(quality, left=2), "", *text_table.lines(costs)])


def trained(name: str) -> networks.ImageClassifier:
    """A network of the small table with its trained weights, in evaluation mode.

    They are those of the page to play with: trained by the table's recipe from seed 0, stored in
    half precision. Only `lenet`, `nin_small`, `resnet_small` and `mobilenet_v1_small` have them.

    Raises:
        ValueError: the file has another number of weights.
    """
    model = networks.build(name).eval()
    values = np.frombuffer((results.FOLDER / "play" / f"{name}.f16").read_bytes(), dtype="<f2")
    values = torch.from_numpy(values.astype(np.float32))
    places = [t for key, t in model.state_dict().items() if not key.endswith("batches_tracked")]
    needed = sum(tensor.numel() for tensor in places)
    if needed != len(values):
        raise ValueError(
            f"results/play/{name}.f16 has {len(values)} values, but the network has {needed}: "
            f"run `python -m benchmarks.play {name}`."
        )
    for tensor, part in zip(places, values.split([tensor.numel() for tensor in places])):
        tensor.copy_(part.view_as(tensor))
    return model


# Year, torchvision's weights, and what the paper itself says of its network on ImageNet.
LARGE = {
    "alexnet": (2012, "AlexNet_Weights", "top-1 error 40.7, 10 crops, of the two-column network"),
    "vgg16": (2014, "VGG16_Weights", "top-1 error 27.0, one scale, whole image"),
    "googlenet": (2014, "GoogLeNet_Weights", "top-5 error 10.07, one crop"),
    "resnet50": (2015, "ResNet50_Weights", "top-1 error 22.85, 10 crops"),
    "mobilenet_v1": (2017, None, "top-1 accuracy 70.6"),
    "mobilenet_v2": (2018, "MobileNet_V2_Weights", "top-1 accuracy 72.0"),
}


def large_networks() -> dict[str, dict[str, Any]]:
    """One row for each network for ImageNet at 224 pixels, from results/costs.json.

    `parameters`, `macs`, `weights_mb`, `peak_mb` (10⁶ bytes); `one_ms` and `one_ratio` (one image
    on one thread, and the same in times of MobileNet v2's); `year`; `paper` (what the paper says,
    with its protocol). `top1` is the accuracy in percent of torchvision's first weights, one crop
    of 224 pixels, as torchvision states it; None where it has no such network. Nothing is
    downloaded.
    """
    import torchvision

    costs = results.load("costs.json")["large"]
    rows = {}
    for name, (year, weights, paper) in LARGE.items():
        cost, top1 = costs[name], None
        if weights:
            meta = torchvision.models.get_weight(f"{weights}.IMAGENET1K_V1").meta
            top1 = meta["_metrics"]["ImageNet-1K"]["acc@1"]
        rows[name] = {
            "year": year,
            "parameters": cost["parameters"],
            "macs": cost["macs"],
            "weights_mb": cost["weight_bytes"] / 1e6,
            "peak_mb": cost["peak_bytes"] / 1e6,
            "one_ms": cost["latency_ms"]["median"],
            "one_ratio": cost["latency_ms"]["ratio"],
            "top1": top1,
            "paper": paper,
        }
    return rows


def photographs() -> dict[str, dict[str, Any]]:
    """One row for each network of torchvision with weights from ImageNet alone.

    As torchvision states them: `macs` and `parameters`; `top1`, the accuracy in percent of its best
    such weights on ImageNet's validation images, each with its own training and image size; this
    size, `pixels`; `first`, the accuracy of its first weights. Nothing is downloaded.
    """
    from torchvision import models

    rows = {}
    for name in models.list_models(module=models):
        known = [w for w in models.get_model_weights(name) if w.name.startswith("IMAGENET1K_V")]
        if not known:
            continue
        accuracies = [w.meta["_metrics"]["ImageNet-1K"]["acc@1"] for w in known]
        best = known[accuracies.index(max(accuracies))]
        rows[name] = {
            "macs": best.meta["_ops"] * 1e9,
            "parameters": best.meta["num_params"],
            "pixels": best.transforms().crop_size[0],
            "top1": max(accuracies),
            "first": accuracies[0],
        }
    return rows


# Top-1 accuracy (%) on ImageNet by width and image size, from arXiv 1704.04861: validation images,
# one network, trained at this width and size.
PHONE = {
    (1.0, 224): 70.6,
    (0.75, 224): 68.4,
    (0.5, 224): 63.7,
    (0.25, 224): 50.6,
    (1.0, 192): 69.1,
    (1.0, 160): 67.2,
    (1.0, 128): 64.4,
    (0.5, 160): 60.2,
}


def phone_networks() -> dict[tuple[float, int], dict[str, float]]:
    """MobileNet v1 by (width, pixels): the paper's `top1`, and `parameters` and `macs`, counted."""
    return {key: dict(row) for key, row in _phone_networks().items()}


@functools.cache  # building and counting them takes seconds
def _phone_networks() -> dict[tuple[float, int], dict[str, float]]:
    rows = {}
    for (width, pixels), top1 in PHONE.items():
        with torch.device("meta"):
            network = networks.build("mobilenet_v1", width=width)
        rows[width, pixels] = {
            "top1": top1,
            "parameters": summary.count_parameters(network),
            "macs": summary.count_macs(network, (3, pixels, pixels)),
        }
    return rows
