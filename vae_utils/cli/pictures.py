"""The commands that draw a model's curves and its images. What is heavy is imported when one of them runs."""

from pathlib import Path
from typing import Annotated

from vae_utils.cli.kinds import Data, Model, Out, Scale, Seed, Temperature


def curves(model: Model, *, out: Out = None) -> str:
    """Draw the loss, the reconstruction and the KL of a training."""
    from vae_utils import checkpoints
    from vae_utils.cli import drawing, figures, writing

    path = drawing.weights_of(model)
    out = out or drawing.open_model(path).beside("curves.png")
    arrays = checkpoints.read(path)[2]
    if "curves" not in arrays:
        raise ValueError(f"{path} holds no curves: it was saved without them")
    writing.write_figure(out, figures.curves_figure(*arrays["curves"]))
    return f"{out}: loss, reconstruction and KL of {arrays['curves'].shape[1]} steps"


def samples(
    model: Model,
    *,
    out: Out = None,
    n: Annotated[int, "how many"] = 64,
    columns: Annotated[int | None, "images in a row (default: as in a square)"] = None,
    temperature: Temperature = 1.0,
    seed: Seed = 0,
    titles: Annotated[bool, "write on each what the model's own classifier calls it"] = False,
    scale: Scale = 2,
) -> str:
    """Draw samples from the prior; those of a conditional model are of random classes."""
    from vae_utils import inputs
    from vae_utils.cli import drawing, figures, writing

    kept = drawing.open_painter(model)
    if columns is not None:
        inputs.check_whole("columns", columns, 1)
    out = out or kept.beside("samples.png")
    if titles and not hasattr(kept.model, "classify"):
        raise ValueError(f"a {kept.name} has no classifier to give titles: train a LabelledVAE or M2, or use rows")
    images = drawing.random_images(kept, n, temperature, seed)
    if titles:
        writing.write_figure(out, figures.titled(kept.model, images, drawing.class_names(kept), columns))
    else:
        writing.write_picture(out, writing.sheet(images, columns, scale))
    return f"{out}: {n} samples of {kept.path} at temperature {temperature:g}, seed {seed}"


def digit(
    model: Model,
    which: Annotated[str, "the class, by its number or its name"],
    *,
    out: Out = None,
    n: Annotated[int, "how many"] = 10,
    columns: Annotated[int, "images in a row"] = 10,
    temperature: Temperature = 1.0,
    seed: Seed = 0,
    data: Data = None,
    scale: Scale = 2,
) -> str:
    """Draw images of one class: asked of a conditional model, or from a Gaussian fitted to the codes of that class."""
    from vae_utils import inputs
    from vae_utils.cli import drawing, writing

    kept = drawing.open_painter(model, data)
    inputs.check_whole("n", n, 1, drawing.MOST_IMAGES)
    names = drawing.class_names(kept)
    label = drawing.class_number(which, names)
    out = out or kept.beside(f"digit-{label}.png")
    images = drawing.class_images(kept, [label] * n, temperature, seed)
    writing.write_picture(out, writing.sheet(images, columns, scale))
    return f"{out}: {n} images of class {names[label]}, {kept.way}"


def rows(
    model: Model,
    *,
    out: Out = None,
    n: Annotated[int, "images in a row"] = 10,
    temperature: Temperature = 1.0,
    seed: Seed = 0,
    data: Data = None,
    scale: Scale = 2,
) -> str:
    """Draw a row of images for each class, the same random numbers down each column."""
    from vae_utils import inputs
    from vae_utils.cli import drawing, writing

    kept = drawing.open_painter(model, data)
    inputs.check_whole("n", n, 1, drawing.MOST_IMAGES)
    out = out or kept.beside("rows.png")
    images = drawing.row_images(kept, n, temperature, seed)
    writing.write_picture(out, writing.sheet(images, n, scale))
    return f"{out}: {n} images of each of {len(drawing.class_names(kept))} classes, {kept.way}"


def folders(
    model: Model,
    *,
    out: Annotated[Path, "the folder to make: new, or empty"],
    n: Annotated[int, "how many images, shared evenly by the classes"] = 1000,
    temperature: Temperature = 1.0,
    seed: Seed = 0,
    data: Data = None,
) -> str:
    """Write labelled images as PNG files into a folder for each class: a data set of the model's making.

    A conditional model draws each class that it is asked for; for another, the images of a class come from a Gaussian
    fitted to the codes of that class, and no judge looks at them.
    """
    from vae_utils import inputs
    from vae_utils.cli import drawing, writing

    kept = drawing.open_painter(model, data)
    inputs.check_whole("n", n, 1, drawing.MOST_FILES)
    writing.check_new_folder(out)
    names = drawing.class_names(kept)
    labels = [i % len(names) for i in range(n)]
    writing.write_folders(out, drawing.class_images(kept, labels, temperature, seed), [names[k] for k in labels])
    return f"{out}: {n} images in {min(n, len(names))} folders, temperature {temperature:g}, {kept.way}"


def reconstruct(
    model: Model,
    *,
    out: Out = None,
    n: Annotated[int, "how many"] = 10,
    first: Annotated[int, "the number of the first test image"] = 0,
    data: Data = None,
    scale: Scale = 2,
) -> str:
    """Draw test images above what the model makes of them, or a Completer of the part it is shown."""
    from vae_utils import inputs
    from vae_utils.cli import drawing, writing

    kept = drawing.open_model(model, data)
    drawing.check_redraws(kept)
    inputs.check_whole("n", n, 1, drawing.MOST_IMAGES)
    test, out = kept.dataset.test, out or kept.beside("reconstruct.png")
    if not 0 <= first <= len(test) - n:
        raise ValueError(f"there are {len(test)} test images: {n} from number {first} on are not among them")
    chosen = test.subset(slice(first, first + n))
    writing.write_picture(out, writing.sheet(drawing.redrawn(kept, chosen), n, scale))
    return f"{out}: test images {first} to {first + n - 1} above their reconstructions by {kept.path}"
