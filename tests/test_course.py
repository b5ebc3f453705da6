"""course.py, and tools.environment and tools.doctor behind it: what they find, install and say.

Most tests run it as a user does, on a small project whose two packages are wheels made here: the
installation is the real one, with pip and venv, and takes seconds and no network.
"""

import contextlib
import copy
import errno
import hashlib
import http.server
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
import zipfile
from pathlib import Path

import pytest

import course
from tools import (
    COMMAND,
    PERSONAL,
    ROOT,
    CourseError,
    data_files,
    doctor,
    environment,
    jupyterlab,
    programs,
    update,
)

PYPROJECT = """
[project]
dependencies = ["{name}>={bound}"]
[project.optional-dependencies]
lab = ["pytest>=8.0"]
[dependency-groups]
no-deps = [{alone}]
"""

FAKE_DATA = """
class DataError(Exception): pass
def unpack(): print("unpacked", flush=True)
"""

ON_POSIX = {
    "start_new_session": True,
    # Where the tests run in the background, Ctrl-C is switched off for their children too.
    "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
}


def make_wheel(folder: Path, name: str, version: str, *requires: str) -> str:
    """The path of a wheel with one module; on a path of imports it counts as installed."""
    info = f"{name}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {line}" for line in requires]
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
    return str(path)


def lock_entry(folder: Path, name: str, version: str) -> str:
    """The line of a lock for a wheel, or for one that is nowhere."""
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    content = wheel.read_bytes() if wheel.exists() else b""
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"


class Project:
    """A small course in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder = folder.resolve()  # macOS and Windows give aliases of /tmp
        self.wheels = folder.parent / "wheels"  # pip splits PIP_FIND_LINKS at spaces
        programs = "Scripts/python.exe" if os.name == "nt" else "bin/python"
        self.python = folder / ".venv" / programs
        self.stamp = folder / ".venv" / "course.json"
        raw = folder / "data" / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for name, size in data_files.SIZES.items():
            with open(raw / name, "wb") as file:
                file.truncate(size)
        (folder / "utils").mkdir()
        (folder / "utils" / "__init__.py").touch()
        (folder / "utils" / "data.py").write_text(FAKE_DATA, encoding="utf-8")
        (folder / "chapters").mkdir()
        for name in ("atomic", "language", "recognise", "columns", "notebook"):
            shutil.copy(ROOT / "utils" / f"{name}.py", folder / "utils")
        shutil.copy(ROOT / "course.py", folder)
        ignored = shutil.ignore_patterns("site", "__pycache__")
        shutil.copytree(ROOT / "tools", folder / "tools", ignore=ignored)
        self.want("pytest", "8.0", alone=[])

    def want(self, name: str, bound: str, alone=("course_alone==1.0.3",)) -> None:
        quoted = ", ".join(f'"{line}"' for line in alone)
        text = PYPROJECT.format(name=name, bound=bound, alone=quoted)
        if name != "pytest":  # in .venv there is no pytest
            text = text.replace('"pytest>=8.0"', "")
        (self.folder / "pyproject.toml").write_text(text, encoding="utf-8")
        packages = [(name, bound), *(line.split("==") for line in alone)]
        lock = "".join(lock_entry(self.wheels, *package) for package in packages)
        (self.folder / "requirements.lock").write_text(lock, encoding="utf-8")

    def environ(self, **variables: str) -> dict[str, str]:
        other = ("PIP_", "COURSE_", "PYTHONPATH")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(other)}
        # PIP_USER, which some have in their settings, would break every virtual environment.
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_USER": "1"}
        return {**kept, "PIP_CONFIG_FILE": os.devnull, **offline, **variables}

    def start(self, *arguments: str, python=sys.executable, **variables: str) -> subprocess.Popen:
        return subprocess.Popen(
            [str(python), str(self.folder / "course.py"), *arguments],
            cwd=self.folder.parent,
            env=self.environ(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **({} if os.name == "nt" else ON_POSIX),
        )

    def call(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=900)
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def version(self, name: str) -> str | None:
        """The version of a package in its .venv."""
        distribution = self.load().installed(name, self.load().venv_path())
        return distribution and distribution.version

    def load(self):
        """Its tools.environment as a module."""
        path = self.folder / "tools" / "environment.py"
        spec = importlib.util.spec_from_file_location("trial_environment", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        venv = self.stamp.parent
        vars(module).update(ROOT=self.folder, VENV=venv, STAMP=self.stamp)
        return module


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "course é")  # a path with a space and an accent


def trial_project(folder: Path) -> Project:
    """One that needs packages that nobody has, so that a .venv is made."""
    project = Project(folder)
    make_wheel(project.wheels, "course_trial", "1.0")
    make_wheel(project.wheels, "course_trial", "2.0")
    make_wheel(project.wheels, "course_alone", "1.0.3", "course_trial==0.1")
    project.want("course_trial", "1.0")
    return project


def wait_until(condition, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


# --- what is installed ----------------------------------------------------------------------------


def test_old_python_is_refused():
    with pytest.raises(SystemExit) as refused:
        course.refuse_old_python((3, 10, 9), "/usr/bin/python3")
    assert str(refused.value).startswith(
        "problem: the course needs Python 3.11 or newer, and /usr/bin/python3 is 3.10: "
    )
    for version in ((3, 11, 0), (4, 0, 0)):
        course.refuse_old_python(version, "python")


def test_a_notebook_in_an_old_python_is_told_to_choose_another_kernel(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    with pytest.raises(SystemExit, match=r"python3 is 3\.10: choose the kernel of the course's"):
        course.refuse_old_python((3, 10, 9), "/usr/bin/python3")


@pytest.mark.parametrize(
    ("torch", "d2l", "expected"),
    [
        ("", "", {"torch": "torch>=2.6", "d2l": "d2l==1.0.3"}),
        ("2.5.1+cu124", "1.0.4",
         {"torch": "torch>=2.6 (here 2.5.1+cu124)", "d2l": "d2l==1.0.3 (here 1.0.4)"}),
        *((version, "1.0.3", {}) for version in
          ("2.6", "2.6.0+cu124", "2.6.0a0+ecf3bae", "2.11.0", "3.0rc1")),
    ],
)  # fmt: skip
def test_missing_reads_versions(tmp_path, torch, d2l, expected):
    wanted = [environment.parse_requirement(text) for text in ("torch>=2.6", "d2l==1.0.3")]
    here = {"torch": torch, "d2l": d2l}
    path = [make_wheel(tmp_path, name, version) for name, version in here.items() if version]
    assert environment.missing(wanted, path) == expected


def test_unreadable_requirement_is_named():
    with pytest.raises(CourseError, match=r"'torch~=2\.6'"):
        environment.parse_requirement("torch~=2.6")


@pytest.mark.parametrize(
    ("torch", "requires", "is_pair"),
    [
        ("2.6.0+cu124", "torch==2.6.0", True),
        ("2.11.0", "torch (==2.11.0)", True),
        ("2.11", "torch==2.11.0", True),
        ("2.15.0", "torch (>=2.14.0)", True),
        ("2.15.0", "torch", True),
        ("2.6.0", "torch==2.11.0", False),
        ("2.11.0", "torch==2.6.0", False),
        ("2.13.0", "torch (>=2.14.0)", False),
    ],
)
def test_torch_and_torchvision_must_be_a_pair(tmp_path, torch, requires, is_pair):
    pair = [("torch", torch), ("torchvision", "0.26.0", "numpy", requires)]
    problem = environment.pair_problem([make_wheel(tmp_path, *package) for package in pair])
    assert (problem == "") == is_pair
    for part in (f"0.26.0 was built for torch{requires[5:].strip(' ()')}, ", f"torch {torch} is "):
        assert is_pair or part in problem


def test_what_runs_these_tests_is_a_pair_that_works():
    assert environment.pair_problem() == ""
    assert "with torchvision" in doctor.check_torch()


def test_a_complete_python_is_used_as_it_is(project):
    done = project.call("setup")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"unpacked\nReady: {sys.executable}\nGo on with `{COMMAND} lab`.\n"
    assert not (project.folder / ".venv").exists()
    assert not (project.folder / ".venv.lock").exists()


def test_damaged_data_is_one_sentence(project):
    text = FAKE_DATA.replace('print("unpacked", flush=True)', 'raise DataError("so it is")')
    (project.folder / "utils" / "data.py").write_text(text, encoding="utf-8")
    done = project.call("setup")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "problem: so it is\n")


@pytest.mark.parametrize("allowed", [True, False])
def test_conda_environment_gets_only_d2l(project, monkeypatch, allowed):
    """environment.yml cannot bring d2l: it is added there, unless the system forbids it."""
    project.want("pytest", "8.0", alone=["course_alone==1.0.3"])
    module, done = project.load(), []
    monkeypatch.setattr(module, "may_install_here", lambda: allowed)
    monkeypatch.setattr(module, "complete", lambda lab: done.append("completed"))
    monkeypatch.setattr(module, "make_venv", lambda cpu: done.append("made .venv"))
    assert module.prepare() == (sys.executable if allowed else None)
    assert done == (["completed"] if allowed else ["made .venv"])


def test_python_of_the_system_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(environment.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert environment.may_install_here()
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    assert not environment.may_install_here()
    monkeypatch.setattr(sys, "prefix", "a venv")
    assert environment.may_install_here()


def test_mismatched_pair_in_a_complete_python_is_refused(project, monkeypatch):
    module = project.load()
    monkeypatch.setattr(module, "pair_problem", lambda: "no pair")
    with pytest.raises(CourseError, match="no pair"):
        module.prepare()


# --- making .venv ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A project whose first setup was interrupted and whose second one ran to its end."""
    project = trial_project(tmp_path_factory.mktemp("prepared") / "course é")
    first = project.start("setup")
    wait_until((project.folder / ".venv" / "pyvenv.cfg").exists)  # while venv and pip are at work
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(first.pid)])
    else:
        os.killpg(first.pid, signal.SIGINT)
    project.first_out, project.first_err = first.communicate(timeout=900)
    project.first_code = first.returncode
    project.stamp_between = project.stamp.read_text(encoding="utf-8")
    project.found_between = project.load().find()
    (project.folder / ".venv" / "leftover").touch()
    project.second = project.call("setup")
    return project


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process on Windows")
def test_interrupted_setup_says_so(prepared):
    assert prepared.first_code == 130
    assert last_line(prepared.first_err) == "Interrupted. The same command again takes it up."
    assert "Traceback" not in prepared.first_err


