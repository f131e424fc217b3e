"""One HTML file that decodes in the reader's browser: sliders without a kernel, a server or a network.

The decoder becomes a short list of operations and one run of half-precision weights; the page, standalone.html, walks
that list in plain JavaScript.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vae_utils import inputs
from vae_utils.arrays import as_array, check_list
from vae_utils.networks import ResidualBlock
from vae_utils.sources import write_atomic

LIMIT = 2_000_000  # bytes: what a mail or a web page carries without complaint
LOW, HIGH, STEP = -3, 3, 0.05  # of every slider: all but 0.3 % of N(0, 1)
TEMPLATE = Path(__file__).with_name("standalone.html")

Op = dict[str, object]


def export_html(
    model: nn.Module,
    path: str | Path,
    *,
    dimensions: Sequence[int] | None = None,
    title: str | None = None,
    start: Sequence[float] | Tensor | None = None,
) -> Path:
    """Write a page of sliders that decodes a model's codes in any browser, and return its path.

    The file is complete: it holds the decoder, asks nothing of the network, and is the same to the byte for the same
    model. Weights are rounded to half precision, which moves a trained model's pixels by less than 1 of 255. The model
    stays as it is. Used in notebook 05, section 5.8.

    model is a VAE or an Autoencoder. dimensions are those of the latent dimensions that get a slider, in this order
    (all, if none are given); two of them get a map of their plane as well. The others stay at start [L] (zeros), where
    the sliders begin, too, at their nearest step of 0.05.

    Raises: TypeError for a model without a decoder, or for a layer in it that the page does not know; ValueError for
    dimensions or a start that do not fit the model, weights that half precision cannot hold, or a file of 2 MB and
    more; OSError if the file cannot be written. None of them touches a file that was there.
    """
    path, title = inputs.check_path("path", path), inputs.check_text("title", "" if title is None else title)
    shape, latent_dim = _config(model)
    start = _check_start(start, latent_dim)
    dimensions = _check_dimensions(dimensions, start)
    ops, weights = decoder_ops(model.decoder)
    _check_shapes(model, shape, latent_dim)
    network = {"ops": ops, "weights": base64.b64encode(weights.astype("<f2").tobytes()).decode()}
    settings = {"shape": shape, "start": start, "dimensions": dimensions, "low": LOW, "high": HIGH, "step": STEP}
    page = _fill(
        {
            "TITLE": html.escape(title or "What the decoder draws"),
            "SETTINGS": _json(settings),
            "NETWORK": _json(network),
        }
    ).encode()
    if len(page) >= LIMIT:
        raise ValueError(f"the page would have {len(page):,} bytes, not under {LIMIT:,}: export a smaller decoder")
    if not write_atomic(path, page):
        raise OSError(f"cannot write {path}: choose a file name in a folder that can be written to")
    return path


def decoder_ops(decoder: nn.Module) -> tuple[list[Op], np.ndarray]:
    """Return a decoder as a list of operations, and the float16 weights [N] that their offsets point into.

    Raises: TypeError for a layer, or a setting of one, that the page does not know; ValueError for NaN, infinity, or a
    weight too large for float16 (above 65504).
    """
    walk = _Walk()
    ops = walk.ops(decoder)
    return ops, np.concatenate(walk.parts or [np.empty(0, np.float16)])


class _Walk:
    """The weights met so far on the way through a decoder, and what becomes of each kind of layer."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.size = 0
        self.kinds: dict[type[nn.Module], Callable[..., list[Op]]] = {
            nn.Sequential: lambda layers: [op for layer in layers for op in self.ops(layer)],
            nn.Linear: self.linear,
            nn.SiLU: lambda layer: [{"op": "silu"}],
            nn.Unflatten: self.reshape,
            nn.Conv2d: lambda layer: self.convolution("conv", layer),
            nn.ConvTranspose2d: lambda layer: self.convolution("conv_transpose", layer),
            nn.Upsample: self.upsample,
            ResidualBlock: self.residual,
        }

    def ops(self, layer: nn.Module) -> list[Op]:
        """Return the operations of a layer; a subclass of a known one may compute anything, and is not known."""
        if type(layer) not in self.kinds:
            known = ", ".join(kind.__name__ for kind in self.kinds)
            raise TypeError(
                f"the page cannot run the layer {type(layer).__name__}; it knows {known}: "
                "build the decoder from these, or add the layer to export.py and standalone.html"
            )
        return self.kinds[type(layer)](layer)

    def keep(self, name: str, tensor: Tensor | None) -> int | None:
        """Append a weight, and return where it begins."""
        if tensor is None:
            return None
        values = tensor.detach().to("cpu", torch.float32).flatten().numpy()
        if not np.isfinite(values).all():
            raise ValueError(f"a {name} has values that are NaN or infinite: train the model anew, more gently")
        if np.abs(values).max(initial=0) >= 65520:  # from here on float16 rounds to infinity
            raise ValueError(f"a {name} reaches {np.abs(values).max():g}, above float16's 65504: scale it down")
        self.parts.append(values.astype(np.float16))
        self.size += values.size
        return self.size - values.size

    def weights(self, layer: nn.Module) -> Op:
        kind = type(layer).__name__
        return {
            "weight": self.keep(f"weight of {kind}", layer.weight),
            "bias": self.keep(f"bias of {kind}", layer.bias),
        }

    def linear(self, layer: nn.Linear) -> list[Op]:
        return [{"op": "linear", "inputs": layer.in_features, "outputs": layer.out_features, **self.weights(layer)}]

    def reshape(self, layer: nn.Unflatten) -> list[Op]:
        _need(layer.dim == 1 and min(layer.unflattened_size) > 0, layer, "dim=1 and sizes that are all given")
        return [{"op": "reshape", "shape": list(layer.unflattened_size)}]

    def convolution(self, op: str, layer: nn.Conv2d | nn.ConvTranspose2d) -> list[Op]:
        plain = layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"
        _need(plain and not isinstance(layer.padding, str), layer, "groups=1, dilation=1 and zeros as padding, counted")
        sizes = {"kernel": layer.weight.shape, "stride": layer.stride, "padding": layer.padding}
        sizes |= {"output_padding": layer.output_padding} if op == "conv_transpose" else {}
        return [{"op": op, **{name: list(size) for name, size in sizes.items()}, **self.weights(layer)}]

    def upsample(self, layer: nn.Upsample) -> list[Op]:
        factor = layer.scale_factor if isinstance(layer.scale_factor, tuple) else (layer.scale_factor,) * 2
        whole = layer.size is None and all(float(number).is_integer() and number >= 1 for number in factor)
        _need(layer.mode == "nearest" and whole, layer, "mode='nearest' and a whole scale_factor")
        return [{"op": "upsample", "factor": [int(number) for number in factor]}]

    def residual(self, layer: ResidualBlock) -> list[Op]:
        inner = nn.Sequential(nn.SiLU(), layer.first, nn.SiLU(), layer.second)
        return [{"op": "residual", "ops": self.ops(inner)}]


