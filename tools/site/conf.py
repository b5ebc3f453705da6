"""Sphinx settings of the course's web site; tools/site/build.py says what is built from what."""

import re
from itertools import pairwise

from sphinx.search import SearchEnglish

HAN = re.compile("[\\u3400-\\u9fff]+")

project = "One by One"
author = "The authors of One by One"
copyright = "The authors of One by One. Text and figures: CC BY 4.0; code: MIT"
language = "en"

extensions = [
    "myst_nb",
    "sphinx-mathjax-offline",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
# The reference: docstrings in the order of the files, `code` in single backticks.
autodoc_member_order = "bysource"
default_role = "code"
python_maximum_signature_line_length = 88
root_doc = "index"
# What is stored in the notebooks is shown; nothing is executed.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_html_meta = {
    "description": "Convolutional networks from LeNet to MobileNet, one chapter at a time, in "
    "notebooks that run."
}
suppress_warnings = ["myst.header"]  # an exercise is a smaller heading everywhere

html_theme = "sphinx_book_theme"
html_title = project
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_favicon = "static/icon.svg"
html_static_path = ["static"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_copy_source = False
html_domain_indices = False
html_use_index = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_persistent": [],  # else there are two fields to search in
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_repository_button": True,
}

if tags.has("pdf"):  # noqa: F821  (Sphinx puts it here)
    html_theme, html_theme_options, html_sidebars = "basic", {}, {}
    html_css_files, html_js_files = ["print.css"], []
    html_permalinks = False


class Search(SearchEnglish):
    """Finds 1×1, whether somebody types × or x, and Chinese words inside a sentence.

    Chinese has no spaces, so its words are all pairs of neighbouring characters: who looks for
    全局池化 finds pages with 全局, 局池 and 池化.
    """

    js_splitter_code = r"""
        var splitQuery = (query) => query.replaceAll("×", "x")
          .replace(/[\u3400-\u9fff]+/g, (run) => run.length < 2 ? ` ${run} ` :
            ` ${[...run].slice(1).map((character, i) => run[i] + character).join(" ")} `)
          .split(/[^\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu)
          .filter((term) => term);
    """

    def split(self, input: str) -> list[str]:
        return super().split(HAN.sub(pairs, input.replace("×", "x")))


def pairs(run: re.Match[str]) -> str:
    """All pairs of neighbours of a run of Chinese characters; a single one alone."""
    return f" {' '.join(map(''.join, pairwise(run[0]))) or run[0]} "


def show_code(app, what, name, thing, options, lines: list[str]) -> None:
    """Indented lines after a colon and an empty line are code, as in Markdown."""
    for i in range(len(lines) - 2):
        indented = lines[i + 2].startswith(" " * (len(lines[i]) - len(lines[i].lstrip()) + 4))
        if lines[i].endswith(":") and not lines[i + 1] and indented:
            lines[i] += ":"


def other_language(name: str) -> str:
    """The page in the other language, by the names of pages: zh/chapters/04_nin."""
    return name.removeprefix("zh/") if name.startswith("zh/") else f"zh/{name}"


def say_language(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Each page says its language, and where it is in the other one."""
    chinese = pagename.startswith("zh/")
    context["language"] = "zh-CN" if chinese else "en"
    other = other_language(pagename)
    if other in app.env.found_docs:
        code, address = "en" if chinese else "zh-CN", context["pathto"](other)
        link = f'<link rel="alternate" hreflang="{code}" href="{address}">'
        context["metatags"] = context.get("metatags", "") + f"\n{link}"


def setup(app) -> None:
    app.connect("html-page-context", say_language)
    app.add_search_language(Search)
    app.connect("autodoc-process-docstring", show_code)
