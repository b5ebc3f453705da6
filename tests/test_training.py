"""The training loop, against torch's own parts and hand-written loops; checkpoints, and faults."""

import copy
import json
import math
import os
import random
import re
import sys
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from utils import data, device, diagnosis, training
from utils.device import Precision
from utils.runs import bar, behaviour, checkpoints, place
from utils.training import CheckpointError, History, evaluate, fit, load_weights, predict


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_images(count=640, classes=10, seed=0):
    """Images (N, 1, 8, 8) whose brightness and slant tell their class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=generator)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    slope = torch.linspace(-1, 1, 8)
    return images + (labels[:, None, None, None] - 4.5) * 0.3 * slope, labels


def make_batches(count=640, batch_size=64, **options):
    images, labels = make_images(count, **options)
    return list(zip(images.split(batch_size), labels.split(batch_size), strict=True))


def make_network(seed=1):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(144, 10),
    )


def make_linear(seed=1):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


class DeadLogits(nn.Module):
    """A ReLU on logits that are all negative: zero for every image, and no gradient."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU())
        nn.init.constant_(self.body[1].bias, -100.0)

    def forward(self, images):
        return self.body(images)


class Recorder(list):
    """Batches that remember which epochs they were asked for."""

    def set_epoch(self, epoch):
        self.epochs = [*getattr(self, "epochs", []), epoch]


class Interrupting(list):
    """Batches that raise after so many steps, counted over all epochs."""

    def __init__(self, batches, after, error=KeyboardInterrupt):
        super().__init__(batches)
        self.after, self.error = after, error

    def __iter__(self):
        for batch in super().__iter__():
            if self.after == 0:
                raise self.error
            self.after -= 1
            yield batch


def train(model, batches=None, validation=None, **changes):
    """`fit` with the settings of most tests."""
    batches = make_batches() if batches is None else batches
    return fit(model, batches, validation, **{"epochs": 1, "learning_rate": 0.05, **changes})


def train_by_hand(model, batches, optimizer, peaks=None):
    for step, (images, labels) in enumerate(batches):
        for group, peak in zip(optimizer.param_groups, peaks or [], strict=False):
            group["lr"] = peak * training.one_cycle(step, len(batches))
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()


def same_weights(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(v, w) for (a, v), (b, w) in pairs)


def interrupt(*_):
    raise KeyboardInterrupt


# --- the loop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_fit_is_the_plain_loop_bit_for_bit(name, channels_last):
    batches = make_batches(600)  # the last batch is smaller
    model, plain = make_network(), make_network()
    history = fit(
        model, batches, epochs=2, learning_rate=0.05, optimizer=name, momentum=0.8,
        weight_decay=1e-3, label_smoothing=0.1, channels_last=channels_last, seed=3,
    )  # fmt: skip

    torch.manual_seed(3)
    if name == "sgd":
        optimizer = torch.optim.SGD(plain.parameters(), 0.05, momentum=0.8, weight_decay=1e-3)
    else:
        optimizer = torch.optim.AdamW(plain.parameters(), 0.05, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.05, total_steps=20, cycle_momentum=False
    )
    layout = torch.channels_last if channels_last else torch.contiguous_format
    plain.to(memory_format=layout)
    losses, right = [], []
    for _ in range(2):
        losses.clear(), right.clear()
        for images, labels in batches:
            logits = plain(images.contiguous(memory_format=layout))
            loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            # fit and torch compute the cosine in another order: equal to the last bits only.
            assert optimizer.param_groups[0]["lr"] == pytest.approx(
                0.05 * training.one_cycle(schedule.last_epoch, 20), rel=1e-9
            )
            optimizer.param_groups[0]["lr"] = 0.05 * training.one_cycle(schedule.last_epoch, 20)
            optimizer.step()
            if schedule.last_epoch < 19:
                schedule.step()
            losses.append(loss.item() * len(labels))
            right.append((logits.argmax(1) == labels).sum().item())
    assert same_weights(model, plain)
    assert history.train_loss[-1] == pytest.approx(sum(losses) / 600, rel=1e-6)
    assert history.train_accuracy[-1] == sum(right) / 600
    assert not model.training


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 37, 1000])
def test_one_cycle_is_torchs(steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.3, total_steps=steps, cycle_momentum=False
    )
    for step in range(steps):
        expected = pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        assert 0.3 * training.one_cycle(step, steps) == expected
        optimizer.step()
        if step < steps - 1:
            schedule.step()
    assert training.one_cycle(steps + 2, steps) == pytest.approx(4e-6)  # it stays low


def test_constant_schedule_and_recorded_rates():
    assert train(make_linear(), epochs=2, schedule="constant").learning_rate == [0.05, 0.05]
    expected = [0.05 * training.one_cycle(step, 20) for step in (9, 19)]
    assert train(make_linear(), epochs=2).learning_rate == pytest.approx(expected)


def test_label_smoothing_by_hand():
    images, labels = make_images(64)
    model = make_linear()
    with torch.no_grad():
        log_p = model(images).log_softmax(1)
    by_hand = -(0.8 * log_p[range(64), labels].mean() + 0.2 * log_p.mean())
    history = train(model, [(images, labels)], learning_rate=1e-9, label_smoothing=0.2)
    assert history.train_loss[0] == pytest.approx(by_hand.item(), rel=1e-6)


