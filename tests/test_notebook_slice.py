"""The part of a notebook that a few of its cells depend on."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_slice import cells_from, needed, without_magics

SOURCES = [
    "import torch",  # 0
    "x = torch.ones(3)",  # 1
    "y = 2",  # 2
    "def f(z):\n    y = z\n    return y + x",  # 3: its own y counts all the same
    "y = y + 1",  # 4
    "table = {}\ntable['a'] = y",  # 5
    "table.update(b=1)",  # 6
    "print([y for y in range(3)], f(1))",  # 7: a y of the comprehension
    "torch.manual_seed(0)\nprint(table, torch)",  # 8
    "torch.ones(2)",  # 9
]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [([1], [0, 1]), ([3], [0, 1, 2, 3]), ([4], [2, 4]), ([8], [0, 2, 4, 5, 6, 8]), ([9], [0, 9])],
)
def test_a_cell_brings_what_it_depends_on(wanted, chosen):
    assert needed(SOURCES, wanted) == chosen


def test_the_slice_runs_and_gives_what_the_whole_gives():
    whole, part = {}, {}
    for source in SOURCES:
        exec(source, whole)
    for place in needed(SOURCES, [8]):
        exec(SOURCES[place], part)
    assert part["table"] == whole["table"] == {"a": 3, "b": 1}
    assert "x" not in part


def test_magics_become_pass():
    exec(without_magics("if False:\n    %cd somewhere\n!ls\nx = 7 % 4"), space := {})
    assert space["x"] == 3


def notebook():
    cells = [new_code_cell("a = 1"), new_markdown_cell("### not a section"), new_code_cell("b = 1\nc = 1")]
    return new_notebook(cells=[*cells, new_markdown_cell("## 2 Next"), new_code_cell("d = 1")])


def test_cells_from_stay_within_the_section():
    assert cells_from(notebook(), "a = 1", 4) == [0, 1]
    assert cells_from(notebook(), "a = 1", 0) == [0]
    assert cells_from(notebook(), "d = 1", 4) == [2]


@pytest.mark.parametrize("old", ["e = 1", "= 1"])
def test_cells_from_wants_one_place(old):
    with pytest.raises(ValueError, match="must stand once in one cell"):
        cells_from(notebook(), old, 4)
