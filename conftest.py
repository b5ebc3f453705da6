"""pytest for the course: what tests and the kernels of notebooks find, and which tests run.

pytest --nbval                         unit tests and every chapter
pytest --nbval --strict-exercises      exercises that are still open fail as well
pytest --nbval --exercise-report=FILE  the scoreboard as JSON too
COURSE_LONG=1 pytest --nbval           also the tests marked `long`
pytest tests --seed N                  unit tests with other random numbers
"""

import os
import random
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent

# nbval comes by the second line and not by itself (pyproject.toml), so that the first one is in
# time: jsonschema does well without this package, which needs three seconds to start.
sys.modules.setdefault("rfc3987_syntax", None)
pytest_plugins = ["nbval.plugin", "tools.pytest_notebooks"]

collect_ignore_glob = ["**/.ipynb_checkpoints/*"]

# Inherited by kernels and by what the tests start. `utils` must be found even where a notebook's
# first cell failed.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)
os.environ["MPLBACKEND"] = "Agg"
os.environ["COURSE_UNDER_PYTEST"] = "1"
os.environ.setdefault("COURSE_BUDGET", "cpu")
# On Windows what the tests start would otherwise write in the code page of the country.
os.environ.setdefault("PYTHONUTF8", "1")
# Threads that wait for each other sleep instead of spinning: on a busy machine training in a
# notebook is then several times faster. Workers of pytest-xdist share the cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))


def pytest_addoption(parser):
    parser.getgroup("course").addoption(
        "--seed", type=int, default=0, metavar="N", help="other random numbers in the unit tests"
    )


def pytest_configure(config):
    # A shell lets what it starts in the background ignore Ctrl-C. Tests interrupt what they start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "long: takes minutes; runs where COURSE_LONG=1 is set")
    os.environ["COURSE_TEST_SEED"] = str(config.getoption("--seed"))


def pytest_collection_modifyitems(items):
    if os.environ.get("COURSE_LONG") != "1":
        reason = "takes minutes: `course.py test --all` runs it (or COURSE_LONG=1)"
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `-n`, a cell runs in the worker and kernel of the cells before it.

    Files of tests stay whole too, because of their fixtures; what has parameters is spread.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return nodeid if "[" in nodeid and file.endswith(".py") else file

    return ByFile(config, log)


@pytest.fixture(autouse=True)
def random_numbers(request):
    """Every test begins with the same random numbers: those of `--seed`. See tests/seeds.py too."""
    seed = request.config.getoption("--seed")
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
