"""The Python environment of the course: what it needs, .venv, pip, and Colab's or Kaggle's.

Standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import errno
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
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from tools import COMMAND, ROOT, CourseError, programs, say, write

VENV = ROOT / ".venv"
STAMP = VENV / "course.json"
GIGABYTE = 1e9
# Measured with requirements.lock: what pip downloads, and what it takes on the disk afterwards.
LINUX = sys.platform == "linux"
DOWNLOAD_GB, INSTALLED_GB = (3.0, 6.5) if LINUX else (0.3, 1.3)
# On Linux the ordinary torch brings CUDA. Without it (`--cpu`) torch itself takes about 0.2 GB.
CPU_GB = (0.4, 1.6)
CPU_BUILDS = ("torch", "torchvision")  # come from there, and what only CUDA needs stays away
# COURSE_TORCH_CPU names another address, or a folder of wheels.
CPU_SOURCE = "https://download.pytorch.org/whl/cpu"
ONLY_CUDA = re.compile(r"(nvidia|cuda)-|triton$")
# Parts of Python that are left out where it was built without a library; torch, torchvision, pip
# and JupyterLab do not start without them.
PARTS = ("_bz2", "_ctypes", "_lzma", "_sqlite3", "_ssl", "zlib")
# What an environment brings itself; Colab's torch is built for Colab's GPU driver.
HOST_PACKAGES = ("torch", "torchvision", "numpy")


# --- what must be installed -----------------------------------------------------------------------


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
    """What the chapters need and, with `lab`, what JupyterLab and the tests need as well."""
    project = pyproject()["project"]
    texts = project["dependencies"] + (project["optional-dependencies"]["lab"] if lab else [])
    return [parse_requirement(text) for text in texts] + no_deps()


def no_deps() -> list[Requirement]:
    """The packages whose own pins are outdated, installed without their dependencies."""
    return [parse_requirement(text) for text in pyproject()["dependency-groups"]["no-deps"]]


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: 2.11.0+cu128 and 2.11.0rc1 are both (2, 11)."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match.group().split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def fits(version: str, operator: str, bound: str) -> bool:
    """Whether a version is new enough, or for `==` the same release."""
    have, need = release(version), release(bound)
    return have == need if operator == "==" else have >= need


def installed(name: str, path: list[str] | None = None) -> importlib.metadata.Distribution | None:
    """The package on `path` (default: this Python's), or None."""
    candidates = importlib.metadata.distributions(
        name=name, path=sys.path if path is None else path
    )
    return next((d for d in candidates if d.metadata["Version"]), None)


def missing(wanted: list[Requirement], path: list[str] | None = None) -> dict[str, str]:
    """What of `wanted` is not installed on `path` (default: this Python's): name and requirement.

    Reads metadata only: torch is not imported, so the answer takes some milliseconds.
    """
    needed = {}
    for requirement in wanted:
        distribution = installed(requirement.name, path)
        if distribution is None:
            needed[requirement.name] = str(requirement)
        elif not fits(distribution.version, requirement.operator, requirement.bound):
            needed[requirement.name] = f"{requirement} (here {distribution.version})"
    return needed


def listed(needed: dict[str, str]) -> str:
    return ", ".join(needed.values())


def pair_problem(path: list[str] | None = None) -> str:
    """Why torch and torchvision do not fit together, or nothing.

    torchvision's own metadata says which torch it was built for.
    """
    torch, torchvision = installed("torch", path), installed("torchvision", path)
    if torch is None or torchvision is None:
        return ""
    for line in torchvision.requires or []:
        match = re.match(r"torch\s*\(?\s*(==|>=)\s*([\w.+]+)", line)
        if match and not fits(torch.version, *match.groups()):
            needed = "torch" + "".join(match.groups())
            return (
                f"torchvision {torchvision.version} was built for {needed}, but torch "
                f'{torch.version} is installed: run `python -m pip install "{needed}"`, or '
                "install both anew in one pip command."
            )
    return ""


# --- the environment ------------------------------------------------------------------------------


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def venv_path() -> list[str]:
    """The folder of packages inside .venv."""
    return [str(p) for p in (*VENV.glob("lib/python3*/site-packages"), VENV / "Lib/site-packages")]


def parts_problem(lacking: Collection[str]) -> str:
    """A sentence about parts that a Python was built without, or nothing."""
    if not lacking:
        return ""
    names = ", ".join(f"`{name}`" for name in lacking)
    return f"was built without {names}, which the course needs"


def check_parts() -> None:
    """CourseError if the running Python was built without something that the course needs."""
    lacking = []
    for name in PARTS:
        try:
            exec(f"import {name}")  # found is not enough: its library may be gone
        except ImportError:
            lacking.append(name)
    if lacking:
        raise CourseError(
            f"this Python ({sys.executable}) {parts_problem(lacking)}: install another one (from "
            f"python.org, your system or conda) and run `{COMMAND} setup` with that."
        )


# What .venv's Python answers: its version, then the parts that it lacks.
ANSWER = """
import sys
print("%d.%d" % sys.version_info[:2])
for name in sys.argv[1:]:
    try:
        __import__(name)
    except ImportError:
        print(name)
"""


def venv_problem() -> str:
    """Why the Python of .venv cannot be used, or nothing.

    It is started for that: a system that got a newer Python leaves the link to nothing, or to the
    newer one, which does not find what was installed for the older.
    """
    command = [str(venv_python()), "-c", ANSWER, *PARTS]
    options = {"capture_output": True, "text": True, "env": programs.environ()}
    try:
        done = subprocess.run(command, **options)
    except OSError:
        return "has lost its Python, as after an update of the system"
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"code {done.returncode}"]
        return f"has a Python that does not start ({said[0]})"
    version, *lacking = done.stdout.split()
    made = re.search(r"(?m)^version *= *(\d+\.\d+)", read_config())
    folders = f"lib/python{version}*/site-packages"
    if (made and made[1] != version) or not (os.name == "nt" or any(VENV.glob(folders))):
        was = f"was made for Python {made[1]}" if made else "was made for another Python"
        return f"{was}, and its Python is {version} now, as after an update of the system"
    return parts_problem(lacking)


