"""What 100 to 3,000 labels are worth to each method of notebook 07: data/results/semi_supervised.csv.

python -m experiments.semi_supervised            # two and a half hours on one core; finished rows are kept
python -m experiments.semi_supervised --part 1/2    # one of two processes that share the rows
python -m experiments.semi_supervised --fresh    # every row anew

One row for each method, number of labels and draw of labels: the error on the 10,000 test images in %, the minutes of
CPU that this draw took, and those of what all draws share (a VAE that sees no label, a graph). Every method trains on
the 60,000 training images and the labels of the draw, balanced over the classes. Settings were chosen on training
images (experiments.m2_settings).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from experiments import table
from vae_utils import evaluation, keeping, labels, latent, models, training
from vae_utils.data import Dataset, Split
from vae_utils.models.pose import warp

TABLE = table.Table("semi_supervised", ("method", "shown", "draw"))
DRAWS = {100: 5, 600: 3, 1000: 3, 3000: 3}
MOST_STRETCH = 1.5  # of width and height, by moments: best on training images, of 1.25, 1.5, 1.6 and no limit
AT_100 = {
    "CNN, 2,800 steps",
    "CNN, moved copies, 2,800 steps",
    "M2, longer",
    "M2, moved copies",
    "pose + graph, then CNN",
    "pose + graph, then M2",
    "pose + graph, seed 1",
    "pose + graph, seed 2",
}


@dataclass(frozen=True)
class View:
    """A data set as a method sees it: training and test split, and the minutes of CPU that made it."""

    train: Split
    test: Split
    minutes: float

    def rows(self, split: Split) -> Tensor:
        """Return the images of a split as rows [N, F] in [0, 1], or the means of its codes."""
        return split.mu if isinstance(split, latent.Codes) else split[:][0].flatten(1)


@cache
def view(name: str) -> View:
    """Return the data set seen as "pixels", "upright" or "scaled" by moments, "posed" by a PoseVAE, or a VAE's "codes".

    "posed 1" is by a PoseVAE that was trained with the seed 1.
    """
    dataset = table.full_mnist()
    began = time.process_time()
    if name == "pixels":
        return View(dataset.train, dataset.test, 0.0)
    if name in ("upright", "scaled"):
        size = mean_size(dataset.train) if name == "scaled" else None
        return View(upright(dataset.train, size), upright(dataset.test, size), _minutes(began))
    model, minutes = first_model(name, dataset)
    change = codes if name == "codes" else straightened
    return View(change(model, dataset.train), change(model, dataset.test), minutes + _minutes(began))


def first_model(name: str, dataset: Dataset) -> tuple[models.VAE, float]:
    """Return the VAE that sees the images and no label, kept once trained, and the minutes of CPU of its training.

    Of one that was kept before, the clock is all that is known.
    """
    kind, _, number = name.partition(" ")
    seed = int(number or 0)
    torch.manual_seed(seed)
    model = models.VAE(20, "conv") if kind == "codes" else models.PoseVAE(26, "conv")
    file, steps = ("vae-20", 2000) if kind == "codes" else ("pose-26", 1500)
    began = time.process_time()
    history = keeping.fit_once(file, model, dataset, steps=steps, lr=4e-3, seed=seed)
    spent = _minutes(began)
    return model, spent if spent > 0.1 else history.seconds * torch.get_num_threads() / 60


@torch.no_grad()
def straightened(model: models.PoseVAE, split: Split) -> Split:
    """Return a split with every pose taken out."""
    parts = [model.straighten(x.to(evaluation.device_of(model)) / 255).cpu() for x in split.images.split(1000)]
    return Split((255 * torch.cat(parts)).round().clamp(0, 255).to(torch.uint8), split.labels)


def codes(model: models.VAE, split: Split) -> latent.Codes:
    """Return the approximate posteriors of a split."""
    mu, logvar = evaluation.encode_posteriors(model, split)
    return latent.Codes(mu, logvar, split.labels)


def upright(split: Split, size: Tensor | None = None) -> Split:
    """Return a split with slant and centre of the ink taken out by its moments; with a mean size, size as well."""
    parts = [by_moments(x.float() / 255, size) for x in split.images.split(1000)]
    return Split((255 * torch.cat(parts)).round().clamp(0, 255).to(torch.uint8), split.labels)


def mean_size(split: Split) -> Tensor:
    """Return the mean width and height [2] of the images of a split."""
    return torch.cat([moments(x.float() / 255)[2] for x in split.images.split(1000)]).mean(0)


def moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return centre [B, 2], slant [B] and size [B, 2] of the ink: six moments, in coordinates from -1 to 1.

    The size is the standard deviation across, with the slant taken out, and along. Shapes: x [B, 1, 28, 28].
    """
    at = torch.linspace(-1 + 1 / 28, 1 - 1 / 28, 28)
    ink, across, down = x.sum((1, 2, 3)), x.sum((1, 2)), x.sum((1, 3))
    centre = torch.stack([across @ at, down @ at], 1) / ink[:, None]
    xx, yy = (torch.stack([across @ at**2, down @ at**2], 1) / ink[:, None] - centre**2).clamp(min=1e-6).T
    xy = torch.einsum("bij,i,j->b", x[:, 0], at, at) / ink - centre.prod(1)
    return centre, -xy / yy, torch.stack([(xx - xy**2 / yy).clamp(min=1e-6), yy], 1).sqrt()