def test_unfinished_venv_is_not_taken_as_whole(prepared):
    assert json.loads(prepared.stamp_between) == {}
    assert prepared.found_between == ""
    # Nor where every package is there already, but setup did not reach its end.
    finished = prepared.stamp.read_text(encoding="utf-8")
    assert prepared.load().find() == str(prepared.load().venv_python())
    prepared.stamp.write_text("{}", encoding="utf-8")
    assert prepared.load().find() == ""
    prepared.stamp.write_text(finished, encoding="utf-8")


def test_setup_is_announced_and_repeated_from_the_start(prepared):
    out = prepared.second.stdout
    assert prepared.second.returncode == 0, prepared.second.stderr
    assert f"pip downloads up to {environment.DOWNLOAD_GB:g} GB now" in out
    assert "An earlier attempt was not finished: it is removed." in out
    assert not (prepared.folder / ".venv" / "leftover").exists()
    ready = f"unpacked\nReady: {prepared.folder / '.venv'}"
    assert ready in out
    code = "import course_trial, course_alone; print(course_trial.version, course_alone.version)"
    done = subprocess.run([prepared.python, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["1.0", "1.0.3"]  # course_alone without what it requires


def test_finished_venv_is_used_and_left_alone(prepared):
    before = prepared.stamp.stat().st_mtime_ns
    done = prepared.call("setup")
    assert done.returncode == 0
    assert done.stdout.startswith(f"unpacked\nReady: {prepared.folder / '.venv'}")
    assert prepared.stamp.stat().st_mtime_ns == before
    # The same from the inside: .venv's own Python is complete.
    done = prepared.call("setup", python=prepared.python)
    assert done.stdout.startswith("unpacked\nReady: ")
    assert prepared.stamp.stat().st_mtime_ns == before


@contextlib.contextmanager
def newer_lock(project: Project, bound: str):
    """The project as after a `git pull` that brought a newer lock."""
    names = ("pyproject.toml", "requirements.lock")
    before = {name: (project.folder / name).read_bytes() for name in names}
    stamp = project.stamp.read_text(encoding="utf-8")
    project.want("course_trial", bound)
    try:
        yield
    finally:
        for name, content in before.items():
            (project.folder / name).write_bytes(content)
    assert json.loads(project.stamp.read_text(encoding="utf-8")) == json.loads(stamp)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "found no course_trial==9.0 for Python"),
        (
            {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"},
            "set PIP_INDEX_URL to a mirror near you, or PIP_FIND_LINKS to a folder of wheels",
        ),
    ],
    ids=["empty folder of wheels", "no network"],
)
def test_failed_update_keeps_what_there_was(prepared, variables, expected):
    with newer_lock(prepared, "9.0"):
        done = prepared.call("lab", **variables)
        assert done.returncode == 1
        assert last_line(done.stderr).startswith("problem: pip failed: ")
        assert expected in last_line(done.stderr)
    assert prepared.load().find() == str(prepared.load().venv_python())


def test_file_with_another_hash_is_refused(prepared):
    """As from a mirror that was tampered with; PIP_FIND_LINKS alone changes nothing about it."""
    with newer_lock(prepared, "2.0"):
        lock = prepared.folder / "requirements.lock"
        found = re.search(r"sha256:(\w+)", lock.read_text(encoding="utf-8"))[1]
        lock.write_text(lock.read_text("utf-8").replace(found, "0" * 64), encoding="utf-8")
        done = prepared.call("lab", PIP_NO_CACHE_DIR="1")
        assert done.returncode == 1
        assert "is not the one that requirements.lock was made with" in last_line(done.stderr)
        lock.write_text("course_trial==2.0\ncourse_alone==1.0.3\n", encoding="utf-8")
        done = prepared.call("lab")  # nor is a lock without hashes taken
        assert done.returncode == 1
        assert "problem: pip failed: " in last_line(done.stderr)
    assert prepared.version("course_trial") == "1.0"


