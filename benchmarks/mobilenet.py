"""MobileNet: the bottleneck and its shortcut, int8, memory, and MACs against milliseconds.

Four parts, each written to results/mobilenet.json when it is done; without a name all four run.

- "blocks": a thin MobileNet v2 and the same network changed in one thing: ReLU6 behind each
  projection, shortcuts between the wide tensors, no shortcuts. Paired by seed. Finished runs are
  kept; a changed recipe starts anew.
- "int8": `mobilenet_v1_small` and `mobilenet_v2_small` trained, exported to ONNX and quantised in
  three ways, paired by seed: accuracy, answers that change, size of the file.
- "memory": what inference holds at once at 224 pixels, counted; the block computed in slices.
- "speed": MACs and processor time of single layers and of whole networks on one thread, every
  rival in each round; ratios to the first of their group.

    python -m benchmarks.mobilenet blocks int8 memory speed --seeds 5
"""

from __future__ import annotations

import copy
import functools
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
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
from utils.networks.mobilenet import V1_BLOCKS, InvertedResidual, convolution
from utils.topics import memory

FILE = "mobilenet.json"

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
    quantised="weights int8, activations uint8; Conv, Clip, Relu and Add",
)
SMALL = ("mobilenet_v1_small", "mobilenet_v2_small")
FORMS = ("float", "channel", "tensor", "dynamic")  # float32, and three ways to quantise


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
    """int8 in one of three ways: "channel", "tensor" (both static) or "dynamic"."""

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    prepared = source.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared))
    if how == "dynamic":
        # Convolutions are left out of the default kinds of layers; MatMul and Gemm are in it.
        quantization.quantize_dynamic(
            str(prepared), str(target), op_types_to_quantize=["MatMul", "Gemm"]
        )
        return
    quantization.quantize_static(
        str(prepared),
        str(target),
        Reader(),
        per_channel=how == "channel",
        weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QUInt8,
        op_types_to_quantize=["Conv", "Clip", "Relu", "Add"],  # the convolutions, and between them
    )


def session(path: Path):
    """An onnxruntime session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def logits(path: Path, batches: data.Batches) -> tuple[np.ndarray, np.ndarray]:
    run = session(path)
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


def int8(stored: common.Stored, seeds: range, trial: bool) -> None:
    stored.fill("networks", {name: {} for name in SMALL}, run_int8, seeds)


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


def rounds(calls: dict[str, tuple[int, Call]], count: int) -> dict:
    """Every call once a round, in turns; milliseconds, and each round's ratio to the first.

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


def network_speed(count: int) -> dict:
    """Whole networks on one image of 224 pixels, in torch."""
    images = torch.randn(1, 3, 224, 224)
    calls = {}
    for name, build in {
        "full": full_mobilenet,
        "v1": lambda: networks.build("mobilenet_v1"),
        "v2": lambda: networks.build("mobilenet_v2"),
    }.items():
        macs = summary.count_macs(build(), (3, 224, 224))
        for layout in ("channels_last", "contiguous"):
            calls[f"{name}_{layout}"] = (macs, torch_call(build(), images, layout != "contiguous"))
    return rounds(calls, count)


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
        runs = {how: session(paths[how]) for how in ("float", "channel")}
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
        "slices_224": slices_speed(count),
        "int8_v1_224": int8_speed("mobilenet_v1", 224, 1, count),
        "int8_v2_224": int8_speed("mobilenet_v2", 224, 1, count),
        "int8_v1_small": int8_speed("mobilenet_v1_small", 28, 64, count),
        "int8_v2_small": int8_speed("mobilenet_v2_small", 28, 64, count),
    }


# --- all together ---------------------------------------------------------------------------------

# What measures a part, what sums it up, and its recipe where finished runs can be kept.
PARTS: dict[str, tuple[Callable, Callable | None, dict]] = {
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
    head = common.header("MobileNet: blocks, int8, memory, speed", "onnx", "onnxruntime")
    for name in arguments.names:
        measure, report, same = PARTS[name]
        file = None if arguments.trial else FILE
        stored = common.Stored(file, head, name, report=report, **same)
        stored.content |= {key: head[key] for key in ("command", "date", "machine", "versions")}
        measure(stored, range(arguments.seeds), arguments.trial)
        stored.save()


if __name__ == "__main__":
    main()
