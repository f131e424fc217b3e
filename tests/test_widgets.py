"""Sliders, driven without a browser: the picture is always what the plain function draws, and nothing stays behind."""

import asyncio
import base64
import io
import threading
from functools import partial
from types import SimpleNamespace

import ipywidgets
import matplotlib
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from matplotlib import pyplot as plt
from PIL import Image

from vae_utils import pixels, widgets
from vae_utils.widgets import Slider, explore, panel, picture_bytes, touch

matplotlib.use("Agg")
VIEW = panel.VIEW
MEAN, WIDTH = Slider("mean of q", -3, 3, 0.1, 0.5), Slider("width, relative to p", 0.25, 2, 0.25, 1)
DIGIT = np.arange(12).reshape(4, 3) / 11


def live() -> dict:
    """Return the widgets that the kernel knows: ipywidgets 8 and 7 keep them in different places."""
    module = ipywidgets.widgets.widget
    return module._instances if hasattr(module, "_instances") else ipywidgets.Widget.widgets


@pytest.fixture(autouse=True)
def nothing_stays():
    """Close what a test made, and hold that nothing of it is left."""
    yield
    while panel._panels:
        panel._panels.popitem()[1].close()
    assert not live() and plt.get_fignums() == []


def curve(mean: float, width: float) -> plt.Figure:
    figure, ax = plt.subplots(figsize=(3, 2), dpi=60)
    x = np.linspace(-4, 4)
    ax.plot(x, np.exp(-(((x - mean) / width) ** 2) / 2))
    return figure


def shade(mean: float, width: float) -> np.ndarray:
    if mean < -2:
        raise ArithmeticError(f"<b>{mean}</b> is too far & away")
    return (mean + 3) / 6 * DIGIT / width / 4


def drawn(draw, **values: float) -> bytes:
    """Return the bytes of what the plain function draws."""
    data = picture_bytes(draw(**values))
    plt.close("all")
    return data


def counted(draw, calls: list):
    """Return a function that draws the same and records the values it gets."""
    return lambda mean, width: calls.append((mean, width)) or draw(mean, width)


