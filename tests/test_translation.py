"""The Chinese edition: texts cut into blocks, catalogues, and what is refused in a translation."""

import ast
import json
import re

import nbformat
import pytest

from tools import ROOT, CourseError, authoring, cells
from tools.translation import __main__ as command
from tools.translation import (
    blocks,
    catalogue,
    checks,
    edition,
    exchange,
    notebooks,
    pages,
    sources,
)
from tools.translation.numbers import numbers
from tools.translation.sources import Unit
from tools.translation.typography import spaced
from utils.columns import columns
from utils.comments import WIDTH

# --- blocks ---------------------------------------------------------------------------------------

TEXT = """\
# Title

First *line*
and second.<!-- claim: 1.2 --> It is .806<!-- =a.json b.c .3f --> here.

- an item
  of two lines
  1. inside

> quoted
> twice

| a head | of a row |
|---|---|
| `x` 1 | {n} 2<!-- =c.json d d -->% |

<details>
<summary>Hint 1</summary>

Folded.

</details>

$$a = b$$

```python
x = 1  # a remark
```
"""


def test_markdown_is_cut_into_blocks():
    found = [(block.kind, block.text) for block in blocks.cut(TEXT)]
    assert found == [
        ("heading", "Title"),
        ("paragraph", "First *line* and second.{c1} It is {n1} here."),
        ("item", "an item of two lines"),
        ("item", "inside"),
        ("paragraph", "quoted twice"),
        ("row", "| a head | of a row |"),
        ("html", "Hint 1"),
        ("paragraph", "Folded."),
        ("remark", "a remark"),
    ]


def test_a_translation_takes_the_place_of_its_block():
    chinese = {"First *line* and second.{c1} It is {n1} here.": "是 {n1}。{c1}", "inside": "里面"}
    new = blocks.replaced(TEXT, blocks.cut(TEXT), lambda block: chinese.get(block.text, ""))
    assert "是 .806<!-- =a.json b.c .3f -->。<!-- claim: 1.2 -->\n" in new
    assert "  1. 里面\n" in new and "First" not in new
    others = [line for line in TEXT.splitlines() if line not in new.splitlines()]
    assert len(others) == 3


def every_text():
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            yield cell["cell_type"] == "code", "".join(cell["source"])
    for path in [
        *ROOT.glob("exercises/*/exercises.md"),
        *map(ROOT.joinpath, sources.PAGES.values()),
    ]:
        yield False, path.read_text(encoding="utf-8")


def test_every_block_of_the_course_is_found_where_it_stands():
    """Oracle: put back as they are, the blocks give a text that renders as before."""
    count = 0
    for is_code, text in every_text():
        found = blocks.comments(text) if is_code else blocks.cut(text)
        count += len(found)
        for block in found:
            raw = re.sub(r"\s*\n[\s>#]*", " ", text[block.start : block.end]).lstrip("# ")
            assert raw == block.filled(block.text)
        if not is_code:
            again = blocks.replaced(text, found, lambda block: block.text)
            assert rendered(again) == rendered(text)
    assert count > 3000


def rendered(text):
    return re.sub(r"\s+", " ", blocks.parser().render(text))


CODE = """\
# A comment
# of two lines.

# Another one, 3 of them.
x = "# none"  # a remark
for y in x:  # noqa: B007
    # (N, C, H, W)
    # inside
    pass
"""


def test_comments_of_code_are_blocks():
    found = [(block.kind, block.text) for block in blocks.comments(CODE)]
    assert found == [
        ("comment", "A comment of two lines."),
        ("comment", "Another one, 3 of them."),
        ("remark", "a remark"),
        ("comment", "(N, C, H, W) inside"),
    ]
    assert blocks.comments("def f(:\n  '''") == []
    long = "这是一段很长的注释，" * 12
    new = blocks.replaced(CODE, blocks.comments(CODE), lambda b: long if "inside" in b.text else "")
    lines = new.splitlines()[6:-1]
    assert len(lines) > 2 and all(line.startswith("    # ") for line in lines)
    assert all(columns(line) <= WIDTH for line in lines)
    assert not [line for line in lines if line.startswith("    # ，")]
    assert "".join(line[6:] for line in lines) == long


