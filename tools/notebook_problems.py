"""For authors: what is wrong with a notebook as it is stored."""

from __future__ import annotations

import re

import nbformat
from nbformat import NotebookNode

from tools import ROOT, cells

LARGEST_FILE = 1_000_000  # bytes; GitHub and Colab render larger notebooks slowly or not at all
LONGEST_CELL = 50  # lines of code: about a screen

_MACHINE = re.compile(r"/home/|/Users/|/root/|[A-Z]:\\Users|ipykernel_\d+|site-packages")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")


def find(nb: NotebookNode, fresh: NotebookNode, stem: str) -> list[str]:
    """What is wrong with a stored notebook, one sentence each; empty if it is as it should be.

    fresh: the same notebook with the course's cells generated anew and its metadata normalised.
    stem: its name, such as 04_nin.
    """
    found = []
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        found.append(f"not a valid notebook: {str(error).splitlines()[0]}")
    size = len(nbformat.writes(nb, version=4).encode("utf-8"))
    if size > LARGEST_FILE:
        found.append(f"{size:,} bytes; at most {LARGEST_FILE:,} are good to open")

    listed, now = cells.as_shipped(nb), cells.fingerprints(nb)
    found += [
        f"cell {id}: not as it was stored: `python3 course.py run {stem}` stores it"
        for id in {**listed, **now}
        if listed.get(id) != now.get(id)
    ]
    metadata = {**fresh.metadata, "course": {**fresh.metadata["course"], "cells": listed}}
    if {**nb.metadata} != metadata or nb.nbformat_minor != 5:
        found.append("the notebook's metadata are not normalised")
    if [cell.get("id") for cell in nb.cells] != [cell.id for cell in fresh.cells]:
        found.append(
            "the header, the first two code cells, the questions before the sources or the cells "
            "of an exercise are missing"
        )
    for cell, wanted in zip(nb.cells, fresh.cells):
        if cell.get("id") == wanted.id and cell.source != wanted.source:
            found.append(f"cell {cell.id}: not as it is generated")
        if cell.get("id") == wanted.id and cell.metadata != wanted.metadata:
            found.append(f"cell {cell.id}: its metadata are not normalised")

    found += [
        f"cell {cell.get('id')}: the line {line.strip()!r} ends in spaces, which other tools remove"
        for cell in nb.cells
        for line in cell.source.splitlines()
        if line != line.rstrip()
    ]
    if not ran_once(nb):
        found.append("the cells were not run once, from top to bottom: counts are not 1 to n")
    for cell in _code_cells(nb):
        found += [f"cell {cell.get('id')}: {text}" for text in _cell_problems(cell)]
    prose = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", prose):
        if not (ROOT / "chapters" / target).exists():
            found.append(f"link to {target}, which does not exist")
    return found


def ran_once(nb: NotebookNode) -> bool:
    """Whether the cells were run from top to bottom, each of them once."""
    counts = [cell.execution_count for cell in _code_cells(nb)]
    return counts == list(range(1, len(counts) + 1))


def _code_cells(nb: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def _cell_problems(cell: NotebookNode) -> list[str]:
    found = []
    tags = set(cell.metadata.get("tags", []))
    compared = not {"nbval-ignore-output", "nbval-skip"} & tags
    lines = cell.source.rstrip().splitlines()
    if len(lines) > LONGEST_CELL:
        found.append(f"{len(lines)} lines; at most {LONGEST_CELL} fit on a screen")
    if compared and lines and lines[-1].rstrip().endswith(";"):
        found.append("ends with a semicolon, which nbval does not understand; assign or plt.show()")
    for output in cell.outputs:
        data = output.get("data", {})
        text = output.get("text", "") + "".join(data[k] for k in data if k.startswith("text/"))
        if output.output_type == "error" and "raises-exception" not in tags:
            found.append(f"a stored error: {output.ename}: {output.evalue}")
        if output.get("name") == "stderr":
            found.append(f"a stored warning or message on stderr: {output.text.strip()[:200]}")
        if "image/svg+xml" in data:
            found.append("an SVG image, which nbval compares byte by byte; show PNG")
        if any("widget" in kind for kind in data):
            found.append("a stored widget, which shows nothing without its kernel")
        if "\r" in text:
            found.append("traces of a progress bar")
        if match := _MACHINE.search(text):
            found.append(f"an output that names this machine's folders ({match[0]})")
        if compared and _ADDRESS.search(text):
            found.append("an output with an object's address, which changes with every run")
    return found
