"""Encoders and decoders: MLP, convolutional (narrow, wide or residual). All map x [B, C, H, W] to and from vectors."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_utils.inputs import check_flag, check_whole, described
from vae_utils.runtime import own_random_numbers

Shape = tuple[int, int, int]
Network = str | tuple[nn.Module, nn.Module]
MOST_PIXELS = 512**2  # of an image, its channels counted: a layer of 512 units on so many takes half a gigabyte
MOST_NUMBERS = 50_000  # that a network makes of an image, or an image of
MOST_CHANNELS = 1024


def build_encoder(network: Network, image_shape: Shape, outputs: int) -> nn.Module:
    """Return a network [B, C, H, W] -> [B, outputs] of a named kind, or the first of a pair of your own.

    The kinds are "mlp", "conv", "wide" and "residual".

    Raises: ValueError for an unknown kind, for a size that the convolutional ones cannot halve twice, for more pixels
    or numbers than memory should hold, or for a network of your own that does not fit; TypeError for what is neither a
    name nor a pair of modules, or no whole number.
    """
    if isinstance(network, str):
        return _kind(network)[0](image_shape, outputs)
    _check_sizes(image_shape, outputs=outputs)
    return _fitting("encoder", _pair(network)[0], tuple(image_shape), (outputs,))


def build_decoder(network: Network, image_shape: Shape, inputs: int) -> nn.Module:
    """Return a network [B, inputs] -> [B, C, H, W] of a named kind, or the second of a pair of your own.

    The kinds are "mlp", "conv", "wide" and "residual".

    Raises: as `build_encoder`.
    """
    if isinstance(network, str):
        return _kind(network)[1](image_shape, inputs)
    _check_sizes(image_shape, inputs=inputs)
    return _fitting("decoder", _pair(network)[1], (inputs,), tuple(image_shape))


def mlp_encoder(image_shape: Shape, outputs: int) -> nn.Module:
    """Return two hidden layers of 512 units on the flattened image."""
    _check_sizes(image_shape, outputs=outputs)
    pixels = math.prod(image_shape)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, outputs)
    )


def mlp_decoder(image_shape: Shape, inputs: int) -> nn.Module:
    """Return the mirror of the MLP encoder."""
    _check_sizes(image_shape, inputs=inputs)
    pixels = math.prod(image_shape)
    return nn.Sequential(
        nn.Linear(inputs, 512),
        nn.SiLU(),
        nn.Linear(512, 512),
        nn.SiLU(),
        nn.Linear(512, pixels),
        nn.Unflatten(1, image_shape),
    )


def conv_encoder(image_shape: Shape, outputs: int, width: int = 16) -> nn.Module:
    """Return two strided convolutions of width and 2 width channels (16 and 32), and a hidden layer of 16 width."""
    _check_sizes(image_shape, halved=True, width=width, outputs=outputs)
    c, h, w = image_shape
    return nn.Sequential(
        nn.Conv2d(c, width, 4, stride=2, padding=1), nn.SiLU(),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.SiLU(),
        nn.Flatten(), nn.Linear(2 * width * (h // 4) * (w // 4), 16 * width), nn.SiLU(), nn.Linear(16 * width, outputs),
    )  # fmt: skip


def conv_decoder(image_shape: Shape, inputs: int, width: int = 16) -> nn.Module:
    """Return the mirror of the convolutional encoder, with transposed convolutions."""
    _check_sizes(image_shape, halved=True, width=width, inputs=inputs)
    c, h, w = image_shape
    return nn.Sequential(
        nn.Linear(inputs, 16 * width), nn.SiLU(), nn.Linear(16 * width, 2 * width * (h // 4) * (w // 4)), nn.SiLU(),
        nn.Unflatten(1, (2 * width, h // 4, w // 4)),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1), nn.SiLU(),
        nn.ConvTranspose2d(width, c, 4, stride=2, padding=1),
    )  # fmt: skip


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions whose result is added to what came in, [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_whole("channels", channels, 1, MOST_CHANNELS)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)  # the block starts as the identity

    def forward(self, h: Tensor) -> Tensor:
        """Add to h what two convolutions make of it."""
        return h + self.second(F.silu(self.first(F.silu(h))))


def residual_encoder(image_shape: Shape, outputs: int) -> nn.Module:
    """Return convolutions with residual blocks, halved twice by max-pooling, channels last: that is faster."""
    _check_sizes(image_shape, halved=True, outputs=outputs)
    c, h, w = image_shape
    layers = nn.Sequential(
        nn.Conv2d(c, 16, 3, padding=1), nn.MaxPool2d(2), ResidualBlock(16),
        nn.Conv2d(16, 32, 3, padding=1), nn.MaxPool2d(2), ResidualBlock(32), nn.SiLU(),
        nn.Flatten(), nn.Linear(32 * (h // 4) * (w // 4), 256), nn.SiLU(), nn.Linear(256, outputs),
    )  # fmt: skip
    return layers.to(memory_format=torch.channels_last)


def residual_decoder(image_shape: Shape, inputs: int) -> nn.Module:
    """Return the mirror of the residual encoder, doubled twice by nearest-neighbour upsampling."""
    _check_sizes(image_shape, halved=True, inputs=inputs)
    c, h, w = image_shape
    layers = nn.Sequential(
        nn.Linear(inputs, 256), nn.SiLU(), nn.Linear(256, 32 * (h // 4) * (w // 4)),
        nn.Unflatten(1, (32, h // 4, w // 4)),
        ResidualBlock(32), nn.SiLU(), nn.Conv2d(32, 16, 3, padding=1), nn.Upsample(scale_factor=2),
        ResidualBlock(16), nn.SiLU(), nn.Upsample(scale_factor=2), nn.Conv2d(16, c, 3, padding=1),
    )  # fmt: skip
    return layers.to(memory_format=torch.channels_last)


NETWORKS: dict[str, tuple[Callable[[Shape, int], nn.Module], Callable[[Shape, int], nn.Module]]] = {
    "mlp": (mlp_encoder, mlp_decoder),
    "conv": (conv_encoder, conv_decoder),
    "wide": (partial(conv_encoder, width=32), partial(conv_decoder, width=32)),
    "residual": (residual_encoder, residual_decoder),
}


def check_shape(image_shape: Shape, halved: bool = False) -> None:
    """Raise unless (channels, height, width) is a size of images that a network can read, halved twice if need be.

    Raises: ValueError for what is no such shape, for more pixels than 512 x 512, or if height or width are no multiples
    of 4 and must be; TypeError for sizes that are no whole numbers.
    """
    if not isinstance(image_shape, tuple | list) or len(image_shape) != 3:
        raise ValueError(f"image_shape must be (channels, height, width), not {described(image_shape)}")
    if math.prod(check_whole("image_shape", size, 1) for size in image_shape) > MOST_PIXELS:
        raise ValueError(f"image_shape must have at most 512 x 512 = {MOST_PIXELS:,} pixels, not {image_shape}")
    check_flag("halved", halved)
    if halved and (image_shape[1] % 4 or image_shape[2] % 4):
        raise ValueError(
            "image_shape must have a height and a width that are multiples of 4, for a network that halves an image "
            f'twice, not {image_shape}: use "mlp", or pad the images'
        )


def _check_sizes(image_shape: Shape, halved: bool = False, width: int = 1, **numbers: int) -> None:
    check_shape(image_shape, halved)
    check_whole("width", width, 1, MOST_CHANNELS // 2)
    for name, number in numbers.items():
        check_whole(name, number, 1, MOST_NUMBERS)


def _kind(network: str) -> tuple[Callable[[Shape, int], nn.Module], Callable[[Shape, int], nn.Module]]:
    if network not in NETWORKS:
        raise ValueError(f"there is no network {network!r}; known: {', '.join(map(repr, NETWORKS))}")
    return NETWORKS[network]


def _pair(network: object) -> tuple[nn.Module, nn.Module]:
    if isinstance(network, tuple | list) and len(network) == 2 and all(isinstance(n, nn.Module) for n in network):
        return tuple(network)
    raise TypeError(f"network must be a name or a pair of modules, (encoder, decoder), not {described(network)}")


def kind_for(network: Network, image_shape: Shape) -> str:
    """Return the kind of network for what a model builds beside encoder and decoder: theirs, where they have a name.

    Beside a pair of modules it is "conv", or "mlp" where a size cannot be halved twice. Raises: as `build_encoder`.
    """
    check_shape(image_shape)
    if isinstance(network, str):
        _kind(network)
        return network
    _pair(network)
    return "mlp" if image_shape[1] % 4 or image_shape[2] % 4 else "conv"


@torch.no_grad()
def _fitting(name: str, network: nn.Module, takes: tuple[int, ...], gives: tuple[int, ...]) -> nn.Module:
    """Return a network of the reader's own, after a try with zeros; its mode and random numbers stay as they were."""
    modes = [(part, part.training) for part in network.modules()]
    like = next(network.parameters(), torch.zeros(()))
    try:
        with own_random_numbers(None, like.device):
            came = network.eval()(torch.zeros(1, *takes, device=like.device, dtype=like.dtype))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise ValueError(f"the {name} must take [B, {_sizes(takes)}], and raised: {error}") from None
    finally:
        for part, mode in modes:
            part.training = mode
    if not isinstance(came, Tensor) or tuple(came.shape) != (1, *gives):
        what = f"[1, {_sizes(came.shape[1:])}]" if isinstance(came, Tensor) else type(came).__name__
        raise ValueError(f"the {name} must make [B, {_sizes(gives)}] of [B, {_sizes(takes)}], not {what}")
    return network


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
