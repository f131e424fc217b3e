"""The latent space as a place: ways from code to code, and Gaussians fitted to the codes; built in notebook 05."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vae_utils import inputs, latent_checks
from vae_utils.losses import reparameterize

MOST_SEEDS = 10_000_000  # 100 times as many, the seeds of the single classes, are still ones that NumPy takes

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture  # takes a second to import: below, where it is needed


@dataclass(frozen=True)
class Codes:
    """The approximate posteriors of images as examples to train on: mu, logvar [N, L], labels [N]; notebook 07, 7.6.

    It stands where a `data.Split` does. Indexing draws a code from each, as an image [1, 1, L], so that M2 in
    "M1+M2" (Kingma et al. 2014, sec. 2.3) sees another sample at each visit.

    Raises: TypeError or ValueError, when it is made, for other types, shapes, values or lengths.
    """

    mu: Tensor
    logvar: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        inputs.check_finite("mu", inputs.check_floats("mu", self.mu, "N", "L"))
        inputs.check_finite("logvar", inputs.check_floats("logvar", self.logvar, *self.mu.shape))
        inputs.check_labels("labels", self.labels, len(self.mu), None)

    def __len__(self) -> int:
        return len(self.mu)

    def __getitem__(self, index: Tensor | slice | list[int]) -> tuple[Tensor, Tensor]:
        return reparameterize(self.mu[index], self.logvar[index])[:, None, None], self.labels[index]

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape (1, 1, L) of each example."""
        return 1, 1, self.mu.shape[1]

    def to(self, device: torch.device | str) -> "Codes":
        """Return the codes with their tensors on a device."""
        with inputs.trusted():  # what was looked at stays as it is
            return Codes(*(part.to(device) for part in vars(self).values()))

    def subset(self, index: Tensor | slice | list[int]) -> "Codes":
        """Return the codes of the chosen examples."""
        with inputs.trusted():
            return Codes(*(part[index] for part in vars(self).values()))


