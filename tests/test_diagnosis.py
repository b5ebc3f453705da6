"""Activation and gradient statistics against values by hand; what `explain` tells apart."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from utils import diagnosis
from utils.diagnosis import (
    activation_statistics,
    answers_alike,
    dead_logits,
    explain,
    gradient_statistics,
)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(32, 1, 8, 8, generator=generator), torch.arange(32) % 10


def make_network(activation=nn.ReLU, depth=1, last=()):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 6, 3, padding=1), activation()]
    for _ in range(depth):
        layers += [nn.Conv2d(6, 6, 3, padding=1), activation()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 64, 10), *last)


def test_activation_statistics_by_hand(batch):
    images, _ = batch
    model = make_network()
    with torch.no_grad():
        model[0].weight[2].zero_(), model[0].bias[2].fill_(-1)  # channel 2 is dead after the ReLU
    rows = activation_statistics(model, images)
    assert [row.name for row in rows] == list("012345")
    assert [row.kind for row in rows] == ["Conv2d", "ReLU", "Conv2d", "ReLU", "Flatten", "Linear"]
    with torch.no_grad():
        values = F.relu(F.conv2d(images, model[0].weight, model[0].bias, padding=1))
    row = rows[1]
    assert row.mean == pytest.approx(values.mean().item(), rel=1e-5)
    assert row.std == pytest.approx(values.std(correction=0).item(), rel=1e-5)
    assert row.variation == pytest.approx(values.std(dim=0, correction=0).mean().item(), rel=1e-5)
    assert row.zeros == pytest.approx((values == 0).double().mean().item())
    assert (row.dead_channels, row.channels) == (1, 6)
    assert (rows[0].dead_channels, rows[0].zeros) == (0, 0)
    assert rows[-1].channels == 10


def test_a_layer_that_is_used_twice_appears_twice_in_the_order_of_the_calls(batch):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.conv = nn.ReLU(), nn.Conv2d(1, 1, 3)

        def forward(self, images):
            return self.relu(self.conv(self.relu(images))).flatten(1)

    assert [row.name for row in activation_statistics(Twice(), batch[0])] == [
        "relu",
        "conv",
        "relu",
    ]


def test_batch_norm_uses_the_batch_and_dropout_is_off(batch):
    images, _ = batch
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5))
    norm, dropout = activation_statistics(model, images * 7 + 3)
    assert norm.mean == pytest.approx(0, abs=1e-5) and norm.std == pytest.approx(1, rel=1e-4)
    assert dropout.zeros == 0


def test_the_network_is_left_as_it_was(batch):
    images, labels = batch
    model = nn.Sequential(*make_network(), nn.BatchNorm1d(10), nn.Dropout())
    model[6].eval()
    model(images).sum().backward()
    before = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    gradients = [p.grad.clone() for p in model.parameters()]
    random_state = torch.get_rng_state()
    activation_statistics(model, images)
    gradient_statistics(model, images, labels)
    dead_logits(model, images)
    answers_alike(model, images)
    explain(model, images, labels)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients))
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(m._forward_hooks for m in model.modules())


def test_hooks_and_modes_are_put_back_after_an_error(batch):
    model = make_network()
    with pytest.raises(RuntimeError):
        activation_statistics(model, torch.zeros(2, 3, 8, 8))
    assert not any(m._forward_hooks for m in model.modules())
    assert all(m.training for m in model.modules())


def test_gradients_are_taken_from_the_device_before_they_become_float64(monkeypatch):
    """An Apple GPU has no float64."""
    moved, cpu, double = [], torch.Tensor.cpu, torch.Tensor.double
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: moved.append("cpu") or cpu(self))
    monkeypatch.setattr(torch.Tensor, "double", lambda self: moved.append("double") or double(self))
    assert diagnosis._norm([torch.tensor([3.0, 4.0])]) == 5
    assert moved == ["cpu", "double"]


def test_gradient_statistics_by_hand(batch):
    images, labels = batch
    model = make_network()
    rows = gradient_statistics(model, images, labels)
    F.cross_entropy(model(images), labels).backward()
    assert [row.name for row in rows] == ["0", "2", "5"]
    assert [row.kind for row in rows] == ["Conv2d", "Conv2d", "Linear"]
    for row in rows:
        layer = model[int(row.name)]
        gradient = math.hypot(layer.weight.grad.norm(), layer.bias.grad.norm())
        weight = math.hypot(layer.weight.detach().norm(), layer.bias.detach().norm())
        assert row.gradient == pytest.approx(gradient, rel=1e-5)
        assert row.weight == pytest.approx(weight, rel=1e-5)
        assert row.ratio == pytest.approx(gradient / weight, rel=1e-5)


def test_parameters_without_a_gradient(batch):
    model = make_network()
    model[0].requires_grad_(False)
    model.unused = nn.Linear(2, 2)
    model.forward = lambda images: model[5](
        model[4](model[3](model[2](model[1](model[0](images)))))
    )
    rows = gradient_statistics(model, *batch)
    assert [row.name for row in rows] == ["2", "5", "unused"]
    assert rows[-1].gradient == 0


def test_tables_can_be_printed(batch):
    lines = str(activation_statistics(make_network(), batch[0])).splitlines()
    assert " ".join(lines[0].split()) == (
        "name kind mean std variation zeros dead channels channels"
    )
    assert len(lines) == 7 and lines[2].split()[:2] == ["1", "ReLU"]
    rows = gradient_statistics(make_network(), *batch)
    assert repr(rows) == str(rows) and len(str(rows).splitlines()) == 4
    assert str(type(rows)()) == "no layers"


class Functional(nn.Module):
    """A sigmoid that is no module."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)
        with torch.no_grad():
            self.first.weight.mul_(1e-6)

    def forward(self, images):
        return self.last(torch.sigmoid(self.first(images.flatten(1))))


