"""Time one step of each side, and the bare matrix products in it, in turn: python -m benchmarks.speed"""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from benchmarks.report import Line, ranged
from benchmarks.sides import (
    BATCH,
    HIDDEN,
    LATENTS,
    PIXELS,
    Net,
    devices,
    full_mnist,
    now,
    ours,
    usual_loader,
    usual_steps,
)
from vae_utils.data import Split

STEPS, ROUNDS = 200, 7


@dataclass(frozen=True)
class Round:
    """Seconds per step in one round."""

    usual: float
    ours: float
    products: float


def products(device: torch.device, pixels: int = PIXELS) -> list[tuple[Tensor, Tensor]]:
    """Return the factors of the matrix products of a step, as autograd calls them: forward, weights, inputs.

    The gradient by the images is not among them: nobody asks for it.
    """
    factors = []
    for place, (inputs, outputs) in enumerate(
        [(pixels, HIDDEN), (HIDDEN, 2 * LATENTS), (LATENTS, HIDDEN), (HIDDEN, pixels)]
    ):
        x, weight = torch.randn(BATCH, inputs, device=device), torch.randn(outputs, inputs, device=device)
        gradient = torch.randn(BATCH, outputs, device=device)
        factors += [(x, weight.T), (gradient.T, x)] + ([(gradient, weight)] if place else [])
    return factors


def flops(factors: list[tuple[Tensor, Tensor]]) -> int:
    """Return how many additions and multiplications the products take."""
    return sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b in factors)


def rounds(
    device: torch.device, train: Split, loader: Iterable, steps: int = STEPS, count: int = ROUNDS, pixels: int = PIXELS
) -> list[Round]:
    """Time both sides and the products in turn, after a round that does not count."""
    torch.set_flush_denormal(False)  # as a reader finds it
    factors, times = products(device, pixels), []
    for _ in range(count + 1):
        began = now(device)
        for _ in islice(usual_steps(Net(pixels).to(device), loader, device), steps):
            pass
        usual = now(device) - began
        own = ours(Net(pixels), train, steps, 1e-3, device)
        began = now(device)
        for _ in range(steps):
            for a, b in factors:
                torch.mm(a, b)
        times.append(Round(usual / steps, own / steps, (now(device) - began) / steps))
    return times[1:]


def lines(times: list[Round], device: torch.device, work: int) -> list[Line]:
    """Return the lines of the report for one device."""
    usual, own = (1000 * statistics.median(getattr(t, name) for t in times) for name in ("usual", "ours"))
    ratios, shares = [t.usual / t.ours for t in times], [t.products / t.ours for t in times]
    rate = work / statistics.median(t.products for t in times) / 1e9
    on_cpu = device.type == "cpu"
    step = Line("one step, ms", device.type, f"{usual:.2f}", f"{own:.2f}", f"{ranged(ratios)} times")
    bare = f"share of the rate of bare matrix products ({rate:.0f} GFLOP/s)"
    share = Line(bare, device.type, f"{statistics.median(t.products / t.usual for t in times):.0%}",
                 f"{statistics.median(shares):.0%}", f"{min(shares):.0%} to {max(shares):.0%}")  # fmt: skip
    if not on_cpu:
        return [step, share]
    return [
        step.aimed("3.2 times", statistics.median(ratios) >= 3.2),
        share.aimed("60%", statistics.median(shares) >= 0.6),
    ]


def measure() -> list[Line]:
    """Measure every device at hand."""
    train = full_mnist().train
    loader, found = usual_loader(), []
    for device in devices():
        found += lines(rounds(device, train, loader), device, flops(products(device)))
    return found


if __name__ == "__main__":
    print(*measure(), sep="\n")
