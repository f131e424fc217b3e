"""Every panel of every notebook, in a real JupyterLab: what is shown is what the plain function draws."""

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from panels import Panel, has_panel, panels, with_panels
from PIL import Image, ImageDraw
from recording import record

from tools.files import ROOT
from tools.lab import EVIDENCE
from tools.lab_notebook import opened

KEYS = ("ArrowRight", "ArrowLeft", "ArrowLeft", "PageUp", "PageDown", "End", "ArrowLeft", "Home", "ArrowRight")
RECORD = os.environ.get("VAE_RECORD")  # a file to record a panel into, as an animated GIF
RECORDED = ("05_exploring_latent_space", 1)  # that panel: its notebook, and its place among the panels there


# The tests of one notebook stay together where workers share the run: -n 2 --dist loadgroup.
NOTEBOOKS = [pytest.param(stem, marks=pytest.mark.xdist_group(stem)) for stem in with_panels(ROOT / "notebooks")]


@pytest.fixture(scope="module", params=NOTEBOOKS)
def notebook(request, browser, server):
    """A notebook that has just run, from the first cell to the last."""
    with opened(browser, server, request.param, EVIDENCE) as notebook:
        notebook.run_all()
        yield notebook


@pytest.fixture(scope="module")
def shown(notebook) -> list[Panel]:
    """The panels of the notebook; their first values are known before anything moves them."""
    return panels(notebook)


@pytest.fixture
def each(shown):
    """The panels one after another, each scrolled to."""
    return (panel for panel in shown if panel.show() is None)


def sliding(panels: Iterable[Panel]) -> Iterator[Panel]:
    """Yield the panels that have sliders."""
    return (panel for panel in panels if panel.labels)


def reset(panel: Panel) -> None:
    panel.press(panel.labels[0], "ArrowRight") or panel.press(panel.labels[0], "ArrowLeft")
    assert panel.settle() != panel.still
    panel.reset()
    assert panel.settle() == panel.still


def randomize(panel: Panel) -> None:
    before = panel.values
    panel.click("Random")
    panel.wait_for(lambda values: values != before, "Random was pressed")
    panel.settle()


def again(panel: Panel) -> None:
    before, picture = panel.values, panel.settle()
    panel.click("Fresh completions")
    after = panel.wait_for(lambda values: values != before, "Fresh completions was pressed")
    assert len(before.items() - after.items()) == 1, "of the sliders, only that of the draw moves"
    assert panel.settle() != picture


def upload(panel: Panel) -> None:
    before, source = panel.settle(), panel.source
    picture = Image.new("L", (40, 40), "white")
    ImageDraw.Draw(picture).line([(12, 8), (28, 8), (16, 32)], fill="black", width=4)  # a 7
    picture.save(stored := io.BytesIO(), "PNG")
    with panel.notebook.page.expect_file_chooser() as chooser:
        panel.click("Upload a picture")
    chooser.value.set_files({"name": "seven.png", "mimeType": "image/png", "buffer": stored.getvalue()})
    panel.wait_for_another(source)
    assert panel.settle() != before


def example(panel: Panel) -> None:
    source = panel.source
    panel.click("Example")
    panel.wait_for_another(source)
    assert panel.settle() == panel.still


def clear(panel: Panel) -> None:
    before = panel.settle()
    panel.click("Clear")
    assert panel.settle() == before, "the picture stays until there is new ink"


# What each button should do, in the order in which they are pressed.
BUTTONS = {
    "Random": randomize,
    "Fresh completions": again,
    "Reset": reset,
    "Upload a picture": upload,
    "Clear": clear,
    "Example": example,
}


def test_first_the_still_is_shown(each):
    for panel in each:
        assert panel.settle() == panel.picture == panel.still


def test_each_slider_obeys_the_keyboard(each):
    for panel in each:
        for label in panel.labels:
            panel.reset()  # from one picture to the same, say, a third slider has nothing to change
            pictures = {panel.settle()}
            for key in KEYS:
                panel.press(label, key)
                pictures.add(panel.settle())
            assert len(pictures) > 1, f"{label!r} changes nothing"


def test_a_key_held_down_ends_at_the_right_picture(each):
    for panel in sliding(each):
        panel.press(panel.labels[-1], "Home")
        for _ in range(20):  # faster than the kernel draws
            panel.slider(panel.labels[-1]).press("ArrowRight")
        panel.settle()


def test_a_slider_obeys_the_mouse(each):
    for panel in sliding(each):
        panel.reset()  # where another slider stands at its end, this one may have nothing to change
        label = panel.labels[0]
        panel.press(label, "Home")
        before, picture = panel.values[label], panel.settle()
        panel.drag(label, pixels=100)  # more than half a step of a slider that has three
        assert panel.values[label] != before and panel.settle() != picture


def test_a_press_on_a_picture_moves_the_sliders_to_that_place(each):
    for panel in each:
        if panel.pointed is not None:
            before = panel.settle()
            for share in ((0.2, 0.4), (0.3, 0.6)):
                wanted = panel.place(*share)
                panel.point([share])
                panel.wait_for(lambda values, wanted=wanted: wanted.items() <= values.items(), f"{share} was pressed")
            assert panel.settle() != before
            panel.point([(0.2, 0.4), (0.35, 0.5)])  # a drag ends where it ends
            wanted = panel.place(0.35, 0.5)
            panel.wait_for(lambda values, wanted=wanted: wanted.items() <= values.items(), "the pointer was dragged")
            panel.settle()


def test_a_drawing_is_drawn_for(each):
    for panel in each:
        if panel.canvas is not None:
            before, source = panel.settle(), panel.source
            panel.stroke([(0.3, 0.2), (0.7, 0.2), (0.4, 0.8)])  # a 7
            panel.wait_for_another(source)
            assert panel.settle() != before
            panel.click("Clear")
            panel.wait_for_black()


def test_each_button_does_what_it_says(each):
    for panel in each:
        assert set(panel.buttons) <= set(BUTTONS), "nothing is said here of what a button should do"
        for name in BUTTONS:
            if name in panel.buttons:
                BUTTONS[name](panel)


if RECORD:

    def test_the_recording(notebook, shown):
        stem, place = RECORDED
        if notebook.stem == stem:
            record(shown[place], Path(RECORD))


def test_at_last_all_is_quiet(notebook, each):
    for panel in each:
        panel.settle()
    assert notebook.noise == []
    outputs = [output for cell in notebook.cells() if has_panel(cell) for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
