"""The autoencoder and the variational autoencoder."""

from numbers import Real

import torch
from torch import Tensor

from vae_utils import inputs
from vae_utils.losses import bernoulli_nll, gaussian_kl, reparameterize, squared_error
from vae_utils.models.base import Model, check_settings
from vae_utils.networks import Network, Shape, build_decoder, build_encoder

MOST_AT_ONCE = 100_000  # images drawn by one call: as many of 28 x 28 pixels take 0.3 GB
MOST_TEMPERATURE = 10.0  # sixty standard deviations are the end of what the pose of a PoseVAE can be


class Autoencoder(Model):
    """Squeeze an image through latent_dim numbers and draw it again; built in notebook 01, section 1.3.

    network names both networks ("mlp", "conv", "wide", "residual"), or is a pair of your own: (encoder, decoder).
    """

    def __init__(self, latent_dim: int, network: Network = "mlp", image_shape: Shape = (1, 28, 28)) -> None:
        super().__init__(latent_dim=latent_dim, network=network, image_shape=image_shape)

    def build(self, latent_dim: int, network: Network, image_shape: Shape) -> None:
        """Make the networks."""
        check_settings(self.config)
        self.encoder = build_encoder(network, image_shape, latent_dim)
        self.decoder = build_decoder(network, image_shape, latent_dim)

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes z [B, L] of images [B, C, H, W]."""
        self._check_images(x)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return x_logits [B, C, H, W] of codes [B, L]; their sigmoid is the picture."""
        self._check_codes(z)
        return self.decoder(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x_logits and z."""
        z = self.encode(x)
        return self.decode(z), z

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the squared error [B] of each image, and a zero: an autoencoder pays nothing for its codes."""
        x_logits, z = self(x)
        return squared_error(x_logits.sigmoid(), x), z.new_zeros(len(x))


class VAE(Model):
    """The variational autoencoder of Kingma & Welling (2014), with a Bernoulli decoder; built in notebook 04.

    network names both networks ("mlp", "conv", "wide", "residual"), or is a pair of your own: (encoder, decoder), the
    encoder [B, C, H, W] -> [B, 2 L], mu and logvar side by side.
    """

    def __init__(
        self, latent_dim: int = 20, network: Network = "mlp", image_shape: Shape = (1, 28, 28), **settings: object
    ) -> None:
        super().__init__(latent_dim=latent_dim, network=network, image_shape=image_shape, **settings)

    def build(self, latent_dim: int, network: Network, image_shape: Shape) -> None:
        """Make the networks; a kind with settings of its own takes them here."""
        check_settings(self.config)
        self.encoder = build_encoder(network, image_shape, 2 * latent_dim)
        self.decoder = build_decoder(network, image_shape, latent_dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of q(z | x) for images [B, C, H, W]."""
        self._check_images(x)
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Return x_logits [B, C, H, W] of p(x | z) for codes [B, L]."""
        self._check_codes(z)
        return self.decoder(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return x_logits of one sampled z, mu and logvar."""
        mu, logvar = self.encode(x)
        z = reparameterize(mu, logvar)
        return self.decode(z), mu, logvar

    def nll(self, x_logits: Tensor, x: Tensor) -> Tensor:
        """Return -log p(x | z) [B] in nats; a model with another likelihood overrides this one method."""
        return bernoulli_nll(x_logits, x)

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the two terms of the negative ELBO: recon [B] and kl [B], in nats."""
        x_logits, mu, logvar = self(x)
        return self.nll(x_logits, x), gaussian_kl(mu, logvar)

    @torch.no_grad()
    def sample(self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Return n images [n, C, H, W] in [0, 1], decoded from z ~ N(0, temperature^2 I), z drawn on the CPU.

        Raises: TypeError or ValueError if n is no whole number from 1 to 100,000, the temperature is not from 0 to 10,
        or the generator is none.
        """
        inputs.check_whole("n", n, 1)
        _check_sample("n", n, temperature, generator)
        device = next(self.parameters()).device
        z = torch.randn(n, self.config["latent_dim"], generator=generator)
        return self.decode(temperature * z.to(device)).sigmoid()


def _check_sample(name: str, n: int, temperature: float, generator: torch.Generator | None) -> None:
    """Refuse what no sample can be drawn with; name is of the argument that says how many are asked for."""
    if not 1 <= n <= MOST_AT_ONCE:
        raise ValueError(f"{name} must ask for 1 to {MOST_AT_ONCE:,} images at once, not {n:,}: draw more in parts")
    if not isinstance(temperature, Real | Tensor):  # NumPy's array of one number does not multiply a tensor
        raise TypeError(f"temperature must be a number, not {inputs.described(temperature)}: call float")
    inputs.check_number("temperature", temperature, 0)
    inputs.check_number("temperature", temperature, high=MOST_TEMPERATURE)
    inputs.check_generator("generator", generator)
