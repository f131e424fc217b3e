"""Sliders that redraw a picture: a pure function draw(...) and one line."""

import io
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from numbers import Integral

import ipywidgets as widgets
from PIL import Image

from vae_utils import inputs
from vae_utils.widgets import touch
from vae_utils.widgets.panel import Panel, Picture, check_draw, keep, name_of

Place = Callable[[float, float], dict[str, float] | None]


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
        inputs.check_text("label", self.label)
        low, high, step, value = (getattr(self, name) for name in ("low", "high", "step", "value"))
        for name in ("low", "high", "step", "value"):
            inputs.check_number(name, getattr(self, name))
        if not (low < high and math.isfinite(high - low)):
            raise ValueError(f"{self.label!r} must have low < high, not {low} and {high}: swap or change them")
        if not 0 < step <= high - low:
            raise ValueError(f"{self.label!r} must have a step in (0, {high - low:g}], not {step}: choose one of these")
        if not low <= value <= high:
            raise ValueError(
                f"{self.label!r} must start at a value in [{low}, {high}], not {value}: move it, or an end"
            )
        kind = int if all(isinstance(number, Integral) for number in (low, high, step, value)) else float
        for field in ("low", "high", "step", "value"):  # at the first draw, too, a value has the type of later ones
            object.__setattr__(self, field, kind(getattr(self, field)))

    def pick(self, generator: random.Random) -> float:
        """Return a value drawn uniformly from low, low + step, low + 2 step, ... up to high."""
        if not isinstance(generator, random.Random):
            raise TypeError(f"generator must be a random.Random, not {inputs.described(generator)}")
        last = math.floor((self.high - self.low) / self.step + 1e-9)
        return round(self.low + generator.randint(0, last) * self.step, 12)  # 0.3, not 0.30000000000000004

    def build(self, label_width: str) -> widgets.IntSlider | widgets.FloatSlider:
        """Return a new widget of this slider, its label as wide (in CSS) as those of the sliders around it."""
        inputs.check_text("label_width", label_width)
        whole = isinstance(self.value, int)
        exact = (d for d in range(7) if all(math.isclose(round(v, d), v) for v in (self.low, self.step)))
        return (widgets.IntSlider if whole else widgets.FloatSlider)(
            value=self.value, min=self.low, max=self.high, step=self.step, description=self.label,
            readout_format="d" if whole else f".{next(exact, 3)}f", style={"description_width": label_width},
            layout={"width": f"calc({label_width} + 360px)", "max_width": "100%"},
        )  # fmt: skip


