"""`course.py doctor` tries what `lab` does: server, kernel, figure; and finds what stops it.

Most of these start JupyterLab for real, in a home of their own.
"""

import os
from pathlib import Path

import pytest

from tools import CourseError, trial


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home that holds nothing; what is set there counts for what a test starts."""
    for name in ("MPLBACKEND", "PYTHONPATH", "JUPYTER_CONFIG_DIR", "JUPYTER_PATH", "IPYTHONDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("COURSE_BUDGET", "smoke")
    return tmp_path


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_what_lab_leaves_out_does_not_stop_it(home, monkeypatch):
    """Proxies that JupyterLab cannot use, another numpy, figures elsewhere, another kernel."""
    write(home / "foreign" / "numpy" / "__init__.py", "raise ImportError('foreign')")
    kernel = '{"argv": ["/nowhere/python"], "display_name": "x", "language": "python"}'
    write(home / ".local/share/jupyter/kernels/python3/kernel.json", kernel)
    for name, value in {
        "JUPYTER_PREFER_ENV_PATH": "0",
        "ALL_PROXY": "socks5://127.0.0.1:7890",
        "http_proxy": "127.0.0.1:7890",
        "MPLBACKEND": "TkAgg",
        "PYTHONPATH": str(home / "foreign"),
        "PYTHONSAFEPATH": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert trial.check_lab() == "JupyterLab starts, and a notebook trains and draws"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("jupyter_server_config.py", 'c.ServerApp.contents_manager_class = "gone.Manager"\n'),
        ("jupyter_server_config.json", '{"ServerApp": {"kernel_manager_class": "gone.Manager"}}'),
    ],
)
def test_a_file_of_settings_that_stops_jupyterlab_is_named(home, file, text):
    guilty = write(home / ".jupyter" / file, text)
    write(home / ".jupyter" / "jupyter_notebook_config.py", "c.ServerApp.open_browser = True\n")
    with pytest.raises(CourseError) as raised:
        trial.check_lab()
    assert "could not be imported" in str(raised.value)
    assert str(raised.value).endswith(f"the cause is the file {guilty}: rename it.")


def test_a_variable_that_stops_jupyterlab_is_named(home, monkeypatch):
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "perhaps")
    monkeypatch.setattr(trial, "attempt", attempt_without("JUPYTER_PREFER_ENV_PATH"))
    with pytest.raises(CourseError, match="the variable JUPYTER_PREFER_ENV_PATH: unset it"):
        trial.check_lab()


def attempt_without(*guilty: str):
    def attempt(environ, last="cell"):
        return trial.Problem("something", "server") if set(guilty) & environ.keys() else None

    return attempt


def test_a_kernel_that_dies_is_noticed(home):
    write(home / ".ipython/profile_default/startup/00.py", "import os; os._exit(3)\n")
    problem = trial.attempt(os.environ)
    assert problem == trial.Problem("the kernel of the notebook dies", "kernel")
    names = [suspect.name for suspect in trial.suspects()]
    assert f"the file {home / '.ipython/profile_default/startup/00.py'}" in names


def test_a_figure_that_is_not_shown_is_noticed(home):
    text = "import matplotlib.pyplot as plt\nplt.switch_backend('Agg')\n"
    write(home / ".ipython/profile_default/startup/00.py", text)
    assert "a figure is not shown" in trial.attempt(os.environ).reason


# --- finding the cause, without JupyterLab -------------------------------------------------------


def every(*names: str) -> list[trial.Suspect]:
    return [trial.Suspect(f"the variable {name}", "unset it", name) for name in names]


@pytest.mark.parametrize("guilty", [*"ABCDEFG", "CF", ""])
def test_the_first_suspect_that_stops_it_is_found(monkeypatch, guilty):
    monkeypatch.setattr(trial, "attempt", attempt_without(*guilty))
    problem = trial.Problem("something", "server")
    said = trial.cause(problem, every(*"ABCDEFG"), dict.fromkeys("ABCDEFGX", "1"))
    if guilty:
        assert said == f"the cause is the variable {guilty[0]}: unset it."
    else:
        assert said.startswith("the next trial went well")


def test_what_no_suspect_explains_is_the_installation(monkeypatch):
    monkeypatch.setattr(trial, "attempt", attempt_without("X"))
    said = trial.cause(
        trial.Problem("something", "server"), every(*"AB"), dict.fromkeys("ABX", "1")
    )
    assert said.startswith("remove .venv and run `")


def test_a_file_of_settings_for_all_users_is_named(home, monkeypatch):
    from jupyter_core import paths

    text = '{"ServerApp": {"contents_manager_class": "gone.Manager"}}'
    guilty = write(home / "shared" / "jupyter_server_config.json", text)
    monkeypatch.setattr(paths, "SYSTEM_CONFIG_PATH", [str(guilty.parent)])
    monkeypatch.setattr(
        trial,
        "attempt",
        lambda environ, last="cell": (
            None if "JUPYTER_NO_CONFIG" in environ else trial.Problem("x", "server")
        ),
    )
    problem = trial.Problem("The 'contents_manager_class' trait", "server")
    assert trial.cause(problem, [], {}) == f"the cause is the file {guilty}: rename it."


@pytest.mark.skipif(os.name == "nt", reason="has no HOME")
def test_a_home_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    monkeypatch.setattr(trial, "attempt", attempt_without("X"))
    said = trial.cause(trial.Problem("something", "server"), [], {"X": "1"})
    assert said.startswith(f"your home folder {tmp_path / 'none'} cannot be written")


def test_what_the_error_names_is_tried_first(monkeypatch):
    tried = []

    def attempt(environ, last="cell"):
        tried.append(sorted(environ.keys() & set("ABCDEFGH")))
        return None

    monkeypatch.setattr(trial, "attempt", attempt)
    file = trial.Suspect(
        "the file f", "rename it", "JUPYTER_CONFIG_DIR", "f.py", "x = gone.Manager"
    )
    monkeypatch.setattr(trial.shutil, "copy", lambda source, target: None)
    problem = trial.Problem("The 'gone.Manager' trait", "server")
    said = trial.cause(problem, [*every(*"ABCDEFGH"), file], dict.fromkeys("ABCDEFGH", "1"))
    assert said == "the cause is the file f: rename it." and tried == [list("ABCDEFGH")]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            "[I 2026-01-01 10:00:00.000 ServerApp] fine\n[C 2026-01-01 10:00:00.000 ServerApp] Bad "
            "config: The 'x' trait of <a.b.ServerApp object at 0x7f00> instance must be\n\n",
            "Bad config: The 'x' trait of ServerApp instance must be",
        ),
        ("Traceback:\n  File x\nImportError: no socksio.\n", "ImportError: no socksio"),
        ("/python: No module named jupyterlab\n", "/python: No module named jupyterlab"),
        ("", ""),
    ],
)
def test_the_last_serious_line_of_a_log_is_the_reason(log, expected):
    assert trial.reason(log) == expected
