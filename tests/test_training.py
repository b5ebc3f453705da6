"""The training loop, against torch's own parts and hand-written loops; checkpoints, and faults."""

import copy
import errno
import json
import math
import os
import random
import re
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from utils import data, diagnosis, training
from utils.device import Precision
from utils.runs import checkpoints
from utils.training import CheckpointError, History, evaluate, fit, load_weights, predict

ROOT = Path(__file__).resolve().parent.parent


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


class Recorder(list):
    """Batches that remember which epochs they were asked for."""

    def set_epoch(self, epoch):
        self.epochs = [*getattr(self, "epochs", []), epoch]


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


def same_weights(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(v, w) for (a, v), (b, w) in pairs)


# ---------------------------------------------------------------------------------- the loop


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
        assert 0.3 * training.one_cycle(step, steps) == pytest.approx(
            schedule.get_last_lr()[0], rel=1e-9
        )
        optimizer.step()
        if step < steps - 1:
            schedule.step()


def test_one_cycle_stays_low_after_the_planned_steps():
    assert training.one_cycle(12, 10) == training.one_cycle(9, 10) == pytest.approx(4e-6)


def test_constant_schedule_and_recorded_rates():
    history = fit(make_linear(), make_batches(), epochs=2, learning_rate=0.02, schedule="constant")
    assert history.learning_rate == [0.02, 0.02]
    history = fit(make_linear(), make_batches(), epochs=2, learning_rate=0.02)
    assert history.learning_rate == pytest.approx(
        [0.02 * training.one_cycle(9, 20), 0.02 * training.one_cycle(19, 20)]
    )


def test_label_smoothing_by_hand():
    images, labels = make_images(64)
    model = make_linear()
    with torch.no_grad():
        log_p = model(images).log_softmax(1)
    by_hand = -(0.8 * log_p[range(64), labels].mean() + 0.2 * log_p.mean())
    history = fit(model, [(images, labels)], epochs=1, learning_rate=1e-9, label_smoothing=0.2)
    assert history.train_loss[0] == pytest.approx(by_hand.item(), rel=1e-6)


def test_it_learns_and_reports():
    train, validation = make_batches(seed=0), make_batches(300, seed=1)
    model = make_network()
    history = fit(model, train, validation, epochs=4, learning_rate=0.1, seed=0)
    assert history.status == "finished" and history.message == ""
    assert history.epochs == [1, 2, 3, 4]
    assert history.validation_accuracy[-1] > 0.3 > 3 * history.train_accuracy[0] / 2 - 0.3
    assert evaluate(model, validation)[:2] == (
        history.validation_loss[-1],
        history.validation_accuracy[-1],
    )
    assert all(s > 0 for s in history.seconds)
    assert re.fullmatch(
        r"epoch 4/4: train loss \d\.\d{3}, train accuracy 0\.\d{3}, "
        r"validation accuracy 0\.\d{3}, \d+\.\d s an epoch",
        str(history),
    )
    assert repr(history) == str(history)
    again = History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert again == history and str(again) == str(history)


def test_epochs_are_announced_to_the_batches():
    batches = Recorder(make_batches())
    fit(make_linear(), batches, epochs=3, learning_rate=0.01)
    assert batches.epochs == [0, 1, 2]


def test_seed_fixes_dropout_but_not_the_weights():
    batches = make_batches()
    runs = [make_network(), make_network(), make_network(), make_network(seed=2)]
    runs[1].eval()  # fit does not mind
    for model, seed in zip(runs, (5, 5, 6, 5), strict=True):
        fit(model, batches, epochs=1, learning_rate=0.05, seed=seed)
    assert same_weights(runs[0], runs[1])
    assert not same_weights(runs[0], runs[2])
    assert not same_weights(runs[0], runs[3])


