"""A few labels: drawn evenly, hidden from training, spread over a graph, and refused when they are wrong."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import kneighbors_graph
from sklearn.semi_supervised import LabelSpreading

from vae_utils.data import Split
from vae_utils.labels import (
    UNKNOWN,
    draw_labels,
    draw_unbalanced,
    hide_labels,
    nearest,
    neighbour_graph,
    spread_labels,
)

LABELS = torch.arange(10).repeat(20)


def blobs(n=30, classes=3, seed=0):
    """Return points around the corners of a triangle, and the corner of each."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(classes).repeat(n)
    return 4 * torch.eye(classes)[y] + torch.randn(len(y), classes, generator=generator), y


def split_of(labels):
    return Split(torch.arange(len(labels) * 4).remainder(256).to(torch.uint8).view(-1, 1, 2, 2), labels)


# ---- drawing


@pytest.mark.parametrize("n", [10, 30, 200])
def test_a_draw_is_balanced_and_repeats(n):
    shown = draw_labels(LABELS, n, seed=3)
    assert len(shown) == len(shown.unique()) == n
    assert torch.bincount(LABELS[shown]).tolist() == 10 * [n // 10]
    assert torch.equal(shown, draw_labels(LABELS, n, seed=3))
    assert n == 200 or not torch.equal(shown.sort()[0], draw_labels(LABELS, n, seed=4).sort()[0])
    assert not torch.equal(LABELS[shown], LABELS[shown].sort()[0])  # not class after class


@pytest.mark.parametrize(
    ("labels", "n", "complaint"),
    [
        (LABELS, 101, "n = 101 labels cannot be shared evenly by 10 classes: ask for 110"),
        (LABELS, 0, "ask for 10"),
        (LABELS, -10, "ask for 10"),
        (LABELS, 210, "class 0 has 20 examples, fewer than the 21 asked for"),
        (torch.cat([LABELS, torch.tensor([10])]), 22, "class 10 has 1 examples, fewer than the 2"),
        (LABELS.view(2, -1), 10, r"labels must be int64 \[B\], one for each image, not \[2, 100\]"),
        (torch.full((9,), UNKNOWN), 10, "labels must hold at least one that is known"),
    ],
)
def test_a_draw_that_cannot_be(labels, n, complaint):
    with pytest.raises(ValueError, match=complaint):
        draw_labels(labels, n, seed=0)


@pytest.mark.parametrize(
    ("labels", "n", "seed", "complaint"),
    [
        (LABELS.float(), 10, 0, r"labels must be int64 \[B\].*not torch.float32 \[200\]: convert them by .long"),
        ([0, 1], 2, 0, r"not list \[0, 1\]: pass a tensor"),
        (LABELS, 10.0, 0, "n must be a whole number, not float 10.0"),
        (LABELS, 10, None, "seed must be a whole number of at least 0.*, not None"),
    ],
)
def test_a_draw_of_other_types(labels, n, seed, complaint):
    with pytest.raises(TypeError, match=complaint):
        draw_labels(labels, n, seed)


def test_unknown_labels_are_never_drawn():
    labels = torch.where(torch.arange(200) < 100, LABELS, UNKNOWN)
    assert (labels[draw_labels(labels, 100, seed=0)] != UNKNOWN).all()


COUNTS = (20, 14, 10, 8, 6, 5, 4, 3, 2, 1)


def test_an_unbalanced_draw_has_the_counts_and_the_draw_says_which_class_gets_which():
    draws = [draw_unbalanced(LABELS, COUNTS, seed=seed) for seed in (3, 4)]
    for shown in draws:
        assert len(shown) == len(shown.unique()) == sum(COUNTS)
        assert sorted(torch.bincount(LABELS[shown]).tolist(), reverse=True) == list(COUNTS)
    assert not torch.equal(*(torch.bincount(LABELS[shown]) for shown in draws))
    assert torch.equal(draws[0], draw_unbalanced(LABELS, COUNTS, seed=3))


@pytest.mark.parametrize(
    ("counts", "complaint"),
    [
        (COUNTS[:9], r"counts must be 10 positive numbers, one for each class, not \[20, 14"),
        ((*COUNTS[:9], 0), "counts must be 10 positive numbers"),
        ((), r"not \[\]"),
        ((21, *COUNTS[1:]), "counts go up to 21, but class 0 has 20 examples, fewer than the 21 asked for"),
    ],
)
def test_an_unbalanced_draw_that_cannot_be(counts, complaint):
    with pytest.raises(ValueError, match=complaint):
        draw_unbalanced(LABELS, counts, seed=0)


# ---- hiding


def test_hidden_labels_are_gone():
    split, shown = split_of(LABELS), draw_labels(LABELS, 20, seed=0)
    hidden = hide_labels(split, shown)
    assert torch.equal(hidden.images, split.images) and (hidden.labels != UNKNOWN).sum() == 20
    assert torch.equal(hidden.labels[shown], LABELS[shown]) and torch.equal(split.labels, LABELS)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
def test_shown_examples_are_repeated_to_a_share(share):
    split, shown = split_of(LABELS), draw_labels(LABELS, 10, seed=0)
    hidden = hide_labels(split, shown, share=share)
    known = hidden.labels != UNKNOWN
    assert known.float().mean().item() == pytest.approx(share, abs=0.03)
    assert (~known).sum() == 190  # each of the others once
    assert len(torch.cat([hidden.images.flatten(1), split.images.flatten(1)]).unique(dim=0)) == len(
        split.images.flatten(1).unique(dim=0)
    )


@pytest.mark.parametrize(
    ("labels", "shown", "arguments", "complaint"),
    [
        (LABELS, torch.arange(9), {}, "must show at least one of each class, and none is of 9"),
        (LABELS, torch.tensor([0, 0, *range(1, 10)]), {}, "each once"),
        (LABELS, torch.tensor([*range(9), 200]), {}, "indices from 0 to 199"),
        (LABELS, torch.tensor([-1, *range(9)]), {}, "indices from 0 to 199"),
        (LABELS, torch.tensor([], dtype=torch.int64), {}, "at least one"),
        (LABELS + 1, torch.arange(10), {}, "from 0 to 9, not from 1 to 10"),
        (LABELS - 1, torch.arange(10), {}, "from 0 to 9, not from -1 to 8"),
        (LABELS, torch.arange(10), {"share": 0.0}, "share must be a finite number above 0 and at most 1, not 0.0"),
        (LABELS, torch.arange(10), {"share": 1.0}, "share must lie between 0 and 1"),
        (LABELS, torch.arange(10), {"classes": 12}, "none is of 10, 11"),
    ],
)
def test_labels_that_cannot_be_hidden(labels, shown, arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        hide_labels(split_of(labels), shown, **arguments)


def test_shown_examples_are_named_by_their_indices():
    with pytest.raises(TypeError, match=r"shown must be int64 \[B\].*not torch.bool \[200\]"):
        hide_labels(split_of(LABELS), torch.ones(200, dtype=torch.bool))


# ---- the graph


def test_the_graph_joins_neighbours_both_ways():
    features, _ = blobs()
    graph = neighbour_graph(features, k=4)
    near = kneighbors_graph(features.numpy(), 4).toarray()
    joined = np.maximum(near, near.T)
    degree = joined.sum(1)
    np.testing.assert_allclose(graph.toarray(), joined / np.sqrt(degree[:, None] * degree), rtol=1e-5)


def test_spreading_goes_to_the_closed_form():
    features, y = blobs()
    graph, labels = neighbour_graph(features, k=4), torch.full_like(y, UNKNOWN)
    labels[:6] = y[:6]
    start = np.zeros((len(y), 3))
    start[np.arange(6), y[:6]] = 1
    flow = np.linalg.solve(np.eye(len(y)) - 0.8 * graph.toarray(), 0.2 * start)  # Zhou et al. (2004), eq. 3
    shares = spread_labels(graph, labels, classes=3, alpha=0.8, steps=300)
    np.testing.assert_allclose(shares.numpy(), flow / flow.sum(1, keepdims=True), atol=1e-5)


def test_spreading_agrees_with_the_library():
    features, y = blobs(60)
    joined = kneighbors_graph(features.numpy(), 5)
    joined, labels = joined.maximum(joined.T), torch.full_like(y, UNKNOWN)
    labels[:9] = y[:9]
    library = LabelSpreading(kernel=lambda *_: joined, alpha=0.9, max_iter=50, tol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        library.fit(features.numpy(), labels.numpy())
    shares = spread_labels(neighbour_graph(features, k=5), labels, classes=3, alpha=0.9, steps=50)
    np.testing.assert_allclose(shares.numpy(), library.label_distributions_, atol=1e-4)
    assert (shares.argmax(1) == y).float().mean() > 0.95


def test_an_island_without_a_label_is_undecided():
    features = torch.cat([torch.rand(10, 2), 100 + torch.rand(10, 2)])
    labels = torch.tensor([0, 1, *18 * [UNKNOWN]])
    shares = spread_labels(neighbour_graph(features, k=3), labels, classes=2)
    assert torch.equal(shares[10:], torch.full((10, 2), 0.5))


def test_the_nearest_are_the_nearest():
    features, _ = blobs()
    queries = 4 * torch.eye(3) + 0.1
    expected = torch.cdist(queries, features).topk(7, largest=False).indices
    assert torch.equal(nearest(features, queries, k=7), expected)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: neighbour_graph(torch.rand(5, 2, 2)), r"features must have the shape \[N, F\], not \[5, 2, 2\]"),
        (lambda: neighbour_graph(torch.full((20, 2), torch.nan)), "features must be finite, but 40 of its 40 values"),
        (lambda: neighbour_graph(torch.rand(5, 2), k=5), "k must be between 1 and 4"),
        (lambda: spread_labels(neighbour_graph(torch.rand(12, 2), 2), LABELS), "joins 12 examples, the labels are 200"),
        (lambda: spread_labels(neighbour_graph(torch.rand(200, 2), 2), LABELS + 1), "from 0 to 9.*not from 1 to 10"),
        (lambda: spread_labels(neighbour_graph(torch.rand(200, 2), 2), LABELS, classes=11), "and none is of 10"),
        (
            lambda: spread_labels(neighbour_graph(torch.rand(200, 2), 2), LABELS, alpha=1.5),
            "alpha must be .* at most 1",
        ),
        (lambda: nearest(torch.rand(20, 2), torch.rand(4, 2), k=21), "k = 21 do not fit"),
        (lambda: nearest(torch.rand(20, 2), torch.rand(4, 3)), "do not fit"),
        (lambda: nearest(torch.rand(20, 2), torch.rand(0, 2)), "queries must hold at least one example"),
    ],
)
def test_what_the_graph_refuses(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: neighbour_graph(np.zeros((5, 2))), r"features must be a tensor of floats, not float64 \[5, 2\]"),
        (
            lambda: neighbour_graph(torch.ones(5, 2, dtype=torch.int64), 2),
            r"features must be .* not torch.int64 \[5, 2\]",
        ),
        (lambda: neighbour_graph(torch.rand(5, 2), k=2.0), "k must be a whole number, not float 2.0"),
        (
            lambda: spread_labels(torch.eye(200)[0], LABELS),
            r"graph must be a sparse array .* not torch.float32 \[200\]",
        ),
    ],
)
def test_other_types_are_refused_by_the_graph(call, complaint):
    with pytest.raises(TypeError, match=complaint):
        call()


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: draw_labels(LABELS, 10, 2**70), "seed must be a whole number of at least 0 and at most"),
        (lambda: draw_labels(LABELS, 10, -1), "seed must be a whole number of at least 0"),
        (lambda: draw_unbalanced(LABELS, [1] * 10, 2**63), "seed must be"),
        (lambda: draw_unbalanced(LABELS, [21] + [1] * 9, 0), "counts go up to 21, but class 0 has 20 examples"),
        (lambda: draw_labels(LABELS - 2, 9, 0), "labels must be at least 0, or -1 where unknown, not -2"),
    ],
)
def test_a_draw_names_the_argument_that_is_wrong(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()


def test_labels_are_hidden_in_a_split_alone():
    with pytest.raises(TypeError, match="split must be a data.Split, as dataset.train is, not a NoneType"):
        hide_labels(None, torch.tensor([0]))
