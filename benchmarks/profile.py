"""Say where the milliseconds of a step of fit go, grouped by operation: python -m benchmarks.profile

PyTorch's profiler sees each operation; what it does not see is Python. It slows a step down, so shares count here.
"""

import time
from collections import defaultdict

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.sides import PIXELS, Net, full_mnist, ours
from vae_utils.data import Split

STEPS = 200
GROUPS = {  # the operations of each group, by the beginning of their names
    "matrix products": ("aten::mm", "aten::addmm"),
    "Adam": ("aten::_fused_adam", "aten::_foreach", "Optimizer."),
    "sigmoid, cross-entropy, sums": (
        "aten::binary_cross", "aten::log_sigmoid", "aten::sigmoid", "aten::sum", "BinaryCross", "SumBackward",
        "aten::rsub", "aten::sub", "aten::mul", "aten::clamp", "aten::add", "aten::exp", "aten::mean", "aten::pow",
    ),
    "ReLU": ("aten::relu", "aten::clamp_min", "aten::threshold", "ReluBackward"),
    "random numbers": ("aten::randn", "aten::normal", "aten::randperm"),
    "indexing and conversion": ("aten::index", "aten::to", "aten::_to_copy", "aten::copy_", "aten::div"),
}  # fmt: skip


def group_of(operation: str) -> str:
    """Return the group of an operation: the one that knows the longest beginning of its name."""
    known = ((len(start), group) for group, starts in GROUPS.items() for start in starts if operation.startswith(start))
    return max(known, default=(0, "memory, views, autograd's own"))[1]


def shares(train: Split, steps: int = STEPS, pixels: int = PIXELS) -> dict[str, float]:
    """Return milliseconds per step of each group, and of Python and whatever else no operation accounts for."""
    model, device = Net(pixels), torch.device("cpu")
    ours(model, train, steps, 1e-3, device)  # warm
    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        spent = ours(model, train, steps, 1e-3, device)
    took, found = min(spent, time.perf_counter() - began), defaultdict(float)
    for event in seen.key_averages():
        found[group_of(event.key)] += event.self_cpu_time_total / 1e6
    found["Python, and between operations"] = max(0.0, took - sum(found.values()))
    return {group: 1000 * seconds / steps for group, seconds in sorted(found.items(), key=lambda pair: -pair[1])}


def main() -> None:
    """Print the groups."""
    found = shares(full_mnist().train)
    whole = sum(found.values())
    print("| where | ms a step under the profiler | share |\n|---|---|---|")
    for group, milliseconds in found.items():
        print(f"| {group} | {milliseconds:.2f} | {milliseconds / whole:.0%} |")


if __name__ == "__main__":
    main()