@pytest.fixture
def with_torch(prepared, tmp_path):
    """A course whose lock has torch as on Linux: what only CUDA needs is nowhere to be had."""
    project = trial_project(tmp_path / "cpu")
    make_wheel(project.wheels, "torch", "2.15.0")
    lock = project.folder / "requirements.lock"
    more = [lock_entry(project.wheels, "torch", "2.15.0")]
    more += [lock_entry(project.wheels, name, "1.0") for name in ("nvidia-trial", "triton")]
    lock.write_text(lock.read_text(encoding="utf-8") + "".join(more), encoding="utf-8")
    return project


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch is small already")
def test_torch_without_cuda_is_taken_from_its_own_place(with_torch):
    small = with_torch.folder.parent / "small"
    make_wheel(small, "torch", "2.15.0+cpu")
    done = with_torch.call("setup", "--cpu", COURSE_TORCH_CPU=str(small))
    assert done.returncode == 0, done.stderr
    assert f"torch without CUDA comes from {small}" in done.stdout
    (site,) = (with_torch.folder / ".venv").glob("lib/python3*/site-packages")
    assert (site / "torch-2.15.0+cpu.dist-info").exists() and (site / "course_trial.py").exists()
    assert not [*site.glob("nvidia*"), *site.glob("triton*")]
    assert json.loads(with_torch.stamp.read_text(encoding="utf-8"))["cpu"] is True

    # It stays so when .venv is brought up to date, without asking again.
    with_torch.stamp.write_text('{"fingerprint": "older", "cpu": true}', encoding="utf-8")
    done = with_torch.call("setup", COURSE_TORCH_CPU=str(small))
    assert done.returncode == 0 and not [*site.glob("nvidia*")], done.stderr
    assert json.loads(with_torch.stamp.read_text(encoding="utf-8"))["cpu"] is True


def test_where_there_is_no_torch_without_cuda_the_ordinary_one_comes(monkeypatch, capsys):
    calls = []

    def pip_install(python, *arguments):
        calls.append(arguments)
        if "--index-url" in arguments:
            raise CourseError("pip failed: the network did not deliver the packages.")

    monkeypatch.setattr(environment, "pip_install", pip_install)
    monkeypatch.setattr(environment, "check_room", lambda *sizes: calls.append(sizes))
    monkeypatch.delenv("COURSE_TORCH_CPU", raising=False)
    cpu = environment.install_cpu_torch("python")
    environment.install_lock("python", cpu)
    first, room, last = calls
    assert environment.CPU_SOURCE in first and any(p.startswith("torch==") for p in first)
    assert all(p.endswith("+cpu") for p in first if p.startswith("torch"))
    assert room == (environment.DOWNLOAD_GB, environment.INSTALLED_GB)
    assert last == environment.locked(ROOT / "requirements.lock")
    assert "so the ordinary torch is installed: pip failed: the network" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch is small already")
def test_a_complete_environment_is_not_made_smaller(monkeypatch, capsys):
    monkeypatch.setattr(environment, "find", lambda: "python")
    assert environment.bring_up_to_date(cpu=True) == "python"
    assert "no smaller torch was installed" in capsys.readouterr().out


def test_setup_here_replaces_nothing(prepared):
    module, pyproject = prepared.load(), prepared.folder / "pyproject.toml"
    before = pyproject.read_text(encoding="utf-8")
    make_wheel(prepared.wheels, "course_greedy", "1.0", "course_trial>=2.0")
    make_wheel(prepared.wheels, "course_modest", "1.0", "course_trial>=1.0")
    try:
        more = '"course_trial>=1.0", "{}>=1.0"'
        pyproject.write_text(before.replace('"course_trial>=1.0"', more.format("course_greedy")))
        done = prepared.call("setup", "--here", python=prepared.python)
        assert done.returncode == 1
        assert "problem: pip failed: " in done.stderr
        assert prepared.version("course_trial") == "1.0"
        assert prepared.version("course_greedy") is None

        uninstall = [prepared.python, "-m", "pip", "uninstall", "--quiet", "-y", "course_alone"]
        subprocess.run(uninstall, check=True)
        pyproject.write_text(before.replace('"course_trial>=1.0"', more.format("course_modest")))
        done = prepared.call("setup", "--here", python=prepared.python)
        assert done.returncode == 0, done.stderr
        assert (
            "Installing what is missing here: course_modest>=1.0, course_alone==1.0.3\n"
            in done.stdout
        )
        assert prepared.version("course_modest") == "1.0"
        assert prepared.version("course_alone") == "1.0.3"
        assert module.is_outdated()  # it did not go on to install the lock
    finally:
        pyproject.write_text(before, encoding="utf-8")


PIP_CONF = """
[global]
no-index = true
find-links = {wheels}
target = {elsewhere}
dry-run = true
[install]
user = true
root = {elsewhere}
constraint = {elsewhere}/none.txt
python = {elsewhere}/python
"""


@pytest.mark.parametrize("where", ["variables", "file"])
def test_settings_of_pip_lead_no_installation_elsewhere(prepared, tmp_path, where):
    """But where packages come from is still the user's to say."""
    elsewhere = str(tmp_path / "elsewhere")
    variables = {f"PIP_{name}": elsewhere for name in ("TARGET", "PREFIX", "ROOT", "PYTHON")}
    variables |= dict.fromkeys(("PIP_DRY_RUN", "PIP_REQUIRE_VIRTUALENV", "PIP_NO_BINARY"), "1")
    variables |= {"PIP_CONSTRAINT": f"{elsewhere}.txt", "PIP_NO_BINARY": ":all:"}
    if where == "file":
        file = tmp_path / "pip.conf"
        file.write_text(PIP_CONF.format(wheels=prepared.wheels, elsewhere=elsewhere), "utf-8")
        variables = {"PIP_CONFIG_FILE": str(file), "PIP_NO_INDEX": "", "PIP_FIND_LINKS": ""}
    uninstall = [prepared.python, "-m", "pip", "uninstall", "--quiet", "-y", "course_alone"]
    subprocess.run(uninstall, check=True)
    done = prepared.call("setup", **variables)
    assert done.returncode == 0, done.stderr
    assert prepared.version("course_alone") == "1.0.3"
    assert not Path(elsewhere).exists()


def test_settings_that_pip_cannot_read_are_named(prepared, tmp_path):
    file = tmp_path / "pip.conf"
    file.write_text("index-url = no section\n", encoding="utf-8")
    with newer_lock(prepared, "9.0"):
        prepared.load()
        done = prepared.call("lab", PIP_CONFIG_FILE=str(file))
    assert done.returncode == 1
    assert "pip cannot read its settings, so mend or rename that file" in last_line(done.stderr)
    assert str(file) in last_line(done.stderr)


def elsewhere(project: Project, folder: Path) -> Project:
    """The project after its folder was copied, with .venv and all."""
    shutil.copytree(project.folder, folder, symlinks=True)
    moved = copy.copy(project)
    moved.folder = folder.resolve()
    moved.python = moved.folder / project.python.relative_to(project.folder)
    moved.stamp = moved.folder / ".venv" / "course.json"
    return moved


