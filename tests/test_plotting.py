"""Pictures from arrays: every pixel where it belongs, on the axes given, with nothing global changed."""

import inspect

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from vae_utils import plotting

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def nothing_global(monkeypatch):
    """Hold that no helper shows a figure or changes the settings, and close the figures."""
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: pytest.fail("a helper must not show"))
    monkeypatch.setattr(plt.Figure, "savefig", lambda *args, **kwargs: pytest.fail("a helper must not save"))
    before = dict(plt.rcParams)
    yield
    plt.close("all")
    assert dict(plt.rcParams) == before


def numbered(n: int, channels: int = 1, h: int = 3, w: int = 2) -> np.ndarray:
    """Return images whose pixels are all different, between 0 and 1 (not included)."""
    count = n * channels * h * w
    return (np.arange(1, count + 1) / (count + 1)).reshape(n, channels, h, w)


# ---- tile


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gap", [0, 1, 4])
@pytest.mark.parametrize(
    ("n", "columns", "grid"), [(5, 2, (3, 2)), (5, None, (2, 3)), (1, None, (1, 1)), (3, 9, (1, 3))]
)
def test_every_pixel_is_in_its_place(n, columns, grid, gap, channels):
    images, (rows, cols) = numbered(n, channels), grid
    sheet = plotting.tile(images, columns, gap)
    assert sheet.shape[:2] == (rows * 3 + (rows - 1) * gap, cols * 2 + (cols - 1) * gap)
    assert sheet.ndim == (2 if channels == 1 else 3)
    sheet, expected = sheet.reshape(*sheet.shape[:2], channels), np.ones((*sheet.shape[:2], channels))
    for i in range(n):
        for r in range(3):
            for c in range(2):
                expected[i // cols * (3 + gap) + r, i % cols * (2 + gap) + c] = images[i, :, r, c]
    np.testing.assert_allclose(sheet, expected, rtol=1e-6)


def test_uint8_floats_and_tensors_give_the_same_sheet():
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 1, 3, 2) * 10
    sheet = plotting.tile(pixels)
    for images in (pixels / 255, torch.from_numpy(pixels), torch.tensor(pixels / 255, requires_grad=True)):
        np.testing.assert_allclose(plotting.tile(images), sheet, rtol=1e-6)
    assert sheet.min() == 0 and sheet.max() == 1  # the gap


@pytest.mark.parametrize("value", [-0.001, 1.001, 255.0, np.nan, np.inf])
def test_values_outside_0_to_1_are_refused(value):
    for function in (plotting.tile, plotting.show_images, lambda x: plotting.tint(x, [3], [0.5])):
        with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], not"):
            function(np.array([0.0, 0.5, value]).reshape(1, 1, 1, 3))


def test_whole_numbers_are_no_pixels_unless_uint8():
    with pytest.raises(TypeError, match="images must be uint8, or floats in .*, not torch.int64"):
        plotting.tile(np.ones((1, 1, 2, 2), np.int64))


@pytest.mark.parametrize(
    ("options", "name"), [({"columns": 0}, "columns"), ({"gap": -1}, "gap"), ({"gap": 10**6}, "gap")]
)
def test_a_sheet_that_cannot_be_is_refused(options, name):
    with pytest.raises(ValueError, match=name):
        plotting.tile(numbered(4), **options)


