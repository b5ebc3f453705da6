#!/usr/bin/env python3
"""One by One: prepare, open, test and check the course. It needs nothing but Python."""

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
    if "ipykernel" in sys.modules:
        todo = "choose the kernel of the course's .venv, which `python3 course.py setup` makes."
    sys.exit(
        f"problem: the course needs Python {NEEDED_PYTHON[0]}.{NEEDED_PYTHON[1]} or newer, and "
        f"{executable} is {version[0]}.{version[1]}: {todo}"
    )


refuse_old_python()

import os


def name_what_hides(kind, error, trace):
    """Report an error: as the file that hides a module of Python's own, where there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    own = {f"{name}.py" for name in sys.stdlib_module_names}
    files = sorted(own.intersection(os.listdir(here)))
    if not files or not issubclass(kind, Exception):
        return sys.__excepthook__(kind, error, trace)
    text = (
        f"problem: {files[0]} in {here} hides the module of that name that Python brings: give "
        "the file another name, and run the same command again."
    )
    try:
        from utils import language

        text = language.translate(text)
    except Exception:  # it may need the hidden module
        pass
    print(text, file=sys.stderr)


def import_from_here():
    """Import nothing of another Python, and the course's own modules from its folder."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    foreign = {os.path.abspath(folder) for folder in folders if folder}
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) not in foreign]
    import site
    import sysconfig
    import warnings

    if "PYTHONWARNINGS" in os.environ:  # a warning is no error in here
        warnings.simplefilter("ignore")

    # Whoever names this Python's own folders in PYTHONPATH still needs them.
    own = [*sysconfig.get_paths().values(), *site.getsitepackages()]
    sys.path += [path for path in own if path in foreign and path not in sys.path]
    here = os.path.dirname(os.path.abspath(__file__))
    if here not in sys.path[:1]:  # PYTHONSAFEPATH leaves it out
        sys.path.insert(0, here)


if __name__ == "__main__":
    sys.excepthook = name_what_hides
    import_from_here()

import subprocess
from pathlib import Path

from tools import (
    COMMAND,
    PERSONAL,
    ROOT,
    CourseError,
    Parser,
    data_files,
    environment,
    exit_code,
    jupyterlab,
    programs,
    say,
)
from tools.environment import complete_host
from tools.programs import hand_over
from utils import language

# --- what the first cell of a chapter calls -------------------------------------------------------


def start(folder):
    """Work in `folder` of the course, as JupyterLab does, and with all packages.

    Older notebooks do the first themselves and call `complete_host`.
    """
    os.chdir(ROOT / folder)
    complete_host()


# --- what runs in the course's environment --------------------------------------------------------


def lab(options):
    passed = jupyterlab.choose_language(options.passed)
    python = environment.prepare(cpu="--cpu" in passed)
    data_files.check_sizes()
    passed = [argument for argument in passed if argument != "--cpu"]
    command, variables = jupyterlab.command(python, passed)
    return hand_over(command, **variables)


def test(options):
    passed = [argument for argument in options.passed if argument != "--all"]
    variables = dict.fromkeys(PERSONAL)
    if "--all" in options.passed:
        variables["COURSE_LONG"] = "1"
    if not any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in passed):
        passed += ["-n", "2"]  # two at a time; conftest.py keeps a notebook's cells together
    return hand_over([environment.prepare(), "-m", "pytest", "--nbval", *passed], **variables)


def tool(*module):
    """What runs a module of tools/ on the command's arguments."""
    return lambda options: hand_over([environment.prepare(), "-m", *module, *options.passed])


# --- what runs in any Python ----------------------------------------------------------------------


def doctor(options):
    from tools import doctor

    return doctor.check_course()


def setup(options):
    if options.here:
        if options.cpu:
            raise CourseError("--here keeps the torch that is there: leave out --here or --cpu.")
        environment.complete(lab=True)
        python = sys.executable
    else:
        python = environment.bring_up_to_date(options.cpu)
    if options.authors:
        environment.equip_authors(python)
    data_files.check_sizes()
    unpack = [python, "-m", "tools.data_files"]
    if subprocess.call(unpack, cwd=ROOT, env=programs.environ()) != 0:
        return 1
    say(f"Ready: {python}\nGo on with `{COMMAND} lab`.")
    return 0


def progress(options):
    from exercises import record as progress

    say("\n".join(progress.table()))


def reset(options):
    from tools import update

    say("\n".join(update.reset(options.name)))


