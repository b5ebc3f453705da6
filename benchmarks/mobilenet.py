"""MobileNet: pairs against ordinary layers, the bottleneck, int8, memory, MACs and milliseconds.

Five parts, each written to results/mobilenet.json when it is done; without a name all five run.

- "twins": a small network trained with ordinary 3x3 convolutions and with depthwise-separable ones,
  paired by seed: time of a training step, accuracy. Finished runs are kept.
- "blocks": a thin MobileNet v2 and the same network changed in one thing: ReLU6 behind each
  projection, shortcuts between the wide tensors, no shortcuts. Paired by seed. Finished runs are
  kept; a changed recipe starts anew.
- "int8": `mobilenet_v1_small` and `mobilenet_v2_small` trained, exported to ONNX and quantised in
  five ways, paired by seed (two): accuracy, answers that change, size of the file.
- "memory": what inference holds at once at 224 pixels, counted; the block computed in slices.
- "speed": MACs and processor time of single layers and of whole networks on one thread, every
  rival in each round; ratios to the first of their group. Whole networks as they are and with the
  batch norms folded, and where their time goes, by kind of layer.

    python -m benchmarks.mobilenet twins blocks int8 memory speed --seeds 5
"""

from __future__ import annotations

import copy
import functools
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks import common
from utils import data, networks, summary, training
from utils.networks.mobilenet import (
    V1_BLOCKS,
    InvertedResidual,
    convolution,
    depthwise_separable,
)
from utils.topics import memory

FILE = "mobilenet.json"

# --- the same small network twice -----------------------------------------------------------------

# As chapter 09 trains it at budget `cpu`. Output channels and stride of the four layers or pairs.
TWINS_RECIPE = dict(
    train_images=2_000,
    validation_images=5_000,
    epochs=4,
    batch_size=50,
    learning_rate=0.05,
    first=32,
    blocks=[[64, 1], [128, 2], [128, 1], [256, 2]],
)
TWINS = {
    "ordinary": "ordinary 3x3 convolutions",
    "separable": "a depthwise and a 1x1 convolution for each",
}


def twin(kind: str) -> nn.Module:
    """A MobileNet v1 of four blocks for images (N, 1, 28, 28), or its twin without pairs."""
    channels = TWINS_RECIPE["first"]
    layers: list[nn.Module] = [convolution(1, channels, 3, 2)]
    for out_channels, stride in TWINS_RECIPE["blocks"]:
        if kind == "separable":
            layers.append(depthwise_separable(channels, out_channels, stride))
        else:
            layers.append(convolution(channels, out_channels, 3, stride))
        channels = out_channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def run_twin(kind: str, seed: int) -> dict:
    splits = common.load(TWINS_RECIPE, seed)
    model, history = common.train(lambda: twin(kind), splits.train, TWINS_RECIPE, seed)
    return {
        "seed": seed,
        "status": history.status,
        "milliseconds": round(1000 * min(history.seconds) / len(splits.train), 2),
        "train_accuracy": common.accuracy(model, splits.train),
        "validation_accuracy": common.accuracy(model, splits.validation),
    }


def report_twins(content: dict) -> None:
    keys = ("train_accuracy", "validation_accuracy")
    entries = content["networks"]
    for entry in entries.values():
        entry |= common.summaries(entry["runs"], *keys)
        entry |= common.summaries(entry["runs"], "milliseconds", digits=2)
    content["pairs"] = common.pairs(entries, [("ordinary", "separable")], *keys)
    first, second = entries.values()
    content["times_fewer_macs"] = round(first["macs"] / second["macs"], 2)
    if first["runs"] and second["runs"]:  # the fastest epoch of all seeds: disturbed least
        fastest = [min(run["milliseconds"] for run in entry["runs"]) for entry in (first, second)]
        content["times_faster"] = round(fastest[0] / fastest[1], 2)


def twins(stored: common.Stored, seeds: range, trial: bool) -> None:
    """Train both networks from every seed."""
    fields = {kind: {"label": label, **common.size(twin(kind))} for kind, label in TWINS.items()}
    stored.fill("networks", fields, run_twin, seeds)