def test_it_learns_and_reports():
    validation = make_batches(300, seed=1)
    model = make_network()
    history = train(model, None, validation, epochs=4, learning_rate=0.1, seed=0)
    assert history.status == "finished" and history.message == ""
    assert history.epochs == [1, 2, 3, 4]
    assert history.validation_accuracy[-1] > 0.3 > 3 * history.train_accuracy[0] / 2 - 0.3
    last = (history.validation_loss[-1], history.validation_accuracy[-1])
    assert evaluate(model, validation)[:2] == last
    assert all(s > 0 for s in history.seconds)
    assert re.fullmatch(
        r"epoch 4/4: train loss \d\.\d{3}, train accuracy \d+\.\d%, "
        r"validation accuracy \d+\.\d%, \d+\.\d s an epoch",
        str(history),
    )
    assert repr(history) == str(history)
    again = History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert again == history and str(again) == str(history)


def test_epochs_are_announced_to_the_batches():
    batches = Recorder(make_batches())
    train(make_linear(), batches, epochs=3)
    assert batches.epochs == [0, 1, 2]


def test_seed_fixes_dropout_but_not_the_weights():
    models = [make_network(), make_network(), make_network(), make_network(seed=2)]
    models[1].eval()  # fit does not mind
    for model, seed in zip(models, (5, 5, 6, 5), strict=True):
        train(model, seed=seed)
    assert [same_weights(models[0], m) for m in models] == [True, True, False, False]


def test_gradient_scaling_changes_nothing(monkeypatch, tmp_path):
    """The scale is a power of two, so that float32 shows whether it is taken out again."""
    plain, scaled, resumed = make_network(), make_network(), make_network()
    options = dict(epochs=2, seed=0)
    train(plain, **options)
    monkeypatch.setattr(device, "precision", lambda *_: Precision("cpu", None, scale=True))
    train(scaled, **options)
    assert same_weights(plain, scaled)
    path = tmp_path / "scaled.pt"
    train(make_network(), Interrupting(make_batches(), 13), **options, checkpoint=path)
    assert torch.load(path, weights_only=True)["scaler"]["_growth_tracker"] == 10
    train(resumed, **options, checkpoint=path)
    assert same_weights(plain, resumed)
    assert torch.load(path, weights_only=True)["scaler"]["_growth_tracker"] == 20


def test_bfloat16_is_for_the_network_and_float32_for_its_loss():
    dtypes = []
    model = make_network()
    model[-1].register_forward_hook(lambda m, i, output: dtypes.append(output.dtype))
    history = train(model, make_batches(64), precision="bfloat16", schedule="constant")
    assert dtypes == [torch.bfloat16]
    assert all(p.dtype == torch.float32 for p in model.parameters())
    fresh, (images, labels) = make_network().eval(), make_batches(64)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        logits = fresh(images)
    assert predict(fresh, [(images, labels)], precision="bfloat16")[0].equal(logits.float())
    loss = F.cross_entropy(logits.double(), labels).item()
    result = evaluate(fresh, [(images, labels)], precision="bfloat16")
    assert result.loss == pytest.approx(loss, rel=1e-6)
    assert history.status == "finished"


def test_compile_trains_the_compiled_network(monkeypatch):
    calls = []

    class Compiled(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, images):
            calls.append((len(images), self.training))
            return self.model(images)

    monkeypatch.setattr(torch, "compile", Compiled)
    model, plain = make_network(), make_network()
    train(model, None, make_batches(100), compile=True, seed=0)
    train(plain, seed=0)
    assert calls == [(64, True)] * 10
    assert same_weights(model, plain)


def test_memory_format_is_put_back_and_chosen():
    model = make_network()
    model[0] = nn.Conv2d(2, 4, 3)
    strides = []
    model[0].register_forward_pre_hook(lambda m, inputs: strides.append(inputs[0].stride()))
    wide = [(images.repeat(1, 2, 1, 1), labels) for images, labels in make_batches()]
    for channels_last, stride in ((True, (128, 1, 16, 2)), (False, (128, 64, 8, 1))):
        strides.clear()
        train(model, wide, channels_last=channels_last)
        assert set(strides) == {stride}
        assert all(p.is_contiguous() for p in model.parameters())
    cpu, gpu, half = torch.device("cpu"), torch.device("cuda"), torch.float16
    assert place.prefers_channels_last(model, cpu, None) == torch.backends.mkldnn.is_available()
    assert place.prefers_channels_last(model, gpu, half)
    assert not place.prefers_channels_last(model, gpu, None)
    assert not place.prefers_channels_last(make_linear(), gpu, half)
    model.append(nn.LocalResponseNorm(5))
    assert not place.prefers_channels_last(model, cpu, None)


def test_repeatable_algorithms_are_switched_on_for_the_run_only():
    def settings():
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
            torch.utils.deterministic.fill_uninitialized_memory,
        )

    before = settings()
    with pytest.raises(KeyError), place.repeatable_algorithms(True):
        assert settings() == (True, True, True, False, False) != before
        raise KeyError
    model = make_network()
    with place.Place(model, "cpu").prepared(model, repeatable=True):
        assert settings() == before  # a CPU needs none of it


