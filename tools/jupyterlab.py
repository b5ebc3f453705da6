"""How `course.py lab` opens JupyterLab: in which language, on which chapter, with or without a
browser.

Standard library only.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping

from tools import ROOT, CourseError, say
from utils import language


def command(python: str, arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command that opens JupyterLab with its user's arguments, and its variables."""
    chosen = language.language()
    start, variables = server(python, language=chosen)
    if not has_browser():
        say("No browser was found here: open the address that JupyterLab prints below.")
        start.append("--no-browser")
    if not any(argument.endswith(".ipynb") for argument in arguments):
        # Not as a file to open: then the address that is printed would lead to an empty launcher.
        first = "chapters/00_start_here.ipynb"
        if chosen == "zh" and (ROOT / "chapters_zh" / "00_start_here.ipynb").exists():
            first = "chapters_zh/00_start_here.ipynb"
        start.append(f"--LabApp.default_url=/lab/tree/{first}")
    return [*start, *arguments], variables


def server(
    python: str, given: Mapping[str, str] = os.environ, language: str = "en"
) -> tuple[list[str], dict[str, str]]:
    """The command that starts JupyterLab on the course, and its variables.

    language: "zh" makes its menus Chinese if the language pack is installed and the user has chosen
    no other language in the menu.
    """
    command = [python, "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    # Nothing leaves this machine: JupyterLab would ask its makers for news and newer versions.
    command.append("--LabApp.news_url=None")
    command.append("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # as in a container; JupyterLab refuses otherwise
    # .jupyter/ switches off the question whether it may ask for news, and has the kernel python3:
    # that of the Python that runs JupyterLab. A user's kernel of that name would come first.
    own, variables = str(ROOT / ".jupyter"), {}
    for name in ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH"):
        variables[name] = os.pathsep.join(filter(None, [own, given.get(name, "")]))
    if language == "zh":
        settings = os.path.join(own, "zh")
        variables["JUPYTER_CONFIG_PATH"] = os.pathsep.join(
            [settings, variables["JUPYTER_CONFIG_PATH"]]
        )
    return command, variables


def choose_language(arguments):
    """Keep the choice of `--language zh` (or en), and return the other arguments."""
    others, wanted = [], None
    for argument in arguments:
        name, sign, value = argument.partition("=")
        if wanted == "":
            wanted = argument
        elif name == "--language":
            wanted = value if sign else ""
        else:
            others.append(argument)
    if wanted is not None:
        if wanted not in language.LANGUAGES:
            names = " or ".join(language.LANGUAGES)
            raise CourseError(f"--language is {names}, not {wanted!r}: write `--language zh`.")
        try:
            language.store(wanted)
        except OSError as error:
            path = language.settings_path()
            raise CourseError(
                f"{path} cannot be written ({error.strerror}), so the language is not kept: "
                f"set the variable COURSE_LANGUAGE to {wanted} instead."
            ) from None
    return others


def has_browser():
    """Whether a window can open; a browser in the terminal would only be in the way."""
    on_screen = os.name == "nt" or sys.platform == "darwin" or "BROWSER" in os.environ
    if not (on_screen or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
