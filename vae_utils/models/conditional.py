"""Variational autoencoders that are told something, and the one that is told the class. Built in notebook 06."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_utils import inputs
from vae_utils.losses import bernoulli_nll, gaussian_kl_between, reparameterize
from vae_utils.models.base import Model, check_settings
from vae_utils.models.vae import _check_sample
from vae_utils.networks import Network, Shape, build_decoder, build_encoder


class ConditionalVAE(Model):
    """What conditional models share: q(z | x, c), p(z | c) and p(x | z, c), the condition c always the last argument.

    A kind of its own has condition(x, y) -> c, what it is told about a batch; encode(x, c) and prior(c) -> mu and
    logvar [B, L]; decode(z, c) -> x_logits [B, C, H, W]. Whoever measures models asks for `condition` to see whether
    one is conditional.
    """

    def nll(self, x_logits: Tensor, x: Tensor, given: object = None) -> Tensor:
        """Return -log p(x | z, condition) [B] in nats."""
        return bernoulli_nll(x_logits, x)

    def forward(self, x: Tensor, given: object) -> tuple[Tensor, Tensor, Tensor]:
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
    network names both, or is a pair of your own, (encoder, decoder), for inputs of these sizes.
    """

    labels = "all"
    numbers = 1  # that the decoder returns for each pixel

    def __init__(
        self,
        latent_dim: int = 20,
        network: Network = "mlp",
        image_shape: Shape = (1, 28, 28),
        classes: int = 10,
        **settings: object,
    ) -> None:
        super().__init__(latent_dim=latent_dim, network=network, image_shape=image_shape, classes=classes, **settings)

    def build(self, latent_dim: int, network: Network, image_shape: Shape, classes: int) -> None:
        """Make the networks and the pictures of the labels."""
        check_settings(self.config)
        c, h, w = image_shape
        self.encoder = build_encoder(network, (c + 1, h, w), 2 * latent_dim)
        self.decoder = build_decoder(network, (self.numbers * c, h, w), latent_dim + classes)
        self.pictures = nn.Parameter(torch.zeros(classes, 1, h, w))

    def condition(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the labels y.

        Raises: TypeError or ValueError, as do all methods that take labels, if they are missing, not whole numbers, not
        one for each image or code, or not among the classes.
        """
        inputs.check_images("x", x, self.config["image_shape"])
        _check_labels(self, y, len(x))
        return y

    def encode(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of q(z | x, y)."""
        self._check_images(x)
        _check_labels(self, y, len(x))
        mu, logvar = self.encoder(torch.cat([x, self.pictures[y]], dim=1)).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor, y: Tensor) -> Tensor:
        """Return x_logits [B, C, H, W] of p(x | z, y)."""
        self._check_codes(z)
        _check_labels(self, y, len(z))
        return self.decoder(torch.cat([z, F.one_hot(y, len(self.pictures))], dim=1))

    def prior(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of p(z | y): zeros, whatever the label."""
        _check_labels(self, y, None)
        zeros = torch.zeros(len(y), self.config["latent_dim"], device=y.device)
        return zeros, zeros

    @torch.no_grad()
    def sample(self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Return one image [C, H, W] in [0, 1] for each label of y [B], from z ~ N(0, temperature^2 I), on the CPU.

        Raises: TypeError or ValueError for what are no labels, none or more than 100,000 of them, a temperature that is
        not from 0 to 10, or what is no generator.
        """
        _check_labels(self, y, None)
        _check_sample("y", len(y), temperature, generator)
        z = torch.randn(len(y), self.config["latent_dim"], generator=generator)
        return self.decode(temperature * z.to(self.pictures.device), y.to(self.pictures.device)).sigmoid()


def _check_labels(model: CVAE, y: Tensor | None, n: int | None) -> None:
    inputs.check_labels("y", y, n, len(model.pictures))
