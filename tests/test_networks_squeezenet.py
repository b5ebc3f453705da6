"""SqueezeNet against torchvision's, and against what its weights answer there."""

import pytest
import torch
import torchvision
from network_tools import count, macs, of_kind, on_meta, same_output, sizes
from torch import nn
from torchvision.models import SqueezeNet1_1_Weights

from utils.networks import build
from utils.networks.squeezenet import Fire


def test_it_equals_torchvision():
    with torch.device("meta"):
        theirs = torchvision.models.squeezenet1_1()
    assert same_output(theirs, "squeezenet") < 1e-5


def test_published_counts():
    network, published = on_meta("squeezenet"), SqueezeNet1_1_Weights.IMAGENET1K_V1.meta
    assert count(network) == published["num_params"]
    assert round(macs(network) / 1e9, 3) == published["_ops"]
    assert len(of_kind(network, nn.Conv2d)) == 26 and not of_kind(network, nn.Linear)


def test_sizes_and_options():
    network = build("squeezenet", num_classes=7, in_channels=2).eval()
    assert network(torch.randn(1, 2, 17, 17)).shape == (1, 7)
    found = sizes(on_meta("squeezenet"))
    assert found["conv1"] == (64, 111) and found["pool1"] == (64, 55) and found["fire9"][1] == 13


def test_a_fire_module_squeezes_first():
    torch.manual_seed(0)
    fire, maps = Fire(8, 3, 4, 5), torch.randn(2, 8, 6, 6)
    squeezed = nn.functional.conv2d(maps, fire.squeeze.conv.weight, fire.squeeze.conv.bias).relu()
    assert squeezed.shape[1] == 3
    wide = nn.functional.conv2d(
        squeezed, fire.expand3x3.conv.weight, fire.expand3x3.conv.bias, padding=1
    )
    joined = fire(maps)
    assert joined.shape == (2, 9, 6, 6)
    assert torch.allclose(joined[:, 4:], wide.relu(), atol=1e-6)


def test_stored_weights_give_torchvisions_network_the_same_logits():
    ours = build("squeezenet", pretrained=True)
    theirs = torchvision.models.squeezenet1_1().eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values())))
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 60
    with torch.no_grad():
        wanted, found = theirs(images), ours(images)
    assert wanted.std() > 1 and (found - wanted).abs().max() / wanted.abs().max() < 1e-5


@pytest.mark.parametrize("size", [16, 1])
def test_too_small_images_get_a_sentence(size):
    with pytest.raises(ValueError, match="at least 17x17 pixels"):
        build("squeezenet")(torch.randn(1, 3, size, size))
