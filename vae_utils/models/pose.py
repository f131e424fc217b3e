"""A VAE that draws a digit upright, then leans, turns, stretches and moves it: notebook 07, section 7.4."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from vae_utils import inputs, runtime
from vae_utils.models.base import check_settings
from vae_utils.models.vae import VAE
from vae_utils.networks import Network, Shape, build_decoder, build_encoder

POSE = {"turn": 0.15, "lean": 0.25, "width": 0.12, "height": 0.12, "right": 0.06, "down": 0.06}  # what z = 1 does
EMPTY = -8.0  # the logit of a pixel outside the drawing
MOST_POSE, MOST_MAP = 300.0, 1e18  # of one number: beyond them the scales of a map are no numbers


class PoseVAE(VAE):
    """A VAE whose first six latent numbers move the paper: what is left to the others is the digit, drawn upright.

    z = (pose [B, 6], content [B, latent_dim - 6]), all of it N(0, I) a priori, so that the ELBO is a VAE's. The decoder
    draws the content, and an affine map made of the pose (`affine`) puts it into place; the encoder finds the pose
    first, and looks at the aligned image for the rest. Nothing tells it what upright is: it settles on one
    pose for all digits. The design is that of Detlefsen & Hauberg (2019), with a six-number pose.
    """

    def __init__(self, latent_dim: int = 26, network: Network = "conv", image_shape: Shape = (1, 28, 28)) -> None:
        super().__init__(latent_dim, network, image_shape)

    def build(self, latent_dim: int, network: Network, image_shape: Shape) -> None:
        """Make the networks: the poser, and encoder and decoder of the content."""
        _check_content(latent_dim)
        check_settings(self.config)
        content = latent_dim - len(POSE)
        self.poser = build_encoder(network if isinstance(network, str) else "conv", image_shape, 2 * len(POSE))
        self.encoder = build_encoder(network, image_shape, 2 * content)
        self.decoder = build_decoder(network, image_shape, content)
        with torch.no_grad():  # every image starts with the pose 0, known to about a third
            self.poser[-1].weight.zero_()
            self.poser[-1].bias.copy_(torch.tensor([0.0, -2.0]).repeat_interleave(len(POSE)))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of q(z | x): pose first, then content, read from the aligned image."""
        self._check_images(x)
        pose, pose_logvar = self.poser(x).chunk(2, dim=1)
        mu, logvar = self.encoder(warp(x, affine(pose))).chunk(2, dim=1)
        return torch.cat([pose, mu], dim=1), torch.cat([pose_logvar, logvar], dim=1)

    def decode(self, z: Tensor) -> Tensor:
        """Return x_logits [B, C, H, W] of p(x | z): the upright drawing, moved as the pose says."""
        self._check_codes(z)
        pose, content = z.tensor_split([len(POSE)], dim=1)
        return warp(self.decoder(content) - EMPTY, inverse(affine(pose))) + EMPTY

    def straighten(self, x: Tensor) -> Tensor:
        """Return images [B, C, H, W] with their pose, as the encoder sees it, taken out."""
        self._check_images(x)
        return warp(x, affine(self.poser(x).chunk(2, dim=1)[0]))


def affine(pose: Tensor) -> Tensor:
    """Return the matrices [B, 2, 3] of poses [B, 6]: from where an upright picture fetches its pixels.

    The numbers are in the order and the units of POSE: radians clockwise, a slope to the right as of italics,
    logarithms of scales, and half image widths. With all of them zero nothing moves.

    Raises: TypeError or ValueError for what are no poses, or beyond 300 units.
    """
    inputs.check_floats("pose", pose, "B", len(POSE))
    inputs.check_finite("pose", pose, MOST_POSE)
    columns = zip(pose.unbind(dim=1), POSE.values(), strict=True)
    turn, lean, width, height, right, down = (column * unit for column, unit in columns)
    cos, sin = turn.cos(), turn.sin()
    across = torch.stack([cos, sin], dim=1) * width.exp()[:, None]
    along = torch.stack([-cos * lean - sin, -sin * lean + cos], dim=1) * height.exp()[:, None]
    return torch.stack([across, along, torch.stack([right, down], dim=1)], dim=2)


