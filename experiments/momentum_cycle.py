"""What Adam's momentum is worth that cycles with the learning rate: data/results/momentum_cycle.csv, for training.fit.

python -m experiments.momentum_cycle            # about 8 minutes on two cores; finished rows are kept
python -m experiments.momentum_cycle --fresh    # every row anew

PyTorch's OneCycleLR by default also lets Adam's beta1 fall from 0.95 to 0.85 and rise again, as `fit` does. The two
VAEs of notebook 04, three seeds, each so and with beta1 at 0.9 all along: held-out nats.
"""

import itertools

import torch

from experiments import table
from vae_utils import evaluation, models
from vae_utils.data import minibatches
from vae_utils.runtime import get_device

TABLE = table.Table("momentum_cycle", keys=("network", "seed", "cycled"))
SEEDS, RECIPES = 3, {"conv": (20, 2000, 4e-3), "mlp": (2, 2500, 2e-3)}  # latents, steps, rate


def measure(network: str, seed: int, cycled: bool) -> table.Row:
    """Train one VAE by the loop of notebook 04, section 4.4, and return what it reaches on the test images."""
    mnist, device = table.full_mnist(), get_device()
    latents, steps, rate = RECIPES[network]
    torch.manual_seed(seed)
    model = models.VAE(latents, network).to(device).train()
    batches = minibatches(mnist.train.to(device), 128, torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, cycle_momentum=cycled)
    for _ in range(steps):
        recon, kl = model.terms(*next(batches))
        optimizer.zero_grad()
        (recon + kl).mean().backward()
        optimizer.step()
        schedule.step()
    result = evaluation.evaluate(model, mnist.test)
    return {"neg_elbo": round(result["loss"], 2), "recon": round(result["recon"], 2), "kl": round(result["kl"], 2)}


if __name__ == "__main__":
    every = itertools.product(RECIPES, range(SEEDS), (True, False))
    wanted = ({"network": network, "seed": seed, "cycled": cycled} for network, seed, cycled in every)
    table.fill(TABLE, wanted, measure, __doc__)
