"""One line for each thing that the course needs: in order, or a problem and what to do.

python -m tools.doctor      checks the Python that runs it; `course.py doctor` calls
                            `check_course`, which chooses
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tools import COMMAND, ROOT, CourseError, data_files, environment, programs, say, trial


def check_course() -> int:
    """Check the course's own environment where there is one, otherwise this Python."""
    own = environment.missing(environment.requirements()) and environment.VENV.exists()
    problem = environment.venv_problem() if own else ""
    if problem:
        todo = "which makes it anew" if environment.made_by_course() else "after you deleted it"
        say(f"problem: Python: .venv {problem}: run `{COMMAND} setup`, {todo}.")
        return 1
    if own:
        environment.mend_moved()
    else:
        environment.check_parts()
    python = str(environment.venv_python()) if own else sys.executable
    left_out = {"COURSE_LEFT_OUT": " ".join(programs.left_out())}
    code = subprocess.call(
        [python, "-m", "tools.doctor"], cwd=ROOT, env={**programs.environ(), **left_out}
    )
    if code not in (0, 1):
        say(
            f"problem: Python crashed in the next check (code {code}): remove .venv and run "
            f"`{COMMAND} setup`."
        )
    return min(abs(code), 1)


def main() -> int:
    """Make every check; 1 if there is a problem."""
    checks = {
        "Python": check_python,
        "packages": check_packages,
        "JupyterLab": lambda: check_present("jupyterlab"),
        "nbval": lambda: check_present("nbval"),
        "write access": check_write_access,
        "disk": check_disk,
        "torch": check_torch,
        "device": check_device,
        "d2l": check_d2l,
        "data": check_data,
        "variables": check_variables,
    }
    code = max([examine(name, check) for name, check in checks.items()])
    # Where something is wrong already, this could only fail as well, and says less.
    return code or examine("lab", trial.check_lab)


def examine(name: str, check: Callable[[], str]) -> int:
    """Print the line of one check; 1 if there is a problem."""
    try:
        say(f"ok       {name}: {check()}")
        return 0
    except CourseError as error:
        say(f"problem: {name}: {error}")
    except Exception as error:  # whatever a broken installation raises
        reason = str(error).strip().splitlines()[-1:] or [""]
        say(f"problem: {name}: {type(error).__name__}: {reason[0]}: {advice(error)}")
    return 1


def advice(error: Exception) -> str:
    """What to do about an error that is not the course's own."""
    of_a_library = re.search(r"\.dll|DLL load failed", str(error))
    if os.name == "nt" and isinstance(error, (OSError, ImportError)) and of_a_library:
        return "install Microsoft's Visual C++ Redistributable (vc_redist.x64.exe), then try again."
    named = [name for name in LOADER if os.environ.get(name)]
    failed = named and isinstance(error, (OSError, ImportError)) and not loads_without(())
    if failed and loads_without(tuple(named)):
        return (
            f"{', '.join(named)} leads to libraries that do not fit: run "
            f"`unset {' '.join(named)}`, then the same command again."
        )
    if getattr(error, "name", None) in environment.PARTS:
        environment.check_parts()  # says more than the error that it caused
    if isinstance(error, ModuleNotFoundError):
        return f"run `{COMMAND} setup`."
    return f"remove .venv and run `{COMMAND} setup`; if it stays, report it."


# What leads a program to other libraries than its own, and what needs many of them.
LOADER = ("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES")
LOADS = "import torch, torchvision, zmq; from d2l import torch"


@functools.cache
def loads_without(named: tuple[str, ...]) -> bool:
    """Whether the course's compiled packages load without these variables."""
    environ = {name: value for name, value in os.environ.items() if name not in named}
    done = subprocess.run([sys.executable, "-c", LOADS], env=environ, capture_output=True)
    return done.returncode == 0


def check_python() -> str:
    environment.check_parts()
    return f"{platform.python_version()} ({sys.executable})"


def check_packages() -> str:
    wanted = environment.requirements()
    if lacking := environment.missing(wanted):
        lacking = environment.listed(lacking)
        raise CourseError(f"this Python lacks {lacking}: run `{COMMAND} setup`.")
    in_venv = Path(sys.prefix) == environment.VENV
    if in_venv and environment.read_stamp() == {}:
        raise CourseError(f".venv is unfinished: run `{COMMAND} setup`.")
    outdated = in_venv and environment.is_outdated()
    return f"all {len(wanted)} are here" + (
        f" (`{COMMAND} setup` brings newer ones)" if outdated else ""
    )


