"""What goes wrong on real machines, done for real: kills, full disks, no write access, bad files.

Every random choice is drawn from a fixed seed (`--seed` moves them all), so that what fails once
can be repeated. The slowest tests are marked `long`.
"""

import hashlib
import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
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
from test_training import make_network, same_weights, train

from benchmarks import common
from exercises import record as progress
from tools import numbers_in_text, write
from utils import atomic, data, results
from utils.data import DataError
from utils.runs import checkpoints
from utils.runs.checkpoints import CheckpointError
from utils.training import load_weights

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
    try:
        output, errors = process.communicate(timeout=900)  # a busy machine is no fault
    finally:
        process.kill()
    assert process.returncode == 0, output + errors
    return output


def is_one_sentence(error):
    text = str(error)
    return "\n" not in text and text.endswith(".") and ". " not in text


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

# Ten steps an epoch. The ballast makes a checkpoint of 4 MB, so that writing it takes its time.
TRAINED = """
import sys
import torch
import test_training as t

class Telling(t.NoisyLoader):
    def __iter__(self):
        for batch in super().__iter__():
            print("step", flush=True)
            yield batch

torch.set_num_threads(1)
model = t.make_network()
model.register_buffer("ballast", torch.randn(1_000_000))
print("ready", flush=True)
options = dict(checkpoint=sys.argv[1], epochs=int(sys.argv[2]), seed=11, progress=False)
history = t.train(model, t.make_noisy_loader(kind=Telling), **options)
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
    # On a busy machine this may look away while the file is written; then it is any other moment.
    deadline = time.monotonic() + 5
    while while_writing and time.monotonic() < deadline and not any(path.parent.glob("*.tmp")):
        pass
    if not while_writing:
        time.sleep(dice.uniform(0, 0.1))
    process.kill()
    output, _ = process.communicate()
    leftovers = list(path.parent.glob("*.tmp"))
    for leftover in leftovers:  # only old ones are cleared away
        os.utime(leftover, times=(time.time() - 700,) * 2)
    return bool(leftovers), "finished" in output


def kill_often(tmp_path, kills, epochs, seed):
    dice = random.Random(seed)
    undisturbed, path = tmp_path / "undisturbed.pt", tmp_path / "killed" / "run.pt"
    path.parent.mkdir()
    expected = run(TRAINED, undisturbed, epochs)
    moments = []
    for number in range(kills):
        moments.append(train_and_kill(path, epochs, dice, while_writing=number % 2 == 0))
        if path.exists():
            checkpoints.read_file(path)  # whatever has this name is whole
    assert not any(over for _, over in moments), "the run was over before it was killed"
    if kills > 10:
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
    kill_often(tmp_path, kills=24, epochs=64, seed=1)


# --- kill -9 while the data is unpacked -----------------------------------------------------------

UNPACK = """
import sys, time
from utils import data

