"""Three ways to train one epoch, each run in a process of its own, as their users run them.

`d2l` is d2l's loader with its `train_ch6`; `torchvision` is a plain loop over a DataLoader, built
as torchvision's references/classification/train.py builds it; `ours` is `data.load` and `fit`.
Network, images, batch, device and optimizer are the same. `loop` measures what `fit` itself costs
over bare steps on one batch that is ready.

    python -m benchmarks.speed_rivals d2l

waits for jobs, a line of JSON each, and answers each with a line. benchmarks.speed starts these
processes. Only that of ours imports `utils.device`, which changes how torch computes.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, Subset

from benchmarks.speed_cases import ROOT, Case

MEAN, STD = (0.2860,), (0.3530,)


class Terminal(io.StringIO):
    """Takes what is printed and calls itself a terminal, so that a progress bar is drawn."""

    def isatty(self) -> bool:
        return True


def d2l_epoch(case: Case, seed: int, device: str, workers: int) -> float:
    """d2l's loader and `train_ch6`, which draws its curve six times. It sets its own workers."""
    import matplotlib

    matplotlib.use("Agg")
    from d2l import torch as d2l
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance()  # d2l draws for notebooks; without this figures stay undrawn
    model = case.model(seed)
    start = time.perf_counter()
    resize = None if case.image_size == 28 else case.image_size
    train, test = d2l.load_data_fashion_mnist(case.batch_size, resize)
    if case.images is not None:
        train, test = fewer(train, case.images), fewer(test, case.test_images)
    d2l.train_ch6(model, train, test, 1, case.learning_rate, torch.device(device))
    seconds = time.perf_counter() - start
    matplotlib.pyplot.close("all")
    return seconds


def fewer(loader: DataLoader, images: int) -> DataLoader:
    return DataLoader(
        Subset(loader.dataset, range(images)),
        loader.batch_size,
        shuffle=isinstance(loader.sampler, RandomSampler),
        num_workers=loader.num_workers,
    )


def torchvision_epoch(case: Case, seed: int, device: str, workers: int) -> float:
    """A training and a test epoch in the manner of torchvision's reference script."""
    from torchvision import datasets, transforms

    model = case.model(seed)
    start = time.perf_counter()
    steps = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    if case.image_size != 28:
        steps.insert(0, transforms.Resize(case.image_size))
    loaders = []
    for train, images in ((True, case.images), (False, case.test_images)):
        dataset = datasets.FashionMNIST(ROOT / "data", train, transforms.Compose(steps))
        if case.images is not None:
            dataset = Subset(dataset, range(images))
        loaders.append(
            DataLoader(
                dataset,
                case.batch_size,
                shuffle=train,
                num_workers=workers,
                pin_memory=device.startswith("cuda"),
            )
        )
    model.to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=case.learning_rate)

    def meter(totals: list[float], output: torch.Tensor, target: torch.Tensor, loss) -> None:
        correct = output.argmax(1).eq(target).sum()
        totals[0] += loss.item() * len(target)
        totals[1] += correct.item()
        totals[2] += len(target)

    model.train()
    totals = [0.0, 0.0, 0]
    for step, (image, target) in enumerate(loaders[0]):
        image = image.to(device, non_blocking=True)
        target = target.to(device, non_blocking=True)
        output = model(image)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        meter(totals, output, target, loss)
        if step % 10 == 0:
            print(step, totals[0] / totals[2], totals[1] / totals[2])

    model.eval()
    totals = [0.0, 0.0, 0]
    with torch.inference_mode():
        for image, target in loaders[1]:
            image = image.to(device, non_blocking=True)
            target = target.to(device, non_blocking=True)
            output = model(image)
            meter(totals, output, target, criterion(output, target))
    print(totals[0] / totals[2], totals[1] / totals[2])
    return time.perf_counter() - start


