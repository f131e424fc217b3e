"""Ways through the latent space, and Gaussians fitted to clouds, against independent computations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.mixture import GaussianMixture

from vae_utils.labels import UNKNOWN, hide_labels
from vae_utils.latent import ClassGaussians, ClassMixtures, Codes, spherical, straight, total_covariance

angles = st.floats(0.05, math.pi - 0.05)


@pytest.fixture(scope="module")
def clouds() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """300 clouds of three classes in three dimensions, correlated within a class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    mix = torch.tensor([[1.0, 0.8, 0.0], [0.0, 0.5, 0.3], [0.0, 0.0, 0.7]])
    mu = torch.randn(300, 3, generator=generator) @ mix + 2.0 * labels[:, None]
    return mu, 0.5 * torch.randn(300, 3, generator=generator) - 1, labels


@given(angle=angles, t=st.floats(0, 1), length=st.floats(0.1, 10))
def test_the_arc_turns_evenly_and_keeps_the_length(angle, t, length):
    a = length * torch.tensor([1.0, 0.0], dtype=torch.float64)
    b = length * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    expected = length * torch.tensor([math.cos(t * angle), math.sin(t * angle)], dtype=torch.float64)
    torch.testing.assert_close(spherical(a, b, t), expected)


@pytest.mark.parametrize("way", [straight, spherical])
def test_both_ways_start_and_end_where_told_for_many_pairs_and_shares_at_once(way):
    a, b = torch.randn(2, 5, 20, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0, 1, 7)[:, None, None]
    path = way(a, b, t)
    assert path.shape == (7, 5, 20)
    torch.testing.assert_close(path[0], a)
    torch.testing.assert_close(path[-1], b)
    torch.testing.assert_close(path[3], way(a, b, 0.5))


def test_where_there_is_no_arc_the_way_is_straight():
    a = torch.tensor([1.0, 2.0, 2.0])
    for b in (3 * a, -a, a):
        torch.testing.assert_close(spherical(a, b, 0.25), straight(a, b, 0.25))
    assert spherical(a, torch.zeros(3), 0.5).isfinite().all()


def test_total_covariance_is_that_of_draws_from_the_clouds(clouds):
    mu, logvar, _ = clouds
    mean, covariance = total_covariance(mu, logvar)
    eps = torch.randn(4000, *mu.shape, generator=torch.Generator().manual_seed(1))
    drawn = (mu + (0.5 * logvar).exp() * eps).flatten(0, 1).numpy()
    np.testing.assert_allclose(mean, drawn.mean(0), atol=0.01)
    np.testing.assert_allclose(covariance, np.cov(drawn.T), atol=0.02)
    assert not np.allclose(covariance, torch.cov(mu.T), atol=0.1), "the clouds' own width counts"


def test_total_covariance_of_two_clouds_by_hand():
    mean, covariance = total_covariance(torch.tensor([[-1.0], [1.0]]), torch.full((2, 1), 0.25).log())
    assert mean.item() == 0 and covariance.item() == pytest.approx(1.25)


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_density_is_the_weighted_sum_that_scipy_computes(clouds, diagonal):
    mu, logvar, labels = clouds
    uneven = torch.cat([torch.arange(300), torch.arange(0, 300, 3)])  # class 0 twice as often
    fitted = ClassGaussians.fit(mu[uneven], logvar[uneven], labels[uneven], diagonal=diagonal)
    torch.testing.assert_close(fitted.weights, torch.tensor([0.5, 0.25, 0.25]))
    expected = np.zeros(20)
    for k in range(3):
        mean, covariance = total_covariance(mu[labels == k], logvar[labels == k])
        covariance = torch.diag(covariance.diag()) if diagonal else covariance
        expected += fitted.weights[k].item() * multivariate_normal(mean.numpy(), covariance.numpy()).pdf(
            mu[:20].numpy()
        )
    np.testing.assert_allclose(fitted.log_density(mu[:20]), np.log(expected), rtol=1e-3, atol=1e-3)


def test_the_classes_are_those_of_quadratic_discriminant_analysis(clouds):
    mu, _, labels = clouds
    sharp = torch.full_like(mu, -20.0)  # clouds of no width: what scikit-learn's takes its points for
    ours = ClassGaussians.fit(mu, sharp, labels).classify(mu)
    theirs = QuadraticDiscriminantAnalysis().fit(mu.numpy(), labels.numpy()).predict(mu.numpy())
    assert (ours.numpy() == theirs).mean() > 0.99 and (ours == labels).float().mean() > 0.8