def test_an_optimizer_made_outside():
    def sgd(model):
        bias = {"params": [model[1].bias], "lr": 0.5}
        return torch.optim.SGD([{"params": [model[1].weight]}, bias], lr=0.1)

    model, plain = make_linear(), make_linear()
    own = sgd(model)
    train(model, epochs=2, learning_rate=None, optimizer=own)
    assert [group["lr"] for group in own.param_groups] == [0.1, 0.5]
    train_by_hand(plain, make_batches() * 2, sgd(plain), peaks=[0.1, 0.5])
    assert same_weights(model, plain)
    train(model, learning_rate=0.01, optimizer=own)
    assert [group["lr"] for group in own.param_groups] == [0.01, 0.01]
    with pytest.raises(ValueError, match="another network"):
        train(make_linear(), optimizer=own)


# --- evaluate and predict -------------------------------------------------------------------------


def test_evaluate_and_predict_are_exact_and_leave_no_trace():
    model = make_network()
    model[1].eval()  # one part frozen, the rest in training mode
    modes = [m.training for m in model.modules()]
    buffers = copy.deepcopy(dict(model.named_buffers()))
    images, labels = make_images(333)
    batches = make_batches(333, 100)
    result = evaluate(model, batches)
    logits, predicted_labels = predict(model, batches)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert all(p.grad is None for p in model.parameters()) and not logits.requires_grad

    with torch.no_grad():
        expected = copy.deepcopy(model).eval()(images)
    torch.testing.assert_close(logits, expected)
    assert torch.equal(predicted_labels, labels)
    loss = F.cross_entropy(expected.double(), labels).item()
    assert result.loss == pytest.approx(loss, rel=1e-6)
    assert result.accuracy == (expected.argmax(1) == labels).sum().item() / 333
    assert result.images == 333
    assert str(result) == f"loss {loss:.3f}, accuracy {result.accuracy:.1%} on 333 images"
    for use in (evaluate, predict):
        with pytest.raises(ValueError, match="empty"):
            use(model, [])


def test_modes_are_put_back_after_an_error():
    model = make_network()
    with pytest.raises(RuntimeError):
        evaluate(model, [(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))])
    assert all(m.training for m in model.modules())


# --- runs that do not learn -----------------------------------------------------------------------


def test_divergence_restores_the_last_good_epoch(capsys):
    class Poisoned(Recorder):
        def __iter__(self):
            for images, labels in super().__iter__():
                yield images * (math.nan if self.epochs[-1] == 1 else 1), labels

    one_epoch, model = make_network(), make_network()
    options = dict(schedule="constant", seed=0, progress=False)
    train(one_epoch, **options)
    history = train(model, Poisoned(make_batches()), epochs=3, **options)
    assert history.status == "diverged"
    assert history.epochs == [1] and len(history.train_loss) == 1
    assert same_weights(model, one_epoch)
    assert "epoch 2 of 3: by step 11 of the run the loss was nan" in history.message
    assert "the weights again that it had at the end of epoch 1" in history.message
    assert capsys.readouterr().out == history.message + "\n"
    json.dumps(history.to_dict(), allow_nan=False)


def test_divergence_of_the_learning_rate_in_the_first_epoch():
    model = make_linear()
    history = train(model, epochs=2, learning_rate=1e38, progress=False)
    assert history.status == "diverged" and history.epochs == []
    assert same_weights(model, make_linear())
    assert "learning rate" in history.message and "before the run" in history.message
    assert str(history) == "no epoch finished (diverged)"


def test_weights_that_break_in_the_last_step_are_noticed():
    model = make_linear()
    batches = [(images * 1000, labels) for images, labels in make_batches(64)]
    history = train(model, batches, learning_rate=1e38, schedule="constant")
    assert history.status == "diverged"
    assert same_weights(model, make_linear())


def test_a_stuck_run_is_stopped_and_diagnosed(capsys):
    long = make_batches() * 10
    history = train(DeadLogits(), long, epochs=4, progress=False)
    assert history.status == "stuck" and history.epochs == [1]
    assert history.train_loss == [pytest.approx(math.log(10))]
    assert "ln 10 = 2.303" in history.message
    assert diagnosis.explain(DeadLogits(), *make_images(64))[:60] in history.message
    assert capsys.readouterr().out == history.message + "\n"
    # Not before 100 steps, and not if told so.
    assert train(DeadLogits(), epochs=2).status == "finished"
    history = train(DeadLogits(), long, epochs=2, stop_when_stuck=False)
    assert (history.status, history.epochs) == ("finished", [1, 2])


@pytest.mark.parametrize(
    ("epochs", "rate", "status", "done"),
    [(9, 1e-9, "stuck", 5), (3, 1e-9, "stuck", 3), (1, 0.05, "finished", 1)],
)
def test_a_slow_start_is_not_stopped_at_once(epochs, rate, status, done):
    hesitant = make_linear()
    with torch.no_grad():
        hesitant[1].weight.mul_(1e-2), hesitant[1].bias.zero_()
    history = train(hesitant, make_batches() * 10, epochs=epochs, learning_rate=rate)
    assert (history.status, len(history.epochs)) == (status, done)