# --- the bottleneck and its shortcut --------------------------------------------------------------

# Expansion, output channels, number and first stride of the blocks, as in Table 2 of the paper.
# Every block with a shortcut is followed by another block, so that both kinds have as many.
THIN = ((1, 8, 1, 1), (6, 8, 3, 2), (6, 16, 4, 2), (6, 24, 1, 1))
BLOCKS_RECIPE = dict(
    train_images=5_000,
    validation_images=5_000,
    epochs=4,
    batch_size=100,
    learning_rate=0.1,
    blocks=[list(row) for row in THIN],
)
VARIANTS = {
    "linear": "linear bottleneck, shortcut between thin ends",
    "relu": "ReLU6 behind each projection",
    "thick": "shortcut between wide tensors",
    "none": "no shortcut",
}


class ThinMobileNet(nn.Module):
    """A MobileNet v2 with 8 to 24 channels between its blocks. Images (N, 1, 28, 28)."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.shortcut = {"thick": "thick", "none": "none"}.get(variant, "thin")
        channels = 16
        self.first = convolution(1, channels, 3, 2, activation=nn.ReLU6)
        self.blocks = nn.ModuleList()
        for expansion, out_channels, repeats, stride in THIN:
            for number in range(repeats):
                sizes = channels, out_channels, stride if number == 0 else 1, expansion
                self.blocks.append(InvertedResidual(*sizes, linear_bottleneck=variant != "relu"))
                channels = out_channels
        self.last = convolution(channels, 96, 1, activation=nn.ReLU6)
        self.linear = nn.Linear(96, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10)."""
        maps, wide, skip = self.first(images), None, False
        for block in self.blocks:
            parts = block.branch
            expanded = parts.expand(maps) if hasattr(parts, "expand") else maps
            if self.shortcut == "thick" and skip:  # the block before kept size and channels
                expanded = expanded + wide
            thin = parts.project(parts.depthwise(expanded))
            maps = maps + thin if self.shortcut == "thin" and block.skip else thin
            wide, skip = expanded, block.skip
        return self.linear(self.last(maps).mean(dim=(2, 3)))


def run_variant(variant: str, seed: int) -> dict:
    splits = common.load(BLOCKS_RECIPE, seed)
    model, history = common.train(lambda: ThinMobileNet(variant), splits.train, BLOCKS_RECIPE, seed)
    return {
        "seed": seed,
        "status": history.status,
        "train_accuracy": common.accuracy(model, splits.train),
        "validation_accuracy": common.accuracy(model, splits.validation),
        "seconds": round(sum(history.seconds), 1),
    }


def report_blocks(content: dict) -> None:
    keys = ("train_accuracy", "validation_accuracy")
    for entry in content["variants"].values():
        entry |= common.summaries(entry["runs"], *keys)
    compared = [("linear", other) for other in ("relu", "thick", "none")]
    content["pairs"] = common.pairs(content["variants"], compared, *keys)


def blocks(stored: common.Stored, seeds: range, trial: bool) -> None:
    """Train every variant from every seed."""
    fields = {
        variant: {"label": label, **common.size(ThinMobileNet(variant))}
        for variant, label in VARIANTS.items()
    }
    stored.fill("variants", fields, run_variant, seeds)


# --- ONNX and int8 --------------------------------------------------------------------------------

INT8_RECIPE = dict(
    train_images=6_000,
    validation_images=5_000,
    epochs=3,
    batch_size=64,
    learning_rate=0.1,
    calibration_images=512,
    quantised="torch's new exporter; static: weights int8, activations uint8, layers up to pooling",
)
SMALL = ("mobilenet_v1_small", "mobilenet_v2_small")
INT8_SEEDS = 2  # at most; raise it for more runs, those that are stored stay
# float32, and five ways to quantise. Static: a scale for each channel, with 8 bits of the weights
# or with 7, or one scale for each layer. Dynamic: as onnxruntime does it by default, convolutions
# too, or the linear layer alone.
FORMS = ("float", "channel", "channel_7_bits", "tensor", "dynamic", "dynamic_linear")