# --- catalogues -----------------------------------------------------------------------------------


def catalogue_of(*units, **chinese):
    new = catalogue.merged(catalogue.Catalog(locale="zh_CN"), units)
    for english, text in chinese.items():
        next(m for m in catalogue.entries(new) if m.id == english).string = text
    return new


def state(entries):
    return [(m.context, m.id, m.string, m.fuzzy, list(m.previous_id)) for m in entries]


def again(new):
    """The catalogue as it is read from its file."""
    return catalogue.parse(catalogue.written(new))


def test_a_catalogue_keeps_what_is_translated():
    old = catalogue_of(Unit("a", "one"), Unit("a", "two"), Unit("b", "one"), one="一", two="二")
    new = catalogue.merged(again(old), [Unit("b", "one"), Unit("c", "two"), Unit("c", "three")])
    assert state(catalogue.entries(new)) == [
        ("b", "one", "一", False, []),  # the same English in another place
        ("c", "two", "二", False, []),  # moved
        ("c", "three", "", False, []),
    ]


def test_changed_english_makes_a_translation_fuzzy_until_it_is_mended():
    long = 'It is "so" - and has many words, for which one line of a file is not enough.'
    before, after = (f"The network learns {n}. {long}" for n in ("nothing", "almost nothing"))
    old = catalogue_of(
        Unit("a", before), Unit("a", "Something else"), **{before: "网络学不到东西。"}
    )
    new = again(catalogue.merged(again(old), [Unit("a", after), Unit("a", "Something else")]))
    assert state(catalogue.entries(new))[0] == ("a", after, "网络学不到东西。", True, [before])
    assert not catalogue.is_translated(catalogue.entries(new)[0])
    # A second change still tells the English that the translation was made from.
    third = again(catalogue.merged(new, [Unit("a", f"{after} Why?")]))
    assert state(catalogue.entries(third))[0][3:] == (True, [before])
    # What was deleted comes back with its translation.
    gone = again(catalogue.merged(again(old), [Unit("a", "Something else")]))
    assert b"#~ msgid" in catalogue.written(gone)
    back = catalogue.merged(gone, [Unit("a", before)])
    assert state(catalogue.entries(back)) == [("a", before, "网络学不到东西。", False, [])]


def test_a_new_measurement_makes_nothing_stale():
    one, two = (f"It is {n}<!-- =a.json b.c .3f --> here." for n in (".806", ".9"))
    assert blocks.cut(one)[0].text == blocks.cut(two)[0].text == "It is {n1} here."


def test_every_translation_in_the_catalogues_passes_the_checks():
    done = sum(exchange.count(name)[0] for name in sources.names())
    assert [fault for name in sources.names() for fault in exchange.faults(name)] == []
    assert done > 10


def test_a_fault_in_a_catalogue_is_named(empty):
    new = catalogue.renewed("exercises/start")
    catalogue.entries(new)[0].string = "一轮有 128 批"
    catalogue.store("exercises/start", new)
    (fault,) = exchange.faults("exercises/start")
    assert "[start.1 title]" in fault and "does not have: 128" in fault


