"""utils.device: device, precision, seed."""

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from utils import device

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def machine(monkeypatch):
    """Pretend to have these devices; `pick` does not compute on them except to probe CUDA."""

    def pretend(cuda_problem="torch finds no CUDA device", mps=False, count=1):
        monkeypatch.delenv("COURSE_DEVICE", raising=False)
        monkeypatch.setattr(device, "_cuda_problem", lambda: cuda_problem)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


def test_cuda_before_mps_before_cpu(machine):
    machine(cuda_problem=None, mps=True)
    assert device.pick() == torch.device("cuda")
    machine(mps=True)
    assert device.pick() == torch.device("mps")
    machine()
    assert device.pick() == torch.device("cpu")


def test_argument_before_environment_before_choice(machine, monkeypatch):
    machine(cuda_problem=None, count=2)
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert device.pick() == torch.device("cpu")
    assert device.pick("cuda:1") == torch.device("cuda:1")
    assert device.pick(torch.device("cuda")) == torch.device("cuda")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "'gpu' is not a device.*cpu, cuda or mps"),
        ("meta", "'meta' is not a device"),
        ("cuda", "no CUDA device; choose another"),
        ("mps", "no Apple GPU"),
    ],
)
def test_a_device_that_is_not_there(machine, name, message):
    machine()
    with pytest.raises(ValueError, match=message):
        device.pick(name)


def test_a_cuda_index_beyond_the_last(machine):
    machine(cuda_problem=None, count=2)
    with pytest.raises(ValueError, match="the last CUDA device is cuda:1"):
        device.pick("cuda:2")


def test_a_card_that_is_found_but_does_not_compute(monkeypatch):
    """A card too old for this torch: available, but every kernel fails."""

    def no_kernel(*args, **kwargs):
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with ...")

    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch, "ones", no_kernel)
    device._cuda_problem.cache_clear()
    try:
        assert device.pick() == torch.device("cpu")
        assert "does not work: CUDA error: no kernel image is available)" in device.describe()
        with pytest.raises(ValueError, match="no kernel image"):
            device.pick("cuda")
    finally:
        device._cuda_problem.cache_clear()


def test_describe_is_one_line_with_what_matters(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    line = device.describe()
    assert line.startswith("CPU") and "\n" not in line
    assert f"torch {torch.__version__}" in line
    assert f"{torch.get_num_threads()} thread" in line
    assert f", {psutil.virtual_memory().total / 2**30:.1f} GiB, " in line


def draws():
    return random.random(), float(np.random.rand()), torch.rand(1).item()


def test_seed_everything_seeds_all_three():
    device.seed_everything(7)
    first = draws()
    assert all(a != b for a, b in zip(first, draws()))
    device.seed_everything(7)
    assert draws() == first
    device.seed_everything(np.int64(8))
    assert all(a != b for a, b in zip(first, draws()))


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "1", None])
def test_a_seed_out_of_range(seed):
    with pytest.raises(ValueError, match="integer from 0 to 4294967295"):
        device.seed_everything(seed)


@pytest.mark.parametrize("wanted", ["auto", "float32", "bfloat16"])
def test_the_cpu_is_in_float32_unless_asked(wanted):
    precision = device.precision(torch.device("cpu"), wanted)
    dtype = torch.bfloat16 if wanted == "bfloat16" else None
    assert (precision.dtype, precision.scale) == (dtype, False)
    with precision.autocast():
        product = torch.mm(torch.ones(2, 2), torch.ones(2, 2))
    assert product.dtype == (dtype or torch.float32)


def test_mps_stays_in_float32():
    assert device.precision("mps") == device.Precision("mps", None, False)


@pytest.mark.parametrize(
    ("native_bfloat16", "dtype", "scale"),
    [(True, torch.bfloat16, False), (False, torch.float16, True)],
)
def test_cuda_with_and_without_bfloat16(monkeypatch, native_bfloat16, dtype, scale):
    """A T4 emulates bfloat16, and torch says yes unless asked about the card itself."""
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: including_emulation or native_bfloat16,
    )
    monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
    precision = device.precision("cuda:0")
    assert (precision.dtype, precision.scale) == (dtype, scale)


@pytest.mark.parametrize(
    ("kind", "wanted"), [("cpu", "float16"), ("mps", "bfloat16"), ("cpu", "half"), ("cuda", "fp8")]
)
def test_a_precision_that_the_device_cannot_do(kind, wanted):
    with pytest.raises(ValueError, match=f"{kind!r} cannot train in {wanted!r}.*float32"):
        device.precision(kind, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_real_card():
    picked = device.pick("cuda")
    precision = device.precision(picked)
    with precision.autocast():
        ones = torch.ones(2, 2, device=picked)
        assert torch.mm(ones, ones).dtype == precision.dtype


def test_denormals_are_zero_and_import_utils_loads_nothing():
    """In a process of its own, because the setting is the whole process's."""
    code = """
import sys, torch
before = set(sys.modules)
import utils
assert {m for m in sys.modules if m not in before} == {"utils"}, set(sys.modules) - before
tiny = torch.full((4,), 1e-30)
assert (tiny * 1e-10 != 0).all()
if not torch.set_flush_denormal(True):
    sys.exit()  # this processor does not offer it
torch.set_flush_denormal(False)
import utils.device
assert (tiny * 1e-10 == 0).all()
many = torch.full((1_000_000,), 1e-30)  # enough for several threads
assert (many * 1e-10 == 0).all()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
