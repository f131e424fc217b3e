"""Every term of the glossary is introduced, in bold and by its standard name, where it first stands."""

import re

import pytest

from tools.files import ROOT, find, read

PAGE = ROOT / "notebooks" / "glossary.md"
CHAPTERS = [path for path in find([], ROOT / "notebooks") if path.parent.name == "notebooks"]
OTHERWISE = {"gap", "temperature"}  # words with a second meaning: holes among codes; the temperature of Gumbel-softmax
CLOUD = re.compile(r"(?i)\bclouds?\b")


def rows():
    """Return the glossary's rows: term, number of the section, name of the notebook."""
    found = re.findall(r"(?m)^\| ([^|]+) \|.*\| \[([\d.]+)\]\((\w+)\.ipynb\) \|$", PAGE.read_text(encoding="utf-8"))
    return {term: (section, stem) for term, section, stem in found}


ROWS = rows()


def sections(path):
    """Return the text of each section of a chapter, by its number; what is before the first is of the chapter's own.

    Front matter, summary and reading list name what is to come, or was, and are left out.
    """
    text = "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    text = re.split(r"(?m)^## Summary", re.split(r"(?m)^## Setup", text)[-1])[0]
    text = re.sub(r"(?m)^#+ .*$", lambda m: m[0] if m[0].startswith("## ") else "", text)
    parts = re.split(r"(?m)^## (\d\.\d+) .*$", text)
    return {str(int(path.stem[:2])): parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


TEXTS = [(path.stem, number, text) for path in CHAPTERS for number, text in sections(path).items()]


def pattern(term):
    """Match a term, singular or plural, in prose: between blanks, asterisks or punctuation."""
    return rf"{re.escape(term)}(?:s|es)?(?![\w-])"


def test_the_page_has_rows_in_order():
    assert len(ROWS) > 30
    assert list(ROWS) == sorted(ROWS, key=str.lower)
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(lines) == len(ROWS) + 1, "a row has no link to a section"


@pytest.mark.parametrize("term", ROWS)
def test_a_term_is_introduced_where_the_page_says(term):
    section, stem = ROWS[term]
    text = next(text for found, number, text in TEXTS if (found, number) == (stem, section))
    for name in term.split(", "):
        assert re.search(rf"\*\*[^*\n]*{pattern(name)}[^*\n]*\*\*", text, re.IGNORECASE), (
            f"{name} is not bold in section {section}"
        )


@pytest.mark.parametrize("term", [term for term in ROWS if term not in OTHERWISE])
def test_a_term_does_not_stand_earlier(term):
    section, stem = ROWS[term]
    for found, number, text in TEXTS:
        if (found, number) == (stem, section):
            return
        plain = re.sub(r"\$[^$]*\$|`[^`]*`|\]\([^)]*\)|(?<=\[)[^\]]*(?=\]\()", "", text)
        for name in term.split(", "):
            met = re.search(rf"[^.]*(?<![\w-]){pattern(name)}[^.]*", plain, re.IGNORECASE)
            assert not met, f"{name} stands in section {number}: {' '.join(met[0].split())}"


def test_the_picture_of_a_cloud_comes_after_the_term_and_seldom():
    for path in CHAPTERS:
        text = "\n".join(sections(path).values())
        met = CLOUD.search(text)
        if met:
            assert "approximate posterior" in text[: met.end() + 200].lower(), path.stem
        assert len(CLOUD.findall(text)) <= 3, path.stem
