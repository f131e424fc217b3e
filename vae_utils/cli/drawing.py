"""What the commands that draw share: a kept model opened, and the images that it draws."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from vae_utils import checkpoints, inputs
from vae_utils.data import CLASSES, Dataset, Split, load_dataset
from vae_utils.evaluation import CHUNK, encode_means, encode_posteriors
from vae_utils.latent import ClassGaussians
from vae_utils.models import CVAE, VAE, Autoencoder, CodeM2, Completer, ConditionalVAE
from vae_utils.models.vae import MOST_TEMPERATURE
from vae_utils.runtime import get_device

WEIGHTS = "model.safetensors"  # of a run's folder
MOST_IMAGES, MOST_FILES = 20_000, 1_000_000  # of a picture, which is limited, too, and of a folder


@dataclass
class Kept:
    """A trained model on its device, the file it comes from, and the name of its data set."""

    model: nn.Module
    path: Path
    data: str

    @cached_property
    def dataset(self) -> Dataset:
        """Load the data set when it is first needed."""
        return load_dataset(self.data)

    @property
    def name(self) -> str:
        """Return what kind of model it is."""
        return type(self.model).__name__

    @cached_property
    def gaussians(self) -> ClassGaussians:
        """Fit a Gaussian to the codes of each class of the training images."""
        if isinstance(self.model, Autoencoder):  # its codes have no width
            mu = encode_means(self.model, self.dataset.train)
            return ClassGaussians.fit(mu, torch.full_like(mu, -80.0), self.dataset.train.labels)
        return ClassGaussians.fit(*encode_posteriors(self.model, self.dataset.train), self.dataset.train.labels)

    @property
    def way(self) -> str:
        """Say how the images of a class are made."""
        if isinstance(self.model, CVAE):
            return f"asked of the {self.name} {self.path}"
        return f"from Gaussians fitted to the codes that {self.path} gives each class"

    def beside(self, name: str) -> Path:
        """Return where a picture goes if nobody says: into the run's folder, or next to the model's file."""
        return self.path.with_name(name if self.path.name == WEIGHTS else f"{self.path.stem}-{name}")


def weights_of(path: Path) -> Path:
    """Return the file of weights that a run's folder, or the file itself, stands for."""
    return path / WEIGHTS if path.is_dir() else path