print("ready", flush=True)
begin = time.perf_counter()
data.unpack(sys.argv[1])
print(time.perf_counter() - begin, flush=True)
"""


@pytest.fixture
def packed(tmp_path):
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in data.FASHION_MNIST:
        shutil.copyfile(data.DATA / "FashionMNIST" / "raw" / f"{name}.gz", raw / f"{name}.gz")
    return tmp_path / "data"


def raw_files(folder):
    return {path.name: path for path in (folder / "FashionMNIST" / "raw").iterdir()}


def is_intact(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() == data.FASHION_MNIST[path.name]


def nothing_is_half_there(folder):
    return all(map(is_intact, (p for n, p in raw_files(folder).items() if n.endswith("-ubyte"))))


@pytest.mark.long
def test_unpacking_killed_many_times(packed):
    dice = random.Random(2)
    seconds = float(run(UNPACK, packed).split()[1])
    left_behind = 0
    for number in range(12):
        for name in data.FASHION_MNIST:
            if name in raw_files(packed) and dice.random() < 0.8:
                raw_files(packed)[name].unlink()
        before = set(raw_files(packed))
        processes = [start(UNPACK, packed) for _ in range(1 + number % 2)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        if number % 3:
            time.sleep(dice.uniform(0, seconds))
        else:
            while processes[0].poll() is None:
                if any(name.endswith(".tmp") for name in set(raw_files(packed)) - before):
                    break
        processes[0].kill()
        for process in processes:
            process.communicate()
        assert all(process.returncode == 0 for process in processes[1:])  # beside one that dies
        assert nothing_is_half_there(packed)
        left_behind += any(name.endswith(".tmp") for name in set(raw_files(packed)) - before)
    assert left_behind, "no kill came while a file was written"
    arrays = data.read_raw(packed)
    assert [len(array) for array in arrays.values()] == [60_000, 60_000, 10_000, 10_000]
    assert nothing_is_half_there(packed)
    # What is left of the killed ones goes at the next use, as soon as nobody can be writing it.
    for name, path in raw_files(packed).items():
        if name.endswith(".tmp"):
            os.utime(path, (0, 0))
    data.unpack(packed)
    assert len(raw_files(packed)) == 8


# --- files that are replaced, never written over --------------------------------------------------


def write_results(path, text, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", path.parent)
    common.write(path.name, {"text": text})


def write_numbers(path, text, monkeypatch):
    """As `course.py results` does; the file's own text says what was there before."""
    monkeypatch.setattr(numbers_in_text, "ROOT", path.parent)
    monkeypatch.setattr(numbers_in_text, "bound_files", lambda: [path])
    monkeypatch.setattr(numbers_in_text, "examine", lambda _: (text, ["one number"]))
    assert numbers_in_text.main([]) == 0


def write_checkpoint(path, text, monkeypatch):
    checkpoints.write_file(path, {"text": text})


def write_progress(path, text, monkeypatch):
    progress._write({text: "right"}, path.parent)


# name of the file: how the course writes it
WRITERS = {
    "chapter.ipynb": lambda path, text, _: write(path, text.encode()),
    "measured.json": write_results,
    "README.md": write_numbers,
    "run.pt": write_checkpoint,
    "progress.json": write_progress,
    "file of anyone": lambda path, text, _: atomic.write(path, text.encode()),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_replaced_and_never_written_over(tmp_path, monkeypatch, name):
    """A second name for the old file keeps the old content only if the new one is another file."""
    path, second_name = tmp_path / "folder" / name, tmp_path / "before"
    path.parent.mkdir()
    path.write_bytes(b"what was there before")
    os.link(path, second_name)
    WRITERS[name](path, "what is new", monkeypatch)
    assert b"what is new" in path.read_bytes()
    assert second_name.read_bytes() == b"what was there before"
    assert [file.name for file in path.parent.iterdir()] == [name]


# --- a full disk ----------------------------------------------------------------------------------


def small_disk(folder, size):
    """What to put before a command so that `folder` is a disk of that size, for it alone."""
    if sys.platform != "linux":
        pytest.skip("only Linux can make a small disk for one process")
    mount = 'mount -t tmpfs -o size="$1" tmpfs "$0" && shift && exec "$@"'
    prefix = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, str(folder), size]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets no ordinary process make a small disk")
    return prefix


# How a disk gets full, and how it gets room again.
FILLING = {
    "small disk": """
        def fill():
            with open(folder / "filler", "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass

        def make_room():
            (folder / "filler").unlink()
    """,
    "limit": """
        import resource

        def fill():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

        def make_room():
            resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    """,
}

