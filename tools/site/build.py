"""Build the course as a web site from the notebooks as they are stored, without a network.

    python3 course.py site              # into _site/
    python3 course.py site FOLDER

The pages are copied into a temporary folder first, because a site has other names for some of them,
and addresses that lead out of it must become those of the repository. Its first page is
tools/site/index.md with what `first_page` makes; tools/site/zh/index.md is the Chinese one.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from myst_parser.mdit_to_docutils.base import default_slugify

from tools import COMMAND, ROOT, Parser
from tools.address import repository
from tools.site import first_page
from tools.translation import blocks
from tools.translation import catalogue as translation
from utils.leftovers import matching

HERE = Path(__file__).resolve().parent
PAGES = {
    "tools/site/index.md": "index.md",
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "tools/site/zh/index.md": "zh/index.md",
    "README.zh-CN.md": "zh/readme.md",
}
# In the list of pages, where the heading says too little.
TITLES = {"readme": "How to use it", "zh/index": "中文", "zh/readme": "怎样使用"}
TREE = """
```{{toctree}}
:hidden:
:caption: {words.chapters}

{chapters}
```

```{{toctree}}
:hidden:
:caption: {words.about}

{about}
```
"""
LINK = re.compile(r"(?<!!)(\[[^\]\n]*\]\()(?![a-z]+:|#)([^)\s]+)(\))")
PICTURE = re.compile(r"(!\[[^\]]*\]\()(?![a-z]+:)([^)\s]+)(\))")
SUMMARY = re.compile(r"<summary>([^<]+)</summary>")
# 1.6 MB that the theme loads for icons other than its own; its own are in its fonts.
ICONS = re.compile(r'\s*<script defer src="[^"]*/fontawesome\.js[^"]*"></script>')
# The theme has them for results while one types, which is off; the page of results has its own.
SEARCH = re.compile(
    r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>'
)
# Words of the theme on Chinese pages: between tags, and in what screen readers read.
THEME = {
    "Back to top": "回到顶部",
    "Color mode": "颜色模式",
    "Contents": "本页目录",
    "Dark": "深色",
    "Hide code cell source": "收起代码",
    "Light": "浅色",
    "Link to this heading": "链接到这个标题",
    "next page": "下一页",
    "next": "下一页",
    "previous page": "上一页",
    "previous": "上一页",
    "Search": "搜索",
    "Search...": "搜索……",
    "Show code cell source": "展开代码",
    "Skip to main content": "跳到正文",
    "Source repository": "代码仓库",
    "System Settings": "跟随系统",
    "Toggle hidden content": "展开或折叠",
    "Toggle primary sidebar": "显示或隐藏侧栏",
    "Toggle secondary sidebar": "显示或隐藏目录",
}
WORDS_OF_THEME = re.compile(
    r'(>\s*|(?:aria-label|title|placeholder|data-bs-title)=")('
    + "|".join(sorted(map(re.escape, THEME), key=len, reverse=True))
    + r')(?=\s*<|")'
)


MODULE = """

## {name}

```{{eval-rst}}
.. automodule:: {name}
   :members:
```
"""


CLAIM = """

### {claim}

{verdict}{stop}{right}

