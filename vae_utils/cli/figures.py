"""The figures that the command line writes: matplotlib without pyplot, so that no window system is asked for."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor, nn

from vae_utils.evaluation import device_of
from vae_utils.plotting import STYLE, plot_map, plot_steps, show_images


def curves_figure(loss: Tensor, recon: Tensor, kl: Tensor) -> Figure:
    """Return a figure of the loss and the reconstruction beside the KL, which is much smaller."""
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4))
        left, right = figure.subplots(1, 2)
        smooth = min(25, max(1, len(loss) // 40))  # steps to a point; a short run is shown as it is
        plot_steps({"loss": loss, "reconstruction": recon}, ax=left, smooth=smooth, title="loss and reconstruction")
        plot_steps({"KL": kl}, ax=right, smooth=smooth, title="KL")
        high = np.quantile(torch.cat([loss, recon]).numpy(), 0.98)  # the first steps are far above all others
        left.set_ylim(top=high + 0.05 * abs(high))
    return figure


def map_figure(codes: Tensor, labels: Tensor, classes: Sequence[str], names: tuple[str, str], title: str) -> Figure:
    """Return a scatter of codes [N, 2], coloured by class, its axes named."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6, 6))
        ax = plot_map(codes, labels, classes=classes, ax=figure.subplots(), title=title)
        ax.set(xlabel=names[0], ylabel=names[1])
    return figure


@torch.no_grad()
def titled(model: nn.Module, images: Tensor, classes: Sequence[str], columns: int | None) -> Figure:
    """Return images [N, C, H, W] as a figure, on each the class that the model's own classifier gives it."""
    labels = [classes[k] for k in model.classify(images.to(device_of(model))).argmax(1).tolist()]
    columns = min(len(images), columns or int(np.ceil(np.sqrt(len(images)))))
    with rc_context(STYLE):
        figure = Figure(figsize=(0.62 * columns, 0.62 * -(-len(images) // columns)))
        show_images(images, columns=columns, labels=labels, ax=figure.subplots())
    return figure