TRAIN_ON_A_FULL_DISK = """
import sys
from pathlib import Path
import test_training as t
from utils.training import CheckpointError

class Filling(list):
    def set_epoch(self, epoch):
        if epoch == 2:
            self.before = path.read_bytes()
            fill()

folder = Path(sys.argv[1])
path = folder / "run.pt"
options = dict(epochs=5, seed=0, progress=False)
undisturbed, model, resumed = t.make_network(), t.make_network(), t.make_network()
t.train(undisturbed, **options)
batches = Filling(t.make_batches())
history = t.train(model, batches, **options, checkpoint=path)
print(history.message)
assert history.status == "finished" and t.same_weights(model, undisturbed)
assert path.read_bytes() == batches.before
assert {file.name for file in folder.iterdir()} <= {"run.pt", "filler"}
try:
    t.train(t.make_network(), t.Interrupting([()], 0, AssertionError), checkpoint=folder / "b.pt")
except CheckpointError as error:
    print(error)
make_room()
t.train(resumed, **options, checkpoint=path)
assert t.same_weights(resumed, undisturbed)
assert [file.name for file in folder.iterdir()] == ["run.pt"]
"""

UNPACK_ON_A_FULL_DISK = """
import shutil, sys
from pathlib import Path
from utils import data

folder = Path(sys.argv[1])
raw = folder / "FashionMNIST" / "raw"
packed = [f"{name}.gz" for name in data.FASHION_MNIST]
raw.mkdir(parents=True)
for name in packed:
    shutil.copyfile(data.DATA / "FashionMNIST" / "raw" / name, raw / name)
fill()
arrays = data.read_raw(folder)
assert {path.name for path in raw.iterdir()} == {*packed}
make_room()
expected = data.read_raw(folder)
assert all(arrays[name].equal(expected[name]) for name in expected)
assert {path.name for path in raw.iterdir()} == {*packed, *data.FASHION_MNIST}
"""


def on_a_full_disk(script, how, folder, size):
    """What the script prints, and what the system says of such a disk."""
    folder.mkdir()
    prefix, reason = (), "File too large"
    if how == "small disk":
        prefix, reason = small_disk(folder, size), "No space left on device"
    elif os.name == "nt":
        pytest.skip("Windows has no limit for the size of files")
    filling = textwrap.dedent(FILLING[how])
    return run(filling + script, folder, prefix=prefix).splitlines(), reason


@pytest.mark.parametrize("how", FILLING)
def test_training_on_a_full_disk(tmp_path, how):
    printed, reason = on_a_full_disk(TRAIN_ON_A_FULL_DISK, how, tmp_path / "disk", "200k")
    during, message, before = printed  # `fit` prints it once
    assert during == message
    for text in (message, before):
        assert is_one_sentence(text) and "a file that was there before is untouched" in text
        assert f"could not be written ({reason}): " in text


@pytest.mark.parametrize("how", FILLING)
def test_unpacking_on_a_full_disk(tmp_path, how):
    size = "90m"  # enough for all once the filler is gone
    printed, reason = on_a_full_disk(UNPACK_ON_A_FULL_DISK, how, tmp_path / "disk", size)
    (text,) = printed
    assert f"cannot be written to ({reason}): the course reads it from memory" in text
    assert is_one_sentence(text)


# --- a clone that may only be read ----------------------------------------------------------------

LOOK = """
from utils import data

images, labels = next(iter(data.load(batch_size=64, device="cpu").validation))
print("images", tuple(images.shape), "labels", tuple(labels.shape))
"""
OPENED_READ_ONLY = """
import json, os, sys
from pathlib import Path

for cell in json.loads(sys.argv[1]):
    exec(cell)
from utils import training
from torch import nn

assert not os.access(root, os.W_OK)
train = data.load(batch_size=100, train_images=1_000, validation_images=0).train
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
history = training.fit(model, train, epochs=1, learning_rate=0.01)
print("trained", history.status)
for folder in (root, root / "checkpoints"):
    try:
        training.fit(model, train, epochs=1, learning_rate=0.01, checkpoint=folder / "run.pt")
    except training.CheckpointError as error:
        print("refused:", error)
"""


def without_rights():
    """What to put before a command so that not even root may write where it is forbidden."""
    if os.name == "nt":
        pytest.skip("Windows keeps no one from writing by permissions of a folder")
    if os.geteuid() != 0:
        return []
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no permission stops root, and there is no setpriv to give up its rights")
    return prefix


