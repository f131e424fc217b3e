"""Measure the memory that each side takes at most, and what importing vae_utils costs: python -m benchmarks.footprint

Every figure comes from processes of its own. On Windows, which does not say what a process took, memory is left out.
"""

import statistics
import subprocess
import sys

from benchmarks.report import Line
from vae_utils.runtime import project_root

STEPS, REPEATS = 100, 5
# Peak memory of a process that imports both sides, loads what one of them reads, and trains. Linux hands ru_maxrss on
# from the process that starts another one, so that a large parent would hide all differences: VmHWM starts anew.
MEMORY = """
import resource, sys
from itertools import islice
from pathlib import Path
from benchmarks.sides import Net, devices, ours, usual_loader, usual_steps
from vae_utils.data import load_dataset
side, steps = sys.argv[1], int(sys.argv[2])
device = devices()[0]
if side == "usual":
    for _ in islice(usual_steps(Net().to(device), usual_loader(), device), steps):
        pass
elif side == "ours":
    ours(Net(), load_dataset("mnist").train, steps, 1e-3, device)
status = Path("/proc/self/status")
if status.is_file():
    print(1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # in bytes on a Mac
"""
IMPORT = """
import sys, time
import torch
began = time.perf_counter()
{what}
print(time.perf_counter() - began)
"""
IMPORTS = {"import vae_utils": 0.2, "from vae_utils import training": 0.2}  # seconds that they may take beyond torch


def peak_megabytes(side: str, steps: int = STEPS) -> float:
    """Return the peak memory of a process that trains by the "usual" side or by "ours", or that does "neither"."""
    return float(_printed(MEMORY, side, str(steps))) / 1e6


def import_seconds(what: str, repeats: int = REPEATS) -> list[float]:
    """Return how long an import takes in fresh processes that have imported torch."""
    return [float(_printed(IMPORT.format(what=what))) for _ in range(repeats)]


def costs(what: str, most: int = 8) -> dict[str, float]:
    """Return the packages on which an import after torch's spends most, in milliseconds of their own modules."""
    command = [sys.executable, "-X", "importtime", "-c", f"import torch\n{what}"]
    traced = subprocess.run(command, capture_output=True, text=True, cwd=project_root(), check=True).stderr
    fields = [line.removeprefix("import time:").split("|") for line in traced.splitlines()[1:]]
    after = max(place for place, (_, _, name) in enumerate(fields) if name == " torch") + 1  # a blank: not from within
    own: dict[str, float] = {}
    for microseconds, _, name in fields[after:]:
        package = name.strip().split(".")[0]
        own[package] = own.get(package, 0.0) + int(microseconds) / 1000
    return dict(sorted(own.items(), key=lambda pair: -pair[1])[:most])


def _printed(code: str, *arguments: str) -> str:
    """Return the last line that a fresh process prints."""
    command = [sys.executable, "-c", code, *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, cwd=project_root(), check=True).stdout
    return printed.splitlines()[-1]


def measure() -> list[Line]:
    """Measure both."""
    found = []
    if sys.platform != "win32":
        idle, usual, own = (peak_megabytes(side) for side in ("neither", "usual", "ours"))
        line = Line("peak memory, MB", "cpu", f"{usual:.0f}", f"{own:.0f}", f"imports alone take {idle:.0f}")
        found.append(line.aimed("no more", own <= usual))
    for what, goal in IMPORTS.items():
        times = import_seconds(what)
        middle = statistics.median(times)
        line = Line(f"`{what}` after torch, s", "cpu", "", f"{middle:.2f}", f"{min(times):.2f} to {max(times):.2f}")
        found.append(line.aimed(f"{goal} s", middle <= goal))
    return found


if __name__ == "__main__":
    print(*measure(), sep="\n")
    print("the dearest packages, in ms:", costs("from vae_utils import training"))
