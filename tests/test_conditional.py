"""Models that are told a label or a part of the image: their bound, what they may see, and what they refuse."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vae_utils import checkpoints, evaluation, training
from vae_utils.data import Split
from vae_utils.losses import gaussian_log_density
from vae_utils.models import CVAE, VAE, Completer
from vae_utils.models.completer import Glimpse, any_part, quadrants_seen
from vae_utils.networks import NETWORKS

SHAPES = [(1, 28, 28), (3, 32, 32)]
SMALL = (1, 8, 8)
every_network = pytest.mark.parametrize("network", NETWORKS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_latent = pytest.mark.parametrize("latents", [0, 5])


def seeded(make, seed=0):
    torch.manual_seed(seed)
    model = make()
    if isinstance(model, CVAE):
        nn.init.normal_(model.pictures)  # they start at zero
    return model


# ---- shapes and gradients


@every_network
@every_shape
def test_shapes_of_a_cvae(network, shape):
    model, x, y = CVAE(5, network, shape, classes=7), torch.rand(4, *shape), torch.tensor([0, 6, 3, 3])
    mu, logvar = model.encode(x, y)
    assert mu.shape == logvar.shape == (4, 5) and [p.shape for p in model.prior(y)] == [(4, 5), (4, 5)]
    assert model.decode(mu, y).shape == x.shape and model(x, y)[0].shape == x.shape
    assert [term.shape for term in model.terms(x, y)] == [(4,), (4,)]
    assert model.sample(y).shape == (4, *shape)


@every_network
@every_shape
@every_latent
def test_shapes_of_a_completer(network, shape, latents):
    model, x = Completer(latents, network, shape, features=6), torch.rand(4, *shape)
    given = model.condition(x)
    assert given.seen.shape == (4, 1, *shape[1:]) and given.features.shape == (4, 6)
    assert [part.shape for part in (*model.encode(x, given), *model.prior(given))] == 4 * [(4, latents)]
    assert model(x, given)[0].shape == x.shape
    assert [term.shape for term in model.terms(x)] == [(4,), (4,)]
    assert model.complete(x, n=3).shape == (3, 4, *shape)


@every_network
@pytest.mark.parametrize(
    "make", [lambda n: CVAE(5, n, SMALL), lambda n: Completer(5, n, SMALL), lambda n: Completer(0, n, SMALL)]
)
def test_gradients_reach_every_parameter(make, network):
    torch.manual_seed(0)
    model, x, y = make(network), torch.rand(20, *SMALL), torch.arange(20) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(2):  # residual blocks start as the identity
        optimizer.zero_grad()
        sum(model.terms(x, y)).mean().backward()
        optimizer.step()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


# ---- the bound


def test_the_terms_of_a_cvae_are_the_negative_conditional_elbo():
    model, x, y = seeded(lambda: CVAE(3, image_shape=SMALL)), torch.rand(4, *SMALL).round(), torch.tensor([1, 5, 5, 0])
    torch.manual_seed(1)
    recon, kl = model.terms(x, y)
    mu, logvar = model.encode(x, y)
    torch.manual_seed(1)
    z = mu + (0.5 * logvar).exp() * torch.randn(4, 3)
    torch.testing.assert_close(
        recon, -Independent(Bernoulli(logits=model.decode(z, y)), 3).log_prob(x), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(kl, kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1))


@pytest.mark.parametrize("quadrants", [1, 2, 3])
def test_the_terms_of_a_completer_price_hidden_pixels_and_the_way_from_its_prior(quadrants):
    model, x = seeded(lambda: Completer(3, "mlp", SMALL, quadrants)), torch.rand(4, *SMALL).round()
    hidden = ~quadrants_seen(quadrants, 8, 8)
    torch.manual_seed(1)
    recon, kl = model.terms(x)
    given = model.look(x, ~hidden)
    (mu, logvar), (mu_p, logvar_p) = model.encode(x, given), model.prior(given)
    torch.manual_seed(1)
    z = mu + (0.5 * logvar).exp() * torch.randn(4, 3)
    coins = Bernoulli(logits=model.decode(z, given)).log_prob(x)[..., hidden].sum((1, 2))
    torch.testing.assert_close(recon, -coins, rtol=1e-4, atol=1e-4)
    q, p = Normal(mu, (0.5 * logvar).exp()), Normal(mu_p, (0.5 * logvar_p).exp())
    torch.testing.assert_close(kl, kl_divergence(q, p).sum(1), rtol=1e-4, atol=1e-5)


def test_told_nothing_a_cvae_is_the_vae():
    vae, model = seeded(lambda: VAE(3, image_shape=SMALL)), CVAE(3, image_shape=SMALL, classes=4)
    weights = model.state_dict()
    for name, value in vae.state_dict().items():
        if weights[name].shape == value.shape:
            weights[name] = value
        else:  # the columns of the label are the last ones: no weight on them
            weights[name] = torch.cat([value, torch.zeros(len(value), weights[name].shape[1] - value.shape[1])], 1)
    model.load_state_dict(weights)
    x, y = torch.rand(5, *SMALL), torch.tensor([0, 1, 2, 3, 0])
    torch.manual_seed(1)
    expected = vae.terms(x)
    torch.manual_seed(1)
    torch.testing.assert_close(model.terms(x, y), expected)


GRID = torch.linspace(-9, 9, 6001).unsqueeze(1)
STEP = math.log(18 / 6000)


def integrated(model, x, y, given):
    """Return log p(x | condition) of one image, and its ELBO, by quadrature over a latent space of one dimension."""
    many = x.expand(len(GRID), -1, -1, -1)
    told = y.expand(len(GRID)) if isinstance(given, torch.Tensor) else model.look(many, given.seen[0, 0])
    with torch.no_grad():
        prior, (mu, logvar) = model.prior(told), model.encode(x, given)
        joint = gaussian_log_density(GRID, *(part[:1] for part in prior)) - model.nll(
            model.decode(GRID, told), many, told
        )
        log_q = gaussian_log_density(GRID, mu, logvar)
    return joint.logsumexp(0) + STEP, (log_q.exp() * (joint - log_q)).sum() * math.exp(STEP)


@pytest.mark.parametrize("kind", [CVAE, Completer])
def test_bound_and_likelihood_agree_with_quadrature(kind):
    model = seeded(lambda: kind(1, "mlp", (1, 4, 4)), seed=1)
    with torch.no_grad():
        model.decoder[0].weight[:, :1].mul_(6)  # z matters
    x, y = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 9, 3])
    for k in range(4):
        image, label = x[k : k + 1], y[k : k + 1]
        given = model.eval().condition(image, label)
        truth, elbo = integrated(model, image, label, given)
        assert elbo < truth - 1e-4, "there is something to gain"
        many, labels = image.expand(4000, -1, -1, -1), label.expand(4000)
        price = sum(model.terms(many, labels)).detach()
        assert abs(price.mean() + elbo) < 4 * price.std() / 4000**0.5 + 1e-4
        estimate = evaluation.log_likelihood(model, image, samples=4000, y=label)
        assert abs(estimate.item() - truth) < 0.02


def test_the_label_changes_the_likelihood_and_the_right_images_get_it():
    model, x = seeded(lambda: CVAE(2, image_shape=SMALL)), torch.rand(120, *SMALL)
    y = torch.arange(120) % 10
    together = evaluation.log_likelihood(model, x, samples=4, y=y)
    assert together.shape == (120,)
    alone = evaluation.log_likelihood(model, x[100:], samples=1000, y=y[100:])  # in the second chunk of a hundred
    wrong = evaluation.log_likelihood(model, x[100:], samples=1000, y=(y[100:] + 1) % 10)
    assert (together[100:] - alone).abs().max() < 1 and (alone - wrong).abs().max() > 0.01


def test_measures_of_a_split_tell_the_label(toy):
    model = seeded(lambda: CVAE(2, image_shape=SMALL))
    x, y = toy.test[:]
    torch.testing.assert_close(evaluation.encode_means(model, toy.test), model.encode(x, y)[0].detach())
    torch.testing.assert_close(evaluation.encode_posteriors(model, toy.test)[1], model.encode(x, y)[1].detach())
    other = Split(toy.test.images, (y + 1) % 10)
    assert not torch.allclose(evaluation.encode_means(model, other), evaluation.encode_means(model, toy.test))
    assert evaluation.evaluate(model, other) != evaluation.evaluate(model, toy.test)


# ---- learning


def test_a_cvae_learns_to_draw_what_it_is_asked_for(toy):
    torch.manual_seed(0)
    model = CVAE(2, image_shape=SMALL)
    training.fit(model, toy.train, steps=300, batch_size=50, lr=3e-3)
    asked = torch.arange(10).repeat(5)
    images = model.sample(asked, generator=torch.Generator().manual_seed(0))
    templates = torch.stack([toy.train[:][0][toy.train.labels == k].mean(0) for k in range(10)])
    nearest = torch.cdist(images.flatten(1), templates.flatten(1)).argmin(1)
    assert (nearest == asked).all()


def test_a_completer_is_better_than_chance_and_worse_where_less_is_seen(toy):
    prices = []
    for quadrants in (1, 3):
        torch.manual_seed(0)
        model = Completer(2, "mlp", SMALL, quadrants)
        untrained = evaluation.evaluate(model, toy.test)["loss"]
        training.fit(model, toy.train, steps=200, batch_size=50, lr=3e-3)
        prices.append(evaluation.evaluate(model, toy.test)["loss"])
        assert prices[-1] < 0.8 * untrained
    assert prices[0] > prices[1]


# ---- what a completer may see


@every_latent
def test_prior_and_features_know_nothing_of_hidden_pixels(latents):
    model, x = seeded(lambda: Completer(latents, "conv", SMALL)).eval(), torch.rand(4, *SMALL)
    seen = quadrants_seen(1, 8, 8)
    changed = torch.where(seen, x, torch.rand_like(x))
    before, after = model.look(x, seen), model.look(changed, seen)
    assert torch.equal(before.mu, after.mu) and torch.equal(before.features, after.features)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    drawn, again = (model.complete(image, n=2, generator=g) for image, g in zip((x, changed), generators, strict=True))
    torch.testing.assert_close(drawn, again)
    if latents:
        assert not torch.allclose(model.encode(x, before)[0], model.encode(changed, before)[0]), "recognition sees all"


def test_prior_and_features_depend_on_seen_pixels_and_on_where_they_are():
    model, x = seeded(lambda: Completer(3, "mlp", SMALL)).eval(), torch.zeros(1, *SMALL)
    seen = quadrants_seen(1, 8, 8)
    x[..., 6, 1] = 1
    assert not torch.equal(model.look(x, seen).mu, model.look(torch.zeros_like(x), seen).mu)
    blank = torch.zeros_like(x)
    assert not torch.equal(model.look(blank, seen).mu, model.look(blank, ~seen).mu), "black is not unseen"


@every_latent
def test_completions_keep_what_was_seen_and_differ_by_chance_alone(latents):
    model, x = seeded(lambda: Completer(latents, "mlp", SMALL)).eval(), torch.rand(3, *SMALL)
    seen = quadrants_seen(2, 8, 8)
    first, same, other = (model.complete(x, seen, 2, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, same) and torch.equal(first[..., seen], x.expand(2, -1, -1, -1, -1)[..., seen])
    assert first.min() >= 0 and first.max() <= 1 and not first.requires_grad
    assert torch.equal(first, other) == (latents == 0) and torch.equal(first[0], first[1]) == (latents == 0)


def test_the_baseline_pays_no_kl_and_its_loss_is_exact():
    model, x = seeded(lambda: Completer(0, "mlp", SMALL)).eval(), torch.rand(5, *SMALL)
    recon, kl = model.terms(x)
    assert kl.tolist() == [0] * 5
    torch.testing.assert_close(evaluation.log_likelihood(model, x, samples=3), -recon.detach())


def test_the_parts_are_the_published_ones():
    drawings = {1: ["....", "....", "##..", "##.."], 2: ["##.."] * 4, 3: ["####", "####", "##..", "##.."]}
    for quadrants, rows in drawings.items():
        assert quadrants_seen(quadrants, 4, 4).tolist() == [[pixel == "#" for pixel in row] for row in rows]
    for kind, wrongs in ((ValueError, (0, 4)), (TypeError, ("1", 1.5))):
        for wrong in wrongs:
            with pytest.raises(kind, match="quadrants must be a whole number of at least 1 and at most 3, not"):
                Completer(2, "mlp", SMALL, wrong)


def test_any_part_is_some_of_the_quadrants_or_of_the_rows_and_never_nothing_or_all():
    torch.manual_seed(0)
    masks = any_part(4000, 8, 8)
    assert masks.shape == (4000, 1, 8, 8) and masks.dtype == torch.bool
    share = masks.float().mean((1, 2, 3))
    assert (share > 0).all() and (share < 1).all()
    flat = masks[:, 0]
    rows = (flat == flat[:, :, :1]).all(2).all(1) & (flat[:, :-1].int() >= flat[:, 1:].int()).all(2).all(1)
    corners = flat[:, ::7, ::7].repeat_interleave(4, 1).repeat_interleave(4, 2)
    quadrants = (flat == corners).all(2).all(1)
    assert (rows | quadrants).all()
    assert 0.5 < rows.float().mean() < 0.6, "half of them, and the upper half among the quadrants"
    assert len(flat[rows].flatten(1).unique(dim=0)) == 7 and len(flat[quadrants].flatten(1).unique(dim=0)) == 14
    torch.testing.assert_close(masks.float().mean(0)[0, 0, 0].item(), 0.5 * 7 / 14 + 0.5, atol=0.03, rtol=0)


def test_a_completer_for_any_part_trains_on_many_and_is_measured_on_one():
    model, x = Completer(2, "mlp", SMALL, quadrants=None), torch.rand(50, *SMALL)
    torch.manual_seed(0)
    assert len(model.train().condition(x).seen.flatten(1).unique(dim=0)) > 10
    assert torch.equal(model.eval().condition(x).seen, quadrants_seen(1, 8, 8).expand(50, 1, -1, -1))


# ---- sampling, keeping


def test_samples_are_seeded_pictures_of_the_labels():
    model, y = seeded(lambda: CVAE(3, image_shape=SMALL)), torch.tensor([4, 4, 1])
    first, again, other = (model.sample(y, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.min() >= 0 and first.max() <= 1 and not first.requires_grad
    z = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(first, model.decode(z, y).sigmoid())
    cold = model.sample(y, temperature=0.0)
    torch.testing.assert_close(cold[0], cold[1])
    assert not torch.allclose(cold[0], cold[2])
    with pytest.raises(ValueError, match="temperature must be a finite number of at least 0, not -1.0"):
        model.sample(y, temperature=-1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CVAE(2, "mlp", SMALL, classes=3),
        lambda: Completer(2, "mlp", SMALL, None),
        lambda: Completer(0, "conv", SMALL, 3),
    ],
)
def test_they_are_kept_and_come_back(make, tmp_path):
    model = make()
    checkpoints.save(tmp_path / "model", model)
    loaded = checkpoints.load(tmp_path / "model")
    assert type(loaded) is type(model) and loaded.config == model.config
    weights = model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.state_dict().items())


# ---- refusals

LABELS = {
    "forgotten": (None, TypeError, r"y must be int64 \[4\], one for each image, not None: pass a tensor"),
    "a number": (7, TypeError, r"int64 \[4\].*not int 7: pass a tensor"),
    "floats": (torch.ones(4), TypeError, r"not torch.float32 \[4\]: convert them by .long\(\)"),
    "bytes": (torch.ones(4, dtype=torch.uint8), TypeError, r"not torch.uint8 \[4\]: convert"),
    "one-hot": (torch.eye(10)[:4], TypeError, r"one-hot rows by .argmax\(1\)"),
    "a column": (torch.zeros(4, 1, dtype=torch.long), ValueError, r"int64 \[4\], one for each image, not \[4, 1\]"),
    "too few": (torch.zeros(3, dtype=torch.long), ValueError, r"int64 \[4\], one for each image, not \[3\]"),
    "too large": (torch.tensor([0, 1, 2, 10]), ValueError, "from 0 to 9, not from 0 to 10"),
    "negative": (torch.tensor([0, 1, -1, 3]), ValueError, "from 0 to 9, not from -1 to 3"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_what_is_no_label_is_refused(kind):
    y, error, message = LABELS[kind]
    model, x, z = CVAE(2, image_shape=SMALL), torch.rand(4, *SMALL), torch.zeros(4, 2)
    for call in (
        lambda: model.encode(x, y),
        lambda: model.decode(z, y),
        lambda: model.condition(x, y),
        lambda: model.terms(x, y),
        lambda: model(x, y),
    ):
        with pytest.raises(error, match=message):
            call()
    if kind != "too few":
        with pytest.raises(error, match=message.replace(r"int64 \[4\]", r"int64 \[B\]")):
            model.sample(y)


def test_a_batch_of_none_is_no_error():
    model = CVAE(2, image_shape=SMALL)
    assert model.decode(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)).shape == (0, *SMALL)


SEEN = {
    "floats": (torch.ones(8, 8), r"booleans, \[8, 8\] or \[4, 1, 8, 8\], not torch.float32 \[8, 8\]"),
    "another size": (torch.ones(4, 4, dtype=torch.bool), r"not torch.bool \[4, 4\]"),
    "another number": (torch.ones(3, 1, 8, 8, dtype=torch.bool), r"not torch.bool \[3, 1, 8, 8\]"),
    "forgotten": (None, "not None: compare"),
    "a number of quadrants": (1, "not 1: compare"),
}


@pytest.mark.parametrize("kind", SEEN)
def test_what_is_no_mask_is_refused(kind):
    seen, message = SEEN[kind]
    with pytest.raises(ValueError, match=message):
        Completer(2, "mlp", SMALL).look(torch.rand(4, *SMALL), seen)


def test_what_is_no_glimpse_is_refused():
    model, x = Completer(2, "mlp", SMALL), torch.rand(4, *SMALL)
    given = model.condition(x[:3])
    assert isinstance(given, Glimpse)
    for wrong, came in ((None, "None"), (torch.ones(4), "torch.float32"), (given, "one of 3")):
        for call in (lambda w=wrong: model.encode(x, w), lambda w=wrong: model.decode(torch.zeros(4, 2), w)):
            with pytest.raises(ValueError, match=f"must be a glimpse of 4 images, not {came}"):
                call()


@pytest.mark.parametrize(
    ("latents", "kind"), [(-1, ValueError), (2.0, TypeError), ("2", TypeError), (None, TypeError), (True, TypeError)]
)
def test_a_completer_needs_a_latent_size(latents, kind):
    with pytest.raises(kind, match="latent_dim must be a whole number of at least 0 and at most 10000, not"):
        Completer(latents)


def test_a_completer_has_nothing_to_sample_from_without_a_part_of_an_image():
    assert not hasattr(Completer(2, "mlp", SMALL), "sample")


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda m, x: m.complete(255 * x), ValueError, r"x must lie in \[0, 1\]"),
        (lambda m, x: m.complete(x, n=0), ValueError, "n must be a whole number of at least 1 .*, not 0"),
        (lambda m, x: m.complete(x[0]), ValueError, r"x must have the shape \[B, 1, 8, 8\], not \[1, 8, 8\]"),
        (lambda m, x: m.complete(x.double()), TypeError, "x must be torch.float32, as the weights are"),
        (lambda m, x: m.prior(None), ValueError, "given must be a glimpse of images, not None"),
        (lambda m, x: m.condition(x).repeat(-1), ValueError, "times must be a whole number of at least 1"),
        (lambda m, x: m.condition(x).repeat(10**12), ValueError, "times must be .* at most 50000, not 1000000000000"),
        (
            lambda m, x: m.encode(x, Completer(3, "mlp", SMALL).condition(x)),
            ValueError,
            "given must be a glimpse of this model, of the sizes .*, 2, 128.*, not .*, 3, 128",
        ),
        (lambda m, x: m.nll(x[:1], x, m.condition(x)), ValueError, r"x_logits must have the shape \[2, 1, 8, 8\]"),
        (
            lambda m, x: Glimpse(x > 0, x[:, 0, 0, :2] * float("nan"), x[:, 0, 0, :2], x[:, 0, 0]),
            ValueError,
            "mu must be finite",
        ),
        (lambda m, x: Glimpse(x, x, x, x), TypeError, r"seen must be booleans \[B, 1, H, W\], not torch.float32"),
        (lambda m, x: any_part(10**9, 8, 8), ValueError, "n must be a whole number .*, not 1000000000"),
        (lambda m, x: any_part(2, 10**9, 8), ValueError, "height must be .* at most 4096, not 1000000000"),
        (lambda m, x: quadrants_seen(1, 8, 8, "toaster"), ValueError, "device is 'toaster', which this machine cannot"),
        (lambda m, x: quadrants_seen(1, 8, 8, [1]), TypeError, "device must be a torch.device, its name or None"),
        (lambda m, x: CVAE(2, "mlp", SMALL).prior([1]), TypeError, r"y must be int64 \[B\]"),
        (
            lambda m, x: CVAE(2, "mlp", SMALL, 3).prior(torch.tensor([9])),
            ValueError,
            "y must be from 0 to 2, not",
        ),
        (lambda m, x: any_part(0, 8, 8), ValueError, "n must be a whole number of at least 1"),
        (lambda m, x: quadrants_seen(1, 8, 1), ValueError, "width must be a whole number of at least 2 .*, not 1"),
    ],
)
def test_what_cannot_be_completed_is_refused(call, kind, said):
    with pytest.raises(kind, match=said):
        call(Completer(2, "mlp", SMALL), torch.ones(2, *SMALL))
