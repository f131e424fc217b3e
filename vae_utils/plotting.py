"""Figures from arrays and tensors: one look, one colour for each digit. Knows matplotlib, not models.

Every helper draws on the axes it is given, or on new ones, and returns them; none shows or saves.
"""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from torch import Tensor

from vae_utils import arrays, inputs
from vae_utils.arrays import as_array

DIGIT_COLORS = sns.color_palette(  # Paul Tol's "muted" scheme: readable with the common kinds of colour blindness
    ["#332288", "#CC6677", "#88CCEE", "#117733", "#DDCC77", "#882255", "#44AA99", "#999933", "#AA4499", "#777777"]
)
STYLE = {
    "figure.figsize": (6.4, 3.6), "figure.dpi": 76, "figure.constrained_layout.use": True,
    "axes.titlesize": 11, "axes.labelsize": 10, "legend.fontsize": 9, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "image.cmap": "gray",
}  # fmt: skip


def use_style() -> None:
    """Give all figures of this session the look of the series."""
    plt.rcParams.update(STYLE)


def tile(images: ArrayLike | Tensor, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Return images [N, C, H, W] laid out row by row in one picture [H', W'] (or [H', W', 3]), in [0, 1].

    Images are uint8, or floats in [0, 1]. Raises: ValueError for another shape, no image, or values outside [0, 1];
    TypeError for another type.
    """
    stack = _stack(images)
    n, c, h, w = stack.shape
    columns, rows = _grid(n, columns)
    gap = inputs.check_whole("gap", gap, 0)
    height, width = rows * (h + gap) - gap, columns * (w + gap) - gap
    inputs.check_size("images, with this gap,", height, width)
    sheet = np.ones((height, width, c), dtype=np.float32)
    for i, image in enumerate(stack):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image.transpose(1, 2, 0)
    return sheet.squeeze(-1) if c == 1 else sheet


def _stack(images: ArrayLike | Tensor) -> np.ndarray:
    stack = inputs.to_unit(images).cpu().numpy()
    if stack.ndim != 4 or stack.size == 0 or stack.shape[1] not in (1, 3):
        raise ValueError(f"images must be [N, 1 or 3, H, W] with N at least 1, not {list(stack.shape)}")
    return stack


def _grid(n: int, columns: int | None) -> tuple[int, int]:
    """Return how many columns and rows n images take."""
    columns = min(n, math.ceil(math.sqrt(n)) if columns is None else inputs.check_whole("columns", columns, 1))
    return columns, math.ceil(n / columns)


def tint(images: ArrayLike | Tensor, labels: ArrayLike | Tensor, strength: ArrayLike | Tensor) -> np.ndarray:
    """Return grey images [N, 1, H, W] as ink on white [N, 3, H, W], in the colour of their digits, more or less strong.

    Shapes: labels [N] from 0 to 9, strength [N]: 1 (or more) for the full colour, 0 (or less) for nearly white.
    Raises: ValueError or TypeError for other shapes, values or types.
    """
    stack, labels, strength = _stack(images), as_array(labels, "labels"), as_array(strength, "strength")
    if stack.shape[1] != 1:
        raise ValueError(f"images must be grey, [N, 1, H, W], not {list(stack.shape)}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be whole numbers, not {labels.dtype}: convert them")
    if labels.shape != (len(stack),) or labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"labels must be {len(stack)} numbers from 0 to 9, one for each image")
    arrays.check_values("strength", strength)
    if strength.shape != (len(stack),):
        raise ValueError(f"strength must be {len(stack)} numbers, one for each image, not {list(strength.shape)}")
    strength = strength.clip(0, 1)[:, None]
    colour = np.array(DIGIT_COLORS)[labels]  # [N, 3]
    ink = strength * colour + (1 - strength) * 0.85
    return (1 - stack**0.6 * (1 - ink[:, :, None, None])).clip(0, 1)  # rounding may lead a hair beyond


def show_images(
    images: ArrayLike | Tensor,
    *,
    columns: int | None = None,
    labels: Sequence[object] | None = None,
    row_labels: Sequence[str] | None = None,
    scale: float = 0.62,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Show images [N, C, H, W] as one sheet, with a label over each, or at the left of each row.

    Images are as in `tile`; scale is the width of one in inches, of which a figure has at most 100 in each direction.
    Raises: ValueError or TypeError for other images, or for more labels than images, or row_labels than rows.
    """
    sheet = tile(images, columns)
    n, _, h, w = np.shape(images)
    columns, rows = _grid(n, columns)
    arrays.check_list("labels", [] if labels is None else labels, range(n + 1), "no more than images")
    if row_labels is not None:
        arrays.check_list("row_labels", row_labels, [rows], "one for each row")
    scale = inputs.check_number("scale", scale, 0, 100 / max(columns, rows), above=True)
    side = 1.3 if row_labels is not None else 0
    ax = _axes(ax, title, (max(2, scale * columns + side), scale * rows + (0.05 if title is None else 0.35)))
    ax.imshow(sheet, vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    for i, label in enumerate(labels if labels is not None else []):
        ax.text(
            i % columns * (w + 1) + 1, i // columns * (h + 1) + 1, str(label), color="#ffd43b", fontsize=7, va="top"
        )
    if row_labels is not None:
        ax.set_yticks([(h + 1) * i + h / 2 for i in range(rows)], row_labels)
        ax.tick_params(left=False)
    return ax


def plot_map(
    codes: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    classes: Sequence[str] = tuple("0123456789"),
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Scatter 2-D codes [N, 2], one colour for each class, its name at (or near) the median of its points.

    Shapes: labels [N], whole numbers from 0, or -1 where unknown, which is not drawn. Raises: ValueError, TypeError.
    """
    codes, labels = as_array(codes, "codes"), as_array(labels, "labels")
    arrays.check_points("codes", codes)
    arrays.check_list("classes", classes, range(1, 1000), "the names of the classes")
    if labels.dtype.kind not in "iu" or labels.shape != (len(codes),) or not -1 <= labels.min() <= labels.max():
        raise ValueError(
            f"labels must be {len(codes)} whole numbers, one for each code, not {inputs.described(labels)}"
        )
    if labels.max() >= len(classes) or labels.max() < 0:
        raise ValueError(f"labels must be from 0 to {len(classes) - 1}, or -1 where unknown, not up to {labels.max()}")
    codes, ax = codes.astype(np.float64), _axes(ax, title, (5, 5))
    present = [k for k in range(len(classes)) if (labels == k).any()]
    size = np.clip(40_000 / len(codes), 6, 20)  # few dots must be larger to be seen
    for k in present:
        ax.scatter(*codes[labels == k].T, s=size, alpha=0.8, color=DIGIT_COLORS[k % 10], linewidths=0, rasterized=True)
    span = np.ptp(np.quantile(codes, [0.01, 0.99], axis=0), axis=0) + 1e-9
    middles = np.array([np.median(codes[labels == k], axis=0) for k in present])
    for k, place in zip(present, spread(middles / span) * span, strict=True):
        ax.text(
            *place, classes[k], fontsize=11, weight="bold", ha="center", va="center",
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": DIGIT_COLORS[k % 10], "alpha": 0.85},
        )  # fmt: skip
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    return ax


def spread(places: ArrayLike | Tensor, gap: float = 0.07) -> np.ndarray:
    """Return points [N, 2], at most 2,000, moved apart as little as needed for each pair to keep about a distance.

    Raises: ValueError or TypeError for other points, or a distance that is not positive.
    """
    places = as_array(places, "places")
    arrays.check_points("places", places)
    if len(places) > 2000:
        raise ValueError(f"places must be at most 2,000, not {len(places):,}: every pair of them is looked at")
    gap = inputs.check_number("gap", gap, 0, arrays.MOST, above=True)
    places = places + 1e-6 * np.arange(places.size).reshape(places.shape)  # no two in the very same place
    for _ in range(50):
        apart = places[:, None] - places[None]  # [N, N, 2]
        distance = np.linalg.norm(apart, axis=-1) + np.eye(len(places)) * gap
        push = np.clip(gap - distance, 0, None) / 2
        places = places + (apart / np.maximum(distance, 1e-12)[..., None] * push[..., None]).sum(1)
    return places


def plot_steps(
    curves: dict[str, ArrayLike | Tensor],
    *,
    smooth: int = 25,
    ylabel: str = "nats per image",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Plot values recorded at every step, each as the mean over blocks of `smooth` steps.

    Raises: ValueError or TypeError for curves that are not one list of finite numbers each, of one at least.
    """
    lists = arrays.named_lists("curves", curves)
    smooth, ylabel = inputs.check_whole("smooth", smooth, 1), inputs.check_text("ylabel", ylabel)
    ax = _axes(ax, title)
    for name, values in lists.items():
        width = min(smooth, len(values))
        blocks = values[: len(values) // width * width].reshape(-1, width).mean(1)
        ax.plot((np.arange(len(blocks)) + 0.5) * width, blocks, label=name)
    ax.set(xlabel="gradient step", ylabel=ylabel)
    if len(lists) > 1:
        ax.legend()
    return ax


def plot_histograms(
    groups: dict[str, ArrayLike | Tensor],
    *,
    xlabel: str,
    bins: int = 50,
    log: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the histograms of several groups of values over the same bins, on a logarithmic axis if asked.

    Raises: ValueError or TypeError for groups that are not one list of finite numbers each (positive ones, if log).
    """
    lists = arrays.named_lists("groups", groups)
    xlabel, bins = inputs.check_text("xlabel", xlabel), inputs.check_whole("bins", bins, 1, 10_000)
    inputs.check_flag("log", log)
    together = np.concatenate(list(lists.values()))
    low, high = together.min(), together.max()
    if log and low <= 0:
        raise ValueError(f"groups must be positive for a logarithmic axis, not from {low:g}: clip them, or log=False")
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    ax, edges = _axes(ax, title), (np.geomspace if log else np.linspace)(low, high, bins + 1)
    for name, values in lists.items():
        ax.hist(values, edges, weights=np.full(len(values), 1 / len(values)), alpha=0.55, label=name)
    ax.set(xlabel=xlabel, ylabel="share", xscale="log" if log else "linear")
    ax.legend()
    return ax


def _axes(ax: Axes | None, title: str | None, size: tuple[float, float] | None = None) -> Axes:
    """Return the axes given, or new ones, with their title."""
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax must be axes of matplotlib, or None for new ones, not {inputs.described(ax)}")
    if title is not None:
        inputs.check_text("title", title)
    ax = plt.subplots(figsize=size)[1] if ax is None else ax
    if title:
        ax.set_title(title, loc="left")
    return ax
