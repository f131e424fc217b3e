"""Slant, size and amount of ink: what can be measured of an image of one figure without any model."""

import torch
from torch import Tensor

from vae_utils import inputs


def shape_of(images: Tensor) -> Tensor:
    """Return slant, width, height and ink [B, 4] of images, from the moments of their ink; notebook 05, section 5.1.

    With the ink as a mass about its centre: slant is the mixed second moment over the vertical one (columns moved to
    the right for each row upwards; 0 if all the ink lies in one row), width and height are standard deviations in
    pixels, ink is the sum.

    Shapes: images [B, 1, H, W], floats in [0, 1].
    Raises: TypeError or ValueError for other images, and for one that is blank.
    """
    _check_ink(images)
    ink = images[:, 0]  # [B, H, W]
    down, right = (torch.arange(n, device=ink.device, dtype=ink.dtype) for n in ink.shape[1:])
    total = ink.sum((1, 2))
    y = down - (ink.sum(2) @ down / total)[:, None]  # rows from the centre of mass   [B, H]
    x = right - (ink.sum(1) @ right / total)[:, None]  # and columns   [B, W]
    yy, xx = ((ink.sum(axis) * part**2).sum(1) / total for axis, part in ((2, y), (1, x)))
    yx = torch.einsum("bij,bi,bj->b", ink, y, x) / total
    return torch.stack([-yx / yy.clamp(min=1e-6), xx.sqrt(), yy.sqrt(), total], 1)  # all in one row: no slant


def _check_ink(images: Tensor) -> None:
    inputs.check_images("images", images)
    if images.shape[1] != 1 or images.numel() == 0:
        raise ValueError(f"images must be grey, [B, 1, H, W], not {list(images.shape)}")
    inputs.check_unit("images", images)
    blank = (images.flatten(1).sum(1) < 1e-6).nonzero().flatten().tolist()
    if blank:
        raise ValueError(f"images must have ink, and number {blank[0]} of {len(images)} is blank: leave it out")
