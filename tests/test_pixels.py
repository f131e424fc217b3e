"""Pictures put together by pixels: where things lie, and the way back from a pixel to coordinates."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from vae_utils import pixels, plotting

matplotlib.use("Agg")
WHITE = np.full((4, 6, 3), 255, np.uint8)


def test_enlarge_repeats_pixels_and_takes_every_kind_of_picture():
    grey = np.array([[0, 0.5], [1, 1.0]])
    big = pixels.enlarge(grey, 3)
    assert big.shape == (6, 6, 3) and big.dtype == np.uint8
    assert (big[:3, 3:] == 128).all() and (big[3:, 3:] == 255).all() and (big[:3, :3] == 0).all()
    np.testing.assert_array_equal(pixels.enlarge(torch.tensor(grey), 3), big)
    np.testing.assert_array_equal(pixels.enlarge(big), big)
    with pytest.raises(ValueError, match=r"must be \[H, W\] or \[H, W, 3\], not \[1, 28, 28\]"):
        pixels.enlarge(np.zeros((1, 28, 28)))
    with pytest.raises(ValueError, match="scale asks for a picture of 200000 x 200000 pixels"):
        pixels.enlarge(grey, 100_000)


@pytest.mark.parametrize("value", [-0.1, 2.0, np.nan])
def test_values_outside_0_to_1_are_refused(value):
    wrong = np.full((3, 3), value)
    for function in (pixels.enlarge, pixels.beside, pixels.stack, lambda p: pixels.outline(p, 0, 0, 1)):
        with pytest.raises(ValueError, match=r"picture.* must lie in \[0, 1\], not"):
            function(wrong)
    with pytest.raises(ValueError, match="shares"):
        pixels.bars([value], ["0"])


def test_beside_and_stack_keep_every_picture_whole():
    dark, light = np.zeros((2, 3, 3), np.uint8), np.full((4, 1, 3), 200, np.uint8)
    row = pixels.beside(dark, light, gap=5)
    assert row.shape == (4, 9, 3)
    assert (row[:2, :3] == 0).all() and (row[:, 8:] == 200).all() and (row[2:, :8] == 255).all()
    column = pixels.stack(dark, light, gap=5)
    assert column.shape == (11, 3, 3)
    assert (column[:2] == 0).all() and (column[7:, :1] == 200).all() and (column[2:7] == 255).all()


def test_text_is_there_and_as_wide_as_asked():
    line = pixels.text("needs 93 nats")
    assert (line < 128).any() and line.shape[1] == pytest.approx(100, abs=25)
    assert pixels.text("needs 93 nats", width=40).shape[1] == 40
    assert pixels.text("a", size=28).shape[0] == 2 * pixels.text("a", size=14).shape[0] - 1


def test_bars_are_as_long_as_their_shares():
    sheet = pixels.bars([0.0, 0.5, 1.0], ["0", "1", "none"], width=101)
    lengths = [(sheet[20 * k + 10, -101:] != 255).any(-1).sum() for k in range(3)]
    assert lengths == [1, 51, 101]
    torch.testing.assert_close(torch.tensor(pixels.bars(torch.tensor([0.0, 0.5, 1.0]), ["0", "1", "none"], width=101)),
                               torch.tensor(sheet))  # fmt: skip
    with pytest.raises(ValueError, match="2 labels need as many shares"):
        pixels.bars([1.0], ["0", "1"])


def test_the_key_shows_each_label_in_its_colour():
    sheet = pixels.key(["0", "1", "none"]).reshape(-1, 3)
    for k in range(2):
        assert (sheet == (np.array(plotting.DIGIT_COLORS[k]) * 255).round()).all(-1).any()
    assert pixels.key("0123").shape[1] > 1.5 * pixels.key("01").shape[1]


def test_outline_is_a_square_and_may_leave_the_picture():
    sheet = pixels.outline(WHITE.repeat(4, 0).repeat(4, 1), left=4, top=2, side=6)
    red = (sheet != 255).any(-1)
    assert red[2, 4:10].all() and red[7, 4:10].all() and red[2:8, 4].all() and red[2:8, 9].all() and red.sum() == 20
    assert pixels.outline(WHITE, left=-50, top=0, side=3).shape == WHITE.shape


@pytest.fixture(params=[False, True], ids=["linear", "logarithmic"])
def backdrop(request) -> pixels.Backdrop:
    figure, ax = plt.subplots(figsize=(4, 3), dpi=50)
    ax.set(xlim=(0.1, 10), ylim=(-3, 3), xscale="log" if request.param else "linear")
    drawn = pixels.backdrop(ax)
    plt.close(figure)
    return drawn


def test_a_mark_lies_where_its_point_is_found_again(backdrop):
    assert backdrop.pixels.shape == (150, 200, 3)
    for x, y in [(1.0, 0.0), (9.0, -2.5), (0.2, 2.9)]:
        marked = backdrop.mark(x, y)
        changed = (marked != backdrop.pixels).any(-1)
        left, top = changed.sum(0).argmax(), changed.sum(1).argmax()  # the two lines of the cross
        near_x, near_y = backdrop.point(left + 0.5, top + 0.5)
        steps = [abs(backdrop.point(left + d, top + d)[i] - v) for i, v in enumerate((near_x, near_y)) for d in (-1, 2)]
        assert abs(near_x - x) <= max(steps[:2]) and abs(near_y - y) <= max(steps[2:])
    assert (backdrop.pixels == backdrop.pixels).all() and backdrop.point(1, 1) is None


def test_the_corners_of_the_axes_are_its_limits(backdrop):
    x0, y0, x1, y1 = backdrop.frame.extents
    height = len(backdrop.pixels)
    inside = 1e-6  # of a pixel: on the very corner, rounding decides
    np.testing.assert_allclose(backdrop.point(x0 + inside, height - y0 - inside), (0.1, -3), rtol=1e-5)
    np.testing.assert_allclose(backdrop.point(x1 - inside, height - y1 + inside), (10, 3), rtol=1e-5)
    assert backdrop.point(x0 - 1, height - y0) is None and backdrop.point(x1, height - y1 - 1) is None


def test_drawing_a_backdrop_leaves_the_figure_and_its_size_alone():
    figure, ax = plt.subplots(figsize=(3, 3), dpi=70)
    for _ in range(2):
        assert pixels.backdrop(ax).pixels.shape == (210, 210, 3)
    assert figure.dpi == 70 and list(figure.get_size_inches()) == [3, 3]
    plt.close(figure)


# ---- as it is stored


def stored(picture, most=64):
    made = pixels.few_colours(Image.fromarray(np.asarray(picture, dtype=np.uint8)), most)
    assert made.mode == "P" and len(made.getcolors()) <= max(256, most)
    return np.asarray(made.convert("RGB")).astype(int)


def test_the_ten_colours_of_the_classes_are_stored_exactly():
    rng = np.random.default_rng(0)
    sheet = rng.integers(0, 256, (120, 120, 3))  # of thousands of colours
    wanted = (255 * np.array(plotting.DIGIT_COLORS)).round().astype(int)
    for k, colour in enumerate(wanted):
        sheet[10 * k : 10 * k + 6, :40] = colour
    shown = stored(sheet)
    for k, colour in enumerate(wanted):
        assert (shown[10 * k : 10 * k + 6, :40] == colour).all(), k
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) <= 64 + 32


@pytest.mark.parametrize("most", [16, 64, 128])
def test_grey_stays_grey_and_near(most):
    rng = np.random.default_rng(1)
    sheet = rng.integers(0, 256, (80, 80, 3))
    ramp = np.linspace(0, 255, 40 * 80).round().astype(int).reshape(40, 80)
    sheet[:40] = ramp[..., None]
    shown = stored(sheet, most)[:40]
    assert (shown == shown[..., :1]).all() and np.abs(shown[..., 0] - ramp).max() <= 255 / (0.75 * most - 2) + 1
    assert shown[0, 0, 0] == 0 and shown[-1, -1, 0] == 255, "black and white are exact"


def test_few_colours_stay_what_they_are():
    sheet = np.zeros((16, 16, 3), dtype=np.uint8)
    sheet[..., 0], sheet[..., 1] = np.mgrid[:16, :16] * 16
    np.testing.assert_array_equal(stored(sheet), sheet)
