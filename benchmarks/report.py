"""A line of the report, and the machine that made it."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

HEADER = "| what | on | usual | ours | comparison | target | |\n|---|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Line:
    """What was measured, on which device, of the usual way and of ours, how they compare, and the target if any."""

    what: str
    device: str
    usual: str
    ours: str
    comparison: str
    target: str = ""
    met: str = ""

    def aimed(self, target: str, met: bool) -> "Line":
        """Return the line with a target, and whether it was met."""
        return replace(self, target=target, met="met" if met else "missed")

    def __str__(self) -> str:
        cells = (self.what, self.device, self.usual, self.ours, self.comparison, self.target, self.met)
        return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def ranged(values: Sequence[float]) -> str:
    """Return the median with the range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def machine() -> str:
    """Return a sentence on what this runs on, and how busy that is."""
    load = f"load {os.getloadavg()[0]:.1f} before the start" if hasattr(os, "getloadavg") else "load unknown"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {gpu}, {platform.system()}, "
        f"Python {platform.python_version()}, PyTorch {torch.__version__}, {load}."
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(": ")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