def test_gradient_scaling_changes_nothing(monkeypatch, tmp_path):
    """The scale is a power of two, so that float32 shows whether it is taken out again."""
    batches = make_batches()
    plain, scaled, resumed = make_network(), make_network(), make_network()
    arguments = dict(epochs=2, learning_rate=0.05, seed=0)
    fit(plain, batches, **arguments)
    monkeypatch.setattr(
        training.devices, "precision", lambda *_: Precision("cpu", None, scale=True)
    )
    fit(scaled, batches, **arguments)
    assert same_weights(plain, scaled)
    path = tmp_path / "scaled.pt"
    fit(make_network(), Interrupting(batches, 13), **arguments, checkpoint=path)
    assert torch.load(path, weights_only=True)["scaler"]["_growth_tracker"] == 10
    fit(resumed, batches, **arguments, checkpoint=path)
    assert same_weights(plain, resumed)
    assert torch.load(path, weights_only=True)["scaler"]["_growth_tracker"] == 20


def test_bfloat16_computes_the_network_in_bfloat16():
    seen = []
    model = make_network()
    model[-1].register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    history = fit(model, make_batches(), epochs=1, learning_rate=0.05, precision="bfloat16")
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert history.status == "finished"


def test_compile_trains_the_compiled_network(monkeypatch):
    calls = []

    def compiled(model):
        def forward(images):
            calls.append(len(images))
            return model(images)

        forward.train = model.train
        return forward

    monkeypatch.setattr(torch, "compile", compiled)
    model, plain = make_network(), make_network()
    arguments = dict(epochs=1, learning_rate=0.05, seed=0)
    fit(model, make_batches(), make_batches(100), compile=True, **arguments)
    fit(plain, make_batches(), **arguments)
    assert calls == [64] * 10
    assert same_weights(model, plain)


def test_memory_format_is_put_back_and_chosen():
    model = make_network()
    seen = []
    model[0].register_forward_pre_hook(lambda m, i: seen.append(m.weight.stride()))
    wide = [(images.repeat(1, 2, 1, 1), labels) for images, labels in make_batches()]
    model[0] = nn.Conv2d(2, 4, 3)
    model[0].register_forward_pre_hook(lambda m, i: seen.append(i[0].stride()))
    for channels_last, stride in ((True, (128, 1, 16, 2)), (False, (128, 64, 8, 1))):
        seen.clear()
        fit(model, wide, epochs=1, learning_rate=0.01, channels_last=channels_last)
        assert set(seen) == {stride}
        assert all(p.is_contiguous() for p in model.parameters())
    cpu, gpu, half = torch.device("cpu"), torch.device("cuda"), torch.float16
    assert training.prefers_channels_last(model, cpu, None) == torch.backends.mkldnn.is_available()
    assert training.prefers_channels_last(model, gpu, half)
    assert not training.prefers_channels_last(model, gpu, None)
    assert not training.prefers_channels_last(make_linear(), gpu, half)
    model.append(nn.LocalResponseNorm(5))
    assert not training.prefers_channels_last(model, cpu, None)


def test_repeatable_algorithms_are_switched_on_for_the_run_only():
    before = training.repeatable_settings()
    setup = training.Setup(make_network(), "cpu", repeatable=True)
    assert not setup.repeatable  # a CPU needs none of it
    setup.repeatable = True
    with pytest.raises(KeyError), setup:
        assert training.repeatable_settings() == (True, True, True, False, False)
        raise KeyError
    assert training.repeatable_settings() == before != (True, True, True, False, False)


def test_an_optimizer_made_outside():
    batches = make_batches()
    model, plain = make_linear(), make_linear()
    own = torch.optim.SGD(
        [{"params": [model[1].weight]}, {"params": [model[1].bias], "lr": 0.5}], lr=0.1
    )
    fit(model, batches, epochs=2, learning_rate=None, optimizer=own)
    assert [group["lr"] for group in own.param_groups] == [0.1, 0.5]
    theirs = torch.optim.SGD(
        [{"params": [plain[1].weight]}, {"params": [plain[1].bias], "lr": 0.5}], lr=0.1
    )
    for step, (images, labels) in enumerate([*batches, *batches]):
        for group, peak in zip(theirs.param_groups, (0.1, 0.5), strict=True):
            group["lr"] = peak * training.one_cycle(step, 20)
        theirs.zero_grad()
        F.cross_entropy(plain(images), labels).backward()
        theirs.step()
    assert same_weights(model, plain)
    fit(model, batches, epochs=1, learning_rate=0.01, optimizer=own)
    assert [group["lr"] for group in own.param_groups] == [0.01, 0.01]
    with pytest.raises(ValueError, match="another network"):
        fit(make_linear(), batches, epochs=1, learning_rate=0.01, optimizer=own)


