"""Whether two answers do the same: the evidence that a surviving mutant is equivalent.

A probe feeds an answer with inputs of its own, other than those of the exercise's check, and gives
what comes out. It leaves alone what the task leaves open, such as images that are too small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from exercises import engine
from exercises.compare import close, same_outputs
from utils import networks
from utils.topics import capstone

Probe = Callable[[Any], Any]
PROBES: dict[str, Probe] = {}
MODULES: dict[str, tuple[tuple, ...]] = {}


def probe(id: str) -> Callable[[Probe], Probe]:
    def declare(function: Probe) -> Probe:
        PROBES[id] = function
        return function

    return declare


def known() -> set[str]:
    """The exercises that have a probe."""
    return {*PROBES, *MODULES}


def difference(item: engine.Exercise, answer: Any) -> str:
    """What an answer does otherwise than the solution, or an empty text."""
    if item.id not in known():
        return f"{item.id} has no probe in tests/mutation_probes.py"
    with engine._undisturbed():
        if item.id in MODULES:
            for arguments, shape in MODULES[item.id]:
                try:
                    ours, theirs = (f(*arguments) for f in (answer, item.reference()))
                    same_outputs(ours, theirs, shape, tolerance=1e-5)
                except Exception as error:
                    return f"{type(error).__name__}: {error}"
        results = []
        for given in (answer, item.reference()):
            torch.manual_seed(20)
            try:
                results.append(PROBES[item.id](given) if item.id in PROBES else None)
            except Exception as error:
                return f"{type(error).__name__}: {error}"
    return "" if close(*results, 1e-5) else "the results differ"


# --- networks: arguments, and the shape of an input ----------------------------------------------

MODULES |= {
    "vgg.2": (((2, 3, "131"), (2, 2, 7, 9)), ((1, 4), (2, 1, 6, 6))),
    "vgg.4": (((("3", "31", "1"), (3, 5, 4), 2, 4, 17, 30), (2, 2, 17, 17)),),
    "vgg.5": (((7,), (2, 1, 32, 32)),),
    "nin.5": (((7,), (2, 1, 28, 28)),),
    "gap.2": (((7,), (2, 1, 17, 23)),),
    "resnet.5": (((4, 3, 2), (2, 4, 7, 5)), ((8, 2), (2, 8, 6, 6))),
    "mobilenet.4": (
        ((3, 5, 2, 4), (2, 3, 7, 9)),
        ((4, 4, 1, 3), (2, 4, 5, 6)),
        ((2, 2, 1, 1), (2, 2, 4, 4)),
    ),
}


# --- functions -----------------------------------------------------------------------------------


@probe("start.2")
def _(accuracy):
    return accuracy(torch.randn(50, 7), torch.randint(7, (50,)))


@probe("lenet.1")
def _(conv2d):
    return (
        conv2d(torch.randn(9, 11), torch.randn(2, 4), 3, 2),
        conv2d(torch.randn(6, 5), torch.randn(3, 3), 1, 1),
    )


@probe("lenet.5")
def _(training_step):
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    batches = [(torch.randn(8, 1, 3, 4), torch.randint(3, (8,))) for _ in range(5)]
    losses = [training_step(model, *batch, optimizer) for batch in batches]
    return losses, [p.detach() for p in model.parameters()]


@probe("lenet.6")
def _(receptive_field):
    layers = nn.Conv2d(1, 3, (3, 2)), nn.Sigmoid(), nn.Conv2d(3, 2, 5, stride=2, padding=1)
    return (
        receptive_field(nn.Sequential(*layers), 21),
        receptive_field(layers[0], 8),
        receptive_field(nn.Conv2d(1, 2, (11, 3), padding=(5, 0)), 11),
        receptive_field(nn.Conv2d(1, 2, (3, 11), padding=(0, 5)), 11),
    )


@probe("alexnet.5")
def _(local_response_norm):
    maps = 20 * torch.randn(2, 9, 3, 4)
    return local_response_norm(maps), local_response_norm(maps, 3, 1.0, 0.01, 0.5)


@probe("alexnet.6")
def _(dropout):
    layer, x = dropout(0.3), torch.randn(60, 70)
    silent = layer.eval()(x)
    torch.manual_seed(21)  # a draw in evaluation mode changes nothing
    return silent, layer.train()(x), dropout(0.6)(x[0])


@probe("vgg.3")
def _(field_of_stack):
    return [field_of_stack(layers) for layers in ([], [(2, 2), (5, 1), (7, 3), (4, 1)])]


@probe("vgg.4")
def _(vgg):
    """The network that the defaults give, without its memory."""
    with torch.device("meta"):
        network = vgg(("1", "1", "1", "1", "1"))
    return {name: tuple(values.shape) for name, values in network.state_dict().items()}


@probe("vgg.6")
def _(merge):
    return merge(torch.randn(3, 2, 7, 7), torch.randn(4, 3, 2, 2))


@probe("nin.4")
def _(global_average_pooling):
    return global_average_pooling(torch.randn(2, 3, 4, 7))


@probe("nin.6")
def _(batch_norm):
    def run(*rest):
        vectors = torch.randn(3), torch.randn(3), torch.randn(3), torch.rand(3) + 0.1
        return batch_norm(3 * torch.randn(2, 3, 5, 4) + 1, *vectors, *rest)

    return run(True), run(False), run(True, 0.4, 0.2), run(False, 0.4, 0.2)


@probe("one_by_one.2")
def _(merge):
    def run(first, second):
        merged, maps = merge(first, second), torch.randn(2, first.in_channels, 9, 8)
        return merged(maps).detach(), merged.weight.detach(), merged.bias.detach()

    return (
        run(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 4, (2, 3), stride=2)),
        run(nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 4, 3, padding=1)),
    )


@probe("one_by_one.3")
def _(recolour):
    return recolour(torch.rand(4, 7, 3), torch.randn(3, 3))


@probe("one_by_one.4")
def _(pca_layers):
    maps = torch.randn(3, 5, 4, 6) * torch.arange(1, 6)[:, None, None] + 2
    reduce, restore = pca_layers(maps, 3)
    return restore(reduce(maps)).detach(), reduce(maps).detach().abs()


@probe("one_by_one.5")
def _(as_convolution):
    layer = as_convolution(nn.Linear(5 * 3 * 3, 4), 5, 3)
    return layer(torch.randn(2, 5, 7, 6)).detach()


@probe("gap.5")
def _(class_map_layer):
    return class_map_layer(nn.Linear(5, 3))(torch.randn(2, 5, 6, 4)).detach()


@probe("gap.6")
def _(box_from_map):
    smooth = nn.functional.avg_pool2d(torch.rand(6, 1, 40, 50), 5, stride=1)
    return [box_from_map(one[0] ** 3, share) for one in smooth for share in (0.3, 0.6, 0.8)]


@probe("gap.7")
def _(iou):
    corners = torch.randint(0, 9, (40, 2, 2))
    sizes = torch.randint(1, 9, (40, 2, 2))
    boxes = torch.cat([corners, corners + sizes], dim=2).tolist()
    return [iou(tuple(a), tuple(b)) for a, b in boxes]


@probe("inception.4")
def _(channels_without_projection):
    modules = {
        "a": (5, (1, 7), (2, 3), 4),
        "b": (8, (3, 2), (6, 9), 1),
        "c": (1, (1, 1), (1, 2), 3),
    }
    return list(channels_without_projection(modules, 11))


@probe("inception.6")
def _(take_away):
    network, images = networks.build("googlenet_small", dropout=0.3), torch.randn(12, 1, 28, 28)
    found = []
    for place in (("inception4a", "branch2"), ("inception4a", "branch4")):
        changed = take_away(network, *place, images)
        with torch.no_grad():
            found += [changed(torch.randn(5, 1, 28, 28)), changed.training, network.training]
        found += [b.detach() for b in changed.buffers()]
    return found


@probe("resnet.7")
def _(lengthen):
    blocks = [networks.resnet.basic_branch(6, 6) for _ in range(2)]
    stage = nn.Sequential(*(networks.resnet.ResidualBlock(b, nn.Identity()) for b in blocks))
    longer, maps = lengthen(stage, 6), torch.randn(2, 6, 5, 7)
    results = [longer.train(mode)(maps).detach() for mode in (True, False)]
    return results, len(list(longer.parameters()))


@probe("resnet.8")
def _(accuracy_without):
    network = networks.build("resnet20", in_channels=1, width=4).train()
    images = torch.randn(200, 1, 14, 14)
    with torch.no_grad():  # as after a training: running statistics, and predictions that differ
        for _ in range(20):
            network(images)
        logits = network.eval()(images)
        network.classifier.linear.bias -= logits.mean(dim=0)
    labels = (logits - logits.mean(dim=0)).argmax(dim=1)
    seen = []
    for mode in (False, True):
        found = accuracy_without(network.train(mode), images, labels)
        seen += [dict(sorted(found.items())), network.training]
    return seen, network.eval()(images).detach()


@probe("mobilenet.6")
def _(in_slices):
    expand, project = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 5, 1)
    depthwise = nn.Conv2d(12, 12, 5, stride=2, padding=2, groups=12)
    maps = 4 * torch.randn(2, 3, 9, 7)
    return [in_slices(maps, expand, depthwise, project, n).detach() for n in (1, 3, 4, 12)]


@probe("choosing.2")
def _(pareto_front):
    def points(count, step):
        values = (step * torch.randint(0, 12, (count, 2))).tolist()
        return {f"n{i}": tuple(v) for i, v in enumerate(values)}

    found = [pareto_front(points(count, 0.5)) for count in (1, 5, 12) for _ in range(5)]
    return [list(front) for front in found]


@probe("choosing.3")
def _(latency):
    now, modes = [0.0], []

    class Slow(nn.Module):
        def forward(self, images):
            now[0] += 0.001 * len(modes) ** 2
            modes.append((self.training, tuple(images.shape)))
            return images

    network, results = Slow(), []
    for options in ({"rounds": 4}, {"rounds": 9}, {}):
        results.append(latency(network, torch.randn(1), clock=lambda: now[0], **options))
        results.append(network.training)
        network.train(not network.training)
    return results, modes


@probe("choosing.4")
def _(sign_flip):
    return [sign_flip(torch.randn(count).tolist()) for count in (2, 5, 8)] + [sign_flip([1, -1, 2])]


# --- the capstone --------------------------------------------------------------------------------


def against_the_limits(build: Any) -> str:
    """What keeps a network of choosing.7 from being a legal design, by torch's own counter of
    operations, or an empty text."""
    with engine._undisturbed():
        network, images = build().eval(), torch.randn(1, 1, 28, 28)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            logits = network(images)
        macs = counter.get_total_flops() // 2
        parameters = sum(p.numel() for p in network.parameters())
    if logits.shape != (1, 10):
        return f"it gives the shape {tuple(logits.shape)}"
    if macs > capstone.LIMITS["macs"] or parameters > capstone.LIMITS["parameters"]:
        return f"it needs {macs:,} MACs and {parameters:,} parameters"
    return ""
