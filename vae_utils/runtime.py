"""Where am I running, on which device, and with which seed."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from vae_utils import inputs

MOST_SEED = 2**32 - 1  # what NumPy takes


def project_root() -> Path:
    """Return the folder that holds vae_utils, data and notebooks."""
    return Path(__file__).resolve().parent.parent


def get_device(wish: torch.device | str | None = None) -> torch.device:
    """Return the device asked for; else that in the variable VAE_DEVICE; else the fastest: cuda, then mps, then cpu.

    Raises: TypeError or ValueError for what names no device, or none that this machine has.
    """
    name, wish = ("device", wish) if wish is not None else ("VAE_DEVICE", os.environ.get("VAE_DEVICE") or None)
    if wish is not None:
        return check_device(name, wish)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def check_device(name: str, wish: object) -> torch.device:
    """Return the device of this machine that is asked for. Raises: TypeError, ValueError."""
    with _sentence(name, wish):
        device = torch.device(wish)
        if device.type == "meta" or (device.type == "cpu" and device.index):
            raise RuntimeError("nothing can be computed there")
        torch.empty(1, device=device)
    return device


@contextmanager
def _sentence(name: str, wish: object) -> Iterator[None]:
    """Say in a sentence what PyTorch says of a device that there is not."""
    if isinstance(wish, bool) or not isinstance(wish, str | int | torch.device):
        raise TypeError(f"{name} must be a device, such as cpu or cuda, not {inputs.described(wish)}: pass its name")
    try:
        yield
    except (RuntimeError, AssertionError, OverflowError, TypeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"{name} is {wish!r}, which this machine cannot use; try cpu ({first})") from None


@contextmanager
def own_random_numbers(seed: int | None, device: torch.device | str = "cpu") -> Iterator[None]:
    """Draw from a seed inside the block, and leave the generators of all as they were found.

    Those are PyTorch's on the CPU and on a device, NumPy's and Python's. Without a seed the block goes on with the
    numbers that it finds. torch.random.fork_rng would leave out a Mac's GPU, and warn of several others.

    Raises: TypeError or ValueError for what is no seed, or no device.
    """
    if seed is not None:
        seed = inputs.check_whole("seed", seed, 0, inputs.MOST_SEED)
    with _sentence("device", device):
        device = torch.device(device)
        kind = {"cuda": torch.cuda, "mps": torch.mps}.get(device.type)
        where = (device,) if device.type == "cuda" else ()
        state, there = torch.get_rng_state(), kind.get_rng_state(*where) if kind else None
    plain, numbers = random.getstate(), np.random.get_state()
    try:
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed % (MOST_SEED + 1))
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            elif kind:
                kind.manual_seed(seed)
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(numbers)
        torch.set_rng_state(state)
        if kind:
            kind.set_rng_state(there, *where)


def precision(kind: str) -> str:
    """Return in which numbers a kind of device computes now: the default type, and what autocast makes of it if on.

    Raises: TypeError or ValueError for what is no kind of device.
    """
    return f"{torch.get_default_dtype()}" + (f", autocast to {_autocast_type(kind)}" if autocasting(kind) else "")


def autocasting(kind: str) -> bool:
    """Return whether autocast is on for a kind of device, such as "cpu". Raises: TypeError, ValueError for none."""
    with _sentence("kind", kind):
        if hasattr(torch, "get_autocast_dtype"):  # from PyTorch 2.4 on
            return torch.is_autocast_enabled(kind)
    return torch.is_autocast_enabled() if kind == "cuda" else kind == "cpu" and torch.is_autocast_cpu_enabled()


def _autocast_type(kind: str) -> torch.dtype:
    if hasattr(torch, "get_autocast_dtype"):  # from PyTorch 2.4 on
        return torch.get_autocast_dtype(kind)
    return torch.get_autocast_gpu_dtype() if kind == "cuda" else torch.get_autocast_cpu_dtype()


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and PyTorch on every device. Raises: TypeError, ValueError for what is no seed."""
    seed = inputs.check_whole("seed", seed, 0, MOST_SEED)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def start(seed: int = 0) -> torch.device:
    """Seed everything, say in one line what this runs on, and return the device.

    Raises: as `set_seed`, and as `get_device` for VAE_DEVICE.
    """
    set_seed(seed)
    device = get_device()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = {"mps": "the GPU of this Mac"}.get(device.type, f"{torch.get_num_threads()} CPU threads")
    print(f"PyTorch {torch.__version__} on {name}; seed {seed}")
    return device
