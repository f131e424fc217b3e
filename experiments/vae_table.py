"""Train the VAEs of the results table of notebook 04 into data/results/vae_mnist.csv.

python -m experiments.vae_table            # about 8 minutes on two cores; finished rows are kept
python -m experiments.vae_table --fresh    # every row anew
"""

import tempfile
from pathlib import Path

import torch

from experiments import table
from vae_utils import data, evaluation, models, training

FULL, EMBEDDED = "full MNIST", "embedded digits"
TABLE = table.Table("vae_mnist", ("network", "latents", "steps", "lr", "data"))
RUNS = (
    ("mlp", 2, 2500, 2e-3, FULL),
    ("conv", 20, 2000, 4e-3, FULL),
    ("conv", 20, 4000, 4e-3, FULL),
    ("conv", 20, 2000, 4e-3, EMBEDDED),
    ("mlp", 20, 5000, 2e-3, FULL),
    ("residual", 20, 2000, 3e-3, FULL),
)


def measure(network: str, latents: int, steps: int, lr: float, data: str) -> table.Row:
    """Train one model at batch 128 and return what it reached on the test images."""
    dataset = load(data)
    torch.manual_seed(0)
    model = models.VAE(latents, network)
    history = training.fit(model, dataset.train, steps=steps, lr=lr, seed=0)
    result = evaluation.evaluate(model, dataset.test)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(history.seconds),
        "neg_elbo": round(result["loss"], 2),
        "recon": round(result["recon"], 2),
        "kl": round(result["kl"], 2),
    }


def load(source: str) -> data.Dataset:
    """Return the full data set, or the embedded digits whatever else is at hand."""
    if source == EMBEDDED:
        return data.embedded_digits(Path(tempfile.mkdtemp()))
    return table.full_mnist()


if __name__ == "__main__":
    table.fill(TABLE, (dict(zip(TABLE.keys, run, strict=True)) for run in RUNS), measure, __doc__)
