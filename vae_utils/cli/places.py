"""The commands that move in the latent space. What is heavy is imported when one of them runs."""

from pathlib import Path
from typing import Annotated, Literal

from vae_utils.cli.kinds import Data, Model, Out, Scale, Seed


def transition(
    model: Model,
    *,
    images: Annotated[tuple[int, int] | None, "the numbers of two test images"] = None,
    classes: Annotated[tuple[str, str] | None, "or two classes: the first test image of each"] = None,
    way: Annotated[Literal["straight", "spherical"], "along a line, or along an arc about the origin"] = "straight",
    steps: Annotated[int, "pictures, both ends included"] = 15,
    out: Annotated[Path | None, "a .png, all pictures in a row, or a .gif that moves (default: a .png)"] = None,
    seconds: Annotated[float, "how long a .gif takes, there and back"] = 3.0,
    data: Data = None,
    scale: Scale = 2,
) -> str:
    """Go from one test image to another through the latent space.

    A conditional model goes from label to label on the way as well, its one-hot label mixed in the same shares.
    """
    from vae_utils import inputs
    from vae_utils.cli import drawing, walking, writing

    kept = drawing.open_painter(model, data)
    out = out or kept.beside("transition.png")
    writing.check_ending(out, ".png", ".gif")
    inputs.check_whole("steps", steps, 2, 1000)
    inputs.check_number("seconds", seconds, 0, 600, above=True)
    ends = walking.ends_of(kept, images, classes)
    pictures = walking.between(kept, ends, way, steps)
    if out.suffix.lower() == ".gif":
        writing.write(out, walking.gif(pictures, seconds, scale))
    else:
        writing.write_picture(out, writing.sheet(pictures, steps, scale))
    return f"{out}: {steps} pictures from test image {ends[0]} to {ends[1]}, {way}, by {kept.path}"


def latent_map(
    model: Model,
    *,
    out: Out = None,
    n: Annotated[int | None, "test images on the map (default: all, or 3000 for tsne)"] = None,
    by: Annotated[Literal["pca", "tsne"], "how more than two dimensions become two"] = "pca",
    plane: Annotated[bool, "draw what the decoder makes of a grid over the plane instead"] = False,
    side: Annotated[int, "images along each side of the grid of --plane"] = 15,
    digit: Annotated[str | None, "the class that a conditional model draws on the plane"] = None,
    seed: Seed = 0,
    data: Data = None,
    scale: Scale = 1,
) -> str:
    """Draw where the test images lie in the latent space, coloured by class, or what its plane decodes to.

    With two dimensions they are the axes; with more, the map shows their first two principal components, or t-SNE. The
    grid goes two standard deviations of the codes to each side of their mean.
    """
    from vae_utils import inputs
    from vae_utils.cli import drawing, figures, walking, writing

    kept = drawing.open_painter(model, data)
    count = n if n is not None else 3000 if by == "tsne" else len(kept.dataset.test)
    inputs.check_whole("n", count, 10)
    test = kept.dataset.test.subset(slice(0, count))
    if plane:
        label = walking.label_of(kept, digit)
        inputs.check_whole("side", side, 2, 140)
        if by == "tsne":
            raise ValueError("--plane needs a plane, and t-SNE gives none: leave --by tsne out")
        out = out or kept.beside("plane.png")
        pictures = walking.plane_images(kept, test, side, label)
        writing.write_picture(out, writing.sheet(pictures, side, scale))
        return f"{out}: {side} x {side} images over the mean and 2 standard deviations of {len(test)} codes"
    if digit is not None:
        raise ValueError("--digit is for --plane: the map shows all classes")
    out = out or kept.beside("map.png")
    writing.check_ending(out, ".png")
    codes, names = walking.in_two(kept, test, by, seed)
    figure = figures.map_figure(codes, test.labels, kept.dataset.classes, names, f"{len(test)} test images")
    writing.write_figure(out, figure)
    return f"{out}: the codes of {len(test)} test images, {names[0]} across and {names[1]} up"


def page(
    model: Model,
    *,
    out: Annotated[Path | None, "the page to write, .html (default: page.html beside the model)"] = None,
    dimensions: Annotated[tuple[int, ...] | None, "the dimensions that get a slider (default: all)"] = None,
    title: Annotated[str | None, "what stands at its top"] = None,
    digit: Annotated[str | None, "the class that the page of a conditional model draws"] = None,
) -> str:
    """Write a web page that holds the decoder: a slider for each dimension, without Python, server or network."""
    from vae_utils.cli import drawing, walking, writing
    from vae_utils.widgets import export_html

    kept = drawing.open_painter(model)
    out = out or kept.beside("page.html")
    writing.check_ending(out, ".html")
    plain = walking.without_label(kept, walking.label_of(kept, digit))
    path = export_html(plain, out, dimensions=dimensions, title=title)
    return f"{path}: a page of sliders, {path.stat().st_size / 1e6:.1f} MB; open it in a browser"
