"""The models of the series. Each knows its configuration, and the terms of its loss."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vae_utils.losses import bernoulli_nll, gaussian_kl, reparameterize, squared_error
from vae_utils.networks import Shape, build_decoder, build_encoder


class Autoencoder(nn.Module):
    """Squeeze an image through latent_dim numbers and draw it again; built in notebook 01, section 1.3."""

    def __init__(self, latent_dim: int, network: str = "mlp", image_shape: Shape = (1, 28, 28)) -> None:
        _check_latent_dim(latent_dim)
        super().__init__()
        self.config = {"latent_dim": latent_dim, "network": network, "image_shape": tuple(image_shape)}
        self.encoder = build_encoder(network, image_shape, latent_dim)
        self.decoder = build_decoder(network, image_shape, latent_dim)

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes z [B, L] of images [B, C, H, W]."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return x_logits [B, C, H, W] of codes [B, L]; their sigmoid is the picture."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x_logits and z."""
        z = self.encode(x)
        return self.decode(z), z

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the squared error [B] of each image, and a zero: an autoencoder pays nothing for its codes."""
        x_logits, z = self(x)
        return squared_error(x_logits.sigmoid(), x), z.new_zeros(len(x))


class VAE(nn.Module):
    """The variational autoencoder of Kingma & Welling (2014), with a Bernoulli decoder; built in notebook 04."""

    def __init__(self, latent_dim: int = 20, network: str = "mlp", image_shape: Shape = (1, 28, 28)) -> None:
        _check_latent_dim(latent_dim)
        super().__init__()
        self.config = {"latent_dim": latent_dim, "network": network, "image_shape": tuple(image_shape)}
        self.encoder = build_encoder(network, image_shape, 2 * latent_dim)
        self.decoder = build_decoder(network, image_shape, latent_dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar [B, L] of q(z | x) for images [B, C, H, W]."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Return x_logits [B, C, H, W] of p(x | z) for codes [B, L]."""
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

        Raises: ValueError if n is less than 1 or the temperature is negative.
        """
        _check_sample(n, temperature)
        device = next(self.parameters()).device
        z = torch.randn(n, self.config["latent_dim"], generator=generator)
        return self.decode(temperature * z.to(device)).sigmoid()


class DigitJudge(nn.Module):
    """A classifier that measures samples: images [B, C, H, W] -> logits [B, classes + 1], the last "none of these".

    It learns "none of these" from forgeries: two images of different classes laid over each other, averaged or spliced,
    and images lost in smooth noise. A plain classifier accepts many of them.
    """

    def __init__(self, classes: int = 10, image_shape: Shape = (1, 28, 28)) -> None:
        super().__init__()
        c, h, w = image_shape
        self.config = {"classes": classes, "image_shape": tuple(image_shape)}
        self.layers = nn.Sequential(
            nn.Conv2d(c, 16, 5, stride=2, padding=2), nn.SiLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * (h // 4) * (w // 4), 128), nn.SiLU(),
            nn.Linear(128, classes + 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes and of "none of these"."""
        return self.layers(x)

    def terms(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of each image and of the forgeries made from the batch, and zeros."""
        false = forgeries(x, y)[: int(0.4 * len(x))]
        soft = nn.functional.avg_pool2d(x, 3, stride=1, padding=1)  # a quarter is shown blurred: softness is no crime
        shown = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < 0.25, soft, x)
        target = torch.cat([y, y.new_full((len(false),), self.config["classes"])])
        loss = nn.functional.cross_entropy(self(torch.cat([shown, false])), target, reduction="none")
        return loss, torch.zeros_like(loss)


def forgeries(x: Tensor, y: Tensor) -> Tensor:
    """Return images [M, C, H, W], M at most B: two images of different classes joined, or one lost in smooth noise.

    Shapes: x [B, C, H, W], y [B].
    """
    partner = torch.randperm(len(x), device=x.device)
    a, b = (images[y != y[partner]] for images in (x, x[partner]))
    height, n = x.shape[2], len(a)
    cut = torch.randint(height // 3, 2 * height // 3 + 1, (n, 1, 1, 1), device=x.device)
    spliced = torch.where(torch.arange(height, device=x.device).view(1, 1, -1, 1) < cut, a, b)
    noise = nn.functional.avg_pool2d(torch.rand_like(a), 5, stride=1, padding=2, count_include_pad=False)
    lost = 0.6 * (0.5 + 4 * (noise - 0.5)).clamp(0, 1) + 0.4 * a * torch.rand(n, 1, 1, 1, device=x.device)
    how = torch.rand(n, 1, 1, 1, device=x.device)
    joined = torch.where(how < 0.5, torch.maximum(a, b), torch.where(how < 0.7, (a + b) / 2, spliced))
    return torch.where(torch.rand(n, 1, 1, 1, device=x.device) < 0.2, lost, joined)


KNOWN: dict[str, Callable[..., nn.Module]] = {"Autoencoder": Autoencoder, "VAE": VAE, "DigitJudge": DigitJudge}


def _check_latent_dim(latent_dim: int) -> None:
    if not isinstance(latent_dim, int) or latent_dim < 1:
        raise ValueError(f"latent_dim must be a whole number of at least 1, not {latent_dim!r}")


def _check_sample(n: int, temperature: float) -> None:
    if n < 1 or temperature < 0:
        raise ValueError(f"n must be at least 1 and temperature not negative, not {n} and {temperature}")