def by_moments(x: Tensor, size: Tensor | None = None) -> Tensor:
    """Return images [B, 1, 28, 28] upright and centred and, if a size is given, stretched to it: no model at all.

    No image is stretched by more than MOST_STRETCH, else a one would become as wide as a zero.
    """
    centre, slant, own = moments(x)
    scale = torch.ones_like(own) if size is None else (own / size).clamp(1 / MOST_STRETCH, MOST_STRETCH)
    matrix = torch.zeros(len(x), 2, 3)  # from where the new image fetches its pixels
    matrix[:, 0, 0], matrix[:, 1, 1] = scale.T
    matrix[:, 0, 1] = -slant * scale[:, 1]
    matrix[:, :, 2] = centre
    return warp(x, matrix)


@dataclass(frozen=True)
class Graph:
    """The graph over training images, the ten nearest of each test image, the images as written, and CPU minutes."""

    joined: sparse.csr_array
    near: Tensor
    written: View
    minutes: float

    def spread(self, shown: Tensor) -> Tensor:
        """Return how much of each training image each class has when the shown labels spread."""
        told = labels.hide_labels(self.written.train, shown).labels
        return labels.spread_labels(self.joined, told)


@cache
def graph(name: str) -> Graph:
    """Return the graph of ten neighbours over a view that has a name."""
    return graph_of(view(name), view("pixels"))


def graph_of(seen: View, written: View) -> Graph:
    """Return the graph of ten neighbours over a view of written images, in at most 30 principal components."""
    began = time.process_time()
    train, test = seen.rows(seen.train), seen.rows(seen.test)
    if train.shape[1] > 30:
        components = PCA(30, random_state=0).fit(train.numpy())
        train, test = (torch.from_numpy(components.transform(part.numpy())).float() for part in (train, test))
    joined, near = labels.neighbour_graph(train), labels.nearest(train, test)
    return Graph(joined, near, written, seen.minutes + _minutes(began))


def by_library(classifier: Callable[[], object], seen: View, shown: Tensor, seed: int) -> Tensor:
    """Fit a classifier of scikit-learn to the labelled examples, and return the class of each test image."""
    fitted = make_pipeline(StandardScaler(with_std=False), classifier())
    fitted.fit(seen.rows(seen.train)[shown].numpy(), seen.train.labels[shown].numpy())
    return torch.from_numpy(fitted.predict(seen.rows(seen.test).numpy()))


def by_graph(over: Graph, shown: Tensor, seed: int) -> Tensor:
    """Spread the labels over a graph, let the ten neighbours of each test image vote, and return its class."""
    return over.spread(shown)[over.near].mean(dim=1).argmax(1)


def by_taught(generative: bool, over: Graph, shown: Tensor, seed: int) -> Tensor:
    """Take the surest labels of a graph for known, train M2 or only a classifier on the images, and return classes."""
    train, told = over.written.train, surest(over.spread(shown))
    torch.manual_seed(seed)
    model = models.M2(20, "conv", moves=1.0, binarise=False) if generative else models.Classifier("conv", moves=1.0)
    split = Split(train.images, told) if generative else Split(train.images, told).subset(told != labels.UNKNOWN)
    training.fit(model, split, steps=700, lr=4e-3, seed=seed)
    return called(model.classifier if generative else model, over.written.test)


def surest(shares: Tensor) -> Tensor:
    """Return the label of each of the surest 80%, and UNKNOWN for the others."""
    sure, label = shares.max(1)
    return torch.where(sure >= sure.quantile(0.2), label, labels.UNKNOWN)


def by_classifier(network: str, moves: float, steps: int | None, seen: View, shown: Tensor, seed: int) -> Tensor:
    """Train M2's classifier on the labelled examples alone, and return the class of each test image."""
    return called(classifier_on(seen, shown, seed, network, moves, steps), seen.test)


def by_m2(moves: float, steps: int, seen: View, shown: Tensor, seed: int, **settings: float) -> Tensor:
    """Train M2, its classifier first alone on the labelled examples, and return the class of each test image."""
    shape, on_codes = seen.train.shape, isinstance(seen.train, latent.Codes)
    first = classifier_on(seen, shown, seed, "mlp" if on_codes else "conv", moves)
    model = models.CodeM2(image_shape=shape, **settings) if on_codes else models.M2(moves=moves, **settings)
    model.classifier.load_state_dict(first.state_dict())
    steps = steps if len(shown) <= 100 else steps * 6 // 10  # with more labels there is less to be found out
    training.fit(model, labels.hide_labels(seen.train, shown, share=0.3), steps=steps, lr=1e-3, seed=seed)
    return called(model.classifier, seen.test)