@pytest.mark.parametrize("shape", [(0, 1, 2, 2), (2, 2), (3, 2, 2), (1, 2, 3, 3), (1, 4, 3, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\[N, 1 or 3, H, W\] with N at least 1, not"):
        plotting.tile(np.zeros(shape))


# ---- the helpers

CODES, LABELS = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 10
HELPERS = {
    "show_images": lambda **options: plotting.show_images(numbered(6), **options),
    "plot_map": lambda **options: plotting.plot_map(CODES, LABELS, **options),
    "plot_steps": lambda **options: plotting.plot_steps({"loss": torch.rand(100), "kl": np.ones(100)}, **options),
    "plot_histograms": lambda **options: plotting.plot_histograms({"a": CODES[:, 0]}, xlabel="error", **options),
}


def test_all_helpers_are_tested():
    functions = {
        name
        for name, f in vars(plotting).items()
        if inspect.isfunction(f) and "ax" in inspect.signature(f).parameters and not name.startswith("_")
    }
    assert functions == set(HELPERS)


@pytest.mark.parametrize("name", HELPERS)
def test_a_helper_draws_on_the_axes_given_and_returns_them(name):
    figure, (left, right) = plt.subplots(1, 2)
    assert HELPERS[name](ax=right, title="a title") is right
    assert right.get_title(loc="left") == "a title" and plt.get_fignums() == [figure.number]
    assert right.has_data() and not left.has_data()
    figure.canvas.draw()


@pytest.mark.parametrize("name", HELPERS)
def test_a_helper_makes_axes_of_its_own(name):
    ax = HELPERS[name]()
    assert isinstance(ax, Axes) and ax.get_title(loc="left") == "" and len(plt.get_fignums()) == 1
    ax.figure.canvas.draw()


def test_tinted_images_are_ink_on_white_pale_where_doubtful():
    images = np.zeros((3, 1, 2, 2))
    images[:, 0, 0, 0] = 1
    tinted = plotting.tint(torch.tensor(images), torch.tensor([3, 3, 7]), torch.tensor([1.7, 0.0, 0.5]))
    assert tinted.shape == (3, 3, 2, 2) and (tinted[:, :, 1, 1] == 1).all()
    half = (np.array(plotting.DIGIT_COLORS[7]) + 0.85) / 2
    np.testing.assert_allclose(tinted[:, :, 0, 0], [plotting.DIGIT_COLORS[3], [0.85] * 3, half])


def test_show_images_shows_the_sheet_between_black_and_white():
    ax = plotting.show_images(numbered(6) / 2, columns=3)
    (picture,) = ax.images
    np.testing.assert_allclose(picture.get_array(), plotting.tile(numbered(6) / 2, 3))
    assert picture.get_clim() == (0, 1) and len(ax.get_xticks()) == 0
    plotting.show_images(numbered(2).tolist())  # a plain list does as well


def test_show_images_puts_labels_on_their_images():
    ax = plotting.show_images(np.zeros((5, 1, 8, 6)), columns=2, labels=[7, 1, "x", 3, 4])
    assert [text.get_text() for text in ax.texts] == ["7", "1", "x", "3", "4"]
    for i, text in enumerate(ax.texts):
        x, y = text.get_position()
        assert (i // 2 * 9 <= y < i // 2 * 9 + 8) and (i % 2 * 7 <= x < i % 2 * 7 + 6)


def test_show_images_names_its_rows():
    ax = plotting.show_images(np.zeros((4, 1, 8, 6)), columns=2, row_labels=["real", "drawn"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["real", "drawn"]
    assert list(ax.get_yticks()) == [4, 13]


def test_a_map_has_one_colour_and_one_name_for_each_class_there():
    there = LABELS[LABELS != 4]
    ax = plotting.plot_map(CODES[LABELS != 4], there)
    assert [text.get_text() for text in ax.texts] == list("012356789")
    for k, dots, text in zip([0, 1, 2, 3, 5, 6, 7, 8, 9], ax.collections, ax.texts, strict=True):
        np.testing.assert_allclose(dots.get_offsets(), CODES[(k == LABELS)].numpy(), rtol=1e-6)
        np.testing.assert_allclose(dots.get_facecolor()[0, :3], plotting.DIGIT_COLORS[k])
        middle = np.median(CODES[(k == LABELS)].numpy(), axis=0)
        assert np.abs(text.get_position() - middle).max() < 0.2 * np.ptp(CODES.numpy()), "near the middle of its points"


def test_digit_colours_are_ten_and_differ():
    assert len({to_rgb(colour) for colour in plotting.DIGIT_COLORS}) == 10


def test_curves_are_means_over_blocks():
    ax = plotting.plot_steps({"loss": torch.arange(10.0), "kl": np.arange(10.0)[:4]}, smooth=5, ylabel="nats")
    loss, kl = ax.lines
    assert loss.get_xdata().tolist() == [2.5, 7.5] and loss.get_ydata().tolist() == [2, 7]
    assert kl.get_xdata().tolist() == [2] and kl.get_ydata().tolist() == [1.5], "a short curve is one block"
    assert ax.get_ylabel() == "nats" and [text.get_text() for text in ax.get_legend().get_texts()] == ["loss", "kl"]
    assert plotting.plot_steps({"loss": torch.zeros(1)}).get_legend() is None
    with pytest.raises(ValueError, match=r"curves\['nothing'\] must be at least one finite number, not none"):
        plotting.plot_steps({"nothing": torch.zeros(0)})


@pytest.mark.parametrize("values", [[1.0, 1.0], [2.0]])
@pytest.mark.parametrize("log", [False, True])
def test_a_histogram_of_one_value_has_bins_of_some_width(values, log):
    ax = plotting.plot_histograms({"one": values}, xlabel="error", bins=4, log=log)
    assert sum(patch.get_height() for patch in ax.patches) == pytest.approx(1)
    assert all(patch.get_width() > 0 for patch in ax.patches)


def test_points_in_the_very_same_place_after_the_first_nudge_stay_finite():
    assert np.isfinite(plotting.spread([[2e-6, 2e-6], [0.0, 0.0]])).all()


@pytest.mark.parametrize("log", [False, True])
def test_histograms_share_bins_and_sum_to_one(log):
    groups = {"real": torch.tensor([1.0, 2.0, 2.0, 3.0]), "noise": np.array([4.0, 5.0])}
    ax = plotting.plot_histograms(groups, xlabel="error", bins=8, log=log)
    heights = np.array([patch.get_height() for patch in ax.patches]).reshape(2, 8)
    edges = np.array([patch.get_x() for patch in ax.patches]).reshape(2, 8)
    np.testing.assert_allclose(edges[0], (np.geomspace if log else np.linspace)(1, 5, 9)[:-1])
    np.testing.assert_allclose(edges[0], edges[1])
    np.testing.assert_allclose(heights.sum(1), 1)
    assert heights[0].max() == 0.5 and heights[1].nonzero()[0].tolist() == [6, 7]
    assert ax.get_xlabel() == "error" and ax.get_xscale() == ("log" if log else "linear")


def test_the_style_is_set_only_when_asked(monkeypatch):
    with plt.rc_context():
        plotting.use_style()
        assert all(
            plt.rcParams[name] == pytest.approx(value)
            for name, value in plotting.STYLE.items()
            if name != "figure.figsize"
        )
        assert list(plt.rcParams["figure.figsize"]) == list(plotting.STYLE["figure.figsize"])


def test_places_that_cannot_be_spread_are_refused():
    for places in ([[1e300, 0.0], [0.0, 0.0]], [[0.0, -1e101]]):
        with pytest.raises(ValueError, match=r"places must lie in \[-1e100, 1e100\], not"):
            plotting.spread(places)
    with pytest.raises(ValueError, match="places must be at most 2,000, not 2,001"):
        plotting.spread(np.zeros((2001, 2)))
    with pytest.raises(ValueError, match="gap must be a finite number above 0 and at most 1e"):
        plotting.spread(np.zeros((2, 2)), 1e300)


def test_spread_moves_names_apart_and_leaves_distant_ones():
    places = np.array([[0.0, 0.0], [0.01, 0.0], [0.0, 0.0], [1.0, 1.0]])
    moved = plotting.spread(places, gap=0.1)
    distance = np.linalg.norm(moved[:, None] - moved[None], axis=-1) + np.eye(4)
    assert distance.min() > 0.09
    np.testing.assert_allclose(moved[3], places[3], atol=1e-4)
