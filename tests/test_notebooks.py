"""The form of every notebook: anatomy, lengths, stored outputs, links, and code that is also in the package."""

import re

import hygiene
import pytest
import reading
from said import check_numbers
from same_code import check_same_code

from tools.address import REPEATED, repository
from tools.files import ROOT, find, read, scrub, to_text

FOLDER = ROOT / "notebooks"
NOTEBOOKS = {path.stem: read(path) for path in sorted(FOLDER.glob("*.ipynb"))}
STEMS = list(NOTEBOOKS)
ASIDES = {path.stem: read(path) for path in sorted(FOLDER.glob("asides/*.ipynb"))}
SETUP = hygiene.of_type(NOTEBOOKS[STEMS[0]], "code")[0].source
FORM = {
    "valid": hygiene.check_valid,
    "lengths": hygiene.check_lengths,
    "walk": reading.check_walk,
    "bounds": reading.check_bounds,
    "neighbours": hygiene.check_neighbours,
    "size": hygiene.check_size,
    "counts": hygiene.check_counts,
    "metadata": hygiene.check_metadata,
    "outputs": hygiene.check_outputs,
    "paths": hygiene.check_paths,
    "figures": hygiene.check_figures,
    "numbers": check_numbers,
    "same code": lambda nb: check_same_code(nb, ROOT),
}
CHECKS = {
    "front": lambda stem, nb: hygiene.check_front(nb, stem, STEMS, repository()),
    "sections": lambda stem, nb: hygiene.check_sections(nb, stem),
    "setup": lambda stem, nb: hygiene.check_setup(nb, repository()),
    "minutes": lambda stem, nb: reading.check_minutes(nb),
    "end": lambda stem, nb: reading.check_end(nb, dict(zip(STEMS, STEMS[1:], strict=False)).get(stem)),
    "links": lambda stem, nb: hygiene.check_links(nb, FOLDER),
} | {name: lambda stem, nb, check=check: check(nb) for name, check in FORM.items()}
OF_ASIDES = {
    "aside": lambda stem, nb: reading.check_aside(nb, stem, chapter_of(stem), SETUP),
    "links": lambda stem, nb: hygiene.check_links(nb, FOLDER / "asides"),
} | {name: lambda stem, nb, check=check: check(nb) for name, check in FORM.items()}


def chapter_of(aside):
    return next(stem for stem in STEMS if stem.startswith(aside[:3]))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("stem", STEMS)
def test_form(stem, check):
    assert CHECKS[check](stem, NOTEBOOKS[stem]) == []


@pytest.mark.parametrize("check", OF_ASIDES)
@pytest.mark.parametrize("stem", ASIDES)
def test_form_of_an_aside(stem, check):
    assert OF_ASIDES[check](stem, ASIDES[stem]) == []


@pytest.mark.parametrize("path", find([], FOLDER), ids=lambda path: path.stem)
def test_scrubbed(path):
    text = path.read_text(encoding="utf-8")
    assert text == to_text(scrub(read(path), path.stem)), "run: python -m tools.notebooks scrub"


@pytest.mark.parametrize("stem", ASIDES)
def test_its_chapter_links_an_aside(stem):
    chapter = NOTEBOOKS[chapter_of(stem)]
    assert f"](asides/{stem}.ipynb" in "\n".join(cell.source for cell in hygiene.of_type(chapter, "markdown"))


def test_same_setup_cell_everywhere():
    assert hygiene.check_same_setup(NOTEBOOKS) == []


def test_readme_lists_every_notebook():
    readme = ROOT / "README.md"
    assert hygiene.check_readme(readme.read_text(encoding="utf-8") if readme.exists() else "", STEMS) == []


def test_readme_says_how_long_a_chapter_takes_as_the_chapter_does():
    rows = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    for stem, nb in NOTEBOOKS.items():
        (row,) = (
            line for line in rows if line.startswith("|") and f"(notebooks/{stem}.ipynb)" in line and " min, " in line
        )
        read_for, run_for = reading.MINUTES.search(hygiene.front(nb))[0].split("running")
        said = [re.search(r"\d+", text)[0] for text in (read_for, run_for)]
        assert re.search(r"\| (\d+) min, (\d+) min", row).groups() == tuple(said), stem


def test_the_short_path_takes_three_hours_and_leads_through_sections_that_exist():
    assert 160 < sum(reading.short_minutes(nb) for nb in NOTEBOOKS.values()) < 200
    for nb in NOTEBOOKS.values():
        numbers = {title.split()[0] for title in hygiene.headings(nb, 2)}
        assert set(reading.short_path(nb)) <= numbers


def test_one_address_everywhere():
    for path in [ROOT / "README.md", ROOT / "CITATION.cff", *find([], FOLDER)]:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        assert REPEATED.sub(rf"\g<1>{repository()}", text) == text, f"{path.name}: run make address"