def open_model(path: Path, data: str | None = None) -> Kept:
    """Return the model of a run's folder or of a file; its data set is the one given, or what it was trained on.

    Raises: FileNotFoundError; ValueError for what is no model of this package.
    """
    path = weights_of(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no model {path}: train one first, or give a run's folder or a model's file")
    made_with = str(json.loads(checkpoints.read(path)[0]["facts"]).get("data", "")).partition(",")[0]
    data = data or (made_with if made_with in CLASSES else "mnist")
    return Kept(checkpoints.load(path).to(get_device()), path, data)


def open_painter(path: Path, data: str | None = None) -> Kept:
    """Return a model that turns codes into images; ValueError for one that does not."""
    kept = open_model(path, data)
    check_painter(type(kept.model), str(kept.path))
    return kept


def check_painter(kind: type[nn.Module], which: str) -> None:
    """Raise ValueError unless a kind of model turns codes into images without being shown a part of one."""
    if issubclass(kind, CodeM2) or not issubclass(kind, VAE | Autoencoder | CVAE):
        why = {"Completer": "completes images: use reconstruct", "CodeM2": "draws codes, not images"}
        raise ValueError(
            f"{which} is a {kind.__name__}, which {why.get(kind.__name__, 'draws nothing')}; "
            "this command wants an Autoencoder, a VAE of any kind, or a CVAE"
        )


def check_redraws(kept: Kept) -> None:
    """Raise ValueError unless a model makes images of images."""
    if not isinstance(kept.model, Completer):
        check_painter(type(kept.model), str(kept.path))


def generator_of(seed: int) -> torch.Generator:
    """Return random numbers. Raises: ValueError for a seed that no generator takes."""
    return torch.Generator().manual_seed(inputs.check_whole("seed", seed, 0, inputs.MOST_SEED))


def random_images(kept: Kept, n: int, temperature: float, seed: int) -> Tensor:
    """Return n samples of a model, those of a conditional one of random classes, [n, C, H, W] on the CPU."""
    inputs.check_whole("n", n, 1, MOST_IMAGES)
    generator = generator_of(seed)
    if isinstance(kept.model, Autoencoder):
        raise ValueError(
            f"{kept.path} is an Autoencoder, which has no prior to sample from: use digit or rows, which draw from "
            "Gaussians fitted to its codes, or train a VAE"
        )
    if isinstance(kept.model, CVAE):
        labels = torch.randint(kept.model.config["classes"], (n,), generator=generator)
        return class_images(kept, labels.tolist(), temperature, seed)
    counts = [min(CHUNK, n - start) for start in range(0, n, CHUNK)]
    return torch.cat([kept.model.sample(count, temperature, generator).cpu() for count in counts])


def class_images(kept: Kept, labels: Sequence[int], temperature: float, seed: int) -> Tensor:
    """Return an image for each label [n], [n, C, H, W] on the CPU: from a conditional model, or from class Gaussians.

    The temperature scales z for the one, the distance from the class's mean for the other.
    """
    y, generator = torch.tensor(labels), generator_of(seed)
    if isinstance(kept.model, CVAE):
        return torch.cat([kept.model.sample(part, temperature, generator).cpu() for part in y.split(CHUNK)])
    inputs.check_number("temperature", temperature, 0, MOST_TEMPERATURE)
    means = kept.gaussians.means[y]
    return decode(kept, means + temperature * (kept.gaussians.sample(y, generator) - means))


def row_images(kept: Kept, n: int, temperature: float, seed: int) -> Tensor:
    """Return n images of each class, class by class, [K * n, C, H, W], from the same random numbers for each class."""
    classes = range(len(class_names(kept)))
    return torch.cat([class_images(kept, [label] * n, temperature, seed) for label in classes])


@torch.no_grad()
def decode(kept: Kept, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """Return the images [n, C, H, W] of codes [n, L], on the CPU; a conditional model needs a label for each."""
    device, parts = get_device(), []
    for start in range(0, len(z), CHUNK):
        given = () if labels is None else (labels[start : start + CHUNK].to(device),)
        parts.append(kept.model.decode(z[start : start + CHUNK].to(device), *given).sigmoid().cpu())
    return torch.cat(parts)


@torch.no_grad()
def redrawn(kept: Kept, split: Split) -> Tensor:
    """Return a split's images and then what a model makes of them, [2 N, C, H, W], from the means of its codes.

    A Completer sees its part of them only, and draws z from its prior.
    """
    x, y = split.to(get_device())[:]
    if isinstance(kept.model, Completer):
        again = kept.model.complete(x, generator=torch.Generator().manual_seed(0))[0]
    else:
        given = (kept.model.condition(x, y),) if isinstance(kept.model, ConditionalVAE) else ()
        code = kept.model.encode(x, *given)
        again = kept.model.decode(code[0] if isinstance(code, tuple) else code, *given).sigmoid()
    return torch.cat([x, again]).cpu()


def class_number(word: str, classes: Sequence[str]) -> int:
    """Return the number of a class, given as that or by its name. Raises: ValueError for another word."""
    names = [name.lower() for name in classes]
    if word.lower() in names:
        return names.index(word.lower())
    if word.isdecimal() and int(word) < len(classes):
        return int(word)
    named = f"0 to {len(classes) - 1}" if list(classes) == list("0123456789") else ", ".join(classes)
    raise ValueError(f"there is no class {word!r}: the classes are {named}")


def class_names(kept: Kept) -> Sequence[str]:
    """Return the names of the classes that a model knows."""
    names = CLASSES[kept.data]
    count = kept.model.config.get("classes", len(names))
    return names if count == len(names) else tuple(map(str, range(count)))
