"""What the losses accept. Inside `inputs.trusted()` none of these looks at a value: on a GPU that would be a wait."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_utils import inputs


def check_values(name: str, value: Tensor, dimensions: int, empty: bool = False) -> None:
    """Raise unless a value is floats of at least so many dimensions; the last may be empty where that has a meaning."""
    inputs.check_floats(name, value)
    if value.ndim < dimensions or (value.shape[-1] == 0 and not empty):
        wanted = "[B, ...]" if dimensions == 2 else "[..., L]"
        raise ValueError(f"{name} must be {wanted}, not {list(value.shape)}: reshape it")


def check_same_shape(first: str, a: Tensor, second: str, b: Tensor, dimensions: int = 1) -> None:
    """Raise unless two tensors of floats have the same shape."""
    check_values(first, a, dimensions, empty=True)  # no latent number at all: a deterministic model
    check_values(second, b, dimensions, empty=True)
    if a.shape != b.shape:
        shapes = f"{list(a.shape)} and {list(b.shape)}"
        raise ValueError(f"{first} and {second} must have the same shape, not {shapes}: reshape one of them")


def check_prior(mu: Tensor, mu_p: Tensor) -> None:
    """Refuse a prior that gives another number of examples or of dimensions than the posteriors have."""
    shape = _together(mu, mu_p)
    if shape is None or len(shape) != mu.ndim or (shape[0], shape[-1]) != (mu.shape[0], mu.shape[-1]):
        shapes = f"{list(mu_p.shape)} and {list(mu.shape)}"
        raise ValueError(f"mu_p must broadcast against mu, not add rows or columns to it: they are {shapes}")


def _together(*tensors: Tensor) -> torch.Size | None:
    """Return the shape that tensors broadcast to, or None."""
    try:
        return torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
    except RuntimeError:
        return None


def check_samples(log_w: Tensor) -> None:
    """Raise unless log-weights are [S, B], each a number or -inf."""
    inputs.check_floats("log_w", log_w)
    if log_w.ndim != 2 or len(log_w) == 0:
        raise ValueError(f"log_w must be [S, B] with at least one sample, not {list(log_w.shape)}: stack the samples")
    inputs.check_finite("log_w", log_w.clamp(min=torch.finfo(log_w.dtype).min))


def check_sigma(sigma: float | Tensor, x: Tensor) -> None:
    """Raise unless sigma is positive, and broadcasts against x."""
    least = torch.finfo(x.dtype).tiny  # beneath it a number of this type may count as 0
    if not isinstance(sigma, Tensor):
        inputs.check_number("sigma", sigma, least, torch.finfo(x.dtype).max)
        return
    if _together(sigma, x) != x.shape:
        raise ValueError(f"sigma must broadcast against x {list(x.shape)}, not be {list(sigma.shape)}: reshape it")
    if not inputs.is_trusted() and not bool(((sigma >= least) & sigma.isfinite()).all()):
        raise ValueError(f"sigma must be positive and finite, not {sigma.tolist()}: use log_sigma.exp()")


def check_density(z: Tensor, mu: Tensor | float, logvar: Tensor | float) -> None:
    """Raise unless mu and logvar are numbers, or broadcast against z."""
    check_values("z", z, 1, empty=True)
    for name, value in (("mu", mu), ("logvar", logvar)):
        if not isinstance(value, Tensor):
            inputs.check_number(name, value)
        elif _together(z, value) != z.shape:
            raise ValueError(f"{name} must broadcast against z {list(z.shape)}, not be {list(value.shape)}: reshape it")


def check_question(loss: Callable, nll: Callable, image_shape: tuple[int, ...], latent_dim: int) -> None:
    """Raise unless these can be asked for a beta."""
    for name, function in (("loss", loss), ("nll", nll)):
        if not callable(function):
            raise TypeError(f"{name} must be a function, not {inputs.described(function)}: pass it without calling it")
    inputs.check_whole("latent_dim", latent_dim, 1, 100_000)
    if not isinstance(image_shape, tuple | list) or not image_shape:
        raise TypeError(f"image_shape must be a tuple such as (1, 28, 28), not {inputs.described(image_shape)}")
    pixels = math.prod(inputs.check_whole("image_shape", size, 1) for size in image_shape)
    inputs.check_size("image_shape", 1, pixels)


def check_answer(name: str, value: Tensor, shape: list[int]) -> None:
    """Raise unless a function answered with a tensor of a shape."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or list(value.shape) != shape:
        wanted = "a scalar" if not shape else f"the shape {shape}"
        came = inputs.described(value)
        raise TypeError(f"{name} must return a tensor of floats of {wanted}, not {came}: leave out .item() or a mean")
    inputs.check_finite(name, value)


def check_weighted_sum(misfit: float, a: float, b: float, nll_spread: float, kl_spread: float) -> None:
    """Raise unless a loss was a weighted sum of both terms, with positive weights."""
    terms = [abs(a) * nll_spread, abs(b) * kl_spread]
    if not misfit <= 1e-6 * (min(terms) if terms[1] > 1e-9 * terms[0] else terms[0]):  # no KL at all is allowed
        raise ValueError(
            "the loss is not a weighted sum of mean_B(nll) and mean_B(KL): one of its terms is another quantity. Check "
            "its KL (mu^2 + exp(logvar) - 1 - logvar), that nll is the likelihood that it uses, and that it stays in "
            "64 bits"
        )
    if a <= 0 or b < -1e-9 * a:
        raise ValueError(
            f"a nat of reconstruction changes the loss by {a:.3g} and a nat of KL by {b:.3g}, but a loss that is to be "
            "minimised has both positive: look for a wrong sign"
        )


def check_same_beta(small: float, large: float) -> None:
    """Raise unless beta is the same for both batch sizes."""
    if not math.isclose(small, large, rel_tol=1e-6, abs_tol=1e-12):
        raise ValueError(
            f"beta depends on the batch size: {small:.4g} for 4 images and {large:.4g} for 8. One term is summed over "
            "the batch and the other averaged, or divided by a fixed number: reduce both in the same way"
        )
