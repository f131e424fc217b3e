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

from vae_utils.plotting import DIGIT_COLORS, as_array

INK = (40, 40, 40)


def enlarge(picture: ArrayLike | Tensor, scale: int = 1) -> np.ndarray:
    """Return a picture [H, W] or [H, W, 3], uint8 or in [0, 1], with each pixel as scale x scale pixels.

    Raises: ValueError for another shape.
    """
    values = as_array(picture)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3):
        raise ValueError(f"a picture must be [H, W] or [H, W, 3], not {list(values.shape)}: squeeze or tile it first")
    if values.dtype != np.uint8:
        values = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    values = values if values.ndim == 3 else values[..., None].repeat(3, axis=2)
    return values.repeat(scale, axis=0).repeat(scale, axis=1)


def beside(*pictures: np.ndarray, gap: int = 14) -> np.ndarray:
    """Return pictures in one row, their tops aligned."""
    sheet = np.full((max(len(p) for p in pictures), sum(p.shape[1] + gap for p in pictures) - gap, 3), 255, np.uint8)
    left = 0
    for picture in pictures:
        sheet[: len(picture), left : left + picture.shape[1]] = enlarge(picture)
        left += picture.shape[1] + gap
    return sheet


def stack(*pictures: np.ndarray, gap: int = 6) -> np.ndarray:
    """Return pictures in one column, their left edges aligned."""
    return beside(*(enlarge(picture).swapaxes(0, 1) for picture in pictures), gap=gap).swapaxes(0, 1)


def text(line: str, width: int | None = None, size: int = 14) -> np.ndarray:
    """Return one line of text, size pixels high, as a picture of its own width, or cut or filled to a given one."""
    width = width or int(_font(size).getlength(line)) + 2
    sheet = Image.new("RGB", (width, round(1.4 * size)), "white")
    ImageDraw.Draw(sheet).text((1, 0.1 * size), line, fill=INK, font=_font(size))
    return np.asarray(sheet)


def key(labels: Sequence[str], size: int = 14) -> np.ndarray:
    """Return the labels in one line, each in the colour of its digit."""
    widths = [int(_font(size).getlength(label)) + size for label in labels]
    sheet = Image.new("RGB", (sum(widths), round(1.4 * size)), "white")
    pen = ImageDraw.Draw(sheet)
    for k, label in enumerate(labels):
        pen.text((1 + sum(widths[:k]), 0.1 * size), label, fill=_colour(k), font=_font(size))
    return np.asarray(sheet)


def outline(picture: ArrayLike | Tensor, left: float, top: float, side: int) -> np.ndarray:
    """Return the picture with a red square whose top left corner is at a pixel; what lies outside is cut off."""
    sheet = Image.fromarray(enlarge(picture))
    corner = round(left), round(top)
    ImageDraw.Draw(sheet).rectangle((*corner, corner[0] + side - 1, corner[1] + side - 1), outline=(220, 30, 30))
    return np.asarray(sheet)


def bars(shares: ArrayLike | Tensor, labels: Sequence[str], width: int = 200, height: int = 20) -> np.ndarray:
    """Return a horizontal bar for each share in [0, 1], labelled at the left, in the colour of its digit.

    Raises: ValueError if there are not as many labels as shares.
    """
    shares = as_array(shares)
    if shares.shape != (len(labels),):
        raise ValueError(f"{len(labels)} labels need as many shares, not {list(shares.shape)}")
    left = max(int(_font(13).getlength(label)) for label in labels) + 8
    sheet = Image.new("RGB", (left + width, height * len(labels)), "white")
    pen = ImageDraw.Draw(sheet)
    for k, (share, label) in enumerate(zip(shares, labels, strict=True)):
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
        """Return the pixels with a cross-hair at (x, y)."""
        sheet, height = Image.fromarray(self.pixels), len(self.pixels)
        left, top = self.transform.transform((x, y))
        top = height - top
        pen = ImageDraw.Draw(sheet)
        pen.line((self.frame.x0, top, self.frame.x1, top), fill=(120, 120, 120))
        pen.line((left, height - self.frame.y1, left, height - self.frame.y0), fill=(120, 120, 120))
        pen.ellipse((left - 6, top - 6, left + 6, top + 6), outline=(0, 0, 0), width=2)
        return np.asarray(sheet)

    def point(self, left: float, top: float) -> tuple[float, float] | None:
        """Return the coordinates (x, y) at a pixel counted from the top left corner; None outside the axes."""
        place = (left, len(self.pixels) - top)
        return tuple(self.transform.inverted().transform(place).tolist()) if self.frame.contains(*place) else None


def backdrop(ax: Axes) -> Backdrop:
    """Draw the figure of some axes once and return it as a backdrop; the figure may be closed afterwards."""
    stored = io.BytesIO()
    ax.figure.savefig(stored, format="png", dpi="figure", facecolor="white")
    pixels = np.asarray(Image.open(stored).convert("RGB"))
    return Backdrop(pixels, ax.transData.frozen(), ax.bbox.frozen())


def _colour(k: int) -> tuple[int, int, int]:
    """Return the colour of a class, 0 to 255; light grey beyond the ten."""
    return tuple(round(255 * part) for part in DIGIT_COLORS[k]) if k < len(DIGIT_COLORS) else (170, 170, 170)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font that matplotlib carries, so that a picture is the same everywhere."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
