"""Models for a few labels: their bounds, the labels that they may not see, and the pose."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from experiments import m2_settings as settings
from experiments import semi_supervised as experiment
from vae_utils import checkpoints, models, training
from vae_utils.data import Split
from vae_utils.labels import UNKNOWN, draw_labels, hide_labels
from vae_utils.latent import Codes
from vae_utils.losses import bernoulli_nll, gaussian_kl
from vae_utils.models import M2, Classifier, CodeM2, LabelledVAE, PoseVAE
from vae_utils.models.pose import POSE, affine, inverse, warp

SMALL = (1, 8, 8)
NEW = {
    "M2": lambda: M2(3, "mlp", SMALL, classes=4),
    "M2, moved": lambda: M2(3, "conv", SMALL, classes=4, moves=1.0),
    "CodeM2": lambda: CodeM2(3, image_shape=(1, 1, 6), classes=4),
    "LabelledVAE": lambda: LabelledVAE(3, "conv", SMALL, classes=4),
    "Classifier": lambda: Classifier("mlp", SMALL, classes=4),
    "PoseVAE": lambda: PoseVAE(9, "conv", SMALL),
}
every_model = pytest.mark.parametrize("make", NEW.values(), ids=NEW.keys())


def seeded(make):
    torch.manual_seed(0)
    model = make()
    if isinstance(model, M2):
        nn.init.normal_(model.pictures)  # they start at zero
    return model


def batch(model, n=24):
    return torch.rand(n, *model.config["image_shape"]), torch.arange(n) % 4


# ---- every model


@every_model
def test_gradients_reach_every_parameter(make):
    model = seeded(make)
    x, y = batch(model)
    if isinstance(model, M2 | LabelledVAE):
        y = torch.where(torch.arange(len(y)) < 12, y, UNKNOWN)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        sum(model.terms(x, y)).mean().backward()
        optimizer.step()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


@every_model
def test_kept_and_loaded(make, tmp_path):
    model = seeded(make).eval()
    checkpoints.save(tmp_path / "model.safetensors", model)
    twin = checkpoints.load(tmp_path / "model.safetensors")
    x, y = batch(model)
    torch.manual_seed(1)
    expected = model.terms(x, y)
    torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(expected, twin.terms(x, y), strict=True))


# ---- M2


def noise(n, latents=3):
    torch.manual_seed(1)
    return torch.randn(n, latents)


def by_hand(model, x, label, eps):
    """Return -log p(x | y, z) and KL(q(z | x, y) || p(z)) of a class for all images, the noise given."""
    y = torch.full((len(x),), label)
    mu, logvar = model.encode(x, y)
    return bernoulli_nll(model.decode(mu + (logvar / 2).exp() * eps, y), x), gaussian_kl(mu, logvar)


def test_a_known_label_costs_the_conditional_bound_and_log_k():
    model = seeded(NEW["M2"]).eval()
    x, _ = batch(model)
    eps = noise(len(x))
    torch.manual_seed(1)
    recon, kl = model.terms(x, torch.full((len(x),), 2))
    recon_by_hand, kl_by_hand = by_hand(model, x, 2, eps)
    torch.testing.assert_close(recon, recon_by_hand)
    torch.testing.assert_close(kl, kl_by_hand + math.log(4))


def test_the_unlabelled_bound_is_the_brute_force_sum():
    model = seeded(NEW["M2"]).eval()
    x, _ = batch(model)
    eps = noise(4 * len(x)).view(len(x), 4, 3)
    q = model.classifier(x).softmax(1)
    total = torch.zeros(len(x))
    for label in range(4):
        recon, kl = by_hand(model, x, label, eps[:, label])
        total = total + q[:, label] * (recon + kl + math.log(4) + q[:, label].log())
    torch.manual_seed(1)
    torch.testing.assert_close(sum(model.terms(x, torch.full((len(x),), UNKNOWN))), total)


def test_in_training_the_sum_is_over_the_likely_classes_and_the_entropy_over_all():
    model = seeded(lambda: M2(3, "mlp", SMALL, classes=4, classifier="mlp", binarise=False, skip=0.2))
    model.train()
    x, _ = batch(model)
    q = torch.tensor([0.5, 0.3, 0.15, 0.05]).expand(len(x), 4)
    model.classifier.forward = lambda x: q[: len(x)].log()
    eps = noise(2 * len(x)).view(len(x), 2, 3)
    costs = torch.stack([sum(by_hand(model, x, k, eps[:, k])) for k in range(2)], dim=1)
    bound = (costs * torch.tensor([5 / 8, 3 / 8])).sum(1) + math.log(4) - torch.distributions.Categorical(q).entropy()
    torch.manual_seed(1)
    torch.testing.assert_close(sum(model.terms(x, torch.full((len(x),), UNKNOWN))), bound)


@pytest.mark.parametrize(
    ("q", "skip"), [([0.25] * 4, 0.5), ([0.3, 0.2, 0.26, 0.24], 0.99), ([0.1, 0.1, 0.6, 0.2], 0.99), ([0.25] * 4, 1.0)]
)
def test_with_no_class_above_the_threshold_the_likeliest_stays(q, skip):
    model = seeded(lambda: M2(3, "mlp", SMALL, classes=4, classifier="mlp", binarise=False, skip=skip)).train()
    x, _ = batch(model)
    logits = torch.tensor(q).log().expand(len(x), 4).clone().requires_grad_()
    model.classifier.forward = lambda x: logits
    likeliest = [k for k in range(4) if q[k] == max(q)]
    eps = noise(len(likeliest) * len(x)).view(len(x), len(likeliest), 3)
    costs = [sum(by_hand(model, x, k, eps[:, place])) for place, k in enumerate(likeliest)]
    entropy = torch.distributions.Categorical(torch.tensor(q)).entropy()
    torch.manual_seed(1)
    loss = sum(model.terms(x, torch.full((len(x),), UNKNOWN)))
    torch.testing.assert_close(loss, torch.stack(costs).mean(0) + math.log(4) - entropy)
    loss.mean().backward()
    assert logits.grad.isfinite().all()
    reached = [weight.grad for network in (model.encoder, model.decoder) for weight in network.parameters()]
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in reached)


def test_a_threshold_that_none_reaches_trains_all_the_same():
    model = seeded(lambda: M2(3, "mlp", SMALL, classes=4, skip=0.99)).train()
    x, y = batch(model)
    sum(model.terms(x, torch.where(torch.arange(len(x)) < 8, y, UNKNOWN))).mean().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_what_leaving_out_classes_saves_is_at_most_half_a_nat():
    model = seeded(lambda: M2(3, "mlp", SMALL, classifier="mlp", binarise=False)).train()
    x, _ = batch(model)
    q = torch.tensor([0.91, *9 * [0.01]]).expand(len(x), 10)
    model.classifier.forward = lambda x: q[: len(x)].log()
    eps = noise(len(x))
    torch.manual_seed(1)
    saved = sum(by_hand(model, x, 0, eps)) + math.log(10) - sum(model.terms(x, torch.full((len(x),), UNKNOWN)))
    torch.testing.assert_close(saved, torch.full((len(x),), 0.5), atol=0.01, rtol=0)


def test_the_costs_of_the_classes_are_those_that_the_bound_sums():
    model = seeded(NEW["M2"])
    x, _ = batch(model)
    eps = noise(2 * len(x)).view(2, len(x), 3)
    by_class = [[sum(by_hand(model, x, k, e)) for e in eps] for k in range(4)]
    expected = torch.stack([torch.stack(both).mean(0) for both in by_class], dim=1) + math.log(4)
    torch.manual_seed(1)
    torch.testing.assert_close(models.class_costs(model, x, draws=2), expected)


def test_with_one_class_it_is_the_bound_of_a_vae():
    model = seeded(lambda: M2(3, "mlp", SMALL, classes=1)).eval()
    x, _ = batch(model)
    recon, kl = by_hand(model, x, 0, noise(len(x)))
    for label in (0, UNKNOWN):
        torch.manual_seed(1)
        torch.testing.assert_close(model.terms(x, torch.full((len(x),), label)), (recon, kl))


def test_the_best_classifier_is_bayes_rule():
    model = seeded(NEW["M2"]).eval()
    x, _ = batch(model, 6)
    eps = noise(4 * len(x)).view(len(x), 4, 3)
    loss = torch.stack([sum(by_hand(model, x, k, eps[:, k])) for k in range(4)], dim=1) + math.log(4)
    model.classifier.forward = lambda x: -loss  # q(y | x) in proportion to exp(-loss)
    torch.manual_seed(1)
    best = sum(model.terms(x, torch.full((6,), UNKNOWN)))
    torch.testing.assert_close(best, -(-loss).logsumexp(1))
    model.classifier.forward = lambda x: torch.arange(4.0) - loss  # any other
    torch.manual_seed(1)
    assert (sum(model.terms(x, torch.full((6,), UNKNOWN))) > best).all()


def test_labelled_and_unlabelled_images_in_one_batch():
    model = seeded(lambda: M2(3, "mlp", SMALL, classes=4)).eval()
    nn.init.zeros_(model.encoder[-1].weight)
    with torch.no_grad():
        model.encoder[-1].bias.copy_(torch.tensor([0.5, 0.5, 0.5, -80.0, -80.0, -80.0]))  # z is 0.5, whatever the noise
    x, y = batch(model)
    mixed = torch.where(torch.arange(len(x)) % 3 == 0, y, UNKNOWN)
    apart = torch.where(mixed == UNKNOWN, sum(model.terms(x, torch.full_like(y, UNKNOWN))), sum(model.terms(x, y)))
    torch.testing.assert_close(sum(model.terms(x, mixed)), apart)


def test_alpha_multiplies_the_cross_entropy_of_labelled_images_in_training_only():
    x, y = torch.rand(24, *SMALL).round(), torch.arange(24) % 4
    known = torch.where(torch.arange(24) < 8, y, UNKNOWN)
    losses = []
    for alpha in (0.0, 7.0):
        model = seeded(
            lambda alpha=alpha: M2(3, "mlp", SMALL, classes=4, alpha=alpha, classifier="mlp", binarise=False, skip=0.0)
        )
        model.classifier.eval()  # no dropout
        torch.manual_seed(1)
        losses.append(sum(model.terms(x, known)))
    wrong = nn.functional.cross_entropy(model.classifier(x), y, reduction="none")
    torch.testing.assert_close(losses[1] - losses[0], torch.where(known == y, 7 * wrong, 0.0), atol=2e-5, rtol=1e-5)
    model.eval()
    torch.manual_seed(1)
    torch.testing.assert_close(sum(model.terms(x, known)), losses[0])


def test_what_is_left_out_pulls_at_nothing():
    """A class that is skipped must not look free: the classifier's gradient is nearly that of the whole sum."""
    gradients = []
    for skip in (0.0, 0.02):
        model = seeded(lambda skip=skip: M2(3, "mlp", SMALL, classes=4, classifier="mlp", binarise=False, skip=skip))
        with torch.no_grad():
            model.classifier.layers[-1].bias.copy_(torch.tensor([4.2, 0.0, 0.0, 0.0]))
            model.encoder[-1].bias.copy_(torch.tensor([0.0, 0.0, 0.0, -80.0, -80.0, -80.0]))  # no noise in z
        model.classifier.eval()
        x = torch.rand(24, *SMALL, generator=torch.Generator().manual_seed(0)).round()
        sum(model.terms(x, torch.full((24,), UNKNOWN))).mean().backward()
        gradients.append(model.classifier.layers[-1].bias.grad)
    whole, part = gradients
    assert (part - whole).abs().max() < 0.1