# ---------------------------------------------------------------------- evaluate and predict


def test_evaluate_and_predict_are_exact_and_leave_no_trace():
    model = make_network()
    model[1].eval()  # one part frozen, the rest in training mode
    modes = [m.training for m in model.modules()]
    buffers = copy.deepcopy(dict(model.named_buffers()))
    images, labels = make_images(333)
    batches = list(zip(images.split(100), labels.split(100), strict=True))
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
    assert str(result) == f"loss {loss:.3f}, accuracy {result.accuracy:.3f} on 333 images"
    for empty in (evaluate, predict):
        with pytest.raises(ValueError, match="empty"):
            empty(model, [])


def test_modes_are_put_back_after_an_error():
    model = make_network()
    with pytest.raises(RuntimeError):
        evaluate(model, [(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))])
    assert all(m.training for m in model.modules())


# -------------------------------------------------------------------- runs that do not learn


def test_divergence_restores_the_last_good_epoch(capsys):
    good = make_batches()

    class Poisoned(Recorder):
        def __iter__(self):
            for images, labels in super().__iter__():
                yield images * (math.nan if self.epochs[-1] == 1 else 1), labels

    arguments = dict(learning_rate=0.05, schedule="constant", seed=0, progress=False)
    one_epoch, model = make_network(), make_network()
    fit(one_epoch, good, epochs=1, **arguments)
    history = fit(model, Poisoned(good), epochs=3, **arguments)
    assert history.status == "diverged"
    assert history.epochs == [1] and len(history.train_loss) == 1
    assert same_weights(model, one_epoch)
    assert "epoch 2 of 3: by step 11 of the run the loss was nan" in history.message
    assert "the end of epoch 1 again" in history.message
    assert capsys.readouterr().out == history.message + "\n"
    json.dumps(history.to_dict(), allow_nan=False)


def test_divergence_of_the_learning_rate_in_the_first_epoch(capsys):
    model, fresh = make_linear(), make_linear()
    history = fit(model, make_batches(), epochs=2, learning_rate=1e38, progress=False)
    assert history.status == "diverged" and history.epochs == []
    assert same_weights(model, fresh)
    assert "learning rate" in history.message and "before the run" in history.message
    assert str(history) == "no epoch finished (diverged)"


def test_weights_that_break_in_the_last_step_are_noticed():
    model, fresh = make_linear(), make_linear()
    batches = [(images * 1000, labels) for images, labels in make_batches(64)]
    history = fit(model, batches, epochs=1, learning_rate=1e38, schedule="constant")
    assert history.status == "diverged"
    assert same_weights(model, fresh)


