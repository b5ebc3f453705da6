"""The site's first page: what is made for it from the notebooks, the results and tools/site/play/.

The networks run in the reader's browser. All files are plain scripts without a `fetch`, so the page
also works when it is opened from the disk.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
from pathlib import Path

import nbformat
from PIL import Image

from tools import ROOT
from utils.leftovers import matching

PLAY = Path(__file__).resolve().parent / "play"
STORED = ROOT / "results" / "play"
# Networks by their names in results/play/, as they are called on the page.
TITLES = {
    "lenet": "LeNet",
    "nin_small": "NiN",
    "resnet_small": "ResNet",
    "mobilenet_v1_small": "MobileNet",
}
FIRST_NETWORK = "nin_small"  # if it is stored; the others are loaded when they are chosen
# In this order: what a script needs comes before it.
SCRIPTS = (
    *("texts.js", "operations.js", "play.js", "networks/{first}.js"),
    *("network.js", "convolution.js"),
)
NEEDED = ("network", "parameters", "test_accuracy", "mean", "std", "tensors", "steps")
FIGURES = ("results/figures/time_to_accuracy.png", "results/figures/accuracy.png")
# The theme's icons are 225 kB of fonts. They come after the first network: play.js removes this.
LATE_ICONS = (
    '<style id="play-late-icons">'
    ".fa-solid, .fab { font-family: sans-serif !important; visibility: hidden; }</style>"
)
PICTURE_WIDTH = 460  # pixels; a card is half as wide
ROW = re.compile(
    r"^\| \[(?P<title>[^\]]+)\]\((?P<path>chapters/[^)]+)\) \| (?P<question>[^|]+) \|", re.M
)


def fill(text: str, static: Path) -> str:
    """The first page's Markdown with its parts in their places; writes their files to `static`."""
    parts = {
        "play": play(static / "play"),
        "figure": figure(static),
        "chapters": cards(static / "chapters"),
    }
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text


def raw(content: str) -> str:
    return f"```{{raw}} html\n{content}\n```"


# --- the part to play with ------------------------------------------------------------------------


def assigned(place: str, value: object) -> str:
    """A script that puts a value where the page looks for it, as `oneByOne.networks.lenet`."""
    owner = place.rpartition(".")[0]
    start = "window.oneByOne ??= {};\n" + (f"{owner} ??= {{}};\n" if "." in owner else "")
    return f"{start}{place} = {json.dumps(value, ensure_ascii=False, separators=(',', ':'))};\n"


def networks() -> list[str]:
    """The networks that `python -m benchmarks.play` has stored, in the order of the chapters."""
    found = [name for name in TITLES if (STORED / f"{name}.f16").is_file()]
    if not found:
        raise FileNotFoundError("results/play/ has no network: run `python -m benchmarks.play`.")
    return found


def network(name: str) -> dict:
    """A network of results/play/ as the page reads it: its steps, and its weights in base64."""
    stored = json.loads((STORED / f"{name}.json").read_text(encoding="utf-8"))
    weights = base64.b64encode((STORED / f"{name}.f16").read_bytes()).decode()
    return {key: stored[key] for key in NEEDED} | {"weights": weights}


def play(folder: Path) -> str:
    """The HTML of the part to play with; its scripts and networks are written to `folder`."""
    strings = json.loads((PLAY / "strings.json").read_text(encoding="utf-8"))
    images = json.loads((STORED / "images.json").read_text(encoding="utf-8"))
    (folder / "networks").mkdir(parents=True)
    for path in [*matching(PLAY, "*.js"), *matching(PLAY, "*.css")]:
        shutil.copy(path, folder)
    images = {key: images[key] for key in ("label", "pixels")}
    titles = {name: TITLES[name] for name in networks()}
    texts = {"strings": strings, "images": images, "titles": titles}
    made = {"texts.js": "".join(assigned(f"oneByOne.{key}", texts[key]) for key in texts)}
    for name in titles:
        made[f"networks/{name}.js"] = assigned(f"oneByOne.networks.{name}", network(name))
    for name, content in made.items():
        (folder / name).write_text(content, encoding="utf-8")
    page = with_texts((PLAY / "page.html").read_text(encoding="utf-8"), strings["en"])
    address = f"_static/{folder.name}"
    head = f'<link rel="stylesheet" href="{address}/play.css">\n{LATE_ICONS}\n'
    first = FIRST_NETWORK if FIRST_NETWORK in titles else next(iter(titles))
    sources = [f"{address}/{name.format(first=first)}" for name in SCRIPTS]
    scripts = "\n".join(f'<script defer src="{source}"></script>' for source in sources)
    return raw(head + page + scripts)


def with_texts(page: str, strings: dict[str, str]) -> str:
    """The English texts in their places, for the moment before the scripts run and without them."""
    page = re.sub(
        r'(data-text="(\w+)"[^>]*>)(?=</)', lambda m: m[1] + html.escape(strings[m[2]]), page
    )
    return re.sub(
        r'data-label="(\w+)"',
        lambda m: f'{m[0]} aria-label="{html.escape(strings[m[1]])}"',
        page,
    )


# --- below it -------------------------------------------------------------------------------------


def figure(static: Path) -> str:
    """The first of `FIGURES` that is there, with the description that another page gives it."""
    pages = [ROOT / "README.md", *matching(ROOT, "docs/*.md")]
    for path in (ROOT / name for name in FIGURES):
        if not path.is_file():
            continue
        pattern = re.compile(rf"!\[([^\]]*)\]\([./]*results/figures/{re.escape(path.name)}\)")
        for page in pages:
            if found := pattern.search(page.read_text(encoding="utf-8")):
                small(path.read_bytes(), 1472).save(static / "figure.png", optimize=True)
                words = html.escape(" ".join(found[1].split()))
                return raw(f'<p><img src="_static/figure.png" loading="lazy" alt="{words}"></p>')
    raise FileNotFoundError(f"README.md and docs/ show none of {', '.join(FIGURES)}.")


def cards(folder: Path) -> str:
    """A card for each chapter in README's table: its picture, its name and its question."""
    folder.mkdir(parents=True)
    rows = list(ROW.finditer((ROOT / "README.md").read_text(encoding="utf-8")))
    made = []
    for row in rows:
        path = ROOT / row["path"]
        title, question = html.escape(row["title"]), html.escape(row["question"].strip())
        picture = ""
        if png := first_picture(path):
            small(png, PICTURE_WIDTH).save(folder / f"{path.stem}.png", optimize=True)
            picture = (
                f'<img src="_static/{folder.name}/{path.stem}.png" loading="lazy" '
                f'alt="First figure of the chapter {title}">'
            )
        link = Path(row["path"]).with_suffix(".html").as_posix()
        made.append(
            f'<a class="card" href="{link}">{picture}<span class="card-title">{title}</span>'
            f'<span class="card-question">{question}</span></a>'
        )
    return raw('<div class="cards">\n' + "\n".join(made) + "\n</div>")


def first_picture(path: Path) -> bytes | None:
    """The first figure of a notebook's stored outputs as PNG."""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if content := output.get("data", {}).get("image/png"):
                return base64.b64decode(content)
    return None


def small(png: bytes, width: int) -> Image.Image:
    """A picture (the last of an animation, where everything is drawn) that loads fast."""
    picture = Image.open(io.BytesIO(png))
    picture.seek(getattr(picture, "n_frames", 1) - 1)
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    picture = Image.alpha_composite(white, picture).convert("RGB")
    picture.thumbnail((width, width), Image.Resampling.LANCZOS)
    return picture.quantize(64)
