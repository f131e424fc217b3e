"""The two sides of every comparison: the usual training loop and `fit`, on the same network, the same images.

The usual loop is that of PyTorch's VAE example: a DataLoader with ToTensor, Adam at a constant 1e-3, `.item()` at
each step. The network is that example's as well: 784-400-(20 + 20) and 20-400-784, ReLU, batches of 128.
"""

import os
import time
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from vae_utils import training
from vae_utils.data import Dataset, Split, data_folder, load_dataset

BATCH, HIDDEN, LATENTS, PIXELS = 128, 400, 20, 784


class Net(nn.Module):
    """The VAE of PyTorch's example, whose terms are written out here: both sides compute them alike."""

    def __init__(self, pixels: int = PIXELS) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENTS))
        self.decoder = nn.Sequential(nn.Linear(LATENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, pixels))

    def terms(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return recon [B] and kl [B] in nats."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        x_logits = self.decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu))
        recon = F.binary_cross_entropy_with_logits(x_logits, x.flatten(1), reduction="none").sum(1)
        return recon, 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)


def full_mnist() -> Dataset:
    """Return the full MNIST, or stop: the usual side reads that, and targets in nats are for it."""
    mnist = load_dataset("mnist")
    if not mnist.is_full:
        raise SystemExit("this benchmark needs the full MNIST")
    return mnist


def usual_loader() -> DataLoader:
    """Return what the usual loop reads: torchvision's MNIST through a DataLoader."""
    from torchvision import datasets, transforms  # only this side needs it

    source = datasets.MNIST(data_folder(), train=True, transform=transforms.ToTensor(), download=True)
    return DataLoader(source, batch_size=BATCH, shuffle=True)


def usual_steps(model: nn.Module, loader: Iterable, device: torch.device) -> Iterator[float]:
    """Train by the usual loop, for ever; yield the loss of each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        for x, _ in loader:
            recon, kl = model.terms(x.to(device))
            loss = (recon + kl).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def ours(model: nn.Module, train: Split, steps: int, lr: float, device: torch.device, seed: int = 0) -> float:
    """Train by fit, its progress bar off; return the seconds."""
    os.environ["VAE_PROGRESS"] = "0"
    began = now(device)
    training.fit(model, train, steps=steps, batch_size=BATCH, lr=lr, seed=seed, device=device)
    return now(device) - began


def now(device: torch.device) -> float:
    """Return the time in seconds, once a GPU has done all that it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def devices() -> list[torch.device]:
    """Return the CPU, and the GPU if PyTorch sees one."""
    return [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
