"""The cells of a chapter that are generated, in English and in Chinese.

They are the header (title, links), the two cells that start a chapter, and the four cells of every
exercise. Their words are kept here, those of the exercises in `exercises`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import nbformat
from nbformat import NotebookNode
from nbformat.corpus.words import generate_corpus_id as random_cell_id

from exercises import texts
from tools.address import addresses, mirror_link, repository
from tools.cells import generated_id

BOOTSTRAP = """\
# @title {finds}
import subprocess
import sys
from pathlib import Path

addresses = "{addresses}".split()
here, name = Path.cwd(), addresses[0].rpartition("/")[2]
last = "utils/training.py"  # {last_file}
patterns = (last, f"{{name}}*/{{last}}", f"{{name}}*/{{name}}*/{{last}}")
places = [(up, p) for up in (here, *here.parents) for p in patterns] + [(here, f"*/{{last}}")]
found = (file.parents[1] for up, p in places for file in sorted(up.glob(p)))
ours = ("course.py", "exercises/engine.py")
root = next((copy for copy in found if all((copy / file).exists() for file in ours)), None)
if root is None:
    root = here / (name + "-new" * len([*here.glob(f"{{name}}*")]))  # {interrupted}
    fetch = " || ".join(f'git clone --depth 1 {{address}} "{{root}}"' for address in addresses)
    if subprocess.run(fetch, shell=True).returncode:
        raise RuntimeError(
            f"{not_fetched}"
            "{instead}"
        )
sys.path.insert(0, str(root))
import course

course.start("{folder}")
"""

DEVICE = """\
from exercises.engine import check, hint, solution, use
from utils import budget, device