def test_a_clone_that_may_only_be_read(tmp_path):
    prefix = without_rights()
    clone = tmp_path / "clone"
    for name in ("utils", "exercises", "tools", "chapters", "data"):
        unwanted = shutil.ignore_patterns("*-ubyte", "__pycache__", "*.tmp", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, clone / name, ignore=unwanted)
    for name in ("course.py", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
    nb = nbformat.read(clone / "chapters" / "04_nin.ipynb", as_version=4)
    cells = [c.source for c in nb.cells if c.metadata.get("role") in ("bootstrap", "device")]
    cells.append(LOOK)
    folders = [clone, *(path for path in clone.rglob("*") if path.is_dir())]
    for path in clone.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    clone.chmod(0o555)
    before = sorted(clone.rglob("*"))
    home = tmp_path / "home"
    home.mkdir()
    try:
        output = run(
            OPENED_READ_ONLY,
            json.dumps(cells),
            prefix=prefix,
            cwd=clone / "chapters",
            env={"PYTHONPATH": "", "HOME": str(home), "MPLBACKEND": "Agg"},
        )
        assert sorted(clone.rglob("*")) == before
    finally:
        for path in folders:
            path.chmod(0o755)
    lines = output.splitlines()
    packed = [line for line in lines if line.startswith("Fashion-MNIST stays packed, because")]
    assert "data/FashionMNIST/raw cannot be written to (Permission denied): the" in packed[0]
    assert len(packed) == 2 and is_one_sentence(packed[0])  # data was loaded twice
    assert "images (64, 1, 28, 28) labels (64,)" in lines and "trained finished" in lines
    refused = [line for line in lines if line.startswith("refused: ")]
    assert len(refused) == 2
    for line in refused:
        assert "could not be written (Permission denied): " in line and is_one_sentence(line)


# --- damaged files --------------------------------------------------------------------------------


def damaged(whole, dice):
    """What may become of a file: cut short, bits flipped, pieces lost, repeated or overwritten."""
    content = bytearray(whole)
    begin = dice.randrange(len(content))
    piece = slice(begin, begin + dice.choice([1, 4, 64, 512, 4096]))
    how = dice.choice(["cut", "bit", "bit", "bits", "zeros", "noise", "lost", "twice", "longer"])
    if how == "cut":
        del content[begin:]
    elif how in ("bit", "bits"):
        # Half of them where the file begins and ends, because there its structure is written.
        places = [range(min(128, len(content))), range(max(0, len(content) - 2048), len(content))]
        place = dice.choice([*places, range(len(content)), range(len(content))])
        for _ in range(1 if how == "bit" else dice.randint(2, 20)):
            content[dice.choice(place)] ^= 1 << dice.randrange(8)
    elif how == "zeros":
        content[piece] = bytes(len(content[piece]))
    elif how == "noise":
        content[piece] = dice.randbytes(len(content[piece]))
    elif how == "lost":
        del content[piece]
    elif how == "twice":
        content[begin:begin] = content[piece]
    elif how == "longer":
        content += dice.randbytes(len(content[piece]) or 1)
    return bytes(content)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "run.pt"
    train(make_network(), checkpoint=path)
    return path.read_bytes()


def test_a_damaged_checkpoint_is_refused_or_holds_the_same(tmp_path, checkpoint):
    dice, path = random.Random(3), tmp_path / "run.pt"
    path.write_bytes(checkpoint)
    expected, model = checkpoints.read_file(path), load_weights(make_network(5), path)
    refused, cut = 0, [checkpoint[:size] for size in (0, 1, 100, len(checkpoint) - 1)]
    for number in range(400):
        path.write_bytes(content := cut.pop() if cut else damaged(checkpoint, dice))
        other = make_network(seed=5)
        try:
            content_read = checkpoints.read_file(path)
        except CheckpointError as error:
            refused += 1
            assert is_one_sentence(error), error
            if number % 10 == 0:
                with pytest.raises(CheckpointError):
                    train(other, checkpoint=path)
                assert same_weights(other, make_network(seed=5))
        else:
            assert content == checkpoint  # a piece of zeros became zeros
            assert same(content_read, expected), f"case {number} goes unnoticed"
            assert same_weights(load_weights(other, path), model)
        assert path.read_bytes() == content
    assert refused > 350


def fuzz_data(monkeypatch, folder, names, cases, seed):
    monkeypatch.setattr(data, "FASHION_MNIST", {n: data.FASHION_MNIST[n] for n in names})
    dice, raw = random.Random(seed), folder / "FashionMNIST" / "raw"
    expected = data.read_raw(folder)
    whole = {path: path.read_bytes() for n in names for path in (raw / n, raw / f"{n}.gz")}
    outcomes = {"refused": 0, "right": 0}
    for number in range(cases):
        for path, content in whole.items():
            path.unlink(missing_ok=True)
            if path.suffix or dice.random() < 0.5:
                path.write_bytes(content)
        for path in dice.sample(sorted(whole), dice.randint(1, 2)):
            path.write_bytes(damaged(whole[path], dice))
        try:
            found = data.read_raw(folder)
        except DataError as error:
            outcomes["refused"] += 1
            assert is_one_sentence(error), error
        else:
            outcomes["right"] += 1
            assert same(found, expected), f"case {number} goes unnoticed"
            assert all(map(is_intact, (raw / name for name in names)))
        assert not list(raw.glob("*.tmp"))
    assert min(outcomes.values()) > cases / 10, outcomes


def test_damaged_data_is_refused_or_repaired(packed, monkeypatch):
    names = ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"]
    fuzz_data(monkeypatch, packed, names, cases=200, seed=4)


@pytest.mark.long
def test_damaged_images_are_refused_or_repaired(packed, monkeypatch):
    fuzz_data(monkeypatch, packed, ["t10k-images-idx3-ubyte"], cases=40, seed=5)


def test_damaged_mnist_is_refused(tmp_path, monkeypatch):
    dice, raw = random.Random(6), tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 10)):
        head = bytes([0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 28, 0, 0, 0, 28])
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + dice.randbytes(count * 784))
        labels = bytes(label % 10 for label in range(count))
        head = bytes([0, 0, 8, 1, 0, 0, 0, count])
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels)
    whole = {path: path.read_bytes() for path in sorted(raw.iterdir())}
    sums = {path.name: hashlib.sha256(content).hexdigest() for path, content in whole.items()}
    monkeypatch.setattr(data, "MNIST", sums)
    for _ in range(60):
        assert len(data.load("mnist", folder=tmp_path).test.labels) == 10
        path = dice.choice(list(whole))
        path.write_bytes(damaged(whole[path], dice))
        if path.read_bytes() != whole[path]:
            with pytest.raises(DataError, match="it is damaged: delete it") as caught:
                data.load("mnist", folder=tmp_path)
            assert is_one_sentence(caught.value), caught.value
        path.write_bytes(whole[path])