def test_a_diagnosis_that_fails_does_not_cost_the_history(monkeypatch):
    def fail(*_):
        raise ValueError("no idea")

    monkeypatch.setattr(diagnosis, "cause", fail)
    history = train(DeadLogits(), make_batches() * 10, epochs=2)
    assert history.status == "stuck" and "no idea" in history.message


def test_ctrl_c_keeps_history_and_weights(capsys):
    model, plain = make_linear(), make_linear()
    options = dict(epochs=3, schedule="constant", progress=False)
    history = train(model, Interrupting(make_batches(), 14), **options)
    assert history.status == "interrupted" and history.epochs == [1]
    assert "with 1 of 3 epochs done" in history.message
    assert capsys.readouterr().out == history.message + "\n"
    optimizer = torch.optim.SGD(plain.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    train_by_hand(plain, make_batches() + make_batches()[:4], optimizer)
    assert same_weights(model, plain)


# --- exact resume ---------------------------------------------------------------------------------


class NoisyLoader(torch.utils.data.DataLoader):
    """Draws on every source of random numbers: torch (order), NumPy and Python (noise)."""

    def __iter__(self):
        for images, labels in super().__iter__():
            yield images + np.random.normal() * 0.1 + random.random() * 0.1, labels


def make_noisy_loader(generator=None, kind=NoisyLoader):
    dataset = torch.utils.data.TensorDataset(*make_images())
    return kind(dataset, 64, shuffle=True, generator=generator)


class Crash(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("own_generator", [False, True])
def test_a_crashed_run_ends_with_the_same_weights(tmp_path, optimizer, own_generator):
    class Crashing(NoisyLoader):
        left = 0

        def __iter__(self):
            for batch in super().__iter__():
                if Crashing.left == 0:
                    raise Crash
                Crashing.left -= 1
                yield batch

    def run(model, kind=NoisyLoader, **options):
        loader = make_noisy_loader(
            torch.Generator().manual_seed(7) if own_generator else None, kind
        )
        validation = make_batches(100)
        return train(model, loader, validation, epochs=3, optimizer=optimizer, seed=4, **options)

    whole, model = make_network(), make_network()
    reference = run(whole)
    path = tmp_path / "deep" / "run.pt"
    for Crashing.left in (3, 11, 12, 9):
        with pytest.raises(Crash):
            run(make_network(), Crashing, checkpoint=path)
    history = run(model, checkpoint=path)
    assert same_weights(whole, model)
    history.seconds = reference.seconds
    assert history == reference and history.status == "finished"


def test_a_finished_run_returns_at_once(tmp_path, capsys, monkeypatch):
    path = tmp_path / "run.pt"
    model, again = make_network(), make_network(seed=9)
    history = train(model, epochs=2, checkpoint=path)
    untouched = Interrupting(make_batches(), 0, AssertionError)
    for under_pytest, printed in (("0", f"From {path}: {history}\n"), ("1", "")):
        monkeypatch.setenv("COURSE_UNDER_PYTEST", under_pytest)
        assert train(again, untouched, epochs=2, checkpoint=path) == history
        assert same_weights(model, again) and not again.training
        assert capsys.readouterr().out == printed


def test_ctrl_c_then_the_same_call(tmp_path):
    whole, model = make_network(), make_network()
    train(whole, epochs=3, seed=1)
    options = dict(epochs=3, seed=1, checkpoint=tmp_path / "run.pt")
    history = train(model, Interrupting(make_batches(), 17), **options)
    assert history.status == "interrupted" and str(tmp_path / "run.pt") in history.message
    assert train(model, **options).status == "finished" and same_weights(whole, model)


@pytest.mark.parametrize("write, epochs", [(2, 3), (3, 2), (3, 3)])  # 1 is before the first epoch
def test_ctrl_c_while_the_checkpoint_is_written(tmp_path, monkeypatch, capsys, write, epochs):
    path = tmp_path / "run.pt"
    whole, model, resumed = make_network(), make_network(), make_network()
    options = dict(epochs=epochs, seed=1, progress=False)
    train(whole, **options)
    replace, writes = os.replace, []

    def interrupt_one(*files):
        writes.append(files)
        if len(writes) == write:
            raise KeyboardInterrupt
        replace(*files)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt_one)
        history = train(model, **options, checkpoint=path)
    in_file = checkpoints.read_file(path)["history"]["epochs"]
    over = write > epochs
    assert len(history.epochs) == write - 1 and len(in_file) == write - 2
    assert history.status == ("finished" if over else "interrupted")
    assert f"from the start of epoch {write - 1}, from {path}" in history.message
    assert over or f"with {write - 1} of {epochs} epochs done" in history.message
    assert capsys.readouterr().out == history.message + "\n"
    assert same_weights(model, whole) is over
    assert train(resumed, **options, checkpoint=path).status == "finished"
    assert same_weights(resumed, whole)


def test_ctrl_c_while_a_stuck_run_is_written(tmp_path, monkeypatch, capsys):
    class Stopping(list):
        def __iter__(self):
            yield from super().__iter__()
            monkeypatch.setattr(os, "replace", interrupt)

    path = tmp_path / "run.pt"
    history = train(DeadLogits(), Stopping(make_batches() * 10), epochs=2, checkpoint=path)
    assert history.status == "stuck" and history.message.startswith("After epoch 1 of 2")
    assert f"from the start of epoch 1, from {path}" in history.message
    assert capsys.readouterr().out == history.message + "\n"


def test_ctrl_c_in_the_last_moment_of_a_run_that_is_stored(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bar.Bar, "finish_epoch", interrupt)
    history = train(make_linear(), checkpoint=tmp_path / "run.pt")
    assert (history.status, history.message, capsys.readouterr().out) == ("finished", "", "")


def test_a_stuck_run_goes_on_if_told_so(tmp_path):
    options = dict(epochs=2, checkpoint=tmp_path / "run.pt")
    batches = make_batches() * 10
    assert train(DeadLogits(), batches, **options).status == "stuck"
    assert train(DeadLogits(), [()] * 100, **options).status == "stuck"
    history = train(DeadLogits(), batches, **options, stop_when_stuck=False)
    assert (history.status, history.epochs) == ("finished", [1, 2])


# --- whose checkpoint it is -----------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path):
    path = tmp_path / "run.pt"
    model = make_network()
    train(model, checkpoint=path)
    return path, model


def test_checkpoints_of_other_networks(finished):
    path, model = finished
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"Sequential \(1,498 parameters\).*650.*1.weight"):
        load_weights(make_linear(), path)
    named, smooth = make_network(), make_network()
    named.name = "other"
    smooth[2] = nn.Sigmoid()
    for other, message in (
        (make_linear(), "first difference"),
        (named, "but this one is other"),
        (smooth, "2: ReLU there, Sigmoid here"),
    ):
        with pytest.raises(CheckpointError, match=message):
            train(other, checkpoint=path)
    assert same_weights(load_weights(named, path), model)  # the weights alone do fit
    assert path.read_bytes() == before


