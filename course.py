#!/usr/bin/env python3
"""One by One: prepare, open, test and check the course. It needs nothing but Python.

    python3 course.py lab [...]     open JupyterLab on chapter 0; what follows goes to JupyterLab
    python3 course.py test [...]    run all tests and all notebooks; what follows goes to pytest
    python3 course.py test --all    the long tier as well (hours)
    python3 course.py setup         only the preparation that both need
    python3 course.py setup --here  the same, in the environment that runs this, keeping its torch
    python3 course.py doctor        what is in order on this machine and what is not
    python3 course.py progress      which exercises are right, wrong, open, not tried
    python3 course.py reset nin.2   an exercise back to its start; reset 04_nin: a whole chapter
    python3 course.py update        the newest course; your answers stay
    python3 course.py update --from OLD   answers from an older folder, ZIP file or notebook

For teachers:

    python3 course.py mark handed_in 04_nin   run a class's notebooks and count the right answers

For authors:

    python3 course.py setup --authors   what they need besides: ruff, readable diffs of notebooks
    python3 course.py run [...]     execute chapters and store their outputs
    python3 course.py results       bring the numbers in the text up to date with results/
    python3 course.py site          build the web site into _site/
    python3 course.py licences      list the licences of everything in requirements.lock anew
    python3 course.py address OWNER/NAME    the repository's address, wherever it stands
"""

import sys

NEEDED_PYTHON = (3, 11)


def refuse_old_python(version=sys.version_info, executable=sys.executable):
    """Exit with one sentence on a Python that is too old; runs before anything that needs more."""
    if tuple(version[:2]) >= NEEDED_PYTHON:
        return
    import shutil
    import subprocess

    todo = "install a newer one, from python.org for example, and run course.py with that."
    for name in ("python3.14", "python3.13", "python3.12", "python3.11"):
        # A name on the path need not work: version managers put placeholders there.
        if shutil.which(name) and subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            todo = f"run it with {name}, which is installed here."
            break
    sys.exit(
        f"problem: the course needs Python {NEEDED_PYTHON[0]}.{NEEDED_PYTHON[1]} or newer, and "
        f"{executable} is {version[0]}.{version[1]}: {todo}"
    )


refuse_old_python()

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
import webbrowser
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "course.json"
COMMAND = "python course.py" if os.name == "nt" else "python3 course.py"
GIGABYTE = 1e9
# Measured with requirements.lock: what is downloaded, and what lies on the disk afterwards.
DOWNLOAD_GB, INSTALLED_GB = (3.0, 6.5) if sys.platform == "linux" else (0.3, 1.3)
# What an environment brings itself; Colab's torch is built for Colab's GPU driver.
HOST_PACKAGES = ("torch", "torchvision", "numpy")
# The files that a clone brings, with their sizes; utils.data checks every byte when it reads them.
DATA_FILES = {
    "train-images-idx3-ubyte.gz": 26421880,
    "train-labels-idx1-ubyte.gz": 29515,
    "t10k-images-idx3-ubyte.gz": 4422102,
    "t10k-labels-idx1-ubyte.gz": 5148,
}


class CourseError(Exception):
    """One sentence: what was expected, what came, what to do."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook the sentence alone is shown."""
        return [f"problem: {self}"]


# What must be installed -----------------------------------------------------------------------


class Requirement(NamedTuple):
    name: str
    operator: str  # ">=" or "=="
    bound: str

    def __str__(self) -> str:
        return self.name + self.operator + self.bound


def parse_requirement(text: str) -> Requirement:
    match = re.fullmatch(r"([\w.-]+)(>=|==)([\w.]+)", text)
    if match is None:
        raise CourseError(f"pyproject.toml holds {text!r}; write it as name>=version.")
    return Requirement(*match.groups())


def requirements(lab: bool = True) -> list[Requirement]:
    """What the chapters need and, with `lab`, what JupyterLab and the tests need besides."""
    import tomllib

    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    texts = list(pyproject["project"]["dependencies"])
    if lab:
        texts += pyproject["project"]["optional-dependencies"]["lab"]
    return [parse_requirement(text) for text in texts] + no_deps()


