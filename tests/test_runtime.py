"""Seeds, devices, and where this runs."""

import contextlib
import random

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


def test_start_seeds_and_says_in_one_line_what_this_runs_on(capsys):
    device = runtime.start(5)
    first, said = draws(), capsys.readouterr().out
    assert device == torch.device("cpu")
    assert said == f"PyTorch {torch.__version__} on {torch.get_num_threads()} CPU threads; seed 5\n"
    runtime.set_seed(5)
    assert draws() == first


@pytest.mark.parametrize("wish", ["toaster", "cuda:99", "", 99])
def test_a_wish_that_cannot_be_met_names_the_argument(wish):
    with pytest.raises(ValueError, match=f"device is {wish!r}, which this machine cannot use; try cpu"):
        runtime.get_device(wish)


def test_a_wish_goes_before_the_variable(monkeypatch):
    monkeypatch.setenv("VAE_DEVICE", "toaster")
    assert runtime.get_device("cpu") == runtime.get_device(torch.device("cpu")) == torch.device("cpu")


# ---- random numbers of one's own


def test_numpy_and_python_find_their_random_numbers_again():
    runtime.set_seed(3)
    expected = draws()
    runtime.set_seed(3)
    with runtime.own_random_numbers(7):
        inside = draws()
    with runtime.own_random_numbers(7):
        assert draws() == inside
    assert draws() == expected


def test_the_precision_says_what_autocast_does():
    assert runtime.precision("cpu") == "torch.float32" and not runtime.autocasting("cuda")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert runtime.precision("cpu") == "torch.float32, autocast to torch.bfloat16"


def test_own_random_numbers_leave_the_others_as_they_were():
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    with runtime.own_random_numbers(7):
        inside = torch.rand(4)
    assert torch.equal(torch.rand(4), expected)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(4), inside)


def test_without_a_seed_the_block_goes_on_with_the_numbers_it_finds():
    torch.manual_seed(1)
    with runtime.own_random_numbers(None):
        inside = torch.rand(4)
    assert torch.equal(torch.rand(4), inside)


def test_an_error_in_the_block_leaves_them_too():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt), runtime.own_random_numbers(7):
        torch.rand(4)
        raise KeyboardInterrupt
    assert torch.equal(torch.get_rng_state(), before)


class Gpus:
    """The random numbers of GPUs that this machine need not have: one state for each, and which one is current."""

    def __init__(self, count: int) -> None:
        self.states, self.current = {index: f"as found on {index}" for index in range(count)}, 0

    def index(self, device: torch.device | None) -> int:
        return self.current if device is None or device.index is None else device.index

    def get_rng_state(self, device: torch.device | None = None) -> str:
        return self.states[self.index(device)]

    def set_rng_state(self, state: str, device: torch.device | None = None) -> None:
        self.states[self.index(device)] = state

    def manual_seed(self, seed: int) -> None:
        self.states[self.current] = f"seed {seed}"

    @contextlib.contextmanager
    def device(self, device: torch.device):
        before, self.current = self.current, self.index(device)
        yield
        self.current = before


@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("mps", 0)])
@pytest.mark.parametrize("fails", [True, False])
def test_the_numbers_of_one_gpu_of_several_are_put_back(monkeypatch, name, index, fails):
    gpus = Gpus(1 if name == "mps" else 3)
    kind = getattr(torch, name.split(":")[0])
    names = ("get_rng_state", "set_rng_state", "manual_seed") + (("device",) if name != "mps" else ())
    for function in names:
        monkeypatch.setattr(kind, function, getattr(gpus, function))
    before, cpu = dict(gpus.states), torch.get_rng_state()
    with contextlib.suppress(FloatingPointError), runtime.own_random_numbers(7, name):
        assert gpus.states == before | {index: "seed 7"}, "the others are not touched"
        gpus.states[index] = "used"
        torch.rand(3)
        if fails:
            raise FloatingPointError
    assert gpus.states == before and torch.equal(torch.get_rng_state(), cpu)
    with runtime.own_random_numbers(None, name):
        assert gpus.states == before


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True, 2**32])
def test_what_is_no_seed_is_refused_and_changes_nothing(seed):
    runtime.set_seed(3)
    first = draws()
    runtime.set_seed(3)
    for function in (runtime.set_seed, runtime.start):
        with pytest.raises((TypeError, ValueError), match="seed must be a whole number of at least 0"):
            function(seed)
    assert draws() == first


@pytest.mark.parametrize("wish", ["meta", "cpu:5", torch.device("meta"), True, 1.5, [], object()])
def test_what_computes_nothing_is_no_device(wish):
    with pytest.raises((TypeError, ValueError), match="device (is|must be)"):
        runtime.get_device(wish)


@pytest.mark.parametrize(
    ("seed", "device", "complaint"),
    [(1.5, "cpu", "seed must be"), (2**70, "cpu", "seed must be"), (1, "toaster", "device is 'toaster'")]
    + [(1, None, "device must be"), (None, "meta:a", "device is 'meta:a'"), (None, 1.5, "device must be")],
)
def test_random_numbers_of_no_seed_or_device_are_refused(seed, device, complaint):
    with pytest.raises((TypeError, ValueError), match=complaint), runtime.own_random_numbers(seed, device):
        raise AssertionError("entered")
