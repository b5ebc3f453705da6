"""How fast a training epoch is: ours against d2l's, and `fit` against the bare computation.

    python -m benchmarks.speed

Runs are paired and interleaved, so that both sides meet the same state of the machine. Writes
results/speed.json, but only from whole epochs: `--images 2000 --runs 1` is a trial.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import matplotlib

matplotlib.use("Agg")

import torch
import torch.nn.functional as F
from IPython.core.interactiveshell import InteractiveShell

from benchmarks import common
from utils import data, training
from utils.device import pick
from utils.networks import build

FILE = "speed.json"
BATCH_SIZE = 256
ALL_IMAGES = 60_000
# d2l's recipe for LeNet; ours differs in nothing but the code that runs it.
LENET = {"activation": "sigmoid", "pooling": "average"}
LEARNING_RATE = 0.9
ROOT = common.RESULTS.parent
IMPORTS = {
    "utils": "import utils",
    "what a chapter imports": "from utils import budget, data, device, exercises, networks, "
    "training",
}


class Terminal(io.StringIO):
    """Takes what is printed and calls itself a terminal, so that the progress bar is drawn."""

    def isatty(self) -> bool:
        return True


def d2l_epoch(images: int, seed: int) -> float:
    """Seconds for d2l's loader and `train_ch6`, from reading the files to the test accuracy."""
    from d2l import torch as d2l

    torch.manual_seed(seed)
    model = build("lenet", **LENET)
    start = time.perf_counter()
    train, test = d2l.load_data_fashion_mnist(BATCH_SIZE)
    if images < len(train.dataset):
        train, test = (fewer(loader, images) for loader in (train, test))
    d2l.train_ch6(model, train, test, 1, LEARNING_RATE, pick())
    seconds = time.perf_counter() - start
    matplotlib.pyplot.close("all")
    return seconds


def fewer(loader: torch.utils.data.DataLoader, images: int) -> torch.utils.data.DataLoader:
    dataset = torch.utils.data.Subset(loader.dataset, range(min(images, len(loader.dataset))))
    shuffle = isinstance(loader.sampler, torch.utils.data.RandomSampler)
    return torch.utils.data.DataLoader(
        dataset, loader.batch_size, shuffle=shuffle, num_workers=loader.num_workers
    )


def our_epoch(images: int, seed: int) -> float:
    """Seconds for `data.load` and `fit`, from reading the files to the test accuracy."""
    torch.manual_seed(seed)
    model = build("lenet", **LENET)
    start = time.perf_counter()
    splits = data.load(batch_size=BATCH_SIZE, validation_images=0)
    train, test = splits.train, splits.test
    if images < len(train.labels):
        train, test = (
            data.Batches(b.images[:images], b.labels[:images], batch_size=BATCH_SIZE, shuffle=s)
            for b, s in ((train, True), (test, False))
        )
    training.fit(
        model, train, test, epochs=1, learning_rate=LEARNING_RATE, momentum=0, weight_decay=0,
        schedule="constant", progress=True, stop_when_stuck=False,
    )  # fmt: skip
    return time.perf_counter() - start


def fit_nin(images: int, seed: int) -> float:
    """Seconds of one epoch of `fit` for the small NiN, loading and progress included."""
    torch.manual_seed(seed)
    model = build("nin_small")
    train = data.load(batch_size=BATCH_SIZE, validation_images=0, train_images=images).train
    start = time.perf_counter()
    training.fit(model, train, epochs=1, learning_rate=0.01, progress=True)
    return time.perf_counter() - start


