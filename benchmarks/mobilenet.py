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
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import common
from utils import data, device, networks, summary, training
from utils.networks.mobilenet import V1_BLOCKS, InvertedResidual, convolution
from utils.topics import memory

FILE = "mobilenet.json"
PARTS = ("blocks", "int8", "memory", "speed")

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
                block = InvertedResidual(
                    channels,
                    out_channels,
                    stride if number == 0 else 1,
                    expansion,
                    linear_bottleneck=variant != "relu",
                )
                self.blocks.append(block)
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


def train(model: nn.Module, recipe: dict, seed: int) -> tuple[training.History, data.Splits]:
    """The model trained in place from one seed; its weights must have been drawn before."""
    splits = data.load(
        batch_size=recipe["batch_size"],
        train_images=recipe["train_images"],
        validation_images=recipe["validation_images"],
        device="cpu",
        seed=seed,
    )
    history = common.fit(
        model,
        splits.train,
        epochs=recipe["epochs"],
        learning_rate=recipe["learning_rate"],
        seed=seed,
    )
    return history, splits


def run_variant(variant: str, seed: int) -> dict:
    device.seed_everything(seed)
    model = ThinMobileNet(variant)
    history, splits = train(model, BLOCKS_RECIPE, seed)
    return {
        "seed": seed,
        "status": history.status,
        "train_accuracy": round(training.evaluate(model, splits.train).accuracy, 4),
        "validation_accuracy": round(training.evaluate(model, splits.validation).accuracy, 4),
        "seconds": round(sum(history.seconds), 1),
    }


def blocks(entry: dict, seeds: Iterable[int], save: Callable[[], None]) -> None:
    """Train every variant from every seed; `entry` may hold finished runs."""
    for seed in seeds:
        for variant, label in VARIANTS.items():
            model = ThinMobileNet(variant)
            one = entry["variants"].setdefault(variant, {"label": label, "runs": []})
            one["parameters"] = summary.count_parameters(model)
            one["macs"] = summary.count_macs(model, (1, 28, 28))
            if any(run["seed"] == seed for run in one["runs"]):
                continue
            one["runs"].append(run_variant(variant, seed))
            print("blocks", variant, one["runs"][-1], flush=True)
            save()
    for one in entry["variants"].values():
        for key in ("train_accuracy", "validation_accuracy"):
            one[key] = common.summarise(run[key] for run in one["runs"])
    for other in ("relu", "thick", "none"):
        pair = entry["pairs"][f"linear_minus_{other}"] = {}
        for key in ("train_accuracy", "validation_accuracy"):
            runs = zip(entry["variants"]["linear"]["runs"], entry["variants"][other]["runs"])
            points = [100 * (a[key] - b[key]) for a, b in runs]
            pair[key] = common.summarise(points, digits=2)
            pair[key]["first_higher"] = sum(value > 0 for value in points)


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


def export(network: nn.Module, path: Path, size: int) -> None:
    """Write `network` as ONNX, batch norm folded into the convolutions, for any batch."""
    network.eval()
    body = nn.Sequential(network.features, network.classifier)  # without the check of the shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch 2.9 on prefers its new exporter
        torch.onnx.export(
            body,
            (torch.zeros(1, network.in_channels, size, size),),
            str(path),
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}},
            dynamo=False,
        )


