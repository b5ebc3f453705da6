"""What goes wrong on real machines, done for real: kills, full disks, no write access, bad files.

Every random choice is drawn from a fixed seed (`--seed` moves them all), so that what fails once
can be repeated. The slowest tests are marked `long`.
"""

import gzip
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from test_training import make_batches, make_network, same_weights
from torch import nn

from utils import checkpoints, data
from utils.checkpoints import CheckpointError
from utils.data import DataError
from utils.training import fit, load_weights, save_checkpoint

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def start(script, *arguments, prefix=(), cwd=None, **options):
    """Run `script` in a Python of its own, behind the command `prefix`."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        cwd=cwd,
        env=environment | options.pop("env", {}),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        **options,
    )


def run(script, *arguments, **options):
    process = start(script, *arguments, stderr=subprocess.PIPE, **options)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, output + errors
    return output


def is_one_sentence(error):
    text = str(error)
    return "\n" not in text and text.endswith(".") and ". " not in text.replace("e. g.", "")


def same(one, other):
    """Whether two contents of checkpoints are the same, bit for bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


# --- kill -9 while a network is trained -----------------------------------------------------------

# Ten steps an epoch. The ballast makes a checkpoint of 8 MB, so that writing it takes its time.
TRAINED = """
import sys
import torch
import test_training as t
from utils.training import fit

class Telling(t.NoisyLoader):
    def __iter__(self):
        for batch in super().__iter__():
            print("step", flush=True)
            yield batch

torch.set_num_threads(1)
train = t.make_noisy_loader()
train.__class__ = Telling
model = t.make_network()
model.register_buffer("ballast", torch.randn(2_000_000))
print("ready", flush=True)
history = fit(
    model, train, epochs=int(sys.argv[2]), learning_rate=0.05, seed=11,
    checkpoint=sys.argv[1], progress=False,
)
print("finished", history.train_loss, flush=True)
"""


def train_and_kill(path, epochs, dice, while_writing):
    """Start the run and kill it: some steps later, or while it writes a checkpoint.

    Returns whether the file was being written, and whether the run was over before that.
    """
    process = start(TRAINED, path, epochs)
    steps = dice.randint(0, 25)
    if while_writing:  # a file is written before the first step and after every tenth
        steps = 10 * dice.choice([0, 1, 1, 2, 2])
    for expected in ["ready\n", *["step\n"] * steps]:
        assert process.stdout.readline() == expected
    if while_writing:
        deadline = time.monotonic() + 60
        while not any(path.parent.glob("*.tmp")) and process.poll() is None:
            assert time.monotonic() < deadline
        time.sleep(dice.choice([0, 0, 0, 0.005]))
    else:
        time.sleep(dice.uniform(0, 0.1))
    process.kill()
    output, _ = process.communicate()
    return any(path.parent.glob("*.tmp")), "finished" in output


def kill_often(tmp_path, kills, epochs, seed):
    dice = random.Random(seed)
    undisturbed, path = tmp_path / "undisturbed.pt", tmp_path / "killed" / "run.pt"
    path.parent.mkdir()
    expected = run(TRAINED, undisturbed, epochs)
    moments = []
    for number in range(kills):
        moments.append(train_and_kill(path, epochs, dice, while_writing=number % 2 == 0))
        if path.exists():
            checkpoints.read_file(path)  # whatever stands under this name is whole
    assert not any(over for _, over in moments), "the run was over before it was killed"
    assert any(writing for writing, _ in moments), "no kill came while a file was written"
    output = run(TRAINED, path, epochs)
    assert output.splitlines()[-1] == expected.splitlines()[-1]
    first, second = (checkpoints.read_file(file) for file in (undisturbed, path))
    for content in (first, second):
        del content["history"]["seconds"]
    assert same(first, second)
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


def test_a_killed_run_ends_with_the_same_weights(tmp_path):
    kill_often(tmp_path, kills=3, epochs=9, seed=0)


@pytest.mark.long
def test_a_run_killed_twenty_four_times_ends_with_the_same_weights(tmp_path):
    kill_often(tmp_path, kills=24, epochs=72, seed=1)