def bare_nin(images: int, seed: int) -> float:
    """Seconds of as many steps on one batch that lies ready: forward, backward, step."""
    torch.manual_seed(seed)
    model = build("nin_small")
    train = data.load(batch_size=BATCH_SIZE, validation_images=0, train_images=images).train
    with training.Setup(model, None) as setup:
        batch, labels = setup.move(*next(iter(train)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        start = time.perf_counter()
        for _ in range(images // BATCH_SIZE):
            with setup.autocast():
                loss = F.cross_entropy(model(batch), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # wait for a GPU
        return time.perf_counter() - start


def paired(
    one: Callable[[int, int], float], other: Callable[[int, int], float], images: int, runs: int
) -> tuple[list[float], list[float]]:
    """Seconds of `runs` runs of each, in turns; who comes first changes from pair to pair."""
    seconds: dict[Callable, list[float]] = {one: [], other: []}
    for run in range(-1, runs):  # run -1 warms up: imports, files, threads
        for measure in (one, other) if run % 2 else (other, one):
            gc.collect()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(Terminal()):
                taken = measure(images if run >= 0 else min(images, 8 * BATCH_SIZE), run + 1)
            if run >= 0:
                seconds[measure].append(taken)
        if run >= 0:
            print(
                f"  run {run + 1}: {seconds[one][-1]:.2f} s, {seconds[other][-1]:.2f} s", flush=True
            )
    return seconds[one], seconds[other]


def import_seconds(statement: str, runs: int) -> list[float]:
    """Seconds that `statement` takes in a fresh process in which torch is already imported."""
    script = (
        "import time, torch\nstart = time.perf_counter()\n"
        f"{statement}\nprint(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", script]
    return [float(subprocess.check_output(command, cwd=ROOT, text=True)) for _ in range(runs)]


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--images", type=int, default=ALL_IMAGES, help="images in LeNet's epoch")
    parser.add_argument("--nin-images", type=int, default=15_360, help="images in NiN's epoch")
    parser.add_argument("--runs", type=int, default=5, help="paired runs of LeNet")
    # A NiN epoch is short and its difference small: five pairs scatter by ten percent and more.
    parser.add_argument("--nin-runs", type=int, default=11, help="paired runs of NiN")
    options = parser.parse_args()
    # The bare loop repeats one batch, so NiN's epoch has whole batches only.
    nin_images = options.nin_images // BATCH_SIZE * BATCH_SIZE
    if min(options.runs, options.nin_runs, options.images // (5 * BATCH_SIZE), nin_images) < 1:
        parser.error(f"it takes 1 run, {5 * BATCH_SIZE} images, and {BATCH_SIZE} for NiN at least")
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    data.unpack()
    os.chdir(ROOT / "benchmarks")  # d2l reads ../data
    warnings.simplefilter("ignore")  # d2l's four workers on a small machine
    InteractiveShell.instance()  # d2l draws for notebooks; without this its figures stay undrawn

    print(f"LeNet, {options.images:,} images: d2l, then ours")
    d2l, ours = paired(d2l_epoch, our_epoch, options.images, options.runs)
    lenet = {
        "network": "LeNet with sigmoid and average pooling at 28 pixels, as in d2l",
        "recipe": f"SGD, learning rate {LEARNING_RATE}, batch {BATCH_SIZE}, one epoch",
        "included": "reading the files, loading, training, accuracy on the test set, and what is "
        "shown meanwhile: d2l's curve, drawn six times as a notebook would; our progress bar",
        "images": options.images,
        "d2l_seconds": common.summarise(d2l),
        "our_seconds": common.summarise(ours),
        "ratio": common.summarise(a / b for a, b in zip(d2l, ours)),
    }
    print(f"  d2l takes {lenet['ratio']['median']:.2f} times as long (median)")

    print(f"NiN, {nin_images:,} images: bare loop, then fit")
    bare, fit = paired(bare_nin, fit_nin, nin_images, options.nin_runs)
    nin = {
        "network": f"nin_small at 28 pixels, batch {BATCH_SIZE}",
        "images": nin_images,
        "bare_seconds": common.summarise(bare),
        "fit_seconds": common.summarise(fit),
        "overhead": common.summarise(b / a - 1 for a, b in zip(bare, fit)),
    }
    print(f"  fit takes {100 * nin['overhead']['median']:.1f} % more (median)")

    imports = {
        name: {"statement": statement, **common.summarise(import_seconds(statement, options.runs))}
        for name, statement in IMPORTS.items()
    }
    for name, seconds in imports.items():
        print(f"import of {name}: {seconds['median']:.3f} s beyond torch (median)")

    if options.images < ALL_IMAGES:
        print("A trial: nothing is written.")
        return
    header = common.header(
        "one epoch of LeNet, ours against d2l's; fit against bare steps for NiN; time of import",
        *("numpy", "d2l"),
    )
    measured = {"lenet_epoch": lenet, "nin_loop": nin, "import_seconds": imports}
    path = common.write(FILE, header | {"load_at_start": load} | measured)
    print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