def read_config() -> str:
    try:
        return (VENV / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return ""


def moved_from() -> str:
    """The folder in which .venv was made, or nothing if it still lies there."""
    made = re.search(r"(?m)^command = .* -m venv (?:--\S+ )*(.+)$", read_config())
    return made[1] if made and os.path.normcase(made[1]) != os.path.normcase(VENV) else ""


def mend_moved() -> None:
    """Where the folder of the course was moved: let .venv's scripts name the new one.

    `activate` would do nothing otherwise, and `torchrun` and the others would not start. Where
    nothing can be written it stays so: `lab` does without them.
    """
    old, new = moved_from(), str(VENV)
    if not old or not made_by_course():
        return
    say(f"This folder was moved (from {Path(old).parent}): .venv is brought up to that.")
    folder = venv_python().parent
    with contextlib.suppress(OSError):
        for file in [*folder.iterdir(), VENV / "pyvenv.cfg"]:
            if file.is_file() and not file.is_symlink():
                before = file.read_bytes()
                if (after := renamed(before, old, new)) != before:
                    file.write_bytes(after)
        if os.name != "nt":  # `activate` once more, because a new path may need quotes
            command = [str(venv_python()), "-m", "venv", "--without-pip", new]
            subprocess.run(command, capture_output=True, env=programs.environ())


def renamed(content: bytes, old: str, new: str) -> bytes:
    """A script of .venv for another folder. A first line allows no space in a path; sh does."""
    start, was, now = rb"#!(/bin/sh\n'''exec' )?", re.escape(old.encode()), new.encode()
    end = rb"\"?( \"\$0\" \"\$@\"\n' ''')?\r?\n"
    if unix := re.match(start + rb"\"?" + was + rb"(/bin/[\w.]+)" + end, content):
        first = b"#!/bin/sh\n'''exec' \"%s%s\" \"$0\" \"$@\"\n' '''\n" % (now, unix[2])
        content = first + content[unix.end() :]
    windows = rb"#!\"?" + was + rb"(\\Scripts\\\w+\.exe)\"?"
    content = re.sub(windows, lambda match: b'#!"' + now + match[1] + b'"', content)
    return content.replace(old.encode(), now)


def fingerprint() -> str:
    """Changes when the set of packages changes."""
    names = ("pyproject.toml", "requirements.lock")
    # Through text, so that Windows line endings make no difference.
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)
    return hashlib.sha256(text.encode()).hexdigest()


def read_stamp() -> dict | None:
    """What setup wrote into .venv: None if .venv is not ours, {} if it was left unfinished."""
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}


def made_by_course() -> bool:
    return read_stamp() is not None


