"""Panels as their reader has them: what a page shows is read from the page, what it should show from the kernel."""

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from nbformat import NotebookNode
from scripts import DRAWN, INK, MOVED, PICTURE, PLACED, SETTLED, VALUES

from tools.files import find, read
from tools.lab_notebook import PATIENCE, Notebook

if TYPE_CHECKING:
    from playwright.sync_api import Locator

CALLS = ("widgets.explore(", "widgets.sketch(")

Values = dict[str, str]


def has_panel(cell: NotebookNode) -> bool:
    """Tell whether a cell makes a panel."""
    return cell.cell_type == "code" and any(call in cell.source for call in CALLS)


def with_panels(folder: Path) -> list[str]:
    """Return the names of the notebooks that have panels, asides/ before those of asides."""
    paths = [path for path in find([], folder) if any(map(has_panel, read(path).cells))]
    return [path.relative_to(folder).with_suffix("").as_posix() for path in paths]


@dataclass
class Panel:
    """Drive one panel: `cell` is its place in the notebook, `name` what the kernel calls it, `still` its first PNG."""

    notebook: Notebook
    cell: int
    name: str
    still: bytes
    start: Values = field(default_factory=dict)
    settled: tuple[Values, bytes] | None = None  # what was right when it was last looked at

    @property
    def box(self) -> "Locator":
        """Return where it is in the page."""
        return self.notebook.page.locator(f'.jp-Notebook [data-windowed-list-index="{self.cell}"] .vae-panel')

    def show(self) -> None:
        """Scroll to it: JupyterLab may take cells that are far away out of the page."""
        self.notebook.scroll_to(self.cell)
        self.box.scroll_into_view_if_needed()
        self.box.locator("img").wait_for()

    @cached_property
    def labels(self) -> list[str]:
        """Return what its sliders are called."""
        return [label for label, _ in self.box.evaluate(VALUES)]

    @property
    def buttons(self) -> list[str]:
        """Return what its buttons are called, without the number of files that an upload counts."""
        return [re.sub(r" \(\d+\)$", "", text) for text in self.box.locator("button").all_inner_texts()]

    @property
    def values(self) -> Values:
        """Return the values beside its sliders."""
        return dict(self.box.evaluate(VALUES))

    @property
    def picture(self) -> bytes:
        """Return the picture that the page shows."""
        return base64.b64decode(self.box.evaluate(PICTURE))

    def drawn(self, values: Values) -> bytes:
        """Return the picture that the plain function draws for some values."""
        return base64.b64decode(self.notebook.ask(f"_drawn({self.name}, {values!r})", DRAWN))

    def slider(self, label: str) -> "Locator":
        """Return the handle of a slider."""
        return self.box.locator(".widget-slider").nth(self.labels.index(label)).locator(".noUi-handle")

    def check_nothing_came_late(self) -> None:
        """Raise AssertionError if what was right is no longer shown: a wrong picture came after it."""
        settled, self.settled = self.settled, None
        if settled is not None and settled != (self.values, self.picture):
            raise AssertionError(f"after the right picture for {settled[0]} came another; now at {self.values}")

    def press(self, label: str, key: str) -> bool:
        """Press a key on a slider, and return whether its value changed; a value at an end may stay."""
        self.check_nothing_came_late()
        before, handle = self.values[label], self.slider(label)
        now, low, high = (float(handle.get_attribute(f"aria-value{what}")) for what in ("now", "min", "max"))
        handle.press(key)
        if self.values[label] == before and key not in ("Home", "End") and low < now < high:
            raise AssertionError(f"{key} on {label!r} does nothing at {before}")
        return self.values[label] != before

    def click(self, button: str) -> None:
        """Press a button."""
        self.check_nothing_came_late()
        self.box.locator("button").nth(self.buttons.index(button)).click()

    def reset(self) -> None:
        """Press the button that moves all sliders back to where they started."""
        self.click("Reset")
        self.wait_for(lambda values: values == self.start, "Reset was pressed")

    def drag(self, label: str, pixels: int) -> None:
        """Drag a slider sideways with the mouse."""
        self.check_nothing_came_late()
        mouse, place = self.notebook.page.mouse, self.slider(label).bounding_box()
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + pixels, y, steps=10)
        mouse.up()

    @property
    def pointed(self) -> "Locator | None":
        """Return the picture if it can be pressed."""
        found = self.box.locator("img.vae-picture")
        return found if found.count() else None

    @property
    def canvas(self) -> "Locator | None":
        """Return the square to draw on, if there is one."""
        found = self.box.locator("canvas.vae-canvas")
        return found if found.count() else None

    def place(self, across: float, down: float) -> Values:
        """Return the texts of the sliders that a press at some shares of the picture should move."""
        return json.loads(self.notebook.ask(f"_placed({self.name}, {across}, {down})", PLACED))

    def point(self, shares: list[tuple[float, float]]) -> None:
        """Press the picture at a place, given as shares of its sides, drag through others, and let go."""
        self.check_nothing_came_late()
        self.trace(self.pointed, shares)

    def stroke(self, shares: list[tuple[float, float]]) -> None:
        """Draw a line on the canvas through some places, and wait until the kernel has all of its ink.

        While the line is drawn the kernel gets parts of it, and draws for them: pictures that are right for a moment.
        """
        self.check_nothing_came_late()
        self.trace(self.canvas, shares)
        until = time.monotonic() + PATIENCE
        while not self.ink_has_arrived():
            assert time.monotonic() < until, "the kernel never has the ink that the page shows"

    def ink_has_arrived(self) -> bool:
        """Return whether the kernel's ink is what the canvas shows, each of its grey levels a mean of the page's."""
        known = f"__import__('base64').b64encode({self.name}.canvas.ink).decode()"
        ink = np.frombuffer(base64.b64decode(self.notebook.ask(known)), np.uint8)
        page = np.frombuffer(base64.b64decode(self.canvas.evaluate(INK)), np.uint8)
        grid, side = (round(len(levels) ** 0.5) for levels in (ink, page))
        fine = page.reshape(grid, side // grid, grid, side // grid).mean(axis=(1, 3))
        return bool(np.abs(fine.ravel() - ink).max() < 1)

    def trace(self, place: "Locator", shares: list[tuple[float, float]]) -> None:
        """Press the mouse at the first of some places of an element, move through the others, and let go."""
        place.scroll_into_view_if_needed()
        mouse, box = self.notebook.page.mouse, place.bounding_box()
        points = [(box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in shares]
        mouse.move(*points[0])
        mouse.down()
        for point in points[1:]:
            mouse.move(*point, steps=12)
        mouse.up()

    def wait_for_black(self) -> None:
        """Wait until there is no ink on the canvas."""
        pixels = "c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
        black = f"c => {pixels}.every((value, i) => i % 4 === 3 || value === 0)"
        self.notebook.wait(black, self.canvas.element_handle(), "there is ink")

    def wait_for(self, condition: Callable[[Values], bool], what: str) -> Values:
        """Wait until the values beside the sliders meet a condition, and return them."""
        values = self.values
        while not condition(values):
            otherwise = f"{what}, and still the values are {values}"
            self.notebook.wait(MOVED, [self.box.element_handle(), self.as_read(values)], otherwise)
            values = self.values
        return values

    def wait_for_another(self, source: str) -> None:
        """Wait until the picture has another address in the page than it had."""
        another = "([box, source]) => box.querySelector('img').src !== source"
        self.notebook.wait(another, [self.box.element_handle(), source], "the picture stays as it was")

    @property
    def source(self) -> str:
        """Return the address of the picture in the page."""
        return self.box.locator("img").get_attribute("src")

    def settle(self) -> bytes:
        """Wait until the picture is the one of the values shown, and return it. Raises: AssertionError if it is not."""
        while True:
            values = self.values
            wanted = self.drawn(values)
            otherwise = f"the page shows another picture than the function draws for {values}"
            arguments = [self.box.element_handle(), self.as_read(values), base64.b64encode(wanted).decode()]
            if self.notebook.wait(SETTLED, arguments, otherwise) == "settled" and self.values == values:
                alerts = self.notebook.page.get_by_role("alert").all_inner_texts()
                assert alerts == [], f"an error is shown for {values}: {alerts}"
                self.settled = values, wanted
                return wanted

    @staticmethod
    def as_read(values: Values) -> str:
        """Return values as JSON.stringify in the page writes them."""
        return json.dumps(list(values.items()), ensure_ascii=False, separators=(",", ":"))


def panels(notebook: Notebook) -> list[Panel]:
    """Return the panels of a notebook that has run, in reading order."""
    found = []
    for place, cell in enumerate(notebook.cells()):
        if has_panel(cell):
            name = f"Out[{cell.execution_count}]"
            still = notebook.ask(f"__import__('base64').b64encode({name}.still).decode()")
            panel = Panel(notebook, place, name, base64.b64decode(still))
            panel.show()
            panel.start = panel.values
            known = notebook.ask(f"[slider.description for slider in getattr({name}, 'sliders', {{}}).values()]")
            assert panel.labels == known, f"the page has sliders {panel.labels}, the kernel {known}"
            found.append(panel)
    return found
