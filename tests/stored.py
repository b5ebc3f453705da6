"""The chapters as their tests read them: the files of the working tree, committed or not."""

import subprocess

import pytest

from tools import authoring
from tools.clone import is_in_ci

STEMS = authoring.stems()


def chapter(stem):
    """The notebook of a chapter; the test is skipped where a learner is at work in it.

    Whose a change is, the notebook tells: other answers, cells, counts or metadata than the stored
    ones are a learner's (`authoring.learners_work`), a changed cell of the course alone is an
    author's. In an author's clone (`course.py setup --authors`) and in CI all is the author's.
    """
    nb = authoring.load(stem)
    in_ci = is_in_ci(authoring.ROOT, authoring.path_of(stem))
    nobody_learns = in_ci or authoring.authors_clone()
    if (work := authoring.learners_work(nb)) and not nobody_learns:
        pytest.skip(
            f"a learner works in {stem}, for it holds {work[0]} (if it is you who writes the "
            "chapters: `course.py setup --authors` tells the tests)"
        )
    return nb


def publish(bare):
    """Make a bare repository of the working tree, as the course's published one would be."""
    root = str(authoring.ROOT)
    subprocess.run(["git", "clone", "--quiet", "--bare", root, str(bare)], check=True)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    git += [f"--git-dir={bare}", f"--work-tree={root}"]
    for command in (["add", "--all"], ["commit", "--quiet", "--allow-empty", "--message=x"]):
        subprocess.run([*git, *command], cwd=root, check=True)
