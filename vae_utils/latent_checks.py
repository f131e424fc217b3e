"""What `latent` accepts. Inside `inputs.trusted()` none of these looks at a value: on a GPU that would be a wait."""

import math

import numpy as np
import torch
from torch import Tensor

from vae_utils import inputs

MOST_SHARE = 1e6  # of a way from code to code, in either direction: more is a slip


def check_way(a: Tensor, b: Tensor, t: float | Tensor) -> None:
    """Raise unless there is a point at share t of the straight line from a to b."""
    for name, value in (("a", a), ("b", b)):
        inputs.check_finite(name, inputs.check_floats(name, value))
    if a.shape != b.shape or a.ndim == 0:
        raise ValueError(f"a and b must both be [..., L], not {list(a.shape)} and {list(b.shape)}: reshape one of them")
    if isinstance(t, np.ndarray):
        raise TypeError(f"t must be a number or a tensor, not {inputs.described(t)}: use t.item() or torch.tensor(t)")
    if isinstance(t, Tensor):
        _check_shares(t, a)
    else:
        inputs.check_number("t", t, -MOST_SHARE, MOST_SHARE)
    if not inputs.is_trusted() and not (((1 - t) * a).isfinite().all() and (t * b).isfinite().all()):
        raise ValueError("a and b must not be so large that (1 - t) a or t b is infinite: scale them")


def _check_shares(t: Tensor, a: Tensor) -> None:
    inputs.check_finite("t", inputs.check_floats("t", t))
    if not inputs.is_trusted() and t.numel() and t.abs().max() > MOST_SHARE:
        raise ValueError(f"t must lie in [-1e6, 1e6], not {t.min():g} to {t.max():g}: it is a share of the way")
    try:
        fits = t.ndim == 0 or (t.shape[-1] == 1 and torch.broadcast_shapes(t.shape, a.shape))
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(f"t must be a number or [..., 1] that fits a {list(a.shape)}, not {list(t.shape)}")


def check_lengths(a: Tensor, b: Tensor) -> None:
    """Raise unless codes have lengths, of which there are angles."""
    for name, code in (("a", a), ("b", b)):
        if not inputs.is_trusted() and not code.square().sum(-1).isfinite().all():
            raise ValueError(f"{name} must not be so large that its length is infinite: scale it")


def check_probabilities(name: str, weights: Tensor) -> None:
    """Raise unless weights [K] lie in [0, 1] and sum to 1."""
    inputs.check_unit(name, weights)
    if not inputs.is_trusted() and not math.isclose(weights.sum(), 1, abs_tol=1e-3):
        raise ValueError(f"{name} must be probabilities, which sum to 1, not to {weights.sum():g}: divide by their sum")


def check_gaussians(mu: Tensor, logvar: Tensor) -> None:
    """Raise unless these are at least two Gaussians of finite moments."""
    inputs.check_finite("mu", inputs.check_floats("mu", mu, "N", "L"))
    inputs.check_finite("logvar", inputs.check_floats("logvar", logvar, *mu.shape))
    if len(mu) < 2 or mu.shape[1] == 0:
        raise ValueError(f"mu must be [N, L] with at least 2 images and 1 dimension, not {list(mu.shape)}")
    if not inputs.is_trusted() and not ((2 * mu).square().sum() + logvar.exp().sum()).isfinite():
        largest = f"{mu.abs().max():g} and {logvar.max():g}"
        raise ValueError(f"mu and logvar must be nearer to 0, not up to {largest}: mu^2 or exp(logvar) is infinite")


def check_classes(mu: Tensor, logvar: Tensor, labels: Tensor) -> Tensor:
    """Raise unless these are Gaussians with a label each; return how many each class has."""
    check_gaussians(mu, logvar)
    return inputs.check_labels("labels", labels, len(mu), len(mu)).bincount()
