"""What sliders and canvas share: one picture that is redrawn without flicker, its still, and errors that are shown.

The picture is one image widget that gets new PNG bytes; it is also stored as a still, which is what a reader sees where
no kernel runs.
"""

import base64
import html
import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

import ipywidgets as widgets
import numpy as np
from IPython import display, get_ipython
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from vae_utils import inputs, pixels
from vae_utils.arrays import as_array
from vae_utils.widgets import touch

Picture = Figure | Axes | Image.Image | np.ndarray | Tensor
VIEW = "application/vnd.jupyter.widget-view+json"
SIDE = 320  # pixels on the screen that an enlarged picture may take, if nobody says how large it should be


class Panel:
    """Hold a function that draws, what sets its arguments, and its picture; `explore` and `sketch` make them."""

    def __init__(self, draw: Callable[..., Picture], scale: int | None, values: dict[str, object]) -> None:
        self.draw, self.scale = draw, scale
        self.still = self._render(values)
        self.error = widgets.HTML()
        self.image = self._picture(Image.open(io.BytesIO(self.still)).width)

    def _picture(self, width: int) -> widgets.DOMWidget:
        return widgets.Image(value=self.still, layout={"width": f"{width}px", "max_width": "100%"})

    def _arrange(self, controls: list[widgets.Widget]) -> None:
        """Put the picture beside the controls, or under them where there is no room."""
        left = widgets.VBox([*controls, self.error], layout={"margin": "0 12px 0 0"})
        self.box = widgets.HBox([left, self.image], layout={"flex_flow": "row wrap", "align_items": "flex-start"})
        self.box.add_class("vae-panel")

    @property
    def values(self) -> dict[str, object]:
        """Return the arguments that draw gets now, by name."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw for the present values; if that fails say so, and leave the picture as it is."""
        with self.errors_shown():
            self.image.value = self._render(self.values)

    @contextmanager
    def errors_shown(self) -> Iterator[None]:
        """Show an exception over the picture, which ipywidgets would swallow; clear the line where there is none."""
        try:
            yield
        except Exception as error:
            values = ", ".join(f"{name}={_brief(value)}" for name, value in self.values.items())
            text = f"{name_of(self.draw)}({values}) raised {type(error).__name__}: {error}\n"
            style = "color: #b00020; white-space: pre-wrap; line-height: 1.4; margin: 0"
            text = html.escape(text + "The picture is still the one before.")
            self.error.value = f'<pre role="alert" style="{style}">{text}</pre>'
        else:
            self.error.value = ""

    def close(self) -> None:
        """Take the widgets out of the kernel and the page; the still remains."""
        for widget in self._widgets():
            widget.unobserve_all()
            for part in (widget, getattr(widget, "layout", None), getattr(widget, "style", None)):
                if isinstance(part, widgets.Widget):
                    part.close()

    def _widgets(self) -> list[widgets.Widget]:
        """Return the box and all that is in it."""
        everything = [self.box]
        for widget in everything:
            everything += getattr(widget, "children", ())
        return everything

    def _render(self, values: dict[str, object]) -> bytes:
        return in_main_thread(lambda: self._png(values))

    def _png(self, values: dict[str, object]) -> bytes:
        before = set(plt.get_fignums())
        try:
            return picture_bytes(self.draw(**values), self.scale)
        finally:  # also where draw failed half-way: an open figure would appear under the next cell
            for number in set(plt.get_fignums()) - before:
                plt.close(number)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        bundle, metadata = {"text/plain": repr(self), "image/png": base64.b64encode(_small(self.still)).decode()}, {}
        if self.box.comm is not None:  # not closed
            bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
            for widget in self._widgets():  # Colab has to be told where the code of such a widget comes from
                if isinstance(widget, touch.Touched):
                    metadata = widget._repr_mimebundle_()[1]
        return bundle, metadata


PanelType = TypeVar("PanelType", bound=Panel)
Result = TypeVar("Result")
_panels: dict[tuple[str, ...], Panel] = {}