def straight(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """Return the point at share t of the straight line from a to b; notebook 05, section 5.5.

    Shapes: a and b [..., L], t a number or [..., 1].
    Raises: TypeError, ValueError if they do not fit or are not finite.
    """
    latent_checks.check_way(a, b, t)
    return (1 - t) * a + t * b


def spherical(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """Return the point at share t of the arc from a to b about the origin; notebook 05, section 5.5.

    sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b with w the angle between a and b (Shoemake 1985); the straight line
    where they point the same way or opposite ways, which is where the arc is none or any.

    Shapes: a and b [..., L], t a number or [..., 1].
    Raises: TypeError, ValueError if they do not fit or are not finite.
    """
    latent_checks.check_way(a, b, t)
    latent_checks.check_lengths(a, b)
    w = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1).acos()[..., None]
    arc = (torch.sin((1 - t) * w) * a + torch.sin(t * w) * b) / torch.sin(w)
    return torch.where(torch.sin(w) > 1e-3, arc, straight(a, b, t))


def total_covariance(mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean [L] and the covariance [L, L] of the aggregate posterior, the mixture of N(mu_n, exp(logvar_n)).

    The law of total variance: Cov[z] = E[Cov[z | x]] + Cov[E[z | x]], the mean variance within q(z | x) plus the spread
    of the means; the aside to notebook 05.

    Shapes: mu and logvar [N, L], N at least 2. Raises: TypeError, ValueError.
    """
    latent_checks.check_gaussians(mu, logvar)
    within = torch.diag(logvar.exp().mean(0))
    between = torch.cov(mu.T, correction=0)
    return mu.mean(0), within + between


@dataclass(frozen=True)
class ClassGaussians:
    """One Gaussian for each class: weights [K], means [K, L], covariances [K, L, L]; the aside to notebook 05.

    Raises: TypeError or ValueError, when it is made, for weights that are no probabilities, means that are not finite,
    covariances that are none, or parts that do not fit each other.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        latent_checks.check_probabilities("weights", inputs.check_floats("weights", self.weights, "K"))
        k, size = inputs.check_floats("means", self.means, len(self.weights), "L").shape
        inputs.check_finite("means", self.means)
        inputs.check_finite("covariances", inputs.check_floats("covariances", self.covariances, k, size, size))
        if torch.linalg.cholesky_ex(self.covariances).info.any():
            raise ValueError("covariances must be positive definite: some logvar are too small, or dimensions copies")
        if not self.covariances.isclose(self.covariances.mT, atol=1e-6).all():
            raise ValueError("covariances must be symmetric: use (C + C.mT) / 2")

    @classmethod
    def fit(cls, mu: Tensor, logvar: Tensor, labels: Tensor, diagonal: bool = False) -> "ClassGaussians":
        """Return the Gaussians with the mean and the covariance of the codes of each class, or only its diagonal.

        Shapes: mu and logvar [N, L], labels [N] from 0 to K - 1.
        Raises: ValueError if a class has no more images than there are dimensions; TypeError.
        """
        inputs.check_flag("diagonal", diagonal)
        counts = latent_checks.check_classes(mu, logvar, labels)
        if counts.min() <= mu.shape[1]:
            least = f"class {counts.argmin()} has {counts.min()} images"
            raise ValueError(f"labels are too few: {least}, too few for {mu.shape[1]} dimensions")
        moments = [total_covariance(mu[labels == k], logvar[labels == k]) for k in range(len(counts))]
        means, covariances = (torch.stack(part) for part in zip(*moments, strict=True))
        if diagonal:
            covariances = torch.diag_embed(covariances.diagonal(dim1=1, dim2=2))
        return cls(counts / counts.sum(), means, covariances)

    def log_joint(self, z: Tensor) -> Tensor:
        """Return log p(z, class) [B, K] in nats for codes [B, L]. Raises: TypeError, ValueError for other codes."""
        inputs.check_finite("z", inputs.check_floats("z", z, "B", self.means.shape[1]))
        z = z.to(self.means)
        if len(z) == 0:
            raise ValueError(f"z must be [B, L] with at least one code, not {list(z.shape)}")
        joint = MultivariateNormal(self.means, self.covariances).log_prob(z[:, None]) + self.weights.log()
        if not joint.amax(1).isfinite().all():
            raise ValueError(f"z must be nearer to the means, not up to {z.abs().max():g}: its distance is no number")
        return joint

    def log_density(self, z: Tensor) -> Tensor:
        """Return log p(z) [B] in nats, the classes summed out."""
        return self.log_joint(z).logsumexp(1)

    def classify(self, z: Tensor) -> Tensor:
        """Return the likeliest class [B] of codes [B, L]: Bayes' rule, a quadratic classifier."""
        return self.log_joint(z).argmax(1)

    def sample(self, labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one code [B, L] for each label [B] from 0 to K - 1. Raises: TypeError, ValueError for others."""
        inputs.check_labels("labels", labels, None, len(self.means))
        inputs.check_generator("generator", generator)
        eps = torch.randn(len(labels), self.means.shape[1], 1, generator=generator, dtype=self.means.dtype)
        factors = torch.linalg.cholesky(self.covariances)[labels]
        return self.means[labels] + (factors @ eps).squeeze(-1)


@dataclass(frozen=True)
class ClassMixtures:
    """A mixture of several Gaussians for each class, by scikit-learn; the aside to notebook 05, and 06, section 6.7."""

    mixtures: "tuple[GaussianMixture, ...]"

    def __post_init__(self) -> None:
        fine = isinstance(self.mixtures, tuple | list) and all(hasattr(part, "means_") for part in self.mixtures)
        if not fine or len({part.means_.shape[1] for part in self.mixtures}) != 1:
            wanted = "fitted GaussianMixtures, one for each class and all of as many dimensions"
            raise TypeError(f"mixtures must be {wanted}, not {inputs.described(self.mixtures)}: see ClassMixtures.fit")

    @classmethod
    def fit(cls, mu: Tensor, logvar: Tensor, labels: Tensor, parts: int, seed: int = 0) -> "ClassMixtures":
        """Return mixtures of `parts` Gaussians, fitted to one draw from each q(z | x), class by class.

        Shapes: mu and logvar [N, L], labels [N] from 0 to K - 1.
        Raises: ValueError if a class has fewer than 10 images for each Gaussian.
        """
        from sklearn.mixture import GaussianMixture

        inputs.check_whole("parts", parts, 1)
        inputs.check_whole("seed", seed, 0, MOST_SEEDS)
        counts = latent_checks.check_classes(mu, logvar, labels)
        if counts.min().item() < 10 * parts:  # as Python's integers, which have no end
            raise ValueError(
                f"class {counts.argmin()} has {counts.min()} images, too few for {parts} Gaussians: ask for less parts"
            )
        z = reparameterize(mu, logvar, torch.Generator().manual_seed(seed)).double().numpy()
        if not (np.abs(z) < 1e100).all():  # whose squares are numbers
            raise ValueError(
                "mu and logvar must not be so large that a draw from q(z | x) is 1e100 or more: scale them"
            )
        options = {"init_params": "k-means++", "tol": 1e-2, "max_iter": 200, "reg_covar": 1e-3, "random_state": seed}
        return cls(tuple(GaussianMixture(parts, **options).fit(z[labels == k]) for k in range(len(counts))))

    def sample(self, labels: Tensor, seed: int = 0) -> Tensor:
        """Return one code [B, L] for each label [B] from 0 to K - 1. Raises: TypeError, ValueError for others."""
        inputs.check_labels("labels", labels, None, len(self.mixtures))
        inputs.check_whole("seed", seed, 0, MOST_SEEDS)
        codes = torch.empty(len(labels), self.mixtures[0].means_.shape[1])
        for k in labels.unique().tolist():
            mixture, mine = self.mixtures[k], labels == k
            mixture.random_state = 100 * seed + k  # or all classes would be drawn with the same noise
            drawn = torch.from_numpy(mixture.sample(int(mine.sum()))[0]).float()
            shuffled = torch.randperm(len(drawn), generator=torch.Generator().manual_seed(seed))  # not part by part
            codes[mine] = drawn[shuffled]
        return codes