@pytest.mark.skipif(os.name == "nt", reason="runs scripts of Unix")
@pytest.mark.parametrize("command", ["setup", "doctor"])
def test_a_moved_folder_gets_its_scripts_back(prepared, tmp_path, command):
    moved = elsewhere(prepared, tmp_path / "moved here")
    pip, activate = moved.python.with_name("pip"), moved.python.with_name("activate")
    done = moved.call(command)
    assert f"This folder was moved (from {prepared.folder})" in done.stdout
    told = subprocess.run([pip, "--version"], capture_output=True, text=True)
    assert f"from {moved.folder}" in told.stdout, told.stderr
    shell = f'. "{activate}" && command -v python'
    told = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert told.stdout.strip() == str(moved.python)
    scripts = [p for p in moved.python.parent.iterdir() if not p.is_symlink()]
    assert not [p for p in scripts if str(prepared.folder).encode() in p.read_bytes()]
    assert "was moved" not in moved.call(command).stdout


@pytest.mark.parametrize(
    ("first", "python"),
    [
        (b"#!/old/.venv/bin/python\n", b"python"),
        (b"#!/bin/sh\n'''exec' \"/old/.venv/bin/python3.1\" \"$0\" \"$@\"\n' '''\n", b"python3.1"),
        (b"#!/bin/sh\n'''exec' /old/.venv/bin/python3 \"$0\" \"$@\"\n' '''\n", b"python3"),
    ],
)
def test_scripts_are_renamed_in_each_of_their_forms(first, python):
    content = environment.renamed(first + b"print('/old/.venv')\n", "/old/.venv", "/a new/.venv")
    exec_ = b"'''exec' \"/a new/.venv/bin/" + python + b'" "$0" "$@"\n\' \'\'\'\n'
    assert content == b"#!/bin/sh\n" + exec_ + b"print('/a new/.venv')\n"


def test_scripts_of_windows_are_renamed():
    old, new = "C:\\old\\.venv", "D:\\a new\\.venv"
    content = b"MZ\0" + f"#!{old}\\Scripts\\python.exe\r\n".encode() + b"PK\3\4"
    wanted = b"MZ\0" + f'#!"{new}\\Scripts\\python.exe"\r\n'.encode() + b"PK\3\4"
    assert environment.renamed(content, old, new) == wanted


def lose_python(project: Project) -> str:
    """As after the system removed the Python that .venv was made with."""
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        project.python.with_name(name).unlink()
        project.python.with_name(name).symlink_to("/usr/lib/gone/python")
    return "has lost its Python"


def replace_python(project: Project) -> str:
    """As after /usr/bin/python3 became a newer one: its packages are not found any more."""
    config = project.folder / ".venv" / "pyvenv.cfg"
    text = re.sub(r"(?m)^version = .*$", "version = 3.2.1", config.read_text("utf-8"))
    config.write_text(text, encoding="utf-8")
    (lib,) = (project.folder / ".venv" / "lib").glob("python3*")
    lib.rename(lib.with_name("python3.2"))
    return "was made for Python 3.2, and its Python is 3."


def break_python(project: Project) -> str:
    project.python.unlink()
    project.python.write_text("#!/bin/sh\necho 'error while loading libpython' >&2\nexit 127\n")
    project.python.chmod(0o755)
    return "has a Python that does not start (error while loading libpython)"


BLOCKER = """
import sys
sys.modules.update(dict.fromkeys(["_lzma", "_sqlite3"]))
"""


def take_parts(project: Project) -> str:
    (lib,) = (project.folder / ".venv" / "lib").glob("python3*")
    (lib / "site-packages" / "sitecustomize.py").write_text(BLOCKER, encoding="utf-8")
    return "was built without `_lzma`, `_sqlite3`, which the course needs"


@pytest.mark.skipif(os.name == "nt", reason="has no links to Python")
@pytest.mark.parametrize("damage", [lose_python, replace_python, break_python, take_parts])
def test_a_venv_whose_python_is_another_is_made_anew(prepared, tmp_path, damage):
    """Doctor says the one command, and that command does it: no circle."""
    project = elsewhere(prepared, tmp_path / "course")
    state = damage(project)
    told = project.call("doctor")
    assert (told.returncode, told.stdout.count("\n")) == (1, 1)
    assert told.stdout.startswith(f"problem: Python: .venv {state}")
    assert told.stdout.endswith(f": run `{COMMAND} setup`, which makes it anew.\n")
    done = project.call("setup")
    assert done.returncode == 0, done.stderr
    assert f".venv {state}" in done.stdout and "it is made anew" in done.stdout
    assert project.version("course_trial") == "1.0"
    code = "import course_trial, _lzma"
    subprocess.run([project.python, "-c", code], check=True)
    assert project.load().venv_problem() == ""


def test_setup_runs_in_the_python_of_the_venv_that_it_replaces(prepared, tmp_path):
    """The shell may have .venv active while its Python is a newer one."""
    if os.name == "nt":
        pytest.skip("Windows holds on to a Python that runs")
    project = elsewhere(prepared, tmp_path / "course")
    replace_python(project)
    done = project.call("setup", python=project.python)
    assert done.returncode == 0, done.stderr
    assert project.version("course_trial") == "1.0"


def test_doctor_has_one_line_for_each_thing(prepared):
    done = prepared.call("doctor")
    lines = done.stdout.splitlines()
    names = [line.split(": ")[1 if line.startswith("problem") else 0].split()[-1] for line in lines]
    expected = ["Python", "packages", "JupyterLab", "nbval", "access", "disk"]
    assert names == [*expected, "torch", "device", "d2l", "data", "variables"]
    assert all(line.startswith(("ok       ", "problem: ")) for line in lines)
    assert done.returncode == 1
    assert lines[0].endswith(f"({prepared.folder / '.venv'}{os.sep}{prepared.python.parent.name}"
                             f"{os.sep}{prepared.python.name})")  # fmt: skip
    assert lines[1] == "ok       packages: all 2 are here"
    assert lines[4] == f"ok       write access: {prepared.folder}"
    assert lines[6].startswith(
        "problem: torch: ModuleNotFoundError: No module named 'torch': run `"
    )


def test_older_venv_that_meets_the_bounds_is_used_until_setup(prepared):
    """The last one with `prepared`: it leaves another version there."""
    lock = lock_entry(prepared.wheels, "course_trial", "2.0")
    (prepared.folder / "requirements.lock").write_text(lock, encoding="utf-8")
    module = prepared.load()
    assert module.is_outdated()
    assert module.find() == str(module.venv_python())
    assert prepared.call("setup").returncode == 0
    assert not module.is_outdated()
    assert prepared.version("course_trial") == "2.0"


