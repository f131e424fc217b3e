"""Shapes, gradients and errors of every network and model."""

import pytest
import torch
from torch import nn

from vae_utils.inputs import trusted
from vae_utils.models import CVAE, KNOWN, M2, VAE, Autoencoder, Classifier, CodeM2, Completer, DigitJudge, LabelledVAE
from vae_utils.models import PoseVAE as Pose
from vae_utils.networks import NETWORKS, ResidualBlock, build_decoder, build_encoder, conv_encoder

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
    with pytest.raises(ValueError, match=r"\(channels, height, width\), not tuple \(28, 28\)"):
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


# ---- values, and sizes that no memory holds

TINY, Y = (1, 8, 8), torch.tensor([0, 1])
LOOKED_AT = {
    "Autoencoder.encode": lambda x: Autoencoder(3, "mlp", TINY).encode(x),
    "Autoencoder.terms": lambda x: Autoencoder(3, "mlp", TINY).terms(x),
    "VAE.encode": lambda x: VAE(3, "mlp", TINY).encode(x),
    "VAE.terms": lambda x: VAE(3, "mlp", TINY).terms(x),
    "LabelledVAE.encode": lambda x: LabelledVAE(3, "mlp", TINY).encode(x),
    "LabelledVAE.classify": lambda x: LabelledVAE(3, "mlp", TINY).classify(x),
    "LabelledVAE.terms": lambda x: LabelledVAE(3, "mlp", TINY).terms(x, Y),
    "PoseVAE.encode": lambda x: Pose(8, "conv", TINY).encode(x),
    "PoseVAE.straighten": lambda x: Pose(8, "conv", TINY).straighten(x),
    "CVAE.encode": lambda x: CVAE(3, "mlp", TINY).encode(x, Y),
    "Completer.encode": lambda x: completing().encode(x, completing().condition(torch.ones(2, *TINY))),
    "Completer.condition": lambda x: completing().condition(x),
    "Completer.complete": lambda x: completing().complete(x),
    "Classifier": lambda x: Classifier("mlp", TINY)(x),
    "Classifier.terms": lambda x: Classifier("conv", TINY).terms(x, Y),
    "DigitJudge": lambda x: DigitJudge(image_shape=TINY)(x),
    "DigitJudge.terms": lambda x: DigitJudge(image_shape=TINY).terms(x, Y),
    "M2.classify": lambda x: M2(3, "mlp", TINY).classify(x),
    "M2.observe": lambda x: M2(3, "mlp", TINY).observe(x),
    "M2.terms": lambda x: M2(3, "mlp", TINY).terms(x, Y),
}


def completing() -> Completer:
    torch.manual_seed(0)
    return Completer(3, "mlp", TINY)


@pytest.mark.parametrize("name", LOOKED_AT)
def test_images_that_are_none_are_refused(name):
    x = torch.ones(2, *TINY)
    for wrong in (255 * x, -x, x * float("nan")):
        with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], not"):
            LOOKED_AT[name](wrong)
    for wrong in (x.long(), x.numpy(), [1], None, x.double()):
        with pytest.raises(TypeError, match="x must be"):
            LOOKED_AT[name](wrong)
    with pytest.raises(ValueError, match="x must"):
        LOOKED_AT[name](x[:0])
    LOOKED_AT[name](x)


@pytest.mark.parametrize("name", ["VAE.encode", "M2.classify", "Classifier"])
def test_values_are_not_looked_at_where_they_are_trusted(name):
    with trusted():
        LOOKED_AT[name](255 * torch.ones(2, *TINY))