def read(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("draw", [curve, shade])
def test_each_move_shows_what_the_plain_function_draws(draw):
    explorer = explore(draw, mean=MEAN, width=WIDTH)
    assert explorer.image.value == explorer.still == drawn(draw, mean=0.5, width=1)
    seen = {explorer.still}
    for name, value in [("mean", -1.2), ("width", 2), ("mean", 3)]:
        explorer.sliders[name].value = value
        assert explorer.values[name] == value and explorer.error.value == "" and plt.get_fignums() == []
        assert explorer.image.value == drawn(draw, **explorer.values)
        seen.add(explorer.image.value)
    assert len(seen) == 4


def test_a_slider_says_what_it_is_and_the_sliders_are_aligned():
    specs = {"mean": MEAN, "width": WIDTH, "n": Slider("images", 1, 9, 2, 3), "x": Slider("x", 0.05, 1, 0.1, 1)}
    explorer = explore(lambda **values: DIGIT, **specs)
    for slider, spec in zip(explorer.sliders.values(), specs.values(), strict=True):
        assert (slider.description, slider.min, slider.max, slider.step) == (spec.label, spec.low, spec.high, spec.step)
        assert slider.continuous_update and slider.style.description_width == "19ch"  # 0.85 * 20 letters + 2
    assert [slider.readout_format for slider in explorer.sliders.values()] == [".1f", ".2f", "d", ".2f"]
    left, image = explorer.box.children
    assert left.children == (*explorer.sliders.values(), explorer.row, explorer.error) and image is explorer.image


def test_a_move_of_several_sliders_draws_once_and_stays_between_the_ends():
    explorer = explore(counted(shade, calls := []), mean=MEAN, width=WIDTH)
    explorer.move(mean=2, width=99)
    assert calls == [(0.5, 1), (2, 2)] and explorer.image.value == drawn(shade, mean=2, width=2)
    with pytest.raises(ValueError, match="values must be of the sliders mean, width, not of 'height'"):
        explorer.move(height=1)
    explorer.sliders["mean"].value = 1
    assert calls[2:] == [(1, 2)], "after a mistake the sliders still draw"


def test_reset_brings_the_still_back_and_draws_once():
    explorer = explore(counted(curve, calls := []), mean=MEAN, width=WIDTH)
    explorer.move(mean=-1, width=0.5)
    assert explorer.image.value != explorer.still
    explorer.row.children[0].click()
    assert calls[2:] == [(0.5, 1)] and explorer.image.value == explorer.still


def test_a_further_button_moves_the_sliders_that_it_names_and_no_others():
    panel = explore(shade, mean=MEAN, width=WIDTH, buttons={"Again": ["width"], "Both": ["mean", "width"]})
    assert [button.description for button in panel.row.children] == ["Reset", "Random", "Again", "Both"]
    again, both = panel.row.children[2:]
    for _ in range(10):
        before = panel.values
        again.click()
        assert panel.values["mean"] == before["mean"] and panel.values["width"] != before["width"], "always another one"
        assert panel.image.value == drawn(shade, **panel.values)
    both.click()
    assert panel.values["mean"] != before["mean"]
    twin = explore(curve, mean=MEAN, width=WIDTH, buttons={"Again": ["width"]})
    twin.row.children[2].click()
    assert twin.values["width"] != WIDTH.value


def test_random_never_leaves_everything_where_it_is():
    panel = explore(curve, mean=Slider("mean", 0, 1, 1, 0), width=Slider("width", 1, 2, 1, 1))
    for _ in range(30):  # each would stand still once in four times
        before = panel.values
        panel.row.children[1].click()
        assert panel.values != before and panel.image.value == drawn(curve, **panel.values)


@pytest.mark.parametrize("names", [["depth"], ["mean", "depth"], [], "mean"])
def test_a_button_for_what_is_no_slider_is_refused(names):
    with pytest.raises(ValueError, match="button 'Again' must have a list of sliders among mean, width, not"):
        explore(shade, mean=MEAN, width=WIDTH, buttons={"Again": names})


def test_random_stays_on_the_grid_reaches_its_ends_and_repeats():
    runs = []
    for _ in range(2):
        sliders = {"mean": Slider("mean", -0.3, 0.4, 0.1, 0), "width": Slider("width", 1, 4, 1, 2)}
        explorer = explore(counted(shade, calls := []), **sliders)
        for _ in range(60):
            explorer.row.children[1].click()
        assert explorer.image.value == drawn(shade, **explorer.values)
        runs.append(calls)
    assert runs[0] == runs[1] and len(runs[0]) == 61, "one draw for each click"
    assert {(type(mean), type(width)) for mean, width in runs[0]} == {(float, int)}, "at the start as well"
    means, widths = zip(*runs[0], strict=True)
    assert set(means) == {-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4}, "no 0.30000000000000004"
    assert set(widths) == {1, 2, 3, 4}


def test_the_bundle_holds_a_sentence_the_still_and_the_live_sliders():
    explorer = explore(shade, mean=MEAN, width=Slider("width", 1, 4, 1, 2))
    explorer.sliders["mean"].value = 2
    bundle, _ = DisplayFormatter().format(explorer)
    assert bundle.pop("text/plain") == repr(explorer) == "Sliders: mean of q, width (run the notebook to move them)"
    stored = Image.open(io.BytesIO(base64.b64decode(bundle.pop("image/png")))).convert("L")  # it has a palette
    assert (np.asarray(stored) == read(drawn(shade, mean=0.5, width=2))).all()
    assert bundle == {VIEW: {"version_major": 2, "version_minor": 0, "model_id": explorer.box.model_id}}
    assert live()[explorer.box.model_id] is explorer.box
    explorer.close()
    assert VIEW not in explorer._repr_mimebundle_()[0]


def test_an_error_is_shown_the_picture_stays_and_the_next_good_draw_clears_it():
    explorer = explore(shade, mean=MEAN, width=WIDTH)
    explorer.sliders["mean"].value = -2.5
    assert explorer.image.value == explorer.still and "<b>" not in explorer.error.value
    for part in ("ArithmeticError", "&lt;b&gt;-2.5&lt;/b&gt; is too far &amp; away", "shade(mean=-2.5, width=1.0)"):
        assert part in explorer.error.value
    explorer.sliders["mean"].value = 1
    assert explorer.error.value == "" and explorer.image.value == drawn(shade, mean=1, width=1)


def test_an_error_at_the_first_values_is_raised_and_leaves_nothing():
    explore(shade, mean=MEAN, width=WIDTH)
    with pytest.raises(ArithmeticError, match="too far"):
        explore(shade, mean=Slider("mean", -3, 3, 1, -3), width=WIDTH)
    assert not live()


def test_figures_are_closed_whatever_happens_and_those_of_others_are_not():
    mine = plt.figure()

    def broken(mean):
        if curve(mean, 1) and mean > 2:
            raise ValueError("half-way")
        return np.full((2, 2), np.nan) if mean < -2 else mine

    explorer = explore(broken, mean=MEAN)
    for value, expected in [(1, ""), (2.5, "half-way"), (-2.5, "not finite")]:
        explorer.sliders["mean"].value = value
        assert expected in explorer.error.value and plt.get_fignums() == [mine.number]
    plt.close(mine)


def test_sliders_that_do_not_fit_the_function_are_refused():
    for sliders, message in [
        ({"mean": MEAN}, r"shade\(mean: float.*the sliders mean do not match, missing .* 'width'"),
        ({"mean": MEAN, "width": WIDTH, "height": MEAN}, "unexpected keyword argument 'height'"),
        ({}, "explore needs sliders, not none"),
        ({"mean": MEAN, "width": 1}, "explore needs sliders, not width"),
    ]:
        with pytest.raises(TypeError, match=message):
            explore(shade, **sliders)


def test_a_slider_that_cannot_be_is_refused():
    for message, wrong in {
        "'mean' must have low < high, not 3": [(3, -3, 1, 0), (3, 3, 1, 3)],
        r"'mean' must have a step in \(0, 6\], not ": [(-3, 3, 0, 0), (-3, 3, -1, 0), (-3, 3, 7, 0)],
        r"'mean' must start at a value in \[-3, 3\], not ": [(-3, 3, 1, 4), (-3, 3, 1, -4)],
        "high must be a finite number": [(3, np.nan, 1, 3), (3, np.inf, 1, 3)],
        "step must be a finite number": [(-3, 3, np.nan, 0), (-3, 3, np.inf, 0)],
        "value must be a finite number": [(-3, 3, 1, np.nan)],
    }.items():
        for numbers in wrong:
            with pytest.raises(ValueError, match=message):
                Slider("mean", *numbers)


@pytest.mark.parametrize("draw", [curve, shade])
def test_running_a_cell_again_leaves_one_set_of_widgets(draw):
    counts, explorers = [], []
    for _ in range(5):
        explorers.append(explore(draw, mean=MEAN, width=WIDTH))
        counts.append(len(live()))
    assert len(set(counts)) == 1 and plt.get_fignums() == []
    for explorer in explorers:
        explorer.sliders["mean"].value = 1
    assert [explorer.image.value == explorer.still for explorer in explorers] == [True] * 4 + [False], "who listens"


def test_other_functions_other_names_and_other_cells_keep_their_sliders(monkeypatch):
    cell = {"cellId": "a"}
    kernel = SimpleNamespace(get_parent=lambda: {"metadata": cell})
    monkeypatch.setattr(panel, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    kept = [explore(shade, mean=MEAN, width=WIDTH), explore(curve, mean=MEAN, width=WIDTH)]
    kept += [explore(partial(shade, width=1), mean=MEAN), explore(partial(shade, mean=1), width=WIDTH)]
    cell["cellId"] = "b"
    kept += [explore(shade, mean=MEAN, width=WIDTH) for _ in range(2)]
    assert [VIEW in explorer._repr_mimebundle_()[0] for explorer in kept] == [True] * 4 + [False, True]


def test_arrays_tensors_and_images_of_the_same_picture_give_the_same_bytes():
    pixels = (DIGIT * 255).round().astype(np.uint8)
    expected = picture_bytes(pixels, 2)
    np.testing.assert_array_equal(read(expected), pixels.repeat(2, 0).repeat(2, 1))
    others = [DIGIT, torch.tensor(DIGIT, requires_grad=True), torch.from_numpy(pixels), Image.fromarray(pixels)]
    assert all(picture_bytes(other, 2) == expected for other in others)
    colours = np.stack([DIGIT, 1 - DIGIT, DIGIT / 2], axis=-1)
    np.testing.assert_array_equal(read(picture_bytes(colours, 1)), (colours * 255).round())
    assert read(picture_bytes(DIGIT > 0.5, 1)).tolist() == ((DIGIT > 0.5) * 255).tolist()
    for value in (-2, 7, np.inf):
        with pytest.raises(ValueError, match=r"picture must lie in \[0, 1\], not"):
            picture_bytes(np.array([[0.5, value]]))


def test_the_scale_is_as_asked_or_fills_a_square():
    shapes = [read(picture_bytes(np.zeros((28, w)), scale)).shape for w, scale in [(28, 3), (28, None), (400, None)]]
    assert shapes == [(84, 84), (308, 308), (28, 400)]
    assert explore(shade, scale=7, mean=MEAN, width=WIDTH).image.layout.width == "21px"
    for scale in (0, -1, 1.5, MEAN):
        with pytest.raises((ValueError, TypeError), match="scale must be a whole number of at least 1, not"):
            picture_bytes(DIGIT, scale)
    with pytest.raises(ValueError, match="scale asks for a picture of 400000 x 300000 pixels"):
        picture_bytes(DIGIT, 100_000)


def test_a_figure_keeps_its_size_and_its_bytes_say_neither_when_nor_with_what():
    data = drawn(curve, mean=0, width=1)
    assert data == drawn(curve, mean=0, width=1) == drawn(lambda: curve(0, 1).axes[0])
    assert read(data).shape[:2] == (120, 180) and b"tEXt" not in data


def test_what_is_no_picture_is_refused():
    shapes = [(3,), (1, 28, 28), (2, 2, 4), (0, 3)]
    wrong = [(np.zeros(shape), rf"not \[{', '.join(map(str, shape))}\]: squeeze it") for shape in shapes]
    wrong += [(None, "not None: does draw return it"), ("text", "not text"), (np.array([[1, 2]]), "not torch.int64")]
    for picture, message in [*wrong, (torch.tensor([[0.0, torch.nan]]), "not values that are not finite")]:
        with pytest.raises((ValueError, TypeError), match=f"picture must .*{message}"):
            picture_bytes(picture)


def pointed(x: float, y: float) -> dict[str, float] | None:
    return None if y > 100 else {"mean": x / 100, "width": 1 + y / 100}


@pytest.mark.parametrize("with_library", [True, False])
def test_a_press_on_the_picture_moves_the_sliders_and_draws_once(with_library, monkeypatch):
    if not with_library:
        monkeypatch.setattr(touch, "anywidget", None)
    elif not touch.available():
        pytest.skip("anywidget is not installed")
    explorer = explore(counted(curve, calls := []), click=pointed, mean=MEAN, width=WIDTH)
    assert isinstance(explorer.image, touch.Picture) == with_library
    if with_library:
        explorer.image._receive(explorer.image, {"point": [0.5, 0.5]}, [])
    else:
        explorer.click(0.5, 0.5)
    assert calls == [(0.5, 1), (0.9, 1.6)], "the figure is 180 by 120 pixels"
    assert explorer.image.value == drawn(curve, **explorer.values)
    explorer.click(0.5, 0.99)
    assert len(calls) == 2, "nothing lies there"


def test_what_a_press_raises_is_shown(monkeypatch):
    def wrong(x, y):
        return {"height": 1} if x < 0.1 else {"mean": -2.5}

    explorer = explore(shade, click=wrong, mean=MEAN, width=WIDTH)
    for across, expected in [(0, "KeyError"), (0.9, "ArithmeticError")]:
        explorer.click(across, 0.5)
        assert expected in explorer.error.value and explorer.image.value == explorer.still
    explorer.reset()
    assert explorer.error.value == ""


def test_a_picture_that_can_be_pressed_tells_colab_where_its_code_is(monkeypatch):
    explorer = explore(shade, click=pointed, mean=MEAN, width=WIDTH)
    plain = explore(curve, mean=MEAN, width=WIDTH)
    metadata = {VIEW: {"colab": {"custom_widget_manager": {"url": "somewhere"}}}}
    monkeypatch.setattr(touch.Touched, "_repr_mimebundle_", lambda self: ({}, metadata), raising=False)
    assert explorer._repr_mimebundle_()[1] == (metadata if touch.available() else {})
    assert plain._repr_mimebundle_()[1] == {}


def test_what_a_notebook_stores_is_small_and_looks_the_same():
    def seen(png):
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(float)

    few = widgets.still(DIGIT, 2)
    np.testing.assert_array_equal(seen(few.data), seen(picture_bytes(DIGIT, 2)), "few colours stay as they are")
    grey = pixels.stack(pixels.enlarge(DIGIT, 9), pixels.text("grey"))
    assert np.abs(seen(widgets.still(grey, 1).data) - grey).max() <= 6
    y, x = np.mgrid[:200, :200] / 200
    many = np.stack([x, y, x * y], axis=-1) + np.random.default_rng(0).normal(0, 0.02, (200, 200, 3))
    many = many.clip(0, 1)
    stored = widgets.still(many).data
    assert len(stored) < len(picture_bytes(many)) / 2
    assert np.abs(seen(stored) - 255 * many).mean() < 12
    explorer = explore(lambda mean: many.clip(0, mean), mean=Slider("mean", 0, 1, 0.1, 1))
    assert base64.b64decode(explorer._repr_mimebundle_()[0]["image/png"]) == stored
    assert explorer.image.value == picture_bytes(many), "under a live slider it is exact"


def test_a_picture_is_drawn_in_the_main_thread_and_its_error_comes_back(monkeypatch):
    """Where a kernel answers sliders in another thread; matplotlib is not for several at once."""
    loop, threads = asyncio.new_event_loop(), []
    kernel = SimpleNamespace(io_loop=SimpleNamespace(add_callback=loop.call_soon_threadsafe), get_parent=dict)
    monkeypatch.setattr(panel, "get_ipython", lambda: SimpleNamespace(kernel=kernel))

    def noted(mean):
        threads.append(threading.current_thread())
        return shade(mean, 1)

    explorer = explore(noted, mean=MEAN)
    for value, error in [(1.5, ""), (-2.5, "too far")]:
        move = loop.run_in_executor(None, setattr, explorer.sliders["mean"], "value", value)
        loop.run_until_complete(asyncio.wait_for(move, 60))
        assert error in explorer.error.value and explorer.image.value == drawn(shade, mean=1.5, width=1)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert threads == [threading.main_thread()] * 3