def test_a_digit_goes_where_its_pose_says():
    at, x = torch.arange(28.0), blob((13.5, 13.5))
    for number, expected in {"right": (13.5 + 0.84, 13.5), "down": (13.5, 13.5 + 0.84)}.items():
        pose = torch.eye(6)[[list(POSE).index(number)]]
        drawn = warp(x, inverse(affine(pose)))[0, 0]
        centre = (drawn.sum(0) @ at / drawn.sum()).item(), (drawn.sum(1) @ at / drawn.sum()).item()
        assert centre == pytest.approx(expected, abs=0.05)
    leaning = warp(blob((13.5, 6.5)), inverse(affine(torch.eye(6)[[list(POSE).index("lean")]])))[0, 0]
    assert (leaning.sum(0) @ at / leaning.sum()).item() == pytest.approx(13.5 + 0.25 * 7, abs=0.1)  # the top, right


def test_unlikely_classes_are_left_out_in_training_and_hardly_missed():
    model = seeded(lambda: M2(3, "mlp", SMALL, classes=4, classifier="mlp", skip=0.02))
    with torch.no_grad():
        model.classifier.layers[-1].bias.copy_(torch.tensor([6.0, 6.0, 0.0, 0.0]))
    model.classifier.eval()
    seen = []
    model.decoder.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    x, unknown = torch.rand(24, *SMALL).round(), torch.full((24,), UNKNOWN)
    part = sum(model.terms(x, unknown)).mean()
    whole = sum(model.eval().terms(x, unknown)).mean()
    assert seen == [48, 96]
    assert part.item() == pytest.approx(whole.item(), rel=0.02)


