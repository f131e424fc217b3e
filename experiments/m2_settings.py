"""What matters to M2 with 100 labels: data/results/m2_settings.csv, the settings of notebook 07.

python -m experiments.m2_settings            # half an hour on one core; finished rows are kept
python -m experiments.m2_settings --fresh    # every row anew

One setting at a time is changed. error: in % on 5,000 training images whose labels serve for this choice alone; the
test images are not looked at. before: the error of the classifier before it joins M2. early, late: the mean
entropy of q(y | x) in nats after 200 steps and at the end.
"""

from functools import cache

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from experiments import table
from experiments.semi_supervised import View, classifier_on, graph_of
from vae_utils import data, evaluation, labels, models, training
from vae_utils.data import Split

BASE = {"alpha": 10.0, "share": 0.3, "steps": 1000}
ARGUMENTS = ("alpha", "latent_dim", "classifier", "moves", "binarise")
CHANGES: dict[str, dict[str, object]] = {
    "as in the other rows": {},
    "alpha 0.1": {"alpha": 0.1},
    "alpha 100": {"alpha": 100.0},
    "alpha 10,000": {"alpha": 10_000.0},
    "labelled 3% of a batch": {"share": 0.03},
    "classifier sees moved copies": {"moves": 1.0},
    "classifier an MLP": {"classifier": "mlp"},
    "classifier untrained at first": {"cold": True},
    "labels spread at first": {"spread": True},
    "labels unbalanced, 28 of a class to 2": {"counts": (28, 20, 14, 10, 8, 6, 5, 4, 3, 2)},
    "20,000 images of clothes among the digits": {"strangers": 20_000},
    "grey pixels": {"binarise": False},
    "50 latents": {"latent_dim": 50},
    "weights averaged": {"averaged": True},
    "alpha 1": {"alpha": 1.0},
    "4,000 steps": {"steps": 4000},
}


class Watch:
    """Look at q(y | x) after 200 steps; average the weights of the second half, every 50 steps."""

    def __init__(self, judged: Split, steps: int) -> None:
        self.judged, self.early, self.average = judged, float("nan"), None
        self.steps = sorted({200, *range(steps // 2, steps, 50)})

    def __call__(self, step: int, model: models.M2) -> None:
        """Measure, or average."""
        if step == 200:
            self.early = read(model, self.judged)[1]
        else:
            self.average = self.average or AveragedModel(model)
            self.average.update_parameters(model)


@cache
def parts() -> tuple[Split, Split]:
    """Return the training images that learn, and 5,000 others that judge."""
    train = table.full_mnist().train
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(99))
    return train.subset(order[5000:]), train.subset(order[:5000])


@cache
def neighbours() -> Tensor:
    """Return the graph over the training images that learn."""
    train, judged = parts()
    return graph_of(View(train, judged, 0.0)).joined


def measure(change: str, draw: int) -> table.Row:
    """Train M2 with one setting changed, on 100 labels, and return its error on training images set aside for this."""
    options, (train, judged) = BASE | CHANGES[change], parts()
    shown = labels.draw_labels(train.labels, 100, seed=draw)
    if "counts" in options:
        shown = unbalanced(train, options["counts"], draw)
    if "strangers" in options:
        train = joined(train, data.load_dataset("fashion_mnist").train.subset(slice(options["strangers"])))
    torch.manual_seed(draw)
    model = models.M2(**{name: value for name, value in options.items() if name in ARGUMENTS})
    told, first = labels.hide_labels(train, shown, share=options["share"]), shown
    if "spread" in options:
        told = surest(train, shown)
        first = (told.labels != models.UNKNOWN).nonzero().flatten()
    if "cold" not in options:
        seen = View(told if "spread" in options else train, judged, 0.0)
        alone = classifier_on(seen, first, draw, model.config["classifier"], model.config["moves"])
        model.classifier.load_state_dict(alone.state_dict())
    before, watch = read(model, judged)[0], Watch(judged, options["steps"])
    history = training.fit(
        model, told, steps=options["steps"], lr=1e-3, seed=draw, callback=watch, callback_steps=watch.steps
    )
    error, late = read(watch.average.module if "averaged" in options else model, judged)
    result = {"before": before, "error": error, "early": watch.early, "late": late}
    return {name: round(value, 3) for name, value in result.items()} | {"seconds": round(history.seconds)}


def unbalanced(train: Split, counts: tuple[int, ...], draw: int) -> Tensor:
    """Return the indices of so many examples of each class; the draw also says which class gets how many."""
    pool = labels.draw_labels(train.labels, 10 * max(counts), draw)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(draw)).tolist()
    classes = train.labels[pool]
    return torch.cat([pool[classes == order[k]][:count] for k, count in enumerate(counts)])


def joined(train: Split, strangers: Split) -> Split:
    """Return a split that goes on with images of another data set, whose labels nobody says."""
    unknown = torch.full_like(strangers.labels, models.UNKNOWN)
    return Split(torch.cat([train.images, strangers.images]), torch.cat([train.labels, unknown]))


def surest(train: Split, shown: Tensor) -> Split:
    """Return the split with the surest 80% of the labels that spread over the graph, taken for known."""
    shares = labels.spread_labels(neighbours(), labels.hide_labels(train, shown).labels)
    sure, label = shares.max(1)
    return Split(train.images, torch.where(sure >= sure.quantile(0.2), label, models.UNKNOWN))


@torch.no_grad()
def read(model: models.M2, judged: Split) -> tuple[float, float]:
    """Return the error in % and the mean entropy of q(y | x) in nats."""
    log_q = evaluation.predict(model.classifier, judged.images / 255).log_softmax(1)
    error = (log_q.argmax(1) != judged.labels).float().mean().item()
    return 100 * error, -(log_q.exp() * log_q).sum(1).mean().item()


if __name__ == "__main__":
    wanted = [{"change": change, "draw": draw} for draw in range(1) for change in CHANGES]
    table.fill("m2_settings", wanted, measure, __doc__)
