"""Whatever is handed in: a public function works, or says in a sentence that names the argument what is wrong with it.

The functions are found in the modules, so that a new one without an entry here fails a test. An entry is a function
of nothing that returns the thing to call and good arguments; each case spoils one of them.
"""

import io
import random

import ipywidgets
import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from spoiled import COVERED, ELSEWHERE, check, listed, modules, normal, public, unit

from vae_utils import handwriting, inputs, labels, latent, losses, pixels, plotting, shapes, widgets
from vae_utils.models import VAE
from vae_utils.widgets import Slider, touch

matplotlib.use("Agg")
MODULES = COVERED["test_properties"]

# ---- good arguments


LABELS, UNKNOWN = torch.arange(40) % 2, -1
CLOUDS = {"mu": normal(40, 3), "logvar": normal(40, 3) - 1, "labels": LABELS}
GAUSSIANS = latent.ClassGaussians.fit(**CLOUDS)
MIXTURES = latent.ClassMixtures.fit(**CLOUDS, parts=1)
GRAPH = labels.neighbour_graph(normal(40, 3), 3)
PICTURE, GREY = unit(5, 4, 3), unit(5, 4)
SLIDER = {"label": "x", "low": 0.0, "high": 1.0, "step": 0.1, "value": 0.5}


def ink() -> np.ndarray:
    canvas = np.zeros((30, 20), np.float32)
    canvas[5:25, 9:12] = 1
    return canvas


def photograph() -> bytes:
    stored = io.BytesIO()
    Image.fromarray((255 - 200 * ink()).astype(np.uint8)).save(stored, "PNG")
    return stored.getvalue()


def drawn_axes() -> plt.Axes:
    return plt.subplots(figsize=(2, 2), dpi=40)[1]


def some_backdrop() -> pixels.Backdrop:
    return pixels.backdrop(drawn_axes())