def export(network: nn.Module, path: Path, size: int) -> None:
    """Write `network` as ONNX, batch norm folded into the convolutions, for any batch.

    The new exporter of torch is the better tested one from torch 2.9 on.
    """
    network.eval()
    body = nn.Sequential(network.features, network.classifier).eval()  # without checking the shape
    example = (torch.zeros(2, network.in_channels, size, size),)
    names = {"input_names": ["images"], "output_names": ["logits"]}
    if torch.__version__ < "2.9":
        axes = {"images": {0: "N"}, "logits": {0: "N"}}
        torch.onnx.export(body, example, str(path), dynamic_axes=axes, dynamo=False, **names)
        return
    shapes = ({0: "N"},)
    program = torch.onnx.export(
        body, example, dynamic_shapes=shapes, dynamo=True, verbose=False, **names
    )
    model = program.model_proto
    for part in (model.graph, *model.graph.node):
        del part.metadata_props[:]  # which line of which file it comes from
    onnx.save(model, path)


def quantise(source: Path, target: Path, how: str, calibration: list[np.ndarray]) -> None:
    """int8 in one of the five ways of `FORMS`."""

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    prepared = source.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared))
    if how.startswith("dynamic"):
        kinds = None if how == "dynamic" else ["MatMul", "Gemm"]  # None: all that it can
        quantization.quantize_dynamic(str(prepared), str(target), op_types_to_quantize=kinds)
        return
    quantization.quantize_static(
        str(prepared),
        str(target),
        Reader(),
        per_channel=how != "tensor",
        reduce_range=how == "channel_7_bits",
        weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QUInt8,
        op_types_to_quantize=["Conv", "Clip", "Relu", "Add"],  # the convolutions, and between them
    )


def session(path: Path, exact: bool = False):
    """An onnxruntime session on one thread.

    `exact` computes the quantised numbers in float32. The 8-bit instructions of processors without
    VNNI add two products in 16 bits, and cut off sums that are too large.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    if exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def logits(path: Path, batches: data.Batches, exact: bool = False) -> tuple[np.ndarray, np.ndarray]:
    run = session(path, exact)
    pairs = [(run.run(None, {"images": x.numpy()})[0], y.numpy()) for x, y in batches]
    return tuple(np.concatenate(part) for part in zip(*pairs))


def spread(network: nn.Module) -> dict:
    """The layer whose largest filter, batch norm folded, is largest beside its median filter."""
    ratios = {}
    for name, module in fold(copy.deepcopy(network)).named_modules():
        if isinstance(module, nn.Conv2d):
            sizes = module.weight.detach().abs().flatten(1).amax(dim=1)
            ratios[name] = round((sizes.max() / sizes.median()).item(), 1)
    layer = max(ratios, key=ratios.get)
    return {"layer": layer, "times_the_median": ratios[layer]}


def all_files(network: nn.Module, folder: str, size: int, calibration: list) -> dict[str, Path]:
    """The exported network and its quantised forms."""
    paths = {how: Path(folder) / f"{how}.onnx" for how in FORMS}
    export(network, paths["float"], size)
    for how in FORMS[1:]:
        quantise(paths["float"], paths[how], how, calibration)
    return paths


def run_int8(name: str, seed: int) -> dict:
    splits = common.load(INT8_RECIPE, seed)
    model, history = common.train(lambda: networks.build(name), splits.train, INT8_RECIPE, seed)
    count = INT8_RECIPE["calibration_images"]
    calibrating = common.batches_like(
        splits.train,
        images=splits.train.images[:count],
        labels=splits.train.labels[:count],
        batch_size=128,
        shuffle=False,
        mean=splits.mean,
        std=splits.std,
    )
    result = {"seed": seed, "status": history.status, "spread": spread(model)}
    with tempfile.TemporaryDirectory() as folder:
        paths = all_files(model, folder, 28, [images.numpy() for images, _ in calibrating])
        torch_logits = training.predict(model, splits.validation)[0].numpy()
        for how, path in paths.items():
            own_logits, labels = logits(path, splits.validation)
            predicted = own_logits.argmax(axis=1)
            if how == "float":
                float_predicted = predicted
                gap = np.abs(own_logits - torch_logits).max() / np.abs(torch_logits).max()
                result["torch_difference"] = float(f"{gap:.1e}")  # share of the largest logit
            result[how] = {
                "accuracy": round(float((predicted == labels).mean()), 4),
                "changed_answers": round(float((predicted != float_predicted).mean()), 4),
                "kilobytes": round(path.stat().st_size / 1000, 1),
            }
            if how == "channel":
                exact = logits(path, splits.validation, exact=True)[0].argmax(axis=1)
                changed = round(float((exact != float_predicted).mean()), 4)
                result[how]["changed_answers_exact"] = changed
    return result


def report_int8(content: dict) -> None:
    for entry in content["networks"].values():
        runs = entry["runs"]
        if not runs:
            continue
        spreads = [run["spread"]["times_the_median"] for run in runs]
        entry["spread"] = common.summarise(spreads, digits=1)
        entry["torch_difference"] = max(run["torch_difference"] for run in runs)
        for how in FORMS:
            own = [run[how] for run in runs]
            points = [100 * (run[how]["accuracy"] - run["float"]["accuracy"]) for run in runs]
            entry[how] = common.summaries(own, "accuracy", "changed_answers", "kilobytes")
            entry[how]["points_above_float"] = common.summarise(points, digits=2)
        exact = (run["channel"]["changed_answers_exact"] for run in runs)
        entry["channel"]["changed_answers_exact"] = common.summarise(exact)


def int8(stored: common.Stored, seeds: range, trial: bool) -> None:
    stored.fill("networks", {name: {} for name in SMALL}, run_int8, seeds[:INT8_SEEDS])


# --- memory ---------------------------------------------------------------------------------------


def fold(network: nn.Module) -> nn.Module:
    """Fold every batch norm into the convolution before it, in place. For evaluation only."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Sequential) and hasattr(module, "norm"):
            module.conv = nn.utils.fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
    return network


