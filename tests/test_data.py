"""utils.data: Fashion-MNIST in the clone, splits, batches, and the other datasets.

The oracles are torchvision (its own FashionMNIST class, MD5 sums, resize and transforms) and d2l.
"""

import collections
import gzip
import hashlib
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from utils import data
from utils.data import Batches, DataError, StreamedBatches

SMALL = "t10k-labels-idx1-ubyte"
# On macOS a fork of a process with threads may hang or crash.
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs fork and signals")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


@pytest.fixture
def no_network(monkeypatch):
    """Every attempt to reach the network fails, and is counted."""
    attempts = []

    def refuse(*args, **kwargs):
        attempts.append(args)
        raise OSError("the network is off in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return attempts


@pytest.fixture(scope="module")
def raw():
    return data.read_raw()


@pytest.fixture(scope="module")
def all_files(tmp_path_factory):
    """A copy of the eight files. Tests link to it, and only replace what they link to."""
    folder = files(tmp_path_factory.mktemp("all"))
    shutil.copytree(data.unpack(), folder)
    return folder


def link_files(all_files, folder, pattern):
    files(folder).mkdir(parents=True)
    for path in all_files.glob(pattern):
        os.link(path, files(folder) / path.name)
    return folder


@pytest.fixture
def packed(tmp_path, all_files):
    """A folder with the four packed files and nothing else."""
    return link_files(all_files, tmp_path / "data", "*.gz")


@pytest.fixture
def unpacked(tmp_path, all_files):
    """The same, unpacked."""
    return link_files(all_files, tmp_path / "data", "*-ubyte*")


@pytest.fixture
def three_files(monkeypatch):
    """Leave out the largest file, to save time where the files are all treated alike."""
    kept = {k: v for k, v in data.FASHION_MNIST.items() if k != "train-images-idx3-ubyte"}
    monkeypatch.setattr(data, "FASHION_MNIST", kept)


def files(folder):
    return folder / "FashionMNIST" / "raw"


def intact(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() == data.FASHION_MNIST[path.name]


# --- The files ------------------------------------------------------------------------------------


def test_the_packed_files_are_the_originals():
    for name, md5 in datasets.FashionMNIST.resources:
        content = (files(data.DATA) / name).read_bytes()
        assert hashlib.md5(content).hexdigest() == md5, name


def test_the_licence_lies_beside_them():
    text = (data.DATA / "FashionMNIST" / "LICENSE").read_text(encoding="utf-8")
    assert "Copyright (c) 2017 Zalando SE" in text and "Permission is hereby granted" in text


def test_torchvision_reads_the_same(raw):
    for split, train in (("train", True), ("test", False)):
        theirs = datasets.FashionMNIST(data.DATA, train=train, download=False)
        assert torch.equal(raw[f"{split}_images"].squeeze(1), theirs.data)
        assert torch.equal(raw[f"{split}_labels"], theirs.targets)
    assert tuple(theirs.classes) == data.FASHION_CLASSES


def test_torchvision_finds_what_was_unpacked_and_not_before(packed):
    with pytest.raises(RuntimeError):
        datasets.FashionMNIST(packed, download=False)
    assert data.unpack(packed) == files(packed)
    assert all(intact(files(packed) / name) for name in data.FASHION_MNIST)
    assert len(datasets.FashionMNIST(packed, train=False, download=False)) == 10_000
    written = [path.stat().st_mtime_ns for path in sorted(files(packed).iterdir())]
    data.unpack(packed)  # once is enough
    assert [path.stat().st_mtime_ns for path in sorted(files(packed).iterdir())] == written
    assert len(written) == 8


def test_d2l_loads_without_a_network(unpacked, raw, monkeypatch, no_network):
    d2l = pytest.importorskip("d2l.torch")
    chapters = unpacked.parent / "chapters"
    chapters.mkdir()
    monkeypatch.chdir(chapters)  # d2l looks in ../data
    monkeypatch.setattr(d2l, "get_dataloader_workers", lambda: 0)
    train, test = d2l.load_data_fashion_mnist(64, resize=32)
    assert torch.equal(train.dataset.data, raw["train_images"].squeeze(1))
    assert torch.equal(test.dataset.targets, raw["test_labels"])
    images, labels = next(iter(test))
    assert images.shape == (64, 1, 32, 32) and torch.equal(labels, raw["test_labels"][:64])
    assert not no_network


def damage(path, how):
    content = bytearray(path.read_bytes())
    path.unlink()  # it may be a link to a file that other tests need
    if how == "missing":
        return
    if how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "one byte short":
        path.write_bytes(content[:-1])
    elif how == "extended":
        path.write_bytes(content + b"x")
    elif how == "bit flipped":
        content[len(content) // 2] ^= 8
        path.write_bytes(content)
    elif how == "other content":
        path.write_bytes(gzip.compress(b"\0" * 10_008))
    elif how == "a folder":
        path.mkdir()


BAD_PACKED = {
    "missing": "is missing",
    "empty": "does not unpack to the published content",
    "truncated": "does not unpack to the published content",
    "one byte short": "does not unpack to the published content",
    "extended": "does not unpack to the published content",
    "bit flipped": "does not unpack to the published content",
    "other content": "does not unpack to the published content",
    "a folder": "cannot be read",
}


@pytest.mark.parametrize(("how", "message"), BAD_PACKED.items())
def test_a_damaged_packed_file(unpacked, three_files, how, message):
    damage(files(unpacked) / f"{SMALL}.gz", how)
    data.unpack(unpacked)  # the unpacked file is good, and that is enough
    (files(unpacked) / SMALL).unlink()
    with pytest.raises(DataError, match=rf"{SMALL}\.gz .*{message}.*copy it from data/Fashion"):
        data.unpack(unpacked)
    assert not (files(unpacked) / SMALL).exists()


@pytest.mark.parametrize("how", ["missing", "empty", "truncated", "bit flipped", "extended"])
def test_a_damaged_unpacked_file_is_repaired(unpacked, three_files, how):
    path = files(unpacked) / SMALL
    damage(path, how)
    data.unpack(unpacked)
    assert intact(path)


def test_both_damaged(unpacked, three_files):
    damage(files(unpacked) / SMALL, "bit flipped")
    damage(files(unpacked) / f"{SMALL}.gz", "bit flipped")
    with pytest.raises(DataError, match="is damaged"):
        data.unpack(unpacked)


def test_in_the_course_itself_git_brings_it_back(unpacked, three_files, monkeypatch):
    monkeypatch.setattr(data, "DATA", unpacked.resolve())
    (files(unpacked) / SMALL).unlink()
    (files(unpacked) / f"{SMALL}.gz").unlink()
    expected = (
        f"The data file data/FashionMNIST/raw/{SMALL}.gz is missing; run "
        '"git checkout -- data/FashionMNIST" in the course folder, or clone the course again.'
    )
    with pytest.raises(DataError) as caught:
        data.load()
    assert str(caught.value) == expected


def test_no_data_at_all(tmp_path):
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is missing"):
        data.load(folder=tmp_path / "nowhere")


# --- Several processes, kills, no write access ----------------------------------------------------


def unpack_together(folder, barrier):
    barrier.wait(120)  # a new process on Windows first imports torch
    data.unpack(folder)


def test_several_processes_at_once(packed):
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    barrier = context.Barrier(3)
    workers = [context.Process(target=unpack_together, args=(packed, barrier)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(240)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert all(intact(files(packed) / name) for name in data.FASHION_MNIST)
    assert len(list(files(packed).iterdir())) == 8  # and no temporary file is left


def in_child(function):
    """Run `function` in a fork of this process; return the process id."""
    child = os.fork()
    if child:
        return child
    try:
        function()
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


def unpack_and_die(folder, function_name, calls):
    """Unpack; the process kills itself at the given call of a function of `os`."""
    original, left = getattr(os, function_name), [calls]

    def die(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(os, function_name, die)
    data.unpack(folder)


@linux_only
@pytest.mark.parametrize(("function_name", "calls"), [("fsync", 1), ("replace", 1), ("replace", 3)])
def test_killed_at_the_worst_moment(packed, three_files, function_name, calls):
    child = in_child(lambda: unpack_and_die(packed, function_name, calls))
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    unpacked = [files(packed) / n for n in data.FASHION_MNIST if (files(packed) / n).exists()]
    assert len(unpacked) == calls - 1
    assert all(intact(path) for path in unpacked)
    leftovers = list(files(packed).glob("*.tmp"))
    assert len(leftovers) == 1
    os.utime(leftovers[0], (0, 0))
    data.unpack(packed)
    assert all(intact(files(packed) / name) for name in data.FASHION_MNIST)
    assert not leftovers[0].exists()  # old ones are swept up
    leftovers[0].touch()
    data.unpack(packed)
    assert leftovers[0].exists()  # another process may be writing it
    os.utime(leftovers[0], (0, 0))
    data.unpack(packed)  # also where everything has been unpacked
    assert not leftovers[0].exists()


@linux_only
def test_killed_at_any_moment(packed):
    for delay in (0.02, 0.15, 0.4):
        child = in_child(lambda: data.unpack(packed))
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        present = [files(packed) / n for n in data.FASHION_MNIST if (files(packed) / n).exists()]
        assert all(intact(path) for path in present)
    data.unpack(packed)
    assert all(intact(files(packed) / name) for name in data.FASHION_MNIST)


@linux_only
def test_a_folder_without_write_access(all_files, three_files):
    """For real: where the tests run as root, whom no permission stops, a child becomes nobody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        files(folder).mkdir(parents=True)
        for path in all_files.glob("*.gz"):
            shutil.copyfile(path, files(folder) / path.name)
        report = Path(name) / "report"
        report.touch()
        for path in (Path(name), *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        report.chmod(0o666)

        def read_as_nobody():
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            if not os.access(folder, os.R_OK):
                os._exit(77)
            with report.open("w", encoding="utf-8") as sys.stdout:
                contents = data._read_files(folder)
            assert [len(c) for c in contents.values()] == [60_008, 7_840_016, 10_008]

        child = in_child(read_as_nobody)
        _, status = os.waitpid(child, 0)
        for path in (Path(name), *folder.rglob("*")):
            path.chmod(0o777)
        if os.waitstatus_to_exitcode(status) == 77:
            pytest.skip("nobody cannot even see the folder for temporary files")
        assert status == 0
        text = report.read_text(encoding="utf-8")
        assert text.count("\n") == 1
        assert "cannot be written to (Permission denied): the course reads it from memory" in text
        assert len(list(files(folder).iterdir())) == 4


def test_a_disk_that_is_full(packed, raw, monkeypatch, capsys):
    def no_space(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    arrays = data.read_raw(packed)
    assert torch.equal(arrays["test_labels"], raw["test_labels"])
    assert "No space left on device" in capsys.readouterr().out
    assert len(list(files(packed).iterdir())) == 4  # no half-written file stays


def test_a_scanner_that_holds_the_file_for_a_moment(packed, three_files, monkeypatch, capsys):
    """What Windows does while another program has one of the two files open."""
    replace, refusals = os.replace, [2]

    def held(source, target):
        if refusals[0]:
            refusals[0] -= 1
            raise PermissionError(13, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", held)
    data.unpack(packed)
    assert refusals == [0] and capsys.readouterr().out == ""
    assert all(intact(files(packed) / name) for name in data.FASHION_MNIST)


# --- Splits ---------------------------------------------------------------------------------------


def rows(images):
    """Each image as bytes, to find it again."""
    return [image.numpy().tobytes() for image in images]


def test_the_three_parts(raw):
    splits = data.load()
    assert splits.train.labels.bincount().tolist() == [5500] * 10
    assert splits.validation.labels.bincount().tolist() == [500] * 10
    assert torch.equal(splits.test.images, raw["test_images"])
    assert torch.equal(splits.test.labels, raw["test_labels"])
    together = collections.Counter(rows(splits.train.images) + rows(splits.validation.images))
    assert together == collections.Counter(rows(raw["train_images"]))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (215, 20, 40)
    for part, shuffled in ((splits.train, True), (splits.validation, False), (splits.test, False)):
        _, labels = next(iter(part))
        assert torch.equal(labels, part.labels[:256]) is not shuffled
    assert splits.classes == data.FASHION_CLASSES and splits.name == "fashion_mnist"
    assert repr(splits) == (
        "fashion_mnist: 55,000 training, 5,000 validation, 10,000 test images, 10 classes"
    )


def test_the_validation_images_never_change(raw):
    """Results of different days and machines stay comparable only as long as this holds."""
    kept, held_out = data._split(raw["train_labels"].numpy(), None, None)
    digest = hashlib.sha256(held_out.astype("<i8").tobytes()).hexdigest()
    assert digest == "4356d12ef8894f5ccda84c381709aa512419c956d6fc4051406b2105ca144998"
    assert np.array_equal(np.union1d(kept, held_out), np.arange(60_000))
    assert torch.equal(data.load(seed=5).validation.images, raw["train_images"][held_out])


def test_smaller_sets_are_stratified_parts_of_larger_ones(raw):
    labels = raw["train_labels"].numpy()
    default_train, default_held_out = data._split(labels, None, None)
    small, held_out = data._split(labels, 1000, 500)
    larger, _ = data._split(labels, 20_000, None)
    assert np.bincount(labels[small]).tolist() == [100] * 10
    assert np.bincount(labels[held_out]).tolist() == [50] * 10
    assert set(held_out) < set(default_held_out)
    assert set(small) < set(larger) < set(default_train)
    odd, _ = data._split(labels, 25, None)
    assert set(np.bincount(labels[odd], minlength=10)) == {2, 3}
    splits = data.load(train_images=300, validation_images=200, test_images=100)
    sizes = [len(part.labels) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [300, 200, 100]
    assert splits.test.labels.bincount().tolist() == [10] * 10


def test_unequal_classes_keep_their_share():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = data._stratified_order(labels)
    assert sorted(order) == list(range(1000))
    for size in (10, 50, 500):
        assert np.bincount(labels[order[:size]]).tolist() == [
            size * 6 // 10,
            size * 3 // 10,
            size // 10,
        ]


def test_all_images_for_timings(raw):
    splits = data.load(validation_images=0)
    assert splits.validation is None
    assert torch.equal(splits.train.images, raw["train_images"])
    assert torch.equal(splits.train.labels, raw["train_labels"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"train_images": 60_000},
            "60,000 training images were asked for, but it must be from 1 to 55,000",
        ),
        ({"train_images": 0}, "0 training images were asked for"),
        (
            {"test_images": 10_001},
            "10,001 test images were asked for, but it must be from 1 to 10,000",
        ),
        (
            {"validation_images": 60_000},
            "validation_images is 60,000, but it must be from 0 to 59,999",
        ),
        ({"validation_images": -1}, "validation_images is -1"),
        ({"name": "imagenet"}, "no dataset 'imagenet'; choose one of fashion_mnist, mnist"),
        ({"name": "image_folder"}, "needs `folder`"),
        ({"batch_size": 0}, "batch_size is a whole number of at least 1, not 0"),
        ({"batch_size": 2.5}, "batch_size is a whole number"),
        ({"image_size": 0}, "image_size is a whole number of pixels or None, not 0"),
        ({"augment": "rotate"}, "augment is False, True"),
        ({"seed": -1}, "A seed is an integer"),
        ({"device": "tpu"}, "'tpu' is not a device"),
    ],
)
def test_arguments_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        data.load(**options)


def test_the_stored_mean_and_deviation(raw):
    pixels = raw["train_images"].double() / 255
    mean, std = data.STATISTICS["fashion_mnist"]
    assert mean == (round(pixels.mean().item(), 4),)
    assert std == (round(pixels.std().item(), 4),)


def test_normalised_as_torchvision_does_and_back(raw):
    splits = data.load(batch_size=64)
    theirs = TF.normalize(raw["test_images"][:64].float() / 255, splits.mean, splits.std)
    images, labels = next(iter(splits.test))
    assert images.dtype == torch.float32 and labels.dtype == torch.int64
    torch.testing.assert_close(images, theirs, rtol=0, atol=1e-6)
    pixels = splits.denormalize(images)
    torch.testing.assert_close(pixels, raw["test_images"][:64] / 255, rtol=0, atol=1e-6)
    assert pixels.min() >= 0 and pixels.max() <= 1
    torch.testing.assert_close(splits.denormalize(images[0]), pixels[0])


# --- Batches --------------------------------------------------------------------------------------


def noise(count, channels, size, seed=0):
    """Random images, no two alike, each labelled with its own number."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(
        0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator
    )
    return images, torch.arange(count)


def epoch(batches):
    parts = list(batches)
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


def test_protocol():
    images, labels = noise(10, 3, 8)
    batches = Batches(images, labels, batch_size=4)
    assert len(batches) == 3 and repr(batches) == "Batches(10 images in 3 batches)"
    parts = list(batches)
    assert [len(y) for _, y in parts] == [4, 4, 2]
    assert all(isinstance(p, tuple) and p[0].shape[1:] == (3, 8, 8) for p in parts)
    x, y = epoch(batches)
    torch.testing.assert_close(x, images / 255, rtol=0, atol=1e-6)
    assert torch.equal(y, labels)
    assert torch.equal(batches.images, images) and batches.batch_size == 4
    assert len(Batches(images, labels, batch_size=5)) == 2
    assert len(Batches(images, labels, batch_size=100)) == 1


def test_shuffled_epochs_show_each_image_once():
    images, labels = noise(500, 1, 4)
    batches = Batches(images, labels, batch_size=64, shuffle=True)
    orders = [epoch(batches) for _ in range(3)]
    for x, y in orders:
        assert torch.equal(y.sort().values, labels)
        torch.testing.assert_close(x, images[y] / 255, rtol=0, atol=1e-6)
    assert not torch.equal(orders[0][1], orders[1][1])
    assert not torch.equal(orders[1][1], orders[2][1])


def test_seed_and_epoch_alone_decide():
    images, labels = noise(200, 1, 28)

    def make(batch_size=32, seed=0):
        options = {"batch_size": batch_size, "shuffle": True, "augment": True, "seed": seed}
        return Batches(images, labels, **options)

    batches = make()
    epochs = [epoch(batches) for _ in range(3)]
    state = torch.get_rng_state()
    torch.manual_seed(99)  # torch's own random numbers have no part in it
    again = make()
    again.set_epoch(2)
    before = torch.get_rng_state()
    for expected, got in zip(epochs[2], epoch(again), strict=True):
        assert torch.equal(expected, got)
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(state)
    batches.set_epoch(1)
    next(iter(batches))  # a look at one batch, as notebooks do
    batches.set_epoch(1)
    for expected, got in zip(epochs[1], epoch(batches), strict=True):
        assert torch.equal(expected, got)
    assert not torch.equal(epoch(make(seed=1))[1], epochs[0][1])
    for expected, got in zip(epochs[0], epoch(make(batch_size=75)), strict=True):
        assert torch.equal(expected, got)  # not even the batch size has a part in it
    with pytest.raises(ValueError, match="Epochs count from 0"):
        batches.set_epoch(-1)


def test_two_iterations_at_once_do_not_disturb_each_other():
    images, labels = noise(100, 1, 4)
    batches = Batches(images, labels, batch_size=10, shuffle=True)
    first, second = iter(batches), iter(batches)
    mixed = [
        torch.cat(part) for part in zip(*[(next(first)[1], next(second)[1]) for _ in range(10)])
    ]
    batches.set_epoch(0)
    assert [torch.equal(part, epoch(batches)[1]) for part in mixed] == [True, True]


def versions(image, padding, flip=True):
    """Every image that crop and flip can make of one, by torchvision."""
    padded = TF.pad(image, [padding] * 4)
    size = image.shape[-1]
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = TF.crop(padded, top, left, size, size)
            yield (top, left, False), crop
            if flip:
                yield (top, left, True), TF.horizontal_flip(crop)


@pytest.mark.parametrize(
    ("augment", "channels", "size", "padding", "flip"),
    [
        (True, 1, 28, 2, True),
        (True, 3, 32, 4, True),
        ("crop", 3, 28, 2, False),
        ("flip", 3, 28, 0, True),
    ],
)
def test_an_augmented_image_is_a_moved_and_mirrored_one(augment, channels, size, padding, flip):
    images, labels = noise(300, channels, size)
    batches = Batches(images, labels, batch_size=128, shuffle=True, augment=augment)
    x, y = epoch(batches)
    bytes_back = (x * 255).round().to(torch.uint8)
    seen = collections.Counter()
    for image, label in zip(bytes_back, y):
        original = images[label]
        matches = [k for k, v in versions(original, padding, flip) if torch.equal(v, image)]
        assert len(matches) == 1
        seen[matches[0]] += 1
    steps = range(2 * padding + 1)
    for axis in (0, 1):
        assert {key[axis] for key in seen} == set(steps)  # each move up to the padding occurs
    mirrored = sum(n for key, n in seen.items() if key[2])
    assert mirrored == 0 if not flip else 105 < mirrored < 195
    middle = sum(n for key, n in seen.items() if key[:2] == (padding, padding))
    assert middle < 100 or padding == 0


def test_augmentation_comes_before_normalisation_and_changes_every_epoch():
    white = torch.full((64, 1, 28, 28), 255, dtype=torch.uint8)
    batches = Batches(white, torch.zeros(64).long(), augment=True, mean=[0.5], std=[0.25])
    first, second = epoch(batches)[0], epoch(batches)[0]
    assert set(first.unique().tolist()) == {-2.0, 2.0}  # what is moved in is black, not grey
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("size", "new"), [(28, 32), (28, 96), (28, 14), (32, 28), (32, 20)])
def test_resized_as_torchvision_does(size, new):
    images, labels = noise(20, 3, size)
    x, _ = epoch(Batches(images, labels, image_size=new))
    assert x.shape == (20, 3, new, new)
    floats = TF.resize(images / 255, [new, new], antialias=True)
    torch.testing.assert_close(x, floats, rtol=0, atol=2e-6)
    rounded = TF.resize(images, [new, new], antialias=True)  # bytes: rounded in both directions
    assert (x * 255 - rounded).abs().max() < 1.01


def test_resizing_of_normalised_images():
    images, labels = noise(20, 3, 28)
    mean, std = data.STATISTICS["cifar10"]
    x, _ = epoch(Batches(images, labels, image_size=96, mean=mean, std=std))
    theirs = TF.normalize(TF.resize(images / 255, [96, 96], antialias=True), mean, std)
    torch.testing.assert_close(x, theirs, rtol=0, atol=2e-5)


def test_the_stored_images_stay_as_they_are(raw):
    images = raw["train_images"][:100].clone()
    batches = Batches(images, raw["train_labels"][:100], augment=True, image_size=32, std=[0.5])
    for x, _ in batches:
        x.zero_()
    assert torch.equal(batches.images, raw["train_images"][:100])


GOOD_IMAGES, GOOD_LABELS = noise(4, 1, 8)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (GOOD_IMAGES / 255, GOOD_LABELS, r"got float32 of shape \(4, 1, 8, 8\); convert pixels"),
        (GOOD_IMAGES[:, 0], GOOD_LABELS, r"\(N, C, H, W\).*got uint8 of shape \(4, 8, 8\)"),
        (GOOD_IMAGES.numpy(), GOOD_LABELS, "got ndarray"),
        (GOOD_IMAGES[:0], GOOD_LABELS[:0], r"at least one image, got shape \(0, 1, 8, 8\)"),
        (GOOD_IMAGES, GOOD_LABELS[:3], r"tensor of 4 integers.*got int64 of shape \(3,\)"),
        (GOOD_IMAGES, GOOD_LABELS.float(), r"got float32 of shape \(4,\)"),
        (GOOD_IMAGES, [0, 1, 2, 3], "got list"),
        (GOOD_IMAGES, GOOD_LABELS + 1, r"from 0 to 3 \(4 classes\), but these reach from 1 to 4"),
        (GOOD_IMAGES, GOOD_LABELS - 1, "but these reach from -1 to 2"),
    ],
)
def test_images_and_labels_of_the_wrong_kind(images, labels, message):
    with pytest.raises(DataError, match=message):
        Batches(images, labels, classes=["a", "b", "c", "d"])


def test_without_class_names_only_negative_labels_are_wrong():
    assert len(Batches(GOOD_IMAGES, GOOD_LABELS + 100).labels) == 4
    with pytest.raises(DataError, match="Labels count from 0 up, but these reach from -1"):
        Batches(GOOD_IMAGES, GOOD_LABELS - 1)


def test_mean_and_deviation_of_the_wrong_length():
    with pytest.raises(ValueError, match=r"one number per channel \(1\), got 3 and 1"):
        Batches(GOOD_IMAGES, GOOD_LABELS, mean=(0.5, 0.5, 0.5), std=(0.5,))


def test_d2l_trains_on_these_batches(monkeypatch, capsys):
    d2l = pytest.importorskip("d2l.torch")

    class Animator:  # d2l's own draws; that is not what is tested
        def __init__(self, **_):
            self.points = points

        def add(self, x, y):
            self.points.append((x, y))

    points = []
    monkeypatch.setattr(d2l, "Animator", Animator)
    splits = data.load(train_images=2560, test_images=1000)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    d2l.train_ch6(net, splits.train, splits.test, 2, 0.1, torch.device("cpu"))
    accuracies = [y[2] for _, y in points if y[2] is not None]
    assert len(accuracies) == 2 and accuracies[-1] > 0.6
    assert "training on cpu" in capsys.readouterr().out


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_sees_the_same_batches():
    images, labels = noise(300, 3, 32)
    options = {"batch_size": 64, "shuffle": True, "augment": True, "image_size": 48}
    here = epoch(Batches(images, labels, device="cpu", **options))
    there = epoch(Batches(images, labels, device="cuda", **options))
    assert there[0].is_cuda and torch.equal(there[1].cpu(), here[1])
    torch.testing.assert_close(there[0].cpu(), here[0], rtol=0, atol=1e-5)


# --- MNIST and CIFAR-10 through torchvision -------------------------------------------------------


def write_idx(path, array):
    """The format of the MNIST files: magic number, sizes, values."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def fake_mnist(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    arrays = {}
    for part, count in (("train", 100), ("t10k", 30)):
        arrays[part] = random.integers(0, 256, (count, 28, 28)), np.arange(count) % 10
        write_idx(folder / f"{part}-images-idx3-ubyte", arrays[part][0])
        write_idx(folder / f"{part}-labels-idx1-ubyte", arrays[part][1])
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(data, "MNIST", sums)
    return tmp_path, arrays


def test_mnist(fake_mnist, no_network):
    folder, arrays = fake_mnist
    splits = data.load("mnist", folder=folder, batch_size=16)
    assert [len(p.labels) for p in (splits.train, splits.validation, splits.test)] == [90, 10, 30]
    assert np.array_equal(splits.test.images.squeeze(1), arrays["t10k"][0])
    assert np.array_equal(splits.test.labels, arrays["t10k"][1])
    assert splits.classes == tuple("0123456789")
    assert splits.validation.labels.tolist().count(3) == 1
    assert not no_network


def test_mirrored_digits_are_no_digits(fake_mnist):
    folder, _ = fake_mnist
    assert data.load("mnist", folder=folder, augment=True).train.augment == "crop"
    assert data.load("mnist", folder=folder, augment="flip").train.augment == "flip"
    assert data.load("mnist", folder=folder, augment=True).test.augment is False


@pytest.fixture
def fake_cifar(tmp_path, monkeypatch):
    """CIFAR-10's format: pickled dictionaries with rows of 3072 bytes, red, green, blue."""
    random = np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    sums, arrays = {}, {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        arrays[name] = random.integers(0, 256, (20, 3072), dtype=np.uint8)
        content = pickle.dumps({"data": arrays[name], "labels": [i % 10 for i in range(20)]})
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    names = [f"thing {i}" for i in range(10)]
    content = pickle.dumps({"label_names": names})
    (folder / "batches.meta").write_bytes(content)
    kind = datasets.CIFAR10
    monkeypatch.setattr(
        kind, "train_list", [[f"data_batch_{i}", sums[f"data_batch_{i}"]] for i in range(1, 6)]
    )
    monkeypatch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": hashlib.md5(content).hexdigest()})
    return tmp_path, arrays, tuple(names)


def test_cifar10(fake_cifar, no_network):
    folder, arrays, names = fake_cifar
    splits = data.load("cifar10", folder=folder, batch_size=16, augment=True)
    assert [len(p.labels) for p in (splits.train, splits.validation, splits.test)] == [90, 10, 20]
    assert np.array_equal(splits.test.images.flatten(1), arrays["test_batch"])
    assert splits.test.images.shape == (20, 3, 32, 32)
    assert splits.classes == names
    assert next(iter(splits.train))[0].shape == (16, 3, 32, 32)
    assert not no_network


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "mnist",
            r"MNIST can be neither read .* copy the four files \*-ubyte\.gz into .*MNIST.raw",
        ),
        ("cifar10", r"CIFAR10 can be neither read .* copy cifar-10-python\.tar\.gz into"),
    ],
)
def test_no_files_and_no_network(tmp_path, no_network, name, wanted):
    with pytest.raises(DataError, match=wanted) as caught:
        data.load(name, folder=tmp_path)
    assert "the network is off in this test" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert no_network  # it was tried
    assert socket.getdefaulttimeout() is None