class Explorer(Panel):
    """Hold the sliders of a draw function and its picture, and show them; `explore` makes one."""

    def __init__(
        self,
        draw: Callable[..., Picture],
        sliders: dict[str, Slider],
        scale: int | None,
        click: Place | None,
        buttons: dict[str, Sequence[str]],
    ) -> None:
        self.specs, self.place = sliders, click
        super().__init__(draw, scale, {name: slider.value for name, slider in sliders.items()})
        self.generator, self.moving = random.Random(0), False

        letters = max(len(slider.label) for slider in sliders.values())
        width = f"{math.ceil(0.85 * letters + 2)}ch"  # a little more than the longest label takes
        self.sliders = {name: slider.build(width) for name, slider in sliders.items()}
        actions = {"Reset": self.reset, "Random": self.randomize}
        actions |= {text: partial(self.randomize, *names) for text, names in buttons.items()}
        self.row = widgets.HBox([widgets.Button(description=text) for text in actions])
        self._arrange([*self.sliders.values(), self.row])

        for slider in self.sliders.values():
            slider.observe(self._moved, names="value")
        for button, action in zip(self.row.children, actions.values(), strict=True):
            button.on_click(lambda _, action=action: action())

    def _picture(self, width: int) -> widgets.DOMWidget:
        if self.place is None or not touch.available():
            return super()._picture(width)
        image = touch.picture(self.still, width)
        image.on_point(self.click)
        return image

    @property
    def values(self) -> dict[str, float]:
        """Return where the sliders stand, by name."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def move(self, **values: float) -> None:
        """Move sliders by name (not beyond their ends), and draw once.

        Raises: ValueError for a name that no slider has, or a value that is not finite; TypeError for another value.
        """
        self._check_names("values", values)
        for name, value in values.items():
            inputs.check_number(name, value)
        self._set(values)
        self.redraw()

    def click(self, across: float, down: float) -> None:
        """Move the sliders to what lies at a point of the picture, given as shares of its width and its height."""
        with self.errors_shown():
            width, height = Image.open(io.BytesIO(self.image.value)).size
            values = self.place(across * width, down * height)
            if values:
                self._set(values)
                self.image.value = self._render(self.values)

    def reset(self) -> None:
        """Move all sliders back to where they started, and draw once."""
        self.move(**{name: slider.value for name, slider in self.specs.items()})

    def randomize(self, *names: str) -> None:
        """Move the sliders of these names, or all, to random values, the same series in each run, and draw once.

        They never all stay where they are: a button that seems to do nothing looks broken.
        Raises: ValueError for a name that no slider has.
        """
        self._check_names("names", names)
        drawn = {}
        while drawn.items() <= self.values.items():
            drawn = {name: self.specs[name].pick(self.generator) for name in names or self.specs}
        self.move(**drawn)

    def _check_names(self, kind: str, names: Iterable[str]) -> None:
        others = [name for name in names if not isinstance(name, str) or name not in self.specs]
        if others:
            raise ValueError(f"{kind} must be of the sliders {', '.join(self.specs)}, not of {others[0]!r}")

    def _set(self, values: dict[str, float]) -> None:
        self.moving = True
        try:
            for name, value in values.items():
                self.sliders[name].value = value
        finally:
            self.moving = False

    def _moved(self, change: object) -> None:
        if not self.moving:
            self.redraw()

    def __repr__(self) -> str:
        labels = ", ".join(slider.label for slider in self.specs.values())
        return f"Sliders: {labels} (run the notebook to move them)"


def explore(
    draw: Callable[..., Picture],
    /,
    *,
    scale: int | None = None,
    click: Place | None = None,
    buttons: dict[str, Sequence[str]] | None = None,
    **sliders: Slider,
) -> Explorer:
    """Return sliders over the picture that draw returns for their values: the last expression of a cell shows them.

    draw(**values) gets one value for each slider, by name. It returns a figure (or its axes), an image, or an array or
    tensor as in `picture_bytes`, which says what scale means. Figures that it opens are closed. What it raises later
    is shown over the picture; what it raises at the first values is raised here.
    click(x, y), if given, says which sliders move where when the reader points at a pixel of the picture, counted from
    its top left corner after the enlargement by scale; None is for a place that means nothing. It needs the anywidget
    package: without it the sliders do the same job.
    buttons names further buttons, and for each the sliders that it moves to random values: {"Again": ["seed"]}.
    Running a cell again closes the sliders that it made before, of a function and arguments with the same names. (Where
    the front end does not say which cell is running, that holds for the whole notebook.)

    Raises: TypeError if draw cannot be called with these names; ValueError if a button names none of the sliders.
    """
    check_draw(draw)
    if click is not None and not callable(click):
        raise TypeError(f"click must be a function of x and y, or None, not {inputs.described(click)}")
    _check_sliders(draw, sliders)
    buttons = {} if buttons is None else buttons
    _check_buttons(buttons, sliders)
    return keep(lambda: Explorer(draw, sliders, scale, click, buttons), draw, *sliders)


def _check_buttons(buttons: dict[str, Sequence[str]], sliders: dict[str, Slider]) -> None:
    if not isinstance(buttons, dict):
        raise TypeError(f"buttons must be a dict of texts and lists of sliders, not {inputs.described(buttons)}")
    for text, names in buttons.items():
        inputs.check_text("buttons", text)
        if not isinstance(names, list | tuple) or not names or not set(names) <= set(sliders):
            raise ValueError(
                f"buttons: button {text!r} must have a list of sliders among {', '.join(sliders)}, not {names!r}"
            )


def _check_sliders(draw: Callable[..., Picture], sliders: dict[str, Slider]) -> None:
    others = [name for name, slider in sliders.items() if not isinstance(slider, Slider)]
    if others or not sliders:
        raise TypeError(f"explore needs sliders, not {', '.join(others) or 'none'}: write z=Slider(...)")
    try:
        signature(draw).bind(**sliders)
    except TypeError as error:
        wanted = f"{name_of(draw)}{signature(draw)}"
        raise TypeError(f"{wanted} and the sliders {', '.join(sliders)} do not match, {error}: rename them") from None
