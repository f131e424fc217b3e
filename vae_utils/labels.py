"""A few labels among many images: choose them, hide the others, spread them over a graph of neighbours; notebook 07."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse
from sklearn.neighbors import NearestNeighbors, kneighbors_graph
from torch import Tensor

from vae_utils import inputs
from vae_utils.data import Split
from vae_utils.losses import reparameterize
from vae_utils.models import UNKNOWN


@dataclass(frozen=True)
class Codes(Split):
    """The clouds q(z | x) of a split as a split: images are their means [N, 1, 1, L], indexing draws a code from each.

    What M2 is trained on in "M1+M2" (Kingma et al. 2014, sec. 2.3): each visit sees another sample.
    """

    logvar: Tensor

    def __getitem__(self, index: Tensor | slice | list[int]) -> tuple[Tensor, Tensor]:
        return reparameterize(self.images[index], self.logvar[index]), self.labels[index]

    def to(self, device: torch.device | str) -> "Codes":
        """Return the split with its tensors on a device."""
        return Codes(self.images.to(device), self.labels.to(device), self.logvar.to(device))

    def subset(self, index: Tensor | slice | list[int]) -> "Codes":
        """Return the split of the chosen examples."""
        return Codes(self.images[index], self.labels[index], self.logvar[index])


def draw_labels(labels: Tensor, n: int, seed: int) -> Tensor:
    """Return the indices [n] of random examples, the same number of each class, shuffled.

    Shapes: labels int64 [N]. The classes are those that occur; UNKNOWN is none of them.

    Raises: ValueError if n is not a positive multiple of the number of classes, or a class has too few examples.
    """
    classes = _classes_in(labels)
    inputs.check_whole("n", n)
    inputs.check_whole("seed", seed, 0, 2**32 - 1)
    if not classes:
        raise ValueError("labels must hold at least one that is known")
    if n < 1 or n % len(classes):
        above = max(1, -(-n // len(classes))) * len(classes)
        raise ValueError(f"n = {n} labels cannot be shared evenly by {len(classes)} classes: ask for {above}")
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in classes:
        members = (labels.cpu() == label).nonzero().flatten()
        if len(members) < n // len(classes):
            raise ValueError(
                f"class {label} has {len(members)} examples, fewer than the {n // len(classes)} asked for: ask for less"
            )
        chosen.append(members[torch.randperm(len(members), generator=generator)[: n // len(classes)]])
    together = torch.cat(chosen)
    return together[torch.randperm(n, generator=generator)]


def draw_unbalanced(labels: Tensor, counts: Sequence[int], seed: int) -> Tensor:
    """Return the indices of random examples: counts[0] of some class, counts[1] of another, and so on.

    Which class gets how many is drawn as well. Shapes: labels int64 [N], the result int64 [sum of counts].

    Raises: ValueError if there is not one positive count for each class, or if a class has fewer examples than the
    highest count.
    """
    classes = _classes_in(labels)
    if not isinstance(counts, list | tuple):
        raise TypeError(f"counts must be a list of whole numbers, not {inputs.described(counts)}")
    counts = [inputs.check_whole("counts", count) for count in counts]
    if not counts or len(counts) != len(classes) or min(counts) < 1:
        raise ValueError(f"counts must be {len(classes)} positive numbers, one for each class, not {list(counts)}")
    pool = draw_labels(labels, len(classes) * max(counts), seed)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = (pool[labels[pool] == classes[k]][:count] for k, count in zip(order, counts, strict=True))
    return torch.cat(list(chosen))


def hide_labels(split: Split, shown: Tensor, share: float | None = None, classes: int = 10) -> Split:
    """Return the split with every label UNKNOWN but the shown ones, to train a semi-supervised model on with `fit`.

    With a share, the shown examples are repeated until they are about that share of the split, and so of each batch.

    Shapes: shown int64 [n], indices into the split.

    Raises: ValueError if shown is not such indices, each once; if a shown label is not among the classes, or a class
    has none; if the share is not between 0 and 1.
    """
    _check_integers(shown, "shown")
    if not len(shown) or not 0 <= shown.min() <= shown.max() < len(split) or len(shown.unique()) < len(shown):
        raise ValueError(f"shown must be indices from 0 to {len(split) - 1}, each once, and at least one")
    if len(split.labels) != len(split.images):
        raise ValueError(f"there are {len(split.images)} images and {len(split.labels)} labels: one for each image")
    _check_classes(split.labels[shown], classes)
    labels = torch.full_like(split.labels, UNKNOWN)
    labels[shown] = split.labels[shown]
    hidden = replace(split, labels=labels)
    if share is None:
        return hidden
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, not be {share}")
    rest = (labels == UNKNOWN).nonzero().flatten()
    times = max(1, round(share / (1 - share) * len(rest) / len(shown)))
    return hidden.subset(torch.cat([rest, shown.repeat(times)]))


def neighbour_graph(features: Tensor, k: int = 10) -> sparse.csr_array:
    """Return the weights S [N, N] of a graph that joins each example to its k nearest: D^-1/2 W D^-1/2.

    W is 1 between two examples of which one is among the other's k nearest, D its row sums; Zhou et al. (2004), sec. 2,
    with neighbours in place of their Gaussian weights.

    Shapes: features [N, F], compared by Euclidean distance.

    Raises: ValueError if features are not two-dimensional and finite, or there are not more than k of them.
    """
    _check_features(features, "features")
    inputs.check_whole("k", k)
    if not 1 <= k < len(features):
        raise ValueError(f"k must be between 1 and {len(features) - 1}, one less than the examples, not {k}")
    near = sparse.csr_array(kneighbors_graph(features.numpy(), k, n_jobs=-1)).astype(np.float32)
    joined = near.maximum(near.T)
    scale = sparse.diags_array(joined.sum(axis=1) ** -0.5)
    return (scale @ joined @ scale).tocsr().astype(np.float32)


def spread_labels(
    graph: sparse.csr_array, labels: Tensor, classes: int = 10, alpha: float = 0.99, steps: int = 100
) -> Tensor:
    """Return how much of each example each class has [N, classes], rows summing to 1, labels flowing along a graph.

    F <- alpha S F + (1 - alpha) Y, Y the one-hot shown labels: Zhou et al. (2004), sec. 2, step 3; notebook 07, 7.1.

    Shapes: graph [N, N] of `neighbour_graph`; labels int64 [N], UNKNOWN where nobody has said.

    Raises: ValueError for labels of another length, not among the classes, or a class with none.
    """
    if not sparse.issparse(graph):
        raise TypeError(f"graph must be a sparse array, as neighbour_graph makes it, not {inputs.described(graph)}")
    inputs.check_whole("classes", classes, 1, 1000)
    alpha = inputs.check_number("alpha", alpha, 0, 1)
    inputs.check_whole("steps", steps, 1, 100_000)
    _check_integers(labels, "labels")
    if len(labels) != graph.shape[0]:
        raise ValueError(f"graph joins {graph.shape[0]} examples, the labels are {len(labels)}: pass one for each")
    shown = (labels != UNKNOWN).nonzero().flatten()
    _check_classes(labels[shown], classes)
    start = np.zeros((len(labels), classes), dtype=np.float32)
    start[shown, labels[shown]] = 1
    flow = start
    for _ in range(steps):
        flow = alpha * (graph @ flow) + (1 - alpha) * start
    total = flow.sum(axis=1, keepdims=True)
    return torch.from_numpy(np.where(total > 0, flow / np.maximum(total, 1e-30), 1 / classes).astype(np.float32))


def nearest(features: Tensor, queries: Tensor, k: int = 10) -> Tensor:
    """Return the k nearest examples [M, k] of each query: the mean of their shares is how a graph reads a new image.

    Shapes: features [N, F], queries [M, F].

    Raises: ValueError if these are not two-dimensional and finite, with as many columns, or k is not from 1 to N.
    """
    _check_features(features, "features")
    _check_features(queries, "queries")
    inputs.check_whole("k", k)
    if queries.shape[1] != features.shape[1] or not 1 <= k <= len(features):
        raise ValueError(
            f"features {list(features.shape)}, queries {list(queries.shape)} and k = {k} do not fit: queries must have "
            "as many columns as features, and k must be at least 1 and at most the number of features' rows"
        )
    near = NearestNeighbors(n_neighbors=k, n_jobs=-1).fit(features.numpy()).kneighbors(queries.numpy())[1]
    return torch.from_numpy(near)


def _classes_in(labels: Tensor) -> list[int]:
    _check_integers(labels, "labels")
    return [label for label in labels.unique().tolist() if label != UNKNOWN]


def _check_integers(values: Tensor, name: str) -> None:
    if not isinstance(values, Tensor) or values.dtype != torch.int64 or values.ndim != 1:
        came = f"{values.dtype} {list(values.shape)}" if isinstance(values, Tensor) else repr(values)
        raise ValueError(f"{name} must be an int64 tensor of one dimension, not {came}: convert by torch.tensor")


def _check_classes(labels: Tensor, classes: int) -> None:
    count = torch.bincount(labels.clamp(0, classes), minlength=classes)
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"the shown labels must be from 0 to {classes - 1}, not from {labels.min()} to {labels.max()}")
    missing = (count[:classes] == 0).nonzero().flatten().tolist()
    if missing:
        raise ValueError(
            f"labels must show each class, and no label is shown of class {', '.join(map(str, missing))}: "
            "show at least one of each"
        )


def _check_features(features: Tensor, name: str) -> None:
    inputs.check_finite(name, inputs.check_floats(name, features, "N", "F"))
    if features.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be float32 or float64, which scikit-learn knows, not {features.dtype}")
    if features.numel() == 0 or features.device.type != "cpu":
        raise ValueError(f"{name} must be a finite tensor [N, F], on the CPU, not {list(features.shape)}")