def check_present(name: str) -> str:
    distribution = environment.installed(name)
    if distribution is None:
        raise CourseError(f"{name} is not installed: run `{COMMAND} setup`.")
    return distribution.version


def chapter_folders() -> list[Path]:
    """The chapters in English and in Chinese."""
    return [folder for name in ("chapters", "chapters_zh") if (folder := ROOT / name).is_dir()]


def check_write_access() -> str:
    for folder in (ROOT, *chapter_folders(), ROOT / "data"):
        try:
            # Not tempfile: on Windows it tries names for ever where the folder refuses.
            probe = folder / f".doctor-{os.getpid()}.tmp"
            probe.open("xb").close()
            probe.unlink()
        except OSError as error:
            raise CourseError(
                f"{folder} cannot be written ({error.strerror}): {environment.remedy(error)}"
            ) from None
    if others := files_of_others():
        first, folders = others[0], owned_folders(others)
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise CourseError(
            f"{first}{more} cannot be written because another user owns it, as after a `sudo`: run "
            f'`sudo chown -R "$USER" {" ".join(map(shlex.quote, folders))}`.'
        )
    return str(ROOT)


def home_folders() -> list[Path]:
    """Where Jupyter and IPython write in a user's home."""
    home = Path.home()
    data = home / ("Library/Jupyter" if sys.platform == "darwin" else ".local/share/jupyter")
    named = [os.environ.get(name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")]
    named += [os.environ.get("JUPYTER_RUNTIME_DIR"), os.environ.get("IPYTHONDIR")]
    return [home / ".jupyter", data, home / ".ipython", *map(Path, filter(None, named))]


def files_of_others() -> list[Path]:
    """Files and folders that the course, Jupyter and IPython write and that are another user's."""
    if not hasattr(os, "geteuid"):
        return []  # Windows
    chapters = [path for folder in chapter_folders() for path in folder.glob("*")]
    places = [ROOT, *ROOT.iterdir(), *chapters, environment.STAMP]
    for top in (*(ROOT / name for name in ("data", "checkpoints", "backups")), *home_folders()):
        places += [top, *top.rglob("*")]
    return [place for place in dict.fromkeys(places) if is_of_others(place)]


def is_of_others(place: Path) -> bool:
    try:
        return place.stat().st_uid != os.geteuid() and not os.access(place, os.W_OK)
    except OSError:  # a link to nothing, a folder that cannot even be read
        return False


def owned_folders(files: list[Path]) -> list[str]:
    """The course's folder, or a folder of the home, for each of the files."""
    tops = [ROOT, *home_folders()]
    found = [next((top for top in tops if file.is_relative_to(top)), file) for file in files]
    return [str(top) for top in dict.fromkeys(found)]


def check_disk() -> str:
    free = shutil.disk_usage(ROOT).free / environment.GIGABYTE
    if free < 1:
        raise CourseError(f"{free:.1f} GB are free, and chapters store up to 1 GB: make room.")
    environment.temporary_folder()
    return f"{free:.0f} GB are free"


def check_torch() -> str:
    if problem := environment.pair_problem():
        raise CourseError(problem)
    import torch
    import torchvision

    # torchvision's compiled part: the first thing that fails where the two are not a pair.
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    torchvision.ops.nms(boxes, torch.ones(1), 0.5)
    return f"{torch.__version__} with torchvision {torchvision.__version__}"


def check_device() -> str:
    import torch

    from utils import budget, device

    line = f"{device.describe()}, budget {budget.current()}"
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        build = "update its driver" if torch.version.cuda else "this torch is a build without CUDA"
        line += f" (there is an NVIDIA card that torch cannot use: {build}, see pytorch.org)"
    return line


def check_d2l() -> str:
    from d2l import torch as d2l

    for name in ("load_data_fashion_mnist", "train_ch6", "try_gpu"):
        getattr(d2l, name)
    return check_present("d2l")


def check_data() -> str:
    data_files.check_sizes()
    from utils import data

    try:
        arrays = data.read_raw()
    except data.DataError as error:
        raise CourseError(str(error)) from None
    return f"Fashion-MNIST, {len(arrays)} files verified"


def check_variables() -> str:
    """Not a problem, for `course.py` does without them; but other programs obey them."""
    names = os.environ.get("COURSE_LEFT_OUT", "").split() or programs.left_out()
    if not names:
        return "none is in the way"
    return f"{', '.join(names)} left out here; VS Code and others obey it, so unset it for them"


if __name__ == "__main__":
    sys.exit(main())