def update(options):
    from tools import update

    if options.old is None:
        say("\n".join(update.update()))
    else:
        # Windows hands `"C:\old copy\"` over with the last quote, which no file name can have.
        old = options.old.rstrip('"') if os.name == "nt" else options.old
        say("\n".join(update.take_from(Path(old))))
    if environment.is_outdated():
        say(f"The course now wants newer packages: run `{COMMAND} setup`.")


# --- the command line -----------------------------------------------------------------------------

# The function, what it does and, if another program reads what follows the name, what that is.
COMMANDS = {
    "lab": (
        lab,
        "open JupyterLab on chapter 0; --language zh in Chinese, en in English, --cpu as for "
        "setup, the rest goes to JupyterLab",
        "[--language en|zh] [--cpu] [...]",
    ),
    "test": (
        test,
        "run all tests and notebooks; --all adds the long tests, the rest goes to pytest",
        "[--all] [...]",
    ),
    "setup": (setup, "only the preparation that both need", None),
    "doctor": (doctor, "say what is in order on this machine and what is not", None),
    "progress": (progress, "show which exercises are right, wrong, open, not tried", None),
    "reset": (reset, "put an exercise or a whole chapter back to its start", None),
    "update": (update, "fetch the newest course; your answers stay", None),
    "cards": (tool("tools.recall"), "make cards for Anki of all questions and terms", "[FILE]"),
    "mark": (
        tool("tools.marking"),
        "for teachers: run a class's notebooks and count the right answers",
        "FOLDER CHAPTER",
    ),
    "run": (
        tool("tools.authoring", "run"),
        "for authors: execute chapters and store their outputs",
        "[--overwrite] [CHAPTER ...]",
    ),
    "results": (
        tool("tools.numbers_in_text"),
        "for authors: bring the numbers in the text up to date",
        "[--check]",
    ),
    "translate": (
        tool("tools.translation", "renew"),
        "for authors: bring the Chinese edition in step with the English",
        "[--check]",
    ),
    "site": (tool("tools.site.build"), "for authors: build the web site into _site/", "[FOLDER]"),
    "pdf": (
        tool("tools.site.pdf"),
        "for authors: print the course into a PDF file, with Chromium",
        "[FILE]",
    ),
    "licences": (tool("tools.licences"), "for authors: list the licences of all packages", ""),
    "address": (
        tool("tools.address"),
        "for authors: change the repository's address",
        "OWNER/NAME",
    ),
}
HELP = (["-h"], ["--help"])


def make_parser():
    parser = Parser(COMMAND, __doc__)
    every = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True,
        description=f"`{COMMAND} COMMAND --help` says more.",
    )  # fmt: skip
    commands = {}
    for name, (function, does, follows) in COMMANDS.items():
        usage = None if follows is None else f"{COMMAND} {name} {follows}"
        about = f"{does[0].upper()}{does[1:]}."
        does, about = language.translate(does), language.translate(about)
        commands[name] = every.add_parser(name, help=does, description=about, usage=usage)
        commands[name].set_defaults(function=function)

    where = commands["setup"].add_mutually_exclusive_group()
    here = "in the environment that runs this, keeping its torch"
    where.add_argument("--here", action="store_true", help=language.translate(here))
    authors = "also what authors need: ruff, readable diffs of notebooks"
    where.add_argument("--authors", action="store_true", help=language.translate(authors))
    cpu = "on Linux, take torch without CUDA: 0.4 GB to download, not 3"
    commands["setup"].add_argument("--cpu", action="store_true", help=language.translate(cpu))
    name = "an exercise (nin.2) or a chapter (04_nin)"
    commands["reset"].add_argument("name", metavar="NAME", help=language.translate(name))
    old = "take answers from an older folder, ZIP file or notebook instead"
    commands["update"].add_argument(
        "--from", dest="old", metavar="OLD", help=language.translate(old)
    )
    return parser


def main(arguments):
    for stream in (sys.stdout, sys.stderr):
        # A path with letters that the console does not know is shown, not crashed on.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    name, rest = arguments[:1] or ["--help"], arguments[1:]
    # argparse cannot pass on what follows: it takes options right after the name for its own.
    passed = []
    if name[0] in COMMANDS and COMMANDS[name[0]][2] is not None and rest[:1] not in HELP:
        passed, rest = rest, []
    options = make_parser().parse_args(name + rest)
    options.passed = passed

    def run():
        with environment.disk_errors_explained():
            return options.function(options)

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
