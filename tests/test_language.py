"""The language of a learner: the choice, catalogues, and messages in it.

There are no translations needed here: a pseudo-translation puts every message into ⟦…⟧, so that
what was not recognised is what is outside of these.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from chinese import HOLE, english_left, faults, pseudo
from chinese import recogniser as all_messages

import course
from exercises import engine, texts
from tools import CourseError, jupyterlab
from tools.translation import blocks, messages, sources
from utils import language, notebook
from utils.columns import columns, wrapped
from utils.comments import with_comments
from utils.recognise import Recogniser, tidied


def recogniser(*templates):
    return Recogniser({template: pseudo(template) for template in templates})


@pytest.fixture(scope="module")
def everything():
    """What knows every message of the course."""
    return all_messages()


@pytest.fixture
def chinese(monkeypatch, tmp_path):
    """A course in Chinese, whose catalogues are in a folder of the test."""
    monkeypatch.setenv("COURSE_LANGUAGE", "zh")
    monkeypatch.setattr(language, "folder", lambda chosen="zh", root=None: tmp_path)
    language.recogniser.cache_clear()

    def put(name, *entries):
        path = tmp_path / f"{name}.po"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            f"msgctxt {json.dumps(context)}\nmsgid {json.dumps(english)}\n"
            f"msgstr {json.dumps(translation, ensure_ascii=False)}\n"
            for context, english, translation in entries
        ]
        path.write_text("\n".join(lines), encoding="utf-8")

    yield put
    language.recogniser.cache_clear()


# --- which language -------------------------------------------------------------------------------


def test_the_variable_counts_first_then_the_choice_then_the_notebook(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_LANGUAGE", raising=False)
    monkeypatch.setenv("COURSE_UNDER_PYTEST", "0")
    monkeypatch.setattr(language, "settings_path", lambda root=None: tmp_path / "settings.json")
    assert language.language() == "en"
    folder = tmp_path / language.CHINESE_CHAPTERS
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert language.language() == "en"  # a script in this folder is no notebook
    monkeypatch.setattr(notebook, "shell", lambda: object())
    assert language.language() == "zh"
    monkeypatch.chdir(tmp_path)
    assert language.language() == "en"
    language.store("zh")
    assert language.language() == "zh"
    monkeypatch.setenv("COURSE_LANGUAGE", "en")
    assert language.language() == "en"
    monkeypatch.setenv("COURSE_LANGUAGE", "zh_CN.UTF-8")
    assert language.language() == "zh"
    monkeypatch.delenv("COURSE_LANGUAGE")
    language.store("en")
    assert language.language() == "en" and not (tmp_path / "settings.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"language": "fr"}', '{"language": 3}'])
def test_damaged_settings_count_as_none(tmp_path, content):
    (tmp_path / "settings.json").write_text(content, encoding="utf-8")
    assert language.stored(tmp_path) == ""


# --- catalogues -----------------------------------------------------------------------------------

PO = r"""
# a remark
msgid ""
msgstr ""
"Language: zh_CN\n"

#. heading
msgctxt "nin.2 task"
msgid "One \"block\" with a \\ and a\ttab"
msgstr ""
"一个"
"块\n"

#, fuzzy, python-brace-format
#| msgid "before"
msgctxt "nin.2 task"
msgid "Changed"
msgstr "旧"

msgid "Empty"
msgstr ""

#, python-brace-format
msgid "{count} is not right."
msgstr "{count} 不对。"

