"""Where am I running, on which device, and with which seed."""

import os
import random
import sys
from pathlib import Path

import numpy as np
import torch


def project_root() -> Path:
    """Return the folder that holds vae_utils, data and notebooks."""
    return Path(__file__).resolve().parent.parent


def where_am_i() -> str:
    """Return "colab", "jupyter" or "python": what runs this code."""
    if "google.colab" in sys.modules:
        return "colab"
    return "jupyter" if "ipykernel" in sys.modules else "python"


def get_device() -> torch.device:
    """Return the fastest device at hand: cuda, then mps, then cpu; the variable VAE_DEVICE overrides it.

    Raises: ValueError if VAE_DEVICE names no device that this machine has.
    """
    wish = os.environ.get("VAE_DEVICE")
    if wish:
        try:
            torch.empty(1, device=wish)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ValueError(f"VAE_DEVICE is {wish!r}, which this machine cannot use; try cpu ({error})") from None
        return torch.device(wish)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and PyTorch on every device."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def start(seed: int = 0) -> torch.device:
    """Seed everything, say in one line what this runs on, and return the device."""
    set_seed(seed)
    device = get_device()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = {"mps": "the GPU of this Mac"}.get(device.type, f"{torch.get_num_threads()} CPU threads")
    print(f"PyTorch {torch.__version__} on {name}; seed {seed}")
    return device