# --- spaces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("用**Adam**训练", "用 **Adam** 训练"),
        ("形状为(N, C, H, W)的张量", "形状为 (N, C, H, W) 的张量"),
        ("共{n1}个", "共 {n1} 个"),
        ("`check`会说 ，好", "`check` 会说，好"),
        ("[第4章](04_nin.ipynb)说", "[第 4 章](04_nin.ipynb)说"),
        ("见[ResNet](a.ipynb)一章", "见 [ResNet](a.ipynb) 一章"),
        ("**池化** 是", "**池化**是"),
        ("*Network in Network*（NiN）", "*Network in Network*（NiN）"),
        ("他说 “Network” 好", "他说“Network”好"),
        ("损失是$\\ln 10$。 然后", "损失是 $\\ln 10$。然后"),
        ("| 中文1 | （二） |", "| 中文 1 | （二） |"),
        ("Lin: *In*, arXiv “a b” c", "Lin: *In*, arXiv “a b” c"),
        ("一\n行 二", "一行二"),
        ("见 https://a.b/c 页", "见 https://a.b/c 页"),
        ("用{n1}{c1}张", "用 {n1}{c1} 张"),
        ("宽×高，50%的1×1", "宽×高，50% 的 1×1"),
    ],
)
def test_spaces_are_set_by_one_rule(before, after):
    assert spaced(before) == after == spaced(after)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("english", "chinese", "message"),
    [
        ("A paragraph.", " ", "empty"),
        ("It is {n1} here.", "是 0.8。", "placeholders differ from the English: it lacks {n1}"),
        ("Call `check` here.", "调用 `chek`。", "code differ from the English: it lacks `check`"),
        ("It is $x$ here.", "是 $y$。", "formulas differ"),
        ("See [this](a.md) page.", "见[这页](b.md)。", r"links differ.*lacks \(a.md\)"),
        ("It has in_channels of them.", "有 in_channel 个。", "names differ.*lacks in_channels"),
        ("It has 14,400 of them.", "有 14,000 个。", "Numbers of the English are missing: 14400"),
        ("It has many of them.", "有 7 个。", "numbers that the English does not have: 7"),
        ("It is *large* here.", "它很大。", r"renders with \*emphasis\* 0 times, not 1"),
        ("**Note:** do not.", "**注意：**不要。", "is left after rendering"),
        ("**Note:** do not.", "**注意**:不要。", "half-width mark"),
        ("A sentence here.", "第一句. 第二句。", "half-width mark"),
        ("A sentence here.", "用 NiN, 然后。", "half-width mark"),
        ("A sentence (of course).", "一句话(当然)。", "full-width brackets"),
        ("Pooling here.", "池化 (pooling) 在此。", "full-width brackets"),
        ('It is "here" now.', '它在"这里"。', "quotation marks"),
        ("A sentence ends.", "这一句写 NiN.", "half-width point"),
        ("You see it.", "您看。", "你, not 您"),
        ("Two lines here.", "一行\n两行。", "one line"),
        ("Two lines here.", "一行 两行。", "spaces are not by the rule"),
        ("The stride here.", "步长在此。", "By the glossary, stride is 步幅"),
        ("The pooling here.", "池化汇聚。", "says 池化, not 汇聚"),
        (
            "A paragraph here.",
            "这是 the paragraph that was left here 啊。",
            "English prose is left",
        ),
        ("Deeper: More of it", "延伸：更多", "In every chapter Deeper: is 深入："),
        ("**Predict:** what now?", "**猜测**：会怎样？", "is \\*\\*先猜一猜\\*\\*："),
        ("See the paragraph.", "See the paragraph.", "no Chinese"),
        ("First of all.", "1. 首先。", "something else than the English"),
    ],
)
def test_a_bad_translation_is_refused(english, chinese, message):
    found = checks.problems(Unit("a", english), chinese)
    assert re.search(message, "\n".join(found)), found


@pytest.mark.parametrize(
    ("kind", "english", "chinese"),
    [
        ("paragraph", "**Predict:** which one?", "**先猜一猜**：哪一个？"),
        ("paragraph", "Shape (N, C, H, W), as *large* as this.", "形状为 (N, C, H, W)，同样*大*。"),
        ("paragraph", "About 60 million, 5 to 10 million.", "约 6000 万，500 万到 1000 万。"),
        ("paragraph", "It has three layers of 1.2 billion.", "它有 3 层，共 12 亿。"),
        ("paragraph", "The title is *Network in network*.", "题目是 *Network in network*。"),
        ("paragraph", "Global average pooling (GAP).", "全局平均池化（GAP；D2L：汇聚）。"),
        ("row", "| a layer | {n1} | `x` |", "| 一层 | {n1} | `x` |"),
        ("remark", "64 images, as in_channels", "64 张图像，同 in_channels"),
        ("item", "a 3×3 convolution;", "一个 3×3 卷积；"),
        ("html", "2. How many are there?", "2. 一共有多少个？"),
    ],
)  # fmt: skip
def test_a_good_translation_is_taken(kind, english, chinese):
    assert checks.problems(Unit("a", english, kind), chinese) == []


