"""What a cell of a chapter is, and what a notebook is as a file.

Standard library only. Cells and notebooks are mappings, as json and nbformat read them.

A stored chapter lists its own cells in its metadata: `course.cells` holds for each cell's id a
fingerprint of its source. So any copy of a chapter, wherever it has been, tells what a learner has
changed in it and what was added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from tools import CourseError


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


def keep_listed(nb: Mapping, cell: Mapping, before: str) -> None:
    """The course has rewritten a cell that was `before`: list the new text where that was listed.

    Otherwise an update would take the new text for a learner's work.
    """
    listed, id = as_shipped(nb), id_of(cell)
    if listed.get(id) == fingerprint(before):
        listed[id] = fingerprint(source(cell))


# --- files ----------------------------------------------------------------------------------------


def parse(content: bytes, name: str) -> dict:
    """A notebook from its file's content; CourseError if it is none."""
    try:
        nb = json.loads(content.decode("utf-8"))
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
