"""The terms of the loss, as pure functions: one value per example, in nats where it is a negative log probability.

B examples, D pixels, L latent dimensions, S samples. Sums run over D or L; the mean over B is the caller's.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_utils import inputs, loss_checks


def reparameterize(mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw z = mu + std * eps with eps ~ N(0, I), so that gradients reach mu and logvar.

    Kingma & Welling 2014, section 2.4; derived in notebook 03, section 3.2.

    Shapes: mu, logvar [B, L] -> [B, L].
    Raises: ValueError if the shapes differ or a value is not finite.
    """
    loss_checks.check_same_shape("mu", mu, "logvar", logvar)
    _check_finite(mu=mu, logvar=logvar)
    inputs.check_generator("generator", generator)
    std = (0.5 * logvar).exp()
    eps = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
    return mu + std * eps


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mu, exp(logvar)) || N(0, I)) of each example, in nats.

    0.5 * sum_L(mu^2 + exp(logvar) - 1 - logvar): Kingma & Welling 2014, appendix B; notebook 03, section 3.5.

    Shapes: mu, logvar [B, L] -> [B].
    Raises: ValueError if the shapes differ or a value is not finite.
    """
    loss_checks.check_same_shape("mu", mu, "logvar", logvar)
    _check_finite(mu=mu, logvar=logvar)
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)


def gaussian_kl_between(mu: Tensor, logvar: Tensor, mu_p: Tensor, logvar_p: Tensor) -> Tensor:
    """Return KL(N(mu, exp(logvar)) || N(mu_p, exp(logvar_p))) of each example, in nats: a prior may be learned.

    0.5 * sum_L(exp(logvar - logvar_p) + (mu - mu_p)^2 exp(-logvar_p) - 1 + logvar_p - logvar): notebook 03, 3.6.

    Shapes: mu, logvar [B, L]; mu_p, logvar_p the same, or what broadcasts against them -> [B].
    Raises: ValueError if mu and logvar, or mu_p and logvar_p, differ in shape, the prior has other rows or columns, a
    value is not finite, or logvar_p is so far from 0 that a distance over a width is no number.
    """
    loss_checks.check_same_shape("mu", mu, "logvar", logvar)
    loss_checks.check_same_shape("mu_p", mu_p, "logvar_p", logvar_p)
    loss_checks.check_prior(mu, mu_p)
    _check_finite(mu=mu, logvar=logvar, mu_p=mu_p, logvar_p=logvar_p)
    _check_width("logvar_p", mu, mu_p, logvar_p)
    width = (logvar - logvar_p).exp()
    shift = (mu - mu_p) ** 2 * (-logvar_p).exp()
    return 0.5 * (width + shift - 1 + logvar_p - logvar).sum(-1)


def categorical_kl(logits: Tensor) -> Tensor:
    """Return KL(Categorical(logits) || uniform) of each example, in nats: log K minus the entropy.

    sum_K(q log(q K)) with q = softmax(logits): notebook 03, section 3.6. Between 0 (undecided) and log K (certain).

    Shapes: logits [B, K] -> [B].
    Raises: ValueError if they are not finite, or further apart than a float can say.
    """
    loss_checks.check_values("logits", logits, 1)
    _check_finite(logits=logits.log_softmax(-1))
    log_q = logits.log_softmax(-1)
    return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum(-1)


def bernoulli_nll(x_logits: Tensor, x: Tensor) -> Tensor:
    """Return -log Bernoulli(x; sigmoid(x_logits)) of each example, in nats: the binary cross-entropy, summed.

    For pixels strictly between 0 and 1 it is the cross-entropy between two coins, not a log probability of x
    (notebook 04, section 4.6). Any finite logits give a finite value.

    Shapes: x_logits, x [B, ...] -> [B].
    Raises: ValueError if the shapes differ, a logit is not finite or a pixel lies outside [0, 1].
    """
    loss_checks.check_same_shape("x_logits", x_logits, "x", x, dimensions=2)
    _check_finite(x_logits=x_logits)
    inputs.check_unit("x", x)
    nll = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none").flatten(1).sum(1)
    return nll.clamp(max=torch.finfo(nll.dtype).max)  # the sum of huge logits could still overflow


def gaussian_nll(x_hat: Tensor, x: Tensor, sigma: float | Tensor) -> Tensor:
    """Return -log N(x; x_hat, sigma^2 I) of each example, in nats, with its constant.

    sum_D((x - x_hat)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2). A density, so it may be negative.

    Shapes: x_hat, x [B, ...] -> [B]; sigma a number or a tensor that broadcasts against x.
    Raises: ValueError if the shapes differ, a value is not finite or sigma is not positive.
    """
    loss_checks.check_same_shape("x_hat", x_hat, "x", x, dimensions=2)
    _check_finite(x_hat=x_hat, x=x)
    loss_checks.check_sigma(sigma, x)
    sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
    return (((x - x_hat) / sigma) ** 2 / 2 + sigma.log() + math.log(2 * math.pi) / 2).flatten(1).sum(1)


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the squared error of each example, summed over its pixels.

    Shapes: x_hat, x [B, ...] -> [B].
    Raises: ValueError if the shapes differ or a value is not finite.
    """
    loss_checks.check_same_shape("x_hat", x_hat, "x", x, dimensions=2)
    _check_finite(x_hat=x_hat, x=x)
    return ((x_hat - x) ** 2).flatten(1).sum(1)