def no_deps() -> list[Requirement]:
    """The packages whose own pins are outdated, installed without their dependencies."""
    import tomllib

    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [parse_requirement(text) for text in pyproject["dependency-groups"]["no-deps"]]


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: 2.11.0+cu128 and 2.11.0rc1 are both (2, 11)."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match.group().split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def installed(name: str, path: list[str]) -> importlib.metadata.Distribution | None:
    found = importlib.metadata.distributions(name=name, path=path)
    return next((d for d in found if d.metadata["Version"]), None)


def missing(wanted: list[Requirement], path: list[str] | None = None) -> dict[str, str]:
    """What of `wanted` is not installed on `path` (default: this Python): name and what is needed.

    Reads metadata only: torch is not imported, so the answer takes some milliseconds.
    """
    needed = {}
    for requirement in wanted:
        distribution = installed(requirement.name, sys.path if path is None else path)
        if distribution is None:
            needed[requirement.name] = str(requirement)
            continue
        have, need = release(distribution.version), release(requirement.bound)
        if have < need or (requirement.operator == "==" and have != need):
            needed[requirement.name] = f"{requirement} (here {distribution.version})"
    return needed


def listed(needed: dict[str, str]) -> str:
    return ", ".join(needed.values())


def pair_problem(path: list[str] | None = None) -> str:
    """Why torch and torchvision do not fit together, or nothing.

    torchvision's own metadata says which torch it was built for.
    """
    path = sys.path if path is None else path
    torch, torchvision = installed("torch", path), installed("torchvision", path)
    if torch is None or torchvision is None:
        return ""
    for line in torchvision.requires or []:
        match = re.match(r"torch\s*\(?\s*(==|>=)\s*([\w.+]+)", line)
        if match is None:
            continue
        operator, bound = match.groups()
        have, need = release(torch.version), release(bound)
        if have < need or (operator == "==" and have != need):
            return (
                f"torchvision {torchvision.version} was built for torch{operator}{bound}, but "
                f"torch {torch.version} is installed: run `python -m pip install "
                f'"torch{operator}{bound}"`, or install both anew in one pip command.'
            )
    return ""


# The environment ------------------------------------------------------------------------------


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def venv_path() -> list[str]:
    """The folder of packages inside .venv."""
    return [str(p) for p in (*VENV.glob("lib/python3*/site-packages"), VENV / "Lib/site-packages")]


def fingerprint() -> str:
    """Changes when the set of packages changes."""
    names = ("pyproject.toml", "requirements.lock")
    # Through text, so that Windows line endings make no difference.
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)
    return hashlib.sha256(text.encode()).hexdigest()


def is_outdated() -> bool:
    """Whether .venv was made by setup from another lock than today's."""
    return bool(read_stamp()) and read_stamp().get("fingerprint") != fingerprint()


def read_stamp() -> dict | None:
    """What setup wrote into .venv: None if .venv is not ours, {} if it was left unfinished."""
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}


def find_environment() -> str:
    """The interpreter of a complete environment, or "" if there is none yet.

    The Python that runs this comes first: in conda or a container no .venv is made. A finished
    .venv that is older than the lock will do as long as it meets the lower bounds.
    """
    wanted = requirements()
    if not missing(wanted):
        problem = pair_problem()
        if problem:
            raise CourseError(problem)
        return sys.executable
    unfinished = read_stamp() == {}
    if unfinished or not venv_python().exists() or missing(wanted, venv_path()):
        return ""
    return str(venv_python())


def environment() -> str:
    """The interpreter of a complete environment, made first where there is none."""
    python = find_environment()
    if python:
        return python
    if may_install_here() and missing(requirements()).keys() <= {r.name for r in no_deps()}:
        # A conda environment from environment.yml, which cannot say --no-deps.
        complete(lab=True)
        return sys.executable
    with exclusive():
        return find_environment() or make_venv()


def may_install_here() -> bool:
    """Not into a system Python that its distribution manages itself (PEP 668)."""
    managed = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()
    return sys.prefix != sys.base_prefix or not managed