def quantise(source: Path, target: Path, how: str, calibration: list[np.ndarray]) -> None:
    """int8 in one of three ways: "channel", "tensor" (both static) or "dynamic"."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

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
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def logits(path: Path, batches: data.Batches) -> tuple[np.ndarray, np.ndarray]:
    run = session(path)
    pairs = [(run.run(None, {"images": x.numpy()})[0], y.numpy()) for x, y in batches]
    return tuple(np.concatenate(part) for part in zip(*pairs))


def spread(network: nn.Module) -> dict:
    """The layer whose largest filter, batch norm folded, is largest beside its median filter."""
    found = {}
    for name, module in fold(copy.deepcopy(network)).named_modules():
        if isinstance(module, nn.Conv2d):
            sizes = module.weight.detach().abs().flatten(1).amax(dim=1)
            found[name] = round((sizes.max() / sizes.median()).item(), 1)
    layer = max(found, key=found.get)
    return {"layer": layer, "times_the_median": found[layer]}


def run_int8(name: str, seed: int) -> dict:
    device.seed_everything(seed)
    model = networks.build(name)
    history, splits = train(model, INT8_RECIPE, seed)
    images = data.Batches(
        splits.train.images[: INT8_RECIPE["calibration_images"]],
        splits.train.labels[: INT8_RECIPE["calibration_images"]],
        batch_size=128,
        mean=splits.mean,
        std=splits.std,
        device="cpu",
    )
    calibration = [batch.numpy() for batch, _ in images]
    result = {"seed": seed, "status": history.status, "spread": spread(model)}
    with tempfile.TemporaryDirectory() as folder:
        paths = {"float": Path(folder) / "float.onnx"}
        export(model, paths["float"], 28)
        for how in ("channel", "tensor", "dynamic"):
            paths[how] = Path(folder) / f"{how}.onnx"
            quantise(paths["float"], paths[how], how, calibration)
        torch_logits, _ = training.predict(model, splits.validation)
        for how, path in paths.items():
            found, labels = logits(path, splits.validation)
            if how == "float":
                answers = found.argmax(axis=1)
                scale = float(torch_logits.abs().max())
                gap = float(np.abs(found - torch_logits.numpy()).max())
                result["torch_difference"] = float(f"{gap / scale:.1e}")  # share of the largest
            result[how] = {
                "accuracy": round(float((found.argmax(axis=1) == labels).mean()), 4),
                "changed_answers": round(float((found.argmax(axis=1) != answers).mean()), 4),
                "kilobytes": round(path.stat().st_size / 1000, 1),
            }
    return result


def int8(entry: dict, seeds: Iterable[int], save: Callable[[], None]) -> None:
    for seed in seeds:
        for name in SMALL:
            one = entry["networks"].setdefault(name, {"runs": []})
            if any(run["seed"] == seed for run in one["runs"]):
                continue
            one["runs"].append(run_int8(name, seed))
            print("int8", name, one["runs"][-1], flush=True)
            save()
    for one in entry["networks"].values():
        spreads = [run["spread"]["times_the_median"] for run in one["runs"]]
        one["spread"] = common.summarise(spreads, digits=1)
        one["torch_difference"] = max(run["torch_difference"] for run in one["runs"])
        for how in ("float", "channel", "tensor", "dynamic"):
            keys = ("accuracy", "changed_answers", "kilobytes")
            one[how] = {key: common.summarise(r[how][key] for r in one["runs"]) for key in keys}
            points = [100 * (r[how]["accuracy"] - r["float"]["accuracy"]) for r in one["runs"]]
            one[how]["points_above_float"] = common.summarise(points, digits=2)


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
    import json

    from torch.profiler import ProfilerActivity, profile

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


def memory_part(entry: dict) -> None:
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
    entry["networks"] = {}
    for name, network in kinds.items():
        found = memory.peak(network, images)
        entry["networks"][name] = {
            "peak_values": found.values,
            "peak_megabytes": round(found.bytes / 1e6, 3),
            "largest_tensor": found.largest,
            "profiler_megabytes": round(profiled(network, images) / 1e6, 3),
        }
        print(name, entry["networks"][name], flush=True)


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


def int8_speed(name: str, size: int, batch: int, count: int) -> tuple[dict, dict[str, float]]:
    """Float against int8 in onnxruntime, and torch beside them. The second dict has file sizes."""
    network = networks.build(name).eval()
    shape = (network.in_channels, size, size)
    images = torch.randn(batch, *shape)
    macs = batch * summary.count_macs(network, shape)
    with tempfile.TemporaryDirectory() as folder:
        paths = {"float": Path(folder) / "float.onnx"}
        export(network, paths["float"], size)
        for how in ("channel", "tensor", "dynamic"):
            paths[how] = Path(folder) / f"{how}.onnx"
            quantise(paths["float"], paths[how], how, [images.numpy()])
        runs = {how: session(path) for how, path in paths.items()}
        sizes = {how: round(path.stat().st_size / 1e6, 3) for how, path in paths.items()}
    given = {"images": images.numpy()}
    calls = {
        how: (macs, functools.partial(run.run, None, given))
        for how, run in runs.items()
        if how in ("float", "channel")
    }
    calls["torch"] = (macs, torch_call(network, images, channels_last=True))
    return rounds(calls, count), sizes


def speed(entry: dict, trial: bool) -> None:
    torch.set_num_threads(1)  # with more, processor time would add up over the threads
    count = 3 if trial else 21
    torch.manual_seed(0)
    entry["note"] = "processor time of one thread; other work may have run on the machine"
    entry["rounds"] = count
    entry["layer_batch_1"] = layer_speed(1, 3 * count)
    entry["layer_batch_16"] = layer_speed(16, count)
    entry["network_224"] = network_speed(count)
    entry["slices_224"] = slices_speed(count)
    for key, name, size, batch in (
        ("int8_v1_224", "mobilenet_v1", 224, 1),
        ("int8_v2_224", "mobilenet_v2", 224, 1),
        ("int8_v1_small", "mobilenet_v1_small", 28, 64),
        ("int8_v2_small", "mobilenet_v2_small", 28, 64),
    ):
        entry[key], sizes = int8_speed(name, size, batch, count)
        for how, megabytes in sizes.items():
            entry[key].setdefault(how, {})["megabytes"] = megabytes


# --- all together ---------------------------------------------------------------------------------


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trial", action="store_true", help="few rounds of timing; writes nothing")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime recommends what is done anyway
    recipes = {"blocks": BLOCKS_RECIPE, "int8": INT8_RECIPE}
    seeds = range(arguments.seeds)
    for part in arguments.parts or PARTS:
        head = common.header("One part of benchmarks.mobilenet", "onnx", "onnxruntime")
        entry = {key: head[key] for key in ("command", "date", "machine", "versions")}
        old = (common.read(FILE) or {}).get(part, {})
        if part in recipes:
            entry["recipe"] = recipes[part]
            if old.get("recipe") == recipes[part]:
                entry |= {key: old[key] for key in ("variants", "networks") if key in old}
        save = functools.partial(store, part, entry, arguments.trial)
        if part == "blocks":
            entry.setdefault("variants", {})
            entry["pairs"] = {}
            blocks(entry, seeds, save)
        elif part == "int8":
            entry.setdefault("networks", {})
            int8(entry, seeds, save)
        elif part == "memory":
            memory_part(entry)
        else:
            speed(entry, arguments.trial)
        save()


def store(part: str, entry: dict, trial: bool) -> None:
    """Put one part into the file and leave the others as they are there now."""
    if not trial:
        earlier = common.read(FILE) or {}
        result = common.header("MobileNet: blocks, int8, memory, speed", "onnx", "onnxruntime")
        result["command"] = "python -m benchmarks.mobilenet"
        result |= {one: earlier[one] for one in PARTS if one in earlier}
        common.write(FILE, result | {part: entry})


if __name__ == "__main__":
    main()
