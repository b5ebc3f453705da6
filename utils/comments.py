"""The comments in a piece of Python code, and other words in their place. Standard library only."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Callable
from dataclasses import dataclass

from utils.columns import columns, wrapped

# These are instructions to programs, or the title of a form in Colab.
NO_COMMENT = re.compile(r"#\s*(?:@|!|noqa|fmt:|type:|ruff:|pylint:|pragma)")
WIDTH = 92  # columns of a comment's line


@dataclass(frozen=True)
class Comment:
    """A comment: `code[start:end]` is it, with its signs, and `text` what it says, in one line.

    own: whether it has its lines to itself, or follows a statement.
    """

    text: str
    own: bool
    start: int
    end: int


def comments(code: str) -> list[Comment]:
    """The comments of a piece of Python, or of commands; none where it is not complete.

    Lines of comment that follow each other are one.
    """
    starts = [0]
    for line in code.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):
        return []
    found: list[Comment] = []
    previous: tuple[int, int] | None = None  # row and column of the comment line above
    for token in tokens:
        if token.type != tokenize.COMMENT:
            continue
        row, column = token.start
        start, end = starts[row - 1] + column, starts[row - 1] + token.end[1]
        own = not token.line[:column].strip()
        text = token.string.lstrip("#").strip()
        if own and previous == (row - 1, column) and text and found:
            before = found.pop()
            found.append(Comment(f"{before.text} {text}", True, before.start, end))
        elif text and not NO_COMMENT.match(token.string):
            found.append(Comment(text, own, start, end))
        else:
            previous = None
            continue
        previous = (row, column) if own else None
    return found


def placed(code: str, comment: Comment, text: str) -> str:
    """Other words as they stand in the place of a comment: wrapped, and with its signs."""
    if not comment.own:
        return f"# {text}"
    before = code[code.rfind("\n", 0, comment.start) + 1 : comment.start]
    lines = wrapped(text, WIDTH - 2 - columns(before))
    return f"\n{before}".join(f"# {line}" for line in lines)


def with_comments(code: str, translate: Callable[[str], str]) -> str:
    """The code with other comments; where `translate` gives nothing, the comment stays."""
    for comment in reversed(comments(code)):
        if text := translate(comment.text):
            code = f"{code[: comment.start]}{placed(code, comment, text)}{code[comment.end :]}"
    return code
