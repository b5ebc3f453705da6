"""`cam`, which learners copy from chapter 6: with networks of torchvision, and what it leaves."""

import nbformat
import pytest
import torch
from torch import nn
from torchvision import models

from tools import ROOT
from utils.topics.localisation import class_map


@pytest.fixture(scope="module")
def cam():
    nb = nbformat.read(ROOT / "chapters" / "06_global_average_pooling.ipynb", as_version=4)
    [cell] = [cell for cell in nb.cells if cell.id == "6-own-code"]
    names = {"torch": torch, "nn": nn, "class_map": class_map}
    exec(cell.source, names)
    return names["cam"]


def images(count=2, size=96):
    return torch.randn(count, 3, size, size)


def one_linear_vgg():
    """VGG-11 as the table of heads repairs it, made without its own large head."""
    model = models.vgg.VGG(models.vgg.make_layers(models.vgg.cfgs["A"]), init_weights=False)
    model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 10)
    return model


FITS = {
    "resnet18": (models.resnet18, "layer4", "fc"),
    "resnet50": (models.resnet50, "layer4", "fc"),
    "densenet121": (models.densenet121, "features", "classifier"),
    "mobilenet_v2": (models.mobilenet_v2, "features", "classifier.1"),
    "repaired vgg": (one_linear_vgg, "features", "classifier"),
}


@pytest.mark.parametrize("name", FITS)
def test_names_of_layers_fit(cam, name):
    make, last_maps, linear = FITS[name]
    model, batch = make(), images()
    last_maps, linear = model.get_submodule(last_maps), model.get_submodule(linear)
    maps, classes = cam(model, last_maps, linear, batch)
    with torch.no_grad():
        scores = model.eval()(batch)
    assert maps.shape == (2, 3, 3) and torch.equal(classes, scores.argmax(dim=1))
    other = torch.tensor([3, 5])
    maps, _ = cam(model, last_maps, linear, batch, classes=other)
    logits = (maps.mean(dim=(1, 2)) + linear.bias[other]).detach()
    torch.testing.assert_close(logits, scores[[0, 1], other], rtol=1e-3, atol=1e-5)


def test_a_copy_would_be_wrong_for_densenet():
    model, kept = models.densenet121().eval(), {}
    model.features.register_forward_hook(lambda *call: kept.update(own=call[2], copy=call[2] + 0))
    with torch.no_grad():
        model(images())
    assert kept["own"].min() == 0 > kept["copy"].min()


NOT = {
    "two linear layers": (models.mobilenet_v3_small, "features", "classifier.0", "not GAP"),
    "second of two": (models.mobilenet_v3_small, "features", "classifier.3", "several linear"),
    "layer norm between": (models.convnext_tiny, "features", "classifier.2", "not GAP"),
    "layer too early": (models.resnet18, "layer4.0", "fc", "not GAP"),
    "other channels": (models.resnet18, "layer3", "fc", "another layer"),
    "after pooling": (models.resnet18, "avgpool", "fc", "before the pooling"),
    "no linear layer": (models.mobilenet_v2, "features", "classifier", "linear layer itself"),
}


@pytest.mark.parametrize("name", NOT)
def test_other_networks_and_layers_are_refused(cam, name):
    make, last_maps, linear, message = NOT[name]
    model = make()
    with pytest.raises(AssertionError, match=message):
        cam(model, model.get_submodule(last_maps), model.get_submodule(linear), images())


def test_a_layer_that_does_not_run_and_a_sigmoid(cam):
    model = models.resnet18(num_classes=1)
    with pytest.raises(AssertionError, match="did not run"):
        cam(model, nn.Conv2d(3, 512, 1), model.fc, images())
    after_sigmoid = nn.Sequential(model, nn.Sigmoid())
    with pytest.raises(AssertionError, match="not GAP"):
        cam(after_sigmoid, model.layer4, model.fc, images())


@pytest.mark.parametrize("raises", [False, True])
def test_flags_and_hooks_are_as_before(cam, raises):
    model = models.resnet18()
    model.train()
    model.bn1.eval()  # a frozen layer in a model that trains
    before = [module.training for module in model.modules()]
    batch = images()[:, : 1 if raises else 3]  # one channel: the first convolution raises
    try:
        cam(model, model.layer4, model.fc, batch)
    except RuntimeError:
        assert raises
    else:
        assert not raises
    assert [module.training for module in model.modules()] == before
    assert not any(module._forward_hooks for module in model.modules())


def test_one_logit_and_two(cam):
    batch = images()
    single = models.resnet18(num_classes=1)
    maps, classes = cam(single, single.layer4, single.fc, batch)
    assert classes.tolist() == [0, 0] and maps.shape == (2, 3, 3)
    double = models.resnet18(num_classes=2)
    one = torch.ones(len(batch), dtype=torch.long)
    layers = double, double.layer4, double.fc, batch
    difference = cam(*layers, classes=one)[0] - cam(*layers, classes=0 * one)[0]
    with torch.no_grad():
        logits = double.eval()(batch)
        bias = double.fc.bias[1] - double.fc.bias[0]
    average = difference.mean(dim=(1, 2)) + bias
    torch.testing.assert_close(average, logits[:, 1] - logits[:, 0], rtol=1e-3, atol=1e-4)