def test_foreign_venv_is_not_touched(project):
    project.want("course_trial", "1.0")
    note = project.folder / ".venv" / "note.txt"
    note.parent.mkdir()
    note.write_text("mine", encoding="utf-8")
    done = project.call("lab")
    assert done.returncode == 1
    assert "was not made by course.py and lacks course_trial>=1.0, course_alone" in done.stderr
    assert "rename or delete it" in done.stderr
    assert [path.name for path in note.parent.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("stamp", [None, "", "{}", '{"fingerprint": "finished, then broken"}'])
def test_stamp_stays_while_an_unfinished_venv_is_removed(project, monkeypatch, stamp):
    """Killed at any moment, .venv is either empty or marked as ours."""
    project.want("course_trial", "1.0")
    venv = project.stamp.parent
    venv.mkdir()
    if stamp is not None:
        project.stamp.write_text(stamp, encoding="utf-8")
        (venv / "lib" / "inner").mkdir(parents=True)
        (venv / "file").touch()
    module, removed = project.load(), []
    monkeypatch.setattr(module, "check_machine", lambda cpu: None)
    monkeypatch.setattr(programs, "pip_environ", lambda python: {})
    monkeypatch.setattr(module, "run_to_end", lambda *_: removed.append(os.listdir(venv)))
    rmtree = shutil.rmtree

    def watched(folder, **options):
        if Path(folder).is_relative_to(venv):  # and not a temporary one
            assert json.loads(project.stamp.read_text(encoding="utf-8")) == {}
        rmtree(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    with pytest.raises(CourseError, match="course_trial"):
        module.make_venv()  # the faked pip installs nothing
    assert removed[0] == ["course.json"]


def test_missing_pip_is_named(project):
    project.want("course_trial", "1.0")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project.stamp.parent])
    project.stamp.write_text('{"fingerprint": "older"}', encoding="utf-8")
    done = project.call("lab")
    assert done.returncode == 1
    assert last_line(done.stderr).startswith("problem: pip failed: this environment has no pip")


@pytest.mark.parametrize("module_name", ["venv", "ensurepip"])
def test_missing_venv_module_is_named(monkeypatch, module_name):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module_name else find_spec(name)
    )
    with pytest.raises(CourseError, match=rf"no `{module_name}`.*apt install python3"):
        environment.check_machine()


def test_small_disk_is_refused_before_anything_is_written(project, monkeypatch):
    project.want("course_trial", "1.0")
    module = project.load()
    usage = shutil.disk_usage(project.folder)._replace(free=1_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(CourseError, match=r"takes \d+\.\d GB .* and 1\.0 GB are free"):
        module.prepare()
    assert not (project.folder / ".venv").exists()


@pytest.fixture
def large_disk(monkeypatch):
    usage = types.SimpleNamespace(free=1_000_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)


@pytest.mark.skipif(os.name == "nt", reason="Windows is refused first")
@pytest.mark.parametrize(
    ("machine", "release", "fits"),
    [("arm64", "14.1", True), ("arm64", "13.6", False), ("x86_64", "15.0", False)],
)
def test_macs_without_a_torch_are_told(monkeypatch, large_disk, machine, release, fits):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(environment.platform, "machine", lambda: machine)
    monkeypatch.setattr(environment.platform, "mac_ver", lambda: (release, ("", "", ""), machine))
    with contextlib.nullcontext() if fits else pytest.raises(CourseError, match="Colab"):
        environment.check_machine()


def pretend_windows(monkeypatch):
    """`os.name` is "nt" for these modules alone: pathlib and pytest would break."""
    windows = types.ModuleType("os")
    vars(windows).update(vars(os), name="nt")
    for module in (course, doctor, environment):
        monkeypatch.setattr(module, "os", windows)


@pytest.mark.parametrize(("build", "fits"), [("win-amd64", True), ("win-arm64", False)])
def test_on_windows_the_build_of_python_counts(monkeypatch, large_disk, build, fits):
    """Python for x64 runs on an ARM computer as well, whose name `platform.machine` gives."""
    pretend_windows(monkeypatch)
    monkeypatch.setattr(environment.platform, "machine", lambda: "ARM64")
    monkeypatch.setattr(environment.sysconfig, "get_platform", lambda: build)
    with contextlib.nullcontext() if fits else pytest.raises(CourseError, match="x64"):
        environment.check_machine()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError("Error loading torch_cpu.dll or one of its dependencies"), "Visual C++"),
        (ImportError("DLL load failed while importing _C: not found"), "Visual C++"),
        (ModuleNotFoundError("No module named 'torch'"), "setup"),
        (OSError("bad file"), "remove .venv"),
    ],
)
def test_on_windows_a_missing_library_is_told_apart(monkeypatch, error, expected):
    pretend_windows(monkeypatch)
    assert expected in doctor.advice(error)


@pytest.mark.parametrize(
    ("loads", "named"),
    [
        ("import os; assert 'LD_LIBRARY_PATH' not in os.environ", True),
        ("import gone", False),
        ("", False),  # they load with it, so that something else is wrong
    ],
)
def test_a_variable_that_leads_to_foreign_libraries_is_named(monkeypatch, tmp_path, loads, named):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "LOADS", loads)
    doctor.loads_without.cache_clear()
    said = doctor.advice(ImportError("undefined symbol: x"))
    doctor.loads_without.cache_clear()
    wanted = "LD_LIBRARY_PATH leads to libraries that do not fit: run `unset LD_LIBRARY_PATH`"
    assert said.startswith(wanted if named else "remove .venv")


@pytest.mark.parametrize(("windows", "expected"), [(True, "C:\\old"), (False, 'C:\\old"')])
def test_on_windows_a_quote_that_the_shell_left_behind_is_dropped(monkeypatch, windows, expected):
    asked = []
    monkeypatch.setattr(update, "take_from", lambda place: asked.append(place) or [])
    monkeypatch.setattr(environment, "is_outdated", lambda: False)
    with monkeypatch.context() as patch:
        if windows:
            pretend_windows(patch)
        course.main(["update", "--from", 'C:\\old"'])
    assert asked == [Path(expected)]


def test_folder_without_write_access_is_named(project, monkeypatch):
    project.want("course_trial", "1.0")
    module = project.load()

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "open", refuse, raising=False)
    with pytest.raises(CourseError, match=r"cannot write in .*Permission denied"):
        module.prepare()
    monkeypatch.delattr(module, "open")
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CourseError, match=r"cannot write .*\.venv \(Permission denied"):
        module.prepare()


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="folders have no lock for this user"
)
def test_real_folder_without_write_access(project):
    project.want("course_trial", "1.0")
    project.folder.chmod(0o555)
    try:
        done = project.call("lab")
    finally:
        project.folder.chmod(0o755)
    assert done.returncode == 1
    assert "problem: course.py cannot write in " in done.stderr


