"""A picture to press on and a square to draw on, for mouse, pen and finger: optional, they need the package anywidget.

The browser does what must be quick, the ink of a stroke. To the kernel it sends one message at a time, and the next
only when that one is answered: a slow kernel gets the last position, not a queue of old ones. The two scripts beside
this file are the browser's side.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from traitlets import Bytes, Float, Int, TraitError, Unicode, validate

from vae_utils import inputs

try:
    import anywidget
except ImportError:
    anywidget = None

GRID = 112  # pixels of the ink, across and down: four for each of MNIST's
PEN = 1 / 12  # width of the pen, relative to the square: 2.3 of MNIST's 28 pixels
DRAW_HERE = "A black square to draw a digit on with a mouse, a pen or a finger. From the keyboard, upload a picture."


def available() -> bool:
    """Return whether anywidget is installed; without it `picture` and `canvas` raise ImportError."""
    return anywidget is not None


class Touched(anywidget.AnyWidget if anywidget else object):
    """Call functions for what the browser reports, and answer it, also where they raise or the message is malformed."""

    alt = Unicode().tag(sync=True)

    def __init__(self, **traits: object) -> None:
        self._callbacks: list[Callable] = []
        super().__init__(**traits)
        self.on_msg(self._receive)

    def close(self) -> None:
        """Take the widget and its layout out of the kernel and the page, and forget whom to call."""
        self._callbacks.clear()
        if self.comm is not None:
            layout = self.layout
            super().close()
            layout.close()

    def _receive(self, widget: object, content: object, buffers: Sequence) -> None:
        """Handle a custom message. What a callback raises is ipywidgets' to show: catch what readers should see."""
        if not isinstance(content, dict) or not {"point", "ink"} & content.keys():
            return
        try:
            arguments = self._read(content, buffers)
            for callback in list(self._callbacks) if arguments is not None else ():
                callback(*arguments)
        finally:
            if self.comm is not None:  # no callback closed it
                self.send({"done": True})

    def _read(self, content: dict, buffers: Sequence) -> tuple | None:
        """Return what a message says, as arguments, or None if it is malformed."""
        raise NotImplementedError


class Picture(Touched):
    """Show an image, like ipywidgets.Image, and report where it is pressed; `picture` makes one."""

    _esm = Path(__file__).with_name("touch_picture.js").read_text(encoding="utf-8")
    value = Bytes(help="the image, as PNG").tag(sync=True)

    def on_point(self, callback: Callable[[float, float], object]) -> None:
        """Call callback(across, down) where the picture is pressed, and while the pointer is dragged over it.

        Both are fractions of the picture, from (0, 0) at the top left to (1, 1) at the bottom right.
        Raises: TypeError for what cannot be called.
        """
        self._callbacks.append(_check_callback(callback))

    def _read(self, content: dict, buffers: Sequence) -> tuple[float, float] | None:
        point = content.get("point")
        if not isinstance(point, list | tuple) or len(point) != 2:
            return None
        if not all(isinstance(part, Real) and not isinstance(part, bool) and math.isfinite(part) for part in point):
            return None
        across, down = (min(1.0, max(0.0, float(part))) for part in point)
        return across, down


class Canvas(Touched):
    """Let the reader draw, white on black, and report the drawing as grey levels; `canvas` makes one."""

    _esm = Path(__file__).with_name("touch_canvas.js").read_text(encoding="utf-8")
    grid, pen = Int(GRID).tag(sync=True), Float(PEN).tag(sync=True)
    ink = Bytes(bytes(GRID**2), help="grey levels, row by row: 0 is black, 255 is ink").tag(sync=True)

    @property
    def shape(self) -> tuple[int, int]:
        """Return how many rows and columns of ink there are."""
        return self.grid, self.grid

    @property
    def grey(self) -> np.ndarray:
        """Return the drawing as uint8 [H, W]: a copy, 0 where it is black and 255 where there is ink."""
        return np.frombuffer(self.ink, np.uint8).reshape(self.shape).copy()

    def on_ink(self, callback: Callable[[np.ndarray], object]) -> None:
        """Call callback(grey) after each stroke, and a few times a second during it; `grey` is the property.

        `clear` does not call it. Raises: TypeError for what cannot be called.
        """
        self._callbacks.append(_check_callback(callback))

    def clear(self) -> None:
        """Wipe the square, here and in the browser."""
        self.ink = bytes(GRID**2)
        self.send({"clear": True})  # the browser may have ink that it has not sent yet

    @validate("ink")
    def _check_ink(self, proposal: dict) -> bytes:
        if len(proposal["value"]) != GRID**2:
            raise TraitError(f"ink must be {GRID}**2 bytes, one a pixel, not {len(proposal['value'])}: resize it")
        return proposal["value"]

    def _read(self, content: dict, buffers: Sequence) -> tuple[np.ndarray] | None:
        if content.get("ink") != list(self.shape) or len(buffers) != 1 or memoryview(buffers[0]).nbytes != GRID**2:
            return None
        self.ink = bytes(buffers[0])
        return (self.grey,)


def picture(value: bytes, width: int, alt: str = "") -> Picture:
    """Return a widget that shows an image, as wide as told or as there is room, and that can be pressed.

    value is the image as PNG, of which later ones replace it without flicker; width is in pixels on the screen; alt
    says in words what is there to see, for those who do not see it.
    Raises: ImportError without anywidget, ValueError if width is not a whole number of at least 1.
    """
    if not isinstance(value, bytes):
        raise TypeError(f"value must be bytes, those of a PNG, not {type(value).__name__}: see picture_bytes")
    return Picture(value=value, alt=inputs.check_text("alt", alt), layout=_layout("width", width))


def canvas(side: int = 280, alt: str = DRAW_HERE) -> Canvas:
    """Return a black square to draw on with white ink, in pixels on the screen as wide as told, or as there is room.

    The pen is as thick, relative to the square, as a stroke of MNIST. The drawing comes as `grey`, with `shape`.
    Raises: ImportError without anywidget, ValueError if side is not a whole number of at least 1.
    """
    return Canvas(alt=inputs.check_text("alt", alt), layout=_layout("side", side))


def _check_callback(callback: Callable) -> Callable:
    if not callable(callback):
        raise TypeError(f"callback must be a function, not {inputs.described(callback)}: pass it without calling it")
    return callback


def _layout(name: str, pixels: int) -> dict[str, str]:
    if not available():
        raise ImportError("to press or draw on a picture, anywidget is needed: run `pip install anywidget`")
    if isinstance(pixels, bool) or not isinstance(pixels, Integral) or pixels < 1:
        raise ValueError(f"{name} must be a whole number of pixels, at least 1, not {pixels!r}: round it")
    return {"width": f"{pixels}px", "max_width": "100%"}