class DeadLogits(nn.Module):
    """A ReLU on logits that are all negative: zero for every image, and no gradient."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU())
        nn.init.constant_(self.body[1].bias, -100.0)

    def forward(self, images):
        return self.body(images)


def test_a_stuck_run_is_stopped_and_diagnosed(capsys):
    long, short = make_batches() * 10, make_batches()
    history = fit(DeadLogits(), long, epochs=4, learning_rate=0.05, progress=False)
    assert history.status == "stuck" and history.epochs == [1]
    assert history.train_loss == [pytest.approx(math.log(10))]
    assert "ln 10 = 2.303" in history.message and "ReLU stands on the logits" in history.message
    assert capsys.readouterr().out == history.message + "\n"
    # Not before 100 steps, and not if told so.
    assert fit(DeadLogits(), short, epochs=2, learning_rate=0.05).status == "finished"
    history = fit(DeadLogits(), long, epochs=2, learning_rate=0.05, stop_when_stuck=False)
    assert (history.status, history.epochs) == ("finished", [1, 2])


def test_a_slow_start_is_not_stopped_at_once():
    def hesitant():
        model = make_linear()
        with torch.no_grad():
            model[1].weight.mul_(1e-2), model[1].bias.zero_()
        return model

    batches = make_batches() * 10
    history = fit(hesitant(), batches, epochs=9, learning_rate=1e-9)
    assert (history.status, len(history.epochs)) == ("stuck", 5)
    history = fit(hesitant(), batches, epochs=3, learning_rate=1e-9)
    assert (history.status, len(history.epochs)) == ("stuck", 3)
    assert fit(hesitant(), batches, epochs=1, learning_rate=0.05).status == "finished"


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


def test_ctrl_c_keeps_history_and_weights(capsys):
    model, plain = make_linear(), make_linear()
    arguments = dict(learning_rate=0.05, schedule="constant", progress=False)
    history = fit(model, Interrupting(make_batches(), 14), epochs=3, **arguments)
    assert history.status == "interrupted" and history.epochs == [1]
    assert "with 1 of 3 epochs done" in history.message
    assert capsys.readouterr().out == history.message + "\n"
    steps = make_batches()
    optimizer = torch.optim.SGD(plain.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for images, labels in [*steps, *steps[:4]]:
        optimizer.zero_grad()
        F.cross_entropy(plain(images), labels).backward()
        optimizer.step()
    assert same_weights(model, plain)


# ------------------------------------------------------------------------------ exact resume


class NoisyLoader(torch.utils.data.DataLoader):
    """Draws on every source of random numbers: torch (order), NumPy and Python (noise)."""

    def __iter__(self):
        for images, labels in super().__iter__():
            yield images + np.random.normal() * 0.1 + random.random() * 0.1, labels


def make_noisy_loader(generator=None):
    return NoisyLoader(
        torch.utils.data.TensorDataset(*make_images()), 64, shuffle=True, generator=generator
    )


class Crash(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("own_generator", [False, True])
def test_a_crashed_run_ends_with_the_same_weights(tmp_path, optimizer, own_generator):
    def loader():
        return make_noisy_loader(torch.Generator().manual_seed(7) if own_generator else None)

    arguments = dict(epochs=3, learning_rate=0.05, optimizer=optimizer, seed=4, progress=False)
    whole, model = make_network(), make_network()
    reference = fit(whole, loader(), make_batches(100), **arguments)
    path = tmp_path / "deep" / "run.pt"
    for after in (3, 11, 12, 9):
        batches = loader()
        crashing = copy.copy(batches)
        crashing.__class__ = type("Crashing", (NoisyLoader,), {"__iter__": crash_after(after)})
        with pytest.raises(Crash):
            fit(make_network(), crashing, make_batches(100), **arguments, checkpoint=path)
    history = fit(model, loader(), make_batches(100), **arguments, checkpoint=path)
    assert same_weights(whole, model)
    assert history.train_loss == reference.train_loss
    assert history.validation_loss == reference.validation_loss
    assert history.learning_rate == reference.learning_rate
    assert history.epochs == [1, 2, 3] and history.status == "finished"


def crash_after(steps):
    left = [steps]

    def iterate(self):
        for batch in NoisyLoader.__iter__(self):
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            yield batch

    return iterate


def test_what_a_killed_write_left_behind_is_cleared(finished):
    path, model = finished
    others = {"run.pt.99999.tmp", "run.pt.best.77777.tmp", "other.pt.12345.tmp"}
    for name in ("run.pt.12345.tmp", *others):
        leftover = path.with_name(name)
        leftover.write_bytes(b"half of it")
        if name != "run.pt.99999.tmp":  # a process that is running writes it now
            os.utime(leftover, times=(time.time() - 700,) * 2)
    training.save_checkpoint(path, model)
    assert {file.name for file in path.parent.iterdir()} == {"run.pt", *others}


def test_a_finished_run_returns_at_once(tmp_path, capsys, monkeypatch):
    path = tmp_path / "run.pt"
    model, again = make_network(), make_network(seed=9)
    arguments = dict(epochs=2, learning_rate=0.05, checkpoint=path)
    history = fit(model, make_batches(), **arguments)
    monkeypatch.delenv("COURSE_UNDER_PYTEST", raising=False)
    capsys.readouterr()
    untouched = Interrupting(make_batches(), 0, AssertionError)
    assert fit(again, untouched, **arguments) == history
    assert same_weights(model, again) and not again.training
    assert capsys.readouterr().out == f"From {path}: {history}\n"
    monkeypatch.setenv("COURSE_UNDER_PYTEST", "1")
    fit(again, untouched, **arguments)
    assert capsys.readouterr().out == ""


def test_ctrl_c_then_the_same_call(tmp_path):
    path = tmp_path / "run.pt"
    whole, model = make_network(), make_network()
    arguments = dict(epochs=3, learning_rate=0.05, seed=1)
    fit(whole, make_batches(), **arguments)
    history = fit(model, Interrupting(make_batches(), 17), **arguments, checkpoint=path)
    assert history.status == "interrupted" and str(path) in history.message
    history = fit(model, make_batches(), **arguments, checkpoint=path)
    assert history.status == "finished" and same_weights(whole, model)


@pytest.mark.parametrize("write, epochs", [(2, 3), (3, 2), (3, 3)])  # 1 is before the first epoch
def test_ctrl_c_while_the_checkpoint_is_written(tmp_path, monkeypatch, capsys, write, epochs):
    path = tmp_path / "run.pt"
    whole, model = make_network(), make_network()
    arguments = dict(epochs=epochs, learning_rate=0.05, seed=1, progress=False)
    fit(whole, make_batches(), **arguments)
    replace, writes = os.replace, []

    def interrupt(*files):
        writes.append(files)
        if len(writes) == write:
            raise KeyboardInterrupt
        replace(*files)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        history = fit(model, make_batches(), **arguments, checkpoint=path)
    held = checkpoints.read_file(path)["history"]["epochs"]
    over = write > epochs
    assert len(history.epochs) == write - 1 and len(held) == write - 2
    assert history.status == ("finished" if over else "interrupted")
    assert f"from the start of epoch {write - 1}, from {path}" in history.message
    assert over or f"with {write - 1} of {epochs} epochs done" in history.message
    assert capsys.readouterr().out == history.message + "\n"
    assert same_weights(model, whole) is over
    resumed = make_network()
    assert fit(resumed, make_batches(), **arguments, checkpoint=path).status == "finished"
    assert same_weights(resumed, whole)


def test_ctrl_c_while_a_stuck_run_is_written(tmp_path, monkeypatch, capsys):
    path = tmp_path / "run.pt"

    class Stopping(list):
        def __iter__(self):
            yield from super().__iter__()
            monkeypatch.setattr(os, "replace", interrupt)

    def interrupt(*_):
        raise KeyboardInterrupt

    batches = Stopping(make_batches() * 10)
    history = fit(DeadLogits(), batches, epochs=2, learning_rate=0.05, checkpoint=path)
    assert history.status == "stuck" and history.message.startswith("After epoch 1 of 2")
    assert f"from the start of epoch 1, from {path}" in history.message
    assert capsys.readouterr().out == history.message + "\n"


def test_ctrl_c_in_the_last_moment_of_a_run_that_is_stored(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training.Progress, "finish_epoch", interrupt)
    path = tmp_path / "run.pt"
    history = fit(make_linear(), make_batches(), epochs=1, learning_rate=0.05, checkpoint=path)
    assert (history.status, history.message, capsys.readouterr().out) == ("finished", "", "")


def test_a_stuck_run_goes_on_if_told_so(tmp_path):
    arguments = dict(epochs=2, learning_rate=0.05, checkpoint=tmp_path / "run.pt")
    batches = make_batches() * 10
    assert fit(DeadLogits(), batches, **arguments).status == "stuck"
    assert fit(DeadLogits(), [()] * 100, **arguments).status == "stuck"
    history = fit(DeadLogits(), batches, **arguments, stop_when_stuck=False)
    assert (history.status, history.epochs) == ("finished", [1, 2])


# --------------------------------------------------------------------------- checkpoint faults


@pytest.fixture
def finished(tmp_path):
    path = tmp_path / "run.pt"
    model = make_network()
    fit(model, make_batches(), epochs=1, learning_rate=0.05, checkpoint=path)
    return path, model


def test_a_checkpoint_cut_short_is_refused_and_left_alone(finished):
    path, _ = finished
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        model = make_network()
        for use in (
            lambda m: load_weights(m, path),
            lambda m: fit(m, make_batches(), epochs=1, learning_rate=0.05, checkpoint=path),
        ):
            with pytest.raises(CheckpointError, match="damaged or was cut short"):
                use(model)
        assert same_weights(model, make_network())
        assert path.read_bytes() == whole[:size]


def test_checkpoints_of_other_networks_and_settings(finished, tmp_path):
    path, model = finished
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"Sequential \(1,498 parameters\).*650.*1.weight"):
        load_weights(make_linear(), path)
    with pytest.raises(CheckpointError, match="first difference"):
        fit(make_linear(), make_batches(), epochs=1, learning_rate=0.05, checkpoint=path)
    named = make_network()
    named.name = "other"
    with pytest.raises(CheckpointError, match="expected was other"):
        fit(named, make_batches(), epochs=1, learning_rate=0.05, checkpoint=path)
    assert same_weights(load_weights(named, path), model)  # the weights alone do fit
    smooth = make_network()
    smooth[2] = nn.Sigmoid()
    with pytest.raises(CheckpointError, match="2: ReLU there, Sigmoid here"):
        fit(smooth, make_batches(), epochs=1, learning_rate=0.05, checkpoint=path)
    changes = [
        ("epochs 1 there and 2 here", dict(epochs=2)),
        ("learning_rate 0.05 there and 0.1 here", dict(learning_rate=0.1)),
        ("seed None there and 3 here", dict(seed=3)),
        ("optimizer sgd there and adamw here", dict(optimizer="adamw")),
    ]
    for match, change in changes:
        arguments = {**dict(epochs=1, learning_rate=0.05, checkpoint=path), **change}
        with pytest.raises(CheckpointError, match=match):
            fit(make_network(), make_batches(), **arguments)
    with pytest.raises(CheckpointError, match="steps an epoch 10 there and 5 here"):
        fit(make_network(), make_batches(320), epochs=1, learning_rate=0.05, checkpoint=path)
    assert path.read_bytes() == before

    weights = tmp_path / "weights.pt"
    training.save_checkpoint(weights, model)
    with pytest.raises(CheckpointError, match="no run to go on with"):
        fit(make_network(), make_batches(), epochs=1, learning_rate=0.05, checkpoint=weights)
    fresh = make_network(seed=8)
    assert load_weights(fresh, weights) is fresh and same_weights(fresh, model)
    torch.save(model.state_dict(), weights)
    with pytest.raises(CheckpointError, match="not a checkpoint of this course"):
        load_weights(fresh, weights)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_weights(fresh, tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(fresh, tmp_path)


class Dataset(Recorder):
    """Batches with what those of `utils.data` tell about themselves."""

    def __init__(self):
        super().__init__(make_batches())
        vars(self).update(seed=0, dataset="mnist", shuffle=True, labels=torch.zeros(640))


def test_a_checkpoint_belongs_to_its_batches(tmp_path):
    path = tmp_path / "run.pt"

    def run(train, **changes):
        vars(train).update(changes)
        return fit(make_linear(), train, epochs=1, learning_rate=0.05, checkpoint=path)

    history = run(Dataset())
    assert run(Dataset()) == history
    for match, change in (
        ("seed of the batches 0 there and 1 here", {"seed": 1}),
        ("dataset mnist there and fashion_mnist here", {"dataset": "fashion_mnist"}),
        ("shuffle True there and False here", {"shuffle": False}),
        ("images 640 there and 639 here", {"labels": torch.zeros(639)}),
    ):
        with pytest.raises(CheckpointError, match=f"other settings .{match}.*another file name"):
            run(Dataset(), **change)
    # What an older version of the course wrote holds none of these.
    old = checkpoints.read_file(path)
    for name in ("seed of the batches", "dataset", "shuffle", "images"):
        del old["settings"][name]
    checkpoints.write_file(path, old)
    assert run(Dataset(), seed=1) == history


def test_batches_of_the_course_tell_what_they_are(tmp_path):
    path = tmp_path / "run.pt"

    def run(**options):
        train = data.load(train_images=100, batch_size=50, device="cpu", **options).train
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        return fit(model, train, epochs=1, learning_rate=0.05, checkpoint=path)

    history = run(seed=0)
    assert run(seed=0) == history
    with pytest.raises(CheckpointError, match="seed of the batches 0 there and 1 here"):
        run(seed=1)
    told = checkpoints.read_file(path)["settings"]
    assert (told["dataset"], told["images"], told["shuffle"]) == ("fashion_mnist", 100, True)


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_loses_neither_the_run_nor_the_old_checkpoint(tmp_path, monkeypatch, capsys):
    path = tmp_path / "run.pt"
    model, whole = make_network(), make_network()
    arguments = dict(epochs=3, learning_rate=0.05, seed=0, progress=False)
    fit(whole, make_batches(), **arguments)

    class Filling(Recorder):
        def set_epoch(self, epoch):
            if epoch == 1:
                self.before = path.read_bytes()
                monkeypatch.setattr(os, "fsync", full_disk)

    train = Filling(make_batches())
    history = fit(model, train, **arguments, checkpoint=path)
    assert history.status == "finished" and same_weights(model, whole)
    assert "No space left" in history.message and "untouched" in history.message
    assert capsys.readouterr().out == history.message + "\n"  # said once
    assert path.read_bytes() == train.before
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    monkeypatch.undo()
    resumed = make_network()
    fit(resumed, make_batches(), **arguments, checkpoint=path)
    assert same_weights(resumed, whole)


def test_a_checkpoint_that_cannot_be_written_is_noticed_before_training(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    untouched = Interrupting(make_batches(), 0, AssertionError)
    with pytest.raises(CheckpointError, match="could not be written"):
        fit(
            make_linear(), untouched, epochs=1, learning_rate=0.1,
            checkpoint=tmp_path / "file" / "run.pt",
        )  # fmt: skip


def test_an_interrupted_write_leaves_the_old_file(finished, monkeypatch):
    path, _ = finished
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        training.save_checkpoint(path, make_linear())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# --------------------------------------------------------------------------------- bad input


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
        ("Precision 'float8'", dict(precision="float8")),
        ("'tpu' is not a device", dict(device="tpu")),
        ("train has no batches", dict(train=[])),
        ("validation has no batches", dict(validation=[])),
        ("train should be batches with a len", dict(train=iter([]))),
        ("with brackets", dict(model=nn.Linear)),
        ("no parameters to train", dict(model=nn.Flatten())),
        ("lazy layers", dict(model=nn.Sequential(nn.Flatten(), nn.LazyLinear(10)))),
        ("A seed is an integer", dict(seed=-1)),
    ],
)
def test_arguments_that_make_no_sense(match, change):
    arguments = dict(model=make_linear(), train=make_batches(64), epochs=1, learning_rate=0.1)
    with pytest.raises(ValueError, match=match):
        fit(**{**arguments, **change})


def test_a_network_that_has_diverged_before_is_refused():
    model = make_linear()
    with torch.no_grad():
        model[1].weight[3, 3] = math.nan
    with pytest.raises(ValueError, match="not numbers"):
        fit(model, make_batches(), epochs=1, learning_rate=0.1)


def test_labels_and_logits_that_do_not_fit():
    images, labels = make_images(64)

    def attempt(model, images, labels):
        fit(model, [(images, labels)], epochs=1, learning_rate=0.1)

    for wrong in (labels + 1, labels - 1):
        with pytest.raises(ValueError, match=r"run from -?\d to \d+, but the network has 10"):
            attempt(make_linear(), images, wrong)
        with pytest.raises(ValueError, match="but the network has 10"):
            evaluate(make_linear(), [(images, wrong)])
    with pytest.raises(ValueError, match="A label does not fit"):
        fit(make_linear(), [(images, labels), (images, labels + 1)], epochs=1, learning_rate=0.1)
    with pytest.raises(ValueError, match="should be int64"):
        attempt(make_linear(), images, labels.int())
    with pytest.raises(ValueError, match=r"shape \(64,\)"):
        attempt(make_linear(), images, labels[:, None])
    with pytest.raises(ValueError, match=r"logits of shape .* not \(64, 4, 6, 6\)"):
        attempt(nn.Conv2d(1, 4, 3), images, labels)


def test_batches_that_yield_nothing():
    class Empty(list):
        def __len__(self):
            return 3

    with pytest.raises(ValueError, match="batches are empty"):
        fit(make_linear(), Empty(), epochs=1, learning_rate=0.1)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GiB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_names_a_batch_size(error):
    model = make_linear()
    model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(error))
    for use in (
        lambda: fit(model, make_batches(), epochs=1, learning_rate=0.1),
        lambda: evaluate(model, make_batches()),
    ):
        with pytest.raises(MemoryError, match=r"a batch of 64 images.*batch_size=32") as caught:
            use()
        assert caught.value.__suppress_context__


def test_out_of_memory_lets_go_of_the_memory():
    """Otherwise the next try, with a smaller batch, would find the memory still full."""
    held = []

    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(10))

        def forward(self, images):
            activations = images * 2
            held.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(MemoryError) as caught:
        fit(Greedy(), make_batches(), epochs=1, learning_rate=0.1)
    assert caught.value.__context__ is not None
    assert held[0]() is None


def test_numbers_from_numpy_are_plain_numbers_in_the_checkpoint(tmp_path):
    arguments = dict(
        epochs=1, learning_rate=np.float64(0.1), momentum=np.float32(0.5), seed=np.int64(3),
        weight_decay=np.float64(1e-3), checkpoint=tmp_path / "run.pt",
    )  # fmt: skip
    history = fit(make_linear(), make_batches(), **arguments)
    assert fit(make_linear(), make_batches(), **arguments) == history


def test_a_diagnosis_that_fails_does_not_cost_the_history(monkeypatch):
    def fail(*_):
        raise ValueError("no idea")

    monkeypatch.setattr(diagnosis, "explain", fail)
    history = fit(DeadLogits(), make_batches() * 10, epochs=2, learning_rate=0.05)
    assert history.status == "stuck" and "no idea" in history.message


# ---------------------------------------------------------------------------------- progress


def test_progress_is_silent_under_pytest_and_when_told(capsys, monkeypatch):
    fit(make_linear(), make_batches(), epochs=2, learning_rate=0.1)
    monkeypatch.delenv("COURSE_UNDER_PYTEST", raising=False)
    fit(make_linear(), make_batches(), epochs=2, learning_rate=0.1, progress=False)
    assert capsys.readouterr() == ("", "")


def test_progress_without_a_terminal_is_one_line_an_epoch(capsys, monkeypatch):
    monkeypatch.delenv("COURSE_UNDER_PYTEST", raising=False)
    history = fit(make_linear(), make_batches(), epochs=2, learning_rate=0.1)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 2 and err == ""
    assert lines[0].startswith("epoch 1/2: train loss") and lines[1] == str(history)


def test_progress_on_a_terminal_is_a_bar_that_disappears(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fit(make_linear(), make_batches(), epochs=2, learning_rate=0.1, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "/20" in err
    assert err.endswith("\r") and err.rstrip("\r").split("\r")[-1].strip() == ""


def test_live_curve_is_updated_after_each_epoch(monkeypatch):
    plotting = pytest.importorskip("utils.plotting")
    seen = []

    class Curve:
        def update(self, history):
            seen.append(list(history.epochs))

    monkeypatch.setattr(plotting, "LiveCurve", Curve, raising=False)
    monkeypatch.setattr(training, "in_notebook", lambda: True)
    fit(make_linear(), make_batches(), epochs=2, learning_rate=0.1, live=True, progress=False)
    assert seen == []  # not under pytest
    monkeypatch.delenv("COURSE_UNDER_PYTEST")
    fit(make_linear(), make_batches(), epochs=2, learning_rate=0.1, live=True, progress=False)
    assert seen == [[1], [1, 2]]


def test_the_diagnosis_is_that_of_the_module():
    history = fit(DeadLogits(), make_batches() * 10, epochs=2, learning_rate=0.05)
    images, labels = make_images(64)
    assert diagnosis.explain(DeadLogits(), images, labels)[:60] in history.message
