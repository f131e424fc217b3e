"""Models for a few labels: a classifier on the code, and M2 of Kingma et al. (2014); built in notebook 07.

A label of UNKNOWN (-1) means that nobody has said which class the image belongs to.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae_utils import inputs
from vae_utils.labels import UNKNOWN
from vae_utils.losses import categorical_kl, gaussian_kl, gaussian_log_density, reparameterize
from vae_utils.models.base import evaluating
from vae_utils.models.classifiers import Classifier
from vae_utils.models.conditional import CVAE, _check_labels
from vae_utils.models.vae import VAE, _check_sample
from vae_utils.networks import Network, Shape, check_shape

MOST_WEIGHT = 1e6  # of a classifier's mistakes in a loss
MOST_DRAWS = 10_000


class LabelledVAE(VAE):
    """A VAE with a small classifier on its code, trained together: the aside to notebook 07.

    Its loss is recon + beta KL + weight * cross-entropy, in nats, the last only where the label is known and only in
    training; the beta is `fit`'s.
    """

    labels = "some"

    def __init__(
        self,
        latent_dim: int = 2,
        network: Network = "mlp",
        image_shape: Shape = (1, 28, 28),
        classes: int = 10,
        weight: float = 1.0,
    ) -> None:
        super().__init__(latent_dim, network, image_shape, classes=classes, weight=weight)

    def build(self, latent_dim: int, network: Network, image_shape: Shape, classes: int, weight: float) -> None:
        """Make the networks: a VAE's, and the classifier."""
        inputs.check_number("weight", weight, 0, MOST_WEIGHT)
        super().build(latent_dim, network, image_shape)
        self.head = nn.Sequential(nn.Linear(latent_dim, 64), nn.SiLU(), nn.Linear(64, classes))

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the two terms of the negative ELBO [B]; in training, the weighted cross-entropy is in the first."""
        self._check_images(x)
        _check_known(y if self.training else torch.full((len(x),), UNKNOWN), len(x), self.config["classes"])
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

    labels = "some"

    def __init__(
        self,
        latent_dim: int = 20,
        network: Network = "mlp",
        image_shape: Shape = (1, 28, 28),
        classes: int = 10,
        alpha: float = 10.0,
        classifier: str = "conv",
        moves: float = 0.0,
        binarise: bool = True,
        skip: float = 1e-2,
    ) -> None:
        settings = {"alpha": alpha, "classifier": classifier, "moves": moves, "binarise": binarise, "skip": skip}
        super().__init__(latent_dim, network, image_shape, classes, **settings)

    def build(
        self, *parts: object, classifier: str, moves: float, alpha: float, skip: float, binarise: bool, **more: object
    ) -> None:
        """Make the networks: a CVAE's, and the classifier."""
        inputs.check_number("alpha", alpha, 0, MOST_WEIGHT)
        inputs.check_number("skip", skip, 0, 1)
        inputs.check_flag("binarise", binarise)
        super().build(**more)
        self.classifier = Classifier(classifier, more["image_shape"], more["classes"], moves)

    def classify(self, x: Tensor) -> Tensor:
        """Return log q(y | x) [B, classes]."""
        return self.classifier(x).log_softmax(dim=1)

    def observe(self, x: Tensor) -> Tensor:
        """Return what the model learns from: pixels drawn as Bernoulli(x), if binarise is set."""
        self._check_images(x)
        return torch.bernoulli(x) if self.config["binarise"] else x

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the reconstruction term and the KL terms [B] of each image, in nats; notebook 07, section 7.5.

        On a GPU `nonzero` waits once a step: how many pairs of image and class count is known only then.

        Raises: TypeError or ValueError if y is missing, or holds anything but classes and UNKNOWN.
        """
        self._check_images(x)
        _check_known(y, len(x), self.config["classes"])
        if self.training:
            x = self.observe(x)
        log_q = self.classify(x)
        known = y != UNKNOWN
        weight = torch.where(known[:, None], F.one_hot(y.clamp(min=0), self.config["classes"]), log_q.exp())
        likely = weight > (self.config["skip"] if self.training else 0)
        weight = weight * (likely | (weight == weight.amax(dim=1, keepdim=True)))  # the likeliest class always counts
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

    numbers = 2  # for each number of a code: the mean and the log-variance

    def __init__(
        self,
        latent_dim: int = 20,
        network: Network = "mlp",
        image_shape: Shape = (1, 1, 20),
        classes: int = 10,
        alpha: float = 10.0,
        skip: float = 1e-2,
    ) -> None:
        super().__init__(latent_dim, network, image_shape, classes, alpha, "mlp", binarise=False, skip=skip)
        for name in ("classifier", "moves", "binarise"):  # not to be chosen, for codes
            del self.config[name]

    def build(self, **config: object) -> None:
        """Make the networks, for codes."""
        check_shape(config["image_shape"])
        if tuple(config["image_shape"][:2]) != (1, 1):
            raise ValueError(f"image_shape must be (1, 1, F), that of a code, not {config['image_shape']}")
        super().build(**config)

    def observe(self, x: Tensor) -> Tensor:
        """Return x: a code is no probability."""
        self._check_images(x)
        return x

    def nll(self, x_logits: Tensor, x: Tensor, given: object = None) -> Tensor:
        """Return -log p(x | y, z) [B] in nats; x_logits [B, 2, 1, F] are the means and the log-variances."""
        self._check_images(x)
        inputs.check_floats("x_logits", x_logits, len(x), 2, *x.shape[2:])
        inputs.check_finite("x_logits", x_logits)
        mean, logvar = x_logits.chunk(2, dim=1)
        return -gaussian_log_density(x.flatten(1), mean.flatten(1), logvar.flatten(1))

    @torch.no_grad()
    def sample(self, y: Tensor, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Return one code [B, 1, 1, F] for each label y [B], for the other VAE to decode: the mean of p(x | y, z).

        z ~ N(0, temperature^2 I). Raises: as `CVAE.sample`.
        """
        _check_labels(self, y, None)
        _check_sample("y", len(y), temperature, generator)
        z = torch.randn(len(y), self.config["latent_dim"], generator=generator).to(self.pictures.device)
        return self.decode(temperature * z, y.to(self.pictures.device)).chunk(2, dim=1)[0]


