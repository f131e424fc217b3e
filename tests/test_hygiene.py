"""Each check of the notebooks' form, tried on a notebook that passes and on one broken in a single place."""

import ast
import copy

import hygiene
import pytest
import same_code
from nbformat import v4

from tools.address import badge
from tools.files import KERNELSPEC, scrub

REPO, STEM, STEMS = "someone/series", "02_middle", ["01_first", "02_middle", "03_last"]
FRONT = f"""# 2. The middle

{badge(REPO, STEM)} [previous](01_first.ipynb) | [next](03_last.ipynb)

What is between the ends? In this notebook you will

- measure one thing,
- look at a second,
- predict a third.

It needs no other notebook and takes two minutes.
"""
SETUP = f'import sys\n\nREPO = "https://github.com/{REPO}"'
WORDS = "Some words say what is to be seen here, and why that is of any interest to you."
CLOSING = "## Summary\nSeen.\n## Further reading\nA [paper](https://example.org), sec. 2."


def code(source, *outputs, count=1, **metadata):
    return v4.new_code_cell(source, outputs=list(outputs), execution_count=count, metadata=metadata)


def shown(text="<Figure>", **data):
    return v4.new_output("display_data", data={"text/plain": text} | data)


def stream(text, name="stdout"):
    return v4.new_output("stream", name=name, text=text)


@pytest.fixture
def nb():
    cells = [v4.new_markdown_cell(text) for text in (FRONT, "## Setup", "## 2.1 Why\n" + WORDS, WORDS, CLOSING)]
    cells.insert(2, code(SETUP))
    cells.insert(4, code("x = 1\ny = 2\ndraw()", shown(**{"image/png": "iVBORw0KGgo="}), count=2))
    return scrub(v4.new_notebook(cells=cells), STEM)


def every_complaint(nb, folder):
    return [
        *hygiene.check_valid(nb),
        *hygiene.check_front(nb, STEM, STEMS, REPO),
        *hygiene.check_sections(nb, STEM),
        *hygiene.check_setup(nb, REPO),
        *hygiene.check_lengths(nb),
        *hygiene.check_neighbours(nb),
        *hygiene.check_size(nb),
        *hygiene.check_counts(nb),
        *hygiene.check_metadata(nb),
        *hygiene.check_outputs(nb),
        *hygiene.check_paths(nb),
        *hygiene.check_links(nb, folder),
        *hygiene.check_figures(nb),
        *same_code.check_same_code(nb, folder),
    ]


@pytest.fixture
def folder(tmp_path):
    for stem in STEMS:
        (tmp_path / f"{stem}.ipynb").touch()
    return tmp_path


def test_a_good_notebook_has_no_complaint(nb, folder):
    assert every_complaint(nb, folder) == []


def replaced(k, old, new):
    def change(nb):
        assert old in nb.cells[k].source
        nb.cells[k].source = nb.cells[k].source.replace(old, new)

    return change


def added(*cells):
    return lambda nb: nb.cells.extend(v4.new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells)


def output(*outputs):
    return lambda nb: nb.cells[4].outputs.extend(outputs)


ERROR = v4.new_output("error", ename="ValueError", evalue="no", traceback=["no"])
BROKEN = {
    "not a valid notebook": lambda nb: nb.cells[4].update(colour="red"),
    "the first line is not": replaced(0, "# 2.", "# 3."),
    "the Colab badge is not": replaced(0, REPO, "someone/else"),
    "no `In this notebook": replaced(0, "In this notebook you will", "You might"),
    "2 goals": replaced(0, "- look at a second,\n", ""),
    "what it needs": replaced(0, "needs", "wants"),
    "how long": replaced(0, "two minutes", "a while"),
    "no link to its neighbour 01_first": replaced(0, "01_first", "00_first"),
    "no link to its neighbour 03_last": replaced(0, "03_last", "03_lost"),
    "no numbered section": replaced(3, "## 2.1", "###"),
    "should be `## 2.1": replaced(3, "2.1", "2.2"),
    "sections are not": replaced(6, "## Summary", ""),
    "not exactly one title": added("# Again"),
    "lines, above 15": replaced(2, "import sys", "import sys\n" * 14),
    "no line REPO": replaced(2, REPO, "someone/else"),
    "median": replaced(4, "draw()", "draw()\n" * 19),
    "90th percentile": added(*[code("x = 1\n" * 21)] * 2),
    "longest": replaced(4, "draw()", "draw()\n" * 36),
    "both code of over 10": added(code("x = 1\n" * 11), code("x = 1\n" * 11)),
    "not under 500": output(shown(**{"image/png": "A" * 500_000})),
    "counts are not": added(code("x = 1", count=None)),
    "no stored output": lambda nb: nb.cells[4].update(outputs=[]),
    "kernelspec": lambda nb: nb.metadata.update(kernelspec=KERNELSPEC | {"name": "mine"}),
    "metadata.widgets": lambda nb: nb.metadata.update(widgets={}),
    "ids are missing": lambda nb: nb.cells[0].update(id=nb.cells[1].id),
    "standard error": output(stream("careful", "stderr")),
    "an error is stored": output(ERROR),
    "progress bar": output(shown("  0%|          | 0/30 [00:00<?, ?it/s]")),
    "path of somebody's machine is stored": output(stream("saved to /home/me/model")),
    "SVG": output(shown(**{"image/svg+xml": "<svg/>"})),
    "... is a path": replaced(4, "draw()", "draw('/home/me/model')"),
    "gone.ipynb#part does not exist": added("[gone](gone.ipynb#part)"),
    "gone.png does not exist": added('<img src="gone.png" alt="a curve">'),
    "no alt text": added("![](01_first.ipynb)"),
    "no text after its figure": lambda nb: nb.cells.insert(5, code("x = 1")),
    "defines nothing": replaced(4, "draw()", "draw()  # also: package.module"),
    "kl is not in package.module": replaced(4, "draw()", "def kl(): pass  # also: package.module"),
}


