"""utils.budget: which size a training cell gets."""

import pytest
import torch

from utils import budget, device


@pytest.mark.parametrize("name", budget.NAMES)
def test_the_environment_decides(monkeypatch, name):
    monkeypatch.setenv("COURSE_BUDGET", f" {name.upper()} ")
    assert budget.current() == name
    assert budget.choose(smoke="smoke", cpu="cpu", full="full", gpu="gpu") == name


@pytest.mark.parametrize(("kind", "expected"), [("cpu", "cpu"), ("mps", "cpu"), ("cuda", "gpu")])
def test_without_it_the_device_decides(monkeypatch, kind, expected):
    monkeypatch.delenv("COURSE_BUDGET", raising=False)
    monkeypatch.setattr(device, "pick", lambda: torch.device(kind))
    assert budget.current() == expected


@pytest.mark.parametrize(
    ("name", "sizes", "expected"),
    [
        ("full", {}, 2),
        ("gpu", {}, 2),
        ("gpu", {"full": 3}, 3),
        ("full", {"gpu": 4}, 2),
        ("gpu", {"gpu": 4}, 4),
        ("full", {"full": None}, None),  # None is a size: all images
        ("gpu", {"full": None}, None),
        ("smoke", {"full": 3}, 1),
    ],
)
def test_a_size_left_out_falls_back_to_the_next_smaller_one(monkeypatch, name, sizes, expected):
    monkeypatch.setenv("COURSE_BUDGET", name)
    assert budget.choose(smoke=1, cpu=2, **sizes) == expected


def test_smoke_and_cpu_must_be_given():
    with pytest.raises(TypeError):
        budget.choose(smoke=1)


def test_an_unknown_name_lists_the_four(monkeypatch):
    monkeypatch.setenv("COURSE_BUDGET", "huge")
    with pytest.raises(ValueError, match=r"'huge'.*smoke, cpu, full, gpu"):
        budget.current()
