"""Pictures to press on and the square to draw on, without a browser: what it would send is handed to the handler."""

import importlib.util
import itertools
import sys

import ipywidgets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from vae_utils.widgets import touch

with_anywidget = pytest.mark.skipif(not touch.available(), reason="anywidget is not installed")
PNG = b"\x89PNG\r\n\x1a\n and more"
SIZE = touch.GRID**2
DRAWN = bytes(itertools.islice(itertools.cycle(range(256)), SIZE))


def live() -> dict:
    """Return the widgets that the kernel knows: ipywidgets 8 and 7 keep them in different places."""
    module = ipywidgets.widgets.widget
    return module._instances if hasattr(module, "_instances") else ipywidgets.Widget.widgets


@pytest.fixture
def made(monkeypatch):
    """A list of widgets, closed in the end, after which nothing may be left of them."""
    monkeypatch.setattr(touch.Touched, "send", lambda self, content, buffers=None: sent(self).append(content))
    before, widgets = set(live()), []
    yield widgets
    for widget in widgets:
        widget.close()
    assert set(live()) == before


def sent(widget: touch.Touched) -> list:
    """Return what the kernel has sent to the browser, apart from traits."""
    return widget.__dict__.setdefault("sent", [])


@pytest.fixture
def picture(made) -> touch.Picture:
    made.append(touch.picture(PNG, 320, "a map"))
    return made[-1]


@pytest.fixture
def canvas(made) -> touch.Canvas:
    made.append(touch.canvas())
    return made[-1]


def press(widget: touch.Touched, point: object) -> None:
    widget._handle_custom_msg({"point": point}, [])


def draw(widget: touch.Touched, data: bytes = DRAWN, shape: object = (touch.GRID, touch.GRID)) -> None:
    widget._handle_custom_msg({"ink": list(shape)}, [memoryview(data)])


@with_anywidget
def test_a_picture_shows_bytes_as_wide_as_told_and_never_wider_than_its_place(picture):
    assert picture.value == PNG and picture.alt == "a map"
    assert (picture.layout.width, picture.layout.max_width) == ("320px", "100%")
    state, buffers = picture.get_state(), [picture.get_state()["value"]]
    assert bytes(buffers[0]) == PNG and "vae-picture" in state["_esm"] and {"_model_name", "layout"} <= state.keys()


@with_anywidget
def test_points_arrive_in_order_as_floats_and_each_is_answered(picture):
    points = []
    picture.on_point(lambda across, down: points.append((across, down)))
    for point in ([0.25, 0.75], [0, 1], [0.5, 0.5]):
        press(picture, point)
    assert points == [(0.25, 0.75), (0.0, 1.0), (0.5, 0.5)] and all(type(v) is float for p in points for v in p)
    assert sent(picture) == [{"done": True}] * 3


@with_anywidget
def test_an_answer_comes_after_the_new_picture(picture):
    picture.on_point(lambda across, down: (sent(picture).append("drawn"), setattr(picture, "value", b"new")))
    press(picture, [0.1, 0.2])
    assert sent(picture) == ["drawn", {"done": True}] and picture.value == b"new"


@with_anywidget
@pytest.mark.parametrize("point", [None, [], [0.5], [0.1, 0.2, 0.3], ["0", 0.2], [True, 0.5], [float("nan"), 0], "ab"])
def test_a_malformed_point_is_ignored_but_answered(picture, point):
    picture.on_point(lambda *point: pytest.fail(f"called with {point}"))
    press(picture, point)
    assert sent(picture) == [{"done": True}], "or the browser would wait for ever"


@with_anywidget
@pytest.mark.parametrize("content", [None, {}, [], "point", {"kind": "anywidget-command"}])
def test_what_is_not_for_us_is_neither_used_nor_answered(picture, canvas, content):
    for widget in (picture, canvas):
        widget._receive(widget, content, [])
        assert sent(widget) == []


@with_anywidget
@given(across=st.floats(-2, 3), down=st.floats(-2, 3))
def test_points_never_leave_the_picture(across, down):
    widget = touch.picture(PNG, 10)
    try:
        widget.on_point(lambda *point: points.append(point))
        points = []
        press(widget, [across, down])
        assert points == [(min(max(across, 0), 1), min(max(down, 0), 1))]
    finally:
        widget.close()