def inverse(matrix: Tensor) -> Tensor:
    """Return the affine maps [B, 2, 3] that undo those of matrix [B, 2, 3]: of 2 x 2, the inverse is a formula.

    Raises: TypeError or ValueError for another type or shape, or a map that cannot be undone.
    """
    _check_maps(matrix)
    _check_undone(matrix)
    (a, b, right), (c, d, down) = (row.unbind(dim=1) for row in matrix.unbind(dim=1))
    determinant = a * d - b * c
    back = torch.stack([d, -b, b * down - d * right, -c, a, c * right - a * down], dim=1) / determinant[:, None]
    return back.view(-1, 2, 3)


def warp(x: Tensor, matrix: Tensor) -> Tensor:
    """Return images [B, C, H, W] fetched through affine maps [B, 2, 3], bilinearly; 0 comes from outside.

    Raises: TypeError or ValueError for other types, shapes or values.
    """
    _check_warp(x, matrix)
    if len(x) == 0:  # PyTorch refuses them
        return x
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    if not warps_in_training(x.device.type):  # there and back again: slower, and the same
        return F.grid_sample(x.cpu(), grid.cpu(), align_corners=False).to(x.device)
    return F.grid_sample(x, grid, align_corners=False)


@cache
def warps_in_training(device_type: str) -> bool:
    """Return whether gradients pass through a warp on a kind of device: older PyTorch lacks that on a Mac's GPU."""
    try:
        with torch.inference_mode(False), torch.enable_grad():  # whatever the first to ask is in
            x = torch.zeros(1, 1, 2, 2, device=device_type, requires_grad=True)
            F.grid_sample(x, torch.zeros(1, 2, 2, 2, device=device_type), align_corners=False).sum().backward()
    except NotImplementedError:
        print(f"This PyTorch ({torch.__version__}) cannot train a warp on {device_type}: it is done on the CPU.")
        return False
    return True


def _check_content(latent_dim: int) -> None:
    if not isinstance(latent_dim, int) or latent_dim <= len(POSE):
        raise ValueError(
            f"latent_dim must be a whole number that leaves something beside the {len(POSE)} of the pose, "
            f"not {latent_dim!r}"
        )


def _check_maps(matrix: Tensor, n: int | str = "B") -> None:
    inputs.check_floats("matrix", matrix, n, 2, 3)
    inputs.check_finite("matrix", matrix, MOST_MAP)


def _check_undone(matrix: Tensor) -> None:
    """Refuse maps of which the formula makes no inverse; a look at values, so not where they are trusted."""
    if inputs.is_trusted() or len(matrix) == 0:
        return
    (a, b, _), (c, d, _) = (row.unbind(dim=1) for row in matrix.detach().unbind(dim=1))
    low, high = (end.item() for end in (a * d - b * c).abs().aminmax())
    if not torch.finfo(matrix.dtype).tiny < low <= high < math.inf:
        wrong = low if high < math.inf else high
        raise ValueError(f"matrix must be of maps that can be undone, and one has a determinant of {wrong:.3g}")


def _check_warp(x: Tensor, matrix: Tensor) -> None:
    inputs.check_floats("x", x, "B", "C", "H", "W")
    if 0 in x.shape[1:]:
        raise ValueError(f"x must be images [B, C, H, W] with pixels, not {list(x.shape)}")
    inputs.check_finite("x", x)
    _check_maps(matrix, len(x))
    if matrix.dtype != x.dtype and not runtime.autocasting(x.device.type):
        raise TypeError(f"matrix must be {x.dtype}, as x is, not {matrix.dtype}: convert one of them")
