"""Measure a trained model on held-out images: ELBO, likelihood, codes, active units. Its mode stays as it was."""

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vae_utils import inputs
from vae_utils.data import Split
from vae_utils.losses import gaussian_log_density, importance_bound
from vae_utils.models import Model, evaluating
from vae_utils.runtime import own_random_numbers

CHUNK = 1000  # images at a time
ROWS = 2000  # codes decoded at a time, for an importance-sampled likelihood
MOST_SAMPLES = 100_000  # of z for one image
MOST_BETA = 1e6


def device_of(model: nn.Module) -> torch.device:
    """Return the device a model's weights are on.

    Raises: TypeError for what is no module with weights.
    """
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if weight is None:
        raise TypeError(f"model must be a module with weights, not {inputs.described(model)}")
    return weight.device


def evaluate(model: nn.Module, split: Split, beta: float = 1.0, seed: int = 0) -> dict[str, float]:
    """Return the means of loss, recon and kl over a split; for a VAE with beta = 1 the loss is the -ELBO, in nats.

    One z is drawn for each image, from a seed of its own, so that two calls agree.

    Raises: TypeError or ValueError for a model without `terms`, a split that it cannot read or an empty one, a beta
    that is none from 0 to 1,000,000, or another seed.
    """
    _check_able(model, "terms")
    beta = inputs.check_number("beta", beta, 0, MOST_BETA)
    terms = _over_chunks(lambda x, y: torch.stack(model.terms(x, y)), model, split, seed)
    recon, kl = torch.cat(terms, dim=1).mean(1)
    return {"loss": (recon + beta * kl).item(), "recon": recon.item(), "kl": kl.item()}


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Return model(images) [B, ...] computed in chunks, on the CPU.

    Shapes: images [B, C, H, W], uint8 or in [0, 1].
    Raises: TypeError or ValueError for other images, or none, and for a model that does not make a tensor of images.
    """
    x, device = _images(model, images), device_of(model)
    with evaluating(model), inputs.trusted():
        return torch.cat(_numbers([_answer(model, part.to(device)).cpu() for part in x.split(CHUNK)]))


def _answer(model: nn.Module, x: Tensor) -> Tensor:
    """Return model(x) of images that were looked at; refuse a model that cannot read them, or answers otherwise."""
    told = inspect.signature(model.forward).parameters.values()
    if sum(part.default is part.empty and part.kind is part.POSITIONAL_OR_KEYWORD for part in told) > 1:
        raise TypeError(f"model must read images alone, and a {type(model).__name__} wants to be told more: call it")
    try:
        answer = model(x)
    except RuntimeError as error:
        if isinstance(model, Model):  # reads images of this shape: it failed for another reason
            raise
        raise ValueError(f"model must read images {list(x.shape)}, and raised: {error}") from error
    if not isinstance(answer, Tensor):
        came = inputs.described(answer) if answer is None else type(answer).__name__
        raise TypeError(f"model must make one tensor, and a {type(model).__name__} makes a {came}: use encode_means")
    return answer


def encode_posteriors(model: nn.Module, split: Split) -> tuple[Tensor, Tensor]:
    """Return mu and logvar [N, L] of the approximate posterior of each image, on the CPU.

    Raises: TypeError for a model that answers with no distribution (an autoencoder), or that has none; as `evaluate`.
    """

    def both(x: Tensor, y: Tensor) -> Tensor:
        code = _encode(model, x, y)
        if not isinstance(code, tuple):
            raise TypeError(f"model must give mu and logvar, and a {type(model).__name__} gives one code: encode_means")
        return torch.stack(code).cpu()

    mu, logvar = torch.cat(_over_chunks(both, model, split, seed=0), dim=1)
    return mu, logvar


def encode_means(model: nn.Module, split: Split) -> Tensor:
    """Return the code of each image [N, L] on the CPU: z of an autoencoder, mu of a VAE.

    Raises: TypeError for a model without codes, such as a classifier; as `evaluate`.
    """

    def code(x: Tensor, y: Tensor) -> Tensor:
        code = _encode(model, x, y)
        return (code[0] if isinstance(code, tuple) else code).cpu()

    return torch.cat(_over_chunks(code, model, split, seed=0))


def log_likelihood(model: nn.Module, images: Tensor, samples: int, seed: int = 0, y: Tensor | None = None) -> Tensor:
    """Return an importance-sampled estimate of log p(x) [B], in nats: a lower bound on average.

    Burda, Grosse & Salakhutdinov 2016, equation 8, with the encoder as proposal. For grey pixels and
    a Bernoulli decoder p(x | z) is exp(-cross-entropy): a bound on the mean log p of x binarised by sampling.
    For a conditional model it is log p(x | condition), as in Sohn, Lee & Yan 2015; notebook 06, sections 6.3 and 6.9.
    All samples of some images are decoded as one batch, which keeps a GPU busy.

    Shapes: images [B, C, H, W], uint8 or in [0, 1]; labels y [B] for a model that needs them -> [B].
    Raises: TypeError or ValueError if samples is no whole number from 1 to 100,000, images or y are not as said, or the
    model has no likelihood.
    """
    inputs.check_whole("samples", samples, 1, MOST_SAMPLES)
    _check_able(model, "encode", "decode", "nll")
    x = _images(model, images)
    if y is not None:
        inputs.check_labels("y", y, len(x), None)
    device, bounds = device_of(model), []
    seed = inputs.check_whole("seed", seed, 0, inputs.MOST_SEED)
    with evaluating(model), own_random_numbers(seed, device), inputs.trusted():
        each = max(1, ROWS // samples)
        for start in range(0, len(x), each):
            labels = None if y is None else y[start : start + each].to(device)
            bounds.append(
                importance_bound(_log_weights(model, x[start : start + each].to(device), labels, samples)).cpu()
            )
    return torch.cat(_numbers(bounds))


def _log_weights(model: nn.Module, x: Tensor, y: Tensor | None, samples: int) -> Tensor:
    """Return log p(x, z) - log q(z | x) [S, B] of samples from the encoder."""
    given = _given(model, x, y)
    mu, logvar = model.encode(x, *given)
    prior = model.prior(*given) if given else (0.0, 0.0)
    z = mu + (0.5 * logvar).exp() * torch.randn(samples, *mu.shape, device=mu.device)  # [S, B, L]
    log_w = gaussian_log_density(z, *prior) - gaussian_log_density(z, mu, logvar)
    parts = max(1, ROWS // len(x))
    for first in range(0, samples, parts):
        some = z[first : first + parts]
        again = [_repeated(part, len(some)) for part in given]
        x_logits = model.decode(some.flatten(0, 1), *again)
        log_w[first : first + parts] -= model.nll(x_logits, _repeated(x, len(some)), *again).view(len(some), -1)
    return log_w


def _repeated(part: object, times: int) -> object:
    """Return images, labels or another condition again and again, as long as z of that many samples."""
    return part.repeat(times, *[1] * (part.ndim - 1)) if isinstance(part, Tensor) else part.repeat(times)


def active_units(model: nn.Module, split: Split, threshold: float = 0.01) -> Tensor:
    """Return which latent dimensions carry information [L], as booleans: Var over the data of E[z | x] > threshold.

    Burda, Grosse & Salakhutdinov 2016, section 5.2.

    Raises: ValueError for fewer than two images, which have no variance.
    """
    threshold = inputs.check_number("threshold", threshold, 0)
    inputs.check_split("split", split)
    if len(split) < 2:
        raise ValueError(f"split must have at least two images, for a variance, not {len(split)}")
    return encode_means(model, split).var(0) > threshold


def _check_able(model: nn.Module, *methods: str) -> None:
    """Refuse what is no module with weights, or lacks what a measure asks of it."""
    device_of(model)
    missing = [name for name in methods if not callable(getattr(model, name, None))]
    if missing:
        raise TypeError(f"model must have {', '.join(methods)}: {type(model).__name__} has no {missing[0]}")


def _images(model: nn.Module, images: Tensor) -> Tensor:
    """Return images as a model reads them, after a look at values and shape."""
    device_of(model)
    x = inputs.to_unit(images, "images")
    return inputs.check_images("images", x, getattr(model, "config", {}).get("image_shape"))


def _given(model: nn.Module, x: Tensor, y: Tensor | None) -> tuple:
    """Return what a model is told beside x: its condition, if it has one, or nothing. Labels are looked at."""
    with inputs.trusted(False):
        return (model.condition(x, y),) if hasattr(model, "condition") else ()


def _encode(model: nn.Module, x: Tensor, y: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    _check_able(model, "encode")
    return model.encode(x, *_given(model, x, y))


def _over_chunks(
    function: Callable[[Tensor, Tensor], Tensor], model: nn.Module, split: Split, seed: int
) -> list[Tensor]:
    """Apply a function of (x, y) to a split, chunk by chunk, with random numbers of its own."""
    device = device_of(model)
    inputs.check_split("split", split)
    if not len(split):
        raise ValueError("split must have at least one image, not none")
    if isinstance(model, Model):
        model.check_data(split.shape, split.labels)
    seed = inputs.check_whole("seed", seed, 0, inputs.MOST_SEED)
    with evaluating(model), own_random_numbers(seed, device), inputs.trusted():  # a split was looked at
        chunks = (split[i : i + CHUNK] for i in range(0, len(split), CHUNK))
        return _numbers([function(x.to(device), y.to(device)) for x, y in chunks])


def _numbers(parts: list[Tensor]) -> list[Tensor]:
    """Return what a model makes of images that were looked at, unless it is NaN: that is the model's own."""
    if any(part.isnan().any() for part in parts):
        raise ValueError("model makes NaN of these images: weights that are not finite, or too large; train it anew")
    return parts