def make_venv() -> str:
    """Make .venv, or bring a finished one up to the lock; unfinished ones are made anew."""
    before = read_stamp()
    if before is None and VENV.exists() and any(VENV.iterdir()):
        lacking = listed(missing(requirements(), venv_path())) or "a working Python"
        raise CourseError(
            f"{VENV} was not made by course.py and lacks {lacking}: rename or delete it, or "
            f"activate it and run `{COMMAND} setup --here`."
        )
    update = bool(before) and venv_python().exists()
    if update:
        say(f"Bringing {VENV} up to requirements.lock.")
    else:
        check_machine()
        say(f"{sys.executable} lacks some packages, so the course gets its own in {VENV}.")
    say(
        f"pip downloads up to {DOWNLOAD_GB:g} GB now, less what it has in its cache, and unpacks "
        f"it to about {INSTALLED_GB:g} GB. It may be interrupted and repeated."
    )
    try:
        VENV.mkdir(exist_ok=True)
        STAMP.write_text("{}", encoding="utf-8")  # ours, and unfinished
        if before is not None and not update:
            say("An earlier attempt was not finished: it is removed.")
            for entry in VENV.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                elif entry != STAMP:  # it stays to the last, as the mark that .venv is ours
                    entry.unlink()
    except OSError as error:
        raise CourseError(
            f"course.py cannot write {VENV} ({error.strerror}): put the course into a folder that "
            f"is yours, and close programs that use this one."
        ) from None
    if not update:
        run_to_end([sys.executable, "-m", "venv", str(VENV)], "making .venv failed")
    python = str(venv_python())
    try:
        pip_install(python, *locked(str(ROOT / "requirements.lock")))
    except CourseError:
        if update:  # pip changes nothing before it has everything, so the old set still works
            STAMP.write_text(json.dumps(before), encoding="utf-8")
        raise
    lacking = missing(requirements(), venv_path())
    if lacking:
        raise CourseError(f"pip installed requirements.lock, but {listed(lacking)} is not there.")
    # Replaced in one step: the stamp is never half-written.
    fresh = STAMP.with_suffix(".new")
    fresh.write_text(json.dumps({"fingerprint": fingerprint()}), encoding="utf-8")
    fresh.replace(STAMP)
    return python


def check_machine() -> None:
    """Whatever would stop the installation, said before it starts."""
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise CourseError(
                f"this Python has no `{module}`, so it cannot make an environment: on Debian and "
                f"Ubuntu run `sudo apt install python{version}-venv`, elsewhere install Python "
                f"from python.org or conda."
            )
    if sys.platform == "darwin":
        # An Intel Python on a newer Mac counts as an Intel Mac.
        if platform.machine() != "arm64" or release(platform.mac_ver()[0]) < (14,):
            raise CourseError(
                "the torch of requirements.lock needs a Mac with Apple silicon, macOS 14 and a "
                "Python made for both: open the chapters in Colab, or install an older torch and "
                f"torchvision yourself and run `{COMMAND} setup --here`."
            )
    # Not platform.machine(): from Python 3.12 on that is the computer's, also under emulation.
    if os.name == "nt" and sysconfig.get_platform() != "win-amd64":
        raise CourseError("torch needs a Python for Windows x64, and this is another: install it.")
    if sys.maxsize < 2**32:
        raise CourseError("torch needs a 64-bit Python, and this one has 32 bits: install another.")
    needs = {ROOT: INSTALLED_GB, Path(tempfile.gettempdir()): DOWNLOAD_GB}
    if len({folder.stat().st_dev for folder in needs}) == 1:
        needs = {ROOT: INSTALLED_GB + DOWNLOAD_GB}
    for folder, need in needs.items():
        free = shutil.disk_usage(folder).free / GIGABYTE
        if free < need:
            raise CourseError(
                f"setting up takes {need:.1f} GB on the disk of {folder}, and {free:.1f} GB are "
                f"free: make room, or set TMPDIR to a larger disk if it is the temporary folder."
            )


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """One course.py at a time works on .venv; the system drops the lock when it ends or dies.

    The lock file is inherited by pip: where course.py was killed and pip goes on, it still holds.
    """
    global lock_file
    try:
        lock_file = open(ROOT / ".venv.lock", "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise CourseError(
            f"course.py cannot write in {ROOT} ({error.strerror}): put the course into a folder "
            f"that is yours, or start it from an environment that has all packages."
        ) from None
    with lock_file:
        waiting = False
        while not try_to_lock(lock_file):
            if not waiting:
                say("Another course.py is at work on .venv; waiting for it.")
                waiting = True
            time.sleep(0.5)
        yield


lock_file = None