def test_samples_have_the_mean_and_covariance_of_their_class_and_repeat(clouds):
    mu, logvar, labels = clouds
    fitted = ClassGaussians.fit(mu, logvar, labels)
    asked = torch.tensor([2, 0]).repeat(50_000)
    drawn = fitted.sample(asked, torch.Generator().manual_seed(0))
    for k in (0, 2):
        torch.testing.assert_close(drawn[asked == k].mean(0), fitted.means[k], atol=0.03, rtol=0)
        torch.testing.assert_close(torch.cov(drawn[asked == k].T), fitted.covariances[k], atol=0.05, rtol=0)
    torch.testing.assert_close(drawn, fitted.sample(asked, torch.Generator().manual_seed(0)))


def test_a_class_with_too_few_images_is_refused(clouds):
    mu, logvar, labels = clouds
    few = torch.cat([torch.nonzero(labels != 1).flatten(), torch.nonzero(labels == 1).flatten()[:3]])
    with pytest.raises(ValueError, match="class 1 has 3 images, too few for 3 dimensions"):
        ClassGaussians.fit(mu[few], logvar[few], labels[few])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": torch.tensor([-1.0, 2.0])}, r"weights must lie in \[0, 1\], not -1 to 2"),
        ({"weights": torch.tensor([math.nan, 1.0])}, r"weights must lie in \[0, 1\]"),
        ({"weights": torch.tensor([0.5, 0.1])}, "weights must be probabilities, which sum to 1, not to 0.6"),
        ({"means": torch.full((2, 3), math.inf)}, "means must be finite"),
        ({"covariances": torch.zeros(2, 3, 3)}, "covariances must be positive definite"),
        ({"covariances": torch.eye(3).expand(2, 3, 3) + torch.ones(3, 3).triu(1)}, "covariances must be symmetric"),
    ],
)
def test_gaussians_that_cannot_be_are_refused_when_they_are_made(change, said):
    parts = {"weights": torch.full((2,), 0.5), "means": torch.zeros(2, 3), "covariances": torch.eye(3).expand(2, 3, 3)}
    assert ClassGaussians(**parts).log_density(torch.zeros(1, 3)).item() == pytest.approx(-1.5 * math.log(2 * math.pi))
    with pytest.raises(ValueError, match=said):
        ClassGaussians(**(parts | change))


def test_a_code_at_a_distance_that_is_no_number_is_refused(clouds):
    with pytest.raises(ValueError, match=r"z must be nearer to the means, not up to 3e\+38"):
        ClassGaussians.fit(*clouds).classify(torch.full((2, 3), 3e38))


def test_fit_takes_true_or_false_for_diagonal(clouds):
    with pytest.raises(TypeError, match="diagonal must be True or False, not str 'no'"):
        ClassGaussians.fit(*clouds, diagonal="no")


@pytest.mark.parametrize("way", [straight, spherical])
def test_ways_to_nowhere_are_refused(way):
    a = torch.tensor([1.0, 2.0])
    for t in (1e7, torch.tensor([[0.0], [-1e7]])):
        with pytest.raises(ValueError, match="t must"):
            way(a, -a, t)
    with pytest.raises(ValueError, match="a and b must not be so large"):
        way(1e38 * a, -1e38 * a, -500.0)
    with pytest.raises(TypeError, match="t must be a number or a tensor, not float64"):
        way(a, -a, np.array(0.5))


def test_an_arc_between_codes_without_lengths_is_refused():
    with pytest.raises(ValueError, match="b must not be so large that its length is infinite"):
        spherical(torch.ones(3), torch.full((3,), 1e30), 0.5)


@pytest.mark.parametrize(("mu", "logvar"), [(1e30, 0.0), (0.0, 100.0)])
def test_clouds_without_moments_are_refused(clouds, mu, logvar):
    spoiled = clouds[0] + mu, clouds[1] + logvar
    with pytest.raises(ValueError, match="mu and logvar must be nearer to 0"):
        total_covariance(*spoiled)


# ---- mixtures


def test_class_mixtures_have_the_moments_of_the_clouds(clouds):
    mu, logvar, labels = clouds
    asked = torch.arange(3).repeat(3000)
    z = ClassMixtures.fit(mu, logvar, labels, parts=2, seed=7).sample(asked)  # the clouds were drawn with seed 0
    for k in range(3):
        mean, covariance = total_covariance(mu[labels == k], logvar[labels == k])
        np.testing.assert_allclose(z[asked == k].mean(0), mean, atol=0.3)
        np.testing.assert_allclose(torch.cov(z[asked == k].T), covariance, atol=0.4)


