"""Shapes, gradients and errors of every network and model."""

import pytest
import torch
from torch import nn

from vae_utils.models import KNOWN, VAE, Autoencoder, DigitJudge
from vae_utils.networks import NETWORKS, build_decoder, build_encoder

SHAPES = [(1, 28, 28), (3, 32, 32)]
every_network = pytest.mark.parametrize("network", NETWORKS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@every_network
@every_shape
def test_shapes_of_a_vae(network, shape):
    model, x = VAE(5, network, shape), torch.rand(4, *shape)
    mu, logvar = model.encode(x)
    assert mu.shape == logvar.shape == (4, 5)
    assert model.decode(mu).shape == x.shape
    x_logits, mu, logvar = model(x)
    assert x_logits.shape == x.shape and mu.shape == logvar.shape == (4, 5)
    assert [term.shape for term in model.terms(x)] == [(4,), (4,)]
    assert model.sample(3).shape == (3, *shape)


@every_network
@every_shape
def test_shapes_of_an_autoencoder(network, shape):
    model, x = Autoencoder(5, network, shape), torch.rand(4, *shape)
    x_logits, z = model(x)
    assert x_logits.shape == x.shape and z.shape == (4, 5)
    assert torch.equal(z, model.encode(x)) and torch.equal(x_logits, model.decode(z))
    recon, nothing = model.terms(x)
    torch.testing.assert_close(recon, ((x_logits.sigmoid() - x) ** 2).sum((1, 2, 3)))
    assert nothing.tolist() == [0, 0, 0, 0]


@every_shape
def test_shapes_of_the_judge(shape):
    model = DigitJudge(classes=7, image_shape=shape)
    assert model(torch.rand(4, *shape)).shape == (4, 8), "seven classes, and none of them"


@every_network
@every_shape
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_gradients_reach_every_parameter(kind, network, shape):
    torch.manual_seed(0)
    model, x = kind(5, network, shape), torch.rand(8, *shape)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(2):  # residual blocks start as the identity: their first halves learn from the second step on
        optimizer.zero_grad()
        sum(model.terms(x)).mean().backward()
        optimizer.step()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert still == []


def test_gradients_reach_every_parameter_of_the_judge():
    model = DigitJudge()
    model.terms(torch.rand(8, 1, 28, 28), torch.arange(8))[0].mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_the_terms_are_the_negative_elbo():
    torch.manual_seed(0)
    model, x = VAE(3, image_shape=(1, 8, 8)), torch.rand(4, 1, 8, 8)
    torch.manual_seed(1)
    x_logits, mu, logvar = model(x)
    torch.manual_seed(1)
    recon, kl = model.terms(x)
    expected = nn.functional.binary_cross_entropy(x_logits.sigmoid(), x, reduction="none").sum((1, 2, 3))
    torch.testing.assert_close(recon, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(kl, 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1))


def test_the_decoder_sees_a_sample_and_not_the_mean():
    torch.manual_seed(0)
    model, x = VAE(3, image_shape=(1, 8, 8)), torch.rand(4, 1, 8, 8)
    assert not torch.equal(model(x)[0], model(x)[0])
    assert torch.equal(model.encode(x)[0], model.encode(x)[0])


def test_samples_are_seeded_pictures_in_0_to_1():
    model = VAE(3, image_shape=(1, 8, 8))
    first, again, other = (model.sample(6, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.min() >= 0 and first.max() <= 1 and not first.requires_grad


def test_temperature_zero_draws_the_prior_mean():
    model = VAE(3, image_shape=(1, 8, 8))
    centre = model.decode(torch.zeros(1, 3)).sigmoid()
    torch.testing.assert_close(model.sample(4, temperature=0.0), centre.expand(4, -1, -1, -1))


@pytest.mark.parametrize(("n", "temperature"), [(0, 1.0), (-1, 1.0), (4, -0.5)])
def test_impossible_samples_are_refused(n, temperature):
    with pytest.raises(ValueError, match="must be a (whole|finite) number of at least [01], not"):
        VAE(3, image_shape=(1, 8, 8)).sample(n, temperature)


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
@pytest.mark.parametrize("latent_dim", [0, -3, 2.0, "2", None])
def test_a_latent_size_must_be_a_positive_whole_number(kind, latent_dim):
    with pytest.raises((TypeError, ValueError), match="latent_dim must be a whole number of at least 1"):
        kind(latent_dim)


@pytest.mark.parametrize("build", [build_encoder, build_decoder])
def test_networks_refuse_what_they_cannot_be_built_for(build):
    with pytest.raises(ValueError, match="'resnet'; known: 'mlp', 'conv', 'wide', 'residual'"):
        build("resnet", (1, 28, 28), 4)
    with pytest.raises(ValueError, match=r"\(channels, height, width\), not \(28, 28\)"):
        VAE(4, "mlp", (28, 28))
    with pytest.raises(TypeError, match="a name or a pair of modules"):
        build(None, (1, 28, 28), 4)
    for network in ("conv", "residual"):
        with pytest.raises(ValueError, match="multiples of 4"):
            build(network, (1, 30, 28), 4)
    build("mlp", (1, 5, 3), 4)


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_the_configuration_builds_the_same_model(kind):
    model = kind(4, "conv", (3, 8, 8))
    twin = KNOWN[kind.__name__](**model.config)
    assert {n: p.shape for n, p in twin.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}


@every_network
def test_the_same_seed_builds_the_same_weights(network):
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([weight.flatten() for weight in VAE(2, network, (1, 8, 8)).parameters()])

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))