def test_only_one_at_a_time_works_on_venv(tmp_path):
    with open(tmp_path / "lock", "a+") as first, open(tmp_path / "lock", "a+") as second:
        assert environment.try_to_lock(first)
        assert not environment.try_to_lock(second)
        first.close()
        assert environment.try_to_lock(second)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: [WinError 112] 磁盘空间不足", "disk is full"),
        ("HINT: ... Windows Long Path support enabled", "too long for Windows"),
        ("ProxyError('Cannot connect to proxy.')\nNo matching distribution found for x", "mirror"),
        ("error: externally-managed-environment\n\n...", "belongs to the operating system"),
        ("ERROR: [WinError 5] Access is denied: 'c10.dll'", "close JupyterLab"),
        ("ERROR: something else\n\n", "code 3 (ERROR: something else)"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS", "another mirror"),
        ("", "code 3 ()"),
    ],
)
def test_failures_of_pip_become_one_sentence(messages, expected):
    assert expected in environment.explain_failure(messages, 3)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ("OSError: [Errno 122] Disk quota exceeded: '/home/x'", "share of the disk is used up"),
        ("OSError: [Errno 30] Read-only file system: '/opt'", "cannot be written"),
        ("FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp']", "TMPDIR"),
        ("ERROR: HTTP error 403 while getting https://x/y.whl", "HTTP 403"),
        ("HTTPError: 403 Client Error: Forbidden for url: https://x", "HTTP 403"),
        (
            "Tunnel connection failed: 403 Forbidden\nNo matching distribution found for x",
            "HTTP 403",
        ),
        ("407 Proxy Authentication Required", "name and a password"),
        ("OSError: Missing dependencies for SOCKS support.", "cannot use a SOCKS proxy"),
        ("OSError: Proxy URL had unsupported scheme htp, should use http://", "http://HOST:PORT"),
        ("An error occurred during configuration: option timeout: invalid value: 'x'", "timeout"),
        (
            'WARNING: The index url "host/simple" seems invalid, please provide a scheme.\n'
            "No matching distribution found for x",
            "write https://host/simple",
        ),
        ("No matching distribution found for x", "PIP_CERT"),
        ("OSError: Please check proxy URL. It is malformed and could be", "http://HOST:PORT"),
    ],
)
def test_disks_and_servers_that_refuse_are_told_apart(messages, expected):
    sentence = environment.explain_failure(messages, 1)
    assert expected in sentence and "code 1" not in sentence


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "share of this disk"),
     (errno.EROFS, "put the course on another one"), (errno.EACCES, "a folder that is yours")],
)  # fmt: skip
def test_what_cannot_be_written_has_its_own_remedy(project, monkeypatch, number, expected):
    project.want("course_trial", "1.0")
    module = project.load()
    monkeypatch.setattr(module, "check_machine", lambda cpu: None)

    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CourseError, match=expected):
        module.prepare()


def test_a_full_temporary_folder_is_one_sentence(monkeypatch):
    def none_is_left():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(environment.tempfile, "gettempdir", none_is_left)
    for check in (environment.check_machine, doctor.check_disk):
        with pytest.raises(CourseError, match=r"no temporary folder .* set TMPDIR to a folder"):
            check()


@pytest.mark.parametrize("number", environment.DISK_ERRORS)
def test_an_error_of_the_disk_ends_no_command_with_a_traceback(monkeypatch, capsys, number):
    def refuse(path):
        raise OSError(number, os.strerror(number), "/a/file")

    monkeypatch.setattr(update, "take_from", refuse)
    assert course.main(["update", "--from", "x"]) == 1
    assert capsys.readouterr().err.startswith("problem: /a/file cannot be used (")


def test_an_update_needs_a_temporary_folder(monkeypatch, capsys):
    def refuse(path):
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(update, "take_from", refuse)
    assert course.main(["update", "--from", "x"]) == 1
    assert capsys.readouterr().err.startswith("problem: no temporary folder can be written (No us")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "wants a name and a password"),
        (403, "refuses them"),
        (
            404,
            r"does not have http://127\.0\.0\.1:\d+/simple/nothing/ \(HTTP 404\); check PIP_INDEX",
        ),
        (429, "busy or out of order"),
        (503, r"busy or out of order \(HTTP 503\)"),
    ],
)
def test_what_a_server_answers_pip_is_told(monkeypatch, status, expected):
    """pip itself says only that there is no such package."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        def log_message(self, *arguments):
            pass

    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        with pytest.raises(CourseError, match=expected):
            environment.pip_install(sys.executable, "--dry-run", "nothing", quiet=True)
        server.shutdown()


def test_a_reason_that_is_not_among_the_errors_is_found(capfd):
    command = [sys.executable, "-c", "print('option timeout: invalid'); raise SystemExit(3)"]
    with pytest.raises(CourseError, match=r"failed: it ended with code 3 \(option timeout: inval"):
        environment.run_to_end(command, "failed")


# --- what the user has set ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "reaches"),
    [
        ("http://127.0.0.1:7890", "http://127.0.0.1:7890"),
        ("http://me:pass@host:80/", "http://me:pass@host:80/"),
        ("127.0.0.1:7890", "http://127.0.0.1:7890"),
        ("localhost:7890", "http://localhost:7890"),
        (" 'http://h:1' ", "http://h:1"),
        ("socks5://127.0.0.1:7890", None),
        ("socks5h://127.0.0.1:7890", None),
        ("socks://h:1", None),
        ("http://", None),
        ("htp://h:1", None),
        ("http://h:port", None),
        ("http://[::1", None),
        ("", ""),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "all_proxy"])
def test_only_proxies_that_programs_can_use_reach_them(name, given, reaches):
    assert programs.environ({name: given}).get(name) == reaches
    assert programs.left_out({name: given}) == ([name] if reaches is None else [])


def test_a_proxy_that_was_left_out_is_named_where_pip_fails(monkeypatch):
    def fail(command, failure, environ, log):
        assert "ALL_PROXY" not in environ and environ["https_proxy"] == "http://127.0.0.1:7890"
        raise CourseError("pip failed: the network did not deliver.")

    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:7890")
    monkeypatch.setenv("https_proxy", "127.0.0.1:7890")
    monkeypatch.setattr(environment, "run_to_end", fail)
    with pytest.raises(CourseError, match=r"not deliver\. \(ALL_PROXY cannot be used here and was"):
        environment.pip_install(sys.executable, "x")


def test_variables_of_another_python_reach_no_program(project):
    """PYTHONPATH with other packages would count as the course's, and be imported first."""
    project.want("course_trial", "1.0")
    wheels = [make_wheel(project.wheels, "course_trial", "1.0"),
              make_wheel(project.wheels, "course_alone", "1.0.3")]  # fmt: skip
    project.want("course_trial", "1.0")
    foreign = project.folder.parent / "foreign"
    for name in ("tools", "utils", "json"):
        (foreign / name).mkdir(parents=True)
        (foreign / name / "__init__.py").write_text("1 / 0\n", encoding="utf-8")
    variables = {
        "PYTHONPATH": os.pathsep.join([*wheels, str(foreign)]),
        "PYTHONSAFEPATH": "1", "PYTHONOPTIMIZE": "1", "MPLBACKEND": "TkAgg", "PYTHONWARNINGS": "e",
    }  # fmt: skip
    (foreign / "json").rename(foreign / "numpy")  # json is imported before course.py begins
    done = project.call("setup", **variables)
    assert done.returncode == 0, done.stderr
    assert f"Ready: {project.folder / '.venv'}" in done.stdout
    assert project.version("course_trial") == "1.0"
    told = project.call("doctor", **variables).stdout.splitlines()[-1]
    assert told.startswith("ok       variables: MPLBACKEND, PYTHONOPTIMIZE, PYTHONPATH, PYTHONSAFE")


@pytest.mark.parametrize("name", ["random", "string", "turtle"])
def test_a_file_that_hides_a_module_of_python_is_named(project, name):
    (project.folder / f"{name}.py").write_text("mine = 1\n", encoding="utf-8")
    done = project.call("--help")
    if name == "turtle":  # which nothing here needs
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.stderr.startswith(f"problem: {name}.py in {project.folder} hides the module")
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="has no sudo")
def test_sudo_is_refused_before_it_leaves_files_of_root(monkeypatch):
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    mine, roots = (types.SimpleNamespace(st_uid=uid) for uid in (1000, 0))
    monkeypatch.setattr(environment, "ROOT", types.SimpleNamespace(stat=lambda: roots))
    environment.refuse_sudo()  # root's own folder
    monkeypatch.setattr(environment, "ROOT", types.SimpleNamespace(stat=lambda: mine))
    with pytest.raises(CourseError, match="run the same without `sudo`"):
        environment.prepare()