def test_damaged_files_and_no_network(fake_mnist, fake_cifar, no_network):
    mnist, cifar = fake_mnist[0], fake_cifar[0]
    for how in ("bit flipped", "truncated"):
        damage(mnist / "MNIST" / "raw" / "train-images-idx3-ubyte", how)
        with pytest.raises(DataError, match="it is damaged: delete it"):
            data.load("mnist", folder=mnist)
    damage(cifar / "cifar-10-batches-py" / "data_batch_3", "bit flipped")
    with pytest.raises(DataError, match="it is damaged: delete it"):
        data.load("cifar10", folder=cifar)


# --- A folder of images ---------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    """48 training and 12 test images in three classes, of unequal sizes."""
    random = np.random.default_rng(0)
    for part, count in (("train", 16), ("val", 4)):
        for label in ("ant", "bee", "cat"):
            (tmp_path / part / label).mkdir(parents=True)
            for i in range(count):
                shape = (int(random.integers(30, 60)), int(random.integers(30, 60)), 3)
                pixels = random.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / label / f"{i}.png")
    return tmp_path


def load_photos(folder, **options):
    options = {"batch_size": 8, "image_size": 28, "num_workers": 0, "folder": folder, **options}
    return data.load("image_folder", **options)


def test_image_folder(photos):
    splits = load_photos(photos, validation_images=6)
    assert isinstance(splits.train, StreamedBatches)
    assert [len(p.labels) for p in (splits.train, splits.validation, splits.test)] == [42, 6, 12]
    assert splits.classes == splits.train.classes == ("ant", "bee", "cat")
    assert splits.validation.labels.bincount().tolist() == [2, 2, 2]
    assert (len(splits.train), len(splits.test), splits.train.batch_size) == (6, 2, 8)
    theirs = datasets.ImageFolder(
        photos / "val",
        v2.Compose(
            [
                v2.Resize(32),
                v2.CenterCrop(28),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(splits.mean, splits.std),
            ]
        ),
    )
    x, y = epoch(splits.test)
    torch.testing.assert_close(x, torch.stack([image for image, _ in theirs]), rtol=0, atol=1e-5)
    assert y.tolist() == theirs.targets and x.dtype == torch.float32


