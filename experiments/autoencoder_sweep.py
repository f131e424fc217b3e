"""Train an autoencoder for each bottleneck, beside PCA, into data/results/autoencoder_sweep.csv, for notebook 01.

python -m experiments.autoencoder_sweep            # about 3 minutes on two cores; finished rows are kept
python -m experiments.autoencoder_sweep --fresh    # every row anew
"""

from functools import cache

import torch
from sklearn.decomposition import PCA

from experiments import table
from vae_utils import evaluation, models, training
from vae_utils.data import Dataset

TABLE = table.Table("autoencoder_sweep", ("latents", "network", "steps", "lr"))
SIZES = (2, 4, 8, 16, 20, 32, 64)


@cache
def mnist_and_pca() -> tuple[Dataset, PCA]:
    """Return the full MNIST and the first 64 principal components of its training images, once for all rows."""
    mnist = table.full_mnist()
    return mnist, PCA(64).fit(mnist.train[:][0].flatten(1).numpy())


def measure(latents: int, network: str, steps: int, lr: float) -> table.Row:
    """Return the squared test error per image of an autoencoder and of PCA with as many numbers."""
    mnist, pca = mnist_and_pca()
    torch.manual_seed(0)
    model = models.Autoencoder(latents, network)
    history = training.fit(model, mnist.train, steps=steps, lr=lr, seed=0)
    test = mnist.test[:][0].flatten(1).numpy()
    axes = pca.components_[:latents]
    lost = test - pca.mean_ - (test - pca.mean_) @ axes.T @ axes
    return {
        "autoencoder": round(evaluation.evaluate(model, mnist.test)["recon"], 2),
        "pca": round(float((lost**2).sum(1).mean()), 2),
        "seconds": round(history.seconds),
    }


if __name__ == "__main__":
    wanted = ({"latents": size, "network": "conv", "steps": 1000, "lr": 4e-3} for size in SIZES)
    table.fill(TABLE, wanted, measure, __doc__)
