"""Draw the pictures of README and notebooks: python images/make_images.py (trains three models the first time).

latent_explorer.html is the decoder of notebook 05 as a page; sliders.gif is recorded by the browser test.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from torch.distributions import Normal

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from vae_utils import evaluation, judge, keeping, losses, models, plotting, widgets  # noqa: E402
from vae_utils.data import load_dataset  # noqa: E402


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure without a date, so that the same drawing gives the same file."""
    figure.savefig(HERE / name, dpi=110, facecolor="white", metadata={"Software": None})
    plt.close(figure)


def hero(side: int = 20) -> None:
    """Draw the latent plane of the 2-D VAE: where the test digits lie, and what every place decodes to."""
    mnist = load_dataset("mnist")
    torch.manual_seed(0)
    model = models.VAE(2, "mlp")
    keeping.fit_once("vae-2", model, mnist, steps=2500, lr=2e-3, seed=0)
    quantiles = Normal(0.0, 1.0).icdf((torch.arange(side) + 0.5) / side)
    grid = torch.cartesian_prod(quantiles.flip(0), quantiles).flip(1)
    device = evaluation.device_of(model)
    with torch.no_grad():
        decoded = model.decode(grid.to(device)).sigmoid().cpu()
    label, sure = judge.verdicts(judge.load_judge(mnist), decoded)
    picture = plotting.tint(decoded, label, 2 * sure)  # pale where the judge hesitates
    figure, axes = plt.subplots(1, 2, figsize=(12, 6))
    plotting.plot_map(evaluation.encode_means(model, mnist.test), mnist.test.labels, ax=axes[0])
    axes[0].set(xlim=(-3.3, 3.3), ylim=(-3.3, 3.3), title="10,000 test digits, placed by the encoder")
    plotting.show_images(picture, columns=side, ax=axes[1])
    axes[1].set_title("drawn by the decoder, at equal steps of probability")
    save(figure, "latent_plane.png")


def explorer() -> None:
    """Write the decoder of the 20-D VAE as a page, a slider for each dimension that tells above a tenth of a nat."""
    mnist = load_dataset("mnist")
    torch.manual_seed(0)
    model = models.VAE(20, "conv")
    keeping.fit_once("vae-20", model, mnist, steps=2000, lr=4e-3, seed=0)
    mu, logvar = evaluation.encode_posteriors(model, mnist.test)
    kl = losses.gaussian_kl(mu[..., None], logvar[..., None]).mean(0)
    alive = [d for d in kl.argsort(descending=True).tolist() if kl[d] > 0.1]
    widgets.export_html(model, HERE / "latent_explorer.html", dimensions=alive, title="Sixteen numbers, one digit")


def box(ax: plt.Axes, x: float, text: str, *, width: float, height: float, colour: str, size: float = 11) -> None:
    """Draw a labelled box centred at (x, 0)."""
    patch = FancyBboxPatch((x - width / 2, -height / 2), width, height, boxstyle="round,pad=0.04", fc=colour, ec="0.25")
    ax.add_patch(patch)
    ax.text(x, 0, text, ha="center", va="center", fontsize=size)