def test_numbers_have_values():
    assert numbers("60 million and 6000 万, .806, 1,234.50 in ResNet-18 and conv2d") == numbers(
        "0.806 1234.5 60,000,000 6000 万"
    )


def test_papers_stay_as_they_are():
    paper = Unit(
        "a", "M. Lin and others: *Network In Network*, pooling of maps.", "item", "Sources"
    )
    assert checks.problems(paper, paper.english) == []


def test_a_row_keeps_its_cells():
    row = Unit("a", "| a layer | two |", "row")
    assert "another number of cells" in checks.problems(row, "| 一层 | 二 | 三 |")[0]


def test_a_term_may_have_another_sense():
    unit = Unit("a", "Restart the kernel.")
    assert checks.problems(unit, "重启内核。") and not checks.problems(
        unit, "重启内核。", "", "kernel"
    )


# --- the exchange ---------------------------------------------------------------------------------


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    return tmp_path


def test_the_exchange_takes_what_is_right_and_refuses_the_rest(empty, capsys):
    assert command.main(["todo", "exercises/start"]) == 0
    todo = json.loads(capsys.readouterr().out)
    assert len(todo) > 8 and todo[0]["kind"] == "heading"
    answers = [
        {**todo[0], "chinese": "一轮有多少批"},
        {**todo[2], "chinese": "用图像总数除以批量大小.余数该怎么办？"},
        {**todo[3], "chinese": ""},
        {"context": "start.9 task", "english": "No such block", "chinese": "没有"},
    ]
    file = empty / "answers.json"
    file.write_text(json.dumps(answers), encoding="utf-8")
    assert command.main(["fill", "exercises/start", str(file)]) == 1
    said = capsys.readouterr().out
    assert "1 taken, 2 refused" in said and "half-width" in said and "no such block" in said
    assert command.main(["todo", "exercises/start"]) == 0
    assert json.loads(capsys.readouterr().out) == todo[1:]
    assert command.main(["fill", "exercises/nothing", str(file)]) == 1
    assert "There is no catalogue exercises/nothing" in capsys.readouterr().err
    file.write_text('{"a": 1}', encoding="utf-8")
    with pytest.raises(CourseError, match="must hold a list"):
        exchange.read_answers(file)


def test_a_changed_block_is_asked_for_with_its_old_translation(empty):
    units = [u for u in sources.units("exercises/start")]
    before = [Unit(u.context, u.english.replace("55,000", "50,000"), u.kind) for u in units]
    old = catalogue.merged(catalogue.Catalog(locale="zh_CN"), before)
    for message in catalogue.entries(old):
        message.string = "旧"
    catalogue.store("exercises/start", old)
    todo = exchange.todo("exercises/start")
    assert todo and all(e["old"] == "旧" and "50,000" in e["previous"] for e in todo)
    assert len(todo) < len(units)


# --- the edition ----------------------------------------------------------------------------------


def test_the_edition_is_in_step_with_the_english():
    """Catalogues, Chinese notebooks and pages are byte by byte what would be written today."""
    assert edition.outdated() == [], "`python3 course.py translate` renews them"


COMPLETE = (catalogue.FOLDER / "complete.txt").read_text(encoding="utf-8").split()


def test_what_is_complete_has_no_block_without_a_translation(capsys):
    """And how far the others are, said aloud."""
    every = sources.names()
    assert set(COMPLETE) <= {*every, *others()}
    lacking = {}
    for name in {**dict.fromkeys(every), **dict.fromkeys(others())}:
        entries = catalogue.entries(catalogue.read(name))
        open_ = [m for m in entries if not catalogue.is_translated(m)]
        if open_:
            lacking[name] = f"{len(open_)} of {len(entries)} blocks are not translated"
    unfinished = [f"{n}: {text}" for n, text in lacking.items() if n not in COMPLETE]
    with capsys.disabled():
        print(*unfinished, sep="\n")
    assert {name: lacking.get(name, "") for name in COMPLETE} == dict.fromkeys(COMPLETE, "")


