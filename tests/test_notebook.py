"""Where code runs is told by the shell of IPython, and by nothing that has to be imported."""

import sys
from types import SimpleNamespace

import pytest

from utils import notebook


@pytest.mark.parametrize(
    ("shell", "found"),
    [
        (None, False),  # IPython is imported, but no shell runs
        (SimpleNamespace(), False),  # IPython in a terminal
        (SimpleNamespace(kernel="a kernel"), True),
    ],
)
def test_a_notebook_is_a_shell_with_a_kernel(monkeypatch, shell, found):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert notebook.in_notebook() is found
    assert notebook.shell() is (shell if found else None)


def test_without_ipython_it_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert notebook.shell() is None and not notebook.in_notebook()
    assert "IPython" not in sys.modules


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), (None, False)])
def test_under_pytest_is_what_the_environment_says(monkeypatch, value, expected):
    if value is None:
        monkeypatch.delenv("COURSE_UNDER_PYTEST")
    else:
        monkeypatch.setenv("COURSE_UNDER_PYTEST", value)
    assert notebook.under_pytest() is expected
