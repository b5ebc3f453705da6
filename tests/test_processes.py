"""Functions of a notebook in several processes."""

import functools
import os

import pytest
import torch
import torch.distributed as dist

from utils import data, device, networks, training
from utils.topics import processes

needs_gloo = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="torch without gloo"
)


def double(tensor):
    tensor.mul_(2)


def sum_and_rank(start):
    value = torch.tensor([float(start + dist.get_rank())])
    helper(value)  # noqa: F821
    dist.all_reduce(value)
    return value, dist.get_rank()


def one_fails():
    if dist.get_rank():
        raise ValueError("the second has enough")
    dist.all_reduce(torch.ones(1))


@needs_gloo
def test_reset_in_a_notebook_does_no_harm(monkeypatch):
    """`%reset` also takes the names that Python itself has given to the module."""
    monkeypatch.delattr("__main__.__spec__")
    assert len(processes.run(sum_and_rank, 1.0, helper=double)) == 2


@needs_gloo
def test_functions_run_in_one_group_and_bring_their_helpers():
    results = processes.run(sum_and_rank, 3, helper=double)
    assert results == [(torch.tensor([14.0]), 0), (torch.tensor([14.0]), 1)]


@needs_gloo
def test_the_first_error_is_told_and_not_what_it_does_to_the_others():
    with pytest.raises(RuntimeError, match=r"^Process 1 stopped: ValueError: the second"):
        processes.run(one_fails)


def test_what_has_no_source_is_refused():
    with pytest.raises(ValueError, match=r"written with def .*, not a partial"):
        processes.run(functools.partial(double))
    with pytest.raises(ValueError, match="at least one process"):
        processes.run(double, processes=0)


SMALL = ["lenet", "--epochs", 1, "--train-images", 96, "--batch-size", 32, "--checkpoint"]


@needs_gloo
@pytest.mark.parametrize("system", [os.name, "nt"])
def test_train_py_in_two_processes_comes_to_the_weights_of_one(system, tmp_path, monkeypatch):
    """On Windows `run` starts them, which works on every system."""
    file = tmp_path / "two.pt"
    monkeypatch.setattr(processes, "SYSTEM", system)
    processes.torchrun(*SMALL, file)
    splits = data.load(train_images=96, batch_size=32, device="cpu")
    device.seed_everything(0)
    one = networks.build("lenet")
    training.fit(one, splits.train, epochs=1, learning_rate=0.1, seed=0, device="cpu")
    two = training.load_weights(networks.build("lenet"), file)
    pairs = zip(one.parameters(), two.parameters())
    assert max((a - b).abs().max() for a, b in pairs) < 1e-6


@pytest.mark.skipif(os.name == "nt", reason="run has an error of its own")
def test_why_train_py_did_not_finish_is_told():
    with pytest.raises(RuntimeError, match=r"did not finish:\nproblem: .*no_such_net"):
        processes.torchrun("no_such_net", "--epochs", 1, processes=1)