@pytest.mark.parametrize("kind", ["jpg", "png", "ppm", "bmp", "tiff", "webp"])
def test_a_damaged_photo_is_a_data_error_or_a_photo(tmp_path, monkeypatch, kind):
    """No more can be asked: these formats do not all have checksums."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)  # one flipped bit can make it huge
    dice, path = random.Random(7), tmp_path / f"photo.{kind}"
    pixels = np.add.outer(np.arange(60), np.arange(80))[..., None] + [0, 40, 80]
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    whole, refused = path.read_bytes(), 0
    for _ in range(80):
        path.write_bytes(damaged(whole, dice))
        batches = data.StreamedBatches(
            [str(path)], torch.zeros(1).long(), image_size=16, num_workers=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                images, _ = next(iter(batches))
            except DataError as error:
                refused += 1
                assert str(error).startswith(f"The image {path} cannot be read (")
            else:
                assert images.shape == (1, 3, 16, 16)
    assert refused > 10


# --- checkpoints that would run code --------------------------------------------------------------

MARK = "payload_was_run"


class System:
    def __reduce__(self):
        return (os.system, (f"echo run > {MARK}",))


def with_payload(checkpoint):
    """The content of a real checkpoint, with the payload deep inside."""
    content = torch.load(io.BytesIO(checkpoint), weights_only=True)
    content["history"]["message"] = System()
    return content


def saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def sealed(file):
    """The bytes of a file with the checksum that the course looks for: damaged it is not."""
    return file + hashlib.sha256(file).hexdigest().encode()


def rebuilt(checkpoint, change):
    """The archive again, its parts changed by `change`, with checksums that fit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(checkpoint)) as old, zipfile.ZipFile(buffer, "w") as new:
        parts = {name: old.read(name) for name in old.namelist()}
        for name, content in change(parts).items():
            new.writestr(name, content)
    return buffer.getvalue()


