"""What every model of the series is: a configuration, networks built from it, and data that it can learn from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from vae_utils import inputs, runtime
from vae_utils.labels import UNKNOWN
from vae_utils.networks import check_shape

MOST_LATENT, MOST_CLASSES = 10_000, 1000
MOST_CODE = 1e6  # of one number of a code: beyond it what a decoder adds up may be no number


class Model(nn.Module):
    """A network that keeps its settings in `config`, and builds its parts from them in one place, `build`.

    A kind of its own lists its settings in __init__ and hands them on by name; `build` gets them, once. `terms(x, y)`
    says what its loss is made of. CONTRIBUTING.md says what else makes a model one of the series.
    """

    labels: ClassVar[Literal["no", "some", "all"]] = "no"  # which of the labels must be known, to learn from images

    def __init__(self, **config: object) -> None:
        super().__init__()
        if isinstance(config.get("image_shape"), list):  # from JSON
            config["image_shape"] = tuple(config["image_shape"])
        self.config = config
        self.build(**config)

    def build(self, **config: object) -> None:
        """Make the networks, from the settings."""
        raise NotImplementedError(f"{type(self).__name__} must make its networks in build(...)")

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what the loss of each image is made of, recon [B] and kl [B], for `training.fit`."""
        raise NotImplementedError(f"{type(self).__name__} must return recon [B] and kl [B] from terms(x, y)")

    def check_data(self, shape: tuple[int, ...], labels: Tensor) -> None:
        """Raise ValueError unless the model can learn from images of a shape (C, H, W) with these labels [N]."""
        wanted = tuple(self.config["image_shape"])
        if not isinstance(shape, tuple | list) or len(shape) != 3:
            raise TypeError(f"shape must be (channels, height, width), not {inputs.described(shape)}")
        if tuple(shape) != wanted:
            raise ValueError(
                f"{type(self).__name__} was made for images {list(wanted)}, and the split has {list(shape)}: pass "
                f"image_shape={tuple(shape)} when you make it"
            )
        if self.labels != "no":
            allowed = UNKNOWN if self.labels == "some" else None
            inputs.check_labels("labels", labels, None, self.config.get("classes"), unknown=allowed)

    def _check_images(self, x: Tensor) -> None:
        """Refuse what is no batch of this model's images; those of shape (1, 1, F) are codes, of any finite numbers."""
        shape = tuple(self.config["image_shape"])
        inputs.check_images("x", x, shape)
        self._check_precision("x", x)
        if shape[:2] == (1, 1):
            inputs.check_finite("x", x)
        else:
            inputs.check_unit("x", x)

    def _check_codes(self, z: Tensor) -> None:
        inputs.check_floats("z", z, "B", self.config["latent_dim"])
        self._check_precision("z", z)
        inputs.check_finite("z", z, MOST_CODE)

    def _check_precision(self, name: str, tensor: Tensor) -> None:
        weight = next(self.parameters(), tensor)
        if tensor.dtype != weight.dtype and not runtime.autocasting(tensor.device.type):
            raise TypeError(
                f"{name} must be {weight.dtype}, as the weights are, not {tensor.dtype}: convert one of them"
            )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode and ask for no gradients; leave every part of it in the mode that it had.

    Raises: TypeError for what is no module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a module, not {inputs.described(model)}")
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def check_settings(config: Mapping[str, object], smallest: int = 1) -> None:
    """Raise TypeError or ValueError if latent_dim, image_shape or classes is none, or more than memory should hold."""
    if "latent_dim" in config:
        inputs.check_whole("latent_dim", config["latent_dim"], smallest, MOST_LATENT)
    if "classes" in config:
        inputs.check_whole("classes", config["classes"], 1, MOST_CLASSES)
    check_shape(config["image_shape"])
