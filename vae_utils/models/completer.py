"""The VAE that is told a part of an image, and completes it; built in notebook 06, section 6.8."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vae_utils import inputs
from vae_utils.models.base import MOST_LATENT, check_settings
from vae_utils.models.conditional import ConditionalVAE
from vae_utils.models.vae import MOST_AT_ONCE
from vae_utils.networks import Network, Shape, build_decoder, build_encoder, kind_for
from vae_utils.runtime import get_device

MOST_SIDE = 4096  # pixels, of a mask
MOST_IN_MASKS = 2**28  # pixels, of many


@dataclass(frozen=True)
class Glimpse:
    """What a Completer knows of images before it sees them whole: notebook 06, section 6.8.

    seen [B, 1, H, W] is true where a pixel is given; mu and logvar [B, L] are of p(z | the seen pixels), features
    [B, F] what else the decoder is told of them.

    Raises: TypeError or ValueError, when it is made, for other types, shapes or values.
    """

    seen: Tensor
    mu: Tensor
    logvar: Tensor
    features: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.seen, Tensor) or self.seen.dtype != torch.bool or self.seen.ndim != 4:
            raise TypeError(f"seen must be booleans [B, 1, H, W], not {inputs.described(self.seen)}: compare")
        inputs.check_floats("mu", self.mu, len(self.seen), "L")
        inputs.check_floats("logvar", self.logvar, *self.mu.shape)
        inputs.check_floats("features", self.features, len(self.seen), "F")
        for name in ("mu", "logvar", "features"):
            inputs.check_finite(name, getattr(self, name))

    def repeat(self, times: int) -> "Glimpse":
        """Return the glimpse of the same images again and again, [times * B].

        Raises: TypeError or ValueError if times is no whole number of at least 1, or makes more than 100,000 of them.
        """
        inputs.check_whole("times", times, 1, MOST_AT_ONCE // max(1, len(self.seen)))
        return Glimpse(*(part.repeat(times, *[1] * (part.ndim - 1)) for part in vars(self).values()))


class Completer(ConditionalVAE):
    """Completes images of which a part is seen: the CVAE of Sohn, Lee & Yan (2015), with a learned p(z | seen pixels).

    One network looks at the seen pixels, and tells the prior and the decoder. quadrants says which part is given:
    1 the bottom left, 2 the left half, 3 all but the bottom right; None any part, another at each training step.
    With latent_dim 0 nothing is left to chance: the deterministic baseline, whose loss is the exact -log p.
    """

    def __init__(
        self,
        latent_dim: int = 32,
        network: Network = "conv",
        image_shape: Shape = (1, 28, 28),
        quadrants: int | None = 1,
        features: int = 128,
    ) -> None:
        super().__init__(
            latent_dim=latent_dim, network=network, image_shape=image_shape, quadrants=quadrants, features=features
        )

    def build(
        self, latent_dim: int, network: Network, image_shape: Shape, quadrants: int | None, features: int
    ) -> None:
        """Make the networks: recognition, the one that looks at the seen pixels, decoder."""
        check_settings(self.config, smallest=0)
        inputs.check_whole("features", features, 1, MOST_LATENT)
        c, h, w = image_shape
        if quadrants is not None:
            quadrants_seen(quadrants, h, w)
        self.encoder = build_encoder(network, (c + 1, h, w), 2 * latent_dim) if latent_dim else None
        self.looker = build_encoder(kind_for(network, image_shape), (c + 1, h, w), 2 * latent_dim + features)
        self.decoder = build_decoder(network, image_shape, latent_dim + features)

    def condition(self, x: Tensor, y: Tensor | None = None) -> Glimpse:
        """Return a look at the part of x that this model is made for; the labels are not used."""
        inputs.check_images("x", x, self.config["image_shape"])
        quadrants, (_, h, w) = self.config["quadrants"], x.shape[1:]
        if quadrants is None and self.training:
            return self.look(x, any_part(len(x), h, w, x.device))
        return self.look(x, quadrants_seen(quadrants or 1, h, w, x.device))

    def look(self, x: Tensor, seen: Tensor) -> Glimpse:
        """Return what is known of images x [B, C, H, W] from the pixels where seen ([H, W], or [B, 1, H, W]) is true.

        Raises: ValueError if seen is not of booleans, or of another shape.
        """
        self._check_images(x)
        _check_seen(seen, x)
        seen = seen.expand(len(x), 1, *x.shape[2:])
        answer = self.looker(torch.cat([x * seen, seen], dim=1))
        latent = self.config["latent_dim"]
        mu, logvar, features = answer.split([latent, latent, self.config["features"]], dim=1)
        return Glimpse(seen, mu, logvar, F.silu(features))

    def encode(self, x: Tensor, given: Glimpse) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of q(z | x, seen), the recognition network: it sees the whole image."""
        self._check_images(x)
        self._check_glimpse(given, len(x))
        if self.encoder is None:
            return given.mu, given.logvar
        mu, logvar = self.encoder(torch.cat([x, given.seen], dim=1)).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor, given: Glimpse) -> Tensor:
        """Return x_logits [B, C, H, W] of p(x | z, seen)."""
        self._check_codes(z)
        self._check_glimpse(given, len(z))
        return self.decoder(torch.cat([z, given.features], dim=1))

    def prior(self, given: Glimpse) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of p(z | seen)."""
        self._check_glimpse(given, None)
        return given.mu, given.logvar

    def nll(self, x_logits: Tensor, x: Tensor, given: Glimpse) -> Tensor:
        """Return -log p of the pixels [B] that were not seen, in nats."""
        self._check_images(x)
        inputs.check_floats("x_logits", x_logits, *x.shape)
        self._check_glimpse(given, len(x))
        return super().nll(x_logits.masked_fill(given.seen, -1e4), x.masked_fill(given.seen, 0.0))

    @torch.no_grad()
    def complete(
        self, x: Tensor, seen: Tensor | None = None, n: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return n completions [n, B, C, H, W] of images, their seen pixels kept, the others as their probabilities.

        z ~ p(z | seen) is drawn on the CPU. Without seen the part is the one that this model is made for.

        Raises: TypeError or ValueError for what are no images in [0, 1], no mask, or no number of completions.
        """
        inputs.check_images("x", x, self.config["image_shape"])
        inputs.check_whole("n", n, 1, max(1, MOST_AT_ONCE // len(x)))
        inputs.check_generator("generator", generator)
        given = self.condition(x) if seen is None else self.look(x, seen)
        eps = torch.randn(n, *given.mu.shape, generator=generator).to(x.device)
        z = given.mu + (0.5 * given.logvar).exp() * eps
        return torch.stack([torch.where(given.seen, x, self.decode(one, given).sigmoid()) for one in z])

    def _check_glimpse(self, given: Glimpse | None, n: int | None) -> None:
        if not isinstance(given, Glimpse) or n not in (None, len(given.seen)):
            came = f"one of {len(given.seen)}" if isinstance(given, Glimpse) else inputs.described(given)
            of = "images" if n is None else f"{n} images"
            raise ValueError(f"given must be a glimpse of {of}, not {came}: pass what look(x, seen) returns")
        sizes = given.seen.shape[1:], given.mu.shape[1], given.features.shape[1]
        wanted = (1, *self.config["image_shape"][1:]), self.config["latent_dim"], self.config["features"]
        if sizes != wanted:
            raise ValueError(f"given must be a glimpse of this model, of the sizes {wanted}, not {sizes}: look again")


def quadrants_seen(quadrants: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return a mask [H, W], true in the bottom left quadrant (1), the left half (2), all but the bottom right (3).

    The parts of Pyro's tutorial, after Sohn, Lee & Yan 2015; notebook 06, section 6.9.

    Raises: TypeError or ValueError for another number, a side under 2 or over 4096, or no device of this machine.
    """
    inputs.check_whole("quadrants", quadrants, 1, 3)
    _check_mask(1, height, width, device)
    seen = torch.zeros(height, width, dtype=torch.bool, device=device)
    seen[height // 2 :, : width // 2] = True
    if quadrants > 1:
        seen[: height // 2, : width // 2] = True
    if quadrants > 2:
        seen[: height // 2] = True
    return seen


def any_part(n: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return n random masks [n, 1, H, W]: half of them some of the quadrants, half of them rows from the top.

    Raises: TypeError or ValueError if n is no whole number of at least 1, a side under 2 or over 4096, all of them more
    than 2^28 pixels, or the device none of this machine.
    """
    _check_mask(n, height, width, device)
    which = torch.randint(1, 15, (n, 1, 1, 1), device=device)  # four bits, neither none nor all of them
    row, column = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
    quadrant = 2 * (row >= height // 2) + (column >= width // 2)  # [H, W]
    rows = torch.randint(1, height, (n, 1, 1, 1), device=device)
    some = torch.rand(n, 1, 1, 1, device=device) < 0.5
    return torch.where(some, (which >> quadrant & 1).bool(), (row < rows).expand(-1, -1, -1, width))


def _check_seen(seen: Tensor, x: Tensor) -> None:
    shapes = (x.shape[2:], (1, 1, *x.shape[2:]), (len(x), 1, *x.shape[2:]))
    if not isinstance(seen, Tensor) or seen.dtype != torch.bool or seen.shape not in shapes:
        came = f"{seen.dtype} {list(seen.shape)}" if isinstance(seen, Tensor) else repr(seen)
        h, w = x.shape[2:]
        raise ValueError(
            f"seen must be booleans, [{h}, {w}] or [{len(x)}, 1, {h}, {w}], not {came}: compare, as in x > 0.5"
        )


def _check_mask(n: int, height: int, width: int, device: torch.device | str | None) -> None:
    pixels = inputs.check_whole("height", height, 2, MOST_SIDE) * inputs.check_whole("width", width, 2, MOST_SIDE)
    inputs.check_whole("n", n, 1, MOST_IN_MASKS // pixels)
    if not isinstance(device, torch.device | str | None):
        raise TypeError(f"device must be a torch.device, its name or None, not {inputs.described(device)}")
    if device is not None:
        get_device(device)
