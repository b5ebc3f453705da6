"""Sums up the training results that D2L published, network by network.

Reads results/published/d2l_runs.csv and writes results/published/d2l_summary.json.

    python -m benchmarks.summarise_d2l
"""

from __future__ import annotations

import numpy as np

from benchmarks import common
from utils import results

RUNS = "published/d2l_runs.csv"
# Keys without spaces or slashes, so that text can name them.
KEYS = {
    "VGG-11/4": "VGG-11",
    "BN-LeNet (scratch)": "BN-LeNet-scratch",
    "BN-LeNet (concise)": "BN-LeNet-concise",
}
LN_10 = 2.303  # as printed: the loss of ten equal logits


def summarise(runs: list[dict]) -> dict:
    """What one network's runs reached on the test set, and how many failed, in which way."""
    accuracy = np.sort([float(run["test_accuracy"]) for run in runs])
    loss = np.array([float(run["train_loss"]) for run in runs])
    return {
        "runs": len(runs),
        "learning_rate": float(runs[0]["learning_rate"]),
        "batch_size": int(runs[0]["batch_size"]),
        "image_size": int(runs[0]["image_size"]),
        "epochs": int(runs[0]["epochs"]),
        "min": float(accuracy.min()),
        # A run's own value, not one between two runs: there are holes in these distributions.
        "p10": float(accuracy[len(runs) // 10]),
        "median": round(float(np.median(accuracy)), 4),
        "p90": float(accuracy[9 * len(runs) // 10]),
        "max": float(accuracy.max()),
        "at_most_15_percent": int((accuracy <= 0.15).sum()),
        "below_half": int((accuracy < 0.5).sum()),
        "loss_at_ln_10": int((loss == LN_10).sum()),
        "loss_not_a_number": int(np.isnan(loss).sum()),
        "median_examples_per_second": float(
            np.median([float(run["examples_per_second"]) for run in runs])
        ),
    }


def main() -> None:
    common.parser(__doc__).parse_args()
    runs = results.load(RUNS)
    summary = common.header("Test accuracy of the Fashion-MNIST runs stored in D2L's notebooks")
    summary["source"] = RUNS
    for network in dict.fromkeys(run["network"] for run in runs):
        chosen = [run for run in runs if run["network"] == network]
        summary[KEYS.get(network, network)] = summarise(chosen)
    common.write("published/d2l_summary.json", summary)


if __name__ == "__main__":
    main()
