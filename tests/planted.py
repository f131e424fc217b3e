"""Plant wrong code into a notebook, one piece at a time, and see whether the notebook's own checks catch it."""

import functools
from collections.abc import Callable

import matplotlib.pyplot as plt
import pytest
import torch
from nbformat import NotebookNode
from notebook_slice import cells_from, needed, without_magics

from tools.files import ROOT, read

FOLLOWING = 4  # cells of the same section in which a planted error must show itself
ABOUT_GRADIENTS = ("does not require grad", "not have been used in the graph")  # what torch says of a detached sample
Mutations = dict[str, tuple[str, str]]


class Unsound(Exception):
    """Say that cells fail as they stand, so that their failure with an error planted in them shows nothing."""


class Playback:
    """A notebook, run once as it stands as far as its mutations need, which can be set back to before any such cell."""

    def __init__(self, nb: NotebookNode, mutations: Mutations) -> None:
        self.namespace, self.before, self.mutations = {"__name__": "__main__"}, {}, mutations
        self.groups = groups(nb, mutations)
        self.sources = [cell.source for cell in nb.cells if cell.cell_type == "code"]
        for place in needed(self.sources, sorted({place for places in self.groups.values() for place in places})):
            self.before[place] = dict(self.namespace), torch.get_rng_state()
            self.run(place, self.sources[place])

    def run(self, place: int, source: str) -> None:
        """Run some source in a cell's place."""
        exec(compile(without_magics(source), f"code cell {place + 1}", "exec"), self.namespace)

    def replay(self, first: int, change: Callable[[str], str] = str) -> None:
        """Run a cell, changed, and the cells that follow it, from where the notebook stood before them."""
        names, state = self.before[first]
        self.namespace.clear()  # the same dictionary, because the functions defined before look into it
        self.namespace.update(names)
        torch.set_rng_state(state)
        for place in self.groups[first]:
            self.run(place, change(self.sources[place]) if place == first else self.sources[place])

    @functools.cache  # noqa: B019 -- one replay for all mutations of a group; a playback lives as long as the run
    def trouble(self, first: int) -> Exception | None:
        """Return what goes wrong when a group of cells is replayed as it stands, which is done once."""
        try:
            self.replay(first)
        except Exception as error:
            return error
        return None

    def check_sound(self, first: int) -> None:
        """Raise Unsound unless a group of cells passes as it stands, after having been set back."""
        if trouble := self.trouble(first):
            raise Unsound(f"code cell {first + 1} and those that follow fail as they stand") from trouble

    def check_caught(self, why: str) -> None:
        """Plant an error. Raises: Unsound if its cells fail without it; AssertionError if nothing notices it."""
        old, new = self.mutations[why]
        first = next(place for place in self.groups if old in self.sources[place])
        self.check_sound(first)
        try:
            self.replay(first, lambda source: source.replace(old, new))
        except AssertionError:
            return
        except RuntimeError as error:
            if any(text in str(error) for text in ABOUT_GRADIENTS):
                return
            raise
        raise AssertionError(f"{why}: no check of code cell {first + 1} and those that follow notices `{new}`")


def groups(nb: NotebookNode, mutations: Mutations) -> dict[int, list[int]]:
    """Return, by the cell that is changed, the cells to replay: each group serves all mutations of its first cell."""
    found = [cells_from(nb, old, FOLLOWING) for old, _ in mutations.values()]
    return {places[0]: places for places in sorted(found)}


@functools.cache
def notebook(stem: str) -> NotebookNode:
    """Read a notebook of the series."""
    return read(ROOT / "notebooks" / f"{stem}.ipynb")


class PlantedErrors:
    """The tests of one notebook; a subclass names it and its mutations, in a file of its own, so that files can share
    the processors.
    """

    stem: str
    mutations: Mutations
    pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # matplotlib's, of tensors

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        cls = metafunc.cls
        if "why" in metafunc.fixturenames:
            metafunc.parametrize("why", cls.mutations)
        if "first" in metafunc.fixturenames:
            firsts = groups(notebook(cls.stem), cls.mutations)
            metafunc.parametrize("first", firsts, ids=[f"code cell {first + 1}" for first in firsts])

    @pytest.fixture(scope="class")
    def playbacks(self, request) -> list[Playback]:
        """Hold the one playback of the class, once the first test has made it among the settings of a notebook."""
        return []

    @pytest.fixture
    def playback(self, playbacks, project_kept, all_threads, monkeypatch):
        """Keep trained models, use all cores, show no figure; hand over the notebook, played as far as it is needed."""
        monkeypatch.chdir(ROOT / "notebooks")
        monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
        if not playbacks:
            playbacks.append(Playback(notebook(self.stem), self.mutations))
        yield playbacks[0]
        plt.close("all")

    def test_the_right_code_passes(self, playback, first):
        playback.check_sound(first)

    def test_a_planted_error_is_caught(self, playback, why):
        playback.check_caught(why)