@pytest.mark.skipif(os.name == "nt", reason="has no chown")
def test_files_of_another_user_are_named_with_their_remedy(monkeypatch, tmp_path):
    home, root = tmp_path / "my home", tmp_path / "course"
    for folder in (home / ".ipython" / "profile_default", root / "chapters", root / "data"):
        folder.mkdir(parents=True)
    (root / "chapters" / "a.ipynb").touch()
    monkeypatch.setattr(doctor, "ROOT", root)
    monkeypatch.setattr(Path, "home", lambda: home)
    assert doctor.check_write_access() == str(root)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    closed = {root / "chapters" / "a.ipynb", home / ".ipython" / "profile_default"}
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in closed)
    command = f"run `sudo chown -R \"$USER\" {root} '{home / '.ipython'}'`"
    with pytest.raises(CourseError, match=f"a.ipynb and 1 more .*{re.escape(command)}"):
        doctor.check_write_access()


@pytest.mark.parametrize("part", environment.PARTS)
def test_a_python_built_without_a_part_is_named(monkeypatch, part):
    monkeypatch.setitem(sys.modules, part, None)
    with pytest.raises(CourseError, match=f"was built without `{part}`.* install another one"):
        environment.check_machine()
    with pytest.raises(CourseError, match=f"was built without `{part}`"):
        doctor.check_python()
    with pytest.raises(CourseError, match=f"was built without `{part}`"):
        environment.find()  # a complete Python cannot start JupyterLab either
    with pytest.raises(CourseError, match=f"was built without `{part}`"):
        doctor.advice(ModuleNotFoundError(f"No module named '{part}'", name=part))


# --- a notebook in another kernel -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("torch", "stamp", "expected"),
    [
        (
            None,
            None,
            rf"run `{COMMAND} setup` in .*, then choose the kernel of the course's \.venv",
        ),
        (None, '{"fingerprint": "x"}', r"which lacks torch>=2\.6: choose the kernel of .*\.venv"),
        ("2.6", '{"fingerprint": "x"}', r"which lacks torch>=2\.6: choose the kernel"),
        ("2.6", None, ""),
        ("2.6", "{}", ""),
    ],
)
def test_a_notebook_in_another_kernel_is_told_which_to_choose(
    monkeypatch, project, torch, stamp, expected
):
    project.stamp.parent.mkdir()
    if stamp is not None:
        project.stamp.write_text(stamp, encoding="utf-8")
    module = project.load()
    monkeypatch.setattr(module, "installed", lambda name, path=None: torch)
    monkeypatch.setattr(module, "missing", lambda wanted, path=None: {})
    lacking = {"torch": "torch>=2.6"}
    if expected:
        with pytest.raises(CourseError, match=expected) as raised:
            module.check_kernel(lacking)
        assert str(raised.value).startswith(f"this notebook runs in {sys.executable}, which lacks")
    else:
        module.check_kernel(lacking)


def test_a_notebook_with_a_foreign_numpy_is_told(tmp_path, monkeypatch):
    environment.check_path()
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").touch()
    code = "import course; course.complete_host()"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert f"numpy would come from {tmp_path}, because the variable PYTHONPATH" in done.stderr


@pytest.mark.parametrize(
    ("given", "becomes"),
    [("TkAgg", "module://matplotlib_inline.backend_inline"), ("ipympl", "ipympl"),
     ("nonsense", "module://matplotlib_inline.backend_inline"), ("", ""),
     ("module://my.backend", "module://my.backend")],
)  # fmt: skip
@pytest.mark.parametrize("kernel", [True, False])
def test_figures_stay_in_a_notebook(monkeypatch, given, becomes, kernel):
    monkeypatch.setenv("MPLBACKEND", given)
    monkeypatch.setattr("utils.notebook.in_notebook", lambda: kernel)
    environment.show_figures()
    assert os.environ["MPLBACKEND"] == (becomes if kernel else given)


@pytest.mark.long
@pytest.mark.parametrize("delay", [0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0])
def test_kill_and_repeat(tmp_path, delay):
    """Killed at any moment, with pip left behind or not, the next setup makes it whole."""
    project = trial_project(tmp_path / "course")
    first = project.start("setup")
    time.sleep(delay)
    first.kill()
    first.wait()
    second = project.call("setup")
    assert second.returncode == 0, second.stderr
    subprocess.run([project.python, "-c", "import course_trial, course_alone"], check=True)


# --- Colab ----------------------------------------------------------------------------------------


def test_host_gets_only_what_is_missing(monkeypatch):
    calls = []
    lacking = [{"onnxscript": "onnxscript>=0.6", "d2l": "d2l==1.0.3"}, {}]

    def missing(wanted):
        names = {requirement.name for requirement in wanted}
        assert {"torch", "d2l", "onnxscript"} <= names
        assert not {"jupyterlab", "nbval", "pytest", "ipykernel"} & names
        return lacking.pop(0)

    monkeypatch.setattr(environment, "missing", missing)

    def pip_install(python, *arguments, quiet=False):
        calls.append((python, arguments, quiet, Path(arguments[-1]).read_text("utf-8")))

    monkeypatch.setattr(environment, "pip_install", pip_install)
    environment.complete_host()
    (python, arguments, quiet, pins), alone = calls
    pins = pins.splitlines()
    assert (python, quiet) == (sys.executable, True)
    assert arguments[:2] == ("onnxscript>=0.6", "--constraint")
    for name in (*environment.HOST_PACKAGES, "pytest"):
        assert f"{name}=={importlib.metadata.version(name)}" in pins
    assert not any(line.startswith(("onnxscript==", "d2l==")) for line in pins)
    python, arguments, quiet, lock = alone
    assert (python, quiet) == (sys.executable, True)
    assert arguments[:2] == ("--no-deps", "--require-hashes")
    assert re.fullmatch(r"d2l==1\.0\.3 \\\n(    --hash=sha256:\w{64}( \\)?\n)+", lock)


def test_host_that_has_everything_is_left_alone(monkeypatch):
    if environment.missing(environment.requirements()):
        pytest.skip("this environment lacks something")
    monkeypatch.setattr(environment, "pip_install", None)  # would fail if it were called
    assert environment.complete_host() is None


def test_host_keeps_its_torch(monkeypatch):
    monkeypatch.setattr(environment, "pip_install", None)
    monkeypatch.setattr(environment, "missing", lambda wanted: {"torch": "torch>=2.6 (here 2.5.0)"})
    with pytest.raises(CourseError, match=r"needs torch>=2\.6 \(here 2\.5\.0\), and"):
        environment.complete_host()


def test_in_a_notebook_an_error_is_one_line():
    assert CourseError("so and so")._render_traceback_() == ["problem: so and so"]


# --- commands -------------------------------------------------------------------------------------