def classifier_on(
    seen: View, shown: Tensor, seed: int, network: str, moves: float, steps: int | None = None
) -> models.Classifier:
    """Return a classifier trained on the labelled examples alone; 300 steps on up to 100 of them, 1,000 on more."""
    torch.manual_seed(seed)
    model = models.Classifier(network, seen.train.shape, moves=moves)
    steps = steps or (300 if len(shown) <= 100 else 1000)
    training.fit(model, seen.train.subset(shown), steps=steps, batch_size=min(64, len(shown)), lr=2e-3, seed=seed)
    return model


def called(classifier: models.Classifier, split: Split | latent.Codes) -> Tensor:
    """Return the class that a classifier calls each image, or each mean code."""
    if isinstance(split, latent.Codes):
        with models.evaluating(classifier):
            return classifier(split.mu[:, None, None].to(evaluation.device_of(classifier))).argmax(1).cpu()
    return evaluation.predict(classifier, split.images).argmax(1)


def logistic() -> LogisticRegression:
    """Return a logistic regression that is given time to converge."""
    return LogisticRegression(max_iter=2000)


METHODS: dict[str, tuple[Callable, Callable]] = {  # what all draws share, and what is done for each
    "nearest neighbour": (partial(view, "pixels"), partial(by_library, partial(KNeighborsClassifier, 1))),
    "logistic regression": (partial(view, "pixels"), partial(by_library, logistic)),
    "MLP": (partial(view, "pixels"), partial(by_classifier, "mlp", 0.0, None)),
    "CNN": (partial(view, "pixels"), partial(by_classifier, "conv", 0.0, None)),
    "CNN, 2,800 steps": (partial(view, "pixels"), partial(by_classifier, "conv", 0.0, 2800)),
    "CNN, moved copies": (partial(view, "pixels"), partial(by_classifier, "conv", 1.0, None)),
    "CNN, moved copies, 2,800 steps": (partial(view, "pixels"), partial(by_classifier, "conv", 1.0, 2800)),
    "graph": (partial(graph, "pixels"), by_graph),
    "graph, upright by moments": (partial(graph, "upright"), by_graph),
    "graph, upright and scaled": (partial(graph, "scaled"), by_graph),
    "M1 + 5 neighbours": (partial(view, "codes"), partial(by_library, partial(KNeighborsClassifier, 5))),
    "M1 + logistic regression": (partial(view, "codes"), partial(by_library, logistic)),
    "M1 + SVM": (partial(view, "codes"), partial(by_library, partial(SVC, C=10))),
    "M1 + graph": (partial(graph, "codes"), by_graph),
    "M2": (partial(view, "pixels"), partial(by_m2, 0.0, 2500)),
    "M2, longer": (partial(view, "pixels"), partial(by_m2, 0.0, 5000, latent_dim=50, alpha=100.0)),
    "M2, moved copies": (partial(view, "pixels"), partial(by_m2, 1.0, 2500)),
    "M1 + M2": (partial(view, "codes"), partial(by_m2, 0.0, 6000)),
    "pose + SVM": (partial(view, "posed"), partial(by_library, partial(SVC, C=10))),
    "pose + graph": (partial(graph, "posed"), by_graph),
    "pose + graph, seed 1": (partial(graph, "posed 1"), by_graph),
    "pose + graph, seed 2": (partial(graph, "posed 2"), by_graph),
    "pose + graph, then CNN": (partial(graph, "posed"), partial(by_taught, False)),
    "pose + graph, then M2": (partial(graph, "posed"), partial(by_taught, True)),
    "pose + M2": (partial(view, "posed"), partial(by_m2, 1.0, 2000)),
}


def measure(method: str, shown: int, draw: int) -> table.Row:
    """Run one method on one draw of labels, and compare with the test labels, which nothing before has seen."""
    mnist = table.full_mnist()
    prepare, guess = METHODS[method]
    shared, began = prepare(), time.process_time()
    guessed = guess(shared, labels.draw_labels(mnist.train.labels, shown, seed=draw), draw)
    minutes = {"minutes": round(_minutes(began), 2), "shared_minutes": round(shared.minutes, 2)}
    return {"error": round(100 * (guessed != mnist.test.labels).float().mean().item(), 2)} | minutes


def _minutes(began: float) -> float:
    return (time.process_time() - began) / 60


if __name__ == "__main__":
    every = ((method, shown, draw) for shown, draws in DRAWS.items() for draw in range(draws) for method in METHODS)
    runs = [run for run in every if run[1] == 100 or run[0] not in AT_100]
    runs.sort(key=lambda run: run[1] > 100 and "M2" in run[0])  # the long ones last
    table.fill(TABLE, (dict(zip(TABLE.keys, run, strict=True)) for run in runs), measure, __doc__)