*{settled}* {evidence}
"""


@dataclass(frozen=True)
class Words:
    """What the site adds to pages, in one language."""

    prefix: str  # of the pages' paths in the site
    folder: str  # of the chapters in the repository
    chapters: str
    about: str
    chapter: str
    figure: str
    of_exercise: str
    quoted: str
    stop: str
    verdicts: dict[str, str]
    settled: dict[str, str]


WORDS = {
    "en": Words(
        prefix="",
        folder="chapters",
        chapters="Chapters",
        about="About the course",
        chapter="Chapter {}",
        figure="Figure of the section: {}",
        of_exercise=" of exercise {}",
        quoted='"{}"',
        stop=". ",
        verdicts={name: name.capitalize() for name in ("wrong", "imprecise", "unsupported")},
        settled={"code": "Computed in the course:", "citation": "Sources:"},
    ),
    "zh": Words(
        prefix="zh/",
        folder="chapters_zh",
        chapters="章节",
        about="关于本课程",
        chapter="第 {} 章",
        figure="图（figure）：{}",
        of_exercise="（练习 {}）",
        quoted="“{}”",
        stop="。",
        verdicts={"wrong": "错误", "imprecise": "不准确", "unsupported": "没有依据"},
        settled={"code": "课程中算出：", "citation": "来源："},
    ),
}


def language(page: Path) -> str:
    """The language of a page, by its path in the site."""
    return "zh" if page.parts[0] == "zh" else "en"


def address() -> str:
    return f"https://github.com/{repository()}"


def modules() -> list[str]:
    """What the reference describes: everything that chapters import."""
    paths = [*matching(ROOT, "utils/**/*.py"), ROOT / "exercises" / "engine.py"]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    names = [name.removesuffix(".__init__") for name in names]
    # A shim for old notebooks; and files whose functions the package hands on.
    return [n for n in names if n != "utils.exercises" and not n.startswith("utils.plotting.")]


def pages() -> dict[Path, Path]:
    """Every page of the site: the file in the repository, and its path in the site."""
    found = {ROOT / name: Path(page) for name, page in PAGES.items()}
    for path in [*matching(ROOT, "chapters/[0-9]*.ipynb"), *matching(ROOT, "docs/*.md")]:
        found[path] = path.relative_to(ROOT)
    for path in matching(ROOT, "chapters_zh/[0-9]*.ipynb"):
        found[path] = Path("zh", "chapters", path.name)
    for path in matching(ROOT, "docs/zh/*.md"):
        found[path] = Path("zh", "docs", path.name)
    return found


def relink(text: str, path: Path, site: dict[Path, Path]) -> str:
    """Links of the page `path`: to other pages of the site, or else into the repository."""

    def replace(match: re.Match) -> str:
        target, hash, anchor = match[2].partition("#")
        there = (path.parent / target).resolve()
        if there in site:
            up = "../" * (len(site[path].parts) - 1)
            new = up + site[there].as_posix()
        elif there.exists():
            kind = "tree" if there.is_dir() else "blob"
            new = f"{address()}/{kind}/main/{there.relative_to(ROOT).as_posix()}"
        else:
            raise FileNotFoundError(f"{path.relative_to(ROOT)}: the link {match[2]} leads nowhere.")
        return match[1] + new + hash + anchor + match[3]

    return LINK.sub(replace, text)


def copy_pictures(text: str, path: Path, page: Path, folder: Path) -> str:
    """Copy the pictures of a page to the same place in the site; the text with their addresses."""

    def replace(match: re.Match) -> str:
        there = (path.parent / match[2]).resolve()
        if not there.is_file():
            raise FileNotFoundError(f"{path.relative_to(ROOT)}: there is no picture {match[2]}.")
        target = folder / there.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(there, target)
        up = "../" * (len(page.parts) - 1)
        return match[1].replace("\n", " ") + up + there.relative_to(ROOT).as_posix() + match[3]

    return PICTURE.sub(replace, text)


def describe_pictures(nb: nbformat.NotebookNode, words: Words = WORDS["en"]) -> None:
    """Give each picture of a chapter a text for who cannot see it: the headings above it."""
    above: list[str] = []
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
            for marks, title in re.findall(r"^(#{1,6}) +(.+)$", prose, re.MULTILINE):
                above = [*above[: len(marks) - 1], re.sub(r"[`*$]", "", title).strip()]
        elif any("image/png" in output.get("data", {}) for output in cell.outputs):
            text = words.figure.format(", ".join(above[1:] or above))
            cell.metadata["mystnb"] = {"image": {"alt": text}}


def show_picture_first(nb: nbformat.NotebookNode) -> None:
    """The page begins with the chapter's question and its picture: code before it is folded."""
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    device = [cell for cell in code if cell.metadata.get("role") == "device"]
    first = [cell for cell in code if "role" not in cell.metadata][:1]
    for cells, tag in ((device, "remove-cell"), (first, "hide-input")):
        for cell in cells:
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), tag]


def section_with(mark: str, nb: nbformat.NotebookNode) -> tuple[str, str]:
    """Title and anchor of the section of a chapter in which a claim is marked; else of none."""
    title = ""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            found = re.search(rf"<!--\s*claim:\s*{re.escape(mark)}\s*-->", cell.source)
            before = cell.source[: found.start()] if found else cell.source
            title = [title, *re.findall(r"^#{1,3} +(.+)$", before, re.MULTILINE)][-1]
            if found:
                words = MarkdownIt().parseInline(title)[0].children or []
                return title, default_slugify("".join(word.content for word in words))
    return "", ""


def claims(words: Words = WORDS["en"], known: Mapping[tuple[str, str], str] | None = None) -> str:
    """What docs/claims.toml says, as the rest of the page "Is this true?".

    known: translations, by their place in the catalogue and the English.
    """
    ledger = tomllib.loads((ROOT / "docs" / "claims.toml").read_text(encoding="utf-8"))["claim"]
    text = ""

    def said(claim: dict, part: str) -> str:
        source = claim[part].strip()
        return blocks.replaced(
            source,
            blocks.cut(source),
            lambda block: (known or {}).get((f"{claim['id']} {part}", block.text), ""),
        )

    for path in matching(ROOT, f"{words.folder}/[0-9]*.ipynb"):
        nb = nbformat.read(path, as_version=4)
        about = [claim for claim in ledger if claim["chapter"] == path.stem]
        if about:
            text += f"\n## {nb.metadata['course']['title']}\n"
        for claim in about:
            title, anchor = section_with(claim["id"], nb)
            there = f"../chapters/{path.name}" + (f"#{anchor}" if anchor else "")
            where = title or words.chapter.format(int(path.stem[:2]))
            evidence = [name for name in claim["sources"] if name != "counted"]
            if title or claim["settled"] == "code":
                evidence.insert(0, f"[{where}]({there})")
            text += CLAIM.format(
                claim=words.quoted.format(said(claim, "claim")),
                verdict=words.verdicts[claim["verdict"]],
                stop=words.stop,
                right=said(claim, "right"),
                settled=words.settled[claim["settled"]],
                evidence="; ".join(evidence) + ".",
            )
    return text