def make_dead(classes):
    """A ReLU on the logits, where the given classes are always below zero, the others above."""
    model = make_network(last=[nn.ReLU()])
    with torch.no_grad():
        model[5].bias.fill_(100.0)
        model[5].bias[classes] = -100.0
    return model


def test_dead_logits(batch):
    images, _ = batch
    assert dead_logits(make_dead([1, 4]), images) == [1, 4]
    assert dead_logits(make_network(), images) == []


def test_answers_alike(batch):
    images, _ = batch
    assert not answers_alike(make_network(), images)
    assert answers_alike(make_dead(list(range(10))), images)
    model = make_network()
    with torch.no_grad():
        model[5].weight.zero_()
    assert answers_alike(model, images)
    assert not answers_alike(model, images[:1])  # one image cannot tell


def test_explain_dead_logits(batch):
    text = explain(make_dead([1, 4]), *batch)
    assert "logits of classes 1, 4 are zero for every one of the 32 images" in text
    assert "ReLU comes after the logits" in text and "Leave this ReLU out" in text
    assert explain(make_dead([7]), *batch).startswith("The logit of class 7 is zero")
    assert explain(make_dead(list(range(10))), *batch).startswith("All logits are zero")
    # A second cause is named too, unless it only repeats the first.
    model = make_dead([1])
    with torch.no_grad():
        model[2].weight.mul_(1e-6)
    text = explain(model, *batch)
    assert "ReLU comes after the logits" in text and "lost by layer 2" in text
    assert "same answer" not in explain(make_dead(list(range(10))), *batch)
    # Zero logits without a ReLU are not blamed on one.
    model = make_network()
    with torch.no_grad():
        model[5].weight.zero_(), model[5].bias.zero_()
        model[5].bias[0] = -1
    assert "ReLU comes" not in explain(model, *batch)


def test_explain_divergence(batch):
    images, labels = batch
    model = make_network()
    with torch.no_grad():
        model[2].weight[0] = math.nan
    text = explain(model, images, labels)
    assert "1 of the 6 weight tensors" in text and "2.weight" in text
    assert "has diverged" in text and "learning rate" in text

    model = make_network()
    with torch.no_grad():
        model[5].weight.fill_(3e38)
    text = explain(model, images, labels)
    assert "overflow in layer 5 (Linear)" in text

    assert "images hold values that are not numbers" in explain(
        make_network(), images * math.inf, labels
    )


def test_explain_vanishing(batch):
    text = explain(make_network(nn.Sigmoid, depth=5), *batch)
    assert "gives the same answer for every image" in text
    assert "ReLU instead of sigmoid" in text
    # The place where it is lost is named. A network with ReLUs is not told to use ReLUs.
    model = make_network(depth=2)
    with torch.no_grad():
        model[2].weight.mul_(1e-6)
    text = explain(model, *batch)
    assert "lost by layer 2 (Conv2d)" in text
    assert text.endswith("Use He initialisation or batch norm after the convolutions.")
    assert "ReLU instead of sigmoid" in explain(Functional(), *batch)
    # Forward sound, backward not: saturated tanh units pass on signs, but no gradient.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    with torch.no_grad():
        model[1].weight.mul_(1e4)
    assert "gradient vanishes" in explain(model, *batch)


def test_explain_dead_layer(batch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10))
    with torch.no_grad():
        model[0].bias[:4].fill_(-100)
    text = explain(model, *batch)
    assert "layer 1 (ReLU) 4 of 6 channels" in text


def test_explain_huge_logits_and_sound_networks(batch):
    model = make_network()
    with torch.no_grad():
        model[5].weight.mul_(1e4)
    assert "logits are far too large" in explain(model, *batch)
    text = explain(make_network(), *batch)
    assert "look sound" in text and "learning rate cannot be judged" in text