def elbo(x_out: torch.Tensor, x: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    return (losses.bernoulli_nll(x_out, x) + losses.gaussian_kl(mu, logvar)).mean()


def explorer() -> widgets.Explorer:
    return widgets.explore(lambda x: GREY * x, x=Slider(**SLIDER), click=lambda across, down: {"x": across})


DECODER = VAE(3, network="mlp", image_shape=(1, 4, 4))
BETWEEN = {name: normal(4, 3) for name in ("mu", "logvar", "mu_p", "logvar_p")}
CALLS = {
    "losses.reparameterize": (losses.reparameterize, {"mu": normal(4, 3), "logvar": normal(4, 3), "generator": None}),
    "losses.gaussian_kl": (losses.gaussian_kl, {"mu": normal(4, 3), "logvar": normal(4, 3)}),
    "losses.gaussian_kl_between": (losses.gaussian_kl_between, BETWEEN),
    "losses.categorical_kl": (losses.categorical_kl, {"logits": normal(4, 3)}),
    "losses.bernoulli_nll": (losses.bernoulli_nll, {"x_logits": normal(4, 1, 2, 3), "x": unit(4, 1, 2, 3)}),
    "losses.gaussian_nll": (losses.gaussian_nll, {"x_hat": normal(4, 5), "x": unit(4, 5), "sigma": 0.5}),
    "losses.squared_error": (losses.squared_error, {"x_hat": normal(4, 5), "x": unit(4, 5)}),
    "losses.importance_bound": (losses.importance_bound, {"log_w": normal(5, 4)}),
    "losses.effective_beta": (
        losses.effective_beta,
        {"loss": elbo, "nll": losses.bernoulli_nll, "image_shape": (1, 2, 2), "latent_dim": 3},
    ),
    "losses.gaussian_log_density": (losses.gaussian_log_density, {"z": normal(4, 3), "mu": 0.0, "logvar": 0.0}),
    "latent.straight": (latent.straight, {"a": normal(4, 3), "b": normal(4, 3) + 1, "t": 0.3}),
    "latent.spherical": (latent.spherical, {"a": normal(4, 3), "b": normal(4, 3) + 1, "t": 0.3}),
    "latent.total_covariance": (latent.total_covariance, {"mu": normal(9, 3), "logvar": normal(9, 3)}),
    "latent.Codes": (latent.Codes, CLOUDS),
    "latent.ClassGaussians": (latent.ClassGaussians, vars(GAUSSIANS)),
    "latent.ClassMixtures": (latent.ClassMixtures, vars(MIXTURES)),
    "latent.ClassGaussians.fit": (latent.ClassGaussians.fit, CLOUDS | {"diagonal": False}),
    "latent.ClassGaussians.log_joint": (GAUSSIANS.log_joint, {"z": normal(4, 3)}),
    "latent.ClassGaussians.log_density": (GAUSSIANS.log_density, {"z": normal(4, 3)}),
    "latent.ClassGaussians.classify": (GAUSSIANS.classify, {"z": normal(4, 3)}),
    "latent.ClassGaussians.sample": (GAUSSIANS.sample, {"labels": LABELS, "generator": None}),
    "latent.ClassMixtures.fit": (latent.ClassMixtures.fit, CLOUDS | {"parts": 1, "seed": 0}),
    "latent.ClassMixtures.sample": (MIXTURES.sample, {"labels": LABELS, "seed": 0}),
    "labels.draw_labels": (labels.draw_labels, {"labels": LABELS, "n": 4, "seed": 0}),
    "labels.draw_unbalanced": (labels.draw_unbalanced, {"labels": LABELS, "counts": [1, 3], "seed": 0}),
    "labels.neighbour_graph": (labels.neighbour_graph, {"features": normal(9, 3), "k": 2}),
    "labels.spread_labels": (
        labels.spread_labels,
        {"graph": GRAPH, "labels": LABELS, "classes": 2, "alpha": 0.9, "steps": 3},
    ),
    "labels.nearest": (labels.nearest, {"features": normal(9, 3), "queries": normal(4, 3), "k": 2}),
    "shapes.shape_of": (shapes.shape_of, {"images": unit(2, 1, 5, 6)}),
    "handwriting.as_mnist": (handwriting.as_mnist, {"ink": ink()}),
    "handwriting.read_digit": (handwriting.read_digit, {"data": photograph()}),
    "plotting.tile": (plotting.tile, {"images": unit(3, 1, 4, 4), "columns": 2, "gap": 1}),
    "plotting.tint": (
        plotting.tint,
        {"images": unit(3, 1, 4, 4), "labels": torch.tensor([0, 5, 9]), "strength": unit(3)},
    ),
    "plotting.show_images": (
        plotting.show_images,
        {"images": unit(2, 1, 4, 4), "columns": 1, "labels": ["a"], "row_labels": ["a", "b"], "scale": 0.6}
        | {"ax": None, "title": "title"},
    ),
    "plotting.plot_map": (
        plotting.plot_map,
        {"codes": normal(6, 2), "labels": torch.arange(6) % 2, "classes": ("a", "b"), "ax": None, "title": "t"},
    ),
    "plotting.spread": (plotting.spread, {"places": normal(4, 2), "gap": 0.1}),
    "plotting.plot_steps": (
        plotting.plot_steps,
        {"curves": {"a": unit(5)}, "smooth": 2, "ylabel": "nats", "ax": None, "title": "t"},
    ),
    "plotting.plot_histograms": (
        plotting.plot_histograms,
        {"groups": {"a": unit(5)}, "xlabel": "x", "bins": 3, "log": False, "ax": None, "title": "t"},
    ),
    # conversions, which pass NaN on: whoever takes numbers from them looks at these
    "arrays.as_array": (lambda values: np.nan_to_num(plotting.arrays.as_array(values)), {"values": unit(3)}),
    "inputs.to_tensor": (lambda values: inputs.to_tensor(values, "values").nan_to_num(), {"values": unit(3)}),
    "pixels.enlarge": (pixels.enlarge, {"picture": PICTURE, "scale": 2}),
    "pixels.beside": (lambda pictures, gap: pixels.beside(pictures, gap=gap), {"pictures": PICTURE, "gap": 2}),
    "pixels.stack": (lambda pictures, gap: pixels.stack(pictures, gap=gap), {"pictures": GREY, "gap": 2}),
    "pixels.text": (pixels.text, {"line": "a line", "width": 40, "size": 12}),
    "pixels.key": (pixels.key, {"labels": ["0", "1"], "size": 12}),
    "pixels.outline": (pixels.outline, {"picture": PICTURE, "left": 1.0, "top": 1.0, "side": 2}),
    "pixels.bars": (pixels.bars, {"shares": [0.2, 0.8], "labels": ["0", "1"], "width": 20, "height": 10}),
    "pixels.Backdrop.mark": (some_backdrop().mark, {"x": 0.5, "y": 0.5}),
    "pixels.Backdrop.point": (some_backdrop().point, {"left": 40.0, "top": 40.0}),
    "pixels.backdrop": (pixels.backdrop, {"ax": drawn_axes()}),
    "pixels.few_colours": (pixels.few_colours, {"image": Image.new("RGB", (4, 3)), "most": 64}),
    "inputs.to_unit": (inputs.to_unit, {"pixels": unit(3), "name": "pixels"}),
    "widgets.picture_bytes": (widgets.picture_bytes, {"picture": PICTURE, "scale": 2}),
    "widgets.still": (widgets.still, {"picture": GREY, "scale": 2}),
    "widgets.Slider": (Slider, SLIDER),
    "widgets.Slider.pick": (Slider(**SLIDER).pick, {"generator": random.Random(0)}),
    "widgets.Slider.build": (Slider(**SLIDER).build, {"label_width": "9ch"}),
    "widgets.explore": (
        lambda **given: widgets.explore(lambda x: GREY * x, x=Slider(**SLIDER), **given),
        {"scale": 2, "click": None, "buttons": {"Again": ["x"]}},
    ),
    "widgets.sketch": (lambda **given: widgets.sketch(lambda ink: GREY, **given), {"example": ink(), "scale": 2}),
    "widgets.Explorer.move": (lambda **given: explorer().move(**given), {"x": 0.2}),
    "widgets.Explorer.click": (lambda **given: explorer().click(**given), {"across": 0.2, "down": 0.7}),
    "widgets.Explorer.randomize": (lambda names: explorer().randomize(names), {"names": "x"}),
    "widgets.Sketch.show": (
        lambda **given: widgets.sketch(lambda ink: GREY, example=ink()).show(**given),
        {"ink": ink()},
    ),
    "widgets.export_html": (
        widgets.export_html,
        {"model": DECODER, "path": "page.html", "dimensions": [0, 2], "title": "t", "start": [0.0, 0.1, 0.2]},
    ),
}
CHECKS_ARE_TESTED = "raises by design: every entry above"
EXEMPT = {
    "arrays.named_lists": CHECKS_ARE_TESTED,
    "arrays.check_values": CHECKS_ARE_TESTED,
    "arrays.check_points": CHECKS_ARE_TESTED,
    "arrays.check_list": CHECKS_ARE_TESTED,
    "inputs.trusted": "takes nothing",
    "inputs.is_trusted": "takes nothing",
    "inputs.described": "describes whatever it gets, for the messages",
    "plotting.use_style": "takes nothing; tests/test_plotting.py",
    "labels.hide_labels": "takes a Split: tests/test_labels.py",
    "latent.Codes.shape": "a Split: tests/test_semi_supervised.py",
    "latent.Codes.to": "a Split: tests/test_semi_supervised.py",
    "latent.Codes.subset": "a Split: tests/test_semi_supervised.py",
    "pixels.Backdrop": "its fields come from backdrop",
    "widgets.Explorer": "made by explore",
    "widgets.Sketch": "made by sketch",
}
for space in (inputs, latent.latent_checks):
    EXEMPT |= {name: CHECKS_ARE_TESTED for name in public(space.__name__.partition(".")[2]) if ".check_" in name}
LIVE = "needs a live widget: tests/test_widgets.py, tests/test_sketch.py"
COMMON = ("values", "redraw", "errors_shown", "close")
EXEMPT |= {f"widgets.Explorer.{name}": LIVE for name in (*COMMON, "reset")}
EXEMPT |= {f"widgets.Sketch.{name}": LIVE for name in (*COMMON, "clear", "show_example")}
if touch.available():
    CALLS |= {
        "touch.picture": (touch.picture, {"value": b"a PNG", "width": 3, "alt": "a map"}),
        "touch.canvas": (touch.canvas, {"side": 3, "alt": "a square"}),
        "touch.Picture.on_point": (
            lambda **given: touch.picture(b"a PNG", 3).on_point(**given),
            {"callback": print},
        ),
        "touch.Canvas.on_ink": (lambda **given: touch.canvas().on_ink(**given), {"callback": print}),
    }


@pytest.fixture(autouse=True)
def tidy(tmp_path, monkeypatch):
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    yield
    widgets.panel._panels.clear()
    ipywidgets.Widget.close_all()
    plt.close("all")


@pytest.mark.parametrize("name", CALLS)
def test_it_works_or_says_which_argument_is_wrong(name):
    check(*CALLS[name])


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_has_an_entry(module):
    assert public(module) == listed(module, CALLS, EXEMPT)


def test_no_module_is_left_out():
    covered = [module for names in COVERED.values() for module in names]
    assert sorted([*covered, *ELSEWHERE]) == sorted(modules())
