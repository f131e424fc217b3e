"""The beta that a way of writing the loss amounts to, asked of losses whose beta is known, and of wrong ones."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from vae_utils.losses import bernoulli_nll, effective_beta, gaussian_nll


def kl_terms(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    return (mu**2 + logvar.exp() - 1 - logvar) / 2


def cross_entropy(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


UNIT = partial(gaussian_nll, sigma=1.0)
SPELLINGS = {  # loss, nll, beta, for 3 latents and 2 x 4 x 5 pixels
    "sums": (lambda o, x, m, v: (cross_entropy(o, x).sum() + kl_terms(m, v).sum()) / len(x), bernoulli_nll, 1),
    "sums over the batch": (lambda o, x, m, v: cross_entropy(o, x).sum() + kl_terms(m, v).sum(), bernoulli_nll, 1),
    "means": (lambda o, x, m, v: cross_entropy(o, x).mean() + kl_terms(m, v).mean(), bernoulli_nll, 40 / 3),
    "a weight": (lambda o, x, m, v: cross_entropy(o, x).mean() + 0.1 * kl_terms(m, v).sum(1).mean(), bernoulli_nll, 4),
    "squared error": (lambda o, x, m, v: ((o - x) ** 2).sum() + kl_terms(m, v).sum(), UNIT, 0.5),
    "half of it": (lambda o, x, m, v: ((o - x) ** 2).sum() / 2 + kl_terms(m, v).sum(), UNIT, 1),
    "another sigma": (
        lambda o, x, m, v: ((o - x) ** 2).sum() / 2 + kl_terms(m, v).sum(), partial(gaussian_nll, sigma=0.1), 100,
    ),
    "no half": (lambda o, x, m, v: cross_entropy(o, x).sum() + 2 * kl_terms(m, v).sum(), bernoulli_nll, 2),
    "less the entropy of x": (
        lambda o, x, m, v: (cross_entropy(o, x) - cross_entropy(torch.logit(x), x)).sum() + kl_terms(m, v).sum(),
        bernoulli_nll,
        1,
    ),
    "no KL": (lambda o, x, m, v: cross_entropy(o, x).sum(), bernoulli_nll, 0),
    "next to no KL": (lambda o, x, m, v: cross_entropy(o, x).sum() + 1e-5 * kl_terms(m, v).sum(), bernoulli_nll, 1e-5),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_effective_beta_of_a_spelling(name):
    loss, nll, beta = SPELLINGS[name]
    found = effective_beta(loss, nll, image_shape=(2, 4, 5), latent_dim=3)
    assert found == pytest.approx(beta, rel=1e-6, abs=1e-12)


WRONG = {
    "KL subtracted": (lambda o, x, m, v: cross_entropy(o, x).sum() - kl_terms(m, v).sum(), "wrong sign"),
    "recon subtracted": (lambda o, x, m, v: -cross_entropy(o, x).sum() + kl_terms(m, v).sum(), "wrong sign"),
    "both": (lambda o, x, m, v: -cross_entropy(o, x).sum() - kl_terms(m, v).sum(), "wrong sign"),
    "sigma for variance": (
        lambda o, x, m, v: cross_entropy(o, x).sum() + (m**2 + (v / 2).exp() - 1 - v).sum(), "another quantity",
    ),
    "sigma for variance, weighed little": (
        lambda o, x, m, v: cross_entropy(o, x).sum() + 1e-4 * (m**2 + (v / 2).exp() - 1 - v).sum(), "another quantity",
    ),
    "squared error, held against coins": (
        lambda o, x, m, v: ((o - x) ** 2).mean() + kl_terms(m, v).sum(), "another quantity",
    ),
    "absolute error, next to a heavy KL": (
        lambda o, x, m, v: (o - x).abs().sum() + 1e6 * kl_terms(m, v).sum(),
        "another quantity",
    ),
    "32 bits": (lambda o, x, m, v: cross_entropy(o.float(), x.float()).sum() + kl_terms(m, v).sum(), "64 bits"),
    "one mean over the batch": (lambda o, x, m, v: cross_entropy(o, x).sum() + kl_terms(m, v).mean(), "batch size"),
    "a fixed batch size": (
        lambda o, x, m, v: cross_entropy(o, x).mean() + kl_terms(m, v).sum() / (128 * 784),
        "0.03125 for 4 images and 0.0625 for 8",
    ),
    "infinite": (lambda o, x, m, v: cross_entropy(o, x).sum() / 0 + kl_terms(m, v).sum(), "loss must be finite"),
    "NaN": (lambda o, x, m, v: (cross_entropy(o, x).sum() - 1e9).log() + kl_terms(m, v).sum(), "loss must be finite"),
    "raises": (lambda o, x, m, v: x.view(3, -1).sum(), "loss must be a function of x_out, x, mu, logvar; asked with"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_effective_beta_refuses_what_is_no_such_sum(name):
    loss, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        effective_beta(loss, bernoulli_nll)


def test_effective_beta_refuses_what_takes_other_arguments():
    with pytest.raises(
        TypeError, match=r"loss must be a function of x_out, x, mu, logvar; asked .* takes 2 pos"
    ) as raised:
        effective_beta(lambda x_out, x: x.mean(), bernoulli_nll)
    assert isinstance(raised.value.__cause__, TypeError), "where it was raised stays in sight"
    with pytest.raises(TypeError, match="nll must be a function of x_out, x; asked with these it raised TypeError"):
        effective_beta(SPELLINGS["sums"][0], torch.nn.Linear(2, 2).reset_parameters)
