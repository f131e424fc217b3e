"""Time a slider from the key press to the painted picture, ours and the usual way: python -m benchmarks.slider_latency

A JupyterLab in Chromium shows a notebook of four panels, and the page itself takes the times: from the keydown event to
the first task after the frame that paints the new picture. The decoder is untrained; that costs the same.
"""

import os
import platform
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from nbformat import v4

from tools.files import KERNELSPEC, to_text
from tools.lab import chromium, serve
from tools.lab_notebook import Notebook, opened

PRESSES = 50
SETUP = """
import matplotlib.pyplot as plt
import torch
from ipywidgets import FloatSlider, interact

from vae_utils import models, plotting, widgets

torch.manual_seed(0)
vae = models.VAE(20, "conv").eval()
codes = torch.randn(64, 20)
across = {"low": -3, "high": 3, "step": 0.05, "value": -2}


@torch.no_grad()
def decoded(z1, count):
    z = codes[:count].clone()
    z[:, 0] += z1
    return vae.decode(z).sigmoid()


slider = FloatSlider(min=-3, max=3, step=0.05, value=-2)
"""
OURS = """
def {name}(z1):
    return {picture}

widgets.explore({name}, z1=widgets.Slider("z1", **across))
"""
USUAL = """
@interact(z1=slider)
def usual(z1):
    figure, axes = plt.subplots({side}, {side}, figsize=({size}, {size}), squeeze=False)
    for ax, image in zip(axes.flat, decoded(z1, {side} ** 2)):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        ax.axis("off")
    plt.show()
"""
CELLS = {  # what the table calls it: its cell, and the median in milliseconds that it should not exceed
    ("one digit", "explore"): (OURS.format(name="one", picture="decoded(z1, 1)[0, 0]"), 60),
    ("one digit", "interact, imshow, show"): (USUAL.format(side=1, size=3.2), None),
    ("8 x 8 digits", "explore"): (OURS.format(name="grid", picture="plotting.tile(decoded(z1, 64))"), 100),
    ("8 x 8 digits", "interact, 64 axes, show"): (USUAL.format(side=8, size=6), None),
}
# Watch a cell: `times` gets the milliseconds from each keydown until a picture that was not there before is painted.
WATCH = """node => {
    const picture = () => node.querySelector('.jp-OutputArea-output img:not([src=""])');
    const painted = () => new Promise(done => requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = done;  // comes right after the frame
        port2.postMessage(null);
    }));
    const pressed = async event => {
        const start = performance.now(), before = picture()?.src;
        const changed = () => picture() && picture().src !== before;
        await new Promise(done => {
            const observer = new MutationObserver(() => { if (changed()) { observer.disconnect(); done(); } });
            observer.observe(node, {subtree: true, childList: true, attributes: true, attributeFilter: ['src']});
        });
        await picture().decode();
        await painted();
        node.times.push(performance.now() - start);
    };
    node.times = [];
    node.addEventListener('keydown', pressed, true);
}"""


def measure(notebook: Notebook, place: int) -> list[float]:
    """Return the milliseconds of each press, in the cell at a place of the notebook."""
    notebook.scroll_to(place)
    cell = notebook.page.locator(f'.jp-Notebook [data-windowed-list-index="{place}"]')
    handle, node = cell.locator(".noUi-handle"), cell.element_handle()
    cell.locator("img").first.wait_for()
    cell.evaluate(WATCH)
    for count in range(1, PRESSES + 1):
        handle.press("ArrowRight")
        notebook.wait("([node, count]) => node.times.length === count", [node, count], "no new picture after a key")
    return cell.evaluate("node => node.times")


def report(times: dict[tuple[str, str], list[float]]) -> None:
    """Print a line for each way: median, 90th percentile, and how many times ours it takes."""
    print(f"{'picture':<13} {'way':<24} {'median':>9} {'90 %':>9} {'ratio':>6}  target")
    for (picture, way), values in times.items():
        middle, ours = statistics.median(values), statistics.median(times[picture, "explore"])
        target = CELLS[picture, way][1]
        verdict = "" if target is None else f"{target} ms: {'met' if middle <= target else 'missed'}"
        ninth = statistics.quantiles(values, n=10)[-1]
        print(f"{picture:<13} {way:<24} {middle:6.0f} ms {ninth:6.0f} ms {middle / ours:6.1f}  {verdict}".rstrip())


def main() -> None:
    """Measure every way in one page, and print a table."""
    names = ("jupyterlab", "ipywidgets", "matplotlib", "torch")
    metadata = {"kernelspec": KERNELSPEC}
    cells = [v4.new_code_cell(source.strip()) for source in (SETUP, *(source for source, _ in CELLS.values()))]
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        (folder / "notebooks").mkdir()
        text = to_text(v4.new_notebook(cells=cells, metadata=metadata))
        (folder / "notebooks" / "latency.ipynb").write_text(text, encoding="utf-8")
        print(
            f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {platform.system()}, "
            f"Python {platform.python_version()}, Chromium {browser.version}, "
            + ", ".join(f"{name} {version(name)}" for name in names)
        )
        with serve(folder, folder / "own") as server, opened(browser, server, "latency") as notebook:
            notebook.run_all()
            report({key: measure(notebook, place) for place, key in enumerate(CELLS, start=1)})


if __name__ == "__main__":
    main()