CONV, NORM = {"stride", "dilation", "padding_mode"}, {"eps", "momentum"}


class Varied(nn.Module):
    """A network in which everything can be changed that leaves layers and weights what they are."""

    def __init__(self, shortcut=True, rate=0.3, functional_rate=0.3, scale=1.0, groups=2, **change):
        super().__init__()
        torch.manual_seed(1)
        convolution = {k: change.pop(k) for k in CONV & change.keys()}
        self.conv = nn.Conv2d(1, 4, 3, padding=change.pop("padding", 1), **convolution)
        self.norm = nn.BatchNorm2d(4, **{k: change.pop(k) for k in NORM & change.keys()})
        self.slope = nn.LeakyReLU(change.pop("negative_slope", 0.01))
        self.pool = nn.MaxPool2d(change.pop("kernel_size", 2), stride=2)
        self.mix = nn.Conv2d(4, 4, 1)
        self.drop = nn.Dropout(rate)
        self.channels = nn.ChannelShuffle(groups)
        self.linear = nn.Linear(4, 10)
        self.shortcut, self.rate, self.scale = shortcut, functional_rate, scale
        self.order = change.pop("order", False)
        assert not change

    def forward(self, x):
        x = self.pool(self.slope(self.norm(self.conv(x))))
        self.maps = x  # a learner looks at them later
        if self.order:
            mixed = self.mix(self.channels(x))
        else:
            mixed = self.channels(self.mix(x))
        x = x + mixed if self.shortcut else mixed
        x = F.dropout(x, self.rate, self.training)
        return self.linear(self.drop(x).mean((2, 3))) * self.scale


CHANGES = [
    ({"stride": 2}, r"conv: Conv2d.*stride=\(1, 1\).* there, Conv2d.*stride=\(2, 2\).* here"),
    ({"padding": 0}, "conv: Conv2d"),
    ({"padding_mode": "reflect"}, "conv: Conv2d"),
    ({"dilation": 2}, "conv: Conv2d"),
    ({"eps": 1e-6}, "norm: BatchNorm2d"),
    ({"momentum": 0.2}, "norm: BatchNorm2d"),
    ({"negative_slope": 0.1}, "slope: LeakyReLU"),
    ({"kernel_size": 3}, "pool: MaxPool2d"),
    ({"rate": 0.4}, r"drop: Dropout\(p=0.3\) there, Dropout\(p=0.4\) here"),
    ({"functional_rate": 0.4}, "its forward gives other numbers"),
    ({"shortcut": False}, "its forward gives other numbers"),
    ({"scale": 1.001}, "its forward gives other numbers"),
    ({"order": True}, "its forward gives other numbers"),
    ({"groups": 4}, "channels: ChannelShuffle"),
]


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    path = tmp_path_factory.mktemp("varied") / "run.pt"
    model = Varied()
    return path, train(model, make_batches(128), checkpoint=path), model


@pytest.mark.parametrize("change, message", CHANGES)
def test_a_network_that_computes_otherwise_is_another_run(varied, change, message):
    path, _, _ = varied
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=f"{message}.*another file name") as caught:
        train(Varied(**change), make_batches(128), checkpoint=path)
    assert str(caught.value).count("\n") == 0
    assert path.read_bytes() == before


