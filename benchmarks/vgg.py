"""VGG at 32 pixels: deeper at equal width, with and without batch norm; one 5x5 or two 3x3.

`vgg_small` in the configurations of the paper's table and a few beside it, all with the widths
below, the same recipe and the same seeds. Writes results/vgg.json: accuracy on the training
images (in eval mode) and on the validation images after the last epoch, and the differences
between networks seed by seed. Finished runs are kept, so an interrupted benchmark goes on where it
stopped; a changed recipe starts anew.

    python -m benchmarks.vgg --seeds 5
"""

from __future__ import annotations

from benchmarks import common
from utils import data, device, networks, summary, training
from utils.networks.vgg import CONFIGURATIONS

FILE = "vgg.json"
RECIPE = dict(
    train_images=8_000,
    image_size=32,
    widths=[16, 32, 48, 96, 96],
    epochs=4,
    batch_size=100,
    learning_rate=0.02,  # the networks without batch norm do not bear more
)

# What each network is called in figures, and its options.
NETWORKS = {
    **{name: (name, {"blocks": CONFIGURATIONS[name]}) for name in ("A", "B", "C", "D", "E")},
    **{
        f"{name}_plain": (
            f"{name} without batch norm",
            {"blocks": CONFIGURATIONS[name], "batch_norm": False},
        )
        for name in ("A", "E")
    },
    **{
        f"{name}_plain_he": (
            f"{name} without batch norm, He",
            {"blocks": CONFIGURATIONS[name], "batch_norm": False, "initialisation": "he"},
        )
        for name in ("A", "E")
    },
    "A_five": ("A, blocks 3 to 5 with one 5×5", {"blocks": ("3", "3", "5", "5", "5")}),
    "B_five": ("B, every block with one 5×5", {"blocks": ("5", "5", "5", "5", "5")}),
}
# Which differences are reported, first minus second, in points of accuracy.
PAIRS = [
    *(("B", "A"), ("C", "B"), ("D", "C"), ("D", "B"), ("E", "D"), ("A", "E")),
    *(("A", "A_plain_he"), ("E", "E_plain_he"), ("A_plain_he", "E_plain_he")),
    *(("A", "A_five"), ("B", "B_five")),
]


def build(name: str):
    return networks.build("vgg_small", widths=RECIPE["widths"], **NETWORKS[name][1])


def run(name: str, seed: int) -> dict:
    """One network trained from one seed."""
    splits = data.load(
        batch_size=RECIPE["batch_size"],
        image_size=RECIPE["image_size"],
        train_images=RECIPE["train_images"],
        device="cpu",
        seed=seed,
    )
    device.seed_everything(seed)
    model = build(name)
    history = common.fit(
        model,
        splits.train,
        epochs=RECIPE["epochs"],
        learning_rate=RECIPE["learning_rate"],
        seed=seed,
    )
    return {
        "seed": seed,
        "status": history.status,
        "train_loss_last_epoch": round(history.train_loss[-1], 4),
        "train_accuracy": round(training.evaluate(model, splits.train).accuracy, 4),
        "validation_accuracy": round(training.evaluate(model, splits.validation).accuracy, 4),
        "seconds": round(sum(history.seconds), 1),
    }


def report(result: dict) -> None:
    """Summaries of the runs so far, and the pairs of runs with the same seed."""
    for entry in result["networks"].values():
        for key in ("train_accuracy", "validation_accuracy", "seconds"):
            entry[key] = common.summarise(one[key] for one in entry["runs"])
        entry["failed"] = sum(one["validation_accuracy"] < 0.2 for one in entry["runs"])
    result["pairs"] = {}
    for first, second in PAIRS:
        runs = [
            {one["seed"]: one for one in result["networks"].get(name, {}).get("runs", [])}
            for name in (first, second)
        ]
        seeds = sorted(runs[0].keys() & runs[1].keys())
        if not seeds:
            continue
        pair = {}
        for key in ("train_accuracy", "validation_accuracy"):
            points = [100 * (runs[0][seed][key] - runs[1][seed][key]) for seed in seeds]
            pair[key] = common.summarise(points, digits=2)
            pair[key]["first_better"] = sum(value > 0 for value in points)
        result["pairs"][f"{first}_minus_{second}"] = pair


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    arguments = parser.parse_args()

    result = common.header("VGG at 32 pixels, paired by seed: depth, batch norm, 5x5 or two 3x3")
    result["recipe"] = RECIPE
    result["networks"] = {}
    earlier = common.read(FILE)
    if earlier is not None and earlier["recipe"] == RECIPE:
        result["networks"] = earlier["networks"]
    for seed in range(arguments.seeds):
        for name in arguments.networks:
            model = build(name)
            table = summary.table(model, (1, RECIPE["image_size"], RECIPE["image_size"]))
            entry = result["networks"].setdefault(name, {"runs": []})
            entry |= {
                "label": NETWORKS[name][0],
                "blocks": list(NETWORKS[name][1]["blocks"]),
                "convolutions": sum(map(len, NETWORKS[name][1]["blocks"])),
                "parameters": table.parameters,
                "macs": table.macs,
            }
            if any(one["seed"] == seed for one in entry["runs"]):
                continue
            entry["runs"].append(run(name, seed))
            print(name, entry["runs"][-1], flush=True)
            report(result)
            common.write(FILE, result)
    report(result)
    common.write(FILE, result)


if __name__ == "__main__":
    main()
