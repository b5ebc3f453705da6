"""Accuracy at budget `gpu`: all training images, D2L's networks and image sizes, ten epochs.

Runs where a GPU is found. The settings of a network are tried once each on the validation images,
from a seed that is not used again; the best are kept, and with them five seeds are trained, each
read once on the test images. bfloat16 and channels-last are `fit`'s choice, `--compile` adds
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
from utils import data, device, networks, training

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
    name: str, chosen: dict[str, Any], seed: int, where: torch.device, *, compiled: bool,
    images: int | None = None, epochs: int = EPOCHS, read_test_set: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Train one network from one seed; `images` limits training, validation and test images."""
    device.seed_everything(seed)
    model = networks.build(name, **NETWORKS[name])
    splits = data.load(
        batch_size=BATCH_SIZE if images is None else min(BATCH_SIZE, images // 2),
        image_size=model.image_size,
        augment=chosen["augment"],
        device=where,
        seed=seed,
        train_images=images,
        validation_images=5_000 if images is None else images,
        test_images=images,
    )
    start = time.perf_counter()
    history = common.fit(
        model,
        splits.train,
        splits.validation,
        epochs=epochs,
        learning_rate=chosen["learning_rate"],
        label_smoothing=chosen["label_smoothing"],
        device=where,
        compile=compiled,
        seed=seed,
    )
    one = {
        "seed": seed,
        "status": history.status,
        # 0 where no epoch was finished, so that such settings are never the best.
        "validation_accuracy": round(max(history.validation_accuracy[-1:], default=0.0), 4),
        "seconds": round(time.perf_counter() - start, 1),
    }
    if read_test_set:
        one["test_accuracy"] = round(training.evaluate(model, splits.test).accuracy, 4)
    return one


def best(tried: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings with the highest validation accuracy among the runs that were finished."""
    finished = [one for one in tried if one["status"] == "finished"]
    if not finished:
        raise SystemExit("No trial was finished: add lower learning rates to TRIED.")
    return max(finished, key=lambda one: one["validation_accuracy"])["settings"]


def trial(where: torch.device, names: list[str]) -> None:
    for name in names:
        chosen = settings()[0]
        one = run(name, chosen, 0, where, compiled=False, images=20, epochs=1, read_test_set=True)
        print(name, one, flush=True)
    print("A trial: nothing is written.")


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--trial", action="store_true", help="a few images, nothing is written")
    arguments = parser.parse_args()
    if unknown := set(arguments.networks) - set(NETWORKS):
        parser.error(f"no {', '.join(sorted(unknown))} here; there are {', '.join(NETWORKS)}")
    where = device.pick()
    if arguments.trial:
        return trial(where, arguments.networks)
    if where.type != "cuda":
        raise SystemExit(
            f"This takes a CUDA GPU, but torch finds only {where.type}: at 224 pixels one run "
            "would take a day. Try --trial to see that the program runs."
        )
    header = common.header("Accuracy at budget gpu: D2L's networks and image sizes, ten epochs")
    header |= {"gpu": torch.cuda.get_device_name(where), "epochs": EPOCHS, "batch": BATCH_SIZE}
    for name in arguments.networks:
        found = stored(header["gpu"])
        one = found.get(name, {"options": NETWORKS[name], "trials": [], "runs": []})
        found[name] = one
        for chosen in settings():
            if any(old["settings"] == chosen for old in one["trials"]):
                continue
            tried = run(name, chosen, TRIAL_SEED, where, compiled=arguments.compile)
            one["trials"].append({"settings": chosen, **tried})
            print(name, one["trials"][-1], flush=True)
            common.write(FILE, header | {"networks": found})
        one["settings"] = best(one["trials"])
        for seed in range(SEEDS):
            if any(old["seed"] == seed for old in one["runs"]):
                continue
            chosen, compiled = one["settings"], arguments.compile
            result = run(name, chosen, seed, where, compiled=compiled, read_test_set=True)
            one["runs"].append(result)
            print(name, result, flush=True)
            for key in ("test_accuracy", "validation_accuracy", "seconds"):
                one[key] = common.summarise(old[key] for old in one["runs"])
            common.write(FILE, header | {"networks": found})


def stored(gpu: str) -> dict[str, dict[str, Any]]:
    """What earlier runs on the same kind of GPU wrote."""
    earlier = common.read(FILE) or {}
    return earlier.get("networks", {}) if earlier.get("gpu") == gpu else {}


if __name__ == "__main__":
    main()
