"""Train the conditional VAE of notebook 06 with 2 to 20 latent dimensions, and ask each for digits: cvae_sizes.csv.

python -m experiments.cvae_sizes            # about 7 minutes on one core; finished rows are kept
python -m experiments.cvae_sizes --fresh    # every row anew

The columns named after a density of codes: the share of 1,000 samples for each class that the judge calls by the class
asked for. accepted_...: the share that it also holds to be a digit. variety_...: how much those that obey differ within
a class, compared with rebuilt test digits.
"""

import torch
from torch import Tensor

from experiments import table
from vae_utils import data, evaluation, judge, latent, models, training

TABLE = table.Table("cvae_sizes", ("latents",))
SIZES = (2, 3, 4, 6, 10, 20)
PER_CLASS = 1000


def measure(latents: int) -> table.Row:
    """Train one model (convolutional, 2,000 steps) and return its price and how it obeys."""
    mnist = table.full_mnist()
    torch.manual_seed(0)
    model = models.CVAE(latents, "conv")
    history = training.fit(model, mnist.train, steps=2000, lr=4e-3, seed=0)
    result = evaluation.evaluate(model, mnist.test)
    row = {"seconds": round(history.seconds)}
    row |= {name: round(result[key], 2) for name, key in (("neg_elbo", "loss"), ("recon", "recon"), ("kl", "kl"))}
    return row | obedience(model, mnist)


def obedience(model: models.CVAE, mnist: data.Dataset) -> table.Row:
    """Return how often samples are what was asked for, for four densities of the codes, and rebuilt test digits."""
    the_judge, generator = judge.load_judge(mnist), torch.Generator().manual_seed(0)
    asked = torch.arange(10).repeat_interleave(PER_CLASS)
    mu, logvar = evaluation.encode_posteriors(model, mnist.train)
    codes = {"prior": torch.randn(len(asked), mu.shape[1], generator=generator)}
    codes["cooler"] = 0.8 * codes["prior"]
    codes["gaussian"] = latent.ClassGaussians.fit(mu, logvar, mnist.train.labels).sample(asked, generator)
    codes["mixture"] = latent.ClassMixtures.fit(mu, logvar, mnist.train.labels, parts=10).sample(asked)
    rebuilt = judged(model, the_judge, evaluation.encode_means(model, mnist.test), mnist.test.labels)
    scores = {name: judged(model, the_judge, z, asked) for name, z in codes.items()} | {"rebuilt": rebuilt}
    row = {name: round(score[0], 4) for name, score in scores.items()}
    row |= {f"accepted_{name}": round(score[1], 4) for name, score in scores.items()}
    return row | {f"variety_{name}": round(score[2] / rebuilt[2], 3) for name, score in scores.items()}


@torch.no_grad()
def judged(model: models.CVAE, the_judge: models.DigitJudge, z: Tensor, asked: Tensor) -> tuple[float, float, float]:
    """Return the shares called as asked, and accepted as well, and the variety of these."""
    device = evaluation.device_of(model)
    parts = zip(z.split(1000), asked.split(1000), strict=True)
    images = torch.cat([model.decode(part.to(device), y.to(device)).sigmoid().cpu() for part, y in parts])
    label, sure = judge.verdicts(the_judge, images)
    right = (label == asked) & (sure > 0.5)
    return (
        (label == asked).float().mean().item(),
        right.float().mean().item(),
        judge.variety(images[right], asked[right]),
    )


if __name__ == "__main__":
    table.fill(TABLE, ({"latents": latents} for latents in SIZES), measure, __doc__)
