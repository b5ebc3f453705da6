"""The site's first page, in two languages: what is made for it from notebooks, results and play/.

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
from dataclasses import dataclass
from pathlib import Path

import nbformat
from PIL import Image, ImageOps

from tools import ROOT
from utils.leftovers import matching
from utils.networks import pretrained

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
# The network for photographs. Its weights are in data/pretrained/, and a worker runs these scripts.
PRETRAINED, PRETRAINED_TITLE = "squeezenet", "SqueezeNet"
IN_WORKER = ("operations.js", "worker.js")
# The course's photographs, in the order in which they are shown.
PHOTOGRAPHS = ("chelsea", "coffee", "rocket", "flower", "china", "astronaut")
CREDIT = re.compile(
    r"^\| `(?P<name>\w+)\.jpg` \| \[?(?P<who>[^]|]+)[^|]*\| \[?(?P<licence>[^]|]+)[^|]*\|", re.M
)
THUMBNAIL = 144  # pixels; half of them are shown
# In this order: what a script needs comes before it.
SCRIPTS = (
    *("texts.js", "operations.js", "play.js", "networks/{first}.js"),
    *("network.js", "photographs.js", "convolution.js"),
)
NEEDED = (
    "network",
    "parameters",
    "test_accuracy",
    "mean",
    "std",
    "size",
    "bgr",
    "tensors",
    "steps",
)
FIGURES = ("results/figures/time_to_accuracy.png", "results/figures/accuracy.png")
# The theme's icons are 225 kB of fonts. They come after the first network: play.js removes this.
LATE_ICONS = (
    '<style id="play-late-icons">'
    ".fa-solid, .fab { font-family: sans-serif !important; visibility: hidden; }</style>"
)
PICTURE_WIDTH = 460  # pixels; a card is half as wide
ROW = re.compile(
    r"^\| \[(?P<title>[^\]]+)\]\((?P<path>chapters(?:_zh)?/[^)]+)\) \| (?P<question>[^|]+) \|",
    re.M,
)


@dataclass(frozen=True)
class Words:
    """What differs between the first pages of the two languages."""

    static: str  # the address of the folder with scripts and pictures
    readme: str
    docs: str
    picture: str  # of a chapter


WORDS = {
    "en": Words("_static", "README.md", "docs", "First figure of the chapter {}"),
    "zh": Words("../_static", "README.zh-CN.md", "docs/zh", "“{}”一章的第一张图"),
}


def store(static: Path) -> None:
    """Write the files that both first pages load to `static`."""
    store_play(static / "play")
    small(figure().read_bytes(), 1472).save(static / "figure.png", optimize=True)
    (static / "chapters").mkdir(parents=True)
    for path in matching(ROOT, "chapters/[0-9]*.ipynb"):
        if png := first_picture(path):
            small(png, PICTURE_WIDTH).save(static / "chapters" / f"{path.stem}.png", optimize=True)


def fill(text: str, language: str) -> str:
    """The first page's Markdown with its parts in their places."""
    parts = {"play": play(language), "figure": described(language), "chapters": cards(language)}
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
    return {key: stored[key] for key in NEEDED if key in stored} | {"weights": weights}


def pretrained_network() -> dict:
    """The network for photographs as the page reads it, with the names of its classes."""
    stored = json.loads((STORED / f"{PRETRAINED}.json").read_text(encoding="utf-8"))
    tensors = pretrained.stored(PRETRAINED)
    content = b"".join(
        tensors[name].numpy().astype("<f2" if kind == "float16" else "<f4").tobytes()
        for name, _, kind in stored["tensors"]
    )
    classes = {language: pretrained.class_names(language) for language in WORDS}
    return {key: stored[key] for key in NEEDED if key in stored} | {
        "classes": classes,
        "weights": base64.b64encode(content).decode(),
    }


def credits() -> dict[str, str]:
    """Who made each photograph, and its licence, as docs/licences.md has them."""
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    found = {
        m["name"]: f"{m['who'].strip()}, {m['licence'].strip()}" for m in CREDIT.finditer(text)
    }
    if set(found) != set(PHOTOGRAPHS):
        raise ValueError(
            f"docs/licences.md names {', '.join(found)}, not {', '.join(PHOTOGRAPHS)}."
        )
    return {name: found[name] for name in PHOTOGRAPHS}


def store_photographs(folder: Path) -> None:
    """Write the course's photographs as scripts, and a small picture of each."""
    folder.mkdir()
    for name in PHOTOGRAPHS:
        path = ROOT / "data" / "photographs" / f"{name}.jpg"
        content = base64.b64encode(path.read_bytes()).decode()
        script = assigned(f"oneByOne.photographs.{name}", content)
        (folder / f"{name}.js").write_text(script, encoding="utf-8")
        with Image.open(path) as picture:
            ImageOps.fit(picture, (THUMBNAIL, THUMBNAIL)).save(folder / f"{name}.jpg", quality=80)


