"""ResNet against published counts, torchvision, the book and the claims about its block."""

import pytest
import torch
import torchvision
from network_tools import of_kind, on_meta, same_output, share_by_position, sizes
from torch import nn

from utils.networks import build
from utils.networks.resnet import (
    ResidualBlock,
    ZeroPad,
    basic_branch,
    shortcut_layer,
)

IMAGENET = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_depth_counts_the_layers_with_weights(depth):
    for name in (f"resnet{depth}", f"plain{depth}"):
        assert len(of_kind(on_meta(name), nn.Conv2d, nn.Linear)) == depth


def test_shortcuts_of_option_c_are_all_convolutions():
    blocks = of_kind(on_meta("resnet20", shortcut="C"), ResidualBlock)
    assert len(blocks) == 9 and all(isinstance(b.shortcut[0], nn.Conv2d) for b in blocks)


def test_sizes_of_the_maps():
    assert list(sizes(on_meta("resnet50")).values()) == [
        *((64, 112), (64, 112), (64, 112), (64, 56)),
        *((256, 56), (512, 28), (1024, 14), (2048, 7)),
    ]
    assert list(sizes(on_meta("resnet56")).values())[-3:] == [(16, 32), (32, 16), (64, 8)]
    assert list(sizes(on_meta("resnet18_d2l")).values())[-4:] == [
        *((64, 24), (128, 12), (256, 6), (512, 3)),
    ]
    assert list(sizes(on_meta("resnet_small")).values())[-3:] == [(16, 14), (32, 7), (64, 4)]


@pytest.mark.parametrize("name", IMAGENET)
def test_equals_torchvision(name):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(weights=None)
    options = {} if name in ("resnet18", "resnet34") else {"stride_on": "3x3"}
    assert same_output(theirs, name, **options) < 1e-5


def test_stride_matters_for_bottlenecks():
    """The check above would notice the stride in the wrong place."""
    with torch.device("meta"):
        theirs = torchvision.models.resnet50(weights=None)
    assert same_output(theirs, "resnet50", stride_on="1x1") > 0.01
    block = on_meta("resnet50").features.stage3.block1.branch
    assert [conv.stride[0] for conv in of_kind(block, nn.Conv2d)] == [2, 1, 1]


def test_resnet18_d2l_equals_the_book():
    from d2l import torch as d2l

    blocks = [d2l.Residual(64), d2l.Residual(64)]
    for channels in (128, 256, 512):
        blocks += [
            d2l.Residual(channels, use_1x1conv=True, strides=2),
            d2l.Residual(channels),
        ]
    book = nn.Sequential(
        nn.LazyConv2d(64, kernel_size=7, stride=2, padding=3),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        *blocks,
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
        nn.LazyLinear(10),
    ).eval()
    torch.manual_seed(0)
    images = torch.randn(2, 1, 96, 96)
    book(images)
    ours = build("resnet18_d2l").eval()
    # the book registers a block's 1x1 before its norms, so the order differs: match by shape
    for block, twin in zip(of_kind(ours, ResidualBlock), blocks):
        pairs = [(block.branch.conv1, twin.conv1), (block.branch.conv2, twin.conv2)]
        pairs += [(block.branch.norm1, twin.bn1), (block.branch.norm2, twin.bn2)]
        if twin.conv3 is not None:
            pairs.append((block.shortcut, twin.conv3))
        for mine, its in pairs:
            mine.load_state_dict(its.state_dict())
    share_by_position(book[0], ours.features.conv1)
    share_by_position(book[-1], ours.classifier.linear)
    with torch.no_grad():
        assert torch.allclose(ours(images), book(images), rtol=1e-5, atol=1e-5)


# --- the block ------------------------------------------------------------------------------------


def test_plain_block_has_no_shortcut():
    torch.manual_seed(0)
    maps, plain = torch.randn(2, 4, 6, 6), ResidualBlock(basic_branch(4, 4), None)
    assert torch.equal(plain(maps), plain.branch(maps).relu())
    assert all(block.shortcut is None for block in of_kind(on_meta("plain20"), ResidualBlock))


def test_branch_that_starts_at_zero_is_the_identity_for_what_a_relu_gives():
    torch.manual_seed(0)
    network = build("resnet20", zero_last_norm=True, in_channels=1)
    block = network.features.stage1.block1
    maps = torch.randn(2, 16, 8, 8)
    assert torch.equal(block(maps.relu()), maps.relu())
    assert torch.equal(block(maps), maps.relu()) and not torch.equal(block(maps), maps)
    blocks = of_kind(network, ResidualBlock)
    assert not any(block.branch.norm2.weight.any() for block in blocks)
    assert (build("resnet20").features.stage1.block1.branch.norm2.weight == 1).all()
    with pytest.raises(ValueError, match="end in a batch norm"):
        build("resnet20", batch_norm=False, zero_last_norm=True)


def test_option_a_takes_every_second_pixel_and_adds_zeros():
    maps = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    out = shortcut_layer(3, 5, 2, option="A")(maps)
    assert torch.equal(out[:, :3], maps[:, :, ::2, ::2]) and not out[:, 3:].any()
    assert isinstance(shortcut_layer(3, 5, 2, option="A"), ZeroPad)
    assert isinstance(shortcut_layer(3, 3, 1, option="A"), nn.Identity)
    assert isinstance(shortcut_layer(3, 3, 1, option="B"), nn.Identity)
    conv, norm = shortcut_layer(3, 5, 2, option="B")
    assert (conv.kernel_size, conv.stride, conv.bias) == ((1, 1), (2, 2), None)
    assert isinstance(norm, nn.BatchNorm2d)
    with pytest.raises(ValueError, match='shortcut must be one of "A", "B", "C", but got'):
        build("resnet20", shortcut="D")
    with pytest.raises(ValueError, match='stride_on must be one of "1x1", "3x3", but got'):
        build("resnet50", stride_on="5x5")


def test_networks_without_batch_norm():
    for name in ("resnet20", "plain20"):
        network = on_meta(name, batch_norm=False)
        assert not of_kind(network, nn.BatchNorm2d)
        assert all(conv.bias is not None for conv in of_kind(network, nn.Conv2d))


def test_options_of_resnet_small():
    deeper = on_meta("resnet_small", blocks=(1, 2, 3), widths=(8, 8, 8))
    assert len(of_kind(deeper, ResidualBlock)) == 6
    with pytest.raises(ValueError, match="must be three numbers"):
        build("resnet_small", widths=(1, 2))