def sliced(block: InvertedResidual, slices: int, maps: Tensor) -> Tensor:
    """A folded block, its wide tensor computed and used up slice by slice of its channels."""
    if not hasattr(block.branch, "expand"):
        return block.branch(maps)
    expand, depthwise, project = (part.conv for part in block.branch)
    result = None
    for part in torch.arange(expand.out_channels).chunk(slices):
        some = slice(int(part[0]), int(part[-1]) + 1)
        wide = nn.functional.conv2d(maps, expand.weight[some], expand.bias[some])
        wide = nn.functional.relu6(wide)
        wide = nn.functional.conv2d(
            wide,
            depthwise.weight[some],
            depthwise.bias[some],
            stride=depthwise.stride,
            padding=1,
            groups=len(part),
        )
        wide = nn.functional.relu6(wide)
        bias = project.bias if result is None else None  # once, not with every slice
        thin = nn.functional.conv2d(wide, project.weight[:, some], bias)
        result = thin if result is None else result.add_(thin)
        del wide, thin
    return maps + result if block.skip else result


def in_slices(network: nn.Module, slices: int) -> nn.Module:
    """Every block of a folded MobileNet v2 computed in so many slices, in place."""
    for module in network.modules():
        if isinstance(module, InvertedResidual):
            module.forward = functools.partial(sliced, module, slices)
    return network


def profiled(network: nn.Module, images: Tensor) -> int:
    """Bytes at the peak as torch.profiler sees torch's allocator: scratch memory included."""
    with torch.no_grad():
        network(images)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            network(images)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    events = sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: e["ts"])
    living = most = 0
    for event in events:
        living += event["args"]["Bytes"]
        most = max(most, living)
    return most