@torch.no_grad()
def class_costs(model: CVAE, x: Tensor, draws: int = 8) -> Tensor:
    """Return what images cost as members of each class: L(x, y) [B, classes] in nats, log K included.

    Kingma et al. (2014), eq. 6, its expectation a mean over draws of z, with the same noise for every class. Bayes'
    rule with these costs, softmax(-L), is what q(y | x) should be (notebook 07, section 7.5). The model's mode stays.

    Raises: TypeError or ValueError for what is no CVAE, or no images of it, or if draws is no whole number from 1 to
    10,000.
    """
    if not isinstance(model, CVAE):
        raise TypeError(f"model must be a CVAE or an M2, which know classes, not a {type(model).__name__}")
    model._check_images(x)
    inputs.check_whole("draws", draws, 1, MOST_DRAWS)
    noise, classes = torch.randn(draws, len(x), model.config["latent_dim"], device=x.device), model.config["classes"]
    costs = []
    with evaluating(model), inputs.trusted():  # they were looked at
        for label in range(classes):
            y = torch.full((len(x),), label, device=x.device)
            mu, logvar = model.encode(x, y)
            drawn = [model.nll(model.decode(mu + (logvar / 2).exp() * eps, y), x) for eps in noise]
            costs.append(torch.stack(drawn).mean(0) + gaussian_kl(mu, logvar) + math.log(classes))
    return torch.stack(costs, dim=1)


def _check_known(y: Tensor | None, n: int, classes: int) -> None:
    if y is None:
        raise TypeError(f"y must be given, an int64 tensor with one label for each image, {UNKNOWN} where unknown")
    inputs.check_labels("y", y, n, classes, unknown=UNKNOWN)