def try_to_lock(file) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False  # somebody else has it
    except OSError:
        pass  # a file system without locks: better unguarded than not at all
    return True


# pip ------------------------------------------------------------------------------------------


def pip_install(python: str, *arguments: str, quiet: bool = False) -> None:
    """Run pip with its user's own settings: mirrors, folders of wheels and proxies are honoured."""
    # Wheels only: building from source on a learner's machine takes long and rarely ends well.
    options = ["--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    command = [python, "-m", "pip", "install", *options]
    if quiet:
        command.append("--quiet")
    run_to_end([*command, *arguments], "pip failed")


def locked(lock: str) -> tuple[str, ...]:
    """The arguments of pip for a lock: files that its authors did not see are refused.

    The lock names all packages, so none is looked up by dependency; d2l's own pins are outdated.
    """
    return ("--no-deps", "--require-hashes", "--requirement", lock)


def lock_entry(package: str) -> str:
    """The lines of requirements.lock for `name==version`, with the hashes."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entry = re.search(rf"^{re.escape(package)} \\\n(    --hash=.*\n)+", text, re.MULTILINE)
    if entry is None:
        raise CourseError(f"requirements.lock has no hashes of {package}: fetch the file anew.")
    return entry.group()


def run_to_end(command: list[str], failure: str) -> None:
    """Run a command, pass its messages on, and turn its failure into one sentence."""
    # A user-wide `--user` cannot work in .venv; the messages are read as UTF-8 below.
    environ = {**os.environ, "PIP_USER": "0", "PYTHONIOENCODING": "utf-8"}
    keep = [lock_file.fileno()] if lock_file and not lock_file.closed and os.name != "nt" else []
    sys.stdout.flush()
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, encoding="utf-8", errors="replace", env=environ,
        pass_fds=keep,
    )  # fmt: skip
    messages = []
    try:
        for line in process.stderr:
            messages.append(line)
            print(line, end="", file=sys.stderr, flush=True)
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    if code != 0:
        raise CourseError(f"{failure}: {explain_failure(''.join(messages), code)}")


def explain_failure(messages: str, code: int) -> str:
    """One sentence for what pip or venv wrote before it gave up."""
    unavailable = re.search(r"No matching distribution found for (\S+)", messages)
    if "No module named pip" in messages:
        return "this environment has no pip; run `python -m ensurepip` in it, or leave it."
    if "externally-managed-environment" in messages:
        return f"this Python belongs to the operating system; run `{COMMAND} setup` without --here."
    if re.search(r"No space left on device|Errno 28|WinError 112|not enough space", messages):
        return "the disk is full; make room, or set TMPDIR to a larger disk, and run it again."
    if "Long Path" in messages:
        return "the path of this folder is too long for Windows; move it to C:\\one-by-one."
    if re.search(
        r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Read timed out|"
        r"Connection refused|Connection reset|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED|"
        r"ProtocolError|IncompleteRead|Network is unreachable",
        messages,
    ):
        return (
            "the network did not give what was asked for; try again, or set PIP_INDEX_URL to a "
            "mirror near you, or PIP_FIND_LINKS to a folder of wheels (with PIP_NO_INDEX=1)."
        )
    if "DO NOT MATCH THE HASHES" in messages:
        return (
            "a downloaded file is not the one that requirements.lock was made with, so nothing "
            "was installed: try again with `PIP_NO_CACHE_DIR=1`, or use another mirror."
        )
    if unavailable:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            f"it found no {unavailable.group(1)} for Python {version} on this system; look at the "
            f"network and, if they are set, at PIP_INDEX_URL, PIP_FIND_LINKS and PIP_NO_INDEX, or "
            f"try Python 3.12."
        )
    if re.search(r"Permission denied|Errno 13|WinError 5\b|Access is denied", messages):
        return "a file could not be written; close JupyterLab and other users of it and try again."
    last = next((line.strip() for line in reversed(messages.splitlines()) if line.strip()), "")
    return f"it ended with code {code} ({last}); see its messages above."


def complete(lab: bool, quiet: bool = False) -> None:
    """Install into the running environment what it lacks; nothing it has is replaced.

    Raises CourseError if torch, torchvision or numpy themselves are missing or too old: those are
    the environment's own affair.
    """
    lacking = missing(requirements(lab))
    problem = pair_problem()
    if problem:
        raise CourseError(problem)
    if not lacking:
        return
    kept = {name: lacking[name] for name in HOST_PACKAGES if name in lacking}
    if kept:
        raise CourseError(
            f"this environment needs {listed(kept)}, and course.py does not touch those: install "
            f"them first, or leave the environment and run `{COMMAND} setup`."
        )
    say(f"Installing what is missing here: {listed(lacking)}")
    alone = [str(r) for r in no_deps() if r.name in lacking]
    others = [str(r) for r in requirements(lab) if r.name in lacking and str(r) not in alone]
    if others:
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder, "constraints.txt")
            constraints.write_text("\n".join(present_versions(lacking)), encoding="utf-8")
            pip_install(sys.executable, *others, "--constraint", str(constraints), quiet=quiet)
    if alone:
        with tempfile.TemporaryDirectory() as folder:
            lock = Path(folder, "requirements.lock")
            lock.write_text("".join(map(lock_entry, alone)), encoding="utf-8")
            pip_install(sys.executable, *locked(str(lock)), quiet=quiet)
    importlib.invalidate_caches()
    lacking = missing(requirements(lab))
    if lacking:
        raise CourseError(f"pip ended well, but {listed(lacking)} is still missing.")


def present_versions(but: Collection[str]) -> list[str]:
    """`name==version` for everything installed in the running Python, except the names in `but`."""
    lines = set()
    for distribution in importlib.metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        plain = name and version and re.fullmatch(r"[\w.-]+", name) and release(version)
        if plain and name.lower().replace("_", "-") not in but:
            lines.add(f"{name}=={version}")
    return sorted(lines)


def complete_host() -> None:
    """For the first cell of a chapter in Colab or Kaggle: add the few packages that are missing.

    JupyterLab and the tests are left out, and whatever the host has stays as it is, above all
    torch, torchvision and numpy. Where nothing is missing this costs a few milliseconds.
    """
    complete(lab=False, quiet=True)


# Commands -------------------------------------------------------------------------------------


def say(text: str) -> None:
    print(text, flush=True)


def hand_over(command: list[str], **variables: str) -> int:
    """Run the command in the course's folder as if it had been called directly."""
    # UTF-8 mode, or the console's old code page would break on Windows.
    environ = {"PYTHONUTF8": "1", **os.environ, **variables}
    os.chdir(ROOT)
    sys.stdout.flush()
    if os.name != "nt":
        os.execve(command[0], command, environ)  # signals and exit code are the command's own
    process = subprocess.Popen(command, env=environ)
    while True:
        # Ctrl-C reaches the command too, and it alone decides what follows.
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def call_in(python: str, command: str) -> int:
    """Run one of the commands below that need the course's environment."""
    return subprocess.call([python, str(ROOT / "course.py"), command], cwd=ROOT)


def check_data_files() -> None:
    """That the clone is whole; quick enough for every start."""
    for name, size in DATA_FILES.items():
        file = ROOT / "data" / "FashionMNIST" / "raw" / name
        have = file.stat().st_size if file.is_file() else None
        if have != size:
            state = "is missing" if have is None else f"has {have} bytes instead of {size}"
            raise CourseError(
                f"data/FashionMNIST/raw/{name} {state}: run `git checkout -- data`, or clone again."
            )


def lab(arguments: list[str]) -> int:
    python = environment()
    check_data_files()
    command = [python, "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    # Nothing leaves this machine: JupyterLab would ask its makers for news and newer versions.
    command.append("--LabApp.news_url=None")
    command.append("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    # Nor does it ask learners whether it may: .jupyter/ switches that question off.
    settings = [str(ROOT / ".jupyter"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    path = os.pathsep.join(filter(None, settings))
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # as in a container; JupyterLab refuses otherwise
    if not has_browser():
        say("No browser was found here: open the address that JupyterLab prints below.")
        command.append("--no-browser")
    if not any(argument.endswith(".ipynb") for argument in arguments):
        # Not as a file to open: then the address that is printed would lead to an empty launcher.
        command.append("--LabApp.default_url=/lab/tree/chapters/00_start_here.ipynb")
    return hand_over([*command, *arguments], JUPYTER_CONFIG_PATH=path)


def has_browser() -> bool:
    """Whether a window can open; a browser in the terminal would only be in the way."""
    on_screen = os.name == "nt" or sys.platform == "darwin" or "BROWSER" in os.environ
    if not (on_screen or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def test(arguments: list[str]) -> int:
    python = environment()
    variables = {"COURSE_LONG": "1"} if "--all" in arguments else {}
    arguments = [argument for argument in arguments if argument != "--all"]
    if not any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in arguments):
        arguments += ["-n", "2"]  # two at a time; conftest.py keeps a notebook's cells together
    return hand_over([python, "-m", "pytest", "--nbval", *arguments], **variables)


def setup(arguments: list[str]) -> int:
    if len(arguments) > 1 or not {"--here", "--authors"}.issuperset(arguments):
        raise CourseError(f"setup takes --here, --authors or nothing, not {' '.join(arguments)}.")
    if arguments == ["--here"]:
        complete(lab=True)
        python = sys.executable
    else:
        python = environment()
        if python == str(venv_python()) and is_outdated():
            with exclusive():
                make_venv()
    if arguments == ["--authors"]:
        equip_authors(python)
    check_data_files()
    if call_in(python, "unpack-here") != 0:
        return 1
    say(f"Ready: {python}\nGo on with `{COMMAND} lab`.")
    return 0


def equip_authors(python: str) -> None:
    """Install the tools of authors, and let `git diff` show the cells of notebooks."""
    import tomllib

    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pip_install(python, *pyproject["dependency-groups"]["authors"])
    if shutil.which("git") and (ROOT / ".git").exists():
        # With the whole path: git may be called where the environment is not active.
        driver = f'"{Path(python).as_posix()}" -m nbdime.vcs.git.diffdriver diff --sources'
        # The second one tells the tests that here nobody is a learner.
        for setting in (["diff.jupyternotebook.command", driver], ["course.authors", "true"]):
            run_to_end(["git", "-C", str(ROOT), "config", *setting], "git config failed")


def unpack_here(arguments: list[str]) -> int:
    """Verify the data and unpack it, in the interpreter that runs this."""
    from utils import data

    try:
        data.unpack()
    except data.DataError as error:
        raise CourseError(str(error)) from None
    return 0


def run(arguments: list[str]) -> int:
    return hand_over([environment(), "-m", "tools.authoring", "run", *arguments])


def address(arguments: list[str]) -> int:
    return hand_over([environment(), "-m", "tools.authoring", "address", *arguments])


def licences(arguments: list[str]) -> int:
    return hand_over([environment(), "-m", "tools.licences", *arguments])


def site(arguments: list[str]) -> int:
    return hand_over([environment(), str(ROOT / "tools" / "site" / "build.py"), *arguments])


def mark(arguments: list[str]) -> int:
    return hand_over([environment(), "-m", "tools.marking", *arguments])


def results(arguments: list[str]) -> int:
    return hand_over([environment(), "-m", "utils.results", *arguments])


# A learner's year -----------------------------------------------------------------------------


def update(arguments: list[str]) -> int:
    if arguments and (len(arguments) != 2 or arguments[0] != "--from"):
        raise CourseError("update takes nothing, or --from and an older copy's folder or ZIP file.")
    from tools import update

    if arguments:
        # Windows hands `"C:\old copy\"` over with the last quote, which no file name can have.
        named = arguments[1].rstrip('"') if os.name == "nt" else arguments[1]
        tell(update.take_from, Path(named))
    else:
        tell(update.update)
    if is_outdated():
        say(f"The course now wants newer packages: run `{COMMAND} setup`.")
    return 0


def tell(function: Callable, *arguments) -> None:
    """Print the lines that a function of tools.update gives."""
    from tools.update import UpdateError

    try:
        say("\n".join(function(*arguments)))
    except UpdateError as error:
        raise CourseError(str(error)) from None


def reset(arguments: list[str]) -> int:
    if len(arguments) != 1:
        raise CourseError("reset takes one exercise (such as nin.2) or one chapter (04_nin).")
    return hand_over([environment(), str(ROOT / "course.py"), "reset-here", *arguments])


def reset_here(arguments: list[str]) -> int:
    from tools import update

    tell(update.reset, *arguments)
    return 0


def progress(arguments: list[str]) -> int:
    if arguments:
        raise CourseError(f"progress takes no arguments, not {' '.join(arguments)}.")
    from exercises import record as progress

    say("\n".join(progress.table()))
    return 0


# doctor ---------------------------------------------------------------------------------------


def doctor(arguments: list[str]) -> int:
    """Check in the course's own environment where there is one, otherwise in this Python."""
    if arguments:
        raise CourseError(f"doctor takes no arguments, not {' '.join(arguments)}.")
    use_venv = missing(requirements()) and venv_python().exists()
    python = str(venv_python()) if use_venv else sys.executable
    code = call_in(python, "doctor-here")
    if code not in (0, 1):
        say(
            f"problem: Python crashed in the next check (code {code}): remove .venv and run "
            f"`{COMMAND} setup`."
        )
    return min(abs(code), 1)


def doctor_here(arguments: list[str]) -> int:
    """One line for each check, in the interpreter that runs this."""
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
    }
    return max([examine(name, check) for name, check in checks.items()])


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
    of_a_library = re.search(r"\.dll|DLL load failed", str(error))
    if os.name == "nt" and isinstance(error, (OSError, ImportError)) and of_a_library:
        return "install Microsoft's Visual C++ Redistributable (vc_redist.x64.exe), then try again."
    if isinstance(error, ModuleNotFoundError):
        return f"run `{COMMAND} setup`."
    return f"remove .venv and run `{COMMAND} setup`; if it stays, report it."


def check_python() -> str:
    return f"{platform.python_version()} ({sys.executable})"


def check_packages() -> str:
    lacking = missing(requirements())
    if lacking:
        raise CourseError(f"this Python lacks {listed(lacking)}: run `{COMMAND} setup`.")
    in_venv = Path(sys.prefix) == VENV
    if in_venv and read_stamp() == {}:
        raise CourseError(f".venv is unfinished: run `{COMMAND} setup`.")
    remark = f" (`{COMMAND} setup` brings newer ones)" if in_venv and is_outdated() else ""
    return f"all {len(requirements())} are here{remark}"


def check_present(name: str) -> str:
    distribution = installed(name, sys.path)
    if distribution is None:
        raise CourseError(f"{name} is not installed: run `{COMMAND} setup`.")
    return distribution.version


def check_write_access() -> str:
    for folder in (ROOT, ROOT / "chapters", ROOT / "data"):
        try:
            # Not tempfile: on Windows it tries names for ever where the folder refuses.
            probe = folder / f".doctor-{os.getpid()}.tmp"
            probe.open("xb").close()
            probe.unlink()
        except OSError as error:
            raise CourseError(
                f"{folder} cannot be written ({error.strerror}): put the course into a folder that "
                f"is yours."
            ) from None
    return str(ROOT)


def check_disk() -> str:
    free = shutil.disk_usage(ROOT).free / GIGABYTE
    if free < 1:
        raise CourseError(f"{free:.1f} GB are free, and chapters store up to 1 GB: make room.")
    return f"{free:.0f} GB are free"


def check_torch() -> str:
    problem = pair_problem()
    if problem:
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
    return installed("d2l", sys.path).version


def check_data() -> str:
    check_data_files()
    from utils import data

    try:
        arrays = data.read_raw()
    except data.DataError as error:
        raise CourseError(str(error)) from None
    return f"Fashion-MNIST, {len(arrays)} files verified"


COMMANDS = {
    "lab": lab,
    "test": test,
    "setup": setup,
    "doctor": doctor,
    "progress": progress,
    "reset": reset,
    "update": update,
    "mark": mark,
    "run": run,
    "results": results,
    "site": site,
    "licences": licences,
    "address": address,
    # Called by setup, reset and doctor in the course's own environment.
    "unpack-here": unpack_here,
    "reset-here": reset_here,
    "doctor-here": doctor_here,
}


def main(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        # A path with letters that the console does not know is shown, not crashed on.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        say((__doc__ or "").strip())
        return 0
    command = COMMANDS.get(arguments[0])
    if command is None:
        known = ", ".join(name for name in COMMANDS if "-here" not in name)
        print(f"problem: no command {arguments[0]!r}; there are: {known}.", file=sys.stderr)
        return 2
    try:
        return command(arguments[1:])
    except CourseError as error:
        print(f"problem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command again takes it up.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
