"""The digit judge: a classifier trained on real digits and on forgeries, used to measure what a model draws."""

import torch
from torch import Tensor

from vae_utils import inputs
from vae_utils.data import Dataset
from vae_utils.evaluation import predict
from vae_utils.keeping import fit_once
from vae_utils.models import DigitJudge
from vae_utils.runtime import own_random_numbers


def load_judge(dataset: Dataset) -> DigitJudge:
    """Return a judge of a data set's classes, trained the first time (about half a minute on two cores) and kept.

    Raises: TypeError for what is no data set; ValueError for images whose sides are no multiples of 4.
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset must be a data.Dataset, as load_dataset returns, not {inputs.described(dataset)}")
    with own_random_numbers(0):
        judge = DigitJudge(classes=len(dataset.classes), image_shape=dataset.train.shape)
    fit_once(f"judge-{dataset.name}", judge, dataset, steps=1200, batch_size=128, lr=6e-3, seed=0)
    return judge


def verdicts(judge: DigitJudge, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the judge calls each image, and how surely: class [B] and its probability [B].

    The class is the likeliest of the real ones; its probability is below one half where "none of these" is likelier.

    Shapes: images [B, C, H, W], uint8 or in [0, 1].
    Raises: TypeError for another judge; TypeError or ValueError for other images, or none.
    """
    if not isinstance(judge, DigitJudge):
        raise TypeError(f"judge must be a DigitJudge, as load_judge returns, not a {type(judge).__name__}")
    chances = predict(judge, images).softmax(1)[:, :-1]  # the last one is "none of these"
    probability, label = chances.max(1)
    return label, probability


def accepted(judge: DigitJudge, images: Tensor) -> float:
    """Return the share of images that the judge holds to be one particular digit with a probability above one half.

    Raises: as `verdicts`.
    """
    return (verdicts(judge, images)[1] > 0.5).float().mean().item()


def variety(images: Tensor, labels: Tensor) -> float:
    """Return the variance of the pixels within a class, summed over pixels and averaged over the classes present.

    Near 0 for a model that draws the same seven again and again; compare with real digits. The aside to notebook 05.

    Shapes: images [B, C, H, W] in [0, 1], labels int64 [B].
    Raises: TypeError or ValueError for other images or labels, or a class with one image, which has no variance.
    """
    _check_variety(images, labels)
    return torch.stack([images[labels == k].var(0).sum() for k in labels.unique()]).mean().item()


def _check_variety(images: Tensor, labels: Tensor) -> None:
    inputs.check_images("images", images)
    inputs.check_unit("images", images)
    inputs.check_labels("labels", labels, len(images), None)
    if labels.min() < 0:
        raise ValueError(f"labels must be of classes, at least 0, not {labels.min()}: leave out what is unknown")
    alone = [k for k, count in zip(*labels.unique(return_counts=True), strict=True) if count < 2]
    if alone:
        raise ValueError(
            f"labels must name each class at least twice, for a variance, and {alone[0]} stands there once"
        )
