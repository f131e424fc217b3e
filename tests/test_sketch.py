"""A canvas and an upload, driven without a browser: the picture is what the plain function draws of the ink."""

import io
import sys

import ipywidgets
import numpy as np
import pytest
from PIL import Image

from vae_utils.handwriting import read_digit
from vae_utils.widgets import panel, picture_bytes, sketch, touch

EXAMPLE = np.zeros((112, 112), np.uint8)
EXAMPLE[20:90, 50:60] = 255


@pytest.fixture(autouse=True)
def nothing_stays():
    yield
    while panel._panels:
        panel._panels.popitem()[1].close()


@pytest.fixture(params=[True, False], ids=["canvas", "upload alone"])
def with_canvas(request, monkeypatch) -> bool:
    if not request.param:
        monkeypatch.setattr(touch, "anywidget", None)
    elif not touch.available():
        pytest.skip("anywidget is not installed")
    return request.param


def shrink(ink):
    if ink.mean() > (0.6 if ink.dtype.kind == "f" else 150):
        raise ArithmeticError("too much ink")
    return ink[::2, ::2]


def photo(box: tuple[int, int, int, int]) -> bytes:
    """Return a PNG of a dark stroke on light paper."""
    paper, stored = Image.new("L", (140, 140), 230), io.BytesIO()
    paper.paste(30, box)
    paper.save(stored, "PNG")
    return stored.getvalue()


def upload(widget: ipywidgets.FileUpload, content: bytes) -> None:
    """Do what the browser does when a reader chooses a file, in either version of ipywidgets."""
    file = {"name": "seven.png", "type": "image/png", "size": len(content), "content": content}
    if int(ipywidgets.__version__.split(".")[0]) >= 8:
        widget.value = ({**file, "last_modified": __import__("datetime").datetime(2026, 1, 1)},)
    else:
        widget.set_trait("value", {"seven.png": {"metadata": file, "content": content}})


def test_the_still_is_the_example_and_is_shown_without_a_kernel(with_canvas):
    pad = sketch(shrink, example=EXAMPLE)
    assert pad.still == pad.image.value == picture_bytes(shrink(EXAMPLE))
    bundle, _ = pad._repr_mimebundle_()
    assert bundle["text/plain"].startswith("A canvas to draw on") and panel.VIEW in bundle
    assert (pad.canvas is not None) == with_canvas


def test_a_reader_without_the_library_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(touch, "anywidget", None)
    pad = sketch(shrink, example=EXAMPLE)
    texts = [widget.value for widget in pad._widgets() if isinstance(widget, ipywidgets.HTML)]
    assert any("install anywidget" in text and "upload" in text for text in texts)


def test_an_uploaded_picture_is_read_and_drawn(with_canvas):
    pad = sketch(shrink, example=EXAMPLE)
    for box in [(60, 20, 75, 120), (20, 60, 120, 75)]:
        upload(pad.upload, photo(box))
        assert pad.error.value == "" and pad.image.value == picture_bytes(shrink(read_digit(photo(box))))
    assert pad.image.value != pad.still
    pad.row.children[2].click()
    assert pad.image.value == pad.still, "Example"


def test_a_file_that_is_no_picture_is_refused_in_words(with_canvas):
    pad = sketch(shrink, example=EXAMPLE)
    upload(pad.upload, b"no picture at all")
    assert "cannot be read" in pad.error.value and pad.image.value == pad.still
    upload(pad.upload, photo((60, 20, 75, 120)))
    assert pad.error.value == ""


def test_the_button_offers_what_can_be_read_and_other_formats_are_refused(with_canvas):
    pad = sketch(shrink, example=EXAMPLE)
    assert pad.upload.accept == ".png,.jpg,.jpeg"
    gif = io.BytesIO()
    Image.open(io.BytesIO(photo((60, 20, 75, 120)))).save(gif, "GIF")
    upload(pad.upload, gif.getvalue())
    assert "a picture, PNG or JPEG, was expected" in pad.error.value and pad.image.value == pad.still


def test_a_file_that_is_too_large_is_refused_before_it_is_opened(with_canvas, monkeypatch):
    pad, good = sketch(shrink, example=EXAMPLE), photo((60, 20, 75, 120))
    most = sys.modules[sketch.__module__].MOST_BYTES
    upload(pad.upload, good + bytes(most))  # which PIL would read: it ignores what follows a picture
    assert f"the file is too large ({most + len(good):,} bytes, and {most:,} are the most): make" in pad.error.value
    assert pad.image.value == pad.still
    upload(pad.upload, good)
    assert pad.error.value == ""


@pytest.mark.skipif(not touch.available(), reason="anywidget is not installed")
def test_each_stroke_is_drawn_and_what_the_function_raises_is_shown():
    pad = sketch(shrink, example=EXAMPLE)
    stroke = np.rot90(EXAMPLE).copy()
    pad.canvas._receive(pad.canvas, {"ink": [112, 112]}, [stroke.tobytes()])
    assert pad.image.value == picture_bytes(shrink(stroke)) and pad.error.value == ""
    pad.canvas._receive(pad.canvas, {"ink": [112, 112]}, [bytes([255]) * 112**2])
    assert "shrink(ink=&lt;112x112 values&gt;) raised ArithmeticError: too much ink" in pad.error.value
    assert pad.image.value == picture_bytes(shrink(stroke))
    pad.row.children[1].click()
    assert pad.error.value == "" and not pad.canvas.grey.any(), "Clear"
    pad.canvas._receive(pad.canvas, {"ink": [112, 112]}, [bytes(112**2)])
    assert pad.image.value == picture_bytes(shrink(stroke)), "an empty canvas is not drawn"


def test_running_the_cell_again_closes_the_first(with_canvas):
    first, second = (sketch(shrink, example=EXAMPLE) for _ in range(2))
    assert panel.VIEW not in first._repr_mimebundle_()[0] and panel.VIEW in second._repr_mimebundle_()[0]