def test_a_folder_too_small_to_set_anything_aside(photos):
    for part in ("train", "val"):
        for path in (photos / part).rglob("*.png"):
            if int(path.stem) >= 2:
                path.unlink()
    splits = load_photos(photos)
    assert splits.validation is None and len(splits.train.labels) == 6
    assert len(epoch(splits.train)[1]) == 6


def test_streamed_epochs_depend_on_seed_and_epoch_alone(photos):
    batches = load_photos(photos, augment=True).train
    epochs = [epoch(batches) for _ in range(2)]
    assert torch.equal(epochs[0][1].bincount(), epochs[1][1].bincount())
    assert not torch.equal(epochs[0][0], epochs[1][0])
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = load_photos(photos, augment=True, num_workers=2).train
    again.set_epoch(1)
    for expected, got in zip(epochs[1], epoch(again), strict=True):
        assert torch.equal(expected, got)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(epoch(load_photos(photos, augment=True, seed=0).train)[0], epochs[0][0])
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(epoch(load_photos(photos, augment=True, seed=1).train)[0], epochs[0][0])


def test_streamed_augmentation(photos):
    test = load_photos(photos).test

    def images(augment):
        paths = [path for path, _ in datasets.ImageFolder(photos / "val").samples]
        options = {"mean": data.STATISTICS["image_folder"][0], "std": (0.229, 0.224, 0.225)}
        batches = StreamedBatches(
            paths, test.labels, image_size=28, augment=augment, num_workers=0, **options
        )
        return epoch(batches)[0]

    plain = epoch(test)[0]
    assert torch.equal(images(False), plain)
    mirrored = [torch.equal(x, p.flip(-1)) for x, p in zip(images("flip"), plain)]
    unchanged = [torch.equal(x, p) for x, p in zip(images("flip"), plain)]
    assert 0 < sum(mirrored) < 12 and [not m for m in mirrored] == unchanged
    cropped, both = images("crop"), images(True)
    assert cropped.shape == both.shape == plain.shape
    for changed in (cropped, both):  # no image is the middle any more, mirrored or not
        for x, p in zip(changed, plain):
            assert not torch.equal(x, p) and not torch.equal(x, p.flip(-1))
    # With the same random numbers, True is "crop" followed by mirroring some.
    turned = [torch.equal(x, c.flip(-1)) for x, c in zip(both, cropped)]
    kept = [torch.equal(x, c) for x, c in zip(both, cropped)]
    assert 0 < sum(turned) < 12 and [not t for t in turned] == kept


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_image_that_cannot_be_read(photos, num_workers):
    path = photos / "val" / "bee" / "1.png"
    damage(path, "truncated")
    with pytest.raises(DataError) as caught:
        epoch(load_photos(photos, num_workers=num_workers).test)
    assert str(caught.value).startswith(f"The image {path} cannot be read (")
    assert "\n" not in str(caught.value)


def test_a_folder_of_another_layout(photos, tmp_path):
    with pytest.raises(DataError, match=r"not a folder of images: expected train/<class>/\*\.jpg"):
        load_photos(photos / "train")
    with pytest.raises(DataError, match="not a folder of images"):
        load_photos(tmp_path / "nowhere")
    shutil.rmtree(photos / "val" / "bee")
    with pytest.raises(DataError, match=r"same classes in train and val.*has bee"):
        load_photos(photos)
    for path in (photos / "train" / "cat").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="cat"):
        load_photos(photos)