print(f"{device.describe()}, budget {budget.current()}")
"""


@dataclass(frozen=True)
class Words:
    """What the generated cells say in one language, and the folder of its chapters."""

    folder: str
    title: str
    link: str
    colab: str
    minutes: str
    with_deeper: str
    needs: str
    comma: str
    other_language: str
    summary: str
    previous: str
    next: str
    glossary: str
    mirror: str
    exercise: str
    difficulty: str
    hint: str
    discussion: str
    solution: str
    # in the first code cell, where the course itself is not there yet
    finds: str
    last_file: str
    interrupted: str
    not_fetched: str
    instead: str


WORDS = {
    "en": Words(
        folder="chapters",
        title="Chapter {number}: {title}",
        link="{number} {title}",
        colab="Open in Colab",
        minutes="About {minutes} minutes",
        with_deeper=", or {minutes} with all *Deeper* sections",
        needs="Needs: ",
        comma=", ",
        other_language="[中文](../chapters_zh/{stem}.ipynb)",
        summary="Other ways to open it, and the chapters beside it",
        previous="Previous: ",
        next="Next: ",
        glossary="Words: [English and 中文](../docs/glossary.md)",
        mirror="Mirror",
        exercise="Exercise {id}: {title}",
        difficulty="*Difficulty {difficulty} of 3, about {minutes} minutes.*",
        hint="Hint {number}",
        discussion="What one can answer",
        solution="Solution",
        finds="Finds the course; fetches it if this notebook was opened alone (Colab, Kaggle).",
        last_file="the last file of a copy: where it is, nothing is missing",
        interrupted="not into a half fetched one",
        not_fetched="git could not fetch {addresses[0]}: is it installed, and the internet on "
        "(Kaggle: ",
        instead="Settings)? Or unpack the ZIP file of the course and open this notebook in there.",
    ),
    "zh": Words(
        folder="chapters_zh",
        title="第 {number} 章 {title}",
        link="第 {number} 章 {title}",
        colab="在 Colab 中打开",
        minutes="约 {minutes} 分钟",
        with_deeper="，连同全部*深入*小节约 {minutes} 分钟",
        needs="预备知识：",
        comma="、",
        other_language="[English](../chapters/{stem}.ipynb)",
        summary="其他打开方式，以及前后的章节",
        previous="上一章：",
        next="下一章：",
        glossary="术语：[中英对照](../docs/zh/glossary.md)",
        mirror="镜像",
        exercise="练习 {id}：{title}",
        difficulty="*难度 {difficulty}（共 3 级），约 {minutes} 分钟。*",
        hint="提示 {number}",
        discussion="可以怎样回答",
        solution="答案",
        finds="找到课程；单独打开这一章时（Colab、Kaggle），先下载整个课程",
        last_file="下载时最后到的文件：有它就齐全",
        interrupted="没下载完的不再使用",
        not_fetched="git 无法下载 {addresses[0]}：是否已安装 git？网络能用吗（Kaggle：Settings）？",
        instead="也可以下载课程的 ZIP 压缩包，解压后打开里面的这一章。",
    ),
}


def markdown(text: str) -> NotebookNode:
    """A Markdown cell."""
    return _cell("markdown", text.strip("\n"), {})


def code(source: str, tags: Sequence[str] = ()) -> NotebookNode:
    """A code cell. The tag `nbval-ignore-output` belongs on cells whose output may differ."""
    metadata = {"tags": list(tags)} if tags else {}
    cell = _cell("code", source.strip("\n"), metadata)
    return NotebookNode({**cell, "outputs": [], "execution_count": None})


def _cell(kind: str, source: str, metadata: dict) -> NotebookNode:
    """As nbformat makes a cell, without its validation, which takes most of the time."""
    values = {"cell_type": kind, "id": random_cell_id(), "metadata": metadata, "source": source}
    return nbformat.from_dict(values)


def generated_cell(role: str, cell: NotebookNode, id: str = "") -> NotebookNode:
    cell.metadata = NotebookNode({"exercise": id, "role": role} if id else {"role": role})
    if role in ("device", "check"):  # depends on the machine, and on the language of the checks
        cell.metadata["tags"] = ["nbval-ignore-output"]
    if role in ("bootstrap", "device"):  # folded in JupyterLab
        cell.metadata["jupyter"] = {"source_hidden": True}
    if role == "bootstrap":  # folded in Colab too, and not on the site
        cell.metadata |= {"cellView": "form", "tags": ["remove-cell"]}
    cell.id = generated_id(id, role) if id else role
    return cell


def header(stem: str, chapters: Mapping[str, Mapping], language: str = "en") -> str:
    """The first cell of a chapter: title, where to open it, what it needs, where it leads.

    chapters: what each chapter says about itself (`metadata.course`), by its name.

    Links, not the hosts' badges: a picture from another server would tell that server who reads.
    """
    words, about = WORDS[language], chapters[stem]

    def link(stem: str) -> str:
        if stem not in chapters:
            return stem
        text = words.link.format(number=int(stem[:2]), title=chapters[stem]["title"])
        return f"[{text}]({stem}.ipynb)"

    colab, file = "https://colab.research.google.com", f"{words.folder}/{stem}.ipynb"
    on_github = f"{repository()}/blob/main/{file}"
    kaggle = f"https://kaggle.com/kernels/welcome?src=https://github.com/{on_github}"
    binder = f"https://mybinder.org/v2/gh/{repository()}/main?urlpath=lab/tree/{file}"
    order = sorted(chapters)
    before, after = order[: order.index(stem)][-1:], order[order.index(stem) + 1 :][:1]
    known = [link(need) if re.match(r"\d\d_", need) else need for need in about["needs"]]
    minutes = words.minutes.format(minutes=about.get("main_minutes", about["minutes"]))
    if "main_minutes" in about:
        minutes += words.with_deeper.format(minutes=about["minutes"])
    facts = [minutes] + ([words.needs + words.comma.join(known)] if known else [])
    facts += [words.other_language.format(stem=stem)]
    mirror = mirror_link(file, words.mirror)
    links = [f"[Kaggle]({kaggle})", f"[Binder]({binder}){mirror}"]
    links += [words.previous + link(before[0])] if before else []
    links += [words.next + link(after[0])] if after else []
    links += [words.glossary]
    return (
        f"# {words.title.format(number=int(stem[:2]), title=about['title'])}\n\n"
        f"**[{words.colab}]({colab}/github/{on_github})** · {' · '.join(facts)}\n\n"
        f"<details>\n<summary>{words.summary}</summary>\n\n"
        f"{' · '.join(links)}\n\n</details>"
    )


def opening(stem: str, chapters: Mapping[str, Mapping], language: str = "en") -> list[NotebookNode]:
    """The header and the two code cells of every chapter; its question is between them."""
    start = BOOTSTRAP.format(addresses=" ".join(addresses()), **vars(WORDS[language]))
    return [
        generated_cell("header", markdown(header(stem, chapters, language))),
        generated_cell("bootstrap", code(start.rstrip())),
        generated_cell("device", code(DEVICE)),
    ]


def exercise_cells(item: texts.Text, language: str = "en") -> list[NotebookNode]:
    """Task, stub, check and help of an exercise (task and help of an open question)."""
    words = WORDS[language]
    title = words.exercise.format(id=item.id, title=item.title)
    size = words.difficulty.format(difficulty=item.difficulty, minutes=item.minutes)
    cells = {"task": markdown(f"### {title}\n\n{size}\n\n{item.task}")}
    hints = enumerate(item.hints, start=1)
    folded = [(words.hint.format(number=number), text) for number, text in hints]
    if item.is_question:
        folded.append((words.discussion, item.explanation))
    else:
        solved = f"```python\n{item.solution}\n```\n\n{item.explanation}"
        folded.append((words.solution, solved))
        name = item.answer
        cells["stub"] = code(item.stub)
        cells["check"] = code(f'check("{item.id}", {name})\n{name} = use("{item.id}", {name})')
    help_text = "\n\n".join(
        f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>" for title, text in folded
    )
    cells["help"] = markdown(help_text)
    return [generated_cell(role, cell, item.id) for role, cell in cells.items()]
