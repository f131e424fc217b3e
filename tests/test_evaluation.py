"""Held-out measures against brute force, quadrature and models whose answer is known."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from vae_utils import evaluation
from vae_utils.data import Split
from vae_utils.losses import gaussian_kl, gaussian_log_density
from vae_utils.models import CVAE, M2, VAE, Autoencoder, Classifier, Completer, DigitJudge


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
    for clouds, expected in zip(evaluation.encode_posteriors(model, toy.test), model.encode(x), strict=True):
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
    with pytest.raises(ValueError, match="samples must be a whole number of at least 1 .*, not 0"):
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


# ---- what is measured stays as it was, and what cannot be measured is refused

MEASURES = {
    "evaluate": lambda model, split: evaluation.evaluate(model, split),
    "predict": lambda model, split: evaluation.predict(model, split[:][0]),
    "encode_posteriors": lambda model, split: evaluation.encode_posteriors(model, split),
    "encode_means": lambda model, split: evaluation.encode_means(model, split),
    "log_likelihood": lambda model, split: evaluation.log_likelihood(model, split[:][0], samples=2),
    "active_units": lambda model, split: evaluation.active_units(model, split),
}


class Seen(VAE):
    """A VAE that encodes in evaluation mode only, and whose own call is its mean image."""

    def encode(self, x):
        assert not any(part.training for part in self.modules()) and not torch.is_grad_enabled()
        return super().encode(x)

    def forward(self, x):
        return self.decode(self.encode(x)[0])

    def terms(self, x, y=None):
        mu, logvar = self.encode(x)
        return self.nll(self.decode(mu), x), gaussian_kl(mu, logvar)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("fails", [False, True])
def test_every_part_is_left_in_the_mode_that_it_had(name, fails, toy):
    torch.manual_seed(0)
    model = Seen(2, image_shape=(1, 8, 8)).train()
    model.encoder[1].eval()
    model.decoder.eval()
    model.decoder[2].train()
    modes = [part.training for part in model.modules()]
    if fails:
        model.encoder.forward = lambda x: 1 / 0
        with pytest.raises(ZeroDivisionError):
            MEASURES[name](model, toy.test)
    else:
        MEASURES[name](model, toy.test)
    assert [part.training for part in model.modules()] == modes and len(set(modes)) == 2
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", MEASURES)
def test_a_model_whose_weights_are_spoiled_is_named(name, toy):
    model = Seen(2, image_shape=(1, 8, 8))
    torch.nn.init.constant_(model.encoder[1].weight, float("nan"))
    with pytest.raises(ValueError, match="model makes NaN of these images"):
        MEASURES[name](model, toy.test)


def test_a_model_may_change_the_pixels_before_it_looks():
    class Normed(VAE):
        def encode(self, x):
            return super().encode(3 * x - 1)

    model, split = Normed(2, image_shape=(1, 8, 8)), Split(torch.rand(3, 1, 8, 8), torch.arange(3))
    assert evaluation.evaluate(model, split)["loss"] > 0 and evaluation.encode_means(model, split).shape == (3, 2)


def test_a_label_that_nobody_knows_gives_no_code(toy):
    model = M2(2, image_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="y must be from 0 to 9, not from -1 to"):
        evaluation.encode_means(model, Split(toy.test.images, torch.full((60,), -1)))


@pytest.mark.parametrize("name", ["predict", "log_likelihood"])
def test_bytes_are_measured_as_the_floats_that_they_stand_for(name, toy):
    torch.manual_seed(0)
    model = Seen(2, image_shape=(1, 8, 8))
    measure = {
        "predict": evaluation.predict,
        "log_likelihood": lambda model, images: evaluation.log_likelihood(model, images, samples=3),
    }[name]
    images = toy.test.images
    assert torch.equal(measure(model, images), measure(model, images.float() / 255))


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda m, x: evaluation.predict(m, 255 * x), ValueError, r"images must lie in \[0, 1\]"),
        (lambda m, x: evaluation.predict(m, x[:0]), ValueError, "images must hold at least one image"),
        (lambda m, x: evaluation.predict(m, x[..., :4]), ValueError, r"shape \[B, 1, 8, 8\], not \[4, 1, 8, 4\]"),
        (lambda m, x: evaluation.predict(m, x.long()), TypeError, "images must be uint8, or floats"),
        (lambda m, x: evaluation.predict(len, x), TypeError, "model must be a module with weights, not builtin"),
        (lambda m, x: evaluation.log_likelihood(m, 255 * x, 2), ValueError, r"images must lie in \[0, 1\]"),
        (lambda m, x: evaluation.log_likelihood(m, x, 2.5), TypeError, "samples must be a whole number of at least 1"),
        (lambda m, x: evaluation.evaluate(m, x), TypeError, r"split must be a data.Split.*not a Tensor"),
        (lambda m, x: evaluation.evaluate(m, Split(x, torch.arange(4)).subset([])), ValueError, "at least one image"),
        (lambda m, x: evaluation.evaluate(m, Split(x, torch.arange(4)), "1"), TypeError, "beta must be a number"),
        (lambda m, x: evaluation.evaluate(m, Split(x, torch.arange(4)), -1), ValueError, "beta must be .* at least 0"),
        (
            lambda m, x: evaluation.evaluate(m, Split(x, torch.arange(4)), 1e308),
            ValueError,
            r"beta must .* 1e\+06",
        ),
        (
            lambda m, x: evaluation.evaluate(m, Split(x, torch.arange(4)), seed=2**70),
            ValueError,
            "seed must be a whole number",
        ),
        (
            lambda m, x: evaluation.evaluate(nn.Linear(2, 2), Split(x, torch.arange(4))),
            TypeError,
            "model must have terms: Linear has no terms",
        ),
        (
            lambda m, x: evaluation.evaluate(m, Split(x[..., :4], torch.arange(4))),
            ValueError,
            r"VAE was made for images \[1, 8, 8\], and the split has \[1, 8, 4\]",
        ),
        (lambda m, x: evaluation.predict(m, x), TypeError, "model must make one tensor, and a VAE makes a tuple"),
        (
            lambda m, x: evaluation.predict(CVAE(2, image_shape=(1, 8, 8)), x),
            TypeError,
            "model must read images alone, and a CVAE wants to be told more",
        ),
        (
            lambda m, x: evaluation.predict(nn.Linear(2, 2), x),
            ValueError,
            r"model must read images \[4, 1, 8, 8\]",
        ),
        (lambda m, x: evaluation.log_likelihood(m, x, 10**12), ValueError, "samples must be .* at most 100000"),
        (
            lambda m, x: evaluation.log_likelihood(Autoencoder(2, image_shape=(1, 8, 8)), x, 2),
            TypeError,
            "model must have encode, decode, nll: Autoencoder has no nll",
        ),
        (lambda m, x: evaluation.active_units(m, None), TypeError, "split must be a data.Split.* not a NoneType"),
        (lambda m, x: evaluation.active_units(m, Split(x, torch.arange(4)).subset([1])), ValueError, "at least two"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, kind, said, model):
    with pytest.raises(kind, match=said):
        call(model, torch.ones(4, 1, 8, 8))


@pytest.mark.parametrize("name", ["encode_posteriors", "encode_means", "log_likelihood", "active_units"])
def test_what_classifies_has_no_codes(name, toy):
    for model in (DigitJudge(image_shape=(1, 8, 8)), Classifier(image_shape=(1, 8, 8))):
        with pytest.raises(TypeError, match=f"model must have encode.*: {type(model).__name__} has no encode"):
            MEASURES[name](model, toy.test)


def test_an_autoencoder_has_no_clouds(toy):
    with pytest.raises(TypeError, match="an? Autoencoder gives one code: encode_means"):
        evaluation.encode_posteriors(Autoencoder(2, image_shape=(1, 8, 8)), toy.test)


@pytest.mark.parametrize(
    ("y", "kind", "said"),
    [
        (torch.arange(3), ValueError, r"y must be int64 \[4\], one for each image, not \[3\]"),
        (torch.arange(5), ValueError, r"y must be int64 \[4\], one for each image, not \[5\]"),
        (torch.ones(4), TypeError, r"y must be int64 \[4\].*not torch.float32 \[4\]"),
        (None, TypeError, "y must be int64 .* not None"),
        (torch.full((4,), 10), ValueError, "y must be from 0 to 9, not from 10 to 10"),
    ],
)
def test_labels_that_do_not_belong_to_the_images_are_refused(y, kind, said):
    with pytest.raises(kind, match=said):
        evaluation.log_likelihood(CVAE(2, image_shape=(1, 8, 8)), torch.rand(4, 1, 8, 8), samples=2, y=y)


# ---- many samples in one batch

KINDS = {
    "VAE": lambda: VAE(2, image_shape=(1, 4, 4)),
    "CVAE": lambda: CVAE(2, image_shape=(1, 4, 4)),
    "Completer": lambda: Completer(2, "mlp", (1, 4, 4)),
}


def sample_by_sample(model, x, y, samples, seed):
    """Return log 1/S sum_S p(x, z) / q(z | x) with each image and each sample on its own."""
    torch.manual_seed(seed)
    noise, found = torch.randn(samples, len(x), 2), []
    model.eval()
    for k in range(len(x)):
        image = x[k : k + 1]
        given = (model.condition(image, y[k : k + 1]),) if hasattr(model, "condition") else ()
        mu, logvar = model.encode(image, *given)
        q = Normal(mu, (logvar / 2).exp())
        mean, width = model.prior(*given) if given else (torch.zeros(1, 2), torch.zeros(1, 2))
        weights = []
        for eps in noise[:, k]:
            z = mu + (logvar / 2).exp() * eps
            log_p = Normal(mean, (width / 2).exp()).log_prob(z).sum() - model.nll(
                model.decode(z, *given), image, *given
            )
            weights.append((log_p - q.log_prob(z).sum()).double())
        found.append(torch.cat(weights).exp().mean().log())
    return torch.stack(found).detach().float()


@pytest.mark.parametrize("kind", KINDS)
def test_folded_samples_are_those_taken_one_by_one(kind):
    torch.manual_seed(0)
    model = KINDS[kind]()
    with torch.no_grad():
        model.decoder[0].weight[:, :2].mul_(6)  # z matters
        for name, weight in model.named_parameters():
            if name == "pictures":
                weight.normal_()  # they start at zero
    x, y = torch.rand(5, 1, 4, 4).round(), torch.tensor([3, 0, 9, 3, 1])
    estimate = evaluation.log_likelihood(model, x, samples=7, seed=4, y=y if kind == "CVAE" else None)
    torch.testing.assert_close(estimate, sample_by_sample(model, x, y, samples=7, seed=4), rtol=1e-5, atol=1e-4)
    assert estimate.std() > 0.05, "500 times the tolerance: images that are mixed up would be seen"


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_the_batch_changes_nothing_but_rounding(kind, monkeypatch):
    torch.manual_seed(0)
    model, x, y = KINDS[kind](), torch.rand(1, 1, 4, 4), torch.tensor([3]) if kind == "CVAE" else None
    sizes, values = [], []
    model.decoder.register_forward_hook(lambda module, inputs, out: sizes.append(len(out)))
    for rows in (1, 7, 64, 1000):
        monkeypatch.setattr(evaluation, "ROWS", rows)
        values.append(evaluation.log_likelihood(model, x, samples=64, y=y))
    assert sizes == [*64 * [1], *9 * [7], 1, 64, 64]
    for value in values[1:]:
        torch.testing.assert_close(value, values[0], rtol=1e-6, atol=1e-5)


def test_batches_of_some_images_agree_within_their_standard_error(tiny, monkeypatch):
    x, values = images(300)[:1].expand(300, -1, -1, -1), []
    for rows in (30, 2000):  # 3 images at a time, or all 200
        monkeypatch.setattr(evaluation, "ROWS", rows)
        values.append(evaluation.log_likelihood(tiny, x, samples=10))
    error = (values[0].var() / 300 + values[1].var() / 300).sqrt()
    assert (values[0].mean() - values[1].mean()).abs() < 4 * error and error > 0