@pytest.fixture
def handed_over(monkeypatch):
    """The commands that course.py would run."""
    commands = []
    monkeypatch.setattr(course, "hand_over", lambda command, **v: commands.append((command, v)))
    monkeypatch.setattr(environment, "prepare", lambda cpu=False: "python")
    monkeypatch.setattr(jupyterlab, "has_browser", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    return commands


def test_lab_opens_chapter_0_and_passes_arguments_on(handed_over, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "the learner's own")
    variables = {
        "JUPYTER_CONFIG_PATH": f"{ROOT / '.jupyter'}{os.pathsep}the learner's own",
        "JUPYTER_PATH": str(ROOT / ".jupyter"),
    }
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    start = ["python", "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    start.append("--LabApp.news_url=None")
    start.append("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    chapter = "--LabApp.default_url=/lab/tree/chapters/00_start_here.ipynb"
    course.main(["lab", "--cpu", "--port", "9999"])
    course.main(["lab", "chapters/04_nin.ipynb"])
    assert handed_over == [
        ([*start, chapter, "--port", "9999"], variables),
        ([*start, "chapters/04_nin.ipynb"], variables),
    ]


def test_lab_as_root_and_without_a_browser(handed_over, monkeypatch, capsys):
    monkeypatch.setattr(jupyterlab, "has_browser", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    course.main(["lab"])
    (command, _), out = handed_over.pop(), capsys.readouterr().out
    assert command[6:8] == ["--allow-root", "--no-browser"]
    assert "open the address that JupyterLab prints below" in out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a browser")
def test_browser_needs_a_screen(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not jupyterlab.has_browser()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(jupyterlab.webbrowser, "get", lambda: "a browser")
    assert jupyterlab.has_browser()


@pytest.mark.parametrize("size", [None, 17])
def test_lab_names_a_damaged_data_file(handed_over, project, monkeypatch, capsys, size):
    monkeypatch.setattr(data_files, "FOLDER", project.folder / "data" / "FashionMNIST" / "raw")
    file = data_files.FOLDER / "t10k-labels-idx1-ubyte.gz"
    if size is None:
        file.unlink()
    else:
        os.truncate(file, size)
    assert course.main(["lab"]) == 1
    state = "is missing" if size is None else "has 17 bytes instead of 5148"
    assert capsys.readouterr().err == (
        f"problem: data/FashionMNIST/raw/{file.name} {state}: run `git checkout -- data`, or "
        "clone again.\n"
    )
    assert handed_over == []


def test_data_files_of_this_clone_are_whole():
    data_files.check_sizes()
    # The sums that torchvision checks, so that it and d2l need no download.
    from torchvision.datasets import FashionMNIST

    sums = {
        name: hashlib.md5((data_files.FOLDER / name).read_bytes()).hexdigest()
        for name in data_files.SIZES
    }
    assert sums == dict(FashionMNIST.resources)


def test_test_runs_pytest_and_passes_its_exit_code(project):
    (project.folder / "test_it.py").write_text(
        "import os\n"
        "def test_long(): assert os.environ['COURSE_LONG'] == '1'\n"
        "def test_cwd(): assert os.path.exists('course.py')\n"
        "def test_wrong(): assert 0\n",
        encoding="utf-8",
    )
    done = project.call("test", "--all", "-q", "-p", "no:cacheprovider", "test_it.py")
    assert last_line(done.stdout).startswith("1 failed, 2 passed")
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("given", "passed", "variables"),
    [
        ("", "-n 2", {}),
        ("-x", "-x -n 2", {}),
        ("-x --all", "-x -n 2", {"COURSE_LONG": "1"}),
        ("-n0", "-n0", {}),
        ("-k nin.2 -h", "-k nin.2 -h -n 2", {}),
        ("--co -q -- tests", "--co -q -- tests -n 2", {}),
        ("chapters/04_nin.ipynb --help", "chapters/04_nin.ipynb --help -n 2", {}),
    ],
)
def test_test_passes_everything_on_to_pytest(handed_over, given, passed, variables):
    """argparse must not take options that come first or that it knows itself."""
    course.main(["test", *given.split()])
    command = ["python", "-m", "pytest", "--nbval", *passed.split()]
    personal = dict.fromkeys(PERSONAL)  # taken away
    assert handed_over == [(command, personal | variables)]


@pytest.mark.parametrize(
    ("given", "module"),
    [
        ("mark handed_in 04_nin", "tools.marking handed_in 04_nin"),
        ("run 04 --overwrite", "tools.authoring run 04 --overwrite"),
        ("results --check", "tools.numbers_in_text --check"),
        ("site folder", "tools.site.build folder"),
        ("address ada/course", "tools.address ada/course"),
        ("licences", "tools.licences"),
    ],
)
def test_tools_run_in_the_environment_of_the_course(handed_over, given, module):
    course.main(given.split())
    assert handed_over == [(["python", "-m", *module.split()], {})]
    assert importlib.util.find_spec(module.split()[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lba"], "invalid choice: 'lba' (choose from "),
        (["setup", "--hree"], "unrecognized arguments: --hree"),
        (["setup", "--her"], "unrecognized arguments: --her"),
        (["setup", "--here", "--authors"], "not allowed with argument --here"),
        (["doctor", "now"], "unrecognized arguments: now"),
        (["progress", "nin"], "unrecognized arguments: nin"),
        (["reset"], "the following arguments are required: NAME"),
        (["reset", "nin.2", "nin.3"], "unrecognized arguments: nin.3"),
        (["update", "everything"], "unrecognized arguments: everything"),
        (["update", "--from"], "argument --from: expected one argument"),
    ],
)
def test_unknown_commands_and_arguments(capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        course.main(arguments)
    assert stopped.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("problem: ") and message in printed
    if arguments == ["lba"]:
        assert all(name in printed for name in course.COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["--help"], *([name, "-h"] for name in course.COMMANDS)])
def test_help_needs_no_environment(handed_over, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        course.main(arguments)
    printed = capsys.readouterr().out
    assert stopped.value.code == 0 and handed_over == []
    assert printed.startswith(f"usage: {COMMAND} ")
    if len(arguments) < 2:
        listed = re.findall(r"^ {4}(\w+)\s", printed, re.MULTILINE)  # a long name has its line
        assert set(course.COMMANDS) <= set(listed)


def test_the_readme_names_only_commands_that_exist():
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
    named = {
        name
        for path in texts
        for name in re.findall(r"course\.py ([a-z]+)", path.read_text(encoding="utf-8"))
    }
    assert {"lab", "test", "doctor", "progress", "reset", "update", "address"} <= named
    assert named <= course.COMMANDS.keys()


def test_doctor_reports_a_crash(monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "call", lambda command, **options: -11)
    assert course.main(["doctor"]) == 1
    assert "problem: Python crashed in the next check (code -11)" in capsys.readouterr().out


def test_doctor_turns_any_error_into_one_line(capsys):
    def broken():
        raise OSError("[WinError 126] first\nError loading c10.dll")

    assert doctor.examine("torch", broken) == 1
    assert doctor.examine("disk", lambda: "5 GB are free") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("problem: torch: OSError: Error loading c10.dll: ")
    assert lines[1:] == ["ok       disk: 5 GB are free"]


@pytest.mark.long
def test_doctor_finds_nothing_wrong_here():
    done = subprocess.run(
        [sys.executable, ROOT / "course.py", "doctor"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.startswith("ok  ") for line in done.stdout.splitlines())
