"""Find, read and write the notebooks, and clean what is stored in them."""

import base64
import io
import os
import re
import sys
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import reads, writes
from PIL import Image, UnidentifiedImageError

ROOT = Path(__file__).resolve().parent.parent
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
BAR = re.compile(r"\d%\|.*\| *\d+\S*/\d|\[\d\d:\d\d[^\]]*/\w+[^\]]*\]")  # "40%|####  | 12/30", "[00:01<00:02, 9it/s]"
COLOURS = 128  # of a stored picture: a third of the size, and no difference to be seen
KEPT_METADATA = ("tags", "jupyter", "cellView")  # the last two fold a cell, in JupyterLab and in Colab


def find(names: list[str], folder: Path) -> list[Path]:
    """Return a folder's notebooks in reading order, the asides last.

    All of them, or those called `04` (a chapter and its asides) or `04_name` or by their path, or `asides`.
    """
    every = [*sorted(folder.glob("*.ipynb")), *sorted(folder.glob("asides/*.ipynb"))]
    if not names:
        return every
    wanted = [Path(name).name.removesuffix(".ipynb") for name in names]

    def called(path: Path, name: str) -> bool:
        return path.stem.startswith(name) or path.parent.name == name

    for name in wanted:
        if not any(called(path, name) for path in every):
            sys.exit(f"No notebook is called {name}; there are: {', '.join(path.stem for path in every) or 'none'}.")
    return [path for path in every if any(called(path, name) for name in wanted)]


def read(path: Path) -> NotebookNode:
    """Read a notebook as it stands, without repairing it."""
    return reads(path.read_text(encoding="utf-8"))


def to_text(nb: NotebookNode) -> str:
    """Return a notebook as stored: indent 1, letters as they are, one newline at the end."""
    return writes(nb) + "\n"


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def clear(nb: NotebookNode) -> NotebookNode:
    """Drop every output and count, in place."""
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


def scrub(nb: NotebookNode, stem: str) -> NotebookNode:
    """Keep, in place, only what a reader should find stored; a second call changes nothing."""
    nb.metadata = NotebookNode(kernelspec=NotebookNode(KERNELSPEC), language_info=NotebookNode(name="python"))
    nb.nbformat, nb.nbformat_minor = 4, 5
    name_cells(nb.cells, stem[:2])
    for cell in nb.cells:
        cell.metadata = NotebookNode({key: cell.metadata[key] for key in KEPT_METADATA if cell.metadata.get(key)})
        if cell.cell_type == "code":
            cell.outputs = scrub_outputs(cell.outputs)
    number(nb)
    return nb


def name_cells(cells: list[NotebookNode], number: str) -> None:
    """Keep the ids that are unique and valid; make the others from the cell's first words."""
    taken = set()
    for cell in cells:
        name = cell.get("id", "")
        if name in taken or not re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", name):
            words = re.findall(r"[a-z0-9]+", cell.source.lower())[:4] or [cell.cell_type]
            slug = f"{number}-{'-'.join(words)}"[:56]
            options = [slug, *(f"{slug}-{k}" for k in range(2, len(cells) + 2))]
            name = next(option for option in options if option not in taken)
        cell.id = name
        taken.add(name)


def scrub_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Drop standard error, progress bars and the handles of widgets that died with their kernel; join split streams."""
    kept: list[NotebookNode] = []
    for output in outputs:
        data = output.get("data", {})
        if output.get("name") == "stderr" or BAR.search(data.get("text/plain", "")):
            continue
        data.pop(WIDGET_VIEW, None)
        if "image/png" in data:
            data["image/png"] = small(data["image/png"])
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text
        else:
            kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            lines = output.text.splitlines(keepends=True)
            output.text = "".join(line for line in lines if line != "\r" and not BAR.search(line))
    return [output for output in kept if output.get("text") != ""]


def small(png: str) -> str:
    """Return a PNG with a palette in place of full colours; one that has a palette, or is no PNG, is left as it is."""
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(png)))
    except (UnidentifiedImageError, ValueError):
        return png
    if picture.mode == "P":
        return png
    from vae_utils.pixels import few_colours  # not at the top: finding and scrubbing needs no PyTorch

    few_colours(picture, COLOURS).save(stored := io.BytesIO(), "PNG", optimize=True)
    return base64.b64encode(stored.getvalue()).decode()


def number(nb: NotebookNode) -> None:
    """Count the code cells 1..n, unless one of them has not run: that is for a test to find."""
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    if any(cell.execution_count is None for cell in code):
        return
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
