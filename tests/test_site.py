"""The web site: built once, every link and picture followed, and read in a real browser (long)."""

import functools
import gzip
import http.server
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from urllib.parse import quote, unquote, urlsplit

import nbformat
import pytest
from PIL import Image

from tools import ROOT
from tools.site import build, first_page

CHAPTERS = sorted(path.stem for path in ROOT.glob("chapters/[0-9]*.ipynb"))
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytest.importorskip("myst_nb", reason="not installed here: `course.py setup` does it")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "pages"
    done = subprocess.run(
        [sys.executable, "course.py", "site", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {
        path.relative_to(site).as_posix(): Page(path)
        for path in site.rglob("*.html")
        if "_static" not in path.parts
    }


class Page(HTMLParser):
    """What a page of the site links to and loads."""

    def __init__(self, path):
        super().__init__()
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.links, self.loaded, self.anchors = [], [], set()
        self.counts = {}
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("img", "script", "iframe", "source") and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(given["href"])


def test_every_page_is_there(pages):
    wanted = {f"chapters/{stem}.html" for stem in CHAPTERS}
    wanted |= {"index.html", "readme.html", "search.html", "contributing.html"}
    wanted |= {f"docs/{path.stem}.html" for path in ROOT.glob("docs/*.md")}
    wanted |= {f"zh/chapters/{stem}.html" for stem in CHAPTERS}
    wanted |= {"zh/index.html", "zh/readme.html"}
    wanted |= {f"zh/docs/{path.stem}.html" for path in ROOT.glob("docs/zh/*.md")}
    assert wanted <= pages.keys()


def test_pages_name_their_language_and_the_page_in_the_other_one(site, pages):
    chinese = [name for name in pages if name.startswith("zh/")]
    assert len(chinese) > len(CHAPTERS)
    for name in chinese:
        other = name.removeprefix("zh/")
        for here, there, code in ((name, other, "en"), (other, name, "zh-CN")):
            (address,) = re.findall(rf'hreflang="{code}" href="([^"]*)"', pages[here].text)
            assert (pages[here].path.parent / address).resolve() == (site / there).resolve()
            assert there in {
                os.path.relpath((pages[here].path.parent / link).resolve(), site.resolve())
                for link in (unquote(urlsplit(link).path) for link in pages[here].links)
            }, f"{here} has no link to {there}"
        assert 'lang="zh-CN"' in pages[name].text[:500] and 'lang="en"' in pages[other].text[:500]


def test_no_link_is_broken_and_no_picture_is_missing(site, pages):
    broken, followed = [], 0
    for name, page in pages.items():
        for address in page.links + page.loaded:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "mailto", "data", "javascript"):
                continue
            followed += 1
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            if not target.is_file():
                broken.append(f"{name}: {address}")
            elif parts.fragment and target.suffix == ".html":
                there = pages[target.relative_to(site.resolve()).as_posix()]
                if unquote(parts.fragment) not in there.anchors:
                    broken.append(f"{name}: {address} (no such place in the page)")
    assert broken == [] and followed > 100


def test_every_picture_says_what_it_is(pages):
    """Without a text of ours a screen reader would read the hash of the file."""
    found = 0
    for name, page in pages.items():
        for alt in re.findall(r'<img[^>]*\balt="([^"]*)"', page.text):
            found += 1
            assert re.search("[A-Za-z]{3}|[\u4e00-\u9fff]{2}", alt), name
            assert "_images/" not in alt and "\n" not in alt, f"{name}: {alt}"
    assert found > 80


def test_a_build_leaves_nothing_beside_the_site(site):
    assert [path.name for path in site.parent.iterdir()] == [site.name]


def test_nothing_is_loaded_from_elsewhere(pages):
    outside = {
        f"{name}: {address}"
        for name, page in pages.items()
        for address in page.loaded
        if urlsplit(address).scheme in ("http", "https") or address.startswith("//")
    }
    assert outside == set()


def test_links_out_lead_to_the_repository(pages):
    links = [link for page in pages.values() for link in page.links]
    ours = [link for link in links if "one-by-one" in link and link.startswith("http")]
    assert any("/blob/main/" in link for link in ours)
    assert not [link for link in links if link.endswith(".ipynb") and not link.startswith("http")]


@pytest.mark.parametrize("stem", CHAPTERS)
def test_a_chapter_has_its_pictures_hints_and_formulas(stem, pages):
    nb = nbformat.read(ROOT / "chapters" / f"{stem}.ipynb", as_version=4)
    page = pages[f"chapters/{stem}.html"]
    outputs = [o for c in nb.cells if c.cell_type == "code" for o in c.outputs]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    source = "\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    assert len([a for a in page.loaded if "_images/" in a]) == pictures
    folded = source.count("<details") - nb.cells[0].source.count("<details")  # the site has its own
    article = re.search("<article.*?</article>", page.text, re.DOTALL)[0]
    assert article.count("<details") == folded + 1  # the code of the first picture
    text = re.sub(r"^ *```.*?^ *```", "", source, flags=re.DOTALL | re.MULTILINE)
    formulas = re.findall(r"\$\$.+?\$\$|\$[^$\n]+\$", text, re.DOTALL)
    assert page.text.count('class="math') == len(formulas)
    assert "<!--" not in re.sub(r"<!--.*?-->", "", page.text, flags=re.DOTALL)


def test_a_broken_link_fails_the_build():
    page, site = ROOT / "docs" / "teaching.md", build.pages()
    with pytest.raises(FileNotFoundError, match=r"docs/teaching\.md: the link nowhere\.md leads"):
        build.relink("see [this](nowhere.md)", page, site)
    text = "[start](../README.md#results) [code](../utils/data.py) [out](https://a.org) [here](#x)"
    assert build.relink(text, page, site) == (
        f"[start](../readme.md#results) [code]({build.address()}/blob/main/utils/data.py) "
        "[out](https://a.org) [here](#x)"
    )


@pytest.mark.parametrize("name, up", [("index.html", ""), ("zh/index.html", "../")])
def test_the_first_page_has_a_card_with_a_picture_for_every_chapter(name, up, site, pages):
    page = pages[name]
    for stem in CHAPTERS:
        assert f"chapters/{stem}.html" in page.links, stem
        picture = f"_static/chapters/{stem}.png"
        assert f"{up}{picture}" in page.loaded, stem
        with Image.open(site / picture) as opened:
            assert opened.width <= first_page.PICTURE_WIDTH
            assert len(opened.convert("L").getcolors()) > 8  # not blank
    links = {link.partition("#")[0] for link in page.links}
    assert {"readme.html", f"{up}docs/evidence.html"} <= links
    assert f"{up}_static/figure.png" in page.loaded
    words = re.sub(r"<[^>]+>", "", page.text)
    assert all(f"python3 course.py {command}" in words for command in ("lab", "test"))


def test_the_chinese_first_page_is_in_chinese(pages):
    page = pages["zh/index.html"].text
    article = re.search("<article.*?</article>", page, re.DOTALL)[0]
    for hidden in (r"<script.*?</script>", r"<style.*?</style>", "<pre.*?</pre>"):
        article = re.sub(hidden, "", article, flags=re.DOTALL)
    read = re.findall(r'>[^<]*<|(?:aria-label|alt|title)="[^"]*"', article)
    assert len(re.findall("[\u4e00-\u9fff]", "".join(read))) > 400
    sentence = re.compile("[A-Za-z]+(?:[ ,.]+[A-Za-z]+){3,}")
    assert [text for text in read if sentence.search(text)] == []


def test_chinese_pages_have_the_words_of_the_theme_in_chinese(pages):
    text = "".join(page.text for name, page in pages.items() if name.startswith("zh/"))
    assert build.WORDS_OF_THEME.search(text) is None
    assert {word for word in build.THEME.values() if word not in text} == set()
    english = "".join(page.text for name, page in pages.items() if not name.startswith("zh/"))
    assert {match[2] for match in build.WORDS_OF_THEME.finditer(english)} == build.THEME.keys()


def test_the_claims_page_has_verdicts_in_its_language(pages):
    for name, verdicts in (
        ("docs/is_this_true.html", ("Wrong.", "Imprecise.", "Unsupported.")),
        ("zh/docs/is_this_true.html", ("错误。", "不准确。", "没有依据。")),
    ):
        article = re.search("<article.*?</article>", pages[name].text, re.DOTALL)[0]
        found = re.findall(r"</h3>\s*<p>([^<]*?[.。])", article)
        assert len(found) > 20 and set(found) == set(verdicts), name


@pytest.mark.parametrize(
    "language, start", [("en", "Test accuracy against"), ("zh", "Fashion-MNIST 测试准确率")]
)
def test_the_figure_of_the_first_page_is_described_elsewhere(language, start, monkeypatch):
    assert f'alt="{start}' in first_page.described(language)
    monkeypatch.setattr(first_page, "FIGURES", ("CONTRIBUTING.md",))
    with pytest.raises(FileNotFoundError, match=r"/ do not show CONTRIBUTING\.md"):
        first_page.described(language)
    monkeypatch.setattr(first_page, "FIGURES", ("results/figures/none.png",))
    with pytest.raises(FileNotFoundError, match="There is none of results/figures/none"):
        first_page.described(language)


def test_pages_wait_for_neither_icons_nor_the_search_index(site, pages):
    for name, page in pages.items():
        assert "fontawesome.js" not in page.text, name
        assert ("searchindex.js" in page.text) == (name == "search.html"), name
    assert not list(site.glob("_static/scripts/fontawesome*"))


def test_the_reference_has_every_module_with_signatures_and_docstrings(pages):
    page = pages["docs/reference.html"]
    assert {"utils.training", "utils.networks.nin", "utils.topics.memory"} < set(build.modules())
    for name in build.modules():
        assert f"module-{name}" in page.anchors, name
    assert {"utils.training.fit", "utils.data.load", "exercises.engine.check"} <= page.anchors
    text = re.sub(r"<[^>]+>", "", page.text)
    assert "learning_rate" in text and "Raises:" in text
    assert "``" not in text and not re.search(r"\bArgs:", text)


# --- in a browser ---------------------------------------------------------------------------------


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def browser(site):
    if BROWSER is None:
        pytest.skip("no Chromium or Chrome found")
    api = pytest.importorskip("playwright.sync_api", reason="python -m pip install playwright")
    handler = functools.partial(Silent, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium, f"http://127.0.0.1:{server.server_port}"
        chromium.close()
    server.shutdown()


@pytest.mark.long
@pytest.mark.parametrize("width, scheme", [(1280, "light"), (390, "light"), (1280, "dark")])
def test_pages_in_a_browser(browser, width, scheme):
    chromium, address = browser
    page = chromium.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    trouble = []
    page.on("console", lambda m: trouble.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("requestfailed", lambda request: trouble.append(request.url))
    page.on("request", lambda r: None if r.url.startswith(address) else trouble.append(r.url))
    for name in ["index", *(f"chapters/{stem}" for stem in CHAPTERS)]:
        page.goto(f"{address}/{name}.html")
        page.wait_for_load_state("networkidle")
        formulas = page.locator(".math").count()
        page.wait_for_function(
            "n => document.querySelectorAll('mjx-container').length >= n", arg=formulas
        )
        assert page.locator("mjx-merror").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_function("[...document.images].every(i => i.complete)")
        assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)"), name
    assert trouble == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(map(int, re.findall(r"\d+", background)[:3])) < 200
    assert dark == (scheme == "dark")


@pytest.mark.long
def test_the_first_page_is_soon_there(browser, site):
    """What has to be loaded before one can play takes a line of 1.6 Mbit/s under 3 seconds."""
    chromium, address = browser
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    asked = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path.lstrip("/")))
    page.goto(f"{address}/index.html", wait_until="commit")
    page.wait_for_selector("#play[data-ready]", timeout=60_000)
    needed = {name for name in asked if not name.endswith((".png", ".woff2"))}  # those come late
    assert {"index.html", "_static/play/network.js"} <= needed
    size = sum(len(gzip.compress((site / name).read_bytes())) for name in needed)
    assert 3 * 0.15 + size / 200_000 < 3, f"{size} bytes in {len(needed)} files"
    page.wait_for_function("!document.getElementById('play-late-icons')")
    page.close()


