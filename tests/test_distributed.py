"""Training with two processes on this machine, as torchrun starts them."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

import train as command
from utils import data, device, training
from utils.runs import checkpoints, team

ROOT = Path(__file__).resolve().parent.parent
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
TRAIN = [ROOT / "train.py"]

needs_gloo = pytest.mark.skipif(
    os.name == "nt"
    or not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="torchrun needs gloo, and libuv, which torch for Windows lacks",
)


def start(*arguments):
    dropped = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "COURSE_UNDER_PYTEST")  # silent under pytest
    environment = {
        **{name: value for name, value in os.environ.items() if name not in dropped},
        "COURSE_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def run(*arguments, fails=False):
    process = start(*arguments)
    output, _ = process.communicate(timeout=300)
    assert (process.returncode != 0) == fails, output
    return output


# Everything that two processes do together here, one after the other: their start is dear.
SCENARIOS = """
import contextlib, io, json, sys, time
from pathlib import Path
import torch
import torch.distributed as dist
import train as command
from utils import data, device, networks, training
from utils.runs import team

team.start()
rank, here, seen = dist.get_rank(), Path(sys.argv[1]), {}


def train(*arguments):
    return command.train(command.parser().parse_args(arguments))


def refused(what):
    splits = data.load(train_images=300, validation_images=100, batch_size=64, seed=0)
    batches = list(splits.train) if what == "loader" else splits.train
    differs = what if rank == 1 else ""
    if differs == "data":
        batches.labels = batches.labels.roll(1)
    model = networks.build("lenet", num_classes=11 if differs == "network" else 10)
    rate = 0.2 if differs == "rate" else 0.1
    try:
        training.fit(model, batches, epochs=1, learning_rate=rate, progress=False)
    except (RuntimeError, ValueError) as error:
        return str(error)


for name, arguments in json.loads(sys.argv[2]).items():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        history = train(*arguments, "--checkpoint", str(here / f"{name}.pt"))
    seen[name] = [history, printed.getvalue()]

splits = data.load(train_images=300, validation_images=100, batch_size=64)
device.seed_everything(0)
model = networks.build("mobilenet_v2_small", dropout=0.5)
masks = []
dropout = next(layer for layer in model.modules() if isinstance(layer, torch.nn.Dropout))
dropout.register_forward_hook(
    lambda layer, given, out: masks.append(out[0].flatten() == 0) if layer.training else None
)
training.fit(model, splits.train, splits.validation, epochs=2, learning_rate=0.05, seed=0,
             progress=False)
states, first = team.Team().gather(model.state_dict()), team.Team().gather(masks[0])
seen["equal copies"] = all(torch.equal(states[0][k], states[1][k]) for k in states[0])
seen["own masks"] = not torch.equal(*first)

seen["refused"] = {what: refused(what) for what in ("rate", "network", "data", "loader")}


def download(name, root):
    if not (here / "whole").exists():
        with open(here / "begun", "a") as file:
            file.write(f"{rank}")
        time.sleep(1)
        (here / "whole").touch()
    images, labels = torch.zeros(200, 1, 28, 28, dtype=torch.uint8), torch.arange(200) % 10
    return images, labels, images, labels, tuple("0123456789")


def fail():
    if rank == 0:
        raise data.DataError("no network")


data._from_torchvision = download
seen["downloaded"] = train("lenet", "--data", "mnist", "--epochs", "1")["status"]
try:
    team.in_turns(fail)
except data.DataError as error:
    seen["failed"] = str(error)

