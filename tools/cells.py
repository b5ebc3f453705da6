"""What a cell of a chapter is, and what a notebook is as a file.

Standard library only. Cells and notebooks are mappings, as json and nbformat read them.

A stored chapter lists its own cells in its metadata: `course.cells` holds for each cell's id a
fingerprint of its source. So any copy of a chapter, wherever it has been, tells what a learner has
changed in it and what was added.

`course.outputs` holds what the course's own run put under its cells: for all code from the top of
the chapter to a cell a fingerprint, and with it one of that cell's outputs. So a run of the same
code can be compared with the course's, whatever a learner's runs have left in the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from tools import ROOT, CourseError


def source(cell: Mapping) -> str:
    """The text of a cell, which a file holds as one string or as a list of lines."""
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(text)


def fingerprint(text: str) -> str:
    """Eight letters that change with the text of a cell, except for space around it."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:8]


def id_of(cell: Mapping) -> str:
    # Colab keeps the id among the metadata.
    return cell.get("id") or cell["metadata"].get("id", "")


def role(cell: Mapping) -> str:
    """What the course generated the cell as: header, stub, check and so on; or an empty text."""
    return cell["metadata"].get("role", "")


def exercise(cell: Mapping) -> str:
    """The exercise that the cell belongs to, or an empty text."""
    return cell["metadata"].get("exercise", "")


def generated_id(exercise: str, role: str) -> str:
    """The id of the cell of an exercise: `nin-2-stub`."""
    return f"{exercise.replace('.', '-')}-{role}"


def fingerprints(nb: Mapping) -> dict[str, str]:
    """`course.cells` for a chapter as it is now: `{cell id: fingerprint of its source}`."""
    return {id_of(cell): fingerprint(source(cell)) for cell in nb["cells"]}


def as_shipped(nb: Mapping) -> dict[str, str]:
    """`course.cells` as the course stored it in this copy of a chapter; empty if it was lost."""
    return nb.get("metadata", {}).get("course", {}).get("cells", {})


def is_chinese(content: bytes) -> bool:
    """Whether a file is a chapter in Chinese: most of the course's own texts in it are.

    False for what is no notebook.
    """
    try:
        nb = json.loads(content.decode("utf-8-sig"))
        own = [cell for cell in nb["cells"] if cell["cell_type"] == "markdown"]
        listed = as_shipped(nb)
        own = [source(cell) for cell in own if not listed or id_of(cell) in listed]
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
    return sum(bool(re.search("[\u4e00-\u9fff]", text)) for text in own) > len(own) / 2


def keep_listed(nb: Mapping, cell: Mapping, before: str) -> None:
    """The course has rewritten a cell that was `before`: list the new text where that was listed.

    Otherwise an update would take the new text for a learner's work.
    """
    listed, id = as_shipped(nb), id_of(cell)
    if listed.get(id) == fingerprint(before):
        listed[id] = fingerprint(source(cell))


# --- outputs --------------------------------------------------------------------------------------

RULES = ROOT / "tests" / "nbval_sanitize.cfg"
NOT_COMPARED = {"nbval-ignore-output", "nbval-skip"}  # tags


def runs(nb: Mapping) -> Iterator[tuple[Mapping, str]]:
    """Each code cell, and a fingerprint of all code that has run when its outputs are there.

    It is an empty text for the cells that do not count: empty ones, and the first one, which has
    the repository's address in it.
    """
    code = ""
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            counts = source(cell).strip() and role(cell) != "bootstrap"
            code = fingerprint(f"{code} {fingerprint(source(cell))}") if counts else code
            yield cell, code if counts else ""


def outputs_fingerprint(outputs: Iterable[Mapping]) -> str:
    """Eight letters that change with what nbval would compare: texts, but no pictures."""
    texts: dict[str, list[str]] = {}
    for output in outputs:
        data = output.get("data", {})
        if any("widget" in kind for kind in data):
            continue
        if output["output_type"] == "stream":  # how it was cut into pieces is chance
            before = "".join(texts.get(output["name"], []))
            texts[output["name"]] = [before + _joined(output["text"])]
        for kind, content in data.items():
            if not kind.startswith("image/"):
                texts.setdefault(kind, []).append(_joined(content))
    return fingerprint(json.dumps(texts, sort_keys=True))


def _joined(text: object) -> str:
    """A text of an output as one string, without what may differ (tests/nbval_sanitize.cfg)."""
    if isinstance(text, list):
        text = "".join(text)
    if not isinstance(text, str):
        return json.dumps(text, sort_keys=True)
    for pattern, new in _rules():
        text = re.sub(pattern, new, text)
    return text


@cache
def _rules() -> list[tuple[str, str]]:
    return re.findall("^regex: (.*)\nreplace: (.*)$", RULES.read_text("ascii"), re.MULTILINE)


def recorded(nb: Mapping) -> dict[str, str]:
    """`course.outputs` for a chapter as it is now."""
    return {
        code: outputs_fingerprint(cell["outputs"])
        for cell, code in runs(nb)
        if code and not NOT_COMPARED & set(cell["metadata"].get("tags", []))
    }


# --- files ----------------------------------------------------------------------------------------


def parse(content: bytes, name: str) -> dict:
    """A notebook from its file's content; CourseError if it is none."""
    try:
        nb = json.loads(content.decode("utf-8-sig"))
        if nb["nbformat"] == 4 and all(isinstance(c["metadata"], dict) for c in nb["cells"]):
            return nb
    except (ValueError, LookupError, TypeError):
        pass
    raise CourseError(
        f"{name} cannot be read as a notebook: give it another name, so that the course can bring "
        "the chapter anew, and look into it with a text editor."
    )


def written(nb: Mapping) -> bytes:
    """The bytes of a notebook's file, formatted as Jupyter does."""
    return (json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