@pytest.mark.parametrize("complaint", BROKEN)
def test_a_broken_notebook_has_the_complaint(nb, folder, complaint):
    BROKEN[complaint](nb)
    assert any(complaint in found for found in every_complaint(nb, folder))


def test_an_expected_error_may_be_stored(nb):
    nb.cells[4].metadata.tags = ["raises-exception"]
    nb.cells[4].outputs = [ERROR]
    assert hygiene.check_outputs(nb) == []


def test_links_are_not_sought_in_formulas_and_code(nb, folder):
    added(r"$\mathbb{E}[f](x)$ and `a[0](b)` and [a place](#here)")(nb)
    assert hygiene.check_links(nb, folder) == []


def test_setup_cells_that_differ_are_named(nb):
    other = copy.deepcopy(nb)
    assert hygiene.check_same_setup({"01": nb, "02": other}) == []
    other.cells[2].source += " "
    assert hygiene.check_same_setup({"01": nb, "02": other}) == ["02: its setup cell is not that of 01"]
    assert hygiene.check_same_setup({}) == []


def test_a_notebook_missing_from_the_readme_is_named():
    readme = "| [one](notebooks/01_first.ipynb) |\nand [two](notebooks/02_middle.ipynb)"
    assert hygiene.check_readme(readme, ["01_first", "02_middle"]) == ["no row of README.md's table links 02_middle"]


PACKAGE = '''
def half(x: float, *, most: float = 1.0) -> float:
    """Return half of x."""
    _check_number(x)
    y: float = x / 2
    return min(y, most)


class Net(Module):
    """Map x to x."""

    size: int

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        checks._check_shape(x)
        return x
'''
HALF = "def half(x, *, most=1.0):  # also: package.module\n    y = x / 2\n    return min(y, most)\n"
NET = "class Net(Module):  # also: package.module\n    def forward(self, x):\n        return x\n"


@pytest.mark.parametrize(
    ("cell", "complaints"),
    {
        "x = 1": [],
        HALF: [],
        NET: [],
        HALF + NET: [],
        HALF.replace("def half(", "def half(\n    "): [],
        HALF.replace("x / 2", "x / 3"): ["half is not the half of package.module: `y = x / 3` here, `y = x / 2` there"],
        HALF.replace("    return min(y, most)\n", ""): [
            "half is not the half of package.module: `` here, `return min(y, most)` there"
        ],
        NET.replace("return x", "check(x)\n        return x"): [
            "Net is not the Net of package.module: `check(x)` here, `return x` there"
        ],
        NET.replace("Module)", "Layer)"): [
            "Net is not the Net of package.module: `class Net(Layer):` here, `class Net(Module):` there"
        ],
        NET.replace("Net", "Other"): ["Other is not in package.module"],
        HALF.replace("module", "gone"): ["half is not in package.gone"],
    }.items(),
)
def test_code_is_held_to_the_package(tmp_path, cell, complaints):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text(PACKAGE, encoding="utf-8")
    assert same_code.compare(cell, tmp_path) == complaints


def test_only_leading_guards_are_stripped():
    late = ast.parse("def f(x):\n    y = x\n    _check(y)\n    return y")
    assert "_check" in same_code.definitions(ast.unparse(late))["f"]
