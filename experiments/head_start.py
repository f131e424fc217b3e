"""What it is worth to start the decoder at the mean image: data/results/head_start.csv, for notebook 04, section 4.5.

python -m experiments.head_start            # about 8 minutes on two cores; finished rows are kept
python -m experiments.head_start --fresh    # every row anew

The convolutional VAE of notebook 04, three seeds at the full budget, each without a bias for every pixel, with one that
starts at zero, and with one that starts at the logit of the mean training image: held-out nats, and the highest KL of
the first hundred steps.
"""

import itertools

import torch
from torch import Tensor, nn

from experiments import table
from vae_utils import evaluation
from vae_utils.data import minibatches
from vae_utils.models import VAE
from vae_utils.runtime import get_device

TABLE = table.Table("head_start", keys=("seed", "bias"))
BIASES = ("none", "zero", "mean")
SEEDS, LATENTS, STEPS, RATE, EARLY = 3, 20, 2000, 4e-3, 100


class HeadStartVAE(VAE):
    """A VAE whose decoder knows the mean image before it starts."""

    def __init__(self, mean_image: Tensor, *args: object, **settings: object) -> None:
        super().__init__(*args, **settings)
        self.pixel_bias = nn.Parameter(mean_image.clamp(0.001, 0.999).logit())  # [1, 28, 28]

    def decode(self, z: Tensor) -> Tensor:
        """Return x_logits [B, 1, 28, 28] of codes [B, L]."""
        return self.decoder(z) + self.pixel_bias


def measure(seed: int, bias: str) -> table.Row:
    """Train one VAE by the loop of notebook 04, section 4.4, and return what it reaches on the test images."""
    mnist, device = table.full_mnist(), get_device()
    torch.manual_seed(seed)
    start = mnist.train[:][0].mean(0) if bias == "mean" else torch.full(mnist.train.shape, 0.5)  # whose logit is zero
    model = VAE(LATENTS, "conv") if bias == "none" else HeadStartVAE(start, LATENTS, "conv")
    model.to(device).train()
    batches = minibatches(mnist.train.to(device), 128, torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    early = []
    for step in range(STEPS):
        recon, kl = model.terms(*next(batches))
        optimizer.zero_grad()
        (recon + kl).mean().backward()
        optimizer.step()
        schedule.step()
        if step < EARLY:
            early.append(kl.detach().mean().item())
    result = evaluation.evaluate(model, mnist.test)
    row = {"neg_elbo": result["loss"], "recon": result["recon"], "kl": result["kl"], "early_kl": max(early)}
    return {name: round(value, 2) for name, value in row.items()}


if __name__ == "__main__":
    wanted = ({"seed": seed, "bias": bias} for seed, bias in itertools.product(range(SEEDS), BIASES))
    table.fill(TABLE, wanted, measure, __doc__)
