"""Sliders that redraw a picture: a pure function draw(...) and one line. The only module that imports ipywidgets.

The picture is one image widget that gets new PNG bytes, so that nothing flickers; it is also stored as a still, which
is what a reader sees where no kernel runs.
"""

import base64
import html
import io
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from numbers import Integral

import ipywidgets as widgets
import numpy as np
from IPython import get_ipython
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from .plotting import as_array

Picture = Figure | Axes | Image.Image | np.ndarray | Tensor
SIDE = 320  # pixels on the screen that an enlarged picture may take, if nobody says how large it should be


@dataclass(frozen=True)
class Slider:
    """Describe a slider: what it says beside it, its ends, the step between its values, and where it starts.

    Four whole numbers make a slider of whole numbers, and draw gets int values; otherwise it gets float values.
    Raises: ValueError unless low < high, 0 < step <= high - low and low <= value <= high, all finite.
    """

    label: str
    low: float
    high: float
    step: float
    value: float

    def __post_init__(self) -> None:
        low, high, step, value = self.low, self.high, self.step, self.value
        if not (low < high and math.isfinite(high - low)):
            raise ValueError(f"{self.label!r} must have low < high, not {low} and {high}: swap or change them")
        if not 0 < step <= high - low:
            raise ValueError(f"{self.label!r} must have a step in (0, {high - low:g}], not {step}: choose one of these")
        if not low <= value <= high:
            raise ValueError(f"{self.label!r} must start in [{low}, {high}], not at {value}: move it, or an end")
        kind = int if all(isinstance(number, Integral) for number in (low, high, step, value)) else float
        for field in ("low", "high", "step", "value"):  # at the first draw, too, a value has the type of later ones
            object.__setattr__(self, field, kind(getattr(self, field)))

    def pick(self, generator: random.Random) -> float:
        """Return a value drawn uniformly from low, low + step, low + 2 step, ... up to high."""
        last = math.floor((self.high - self.low) / self.step + 1e-9)
        return round(self.low + generator.randint(0, last) * self.step, 12)  # 0.3, not 0.30000000000000004

    def build(self, label_width: str) -> widgets.IntSlider | widgets.FloatSlider:
        """Return a new widget of this slider, its label as wide (in CSS) as those of the sliders around it."""
        whole = isinstance(self.value, int)
        exact = (d for d in range(7) if all(math.isclose(round(v, d), v) for v in (self.low, self.step)))
        return (widgets.IntSlider if whole else widgets.FloatSlider)(
            value=self.value, min=self.low, max=self.high, step=self.step, description=self.label,
            readout_format="d" if whole else f".{next(exact, 3)}f", style={"description_width": label_width},
            layout={"width": f"calc({label_width} + 360px)", "max_width": "100%"},
        )  # fmt: skip


