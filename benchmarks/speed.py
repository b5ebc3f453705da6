"""How fast an epoch is beside others' code, what `fit` itself costs, and where the time goes.

    python -m benchmarks.speed                      # everything, about 17 minutes on two cores
    python -m benchmarks.speed --parts loop profile --networks nin_small
    python -m benchmarks.speed --trial              # tiny sizes, to see that it runs

Three rivals train the same network on the same images with the same batch, device and optimizer:
d2l, a plain DataLoader loop as in torchvision's references, and ours (benchmarks/speed_rivals.py).
They take turns, so that all meet the same state of the machine, and ratios are taken within a
turn. LeNet gets whole epochs, the others a fixed number of images; each repeats its turns until its
share of `--minutes` is used, three times at least.

What is finished is kept in checkpoints/speed.json, and the same command goes on from there. At the
end the chosen parts are put into results/speed.json; a trial writes nothing there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks import common, speed_profile
from benchmarks.speed_cases import EPOCHS, LARGE, LOOP, ROOT, SMALL, Case
from utils import data
from utils.device import pick

FILE = "speed.json"
UNFINISHED = ROOT / "checkpoints" / FILE
RIVALS = ("d2l", "torchvision", "ours")
# Share of the minutes, for each network of a part; "imports" takes some ten seconds.
SHARES = {
    "epochs": {"lenet": 10, **dict.fromkeys(SMALL, 5.5), **dict.fromkeys(LARGE, 6.5)},
    "loop": dict.fromkeys(LOOP, 1.6),
    "profile": dict.fromkeys(LOOP, 0.8),
}
MOST = {"epochs": 9, "loop": 30}  # turns
PARTS = ("epochs", "loop", "profile", "imports")
IMPORTS = {
    "utils": "import utils",
    "what a chapter imports": "from utils import budget, data, device, exercises, networks, "
    "training",
}


class Rival:
    """A process that measures; it stays, so that only its first job pays for its imports."""

    def __init__(self, name: str, device: str):
        self.name, self.device = name, device
        self.process: subprocess.Popen | None = None

    def measure(self, what: str, case: Case, seed: int = 0, workers: int = 0) -> Any:
        if self.process is None:
            command = [sys.executable, "-m", "benchmarks.speed_rivals", self.name]
            self.process = subprocess.Popen(
                command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        job = {"what": what, "case": dataclasses.asdict(case), "seed": seed, "workers": workers}
        self.process.stdin.write(json.dumps(job | {"device": self.device}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{what} of {case.network} ended without an answer; see above why.")
        return json.loads(answer)

    def close(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()
            self.process = None


def turns(
    measures: dict[str, Callable[[int], Any]], seconds: float, least: int, most: int
) -> dict[str, list[Any]]:
    """What each measure gives, in turns, until `seconds` are used. Who comes first changes."""
    taken: dict[str, list[Any]] = {name: [] for name in measures}
    names, start = list(measures), time.perf_counter()
    for turn in range(most):
        used = time.perf_counter() - start
        if turn >= least and used * (turn + 1) / turn > seconds:
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            taken[name].append(measures[name](turn))
        shown = ", ".join(f"{name} {short(values[-1])}" for name, values in taken.items())
        print(f"  {turn + 1}: {shown}", flush=True)
    return taken


def short(seconds: float | dict[str, float]) -> str:
    if isinstance(seconds, dict):
        return ", ".join(f"{name} {short(part)}" for name, part in seconds.items())
    return f"{seconds:.2f} s"


def warm_up(case: Case) -> Case:
    """The same with five small batches: imports, files, threads."""
    return dataclasses.replace(case, images=5 * 8, batch_size=8)


def ratios(above: list[float], below: list[float]) -> dict[str, Any]:
    return common.summarise(a / b for a, b in zip(above, below, strict=True))


class Benchmark:
    """The parts of the measurement; each method measures one network."""

    def __init__(self, minutes: float, trial: bool):
        self.minutes, self.trial = minutes, trial
        self.device = str(pick())
        # d2l and torchvision each in a process without our settings.
        self.rivals = {name: Rival(name, self.device) for name in RIVALS}
        self.workers: dict[str, Any] | None = None
        self.matmul: dict[str, Any] | None = None

    def close(self) -> None:
        for rival in self.rivals.values():
            rival.close()

    def limits(self, part: str, name: str) -> dict[str, Any]:
        if self.trial:
            return {"seconds": 0, "least": 1, "most": 1}
        return {"seconds": self.share(part, name), "least": 3, "most": MOST[part]}

    def share(self, part: str, name: str) -> float:
        """Seconds for a network of a part."""
        return (
            60 * self.minutes * SHARES[part][name] / sum(sum(s.values()) for s in SHARES.values())
        )

    def choose_workers(self) -> dict[str, Any]:
        """Worker processes of the plain loop: what is fastest for LeNet, where it matters most."""
        case = dataclasses.replace(EPOCHS["lenet"], images=2_560 if self.trial else 20_480)
        plain = self.rivals["torchvision"]
        plain.measure("torchvision", warm_up(case))
        tried = {}
        for workers in sorted({0, 1, 2, 4, min(8, os.cpu_count() or 1)}):
            tried[workers] = round(plain.measure("torchvision", case, 0, workers), 3)
        best = min(tried, key=tried.get)
        print(f"DataLoader workers: {tried}, so {best}", flush=True)
        return {"used": best, "seconds": {str(k): v for k, v in tried.items()}}

    def epochs(self, name: str) -> dict[str, Any]:
        case = EPOCHS[name]
        if self.device.startswith("cuda"):
            case = dataclasses.replace(case, images=None)  # a GPU is done with all in time
        if self.trial:
            case = dataclasses.replace(warm_up(case), images=5 * 16, batch_size=16)
        self.workers = self.workers or self.choose_workers()
        workers = self.workers["used"]
        for rival in RIVALS:
            self.rivals[rival].measure(rival, warm_up(case), 0, workers)
        measures = {
            rival: lambda seed, rival=rival: self.rivals[rival].measure(rival, case, seed, workers)
            for rival in RIVALS
        }
        taken = turns(measures, **self.limits("epochs", name))
        return {
            "network": case.network,
            "options": case.options,
            "image_size": case.image_size,
            "batch_size": case.batch_size,
            "recipe": f"SGD, learning rate {case.learning_rate}, one epoch",
            "whole_epoch": case.images is None,
            "images": 60_000 if case.images is None else case.images,
            "test_images": case.test_images,
            "included": "reading the files, loading, training, accuracy on the test images, and "
            "what is shown meanwhile",
            "torchvision_workers": self.workers,
            "d2l_seconds": common.summarise(taken["d2l"]),
            "torchvision_seconds": common.summarise(taken["torchvision"]),
            "our_seconds": common.summarise(taken["ours"]),
            "ratio": {
                "d2l": ratios(taken["d2l"], taken["ours"]),
                "torchvision": ratios(taken["torchvision"], taken["ours"]),
            },
        }

    def loop(self, name: str) -> dict[str, Any]:
        case = warm_up(LOOP[name]) if self.trial else LOOP[name]
        ours = self.rivals["ours"]
        ours.measure("loop", warm_up(case))
        measures = {"a turn": lambda seed: ours.measure("loop", case, seed)}
        taken = turns(measures, **self.limits("loop", name))["a turn"]
        return {
            "image_size": case.image_size,
            "batch_size": case.batch_size,
            "images": case.images,
            "alternating": "after each step of fit, on a GPU after ten, as much bare work",
            "bare_seconds": common.summarise(turn["bare"] for turn in taken),
            "fit_seconds": common.summarise(turn["fit"] for turn in taken),
            "overhead": common.summarise(turn["fit"] / turn["bare"] - 1 for turn in taken),
        }

    def profile(self, name: str) -> dict[str, Any]:
        self.matmul = self.matmul or speed_profile.matmul(0.2 if self.trial else 5)
        case = warm_up(LOOP[name]) if self.trial else LOOP[name]
        seconds = 0.1 if self.trial else self.share("profile", name)
        best = self.matmul["gflops"]["best"]
        profile = speed_profile.profile(case, self.device, seconds, best)
        return profile | {"matmul": self.matmul}

    def imports(self, name: str) -> dict[str, Any]:
        """Seconds that a statement takes in a fresh process in which torch is already imported."""
        script = (
            "import time, torch\nstart = time.perf_counter()\n"
            f"{IMPORTS[name]}\nprint(time.perf_counter() - start)"
        )
        command = [sys.executable, "-c", script]
        runs = [
            float(subprocess.check_output(command, cwd=ROOT, text=True))
            for _ in range(1 if self.trial else 5)
        ]
        return {"statement": IMPORTS[name], **common.summarise(runs)}


def cases(parts: Iterable[str], networks: list[str] | None, device: str) -> list[tuple[str, str]]:
    """What is to be measured, as (part, network)."""
    names = {"epochs": EPOCHS, "loop": LOOP, "profile": LOOP, "imports": IMPORTS}
    if device != "cpu":
        names["profile"] = {}  # it reads the CPU's operations
    return [
        (part, name)
        for part in parts
        for name in names[part]
        if part == "imports" or networks is None or name in networks
    ]


def add_summary(content: dict[str, Any]) -> None:
    """The most unfavourable of all networks: where we lead least, where `fit` costs most."""
    summary: dict[str, Any] = {}
    for rival in ("d2l", "torchvision"):
        leads = {
            name: network["ratio"][rival]["median"]
            for name, network in content.get("epochs", {}).items()
        }
        if leads:
            least = min(leads, key=leads.get)
            summary[f"least_ratio_to_{rival}"] = {"network": least, "ratio": leads[least]}
    costs = {name: loop["overhead"]["median"] for name, loop in content.get("loop", {}).items()}
    if costs:
        most = max(costs, key=costs.get)
        summary["most_overhead"] = {"network": most, "overhead": costs[most]}
    content["summary"] = summary


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--networks", nargs="+", choices=list(EPOCHS), help="all by default")
    parser.add_argument("--minutes", type=float, default=14, help="of all turns together")
    parser.add_argument("--trial", action="store_true", help="tiny sizes; nothing is stored")
    options = parser.parse_args()
    data.unpack()  # torchvision and d2l read the unpacked files

    head = common.header(
        "an epoch of ours beside d2l's and a plain DataLoader loop's; fit against bare steps; the "
        "rate of the processor and where the time goes; time of import",
        *("numpy", "d2l"),
    )
    same = {key: head[key] for key in ("machine", "versions")}
    settings = same | {"command": head["command"], "node": platform.node()}
    unfinished = common.Stored(None if options.trial else str(UNFINISHED), {}, settings=settings)
    done = unfinished.content.setdefault("done", {})
    benchmark = Benchmark(options.minutes, options.trial)
    start = time.perf_counter()
    try:
        for part, name in cases(options.parts, options.networks, benchmark.device):
            if name in done.get(part, {}):
                print(f"{part}, {name}: kept from the interrupted run")
                continue
            print(f"{part}, {name} ({(time.perf_counter() - start) / 60:.1f} min)", flush=True)
            load = common.load_average()
            measured = getattr(benchmark, part)(name) | {"load_at_start": load}
            done.setdefault(part, {})[name] = measured
            unfinished.save()
    finally:
        benchmark.close()
    for line in report(done):
        print(line)
    if options.trial:
        print("A trial: nothing is stored.")
        return
    stored = common.Stored(FILE, head, report=add_summary, **same)
    for part, measured in done.items():
        stored.content[part] = stored.content.get(part, {}) | measured
    stored.save()
    unfinished.remove()


def report(done: dict[str, dict[str, Any]]) -> list[str]:
    """What was measured, a line for each network."""
    lines = []
    for name, epoch in done.get("epochs", {}).items():
        times = [f"{rival} {r['median']:.2f} times as long" for rival, r in epoch["ratio"].items()]
        lines.append(f"{name}: {', '.join(times)} ({epoch['our_seconds']['median']:.2f} s)")
    for name, loop in done.get("loop", {}).items():
        lines.append(f"{name}: fit takes {100 * loop['overhead']['median']:+.1f} % more than steps")
    for name, profile in done.get("profile", {}).items():
        shares = ", ".join(f"{part} {share:.0%}" for part, share in profile["parts"].items())
        lines.append(
            f"{name}: {profile['step_milliseconds']['median']:.1f} ms a step, "
            f"{profile['gflops']:.0f} GFLOP/s, {profile['share_of_matmul']:.0%} of the matrix "
            f"product's; {shares}"
        )
    return lines


if __name__ == "__main__":
    main()
