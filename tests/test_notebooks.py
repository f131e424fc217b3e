"""The form of every notebook: anatomy, lengths, stored outputs, links, and code that is also in the package."""

import hygiene
import pytest
from same_code import check_same_code

from tools.address import REPEATED, repository
from tools.files import ROOT, read, scrub, to_text

FOLDER = ROOT / "notebooks"
NOTEBOOKS = {path.stem: read(path) for path in sorted(FOLDER.glob("*.ipynb"))}
STEMS = list(NOTEBOOKS)
CHECKS = {
    "valid": lambda stem, nb: hygiene.check_valid(nb),
    "front": lambda stem, nb: hygiene.check_front(nb, stem, STEMS, repository()),
    "sections": lambda stem, nb: hygiene.check_sections(nb, stem),
    "setup": lambda stem, nb: hygiene.check_setup(nb, repository()),
    "lengths": lambda stem, nb: hygiene.check_lengths(nb),
    "neighbours": lambda stem, nb: hygiene.check_neighbours(nb),
    "size": lambda stem, nb: hygiene.check_size(nb),
    "counts": lambda stem, nb: hygiene.check_counts(nb),
    "metadata": lambda stem, nb: hygiene.check_metadata(nb),
    "outputs": lambda stem, nb: hygiene.check_outputs(nb),
    "paths": lambda stem, nb: hygiene.check_paths(nb),
    "links": lambda stem, nb: hygiene.check_links(nb, FOLDER),
    "figures": lambda stem, nb: hygiene.check_figures(nb),
    "same code": lambda stem, nb: check_same_code(nb, ROOT),
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("stem", STEMS)
def test_form(stem, check):
    assert CHECKS[check](stem, NOTEBOOKS[stem]) == []


@pytest.mark.parametrize("stem", STEMS)
def test_scrubbed(stem):
    text = (FOLDER / f"{stem}.ipynb").read_text(encoding="utf-8")
    assert text == to_text(scrub(read(FOLDER / f"{stem}.ipynb"), stem)), "run: python -m tools.notebooks scrub"


def test_same_setup_cell_everywhere():
    assert hygiene.check_same_setup(NOTEBOOKS) == []


def test_readme_lists_every_notebook():
    readme = ROOT / "README.md"
    assert hygiene.check_readme(readme.read_text(encoding="utf-8") if readme.exists() else "", STEMS) == []


def test_one_address_everywhere():
    for path in [ROOT / "README.md", ROOT / "CITATION.cff", *FOLDER.glob("*.ipynb")]:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        assert REPEATED.sub(rf"\g<1>{repository()}", text) == text, f"{path.name}: run make address"