def test_codes_are_any_finite_numbers():
    codes = torch.tensor([[-3.0, 40.0]]).view(1, 1, 1, 2)
    for model in (CodeM2(3, image_shape=(1, 1, 2)), Classifier("mlp", (1, 1, 2))):
        assert all(term.isfinite().all() for term in model.terms(codes, Y[:1]))
        with pytest.raises(ValueError, match="x must be finite"):
            model.terms(codes / 0, Y[:1])
    with pytest.raises(ValueError, match=r"image_shape must be \(1, 1, F\), that of a code, not \(1, 2, 2\)"):
        CodeM2(3, image_shape=(1, 2, 2))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_codes_of_which_no_image_can_be_made_are_refused(value):
    z = torch.full((2, 8), value)
    for call in (
        lambda: Autoencoder(8, "mlp", TINY).decode(z),
        lambda: VAE(8, "mlp", TINY).decode(z),
        lambda: Pose(8, "conv", TINY).decode(z),
        lambda: CVAE(8, "mlp", TINY).decode(z, Y),
    ):
        with pytest.raises(ValueError, match="z must (be finite|lie within)"):
            call()


HUGE = 10**12


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: VAE(3, "mlp", TINY).sample(HUGE), "n must ask for 1 to 100,000 images at once, not 1,000,000,000,000"),
        (lambda: VAE(3, "mlp", TINY).sample(2, temperature=1e39), "temperature must be a finite number of at most 10,"),
        (lambda: CVAE(3, "mlp", TINY).sample(Y[:0]), "y must ask for 1 to 100,000 images at once, not 0"),
        (lambda: CVAE(3, "mlp", TINY).sample(Y[:1].expand(200_000)), "y must ask for 1 to 100,000 images at once"),
        (lambda: completing().complete(torch.ones(2, *TINY), n=HUGE), "n must be .* at most 50000, not 1000000000000"),
        (lambda: VAE(HUGE), "latent_dim must be a whole number of at least 1 and at most 10000"),
        (lambda: Pose(HUGE), "latent_dim must be a whole number of at least 1 and at most 10000"),
        (lambda: Completer(features=HUGE), "features must be a whole number of at least 1 and at most 10000"),
        (lambda: CVAE(classes=HUGE), "classes must be a whole number of at least 1 and at most 1000"),
        (lambda: DigitJudge(HUGE), "classes must be a whole number of at least 1 and at most 1000"),
        (lambda: VAE(3, "mlp", (1, 4096, 4096)), r"image_shape must have at most 512 x 512 = 262,144 pixels, not \(1,"),
        (lambda: ResidualBlock(HUGE), "channels must be a whole number of at least 1 and at most 1024"),
        (lambda: conv_encoder((1, 8, 8), 3, width=HUGE), "width must be a whole number of at least 1 and at most 512"),
        (lambda: M2(alpha=1e39), "alpha must be a finite number of at least 0 and at most 1e\\+06"),
        (lambda: LabelledVAE(weight=1e39), "weight must be a finite number of at least 0 and at most 1e\\+06"),
        (lambda: Classifier(moves=1e39), "moves must be a finite number of at least 0 and at most 10"),
    ],
)
def test_what_no_memory_holds_and_no_float_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("build", [build_encoder, build_decoder])
@pytest.mark.parametrize("network", ["mlp", (nn.Flatten(), nn.Flatten())])
def test_sizes_of_a_network_are_whole_numbers(build, network):
    for size in (-1, 0, 2.5, "a", None, HUGE):
        with pytest.raises((TypeError, ValueError), match="(out|in)puts must be a whole number of at least 1"):
            build(network, TINY, size)
    for shape in ((-1, 8, 8), (1, 8.0, 8), (1, 8, "8")):
        with pytest.raises((TypeError, ValueError), match="image_shape must be a whole number of at least 1"):
            build(network, shape, 3)


def test_a_temperature_is_one_number():
    model = Pose(8, "conv", TINY)
    assert model.sample(4000, temperature=10.0).isfinite().all()
    assert torch.equal(*(model.sample(2, t, torch.Generator().manual_seed(0)) for t in (0.5, torch.tensor(0.5))))
    with pytest.raises(TypeError, match=r"temperature must be a number, not float64 \[\]"):
        model.sample(2, temperature=torch.tensor(0.5).double().numpy())


def test_binarise_is_a_switch():
    with pytest.raises(TypeError, match="binarise must be True or False, not int 3"):
        M2(binarise=3)