def test_frozen_weights_are_another_run(varied):
    model = Varied()
    model.mix.requires_grad_(False)
    with pytest.raises(CheckpointError, match=r"mix.bias are frozen here alone"):
        train(model, make_batches(128), checkpoint=varied[0])


def test_images_that_the_changed_network_cannot_take_are_another_run(tmp_path):
    def network(stride):
        return nn.Sequential(nn.Conv2d(1, 4, 3, stride=stride), nn.Flatten(), nn.Linear(144, 10))

    path = tmp_path / "run.pt"
    train(network(1), checkpoint=path)
    with pytest.raises(CheckpointError, match="computes otherwise: the first difference is 0: "):
        train(network(2), checkpoint=path)


class Stubborn(Varied):
    """A network that computes in single precision, whatever it is given."""

    def forward(self, x):
        return super().forward(x.float())


class Chancy(nn.Module):
    """A block that is left out by chance, one whose gradient can be cut, and a limit."""

    def __init__(self, rate=0.2, cut=False, limit=6.0):
        super().__init__()
        self.one, self.two, self.last = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 10)
        self.rate, self.cut, self.limit = rate, cut, limit

    def forward(self, x):
        x = self.one(x.flatten(1))
        if not (self.training and torch.rand(()) < self.rate):
            x = (x.detach() if self.cut else x) + self.two(x)
        return self.last(x.clamp(max=self.limit))


@pytest.mark.parametrize(
    "kind, change",
    [
        (Stubborn, {"shortcut": False}),
        (Chancy, {"rate": 0.4}),
        (Chancy, {"cut": True}),
        (Chancy, {"limit": 20.0}),
    ],
)
def test_what_two_images_in_double_precision_do_not_show_is_another_run(kind, change):
    saved = behaviour.behaviour(kind(), (1, 8, 8))
    assert saved["answers"] and not behaviour.difference(saved, kind())
    assert ("gradients" in saved["more"]) == (kind is Chancy)  # they need double precision
    assert "its forward gives other numbers" in behaviour.difference(saved, kind(**change))
    del saved["more"]  # of an older course, which saw less
    assert kind is Stubborn or not behaviour.difference(saved, kind(**change))
    saved["answers"] = {}
    assert not behaviour.difference(saved, kind(**change))


class Closure(nn.Module):
    """Uses layers that a copy of it does not copy."""

    def __init__(self):
        super().__init__()
        self.inner = make_network()
        inner = self.inner
        self.forward = lambda x: inner(x)


def weight_normed():
    model = make_network()
    nn.utils.parametrizations.spectral_norm(model[0])
    nn.utils.parametrizations.weight_norm(model[5])
    return model


class Scalars(nn.Module):
    """Hand-written batch norm, a weight of no dimension, noise of a generator of its own."""

    def __init__(self):
        super().__init__()
        self.linear, self.scale = nn.Linear(64, 10), nn.Parameter(torch.tensor(1.0))
        self.register_buffer("moving_mean", torch.zeros(10))
        self.register_buffer("index", torch.arange(10), persistent=False)
        self.generator = torch.Generator()

    def forward(self, x):
        x = self.linear(x.flatten(1))[:, self.index]
        if self.training:
            self.moving_mean = 0.9 * self.moving_mean + 0.1 * x.mean(0).detach()
            x = x + torch.rand((), generator=self.generator)
        return (x - self.moving_mean) * self.scale


def inplace():
    model = make_network()
    model[2] = nn.ReLU(inplace=True)
    return model


def last_channels():
    return make_network().to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "first, second",
    [
        (make_network, inplace),
        (make_network, last_channels),
        (Varied, Varied),
        (Closure, Closure),
        (weight_normed, weight_normed),
        (Scalars, Scalars),
        (lambda: make_network(seed=1), lambda: make_network(seed=2)),
    ],
    ids=["inplace", "channels_last", "maps", "closure", "weight_norm", "scalars", "seed"],
)
@pytest.mark.parametrize("trained", [True, False])
def test_the_same_network_goes_on(tmp_path, first, second, trained):
    """Also one that was trained since: training changes nothing of what makes it the same."""
    options = dict(checkpoint=tmp_path / "run.pt", epochs=2)
    batches = Interrupting(make_batches(128), 3)
    model = first()
    assert train(model, batches, **options).epochs == [1]
    again = model if trained and first is second else second()
    assert train(again, make_batches(128), **options).epochs == [1, 2]
    assert train(second(), make_batches(128), **options).epochs == [1, 2]


def test_to_know_a_network_again_leaves_no_trace(varied):
    path, _, model = varied
    seen = []
    model.mix.register_forward_hook(lambda *_: seen.append(1))
    maps, weights = model.maps, {k: v.clone() for k, v in model.state_dict().items()}
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert checkpoints.read_file(path)["behaviour"]["answers"]
    assert not behaviour.difference(checkpoints.read_file(path)["behaviour"], model)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())
    assert not seen and model.maps is maps
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items())


