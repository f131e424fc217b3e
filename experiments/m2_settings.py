"""What matters to M2 with 100 labels: data/results/m2_settings.csv, the settings of notebook 07.

python -m experiments.m2_settings            # 50 minutes on one core; finished rows are kept
python -m experiments.m2_settings --part 1/2    # one of two processes that share the rows
python -m experiments.m2_settings --fresh    # every row anew

One setting at a time is changed, but for the last row. error: in % on 5,000 training images whose labels serve for
this choice alone; the test images are not looked at. before: the error of the classifier before it joins M2. early,
late: the mean entropy of q(y | x) in nats after 200 steps and at the end. apart: on how many of the images, in %, the
classifier names another class than that in which the decoder describes the image in the fewest nats.
"""

from functools import cache

import torch
from torch.optim.swa_utils import AveragedModel

from experiments import table
from experiments.semi_supervised import Graph, View, classifier_on, graph_of, surest
from vae_utils import data, evaluation, labels, models, training
from vae_utils.data import Split

TABLE = table.Table("m2_settings", ("change", "draw"))
BASE = {"alpha": 10.0, "share": 0.3, "steps": 1000}
ARGUMENTS = ("alpha", "latent_dim", "classifier", "moves", "binarise")
CHANGES: dict[str, dict[str, object]] = {
    "as in the other rows": {},
    "classifier alone, as many steps": {"alone": True},
    "alpha 0.1": {"alpha": 0.1},
    "alpha 1": {"alpha": 1.0},
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
    "4,000 steps": {"steps": 4000},
    "50 latents, alpha 100, 4,000 steps": {"latent_dim": 50, "alpha": 100.0, "steps": 4000},
}


class Watch:
    """Look at q(y | x) after 200 steps; if asked to, average its weights over the second half, every 50 steps."""

    def __init__(self, classifier: models.Classifier, judged: Split, steps: int, averaged: bool) -> None:
        self.classifier, self.judged, self.early = classifier, judged, float("nan")
        self.average = AveragedModel(classifier) if averaged else None
        self.steps = sorted({200, *(range(steps // 2, steps, 50) if averaged else ())})

    def __call__(self, step: int, model: object) -> None:
        """Measure, or average."""
        if step == 200:
            self.early = read(self.classifier, self.judged)[1]
        else:
            self.average.update_parameters(self.classifier)

    @property
    def last(self) -> models.Classifier:
        """Return the classifier whose error counts."""
        return self.average.module if self.average else self.classifier


@cache
def parts() -> tuple[Split, Split]:
    """Return the training images that learn, and 5,000 others that judge."""
    train = table.full_mnist().train
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(99))
    return train.subset(order[5000:]), train.subset(order[:5000])


@cache
def neighbours() -> Graph:
    """Return the graph over the training images that learn."""
    seen = View(*parts(), 0.0)
    return graph_of(seen, seen)


def measure(change: str, draw: int) -> table.Row:
    """Train M2 with one setting changed, on 100 labels, and return its error on training images set aside for this."""
    options, (train, judged) = BASE | CHANGES[change], parts()
    shown = labels.draw_labels(train.labels, 100, seed=draw)
    if "counts" in options:
        shown = labels.draw_unbalanced(train.labels, options["counts"], draw)
    if "strangers" in options:
        train = joined(train, data.load_dataset("fashion_mnist").train.subset(slice(options["strangers"])))
    torch.manual_seed(draw)
    model = models.M2(**{name: value for name, value in options.items() if name in ARGUMENTS})
    told, first = labels.hide_labels(train, shown, share=options["share"]), shown
    if "spread" in options:
        told = Split(train.images, surest(neighbours().spread(shown)))
        first = (told.labels != labels.UNKNOWN).nonzero().flatten()
    if "cold" not in options:
        seen = View(told if "spread" in options else train, judged, 0.0)
        alone = classifier_on(seen, first, draw, model.config["classifier"], model.config["moves"])
        model.classifier.load_state_dict(alone.state_dict())
    before = read(model.classifier, judged)[0]
    watch = Watch(model.classifier, judged, options["steps"], "averaged" in options)
    run = {"steps": options["steps"], "lr": 1e-3, "seed": draw, "callback": watch, "callback_steps": watch.steps}
    if "alone" in options:  # as many labelled images a step as in M2's batches, and no other
        history = training.fit(model.classifier, train.subset(shown), batch_size=38, **run)
    else:
        history = training.fit(model, told, **run)
    error, late = read(watch.last, judged)
    result = {"before": before, "error": error, "early": watch.early, "late": late}
    result["apart"] = apart(model, watch.last, judged)
    return {name: round(value, 3) for name, value in result.items()} | {"seconds": round(history.seconds)}


def joined(train: Split, strangers: Split) -> Split:
    """Return a split that goes on with images of another data set, whose labels nobody says."""
    unknown = torch.full_like(strangers.labels, labels.UNKNOWN)
    return Split(torch.cat([train.images, strangers.images]), torch.cat([train.labels, unknown]))


@torch.no_grad()
def read(classifier: models.Classifier, judged: Split) -> tuple[float, float]:
    """Return the error in % and the mean entropy of q(y | x) in nats."""
    log_q = evaluation.predict(classifier, judged.images).log_softmax(1)
    error = (log_q.argmax(1) != judged.labels).float().mean().item()
    return 100 * error, -(log_q.exp() * log_q).sum(1).mean().item()


@torch.no_grad()
def apart(model: models.M2, classifier: models.Classifier, judged: Split) -> float:
    """Return on how many images, in %, the classifier and the cheapest description by the decoder disagree."""
    other = 0
    for x in (judged.images / 255).split(1000):
        described = torch.bernoulli(x) if model.config["binarise"] else x
        other += (evaluation.predict(classifier, x).argmax(1) != models.class_costs(model, described).argmin(1)).sum()
    return 100 * other.item() / len(judged)


if __name__ == "__main__":
    wanted = ({"change": change, "draw": draw} for draw in range(2) for change in CHANGES)
    table.fill(TABLE, wanted, measure, __doc__)
