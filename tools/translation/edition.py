"""The Chinese edition as files: catalogues in step with the English, and what is made of them.

`renew` does all of it; `outdated` says what it would change.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from exercises import texts
from tools import ROOT, write
from tools.translation import catalogue, notebooks, pages, sources


def renew(stems: Iterable[str] | None = None) -> list[str]:
    """Renew catalogues and Chinese files; the names of those that changed.

    stems: only these chapters, with their exercises; None is everything.
    """
    stems = None if stems is None else list(stems)
    changed = [f"translations/zh/{n}.po" for n in _catalogues(stems) if _renew_catalogue(n)]
    for path, content in _files(stems).items():
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, content)
            changed.append(_name(path))
    for path in _left_over() if stems is None else []:
        path.unlink()
        changed.append(f"{_name(path)} (removed)")
    return changed


def outdated() -> list[str]:
    """The names of the files that `renew` would change or remove."""
    found = []
    for name in sources.names():
        path = catalogue.path_of(name)
        if not path.is_file() or path.read_bytes() != catalogue.written(catalogue.renewed(name)):
            found.append(f"translations/zh/{name}.po")
    for path, content in _files(None).items():
        if not path.is_file() or path.read_bytes() != content:
            found.append(_name(path))
    return found + [_name(path) for path in _left_over()]


def _catalogues(stems: list[str] | None) -> list[str]:
    if stems is None:
        return sources.names()
    groups = {text.group for stem in stems for text in texts.chapters().get(stem, [])}
    return [f"chapters/{s}" for s in stems] + [f"exercises/{group}" for group in sorted(groups)]


def _renew_catalogue(name: str) -> bool:
    return catalogue.store(name, catalogue.renewed(name))


def _files(stems: list[str] | None) -> dict[Path, bytes]:
    return notebooks.generated(stems) | (pages.generated() if stems is None else {})


def _left_over() -> list[Path]:
    """Chinese notebooks and pages of which there is no English."""
    here = {pages.chinese(ROOT / "chapters" / f"{stem}.ipynb") for stem in sources.stems()}
    here |= {pages.chinese(sources.page_source(name)) for name in sources.PAGES}
    found = [*notebooks.FOLDER.glob("[0-9][0-9]_*.ipynb"), *(ROOT / "docs" / "zh").glob("*.md")]
    return sorted(set(found) - here)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
