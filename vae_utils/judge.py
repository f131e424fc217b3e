"""The digit judge: a classifier trained on real digits, used to measure what a model draws."""

import torch
from torch import Tensor

from vae_utils.data import Dataset
from vae_utils.evaluation import predict
from vae_utils.models import DigitJudge
from vae_utils.training import fit_once

ACCEPTS_FROM = 0.95  # the probability from which the judge calls a picture a digit without hesitation


def load_judge(dataset: Dataset) -> DigitJudge:
    """Return a judge of a data set's classes, trained the first time (about half a minute on two cores) and kept."""
    torch.manual_seed(0)
    model = DigitJudge(classes=len(dataset.classes), image_shape=tuple(dataset.train.images.shape[1:]))
    fit_once(f"judge-{dataset.name}", model, dataset, steps=1400, batch_size=128, lr=3e-3, seed=0)
    return model


def verdicts(judge: DigitJudge, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the judge calls each image, and how surely: labels [B] and probabilities [B].

    Shapes: images [B, C, H, W] in [0, 1].
    """
    confidence, label = predict(judge, images).softmax(1).max(1)
    return label, confidence


def accepted(judge: DigitJudge, images: Tensor) -> float:
    """Return the share of images that the judge calls some digit with a probability of at least ACCEPTS_FROM."""
    return (verdicts(judge, images)[1] >= ACCEPTS_FROM).float().mean().item()
