"""What the tests of the larger networks share. Counts are taken on the meta device, which has
shapes and no numbers; only networks whose outputs are compared get numbers."""

import math

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from utils.networks import build


def on_meta(name, **options):
    with torch.device("meta"):
        return build(name, **options).eval()


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def sizes(network, size=None):
    """Channels and height of the maps after each named part of ``features``."""
    size = size or network.image_size
    maps = torch.empty(1, network.in_channels, size, size, device="meta")
    found = {}
    for name, part in network.features.named_children():
        maps = part(maps)
        found[name] = (maps.shape[1], maps.shape[-1])
    return found


def macs(network, size=None):
    """Counted by torch: its FLOPs are twice the multiply-accumulates."""
    size = size or network.image_size
    image = torch.empty(1, network.in_channels, size, size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops() // 2


def fill(network):
    """Numbers for a network on the meta device: cheap, and no two layers alike.

    Weights are as large as He initialisation makes them, so that the signal reaches the end;
    batch norms get running statistics that matter in evaluation.
    """
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, math.sqrt(2 / fan_in), generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.num_batches_tracked.zero_()
    return network


def copy_by_position(source, target):
    """Copy parameters and batch norm statistics from ``source`` to ``target``, first to first."""
    for kind in ("parameters", "buffers"):
        pairs = zip(getattr(source, kind)(), getattr(target, kind)(), strict=True)
        with torch.no_grad():
            for a, b in list(pairs):
                assert a.shape == b.shape
                b.copy_(a)


def same_output(theirs, name, **options):
    """Largest difference of logits between ``theirs``, a network on meta, and ours, relative."""
    theirs = fill(theirs.eval())
    ours = on_meta(name, **options).to_empty(device="cpu")
    copy_by_position(theirs, ours)
    size = ours.image_size
    image = torch.randn(1, ours.in_channels, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(image)
        assert expected.std() > 0.01, "the signal must reach the end"
        return ((ours(image) - expected).abs().max() / expected.abs().max()).item()
