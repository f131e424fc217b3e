"""Files that are written whole or not at all, and the checks that come first."""

import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from vae_utils.inputs import check_whole
from vae_utils.pixels import enlarge
from vae_utils.plotting import tile
from vae_utils.sources import write_atomic


def check_ending(path: Path, *endings: str) -> None:
    """Raise ValueError unless a file's name has one of the endings."""
    if path.suffix.lower() not in endings:
        raise ValueError(f"--out must be a file that ends in {' or '.join(endings)}, not {path}")


def check_new_folder(out: Path) -> None:
    """Raise ValueError if there is something that a new folder would have to replace."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there already and not an empty folder: choose another --out, or delete it")


def sheet(images: Tensor, columns: int | None = None, scale: int = 2) -> np.ndarray:
    """Return images [N, C, H, W] as one picture, uint8 [H, W, 3], `scale` pixels for each of theirs."""
    check_whole("scale", scale, 1)
    if columns is not None:
        check_whole("columns", columns, 1)
    return enlarge(tile(images, columns), scale)


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises: OSError where that does not go."""
    if not write_atomic(path, content):
        raise OSError(f"cannot write {path}: choose a file in a folder that can be written to with --out")


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a picture [H, W, 3] as PNG."""
    check_ending(path, ".png")
    write(path, _png(Image.fromarray(pixels)))


def write_figure(path: Path, figure: Figure) -> None:
    """Write a matplotlib figure as PNG."""
    check_ending(path, ".png")
    stored = io.BytesIO()
    figure.savefig(stored, format="png", facecolor="white", dpi=100)
    write(path, stored.getvalue())


def write_folders(out: Path, images: Tensor, classes: Sequence[str]) -> None:
    """Write images [n, C, H, W] as out/CLASS/NUMBER.png, grey ones in grey; the folder appears when it is full."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    except OSError as error:
        raise OSError(f"cannot make {out}: {error}") from None
    try:
        for i, (image, name) in enumerate(zip(images, classes, strict=True)):
            pixels = (tile(image[None]) * 255).round().astype(np.uint8)
            write(half / name / f"{i:05d}.png", _png(Image.fromarray(pixels)))
        half.chmod(0o755)
        if out.is_dir():  # empty; Windows moves nothing onto a folder
            out.rmdir()
        half.replace(out)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _png(picture: Image.Image) -> bytes:
    stored = io.BytesIO()
    picture.save(stored, format="png")
    return stored.getvalue()