(here / f"seen{rank}.json").write_text(json.dumps(seen), encoding="utf-8")
dist.barrier()
dist.destroy_process_group()
"""


def weights(path):
    return checkpoints.read_file(path)["model"]


def furthest(first, second):
    assert first.keys() == second.keys()
    return max(float((first[k].double() - second[k].double()).abs().max()) for k in first)


# --- batches that are shared ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder_of_images(tmp_path_factory):
    """Images of noise, dark ones in one class and bright ones in the other."""
    folder = tmp_path_factory.mktemp("images")
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 14), ("val", 4)):
        for label, name in enumerate(("dark", "bright")):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                noise = torch.randint(0, 128, (40, 36, 3), generator=generator) + 127 * label
                image = Image.fromarray(noise.to(torch.uint8).numpy())
                image.save(folder / part / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("source", ["fashion_mnist", "image_folder"])
def test_the_parts_of_a_batch_are_the_batch(source, ranks, folder_of_images):
    options = dict(batch_size=50, train_images=1_017, seed=3)
    if source == "image_folder":
        options = dict(folder=folder_of_images, batch_size=8, image_size=28, num_workers=0)
        options["validation_images"] = 0

    def batches():
        return data.load(source, augment=True, device="cpu", **options).train

    parts = [batches().share(rank, ranks) for rank in range(ranks)]
    whole = batches()
    for _epoch in range(2):
        for (images, labels), *piece in zip(whole, *parts, strict=True):
            sizes = [len(part) for part, _ in piece]
            assert max(sizes) - min(sizes) <= 1
            assert torch.equal(images, torch.cat([part for part, _ in piece]))
            assert torch.equal(labels, torch.cat([part for _, part in piece]))


def test_a_batch_too_small_to_share_is_an_error():
    batches = data.load(batch_size=50, train_images=1_001, device="cpu").train
    with pytest.raises(ValueError, match="a batch of 1, too small for 2 processes"):
        batches.share(0, 2)


# --- the same run with one process and with two ---------------------------------------------------


def of(source, folder):
    """335 = 2 * 128 + 79: the last batch is cut into 39 and 40 images. 26 images: 9, 9 and 8."""
    arguments = ["lenet", "--epochs", 2, "--learning-rate", "0.01", "--augment", "--test"]
    if source == "image_folder":
        arguments += ["--data", source, "--folder", folder, "--image-size", 28]
        arguments += ["--batch-size", 9, "--workers", 0]
    else:
        arguments += ["--train-images", 335]
    return list(map(str, arguments))


SOURCES = ["fashion_mnist", "image_folder"]


@pytest.fixture(scope="module")
def in_two(tmp_path_factory, folder_of_images):
    """The folder in which two processes have run the scenarios, and what each of them saw."""
    folder = tmp_path_factory.mktemp("in_two")
    (folder / "script.py").write_text(SCENARIOS, encoding="utf-8")
    runs = json.dumps({source: of(source, folder_of_images) for source in SOURCES})
    run(*TWO, folder / "script.py", folder, runs)
    seen = [json.loads((folder / f"seen{rank}.json").read_text("utf-8")) for rank in (0, 1)]
    return folder, seen


@needs_gloo
@pytest.mark.parametrize("source", SOURCES)
def test_two_processes_come_to_the_weights_of_one(source, tmp_path, folder_of_images, in_two):
    arguments = [*of(source, folder_of_images), "--checkpoint", str(tmp_path / "one.pt")]
    one = command.train(command.parser().parse_args(arguments))
    folder, seen = in_two
    (two, printed), (_, printed_by_the_other) = (views[source] for views in seen)
    assert printed.count("epoch 2/2") == 1 and not printed_by_the_other  # one speaks for all
    assert furthest(weights(tmp_path / "one.pt"), weights(folder / f"{source}.pt")) < 1e-6
    for key in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
        assert one[key] == pytest.approx(two[key], abs=1e-6), key
    assert one["test_accuracy"] == pytest.approx(two["test_accuracy"], abs=1e-6)
    assert len(one["train_loss"]) == 2 and one["status"] == two["status"] == "finished"


@needs_gloo
def test_copies_stay_equal_with_batch_norm_and_dropout_differs(in_two):
    for seen in in_two[1]:
        assert seen["equal copies"] and seen["own masks"]


@needs_gloo
def test_one_process_downloads_for_all_and_all_learn_that_it_failed(in_two):
    folder, views = in_two
    assert (folder / "begun").read_text(encoding="utf-8") == "0"
    for seen in views:
        assert (seen["downloaded"], seen["failed"]) == ("finished", "no network")


@pytest.mark.parametrize("place, turn", [((0, 0), 1), ((2, 0), 2), ((3, 1), 3)])
def test_the_first_process_of_a_machine_reads_before_its_others(place, turn, monkeypatch):
    """Two machines with two processes each, seen from one of them."""
    done = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: place[0])
    monkeypatch.setenv("LOCAL_RANK", str(place[1]))
    monkeypatch.setattr(
        torch.distributed, "all_gather_object", lambda values, value: done.append("waits")
    )
    assert team.in_turns(lambda: done.append("reads") or "images") == "images"
    assert done.index("reads") == turn - 1 and done.count("waits") == 3


# --- what goes wrong ------------------------------------------------------------------------------


MESSAGES = {
    "rate": "Process 1 differs from process 0: learning_rate is 0.1 in 0 and 0.2 in 1",
    "network": "Process 1 differs from process 0: classifier.linear3.weight is [10, 84] in 0 and "
    "[11, 84] in 1",
    "data": "Process 1 differs from process 0: labels is",
    "loader": "list cannot be shared between 2 processes",
}


@needs_gloo
@pytest.mark.parametrize("what", MESSAGES)
def test_processes_that_disagree_all_say_so(what, in_two):
    for seen in in_two[1]:
        assert MESSAGES[what] in seen["refused"][what]


@needs_gloo
def test_a_killed_process_ends_the_run_and_the_same_command_goes_on(tmp_path):
    psutil = pytest.importorskip("psutil")
    arguments = [*TRAIN, "nin_small", "--train-images", 400, "--epochs", 4, "--batch-size", 50]
    arguments += ["--option", "dropout=0.5"]  # so that each process's random numbers matter
    undisturbed, broken = tmp_path / "undisturbed.pt", tmp_path / "broken.pt"
    run(*TWO, *arguments, "--checkpoint", undisturbed)

    process = start(*TWO, *arguments, "--checkpoint", broken)
    wait_for_an_epoch(process, broken)
    ranks = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.environ().get("RANK") == "1"
    ]
    ranks[0].kill()
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0, output
    done = len(checkpoints.read_file(broken)["history"]["epochs"])
    assert 1 <= done < 4

    output = run(*TWO, *arguments, "--checkpoint", broken)
    assert f"From {broken}: epoch {done}/4" in output
    assert furthest(weights(undisturbed), weights(broken)) == 0

    alone = run(*arguments, "--checkpoint", broken, fails=True)
    assert "processes 2 there and 1 here" in alone


def wait_for_an_epoch(process, path):
    deadline = time.monotonic() + 600  # a busy machine is no fault
    while not (path.exists() and checkpoints.read_file(path)["history"]["epochs"]):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_stopped_by_hand_keeps_the_checkpoint(tmp_path):
    path = tmp_path / "run.pt"
    process = start(*TRAIN, "lenet", "--train-images", 5_000, "--epochs", 200, "--checkpoint", path)
    wait_for_an_epoch(process, path)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "Stopped by hand" in output and "Traceback" not in output


# --- GPUs -----------------------------------------------------------------------------------------


def start_on_two_gpus(monkeypatch, local, wanted=None, problem=None):
    """What `start` does on a machine with two GPUs, as far as it asks, in its order."""
    done = []
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    if wanted:
        monkeypatch.setenv("COURSE_DEVICE", wanted)
    monkeypatch.setenv("LOCAL_RANK", local)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: done.append(f"GPU {number}"))
    monkeypatch.setattr(device, "_cuda_problem", lambda: problem or done.append("computes"))
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True, raising=False)
    monkeypatch.setattr(torch.distributed, "init_process_group", done.append)
    team.start()
    return done


@pytest.mark.parametrize(
    ("given", "done"),
    [
        (dict(local="1"), ["GPU 1", "computes", "nccl"]),  # its own GPU only
        (dict(local="1", wanted=" CPU"), ["gloo"]),  # no GPU at all
        (dict(local="2", problem="no kernel image"), ["gloo"]),  # GPUs too old to compute
    ],
)
def test_a_process_touches_no_gpu_but_its_own(monkeypatch, given, done):
    assert start_on_two_gpus(monkeypatch, **given) == done


def test_more_processes_than_gpus_are_an_error(monkeypatch):
    with pytest.raises(ValueError, match=r"than this machine has GPUs \(2\): choose --nproc_per"):
        start_on_two_gpus(monkeypatch, "2")


def test_processes_on_a_mac_stay_on_the_cpu(monkeypatch):
    """gloo adds up what is in the memory of the CPU or of CUDA, not of an Apple GPU."""
    chosen = []
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setenv("COURSE_DEVICE", "auto")  # so that it is put back
    monkeypatch.setattr(device, "pick", lambda: torch.device("mps"))
    monkeypatch.setattr(torch.distributed, "init_process_group", chosen.append)
    team.start()
    assert (chosen, os.environ["COURSE_DEVICE"]) == (["gloo"], "cpu")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {},
            "not MASTER_ADDR, MASTER_PORT: start them with torchrun, or .* `unset RANK WORLD_S",
        ),
        ({"MASTER_ADDR": "127.0.0.1"}, "but not MASTER_PORT: start them"),
        ({"MASTER_ADDR": "node 1", "MASTER_PORT": "1"}, "machine node 1 .* with --local-addr and"),
    ],
)
def test_where_the_first_process_is_must_be_known(monkeypatch, variables, message):
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        team.start()


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def untrained(monkeypatch):
    """`fit` only looks at what it is given: the network and its first batch."""
    seen = []

    def fit(model, train, validation, **settings):
        seen.append((model, next(iter(train))[0]))
        return training.History(epochs=[1], train_loss=[0.5], status="finished", planned=1)

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    return seen


def train(*arguments):
    return command.main([*map(str, arguments), "--epochs", "1"])


def test_an_option_can_change_the_size_of_the_images(untrained):
    assert train("vgg_d2l", "--option", "image_size=32", "--batch-size", 2) == 0
    network, images = untrained[0]
    assert network.image_size == 32 and images.shape == (2, 1, 32, 32)
    assert network(images).shape == (2, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet6"], "lenet6"),
        (["nin_small", "--option", "width"], "--option takes NAME=VALUE"),
        (["nin_small", "--option", "widthh=2"], "has no option 'widthh'"),
    ],
)
def test_errors_are_one_sentence(untrained, capsys, arguments, message):
    assert train(*arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("problem: ") and message in printed and printed.count("\n") == 1


def test_the_command_answers_as_a_process():
    output = run(*TRAIN, "lenet6", "--epochs", 1, fails=True)
    assert "problem: " in output and "Traceback" not in output


def test_the_history_gets_the_folder_it_was_promised(untrained, tmp_path):
    file = tmp_path / "new" / "newer" / "history.json"
    assert train("lenet", "--json", file) == 0
    assert json.loads(file.read_text(encoding="utf-8"))["train_loss"] == [0.5]


def test_a_history_that_cannot_be_written_is_known_before_training(untrained, tmp_path, capsys):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "history.json", tmp_path):
        assert train("lenet", "--json", place) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("problem: ") and str(place) in printed
        assert printed.count("\n") == 1
    assert not untrained


def test_a_history_that_cannot_be_written_is_printed(untrained, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert train("lenet", "--json", tmp_path / "a.json") == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["train_loss"] == [0.5]
    assert "a.json cannot be written (No space left on device), so" in printed.err