def run_first(parts):
    """Let the pickle call os.system before it goes on as if nothing had been."""
    name = next(name for name in parts if name.endswith("/data.pkl"))
    command = f"echo run > {MARK}".encode()
    call = b"cos\nsystem\n(X" + len(command).to_bytes(4, "little") + command + b"tR0"
    return parts | {name: parts[name][:2] + call + parts[name][2:]}


def beside(parts):
    folder = next(iter(parts)).split("/")[0]
    return parts | {f"{folder}/constants.pkl": pickle.dumps(System())}


def unsafe(file):
    return torch.load(file, weights_only=False)


def read_beside(file):
    with zipfile.ZipFile(file) as archive:
        return pickle.loads(archive.read(next(n for n in archive.namelist() if "constants" in n)))


# name: (the file, what an unsafe reader does with it, the message about it if it is sealed)
MORE, OTHER = "it holds more than weights and plain values", "is not a checkpoint of this course"
PAYLOADS = {
    "within the content": (lambda c: saved(with_payload(c)), unsafe, MORE),
    "nothing but the payload": (lambda c: saved(System()), unsafe, MORE),
    "before the content": (lambda c: rebuilt(c, run_first), unsafe, MORE),
    "beside the content": (lambda c: rebuilt(c, beside), read_beside, OTHER),
    "old format": (
        lambda c: saved(with_payload(c), _use_new_zipfile_serialization=False), unsafe, MORE,
    ),
    "plain pickle": (lambda c: pickle.dumps(with_payload(c)), pickle.load, MORE),
}  # fmt: skip


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("as_ours", [False, True])
def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch, checkpoint, name, as_ours):
    monkeypatch.chdir(tmp_path)
    make, read_unsafely, message = PAYLOADS[name]
    path = tmp_path / "evil.pt"
    content = make(checkpoint)
    if as_ours:
        content = sealed(content)
    else:
        message = "is damaged or was cut short, or is not a checkpoint of this course"
    path.write_bytes(content)
    for use in (load_weights, lambda model, path: train(model, checkpoint=path)):
        with pytest.raises(CheckpointError, match=message) as caught:
            use(make_network(), path)
        assert is_one_sentence(caught.value)
    assert not Path(MARK).exists()
    assert path.read_bytes() == content
    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_unsafely(file)
    assert Path(MARK).exists()  # the payload does work


def test_an_archive_of_something_else(tmp_path, checkpoint):
    path = tmp_path / "other.pt"
    content = torch.load(io.BytesIO(checkpoint), weights_only=True)
    others = [
        saved([1, 2]),
        saved({**content, "format": "another"}),
        *(saved({k: v for k, v in content.items() if k != part}) for part in content
          if part not in ("optimizer", "behaviour", "data")),  # a file without them is an older one
        rebuilt(checkpoint, lambda parts: {"readme.txt": b"text"}),
    ]  # fmt: skip
    for other in others:
        path.write_bytes(sealed(other))
        with pytest.raises(CheckpointError, match="is not a checkpoint of this course") as caught:
            load_weights(make_network(), path)
        assert is_one_sentence(caught.value)