def measure_memory(stored: common.Stored, seeds: range, trial: bool) -> None:
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    kinds = {
        "v1": networks.build("mobilenet_v1").eval(),
        "v2": networks.build("mobilenet_v2").eval(),
        "v1_folded": fold(networks.build("mobilenet_v1")),
        "v2_folded": fold(networks.build("mobilenet_v2")),
    }
    for slices in (2, 6):
        kinds[f"v2_{slices}_slices"] = in_slices(fold(networks.build("mobilenet_v2")), slices)
    entries = stored.content["networks"] = {}
    for name, network in kinds.items():
        peak = memory.peak(network, images)
        entries[name] = {
            "peak_values": peak.values,
            "peak_megabytes": round(peak.bytes / 1e6, 3),
            "largest_tensor": peak.largest,
            "profiler_megabytes": round(profiled(network, images) / 1e6, 3),
        }
        print(name, entries[name], flush=True)


# --- speed ----------------------------------------------------------------------------------------

Call = Callable[[], object]


def rounds(
    calls: dict[str, tuple[int, Call]], count: int, pairs: Sequence[tuple[str, str]] = ()
) -> dict:
    """Every call once a round, in turns; milliseconds, and each round's ratio to the first.

    `pairs` are further ratios: how many times as long the first of a pair took as the second.

    What is measured is processor time: on a shared machine the clock on the wall would run on
    while others have the processor, and long calls would suffer more than short ones.
    """
    for _, call in calls.values():
        call()
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(count):
        names = list(calls) if number % 2 else list(reversed(calls))
        for name in names:
            start = time.process_time()
            calls[name][1]()
            seconds[name].append(time.process_time() - start)
    first = next(iter(calls))
    result = {}
    for name, (macs, _) in calls.items():
        ratios = [a / b for a, b in zip(seconds[first], seconds[name])]
        result[name] = {
            "macs": macs,
            "times_fewer_macs": round(calls[first][0] / macs, 2),
            "times_faster": common.summarise(ratios, digits=2),
            "milliseconds": round(1000 * statistics.median(seconds[name]), 3),
        }
        print(name, result[name]["times_fewer_macs"], result[name]["times_faster"]["median"],
              result[name]["milliseconds"], flush=True)  # fmt: skip
    for slow, fast in pairs:
        ratios = [a / b for a, b in zip(seconds[slow], seconds[fast])]
        result[f"{fast}_against_{slow}"] = {"times_faster": common.summarise(ratios, digits=2)}
    return result


def torch_call(model: nn.Module, images: Tensor, channels_last: bool = False) -> Call:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model, images = model.eval().to(memory_format=layout), images.to(memory_format=layout)

    def call() -> None:
        with torch.inference_mode():
            model(images)

    return call


def full_mobilenet() -> nn.Module:
    """MobileNet v1 with full convolutions, Table 4 of its paper: 4866 million MACs."""
    layers: list[nn.Module] = [convolution(3, 32, 3, 2)]
    channels = 32
    for out_channels, stride in V1_BLOCKS:
        layers.append(convolution(channels, out_channels, 3, stride))
        channels = out_channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def layer_speed(batch: int, count: int) -> dict:
    """The layer of the paper's Table 3: 14 x 14, 512 channels to 512."""
    images = torch.randn(batch, 512, 14, 14)
    kinds = {
        "full": lambda: nn.Conv2d(512, 512, 3, padding=1, bias=False),
        "separable": lambda: nn.Sequential(
            nn.Conv2d(512, 512, 3, padding=1, groups=512, bias=False),
            nn.Conv2d(512, 512, 1, bias=False),
        ),
        "depthwise": lambda: nn.Conv2d(512, 512, 3, padding=1, groups=512, bias=False),
        "pointwise": lambda: nn.Conv2d(512, 512, 1, bias=False),
    }
    calls = {}
    for layout in ("channels_last", "contiguous"):
        for name, build in kinds.items():
            model = build()
            macs = batch * summary.count_macs(model, (512, 14, 14))
            call = torch_call(model, images, layout == "channels_last")
            calls[f"{name}_{layout}"] = (macs, call)
    return rounds(calls, count)


