"""Accuracy at budget `gpu`: all training images, D2L's networks and image sizes, ten epochs.

Runs where a GPU is found. The settings of a network are tried once each on the validation images,
from a seed that is not used again; the best are kept, and with them five seeds are trained, each
read once on the test images. `fit` chooses bfloat16 and channels-last, `--compile` adds
torch.compile. Writes results/gpu.json; finished trials and seeds are kept. How fast an epoch is
beside others' code on the same GPU is measured by benchmarks.speed.

    python -m benchmarks.gpu
    python -m benchmarks.gpu resnet18_d2l --compile
    python -m benchmarks.gpu --trial      # tiny, also on a CPU: to see that it runs; writes nothing
"""

from __future__ import annotations

import itertools
import time
from typing import Any

import torch

from benchmarks import common
from utils import device, networks

FILE = "gpu.json"
EPOCHS, BATCH_SIZE, SEEDS, TRIAL_SEED = 10, 128, 5, 100
# Options of each network; the image size is its own (224, 224, 96 and 96 pixels).
NETWORKS: dict[str, dict[str, Any]] = {
    "alexnet_d2l": {},
    "nin_d2l": {"batch_norm": True, "final_relu": False},
    "googlenet_d2l": {"initialisation": "he"},
    "resnet18_d2l": {},
}
# Every combination is tried on validation images.
TRIED = {
    "learning_rate": (0.02, 0.05, 0.1),
    "label_smoothing": (0.0, 0.1),
    "augment": (False, "flip"),
}


def settings() -> list[dict[str, Any]]:
    return [dict(zip(TRIED, values)) for values in itertools.product(*TRIED.values())]


def run(
    name: str, chosen: dict[str, Any], where: torch.device, *, seed: int, compiled: bool = False,
    images: int | None = None, epochs: int = EPOCHS, read_test_set: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Train one network from one seed; `images` limits training, validation and test images."""
    with torch.device("meta"):
        size = networks.build(name).image_size
    splits = common.load(
        chosen,
        seed,
        batch_size=BATCH_SIZE if images is None else min(BATCH_SIZE, images // 2),
        image_size=size,
        device=where,
        train_images=images,
        validation_images=images or 5_000,
        test_images=images,
    )
    start = time.perf_counter()
    model, history = common.train(
        lambda: networks.build(name, **NETWORKS[name]),
        splits.train,
        chosen | {"epochs": epochs},
        seed,
        splits.validation,
        device=where,
        compile=compiled,
    )
    result = {
        "seed": seed,
        "status": history.status,
        # 0 where no epoch was finished, so that such settings are never the best.
        "validation_accuracy": round(max(history.validation_accuracy[-1:], default=0.0), 4),
        "seconds": round(time.perf_counter() - start, 1),
    }
    return result | (
        {"test_accuracy": common.accuracy(model, splits.test)} if read_test_set else {}
    )


def best(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings with the highest validation accuracy among the runs that were finished."""
    finished = [trial for trial in trials if trial["status"] == "finished"]
    if not finished:
        raise SystemExit("No trial was finished: add lower learning rates to TRIED.")
    return max(finished, key=lambda trial: trial["validation_accuracy"])["settings"]


def report(content: dict[str, Any]) -> None:
    for entry in content["networks"].values():
        keys = ("test_accuracy", "validation_accuracy", "seconds")
        entry |= common.summaries(entry["runs"], *keys)


def main() -> None:
    parser = common.parser(__doc__, names=NETWORKS)
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--trial", action="store_true", help="a few images, nothing is written")
    arguments = parser.parse_args()
    where = device.pick()
    if arguments.trial:
        for name in arguments.names:
            print(
                name,
                run(name, settings()[0], where, seed=0, images=20, epochs=1, read_test_set=True),
            )
        print("A trial: nothing is written.")
        return
    if where.type != "cuda":
        raise SystemExit(
            f"This takes a CUDA GPU, but torch finds only {where.type}: at 224 pixels one run "
            "would take a day. Try --trial to see that the program runs."
        )
    head = common.header("Accuracy at budget gpu: D2L's networks and image sizes, ten epochs")
    head |= {"epochs": EPOCHS, "batch": BATCH_SIZE}
    card = torch.cuda.get_device_name(where)
    stored = common.Stored(FILE, head, report=report, gpu=card)
    for name in arguments.names:
        entry = stored.entry("networks", name, options=NETWORKS[name])
        trials = entry.setdefault("trials", [])
        for chosen in settings():
            if chosen not in [trial["settings"] for trial in trials]:
                tried = run(name, chosen, where, seed=TRIAL_SEED, compiled=arguments.compile)
                trials.append({"settings": chosen, **tried})
                print(name, trials[-1], flush=True)
                stored.save()
        entry["settings"] = best(trials)

        def final(name: str, chosen: dict, seed: int) -> dict[str, Any]:
            return run(
                name, chosen, where, seed=seed, compiled=arguments.compile, read_test_set=True
            )

        stored.complete(name, entry["runs"], range(SEEDS), final, name, entry["settings"])


if __name__ == "__main__":
    main()
