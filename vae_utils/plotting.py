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


def as_array(values: ArrayLike | Tensor) -> np.ndarray:
    """Return a NumPy array of a tensor on any device, or of anything like an array."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def tile(images: ArrayLike | Tensor, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Return images [N, C, H, W] laid out row by row in one picture [H', W'] (or [H', W', 3]), in [0, 1].

    uint8 images count as 0..255. Raises: ValueError for another shape, or for no image.
    """
    stack = as_array(images)
    if stack.ndim != 4 or len(stack) == 0 or stack.shape[1] not in (1, 3):
        raise ValueError(f"images must be [N, 1 or 3, H, W] with N at least 1, not {list(stack.shape)}")
    stack = (stack / 255 if stack.dtype == np.uint8 else stack).clip(0, 1)
    n, c, h, w = stack.shape
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    sheet = np.ones((rows * (h + gap) - gap, columns * (w + gap) - gap, c), dtype=np.float32)
    for i, image in enumerate(stack):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image.transpose(1, 2, 0)
    return sheet.squeeze(-1) if c == 1 else sheet


def tint(images: ArrayLike | Tensor, labels: ArrayLike | Tensor, strength: ArrayLike | Tensor) -> np.ndarray:
    """Return grey images [N, 1, H, W] as ink on white [N, 3, H, W], in the colour of their digits, more or less strong.

    Shapes: labels [N] from 0 to 9, strength [N]: 1 (or more) for the full colour, 0 (or less) for nearly white.
    """
    strength = as_array(strength).clip(0, 1)[:, None]
    colour = np.array(DIGIT_COLORS)[as_array(labels)]  # [N, 3]
    ink = strength * colour + (1 - strength) * 0.85
    return 1 - as_array(images).clip(0, 1) ** 0.6 * (1 - ink[:, :, None, None])


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
    """Show images [N, C, H, W] as one sheet, with a label over each, or at the left of each row."""
    sheet = tile(images, columns)
    n, _, h, w = np.shape(images)
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    rows = math.ceil(n / columns)
    if ax is None:
        side = 1.3 if row_labels is not None else 0
        _, ax = plt.subplots(figsize=(max(2, scale * columns + side), scale * rows + (0.35 if title else 0.05)))
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
    if title:
        ax.set_title(title, loc="left")
    return ax


def plot_map(
    codes: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    classes: Sequence[str] = tuple("0123456789"),
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Scatter 2-D codes [N, 2], one colour for each class, its name at (or near) the median of its points."""
    codes, labels = as_array(codes), as_array(labels)
    if ax is None:
        _, ax = plt.subplots(figsize=(5, 5))
    present = [k for k in range(len(classes)) if (labels == k).any()]
    for k in present:
        ax.scatter(*codes[labels == k].T, s=4, alpha=0.5, color=DIGIT_COLORS[k % 10], linewidths=0, rasterized=True)
    span = np.ptp(np.quantile(codes, [0.01, 0.99], axis=0), axis=0) + 1e-9
    middles = np.array([np.median(codes[labels == k], axis=0) for k in present])
    for k, place in zip(present, spread(middles / span) * span, strict=True):
        ax.text(
            *place, classes[k], fontsize=11, weight="bold", ha="center", va="center",
            bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": DIGIT_COLORS[k % 10], "alpha": 0.85},
        )  # fmt: skip
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    if title:
        ax.set_title(title, loc="left")
    return ax


def spread(places: np.ndarray, gap: float = 0.07) -> np.ndarray:
    """Return points [N, 2] moved apart as little as needed for each pair to keep about a distance."""
    places = places + 1e-6 * np.arange(places.size).reshape(places.shape)  # no two in the very same place
    for _ in range(50):
        apart = places[:, None] - places[None]  # [N, N, 2]
        distance = np.linalg.norm(apart, axis=-1) + np.eye(len(places)) * gap
        push = np.clip(gap - distance, 0, None) / 2
        places = places + (apart / distance[..., None] * push[..., None]).sum(1)
    return places


def plot_steps(
    curves: dict[str, ArrayLike | Tensor],
    *,
    smooth: int = 25,
    ylabel: str = "nats per image",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Plot values recorded at every step, each as the mean over blocks of `smooth` steps."""
    if ax is None:
        _, ax = plt.subplots()
    for name, values in curves.items():
        values = as_array(values)
        width = max(1, min(smooth, len(values)))
        blocks = values[: len(values) // width * width].reshape(-1, width).mean(1)
        ax.plot((np.arange(len(blocks)) + 0.5) * width, blocks, label=name)
    ax.set(xlabel="gradient step", ylabel=ylabel)
    if len(curves) > 1:
        ax.legend()
    if title:
        ax.set_title(title, loc="left")
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
    """Draw the histograms of several groups of values over the same bins, on a logarithmic axis if asked."""
    if ax is None:
        _, ax = plt.subplots()
    arrays = {name: as_array(values) for name, values in groups.items()}
    together = np.concatenate(list(arrays.values()))
    edges = (np.geomspace if log else np.linspace)(together.min(), together.max(), bins + 1)
    for name, values in arrays.items():
        ax.hist(values, edges, weights=np.full(len(values), 1 / len(values)), alpha=0.55, label=name)
    ax.set(xlabel=xlabel, ylabel="share", xscale="log" if log else "linear")
    ax.legend()
    if title:
        ax.set_title(title, loc="left")
    return ax
