"""pytest for the course: what tests and the kernels of notebooks find, and which tests run.

pytest --nbval                         unit tests and every chapter
pytest --nbval --strict-exercises      exercises that are still open fail as well
pytest --nbval --exercise-report=FILE  the scoreboard as JSON too
COURSE_LONG=1 pytest --nbval           also the tests marked `long`
pytest tests --seed N                  unit tests with other random numbers
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from tools import PERSONAL
from utils.leftovers import left_in

ROOT = Path(__file__).resolve().parent

# nbval comes by the second line and not by itself (pyproject.toml), so that the first one is in
# time: jsonschema does well without this package, which needs three seconds to start.
sys.modules.setdefault("rfc3987_syntax", None)
pytest_plugins = ["nbval.plugin", "tools.pytest_notebooks"]

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
# What somebody set for Python, IPython, Jupyter and matplotlib is not what the tests are about.
for name in PERSONAL:
    os.environ.pop(name, None)
own_folder = ""
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers take over the folder of the first process
    own_folder = tempfile.mkdtemp(prefix="one-by-one-")
    os.environ["IPYTHONDIR"] = os.path.join(own_folder, "ipython")
if matplotlib := importlib.util.find_spec("matplotlib"):
    path = Path(matplotlib.origin).parent / "mpl-data" / "matplotlibrc"
    os.environ["MATPLOTLIBRC"] = str(path)  # instead of the one in somebody's home
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

# One in the folder where Python runs would win nevertheless, so matplotlib starts elsewhere. Where
# it cannot write into the home, it sets MPLCONFIGDIR for all that follow. And it looks for fonts
# now, of which a notebook would print a line.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
with contextlib.chdir(tempfile.gettempdir()), contextlib.suppress(ImportError):
    importlib.import_module("matplotlib.font_manager")
logging.getLogger("matplotlib").setLevel(logging.NOTSET)
STARTS_ELSEWHERE = """
import contextlib, tempfile

with contextlib.chdir(tempfile.gettempdir()), contextlib.suppress(ImportError):
    import matplotlib

    del matplotlib
del contextlib, tempfile
"""
# Settings for all users of a machine come before those of a profile, and do not stay.
AS_IPYTHON_COMES = """
c.InlineBackend.figure_formats = {"png"}
c.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight"}
c.InlineBackend.rc = {}
c.InteractiveShell.ast_node_interactivity = "last_expr"
c.InteractiveShell.autocall = 0
c.InteractiveShellApp.code_to_run = ""
c.InteractiveShellApp.exec_files = []
c.InteractiveShellApp.exec_lines = []
c.InteractiveShellApp.extensions = []
c.InteractiveShellApp.gui = None
c.InteractiveShellApp.matplotlib = None
c.InteractiveShellApp.pylab = None
c.PlainTextFormatter.float_precision = ""
"""
if own_folder:
    startup = Path(own_folder, "ipython", "profile_default", "startup")
    startup.mkdir(parents=True)
    (startup / "00.py").write_text(STARTS_ELSEWHERE, encoding="ascii")
    (startup.parent / "ipython_config.py").write_text(AS_IPYTHON_COMES, encoding="ascii")


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


def pytest_unconfigure():
    if own_folder:
        shutil.rmtree(own_folder, ignore_errors=True)


def pytest_ignore_collect(collection_path):
    """Nothing is a test or a chapter that a system left in the folder."""
    if collection_path.is_relative_to(ROOT) and left_in(ROOT, collection_path):
        return True


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        dear_first(items)
    if os.environ.get("COURSE_LONG") != "1":
        reason = "takes minutes: `course.py test --all` runs it (or COURSE_LONG=1)"
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason=reason))


# These files have hundreds of parameters, each beginning with the id of an exercise, and no fixture
# that is dear to make.
BY_EXERCISE = ("test_exercises.py", "test_learner_answers.py", "test_mutation.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `-n`, a cell runs in the worker and kernel of the cells before it.

    Files of tests stay whole too, because of their fixtures, such as a site or a virtual
    environment. Files of exercises are spread, all tests of one exercise together.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            if not file.endswith(BY_EXERCISE):
                return file
            exercise = test.partition("[")[2].partition(" ")[0].rstrip("]")
            return f"{file} {exercise}"

    config.option.loadscopereorder = False  # see `dear_first`
    return ByFile(config, log)


def dear_first(items):
    """Begin with what takes minutes as one piece, so that no worker works alone at the end."""
    items.sort(key=lambda item: (item.path.suffix != ".ipynb", item.path.name in BY_EXERCISE))


@pytest.fixture(autouse=True)
def random_numbers(request):
    """Every test begins with the same random numbers: those of `--seed`. See tests/seeds.py too."""
    seed = request.config.getoption("--seed")
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
