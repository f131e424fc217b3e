"""Pictures put together pixel by pixel, in a millisecond or two: what a slider redraws at each step.

All are uint8 [H, W, 3] on white. matplotlib takes a tenth of a second for a figure; a `Backdrop` takes it once.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox, Transform
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vae_utils import inputs
from vae_utils.arrays import as_array, check_list, check_values
from vae_utils.plotting import DIGIT_COLORS

INK = (40, 40, 40)


def enlarge(picture: ArrayLike | Tensor, scale: int = 1) -> np.ndarray:
    """Return a picture [H, W] or [H, W, 3], uint8 or in [0, 1], with each pixel as scale x scale pixels.

    Raises: ValueError for another shape, values outside [0, 1], or more than 4096 x 4096 pixels; TypeError.
    """
    return _enlarged("picture", picture, scale)


def _enlarged(name: str, picture: ArrayLike | Tensor, scale: int = 1) -> np.ndarray:
    values, scale = as_array(picture, name), inputs.check_whole("scale", scale, 1)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3) or values.size == 0:
        raise ValueError(f"{name} must be [H, W] or [H, W, 3], not {list(values.shape)}: squeeze or tile it first")
    inputs.check_size("scale" if scale > 1 else name, scale * len(values), scale * values.shape[1])
    if values.dtype != np.uint8:
        values = (inputs.to_unit(values, name) * 255).round().byte().numpy()
    values = values if values.ndim == 3 else values[..., None].repeat(3, axis=2)
    return values.repeat(scale, axis=0).repeat(scale, axis=1)


def beside(*pictures: ArrayLike | Tensor, gap: int = 14) -> np.ndarray:
    """Return pictures, each as in `enlarge`, in one row, their tops aligned."""
    gap = inputs.check_whole("gap", gap, 0)
    if not pictures:
        raise ValueError("pictures must be at least one picture, not none")
    sheets = [_enlarged(f"pictures[{i}]", picture) for i, picture in enumerate(pictures)]
    height, width = max(len(sheet) for sheet in sheets), sum(sheet.shape[1] + gap for sheet in sheets) - gap
    inputs.check_size("pictures, with this gap,", height, width)
    whole, left = np.full((height, width, 3), 255, np.uint8), 0
    for sheet in sheets:
        whole[: len(sheet), left : left + sheet.shape[1]] = sheet
        left += sheet.shape[1] + gap
    return whole


def stack(*pictures: ArrayLike | Tensor, gap: int = 6) -> np.ndarray:
    """Return pictures, each as in `enlarge`, in one column, their left edges aligned."""
    turned = (_enlarged(f"pictures[{i}]", picture).swapaxes(0, 1) for i, picture in enumerate(pictures))
    return beside(*turned, gap=gap).swapaxes(0, 1)


def text(line: str, width: int | None = None, size: int = 14) -> np.ndarray:
    """Return one line of text, size pixels high, as a picture of its own width, or cut or filled to a given one."""
    line, size = _check_line("line", line), inputs.check_whole("size", size, 4, 200)
    if width is None:
        width = int(_font(size).getlength(line)) + 2
    sheet = _sheet("width", round(1.4 * size), inputs.check_whole("width", width, 1))
    ImageDraw.Draw(sheet).text((1, 0.1 * size), line, fill=INK, font=_font(size))
    return np.asarray(sheet)


def key(labels: Sequence[str], size: int = 14) -> np.ndarray:
    """Return the labels in one line, each in the colour of its digit."""
    check_list("labels", labels, range(1, 1000), "at least one text")
    labels = [_check_line("labels", label) for label in labels]
    size = inputs.check_whole("size", size, 4, 200)
    widths = [int(_font(size).getlength(label)) + size for label in labels]
    sheet = _sheet("labels", round(1.4 * size), sum(widths))
    pen = ImageDraw.Draw(sheet)
    for k, label in enumerate(labels):
        pen.text((1 + sum(widths[:k]), 0.1 * size), label, fill=_colour(k), font=_font(size))
    return np.asarray(sheet)


def outline(picture: ArrayLike | Tensor, left: float, top: float, side: int) -> np.ndarray:
    """Return the picture with a red square whose top left corner is at a pixel; what lies outside is cut off."""
    sheet, side = Image.fromarray(enlarge(picture)), inputs.check_whole("side", side, 1, 1_000_000)
    corner = [round(inputs.check_number(n, v, -1e6, 1e6)) for n, v in (("left", left), ("top", top))]
    ImageDraw.Draw(sheet).rectangle((*corner, corner[0] + side - 1, corner[1] + side - 1), outline=(220, 30, 30))
    return np.asarray(sheet)


def bars(shares: ArrayLike | Tensor, labels: Sequence[str], width: int = 200, height: int = 20) -> np.ndarray:
    """Return a horizontal bar for each share in [0, 1], labelled at the left, in the colour of its digit.

    Raises: ValueError if there are not as many labels as shares, or a share is not in [0, 1]; TypeError.
    """
    check_list("labels", labels, range(1, 1000), "at least one text")
    labels, shares = [_check_line("labels", label) for label in labels], as_array(shares, "shares")
    width, height = inputs.check_whole("width", width, 1), inputs.check_whole("height", height, 6)
    if shares.shape != (len(labels),):
        raise ValueError(f"{len(labels)} labels need as many shares, not {list(shares.shape)}")
    check_values("shares", shares)
    if shares.min() < 0 or shares.max() > 1:
        raise ValueError(f"shares must lie in [0, 1], not {shares.min():g} to {shares.max():g}: divide by their sum")
    left = max(int(_font(13).getlength(label)) for label in labels) + 8
    sheet = _sheet("width, with this height,", height * len(labels), left + width)
    pen = ImageDraw.Draw(sheet)
    for k, (share, label) in enumerate(zip(shares.tolist(), labels, strict=True)):
        pen.text((left - 6, (k + 0.5) * height), label, fill=INK, font=_font(13), anchor="rm")
        pen.rectangle((left, k * height + 2, left + round(share * (width - 1)), (k + 1) * height - 3), fill=_colour(k))
    return np.asarray(sheet)


@dataclass(frozen=True)
class Backdrop:
    """A figure drawn once: its pixels [H, W, 3], and the way between its axes' coordinates and places in it."""

    pixels: np.ndarray
    transform: Transform
    frame: Bbox

    def mark(self, x: float, y: float) -> np.ndarray:
        """Return the pixels with a cross-hair at (x, y); what lies outside the picture is cut off.

        Raises: ValueError for a place that is not finite, or that a logarithmic axis does not have; TypeError.
        """
        place = inputs.check_number("x", x), inputs.check_number("y", y)
        sheet, height = Image.fromarray(self.pixels), len(self.pixels)
        with np.errstate(all="ignore"):
            left, top = self.transform.transform(place)
        if not np.isfinite([left, top]).all():
            raise ValueError(f"x and y must be a place on the axes, not {place}: a logarithm needs positive numbers")
        left, top = np.clip([left, height - top], -1e4, 1e4).tolist()  # PIL counts in 32 bits
        pen = ImageDraw.Draw(sheet)
        pen.line((self.frame.x0, top, self.frame.x1, top), fill=(120, 120, 120))
        pen.line((left, height - self.frame.y1, left, height - self.frame.y0), fill=(120, 120, 120))
        pen.ellipse((left - 6, top - 6, left + 6, top + 6), outline=(0, 0, 0), width=2)
        return np.asarray(sheet)

    def point(self, left: float, top: float) -> tuple[float, float] | None:
        """Return the coordinates (x, y) at a pixel counted from the top left corner; None outside the axes."""
        place = inputs.check_number("left", left), len(self.pixels) - inputs.check_number("top", top)
        return tuple(self.transform.inverted().transform(place).tolist()) if self.frame.contains(*place) else None


