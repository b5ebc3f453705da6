"""Print the course as one PDF, from the same pages as the web site, with Chromium.

    python3 course.py pdf               # into _site/one-by-one.pdf
    python3 course.py pdf FILE

Sphinx makes one long page of README, chapters and three pages of docs/, and a Chromium or Chrome
without a window prints it, formulas included. Nothing is fetched. Hints and solutions stay out, and
the answers of the questions at the end of a chapter stay folded: who wants them has the notebook.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat

from tools import COMMAND, ROOT, CourseError, Parser, exit_code, say
from tools.site import build
from utils.leftovers import matching

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ON_MACOS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
DOCS = ("is_this_true", "evidence", "glossary")
PATIENCE = 600  # seconds
COVER = """\
# One by One

Convolutional networks from LeNet to MobileNet, one chapter at a time. The chapters are notebooks
that run; here they are as they were stored. Hints, solutions and checks are in the notebooks:
{address}

{contents}

```{{toctree}}
:hidden:

{pages}
```
"""


def browser() -> str:
    """The Chromium or Chrome of this machine; CourseError where there is none."""
    found = next(filter(None, map(shutil.which, (*BROWSERS, ON_MACOS))), None)
    if found is None:
        raise CourseError(
            "the PDF is printed by Chromium or Chrome, and neither was found: install one (on "
            "Debian and Ubuntu `apt-get install chromium`), or build the web site alone."
        )
    return found


def pages() -> dict[Path, Path]:
    """What is in the book: the file in the repository, and its path beside the others."""
    found = {ROOT / "README.md": Path("readme.md")}
    files = [*matching(ROOT, "chapters/[0-9]*.ipynb"), *(ROOT / f"docs/{name}.md" for name in DOCS)]
    return found | {path: path.relative_to(ROOT) for path in files}


def on_paper(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A chapter without hints and solutions, and with all folds open but those of its questions."""
    nb.cells = [cell for cell in nb.cells if cell.metadata.get("role") != "help"]
    for cell in nb.cells:
        if cell.cell_type == "markdown" and cell.metadata.get("role") != "recall":
            cell.source = re.sub(r"<details>", "<details open>", cell.source)
    return nb


def one_page(folder: Path) -> Path:
    """The whole course as one HTML page inside `folder`."""
    from sphinx.cmd.build import main as sphinx

    source = folder / "pages"
    source.mkdir()
    site = pages()
    build.copy_pages(source, site)
    for path in source.glob("chapters/*.ipynb"):
        nbformat.write(on_paper(nbformat.read(path, as_version=4)), path)
    names = [page.with_suffix("").as_posix() for page in site.values()]
    contents = "\n".join(f"- [](/{page.as_posix()})" for page in site.values())
    cover = COVER.format(address=build.address(), contents=contents, pages="\n".join(names))
    (source / "index.md").write_text(cover, encoding="utf-8")
    options = ["-b", "singlehtml", "-t", "pdf", "-W", "--keep-going", "-q"]
    options += ["-d", str(folder / "doctrees"), str(source), str(folder / "html")]
    if sphinx(options) != 0:
        raise CourseError("the pages have the faults that Sphinx names above: mend them first.")
    return folder / "html" / "index.html"


def print_page(page: Path, output: Path) -> None:
    """Print a page into a PDF file; CourseError where the browser makes none."""
    command = [browser(), "--headless", "--disable-gpu", "--no-pdf-header-footer"]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=600000"]
    command += ["--generate-pdf-document-outline"]
    if getattr(os, "geteuid", lambda: 1)() == 0:  # Chromium has no sandbox for root
        command.append("--no-sandbox")
    command += [f"--print-to-pdf={output}", page.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise CourseError(f"{command[0]} has not printed the PDF in {PATIENCE} seconds.") from None
    if done.returncode != 0 or not output.is_file():
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise CourseError(f"{command[0]} printed no PDF: {' '.join(last) or 'it says nothing'}.")


def write(output: Path) -> int:
    """Write the course as a PDF file."""
    browser()  # before minutes of work
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        made = Path(temporary) / "course.pdf"
        print_page(one_page(Path(temporary)), made)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, output)
    say(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(f"{COMMAND} pdf", __doc__)
    file = "_site/one-by-one.pdf"
    parser.add_argument("file", nargs="?", default=ROOT / file, help=f"default: {file}")
    return exit_code(write, Path(parser.parse_args(arguments).file).resolve())


if __name__ == "__main__":
    sys.exit(main())
