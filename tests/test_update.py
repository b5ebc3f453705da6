"""Updating and resetting: what a learner wrote is never lost.

The course of these tests is a small git repository with two chapters, and the learner's clone is a
real clone of it. Each test changes both and looks at what comes together.
"""

import ast
import codecs
import copy
import json
import random
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import stored

from exercises import record as progress
from tools import ROOT, CourseError, authoring, cells, recognition, update
from tools.authoring import code, exercise, markdown
from tools.cells import source
from tools.clone import Clone
from tools.update import take_over

STEM, OTHER = "00_start_here", "01_lenet"
ANSWER = "batches_per_epoch = 430"
SECOND = "def accuracy(logits, labels):\n    return 1.0"


# --- notebooks -----------------------------------------------------------------------------------


def chapter(*extra, stub="batches_per_epoch = ...", text="A question."):
    """A small chapter as the course stores it."""
    cells = [
        markdown(text),
        code("print(1)"),
        exercise("start.1"),
        *extra,
        exercise("start.2"),
        markdown("Summary"),
    ]
    nb = authoring.refresh(authoring.notebook(cells, title="Small", minutes=3), STEM)
    named(nb, "start-1-stub")["source"] = stub
    written = [cell for cell in nb.cells if "role" not in cell.metadata]
    for name, cell in zip(("text", "code"), written):  # ids stay when the course edits a cell
        cell["id"] = name
    nb.cells[-1]["id"] = "summary"
    for count, cell in enumerate((c for c in nb.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
        cell.outputs = [nbformat.v4.new_output("stream", text=f"stored {count}\n")]
    return plain(authoring.normalised(nb))


def plain(nb):
    """As json reads it."""
    return json.loads(nbformat.writes(nb, version=4))


def named(nb, id):
    return next(cell for cell in nb["cells"] if cell["id"] == id)


def answer(nb, text=ANSWER, id="start-1-stub"):
    cell = named(nb, id)
    cell["source"] = text.splitlines(keepends=True)
    if cell["cell_type"] == "code":
        cell["outputs"] = []
    return nb


def own(text, id):
    cell = {"cell_type": "code", "execution_count": 7, "id": id, "metadata": {}, "outputs": []}
    return {**cell, "source": text.splitlines(keepends=True)}


def put_behind(nb, id, *cells):
    at = [cell["id"] for cell in nb["cells"]].index(id) + 1
    nb["cells"][at:at] = cells
    return nb


def texts(nb):
    return [source(cell) for cell in nb["cells"]]


def valid(nb):
    nbformat.validate(nbformat.from_dict(nb))
    ids = [cell["id"] for cell in nb["cells"]]
    assert len(set(ids)) == len(ids)
    return True


def test_nothing_done_gives_the_new_chapter():
    old, new = chapter(), chapter(text="Another question.")
    merged, taken = take_over(old, new)
    assert merged == new
    assert str(taken) == ""


def test_answers_and_own_cells_move_into_the_new_chapter():
    old = answer(chapter())
    put_behind(old, "code", own("mine = 2", "m1"), own("mine + 1", "m2"))
    old["cells"].insert(0, own("import os", "m0"))
    new = chapter(markdown("New."), text="Another question.", stub="batches_per_epoch = None")
    merged, taken = take_over(old, new)
    assert valid(merged)
    assert source(named(merged, "start-1-stub")) == ANSWER
    assert named(merged, "start-1-check")["outputs"] == []
    assert named(merged, "start-2-check")["outputs"]
    ids = [cell["id"] for cell in merged["cells"]]
    assert ids[0] == "m0"
    assert ids[ids.index("code") :][:3] == ["code", "m1", "m2"]
    assert [i for i in ids if i[0] != "m"] == [cell["id"] for cell in new["cells"]]
    assert str(taken) == "your answers to start.1, 3 cells of your own"
    assert merged["metadata"] == new["metadata"]


def test_stubs_that_only_the_course_changed_are_no_answers():
    old, new = chapter(), chapter(stub="batches_per_epoch = None  # a number")
    merged, taken = take_over(old, new)
    assert merged == new and not taken.answers


def test_edits_stay_where_the_course_changed_nothing_and_stand_beside_it_otherwise():
    old = answer(chapter(), "print(2)", "code")
    merged, taken = take_over(old, chapter(text="Another question."))
    assert source(named(merged, "code")) == "print(2)"
    assert str(taken) == "1 cell that you changed"

    named(old, "text")["source"] = "My notes."
    merged, taken = take_over(old, chapter(text="Another question."))
    at = [cell["id"] for cell in merged["cells"]].index("text")
    assert source(merged["cells"][at]) == "Another question."
    assert merged["cells"][at + 1]["cell_type"] == "raw"
    assert source(merged["cells"][at + 1]) == update.BESIDE + "My notes."
    assert "1 cell kept beside the course's new one" in str(taken)
    assert valid(merged)


def test_cells_that_were_cut_and_pasted_or_lost_their_ids_are_known():
    old = answer(chapter())
    moved = named(old, "code")
    old["cells"].remove(moved)
    old["cells"].append({**moved, "id": "pasted"})
    merged, taken = take_over(old, chapter())
    assert texts(merged) == texts(answer(chapter()))
    assert str(taken) == "your answers to start.1"

    colab = answer(chapter())  # Colab keeps the id in the metadata
    for cell in colab["cells"]:
        cell["metadata"]["id"] = cell.pop("id")
    assert texts(take_over(colab, chapter())[0]) == texts(merged)

    for cell in colab["cells"]:  # and another program may drop it
        del cell["metadata"]["id"]
    assert texts(take_over(colab, chapter())[0]) == texts(merged)


def test_without_the_list_of_cells_answers_and_own_cells_are_still_found():
    old = put_behind(answer(chapter()), "code", own("mine = 2", "m1"))
    del old["metadata"]["course"]
    merged, taken = take_over(old, chapter(text="Another question."))
    assert str(taken) == "your answers to start.1, 1 cell of your own"
    assert "Another question." in texts(merged)


def test_a_second_copy_of_a_stub_stays_as_a_cell():
    old = answer(chapter())
    twin = {**copy.deepcopy(named(old, "start-1-stub")), "id": "twin", "source": "x = 431"}
    merged, _ = take_over(put_behind(old, "start-1-stub", twin), chapter())
    assert source(named(merged, "start-1-stub")) == ANSWER
    assert named(merged, "twin")["metadata"].get("exercise") is None
    assert source(named(merged, "twin")) == "x = 431"


def test_an_answer_to_an_exercise_that_is_gone_stays_as_a_cell():
    old = answer(chapter())
    new = chapter()
    new["cells"] = [c for c in new["cells"] if c["metadata"].get("exercise") != "start.1"]
    new["metadata"]["course"]["cells"] = cells.fingerprints(new)
    merged, _ = take_over(old, new)
    assert ANSWER in texts(merged) and valid(merged)


def test_another_answer_that_stands_there_already_is_not_replaced():
    new = answer(chapter(), "batches_per_epoch = 431")
    merged, taken = take_over(answer(chapter()), new)
    assert merged == new
    assert taken.refused == ["start.1"]


def random_learner(nb, chance):
    """Whatever one may do in a notebook; gives the texts that must not get lost."""
    nb, mine = copy.deepcopy(nb), set()
    for number in range(chance.randrange(1, 9)):
        text = f"# mine {number}"
        cell = chance.choice(nb["cells"])
        what = chance.choice(["edit", "add", "delete", "move", "split"])
        if what in ("edit", "split"):
            mine.discard(source(cell))
            cell["source"] = text
            mine.add(text)
        if what in ("add", "split"):
            put_behind(nb, cell["id"], own(text + "!", f"cell{chance.random()}".replace(".", "")))
            mine.add(text + "!")
        if what in ("delete", "move"):
            nb["cells"].remove(cell)
            mine.discard(source(cell))
        if what == "move":
            nb["cells"].insert(chance.randrange(len(nb["cells"])), cell)
            mine |= {source(cell)} if source(cell).startswith("# mine") else set()
    return nb, mine


@pytest.mark.parametrize("seed", range(40))
def test_no_text_is_lost_and_a_second_time_changes_nothing(seed):
    chance = random.Random(seed)
    new = chapter(
        *chance.choice([(), (markdown("New."), code("new = 1"))]),
        text=chance.choice(["A question.", "Another question."]),
        stub=chance.choice(["batches_per_epoch = ...", "batches_per_epoch = None"]),
    )
    old, mine = random_learner(chapter(), chance)
    merged, _ = take_over(old, new)
    assert valid(merged)
    everything = "\n".join(texts(merged))
    assert [text for text in mine if text not in everything] == []
    shown = {cell["id"] for cell in merged["cells"]}
    assert {cell["id"] for cell in new["cells"]} <= shown
    assert take_over(merged, new)[0] == merged
    assert take_over(old, merged)[0] == merged


@pytest.mark.parametrize("stem", stored.STEMS)
def test_every_answer_of_a_real_chapter_moves(stem):
    new = plain(stored.chapter(stem))
    old = plain(authoring.filled(stored.chapter(stem)))
    new["cells"].insert(3, own("new = 1", "new"))
    new["cells"][5]["source"] = "Another text."
    new["metadata"]["course"]["cells"] = cells.fingerprints(new)
    merged, taken = take_over(old, new)
    assert sorted(taken.answers) == sorted(
        progress.exercises()[stem]
    )  # a chapter has its own order
    old["cells"].insert(3, own("new = 1", "new"))
    old["cells"][5]["source"] = "Another text."
    assert texts(merged) == texts(old)


# --- notebooks that other tools have cleaned -----------------------------------------------------


def without_metadata(nb):
    for cell in nb["cells"]:
        cell["metadata"] = {}
    nb["metadata"] = {"language_info": {"name": "python"}}


def without_ids(nb):
    for cell in nb["cells"]:
        del cell["id"]
    nb["nbformat_minor"] = 4


def other_ids(nb):
    for number, cell in enumerate(nb["cells"]):
        cell["id"] = str(number)  # as nbstripout does


def without_tags(nb):
    for cell in nb["cells"]:
        cell["metadata"].pop("tags", None)


def other_space(nb, end="\r\n"):
    for cell in nb["cells"]:
        cell["source"] = "".join(f"{line} {end}" for line in source(cell).split("\n"))


def without_outputs(nb):
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)


def reordered(nb):
    random.Random(0).shuffle(nb["cells"])


CLEANED = {
    "metadata": [without_metadata],
    "ids": [without_ids],
    "other ids": [other_ids],
    "tags": [without_tags],
    "metadata and ids": [without_metadata, without_ids],
    "nbstripout": [without_metadata, without_outputs, other_ids],
    "line endings": [other_space],
    "a script and back": [without_metadata, other_ids, other_space],
    "old Mac": [without_metadata, without_ids, lambda nb: other_space(nb, "\r")],
    "another order": [reordered, without_metadata],
    "another order and ids": [reordered, without_metadata, without_ids],
}


def cleaned(nb, kind):
    nb = copy.deepcopy(nb)
    for clean in CLEANED[kind]:
        clean(nb)
    return nb


def same_words(text):
    return "\n".join(line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("kind", CLEANED)
def test_answers_are_found_in_a_cleaned_notebook(kind):
    old = put_behind(answer(chapter()), "code", own("mine = 2", "m1"))
    answer(old, SECOND, "start-2-stub")
    new = chapter(markdown("New."), text="Another question.")
    wanted, _ = take_over(old, new)
    merged, taken = take_over(cleaned(old, kind), new)
    assert valid(merged) and {*taken.answers} == {"start.1", "start.2"}
    same = sorted(map(same_words, texts(merged))) == sorted(texts(wanted))
    if "ids" in kind or "nbstripout" in kind or "script" in kind or "Mac" in kind:
        # The old text of a cell that the course has changed may be the learner's.
        assert len(merged["cells"]) <= len(wanted["cells"]) + 1
    else:
        assert same
    assert take_over(cleaned(old, kind), merged)[0] == merged
    assert take_over(cleaned(chapter(), kind), chapter())[0] == chapter()


@pytest.mark.parametrize("stem", stored.STEMS)
@pytest.mark.parametrize("kind", CLEANED)
def test_a_real_chapter_that_was_cleaned_is_not_doubled(stem, kind):
    new = plain(stored.chapter(stem))
    old = plain(authoring.filled(stored.chapter(stem)))
    merged, taken = take_over(cleaned(old, kind), new)
    assert sorted(taken.answers) == sorted(progress.exercises()[stem])
    assert not (taken.own or taken.edited or taken.beside)
    assert [*map(same_words, texts(merged))] == texts(old)


def formatted(nb):
    """Other quotes, tabs and breaks of lines, which are no part of the code, in each code cell."""
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            text = source(cell)
            other = text if "#" in text else ast.unparse(ast.parse(text))
            cell["source"] = re.sub(
                "^(?: {4})+", lambda m: "\t" * (len(m[0]) // 4), other, flags=re.M
            )


@pytest.mark.parametrize("stem", stored.STEMS)
@pytest.mark.parametrize("kind", ["tags", "metadata", "metadata and ids", "nbstripout"])
def test_what_a_formatter_changes_is_no_edit(stem, kind):
    new = plain(stored.chapter(stem))
    old = cleaned(plain(authoring.filled(stored.chapter(stem))), kind)
    formatted(old)
    merged, taken = take_over(old, new)
    assert sorted(taken.answers) == sorted(progress.exercises()[stem])
    assert not (taken.own or taken.edited or taken.beside)
    for cell, course in zip(merged["cells"], new["cells"], strict=True):
        assert source(cell) == source(course) or cells.role(cell) == "stub"


def test_a_comment_in_a_cell_of_the_course_is_an_edit():
    for kind in ("tags", "metadata", "metadata and ids"):
        old = answer(chapter(), "print(1)  # mine", "code")
        merged, _ = take_over(cleaned(old, kind), chapter())
        assert "print(1)  # mine" in "\n".join(texts(merged))


@pytest.mark.parametrize("kind", CLEANED)
def test_edits_in_a_cleaned_notebook_are_kept(kind):
    old = chapter(code("first = [1, 2, 3]\nfor one in first:\n    print(one, one + 1)\n"))
    new = copy.deepcopy(old)
    changed = next(cell for cell in old["cells"] if source(cell).startswith("first"))
    changed["source"] = source(changed).replace("one + 1", "one + 2")
    named(old, "text")["source"] = "A question.\n\nMy thoughts."
    merged, _ = take_over(cleaned(old, kind), new)
    everything = "\n".join(map(same_words, texts(merged)))
    assert "one + 2" in everything and "My thoughts." in everything and valid(merged)
    assert len(merged["cells"]) <= len(new["cells"]) + 2


@pytest.mark.parametrize("clean", [without_metadata, without_ids, other_ids])
def test_cells_that_a_learner_split_and_merged_before(clean):
    old = answer(chapter(), "number = 43\n")
    put_behind(old, "start-1-stub", own("batches_per_epoch = number * 10", "m1"))
    check = named(old, "start-2-check")
    answer(old, f"{SECOND}\n{source(check)}", "start-2-stub")
    old["cells"].remove(check)
    without_metadata(old)
    clean(old)
    merged, taken = take_over(old, chapter())
    assert taken.answers == ["start.1", "start.2"] and valid(merged)
    everything = "\n".join(texts(merged))
    assert "number = 43" in everything and "number * 10" in everything and SECOND in everything
    assert len(merged["cells"]) == len(chapter()["cells"]) + 1


def test_cleaned_copies_are_told_apart_where_the_new_one_holds_an_answer():
    new = answer(chapter(stub=authoring.texts.find("start.1").stub), "batches_per_epoch = 431")
    for kind in ("metadata", "metadata and ids"):
        merged, taken = take_over(answer(chapter()), cleaned(new, kind))
        assert taken.refused == ["start.1"]
        assert "batches_per_epoch = 431" in texts(merged) and ANSWER not in texts(merged)


@pytest.mark.parametrize("kind", CLEANED)
@pytest.mark.parametrize("seed", range(4))
def test_no_text_is_lost_to_another_tool(seed, kind):
    old, mine = random_learner(chapter(), random.Random(seed))
    new = chapter(markdown("New."), text="Another question.")
    merged, _ = take_over(cleaned(old, kind), new)
    everything = "\n".join(map(same_words, texts(merged)))
    assert valid(merged) and [text for text in mine if text not in everything] == []
    assert {cell["id"] for cell in new["cells"]} <= {cell["id"] for cell in merged["cells"]}


def test_files_are_written_as_jupyter_and_the_course_write_them():
    stored = authoring.path_of(STEM).read_bytes()
    assert cells.written(cells.parse(stored, STEM)) == stored
    with_mark = codecs.BOM_UTF8 + stored  # some editors put it there
    assert cells.written(cells.parse(with_mark, STEM)) == stored
    assert not cells.is_chinese(with_mark)


# --- clones --------------------------------------------------------------------------------------


def git(folder, *arguments):
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def put(folder, nb, stem=STEM):
    path = folder / "chapters" / f"{stem}.ipynb"
    path.write_bytes(cells.written(nb))
    return path


def get(folder, stem=STEM):
    return json.loads((folder / "chapters" / f"{stem}.ipynb").read_text(encoding="utf-8"))


class Course:
    """The published course and a learner's clone of it."""

    def __init__(self, folder):
        self.origin, self.here = folder / "origin", folder / "learner é"
        self.origin.mkdir()
        git(self.origin, "init", "-q", "-b", "main")
        (self.origin / "chapters").mkdir()
        (self.origin / "utils").mkdir()
        (self.origin / ".gitignore").write_text("/backups/\n", encoding="utf-8")
        (self.origin / ".gitattributes").write_text("* text=auto\n*.ipynb text eol=lf\n")
        (self.origin / "utils" / "data.py").write_text("first = 1\n", encoding="utf-8")
        (self.origin / "README.md").write_text("read me\n", encoding="utf-8")
        put(self.origin, chapter())
        put(self.origin, chapter(), OTHER)
        self.publish()
        git(folder, "clone", "-q", str(self.origin), str(self.here))

    def publish(self):
        git(self.origin, "add", "-A")
        git(self.origin, "commit", "-q", "-m", "course")

    def second_edition(self):
        """Both chapters, a module and a new file."""
        for stem in (STEM, OTHER):
            put(self.origin, chapter(markdown("New."), text="Another question."), stem)
        (self.origin / "utils" / "data.py").write_text("second = 2\n", encoding="utf-8")
        (self.origin / "utils" / "new.py").write_text("new = 3\n", encoding="utf-8")
        self.publish()

    def work(self):
        """Answers in both chapters."""
        nb = put_behind(answer(chapter()), "code", own("mine = 2", "m1"))
        put(self.here, nb)
        put(self.here, answer(chapter(), SECOND, "start-2-stub"), OTHER)

    def state(self):
        """Every file and what git knows, to see that nothing changed."""
        files = {
            str(path.relative_to(self.here)): path.read_bytes()
            for path in sorted(self.here.rglob("*"))
            if path.is_file() and ".git" not in path.parts
        }
        return files, git(self.here, "rev-parse", "HEAD"), git(self.here, "status", "--porcelain")

    def is_updated(self):
        assert git(self.here, "diff", "--name-only", "FETCH_HEAD").splitlines() == [
            f"chapters/{STEM}.ipynb",
            f"chapters/{OTHER}.ipynb",
        ]
        first, second = get(self.here), get(self.here, OTHER)
        assert valid(first) and valid(second)
        assert source(named(first, "start-1-stub")) == ANSWER
        assert source(named(second, "start-2-stub")) == SECOND
        assert {"mine = 2", "New.", "Another question."} <= set(texts(first))
        assert {"New.", "Another question."} <= set(texts(second))
        assert (self.here / "utils" / "new.py").exists()
        return True

    def refuses(self, message):
        """The sentence with which an update is refused, and nothing was changed."""
        before = self.state()
        with pytest.raises(CourseError, match=message) as caught:
            update.update(self.here)
        assert self.state() == before
        return str(caught.value)


@pytest.fixture
def course(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return Course(tmp_path)


def test_git_pull_alone_stops_here(course):
    course.second_edition()
    course.work()
    done = subprocess.run(["git", "pull", "-q"], cwd=course.here, capture_output=True)
    assert done.returncode != 0


@pytest.mark.parametrize("state", ["edited", "staged", "committed", "committed and edited"])
def test_update_keeps_the_answers(course, state):
    course.second_edition()
    course.work()
    if state == "staged":
        git(course.here, "add", "-A")
    if "committed" in state:
        git(course.here, "commit", "-q", "-a", "-m", "mine")
        mine = git(course.here, "rev-parse", "HEAD")
    if state == "committed and edited":
        nb = get(course.here)
        put(course.here, put_behind(nb, "code", own("later = 3", "m2")))
    (course.here / "README.md").write_text("my notes\n", encoding="utf-8")
    before = course.state()[0]
    lines = update.update(course.here)
    (backup,) = (course.here / "backups").iterdir()
    for stem in (STEM, OTHER):
        name = str(Path("chapters", f"{stem}.ipynb"))
        assert (backup / f"{stem}.ipynb").read_bytes() == before[name]
    assert f"backups/{backup.name}" in lines[0].replace("\\", "/")
    assert f"{STEM} now holds your answers to start.1, " in lines[1]
    assert lines[-1] == f"4 files have come from {course.origin}."
    assert (course.here / "README.md").read_text(encoding="utf-8") == "my notes\n"
    git(course.here, "checkout", "-q", "README.md")
    assert course.is_updated()
    if "committed" in state:
        git(course.here, "merge-base", "--is-ancestor", mine, "HEAD")
    if state == "committed and edited":
        assert "later = 3" in texts(get(course.here))
    again = update.update(course.here)
    assert again == [f"This is the newest course of {course.origin}."]
    assert course.is_updated()


def test_a_clone_without_changes_is_just_updated(course):
    course.second_edition()
    assert update.update(course.here) == [f"4 files have come from {course.origin}."]
    assert git(course.here, "status", "--porcelain") == ""
    assert not (course.here / "backups").exists()


def test_a_shallow_clone_is_updated_too(course, tmp_path):
    course.here = tmp_path / "shallow"
    address = course.origin.as_uri()
    git(tmp_path, "clone", "-q", "--depth", "1", address, str(course.here))
    course.work()
    course.second_edition()
    update.update(course.here)
    assert course.is_updated()


def test_offline_is_one_sentence_and_changes_nothing(course):
    course.work()
    course.origin.rename(course.origin.with_name("moved"))
    course.refuses(r"could not be fetched from .*check that you are online")


def test_what_ssh_says_is_the_reason(course):
    git(course.here, "config", "core.sshCommand", "echo 'x@y: Permission denied (key).' >&2; false")
    git(course.here, "remote", "set-url", "origin", "x@y:course.git")
    course.refuses(
        r"could not be fetched from x@y:course.git.*\(`git fetch` failed: Permission den"
    )


def test_variables_of_another_repository_do_not_count(course, tmp_path, monkeypatch):
    git(tmp_path, "init", "-q", "other")
    course.second_edition()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert update.update(course.here) == [f"4 files have come from {course.origin}."]


def spoil_packs(folder):
    git(folder, "gc", "-q")
    for pack in (folder / ".git/objects/pack").glob("*.pack"):
        content = pack.read_bytes()
        pack.unlink()
        pack.write_bytes(content[: len(content) // 2])


def spoil_objects(folder):
    for file in (folder / ".git/objects").glob("??/*"):
        file.unlink()  # it is the origin's, too
        file.touch()


def lose_git(folder):
    shutil.rmtree(folder / ".git")
    (folder / ".git").write_text("gitdir: /none/at/all\n")


@pytest.mark.parametrize(
    "damage",
    [
        spoil_packs,
        spoil_objects,
        lose_git,
        lambda folder: shutil.rmtree(folder / ".git/objects"),
        lambda folder: (folder / ".git/config").write_text("[core\n"),
        lambda folder: (folder / ".git/index").write_bytes(b"\0" * 40),
    ],
)
def test_a_damaged_clone_is_left_for_a_new_one(course, damage):
    course.second_edition()
    course.work()
    git(course.here, "commit", "-q", "-a", "-m", "mine")
    damage(course.here)
    with pytest.raises(CourseError, match=r"^this clone is damaged \(.*update --from") as caught:
        update.update(course.here)
    assert shlex.quote(str(course.here)) in str(caught.value)


@pytest.mark.parametrize("where", ["edited", "committed", "untracked"])
def test_other_files_that_both_changed_are_refused(course, where):
    course.work()
    course.second_edition()
    name = "utils/new.py" if where == "untracked" else "utils/data.py"
    (course.here / name).write_text("mine\n", encoding="utf-8")
    if where == "committed":
        git(course.here, "commit", "-q", "-m", "mine", name)
    sentence = course.refuses(f"changed {name}: move a copy")
    # What it says helps.
    if where == "untracked":
        (course.here / name).unlink()
    else:
        git(course.here, *sentence.split("`")[1].split()[1:])
    if where == "committed":
        assert "commit that" in sentence
        git(course.here, "commit", "-q", "-m", "back", name)
    update.update(course.here)
    assert course.is_updated()


def test_the_same_change_on_both_sides_is_no_conflict(course):
    course.work()
    course.second_edition()
    (course.here / "utils" / "data.py").write_text("second = 2\n", encoding="utf-8")
    (course.here / "utils" / "new.py").write_text("new = 3\n", encoding="utf-8")
    update.update(course.here)
    assert course.is_updated()


def test_deleted_chapters_come_back_and_dropped_ones_are_refused(course):
    (course.here / "chapters" / f"{OTHER}.ipynb").unlink()
    course.second_edition()
    update.update(course.here)
    assert "New." in texts(get(course.here, OTHER))

    put(course.here, answer(get(course.here)))
    (course.origin / "chapters" / f"{STEM}.ipynb").unlink()
    course.publish()
    course.refuses(rf"changed chapters/{STEM}\.ipynb: move a copy")


def test_a_notebook_that_cannot_be_read_stops_it_before_anything_happens(course):
    course.work()
    course.second_edition()
    path = course.here / "chapters" / f"{STEM}.ipynb"
    path.write_text("<<<<<<< HEAD\n{", encoding="utf-8")
    course.refuses(f"chapters/{STEM}.ipynb cannot be read as a notebook")


def test_an_unfinished_merge_is_refused(course):
    (course.here / ".git" / "MERGE_HEAD").write_text(git(course.here, "rev-parse", "HEAD") + "\n")
    course.refuses("a merge is unfinished")


def test_a_full_disk_for_the_backup_changes_nothing(course, monkeypatch):
    course.work()
    course.second_edition()

    def copy2(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(update.shutil, "copy2", copy2)
    course.refuses(r"\(No space left on device\), so nothing was changed")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("committed", [False, pytest.param(True, marks=pytest.mark.long)])
def test_interrupted_anywhere_it_is_taken_up(course, monkeypatch, committed):
    """As if killed before the n-th step, for every n: git's commands and writes of files."""
    course.work()
    if committed:
        git(course.here, "commit", "-q", "-a", "-m", "mine")
    course.second_edition()
    learner, last = course.here, 0
    for step in range(1, 60):
        course.here = learner.with_name(f"learner {step}")
        shutil.copytree(learner, course.here)
        count = 0

        def stopping(function, step=step):
            def stopped(*arguments, **options):
                nonlocal count
                count += 1
                if count == step:
                    raise Killed
                return function(*arguments, **options)

            return stopped

        with monkeypatch.context() as patch:
            patch.setattr(Clone, "git", stopping(Clone.git))
            patch.setattr(update, "write", stopping(update.write))
            try:
                update.update(course.here)
            except Killed:
                last = step
        everything = "\n".join(texts(get(course.here)) + texts(get(course.here, OTHER)))
        assert ANSWER in everything and SECOND in everything and "mine = 2" in everything, step
        update.update(course.here)
        assert course.is_updated(), step
        if last < step:
            break
    assert last > 10  # it was stopped at many places, and went through at last


# --- copies without git --------------------------------------------------------------------------


@pytest.fixture
def copies(tmp_path):
    """An older copy with answers and a new one, as unpacked from ZIP files."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        (folder / "chapters").mkdir(parents=True)
    put(old, put_behind(answer(chapter()), "code", own("mine = 2", "m1")))
    put(old, chapter(), OTHER)
    for stem in (STEM, OTHER):
        put(new, chapter(markdown("New."), text="Another question."), stem)
    return old, new


def zipped(folder, place, around, **options):
    """A ZIP file of the notebooks in `folder`, their names beginning with `around`."""
    with zipfile.ZipFile(place, "w", **options) as file:
        for path in sorted(folder.rglob("*.ipynb")):
            file.writestr(around + path.relative_to(folder).as_posix(), path.read_bytes())
    return place


@pytest.mark.parametrize(
    "kind", ["folder", "folder around", "zip", "zip from here", "notebook", "notebooks"]
)
def test_answers_come_from_an_older_copy(copies, tmp_path, kind):
    old, new = copies
    place = {
        "folder": old,
        "folder around": tmp_path / "around",
        "zip": zipped(old, tmp_path / "old.zip", "one-by-one-main/"),
        "zip from here": zipped(old, tmp_path / "here.zip", "./"),
        "notebook": tmp_path / f"Copy of {STEM} (1).ipynb",
        "notebooks": old / "chapters",
    }[kind]
    if kind == "folder around":
        shutil.copytree(old, place / "one-by-one-main")
    if kind == "notebook":
        shutil.copy(old / "chapters" / f"{STEM}.ipynb", place)
    before = put(new, get(new)).read_bytes()
    lines = update.take_from(place, new)
    nb = get(new)
    assert valid(nb)
    assert source(named(nb, "start-1-stub")) == ANSWER
    assert {"mine = 2", "New.", "Another question."} <= set(texts(nb))
    assert lines[1] == f"{STEM} now holds your answers to start.1, 1 cell of your own."
    assert len(lines) == 2  # nothing was done in the other chapter
    (backup,) = (new / "backups").iterdir()
    assert (backup / f"{STEM}.ipynb").read_bytes() == before
    assert [path.name for path in backup.iterdir()] == [f"{STEM}.ipynb"]
    assert "is here already" in update.take_from(place, new)[0]
    assert get(new) == nb


@pytest.mark.parametrize("left", ["chapters/._{}", "__MACOSX/chapters/._{}", "@eaDir/chapters/{}"])
def test_what_systems_leave_in_an_older_copy_is_no_chapter(copies, tmp_path, left):
    old, new = copies
    (old / "chapters" / f"{OTHER}.ipynb").unlink()
    path = old / f"{left.format(OTHER)}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0\5\26\7")
    for place in (old, zipped(old, tmp_path / "old.zip", "one-by-one-main/")):
        assert OTHER not in " ".join(update.take_from(place, new))


def test_a_damaged_zip_is_one_sentence(copies, tmp_path):
    old, new = copies
    place = zipped(old, tmp_path / "old.zip", "", compression=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(place) as file:
        first = file.infolist()[0]
    whole, before = place.read_bytes(), get(new)
    data = first.header_offset + 30 + len(first.filename)  # behind the header of the file
    place.write_bytes(whole[:data] + b"\xff" * 20 + whole[data + 20 :])
    with pytest.raises(CourseError, match=r"old.zip is not a ZIP file that can be read \(Error -3"):
        update.take_from(place, new)
    dice = random.Random(0)
    refused = 0
    for _ in range(300):
        changed = bytearray(whole)
        for _ in range(dice.choice([1, 1, 20])):
            changed[dice.randrange(len(whole))] = dice.randrange(256)
        place.write_bytes(changed[: dice.choice([len(whole), dice.randrange(len(whole))])])
        try:
            update._notebooks(place, new)
        except CourseError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100
    assert get(new) == before


def test_other_answers_in_the_new_copy_stay(copies):
    old, new = copies
    put(new, answer(get(new), "batches_per_epoch = 431"))
    lines = update.take_from(old, new)
    assert f"{STEM} holds other answers to start.1 already; they stay." in lines
    assert source(named(get(new), "start-1-stub")) == "batches_per_epoch = 431"


def test_what_cannot_be_taken_from_is_said(copies, tmp_path):
    _, new = copies
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    (tmp_path / f"{STEM}.ipynb").write_text("{", encoding="utf-8")
    for place, message in {
        "nowhere": "there is no .*nowhere",
        "empty": "holds no chapter of the course",
        "broken.zip": "not a ZIP file that can be read",
        f"{STEM}.ipynb": "cannot be read as a notebook",
        "new": "is this copy itself",
    }.items():
        with pytest.raises(CourseError, match=message):
            update.take_from(tmp_path / place, new)
    with pytest.raises(CourseError, match="download the course again as a ZIP file"):
        update.update(new)


def test_a_zip_copy_inside_of_another_repository_is_no_clone(copies, tmp_path):
    if shutil.which("git"):
        git(tmp_path, "init", "-q")
    with pytest.raises(CourseError, match="this copy is no git clone"):
        update.update(copies[1])


# --- back to the start ---------------------------------------------------------------------------


def test_one_exercise_is_reset_and_its_answer_kept(copies):
    old, _ = copies
    put(old, answer(get(old), SECOND, "start-2-stub"))
    before = (old / "chapters" / f"{STEM}.ipynb").read_bytes()
    progress.record("start.1", "right", old)
    progress.record("start.2", "right", old)
    lines = update.reset("start.1", old)
    (backup,) = (old / "backups").iterdir()
    assert (backup / f"{STEM}.ipynb").read_bytes() == before
    assert lines[-1] == "Back to the stub: start.1."
    nb = get(old)
    assert source(named(nb, "start-1-stub")) == "batches_per_epoch = ..."
    assert source(named(nb, "start-2-stub")) == SECOND
    assert "mine = 2" in texts(nb) and valid(nb)
    assert progress.read(old) == {"start.2": "right"}
    assert update.reset("start.1", old) == ["Back to the stub: start.1."]


@pytest.mark.parametrize("kind", CLEANED)
def test_an_exercise_is_reset_in_a_cleaned_notebook(copies, kind):
    old, _ = copies
    put(old, cleaned(answer(get(old), SECOND, "start-2-stub"), kind))
    assert update.reset("start.1", old)[-1] == "Back to the stub: start.1."
    now = [same_words(text) for text in texts(get(old))]
    assert "batches_per_epoch = ..." in now and ANSWER not in now
    assert SECOND in now and "mine = 2" in now


def test_a_chapter_is_reset_in_a_copy_without_git(copies):
    old, _ = copies
    put(old, answer(get(old), SECOND, "start-2-stub"))
    assert update.reset(STEM, old)[-1] == "Back to the stub: start.1, start.2."
    stubs = [source(named(get(old), f"start-{n}-stub")) for n in (1, 2)]
    assert stubs == [text.stub for text in authoring.texts.read("start")]


@pytest.mark.parametrize("state", ["edited", "committed", "unreadable", "deleted"])
def test_a_chapter_is_reset_in_a_clone(course, state):
    course.work()
    path = course.here / "chapters" / f"{STEM}.ipynb"
    if state == "committed":
        git(course.here, "commit", "-q", "-a", "-m", "mine")
    if state == "unreadable":
        path.write_text("{", encoding="utf-8")
    if state == "deleted":
        path.unlink()
    before = path.read_bytes() if path.exists() else None
    update.reset(STEM, course.here)
    assert get(course.here) == get(course.origin)
    assert SECOND in texts(get(course.here, OTHER))
    if before is not None:
        (backup,) = (course.here / "backups").iterdir()
        assert (backup / f"{STEM}.ipynb").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("start.9", "There is no exercise 'start.9'"),
        ("77_none", "there is no chapter 77_none; there are 00_start_here"),
        ("lenet.7", "lenet.7 is an open question"),
    ],
)
def test_what_cannot_be_reset_is_said(copies, name, message):
    with pytest.raises(CourseError, match=message):
        update.reset(name, copies[0])


def test_a_stub_that_was_deleted_is_said(copies):
    old, _ = copies
    nb = get(old)
    nb["cells"].remove(named(nb, "start-1-stub"))
    put(old, nb)
    with pytest.raises(CourseError, match=r"answer to start\.1"):
        update.reset("start.1", old)


# --- chapters in Chinese -------------------------------------------------------------------------


def chinese(*extra, text="一个问题。"):
    """The small chapter in Chinese: other texts, the same code but for a comment."""
    nb = chapter(*extra, stub="# 你的答案\nbatches_per_epoch = ...", text=text)
    for cell in nb["cells"]:
        if cell["cell_type"] == "markdown" and cell["id"] != "text":
            cell["source"] = ["中文。\n", *source(cell).splitlines(keepends=True)]
    nb["metadata"]["course"]["cells"] = cells.fingerprints(nb)
    return nb


def put_chinese(root, nb, stem=STEM):
    (root / "chapters_zh").mkdir(exist_ok=True)
    return put(root, nb, f"../chapters_zh/{stem}")


def get_chinese(root):
    return get(root, f"../chapters_zh/{STEM}")


def test_chinese_chapters_are_known():
    for nb, is_chinese in ((chapter(), False), (chinese(), True)):
        assert cells.is_chinese(cells.written(nb)) is is_chinese
        put_behind(
            nb, "code", *({**own("我的笔记", f"m{n}"), "cell_type": "markdown"} for n in range(9))
        )
        assert cells.is_chinese(cells.written(nb)) is is_chinese  # a learner's own do not count
    assert not cells.is_chinese(b"{") and not cells.is_chinese(b"[]")


@pytest.fixture
def in_both(copies):
    """Copies in both languages: exercise 1 is answered in English, exercise 2 in Chinese."""
    for root, text in zip(copies, ("一个问题。", "另一个问题。")):
        put_chinese(root, chinese(text=text))
    put_chinese(copies[0], answer(get_chinese(copies[0]), SECOND, "start-2-stub"))
    return copies


@pytest.mark.parametrize("kind", ["folder", "zip", "folder of notebooks", "notebook"])
def test_answers_stay_in_the_language_in_which_they_were_given(in_both, tmp_path, kind):
    old, new = in_both
    place = {
        "folder": old,
        "zip": zipped(old, tmp_path / "old.zip", "one-by-one-main/"),
        "folder of notebooks": old / "chapters_zh",
        "notebook": tmp_path / f"Copy of {STEM} (1).ipynb",
    }[kind]
    if kind == "notebook":
        shutil.copy(old / "chapters_zh" / f"{STEM}.ipynb", place)
    before = get(new)
    lines = update.take_from(place, new)
    nb = get_chinese(new)
    assert valid(nb) and source(named(nb, "start-2-stub")) == SECOND
    assert source(named(nb, "text")) == "另一个问题。"
    assert f"chapters_zh/{STEM} now holds your answers to start.2." in lines
    (backup,) = (new / "backups").iterdir()
    assert (backup / "chapters_zh" / f"{STEM}.ipynb").exists()
    both = kind in ("folder", "zip")
    assert (source(named(get(new), "start-1-stub")) == ANSWER) is both
    assert both or get(new) == before
    assert both is (backup / f"{STEM}.ipynb").exists()


def test_an_exercise_is_reset_in_both_languages(in_both):
    old, _ = in_both
    put_chinese(old, answer(get_chinese(old), "batches_per_epoch = 4"))
    assert update.reset("start.1", old)[-1] == "Back to the stub: start.1."
    for nb, language in ((get(old), "en"), (get_chinese(old), "zh")):
        stub = authoring.texts.find("start.1", language).stub
        assert source(named(nb, "start-1-stub")) == stub
    assert source(named(get_chinese(old), "start-2-stub")) == SECOND
    put(old, answer(get(old)))
    update.reset(f"chapters_zh/{STEM}", old)
    assert source(named(get_chinese(old), "start-2-stub")) != SECOND
    assert source(named(get(old), "start-1-stub")) == ANSWER


def test_update_and_reset_know_chinese_chapters_of_a_clone(course):
    put_chinese(course.origin, chinese())
    course.publish()
    update.update(course.here)
    put_chinese(course.here, answer(get_chinese(course.here)))
    put(course.here, answer(get(course.here), SECOND, "start-2-stub"))
    put_chinese(course.origin, chinese(text="另一个问题。"))
    put(course.origin, chapter(text="Another question."))
    course.publish()
    lines = update.update(course.here)
    assert f"chapters_zh/{STEM} now holds your answers to start.1." in lines
    assert f"{STEM} now holds your answers to start.2." in lines
    nb = get_chinese(course.here)
    assert source(named(nb, "start-1-stub")) == ANSWER and "另一个问题。" in texts(nb)
    update.reset(STEM, course.here)
    assert get_chinese(course.here) == get_chinese(course.origin)
    assert get(course.here) == get(course.origin)


# --- the commands --------------------------------------------------------------------------------


def test_the_commands_need_nothing_but_python(course, monkeypatch):
    """The real course.py, run by a Python that has no packages at all."""
    monkeypatch.delenv("PYTHONPATH")
    for name in ("course.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, course.origin)
    for name in ("utils", "exercises", "tools"):
        shutil.rmtree(course.origin / name, ignore_errors=True)
        ignore = shutil.ignore_patterns("__pycache__", "site")
        shutil.copytree(ROOT / name, course.origin / name, ignore=ignore)
    course.publish()
    git(course.here, "pull", "-q")
    course.work()
    for stem in (STEM, OTHER):
        put(course.origin, chapter(markdown("New."), text="Another question."), stem)
    course.publish()

    def call(*arguments):
        done = subprocess.run(
            [sys.executable, "-S", "course.py", *arguments],
            cwd=course.here,
            capture_output=True,
            encoding="utf-8",
        )
        return done.returncode, done.stdout, done.stderr

    code, printed, errors = call("update")
    assert code == 0, errors
    assert f"{STEM} now holds your answers to start.1, 1 cell of your own.\n" in printed
    assert source(named(get(course.here), "start-1-stub")) == ANSWER
    code, printed, errors = call("progress")
    assert code == 0, errors
    assert printed.splitlines()[0].split() == ["right", "wrong", "open", "not", "tried"]
    code, printed, errors = call("update", "--from", "nowhere")
    assert (code, printed) == (1, "")
    assert errors.startswith("problem: there is no nowhere: ")
    code, printed, errors = call("reset", "start.1")
    assert printed.endswith("Back to the stub: start.1.\n"), errors


# --- nbgitpuller ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["beside", "same cell"])
def test_nbgitpuller_keeps_answers_in_valid_notebooks(course, tmp_path, where):
    """docs/teaching.md tells what it does: its textual merge prefers what the learner wrote."""
    puller = pytest.importorskip("nbgitpuller.pull", reason="course.py setup --authors brings it")
    course.work()
    course.second_edition()
    if where == "same cell":
        put(course.here, answer(get(course.here), "My notes.", "text"))
    pull = puller.GitPuller(course.origin.as_uri(), str(course.here), branch="main")
    assert list(pull.pull())
    first, second = get(course.here), get(course.here, OTHER)
    assert source(named(first, "start-1-stub")) == ANSWER
    assert source(named(second, "start-2-stub")) == SECOND
    assert valid(first) and valid(second)
    assert "mine = 2" in texts(first)
    assert "New." in texts(first)


@pytest.mark.parametrize(
    ("code", "defines"),
    [
        ("answer = 1", True),
        ("first, answer = 1, 2", True),
        ("if True:\n    answer: int = 3", True),
        ("def answer():\n    pass", True),
        ("class answer: ...", True),
        ("answer = use('nin.2', answer)", False),
        ("other = build(1,\n    answer=False)", False),
        ("build(1, answer=False)", False),
        ("def other():\n    answer = 1", False),
        ("answer == 1", False),
        ("!pip list\nanswer = 1", True),  # no Python
        ("!pip list\nbuild(\n    answer=False)", False),
    ],
)
def test_what_defines_an_answer(code, defines):
    assert recognition._defines(code, "answer") == defines
