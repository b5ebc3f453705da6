"""utils.batches: what each epoch shows, against torchvision; images from memory and from files."""

import collections
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from tools import ROOT
from utils import data
from utils.batches import Batches, DataError, StreamedBatches


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")


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


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


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
    torch.manual_seed(99)  # torch's own random numbers play no part
    again = make()
    again.set_epoch(2)
    before = torch.get_rng_state()
    assert same(epoch(again), epochs[2])
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(state)
    batches.set_epoch(1)
    next(iter(batches))  # a look at one batch, as notebooks do
    batches.set_epoch(1)
    assert same(epoch(batches), epochs[1])
    assert not torch.equal(epoch(make(seed=1))[1], epochs[0][1])
    assert same(epoch(make(batch_size=75)), epochs[0])  # the batch size plays no part either
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


def test_the_stored_images_stay_as_they_are():
    images, labels = noise(100, 1, 28)
    batches = Batches(images.clone(), labels, augment=True, image_size=32, std=[0.5])
    for x, _ in batches:
        x.zero_()
    assert torch.equal(batches.images, images)


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_sees_the_same_batches():
    images, labels = noise(300, 3, 32)
    options = {"batch_size": 64, "shuffle": True, "augment": True, "image_size": 48}
    here = epoch(Batches(images, labels, device="cpu", **options))
    there = epoch(Batches(images, labels, device="cuda", **options))
    assert there[0].is_cuda and torch.equal(there[1].cpu(), here[1])
    torch.testing.assert_close(there[0].cpu(), here[0], rtol=0, atol=1e-5)


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
    steps = [v2.Resize(32), v2.CenterCrop(28), v2.PILToTensor()]
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(splits.mean, splits.std)]
    theirs = datasets.ImageFolder(photos / "val", v2.Compose(steps))
    x, y = epoch(splits.test)
    torch.testing.assert_close(x, torch.stack([image for image, _ in theirs]), rtol=0, atol=1e-5)
    assert y.tolist() == theirs.targets and x.dtype == torch.float32


LEFT_BEHIND = (
    ".ipynb_checkpoints/0-checkpoint.png",
    "__MACOSX/ant/._0.png",
    "@eaDir/ant/SYNOPHOTO_THUMB_M.png",
    "lost+found/0.png",
    "$RECYCLE.BIN/S-1-5/0.png",
    "#recycle/0.png",
    "_gsdata_/0.png",
    "~snapshot/0.png",
    ".DS_Store",
    "Thumbs.db",
    "ant/._0.png",
    "ant/~$0.png",
    "ant/desktop.ini",
    "ant/.ipynb_checkpoints/0-checkpoint.png",
    "ant/@eaDir/0.png/SYNOPHOTO_THUMB_M.png",
    "bee/sub/.hidden/0.png",
)


def test_what_systems_leave_in_a_folder_is_no_data(photos):
    hidden = photos.rename(photos.with_name(".course"))  # above the folder it does not count
    before = load_photos(hidden, validation_images=6)
    for name in LEFT_BEHIND:
        path = hidden / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image")
    after = load_photos(hidden, validation_images=6)
    assert after.classes == ("ant", "bee", "cat")
    for one, other in zip(epoch(before.train), epoch(after.train)):
        assert torch.equal(one, other)
    for path in (hidden / "val").iterdir():
        path.rename(path.with_name(f".{path.name}"))
    with pytest.raises(DataError, match=r"class folder in .*val"):
        load_photos(hidden)


@pytest.mark.parametrize("name", ["New folder", "ant"])
def test_a_class_without_a_picture_is_named(photos, name):
    for path in (photos / "train").glob(f"{name}/*"):
        path.rename(path.with_suffix(".heic"))
    (photos / "train" / name).mkdir(exist_ok=True)
    with pytest.raises(DataError, match=rf"train has no picture such as .* in {name}: fill "):
        load_photos(photos)


def test_a_class_may_be_called_almost_anything(photos):
    for part in ("train", "val"):
        (photos / part / "ant").rename(photos / part / "@ada")
        (photos / part / "bee").rename(photos / part / "#recycled")
    assert load_photos(photos).classes == ("#recycled", "@ada", "cat")


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
    assert same(epoch(again), epochs[1])
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
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError) as caught:
        epoch(load_photos(photos, num_workers=num_workers).test)
    assert str(caught.value).startswith(f"The image {path} cannot be read (")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("num_workers", [-1, 1.5, "2"])
def test_a_number_of_workers_that_makes_no_sense(photos, num_workers):
    with pytest.raises(ValueError, match=f"from 0 on, or None, not {num_workers!r}"):
        load_photos(photos, num_workers=num_workers)


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


# --- worker processes that are interrupted or killed ---------------------------------------------


