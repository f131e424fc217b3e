"""Networks of the reader's own in every model that takes a pair, and how often a model builds its networks."""

import math

import pytest
import torch
from torch import nn

from vae_utils.models import (
    CVAE,
    M2,
    VAE,
    Autoencoder,
    CodeM2,
    Completer,
    LabelledVAE,
    PoseVAE,
    completer,
    conditional,
    pose,
    vae,
)

SMALL = (1, 8, 8)


def reading(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 20), nn.Tanh(), nn.Linear(20, outputs))


def drawing(inputs, shape):
    return nn.Sequential(
        nn.Linear(inputs, 20), nn.Tanh(), nn.Linear(20, math.prod(shape)), nn.Unflatten(1, tuple(shape))
    )


# what makes the model of a pair; what its encoder takes and gives; what its decoder takes and gives
FITS = {
    "Autoencoder": (lambda pair: Autoencoder(3, pair, SMALL), SMALL, 3, 3, SMALL),
    "VAE": (lambda pair: VAE(3, pair, SMALL), SMALL, 6, 3, SMALL),
    "CVAE": (lambda pair: CVAE(3, pair, SMALL, classes=4), (2, 8, 8), 6, 7, SMALL),
    "Completer": (lambda pair: Completer(3, pair, SMALL, features=5), (2, 8, 8), 6, 8, SMALL),
    "PoseVAE": (lambda pair: PoseVAE(9, pair, SMALL), SMALL, 6, 3, SMALL),
    "LabelledVAE": (lambda pair: LabelledVAE(3, pair, SMALL, classes=4), SMALL, 6, 3, SMALL),
    "M2": (lambda pair: M2(3, pair, SMALL, classes=4), (2, 8, 8), 6, 7, SMALL),
    "CodeM2": (lambda pair: CodeM2(3, pair, (1, 1, 6), classes=4), (2, 1, 6), 6, 7, (2, 1, 6)),
}
every_kind = pytest.mark.parametrize("kind", FITS)


@every_kind
def test_a_pair_of_own_networks_is_what_the_model_learns_with(kind):
    make, takes, codes, inputs, gives = FITS[kind]
    torch.manual_seed(0)
    pair = reading(takes, codes), drawing(inputs, gives)
    model = make(pair)
    assert (model.encoder, model.decoder) == pair and all(part.training for part in pair)
    x, y = torch.rand(12, *model.config["image_shape"]), torch.arange(12) % 4
    recon, kl = model.terms(x, y)
    (recon + kl).mean().backward()
    assert recon.shape == kl.shape == (12,) and (recon + kl).isfinite().all()
    assert all(weight.grad.abs().max() > 0 for part in pair for weight in part.parameters())


@every_kind
def test_a_network_that_does_not_fit_is_refused_in_a_sentence(kind):
    make, takes, codes, inputs, gives = FITS[kind]
    encoder, decoder = reading(takes, codes), drawing(inputs, gives)
    shown, drawn = (", ".join(map(str, shape)) for shape in (takes, gives))
    with pytest.raises(
        ValueError, match=rf"encoder must make \[B, {codes}\] of \[B, {shown}\], not \[1, {codes + 1}\]"
    ):
        make((reading(takes, codes + 1), decoder))
    with pytest.raises(ValueError, match=rf"the encoder must take \[B, {shown}\], and raised: .*shapes"):
        make((reading((5, *takes[1:]), codes), decoder))
    with pytest.raises(ValueError, match=rf"decoder must make \[B, {drawn}\] of \[B, {inputs}\], not \[1, 3, 5, 7\]"):
        make((encoder, drawing(inputs, (3, 5, 7))))
    with pytest.raises(ValueError, match=rf"the decoder must take \[B, {inputs}\], and raised: .*shapes"):
        make((encoder, drawing(inputs + 1, gives)))


class Two(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize("pair", [nn.Flatten(), (nn.Flatten(),), (nn.Flatten(), "mlp"), (None, None), 3])
def test_what_is_no_pair_is_refused(pair):
    with pytest.raises(TypeError, match=r"network must be a name or a pair of modules, \(encoder, decoder\), not"):
        VAE(3, pair, SMALL)


def test_two_answers_are_one_too_many():
    with pytest.raises(ValueError, match=r"encoder must make \[B, 6\] of \[B, 1, 8, 8\], not tuple"):
        VAE(3, (Two(), drawing(3, SMALL)), SMALL)


def test_the_try_leaves_no_trace_in_the_networks():
    encoder = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 6))
    encoder.eval()
    kept = {name: value.clone() for name, value in encoder.state_dict().items()}
    model = VAE(3, (encoder, drawing(3, SMALL)), SMALL)
    assert not model.encoder.training and model.decoder.training
    assert all(torch.equal(value, kept[name]) for name, value in encoder.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize(
    ("make", "encoders", "decoders"),
    [
        (lambda: Autoencoder(3, "mlp", SMALL), 1, 1),
        (lambda: VAE(3, "mlp", SMALL), 1, 1),
        (lambda: CVAE(3, "mlp", SMALL), 1, 1),
        (lambda: M2(3, "mlp", SMALL), 1, 1),
        (lambda: CodeM2(3, image_shape=(1, 1, 6)), 1, 1),
        (lambda: LabelledVAE(3, "mlp", SMALL), 1, 1),
        (lambda: PoseVAE(9, "conv", SMALL), 2, 1),  # and the poser
        (lambda: Completer(3, "mlp", SMALL), 2, 1),  # and the one that looks at the seen pixels
        (lambda: Completer(0, "mlp", SMALL), 1, 1),  # which is alone without a code
    ],
    ids=["Autoencoder", "VAE", "CVAE", "M2", "CodeM2", "LabelledVAE", "PoseVAE", "Completer", "Completer without code"],
)
def test_each_network_is_built_once(make, encoders, decoders, monkeypatch):
    built = []
    for module in (vae, conditional, completer, pose):
        for name in ("build_encoder", "build_decoder"):
            original = getattr(module, name)
            monkeypatch.setattr(
                module, name, lambda *given, name=name, original=original: built.append(name) or original(*given)
            )
    make()
    assert (built.count("build_encoder"), built.count("build_decoder")) == (encoders, decoders)


ODD = (1, 7, 6)  # cannot be halved twice


def test_beside_a_pair_a_completer_builds_what_the_size_allows():
    model = Completer(3, (reading((2, 7, 6), 6), drawing(8, ODD)), ODD, features=5)
    recon, kl = model.terms(torch.rand(4, *ODD))
    assert (recon + kl).isfinite().all()


class Noisy(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(64, outputs, dtype=torch.float64)

    def forward(self, x):
        return self.layer(x.flatten(1) + torch.rand_like(x.flatten(1)))


def test_the_try_of_a_pair_draws_nothing_and_takes_its_precision():
    pair = Noisy(6), drawing(3, SMALL).double()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    VAE(3, pair, SMALL)
    assert torch.equal(torch.rand(3), expected)