def others():
    """Catalogues that are made from the code: the messages."""
    found = catalogue.FOLDER.glob("messages/*.po")
    return [path.relative_to(catalogue.FOLDER).with_suffix("").as_posix() for path in found]


def read(folder, stem):
    return json.loads((ROOT / folder / f"{stem}.ipynb").read_text(encoding="utf-8"))


EXERCISE = r"\b[a-z_]+\.\d+\b"


def messages(cell):
    """What the checks of a cell have said; its other outputs are the same in both languages."""
    if "nbval-ignore-output" not in cell["metadata"].get("tags", []):
        return ""
    text = "".join("".join(output.get("text", "")) for output in cell.get("outputs", []))
    return text if re.match(rf"(练习 )?{EXERCISE}( is |: | |：)", text) else ""


def test_a_chinese_chapter_says_what_is_stored_in_it():
    stored = nbformat.from_dict(read("chapters_zh", "00_start_here"))
    for cell in stored.cells:
        cell.source = "".join(cell.source)
    with authoring.kernel(budget="smoke", COURSE_LANGUAGE="zh") as manager:
        ran = authoring.execute_in(manager, stored)
    said = {cell.id: messages(cell) for cell in ran.cells if cell.cell_type == "code"}
    assert {id: text for id, text in said.items() if text} == {
        cell.id: text for cell in stored.cells if (text := messages(cell))
    }
    assert sum(map(bool, said.values())) >= 4


def assert_speaks_chinese(code):
    """Comments of the code, and texts with more than one word, have Chinese in them."""
    texts = re.findall(r"(?:^|  )# (.*)", code, re.MULTILINE)
    texts += [
        node.value
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Constant)
        and " " in str(node.value).strip()
        and "://" not in str(node.value)
    ]
    assert texts and all(re.search("[\u4e00-\u9fff]", text) for text in texts), texts


@pytest.mark.parametrize("stem", sources.stems())
def test_a_chinese_notebook_has_the_cells_code_and_outputs_of_the_english(stem):
    """Read from the files alone, without what makes them."""
    english, chinese = read("chapters", stem), read("chapters_zh", stem)
    assert len(english["cells"]) == len(chinese["cells"])
    for one, two in zip(english["cells"], chinese["cells"]):
        for key in ("id", "cell_type", "metadata", "execution_count"):
            assert one.get(key) == two.get(key), (one["id"], key)
        if messages(one):
            assert re.search("[\u4e00-\u9fff]", messages(two)), one["id"]
            assert re.findall(EXERCISE, messages(one)) == re.findall(EXERCISE, messages(two))
        else:
            assert one.get("outputs") == two.get("outputs"), one["id"]
        if one["cell_type"] != "code":
            continue
        trees = [ast.dump(ast.parse("".join(cell["source"]))) for cell in (one, two)]
        if one["metadata"].get("role") == "bootstrap":
            # It goes into the notebook's own folder, and says in Chinese what went wrong.
            trees = [
                re.sub(r"Constant\(value='[^']*(?: |[。；])[^']*'\)", "TEXT", t) for t in trees
            ]
            trees[0] = trees[0].replace("'chapters'", "'chapters_zh'")
            assert_speaks_chinese("".join(two["source"]).replace("git clone --depth", ""))
        assert trees[0] == trees[1], one["id"]
    assert cells.as_shipped(chinese) == cells.fingerprints(chinese)
    assert chinese["metadata"]["course"]["outputs"] == cells.recorded(chinese)
    same = ("minutes", "main_minutes")
    assert all(
        english["metadata"]["course"].get(k) == chinese["metadata"]["course"].get(k) for k in same
    )


