"""d2l's training code on our batches, and our `fit` on d2l's loaders and networks."""

import itertools
import re
import warnings
from pathlib import Path

import matplotlib
import pytest
import torch
from torch import nn

from utils import data, training
from utils.networks import build

matplotlib.use("Agg")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    d2l = pytest.importorskip("d2l.torch")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def splits():
    return data.load(batch_size=128, train_images=1000, device="cpu")


class First:
    """The first few batches of a loader."""

    def __init__(self, loader, count):
        self.loader, self.count = loader, count

    def __len__(self):
        return self.count

    def __iter__(self):
        return itertools.islice(self.loader, self.count)


def test_train_ch6_takes_our_batches(splits, capsys):
    torch.manual_seed(0)
    model = build("lenet")
    d2l.train_ch6(model, splits.train, splits.validation, 2, 0.2, torch.device("cpu"))
    out = capsys.readouterr().out
    accuracy = float(re.search(r"test acc (\d\.\d+)", out).group(1))
    assert accuracy == pytest.approx(training.evaluate(model, splits.validation).accuracy, abs=6e-4)
    assert accuracy > 0.3
    assert re.search(r"examples/sec on cpu", out)


def test_fit_takes_the_loaders_of_d2l(splits, monkeypatch):
    data.unpack()
    monkeypatch.chdir(ROOT / "tests")  # d2l reads ../data, as it does from chapters/
    monkeypatch.setattr(d2l, "get_dataloader_workers", lambda: 0)
    train, test = d2l.load_data_fashion_mnist(128)
    torch.manual_seed(0)
    model = build("lenet")
    history = training.fit(model, First(train, 8), First(test, 2), epochs=2, learning_rate=0.05)
    assert history.status == "finished" and len(history.validation_accuracy) == 2
    assert history.train_loss[1] < history.train_loss[0]
    result = training.evaluate(model, First(test, 2))
    assert (result.loss, result.accuracy) == (
        history.validation_loss[-1],
        history.validation_accuracy[-1],
    )
    # Its pixels are ours before the normalisation.
    images, labels = next(iter(test))
    raw = splits.test.images[:128].cpu()
    torch.testing.assert_close(images, raw.float() / 255)
    assert torch.equal(labels, splits.test.labels[:128].cpu())


def test_fit_takes_loaders_with_workers(splits):
    images, labels = next(iter(splits.train))
    dataset = torch.utils.data.TensorDataset(images, labels)
    loader = torch.utils.data.DataLoader(dataset, 32, shuffle=True, num_workers=2)
    history = training.fit(build("lenet"), loader, epochs=2, learning_rate=0.05)
    assert history.status == "finished" and history.epochs == [1, 2]


def test_fit_takes_the_networks_of_d2l(splits):
    torch.manual_seed(0)
    model = d2l.LeNet(lr=0.1).net  # lazy layers
    with pytest.raises(ValueError, match="lazy layers"):
        training.fit(model, splits.train, epochs=1, learning_rate=0.05)
    images, _ = next(iter(splits.train))
    model(images)
    model.apply(d2l.init_cnn)
    assert training.fit(model, splits.train, epochs=1, learning_rate=0.05).status == "finished"

    model = nn.Sequential(
        d2l.Residual(4, use_1x1conv=True, strides=4), nn.Flatten(), nn.LazyLinear(10)
    )
    model(images)
    history = training.fit(model, splits.train, epochs=2, learning_rate=0.05)
    assert history.train_accuracy[-1] > 0.3


def test_train_ch6_after_fit_and_fit_after_train_ch6(splits, capsys):
    """Neither leaves the network in a state that the other cannot use."""
    model = build("lenet")
    arguments = (First(splits.train, 5), splits.validation, 2, 0.1, torch.device("cpu"))
    training.fit(model, splits.train, epochs=1, learning_rate=0.05)
    d2l.train_ch6(model, *arguments)
    before = training.evaluate(model, splits.train)
    history = training.fit(model, splits.train, epochs=1, learning_rate=0.02)
    assert history.status == "finished"
    assert training.evaluate(model, splits.train).loss < before.loss
