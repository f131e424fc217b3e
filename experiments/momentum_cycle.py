"""What Adam's momentum is worth that cycles with the learning rate: data/results/momentum_cycle.csv, for training.fit.

python -m experiments.momentum_cycle            # about 4 minutes on two cores; finished rows are kept
python -m experiments.momentum_cycle --fresh    # every row anew

PyTorch's OneCycleLR by default also lets beta1 fall from 0.95 to 0.85 and rise again. The VAE of notebook 04, three
seeds, each with and without: held-out nats. `fit` leaves beta1 at 0.9.
"""

import torch

from experiments import table
from vae_utils import evaluation, models
from vae_utils.data import minibatches
from vae_utils.runtime import get_device

SEEDS, STEPS, RATE = 3, 2000, 4e-3


def measure(seed: int, cycled: bool) -> table.Row:
    """Train one VAE by the loop of notebook 04, section 4.4, and return what it reaches on the test images."""
    mnist, device = table.full_mnist(), get_device()
    torch.manual_seed(seed)
    model = models.VAE(20, "conv").to(device).train()
    batches = minibatches(mnist.train.to(device), 128, torch.Generator().manual_seed(seed))
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS, cycle_momentum=cycled)
    for _ in range(STEPS):
        recon, kl = model.terms(*next(batches))
        optimizer.zero_grad()
        (recon + kl).mean().backward()
        optimizer.step()
        schedule.step()
    result = evaluation.evaluate(model, mnist.test)
    return {"neg_elbo": round(result["loss"], 2), "recon": round(result["recon"], 2), "kl": round(result["kl"], 2)}


if __name__ == "__main__":
    wanted = ({"seed": seed, "cycled": cycled} for seed in range(SEEDS) for cycled in (True, False))
    table.fill("momentum_cycle", wanted, measure, __doc__)
