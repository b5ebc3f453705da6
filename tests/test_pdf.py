"""The course as a PDF: what is in it, what is left out, and a printed chapter (long)."""

import re
import shutil
import subprocess
import sys

import pytest

from tools import ROOT, CourseError, authoring

pytest.importorskip("myst_nb", reason="not installed here: `course.py setup` does it")

from tools.site import build, pdf


def chapter():
    nb = authoring.load("04_nin")
    nb.cells.append(
        authoring.markdown("<details>\n<summary>A table</summary>\n\nseen\n\n</details>")
    )
    return pdf.on_paper(nb)


def test_hints_and_solutions_stay_out():
    before, after = authoring.load("04_nin").cells, chapter().cells
    helps = [cell.source for cell in before if cell.metadata.get("role") == "help"]
    assert len(helps) > 6 and all("<summary>Solution" in text or "Hint" in text for text in helps)
    text = "\n".join(cell.source for cell in after)
    assert not any(line in text for line in ("<summary>Solution", "<summary>Hint 1"))
    assert {"task", "stub", "check"} <= {cell.metadata.get("role") for cell in after}


def test_folds_are_open_except_the_answers():
    folded = [c for c in chapter().cells if "<details>" in c.source]
    assert [cell.metadata.get("role") for cell in folded] == ["recall"]
    assert "<details open>\n<summary>A table" in chapter().cells[-1].source


def test_every_chapter_is_in_it_and_every_page_exists():
    pages = pdf.pages()
    assert {path.stem for path in pages if path.suffix == ".ipynb"} == set(authoring.stems())
    assert all(path.is_file() for path in pages)
    assert len(set(pages.values())) == len(pages)


def test_a_site_of_fewer_pages_links_to_the_others_in_the_repository(tmp_path):
    path = ROOT / "docs" / "glossary.md"
    build.copy_pages(tmp_path, {path: path.relative_to(ROOT)})
    text = (tmp_path / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert f"({build.address()}/blob/main/chapters/04_nin.ipynb)" in text


def test_without_a_browser_there_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    assert pdf.main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "problem: the PDF is printed by Chromium or Chrome, and neither was found"
    )
    assert said.count("\n") == 1


def test_a_browser_that_prints_nothing_gets_one_sentence(monkeypatch, tmp_path):
    page = tmp_path / "index.html"
    page.write_text("<p>x", encoding="utf-8")
    monkeypatch.setattr(pdf, "browser", lambda: sys.executable)  # knows no --headless
    with pytest.raises(CourseError, match="printed no PDF: "):
        pdf.print_page(page, tmp_path / "a.pdf")


@pytest.mark.long
@pytest.mark.skipif(
    not any(map(shutil.which, pdf.BROWSERS)), reason="no Chromium or Chrome is installed here"
)
def test_a_chapter_is_printed_with_its_formulas_and_without_its_solutions(monkeypatch, tmp_path):
    kept = [ROOT / "chapters" / "04_nin.ipynb", ROOT / "docs" / "glossary.md"]
    monkeypatch.setattr(pdf, "pages", lambda: {path: path.relative_to(ROOT) for path in kept})
    file = tmp_path / "folder" / "nin.pdf"
    assert pdf.main([str(file)]) == 0
    content = file.read_bytes()
    assert content.startswith(b"%PDF-") and len(content) > 500_000
    if reader := shutil.which("pdftotext"):
        command = [reader, "-enc", "UTF-8", str(file), "-"]
        text = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")
        words = " ".join(text.split())
        title = authoring.load("04_nin").metadata["course"]["title"]
        assert f"Chapter 4: {title}" in words and "Exercise nin.2" in words
        assert "全局平均" in words and "What is an mlpconv block?" in words
        assert "It is a small network that looks at every patch." not in words
        assert not re.search(r"\\(frac|approx|ln|text|cdot)\b|Solution|Hint 1", words)
