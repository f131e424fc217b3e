"""Pictures under your hand: sliders, a map to click on, a canvas to draw on. The only part that imports ipywidgets.

`explore` puts sliders over any function that draws, `sketch` a canvas and an upload; `export_html` writes a page that
needs no Python. What a reader sees where no kernel runs is a still, stored with the notebook.
"""

from vae_utils.widgets.export import export_html
from vae_utils.widgets.panel import picture_bytes, still
from vae_utils.widgets.sketch import Sketch, sketch
from vae_utils.widgets.sliders import Explorer, Slider, explore

__all__ = ["Explorer", "Sketch", "Slider", "explore", "export_html", "picture_bytes", "sketch", "still"]
