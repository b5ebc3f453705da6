"""The Chinese edition: texts cut into blocks, catalogues, and what is refused in a translation."""

import json
import re

import pytest

from tools import ROOT, CourseError
from tools.translation import __main__ as command
from tools.translation import blocks, catalogue, checks, exchange, sources
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
    before, after = "The network learns nothing.", "The network learns almost nothing."
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


def test_every_catalogue_is_in_step_with_the_english():
    for path in sorted(catalogue.FOLDER.glob("**/*.po")):
        name = path.relative_to(catalogue.FOLDER).with_suffix("").as_posix()
        if name.startswith("messages/"):
            continue
        todo = "`python3 course.py translate` brings it in step"
        assert path.read_bytes() == catalogue.written(catalogue.renewed(name)), f"{name}: {todo}"


def test_every_translation_in_the_catalogues_passes_the_checks():
    count, found = 0, []
    for name in sources.names():
        units = {unit.key: unit for unit in sources.units(name)}
        for message in catalogue.entries(catalogue.read(name)):
            if catalogue.is_translated(message):
                unit, sense = units[message.context, message.id], catalogue.other_sense(message)
                wrong = checks.problems(unit, message.string, name, sense)
                found += [f"{name} [{message.context}] {message.id[:60]}: {p}" for p in wrong]
                count += 1
    assert found == []
    assert count > 10


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
        ("paragraph", "**Predict:** which one?", "**预测**：哪一个？"),
        ("paragraph", "Shape (N, C, H, W), as *large* as this.", "形状为 (N, C, H, W)，同样*大*。"),
        ("paragraph", "About 60 million, 5 to 10 million.", "约 6000 万，500 万到 1000 万。"),
        ("paragraph", "It has three layers of 1.2 billion.", "它有 3 层，共 12 亿。"),
        ("paragraph", "The title is *Network in network*.", "题目是 *Network in network*。"),
        ("paragraph", "Global average pooling (GAP).", "全局平均池化（GAP；D2L：汇聚）。"),
        ("row", "| a layer | {n1} | `x` |", "| 一层 | {n1} | `x` |"),
        ("remark", "64 images, as in_channels", "64 张图像，同 in_channels"),
        ("item", "a 3×3 convolution;", "一个 3×3 卷积；"),
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