@with_anywidget
def test_a_callback_that_raises_does_not_stop_the_answers(picture):
    picture.on_point(lambda across, down: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        picture._receive(picture, {"point": [0.5, 0.5]}, [])
    assert sent(picture) == [{"done": True}]


@with_anywidget
def test_a_canvas_is_black_at_first_and_says_what_the_keyboard_can_do(canvas):
    assert canvas.shape == (112, 112) and canvas.grey.dtype == np.uint8 and not canvas.grey.any()
    assert "upload" in canvas.alt.lower() and (canvas.layout.width, canvas.layout.max_width) == ("280px", "100%")
    assert "vae-canvas" in canvas.get_state()["_esm"]


@with_anywidget
def test_ink_arrives_row_by_row_and_belongs_to_whoever_gets_it(canvas):
    drawings = []
    canvas.on_ink(drawings.append)
    draw(canvas)
    assert np.array_equal(drawings[0], np.arange(SIZE).reshape(canvas.shape) % 256)
    drawings[0][:] = 0
    assert canvas.ink == DRAWN and canvas.grey.tobytes() == DRAWN and sent(canvas) == [{"done": True}]


@with_anywidget
@pytest.mark.parametrize(
    ("content", "buffers"),
    [
        ({"ink": [112, 112]}, []),
        ({"ink": [112, 112]}, [DRAWN[:-1]]),
        ({"ink": [112, 112]}, [DRAWN, DRAWN]),
        ({"ink": [SIZE, 1]}, [DRAWN]),
        ({"ink": "112"}, [DRAWN]),
        ({"point": [0.5, 0.5]}, []),
    ],
)
def test_malformed_ink_is_ignored_but_answered(canvas, content, buffers):
    canvas.on_ink(lambda grey: pytest.fail("called"))
    canvas._handle_custom_msg(content, buffers)
    assert not canvas.grey.any() and sent(canvas) == [{"done": True}]


@with_anywidget
def test_clear_wipes_here_and_there_without_a_call(canvas):
    draw(canvas)
    canvas.on_ink(lambda grey: pytest.fail("called"))
    canvas.clear()
    canvas.clear()
    assert not canvas.grey.any() and sent(canvas) == [{"done": True}, {"clear": True}, {"clear": True}]


@with_anywidget
def test_ink_of_another_size_is_refused(canvas):
    with pytest.raises(TraitError, match=r"112\*\*2 bytes, one a pixel, not 3"):
        canvas.ink = b"abc"
    canvas.ink = DRAWN
    assert canvas.grey.tobytes() == DRAWN


@with_anywidget
def test_a_closed_widget_calls_nobody_and_may_be_closed_again_or_from_a_callback(picture, canvas):
    canvas.on_ink(lambda grey: pytest.fail("called"))
    canvas.close()
    draw(canvas)
    picture.on_point(lambda across, down: picture.close())
    press(picture, [0.5, 0.5])
    canvas.close()
    assert sent(canvas) == sent(picture) == [] and not {picture, canvas} & set(live().values())


@with_anywidget
@pytest.mark.parametrize("pixels", [0, -3, 2.5, "320", None, True])
def test_a_size_that_is_none_is_refused(made, pixels):
    with pytest.raises(ValueError, match="width must be a whole number of pixels, at least 1, not"):
        touch.picture(PNG, pixels)
    with pytest.raises(ValueError, match="side must be a whole number of pixels, at least 1, not"):
        touch.canvas(pixels)


@with_anywidget
def test_what_cannot_be_called_is_refused_when_it_is_told(picture, canvas):
    for tell in (picture.on_point, canvas.on_ink):
        with pytest.raises(TypeError, match="callback must be a function, not int 3: pass it without calling it"):
            tell(3)


def test_without_anywidget_the_module_imports_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    spec = importlib.util.spec_from_file_location("touch_alone", touch.__file__)
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert not alone.available()
    for make in (lambda: alone.picture(PNG, 320), alone.canvas):
        with pytest.raises(ImportError, match="pip install anywidget"):
            make()
    monkeypatch.setattr(touch, "anywidget", None)
    assert not touch.available()
