"""The terms of the loss, as pure functions: one value per example, in nats where it is a price.

B examples, D pixels, L latent dimensions, S samples. Sums run over D or L; the mean over B is the caller's.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def reparameterize(mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw z = mu + std * eps with eps ~ N(0, I), so that gradients reach mu and logvar.

    Kingma & Welling 2014, section 2.4; by hand in notebook 04, section 4.1.

    Shapes: mu, logvar [B, L] -> [B, L].
    Raises: ValueError if the shapes differ.
    """
    _check_same_shape("mu", mu, "logvar", logvar)
    std = (0.5 * logvar).exp()
    eps = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
    return mu + std * eps


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mu, exp(logvar)) || N(0, I)) of each example, in nats.

    0.5 * sum_L(mu^2 + exp(logvar) - 1 - logvar): Kingma & Welling 2014, appendix B; notebook 04, section 4.1.

    Shapes: mu, logvar [B, L] -> [B].
    Raises: ValueError if the shapes differ.
    """
    _check_same_shape("mu", mu, "logvar", logvar)
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)


def bernoulli_nll(x_logits: Tensor, x: Tensor) -> Tensor:
    """Return -log Bernoulli(x; sigmoid(x_logits)) of each example, in nats: the binary cross-entropy, summed.

    For pixels strictly between 0 and 1 it is the cross-entropy between two coins, not a log probability of x
    (notebook 04, section 4.6). Any finite logits give a finite value.

    Shapes: x_logits, x [B, ...] -> [B].
    Raises: ValueError if the shapes differ or a pixel lies outside [0, 1].
    """
    _check_same_shape("x_logits", x_logits, "x", x)
    _check_unit_interval(x)
    nll = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").flatten(1).sum(1)
    return nll.clamp(max=torch.finfo(nll.dtype).max)  # the sum of huge logits could still overflow


def gaussian_nll(x_hat: Tensor, x: Tensor, sigma: float | Tensor) -> Tensor:
    """Return -log N(x; x_hat, sigma^2 I) of each example, in nats, with its constant.

    sum_D((x - x_hat)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2). A density, so it may be negative.

    Shapes: x_hat, x [B, ...] -> [B]; sigma a number or a tensor that broadcasts against x.
    Raises: ValueError if the shapes differ or sigma is not positive.
    """
    _check_same_shape("x_hat", x_hat, "x", x)
    _check_positive("sigma", sigma)
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    return (((x - x_hat) / sigma) ** 2 / 2 + sigma.log() + math.log(2 * math.pi) / 2).flatten(1).sum(1)


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the squared error of each example, summed over its pixels.

    Shapes: x_hat, x [B, ...] -> [B].
    Raises: ValueError if the shapes differ.
    """
    _check_same_shape("x_hat", x_hat, "x", x)
    return ((x_hat - x) ** 2).flatten(1).sum(1)


def importance_bound(log_w: Tensor) -> Tensor:
    """Return log (1/S) sum_S w of each example, in nats: a lower bound of log p(x) on average, tighter as S grows.

    Burda, Grosse & Salakhutdinov 2016, equation 8, with log_w = log p(x, z) - log q(z | x). S = 1 gives the ELBO.

    Shapes: log_w [S, B] -> [B].
    Raises: ValueError if there is no sample.
    """
    if log_w.ndim != 2 or len(log_w) == 0:
        raise ValueError(f"log_w must be [S, B] with at least one sample, not {list(log_w.shape)}")
    return torch.logsumexp(log_w, dim=0) - math.log(len(log_w))


def gaussian_log_density(z: Tensor, mu: Tensor | float = 0.0, logvar: Tensor | float = 0.0) -> Tensor:
    """Return log N(z; mu, exp(logvar)) summed over the last dimension, in nats; N(0, I) by default.

    Shapes: z [..., L], mu and logvar broadcast against it -> [...].
    """
    mu, logvar = (torch.as_tensor(v, dtype=z.dtype, device=z.device) for v in (mu, logvar))
    return (-0.5 * ((z - mu) ** 2 * (-logvar).exp() + logvar + math.log(2 * math.pi))).sum(-1)


def _check_same_shape(first: str, a: Tensor, second: str, b: Tensor) -> None:
    if a.shape != b.shape:
        shapes = f"{list(a.shape)} and {list(b.shape)}"
        raise ValueError(f"{first} and {second} must have the same shape, not {shapes}: reshape one of them")


def _check_unit_interval(x: Tensor) -> None:
    if x.numel() and not (x.min() >= 0 and x.max() <= 1):
        span = f"{x.min().item():.3g} to {x.max().item():.3g}"
        raise ValueError(f"x must lie in [0, 1], not {span}: undo the normalisation, or use gaussian_nll")


def _check_positive(name: str, value: float | Tensor) -> None:
    if not bool((torch.as_tensor(value) > 0).all()):
        raise ValueError(f"{name} must be positive, not {value}")