def our_epoch(case: Case, seed: int, device: str, workers: int) -> float:
    """`data.load` and `fit`, with a progress bar."""
    from benchmarks import common
    from utils import data

    model = case.model(seed)
    start = time.perf_counter()
    splits = data.load(
        batch_size=case.batch_size,
        image_size=None if case.image_size == 28 else case.image_size,
        device=device,
        train_images=case.images,
        validation_images=0,
        test_images=None if case.images is None else case.test_images,
    )
    common.fit(
        model, splits.train, splits.test, epochs=1, learning_rate=case.learning_rate, momentum=0,
        weight_decay=0, schedule="constant", device=device, progress=True, stop_when_stuck=False,
    )  # fmt: skip
    return time.perf_counter() - start


def loop_epoch(case: Case, seed: int, device: str, workers: int) -> dict[str, float]:
    """An epoch of `fit`, with momentum and weight decay, and as many bare steps of a twin.

    They alternate, so that both meet the same state of the machine: after a step of `fit` (on a
    GPU, which works ahead, after ten) comes as much bare work, timed by itself. All the rest of the
    call is the time of `fit`: cutting batches, counting, progress, what is done before and after
    the epoch.
    """
    from benchmarks import common

    train = batches(case, device)
    with bare_step(case, seed, device, train) as step:
        between = Between(train, step, every=10 if device.startswith("cuda") else 1, device=device)
        model = case.model(seed)
        start = time.perf_counter()
        common.fit(
            model, between, epochs=1, learning_rate=case.learning_rate, device=device,
            progress=True, stop_when_stuck=False,
        )  # fmt: skip
        seconds = time.perf_counter() - start
    return {"fit": seconds - between.seconds, "bare": between.seconds}


class Between:
    """Batches for `fit` that do bare steps, `every` so many batches, and count their seconds."""

    def __init__(self, train, step: Callable[[], torch.Tensor], every: int, device: str):
        self.train, self.step, self.every, self.device = train, step, every, device
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self.train)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        waiting = 0
        for number, batch in enumerate(self.train, start=1):
            yield batch
            waiting += 1
            if waiting == self.every or number == len(self.train):
                self.wait()
                start = time.perf_counter()
                for _ in range(waiting):
                    self.step()
                self.wait()
                self.seconds += time.perf_counter() - start
                waiting = 0

    def wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


@contextlib.contextmanager
def bare_step(case: Case, seed: int, device: str, train) -> Iterator[Callable[[], torch.Tensor]]:
    """A function that does one step on the first batch of `train`, as `fit` does it."""
    from utils.runs.place import Place
    from utils.runs.schedule import make_optimizer

    model = case.model(seed)
    place = Place(model, device)
    with place.prepared(model):
        images, labels = place.move(*next(iter(train)))
        optimizer = make_optimizer(model, "sgd", case.learning_rate, 0.9, 5e-4)
        model.train()

        def step() -> torch.Tensor:
            with place.precision.autocast():
                loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.detach()

        yield step


def batches(case: Case, device: str):
    """The training images of the course; `images` is a multiple of the batch."""
    from utils import data

    size = None if case.image_size == 28 else case.image_size
    return data.load(
        batch_size=case.batch_size, image_size=size, device=device, train_images=case.images
    ).train


MEASURES: dict[str, Callable[[Case, int, str, int], Any]] = {
    "d2l": d2l_epoch,
    "torchvision": torchvision_epoch,
    "ours": our_epoch,
    "loop": loop_epoch,
}


def measure(what: str, case: Case, seed: int, device: str, workers: int) -> Any:
    """Seconds of one run, of "loop" for each of its two parts; what it prints is swallowed."""
    gc.collect()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(Terminal()):
        return MEASURES[what](case, seed, device, workers)


def main() -> None:
    os.chdir(ROOT / "benchmarks")  # d2l reads ../data
    warnings.simplefilter("ignore")  # d2l's four workers on a small machine
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(measure(**job | {"case": Case(**job["case"])})), flush=True)


if __name__ == "__main__":
    main()
