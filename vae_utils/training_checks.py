"""What a training accepts, and what is said when it has gone wrong. None of these looks at a value on a GPU."""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from torch import Tensor, nn

from vae_utils import inputs

MOST_LR, MOST_BETA = 1e6, 1e9  # beyond these weights and losses overflow


def check_settings(steps: int, batch_size: int, lr: float, beta: float, seed: int) -> dict[str, int | float]:
    """Return the settings as Python's own numbers."""
    return {
        "steps": inputs.check_whole("steps", steps, 1, inputs.MOST_STEPS),
        "batch_size": inputs.check_whole("batch_size", batch_size, 1),
        "lr": inputs.check_number("lr", lr, 0, MOST_LR, above=True),
        "beta": inputs.check_number("beta", beta, 0, MOST_BETA),
        "seed": inputs.check_whole("seed", seed, 0, inputs.MOST_SEED),
    }


def check_looks(callback: Callable | None, callback_steps: Collection[int], steps: int) -> frozenset[int]:
    """Return when to call back."""
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function f(step, model), or None, not {inputs.described(callback)}")
    if not isinstance(callback_steps, Collection) or getattr(callback_steps, "ndim", 1) == 0:
        raise TypeError(f"callback_steps must be a collection of steps, not {inputs.described(callback_steps)}")
    looks = frozenset(inputs.check_whole("callback_steps", step, 0, steps) for step in callback_steps)
    if (callback is None) != (not looks):
        missing = "callback_steps were given without a callback: pass callback=f, called as f(step, model)"
        other = "callback was given without callback_steps: say when, as in callback_steps=range(0, steps + 1, 100)"
        raise ValueError(other if callback is not None else missing)
    return looks


def check_step(step: object) -> None:
    """Raise TypeError for what takes no step."""
    if not callable(step):
        came = inputs.described(step)
        raise TypeError(f"step must be a function as training.descend is, not {came}; their number is steps=...")


def check_model(model: nn.Module) -> None:
    """Raise TypeError or ValueError for what is no model that could learn."""
    if not isinstance(model, nn.Module) or not callable(getattr(model, "terms", None)):
        raise TypeError(f"model must be a module with terms(x, y) -> recon [B], kl [B], not a {type(model).__name__}")
    if not any(weights.requires_grad for weights in model.parameters()):
        raise ValueError(f"model must have weights that may learn, and this {type(model).__name__} has none")
    if any(weights.is_meta for weights in model.parameters()):
        raise ValueError(f"model must have weights that are numbers, and those of this {type(model).__name__} are none")


def check_data(model: nn.Module, split: object) -> None:
    """Look once at what the loop will not look at again."""
    check_model(model)
    inputs.check_split("split", split)
    if hasattr(model, "check_data"):
        model.check_data(split.shape, split.labels)


def check_log(log_dir: str | os.PathLike) -> Path:
    """Make a folder for TensorBoard. Raises: TypeError; ValueError if nothing can be written there."""
    path = inputs.check_path("log_dir", log_dir)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError("it may not be written to")
    except OSError as error:
        raise ValueError(f"log_dir {path} is no folder for curves: choose another ({error})") from None
    return path


def check_terms(terms: object, n: int) -> tuple[Tensor, Tensor]:
    """Return what a model says its loss is made of, if that is a recon and a kl for each of n images, and teaches.

    There may be more of them than images: the judge of digits adds forgeries. Raises: TypeError, ValueError.
    """
    if not isinstance(terms, tuple | list) or len(terms) != 2 or not all(map(_are_floats, terms)):
        came = ", ".join(map(inputs.described, terms)) if isinstance(terms, tuple) else inputs.described(terms)
        raise TypeError(f"model.terms(x, y) must return recon and kl, two tensors of floats, not {came}")
    recon, kl = terms
    if recon.ndim != 1 or recon.shape != kl.shape or len(recon) < n:
        raise ValueError(
            f"model.terms(x, y) must return recon [{n}] and kl [{n}], a number for each image, not {list(recon.shape)} "
            f"and {list(kl.shape)}: sum over pixels and over latent dimensions, and not over the batch"
        )
    if not (recon.requires_grad or kl.requires_grad):
        raise ValueError("model.terms(x, y) must return recon and kl that have gradients: leave out detach and no_grad")
    return recon, kl


def check_terms_of_step(terms: object) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a step has returned, if that is a loss and a recon and a kl. Raises: TypeError."""
    if not isinstance(terms, tuple) or len(terms) != 3 or not all(map(_are_floats, terms)) or terms[0].ndim:
        came = ", ".join(map(inputs.described, terms)) if isinstance(terms, tuple) else inputs.described(terms)
        raise TypeError(f"step must return loss [], recon [B] and kl [B], tensors of floats, and returned {came}")
    return terms


def _are_floats(term: object) -> bool:
    return isinstance(term, Tensor) and term.is_floating_point()


def loss_gone(step: int, loss: float, recon: float, kl: float) -> str:
    """Return what to say of a loss that is not finite."""
    cause = (
        "logvar has grown so large that exp(logvar) overflows"
        if kl == float("inf")
        else "the weights have become infinite or NaN, or the data hold such values"
    )
    return (
        f"at step {step} the loss is {loss} (recon {recon}, kl {kl}): most likely {cause}. "
        "Lower the learning rate, and build the model anew: its weights are no longer usable."
    )