WORKERS = """
import multiprocessing
multiprocessing.set_start_method("fork")
import os, signal, sys, threading, time
import torch
from torch import nn
from utils import data, training
import psutil

def children():
    return [p for p in psutil.Process().children(recursive=True)
            if "resource_tracker" not in " ".join(p.cmdline())]

def interrupt(after):  # as a notebook does: all processes of the group get it
    def send():
        time.sleep(after)
        os.killpg(0, signal.SIGINT)
    threading.Thread(target=send).start()

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.wait, self.at = nn.Linear(3, 2), 0, {}
    def forward(self, x):
        time.sleep(self.wait)
        if self.training:
            self.at["step"] = self.at.get("step", 0) + 1
            self.at.get(self.at["step"], lambda: None)()
        return self.linear(x.mean((2, 3)))

def load(workers=2):
    return data.load("image_folder", folder=sys.argv[1], batch_size=4, image_size=16,
                     num_workers=workers, validation_images=4, device="cpu")

def fit(model, splits, **options):
    options = dict(epochs=2, learning_rate=0.1, progress=False, seed=1) | options
    return training.fit(model, splits.train, splits.validation, **options)

splits, model, path = load(), Slow(), sys.argv[2]
"""
GOES_ON = """
model.wait, model.at = 0, {}
again = fit(model, splits, checkpoint=path)
assert again.status == "finished" and again.epochs == [1, 2], again
other = Slow()
fit(other, load(0))
assert all(map(torch.equal, model.parameters(), other.parameters()))
assert training.evaluate(model, splits.test).images == 16
assert len(training.predict(model, splits.test)[0]) == 16
time.sleep(0.3)
assert not children(), children()
print("goes on")
"""


@pytest.fixture(scope="module")
def done_with_workers(tmp_path_factory, many_photos):
    """The finished process of each case. They mostly wait, so several run at once."""

    def run(case, folder):
        script = folder / "script.py"
        script.write_text(WORKERS + INTERRUPTED[case] + GOES_ON, encoding="utf-8")
        return subprocess.run(
            [sys.executable, str(script), str(many_photos), str(folder / "run.pt")],
            capture_output=True, text=True, timeout=240, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    with ThreadPoolExecutor(3) as threads:
        folders = [tmp_path_factory.mktemp("workers") for _ in INTERRUPTED]
        return dict(zip(INTERRUPTED, threads.map(run, INTERRUPTED, folders)))


@pytest.fixture(scope="module")
def many_photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for part, count in (("train", 10), ("val", 8)):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (20, 20), (number * 20, 100, 50 * len(part)))
                image.save(folder / part / name / f"{number}.png")
    return folder


INTERRUPTED = {
    "a later batch": """
model.at = {7: lambda: (interrupt(0), time.sleep(5))}
assert fit(model, splits, checkpoint=path).status == "interrupted"
""",
    "the first batch": """
model.at = {1: lambda: (interrupt(0), time.sleep(5))}
assert fit(model, splits, checkpoint=path).status == "interrupted"
""",
    "reading": """
before = splits.train._files.transform
splits.train._files.transform = lambda image: time.sleep(60)
interrupt(2)
assert fit(model, splits, checkpoint=path).status == "interrupted"
splits.train._files.transform = before
""",
    "twice": """
for step in (2, 3):
    model.at = {step: lambda: (interrupt(0), time.sleep(5))}
    assert fit(model, splits, checkpoint=path).status == "interrupted"
""",
    "evaluate and predict": """
kept = []
for call in (training.evaluate, training.predict):
    model.wait = 1
    interrupt(1.5)
    try:
        call(model, splits.test)
    except KeyboardInterrupt as error:
        kept.append(error)  # a notebook keeps it, and all that its frames hold
    else:
        raise AssertionError
""",
    "killed between": """
fit(Slow(), splits)
for child in children():
    child.kill()
time.sleep(0.3)
""",
    "killed while nobody reads": """
opened, kept = iter(splits.train), []
next(opened)
try:
    children()[0].kill()
    time.sleep(5)
except data.DataError as error:
    assert "was ended from outside" in str(error) and "\\n" not in str(error), error
    kept.append(error)
else:
    raise AssertionError
opened.close()
""",
    "killed in a fit": """
kept = []
model.at = {7: lambda: (children()[0].kill(), time.sleep(0.3))}
try:
    fit(model, splits, checkpoint=path)
except data.DataError as error:
    assert "was ended from outside" in str(error) and "\\n" not in str(error), error
    kept.append(error)
else:
    raise AssertionError
""",
}


@pytest.mark.skipif(sys.platform == "win32", reason="no signals for a group of processes")
@pytest.mark.parametrize("case", INTERRUPTED)
def test_after_an_interrupt_workers_read_on(done_with_workers, case):
    done = done_with_workers[case]
    assert done.returncode == 0 and done.stdout.endswith("goes on\n"), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible", "/dev/shm"),
        ("unable to write to file </torch_7_8_0>: No space left on device (28)", "/dev/shm"),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "ended from outside"),
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "ended from outside"),
    ],
)
def test_what_ends_workers_is_one_sentence(photos, monkeypatch, text, message):
    batches = load_photos(photos, num_workers=1).test
    kind = type(iter(batches._loader))
    monkeypatch.setattr(kind, "__next__", lambda self: (_ for _ in ()).throw(RuntimeError(text)))
    with pytest.raises(DataError, match=message) as caught:
        list(batches)
    assert "num_workers=0" in str(caught.value) and "\n" not in str(caught.value)
