"""Ways to train on Fashion-MNIST, as their users do it, for benchmarks.time_to_accuracy.

    python -m benchmarks.ways_to_train lenet_d2l 0 10

trains one of them from a seed, at most so many epochs, and prints its curve as a line of JSON. Each
run is a process of its own, with one thread of torch. fastai need not be in this environment:
benchmarks.time_to_accuracy may start this file with another Python, so what is imported at the
top is what every one of them has.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
MEAN, STD = 0.2860, 0.3530


class Clock:
    """Counts the time of training: of the processor, worker processes included, and of the wall.

    `look` reads the clock; the time inside `stopped` does not count.
    """

    def __init__(self) -> None:
        self.curve: list[dict[str, Any]] = []
        self.begin = self.now()

    @staticmethod
    def now() -> tuple[float, float]:
        return sum(os.times()[:4]), time.perf_counter()

    def start(self) -> None:
        """From here on: the data lies ready, nothing else has been done."""
        self.begin = self.now()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        before = self.now()
        yield
        after = self.now()
        self.begin = tuple(b + y - x for b, x, y in zip(self.begin, before, after))

    def look(self, epochs: float, accuracy: Callable[[], float]) -> None:
        """Store the time until now, and the accuracy on the test images."""
        processor, wall = (now - begin for now, begin in zip(self.now(), self.begin))
        with self.stopped():
            self.curve.append(
                {
                    "epochs": round(epochs, 2),
                    "processor_seconds": round(processor, 1),
                    "wall_seconds": round(wall, 1),
                    "test_accuracy": round(accuracy(), 4),
                }
            )


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of right answers on images (N, 1, H, W) as the network wants them."""
    training = model.training
    model.eval()
    pairs = zip(images.split(500), labels.split(500))
    correct = sum((model(x).argmax(1) == y).sum().item() for x, y in pairs)
    model.train(training)
    return correct / len(labels)


def arrays() -> dict[str, Tensor]:
    from utils import data

    return data.read_raw()


def standardised(images: Tensor) -> Tensor:
    return (images.float() / 255 - MEAN) / STD


# --- the course's own -----------------------------------------------------------------------------


def speedrun(aim: str) -> Callable[[int, int | None, Clock], None]:
    def run(seed: int, epochs: int | None, clock: Clock) -> None:
        from benchmarks import speedrun

        raw = arrays()
        test = raw["test_images"], raw["test_labels"]
        images = len(raw["train_images"])
        clock.start()
        speedrun.train(
            speedrun.RECIPES[aim],
            seed,
            raw["train_images"],
            raw["train_labels"],
            lambda network, seen: clock.look(
                seen / images, lambda: speedrun.accuracy(network, *test)
            ),
        )

    return run


class Watched:
    """Batches for `fit` that stop the clock from the first to the last."""

    def __init__(self, batches, clock: Clock) -> None:
        self.batches, self.clock = batches, clock

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        processor, wall = self.clock.now()
        self.clock.curve.append(
            {
                "epochs": len(self.clock.curve) + 1,
                "processor_seconds": round(processor - self.clock.begin[0], 1),
                "wall_seconds": round(wall - self.clock.begin[1], 1),
            }
        )
        with self.clock.stopped():
            yield from self.batches


def of_the_course(name: str) -> Callable[[int, int | None, Clock], None]:
    """A network under its recipe of benchmarks.accuracy; `fit` tests it after each epoch."""

    def run(seed: int, epochs: int | None, clock: Clock) -> None:
        from benchmarks import accuracy, common

        recipe = accuracy.RECIPES[name]
        if epochs is not None:
            raise SystemExit(f"{name} has a schedule for {recipe['epochs']} epochs: run them all.")
        splits = common.load(recipe, seed, image_size=accuracy.network_of(name).image_size)
        clock.start()
        watched = Watched(splits.test, clock)
        _, history = common.train(
            lambda: accuracy.network_of(name), splits.train, recipe, seed, watched
        )
        for point, score in zip(clock.curve, history.validation_accuracy):
            point["test_accuracy"] = round(score, 4)

    return run


# --- Dive into Deep Learning ----------------------------------------------------------------------


def d2l_chapter(build: Callable[[], nn.Module], batch: int, resize: int | None, rate: float):
    """d2l's loader and `train_ch6`, with the batch size and the rate of the book.

    Its evaluation after each epoch and the drawing of its curve do not count. `train_ch6` has no
    schedule, so the epochs can be any number.
    """

    def run(seed: int, epochs: int | None, clock: Clock) -> None:
        from d2l import torch as d2l

        class Silent:
            """In place of d2l's Animator, which needs a notebook."""

            def __init__(self, *args, **kwargs) -> None:
                pass

            def add(self, *args) -> None:
                pass

        def evaluate(net: nn.Module, test_iter) -> float:
            with torch.no_grad():
                clock.look(len(clock.curve) + 1, lambda: original(net, test_iter))
            return clock.curve[-1]["test_accuracy"]

        original, d2l.evaluate_accuracy_gpu = d2l.evaluate_accuracy_gpu, evaluate
        d2l.Animator = Silent
        torch.manual_seed(seed)
        os.chdir(ROOT / "benchmarks")  # d2l reads ../data
        train, test = d2l.load_data_fashion_mnist(batch, resize)
        net = build()
        clock.start()
        d2l.train_ch6(net, train, test, epochs, rate, torch.device("cpu"))

    return run


