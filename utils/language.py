"""In which language the course speaks to a learner, and how its messages get into that language.

Messages are written in English where they are made. At the edge, where they are printed, `say` and
`translate` find out of which templates they are made, and say the same in the learner's language
(`utils.recognise`). What is not in the catalogues of translations/zh is shown in English.

Standard library only: `course.py` speaks before its packages are there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from types import TracebackType

from utils import atomic, notebook
from utils.columns import wrapped
from utils.recognise import Recogniser

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = ("en", "zh")
CHINESE_CHAPTERS = "chapters_zh"
WIDTH = 96  # columns of a line that is printed


# --- which language -------------------------------------------------------------------------------


def language() -> str:
    """ "en" or "zh": COURSE_LANGUAGE, else what `course.py lab --language` stored, else that of the
    notebook that was opened: a kernel works in the folder of its notebook.

    Another value of COURSE_LANGUAGE, such as "zh_CN.UTF-8", counts by its first two letters. A
    stored choice does not count in the course's tests.
    """
    wanted = os.environ.get("COURSE_LANGUAGE", "").strip().lower()[:2]
    if wanted in LANGUAGES:
        return wanted
    if not notebook.under_pytest() and (chosen := stored()):
        return chosen
    in_chinese = notebook.in_notebook() and Path.cwd().name == CHINESE_CHAPTERS
    return "zh" if in_chinese else "en"


def settings_path(root: Path = ROOT) -> Path:
    return root / "settings.json"


def stored(root: Path = ROOT) -> str:
    """The language that a learner has chosen; an empty text if there is none."""
    try:
        chosen = json.loads(settings_path(root).read_text(encoding="utf-8"))["language"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return chosen if chosen in LANGUAGES else ""


def store(chosen: str, root: Path = ROOT) -> None:
    """Keep a learner's choice; OSError if it cannot be written.

    With English the choice is forgotten: a Chinese notebook that is opened speaks Chinese again.
    """
    if chosen == "en":
        settings_path(root).unlink(missing_ok=True)
        return
    content = json.dumps({"language": chosen}, indent=1) + "\n"
    atomic.write(settings_path(root), content.encode())


# --- catalogues -----------------------------------------------------------------------------------


def folder(chosen: str = "zh", root: Path = ROOT) -> Path:
    return root / "translations" / chosen


def catalogue(name: str, chosen: str = "zh", root: Path = ROOT) -> dict[tuple[str, str], str]:
    """`{(context, English): translation}` of a PO file, such as `exercises/nin`.

    Only what is translated, and not from an earlier English (fuzzy). Empty without a file.
    """
    path = folder(chosen, root) / f"{name}.po"
    try:
        return _of_file(path, path.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=64)
def _of_file(path: Path, changed: int) -> dict[tuple[str, str], str]:
    """What a PO file says; read anew when it has changed."""
    text = path.read_text(encoding="utf-8")
    return {
        (entry.get("msgctxt", ""), entry["msgid"]): entry["msgstr"]
        for entry in _entries(text)
        if entry.get("msgid") and entry.get("msgstr")
    }


def _entries(text: str) -> Iterator[dict[str, str]]:
    """The entries of a PO file that count: neither fuzzy nor obsolete (`#~`)."""
    for block in re.split(r"\n[ \t]*\n", text):
        if re.search(r"^#,.*\bfuzzy\b", block, re.MULTILINE):
            continue
        entry, key = {}, ""
        for line in block.splitlines():
            match = re.match(r"(msgctxt|msgid|msgstr|) *\"(.*)\"\s*$", line)
            if match:
                key = match[1] or key
                entry[key] = entry.get(key, "") + _unescaped(match[2])
        yield entry


def _unescaped(text: str) -> str:
    signs = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda match: signs.get(match[1], match[1]), text)


@cache
def recogniser(chosen: str = "zh") -> Recogniser:
    """What knows all messages that are translated."""
    found: dict[str, str] = {}
    for path in sorted((folder(chosen) / "messages").glob("*.po")):
        for (_, english), translation in catalogue(f"messages/{path.stem}", chosen).items():
            found.setdefault(english, translation)
    return Recogniser(found)


# --- speaking -------------------------------------------------------------------------------------


def translate(text: str) -> str:
    """A message in the learner's language, as far as it is translated."""
    chosen = language()
    return text if chosen == "en" else recogniser(chosen).translate(text)


def say(*parts: str) -> None:
    """Print a message in the learner's language, in lines of at most 96 columns.

    Parts are translated one by one, so that what frames a message is never read as a part of it.
    """
    for line in joined(map(translate, filter(None, parts))):
        print(line)


def joined(parts: Iterable[str]) -> list[str]:
    """The lines that `say` prints, of parts that are translated."""
    text = ""
    for part in parts:
        text += part if not text or text.endswith(("：", "。")) else f" {part}"
    return [piece for line in text.splitlines() for piece in wrapped(line, WIDTH)]


def explain_exceptions() -> None:
    """In a notebook the exceptions that the course raises are shown in the learner's language.

    Only their message changes; that of torch and of a learner's own code stays as it is.
    """
    shell = notebook.shell()
    if shell is not None and language() != "en" and not notebook.under_pytest():
        shell.set_custom_exc((Exception,), _show_exception)


def _show_exception(
    shell, kind: type, error: Exception, trace: TracebackType, tb_offset: int | None = None
) -> None:
    with contextlib.suppress(Exception):  # whatever happens here, the error itself is shown
        if _is_ours(trace) and len(error.args) == 1 and isinstance(error.args[0], str):
            error.args = (translate(error.args[0]),)
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _is_ours(trace: TracebackType | None) -> bool:
    """Whether an exception was raised in the course's own code."""
    file = ""
    while trace is not None:
        file, trace = trace.tb_frame.f_code.co_filename, trace.tb_next
    places = [ROOT / name for name in ("utils", "exercises", "tools")]
    return any(Path(file).is_relative_to(place) for place in places)