@pytest.mark.parametrize(
    ("y", "complaint"),
    [
        (None, "y must be given"),
        (torch.zeros(5, dtype=torch.int64), r"int64 \[24\].*not \[5\]"),
        (torch.zeros(24), "not torch.float32"),
        (torch.zeros(24, 4, dtype=torch.int64), r"not \[24, 4\]"),
        (torch.full((24,), 4), "from 0 to 3, or -1 where unknown, not from 4 to 4"),
        (torch.full((24,), -2), "not from -2 to -2"),
    ],
)
@pytest.mark.parametrize("name", ["M2", "CodeM2"])
def test_labels_that_m2_refuses(name, y, complaint):
    model = NEW[name]()
    with pytest.raises((TypeError, ValueError), match=complaint):
        model.terms(batch(model)[0], y)


def test_the_likelihood_of_codes_is_gaussian():
    model = seeded(NEW["CodeM2"]).eval()
    x, y = batch(model)
    logits = model.decode(torch.randn(len(x), 3), y)
    mean, logvar = logits.flatten(1).chunk(2, dim=1)
    expected = Independent(Normal(mean, (logvar / 2).exp()), 1).log_prob(x.flatten(1))
    torch.testing.assert_close(model.nll(logits, x), -expected)


def test_a_sample_of_codes_is_the_mean_of_their_gaussian():
    model, y = seeded(NEW["CodeM2"]).eval(), torch.tensor([3, 0, 0, 1, 2])
    drawn, again, other = (model.sample(y, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert drawn.shape == (5, 1, 1, 6) and torch.equal(drawn, again) and not torch.equal(drawn, other)
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    answer = model.decode(z, y)
    torch.testing.assert_close(drawn.flatten(1), answer.flatten(1)[:, :6])
    assert drawn.min() < 0 and not drawn.requires_grad, "a code is no picture"
    at_the_mean = model.nll(answer, drawn)
    assert (at_the_mean < model.nll(answer, drawn + 0.1)).all() and (at_the_mean < model.nll(answer, drawn - 0.1)).all()
    cold = model.sample(y, temperature=0.0)
    torch.testing.assert_close(cold, model.decode(torch.zeros(5, 3), y)[:, :1])
    with pytest.raises(ValueError, match="y must be from 0 to 3, not from 0 to 4"):
        model.sample(torch.tensor([0, 4]))
    with pytest.raises(ValueError, match="temperature must be a finite number of at least 0"):
        model.sample(y, temperature=-1.0)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda x: models.class_costs(PoseVAE(9, "conv", SMALL), x), TypeError, "a CVAE or an M2.* not a PoseVAE"),
        (lambda x: models.class_costs(NEW["M2"](), x[0]), ValueError, r"x must have the shape \[B, 1, 8, 8\]"),
        (
            lambda x: models.class_costs(NEW["M2"](), x, draws=0),
            ValueError,
            "draws must be a whole number of at least 1",
        ),
        (
            lambda x: M2(3, "mlp", SMALL, skip=1.5),
            ValueError,
            "skip must be a finite number of at least 0 and at most 1",
        ),
        (lambda x: models.class_costs(NEW["M2"](), 255 * x), ValueError, r"x must lie in \[0, 1\]"),
        (lambda x: NEW["CodeM2"]().nll(None, x[:, :, :1, :6]), TypeError, "x_logits must be a tensor of floats"),
        (lambda x: NEW["CodeM2"]().nll(x, x[:, :, :1, :6]), ValueError, r"x_logits must have the shape \[2, 2, 1, 6\]"),
        (lambda x: M2(3, "mlp", SMALL, alpha=-1), ValueError, "alpha must be a finite number of at least 0 .*, not -1"),
        (lambda x: M2(3, "mlp", SMALL, classes=2.0), TypeError, "classes must be a whole number"),
        (lambda x: LabelledVAE(3, "mlp", SMALL, weight=-1), ValueError, "weight must be a finite number of at least 0"),
        (lambda x: Classifier("mlp", SMALL, moves=-1), ValueError, "moves must be a finite number of at least 0"),
    ],
)
def test_settings_and_images_that_are_refused(call, kind, said):
    with pytest.raises(kind, match=said):
        call(torch.rand(2, *SMALL))


