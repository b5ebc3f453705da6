"""What the tests of the networks share. Counts are taken on the meta device, which has shapes and
no numbers; only networks whose outputs are compared get numbers."""

import math

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from utils.networks import build


def on_meta(name, **options):
    with torch.device("meta"):
        return build(name, **options).eval()


def images_for(network, count=1, size=None):
    """Random images, or images without numbers for a network on the meta device."""
    size = size or network.image_size
    device = next(network.parameters()).device
    generator = None if device.type == "meta" else torch.Generator().manual_seed(0)
    shape = (count, network.in_channels, size, size)
    return torch.randn(shape, generator=generator, device=device)


def of_kind(network, *kinds):
    return [module for module in network.modules() if isinstance(module, kinds)]


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def sizes(network, size=None):
    """Channels and height of the maps after each named part of `features`."""
    maps, found = images_for(network, 1, size), {}
    for name, part in network.features.named_children():
        maps = part(maps)
        found[name] = (maps.shape[1], maps.shape[-1])
    return found


def macs(network, size=None):
    """Counted by torch: its FLOPs are twice the multiply-accumulates."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images_for(network, 1, size))
    return counter.get_total_flops() // 2


def fill(network):
    """Numbers for a network on the meta device: cheap, and no two layers alike.

    Weights are as large as He initialisation makes them, so that the signal reaches the end;
    batch norms get running statistics that matter in evaluation.
    """
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2**20 + 7, generator=generator)  # drawing all numbers would take longer

    def draw(tensor, mean, deviation):
        nonlocal noise
        noise = noise.roll(12_345)
        repeated = noise.repeat(-(-tensor.numel() // len(noise)))[: tensor.numel()]
        tensor.copy_(repeated.view_as(tensor)).mul_(deviation).add_(mean)

    with torch.no_grad():
        for module in of_kind(network, nn.Conv2d, nn.Linear):
            draw(module.weight, 0, math.sqrt(2 / module.weight[0].numel()))
            if module.bias is not None:
                draw(module.bias, 0, 0.1)
        for module in of_kind(network, nn.BatchNorm2d):
            draw(module.weight, 0.75, 0.1)
            draw(module.bias, 0, 0.1)
            draw(module.running_mean, 0, 0.1)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.num_batches_tracked.zero_()
    return network


def share_by_position(source, target):
    """Let `target` have the tensors of `source` itself, first to first; shapes must agree."""
    tensors = {}
    for kind in ("named_parameters", "named_buffers"):
        pairs = zip(getattr(target, kind)(), getattr(source, kind)(), strict=True)
        tensors |= {name: tensor for (name, _), (_, tensor) in pairs}
    target.load_state_dict(tensors, assign=True)


def same_output(theirs, name, training=False, size=None, **options):
    """Largest difference of logits between `theirs`, a network on meta, and ours, relative.

    In training mode too the same seed drops the same units if dropout is in the same places.
    """
    theirs, ours = fill(theirs), on_meta(name, **options)
    share_by_position(theirs, ours)
    images, logits = images_for(ours, 1, size), []
    for network in (theirs, ours):
        torch.manual_seed(1)
        with torch.no_grad():
            logits.append(network.train(training)(images))
    assert logits[0].std() > 0.01, "the signal must reach the end"
    return ((logits[1] - logits[0]).abs().max() / logits[0].abs().max()).item()