def is_outdated() -> bool:
    """Whether setup made .venv from another lock than today's."""
    stamp = read_stamp()
    return bool(stamp) and stamp.get("fingerprint") != fingerprint()


def find() -> str:
    """The interpreter of a complete environment, or "" if there is none yet.

    The Python that runs this comes first: in conda or a container no .venv is made. A finished
    .venv that is older than the lock is used as long as it meets the lower bounds.
    """
    wanted = requirements()
    if not missing(wanted):
        check_parts()
        if problem := pair_problem():
            raise CourseError(problem)
        return sys.executable
    if read_stamp() == {} or missing(wanted, venv_path()) or venv_problem():
        return ""
    return str(venv_python())


def prepare(cpu: bool = False) -> str:
    """The interpreter of a complete environment, made first where there is none; `make_venv`
    says what `cpu` means."""
    refuse_sudo()
    if python := find():
        if moved_from() and VENV in Path(python).parents:
            with exclusive():
                mend_moved()
        return python
    if may_install_here() and missing(requirements()).keys() <= {r.name for r in no_deps()}:
        # A conda environment from environment.yml, which cannot say --no-deps.
        complete(lab=True)
        return sys.executable
    with exclusive():
        return find() or make_venv(cpu)


def bring_up_to_date(cpu: bool = False) -> str:
    """`prepare`, and .venv as requirements.lock says today."""
    python = prepare(cpu)
    ours = python == str(venv_python())
    if cpu and LINUX and not (ours and (read_stamp() or {}).get("cpu")):
        say(
            f"{python} has all packages already, and no smaller torch was installed. If it is "
            f"{VENV} that takes too much room, delete that folder and run this again."
        )
    if ours and is_outdated():
        with exclusive():
            make_venv()
    return python


def refuse_sudo() -> None:
    """CourseError where `sudo` would leave files that their user cannot write."""
    as_root = os.name != "nt" and os.geteuid() == 0
    if as_root and "SUDO_UID" in os.environ and ROOT.stat().st_uid != 0:
        raise CourseError(
            f"`sudo` would make files in {ROOT} that belong to root: run the same without `sudo`."
        )


def may_install_here() -> bool:
    """Not into a system Python that its distribution manages itself (PEP 668)."""
    managed = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()
    return sys.prefix != sys.base_prefix or not managed


def make_venv(cpu: bool = False) -> str:
    """Make .venv, or bring a finished one up to the lock; unfinished ones are made anew.

    cpu: take torch's own CPU builds in place of the lock's, where these bring CUDA (on Linux). It
    is kept when .venv is brought up to date.
    """
    before = read_stamp()
    cpu = LINUX and (cpu or bool(before and before.get("cpu")))
    if before is None and VENV.exists() and any(VENV.iterdir()):
        lacking = listed(missing(requirements(), venv_path())) or "a working Python"
        raise CourseError(
            f"{VENV} was not made by course.py and lacks {lacking}: rename or delete it, and run "
            f"`{COMMAND} setup`."
        )
    problem = venv_problem() if before else ""
    update = bool(before) and not problem
    if update:
        mend_moved()
        say(f"Bringing {VENV} up to requirements.lock.")
    else:
        check_machine(cpu)
        say(f"{sys.executable} lacks some packages, so the course gets its own in {VENV}.")
    download, unpacked = CPU_GB if cpu else (DOWNLOAD_GB, INSTALLED_GB)
    say(
        f"pip downloads up to {download:g} GB now, less what it has in its cache, and unpacks "
        f"it to about {unpacked:g} GB. You can interrupt it and run the command again."
    )
    try:
        VENV.mkdir(exist_ok=True)
        STAMP.write_text("{}", encoding="utf-8")  # ours, and unfinished
        if before is not None and not update:
            if before:
                say(f".venv {problem}: it is made anew.")
            else:
                say("An earlier attempt was not finished: it is removed.")
            for entry in VENV.iterdir():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                elif entry != STAMP:  # it is removed last, because it marks .venv as ours
                    entry.unlink()
    except OSError as error:
        raise CourseError(
            f"course.py cannot write {VENV} ({error.strerror}): {remedy(error)}"
        ) from None
    if not update:
        # The Python of .venv itself may be what runs this, and is gone by now.
        inside = Path(sys.prefix) == VENV
        python = getattr(sys, "_base_executable", "") if inside else sys.executable
        run_to_end([python, "-m", "venv", str(VENV)], "making .venv failed")
    python = str(venv_python())
    try:
        cpu = cpu and install_cpu_torch(python)
        install_lock(python, cpu)
    except CourseError:
        if update:  # pip changes nothing before it has everything, so the old set still works
            STAMP.write_text(json.dumps(before), encoding="utf-8")
        raise
    if lacking := missing(requirements(), venv_path()):
        raise CourseError(f"pip installed requirements.lock, but {listed(lacking)} is not there.")
    made = {"fingerprint": fingerprint()} | ({"cpu": True} if cpu else {})
    write(STAMP, json.dumps(made).encode())  # never half-written
    return python


