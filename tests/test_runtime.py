"""Seeds, devices, and where this runs."""

import random
import sys
import types

import numpy as np
import pytest
import torch

from vae_utils import runtime


def draws() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_a_seed_repeats_all_generators():
    runtime.set_seed(3)
    first = draws()
    runtime.set_seed(3)
    assert draws() == first
    runtime.set_seed(4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_the_root_holds_the_package():
    assert (runtime.project_root() / "vae_utils" / "runtime.py").is_file()
    assert (runtime.project_root() / "pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("cuda", "mps", "device"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_fastest_device_is_taken(monkeypatch, cuda, mps, device):
    monkeypatch.delenv("VAE_DEVICE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert runtime.get_device() == torch.device(device)


def test_the_variable_overrides_the_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.get_device() == torch.device("cpu")
    monkeypatch.setenv("VAE_DEVICE", "toaster")
    with pytest.raises(ValueError, match="VAE_DEVICE is 'toaster', which this machine cannot use; try cpu"):
        runtime.get_device()


def test_where_am_i(monkeypatch):
    for name in ("google.colab", "ipykernel"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert runtime.where_am_i() == "python"
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert runtime.where_am_i() == "jupyter"
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert runtime.where_am_i() == "colab"


def test_start_seeds_and_says_in_one_line_what_this_runs_on(capsys):
    device = runtime.start(5)
    first, said = draws(), capsys.readouterr().out
    assert device == torch.device("cpu")
    assert said == f"PyTorch {torch.__version__} on {torch.get_num_threads()} CPU threads; seed 5\n"
    runtime.set_seed(5)
    assert draws() == first
