"""A few labels among many images: choose them, hide the others, spread them over a graph of neighbours; notebook 07."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from vae_utils import inputs

if TYPE_CHECKING:
    from scipy import sparse  # it and scikit-learn take a second to import: below, where they are needed

MOST_STEPS = 100_000  # of labels along a graph: far more than change anything
UNKNOWN = -1  # the label of an image of which nobody has said the class
Examples = TypeVar("Examples")  # a data.Split, or another such: labels, len, subset


def draw_labels(labels: Tensor, n: int, seed: int) -> Tensor:
    """Return the indices [n] of random examples, the same number of each class, shuffled.

    Shapes: labels int64 [N]. The classes are those that occur; UNKNOWN is none of them.

    Raises: ValueError if n is not a positive multiple of the number of classes, or a class has too few examples.
    """
    classes = _classes_in(labels)
    if not classes:
        raise ValueError("labels must hold at least one that is known, to draw from")
    seed = inputs.check_whole("seed", seed, 0, inputs.MOST_SEED)
    if inputs.check_whole("n", n) < 1 or n % len(classes):
        above = max(1, -(-n // len(classes))) * len(classes)
        raise ValueError(f"n = {n} labels cannot be shared evenly by {len(classes)} classes: ask for {above}")
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in classes:
        members = (labels.cpu() == label).nonzero().flatten()
        if len(members) < n // len(classes):
            raise ValueError(
                f"n = {n} is more than there are, as class {label} has {len(members)} examples, fewer than the "
                f"{n // len(classes)} asked for: ask for less"
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
    if not isinstance(counts, Sequence) or isinstance(counts, str | bytes):
        raise TypeError(f"counts must be a list of whole numbers, one for each class, not {inputs.described(counts)}")
    for count in counts:
        inputs.check_whole("counts", count)
    if not classes or len(counts) != len(classes) or min(counts) < 1:
        raise ValueError(f"counts must be {len(classes)} positive numbers, one for each class, not {list(counts)}")
    sizes = labels[labels != UNKNOWN].unique(return_counts=True)[1]
    if max(counts) > sizes.min():
        few = f"class {classes[sizes.argmin()]} has {sizes.min()} examples, fewer than the {max(counts)} asked for"
        raise ValueError(f"counts go up to {max(counts)}, but {few}: ask for less")
    pool = draw_labels(labels, len(classes) * max(counts), seed)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed)).tolist()
    chosen = (pool[labels[pool] == classes[k]][:count] for k, count in zip(order, counts, strict=True))
    return torch.cat(list(chosen))


def hide_labels(split: Examples, shown: Tensor, share: float | None = None, classes: int = 10) -> Examples:
    """Return the split with every label UNKNOWN but the shown ones, to train a semi-supervised model on with `fit`.

    With a share, the shown examples are repeated until they are about that share of the split, and so of each batch.

    Shapes: shown int64 [n], indices into the split.

    Raises: ValueError if shown is not such indices, each once; if a shown label is not among the classes, or a class
    has none; if the share is not between 0 and 1.
    """
    inputs.check_split("split", split)
    inputs.check_labels("shown", shown, None, None)
    if not len(shown) or not 0 <= shown.min() <= shown.max() < len(split) or len(shown.unique()) < len(shown):
        raise ValueError(f"shown must be indices from 0 to {len(split) - 1}, each once, and at least one")
    _check_classes(split.labels[shown], classes)
    labels = torch.full_like(split.labels, UNKNOWN)
    labels[shown] = split.labels[shown]
    hidden = replace(split, labels=labels)
    if share is None:
        return hidden
    if inputs.check_number("share", share, 0, 1, above=True) == 1:
        raise ValueError("share must lie between 0 and 1, not be 1: then nothing would be without a label")
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
    from scipy import sparse
    from sklearn.neighbors import kneighbors_graph

    points = _points("features", features)
    if not 1 <= inputs.check_whole("k", k) < len(features):
        raise ValueError(f"k must be between 1 and {len(features) - 1}, one less than the examples, not {k}")
    near = sparse.csr_array(kneighbors_graph(points, k, n_jobs=-1)).astype(np.float32)
    joined = near.maximum(near.T)
    scale = sparse.diags_array(joined.sum(axis=1) ** -0.5)
    return (scale @ joined @ scale).tocsr().astype(np.float32)


def spread_labels(
    graph: sparse.csr_array, labels: Tensor, classes: int = 10, alpha: float = 0.99, steps: int = 100
) -> Tensor:
    """Return how much of each example each class has [N, classes], rows summing to 1, labels flowing along a graph.

    F <- alpha S F + (1 - alpha) Y, Y the one-hot shown labels: Zhou et al. (2004), sec. 2, step 3; notebook 07, 7.2.

    Shapes: graph [N, N] of `neighbour_graph`; labels int64 [N], UNKNOWN where nobody has said.

    Raises: ValueError for labels of another length, not among the classes, or a class with none.
    """
    if getattr(graph, "ndim", None) != 2 or graph.shape[0] != graph.shape[1]:
        raise TypeError(f"graph must be a sparse array [N, N] of neighbour_graph, not {inputs.described(graph)}")
    alpha = inputs.check_number("alpha", alpha, 0, 1)
    inputs.check_whole("steps", steps, 1, MOST_STEPS)
    inputs.check_labels("labels", labels, None, inputs.check_whole("classes", classes, 1), unknown=UNKNOWN)
    if len(labels) != graph.shape[0]:
        raise ValueError(f"the graph joins {graph.shape[0]} examples, the labels are {len(labels)}: pass one for each")
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
    from sklearn.neighbors import NearestNeighbors

    points, asked = _points("features", features), _points("queries", queries)
    inputs.check_whole("k", k)
    if queries.shape[1] != features.shape[1] or not 1 <= k <= len(features):
        raise ValueError(
            f"features {list(features.shape)}, queries {list(queries.shape)} and k = {k} do not fit: queries must have "
            "as many columns as features, and k must be at least 1 and at most the number of features' rows"
        )
    near = NearestNeighbors(n_neighbors=k, n_jobs=-1).fit(points).kneighbors(asked)[1]
    return torch.from_numpy(near)


def _classes_in(labels: Tensor) -> list[int]:
    inputs.check_labels("labels", labels, None, None)
    if len(labels) and labels.min() < UNKNOWN:
        raise ValueError(f"labels must be at least 0, or {UNKNOWN} where unknown, not {labels.min()}")
    return [label for label in labels.unique().tolist() if label != UNKNOWN]


def _check_classes(labels: Tensor, classes: int) -> None:
    """Refuse shown labels that are not among the classes, or leave out one of them."""
    inputs.check_labels("labels", labels, None, inputs.check_whole("classes", classes, 1))
    present = set(labels.unique().tolist())
    if len(present) < classes:
        missing = islice((k for k in range(classes) if k not in present), 10)
        raise ValueError(f"labels must show at least one of each class, and none is of {', '.join(map(str, missing))}")


def _points(name: str, features: Tensor) -> np.ndarray:
    """Return features [N, F] as scikit-learn takes them, which knows no bfloat16."""
    inputs.check_floats(name, features, "N", "F")
    inputs.check_finite(name, features)
    if 0 in features.shape:
        raise ValueError(f"{name} must hold at least one example and one number, not {list(features.shape)}")
    points = features.detach().cpu()
    return (points if points.dtype == torch.float64 else points.float()).numpy()