#~ msgid "Gone"
#~ msgstr "没了"
"""


def of_babel(content):
    entries = read_po(io.BytesIO(content), locale="zh_CN")
    return {(m.context or "", m.id): m.string for m in entries if m.id and m.string and not m.fuzzy}


def test_a_catalogue_is_read_as_babel_reads_it(chinese, tmp_path):
    (tmp_path / "some.po").write_text(PO.lstrip(), encoding="utf-8")
    found = language.catalogue("some")
    assert found == of_babel(PO.lstrip().encode())
    assert found["nin.2 task", 'One "block" with a \\ and a\ttab'] == "一个块\n" and len(found) == 2
    assert language.catalogue("none") == {}


def test_all_catalogues_are_read_as_babel_reads_them():
    folder = language.folder("zh")
    names = [p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.po")]
    assert names
    for name in names:
        assert language.catalogue(name) == of_babel((folder / f"{name}.po").read_bytes()), name


# --- messages in the sources ----------------------------------------------------------------------


def found_in(code):
    return [m.text for m in messages.of_source(code, "exercises/x/checks.py")]


def test_messages_are_read_from_the_code():
    code = '''
"""A docstring with several words."""
SLIPS["x.1"] = {"The last ReLU is missing.": ("nn.ReLU(), a", "b of c"), **{
    f"The {name} half is used.": (f"x[{name}]", "y of z") for name in ("first", "x[0]")}}
def check(answer):
    """Another one of several words."""
    if answer["two words"] == "some other words" or re.search("a pattern of words", answer):
        raise Wrong(f"{len(answer):,} is not right. {cause}")
    verb = "is" if len(missing) == 1 else "are"
    text = f"{names} {verb} missing" + f", as {count} channel{'' if count == 1 else 's'} "
    return "It computes "\\
        "what it should, {curly} brackets included."
'''
    assert found_in(code) == [
        "The last ReLU is missing.",
        "The {name} half is used.",
        "first",
        "{count} is not right.",
        "is",
        "are",
        "{names} {verb} missing, as {count} channel",
        "{names} {verb} missing, as {count} channels",
        "It computes what it should, {{curly}} brackets included.",
    ]


def test_two_templates_that_differ_in_names_alone_are_one(tmp_path):
    folder = tmp_path / "exercises" / "x"
    folder.mkdir(parents=True)
    code = 'a = f"{mine} is not what {yours} is."\nb = f"{left} is not what {right} is."\n'
    (folder / "checks.py").write_text(code, encoding="utf-8")
    (first, *others) = [m.text for m in messages.messages("checks", tmp_path)]
    assert first == "{mine} is not what {yours} is." and not any("what" in text for text in others)


def test_the_catalogues_hold_what_people_read():
    for name in messages.CATALOGUES:
        found = messages.messages(name)
        assert len(found) > 100
        for message in found:
            assert re.search("[A-Za-z]{2,}|^a ", HOLE.sub("", message.text)), message
            assert "\n" not in message.text and message.text == message.text.strip()


# --- recognition ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("templates", "text", "said"),
    [
        (["{count} is not right."], "60,480 is not right.", "⟦60,480⟧"),
        (["It is wrong.", "Look at {x}."], "It is wrong. Look at `a. b`.", "⟦⟧ ⟦`a. b`⟧"),
        (["A list is expected."], "a list is expected", "⟦⟧"),  # a clause of another sentence
        (["a tensor of shape {s}", "{a} gives {b}."], "f(2) gives a tensor of shape (2, 3).",
         "⟦f(2)|⟦(2, 3)⟧⟧"),
        (["{a} and {b}", "the first", "the last"], "the first and the last", "⟦⟦⟧|⟦⟧⟧"),
        (["{what} raised {error}."], "f(1) raised ValueError: this is bad (no, very bad).",
         "⟦f(1)|ValueError: this is bad (no, very bad)⟧"),
        (["Right."], "Something else happened. Right.", "Something else happened. ⟦⟧"),
        (["{n} is wrong."], "Something else is said here.", "Something else is said here."),
        (["`{a}` is missing{b}"], "`None` is missing.", "⟦None|⟧。"),
        (["Use {{x}}."], "Use {x}.", "⟦⟧"),
    ],
)  # fmt: skip
def test_a_text_is_taken_apart(templates, text, said):
    assert recogniser(*templates).translate(text) == said


def test_lines_keep_their_order_and_indentation():
    assert recogniser("One thing.").translate("One thing.\n\n  One thing.") == "⟦⟧\n\n  ⟦⟧"


def test_beside_chinese_the_signs_are_chinese():
    known = Recogniser({"{a} is wrong": "{a} 不对", "it is {b}.": "它是 {b}。", "a list": "列表"})
    assert known.translate("a list is wrong; it is a list.") == "列表不对；它是列表。"
    assert known.translate('"macs": 7 is wrong') == '"macs": 7 不对'
    known = Recogniser(
        {"your module{which} is wrong.": "你的模块{which}不对。", "of {n}": "（{n}）"}
    )
    assert known.translate("your module, of 7, is wrong.") == "你的模块，（7），不对。"


def test_every_message_is_recognised_as_itself(everything):
    """A template with something in each hole is taken for itself, or for another that says it."""
    for template in everything.translations:
        text = HOLE.sub("7", template).replace("{{", "{").replace("}}", "}")
        assert not everything.unread(text), template


def test_a_learners_answer_is_told_in_chinese(chinese, capsys, monkeypatch):
    chinese(
        "messages/engine",
        ("", "{id} is {outcome}", "{id} {outcome}"),
        ("", "wrong", "不对"),
        ("", "{number} is not right.", "{number} 不是正确答案。"),
        ("", "A dictionary with the keys {keys} is expected, not {answer}.",
         "应该是一个有键 {keys} 的字典，而不是 {answer}。"),
    )  # fmt: skip
    engine.check("nin.1", [5], example=True)
    text = capsys.readouterr().out.replace("\n", "")
    assert text == 'nin.1 不对：应该是一个有键 "parameters" 和 "macs" 的字典，而不是 [5]。'.replace(
        "和", "and"
    )


def test_english_that_is_left_is_found():
    """The oracle of the tests of all exercises."""
    assert english_left("60,480 is not right. Nobody has ever written this sentence.") == [
        "Nobody has ever written this sentence."
    ]
    assert not english_left("f(1) raised ValueError: this is torch's own affair (all of it).")
    assert not english_left("nin.1 is wrong: 60,480 is not right.")


FAULTY = [
    ("张量, 形状不对。", "a half-width sign"),
    ("不对 : 全是零", "a half-width sign"),
    ("应当是卷积. 权重不对。", "a half-width sign"),
    ("不对 (其中的 89%)", "a half-width bracket"),
    ("缺了 a 卷积", "an English article"),
    ("两个卷积s", "an English plural"),
    ("图的的高", "a doubled word"),
    ("不对 ，应当是 2", "a space beside a sign"),
    ("4 个 张量", "a space inside"),
    ("取2 个", "no space"),
    ("缺了 {layer}", "a hole"),
    ("（高。", "half of a pair of brackets"),
]


@pytest.mark.parametrize(("text", "fault"), FAULTY)
def test_faults_of_chinese_are_found(text, fault):
    assert any(found.startswith(fault) for found in faults(text))
    assert not faults("f(形状为 (2, 3) 的张量, 1) 给出 `a, b`（第 3 行：“x = [1, 2]”）。")


def test_the_chinese_of_every_message_is_written_as_chinese():
    """With a number, code, a Chinese word and a shape in its holes."""
    for name in messages.CATALOGUES:
        for translation in language.catalogue(f"messages/{name}").values():
            for value in ("7", "`x`", "卷积", "(2, 3)"):
                assert not faults(tidied(HOLE.sub(value, translation))), translation


IN_CHINESE = {
    "f(tensor of shape (3, 3), 1, 0) gives a tensor of shape (4, 6) with the wrong values in it "
    "(89% of them; at [0, 1] 4.2, right is 4.5).":
    "f(形状为 (3, 3) 的张量, 1, 0) 给出形状为 (4, 6) 的张量，其中的值不对"
    "（其中的 89%；在 [0, 1] 处是 4.2，正确的是 4.5）。",
    "in your module (made with channels=3, widths=(9, 7)) this is wrong: a batch norm "
    "(`BatchNorm2d(9)`) and a dropout (`Dropout(0.5)`) are too many.":
    "你的模块（以 channels=3, widths=(9, 7) 建出）有这一处不对："
    "多了一个批归一化（`BatchNorm2d(9)`）和一个 Dropout（`Dropout(0.5)`）。",
    "`self.4` (`Conv2d(7→11, 3×3, padding 1)`) should be 1×1, not 3×3, and have padding 0, not 1; "
    "besides, the third ReLU is missing: one belongs after the third convolution":
    "`self.4`（`Conv2d(7→11, 3×3, padding 1)`）应该是 1×1，而不是 3×3，并且让填充为 0，而不是 1；"
    "此外，第三个卷积之后缺了第三个 ReLU",
    '"macs", "direct" and "detour" are missing. A dictionary with the keys "macs", "direct" and '
    '"detour" is expected.':
    '缺了 "macs"、"direct" 和 "detour"。应当是一个含有键 "macs"、"direct" 和 "detour" 的字典。',
    "ReLUs are missing: one belongs after each of the first convolution, the second convolution":
    "下面各处之后都缺了 ReLU：第一个卷积，第二个卷积",
    "f(1) gives nothing (None), but a torch module is expected.":
    "f(1) 给出 None（什么也没有），而这里应当是一个 torch 模块。",
    "epoch 3/3: train loss 0.429, train accuracy 84.3%, 14.9 s an epoch (stuck)":
    "第 3/3 轮：训练损失 0.429，训练准确率 84.3%，14.9 秒/轮（停滞）",
}  # fmt: skip


@pytest.mark.parametrize("english", IN_CHINESE, ids=range(len(IN_CHINESE)))
def test_what_learners_read(english, monkeypatch):
    monkeypatch.setenv("COURSE_LANGUAGE", "zh")
    assert language.translate(english) == IN_CHINESE[english]


def test_messages_are_quick(everything):
    text = (
        "inception.3 is wrong: in your module (made with in_channels=8, one=4, three=(6, 7), "
        "five=(9, 11), pool=10) this is wrong: `self.b4` ends without a "
        "convolution: after the max pooling in `self.b4` a convolution is missing. For an input "
        "of shape (2, 8, 7, 9) your module gives the shape (2, 30, 7, 9); (2, 32, 7, 9) is right."
    )
    assert not everything.unread(text)
    everything._line.cache_clear()
    start = time.process_time()
    everything.translate(text)
    assert time.process_time() - start < 0.5


# --- exercises ------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", texts.groups())
def test_blocks_are_found_without_a_parser_of_markdown(group):
    """The oracle cuts Markdown with markdown-it."""
    for text in texts.read(group):
        for context, source, is_code in sources.exercise_parts(text):
            cut = blocks.comments(source) if is_code else blocks.cut(source)
            other = {block.text: f"块 {number}" for number, block in enumerate(cut)}
            wanted = blocks.replaced(source, cut, lambda block: other[block.text])  # noqa: B023
            if is_code:
                found = with_comments(source, lambda text: other.get(text, ""))  # noqa: B023
            else:
                found = texts.with_blocks(source, other.items())
            assert found == wanted, context


def test_an_exercise_is_chinese_block_by_block(chinese):
    english = texts.find("nin.2")
    first, *_ = blocks.cut(english.task)
    chinese(
        "exercises/nin",
        ("nin.2 title", english.title, "mlpconv 块"),
        ("nin.2 task", first.text, "第一段。"),
        ("nin.2 task", "no such block", "没有"),
    )
    text = texts.find("nin.2", "zh")
    assert text.title == "mlpconv 块" and "第一段。" in text.task
    assert text.task.replace("第一段。", "") == english.task.replace(
        english.task[first.start : first.end], ""
    )
    assert (text.stub, text.solution, text.hints) == (english.stub, english.solution, english.hints)


# --- showing --------------------------------------------------------------------------------------


def test_lines_are_wrapped_between_chinese_characters():
    lines = wrapped("  这个模块的输出（形状为 (2, 3)）不对，应该是“四”个通道。" * 5, 40)
    assert all(columns(line) <= 42 for line in lines) and len(lines) > 5
    assert not any(line[0] in "，。）”" for line in lines) and lines[0].startswith("  ")


def test_exceptions_of_the_course_are_shown_in_chinese(chinese, monkeypatch):
    chinese(
        "messages/training", ("", "{option} must be one of {listed}.", "{option} 应为 {listed}。")
    )
    handlers, shown = {}, []
    shell = types.SimpleNamespace(
        kernel=1,
        set_custom_exc=lambda kinds, handler: handlers.update({kinds: handler}),
        showtraceback=lambda info, tb_offset: shown.append(str(info[1])),
    )
    monkeypatch.setattr(notebook, "shell", lambda: shell)
    monkeypatch.setenv("COURSE_UNDER_PYTEST", "0")
    language.explain_exceptions()

    def show(file):
        code = compile("raise ValueError('kind must be one of 1, 2.')", file, "exec")
        try:
            exec(code)
        except ValueError as error:
            handlers[(Exception,)](shell, ValueError, error, error.__traceback__)

    show(str(language.ROOT / "utils" / "x.py"))
    show(str(Path(language.ROOT.anchor) / "elsewhere" / "x.py"))
    assert shown == ["kind 应为 1, 2。", "kind must be one of 1, 2."]


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "others", "chosen"),
    [
        (["--language", "zh", "--port=1"], ["--port=1"], "zh"),
        (["a", "--language=zh"], ["a"], "zh"),
        (["--language=zh", "--language", "en"], [], ""),
        (["--no-browser"], ["--no-browser"], ""),
    ],
)
def test_the_command_keeps_the_choice(monkeypatch, tmp_path, arguments, others, chosen):
    monkeypatch.setattr(language, "settings_path", lambda root=None: tmp_path / "settings.json")
    assert jupyterlab.choose_language(arguments) == others
    assert language.stored() == chosen


@pytest.mark.parametrize("arguments", [["--language"], ["--language", "fr"], ["--language="]])
def test_another_language_is_refused(monkeypatch, tmp_path, arguments):
    monkeypatch.setattr(language, "settings_path", lambda root=None: tmp_path / "settings.json")
    with pytest.raises(CourseError, match="--language is en or zh, not"):
        jupyterlab.choose_language(arguments)
    assert not (tmp_path / "settings.json").exists()


def test_jupyterlab_opens_the_chapter_of_the_language(monkeypatch, tmp_path):
    def start(command, **variables):
        started.append((command[-1], variables["JUPYTER_CONFIG_PATH"]))

    started = []
    monkeypatch.setattr(course, "hand_over", start)
    monkeypatch.setattr(jupyterlab, "ROOT", tmp_path)
    monkeypatch.setattr(course.environment, "prepare", lambda cpu=False: "python")
    monkeypatch.setattr(course.data_files, "check_sizes", lambda: None)
    options = types.SimpleNamespace(passed=[])
    for chosen, folders, opened in (
        ("en", ["chapters", "chapters_zh"], "chapters"),
        ("zh", ["chapters"], "chapters"),
        ("zh", ["chapters", "chapters_zh"], "chapters_zh"),
    ):
        shutil.rmtree(tmp_path)
        for folder in folders:
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / "00_start_here.ipynb").touch()
        monkeypatch.setenv("COURSE_LANGUAGE", chosen)
        course.lab(options)
        last, settings = started.pop()
        assert last.endswith(f"/lab/tree/{opened}/00_start_here.ipynb")
        assert (Path(".jupyter", "zh").as_posix() in settings.replace("\\", "/")) is (
            chosen == "zh"
        )


def test_jupyterlab_gets_chinese_menus():
    """What JupyterLab itself reads of the settings."""
    _, variables = jupyterlab.server(sys.executable, {}, language="zh")
    code = "from jupyterlab_server.settings_utils import _get_overrides as f; print(f('none')[0])"
    for settings, menus in ((variables, "zh_CN"), (jupyterlab.server("")[1], "")):
        environ = {**os.environ, "JUPYTER_CONFIG_PATH": settings["JUPYTER_CONFIG_PATH"]}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environ, capture_output=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        assert (menus in done.stdout) if menus else ("locale" not in done.stdout)


def test_jupyterlabs_own_words_are_there_in_chinese():
    from jupyterlab_server.translation_utils import get_language_pack

    pack, fault = get_language_pack("zh_CN")
    kernel = pack["jupyterlab"]["About the %1 Kernel"]
    assert not fault and kernel == ["关于 %1 内核"]
