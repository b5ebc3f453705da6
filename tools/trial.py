"""What `course.py lab` needs, tried: JupyterLab, a kernel, some training and a figure.

Where that fails, the variable or file at fault is found by leaving some out and trying again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tools import COMMAND, ROOT, CourseError, jupyterlab, programs, say

PATIENCE = 120  # seconds for each step

# As the chapters do it, and at the end whether it was the right Python.
CELL = """
import sys
sys.path.insert(0, {root!r})
import course
course.start(".")
import matplotlib.pyplot as plt
from utils import data, networks, training
splits = data.load(train_images=64, validation_images=32, test_images=32)
training.fit(networks.build("lenet"), splits.train, splits.validation, epochs=1, learning_rate=0.05)
plt.plot([0, 1])
plt.show()
if sys.prefix != {prefix!r}:
    raise RuntimeError(f"the kernel python3 is that of {{sys.prefix}}")
"""


def check_lab() -> str:
    """Try all of it; CourseError with what to do if something stops it."""
    problem = attempt(os.environ)
    if problem:
        say(f"         {problem.reason}: looking for the cause, which takes some minutes …")
        raise CourseError(f"{problem.reason}: {cause(problem, suspects(), os.environ)}")
    return "JupyterLab starts, and a notebook trains and draws"


# --- one trial ------------------------------------------------------------------------------------


DIES = "the kernel of the notebook dies"


class Problem(NamedTuple):
    reason: str
    step: str  # at which it occurred: "server", "kernel" or "cell"


def attempt(environ: Mapping[str, str], last: str = "cell") -> Problem | None:
    """Why it does not work with these variables, or nothing.

    last: the step after which it is over.
    """
    command, variables = jupyterlab.server(sys.executable, environ)
    variables = {"PYTHONUTF8": "1", **programs.environ(environ), **variables}
    token = uuid.uuid4().hex
    command += ["--no-browser", f"--ServerApp.port={free_port()}", "--ServerApp.log_level=INFO"]
    with tempfile.TemporaryDirectory() as folder, open(Path(folder, "log"), "w+b") as log:
        server = subprocess.Popen(
            [*command, f"--IdentityProvider.token={token}"],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            address = address_of(server, Path(log.name))
            if not address:
                return Problem(reason(read(Path(log.name))) or "JupyterLab ends at once", "server")
            if last == "server":
                return None
            code = CELL.format(root=str(ROOT), prefix=sys.prefix) if last == "cell" else ""
            said = asyncio.run(run_cell(address, token, code, Path(log.name)))
            return Problem(said, "kernel" if said == DIES else "cell") if said else None
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def free_port() -> int:
    with contextlib.closing(socket.socket()) as any_port:
        any_port.bind(("127.0.0.1", 0))
        return any_port.getsockname()[1]


def read(log: Path) -> str:
    return log.read_bytes().decode("utf-8", "replace")


def address_of(server: subprocess.Popen, log: Path) -> str:
    """Where the server answers, as soon as it says so; nothing if it ends before."""
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        started = read(log).partition(" is running at:")[2]
        # The last one: the first may have a name of this machine that nobody knows.
        if "To access the server" in started or started.count("\n") > 3:
            found = re.findall(r"(https?://\S+?/)lab\b", started)
            return found[-1] if found else ""
        time.sleep(0.2)
    return ""


def reason(log: str) -> str:
    """The line of a log that says why JupyterLab or a kernel stopped."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    serious = [line for line in lines if re.match(r"\[[CE] |[\w.]*(Error|Exception)\b", line)]
    line = re.sub(r"^\[[CE] [^\]]*\] *", "", (serious or lines or [""])[-1]).rstrip(".:")
    return re.sub(r"<(?:\w+\.)*(\w+) object at 0x\w+>", r"\1", line)


async def run_cell(address: str, token: str, code: str, log: Path) -> str:
    """Run the cell in a kernel of the server, or stop when the server reports a dead kernel."""
    cell = asyncio.ensure_future(run_in_kernel(address, token, code))
    while not cell.done():
        await asyncio.wait([cell], timeout=0.5)
        if not cell.done() and re.search(r"KernelRestarter: restart|[Kk]ernel died", read(log)):
            cell.cancel()
            return DIES
    return cell.result()


async def run_in_kernel(address: str, token: str, code: str) -> str:
    """Run the cell in a kernel of the server, as a browser does; why that fails, or nothing."""
    from tornado.httpclient import AsyncHTTPClient, HTTPRequest
    from tornado.websocket import websocket_connect

    def request(path: str, **options: object) -> HTTPRequest:
        headers = {"Authorization": f"token {token}"}
        return HTTPRequest(
            path, headers=headers, validate_cert=False, request_timeout=PATIENCE, **options
        )

    body = json.dumps({"name": "python3", "path": "chapters"})
    start = request(f"{address}api/kernels", method="POST", body=body)
    try:
        client = AsyncHTTPClient(force_instance=True)
        page = await client.fetch(request(f"{address}lab"), raise_error=False)
        if page.code != 200 or b"jupyter-config-data" not in page.body:
            return f"JupyterLab shows no page (HTTP {page.code})"
        answer = await client.fetch(start, raise_error=False)
        if answer.code != 201:
            return f"JupyterLab starts no kernel (HTTP {answer.code})"
        kernel = json.loads(answer.body)["id"]
        channels = f"ws{address.removeprefix('http')}api/kernels/{kernel}/channels"
        connection = await websocket_connect(request(channels))
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
        header |= {"session": uuid.uuid4().hex, "username": ""}
        content = {"code": code, "silent": False}
        content |= {"store_history": False, "user_expressions": {}, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await connection.write_message(json.dumps({**message, "channel": "shell", "buffers": []}))
        return await outcome(connection, header["msg_id"], figure=not code)
    except (OSError, TimeoutError, ValueError) as error:
        return f"JupyterLab does not answer ({type(error).__name__})"


async def outcome(connection, request: str, figure: bool) -> str:
    """Wait for the end of a cell: why it failed, or nothing. figure: none is waited for."""
    problem = ""
    while True:
        text = await asyncio.wait_for(connection.read_message(), PATIENCE)
        if text is None:
            return "JupyterLab ended the connection to its kernel"
        message = json.loads(text)
        content, kind = message["content"], message["header"]["msg_type"]
        state = content.get("execution_state")
        if state in ("dead", "restarting", "autorestarting"):
            return DIES
        if message["parent_header"].get("msg_id") != request:
            continue
        if kind == "error":
            lines = content["evalue"].strip().splitlines() or [""]
            problem = f"{content['ename']}: {lines[-1]}"
        figure |= kind == "display_data" and "image/png" in content["data"]
        if state == "idle":
            return problem or ("" if figure else "a figure is not shown in the notebook")


# --- the cause ------------------------------------------------------------------------------------

# Without these nothing runs anywhere.
NEEDED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TEMP|TMP|LANG|DISPLAY|SYSTEMROOT|SYSTEMDRIVE|WINDIR|"
    r"COMSPEC|PATHEXT|(LOCAL)?APPDATA|PROGRAM\w+|USERPROFILE|HOMEDRIVE|HOMEPATH|COURSE_\w+|"
    r"LD_LIBRARY_PATH|NUMBER_OF_PROCESSORS|OS|PWD|SHLVL|_",
    re.IGNORECASE,
)


class Suspect(NamedTuple):
    """A variable, a file of settings or a folder, and how to do without it in a trial.

    variable: the one to leave out, or the one that names another folder in its place.
    """

    name: str
    todo: str
    variable: str
    file: str = ""  # from the folder that the variable names
    text: str = ""  # in the file

    def verdict(self) -> str:
        return f"the cause is {self.name}: {self.todo}."

    def has_to_do_with(self, reason: str, environ: Mapping[str, str]) -> bool:
        """Whether an error names the variable, its value, or a setting that is in the file."""
        if self.file:
            return any(word in self.text for word in re.findall(r"['\"]([\w.]{6,})['\"]", reason))
        value = environ.get(self.variable, "")
        return self.variable in reason or (len(value) > 3 and value in reason)


def suspects() -> list[Suspect]:
    """What belongs to the user and can stop JupyterLab, a kernel or a figure."""
    from jupyter_core import paths

    ours = programs.environ()
    found = [
        Suspect(f"the variable {name}", "unset it", name)
        for name in sorted(ours)
        if not NEEDED.fullmatch(name) and name not in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")
    ]
    profile = "profile_default/"
    for variable, folder, patterns in (
        ("JUPYTER_CONFIG_DIR", paths.jupyter_config_dir(), ("*.py", "*.json", "*.d/*.json")),
        ("IPYTHONDIR", ipython_dir(), (f"{profile}*.py", f"{profile}*.json", f"{profile}s*/*")),
    ):
        files = (file for pattern in patterns for file in sorted(Path(folder).glob(pattern)))
        found += [
            Suspect(
                f"the file {file}",
                "rename it",
                variable,
                str(file.relative_to(folder)),
                file.read_text(encoding="utf-8", errors="replace"),
            )
            for file in files
            if file.is_file()
        ]
    for variable, folder in (
        ("JUPYTER_DATA_DIR", paths.jupyter_data_dir()),
        ("JUPYTER_RUNTIME_DIR", paths.jupyter_runtime_dir()),
        ("MPLCONFIGDIR", Path.home() / ".config" / "matplotlib"),
    ):
        if variable not in ours and Path(folder).exists():
            found.append(Suspect(f"the folder {folder}", "rename it", variable, "."))
    return found


def shared_files() -> list[Suspect]:
    """Settings of JupyterLab for all users of the machine, which only their owner can take away."""
    from jupyter_core import paths

    own = (paths.jupyter_config_dir(), *paths.ENV_CONFIG_PATH)
    folders = [Path(folder) for folder in paths.jupyter_config_path() if folder not in own]
    return [
        Suspect(f"the file {file}", "rename it", "", file.name, file.read_text(errors="replace"))
        for folder in folders
        for pattern in ("*.py", "*.json", "*.d/*.json")
        for file in sorted(folder.glob(pattern))
    ]


def ipython_dir() -> str:
    return os.environ.get("IPYTHONDIR") or str(Path.home() / ".ipython")


def cause(problem: Problem, every: Sequence[Suspect], environ: Mapping[str, str]) -> str:
    """Which of them stops it, and what to do: the first whose presence makes a trial fail."""

    def fails_with(present: Sequence[Suspect]) -> bool:
        return bool(attempt_with(present, every, environ, problem.step))

    for suspect in every:
        if suspect.has_to_do_with(problem.reason, environ):
            if not fails_with([other for other in every if other != suspect]):
                return suspect.verdict()
            break
    if fails_with([]):
        if not attempt({**environ, "JUPYTER_NO_CONFIG": "1"}, problem.step):
            for suspect in shared_files():
                if suspect.has_to_do_with(problem.reason, environ):
                    return suspect.verdict()
        if not os.access(Path.home(), os.W_OK):
            return (
                f"your home folder {Path.home()} cannot be written, and JupyterLab keeps files "
                "there: set HOME to a folder that is yours."
            )
        return f"remove .venv and run `{COMMAND} setup`; if it stays, report it."
    works, fails = 0, len(every) + 1  # so many of them present
    while fails - works > 1:
        middle = (works + fails) // 2
        if fails_with(every[:middle]):
            fails = middle
        else:
            works = middle
    if fails > len(every):
        return "the next trial went well: run it again, and report it if it stays."
    return every[fails - 1].verdict()


def attempt_with(
    present: Sequence[Suspect],
    every: Sequence[Suspect],
    environ: Mapping[str, str],
    last: str,
) -> Problem | None:
    """A trial with only these of the suspects."""
    from jupyter_core import paths

    folders = {"JUPYTER_CONFIG_DIR": paths.jupyter_config_dir(), "IPYTHONDIR": ipython_dir()}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        variables = dict(environ)
        for name in folders:
            variables[name] = str(Path(place, name))
        for suspect in set(every) - set(present):
            if not suspect.file:
                variables.pop(suspect.variable, None)
            elif suspect.file == ".":
                variables[suspect.variable] = str(Path(place, suspect.variable))
        for suspect in present:
            if suspect.variable in folders:
                copy = Path(place, suspect.variable, suspect.file)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(folders[suspect.variable], suspect.file), copy)
        return attempt(variables, last)
