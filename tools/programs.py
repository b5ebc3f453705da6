"""How the course starts other programs: which of the user's variables and settings reach them.

A variable that breaks what the course starts, and that it can do without, is left out. Standard
library only.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from tools import ROOT, CourseError

# Python's own: they name modules and folders of another Python, or switch off what code relies on
# (assertions, for example). matplotlib's: figures would open elsewhere, or nowhere.
LEFT_OUT = (
    "MPLBACKEND",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONOPTIMIZE",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONSAFEPATH",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy")  # in small letters and in capitals
# What of pip's settings says where packages come from. All others are left out: a target, a
# prefix, a dry run and the like would lead an installation elsewhere, in a file as in a variable.
PIP_SETTINGS = (
    *("index-url", "pypi-url", "extra-index-url", "find-links", "no-index", "trusted-host"),
    *("proxy", "cert", "client-cert", "keyring-provider", "use-feature", "use-deprecated"),
    *("timeout", "default-timeout", "retries", "resume-retries", "cache-dir", "no-cache-dir"),
    "break-system-packages",
)


def environ(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables for what the course starts."""
    return without(given)[0]


def hand_over(command: list[str], **variables: str | None) -> int:
    """Run the command in the course's folder as if it had been called directly.

    variables: more of its environment; None takes one away.
    """
    # UTF-8 mode, or the console's old code page would break on Windows.
    given = {"PYTHONUTF8": "1", **environ(), **variables}
    given = {name: value for name, value in given.items() if value is not None}
    os.chdir(ROOT)
    sys.stdout.flush()
    if os.name != "nt":
        os.execve(command[0], command, given)  # signals and exit code are the command's own
    process = subprocess.Popen(command, env=given)
    while True:
        # Ctrl-C reaches the command too, and it alone decides what follows.
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def left_out(given: Mapping[str, str] = os.environ) -> list[str]:
    """The names of the variables that are set and do not reach what the course starts."""
    return without(given)[1]


def without(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    kept, left = {}, []
    for name, value in given.items():
        if name.lower() in PROXIES:
            value, was = http_proxy(value), value
            if was and not value:
                left.append(name)
        elif name.upper() in LEFT_OUT:
            left += [name] if value else []
            value = ""
        if value or not given[name]:
            kept[name] = value
    return kept, sorted(left)


def http_proxy(address: str) -> str:
    """The address of a proxy as pip, JupyterLab and downloads need it; nothing if they cannot.

    Programs for proxies tell their users to set `127.0.0.1:7890`, or SOCKS, which needs packages
    that are in no environment yet.
    """
    address = address.strip().strip("'\"")
    if address and "://" not in address:
        address = f"http://{address}"
    try:
        parts = urlsplit(address)
        usable = parts.scheme.lower() in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half of an IPv6 address
        return ""
    return address if usable else ""


def pip_environ(python: str) -> dict[str, str]:
    """The variables for a pip that installs where it is told to, from where its user says."""
    given = {**environ(), "PYTHONIOENCODING": "utf-8"}
    plain = {name: value for name, value in given.items() if not name.upper().startswith("PIP_")}
    # Settings called `python` and `user` would have their meaning for `config list`, too.
    command = [python, "-m", "pip", "--python", python, "config", "list"]
    asked = {**plain, "PIP_USER": "0"}
    if "PIP_CONFIG_FILE" in given:
        asked["PIP_CONFIG_FILE"] = given["PIP_CONFIG_FILE"]
    options = {"capture_output": True, "encoding": "utf-8", "errors": "replace"}
    try:
        done = subprocess.run(command, env=asked, **options)
    except OSError as error:
        raise CourseError(f"{python} does not start ({error.strerror}): delete .venv.") from None
    if done.returncode and "onfiguration file" in done.stderr:
        reason = " ".join(done.stderr.removeprefix("ERROR: ").split())
        raise CourseError(f"pip cannot read its settings, so mend or rename that file: {reason}")
    settings: dict[tuple[int, str], str] = {}
    for line in done.stdout.splitlines():
        # global.index-url='https://…', and then those of `pip install`
        if match := re.fullmatch(r"(global|install)\.([\w-]+)=(['\"].*['\"])", line):
            place = ("global", "install").index(match[1])
            settings[place, match[2]] = " ".join(ast.literal_eval(match[3]).split())
    found = {name: value for (_, name), value in sorted(settings.items())}
    for name in PIP_SETTINGS:
        variable = "PIP_" + name.upper().replace("-", "_")
        if value := given.get(variable) or found.get(name):
            plain[variable] = value
    return {**plain, "PIP_CONFIG_FILE": os.devnull}
