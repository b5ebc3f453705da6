"""The ledger behind the "Is this true?" boxes: complete, and met in the chapters."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from utils.leftovers import matching

ROOT = Path(__file__).resolve().parent.parent
LEDGER = tomllib.loads((ROOT / "docs" / "claims.toml").read_text(encoding="utf-8"))["claim"]
CLAIMS = {claim["id"]: claim for claim in LEDGER}

NOTEBOOKS = {path.stem: path for path in matching(ROOT, "chapters/*.ipynb")}

# Every statement of the five articles that was found wrong, imprecise or without support.
FOUND = {
    0: (3, 5, 6, 14, 17, 20, 21, 25),
    1: (3, 6, 7, 9, 12, 17, 24, 25, 27, 32, 33, 35),
    2: (1, 4, 5, 6, 7, 9, 14, 15, 16, 17, 18),
    3: (1, 8, 9, 15, 16),
    4: (2, 10, 11, 15, 16, 18, 23, 24, 25, 27, 28),
}


def marks(notebook: Path) -> list[str]:
    """The contents of the claim comments in a notebook's Markdown cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return [mark for text in texts for mark in re.findall(r"<!--\s*claim:?\s*(.*?)\s*-->", text)]


def unmet(notebook: Path) -> list[str]:
    """Ids of the claims that code of this chapter settles and that are not marked in it."""
    met = marks(notebook)
    return [
        i
        for i, claim in CLAIMS.items()
        if claim["chapter"] == notebook.stem and claim.get("settled") == "code" and i not in met
    ]


def test_no_statement_is_left_out_and_none_is_listed_twice():
    wanted = {f"{article}.{number}" for article, numbers in FOUND.items() for number in numbers}
    ids = [claim["id"] for claim in LEDGER]
    assert wanted <= set(ids) and len(set(ids)) == len(ids)
    keys = [tuple(map(int, id.split("."))) for id in ids]
    assert keys == sorted(keys)


@pytest.mark.parametrize("claim", LEDGER, ids=lambda claim: claim["id"])
def test_entry_is_complete(claim):
    assert list(claim) == ["id", "claim", "verdict", "right", "settled", "sources", "chapter"]
    assert claim["settled"] in ("code", "citation"), "what its verdict rests on"
    assert claim["verdict"] in ("wrong", "imprecise", "unsupported")
    assert claim["chapter"] in NOTEBOOKS
    assert claim["claim"].endswith(".") and len(claim["claim"]) <= 100
    assert not re.search(r"[.!?]\s", claim["claim"]), "one sentence"
    assert claim["right"].endswith(".") and 80 <= len(claim["right"]) <= 500
    assert "\n" not in claim["right"] and "  " not in claim["right"]
    assert claim["sources"]
    for source in claim["sources"]:
        if "arxiv" in source.lower():
            assert re.fullmatch(r"arXiv \d{4}\.\d{4,5}", source)
        else:
            assert source == "counted" or re.search(r"\d|/", source) or "published runs" in source
    assert claim["right"].isascii() and claim["claim"].isascii()


@pytest.mark.parametrize("notebook", NOTEBOOKS.values(), ids=NOTEBOOKS)
def test_a_chapter_settles_its_claims_and_marks_no_unknown_one(notebook):
    assert not unmet(notebook), (
        f"{notebook.name}: docs/claims.toml says that code settles these; mark the cell that shows "
        'it with <!-- claim: ID -->, or say settled = "citation"'
    )
    assert all(CLAIMS[id]["chapter"] == notebook.stem for id in marks(notebook))


def test_marks_are_found_where_they_count(tmp_path):
    notebook = tmp_path / "03_vgg.ipynb"
    cells = [
        {"cell_type": "markdown", "source": ["Is this true?\n", "<!-- claim: 2.17 -->\n"]},
        {"cell_type": "markdown", "source": "<!--claim: 9.9--> and <!-- claim 1.12 -->"},
        {"cell_type": "code", "source": ["# <!-- claim: 2.18 -->"]},
    ]
    notebook.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert marks(notebook) == ["2.17", "9.9", "1.12"]
    assert unmet(notebook) == ["2.18"]  # code of chapter 3 settles it
    cells[0]["source"].append("<!-- claim: 2.18 -->")
    notebook.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert unmet(notebook) == []