class Explorer:
    """Hold the sliders of a draw function and its picture, and show them; `explore` makes one."""

    def __init__(self, draw: Callable[..., Picture], sliders: dict[str, Slider], scale: int | None) -> None:
        self.draw, self.scale, self.specs = draw, scale, sliders
        self.still = self._render({name: slider.value for name, slider in sliders.items()})
        self.generator, self.moving = random.Random(0), False

        letters = max(len(slider.label) for slider in sliders.values())
        width = f"{math.ceil(0.85 * letters + 2)}ch"  # a little more than the longest label takes
        self.sliders = {name: slider.build(width) for name, slider in sliders.items()}
        self.row = widgets.HBox([widgets.Button(description=text) for text in ("Reset", "Random")])
        self.error = widgets.HTML()
        pixels = Image.open(io.BytesIO(self.still)).width
        self.image = widgets.Image(value=self.still, layout={"width": f"{pixels}px", "max_width": "100%"})
        self.box = widgets.VBox([*self.sliders.values(), self.row, self.error, self.image])

        for slider in self.sliders.values():
            slider.observe(self._redraw, names="value")
        for button, action in zip(self.row.children, (self.reset, self.randomize), strict=True):
            button.on_click(lambda _, action=action: action())

    @property
    def values(self) -> dict[str, float]:
        """Return where the sliders stand, by name."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def move(self, **values: float) -> None:
        """Move sliders by name (not beyond their ends), and draw once."""
        self.moving = True
        try:
            for name, value in values.items():
                self.sliders[name].value = value
        finally:
            self.moving = False
        self._redraw()

    def reset(self) -> None:
        """Move all sliders back to where they started, and draw once."""
        self.move(**{name: slider.value for name, slider in self.specs.items()})

    def randomize(self) -> None:
        """Move all sliders to random values, the same series of them in each run, and draw once."""
        self.move(**{name: slider.pick(self.generator) for name, slider in self.specs.items()})

    def close(self) -> None:
        """Take the widgets out of the kernel and the page; the still remains."""
        for slider in self.sliders.values():
            slider.unobserve_all()
        for widget in [self.box, *self.box.children, *self.row.children]:
            for part in (widget, widget.layout, getattr(widget, "style", None)):
                if part is not None:
                    part.close()

    def _redraw(self, change: object = None) -> None:
        if self.moving:
            return
        try:
            png = self._render(self.values)
        except Exception as error:  # ipywidgets would swallow it
            call = f"{_name(self.draw)}({', '.join(f'{name}={value}' for name, value in self.values.items())})"
            text = f"{call} raised {type(error).__name__}: {error}\nThe picture is still the one before."
            style = "color: #b00020; white-space: pre-wrap; line-height: 1.4; margin: 0"
            self.error.value = f'<pre role="alert" style="{style}">{html.escape(text)}</pre>'
        else:
            self.image.value, self.error.value = png, ""

    def _render(self, values: dict[str, float]) -> bytes:
        before = set(plt.get_fignums())
        try:
            return picture_bytes(self.draw(**values), self.scale)
        finally:  # also where draw failed half-way: an open figure would appear under the next cell
            for number in set(plt.get_fignums()) - before:
                plt.close(number)

    def __repr__(self) -> str:
        labels = ", ".join(slider.label for slider in self.specs.values())
        return f"Sliders: {labels} (run the notebook to move them)"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        bundle = {"text/plain": repr(self), "image/png": base64.b64encode(self.still).decode()}
        if self.box.comm is not None:  # not closed
            view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
            bundle["application/vnd.jupyter.widget-view+json"] = view
        return bundle


_explorers: dict[tuple[str, ...], Explorer] = {}


def explore(draw: Callable[..., Picture], /, *, scale: int | None = None, **sliders: Slider) -> Explorer:
    """Return sliders over the picture that draw returns for their values: the last expression of a cell shows them.

    draw(**values) gets one value for each slider, by name. It returns a figure (or its axes), an image, or an array or
    tensor as in `picture_bytes`, which says what scale means. Figures that it opens are closed. What it raises later
    is shown over the picture; what it raises at the first values is raised here.
    Running a cell again closes the sliders that it made before, of a function and arguments with the same names. (Where
    the front end does not say which cell is running, that holds for the whole notebook.)

    Raises: TypeError if draw cannot be called with these names.
    """
    _check_sliders(draw, sliders)
    key = (_cell(), str(getattr(draw, "__module__", "")), _name(draw, "__qualname__"), *sliders)
    if key in _explorers:
        _explorers.pop(key).close()
    _explorers[key] = Explorer(draw, sliders, scale)
    return _explorers[key]


def picture_bytes(picture: Picture, scale: int | None = None) -> bytes:
    """Return a picture as PNG, always the same bytes for the same picture.

    An array or tensor holds uint8, or numbers of which those outside [0, 1] are clipped. Each pixel of it, or of a PIL
    image, becomes scale x scale pixels; by default as many as let it fit a square of 320. A figure keeps its own size.

    Shapes: an array or tensor is [H, W] (grey) or [H, W, 3].
    Raises: ValueError for another shape or type, NaN, or a scale that is not a whole number of at least 1.
    """
    if not (scale is None or (isinstance(scale, Integral) and scale >= 1)):
        raise ValueError(f"scale must be a whole number of at least 1, not {scale!r}: round it, or leave it out")
    stored = io.BytesIO()
    if isinstance(picture, Figure | Axes):
        picture.figure.savefig(stored, format="png", dpi="figure", metadata={"Software": None})
        return stored.getvalue()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(_pixels(picture))
    scale = scale or max(1, SIDE // max(image.size))
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(stored, "PNG")
    return stored.getvalue()


def _pixels(picture: np.ndarray | Tensor) -> np.ndarray:
    values = as_array(picture)
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[-1] == 3)) or values.size == 0:
        came = list(values.shape) if values.ndim else type(picture).__name__
        hint = "does draw return it?" if picture is None else "squeeze it, or lay several out with plotting.tile"
        raise ValueError(f"a picture must be a figure, an image, or an array [H, W] or [H, W, 3], not {came}: {hint}")
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "bf":
        raise ValueError(f"an array must hold uint8, or floats in [0, 1], not {values.dtype}: divide or convert it")
    if np.isnan(values).any():
        raise ValueError(f"a picture must have no NaN, as {np.isnan(values).sum()} of its values are: find the source")
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


def _check_sliders(draw: Callable[..., Picture], sliders: dict[str, Slider]) -> None:
    others = [name for name, slider in sliders.items() if not isinstance(slider, Slider)]
    if others or not sliders:
        raise TypeError(f"explore needs sliders, not {', '.join(others) or 'none'}: write z=Slider(...)")
    try:
        signature(draw).bind(**sliders)
    except TypeError as error:
        wanted = f"{_name(draw)}{signature(draw)}"
        raise TypeError(f"{wanted} and the sliders {', '.join(sliders)} do not match, {error}: rename them") from None


def _name(draw: Callable[..., Picture], attribute: str = "__name__") -> str:
    return getattr(draw, attribute, type(draw).__name__)


def _cell() -> str:
    """Return the id of the running cell where the front end tells it, so that other cells keep their sliders."""
    parent = getattr(getattr(get_ipython(), "kernel", None), "get_parent", dict)()
    return parent.get("metadata", {}).get("cellId", "")