def test_the_costs_of_the_classes_leave_every_part_in_its_mode():
    model = seeded(NEW["M2"]).train()
    model.classifier.layers[0].eval()
    modes = [part.training for part in model.modules()]
    models.class_costs(model, batch(model)[0])
    assert [part.training for part in model.modules()] == modes and len(set(modes)) == 2


# ---- the others


def test_a_labelled_vae_is_a_vae_with_a_price_on_mistakes():
    model = seeded(lambda: LabelledVAE(3, "mlp", SMALL, classes=4, weight=5.0))
    x, y = batch(model)
    known = torch.where(torch.arange(len(x)) < 8, y, UNKNOWN)
    torch.manual_seed(1)
    recon, kl = model.terms(x, known)
    eps = noise(len(x))
    mu, logvar = model.encode(x)
    z = mu + (logvar / 2).exp() * eps
    wrong = -model.head(z).log_softmax(1)[torch.arange(len(x)), y]
    torch.testing.assert_close(recon, bernoulli_nll(model.decode(z), x) + torch.where(known == y, 5 * wrong, 0.0))
    torch.testing.assert_close(kl, gaussian_kl(mu, logvar))
    torch.manual_seed(1)
    assert torch.equal(model.eval().terms(x, known)[0], bernoulli_nll(model.decode(z), x))
    torch.testing.assert_close(model.classify(x).exp().sum(1), torch.ones(len(x)))


