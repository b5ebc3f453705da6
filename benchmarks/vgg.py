"""VGG at 32 pixels: deeper at equal width, with and without batch norm; one 5x5 or two 3x3.

`vgg_small` in the configurations of the paper's table and a few beside it, all with the widths
below, the same recipe and the same seeds. Writes results/vgg.json: accuracy on the training
images (in eval mode) and on the validation images after the last epoch, and the differences
between networks seed by seed. Finished runs are kept, so an interrupted benchmark goes on where it
stopped; a changed recipe starts anew.

"own_rate": A to E once more, each at the learning rate that suits it best: the one with the highest
validation accuracy in a search from a seed that is not used again.

    python -m benchmarks.vgg --seeds 5
    python -m benchmarks.vgg A A_five      # these networks only
    python -m benchmarks.vgg --own-rate
"""

from __future__ import annotations

from functools import partial

from benchmarks import common
from utils import networks
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
OWN_RATE = RECIPE | dict(learning_rate=[0.005, 0.01, 0.02, 0.05, 0.1], search_seed=100)
# What each network is called in figures, and its options.
NETWORKS: dict[str, tuple[str, dict]] = {
    **{name: (name, {"blocks": CONFIGURATIONS[name]}) for name in ("A", "B", "C", "D", "E")},
    **{
        f"{name}_plain{suffix}": (
            f"{name} without batch norm{words}",
            {"blocks": CONFIGURATIONS[name], "batch_norm": False, **options},
        )
        for suffix, words, options in (("", "", {}), ("_he", ", He", {"initialisation": "he"}))
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


def build(name: str) -> networks.ImageClassifier:
    return networks.build("vgg_small", widths=RECIPE["widths"], **NETWORKS[name][1])


def run(name: str, seed: int, recipe: dict = RECIPE) -> dict:
    """One network trained from one seed."""
    splits = common.load(recipe, seed)
    model, history = common.train(lambda: build(name), splits.train, recipe, seed)
    return {
        "seed": seed,
        "status": history.status,
        "train_loss_last_epoch": round(history.train_loss[-1], 4),
        "train_accuracy": common.accuracy(model, splits.train),
        "validation_accuracy": common.accuracy(model, splits.validation),
        "seconds": round(sum(history.seconds), 1),
    }


def report(content: dict) -> None:
    """Summaries of the runs so far, and the pairs of runs with the same seed."""
    for entry in content["networks"].values():
        runs = entry["runs"]
        entry |= common.summaries(runs, "train_accuracy", "validation_accuracy", "seconds")
        entry["failed"] = sum(run["validation_accuracy"] < 0.2 for run in runs)
    content["pairs"] = common.pairs(
        content["networks"], PAIRS, "train_accuracy", "validation_accuracy", higher="first_better"
    )


def report_own_rate(content: dict) -> None:
    networks = content["networks"]
    for entry in networks.values():
        entry |= common.summaries(entry["runs"], "train_accuracy", "validation_accuracy")
    pairs = [pair for pair in PAIRS if set(pair) <= set(networks)]
    content["pairs"] = common.pairs(
        networks, pairs, "train_accuracy", "validation_accuracy", higher="first_better"
    )


def own_rate(head: dict, seeds: int) -> None:
    """Search the rate of each network, and train it from every seed at the best one."""
    stored = common.Stored(FILE, head, "own_rate", report=report_own_rate, recipe=OWN_RATE)
    for name in CONFIGURATIONS:
        entry = stored.entry("networks", name)
        search = entry.setdefault("search", {})
        for rate in OWN_RATE["learning_rate"]:
            recipe = OWN_RATE | {"learning_rate": rate}
            stored.once(search, str(rate), run, name, OWN_RATE["search_seed"], recipe)
        best = max(search, key=lambda rate: search[rate]["validation_accuracy"])
        entry["learning_rate"] = float(best)
        tuned = partial(run, recipe=OWN_RATE | {"learning_rate": float(best)})
        stored.complete(name, entry["runs"], range(seeds), tuned, name)


def main() -> None:
    parser = common.parser(__doc__, names=NETWORKS, seeds=5)
    parser.add_argument("--own-rate", action="store_true", help="A to E, each at its best rate")
    arguments = parser.parse_args()
    head = common.header("VGG at 32 pixels, paired by seed: depth, batch norm, 5x5 or two 3x3")
    if arguments.own_rate:
        own_rate(head, arguments.seeds)
        return
    stored = common.Stored(FILE, head, report=report, recipe=RECIPE)
    side = RECIPE["image_size"]
    fields = {
        name: {
            "label": label,
            "blocks": list(options["blocks"]),
            "convolutions": sum(map(len, options["blocks"])),
            **common.size(build(name), (1, side, side)),
        }
        for name, (label, options) in NETWORKS.items()
        if name in arguments.names
    }
    stored.fill("networks", fields, run, range(arguments.seeds))


if __name__ == "__main__":
    main()
