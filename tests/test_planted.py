"""Planted errors count only where the cells pass without them, and where a check notices."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from planted import Playback, Unsound, groups

SOURCES = ["import torch\nruns = []", "half = 2 / 4", "assert half == 0.5", "x = 1", "y = torch.ones(1)"]
FAILING = "runs.append(1)\nthird = 1 / 3\nassert len(runs) == 1"  # passes once, and never after having been set back


def playback(**mutations):
    cells = [new_code_cell(source) for source in SOURCES]
    gradient = "w = torch.ones(1, requires_grad=True)\n(3 * w).sum().backward()"
    later = [new_markdown_cell("## 1.2"), new_code_cell(FAILING), new_markdown_cell("## 1.3"), new_code_cell(gradient)]
    return Playback(new_notebook(cells=cells + later), mutations)


def test_mutations_of_one_cell_share_a_group_which_is_replayed_once():
    played = playback(a=("2 / 4", "2 / 5"), b=("half = 2", "half = 3"), c=("third = 1", "third = 2"))
    assert played.groups == {1: [1, 2, 3, 4], 5: [5]}
    seen, replay = [], played.replay
    played.replay = lambda first, *change: (seen.append((first, bool(change))), replay(first, *change))
    played.check_caught("a")
    played.check_caught("b")
    assert seen == [(1, False), (1, True), (1, True)]


def test_cells_that_always_fail_catch_nothing():
    played = playback(wrong=("third = 1", "third = 2"))
    for check in (lambda: played.check_sound(5), lambda: played.check_caught("wrong")):
        with pytest.raises(Unsound, match="code cell 6 and those that follow fail as they stand"):
            check()


def test_an_error_that_no_check_notices_is_named():
    with pytest.raises(AssertionError, match=r"unseen: no check of code cell 4 .* notices `x = 2`"):
        playback(unseen=("x = 1", "x = 2")).check_caught("unseen")


def test_only_assertions_and_what_torch_says_of_gradients_count():
    detached = playback(a=("(3 * w).sum()", "(3 * w).sum().detach()"), b=("(3 * w).sum()", "(3 * w).view(7).sum()"))
    detached.check_caught("a")
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        detached.check_caught("b")
    with pytest.raises(ZeroDivisionError):
        playback(zero=("2 / 4", "2 / 0")).check_caught("zero")


def test_groups_stand_in_reading_order():
    nb = new_notebook(cells=[new_code_cell(source) for source in SOURCES])
    assert list(groups(nb, {"late": ("x = 1", ""), "early": ("2 / 4", "")})) == [1, 3]