def backdrop(ax: Axes) -> Backdrop:
    """Draw the figure of some axes once and return it as a backdrop; the figure may be closed afterwards."""
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be axes of matplotlib, not {inputs.described(ax)}")
    stored = io.BytesIO()
    ax.figure.savefig(stored, format="png", dpi="figure", facecolor="white")
    pixels = np.asarray(Image.open(stored).convert("RGB"))
    return Backdrop(pixels, ax.transData.frozen(), ax.bbox.frozen())


def few_colours(image: Image.Image, most: int = 64) -> Image.Image:
    """Return a picture with a palette, as it is stored: a third of the bytes, and no difference to be seen.

    Up to 256 colours stay what they are, unless all are grey. Of more, the most frequent ones stay exact, those of the
    ten classes among them, and greys stay grey: there are `most` colours, and half as many shades of grey.

    Raises: ValueError if most is not from 8 to 128; TypeError.
    """
    if not isinstance(image, Image.Image):
        raise TypeError(f"image must be a picture of PIL, not {inputs.described(image)}")
    shades = inputs.check_whole("most", most, 8, 128) // 2
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(np.int32), -1, 0)
    found, place, counts = np.unique(red << 16 | green << 8 | blue, return_inverse=True, return_counts=True)
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], 1)  # [N, 3]
    grey = (colours == colours[:, :1]).all(1)
    if len(colours) > 256 or (grey.all() and len(colours) > shades):
        often = colours[grey, 0][np.argsort(-counts[grey], kind="stable")[: shades // 4]]  # the tenth class is grey
        levels = np.concatenate([np.linspace(0, 255, shades - len(often)).round(), often])
        colours[grey] = levels[abs(colours[grey, :1] - levels).argmin(1), None]
        colours[~grey] = _grouped(colours[~grey], counts[~grey], most)
    palette, index = np.unique(colours, axis=0, return_inverse=True)
    sheet = Image.fromarray(index.reshape(-1)[place.reshape(red.shape)].astype(np.uint8))
    sheet.putpalette(palette.astype(np.uint8).tobytes())
    return sheet


def _grouped(colours: np.ndarray, counts: np.ndarray, most: int) -> np.ndarray:
    """Return for each of the colours [N, 3] itself, if it is frequent, else the nearest of some that cover all."""
    rest = np.argsort(-counts, kind="stable")[most // 4 :]
    if len(rest) > most - most // 4:
        line = Image.fromarray(colours[rest][None].astype(np.uint8))
        means = line.quantize(most - most // 4, Image.Quantize.MAXCOVERAGE)
        means = np.array(means.getpalette()).reshape(-1, 3)[: len(means.getcolors())]
        far = sum((colours[rest, None, k] - means[None, :, k]) ** 2 for k in range(3))
        colours = colours.copy()
        colours[rest] = means[far.argmin(1)]
    return colours


def _check_line(name: str, line: object) -> str:
    if "\n" in inputs.check_text(name, line):
        raise ValueError(f"{name} must be one line of text, not {line!r}: stack one picture for each line")
    return line


def _sheet(name: str, height: int, width: int) -> Image.Image:
    inputs.check_size(name, height, width)
    return Image.new("RGB", (width, height), "white")


def _colour(k: int) -> tuple[int, int, int]:
    """Return the colour of a class, 0 to 255; light grey beyond the ten."""
    return tuple(round(255 * part) for part in DIGIT_COLORS[k]) if k < len(DIGIT_COLORS) else (170, 170, 170)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that matplotlib carries, so that a picture is the same everywhere."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
