"""utils.data: Fashion-MNIST in the clone, its three parts, and the other datasets.

The oracles are torchvision (its own FashionMNIST class and MD5 sums) and d2l.
"""

import collections
import gzip
import hashlib
import io
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets
from torchvision.transforms.v2 import functional as TF

from utils import data
from utils.data import DataError

SMALL = "t10k-labels-idx1-ubyte"


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


def intact(folder):
    """Names of the unpacked files, after a look that each is whole."""
    found = {name for name in data.FASHION_MNIST if (files(folder) / name).exists()}
    for name in found:
        content = (files(folder) / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == data.FASHION_MNIST[name], name
    return found


def all_are_intact(folder):
    return intact(folder) == data.FASHION_MNIST.keys()


def sizes(splits):
    return [len(part.labels) for part in (splits.train, splits.validation, splits.test)]


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
    assert all_are_intact(packed)
    assert len(datasets.FashionMNIST(packed, train=False, download=False)) == 10_000
    written = {path: path.stat().st_mtime_ns for path in files(packed).iterdir()}
    data.unpack(packed)  # once is enough
    assert {path: path.stat().st_mtime_ns for path in files(packed).iterdir()} == written
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


def bit_flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 8]) + content[middle + 1 :]


DAMAGE = {
    "missing": None,
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "extended": lambda content: content + b"x",
    "bit flipped": bit_flipped,
    "other content": lambda content: gzip.compress(b"\0" * 10_008),
}


def damage(path, how):
    content = path.read_bytes()
    path.unlink()  # it may be a link to a file that other tests need
    if DAMAGE[how]:
        path.write_bytes(DAMAGE[how](content))


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_packed_file(unpacked, three_files, how):
    damage(files(unpacked) / f"{SMALL}.gz", how)
    data.unpack(unpacked)  # the unpacked file is good, and that is enough
    (files(unpacked) / SMALL).unlink()
    message = "is missing" if how == "missing" else "does not unpack to the published content"
    with pytest.raises(DataError, match=rf"{SMALL}\.gz .*{message}.*copy it from data/Fashion"):
        data.unpack(unpacked)
    assert not (files(unpacked) / SMALL).exists()


def test_a_folder_in_place_of_a_packed_file(packed, three_files):
    (files(packed) / f"{SMALL}.gz").unlink()
    (files(packed) / f"{SMALL}.gz").mkdir()
    with pytest.raises(DataError, match=rf"{SMALL}\.gz cannot be read"):
        data.unpack(packed)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_unpacked_file_is_repaired(unpacked, three_files, how):
    damage(files(unpacked) / SMALL, how)
    data.unpack(unpacked)
    assert all_are_intact(unpacked)


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
    assert all_are_intact(packed)
    assert len(list(files(packed).iterdir())) == 8  # and no temporary file is left


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


# On macOS a fork of a process with threads may hang or crash.
@pytest.mark.skipif(sys.platform != "linux", reason="needs fork and signals")
@pytest.mark.parametrize(("function_name", "calls"), [("fsync", 1), ("replace", 1), ("replace", 3)])
def test_killed_at_the_worst_moment(packed, three_files, function_name, calls):
    arguments = (packed, function_name, calls)
    child = get_context("fork").Process(target=unpack_and_die, args=arguments)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert len(intact(packed)) == calls - 1
    (leftover,) = files(packed).glob("*.tmp")
    data.unpack(packed)
    assert all_are_intact(packed)
    assert leftover.exists()  # another process may be writing it
    os.utime(leftover, (0, 0))
    data.unpack(packed)  # an old one goes, also if everything has been unpacked
    assert not leftover.exists()


