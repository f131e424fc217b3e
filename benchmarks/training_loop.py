"""Time fit's resident tensors against the usual DataLoader loop, on the same VAE: python -m benchmarks.training_loop

Both train the same MLP for the same number of steps of 128 MNIST digits, in turn, several times over.
"""

import os
import statistics
import time
from itertools import cycle, islice

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from vae_utils import models, training
from vae_utils.data import data_folder, load_dataset
from vae_utils.runtime import get_device

STEPS, ROUNDS = 200, 5


def usual(device: torch.device) -> float:
    """Return the seconds that a DataLoader with ToTensor, a plain Adam and .item() at each step need."""
    source = datasets.MNIST(data_folder(), train=True, transform=transforms.ToTensor(), download=True)
    loader = DataLoader(source, batch_size=128, shuffle=True)
    model = models.VAE(20, "mlp").to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    start, total = time.perf_counter(), 0.0
    for x, _ in islice(cycle(loader), STEPS):
        recon, kl = model.terms(x.to(device))
        loss = (recon + kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return time.perf_counter() - start


def ours() -> float:
    """Return the seconds that fit needs, its progress bar off."""
    mnist = load_dataset("mnist")
    start = time.perf_counter()
    training.fit(models.VAE(20, "mlp"), mnist.train, steps=STEPS, lr=1e-3)
    return time.perf_counter() - start


def main() -> None:
    """Time both, in turn, and print the median of the ratios."""
    os.environ["VAE_PROGRESS"] = "0"
    device, ratios = get_device(), []
    for _ in range(ROUNDS):
        a, b = usual(device), ours()
        ratios.append(a / b)
        print(f"DataLoader {1000 * a / STEPS:.1f} ms a step, fit {1000 * b / STEPS:.1f} ms: {a / b:.2f}", flush=True)
    print(f"fit is {statistics.median(ratios):.2f} times as fast on {device} (median of {ROUNDS})")


if __name__ == "__main__":
    main()
