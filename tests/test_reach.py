"""The course from an empty machine, under another address, and without a network.

Cells are run as Colab runs them: the notebook alone in an empty folder, and a fetch of the course,
which comes from a bare repository here. git takes that for the published one by its own settings,
so the cells are those of the chapters, unchanged.
"""

import functools
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest
import stored

from tools import CourseError, address, authoring, cells
from tools.clone import Clone

ROOT = Path(__file__).resolve().parent.parent
STEM = stored.STEMS[0]
NEW = "/".join(("ada", "cnn-course"))  # in pieces: this file is rewritten too

needs_clone = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(),
    reason="this is no clone, or git is not installed",
)


def clean_environment(**variables):
    """What a learner's shell has: nothing of what pytest and conftest.py set."""
    other = ("COURSE_", "GIT_", "MPLBACKEND", "PYTEST", "PYTHONPATH")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(other)}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", **variables}


# --- the first cells, in Colab, Kaggle, and in a clone -------------------------------------------

# Before the cells: write down which programs they start. After them: what a learner has then.
WATCH = """
import sys
started = []
def watch(event, args):
    if event == "subprocess.Popen":
        started.append(args[1])
sys.addaudithook(watch)
"""
REPORT = """
import json, os, sys
import utils
words = [command.split() if isinstance(command, str) else list(map(os.fsdecode, command))
         for command in started]  # on Windows it is one string
found = {"folder": os.getcwd(), "path": sys.path[0], "utils": utils.__file__, "started": words}
"""
COMPUTE = """
import importlib.metadata
import torch
from utils import networks
found["versions"] = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
found["modules"] = {n: sys.modules[n].__file__ for n in ("torch", "numpy")}
found["logits"] = list(networks.build("lenet")(torch.zeros(2, 1, 28, 28)).shape)
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The working tree as a bare repository, and git's settings that lead there."""
    bare = tmp_path_factory.mktemp("published") / "course.git"
    stored.publish(bare)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{bare.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://github.com/{address.repository()}",
    }


def first_cells(stem):
    """The sources of the two code cells that begin a chapter."""
    cells = {c.metadata.get("role"): c.source for c in stored.chapter(stem).cells}
    return [cells["bootstrap"], cells["device"]]


def start(cells, folder, *after, **variables):
    """Runs cells in a folder, and then more code."""
    source = "\n".join([WATCH, *cells, REPORT, *after, "print(json.dumps(found))"])
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=folder,
        env=clean_environment(**variables),
        capture_output=True,
        encoding="utf-8",
    )


