"""Slant, size and amount of ink: of lines whose shape is known, wherever they lie, however large the image."""

import numpy as np
import pytest
import torch

from vae_utils.shapes import shape_of


def drawn_line(slope: float, thick: int = 1, half: int = 8) -> torch.Tensor:
    """Return an image with a stroke that moves to the right by slope columns for each row upwards."""
    image = torch.zeros(1, 1, 28, 28)
    for up in range(-half, half + 1):
        left = 14 + round(slope * up)
        image[0, 0, 14 - up, left : left + thick] = 1
    return image


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.5])
def test_the_slant_of_a_line_is_its_slope(slope):
    slant, width, height, ink = shape_of(drawn_line(slope))[0].tolist()
    assert slant == pytest.approx(slope, abs=0.03) and ink == 17
    assert height == pytest.approx(np.arange(-8, 9).std(), rel=1e-5)
    assert width == pytest.approx(abs(slope) * height, abs=0.3)


def test_place_and_strength_of_the_ink_do_not_change_the_shape_but_its_amount():
    image = drawn_line(0.25, thick=3)
    moved, faint = shape_of(image.roll((2, -3), (2, 3)))[0], shape_of(0.5 * image)[0]
    torch.testing.assert_close(moved, shape_of(image)[0])
    torch.testing.assert_close(faint, shape_of(image)[0] * torch.tensor([1, 1, 1, 0.5]))


@pytest.mark.parametrize("size", [(20, 31), (64, 40), (1, 5)])
def test_images_of_any_size_are_measured(size):
    image = torch.zeros(2, 1, *size)
    image[0, 0, 0, 1:4] = 1
    image[1, 0, :, 2] = 0.5
    slant, width, height, ink = shape_of(image).T.tolist()
    assert slant == [0, 0] and ink == [3, 0.5 * size[0]]
    assert width == pytest.approx([np.std([1, 2, 3]), 0]) and height == pytest.approx([0, np.arange(size[0]).std()])


def test_a_larger_image_around_the_ink_changes_nothing():
    image = drawn_line(0.25, thick=3)
    wide = torch.nn.functional.pad(image, (5, 9, 0, 30))
    torch.testing.assert_close(shape_of(wide), shape_of(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (torch.stack([torch.ones(1, 4, 4), torch.zeros(1, 4, 4)]), "number 1 of 2 is blank"),
        (torch.ones(1, 3, 4, 4), "must be grey"),
        (torch.ones(0, 1, 4, 4), "at least one image"),
        (torch.ones(4, 4), r"shape \[B, C, H, W\]"),
        (torch.full((1, 1, 4, 4), 255.0), "must lie in"),
        (torch.full((1, 1, 4, 4), float("nan")), "not finite"),
    ],
)
def test_what_has_no_shape_is_refused(images, complaint):
    with pytest.raises(ValueError, match=f"^images .*{complaint}"):
        shape_of(images)