WHOLE: dict[str, Callable[[], nn.Module]] = {
    "full": full_mobilenet,
    "v1": lambda: networks.build("mobilenet_v1"),
    "v2": lambda: networks.build("mobilenet_v2"),
}


def network_speed(count: int) -> dict:
    """Whole networks on one image of 224 pixels, in torch; "folded" is channels last as well."""
    images = torch.randn(1, 3, 224, 224)
    calls = {}
    for name, build in WHOLE.items():
        macs = summary.count_macs(build(), (3, 224, 224))
        for layout in ("channels_last", "contiguous"):
            calls[f"{name}_{layout}"] = (macs, torch_call(build(), images, layout != "contiguous"))
        calls[f"{name}_folded"] = (macs, torch_call(fold(build()), images, channels_last=True))
    pairs = [("full_folded", f"{name}_folded") for name in ("v1", "v2")]
    pairs += [(f"{name}_channels_last", f"{name}_folded") for name in WHOLE]
    return rounds(calls, count, [*pairs, ("v1_channels_last", "v2_channels_last")])


def kind_of(layer: nn.Module) -> str:
    """The name under which the time of a layer is added up."""
    if not isinstance(layer, nn.Conv2d):
        names = {nn.BatchNorm2d: "norm", nn.ReLU: "relu", nn.ReLU6: "relu"}
        return names.get(type(layer), "rest")
    if layer.groups > 1:
        return "depthwise"
    return "pointwise" if layer.kernel_size == (1, 1) else "full"


def profile_by_kind(count: int) -> dict:
    """Milliseconds and MACs of each kind of layer in a whole network: one image, channels last.

    A hook before and behind every layer reads the clock. "rest" is what the whole took beyond the
    layers named: pooling, the linear layer, sums of shortcuts, torch's and the hooks' own work.
    """
    images = torch.randn(1, 3, 224, 224)
    calls, clocks, macs = {}, {}, {}
    for name, build in WHOLE.items():
        for folded in (False, True):
            network = fold(build()) if folded else build()
            key = f"{name}_folded" if folded else name
            rows = summary.table(network, (3, 224, 224)).rows
            by_name = {row.name: row.macs for row in rows}
            clock = clocks[key] = {}
            macs[key] = {}
            for place, layer in network.named_modules():
                kind = kind_of(layer)
                if kind != "rest":
                    macs[key][kind] = macs[key].get(kind, 0) + by_name.get(place, 0)
                    _clocked(layer, kind, clock)
            calls[key] = torch_call(network, images, channels_last=True)
    for call in calls.values():
        call()
    seen: dict[str, list[dict[str, float]]] = {key: [] for key in calls}
    for _ in range(count):
        for key, call in calls.items():
            clocks[key].clear()
            start = time.process_time()
            call()
            whole = time.process_time() - start
            parts = dict(clocks[key])
            seen[key].append({**parts, "rest": whole - sum(parts.values()), "whole": whole})
    report = {key: _kinds(rounds, macs[key]) for key, rounds in seen.items()}
    for name in ("v1", "v2"):
        both = list(zip(seen["full"], seen[name]))
        less = [whole["full"] / thin["pointwise"] for whole, thin in both]
        without_macs = [(thin["norm"] + thin["relu"]) / thin["whole"] for _, thin in both]
        report[f"{name}_against_full"] = {
            "pointwise_times_less": common.summarise(less, digits=2),
            "norm_and_relu_share": common.summarise(without_macs, digits=3),
        }
    return report


def _clocked(layer: nn.Module, kind: str, clock: dict[str, float]) -> None:
    """Add the processor time of `layer` to `clock[kind]` whenever it runs."""

    def before(*_: object) -> None:
        clock["start"] = time.process_time()

    def behind(*_: object) -> None:
        clock[kind] = clock.get(kind, 0.0) + time.process_time() - clock.pop("start")

    layer.register_forward_pre_hook(before)
    layer.register_forward_hook(behind)