def _need(fine: bool, layer: nn.Module, wanted: str) -> None:
    if not fine:
        raise TypeError(f"the page cannot run {layer}: it knows {type(layer).__name__} with {wanted} only")


def _config(model: nn.Module) -> tuple[list[int], int]:
    """Return the shape of a model's images and the length of its codes."""
    config = getattr(model, "config", None) or {}
    if not isinstance(getattr(model, "decoder", None), nn.Module) or not {"latent_dim", "image_shape"} <= set(config):
        wanted = "a VAE or an Autoencoder, which have a decoder"
        raise TypeError(f"model must be {wanted}, and nothing can be exported of a {type(model).__name__}")
    if config["image_shape"][0] not in (1, 3):
        raise ValueError(f"model must draw pictures of 1 or 3 channels, not {config['image_shape'][0]}")
    return list(config["image_shape"]), config["latent_dim"]


def _check_shapes(model: nn.Module, shape: list[int], latent_dim: int) -> None:
    """Refuse a decoder that wants more than z, or gives more than a picture: a condition, say, or a variance."""
    weight = next(model.decoder.parameters(), torch.empty(0))
    with torch.no_grad():
        try:
            came = list(model.decoder(weight.new_zeros(1, latent_dim)).shape[1:])
        except RuntimeError as error:
            raise ValueError(f"the decoder does not take codes of {latent_dim} numbers ({error})") from None
    if came != shape:
        raise ValueError(f"the decoder gives {came}, not a picture {shape}: export one that gives x_logits alone")


def _check_start(start: Sequence[float] | Tensor | None, latent_dim: int) -> list[float]:
    values = as_array([0.0] * latent_dim if start is None else start, "start").astype(np.float64)
    if values.shape != (latent_dim,) or not np.isfinite(values).all():
        raise ValueError(f"start must be {latent_dim} finite numbers, one a latent dimension, not {start}")
    return values.tolist()


def _check_dimensions(dimensions: Sequence[int] | None, start: list[float]) -> list[int]:
    dimensions, latent_dim = range(len(start)) if dimensions is None else dimensions, len(start)
    wanted = f"different whole numbers from 0 to {latent_dim - 1}"
    check_list("dimensions", dimensions, range(1, latent_dim + 1), wanted)
    whole = all(isinstance(d, Integral) and not isinstance(d, bool) and 0 <= d < latent_dim for d in dimensions)
    if not whole or len(set(dimensions)) < len(dimensions):
        raise ValueError(f"dimensions must be a list, {wanted}, not {dimensions}")
    beyond = [d for d in dimensions if not LOW <= start[d] <= HIGH]
    if beyond:
        where = f"z[{beyond[0]}] = {start[beyond[0]]:g}"
        raise ValueError(f"a slider starts in [{LOW}, {HIGH}], not at {where}: start nearer, or give it no slider")
    return [int(d) for d in dimensions]


def _json(value: object) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _fill(parts: dict[str, str]) -> str:
    """Return the template with its placeholders filled, in one pass: what is put in is not searched again."""
    template = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"__(TITLE|SETTINGS|NETWORK)__", lambda match: parts[match[1]], template)
