"""A digit of the reader's own: drawn on a canvas, or uploaded as a picture; and one pure function over it."""

from collections.abc import Callable

import ipywidgets as widgets
import numpy as np
from numpy.typing import ArrayLike

from vae_utils.arrays import as_array
from vae_utils.handwriting import read_digit
from vae_utils.widgets import touch
from vae_utils.widgets.panel import Panel, Picture, check_draw, keep

ACCEPT = ".png,.jpg,.jpeg"  # what `read_digit` reads
MOST_BYTES = 20_000_000  # of an upload: a photograph of a large camera


class Sketch(Panel):
    """Hold a canvas (if it can be had), an upload button, and the picture that draw makes of what they give."""

    def __init__(self, draw: Callable[[np.ndarray], Picture], example: ArrayLike, scale: int | None) -> None:
        self.example = self.ink = as_array(example, "example")
        super().__init__(draw, scale, {"ink": self.ink})
        self.upload = widgets.FileUpload(accept=ACCEPT, multiple=False, description="Upload a picture")
        self.upload.layout.width = "auto"
        self.upload.observe(self._uploaded, names="value")
        buttons = {"Clear": self.clear, "Example": self.show_example}
        self.row = widgets.HBox([self.upload, *(widgets.Button(description=text) for text in buttons)])
        for button, action in zip(self.row.children[1:], buttons.values(), strict=True):
            button.on_click(lambda _, action=action: action())
        self.canvas = touch.canvas() if touch.available() else None
        if self.canvas is not None:
            self.canvas.on_ink(self._drawn)
        self._arrange([self.canvas or widgets.HTML(MISSING), self.row])

    @property
    def values(self) -> dict[str, np.ndarray]:
        """Return the ink that draw gets now."""
        return {"ink": self.ink}

    def show(self, ink: ArrayLike) -> None:
        """Draw for ink [H, W]: uint8 or in [0, 1], white on black."""
        self.ink = as_array(ink, "ink")
        self.redraw()

    def clear(self) -> None:
        """Empty the canvas; the picture stays until there is new ink."""
        if self.canvas is not None:
            self.canvas.clear()
        self.error.value = ""

    def show_example(self) -> None:
        """Go back to the ink that the still was made from."""
        self.clear()
        self.show(self.example)

    def _drawn(self, ink: np.ndarray) -> None:
        if ink.any():
            self.show(ink)

    def _uploaded(self, change: dict) -> None:
        files = change["new"]
        files = list(files.values()) if isinstance(files, dict) else list(files)  # ipywidgets 7 or 8
        if files:
            with self.errors_shown():
                self.ink = read_digit(_content(files[0]))
                self.image.value = self._render(self.values)

    def __repr__(self) -> str:
        return "A canvas to draw on, and an upload button (run the notebook to use them)"


def _content(file: dict) -> bytes:
    content = memoryview(file["content"])
    if content.nbytes > MOST_BYTES:
        came = f"{content.nbytes:,} bytes, and {MOST_BYTES:,} are the most"
        raise ValueError(f"the file is too large ({came}): make the picture smaller and try again")
    return bytes(content)


MISSING = (
    "To draw here, install the anywidget package (<code>%pip install anywidget</code>), restart the kernel and run "
    "again. Without it, upload a picture."
)


def sketch(draw: Callable[[np.ndarray], Picture], /, *, example: ArrayLike, scale: int | None = None) -> Sketch:
    """Return a canvas and an upload over the picture that draw returns for a drawing: a cell's last line shows them.

    draw(ink) gets the drawing [H, W], white ink on black, uint8 from the canvas and floats in [0, 1] from a file (see
    `handwriting.read_digit`); it returns a picture as for `explore`. The still is made from the example. What draw
    raises later is shown over the picture. The canvas needs the anywidget package; the upload does not.
    """
    check_draw(draw)
    return keep(lambda: Sketch(draw, example, scale), draw, "ink")
