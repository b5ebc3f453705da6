"""What one learner needs: time and memory of every chapter, of JupyterLab itself, and disk.

Every chapter is run as a learner finds it, from top to bottom, in a fresh kernel. Written down are
the seconds by the wall clock (the kernel's start included), the kernel's processor seconds, and the
most memory that it held. Of that, what is mapped from files (libraries, above all torch's) lies in
memory only once where several learners use the same computer and environment.

Writes results/classroom.json. A chapter whose notebook has not changed since is kept, unless
--again is given.

    python -m benchmarks.classroom                       # every chapter, at smoke and at cpu
    python -m benchmarks.classroom 04_nin --budgets smoke
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from benchmarks import common, growth
from tools import authoring
from utils import device

FILE = "classroom.json"
ROOT = common.ROOT
BUDGETS = ("smoke", "cpu")
LEARNERS = 30  # in the worked example of docs/teaching.md
# The last cell of a measured notebook: it asks its own kernel.
ASK = """\
import json, time
from benchmarks import classroom
print(json.dumps([*classroom.memory_of("self"), time.process_time()]))
"""


def memory_of(process: int | str) -> tuple[int | None, int | None]:
    """The most bytes that a process has held, and how many bytes of mapped files it holds now."""
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return growth.most_resident() if process == "self" else None, None
    lines = (line.split() for line in status.read_text(encoding="utf-8").splitlines())
    kilobytes = {words[0]: int(words[1]) for words in lines if words[-1] == "kB"}
    return 1024 * kilobytes["VmHWM:"], 1024 * kilobytes["RssFile:"]


def measure(stem: str, budget: str) -> dict:
    """One run of one chapter."""
    nb = authoring.load(stem)
    nb.cells.append(authoring.code(ASK))
    start = time.perf_counter()
    done = authoring.execute(nb, budget=budget)
    seconds = time.perf_counter() - start
    peak, mapped, processor = json.loads(done.cells[-1].outputs[-1]["text"])
    return {
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "peak_bytes": peak,
        "mapped_bytes": mapped,
    }


def lab() -> dict[str, int]:
    """Memory of JupyterLab's server, without a kernel (Linux)."""
    options = [
        "--no-browser",
        "--port=0",
        "--allow-root",
        f"--IdentityProvider.token={secrets.token_hex(8)}",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        for line in process.stderr:
            if "is running at" in line:
                break
        time.sleep(3)
        peak, mapped = memory_of(process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()
    return {"peak_bytes": peak, "mapped_bytes": mapped}


def disk() -> dict[str, int]:
    """Bytes of the course's files, of its data unpacked, and of the packages it locks."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    raw = (ROOT / "data" / "FashionMNIST" / "raw").glob("*-ubyte")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    packages = 0
    for line in lock:
        name, equals, _ = line.split(";")[0].partition("==")
        if equals:
            try:
                files = distribution(name.strip()).files or []
            except PackageNotFoundError:
                continue  # of another system
            paths = (Path(file.locate()) for file in files)
            packages += sum(path.stat().st_size for path in paths if path.is_file())
    return {
        "course_bytes": sum((ROOT / name).stat().st_size for name in listed.split("\0") if name),
        "unpacked_data_bytes": sum(path.stat().st_size for path in raw),
        "packages_bytes": packages,
    }


def summed_up(chapters: dict[str, dict]) -> dict:
    """Over all chapters measured: their number, their times, the largest memory."""
    result: dict = {"chapters": len(chapters)}
    for key in ("seconds", "processor_seconds", "peak_mb", "mapped_mb"):
        values = [chapter[key] for chapter in chapters.values() if chapter[key] is not None]
        if values:
            result[key] = {"sum": round(sum(values), 1), **common.summarise(values, 1)}
            del result[key]["runs"]
    return result


def whole_class(chapters: dict, lab_mb: dict, learners: int = LEARNERS) -> dict:
    """What so many learners need who work on one server at the same time, each on one chapter.

    Memory for the chapter that needs most; `shared` counts mapped files once, `apart` for everyone,
    as in containers that share nothing. Processor minutes for one run of a chapter by everybody.
    """
    each = chapters["peak_mb"]["max"] + lab_mb["peak_mb"]
    mapped = chapters["mapped_mb"]["median"]
    return {
        "learners": learners,
        "apart_gb": round(learners * each / 1000, 1),
        "shared_gb": round((learners * (each - mapped) + mapped) / 1000, 1),
        "processor_minutes": round(learners * chapters["processor_seconds"]["median"] / 60, 1),
    }


def report(content: dict) -> None:
    for budget in content["budgets"].values():
        chapters = budget["each"]
        budget["each"] = {stem: chapters[stem] for stem in authoring.stems() if stem in chapters}
        budget["all"] = summed_up(chapters)
        if "mapped_mb" in budget["all"]:
            budget["class"] = whole_class(budget["all"], content["lab"])


def main() -> None:
    parser = common.parser(__doc__, names=authoring.stems())
    parser.add_argument("--budgets", nargs="+", default=list(BUDGETS))
    parser.add_argument("--again", action="store_true", help="measure also what is there already")
    arguments = parser.parse_args()
    head = common.header("What one learner needs: time, memory and disk", "jupyterlab")
    head |= {"device": device.describe(), "cores": os.cpu_count()}
    head |= {"disk": growth.in_mb(disk()), "lab": growth.in_mb(lab())}
    stored = common.Stored(FILE, head, report=report)
    for name in arguments.budgets:
        budgets = stored.content.setdefault("budgets", {})
        budget = budgets.setdefault(name, {"all": {}, "each": {}})
        for stem in arguments.names:
            content = authoring.path_of(stem).read_bytes()
            mark = hashlib.sha256(content).hexdigest()[:16]
            if budget["each"].get(stem, {}).get("notebook") == mark and not arguments.again:
                continue
            budget["each"][stem] = {"notebook": mark, **growth.in_mb(measure(stem, name))}
            print(name, stem, budget["each"][stem], flush=True)
            stored.save()
    stored.save()


if __name__ == "__main__":
    main()
