"""Digits drawn or photographed: MNIST's own come back as they are, and paper, light and camera matter little."""

import io
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from vae_utils import handwriting
from vae_utils.handwriting import BOX, FAINT, as_mnist, read_digit

Resampling = Image.Resampling


@pytest.fixture(scope="module")
def sample(digits) -> np.ndarray:
    """200 of MNIST's test digits, of every class, uint8 [200, 28, 28]."""
    return digits.test.images[:: len(digits.test) // 200, 0].numpy()


def pasted(
    digit: np.ndarray, times: int, top: int, left: int, side: int = 400, how: int = Resampling.NEAREST
) -> np.ndarray:
    """Return a digit enlarged, somewhere in a large black square."""
    canvas = np.zeros((side, side), np.uint8)
    large = np.asarray(Image.fromarray(digit).resize((28 * times, 28 * times), how))
    canvas[top : top + 28 * times, left : left + 28 * times] = large
    return canvas


def distance(image: torch.Tensor, other: np.ndarray | torch.Tensor) -> float:
    """Return the mean absolute difference of two images' pixels in [0, 1]."""
    other = torch.as_tensor(other / 255 if other.dtype == np.uint8 else other)
    return float((image.squeeze() - other.squeeze()).abs().mean())


def centre(image: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return the row and the column of the centre of mass; the first pixel's centre is 0."""
    values = np.asarray(image, np.float64).reshape(28, 28)
    return np.array([(values.sum(1 - axis) * np.arange(28)).sum() / values.sum() for axis in (0, 1)])


def file(image: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    stored = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stored, kind, **options)
    return stored.getvalue()


def drawing(digit: np.ndarray) -> np.ndarray:
    """Return a digit's ink in [0, 1], smooth, 380 pixels high, off the centre of 600 x 600."""
    ink = np.zeros((600, 600), np.float32)
    ink[90:470, 130:510] = np.asarray(Image.fromarray(digit).resize((380, 380), Resampling.BICUBIC)) / np.float32(255)
    return ink


def photograph(ink: np.ndarray, seed: int, shadow: bool = False, strength: float = 0.75) -> np.ndarray:
    """Return ink on paper in a light that falls by half from one side to the other, with noise, as uint8."""
    rng = np.random.default_rng(seed)
    angle, (down, across) = rng.uniform(0, 2 * np.pi), np.mgrid[:600, :600] / 600 - 0.5
    light = 0.7 + 0.35 * (down * np.sin(angle) + across * np.cos(angle))
    light = light * np.where(shadow & (across + 0.3 * down > 0.35), 0.7, 1)
    noisy = light * (1 - strength * ink) + rng.normal(0, 0.02, ink.shape)
    return (255 * noisy.clip(0, 1)).astype(np.uint8)


def test_mnist_has_the_properties_that_are_restored(sample):
    centres = np.array([centre(digit) for digit in sample])
    assert (np.abs(centres - 14) <= 0.5).all(), "whole pixels were moved, so half a pixel remains"
    assert np.ptp(centres, axis=0).min() > 0.9 and np.abs(centres.mean(0) - 14).max() < 0.1
    boxes = [[np.ptp(np.flatnonzero(digit.any(axis))) + 1 for axis in (0, 1)] for digit in sample]
    assert (np.max(boxes, axis=1) == BOX).mean() > 0.99 and np.max(boxes) == BOX


def test_a_digit_of_mnist_comes_back_from_anywhere_in_a_larger_picture(sample):
    rng = np.random.default_rng(0)
    errors = [distance(as_mnist(pasted(digit, 5, *rng.integers(0, 260, 2))), digit) for digit in sample]
    assert np.median(errors) < 1e-6, "the mean of 5 x 5 equal pixels is the pixel"
    assert np.mean(np.array(errors) > 0.001) <= 0.01, "3 in 10,000 have a box of 19 pixels, and would be enlarged"


def test_a_digit_comes_back_nearly_also_after_smooth_enlargement(sample):
    errors = [distance(as_mnist(pasted(digit, 5, 30, 90, how=Resampling.BICUBIC)), digit) for digit in sample]
    wrong = [distance(torch.from_numpy(digit / 255), other) for digit, other in zip(sample, sample[1:], strict=False)]
    assert np.mean(errors) < 0.04 and max(errors) < 0.12 and np.mean(errors) < np.mean(wrong) / 3


@given(index=st.integers(0, 199), top=st.integers(0, 200), left=st.integers(0, 200), times=st.integers(1, 7))
def test_neither_place_nor_scale_matters(sample, index, top, left, times):
    image = as_mnist(pasted(sample[index], times, top, left))
    assert image.shape == (1, 1, 28, 28) and image.dtype == torch.float32
    assert torch.equal(image, as_mnist(pasted(sample[index], times, 3, 5))), "a shift changes nothing"
    assert distance(image, as_mnist(sample[index])) < 0.01


@given(
    height=st.integers(2, 90), width=st.integers(2, 90), seed=st.integers(0, 999), share=st.sampled_from([0.02, 0.2, 1])
)
def test_any_ink_fits_the_box_and_lies_in_the_centre_as_far_as_it_can(height, width, seed, share):
    rng = np.random.default_rng(seed)
    ink = np.where(rng.random((height, width)) < share, rng.random((height, width)), 0)
    ink[rng.integers(height), rng.integers(width)] = 1
    image = as_mnist(ink)[0, 0].numpy()
    rows, columns = (np.flatnonzero((image > 0).any(axis)) for axis in (1, 0))
    assert image.min() >= 0 and 0.03 < image.max() <= 1 and max(np.ptp(rows), np.ptp(columns)) < BOX
    for places, middle in zip((rows, columns), centre(image), strict=True):
        at_the_edge = places[0] <= BOX - 1 and (places[0] == 0 or places[-1] == 27)
        assert abs(middle - 14) <= 0.5 + 1e-4 or at_the_edge


def test_types_and_forms_of_ink_agree(sample):
    wanted = as_mnist(sample[0])
    for ink in (
        sample[0] / 255,
        torch.from_numpy(sample[0]),
        torch.from_numpy(sample[0]) / 255,
        (sample[0] / 255).tolist(),
    ):
        assert torch.allclose(as_mnist(ink), wanted, atol=1e-6)
    assert as_mnist(np.eye(30, dtype=bool)).max() == 1


@pytest.mark.parametrize(
    ("ink", "complaint"),
    [
        (np.zeros((28, 28)), "there is no ink"),
        (np.full((28, 28), FAINT / 2), "there is no ink"),
        (np.zeros((1, 28, 28)), r"must be \[H, W\], one grey picture, not \[1, 28, 28\]"),
        (np.zeros((0, 5)), r"not \[0, 5\]"),
        (0.5, r"not \[\]"),
        (np.full((5, 5), np.nan), "must lie in .*, not values that are not finite"),
        (np.full((5, 5), 255.0), r"must lie in \[0, 1\], not 255 to 255: divide"),
        (np.full((5, 5), -0.1), r"must lie in \[0, 1\]"),
        (np.ones((5, 5), int), "must be uint8, or floats in .*, not torch.int64"),
        (np.array([["a", "b"]]), "must hold numbers"),
    ],
)
def test_ink_that_is_none_is_refused(ink, complaint):
    with pytest.raises((ValueError, TypeError), match=f"^ink.*{complaint}"):
        as_mnist(ink)


@pytest.mark.parametrize(
    ("options", "bound"),
    [({}, 0.03), ({"shadow": True}, 0.08), ({"strength": 0.35}, 0.04)],
    ids=["even", "shadow", "pencil"],
)
def test_a_photograph_gives_nearly_what_the_drawing_gives(sample, options, bound):
    inks = [drawing(digit) for digit in sample[:15]]
    read = [read_digit(file(photograph(ink, i, **options), "JPEG", quality=80)) for i, ink in enumerate(inks)]
    errors = [distance(as_mnist(ink), as_mnist(plain)) for ink, plain in zip(read, inks, strict=True)]
    assert np.mean(errors) < bound and max(errors) < 3 * bound
    assert all(ink.max() == 1 and ink.min() == 0 and ink.shape == (320, 320) for ink in read)


def test_ink_may_be_dark_or_light_and_in_any_mode(sample):
    ink = (255 * drawing(sample[3]).clip(0, 1)).astype(np.uint8)
    light, dark = Image.fromarray(ink), Image.fromarray(255 - ink)
    clear = Image.merge("LA", [Image.new("L", ink.shape, 0), light])  # black ink on nothing
    chalk = Image.merge("LA", [Image.new("L", ink.shape, 255), light])  # white ink on nothing
    deep = Image.fromarray((255 - ink).astype(np.uint16) * 200)
    pictures = [light, dark, dark.convert("RGB"), dark.convert("CMYK"), clear, clear.convert("RGBA"), chalk, deep]
    pictures += [dark.convert("1"), dark.convert("P"), Image.fromarray((ink / 255).astype(np.float32))]
    for picture in pictures:
        assert distance(as_mnist(read_digit(picture)), as_mnist(drawing(sample[3]).clip(0, 1))) < 0.04, picture.mode


def test_bytes_paths_and_images_agree_and_an_image_stays_as_it_is(sample, tmp_path):
    image = Image.fromarray(255 - pasted(sample[0], 5, 30, 90))
    (tmp_path / "seven.png").write_bytes(file(image))
    before = image.tobytes()
    wanted = read_digit(image)
    for data in (file(image), bytearray(file(image)), tmp_path / "seven.png", str(tmp_path / "seven.png")):
        assert np.array_equal(read_digit(data), wanted)
    assert image.tobytes() == before and wanted.shape == (320, 320)


def test_a_camera_held_sideways_does_not_matter(sample):
    upright = Image.fromarray(255 - pasted(sample[0], 5, 30, 90))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    turned = file(upright.rotate(90, expand=True), "JPEG", exif=exif, quality=95)
    assert distance(as_mnist(read_digit(turned)), as_mnist(read_digit(upright))) < 0.02


def test_specks_of_dust_are_no_ink(sample):
    ink = pasted(sample[0], 5, 100, 120)
    wanted = as_mnist(read_digit(Image.fromarray(255 - ink)))
    ink[5:8, 5:8] = ink[390:393, 200:203] = 255
    assert distance(as_mnist(read_digit(Image.fromarray(255 - ink))), wanted) < 0.005


@pytest.mark.parametrize("side", [(1, 1), (1, 900), (3, 2), (300, 200), (2000, 1500)])
@pytest.mark.parametrize("noise", [0, 0.02, 0.1])
def test_blank_paper_has_no_ink(side, noise):
    rng = np.random.default_rng(0)
    paper = np.linspace(0.5, 0.9, side[1]) + rng.normal(0, noise * (min(side) > 3), side)
    with pytest.raises(ValueError, match="the picture shows no ink"):
        read_digit(Image.fromarray((255 * paper.clip(0, 1)).astype(np.uint8)))


def test_what_cannot_be_read_is_refused(sample, tmp_path):
    good = file(sample[0])
    for data in (b"", b"no picture", good[: len(good) // 2], tmp_path / "none.png", tmp_path, None, 3.5):
        with pytest.raises(ValueError, match="a picture, PNG or JPEG, was expected, and this cannot be read"):
            read_digit(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "EPS", "PDF"])
def test_a_file_of_another_format_is_refused_but_not_the_picture_in_it(sample, tmp_path, kind):
    image = Image.fromarray(255 - pasted(sample[0], 5, 30, 90))
    (tmp_path / "seven.png").write_bytes(file(image, kind))  # whatever the name says
    for data in (file(image, kind), tmp_path / "seven.png"):
        with pytest.raises(ValueError, match="a picture, PNG or JPEG, was expected"):
            read_digit(data)
    if kind not in ("EPS", "PDF"):  # which PIL only writes, or reads through another program
        assert read_digit(Image.open(io.BytesIO(file(image, kind)))).shape == (320, 320)


def test_a_file_is_closed_after_it_was_read(sample, tmp_path):
    path = tmp_path / "seven.png"
    path.write_bytes(file(Image.fromarray(255 - pasted(sample[0], 5, 30, 90))))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        read_digit(path)
    path.unlink()


def test_a_small_file_of_many_pixels_is_refused_before_they_are_unpacked(monkeypatch):
    bombs = {kind: file(Image.new("L", (9000, 9000)), kind) for kind in ("PNG", "JPEG")}
    assert max(map(len, bombs.values())) < 1_300_000, "81 million pixels"
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("its pixels were unpacked"))
    for bomb in bombs.values():
        with pytest.raises(ValueError, match=r"too many pixels \(9,000 x 9,000, over 50,000,000\): make it smaller"):
            read_digit(bomb)


@pytest.mark.parametrize(("kind", "fine"), [("PNG", False), ("JPEG", True)])
def test_a_photograph_of_a_large_camera_is_read_where_it_can_be_read_small(monkeypatch, kind, fine):
    stroke = Image.new("L", (3200, 2400), 220)
    stroke.paste(20, (1400, 400, 1600, 2000))
    monkeypatch.setattr(handwriting, "MOST_AT_ONCE", 2_000_000)
    if fine:
        assert read_digit(file(stroke, kind)).shape == (240, 320)
    else:
        with pytest.raises(ValueError, match=r"too many pixels \(3,200 x 2,400, over 2,000,000\)"):
            read_digit(file(stroke, kind))


@pytest.mark.parametrize("limit", [500, 300])  # PIL warns above its limit, and refuses above twice as much
def test_a_picture_of_too_many_pixels_is_refused(sample, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match="too many pixels .*: make it smaller"):
        read_digit(file(sample[0]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_picture_of_values_that_are_not_finite_is_refused(sample, value):
    floats = np.array(sample[0], np.float32)
    floats[3, 4] = value
    with pytest.raises(ValueError, match="the picture has values that are NaN, infinite or too large"):
        read_digit(Image.fromarray(floats))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_a_picture_without_pixels_is_refused(size):
    with pytest.raises(ValueError, match=f"a picture, .* cannot be read: it has {size[0]} x {size[1]} pixels"):
        read_digit(Image.new("L", size))