@pytest.mark.parametrize("stem", sources.stems())
def test_links_between_the_languages_and_to_pages_lead_somewhere(stem):
    for folder, other in (("chapters", "chapters_zh"), ("chapters_zh", "chapters")):
        nb = read(folder, stem)
        assert f"](../{other}/{stem}.ipynb)" in "".join(nb["cells"][0]["source"])
        text = "\n".join("".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "markdown")
        text = re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (ROOT / folder / target).exists(), target


def test_only_what_is_translated_and_not_fuzzy_is_shown(empty):
    stem, name = "00_start_here", "chapters/00_start_here"
    new = catalogue.renewed(name)
    first, second = [m for m in catalogue.entries(new) if m.context not in ("title", "needs")][:2]
    first.string, second.string = "第一段", "旧的一段"
    second.flags.add("fuzzy")
    catalogue.store(name, new)
    text = json.dumps(notebooks.translated(stem), ensure_ascii=False)
    assert "第一段" in text and "旧的一段" not in text
    shown = blocks.placeholders(text)[0]
    assert json.dumps(second.id)[1:-1] in shown and json.dumps(first.id)[1:-1] not in shown


def test_numbers_of_today_are_in_the_chinese_page(empty, monkeypatch):
    page = empty / "README.md"
    monkeypatch.setattr(pages, "ROOT", empty)
    monkeypatch.setattr(sources, "ROOT", empty)
    text = "# T\n\n[中文](README.zh-CN.md)\n\nIt has {}<!-- =course minutes.00 d --> "
    text += "of [them](docs/x.md).\n"
    page.write_text(text.format(30), encoding="utf-8")
    new = catalogue.renewed("docs/README")
    (message,) = (m for m in catalogue.entries(new) if "{n1}" in m.id)
    message.string = "[共](docs/x.md) {n1} 个。"
    catalogue.store("docs/README", new)
    for minutes in (30, 45):
        page.write_text(text.format(minutes), encoding="utf-8")
        chinese = pages.translated("docs/README")
        assert f"[共](docs/x.md) {minutes}<!-- =course minutes.00 d --> 个。\n" in chinese
        assert "[English](README.md)" in chinese


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("docs/teaching.md", "../README.md", "../../README.zh-CN.md"),
        ("docs/teaching.md", "evidence.md#cost", "../evidence.md#cost"),
        ("docs/teaching.md", "../chapters/04_nin.ipynb", "../../chapters_zh/04_nin.ipynb"),
        ("docs/teaching.md", "glossary.md", "glossary.md"),
        ("docs/teaching.md", "#planning-a-course", "#规划课程"),
        ("docs/teaching.md", "https://a.example/x", "https://a.example/x"),
        ("README.md", "docs/teaching.md#planning-a-course", "docs/zh/teaching.md#规划课程"),
        ("README.md", "results/figures/speed.png", "results/figures/speed.png"),
        ("chapters/04_nin.ipynb", "../docs/glossary.md", "../docs/zh/glossary.md"),
        ("chapters/04_nin.ipynb", "05_x.ipynb", "../chapters/05_x.ipynb"),
        ("chapters/04_nin.ipynb", "01_lenet.ipynb", "01_lenet.ipynb"),
    ],
)
def test_links_lead_to_the_chinese_edition(page, link, expected):
    anchors = {"planning-a-course": "规划课程"}
    text = "[a]({0}) and `[a]({0})`\n\n```\n[a]({0})\n```\n"
    new = pages.relinked(text.format(link), ROOT / page, lambda page: anchors)
    assert new == text.format(link).replace(f"[a]({link}) and", f"[a]({expected}) and")


def test_a_heading_has_its_anchor_in_both_languages(empty):
    name = "docs/teaching"
    new = catalogue.renewed(name)
    heading = next(m for m in catalogue.entries(new) if m.id == "Planning a course")
    heading.string = "规划一门课程（怎么排）"
    catalogue.store(name, new)
    assert pages.anchors(ROOT / "docs" / "teaching.md")["planning-a-course"] == "规划一门课程怎么排"
