"""The file in chapter 11 that learners copy for several GPUs, on the CPU with two processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DistributedSampler

ROOT = Path(__file__).resolve().parent.parent
COMMAND = ["-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]


def own_file():
    notebook = nbformat.read(ROOT / "chapters" / "11_training_loop.ipynb", as_version=4)
    (cell,) = (cell for cell in notebook.cells if cell.id == "11-own-file")
    return re.search(r"```python\n(.*?)```", cell.source, re.DOTALL).group(1)


def one_simple_loop():
    """The weights after the same training in one process, with 64 images in a step."""
    torch.manual_seed(0)
    images, labels = torch.rand(1000, 1, 28, 28), torch.arange(1000) % 10
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for epoch in range(3):
        order = DistributedSampler(labels, num_replicas=1, rank=0)
        order.set_epoch(epoch)
        for batch in torch.tensor(list(order)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return model.state_dict()


@pytest.mark.skipif(
    os.name == "nt" or not (dist.is_available() and dist.is_gloo_available()),
    reason="torchrun needs gloo, and libuv, which torch for Windows lacks",
)
def test_two_processes_end_where_one_simple_loop_ends(tmp_path):
    (tmp_path / "mine.py").write_text(own_file(), "utf-8")
    dropped = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, *COMMAND, "--nproc_per_node=2", "mine.py"],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=300,
    )
    saved, simple = torch.load(tmp_path / "mine.pt", weights_only=True), one_simple_loop()
    for name, weights in simple.items():
        torch.testing.assert_close(saved[name], weights, atol=1e-5, rtol=0)