def test_moved_copies_are_for_training():
    model = seeded(lambda: Classifier("conv", SMALL, moves=1.0))
    model.layers.eval()
    x = torch.rand(4, *SMALL)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_an_unknown_classifier():
    with pytest.raises(ValueError, match="no classifier network str 'resnet'; known: 'conv', 'mlp'"):
        Classifier("resnet")


# ---- the pose


def blob(*places, size=28):
    """Return an image with a soft spot at each place (right, down) in pixels."""
    at = torch.arange(size).float()
    return sum(torch.exp(-((at - x) ** 2 + (at[:, None] - y) ** 2) / 8) for x, y in places)[None, None]


def test_no_pose_moves_nothing():
    x = torch.rand(3, 1, 28, 28)
    torch.testing.assert_close(warp(x, affine(torch.zeros(3, 6))), x, atol=1e-5, rtol=0)


def test_a_pose_is_undone_by_its_inverse():
    pose, x = (
        torch.randn(5, 6, generator=torch.Generator().manual_seed(0)),
        blob((11, 12), (17, 15)).expand(5, 1, 28, 28),
    )
    back = warp(warp(x, inverse(affine(pose))), affine(pose))
    assert (back - x).abs().max() < 0.12 and (warp(x, affine(pose)) - x).abs().max() > 0.3
    last = torch.tensor([0.0, 0, 1]).expand(5, 1, 3)
    both = torch.cat([affine(pose), last], 1) @ torch.cat([inverse(affine(pose)), last], 1)
    torch.testing.assert_close(both, torch.eye(3).expand(5, 3, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("number", "start", "end"),
    [
        ("right", (14, 14), (14 - 0.06 * 14, 14)),  # the paper moves right, so the digit in the picture to the left
        ("down", (14, 14), (14, 14 - 0.06 * 14)),
        ("width", (20, 13.5), (13.5 + 6.5 * math.exp(-0.12), 13.5)),
        ("height", (13.5, 20), (13.5, 13.5 + 6.5 * math.exp(-0.12))),
        ("lean", (13.5, 20), (13.5 + 0.25 * 6.5, 20)),
        ("turn", (20, 13.5), (13.5 + 6.5 * math.cos(0.15), 13.5 - 6.5 * math.sin(0.15))),
    ],
)
def test_what_each_number_of_a_pose_does_to_the_picture_that_the_encoder_sees(number, start, end):
    pose = torch.zeros(1, 6)
    pose[0, list(POSE).index(number)] = 1.0
    moved, at = warp(blob(start), affine(pose))[0, 0], torch.arange(28.0)
    centre = (moved.sum(0) @ at / moved.sum()).item(), (moved.sum(1) @ at / moved.sum()).item()
    assert centre == pytest.approx(end, abs=0.1)


def test_a_pose_vae_draws_upright_and_moves():
    model = seeded(lambda: PoseVAE(9, "conv")).eval()
    content, pose = torch.randn(2, 3), torch.randn(2, 6)
    torch.testing.assert_close(
        model.decode(torch.cat([0 * pose, content], 1)), model.decoder(content), atol=1e-4, rtol=0
    )
    moved = warp(model.decoder(content) + 8, inverse(affine(pose))) - 8
    torch.testing.assert_close(model.decode(torch.cat([pose, content], 1)), moved)
    x = torch.rand(2, 1, 28, 28)
    mu, logvar = model.encode(x)
    assert mu.shape == logvar.shape == (2, 9)
    torch.testing.assert_close(mu[:, :6], torch.zeros(2, 6))  # as it starts
    torch.testing.assert_close(model.straighten(x), x, atol=1e-5, rtol=0)
    with torch.no_grad():
        model.poser[-1].bias[0] = 1.0
    torch.testing.assert_close(model.straighten(x), warp(x, affine(torch.eye(6)[:1].expand(2, 6))))
    torch.testing.assert_close(model.encode(x)[0][:, 6:], model.encoder(model.straighten(x))[:, :3])


@pytest.mark.parametrize("latent_dim", [6, 1, -3])
def test_a_pose_alone_is_no_model(latent_dim):
    with pytest.raises(ValueError, match="something beside the 6 of the pose"):
        PoseVAE(latent_dim)


# ---- what training may see


def tiny_view(codes, hidden_to=None):
    """Return 200 training and 60 test examples; with hidden_to, what is not to be seen says that instead."""
    generator = torch.Generator().manual_seed(0)
    y, z = torch.arange(10).repeat(20), torch.arange(10).repeat(6)
    shown = draw_labels(y, 20, seed=0)
    told, asked = y.clone(), z.clone()
    if hidden_to is not None:
        told = torch.full_like(y, hidden_to)
        told[shown] = y[shown]
        asked = torch.full_like(z, hidden_to)
    if codes:
        train, test = (torch.randn(len(k), 12, generator=generator) for k in (y, z))
        return experiment.View(Codes(train, train - 3, told), Codes(test, test - 3, asked), 0.0), shown
    train, test = ((256 * torch.rand(len(k), 1, 28, 28, generator=generator)).to(torch.uint8) for k in (y, z))
    return experiment.View(Split(train, told), Split(test, asked), 0.0), shown


@pytest.mark.parametrize("method", experiment.METHODS)
def test_no_hidden_label_and_no_test_image_is_touched(method, monkeypatch):
    """Change every label that is hidden, every test label and half the test images: nothing else may change."""
    monkeypatch.setattr(training, "fit", lambda *a, steps, **k: original(*a, **{**k, "steps": 3}))
    original = _FIT
    prepare, guess = experiment.METHODS[method]
    guesses = []
    for hidden_to in (None, 0):
        seen, shown = tiny_view("M1" in method, hidden_to)
        if hidden_to is not None:
            (seen.test.mu if isinstance(seen.test, Codes) else seen.test.images)[30:] = 0
        seen = experiment.graph_of(seen, seen) if prepare.func is experiment.graph else seen
        guesses.append(guess(seen, shown, 0)[:30])
    assert torch.equal(*guesses)


_FIT = training.fit


def test_hidden_images_still_teach():
    """The unlabelled images do enter: other ones lead M2's classifier elsewhere."""
    weights = []
    for change in (0, 100):
        seen, shown = tiny_view(codes=False)
        rest = torch.ones(200, dtype=torch.bool)
        rest[shown] = False
        seen.train.images[rest] = seen.train.images[rest] // 2 + change
        torch.manual_seed(0)
        model = M2(3, "mlp")
        training.fit(model, hide_labels(seen.train, shown), steps=3, batch_size=50)
        weights.append(model.classifier.layers[0].weight.detach())
    assert not torch.allclose(*weights)


def test_settings_that_change_the_data():
    y = torch.arange(10).repeat(60)
    train = Split(torch.zeros(600, 1, 2, 2, dtype=torch.uint8), y)
    both = settings.joined(train, Split(torch.ones(7, 1, 2, 2, dtype=torch.uint8), torch.arange(7)))
    assert len(both) == 607 and both.labels[600:].tolist() == 7 * [UNKNOWN] and both.images[600:].all()
