"""Digits that readers draw or photograph, made into images as MNIST has them.

MNIST's digits were fitted into a box of 20 x 20 pixels and laid into 28 x 28 by their centre of mass (LeCun et al.
1998, "Gradient-based learning applied to document recognition", section III.A). A model that learnt from such images
wants new ones to be made the same way.
"""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image, ImageOps
from scipy import ndimage
from torch import Tensor

from vae_utils import inputs

SIDE, BOX = 28, 20  # pixels of an image, and of the box that its digit fits
CENTRE = 14  # row and column of MNIST's centres of mass, if the first pixel's centre is 0: they lie in [13.5, 14.5]
FAINT = 0.05  # ink below it does not count for the box: what a resampling or a camera leaves around a digit
LONGEST = 320  # pixels of a picture's longer side, to which larger ones are reduced
DARKEST = 0.05  # contrast between ink and paper below which there is no ink
FORMATS = ("PNG", "JPEG")  # of files: each further reader is one more that a file may be made to attack
MOST_IN_FILE = 50_000_000  # pixels, which large cameras have
MOST_AT_ONCE = 16_000_000  # pixels unpacked, 0.4 GB on the way: a JPEG can be unpacked at a fraction, a PNG cannot


def as_mnist(ink: ArrayLike | Tensor) -> Tensor:
    """Prepare a picture of one digit the way MNIST was: size-normalised to 20 x 20, and centred in 28 x 28 by mass.

    The box around the ink is resized so that its longer side is 20, in proportion, each new pixel the mean of what
    it covers (that is where the grey levels come from), and moved by whole pixels.

    Shapes: ink is [H, W], uint8 or in [0, 1], white on black; the result is [1, 1, 28, 28], float32 in [0, 1].
    Raises: ValueError for another shape, NaN, values outside [0, 1], or a picture without ink; TypeError for another
    type.
    Source: LeCun et al. 1998, section III.A.
    """
    grey = _checked(ink)
    rows, columns = (np.flatnonzero((grey > FAINT).any(axis)) for axis in (1, 0))
    if rows.size == 0:
        raise ValueError(
            f"ink must be there, and there is no ink: no pixel is above {FAINT}. Draw a digit, white (1) on black (0)"
        )
    digit = _fitted(grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    image = np.zeros((SIDE, SIDE), np.float32)
    top, left = (_start(digit.sum(1 - axis)) for axis in (0, 1))
    image[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return torch.from_numpy(image)[None, None]


def read_digit(data: bytes | str | Path | Image.Image) -> np.ndarray:
    """Return the ink of a drawn or photographed digit, [H, W] in [0, 1], 0 where there is none, for `as_mnist`.

    data is the content or path of a PNG or JPEG, or a PIL image, of any mode; the result has at most 320 pixels a side.
    1. Ink is dark on light if the border's median is nearer to the brightest pixels than to the darkest.
    2. Paper is the picture with its strokes filled, by a morphological closing wider than they are. Light multiplies,
       so that a division by the paper takes uneven light away, and most of a shadow with a sharp edge.
    3. Contrast is stretched from the paper's noise to the ink's upper values; what is below, and specks, become 0.

    Raises: ValueError if the picture cannot be read, is a file of another format or of more pixels than is safe
    (50 million in a JPEG, 16 million in a PNG), or shows no ink.
    """
    grey = _levels(_opened(data))
    low, border, high = np.quantile(grey, 0.005), np.median(_border(grey)), np.quantile(grey, 0.995)
    light = grey if high - border <= border - low else 1 - grey
    ink = 1 - light / np.maximum(_paper(light), 1e-3)
    return _stretched(ink)


def _checked(ink: ArrayLike | Tensor) -> np.ndarray:
    grey = inputs.to_unit(ink, "ink").cpu().numpy()
    if grey.ndim != 2 or grey.size == 0:
        raise ValueError(f"ink must be [H, W], one grey picture, not {list(grey.shape)}: take one, or squeeze it")
    return grey


def _fitted(digit: np.ndarray) -> np.ndarray:
    """Return a digit, cut out, in proportion as large as 20 x 20 lets it be."""
    height, width = (max(1, round(BOX * length / max(digit.shape))) for length in digit.shape)
    means = Image.fromarray(digit).resize((width, height), Image.Resampling.BOX)
    return np.asarray(means).clip(0, 1)


def _start(profile: np.ndarray) -> int:
    """Return where a digit begins whose centre of mass is to be at CENTRE, but which may not leave the image."""
    mean = (profile * np.arange(profile.size)).sum() / profile.sum()
    return min(max(round(CENTRE - float(mean)), 0), SIDE - profile.size)


def _opened(data: bytes | str | Path | Image.Image) -> Image.Image:
    """Return the picture, upright."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            held = isinstance(data, bytes | bytearray | memoryview)
            if isinstance(data, Image.Image):
                if 0 in data.size:
                    raise ValueError(f"it has {data.width} x {data.height} pixels")
                return ImageOps.exif_transpose(data.copy())
            with Image.open(io.BytesIO(data) if held else data, formats=FORMATS) as image:
                _check_pixels(image, MOST_IN_FILE)
                image.draft("RGB", (2 * LONGEST, 2 * LONGEST))  # a large JPEG is opened at a fraction of its size
                _check_pixels(image, MOST_AT_ONCE)
                return ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"the picture has too many pixels ({error}): make it smaller and try again") from None
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"a picture, PNG or JPEG, was expected, and this cannot be read: {error}") from None


def _check_pixels(image: Image.Image, most: int) -> None:
    """Refuse a picture by its header, before its pixels take memory, with the error that PIL has for its own limit."""
    if image.width * image.height > most:
        raise Image.DecompressionBombError(f"{image.width:,} x {image.height:,}, over {most:,}")


def _levels(image: Image.Image) -> np.ndarray:
    """Return a picture small and grey, [H, W] in [0, 1]."""
    if image.mode[0] in "IF":  # 16 or 32 bits, which PIL would cut off rather than scale
        values = np.asarray(image, np.float32)
        with np.errstate(all="ignore"):
            span = float(np.ptp(values))
        if not np.isfinite(span):
            raise ValueError("the picture has values that are NaN, infinite or too large: find where they come from")
        values = (values - values.min()) / max(span, 1e-9)
    elif image.mode[-1] in "aA" or "transparency" in image.info:
        light, opaque = (np.asarray(band, np.float32) / 255 for band in image.convert("RGBA").convert("LA").split())
        behind = 1.0 if (light * opaque).sum() < opaque.sum() / 2 else 0.0  # dark ink lies on white paper
        values = light * opaque + behind * (1 - opaque)
    else:
        values = np.asarray(image.convert("L"), np.float32) / 255
    small = Image.fromarray(values)
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    return np.asarray(small).clip(0, 1)


def _border(grey: np.ndarray) -> np.ndarray:
    wide = max(1, min(grey.shape) // 20)
    inner = np.zeros(grey.shape, bool)
    inner[wide:-wide, wide:-wide] = True
    return grey[~inner]


def _paper(light: np.ndarray) -> np.ndarray:
    """Return how bright the paper is at each pixel: a high percentile of what lies around, smoothed, seen coarsely."""
    image = Image.fromarray(light)
    coarse = image.copy()
    coarse.thumbnail((64, 64), Image.Resampling.BOX)
    wide = max(3, max(coarse.size) // 3)
    paper = np.pad(np.asarray(coarse), wide, mode="reflect", reflect_type="odd")  # a slope goes on beyond the border
    for percentile in (85, 15):  # a closing, which fills strokes and keeps edges; no single pixel decides
        paper = ndimage.percentile_filter(paper, percentile, size=wide)
    paper = Image.fromarray(paper[wide:-wide, wide:-wide])
    return np.asarray(paper.resize(image.size, Image.Resampling.BILINEAR))


def _stretched(ink: np.ndarray) -> np.ndarray:
    paper, top = np.median(ink), np.quantile(ink, 0.995)
    noise = 1.4826 * np.median(np.abs(ink - paper))  # the standard deviation, if it is normal: robust against ink
    if top - paper < max(DARKEST, 6 * noise):
        raise ValueError("the picture shows no ink: take one of a dark digit on light paper, or of a light one on dark")
    strong = ink > (paper + top) / 2
    high = np.median(ink[strong])
    low = paper + max(4 * noise, 0.1 * (high - paper))
    clean = ((ink - low) / (high - low)).clip(0, 1)
    parts, count = ndimage.label(clean > 0, np.ones((3, 3)))
    areas = ndimage.sum_labels(clean, parts, range(count + 1))
    return np.where(areas[parts] >= 0.03 * areas.max(), clean, 0).astype(np.float32)