def arrow(ax: plt.Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow between two points."""
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color="0.25", lw=1.3))


def canvas(width: float, height: float) -> tuple[plt.Figure, plt.Axes]:
    """Return an empty drawing, a unit to the inch."""
    figure, ax = plt.subplots(figsize=(width, height))
    ax.set(xlim=(0, width), ylim=(-height / 2, height / 2), aspect="equal")
    ax.axis("off")
    return figure, ax


def autoencoder() -> None:
    """Draw image, encoder, code, decoder, image."""
    figure, ax = canvas(9, 1.7)
    blocks = [
        ("x\n784 numbers", 0.9, 1.2, "#eeeeee"),
        ("encoder", 2.8, 0.9, "#cfe3f5"),
        ("z\na few", 4.5, 0.5, "#fbe3c0"),
    ]
    blocks += [("decoder", 6.2, 0.9, "#cfe3f5"), (r"$\hat{x}$" + "\n784 numbers", 8.1, 1.2, "#eeeeee")]
    for text, x, height, colour in blocks:
        box(ax, x, text, width=1.25 if height != 0.5 else 0.8, height=height, colour=colour)
    for start, end in ((1.6, 2.1), (3.5, 4.0), (5.0, 5.5), (6.9, 7.4)):
        arrow(ax, (start, 0), (end, 0))
    save(figure, "autoencoder.png")


def vae() -> None:
    """Draw the same with a distribution in the middle, and the two terms of the loss where they arise."""
    figure, ax = canvas(9.4, 3.6)
    for text, x, width, height, colour in [
        ("$x$", 0.55, 0.6, 0.9, "#eeeeee"),
        ("encoder", 1.85, 1.05, 0.9, "#cfe3f5"),
        (r"$\mu,\ \log\sigma^2$", 3.5, 1.4, 0.9, "#fbe3c0"),
        (r"$z=\mu+\sigma\,\varepsilon$", 5.5, 1.75, 0.9, "#fbe3c0"),
        ("decoder", 7.4, 1.05, 0.9, "#cfe3f5"),
        (r"$\hat{x}$", 8.8, 0.6, 0.9, "#eeeeee"),
    ]:
        box(ax, x, text, width=width, height=height, colour=colour, size=16)
    for start, end in ((0.89, 1.29), (2.42, 2.77), (4.24, 4.59), (6.42, 6.84), (7.97, 8.46)):
        arrow(ax, (start, 0), (end, 0))
    ax.text(5.5, 1.25, r"$\varepsilon \sim N(0, I)$", ha="center", fontsize=18)
    arrow(ax, (5.5, 1.15), (5.5, 0.52))
    ax.text(3.5, -1.2, r"kl: $\mathrm{KL}(q(z|x)\,\|\,N(0, I))$", ha="center", fontsize=18, color="#9a3412")
    arrow(ax, (3.5, -0.52), (3.5, -0.88))
    ax.text(7.7, -1.2, r"recon: $-\log p(x|z)$", ha="center", fontsize=18, color="#9a3412")
    arrow(ax, (8.8, -0.52), (8.4, -0.88))
    ax.plot([0.55, 0.55, 7.7], [-0.52, -1.68, -1.68], color="0.25", lw=1.3)  # the loss needs x as well
    arrow(ax, (7.7, -1.68), (7.7, -1.3))
    save(figure, "vae.png")


def graphical_model() -> None:
    """Draw the story (z makes x, N times over) and the way back (q), in the field's notation."""
    figure, ax = canvas(9, 3.2)
    ax.add_patch(FancyBboxPatch((2.5, -1.3), 4, 2.6, boxstyle="round,pad=0.02", fc="none", ec="0.5"))
    ax.text(6.4, -1.2, "N images", ha="right", fontsize=10, color="0.4")
    for text, x, colour in (("$z$", 3.3, "white"), ("$x$", 5.7, "0.85")):
        ax.add_patch(Circle((x, 0), 0.38, fc=colour, ec="0.25", lw=1.3))
        ax.text(x, 0, text, ha="center", va="center", fontsize=15)
    arrow(ax, (3.68, 0), (5.32, 0))
    ax.text(4.5, -0.3, r"decoder $p_\theta(x|z)$", ha="center", fontsize=10)
    back = {"connectionstyle": "arc3,rad=0.45", "linestyle": "--", "color": "#9a3412"}
    ax.add_patch(FancyArrowPatch((5.5, 0.33), (3.5, 0.33), arrowstyle="-|>", mutation_scale=14, lw=1.3, **back))
    ax.text(4.5, 1.0, r"$q_\phi(z|x)$", ha="center", fontsize=10, color="#9a3412")
    arrow(ax, (1.75, 0), (2.92, 0))
    ax.text(1.65, 0, "prior $p(z)$", ha="right", va="center", fontsize=11)
    arrow(ax, (7.1, 0), (6.08, 0))
    ax.text(7.2, 0, r"$\theta$, the decoder's weights", ha="left", va="center", fontsize=11)
    ax.text(3.3, -0.75, "hidden", ha="center", fontsize=10, color="0.4")
    ax.text(5.7, -0.75, "seen", ha="center", fontsize=10, color="0.4")
    save(figure, "graphical_model.png")


def conditional() -> None:
    """Draw three stories: z alone, a label y beside z, and a part of the image c that also moves the prior."""
    figure, ax = canvas(11, 3.4)
    captions = ("VAE", "CVAE with a label, p(z|y) = N(0, I)", "CVAE that completes, p(z|c) learned")
    for left, caption, given in zip((0.3, 3.6, 7.5), captions, ("", "$y$", "$c$"), strict=True):
        ax.text(left + 1.35, 1.45, caption, ha="center", fontsize=11)
        top, places = 0.55, {"$z$": (left + 0.4, 0.55, "white"), "$x$": (left + 2.3, 0.55, "0.85")}
        if given:
            places[given] = (left + 1.35, -1.0, "0.85")
        for text, (x, y, colour) in places.items():
            ax.add_patch(Circle((x, y), 0.36, fc=colour, ec="0.25", lw=1.3))
            ax.text(x, y, text, ha="center", va="center", fontsize=14)
        arrow(ax, (left + 0.76, top), (left + 1.94, top))
        back = {"connectionstyle": "arc3,rad=0.5", "linestyle": "--", "color": "#9a3412"}
        ends = ((left + 2.12, top + 0.32), (left + 0.58, top + 0.32))
        ax.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=14, lw=1.3, **back))
        if given:
            arrow(ax, (left + 1.6, -0.74), (left + 2.12, 0.23))
            bend = {"connectionstyle": "arc3,rad=-0.35", "linestyle": "--", "color": "#9a3412"}
            ends = ((left + 1.0, -1.05), (left + 0.2, 0.25))
            ax.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=14, lw=1.3, **bend))
        if given == "$c$":
            arrow(ax, (left + 1.12, -0.72), (left + 0.6, 0.23))
    save(figure, "conditional.png")


if __name__ == "__main__":
    plotting.use_style()
    conditional()
    autoencoder()
    vae()
    graphical_model()
    hero()
    explorer()