def test_a_disk_that_is_full(packed, raw, monkeypatch, capsys):
    def no_space(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    arrays = data.read_raw(packed)
    assert torch.equal(arrays["test_labels"], raw["test_labels"])
    assert "No space left on device" in capsys.readouterr().out
    assert len(list(files(packed).iterdir())) == 4  # no half-written file stays


def read_as_nobody(folder, queue):
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    sys.stdout = io.StringIO()
    queue.put(
        ([len(content) for content in data._read_files(folder).values()], sys.stdout.getvalue())
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
def test_a_folder_without_write_access(all_files, three_files):
    """For real: where the tests run as root, whom no permission stops, a child becomes nobody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "data"
        files(folder).mkdir(parents=True)
        for path in all_files.glob("*.gz"):
            shutil.copyfile(path, files(folder) / path.name)
        for path in (Path(name), *folder.rglob("*"), folder):
            path.chmod(0o555 if path.is_dir() else 0o444)
        context = get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=read_as_nobody, args=(folder, queue))
        child.start()
        child.join(60)
        for path in (Path(name), folder, *folder.rglob("*")):
            path.chmod(0o777)
        assert child.exitcode == 0
        lengths, printed = queue.get()
        assert lengths == [60_008, 7_840_016, 10_008] and printed.count("\n") == 1
        assert (
            "cannot be written to (Permission denied): the course reads it from memory" in printed
        )
        assert len(list(files(folder).iterdir())) == 4


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
    assert all_are_intact(packed)


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
    assert sizes(splits) == [300, 200, 100]
    assert splits.test.labels.bincount().tolist() == [10] * 10


def test_unequal_classes_keep_their_share():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = data._stratified_order(labels)
    assert sorted(order) == list(range(1000))
    for tens in (1, 5, 50):
        assert np.bincount(labels[order[: 10 * tens]]).tolist() == [6 * tens, 3 * tens, tens]


def test_all_images_for_timings(raw):
    splits = data.load(validation_images=0)
    assert splits.validation is None
    assert torch.equal(splits.train.images, raw["train_images"])
    assert torch.equal(splits.train.labels, raw["train_labels"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_images": 60_000}, "60,000 training images were asked for; choose 1 to 55,000"),
        ({"train_images": 0}, "0 training images were asked for"),
        ({"test_images": 10_001}, "10,001 test images were asked for; choose 1 to 10,000"),
        ({"validation_images": 60_000}, "validation_images is 60,000; choose 0 to 59,999"),
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
    found = pixels.mean().item(), pixels.std().item()
    assert data.STATISTICS["fashion_mnist"] == tuple((round(value, 4),) for value in found)


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
    assert sizes(splits) == [90, 10, 30]
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
    kind, random = datasets.CIFAR10, np.random.default_rng(0)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5(pickle.dumps(content)).hexdigest()]

    def images(name):
        pixels = random.integers(0, 256, (20, 3072), dtype=np.uint8)
        return write(name, {"data": pixels, "labels": [i % 10 for i in range(20)]}), pixels

    monkeypatch.setattr(kind, "train_list", [images(f"data_batch_{i}")[0] for i in range(1, 6)])
    entry, pixels = images("test_batch")
    monkeypatch.setattr(kind, "test_list", [entry])
    names = [f"thing {i}" for i in range(10)]
    _, md5 = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5})
    return tmp_path, pixels, tuple(names)


def test_cifar10(fake_cifar, no_network):
    folder, pixels, names = fake_cifar
    splits = data.load("cifar10", folder=folder, batch_size=16, augment=True)
    assert sizes(splits) == [90, 10, 20]
    assert np.array_equal(splits.test.images.flatten(1), pixels)
    assert splits.test.images.shape == (20, 3, 32, 32)
    assert splits.classes == names
    assert next(iter(splits.train))[0].shape == (16, 3, 32, 32)
    assert not no_network


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mnist", r"^MNIST can be neither read .* the four files \*-ubyte\.gz into .*MNIST.raw"),
        ("cifar10", r"^CIFAR10 can be neither read .* copy cifar-10-python\.tar\.gz into"),
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
