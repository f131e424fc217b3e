"""Models for a few labels: a classifier, a classifier on the code, and M2 of Kingma et al. (2014); notebook 07.

A label of UNKNOWN (-1) means that nobody has said which class the image belongs to.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_utils.losses import categorical_kl, gaussian_kl, gaussian_log_density, reparameterize
from vae_utils.models.conditional import CVAE
from vae_utils.models.pose import affine, warp
from vae_utils.models.vae import VAE
from vae_utils.networks import Shape, build_decoder

UNKNOWN = -1


class Classifier(nn.Module):
    """q(y | x): images [B, C, H, W] -> logits [B, classes]; "conv" with pooling and dropout, or an "mlp".

    moves > 0 shows it a freshly turned, leaning, stretched and shifted copy of each image in training: a pose of
    standard deviation `moves`, in the units of a PoseVAE.
    """

    def __init__(
        self, network: str = "conv", image_shape: Shape = (1, 28, 28), classes: int = 10, moves: float = 0.0
    ) -> None:
        if network not in ("conv", "mlp"):
            raise ValueError(f"there is no classifier {network!r}; known: 'conv', 'mlp'")
        super().__init__()
        self.config = {"network": network, "image_shape": tuple(image_shape), "classes": classes, "moves": moves}
        c, h, w = image_shape
        if network == "conv":
            self.layers = nn.Sequential(
                nn.Conv2d(c, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
                nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * (h // 4) * (w // 4), 128), nn.ReLU(),
                nn.Dropout(0.5), nn.Linear(128, classes),
            )  # fmt: skip
        else:
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Linear(c * h * w, 500), nn.ReLU(), nn.Dropout(0.5), nn.Linear(500, classes)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes."""
        if self.training and self.config["moves"]:
            x = warp(x, affine(self.config["moves"] * torch.randn(len(x), 6, device=x.device)))
        return self.layers(x)

    def terms(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy [B] of each image, and zeros."""
        loss = F.cross_entropy(self(x), y, reduction="none")
        return loss, torch.zeros_like(loss)


class LabelledVAE(VAE):
    """A VAE with a small classifier on its code, trained together: notebook 07, section 7.2.

    Its loss is recon + beta KL + weight * cross-entropy, in nats, the last only where the label is known and only in
    training; the beta is `fit`'s.
    """

    def __init__(
        self,
        latent_dim: int = 2,
        network: str = "mlp",
        image_shape: Shape = (1, 28, 28),
        classes: int = 10,
        weight: float = 1.0,
    ) -> None:
        super().__init__(latent_dim, network, image_shape)
        self.config |= {"classes": classes, "weight": weight}
        self.head = nn.Sequential(nn.Linear(latent_dim, 64), nn.SiLU(), nn.Linear(64, classes))

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the two terms of the negative ELBO [B]; in training, the weighted cross-entropy is in the first."""
        mu, logvar = self.encode(x)
        z = reparameterize(mu, logvar)
        recon = self.nll(self.decode(z), x)
        if self.training:
            wrong = F.cross_entropy(self.head(z), y, reduction="none", ignore_index=UNKNOWN)
            recon = recon + self.config["weight"] * wrong
        return recon, gaussian_kl(mu, logvar)

    def classify(self, x: Tensor) -> Tensor:
        """Return log p(y | z) [B, classes] at the mean of q(z | x)."""
        return self.head(self.encode(x)[0]).log_softmax(dim=1)


class M2(CVAE):
    """The semi-supervised VAE M2 (Kingma et al. 2014, eq. 6 to 9): a CVAE with a classifier q(y | x); notebook 07, 7.5.

    Where the label is known the loss is the conditional bound, plus log K for the label, plus alpha times the
    classifier's cross-entropy (in training only). Where it is UNKNOWN it is the expectation of that bound under
    q(y | x), all classes summed out, plus KL(q(y | x) || uniform).
    In training, the expectation is over the classes to which q(y | x) gives more than `skip`, their shares scaled up to
    sum to 1 (else what is left out would seem to cost nothing). KL(q || uniform) stays that of the whole q, so that the
    loss can lie below the bound, by up to half a nat with ten classes and skip = 0.01. Pixels, for the classifier too,
    are drawn as Bernoulli(x) if binarise is set.
    """

    def __init__(
        self,
        latent_dim: int = 20,
        network: str = "mlp",
        image_shape: Shape = (1, 28, 28),
        classes: int = 10,
        alpha: float = 10.0,
        classifier: str = "conv",
        moves: float = 0.0,
        binarise: bool = True,
        skip: float = 1e-2,
    ) -> None:
        super().__init__(latent_dim, network, image_shape, classes)
        self.config |= {"alpha": alpha, "classifier": classifier, "moves": moves, "binarise": binarise, "skip": skip}
        self.classifier = Classifier(classifier, image_shape, classes, moves)

    def classify(self, x: Tensor) -> Tensor:
        """Return log q(y | x) [B, classes]."""
        return self.classifier(x).log_softmax(dim=1)

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what an image costs and what its latents cost, [B] each, in nats; notebook 07, section 7.5.

        Raises: ValueError if y is missing, or holds anything but classes and UNKNOWN.
        """
        _check_known(y, x, self.config["classes"])
        if self.training and self.config.get("binarise"):
            x = torch.bernoulli(x)
        log_q = self.classify(x)
        known = y != UNKNOWN
        weight = torch.where(known[:, None], F.one_hot(y.clamp(min=0), self.config["classes"]), log_q.exp())
        weight = weight * (weight > (self.config["skip"] if self.training else 0))
        image, label = weight.nonzero(as_tuple=True)
        recon, kl = super().terms(x[image], label)  # one row for each image and each class it may have
        share = (weight / weight.sum(dim=1, keepdim=True))[image, label]
        recon, kl = (torch.zeros_like(log_q[:, 0]).index_add(0, image, share * term) for term in (recon, kl))
        kl = kl + torch.where(known, math.log(self.config["classes"]), categorical_kl(log_q))
        if self.training:
            recon = recon + self.config["alpha"] * F.cross_entropy(log_q, y, reduction="none", ignore_index=UNKNOWN)
        return recon, kl


class CodeM2(M2):
    """M2 on the codes of another VAE, the M2 of "M1+M2": x is a code [B, 1, 1, F], p(x | y, z) a diagonal Gaussian.

    Its gradients fade to numbers below 1e-38, over which a CPU crawls (60 steps a second fell to 4): call
    torch.set_flush_denormal(True) before training.
    """

    def __init__(
        self,
        latent_dim: int = 20,
        network: str = "mlp",
        image_shape: Shape = (1, 1, 20),
        classes: int = 10,
        alpha: float = 10.0,
        skip: float = 1e-2,
    ) -> None:
        super().__init__(latent_dim, network, image_shape, classes, alpha, "mlp", binarise=False, skip=skip)
        self.config = {name: self.config[name] for name in ("latent_dim", "network", "image_shape", "classes")}
        self.config |= {"alpha": alpha, "skip": skip}
        self.decoder = build_decoder(network, (2, *image_shape[1:]), latent_dim + classes)

    def nll(self, x_logits: Tensor, x: Tensor, given: object = None) -> Tensor:
        """Return -log p(x | y, z) [B] in nats; x_logits [B, 2, 1, F] are the means and the log-variances."""
        mean, logvar = x_logits.chunk(2, dim=1)
        return -gaussian_log_density(x.flatten(1), mean.flatten(1), logvar.flatten(1))


@torch.no_grad()
def class_costs(model: CVAE, x: Tensor, draws: int = 8) -> Tensor:
    """Return what images cost as members of each class: L(x, y) [B, classes] in nats, log K included.

    Kingma et al. (2014), eq. 6, its expectation a mean over draws of z, with the same noise for every class. Bayes'
    rule with these costs, softmax(-L), is what q(y | x) should be (notebook 07, section 7.5).
    """
    model.eval()
    noise, classes = torch.randn(draws, len(x), model.config["latent_dim"], device=x.device), model.config["classes"]
    costs = []
    for label in range(classes):
        y = torch.full((len(x),), label, device=x.device)
        mu, logvar = model.encode(x, y)
        drawn = [model.nll(model.decode(mu + (logvar / 2).exp() * eps, y), x) for eps in noise]
        costs.append(torch.stack(drawn).mean(0) + gaussian_kl(mu, logvar) + math.log(classes))
    return torch.stack(costs, dim=1)


def _check_known(y: Tensor | None, x: Tensor, classes: int) -> None:
    if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.shape != (len(x),):
        came = f"{y.dtype} {list(y.shape)}" if isinstance(y, Tensor) else repr(y)
        raise ValueError(f"the labels must be int64 [{len(x)}], one for each image, not {came}; unknown ones are -1")
    if len(y) and not UNKNOWN <= y.min() <= y.max() < classes:
        raise ValueError(
            f"the labels must be from 0 to {classes - 1}, or {UNKNOWN} where unknown, not from {y.min()} to {y.max()}"
        )