def importance_bound(log_w: Tensor) -> Tensor:
    """Return log (1/S) sum_S w of each example, in nats: a lower bound of log p(x) on average, tighter as S grows.

    Burda, Grosse & Salakhutdinov 2016, equation 8, with log_w = log p(x, z) - log q(z | x). S = 1 gives the ELBO:
    notebook 02, section 2.3.

    Shapes: log_w [S, B] -> [B].
    Raises: ValueError if there is no sample, or a weight is NaN or infinite (log_w = -inf is a weight of 0).
    """
    loss_checks.check_samples(log_w)
    return torch.logsumexp(log_w, dim=0) - math.log(len(log_w))


def effective_beta(
    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    nll: Callable[[Tensor, Tensor], Tensor],
    *,
    image_shape: tuple[int, ...] = (1, 28, 28),
    latent_dim: int = 20,
) -> float:
    """Return the beta that a way of writing the loss amounts to: what a nat of KL costs in nats of reconstruction.

    The loss is asked, not read: at random answers of encoder and decoder its value must be
    a * mean_B(nll) + b * mean_B(KL) + constant, and beta = b / a, the same for B = 4 and 8. Notebook 03, section 3.7.

    Shapes: loss(x_out, x, mu, logvar) -> scalar and nll(x_out, x) -> [B] get x_out and x [B, *image_shape], x within
    [0, 1], and mu, logvar [B, L], all float64. nll says what a nat is: bernoulli_nll if x_out are logits, or
    gaussian_nll with a sigma of your choice.
    Raises: ValueError if the loss is no such sum (or is computed in 32 bits), or not finite, if beta depends on the
    batch size, or if a is not positive or b is negative (a sign is wrong); TypeError for what cannot be asked at all.
    """
    loss_checks.check_question(loss, nll, image_shape, latent_dim)
    betas = [_beta_for(batch, loss, nll, image_shape, latent_dim) for batch in (4, 8)]
    loss_checks.check_same_beta(*betas)
    return betas[0]


def _beta_for(batch: int, loss: Callable, nll: Callable, image_shape: tuple[int, ...], latent_dim: int) -> float:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, *image_shape, generator=generator, dtype=torch.float64)
    rows, values = [], []
    for k in range(8):
        x_out = (0.3 + 0.2 * k) * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        spread = 0.3 + 0.2 * (3 * k % 8)  # both terms differ from probe to probe, and not in step
        mu, logvar = spread * torch.randn(2, batch, latent_dim, generator=generator, dtype=x.dtype)
        cost = _answer("nll", nll, [batch], x_out=x_out, x=x)
        value = _answer("loss", loss, [], x_out=x_out, x=x, mu=mu, logvar=logvar)
        rows.append(torch.stack([cost.mean(), gaussian_kl(mu, logvar).mean(), x.new_ones(())]).detach().double())
        values.append(value.detach())
    terms, value = torch.stack(rows), torch.stack(values).double()
    a, b, constant = torch.linalg.lstsq(terms, value[:, None]).solution[:, 0].tolist()
    misfit = (terms @ terms.new_tensor([a, b, constant]) - value).abs().max().item()
    loss_checks.check_weighted_sum(misfit, a, b, *terms[:, :2].std(0).tolist())
    return max(0.0, b / a)


def _answer(name: str, function: Callable, shape: list[int], **given: Tensor) -> Tensor:
    """Return what a function says to this, of this shape and finite; what it raises stays as the cause."""
    try:
        value = function(*given.values())
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        kind, came = TypeError if isinstance(error, TypeError) else ValueError, f"{type(error).__name__}: {error}"
        raise kind(f"{name} must be a function of {', '.join(given)}; asked with these it raised {came}") from error
    loss_checks.check_answer(name, value, shape)
    inputs.check_finite(name, value)
    return value


def gaussian_log_density(z: Tensor, mu: Tensor | float = 0.0, logvar: Tensor | float = 0.0) -> Tensor:
    """Return log N(z; mu, exp(logvar)) summed over the last dimension, in nats; N(0, I) by default.

    Shapes: z [..., L], mu and logvar broadcast against it -> [...].
    Raises: ValueError if they do not, a value is not finite, or logvar is so far from 0 that a distance over a width is
    no number.
    """
    loss_checks.check_density(z, mu, logvar)
    _check_finite(z=z, mu=mu, logvar=logvar)
    _check_width("logvar", z, mu, logvar)
    mu, logvar = (torch.as_tensor(v, dtype=z.dtype, device=z.device) for v in (mu, logvar))
    return (-0.5 * ((z - mu) ** 2 * (-logvar).exp() + logvar + math.log(2 * math.pi))).sum(-1)


def _check_finite(**values: Tensor | float) -> None:
    for name, value in values.items():
        if isinstance(value, Tensor):  # numbers were looked at before
            inputs.check_finite(name, value)


def _check_width(name: str, a: Tensor, b: Tensor | float, logvar: Tensor | float) -> None:
    """Refuse the finite numbers that would give NaN: no distance over no width, or infinities of both."""
    if inputs.is_trusted():
        return
    b, logvar = (torch.as_tensor(v, dtype=a.dtype, device=a.device) for v in (b, logvar))
    if ((a - b) ** 2 * (-logvar).exp()).isnan().any():
        raise ValueError(
            f"{name} must be nearer to 0: exp({name}) is 0 or infinite in {a.dtype}, and a squared distance divided by "
            "that is no number. Clamp it, or count in 64 bits"
        )
