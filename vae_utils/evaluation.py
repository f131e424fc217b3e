"""Measure a trained model on held-out images: ELBO, likelihood, active units, neighbours."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vae_utils.data import Split
from vae_utils.losses import gaussian_log_density, importance_bound, reparameterize
from vae_utils.models import ConditionalVAE

CHUNK = 1000  # images at a time


def device_of(model: nn.Module) -> torch.device:
    """Return the device a model's weights are on."""
    return next(model.parameters()).device


@torch.no_grad()
def evaluate(model: nn.Module, split: Split, beta: float = 1.0, seed: int = 0) -> dict[str, float]:
    """Return the means of loss, recon and kl over a split; for a VAE with beta = 1 the loss is the -ELBO, in nats.

    One z is drawn for each image, from a seed of its own, so that two calls agree.
    """
    model.eval()
    recon, kl = torch.cat(_over_chunks(lambda x, y: torch.stack(model.terms(x, y)), model, split, seed), dim=1).mean(1)
    return {"loss": (recon + beta * kl).item(), "recon": recon.item(), "kl": kl.item()}


@torch.no_grad()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Return model(images) [B, ...] computed in chunks, on the CPU."""
    model.eval()
    return torch.cat([model(x.to(device_of(model))).cpu() for x in images.split(CHUNK)])


@torch.no_grad()
def encode_clouds(model: nn.Module, split: Split) -> tuple[Tensor, Tensor]:
    """Return mu and logvar of each image's cloud [N, L], on the CPU."""
    model.eval()
    both = torch.cat(_over_chunks(lambda x, y: torch.stack(_encode(model, x, y)).cpu(), model, split, seed=0), dim=1)
    return both[0], both[1]


@torch.no_grad()
def encode_means(model: nn.Module, split: Split) -> Tensor:
    """Return the code of each image [N, L] on the CPU: z of an autoencoder, mu of a VAE."""
    model.eval()

    def code(x: Tensor, y: Tensor) -> Tensor:
        code = _encode(model, x, y)
        return (code[0] if isinstance(code, tuple) else code).cpu()

    return torch.cat(_over_chunks(code, model, split, seed=0))


@torch.no_grad()
def log_likelihood(model: nn.Module, images: Tensor, samples: int, seed: int = 0, y: Tensor | None = None) -> Tensor:
    """Return an importance-sampled estimate of log p(x) [B], in nats: a lower bound on average.

    Burda, Grosse & Salakhutdinov 2016, equation 8, with the encoder as proposal. For grey pixels and
    a Bernoulli decoder p(x | z) is exp(-cross-entropy): a bound on the mean log p of black-and-white throws of x.
    For a conditional model it is log p(x | condition), as in Sohn, Lee & Yan 2015; notebook 06, sections 6.3 and 6.9.

    Shapes: images [B, C, H, W] in [0, 1], labels y [B] for a model that needs them -> [B].
    Raises: ValueError if samples is less than 1.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples}")
    model.eval()
    device, bounds = device_of(model), []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(images), 100):
            x = images[start : start + 100].to(device)
            given = _given(model, x, None if y is None else y[start : start + 100].to(device))
            mu, logvar = model.encode(x, *given)
            prior = model.prior(*given) if given else (0.0, 0.0)
            log_w = []
            for _ in range(samples):
                z = reparameterize(mu, logvar)
                log_p = gaussian_log_density(z, *prior) - model.nll(model.decode(z, *given), x, *given)
                log_w.append(log_p - gaussian_log_density(z, mu, logvar))
            bounds.append(importance_bound(torch.stack(log_w)).cpu())
    return torch.cat(bounds)


def active_units(model: nn.Module, split: Split, threshold: float = 0.01) -> Tensor:
    """Return which latent dimensions carry information [L], as booleans: Var over the data of E[z | x] > threshold.

    Burda, Grosse & Salakhutdinov 2016, section 5.2.
    """
    return encode_means(model, split).var(0) > threshold


@torch.no_grad()
def nearest_neighbours(queries: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each query, the index [B] of the closest image by Euclidean distance, and that distance [B].

    Shapes: queries [B, C, H, W] and images [N, C, H, W], float or uint8; uint8 counts as 0..255 / 255.
    Raises: ValueError if their image shapes differ.
    """
    if queries.shape[1:] != images.shape[1:]:
        raise ValueError(f"queries are {list(queries.shape[1:])}, images {list(images.shape[1:])}: they must agree")
    a = _floats(queries).flatten(1).cpu()
    best, index = torch.full((len(a),), float("inf")), torch.zeros(len(a), dtype=torch.long)
    for start in range(0, len(images), 10_000):
        distance, nearest = torch.cdist(a, _floats(images[start : start + 10_000]).flatten(1).cpu()).min(1)
        closer = distance < best
        best, index = torch.where(closer, distance, best), torch.where(closer, nearest + start, index)
    return index, best


def _given(model: nn.Module, x: Tensor, y: Tensor | None) -> tuple:
    """Return what a model is told beside x: its condition, or nothing."""
    return (model.condition(x, y),) if isinstance(model, ConditionalVAE) else ()


def _encode(model: nn.Module, x: Tensor, y: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    return model.encode(x, *_given(model, x, y))


def _floats(images: Tensor) -> Tensor:
    return images.float() / 255 if images.dtype == torch.uint8 else images


def _over_chunks(
    function: Callable[[Tensor, Tensor], Tensor], model: nn.Module, split: Split, seed: int
) -> list[Tensor]:
    """Apply a function of (x, y) to a split, chunk by chunk, with random numbers of its own."""
    device = device_of(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        chunks = (split[i : i + CHUNK] for i in range(0, len(split), CHUNK))
        return [function(x.to(device), y.to(device)) for x, y in chunks]