def report(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def programs(found):
    """What the cells started, without what torch asks the system."""
    lines = [" ".join(words).replace('"', " ").split() for words in found["started"]]
    starts = [[i for i, w in enumerate(line) if Path(w).stem in ("git", "pip")] for line in lines]
    return [line[at[0] :] for line, at in zip(lines, starts, strict=True) if at]


@needs_clone
def test_a_chapter_starts_on_an_empty_machine(published, tmp_path):
    found = report(start(first_cells(STEM), tmp_path, COMPUTE, **published))
    clone = tmp_path / "one-by-one"
    assert Path(found["folder"]).samefile(clone / "chapters")
    assert Path(found["path"]).samefile(clone)
    assert Path(found["utils"]).samefile(clone / "utils" / "__init__.py")
    assert (clone / "data" / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz").is_file()
    assert [words[:4] for words in programs(found)] == [["git", "clone", "--depth", "1"]]
    here = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    assert found["versions"] == here
    for module in found["modules"].values():  # the host's own, not the clone's
        assert not Path(module).is_relative_to(tmp_path)
    assert found["logits"] == [2, 10]


@pytest.mark.parametrize("stem", stored.STEMS)
def test_every_chapter_starts_alike(stem):
    assert first_cells(stem) == first_cells(STEM)
    assert first_cells(stem)[0].endswith('\ncourse.start("chapters")')


@needs_clone
def test_a_chapter_in_a_clone_fetches_nothing(published, tmp_path):
    """Neither in the clone itself nor when the kernel restarts beside a fetched one."""
    bootstrap, _ = first_cells(STEM)
    report(start([bootstrap], tmp_path, **published))
    nowhere = {**published, "GIT_CONFIG_KEY_0": "url.file:///nowhere.insteadOf"}
    for folder in (tmp_path, tmp_path / "one-by-one", tmp_path / "one-by-one" / "chapters"):
        found = report(start([bootstrap], folder, **nowhere))
        assert programs(found) == [], folder
        assert Path(found["utils"]).samefile(tmp_path / "one-by-one" / "utils" / "__init__.py")


@pytest.mark.parametrize("missing", ["git", "network"])
def test_without_git_or_network_the_first_cell_says_what_to_do(missing, tmp_path):
    variables = {"PATH": str(tmp_path)}
    (tmp_path / LAST_FILE).parent.mkdir()
    (tmp_path / LAST_FILE).touch()  # a learner's own project
    if missing == "network":
        url = f"https://github.com/{address.repository()}"
        setting = {"KEY_0": "url.file:///nowhere.insteadOf", "VALUE_0": url, "COUNT": "1"}
        variables = {f"GIT_CONFIG_{key}": value for key, value in setting.items()}
    done = start(first_cells(STEM), tmp_path, **variables)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: git could not fetch https://github.com/")
    assert "is it installed, and the internet on (Kaggle: Settings)?" in last
    assert ("git: not found" if missing == "git" else "fatal: '/nowhere") in done.stderr
    assert not (tmp_path / "one-by-one").exists()


@needs_clone
def test_a_fetch_that_was_interrupted_is_not_in_the_way(published, tmp_path):
    """git refuses a folder with something in it, and the course cannot know whose it is."""
    bootstrap, _ = first_cells(STEM)
    shutil.copytree(ROOT / "exercises", tmp_path / "one-by-one" / "exercises")
    new = tmp_path / "one-by-one-new"
    for started in (["git"], []):  # fetched once, and found after the kernel's restart
        found = report(start([bootstrap], tmp_path, **published))
        assert [words[0] for words in programs(found)] == started
        assert Path(found["utils"]).samefile(new / "utils" / "__init__.py")
    (new / LAST_FILE).unlink()
    found = report(start([bootstrap], tmp_path, **published))
    assert Path(found["path"]).samefile(tmp_path / "one-by-one-new-new")


# A copy counts as whole if it has this file: git and ZIP files bring it last.
LAST_FILE = "utils/training.py"


@needs_clone
def test_a_whole_copy_has_its_last_file():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    assert names.stdout.splitlines()[-1] == LAST_FILE
    assert f'last = "{LAST_FILE}"' in first_cells(STEM)[0]


@pytest.mark.parametrize(
    ("copy", "notebook"),
    [
        ("one-by-one-main", "."),  # beside the notebook, as a browser leaves both
        ("one-by-one-main", "notebooks/mine"),  # above it
        ("one-by-one-main/one-by-one-main", "."),  # as "Extract all" of Windows unpacks it
        ("one-by-one-main (1)", "."),
        ("one-by-one-1.0", "notebooks"),
        ("one-by-one-main", "one-by-one-main/chapters"),
        ("my-course", "."),
        ("One-By-One-main", "."),
    ],
)
def test_a_copy_from_a_zip_file_is_found(tmp_path, copy, notebook):
    folder, root = tmp_path / notebook, tmp_path / copy
    for other in (".", "one-by-one", "a"):  # half a copy, and projects that have such a file too
        (tmp_path / other / LAST_FILE).parent.mkdir(parents=True)
        (tmp_path / other / LAST_FILE).touch()
    ignored = shutil.ignore_patterns("__pycache__", "site")
    for name in ("utils", "exercises", "tools"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in ("course.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, root)
    for place in (folder, root / "chapters"):
        place.mkdir(parents=True, exist_ok=True)
    found = report(start(first_cells(STEM)[:1], folder))
    assert programs(found) == []
    assert Path(found["utils"]).samefile(root / "utils" / "__init__.py")
    assert Path(found["folder"]).samefile(root / "chapters")


# --- the repository's address --------------------------------------------------------------------

OURS = re.compile(
    r"(?:github\.com|colab\.research\.google\.com/github|mybinder\.org/v2/gh"
    r"|raw\.githubusercontent\.com|github\.io)/([\w-]+/[\w.-]*\w)(/\S*)?"
)


def addresses(text):
    """Repositories that a text links to, those of nbgitpuller's links included, and the rest."""
    return OURS.findall(unquote(text))


@needs_clone
def test_every_link_to_the_course_has_its_address():
    repository = address.repository()
    name = repository.split("/")[1]
    strays, found = [], 0
    for path, text in address.texts().items():
        for link, rest in addresses(text):
            found += link == repository
            ours = link.endswith(f"/{name}") or "/chapters/" in rest
            if ours and link != repository and not path.startswith("tests/"):
                strays.append(f"{path}: {link}{rest}")
    assert strays == []
    assert (
        found >= 4 * len(stored.STEMS) + 2
    )  # three links and a clone in each; the hub's; CITATION.cff


@needs_clone
@pytest.mark.parametrize("stem", stored.STEMS)
def test_a_chapter_opens_in_colab_kaggle_and_binder(stem):
    text = stored.chapter(stem).cells[0].source
    links = dict(re.findall(r"\[(Open in Colab|Kaggle|Binder)\]\((\S+)\)", text))
    slug, path = address.repository(), f"chapters/{stem}.ipynb"
    file = f"{slug}/blob/main/{path}"
    kaggle, binder = urlsplit(links["Kaggle"]), urlsplit(links["Binder"])
    assert links["Open in Colab"] == f"https://colab.research.google.com/github/{file}"
    assert parse_qs(kaggle.query) == {"src": [f"https://github.com/{file}"]}
    assert binder.path == f"/v2/gh/{slug}/main"
    assert parse_qs(binder.query) == {"urlpath": [f"lab/tree/{path}"]}
    assert (ROOT / path).is_file()


def hub_link(root):
    (link,) = re.findall(r"^https://HUB/\S+$", (root / "docs/teaching.md").read_text("utf-8"), re.M)
    return urlsplit(link).path, parse_qs(urlsplit(link).query)


def expected_hub_link(repository):
    folder = repository.split("/")[1]  # nbgitpuller names its clone after the repository
    return "/hub/user-redirect/git-pull", {
        "repo": [f"https://github.com/{repository}"],
        "branch": ["main"],
        "urlpath": [f"lab/tree/{folder}/chapters/00_start_here.ipynb"],
    }


def test_link_for_hubs_leads_to_chapter_0():
    assert hub_link(ROOT) == expected_hub_link(address.repository())
    assert (ROOT / "chapters" / "00_start_here.ipynb").is_file()


@needs_clone
def test_address_is_rewritten_everywhere_and_back(tmp_path, monkeypatch, capsys):
    old, texts = address.repository(), address.texts()
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "picture.png").write_bytes(b"\0" + old.encode())
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setattr(address, "ROOT", tmp_path)
    address.repository.cache_clear()

    assert address.main([NEW]) == 0
    changed = capsys.readouterr().out.split()
    assert {f"chapters/{stem}.ipynb" for stem in stored.STEMS} < set(changed)
    assert {"docs/teaching.md", "CITATION.cff"} < set(changed)
    assert changed[-1] == "pyproject.toml", "what says where to look is written last"
    after = {name: (tmp_path / name).read_bytes().decode() for name in texts}
    assert [name for name, text in after.items() if old in unquote(text)] == []
    assert {name for name in texts if after[name] != texts[name]} == set(changed)
    assert hub_link(tmp_path) == expected_hub_link(NEW)
    for stem in stored.STEMS:
        nb = json.loads(after[f"chapters/{stem}.ipynb"])
        first = [c for c in nb["cells"] if c["metadata"].get("role") in ("header", "bootstrap")]
        opening = "".join(line for cell in first for line in cell["source"])
        assert opening.count(NEW) == 4
        listed, now = nb["metadata"]["course"]["cells"], cells.fingerprints(nb)
        for id in ("header", "bootstrap"):  # else an update would take them for a learner's work
            assert listed[id] == now[id]
    assert (tmp_path / "picture.png").read_bytes() == b"\0" + old.encode()

    assert address.main([NEW]) == 0
    assert capsys.readouterr().out == "Nothing had to be changed.\n"
    assert address.main([old]) == 0
    assert {name: (tmp_path / name).read_bytes().decode() for name in texts} == texts


@needs_clone
def test_a_mirror_is_written_into_every_chapter_and_taken_out(tmp_path, monkeypatch, capsys):
    texts = {
        name: text
        for name, text in address.texts().items()
        if name == "pyproject.toml" or name.startswith("chapters/")
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setattr(address, "ROOT", tmp_path)

    def run(*arguments):
        address.repository.cache_clear()
        address.mirror.cache_clear()
        assert address.main(list(arguments)) == 0
        return capsys.readouterr().out.split()

    old = address.repository()
    there = f"https://mirror.example/{NEW}"  # with the same name as on GitHub
    try:
        assert run(NEW) and set(run(NEW, "--mirror", there)) == texts.keys()
        assert run(old) and address.mirror() == there, "the mirror's address is its own"
        for stem in stored.STEMS:
            nb = nbformat.read(tmp_path / f"chapters/{stem}.ipynb", as_version=4)
            # What `course.py run` would write: header and first cell, links and addresses.
            wanted = authoring.opening(stem, authoring.about_chapters())[:2]
            first = [c for c in nb.cells if c.metadata.get("role") in ("header", "bootstrap")]
            assert [cell.source for cell in first] == [cell.source for cell in wanted]
            assert f"[Mirror]({there}/blob/main/chapters/{stem}.ipynb)" in nb.cells[0].source
            (bootstrap,) = (c.source for c in nb.cells if c.metadata.get("role") == "bootstrap")
            assert f'addresses = "https://github.com/{old} {there}".split()' in bootstrap
            listed, now = nb["metadata"]["course"]["cells"], cells.fingerprints(nb)
            assert [listed[id] == now[id] for id in ("header", "bootstrap")] == [True, True]
        assert set(run(old, "--mirror", "")) == texts.keys()
        assert {n: (tmp_path / n).read_bytes().decode() for n in texts} == texts
    finally:
        address.repository.cache_clear()
        address.mirror.cache_clear()


@pytest.mark.parametrize("mirror", ["gitee", "OWNER/one-by-one", "https://host", 'https://h/a"b'])
def test_what_is_no_mirror_is_refused(mirror, capsys):
    assert address.main([address.repository(), "--mirror", mirror]) == 1
    assert capsys.readouterr().err.startswith("problem: A mirror is a whole address (https://")


@needs_clone
@pytest.mark.parametrize("works", ["github", "mirror", "neither"])
def test_the_first_cell_tries_the_mirror_after_github(published, tmp_path, works):
    github, there = f"https://github.com/{address.repository()}", "https://mirror.example/a/b"
    bootstrap = first_cells(STEM)[0].replace(f'"{github}"', f'"{github} {there}"')
    where = published["GIT_CONFIG_KEY_0"]
    dead = "url.file:///nowhere.insteadOf"
    keys = {"github": (where, dead), "mirror": (dead, where), "neither": (dead, dead)}[works]
    settings = dict(zip(("GIT_CONFIG_KEY_0", "GIT_CONFIG_KEY_1"), keys))
    settings |= {"GIT_CONFIG_VALUE_0": github, "GIT_CONFIG_VALUE_1": there, "GIT_CONFIG_COUNT": "2"}
    done = start([bootstrap], tmp_path, **settings)
    if works == "neither":
        assert done.returncode == 1 and f"git could not fetch {github}: is it" in done.stderr
    else:
        report(done)
        config = (tmp_path / "one-by-one" / ".git" / "config").read_text("utf-8")
        assert re.findall(r"url = (\S+)", config) == [github if works == "github" else there]


# --- what git says in more than one line ---------------------------------------------------------


@pytest.fixture
def clone(tmp_path):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return Clone(tmp_path)


def test_a_clone_of_another_user_is_named_with_its_remedy(clone):
    command = f"git config --global --add safe.directory {clone.root}"
    with pytest.raises(CourseError) as raised:
        clone.git("status", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")  # git's own switch for this
    assert f"belongs to another user, so git does not read it: run `{command}`" in str(raised.value)


@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock"])
def test_a_lock_that_git_left_is_named(clone, name):
    (clone.root / "file").touch()
    (clone.root / ".git" / name).touch()
    commit = ["-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "--allow-empty"]
    with pytest.raises(CourseError, match=rf"delete .*{name} if it is still there"):
        clone.git(*commit, "--message=x")


@pytest.mark.parametrize("works", [True, False])
def test_an_update_takes_the_mirror_where_github_fails(clone, published, works):
    source = published["GIT_CONFIG_KEY_0"].removeprefix("url.").removesuffix(".insteadOf")
    clone.git("remote", "add", "origin", "file:///nowhere")
    mirror = source if works else "file:///nowhere-else"
    (clone.root / "pyproject.toml").write_text(f'[tool.course]\nmirror = "{mirror}"\n')
    if works:
        commit, address = clone.fetch()
        assert address == mirror and re.fullmatch(r"[0-9a-f]{40}", commit)
    else:
        with pytest.raises(CourseError, match=r"could not be fetched from file:///nowhere, and"):
            clone.fetch()


@pytest.mark.parametrize("new", ["one-by-one", "https://github.com/a/b", "a/b/c", "a b/c", ""])
def test_what_is_no_address_is_refused(new, capsys):
    assert address.main([new]) == 1
    assert capsys.readouterr().err.startswith("problem: A repository on GitHub is OWNER/NAME, not")


# --- nothing leaves the machine ------------------------------------------------------------------

# As sitecustomize.py it is in every Python that is started, kernels included.
GUARD = """
import os, sys

def guard(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host and host not in ("localhost", "::1", "0.0.0.0") and not host.startswith("127."):
        with open(os.environ["NETWORK_LOG"], "a", encoding="utf-8") as log:
            log.write(f"{event} {host}\\n")
        raise PermissionError(f"a connection to {host}")

sys.addaudithook(guard)
"""
# In a network namespace of its own a process has no network but the loopback, if that is up.
LOOPBACK = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any:
    fcntl.ioctl(any, 0x8914, struct.pack("16sH22x", b"lo", 1 | 64))  # SIOCSIFFLAGS: up, running
os.execv(sys.argv[1], sys.argv[1:])
"""
# What must be seen, or the guard sleeps: an address that nobody has, by two ways.
CANARY = """
import socket
for attempt in (socket.create_connection, socket.socket().connect):
    try:
        attempt(("192.0.2.1", 9))
    except OSError as error:
        print("CANARY", type(error).__name__)
"""
SEEN = ["socket.getaddrinfo 192.0.2.1", "socket.connect 192.0.2.1"]


@functools.cache
def without_network():
    """What to put before a command so that the system itself gives it no network."""
    start = ("unshare", "--map-root-user", "--net", sys.executable, "-c", LOOPBACK)
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return ()
    done = subprocess.run([*start, sys.executable, "-c", ""], capture_output=True)
    return start if done.returncode == 0 else ()


def alone(source, folder, **variables):
    """Runs Python code in a process that is watched; returns the connections it tried."""
    (folder / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    log = folder / "network.log"
    log.write_text("", encoding="utf-8")
    paths = os.pathsep.join([str(folder), str(ROOT)])
    variables |= {"PYTHONPATH": paths, "NETWORK_LOG": str(log), "COURSE_BUDGET": "smoke"}
    done = subprocess.run(
        [*without_network(), sys.executable, "-c", source],
        cwd=folder,
        env=clean_environment(**variables),
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return log.read_text(encoding="utf-8").splitlines(), done.stdout


def test_training_loading_and_checks_need_no_network(tmp_path):
    source = """
import torch
from utils import data, device, diagnosis, networks, plotting, summary, training
from utils.runs import checkpoints
from exercises import engine
from exercises.engine import check, hint, solution, use
from d2l import torch as d2l

splits = data.load(train_images=512, validation_images=256, test_images=256)
network = networks.build("lenet")
history = training.fit(network, splits.train, splits.validation, epochs=1, learning_rate=0.05,
                       checkpoint="run.pt")
print(history.status, training.evaluate(network, splits.test).images, device.describe())
summary.table(network, (1, 28, 28))
plotting.curves(history)
for item in [item for item in engine.exercises() if item.chapter.startswith(("00", "01"))]:
    hint(item.id)
    if item.check:
        check(item.id, ..., example=True)
        solution(item.id)
        use(item.id, ...)
"""
    connections, printed = alone(source + CANARY, tmp_path, MPLBACKEND="Agg")
    assert "finished 256" in printed
    assert connections == SEEN


RUN = """
import sys

sys.modules["rfc3987_syntax"] = None  # see conftest.py
import nbformat
from nbclient import NotebookClient

nb = nbformat.read("chapter.ipynb", as_version=4)
NotebookClient(nb, resources={"metadata": {"path": CHAPTERS}}).execute()
print("".join(output.text for output in nb.cells[-1].outputs))
"""


@pytest.mark.parametrize(
    "stem", [STEM, *(pytest.param(stem, marks=pytest.mark.long) for stem in stored.STEMS[1:])]
)
def test_a_chapter_needs_no_network(stem, tmp_path):
    nb = stored.chapter(stem)
    nb.cells.append(authoring.code(CANARY))
    nbformat.write(nb, tmp_path / "chapter.ipynb")
    source = f"CHAPTERS = {str(authoring.CHAPTERS)!r}\n{RUN}"
    connections, printed = alone(source, tmp_path, COURSE_STILL="1", COURSE_PROGRESS="0")
    assert printed.split() == ["CANARY", "PermissionError"] * 2
    assert connections == SEEN


# --- planning a course, as docs/teaching.md says -------------------------------------------------


def test_the_plan_of_a_course_follows_the_chapters():
    page = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    text = re.sub("<!-- =.*?-->", "", page)
    rows = re.findall(r"^\| (\d+) [^|]+ \| (\d+) \| (\d+) \| ([^|]+) \| (\d+) \|$", text, re.M)
    minutes, main, wanted = {}, {}, []
    for stem in stored.STEMS:
        nb = stored.chapter(stem)
        about, number = nb.metadata["course"], int(stem[:2])
        minutes[number] = about["minutes"]
        main[number] = about.get("main_minutes", about["minutes"])
        needs = [int(need[:2]) for need in about["needs"] if re.match(r"\d\d_", need)]
        before = ", ".join(str(need) for need in needs if need) or "none"
        checked = sum(cell.metadata.get("role") == "check" for cell in nb.cells)
        wanted.append(tuple(map(str, (number, main[number], minutes[number], before, checked))))
    assert rows == wanted
    text = " ".join(text.split())
    hours = {"all": sum(minutes.values()) / 60, "main": sum(main.values()) / 60}
    assert f"The main paths are {hours['main']:.0f} hours of a learner's time" in text
    assert f"and all of it is {hours['all']:.0f} hours" in text
    thread = [sum(of[chapter] for chapter in (0, 1, 4, 5, 6)) / 60 for of in (main, minutes)]
    expected = f"and 6: {thread[0]:.0f} hours on the main paths, {thread[1]:.0f} with everything"
    assert expected in text