def lenet() -> nn.Module:
    """The network of D2L's chapter 7.6 (sigmoids, average pooling)."""
    from utils import networks

    return networks.build("lenet", activation="sigmoid", pooling="average", initialisation="xavier")


def resnet18() -> nn.Module:
    from utils import networks

    return networks.build("resnet18_d2l")


# --- a plain loop ---------------------------------------------------------------------------------


def plain_loop(seed: int, epochs: int | None, clock: Clock) -> None:
    """torchvision's dataset in a DataLoader and a loop as in a first tutorial: Adam at torch's own
    rate, LeNet with ReLU, batches of 64. (No workers: they need more time of the processor.)"""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    from utils import networks

    raw = arrays()
    test = standardised(raw["test_images"]), raw["test_labels"]
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    dataset = datasets.FashionMNIST(ROOT / "data", True, steps)
    torch.manual_seed(seed)
    clock.start()
    loader = DataLoader(dataset, 64, shuffle=True)
    model = networks.build("lenet")
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(epochs):
        model.train()
        for images, labels in loader:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        clock.look(epoch + 1, lambda: accuracy(model, *test))


# --- fastai ---------------------------------------------------------------------------------------


def fastai_learner(model: Callable[[], nn.Module], batch: int, rate: float, **learner: Any):
    """fastai's Learner, its DataLoaders, its one-cycle and its Adam.

    The images lie ready as standardised tensors: fastai's usual way through files costs more.
    """

    def run(seed: int, epochs: int | None, clock: Clock) -> None:
        from fastai.vision.all import Callback, CrossEntropyLossFlat, DataLoaders, Learner, set_seed

        class Look(Callback):
            def after_train(self) -> None:
                clock.look(self.epoch + 1, lambda: accuracy(self.model, *test))

        raw = arrays()
        train = list(zip(standardised(raw["train_images"]), raw["train_labels"]))
        test = standardised(raw["test_images"]), raw["test_labels"]
        set_seed(seed)
        clock.start()
        dls = DataLoaders.from_dsets(train, [], bs=batch, num_workers=0, device="cpu")
        learn = Learner(dls, model(), CrossEntropyLossFlat(), cbs=Look(), **learner)
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(epochs, rate)

    return run


def simple_cnn() -> nn.Module:
    """fastai's SimpleCNN: four strided convolutions with batch norm, then the mean of each map."""
    from fastai.layers import SimpleCNN

    return nn.Sequential(SimpleCNN((1, 16, 32, 64, 128)), nn.Linear(128, 10))


def xresnet() -> nn.Module:
    """fastai's XResNet with one block in each stage, at half its width."""
    from fastai.layers import ResBlock
    from fastai.vision.models.xresnet import XResNet

    return XResNet(ResBlock, 1, [1, 1, 1, 1], c_in=1, n_out=10, stem_szs=(16, 32, 64), widen=0.5)


class GeneralRelu(nn.Module):
    """miniai's activation: leaky ReLU, moved down so that its mean is nearer 0."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.1) - 0.4


class MiniaiBlock(nn.Module):
    """miniai's ResBlock: the second convolution has the stride, average pooling the shortcut."""

    def __init__(self, i: int, o: int, stride: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(i, o, kernel_size, 1, kernel_size // 2, bias=False),
            nn.BatchNorm2d(o),
            GeneralRelu(),
            nn.Conv2d(o, o, kernel_size, stride, kernel_size // 2, bias=False),
            nn.BatchNorm2d(o),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity(),
            nn.Conv2d(i, o, 1, bias=False) if i != o else nn.Identity(),
        )
        self.activation = GeneralRelu()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.path(x) + self.shortcut(x))


def miniai_resnet() -> nn.Module:
    """The network of "Going wider" in fastai/course22p2, nbs/14_augment.ipynb (1.23 M weights)."""
    widths = (16, 32, 64, 128, 256, 512)
    model = nn.Sequential(
        MiniaiBlock(1, 16, stride=1, kernel_size=5),
        *(MiniaiBlock(i, o, stride=2) for i, o in pairwise(widths)),
        nn.Flatten(),
        nn.Linear(512, 10, bias=False),
        nn.BatchNorm1d(10),
    )
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=0.1)
    return model


# --- all of them ----------------------------------------------------------------------------------

WAYS: dict[str, Callable[[int, int | None, Clock], None]] = {
    **{f"speedrun_{aim}": speedrun(aim) for aim in ("88", "90", "92", "93", "94")},
    "resnet_small": of_the_course("resnet_small"),
    "googlenet_small": of_the_course("googlenet_small"),
    "lenet_d2l": d2l_chapter(lenet, batch=256, resize=None, rate=0.9),
    "resnet18_d2l": d2l_chapter(resnet18, batch=256, resize=96, rate=0.05),
    "plain_loop": plain_loop,
    "fastai_cnn": fastai_learner(simple_cnn, batch=128, rate=0.01),
    "fastai_xresnet": fastai_learner(xresnet, batch=128, rate=0.01),
    "miniai": fastai_learner(miniai_resnet, batch=1024, rate=0.01),
}


def main() -> None:
    import torch._dynamo  # else the first optimizer imports it, and seconds of that would count

    name, seed, epochs = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    clock = Clock()
    with contextlib.redirect_stdout(io.StringIO()):
        WAYS[name](seed, epochs, clock)
    print(json.dumps(clock.curve))


if __name__ == "__main__":
    main()