def strings() -> dict[str, dict]:
    """The texts of the page, by language."""
    return json.loads((PLAY / "strings.json").read_text(encoding="utf-8"))


def store_play(folder: Path) -> None:
    """Write the scripts and networks of the part to play with to `folder`."""
    images = json.loads((STORED / "images.json").read_text(encoding="utf-8"))
    (folder / "networks").mkdir(parents=True)
    for path in [*matching(PLAY, "*.js"), *matching(PLAY, "*.css")]:
        if path.name != "worker.js":
            shutil.copy(path, folder)
    images = {key: images[key] for key in ("label", "pixels")}
    titles = {name: TITLES[name] for name in networks()}
    texts = {"strings": strings(), "images": images, "titles": titles, "credits": credits()}
    texts["titles"] = {**titles, PRETRAINED: PRETRAINED_TITLE}
    made = {"texts.js": "".join(assigned(f"oneByOne.{key}", texts[key]) for key in texts)}
    for name in titles:
        made[f"networks/{name}.js"] = assigned(f"oneByOne.networks.{name}", network(name))
    worker = "".join((PLAY / name).read_text(encoding="utf-8") for name in IN_WORKER)
    made[f"networks/{PRETRAINED}.js"] = assigned(
        f"oneByOne.networks.{PRETRAINED}", pretrained_network()
    ) + assigned("oneByOne.worker", worker)
    store_photographs(folder / "photographs")
    for name, content in made.items():
        (folder / name).write_text(content, encoding="utf-8")


def play(language: str) -> str:
    """The HTML of the part to play with."""
    page = with_texts((PLAY / "page.html").read_text(encoding="utf-8"), strings()[language])
    page = page.replace("{up}", WORDS[language].static.removesuffix("_static"))
    address = f"{WORDS[language].static}/play"
    head = f'<link rel="stylesheet" href="{address}/play.css">\n{LATE_ICONS}\n'
    stored = networks()
    first = FIRST_NETWORK if FIRST_NETWORK in stored else stored[0]
    sources = [f"{address}/{name.format(first=first)}" for name in SCRIPTS]
    scripts = "\n".join(f'<script defer src="{source}"></script>' for source in sources)
    return raw(head + page + scripts)


def with_texts(page: str, strings: dict[str, str]) -> str:
    """The texts in their places, for the moment before the scripts run and without them."""
    page = re.sub(
        r'(data-text="(\w+)"[^>]*>)(?=</)', lambda m: m[1] + html.escape(strings[m[2]]), page
    )
    return re.sub(
        r'data-label="(\w+)"',
        lambda m: f'{m[0]} aria-label="{html.escape(strings[m[1]])}"',
        page,
    )


# --- below it -------------------------------------------------------------------------------------


def figure() -> Path:
    """The first of `FIGURES` that is there."""
    for name in FIGURES:
        if (ROOT / name).is_file():
            return ROOT / name
    raise FileNotFoundError(f"There is none of {', '.join(FIGURES)}.")


def described(language: str) -> str:
    """The figure, with the description that another page of this language gives it."""
    words, name = WORDS[language], figure().name
    pattern = re.compile(rf"!\[([^\]]*)\]\([./]*results/figures/{re.escape(name)}\)")
    for page in [ROOT / words.readme, *matching(ROOT, f"{words.docs}/*.md")]:
        if found := pattern.search(page.read_text(encoding="utf-8")):
            text = " ".join(found[1].split())
            source = f"{words.static}/figure.png"
            return raw(f'<p><img src="{source}" loading="lazy" alt="{html.escape(text)}"></p>')
    raise FileNotFoundError(f"{words.readme} and {words.docs}/ do not show {name}.")


def cards(language: str) -> str:
    """A card for each chapter in README's table: its picture, its name and its question."""
    words, made = WORDS[language], []
    for row in ROW.finditer((ROOT / words.readme).read_text(encoding="utf-8")):
        stem = Path(row["path"]).stem
        title, question = html.escape(row["title"]), html.escape(row["question"].strip())
        picture = ""
        if first_picture(ROOT / "chapters" / f"{stem}.ipynb"):
            picture = (
                f'<img src="{words.static}/chapters/{stem}.png" loading="lazy" '
                f'alt="{words.picture.format(title)}">'
            )
        made.append(
            f'<a class="card" href="chapters/{stem}.html">{picture}'
            f'<span class="card-title">{title}</span>'
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
