"""Variational autoencoders that are told something: the class of an image, or a part of it. Built in notebook 06."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_utils.losses import gaussian_kl_between, reparameterize
from vae_utils.models.vae import VAE, _check_latent_dim, _check_sample
from vae_utils.networks import Shape, build_decoder, build_encoder


class ConditionalVAE(VAE):
    """What conditional models share: q(z | x, c), p(z | c) and p(x | z, c), the condition c always the last argument.

    A kind of its own says in `condition(x, y)` what it is told about a batch, gives `prior(c)`, the mu and logvar
    [B, L] of p(z | c), and uses c in `encode` and `decode`.
    """

    def nll(self, x_logits: Tensor, x: Tensor, given: object = None) -> Tensor:
        """Return -log p(x | z, condition) [B] in nats."""
        return super().nll(x_logits, x)

    def forward(self, x: Tensor, given: object = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return x_logits of one sampled z, mu and logvar."""
        mu, logvar = self.encode(x, given)
        z = reparameterize(mu, logvar)
        return self.decode(z, given), mu, logvar

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the two terms of the negative conditional ELBO: recon [B] and kl [B], in nats; notebook 06, 6.2."""
        given = self.condition(x, y)
        x_logits, mu, logvar = self(x, given)
        return self.nll(x_logits, x, given), gaussian_kl_between(mu, logvar, *self.prior(given))


class CVAE(ConditionalVAE):
    """The conditional VAE with labels y, int64 [B] from 0 to classes - 1, and p(z | y) = N(0, I); notebook 06, 6.1.

    The encoder gets the label as a picture in one more channel, learned for each class; the decoder one-hot, beside z.
    """

    def __init__(
        self, latent_dim: int = 20, network: str = "mlp", image_shape: Shape = (1, 28, 28), classes: int = 10
    ) -> None:
        super().__init__(latent_dim, network, image_shape)
        c, h, w = image_shape
        self.config["classes"] = classes
        self.encoder = build_encoder(network, (c + 1, h, w), 2 * latent_dim)
        self.decoder = build_decoder(network, image_shape, latent_dim + classes)
        self.pictures = nn.Parameter(torch.zeros(classes, 1, h, w))

    def condition(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return the labels y.

        Raises: ValueError, as do all methods that take labels, if they are missing, not whole numbers, not one for each
        image or code, or not among the classes.
        """
        _check_labels(y, len(x), len(self.pictures))
        return y

    def encode(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of q(z | x, y)."""
        _check_labels(y, len(x), len(self.pictures))
        return super().encode(torch.cat([x, self.pictures[y]], dim=1))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return x_logits [B, C, H, W] of p(x | z, y)."""
        _check_labels(y, len(z), len(self.pictures))
        return super().decode(torch.cat([z, F.one_hot(y, len(self.pictures))], dim=1))

    def prior(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of p(z | y): zeros, whatever the label."""
        zeros = torch.zeros(len(y), self.config["latent_dim"], device=y.device)
        return zeros, zeros

    @torch.no_grad()
    def sample(self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Return one image [C, H, W] in [0, 1] for each label of y [B], from z ~ N(0, temperature^2 I), on the CPU.

        Raises: ValueError for what are no labels, or a negative temperature.
        """
        _check_labels(y, None, len(self.pictures))
        _check_sample(len(y), temperature)
        z = torch.randn(len(y), self.config["latent_dim"], generator=generator)
        return self.decode(temperature * z.to(self.pictures.device), y.to(self.pictures.device)).sigmoid()


@dataclass(frozen=True)
class Glimpse:
    """What a Completer knows of images before it sees them whole: notebook 06, section 6.8.

    seen [B, 1, H, W] is true where a pixel is given; mu and logvar [B, L] are of p(z | the seen pixels), features
    [B, F] what else the decoder is told of them.
    """

    seen: Tensor
    mu: Tensor
    logvar: Tensor
    features: Tensor


class Completer(ConditionalVAE):
    """Completes images of which a part is seen: the CVAE of Sohn, Lee & Yan (2015), with a learned p(z | seen pixels).

    One network looks at the seen pixels, and tells the prior and the decoder. quadrants says which part is given:
    1 the bottom left, 2 the left half, 3 all but the bottom right; None any part, another at each training step.
    With latent_dim 0 nothing is left to chance: the deterministic baseline, whose loss is the exact -log p.
    """

    def __init__(
        self,
        latent_dim: int = 32,
        network: str = "conv",
        image_shape: Shape = (1, 28, 28),
        quadrants: int | None = 1,
        features: int = 128,
    ) -> None:
        if latent_dim != 0:
            _check_latent_dim(latent_dim)
        if quadrants is not None:
            quadrants_seen(quadrants, *image_shape[1:])
        nn.Module.__init__(self)  # another encoder than a VAE's, or none
        c, h, w = image_shape
        self.config = {"latent_dim": latent_dim, "network": network, "image_shape": tuple(image_shape)}
        self.config |= {"quadrants": quadrants, "features": features}
        self.encoder = build_encoder(network, (c + 1, h, w), 2 * latent_dim) if latent_dim else None
        self.looker = build_encoder(network, (c + 1, h, w), 2 * latent_dim + features)
        self.decoder = build_decoder(network, image_shape, latent_dim + features)

    def condition(self, x: Tensor, y: Tensor | None = None) -> Glimpse:
        """Return a look at the part of x that this model is made for; the labels are not used."""
        quadrants, (_, h, w) = self.config["quadrants"], x.shape[1:]
        if quadrants is None and self.training:
            return self.look(x, any_part(len(x), h, w).to(x.device))
        return self.look(x, quadrants_seen(quadrants or 1, h, w).to(x.device))

    def look(self, x: Tensor, seen: Tensor) -> Glimpse:
        """Return what is known of images x [B, C, H, W] from the pixels where seen ([H, W], or [B, 1, H, W]) is true.

        Raises: ValueError if seen is not of booleans, or of another shape.
        """
        _check_seen(seen, x)
        seen = seen.expand(len(x), 1, *x.shape[2:])
        answer = self.looker(torch.cat([x * seen, seen], dim=1))
        latent = self.config["latent_dim"]
        mu, logvar, features = answer.split([latent, latent, self.config["features"]], dim=1)
        return Glimpse(seen, mu, logvar, F.silu(features))

    def encode(self, x: Tensor, given: Glimpse | None = None) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of q(z | x, seen), the recognition network: it sees the whole image."""
        _check_glimpse(given, len(x))
        if self.encoder is None:
            return given.mu, given.logvar
        return super().encode(torch.cat([x, given.seen], dim=1))

    def decode(self, z: Tensor, given: Glimpse | None = None) -> Tensor:
        """Return x_logits [B, C, H, W] of p(x | z, seen)."""
        _check_glimpse(given, len(z))
        return super().decode(torch.cat([z, given.features], dim=1))

    def prior(self, given: Glimpse) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of p(z | seen)."""
        return given.mu, given.logvar

    def nll(self, x_logits: Tensor, x: Tensor, given: Glimpse) -> Tensor:
        """Return -log p of the pixels [B] that were not seen, in nats."""
        return super().nll(x_logits.masked_fill(given.seen, -1e4), x.masked_fill(given.seen, 0.0))

    @torch.no_grad()
    def complete(
        self, x: Tensor, seen: Tensor | None = None, n: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return n completions [n, B, C, H, W] of images, their seen pixels kept, the others as their probabilities.

        z ~ p(z | seen) is drawn on the CPU. Without seen the part is the one that this model is made for.
        """
        given = self.condition(x) if seen is None else self.look(x, seen)
        eps = torch.randn(n, *given.mu.shape, generator=generator).to(x.device)
        z = given.mu + (0.5 * given.logvar).exp() * eps
        return torch.stack([torch.where(given.seen, x, self.decode(one, given).sigmoid()) for one in z])


def quadrants_seen(quadrants: int, height: int, width: int) -> Tensor:
    """Return a mask [H, W], true in the bottom left quadrant (1), the left half (2), all but the bottom right (3).

    The parts of Pyro's tutorial, after Sohn, Lee & Yan 2015; notebook 06, section 6.9.

    Raises: ValueError for another number.
    """
    if quadrants not in (1, 2, 3):
        raise ValueError(f"quadrants must be 1, 2 or 3, not {quadrants!r}")
    seen = torch.zeros(height, width, dtype=torch.bool)
    seen[height // 2 :, : width // 2] = True
    if quadrants > 1:
        seen[: height // 2, : width // 2] = True
    if quadrants > 2:
        seen[: height // 2] = True
    return seen


def any_part(n: int, height: int, width: int) -> Tensor:
    """Return n random masks [n, 1, H, W]: half of them some of the quadrants, half of them rows from the top."""
    which = torch.randint(1, 15, (n, 1, 1, 1))  # four bits, neither none nor all of them
    row, column = torch.arange(height)[:, None], torch.arange(width)
    quadrant = 2 * (row >= height // 2) + (column >= width // 2)  # [H, W]
    rows = torch.randint(1, height, (n, 1, 1, 1))
    return torch.where(
        torch.rand(n, 1, 1, 1) < 0.5, (which >> quadrant & 1).bool(), (row < rows).expand(-1, -1, -1, width)
    )


def _check_labels(y: Tensor | None, n: int | None, classes: int) -> None:
    wanted = f"the labels must be int64 [{'B' if n is None else n}], one for each image, from 0 to {classes - 1}"
    if not isinstance(y, Tensor):
        raise ValueError(f"{wanted}, not {y!r}: pass them as the last argument, a tensor")
    if y.dtype != torch.int64:
        raise ValueError(f"{wanted}, not {y.dtype}: convert them by .long(), or one-hot rows by .argmax(1)")
    if y.ndim != 1 or n not in (None, len(y)):
        raise ValueError(f"{wanted}, not of shape {list(y.shape)}: to ask for seven everywhere, torch.full((B,), 7)")
    if len(y) and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(f"{wanted}, not from {y.min()} to {y.max()}: number the classes from 0")


def _check_seen(seen: Tensor, x: Tensor) -> None:
    shapes = (x.shape[2:], (1, 1, *x.shape[2:]), (len(x), 1, *x.shape[2:]))
    if not isinstance(seen, Tensor) or seen.dtype != torch.bool or seen.shape not in shapes:
        came = f"{seen.dtype} {list(seen.shape)}" if isinstance(seen, Tensor) else repr(seen)
        h, w = x.shape[2:]
        raise ValueError(
            f"seen must be booleans, [{h}, {w}] or [{len(x)}, 1, {h}, {w}], not {came}: compare, as in x > 0.5"
        )


def _check_glimpse(given: Glimpse | None, n: int) -> None:
    if not isinstance(given, Glimpse) or len(given.seen) != n:
        came = f"one of {len(given.seen)}" if isinstance(given, Glimpse) else repr(given)
        raise ValueError(f"the condition must be a glimpse of {n} images, not {came}: pass what look(x, seen) returns")