def test_class_mixtures_find_two_heaps_in_a_class():
    mu = torch.cat([torch.randn(200, 2) - 6, torch.randn(200, 2) + 6])
    logvar, labels = torch.full_like(mu, -4.0), torch.arange(400) % 2
    fitted = ClassMixtures.fit(mu, logvar, labels, parts=2)
    z = fitted.sample(torch.tensor([0, 1] * 100))
    assert (z.mean(1).abs() > 3).all(), "one Gaussian would fill the space between the heaps"
    assert torch.equal(z, fitted.sample(torch.tensor([0, 1] * 100))), "the same seed, the same codes"
    assert not torch.equal(z, fitted.sample(torch.tensor([0, 1] * 100), seed=1))
    assert not torch.equal(z[::2], z[1::2]), "each class has noise of its own"


def test_too_few_images_for_a_mixture_are_refused(clouds):
    with pytest.raises(ValueError, match="class 0 has 100 images, too few for 11 Gaussians: ask for less"):
        ClassMixtures.fit(*clouds, parts=11)


@pytest.mark.parametrize("mixtures", [(), None, ("mixture",), (GaussianMixture(2),)])
def test_mixtures_that_are_none_are_refused(mixtures):
    with pytest.raises(TypeError, match="mixtures must be fitted GaussianMixtures, one for each class"):
        ClassMixtures(mixtures)


# ---- codes in place of images


def test_codes_are_drawn_from_their_clouds():
    mu, logvar = torch.full((2000, 3), 5.0), torch.full((2000, 3), -2.0)
    codes = Codes(mu, logvar, torch.arange(10).repeat(200))
    (first, y), (second, _) = codes[:], codes[:]
    assert first.shape == (2000, 1, 1, 3) and codes.shape == (1, 1, 3) and len(codes) == 2000
    assert first.mean().item() == pytest.approx(5, abs=0.05) and torch.equal(y, codes.labels)
    assert first.std().item() == pytest.approx(np.exp(-1), rel=0.05) and not torch.equal(first, second)


def test_a_part_of_the_codes_keeps_mean_width_and_label_together():
    mu = torch.arange(20.0)[:, None].expand(20, 2)
    codes = Codes(mu, -mu, torch.arange(20) % 10)
    part = codes.subset([13, 4]).to("cpu")
    assert isinstance(part, Codes) and part.mu[:, 0].tolist() == [13, 4]
    assert part.logvar[:, 1].tolist() == [-13, -4] and part.labels.tolist() == [3, 4]
    x, y = codes[torch.tensor([13, 12])]  # widths of less than 0.003
    assert x[:, 0, 0, 0].tolist() == pytest.approx([13, 12], abs=0.05) and y.tolist() == [3, 2]


def test_labels_of_codes_are_hidden_as_those_of_images():
    codes = Codes(torch.zeros(200, 3), torch.zeros(200, 3), torch.arange(10).repeat(20))
    hidden = hide_labels(codes, torch.arange(10), share=0.5)
    assert isinstance(hidden, Codes) and len(hidden.logvar) == len(hidden.labels) == len(hidden) == 380
    assert (hidden.labels != UNKNOWN).sum() == 190


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"mu": torch.zeros(4, 1, 1, 3)}, ValueError, r"mu must have the shape \[N, L\], not \[4, 1, 1, 3\]"),
        ({"mu": torch.zeros(4, 3).numpy()}, TypeError, r"mu must be a tensor of floats, not float32 \[4, 3\]"),
        ({"logvar": torch.zeros(4, 2)}, ValueError, r"logvar must have the shape \[4, 3\], not \[4, 2\]"),
        ({"mu": torch.full((4, 3), math.nan)}, ValueError, "mu must be finite, but 12 of its 12 values are not"),
        ({"logvar": torch.full((4, 3), math.inf)}, ValueError, "logvar must be finite"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, ValueError, r"labels must be int64 \[4\].*not \[3\]"),
        ({"labels": torch.zeros(4)}, TypeError, r"labels must be int64 \[4\].*not torch.float32 \[4\]"),
    ],
)
def test_what_are_no_codes_is_refused_when_they_are_made(change, kind, said):
    parts = {"mu": torch.zeros(4, 3), "logvar": torch.zeros(4, 3), "labels": torch.arange(4)}
    with pytest.raises(kind, match=said):
        Codes(**(parts | change))