def test_chinese_words_of_two_characters_are_in_the_search_index():
    """Split alike in the index (Python) and in a query (JavaScript)."""
    settings = runpy.run_path(str(ROOT / "tools" / "site" / "conf.py"), {"tags": set_of_no_tags()})
    search = settings["Search"]({})
    said = {
        "全局平均池化（pooling）": ["全局", "局平", "平均", "均池", "池化", "pooling"],
        "1×1卷积的残差": ["1x1", "卷积", "积的", "的残", "残差"],
        "一 batch_norm 层": ["一", "batch_norm", "层"],
    }
    assert {text: search.split(text) for text in said} == said
    if node := shutil.which("node"):
        program = f"{search.js_splitter_code}; console.log(JSON.stringify(" + (
            f"{json.dumps(list(said))}.map(splitQuery)))"
        )
        done = subprocess.run([node, "-e", program], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == list(said.values())


def set_of_no_tags():
    """What Sphinx gives conf.py as `tags`."""
    from sphinx.util.tags import Tags

    return Tags()


@pytest.mark.long
def test_search_and_folded_hints(browser):
    chromium, address = browser
    page = chromium.new_page()
    for words in ("dropout", "1×1", "3x3", "池化", "全局平均"):
        page.goto(f"{address}/search.html?q={quote(words)}")
        page.wait_for_selector("#search-results li a")
    page.goto(f"{address}/chapters/04_nin.html")
    hint = page.locator("details").first
    inside = hint.locator("p, pre").first
    assert not inside.is_visible()
    hint.locator("summary").click()
    assert inside.is_visible()
