"""Held-out measures against brute force, quadrature and models whose answer is known."""

import math

import pytest
import torch

from vae_utils import evaluation
from vae_utils.data import Split
from vae_utils.losses import gaussian_kl, gaussian_log_density
from vae_utils.models import VAE, Autoencoder


@pytest.fixture
def model():
    torch.manual_seed(0)
    return VAE(2, image_shape=(1, 8, 8))


# ---- evaluate


def test_evaluate_is_the_mean_worked_out_by_hand(model, toy):
    torch.manual_seed(0)
    recon, kl = model.terms(*toy.test[:])
    measured = evaluation.evaluate(model, toy.test)
    assert measured["recon"] == pytest.approx(recon.mean().item(), rel=1e-6)
    assert measured["kl"] == pytest.approx(kl.mean().item(), rel=1e-6)
    assert measured["loss"] == pytest.approx((recon + kl).mean().item(), rel=1e-6)
    beta = evaluation.evaluate(model, toy.test, beta=0.25)
    assert beta["loss"] == pytest.approx((recon + kl / 4).mean().item(), rel=1e-6)


def test_evaluate_repeats_and_leaves_the_random_numbers_alone(model, toy):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = evaluation.evaluate(model.train(), toy.test)
    assert torch.equal(torch.rand(1), expected) and model.training, "in the mode that it had"
    assert evaluation.evaluate(model, toy.test) == first
    assert evaluation.evaluate(model, toy.test, seed=1) != first


@pytest.mark.parametrize("chunk", [8, 16, 40, 64])
def test_evaluate_does_not_depend_on_the_chunks(model, toy, monkeypatch, chunk):
    whole = evaluation.evaluate(model, toy.train)
    monkeypatch.setattr(evaluation, "CHUNK", chunk)
    assert evaluation.evaluate(model, toy.train) == pytest.approx(whole, rel=1e-5)


def test_every_image_weighs_the_same_in_uneven_chunks(toy, monkeypatch):
    torch.manual_seed(0)
    model = Autoencoder(2, image_shape=(1, 8, 8))
    expected = model.terms(*toy.test[:])[0].mean().item()
    monkeypatch.setattr(evaluation, "CHUNK", 59)  # a last chunk of one image
    assert evaluation.evaluate(model, toy.test)["recon"] == pytest.approx(expected, rel=1e-6)


def test_predict_and_encode_means_keep_the_order(model, toy, monkeypatch):
    monkeypatch.setattr(evaluation, "CHUNK", 16)
    x, _ = toy.test[:]
    torch.testing.assert_close(evaluation.encode_means(model, toy.test), model.encode(x)[0].detach())
    for clouds, expected in zip(evaluation.encode_clouds(model, toy.test), model.encode(x), strict=True):
        torch.testing.assert_close(clouds, expected.detach())
    plain = Autoencoder(2, image_shape=(1, 8, 8))
    torch.testing.assert_close(evaluation.encode_means(plain, toy.test), plain.encode(x).detach())
    torch.testing.assert_close(evaluation.predict(plain.encoder.train(), x), plain.encode(x).detach())
    assert plain.encoder.training, "in the mode that it had"


# ---- log-likelihood in a model where it can be integrated: one latent dimension, four pixels


@pytest.fixture
def tiny():
    """A VAE with a sharp decoder and an encoder that is somewhat off."""
    torch.manual_seed(1)
    model = VAE(1, image_shape=(1, 2, 2))
    with torch.no_grad():
        model.decoder[-2].weight.mul_(12)
        model.encoder[-1].bias.copy_(torch.tensor([0.5, -0.3]))
    return model


GRID = torch.linspace(-9, 9, 6001).unsqueeze(1)
STEP = math.log(18 / 6000)


def log_joint(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """Return log p(x, z) on the grid, for one image."""
    with torch.no_grad():
        return gaussian_log_density(GRID) - model.nll(model.decode(GRID), x.expand(len(GRID), -1, -1, -1))


def images(n: int) -> torch.Tensor:
    return (torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(0)) > 0.5).float()


def test_log_likelihood_agrees_with_quadrature(tiny):
    x = images(6)
    exact = torch.stack([log_joint(tiny, image).logsumexp(0) + STEP for image in x])
    assert exact.std() > 0.1, "the images differ in likelihood, or the test could not fail"
    estimate = evaluation.log_likelihood(tiny, x, samples=2000)
    torch.testing.assert_close(estimate, exact, rtol=0, atol=0.05)


def test_one_sample_gives_the_elbo_and_more_come_closer_to_the_truth(tiny):
    image, n = images(1), 3000
    joint = log_joint(tiny, image[0])
    with torch.no_grad():
        mu, logvar = tiny.encode(image)
        weights = (gaussian_log_density(GRID, mu, logvar) + STEP).exp()
        elbo = (weights * (joint - gaussian_log_density(GRID))).sum() - gaussian_kl(mu, logvar)[0]
    truth = joint.logsumexp(0) + STEP
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    bounds = [evaluation.log_likelihood(tiny, image.expand(n, -1, -1, -1), samples=s) for s in (1, 4, 16)]
    means, errors = [b.mean() for b in bounds], [b.std() / math.sqrt(n) for b in bounds]
    assert (means[0] - elbo).abs() < 4 * errors[0]
    assert elbo + 0.05 < truth, "the encoder is off, or there were nothing to gain"
    assert means[0] < means[1] < means[2] < truth + 4 * errors[2]


def test_log_likelihood_repeats_for_any_number_of_images(tiny):
    x = images(130)
    first = evaluation.log_likelihood(tiny, x, samples=3)
    assert first.shape == (130,) and torch.equal(first, evaluation.log_likelihood(tiny, x, samples=3))
    assert not torch.equal(first, evaluation.log_likelihood(tiny, x, samples=3, seed=1))
    with pytest.raises(ValueError, match="samples must be a whole number of at least 1, not 0"):
        evaluation.log_likelihood(tiny, x, samples=0)


def test_log_likelihood_uses_the_likelihood_of_the_model(tiny):
    class Constant(VAE):
        def nll(self, x_logits, x):
            return x_logits.new_full((len(x),), 7.0)

    torch.manual_seed(0)
    estimate = evaluation.log_likelihood(Constant(1, image_shape=(1, 2, 2)), images(3), samples=2000)
    torch.testing.assert_close(estimate, torch.full((3,), -7.0), rtol=0, atol=0.02)


# ---- active units, neighbours


def test_active_units_finds_the_dead_ones(toy):
    torch.manual_seed(0)
    model = VAE(4, image_shape=(1, 8, 8))
    with torch.no_grad():
        model.encoder[-1].weight[:4].mul_(30)
        model.encoder[-1].weight[[1, 2]] = 0
        model.encoder[-1].bias[1] = 5.0  # a constant far from the prior is dead as well
    assert evaluation.active_units(model, toy.test).tolist() == [True, False, False, True]
    assert evaluation.active_units(model, toy.test, threshold=1e6).tolist() == 4 * [False]


def test_evaluate_wants_images_and_labels_of_a_split(model):
    split = Split(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.zeros(3, dtype=torch.long))
    assert set(evaluation.evaluate(model, split)) == {"loss", "recon", "kl"}