def install_cpu_torch(python: str) -> bool:
    """Install torch and torchvision without CUDA; False, and a line says so, if they do not come.

    They are not in requirements.lock: their versions are the lock's, their files are not.
    """
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^([\w.-]+)==([\w.]+) ", lock, re.MULTILINE))
    wanted = [f"{name}=={versions[name]}+cpu" for name in CPU_BUILDS if name in versions]
    source = os.environ.get("COURSE_TORCH_CPU") or CPU_SOURCE
    folder = Path(source).is_dir()
    where = ["--no-index", "--find-links", source] if folder else ["--index-url", source]
    say(f"torch without CUDA comes from {source}: not from requirements.lock, which has no such.")
    try:
        pip_install(python, "--no-deps", *where, *wanted)
    except CourseError as error:
        say(f"It could not be had there, so the ordinary torch is installed: {error}")
        check_room(DOWNLOAD_GB, INSTALLED_GB)
        return False
    return True


def install_lock(python: str, cpu: bool) -> None:
    """Install requirements.lock; with `cpu` all of it but torch and what only CUDA needs."""
    lock = ROOT / "requirements.lock"
    if not cpu:
        pip_install(python, *locked(lock))
        return
    names = re.findall(r"^([\w.-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    kept = [name for name in names if name not in CPU_BUILDS and not ONLY_CUDA.match(name)]
    with tempfile.TemporaryDirectory(dir=temporary_folder()) as folder:
        rest = Path(folder, "requirements.lock")
        rest.write_text("".join(lock_entry(name) for name in kept), encoding="utf-8")
        pip_install(python, *locked(rest))


def check_machine(cpu: bool = False) -> None:
    """CourseError, before the installation starts, for what would stop it."""
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise CourseError(
                f"this Python has no `{module}`, so it cannot make an environment: on Debian and "
                f"Ubuntu run `sudo apt install python{minor_version()}-venv`, elsewhere install "
                "Python from python.org or conda."
            )
    check_parts()
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
    check_room(*(CPU_GB if cpu else (DOWNLOAD_GB, INSTALLED_GB)))


def check_room(download: float, unpacked: float) -> None:
    """CourseError if so many gigabytes do not fit on the disks."""
    needs = {ROOT: unpacked, temporary_folder(): download}
    if len({folder.stat().st_dev for folder in needs}) == 1:
        needs = {ROOT: unpacked + download}
    for folder, need in needs.items():
        free = shutil.disk_usage(folder).free / GIGABYTE
        if free < need:
            raise CourseError(
                f"setting up takes {need:.1f} GB on the disk of {folder}, and {free:.1f} GB are "
                "free: make room, or set TMPDIR to a larger disk if it is the temporary folder."
            )


def temporary_folder() -> Path:
    """Where pip and others put temporary files; CourseError if they cannot."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise no_temporary_folder(error) from None


def no_temporary_folder(error: OSError) -> CourseError:
    return CourseError(
        f"no temporary folder can be written ({error.strerror}), for the disk is full or takes "
        "nothing: make room there, or set TMPDIR to a folder on another disk."
    )


NOT_YOURS = "put the course into a folder that is yours, and close programs that use this one."
BROKEN = "the disk or its connection is broken: put the course on another one."
DISK_ERRORS = {
    errno.ENOSPC: "the disk is full: make room, and run the command again.",
    errno.EDQUOT: "your share of this disk is used up: delete files of yours, and run it again.",
    errno.EROFS: "this disk cannot be written: put the course on another one.",
    errno.EACCES: NOT_YOURS,
    errno.EPERM: NOT_YOURS,
    errno.EIO: BROKEN,
    errno.ESTALE: BROKEN,
    errno.ENOTCONN: BROKEN,
    errno.EFBIG: "this disk or a limit of the system (`ulimit -f`) takes no file of this size: put "
    "the course on another disk, or lift the limit.",
    errno.EMFILE: "too many files are open: raise the limit (`ulimit -n`), and run it again.",
    errno.ENFILE: "too many files are open: close other programs, and run it again.",
}


def remedy(error: OSError) -> str:
    """What to do where something cannot be written."""
    return DISK_ERRORS.get(error.errno, NOT_YOURS)


@contextlib.contextmanager
def disk_errors_explained() -> Iterator[None]:
    """Turn the errors of a disk that cannot be used as it should into one sentence."""
    try:
        yield
    except OSError as error:
        if "usable temporary directory" in str(error):
            raise no_temporary_folder(error) from None
        if error.errno not in DISK_ERRORS:
            raise
        where = error.filename or ROOT
        raise CourseError(f"{where} cannot be used ({error.strerror}): {remedy(error)}") from None


def minor_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


lock_file = None


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """One course.py at a time works on .venv; the system drops the lock when it ends or dies.

    pip inherits the lock file: where course.py was killed and pip goes on, the lock still holds.
    """
    global lock_file
    try:
        lock_file = open(ROOT / ".venv.lock", "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise CourseError(
            f"course.py cannot write in {ROOT} ({error.strerror}): {remedy(error)}"
        ) from None
    with lock_file:
        waiting = False
        while not try_to_lock(lock_file):
            if not waiting:
                say("Another course.py is at work on .venv; waiting for it.")
                waiting = True
            time.sleep(0.5)
        yield


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
        return False  # another process has it
    except OSError:
        pass  # a file system without locks: go on without one
    return True


# --- pip ------------------------------------------------------------------------------------------

# What pip or venv wrote before it gave up, and what that means; the first that fits counts.
FAILURES = {
    "No module named pip": "this environment has no pip; run `python -m ensurepip` in it, or "
    "leave it.",
    "externally-managed-environment": "this Python belongs to the operating system; run "
    f"`{COMMAND} setup` without --here.",
    "No space left on device|Errno 28|WinError 112|not enough space": "the disk is full; make "
    "room, or set TMPDIR to a larger disk, and run it again.",
    "No usable temporary directory": "no temporary folder can be written; make room on the disk "
    "of /tmp, or set TMPDIR to a folder on another disk.",
    "Disk quota exceeded|Errno 122": "your share of the disk is used up; delete files of yours, "
    "or set TMPDIR and PIP_CACHE_DIR to another disk, and run it again.",
    "Read-only file system|Errno 30": "a disk that it needs cannot be written; put the course on "
    "another one, or set TMPDIR if it is the temporary folder's.",
    "Missing dependencies for SOCKS": "pip cannot use a SOCKS proxy; set the proxy of pip's "
    "settings or PIP_PROXY to an HTTP proxy (http://HOST:PORT; many programs offer both).",
    "check proxy URL|Proxy URL had unsupported scheme|[Pp]roxy URL .*malformed": "the proxy in "
    "pip's settings or PIP_PROXY has no usable address; write it as http://HOST:PORT.",
    r"\b403\b[^\n]*(Client Error|Forbidden)|HTTP error 403|403 Forbidden": "the server of the "
    "packages refuses them (HTTP 403); set PIP_INDEX_URL to another mirror, or ask who runs the "
    "network or proxy.",
    r"\b401\b[^\n]*(Client Error|Unauthorized)|HTTP error 401|401 Error": "the server of the "
    "packages wants a name and a password (HTTP 401); write them into PIP_INDEX_URL "
    "(https://NAME:PASSWORD@HOST/…), or use another mirror.",
    r"\b407\b": "the proxy wants a name and a password (HTTP 407); write them into its address: "
    "http://NAME:PASSWORD@HOST:PORT.",
    "An error occurred during configuration: option (?P<name>[^:]+): (?P<reason>.*)": "pip's "
    "setting {name} cannot be used ({reason}); mend it in its file or variable, or take it out.",
    'index url "(?P<address>[^"]*)" seems invalid': "the address of the packages lacks "
    "its beginning; write https://{address} in PIP_INDEX_URL or in pip's settings.",
    r"Could not fetch URL (?P<address>\S+): (?P<code>4(?!29)\d\d) Client Error|"
    r"HTTP error (?P<other>4(?!29)\d\d) while getting (?P<file>\S+)": "the server of the packages "
    "does not have {address}{file} (HTTP {code}{other}); check PIP_INDEX_URL, which mostly ends "
    "in /simple, or use another mirror.",
    r"Could not fetch URL \S+: (?P<code>429|5\d\d) (Client|Server) Error|"
    r"HTTP error (?P<other>429|5\d\d) while|too many (?P<third>\d{3}) error": "the server of the "
    "packages is busy or out of order (HTTP {code}{other}{third}); wait a little and try again, or "
    "set PIP_INDEX_URL to another mirror.",
    "Long Path": "the path of this folder is too long for Windows; move it to C:\\one-by-one.",
    "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Read timed out|"
    "Connection refused|Connection reset|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED|"
    "ProtocolError|IncompleteRead|Network is unreachable": "the network did not deliver the "
    "packages; try again, or set PIP_INDEX_URL to a mirror near you, or PIP_FIND_LINKS to a "
    "folder of wheels (with PIP_NO_INDEX=1).",
    "DO NOT MATCH THE HASHES": "a downloaded file is not the one that requirements.lock was made "
    "with, so nothing was installed: try again with `PIP_NO_CACHE_DIR=1`, or use another mirror.",
    r"No matching distribution found for (?P<package>\S+)": "it found no {package} for Python "
    f"{minor_version()} on this system; check the network and, if they are set, PIP_INDEX_URL, "
    "PIP_FIND_LINKS, PIP_NO_INDEX and PIP_CERT (does that address open in a browser?), or try "
    "Python 3.12.",
    r"Permission denied|Errno 13|WinError 5\b|Access is denied": "a file could not be written; "
    "close JupyterLab and other users of it and try again.",
}


def explain_failure(messages: str, code: int) -> str:
    """One sentence for what pip or venv wrote before it gave up."""
    for pattern, sentence in FAILURES.items():
        if match := re.search(pattern, messages):
            return sentence.format(**match.groupdict(default=""))
    last = next((line.strip() for line in reversed(messages.splitlines()) if line.strip()), "")
    return f"it ended with code {code} ({last}); see its messages above."


def pip_install(python: str, *arguments: str, quiet: bool = False) -> None:
    """Run pip with its user's own settings: mirrors, folders of wheels and proxies are used."""
    # Wheels only: building from source on a learner's machine takes long and rarely ends well.
    options = ["--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    options += ["--quiet"] if quiet else []
    proxies = [name for name in programs.left_out() if name.lower() in programs.PROXIES]
    note = ""
    if proxies:
        note = (
            f" ({' and '.join(proxies)} cannot be used here and was left out: if you need a "
            "proxy, set HTTPS_PROXY=http://HOST:PORT)"
        )
    try:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "pip.log")
            command = [python, "-m", "pip", "install", f"--log={log}", *options, *arguments]
            run_to_end(command, "pip failed", programs.pip_environ(python), log)
    except CourseError as error:
        raise CourseError(f"{error}{note}") from None


def locked(lock: Path) -> tuple[str, ...]:
    """The arguments of pip for a lock: files that its authors did not see are refused.

    The lock names all packages, so pip looks up no dependency; d2l's own pins are outdated.
    """
    return ("--no-deps", "--require-hashes", "--requirement", str(lock))


def lock_entry(package: str) -> str:
    """The lines of requirements.lock for `name` or `name==version`, with the hashes."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    start = re.escape(package) + ("" if "==" in package else "==[^\\n]*?")
    entry = re.search(rf"^{start}(?: ;[^\n]*)? \\\n(    --hash=.*\n)+", text, re.MULTILINE)
    if entry is None:
        raise CourseError(f"requirements.lock has no hashes of {package}: fetch the file anew.")
    return entry.group()


def run_to_end(
    command: list[str],
    failure: str,
    environ: dict[str, str] | None = None,
    log: Path | None = None,
) -> None:
    """Run a command, pass its messages on, and turn its failure into one sentence.

    log: where the command writes what it does not show.
    """
    # The messages are read as UTF-8 below.
    environ = environ or {**programs.environ(), "PYTHONIOENCODING": "utf-8"}
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
        process.stderr.close()
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    if code != 0:
        if code > 0 and not messages:  # of wrong settings pip tells on its stdout, and ends at once
            again = subprocess.run(command, capture_output=True, env=environ, pass_fds=keep)
            messages = [again.stdout.decode("utf-8", "replace")]
        # pip says only that there is nothing, and not what a server has answered.
        if log and log.exists() and "No matching distribution" in "".join(messages):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            messages = [f"{line}\n" for line in lines if "Could not fetch URL" in line] + messages
        raise CourseError(f"{failure}: {explain_failure(''.join(messages), code)}")


def complete(lab: bool, quiet: bool = False) -> None:
    """Install into the running environment what it lacks; nothing it has is replaced.

    Raises CourseError if torch, torchvision or numpy themselves are missing or too old: the
    environment has to bring those.
    """
    lacking = missing(requirements(lab))
    if problem := pair_problem():
        raise CourseError(problem)
    if not lacking:
        return
    if not lab:
        check_kernel(lacking)
    if kept := {name: lacking[name] for name in HOST_PACKAGES if name in lacking}:
        raise CourseError(
            f"this environment needs {listed(kept)}, and course.py does not touch those: install "
            f"them first, or leave the environment and run `{COMMAND} setup`."
        )
    say(f"Installing what is missing here: {listed(lacking)}")
    alone = [str(r) for r in no_deps() if r.name in lacking]
    others = [str(r) for r in requirements(lab) if r.name in lacking and str(r) not in alone]
    with tempfile.TemporaryDirectory(dir=temporary_folder()) as folder:
        if others:
            constraints = Path(folder, "constraints.txt")
            constraints.write_text("\n".join(present_versions(lacking)), encoding="utf-8")
            pip_install(sys.executable, *others, "--constraint", str(constraints), quiet=quiet)
        if alone:
            lock = Path(folder, "requirements.lock")
            lock.write_text("".join(map(lock_entry, alone)), encoding="utf-8")
            pip_install(sys.executable, *locked(lock), quiet=quiet)
    importlib.invalidate_caches()
    if lacking := missing(requirements(lab)):
        raise CourseError(f"pip ended well, but {listed(lacking)} is still missing.")


def check_kernel(lacking: dict[str, str]) -> None:
    """CourseError if a notebook runs in another Python than that of the course."""
    if Path(sys.prefix) == VENV:
        return
    has_venv = bool(read_stamp()) and not missing(requirements(), venv_path())
    if installed("torch") and not has_venv:
        return  # Colab, Kaggle, or a Python that a learner has chosen
    first = "" if has_venv else f"run `{COMMAND} setup` in {ROOT}, then "
    raise CourseError(
        f"this notebook runs in {sys.executable}, which lacks {listed(lacking)}: {first}choose the "
        f"kernel of the course's .venv ({venv_python()}), and run this cell again."
    )


def check_path() -> None:
    """CourseError if a notebook would get torch or numpy of another Python."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    own = set(map(Path, sysconfig.get_paths().values()))
    for folder in [f for f in folders if f and Path(f).absolute() not in own]:
        for name in HOST_PACKAGES:
            spec = importlib.util.find_spec(name)
            if spec and Path(spec.origin or "").parent.parent == Path(folder).absolute():
                raise CourseError(
                    f"{name} would come from {folder}, because the variable PYTHONPATH says so: "
                    "unset it, close the program that shows this notebook, and start that anew."
                )


def show_figures() -> None:
    """In a notebook figures belong below their cell, whatever MPLBACKEND says for programs."""
    from utils import notebook

    backend = os.environ.get("MPLBACKEND", "").lower()
    in_notebooks = ("module://", "inline", "ipympl", "nbagg", "notebook", "widget")
    if backend and not backend.startswith(in_notebooks) and notebook.in_notebook():
        os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"


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
    """In Colab or Kaggle, add the few packages that are missing.

    JupyterLab and the tests are left out, and all that the host has stays as it is, above all
    torch, torchvision and numpy. Where nothing is missing this costs a few milliseconds.
    """
    check_path()
    show_figures()
    complete(lab=False, quiet=True)


def equip_authors(python: str) -> None:
    """Install the tools of authors, and let `git diff` show the cells of notebooks."""
    pip_install(python, *pyproject()["dependency-groups"]["authors"])
    if shutil.which("git") and (ROOT / ".git").exists():
        # With the whole path: git may be called where the environment is not active.
        driver = f'"{Path(python).as_posix()}" -m nbdime.vcs.git.diffdriver diff --sources'
        # The second one tells the tests that here nobody is a learner.
        for setting in (["diff.jupyternotebook.command", driver], ["course.authors", "true"]):
            run_to_end(["git", "-C", str(ROOT), "config", *setting], "git config failed")