def _kinds(rounds: list[dict[str, float]], macs: dict[str, int]) -> dict:
    kinds = {}
    for kind in rounds[0]:
        milliseconds = [1000 * one[kind] for one in rounds]
        shares = [one[kind] / one["whole"] for one in rounds]
        kinds[kind] = {
            "milliseconds": common.summarise(milliseconds, digits=3),
            "share": common.summarise(shares, digits=3),
            "macs": macs.get(kind, 0),
        }
    return kinds


def slices_speed(count: int) -> dict:
    """MobileNet v2, batch norm folded, whole and in slices."""
    images = torch.randn(1, 3, 224, 224)
    macs = summary.count_macs(networks.build("mobilenet_v2"), (3, 224, 224))
    calls = {"whole": (macs, torch_call(fold(networks.build("mobilenet_v2")), images))}
    for slices in (2, 6):
        network = in_slices(fold(networks.build("mobilenet_v2")), slices)
        calls[f"{slices}_slices"] = (macs, torch_call(network, images))
    return rounds(calls, count)


def int8_speed(name: str, size: int, batch: int, count: int) -> dict:
    """Float against int8 in onnxruntime, torch beside them; and the sizes of the files."""
    network = networks.build(name).eval()
    shape = (network.in_channels, size, size)
    images = torch.randn(batch, *shape)
    macs = batch * summary.count_macs(network, shape)
    with tempfile.TemporaryDirectory() as folder:
        paths = all_files(network, folder, size, [images.numpy()])
        runs = {how: session(paths[how]) for how in ("float", "channel", "dynamic")}
        megabytes = {how: round(path.stat().st_size / 1e6, 3) for how, path in paths.items()}
    given = {"images": images.numpy()}
    calls = {how: (macs, functools.partial(run.run, None, given)) for how, run in runs.items()}
    calls["torch"] = (macs, torch_call(network, images, channels_last=True))
    result = rounds(calls, count)
    for how, value in megabytes.items():
        result.setdefault(how, {})["megabytes"] = value
    return result


def speed(stored: common.Stored, seeds: range, trial: bool) -> None:
    torch.set_num_threads(1)  # with more, processor time would add up over the threads
    count = 3 if trial else 21
    torch.manual_seed(0)
    stored.content |= {
        "note": "processor time of one thread; other work may have run on the machine",
        "rounds": count,
        "layer_batch_1": layer_speed(1, 3 * count),
        "layer_batch_16": layer_speed(16, count),
        "network_224": network_speed(count),
        "kinds_224": profile_by_kind(count),
        "slices_224": slices_speed(count),
        "int8_v1_224": int8_speed("mobilenet_v1", 224, 1, count),
        "int8_v2_224": int8_speed("mobilenet_v2", 224, 1, count),
        "int8_v1_small": int8_speed("mobilenet_v1_small", 28, 64, count),
        "int8_v2_small": int8_speed("mobilenet_v2_small", 28, 64, count),
    }


# --- all together ---------------------------------------------------------------------------------

# What measures a part, what sums it up, and its recipe where finished runs can be kept.
PARTS: dict[str, tuple[Callable, Callable | None, dict]] = {
    "twins": (twins, report_twins, {"recipe": TWINS_RECIPE}),
    "blocks": (blocks, report_blocks, {"recipe": BLOCKS_RECIPE}),
    "int8": (int8, report_int8, {"recipe": INT8_RECIPE}),
    "memory": (measure_memory, None, {}),
    "speed": (speed, None, {}),
}


def main() -> None:
    parser = common.parser(__doc__, names=PARTS, seeds=5)
    parser.add_argument("--trial", action="store_true", help="few rounds of timing; writes nothing")
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime recommends what is done anyway
    head = common.header("MobileNet: twins, blocks, int8, memory, speed", "onnx", "onnxruntime")
    for name in arguments.names:
        measure, report, same = PARTS[name]
        file = None if arguments.trial else FILE
        stored = common.Stored(file, head, name, report=report, **same)
        stored.content |= {key: head[key] for key in ("command", "date", "machine", "versions")}
        measure(stored, range(arguments.seeds), arguments.trial)
        stored.save()


if __name__ == "__main__":
    main()