def test_wrapped_networks_are_known_again(varied):
    saved = checkpoints.read_file(varied[0])["behaviour"]
    for wrapped in (nn.DataParallel(Varied()), torch.compile(Varied())):
        assert not behaviour.difference(saved, wrapped)
    parts = [Varied(), Varied(), Varied(shortcut=False)]
    for part in parts:
        part.mix = torch.compile(part.mix, backend=interrupt)  # is not called
    saved = behaviour.behaviour(parts[0], (1, 8, 8))
    assert saved["answers"] and not behaviour.difference(saved, parts[1])
    assert behaviour.difference(saved, parts[2])


def test_rounding_is_no_difference(varied):
    saved = checkpoints.read_file(varied[0])["behaviour"]
    for numbers in saved["answers"].values():
        numbers += 1e-9 * torch.randn_like(numbers)
    assert not behaviour.difference(saved, Varied())


def test_a_run_of_an_older_course_goes_on(tmp_path):
    options = dict(checkpoint=tmp_path / "run.pt")
    history = train(make_network(), **options)
    content = checkpoints.read_file(options["checkpoint"])
    del content["behaviour"]
    checkpoints.write_file(options["checkpoint"], content)
    assert train(make_network(), **options) == history


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("epochs 1 there and 2 here", dict(epochs=2)),
        ("learning_rate 0.05 there and 0.1 here", dict(learning_rate=0.1)),
        ("seed None there and 3 here", dict(seed=3)),
        ("optimizer sgd there and adamw here", dict(optimizer="adamw")),
        ("train_steps 10 there and 5 here", dict(batches=make_batches(320))),
    ],
)
def test_checkpoints_of_other_settings(finished, message, change):
    path, _ = finished
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=f"other settings .{message}.*another file name"):
        train(make_network(), checkpoint=path, **change)
    assert path.read_bytes() == before


def test_files_that_hold_no_run(finished, tmp_path):
    _, model = finished
    weights, fresh = tmp_path / "weights.pt", make_network(seed=8)
    training.save_checkpoint(weights, model)
    with pytest.raises(CheckpointError, match="no run to go on with"):
        train(make_network(), checkpoint=weights)
    assert load_weights(fresh, weights) is fresh and same_weights(fresh, model)
    torch.save(model.state_dict(), weights)
    for path, message in (
        (weights, "not a checkpoint of this course"),
        (tmp_path / "nowhere.pt", "There is no checkpoint"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_weights(fresh, path)


class Dataset(Recorder):
    """Batches with what those of `utils.data` tell about themselves."""

    def __init__(self):
        super().__init__(make_batches())
        vars(self).update(seed=0, dataset="mnist", shuffle=True, labels=torch.zeros(640))


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("train_seed 0 there and 1 here", {"seed": 1}),
        ("train_dataset mnist there and fashion_mnist here", {"dataset": "fashion_mnist"}),
        ("train_shuffle True there and False here", {"shuffle": False}),
        ("train_images 640 there and 639 here", {"labels": torch.zeros(639)}),
    ],
)
def test_a_checkpoint_belongs_to_its_batches(tmp_path, message, change):
    options = dict(checkpoint=tmp_path / "run.pt")
    history, others = train(make_linear(), Dataset(), **options), Dataset()
    assert train(make_linear(), Dataset(), **options) == history
    vars(others).update(change)
    with pytest.raises(CheckpointError, match=f"other settings .{message}.*another file name"):
        train(make_linear(), others, **options)


def test_batches_of_the_course_tell_what_they_are(tmp_path):
    path = tmp_path / "run.pt"

    def run(seed):
        batches = data.load(train_images=100, batch_size=50, device="cpu", seed=seed).train
        return train(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), batches, checkpoint=path)

    assert run(seed=0) == run(seed=0)
    with pytest.raises(CheckpointError, match="train_seed 0 there and 1 here"):
        run(seed=1)
    settings = checkpoints.read_file(path)["settings"]
    assert (settings["train_dataset"], settings["train_images"]) == ("fashion_mnist", 100)
    assert settings["train_shuffle"] is True


def own_loader(images, labels, **_):
    return DataLoader(TensorDataset(images.float(), labels), batch_size=64)


@pytest.mark.parametrize("make", [data.Batches, own_loader])
def test_other_data_of_the_same_kind_are_another_run(tmp_path, make):
    images, labels = (255 * torch.rand(128, 1, 8, 8)).byte(), torch.arange(128) % 10
    path = tmp_path / "run.pt"

    def run(images=images, labels=labels, mean=0.2):
        batches = make(images, labels, batch_size=64, mean=[mean], std=[0.3], device="cpu")
        return train(make_linear(), batches, checkpoint=path, stop_when_stuck=False)

    history = run()
    assert run() == history
    changes = [{"images": images.flip(0)}, {"labels": 9 - labels}, {"mean": 0.8}]
    for change in changes if make is data.Batches else changes[:2]:
        with pytest.raises(CheckpointError, match=r"other training data.*another file name"):
            run(**change)
    content = checkpoints.read_file(path)
    del content["data"]  # of an older course
    checkpoints.write_file(path, content)
    assert run(labels=9 - labels) == history


