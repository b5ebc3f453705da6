"""GoogLeNet in its four forms against the paper's table, torchvision, the book and wrong input."""

import pytest
import torch
import torchvision
from network_tools import (
    fill,
    images_for,
    of_kind,
    on_meta,
    same_output,
    share_by_position,
    sizes,
)
from torch import nn

from utils.networks import build
from utils.networks.googlenet import GoogLeNet


def test_table_one_of_the_paper():
    """Output of every row, and the recount of its weights (K is 1024) and multiplications."""
    network = on_meta("googlenet")
    found = sizes(network)
    outputs = {
        **{"conv1": (64, 112), "pool1": (64, 56), "conv2": (192, 56), "pool2": (192, 28)},
        **{"inception3a": (256, 28), "inception3b": (480, 28), "pool3": (480, 14)},
        **{"inception4a": (512, 14), "inception4b": (512, 14), "inception4c": (512, 14)},
        **{"inception4d": (528, 14), "inception4e": (832, 14), "pool4": (832, 7)},
        **{"inception5a": (832, 7), "inception5b": (1024, 7)},
    }
    assert {name: found[name] for name in outputs} == outputs
    recount = {
        **{"3a": (159.5, 128.0), "3b": (379.0, 304.3), "4a": (366.8, 73.6), "4b": (438.0, 87.9)},
        **{"4c": (497.5, 99.9), "4d": (590.5, 118.5), "4e": (847.0, 170.0)},
        **{"5a": (1018.0, 51.1), "5b": (1409.0, 70.7)},
    }
    for name, (kilo, millions) in recount.items():
        module = getattr(network.features, f"inception{name}")
        weights = sum(m.weight.numel() for m in of_kind(module, nn.Conv2d))
        size = outputs[f"inception{name}"][1]
        assert (round(weights / 1024, 1), round(weights * size**2 / 1e6, 1)) == (kilo, millions)
    linear = network.classifier.linear.weight
    assert linear.numel() == 1_024_000
    convolutions = sum(m.weight.numel() for m in of_kind(network.features, nn.Conv2d))
    assert convolutions + linear.numel() == 6_990_272


@pytest.mark.parametrize("auxiliary", [False, True])
def test_equals_torchvision(auxiliary):
    with torch.device("meta"):
        theirs = torchvision.models.googlenet(
            weights=None, aux_logits=auxiliary, init_weights=False, transform_input=False
        )
    assert same_output(theirs, "googlenet_torchvision", auxiliary=auxiliary) < 1e-5


def test_auxiliary_classifiers_equal_torchvisions():
    with torch.device("meta"):
        theirs = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False)
    fill(theirs)
    ours = on_meta("googlenet_torchvision", auxiliary=True)
    share_by_position(theirs, ours)
    for network in (theirs, ours):
        network.train()
        for module in of_kind(network, nn.Dropout):  # statistics of the batch, nothing dropped
            module.p = 0.0
    images = images_for(ours, 2)
    with torch.no_grad():
        expected = theirs(images)  # its second auxiliary output comes before its first
        logits, inner = ours.all_logits(images)
    assert list(inner) == ["inception4a", "inception4d"]
    wanted = (expected.logits, expected.aux_logits1, expected.aux_logits2)
    for got, right in zip((logits, *inner.values()), wanted, strict=True):
        assert right.std() > 0.01
        assert torch.allclose(got, right, atol=1e-4 * right.abs().max().item())


def test_googlenet_d2l_equals_the_book():
    """The book's code; its class Inception is that of d2l 1.0."""

    class Book(nn.Module):
        def __init__(self, inputs, c1, c2, c3, c4):
            super().__init__()
            self.b1_1 = nn.Conv2d(inputs, c1, 1)
            self.b2_1 = nn.Conv2d(inputs, c2[0], 1)
            self.b2_2 = nn.Conv2d(c2[0], c2[1], 3, padding=1)
            self.b3_1 = nn.Conv2d(inputs, c3[0], 1)
            self.b3_2 = nn.Conv2d(c3[0], c3[1], 5, padding=2)
            self.b4_1 = nn.MaxPool2d(3, stride=1, padding=1)
            self.b4_2 = nn.Conv2d(inputs, c4, 1)

        def forward(self, x):
            relu = nn.functional.relu
            b1 = relu(self.b1_1(x))
            b2 = relu(self.b2_2(relu(self.b2_1(x))))
            b3 = relu(self.b3_2(relu(self.b3_1(x))))
            b4 = relu(self.b4_2(self.b4_1(x)))
            return torch.cat((b1, b2, b3, b4), dim=1)

    def pool():
        return nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    stages = [
        [(192, 64, (96, 128), (16, 32), 32), (256, 128, (128, 192), (32, 96), 64)],
        [
            *((480, 192, (96, 208), (16, 48), 64), (512, 160, (112, 224), (24, 64), 64)),
            *((512, 128, (128, 256), (24, 64), 64), (512, 112, (144, 288), (32, 64), 64)),
            (528, 256, (160, 320), (32, 128), 128),
        ],
        [(832, 256, (160, 320), (32, 128), 128), (832, 384, (192, 384), (48, 128), 128)],
    ]
    with torch.device("meta"):
        third, fourth, fifth = ([Book(*widths) for widths in stage] for stage in stages)
        book = nn.Sequential(
            *(nn.Conv2d(1, 64, 7, stride=2, padding=3), nn.ReLU(), pool()),
            *(nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 192, 3, padding=1), nn.ReLU(), pool()),
            *(*third, pool(), *fourth, pool(), *fifth),
            *(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(1024, 10)),
        )
    assert same_output(book, "googlenet_d2l") < 1e-5


def test_auxiliary_logits_do_not_change_the_answer_and_get_gradients():
    torch.manual_seed(0)
    network = build("googlenet_small", auxiliary=True).eval()
    assert isinstance(network, GoogLeNet)
    assert [name for name, _ in network.named_children()] == ["features", "auxiliary", "classifier"]
    images = torch.rand(4, 1, 28, 28)
    logits, inner = network.all_logits(images)
    assert torch.equal(logits, network(images))
    assert inner["inception4a"].shape == (4, 10)
    assert not network.features.inception4a._forward_hooks
    inner["inception4a"].sum().backward()
    assert network.auxiliary.inception4a.linear.weight.grad is not None
    assert network.features.inception3a.branch1.conv.weight.grad.abs().sum() > 0
    assert network.features.inception5a.branch1.conv.weight.grad is None
    assert build("googlenet_small").all_logits(images)[1] == {}


@pytest.mark.parametrize("batch_norm", [True, False])
def test_googlenet_small(batch_norm):
    network = on_meta("googlenet_small", batch_norm=batch_norm)
    norms = len(of_kind(network, nn.BatchNorm2d))
    convs = of_kind(network, nn.Conv2d)
    assert len(convs) == 31 and norms == (len(convs) if batch_norm else 0)
    assert all((conv.bias is None) == batch_norm for conv in convs)


def test_the_published_network_with_both_heads():
    network = on_meta("googlenet", num_classes=7, in_channels=1, dropout=0.1, auxiliary=True)
    _, inner = network.all_logits(images_for(network))
    assert {name: tuple(logits.shape) for name, logits in inner.items()} == {
        "inception4a": (1, 7),
        "inception4d": (1, 7),
    }
    assert [layer.p for layer in of_kind(network, nn.Dropout)] == [0.7, 0.7, 0.1]
    assert len(of_kind(network, nn.LocalResponseNorm)) == 2
    assert all(conv.bias is not None for conv in of_kind(network, nn.Conv2d))
