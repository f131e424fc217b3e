"""The loss terms against torch.distributions, and at the edge of what floats can hold."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from vae_utils import inputs
from vae_utils.losses import (
    bernoulli_nll,
    categorical_kl,
    gaussian_kl,
    gaussian_kl_between,
    gaussian_log_density,
    gaussian_nll,
    importance_bound,
    reparameterize,
    squared_error,
)

BIGGEST = torch.finfo(torch.float32).max
SIZES = st.tuples(st.integers(1, 4), st.integers(1, 5))
SEEDS = st.integers(0, 10_000)
FLOAT32 = st.floats(allow_nan=False, allow_infinity=False, width=32)


def normal(seed: int, *shape: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


# ---- against torch.distributions


@given(SIZES, SEEDS, st.floats(0.01, 5))
def test_gaussian_kl_is_that_of_torch(size, seed, scale):
    mu, logvar = normal(seed, *size, scale=scale), normal(seed + 1, *size, scale=scale)
    expected = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(1)
    close(gaussian_kl(mu, logvar), expected)
    assert (gaussian_kl(mu, logvar) > 0).all()


def test_gaussian_kl_is_zero_only_for_the_prior():
    assert gaussian_kl(torch.zeros(3, 4), torch.zeros(3, 4)).tolist() == [0, 0, 0]


@given(SIZES, SEEDS, st.floats(0.01, 5))
def test_gaussian_kl_between_is_that_of_torch(size, seed, scale):
    mu, logvar, mu_p, logvar_p = (normal(seed + k, *size, scale=scale) for k in range(4))
    expected = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(mu_p, (logvar_p / 2).exp())).sum(1)
    close(gaussian_kl_between(mu, logvar, mu_p, logvar_p), expected)
    close(gaussian_kl_between(mu, logvar, torch.zeros_like(mu), torch.zeros_like(mu)), gaussian_kl(mu, logvar))


def test_gaussian_kl_between_takes_one_prior_for_each_class():
    mu, logvar, mu_p, logvar_p = normal(0, 4, 1, 3), normal(1, 4, 1, 3), normal(2, 10, 3), normal(3, 10, 3)
    kl = gaussian_kl_between(mu, logvar, mu_p, logvar_p)
    close(kl[2, 7], gaussian_kl_between(mu[2], logvar[2], mu_p[7:8], logvar_p[7:8])[0])


@given(SIZES, SEEDS, st.floats(0.01, 20))
def test_categorical_kl_is_that_of_torch(size, seed, scale):
    logits = normal(seed, *size, scale=scale)
    expected = kl_divergence(Categorical(logits=logits), Categorical(logits=torch.zeros_like(logits)))
    close(categorical_kl(logits), expected)


def test_categorical_kl_runs_from_zero_to_log_k_with_finite_gradients():
    logits = torch.tensor([[3.0, 3, 3, 3], [500.0, 0, 0, 0]], requires_grad=True)
    kl = categorical_kl(logits)
    torch.testing.assert_close(kl, torch.tensor([0.0, math.log(4)]))
    kl.sum().backward()
    assert logits.grad.isfinite().all()


@given(SIZES, SEEDS, st.floats(0.01, 20))
def test_bernoulli_nll_is_that_of_torch(size, seed, scale):
    logits = normal(seed, size[0], 1, size[1], 2, scale=scale)
    x = (normal(seed + 1, *logits.shape) > 0).double()
    close(bernoulli_nll(logits, x), -Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3)))


@given(SIZES, SEEDS)
def test_bernoulli_nll_of_grey_pixels_is_the_cross_entropy(size, seed):
    logits = normal(seed, *size)
    x, p = normal(seed + 1, *size).sigmoid(), logits.sigmoid()
    close(bernoulli_nll(logits, x), -(x * p.log() + (1 - x) * (1 - p).log()).sum(1))


@given(SIZES, SEEDS, st.floats(0.01, 10))
def test_gaussian_nll_is_that_of_torch(size, seed, sigma):
    x_hat, x = normal(seed, *size), normal(seed + 1, *size)
    close(gaussian_nll(x_hat, x, sigma), -Normal(x_hat, sigma).log_prob(x).sum(1))
    per_pixel = normal(seed + 2, size[1]).exp()
    close(gaussian_nll(x_hat, x, per_pixel), -Normal(x_hat, per_pixel).log_prob(x).sum(1))


@given(SIZES, SEEDS)
def test_gaussian_log_density_is_that_of_torch(size, seed):
    z, mu, logvar = (normal(seed + i, 3, *size) for i in range(3))
    close(gaussian_log_density(z, mu, logvar), Normal(mu, (logvar / 2).exp()).log_prob(z).sum(-1))
    close(gaussian_log_density(z), Normal(0.0, 1.0).log_prob(z).sum(-1))
    close(gaussian_log_density(z, mu[0], 0.5), Normal(mu[0], math.exp(0.25)).log_prob(z).sum(-1))


@given(SIZES, SEEDS)
def test_squared_error_sums_over_pixels(size, seed):
    a, b = normal(seed, size[0], 1, size[1], 3), normal(seed + 1, size[0], 1, size[1], 3)
    close(squared_error(a, b), torch.stack([(p - q).norm() ** 2 for p, q in zip(a, b, strict=True)]))


def test_a_learned_sigma_gets_its_gradient():
    x_hat, x = normal(0, 5, 3), normal(1, 5, 3)
    log_sigma = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    gaussian_nll(x_hat, x, log_sigma.exp()).sum().backward()
    close(log_sigma.grad, (1 - ((x - x_hat) / math.exp(0.3)) ** 2).sum())


# ---- as large as floats get


@given(st.lists(FLOAT32, min_size=1, max_size=12), st.floats(0, 1, width=32))
def test_any_finite_logits_are_safe(values, pixel):
    logits = torch.tensor([values], requires_grad=True)
    nll = bernoulli_nll(logits, torch.full_like(logits, pixel))
    nll.sum().backward()
    assert nll.isfinite().all() and (nll >= 0).all() and logits.grad.isfinite().all()


@pytest.mark.parametrize("pixel", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("logit", [BIGGEST, -BIGGEST, 1e30, -100.0, 1e-45])
def test_a_whole_image_of_huge_logits_is_safe(logit, pixel):
    logits = torch.full((2, 1, 28, 28), logit, requires_grad=True)
    nll = bernoulli_nll(logits, torch.full_like(logits, pixel))
    nll[0].backward()
    assert nll.isfinite().all() and logits.grad.isfinite().all()


def test_surely_right_costs_nothing_and_surely_wrong_costs_the_logit():
    logits, x = torch.tensor([[1e4, -1e4], [1e4, -1e4]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert bernoulli_nll(logits, x).tolist() == [0, 2e4]


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8), st.floats(-100, 100, width=32), SEEDS)
def test_logvar_within_50_is_safe(values, mean, seed):
    logvar = torch.tensor([values], requires_grad=True)
    mu = torch.full_like(logvar, mean).requires_grad_()
    z = reparameterize(mu, logvar, torch.Generator().manual_seed(seed))
    density = gaussian_log_density(z, mu, logvar)
    kl = gaussian_kl(mu, logvar)
    for value in (z, density, kl):
        grads = torch.autograd.grad(value.sum(), (mu, logvar), retain_graph=True)
        assert value.isfinite().all() and all(grad.isfinite().all() for grad in grads)
    assert (kl >= -1e-5).all()


# ---- the importance-weighted bound


@given(st.integers(1, 20), st.integers(1, 4), SEEDS)
def test_importance_bound_is_the_log_of_the_mean_weight(samples, batch, seed):
    log_w = normal(seed, samples, batch, scale=3.0)
    close(importance_bound(log_w), log_w.exp().mean(0).log())
    assert (importance_bound(log_w) >= log_w.mean(0) - 1e-12).all(), "Jensen: never below the ELBO of the same samples"
    close(importance_bound(log_w + 5), importance_bound(log_w) + 5)


@given(SEEDS)
def test_importance_bound_of_one_sample_is_the_elbo(seed):
    log_w = normal(seed, 1, 6)
    close(importance_bound(log_w), log_w[0])


def test_importance_bound_does_not_overflow():
    assert importance_bound(torch.tensor([[-1e4, 1e4], [-1e4, 1e4]])).tolist() == [-1e4, 1e4]


# ---- reparameterize


def test_reparameterize_has_the_right_mean_and_spread():
    n, mu, logvar = 200_000, torch.tensor([1.5, -0.3, 20.0]), torch.tensor([0.0, -3.0, 2.0])
    z = reparameterize(mu.expand(n, 3), logvar.expand(n, 3), torch.Generator().manual_seed(0))
    std = (logvar / 2).exp()
    assert ((z.mean(0) - mu).abs() < 4 * std / math.sqrt(n)).all()
    assert ((z.std(0) - std).abs() < 4 * std / math.sqrt(2 * n)).all()
    assert (torch.corrcoef(z.T) - torch.eye(3)).abs().max() < 4 / math.sqrt(n)


def test_reparameterize_passes_the_analytic_gradients():
    mu, logvar = normal(0, 6, 3).requires_grad_(), normal(1, 6, 3).requires_grad_()
    z = reparameterize(mu, logvar, torch.Generator().manual_seed(2))
    weights = normal(3, 6, 3)
    (weights * z).sum().backward()
    close(mu.grad, weights)  # dz/dmu = 1
    close(logvar.grad, weights * (z - mu).detach() / 2)  # dz/dlogvar = std * eps / 2


def test_the_generator_decides_the_draw():
    mu, logvar = torch.zeros(4, 5), torch.zeros(4, 5)
    first, again, other = (reparameterize(mu, logvar, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.manual_seed(5)
    unseeded = reparameterize(mu, logvar)
    torch.manual_seed(5)
    assert torch.equal(unseeded, reparameterize(mu, logvar)) and unseeded.dtype == mu.dtype


# ---- shapes and errors


def test_values_come_one_per_example():
    image, code = torch.rand(7, 3, 4, 4), torch.rand(7, 5)
    values = (bernoulli_nll(image, image), gaussian_nll(image, image, 1.0), squared_error(image, image))
    for value in (*values, gaussian_kl(code, code), gaussian_log_density(code), importance_bound(torch.rand(2, 7))):
        assert value.shape == (7,)
    assert reparameterize(code, code).shape == code.shape


@pytest.mark.parametrize("function", [bernoulli_nll, squared_error, reparameterize, gaussian_kl])
def test_shapes_that_would_broadcast_are_refused(function):
    with pytest.raises(ValueError, match=r"same shape, not \[4, 3\] and \[4, 1\]"):
        function(torch.zeros(4, 3), torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"\[4, 3\] and \[1, 3\]"):
        gaussian_nll(torch.zeros(4, 3), torch.zeros(1, 3), 1.0)


@pytest.mark.parametrize(
    ("pixel", "span"), [(1.5, "0 to 1.5"), (-0.1, "-0.1 to 0"), (255.0, "0 to 255"), (math.nan, "not finite")]
)
def test_pixels_outside_0_to_1_are_refused(pixel, span):
    with pytest.raises(ValueError, match=rf"must lie in \[0, 1\], not .*{span}"):
        bernoulli_nll(torch.zeros(1, 2), torch.tensor([[0.0, pixel]]))


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, torch.tensor([1.0, 0.0])])
def test_sigma_must_be_positive(sigma):
    with pytest.raises(ValueError, match="sigma must be"):
        gaussian_nll(torch.zeros(3, 2), torch.zeros(3, 2), sigma)


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 3, 1)])
def test_importance_bound_wants_samples_by_examples(shape):
    with pytest.raises(ValueError, match=r"log_w must be \[S, B\] with at least one sample"):
        importance_bound(torch.zeros(shape))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("function", "names"),
    [
        (reparameterize, ["mu", "logvar"]),
        (gaussian_kl, ["mu", "logvar"]),
        (gaussian_kl_between, ["mu", "logvar", "mu_p", "logvar_p"]),
        (categorical_kl, ["logits"]),
        (lambda **given: bernoulli_nll(x=torch.zeros(2, 3), **given), ["x_logits"]),
        (lambda **given: gaussian_nll(sigma=1.0, **given), ["x_hat", "x"]),
        (squared_error, ["x_hat", "x"]),
        (gaussian_log_density, ["z", "mu", "logvar"]),
    ],
)
def test_what_is_not_finite_is_named(function, names, value):
    for name in names:
        spoiled = {other: torch.zeros(2, 3) for other in names} | {name: torch.tensor([[0, 0, 0], [0, value, 0]])}
        with pytest.raises(ValueError, match=f"^{name} must be finite"):
            function(**spoiled)
        with inputs.trusted():
            assert function(**spoiled).shape[0] == 2, "inside fit nothing is looked at"


def test_a_distance_over_a_width_that_is_no_number_is_refused():
    zeros, ones = torch.zeros(2, 3), torch.ones(2, 3)
    for logvar in (-100 * ones, 200 * ones):
        mu = zeros if logvar[0, 0] < 0 else 1e30 * ones
        with pytest.raises(ValueError, match="logvar_p must be nearer to 0"):
            gaussian_kl_between(mu, zeros, zeros, logvar)
        with pytest.raises(ValueError, match="logvar must be nearer to 0"):
            gaussian_log_density(mu, 0.0, logvar)
        assert gaussian_log_density(mu.double(), 0.0, logvar.double()).isfinite().all(), "64 bits are enough"
    assert gaussian_log_density(ones, 0.0, -100.0).tolist() == [-float("inf")] * 2, "surely elsewhere"
    assert gaussian_kl(1e30 * ones, 100 * ones).tolist() == [float("inf")] * 2


def test_logits_further_apart_than_a_float_can_say_are_refused():
    with pytest.raises(ValueError, match="logits must be finite"):
        categorical_kl(torch.tensor([[BIGGEST, -BIGGEST]]))