def test_a_checkpoint_that_cannot_be_written_is_noticed_before_training(tmp_path):
    (tmp_path / "file").touch()
    untouched = Interrupting(make_batches(), 0, AssertionError)
    with pytest.raises(CheckpointError, match="could not be written"):
        train(make_linear(), untouched, checkpoint=tmp_path / "file" / "run.pt")


def test_numbers_from_numpy_are_plain_numbers_in_the_checkpoint(tmp_path):
    options = dict(
        learning_rate=np.float64(0.1), momentum=np.float32(0.5), seed=np.int64(3),
        weight_decay=np.float64(1e-3), checkpoint=tmp_path / "run.pt",
    )  # fmt: skip
    history = train(make_linear(), **options)
    assert train(make_linear(), **options) == history


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "match, change",
    [
        ("epochs should be a whole number", dict(epochs=0)),
        ("epochs should be a whole number", dict(epochs=1.5)),
        ("learning_rate should be a number above 0", dict(learning_rate=0)),
        ("learning_rate should be a number above 0", dict(learning_rate=None)),
        ("learning_rate should be a number above 0", dict(learning_rate=math.nan)),
        ("momentum should be a number at least 0 and below 1", dict(momentum=1)),
        ("weight_decay", dict(weight_decay=-1)),
        ("label_smoothing", dict(label_smoothing=1.0)),
        ('optimizer should be "sgd", "adamw"', dict(optimizer="adam")),
        ("schedule should be one of 'one_cycle', 'constant'", dict(schedule="cosine")),
        ("channels_last should be one of", dict(channels_last="yes")),
        ("progress should be one of", dict(progress="bar")),
        ("cannot train in 'float8'", dict(precision="float8")),
        ("'tpu' is not a device", dict(device="tpu")),
        ("train has no batches", dict(batches=[])),
        ("validation has no batches", dict(validation=[])),
        ("train should be batches with a len", dict(batches=iter([]))),
        ("with brackets", dict(model=nn.Linear)),
        ("no parameters to train", dict(model=nn.Flatten())),
        ("lazy layers", dict(model=nn.Sequential(nn.Flatten(), nn.LazyLinear(10)))),
        ("A seed is an integer", dict(seed=-1)),
    ],
)
def test_arguments_that_make_no_sense(match, change):
    with pytest.raises(ValueError, match=match):
        train(**{"model": make_linear(), "batches": make_batches(64), **change})


def test_a_network_that_has_diverged_before_is_refused():
    model = make_linear()
    with torch.no_grad():
        model[1].weight[3, 3] = math.nan
    with pytest.raises(ValueError, match="not numbers"):
        train(model)


def test_labels_and_logits_that_do_not_fit():
    images, labels = make_images(64)
    for wrong in (labels + 1, labels - 1):
        for use in (train, evaluate):
            with pytest.raises(ValueError, match=r"run from -?\d to \d+, but the network has 10"):
                use(make_linear(), [(images, wrong)])
    for model, *batches, message in (
        (make_linear(), (images, labels), (images, labels + 1), "A label does not fit"),
        (make_linear(), (images, labels.int()), "should be int64"),
        (make_linear(), (images, labels[:, None]), r"shape \(64,\)"),
        (nn.Conv2d(1, 4, 3), (images, labels), r"logits of shape .* not \(64, 4, 6, 6\)"),
    ):
        with pytest.raises(ValueError, match=message):
            train(model, batches)


def test_batches_that_yield_nothing():
    class Empty(list):
        def __len__(self):
            return 3

    with pytest.raises(ValueError, match="batches are empty"):
        train(make_linear(), Empty())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GiB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
@pytest.mark.parametrize("use", [train, evaluate])
def test_out_of_memory_names_a_batch_size_and_lets_go_of_the_memory(error, use):
    """Otherwise the next try, with a smaller batch, would find the memory still full."""
    held = []

    class Greedy(nn.Linear):
        def forward(self, images):
            activations = images * 2
            held.append(weakref.ref(activations))
            raise error

    with pytest.raises(MemoryError, match=r"a batch of 64 images.*batch_size=32") as caught:
        use(Greedy(64, 10), make_batches())
    assert caught.value.__suppress_context__ and caught.value.__context__ is error
    assert held[0]() is None


# --- progress -------------------------------------------------------------------------------------


def test_progress_is_silent_under_pytest_and_when_told(capsys, monkeypatch):
    train(make_linear(), epochs=2)
    monkeypatch.delenv("COURSE_UNDER_PYTEST", raising=False)
    train(make_linear(), epochs=2, progress=False)
    assert capsys.readouterr() == ("", "")


def test_progress_without_a_terminal_is_one_line_an_epoch(capsys, monkeypatch):
    monkeypatch.delenv("COURSE_UNDER_PYTEST", raising=False)
    history = train(make_linear(), epochs=2)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 2 and err == ""
    assert lines[0].startswith("epoch 1/2: train loss") and lines[1] == str(history)


def test_progress_on_a_terminal_is_a_bar_that_disappears(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train(make_linear(), epochs=2, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "/20" in err
    assert err.endswith("\r") and err.rstrip("\r").split("\r")[-1].strip() == ""