def tree(index: Path, site: Mapping[Path, Path]) -> str:
    """The list of pages in one language; that of the English ones leads to the Chinese ones too."""
    words = WORDS[language(index)]
    names = [
        page.with_suffix("").as_posix()
        for page in site.values()
        if page != index and (language(page) == language(index) or page == Path("zh/index.md"))
    ]
    chapters = [name for name in names if name.startswith(f"{words.prefix}chapters/")]
    about = [name for name in names if name not in chapters]
    about = [f"{TITLES[name]} </{name}>" if name in TITLES else f"/{name}" for name in about]
    chapters = [f"/{name}" for name in chapters]
    return TREE.format(words=words, chapters="\n".join(chapters), about="\n".join(about))


def copy_pages(folder: Path, site: dict[Path, Path] | None = None) -> None:
    """Copy pages for Sphinx; site: what `pages` gives, or fewer."""
    site = site or pages()
    shutil.copy(HERE / "conf.py", folder)
    shutil.copytree(HERE / "static", folder / "static")
    if any(page.name == "index.md" for page in site.values()):
        first_page.store(folder / "static")
    for path, page in site.items():
        target = folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        words = WORDS[language(page)]
        if path.suffix == ".ipynb":
            nb = nbformat.read(path, as_version=4)
            describe_pictures(nb, words)
            show_picture_first(nb)
            for cell in nb.cells:
                if cell.cell_type == "markdown":
                    if cell.metadata.get("role") == "header":  # the site has its own way on
                        cell.source = cell.source.partition("\n\n<details>")[0]
                    cell.source = relink(cell.source, path, site)
                    if id := cell.metadata.get("exercise"):  # for who hears a list of the hints
                        more = words.of_exercise.format(id)
                        hidden = f'<span class="visually-hidden">{more}</span>'
                        cell.source = SUMMARY.sub(rf"<summary>\1{hidden}</summary>", cell.source)
            nbformat.write(nb, target)
            continue
        text = path.read_text(encoding="utf-8")
        if page.name == "index.md":
            text = first_page.fill(text, language(page))
        text = relink(text, path, site)
        text = copy_pictures(text, path, page, folder)
        if page.name == "index.md":
            text += tree(page, site)
        if page.name == "is_this_true.md":
            known = translation.translations("docs/is_this_true") if words.prefix else None
            text += claims(words, known)
        if page.name == "reference.md":
            text += "".join(MODULE.format(name=name) for name in modules())
        target.write_text(text, encoding="utf-8")


def lighten(html: Path) -> None:
    """Take out of the built pages what would only make them slow; the theme's words in Chinese."""
    for path in html.rglob("*.html"):
        text = ICONS.sub("", path.read_text(encoding="utf-8"))
        if path.name != "search.html":
            text = SEARCH.sub("", text)
        if language(path.relative_to(html)) == "zh":
            text = WORDS_OF_THEME.sub(lambda match: match[1] + THEME[match[2]], text)
        path.write_text(text, encoding="utf-8", newline="\n")
    for path in (html / "_static" / "scripts").glob("fontawesome.js*"):
        path.unlink()


def build(output: Path) -> int:
    """Build the site into `output`; every warning of Sphinx is an error."""
    from sphinx.cmd.build import main as sphinx

    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "pages"
        source.mkdir()
        copy_pages(source)
        settings = ["-D", f"html_theme_options.repository_url={address()}"]
        doctrees = ["-d", str(Path(temporary) / "doctrees")]
        options = ["-b", "html", "-W", "--keep-going", "-q", *settings, *doctrees]
        html = Path(temporary) / "html"  # beside it myst-nb leaves a folder of its own
        code = sphinx([*options, str(source), str(html)])
        if code == 0:
            lighten(html)
            shutil.copytree(html, output, dirs_exist_ok=True)
    if code == 0:
        if "/OWNER/" in f"{address()}/":
            print(
                "The links into the repository and to Colab lead nowhere yet: "
                "`python3 course.py address OWNER/NAME` sets the address."
            )
        print(f"Open {output / 'index.html'}")
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(f"{COMMAND} site", __doc__)
    parser.add_argument("folder", nargs="?", default=ROOT / "_site", help="default: _site/")
    return build(Path(parser.parse_args(arguments).folder).resolve())


if __name__ == "__main__":
    sys.exit(main())
