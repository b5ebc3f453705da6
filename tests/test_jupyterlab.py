"""JupyterLab for real: `course.py lab`, headless Chromium, and a learner who gets things wrong.

Takes minutes, and needs Chromium (or Chrome) and `python -m pip install playwright`; without them
the tests are skipped.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import stored

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
TOKEN = "a-learner"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome found"),
    pytest.mark.skipif(os.name == "nt", reason="stops the server with its kernels by killpg"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """JupyterLab on a fresh clone, started by `course.py lab` as a learner would."""
    pytest.importorskip("playwright", reason="python -m pip install playwright")
    folder = tmp_path_factory.mktemp("learner")
    published, clone = folder / "course.git", folder / "one-by-one"
    stored.publish(published)
    subprocess.run(["git", "clone", "--quiet", str(published), str(clone)], check=True)
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "course.py", "lab", "--no-browser", f"--port={port}"),
        *(f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"),
    ]
    ours = ("COURSE_", "MPLBACKEND", "PYTHONPATH", "PYTEST_")  # what only tests have
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    log = (folder / "lab.log").open("w+", encoding="utf-8")
    server = subprocess.Popen(
        command, cwd=clone, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        for _ in range(240):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert server.poll() is None, Path(log.name).read_text(encoding="utf-8")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
        log.close()


class Notebook:
    """A notebook open in JupyterLab, driven through JupyterLab's own commands."""

    def __init__(self, page, address, stem):
        self.page = page
        page.goto(f"{address}/lab/tree/chapters/{stem}.ipynb?token={TOKEN}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
        self.wait("panel.sessionContext.session?.kernel?.status === 'idle'", 90)

    def script(self, body, *arguments):
        return self.page.evaluate(
            "async (given) => { const app = window.jupyterapp;"
            " const panel = app.shell.currentWidget; const book = panel.content;"
            f" const cells = book.model.sharedModel.cells; {body} }}",
            list(arguments),
        )

    def wait(self, condition, seconds):
        self.page.wait_for_function(
            f"() => {{ const panel = window.jupyterapp.shell.currentWidget; return {condition}; }}",
            timeout=1000 * seconds,
        )

    def run(self, *indices, wait=120):
        """Run some cells, or all, through the menu's commands, and wait until they are done."""
        self.script(
            "window.ran = false;"
            " const run = async () => {"
            "   if (!given.length) await app.commands.execute('notebook:run-all-cells');"
            "   for (const index of given) {"
            "     book.activeCellIndex = index; book.deselectAll();"
            "     await app.commands.execute('notebook:run-cell');"
            "   } };"
            " run().finally(() => { window.ran = true; });",
            *indices,
        )
        if wait:
            self.page.wait_for_function("() => window.ran", timeout=1000 * wait)

    def cells(self):
        """All cells, as a notebook's file holds them."""
        return self.script("return cells.map(cell => cell.toJSON());")

    def code(self):
        """The indices of the code cells."""
        return [n for n, cell in enumerate(self.cells()) if cell["cell_type"] == "code"]

    def outputs(self):
        return [output for cell in self.cells() for output in cell.get("outputs", [])]

    def errors(self):
        return [o["evalue"] for o in self.outputs() if o["output_type"] == "error"]

    def find(self, role, exercise=None):
        """The index of one of the four cells of an exercise, or of a generated cell."""
        for index, cell in enumerate(self.cells()):
            about = cell["metadata"]
            if about.get("role") == role and exercise in (None, about.get("exercise")):
                return index
        raise LookupError(f"{exercise} {role}")

    def write(self, index, source):
        self.script("cells[given[0]].setSource(given[1]);", index, source)

    def text(self, index):
        """What a learner reads below a cell."""
        outputs = self.cells()[index]["outputs"]
        texts = [o.get("text") or o.get("evalue") or _plain(o) for o in outputs]
        return "\n".join("".join(text) for text in texts)  # each a string or a list of lines

    def pictures(self, index):
        """The pictures in a cell's output, and whether the page shows one."""
        found = [o["data"]["image/png"] for o in self.cells()[index]["outputs"] if _png(o)]
        shown = self.script(
            "return [...book.widgets[given[0]].node.querySelectorAll('.jp-OutputArea img')]"
            ".some(image => image.naturalWidth > 0);",
            index,
        )
        return found, shown

    def until(self, condition, seconds):
        """Wait in steps, so that the page goes on in between."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not so after {seconds} seconds"
            self.page.wait_for_timeout(250)

    def status(self):
        return self.script("return panel.sessionContext.session.kernel.status;")


def _png(output):
    return "image/png" in output.get("data", {})


def _plain(output):
    return output.get("data", {}).get("text/plain", "")


@pytest.fixture
def open_notebook(address):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        asked = set()
        page.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
        page.on("websocket", lambda socket: asked.add(urlsplit(socket.url).hostname))
        yield lambda stem: Notebook(page, address, stem)
        browser.close()
    assert "127.0.0.1" in asked and asked <= {"127.0.0.1", None}  # None: pictures in the page


def test_chapter_0_runs_from_top_to_bottom(open_notebook):
    """Open exercises are a quiet line; every code cell is executed; the curve is a picture."""
    notebook = open_notebook("00_start_here")
    settings = json.loads(notebook.page.locator("#jupyter-config-data").text_content())
    assert settings["news"] == {"disabled": True}  # nobody is asked for news
    notebook.script("await app.commands.execute('notebook:clear-all-cell-outputs');")
    notebook.run(wait=900)  # seconds; the machine may be busy
    assert notebook.errors() == []
    cells, code = notebook.cells(), notebook.code()
    assert len(code) > 10
    assert [cells[n]["execution_count"] for n in code] == list(range(1, len(code) + 1))
    assert sum(map(_png, notebook.outputs())) >= 2
    assert notebook.page.locator(".jp-OutputArea img").count() >= 1
    assert notebook.page.get_by_text("Jupyter news").count() == 0


def test_wrong_mlpconv_is_told_what_is_wrong_and_then_right(open_notebook):
    notebook = open_notebook("04_nin")
    device = notebook.find("device")
    notebook.run(notebook.find("bootstrap"), device, device + 2)
    stub, check = notebook.find("stub", "nin.2"), notebook.find("check", "nin.2")

    notebook.run(stub, check)
    assert "not" in notebook.text(check).lower()  # open: a quiet line
    notebook.write(
        stub,
        "def mlpconv(in_channels, widths, kernel_size, stride=1, padding=0):\n"
        "    a, b, c = widths\n"
        "    return nn.Sequential(\n"
        "        nn.Conv2d(in_channels, a, kernel_size, stride, padding), nn.ReLU(),\n"
        "        nn.Conv2d(a, b, kernel_size=1), nn.ReLU(),\n"
        "        nn.Conv2d(b, c, kernel_size=1),\n"
        "    )\n",
    )
    notebook.run(stub, check)
    assert "ReLU" in notebook.text(check), notebook.text(check)
    assert "Traceback" not in notebook.text(check)
    assert notebook.page.get_by_text("ReLU").count() > 0

    source = notebook.cells()[stub]["source"]
    notebook.write(stub, source.replace("(b, c, kernel_size=1),", "(b, c, 1), nn.ReLU(),"))
    notebook.run(stub, check)
    assert "right" in notebook.text(check).lower(), notebook.text(check)
    assert notebook.errors() == []


def test_live_curve_and_interrupt_leave_a_usable_notebook(open_notebook):
    """The curve is redrawn epoch by epoch; Ctrl-C (interrupt kernel) ends the run quietly."""
    notebook = open_notebook("00_start_here")
    notebook.run(notebook.find("bootstrap"), notebook.find("device"))
    last = len(notebook.cells()) - 1
    notebook.script(
        "book.activeCellIndex = given[0]; await app.commands.execute("
        "'notebook:insert-cell-below'); cells[given[0] + 1].setSource(given[1]);",
        last,
        "from utils import data, networks, training\n"
        "splits = data.load(train_images=5000)\n"
        "model = networks.build('lenet')\n"
        "history = training.fit(model, splits.train, splits.validation, epochs=500,\n"
        "                       learning_rate=0.05, live=True)\n",
    )
    notebook.run(last + 1, wait=0)
    # The live curve: one picture, on the page, redrawn in its place while the kernel is at work.
    notebook.until(lambda: notebook.pictures(last + 1)[1], 120)
    (first,), _ = notebook.pictures(last + 1)
    notebook.until(lambda: notebook.pictures(last + 1)[0] != [first], 120)
    assert notebook.status() == "busy"
    notebook.script("await app.commands.execute('notebook:interrupt-kernel');")
    notebook.wait("panel.sessionContext.session.kernel.status === 'idle'", 60)
    assert notebook.errors() == []
    assert "Traceback" not in notebook.text(last + 1)
    (curve,), shown = notebook.pictures(last + 1)
    assert shown and curve != first  # it stays
    notebook.script(
        "cells[given[0]].setSource(given[1]);",
        last + 1,
        "print(history.status, "
        "len(history.train_loss) > 0, training.evaluate(model, splits.validation))",
    )
    notebook.run(last + 1)
    assert notebook.text(last + 1).startswith("interrupted True loss"), notebook.text(last + 1)


def test_sliders_of_chapter_5_draw(open_notebook):
    """The interactive figure of the chapter: each move gives another picture and another sum."""
    notebook = open_notebook("05_one_by_one_convolution")
    notebook.script("await app.commands.execute('notebook:clear-all-cell-outputs');")
    (figure,) = [n for n in notebook.code() if "explore()" in notebook.cells()[n]["source"]]
    notebook.run(*[n for n in notebook.code() if n <= figure])
    handles = notebook.page.locator(".jp-OutputArea .noUi-handle")
    handles.first.wait_for(state="attached", timeout=60_000)
    handles.first.scroll_into_view_if_needed()
    picture = notebook.page.locator(".jp-OutputArea img.widget-image")
    assert handles.count() == 7 and picture.count() == 1
    notebook.page.get_by_text("floor((6 + 2·1 − 3) / 1) + 1 = 6").wait_for(timeout=60_000)
    for slider, line in (
        (0, "floor((7 + 2·1 − 3) / 1) + 1 = 7"),  # the input
        (2, "floor((7 + 2·1 − 3) / 2) + 1 = 4"),  # the stride
    ):
        before = picture.get_attribute("src")
        handles.nth(slider).focus()
        handles.nth(slider).press("ArrowRight")
        notebook.page.get_by_text(line).wait_for(timeout=60_000)
        notebook.until(lambda before=before: picture.get_attribute("src") != before, 60)
    assert notebook.errors() == []