def keep(make: Callable[[], PanelType], draw: Callable[..., Picture], *names: str) -> PanelType:
    """Return a new panel, after closing the one that the same cell made for a function and arguments of these names.

    Where the front end does not say which cell is running, that holds for the whole notebook.
    """
    key = (_cell(), str(getattr(draw, "__module__", "")), name_of(draw, "__qualname__"), *names)
    if key in _panels:
        _panels.pop(key).close()
    _panels[key] = make()
    return _panels[key]


def in_main_thread(call: Callable[[], Result]) -> Result:
    """Return call(), made in the kernel's main thread, or raise what it raises.

    From ipykernel 7 on a slider is answered in a thread of its own. When a cell ends meanwhile, matplotlib's figures
    are closed, also the one that is being drawn.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None or threading.current_thread() is threading.main_thread():
        return call()
    answer: Future[Result] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    kernel.io_loop.add_callback(run)
    return answer.result()


def picture_bytes(picture: Picture, scale: int | None = None) -> bytes:
    """Return a picture as PNG, always the same bytes for the same picture.

    An array or tensor holds uint8, or floats in [0, 1]. Each pixel of it, or of a PIL image, becomes scale x scale
    pixels, at most 4096 x 4096 in all; by default as many as let it fit a square of 320. A figure keeps its own size.

    Shapes: an array or tensor is [H, W] (grey) or [H, W, 3].
    Raises: ValueError for another shape, NaN, values outside [0, 1], or a scale that is not at least 1 or too large;
    TypeError for another type of pixels, or a scale that is not a whole number.
    """
    scale, stored = scale if scale is None else inputs.check_whole("scale", scale, 1), io.BytesIO()
    if isinstance(picture, Figure | Axes):
        picture.figure.savefig(stored, format="png", dpi="figure", metadata={"Software": None})
        return stored.getvalue()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(_pixels(picture))
    scale = scale or max(1, SIDE // max(image.size))
    inputs.check_size("scale", image.height * scale, image.width * scale)
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(stored, "PNG")
    return stored.getvalue()


def still(picture: Picture, scale: int | None = None) -> display.Image:
    """Return a picture as a cell's last line shows it, the size it has under sliders; see `picture_bytes`."""
    return display.Image(_small(picture_bytes(picture, scale)))


def _small(png: bytes) -> bytes:
    """Return a picture as a notebook stores it, in a third of the bytes."""
    stored = io.BytesIO()
    pixels.few_colours(Image.open(io.BytesIO(png))).save(stored, "PNG", optimize=True)
    return stored.getvalue()


def _pixels(picture: np.ndarray | Tensor) -> np.ndarray:
    if picture is None or isinstance(picture, str):
        kind = "None: does draw return it?" if picture is None else "text: pixels.text makes a picture of it"
        raise TypeError(f"a picture must be a figure, an image, or an array [H, W] or [H, W, 3], not {kind}")
    values = as_array(picture, "picture")
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[-1] == 3)) or values.size == 0:
        came = list(values.shape) if values.ndim else type(picture).__name__
        hint = "squeeze it, or lay several out with plotting.tile"
        raise ValueError(f"a picture must be a figure, an image, or an array [H, W] or [H, W, 3], not {came}: {hint}")
    return values if values.dtype == np.uint8 else (inputs.to_unit(values, "picture") * 255).round().byte().numpy()


def check_draw(draw: object) -> None:
    """Raise TypeError unless draw is a function."""
    if not callable(draw):
        raise TypeError(f"draw must be a function, not {inputs.described(draw)}: pass it without calling it")


def name_of(draw: Callable[..., Picture], attribute: str = "__name__") -> str:
    """Return the name of a function, or of the type of an object that can be called."""
    return getattr(draw, attribute, type(draw).__name__)


def _brief(value: object) -> str:
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"<{'x'.join(map(str, shape))} values>"


def _cell() -> str:
    """Return the id of the running cell where the front end tells it, so that other cells keep their panels."""
    parent = getattr(getattr(get_ipython(), "kernel", None), "get_parent", dict)()
    return parent.get("metadata", {}).get("cellId", "")
